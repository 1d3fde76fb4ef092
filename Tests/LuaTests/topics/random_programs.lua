-- Random programs do what they do in PyTorch: values, flags, versions, names in the graph, gradients, gradients of
-- gradients, and where they raise. Fixtures/autograd/programs.txt has them; scripts/fixtures/programs.py wrote it and tells
-- how to read it. Fixtures/autograd/catalogue.txt has some more, of all operations, with tangents and batches; in their place the
-- file that $MOONGRAD_PROGRAMS names is run, if it names one (scripts/programs).
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"

local tolerance = 1e-9              -- of the largest element, and at least of 1: the file has ten digits

local function numbers(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = tonumber(word) end
  return list
end

-- ": v1 [2, 3] grad made v0 MulBackward0 = 0.5 …", or ": v1 nil".
local function state(line)
  local name, rest = line:match "^: (%S+) (.*)$"
  if rest == "nil" then return { name = name } end
  local shape, flag, leaf, version, made, elements = rest:match "^(%[.-%]) (%S+) (%S+) v(%S+) (%S+) =(.*)$"
  elements = numbers(elements)
  return { name = name, shape = shape, flag = flag, leaf = leaf, version = version, grad_fn = made, elements = elements }
end

local function programs(path)
  local list, program = {}, nil
  for _, line in ipairs(check.lines(path)) do
    local title = line:match "^program (.+)$"
    if title then
      program = { title = title, statements = {}, states = {} }
      list[#list + 1] = program
    elseif line:find "^: " then
      table.insert(program.states, state(line))
    elseif line:find "^raises %d" then
      program.raises, program.reason = line:match "^raises (%d+): (.*)$"
      program.raises = tonumber(program.raises)
    elseif line ~= "" and line:sub(1, 1) ~= "#" then
      table.insert(program.statements, line)
    end
  end
  return list
end

-- What differs in a tensor from its expected state, as a list of texts.
local function differences(x, expected)
  if expected.shape == nil then return x ~= nil and { "is a tensor, not nil" } or {} end
  if x == nil then return { "is nil, not a tensor" } end
  local found = {}
  local function compare(what, ours, theirs)
    if theirs ~= "?" and ours ~= theirs then found[#found + 1] = ("%s is %s, not %s"):format(what, ours, theirs) end
  end
  local shape = "[" .. table.concat(x.shape, ", ") .. "]"
  compare("shape", shape, expected.shape)
  compare("requires_grad", x.requires_grad and "grad" or "const", expected.flag)
  compare("is_leaf", x.is_leaf and "leaf" or "made", expected.leaf)
  compare("_version", tostring(x._version), expected.version)
  -- A view that a write has made unusable raises here, and is not compared.
  if expected.grad_fn ~= "?" then compare("grad_fn", x.grad_fn and x.grad_fn.name or "-", expected.grad_fn) end
  if shape ~= expected.shape then return found end
  local ours, largest = x:detach():flatten():tolist(), 1
  for _, value in ipairs(expected.elements) do largest = math.max(largest, math.abs(value)) end
  for i, value in ipairs(expected.elements) do
    if not (math.abs(ours[i] - value) <= tolerance * largest) then
      compare(("element %d"):format(i), ("%.12g"):format(ours[i]), ("%.12g"):format(value))
      break
    end
  end
  return found
end

-- Runs a program; returns what differs, as a list of texts.
local function run(program)
  local environment = setmetatable({ mg = mg, F = mg.nn.functional }, { __index = _G })
  for i, statement in ipairs(program.statements) do
    local ok, message = pcall(assert(load(statement, "=statement " .. i, "t", environment)))
    if i == program.raises then
      if ok then return { ("statement %d did not raise. PyTorch: %s"):format(i, program.reason) } end
    elseif not ok then
      return { ("statement %d raised: %s"):format(i, message) }
    end
  end
  local found = {}
  for _, expected in ipairs(program.states) do
    local name, field = expected.name:match "^(%w+)%.?(%a*)$"
    local x = environment[name]
    if field == "grad" then x = x and x.grad end
    for _, difference in ipairs(differences(x, expected)) do found[#found + 1] = expected.name .. ": " .. difference end
  end
  return found
end

local given = os.getenv "MOONGRAD_PROGRAMS"
local list = programs(given or check.here .. "../../Fixtures/autograd/programs.txt")
if not given then table.move(programs(check.here .. "../../Fixtures/autograd/catalogue.txt"), 1, 10000, #list + 1, list) end
local default = mg.get_default_dtype()
mg.set_default_dtype "float64"

check.case("there are many programs", function() check.is_true(given or #list >= 650) end)

for _, program in ipairs(list) do
  check.case("program " .. program.title, function()
    -- vmap says of some operations that they have no rule for a batch.
    local ok, warnings, found = pcall(mg.catch_warnings, function() return run(program) end)
    if not ok then found = { warnings } end
    if #found > 0 then
      local lines = {}
      for i, statement in ipairs(program.statements) do lines[i] = ("%4d  %s"):format(i, statement) end
      check.fail(("%s\n%s"):format(table.concat(found, "\n    "), table.concat(lines, "\n")))
    end
  end)
end

mg.set_default_dtype(default)
return check.done()

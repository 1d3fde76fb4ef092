-- What the scripts in topics/ say their expectations with. A script is a list of cases and ends with
-- `return check.done()`, which raises if a case failed and lists each failure with its place:
--
--     local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
--     check.case("a sum", function() check.equal(1 + 1, 2) end)
--     return check.done()

local mg = require "moongrad"

local check = {}
local cases, failed, failures = 0, 0, {}
local case                                          -- the running case's name

-- The script's line that is being run, looked up from a check function's caller.
local function place(level)
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then return "?" end
    if info.currentline > 0 and not info.short_src:find "check%.lua$" then
      return info.short_src:match "[^/]*$" .. ":" .. info.currentline
    end
    level = level + 1
  end
end

local function fail(message, ...)
  failures[#failures + 1] = ("%s: %s: %s"):format(place(3), case or "outside of any case", message:format(...))
end

-- Fails for a reason that the script found itself.
function check.fail(message) fail("%s", message) end

-- Runs a case. An error in it is a failure, and the cases after it still run.
function check.case(name, body)
  cases, case = cases + 1, name
  local before = #failures
  xpcall(body, function(message) fail("raised %s", debug.traceback(tostring(message), 2)) end)
  if #failures > before then failed = failed + 1 end
  case = nil
end

local function shown(value)
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

-- What differs first between two values, as text; nil if nothing does. Tables are compared by content, tensors by dtype,
-- shape and every element.
local function difference(actual, expected, path)
  if mg.is_tensor(actual) and mg.is_tensor(expected) then
    if actual.dtype ~= expected.dtype then return ("%sdtype is %s, not %s"):format(path, actual.dtype, expected.dtype) end
    return difference(actual.shape, expected.shape, path .. "shape")
      or difference(actual:detach():tolist(), expected:detach():tolist(), path .. "element ")
  end
  if type(actual) == "table" and type(expected) == "table" then
    for key, value in pairs(expected) do
      local found = difference(actual[key], value, ("%s[%s]"):format(path, shown(key)))
      if found then return found end
    end
    for key, value in pairs(actual) do
      if expected[key] == nil then return ("%s[%s] is %s, not nil"):format(path, shown(key), shown(value)) end
    end
    return nil
  end
  if actual == expected and math.type(actual) == math.type(expected) then return nil end
  if actual ~= actual and expected ~= expected then return nil end -- NaN
  return ("%sis %s, not %s"):format(path == "" and "" or path .. " ", shown(actual), shown(expected))
end

function check.equal(actual, expected)
  local found = difference(actual, expected, "")
  if found then fail("%s", found) end
end

-- Elements of a tensor, as nested lists; integers and floats of one value are equal here.
function check.elements(tensor, expected)
  if not mg.is_tensor(tensor) then return fail("expected a tensor, got %s", shown(tensor)) end
  local wanted = mg.tensor(expected, { dtype = tensor.dtype })
  local found = difference(tensor, wanted, "")
  if found then fail("%s", found) end
end

-- A tensor or number within a tolerance, relative to `expected` from 1 on and absolute below.
function check.close(actual, expected, tolerance)
  local a = mg.as_tensor(actual, { dtype = "float64" }):detach():to "float64"
  local b = mg.as_tensor(expected, { dtype = "float64" }):detach():to "float64"
  local found = difference(a.shape, b.shape, "shape")
  if found then return fail("%s", found) end
  local off = ((a - b):abs() / b:abs():clamp(1)):max():item()
  if not (off <= (tolerance or 1e-6)) then fail("is off by %g: %s, not %s", off, actual, expected) end
end

function check.is_true(value) if not value then fail("is %s, not true", shown(value)) end end

-- `body` raises an error whose message is `text` behind its position; or, if `text` ends with "…", begins with it.
function check.raises(text, body, ...)
  local results = table.pack(pcall(body, ...))
  if results[1] then return fail("raised no error but returned %s; expected: %s", shown(results[2]), text) end
  local message = tostring(results[2])
  local plain = message:gsub("^[^\n]-:%d+: ", "")
  local start = text:match "^(.*)…$"
  if start and plain:sub(1, #start) == start or plain == text then return end
  fail("raised: %s\n    expected: %s", plain, text)
end

-- The same for a piece of Lua, compiled with the library's tables as names. Every such error has a position.
function check.rejects(source, text, x)
  local chunk = assert(load("local mg, nn, optim, F, x = ... " .. source, "=input"))
  local results = table.pack(pcall(chunk, mg, mg.nn, mg.optim, mg.nn.functional, x))
  if results[1] then return fail("%s: raised no error; expected: %s", source, text) end
  local message = tostring(results[2])
  local plain, positions = message:gsub("^[^\n]-:%d+: ", "")
  if positions == 0 then fail("%s: the error has no position: %s", source, message) end
  if plain:find("\n", 1, true) then fail("%s: the error has several lines: %s", source, message) end
  local start = text:match "^(.*)…$"
  if start and plain:sub(1, #start) == start or plain == text then return end
  fail("%s: raised: %s\n    expected: %s", source, plain, text)
end

-- The message of the error that `f` raises; the warnings that it gives until then are not shown.
function check.message_of(f, ...)
  local _, ok, message = mg.catch_warnings(pcall, f, ...)
  return ok and "no error was raised" or tostring(message)
end

-- A message has each of the parts.
function check.mentions(message, ...)
  for _, part in ipairs { ... } do
    if not message:find(part, 1, true) then fail("the message does not have %q: %s", part, message) end
  end
end

-- The lines that a script prints. It is run with a `print` of its own and with itself as arg[0].
function check.printed(path)
  local lines = {}
  local function capture(...)
    local parts = table.pack(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    for line in (table.concat(parts, "\t") .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  end
  local environment = setmetatable({ print = capture, arg = { [0] = path } }, { __index = _G })
  local chunk = assert(loadfile(path, "t", environment))
  chunk()
  return lines
end

function check.lines(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  return lines
end

-- Words of a line, numbers as numbers.
function check.words(line)
  local list = {}
  for word in line:gmatch "%S+" do list[#list + 1] = tonumber(word) or word end
  return list
end

-- The lines that a script printed are those of another program: the same words, and numbers that are off by no more than
-- `allowed(i, words)` of line i, a share of their size, which counts as `least` at least where it gives a second number.
function check.same_run(printed, expected, allowed)
  if #printed ~= #expected then fail("%d lines, not %d", #printed, #expected) end
  local worst, where = 1, nil
  for i, line in ipairs(expected) do
    local theirs, ours = check.words(line), check.words(printed[i] or "")
    local share, least = allowed(i, theirs)
    if #ours ~= #theirs then return fail("line %d is %q, not %q", i, printed[i] or "", line) end
    for j, value in ipairs(theirs) do
      if type(value) == "number" and type(ours[j]) == "number" then
        local off = value == ours[j] and 0 or math.abs(ours[j] - value) / math.max(math.abs(value), least or 0) / share
        if not (off <= worst) then worst, where = off, ("line %d is %q, not %q"):format(i, printed[i], line) end
      elseif value ~= ours[j] then
        return fail("line %d is %q, not %q", i, printed[i], line)
      end
    end
  end
  if where then fail("off by %.3g of what is allowed: %s", worst, where) end
end

-- The folder of the running script, with its slash.
check.here = arg[0]:match "^.*/" or "./"

function check.done()
  if #failures > 0 then
    error(("%d of %d cases failed:\n  %s"):format(failed, cases, table.concat(failures, "\n  ")), 0)
  end
  return cases
end

return check

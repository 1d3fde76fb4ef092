-- What is better said in Lua than in Swift: scopes as blocks or functions, loops, warnings, helpful missing names.

local native, mg = ...
local format = string.format
local nearest, raise = native.nearest, native.raise
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

-- mg.no_grad() gives a guard for `local _ <close> = …`; mg.no_grad(f) runs f inside and returns what it returns.
for _, name in ipairs { "no_grad", "enable_grad", "inference_mode" } do
  local enter = mg[name]
  mg[name] = function(f, ...)
    if type(f) ~= "function" then
      -- inference_mode also takes a flag.
      if f ~= nil and not (name == "inference_mode" and type(f) == "boolean") then
        raise(format("%s: expected a function to run, or nothing, got %s", name, type(f)))
      end
      return enter(f, ...)
    end
    local _ <close> = enter()
    return f(...)
  end
end

local set_grad_enabled = mg.set_grad_enabled
function mg.set_grad_enabled(flag, f, ...)
  if type(flag) ~= "boolean" then raise("set_grad_enabled: expected true or false, got " .. tostring(flag)) end
  if type(f) ~= "function" then return set_grad_enabled(flag) end
  local _ <close> = set_grad_enabled(flag)
  return f(...)
end

-- Runs f and returns the warnings it gave, as a list, before its results.
function mg.catch_warnings(f, ...)
  if type(f) ~= "function" then raise("catch_warnings: expected a function to run, got " .. type(f)) end
  local list, outer = {}, lent "warn"
  lend("warn", function(...)
    local text = table.concat { ... }
    if string.sub(text, 1, 1) ~= "@" then list[#list + 1] = text end
  end)
  local results = table.pack(pcall(f, ...))
  lend("warn", outer)
  if not results[1] then error(results[2], 0) end
  return list, table.unpack(results, 2, results.n)
end

function mg.is_tensor(value)
  local kind = native.kind_of(value)
  return kind == "Tensor" or kind == "Parameter"
end

function mg.as_tensor(value, options)
  if mg.is_tensor(value) then return value end
  return mg.tensor(value, options)
end
mg.from_table = mg.tensor
-- The tutorial's Variable: tensors do all of it now.
function mg.Variable(value, options)
  local t = mg.is_tensor(value) and value:detach() or mg.tensor(value)
  if options ~= nil and type(options) ~= "table" then raise("Variable: argument 2: expected options, got " .. type(options)) end
  if options and options.requires_grad then t:requires_grad_() end
  return t
end

--[=[ mg.finfo([dtype])

What a float dtype can hold: a table of bits, eps (from 1 to the next number), max, min, tiny (the smallest normal number, also
smallest_normal), resolution (its decimal digits) and dtype; of the default dtype where none is given.

Example:
  print(mg.finfo("float32").eps)
]=]

--[=[ mg.iinfo(dtype)

What an integer dtype can hold: a table of bits, max, min and dtype.

Example:
  print(mg.iinfo("int8").max)
]=]

-- Bits of the exponent and of the fraction, and PyTorch's resolution.
local floats = { float16 = { 5, 10, 1e-3 }, bfloat16 = { 8, 7, 1e-2 }, float32 = { 8, 23, 1e-6 }, float64 = { 11, 52, 1e-15 } }
-- Bits, and the bits of a magnitude.
local integers = { uint8 = { 8, 8 }, int8 = { 8, 7 }, int16 = { 16, 15 }, int32 = { 32, 31 }, int64 = { 64, 63 } }

-- A table that prints its fields in this order, as PyTorch does.
local function shown_record(name, fields, record)
  return setmetatable(record, { __tostring = function()
    local parts = {}
    for i, field in ipairs(fields) do
      local value = record[field]
      parts[i] = field .. "=" .. (type(value) == "number" and format("%.6g", value) or value)
    end
    return format("%s(%s)", name, table.concat(parts, ", "))
  end })
end

local function dtype_row(name, rows, dtype, expected)
  local row = type(dtype) == "string" and rawget(rows, dtype)
  if not row then
    raise(format("%s: expected %s, got %s", name, expected, type(dtype) == "string" and dtype or type(dtype)))
  end
  return table.unpack(row)
end

function mg.finfo(dtype)
  if dtype == nil then dtype = mg.get_default_dtype() end
  local exponent, fraction, resolution = dtype_row("finfo", floats, dtype, "a float dtype such as \"float32\"")
  local greatest = 2 ^ (exponent - 1) - 1
  local max, tiny = (2 - 2.0 ^ -fraction) * 2.0 ^ greatest, 2.0 ^ (1 - greatest)
  return shown_record("finfo", { "resolution", "min", "max", "eps", "smallest_normal", "tiny", "dtype" }, {
    bits = 1 + exponent + fraction, resolution = resolution, min = -max, max = max, eps = 2.0 ^ -fraction,
    smallest_normal = tiny, tiny = tiny, dtype = dtype,
  })
end

function mg.iinfo(dtype)
  local bits, magnitude = dtype_row("iinfo", integers, dtype, "an integer dtype such as \"int64\"")
  local max = (1 << magnitude) - 1
  return shown_record("iinfo", { "min", "max", "dtype" },
    { bits = bits, min = magnitude < bits and -max - 1 or 0, max = max, dtype = dtype })
end

-- What a dotted name such as "autograd.functional.jacobian" leads to, or nil.
local function known_as(name)
  local value = mg
  for part in string.gmatch(name, "[^.]+") do value = type(value) == "table" and rawget(value, part) or nil end
  return value
end

-- Prints a text by the script's own print, which may lead elsewhere than to standard output; unless that is something else.
local function show(text)
  local other = lent "print"
  if other == print or not pcall(other, text) then print(text) end
end

-- Names of the library's functions, for help of a function; found by the first call. Those of tensors and the like are found
-- through one of each.
local names_of
local function name_of(topic)
  if not names_of then
    names_of = {}
    local w = mg.zeros(1, { requires_grad = true })
    local opt = optim.SGD({ w }, { lr = 1 })
    local samples = { Tensor = w, Optimizer = opt, Scheduler = optim.lr_scheduler.StepLR(opt, { step_size = 1 }) }
    for _, name in ipairs(native.help_names()) do
      local place, bare = string.match(name, "^(%u%l+)%.(.+)$")
      local ok, value
      if place == "Module" then
        ok, value = true, rawget(nn.Module, bare)
      elseif place then
        ok, value = pcall(function() return samples[place][bare] end)
      else
        ok, value = true, known_as(name)
      end
      local kind = type(value)
      if ok and (kind == "function" or kind == "table") and names_of[value] == nil then names_of[value] = name end
    end
  end
  return names_of[topic]
end

-- All names, by where they are.
local function topics(names)
  local places, list = {}, {}
  for _, name in ipairs(names) do
    local place, bare = string.match(name, "^(.+)%.([^.]+)$")
    place, bare = place or "mg", bare or name
    if not places[place] then
      places[place] = {}
      list[#list + 1] = place
    end
    table.insert(places[place], bare)
  end
  table.sort(list)
  for i, place in ipairs(list) do list[i] = place .. ": " .. table.concat(places[place], " ") end
  return table.concat(list, "\n\n")
end

-- mg.help("sum"), mg.help(x.sum), mg.help(nn.Linear): prints the reference text; mg.help() lists the topics.
function mg.help(topic)
  local names = native.help_names()
  if topic == nil then return show(topics(names)) end
  local name = topic
  if type(topic) == "function" or type(topic) == "table" then name = name_of(topic) end
  local text = type(name) == "string" and native.help_text(name)
  if text then return show(text) end
  -- A name may be meant without its table.
  local known = table.move(names, 1, #names, 1, {})
  for _, listed in ipairs(names) do known[#known + 1] = string.match(listed, "[^.]+$") end
  local hint = type(topic) == "string" and nearest(topic, known)
  raise(format("help: nothing is known about %s%s", type(topic) == "string" and format("'%s'", topic) or "this " .. type(topic),
    hint and format("; did you mean '%s'?", hint) or ""))
end

-- To be filled by the parts that follow.
mg.autograd.functional, mg.func, nn.utils.rnn, optim.swa_utils = {}, {}, {}, {}
mg.data, mg.loggers = {}, {}

-- A name that does not exist is an error that names the nearest one.
local function strict(library, name)
  setmetatable(library, { __index = function(_, key)
    local known = {}
    for other in pairs(library) do known[#known + 1] = other end
    local hint = nearest(tostring(key), known)
    raise(format("%s has no '%s'%s", name, tostring(key), hint and format("; did you mean '%s'?", hint) or ""))
  end })
end
strict(mg, "moongrad")
strict(nn, "nn")
strict(optim, "optim")
strict(optim.lr_scheduler, "optim.lr_scheduler")
strict(F, "nn.functional")
strict(nn.init, "nn.init")
strict(nn.utils, "nn.utils")
strict(nn.utils.rnn, "nn.utils.rnn")
strict(optim.swa_utils, "optim.swa_utils")
strict(mg.autograd, "autograd")
strict(mg.autograd.functional, "autograd.functional")
strict(mg.func, "func")
strict(mg.data, "data")
strict(mg.metrics, "metrics")
strict(mg.loggers, "loggers")

-- nn.Sequential, ModuleList, ModuleDict, ParameterList and ParameterDict: classes like those of scripts, whose instances also
-- answer positions and can be taken apart and put together. Positions count from 1, and from the end where they are negative;
-- in checkpoints they count from 0, as PyTorch's.

local native, _, nn, shared = ...
local format = string.format
local kind_of, nearest, raise = native.kind_of, native.nearest, native.raise
local new_class, assign, is_module, class_name = shared.new_class, shared.assign, shared.is_module, shared.class_name
local class_of, guard = shared.class_of, shared.guard
-- Looked up once, since every step of training comes by Sequential.
local rawget, rawlen = rawget, rawlen

-- What may be kept ------------------------------------------------------------------------------------------------

local function described(value)
  if is_module(value) then return "a module" end
  if kind_of(value) then return "a tensor" end
  return value == nil and "nil" or "a " .. type(value)
end

local function module_of(value, list, place)
  if is_module(value) then return value end
  raise(format("%s: element %s is not a module but %s", class_name(list), place, described(value)))
end

-- As in PyTorch, other tensors become parameters.
local function parameter_of(value, list, place)
  local kind = kind_of(value)
  if kind == "Parameter" then return value end
  if kind == "Tensor" then return nn.Parameter(value) end
  raise(format("%s: element %s is not a parameter (nn.Parameter(t)) but %s", class_name(list), place, described(value)))
end

-- A plain table, or nothing.
local function listed(value, name)
  if value ~= nil and (type(value) ~= "table" or is_module(value)) then
    raise(format("%s: expected a list, got %s%s", name, described(value), kind_of(value) and format("; write nn.%s{ … }", name) or ""))
  end
  return value or {}
end

-- Lists -----------------------------------------------------------------------------------------------------------

-- The names of a Sequential whose modules have names, in order; nil where they are positions.
local function names_of(list) return rawget(list, "__names") end

local function count_of(list)
  local names = names_of(list)
  return names and #names or rawlen(list)
end

-- The position that a number means, up to `last`. Raises for others.
local function position_in(list, key, last)
  local count = count_of(list)
  local whole = math.tointeger(key)
  if not whole then raise(format("%s: index %s is not a whole number", class_name(list), tostring(key))) end
  if whole == 0 then raise(format("%s: index 0 is out of range: indices start at 1 (and -1 is the last)", class_name(list))) end
  local position = whole < 0 and count + 1 + whole or whole
  if position < 1 or position > last then
    raise(format("%s: index %d is out of range: there %s %d element%s", class_name(list), whole, count == 1 and "is" or "are", count,
      count == 1 and "" or "s"))
  end
  return position
end

local function element(list, position)
  local names = names_of(list)
  return rawget(list, names and names[position] or position)
end

local function append(list, value)
  local names = names_of(list)
  if not names then return assign(list, rawlen(list) + 1, value) end
  local name = tostring(#names)
  names[#names + 1] = name
  assign(list, name, value)
end

-- The elements {first, last} or {first, last, step} of a list, as one of its class.
local function part(list, range)
  local name, count = class_name(list), count_of(list)
  if type(range) ~= "table" or #range < 2 or #range > 3 then
    raise(format("%s: a range is {{first, last}} or {{first, last, step}}, as for tensors", name))
  end
  local first, last = position_in(list, range[1], count), position_in(list, range[2], count)
  local step = range[3] or 1
  if math.type(step) ~= "integer" or step < 1 then raise(format("%s: the step of a range must be 1 or more, got %s", name, tostring(step))) end
  local values = {}
  for position = first, last, step do values[#values + 1] = element(list, position) end
  return nn[name](values)
end

-- A class of lists of what `checked` lets pass, or makes of it.
local function list_class(name, checked)
  local class = new_class(name)
  local meta = class.__instances
  local index = meta.__index
  meta.__index = function(self, key)
    if type(key) == "number" then
      -- Reading one beyond the end ends ipairs.
      if rawget(self, "__names") == nil and key == rawlen(self) + 1 then return nil end
      local position = position_in(self, key, count_of(self) + 1)
      return element(self, position)
    end
    if type(key) == "table" then return part(self, key[1]) end
    return index(self, key)
  end
  -- Positive positions that are taken are plain writes, which do not come by here.
  meta.__newindex = function(self, key, value)
    if type(key) ~= "number" then return assign(self, key, value) end
    local count = count_of(self)
    local position = position_in(self, key, count + 1)
    if value == nil then
      if position == count then self:pop() elseif position < count then self:pop(position) end
      return
    end
    value = checked(value, self, position)
    if position > count then append(self, value) else rawset(self, names_of(self) and names_of(self)[position] or position, value) end
  end
  meta.__len = count_of
  meta.__pairs = function(self)
    return function(_, position)
      position = position + 1
      if position <= count_of(self) then return position, element(self, position) end
    end, self, 0
  end

  function class:append(value)
    append(self, checked(value, self, count_of(self) + 1))
    return self
  end

  function class:extend(values)
    local list = is_module(values) and values or listed(values, class_name(self) .. ":extend")
    local given = {}
    for i = 1, #list do given[i] = checked(list[i], self, count_of(self) + i) end
    for _, value in ipairs(given) do append(self, value) end
    return self
  end

  function class:insert(position, value)
    local count = count_of(self)
    -- Before the element that has the position, as table.insert does.
    position = position_in(self, position, count + 1)
    value = checked(value, self, position)
    if names_of(self) then raise(format("%s: insert: its modules have names; append them in order", class_name(self))) end
    append(self, value)
    for i = count, position, -1 do rawset(self, i + 1, rawget(self, i)) end
    rawset(self, position, value)
    return self
  end

  function class:pop(position)
    local count = count_of(self)
    if count == 0 then raise(format("%s: pop: there is no element", class_name(self))) end
    position = position == nil and count or position_in(self, position, count)
    local value, names = element(self, position), names_of(self)
    if names then
      rawset(self, table.remove(names, position), nil)
    else
      for i = position, count do rawset(self, i, rawget(self, i + 1)) end
    end
    return value
  end

  nn[name] = class
  return class
end

local Sequential = list_class("Sequential", module_of)

-- Modules as arguments, or in a list; pairs {"name", module} in a list give them names.
function Sequential:init(...)
  local given = table.pack(...)
  if given.n == 1 and type(given[1]) == "table" and not is_module(given[1]) then
    given = table.move(given[1], 1, #given[1], 1, { n = #given[1] })
    if next(given, "n") == nil and given.n == 0 then return end
  end
  for i = 1, given.n do
    local entry = given[i]
    if type(entry) == "table" and not is_module(entry) and type(entry[1]) == "string" then
      if i > 1 and not names_of(self) then raise("Sequential: either all modules have names or none has") end
      if i == 1 then rawset(self, "__names", {}) end
      local names = names_of(self)
      for _, name in ipairs(names) do if name == entry[1] then raise(format("Sequential: the name '%s' is given twice", name)) end end
      names[i] = entry[1]
      assign(self, entry[1], module_of(entry[2], self, format("'%s'", entry[1])))
    else
      if names_of(self) then raise("Sequential: either all modules have names or none has") end
      append(self, module_of(entry, self, i))
    end
  end
end

-- No varargs, and no metamethod for the length.
function Sequential:forward(x, more)
  if not class_of[self] then raise("forward: expected a Sequential as self, got " .. described(self)) end
  if more ~= nil then raise("Sequential: takes 1 value, got several") end
  local names = rawget(self, "__names")
  if names then
    for i = 1, #names do x = self[names[i]](x) end
  else
    for i = 1, rawlen(self) do x = self[i](x) end
  end
  return x
end

guard(Sequential, "forward")

local ModuleList = list_class("ModuleList", module_of)
local ParameterList = list_class("ParameterList", parameter_of)
for name, class in pairs { ModuleList = ModuleList, ParameterList = ParameterList } do
  function class:init(list)
    if is_module(list) and class_name(list) == name then self:extend(list) return end
    for _, value in ipairs(listed(list, name)) do self:append(value) end
  end
  guard(class)
end

-- Dictionaries ----------------------------------------------------------------------------------------------------

-- A class of entries by name, in the order in which they were added; those of a table are added in order of their names.
local function dictionary_class(name, checked)
  local class = new_class(name)
  local meta = class.__instances
  meta.__newindex = function(self, key, value)
    if type(key) ~= "string" then raise(format("%s: names are strings, got %s", name, described(key))) end
    assign(self, key, value ~= nil and checked(value, self, format("'%s'", key)) or nil)
  end

  function class:init(entries)
    if entries ~= nil then self:update(entries) end
  end

  function class:update(entries)
    local names = {}
    if is_module(entries) and class_name(entries) == name then
      names = entries:keys()
    else
      for key in pairs(listed(entries, name)) do names[#names + 1] = key end
      for _, key in ipairs(names) do
        if type(key) ~= "string" then raise(format("%s: names are strings, got %s", name, described(key))) end
      end
      table.sort(names)
    end
    for _, key in ipairs(names) do
      local value = checked(rawget(entries, key), self, format("'%s'", key))
      if rawget(self, key) ~= nil then rawset(self, key, value) else assign(self, key, value) end
    end
    return self
  end

  function class:keys()
    local result = {}
    for i, entry in ipairs(shared.entries(self)) do result[i] = entry[1] end
    return result
  end

  function class:values()
    local result = {}
    for i, entry in ipairs(shared.entries(self)) do result[i] = entry[2] end
    return result
  end

  function class:items() return pairs(self) end

  function class:pop(key)
    local value = rawget(self, key)
    if type(key) ~= "string" or value == nil or key == "training" then
      local hint = type(key) == "string" and nearest(key, self:keys())
      raise(format("%s: pop: there is no '%s'%s", name, tostring(key), hint and format("; did you mean '%s'?", hint) or ""))
    end
    rawset(self, key, nil)
    return value
  end

  function class:clear()
    for _, key in ipairs(self:keys()) do rawset(self, key, nil) end
    return self
  end

  meta.__len = function(self) return #shared.entries(self) end
  meta.__pairs = function(self)
    local entries, i = shared.entries(self), 0
    return function()
      i = i + 1
      if entries[i] then return entries[i][1], entries[i][2] end
    end
  end
  nn[name] = class
  guard(class)
end

dictionary_class("ModuleDict", module_of)
dictionary_class("ParameterDict", parameter_of)

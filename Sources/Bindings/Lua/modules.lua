-- Modules that scripts define, and everything that walks trees of modules.
--
-- A class made by nn.Module is a table of methods; its instances are plain tables, so that `self.hidden` costs one
-- raw read. The order in which names were first assigned is kept aside: it is the order of parameters, printing and
-- checkpoints. Modules that Swift implements are handles; the functions here treat both alike.

local native, mg, nn = ...
-- Scripts may give these names other values.
local getmetatable, ipairs, next, pairs, rawget, rawset, select, setmetatable, tostring, type =
  getmetatable, ipairs, next, pairs, rawget, rawset, select, setmetatable, tostring, type
local math, table = math, table
local own, kind_of, identity, module_kind, nearest, raise =
  native.own, native.kind_of, native.identity, native.module_kind, native.nearest, native.raise

local order = setmetatable({}, { __mode = "k" })   -- instance → names in order of first assignment
local known_names = setmetatable({}, { __mode = "k" })  -- instance → set of those names
local hooks = setmetatable({}, { __mode = "k" })   -- instance → { pre = {…}, post = {…}, … }
local class_of = setmetatable({}, { __mode = "k" })

local Module = {}                                  -- the methods every class inherits

local function is_script_module(value) return type(value) == "table" and class_of[value] ~= nil end
local function is_module(value) return is_script_module(value) or kind_of(value) == "Module" end

local function class_name(module)
  local class = class_of[module]
  return class and class.__name or module_kind(module)
end

-- Raised by reading a field that was never assigned: a misspelt name should not become nil and fail elsewhere.
local function missing(self, key, class)
  local names = order[self]
  if known_names[self][key] then return nil end    -- assigned once, nil now
  if type(key) == "number" then return nil end     -- ends ipairs
  local known = {}
  for i = 1, #names do known[i] = tostring(names[i]) end
  local methods = class
  while methods do
    for name in pairs(methods) do known[#known + 1] = tostring(name) end
    local meta = getmetatable(methods)
    methods = meta and meta.__index
  end
  local hint = nearest(tostring(key), known)
  raise(("field '%s' of %s does not exist%s"):format(tostring(key), class.__name,
    hint and ("; did you mean '%s'?"):format(hint) or ""))
end

local function assign(self, key, value)
  local names, known = order[self], known_names[self]
  if known[key] then                               -- named before, removed since: to the end, as in PyTorch
    for i = 1, #names do if names[i] == key then table.remove(names, i) break end end
  end
  names[#names + 1] = key
  known[key] = true
  rawset(self, key, value)
end

-- An identity whose backward shows the gradients to a function, which may replace them: what backward hooks of modules
-- hang on. `tensors` and the result are lists of tensors; made when first needed, since Function comes later.
local Gate
local function gate(tensors, see)
  Gate = Gate or mg.autograd.Function("BackwardHookFunction", {
    forward = function(ctx, see, ...)
      ctx.see = see
      ctx:set_materialize_grads(false)
      return ...
    end,
    backward = function(ctx, ...)
      local gradients = ctx.see(table.pack(...))
      return nil, table.unpack(gradients, 1, gradients.n)
    end,
  })
  return table.pack(Gate(see, table.unpack(tensors)))
end

-- Passes the tensors among `values` through a gate; the gradients that `see` gets stand where the values do.
local function gated(values, see)
  local tensors, places = {}, {}
  for i = 1, values.n do
    if kind_of(values[i]) == "Tensor" or kind_of(values[i]) == "Parameter" then
      tensors[#tensors + 1], places[#places + 1] = values[i], i
    end
  end
  if #tensors == 0 then return values end
  local passed = gate(tensors, function(gradients)
    local spread = { n = values.n }
    for i, place in ipairs(places) do spread[place] = gradients[i] end
    spread = see(spread)
    local result = { n = #places }
    for i, place in ipairs(places) do result[i] = spread[place] end
    return result
  end)
  local result = table.move(values, 1, values.n, 1, { n = values.n })
  for i, place in ipairs(places) do result[place] = passed[i] end
  return result
end

-- What a backward hook returned in the place of gradients: a list, or a tensor where there is one.
local function replaced_by(hook_result, gradients, what, module)
  if hook_result == nil then return gradients end
  local function refuse(message, ...) raise(("%s of %s: "):format(what, class_name(module)) .. message:format(...)) end
  if gradients.n == 1 and kind_of(hook_result) then hook_result = { hook_result } end
  if type(hook_result) ~= "table" then
    refuse("expected a list of %d gradient%s, got a %s", gradients.n, gradients.n == 1 and "" or "s", type(hook_result))
  end
  for position in pairs(hook_result) do
    if math.type(position) == "integer" and position > gradients.n then
      refuse("a hook returned at least %d gradients where there are %d", position, gradients.n)
    end
  end
  local list = { n = gradients.n }
  for i = 1, gradients.n do
    local new, old = hook_result[i], gradients[i]
    if new ~= nil and not kind_of(new) then refuse("a hook returned a %s as gradient %d, expected a tensor or nil", type(new), i) end
    if new and old and table.concat(new.shape, ", ") ~= table.concat(old.shape, ", ") then
      refuse("a hook returned a gradient of shape [%s] for one of shape [%s]", table.concat(new.shape, ", "),
        table.concat(old.shape, ", "))
    end
    list[i] = new
  end
  return list
end

-- The hooks of a list as they are now, since a hook may remove itself or others while they run.
local function settled(list) return table.move(list, 1, #list, 1, {}) end

local function any_requires_grad(values)
  for i = 1, values.n do
    if (kind_of(values[i]) == "Tensor" or kind_of(values[i]) == "Parameter") and values[i].requires_grad then return true end
  end
  return false
end

-- Whether a value is a list, rather than a module, an option table or what else tables are used for.
local function is_list(value)
  if type(value) ~= "table" or getmetatable(value) ~= nil then return false end
  for key in pairs(value) do
    if math.type(key) ~= "integer" and key ~= "n" then return false end
  end
  return true
end

-- The inputs after a forward pre-hook that returned something: a list of other ones, or the only one.
local function inputs_after(module, inputs, ...)
  local count, new = select("#", ...), ...
  if count > 1 then
    raise(("forward pre-hook of %s: a hook returned %d values; other inputs are returned as one list"):format(
      class_name(module), count))
  end
  if new == nil then return inputs end
  if not is_list(new) then return { new, n = 1 } end
  return table.pack(table.unpack(new, 1, math.tointeger(new.n) or #new))
end

-- A call of a module that has hooks: forward-pre, forward, forward hooks; the gates of the backward hooks around them,
-- which will run those that are registered now.
local function run_hooks(self, set, forward, ...)
  local inputs = table.pack(...)
  local backward, backward_pre = settled(set.backward), settled(set.backward_pre)
  for _, hook in ipairs(settled(set.pre)) do inputs = inputs_after(self, inputs, hook.body(self, inputs)) end

  local watched = #backward + #backward_pre > 0 and mg.is_grad_enabled()
  local grad_outputs
  local function finish(gradients)
    for _, hook in ipairs(backward) do
      gradients = replaced_by(hook.body(self, gradients, grad_outputs), gradients, "full backward hook", self)
    end
    return gradients
  end
  local enters = watched and any_requires_grad(inputs)
  if enters then inputs = gated(inputs, finish) end

  local outputs = table.pack(forward(self, table.unpack(inputs, 1, inputs.n)))
  for _, hook in ipairs(settled(set.post)) do
    local changed = table.pack(hook.body(self, inputs, table.unpack(outputs, 1, outputs.n)))
    if changed.n > 0 and changed[1] ~= nil then outputs = changed end
  end

  if watched and any_requires_grad(outputs) then
    outputs = gated(outputs, function(gradients)
      for _, hook in ipairs(backward_pre) do
        gradients = replaced_by(hook.body(self, gradients), gradients, "full backward pre-hook", self)
      end
      grad_outputs = gradients
      -- Where no input takes a gradient there is no gate to wait for, and nothing to replace.
      if not enters then
        local replaced = finish({ n = inputs.n })
        for i = 1, replaced.n do
          if replaced[i] ~= nil then
            raise(("full backward hook of %s: a hook returned a gradient, but no input requires grad"):format(class_name(self)))
          end
        end
      end
      return gradients
    end)
  end
  return table.unpack(outputs, 1, outputs.n)
end

local function instance_metatable(class)
  return {
    __name = class.__name,
    __index = function(self, key)
      local value = class[key]
      if value ~= nil then return value end
      return missing(self, key, class)
    end,
    __newindex = assign,
    __call = function(self, ...)
      local set = hooks[self]
      if set then return run_hooks(self, set, class.forward, ...) end
      return class.forward(self, ...)
    end,
    __tostring = function(self) return Module.__text(self) end,
  }
end

local function construct(class, ...)
  local instance = {}
  class_of[instance] = class
  order[instance], known_names[instance] = {}, {}
  rawset(instance, "training", true)
  setmetatable(instance, class.__instances)
  if class.init then class.init(instance, ...) end
  return instance
end

local function new_class(name, base)
  if type(name) ~= "string" then
    raise("nn.Module: expected a name for the class, as in  local Net = nn.Module \"Net\"")
  end
  local class = { __name = name }
  class.__instances = instance_metatable(class)
  return setmetatable(class, {
    __index = base or Module,
    __call = construct,
    __tostring = function() return "class " .. name end,
  })
end

setmetatable(Module, { __call = function(_, name, base) return new_class(name, base) end })
nn.Module = Module

function Module.forward(self)
  raise(("%s has no forward: define  function %s:forward(x) … end"):format(class_name(self), class_name(self)))
end

-- Own contents ---------------------------------------------------------------------------------------------------

-- The registered names and their values, in order; numbered children are named from 0, as in PyTorch's checkpoints.
local function fields(module)
  local names, i = order[module], 0
  return function()
    while true do
      i = i + 1
      local key = names[i]
      if key == nil then return nil end
      local value = rawget(module, key)
      if value ~= nil then
        return math.type(key) == "integer" and tostring(key - 1) or tostring(key), value
      end
    end
  end
end

local function own_tensors(module, visit, buffers)
  if is_script_module(module) then
    local registered = rawget(module, "__buffers")
    for name, value in fields(module) do
      local kind = kind_of(value)
      if buffers then
        if registered and registered[name] and kind then visit(name, value) end
      elseif kind == "Parameter" then
        visit(name, value)
      end
    end
  else
    local parameters, own_buffers = own(module)
    local list = buffers and own_buffers or parameters
    for i = 1, #list, 2 do visit(list[i], list[i + 1]) end
  end
end

local function children_of(module, visit)
  if not is_script_module(module) then return end
  for name, value in fields(module) do
    if is_module(value) then visit(name, value) end
  end
end

local function dotted(prefix, name) return prefix == "" and name or prefix .. "." .. name end

-- Every module of a tree, parents first, each once under its first name.
local function walk(module, prefix, visit, seen)
  seen = seen or {}
  local id = is_script_module(module) and module or identity(module)
  if seen[id] then return end
  seen[id] = true
  visit(prefix, module)
  children_of(module, function(name, child) walk(child, dotted(prefix, name), visit, seen) end)
end

-- Lists that are also iterators: `for p in net:parameters()` and `#net:parameters()`.
local function iterable(list)
  local position
  return setmetatable(list, { __call = function(_, _, previous)
    position = previous == nil and 1 or position + 1
    return list[position]
  end })
end

local function iterable_pairs(list)
  local position
  return setmetatable(list, { __call = function(_, _, previous)
    position = previous == nil and 1 or position + 1
    local entry = list[position]
    if entry then return entry[1], entry[2] end
  end })
end

local function named_tensors(module, buffers, keep_duplicates)
  local list, seen = {}, {}
  walk(module, "", function(path, part)
    own_tensors(part, function(name, tensor)
      local id = identity(tensor)
      if keep_duplicates or not seen[id] then
        seen[id] = true
        list[#list + 1] = { dotted(path, name), tensor }
      end
    end, buffers)
  end)
  return list
end

local function values(list)
  local result = {}
  for i, entry in ipairs(list) do result[i] = entry[2] end
  return result
end

function Module.named_parameters(self) return iterable_pairs(named_tensors(self)) end
function Module.parameters(self) return iterable(values(named_tensors(self))) end
function Module.named_buffers(self) return iterable_pairs(named_tensors(self, true)) end
function Module.buffers(self) return iterable(values(named_tensors(self, true))) end

function Module.named_modules(self)
  local list = {}
  walk(self, "", function(path, module) list[#list + 1] = { path, module } end)
  return iterable_pairs(list)
end

function Module.modules(self) return iterable(values(Module.named_modules(self))) end

function Module.named_children(self)
  local list = {}
  children_of(self, function(name, child) list[#list + 1] = { name, child } end)
  return iterable_pairs(list)
end

function Module.children(self) return iterable(values(Module.named_children(self))) end

-- Names can be added to instances of scripts' own classes; `what` is the caller.
local function own_class(self, name, what)
  if not is_script_module(self) then
    raise(("%s: %s takes no more fields; define a class of your own with nn.Module"):format(what, class_name(self)))
  end
  if type(name) ~= "string" then raise(("%s: argument 1: expected a name, got %s"):format(what, type(name))) end
end

function Module.register_buffer(self, name, tensor)
  own_class(self, name, "register_buffer")
  if tensor ~= nil and not kind_of(tensor) then
    raise(("register_buffer: argument 2: expected a tensor, got %s"):format(type(tensor)))
  end
  local registered = rawget(self, "__buffers")
  if not registered then
    registered = {}
    rawset(self, "__buffers", registered)
  end
  registered[name] = true
  self[name] = tensor
end

function Module.register_parameter(self, name, parameter)
  own_class(self, name, "register_parameter")
  if parameter ~= nil and kind_of(parameter) ~= "Parameter" then
    raise("register_parameter: argument 2: expected a parameter (nn.Parameter(t)), got " .. type(parameter))
  end
  self[name] = parameter
end

function Module.add_module(self, name, module)
  own_class(self, name, "add_module")
  if module ~= nil and not is_module(module) then
    raise("add_module: argument 2: expected a module, got " .. type(module))
  end
  self[name] = module
end

-- Doing something to all of it -----------------------------------------------------------------------------------

function Module.train(self, mode)
  if mode == nil then mode = true end
  if type(mode) ~= "boolean" then raise("train: expected true or false, got " .. type(mode)) end
  walk(self, "", function(_, module)
    if is_script_module(module) then rawset(module, "training", mode) else module.training = mode end
  end)
  return self
end

function Module.eval(self) return Module.train(self, false) end

function Module.zero_grad(self, options)
  for _, entry in ipairs(named_tensors(self)) do
    local p = entry[2]
    if type(options) == "table" and options.set_to_none == false then
      if p.grad then p.grad:zero_() end
    else
      p.grad = nil
    end
  end
end

function Module.requires_grad_(self, required)
  for _, entry in ipairs(named_tensors(self)) do entry[2]:requires_grad_(required == nil or required) end
  return self
end

function Module.apply(self, visit)
  if type(visit) ~= "function" then raise("apply: expected a function, got " .. type(visit)) end
  children_of(self, function(_, child) Module.apply(child, visit) end)
  visit(self)
  return self
end

function Module.to(self, dtype)
  for _, buffers in ipairs { false, true } do
    for _, entry in ipairs(named_tensors(self, buffers)) do
      native.convert(entry[2], dtype)
    end
  end
  return self
end

function Module.float(self) return Module.to(self, "float32") end
function Module.double(self) return Module.to(self, "float64") end

-- State ----------------------------------------------------------------------------------------------------------

-- Names to tensors, in order under pairs().
function Module.state_dict(self)
  local names, state = {}, {}
  walk(self, "", function(path, part)
    for _, buffers in ipairs { false, true } do
      own_tensors(part, function(name, tensor)
        names[#names + 1] = dotted(path, name)
        state[dotted(path, name)] = tensor:detach()
      end, buffers)
    end
  end)
  return setmetatable(state, { __pairs = function()
    local i = 0
    return function()
      i = i + 1
      while names[i] and state[names[i]] == nil do i = i + 1 end
      return names[i], state[names[i]]
    end
  end })
end

function Module.load_state_dict(self, state, options)
  if type(state) ~= "table" then raise("load_state_dict: expected a table of tensors, got " .. type(state)) end
  local strict = not (type(options) == "table" and options.strict == false)
  local mine, missing_keys, unexpected_keys, problems = {}, {}, {}, {}
  for name, tensor in pairs(Module.state_dict(self)) do
    mine[name] = tensor
    local source = state[name]
    if source == nil then
      missing_keys[#missing_keys + 1] = name
    elseif not mg.is_tensor(source) then
      problems[#problems + 1] = ("%s is no tensor but a %s"):format(name, type(source))
    elseif table.concat(source.shape, ", ") ~= table.concat(tensor.shape, ", ") then
      problems[#problems + 1] = ("%s has shape [%s] here and [%s] in the state"):format(
        name, table.concat(tensor.shape, ", "), table.concat(source.shape, ", "))
    end
  end
  for name in pairs(state) do
    if mine[name] == nil then unexpected_keys[#unexpected_keys + 1] = tostring(name) end
  end
  table.sort(unexpected_keys)
  if strict and #missing_keys > 0 then table.insert(problems, 1, "missing " .. table.concat(missing_keys, ", ")) end
  if strict and #unexpected_keys > 0 then problems[#problems + 1] = "unexpected " .. table.concat(unexpected_keys, ", ") end
  if #problems > 0 then
    raise(("load_state_dict: %s does not fit: %s"):format(class_name(self), table.concat(problems, "; ")))
  end
  mg.no_grad(function()
    for name, tensor in pairs(mine) do
      if state[name] ~= nil then tensor:copy_(state[name]) end
    end
  end)
  return { missing_keys = missing_keys, unexpected_keys = unexpected_keys }
end

-- Hooks ----------------------------------------------------------------------------------------------------------

-- The hooks of a module: those of handles are tied to Swift's object, since handles of one object are no one key.
local function hooks_of(module)
  if is_script_module(module) then return hooks[module] end
  return native.module_hooks(module)
end

local function set_hooks(module, set)
  if is_script_module(module) then hooks[module] = set else native.module_hooks(module, set or false) end
end

local function add_hook(self, where, what, body)
  if type(body) ~= "function" then raise(("%s: expected a function, got %s"):format(what, type(body))) end
  local set = hooks_of(self)
  if not set then
    set = { pre = {}, post = {}, backward = {}, backward_pre = {} }
    set_hooks(self, set)
  end
  local hook = { body = body }
  table.insert(set[where], hook)
  return { remove = function()
    for i, other in ipairs(set[where]) do if other == hook then table.remove(set[where], i) break end end
    -- Modules without hooks are called directly; after that, this module may have got another set.
    if hooks_of(self) == set and #set.pre + #set.post + #set.backward + #set.backward_pre == 0 then set_hooks(self, nil) end
  end }
end

function Module.register_forward_hook(self, body) return add_hook(self, "post", "register_forward_hook", body) end
function Module.register_forward_pre_hook(self, body) return add_hook(self, "pre", "register_forward_pre_hook", body) end
function Module.register_full_backward_hook(self, body)
  return add_hook(self, "backward", "register_full_backward_hook", body)
end
function Module.register_full_backward_pre_hook(self, body)
  return add_hook(self, "backward_pre", "register_full_backward_pre_hook", body)
end

-- Printing: PyTorch's tree ---------------------------------------------------------------------------------------

function Module.__text(self)
  local lines = {}
  local extra = class_of[self].extra_repr and class_of[self].extra_repr(self)
  children_of(self, function(name, child)
    lines[#lines + 1] = ("  (%s): %s"):format(name, tostring(child):gsub("\n", "\n  "))
  end)
  if #lines == 0 then return ("%s(%s)"):format(class_name(self), extra or "") end
  if extra and extra ~= "" then table.insert(lines, 1, "  " .. extra) end
  return ("%s(\n%s\n)"):format(class_name(self), table.concat(lines, "\n"))
end

-- Containers -----------------------------------------------------------------------------------------------------

local function checked_module(value, container, position)
  if not is_module(value) then
    raise(("%s: element %s is not a module but %s"):format(container, position, value == nil and "nil" or type(value)))
  end
  return value
end

-- The position that a whole number means: negative ones count from the end; one beyond the last is free. Raises for others.
local function position_in(list, key)
  local count = #list
  local position = key < 0 and count + 1 + key or key
  if key == 0 then raise(("%s: index 0 is out of range: indices start at 1 (and -1 is the last)"):format(class_name(list))) end
  if position < 1 or position > count + 1 then
    raise(("%s: index %d is out of range: there are %d elements"):format(class_name(list), key, count))
  end
  return position
end

-- Lists of modules, or of what else `check` lets pass: instances answer negative indices, and `#`.
local function container(name, check)
  local class = new_class(name)
  local meta = class.__instances
  local index = meta.__index
  meta.__index = function(self, key)
    local number = type(key) == "number" and math.tointeger(key)
    if not number then return index(self, key) end
    return rawget(self, position_in(self, number))
  end
  -- Positive positions that are taken are plain writes, which do not come by here.
  meta.__newindex = function(self, key, value)
    local number = type(key) == "number" and math.tointeger(key)
    if not number then return assign(self, key, value) end
    local position = position_in(self, number)
    if value ~= nil then check(value, name, position) end
    if position <= #self then rawset(self, position, value) elseif value ~= nil then assign(self, position, value) end
  end
  nn[name] = class
  return class
end

local Sequential = container("Sequential", checked_module)

function Sequential:init(...)
  local given = table.pack(...)
  if given.n == 1 and type(given[1]) == "table" and not is_module(given[1]) then given = table.pack(table.unpack(given[1])) end
  for i = 1, given.n do self[i] = checked_module(given[i], "Sequential", i) end
end

function Sequential:forward(x)
  for i = 1, #self do x = self[i](x) end
  return x
end

function Sequential:append(module)
  self[#self + 1] = checked_module(module, "Sequential", #self + 1)
  return self
end

local ModuleList = container("ModuleList", checked_module)

-- The table that a container is made of.
local function listed(list, name)
  if list ~= nil and (type(list) ~= "table" or is_module(list)) then
    raise(("%s: expected a list, got %s"):format(name, is_module(list) and "a module" or type(list)))
  end
  return list or {}
end

function ModuleList:init(list)
  for i, module in ipairs(listed(list, "ModuleList")) do self[i] = module end
end

function ModuleList:append(module)
  self[#self + 1] = checked_module(module, "ModuleList", #self + 1)
  return self
end

local ModuleDict = new_class "ModuleDict"
nn.ModuleDict = ModuleDict

function ModuleDict:init(entries)
  local names = {}
  for name in pairs(listed(entries, "ModuleDict")) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do self[name] = checked_module(entries[name], "ModuleDict", name) end
end

local ParameterList = container("ParameterList", function(value, _, position)
  if kind_of(value) ~= "Parameter" then
    raise(("ParameterList: element %d is not a parameter (nn.Parameter(t)) but %s"):format(position, type(value)))
  end
end)

function ParameterList:init(list)
  for i, parameter in ipairs(listed(list, "ParameterList")) do self[i] = parameter end
end

-- A copy of a module and all that is in it, of a tensor, or of a table of such. What stands in it twice, such as a tied
-- parameter, stands twice in the copy. Hooks stay behind.
local function copied(value, seen)
  local kind = kind_of(value)
  if kind == "Tensor" or kind == "Parameter" then
    local id = identity(value)
    if not seen[id] then
      if not value.is_leaf then raise "deepcopy: a tensor that was computed by an operation cannot be copied with its history; detach() it first" end
      local copy = value:detach():clone()
      if kind == "Parameter" then copy = nn.Parameter(copy, { requires_grad = value.requires_grad })
      elseif value.requires_grad then copy:requires_grad_() end
      if value.grad then copy.grad = value.grad:detach():clone() end
      seen[id] = copy
    end
    return seen[id]
  end
  if kind == "Module" then
    local id = identity(value)
    if seen[id] then return seen[id] end
    local copy = native.copy_module(value)
    seen[id] = copy
    local olds, news = own(value), own(copy)
    for i = 1, #olds, 2 do
      local old = identity(olds[i + 1])
      if seen[old] then copy[olds[i]] = seen[old] else seen[old] = news[i + 1] end
    end
    return copy
  end
  if type(value) == "userdata" then raise "deepcopy: modules, tensors and tables of them can be copied, not a userdata" end
  if type(value) ~= "table" then return value end
  if seen[value] then return seen[value] end
  local copy = {}
  seen[value] = copy
  if is_script_module(value) then
    class_of[copy], order[copy], known_names[copy] = class_of[value], { table.unpack(order[value]) }, {}
    for name in pairs(known_names[value]) do known_names[copy][name] = true end
  end
  for key, part in next, value do rawset(copy, key, copied(part, seen)) end
  return setmetatable(copy, getmetatable(value))
end

--[=[ mg.deepcopy(value)

A copy of a module and all that is in it, of a tensor, or of a table of such: later changes of one leave the other alone. What
stands in it twice, such as a tied parameter, stands twice in the copy. Hooks of modules stay behind.

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(2, 3), mg.nn.ReLU())
  local twin = mg.deepcopy(net)
  print(twin[1].weight:equal(net[1].weight), twin[1].weight == net[1].weight)     -- true false
]=]
function mg.deepcopy(value) return copied(value, {}) end

-- What handles of Swift's modules answer to.
local scripted = {}
for name, value in pairs(Module) do
  if name ~= "forward" and name:sub(1, 2) ~= "__" then scripted[name] = value end
end
-- Their call where they have hooks.
local function run_handle(module, set, ...) return run_hooks(module, set, module.forward, ...) end
return scripted, run_handle

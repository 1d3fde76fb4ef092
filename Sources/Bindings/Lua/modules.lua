-- Modules that scripts define, and the methods of all modules.
--
-- A class made by nn.Module is a table of methods; its instances are plain tables, so that `self.hidden` costs one
-- raw read. The order in which names were first assigned is kept aside: it is the order of parameters, printing and
-- checkpoints. Modules that Swift implements are handles. The walks over trees of both are Swift's (ModuleWalks.swift), which
-- reads instances through the functions in `access`; the methods here are thin.

local native, mg, nn = ...
local format, match = string.format, string.match
local select = select
local kind_of, module_kind, nearest, raise = native.kind_of, native.module_kind, native.nearest, native.raise

local order = setmetatable({}, { __mode = "k" })   -- instance → names in order of first assignment
local known_names = setmetatable({}, { __mode = "k" })  -- instance → set of those names
local hooks = setmetatable({}, { __mode = "k" })   -- instance → { pre = {…}, post = {…}, … }
local class_of = setmetatable({}, { __mode = "k" })

local roles = setmetatable({}, { __mode = "k" })   -- tensor of nn.Buffer → "buffer" or "passing", which is not saved

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
  local computed = rawget(self, "parametrizations")
  computed = computed and rawget(computed, key)
  if computed then return computed() end           -- see parametrize.lua
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
  raise(format("field '%s' of %s does not exist%s", tostring(key), class.__name,
    hint and format("; did you mean '%s'?", hint) or ""))
end

-- From here on the tensor under a name is a buffer, whichever it is.
local function register_buffer(self, name, role)
  local registered = rawget(self, "__buffers")
  if not registered then
    registered = {}
    rawset(self, "__buffers", registered)
  end
  registered[name] = role
end

local function assign(self, key, value)
  local names, known = order[self], known_names[self]
  if key ~= key then raise(format("%s: nan is no name for a field", class_name(self))) end
  -- A child or a parameter that hides a method would break the walks over it, and is no name for a checkpoint.
  if (Module[key] ~= nil or key == "training") and (is_module(value) or kind_of(value)) then
    raise(format("%s: '%s' is a method of modules, so nothing can be kept under that name", class_name(self), tostring(key)))
  end
  if known[key] then                               -- named before, removed since: to the end, as in PyTorch
    for i = 1, #names do if names[i] == key then table.remove(names, i) break end end
  end
  names[#names + 1] = key
  known[key] = true
  if roles[value] then register_buffer(self, key, roles[value]) end
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
  local function refuse(message, ...) raise(format("%s of %s: ", what, class_name(module)) .. format(message, ...)) end
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
    raise(format("forward pre-hook of %s: a hook returned %d values; other inputs are returned as one list",
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
            raise(format("full backward hook of %s: a hook returned a gradient, but no input requires grad", class_name(self)))
          end
        end
      end
      return gradients
    end)
  end
  return table.unpack(outputs, 1, outputs.n)
end

-- How many modules call one another now, about: errors are not counted back. Where it is close to what Lua's stack has room for, the
-- stack tells, and whether it is for a module that contains itself.
local nesting, most_nested = 0, 15000

local function check_nesting(self)
  nesting = 0
  if native.calls_of(self) < 100 then return end
  raise(format("%s calls itself without end: it contains itself, or one that contains it", class_name(self)))
end

local function leave(...)
  nesting = nesting - 1
  return ...
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
      nesting = nesting + 1
      if nesting > most_nested then check_nesting(self) end
      -- No tail call: while forward runs, this call, with self, stays on the stack, by which errors find the outermost module.
      return leave(class.forward(self, ...))
    end,
    __tostring = function(self) return native.text(self) end,
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
  local class = { __name = name, _name = name }
  class.__instances = instance_metatable(class)
  return setmetatable(class, {
    __index = base or Module,
    __call = construct,
    __tostring = function() return "class " .. name end,
  })
end

setmetatable(Module, { __call = function(_, name, base) return new_class(name, base) end })
nn.Module = Module

function nn.Buffer(...)
  local tensor, role = native.buffer(...)
  roles[tensor] = role
  return tensor
end

function Module.forward(self)
  raise(format("%s has no forward: define  function %s:forward(x) … end", class_name(self), class_name(self)))
end

-- What Swift reads of instances ----------------------------------------------------------------------------------

-- Whether a plain table, or a list in it, holds modules, which no walk would find.
local function holds_modules(value, depth)
  if type(value) ~= "table" or getmetatable(value) ~= nil then return false end
  for _, part in pairs(value) do
    if is_module(part) or depth > 0 and holds_modules(part, depth - 1) then return true end
  end
  return false
end

local warned = setmetatable({}, { __mode = "k" })  -- class → set of names of such fields

local function warn_of_table(class, name)
  local names = warned[class] or {}
  warned[class] = names
  if names[name] then return end
  names[name] = true
  native.warn(format("the field '%s' of %s is a plain table with modules in it: their parameters are not %s's, and no optimizer gets them; make it an nn.ModuleList or nn.ModuleDict",
    name, class.__name, class.__name))
end

local access = {}
local placed = setmetatable({}, { __mode = "k" })  -- instance → names of parameters in whose places there is another tensor

-- Names, values and roles of what an instance holds, in the order of registration; numbered children are named from 0, as in
-- PyTorch's checkpoints.
function access.contents(module)
  local names, list, registered = order[module], {}, rawget(module, "__buffers")
  for i = 1, #names do
    local key = names[i]
    local value = rawget(module, key)
    local kind, role = kind_of(value), nil
    if kind == "Parameter" then
      role = "parameter"
    elseif kind == "Tensor" then
      -- A buffer may have come into a field that there was.
      if roles[value] and not (registered and registered[key]) then
        register_buffer(module, key, roles[value])
        registered = rawget(module, "__buffers")
      end
      role = registered and registered[key]
      -- functional_call puts other tensors into the places of parameters.
      if not role and placed[module] and placed[module][key] then role = "parameter" end
    elseif is_module(value) then
      role = "module"
    elseif type(value) == "table" and holds_modules(value, 1) then
      warn_of_table(class_of[module], tostring(key))
    end
    if role then
      local n = #list
      list[n + 1] = math.type(key) == "integer" and tostring(key - 1) or tostring(key)
      list[n + 2], list[n + 3] = value, role
    end
  end
  return list
end

function access.class_name(value)
  local class = class_of[value]
  return class and class.__name
end

-- A field by its name in checkpoints. It exists, so that a plain write does not change the order of the names.
function access.put(module, name, value)
  local key = name
  if rawget(module, key) == nil and math.tointeger(name) then key = math.tointeger(name) + 1 end
  local places = placed[module] or {}
  placed[module] = places
  places[key] = kind_of(value) == "Tensor" and not (rawget(module, "__buffers") or {})[key] or nil
  rawset(module, key, value)
end

function access.extra(module)
  local text = module.extra_repr and module:extra_repr()
  return type(text) == "string" and text or ""
end

function Module.extra_repr() return "" end

-- Looking --------------------------------------------------------------------------------------------------------

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

local function values(list)
  for i, entry in ipairs(list) do list[i] = entry[2] end
  return iterable(list)
end

-- Options by position or by name in a last table, for the functions of Swift, which take them by position.
local function by_position(names, ...)
  local last = select("#", ...) > 0 and select(-1, ...) or nil
  if type(last) ~= "table" or getmetatable(last) ~= nil then return ... end
  local given = table.pack(...)
  given[given.n] = nil
  for name, value in pairs(last) do
    local place
    for i, known in ipairs(names) do if known == name then place = i end end
    if not place then
      local hint = nearest(tostring(name), names)
      raise(format("unknown option '%s'%s (known: %s)", tostring(name), hint and format("; did you mean '%s'?", hint) or "",
        table.concat(names, ", ")))
    end
    given[place] = value
  end
  return table.unpack(given, 1, #names)
end

local tensor_options, module_options = { "prefix", "recurse", "remove_duplicate" }, { "prefix", "remove_duplicate" }

function Module.named_parameters(self, ...) return iterable_pairs(native.named_parameters(self, by_position(tensor_options, ...))) end
function Module.named_buffers(self, ...) return iterable_pairs(native.named_buffers(self, by_position(tensor_options, ...))) end
function Module.named_modules(self, ...) return iterable_pairs(native.named_modules(self, by_position(module_options, ...))) end
function Module.named_children(self) return iterable_pairs(native.named_children(self)) end

function Module.parameters(self, ...) return values(native.named_parameters(self, "", by_position({ "recurse" }, ...))) end
function Module.buffers(self, ...) return values(native.named_buffers(self, "", by_position({ "recurse" }, ...))) end
function Module.modules(self) return values(native.named_modules(self)) end
function Module.children(self) return values(native.named_children(self)) end

function Module.get_submodule(self, path) return native.get_submodule(self, path) end
function Module.get_parameter(self, path) return native.get_parameter(self, path) end
function Module.get_buffer(self, path) return native.get_buffer(self, path) end

-- Whether a module has something under a name of its own: a parameter that is there, a buffer, a child, a field.
function Module.has(self, name)
  if type(name) ~= "string" then raise("has: expected a name, got " .. type(name)) end
  if is_script_module(self) then return rawget(self, name) ~= nil end
  local ok, value = pcall(function() return self[name] end)
  return ok and value ~= nil
end

-- Adding ---------------------------------------------------------------------------------------------------------

-- Names can be added to instances of scripts' own classes; `what` is the caller.
local function own_class(self, name, what)
  if not is_module(self) then
    raise(format("%s: expected a module as self, got %s; methods are called with ':'", what, type(self)))
  end
  if not is_script_module(self) then
    raise(format("%s: %s takes no more fields; define a class of your own with nn.Module", what, class_name(self)))
  end
  if type(name) ~= "string" then raise(format("%s: argument 1: expected a name, got %s", what, type(name))) end
  if name == "" or string.find(name, ".", 1, true) then raise(format("%s: a name must not be empty or have dots, got '%s'", what, name)) end
end

function Module.register_buffer(self, name, tensor, persistent)
  own_class(self, name, "register_buffer")
  if type(persistent) == "table" then persistent = persistent.persistent end
  if persistent ~= nil and type(persistent) ~= "boolean" then
    raise(format("register_buffer: option 'persistent': expected true or false, got %s", type(persistent)))
  end
  if tensor ~= nil and not kind_of(tensor) then
    raise(format("register_buffer: argument 2: expected a tensor, got %s", type(tensor)))
  end
  register_buffer(self, name, persistent == false and "passing" or "buffer")
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

Module.register_module = Module.add_module

-- Doing something to all of it -----------------------------------------------------------------------------------

function Module.train(self, mode)
  native.train(self, mode)
  return self
end

function Module.eval(self)
  native.train(self, false)
  return self
end

function Module.zero_grad(self, ...) native.zero_grad(self, by_position({ "set_to_none" }, ...)) end

function Module.requires_grad_(self, required)
  native.requires_grad_(self, required)
  return self
end

function Module.apply(self, visit)
  if not is_module(self) then raise(format("apply: expected a module as self, got %s; methods are called with ':'", type(self))) end
  if type(visit) ~= "function" then raise("apply: expected a function, got " .. type(visit)) end
  local above = {}
  local function each(module)
    local id = is_script_module(module) and module or native.identity(module)
    if above[id] then return end
    above[id] = true
    for _, child in ipairs(native.named_children(module)) do each(child[2]) end
    visit(module)
    above[id] = nil
  end
  each(self)
  return self
end

function Module.to(self, ...)
  native.to(self, ...)
  return self
end

for name, dtype in pairs { float = "float32", double = "float64", half = "float16", bfloat16 = "bfloat16" } do
  Module[name] = function(self) return Module.to(self, dtype) end
end

-- State ----------------------------------------------------------------------------------------------------------

-- The hooks of a module: those of handles are tied to Swift's object, since handles of one object are no one key.
local function hooks_of(module)
  if is_script_module(module) then return hooks[module] end
  return native.module_hooks(module)
end

-- Calls the hooks of one kind that modules in the tree have, each with its module, a value and the prefix of the module's names.
local function run_state_hooks(self, where, value, prefix)
  for _, entry in ipairs(native.named_modules(self, prefix)) do
    local set = hooks_of(entry[2])
    for _, hook in ipairs(set and settled(set[where]) or {}) do hook.body(entry[2], value, entry[1] == "" and "" or entry[1] .. ".") end
  end
end

-- Names to tensors, in order under pairs(); what a script adds comes after them.
function Module.state_dict(self, ...)
  local names, state = {}, {}
  local prefix, keep_vars = by_position({ "prefix", "keep_vars" }, ...)
  for i, entry in ipairs(native.state_dict(self, prefix, keep_vars)) do
    names[i], state[entry[1]] = entry[1], entry[2]
  end
  run_state_hooks(self, "state", state, prefix and match(prefix, "^(.-)%.?$"))
  return setmetatable(state, {
    __pairs = function()
      local i, known, key = 0, {}, nil
      return function()
        while i < #names do
          i = i + 1
          known[names[i]] = true
          if state[names[i]] ~= nil then return names[i], state[names[i]] end
        end
        repeat key = next(state, key) until key == nil or not known[key]
        if key ~= nil then return key, state[key] end
      end
    end,
    __tostring = function()
      local lines = {}
      for _, name in ipairs(names) do
        if state[name] ~= nil then lines[#lines + 1] = format("  %s: %s %s", name, state[name].dtype, tostring(state[name].shape)) end
      end
      return "state_dict {\n" .. table.concat(lines, "\n") .. "\n}"
    end,
  })
end

local incompatible = {
  __tostring = function(keys)
    if #keys.missing_keys + #keys.unexpected_keys == 0 then return "<All keys matched successfully>" end
    return format("missing_keys: {%s}, unexpected_keys: {%s}", table.concat(keys.missing_keys, ", "),
      table.concat(keys.unexpected_keys, ", "))
  end,
}

-- The texts of a file of tensors, which come after them: net:load_state_dict(mg.load_safetensors(path)) means the tensors.
native.file_metadata = { __name = "Metadata" }

local function without_metadata(first, ...)
  if type(first) == "table" and getmetatable(first) == native.file_metadata then return ... end
  return first, ...
end

function Module.load_state_dict(self, state, ...)
  if type(state) == "table" then
    -- A copy, since hooks may rename what was saved by older versions.
    local given = {}
    for name, value in pairs(state) do given[name] = value end
    state = given
    if is_module(self) then run_state_hooks(self, "load_pre", state) end
  end
  local missing_keys, unexpected_keys = native.load_state_dict(self, state, by_position({ "strict", "assign" }, without_metadata(...)))
  local keys = setmetatable({ missing_keys = missing_keys, unexpected_keys = unexpected_keys }, incompatible)
  run_state_hooks(self, "load_post", keys)
  return keys
end

-- Hooks ----------------------------------------------------------------------------------------------------------

local function set_hooks(module, set)
  if is_script_module(module) then hooks[module] = set else native.module_hooks(module, set or false) end
end

local function add_hook(self, where, what, body)
  if not is_module(self) then raise(format("%s: expected a module as self, got %s; methods are called with ':'", what, type(self))) end
  if type(body) ~= "function" then raise(format("%s: expected a function, got %s", what, type(body))) end
  local set = hooks_of(self)
  if not set then
    set = { pre = {}, post = {}, backward = {}, backward_pre = {}, state = {}, load_pre = {}, load_post = {} }
    set_hooks(self, set)
  end
  local hook = { body = body }
  table.insert(set[where], hook)
  return { remove = function()
    for i, other in ipairs(set[where]) do if other == hook then table.remove(set[where], i) break end end
    -- Modules without hooks are called directly; after that, this module may have got another set.
    local count = 0
    for _, list in pairs(set) do count = count + #list end
    if hooks_of(self) == set and count == 0 then set_hooks(self, nil) end
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

-- hook(module, state, prefix): sees, and may change, what state_dict() made; renames what load_state_dict was given; sees the names that
-- were missing or unexpected.
function Module.register_state_dict_post_hook(self, body) return add_hook(self, "state", "register_state_dict_post_hook", body) end
function Module.register_load_state_dict_pre_hook(self, body)
  return add_hook(self, "load_pre", "register_load_state_dict_pre_hook", body)
end
function Module.register_load_state_dict_post_hook(self, body)
  return add_hook(self, "load_post", "register_load_state_dict_post_hook", body)
end

-- What nn.is and the classes of Swift's modules go by.
function nn.is(module, class)
  if not is_module(module) then return false end
  if type(class) == "string" then return class_name(module) == class end
  local own = class_of[module]
  while own do
    if own == class then return true end
    local meta = getmetatable(own)
    own = meta and type(meta.__index) == "table" and meta.__index or nil
  end
  if type(class) == "table" and class == Module then return true end
  -- Constructors of Swift's modules are functions.
  return not class_of[module] and class ~= nil and rawget(nn, class_name(module)) == class
end

-- What handles of Swift's modules answer to.
local scripted = {}
for name, value in pairs(Module) do
  if name ~= "forward" and name ~= "extra_repr" and string.sub(name, 1, 2) ~= "__" then scripted[name] = value end
end
-- Their call where they have hooks.
local function run_handle(module, set, ...) return run_hooks(module, set, module.forward, ...) end
-- Makes a plain table an instance of the class that another is one of, with the same names; nothing where that is none.
local function register(copy, instance)
  if not is_script_module(instance) then return end
  class_of[copy], order[copy], known_names[copy] = class_of[instance], { table.unpack(order[instance]) }, {}
  for name in pairs(known_names[instance]) do known_names[copy][name] = true end
end
-- Makes the methods of a class of the library's own refuse a self that is not of it; but for those that do so themselves.
local function guard(class, but)
  for name, method in pairs(class) do
    if type(method) == "function" and name ~= but and string.sub(name, 1, 2) ~= "__" then
      class[name] = function(self, ...)
        if not (is_script_module(self) and nn.is(self, class)) then
          raise(format("%s: expected a %s as self, got %s; methods are called with ':'", name, class.__name,
            is_module(self) and "a module of the class " .. class_name(self) or type(self)))
        end
        return method(self, ...)
      end
    end
  end
end
local function entries(module)
  local list, names = {}, order[module]
  for i = 1, #names do
    local value = rawget(module, names[i])
    if value ~= nil then list[#list + 1] = { names[i], value } end
  end
  return list
end
return scripted, run_handle, access,
  { new_class = new_class, assign = assign, is_module = is_module, class_name = class_name, entries = entries,
    register = register, guard = guard, class_of = class_of, iterable = iterable, iterable_pairs = iterable_pairs,
    -- A method of an object's class, which may lack it.
    method = function(module, name) return class_of[module] and class_of[module][name] end }

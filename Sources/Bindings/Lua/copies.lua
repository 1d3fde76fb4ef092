-- mg.deepcopy.

local native, mg, nn, shared = ...
local match = string.match
local kind_of, identity, raise = native.kind_of, native.identity, native.raise

local copied

-- Copies of what is neither a tensor nor a module: of a generator, an optimizer with its parameters, a scheduler with its optimizer.
local copies = {
  Generator = native.copy_generator,
  Optimizer = function(optimizer, seen)
    local parameters = {}
    for _, group in ipairs(optimizer.param_groups) do
      for _, parameter in ipairs(group.params) do parameters[#parameters + 1] = copied(parameter, seen) end
    end
    return native.copy_optimizer(optimizer, parameters)
  end,
  Scheduler = function(scheduler, seen) return native.copy_scheduler(scheduler, copied(scheduler.optimizer, seen)) end,
}

-- A copy of a module and all that is in it, of a tensor, or of a table of such. What stands in it twice, such as a tied
-- parameter, stands twice in the copy. Hooks stay behind.
function copied(value, seen)
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
    local news = native.named_parameters(copy, "", true, false)
    for i, entry in ipairs(native.named_parameters(value, "", true, false)) do
      local old = identity(entry[2])
      if seen[old] == nil then
        seen[old] = news[i][2]
      elseif seen[old] ~= news[i][2] then
        local path, name = match(entry[1], "^(.-)%.?([^.]+)$")
        native.get_submodule(copy, path)[name] = seen[old]
      end
    end
    return copy
  end
  local what, id = native.copied_kind(value)
  if what then
    if not seen[id] then seen[id] = copies[what](value, seen) end
    return seen[id]
  end
  if type(value) == "userdata" then
    raise "deepcopy: modules, tensors, optimizers, schedulers, generators and tables of them can be copied, not a userdata"
  end
  if type(value) ~= "table" then return value end
  if seen[value] then return seen[value] end
  -- Far below what the stack has room for.
  local depth = (seen.depth or 0) + 1
  if depth > 20000 then raise "deepcopy: modules or tables are nested more than 20000 deep" end
  seen.depth = depth
  local copy = {}
  seen[value] = copy
  shared.register(copy, value)
  for key, part in next, value do rawset(copy, key, copied(part, seen)) end
  seen.depth = depth - 1
  return setmetatable(copy, getmetatable(value))
end

--[=[ mg.deepcopy(value)

A copy of a module and all that is in it, of a tensor, a generator, a loader, an optimizer or a scheduler, or of a table of such: later
changes of one leave the other alone. What stands in it twice, such as a tied parameter, stands twice in the copy: copied together with
its model, an optimizer moves the copy's parameters; copied alone, it moves copies of its own. Hooks stay behind.

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(2, 3), mg.nn.ReLU())
  local twin = mg.deepcopy(net)
  print(twin[1].weight:equal(net[1].weight), twin[1].weight == net[1].weight)     -- true false
  local both = mg.deepcopy { net = net, opt = mg.optim.SGD(net:parameters(), { lr = 0.1 }) }
  print(both.opt.param_groups[1].params[1] == both.net[1].weight)                  -- true
]=]
function mg.deepcopy(value) return copied(value, {}) end

-- Constructors of schedulers, and the lists that optimizers show of their groups.

local native, mg = ...
local raise, prepare, begin = native.raise, native.prepare_scheduler, native.begin_scheduler

local lr_scheduler = {}
mg.optim.lr_scheduler = lr_scheduler
for _, name in ipairs(native.scheduler_names()) do
  lr_scheduler[name] = function(...)
    local scheduler, functions = prepare(name, ...)
    return begin(scheduler, table.unpack(functions))
  end
end

-- A list that scripts can read and not assign to: what is put into a copy would be lost. Swift reads the list under `false`.
local function guarded(list, message)
  return setmetatable({}, {
    [false] = list,
    __index = list,
    __len = function() return #list end,
    __pairs = function() return next, list, nil end,
    __newindex = function() raise(message) end,
  })
end

-- opt.state is read by a function.
local function lists(kind, list)
  if kind == "state" then
    return setmetatable({}, {
      __index = function(_, parameter) return list(parameter) end,
      __newindex = function() raise "opt.state shows what is remembered of each parameter; opt:load_state_dict(state) changes it" end,
    })
  end
  return guarded(list, kind == "params"
    and "a group's list of params is a copy; opt:add_param_group{ params = … } adds parameters, and p.data = t gives one other values"
    or "opt.param_groups is a copy; opt:add_param_group{ params = … } adds a group")
end

return lists

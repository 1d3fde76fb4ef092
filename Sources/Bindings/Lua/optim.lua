-- Constructors of schedulers, and the lists that optimizers show of their groups.

local native, mg = ...
-- Scripts may give these names other values.
local ipairs, next, setmetatable, table = ipairs, next, setmetatable, table
local raise, prepare, begin = native.raise, native.prepare_scheduler, native.begin_scheduler

local lr_scheduler = {}
mg.optim.lr_scheduler = lr_scheduler
for _, name in ipairs(native.scheduler_names()) do
  lr_scheduler[name] = function(...)
    local scheduler, functions = prepare(name, ...)
    return begin(scheduler, table.unpack(functions))
  end
end

-- The lists are copies: what is put into one would be lost, so that it raises. opt.state is read by a function.
local function lists(kind, list)
  if kind == "state" then
    return setmetatable({}, {
      __index = function(_, parameter) return list(parameter) end,
      __newindex = function() raise "opt.state shows what is remembered of each parameter; opt:load_state_dict(state) changes it" end,
    })
  end
  if kind == "params" then
    return setmetatable(list, { __newindex = function()
      raise("a group's list of params is a copy; opt:add_param_group{ params = … } adds parameters")
    end })
  end
  return setmetatable({}, {
    __index = list,
    __len = function() return #list end,
    __pairs = function() return next, list, nil end,
    __newindex = function()
      raise("opt.param_groups is a copy; opt:add_param_group{ params = … } adds a group")
    end,
  })
end

return lists

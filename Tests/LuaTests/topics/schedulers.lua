-- Schedulers from scripts: how they are made, stepped, read, saved, and what is refused. Their rates are tested in Swift.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim
local schedule = optim.lr_scheduler

local function leaf(values) return mg.tensor(values, { requires_grad = true }) end
local function sgd(options) return optim.SGD({ leaf{ 1.0 } }, options or { lr = 0.1, momentum = 0.9 }) end
local function rates(opt, scheduler, count, ...)
  local list = {}
  for i = 1, count do
    opt:step()
    scheduler:step(...)
    list[i] = opt.param_groups[1].lr
  end
  return list
end
local function close(list, expected)
  check.equal(#list, #expected)
  for i = 1, #list do check.is_true(math.abs(list[i] - expected[i]) < 1e-12) end
end

check.case("options go by position and by name", function()
  for _, make in ipairs {
    function(opt) return schedule.StepLR(opt, 2, 0.5) end, function(opt) return schedule.StepLR(opt, { step_size = 2, gamma = 0.5 }) end,
    function(opt) return schedule.StepLR(opt, 2, { gamma = 0.5 }) end,
  } do
    local opt = sgd()
    close(rates(opt, make(opt), 4), { 0.1, 0.05, 0.05, 0.025 })
  end
  local opt = sgd()
  close(rates(opt, schedule.MultiStepLR(opt, { 1, 3 }, 0.5), 3), { 0.05, 0.05, 0.025 })
end)

check.case("functions are the script's", function()
  local opt, seen = sgd(), {}
  local scheduler = schedule.LambdaLR(opt, function(epoch)
    seen[#seen + 1] = epoch
    return 1 / (1 + epoch)
  end)
  close(rates(opt, scheduler, 2), { 0.05, 0.1 / 3 })
  check.equal(table.concat(seen, " "), "0 1 2")
  check.equal(math.type(seen[1]), "integer")
  local two = optim.SGD({ { params = { leaf{ 1.0 } } }, { params = { leaf{ 1.0 } }, lr = 1 } }, { lr = 0.5 })
  scheduler = schedule.LambdaLR(two, { lr_lambda = { function() return 2 end, function(e) return e end } })
  two:step()
  scheduler:step()
  close(scheduler:get_last_lr(), { 1, 1 })
  local cycle = sgd()
  close(rates(cycle, schedule.CyclicLR(cycle, { base_lr = 0, max_lr = 1, step_size_up = 2, scale_fn = function(x) return x end }), 1), { 0.5 })
end)

check.case("a function that raises leaves the scheduler as it was", function()
  local opt = sgd()
  local scheduler = schedule.LambdaLR(opt, function(epoch)
    if epoch == 1 then error "too late" end
    return 1
  end)
  opt:step()
  check.mentions(check.message_of(scheduler.step, scheduler), "too late")
  check.equal(scheduler.last_epoch, 0)
  check.mentions(check.message_of(schedule.LambdaLR, sgd(), function() return "x" end), "LambdaLR: the function must return a number, got \"x\" for 0")
end)

check.case("a function that knows its scheduler goes with it", function()
  local dead = setmetatable({}, { __mode = "k" })
  for _ = 1, 50 do
    local holder = {}
    dead[holder] = true
    holder.scheduler = schedule.LambdaLR(sgd(), function(epoch) return holder and 1 end)
  end
  collectgarbage() collectgarbage()
  for _ = 1, 2000 do schedule.LambdaLR(sgd(), function() return 1 end) end
  collectgarbage() collectgarbage()
  local count = 0
  for _ in pairs(dead) do count = count + 1 end
  check.equal(count, 0)
end)

check.case("fields, and what prints", function()
  local opt = sgd()
  local scheduler = schedule.StepLR(opt, 2, 0.5)
  check.equal(scheduler.last_epoch, 0)
  check.equal(scheduler.base_lrs[1], 0.1)
  check.equal(scheduler.gamma, 0.5)
  check.is_true(scheduler.optimizer == opt)
  check.equal(opt.param_groups[1].initial_lr, 0.1)
  scheduler.gamma = 0.1
  close(rates(opt, scheduler, 2), { 0.1, 0.01 })
  check.equal(tostring(scheduler), "StepLR(gamma=0.1, last_epoch=2, step_size=2)")
end)

check.case("a plateau watches a number or a tensor", function()
  local opt = sgd()
  local scheduler = schedule.ReduceLROnPlateau(opt, { patience = 0, factor = 0.5 })
  scheduler:step(1.0)
  scheduler:step(mg.tensor(1.0))
  close(scheduler:get_last_lr(), { 0.05 })
  check.equal(scheduler.best, 1.0)
  check.rejects("x:step()", "ReduceLROnPlateau: step needs the number that is watched, such as a loss, got nil", scheduler)
end)

check.case("schedulers of schedulers", function()
  local opt = sgd()
  local scheduler = schedule.SequentialLR(opt, { schedule.ConstantLR(opt, 0.5, 2), schedule.ExponentialLR(opt, 0.5) }, { 2 })
  close(rates(opt, scheduler, 4), { 0.05, 0.1, 0.05, 0.025 })
  opt = sgd()
  scheduler = schedule.ChainedScheduler({ schedule.ConstantLR(opt, 0.5, 2), schedule.ExponentialLR(opt, 0.5) })
  close(rates(opt, scheduler, 2), { 0.025, 0.025 })
  check.rejects("optim.lr_scheduler.ChainedScheduler{ optim.lr_scheduler.ReduceLROnPlateau(x) }",
    "ChainedScheduler: scheduler 1 is a ReduceLROnPlateau, which needs a number at each step; step it by itself", opt)
end)

check.case("states go on", function()
  for _, name in ipairs { "StepLR", "MultiStepLR", "CosineAnnealingWarmRestarts", "OneCycleLR" } do
    local options = ({ StepLR = { step_size = 3 }, MultiStepLR = { milestones = { 1, 2, 7 } }, CosineAnnealingWarmRestarts = { T_0 = 4 },
      OneCycleLR = { max_lr = 1, total_steps = 20 } })[name]
    local opt = sgd()
    local scheduler = schedule[name](opt, options)
    rates(opt, scheduler, 5)
    local other = sgd()
    local second = schedule[name](other, options)
    other:load_state_dict(opt:state_dict())
    second:load_state_dict(scheduler:state_dict())
    close(rates(other, second, 6), rates(opt, scheduler, 6))
  end
end)

check.case("a step before the optimizer's is warned of", function()
  local opt = sgd()
  local scheduler = schedule.StepLR(opt, 2)
  local warnings = mg.catch_warnings(function() scheduler:step() opt:zero_grad() end)
  check.equal(#warnings, 1)
  check.mentions(warnings[1], "StepLR: step() was called before the optimizer's step()")
  warnings = mg.catch_warnings(function() scheduler:step() opt:zero_grad() end)
  check.equal(#warnings, 0)
end)

check.case("mistakes", function()
  local x = sgd()
  check.rejects("optim.lr_scheduler.StepLR()", "StepLR: argument 1 (optimizer): expected an optimizer, got nil")
  check.rejects("optim.lr_scheduler.StepLR(x)", "StepLR: step_size is missing; it must be a whole number of at least 1", x)
  check.rejects("optim.lr_scheduler.StepLR(x, 2, { step_size = 3 })", "StepLR: 'step_size' is given twice, by position and as an option", x)
  check.rejects("optim.lr_scheduler.StepLR(x, 2, 1, -1, 4)", "StepLR: 5 arguments given, but it takes at most 4: StepLR(optimizer, step_size, gamma = 0.1, last_epoch = -1)", x)
  check.rejects("optim.lr_scheduler.LambdaLR(x, 3)", "LambdaLR: lr_lambda must be a function, or a list with one for each parameter group, got 3", x)
  check.rejects("optim.lr_scheduler.LambdaLR(x, { print, print })", "LambdaLR: lr_lambda has 2 functions, but the optimizer has 1 parameter groups", x)
  check.rejects("local _ = optim.lr_scheduler.StepLr(x)", "optim.lr_scheduler has no 'StepLr'; did you mean 'StepLR'?", x)
  local scheduler = schedule.StepLR(x, 2)
  check.rejects("local _ = x.gama", "StepLR has no field 'gama'; did you mean 'gamma'?", scheduler)
  check.rejects("x.step()", "step: expected a scheduler as self, got nil; write scheduler:step(…)", scheduler)
  check.rejects("x:step 'three'", "StepLR: step: expected an epoch or nothing, got \"three\"", scheduler)
  check.rejects("x:load_state_dict{ gamma = 'x' }", "StepLR: load_state_dict: gamma must be like 0.1, got \"x\"", scheduler)
  local held = { x }
  held[1] = held
  check.rejects("x:load_state_dict(x.optimizer)", "StepLR.load_state_dict: expected what state_dict() gives, got a Optimizer", scheduler)
  check.is_true(not pcall(scheduler.load_state_dict, scheduler, held))
end)

check.case("every scheduler has a text whose example runs", function()
  for name in pairs(schedule) do
    local lines = {}
    local print_before = print
    print = function(text) lines[#lines + 1] = text end
    local ok, problem = pcall(mg.help, "optim.lr_scheduler." .. name)
    print = print_before
    assert(ok, problem)
    local example = assert(table.concat(lines, "\n"):match "Example:\n(.*)$", name)
    local run = assert(load("local mg = ...\nlocal print = function() end\n" .. example))
    run(mg)
  end
end)

return check.done()

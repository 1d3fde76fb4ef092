-- Optimizers from scripts: groups and their options, what frozen promises, printing.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

local all = { "SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop", "Adafactor" }

local function leaf(values) return mg.tensor(values, { requires_grad = true }) end
local function bits(tensor) return tensor:detach():clone() end

check.case("a step of gradient descent", function()
  local w = leaf{ 1.0, 2.0 }
  local opt = optim.SGD({ w }, { lr = 0.5 });
  (w * w):sum():backward()
  opt:step()
  check.elements(w, { 0, 0 })
  opt:zero_grad()
  check.equal(w.grad, nil)
end)

check.case("zero_grad can clear in place", function()
  local w = leaf{ 1.0 }
  local opt = optim.SGD({ w }, { lr = 0.5 })
  w:sum():backward()
  local g = w.grad
  opt:zero_grad{ set_to_none = false }
  check.is_true(w.grad == g)
  check.elements(w.grad, { 0 })
end)

check.case("every optimizer lowers a loss", function()
  for _, name in ipairs(all) do
    mg.manual_seed(0)
    local x = mg.randn(64, 3)
    local y = x:sum(2, true)
    local net = nn.Linear(3, 1)
    local opt = optim[name](net:parameters(), { lr = name == "Adadelta" and 1 or 0.05 })
    local loss_fn = nn.MSELoss()
    local first, last
    for _ = 1, 50 do
      local loss = loss_fn(net(x), y)
      opt:zero_grad(); loss:backward(); opt:step()
      first, last = first or loss:item(), loss:item()
    end
    check.is_true(last < first)
  end
end)

check.case("groups have options of their own, read and written", function()
  local a, b = leaf{ 1.0 }, leaf{ 1.0 }
  local opt = optim.SGD({ { params = { a }, lr = 0.1 }, { params = { b } } }, { lr = 1.0 })
  check.equal(#opt.param_groups, 2)
  check.equal(opt.param_groups[1].lr, 0.1)
  check.equal(opt.param_groups[2].lr, 1.0)
  check.is_true(opt.param_groups[1].params[1] == a);
  (a + b):sum():backward()
  opt:step()
  check.close(a, mg.tensor{ 0.9 })
  check.close(b, mg.tensor{ 0.0 })
  opt.param_groups[1].lr = 0.5
  check.equal(opt.param_groups[1].lr, 0.5)
  opt:step()
  check.close(a, mg.tensor{ 0.4 })
  local c = leaf{ 1.0 }
  opt:add_param_group{ params = { c }, lr = 2 }
  check.equal(#opt.param_groups, 3)
end)

check.case("frozen parameters keep their bits under every optimizer", function()
  for _, name in ipairs(all) do
    for _, options in ipairs { {}, name == "Rprop" and {} or { weight_decay = 0.1 }, name == "SGD" and { momentum = 0.9 } or {} } do
      mg.manual_seed(1)
      local net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
      options.lr = 0.1
      local opt = optim[name](net:parameters(), options)
      local x = mg.randn(8, 2)
      local function step()
        opt:zero_grad{ set_to_none = false }
        net(x):pow(2):mean():backward()
        opt:step()
      end
      for _ = 1, 3 do step() end                     -- moments exist
      for p in net[1]:parameters() do p.requires_grad = false end
      local weight, bias, head = bits(net[1].weight), bits(net[1].bias), bits(net[3].weight)
      for _ = 1, 3 do step() end
      check.is_true(net[1].weight:equal(weight))
      check.is_true(net[1].bias:equal(bias))
      check.is_true(not net[3].weight:equal(head))
    end
  end
end)

check.case("freezing clears the gradient", function()
  local w = leaf{ 1.0 }
  w:sum():backward()
  w.requires_grad = false
  check.equal(w.grad, nil)
end)

check.case("unfreezing mid-run trains again", function()
  local w, v = leaf{ 1.0 }, leaf{ 1.0 }
  local opt = optim.SGD({ w, v }, { lr = 0.1 })
  w.requires_grad = false
  v:sum():backward()
  opt:step()
  check.elements(w, { 1 })
  w.requires_grad = true
  w:sum():backward()
  opt:step()
  check.close(w, mg.tensor{ 0.9 })
end)

check.case("a step with a closure returns its loss", function()
  local w = leaf{ 2.0 }
  local opt = optim.SGD({ w }, { lr = 0.25 })
  local loss = opt:step(function()
    opt:zero_grad()
    local l = (w * w):sum()
    l:backward()
    return l
  end)
  check.close(loss, 4)
  check.elements(w, { 1 })
end)

check.case("printing", function()
  check.equal(tostring(optim.SGD({ leaf{ 1.0 } }, { lr = 0.2 })), [[
SGD (
Parameter Group 0
    dampening: 0
    differentiable: False
    foreach: None
    fused: None
    lr: 0.2
    maximize: False
    momentum: 0
    nesterov: False
    weight_decay: 0
)]])
end)

check.case("lists of groups and parameters do not swallow what is added", function()
  local w = leaf{ 1.0 }
  local opt = optim.SGD({ w }, { lr = 1 })
  check.rejects("table.insert(x.param_groups, { params = {} })", "opt.param_groups is a copy; opt:add_param_group{ params = … } adds a group", opt)
  check.rejects("x.param_groups[1] = {}", "opt.param_groups is a copy; opt:add_param_group{ params = … } adds a group", opt)
  check.rejects("table.insert(x.param_groups[1].params, mg.ones(1))",
    "a group's list of params is a copy; opt:add_param_group{ params = … } adds parameters, and p.data = t gives one other values", opt)
  check.rejects("x.param_groups[1].params = {}", "a group's params cannot be assigned; opt:add_param_group{ params = … } adds parameters", opt)
  local count = 0
  for i, group in ipairs(opt.param_groups) do
    check.equal(i, 1)
    for _, p in ipairs(group.params) do check.is_true(p == w) count = count + 1 end
  end
  for _, group in pairs(opt.param_groups) do check.equal(group.lr, 1) count = count + 1 end
  check.equal(count, 2)
  check.equal(#mg.autograd.grad((w * 2):sum(), opt.param_groups[1].params), 1)
end)

check.case("LBFGS runs its closure several times", function()
  local w, calls = leaf{ 3.0, -2.0 }, 0
  local opt = optim.LBFGS({ w }, { line_search_fn = "strong_wolfe", max_iter = 10 })
  local loss
  for _ = 1, 3 do
    loss = opt:step(function()
      calls = calls + 1
      opt:zero_grad()
      local l = ((w - mg.tensor{ 1.0, 4.0 }) ^ 4):sum() + (w[1] * w[2] - 4) ^ 2
      l:backward()
      return l
    end)
  end
  check.is_true(calls > 6)
  check.is_true(loss:item() < 1e-3)
  check.close(w, mg.tensor{ 1.0, 4.0 }, 0.1)
  check.rejects("x:step()", "LBFGS.step: a function that computes the loss is needed, since a step looks at it several times", opt)
  check.equal(pcall(opt.step, opt, function() return "x" end), false)
  local state = opt:state_dict()
  check.equal(state.param_groups[1].max_eval, 12)
  check.equal(#state.state[1].old_dirs, #state.state[1].old_stps)
  local other = optim.LBFGS({ leaf{ 0.0, 0.0 } })
  other:load_state_dict(state)
  check.equal(other.param_groups[1].line_search_fn, "strong_wolfe")
  check.equal(other:state_dict().state[1].n_iter, state.state[1].n_iter)
end)

check.case("hooks around a step", function()
  local w, seen = leaf{ 1.0 }, {}
  local opt = optim.SGD({ w }, { lr = 1 })
  w.grad = mg.ones(1)
  local before = opt:register_step_pre_hook(function(o) seen[#seen + 1] = ("before %g %s"):format(w:item(), o == opt) end)
  opt:register_step_post_hook(function() seen[#seen + 1] = ("after %g"):format(w:item()) end)
  opt:step()
  before:remove()
  opt:step(function() return 0 end)
  check.equal(table.concat(seen, ", "), "before 1 true, after 0, after -1")
  check.rejects("x:register_step_pre_hook(3)", "register_step_pre_hook: expected a function, got 3", opt)
end)

check.case("a hook that knows its optimizer goes with it", function()
  local dead = setmetatable({}, { __mode = "k" })
  for _ = 1, 50 do
    local holder = { opt = optim.SGD({ leaf{ 1.0 } }, { lr = 1 }) }
    holder.opt:register_step_post_hook(function() return holder end)
    dead[holder] = true
  end
  for _ = 1, 2000 do optim.SGD({ leaf{ 1.0 } }, { lr = 1 }):register_step_post_hook(print) end
  collectgarbage() collectgarbage()
  check.equal(next(dead), nil)
end)

check.case("states by PyTorch's names", function()
  for _, name in ipairs(all) do
    local function make()
      mg.manual_seed(2)
      local net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
      return net, optim[name](net:parameters(), { lr = 0.05 })
    end
    local x = mg.ones(4, 2)
    local function step(net, opt)
      opt:zero_grad()
      net(x):pow(2):mean():backward()
      opt:step()
    end
    local net, opt = make()
    for _ = 1, 3 do step(net, opt) end
    opt.param_groups[1].lr = 0.02
    local state = opt:state_dict()
    check.equal(state.param_groups[1].lr, 0.02)
    check.equal(#state.param_groups[1].params, 4)
    if name == "Adam" then
      check.equal(state.state[1].step, 3)
      check.is_true(state.state[1].exp_avg_sq:equal(state.state[1].exp_avg_sq:abs()))
    end
    local twin, other = make()
    twin:load_state_dict(net:state_dict())
    other:load_state_dict(state)
    for _ = 1, 3 do step(net, opt) step(twin, other) end
    check.is_true(net[1].weight:equal(twin[1].weight))
    -- Numbers that count from 0, as PyTorch's checkpoints have them.
    state.param_groups[1].params = { 0, 1, 2, 3 }
    local shifted = {}
    for i, values in pairs(state.state) do shifted[i - 1] = values end
    state.state = shifted
    other:load_state_dict(state)
  end
  local opt = optim.Adam({ leaf{ 1.0 } }, { lr = 1 })
  check.rejects("x:load_state_dict(3)", "Adam.load_state_dict: expected what state_dict() gives, got 3", opt)
  check.rejects("x:load_state_dict{}", "Adam.load_state_dict: the state has no list 'param_groups'", opt)
  check.rejects("x:load_state_dict{ param_groups = { { params = { 1, 2 } } }, state = {} }",
    "Adam.load_state_dict: the state has groups of [2] parameters, the optimizer of [1]", opt)
  check.rejects("x:load_state_dict{ param_groups = { { params = { 1 } } }, state = { { exp_avg = 'x' } } }",
    "Adam.load_state_dict: state[1].exp_avg: expected a tensor or a number, got \"x\"", opt)
end)

check.case("what is remembered of a parameter", function()
  local w, v = leaf{ 1.0 }, leaf{ 1.0 }
  local opt = optim.Adam({ w, v }, { lr = 1 })
  check.equal(next(opt.state[w]), nil)
  w.grad = mg.ones(1)
  opt:step()
  check.equal(opt.state[w].step, 1)
  check.close(opt.state[w].exp_avg, mg.tensor{ 0.1 })
  check.equal(next(opt.state[v]), nil)
  -- The tensors are the optimizer's own.
  opt.state[w].exp_avg:zero_()
  check.elements(opt.state[w].exp_avg, { 0 })
  check.rejects("x.state[1] = {}", "opt.state shows what is remembered of each parameter; opt:load_state_dict(state) changes it", opt)
  check.rejects("local _ = x.state[1]", "opt.state is indexed by parameters, got 1", opt)
end)

check.case("a released parameter is not passed over", function()
  local w, v = leaf{ 1.0 }, leaf{ 1.0 }
  local opt = optim.Adam({ w, v }, { lr = 1 })
  v:free()
  check.rejects("x:step()", "Adam.step: parameter 2 has no elements any more (they were released by free()); make an optimizer without it", opt)
end)

check.case("options of several values", function()
  local w = leaf{ { 1.0, 2.0 }, { 3.0, 5.0 } }
  local opt = optim.Adafactor({ w }, { eps = { nil, 0.01 } })
  check.equal(opt.param_groups[1].eps[1], nil)
  check.equal(opt.param_groups[1].eps[2], 0.01)
  opt = optim.Muon({ w }, { ns_coefficients = { 2, -1.5, 0.5 }, adjust_lr_fn = "match_rms_adamw" })
  check.equal(opt.param_groups[1].ns_coefficients[3], 0.5)
  check.equal(opt.param_groups[1].adjust_lr_fn, "match_rms_adamw")
  check.equal(opt.defaults.ns_steps, 5)
  opt = optim.Rprop({ w }, { step_sizes = { 0.1, 2 } })
  check.equal(opt.param_groups[1].step_sizes[2], 2.0)
  check.rejects("optim.Muon({ x })", "Muon: parameter 1 has shape [1]; only matrices are possible, give the others to another optimizer", leaf{ 1.0 })
  check.rejects("optim.LBFGS{ { params = { x } }, { params = { mg.ones(1) } } }", "LBFGS: there is one group of parameters, since a step moves all of them together", leaf{ 1.0 })
end)

check.case("every optimizer has a text whose example runs", function()
  for name, make in pairs(optim) do
    if type(make) == "function" then
      local lines, plain = {}, print
      print = function(text) lines[#lines + 1] = text end
      local ok, problem = pcall(mg.help, "optim." .. name)
      print = plain
      assert(ok, problem)
      local example = assert(table.concat(lines, "\n"):match "Example:\n(.*)$", name)
      assert(load("local mg = ...\n" .. example))(mg)
    end
  end
end)

check.case("mistakes", function()
  check.rejects("optim.SGD()", "SGD: argument 1 (params): expected a list of parameters, such as net:parameters(), got nil")
  check.rejects("optim.SGD({})", "SGD: the list of parameters is empty")
  check.rejects("optim.SGD(mg.ones(2))", "SGD: argument 1 (params): expected a list of parameters, got one tensor; write { p }")
  check.rejects("optim.SGD({ 3 })", "SGD: element 1 of the parameters is not a tensor but 3")
  check.rejects("optim.SGD({ x }, { lr = -1 })", "SGD: lr must be a number that is not negative, got -1", leaf{ 1.0 })
  check.rejects("optim.SGD({ x }, { lrr = 1 })", "SGD: unknown option 'lrr'…", leaf{ 1.0 })
  check.rejects("optim.SGD({ x }, { lr = 'fast' })", "SGD: lr must be a number, got \"fast\"", leaf{ 1.0 })
  check.rejects("optim.SGD({ x }, { lr = print })", "SGD: option 'lr': expected a number, true or false, a name, or a few numbers, got a function", leaf{ 1.0 })
  check.rejects("optim.SGD({ x * 2 }, { lr = 1 })", "SGD: parameter 1, of shape [1], was computed by an operation; only leaves can be optimized", leaf{ 1.0 })
  check.rejects("optim.SGD({ x }, { lr = 1 }).param_groups[1].lrr = 2", "a parameter group has no option 'lrr'; did you mean 'lr'?…", leaf{ 1.0 })
  check.rejects("optim.SGD({ x }, { lr = 1 }):stepp()", "an optimizer has no field 'stepp'; did you mean 'step'?…", leaf{ 1.0 })
  check.rejects("optim.SGD({ x }, { lr = 1 }).step()", "step: expected an optimizer as self, got nil; write opt:step(…)", leaf{ 1.0 })
end)

-- The line that is being run, of the caller.
local function line() return "optimizers.lua:" .. debug.getinfo(2, "l").currentline end

check.case("the line of a step between forward and backward", function()
  for _, name in ipairs(all) do
    local w = leaf{ 1.0, 2.0 }
    local opt = optim[name]({ w }, { lr = 0.1 })
    w.grad = mg.ones(2)
    local loss = (w * w):sum()
    opt:step() local written = line()
    check.mentions(check.message_of(loss.backward, loss), "was modified by an in-place operation, last at ", written .. ":")
    loss = (w * w):sum()
    opt:step(function() return 1 end) written = line()
    check.mentions(check.message_of(loss.backward, loss), "last at ", written .. ":")
    -- Elements that lie apart are updated in another way.
    w.data = mg.ones(2, 2):t()
    w.grad = mg.ones(2, 2)
    opt, loss = optim[name]({ w }, { lr = 0.1 }), (w * w):sum()
    opt:step() written = line()
    check.mentions(check.message_of(loss.backward, loss), "last at ", written .. ":")
  end
end)

check.case("the line of zero_grad where it writes zeros", function()
  local w, x = leaf{ 1.0 }, leaf{ 2.0 }
  w.grad = mg.ones(1)
  local loss = (w.grad * x):sum()
  optim.SGD({ w }, { lr = 1 }):zero_grad{ set_to_none = false } local written = line()
  check.mentions(check.message_of(loss.backward, loss), "last at ", written .. ":")
end)

check.case("a step's closure records, also where the step does not", function()
  local w = leaf{ 1.0 }
  local opt = optim.SGD({ w }, { lr = 0.5 })
  mg.no_grad(function()
    opt:step(function()
      opt:zero_grad()
      local loss = (w * w):sum()
      loss:backward()
      return loss
    end)
    check.equal(mg.is_grad_enabled(), false)
    check.equal(pcall(opt.step, opt, error), false)
    check.equal((w * 2).requires_grad, false)
  end)
  check.elements(w, { 0 })
  check.equal(mg.is_grad_enabled(), true)
end)

return check.done()

-- Optimizers from scripts: groups and their options, what frozen promises, printing.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

local all = { "SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam" }

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
    for _, options in ipairs { {}, { weight_decay = 0.1 }, name == "SGD" and { momentum = 0.9 } or {} } do
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

check.case("mistakes", function()
  check.rejects("optim.SGD()", "SGD: argument 1 (params): expected a list of parameters, such as net:parameters(), got nil")
  check.rejects("optim.SGD({})", "SGD: the list of parameters is empty")
  check.rejects("optim.SGD(mg.ones(2))", "SGD: argument 1 (params): expected a list of parameters, got one tensor; write { p }")
  check.rejects("optim.SGD({ 3 })", "SGD: element 1 of the parameters is not a tensor but 3")
  check.rejects("optim.SGD({ x }, { lr = -1 })", "SGD: lr must be a number that is not negative, got -1.0", leaf{ 1.0 })
  check.rejects("optim.SGD({ x }, { lrr = 1 })", "SGD: unknown option 'lrr'…", leaf{ 1.0 })
  check.rejects("optim.SGD({ x }, { lr = 'fast' })", "SGD: option 'lr': expected a number, true or false, or a pair of numbers, got \"fast\"", leaf{ 1.0 })
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

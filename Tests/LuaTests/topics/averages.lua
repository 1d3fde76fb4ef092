-- Copies of modules, means of weights, statistics of normalisation. That means are PyTorch's is tested by training.lua.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional
local swa = optim.swa_utils

check.case("a copy has tensors of its own", function()
  local net = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.25), nn.Linear(3, 1, false), nn.LeakyReLU(0.2))
  net[1].bias.requires_grad = false
  net:eval()
  net(mg.ones(1, 2)):sum():backward()
  mg.manual_seed(3)
  local twin = mg.deepcopy(net)
  local drawn = mg.rand(1):item()
  mg.manual_seed(3)
  check.equal(mg.rand(1):item(), drawn)
  check.equal(tostring(twin), tostring(net))
  check.equal(twin.training, false)
  check.equal(twin[2].training, false)
  check.is_true(twin[1].weight ~= net[1].weight and twin[1].weight:equal(net[1].weight))
  check.is_true(twin[1].weight.grad:equal(net[1].weight.grad) and twin[1].weight.grad ~= net[1].weight.grad)
  check.equal(twin[1].bias.requires_grad, false)
  check.equal(twin[3].bias, nil)
  mg.no_grad(function() twin[1].weight:zero_() end)
  check.is_true(not twin[1].weight:equal(net[1].weight))
end)

check.case("classes of scripts, tied parameters, buffers, plain tables", function()
  local Net = nn.Module "Net"
  function Net:init()
    self.a = nn.Linear(2, 2)
    self.b = nn.Linear(2, 2)
    self.b.weight = self.a.weight
    self:register_buffer("count", mg.tensor{ 1, 2 })
    self.sizes = { 2, { 3 } }
    self.own = nn.Parameter(mg.ones(2))
    self.same = self.own
  end
  function Net:forward(x) return self.b(self.a(x)) * self.own end
  local net = Net()
  local twin = mg.deepcopy(net)
  check.is_true(twin.a.weight == twin.b.weight and twin.a.weight ~= net.a.weight)
  check.is_true(twin.own == twin.same)
  twin.sizes[2][1] = 4
  check.equal(net.sizes[2][1], 3)
  check.is_true(twin(mg.ones(1, 2)):equal(net(mg.ones(1, 2))))
  local names = {}
  for name in twin:named_parameters() do names[#names + 1] = name end
  check.equal(table.concat(names, " "), "own a.weight a.bias b.bias")
  twin.count:add_(1)
  check.elements(net.count, { 1, 2 })
  twin.more = nn.Linear(1, 1)
  check.equal(pcall(function() return net.more end), false)
  local loop = { 1 }
  loop.me = loop
  local copy = mg.deepcopy(loop)
  check.is_true(copy.me == copy and copy ~= loop)
  check.rejects("mg.deepcopy(x * 2)", "deepcopy: a tensor that was computed by an operation cannot be copied with its history; detach() it first",
    mg.ones(1, { requires_grad = true }))
  check.rejects("mg.deepcopy(x)", "deepcopy: modules, tensors, optimizers, schedulers, generators and tables of them can be copied, not a userdata",
    nn.Parameter(mg.ones(1)):register_hook(print))
end)

check.case("every class of modules can be copied", function()
  for _, module in ipairs { nn.Linear(2, 3), nn.Embedding(4, 2, 1), nn.Flatten(), nn.Identity(), nn.ReLU(), nn.Dropout(0.1), nn.ELU(0.3),
    nn.CrossEntropyLoss{ weight = mg.tensor{ 1.0, 2.0 }, label_smoothing = 0.1 }, nn.MSELoss{ reduction = "sum" } } do
    local twin = mg.deepcopy(module)
    check.equal(tostring(twin), tostring(module))
    check.is_true(twin ~= module)
  end
  local loss = mg.deepcopy(nn.CrossEntropyLoss{ weight = mg.tensor{ 1.0, 2.0 } })
  check.elements(loss.weight, { 1, 2 })
end)

check.case("means of weights", function()
  local net = nn.Linear(1, 1, false)
  local function set(value) mg.no_grad(function() net.weight:fill_(value) end) end
  local mean, ema = swa.AveragedModel(net), swa.AveragedModel(net, { multi_avg_fn = swa.get_ema_multi_avg_fn(0.5) })
  local swa_multi = swa.AveragedModel(net, { multi_avg_fn = swa.get_swa_multi_avg_fn() })
  for _, value in ipairs { 1, 2, 6 } do
    set(value)
    for _, model in ipairs { mean, ema, swa_multi } do model:update_parameters(net) end
  end
  check.close(mean.module.weight, mg.tensor{ { 3.0 } })
  check.close(swa_multi.module.weight, mg.tensor{ { 3.0 } })
  check.close(ema.module.weight, mg.tensor{ { 3.75 } })
  check.equal(mean.n_averaged:item(), 3)
  check.close(mean(mg.ones(1, 1)), mg.tensor{ { 3.0 } })
  local state = mean:state_dict()
  check.equal(state.n_averaged:item(), 3)
  check.is_true(state["module.weight"] ~= nil)
  check.rejects("optim.swa_utils.AveragedModel(3)", "AveragedModel: argument 1 (model): expected a module, got 3")
  check.rejects("optim.swa_utils.AveragedModel(x, { avg_fn = print, multi_avg_fn = print })",
    "AveragedModel: avg_fn and multi_avg_fn are given; one of them is possible", net)
  check.rejects("optim.swa_utils.get_ema_avg_fn(2)", "get_ema_avg_fn: decay must lie between 0 and 1, got 2")
  check.rejects("x:update_parameters(nn.Linear(2, 1, false))",
    "update_parameters: tensor 1 of the model has shape [1, 2], that of the averaged one [1, 1]", mean)
end)

check.case("the mean of what is frozen stays, whatever formula averages it", function()
  for _, make in ipairs {
    function(net) return swa.AveragedModel(net) end,
    function(net) return swa.AveragedModel(net, { avg_fn = swa.get_ema_avg_fn(0.9) }) end,
    function(net) return swa.AveragedModel(net, { multi_avg_fn = swa.get_ema_multi_avg_fn(0.9) }) end,
    function(net) return swa.AveragedModel(net, { avg_fn = function(mean, weight) return mean * 0.7 + weight * 0.3 end }) end,
  } do
    local net = nn.Linear(40, 3)
    net.weight.requires_grad = false
    local averaged, start = make(net), net.weight:clone()
    for _ = 1, 20 do
      mg.no_grad(function() net.bias:add_(1) end)
      averaged:update_parameters(net)
    end
    check.is_true(averaged.module.weight:equal(start) and net.weight:equal(start))
    check.is_true(not averaged.module.bias:equal(net.bias))
    -- Frozen after it was trained: the mean goes on towards it.
    net.bias.requires_grad = false
    local before = (averaged.module.bias - net.bias):abs():max():item()
    for _ = 1, 5 do averaged:update_parameters(net) end
    local after = (averaged.module.bias - net.bias):abs():max():item()
    check.is_true(after < before)
  end
end)

check.case("buffers are taken over, or averaged", function()
  local Counter = nn.Module "Counter"
  function Counter:init() self:register_buffer("seen", mg.tensor{ 0.0 }) end
  function Counter:forward(x) return x end
  local net = Counter()
  local plain, averaged = swa.AveragedModel(net), swa.AveragedModel(net, { use_buffers = true })
  for _, value in ipairs { 2, 4 } do
    net.seen:fill_(value)
    plain:update_parameters(net)
    averaged:update_parameters(net)
  end
  check.elements(plain.module.seen, { 4 })
  check.elements(averaged.module.seen, { 3 })
end)

check.case("statistics are collected anew", function()
  local Norm = nn.Module "Norm"
  function Norm:init()
    self.momentum, self.count = 0.1, 0
    self:register_buffer("running_mean", mg.tensor(7.0))
  end
  function Norm:reset_running_stats() self.count = 0 self.running_mean:zero_() end
  function Norm:forward(x)
    if self.training then
      self.count = self.count + 1
      local part = self.momentum or 1 / self.count
      self.running_mean:copy_(self.running_mean * (1 - part) + x:mean() * part)
    end
    return x
  end
  local net = nn.Sequential(Norm())
  net:eval()
  swa.update_bn({ mg.ones(2), { mg.ones(2) * 3, "label" } }, net)
  check.close(net[1].running_mean, mg.tensor(2.0))
  check.equal(net[1].momentum, 0.1)
  check.equal(net.training, false)
  local ok = pcall(swa.update_bn, { 3 }, net)
  check.equal(ok, false)
  check.equal(net[1].momentum, 0.1)
  check.rejects("optim.swa_utils.update_bn(3, x)", "update_bn: argument 1 (loader): expected batches, a list or a loader, got 3", net)
end)

check.case("examples run", function()
  for name, value in pairs(swa) do
    if name ~= "SWALR" then
      local text
      local plain = print
      print = function(line) text = line end
      local ok, problem = pcall(mg.help, "optim.swa_utils." .. name)
      print = plain
      assert(ok, problem)
      assert(load("local mg = ...\nlocal print = function() end\n" .. text:match "Example:\n(.*)$"))(mg)
    end
  end
end)

return check.done()

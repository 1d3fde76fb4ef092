-- The workloads of the benchmark, in Moongrad. `scripts/bench` runs this file and bench_torch.py in turn and compares;
-- to look at a workload alone:
--
--     scripts/moongrad scripts/bench.lua [SECONDS] W1 W3 …
--
-- Each workload runs for SECONDS (0.5) in blocks; printed are its name and the seconds that one step took in the best
-- block and in the median one.

local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local workloads = {}                                  -- name → function that prepares and returns one step

-- A training step: forward, loss, gradients cleared, backward, the optimizer's step.
local function training(net, opt, loss_fn, x, y)
  return function()
    local loss = loss_fn(net(x), y)
    opt:zero_grad(); loss:backward(); opt:step()
  end
end

local function regression()
  local x = mg.linspace(-1, 1, 100):unsqueeze(2)
  local y = x:pow(2) + 0.2 * mg.rand(100, 1)
  return nn.Sequential(nn.Linear(1, 10), nn.ReLU(), nn.Linear(10, 1)), x, y
end

-- W1: regression 1→10→1, 100 points, mean squared error, SGD.
function workloads.W1()
  local net, x, y = regression()
  return training(net, optim.SGD(net:parameters(), { lr = 0.2 }), nn.MSELoss(), x, y)
end

-- W1f: W1 with its first layer frozen.
function workloads.W1f()
  local net, x, y = regression()
  for p in net[1]:parameters() do p.requires_grad = false end
  return training(net, optim.SGD(net:parameters(), { lr = 0.2 }), nn.MSELoss(), x, y)
end

-- W2: (a·b)·d on numbers, backward.
function workloads.W2()
  local a = mg.tensor(2.0, { requires_grad = true })
  local b = mg.tensor(3.0, { requires_grad = true })
  local d = mg.tensor(4.0, { requires_grad = true })
  return function()
    local e = (a * b) * d
    e:backward()
  end
end

-- W2c: a chain of 100 multiplications of numbers, backward.
function workloads.W2c()
  local a, b = mg.tensor(1.0, { requires_grad = true }), mg.tensor(1.0)
  return function()
    local y = a
    for _ = 1, 100 do y = y * b end
    y:backward()
  end
end

local function classifier(features, hidden, classes, batch)
  local net = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))
  return net, mg.randn(batch, features), mg.randint(1, classes + 1, { batch })
end

-- W3: 784→128→10, batches of 64, cross entropy, SGD.
function workloads.W3()
  local net, x, y = classifier(784, 128, 10, 64)
  return training(net, optim.SGD(net:parameters(), { lr = 0.01 }), nn.CrossEntropyLoss(), x, y)
end

-- W3a: W3 with Adam.
function workloads.W3a()
  local net, x, y = classifier(784, 128, 10, 64)
  return training(net, optim.Adam(net:parameters(), { lr = 0.001 }), nn.CrossEntropyLoss(), x, y)
end

-- W4: 1024→1024→1000, batches of 256, cross entropy, SGD.
function workloads.W4()
  local net, x, y = classifier(1024, 1024, 1000, 256)
  return training(net, optim.SGD(net:parameters(), { lr = 0.01 }), nn.CrossEntropyLoss(), x, y)
end

-- E1: adding 10 elements, with a graph.
function workloads.E1()
  local x, y = mg.ones(10, { requires_grad = true }), mg.ones(10)
  return function() local z = x + y end
end

-- E2: functions of a million elements, without a graph.
local function million(f)
  return function()
    local x, y = mg.rand(1000, 1000), mg.rand(1000, 1000)
    return function() local z = f(x, y) end
  end
end

workloads.E2add     = million(function(x, y) return x + y end)
workloads.E2exp     = million(function(x) return x:exp() end)
workloads.E2tanh    = million(function(x) return x:tanh() end)
workloads.E2softmax = million(function(x) return F.softmax(x, 2) end)

-- L: layers. A step clears the gradients, computes, and runs backward; where an optimizer is given, it moves the parameters too.
local function layer(net, x, optimizer)
  return function()
    net:zero_grad()
    local y = net(x)
    y:sum():backward()
    if optimizer then optimizer:step() end
  end
end

-- Lcnn: two convolutions of 16 and 32 channels with pooling, 64 images 28×28, cross entropy, Adam.
function workloads.Lcnn()
  local net = nn.Sequential(nn.Conv2d(1, 16, 3, { padding = 1 }), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, { padding = 1 }), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 49, 10))
  return training(net, optim.Adam(net:parameters()), nn.CrossEntropyLoss(), mg.randn(64, 1, 28, 28), mg.randint(1, 11, { 64 }))
end

-- Lrnn, Llstm, Lgru: 64 steps of 32 sequences, 64 features, hidden size 128, SGD.
for name, class in pairs { Lrnn = nn.RNN, Llstm = nn.LSTM, Lgru = nn.GRU } do
  workloads[name] = function()
    local net = class(64, 128)
    return layer(net, mg.randn(64, 32, 64), optim.SGD(net:parameters(), { lr = 0.01 }))
  end
end

-- Lblock: a layer of a transformer, 8 × 128 × 256, 4 heads, hidden size 1024, dropout 0.1, Adam.
function workloads.Lblock()
  local net = nn.TransformerEncoderLayer(256, 4, 1024, { batch_first = true })
  return layer(net, mg.randn(8, 128, 256), optim.Adam(net:parameters()))
end

-- Lbn, Lln: norms alone, 32 × 64 × 28 × 28 and 1024 × 512.
function workloads.Lbn() return layer(nn.BatchNorm2d(64), mg.randn(32, 64, 28, 28, { requires_grad = true })) end
function workloads.Lln() return layer(nn.LayerNorm(512), mg.randn(1024, 512, { requires_grad = true })) end

-- Ladam: a step over ten million parameters.
function workloads.Ladam()
  local net = nn.Linear(2500, 4000)
  for p in net:parameters() do p.grad = mg.randn(p.shape) end
  local optimizer = optim.Adam(net:parameters())
  return function() optimizer:step() end
end

-- F: training steps of models of which some is frozen; W1f and W3f are of these, too. `frozen` says which of the layers that have
-- parameters are, from the input to the output.
local function freezing(make, count, frozen)
  return function()
    local net, loss_fn, x, y = make()
    local layers = {}
    for layer in net:children() do
      if #layer:parameters() > 0 then layers[#layers + 1] = layer end
    end
    assert(#layers == count)
    for i = frozen[1], frozen[2] do layers[i]:requires_grad_(false) end
    return training(net, optim.SGD(net:parameters(), { lr = 0.01 }), loss_fn, x, y)
  end
end

local function deep()
  local layers = {}
  for i = 1, 9 do
    layers[2 * i - 1] = nn.Linear(512, 512)
    if i < 9 then layers[2 * i] = nn.ReLU() end
  end
  return nn.Sequential(table.unpack(layers)), nn.MSELoss(), mg.randn(128, 512), mg.randn(128, 512)
end

local function lenet()
  local net = nn.Sequential(nn.Conv2d(1, 6, 5, { padding = 2 }), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
  return net, nn.CrossEntropyLoss(), mg.randn(64, 1, 28, 28), mg.randint(1, 11, { 64 })
end

local function w3()
  local net, x, y = classifier(784, 128, 10, 64)
  return net, nn.CrossEntropyLoss(), x, y
end

workloads.W3f   = freezing(w3, 2, { 1, 1 })
workloads.F9    = freezing(deep, 9, { 1, 0 })
workloads.F9b4  = freezing(deep, 9, { 1, 4 })
workloads.F9b8  = freezing(deep, 9, { 1, 8 })
workloads.F9t4  = freezing(deep, 9, { 6, 9 })
workloads.F9t8  = freezing(deep, 9, { 2, 9 })
workloads.Fcnn  = freezing(lenet, 5, { 1, 0 })
workloads.Fcnnf = freezing(lenet, 5, { 1, 2 })

-- V: functions of functions. Vgrad: W1's gradients of each of 256 points, Vhess: the Hessian of an MLP 3-8-2 by its 50 parameters.
function workloads.Vgrad()
  local func, net, params = mg.func, regression(), {}
  for name, p in net:named_parameters() do params[name] = p:detach() end
  local x = mg.linspace(-1, 1, 256):unsqueeze(2)
  local y = x:pow(2)
  local function loss(ps, one, target) return F.mse_loss(func.functional_call(net, ps, one), target) end
  local gradients = func.vmap(func.grad(loss), { in_dims = { false, 1, 1 } })
  return function() return gradients(params, x, y) end
end

function workloads.Vhess()
  local x, y, p = mg.randn(20, 3), mg.randn(20, 2), mg.randn(50)
  local hessian = mg.func.hessian(function(p)
    local h = mg.tanh(F.linear(x, p[{ { 1, 24 } }]:view(8, 3), p[{ { 25, 32 } }]))
    return F.mse_loss(F.linear(h, p[{ { 33, 48 } }]:view(2, 8), p[{ { 49, 50 } }]), y)
  end)
  return function() return hessian(p) end
end

-- Seconds a step, best and median of blocks that take about a hundredth of the time each.
local function measure(step, seconds)
  local function block(count)
    local started = mg.clock()
    for _ = 1, count do step() end
    return (mg.clock() - started) / count
  end
  local count, time = 1, block(1)
  while time * count < seconds / 100 do
    count = count * 2
    time = block(count)
  end
  local times, ends = {}, mg.clock() + seconds
  repeat times[#times + 1] = block(count) until mg.clock() > ends and #times >= 5
  table.sort(times)
  return times[1], times[(#times + 1) // 2]
end

-- Resident memory in MiB.
local function resident()
  for line in io.lines "/proc/self/status" do
    local kilobytes = line:match "^VmRSS:%s*(%d+) kB"
    if kilobytes then return tonumber(kilobytes) / 1024 end
  end
end

-- M: the resident memory of `count` steps: after a tenth of them, at the end, and the most in between.
local function memory(name, count)
  local step = workloads[name]()
  local first, most = nil, 0
  for part = 1, 100 do
    for _ = 1, count // 100 do step() end
    local now = resident()
    most = math.max(most, now)
    if part == 10 then first = now end
  end
  return first, resident(), most
end

if arg[1] == "--threads" then
  print(mg.get_num_threads())
elseif arg[1] == "--memory" then
  mg.manual_seed(0)
  print(("%.1f %.1f %.1f"):format(memory(arg[2], math.tointeger(tonumber(arg[3])))))
else
  local seconds, names = tonumber(arg[1]) or 0.5, { table.unpack(arg, tonumber(arg[1]) and 2 or 1) }
  for _, name in ipairs(names) do
    if not workloads[name] then error(("there is no workload '%s'"):format(name), 0) end
    mg.manual_seed(0)
    print(("%s %.4g %.4g"):format(name, measure(workloads[name](), seconds)))
  end
end

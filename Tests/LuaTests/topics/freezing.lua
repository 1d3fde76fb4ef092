-- Freezing by patterns, what the tools say of it, and that what is frozen or guarded keeps its bits.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

local Net = nn.Module "Net"
function Net:init()
  self.hidden = nn.Linear(1, 10)
  self.predict = nn.Linear(10, 1)
end
function Net:forward(x) return self.predict(mg.relu(self.hidden(x))) end

local x = mg.linspace(-1, 1, 20):view(-1, 1)
local function train(net, opt, steps)
  for _ = 1, steps or 1 do
    opt:zero_grad()
    net(x):pow(2):mean():backward()
    opt:step()
  end
end

local function flags(net)
  local list = {}
  for name, p in net:named_parameters() do if not p.requires_grad then list[#list + 1] = name end end
  return list
end

check.case("freeze takes patterns, modules, parameters, lists and functions", function()
  local net = Net()
  for _, way in ipairs {
    { "hidden.*", { "hidden.weight", "hidden.bias" } }, { "hidden", { "hidden.weight", "hidden.bias" } },
    { "*.bias", { "hidden.bias", "predict.bias" } }, { "hidden.?????s", nil }, { "*", { "hidden.weight", "hidden.bias", "predict.weight", "predict.bias" } },
    { net.predict, { "predict.weight", "predict.bias" } }, { net.hidden.weight, { "hidden.weight" } },
    { { "hidden.weight", "predict.b*" }, { "hidden.weight", "predict.bias" } }, { { net.hidden.bias }, { "hidden.bias" } },
    { { net.predict, net.hidden }, { "hidden.weight", "hidden.bias", "predict.weight", "predict.bias" } },
    { function(_, p) return p:dim() == 1 end, { "hidden.bias", "predict.bias" } },
  } do
    net:requires_grad_(true)
    if way[2] then
      mg.freeze(net, way[1])
      check.equal(flags(net), way[2])
    else
      check.is_true(not pcall(mg.freeze, net, way[1]))
    end
  end
  mg.unfreeze(net, "hidden.*")
  check.equal(flags(net), { "predict.bias" })
  local report = mg.freeze(net)
  check.equal(report.names, { "hidden.weight", "hidden.bias", "predict.weight", "predict.bias" })
  check.equal({ report.trainable, report.total }, { 0, 31 })
  check.equal(tostring(mg.unfreeze(net, "predict.*")), "unfroze 2 parameters: predict.weight, predict.bias; 11 of 31 numbers are trained (35.5 %)")
end)

check.case("what matches nothing raises, with the name that was meant", function()
  local net = Net()
  local there = " (there is hidden.weight, hidden.bias, predict.weight, predict.bias)"
  check.raises("freeze: no parameter matches 'hiden.*'; did you mean 'hidden.*'?" .. there, mg.freeze, net, "hiden.*")
  check.raises("unfreeze: no parameter matches 'hidden.wieght'; did you mean 'hidden.weight'?" .. there, mg.unfreeze, net, "hidden.wieght")
  check.raises("freeze: no parameter matches 'zzz'" .. there, mg.freeze, net, { "hidden.*", "zzz" })
  check.equal(flags(net), {})                        -- nothing was frozen then
  check.raises("freeze: the function chose none of the 4 parameters", mg.freeze, net, function() return false end)
  check.raises("freeze: a tensor of shape [2] is no parameter of the Net", mg.freeze, net, mg.ones(2))
  check.raises("freeze: the ReLU is not in the Net", mg.freeze, net, nn.ReLU())
  check.raises("freeze: argument 1: expected a module, got 3", mg.freeze, 3)
  check.raises("freeze: level must be \"grad\" or \"full\", got \"half\"", mg.freeze, net, "*", { level = "half" })
  check.raises("freeze: a list is of patterns, of modules or of parameters, not of several of these", mg.freeze, net, { "hidden.*", net.predict })
  local deep = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
  check.raises("freeze: no parameter matches '1': 1 is a ReLU, which has none (there is 0.weight, 0.bias)", mg.freeze, deep, "1")
end)

check.case("frozen parameters keep their bits under every optimizer", function()
  for _, make in ipairs {
    function(ps) return optim.SGD(ps, { lr = 0.1, momentum = 0.9, weight_decay = 0.1 }) end,
    function(ps) return optim.Adam(ps, { lr = 0.1, weight_decay = 0.1 }) end, function(ps) return optim.AdamW(ps, { lr = 0.1 }) end,
  } do
    local net = Net()
    local opt = make(net:parameters())
    train(net, opt, 2)
    mg.freeze(net, "hidden.*")
    local watch = mg.watch(net, { optimizer = opt })
    check.equal(net.hidden.weight.grad, nil)
    train(net, opt, 3)
    net.hidden.weight.grad = mg.ones(10, 1)          -- a stale gradient
    opt:step()
    opt:zero_grad { set_to_none = false }
    opt:step()
    watch:assert_frozen()
    for _, row in ipairs(watch:rows()) do
      check.equal(row.changed, row.name == "predict.weight" or row.name == "predict.bias")
    end
  end
end)

check.case("freeze_to leaves the last blocks", function()
  local net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2), nn.Linear(2, 1))
  check.equal(mg.freeze_to(net, 1).names, { "0.weight", "0.bias", "2.weight", "2.bias" })
  mg.unfreeze(net)
  check.equal(mg.freeze_to(net, 3).names, {})
  check.raises("freeze_to: the Sequential has 3 blocks with parameters, of which 0 to 3 can stay trained, got 4", mg.freeze_to, net, 4)
end)

check.case("with level full, statistics and dropout stand still too", function()
  local net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
  local warned = mg.catch_warnings(function() mg.freeze(net, "1.*") mg.freeze(net, "1.*") end)
  check.equal(#warned, 1)
  check.mentions(warned[1], "the running statistics of 1 (BatchNorm1d) still follow the batches", "level = \"full\"")
  check.equal(mg.freeze(net, { "0", "1", "2" }, { level = "full" }).modules, { "0", "1", "2" })
  local mean = net[2].running_mean:clone()
  net:train()
  check.equal({ net[1].training, net[2].training, net[3].training, net[4].training }, { false, false, false, true })
  local watch = mg.watch(net)
  local input = mg.randn(5, 3)
  check.is_true(net(input):equal(net(input)))         -- nothing is dropped
  check.is_true(net[2].running_mean:equal(mean))
  watch:assert_frozen()
  local copy = mg.deepcopy(net)
  copy:train()
  check.equal(copy[2].training, false)                -- a copy is as frozen
  mg.no_grad(function() net[2].running_mean:add_(1) end)
  check.mentions(select(2, pcall(watch.assert_frozen, watch)), "assert_frozen: 1.running_mean was to stay as it was, and differs at [1]: the largest change is 1.0",
    "freezing.lua:119")
  mg.unfreeze(net, { "1", "2" })
  check.equal({ net[2].training, net[3].training }, { true, true })
  local own = nn.Module "Own"
  function own:init() self.bn = nn.BatchNorm1d(2) end
  local holder = own()
  mg.freeze(holder, nil, { level = "full" })
  holder:train()
  check.equal({ holder.training, holder.bn.training }, { false, false })
  mg.unfreeze(holder)
  holder:train()
  check.equal({ holder.training, holder.bn.training }, { true, true })
end)

check.case("a shared parameter is one, and the report says so", function()
  local net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
  net[2].weight = net[1].weight
  check.equal(tostring(mg.freeze(net, "1.weight")), "froze 1 parameter: 1.weight (also 0.weight); 4 of 8 numbers are trained (50.0 %)")
  check.equal(net[1].weight.requires_grad, false)
  check.equal(mg.summary(net).rows[3].shared_with, "0.weight")
  check.equal({ mg.summary(net).total, mg.summary(net).trainable }, { 8, 4 })
end)

check.case("unfreezing, and what the optimizer remembers", function()
  local function steps_of(policy)
    local net = nn.Linear(1, 1)
    local opt = optim.Adam(net:parameters(), { lr = 0.1 })
    train(net, opt, 3)
    mg.freeze(net, "weight")
    train(net, opt, 2)
    mg.unfreeze(net, "weight", { optimizer = opt, policy = policy })
    local before = net.weight:clone()
    train(net, opt)
    return opt.state[net.weight] and opt.state[net.weight].step, net.weight:equal(before)
  end
  local steps, stayed = steps_of "keep"
  check.equal({ steps, stayed }, { 4, false })
  steps, stayed = steps_of "reset"
  check.equal({ steps, stayed }, { 1, false })
  steps, stayed = steps_of "drop"
  check.equal(stayed, true)
  local net = Net()
  local opt = optim.SGD(net.predict:parameters(), { lr = 0.1 })
  mg.freeze(net, "hidden.weight")
  local warned = mg.catch_warnings(function() mg.unfreeze(net, "hidden.weight", { optimizer = opt }) end)
  check.mentions(warned[1], "hidden.weight is trained again, but the SGD does not hold it")
  check.raises("unfreeze: policy \"reset\" is for what an optimizer remembers: give it as { optimizer = opt }", mg.unfreeze, net, "*", { policy = "reset" })
  check.raises("unfreeze: policy must be \"keep\", \"reset\" or \"drop\", got \"forget\"", mg.unfreeze, net, "*", { optimizer = opt, policy = "forget" })
end)

check.case("unfreeze_schedule", function()
  local net = Net()
  mg.freeze(net)
  local schedule = mg.unfreeze_schedule(net, { [1] = "predict.*", [3] = { "hidden.weight", "hidden.bias" } })
  check.equal(#schedule:step(0), 0)
  check.equal(schedule:step(1)[1].names, { "predict.weight", "predict.bias" })
  check.equal(#schedule:step(2), 0)
  check.equal(schedule.pending, 1)
  check.equal(#schedule:step(5), 1)
  check.equal(flags(net), {})
  check.raises("unfreeze_schedule: step: expected an epoch, got nil", schedule.step, schedule)
end)

check.case("param_groups: the longest pattern wins", function()
  local net = Net()
  local groups = mg.param_groups(net, { ["hidden.*"] = { lr = 1e-4 }, ["*"] = { lr = 1e-3 }, ["hidden.bias"] = { lr = 0, weight_decay = 1 } })
  check.equal({ groups[1].lr, groups[2].lr, groups[3].lr }, { 1e-4, 0, 1e-3 })
  check.equal({ #groups[1].params, #groups[2].params, #groups[3].params }, { 1, 1, 2 })
  check.equal(groups[2].weight_decay, 1)
  check.equal(#optim.Adam(groups).param_groups, 3)
  check.raises("param_groups: no pattern matches predict.weight; a group \"*\" takes what others leave", mg.param_groups, net, { ["hidden.*"] = {} })
  check.raises("param_groups: no parameter matches 'x.*'…", mg.param_groups, net, { ["x.*"] = {}, ["*"] = {} })
end)

check.case("a watch finds what changed, and dead units", function()
  local net = Net()
  mg.no_grad(function()
    net.hidden.weight:fill_(1)
    net.hidden.bias:fill_(2)
    net.hidden.bias[4] = -5                            -- never above 0 on [-1, 1]
  end)
  local opt = optim.SGD(net:parameters(), { lr = 0.01 })
  local watch = mg.watch(net, { optimizer = opt })
  train(net, opt, 4)
  local rows = {}
  for _, row in ipairs(watch:rows()) do rows[row.name] = row end
  check.equal(rows["hidden.weight"].dead_units, { 4 })
  check.equal(rows["hidden.weight"].steps, 4)
  check.is_true(rows["hidden.weight"].changed and rows["predict.bias"].change > 0)
  check.raises("assert_frozen: predict.weight was to stay as it was, and differs at [1, 1]: …", watch.assert_frozen, watch, "predict.weight")
  check.mentions(tostring(watch), "hidden.weight", "trained", "dead units", "1 of them")
  -- −0 is not 0.
  local other = nn.Linear(1, 1)
  mg.no_grad(function() other.weight:fill_(0) end)
  mg.freeze(other)
  watch = mg.watch(other)
  mg.no_grad(function() other.weight:fill_(-0.0) end)
  check.mentions(select(2, pcall(watch.assert_frozen, watch)), "assert_frozen: weight was to stay as it was, and differs at [1, 1]: the largest change is 0",
    "freezing.lua:217")
end)

check.case("a guard refuses every write before a bit moves", function()
  local net = Net()
  local opt = optim.SGD(net:parameters(), { lr = 0.1 })
  local weight, before = net.predict.weight, {}
  for i, p in ipairs(net:parameters()) do before[i] = p:clone() end
  do
    local guard <close> = mg.guard(net, "predict.weight")
    check.equal(guard.names, { "predict.weight" })
    net(x):pow(2):mean():backward()
    local function refused(what, write)
      local ok, message = pcall(write)
      check.is_true(not ok)
      check.mentions(message, what .. ": predict.weight is guarded since ", "nothing may be written to it")
    end
    refused("SGD.step", function() opt:step() end)
    refused("add_", function() weight.data:add_(1) end)
    refused("mul_", function() mg.no_grad(function() weight:mul_(2) end) end)
    refused("zero_", function() mg.no_grad(function() weight:view(-1):zero_() end) end)
    refused("index assignment", function() mg.no_grad(function() weight[1] = 3 end) end)
    refused("copy_", function() mg.no_grad(function() weight:copy_(mg.ones(1, 10)) end) end)
    refused("normal_", function() mg.no_grad(function() weight:normal_() end) end)
    refused("data", function() weight.data = mg.ones(1, 10) end)
    refused("load_state_dict", function() net:load_state_dict(net:state_dict()) end)
    refused("zeros_", function() nn.init.zeros_(weight) end)
    refused("to", function() net:double() end)
    refused("vector_to_parameters", function() nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(net:parameters()), net:parameters()) end)
    for _, make in ipairs { optim.Adam, optim.RMSprop, optim.Adagrad } do
      local other = make(net:parameters())
      check.is_true(not pcall(other.step, other))
    end
  end
  for i, p in ipairs(net:parameters()) do check.is_true(p:equal(before[i])) end
  opt:step()                                           -- the guard is gone
  check.is_true(not weight:equal(before[3]))
  -- Frozen and guarded is what it is for: steps of the rest go on.
  mg.freeze(net, "hidden.*")
  local guard = mg.guard(net, "hidden.*")
  train(net, opt, 2)
  local second = mg.guard(net, "hidden.bias")
  guard:close()
  check.is_true(not pcall(function() mg.no_grad(function() net.hidden.bias:add_(1) end) end))
  mg.no_grad(function() net.hidden.weight:add_(1) end)
  second:close()
  second:close()
  mg.no_grad(function() net.hidden.bias:add_(1) end)
end)

check.case("a summary with an input says what a step costs, and what freezing saves", function()
  local net = Net()
  mg.freeze(net, "hidden.*")
  local input = mg.ones(5, 1)
  local s = mg.summary(net, { input = input })
  check.equal({ s.forward, s.backward, s.backward_unfrozen }, { 100, 50, 50 + 50 + 50 })
  check.equal({ s.layers[1].name, s.layers[1].module, s.layers[1].forward, s.layers[1].backward_unfrozen }, { "hidden", "Linear", 50, 50 })
  check.equal(s.layers[3].outputs, { { 5, 1 } })
  check.equal(s.layers[2].name, "")                   -- the net's own ReLU
  check.equal(s.layers[3].backward_if_frozen_to_here, 0)
  check.mentions(tostring(s), "layer", "hidden", "multiply-adds: forward 100; backward 50 of 150 (66.7 % saved)")
  check.equal(flags(net), { "hidden.weight", "hidden.bias" })
  -- Scripts' modules with several inputs, outputs in tables, and keywords of none.
  local Two = nn.Module "Two"
  function Two:init() self.rnn = nn.LSTM(3, 4) self.out = nn.Linear(4, 2) end
  function Two:forward(a, b) local y, states = self.rnn(a + b) return { y = self.out(y), states } end
  local two = mg.summary(Two(), { inputs = { mg.ones(2, 1, 3), mg.ones(2, 1, 3) } })
  check.equal({ two.layers[1].name, two.layers[2].name }, { "rnn", "out" })
  check.equal(two.layers[2].forward, 2 * 4 * 2)
  check.raises("Linear (out): an input of shape [2, 4] does not fit the weight of shape [1, 1]: its last size must be in_features = 1",
    function()
      local bad = nn.Module "Bad"
      function bad:init() self.out = nn.Linear(1, 1) end
      function bad:forward(x) return self.out(x) end
      mg.summary(bad(), { input = mg.ones(2, 4) })
    end)
  check.raises("summary: input and inputs cannot both be given", mg.summary, net, { input = input, inputs = { input } })
  check.raises("summary: option 'inputs': expected a list of what a call takes, got 3", mg.summary, net, { inputs = 3 })
  local path = os.tmpname()
  s:save_csv(path)
  local rows = mg.data.read_csv(path)
  check.equal(rows.forward:tolist(), { 50.0, 0.0, 50.0 })
  mg.summary(net):save_csv(path)
  check.equal(mg.data.read_csv(path).name, { "hidden.weight", "hidden.bias", "predict.weight", "predict.bias" })
  os.remove(path)
end)

check.case("a watch records steps: norms, ratios, angles, dead units", function()
  mg.manual_seed(2)
  local net = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))
  mg.no_grad(function() net[1].bias[2] = -100 end)     -- a dead unit
  mg.freeze(net, "2.bias")
  local opt = optim.SGD(net:parameters(), { lr = 0.1, momentum = 0.5 })
  local watch = mg.watch(net, { optimizer = opt, every = 3 })
  local weight, seen, last = net[3].weight, {}, nil
  for step = 1, 6 do
    local before = weight:detach():clone()
    train(net, opt)
    local move = weight:detach() - before
    seen[step] = { norm = weight:norm():item(), update = move:norm():item(), of = before:norm():item(), grad = weight.grad:norm():item(),
      cosine = last and ((move * last):sum() / (move:norm() * last:norm())):item() }
    last = move
  end
  local history = watch:history()
  check.equal({ #history, history[1].step, history[2].step, watch.steps }, { 2, 3, 6, 6 })
  for _, record in ipairs(history) do
    check.equal(#record.updates, 3)
    check.equal({ record.updates[1].name, record.updates[1].dead_units, record.updates[2].dead_units }, { "0.weight", 1, nil })
    local update, expected = record.updates[3], seen[record.step]
    check.equal(update.name, "2.weight")
    for key, value in pairs { norm = expected.norm, update = expected.update, grad_norm = expected.grad, cosine = expected.cosine } do
      check.is_true(math.abs(update[key] - value) < 1e-5, key)
    end
    -- By the norm after the step, since that is what is there.
    check.is_true(math.abs(update.ratio - expected.update / expected.norm) < 1e-5)
    check.equal(record.similarities, {})
  end
  check.raises("watch: every must be a positive number of steps, got 0", mg.watch, net, { every = 0 })
  check.raises("watch: option 'every': expected a whole number of steps, got 1.5", mg.watch, net, { every = 1.5 })
end)

check.case("a watch with an input tells how layers come to give something else", function()
  mg.manual_seed(3)
  local net = nn.Sequential(nn.Linear(1, 5), nn.Dropout(0.5), nn.BatchNorm1d(5), nn.Linear(5, 2))
  mg.freeze(net, "0.*", { level = "full" })
  local opt = optim.Adam(net:parameters(), { lr = 0.1 })
  local function outputs() net:eval() local y = mg.no_grad(function() return net(x) end) net:train() return y end
  local before = outputs()
  local random = mg.get_rng_state()
  local watch = mg.watch(net, { optimizer = opt, every = 2, input = x })
  check.is_true(mg.get_rng_state():equal(random))
  check.equal(net[2].training, true)
  train(net, opt, 4)
  local after = outputs()
  local function centred(t) t = t:double() return t - t:mean({ 1 }, true) end
  local a, b = centred(before), centred(after)
  local function size(t) return t:pow(2):sum():sqrt():item() end
  local expected = size(a:t():mm(b)) ^ 2 / (size(a:t():mm(a)) * size(b:t():mm(b)))
  local now = watch:similarities()
  check.is_true(math.abs(now["3"] - expected) < 1e-9, "linear CKA")
  check.is_true(math.abs(now["0"] - 1) < 1e-12, "a frozen layer gives what it gave")
  check.equal(#watch:history()[2].similarities, 5)
  check.mentions(watch:report(), "like at first (linear CKA)")
  -- As tables and pictures.
  local path = os.tmpname()
  watch:save_csv(path)
  local rows = mg.data.read_csv(path)
  check.equal(rows.name[1], "2.weight")
  check.equal(rows.step:tolist(), mg.cat { mg.full({ 9 }, 2.0), mg.full({ 9 }, 4.0) }:tolist())
  os.remove(path)
  for _, quantity in ipairs { "norm", "grad_norm", "update", "ratio", "cosine", "dead_units", "similarity" } do
    watch:plot(path .. ".svg", quantity, { title = "A picture" })
    local file <close> = assert(io.open(path .. ".svg"))
    check.mentions(file:read "a", "<svg", "A picture", quantity == "similarity" and "0" or "3.weight", "step")
  end
  watch:plot(path .. ".png")
  check.equal(mg.data.read_image(path .. ".png"):dim(), 3)
  os.remove(path .. ".svg")
  os.remove(path .. ".png")
  check.raises('plot: argument 2: expected one of "norm", "grad_norm", "update", "ratio", "cosine", "dead_units", "similarity", got "loss"',
    watch.plot, watch, path .. ".svg", "loss")
  check.raises("plot: there is no ratio: a watch records steps of the optimizer that it is given, and there was none yet",
    function() mg.watch(net):plot(path .. ".svg") end)
  check.raises("plot: expected a watch as self, got 3; methods are called with ':'", watch.plot, 3)
  -- A rotation and a scale are no change.
  local line = nn.Linear(2, 2, { bias = false })
  local points = mg.randn(10, 2)
  local turned = mg.watch(line, { input = points })
  local turn = mg.tensor { { 0.0, -3.0 }, { 3.0, 0.0 } }
  mg.no_grad(function() line.weight:copy_(turn:mm(line.weight)) end)
  check.is_true(math.abs(turned:similarities()[""] - 1) < 1e-6)
end)

check.case("what no step moves is said once, with names", function()
  local net = Net()
  local opt = optim.Adam(net:parameters(), { lr = 0.1 })
  mg.freeze(net, "hidden.*")
  net.hidden.weight.grad, net.hidden.bias.grad = mg.ones(10, 1), mg.ones(10)
  net(x):sum():backward()
  local warned = mg.catch_warnings(function() opt:step() opt:step() mg.ones(1) end)
  check.equal(warned, { "Adam.step: hidden.weight, hidden.bias are frozen, and have gradients that came later: no step moves them, and zero_grad() clears them" })
  opt:zero_grad()
  net.predict.weight.requires_grad, net.predict.bias.requires_grad = false, false
  warned = mg.catch_warnings(function() opt:step() opt:step() mg.ones(1) end)
  check.equal(warned, {
    "Adam.step: nothing is moved, since all that the optimizer holds is frozen (hidden.weight, hidden.bias, parameter 3, of shape [1, 10], parameter 4, of shape [1])" })
  local lbfgs = optim.LBFGS(net:parameters())
  warned = mg.catch_warnings(function() pcall(function() lbfgs:step(function() return mg.ones(1) end) end) mg.ones(1) end)
  check.mentions(warned[1] or "", "LBFGS.step: nothing is moved")
  -- Trained, and held by no optimizer.
  local other = Net()
  mg.freeze(other, "hidden.*")
  local part = optim.SGD(other.predict:parameters(), { lr = 1 })
  warned = mg.catch_warnings(function() mg.unfreeze(other, "hidden.*") mg.ones(1) end)
  check.equal(warned, { "unfreeze: hidden.weight, hidden.bias are trained again, but no optimizer holds them: add_param_group takes them in" })
  warned = mg.catch_warnings(function() mg.watch(other, { optimizer = part }) mg.ones(1) end)
  check.equal(warned, { "watch: the SGD does not hold hidden.weight, hidden.bias, though trained: no step moves them" })
  -- Where there is none yet, nothing is missing.
  local fresh = Net()
  warned = mg.catch_warnings(function() mg.freeze(fresh) mg.unfreeze(fresh) mg.ones(1) end)
  check.equal(warned, {})
end)

check.case("unfreezing from the top, block by block", function()
  local net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2), nn.Linear(2, 1))
  local opt = optim.SGD(net:parameters(), { lr = 0.1 })
  mg.freeze(net)
  local schedule = mg.unfreeze_schedule(net, "top_down", { every = 2, start = 2, optimizer = opt })
  check.equal(tostring(schedule), "UnfreezeSchedule: 3 to come")
  local frozen = {}
  for epoch = 1, 6 do
    for _, done in ipairs(schedule:step(epoch)) do check.mentions(tostring(done), "unfroze 2 parameters") end
    frozen[epoch] = #flags(net)
  end
  check.equal(frozen, { 6, 4, 4, 2, 2, 0 })
  check.equal(schedule.pending, 0)
  check.raises("unfreeze_schedule: argument 2: expected what to unfreeze by epochs, or \"top_down\", got \"top\"", mg.unfreeze_schedule, net, "top")
  check.raises("unfreeze_schedule: every must be a positive number of epochs, got 0", mg.unfreeze_schedule, net, "top_down", { every = 0 })
  check.raises("unfreeze_schedule: every must be a positive number of epochs, got nan", mg.unfreeze_schedule, net, "top_down", { every = 0 / 0 })
  check.raises("unfreeze_schedule: epochs are numbers, got \"x\"", mg.unfreeze_schedule, net, { x = "0.*" })
  check.raises("unfreeze_schedule: every and start are for \"top_down\"; a table says what to unfreeze by epochs",
    mg.unfreeze_schedule, net, { "0.*" }, { every = 2 })
  -- A pattern that matches nothing is found before anything is trained.
  check.raises("unfreeze_schedule: no parameter matches '9.*'; did you mean '0.*'? (there is 0.weight, 0.bias, 2.weight, 2.bias, 3.weight, 3.bias)",
    mg.unfreeze_schedule, net, { "0.*", "9.*" })
end)

check.case("a watch names the line of the last write", function()
  local function line() return "freezing.lua:" .. debug.getinfo(2, "l").currentline end
  local net = Net()
  mg.freeze(net)
  local watch = mg.watch(net)
  local at = {}
  at["hidden.weight"] = line() net.hidden.weight.data:add_(1)
  at["hidden.bias"] = line() mg.no_grad(function() net.hidden.bias:mul_(2) end)
  at["predict.weight"] = line() mg.nn.utils.vector_to_parameters(mg.zeros(10), { net.predict.weight })
  at["predict.bias"] = line() net.predict.bias.data = mg.ones(1)
  for _, row in ipairs(watch:rows()) do check.mentions(row.last_write or "", at[row.name]) end
  check.mentions(watch:report(), at["hidden.bias"], at["predict.bias"])
  check.mentions(select(2, pcall(watch.assert_frozen, watch)), "hidden.weight was to stay as it was", "and it was last written to at", at["hidden.weight"])
  watch = mg.watch(net)
  local state = mg.nn.Linear(1, 10):state_dict()
  at = line() net.hidden:load_state_dict(state)
  check.mentions(watch:rows()[1].last_write, at)
  check.equal(watch:rows()[3].last_write, nil)
end)

check.case("reports as rows and CSV", function()
  local net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
  net[2].weight = net[1].weight
  mg.freeze(net, "0.bias")
  local done = mg.freeze(net, "0.*")
  check.equal(done.rows, {
    { name = "0.weight", count = 4, trainable = false, is_new = true, shared_with = { "1.weight" } },
    { name = "0.bias", count = 2, trainable = false, is_new = false, shared_with = {} } })
  local path = os.tmpname()
  done:save_csv(path)
  local rows = mg.data.read_csv(path)
  check.equal(rows.name, { "0.weight", "0.bias" })
  check.equal(rows.shared_with, { "[1.weight]", "[]" })
  os.remove(path)
end)

return check.done()

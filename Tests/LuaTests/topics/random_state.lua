-- The state of random numbers: of the session, and of generators, which every function that draws takes as an option.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, data = mg.nn, mg.data

-- Calls that draw, each with options.
local calls = {
  rand = function(o) return mg.rand(5, o) end,
  randn = function(o) return mg.randn(20, o) end,
  randn_pair = function(o) return mg.randn(3, o) end,
  rand_like = function(o) return mg.rand_like(mg.zeros(3), o) end,
  randn_like = function(o) return mg.randn_like(mg.zeros(3), o) end,
  randint = function(o) return mg.randint(10, { 6 }, o) end,
  randint_like = function(o) return mg.randint_like(mg.zeros(6), 0, 10, o) end,
  randperm = function(o) return mg.randperm(9, o) end,
  normal = function(o) return mg.normal(1, 2, { 5 }, o) end,
  bernoulli = function(o) return mg.bernoulli(mg.full({ 20 }, 0.5), o) end,
  multinomial = function(o) return mg.multinomial(mg.ones(9), 4, o) end,
  multinomial_again = function(o) return mg.ones(2, 9):multinomial(4, true, o) end,
  poisson = function(o) return mg.poisson(mg.full({ 9 }, 3.0), o) end,
  uniform_ = function(o) return mg.zeros(5):uniform_(o) end,
  normal_ = function(o) return mg.zeros(5):normal_(0, 1, o) end,
  random_ = function(o) return mg.zeros(5):random_(o) end,
  bernoulli_ = function(o) return mg.zeros(20):bernoulli_(0.5, o) end,
  exponential_ = function(o) return mg.zeros(5):exponential_(1, o) end,
  cauchy_ = function(o) return mg.zeros(5):cauchy_(o) end,
  log_normal_ = function(o) return mg.zeros(5):log_normal_(o) end,
  geometric_ = function(o) return mg.zeros(5):geometric_(0.3, o) end,
}
for _, name in ipairs { "uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_" } do
  calls["init." .. name] = function(o) return nn.init[name](mg.zeros(4, 3), o) end
end
calls["init.sparse_"] = function(o) return nn.init.sparse_(mg.zeros(4, 3), 0.5, o) end

check.case("a generator draws what the session would, and leaves its numbers alone", function()
  for name, call in pairs(calls) do
    mg.manual_seed(11)
    local expected, after = call(), mg.rand(1)
    mg.manual_seed(42)
    local before = mg.get_rng_state()
    local g = mg.Generator():manual_seed(11)
    local found = call { generator = g }
    if not found:equal(expected) then check.fail(name .. ": other numbers than the session's") end
    if not mg.get_rng_state():equal(before) then check.fail(name .. ": the session's numbers moved on") end
    if not mg.rand(1, { generator = g }):equal(after) then check.fail(name .. ": the generator does not go on from there") end
  end
end)

check.case("values are PyTorch's", function()
  -- torch.Generator(), and one with manual_seed(2147483647).
  local g = mg.Generator()
  check.equal(g:initial_seed(), 67280421310721)
  check.elements(mg.randint(1000, { 4 }, { generator = g }), { 710, 284, 837, 820 })
  check.equal(g:manual_seed(-5):initial_seed(), -5)
  check.elements(mg.randperm(5, { generator = g }), { 1, 3, 2, 5, 4 })
end)

-- What torch.Generator's get_state() has, as far as it is not zero: { position from 0, byte } of the start, the sum of all, and of
-- all weighted by their positions.
local function digest(state)
  local sum, weighted = 0, 0
  for i, byte in ipairs(state:tolist()) do sum, weighted = sum + byte, weighted + byte * i end
  return { sum, weighted }
end

check.case("states are PyTorch's, byte for byte", function()
  local g = mg.Generator():manual_seed(3)
  check.equal(digest(g:get_state()), { 320060, 804237525 })
  mg.randn(3, { generator = g })
  check.equal(digest(g:get_state()), { 323484, 824443258 })
  g:manual_seed(3)
  mg.randint(10, { 624 }, { generator = g })
  check.equal(digest(g:get_state()), { 322216, 818067234 })
  mg.randint(10, { 1 }, { generator = g })
  check.equal(digest(g:get_state()), { 321749, 813530156 })
  check.equal(g:get_state().dtype, "uint8")
  check.equal(g:get_state().shape, { 5056 })
end)

check.case("going on from a state", function()
  for _, drawn in ipairs { 0, 1, 3, 17, 624, 1000 } do
    local g = mg.Generator():manual_seed(8)
    if drawn > 0 then mg.randn(drawn, { generator = g }) end
    local state = g:get_state()
    local expected = { mg.randn(5, { generator = g }), mg.rand(700, { generator = g }) }
    local other = mg.Generator()
    check.equal(other:set_state(state), other)
    check.equal({ mg.randn(5, { generator = other }), mg.rand(700, { generator = other }) }, expected)
    mg.set_rng_state(state)
    check.equal({ mg.randn(5), mg.rand(700) }, expected)
    check.equal(mg.initial_seed(), 8)
    local copy = mg.Generator():set_state(state)
    check.equal(copy:get_state(), state)
  end
  -- A state of another stride.
  local g = mg.Generator():manual_seed(1)
  local wide = mg.stack({ g:get_state(), g:get_state() }, 2)[{ {}, 1 }]
  check.equal(mg.Generator():set_state(wide):initial_seed(), 1)
end)

check.case("seeds", function()
  local g = mg.manual_seed(7)
  check.equal(mg.initial_seed(), 7)
  check.equal(g:get_state(), mg.get_rng_state())
  local seed = mg.seed()
  check.equal(mg.initial_seed(), seed)
  check.is_true(seed ~= mg.seed() and seed >= 0)
  local own = mg.Generator()
  check.equal(own:seed(), own:initial_seed())
  check.equal(tostring(mg.Generator():manual_seed(5)), "Generator(initial_seed=5)")
end)

check.case("what is no generator, no seed, no state", function()
  check.rejects("mg.rand(2, { generator = 3 })", "rand: option 'generator': expected a generator (mg.Generator()), got 3")
  check.rejects("x:uniform_(0, 1, { generator = mg })", "uniform_: option 'generator': expected a generator (mg.Generator()), got a table", mg.ones(2))
  check.rejects("F.dropout(x, { generator = mg.Generator() })", "dropout: unknown option 'generator'…", mg.ones(2))
  check.rejects("mg.zeros(2, { generator = mg.Generator() })", "zeros: unknown option 'generator'…")
  check.rejects("mg.Generator():manual_seed(1.5)", "manual_seed: expected a whole number, got 1.5")
  check.rejects("mg.Generator().manual_seed(1)", "manual_seed: expected a generator as self, got 1; write generator:manual_seed(…)")
  check.rejects("mg.Generator():set_state(3)", "set_state: expected a state, which is a uint8 tensor, got 3")
  check.rejects("mg.set_rng_state(x)", "set_rng_state: a state is a uint8 tensor of 5056 elements, as get_state gives it, got float32 of shape [2]", mg.ones(2))
  check.rejects("mg.Generator():set_state(x)", "set_state: these bytes are no state of a generator", mg.zeros(5056, { dtype = "uint8" }))
  check.rejects("return mg.Generator().sed", "a generator has no field 'sed'; did you mean 'seed'?")
  check.rejects("mg.Generator('cuda')", "Generator: argument 1: …")
  -- Any bytes: refused, or taken without harm.
  mg.manual_seed(0)
  for _ = 1, 50 do
    local state = mg.Generator():get_state()
    for _ = 1, 3 do state[math.random(32)] = math.random(0, 255) end
    local g = mg.Generator()
    if pcall(g.set_state, g, state) then mg.rand(1000, { generator = g }) end
  end
end)

check.case("generators under vmap", function()
  local g = mg.Generator():manual_seed(5)
  local before = mg.get_rng_state()
  local function noise(x) return x + mg.rand(2, { generator = g }) end
  local same = mg.func.vmap(noise, { randomness = "same" })(mg.zeros(3, 2))
  check.equal(same[1], same[3])
  local different = mg.func.vmap(noise, { randomness = "different" })(mg.zeros(3, 2))
  check.is_true(not different[1]:equal(different[3]))
  check.raises("rand: a function over a batch draws random numbers…", mg.func.vmap(noise), mg.zeros(3, 2))
  check.equal(mg.get_rng_state(), before)
end)

check.case("copies of generators and loaders", function()
  local g = mg.Generator():manual_seed(4)
  mg.randn(3, { generator = g })
  local set = mg.deepcopy { a = g, b = g, loader = data.DataLoader(mg.arange(9), { shuffle = true, generator = g, batch_size = 4 }) }
  check.is_true(set.a == set.b and set.a ~= g and set.loader.generator == set.a)
  check.equal(mg.randn(5, { generator = set.a }), mg.randn(5, { generator = g }))
  local function order(loader)
    local list = {}
    for x in loader:iter() do list[#list + 1] = x:tolist() end
    return list
  end
  local loader = data.DataLoader(mg.arange(9), { shuffle = true, generator = g, batch_size = 4 })
  for _ in loader:iter() do break end
  local copy = mg.deepcopy(loader)
  check.equal(copy:state_dict().pass, nil)              -- a pass is not part of a copy
  check.equal(order(copy), order(loader))
  check.is_true(copy.dataset ~= loader.dataset)
end)

check.case("copies of optimizers and schedulers", function()
  for _, name in ipairs { "SGD", "Adam", "LBFGS", "RMSprop", "Adagrad" } do
    local net = nn.Linear(3, 2)
    local x = mg.randn(4, 3)
    local opt = mg.optim[name](net:parameters(), { lr = 0.1 })
    local function train(model, optimizer, steps)
      for _ = 1, steps do
        optimizer:step(function()
          optimizer:zero_grad()
          local loss = model(x):pow(2):mean()
          loss:backward()
          return loss
        end)
      end
    end
    train(net, opt, 3)
    local both = mg.deepcopy { net = net, opt = opt }
    check.is_true(both.opt.param_groups[1].params[1] == both.net.weight)
    check.is_true(both.net.weight ~= net.weight)
    train(net, opt, 3)
    check.is_true(not both.net.weight:equal(net.weight))
    train(both.net, both.opt, 3)
    check.equal(both.net.weight:detach(), net.weight:detach())
    -- Alone, it moves parameters of its own.
    local alone = mg.deepcopy(opt)
    local own = alone.param_groups[1].params[1]
    check.is_true(own ~= net.weight and own:equal(net.weight))
    local before = net.weight:detach():clone()
    own.grad = mg.ones(2, 3)
    if name ~= "LBFGS" then alone:step() end
    check.equal(net.weight:detach(), before)
  end
  local w = nn.Parameter(mg.ones(2))
  local opt = mg.optim.SGD({ { params = { w }, lr = 0.5 }, { params = { nn.Parameter(mg.ones(1)) } } }, { lr = 0.1, momentum = 0.9 })
  local scheduler = mg.optim.lr_scheduler.SequentialLR(opt, { mg.optim.lr_scheduler.ConstantLR(opt), mg.optim.lr_scheduler.ExponentialLR(opt, 0.5) }, { 2 })
  local function rates(s)
    local list = {}
    for i = 1, 4 do
      s.optimizer:step()
      s:step()
      list[i] = s:get_last_lr()
    end
    return list
  end
  opt:step()
  scheduler:step()
  local set = mg.deepcopy { scheduler = scheduler, opt = opt }
  check.is_true(set.scheduler.optimizer == set.opt)
  check.equal(set.opt.param_groups[1].lr, opt.param_groups[1].lr)
  check.equal(rates(set.scheduler), rates(scheduler))
  check.rejects("mg.deepcopy(x)",
    "deepcopy: a LambdaLR calls a function of the script's and cannot be copied; make another, and load the state_dict() of this one",
    mg.optim.lr_scheduler.LambdaLR(opt, { lr_lambda = function() return 1 end }))
end)

return check.done()

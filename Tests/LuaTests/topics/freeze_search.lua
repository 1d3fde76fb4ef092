-- mg.freeze_search: what it tries and chooses, that it leaves the model as it was, and trainings that fail.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

-- Three numbers with targets of their own: freezing one costs what it is away from its target, which makes the truth known.
local Sum = nn.Module "Sum"
function Sum:init()
  for _, part in ipairs { { "a", 0.5 }, { "b", 3 }, { "c", 0.1 } } do
    self[part[1]] = nn.Linear(1, 1, { bias = false })
    mg.no_grad(function() self[part[1]].weight:fill_(part[2]) end)
  end
end
local function loss_of(net) return net.a.weight:pow(2):sum() + net.b.weight:pow(2):sum() + net.c.weight:pow(2):sum() end
local function train(net)
  local opt = optim.SGD(net:parameters(), { lr = 0.5 })       -- one step reaches 0
  opt:zero_grad()
  loss_of(net):backward()
  opt:step()
end
local blocks = { "a", "b", "c" }
local function search(more)
  local set = { train = train, evaluate = loss_of, higher_is_better = false, tolerance = 1, blocks = blocks, progress = false, loss = loss_of }
  for key, value in pairs(more or {}) do set[key] = value end
  return mg.freeze_search(set.net or Sum(), (function() set.net = nil return set end)())
end
local function tried(result)
  local list = {}
  for i, row in ipairs(result.rows) do list[i] = table.concat(row.frozen, " ") end
  return list
end

check.case("greedy: the block that costs least, one after another, until the tolerance is passed", function()
  local result = search()
  check.equal(tried(result), { "", "a", "b", "c", "c a", "c b" })
  check.is_true(math.abs(result.rows[2].metric - 0.25) < 1e-6 and math.abs(result.rows[6].metric - 9.01) < 1e-5)
  check.equal(result.base, result.rows[1])
  check.equal(result.best.frozen, { "c", "a" })
  check.is_true(math.abs(result.best.difference - 0.26) < 1e-6)
  check.equal({ result.best.trainable, result.best.within, result.rows[4].kept, result.rows[2].kept, result.rows[6].within }, { 1, true, true, nil, false })
  check.equal(search { tolerance = 0.1 }.best.frozen, { "c" })
  local none = search { tolerance = 0 }
  check.equal({ none.best.frozen, none:apply() }, { {}, nil })
  check.mentions(tostring(none), "nothing can be frozen within 0: all of it is trained")
  -- Two blocks within the tolerance apart, not together: what trains least of them.
  local wide = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
  local uneven = mg.freeze_search(wide, { train = function() end, evaluate = function() return wide[1].weight.requires_grad and 1 or 1.005 end, progress = false })
  check.equal(uneven.best.frozen, { "0" })
end)

check.case("by gradients: from the smallest on", function()
  local result = search { mode = "gradient" }
  -- Slopes relative to the weights are all 2, so that the order is the blocks'; of the loss's share of a, b and c, what the loss says.
  check.equal(tried(result), { "", "a", "a b" })
  local function slanted(net) return 5 * net.a.weight:sum() + 0.01 * net.b.weight:sum() + 2 * net.c.weight:sum() end
  result = search { mode = "gradient", loss = slanted, tolerance = 100, batches = 2 }
  check.equal(tried(result), { "", "b", "b a" })
  check.is_true(math.abs(result.rows[2].score - 0.01 / 3) < 1e-8 and math.abs(result.rows[3].score - 10) < 1e-6)
  check.equal(result.best.frozen, { "b", "a" })
  local seen = {}
  search { mode = "gradient", batches = 3, loss = function(net, batch) seen[#seen + 1] = batch return loss_of(net) end }
  check.equal(seen, { 1, 2, 3 })
end)

local function whole(net)
  local list = {}
  for name, p in net:named_parameters() do list[#list + 1] = { name, p:detach():clone(), p.requires_grad, p.grad and p.grad:clone() or false } end
  for name, b in net:named_buffers() do list[#list + 1] = { name, b:clone() } end
  for name, m in net:named_modules() do list[#list + 1] = { name, m.training } end
  list[#list + 1] = mg.freeze_state(net)
  list[#list + 1] = mg.get_rng_state()
  return list
end

check.case("the model is left as it came, and every training begins from there with the same seed", function()
  for _, mode in ipairs { "greedy", "gradient" } do
    for _, level in ipairs { "grad", "full" } do
      local net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 4), nn.Linear(4, 1))
      mg.freeze(net, "0.bias")
      net[3]:eval()
      net(mg.randn(4, 2)):sum():backward()
      local before, optimizer = whole(net), optim.Adam(net:parameters())
      local starts, parameters = {}, net:parameters()
      local guard <close> = mg.guard(net, "0.bias")
      local result
      local warned = mg.catch_warnings(function() result = mg.freeze_search(net, {
        mode = mode, level = level, tolerance = 10, progress = false, seeds = { 3, 8 },
        loss = function(net) return net(mg.randn(4, 2)):sum() end,
        train = function(net)
          starts[#starts + 1] = { net:state_dict()["0.weight"]:clone(), mg.randn(2) }
          net:train()
          local opt = optim.SGD(net:parameters(), { lr = 0.1 })
          opt:zero_grad { set_to_none = false }
          net(mg.randn(4, 2)):pow(2):sum():backward()
          opt:step()
          net:eval()
        end,
        evaluate = function(net) return -net(mg.ones(1, 2)):abs() end,
      }) end)
      check.is_true(#warned <= 1)                        -- of the statistics that still move
      check.equal(whole(net), before)
      for i, p in ipairs(net:parameters()) do check.is_true(p == parameters[i]) end
      check.equal(#starts, 2 * #result.rows)
      for i = 1, #starts, 2 do check.equal({ starts[i], starts[i + 1] }, { starts[1], starts[2] }) end
      check.is_true(not starts[1][2]:equal(starts[2][2]))
      check.equal(result.blocks[1].name, "0")
    end
  end
end)

check.case("what was put into another's place comes back", function()
  local net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
  local weight, before = net[1].weight, whole(net)
  mg.freeze_search(net, { progress = false, evaluate = function() return 1 end, train = function(net)
    net[1].weight = nn.Parameter(mg.ones(1, 1))
    net:double()
  end })
  check.is_true(net[1].weight == weight)
  check.equal(whole(net), before)
  local Own = nn.Module "Own"
  function Own:init() self.a, self.b = nn.Linear(1, 1), nn.Linear(1, 1) end
  check.raises("freeze_search: training put something else in the place of the module 'a', and it cannot be brought back", mg.freeze_search, Own(), {
    progress = false, evaluate = function() return 1 end, train = function(net) net.a = nn.Linear(1, 1) end })
end)

check.case("trainings that fail, and metrics that are no numbers", function()
  local function failing(bad) return search { tolerance = 100, evaluate = function(net)
    if not net.a.weight.requires_grad then return bad() end
    return loss_of(net)
  end } end
  local result = failing(function() error("lost", 0) end)
  check.equal(tried(result), { "", "a", "b", "c", "c a", "c b" })
  check.equal({ result.rows[2].error, result.rows[2].metric, result.best.frozen }, { "lost", nil, { "c", "b" } })
  check.mentions(tostring(result), "failed", "failed: a: lost", "freeze c, b: 33.3 % are trained")
  check.equal(failing(function() error {} end).rows[2].error, "an error that is no text but a table")
  check.equal(failing(function() return 0 / 0 end).best.frozen, { "c", "b" })
  check.equal(failing(function() return "good" end).rows[2].error, "evaluate must give a number, got \"good\"")
  local net = Sum()
  local before = whole(net)
  check.raises("freeze_search: training with nothing frozen failed: broken", search, { net = net, train = function() error("broken", 0) end })
  check.raises("freeze_search: with nothing frozen, the metric is not a number", search, { net = net, evaluate = function() return 0 / 0 end })
  check.raises("freeze_search: loss must give a loss, a tensor of one element, got nil", search, { net = net, mode = "gradient", loss = function() end })
  check.equal(whole(net), before)
end)

check.case("what comes of it", function()
  local net = Sum()
  local result = search { net = net }
  check.equal(result:apply().names, { "c.weight", "a.weight" })
  check.equal(mg.freeze_state(net).frozen, { "a.weight", "c.weight" })
  local other = Sum()
  result:apply(other, { level = "full" })
  check.equal(mg.freeze_state(other), { frozen = { "a.weight", "c.weight" }, evaluation = { "a", "c" } })
  check.mentions(tostring(result), "frozen     trained  metric", "(nothing)  100.0 %", "c, a       33.3 %", "best", "freeze c, a: 33.3 % are trained")
  local path = os.tmpname()
  result:save_csv(path)
  local lines = check.lines(path)
  os.remove(path)
  check.equal(lines[1], "frozen,trainable,share,metric,difference,seconds,kept,error")
  check.equal(#lines, 7)
  check.mentions(lines[6], "c a,1,0.333")
  -- Parts by themselves, as modules, together; what is frozen already is no block.
  net = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1), nn.Linear(1, 1))
  local set = { train = function() end, evaluate = function() return 1 end, progress = false }
  check.equal(tried(mg.freeze_search(net, set))[2], "0")
  set.blocks = { net[1], { "2.weight", net[4] } }
  result = mg.freeze_search(net, set)
  check.equal(tried(result), { "", "0", "2.weight + 3" })
  check.equal(result.best.what, { "2.weight", "3" })
  set.blocks = nil
  mg.freeze(net, "0")
  check.equal(tried(mg.freeze_search(net, set)), { "", "2", "3" })
end)

check.case("with adapters, and several at a time", function()
  local net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 1))
  mg.lora(net, "*", { rank = 1 })
  local x = mg.randn(8, 2)
  local before = whole(net)
  local result = mg.freeze_search(net, {
    progress = false, higher_is_better = false, tolerance = 1, evaluate = function(net) return net(x):pow(2):mean() end,
    train = function(net)
      local opt = optim.Adam(mg.lora_adapter(net):parameters(), { lr = 0.01 })
      for _ = 1, 3 do
        opt:zero_grad()
        net(x):pow(2):mean():backward()
        opt:step()
      end
    end,
  })
  check.equal(whole(net), before)
  check.equal(#result.best.frozen, 2)
end)

check.case("what is refused", function()
  for _, case in ipairs {
    { "freeze_search: argument 1: expected a module, got 3", 3, {} },
    { "freeze_search: train must be a function of the model, got nil", Sum(), {} },
    { "freeze_search: evaluate must be a function of the model, got 2", Sum(), { train = train, evaluate = 2 } },
    { "freeze_search: unknown option 'block'; did you mean 'blocks'? …", Sum(), { block = 1 } },
  } do check.raises(case[1], mg.freeze_search, case[2], case[3]) end
  for _, case in ipairs {
    { "freeze_search: tolerance must be a number from 0 on, got -1", { tolerance = -1 } },
    { "freeze_search: tolerance must be a number from 0 on, got …", { tolerance = 0 / 0 } },
    { "freeze_search: mode must be \"greedy\" or \"gradient\", got \"best\"", { mode = "best" } },
    { "freeze_search: mode \"gradient\" needs loss, a function of the model and a batch's number, got 1", { mode = "gradient", loss = 1 } },
    { "freeze_search: batches must be a count from 1 on, got 0", { batches = 0 } },
    { "freeze_search: level must be \"grad\" or \"full\", got \"half\"", { level = "half" } },
    { "freeze_search: seeds must be a list of whole numbers, or how many, got 0", { seeds = 0 } },
    { "freeze_search: the seed 1 comes a second time", { seeds = { 1, 1 } } },
    { "freeze_search: blocks must be a list of patterns or modules, got \"a\"", { blocks = "a" } },
    { "freeze_search: block 2: expected a pattern of names, a module of the model, or a list of these, got 2", { blocks = { "a", 2 } } },
    { "freeze_search: block 1: expected a pattern of names, a module of the model, or a list of these, got a module", { blocks = { nn.Linear(1, 1), "b" } } },
    { "freeze: no parameter matches 'd'…", { blocks = { "a", "d" } } },
    { "freeze_search: there is one block that is trained, a; name smaller ones, such as …", { blocks = { "a" } } },
  } do check.raises(case[1], search, case[2]) end
  local result = search()
  check.raises("apply: expected what freeze_search gave as self, got nil; methods are called with ':'", result.apply)
end)

return check.done()

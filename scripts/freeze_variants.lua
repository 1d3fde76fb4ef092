-- Which half of a net should be frozen? The founding experiment with every variant, over many seeds.
--
--     scripts/moongrad scripts/freeze_variants.lua [seeds] [picture.svg or picture.png] [runs.jsonl]
--
-- A net of one hidden layer learns y = x² + noise by stochastic gradient descent. Either all of it is trained, or the hidden layer
-- alone, or the last one alone, or first the one and then the other. Each variant runs with the same seeds, so that it starts
-- from the same weights and sees the same noise: differences are compared seed by seed. Runs go on side by side, one on each
-- processor. With a file for the runs the script can be ended at any time, and goes on from there when it is started again, or is
-- asked for more seeds.

local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local seeds, picture, runs = tonumber(arg[1]) or 10, arg[2], arg[3]

local Net = nn.Module "Net"
function Net:init(n_feature, n_hidden, n_output)
  self.hidden = nn.Linear(n_feature, n_hidden)
  self.predict = nn.Linear(n_hidden, n_output)
end
function Net:forward(x) return self.predict(F.relu(self.hidden(x))) end

-- What is trained when: `freeze` from the start, and what `plan` lets go and holds from an epoch on.
local variants = {
  none = {},
  hidden = { freeze = "hidden.*" },
  predict = { freeze = "predict.*" },
  ["hidden, then predict"] = { freeze = "predict.*", plan = { [51] = { thaw = "predict.*", freeze = "hidden.*" } } },
  ["predict, then hidden"] = { freeze = "hidden.*", plan = { [51] = { thaw = "hidden.*", freeze = "predict.*" } } },
}

local function run(net, variant)
  local x = mg.linspace(-1, 1, 100):unsqueeze(2)
  local y = x:pow(2) + 0.2 * mg.rand(100, 1)
  -- The optimizer may hold what is frozen: it leaves every bit of it alone, and nothing is computed for it.
  local opt = optim.SGD(net:parameters(), { lr = 0.1 })
  local watch, losses = mg.watch(net), {}
  for epoch = 1, 100 do
    local change = variant.plan and variant.plan[epoch]
    if change then
      mg.unfreeze(net, change.thaw)
      mg.freeze(net, change.freeze)
    end
    local loss = F.mse_loss(net(x), y)
    opt:zero_grad()
    loss:backward()
    opt:step()
    losses[epoch] = loss:item()
  end
  if not variant.plan then watch:assert_frozen() end
  return { loss = losses[#losses], curve = losses, trained = mg.summary(net).trainable }
end

local result = mg.experiment {
  variants = variants, seeds = seeds, save = runs,
  order = { "none", "hidden", "predict", "hidden, then predict", "predict, then hidden" },
  build = function() return Net(1, 10, 1) end,
  run = run,
}
print(result)
if picture then
  -- The curves of all variants with their spread, as SVG or PNG by the name's ending.
  result:plot(picture, "curve", { log = true, title = "Learning x² while a part is frozen", x = "epoch", y = "mean squared error" })
  print("\nthe curves are in " .. picture)
end

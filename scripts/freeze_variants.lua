-- Which half of a net should be frozen? The founding experiment with every variant, over many seeds.
--
--     scripts/moongrad scripts/freeze_variants.lua [seeds] [picture.svg]
--
-- A net of one hidden layer learns y = x² + noise by stochastic gradient descent. Either all of it is trained, or the hidden layer
-- alone, or the last one alone, or first the one and then the other. Each variant runs with the same seeds, so that it starts
-- from the same weights and sees the same noise: differences are compared seed by seed.

local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local seeds, picture = tonumber(arg[1]) or 10, arg[2]

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
  variants = variants, seeds = seeds,
  order = { "none", "hidden", "predict", "hidden, then predict", "predict, then hidden" },
  build = function() return Net(1, 10, 1) end,
  run = run,
}
print(result)
if picture then
  result:save_svg(picture, "curve", { log = true, title = "Loss while a part is frozen: mean ± standard deviation over seeds" })
  print("\nthe curves are in " .. picture)
end

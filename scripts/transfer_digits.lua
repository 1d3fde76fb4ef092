-- A net that knows the digits 0 to 4 is to learn 5 to 9 from five pictures of each: what of it should be trained, and how?
--
--     scripts/moongrad scripts/transfer_digits.lua [picture.png]      -- 10 seeds; the picture may end in .svg, too
--     scripts/moongrad scripts/transfer_digits.lua --quick            -- 3 seeds, fewer epochs
--
-- Two convolutions and a linear layer are trained once on 0 to 4. Then each variant below gets this net with a fresh last layer, and
-- the same few pictures for the same seed, and is tested on pictures of 5 to 9 that none of them saw. Runs go on side by side, one on
-- each processor.

local mg = require "moongrad"
local digits = require "lib.digits"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local here = arg[0]:match "^.*/" or "./"
local quick = arg[1] == "--quick"
local picture = not quick and arg[1] or arg[2]
local seeds, epochs, shots = quick and 3 or 10, quick and 20 or 60, 5

local function block(from, to) return nn.Sequential(nn.Conv2d(from, to, 3, { padding = 1 }), nn.BatchNorm2d(to), nn.ReLU()) end

local Net = nn.Module "Net"
function Net:init()
  self.fine    = block(1, 32)                         -- 32 × 8 × 8, pooled to 4 × 4
  self.coarse  = block(32, 64)                        -- 64 × 4 × 4, pooled to 2 × 2
  self.predict = nn.Linear(64 * 2 * 2, 5)
end
function Net:forward(x)
  x = F.max_pool2d(self.fine(x), 2)
  x = F.max_pool2d(self.coarse(x), 2)
  return self.predict(x:flatten(2))
end

-- The share of the pictures that a net reads right.
local function accuracy(net, set)
  return mg.no_grad(function() return net(set.pixels):argmax(2):eq(set.labels):float():mean():item() end)
end

local function train(net, opt, set, epochs)
  local batch = 32
  for _ = 1, epochs do
    local order = mg.randperm(#set.pixels)
    for first = 1, #order, batch do
      local rows = order[{ { first, math.min(first + batch - 1, #order) } }]
      local loss = F.cross_entropy(net(set.pixels[rows]), set.labels[rows])
      opt:zero_grad(); loss:backward(); opt:step()
    end
  end
end

-- The pictures of five digits, whose labels count from 1 again.
local function only(set, first)
  local mask = set.labels:ge(first + 1):logical_and(set.labels:le(first + 5))
  return { pixels = set.pixels[mask], labels = set.labels[mask] - first }
end

mg.manual_seed(0)
local pixels, labels = digits.read(here .. "data/digits.csv")
local learn, test = digits.hold_out(pixels:view(-1, 1, 8, 8) / 16, labels)

-- 1. What is known: 0 to 4.
local known = Net()
train(known, optim.Adam(known:parameters(), { lr = 3e-3 }), only(learn, 0), quick and 5 or 20)
print(("digits 0 to 4, on %d pictures: %.1f %% of the held-out ones right\n"):format(#only(learn, 0).pixels, 100 * accuracy(known, only(test, 0))))

-- 2. What is to be learned: 5 to 9, from a few pictures of each, which the seed draws.
local new, unseen = only(learn, 5), only(test, 5)
local function few()
  local chosen = {}
  for digit = 1, 5 do
    local places = new.labels:eq(digit):nonzero():flatten()
    chosen[digit] = places[mg.randperm(#places)[{ { 1, shots } }]]
  end
  local rows = mg.cat(chosen)
  return { pixels = new.pixels[rows], labels = new.labels[rows] }
end

-- 3. The ways to learn it. `freeze` is applied by the experiment, the others below. Frozen in full, batch norms keep their statistics, too.
local convolutions = { "fine.*", "coarse.*" }
local rate = 3e-3
local variants = {
  ["from scratch"]         = { fresh = true },
  ["all of it"]            = {},
  ["frozen convolutions"]  = { freeze = convolutions, level = "full" },
  -- The last layer first; then, from its end, the rest.
  ["gradual unfreezing"]   = { freeze = convolutions, level = "full", thaw = { [epochs // 3] = "coarse.*", [2 * epochs // 3] = "fine.*" } },
  -- What came first is the most general, and moves the least.
  ["rates by layer"]       = { rates = { ["fine.*"] = { lr = rate / 10 }, ["coarse.*"] = { lr = rate / 3 }, ["predict.*"] = { lr = rate } } },
  -- The convolutions stay, and beside each an update of rank 4 is trained.
  ["low-rank adapters"]    = { rank = 4 },
}

local result = mg.experiment {
  variants = variants, seeds = seeds,
  order = { "all of it", "from scratch", "frozen convolutions", "gradual unfreezing", "rates by layer", "low-rank adapters" },
  build = function(variant)
    local net = Net()
    if variant.fresh then return net end
    net:load_state_dict(known:state_dict())
    net.predict = nn.Linear(64 * 2 * 2, 5)
    if variant.rank then mg.lora(net, convolutions, { rank = variant.rank }) end
    return net
  end,
  run = function(net, variant)
    local set = few()
    local opt = optim.Adam(variant.rates and mg.param_groups(net, variant.rates) or net:parameters(), { lr = rate })
    local thaw = variant.thaw and mg.unfreeze_schedule(net, variant.thaw, { optimizer = opt })
    local misread, seconds = {}, 0
    for epoch = 1, epochs do
      local began = mg.clock()
      if thaw then thaw:step(epoch) end
      train(net, opt, set, 1)
      seconds = seconds + mg.clock() - began
      misread[epoch] = 100 - 100 * accuracy(net, unseen)
    end
    local summary = mg.summary(net)
    return {
      ["accuracy %"] = 100 - misread[epochs], ["trained %"] = 100 * summary.trainable / summary.total, ["train s"] = seconds, misread = misread,
    }
  end,
}
print(result)

if picture then
  result:plot(picture, "misread", {
    title = ("Digits 5 to 9 from %d pictures of each, by a net that knows 0 to 4"):format(shots), x = "epoch", y = "held-out digits misread, %", log = true,
  })
  print("\nthe curves are in " .. picture)
end

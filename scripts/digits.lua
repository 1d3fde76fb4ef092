-- Reading handwritten digits, and what a frozen layer is good for on digits it never saw.
--
--     scripts/moongrad scripts/digits.lua
--
-- 1. A net with one hidden layer learns the ten digits; a quarter of the pictures is held out to test it.
-- 2. A net learns the digits 0 to 4. Then its hidden layer is frozen and its last layer replaced by a fresh one, which
--    learns 5 to 9 on the features that are there.

local mg = require "moongrad"
local digits = require "lib.digits"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local here = arg[0]:match "^.*/" or "./"

local Net = nn.Module "Net"
function Net:init(n_feature, n_hidden, n_output)
  self.hidden  = nn.Linear(n_feature, n_hidden)
  self.predict = nn.Linear(n_hidden, n_output)
end
function Net:forward(x) return self.predict(F.relu(self.hidden(x))) end

-- The share of the pictures whose largest output is the right one.
local function accuracy(net, pixels, labels)
  return mg.no_grad(function() return net(pixels):argmax(2):eq(labels):float():mean():item() end)
end

local function train(net, epochs, pixels, labels)
  local opt, loss_fn = optim.Adam(net:parameters(), { lr = 1e-2 }), nn.CrossEntropyLoss()
  local count, batch = #pixels, 64
  for epoch in mg.progress(epochs) do
    local order = mg.randperm(count)
    for first = 1, count, batch do
      local rows = order[{ { first, math.min(first + batch - 1, count) } }]
      local loss = loss_fn(net(pixels[rows]), labels[rows])
      opt:zero_grad(); loss:backward(); opt:step()
    end
  end
end

mg.manual_seed(0)
local pixels, labels = digits.read(here .. "data/digits.csv")   -- 1,797 pictures
local learn, test = digits.hold_out(pixels / 16, labels)

-- 1. All ten.
local started = mg.clock()
local net = Net(64, 128, 10)
train(net, 40, learn.pixels, learn.labels)
print(net)
print(("trained on %d pictures: %.1f %% of them right, and %.1f %% of %d held-out ones"):format(
  #learn.pixels, 100 * accuracy(net, learn.pixels, learn.labels), 100 * accuracy(net, test.pixels, test.labels), #test.pixels))
io.stderr:write(("(%.2f s)\n"):format(mg.clock() - started))

-- 2. Transfer. The labels of one half of the digits count from 1 again.
local function only(set, first, last)
  local mask = set.labels:ge(first + 1):logical_and(set.labels:le(last + 1))
  return set.pixels[mask], set.labels[mask] - first
end

net = Net(64, 128, 5)
train(net, 40, only(learn, 0, 4))
print(("\ndigits 0 to 4: %.1f %% of the held-out ones right"):format(100 * accuracy(net, only(test, 0, 4))))

for p in net.hidden:parameters() do p.requires_grad = false end
net.predict = nn.Linear(128, 5)
print(("a fresh last layer on digits 5 to 9: %.1f %%"):format(100 * accuracy(net, only(test, 5, 9))))

local before = {}
for name, p in net:named_parameters() do before[name] = p:detach():clone() end
train(net, 40, only(learn, 5, 9))
print(("the same, trained, on the frozen hidden layer: %.1f %%"):format(100 * accuracy(net, only(test, 5, 9))))

-- What changed, counted by elements.
local changed, total = 0, 0
for name, p in net:named_parameters() do
  local count = p:ne(before[name]):sum():item()
  changed, total = changed + count, total + p:numel()
  print(("%-15s %5d of %5d changed"):format(name, count, p:numel()))
end
print(("%-15s %5d of %5d changed"):format("together", changed, total))
assert(net.hidden.weight:equal(before["hidden.weight"]) and net.hidden.bias:equal(before["hidden.bias"]), "the frozen layer moved")

-- Telling three kinds of iris apart by four measurements of their flowers: the smallest real classification.
--
--     scripts/moongrad scripts/iris.lua
--
-- A third of the 150 flowers is held out. What the net makes of those is shown as a table of kinds, and flower by flower
-- where it is wrong.

local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local here = arg[0]:match "^.*/" or "./"

-- Reading. The first line has counts and the names of the kinds, and each other line four centimetres and a kind from 0 to 2.
-- A class label is an index, so that kinds count from 1 here.
local data = mg.data.read_csv(here .. "data/iris.csv")
local kinds = table.move(data.columns, 3, #data.columns, 1, {})
local flowers, labels = data:tensor(1, 2, 3, 4), data:labels(5)

-- The seed decides which flowers are held out.
mg.manual_seed(0)
local order = mg.randperm(#flowers)
flowers, labels = flowers[order], labels[order]
local held_out = { { 1, 50 } }
local learned = { { 51, -1 } }

-- Each measurement with mean 0 and deviation 1, by the flowers that may be looked at.
local mean, std = flowers[learned]:mean(1), flowers[learned]:std(1)
local inputs = (flowers - mean) / std

local net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, #kinds))
local opt = optim.Adam(net:parameters(), { lr = 0.01, weight_decay = 1e-3 })
print(net)

local function accuracy(which)
  local _ <close> = mg.no_grad()
  return 100 * net(inputs[which]):argmax(2):eq(labels[which]):float():mean():item()
end

print "\nepoch     loss   learned  held out"
for epoch = 1, 100 do
  local loss = F.cross_entropy(net(inputs[learned]), labels[learned])
  opt:zero_grad(); loss:backward(); opt:step()
  if epoch % 20 == 0 or epoch == 1 then
    print(("%5d  %7.4f   %5.1f %%   %5.1f %%"):format(epoch, loss:item(), accuracy(learned), accuracy(held_out)))
  end
end

-- The table: a row for each kind, and how many of its held-out flowers were taken for each.
local probabilities = mg.no_grad(function() return net(inputs[held_out]):softmax(2) end)
local found, wanted = probabilities:argmax(2), labels[held_out]
print(("\n%-12s taken for %s"):format("", table.concat(kinds, "  ")))
for i, kind in ipairs(kinds) do
  local counts = {}
  for j, other in ipairs(kinds) do
    counts[j] = ("%" .. #other .. "d"):format(wanted:eq(i):logical_and(found:eq(j)):sum():item())
  end
  print(("%-22s %s"):format(kind, table.concat(counts, "  ")))
end

for _, i in ipairs(found:ne(wanted):nonzero():flatten():tolist()) do
  local sizes = ("%.1f × %.1f and %.1f × %.1f cm"):format(table.unpack(flowers[i]:tolist()))
  local shares = {}
  for j, kind in ipairs(kinds) do shares[j] = ("%s %.0f %%"):format(kind, 100 * probabilities[{ i, j }]:item()) end
  print(("\na %s, %s, was taken for a %s:\n  %s"):format(
    kinds[wanted[i]:item()], sizes, kinds[found[i]:item()], table.concat(shares, ", ")))
end
print(("\nheld-out flowers told apart: %.1f %%"):format(accuracy(held_out)))

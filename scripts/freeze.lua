-- Freezing a layer, and seeing what the rest learns: the experiment that this project began with.
--
--     scripts/moongrad scripts/freeze.lua
--
-- A net of one hidden layer learns y = x² + noise. Its hidden layer is frozen, so that only `predict` may change. The
-- net starts from the published weights, whose published end is printed beside ours.

local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local Net = nn.Module "Net"
function Net:init(n_feature, n_hidden, n_output)
  self.hidden  = nn.Linear(n_feature, n_hidden)
  self.predict = nn.Linear(n_hidden, n_output)
end
function Net:forward(x) return self.predict(F.relu(self.hidden(x))) end

-- The data: 100 points of a parabola, with noise from 0 to 0.2.
mg.manual_seed(0)
local x = mg.linspace(-1, 1, 100):unsqueeze(2)
local y = x:pow(2) + 0.2 * mg.rand(100, 1)

-- The net, from the published start.
local start = {
  ["hidden.weight"]  = { -0.2888, -0.2389, -0.3877, 0.2515, 0.1307, 0.5521, 0.3613, 0.7599, -0.3287, -0.1274 },
  ["hidden.bias"]    = { -0.3887, -0.7704, 0.7803, 0.0916, -0.7235, 0.8853, 0.7765, -0.0801, -0.0436, -0.5459 },
  ["predict.weight"] = { -0.2602, -0.1613, 0.1053, -0.1850, 0.2115, 0.2834, -0.1664, -0.2687, 0.1320, 0.2407 },
  ["predict.bias"]   = { -0.0537 },
}
local net = Net(1, 10, 1)
for name, p in net:named_parameters() do p.data = mg.tensor(start[name]):view(p.shape) end

-- Freeze.
for p in net.hidden:parameters() do p.requires_grad = false end

local function show(title)
  print("\n" .. title)
  for name, p in net:named_parameters() do
    print(name)
    print(p)
  end
end

local function copies()
  local list = {}
  for name, p in net:named_parameters() do list[name] = p:detach():clone():flatten() end
  return list
end

-- Train. The frozen parameters may be handed to the optimizer: it leaves them alone.
print(net)
show "Before training"
local before = copies()
local opt, loss_fn = optim.SGD(net:parameters(), { lr = 0.2 }), nn.MSELoss()
local first, last
for epoch in mg.progress(100) do
  local loss = loss_fn(net(x), y)
  opt:zero_grad(); loss:backward(); opt:step()
  first, last = first or loss:item(), loss:item()
end
show "After training"
local after = copies()
print(("\nloss: %.4f in the first epoch, %.4f in the last"):format(first, last))

-- The published end. Its noise came from an unknown seed, which is worth up to 0.08 in each value.
local published = {
  ["predict.weight"] = { -0.2602, -0.1613, 0.3318, 0.0402, 0.2115, 0.1682, -0.2213, 0.7303, 0.6593, 0.2407 },
  ["predict.bias"]   = { 0.0501 },
}
print "\nvalue                  start   published      here   difference"
local largest = 0
for _, name in ipairs { "predict.weight", "predict.bias" } do
  for i, value in ipairs(published[name]) do
    local here = after[name][i]:item()
    local difference = here - value
    if math.abs(difference) < 5e-5 then difference = 0.0 end   -- the published digits end there
    largest = math.max(largest, math.abs(difference))
    local label = #published[name] > 1 and ("%s[%d]"):format(name, i) or name
    print(("%-18s %9.4f   %9.4f %9.4f   %+9.4f"):format(label, start[name][i], value, here, difference))
  end
end
print(("largest difference: %.4f"):format(largest))
assert(largest < 0.08, "an end value is further from the published one than noise can explain")

-- What frozen promises: not nearly the same, but the same bits.
assert(after["hidden.weight"]:equal(before["hidden.weight"]), "hidden.weight moved")
assert(after["hidden.bias"]:equal(before["hidden.bias"]), "hidden.bias moved")
print "hidden: every bit as before"

-- The hidden units that stay at 0 on all of [-1, 1] have no gradient to offer, so that their outgoing weights, though
-- free to move, keep their bits too.
local units = F.relu(net.hidden(x))
local dead = units:gt(0):any(1):logical_not():nonzero():flatten():tolist()
for _, i in ipairs(dead) do
  assert(after["predict.weight"][i]:equal(before["predict.weight"][i]), "a dead unit's weight moved")
end
print(("dead units %s: their entries of predict.weight have every bit as before"):format(table.concat(dead, ", ")))

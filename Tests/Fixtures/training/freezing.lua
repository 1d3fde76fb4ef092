-- The founding experiment: a regression whose hidden layer is frozen. Prints what freezing.txt holds for PyTorch.
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local Net = nn.Module "Net"
function Net:init(n_feature, n_hidden, n_output)
  self.hidden  = nn.Linear(n_feature, n_hidden)
  self.predict = nn.Linear(n_hidden, n_output)
end
function Net:forward(x) return self.predict(F.relu(self.hidden(x))) end

mg.manual_seed(0)
local x = mg.linspace(-1, 1, 100):unsqueeze(2)
local y = x:pow(2) + 0.2 * mg.rand(100, 1)
local net = Net(1, 10, 1)

-- The published start.
local start = {
  ["hidden.weight"]  = { -0.2888, -0.2389, -0.3877, 0.2515, 0.1307, 0.5521, 0.3613, 0.7599, -0.3287, -0.1274 },
  ["hidden.bias"]    = { -0.3887, -0.7704, 0.7803, 0.0916, -0.7235, 0.8853, 0.7765, -0.0801, -0.0436, -0.5459 },
  ["predict.weight"] = { -0.2602, -0.1613, 0.1053, -0.1850, 0.2115, 0.2834, -0.1664, -0.2687, 0.1320, 0.2407 },
  ["predict.bias"]   = { -0.0537 },
}
for name, p in net:named_parameters() do p.data = mg.tensor(start[name]):view(p:size()) end
for p in net.hidden:parameters() do p.requires_grad = false end

local opt, loss_fn = optim.SGD(net:parameters(), { lr = 0.2 }), nn.MSELoss()
for step = 1, 100 do
  local loss = loss_fn(net(x), y)
  opt:zero_grad(); loss:backward(); opt:step()
  print(string.format("sgd %d %.9g", step, loss:item()))
end
for name, p in net:named_parameters() do
  local line = { "sgd", name }
  for _, value in ipairs(p:detach():flatten():tolist()) do line[#line + 1] = string.format("%.9g", value) end
  print(table.concat(line, " "))
end

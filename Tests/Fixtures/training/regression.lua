-- The README's regression under every optimizer, from one start. Prints what regression.txt holds for PyTorch.
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local Net = nn.Module "Net"
function Net:init(n_feature, n_hidden, n_output)
  self.hidden  = nn.Linear(n_feature, n_hidden)
  self.predict = nn.Linear(n_hidden, n_output)
end
function Net:forward(x) return self.predict(F.relu(self.hidden(x))) end

local function train(run, optimizer, options)
  mg.manual_seed(0)
  local x = mg.linspace(-1, 1, 100):unsqueeze(2)
  local y = x:pow(2) + 0.2 * mg.rand(100, 1)
  local net = Net(1, 10, 1)

  local opt, loss_fn = optimizer(net:parameters(), options), nn.MSELoss()
  for step = 1, 100 do
    local loss = loss_fn(net(x), y)
    opt:zero_grad(); loss:backward(); opt:step()
    print(string.format("%s %d %.9g", run, step, loss:item()))
  end
  for name, p in net:named_parameters() do
    local line = { run, name }
    for _, value in ipairs(p:detach():flatten():tolist()) do line[#line + 1] = string.format("%.9g", value) end
    print(table.concat(line, " "))
  end
end

train("sgd",          optim.SGD,      { lr = 0.2 })
train("sgd_momentum", optim.SGD,      { lr = 0.05, momentum = 0.9 })
train("sgd_nesterov", optim.SGD,      { lr = 0.02, momentum = 0.9, nesterov = true, weight_decay = 1e-3 })
train("adam",         optim.Adam,     { lr = 1e-2 })
train("adam_amsgrad", optim.Adam,     { lr = 1e-2, weight_decay = 1e-3, amsgrad = true })
train("adamw",        optim.AdamW,    { lr = 1e-2, weight_decay = 0.1 })
train("rmsprop",      optim.RMSprop,  { lr = 1e-3, momentum = 0.9, centered = true })
train("adagrad",      optim.Adagrad,  { lr = 0.05 })
train("adadelta",     optim.Adadelta, { lr = 1 })
train("adamax",       optim.Adamax,   { lr = 1e-2 })
train("nadam",        optim.NAdam,    { lr = 1e-2 })

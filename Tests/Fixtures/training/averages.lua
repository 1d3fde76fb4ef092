-- The regression with means of its weights. Prints what averages.txt holds for PyTorch.
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional
local swa = optim.swa_utils

local Net = nn.Module "Net"
function Net:init(n_feature, n_hidden, n_output)
  self.hidden  = nn.Linear(n_feature, n_hidden)
  self.predict = nn.Linear(n_hidden, n_output)
end
function Net:forward(x) return self.predict(F.relu(self.hidden(x))) end

local function train(run, options)
  mg.manual_seed(0)
  local x = mg.linspace(-1, 1, 100):unsqueeze(2)
  local y = x:pow(2) + 0.2 * mg.rand(100, 1)
  local net = Net(1, 10, 1)
  local opt, loss_fn = optim.SGD(net:parameters(), { lr = 0.2 }), nn.MSELoss()
  local averaged, scheduler = swa.AveragedModel(net, options), swa.SWALR(opt, { swa_lr = 0.05, anneal_epochs = 5 })
  for step = 1, 100 do
    local loss = loss_fn(net(x), y)
    opt:zero_grad(); loss:backward(); opt:step()
    if step > 50 then
      scheduler:step()
      averaged:update_parameters(net)
    end
    print(string.format("%s %d %.9g", run, step, loss:item()))
  end
  for name, p in averaged.module:named_parameters() do
    local values = p:detach():flatten():tolist()
    for i = 1, #values do values[i] = string.format("%.9g", values[i]) end
    print(run .. " " .. name .. " " .. table.concat(values, " "))
  end
end

train("mean")
train("ema", { avg_fn = swa.get_ema_avg_fn(0.9) })

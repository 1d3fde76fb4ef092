-- A spiral's equation of motion from pieces of its path, as in torchdiffeq's `ode_demo`: gradients through Runge-Kutta steps.
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

local batch_time, batch_size, data_size = 5, 10, 101
local true_y0 = mg.tensor { { 2.0, 0.0 } }
local t = mg.linspace(0.0, 2.5, data_size)
local true_A = mg.tensor { { -0.1, 2.0 }, { -2.0, -0.1 } }

-- The states at the times `t`, by the classical method of the fourth order.
local function odeint(func, y0, t)
  local solution, y = { y0 }, y0
  for i = 1, #t - 1 do
    local t0, t1 = t[i], t[i + 1]
    local h = t1 - t0
    local k1 = func(t0, y)
    local k2 = func(t0 + h / 2, y + h * k1 / 2)
    local k3 = func(t0 + h / 2, y + h * k2 / 2)
    local k4 = func(t1, y + h * k3)
    y = y + h * (k1 + 2 * k2 + 2 * k3 + k4) / 6
    table.insert(solution, y)
  end
  return mg.stack(solution)
end

local Lambda = nn.Module "Lambda"
function Lambda:forward(t, y) return mg.mm(y ^ 3, true_A) end

local ODEFunc = nn.Module "ODEFunc"
function ODEFunc:init()
  self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
  for m in self.net:modules() do
    if nn.is(m, nn.Linear) then
      nn.init.normal_(m.weight, { mean = 0, std = 0.1 })
      nn.init.constant_(m.bias, { val = 0 })
    end
  end
end
function ODEFunc:forward(t, y) return self.net(y ^ 3) end

mg.manual_seed(0)
local true_y = mg.no_grad(function() return odeint(Lambda(), true_y0, t) end)

local function get_batch()
  local s = mg.randperm(data_size - batch_time)[{ { 1, batch_size } }]
  local batch_y0 = true_y[s]                        -- (batch, 1, 2)
  local batch_t = t[{ { 1, batch_time } }]
  local pieces = {}
  for i = 0, batch_time - 1 do table.insert(pieces, true_y[s + i]) end
  local batch_y = mg.stack(pieces, { dim = 1 })     -- (time, batch, 1, 2)
  return batch_y0:squeeze(2), batch_t, batch_y:squeeze(3)
end

local func = ODEFunc()
local optimizer = optim.RMSprop(func:parameters(), { lr = 1e-3 })
for itr = 1, 20 do
  optimizer:zero_grad()
  local batch_y0, batch_t, batch_y = get_batch()
  local pred_y = odeint(func, batch_y0, batch_t)
  local loss = mg.mean(mg.abs(pred_y - batch_y))
  loss:backward()
  optimizer:step()
  print(("%d %.9g"):format(itr, loss:item()))
  if itr % 10 == 0 then
    local _ <close> = mg.no_grad()
    local pred_y = odeint(func, true_y0, t)
    print(("total %d %.9g"):format(itr, mg.mean(mg.abs(pred_y - true_y)):item()))
  end
end

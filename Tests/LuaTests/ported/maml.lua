-- Learning to learn sine waves, after Finn, Abbeel and Levine (2017): the outer gradient goes through the inner steps.
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local Learner = nn.Module "Learner"
function Learner:init()
  self.vars = nn.ParameterList()
  for _, sizes in ipairs { { 1, 20 }, { 20, 20 }, { 20, 1 } } do
    local n_in, n_out = table.unpack(sizes)
    local w = nn.Parameter(mg.ones(n_out, n_in))
    nn.init.kaiming_normal_(w)
    self.vars:append(w)
    self.vars:append(nn.Parameter(mg.zeros(n_out)))
  end
end
function Learner:forward(x, vars)
  vars = vars or self.vars
  x = F.relu(F.linear(x, vars[1], vars[2]))
  x = F.relu(F.linear(x, vars[3], vars[4]))
  return F.linear(x, vars[5], vars[6])
end

local function sample_task()
  local amplitude = mg.rand(1) * 4.9 + 0.1
  local phase = mg.rand(1) * math.pi
  return function(count)
    local x = mg.rand(count, 1) * 10 - 5
    return x, amplitude * mg.sin(x - phase)
  end
end

mg.manual_seed(222)
local net = Learner()
local meta_optim = optim.Adam(net:parameters(), { lr = 1e-3 })
local update_lr, update_step, task_num = 0.002, 2, 4
for step = 1, 15 do
  local losses_q = {}                               -- losses_q[k + 1]: on the query set, after k inner steps
  for k = 1, update_step + 1 do losses_q[k] = 0 end
  for _ = 1, task_num do
    local sample = sample_task()
    local x_spt, y_spt = sample(10)
    local x_qry, y_qry = sample(10)
    local fast_weights = net:parameters()
    mg.no_grad(function() losses_q[1] = losses_q[1] + F.mse_loss(net(x_qry, fast_weights), y_qry) end)
    for k = 1, update_step do
      local loss = F.mse_loss(net(x_spt, fast_weights), y_spt)
      local grad = { mg.autograd.grad(loss, fast_weights, { create_graph = true }) }
      local next_weights = {}
      for i, g in ipairs(grad) do next_weights[i] = fast_weights[i] - update_lr * g end
      fast_weights = next_weights
      losses_q[k + 1] = losses_q[k + 1] + F.mse_loss(net(x_qry, fast_weights), y_qry)
    end
  end
  local loss_q = losses_q[#losses_q] / task_num
  meta_optim:zero_grad()
  loss_q:backward()
  meta_optim:step()
  local shown = {}
  for k, loss in ipairs(losses_q) do shown[k] = ("%.9g"):format(loss:item() / task_num) end
  print(step .. " " .. table.concat(shown, " "))
end

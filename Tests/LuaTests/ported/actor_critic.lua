-- An actor and its critic balance a pole, as in PyTorch's example `reinforcement_learning`. The cart is in the script.
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

-- A pole on a cart, after Barto, Sutton and Anderson (1983): gravity 9.8, masses 1 and 0.1, half a pole 0.5, 50 steps a second.
local CartPole = {}
function CartPole:reset()
  self.state = (mg.rand(4, { dtype = "float64" }) * 0.1 - 0.05):tolist()
  return self.state
end
function CartPole:step(action)
  local x, x_dot, theta, theta_dot = table.unpack(self.state)
  local force = action == 2 and 10.0 or -10.0
  local cos, sin = math.cos(theta), math.sin(theta)
  local push = (force + 0.05 * theta_dot * theta_dot * sin) / 1.1
  local theta_acc = (9.8 * sin - cos * push) / (0.5 * (4.0 / 3.0 - 0.1 * cos * cos / 1.1))
  local x_acc = push - 0.05 * theta_acc * cos / 1.1
  self.state = { x + 0.02 * x_dot, x_dot + 0.02 * x_acc, theta + 0.02 * theta_dot, theta_dot + 0.02 * theta_acc }
  local done = math.abs(self.state[1]) > 2.4 or math.abs(self.state[3]) > 12 * 2 * math.pi / 360
  return self.state, 1.0, done
end

local Policy = nn.Module "Policy"
function Policy:init()
  self.affine1 = nn.Linear(4, 32)
  self.action_head = nn.Linear(32, 2)
  self.value_head = nn.Linear(32, 1)
  self.saved_actions, self.rewards = {}, {}
end
function Policy:forward(x)
  x = F.relu(self.affine1(x))
  local action_prob = F.softmax(self.action_head(x), { dim = -1 })
  local state_values = self.value_head(x)
  return action_prob, state_values
end

mg.manual_seed(543)
local env = CartPole
local model = Policy()
local optimizer = optim.Adam(model:parameters(), { lr = 3e-2 })
local eps = mg.finfo("float32").eps

-- What torch.distributions.Categorical does: probabilities normalised, and their logarithms away from 0 and 1.
local function select_action(state)
  state = mg.tensor(state, { dtype = "float32" })
  local probs, state_value = model(state)
  probs = probs / probs:sum(-1, true)
  local action = mg.multinomial(probs, 1, true)
  local log_prob = probs:clamp(eps, 1 - eps):log():gather(-1, action):squeeze()
  table.insert(model.saved_actions, { log_prob, state_value })
  return action:item()
end

local function finish_episode()
  local R, policy_losses, value_losses, returns = 0, {}, {}, {}
  for i = #model.rewards, 1, -1 do
    R = model.rewards[i] + 0.99 * R
    table.insert(returns, 1, R)
  end
  returns = mg.tensor(returns)
  returns = (returns - returns:mean()) / (returns:std() + eps)
  for i, saved in ipairs(model.saved_actions) do
    local log_prob, value = table.unpack(saved)
    local advantage = returns[i] - value:item()
    table.insert(policy_losses, -log_prob * advantage)
    table.insert(value_losses, F.smooth_l1_loss(value, returns[i]:view(1)))
  end
  optimizer:zero_grad()
  local loss = mg.stack(policy_losses):sum() + mg.stack(value_losses):sum()
  loss:backward()
  optimizer:step()
  model.rewards = {}
  model.saved_actions = {}
  return loss:item()
end

local running_reward = 10.0
for i_episode = 1, 15 do
  local state, ep_reward = env:reset(), 0
  for t = 1, 199 do
    local action = select_action(state)
    local reward, done
    state, reward, done = env:step(action)
    table.insert(model.rewards, reward)
    ep_reward = ep_reward + reward
    if done then break end
  end
  running_reward = 0.05 * ep_reward + (1 - 0.05) * running_reward
  local loss = finish_episode()
  print(("%d %d %.9g %.9g"):format(i_episode, ep_reward, running_reward, loss))
end

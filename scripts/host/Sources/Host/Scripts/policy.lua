-- The hare's policy: a net that is asked at each tick where to go. It is read again whenever this file changes.
local mg = require "moongrad"
local nn = mg.nn

local careful = false -- whether to keep away from the fox, of which the net knows nothing

-- What the net has learnt stays when the file is read again.
if not net then
  mg.manual_seed(1)
  net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
end

function train(views, moves, epochs)
  local samples = mg.data.TensorDataset(views, moves)
  local loader = mg.data.DataLoader(samples, { batch_size = 128, shuffle = true })
  local opt, loss_fn = mg.optim.Adam(net:parameters(), { lr = 0.005 }), nn.CrossEntropyLoss()
  local loss
  for epoch = 1, epochs do
    for x, y in loader:iter() do
      loss = loss_fn(net(x), y)
      opt:zero_grad(); loss:backward(); opt:step()
    end
    report(epoch, loss:item())
  end
end

function choose(world)
  local _ <close> = mg.no_grad()
  local scores = net(world:view())
  if careful then
    for _, step in pairs(move) do
      if not world:isSafe(step) then scores[step] = scores[step] - 1000 end
    end
  end
  return scores:argmax():item()
end

-- Digits row by row through an LSTM, as in PyTorch's example `mnist_rnn`: batch norm on the last output, dropout, two layers.
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local scripts = (arg[0]:match "^.*/" or "./") .. "../../../scripts/"

local Net = nn.Module "Net"
function Net:init()
  self.rnn = nn.LSTM{ input_size = 8, hidden_size = 32, batch_first = true }
  self.batchnorm = nn.BatchNorm1d(32)
  self.dropout1 = nn.Dropout(0.25)
  self.dropout2 = nn.Dropout(0.5)
  self.fc1 = nn.Linear(32, 16)
  self.fc2 = nn.Linear(16, 10)
end
function Net:forward(input)
  input = input:reshape(-1, 8, 8)
  local output, hidden = self.rnn(input)
  output = output[{ {}, -1, {} }]
  output = self.batchnorm(output)
  output = self.dropout1(output)
  output = self.fc1(output)
  output = F.relu(output)
  output = self.dropout2(output)
  output = self.fc2(output)
  return F.log_softmax(output, { dim = 2 })
end

local pixels, labels = dofile(scripts .. "lib/digits.lua").read(scripts .. "data/digits.csv", 256)
pixels = pixels:view(-1, 1, 8, 8) / 16

mg.manual_seed(1)
local model = Net()
local optimizer = optim.Adadelta(model:parameters(), { lr = 0.1 })
local inputs, targets = pixels:split(32), labels:split(32)
for epoch = 1, 2 do
  model:train()
  for step, input in ipairs(inputs) do
    optimizer:zero_grad()
    local loss = F.nll_loss(model(input), targets[step])
    loss:backward()
    optimizer:step()
    print(("train %d %d %.9g"):format(epoch, step, loss:item()))
  end
  model:eval()
  mg.no_grad(function() print(("test %d %.9g"):format(epoch, F.nll_loss(model(pixels), labels):item())) end)
end

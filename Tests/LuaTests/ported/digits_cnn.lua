-- Digits by a convolutional net, as in PyTorch's example `mnist`: two convolutions, dropout, Adadelta, a rate that decays.
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local scripts = (arg[0]:match "^.*/" or "./") .. "../../../scripts/"

local Net = nn.Module "Net"
function Net:init()
  self.conv1 = nn.Conv2d(1, 8, 3, 1)
  self.conv2 = nn.Conv2d(8, 16, 3, 1)
  self.dropout1 = nn.Dropout(0.25)
  self.dropout2 = nn.Dropout(0.5)
  self.fc1 = nn.Linear(64, 32)
  self.fc2 = nn.Linear(32, 10)
end
function Net:forward(x)
  x = F.relu(self.conv1(x))
  x = F.relu(self.conv2(x))
  x = F.max_pool2d(x, 2)
  x = self.dropout1(x)
  x = mg.flatten(x, 2)
  x = F.relu(self.fc1(x))
  x = self.dropout2(x)
  x = self.fc2(x)
  return F.log_softmax(x, { dim = 2 })
end

local function train(model, pixels, labels, optimizer, epoch)
  model:train()
  local order = mg.randperm(#pixels)
  for step, rows in ipairs(order:split(32)) do
    optimizer:zero_grad()
    local loss = F.nll_loss(model(pixels[rows]), labels[rows])
    loss:backward()
    optimizer:step()
    print(("train %d %d %.9g"):format(epoch, step, loss:item()))
  end
end

local function test(model, pixels, labels, epoch)
  model:eval()
  local _ <close> = mg.no_grad()
  local output = model(pixels)
  local test_loss = F.nll_loss(output, labels, { reduction = "sum" }):item() / #pixels
  local correct = output:argmax{ dim = 2, keepdim = true }:eq(labels:view(-1, 1)):sum():item()
  print(("test %d %.9g %d"):format(epoch, test_loss, correct))
end

local pixels, labels = dofile(scripts .. "lib/digits.lua").read(scripts .. "data/digits.csv", 320)
pixels = pixels:view(-1, 1, 8, 8) / 16

mg.manual_seed(1)
local model = Net()
local optimizer = optim.Adadelta(model:parameters(), { lr = 1.0 })
local scheduler = optim.lr_scheduler.StepLR(optimizer, { step_size = 1, gamma = 0.7 })
for epoch = 1, 3 do
  train(model, pixels[{ { 1, 256 } }], labels[{ { 1, 256 } }], optimizer, epoch)
  test(model, pixels[{ { 257, -1 } }], labels[{ { 257, -1 } }], epoch)
  scheduler:step()
end

-- Pictures of twice the size, as in PyTorch's example `super_resolution`: orthogonal weights, and pixels shuffled out of channels.
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional
local init = nn.init

local scripts = (arg[0]:match "^.*/" or "./") .. "../../../scripts/"

local Net = nn.Module "Net"
function Net:init(upscale_factor)
  self.relu = nn.ReLU()
  self.conv1 = nn.Conv2d(1, 16, { 5, 5 }, { 1, 1 }, { 2, 2 })
  self.conv2 = nn.Conv2d(16, 16, { 3, 3 }, { 1, 1 }, { 1, 1 })
  self.conv3 = nn.Conv2d(16, 8, { 3, 3 }, { 1, 1 }, { 1, 1 })
  self.conv4 = nn.Conv2d(8, upscale_factor ^ 2, { 3, 3 }, { 1, 1 }, { 1, 1 })
  self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
  self:_initialize_weights()
end
function Net:forward(x)
  x = self.relu(self.conv1(x))
  x = self.relu(self.conv2(x))
  x = self.relu(self.conv3(x))
  x = self.pixel_shuffle(self.conv4(x))
  return x
end
function Net:_initialize_weights()
  init.orthogonal_(self.conv1.weight, init.calculate_gain "relu")
  init.orthogonal_(self.conv2.weight, init.calculate_gain "relu")
  init.orthogonal_(self.conv3.weight, init.calculate_gain "relu")
  init.orthogonal_(self.conv4.weight)
end

local pixels = dofile(scripts .. "lib/digits.lua").read(scripts .. "data/digits.csv", 160)
pixels = pixels:view(-1, 1, 8, 8) / 16

mg.manual_seed(123)
local model = Net(2)
local criterion = nn.MSELoss()
local optimizer = optim.Adam(model:parameters(), { lr = 1e-3 })
local small = F.interpolate(pixels, { scale_factor = 0.5, mode = "bilinear", align_corners = false })
local inputs, targets = small[{ { 1, 128 } }]:split(16), pixels[{ { 1, 128 } }]:split(16)
for epoch = 1, 3 do
  for step, input in ipairs(inputs) do
    optimizer:zero_grad()
    local loss = criterion(model(input), targets[step])
    loss:backward()
    optimizer:step()
    print(("train %d %d %.9g"):format(epoch, step, loss:item()))
  end
  mg.no_grad(function()
    local mse = criterion(model(small[{ { 129, -1 } }]), pixels[{ { 129, -1 } }])
    print(("test %d %.9g"):format(epoch, 10 * math.log(1 / mse:item(), 10)))
  end)
end

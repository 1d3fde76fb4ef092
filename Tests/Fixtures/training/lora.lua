-- Layers with low-rank adapters, trained for ten steps. Prints what lora.txt holds for PyTorch.
local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional

local function train(run, adapter, loss_of)
  local opt = mg.optim.Adam(adapter:parameters(), { lr = 0.05 })
  for step = 1, 10 do
    opt:zero_grad()
    local loss = loss_of()
    loss:backward()
    opt:step()
    print(string.format("%s %d %.9g", run, step, loss:item()))
  end
  for name, p in adapter:named_parameters() do
    local line = { run, name }
    for _, value in ipairs(p:detach():flatten():tolist()) do line[#line + 1] = string.format("%.9g", value) end
    print(table.concat(line, " "))
  end
end

local function to_one(y) return (y - 1):pow(2):mean() end

mg.manual_seed(1)
local first, last = nn.Linear(4, 6), nn.Linear(6, 3)
local x, y = mg.randn(8, 4), mg.randn(8, 3)
local net = nn.Sequential(first, nn.ReLU(), last)
train("linear", mg.lora(net, "0", { rank = 2, alpha = 5 }), function() return F.mse_loss(net(x), y) end)

local function convolution(run, layer, input, rank, alpha)
  train(run, mg.lora(layer, { rank = rank, alpha = alpha }), function() return to_one(layer(input)) end)
end
mg.manual_seed(2)
convolution("conv1d", nn.Conv1d(4, 6, 3, { dilation = 2 }), mg.randn(2, 4, 9), 2)
mg.manual_seed(2)
convolution("conv2d", nn.Conv2d(4, 6, 3, { stride = 2, padding = 1, groups = 2 }), mg.randn(2, 4, 7, 6), 4, 3)
mg.manual_seed(2)
convolution("conv3d", nn.Conv3d(4, 6, 3, { padding = 1 }), mg.randn(2, 4, 4, 5, 4), 1, 2)

mg.manual_seed(3)
local table_ = nn.Embedding(7, 5, { padding_idx = 3 })
local at = mg.tensor { { 1, 3, 4 }, { 7, 4, 1 } }
train("embedding", mg.lora(table_, { rank = 2, alpha = 1 }), function() return to_one(table_(at)) end)

mg.manual_seed(4)
local attention = nn.MultiheadAttention(4, 2)
local input = mg.randn(5, 3, 4)
train("attention", mg.lora(attention, { rank = 2, alpha = 4 }), function() return to_one((attention(input, input, input))) end)

mg.manual_seed(5)
local apart = nn.MultiheadAttention(4, 2, { kdim = 3, vdim = 5 })
local q, k, v = mg.randn(5, 2, 4), mg.randn(6, 2, 3), mg.randn(6, 2, 5)
train("apart", mg.lora(apart, { rank = 2 }), function() return to_one((apart(q, k, v))) end)

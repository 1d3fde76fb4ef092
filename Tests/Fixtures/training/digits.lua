-- A small classifier of handwritten digits, in batches. Prints what digits.txt holds for PyTorch.
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

-- The first 512 rows of the data: 64 pixels and a label each. A label is an index here, so it begins at 1.
local here = (arg and arg[0] or ""):match "^(.*/)" or "./"
local pixels, labels = {}, {}
for line in io.lines(here .. "../../../scripts/data/digits.csv") do
  local row = {}
  for field in line:gmatch "[^,]+" do row[#row + 1] = tonumber(field) end
  labels[#labels + 1] = table.remove(row) + 1
  pixels[#pixels + 1] = row
  if #pixels == 512 then break end
end
pixels = mg.tensor(pixels, { dtype = "float32" }) / 16
labels = mg.tensor(labels)

local function train(run, optimizer, options)
  mg.manual_seed(0)
  local net = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
  local opt, loss_fn = optimizer(net:parameters(), options), nn.CrossEntropyLoss()
  for step = 1, 100 do
    local first = (step - 1) * 64 % 512 + 1
    local batch = { first, first + 63 }
    local loss = loss_fn(net(pixels[{ batch }]), labels[{ batch }])
    opt:zero_grad(); loss:backward(); opt:step()
    print(string.format("%s %d %.9g", run, step, loss:item()))
  end
end

train("sgd",  optim.SGD,  { lr = 0.1 })
train("adam", optim.Adam, { lr = 1e-3 })

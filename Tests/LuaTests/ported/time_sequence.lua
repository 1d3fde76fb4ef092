-- Sine waves continued, as in PyTorch's example `time_sequence_prediction`: two LSTM cells in float64, learned by LBFGS.
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

local Sequence = nn.Module "Sequence"
function Sequence:init()
  self.lstm1 = nn.LSTMCell(1, 12)
  self.lstm2 = nn.LSTMCell(12, 12)
  self.linear = nn.Linear(12, 1)
end
function Sequence:forward(input, future)
  local outputs = {}
  local h_t = mg.zeros(input:size(1), 12, { dtype = "float64" })
  local c_t = mg.zeros(input:size(1), 12, { dtype = "float64" })
  local h_t2 = mg.zeros(input:size(1), 12, { dtype = "float64" })
  local c_t2 = mg.zeros(input:size(1), 12, { dtype = "float64" })

  local output
  for _, input_t in ipairs(input:split(1, { dim = 2 })) do
    h_t, c_t = self.lstm1(input_t, h_t, c_t)
    h_t2, c_t2 = self.lstm2(h_t, h_t2, c_t2)
    output = self.linear(h_t2)
    table.insert(outputs, output)
  end
  for i = 1, future or 0 do                         -- what it predicts is its next input
    h_t, c_t = self.lstm1(output, h_t, c_t)
    h_t2, c_t2 = self.lstm2(h_t, h_t2, c_t2)
    output = self.linear(h_t2)
    table.insert(outputs, output)
  end
  return mg.cat(outputs, { dim = 2 })
end

mg.manual_seed(0)
local waves, length, period = 8, 30, 5
local x = mg.arange(length, { dtype = "float64" }) + mg.randint(-4 * period, 4 * period, { waves, 1 })
local data = mg.sin(x / period)
local input, target = data[{ { 4, -1 }, { 1, -2 } }], data[{ { 4, -1 }, { 2, -1 } }]
local test_input, test_target = data[{ { 1, 3 }, { 1, -2 } }], data[{ { 1, 3 }, { 2, -1 } }]

local seq = Sequence()
seq:double()
local criterion = nn.MSELoss()
local optimizer = optim.LBFGS(seq:parameters(), { lr = 0.8, max_iter = 6 })
for i = 1, 4 do
  local function closure()
    optimizer:zero_grad()
    local out = seq(input)
    local loss = criterion(out, target)
    print(("loss %d %.9g"):format(i, loss:item()))
    loss:backward()
    return loss
  end

  optimizer:step(closure)
  mg.no_grad(function()
    local future = 10
    local pred = seq(test_input, future)
    local loss = criterion(pred[{ {}, { 1, -future - 1 } }], test_target)
    print(("test %d %.9g %.9g"):format(i, loss:item(), pred[{ {}, -1 }]:mean():item()))
  end)
end

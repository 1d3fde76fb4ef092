-- What layers are made of: convolutions, pooling, normalisation and their kin. That values and derivatives are PyTorch's is tested
-- over all samples elsewhere; here is what scripts see besides: arguments in their forms, positions from 1, statistics in place.

local mg = require "moongrad"
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local F = mg.nn.functional

local x = mg.arange(24):float():reshape(2, 3, 4):sin()

check.case("running statistics move in place, while training alone", function()
  local mean, var = mg.zeros(3), mg.ones(3)
  F.batch_norm(x, mean, var, { training = true })
  check.close(mean, { 0.04270472377538681, -0.039857082068920135, 0.00939993280917406 })
  check.close(var, { 0.9280640482902527, 0.933210551738739, 0.9660507440567017 })
  F.batch_norm(x, mean, var, { training = true, momentum = 0.5 })
  check.close(mean, { 0.23487597703933716, -0.21921394765377045, 0.05169963091611862 })
  check.close(var, { 0.6043522953987122, 0.632658064365387, 0.8132791519165039 })
  local before = mean:clone()
  F.batch_norm(x, mean, var)
  check.is_true(mean:equal(before))
  local columns, spread = mg.zeros(3), mg.ones(3)
  F.batch_norm(x[{ {}, {}, 1 }], columns, spread, nil, nil, true)
  check.close(columns, { -0.026828646659851074, -0.05223529413342476, 0.09511516988277435 })
  check.close(spread, { 0.9143955111503601, 0.9109933376312256, 0.900291919708252 })
  local own, variances = mg.zeros(3), mg.ones(3)
  F.instance_norm(x, own, variances)
  check.close(own, { 0.04270472377538681, -0.039857082068920135, 0.00939993280917406 })
  check.close(variances, { 0.9324601888656616, 0.9381989240646362, 0.9748185873031616 })
end)

check.case("positions count from 1, and a NaN is the largest", function()
  local values, at = F.max_pool1d(mg.tensor { { 1, 3, 2, 5 } } * 1.0, 2, { return_indices = true })
  check.elements(values, { { 3, 5 } })
  check.elements(at, { { 2, 4 } })
  check.elements(F.max_unpool1d(values, at, 2), { { 0, 3, 0, 5 } })
  local image = mg.tensor { { { 1, 0 / 0, 3 }, { 4, 5, 6 }, { 9, 8, -7 } } }
  local most, places = F.max_pool2d(image, 2, 1, { return_indices = true })
  check.elements(places, { { { 2, 2 }, { 7, 8 } } })
  check.is_true(most:isnan():tolist()[1][1][1] and most:isnan():tolist()[1][1][2])
  check.elements(most[{ 1, 2 }], { 9, 8 })
end)

check.case("numbers, lists and names", function()
  local image, weight = mg.ones(1, 1, 5, 5), mg.ones(1, 1, 3, 3)
  check.equal(F.conv2d(image, weight, nil, 2, { 1, 0 }).shape, { 1, 1, 3, 2 })
  check.equal(mg.conv2d(image, weight, { padding = "same" }).shape, { 1, 1, 5, 5 })
  check.equal(mg.conv2d(image, weight, { padding = "valid", stride = 2 }).shape, { 1, 1, 2, 2 })
  check.equal(mg.conv_transpose2d(image, weight, { stride = 2, output_padding = { 1, 0 } }).shape, { 1, 1, 12, 11 })
  check.equal(F.adaptive_avg_pool2d(image, 2, 3).shape, { 1, 1, 2, 3 })
  check.equal(F.layer_norm(image, 5).shape, { 1, 1, 5, 5 })
end)

check.case("whole numbers convolve exactly", function()
  local row = mg.arange(6):reshape(1, 1, 6)
  check.elements(mg.conv1d(row, mg.tensor { { { 1, -2, 1 } } }, mg.tensor { 7 }), { { { 7, 7, 7, 7 } } })
end)

check.case("dropping draws by the seed, and what is kept is scaled", function()
  mg.manual_seed(0)
  local y = F.dropout(mg.ones(1000), 0.25)
  local kept = y:gt(0):sum():item()
  check.is_true(kept > 700 and kept < 800)
  check.close(y:max(), 1 / 0.75)
  mg.manual_seed(0)
  check.is_true(F.dropout(mg.ones(1000), 0.25):equal(y))
  local channels = F.dropout2d(mg.ones(8, 16, 3, 3), 0.5)
  local sums = channels:sum({ 3, 4 })
  check.is_true((sums:eq(0) + sums:eq(18)):all():item())
end)

check.case("sizes beyond all measure are refused, not tried", function()
  local image = mg.ones(1, 1, 5, 5)
  local huge = 2 ^ 30 | 0
  for _, call in ipairs {
    function() return F.adaptive_avg_pool2d(image, huge) end, function() return F.adaptive_max_pool2d(image, huge) end,
    function() return F.pad(image, { huge, 0, 0, 0 }, "replicate") end, function() return F.interpolate(image, huge) end,
    function() return mg.conv2d(image, image, nil, huge * huge) end, function() return F.fold(mg.ones(1, 1, 1), huge, 1) end,
  } do check.is_true(not pcall(call)) end
end)

check.case("states that are left out are zeros, and so are those that are nil", function()
  local nn = mg.nn
  local steps = mg.arange(12):float():reshape(3, 2, 2):sin()
  local function same(a, b) check.is_true(a:equal(b)) end
  for _, kind in ipairs { nn.RNN, nn.GRU } do
    local layer = kind(2, 3)
    local output = layer(steps)
    same(output, (layer(steps, nil)))
    same(output, (layer(steps, mg.zeros(1, 2, 3))))
  end
  local lstm, cell = nn.LSTM(2, 3), nn.LSTMCell(2, 3)
  local output, h = lstm(steps), cell(steps[1])
  same(output, (lstm(steps, nil, nil)))
  same(output, (lstm(steps, mg.zeros(1, 2, 3), mg.zeros(1, 2, 3))))
  same(h, (cell(steps[1], nil, nil)))
  check.rejects("nn.LSTM(2, 3)(x, nil, x)", "LSTM: a hidden state and a cell are given together, or neither", steps)
  check.rejects("nn.LSTMCell(2, 3)(x, nil, x)", "LSTMCell: argument 2: expected a tensor, got nil", mg.randn(3, 2))
  check.rejects("nn.MSELoss()(x, nil)", "MSELoss: argument 2: expected a tensor, got nil", steps)
  check.rejects("nn.GRU(2, 3)(nil)", "GRU: argument 1 (input): expected a tensor or a packed sequence, got nil")
end)

return check.done()

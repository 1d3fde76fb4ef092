-- Recurrent layers over sequences of several lengths: a packed batch gives what each sequence alone gives.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, rnn = mg.nn, mg.nn.utils.rnn

local lengths = { 2, 4, 1 }
local sequences = {}
for i, length in ipairs(lengths) do sequences[i] = mg.randn(length, 3) end

for _, name in ipairs { "RNN", "LSTM", "GRU" } do
  for _, settings in ipairs { {}, { num_layers = 2 }, { bidirectional = true }, { num_layers = 2, bidirectional = true } } do
    check.case(("%s, %d layers, %s"):format(name, settings.num_layers or 1, settings.bidirectional and "both ways" or "one way"), function()
      local layer = nn[name](3, 2, settings)
      local depth = (settings.num_layers or 1) * (settings.bidirectional and 2 or 1)
      local states = { mg.randn(depth, 3, 2), name == "LSTM" and mg.randn(depth, 3, 2) or nil }
      local packed = rnn.pack_sequence(sequences, { enforce_sorted = false })
      local results = table.pack(layer(packed, table.unpack(states)))
      check.equal(results[1].batch_sizes:tolist(), { 3, 2, 1, 1 })
      local padded, found = rnn.pad_packed_sequence(results[1], { batch_first = true })
      check.equal(found:tolist(), lengths)
      local loss = padded:sum() + results[2]:pow(2):sum()
      layer:zero_grad()
      loss:backward()
      local gradients = {}
      for i, p in ipairs(layer:parameters()) do gradients[i] = p.grad:clone() end
      layer:zero_grad()
      for i, length in ipairs(lengths) do
        local own = {}
        for k, state in ipairs(states) do own[k] = state[{ {}, i }] end
        local alone = table.pack(layer(sequences[i], table.unpack(own)))
        check.close(padded[{ i, { 1, length } }], alone[1], 1e-5)
        for part = 2, alone.n do check.close(results[part][{ {}, i }], alone[part], 1e-5) end
        (alone[1]:sum() + alone[2]:pow(2):sum()):backward()
      end
      for i, p in ipairs(layer:parameters()) do check.close(p.grad, gradients[i], 1e-5) end
    end)
  end
end

check.case("mistakes", function()
  local layer = nn.GRU(3, 2)
  check.raises("GRU: an input of shape [2, 4] does not fit: its last size must be input_size = 3", layer, mg.randn(2, 4))
  check.raises("GRU: an initial hidden state of shape [1, 5, 2] is expected, got [1, 4, 2]", layer, mg.randn(2, 5, 3), mg.zeros(1, 4, 2))
  check.raises("GRU: argument 1 (input): expected a tensor or a packed sequence, got a table", layer, { data = 5 })
  check.raises("LSTM: a hidden state and a cell are given together, or neither", nn.LSTM(3, 2), mg.randn(2, 5, 3), mg.zeros(1, 5, 2))
  local packed = rnn.pack_sequence { mg.randn(2, 3), mg.randn(1, 3) }
  packed.batch_sizes = mg.tensor { 1, 2 }
  check.raises("PackedSequence: batch_sizes must be positive and must not rise", layer, packed)
  packed.batch_sizes = mg.tensor { 2, 2 }
  check.raises("PackedSequence: batch_sizes add up to 4, but data has shape [3, 3]", layer, packed)
end)

check.case("gradients of gradients", function()
  local layer = nn.LSTM(2, 2):double()
  local x = mg.randn(3, 1, 2, { dtype = "float64", requires_grad = true })
  check.is_true(mg.autograd.gradgradcheck(function(y) return (layer(y)) end, { x }))
end)

-- In float32 all steps are one node; in float64 each is formulas of its own.
check.case("an LSTM's steps by one node do what the formulas do", function()
  for _, settings in ipairs { {}, { bidirectional = true, num_layers = 2 }, { bias = false } } do
    for _, hidden in ipairs { 3, 16, 21 } do
      local layer = nn.LSTM(2, hidden, settings)
      local wide = mg.deepcopy(layer):double()
      local depth = (settings.num_layers or 1) * (settings.bidirectional and 2 or 1)
      local given = { mg.randn(4, 3, 2), mg.randn(depth, 3, hidden), mg.randn(depth, 3, hidden) }
      local function results(net, dtype)
        local x = {}
        for i, t in ipairs(given) do x[i] = t:to(dtype):requires_grad_() end
        local y, h, c = net(table.unpack(x))
        local wanted = { table.unpack(x) }
        for _, p in ipairs(net:parameters()) do wanted[#wanted + 1] = p end
        local first = mg.autograd.grad(y:pow(2):sum() + h:sum() + c:pow(2):sum(), wanted, { create_graph = true })
        local penalty = 0
        for _, g in ipairs(first) do penalty = penalty + g:pow(2):sum() end
        local second = mg.autograd.grad(penalty, wanted)
        return { y, h, c }, first, second
      end
      local outputs, first, second = results(layer, "float32")
      local outputs64, first64, second64 = results(wide, "float64")
      for i, t in ipairs(outputs) do check.close(t, outputs64[i], 1e-5) end
      for i, t in ipairs(first) do check.close(t, first64[i], 1e-4) end
      for i, t in ipairs(second) do check.close(t, second64[i], 1e-3) end
      local _, tangent = mg.func.jvp(function(x) return (layer(x)) end, { given[1] }, { mg.ones_like(given[1]) })
      local _, tangent64 = mg.func.jvp(function(x) return (wide(x)) end, { given[1]:double() }, { mg.ones_like(given[1]):double() })
      check.close(tangent, tangent64, 1e-4)
    end
  end
end)

check.case("what an LSTM gives can be written in place", function()
  local layer, x = nn.LSTM(2, 3), mg.randn(4, 1, 2)
  local y, h = layer(x)
  y:add_(1)
  h:mul_(2)
  local loss = y:sum() + h:sum()
  loss:backward()
  check.is_true(layer.weight_ih_l0.grad:abs():sum():item() > 0)
end)

check.case("gradients of only some: a frozen weight, the last state alone", function()
  local layer, wide = nn.LSTM(2, 3), nil
  layer.weight_hh_l0.requires_grad = false
  wide = mg.deepcopy(layer):double()
  local x = mg.randn(4, 1, 2)
  local _, h = layer(x)
  h:sum():backward()
  local _, h64 = wide(x:double())
  h64:sum():backward()
  check.equal(layer.weight_hh_l0.grad, nil)
  check.close(layer.weight_ih_l0.grad, wide.weight_ih_l0.grad, 1e-5)
  check.close(layer.bias_hh_l0.grad, layer.bias_ih_l0.grad)
end)

return check.done()

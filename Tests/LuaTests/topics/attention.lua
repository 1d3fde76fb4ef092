-- Modules that take more than tensors, and modules made of others: attention and transformers.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn = mg.nn

local attention = nn.MultiheadAttention(8, 2, { batch_first = true })
local x = mg.randn(2, 5, 8)

check.case("calls take options by position and by name", function()
  local y, weights = attention(x, x, x)
  check.equal(y.shape, { 2, 5, 8 })
  check.equal(weights.shape, { 2, 5, 5 })
  check.close(weights:sum(-1), mg.ones(2, 5))
  local _, heads = attention(x, x, x, { average_attn_weights = false })
  check.equal(heads.shape, { 2, 2, 5, 5 })
  check.equal(select("#", attention(x, x, x, { need_weights = false })), 1)
  check.close(attention(x, x, x, nil, false), y)
  check.close(attention:forward(x, x, x, { need_weights = false }), y)
end)

check.case("a bool mask says what is not seen; is_causal is one of them", function()
  local later = mg.ones(5, 5, { dtype = "bool" }):triu(1)
  local _, weights = attention(x, x, x, { attn_mask = later })
  check.elements(weights[{ 1, 1, { 2, 5 } }], { 0, 0, 0, 0 })
  local _, causal = attention(x, x, x, { is_causal = true })
  check.close(causal, weights)
  check.close(attention(x, x, x, { is_causal = true, need_weights = false }), (attention(x, x, x, { attn_mask = later })))
  local absent = mg.zeros(2, 5, { dtype = "bool" })
  absent[{ 1, { 4, 5 } }] = true
  local y = attention(x, x, x, { key_padding_mask = absent, need_weights = false })
  local short = x[{ { 1, 1 }, { 1, 3 } }]
  check.close(y[{ 1, { 1, 3 } }], attention(short, short, short, { need_weights = false })[1], 1e-5)
end)

check.case("mistakes in calls say what was expected", function()
  check.raises("MultiheadAttention: argument 3 (value) is missing; expected a tensor…", function() attention(x, x) end)
  check.raises("MultiheadAttention: unknown option 'need_weight'; did you mean 'need_weights'?…", function() attention(x, x, x, { need_weight = false }) end)
  check.raises("MultiheadAttention: argument 4 (key_padding_mask): expected a tensor, got 5", function() attention(x, x, x, 5) end)
  check.raises("MultiheadAttention: attn_mask of shape [5, 5] or [4, 5, 5] is expected, got [2, 2]", function() attention(x, x, x, { attn_mask = mg.ones(2, 2) }) end)
  check.raises("MultiheadAttention: key must be 8 wide, got shape [2, 5, 7]", function() attention(x, mg.randn(2, 5, 7), x) end)
  check.raises("MultiheadAttention: embed_dim = 7 must be divisible by num_heads = 2", function() nn.MultiheadAttention(7, 2) end)
  check.raises('TransformerEncoderLayer: activation must be "relu", "gelu" or a module…', function() nn.TransformerEncoderLayer(8, 2, { activation = "tanh" }) end)
  check.raises("TransformerEncoder: argument 1 (encoder_layer): expected a module, got 5", function() nn.TransformerEncoder(5, 2) end)
end)

local Scaled = nn.Module "Scaled"
function Scaled:init() self.inner = nn.Linear(8, 8) end
function Scaled:forward(y) return self.inner(y) * 2 end

check.case("parts are read, replaced and listed, also by modules of scripts", function()
  local encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, { dropout = 0, activation = nn.GELU() }), 2, nn.LayerNorm(8))
  check.equal(#encoder.layers, 2)
  check.is_true(nn.is(encoder.layers[-1], nn.TransformerEncoderLayer))
  local seen = 0
  for i, layer in ipairs(encoder.layers) do
    seen = seen + i
    check.equal(tostring(layer.activation), "GELU(approximate='none')")
  end
  check.equal(seen, 3)
  local before = encoder(x)
  encoder.layers[2].linear2 = nn.Linear(16, 8)
  check.is_true(not encoder(x):allclose(before))
  encoder.layers[1] = Scaled()
  check.equal(encoder(x).shape, { 2, 5, 8 })
  check.equal(encoder:state_dict()["layers.0.inner.weight"].shape, { 8, 8 })
  check.raises("ModuleList: index 3 is out of range…", function() encoder.layers[3] = Scaled() end)
  check.raises("ModuleList: index 0 is out of range: indices start at 1…", function() return encoder.layers[0] end)
  check.raises("TransformerEncoder: expected a module in the place of 'norm', got 5", function() encoder.norm = 5 end)
  check.raises("TransformerEncoder is no list and has no length", function() return #encoder end)
end)

check.case("stacks copy their layer, of a script's class too", function()
  local stack = nn.TransformerEncoder(Scaled(), 2)
  local a, b = stack.layers[1].inner.weight, stack.layers[2].inner.weight
  check.is_true(a ~= b and a:equal(b))
  stack.layers[1].inner.weight = b
  local copy = mg.deepcopy(stack)
  check.is_true(copy.layers[1].inner.weight == copy.layers[2].inner.weight)
  check.is_true(copy.layers[1].inner.weight ~= b)
end)

check.case("batches and hooks", function()
  local many = mg.func.vmap(function(q) return (attention(q, q, q, { need_weights = false })) end)(mg.stack { x, x * 2 })
  check.close(many[2], attention(x * 2, x * 2, x * 2, { need_weights = false }), 1e-5)
  local count
  local hook = attention:register_forward_hook(function(_, inputs, y) count = y:dim() end)
  attention(x, x, x, { need_weights = false })
  check.equal(count, 3)
  hook.remove()
end)

check.case("layers within themselves, and nested without end, are refused when they run or are copied", function()
  local function stack() return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 8), 1) end
  local self_made = stack()
  self_made.layers[1] = self_made
  local deep = stack()
  for _ = 1, 300 do
    local above = stack()
    above.layers[1] = deep
    deep = above
  end
  for _, model in ipairs { self_made, deep } do
    check.raises("TransformerEncoder: modules are within themselves, or nested more than 200 deep", model, x)
    check.is_true(not pcall(mg.deepcopy, model))
    check.is_true(#tostring(model) > 0 and #model:parameters() > 0 or model == self_made)
  end
  check.equal(stack()(x).shape, { 2, 5, 8 })
end)

check.case("a mask for later places", function()
  local model = nn.Transformer { d_model = 8, nhead = 2, num_encoder_layers = 1, num_decoder_layers = 1, dim_feedforward = 16, dropout = 0 }
  local source, target = mg.randn(3, 2, 8), mg.randn(4, 2, 8)
  local y = model(source, target, { tgt_is_causal = true })
  check.close(model(source, target, { tgt_mask = nn.Transformer.generate_square_subsequent_mask(4) }), y)
  local changed = target:clone()
  changed[4] = changed[4] + 1
  check.close(model(source, changed, { tgt_is_causal = true })[{ { 1, 3 } }], y[{ { 1, 3 } }], 1e-5)
end)

return check.done()

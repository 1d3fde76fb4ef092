-- Low-rank adapters: that nothing changes at first and only the update trains, merging, removing, saving, resuming, and what is refused.
-- What they compute is compared with PyTorch in training.lua.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

-- Sums in another order differ by their rounding, in one of some hundred draws by more than is allowed below.
mg.manual_seed(1)

local Net = nn.Module "Net"
function Net:init()
  self.hidden = nn.Linear(3, 8)
  self.norm = nn.LayerNorm(8)
  self.predict = nn.Linear(8, 2)
end
function Net:forward(x) return self.predict(mg.relu(self.norm(self.hidden(x)))) end

local function trained(net)
  local list = {}
  for name, p in net:named_parameters() do if p.requires_grad then list[#list + 1] = name end end
  return list
end

local function copies(net)
  local list = {}
  for name, p in net:named_parameters() do list[name] = p:detach():clone() end
  return list
end

local function train(net, opt, steps)
  for _ = 1, steps do
    opt:zero_grad()
    net(mg.randn(6, 3)):pow(2):mean():backward()
    opt:step()
  end
end

local function file(body)
  local path = os.tmpname()
  local _ <close> = setmetatable({}, { __close = function() os.remove(path) end })
  return body(path)
end

local attention = function(dims) return nn.MultiheadAttention(4, 2, dims) end
-- Layers, what they are called with, and the rank.
local kinds = {
  { "Linear", function() return nn.Linear(3, 5) end, { mg.randn(4, 3) }, 2 },
  { "Linear without bias", function() return nn.Linear(3, 5, { bias = false }) end, { mg.randn(2, 4, 3) }, 7 },
  { "Embedding", function() return nn.Embedding(6, 4, { padding_idx = 2 }) end, { mg.tensor { { 1, 2, 6 }, { 3, 3, 2 } } }, 2 },
  { "Conv1d", function() return nn.Conv1d(2, 4, 3, { padding = 2, padding_mode = "circular" }) end, { mg.randn(2, 2, 7) }, 2 },
  { "Conv2d", function() return nn.Conv2d(4, 6, { 3, 2 }, { stride = 2, groups = 2, padding = 1 }) end, { mg.randn(2, 4, 6, 5) }, 4 },
  { "Conv2d, same", function() return nn.Conv2d(2, 3, 3, { padding = "same", dilation = 2 }) end, { mg.randn(2, 5, 5) }, 1 },
  { "Conv3d", function() return nn.Conv3d(1, 2, 2) end, { mg.randn(1, 1, 3, 4, 3) }, 1 },
  { "MultiheadAttention", attention, { mg.randn(3, 2, 4), mg.randn(5, 2, 4), mg.randn(5, 2, 4) }, 2 },
  { "MultiheadAttention of widths", function() return attention { kdim = 3, vdim = 5 } end, { mg.randn(3, 4), mg.randn(2, 3), mg.randn(2, 5) }, 2 },
}
local own = mg.randn(4, 2, 4)
kinds[#kinds + 1] = { "self-attention", attention, { own, own, own }, 2 }
kinds[#kinds + 1] = { "attention to one memory", attention, { own, kinds[8][3][2], kinds[8][3][2] }, 2 }

local function call(layer, inputs) return (layer(table.unpack(inputs))) end
local function drawn(adapter) for p in adapter:parameters() do mg.no_grad(function() p:normal_() end) end end

for _, kind in ipairs(kinds) do
  local name, make, inputs, rank = table.unpack(kind)
  check.case(name .. ": nothing changes at first, merging is exact to rounding, removing gives all back", function()
    local layer = make()
    local before, start, flags = call(layer, inputs), copies(layer), trained(layer)
    local text = tostring(layer)
    local adapter = mg.lora(layer, { rank = rank, alpha = 3 })
    check.equal(call(layer, inputs), before)
    for _, p in ipairs(trained(layer)) do check.mentions(p, "lora_") end
    drawn(adapter)
    local apart = call(layer, inputs)
    check.is_true(not apart:equal(before))
    adapter:merge()
    local merged = mg.no_grad(function() return call(layer, inputs) end)
    check.is_true(mg.allclose(merged, apart, { rtol = 1e-4, atol = 1e-5 }))
    adapter:disable()
    check.equal(call(layer, inputs), before)
    check.equal(mg.no_grad(function() return call(layer, inputs) end), before)
    adapter:enable()
    for key, value in pairs(start) do check.equal(layer:get_parameter(key):detach(), value) end
    adapter:unmerge()
    check.equal(mg.no_grad(function() return call(layer, inputs) end), apart:detach())
    adapter:remove()
    check.equal(call(layer, inputs), before)
    check.equal({ trained(layer), tostring(layer) }, { flags, text })
    -- With the update in the weights.
    adapter = mg.lora(layer, { rank = rank, alpha = 3 })
    drawn(adapter)
    apart = call(layer, inputs)
    adapter:remove { merged = true }
    check.is_true(mg.allclose(call(layer, inputs), apart, { rtol = 1e-4, atol = 1e-5 }))
    check.equal({ trained(layer), tostring(layer) }, { flags, text })
  end)

  check.case(name .. ": derivatives, copies, other dtypes", function()
    -- (The entry for padding gets no gradient, whatever the result owes to it.)
    local layer = (name == "Embedding" and nn.Embedding(6, 4) or make()):double()
    local adapter = mg.lora(layer, { rank = rank })
    drawn(adapter)
    local wide = {}
    for i, x in ipairs(inputs) do wide[i] = x.dtype == "int64" and x or x:double() end
    if wide[2] == wide[3] and wide[2] ~= nil and wide[1] == wide[2] then wide[2], wide[3] = wide[1], wide[1] end
    local parameters, state = adapter:parameters(), {}
    for key, p in adapter:named_parameters() do state[#state + 1] = { key, p } end
    check.is_true(mg.autograd.gradcheck(function(...)
      local replaced = {}
      for i, entry in ipairs(state) do replaced[entry[1]] = select(i, ...) end
      return (mg.func.functional_call(layer, replaced, wide))
    end, parameters))
    local apart = call(layer, wide)
    adapter:merge()                                    -- in float64 from the outset
    check.is_true(mg.allclose(mg.no_grad(function() return call(layer, wide) end), apart, { rtol = 1e-12, atol = 1e-12 }))
    local copy = mg.deepcopy(layer)
    check.equal(mg.no_grad(function() return call(copy, wide) end), mg.no_grad(function() return call(layer, wide) end))
    check.equal({ trained(copy), tostring(copy) }, { trained(layer), tostring(layer) })
    drawn(mg.lora_adapter(copy))                       -- the copy's own
    check.equal(call(layer, wide), apart)
    -- What is merged follows a change of dtype.
    layer:float()
    local single = mg.no_grad(function() return call(layer, inputs) end)
    check.equal(single.dtype, "float32")
    check.is_true(mg.allclose(single:double(), apart:detach(), { rtol = 1e-3, atol = 1e-4 }))
  end)
end

check.case("only A and B move, and no gradient of a weight's size is ever made", function()
  local net = Net()
  mg.freeze(net)
  local adapter = mg.lora(net, { "hidden", "predict" }, { rank = 2, dropout = 0.25 })
  check.equal(trained(net), { "hidden.lora_A.weight", "hidden.lora_B.weight", "predict.lora_A.weight", "predict.lora_B.weight" })
  check.equal(#adapter:parameters(), 4)
  local before, watch = copies(net), mg.watch(net)
  train(net, optim.Adam(net:parameters(), { lr = 0.1 }), 3)
  watch:assert_frozen()
  for name, p in net:named_parameters() do check.equal(p:equal(before[name]), name:find "lora_" == nil) end

  -- Two weights of 4 MB, of which no gradient has room in what the step takes.
  local wide = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024))
  local x = mg.randn(2, 1024)
  local function taken()
    collectgarbage()
    local before = mg.memory().peak
    wide(x):pow(2):mean():backward()
    return mg.memory().peak - before
  end
  adapter = mg.lora(wide, { rank = 1 })
  check.is_true(taken() < 1 << 20)
  local seen, leaves, waiting = {}, 0, { wide(x):sum().grad_fn }
  local function is_new(node)
    for _, other in ipairs(seen) do if other == node then return false end end
    seen[#seen + 1] = node
    return true
  end
  while #waiting > 0 do
    local node = table.remove(waiting)
    if is_new(node) then
      for _, next in ipairs(node.next_functions) do if next[1] then waiting[#waiting + 1] = next[1] end end
      if node.name == "AccumulateGrad" then
        leaves = leaves + 1
        check.equal(node.variable:numel(), 1024)
      end
    end
  end
  check.equal(leaves, 4)
  for p in wide:parameters() do check.equal(p.grad ~= nil, p.requires_grad) end
  adapter:remove()
  check.is_true(taken() > 7 << 20)                     -- as without
end)

check.case("dropout is before A, in training alone", function()
  local layer = nn.Linear(50, 4)
  local adapter = mg.lora(layer, { rank = 2, dropout = 0.5 })
  drawn(adapter)
  local x = mg.ones(1, 50)
  check.is_true(not layer(x):equal(layer(x)))
  check.mentions(tostring(layer), "lora=(rank=2, alpha=2)", "(lora_dropout): Dropout(p=0.5, inplace=False)")
  layer:eval()
  check.equal(layer(x), layer(x))
  mg.freeze(layer, nil, { level = "full" })
  layer:train()
  check.equal(layer(x), layer(x))
end)

check.case("which layers are meant", function()
  local function names(...) return mg.lora(...).names end
  check.equal(names(Net()), { "hidden", "predict" })
  check.equal(names(Net(), "*"), { "hidden", "predict" })
  check.equal(names(Net(), "h*", { rank = 1 }), { "hidden" })
  check.equal(names(Net(), { "predict", "hidden.weight" }), { "predict", "hidden" })
  check.equal(names(Net(), function(name) return name:find "predict" end), { "predict" })
  local net = Net()
  check.equal(names(net, net.predict, 2), { "predict" })
  check.equal(names(net, { net.hidden.weight }, { rank = 3, alpha = 1 }), { "hidden" })
  check.equal(trained(net), { "hidden.lora_A.weight", "hidden.lora_B.weight", "norm.weight", "norm.bias", "predict.lora_A.weight", "predict.lora_B.weight" })
  local block = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, { dim_feedforward = 5, dropout = 0 }), 2)
  check.equal(names(block, "layers.*.self_attn", { rank = 1 }), {
    "layers.0.self_attn", "layers.0.self_attn.out_proj", "layers.1.self_attn", "layers.1.self_attn.out_proj" })
  check.equal(names(block, "layers.1.linear1"), { "layers.1.linear1" })
  local x = mg.randn(3, 1, 4)
  local before = block(x)
  drawn(mg.lora_adapter(block))
  check.is_true(not block(x):equal(before))
  -- A layer under two names gets one, and a weight of two layers is frozen in both.
  local twice = nn.Linear(2, 2)
  check.equal(names(nn.Sequential(twice, twice)), { "0" })
  local tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
  tied[2].weight = tied[1].weight
  local adapter = mg.lora(tied)
  check.equal(adapter.names, { "0", "1" })
  drawn(adapter)
  local x2 = mg.randn(3, 2)
  local apart = tied(x2)
  adapter:merge()
  check.is_true(mg.allclose(mg.no_grad(function() return tied(x2) end), apart, { atol = 1e-5 }))
  adapter:remove { merged = true }                     -- the weight cannot take both updates
  check.is_true(mg.allclose(tied(x2), apart, { atol = 1e-5 }) and tied[1].weight ~= tied[2].weight)
  check.equal(trained(tied), { "0.weight", "0.bias", "1.weight", "1.bias" })
end)

check.case("a weight that was frozen stays so when the adapter goes", function()
  local net = Net()
  mg.freeze(net, "hidden.weight")
  local adapter = mg.lora(net, "hidden")
  check.equal(net.hidden.bias.requires_grad, false)
  check.equal(adapter:remove(), net)
  check.equal(trained(net), { "hidden.bias", "norm.weight", "norm.bias", "predict.weight", "predict.bias" })
end)

check.case("what is refused, and that nothing changes then", function()
  local net = Net()
  local can = " (weights of Linear, Embedding, Conv1d, Conv2d, Conv3d, MultiheadAttention can)"
  local there = " (there is hidden.weight, hidden.bias, norm.weight, norm.bias, predict.weight, predict.bias)"
  for _, case in ipairs {
    { "lora: no parameter matches 'hiden'; did you mean 'hidden'?" .. there, net, "hiden" },
    { "lora: 'norm' means no layer that can be adapted: norm is a LayerNorm" .. can, net, "norm" },
    { "lora: 'norm' means no layer that can be adapted: norm is a LayerNorm" .. can, net, { "hidden", "norm" } },
    { "lora: '*.bias' means no layer that can be adapted: hidden.bias has no update, norm is a LayerNorm, predict.bias has no update" .. can, net, "*.bias" },
    { "lora: this means no layer that can be adapted: it is a GRU" .. can, nn.GRU(2, 2) },
    { "lora: this means no layer that can be adapted: it is a ConvTranspose1d" .. can, nn.ConvTranspose1d(2, 2, 2) },
    { "lora: this means no layer that can be adapted: it is a EmbeddingBag" .. can, nn.EmbeddingBag(2, 2) },
    { "lora: ReLU has no parameters", nn.ReLU() },
    { "lora: the Linear is not in the Net", net, nn.Linear(1, 1) },
    { "lora: rank must be 1 or more, got 0", net, "hidden", { rank = 0 } },
    { "lora: rank must be 1 or more, got -3", net, "hidden", -3 },
    { "lora: option 'rank': expected a whole number, got 1.5", net, "hidden", { rank = 1.5 } },
    { "lora: option 'rank': expected a number, got \"4\"", net, "hidden", { rank = "4" } },
    { "memory: …", net, "hidden", { rank = 1 << 40 } },
    { "lora: rank 4611686018427387904 is too large for hidden", net, "hidden", { rank = 1 << 62 } },
    { "lora: alpha must be a finite number above 0, got nan", net, "hidden", { alpha = 0 / 0 } },
    { "lora: alpha must be a finite number above 0, got 0", net, "hidden", { alpha = 0 } },
    { "lora: option 'alpha': expected a number, got true", net, "hidden", { alpha = true } },
    { "lora: dropout must be a probability between 0 and 1, got 2.0", net, "hidden", { dropout = 2 } },
    { "lora: unknown option 'r' (known: rank, alpha, dropout)", net, "hidden", { r = 2 } },
    { "lora: argument 1: expected a module, got nil" },
    { "lora: Conv1d is a convolution of 3 groups, each of which gets its share of the rank: 4 is not divisible by 3", nn.Conv1d(3, 3, 1, { groups = 3 }), { rank = 4 } },
    { "lora: Embedding has max_norm, which scales its rows at each call: they cannot stay as they are beside an update", nn.Embedding(3, 2, { max_norm = 1 }) },
    { "lora: weight is computed by a parametrization; remove that first", nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "" },
  } do
    if case[3] == "" then case[3] = nil end
    if case[1]:find "parametrization" then check.raises("lora: …", mg.lora, case[2])
    else check.raises(case[1], mg.lora, table.unpack(case, 2)) end
  end
  check.equal(#trained(net), 6)
  mg.lora(net, "predict")
  check.raises("lora: predict has an adapter of rank 8 already; remove() that first", mg.lora, net, "*")
  check.equal(#mg.lora_adapter(net).names, 1)
  check.raises("lora: 'predict.lora_A' means no layer that can be adapted: predict.lora_A is part of an adapter" .. can, mg.lora, net, "predict.lora_A")
  local adapter = mg.lora_adapter(net)
  check.raises("merge: expected an adapter as self, got nil; methods are called with ':'", adapter.merge)
  adapter:remove()
  check.raises("lora: predict has no adapter any more", adapter.merge, adapter)
  check.equal(mg.lora_adapter(net), nil)
  check.raises("lora_state: no layer has an adapter; mg.lora gives it one", mg.lora_state, net)
  -- A layer that was trained before.
  net = Net()
  train(net, optim.SGD(net:parameters(), { lr = 0.1 }), 1)
  local warned = mg.catch_warnings(function() mg.lora(net, "hidden") end)
  check.mentions(warned[1], "hidden was trained before", "does not hold the adapter's parameters")
end)

check.case("merged, layers read as one weight, and training goes on apart", function()
  local layer = nn.Linear(3, 2)
  local adapter = mg.lora(layer, { rank = 1, alpha = 2 })
  drawn(adapter)
  local own = layer.weight:clone()
  local function sum() return layer:get_parameter("weight") + 2 * layer.lora_B.weight:matmul(layer.lora_A.weight) end
  check.equal(adapter:merge(), adapter)
  check.is_true(mg.allclose(layer.weight, sum(), { atol = 1e-6 }) and not layer.weight:equal(own))
  check.equal(layer:state_dict().weight, own)
  check.mentions(tostring(adapter), "rank 1, alpha 2, merged: Linear")
  local opt, x = optim.SGD(adapter:parameters(), { lr = 0.1 }), mg.randn(4, 3)
  layer(x):pow(2):mean():backward()
  opt:step()
  check.is_true(mg.allclose(layer.weight, sum(), { atol = 1e-6 }))       -- of the A and B that there are now
  mg.no_grad(function()
    check.is_true(mg.allclose(layer(x), F.linear(x, sum(), layer.bias), { atol = 1e-6 }))
    check.equal(layer(x), F.linear(x, layer.weight, layer.bias))
  end)
  layer:load_state_dict(nn.Linear(3, 2):state_dict(), { strict = false })
  check.is_true(mg.allclose(layer.weight, sum(), { atol = 1e-6 }))
  -- Frozen, it computes with one weight in any mode.
  mg.freeze(layer)
  check.equal(layer(x), F.linear(x, layer.weight, layer.bias))
  -- A weight that is trained beside it is not taken for constant.
  layer:get_parameter("weight"):requires_grad_()
  layer(x):sum():backward()
  check.is_true(layer:get_parameter("weight").grad:abs():sum():item() > 0)
  -- A guarded weight stays, and remove says so.
  mg.freeze(layer)
  local guard <close> = mg.guard(layer, "weight")
  adapter:merge()
  check.raises("lora: weight is guarded since …", adapter.remove, adapter, { merged = true })
end)

check.case("functional_call, vmap and transforms see the update", function()
  local net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
  local adapter = mg.lora(net, { rank = 2, alpha = 1 })
  drawn(adapter)
  local x = mg.randn(5, 3)
  local expected = net(x)
  check.is_true(mg.allclose(mg.func.vmap(net)(x), expected, { rtol = 1e-5, atol = 1e-6 }))
  adapter:merge()
  check.is_true(mg.allclose(mg.func.vmap(net)(x), expected, { rtol = 1e-5, atol = 1e-5 }))
  mg.no_grad(function() check.is_true(mg.allclose(mg.func.vmap(net)(x), expected, { rtol = 1e-5, atol = 1e-5 })) end)
  local given = {}
  for name, p in net:named_parameters() do given[name] = p:detach() * 2 end
  local by_hand = F.linear(x, 2 * net[1]:get_parameter("weight"), 2 * net[1].bias) + F.linear(F.linear(x, 2 * net[1].lora_A.weight), 2 * net[1].lora_B.weight) / 2
  check.is_true(mg.allclose(mg.func.functional_call(net[1], { weight = given["0.weight"], bias = given["0.bias"], ["lora_A.weight"] = given["0.lora_A.weight"], ["lora_B.weight"] = given["0.lora_B.weight"] }, x), by_hand, { rtol = 1e-4, atol = 1e-5 }))
  -- A gradient for each sample, of A and B alone.
  local parameters = {}
  for name, p in adapter:named_parameters() do parameters[name] = p:detach() end
  local function loss(params, one) return mg.func.functional_call(net, params, one):pow(2):sum() end
  local each = mg.func.vmap(mg.func.grad(loss), { in_dims = { nil, 1 } })(parameters, x)
  net(x):pow(2):sum():backward()
  for name, p in adapter:named_parameters() do
    check.is_true(mg.allclose(each[name]:sum(1), p.grad, { rtol = 1e-4, atol = 1e-5 }))
  end
  local layers = {}
  for i, kind in ipairs(kinds) do
    if i <= 3 or kind[1] == "Conv2d" then
      local layer = kind[2]()
      drawn(mg.lora(layer, { rank = kind[4] }))
      local input = kind[3][1]
      check.is_true(mg.allclose(mg.func.vmap(layer)(input), layer(input), { rtol = 1e-4, atol = 1e-5 }))
    end
  end
end)

check.case("adapters are saved alone, and give the same bits on another base", function()
  for _, kind in ipairs(kinds) do
    local layer = kind[2]()
    local base = layer:state_dict()
    for name, tensor in pairs(base) do base[name] = tensor:clone() end
    local adapter = mg.lora(layer, { rank = kind[4], alpha = 3 })
    drawn(adapter)
    for _, how in ipairs { "save", "safetensors", "table" } do
      local fresh = kind[2]()
      fresh:load_state_dict(base)
      if how == "save" then mg.lora(fresh, { rank = kind[4], alpha = 3 }) end
      if how == "safetensors" then mg.lora(fresh, { rank = kind[4], alpha = 7 }) end       -- which gives way to what was saved
      file(function(path)
        local state = mg.lora_state(layer)
        if how == "save" then mg.save(state, path) state = mg.load(path) end
        if how == "safetensors" then mg.save_safetensors(state, path) state = mg.load_safetensors(path) end
        check.equal(mg.load_lora(fresh, state).names, adapter.names)
      end)
      check.equal(call(fresh, kind[3]), call(layer, kind[3]))
      check.equal(trained(fresh), trained(layer))
      check.equal(mg.lora_adapter(fresh):layers()[1].alpha, 3.0)
    end
  end
end)

check.case("what does not fit is refused before anything changes", function()
  local net, other = Net(), Net()
  mg.lora(net, "hidden", { rank = 2 })
  local state = mg.lora_state(net)
  local function without(name, value)
    local changed = {}
    for key, tensor in pairs(state) do changed[key] = tensor end
    changed[name] = value
    return changed
  end
  for _, case in ipairs {
    { "load_lora: hidden has no adapter, and hidden.lora_B.weight, which would tell its rank, is missing", other, without("hidden.lora_B.weight") },
    { "load_lora: hidden.lora_A.weight is missing", other, without("hidden.lora_A.weight") },
    { "load_lora: hidden.lora_A.weight has shape [2, 3] here and [3, 3] in what was saved", other, without("hidden.lora_A.weight", mg.ones(3, 3)) },
    { "load_lora: hidden.lora_alpha must be one number above 0, got a tensor of shape []", other, without("hidden.lora_alpha", mg.tensor(0 / 0)) },
    { "load_lora: hidden.lora_C.weight is nothing of the adapter of a Linear", other, without("hidden.lora_C.weight", mg.ones(1)) },
    { "load_lora: there is no layer 'predikt' for predikt.lora_A.weight; did you mean 'predict'?", other, without("predikt.lora_A.weight", mg.ones(1)) },
    { "load_lora: bias is nothing of an adapter's: names are such as hidden.lora_A.weight", other, without("bias", mg.ones(1)) },
    { "load_lora: norm is a LayerNorm, which cannot be adapted", other, { ["norm.lora_B.weight"] = mg.ones(2, 2) } },
    { "load_lora: there is nothing in what was saved", other, {} },
    { "load_lora: expected a table of tensors, got nil", other, nil },
    { "load_lora: expected tensors by names, got 3 under \"x\"", other, { x = 3 } },
  } do
    check.raises(case[1]:gsub("^load_lora: norm is", "lora: norm is"), mg.load_lora, case[2], case[3])
  end
  check.equal({ mg.lora_adapter(other), #trained(other) }, { nil, 6 })
  mg.lora(other, "predict")
  check.raises("load_lora: the adapter of predict is not among what was saved", mg.load_lora, other, state)
  check.equal(mg.load_lora(other, state, { strict = false }).names, { "hidden" })
  check.equal(mg.lora_adapter(other).names, { "hidden", "predict" })
  -- As PEFT names them.
  local foreign = {}
  for key, tensor in pairs(state) do if not key:find "alpha" then foreign["base_model.model." .. key] = tensor + 1 end end
  mg.load_lora(net, foreign)
  check.equal(net.hidden.lora_B.weight:detach(), mg.ones(8, 2))
  -- The base's checkpoints fit as before.
  local base = Net()
  local missing = net:load_state_dict(base:state_dict(), { strict = false })
  check.equal(net.hidden.weight:detach(), base.hidden.weight:detach())
  check.raises("load_state_dict: …", base.load_state_dict, base, net:state_dict())
end)

-- A run of adapters with Adam, dropout and a scheduler, from the beginning or a checkpoint.
local function run(steps, checkpoint)
  local net = Net()
  mg.freeze(net)
  local adapter = mg.lora(net, "*", { rank = 2, dropout = 0.1 })
  local opt = optim.Adam(adapter:parameters(), { lr = 0.05 })
  if checkpoint then
    net:load_state_dict(checkpoint.model)
    mg.load_freeze_state(net, checkpoint.frozen)
    opt:load_state_dict(checkpoint.optimizer)
    mg.set_rng_state(checkpoint.random)
  end
  train(net, opt, steps)
  return net, opt
end

check.case("a run that is resumed trains the same parameters and ends bit for bit", function()
  mg.manual_seed(7)
  local whole = run(9)
  mg.manual_seed(7)
  local folder = os.tmpname()
  os.remove(folder)
  local checkpoints = mg.Checkpointer(folder)
  do
    local net, opt = run(4)
    -- One that nobody would guess from the script.
    mg.freeze(net, "predict.lora_A.weight")
    net.norm.bias.requires_grad = true
    checkpoints:save(4, { model = net:state_dict(), frozen = mg.freeze_state(net), optimizer = opt:state_dict(), random = mg.get_rng_state() })
    local flags = trained(net)
    mg.manual_seed(99)                               -- as in another process
    local resumed = run(0, checkpoints:load_latest())
    check.equal(trained(resumed), flags)
    check.equal(resumed:state_dict(), net:state_dict())
    mg.freeze(net, "norm.bias")
    net.predict.lora_A.weight.requires_grad = true
    checkpoints:save(4, { model = net:state_dict(), frozen = mg.freeze_state(net), optimizer = opt:state_dict(), random = checkpoints:load_latest().random })
  end
  mg.manual_seed(123)
  local resumed = run(5, checkpoints:load_latest())
  check.equal(trained(resumed), trained(whole))
  check.equal(resumed:state_dict(), whole:state_dict())
  os.remove(checkpoints:latest())
  os.remove(folder)
end)

check.case("what is frozen, as a checkpoint has it", function()
  local function net() return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)) end
  local a = net()
  mg.freeze(a, { "1", "2" }, { level = "full" })
  mg.freeze(a, "3.bias")
  local state = mg.freeze_state(a)
  check.equal(state, { frozen = { "1.weight", "1.bias", "3.bias" }, evaluation = { "1", "2" } })
  local b = net()
  mg.freeze(b, "0", { level = "full" })
  b:load_state_dict(a:state_dict())
  check.equal(mg.freeze_state(b), { frozen = { "0.weight", "0.bias" }, evaluation = { "0" } })       -- as in PyTorch
  file(function(path)
    mg.save({ model = a:state_dict(), frozen = state }, path)
    mg.load_freeze_state(b, mg.load(path).frozen)
  end)
  check.equal(mg.freeze_state(b), state)
  check.equal({ b[1].training, b[2].training, b[3].training }, { true, false, false })
  b:train()
  check.equal({ b[1].training, b[2].training, b[3].training }, { true, false, false })
  check.equal(mg.freeze_state(mg.deepcopy(a)), state)
  check.raises("load_freeze_state: Sequential has no parameter '3.bais'; did you mean '3.bias'?", mg.load_freeze_state, b, { frozen = { "3.bais" }, evaluation = {} })
  check.raises("load_freeze_state: Sequential has no module '7'…", mg.load_freeze_state, b, { evaluation = { "7" } })
  check.raises("load_freeze_state: frozen: element 1: expected a name, got 3", mg.load_freeze_state, b, { frozen = { 3 } })
  check.raises("load_freeze_state: expected what freeze_state gave, got nil", mg.load_freeze_state, b)
  check.equal(mg.freeze_state(b), state)
  -- A shared parameter is frozen under any of its names.
  local tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
  tied[2].weight = tied[1].weight
  mg.load_freeze_state(tied, { frozen = { "1.weight" } })
  check.equal(trained(tied), { "0.bias", "1.bias" })
end)

return check.done()

-- Modules: classes, the order of parameters, replacing, misspelling, printing, state.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional

local Net = nn.Module "Net"
function Net:init(features, hidden, outputs)
  self.hidden  = nn.Linear(features, hidden)
  self.predict = nn.Linear(hidden, outputs)
end
function Net:forward(x) return self.predict(F.relu(self.hidden(x))) end

local function names(module)
  local list = {}
  for name in module:named_parameters() do list[#list + 1] = name end
  return list
end

check.case("parameters come in the order of registration", function()
  check.equal(names(Net(1, 2, 1)), { "hidden.weight", "hidden.bias", "predict.weight", "predict.bias" })
  local Other = nn.Module "Other"
  function Other:init()
    self.z = nn.Linear(1, 1)
    self.a = nn.Parameter(mg.ones(2))
    self.m = nn.Linear(1, 1, false)
  end
  -- A module's own come before those of its children, as in PyTorch.
  check.equal(names(Other()), { "a", "z.weight", "z.bias", "m.weight" })
end)

check.case("what parameters() returns is an iterator and a list", function()
  local net = Net(1, 2, 1)
  local count = 0
  for p in net:parameters() do
    count = count + 1
    check.equal(p.requires_grad, true)
    check.is_true(p.is_leaf)
  end
  check.equal(count, 4)
  local list = net:parameters()
  check.equal(#list, 4)
  check.is_true(list[1] == net.hidden.weight)
  for i, p in ipairs(list) do check.is_true(p == list[i]) end
end)

check.case("replacing a module moves nothing and uses the new one", function()
  local net = Net(1, 2, 1)
  net.predict = nn.Linear(2, 3)
  check.equal(names(net), { "hidden.weight", "hidden.bias", "predict.weight", "predict.bias" })
  check.equal(net(mg.ones(4, 1)).shape, { 4, 3 })
  net.hidden = nn.Linear(5, 2)
  check.equal(names(net), { "hidden.weight", "hidden.bias", "predict.weight", "predict.bias" })
  check.equal(net(mg.ones(4, 5)).shape, { 4, 3 })
end)

check.case("removing a module removes its parameters", function()
  local net = Net(1, 2, 1)
  net.hidden = nil
  check.equal(names(net), { "predict.weight", "predict.bias" })
  check.equal(net.hidden, nil)                       -- known, so nil and not a mistake
end)

check.case("plain fields are no parameters", function()
  local net = Net(1, 2, 1)
  net.label, net.rate, net.extra = "x", 0.5, mg.ones(2)
  check.equal(#net:parameters(), 4)
  check.equal(net.label, "x")
  net.scale = nn.Parameter(mg.ones(1))
  check.equal(names(net)[1], "scale")
end)

check.case("a shared parameter is one", function()
  local Tied = nn.Module "Tied"
  function Tied:init()
    self.a = nn.Linear(2, 2)
    self.b = self.a
  end
  local net = Tied()
  check.equal(names(net), { "a.weight", "a.bias" })
  for p in net.b:parameters() do p.requires_grad = false end
  check.equal(net.a.weight.requires_grad, false)
end)

check.case("misspelt names are errors that know the right one", function()
  local net = Net(1, 2, 1)
  local _, message = pcall(function() local p = net.hiden; return p end)
  check.is_true(tostring(message):find("field 'hiden' of Net does not exist; did you mean 'hidden'?", 1, true))
  _, message = pcall(function() net:forwrad(mg.ones(1)) end)
  check.is_true(tostring(message):find("field 'forwrad' of Net does not exist; did you mean 'forward'?", 1, true))
  _, message = pcall(function() return net.hidden.wieght.shape end)
  check.is_true(tostring(message):find("field 'wieght' of Linear does not exist; did you mean 'weight'?", 1, true))
end)

check.case("a class without forward says so", function()
  local Empty = nn.Module "Empty"
  check.raises("Empty has no forward: define  function Empty:forward(x) … end", function()
    local y = Empty()(mg.ones(1))
    return y
  end)
end)

check.case("printing is PyTorch's tree", function()
  check.equal(tostring(Net(1, 10, 1)), [[
Net(
  (hidden): Linear(in_features=1, out_features=10, bias=True)
  (predict): Linear(in_features=10, out_features=1, bias=True)
)]])
  check.equal(tostring(nn.Sequential(nn.Linear(1, 10), nn.ReLU(), nn.Sequential(nn.Flatten(), nn.Dropout(0.5)))), [[
Sequential(
  (0): Linear(in_features=1, out_features=10, bias=True)
  (1): ReLU()
  (2): Sequential(
    (0): Flatten(start_dim=2, end_dim=-1)
    (1): Dropout(p=0.5, inplace=False)
  )
)]])
  check.equal(tostring(nn.Sequential()), "Sequential()")
  local Scaled = nn.Module "Scaled"
  function Scaled:init() self.inner = nn.Tanh() end
  function Scaled:extra_repr() return "factor=2" end
  check.equal(tostring(Scaled()), "Scaled(\n  factor=2\n  (inner): Tanh()\n)")
end)

check.case("layers of containers are replaced by assignment", function()
  for _, make in ipairs { function(...) return nn.Sequential(...) end, function(...) return nn.ModuleList{ ... } end } do
    local first, last = nn.Linear(1, 2), nn.Linear(2, 1)
    local net = make(first, nn.ReLU(), last)
    net[-1] = nn.Tanh()
    net[1] = nn.Linear(3, 2)
    net[-2] = nn.Sigmoid()
    check.equal(#net, 3)
    check.equal(tostring(net):match "%b()",
      "(\n  (0): Linear(in_features=3, out_features=2, bias=True)\n  (1): Sigmoid()\n  (2): Tanh()\n)")
    check.is_true(net[-3] == net[1])
    check.equal(#net:parameters(), 2)
    net[4] = last                                    -- the place after the last
    net[5] = nn.ReLU()
    check.equal(#net, 5)
    check.is_true(net[4] == last)
    net[-1] = nil
    check.equal(#net, 4)
    net[5] = first
    local names = {}
    for name in net:named_children() do names[#names + 1] = name end
    check.equal(names, { "0", "1", "2", "3", "4" })
    local count = 0
    for i, layer in ipairs(net) do
      count = i
      check.is_true(layer == net[i])
    end
    check.equal(count, 5)
  end
end)

check.case("positions that a container does not have", function()
  for name, net in pairs { Sequential = nn.Sequential(nn.ReLU(), nn.Tanh()), ModuleList = nn.ModuleList{ nn.ReLU(), nn.Tanh() } } do
    local zero = name .. ": index 0 is out of range: indices start at 1 (and -1 is the last)"
    check.rejects("return x[0]", zero, net)
    check.rejects("x[0] = nn.ReLU()", zero, net)
    check.rejects("return x[-3]", name .. ": index -3 is out of range: there are 2 elements", net)
    check.rejects("x[-3] = nn.ReLU()", name .. ": index -3 is out of range: there are 2 elements", net)
    check.rejects("return x[4]", name .. ": index 4 is out of range: there are 2 elements", net)
    check.rejects("x[4] = nn.ReLU()", name .. ": index 4 is out of range: there are 2 elements", net)
    check.rejects("x[3] = 5", name .. ": element 3 is not a module but a number", net)
    check.rejects("x[-1] = 5", name .. ": element 2 is not a module but a number", net)
    check.equal(net[3], nil)
    check.equal(#net, 2)
  end
  check.rejects("x[-1] = {}", "ParameterList: element 1 is not a parameter (nn.Parameter(t)) but a table",
    nn.ParameterList{ nn.Parameter(mg.ones(1)) })
end)

check.case("Sequential: positions from 1, keys from 0", function()
  local net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
  check.equal(#net, 3)
  check.equal(tostring(net[2]), "ReLU()")
  check.equal(tostring(net[-1]), "Linear(in_features=2, out_features=1, bias=True)")
  check.equal(names(net), { "0.weight", "0.bias", "2.weight", "2.bias" })
  net[3] = nn.Linear(2, 5)
  check.equal(net(mg.ones(1, 1)).shape, { 1, 5 })
  net:append(nn.Tanh())
  check.equal(#net, 4)
end)

check.case("lists and dictionaries of modules", function()
  local list = nn.ModuleList{ nn.Linear(1, 1), nn.Linear(1, 2) }
  check.equal(#list, 2)
  check.equal(names(list), { "0.weight", "0.bias", "1.weight", "1.bias" })
  local count = 0
  for _, layer in ipairs(list) do
    count = count + 1
    check.equal(layer.in_features, 1)
  end
  check.equal(count, 2)
  local dictionary = nn.ModuleDict{ b = nn.ReLU(), a = nn.Linear(1, 1) }
  check.equal(names(dictionary), { "a.weight", "a.bias" })
  check.equal(tostring(dictionary.b), "ReLU()")
end)

check.case("train and eval reach every module", function()
  local net = nn.Sequential(nn.Dropout(0.9), nn.Sequential(nn.Dropout(0.9)))
  check.equal(net.training, true)
  check.is_true(net:eval() == net)
  check.equal(net[2][1].training, false)
  local x = mg.ones(100)
  check.equal(net(x), x)
  net:train()
  check.equal(net[1].training, true)
  mg.manual_seed(0)
  check.is_true(net(x):eq(0):any():item())
end)

check.case("state goes out and in, by PyTorch's names", function()
  mg.manual_seed(0)
  local a, b = Net(2, 3, 1), Net(2, 3, 1)
  local state = a:state_dict()
  local keys = {}
  for name in pairs(state) do keys[#keys + 1] = name end
  check.equal(keys, { "hidden.weight", "hidden.bias", "predict.weight", "predict.bias" })
  local result = b:load_state_dict(state)
  check.equal(result, { missing_keys = {}, unexpected_keys = {} })
  local x = mg.randn(5, 2)
  check.is_true(a(x):equal(b(x)))

  local part = { ["hidden.weight"] = state["hidden.weight"], other = mg.ones(1) }
  result = b:load_state_dict(part, { strict = false })
  check.equal(result.unexpected_keys, { "other" })
  check.equal(#result.missing_keys, 3)
  check.raises("load_state_dict: Net does not fit: …", function() b:load_state_dict(part) end)
  check.raises("load_state_dict: Net does not fit: hidden.bias has shape [3] here and [4] in the state", function()
    b:load_state_dict({ ["hidden.bias"] = mg.ones(4) }, { strict = false })
  end)
end)

check.case("children, modules, apply, buffers", function()
  local net = Net(1, 2, 1)
  local found = {}
  for name in net:named_children() do found[#found + 1] = name end
  check.equal(found, { "hidden", "predict" })
  check.equal(#net:modules(), 3)
  local visited = 0
  net:apply(function() visited = visited + 1 end)
  check.equal(visited, 3)
  net:register_buffer("seen", mg.zeros(1))
  check.equal(#net:buffers(), 1)
  check.equal(#net:parameters(), 4)
  check.elements(net:state_dict().seen, { 0 })
end)

check.case("_name is the class's name, whoever wrote the class", function()
  local names = {}
  local net = nn.Sequential(Net(1, 2, 1), nn.ConvTranspose2d(1, 1, 2), nn.BatchNorm2d(1))
  net:apply(function(m) names[#names + 1] = m._name end)
  check.equal(names, { "Linear", "Linear", "Net", "ConvTranspose2d", "BatchNorm2d", "Sequential" })
  local Wide = nn.Module("Wide", Net)
  check.equal(Wide(1, 2, 1)._name, "Wide")
  check.rejects("return nn.Linear(1, 1)._nam", "field '_nam' of Linear does not exist; did you mean '_name'?")
end)

check.case("zero_grad and requires_grad_", function()
  local net = Net(1, 2, 1)
  net(mg.ones(1, 1)):sum():backward()
  check.is_true(net.hidden.weight.grad)
  net:zero_grad()
  check.equal(net.hidden.weight.grad, nil)
  check.is_true(net:requires_grad_(false) == net)
  check.equal(net.predict.bias.requires_grad, false)
  net.predict:requires_grad_()
  check.equal(net.predict.bias.requires_grad, true)
  check.equal(net.hidden.bias.requires_grad, false)
end)

check.case("forward hooks see and replace", function()
  local net = Net(1, 2, 1)
  local seen
  local handle = net:register_forward_hook(function(module, inputs, output)
    seen = module == net and inputs[1].shape[1]
    return output * 0
  end)
  check.close(net(mg.ones(3, 1)), mg.zeros(3, 1))
  check.equal(seen, 3)
  handle:remove()
  check.is_true(not net(mg.ones(3, 1)):equal(mg.zeros(3, 1)))
  handle = net:register_forward_pre_hook(function(_, inputs) return { inputs[1]:expand(7, 1) } end)
  check.equal(net(mg.ones(1, 1)).shape, { 7, 1 })
  handle:remove()
end)

check.case("fields of layers", function()
  local layer = nn.Linear(3, 2)
  check.equal(layer.in_features, 3)
  check.equal(layer.out_features, 2)
  check.equal(layer.weight.shape, { 2, 3 })
  check.equal(layer.bias.shape, { 2 })
  check.equal(nn.Linear(3, 2, { bias = false }).bias, nil)
  check.equal(nn.Dropout(0.25).p, 0.25)
  layer.weight = nn.Parameter(mg.zeros(2, 3))
  check.close(layer(mg.ones(1, 3)), layer.bias:unsqueeze(1))
end)

check.case("embeddings are looked up from 1", function()
  local table = nn.Embedding(3, 2)
  check.equal(table(mg.tensor{ 1, 3 }), table.weight[mg.tensor{ 1, 3 }])
  check.equal(table(mg.tensor{ { 1, 2 }, { 3, 3 } }).shape, { 2, 2, 2 })
  check.rejects("nn.Embedding(3, 2)(mg.tensor{ 0 })", "Embedding: index 0 is out of range: entries start at 1")
  check.rejects("nn.Embedding(3, 2)(mg.tensor{ 4 })", "Embedding: entry 4 is not one of the 3 entries of the table")
end)

check.case("a parameter of one's own", function()
  local p = nn.Parameter(mg.ones(2))
  check.equal(p.requires_grad, true)
  check.equal(p.is_leaf, true)
  check.equal(tostring(p), "Parameter containing:\ntensor([1., 1.], requires_grad=True)")
  check.equal(tostring(nn.Parameter(mg.ones(2), { requires_grad = false })), "Parameter containing:\ntensor([1., 1.])")
end)

check.case("an error of a layer says where in the model it is", function()
  local Encoder = nn.Module "Encoder"
  function Encoder:init(width) self.layers = nn.ModuleList { nn.Linear(3, width), nn.Linear(5, 2) } end
  function Encoder:forward(x)
    for _, layer in ipairs(self.layers) do x = layer(x) end
    return x
  end
  local Model = nn.Module "Model"
  function Model:init(width)
    self.body = nn.Sequential(nn.ReLU(), Encoder(width))
    self.head = nn.Embedding(4, 2)
  end
  -- A tail call leaves nothing of this function on the stack.
  function Model:forward(x) return self.body(x) end
  local said = "Linear (%s): an input of shape [2, 4] does not fit the weight of shape [2, 5]: its last size must be in_features = 5"
  local model, x = Model(4), mg.ones(2, 3)
  check.raises(string.format(said, "body.1.layers.1"), model, x)
  check.raises(string.format(said, "1.layers.1"), model.body, x)
  check.raises(string.format(said, "layers.1"), model.body[2], x)
  check.raises((string.gsub(string.format(said, ""), " %(%)", "")), model.body[2].layers[2], mg.ones(2, 4))
  check.raises(string.format(said, "0.body.1.layers.1"), nn.Sequential(model), x)
  check.raises(string.format(said, "body.1.layers.1"), coroutine.wrap(function() return model(x) end))
  -- One that holds no part of what fails does not count, nor does what is not being called.
  local function step(other, net) return net(x) end
  check.raises(string.format(said, "body.1.layers.1"), step, nn.Sequential(nn.ReLU()), model)
  check.equal(#Model(5)(x), 2)
  -- Layers that Swift composes of others.
  local transformer = nn.Sequential(nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 2))
  check.raises("MultiheadAttention (0.layers.0.self_attn): query must be 8 wide, got shape [3, 2, 7]", transformer, mg.ones(3, 2, 7))
  function Model:forward(i) return self.head(i) end
  check.raises("Embedding (head): entry 5 is not one of the 4 entries of the table", model, mg.tensor { 5 })
end)

check.case("nn.Buffer", function()
  local Scale = nn.Module "Scale"
  function Scale:init()
    self.factor = nn.Buffer(mg.tensor { 2.0 })
    self.scratch = nn.Buffer(mg.zeros(2), { persistent = false })
    self.late = mg.zeros(1)
    self.late = nn.Buffer(mg.ones(1))
  end
  local scale = Scale()
  local names = {}
  for name in scale:named_buffers() do names[#names + 1] = name end
  check.equal(names, { "factor", "scratch", "late" })
  check.equal(#scale:parameters(), 0)
  local state = scale:state_dict()
  check.elements(state.factor, { 2 })
  check.elements(state.late, { 1 })
  check.equal(state.scratch, nil)
  -- The name is the buffer's, whichever tensor is under it.
  scale.factor = scale.factor * 3
  check.elements(scale:state_dict().factor, { 6 })
  check.equal(scale:double().factor.dtype, "float64")
  check.elements(mg.deepcopy(scale):state_dict().factor, { 6 })
  scale.late = nil
  check.equal(#scale:buffers(), 2)
  scale.late = nn.Buffer(mg.ones(1), false)
  check.equal(scale:state_dict().late, nil)
  -- It shares elements, and requires grad as the tensor did.
  local t = mg.ones(2)
  local buffer = nn.Buffer(t)
  t:fill_(3)
  check.elements(buffer, { 3, 3 })
  check.equal(buffer.requires_grad, false)
  check.equal(nn.Buffer(mg.ones(1, { requires_grad = true })).requires_grad, true)
  check.rejects("return nn.Buffer(3)", "Buffer: argument 1 (data): expected a tensor, got 3")
  check.rejects("return nn.Buffer(mg.ones(1), { persistant = true })", "Buffer: unknown option 'persistant'; did you mean 'persistent'? (known: data, persistent)")
end)

return check.done()

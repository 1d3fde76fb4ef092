-- Trees of modules, of Swift's and of scripts' alike: what is found by name, conversion, state, and containers that are taken
-- apart and put together. Keys and texts are PyTorch's.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn = mg.nn

local message_of, mentions = check.message_of, check.mentions

local Block = nn.Module "Block"
function Block:init()
  self.inner = nn.Linear(2, 3)
  self:register_buffer("scale", mg.ones(2))
  self:register_buffer("scratch", mg.ones(1), { persistent = false })
end
function Block:forward(x) return self.inner(x * self.scale):relu() end
function Block:extra_repr() return "kind=small" end

local Net = nn.Module("Net")
function Net:init()
  self.body = nn.Sequential(Block(), nn.Linear(3, 3))
  self.head = nn.Linear(3, 1)
end
function Net:forward(x) return self.head(self.body(x)) end

local function names(list)
  local result = {}
  for name in list do result[#result + 1] = name end
  return table.concat(result, " ")
end

check.case("what is found, and under which names", function()
  local net = Net()
  check.equal(names(net:named_parameters()), "body.0.inner.weight body.0.inner.bias body.1.weight body.1.bias head.weight head.bias")
  check.equal(names(net:named_parameters("net")), "net.body.0.inner.weight net.body.0.inner.bias net.body.1.weight net.body.1.bias net.head.weight net.head.bias")
  check.equal(names(net.body[1]:named_parameters{ recurse = false }), "")
  check.equal(names(net:named_buffers()), "body.0.scale body.0.scratch")
  check.equal(names(net:named_modules()), " body body.0 body.0.inner body.1 head")
  check.equal(names(net:named_children()), "body head")
  check.equal(#net:parameters(), 6)
  check.equal(#net:parameters(false), 0)
  check.equal(#net:modules(), 6)
  check.is_true(net:get_parameter "body.0.inner.weight" == net.body[1].inner.weight)
  check.is_true(net:get_buffer "body.0.scale" == net.body[1].scale)
  check.is_true(net:get_submodule "body.0" == net.body[1])
  check.is_true(net:get_submodule "" == net)
  mentions(message_of(net.get_submodule, net, "body.7"), "'body' has no module '7'", "0, 1")
  mentions(message_of(net.get_parameter, net, "head.wieght"), "Linear has no parameter 'wieght'", "weight, bias")
  mentions(message_of(net.get_buffer, net, "scale"), "Net has no buffer")
  mentions(message_of(net.get_parameter, net, 3), "dotted name")
  check.is_true(net:has "head" and not net:has "tail" and net.head:has "weight" and not net.head:has "wieght")
  check.is_true(not nn.Linear(2, 2, { bias = false }):has "bias")
  check.is_true(nn.is(net, Net) and nn.is(net, nn.Module) and not nn.is(net, Block) and nn.is(net.head, nn.Linear))
  check.is_true(not nn.is(net.head, nn.ReLU) and not nn.is(3, Net) and nn.is(net.body, nn.Sequential) and nn.is(net, "Net"))
  -- A module that is there twice is listed once, unless that is asked for.
  local twice = nn.ModuleList{ net.head, net.head }
  check.equal(names(twice:named_modules()), " 0")
  check.equal(names(twice:named_modules{ remove_duplicate = false }), " 0 1")
  check.equal(names(twice:named_parameters()), "0.weight 0.bias")
  check.equal(names(twice:named_parameters{ remove_duplicate = false }), "0.weight 0.bias 1.weight 1.bias")
  check.equal(names(pairs(twice:state_dict())), "0.weight 0.bias 1.weight 1.bias")
  check.equal(tostring(net), [[
Net(
  (body): Sequential(
    (0): Block(
      kind=small
      (inner): Linear(in_features=2, out_features=3, bias=True)
    )
    (1): Linear(in_features=3, out_features=3, bias=True)
  )
  (head): Linear(in_features=3, out_features=1, bias=True)
)]])
  check.equal(tostring(nn.ModuleList{ nn.ReLU(), nn.ReLU(), nn.Tanh() }), "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)")
end)

check.case("conversion keeps the tensors, and optimizers that hold them", function()
  local net = Net()
  local weight = net.head.weight
  local opt = mg.optim.SGD(net:parameters(), { lr = 0.5, momentum = 0.9 })
  check.is_true(net:double() == net)
  check.equal(weight.dtype, "float64")
  check.equal(net.body[1].scale.dtype, "float64")
  local x = mg.ones(4, 2, { dtype = "float64" })
  net(x):sum():backward()
  local before = weight:detach():clone()
  local gradient = weight.grad
  opt:step()
  check.is_true(mg.allclose(weight, before - 0.5 * gradient))
  net:to("float32")
  check.equal(weight.grad.dtype, "float32")
  check.equal(net(x:float()).dtype, "float32")
  check.equal(net:to(mg.ones(1, { dtype = "float64" })).head.bias.dtype, "float64")
  check.equal(net:to{ dtype = "float32" }.head.bias.dtype, "float32")
  check.equal(net:half().head.bias.dtype, "float16")
  check.equal(net:bfloat16().head.bias.dtype, "bfloat16")
  check.equal(net:float().head.bias.dtype, "float32")
  -- A backward that would read the old elements says so.
  local y = net(x:float()):sum()
  net:double()
  mentions(message_of(y.backward, y), "replaced")
  mentions(message_of(net.to, net, "int64"), "float dtypes only")
  mentions(message_of(net.to, net, 3), "expected a dtype")
end)

check.case("state: saved, loaded, refused", function()
  local a, b = Net(), Net()
  local state = a:state_dict()
  check.equal(names(pairs(state)), "body.0.scale body.0.inner.weight body.0.inner.bias body.1.weight body.1.bias head.weight head.bias")
  local keys = b:load_state_dict(state)
  check.equal(tostring(keys), "<All keys matched successfully>")
  check.is_true(b.head.weight:equal(a.head.weight) and b.head.weight ~= a.head.weight)
  -- Names that a script adds count.
  state.extra = mg.ones(1)
  state["head.bias"] = nil
  state["head.weight"] = mg.ones(2, 2)
  local message = message_of(b.load_state_dict, b, state)
  mentions(message, "missing head.bias", "unexpected extra", "head.weight has shape [1, 3] here and [2, 2] in the state")
  state["head.weight"] = mg.ones(1, 3)
  keys = b:load_state_dict(state, { strict = false })
  check.equal(table.concat(keys.missing_keys, " "), "head.bias")
  check.equal(table.concat(keys.unexpected_keys, " "), "extra")
  mentions(tostring(keys), "head.bias", "extra")
  check.elements(b.head.weight:detach():flatten(), { 1, 1, 1 })
  -- The saved tensors themselves, dtype and all.
  local double = Net():double():state_dict()
  b:load_state_dict(double, { assign = true })
  check.equal(b.head.weight.dtype, "float64")
  check.is_true(b.head.weight.is_parameter and b.head.weight.requires_grad)
  check.equal(b.body[1].scale.dtype, "float64")
  -- keep_vars gives the parameters themselves.
  check.is_true(a:state_dict{ keep_vars = true }["head.weight"] == a.head.weight)
  check.equal(names(pairs(a.head:state_dict("head."))), "head.weight head.bias")
end)

check.case("lists are taken apart and put together", function()
  local function kinds(list)
    local result = {}
    for i, m in ipairs(list) do result[i] = tostring(m):match "%a+" end
    return table.concat(result, " ")
  end
  for _, class in ipairs { nn.Sequential, nn.ModuleList } do
    local list = class{ nn.ReLU(), nn.Tanh() }
    check.is_true(list:append(nn.Sigmoid()) == list)
    check.equal(kinds(list), "ReLU Tanh Sigmoid")
    list:insert(1, nn.GELU())
    list:insert(-1, nn.ELU())
    check.equal(kinds(list), "GELU ReLU Tanh ELU Sigmoid")
    list:insert(6, nn.SiLU())
    check.equal(kinds(list), "GELU ReLU Tanh ELU Sigmoid SiLU")
    check.equal(tostring(list:pop()), "SiLU()")
    check.equal(tostring(list:pop(1)), "GELU(approximate='none')")
    check.equal(tostring(list:pop(-2)), "ELU(alpha=1.0)")
    check.equal(kinds(list), "ReLU Tanh Sigmoid")
    list:extend{ nn.Mish(), nn.ELU() }
    check.equal(kinds(list[{ { 2, 4 } }]), "Tanh Sigmoid Mish")
    check.equal(kinds(list[{ { 1, -1, 2 } }]), "ReLU Sigmoid ELU")
    check.is_true(nn.is(list[{ { 2, 3 } }], class))
    list[-1] = nn.Linear(2, 2)
    check.equal(names(list:named_parameters()), "4.weight 4.bias")
    list[#list] = nil
    table.insert(list, nn.Linear(1, 1))
    check.equal(names(list:named_parameters()), "4.weight 4.bias")
    check.equal(#list, 5)
    local count = 0
    for i, m in pairs(list) do
      count = count + 1
      check.is_true(m == list[i] and i == count)
    end
    check.equal(count, 5)
    check.equal(list[6], nil)
    for _, index in ipairs { 0, 7, -6, 1.5, 0 / 0 } do check.is_true(message_of(function() return list[index] end) ~= nil) end
    mentions(message_of(list.insert, list, 9, nn.ReLU()), "out of range")
    mentions(message_of(list.append, list, 3), "element 6 is not a module but a number")
    mentions(message_of(list.extend, list, { nn.ReLU(), "x" }), "element 7")
    check.equal(#list, 5)
    mentions(message_of(function() local empty = class{} empty:pop() end), "no element")
  end
  local named = nn.Sequential{ { "first", nn.Linear(2, 3) }, { "act", nn.ReLU() } }
  check.equal(names(named:named_parameters()), "first.weight first.bias")
  check.is_true(named[1] == named.first and named[-1] == named.act and #named == 2)
  check.equal(table.concat(named(mg.ones(1, 2)).shape, " "), "1 3")
  mentions(message_of(nn.Sequential, { { "a", nn.ReLU() }, nn.Tanh() }), "names")
  mentions(message_of(nn.Sequential, { { "a", nn.ReLU() }, { "a", nn.Tanh() } }), "twice")
  mentions(message_of(nn.Sequential(nn.ReLU()), mg.ones(1), mg.ones(1)), "takes 1 value")
end)

check.case("dictionaries, and lists of parameters", function()
  local d = nn.ModuleDict{ b = nn.Tanh(), a = nn.ReLU() }
  d.c = nn.Linear(1, 1)
  local keys = {}
  for name, m in pairs(d) do
    keys[#keys + 1] = name
    check.is_true(m == d[name])
  end
  check.equal(table.concat(keys, " "), "a b c")
  check.equal(table.concat(d:keys(), " "), "a b c")
  check.equal(#d, 3)
  check.equal(tostring(d:pop "b"), "Tanh()")
  check.equal(#d:values(), 2)
  d:update{ z = nn.GELU() }
  check.equal(names(d:items()), "a c z")
  mentions(message_of(d.pop, d, "y"), "no 'y'")
  mentions(message_of(function() d.bad = 3 end), "'bad' is not a module but a number")
  mentions(message_of(function() d[1] = nn.ReLU() end), "names are strings")
  check.equal(#d:clear(), 0)
  local list = nn.ParameterList{ mg.ones(2), nn.Parameter(mg.ones(3)) }
  check.is_true(list[1].is_parameter and list[1].requires_grad)
  check.equal(names(list:named_parameters()), "0 1")
  list:append(mg.ones(1))
  check.equal(#list:parameters(), 3)
  local p = nn.ParameterDict{ w = mg.ones(2) }
  check.equal(names(p:named_parameters()), "w")
  check.is_true(p.w.requires_grad)
end)

check.case("what would go wrong without a word is said", function()
  local Odd = nn.Module "Odd"
  function Odd:init() self.layers = { nn.Linear(1, 1), { nn.Linear(1, 1) } } end
  local odd = Odd()
  local warnings = mg.catch_warnings(function() return #odd:parameters() + #odd:parameters() end)
  check.equal(#warnings, 1)
  mentions(warnings[1], "'layers' of Odd", "nn.ModuleList")
  mentions(message_of(function() odd.train = nn.Linear(1, 1) end), "'train' is a method")
  mentions(message_of(function() odd.parameters = nn.Parameter(mg.ones(1)) end), "'parameters' is a method")
  mentions(message_of(odd), "Odd has no forward")
  -- A module within itself is listed once, and printed.
  odd.me = odd
  check.equal(#odd:modules(), 1)
  check.equal(names(pairs(odd:state_dict())), "")
  check.equal(tostring(odd), "Odd(\n  (me): Odd(…)\n)")
  odd:apply(function() end):train():eval():zero_grad()
  -- Nested deeper than a stack reaches.
  local Link = nn.Module "Link"
  local chain = Link()
  for _ = 1, 20000 do
    local outer = Link()
    outer.c = chain
    chain = outer
  end
  mentions(message_of(chain.parameters, chain), "more than 1000 deep")
  check.is_true(#tostring(chain) < 1e5)
  -- Sizes that are none.
  for _, make in ipairs { function() return nn.LSTM(1, 1 << 62) end, function() return nn.LSTM(1, 2, { num_layers = 1 << 62 }) end } do
    mentions(message_of(make), "LSTM")
  end
  check.is_true(message_of(mg.func.vmap(function(a) return a:diag(math.mininteger) end), mg.ones(2, 3)) ~= nil)
  -- Methods without their module.
  for _, name in ipairs { "parameters", "named_parameters", "children", "named_modules", "state_dict", "train", "eval", "zero_grad", "apply",
    "register_buffer", "register_forward_hook", "to", "double", "get_parameter", "requires_grad_" } do
    local method = nn.Module[name]
    for _, self in ipairs { 3, "x", {}, mg.ones(1) } do
      local message = message_of(method, self, "a", mg.ones(1))
      check.is_true(message ~= nil and message:find "self" ~= nil and not message:find "moongrad%.", name .. ": " .. tostring(message))
    end
    check.is_true(message_of(method) ~= nil)
  end
end)

return check.done()

-- Gradients that were once lost or silently wrong: of tensors where a plain number is usual, and of what was written to
-- after the forward pass.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local F = mg.nn.functional

local function leaf(value) return mg.tensor(value, { requires_grad = true }) end

local function message_of(f, ...)
  local ok, message = pcall(f, ...)
  if ok then check.fail "no error was raised" return "" end
  return tostring(message)
end

local function mentions(text, ...)
  for _, part in ipairs { ... } do
    if not text:find(part, 1, true) then check.fail(("the message does not have %q: %s"):format(part, text)) end
  end
end

-- What is written to between forward and backward ------------------------------------------------------------------

local mask, weight = mg.tensor{ true, false, true }, mg.tensor{ 1.0, 2.0, 0.5 }

for name, make in pairs {
  ["cross_entropy's weight"] = function(x)
    local w = weight:clone()
    return F.cross_entropy(x:view(1, 3), mg.tensor{ 2 }, w), w
  end,
  ["cross_entropy's labels"] = function(x)
    local labels = mg.tensor{ 2 }
    return F.cross_entropy(x:view(1, 3), labels, weight), labels
  end,
  ["nll_loss' weight"] = function(x)
    local w = weight:clone()
    return F.nll_loss(x:view(1, 3), mg.tensor{ 2 }, w), w
  end,
  ["where's condition"] = function(x)
    local m = mask:clone()
    return mg.where(m, x, 0), m
  end,
  ["masked_fill's mask"] = function(x)
    local m = mask:clone()
    return x:masked_fill(m, 1), m
  end,
  ["masked_select's mask"] = function(x)
    local m = mask:clone()
    return x:masked_select(m), m
  end,
  ["gather's index"] = function(x)
    local index = mg.tensor{ 3, 1 }
    return x:gather(1, index), index
  end,
  ["an index tensor"] = function(x)
    local index = mg.tensor{ 3, 1 }
    return x[index], index
  end,
  ["a mask that indexes"] = function(x)
    local m = mask:clone()
    return x[m], m
  end,
  ["an embedding's entries"] = function(x)
    local at = mg.tensor{ 1, 1 }
    local table = mg.nn.Embedding(3, 1)
    table.weight = mg.nn.Parameter(x:detach():view(3, 1))
    return table(at) * x:sum(), at
  end,
} do
  for write, act in pairs {
    ["in place"] = function(t) mg.no_grad(function() t:copy_(t:flip(1)) t:fill_(t[1]) end) end,
    ["by index"] = function(t) t[1] = t[-1] end,
    [".data ="] = function(t) t.data = t:flip(1):clone() end,
  } do
    check.case(name .. " written to, " .. write, function()
      local expected = leaf{ 0.5, -1.0, 2.0 }
      make(expected):sum():backward()
      local x = leaf{ 0.5, -1.0, 2.0 }
      local y, t = make(x)
      y = y:sum()
      act(t)
      local ok, message = pcall(y.backward, y)
      if ok then
        check.close(x.grad, expected.grad, 1e-6)
      else
        mentions(tostring(message), "Backward", "kept.lua:")
      end
    end)
  end
end

check.case("an optimizer's step and load_state_dict between forward and backward", function()
  for _, write in ipairs {
    function(net) mg.optim.SGD(net:parameters(), { lr = 0.1 }):step() end,
    function(net) mg.optim.Adam(net:parameters()):step() end,
    function(net) net:load_state_dict(mg.nn.Sequential(mg.nn.Linear(2, 2), mg.nn.Linear(2, 1)):state_dict()) end,
  } do
    local net = mg.nn.Sequential(mg.nn.Linear(2, 2), mg.nn.Linear(2, 1))
    local x = mg.ones(1, 2, { requires_grad = true })
    net(x):sum():backward()
    local loss = net(x):sum()
    write(net)
    mentions(message_of(loss.backward, loss), "modified by an in-place operation", "last at", "kept.lua:")
  end
end)

-- Tensors where a number is usual ----------------------------------------------------------------------------------

check.case("the gradient flows where PyTorch's does", function()
  local x, t = leaf{ 1.0, 2.0, 3.0 }, leaf(0.5)
  local function gradients(y) return mg.autograd.grad(y:sum(), { x, t }, { allow_unused = true }) end
  local function expect(y, gx, gt)
    local a, b = gradients(y)
    check.close(a, mg.tensor(gx, { dtype = "float32" }), 1e-6)
    check.close(b, mg.tensor(gt), 1e-6)
  end
  expect(x:masked_fill(mask, t), { 0, 1, 0 }, 2.0)
  expect((x * 1):masked_fill_(mask, t), { 0, 1, 0 }, 2.0)
  expect((x * 1):fill_(t), { 0, 0, 0 }, 3.0)
  expect(x:clamp(leaf(2.5):detach(), t * 5), { 0, 0, 0 }, 5.0)
  expect(x:clamp{ min = t * 4 }, { 0, 0, 1 }, 4.0)
  expect(x:scatter(1, mg.tensor{ 1, 3 }, t), { 0, 1, 0 }, 2.0)
  expect(x ^ t, { 0.5, 0.5 * 2 ^ -0.5, 0.5 * 3 ^ -0.5 }, (2 ^ 0.5 * math.log(2) + 3 ^ 0.5 * math.log(3)))
  local c = x * 1
  c[1] = t
  expect(c, { 0, 1, 1 }, 1.0)
  c = x * 1
  c[1]:fill_(t)
  expect(c, { 0, 1, 1 }, 1.0)
  c = x * 1
  c[mask] = t
  expect(c, { 0, 1, 0 }, 2.0)
  check.equal(c.grad_fn.name, "IndexPutBackward0")
end)

check.case("elsewhere it is refused, in one sentence", function()
  local x, t = leaf{ 1.0, 2.0, 3.0 }, leaf(0.5)
  local m = mg.ones(3, 3)
  for name, call in pairs {
    addcmul = function() return x:addcmul(x, x, { value = t }) end,
    addcdiv = function() return x:addcdiv(x, x, { value = t }) end,
    addmm = function() return m:addmm(m, m, { beta = t }) end,
    leaky_relu = function() return F.leaky_relu(x, t) end,
    elu = function() return F.elu(x, t) end,
    softplus = function() return F.softplus(x, { beta = t }) end,
    huber_loss = function() return F.huber_loss(x, x, { delta = t }) end,
    cross_entropy = function() return F.cross_entropy(m, mg.tensor{ 1, 2, 3 }, { label_smoothing = t }) end,
    norm = function() return x:norm(t) end,
    full = function() return mg.full({ 2 }, t) end,
    ["index assignment"] = function() local z = mg.zeros(2) z[{ { 1, 2 } }] = { t, t } end,
  } do
    mentions(message_of(call), name .. ":", "require", "grad", "lost", "detach()")
  end
  check.elements(F.leaky_relu(-x, t:detach()):detach(), { -0.5, -1, -1.5 })   -- a value may be given so
  local warnings = mg.catch_warnings(function() return mg.tensor{ t, t } end)
  check.equal(#warnings, 1)
end)

check.case("writes by index have PyTorch's nodes", function()
  local idx = mg.tensor{ 1, 3 }
  for name, write in pairs {
    MaskedFillBackward0 = function(c) c[mask] = 0 end, IndexFillBackward0 = function(c) c[idx] = 3 end,
    IndexPutBackward0 = function(c) c[idx] = mg.tensor{ 7.0, 8.0 } end, CopySlices = function(c) c[1] = 5 end,
  } do
    local x = leaf{ 1.0, 2.0, 3.0 }
    local c = x * 1
    write(c)
    check.equal(c.grad_fn.name, name)
    c:sum():backward()
    check.elements(x.grad, name == "CopySlices" and { 0, 1, 1 } or { 0, 1, 0 })
  end
end)

check.case("a number of rank 0 selected by index", function()
  local five = mg.tensor(5)
  check.equal(five:index_select(1, mg.tensor{ 1 }):item(), 5)
  mentions(message_of(function() return five:index_select(1, mg.zeros(0, { dtype = "int64" })) end), "index_select", "[0]")
  mentions(message_of(function() return five:index_select(1, mg.tensor{ 1, 1, 1 }) end), "index_select", "[3]")
end)

check.case("norm's gradient at 0 below order 1, and a pack hook that writes", function()
  local x = leaf{ 0.0, 1.0 }
  x:norm(0.5):backward()
  check.elements(x.grad, { 0, 1 })
  local y = leaf{ 1.0, 2.0 }
  mentions(message_of(function()
    mg.autograd.saved_tensors_hooks(function(t) t:zero_() return t end, function(t) return t end, function() return y * y end)
  end), "pack", "clone()")
  check.elements(y:detach(), { 1, 2 })
end)

return check.done()

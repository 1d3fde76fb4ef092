-- Gradients that were once lost or silently wrong: of tensors where a plain number is usual, and of what was written to
-- after the forward pass.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local F = mg.nn.functional

local function leaf(value) return mg.tensor(value, { requires_grad = true }) end

local message_of, mentions = check.message_of, check.mentions

-- What is written to between forward and backward ------------------------------------------------------------------

local mask, weight = mg.tensor{ true, false, true }, mg.tensor{ 1.0, 2.0, 0.5 }

-- What is computed of x and of what will be written to; that; and what will be written. With that in its place the gradient
-- would be another, so that one which reads it unnoticed is seen. (The weight of a mean over one row would cancel out.)
local function rows(x) return mg.stack{ x, x * 2 } end

for name, case in pairs {
  ["cross_entropy's weight"] = {
    function(x, w) return F.cross_entropy(rows(x), mg.tensor{ 2, 3 }, w) end, weight, mg.tensor{ 0.25, 3.0, 4.0 },
  },
  ["cross_entropy's labels"] = {
    function(x, labels) return F.cross_entropy(rows(x), labels, weight) end, mg.tensor{ 2, 3 }, mg.tensor{ 1, 2 },
  },
  ["nll_loss' weight"] = {
    function(x, w) return F.nll_loss(rows(x), mg.tensor{ 2, 3 }, w) end, weight, mg.tensor{ 0.25, 3.0, 4.0 },
  },
  ["nll_loss' labels"] = {
    function(x, labels) return F.nll_loss(rows(x), labels, weight) end, mg.tensor{ 2, 3 }, mg.tensor{ 1, 2 },
  },
  ["where's condition"] = { function(x, m) return mg.where(m, x, 0) end, mask, mg.tensor{ false, true, true } },
  ["masked_fill's mask"] = { function(x, m) return x:masked_fill(m, 1) end, mask, mg.tensor{ false, true, true } },
  ["masked_select's mask"] = { function(x, m) return x:masked_select(m) end, mask, mg.tensor{ false, true, true } },
  ["a mask that indexes"] = { function(x, m) return x[m] end, mask, mg.tensor{ false, true, true } },
  ["gather's index"] = { function(x, index) return x:gather(1, index) end, mg.tensor{ 3, 1 }, mg.tensor{ 2, 2 } },
  ["an index tensor"] = { function(x, index) return x[index] end, mg.tensor{ 3, 1 }, mg.tensor{ 2, 2 } },
  ["an embedding's entries"] = {
    function(x, at) return mg.func.functional_call(mg.nn.Embedding(3, 1), { weight = x:view(3, 1) }, at) end,
    mg.tensor{ 1, 1 }, mg.tensor{ 3, 2 },
  },
} do
  local make, old, new = table.unpack(case)
  local function gradient(of, t)
    make(of, t):sum():backward()
    return of.grad
  end
  local expected = gradient(leaf{ 0.5, -1.0, 2.0 }, old)
  check.case(name .. ": the gradient depends on it", function()
    check.is_true(not expected:allclose(gradient(leaf{ 0.5, -1.0, 2.0 }, new)))
  end)
  for write, act in pairs {
    ["in place"] = function(t) t:copy_(new) end,
    ["filled"] = function(t) t:fill_(new[1]) end,
    ["by index"] = function(t) for i = 1, #t do t[i] = new[i] end end,
    [".data ="] = function(t) t.data = new:clone() end,
  } do
    check.case(name .. " written to, " .. write, function()
      local x, t = leaf{ 0.5, -1.0, 2.0 }, old:clone()
      local y = make(x, t):sum()
      act(t)
      check.is_true(not t:equal(old))
      local ok, message = pcall(y.backward, y)
      if ok then
        check.close(x.grad, expected, 1e-6)
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

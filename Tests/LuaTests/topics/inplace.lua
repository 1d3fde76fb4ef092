-- Writing in place: version counters, leaves, views of views, what a write does to histories, and what the errors say.
-- Values are PyTorch 2.15's.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local grad = mg.autograd.grad

local function leaf(...) return mg.tensor({ ... }, { requires_grad = true }) end
local function line(offset) return debug.getinfo(2, "l").currentline + offset end

local message_of, mentions = check.message_of, check.mentions

-- Values that were saved -----------------------------------------------------------------------------------------

check.case("the error names operation, shape, versions, and both lines", function()
  local y = leaf(1.0, 2.0) * 1
  local computed = line(1)
  local z = (y * y):sum()
  local written = line(1)
  y:add_(1)
  mentions(message_of(z.backward, z), "MulBackward0", "[2]", "version 1", "version 0", "in-place",
    ("inplace.lua:%d"):format(computed), ("inplace.lua:%d"):format(written))
end)

check.case("the last of several writes is named, and their number", function()
  local y = leaf(1.0, 2.0) * 1
  local z = (y * y):sum()
  y:add_(1)
  y[1] = 5
  local written = line(1)
  y:mul_(3)
  mentions(message_of(z.backward, z), "version 3", "version 0", ("inplace.lua:%d"):format(written))
end)

check.case("an operation's own result, written to", function()
  for name, backward in pairs {
    exp = "ExpBackward0", tanh = "TanhBackward0", sigmoid = "SigmoidBackward0", sqrt = "SqrtBackward0",
    relu = "ReluBackward0",
  } do
    local x = leaf(1.0, 2.0)
    local y = x[name](x)
    y:add_(1)
    mentions(message_of(function() y:sum():backward() end), backward, "result", "[2]", "version 1")
  end
end)

check.case("what saved nothing does not mind", function()
  local x = leaf(1.0, 2.0)
  local y = x + 1
  local z = y + y
  y:mul_(5)
  z:sum():backward()
  check.elements(x.grad, { 2, 2 })
  x.grad = nil
  y = x * 3
  z = y * 2                                          -- a number is not written to
  y:zero_()
  z:sum():backward()
  check.elements(x.grad, { 6, 6 })
end)

check.case("an operand is minded only if the other one's gradient needs it", function()
  local x, c = leaf(1.0, 2.0), mg.ones(2)
  local y = x * 1
  local z = (y * c):sum()                            -- keeps c, not y
  y:zero_()
  z:backward()
  check.elements(x.grad, { 1, 1 })
  z = (x * c):sum()
  local written = line(1)
  c:add_(1)
  mentions(message_of(z.backward, z), "MulBackward0", ("inplace.lua:%d"):format(written))
end)

check.case("a write in no_grad counts too, such as an optimizer's", function()
  local x = leaf(1.0, 2.0)
  local loss = (x * x):sum()
  loss:backward(nil, { retain_graph = true })
  local written
  mg.no_grad(function()
    written = line(1)
    x:sub_(x.grad)
  end)
  mentions(message_of(loss.backward, loss), "version 1", ("inplace.lua:%d"):format(written))
  local w = mg.nn.Parameter(mg.ones(2))
  loss = (w * w):sum()
  loss:backward{ retain_graph = true }
  mg.optim.SGD({ w }, { lr = 0.1 }):step()
  mentions(message_of(loss.backward, loss), "version 1")
end)

check.case("an error at backward leaves the tape usable", function()
  local x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
  local y = x * 1
  local z = (y * y * w):sum()
  y:add_(1)
  mentions(message_of(z.backward, z), "version")
  x.grad, w.grad = nil, nil;
  (x * w):sum():backward()
  check.elements(x.grad, { 3, 4 })
  check.elements(w.grad, { 1, 2 })
end)

check.case("detach shares elements and the count", function()
  local x = leaf(1.0, 2.0)
  local y = x * 1
  local d = y:detach()
  local z = (y * y):sum()
  local written = line(1)
  d:zero_()
  check.equal({ y._version, d._version }, { 1, 1 })
  mentions(message_of(z.backward, z), "version 1", ("inplace.lua:%d"):format(written))
  y = x * 1
  y:detach()[1] = 5                                  -- harmless where nothing was saved
  y:sum():backward()
  check.elements(x.grad, { 1, 1 })
  check.elements(y:detach(), { 5, 2 })
end)

check.case(".data bypasses the count, with the gradients that come of it", function()
  local x = leaf(1.0, 2.0)
  local y = x * 1
  local z = (y * y):sum()
  y.data:zero_()
  check.equal(y._version, 0)
  z:backward()
  check.elements(x.grad, { 0, 0 })                   -- of the written values: wrong, but asked for
end)

check.case(".data exchanges the elements, not what was saved", function()
  local x = leaf(2.0)
  local y = x * x
  y.data = mg.tensor{ 5.0 }
  check.elements(y:detach(), { 5 })
  y:backward()
  check.elements(x.grad, { 4 })
end)

-- PyTorch's answer is 10, since it saves the tensor and not its elements: wrong without a word.
check.case("a leaf's .data exchanged between forward and backward", function()
  local x = leaf(2.0)
  local y = x * x
  x.data = mg.tensor{ 5.0 }
  local line = debug.getinfo(1, "l").currentline - 1
  mentions(message_of(y.backward, y), "MulBackward0", "replaced", "inplace.lua:" .. line)
  -- What is computed from the new elements has them for its own.
  local z = x * x
  z:backward()
  check.elements(x.grad, { 10 })
end)

-- Leaves ---------------------------------------------------------------------------------------------------------

check.case("leaves that require grad, and views of them, are not written while gradients are recorded", function()
  local x = leaf(1.0, 2.0)
  for _, write in ipairs {
    function() x:mul_(2) end, function() x:zero_() end, function() x:fill_(1) end, function() x:copy_(mg.ones(2)) end,
    function() x[1] = 3 end, function() x[mg.tensor{ true, false }] = 3 end, function() x[mg.tensor{ 1 }] = 3 end,
    function() x:view(2, 1):mul_(2) end, function() x[1]:mul_(2) end, function() x:t():zero_() end,
    function() x:clamp_(0, 1) end, function() x:masked_fill_(mg.tensor{ true, false }, 1) end,
  } do
    mentions(message_of(write), "leaf", "no_grad")
  end
  check.elements(x, { 1, 2 })
  check.equal(x._version, 0)
  mg.no_grad(function()
    x:mul_(2)
    x[1] = 7
    x:view(2, 1)[2]:fill_(9)
  end)
  check.elements(x, { 7, 9 })
  check.equal(x.is_leaf, true)
  check.equal(x._version, 3)
end)

check.case("a leaf without the flag is written, and becomes a result if what is written requires grad", function()
  local x, y = leaf(2.0, 3.0), mg.zeros(2, 2)
  y[1] = x
  y[2] = x * x
  check.equal(y.is_leaf, false)
  check.equal(y.grad_fn.name, "CopySlices")
  check.elements(grad(y:sum(), { x }), { 5, 7 })
end)

-- Histories ------------------------------------------------------------------------------------------------------

check.case("in-place operations are in the history", function()
  local x = leaf(1.0, 2.0)
  local y = x * 1
  y:pow_(2)
  y:clamp_(0, 3)
  check.elements(grad(y:sum(), { x }), { 2, 0 })
  y = x * 1
  y:tanh_()
  y:mul_(3)                                          -- overwrites the result that tanh_ keeps
  mentions(message_of(grad, y:sum(), { x }), "TanhBackward0", "version")
  y = x + 1
  y:exp_()
  check.close(grad(y:sum(), { x }), mg.tensor{ math.exp(2), math.exp(3) }, 1e-6)
  y = x * 1
  y:div_(x)
  check.elements(grad(y:sum(), { x }), { 0, 0 })
  y = x * 1
  y:masked_fill_(mg.tensor{ true, false }, 0)
  check.elements(grad(y:sum(), { x }), { 0, 1 })
end)

check.case("a tensor with itself", function()
  local x = leaf(2.0, 3.0)
  local y = x * 1
  y:add_(y)
  check.elements(grad(y:sum(), { x }), { 2, 2 })
  y = x * 1
  y:mul_(y:flip(1))
  check.elements(grad(y:sum(), { x }), { 6, 4 })
end)

check.case("y:mul_(y) and y[1]:mul_(y[2]): right, or an error, but not wrong", function()
  local x = leaf(2.0, 3.0)
  local y = x * 1
  y:mul_(y)                                          -- PyTorch raises: it saved what it overwrote
  local ok, g = pcall(grad, y:sum(), { x })
  if ok then check.elements(g, { 4, 6 }) else mentions(tostring(g), "version") end
  y = x * 1
  y[1]:mul_(y[2])
  ok, g = pcall(grad, y:sum(), { x })
  if ok then check.elements(g, { 3, 3 }) else mentions(tostring(g), "version") end
end)

check.case("elements set one by one", function()
  local x = leaf(1.0, 2.0, 3.0)
  local y = x * 3
  y[1] = x[2] * x[2]
  local g = grad(y, { x }, mg.tensor{ 1.0, 10.0, 100.0 })
  check.elements(g, { 0, 34, 300 })                  -- 4 from the write and 30
  y = x * 1
  y[mg.tensor{ 1, 1 }] = 7
  check.elements(grad(y:sum(), { x }), { 0, 1, 1 })
  y = x * 1
  y[mg.tensor{ true, false, true }] = x[{ { 2, 3 } }] * 2
  check.elements(y:detach(), { 4, 2, 6 })
  check.elements(grad(y:sum(), { x }), { 0, 3, 2 })
end)

check.case("a view of a view, written", function()
  local x = leaf(1.0, 2.0, 3.0)
  local base = x * 1
  local view = base[{ { 1, 2 } }]
  local inner = view[{ { 2, 2 } }]
  inner:mul_(10)
  check.elements(base:detach(), { 1, 20, 3 })
  check.equal(base.grad_fn.name, "CopySlices")
  check.equal(view.grad_fn.name, "AsStridedBackward0")
  check.is_true(inner._base == base)
  check.elements(grad(base, { x }, mg.tensor{ 1.0, 2.0, 3.0 }, { retain_graph = true }), { 1, 20, 3 })
  check.elements(grad(view, { x }, mg.tensor{ 1.0, 2.0 }, { retain_graph = true }), { 1, 20, 0 })
  check.elements(grad(inner, { x }), { 0, 10, 0 })
end)

check.case("transposed and strided views, written twice", function()
  local x = leaf(1.0, 2.0, 3.0, 4.0)
  local base = x * 1
  local view = base:view(2, 2):t()
  view[1]:mul_(3)
  view:add_(1)
  check.elements(base:detach(), { 4, 3, 10, 5 })
  check.elements(grad(base, { x }, mg.tensor{ 1.0, 2.0, 3.0, 4.0 }), { 3, 2, 9, 4 })
  base = x * 1
  base[{ { 1, 4, 2 } }]:mul_(5)                      -- every second
  check.elements(grad(base:sum(), { x }), { 5, 1, 5, 1 })
end)

check.case("a chain of writes to base and views in turn", function()
  local x = leaf(1.0, 2.0)
  local base = x * 1
  local view = base[{ { 1, 1 } }]
  view:mul_(2)
  base:mul_(3)
  view:mul_(5)
  base[2] = base[1] * 7
  check.elements(base:detach(), { 30, 210 })
  check.elements(grad(base:sum(), { x }, { retain_graph = true }), { 240, 0 })
  check.elements(grad(view:sum(), { x }), { 30, 0 })
end)

check.case("overwriting a view's base with a constant gives zeros", function()
  local x = leaf(2.0, 3.0)
  local y = x * 1
  local v = y[1]
  y:zero_()
  check.equal(v:item(), 0.0)
  check.elements(grad(v, { x }), { 0, 0 })
end)

check.case("a value saved of a view is spoiled by a write to its base, and the other way round", function()
  local x = leaf(2.0, 3.0)
  local base = x * 1
  local view = base:view(2, 1)
  local z = (view * view):sum()
  base:mul_(2)
  mentions(message_of(z.backward, z), "MulBackward0", "[2, 1]", "version 1")
  base = x * 1
  z = (base * base):sum()
  base[1]:zero_()
  mentions(message_of(z.backward, z), "MulBackward0", "[2]", "version 1")
end)

check.case("writing what does not fit", function()
  local y = leaf(1.0, 2.0) * 1
  check.equal(pcall(y.add_, y, mg.ones(2, 2)), false)
  check.equal(pcall(function() mg.ones(2, { dtype = "int64" }):add_(leaf(1.0, 2.0)) end), false)
  mentions(message_of(function() mg.zeros(1):expand(3):add_(1) end), "expanded", "[3]")
  check.elements(y:detach(), { 1, 2 })
  check.equal(y._version, 0)                         -- and counts nothing
end)

check.case("double backward through writes", function()
  local x = leaf(2.0, 3.0)
  local y = x * 1
  y[{ { 1, 1 } }]:mul_(x[{ { 2, 2 } }])
  -- y = (x₁x₂, x₂); of Σ y²: (2x₁x₂², 2x₁²x₂ + 2x₂) = (36, 30).
  local g = grad((y ^ 2):sum(), { x }, { create_graph = true })
  check.elements(g, { 36, 30 })
  -- Of its sum: (2x₂² + 4x₁x₂, 4x₁x₂ + 2x₁² + 2) = (42, 34).
  check.elements(grad(g:sum(), { x }), { 42, 34 })
end)

-- Views that are refused -----------------------------------------------------------------------------------------

check.case("views made under no_grad", function()
  local x = leaf(1.0, 2.0)
  local base = x * 1
  local view = mg.no_grad(function() return base:view(2, 1) end)
  mentions(message_of(view.mul_, view, 2), "no_grad", "view")
  mentions(message_of(function() view[1] = 3 end), "no_grad", "view")
  check.elements(base:detach(), { 1, 2 })
  mg.no_grad(function() view:mul_(2) end)            -- both inside: not tracked
  check.equal({ base._version, view._version }, { 1, 1 })
  check.equal(base.grad_fn.name, "MulBackward0")
  check.elements(grad(base:sum(), { x }), { 1, 1 })
  local constant = mg.zeros(2)
  local other = mg.no_grad(function() return constant:view(2, 1) end)
  mentions(message_of(other.mul_, other, x:view(2, 1)), "no_grad", "view")
  other:mul_(2)                                      -- nothing to record
end)

check.case("views made in inference_mode", function()
  for _, base in ipairs { leaf(1.0, 2.0) * 1, mg.ones(2) } do
    local view = mg.inference_mode(function() return base:view(2, 1) end)
    mentions(message_of(view.mul_, view, leaf(1.0)), "mul_", "inference_mode", "view")
    mentions(message_of(function() view[1] = leaf(3.0)[1] end), "index assignment", "inference_mode", "view")
  end
  local base = leaf(1.0, 2.0) * 1
  local view = mg.inference_mode(function() return base:view(2, 1) end)
  base:mul_(2)
  mentions(message_of(function() return view.grad_fn end), "inference_mode", "view")
end)

check.case("a view made under no_grad whose base is written outside of it", function()
  local base = leaf(1.0, 2.0) * 1
  local view = mg.no_grad(function() return base:view(2, 1) end)
  base:mul_(2)
  mentions(message_of(function() return view.grad_fn end), "no_grad", "view")
end)

check.case("views that an operation returned several of", function()
  local x = leaf(1.0, 2.0)
  for _, split in ipairs {
    function(t) return t:unbind() end, function(t) return t:split(1) end, function(t) return t:chunk(2) end,
  } do
    local base = x * 1
    local parts = split(base)
    mentions(message_of(parts[1].mul_, parts[1], 2), "view", "clone()")
    check.elements(grad(parts[2]:sum(), { x }), { 0, 1 })
    local constant = mg.ones(2)
    parts = split(constant)
    parts[1]:mul_(3)                                 -- nothing to record
    check.elements(constant, { 3, 1 })
    mentions(message_of(parts[1].mul_, parts[1], x[{ { 1, 1 } }]:sum()), "view")
  end
end)

check.case("several views, and their base is written: right, or an error, but not wrong", function()
  local x = leaf(1.0, 2.0)
  local base = x * 1
  local parts = base:unbind()
  base:mul_(2)                                       -- PyTorch refuses to use parts[1] from here on
  local ok, g = pcall(grad, parts[1], { x })
  if ok then check.elements(g, { 2, 0 }) else mentions(tostring(g), "view") end
end)

check.case("detach_", function()
  local x = leaf(2.0, 3.0)
  local y = x * 2
  check.is_true(y:detach_() == y)
  check.equal({ y.requires_grad, y.is_leaf }, { false, true })
  local view = (x * 2):view(2, 1)
  mentions(message_of(view.detach_, view), "view", "detach()")
end)

-- Version counts -------------------------------------------------------------------------------------------------

check.case("what counts as a write", function()
  local x = mg.zeros(2, 3)
  local count = 0
  local function counts(write)
    write()
    count = count + 1
    check.equal(x._version, count)
  end
  counts(function() x:add_(1) end)
  counts(function() x[1] = 2 end)
  counts(function() x[{ 1, 2 }] = 2 end)
  counts(function() x:zero_() end)
  counts(function() x:copy_(mg.ones(2, 3)) end)
  counts(function() x:view(6):mul_(2) end)
  counts(function() x:t():fill_(2) end)
  counts(function() x[mg.ones(2, 3):gt(0)] = 3 end)
  counts(function() x:detach():uniform_() end)
  counts(function() mg.no_grad(function() x:normal_() end) end)
  counts(function() x:add_(mg.zeros(3)) end)
  local before = x._version
  local _ = x + 1, x:clone(), x:view(6), x:sum(), tostring(x), x:tolist(), x:contiguous()
  pcall(x.add_, x, mg.ones(7))
  check.equal(x._version, before)
  check.equal(x:clone()._version, 0)                 -- a copy starts anew
end)

check.case("adding to a .grad counts for that tensor", function()
  local x = leaf(1.0, 2.0);
  (x * 2):sum():backward()
  local g = x.grad
  local w = leaf(3.0, 4.0)
  local y = (g * w):sum();
  (x * 2):sum():backward()                           -- into the same tensor
  check.is_true(x.grad == g)
  mentions(message_of(y.backward, y), "version")
end)

-- Other sizes in place --------------------------------------------------------------------------------------------

check.case("t_, unsqueeze_ and the like change what the tensor itself shows", function()
  local x = mg.tensor({ { 1.0, 2.0, 3.0 }, { 4.0, 5.0, 6.0 } }, { requires_grad = true })
  mentions(message_of(x.t_, x), "t_", "leaf")
  local y = x * 2
  check.is_true(y:t_() == y)
  check.equal({ y.shape[1], y.shape[2], y._version, y.grad_fn.name }, { 3, 2, 1, "TBackward0" })
  check.is_true(y.grad_fn.next_functions[1][1].name == "MulBackward0");
  (y * mg.tensor{ { 1.0, 2.0 }, { 3.0, 4.0 }, { 5.0, 6.0 } }):sum():backward()
  check.elements(x.grad:flatten(), { 2, 6, 10, 4, 8, 12 })
  local z = x * 2
  z:unsqueeze_(1):transpose_(1, 3):squeeze_():swapaxes_(1, 2):swapdims_(1, 2)
  check.equal({ z.shape[1], z.shape[2] }, { 3, 2 })
  check.elements(z:flatten(), { 2, 8, 4, 10, 6, 12 })
end)

check.case("a part that changes its sizes stays part of its base", function()
  local x = mg.tensor({ { 1.0, 2.0, 3.0 }, { 4.0, 5.0, 6.0 } }, { requires_grad = true })
  local y = x * 2
  local v = y[1]
  v:unsqueeze_(1)
  check.equal({ v.grad_fn.name, y.grad_fn.name }, { "UnsqueezeBackward0", "MulBackward0" })
  v:mul_(3)
  check.equal({ v.grad_fn.name, y.grad_fn.name }, { "AsStridedBackward0", "CopySlices" })
  y:sum():backward()
  check.elements(x.grad:flatten(), { 6, 6, 6, 2, 2, 2 })
  -- A base that changes its sizes: its parts stay where they are.
  y = mg.tensor{ { 1.0, 2.0, 3.0 }, { 4.0, 5.0, 6.0 } }
  v = y[1]
  y:t_()
  v:mul_(10)
  check.elements(y:flatten(), { 10, 4, 20, 5, 30, 6 })
end)

check.case("what a formula had kept notices other sizes; what kept a result does not", function()
  local x = mg.tensor({ { 1.0, 2.0, 3.0 }, { 4.0, 5.0, 6.0 } }, { requires_grad = true })
  local y = x * 2
  local z = (y * y):sum()
  y:t_()
  mentions(message_of(z.backward, z), "version 1", "version 0")
  y = x * 2
  z = y:exp():sum()
  y:t_()
  z:backward()
  local first = (x * 2):unbind(1)[1]
  mentions(message_of(first.unsqueeze_, first, 1), "unbind")
  local expanded = mg.ones(3):expand(2, 3)
  check.equal(#expanded:t_(), 3)
end)

check.case("comparisons write ones and zeros, and cut the history off", function()
  local x = leaf(1.0, 2.0, 3.0)
  local y = x * 1
  y:gt_(1.5)
  check.elements(y, { 0, 1, 1 })
  y:sum():backward()
  check.elements(x.grad:flatten(), { 0, 0, 0 })
  check.elements(mg.tensor{ 1, 2, 3 }:eq_(2), { 0, 1, 0 })
  check.elements(mg.tensor{ 0, 2, 3 }:logical_not_(), { 1, 0, 0 })
  check.elements(mg.tensor{ 4, 6, 9 }:gcd_(mg.tensor{ 6, 9, 3 }), { 2, 3, 3 })
  check.elements(mg.eye(2):addmm_(mg.ones(2, 2), mg.ones(2, 2), { beta = 3 }):flatten(), { 5, 2, 2, 5 })
end)

return check.done()

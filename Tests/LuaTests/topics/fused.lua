-- One kernel for several operations: its node answers for the nodes that PyTorch has in its place, and they run.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local F = mg.nn.functional

local function leaf(value) return mg.tensor(value, { requires_grad = true }) end

-- The names of a node and what it feeds, "Addmm(x, -)" without the ending.
local function drawn(node)
  if node == nil then return "-" end
  if node.name == "AccumulateGrad" then return "x" end
  local parts = {}
  for i, next in ipairs(node.next_functions) do parts[i] = drawn(next[1]) end
  return node.name:gsub("Backward", "") .. "(" .. table.concat(parts, ", ") .. ")"
end

local function linear()
  mg.manual_seed(0)
  local x, w, b = mg.randn(4, 3, { requires_grad = true }), mg.randn(2, 3, { requires_grad = true }), leaf{ 0.5, -1.0 }
  return x, w, b, F.linear(x, w, b)
end

local function labels()
  mg.manual_seed(1)
  local x = mg.randn(4, 3, { requires_grad = true })
  return x, F.cross_entropy(x, mg.tensor{ 1, 3, 2, 3 })
end

check.case("looking at a graph does not hide a write", function()
  for _, look in ipairs { false, true } do
    -- Transposed, so that the product's rows are no view of the input.
    local input, w = mg.ones(2, 4, 3), mg.ones(5, 4, { requires_grad = true })
    local y = F.linear(input:transpose(2, 3), w)
    input:zero_()
    if look then check.equal(#y.grad_fn.next_functions, 1) end
    check.mentions(check.message_of(function() y:sum():backward() end), "modified by an in-place operation", "fused.lua")
    check.equal(w.grad, nil)
    -- Nor does it hide new elements.
    local rows = mg.ones(3, 4)
    y = F.linear(rows, w)
    rows.data = mg.zeros(3, 4)
    if look then check.equal(#y.grad_fn.next_functions, 2) end
    check.mentions(check.message_of(function() y:sum():backward() end), "were replaced")
  end
end)

check.case("the graphs of linear", function()
  local w, b = mg.randn(2, 3, { requires_grad = true }), leaf{ 0.0, 0.0 }
  local function graph(x, bias) return drawn(F.linear(x, w, bias).grad_fn) end
  local function input(...) return mg.randn(..., { requires_grad = true }) end
  check.equal(graph(input{ 5, 3 }, b), "Addmm0(x, x, T0(x))")
  check.equal(graph(input{ 5, 3 }), "Mm0(x, T0(x))")
  check.equal(graph(input{ 2, 5, 3 }, b), "UnsafeView0(Addmm0(x, View0(x), T0(x)))")
  check.equal(graph(input{ 2, 5, 3 }), "UnsafeView0(Mm0(View0(x), T0(x)))")
  check.equal(graph(input{ 3 }, b), "UnsafeView0(Addmm0(x, View0(x), T0(x)))")
  check.equal(graph(input{ 3 }), "Squeeze4(Mm0(Unsqueeze0(x), T0(x)))")
  check.equal(graph(mg.randn(5, 3), b), "Addmm0(x, -, T0(x))")
  w.requires_grad = false
  check.equal(graph(input{ 5, 3 }, b), "Addmm0(x, x, -)")
end)

check.case("the same nodes at each reading", function()
  local _, _, _, y = linear()
  local t = y.grad_fn.next_functions[3][1]
  check.equal(t.name, "TBackward0")
  check.is_true(t == y.grad_fn.next_functions[3][1])
  local _, loss = labels()
  check.is_true(loss.grad_fn.next_functions[1][1] == loss.grad_fn.next_functions[1][1])
  check.equal(loss.grad_fn.next_functions[1][1].name, "LogSoftmaxBackward0")
end)

check.case("hooks on the nodes within fire, and see what passes there", function()
  local x, w, b, y = linear()
  local seen
  y.grad_fn.next_functions[3][1]:register_hook(function(inputs, outputs) seen = { inputs[1]:clone(), outputs[1]:clone() } end)
  y:sum():backward()
  check.equal({ seen[1].shape, seen[2].shape }, { { 2, 3 }, { 3, 2 } })
  check.is_true(seen[1]:equal(w.grad) and seen[2]:t():equal(w.grad))
  local x2, w2, b2, y2 = linear()
  y2:sum():backward()
  check.is_true(x.grad:allclose(x2.grad) and w.grad:allclose(w2.grad) and b.grad:allclose(b2.grad))

  local logits, loss = labels()
  local at
  loss.grad_fn.next_functions[1][1]:register_prehook(function(outputs) at = outputs[1]:clone() return { outputs[1] * 2 } end)
  loss:backward()
  check.close(at, mg.tensor{ { -0.25, 0, 0 }, { 0, 0, -0.25 }, { 0, -0.25, 0 }, { 0, 0, -0.25 } }, 1e-6)
  local plain, again = labels()
  again:backward()
  check.close(logits.grad, 2 * plain.grad, 1e-6)
end)

check.case("a hook on the fused node sees the inputs that are shown, in their order", function()
  local x, w, b, y = linear()
  local shapes
  y.grad_fn:register_hook(function(inputs)
    shapes = {}
    for i = 1, inputs.n do shapes[i] = inputs[i].shape end
  end)
  y:sum():backward()
  check.equal(shapes, { { 2 }, { 4, 3 }, { 3, 2 } })
end)

check.case("what is saved, by PyTorch's names", function()
  local x, w, b, y = linear()
  check.is_true(y.grad_fn.saved_mat1:equal(x) and y.grad_fn.saved_mat2:equal(w:t()))
  check.equal({ y.grad_fn.saved_alpha, y.grad_fn.saved_beta }, { 1.0, 1.0 })
  local logits, loss = labels()
  check.close(loss.grad_fn.next_functions[1][1].saved_result, F.log_softmax(logits, 2), 1e-6)
  check.equal(((leaf(2.0)) ^ 3).grad_fn.saved_exponent, 3)
  check.equal(mg.ones(2, 3, { requires_grad = true }):sum(2, true).grad_fn.saved_dim, { 2 })
  check.equal(mg.ones(2, 3, { requires_grad = true }):transpose(1, 2).grad_fn.saved_dim1, 2)
end)

check.case("second derivatives, looked at or not", function()
  for _, looks in ipairs { false, true } do
    local x, w, _, y = linear()
    if looks then local _ = y.grad_fn.next_functions end
    local g = mg.autograd.grad((y * y):sum(), { x }, { create_graph = true })
    local h = mg.autograd.grad((g * g):sum(), { w })
    local x2, w2 = x:detach():requires_grad_(), w:detach():requires_grad_()
    local z = x2:mm(w2:t()) + mg.tensor{ 0.5, -1.0 }
    local g2 = mg.autograd.grad((z * z):sum(), { x2 }, { create_graph = true })
    check.close(h, mg.autograd.grad((g2 * g2):sum(), { w2 }), 1e-4)

    local logits, loss = labels()
    if looks then local _ = loss.grad_fn.next_functions end
    local p = mg.autograd.grad(loss, { logits }, { create_graph = true })
    local q = mg.autograd.grad((p * p):sum(), { logits })
    local other = logits:detach():requires_grad_()
    local composed = -F.log_softmax(other, 2):gather(2, mg.tensor{ { 1 }, { 3 }, { 2 }, { 3 } }):mean()
    local p2 = mg.autograd.grad(composed, { other }, { create_graph = true })
    check.close(q, mg.autograd.grad((p2 * p2):sum(), { other }), 1e-6)
  end
end)

check.case("gradients of gradients that meet at a node within, which waits for those before it", function()
  local function second(loss, logits)
    local g = mg.autograd.grad(loss, { logits }, { create_graph = true })
    return mg.autograd.grad((g * g):sum(), { logits })
  end
  for _, f in ipairs { mg.tanh, mg.exp, mg.square, function(x) return x end } do
    local logits, loss = labels()
    local other = logits:detach():requires_grad_()
    local composed = -F.log_softmax(other, 2):gather(2, mg.tensor{ { 1 }, { 3 }, { 2 }, { 3 } }):mean()
    check.close(second(f(loss), logits), second(f(composed), other), 1e-6)
  end
end)

check.case("an input that was written to is noticed through the nodes within", function()
  for _, looks in ipairs { false, true } do
    local x, w, _, y = linear()
    if looks then local _ = y.grad_fn.next_functions end
    mg.no_grad(function() w:add_(1) end)
    local ok, message = pcall(y.backward, y, mg.ones(4, 2))
    check.is_true(not ok and tostring(message):find("modified by an in-place operation", 1, true))
    local _, loss = labels()
    if looks then local _ = loss.grad_fn.next_functions end
    loss:backward()
    ok, message = pcall(loss.backward, loss)
    check.is_true(not ok and tostring(message):find("freed by an earlier backward", 1, true))
  end
end)

check.case("a hook that looks while backward is under way changes nothing of it", function()
  local x, w, b, y = linear()
  local z = y * 1
  z:register_hook(function(g) local _ = y.grad_fn.next_functions return g end)
  z:sum():backward()
  local x2, w2, b2, y2 = linear()
  y2:sum():backward()
  check.is_true(x.grad:allclose(x2.grad) and w.grad:allclose(w2.grad) and b.grad:allclose(b2.grad))
end)

return check.done()

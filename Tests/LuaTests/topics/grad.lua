-- autograd.grad and backward: inputs, roots, gradients and options, and when graphs are used up. Values are PyTorch
-- 2.15's where they are not plain arithmetic.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local grad, backward = mg.autograd.grad, mg.autograd.backward

local function leaf(values) return mg.tensor(values, { requires_grad = true }) end

local message_of, mentions = check.message_of, check.mentions

-- Inputs ---------------------------------------------------------------------------------------------------------

check.case("one input without a list", function()
  local x = leaf(3.0)
  check.close(grad(x * x, x), 6)
  check.close(grad({ x * x }, { x }), 6)
end)

check.case("an input twice", function()
  local x = leaf(2.0)
  local a, b = grad(x * x, { x, x })
  check.close(a, 4)
  check.close(b, 4)
end)

check.case("roots and leaves as inputs of themselves", function()
  local x = leaf(2.0)
  local z = x * x
  check.close(grad(z, { z }, { retain_graph = true }), 1)
  check.close(grad(x, { x }), 1)
  check.close(grad({ x, z }, { x }), 5)
  check.equal(x.grad, nil)
  x:backward()
  check.close(x.grad, 1)
end)

check.case("a result in between", function()
  local x, w = leaf(2.0), leaf(3.0)
  local y = x * w
  local z = y * y
  local gw, gy, gz = grad(z, { w, y, z })
  check.close(gw, 24)
  check.close(gy, 12)
  check.close(gz, 1)
end)

check.case("one of several results of an operation", function()
  local x = mg.arange(4.0):requires_grad_()
  local parts = x:chunk(2)
  local y = (parts[1] * parts[2]):sum()
  local a, b = grad(y, { parts[1], parts[2] }, { retain_graph = true })
  check.elements(a, { 2, 3 })
  check.elements(b, { 0, 1 })
  check.elements(grad(y, { parts[2] }), { 0, 1 })
end)

check.case("views as inputs are other tensors than their base", function()
  local x = leaf{ 1.0, 2.0 }
  local v = x:view(2, 1)
  check.equal((grad((x * x):sum(), { v }, { allow_unused = true })), nil)
  check.elements(grad((v * v):sum(), { v }), { { 2 }, { 4 } })
end)

check.case("an unused input", function()
  local x, y = leaf{ 1.0, 2.0 }, leaf(3.0)
  mentions(message_of(grad, x:sum(), { x, y }), "grad: input 2", "allow_unused")
  local gx, gy = grad(x:sum(), { x, y }, { allow_unused = true })
  check.elements(gx, { 1, 1 })
  check.equal(gy, nil)
  gy, gx = grad(x:sum(), { y, x }, { allow_unused = true })
  check.equal(gy, nil)
  check.elements(gx, { 1, 1 })
  check.equal(select("#", grad(x:sum(), { x, y }, { allow_unused = true })), 2)
  gx, gy = grad(x:sum(), { x, leaf{ { 1.0 }, { 2.0 } } }, { materialize_grads = true })
  check.elements(gy, { { 0 }, { 0 } })
  check.elements(gx, { 1, 1 })
  -- Contradictory, as in PyTorch.
  check.equal(pcall(grad, x:sum(), { x, y }, { allow_unused = false, materialize_grads = true }), false)
end)

check.case("an unused input leaves the graph usable", function()
  local x, y = leaf(2.0), leaf(3.0)
  local z = x * x
  check.equal(pcall(grad, z, { y }), false)
  check.close(grad(z, { x }), 4)
end)

check.case("inputs that do not require grad", function()
  local x = leaf{ 1.0, 2.0 }
  mentions(message_of(grad, x:sum(), { mg.ones(1) }), "grad: input 1", "does not require grad")
  mentions(message_of(grad, x:sum(), { x, mg.ones(1) }, { allow_unused = true }), "grad: input 2")
end)

check.case("no inputs, no outputs", function()
  local x = leaf{ 1.0, 2.0 }
  mentions(message_of(grad, x:sum(), {}), "grad", "inputs")
  mentions(message_of(grad, {}, { x }), "grad")
end)

check.case("only_inputs, which old scripts set to true, is known", function()
  local x = leaf{ 1.0, 2.0 }
  check.elements(grad((x * x):sum(), x, { only_inputs = true }), { 2, 4 })
  check.rejects("mg.autograd.grad(x:sum(), x, { only_inputs = false })",
    "grad: only_inputs can only be true: the gradients of other leaves are what backward gives", x)
end)

check.case("arguments of the wrong kind", function()
  check.rejects("mg.autograd.grad(3, x)", "grad: argument 1 (outputs): expected a tensor or a list of tensors, got 3")
  check.rejects("mg.autograd.grad(x, { 3 })", "grad: argument 2 (inputs): element 1 is not a tensor but 3", mg.ones(1))
  check.rejects("mg.autograd.grad(x, x, { retain_grph = true })",
    "grad: unknown option 'retain_grph'; did you mean 'retain_graph'? (known: …", mg.ones(1))
  check.rejects("mg.autograd.grad(x, x, { retain_graph = 1 })", "grad: option 'retain_graph'…", leaf(1.0))
  check.rejects("x:backward{ retain_graph = 1 }", "backward: option 'retain_graph'…", leaf(1.0))
end)

-- Roots and gradients --------------------------------------------------------------------------------------------

check.case("several roots, one of them twice, one inside of another", function()
  local x = leaf(2.0)
  local z = x * x
  local keep = { retain_graph = true }
  check.close(grad({ z, z }, { x }, keep), 8)
  check.close(grad({ z, z }, { x }, { mg.tensor(10.0), mg.tensor(100.0) }, keep), 440)
  local w = z * z
  check.close(grad({ z, w }, { x }, keep), 36)       -- 2x + 4x³
  local gz, gx = grad({ w, z }, { z, x }, keep)
  check.close(gz, 9)
  check.close(gx, 36)
  backward({ z, z }, nil, keep)
  check.close(x.grad, 8)
end)

check.case("gradients for some of the roots only", function()
  local x = leaf(2.0)
  check.close(grad({ x * x, x * 2 }, { x }, { nil, mg.tensor(10.0) }), 24)
  check.close(grad({ x * x, x * 2 }, { x }, { grad_outputs = { mg.tensor(10.0), nil } }), 42)
  backward({ x * x, x * 2 }, { nil, mg.tensor(10.0) })
  check.close(x.grad, 24)
end)

check.case("grad_outputs by place and by name", function()
  local x = leaf{ 1.0, 2.0 }
  local g = mg.tensor{ 10.0, 100.0 }
  for _, result in ipairs {
    grad(x * 3, x, g), grad(x * 3, { x }, { g }), grad(x * 3, { x }, { grad_outputs = g }),
    grad({ x * 3 }, { x }, { grad_outputs = { g } }), grad(x * 3, x, g, true, false),
    grad(x * 3, x, g, { retain_graph = true }),
  } do
    check.elements(result, { 30, 300 })
  end
  check.elements(g, { 10, 100 })
end)

check.case("gradients of the wrong shape or count", function()
  local x = leaf{ 1.0, 2.0 }
  mentions(message_of(grad, x * 2, { x }, mg.ones(3)), "[3]", "[2]")
  mentions(message_of(grad, x * 2, { x }, mg.ones(1)), "[1]", "[2]")
  mentions(message_of(grad, { x * 2, x * 3 }, { x }, { mg.ones(2) }), "2", "1")
  mentions(message_of(grad, x * 2, { x }), "[2]", "gradient")
  mentions(message_of(x.backward, x:sum(), mg.ones(1)), "[1]", "[]")
  mentions(message_of(backward, { x * 2 }, { mg.ones(3) }), "[3]", "[2]")
  mentions(message_of(backward, { x * 2, x }), "[2]")
  check.equal(x.grad, nil)
end)

check.case("a gradient of another dtype is converted", function()
  local x = leaf{ 1.0, 2.0 }
  for _, dtype in ipairs { "float64", "int64" } do
    local g = grad(x * 2, { x }, mg.ones(2, { dtype = dtype }))
    check.elements(g, { 2, 2 })
    check.equal(g.dtype, "float32")
  end
end)

check.case("a root of one element needs no gradient, whatever its rank", function()
  local x = leaf{ 1.0, 2.0 }
  check.elements(grad((x[{ { 1, 1 } }] * 2):view(1, 1), { x }), { 2, 0 })
end)

check.case("roots that do not require grad", function()
  local x = leaf{ 1.0, 2.0 }
  local phrase = "element %d of tensors does not require grad and does not have a grad_fn"
  check.raises(phrase:format(0), grad, mg.ones(1), { x })
  check.raises(phrase:format(1), grad, { x:sum(), mg.ones(1) }, { x })
  check.raises(phrase:format(1), backward, { x:sum(), mg.ones(1) })
  check.equal(x.grad, nil)                           -- nothing was begun
end)

-- What is shared -------------------------------------------------------------------------------------------------

check.case("a gradient that waits in three places is nobody's alias", function()
  local a = leaf{ 1.0, 2.0 }
  local b = a * 1
  local c = b + b
  local g = mg.tensor{ 3.0, 4.0 }
  local ga, gb, gc = grad({ c, b, a }, { a, b, c }, { g, g, g })
  check.elements(ga, { 12, 16 })                     -- 3 + 2·3 + 3
  check.elements(gb, { 9, 12 })
  check.elements(gc, { 3, 4 })
  ga:zero_()
  check.elements(gb, { 9, 12 })
  check.elements(gc, { 3, 4 })
  check.elements(g, { 3, 4 })
end)

check.case("leaves that get the same gradient do not share it", function()
  local a, b = leaf{ 1.0, 2.0 }, leaf{ 1.0, 2.0 }
  local g = mg.ones(2);
  (a + b):backward(g)
  a.grad:mul_(5)
  check.elements(a.grad, { 5, 5 })
  check.elements(b.grad, { 1, 1 })
  check.elements(g, { 1, 1 });
  (a + b):backward(g)
  check.elements(a.grad, { 6, 6 })
  check.elements(b.grad, { 2, 2 })
  check.elements(g, { 1, 1 })
end)

check.case("the gradient of a leaf that is a root is not the one that was given", function()
  local a = leaf{ 1.0, 2.0 }
  local g = mg.ones(2)
  a:backward(g)
  a:backward(g)
  check.elements(a.grad, { 2, 2 })
  check.elements(g, { 1, 1 })
end)

check.case("an expanded gradient becomes the leaf's own elements", function()
  local a = leaf{ 1.0, 2.0 }
  a:sum():backward()
  a.grad[1] = 5
  check.elements(a.grad, { 5, 1 })
  local b = leaf{ 1.0, 2.0 }
  b:view(2, 1):expand(2, 3):sum():backward()
  b.grad:mul_(2)
  check.elements(b.grad, { 6, 6 })
end)

check.case("diamonds", function()
  local a = leaf{ 1.0, 2.0 }
  local p = a * 1
  local q = p + p + p;
  (q + p * 2):sum():backward()
  check.elements(a.grad, { 5, 5 })
  -- 2ⁿ paths, walked once each node: 60 of them would not end otherwise.
  local x = leaf(1.0)
  local y = x
  for _ = 1, 60 do y = y + y end
  y:backward()
  check.equal(x.grad:item(), 2.0 ^ 60)
end)

-- Using graphs up ------------------------------------------------------------------------------------------------

check.case("retain_graph", function()
  local x = leaf{ 1.0, 2.0 }
  local y = (x * x):sum()
  y:backward(nil, { retain_graph = true })
  y:backward{ retain_graph = true }
  y:backward(nil, true)
  y:backward()
  check.elements(x.grad, { 8, 16 })
  mentions(message_of(y.backward, y), "retain_graph")
  mentions(message_of(grad, y, { x }), "retain_graph")
end)

check.case("the message of a used-up graph has both lines", function()
  local x = leaf{ 1.0, 2.0 }
  local recorded = debug.getinfo(1, "l").currentline + 1
  local y = (x * x):sum()
  local freed = debug.getinfo(1, "l").currentline + 1
  y:backward()
  mentions(message_of(y.backward, y), ("grad.lua:%d"):format(recorded), ("grad.lua:%d"):format(freed), "MulBackward0")
end)

check.case("grad frees what it ran through, and only that", function()
  local x, w = leaf(2.0), leaf(3.0)
  local z = x * x
  local y = z * w
  grad(y, { w })
  check.close(grad(z, { x }), 4)                     -- z's own was not needed for w
  check.equal(pcall(grad, y, { x }), false)
  z = x * x
  y = z * w
  grad(y, { z })
  check.close(grad(z, { x }), 4)
end)

check.case("unreachable branches are not executed", function()
  local x, w = leaf(2.0), leaf(3.0)
  local ran = false
  local Watch = mg.autograd.Function("Watch", {
    forward = function(_, t) return t * 1 end,
    backward = function(_, g)
      ran = true
      return g
    end,
  })
  local y = Watch(x) * w
  check.close(grad(y, { w }, { retain_graph = true }), 2)
  check.equal(ran, false)
  y:backward(nil, { inputs = { w } })
  check.equal(ran, false)
  check.equal(x.grad, nil)
  check.close(w.grad, 2)
end)

check.case("parts that two graphs share", function()
  local x = leaf{ 1.0, 2.0 }
  local y = x * x
  y:sum():backward()
  check.equal(pcall(function() y:sum():backward() end), false)
  x.grad = nil
  local z = x + 1;                                   -- keeps nothing
  (z * z):sum():backward()
  z:sum():backward()
  check.elements(x.grad, { 5, 7 })
end)

check.case("create_graph retains, unless told otherwise", function()
  local x = leaf(2.0)
  local z = x * x
  grad(z, { x }, { create_graph = true })
  grad(z, { x }, { create_graph = true, retain_graph = false })
  check.equal(pcall(grad, z, { x }), false)
end)

-- Gradients of gradients -----------------------------------------------------------------------------------------

check.case("five times", function()
  local x = leaf(2.0)
  local f, values = x ^ 4, {}
  for i = 1, 5 do
    f = grad(f, { x }, { create_graph = true })
    values[i] = f:item()
    if not f.requires_grad then break end            -- the fifth is a constant
  end
  check.equal({ values[1], values[2], values[3], values[4] }, { 32.0, 48.0, 48.0, 24.0 })
  check.equal(values[5] or 0.0, 0.0)
end)

check.case("mixed", function()
  local x, y = leaf(2.0), leaf(3.0)
  local gx, gy = grad(x ^ 2 * y ^ 3, { x, y }, { create_graph = true })
  -- ∂(2xy³ + 2·3x²y²)/∂x = 2y³ + 12xy² = 54 + 216; by y: 6xy² + 12x²y = 108 + 144.
  local hx, hy = grad({ gx, gy }, { x, y }, { mg.tensor(1.0), mg.tensor(2.0) })
  check.close(hx, 270)
  check.close(hy, 252)
end)

check.case("a Hessian's product with a vector", function()
  local x = leaf{ 1.0, 2.0, 3.0 }
  local g = grad((x ^ 3):sum(), { x }, { create_graph = true })
  check.elements(grad(g, { x }, mg.tensor{ 1.0, 10.0, 100.0 }), { 6, 120, 1800 })
end)

check.case("a penalty on the gradient, through backward", function()
  local x, w = leaf{ 1.0, 2.0 }, leaf{ 3.0, 4.0 }
  local g = grad((x * w):sum(), { x }, { create_graph = true });
  (g * g):sum():backward()
  check.elements(w.grad, { 6, 8 })
  check.equal(x.grad, nil)
end)

check.case("backward with create_graph", function()
  local x = leaf(2.0);
  (x * x):backward(nil, { create_graph = true })
  local g = x.grad
  check.equal(g.requires_grad, true)
  x.grad = nil
  g:backward()
  check.close(x.grad, 2)
  x.grad = nil;
  (x * 3):backward(nil, { create_graph = true })
  local first = x.grad;
  (x * x * x):backward(nil, { create_graph = true })
  check.is_true(x.grad ~= first)                     -- a new tensor, with both histories
  check.close(x.grad, 15)
  check.close(first, 3)
  x.grad = nil
end)

check.case("no_grad does not stop create_graph, and gradients are constants without it", function()
  local x = leaf(2.0)
  local z = x * x * x
  local g = mg.no_grad(function() return grad(z, { x }, { create_graph = true }) end)
  check.equal(g.requires_grad, true)
  check.close(grad(g, { x }), 12)
  check.equal(grad(x * x, { x }).requires_grad, false)
  check.equal(mg.is_grad_enabled(), true)
end)

-- backward's inputs ----------------------------------------------------------------------------------------------

check.case("backward to given inputs only", function()
  local x, w = leaf(2.0), leaf(3.0)
  local y = x * w
  local z = y * y
  z:backward(nil, { inputs = { x }, retain_graph = true })
  check.close(x.grad, 36)
  check.equal(w.grad, nil)
  z:backward{ inputs = w, retain_graph = true }
  check.close(w.grad, 24)
  check.close(x.grad, 36)
  backward(z, nil, { inputs = { x, x } })            -- twice is once
  check.close(x.grad, 72)
end)

check.case("a result among backward's inputs keeps its gradient", function()
  local x, w = leaf(2.0), leaf(3.0)
  local y = x * w
  local z = y * y
  z:backward(nil, { inputs = { y, w }, retain_graph = true })
  check.close(y.grad, 12)
  check.close(w.grad, 24)
  check.equal(x.grad, nil)
  z:backward(nil, { inputs = { y }, retain_graph = true })
  check.close(y.grad, 24)
  z:backward(nil, { inputs = { z } })
  check.close(z.grad, 1)
end)

check.case("backward's inputs that are wrong", function()
  local x, w = leaf(2.0), leaf(3.0)
  mentions(message_of(x.backward, x * x, nil, { inputs = {} }), "inputs", "backward")
  mentions(message_of(x.backward, x * x, nil, { inputs = { mg.ones(1) } }), "input 1", "does not require grad")
  mentions(message_of(x.backward, x * x, nil, { inputs = { 3 } }), "inputs", "element 1")
  check.equal(x.grad, nil);
  (x * x):backward(nil, { inputs = { w } })          -- unused is no mistake here
  check.equal(w.grad, nil)
end)

-- .grad ----------------------------------------------------------------------------------------------------------

check.case(".grad is assigned: shape and dtype must fit", function()
  local x = leaf{ 1.0, 2.0 }
  mentions(message_of(function() x.grad = mg.ones(1) end), "[1]", "[2]")
  mentions(message_of(function() x.grad = mg.ones(2, { dtype = "float64" }) end), "float64", "float32")
  mentions(message_of(function() x.grad = x end), "its own gradient")
  x.grad = mg.tensor{ 5.0, 6.0 };
  (x * 3):sum():backward()
  check.elements(x.grad, { 8, 9 })
  x.grad = nil
  check.equal(x.grad, nil)
  local constant = mg.ones(2)
  constant.grad = mg.ones(2)                         -- PyTorch allows it
  check.elements(constant.grad, { 1, 1 })
end)

check.case("a .grad that requires grad is added to in place", function()
  local x = leaf(2.0)
  x.grad = leaf(5.0);
  (x * 3):backward()
  check.close(x.grad, 8)
end)

check.case("a result's assigned .grad is left alone, a retained one adds up", function()
  local x = leaf{ 1.0, 2.0 }
  local y = x * 2
  y.grad = mg.ones(2)
  y:sum():backward()
  check.elements(y.grad, { 1, 1 })
  local z = x * 2
  z:retain_grad()
  check.equal(z.retains_grad, true)
  z:sum():backward(nil, { retain_graph = true })
  z:sum():backward()
  check.elements(z.grad, { 2, 2 })
  x:retain_grad()                                    -- nothing to do for a leaf
  check.equal(x.retains_grad, false)
end)

check.case("a leaf that was frozen after the forward pass gets nothing", function()
  local x, w = leaf(2.0), leaf(3.0)
  local y = x * w
  x.requires_grad = false
  y:backward()
  check.equal(x.grad, nil)
  check.close(w.grad, 2)
end)

check.case("a leaf that became a result in between", function()
  local x, w = mg.ones(2), leaf{ 1.0, 2.0 }
  x.requires_grad = true
  local y = (x * w):sum()
  mg.no_grad(function() x.requires_grad = false end)
  x:mul_(w)                                          -- x has a history now
  mentions(message_of(y.backward, y), "version")     -- and y's value of it is gone
end)

check.case("grad in a coroutine, with its own mode", function()
  local x = leaf(2.0)
  local thread = coroutine.wrap(function()
    local _ <close> = mg.no_grad()
    coroutine.yield()
    return grad(mg.enable_grad(function() return x * x end), { x })
  end)
  thread()
  check.close(thread(), 4)
  check.equal(mg.is_grad_enabled(), true)
end)

check.case("a batch of gradients at once", function()
  local x = leaf{ 1.0, 2.0, 3.0 }
  check.elements(grad(x * x, { x }, mg.eye(3), { is_grads_batched = true }), { { 2, 0, 0 }, { 0, 4, 0 }, { 0, 0, 6 } })
end)

-- Depth ----------------------------------------------------------------------------------------------------------

check.case("a chain of 150,000 operations, with values to save, through grad and backward", function()
  local x = leaf(1.0)
  local y = x
  for _ = 1, 150000 do y = y * x end
  check.close(grad(y, { x }, { retain_graph = true }), 150001)
  y:backward(nil, { inputs = { x } })
  check.close(x.grad, 150001)
  y = nil
  collectgarbage()
end)

check.case("a list of gradients may say its length, as those that hooks get do", function()
  local x = leaf(2.0)
  check.close(grad({ x * 3, x * 5 }, { x }, { n = 2, nil, mg.tensor(2.0) }), 13)
end)

check.case("options of the wrong kind are refused, not passed over", function()
  local x = leaf(2.0)
  check.raises("backward: option 'inputs': expected a tensor or a list of tensors, got true", function()
    (x * 2):backward({ inputs = true })
  end)
  check.raises("backward: option 'retain_graph': expected true or false, got tensors", function()
    (x * 2):backward({ retain_graph = x })
  end)
  check.raises("grad: option 'grad_outputs': expected a tensor or a list of tensors, got false", function()
    grad(x * 2, { x }, { grad_outputs = false })
  end)
  check.raises("grad: option 'allow_unused': expected true or false, got tensors", function() grad(x * 2, { x }, { allow_unused = x }) end)
end)

return check.done()

-- Custom functions: what they are given, what they may return, what is checked, and what goes on after an error. Where
-- a value is not plain arithmetic, it is PyTorch 2.15's.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local Function, grad = mg.autograd.Function, mg.autograd.grad

local function leaf(values) return mg.tensor(values, { requires_grad = true }) end

local message_of, mentions = check.message_of, check.mentions

local Double = Function("Double", {
  forward = function(_, x) return x * 2 end,
  backward = function(_, g) return g * 2 end,
})

local Square = Function("Square", {
  forward = function(ctx, x)
    ctx:save_for_backward(x)
    return x * x
  end,
  backward = function(ctx, g) return g * 2 * ctx:saved_tensors() end,
})

-- What goes in and comes out -------------------------------------------------------------------------------------

check.case("a function of one tensor", function()
  local x = leaf{ 1.0, 2.0 }
  local y = Double(x)
  check.equal(y.grad_fn.name, "DoubleBackward")
  check.equal(tostring(Double), "autograd.Function Double")
  check.equal(y.is_leaf, false)
  y:sum():backward()
  check.elements(x.grad, { 2, 2 })
end)

check.case("forward records nothing, and ctx is not shared between calls", function()
  local contexts, recorded = {}, nil
  local f = Function("F", {
    forward = function(ctx, x)
      contexts[#contexts + 1] = ctx
      recorded = (x * 2).requires_grad
      return x * 3
    end,
    backward = function(_, g) return g * 3 end,
  })
  local x = leaf(1.0)
  f(f(x)):backward()
  check.equal(recorded, false)
  check.is_true(contexts[1] ~= contexts[2])
  check.close(x.grad, 9)
end)

check.case("backward gets the ctx of its forward, fields and all", function()
  local f = Function("Scaled", {
    forward = function(ctx, x, factor)
      ctx.factor = factor
      return x * factor
    end,
    backward = function(ctx, g) return g * ctx.factor, nil end,
  })
  local x = leaf(1.0);
  (f(x, 3) + f(x, 5)):backward()
  check.close(x.grad, 8)
end)

check.case("arguments that are no tensors, nil among them and at the end", function()
  local seen
  local f = Function("F", {
    forward = function(ctx, a, n, text, list, b, ...)
      local needs = ctx.needs_input_grad
      seen = { n, text, list.x, select("#", ...), needs[1], needs[2], needs[5] }
      return a * b
    end,
    backward = function(_, g) return g * 10, nil, nil, nil, g * 100, nil, nil end,
  })
  local a, b = leaf(2.0), leaf(3.0)
  f(a, nil, "text", { x = 7 }, b, nil, nil):backward()
  check.equal(seen, { [2] = "text", [3] = 7, [4] = 2, [5] = true, [6] = false, [7] = true })
  check.close(a.grad, 10)
  check.close(b.grad, 100)
end)

check.case("needs_input_grad: by tensor, in forward and in backward, whatever the mode", function()
  local seen = {}
  local f = Function("F", {
    forward = function(ctx, ...)
      seen[#seen + 1] = table.pack(table.unpack(ctx.needs_input_grad, 1, select("#", ...)))
      return (...) * 1
    end,
    backward = function(ctx, g)
      seen[#seen + 1] = table.pack(table.unpack(ctx.needs_input_grad, 1, 4))
      return g, nil, nil, nil
    end,
  })
  f(leaf(1.0), mg.ones(1), nil, 3):backward()
  mg.no_grad(function() f(leaf(1.0), mg.ones(1), nil, 3) end)
  for _, list in ipairs(seen) do check.equal(list, { n = 4, true, false, false, false }) end
  check.equal(#seen, 3)
end)

check.case("results that are no tensors pass through, and have no gradient", function()
  local count
  local f = Function("F", {
    forward = function(_, x) return nil, x * 2, 5, "text", nil end,
    backward = function(_, ...)
      count = select("#", ...)
      return (...) and (...) * 2
    end,
  })
  local x = leaf{ 1.0 }
  local results = table.pack(f(x))
  check.equal(results.n, 5)
  check.equal(results[1], nil)
  check.equal(results[3], 5)
  check.equal(results[4], "text")
  results[2]:backward()
  check.elements(x.grad, { 2 })
  check.equal(count, 1)                              -- gradients come for the tensors only
end)

check.case("no results, no tensors, no arguments", function()
  local nothing = Function("Nothing", { forward = function() end, backward = function() end })
  check.equal(select("#", nothing(leaf(1.0))), 0)
  check.equal(select("#", nothing()), 0)
  local plain = Function("Plain", { forward = function(_, a, b) return a + b end, backward = function() end })
  check.equal(plain(2, 3), 5)
  check.equal(Double(mg.ones(1)).requires_grad, false)
  check.equal(Double(mg.ones(1)).grad_fn, nil)
end)

check.case("several inputs and outputs", function()
  local f = Function("F", {
    forward = function(ctx, a, b)
      ctx:save_for_backward(a, b)
      return a * b, a + b
    end,
    backward = function(ctx, product, sum)
      local a, b = ctx:saved_tensors()
      return product * b + sum, product * a + sum
    end,
  })
  local a, b = leaf{ 2.0 }, leaf{ 3.0 }
  local p, s = f(a, b)
  check.is_true(p.grad_fn == s.grad_fn);
  (p * 10 + s):backward()
  check.elements(a.grad, { 31 })
  check.elements(b.grad, { 21 })
end)

check.case("outputs that nothing came back to have zeros, or nil with set_materialize_grads(false)", function()
  for _, materializes in ipairs { true, false } do
    local seen
    local f = Function("F", {
      forward = function(ctx, x)
        ctx:set_materialize_grads(materializes)
        return x * 2, mg.cat{ x, x }
      end,
      backward = function(_, g, h)
        seen = h
        return g * 2
      end,
    })
    local x = leaf{ 1.0, 2.0 }
    f(x):sum():backward()
    check.elements(x.grad, { 2, 2 })
    if materializes then check.elements(seen, { 0, 0, 0, 0 }) else check.equal(seen, nil) end
  end
end)

check.case("one input twice gets both gradients", function()
  local f = Function("F", {
    forward = function(_, a, b) return a * b end,
    backward = function(_, g) return g * 2, g * 3 end,
  })
  local x = leaf{ 1.0 }
  f(x, x):backward()
  check.elements(x.grad, { 5 })
end)

check.case("a gradient for a tensor that needs none is dropped", function()
  local f = Function("F", {
    forward = function(_, a, b) return a * b end,
    backward = function(_, g) return g * 2, g * 3 end,
  })
  local x, t = leaf{ 1.0 }, mg.ones(1)
  f(x, t):backward()
  check.elements(x.grad, { 2 })
  check.equal(t.grad, nil)
end)

check.case("an input returned as it is: another tensor with the same elements and a history", function()
  local f = Function("Times5", { forward = function(_, x) return x end, backward = function(_, g) return g * 5 end })
  local x = leaf{ 1.0, 2.0 }
  local y = f(x)
  check.is_true(y ~= x)
  check.equal(y.grad_fn.name, "Times5Backward")
  check.equal(y:data_ptr(), x:data_ptr())
  check.equal(x.is_leaf, true)
  y:sum():backward()
  check.elements(x.grad, { 5, 5 })
  check.equal(mg.no_grad(function() return f(x).requires_grad end), false)
  local both = Function("Both", {
    forward = function(_, a, b) return a, b end,
    backward = function(_, g, h) return h * 2, g * 3 end,
  })
  local constant = mg.ones(2)
  local p, q = both(x, constant)
  check.equal(p.requires_grad, true)
  check.equal(q.requires_grad, true)
  check.is_true(q ~= constant)
  check.equal(constant.requires_grad, false)
end)

check.case("an input returned as it is must not be written: its own history would not know", function()
  local f = Function("Times5", { forward = function(_, x) return x end, backward = function(_, g) return g * 5 end })
  local x = leaf{ 1.0, 2.0 }
  local z = x * 1
  check.equal(pcall(function() f(z):mul_(2) end), false)
  -- A view made inside forward is no better.
  local view = Function("View", {
    forward = function(_, t) return t:view(2, 1) end,
    backward = function(_, g) return g:view(2) end,
  })
  check.equal(pcall(function() view(z):mul_(2) end), false)
  check.elements(z:detach(), { 1, 2 })
end)

check.case("one result twice", function()
  local f = Function("F", {
    forward = function(_, x)
      local t = x * 2
      return t, t
    end,
    backward = function(_, g, h) return g * 2 + h * 3 end,
  })
  local x = leaf{ 1.0 }
  local a, b = f(x);
  (a + b * 10):backward()
  check.elements(x.grad, { 32 })                     -- 2·1 + 3·10
end)

check.case("integer results have no gradient", function()
  local f = Function("F", { forward = function(_, x) return x:long() end, backward = function(_, g) return g end })
  local y = f(leaf{ 1.0 })
  check.equal(y.requires_grad, false)
  check.equal(y.grad_fn, nil)
end)

check.case("mark_non_differentiable", function()
  local seen
  local f = Function("F", {
    forward = function(ctx, x)
      local mask, copy = x:gt(1), x * 1
      ctx:mark_non_differentiable(mask, copy)
      return x * 2, mask, copy
    end,
    backward = function(_, g, mask, copy)
      seen = { mask == nil or mask:any():item(), copy:tolist() }
      return g * 2
    end,
  })
  local x = leaf{ 1.0, 2.0 }
  local y, mask, copy = f(x)
  check.equal({ y.requires_grad, mask.requires_grad, copy.requires_grad }, { true, false, false })
  y:sum():backward()
  check.elements(x.grad, { 2, 2 })
  check.equal(seen[2], { 0.0, 0.0 })
end)

-- Saved values ---------------------------------------------------------------------------------------------------

check.case("save_for_backward keeps tensors and nil, in their places", function()
  local seen
  local f = Function("F", {
    forward = function(ctx, x)
      ctx:save_for_backward(nil, x, nil, x, nil)
      return x * x
    end,
    backward = function(ctx, g)
      seen = table.pack(ctx:saved_tensors())
      return g
    end,
  })
  f(leaf{ 3.0 }):backward()
  check.equal(seen.n, 5)
  check.elements(seen[2], { 3 })
  check.elements(seen[4], { 3 })
  check.equal(seen[1], nil)
  check.equal(seen[5], nil)
end)

check.case("only tensors can be saved", function()
  local f = Function("F", { forward = function(ctx, x) ctx:save_for_backward(x, 5) end })
  check.raises(
    "save_for_backward: argument 2: expected a tensor or nil, got a number; keep other values as fields of ctx",
    f, leaf(1.0))
end)

check.case("a saved input that was written to since", function()
  local line
  local x = leaf{ 3.0, 4.0 }
  local y = x * 1
  local z = Square(y):sum()
  line = debug.getinfo(1, "l").currentline + 1
  y:add_(1)
  local message = message_of(z.backward, z)
  mentions(message, "SquareBackward", "[2]", "version 1", "version 0", ("functions.lua:%d"):format(line))
  check.equal(x.grad, nil)
end)

local Exp = Function("Exp", {
  forward = function(ctx, x)
    local y = x:exp()
    ctx:save_for_backward(y)
    return y
  end,
  backward = function(ctx, g) return g * ctx:saved_tensors() end,
})

check.case("a saved output that was written to since", function()
  local x = leaf{ 0.0, 0.0 }
  local y = Exp(x)
  y:add_(1)
  mentions(message_of(function() y:sum():backward() end), "ExpBackward", "version")
end)

check.case("a second backward finds what was saved freed, unless the graph is retained", function()
  local x = leaf(3.0)
  local y = Square(x)
  y:backward(nil, { retain_graph = true })
  y:backward()
  check.close(x.grad, 12)
  mentions(message_of(y.backward, y), "SquareBackward", "retain_graph")
  local z = Double(x)                                -- saved nothing
  z:backward()
  z:backward()
  check.close(x.grad, 16)
end)

check.case("saved tensors are there only while backward runs", function()
  local kept
  local f = Function("F", {
    forward = function(ctx, x)
      kept = ctx
      ctx:save_for_backward(x)
      return x * 2
    end,
    backward = function(_, g) return g end,
  })
  f(leaf(1.0)):backward()
  check.raises("saved_tensors: …", kept.saved_tensors, kept)
end)

check.case("what is saved may be what was saved already, or a constant that is spoiled", function()
  local x, c = leaf{ 3.0 }, mg.ones(1)
  local f = Function("F", {
    forward = function(ctx, t, constant)
      ctx:save_for_backward(constant)
      return t * constant
    end,
    backward = function(ctx, g) return g * ctx:saved_tensors(), nil end,
  })
  local y = f(x, c)
  c:add_(1)
  mentions(message_of(y.backward, y), "FBackward", "version 1")
end)

check.case("saved-tensor hooks see what custom functions save", function()
  local packed, unpacked = 0, 0
  local x = leaf{ 3.0 }
  local y = mg.autograd.saved_tensors_hooks(
    function(t) packed = packed + 1; return t:tolist() end,
    function(list) unpacked = unpacked + 1; return mg.tensor(list) end,
    Square, x)
  check.equal(packed, 1)
  y:backward()
  check.equal(unpacked, 1)
  check.elements(x.grad, { 6 })
end)

-- Double backward ------------------------------------------------------------------------------------------------

check.case("double backward through a saved input", function()
  local x = leaf(3.0)
  local g = grad(Square(x), { x }, { create_graph = true })
  check.close(g, 6)
  local h = grad(g, { x }, { create_graph = true })
  check.close(h, 2)
end)

check.case("double and triple backward through a saved output", function()
  local x = leaf(1.0)
  local g = grad(Exp(x), { x }, { create_graph = true })
  local h = grad(g, { x }, { create_graph = true })
  local k = grad(h, { x })
  for _, value in ipairs { g, h, k } do check.close(value, math.exp(1), 1e-6) end
end)

check.case("double backward through the incoming gradient", function()
  local x, w = leaf(2.0), leaf(3.0)
  -- y = w·(2x); dy/dx = 2w, whose derivative by w is 2.
  local g = grad(w * Double(x), { x }, { create_graph = true })
  check.close(g, 6)
  check.close(grad(g, { w }), 2)
end)

check.case("double backward through a tensor that backward closes over", function()
  local w = leaf(5.0)
  local f = Function("F", { forward = function(_, x) return x * w end, backward = function(_, g) return g * w end })
  local x = leaf(1.0)
  local y = f(x)
  local g = grad(y, { x }, { create_graph = true })
  check.close(g, 5)
  check.close(grad(g, { w }), 1)
  check.equal((grad(y, { w }, { allow_unused = true })), nil)
end)

check.case("what is saved in between has no history", function()
  local f = Function("F", {
    forward = function(ctx, x)
      local t = x * x
      ctx:save_for_backward(t)
      return t * x
    end,
    backward = function(ctx, g) return g * 3 * ctx:saved_tensors() end,
  })
  local x = leaf(2.0)
  local g = grad(f(x), { x }, { create_graph = true })
  check.close(g, 12)
  check.equal(pcall(grad, g, { x }), false)          -- not silently a wrong second derivative
end)

check.case("backward records only with create_graph", function()
  local recorded
  local f = Function("F", {
    forward = function(ctx, x)
      ctx:save_for_backward(x)
      return x * x
    end,
    backward = function(ctx, g)
      local result = g * 2 * ctx:saved_tensors()
      recorded = result.requires_grad
      return result
    end,
  })
  local x = leaf(3.0)
  f(x):backward()
  check.equal(recorded, false)
  grad(f(x), { x }, { create_graph = true })
  check.equal(recorded, true)
end)

check.case("once_differentiable", function()
  local recorded
  local f = Function("Once", {
    forward = function(ctx, x)
      ctx:save_for_backward(x)
      return x * x
    end,
    backward = function(ctx, g)
      local result = g * 2 * ctx:saved_tensors()
      recorded = result.requires_grad
      return result
    end,
    once_differentiable = true,
  })
  local x = leaf(3.0)
  f(x):backward()
  check.close(x.grad, 6)
  local g = grad(f(x), { x }, { create_graph = true })
  check.close(g, 6)
  check.equal(recorded, false)
  mentions(message_of(grad, g, { x }), "Once")
end)

-- In place -------------------------------------------------------------------------------------------------------

local DoubleInPlace = Function("DoubleInPlace", {
  forward = function(ctx, x)
    ctx:mark_dirty(x)
    x:mul_(2)
    return x
  end,
  backward = function(_, g) return g * 2 end,
})

check.case("mark_dirty: the input itself gets the history", function()
  local x = leaf{ 1.0, 2.0 }
  local z = x * 3
  local y = DoubleInPlace(z)
  check.is_true(y == z)
  check.equal(z.grad_fn.name, "DoubleInPlaceBackward")
  check.is_true(z._version >= 1)
  z:sum():backward()
  check.elements(z:detach(), { 6, 12 })
  check.elements(x.grad, { 6, 6 })
end)

check.case("mark_dirty on a view reaches its base", function()
  local x = leaf{ 1.0, 2.0 }
  local base = x * 1
  DoubleInPlace(base[{ { 1, 1 } }])
  check.equal(base.grad_fn.name, "CopySlices")
  base:sum():backward()
  check.elements(x.grad, { 2, 1 })
end)

check.case("mark_dirty on a constant makes no history, and on a leaf that requires grad it raises", function()
  local c = mg.ones(2)
  check.is_true(DoubleInPlace(c) == c)
  check.equal(c.requires_grad, false)
  check.elements(c, { 2, 2 })
  mentions(message_of(DoubleInPlace, leaf{ 1.0 }), "DoubleInPlace", "leaf")
end)

check.case("what mark_dirty says must be true", function()
  local unreturned = Function("F", {
    forward = function(ctx, x)
      ctx:mark_dirty(x)
      return x * 2
    end,
    backward = function(_, g) return g end,
  })
  mentions(message_of(unreturned, leaf{ 1.0 } * 1), "F: mark_dirty: tensor 1", "dirty", "results")
  local no_input = Function("G", {
    forward = function(ctx, x)
      local y = x * 2
      ctx:mark_dirty(y)
      return y
    end,
    backward = function(_, g) return g end,
  })
  mentions(message_of(no_input, leaf{ 1.0 } * 1), "G", "dirty", "inputs")
end)

check.case("a dirty input whose old value somebody saved", function()
  local x = leaf{ 1.0, 2.0 }
  local z = x * 1
  local w = (z * z):sum()
  DoubleInPlace(z)
  mentions(message_of(w.backward, w), "MulBackward0", "version")
end)

-- What is refused ------------------------------------------------------------------------------------------------

-- The message of a backward that returns these gradients for two arguments of shape [2].
local function returning(...)
  local results = table.pack(...)
  local f = Function("Bad", {
    forward = function(_, a) return a * 2 end,
    backward = function() return table.unpack(results, 1, results.n) end,
  })
  local a, b = leaf{ 1.0, 2.0 }, leaf{ 1.0, 2.0 }
  local y = f(a, b):sum()
  return message_of(y.backward, y), a.grad, b.grad
end

check.case("gradients of the wrong count, shape and kind", function()
  local g = mg.ones(2)
  mentions(returning(g), "Bad", "1 gradient,", "2 arguments")
  mentions(returning(), "Bad", "0 gradients", "2 arguments")
  mentions(returning(g, g, g), "Bad", "3 gradients", "2 arguments")
  mentions(returning(g, mg.ones(3)), "Bad", "[3]", "[2]", "input 2")
  mentions(returning(mg.ones(1), g), "Bad", "[1]", "[2]", "input 1")
  mentions(returning(g, 5), "Bad", "a number", "gradient 2")
  mentions(returning("text", g), "Bad", "a string", "gradient 1")
end)

check.case("gradients that are taken all the same", function()
  local _, a, b = returning(mg.ones(3, 2), nil, nil)   -- summed to the input's shape; more nils do no harm
  check.elements(a, { 3, 3 })
  check.equal(b, nil)
  _, a, b = returning(mg.ones(2, { dtype = "float64" }) * 3, mg.tensor{ 4, 5 })
  check.elements(a, { 3, 3 })
  check.equal(a.dtype, "float32")
  check.elements(b, { 4, 5 })
  check.equal(b.dtype, "float32")
end)

check.case("a gradient for an argument that is no tensor", function()
  local f = Function("F", { forward = function(_, x, _) return x * 2 end, backward = function(_, g) return g, g end })
  mentions(message_of(function() f(leaf(1.0), 3):backward() end), "F", "argument 2", "not a tensor")
end)

check.case("a function without backward works until a gradient is wanted", function()
  local f = Function("Forward", { forward = function(_, x) return x * 2 end })
  check.elements(f(mg.ones(1)), { 2 })
  local y = f(leaf(1.0))
  mentions(message_of(y.backward, y), "Forward", "no backward")
end)

check.case("the line of the script that such errors carry", function()
  local function returned(...)
    local results = table.pack(...)
    return Function("Bad", {
      forward = function(_, a) return a * 1 end,
      backward = function() return table.unpack(results, 1, results.n) end,
    })(leaf(1.0), 3)
  end
  check.rejects("x:backward()", "Bad: backward returned 1 gradient, but forward took 2 arguments…", returned(mg.ones{}))
  check.rejects("x:backward()", "Bad: backward returned 3 gradients, but forward took 2…", returned(mg.ones{}, nil, mg.ones{}))
  check.rejects("x:backward()", "Bad: backward returned a number as gradient 1…", returned(3, nil))
  check.rejects("x:backward()", "Bad: backward returned a gradient for argument 2…", returned(mg.ones{}, mg.ones{}))
  check.rejects("x:backward()", "BadBackward at …", Function("Bad", {
    forward = function(_, a) return a:sum() end, backward = function() return mg.ones(3) end,
  })(leaf{ 1.0, 2.0 }))
  local f = Function("F", { forward = function(_, x) return x * 1 end })
  check.rejects("x:backward()", "F has no backward, so nothing that needs a gradient can go through it", f(leaf(1.0)))

  -- Not in a tail call, which has no line.
  local function applied(mark) return Function("F", { forward = mark, backward = function(_, g) return g end }) end
  check.rejects("local y = x(mg.ones(1, { requires_grad = true }) * 1)",
    "F: mark_dirty: tensor 1 that was marked dirty is not among the results of forward",
    applied(function(ctx, x) ctx:mark_dirty(x) return x * 2 end))
  check.rejects("local y = x(mg.ones(1, { requires_grad = true }) * 1)",
    "FBackward: mark_dirty: a result of shape [1] is marked dirty but is none of the inputs",
    applied(function(ctx, x) local y = x * 2 ctx:mark_dirty(y) return y end))
  check.rejects("local y = x(mg.ones(1, { requires_grad = true }))",
    "FBackward: mark_dirty: a leaf tensor that requires grad cannot be written in place while gradients are recorded; …",
    applied(function(ctx, x) ctx:mark_dirty(x) return x end))
  check.rejects("local y = x(mg.ones(1):expand(2))", "FBackward: mark_dirty: cannot write into an expanded tensor…",
    applied(function(ctx, x) ctx:mark_dirty(x) return x end))
end)

check.case("definitions that are wrong", function()
  check.rejects("mg.autograd.Function(3)", "Function: argument 1: expected a name…")
  check.rejects("mg.autograd.Function 'F'", "Function: argument 2: expected a table with forward and backward, got nil")
  check.rejects("mg.autograd.Function('F', {})", "Function: F needs a field 'forward'")
  check.rejects("mg.autograd.Function('F', { forward = 3 })",
    "Function: field 'forward': expected a function, got a number")
  check.rejects("mg.autograd.Function('F', { forwad = print })",
    "Function: unknown field 'forwad'; did you mean 'forward'? (known: forward, backward, once_differentiable)")
  check.rejects("mg.autograd.Function('F', { forward = print, once_differentiable = 1 })",
    "Function: field 'once_differentiable': expected a boolean, got a number")
end)

check.case("ctx is told wrong things", function()
  local function with(body)
    return message_of(Function("F", { forward = function(ctx, x) body(ctx, x) return x * 1 end }), leaf(1.0))
  end
  mentions(with(function(ctx) ctx:mark_dirty(3) end), "mark_dirty: argument 1", "a number")
  mentions(with(function(ctx, x) ctx:mark_non_differentiable(x, {}) end),
    "mark_non_differentiable: argument 2", "a table")
  mentions(with(function(ctx) ctx:set_materialize_grads(1) end), "set_materialize_grads", "a number")
end)

check.case("methods of ctx that are misspelt, or called with '.'", function()
  local function says(message, body)
    local f = Function("F", { forward = function(ctx, x) body(ctx, x) return x * 1 end })
    local text = message_of(f, leaf(1.0))
    check.equal(text:gsub("^.-functions%.lua:%d+: ", ""), message)
    if not text:find "functions%.lua:%d+: " then check.fail("no line of the script: " .. text) end
  end
  local called = "%s: called on %s instead of ctx; methods are called with ':', not '.': ctx:%s(…)"
  says(called:format("save_for_backward", "a tensor", "save_for_backward"), function(ctx, x) ctx.save_for_backward(x) end)
  says(called:format("save_for_backward", "nil", "save_for_backward"), function(ctx) ctx.save_for_backward() end)
  says(called:format("mark_dirty", "a tensor", "mark_dirty"), function(ctx, x) ctx.mark_dirty(x) end)
  says(called:format("mark_non_differentiable", "a tensor", "mark_non_differentiable"),
    function(ctx, x) ctx.mark_non_differentiable(x) end)
  says(called:format("set_materialize_grads", "a boolean", "set_materialize_grads"),
    function(ctx) ctx.set_materialize_grads(false) end)
  says(called:format("saved_tensors", "nil", "saved_tensors"), function(ctx) ctx.saved_tensors() end)
  local unknown = "ctx has no field or method '%s'; did you mean '%s'?"
  says(unknown:format("save_for_backwards", "save_for_backward"), function(ctx, x) ctx:save_for_backwards(x) end)
  says(unknown:format("saved_tensor", "saved_tensors"), function(ctx) return ctx:saved_tensor() end)
  says(unknown:format("mark_dirt", "mark_dirty"), function(ctx, x) ctx:mark_dirt(x) end)
  says(unknown:format("set_materialise_grads", "set_materialize_grads"), function(ctx) ctx:set_materialise_grads(false) end)
  says(unknown:format("needs_input_grads", "needs_input_grad"), function(ctx) return ctx.needs_input_grads[1] end)
  says("attempt to call a nil value (method 'keep')", function(ctx, x) ctx:keep(x) end)
end)

check.case("fields of ctx that are the script's own", function()
  local seen
  local f = Function("F", {
    forward = function(ctx, x)
      seen = { ctx.n == nil, ctx.tensor == nil, ctx[1] == nil }
      ctx.n, ctx[1], ctx.saved_tensor = 3, "one", false   -- also one that is nearly ours
      return x * 1
    end,
    backward = function(ctx, g)
      seen[4], seen[5], seen[6] = ctx.n, ctx[1], ctx.saved_tensor
      return g
    end,
  })
  f(leaf(1.0)):backward()
  check.equal(seen, { true, true, true, 3, "one", false })
end)

-- After errors, and reentrantly ----------------------------------------------------------------------------------

check.case("an error in forward surfaces and leaves the mode", function()
  local reason = {}
  local f = Function("F", { forward = function() error(reason) end })
  local ok, caught = pcall(f, leaf(1.0))
  check.equal(ok, false)
  check.is_true(caught == reason)
  check.equal(mg.is_grad_enabled(), true)
end)

check.case("an error in backward surfaces, and the graph runs again", function()
  local fails = true
  local reason = {}
  local f = Function("F", {
    forward = function(ctx, x)
      ctx:save_for_backward(x)
      return x * x
    end,
    backward = function(ctx, g)
      if fails then error(reason) end
      return g * 2 * ctx:saved_tensors()
    end,
  })
  local x, w = leaf(3.0), leaf(4.0)
  local y = f(x) * w
  local _, ok, caught = mg.catch_warnings(pcall, y.backward, y, nil, { retain_graph = true })
  check.equal(ok, false)
  check.is_true(caught == reason)
  check.equal(mg.is_grad_enabled(), true)
  check.close(w.grad, 9)
  fails, w.grad = false, nil
  y:backward()
  check.close(x.grad, 24)
  check.close(w.grad, 9)
end)

check.case("errors have the script's position", function()
  local line = debug.getinfo(1, "l").currentline + 1
  local f = Function("F", { forward = function(_, x) return x end, backward = function() error "no" end })
  local y = f(leaf(1.0))
  mentions(message_of(y.backward, y), ("functions.lua:%d: no"):format(line))
end)

check.case("forward may yield, and the mode stays with its coroutine", function()
  local f = Function("F", {
    forward = function(ctx, x)
      ctx:save_for_backward(x)
      coroutine.yield(mg.is_grad_enabled())
      return x * x
    end,
    backward = function(ctx, g) return g * 2 * ctx:saved_tensors() end,
  })
  local x = leaf(3.0)
  local thread = coroutine.wrap(function() return f(x) end)
  check.equal(thread(), false)
  check.equal(mg.is_grad_enabled(), true)
  local y = thread()
  y:backward()
  check.close(x.grad, 6)
end)

check.case("a coroutine that dies in forward", function()
  local f = Function("F", { forward = function() coroutine.yield() end })
  local thread = coroutine.create(function() f(leaf(1.0)) end)
  coroutine.resume(thread)
  coroutine.close(thread)
  check.equal(mg.is_grad_enabled(), true)
  check.equal(Double(leaf(1.0)).requires_grad, true)
end)

check.case("backward may not yield, and says so", function()
  local f = Function("F", { forward = function(_, x) return x * 1 end, backward = function() coroutine.yield() end })
  local thread = coroutine.create(function() f(leaf(1.0)):backward() end)
  local ok, message = coroutine.resume(thread)
  check.equal(ok, false)
  mentions(tostring(message), "yield")
  local x = leaf(1.0)
  Double(x):backward()
  check.close(x.grad, 2)
end)

check.case("backward inside forward and inside backward", function()
  local f = Function("F", {
    forward = function(ctx, x)
      local _ <close> = mg.enable_grad()
      local y = x:detach():requires_grad_()
      local z = y * y
      ctx:save_for_backward(grad(z, { y }))
      return z:detach()
    end,
    backward = function(ctx, g)
      local _ <close> = mg.enable_grad()
      local q = leaf(2.0);
      (q ^ 3):backward()
      return g * ctx:saved_tensors() * q.grad
    end,
  })
  local x = leaf(3.0)
  f(x):backward()
  check.close(x.grad, 72)                            -- 6 · 12
end)

check.case("a function that calls itself, forward and backward", function()
  local Power
  Power = Function("Power", {
    forward = function(ctx, x, n)
      ctx.n = n
      ctx:save_for_backward(x)
      return n == 0 and mg.ones_like(x) or x * Power(x, n - 1)
    end,
    backward = function(ctx, g)
      local x = ctx:saved_tensors()
      -- The derivative through another run: n · xⁿ⁻¹.
      local _ <close> = mg.enable_grad()
      local y = x:detach():requires_grad_()
      if ctx.n > 1 then
        local lower = Power(y, ctx.n - 1)
        lower:backward()
        return g * (y.grad * y:detach() + lower:detach()), nil
      end
      return g * ctx.n, nil
    end,
  })
  local x = leaf(2.0)
  local y = Power(x, 12)
  check.close(y, 4096)
  y:backward()
  check.close(x.grad, 12 * 2048)
end)

check.case("backward of the same node inside its backward leaves it its saved tensors", function()
  local x = leaf(3.0)
  local y, inside
  local f = Function("F", {
    forward = function(ctx, t)
      ctx:save_for_backward(t)
      return t * t
    end,
    backward = function(ctx, g)
      if not inside then
        inside = true
        inside = grad(y, { x }, { retain_graph = true })
      end
      return g * 2 * ctx:saved_tensors()
    end,
  })
  y = f(x)
  y:backward()
  check.close(inside, 6)
  check.close(x.grad, 6)
end)

check.case("hooks on a custom function's node and results", function()
  local x = leaf(1.0)
  local y = Double(x)
  local log = {}
  y:register_hook(function(g) log[#log + 1] = g:item() end)
  y.grad_fn:register_hook(function(inputs, outputs) log[#log + 1] = inputs[1]:item() + outputs[1]:item() end)
  y:retain_grad()
  y:backward()
  check.equal(log, { 1.0, 3.0 })
  check.close(y.grad, 1)
end)

-- Size -----------------------------------------------------------------------------------------------------------

-- 3 s in a release build; the limit is for what grows with the square of the length, also in a debug build on a busy machine.
check.case("a chain of 150,000 steps is built, run backward and freed", function()
  local start = mg.clock()
  local x = leaf(1.0)
  local y = x
  for _ = 1, 150000 do y = Double(y) * 0.5 end
  y:backward()
  check.close(x.grad, 1)
  y = nil
  collectgarbage()
  local took = mg.clock() - start
  if took > 120 then check.fail(("took %.1f s"):format(took)) end
end)

check.case("a chain whose values are saved is freed as well", function()
  local x = leaf(1.0)
  local y = x
  for _ = 1, 50000 do y = Square(y) end
  y = nil
  collectgarbage()
  collectgarbage()
end)

check.case("what a call kept is let go of with its results", function()
  local contexts = setmetatable({}, { __mode = "k" })
  local f = Function("F", {
    forward = function(ctx, x)
      contexts[ctx] = true
      local y = x:exp()
      ctx:save_for_backward(y)
      return y
    end,
    backward = function(_, g) return g end,
  })
  for _ = 1, 1000 do f(leaf(1.0)) end
  collectgarbage()
  for _ = 1, 100 do local _ = mg.ones(1) end         -- what the tape held is given back at later calls
  collectgarbage()
  local count = 0
  for _ in pairs(contexts) do count = count + 1 end
  if count > 50 then check.fail(count .. " of 1000 contexts are still there") end
end)

return check.done()

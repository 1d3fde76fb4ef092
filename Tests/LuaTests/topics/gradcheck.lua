-- gradcheck and gradgradcheck: what passes, what fails and how it is told, and that inputs are as before.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local F = mg.nn.functional
local gradcheck, gradgradcheck = mg.autograd.gradcheck, mg.autograd.gradgradcheck

local function leaf(values) return mg.tensor(values, { dtype = "float64", requires_grad = true }) end
-- A function whose gradient is wrong: d(x²)/dx = 2x, and backward sees one factor only.
local function wrong(x) return x:detach() * x end
local quiet = { raise_exception = false }

-- The check fails with a message that contains every one of the texts.
local function fails(texts, checker, f, inputs, options)
  local given = { raise_exception = false }
  for name, value in pairs(options or {}) do given[name] = value end
  local ok, message = checker(f, inputs, given)
  check.equal(ok, false)
  for _, text in ipairs(texts) do
    if not tostring(message):find(text, 1, true) then check.equal(message, "… " .. text .. " …") end
  end
end

check.case("right gradients pass", function()
  local x, y = leaf{ { 0.5, -1.0 }, { 2.0, 3.0 } }, leaf{ 0.3, -0.7 }
  check.equal(gradcheck(function(a) return a:exp() end, x), true)
  check.equal(gradcheck(function(a, b) return a:mm(b:unsqueeze(2)):tanh() end, { x, y }), true)
  check.equal(gradcheck(function(a) return (a * a):sum() end, { x }), true)
  check.equal(gradcheck(function(a) return F.softmax(a, 2) end, x), true)
  check.equal(gradcheck(function(a) return a end, x), true)            -- the output is the input itself
  check.equal(gradcheck(function(a) return a:t() end, x), true)        -- … or a view of it
  check.equal(gradcheck(function(a) return a ^ 2 end, leaf(3.0)), true)
  check.equal(gradcheck(function(a) return a * 2 end, mg.zeros(0, 3, { dtype = "float64", requires_grad = true })), true)
end)

check.case("several outputs, as values or as a list", function()
  local x, y = leaf{ 0.5, -1.0 }, leaf{ 2.0, 3.0 }
  check.equal(gradcheck(function(a, b) return a * b, a:sin() end, { x, y }), true)
  check.equal(gradcheck(function(a, b) return { a * b, a:sin() } end, { x, y }), true)
  check.equal(gradcheck(function(a) return a:unbind(1) end, leaf{ { 1.0, 2.0 }, { 3.0, 4.0 } }), true)
end)

check.case("inputs that are unused, do not require grad or are no tensors", function()
  check.equal(gradcheck(function(a, _) return a * a end, { leaf{ 1.0 }, leaf{ 2.0 } }), true)
  check.equal(gradcheck(function(a, b, n) return a * b * n end, { leaf{ 1.0 }, mg.tensor{ 5.0 }, 3 }), true)
end)

check.case("inputs that are not contiguous", function()
  check.equal(gradcheck(function(a) return a * a end, leaf{ { 1.0, 2.0, 3.0 }, { 4.0, 5.0, 6.0 } }:t():detach():requires_grad_()), true)
  local parent = leaf{ 1.0, 2.0, 3.0, 4.0 }
  local part = parent:detach()[{ { 2, 3 } }]:requires_grad_()
  check.equal(gradcheck(function(a) return a ^ 3 end, part), true)
  check.elements(parent, { 1, 2, 3, 4 })
end)

-- PyTorch: numerical [[2, 0], [0, 4]], analytical [[1, 0], [0, 2]].
check.case("a wrong gradient fails, with both Jacobians", function()
  check.raises("gradcheck: the Jacobians of output 1 with respect to input 1 differ, most at element [2] of the first and "
    .. "element [2] of the second: numerically 4…", gradcheck, wrong, leaf{ 1.0, 2.0 })
  fails({ "analytically 2,", "atol = 1e-05", "rtol = 0.001",
    "numerical:\ntensor([[2.0000, 0.0000],\n        [0.0000, 4.0000]], dtype=float64)",
    "analytical:\ntensor([[1., 0.],\n        [0., 2.]], dtype=float64)" }, gradcheck, wrong, leaf{ 1.0, 2.0 })
end)

check.case("outputs, inputs and elements are counted from 1", function()
  local x, y = leaf{ { 1.0, 2.0 }, { 3.0, 4.0 } }, leaf{ { 1.0, 1.0 }, { 1.0, 5.0 } }
  fails({ "of output 2 with respect to input 2 differ, most at element [2, 2] of the first and element [2, 2] of the second",
    "a row for each element of input 2" }, gradcheck, function(a, b) return a * b, wrong(b) end, { x, y })
  fails({ "most at its only element of the first and element [2, 1] of the second: numerically 10, analytically 5,"},
    gradcheck, function(a) return wrong(a):sum() end, leaf{ { 1.0, 2.0 }, { 5.0, 4.0 } })
end)

check.case("the error is raised where gradcheck was called", function()
  local line = debug.getinfo(1, "l").currentline + 1
  local _, message = pcall(function() gradcheck(wrong, leaf{ 1.0 }) end)
  check.is_true(message:find("gradcheck%.lua:" .. line .. ": gradcheck: the Jacobians of output 1"))
end)

check.case("tolerances", function()
  local function nearly(x) return x * x + (x.data * 1e-4) * (x - x.data) end -- gradient 2x + 0.0001x, and 2x by differences
  check.equal(gradcheck(nearly, leaf{ 1.0 }), true)
  check.equal(gradcheck(nearly, leaf{ 1.0 }, { rtol = 1e-6, atol = 1e-6, raise_exception = false }), false)
  check.equal(gradcheck(wrong, leaf{ 1.0 }, { atol = 2 }), true)
  -- x³ at 0 by differences is eps² = 0.01, by backward 0.
  check.equal(gradcheck(function(x) return x ^ 3 end, leaf{ 0.0 }, { eps = 0.1, raise_exception = false }), false)
end)

check.case("what is not a number does not pass", function()
  -- sqrt at 0: by differences NaN, by backward infinite.
  fails({ "element [1] of the second: numerically" }, gradcheck, mg.sqrt, leaf{ 4.0, 0.0 }[{ { 2, 2 } }]:detach():requires_grad_())
end)

check.case("outputs that do not require grad", function()
  local x = leaf{ 1.0, 2.0 }
  -- Compared with zero, unless another output requires grad.
  check.equal(gradcheck(function() return mg.ones(2, { dtype = "float64" }) end, x), true)
  fails({ "output 1 does not require grad, but it depends on input 1" }, gradcheck, function(a) return (a * a):detach() end, x)
  check.equal(gradcheck(function(a) return a * a, (a * a):detach() end, x), true)
  check.equal(gradcheck(function(a) return a * a, a:argmax() end, x), true)
end)

check.case("gradients are computed whatever the mode outside", function()
  check.equal(mg.no_grad(gradcheck, wrong, leaf{ 1.0 }, quiet), false)
  check.equal(mg.is_grad_enabled(), true)
end)

check.case("calls that make no sense", function()
  check.rejects("mg.autograd.gradcheck(mg.exp, mg.ones(2))", "gradcheck: no input requires grad, so there is nothing to check")
  check.rejects("mg.autograd.gradcheck(nil, mg.ones(2))", "gradcheck: argument 1 (f): expected a function, got nil")
  check.rejects("mg.autograd.gradcheck(mg.exp, 3)", "gradcheck: argument 2 (inputs): expected a tensor or a list of arguments, got 3")
  check.rejects("mg.autograd.gradcheck(mg.exp, x, 3)", "gradcheck: argument 3: expected a table of options, got 3", leaf{ 1.0 })
  check.rejects("mg.autograd.gradcheck(mg.exp, x, { epz = 1 })",
    "gradcheck: unknown option 'epz'; did you mean 'eps'? (known: eps, …", leaf{ 1.0 })
  check.rejects("mg.autograd.gradcheck(mg.exp, x, { eps = 'a' })", "gradcheck: option 'eps': expected a number, got \"a\"", leaf{ 1.0 })
  check.rejects("mg.autograd.gradcheck(mg.exp, x, { eps = 0 })", "gradcheck: option 'eps': expected a number above 0, got 0", leaf{ 1.0 })
  check.rejects("mg.autograd.gradcheck(function(a) return a * a, 3 end, x)",
    "gradcheck: output 2 of the function is not a tensor but 3", leaf{ 1.0 })
  check.rejects("mg.autograd.gradcheck(mg.exp, x:expand(3))",
    "gradcheck: input 1 repeats its elements along dimension 1, as expand makes them, so that moving one "
    .. "moves others; pass it through :contiguous() first", leaf{ 1.0 })
end)

check.case("float32 is warned of", function()
  local warnings, ok = mg.catch_warnings(gradcheck, function(x) return x * x end, mg.tensor({ 1.0 }, { requires_grad = true }), quiet)
  check.equal(#warnings, 1)
  check.equal(warnings[1]:match "^[^;]*", "gradcheck: input 1 is float32")
  -- As in PyTorch, the difference 1.967 is too far off.
  check.equal(ok, false)
end)

check.case("inputs have their values again, after an error too", function()
  local values = { 0.1, -2.5, 1e300, 3.0 }
  local x = leaf(values)
  gradcheck(function(a) return a * 2 end, x, quiet)
  check.elements(x, values)
  gradcheck(wrong, x, quiet)
  check.elements(x, values)
  local calls = 0
  check.raises("out of order", gradcheck, function(a)
    calls = calls + 1
    if calls == 4 then error("out of order", 0) end -- the first element's two differences are done, the second's has begun
    return a * 2
  end, x)
  check.equal(calls, 4)
  check.elements(x, values)
  check.equal(x.grad, nil)
  check.raises("gradcheck: output 1 of the function is float64 of shape [4], but float64 of shape [2] when element [1] of input 1 "
    .. "was moved by 1e-06",
    gradcheck, function(a) return a[1]:item() == 0.1 and a * 2 or a[{ { 1, 2 } }] end, x)
  check.elements(x, values)
end)

check.case("backward must give the same twice", function()
  local runs = 0
  local function restless(x)
    local y = x * 1
    y:register_hook(function(g)
      runs = runs + 1
      return g + 1e-9 * runs
    end)
    return y
  end
  fails({ "backward is not reentrant", "gradients of input 1 that differ by", "nondet_tol = 0" }, gradcheck, restless, leaf{ 1.0, 2.0 })
  -- … within the tolerance: then it is the gradient for zeros that is not zero.
  fails({ "backward does not multiply by the outputs' gradients" }, gradcheck, restless, leaf{ 1.0, 2.0 }, { nondet_tol = 1e-6 })
end)

-- x² and x³, with a backward to be tried.
local function square_and_cube(backward, materialize)
  local Powers = mg.autograd.Function("Powers", {
    forward = function(ctx, x)
      ctx:save_for_backward(x)
      if materialize == false then ctx:set_materialize_grads(false) end
      return x * x, x * x * x
    end,
    backward = function(ctx, g, h) return backward(ctx:saved_tensors(), g, h) end,
  })
  return function(x) return Powers(x) end
end

check.case("custom functions", function()
  local x = leaf{ 1.0, 2.0 }
  local right = square_and_cube(function(y, g, h) return 2 * y * g + 3 * y * y * h end)
  check.equal(gradcheck(right, x), true)
  check.equal(gradgradcheck(right, x), true)
  -- PyTorch's order: the first output that is wrong.
  fails({ "of output 2 with respect to input 1 differ, most at element [2] of the first and element [2] of the second: numerically 12, "
    .. "analytically 24," }, gradcheck, square_and_cube(function(y, g, h) return 2 * y * g + 6 * y * y * h end), x)
  fails({ "of the gradient of input 1 with respect to input 1 differ" }, gradgradcheck,
    square_and_cube(function(y, g, h) return 2 * y:detach() * g + 3 * y * y * h end), x)
  -- Which gets no gradients at all for outputs that have none.
  local careful = square_and_cube(function(y, g, h)
    return 2 * y * (g or mg.zeros_like(y)) + 3 * y * y * (h or mg.zeros_like(y))
  end, false)
  check.equal(gradcheck(careful, x), true)
end)

-- A stand-in for an operation with several outputs that cannot bear an absent gradient: it behaves until the check comes
-- to leave gradients out, after one call and two for the differences of the one element.
check.case("backward must bear outputs without a gradient", function()
  local function fragile(spoil)
    local calls = 0
    return function(x)
      calls = calls + 1
      local y, z = x * 1, x * 2
      if calls > 3 then z:register_hook(spoil) end
      return y, z
    end
  end
  local x = leaf{ 1.0 }
  fails({ "gradcheck: when no gradient reaches output 1 and the others' are zero, the gradient of input 1 must be zero, and is not" },
    gradcheck, fragile(function(g) return g + 1 end), x)
  fails({ "gradcheck: backward fails when no gradient reaches output 1: ", "no gradient today" },
    gradcheck, fragile(function() error "no gradient today" end), x)
  check.equal(gradcheck(fragile(error), x, { check_undefined_grad = false }), true)
end)

-- The derivative of x³ is 3x², whose derivative by x is 6x·g and by g 3x².
check.case("gradgradcheck", function()
  local x, y = leaf{ 0.5, -1.0 }, leaf{ 2.0, 3.0 }
  check.equal(gradgradcheck(function(a) return a ^ 3 end, x), true)
  check.equal(gradgradcheck(function(a) return a * 3 end, x), true)
  check.equal(gradgradcheck(function(a, b) return (a * b):tanh(), a:sum() end, { x, y }), true)
  check.equal(gradgradcheck(function(a) return a ^ 3, a:argmax() end, x, { grad_outputs = leaf{ 0.3, 2.0 } }), true)
  check.equal(gradgradcheck(function(a) return a ^ 3 end, x, { grad_outputs = mg.ones(2, { dtype = "float64" }) }), true)
end)

check.case("gradgradcheck fails for a wrong second derivative", function()
  -- The gradient of detach(x) · x · x is 2x² where that of x³ is 3x²; its own derivative 2x·g is half of 4x·g.
  local function half(x) return x:detach() * x * x end
  fails({ "gradgradcheck: the Jacobians of the gradient of input 1 with respect to input 1 differ, most at element [2]",
    "numerically -14,", "analytically -7," }, gradgradcheck, half, leaf{ 1.0, 2.0 }, { grad_outputs = leaf{ 0.5, -1.75 } })
  fails({ "of the gradient of input 2 with respect to input 2" }, gradgradcheck, function(a, b) return a * b + half(b) end,
    { leaf{ 1.0 }, leaf{ 2.0 } })
end)

check.case("gradgradcheck leaves the random numbers alone, and its inputs", function()
  local x = leaf{ 0.5, -1.0 }
  mg.manual_seed(7)
  local expected = mg.rand(3)
  mg.manual_seed(7)
  gradgradcheck(function(a) return a ^ 3 end, x)
  check.equal(mg.rand(3), expected)
  check.elements(x, { 0.5, -1.0 })
end)

check.case("gradgradcheck's own mistakes", function()
  local x = leaf{ 0.5, -1.0 }
  check.rejects("mg.autograd.gradgradcheck(mg.exp, mg.ones(2))", "gradgradcheck: no input requires grad, so there is nothing to check")
  check.rejects("mg.autograd.gradgradcheck(function(a) return a:detach() end, x)",
    "gradgradcheck: no output of the function requires grad, so it has no gradients to check", x)
  check.rejects("mg.autograd.gradgradcheck(mg.exp, x, { grad_outputs = { x, x } })",
    "gradgradcheck: grad_outputs must have one entry for each output that requires grad (1), got 2", x)
  check.rejects("mg.autograd.gradgradcheck(mg.exp, x, { grad_outputs = mg.ones(3) })",
    "gradgradcheck: grad_outputs[1] must be a tensor of the output's shape [2], got a tensor of shape [3]", x)
  check.rejects("mg.autograd.gradgradcheck(mg.exp, x, { grad_outputs = x:detach()[{ { 1, 1 } }]:requires_grad_():expand(2) })",
    "gradgradcheck: grad_outputs[1] repeats its elements along dimension 1…", x)
end)

return check.done()

-- mg.autograd.functional, batches of gradients, mg.func and functional_call.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional
local AF, func = mg.autograd.functional, mg.func

local function double(values, options)
  return mg.tensor(values, { dtype = "float64", requires_grad = options and options.requires_grad })
end

-- Nested lists of tensors against nested lists of numbers with the same structure above the tensors.
local function close(actual, expected)
  if mg.is_tensor(actual) then return check.close(actual, expected, 1e-9) end
  check.equal(type(actual), "table")
  check.equal(#actual, #expected)
  for i, value in ipairs(expected) do close(actual[i], value) end
end

-- The function of most cases: two inputs, two outputs. Expected values are PyTorch's for the same function.
local a, b = double{ 1.0, 2.0 }, double{ { 0.5, -1.0 }, { 2.0, 3.0 } }
local va, vb = double{ 1.0, -2.0 }, double{ { 1.0, 0.0 }, { -1.0, 2.0 } }
local function two(p, q) return q:mv(p):tanh(), p * q end
local function one(p, q) return q:mv(p):tanh() end
local function scalar(p, q) return q:mv(p):tanh():sum() * p:sum() end

local one_by_a = { { 0.0903533194618243, -0.1807066389236486 }, { 9.002811953097051e-07, 1.3504217929645576e-06 } }
local one_by_b = {
  { { 0.1807066389236486, 0.3614132778472972 }, { 0, 0 } }, { { 0, 0 }, { 4.5014059765485253e-07, 9.002811953097051e-07 } },
}

-- Jacobians and Hessians -----------------------------------------------------------------------------------------

check.case("jacobian: tensors for tensors, lists for lists", function()
  close(AF.jacobian(function(p) return one(p, b) end, a), one_by_a)
  close(AF.jacobian(function(p) return one(p, b) end, { a }), { one_by_a })
  close(AF.jacobian(function(p) return { one(p, b) } end, a), { one_by_a })
  close(AF.jacobian(function(p) return { one(p, b) } end, { a }), { { one_by_a } })
  close(AF.jacobian(one, { a, b }), { one_by_a, one_by_b })
  -- p * q broadcasts p over the rows of q: out[i][j] = p[j] · q[i][j].
  local product_by_a = { { { 0.5, 0 }, { 0, -1 } }, { { 2, 0 }, { 0, 3 } } }
  local product_by_b = { { { { 1, 0 }, { 0, 0 } }, { { 0, 2 }, { 0, 0 } } }, { { { 0, 0 }, { 1, 0 } }, { { 0, 0 }, { 0, 2 } } } }
  close(AF.jacobian(two, { a, b }), { { one_by_a, one_by_b }, { product_by_a, product_by_b } })
  close(AF.jacobian(function(p) return two(p, b) end, a), { one_by_a, product_by_a })
end)

check.case("jacobian: scalars, nothing, zeros", function()
  close(AF.jacobian(function(x) return x ^ 2 end, double(3.0)), 6)
  check.equal(AF.jacobian(function(x) return x:sum() end, a).shape, { 2 })
  check.equal(AF.jacobian(function(x) return x * 2 end, mg.zeros(0)).shape, { 0, 0 })
  check.elements(AF.jacobian(function(x) return x:detach() end, a), { { 0, 0 }, { 0, 0 } })
  local by_a, by_b = table.unpack(AF.jacobian(function(p, _) return p * 2 end, { a, b }))
  check.elements(by_a, { { 2, 0 }, { 0, 2 } })
  check.equal(by_b, mg.zeros(2, 2, 2, { dtype = "float64" }))
end)

check.case("jacobian has a history only with create_graph", function()
  local x = double({ 1.0, 2.0 }, { requires_grad = true })
  local function cube(p) return p ^ 3 end
  check.equal(AF.jacobian(cube, x).requires_grad, false)
  local J = AF.jacobian(cube, x, { create_graph = true })
  check.equal(J.requires_grad, true)
  J:sum():backward()
  check.elements(x.grad, { 6, 12 })                -- d(3x²)/dx
  check.equal(AF.jacobian(cube, x, true).requires_grad, true)
  mg.no_grad(function() close(AF.jacobian(cube, x), { { 3, 0 }, { 0, 12 } }) end)
end)

check.case("hessian", function()
  local by_aa = { { 0.4260470840797879, -0.5810661697480262 }, { -0.5810661697480262, 0.6199629072721301 } }
  close(AF.hessian(function(p) return scalar(p, b) end, a), by_aa)
  close(AF.hessian(function(p) return scalar(p, b) end, { a }), { { by_aa } })
  close(AF.hessian(scalar, { a, b }), {
    { by_aa, {
      { { 1.2135254516259164, 1.342811069709941 }, { -3.601123565479337e-06, -9.90309071688779e-06 } },
      { { -0.8006911529389952, -1.0592623891070445 }, { -7.65238833649327e-06, -1.3954354880021981e-05 } },
    } },
    { {
      { { 1.2135254516259164, -0.8006911529389952 }, { 1.342811069709941, -1.0592623891070445 } },
      { { -3.6011235654793376e-06, -7.65238833649327e-06 }, { -9.903090716887791e-06, -1.3954354880021981e-05 } },
    }, {
      { { { 0.9813977918626438, 1.9627955837252875 }, { 0, 0 } }, { { 1.9627955837252875, 3.925591167450575 }, { 0, 0 } } },
      { { { 0, 0 }, { -2.700842978049374e-06, -5.401685956098748e-06 } },
        { { 0, 0 }, { -5.401685956098748e-06, -1.0803371912197495e-05 } } },
    } },
  })
  check.elements(AF.hessian(function(x) return (x * 2):sum() end, a), { { 0, 0 }, { 0, 0 } })
  check.equal(AF.hessian(function(x) return x:sum():unsqueeze(1) end, a).shape, { 2, 2 })
  local x = double({ 1.0, 2.0 }, { requires_grad = true })
  AF.hessian(function(p) return (p ^ 3):sum() end, x, { create_graph = true }):sum():backward()
  check.elements(x.grad, { 6, 6 })                 -- d(6x)/dx
end)

-- Products -------------------------------------------------------------------------------------------------------

check.case("vjp, jvp, vhp, hvp", function()
  local values = { { -0.9051482536448664, 0.9999997749296758 }, { { 0.5, -2 }, { 2, 6 } } }
  close({ AF.vjp(two, { a, b }, { va, vb }) }, { values, {
    { -1.4096484811005663, 5.819290660232766 },
    { { 1.1807066389236487, 0.3614132778472972 }, { -1.0000009002811954, 3.9999981994376093 } },
  } })
  close({ AF.jvp(two, { a, b }, { va, vb }) },
    { values, { { 0.6324732362327701, -4.5014059765485253e-07 }, { { 1.5, 2 }, { 1, -2 } } } })
  local product = { 0.28455456385442834, {
    { 2.8016886701438883, -2.6217033935527057 },
    { { 3.7963055493665507, 5.424131431649318 }, { 3.601124173359079e-06, 1.8005611748599275e-06 } },
  } }
  close({ AF.vhp(scalar, { a, b }, { va, vb }) }, product)
  close({ AF.hvp(scalar, { a, b }, { va, vb }) }, product)
end)

check.case("products of single tensors", function()
  local function cube(x) return x ^ 3 end
  close({ AF.vjp(cube, a, va) }, { { 1, 8 }, { 3, -24 } })
  close({ AF.jvp(cube, a, va) }, { { 1, 8 }, { 3, -24 } })
  close({ AF.vjp(cube, { a }, va) }, { { 1, 8 }, { { 3, -24 } } })
  close({ AF.jvp(function(x) return { x ^ 3 } end, a, va) }, { { { 1, 8 } }, { { 3, -24 } } })
  close({ AF.vhp(function(x) return (x ^ 3):sum() end, a, va) }, { 9, { 6, -24 } })
  close({ AF.hvp(function(x) return (x ^ 3):sum() end, a, va) }, { 9, { 6, -24 } })
  -- Without v: 1, where there is one number.
  close({ AF.vjp(function(x) return (x ^ 3):sum() end, a) }, { 9, { 3, 12 } })
  close({ AF.jvp(cube, double(2.0)) }, { 8, 12 })
  close({ AF.hvp(cube, double(2.0)) }, { 8, 12 })
  close({ AF.vhp(cube, double(2.0)) }, { 8, 12 })
  -- v among the options.
  close({ AF.vjp(cube, a, { v = va, strict = true }) }, { { 1, 8 }, { 3, -24 } })
end)

check.case("products where there is nothing to depend on", function()
  local function linear(x) return (x * 2):sum() end
  close({ AF.hvp(linear, a, va) }, { 6, { 0, 0 } })
  close({ AF.vhp(linear, a, va) }, { 6, { 0, 0 } })
  close({ AF.hvp(function(p, _) return (p * p):sum() end, { a, b }, { va, vb }) }, { 5, { { 2, -4 }, { { 0, 0 }, { 0, 0 } } } })
  close({ AF.vhp(function(p, _) return (p * p):sum() end, { a, b }, { va, vb }) }, { 5, { { 2, -4 }, { { 0, 0 }, { 0, 0 } } } })
  close({ AF.vjp(function(_) return mg.ones(2) end, a, va) }, { { 1, 1 }, { 0, 0 } })
  close({ AF.jvp(function(x) return x ^ 2, x:argmax() end, a, va) }, { { { 1, 4 }, 2 }, { { 2, -8 }, 0 } })
end)

check.case("products have a history only with create_graph", function()
  local x = double({ 1.0, 2.0 }, { requires_grad = true })
  local function cube(p) return p ^ 3 end
  for name, f in pairs { vjp = cube, jvp = cube, vhp = function(p) return cube(p):sum() end, hvp = function(p) return cube(p):sum() end } do
    local y, product = AF[name](f, x, va)
    check.equal({ name, y.requires_grad, product.requires_grad }, { name, false, false })
    y, product = AF[name](f, x, va, { create_graph = true })
    check.equal({ name, y.requires_grad, product.requires_grad }, { name, true, true })
    x.grad = nil
    product:sum():backward()
    -- 3x² · v has the derivative 6x · v, and 6x · v has 6 · v.
    check.elements(x.grad, (name == "vjp" or name == "jvp") and { 6, -24 } or { 6, -12 })
  end
  local v = double({ 1.0, -2.0 }, { requires_grad = true })
  local _, product = AF.vjp(cube, a, v, { create_graph = true })
  product:sum():backward()
  check.elements(v.grad, { 3, 12 })
end)

check.case("a tensor that the function reaches by itself is not its input", function()
  local x = double({ 1.0, 2.0 }, { requires_grad = true })
  close(AF.jacobian(function(p) return p * x end, x), { { 1, 0 }, { 0, 2 } })
end)

check.case("strict", function()
  local function refuses(text, name, f, ...)
    check.raises(name .. ": strict: " .. text, AF[name], f, ...)
  end
  local strict, strict_graph = { strict = true }, { strict = true, create_graph = true }
  local function linear(p) return (p * 2):sum() end
  local function square(p) return (p * p):sum() end
  refuses("output 1 of the function does not depend on input 2", "jacobian", function(p, _) return p * 2 end, { a, b }, strict)
  refuses("output 2 of the function does not require grad: …", "jacobian", function(p) return p * 2, p:detach() end, a, strict)
  refuses("the Jacobian with respect to input 1 does not depend on the inputs, …", "jacobian", function(p) return p * 2 end, a,
    strict_graph)
  refuses("the gradient with respect to input 1 does not depend on the inputs, …", "hessian", linear, a, strict)
  refuses("the gradient with respect to input 1 does not depend on input 2", "hessian",
    function(p, q) return (p * p):sum() + (q * q):sum() end, { a, b }, strict)
  refuses("the Hessian with respect to input 1 does not depend on the inputs, …", "hessian", square, a, strict_graph)
  refuses("the function does not depend on input 2", "vjp", function(p, _) return p * 2 end, { a, b }, va, strict)
  refuses("the function does not depend on input 2", "jvp", function(p, _) return p * p end, { a, b }, { va, vb }, strict)
  refuses("output 2 of the function does not require grad: …", "jvp", function(p, q) return p * p, q:detach() end, { a, b },
    { va, vb }, strict)
  refuses("the gradient with respect to input 1 does not depend on the inputs, …", "vhp", linear, a, va, strict)
  refuses("the gradient with respect to input 1 does not depend on the inputs, …", "hvp", linear, a, va, strict)
  refuses("the Hessian with respect to input 1 does not depend on the inputs, …", "hvp", square, a, va, strict_graph)
  -- What depends on everything is the same with it.
  close(AF.jacobian(one, { a, b }, strict), { one_by_a, one_by_b })
  close({ AF.hvp(square, a, va, strict) }, { 5, { 2, -4 } })
end)

check.case("calls that make no sense", function()
  for code, message in pairs {
    ["jacobian(nil, x)"] = "jacobian: argument 1 (f): expected a function, got nil",
    ["jacobian(mg.exp)"] = "jacobian: argument 2 (inputs): expected a tensor or a list of tensors, got nil",
    ["jacobian(mg.exp, { x, 3 })"] = "jacobian: argument 2 (inputs): element 2 is not a tensor but 3",
    ["jacobian(mg.exp, {})"] = "jacobian: argument 2 (inputs): the list of tensors is empty",
    ["jacobian(mg.exp, mg.ones(2):long())"] = "jacobian: input 1 is int64; only tensors of floating dtypes have derivatives",
    ["jacobian(mg.exp, x, { strikt = true })"] = "jacobian: unknown option 'strikt'; did you mean 'strict'? (known: create_graph, strict)",
    ["jacobian(mg.exp, x, { strict = 1 })"] = "jacobian: option 'strict': expected true or false, got 1",
    ["jacobian(function() end, x)"] = "jacobian: the function must return a tensor or several, got nothing",
    ["jacobian(function() return 3 end, x)"] = "jacobian: output 1 of the function is not a tensor but 3",
    ["hessian(mg.exp, x)"] = "hessian: the function must return a tensor of one element, got shape [2]",
    ["hessian(function(p) return p:sum(), p end, x)"] = "hessian: the function must return one tensor, got 2",
    ["vjp(mg.exp, x)"] = "vjp: v can be left out only if the function's output is one tensor of one element, but it is a tensor of "
      .. "shape [2]",
    ["vjp(mg.exp, x, mg.ones(3))"] = "vjp: v has shape [3], but the function's output has shape [2]",
    ["vjp(function(p) return p, p * 2 end, x, x)"] = "vjp: v has 1 tensor, but the function's output is a list of 2",
    ["vjp(function(p) return p, p * 2 end, x, { x, mg.ones(3) })"] = "vjp: v[2] has shape [3], but entry 2 of the function's output has "
      .. "shape [2]",
    ["vjp(mg.exp, x, 3)"] = "vjp: v: expected a tensor or a list of tensors, got 3",
    ["jvp(mg.exp, x)"] = "jvp: v can be left out only if the input is one tensor of one element, but it is a tensor of shape [2]",
    ["jvp(mg.exp, { x, x }, x)"] = "jvp: v has 1 tensor, but the input is a list of 2",
    ["hvp(mg.exp, x, x)"] = "hvp: the function must return a tensor of one element, got shape [2]",
    ["vhp(mg.exp, x, mg.ones(2, 1))"] = "vhp: v has shape [2, 1], but the input has shape [2]",
    ["hesian(mg.exp, x)"] = "autograd.functional has no 'hesian'; did you mean 'hessian'?",
  } do check.rejects("mg.autograd.functional." .. code, message, mg.tensor{ 1.0, 2.0 }) end
end)

-- Batches --------------------------------------------------------------------------------------------------------

check.case("is_grads_batched runs once for each row", function()
  local x, unused = double({ 1.0, 2.0 }, { requires_grad = true }), double({ 1.0 }, { requires_grad = true })
  local seeds = double{ { 1, 0 }, { 0, 1 }, { 1, 10 } }
  local by_x, by_unused = mg.autograd.grad(x ^ 2, { x, unused }, { grad_outputs = seeds, is_grads_batched = true, allow_unused = true })
  check.elements(by_x, { { 2, 0 }, { 0, 4 }, { 2, 40 } })
  check.equal(by_unused, nil)
  -- By position, with several outputs, and zeros for what is unused.
  local p, q = mg.autograd.grad({ x ^ 2, x:sum() }, { x, unused }, { seeds, double{ 0, 0, 100 } },
    { is_grads_batched = true, materialize_grads = true })
  check.elements(p, { { 2, 0 }, { 0, 4 }, { 102, 140 } })
  check.elements(q, { { 0 }, { 0 }, { 0 } })
  -- Saved values are gone after the last row, unless they are to be kept.
  local y = x ^ 2
  mg.autograd.grad(y, x, seeds, { is_grads_batched = true, retain_graph = true })
  mg.autograd.grad(y, x, seeds, { is_grads_batched = true })
  check.equal(pcall(mg.autograd.grad, y, x, seeds, { is_grads_batched = true }), false)
  local J = mg.autograd.grad(x ^ 2, x, { grad_outputs = mg.eye(2, { dtype = "float64" }), is_grads_batched = true, create_graph = true })
  J:sum():backward()
  check.elements(x.grad, { 2, 2 })
  check.elements(mg.autograd.grad(x ^ 2, x, { grad_outputs = double{ 1, 1 }, is_grads_batched = false }), { 2, 4 })
end)

check.case("batches that do not fit", function()
  local x = mg.tensor({ 1.0, 2.0 }, { requires_grad = true })
  for options, message in pairs {
    ["is_grads_batched = true"] = "grad: is_grads_batched needs grad_outputs, whose first dimension counts the batch",
    ["is_grads_batched = 1"] = "grad: option 'is_grads_batched': expected true or false, got 1",
    ["is_grads_batched = true, grad_outputs = mg.ones(2)"] = "grad: with is_grads_batched, grad_outputs[1] must have a batch dimension and "
      .. "then the output's shape [2], got shape [2]",
    ["is_grads_batched = true, grad_outputs = { mg.ones(1, 2), mg.ones(1, 2) }"] = "grad: 1 outputs but 2 gradients were given",
  } do check.rejects("mg.autograd.grad(x * x, x, { " .. options .. " })", message, x) end
  check.rejects("mg.autograd.grad({ x, x * 2 }, x, { mg.ones(1, 2), mg.ones(3, 2) }, { is_grads_batched = true })",
    "grad: grad_outputs[1] has 1 rows and grad_outputs[2] has 3; all must have as many", x)
end)

-- Functions of functions -----------------------------------------------------------------------------------------

check.case("func.grad", function()
  local function cube(x) return x ^ 3 end
  close(func.grad(cube)(double(2.0)), 12)
  close(func.grad(func.grad(cube))(double(2.0)), 12)
  close(func.grad(func.grad(func.grad(cube)))(double(2.0)), 6)
  local function f(p, q) return (p * q):sum() end
  close(func.grad(f)(a, va), { 1, -2 })
  close(func.grad(f, { argnums = 2 })(a, va), { 1, 2 })
  close(func.grad(f, { argnums = -1 })(a, va), { 1, 2 })
  close(func.grad(f, { argnums = { 1, 2 } })(a, va), { { 1, -2 }, { 1, 2 } })
  close(func.grad(f, { argnums = { 2 } })(a, va), { { 1, 2 } })
  -- Arguments that are not differentiated may be anything.
  close(func.grad(function(p, n, g) return g(p):sum() * n end)(a, 3, function(p) return p * p end), { 6, 12 })
  close(func.grad(function(_, q) return q:sum() end)(a, va), { 0, 0 })
  close(func.grad(function() return mg.tensor(3.0) end)(a), { 0, 0 })
end)

check.case("func.grad of tables of tensors", function()
  local result = func.grad(function(p) return (p.w * p.inner[1]):sum() + p.inner[2] end)({ w = a, inner = { va, double(1.0) } })
  close(result.w, { 1, -2 })
  close(result.inner, { { 1, 2 }, 1 })
end)

check.case("values and what else the function returns", function()
  local function f(x) return (x ^ 2):sum(), x * 10, "note" end
  local g, ten, note = func.grad(f, { has_aux = true })(a)
  close({ g, ten }, { { 2, 4 }, { 10, 20 } })
  check.equal({ note, ten.requires_grad }, { "note", false })
  local value
  g, value = func.grad_and_value(function(x) return (x ^ 2):sum() end)(a)
  close({ g, value }, { { 2, 4 }, 5 })
  check.equal(value.requires_grad, false)
  local _, y, aux, last = func.grad_and_value(f, { has_aux = true })(a)
  close({ y, aux }, { 5, { 10, 20 } })
  check.equal(last, "note")
end)

-- PyTorch gives a grad_fn in the same cases.
check.case("results have a history where something outside requires grad", function()
  local x, w = double({ 1.0, 2.0 }, { requires_grad = true }), double(2.0, { requires_grad = true })
  local function f(p) return (p ^ 3):sum() end
  local function g(p) return (p ^ 3 * w):sum() end
  check.equal(func.grad(f)(a).requires_grad, false)
  func.grad(f)(x):sum():backward()
  check.elements(x.grad, { 6, 12 })
  func.grad(g)(a):sum():backward()
  check.elements(w.grad, 15)                       -- d(3x² · w)/dw, summed
  check.equal(mg.no_grad(function() return func.grad(g)(x).requires_grad end), false)
  close(mg.no_grad(func.grad(g), x), { 6, 24 })
  check.equal(x.requires_grad, true)
  check.equal(mg.is_grad_enabled(), true)
  -- Modes inside the function are its own: c counts as a number.
  close(func.grad(function(p)
    local c = mg.no_grad(function() return p ^ 2 end)
    return (p - c):sum()
  end)(a), { 1, 1 })
end)

check.case("func.vjp", function()
  local y, product = func.vjp(function(p, q) return p * q end, a, va)
  close(y, { 1, -4 })
  close({ product(double{ 1, 10 }) }, { { 1, -20 }, { 1, 20 } })
  close({ product(double{ 0, 1 }) }, { { 0, -2 }, { 0, 2 } })
  check.equal({ y.requires_grad, product(va).requires_grad }, { false, false })
  local outputs, back = func.vjp(function(p) return p ^ 2, p:sum() end, a)
  close(outputs, { { 1, 4 }, 3 })
  close(back{ double{ 1, 1 }, double(10) }, { 12, 14 })
  local named, back_named = func.vjp(function(p) return { out = p.x * 2 } end, { x = a })
  close(named.out, { 2, 4 })
  close(back_named({ out = double{ 1, 3 } }).x, { 2, 6 })
  local value, _, note = func.vjp(function(p) return p * 2, "note" end, a, { has_aux = true })
  close(value, { 2, 4 })
  check.equal(note, "note")
  -- With respect to the vector too.
  local v = double({ 1.0, 1.0 }, { requires_grad = true })
  local _, linear = func.vjp(function(p) return p ^ 2 end, a)
  linear(v):sum():backward()
  check.elements(v.grad, { 2, 4 })
  local _, nothing = func.vjp(function(_) return mg.ones(2) end, a)
  close(nothing(va), { 0, 0 })
end)

check.case("func.jvp", function()
  close({ func.jvp(function(p) return p * p end, a, va) }, { { 1, 4 }, { 2, -8 } })
  close({ func.jvp(function(p, q) return p * q end, { a, va }, { va, a }) }, { { 1, -4 }, { 2, 8 } })
  close({ func.jvp(function(p) return p * p, p:sum(), mg.ones(1) end, a, va) }, { { { 1, 4 }, 3, { 1 } }, { { 2, -8 }, -1, { 0 } } })
  local value, moved, note = func.jvp(function(p) return p * p, "note" end, { a }, { va }, { has_aux = true })
  close({ value, moved }, { { 1, 4 }, { 2, -8 } })
  check.equal({ note, moved.requires_grad }, { "note", false })
  local x = double({ 1.0, 2.0 }, { requires_grad = true })
  select(2, func.jvp(function(p) return p ^ 3 end, x, va)):sum():backward()
  check.elements(x.grad, { 6, -24 })
  -- Forward over reverse: the product of the Hessian with a vector.
  close(select(2, func.jvp(func.grad(function(p) return (p ^ 3):sum() end), a, va)), { 6, -24 })
end)

check.case("mistakes in functions of functions", function()
  for code, message in pairs {
    ["grad(3)"] = "grad: argument 1 (f): expected a function, got 3",
    ["grad(mg.exp)(x)"] = "grad: the function must return one tensor of shape [], got a tensor of shape [2]; see mg.func.vjp and …",
    ["grad(function() return 3 end)(x)"] = "grad: the function must return one tensor of shape [], got 3; …",
    ["grad(mg.sum)()"] = "grad: argnums names argument 1, but the function was called with 0",
    ["grad(mg.sum, { argnums = 0 })"] = "grad: option 'argnums': expected the position of an argument, from 1 on, or a list of them, got 0",
    ["grad(mg.sum, { argnum = 1 })"] = "grad: unknown option 'argnum'; did you mean 'argnums'? (known: argnums, has_aux)",
    ["grad(mg.sum)(3)"] = "grad: argument 1: expected a tensor or a table of them, got 3",
    ["grad(mg.sum)({ w = { x, 'a' } })"] = "grad: argument 1['w'][2]: expected a tensor or a table of them, got \"a\"",
    ["grad(mg.sum)(x:long())"] = "grad: tensor 1 of shape [2] is int64; only tensors of floating dtypes have derivatives",
    ["grad(mg.sum, { has_aux = true })(x)"] = "grad: with has_aux the function must return an output and something else, got 1 values",
    ["vjp(mg.exp)"] = "vjp: at least one argument for the function is needed",
    ["jvp(mg.exp, x, mg.ones(3))"] = "jvp: argument 3 (tangents): a tensor of shape [3] was given where argument 2 (primals) has shape [2]",
    ["jvp(mg.exp, x, { x, x })"] = "jvp: argument 3 (tangents) must have the form of argument 2 (primals): …",
    ["grand(mg.sum)"] = "func has no 'grand'; did you mean 'grad'?",
  } do check.rejects("local f = mg.func." .. code, message, mg.tensor{ 1.0, 2.0 }) end
  local _, product = func.vjp(mg.exp, a)
  check.raises("vjp: the vector: a tensor of shape [3] was given where the function's output has shape [2]", product, mg.ones(3))
  check.raises("vjp: the vector must have the form of the function's output: …", product, { a })
end)

-- functional_call ------------------------------------------------------------------------------------------------

-- A layer in Lua, with a parameter, a buffer and a name for the parameter in another module.
local Scale = nn.Module "Scale"
function Scale:init(value)
  self.factor = nn.Parameter(mg.tensor(value))
  self:register_buffer("shift", mg.tensor(0.5))
end
function Scale:forward(x) return x * self.factor + self.shift end

local Net = nn.Module "Net"
function Net:init()
  self.hidden = nn.Linear(2, 3)
  self.scale = Scale(2.0)
  self.body = nn.Sequential(nn.Tanh(), nn.Linear(3, 1))
end
function Net:forward(x) return self.scale(self.body(self.hidden(x))) end

local function parameters_of(net)
  local list = {}
  for name, p in net:named_parameters() do list[name] = p:detach():clone() end
  return list
end

check.case("functional_call puts other tensors in, and takes them out again", function()
  local net = Scale(2.0)
  local factor, shift = net.factor, net.shift
  check.close(func.functional_call(net, { factor = mg.tensor(5.0) }, mg.ones(1)), { 5.5 })
  check.close(func.functional_call(net, { shift = mg.tensor(1.0) }, { mg.ones(1) }), { 3 })
  check.close(func.functional_call(net, { { factor = mg.tensor(5.0) }, { shift = mg.tensor(1.0) } }, mg.ones(1)), { 6 })
  check.close(func.functional_call(net, {}, mg.ones(1)), { 2.5 })
  check.is_true(net.factor == factor and net.shift == shift)
  check.equal(#net:parameters(), 1)
  check.close(net(mg.ones(1)), { 2.5 })
end)

check.case("gradients reach the tensors that were put in, with their history", function()
  local net, x = Scale(2.0), mg.tensor{ 3.0 }
  local w = mg.tensor(1.5, { requires_grad = true })
  func.functional_call(net, { factor = w * w }, x):sum():backward()
  check.close(w.grad, 9)                           -- d(3w²)/dw = 6w
  check.equal(net.factor.grad, nil)
end)

check.case("modules that Swift implements take tensors with a history", function()
  local layer, x = nn.Linear(2, 1), mg.tensor{ { 3.0, 4.0 } }
  local weight = layer.weight
  local w = mg.tensor({ { 1.0, 2.0 } }, { requires_grad = true })
  check.close(func.functional_call(layer, { weight = w * 2, bias = mg.zeros(1) }, x), { { 22 } })
  func.functional_call(layer, { weight = w * 2 }, x):sum():backward()
  check.close(w.grad, { { 6, 8 } })
  check.is_true(layer.weight == weight and layer.weight.grad == nil)
  local loss = nn.CrossEntropyLoss{ weight = mg.tensor{ 1.0, 1.0 } }
  local logits, labels = mg.tensor{ { 0.0, 0.0 }, { 1.0, 0.0 } }, mg.tensor{ 1, 2 }
  -- Only the second row counts: ln(1 + e).
  check.close(func.functional_call(loss, { weight = mg.tensor{ 0.0, 1.0 } }, { logits, labels }), 1.3132617)
  check.elements(loss.weight, { 1, 1 })
end)

check.case("nested names, numbered children, and a gradient by them", function()
  mg.manual_seed(0)
  local net, x = Net(), mg.tensor{ { 0.5, -1.0 } }
  local params = parameters_of(net)
  local before = net(x)
  check.close(func.functional_call(net, params, x), before)
  params["body.1.bias"] = params["body.1.bias"] + 1
  check.close(func.functional_call(net, params, x), before + 2)    -- scaled by 2
  -- The gradients are those that backward gives.
  params = parameters_of(net)
  net(x):sum():backward()
  local gradients = func.grad(function(p) return func.functional_call(net, p, x):sum() end)(params)
  for name, p in net:named_parameters() do check.close(gradients[name], p.grad) end
  check.equal(gradients["hidden.weight"].requires_grad, false)
end)

check.case("a learning step without writing to the module", function()
  mg.manual_seed(0)
  local net, x, y = nn.Linear(1, 1), mg.tensor{ { 1.0 }, { 2.0 } }, mg.tensor{ { 3.0 }, { 5.0 } }
  local params, kept = parameters_of(net), net.weight:detach():clone()
  local step = func.grad_and_value(function(p) return F.mse_loss(func.functional_call(net, p, x), y) end)
  local loss
  for _ = 1, 500 do
    local g
    g, loss = step(params)
    for name, p in pairs(params) do params[name] = p - 0.1 * g[name] end
  end
  check.is_true(loss:item() < 1e-3)
  check.equal(params.weight.requires_grad, false)
  check.equal(net.weight:detach(), kept)
end)

check.case("tied weights", function()
  local Tied = nn.Module "Tied"
  function Tied:init()
    self.first = nn.Parameter(mg.tensor(1.0))
    self.second = self.first
  end
  function Tied:forward(x) return x + self.first + 10 * self.second end
  local net, x = Tied(), mg.tensor(0.0)
  check.close(func.functional_call(net, { first = mg.tensor(2.0) }, x), 22)
  check.close(func.functional_call(net, { second = mg.tensor(2.0) }, x), 22)
  check.close(func.functional_call(net, { first = mg.tensor(2.0) }, x, nil, { tie_weights = false }), 12)
  local both = mg.tensor(3.0)
  check.close(func.functional_call(net, { first = both, second = both }, x), 33)
  check.raises("functional_call: 'first' and 'second' are one tensor in the module but two in the table; …", func.functional_call, net,
    { first = mg.tensor(2.0), second = mg.tensor(3.0) }, x)
  check.is_true(net.first == net.second)
  check.close(net(x), 11)
  -- A module under two names.
  local shared = Scale(2.0)
  local pair = nn.Sequential(shared, shared)
  check.close(func.functional_call(pair, { ["0.factor"] = mg.tensor(3.0) }, mg.ones(1)), { 11 })   -- 3 · (3 + 0.5) + 0.5
  check.close(func.functional_call(pair, { ["1.factor"] = mg.tensor(3.0) }, mg.ones(1)), { 11 })
  check.close(shared.factor, 2)
end)

check.case("errors restore the module", function()
  local Failing = nn.Module "Failing"
  function Failing:init() self.scale = Scale(2.0) end
  function Failing:forward(_) error("no forward today", 0) end
  local net = Failing()
  local factor = net.scale.factor
  check.raises("no forward today", func.functional_call, net, { ["scale.factor"] = mg.tensor(5.0) }, mg.ones(1))
  check.is_true(net.scale.factor == factor)
  check.raises("functional_call: the module has no parameter or buffer 'scale.facter'; did you mean 'scale.factor'?",
    func.functional_call, net, { ["scale.factor"] = mg.tensor(5.0), ["scale.facter"] = mg.tensor(1.0) })
  check.is_true(net.scale.factor == factor)
end)

-- As in PyTorch: a = {"foo": zeros}; after functional_call of a module that does self.foo = self.foo + 1, a["foo"] is 1.
check.case("what the module assigns goes into the table", function()
  local Counter = nn.Module "Counter"
  function Counter:init() self:register_buffer("seen", mg.tensor(0.0)) end
  function Counter:forward(x)
    self.seen = self.seen + 1
    return x
  end
  local net, state = Counter(), { seen = mg.tensor(10.0) }
  func.functional_call(net, state, mg.ones(1))
  func.functional_call(net, state, mg.ones(1))
  check.close(state.seen, 12)
  check.close(net.seen, 0)
end)

check.case("calls within calls", function()
  local net = Scale(2.0)
  local Outer = nn.Module "Outer"
  function Outer:init() self.inner = net end
  function Outer:forward(x) return self.inner(x) + func.functional_call(self.inner, { factor = mg.tensor(100.0) }, x) + self.inner(x) end
  check.close(func.functional_call(Outer(), { ["inner.factor"] = mg.tensor(3.0) }, mg.ones(1)), { 107.5 })
  check.close(net.factor, 2)
end)

check.case("arguments, options and results go through", function()
  local Echo = nn.Module "Echo"
  function Echo:init() self.w = nn.Parameter(mg.ones(1)) end
  function Echo:forward(...) return select("#", ...), ... end
  local net = Echo()
  check.equal({ func.functional_call(net, {}) }, { 0 })
  check.equal({ func.functional_call(net, {}, { 1, "b" }) }, { 2, 1, "b" })
  check.equal({ func.functional_call(net, {}, 1, { scale = 2 }) }, { 2, 1, { scale = 2 } })
  check.raises("functional_call: strict: not given: w", func.functional_call, net, {}, nil, nil, { strict = true })
  check.equal((func.functional_call(net, { w = mg.ones(1) }, nil, nil, { strict = true })), 0)
end)

check.case("mistakes in functional_call", function()
  for code, message in pairs {
    ["3, {}"] = "functional_call: argument 1 (module): expected a module, got 3",
    ["nn.Tanh(), 3"] = "functional_call: argument 2 (parameters_and_buffers): expected a table from names to tensors, got 3",
    ["nn.Linear(1, 1), { weight = 3 }"] = "functional_call: 'weight' is not a tensor but 3",
    ["nn.Linear(1, 1), { wieght = x }"] = "functional_call: the module has no parameter or buffer 'wieght'; did you mean 'weight'?",
    ["nn.Linear(1, 1), { { bias = x }, { bias = x } }"] = "functional_call: 'bias' is given twice",
    ["nn.Linear(1, 1), {}, x, nil, { strikt = true }"] = "functional_call: unknown option 'strikt'; did you mean 'strict'? …",
  } do check.rejects("mg.func.functional_call(" .. code .. ")", message, mg.ones(1)) end
end)

-- Help -----------------------------------------------------------------------------------------------------------

-- What mg.help prints.
local function help(topic)
  local lines, print_before = {}, print
  print = function(text) lines[#lines + 1] = text end
  local ok, message = pcall(mg.help, topic)
  print = print_before
  if not ok then error(message, 0) end
  return table.concat(lines, "\n")
end

local function run_example(name, text)
  local example = text:match "\nExample:\n(.+)$"
  local chunk = assert(load("local mg, nn, F, print = ... " .. tostring(example), "=" .. name))
  chunk(mg, nn, F, function() end)
end

check.case("so have the other functions that are written in Lua", function()
  local names = {
    "autograd.Function", "autograd.detect_anomaly", "autograd.saved_tensors_hooks", "checkpoint", "graph", "save_npy",
    "nn.Module.register_forward_pre_hook", "nn.Module.register_forward_hook",
  }
  for _, name in ipairs(names) do
    local text = help(name)
    check.equal(text:match "^mg%.([%w_.]+)%(", name)
    run_example(name, text)
  end
  check.equal(help(mg.checkpoint), help "checkpoint")
  for _, module in ipairs { nn.Linear(1, 1), nn.Sequential() } do
    check.equal(help(module.register_forward_hook), help "register_forward_hook")
  end
  local x = mg.ones(1)
  for _, name in ipairs { "backward", "register_hook", "retain_grad", "detach", "requires_grad_", "size", "why", "free" } do
    local text = help(name)
    check.equal(text:match "^x:([%w_]+)%(", name)
    check.equal(help(x[name]), text)
    run_example(name, text)
  end
  check.equal(help(mg.no_grad):match "^mg%.([%w_]+)%(", "no_grad")
  run_example("no_grad", help "no_grad")
end)

check.case("each function has a text, whose example runs", function()
  local names = { "grad", "gradcheck", "gradgradcheck" }
  for name in pairs(AF) do names[#names + 1] = "functional." .. name end
  for i, name in ipairs(names) do names[i] = "autograd." .. name end
  for name in pairs(func) do names[#names + 1] = "func." .. name end
  check.equal(#names, 20)
  for _, name in ipairs(names) do
    local text = help(name)
    check.equal(text:match "^mg%.([%w_.]+)%(", name)
    check.equal(help("mg." .. name), text)
    check.is_true(text:find("\n\nArguments:\n", 1, true))
    run_example(name, text)
  end
  check.equal(help(func.grad), help "func.grad")
  check.equal(help(AF.jacobian), help "autograd.functional.jacobian")
end)

return check.done()

-- Gradients where a function has a tie, a corner or a pole. The expected values are PyTorch 2.15's.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local F = mg.nn.functional

local inf, nan = math.huge, 0 / 0
local function leaf(values) return mg.tensor(values, { requires_grad = true }) end
local function plain(values) return mg.tensor(values) end

local function same(found, expected)
  if type(expected) ~= "table" then
    if expected ~= expected then return found ~= found end
    if expected == inf or expected == -inf then return found == expected end
    return math.abs(found - expected) <= 2e-6 * math.max(1, math.abs(expected))
  end
  if type(found) ~= "table" or #found ~= #expected then return false end
  for i = 1, #expected do if not same(found[i], expected[i]) then return false end end
  return true
end

local function shown(list)
  if type(list) ~= "table" then return tostring(list) end
  local parts = {}
  for i, value in ipairs(list) do parts[i] = shown(value) end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

-- { name, values of x, f, the gradient of the sum of f(x)'s first result }
local function edges(topic, list)
  for _, entry in ipairs(list) do
    local name, values, f, expected = table.unpack(entry)
    check.case(topic .. ": " .. name, function()
      local x = leaf(values)
      local y = f(x)
      y:sum():backward()
      local found = x.grad and x.grad:tolist()
      if not same(found, expected) then check.fail(("gradient is %s, not %s"):format(shown(found), shown(expected))) end
    end)
  end
end

edges("extremes", {
  { "max shares among ties", { 1.0, 3.0, 3.0, 3.0 }, function(x) return x:max() end, { 0, 1 / 3, 1 / 3, 1 / 3 } },
  { "min shares among ties", { 1.0, 1.0, 3.0 }, function(x) return x:min() end, { .5, .5, 0 } },
  { "max over a matrix", { { 1.0, 3.0 }, { 3.0, 2.0 } }, function(x) return x:max() end,
    { { 0, .5 }, { .5, 0 } } },
  { "median shares among ties", { 1.0, 2.0, 2.0, 3.0 }, function(x) return x:median() end, { 0, .5, .5, 0 } },
  { "median of an even count is the lower", { 1.0, 2.0, 3.0, 4.0 },
    function(x) return x:median() end, { 0, 1, 0, 0 } },
  { "max along a dimension takes the first", { 3.0, 3.0, 1.0 }, function(x) return (x:max(1)) end, { 1, 0, 0 } },
  { "min along a dimension takes the first", { 3.0, 1.0, 1.0 }, function(x) return (x:min(1)) end, { 0, 1, 0 } },
  { "median along a dimension takes one", { 2.0, 2.0, 2.0, 3.0 },
    function(x) return (x:median(1)) end, { 0, 1, 0, 0 } },
  { "amax shares along a dimension", { 3.0, 3.0, 1.0 }, function(x) return x:amax(1) end, { .5, .5, 0 } },
  { "amin shares", { 3.0, 1.0, 1.0 }, function(x) return x:amin() end, { 0, .5, .5 } },
  { "amax over two dimensions", { { 1.0, 3.0 }, { 3.0, 3.0 } }, function(x) return x:amax{ 1, 2 } end,
    { { 0, 1 / 3 }, { 1 / 3, 1 / 3 } } },
  { "max of NaN shares among NaN", { 1.0, nan, nan }, function(x) return x:max() end, { 0, .5, .5 } },
  { "topk takes the first", { 2.0, 2.0, 2.0 }, function(x) return x:topk(2) * plain{ 1.0, 10.0 } end, { 1, 10, 0 } },
  { "sort is stable", { 2.0, 1.0, 2.0 }, function(x) return x:sort() * plain{ 1.0, 10.0, 100.0 } end, { 10, 1, 100 } },
  { "maximum halves a tie", { 1.0, 3.0, 1.0 },
    function(x) return mg.maximum(x, plain{ 1.0, 2.0, 3.0 }) end, { .5, 1, 0 } },
  { "minimum halves a tie", { 1.0, 3.0, 1.0 },
    function(x) return mg.minimum(x, plain{ 1.0, 2.0, 3.0 }) end, { .5, 0, 1 } },
})

edges("corners", {
  { "relu at 0, −0 and NaN", { -1.0, 0.0, -0.0, 2.0, nan }, F.relu, { 0, 0, 0, 1, 1 } },
  { "abs at 0", { -1.0, 0.0, -0.0, 2.0 }, mg.abs, { -1, 0, 0, 1 } },
  { "sign", { -1.0, 0.0, 1.0 }, mg.sign, { 0, 0, 0 } },
  { "floor", { 0.5 }, mg.floor, { 0 } },
  { "round", { 0.5 }, mg.round, { 0 } },
  { "frac", { 0.5, -1.5 }, mg.frac, { 1, 1 } },
  { "fmod", { 3.0, -3.0 }, function(x) return x:fmod(2) end, { 1, 1 } },
  { "remainder by the divisor", { 2.0, 2.0 }, function(x) return mg.remainder(plain{ 7.0, -7.0 }, x) end, { -3, 4 } },
  { "fmod by the divisor", { 2.0, 2.0 }, function(x) return mg.fmod(plain{ 7.0, -7.0 }, x) end, { -3, 3 } },
  { "clamp at both bounds", { -1.0, 0.0, 0.5, 1.0, 2.0 }, function(x) return x:clamp(0, 1) end, { 0, 0, 1, 0, 0 } },
  { "clamp from below", { -1.0, 0.0, 0.5 }, function(x) return x:clamp{ min = 0 } end, { 0, 0, 1 } },
  { "clamp from above", { 0.5, 1.0, 2.0 }, function(x) return x:clamp{ max = 1 } end, { 1, 0, 0 } },
  { "clamp of NaN", { nan }, function(x) return x:clamp(0, 1) end, { 0 } },
  { "hardtanh", { -1.0, 0.0, 1.0 }, F.hardtanh, { 0, 1, 0 } },
  { "relu6", { 0.0, 3.0, 6.0 }, F.relu6, { 0, 1, 0 } },
  { "leaky_relu", { -1.0, 0.0, 1.0 }, function(x) return F.leaky_relu(x, .1) end, { .1, .1, 1 } },
  { "elu", { 0.0, -0.0, 1.0 }, F.elu, { 1, 1, 1 } },
  { "hardsigmoid", { -3.0, 0.0, 3.0 }, F.hardsigmoid, { 0, 1 / 6, 0 } },
  { "hardswish", { -3.0, 0.0, 3.0 }, F.hardswish, { 0, .5, 1 } },
  { "softsign", { 0.0 }, F.softsign, { 1 } },
  { "softplus far out", { 0.0, 30.0, -200.0 }, F.softplus, { .5, 1, 0 } },
  { "logsigmoid far out", { 0.0, -100.0, 100.0 }, F.logsigmoid, { .5, 1, 0 } },
  { "smooth_l1_loss at 0 and beta", { 0.0, 1.0, -1.0 },
    function(x) return F.smooth_l1_loss(x, mg.zeros(3), { reduction = "sum" }) end, { 0, 1, -1 } },
  { "huber_loss at 0 and delta", { 0.0, 1.0, -1.0 },
    function(x) return F.huber_loss(x, mg.zeros(3), { reduction = "sum" }) end, { 0, 1, -1 } },
  { "l1_loss at 0", { 0.0, 1.0, -1.0 },
    function(x) return F.l1_loss(x, mg.zeros(3), { reduction = "sum" }) end, { 0, 1, -1 } },
  { "copysign from 0", { -2.0, 2.0, 0.0 },
    function(x) return mg.copysign(x, plain{ 1.0, -1.0, 1.0 }) end, { -1, -1, 0 } },
})

edges("powers", {
  { "x ^ 0", { 0.0, 2.0, nan }, function(x) return x ^ 0 end, { 0, 0, 0 } },
  { "x ^ tensor 0", { 0.0, 2.0 }, function(x) return x ^ mg.tensor(0.0) end, { 0, 0 } },
  { "x ^ 1", { 0.0, 2.0 }, function(x) return x ^ 1 end, { 1, 1 } },
  { "x ^ 2", { 0.0, -2.0 }, function(x) return x ^ 2 end, { 0, -4 } },
  { "x ^ 0.5 at 0", { 0.0, 4.0 }, function(x) return x ^ 0.5 end, { inf, .25 } },
  { "x ^ −1 at 0", { 0.0, 2.0 }, function(x) return x ^ -1 end, { -inf, -.25 } },
  { "0 ^ x", { 0.0, 2.0, -1.0 }, function(x) return 0 ^ x end, { 0, 0, -inf } },
  { "tensor 0 ^ x", { 0.0, 2.0, -1.0 }, function(x) return mg.zeros(3) ^ x end, { 0, 0, -inf } },
  { "2 ^ x", { 0.0, 2.0 }, function(x) return 2 ^ x end, { math.log(2), 4 * math.log(2) } },
  { "(−2) ^ x", { 2.0, 3.0 }, function(x) return plain{ -2.0, -2.0 } ^ x end, { nan, nan } },
  { "x ^ x", { 0.0, 1.0 }, function(x) return x ^ x end, { 0, 1 } },
  { "sqrt at 0", { 0.0, 4.0 }, mg.sqrt, { inf, .25 } },
  { "rsqrt at 0", { 0.0, 4.0 }, mg.rsqrt, { -inf, -.0625 } },
  { "log at 0", { 0.0, 4.0 }, mg.log, { inf, .25 } },
  { "reciprocal at 0", { 0.0, 4.0 }, mg.reciprocal, { -inf, -.0625 } },
  { "asin at 1", { 1.0, 0.0 }, mg.asin, { inf, 1 } },
  { "acosh at 1", { 1.0 }, mg.acosh, { inf } },
  { "atanh at 1", { 1.0, 0.0 }, mg.atanh, { inf, 1 } },
  { "atan2 at the origin", { 0.0, 0.0 }, function(x) return mg.atan2(x, plain{ 0.0, -1.0 }) end, { 0, -1 } },
  { "hypot at the origin", { 0.0, 4.0 }, function(x) return mg.hypot(x, plain{ 0.0, 3.0 }) end, { nan, .8 } },
  { "xlogy at 0", { 0.0, 0.0 }, function(x) return mg.xlogy(x, plain{ 0.0, 2.0 }) end, { 0, math.log(2) } },
  { "division by 0", { 1.0 }, function(x) return x / plain{ 0.0 } end, { inf } },
  { "addcdiv by 0", { 0.0, 2.0 }, function(x) return mg.addcdiv(mg.zeros(2), mg.ones(2), x) end, { -inf, -.25 } },
})

edges("products and sums", {
  { "prod with one zero", { 2.0, 0.0, 3.0 }, mg.prod, { 0, 6, 0 } },
  { "prod with two zeros", { 0.0, 0.0, 3.0 }, mg.prod, { 0, 0, 0 } },
  { "prod along a dimension", { { 2.0, 0.0, 3.0 }, { 0.0, 0.0, 3.0 }, { 1.0, 2.0, 3.0 } },
    function(x) return x:prod(2) end, { { 0, 6, 0 }, { 0, 0, 0 }, { 6, 3, 2 } } },
  { "prod of a single zero", { 0.0 }, mg.prod, { 1 } },
  { "cumprod with zeros", { 2.0, 0.0, 3.0, 0.0, 4.0 }, function(x) return x:cumprod(1) end, { 1, 8, 0, 0, 0 } },
  { "sum of nothing", { 1.0 }, function(x) return x:narrow(1, 1, 0):sum() end, { 0 } },
  { "mean of nothing", { 1.0 }, function(x) return x:narrow(1, 1, 0):mean() end, { 0 } },
  { "logsumexp with −inf", { -inf, 0.0 }, function(x) return x:logsumexp(1) end, { 0, 1 } },
  { "logsumexp of −inf alone", { -inf, -inf }, function(x) return x:logsumexp(1) end, { nan, nan } },
  { "softmax with −inf", { -inf, 0.0, 0.0 },
    function(x) return x:softmax(1) * plain{ 1.0, 2.0, 3.0 } end, { 0, -.25, .25 } },
})

edges("norms and spreads", {
  { "norm at 0", { 0.0, 0.0 }, mg.norm, { 0, 0 } },
  { "1-norm at 0", { 0.0, -2.0 }, function(x) return x:norm(1) end, { 0, -1 } },
  { "3-norm at 0", { 0.0, 0.0 }, function(x) return x:norm(3) end, { 0, 0 } },
  { "max norm shares", { 3.0, -3.0, 1.0 }, function(x) return x:norm(inf) end, { .5, -.5, 0 } },
  { "max norm at 0", { 0.0, 0.0 }, function(x) return x:norm(inf) end, { 0, 0 } },
  { "norm of rows, one of them 0", { { 0.0, 0.0 }, { 3.0, 4.0 } },
    function(x) return x:norm(2, 2) end, { { 0, 0 }, { .6, .8 } } },
  { "std of a constant", { 2.0, 2.0, 2.0 }, mg.std, { 0, 0, 0 } },
  { "var of a constant", { 2.0, 2.0, 2.0 }, mg.var, { 0, 0, 0 } },
  { "var of one element", { 2.0 }, mg.var, { nan } },
})

edges("choosing", {
  -- The branch not taken multiplies 0 by sqrt's infinity, in PyTorch too …
  { "where does not hide a pole", { 0.0, 4.0 },
    function(x) return mg.where(x:gt(0), x:sqrt(), mg.zeros{}) end, { nan, .25 } },
  -- … so that the pole has to be kept out of the branch itself.
  { "where twice does", { 0.0, 4.0 }, function(x)
    return mg.where(x:gt(0), mg.where(x:gt(0), x, mg.ones{}):sqrt(), mg.zeros{})
  end, { 0, .25 } },
  { "masked_fill", { 1.0, 2.0, 3.0 },
    function(x) return x:masked_fill(plain{ true, false, true }, 9) * 2 end, { 0, 2, 0 } },
  { "masked_select", { 1.0, 2.0, 3.0 }, function(x) return x:masked_select(x:gt(1)) end, { 0, 1, 1 } },
  { "a mask as index", { 1.0, 2.0, 3.0 }, function(x) return x[plain{ true, false, true }] * 3 end, { 3, 0, 3 } },
  { "an index used several times", { 1.0, 2.0, 3.0 },
    function(x) return x[plain{ 1, 1, 3, 1 }] * plain{ 1.0, 10.0, 100.0, 1000.0 } end, { 1011, 0, 100 } },
  { "gather of one place twice", { 1.0, 2.0, 3.0 }, function(x) return x:gather(1, plain{ 2, 2, 1 }) end, { 1, 2, 0 } },
})

edges("losses", {
  { "binary_cross_entropy, right at 0 and 1", { 0.0, 1.0 },
    function(x) return F.binary_cross_entropy(x, plain{ 0.0, 1.0 }, { reduction = "sum" }) end, { 0, 0 } },
  -- PyTorch bounds the denominator from below by 1e-12.
  { "binary_cross_entropy, wrong at 0 and 1", { 0.0, 1.0 },
    function(x) return F.binary_cross_entropy(x, plain{ 1.0, 0.0 }, { reduction = "sum" }) end, { -1e12, 1e12 } },
})

-- The gradient of the gradient's sum; nil where the gradient does not depend on x.
local function second(f, values)
  local x = leaf(values)
  local g = mg.autograd.grad(f(x):sum(), { x }, { create_graph = true })
  local h = g.requires_grad and mg.autograd.grad(g:sum(), { x }, { allow_unused = true }) or nil
  return h and h:tolist()
end

for name, entry in pairs {
  ["relu at 0"] = { F.relu, { 0.0, 1.0 }, { 0, 0 } },
  ["x ^ 2 at 0"] = { function(x) return x ^ 2 end, { 0.0 }, { 2 } },
  ["x ^ 1"] = { function(x) return x ^ 1 end, { 0.0, 2.0 }, { 0, 0 } },
  ["x ^ 3 at 0"] = { function(x) return x ^ 3 end, { 0.0 }, { 0 } },
  ["prod with one zero"] = { mg.prod, { 0.0, 2.0, 3.0 }, { 5, 3, 2 } },
  ["prod with two zeros"] = { mg.prod, { 0.0, 0.0, 3.0 }, { 3, 3, 0 } },
  ["cumprod from zero"] = { function(x) return x:cumprod(1) end, { 0.0, 2.0 }, { 1, 1 } },
  -- d/dx_j of Σ_i x_i/‖x‖ = 1/‖x‖ − (Σ x) x_j/‖x‖³: 0.2 − 7·3/125 and 0.2 − 7·4/125.
  ["norm away from 0"] = { mg.norm, { 3.0, 4.0 }, { .032, -.024 } },
  ["clamp squared at its bounds"] = { function(x) return x:clamp(0, 1) ^ 2 end, { 0.0, .5, 1.0 }, { 0, 2, 0 } },
  ["sigmoid at 0"] = { mg.sigmoid, { 0.0 }, { 0 } },
} do
  check.case("second derivative: " .. name, function()
    local found = second(entry[1], entry[2])
    if not same(found, entry[3]) then check.fail(("is %s, not %s"):format(shown(found), shown(entry[3]))) end
  end)
end

check.case("what cannot have gradients does not require them", function()
  local x = leaf{ 3.0, 1.0, 2.0 }
  local results = {
    argmax = x:argmax(), argmin = x:argmin(), argsort = x:argsort(), max = select(2, x:max(1)),
    min = select(2, x:min(1)), sort = select(2, x:sort()), topk = select(2, x:topk(1)),
    median = select(2, x:median(1)), gt = x:gt(1), eq = x:eq(1), long = x:long(),
    int = x:int(), bool = x:bool(), isnan = x:isnan(), nonzero = x:nonzero(),
    count_nonzero = x:count_nonzero(), all = x:all(), any = x:any(),
  }
  for name, result in pairs(results) do
    if result.requires_grad or result.grad_fn or not result.is_leaf then check.fail(name .. " requires grad") end
  end
end)

check.case("what has a derivative of zero requires grad all the same", function()
  local x = leaf{ 0.5 }
  for _, name in ipairs { "sign", "floor", "ceil", "round", "trunc" } do
    check.equal(x[name](x).requires_grad, true)
  end
end)

check.case("integers and booleans cannot be flagged", function()
  for _, dtype in ipairs { "int64", "int32", "uint8", "bool" } do
    check.equal(pcall(mg.ones, 1, { dtype = dtype, requires_grad = true }), false)
    check.equal(pcall(function() mg.ones(1, { dtype = dtype }).requires_grad = true end), false)
    mg.ones(1, { dtype = dtype }).requires_grad = false        -- says nothing new, so it is no mistake
  end
end)

check.case("gradients have the leaf's dtype", function()
  local x = leaf{ 1.0, 2.0 }
  local y = mg.tensor({ 3.0, 4.0 }, { dtype = "float64", requires_grad = true });
  (x * y):sum():backward()
  check.equal(x.grad.dtype, "float32")
  check.equal(y.grad.dtype, "float64")
  check.elements(x.grad, { 3, 4 })
end)

check.case("the least and the largest number, and dimensions of numbers, end in a result or an error", function()
  check.raises("exp: argument 1 (input): expected a tensor, got 9223372036854775807", function() mg.exp(math.maxinteger) end)
  local x = mg.tensor({ 1.0, 2.0, 3.0 }, { requires_grad = true })
  local y = (x:roll(math.mininteger) * mg.tensor{ 1.0, 2.0, 3.0 }):sum()
  y:backward()
  check.close(x.grad:sum(), 6)
  check.close(mg.tensor(5.0):movedim(1, 1), 5)
  check.close(mg.tensor(5.0):repeat_interleave(2, 1), mg.tensor{ 5.0, 5.0 })
end)

return check.done()

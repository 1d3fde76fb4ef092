-- Functions of single elements and activations at their edges. The numbers are PyTorch's, and exact ones where it has fewer digits.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local F = mg.nn.functional
local nan, inf = 0 / 0, 1 / 0

local function near(found, expected, tolerance)
  check.equal(found.shape, { #expected })
  for i, value in ipairs(found:tolist()) do
    local wanted = expected[i]
    local fits = value == wanted or (value ~= value and wanted ~= wanted)
      or math.abs(value - wanted) <= (tolerance or 1e-5) * (1 + math.abs(wanted))
    if not fits then check.fail(("element %d is %s, not %s"):format(i, value, wanted)) end
  end
end

local function float64(values, options)
  options = options or {}
  options.dtype = "float64"
  return mg.tensor(values, options)
end

local function gradient(f, values)
  local x = float64(values, { requires_grad = true })
  f(x):sum():backward()
  return x.grad
end

check.case("signs and infinities", function()
  check.equal(mg.sgn(mg.tensor{ -2, 0, 3 }):tolist(), { -1, 0, 1 })
  check.equal(mg.tensor{ 2.0, -3.0 }:sgn_():tolist(), { 1.0, -1.0 })
  near(mg.angle(mg.tensor{ -1.0, 0.0, -0.0, nan, -inf }), { math.pi, 0, 0, nan, math.pi })
  check.equal(mg.angle(mg.tensor{ -1, 1 }).dtype, "float32")
  check.equal(mg.tensor{ inf, -inf, nan, 1.0 }:isposinf():tolist(), { true, false, false, false })
  check.equal(mg.tensor{ inf, -inf, nan, 1.0 }:isneginf():tolist(), { false, true, false, false })
  check.equal(mg.isposinf(mg.tensor{ 1, 2 }):tolist(), { false, false })
end)

check.case("floats and their neighbours", function()
  local x = float64{ 1.0, 0.0, nan, 1.0 }
  check.equal(x:nextafter(float64{ 1.0, -1.0, 1.0, 1 / 0 })[4]:item(), 1 + 2 ^ -52)
  check.equal(x:nextafter(float64{ 1.0, -1.0, 1.0, 1.0 })[2]:item(), -2.0 ^ -1074)
  near(x:nextafter(float64{ 1.0, 0.0, 1.0, 1.0 }), { 1, 0, nan, 1 }, 0)
  for dtype, step in pairs{ float16 = 2 ^ -10, bfloat16 = 2 ^ -7, float32 = 2 ^ -23 } do
    local one = mg.tensor({ 1.0, 1.0, -1.0, -1.0, 2.0 }, { dtype = dtype })
    local to = mg.tensor({ 2.0, 0.0, 0.0, -2.0, 2.0 }, { dtype = dtype })
    check.equal(one:nextafter(to):double():tolist(), { 1 + step, 1 - step / 2, -1 + step / 2, -1 - step, 2.0 })
  end
  check.raises("nextafter: a float tensor is needed…", mg.nextafter, mg.tensor{ 1 }, mg.tensor{ 2 })
  local y = mg.nextafter(mg.ones(1, { requires_grad = true }), mg.zeros(1))
  check.raises("nextafter: there is no derivative…", y.backward, y)

  local mantissa, exponent = mg.frexp(mg.tensor{ inf, nan, 0.0, 3.0, -10.0 })
  near(mantissa, { inf, nan, 0, 0.75, -0.625 }, 0)
  check.equal(exponent.dtype, "int32")
  check.equal(exponent:tolist(), { 0, 0, 0, 2, 4 })
  near(gradient(function(x) return (mg.frexp(x)) end, { 3.0, -10.0, 0.75 }), { 0.25, 0.0625, 1 }, 0)
  check.raises("frexp: a float tensor is needed…", mg.frexp, mg.tensor{ 3 })
end)

check.case("powers in float64", function()
  local y = mg.float_power(mg.tensor{ 2, 3 }, 2)
  check.equal(y.dtype, "float64")
  check.equal(y:tolist(), { 4.0, 9.0 })
  check.equal(mg.float_power(2, mg.tensor{ 1.0, -1.0 }):tolist(), { 2.0, 0.5 })
  check.equal(mg.tensor{ 2 }:float_power(-1):item(), 0.5)
  check.raises("float_power: a tensor is needed, got two numbers", mg.float_power, 2, 3)
end)

check.case("Bessel and gamma functions", function()
  near(mg.i0(float64{ 0, 1, -3, 24, 26, 100, 700 }), {
    1, 1.2660658777520082, 4.880792585865024, 2168619088.2413765, 15388976705.6608105, 1.0737517071310738e+42, 1.5295933476718734e+302,
  }, 1e-13)
  check.equal(mg.i0(mg.tensor{ 1, 2 }).dtype, "float32")
  near(gradient(mg.i0, { 0, 1, -3, 30 }), { 0, 0.565159103992485, -3.95337021740261, 768532038938.9573 }, 1e-13)
  near(float64{ 0.5, 3, -1.5, inf }:polygamma(1), { 4.934802200544679, 0.39493406684822646, 9.379246644989124, 0 }, 1e-12)
  near(mg.polygamma(2, float64{ 0, -1, -1.5, 3 }), { -inf, -inf, -0.2362041, -0.1541138063191886 }, 1e-6)
  near(mg.polygamma(0, float64{ 1.0 }), { -0.5772156649015329 }, 1e-14)
  check.equal(mg.tensor{ 1, 2 }:polygamma(2).dtype, "float32")
  near(float64{ 1.0 }:polygamma({ n = 0 }), { -0.5772156649015329 }, 1e-14)
  check.raises("polygamma: n must not be negative, got -1", mg.polygamma, -1, mg.ones(1))
  near(mg.mvlgamma(mg.tensor{ 3, 4 }, 2), { 1.5501950, 3.5650978 })
  check.raises("mvlgamma: p must be at least 1, got 0", mg.mvlgamma, mg.ones(1), 0)
end)

check.case("incomplete gamma functions", function()
  local a = float64{ 0, 0, 1, 2, inf, 1, inf, -1, nan }
  local x = float64{ 0, 1, 0, inf, 1, -1, inf, 1, 1 }
  near(mg.igamma(a, x), { nan, 1, 0, 1, 0, nan, nan, nan, nan })
  near(mg.igammac(a, x), { nan, 0, 1, 0, 1, nan, nan, nan, nan })
  a = float64{ 0.5, 1e-9, 30, 100, 1000, 50, 3 }
  x = float64{ 0.25, 0.3, 25, 100, 1020, 150, 1e-3 }
  near(a:igamma(x), { 0.5204998778130466, 0.9999999990943233, 0.18210391597745511, 0.513298798279148665, 0.738527184480110908, 1.0, 1.6654171665278094e-10 }, 1e-12)
  near(a:igammac(x), { 0.47950012218695337, 9.05676651837857e-10, 0.81789608402254489, 0.486701201720851335, 0.261472815519889092, 7.4121008573229075e-22, 0.9999999998334583 }, 1e-12)
  -- Far out there is no sum of so many terms as the parameter's root.
  near(mg.igammac(float64{ 999999, 1.1e6, 1e12, 1e300 }, float64{ 1000500, 1.1e6, 1000001e6, 1e300 }), { 0.30809762021888814, 0.49987320781948261, 0.15865525393141672, 0.5 }, 1e-11)
  -- What is small keeps its digits.
  local small = mg.igammac(float64{ 1e-9, 50 }, float64{ 0.3, 150 })
  near(small / float64{ 9.05676651837857e-10, 7.4121008573229075e-22 }, { 1, 1 }, 1e-10)
  check.raises("igamma: a float tensor is needed…", mg.igamma, mg.tensor{ 1 }, mg.tensor{ 2 })
  local y = mg.igamma(mg.ones(1, { requires_grad = true }), mg.ones(1))
  check.raises("igamma: there is no derivative by the first argument…", y.backward, y)
end)

check.case("activations at their edges", function()
  near(mg.threshold(mg.tensor{ nan, 1.0, 2.0, 3.0 }, 2, 9), { nan, 9, 9, 3 })
  check.equal(mg.threshold(mg.tensor{ 1, 2, 3 }, 2, 9.5):tolist(), { 9, 9, 3 })
  local x = mg.tensor{ 1.0, 3.0 }
  F.threshold(x, 2, 0, { inplace = true })
  check.equal(x:tolist(), { 0.0, 3.0 })
  near(F.hardshrink(mg.tensor{ nan, 0.5, 0.6, -0.5 }), { nan, 0, 0.6, 0 })
  near(F.softshrink(mg.tensor{ nan, 0.5, 0.6, -0.7, inf }), { nan, 0, 0.1, -0.2, inf })
  near(F.celu(mg.tensor{ nan, -1.0, inf, -inf }), { nan, -0.63212055, inf, -1 })
  near(F.selu(mg.tensor{ nan, -1.0, inf, -inf }), { nan, -1.1113307, inf, -1.7580993 })
  near(gradient(F.softshrink, { nan, 0.5, 2, -2 }), { 1, 0, 1, 1 })
  near(gradient(F.celu, { nan, 0, 2, -1 }), { 1, 1, 1, 0.36787944117144233 }, 1e-12)
  near(gradient(F.hardshrink, { nan, 0.5, 2, -2 }), { 1, 0, 1, 1 })
  near(gradient(function(x) return mg.threshold(x, 0, 5) end, { nan, 0, 2 }), { 1, 0, 1 })
  check.raises("celu: alpha must not be 0", F.celu, mg.ones(1), 0)
  check.raises("softshrink: lambd must be a finite number…", F.softshrink, mg.ones(1), -1)
  check.equal(mg.prelu(-mg.ones(2, 3), mg.tensor(2.0)):tolist(), { { -2.0, -2.0, -2.0 }, { -2.0, -2.0, -2.0 } })
  check.raises("prelu: 2 weights do not fit an input of shape [2, 3]", mg.prelu, mg.ones(2, 3), mg.ones(2))
  check.raises("prelu: the dtypes float16 and float32 differ", mg.prelu, mg.ones(2, 3):half(), mg.ones(3))
  check.raises("glu: dimension 1 of shape [3] cannot be halved", F.glu, mg.ones(3))
  near(F.softmin(mg.tensor{ 0, 255 }:byte(), 1), { 1, 0 })
end)

check.case("distances", function()
  near(F.normalize(mg.tensor{ 3.0, 4.0 }, { dim = 1 }), { 0.6, 0.8 })
  near(F.normalize(mg.zeros(2), { dim = 1 }), { 0, 0 })
  check.raises("normalize: a float tensor is needed…", F.normalize, mg.tensor{ 3, 4 }, { dim = 1 })
  near(mg.pairwise_distance(mg.ones(2, 3), mg.zeros(3)), { 1.7320526, 1.7320526 })
  check.equal(F.pairwise_distance(mg.ones(2, 3), mg.zeros(3), { keepdim = true }).shape, { 2, 1 })
  near(mg.cosine_similarity(mg.ones(2, 3), mg.zeros(3)), { 0, 0 })
  check.raises("cosine_similarity: a float tensor is needed…", mg.cosine_similarity, mg.tensor{ 1, 2 }, mg.tensor{ 1, 2 }, 1)
  near(mg.pdist(mg.arange(6.0):reshape(3, 2)), { 2.828427, 5.656854, 2.828427 })
  check.equal(mg.pdist(mg.ones(1, 2)).shape, { 0 })
  check.equal(mg.pdist(mg.ones(2, 0)):tolist(), { 0.0 })
  check.raises("pdist: a matrix is needed…", F.pdist, mg.ones(3))
  near(mg.ones(2, 3):renorm(2, 1, 0.5)[2], { 0.28867511, 0.28867511, 0.28867511 }, 1e-7)
  check.equal(mg.ones(2, 3):renorm_(2, 1, 5):tolist(), { { 1.0, 1.0, 1.0 }, { 1.0, 1.0, 1.0 } })
  check.raises("renorm: maxnorm must not be negative, got -1.0", mg.renorm, mg.ones(2, 2), 1, 1, -1)
end)

return check.done()

-- Forward mode and functions of functions: jvp, jacfwd, jacrev, hessian, linearize, dual numbers. Values are
-- PyTorch 2.15's.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local func, fwd, F = mg.func, mg.autograd.forward_ad, mg.autograd.functional

local message_of, mentions = check.message_of, check.mentions

local function double(values) return mg.tensor(values, { dtype = "float64" }) end
local function near(a, b) check.is_true(mg.allclose(a, b, { atol = 1e-9 })) end

local function curve(x) return (x:exp() * x:sin()):sum() end
local function field(x) return mg.stack({ x[1] * x[2], x[2]:exp(), x[1] ^ 3 - x[2] }, 1) end
local point = double{ 0.3, -0.7 }

check.case("jvp runs the function once, in forward mode", function()
  local calls = 0
  local y, moved = func.jvp(function(x) calls = calls + 1 return field(x) end, point, double{ 1.0, 2.0 })
  check.equal(calls, 1)
  near(y, field(point))
  near(moved, F.jacobian(field, point):mv(double{ 1.0, 2.0 }))
  check.is_true(not moved.requires_grad and y.grad_fn == nil)
  local value, tangent, extra = func.jvp(function(a, b) return a * b, "more" end, { point, point }, { point, -point }, { has_aux = true })
  near(value, point * point)
  check.elements(tangent, { 0, 0 })
  check.equal(extra, "more")
  -- What does not depend on the arguments does not move.
  check.elements(select(2, func.jvp(function() return double{ 5.0 } end, point, point)), { 0 })
  -- Also where nothing is recorded.
  mg.no_grad(function() near(select(2, func.jvp(curve, point, double{ 1.0, 0.0 })), func.grad(curve)(point)[1]) end)
end)

check.case("Jacobians by columns and by rows are those of graphs", function()
  near(func.jacfwd(field)(point), F.jacobian(field, point))
  near(func.jacrev(field)(point), F.jacobian(field, point))
  local function two(a, b) return a * b:sum(), a:outer(b) end
  local by_rows = func.jacrev(two, { argnums = { 1, 2 } })(point, double{ 1.0, 2.0, 3.0 })
  local by_columns = func.jacfwd(two, { argnums = { 1, 2 } })(point, double{ 1.0, 2.0, 3.0 })
  for o = 1, 2 do
    for i = 1, 2 do near(by_rows[o][i], by_columns[o][i]) end
  end
  check.equal(by_rows[2][1].shape, { 2, 3, 2 })
  local trees = func.jacfwd(function(p) return { sum = p.a + p.b } end)({ a = point, b = point })
  near(trees.sum.a, mg.eye(2, { dtype = "float64" }))
  local J, more = func.jacrev(function(x) return x ^ 2, "aux" end, { has_aux = true })(point)
  near(J, (point * 2):diag())
  check.equal(more, "aux")
  check.equal(func.jacfwd(function(x) return x end)(mg.zeros(0)).shape, { 0, 0 })
  check.equal(func.jacrev(function(x) return x end)(mg.zeros(0)).shape, { 0, 0 })
end)

check.case("transforms compose in any order", function()
  local hessian = F.hessian(curve, point)
  near(func.hessian(curve)(point), hessian)
  near(func.jacfwd(func.jacfwd(curve))(point), hessian)
  near(func.jacrev(func.jacrev(curve))(point), hessian)
  near(func.jacrev(func.jacfwd(curve))(point), hessian)
  near(func.jacfwd(func.grad(curve))(point), hessian)
  near(select(2, func.jvp(func.grad(curve), point, double{ 1.0, 0.0 })), hessian[1])
  near(func.grad(function(x) return (select(2, func.jvp(curve, x, double{ 1.0, 0.0 }))) end)(point), hessian[1])
  local third = func.jacfwd(func.jacfwd(func.jacfwd(curve)))(point)
  near(third, func.jacrev(func.hessian(curve))(point))
  -- Through backward and .grad.
  local leaf = point:clone():requires_grad_()
  fwd.dual_level(function()
    curve(fwd.make_dual(leaf, double{ 0.0, 1.0 })):backward()
    near(select(2, fwd.unpack_dual(leaf.grad)), hessian[2])
  end)
end)

check.case("a linearised function is not run again", function()
  local calls = 0
  local y, moved = func.linearize(function(x) calls = calls + 1 return field(x) end, point)
  near(y, field(point))
  near(moved(double{ 1.0, 0.0 }), F.jacobian(field, point)[{ {}, 1 }])
  near(moved(double{ 0.0, 1.0 }), F.jacobian(field, point)[{ {}, 2 }])
  check.equal(calls, 1)
end)

check.case("a model's loss, by directions of its parameters", function()
  mg.manual_seed(0)
  local net = mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.Tanh(), mg.nn.Linear(4, 2))
  local x, labels = mg.randn(5, 3), mg.tensor{ 1, 2, 1, 2, 2 }
  local params = {}
  for _, entry in ipairs(net:named_parameters()) do params[entry[1]] = entry[2]:detach() end
  local function loss(p) return mg.nn.functional.cross_entropy(func.functional_call(net, p, x), labels) end
  local direction, expected = {}, 0
  local gradient = func.grad(loss)(params)
  for name, p in pairs(params) do
    direction[name] = mg.randn_like(p)
    expected = expected + (gradient[name] * direction[name]):sum():item()
  end
  local _, moved = func.jvp(loss, { params }, { direction })
  mentions(message_of(func.jvp, loss, params, direction), "list", "{ t }")
  check.close(moved, expected, 1e-5)
end)

check.case("dual numbers", function()
  check.equal(select("#", fwd.unpack_dual(point)), 2)
  check.equal(select(2, fwd.unpack_dual(point)), nil)
  mentions(message_of(fwd.make_dual, point, point), "level")
  local kept
  do
    local _ <close> = fwd.dual_level()
    local x = fwd.make_dual(mg.tensor{ 1.0, 2.0 }, mg.tensor{ 1.0, 0.0 })
    check.equal(tostring(x), "tensor([1., 2.], tangent=tensor([1., 0.]))")
    mentions(message_of(fwd.make_dual, x, x), "already")
    mentions(message_of(fwd.make_dual, mg.ones(2), mg.ones(3)), "[3]", "[2]")
    mentions(message_of(fwd.make_dual, mg.tensor{ 1 }, mg.tensor{ 1 }), "int64")
    kept = x * x
    check.elements(select(2, fwd.unpack_dual(kept)), { 2, 0 })
    check.equal(select(2, fwd.unpack_dual(x:detach())), nil)
    check.equal(select(2, fwd.unpack_dual(x:gt(1))), nil)
    do
      local _ <close> = fwd.dual_level()
      check.equal(select(2, fwd.unpack_dual(kept)), nil)              -- of the outer level, not of this
      local z = fwd.make_dual(x, mg.tensor{ 0.0, 1.0 }) ^ 3
      local _, inner = fwd.unpack_dual(z)
      check.elements(inner, { 0, 12 })
    end
    local p = mg.zeros(2, 2)
    p[1] = x
    check.elements(select(2, fwd.unpack_dual(p)):flatten(), { 1, 0, 0, 0 })
    x:relu_():mul_(3)
    check.elements(select(2, fwd.unpack_dual(x)), { 3, 0 })
    x:zero_()
    check.elements(select(2, fwd.unpack_dual(x)) or mg.zeros(2), { 0, 0 })
  end
  check.equal(tostring(kept), "tensor([1., 4.])")
  -- A level ends with its scope, also when something fails inside.
  pcall(fwd.dual_level, error)
  mentions(message_of(fwd.make_dual, point, point), "level")
  local square = mg.autograd.Function("Square", {
    forward = function(ctx, x) ctx:save_for_backward(x) return x * x end,
    backward = function(ctx, g) return g * 2 * ctx.saved_tensors[1] end,
  })
  mentions(message_of(func.jvp, square, point, point), "Square", "forward mode")
end)

return check.done()

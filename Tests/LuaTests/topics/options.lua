-- Options of operations as PyTorch's users give them, beyond what the samples of the catalogue try.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local F = mg.nn.functional

check.case("factors and rounding", function()
  local x = mg.tensor{ 1.0, 2.0 }
  check.equal(mg.add(x, x, { alpha = 2 }):tolist(), { 3.0, 6.0 })
  check.equal(x:sub(1, { alpha = 0.5 }):tolist(), { 0.5, 1.5 })
  check.equal(x:clone():add_(x, { alpha = -1 }):tolist(), { 0.0, 0.0 })
  check.equal(mg.tensor{ 1, 2 }:add(mg.tensor{ 1, 1 }, { alpha = 3 }):tolist(), { 4, 5 })
  check.raises("add: the factor alpha = 0.5 does not fit tensors of int64", mg.add, mg.tensor{ 1 }, mg.tensor{ 1 }, { alpha = 0.5 })
  check.equal(mg.tensor{ -7, 7 }:div(2, { rounding_mode = "trunc" }):tolist(), { -3, 3 })
  check.equal(mg.tensor{ -7, 7 }:div(2, { rounding_mode = "floor" }):tolist(), { -4, 3 })
  check.raises("div: rounding_mode must be…", x.div, x, 2, { rounding_mode = "up" })
  check.raises("div: whole-number division by zero", mg.div, mg.tensor{ 1 }, mg.tensor{ 0 }, { rounding_mode = "trunc" })
  check.equal(mg.tensor{ 12.345, -0.051 }:round{ decimals = 1 }:tolist()[2] < 0, true)
  check.equal(mg.tensor({ 1234.0 }):round{ decimals = -2 }:item(), 1200.0)
  check.equal(mg.tensor{ 1.26 }:round_{ decimals = 1 }:item() - 1.3 < 1e-6, true)
end)

check.case("dtypes that are asked for", function()
  local i = mg.tensor{ 3, 1, 2 }
  for _, name in ipairs { "cumsum", "cumprod", "softmax", "log_softmax", "prod" } do
    check.equal(i[name](i, 1, { dtype = "float64" }).dtype, "float64")
  end
  check.equal(i:norm(2, { dtype = "float64" }).dtype, "float64")
  check.equal(mg.ones(2, 2):norm("fro"):item(), 2.0)
  check.raises("norm: p must be a number or \"fro\", got \"nuclear\"", mg.ones(2).norm, mg.ones(2), "nuclear")
end)

check.case("positions, repeats and parts of nothing", function()
  local rows, columns = mg.where(mg.tensor{ { true, false }, { true, true } })
  check.equal(rows:tolist(), { 1, 2, 2 })
  check.equal(columns:tolist(), { 1, 1, 2 })
  check.raises("where: two values are needed…", mg.where, mg.tensor{ true }, 1)
  check.equal(mg.repeat_interleave(mg.tensor{ 5, 6, 7 }, mg.tensor{ 2, 0, 1 }):tolist(), { 5, 5, 7 })
  check.raises("repeat_interleave: 2 counts…", mg.repeat_interleave, mg.tensor{ 5, 6, 7 }, mg.tensor{ 2, 0 })
  check.raises("repeat_interleave: the count must not be negative…", mg.repeat_interleave, mg.tensor{ 5, 6 }, mg.tensor{ 2, -1 })
  check.raises("repeat_interleave: the count must be a whole number, got 2.5", mg.repeat_interleave, mg.ones(2), 2.5)
  check.raises("expand: a tensor of sizes [4, 4611686018427387904]…", mg.repeat_interleave, mg.ones(4), 1 << 62)
  check.equal(#mg.zeros(0):chunk(3), 3)
  check.equal(mg.linspace(2, 5, 1):tolist(), { 2.0 })
  check.equal(mg.ones(2, 3):gather(1, mg.zeros({ 0 }, { dtype = "int64" })).shape, { 0 })
end)

check.case("an empty part of a joined tensor has a gradient of nothing", function()
  local empty, x = mg.zeros(0, { requires_grad = true }), mg.ones(2, 3, { requires_grad = true })
  local joined = mg.cat({ empty, x }, 1)
  check.equal(joined.requires_grad, true)
  joined:sum():backward()
  check.equal(empty.grad.shape, { 0 })
  check.equal(x.grad:sum():item(), 6.0)
  check.equal(mg.cat({ empty, mg.zeros(0) }).requires_grad, true)
end)

check.case("functions that write into their argument", function()
  local x = mg.tensor{ -1.0, 2.0 }
  local same = F.relu(x, { inplace = true })
  check.equal(rawequal(same, x), true)
  check.equal(x:tolist(), { 0.0, 2.0 })
  check.equal(F.relu(mg.tensor{ -1.0 }, { inplace = false }):item(), 0.0)
  local y = mg.tensor{ -1.0 }
  check.equal(rawequal(F.leaky_relu(y, 0.5, { inplace = true }), y), true)
  check.equal(y:item(), -0.5)
  check.raises("relu: unknown option…", F.relu, x, { in_place = true })
end)

check.case("what is near, and what no tensor holds", function()
  local nan = mg.tensor{ 0 / 0, 1.0 }
  check.equal(nan:isclose(nan):tolist(), { false, true })
  check.equal(nan:isclose(nan, { equal_nan = true }):tolist(), { true, true })
  check.raises("dtype: complex64: there are no complex numbers…", mg.zeros, 2, { dtype = "complex64" })
  check.equal(mg.zeros(1):type(), "torch.FloatTensor")
  check.equal(mg.zeros(1):type("torch.LongTensor").dtype, "int64")
  check.equal(mg.zeros(1):type("int16").dtype, "int16")
end)

return check.done()

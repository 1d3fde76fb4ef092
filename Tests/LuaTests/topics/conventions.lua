-- How the library speaks Lua: sizes and options, positions from 1, properties and methods, operators, several results.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional

check.case("sizes are numbers or a list, options a trailing table", function()
  check.equal(mg.zeros(2, 3).shape, { 2, 3 })
  check.equal(mg.zeros{ 2, 3 }.shape, { 2, 3 })
  check.equal(mg.zeros{}.shape, {})
  local x = mg.zeros(2, 3, { dtype = "float64", requires_grad = true })
  check.equal(x.dtype, "float64")
  check.equal(x.requires_grad, true)
  check.equal(mg.zeros({ 2, 3 }, { dtype = "int64" }).dtype, "int64")
  check.equal(mg.zeros(2.0, 6 / 2).shape, { 2, 3 })
end)

check.case("arguments by position or by name", function()
  local x = mg.tensor{ { 1.0, 2.0 }, { 3.0, 4.0 } }
  check.equal(x:sum(1, true), x:sum{ dim = 1, keepdim = true })
  check.equal(x:sum(1, { keepdim = true }), x:sum(1, true))
  check.elements(x:sum(1), { 4, 6 })
  check.elements(x:sum(2), { 3, 7 })
  check.elements(x:sum(-1), { 3, 7 })
end)

check.case("numbers choose the dtype", function()
  check.equal(mg.tensor{ 1, 2 }.dtype, "int64")
  check.equal(mg.tensor{ 1.0, 2.0 }.dtype, "float32")
  check.equal(mg.tensor{ 1, 2.5 }.dtype, "float32")
  check.equal(mg.tensor{ true, false }.dtype, "bool")
  check.equal(mg.tensor(1).dtype, "int64")
  check.equal(mg.tensor({ 1, 2 }, { dtype = "float64" }).dtype, "float64")
  check.equal(mg.arange(3).dtype, "int64")
  check.equal(mg.arange(3.0).dtype, "float32")
  check.equal(mg.full({ 2 }, 7).dtype, "int64")
  check.equal(mg.ones(2).dtype, "float32")
  for _, dtype in ipairs { "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool" } do
    check.equal(mg.ones(2, { dtype = dtype }).dtype, dtype)
    check.equal(mg[dtype], dtype)
  end
  -- A tensor's methods go by PyTorch's short names.
  for method, dtype in pairs { half = "float16", bfloat16 = "bfloat16", float = "float32", double = "float64", long = "int64", int = "int32", short = "int16",
      char = "int8", byte = "uint8", bool = "bool" } do
    check.equal(mg.ones(2)[method](mg.ones(2)).dtype, dtype)
  end
  -- At the edges of their ranges; in uint8 numbers below zero wrap around, as PyTorch lets them.
  check.equal(mg.tensor({ 127, -128 }, { dtype = "int8" }):tolist(), { 127, -128 })
  check.equal(mg.tensor({ 255, -1, -255 }, { dtype = "uint8" }):tolist(), { 255, 255, 1 })
  check.equal(mg.full({ 1 }, math.mininteger, { dtype = "int64" }):item(), math.mininteger)
  check.equal(mg.full({ 1 }, 70000, { dtype = "float16" }):item(), math.huge)
  check.equal((mg.tensor({ 100 }, { dtype = "int8" }) + 1000):item(), 76)
end)

check.case("the default dtype", function()
  check.equal(mg.get_default_dtype(), "float32")
  mg.set_default_dtype "float64"
  check.equal(mg.tensor{ 1.0 }.dtype, "float64")
  check.equal(mg.ones(2).dtype, "float64")
  mg.set_default_dtype "float32"
  check.equal(mg.ones(2).dtype, "float32")
end)

check.case("what a dtype can hold", function()
  check.equal(tostring(mg.finfo()), "finfo(resolution=1e-06, min=-3.40282e+38, max=3.40282e+38, eps=1.19209e-07, " ..
    "smallest_normal=1.17549e-38, tiny=1.17549e-38, dtype=float32)")
  check.equal(tostring(mg.finfo "bfloat16"), "finfo(resolution=0.01, min=-3.38953e+38, max=3.38953e+38, eps=0.0078125, " ..
    "smallest_normal=1.17549e-38, tiny=1.17549e-38, dtype=bfloat16)")
  check.equal(tostring(mg.finfo(mg.float16)), "finfo(resolution=0.001, min=-65504, max=65504, eps=0.000976562, " ..
    "smallest_normal=6.10352e-05, tiny=6.10352e-05, dtype=float16)")
  local double = mg.finfo "float64"
  check.equal({ double.bits, double.eps, double.max, double.tiny }, { 64, 0x1p-52, 0x1.fffffffffffffp1023, 0x1p-1022 })
  check.equal(tostring(mg.iinfo "uint8"), "iinfo(min=0, max=255, dtype=uint8)")
  check.equal({ mg.iinfo("int8").min, mg.iinfo("int64").min, mg.iinfo("int64").max }, { -128, math.mininteger, math.maxinteger })
  -- The tensors agree: what a dtype says of itself is where its numbers end.
  for _, dtype in ipairs { "float16", "bfloat16", "float32", "float64" } do
    local info = mg.finfo(dtype)
    local values = mg.tensor({ info.max, 1 + info.eps, 1 + info.eps / 4 }, { dtype = "float64" }):to(dtype):to "float64"
    check.elements(values, { info.max, 1 + info.eps, 1 })
  end
  check.rejects("mg.finfo 'int32'", 'finfo: expected a float dtype such as "float32", got int32')
  check.rejects("mg.iinfo(mg.bool)", 'iinfo: expected an integer dtype such as "int64", got bool')
  check.rejects("mg.iinfo()", 'iinfo: expected an integer dtype such as "int64", got nil')
end)

check.case("types are promoted as PyTorch's", function()
  local long, float, double, flag = mg.tensor{ 1 }, mg.tensor{ 1.0 }, mg.tensor({ 1.0 }, { dtype = "float64" }), mg.tensor{ true }
  check.equal((long + float).dtype, "float32")
  check.equal((float + double).dtype, "float64")
  check.equal((long + 1).dtype, "int64")
  check.equal((long + 1.5).dtype, "float32")
  check.equal((float + 1).dtype, "float32")
  check.equal((float + 1.5).dtype, "float32")
  check.equal((flag + 1).dtype, "int64")
  check.equal((long / long).dtype, "float32")
  check.equal((long // long).dtype, "int64")
  check.equal((mg.ones(1, { dtype = "int32" }) + long).dtype, "int64")
  check.equal((float + mg.tensor(1.0, { dtype = "float64" })).dtype, "float32") -- rank 0 does not widen
end)

check.case("values by value: arange, linspace, randint are not positions", function()
  check.equal(mg.arange(0, 5):tolist(), { 0, 1, 2, 3, 4 })
  check.equal(mg.arange(5):tolist(), { 0, 1, 2, 3, 4 })
  check.equal(mg.arange(1, 2, 0.5):tolist(), { 1.0, 1.5 })
  check.elements(mg.linspace(-1, 1, 3), { -1, 0, 1 })
  check.is_true(mg.randint(0, 3, { 100 }):max():item() <= 2)
end)

check.case("positions that come out count from 1", function()
  local x = mg.tensor{ { 3.0, 1.0, 2.0 }, { 4.0, 6.0, 5.0 } }
  check.elements(x:argmax(2), { 1, 2 })
  check.equal(x:argmax():item(), 5)
  check.elements(x:argmin(1), { 1, 1, 1 })
  local values, indices = x:max(2)
  check.elements(values, { 3, 6 })
  check.elements(indices, { 1, 2 })
  values, indices = x:sort(2)
  check.elements(values, { { 1, 2, 3 }, { 4, 5, 6 } })
  check.elements(indices, { { 2, 3, 1 }, { 1, 3, 2 } })
  values, indices = x:topk(1)
  check.elements(values, { { 3 }, { 6 } })
  check.elements(indices, { { 1 }, { 2 } })
  check.elements(mg.tensor{ 0, 5, 0, 7 }:nonzero(), { { 2 }, { 4 } })
  check.elements(x:argsort(2), { { 2, 3, 1 }, { 1, 3, 2 } })
  mg.manual_seed(0)
  local order = mg.randperm(5):sort()
  check.elements(order, { 1, 2, 3, 4, 5 })
end)

check.case("positions that go in count from 1", function()
  local x = mg.tensor{ { 1.0, 2.0 }, { 3.0, 4.0 } }
  check.elements(x:select(1, 2), { 3, 4 })
  check.elements(x:select(-1, -1), { 2, 4 })
  check.elements(x:index_select(1, mg.tensor{ 2, 1 }), { { 3, 4 }, { 1, 2 } })
  check.elements(x:gather(2, mg.tensor{ { 2 }, { 1 } }), { { 2 }, { 3 } })
  check.elements(x:narrow(1, 2, 1), { { 3, 4 } })
  check.elements(x:transpose(1, 2), { { 1, 3 }, { 2, 4 } })
  check.elements(x:permute(2, 1), { { 1, 3 }, { 2, 4 } })
  check.equal(x:unsqueeze(1).shape, { 1, 2, 2 })
  check.equal(x:unsqueeze(-1).shape, { 2, 2, 1 })
  check.equal(x:unsqueeze(3).shape, { 2, 2, 1 })
  check.equal(x:size(1), 2)
  check.elements(mg.stack({ x[1], x[2] }, 2), { { 1, 3 }, { 2, 4 } })
  check.equal(mg.cat({ x, x }, 1).shape, { 4, 2 })
end)

check.case("class labels count from 1", function()
  local logits = mg.tensor{ { 0.0, 100.0 }, { 100.0, 0.0 } }
  check.close(F.cross_entropy(logits, mg.tensor{ 2, 1 }), 0)
  check.close(nn.CrossEntropyLoss()(logits, mg.tensor{ 1, 2 }), 100)
  check.close(F.cross_entropy(logits, mg.tensor{ 2, -100 }), 0)            -- ignored, by default
  check.close(nn.CrossEntropyLoss{ ignore_index = 1 }(logits, mg.tensor{ 2, 1 }), 0)
  check.close(F.nll_loss(mg.tensor{ { -1.0, -2.0 } }, mg.tensor{ 2 }), 2)
end)

check.case("shifts and diagonals are not positions and may be 0", function()
  local x = mg.tensor{ { 1, 2 }, { 3, 4 } }
  check.elements(x:triu(0), { { 1, 2 }, { 0, 4 } })
  check.elements(x:tril(-1), { { 0, 0 }, { 3, 0 } })
  check.elements(mg.tensor{ 1, 2, 3 }:roll(0), { 1, 2, 3 })
  check.elements(mg.tensor{ 1, 2, 3 }:roll(1), { 3, 1, 2 })
end)

check.case("properties and methods", function()
  local x = mg.ones(2, 3)
  check.equal(x.shape, { 2, 3 })
  check.equal(x.ndim, 2)
  check.equal(x:dim(), 2)
  check.equal(x:numel(), 6)
  check.equal(x:size(), { 2, 3 })
  check.equal(x.T.shape, { 3, 2 })
  check.equal(x.is_leaf, true)
  check.equal(x.grad, nil)
  check.equal(x.grad_fn, nil)
  x.requires_grad = true
  check.equal(x.requires_grad, true)
  x.grad = mg.ones(2, 3)
  check.elements(x.grad[1], { 1, 1, 1 })
  x.grad = nil
  check.equal(x.grad, nil)
  x.data = mg.zeros(2, 3)
  check.equal(x:sum():item(), 0.0)
  check.equal(x.requires_grad, true)
end)

check.case("a flag is assigned to leaves only", function()
  local x = mg.ones(2, { requires_grad = true })
  local message = "requires_grad: only a leaf tensor's flag can be assigned, but this one was computed by MulBackward0; "
    .. "use detach() for a leaf that shares its values"
  check.rejects("x.requires_grad = true", message, x * 2)
  check.rejects("x.requires_grad = false", message, x * 2)
  -- The method follows PyTorch's: true where it is true already is no mistake.
  check.equal((x * 2):requires_grad_().requires_grad, true)
  check.rejects("x:requires_grad_(false)", "requires_grad: the flag of a non-leaf tensor cannot be cleared…", x * 2)
  local y = mg.no_grad(function() return x * 2 end)
  y.requires_grad = true
  check.equal(y.is_leaf, true)
end)

check.case("a shape is a list that prints and compares as its numbers", function()
  local x = mg.zeros(2, 3)
  local shape = x.shape
  check.equal({ tostring(shape), tostring(x:size()), tostring(x:t():stride()) }, { "{2, 3}", "{2, 3}", "{1, 3}" })
  check.equal({ tostring(mg.tensor(1).shape), tostring(mg.zeros(0).shape) }, { "{}", "{0}" })
  check.equal({ "of " .. shape, shape .. "!", shape .. shape }, { "of {2, 3}", "{2, 3}!", "{2, 3}{2, 3}" })
  check.equal({ type(shape), #shape, shape[1], shape[-1], table.unpack(shape) }, { "table", 2, 2, nil, 2, 3 })
  check.equal({ shape == mg.ones(2, 3).shape, shape == x:t().shape, shape == mg.zeros(2).shape }, { true, false, false })
  check.equal({ shape == { 2, 3 }, { 2, 3 } == shape, shape == { 2, 3, 4 }, shape ~= { 3, 2 } }, { true, true, false, true })
  local sum = 0
  for i, size in ipairs(shape) do sum = sum + i * size end
  check.equal(sum, 8)
  check.equal(table.concat(shape, "x"), "2x3")
  table.insert(shape, 1, 5)
  check.equal({ tostring(shape), tostring(mg.zeros(shape).shape), tostring(x.shape) }, { "{5, 2, 3}", "{5, 2, 3}", "{2, 3}" })
  shape[2] = "two"
  check.equal(tostring(shape), "{5, two, 3}")
end)

check.case("tensors as numbers of a new tensor", function()
  local a, b = mg.tensor(1.0, { requires_grad = true }), mg.tensor{ 2.0 }
  local warned = mg.catch_warnings(function()
    check.elements(mg.tensor{ b, b:detach() }, { 2, 2 })
    check.elements(mg.no_grad(mg.tensor, { a, b }), { 1, 2 })
  end)
  check.equal(warned, {})
  local function make()
    local t = mg.tensor{ { a, b }, { 3, a * 2 } }
    check.equal(t.requires_grad, false)
    check.elements(t, { { 1, 2 }, { 3, 2 } })
  end
  warned = mg.catch_warnings(function() make() make() end)
  check.equal(#warned, 1)                            -- once for a session
  check.mentions(tostring(warned[1]), "tensor: ", "requires grad", "mg.stack", "detach()")
end)

check.case("values leave as Lua values", function()
  check.equal(mg.tensor(2.5):item(), 2.5)
  check.equal(mg.tensor(2):item(), 2)
  check.equal(mg.tensor(true):item(), true)
  check.equal(mg.tensor{ { 1, 2 }, { 3, 4 } }:tolist(), { { 1, 2 }, { 3, 4 } })
  check.equal(mg.tensor{}:tolist(), {})
  check.equal(mg.tensor(3.0):tolist(), 3.0)
end)

check.case("every operation is a function and a method", function()
  local x = mg.tensor{ 1.0, 4.0, 9.0 }
  for _, name in ipairs { "exp", "log", "sqrt", "abs", "neg", "tanh", "sigmoid", "relu", "sum", "mean", "square", "sin" } do
    check.equal(mg[name](x), x[name](x))
  end
  check.equal(mg.add(x, x), x:add(x))
  check.equal(mg.mm(x:unsqueeze(1), x:unsqueeze(2)), x:unsqueeze(1):mm(x:unsqueeze(2)))
  check.is_true(F.relu(x):equal(mg.relu(x)))
end)

check.case("in-place operations return self", function()
  local x = mg.ones(2)
  check.is_true(x:add_(1) == x)
  check.is_true(x:mul_(3):sub_(1) == x)
  check.elements(x, { 5, 5 })
  check.elements(x:fill_(2), { 2, 2 })
  check.elements(x:zero_(), { 0, 0 })
  check.elements(x:copy_(mg.tensor{ 1.0, 2.0 }), { 1, 2 })
end)

check.case("operators, with numbers on either side", function()
  local x = mg.tensor{ 1.0, 2.0, 4.0 }
  check.elements(x + 1, { 2, 3, 5 })
  check.elements(1 + x, { 2, 3, 5 })
  check.elements(x - 1, { 0, 1, 3 })
  check.elements(1 - x, { 0, -1, -3 })
  check.elements(x * 2, { 2, 4, 8 })
  check.elements(2 * x, { 2, 4, 8 })
  check.elements(x / 2, { 0.5, 1, 2 })
  check.elements(4 / x, { 4, 2, 1 })
  check.elements(x // 2, { 0, 1, 2 })
  check.elements(5 // x, { 5, 2, 1 })
  check.elements(x % 3, { 1, 2, 1 })
  check.elements(5 % x, { 0, 1, 1 })
  check.elements(x ^ 2, { 1, 4, 16 })
  check.elements(2 ^ x, { 2, 4, 16 })
  check.elements(-x, { -1, -2, -4 })
  check.elements(mg.tensor{ -3, 3 } // 2, { -2, 1 })
  check.elements(mg.tensor{ -3, 3 } % 2, { 1, 1 })
  check.elements(mg.tensor{ { 1 }, { 2 } } + mg.tensor{ 10, 20 }, { { 11, 21 }, { 12, 22 } })
  check.equal(#mg.zeros(4, 2), 4)
end)

check.case("== is identity; eq and equal compare elements", function()
  local x, y = mg.ones(2, { requires_grad = true }), mg.ones(2)
  check.is_true(x ~= y)
  check.elements(x:eq(y), { true, true })
  check.equal(x:equal(y), true)
  check.equal(x:equal(y * 2), false)
  check.equal(x:equal(mg.ones(3)), false)
  x:sum():backward()
  check.is_true(x.grad == x.grad)
  check.equal(mg.equal(x, y), true)
  check.equal(x:allclose(y + 1e-7), true)
  check.equal(x:allclose(y + 0.01), false)
  check.equal(x:allclose(y + 0.01, { rtol = 0.1 }), true)
  check.equal(mg.allclose(x, y + 0.01, 0, 0.1), true)
end)

check.case("tensors as keys of tables go by identity of the handle's tensor", function()
  local x = mg.ones(2)
  local list = { [x] = "found" }
  check.equal(list[x], "found")
end)

check.case("comparisons are methods", function()
  local x = mg.tensor{ 1.0, 2.0, 3.0 }
  check.elements(x:lt(2), { true, false, false })
  check.elements(x:ge(mg.tensor{ 2.0, 2.0, 2.0 }), { false, true, true })
  check.elements(x:gt(1), { false, true, true })
  check.elements(x:le(1), { true, false, false })
  check.elements(x:ne(2), { true, false, true })
end)

check.case("tostring and ..", function()
  check.equal("x = " .. mg.tensor{ 1, 2 }, "x = tensor([1, 2])")
  check.equal(mg.tensor(1) .. 2, "tensor(1)2")
  check.equal(tostring(mg.tensor(true)), "tensor(True)")
end)

check.case("a number of results that depends on the data is a list", function()
  local parts = mg.arange(5):chunk(2)
  check.equal(#parts, 2)
  check.elements(parts[1], { 0, 1, 2 })
  check.elements(mg.arange(5):split(2)[3], { 4 })
  check.elements(mg.tensor{ { 1, 2 }, { 3, 4 } }:unbind()[2], { 3, 4 })
end)

check.case("repeat is a keyword", function()
  local x = mg.tensor{ 1, 2 }
  check.elements(x:tile(2), { 1, 2, 1, 2 })
  check.elements(x["repeat"](x, 2), { 1, 2, 1, 2 })
  check.elements(x["repeat"](x, 2, 1), { { 1, 2 }, { 1, 2 } })
end)

check.case("loops", function()
  local seen = {}
  for i in mg.progress(3) do seen[#seen + 1] = i end
  check.equal(seen, { 1, 2, 3 })
  local rows = {}
  local x = mg.tensor{ { 1, 2 }, { 3, 4 } }
  for i = 1, #x do rows[i] = x[i]:tolist() end
  check.equal(rows, { { 1, 2 }, { 3, 4 } })
end)

check.case("random numbers are PyTorch's", function()
  mg.manual_seed(0)
  check.close(mg.rand(3), { 0.49625658988952637, 0.7682217955589294, 0.08847743272781372 }, 1e-9)
  mg.manual_seed(0)
  check.close(mg.randn(3), { 1.5409960746765137, -0.293428897857666, -2.1787893772125244 }, 1e-6)
  mg.manual_seed(7)
  local first = mg.rand(10)
  mg.manual_seed(7)
  check.equal(mg.rand(10), first)
end)

check.case("time runs", function()
  local before = mg.clock()
  check.equal(math.type(before), "float")
  check.is_true(mg.clock() >= before)
end)

return check.done()

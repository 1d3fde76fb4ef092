-- What people try since Lua or PyTorch taught it to them: loops over tensors, devices, sizes that print, requiring again.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

check.case("ipairs over a tensor gives its rows and ends", function()
  local x, sum, count = mg.arange(6):view(3, 2), mg.zeros(2), 0
  for i, row in ipairs(x) do
    count = count + 1
    check.equal(i, count)
    check.elements(row, { 2 * i - 2, 2 * i - 1 })
    sum = sum + row
  end
  check.equal(count, 3)
  check.elements(sum, { 6, 9 })
  for _ in ipairs(mg.zeros(0, 2)) do check.fail "there is no row" end
  check.raises("index: a tensor of rank 0 cannot be indexed; use x:item()", function() for _ in ipairs(mg.tensor(1)) do end end)
end)

check.case("an index beyond the end raises everywhere else", function()
  local x = mg.ones(3)
  local message = "select: index 4 is out of range for dimension 1 of size 3"
  check.raises(message, function() return x[4] end)
  check.raises(message, function() return (function() return x[#x + 1] end)() end)
  for i in ipairs { 1 } do check.raises(message, function() return x[i + 3] end) end
  local own = function(t, i) local v = t[i + 1] if v then return i + 1, v end end
  check.raises(message, function() for _ in own, x, 0 do end end)
end)

check.case("x:iter() gives the rows, which take part in the graph", function()
  local x, sum = mg.tensor({ { 1.0, 2.0 }, { 3.0, 4.0 } }, { requires_grad = true }), mg.zeros {}
  for row in x:iter() do sum = sum + (row * row):sum() end
  sum:backward()
  check.elements(x.grad, { { 2, 4 }, { 6, 8 } })
  local first, second = x:iter(), x:iter()
  check.elements(first(), { 1, 2 })
  check.elements(first(), { 3, 4 })
  check.equal(first(), nil)
  check.elements(second(), { 1, 2 })
  check.raises("iter: a tensor of rank 0 has no rows; its value is x:item()", function() mg.tensor(1):iter() end)
end)

check.case("the same inside of vmap", function()
  local function by_pairs(x) local sum = 0 for _, e in ipairs(x) do sum = sum + e * e end return sum end
  local function by_iter(x) local sum = 0 for e in x:iter() do sum = sum + e * e end return sum end
  local x = mg.arange(6):view(2, 3)
  check.elements(mg.func.vmap(by_pairs)(x), { 5, 50 })
  check.elements(mg.func.vmap(by_iter)(x), { 5, 50 })
end)

check.case("progress takes a count that is a float", function()
  local last
  for i in mg.progress(100 / 2) do last = i end
  check.equal(last, 50)
  for wrong, shown in pairs { [2.5] = "2.5", [-1] = "-1" } do
    check.raises("progress: expected a count, got " .. shown, mg.progress, wrong)
  end
  check.raises("progress: expected a count, a loader or an iterator, got \"x\"", mg.progress, "x")
end)

check.case("require yields the same library again", function()
  local kept = {}
  for name, value in pairs(package.loaded) do kept[name] = value end
  package.loaded.moongrad = nil
  check.equal(require "moongrad", mg)
  for name in pairs(package.loaded) do package.loaded[name] = nil end
  check.equal(require "moongrad", mg)
  for name, value in pairs(kept) do package.loaded[name] = value end
  check.equal(require "moongrad", mg)
end)

check.case("lists that make no tensor say where", function()
  for source, text in pairs {
    ["{ 1, nil, 3 }"] = "element 2 of the list is nil, and there are others after it: a list cannot have holes",
    ["{ { 1, 2 }, { 3, nil, 5 } }"] = "rows differ in length: [1] has 2 elements, but [2] has 3",
    ["{ { 1, 2, 3 }, { 3, nil, 5 } }"] = "element [2][2] is nil: a list cannot have holes",
    ["{ { 1, 2 }, { 3, 4 }, { 5 } }"] = "rows differ in length: [1] has 2 elements, but [3] has 1",
    ["{ { { 1 }, { 2 } }, { { 3 }, { 4, 5 } } }"] = "rows differ in length: [1][1] has 1 element, but [2][2] has 2",
    ["{ { 1 }, 2 }"] = "[2] is 2 where a list was expected, as before it at the same depth",
    ["{ 1, { 2 } }"] = "[2] is a list where a number was expected, as before it at the same depth",
    ['{ 1, "2" }'] = 'elements must be numbers or booleans, [2] is "2"',
    ["{ 1, a = 2 }"] = "a list with named fields; options go into a table of their own, the last argument",
  } do check.rejects("mg.tensor(" .. source .. ")", "tensor: " .. text) end
end)

check.case("the device is the CPU", function()
  local x = mg.tensor({ 1.0 }, { device = "cpu" })
  check.equal(x.device, "cpu")
  check.equal(mg.zeros(2, { device = "cpu" }).shape, { 2 })
  check.equal(x:to("cpu"), x)
  check.equal(x:to({ device = "cpu", dtype = "float64" }).dtype, "float64")
  check.equal(x:to("cpu", "float64").dtype, "float64")
  check.equal(nn.Linear(2, 2, { device = "cpu" }):to("cpu").weight.shape, { 2, 2 })
  local none = 'there is no device "cuda": moongrad runs on the CPU only, so leave it out, or write "cpu"'
  check.rejects('mg.tensor({ 1 }, { device = "cuda" })', "tensor: option 'device': " .. none)
  check.rejects('mg.ones(1, { device = "cuda" })', "ones: option 'device': " .. none)
  check.rejects('mg.ones(1):to "cuda"', "to: " .. none)
  check.rejects('mg.ones(1):to { device = "cuda" }', "to: option 'device': " .. none)
  check.rejects('mg.ones(1):cuda()', "cuda: " .. none)
  check.rejects('nn.Linear(2, 2, { device = "cuda" })', "Linear: option 'device': " .. none)
  check.rejects('nn.Sequential(nn.Linear(2, 2)):to "cuda"', "to: " .. none)
  check.rejects('mg.ones(1):sum { device = "cpu" }', "sum: unknown option 'device'…")
end)

check.case("sizes that modules tell print as they are", function()
  local layer = nn.Conv2d(1, 2, { 3, 5 })
  check.equal(tostring(layer.kernel_size), "{3, 5}")
  check.equal(tostring(nn.LayerNorm({ 2, 3 }).normalized_shape), "{2, 3}")
  check.equal(tostring(mg.ones(2, 3, { requires_grad = true }):sum(1).grad_fn.saved_dim), "{1}")
  check.equal(layer.kernel_size == layer.kernel_size, true)
end)

check.case("a group's parameters cannot be assigned one by one, and are a list in all else", function()
  local w, v = nn.Parameter(mg.ones(2)), nn.Parameter(mg.ones(3))
  local opt = optim.SGD({ w, v }, { lr = 0.1 })
  local params = opt.param_groups[1].params
  for _, position in ipairs { 1, 2, 3 } do
    check.raises("a group's list of params is a copy; …", function() params[position] = w end)
    check.raises("opt.param_groups is a copy; …", function() opt.param_groups[position] = {} end)
  end
  check.equal(#params, 2)
  check.equal({ params[1], params[2], params[3] }, { w, v })
  check.equal(#optim.SGD(params, { lr = 1 }).param_groups[1].params, 2)
  check.equal(#optim.SGD({ { params = params } }, { lr = 1 }).param_groups[1].params, 2)
  w.grad, v.grad = mg.ones(2), mg.ones(3)
  check.close(nn.utils.clip_grad_norm_(params, 100), 5 ^ 0.5)
  check.equal(#nn.ParameterList(params), 2)
  check.equal(table.unpack(params), w)
end)

check.case("nil where options would stand is no argument", function()
  local function noise(count, options) return mg.rand(count, 1, options) end
  check.equal(noise(2).shape, { 2, 1 })
  check.equal(noise(2, { dtype = "float64" }).dtype, "float64")
  check.equal(mg.relu(mg.tensor { -1., 2 }, nil, nil):tolist(), { 0.0, 2.0 })
  check.rejects("mg.relu(mg.ones(1), nil, 5)", "relu: 3 arguments given, but it takes at most 1: relu(input)…")
end)

return check.done()

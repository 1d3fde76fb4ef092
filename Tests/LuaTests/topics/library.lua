-- Operations of the library as scripts call them: positions from 1, lists and separate arguments, options, what is refused.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"

check.case("statistics", function()
  local values, inverse, counts = mg.unique(mg.tensor{ 3, 1, 2, 3, 1 }, { return_inverse = true, return_counts = true })
  check.equal(values:tolist(), { 1, 2, 3 })
  check.equal(inverse:tolist(), { 3, 1, 2, 3, 1 })
  check.equal(counts:tolist(), { 2, 1, 2 })
  check.equal(mg.unique_consecutive(mg.tensor{ 1, 1, 2, 1 }):tolist(), { 1, 2, 1 })
  check.equal(mg.tensor{ 1.0, 2.0, 3.0, 4.0 }:quantile(mg.tensor{ 0.25, 0.5 }):tolist(), { 1.75, 2.5 })
  check.equal(mg.bincount(mg.tensor{ 0, 1, 1, 3 }, mg.tensor{ 0.5, 1.0, 1.0, 2.0 }):tolist(), { 0.5, 2.0, 0.0, 2.0 })
  check.equal(mg.isin(mg.tensor{ 1, 2, 3 }, mg.tensor{ 2 }):tolist(), { false, true, false })
  -- How many are less: no position, so that it counts from 0.
  check.equal(mg.searchsorted(mg.tensor{ 1.0, 3.0, 5.0 }, mg.tensor{ 0.0, 3.0, 9.0 }):tolist(), { 0, 1, 3 })
  local largest, places = mg.cummax(mg.tensor{ 1.0, 0 / 0, 3.0 }, 1)
  check.equal(places:tolist(), { 1, 2, 2 })
  check.equal(largest[1]:item(), 1.0)
  check.equal(tostring(largest[3]:item()):find("nan") ~= nil, true)
  check.equal(mg.tensor{ 0 / 0, 1.0, 3.0 }:nanmean():item(), 2.0)
  -- What is far below the largest is not lost.
  local sums = mg.tensor{ -1000.0, 0.0, -2000.0, 5.0 }:logcumsumexp(1)
  check.equal(sums[1]:item(), -1000.0)
  check.equal(math.abs(sums[4]:item() - 5.006715) < 1e-5, true)
  check.raises("bincount: 1125899906842624 bins…", mg.bincount, mg.tensor{ 1 << 50 })
  check.raises("bincount: the numbers must not be negative", mg.bincount, mg.tensor{ -1 })
  check.raises("quantile: quantiles lie between 0 and 1, got 2.0", mg.quantile, mg.ones(3), 2)
end)

check.case("special functions at their edges", function()
  check.equal(mg.logaddexp(mg.tensor{ 1 / 0, -1 / 0 }, mg.tensor{ 1 / 0, -1 / 0 }):tolist(), { 1 / 0, -1 / 0 })
  check.equal(mg.nan_to_num(mg.tensor{ 0 / 0, 1 / 0, -1 / 0, 2.0 }, { posinf = 5, neginf = -5 }):tolist(), { 0.0, 5.0, -5.0, 2.0 })
  check.equal(mg.fmax(mg.tensor{ 0 / 0, 1.0 }, mg.tensor{ 2.0, 0 / 0 }):tolist(), { 2.0, 1.0 })
  check.equal(mg.erfinv(mg.tensor{ 1.0, -1.0, 0.0 }):tolist(), { 1 / 0, -1 / 0, 0.0 })
  check.equal(mg.gcd(mg.tensor{ 12, -18, 0 }, mg.tensor{ 8, 27, 5 }):tolist(), { 4, 9, 5 })
  local x = mg.tensor({ 0.0, 0.3 }, { requires_grad = true })
  x:sinc():sum():backward()
  check.equal(x.grad[1]:item(), 0.0)
  check.raises("gcd: whole numbers are needed…", mg.gcd, mg.ones(1), mg.ones(1))
end)

check.case("inputs of a formula that depend on one another", function()
  for _, create in ipairs { false, true } do
    local x = mg.tensor({ 0.3 }, { requires_grad = true, dtype = "float64" })
    local g = mg.autograd.grad(mg.logaddexp(x, x):sum(), x, { create_graph = create })
    g = type(g) == "table" and g[1] or g
    check.equal(math.abs(g:item() - 1) < 1e-12, true)
    local y = x * 2
    g = mg.autograd.grad(mg.logaddexp(x, y):sum(), x, { create_graph = create })
    g = type(g) == "table" and g[1] or g
    local p = math.exp(0.6) / (math.exp(0.3) + math.exp(0.6))
    check.equal(math.abs(g:item() - (1 - p + 2 * p)) < 1e-12, true)
  end
end)

check.case("rearranging", function()
  check.equal(mg.meshgrid(mg.arange(2), mg.arange(3))[1]:tolist(), { { 0, 0, 0 }, { 1, 1, 1 } })
  check.equal(mg.meshgrid({ mg.arange(2), mg.arange(3) }, { indexing = "xy" })[1].shape, { 3, 2 })
  check.equal(mg.tensor{ { 1, 2 }, { 3, 4 } }:take(mg.tensor{ 1, 4 }):tolist(), { 1, 4 })
  check.equal(mg.zeros(3):index_fill_(1, mg.tensor{ 2 }, 7):tolist(), { 0.0, 7.0, 0.0 })
  check.equal(mg.zeros(3):index_copy(1, mg.tensor{ 3, 1 }, mg.tensor{ 1.0, 2.0 }):tolist(), { 2.0, 0.0, 1.0 })
  check.equal(mg.zeros(3):masked_scatter(mg.tensor{ true, false, true }, mg.tensor{ 1.0, 2.0 }):tolist(), { 1.0, 0.0, 2.0 })
  check.equal(mg.tensor{ { 1, 2 }, { 3, 4 } }:rot90(1, { 1, 2 }):tolist(), { { 2, 4 }, { 1, 3 } })
  check.equal(#mg.arange(7):tensor_split(3), 3)
  check.equal(mg.tensor{ 1, 2 }:greater(1):tolist(), { false, true })
  check.raises("take: index 0 is out of range…", mg.ones(2).take, mg.ones(2), mg.tensor{ 0 })
  check.raises("masked_scatter: 2 places are to be filled…", mg.zeros(2).masked_scatter, mg.zeros(2), mg.tensor{ true, true }, mg.ones(1))
  check.raises("tensor_split: 1125899906842624 parts of a tensor of shape [1] need 576460752303423488 bytes, but…", mg.zeros(1).tensor_split, mg.zeros(1), 1 << 50)
  check.raises("combinations: there are too many…", mg.combinations, mg.arange(100), 20)
end)

check.case("contracting", function()
  check.equal(mg.cross(mg.tensor{ 1.0, 0.0, 0.0 }, mg.tensor{ 0.0, 1.0, 0.0 }):tolist(), { 0.0, 0.0, 1.0 })
  check.equal(mg.cdist(mg.zeros(1, 2), mg.tensor{ { 3.0, 4.0 } }):item(), 5.0)
  check.equal(mg.tensor{ { 1.0, 1.0 }, { 0.0, 1.0 } }:matrix_power(5):tolist(), { { 1.0, 5.0 }, { 0.0, 1.0 } })
  -- An input that counts for nothing does not spoil the sum.
  check.equal(mg.full({ 2 }, 0 / 0):addmv(mg.ones(2, 3), mg.ones(3), { beta = 0 }):tolist(), { 3.0, 3.0 })
  check.equal(mg.tensor{ { 1.0, 1.0 }, { 0.0, 1.0 } }:matrix_power(-2):tolist(), { { 1.0, -2.0 }, { 0.0, 1.0 } })
  check.raises("cross: dimension 1 of shape [2] must have size 3", mg.cross, mg.ones(2), mg.ones(2))
end)

check.case("searching among numbers that are none", function()
  local sorted, x = mg.tensor{ 1.0, 2.0, 0 / 0 }, mg.tensor{ 0 / 0, 2.0, mg.inf, -mg.inf }
  check.equal(mg.searchsorted(sorted, x):tolist(), { 3, 1, 3, 0 })
  check.equal(mg.searchsorted(sorted, x, { right = true }):tolist(), { 3, 3, 3, 0 })
  -- Long enough for several threads.
  local many = mg.rand(100000)
  local places = mg.searchsorted(mg.linspace(0, 1, 101), many)
  check.is_true(mg.equal(places, (many * 100):ceil():long()) or (places - (many * 100):ceil():long()):abs():max():item() <= 1)
end)

check.case("values are searched in groups, of every size and dtype, in their rows", function()
  local function expected(row, value, right)
    if value ~= value then return #row end
    local count = 0
    for _, element in ipairs(row) do if element < value or right and element == value then count = count + 1 end end
    return count
  end
  for _, dtype in ipairs{ "float32", "float64", "int64", "int32", "bfloat16" } do
    local rows = (mg.randint(-20, 20, { 3, 11 }):sort(2)):to(dtype)
    local lists = rows:tolist()
    for _, count in ipairs{ 1, 2, 6, 7, 31, 32, 33, 38, 39, 70 } do
      local values = mg.randint(-22, 22, { 3, count }):to(dtype)
      if dtype == "float32" then values[{ 2, 1 }] = 0 / 0 end
      for _, right in ipairs{ false, true } do
        local found = mg.searchsorted(rows, values, { right = right }):tolist()
        local inOne = mg.searchsorted(rows[2], values, { right = right }):tolist()
        for i, list in ipairs(values:tolist()) do
          for j, value in ipairs(list) do
            check.equal(found[i][j], expected(lists[i], value, right))
            check.equal(inOne[i][j], expected(lists[2], value, right))
          end
        end
      end
    end
  end
  check.equal(mg.searchsorted(mg.zeros(0), mg.randn(40)):sum():item(), 0)
  check.equal(mg.searchsorted(mg.zeros(3, 0), mg.randn(3, 40)):sum():item(), 0)
  -- What is not sorted is searched at the same places as by the search of one.
  local row = mg.tensor{ 5.0, 1.0, 4.0, 2.0, 3.0 }
  local values = mg.rand(40) * 6
  local singly = {}
  for i = 1, 40 do singly[i] = mg.searchsorted(row, values[i]):item() end
  check.equal(mg.searchsorted(row, values):tolist(), singly)
end)

check.case("many values are counted in long rows, whose blocks are full or not", function()
  for _, dtype in ipairs{ "float32", "float64", "int64" } do
    for _, n in ipairs{ 1, 15, 16, 17, 255, 256, 257, 272, 512, 1000, 4095, 4096, 4353, 8192, 8193 } do
      local row = mg.randint(-n, n, { n }):to(dtype)
      local most = math.maxinteger
      if dtype ~= "int64" then
        most = mg.inf
        row[1] = -mg.inf
      end
      row[(n + 1) // 2] = most
      row = row:sort()
      local values = mg.cat{ row[{ { 1, -1, math.max(n // 400, 1) } }], mg.randint(-n - 2, n + 2, { 70 }):to(dtype), mg.full(40, most, { dtype = dtype }) }
      if dtype ~= "int64" then values[3] = 0 / 0 end
      for _, right in ipairs{ false, true } do
        local column = values:unsqueeze(2)
        local expected = (right and row:unsqueeze(1):le(column) or row:unsqueeze(1):lt(column)):sum(2)
        if dtype ~= "int64" then expected[3] = n end
        check.equal({ dtype, n, mg.searchsorted(row, values, { right = right }):equal(expected) }, { dtype, n, true })
      end
    end
  end
end)

check.case("mg.special has the names of torch.special", function()
  local x = mg.tensor{ 0.25, 0.5 }
  for name, plain in pairs{ expit = "sigmoid", gammaln = "lgamma", psi = "digamma", erf = "erf", logit = "logit" } do
    check.is_true(mg.equal(mg.special[name](x), mg[plain](x)))
  end
  check.close(mg.special.entr(mg.tensor{ 0.0, 0.5, 1.0 }), { 0, 0.34657359, 0 })
  check.equal(mg.special.entr(mg.tensor{ -1.0 }):item(), -mg.inf)
  check.close(mg.special.ndtr(mg.tensor{ -1.0, 0.0, 2.0 }), { 0.15865525, 0.5, 0.97724987 })
  check.close(mg.special.xlog1py(mg.tensor{ 0.0, 2.0 }, mg.tensor{ -1.0, 1.0 }), { 0, 1.38629436 })
end)

check.case("new tensors like one that is there", function()
  local x = mg.zeros(2, { dtype = "float64" })
  check.equal(x:new_zeros(2, 3).shape, { 2, 3 })
  check.equal(x:new_ones{ 2 }.dtype, "float64")
  check.equal(x:new_full({ 2 }, 7, { dtype = "int64" }):tolist(), { 7, 7 })
  check.equal(x:new_empty(1, { requires_grad = true }).requires_grad, true)
  check.equal(x:new_tensor{ 1, 2 }.dtype, "float64")
  check.equal(x.nbytes + x.itemsize + x:ndimension(), 16 + 8 + 1)
  check.equal(rawequal(x:cpu(), x), true)
  check.equal(mg.arcsinh(mg.zeros(1)):item(), 0.0)
  check.raises("new_zeros: size -1 of dimension 1 is negative", x.new_zeros, x, -1)
end)

return check.done()

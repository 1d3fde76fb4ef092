-- Reductions of expanded tensors: what expanding repeats is not written out, so that their results are those of the copy,
-- and come for tensors that no memory could hold.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"

local huge = 1 << 40
check.case("of more elements than memory has", function()
  local x = mg.tensor({ 2.0 }):expand(huge)
  check.equal(x:sum():item(), 2.0 * huge)
  check.equal(x:mean():item(), 2.0)
  check.equal(x:max():item(), 2.0)
  check.equal(x:min():item(), 2.0)
  check.equal(x:amax():item(), 2.0)
  check.equal(x:argmax():item(), 1)
  check.equal(x:norm():item(), 2.0 * (1 << 20))
  check.equal(x:norm(1):item(), 2.0 * huge)
  check.equal(x:norm(1 / 0):item(), 2.0)
  check.equal(x:norm(0):item(), 1.0 * huge)
  check.equal(x:var():item(), 0.0)
  check.equal(x:std():item(), 0.0)
  check.equal(x:any():item(), true)
  check.equal(x:all():item(), true)
  check.equal(mg.tensor({ 2.0 }, { dtype = "float64" }):expand(huge):logsumexp(1):item(), 2 + math.log(huge))
  check.equal(mg.tensor({ 1.0 }):expand(huge):prod():item(), 1.0)
  check.equal(mg.tensor({ -1.0 }):expand(huge + 1):prod():item(), -1.0)
  check.equal(mg.tensor({ 3 }):expand(huge):sum():item(), 3 * huge)
  check.equal(mg.tensor({ 3 }):expand(4):prod():item(), 81)
  check.equal(mg.tensor({ 1e38 }):expand(huge):mean():item(), mg.tensor(1e38):item())
  local rows = mg.tensor { { 1.0, 2.0 } }:expand(huge, 2)
  check.equal(rows:sum(1), mg.tensor { 1.0 * huge, 2.0 * huge })
  check.equal(rows:mean(1), mg.tensor { 1.0, 2.0 })
  check.equal(rows:argmax():item(), 2)
  local values, places = rows:max(1)
  check.equal(values, mg.tensor { 1.0, 2.0 })
  check.equal(places, mg.tensor { 1, 1 })
end)

check.case("with gradients that are expanded too", function()
  local w = mg.tensor({ 3.0 }, { requires_grad = true })
  local y = w:expand(1 << 30):mean()
  y:backward()
  check.equal(w.grad, mg.tensor { 1.0 })
end)

-- The truth is what the reduction gives of the same elements written out.
check.case("as of a copy", function()
  mg.manual_seed(0)
  local reductions = {
    sum = function(x, ...) return x:sum(...) end,
    mean = function(x, ...) return x:mean(...) end,
    amax = function(x, ...) return x:amax(...) end,
    amin = function(x, ...) return x:amin(...) end,
    var = function(x, ...) return select("#", ...) == 0 and x:var() or x:var { dim = ..., correction = 1 } end,
    norm = function(x, ...) return select("#", ...) == 0 and x:norm() or x:norm { p = 2, dim = ... } end,
    cubes = function(x, ...) return select("#", ...) == 0 and x:norm(3) or x:norm { p = 3, dim = ... } end,
    logsumexp = function(x, ...) return x:logsumexp(select("#", ...) == 0 and { 1, 2, 3 } or ...) end,
    any = function(x, ...) return (x:gt(0.9)):any(...) end,
    all = function(x, ...) return (x:gt(0.1)):all(...) end,
  }
  local bases = { { 1, 3, 1 }, { 4, 1, 1 }, { 1, 3, 5 }, { 1, 1, 1 } }
  for _, sizes in ipairs(bases) do
    local x = mg.rand(sizes, { dtype = "float64" }):expand(4, 3, 5)
    local copy = x:contiguous()
    for name, reduce in pairs(reductions) do
      for _, dims in ipairs { {}, { 1 }, { 2 }, { 3 }, { { 1, 2 } }, { { 1, 3 } }, { { 2, 3 } } } do
        local found, expected = reduce(x, table.unpack(dims)), reduce(copy, table.unpack(dims))
        check.equal(found.shape, expected.shape)
        check.is_true(found:allclose(expected:to(found.dtype), 1e-12, 1e-14), name)
      end
    end
    for dim = 1, 3 do
      for _, name in ipairs { "argmax", "argmin" } do check.equal(x[name](x, dim), copy[name](copy, dim)) end
      check.is_true(x:prod(dim):allclose(copy:prod(dim), 1e-12, 1e-14))
    end
    for _, name in ipairs { "argmax", "argmin" } do check.equal(x[name](x), copy[name](copy)) end
    check.is_true(x:prod():allclose(copy:prod(), 1e-12, 0))
  end
  for _, dtype in ipairs { "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool" } do
    local x = mg.randint(0, 3, { 1, 4 }):to(dtype):expand(3, 4)
    check.equal(x:sum(), x:contiguous():sum())
    check.equal(x:sum(1), x:contiguous():sum(1))
    check.equal(x:amax(1), x:contiguous():amax(1))
    check.equal(x:any(1), x:contiguous():any(1))
  end
end)

-- Calls what cannot be done for lack of memory; the message says how much would be needed.
local function refused(f, ...)
  local ok, message = pcall(f, ...)
  check.is_true(not ok)
  check.mentions(tostring(message), "bytes", "bytes are in use")
end

check.case("what must write them out says what it needs", function()
  refused(function() return mg.ones(1):expand(huge):cumsum(1) end)
  refused(function() return mg.ones(1):expand(huge):sort() end)
  refused(function() return (mg.ones(1) / 2):expand(huge):bernoulli() end)
  refused(mg.nn.functional.binary_cross_entropy, (mg.ones(1) / 2):expand(huge), mg.ones(1):expand(huge))
  -- Probabilities are looked at once each.
  local ok, message = pcall(mg.bernoulli, (mg.ones(1) * 2):expand(huge))
  check.is_true(not ok)
  check.mentions(message, "probabilities lie between 0 and 1, got 2.0")
end)

check.case("lists of parts are counted before they are made", function()
  local x = mg.ones(1):expand(1 << 33)
  refused(x.unbind, x)
  refused(x.split, x, 1)
  refused(x.chunk, x, 1 << 33)
  refused(x.tensor_split, x, 1 << 33)
  refused(x.tolist, x)
  local empty = mg.ones(0):expand(1 << 20, 1 << 20, 0)
  refused(empty.tolist, empty)
  refused(function() return mg.ones(1):expand(1 << 55):unbind() end)
  check.equal(#mg.ones(1):expand(1000):unbind(), 1000)
end)

check.case("indices of triangles are counted before they are made", function()
  refused(mg.tril_indices, huge, 1)
  refused(mg.triu_indices, 1, huge)
  check.equal(mg.triu_indices(huge, 1), mg.tensor { { 1 }, { 1 } })
  check.equal(mg.tril_indices(1, huge), mg.tensor { { 1 }, { 1 } })
  for rows = 0, 4 do
    for columns = 0, 4 do
      for offset = -6, 6 do
        local ones = mg.ones(rows, columns)
        for name, of in pairs { tril_indices = ones.tril, triu_indices = ones.triu } do
          check.equal(mg[name](rows, columns, offset), of(ones, offset):nonzero():t())
        end
      end
    end
  end
end)

return check.done()

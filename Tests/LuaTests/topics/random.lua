-- What is drawn from distributions: the numbers that PyTorch draws with the seed 3, to the last bit but for rounding in the C
-- library's functions; positions count from 1.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"

local function flat(value, into)
  if type(value) ~= "table" then
    into[#into + 1] = value == true and 1 or value == false and 0 or value
    return into
  end
  for _, element in ipairs(value) do flat(element, into) end
  return into
end

-- Fails where the numbers of a fresh stream are not those expected, nor next to them.
local function drawn(expected, draw)
  mg.manual_seed(3)
  local found, wanted = flat(draw():tolist(), {}), flat(expected, {})
  check.equal(#found, #wanted)
  for i, value in ipairs(wanted) do
    if math.abs(found[i] - value) > 1e-12 * math.abs(value) then
      check.fail(("number %d is %s, not %s"):format(i, found[i], value))
    end
  end
end

check.case("streams", function()
  drawn({ 1.0, 1.0, 0.0, 1.0, 0.0, 0.0 }, function() return mg.zeros(6):bernoulli_() end)
  drawn({ { 1, 1, 0 }, { 1, 0, 0 } }, function() return mg.zeros(2, 3, { dtype = "int64" }):bernoulli_(0.3) end)
  drawn({ { 1.0, 1.0, 1.0, 1.0, 1.0 }, { 1.0, 1.0, 0.0, 0.0, 0.0 } }, function() return mg.zeros(2, 5):bernoulli_(mg.tensor{ 0.1, 0.9, 0.5, 0.5, 0.5 }) end)
  drawn({ 1.0, 1.0, 0.0, 1.0, 0.0 }, function() return mg.zeros(5):bernoulli_(mg.tensor({ 0.1, 0.9, 0.5, 0.5, 0.5 }, { dtype = "float64" })) end)
  drawn({ 0.017351727932691574, 0.1689547896385193, 0.7412153482437134 }, function() return mg.zeros(3):exponential_(2) end)
  drawn({ 0.03470345482151741, 0.3379095865236701, 1.4824306370934868 }, function() return mg.zeros(3, { dtype = "float64" }):exponential_() end)
  drawn({ -9.296612739562988, -0.792214035987854, 1.1554373502731323 }, function() return mg.zeros(3):cauchy_() end)
  drawn({ -17.593224847361967, -0.5844280648642248, 3.310874583284215 }, function() return mg.zeros(3, { dtype = "float64" }):cauchy_(1, 2) end)
  drawn({ 13.552244186401367, 3.856140375137329, 3.247729778289795 }, function() return mg.zeros(3):log_normal_() end)
  drawn({ 1.494140625, 1.091796875, 1.0458984375 }, function() return mg.zeros(3, { dtype = "float16" }):log_normal_(0, 0.5) end)
  drawn({ 10.0, 4.0, 1.0, 5.0, 1.0, 2.0 }, function() return mg.zeros(6):geometric_(0.3) end)
  drawn({ 33, 12, 3, 17, 3, 5 }, function() return mg.zeros(6, { dtype = "int64" }):geometric_(0.1) end)
  drawn({ 71389.0, 1771142.0, 4795460.0 }, function() return mg.zeros(3, { dtype = "float32" }):random_() end)
  drawn({ 307219314442800.0, 2582726356426969.0, 6961798910534005.0 }, function() return mg.zeros(3, { dtype = "float64" }):random_() end)
  drawn({ 379.0, 896.0, 1705.0 }, function() return mg.zeros(3, { dtype = "float16" }):random_() end)
  drawn({ 200.0, 155.0, 97.0 }, function() return mg.zeros(3, { dtype = "bfloat16" }):random_() end)
  drawn({ 937055941807507096, 3839649608876091011, 5366245355481424840 }, function() return mg.zeros(3, { dtype = "int64" }):random_() end)
  drawn({ 218175338, 303761048, 893988089 }, function() return mg.zeros(3, { dtype = "int32" }):random_() end)
  drawn({ 5994, 1688, 11513 }, function() return mg.zeros(3, { dtype = "int16" }):random_() end)
  drawn({ 106, 24, 121 }, function() return mg.zeros(3, { dtype = "int8" }):random_() end)
  drawn({ 106, 152, 249 }, function() return mg.zeros(3, { dtype = "uint8" }):random_() end)
  drawn({ false, false, true }, function() return mg.zeros(3, { dtype = "bool" }):random_() end)
  drawn({ 6.0, 8.0, 7.0 }, function() return mg.zeros(3):random_(10) end)
  drawn({ -4, 3, 2 }, function() return mg.zeros(3, { dtype = "int32" }):random_(-5, 10) end)
  drawn({ 144.0, 690.0, 737.0 }, function() return mg.zeros(3, { dtype = "float16" }):random_(3000) end)
  drawn({ 1061178966016.0, 752159555584.0 }, function() return mg.zeros(2):random_(1 << 40) end)
  drawn({ 6.0, 8.0, 7.0 }, function() return mg.randint_like(mg.zeros(3), 10) end)
  drawn({ { 1, 3 }, { 2, 2 } }, function() return mg.randint_like(mg.zeros(2, 2, { dtype = "int32" }), -5, 5) end)
  drawn({ 6, 8, 7 }, function() return mg.randint_like(mg.zeros(3), 10, { dtype = "int64" }) end)
  drawn({ 0.0, 0.0, 2.0, 11.0, 5.0, 66.0, 1015.0 }, function() return mg.poisson(mg.tensor{ 0.0, 0.5, 3.0, 9.9, 10.0, 50.0, 1000.0 }) end)
  drawn({ 1, 2 }, function() return mg.multinomial(mg.tensor{ 0.1, 0.2, 0.7 }, 2) end)
  drawn({ 1, 2, 3, 2, 3, 3, 2, 3 }, function() return mg.tensor{ 0.1, 0.2, 0.7 }:multinomial(8, true) end)
  drawn({ 1 }, function() return mg.multinomial(mg.tensor{ 1.0, 2.0, 3.0 }, 1, true) end)
  drawn({ { 1, 2 }, { 1, 2 } }, function() return mg.multinomial(mg.tensor{ { 1.0, 2.0, 3.0 }, { 3.0, 2.0, 1.0 } }, 2) end)
  drawn({ { 1, 2, 3, 2, 3 }, { 2, 1, 1, 1, 2 } }, function() return mg.multinomial(mg.tensor{ { 1.0, 2.0, 3.0 }, { 3.0, 2.0, 1.0 } }, 5, { replacement = true }) end)
  drawn({ 1, 3, 2 }, function() return mg.multinomial(mg.tensor({ 1.0, 0.0, 3.0 }, { dtype = "float64" }), 3) end)
  drawn({ 1, 2 }, function() return mg.multinomial(mg.tensor({ 1.0, 2.0, 3.0 }, { dtype = "float16" }), 2) end)
  drawn({ 8, 22, 36, 18, 35, 32, 19, 27, 26, 36, 18, 31 }, function() return mg.multinomial(mg.arange(40.0), 12, true) end)
  drawn({ 33, 32, 23, 34, 26, 35, 37, 16, 20, 17, 24, 38 }, function() return mg.multinomial(mg.arange(40.0), 12) end)
end)

check.case("what is filled stays a part of the graph", function()
  local x = mg.ones(3, { requires_grad = true })
  local y = x * 2
  y:cauchy_()
  y:sum():backward()
  check.equal(x.grad:tolist(), { 0.0, 0.0, 0.0 })
  check.raises("geometric_: a leaf tensor that requires grad…", x.geometric_, x, 0.5)
  local z = mg.zeros(3, 2)
  mg.manual_seed(3)
  z:t():random_(100)
  mg.manual_seed(3)
  check.equal(z:t():tolist(), mg.zeros(2, 3):random_(100):tolist())
  local rates = mg.ones(2, { requires_grad = true })
  mg.poisson(rates):sum():backward()
  check.equal(rates.grad:tolist(), { 0.0, 0.0 })
  check.equal(mg.multinomial(rates, 1).requires_grad, false)
  check.equal(mg.multinomial(mg.ones(0, 3), 2).shape, { 0, 2 })
  check.equal(mg.zeros(0):cauchy_().shape, { 0 })
end)

check.case("what is refused", function()
  local x, whole = mg.zeros(2), mg.zeros(2, { dtype = "int64" })
  check.raises("bernoulli_: probabilities lie between 0 and 1, got 1.5", x.bernoulli_, x, 1.5)
  check.raises("bernoulli_: probabilities lie between 0 and 1, got 2.0", x.bernoulli_, x, mg.tensor{ 1.0, 2.0 })
  check.raises("bernoulli_: a float tensor is needed…", x.bernoulli_, x, mg.tensor{ 1, 0 })
  check.raises("bernoulli_: shapes [2] and [3]…", x.bernoulli_, x, mg.zeros(3))
  check.raises("exponential_: the rate must be positive, got 0.0", x.exponential_, x, 0)
  check.raises("exponential_: a float tensor is needed…", whole.exponential_, whole)
  check.raises("cauchy_: sigma must be positive, got 0.0", x.cauchy_, x, 0, 0)
  check.raises("cauchy_: a float tensor is needed…", whole.cauchy_, whole)
  check.raises("log_normal_: std must be positive, got -1.0", x.log_normal_, x, 0, -1)
  check.raises("geometric_: the probability must lie between 0 and 1, got 1.0", x.geometric_, x, 1)
  check.raises("random_: no whole number lies from 5 up to 5", whole.random_, whole, 5, 5)
  local bytes = whole:byte()
  check.raises("random_: 299 lies outside of the range of uint8", bytes.random_, bytes, 300)
  local halves = x:half()
  check.raises("random_: 69999 lies outside of the range of float16", halves.random_, halves, 70000)
  check.raises("randint_like: -5 lies outside of the range of uint8", mg.randint_like, bytes, -5, 5)
  check.raises("poisson: rates are finite and not negative, got -1.0", mg.poisson, mg.tensor{ -1.0 })
  check.raises("poisson: a float tensor is needed…", mg.poisson, whole)
  check.raises("multinomial: 4 positions cannot be drawn from 3 without replacement", mg.multinomial, mg.ones(3), 4)
  check.raises("multinomial: 0 positions cannot be drawn…", mg.multinomial, mg.ones(3), 0)
  check.raises("multinomial: the probabilities of a row are all 0", mg.multinomial, x, 1)
  check.raises("multinomial: probabilities are finite and not negative, got -1.0", mg.multinomial, mg.tensor{ -1.0, 2.0 }, 1)
  check.raises("multinomial: probabilities are finite and not negative, got inf", mg.multinomial, mg.tensor{ 1 / 0, 2.0 }, 1)
  check.raises("multinomial: a vector or a matrix is needed…", mg.multinomial, mg.tensor(1.0), 1)
  check.raises("multinomial: a float tensor is needed…", mg.multinomial, mg.tensor{ 1, 2 }, 1)
end)

return check.done()

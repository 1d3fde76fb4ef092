-- Sizes without elements behind them: expand makes tensors of any size from one element, or beside a size of 0, and no
-- function may take the time or the room of what is not there.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn = mg.nn

local B = 1 << 50
local function many(...) return mg.zeros(1):expand(...) end
local tall = mg.zeros(1, 0):expand(B, 0)
local flat = mg.zeros(0, 1):expand(0, B)

check.case("nothing takes no time, however much of it there is", function()
  local block = mg.zeros(1, 1, 0):expand(1, B, 0)
  check.equal(block[mg.ones({ 2, 3 }, { dtype = "int32" })]:numel(), 0)
  check.raises("index assignment: cannot write into an expanded tensor…", function() flat[mg.zeros({ 0 }, { dtype = "int64" })] = 1 end)
  check.equal(tall:tril():numel() + tall:triu():numel(), 0)
  check.equal(flat:matmul(tall).shape, { 0, 0 })
  check.equal(tall:cummax(2):numel() + mg.logcumsumexp(tall, 2):numel() + tall:slice_scatter(tall, 1):numel(), 0)
  check.equal(tall:all(1):numel() + tall:any(1):numel(), 0)
  check.equal(tostring(tall), ("tensor([], size=(%d, 0))"):format(B))
end)

check.case("more than there can be is refused", function()
  check.raises("unbind: 72057594037927936 parts of a tensor of shape…", many(1 << 56).unbind, many(1 << 56))
  check.raises("split: 72057594037927936 parts of a tensor of shape…", many(1 << 56).split, many(1 << 56), 1)
  check.raises("split: 72057594037927936 parts of a tensor of shape…", many(1 << 56).chunk, many(1 << 56), 1 << 56)
  check.raises("tolist: a tensor of shape…", tall.tolist, tall)
  -- Nothing beside sizes whose product is more than any number: products of some of the sizes would not be one.
  local tower, wall = mg.zeros(1, 1, 1):expand(B, 1, 1), mg.zeros(1, 1, 0):expand(1, B, 0)
  check.raises("add: a tensor of sizes [1125899906842624, 1125899906842624, 0] has more elements…", mg.add, tower, wall)
  check.raises("where: a tensor of sizes…", mg.where, mg.ones(1, 1, 1):bool():expand(B, 1, 1), wall, 0)
  local list = {}
  for i = 1, 300 do list[i] = many(1 << 56) end
  for _, run in ipairs {
    function() return mg.cat(list) end, function() return many(1 << 56):bernoulli() end,
    function() return nn.BCELoss()(many(1 << 56), many(1 << 56)) end,
  } do
    local ok, message = pcall(run)
    check.equal(ok, false)
    if not tostring(message):find("memory", 1, true) and not tostring(message):find("addressed", 1, true) then
      check.fail(tostring(message))
    end
  end
  for i = 1, 300 do list[i] = tall end
  check.equal(mg.cat(list):numel(), 0)
end)

check.case("printing shows what there is room for, whatever is asked for", function()
  local wide = many(1 << 40)
  for _, options in ipairs {
    { edgeitems = math.maxinteger, threshold = 0 }, { threshold = math.huge }, { edgeitems = 1 << 38 }, { edgeitems = 3, threshold = 10 },
  } do
    mg.set_printoptions { profile = "default" }
    mg.set_printoptions(options)
    check.equal(tostring(mg.zeros(3, 3)):sub(1, 8), "tensor([")
    if options.threshold == 10 then check.equal(tostring(wide), "tensor([0., 0., 0.,  ..., 0., 0., 0.])") end
  end
  mg.set_printoptions { profile = "full" }
  check.equal(select(2, tostring(mg.zeros(2000)):gsub("0%.", "")), 2000)
  mg.set_printoptions { profile = "default" }
end)

check.case("nothing is padded, pooled and resampled, however long it is", function()
  local F = mg.nn.functional
  for _, mode in ipairs { "constant", "replicate", "circular", "reflect" } do
    check.equal(F.pad(mg.ones(0, 1, 1 << 32), { 1, 2 }, mode).shape, { 0, 1, (1 << 32) + 3 })
  end
  local x = mg.ones(0, 1, 1 << 32, { requires_grad = true })
  F.pad(x, { 1, 2 }, "replicate"):sum():backward()
  check.equal(x.grad.shape, { 0, 1, 1 << 32 })
  check.equal(F.interpolate(mg.ones(0, 1, 4), { size = 1000 }).shape, { 0, 1, 1000 })
end)

return check.done()

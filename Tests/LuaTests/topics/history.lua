-- Sums that keep every step's history: warned of once a line, with the way out, and not where a sum is meant.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"

local function leaf(value) return mg.tensor(value, { requires_grad = true }) end

-- Warnings wait until the library is called next.
local function warnings_of(f)
  local list = mg.catch_warnings(function()
    f()
    for _ = 1, 3 do
      local _ = mg.ones(1) + 1
      collectgarbage()
    end
  end)
  local found = {}
  for _, text in ipairs(list) do if text:find("history", 1, true) then found[#found + 1] = text end end
  return found
end

local w = leaf(1.0)

-- A training loop of `steps` steps that adds its losses up.
local function training(steps, add)
  return function()
    local total = 0
    for _ = 1, steps do
      local loss = (w * w - 2) ^ 2
      loss:backward()
      w.grad = nil
      total = add(total, loss)
    end
  end
end

check.case("total = total + loss, of losses that backward has used up", function()
  local line = debug.getinfo(1, "l").currentline + 1
  local found = warnings_of(training(150, function(total, loss) local sum = total + loss return sum end))
  check.equal(#found, 1)
  local text = found[1] or ""
  for _, part in ipairs { ("history.lua:%d"):format(line), ":item()", "detach()", "100" } do
    if not text:find(part, 1, true) then check.fail(("does not say %q: %s"):format(part, text)) end
  end
end)

check.case("once a line", function()
  local function add(total, loss) local sum = total + loss return sum end
  check.equal(#warnings_of(training(150, add)), 1)
  check.equal(#warnings_of(training(150, add)), 0)
end)

check.case("another line is another mistake", function()
  check.equal(#warnings_of(training(150, function(total, loss) local sum = loss + total return sum end)), 1)
end)

check.case("not with item(), detach(), data or no_grad", function()
  check.equal(#warnings_of(training(300, function(total, loss) local sum = total + loss:item() return sum end)), 0)
  check.equal(#warnings_of(training(300, function(total, loss) local sum = total + loss:detach() return sum end)), 0)
  check.equal(#warnings_of(training(300, function(total, loss) local sum = total + loss.data return sum end)), 0)
  check.equal(#warnings_of(training(300, function(total, loss)
    return mg.no_grad(function() local sum = total + loss return sum end)
  end)), 0)
end)

check.case("not a sum that backward still goes through", function()
  local result
  check.equal(#warnings_of(function()
    local total = 0
    for i = 1, 300 do total = total + w * i end
    total:backward()
    result, w.grad = w.grad:item(), nil
  end), 0)
  check.equal(result, 45150.0)
end)

check.case("not short sums that are begun anew", function()
  check.equal(#warnings_of(function()
    for _ = 1, 50 do
      local total = mg.zeros{}
      for i = 1, 5 do total = total + w * i end
      total:backward()
      w.grad = nil
    end
  end), 0)
end)

check.case("10,000 steps of anything", function()
  local found = warnings_of(function()
    local total = 0
    for _ = 1, 10100 do total = total + w * 2 end
  end)
  check.equal(#found, 1)
  check.is_true((found[1] or ""):find("10000", 1, true))
end)

check.case("add_ in place is the same mistake", function()
  local found = warnings_of(function()
    local total = mg.zeros{}
    for _ = 1, 150 do
      local loss = (w * w - 2) ^ 2
      loss:backward()
      w.grad = nil
      total:add_(loss)
    end
  end)
  check.equal(#found, 1)
end)

check.case("losses of shape [1] too", function()
  local v = leaf{ 1.0 }
  local found = warnings_of(function()
    local total = 0
    for _ = 1, 150 do
      local loss = v * v
      loss:backward()
      v.grad = nil
      total = total + loss
    end
  end)
  check.equal(#found, 1)
end)

check.case("the sum is right all the same", function()
  local total
  mg.catch_warnings(training(120, function(sum, loss)
    total = sum + loss
    return total
  end))
  check.close(total, 120)
  check.equal(total.requires_grad, true)
end)

return check.done()

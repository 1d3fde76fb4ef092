-- Grad modes: blocks and functions, restored whatever ends them, and kept apart between coroutines.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"

local x = mg.ones(2, { requires_grad = true })
local function records() return (x * 2).requires_grad end

check.case("a block", function()
  do
    local _ <close> = mg.no_grad()
    check.equal(records(), false)
    check.equal(mg.is_grad_enabled(), false)
    do
      local _ <close> = mg.enable_grad()
      check.equal(records(), true)
    end
    check.equal(records(), false)
  end
  check.equal(records(), true)
  check.equal(mg.is_grad_enabled(), true)
end)

check.case("a function, which gets arguments and returns what it returns", function()
  local a, b, c = mg.no_grad(function(p, q) return records(), p, q end, 1, nil)
  check.equal(a, false)
  check.equal(b, 1)
  check.equal(c, nil)
  check.equal(select("#", mg.no_grad(function() return nil, nil end)), 2)
  check.equal(mg.no_grad(function() return mg.enable_grad(records) end), true)
  check.equal(records(), true)
end)

check.case("the results of a function leave with the block, not through it", function()
  local y = mg.no_grad(function() return x * 2 end)
  check.equal(y.requires_grad, false)
  check.equal(y.grad_fn, nil)
end)

check.case("an error restores the mode", function()
  check.equal(pcall(function()
    local _ <close> = mg.no_grad()
    error "out"
  end), false)
  check.equal(records(), true)
  check.equal(pcall(mg.no_grad, error), false)
  check.equal(records(), true)
end)

check.case("break, goto and return restore it", function()
  for _ = 1, 2 do
    local _ <close> = mg.no_grad()
    break
  end
  check.equal(records(), true)
  local function f()
    local _ <close> = mg.no_grad()
    return records()
  end
  check.equal((f()), false)
  check.equal(records(), true)
  do
    local _ <close> = mg.no_grad()
    goto out
  end
  ::out::
  check.equal(records(), true)
end)

check.case("a coroutine's mode is its own", function()
  local thread = coroutine.wrap(function()
    local _ <close> = mg.no_grad()
    coroutine.yield(records())
    coroutine.yield(records())
  end)
  check.equal(thread(), false)
  check.equal(records(), true)                        -- yielding inside a scope leaks nothing
  mg.no_grad(function() check.equal(thread(), false) end)
  check.equal(records(), true)
end)

check.case("a coroutine starts with the mode of the one that first resumes it", function()
  local thread = coroutine.create(records)
  local _, inside = mg.no_grad(function() return coroutine.resume(thread) end)
  check.equal(inside, false)
  check.equal(coroutine.wrap(records)(), true)
end)

check.case("the mode of the caller is not changed by a coroutine inside a scope", function()
  local thread = coroutine.wrap(function()
    coroutine.yield(records())
    local _ <close> = mg.enable_grad()
    coroutine.yield(records())
  end)
  mg.no_grad(function()
    check.equal(thread(), false)
    check.equal(thread(), true)
    check.equal(records(), false)
  end)
end)

check.case("coroutines that die or are closed leave the mode alone", function()
  local dies = coroutine.create(function()
    local _ <close> = mg.no_grad()
    error "out"
  end)
  check.equal(coroutine.resume(dies), false)
  check.equal(records(), true)
  local waits = coroutine.create(function()
    local _ <close> = mg.no_grad()
    coroutine.yield()
  end)
  coroutine.resume(waits)
  check.equal(coroutine.close(waits), true)
  check.equal(records(), true)
end)

check.case("many coroutines, each with its mode", function()
  local threads = {}
  for i = 1, 20 do
    threads[i] = coroutine.wrap(function()
      local _ <close> = mg.set_grad_enabled(i % 2 == 0)
      while true do coroutine.yield(records()) end
    end)
  end
  for _ = 1, 5 do
    for i, thread in ipairs(threads) do check.equal(thread(), i % 2 == 0) end
  end
  check.equal(records(), true)
end)

check.case("set_grad_enabled persists as a statement", function()
  mg.set_grad_enabled(false)
  check.equal(records(), false)
  mg.set_grad_enabled(true)
  check.equal(records(), true)
  check.equal(mg.set_grad_enabled(false, records), false)
  check.equal(records(), true)
end)

check.case("inference mode", function()
  local y = mg.inference_mode(function() return x * 2 end)
  check.equal(y.requires_grad, false)
  check.equal(mg.inference_mode(mg.is_inference_mode_enabled), true)
  check.equal(mg.is_inference_mode_enabled(), false)
end)

check.case("the leaf keeps its flag", function()
  mg.no_grad(function() check.equal(x.requires_grad, true) end)
  local made = mg.no_grad(function() return mg.ones(1, { requires_grad = true }) end)
  check.equal(made.requires_grad, true)
end)

check.case("backward runs in no_grad", function()
  local y = (x * 3):sum()
  x.grad = nil
  mg.no_grad(function() y:backward() end)
  check.elements(x.grad, { 3, 3 })
  check.equal(x.grad.requires_grad, false)
end)

check.case("a dropped guard is warned of", function()
  local warnings = mg.catch_warnings(function()
    mg.no_grad()                                      -- a statement: does nothing that lasts
    for _ = 1, 3 do collectgarbage(); local _ = x * 2 end
  end)
  mg.set_grad_enabled(true)
  check.is_true(#warnings >= 1 and warnings[1]:find("<close>", 1, true))
end)

return check.done()

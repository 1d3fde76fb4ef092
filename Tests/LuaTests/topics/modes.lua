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

-- Inference mode: PyTorch's rules for tensors that were made in it.
check.case("enable_grad inside inference mode records nothing", function()
  local y = mg.inference_mode(function() return mg.enable_grad(function() return x * 2 end) end)
  check.equal({ y.requires_grad, y:is_inference() }, { false, true })
  y = mg.inference_mode(function()
    local _ <close> = mg.inference_mode(false)
    return x * 2
  end)
  check.equal({ y.requires_grad, y:is_inference() }, { true, false })
end)

check.case("tensors made in inference mode stay constants outside of it", function()
  local t = mg.inference_mode(function() return mg.ones(2) end)
  check.equal({ t:is_inference(), t.requires_grad, t:view(2, 1):is_inference() }, { true, false, true })
  check.equal(pcall(t.add_, t, 1), false)
  check.equal(pcall(function() t:view(2, 1):add_(1) end), false)
  check.equal(pcall(function() t[1] = 5 end), false)
  check.equal(pcall(t.requires_grad_, t), false)
  check.elements(t, { 1, 1 })
  mg.inference_mode(function() t:add_(1) end)
  check.elements(t, { 2, 2 })
  check.equal(t:clone():requires_grad_().requires_grad, true)
  check.equal((t * 2):is_inference(), false)
end)

check.case("tensors made in inference mode take part where they need not be saved", function()
  local t = mg.inference_mode(function() return mg.ones(2) end)
  check.equal((x + t).requires_grad, true)
  local ok, message = pcall(function() return x * t end)
  check.equal(ok, false)
  check.is_true(tostring(message):find("inference_mode", 1, true) and tostring(message):find("clone()", 1, true))
  check.equal((x * t:clone()).requires_grad, true)
  check.equal((x * 2).requires_grad, true)           -- and the failed operation left nothing behind
  x.grad = nil;
  (x * 3):backward(t)                                -- as a gradient
  check.elements(x.grad, { 3, 3 })
  x.grad = nil
end)

check.case("ordinary tensors in inference mode", function()
  local y, version = x * 1, nil
  mg.inference_mode(function()
    check.equal(y:view(2, 1):is_inference(), false)
    y:add_(1)
    version = y._version
    check.equal(mg.ones(1, { requires_grad = true }).requires_grad, true)
    check.equal(mg.is_grad_enabled(), false)
  end)
  check.equal({ version, y.requires_grad }, { 1, true })
  check.elements(y:detach(), { 2, 2 })
end)

check.case("backward runs in inference mode", function()
  x.grad = nil
  local y = (x * x):sum()
  mg.inference_mode(function() y:backward() end)
  check.elements(x.grad, { 2, 2 })
  x.grad = nil
end)

-- Ends of scopes.
check.case("scopes end in the order of their blocks, whatever was nested", function()
  local function disabled() return mg.set_grad_enabled(false) end
  for _, inner in ipairs { mg.no_grad, mg.enable_grad, mg.inference_mode, disabled } do
    for _, outer in ipairs { mg.no_grad, mg.enable_grad, mg.inference_mode } do
      local before = records()
      pcall(function()
        local _ <close> = outer()
        local was = records()
        pcall(function()
          local _ <close> = inner()
          local _ <close> = outer()
          error "out"
        end)
        check.equal(records(), was)
        error "out"
      end)
      check.equal(records(), before)
    end
  end
end)

check.case("a scope that is closed twice, and one that is closed late", function()
  local scope = mg.no_grad()
  do local _ <close> = scope end
  check.equal(records(), true)
  do local _ <close> = scope end
  check.equal(records(), true)
end)

check.case("an error while a scope closes", function()
  local angry = setmetatable({}, { __close = function() error "closing" end })
  check.equal(pcall(function()
    local _ <close> = mg.no_grad()
    local _ <close> = angry
  end), false)
  check.equal(records(), true)
  check.equal(pcall(function()
    local _ <close> = angry
    local _ <close> = mg.no_grad()
  end), false)
  check.equal(records(), true)
end)

check.case("__close, __gc and __index of scripts run in the mode they are called in", function()
  local seen
  local watch = setmetatable({}, { __close = function() seen = records() end })
  do
    local _ <close> = mg.no_grad()
    local _ <close> = watch                          -- closed before the scope
  end
  check.equal(seen, false)
  do
    local _ <close> = watch
    local _ <close> = mg.no_grad()
  end
  check.equal(seen, true)
end)

check.case("yielding through several coroutines and scopes", function()
  local inner = coroutine.wrap(function()
    local _ <close> = mg.enable_grad()
    for _ = 1, 3 do coroutine.yield(records()) end
  end)
  local outer = coroutine.wrap(function()
    local _ <close> = mg.no_grad()
    for _ = 1, 3 do
      local got = inner()
      check.equal(records(), false)
      coroutine.yield(got)
    end
  end)
  for _ = 1, 3 do
    check.equal(outer(), true)
    check.equal(records(), true)
  end
end)

check.case("yielding out of a scope's function", function()
  local thread = coroutine.wrap(function()
    local result = mg.no_grad(function()
      coroutine.yield(records())
      return records()
    end)
    coroutine.yield(result)
    return records()
  end)
  check.equal(thread(), false)
  check.equal(records(), true)
  check.equal(thread(), false)
  check.equal(thread(), true)
end)

check.case("set_grad_enabled as a statement belongs to its coroutine", function()
  local thread = coroutine.wrap(function()
    mg.set_grad_enabled(false)
    coroutine.yield(records())
    return records()
  end)
  check.equal(thread(), false)
  check.equal(records(), true)
  check.equal(thread(), false)
  check.equal(records(), true)
end)

check.case("coroutines that die by an error, unclosed, and ones that nobody resumes again", function()
  for i = 1, 50 do
    local thread = coroutine.create(function()
      local _ <close> = mg.inference_mode()
      local _ <close> = mg.no_grad()
      coroutine.yield()
      error "out"
    end)
    coroutine.resume(thread)
    if i % 2 == 0 then coroutine.resume(thread) end
  end
  mg.catch_warnings(function()
    collectgarbage()
    collectgarbage()
    local _ = x * 2
  end)
  check.equal({ records(), mg.is_inference_mode_enabled() }, { true, false })
end)

check.case("a scope handed to another coroutine ends where it was begun", function()
  -- A guard that leaves its block is a mistake; it must not switch a stranger's mode for good.
  local thread = coroutine.wrap(function() coroutine.yield(mg.no_grad()) end)
  local guard = thread()
  check.equal(records(), true)
  do local _ <close> = guard end
  check.equal(records(), true)
end)

check.case("wrong arguments", function()
  check.rejects("mg.enable_grad 'a'", "enable_grad: expected a function to run, or nothing, got string")
  check.rejects("mg.inference_mode(3)", "inference_mode: expected a function to run, or nothing, got number")
  check.rejects("mg.set_grad_enabled(3, print)", "set_grad_enabled: expected true or false, got 3")
  check.equal(records(), true)
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

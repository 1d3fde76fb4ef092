-- Anomaly mode: NaN and infinity in backward are named with operation and line, in the coroutine that asked for it.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local detect = mg.autograd.detect_anomaly

local function leaf(...) return mg.tensor({ ... }, { requires_grad = true }) end

local message_of, mentions = check.message_of, check.mentions

check.case("off by default: NaN and infinity pass", function()
  check.equal(mg.autograd.is_anomaly_enabled(), false)
  local x = leaf(0.0, 4.0)
  x:sqrt():sum():backward()
  check.elements(x.grad, { math.huge, 0.25 })
  x = leaf(-1.0)
  x:log():sqrt():sum():backward()
  check.is_true(x.grad:isnan():item())
end)

check.case("names the operation, the line of its forward call, the place and the value", function()
  local x = leaf(1.0, 0.0)
  local line = debug.getinfo(1, "l").currentline + 1
  local y = x:sqrt()
  local message = message_of(detect, function() (y * 0):sum():backward() end)
  -- 0 · ∞ at the second element.
  mentions(message, "SqrtBackward0", ("anomaly.lua:%d"):format(line), "NaN", "[2]")
  message = message_of(detect, function() x:sqrt():sum():backward() end)
  mentions(message, "SqrtBackward0", "inf", "[2]")
  x = leaf(0.0)
  message = message_of(detect, function() x:reciprocal():sum():backward() end)
  mentions(message, "ReciprocalBackward0", "-inf")
end)

check.case("names the lines of a forward pass outside of the mode, and of backward", function()
  local x = leaf(0.0)
  local forward = debug.getinfo(1, "l").currentline + 1
  local y = x:log()
  local back
  local message = message_of(detect, function()
    back = debug.getinfo(1, "l").currentline + 1
    y:backward()
  end)
  mentions(message, "LogBackward0", ("anomaly.lua:%d"):format(forward), ("anomaly.lua:%d"):format(back))
end)

check.case("names the first operation that went wrong, not those that it infected", function()
  local x = leaf(0.0)
  local y = x * 3
  local line = debug.getinfo(1, "l").currentline + 1
  local z = y:sqrt()
  local message = message_of(detect, function() ((z + 1) * 2):backward() end)
  mentions(message, "SqrtBackward0", ("anomaly.lua:%d"):format(line))
end)

check.case("which input of several", function()
  local a, b = leaf(1.0), leaf(0.0)
  mentions(message_of(detect, function() (a / b):backward() end), "DivBackward0", "input 1", "inf")
end)

check.case("says nothing where all is well", function()
  local x = leaf(1.0, 4.0)
  detect(function() x:sqrt():sum():backward() end)
  check.elements(x.grad, { 0.5, 0.25 })
end)

check.case("in grad, with create_graph, and in custom functions", function()
  local x = leaf(0.0)
  local message = message_of(detect, function() mg.autograd.grad(x:sqrt(), { x }, { create_graph = true }) end)
  mentions(message, "SqrtBackward0")
  local Bad = mg.autograd.Function("Bad", {
    forward = function(_, t) return t * 1 end,
    backward = function(_, g) return g * (0 / 0) end,
  })
  local line = debug.getinfo(1, "l").currentline + 1
  local y = Bad(x)
  mentions(message_of(detect, y.backward, y), "BadBackward", "NaN", ("anomaly.lua:%d"):format(line))
end)

check.case("linear layers and losses are looked at as well", function()
  local layer = mg.nn.Linear(2, 1)
  mg.no_grad(function() layer.weight:fill_(math.huge) end)
  local x = mg.ones(1, 2, { requires_grad = true })
  mentions(message_of(detect, function() layer(x):sum():backward() end), "AddmmBackward0", "inf")
end)

check.case("as a block, as a function, as a flag; nested; restored on errors", function()
  local enabled = mg.autograd.is_anomaly_enabled
  do
    local _ <close> = detect()
    check.equal(enabled(), true)
    do
      local _ <close> = mg.autograd.set_detect_anomaly(false)
      check.equal(enabled(), false)
    end
    check.equal(enabled(), true)
  end
  check.equal(enabled(), false)
  local a, b = detect(function(p, q) return enabled(), p + q end, 1, 2)
  check.equal({ a, b }, { true, 3 })
  check.equal(pcall(detect, error), false)
  check.equal(enabled(), false)
  check.equal(mg.autograd.set_detect_anomaly(true, enabled), true)
  check.equal(enabled(), false)
  mg.autograd.set_detect_anomaly(true)               -- persists as a statement
  check.equal(enabled(), true)
  mg.autograd.set_detect_anomaly(false)
  check.equal(enabled(), false)
end)

check.case("leaves the grad mode alone, and the other way round", function()
  detect(function()
    check.equal(mg.is_grad_enabled(), true)
    mg.no_grad(function() check.equal(mg.autograd.is_anomaly_enabled(), true) end)
  end)
  mg.no_grad(function()
    detect(function() check.equal(mg.is_grad_enabled(), false) end)
    check.equal(mg.is_grad_enabled(), false)
  end)
end)

check.case("per coroutine", function()
  local x = leaf(0.0)
  local careful = coroutine.wrap(function()
    local _ <close> = detect()
    coroutine.yield()
    return message_of(function() x:sqrt():backward() end)
  end)
  careful()
  check.equal(mg.autograd.is_anomaly_enabled(), false)
  x:sqrt():backward()
  check.elements(x.grad, { math.huge })
  mentions(careful(), "SqrtBackward0")
  check.equal(mg.autograd.is_anomaly_enabled(), false)
end)

check.case("in force inside hooks and reentrant runs", function()
  local x, w = leaf(1.0), leaf(0.0)
  x:register_hook(function()
    local _ <close> = mg.enable_grad()
    w:sqrt():backward()
  end)
  mentions(message_of(detect, function() (x * 2):backward() end), "SqrtBackward0")
end)

check.case("after an anomaly the tape and the session are usable, and what was accumulated is said", function()
  local x, w = leaf(0.0), leaf(2.0)
  local y = x:sqrt() * w
  local message = message_of(detect, function() y:backward(nil, { retain_graph = true }) end)
  mentions(message, "SqrtBackward0", "1 leaf", ".grad")
  w.grad, x.grad = nil, nil
  y:backward()
  check.elements(w.grad, { 0 })
  check.elements(x.grad, { math.huge })
end)

check.case("wrong arguments", function()
  check.rejects("mg.autograd.detect_anomaly(3)",
    "detect_anomaly: expected a function to run, or nothing, got a number")
  check.rejects("mg.autograd.set_detect_anomaly()", "set_detect_anomaly: expected true or false, got nil")
end)

return check.done()

-- Elements that are replaced under the tape, by x.data = … or free(): an error, never memory that is not there.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional

local function leaf(...) return mg.ones(..., { requires_grad = true }) end

-- `body` raises, with a position, and the session goes on.
local function refused(name, body, ...)
  local words = { ... }
  check.case(name, function()
    local ok, message = pcall(body)
    check.equal(ok, false)
    for _, word in ipairs(words) do
      if not tostring(message):find(word, 1, true) then check.fail(("the message does not have %q: %s"):format(word, message)) end
    end
    local x = leaf(2)
    ;(x * 3):sum():backward()
    check.elements(x.grad, { 3, 3 })
  end)
end

refused(".grad of another shape: backward adds nothing to it", function()
  local x = leaf(1)
  x:sum():backward()
  x.grad.data = mg.zeros(4000)
  x:sum():backward()
end, "[1]", "[4000]")

refused(".grad of another rank", function()
  local x = leaf{ 2, 2, 2 }
  x:sum():backward()
  x.grad.data = mg.ones(2, 2):t()
  x:sum():backward()
end, "[2, 2, 2]", "[2, 2]")

refused(".grad whose elements share memory", function()
  local x = leaf(3)
  x.grad = mg.zeros(1):expand(3)
  x:sum():backward()
end, "share memory")

refused(".grad that was freed", function()
  local x = leaf(4)
  ;(x * 2):sum():backward()
  x.grad:free()
  ;(x * 2):sum():backward()
end, "[0]")

refused("a leaf of another shape than it had, without a .grad", function()
  local x = leaf(4)
  local y = (x + 1):sum()
  x.data = mg.ones(2)
  y:backward()
end, "[4]", "[2]")

for what, act in pairs {
  ["replaces"] = function(g) g.data = mg.tensor(1.0) end,
  ["frees"] = function(g) g:free() end,
} do
  refused("a hook on a leaf that " .. what .. " the gradient", function()
    local x = leaf(4)
    x.grad = mg.zeros(4)
    x:register_hook(act)
    ;(x * 5):sum():backward()
  end, "hook", "[4]")
  refused("a hook on a layer's output that " .. what .. " the gradient", function()
    local y = nn.Linear(3, 2)(leaf{ 2, 3 })
    y:register_hook(act)
    y:sum():backward()
  end, "hook", "[2, 2]")
  refused("a hook on an expanded view that " .. what .. " the gradient", function()
    local y = leaf{ 2, 3 }:expand(4, 2, 3)
    y:register_hook(act)
    y:sum():backward()
  end, "hook", "[4, 2, 3]")
  refused("a node's hook that " .. what .. " a gradient", function()
    local y = leaf(4) * 2
    y.grad_fn:register_hook(function(inputs) act(inputs[1]) end)
    y:sum():backward()
  end, "hook")
  refused("a node's prehook that " .. what .. " a gradient", function()
    local y = leaf(4) * 2
    y.grad_fn:register_prehook(function(outputs) act(outputs[1]) end)
    y:sum():backward()
  end, "hook")
  refused("an input of a layer that somebody " .. what, function()
    local layer, x = nn.Linear(3, 2), mg.ones(400, 3, { requires_grad = true })
    local y = layer(x)
    act(x)
    y:sum():backward()
  end, "AddmmBackward0", "replaced")
  refused("a target that somebody " .. what, function()
    local x, t = leaf(100), mg.ones(100)
    local l = F.mse_loss(x, t)
    act(t)
    l:backward()
  end, "replaced")
  refused("a factor that somebody " .. what, function()
    local x, t = leaf(100), mg.ones(100)
    local y = (x * t):sum()
    act(t)
    y:backward()
  end, "MulBackward0", "replaced")
end

check.case("a parameter may have its elements replaced between steps", function()
  local w = leaf(3)
  for step = 1, 5 do
    ;(w * w):sum():backward()
    w.data = w.data - 0.1 * w.grad
    w.grad = nil
    check.close(w:detach(), mg.full({ 3 }, 0.8 ^ step), 1e-6)
  end
end)

check.case("an operation that fails leaves no failure for the next one", function()
  local x = leaf(3)
  local y = x * 1
  local inferred = mg.inference_mode(function() return mg.ones(2, 3) end)
  check.equal(pcall(function() y:mul_(inferred) end), false)
  check.equal(mg.zeros(2):tolist(), { 0.0, 0.0 })
  mg.autograd.saved_tensors_hooks(function() error("pack failed", 0) end, print, function()
    check.equal(pcall(function() y:mul_(x:expand(2, 3)) end), false)
    check.equal(mg.inference_mode(function() return 5 end), 5)
    check.raises("pack failed", function() return (x * x) end)
  end)
  check.equal(mg.is_inference_mode_enabled(), false)
end)

check.case("checkpoint takes modules of Swift's, and a backward of its function's own", function()
  local layer, x = nn.Linear(2, 2), mg.ones(1, 2, { requires_grad = true })
  mg.checkpoint(layer, x):sum():backward()
  local expected = x.grad
  x.grad = nil
  layer(x):sum():backward()
  check.equal(expected, x.grad)
  -- f(z) = z² · 2z, of which 2z is made by backward and so is a constant: f' = 2z · 2z = 4 at 1, as in PyTorch.
  local z = leaf(2)
  mg.checkpoint(function(z)
    local w, q = z * z, z:detach():requires_grad_()
    ;(q * q):sum():backward()
    return w * q.grad
  end, z):sum():backward()
  check.elements(z.grad, { 4, 4 })
end)

check.case("pack may let go of what it was given", function()
  local x = mg.tensor({ 1.0, 2.0 }, { requires_grad = true })
  local y = mg.autograd.saved_tensors_hooks(function(t)
    local list = t:tolist()
    t:free()
    return list
  end, mg.tensor, function() return (x:exp() * 1.0):sum() end)
  y:backward()
  check.close(x.grad, x:detach():exp(), 1e-6)
end)

return check.done()

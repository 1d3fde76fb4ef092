-- What is kept for backward: looking at it, hooks that keep it otherwise, and checkpoints that compute it again.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional
local grad, hooks, checkpoint = mg.autograd.grad, mg.autograd.saved_tensors_hooks, mg.checkpoint

local function leaf(...) return mg.tensor({ ... }, { requires_grad = true }) end

local message_of, mentions = check.message_of, check.mentions

local function same(x) return x end

-- Looking --------------------------------------------------------------------------------------------------------

check.case("a product keeps what the other side's gradient needs", function()
  local a, b = leaf(2.0), leaf(3.0)
  local node = (a * b).grad_fn
  check.is_true(node.saved_self == a)
  check.is_true(node.saved_other == b)
  node = (a * mg.tensor{ 3.0 }).grad_fn
  check.equal(node.saved_self, nil)
  check.elements(node.saved_other, { 3 })
  check.close((a * 3).grad_fn.saved_other, 3)
  check.equal((a + b).grad_fn.saved_self, nil)
end)

check.case("a saved result has its history", function()
  local x = leaf(1.0)
  local y = x:exp()
  local result = y.grad_fn.saved_result
  check.close(result:detach(), mg.tensor{ math.exp(1) }, 1e-6)
  check.is_true(result.grad_fn == y.grad_fn)
end)

check.case("saved values that were freed, that are stale, that do not exist", function()
  local x = leaf(2.0)
  local y = x * x
  local node = y.grad_fn
  y:backward()
  mentions(message_of(function() return node.saved_self end), "freed", "retain_graph", "MulBackward0")
  local z = x * 1
  y = z * z
  node = y.grad_fn
  z:add_(1)
  mentions(message_of(function() return node.saved_self end), "version 1", "in-place")
  mentions(message_of(function() return node.saved_slef end), "saved_slef", "saved_self")
  mentions(message_of(function() return node.nmae end), "nmae", "'name'")
  mentions(message_of(function() return node.variable end), "AccumulateGrad")
end)

-- Hooks ----------------------------------------------------------------------------------------------------------

check.case("hooks see every saved value, without history, and give it back at backward", function()
  local packed, unpacked = {}, 0
  local x, w = leaf(2.0), leaf(3.0)
  local y = hooks(function(t)
    packed[#packed + 1] = { t:tolist(), t.requires_grad }
    return t:tolist()
  end, function(list)
    unpacked = unpacked + 1
    return mg.tensor(list)
  end, function() return x * w end)
  check.equal(#packed, 2)
  for _, entry in ipairs(packed) do check.equal(entry[2], false) end
  check.equal(unpacked, 0)
  y:backward()
  check.equal(unpacked, 2)
  check.elements(x.grad, { 3 })
  check.elements(w.grad, { 2 })
end)

check.case("what hooks give back is what counts", function()
  local x = leaf(3.0)
  local function unpack(kept) return mg.tensor{ kept * 2.0 } end
  local y = hooks(function() return 5 end, unpack, function() return x * x end)
  y:backward()
  check.elements(x.grad, { 20 })
end)

check.case("nil may be kept", function()
  local x = leaf(3.0)
  local y = hooks(function() end, function(kept) return mg.tensor{ kept == nil and 7.0 or 0.0 } end,
    function() return x:exp() end)
  y:backward()
  check.elements(x.grad, { 7 })
end)

check.case("only the innermost hooks, and only within their scope", function()
  local log = {}
  local function named(name) return function(t) log[#log + 1] = name return t end end
  local x = leaf(3.0)
  do
    local _ <close> = hooks(named "outer", same)
    do
      local _ <close> = hooks(named "inner", same)
      local _ = x * x
    end
    local _ = x:exp()
  end
  local _ = x:exp()
  check.equal(table.concat(log, " "), "inner inner outer")
end)

check.case("errors end the scope", function()
  local count = 0
  local function counting(t) count = count + 1 return t end
  check.equal(pcall(hooks, counting, same, error), false)
  check.equal(pcall(function()
    local _ <close> = hooks(counting, same)
    error "out"
  end), false)
  local _ = leaf(1.0):exp()
  check.equal(count, 0)
end)

check.case("an error while packing surfaces at the operation, an error while unpacking at backward", function()
  local x, reason = leaf(3.0), { code = 1 }
  local ok, caught = pcall(hooks, function() error(reason) end, same, function() return x * x end)
  check.equal(ok, false)
  check.is_true(caught == reason)
  local y = hooks(same, function() error(reason) end, function() return x * x end)
  ok, caught = pcall(y.backward, y)
  check.equal(ok, false)
  check.is_true(caught == reason)
  check.equal(mg.is_grad_enabled(), true);
  (x * x):backward()
  check.elements(x.grad, { 6 })
end)

check.case("what must not be unpacked", function()
  local x = leaf(3.0)
  local function unpacking(value)
    return message_of(function() hooks(same, function() return value end, function() return x * x end):backward() end)
  end
  mentions(unpacking(5), "saved_tensors_hooks", "tensor")
  mentions(unpacking(nil), "saved_tensors_hooks", "tensor")
  mentions(unpacking(mg.ones(7)), "saved_tensors_hooks", "[7]", "[1]")
  mentions(unpacking(mg.ones(1, { dtype = "int64" })), "saved_tensors_hooks", "int64", "float32")
  check.equal(x.grad, nil)
end)

check.case("what is unpacked may lie in memory in another way", function()
  local x, t = mg.tensor({ { 1.0, 2.0, 4.0 }, { 0.5, 0.0, 1.0 }, { 3.0, 1.0, 2.0 } }, { requires_grad = true }), mg.tensor{ 1, 2, 3 }
  local function gradient(unpack)
    x.grad = nil
    hooks(same, unpack, function() return mg.nn.functional.cross_entropy(x, t) end):backward()
    return x.grad
  end
  local right = gradient(same)
  check.elements(gradient(function(a) return a.ndim == 2 and a:t():contiguous():t() or a end):flatten(), right:flatten():tolist())
  -- Between these labels lie numbers that are none.
  check.elements(gradient(function(a) return a.ndim == 1 and mg.stack({ a, a * 0 + 3000000000 }, 2):select(2, 1) or a end):flatten(),
    right:flatten():tolist())
end)

check.case("wrong arguments", function()
  check.rejects("mg.autograd.saved_tensors_hooks()",
    "saved_tensors_hooks: argument 1: expected a function, got nil")
  check.rejects("mg.autograd.saved_tensors_hooks(print)",
    "saved_tensors_hooks: argument 2: expected a function, got nil")
  check.rejects("mg.autograd.saved_tensors_hooks(print, print, 3)", "saved_tensors_hooks: …")
end)

check.case("copies that hooks keep are not spoiled by writes", function()
  local x = leaf(3.0)
  local y = x * 1
  local z = hooks(function(t) return t:clone() end, same, function() return y * y end)
  y:add_(1)
  z:backward()
  check.elements(x.grad, { 6 })
end)

check.case("double backward through unpacked values", function()
  local x = leaf(3.0)
  local y = hooks(function(t) return t:tolist() end, mg.tensor, function() return x * x * x end)
  local g = grad(y, { x }, { create_graph = true })
  check.elements(g, { 27 })
  check.elements(grad(g, { x }), { 18 })
end)

check.case("freed values are let go of by hooks too", function()
  local x = leaf(3.0)
  local kept = setmetatable({}, { __mode = "k" })
  local y = hooks(function(t)
    local box = { t:tolist() }
    kept[box] = true
    return box
  end, function(box) return mg.tensor(box[1]) end, function() return x * x end)
  y:backward()
  mentions(message_of(y.backward, y), "retain_graph")
  for _ = 1, 3 do
    local _ = mg.ones(1)
    collectgarbage()
  end
  check.equal(next(kept), nil)
end)

check.case("hooks belong to their coroutine, as modes do", function()
  local count = 0
  local thread = coroutine.create(function()
    local _ <close> = hooks(function(t) count = count + 1 return t end, same)
    coroutine.yield()
    local _ = leaf(1.0):exp()
  end)
  coroutine.resume(thread)
  local _ = leaf(1.0):exp()
  check.equal(count, 0)                              -- outside of the coroutine, while it waits
  coroutine.resume(thread)
  check.equal(count, 1)
end)

check.case("hooks of a coroutine that died leave nothing in force", function()
  local count = 0
  local function counting(t) count = count + 1 return t end
  local dies = coroutine.create(function()
    local _ <close> = hooks(counting, same)
    error "out"
  end)
  coroutine.resume(dies)                             -- Lua closes nothing here, until the coroutine is closed
  local _ = leaf(1.0):exp()
  check.equal(count, 0)
  coroutine.close(dies)
  _ = leaf(1.0):exp()
  check.equal(count, 0)
end)

check.case("a layer's saved values go through hooks", function()
  local layer, count = nn.Linear(2, 2), 0
  local x = mg.ones(1, 2, { requires_grad = true })
  local y = hooks(function(t) count = count + 1 return t:tolist() end, mg.tensor, function() return layer(x):relu() end)
  y:sum():backward()
  check.is_true(count >= 2)
  local expected = x.grad
  x.grad = nil
  layer(x):relu():sum():backward()
  check.close(expected, x.grad)
end)

-- Checkpoints ----------------------------------------------------------------------------------------------------

local function net()
  mg.manual_seed(0)
  return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
end

check.case("a checkpoint gives the same values and gradients", function()
  local plain, kept = net(), net()
  local x = mg.ones(2, 3, { requires_grad = true })
  local y = plain(x):sum()
  y:backward()
  local expected = x.grad
  x.grad = nil
  local z = checkpoint(kept, x):sum()
  check.close(z, y)
  z:backward()
  check.close(x.grad, expected)
  local others = kept:parameters()
  for i, p in ipairs(plain:parameters()) do check.close(others[i].grad, p.grad) end
end)

check.case("f runs once forward and once backward", function()
  local runs = 0
  local x = leaf(0.5)
  local function f(t)
    runs = runs + 1
    return (t:tanh() * t):exp()
  end
  local y = checkpoint(f, x)
  check.equal(runs, 1)
  y:backward()
  check.equal(runs, 2)
  local expected = grad(f(x), { x })
  check.close(x.grad, expected)
end)

check.case("several arguments and results, of any kind", function()
  local a, b = leaf(2.0), leaf(3.0)
  local p, n, q = checkpoint(function(s, k, t) return s * t * k, nil, s:exp() end, a, 10, b)
  check.equal(n, nil);
  (p + q):backward()
  check.close(a.grad, mg.tensor{ 30 + math.exp(2) }, 1e-6)
  check.elements(b.grad, { 20 })
end)

check.case("f may close over parameters, and arguments may be constants", function()
  local w = leaf(3.0)
  checkpoint(function(t) return t * w * w end, mg.tensor{ 2.0 }):backward()
  check.elements(w.grad, { 12 })
end)

check.case("dropout draws the same numbers again, and the generator goes on as if it had not", function()
  local drop = nn.Dropout(0.5)
  local x = mg.ones(100, { requires_grad = true })
  mg.manual_seed(7)
  local y = drop(x) * drop(x * 3)
  local after = mg.rand(3)
  y:sum():backward()
  local expected = x.grad
  x.grad = nil
  mg.manual_seed(7)
  local z = checkpoint(function(t) return drop(t) * drop(t * 3) end, x)
  check.equal(mg.rand(3), after)
  check.equal(z:detach(), y:detach())
  local before = mg.rand(1)
  z:sum():backward()
  check.equal(x.grad, expected)
  mg.manual_seed(7)
  local _ = drop(x) * drop(x * 3), mg.rand(3)
  check.equal(mg.rand(1), before)
  mg.rand(1)
end)

check.case("backward twice with retain_graph", function()
  local x = leaf(0.5)
  local y = checkpoint(function(t) return t:tanh():exp() * t end, x)
  y:backward(nil, { retain_graph = true })
  local once = x.grad:clone()
  y:backward()
  check.close(x.grad, once * 2)
  mentions(message_of(y.backward, y), "retain_graph")
end)

check.case("create_graph through a checkpoint", function()
  local x = leaf(0.5)
  local function f(t) return (t * t):tanh() * t end
  local function derivatives(run)
    local g = grad(run(), { x }, { create_graph = true })
    local h = grad(g, { x }, { create_graph = true })
    return g, h, grad(h, { x })
  end
  local g, h, k = derivatives(function() return f(x) end)
  local cg, ch, ck = derivatives(function() return checkpoint(f, x) end)
  check.close(cg, g)
  check.close(ch, h)
  check.close(ck, k, 1e-5)
end)

check.case("checkpoints in a row, and inside of each other", function()
  local x = leaf(0.5)
  local function f(t) return t:tanh() * t end
  local y = f(f(f(x)))
  local expected = grad(y, { x })
  check.close(grad(checkpoint(f, checkpoint(f, checkpoint(f, x))), { x }), expected)
  local runs = 0
  local nested = checkpoint(function(t)
    return f(checkpoint(function(s)
      runs = runs + 1
      return f(checkpoint(f, s))
    end, t))
  end, x)
  check.close(grad(nested, { x }), expected)
  check.is_true(runs >= 2)
end)

check.case("a function that does something else the second time", function()
  local x, first = leaf(0.5), true
  local y = checkpoint(function(t)
    if first then
      first = false
      return t:exp() * t
    end
    return t:exp()
  end, x)
  mentions(message_of(y.backward, y), "checkpoint", "twice")
  first = true
  -- The same number of values but of another shape.
  y = checkpoint(function(t)
    if first then
      first = false
      return t:exp()
    end
    return mg.cat{ t, t }:exp():sum()
  end, x)
  mentions(message_of(y.backward, y), "shape", "[2]", "[1]")
  check.equal(x.grad, nil)
end)

check.case("an error in f, the first time and the second", function()
  local x, count, reason = leaf(0.5), 0, {}
  local ok, caught = pcall(checkpoint, function() error(reason) end, x)
  check.equal(ok, false)
  check.is_true(caught == reason)
  local y = checkpoint(function(t)
    count = count + 1
    if count == 2 then error(reason) end
    return t:exp()
  end, x)
  mg.manual_seed(3)
  local expected = mg.rand(1)
  mg.manual_seed(3)
  ok, caught = pcall(y.backward, y, nil, { retain_graph = true })
  check.equal(ok, false)
  check.is_true(caught == reason)
  check.equal(mg.rand(1), expected)                  -- the generator is put back
  check.equal(mg.is_grad_enabled(), true)
  y:backward()                                       -- and the third time is well
  check.close(x.grad, mg.tensor{ math.exp(0.5) }, 1e-6)
  local packed = false
  local _ = hooks(function(t) packed = true return t end, same, function() return x:exp() end)
  check.equal(packed, true)
end)

check.case("a value that was written between the passes is noticed", function()
  local x = leaf(0.5)
  local input = x * 1
  local y = checkpoint(function(t) return t * t end, input)
  input:add_(1) local line = debug.getinfo(1, "l").currentline
  -- PyTorch's checkpoint computes with what is there now, silently; a wrong gradient without a word is no choice.
  mentions(message_of(y.backward, y), "checkpoint: argument 1", "[1]", "written",
    ("first run, last at %ssaved.lua:%d, so that"):format(check.here, line))
  check.rejects("x:backward()", "checkpoint: argument 1 of shape [1] was written to after the function's first run, last at …", y)
  check.equal(x.grad, nil)
end)

check.case("in no_grad a checkpoint is just a call", function()
  local x, runs = leaf(0.5), 0
  local y = mg.no_grad(function()
    return checkpoint(function(t)
      runs = runs + 1
      return t:exp()
    end, x)
  end)
  check.equal({ y.requires_grad, runs }, { false, 1 })
end)

check.case("f sees the grad mode that it was called in, the second time too", function()
  local x, modes = leaf(0.5), {}
  local y = checkpoint(function(t)
    modes[#modes + 1] = mg.is_grad_enabled()
    return t:exp()
  end, x)
  y:backward()
  check.equal(modes, { true, true })
end)

check.case("a custom function and in-place writes inside of a checkpoint", function()
  local Square = mg.autograd.Function("Square", {
    forward = function(ctx, t)
      ctx:save_for_backward(t)
      return t * t
    end,
    backward = function(ctx, g) return g * 2 * ctx:saved_tensors() end,
  })
  local x = leaf(3.0)
  local function f(t)
    local y = Square(t * 1)
    y:mul_(2)
    return y:exp() * 0 + y
  end
  local expected = grad(f(x), { x })
  check.close(grad(checkpoint(f, x), { x }), expected)
end)

check.case("arguments may be tables", function()
  local x = leaf(0.5)
  local y = checkpoint(function(options) return options.input:exp() * options.factor end, { input = x, factor = 3 })
  y:backward()
  check.close(x.grad, mg.tensor{ 3 * math.exp(0.5) }, 1e-6)
end)

check.case("not a function", function()
  check.rejects("mg.checkpoint(3)", "checkpoint: argument 1: expected a function or a module, got a number")
  check.rejects("mg.checkpoint()", "checkpoint: argument 1: expected a function or a module, got nil")
  check.rejects("mg.checkpoint({})", "checkpoint: argument 1: expected a function or a module, got a table")
  check.rejects("mg.checkpoint 'f'", "checkpoint: argument 1: expected a function or a module, got a string")
end)

check.case("f yields inside of a checkpoint", function()
  local x = leaf(0.5)
  local thread = coroutine.wrap(function()
    return checkpoint(function(t)
      local y = t:exp()
      if coroutine.isyieldable() then coroutine.yield() end
      return y * y
    end, x)
  end)
  thread()
  local saved = (x * x).grad_fn.saved_self           -- meanwhile, others save for themselves
  check.is_true(saved == x)
  local y = thread()
  y:backward()
  check.close(x.grad, mg.tensor{ 2 * math.exp(1) }, 1e-6)
end)

check.case("hooks whose guard was dropped and collected leave what is saved to be saved as usual", function()
  local x = leaf(2.0)
  mg.catch_warnings(function()
    coroutine.wrap(function()
      hooks(same, same)
      collectgarbage()
      collectgarbage()
      local y = x * x
      y:backward()
    end)()
  end)
  check.close(x.grad, mg.tensor{ 4.0 })
end)

check.case("what could not be saved by a call that failed is no mistake of the next call", function()
  local t = mg.inference_mode(function() return mg.rand(2, 3) end)
  local y = leaf(1.0, 2.0, 3.0) * 1
  check.raises(
    "MulBackward0: a tensor of shape [2, 3] that was made in inference_mode cannot be saved for backward; clone() it outside of that mode first",
    function() y:mul_(t) end)
  check.equal(mg.zeros(2):sum():item(), 0.0)
end)

return check.done()

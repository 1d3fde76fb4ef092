-- Hooks: on tensors, on leaves after accumulation, on nodes of the graph, on modules of both kinds. What they see, what
-- they may return, their order (PyTorch 2.15's), and what is left when one raises.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn = mg.nn

local function leaf(values) return mg.tensor(values, { requires_grad = true }) end

-- A log, and a function that makes hooks which write their name to it.
local function logger()
  local log = {}
  return log, function(name, result)
    return function() log[#log + 1] = name; return result end
  end
end

local function says(log, expected) check.equal(table.concat(log, ", "), expected) end

-- The message of the error that `f` raises; warnings of what it had accumulated until then are not shown.
local message_of, mentions = check.message_of, check.mentions

-- Tensors --------------------------------------------------------------------------------------------------------

check.case("a hook that returns no tensor is told what it returned", function()
  for _, returned in ipairs { { 5, "5" }, { 1.5, "1.5" }, { "grad", '"grad"' }, { {}, "a table" }, { true, "true" }, { print, "a function" } } do
    local x = mg.ones(2, { requires_grad = true })
    x:register_hook(function() return returned[1] end)
    check.raises("register_hook: a hook must return a tensor or nothing, got " .. returned[2], function() (x * 2):sum():backward() end)
  end
end)

check.case("a hook sees the gradient, and nothing returned changes nothing", function()
  local x = leaf{ 1.0, 2.0 }
  local y, seen = x * 3, nil
  y:register_hook(function(g) seen = g:tolist() end);
  (y * 5):sum():backward()
  check.equal(seen, { 5.0, 5.0 })
  check.elements(x.grad, { 15, 15 })
end)

check.case("a hook replaces the gradient, and the next one sees that", function()
  local x = leaf{ 1.0, 2.0 }
  local y, seen = x * 3, nil
  y:register_hook(function(g) return g * 10 end)
  y:register_hook(function(g) seen = g:tolist() end)
  y:sum():backward()
  check.equal(seen, { 10.0, 10.0 })
  check.elements(x.grad, { 30, 30 })
end)

check.case("a hook on a leaf sees the sum of what arrives, once", function()
  local x, seen = leaf(3.0), {}
  x:register_hook(function(g) seen[#seen + 1] = g:item() end);
  (x * 2 + x * 5 + x):backward()
  check.equal(seen, { 8.0 })
end)

check.case("leaves with hooks come as soon as their gradient is complete", function()
  local x, w, v = leaf(2.0), leaf(3.0), leaf(4.0)
  local y = x * w
  local z = y * v
  local log, named = logger()
  for name, t in pairs { x = x, w = w, v = v, y = y, z = z } do t:register_hook(named(name)) end
  for name, t in pairs { x = x, w = w, v = v } do t:register_post_accumulate_grad_hook(named("post " .. name)) end
  z:backward()
  -- AccumulateGrad is first among what is ready, so v does not wait for y; of x and w, which get ready together, the
  -- first input is first.
  says(log, "z, v, post v, y, x, post x, w, post w")
end)

check.case("an optimizer may step in a hook after accumulation, while backward goes on below", function()
  local a, b = leaf(2.0), leaf(3.0)
  local seen
  b:register_post_accumulate_grad_hook(function(p)
    p.grad = nil
    seen = seen or "b first"
  end)
  local y = a * 1
  y:register_hook(function() seen = seen or "y first" end);
  (y * b):backward()
  check.equal(b.grad, nil)
  check.close(a.grad, 3)
  check.equal(seen, "b first")
end)

check.case("the hooks of one node and of its leaf", function()
  local x = leaf(2.0)
  local y = x * 3
  local z = y * y
  local log = {}
  local function note(text, ...) log[#log + 1] = text:format(...) end
  -- Registered in another order than they run in.
  y.grad_fn:register_hook(function(inputs, outputs) note("node %g %g", inputs[1]:item(), outputs[1]:item()) end)
  y.grad_fn:register_prehook(function(outputs) note("node pre %g", outputs[1]:item()) end)
  y:register_hook(function(g) note("t1 %g", g:item()) end)
  y:retain_grad()
  y:register_hook(function(g) note("t2 %g %s", g:item(), y.grad); return g * 10 end)
  local accumulate = y.grad_fn.next_functions[1][1]
  accumulate:register_hook(function(inputs, outputs) note("accumulated %d %g", #inputs, outputs[1]:item()) end)
  accumulate:register_prehook(function(outputs) note("accumulates %g", outputs[1]:item()) end)
  x:register_post_accumulate_grad_hook(function(p) note("post %g %s", p.grad:item(), p == x) end)
  x:register_hook(function(g) note("x %g", g:item()) end)
  z:backward()
  says(log, "t1 12, t2 12 nil, node pre 120, node 360 120, x 360, accumulates 360, post 360 true, accumulated 0 360")
  check.close(y.grad, 120)                           -- what is retained is what the hooks made of it
  check.close(x.grad, 360)
end)

check.case("asked-for gradients: before the hooks where the run goes on, after them where it ends", function()
  local x = leaf(2.0)
  local y = x * 3
  local z = y * y
  y:register_hook(function(g) return g * 10 end)
  y.grad_fn:register_prehook(function(outputs) return { outputs[1] * 100 } end)
  x:register_hook(function(g) return g * 2 end)
  x:register_post_accumulate_grad_hook(function() check.fail "grad() accumulates nothing" end)
  x:register_post_accumulate_grad_hook(function() check.fail "grad() accumulates nothing" end)
  y.grad_fn.next_functions[1][1]:register_prehook(function() check.fail "grad() accumulates nothing" end)
  local keep = { retain_graph = true }
  check.close(mg.autograd.grad(z, { y }, keep), 120)
  local gx, gy = mg.autograd.grad(z, { x, y }, keep)
  check.close(gx, 72000)
  check.close(gy, 12)
  check.close(mg.autograd.grad(z, { x }, keep), 72000)
  check.equal(x.grad, nil)
end)

check.case("a retained gradient is filled by grad() as well", function()
  local x = leaf(2.0)
  local y = x * 3
  y:retain_grad()
  mg.autograd.grad(y * y, { x })
  check.close(y.grad, 12)
  check.equal(x.grad, nil)
end)

check.case("hooks that remove themselves and others while they run", function()
  local x = leaf(2.0)
  local log, named = logger()
  local handles = {}
  handles[1] = x:register_hook(function()
    log[#log + 1] = "first"
    handles[1]:remove()
    handles[2]:remove()
  end)
  handles[2] = x:register_hook(named "second")
  handles[3] = x:register_hook(named "third")
  x:backward()
  says(log, "first, second, third")                  -- this run's hooks were settled
  x:backward()
  says(log, "first, second, third, third")
  handles[1]:remove()                                -- twice is nothing
  handles[3]:remove()
  x:backward()
  check.equal(#log, 4)
  check.close(x.grad, 3)
end)

check.case("a hook that is added while another runs waits for the next run", function()
  local x = leaf(2.0)
  local log, named = logger()
  local handle = x:register_hook(function()
    log[#log + 1] = "adds"
    x:register_hook(named "added")
  end)
  x:backward()
  says(log, "adds")
  handle:remove()
  x:backward()
  says(log, "adds, added")
end)

check.case("hooks after accumulation that remove others, and clear the gradient", function()
  local x = leaf(2.0)
  local log, named = logger()
  local second
  x:register_post_accumulate_grad_hook(function(p)
    log[#log + 1] = "first"
    p.grad = nil
    second:remove()
  end)
  second = x:register_post_accumulate_grad_hook(named "second");
  (x * 2):backward()
  says(log, "first, second")
  check.equal(x.grad, nil);
  (x * 2):backward()
  says(log, "first, second, first")
end)

check.case("a hook registered before a write sees the gradient before the write", function()
  local x = leaf{ 1.0, 1.0 }
  local y = x * 2
  local log = {}
  y:register_hook(function(g) log[#log + 1] = "before " .. g[1]:item() end)
  y:mul_(3)
  y:register_hook(function(g) log[#log + 1] = "after " .. g[1]:item() end)
  y:sum():backward()
  says(log, "after 1.0, before 3.0")
end)

check.case("a hook keeps the gradient that it was given", function()
  local x, kept = leaf{ 1.0, 2.0 }, nil
  local y = x * 3
  y:register_hook(function(g) kept = g end);
  (y * mg.tensor{ 5.0, 7.0 }):sum():backward()
  check.elements(kept, { 5, 7 })                     -- and no later formula has written into it
  x.grad:zero_()
  check.elements(kept, { 5, 7 })
  local z, leaf_kept = leaf{ 1.0, 2.0 }, nil
  z:register_hook(function(g) leaf_kept = g end);
  (z * 3):sum():backward()
  z.grad:zero_()
  check.elements(leaf_kept, { 3, 3 })
end)

check.case("what a hook returns stays its own", function()
  local x = leaf{ 1.0, 2.0 }
  local mine = mg.tensor{ 10.0, 20.0 }
  x:register_hook(function() return mine end);
  (x * 3):sum():backward()
  x.grad:zero_()
  check.elements(mine, { 10, 20 })
  local y = x * 3
  x.grad = nil
  y:register_hook(function() return mine end);
  (y * 2):sum():backward()
  check.elements(mine, { 10, 20 })
end)

check.case("a hook with create_graph is differentiated", function()
  local x = leaf(3.0)
  x:register_hook(function(g) return g * g end)
  -- (2x)² = 36; its derivative is 8x = 24, which the hook squares.
  local g = mg.autograd.grad(x ^ 2, { x }, { create_graph = true })
  check.close(g, 36)
  check.equal(g.requires_grad, true)
  check.close(mg.autograd.grad(g, { x }), 576)
end)

check.case("a hook without create_graph records nothing", function()
  local x = leaf(3.0)
  local records
  x:register_hook(function(g) records = (g * x).requires_grad end);
  (x * 2):backward()
  check.equal(records, false)
end)

check.case("a hook may switch recording on for itself", function()
  local x, w = leaf(3.0), leaf(2.0)
  x:register_hook(function()
    local _ <close> = mg.enable_grad();
    (w * w):backward()
  end);
  (x * 2):backward()
  check.close(x.grad, 2)
  check.close(w.grad, 4)
  check.equal(mg.is_grad_enabled(), true)
end)

check.case("backward inside a hook, through the graph that is running", function()
  local x, w = leaf(2.0), leaf(3.0)
  local y = x * w
  local z = y * y
  local inner
  y:register_hook(function()
    local _ <close> = mg.enable_grad()
    inner = inner or mg.autograd.grad(x * w * w, { w })
  end)
  z:backward()
  check.close(x.grad, 36)                            -- 2xw² = 2·2·9
  check.close(w.grad, 24)
  check.close(inner, 12)
  -- The same node in both runs: the outer gradients that wait at it are put back.
  x.grad, w.grad = nil, nil
  local entered = false
  local u = x * w
  local v = u + u * 1
  u.grad_fn:register_prehook(function()
    if entered then return end
    entered = true
    u:backward(mg.tensor(100.0), { retain_graph = true })
  end)
  v:backward()
  check.close(x.grad, 306)                           -- 100w + 2w
  check.close(w.grad, 204)
end)

check.case("tensor hooks that return the wrong thing", function()
  local function run(result)
    local x = leaf{ 1.0, 2.0 }
    local y = x * 2
    y:register_hook(function() return result end)
    y:sum():backward()
    return x.grad
  end
  mentions(message_of(run, mg.ones(3)), "hook", "[3]", "[2]")
  mentions(message_of(run, mg.ones(1)), "hook", "[1]", "[2]")
  mentions(message_of(run, 3), "register_hook", "tensor")
  mentions(message_of(run, { mg.ones(2) }), "register_hook", "tensor")
  mentions(message_of(run, false), "register_hook", "tensor")
end)

check.case("where hooks cannot be", function()
  check.raises("register_hook: the tensor does not require grad, so no gradient will reach it",
    function() mg.ones(1):register_hook(print) end)
  check.raises("register_post_accumulate_grad_hook: only leaves that require grad accumulate gradients",
    function() mg.ones(1):register_post_accumulate_grad_hook(print) end)
  check.raises("register_post_accumulate_grad_hook: only leaves that require grad accumulate gradients",
    function() (leaf{ 1.0 } * 2):register_post_accumulate_grad_hook(print) end)
  check.raises("register_hook: expected a function, got 3", function() leaf{ 1.0 }:register_hook(3) end)
  check.raises("register_hook: expected a function, got nil", function() leaf{ 1.0 }:register_hook() end)
end)

check.case("several outputs: only those that a gradient reaches", function()
  local x = mg.arange(4.0):requires_grad_()
  local parts = x:chunk(2)
  local seen = {}
  parts[1]:register_hook(function(g) seen[#seen + 1] = g end)
  parts[1]:sum():backward()
  check.equal(#seen, 1)
  check.elements(seen[1], { 1, 1 })
  check.elements(x.grad, { 1, 1, 0, 0 })
end)

-- Nodes ----------------------------------------------------------------------------------------------------------

check.case("a node's hooks get lists with their length", function()
  local x = leaf{ 1.0, 1.0 }
  local y = x * mg.tensor{ 3.0, 4.0 }
  local inputs, outputs
  y.grad_fn:register_hook(function(i, o) inputs, outputs = i, o end)
  y:sum():backward()
  check.equal(inputs.n, 2)
  check.elements(inputs[1], { 3, 4 })
  check.equal(inputs[2], nil)
  check.equal(outputs.n, 1)
  check.elements(outputs[1], { 1, 1 })
end)

check.case("a node with several outputs has nil where nothing arrived", function()
  local x = mg.arange(4.0):requires_grad_()
  local parts = x:unbind()
  local before, after
  parts[1].grad_fn:register_prehook(function(outputs) before = outputs end)
  parts[1].grad_fn:register_hook(function(_, outputs) after = outputs end)
  parts[2]:backward()
  for _, list in ipairs { before, after } do
    check.equal(list.n, 4)
    check.equal(list[1], nil)
    check.close(list[2], 1)
    check.equal(list[4], nil)
  end
  check.elements(x.grad, { 0, 1, 0, 0 })
end)

local function through_node(register, hook)
  local x = leaf{ 1.0, 1.0 }
  local y = x * mg.tensor{ 3.0, 4.0 }
  y.grad_fn[register](y.grad_fn, hook)
  y:sum():backward()
  return x.grad
end

check.case("a node's hooks replace gradients", function()
  check.elements(through_node("register_hook", function(i) return { i[1] * 5 } end), { 15, 20 })
  check.elements(through_node("register_hook", function(i) return { i[1] * 5, nil } end), { 15, 20 })
  check.equal(through_node("register_hook", function() return { nil, nil } end), nil)
  check.elements(through_node("register_hook", function() end), { 3, 4 })
  check.elements(through_node("register_prehook", function(o) return { o[1] * 5 } end), { 15, 20 })
  check.elements(through_node("register_prehook", function(o) return o[1] * 5 end), { 15, 20 })
end)

check.case("a node's hooks that return the wrong thing", function()
  local function fails(register, hook, ...) mentions(message_of(through_node, register, hook), ...) end
  fails("register_hook", function() return { mg.ones(3) } end, "[3]", "[2]", "MulBackward0")
  fails("register_hook", function(i) return i[1] end, "register_hook", "list of 2")
  fails("register_hook", function() return { 3 } end, "register_hook", "element 1")
  fails("register_hook", function(i) return { i[1], i[1], i[1] } end, "3", "2")     -- three where there are two
  fails("register_prehook", function() return { mg.ones(3) } end, "[3]", "[2]", "MulBackward0")
  fails("register_prehook", function() return 3 end, "register_prehook")
  fails("register_prehook", function(o) return { o[1], o[1] } end, "2", "1")
end)

check.case("a node's hooks that remove others while they run", function()
  local x = leaf(2.0)
  local y = x * 2
  local log, named = logger()
  local handles = {}
  handles[1] = y.grad_fn:register_hook(function() log[#log + 1] = "n1"; handles[2]:remove() end)
  handles[2] = y.grad_fn:register_hook(named "n2")
  handles[3] = y.grad_fn:register_hook(named "n3")
  y:backward(nil, { retain_graph = true })
  says(log, "n1, n2, n3")
  y:backward()
  says(log, "n1, n2, n3, n1, n3")
end)

check.case("a node's hook undoes broadcasting first, and is differentiated with create_graph", function()
  local x, b = leaf{ { 1.0, 2.0 }, { 3.0, 4.0 } }, leaf{ 5.0, 6.0 }
  local y = x * b
  local shapes
  y.grad_fn:register_hook(function(inputs)
    shapes = { inputs[1].shape, inputs[2].shape }
    return { inputs[1], inputs[2] * inputs[2] }
  end)
  local _, g = mg.autograd.grad(y:sum(), { x, b }, { create_graph = true })
  check.equal(shapes, { { 2, 2 }, { 2 } })
  check.elements(g, { 16, 36 })                      -- column sums 4 and 6, squared
  check.elements(mg.autograd.grad(g:sum(), { x }), { { 8, 12 }, { 8, 12 } })
end)

check.case("hooks on AccumulateGrad belong to the leaf, whichever way it is reached", function()
  local x = leaf(2.0)
  local log = {};
  (x * 1).grad_fn.next_functions[1][1]:register_prehook(function(o)
    log[#log + 1] = "pre " .. o[1]:item()
    return { o[1] * 10 }
  end)
  collectgarbage();
  (x * 3):backward()
  says(log, "pre 3.0")
  check.close(x.grad, 30)
  local node = (x + 1).grad_fn.next_functions[1][1]
  check.is_true(node == (x * 5).grad_fn.next_functions[1][1])
  check.is_true(node.variable == x)
end)

check.case("a prehook on AccumulateGrad that returns no gradient stops it", function()
  local x = leaf(2.0);
  (x * 1).grad_fn.next_functions[1][1]:register_prehook(function() return { nil } end);
  (x * 3):backward()
  check.equal(x.grad, nil)
end)

-- Errors ---------------------------------------------------------------------------------------------------------

check.case("an error in a hook surfaces as it was raised", function()
  local x = leaf(2.0)
  local reason = { code = 7 }
  local y = x * 2
  y:register_hook(function() error(reason) end)
  local ok, caught = pcall(y.backward, y)
  check.equal(ok, false)
  check.is_true(caught == reason)
end)

check.case("an error in a hook has the position of the hook", function()
  local x = leaf(2.0)
  local line = debug.getinfo(1, "l").currentline + 1
  x:register_hook(function() error "no" end)
  mentions(message_of(x.backward, x), ("hooks.lua:%d: no"):format(line))
end)

check.case("an error in a hook leaves modes, tape and session usable, and says what was accumulated", function()
  local x, w, v = leaf{ 1.0, 2.0 }, leaf{ 3.0, 4.0 }, leaf{ 5.0, 6.0 }
  local y = x * w
  local fail = true
  y:register_hook(function() if fail then error "not today" end end)
  local z = (y * v):sum()
  for _, scope in ipairs { mg.no_grad, mg.enable_grad } do
    v.grad = nil
    local warnings, ok, message = mg.catch_warnings(scope, function()
      return pcall(z.backward, z, nil, { retain_graph = true })
    end)
    check.equal(ok, false)
    mentions(message, "not today")
    check.equal(mg.is_grad_enabled(), true)
    check.elements(v.grad, { 3, 8 })
    check.equal(#warnings, 1)
    mentions(warnings[1] or "", "1 leaf", "[2]", ".grad")
    check.equal(x.grad, nil)
    check.equal(w.grad, nil)
  end
  -- The same graph runs again, with nothing left over from the runs that failed.
  fail, v.grad = false, nil
  z:backward()
  check.elements(x.grad, { 15, 24 })
  check.elements(w.grad, { 5, 12 })
  check.elements(v.grad, { 3, 8 })
end)

check.case("an error in a hook of a leaf, after other leaves", function()
  local a, b = leaf(2.0), leaf(3.0)
  b:register_post_accumulate_grad_hook(function() error "full" end)
  local warnings = mg.catch_warnings(function() pcall(function() (a * b):backward() end) end)
  check.equal(#warnings, 1)
  a.grad, b.grad = nil, nil
  local c = leaf(4.0);
  (a * c):backward()
  check.close(a.grad, 4)
end)

check.case("a hook that yields fails, and backward can be run again", function()
  local x = leaf(2.0)
  local handle = x:register_hook(function() coroutine.yield() end)
  local thread = coroutine.create(function() (x * 2):backward() end)
  local ok, message = coroutine.resume(thread)
  check.equal(ok, false)
  mentions(tostring(message), "yield")
  handle:remove();
  (x * 2):backward()
  check.close(x.grad, 2)
end)

-- Modules --------------------------------------------------------------------------------------------------------

local Own = nn.Module "Own"
function Own:init(inner) self.inner = inner end
function Own:forward(x) return self.inner(x) end

check.case("the order of the hooks of nested modules", function()
  local plain, wrapped = nn.Sequential(nn.Linear(1, 1), nn.Tanh()), Own(nn.Sequential(nn.Linear(1, 1), nn.Tanh()))
  for outer, inner in pairs { [plain] = plain, [wrapped] = wrapped.inner } do
    local log, named = logger()
    for name, module in pairs { outer = outer, linear = inner[1], tanh = inner[2] } do
      module:register_forward_pre_hook(named("pre " .. name))
      module:register_forward_hook(named("fw " .. name))
      module:register_full_backward_hook(named("bw " .. name))
      module:register_full_backward_pre_hook(named("bwpre " .. name))
    end
    outer(mg.ones(1, 1, { requires_grad = true })):backward()
    says(log, "pre outer, pre linear, fw linear, pre tanh, fw tanh, fw outer, "
      .. "bwpre outer, bwpre tanh, bw tanh, bwpre linear, bw linear, bw outer")
  end
end)

check.case("where no input requires grad, backward hooks fire with the outputs' gradients", function()
  local net = nn.Sequential(nn.Linear(1, 1), nn.Tanh())
  local log, named = logger()
  for name, module in pairs { net = net, linear = net[1], tanh = net[2] } do
    module:register_full_backward_hook(named("bw " .. name))
    module:register_full_backward_pre_hook(named("bwpre " .. name))
  end
  net(mg.ones(1, 1)):backward()
  says(log, "bwpre net, bw net, bwpre tanh, bw tanh, bwpre linear, bw linear")
end)

local kinds = {
  { "Swift module", function() return nn.Linear(2, 1) end, function(m) return m.weight end },
  { "script module", function() return Own(nn.Linear(2, 1)) end, function(m) return m.inner.weight end },
}
for _, entry in ipairs(kinds) do
  local kind, make, weight_of = table.unpack(entry)
  local function case(name, body) check.case(kind .. ": " .. name, body) end

  case("forward hooks: what they see", function()
    local m, x = make(), mg.ones(1, 2)
    local log = {}
    m:register_forward_pre_hook(function(module, inputs, ...)
      log[#log + 1] = ("pre %s %d %s %d"):format(module == m, inputs.n, inputs[1] == x, select("#", ...))
    end)
    m:register_forward_hook(function(module, inputs, output)
      log[#log + 1] = ("fw %s %s %d"):format(module == m, inputs[1] == x, output:numel())
    end)
    m(x)
    says(log, "pre true 1 true 0, fw true true 1")
  end)

  case("forward hooks replace what goes in and what comes out", function()
    local m = make()
    local before = m(mg.zeros(1, 2)):item()
    -- The only input itself, a list, and a list with a length.
    for _, replace in ipairs {
      function(_, inputs) return inputs[1] * 0 end, function(_, inputs) return { inputs[1] * 0 } end,
      function(_, inputs) return { inputs[1] * 0, n = 1 } end,
    } do
      local handle = m:register_forward_pre_hook(replace)
      check.close(m(mg.ones(1, 2)):item(), before)
      handle:remove()
    end
    local handle
    handle = m:register_forward_hook(function(_, _, y) return y * 0 + 7 end)
    check.close(m(mg.ones(1, 2)), mg.full({ 1, 1 }, 7.0))
    handle:remove()
    check.close(m(mg.zeros(1, 2)):item(), before)
  end)

  case("a forward pre-hook that returns several values", function()
    local m = make()
    m:register_forward_pre_hook(function(_, inputs) return inputs[1], inputs[1] end)
    local name = kind == "Swift module" and "Linear" or "Own"
    check.rejects("x(mg.ones(1, 2))",
      ("forward pre-hook of %s: a hook returned 2 values; other inputs are returned as one list"):format(name), m)
  end)

  case("hooks that remove others while they run", function()
    local m = make()
    for register, run in pairs {
      register_forward_pre_hook = function() m(mg.ones(1, 2)) end,
      register_forward_hook = function() m(mg.ones(1, 2)) end,
      register_full_backward_hook = function() m(mg.ones(1, 2, { requires_grad = true })):backward() end,
      register_full_backward_pre_hook = function() m(mg.ones(1, 2, { requires_grad = true })):backward() end,
    } do
      local log, named = logger()
      local handles = {}
      handles[1] = m[register](m, function() log[#log + 1] = "1"; handles[1]:remove(); handles[2]:remove() end)
      handles[2] = m[register](m, named "2")
      handles[3] = m[register](m, named "3")
      run()
      says(log, "1, 2, 3")
      run()
      says(log, "1, 2, 3, 3")
      handles[3]:remove()
    end
  end)

  case("a handle that is removed twice takes no other hook along", function()
    local m = make()
    local log, named = logger()
    local first = m:register_forward_hook(named "first")
    first:remove()
    m:register_forward_hook(named "second")
    first:remove()
    m(mg.ones(1, 2))
    says(log, "second")
  end)

  case("backward hooks see lists, and what the pre-hook made", function()
    local m = make()
    local x = mg.ones(1, 2, { requires_grad = true })
    local seen
    m:register_full_backward_pre_hook(function(module, outputs)
      check.is_true(module == m)
      check.equal(outputs.n, 1)
      return { outputs[1] * 10 }
    end)
    m:register_full_backward_hook(function(module, inputs, outputs)
      check.is_true(module == m)
      seen = { inputs.n, outputs.n, outputs[1]:item(), inputs[1].shape }
    end)
    m(x):backward()
    check.equal(seen, { 1, 1, 10.0, { 1, 2 } })
    local weight = weight_of(m)
    check.close(x.grad, weight:detach() * 10)
    check.close(weight.grad, mg.full({ 1, 2 }, 10.0))
  end)

  case("backward hooks replace the gradient, as a list or as the tensor", function()
    for _, result in ipairs { mg.full({ 1, 2 }, 7.0), { mg.full({ 1, 2 }, 7.0) } } do
      local m, x = make(), mg.ones(1, 2, { requires_grad = true })
      m:register_full_backward_hook(function() return result end)
      m(x):backward()
      check.elements(x.grad, { { 7, 7 } })
    end
    local m, x = make(), mg.ones(1, 2, { requires_grad = true })
    m:register_full_backward_pre_hook(function(_, outputs) return outputs[1] * 0 end)
    m(x):backward()
    check.elements(x.grad, { { 0, 0 } })
  end)

  local function returning(result, pre, constant)
    return function()
      local m, x = make(), mg.ones(1, 2, { requires_grad = not constant })
      local register = pre and "register_full_backward_pre_hook" or "register_full_backward_hook"
      m[register](m, function() return result end)
      m(x):backward()
      return x.grad
    end
  end

  case("backward hooks that return the wrong thing", function()
    local two = { mg.ones(1, 2), mg.ones(1, 2) }
    mentions(message_of(returning(two)), "full backward hook", "2", "1")
    -- The line is the script's, of the backward that ran the hook.
    for _, wrong in ipairs { 5, { 5 }, two, mg.ones(3) } do
      for _, pre in ipairs { true, false } do
        check.is_true(message_of(returning(wrong, pre)):find "hooks%.lua:%d+: full backward ")
      end
    end
    check.is_true(message_of(returning({ mg.ones(1, 2) }, false, true)):find "hooks%.lua:%d+: full backward hook")
    mentions(message_of(returning(mg.ones(3))), "hook", "[3]", "[1, 2]")
    mentions(message_of(returning(5)), "full backward hook")
    mentions(message_of(returning({ 5 })), "full backward hook")
    mentions(message_of(returning({ mg.ones(1, 1), mg.ones(1, 1) }, true)), "full backward pre-hook", "2", "1")
    mentions(message_of(returning(mg.ones(3), true)), "hook", "[3]", "[1, 1]")
    -- Where no input requires grad there is nothing to replace.
    mentions(message_of(returning({ mg.ones(1, 2) }, false, true)), "full backward hook")
    returning({}, false, true)()
  end)

  case("what a backward hook returns is left as it is", function()
    local result = { mg.ones(1, 2) }
    returning(result)()
    check.equal(result.n, nil)
  end)

  case("a backward hook counts from the forward pass on", function()
    local m = make()
    local log, named = logger()
    local early = m:register_full_backward_hook(named "early")
    local y = m(mg.ones(1, 2, { requires_grad = true }))
    m:register_full_backward_hook(named "late")
    early:remove()
    y:backward()
    says(log, "early")
  end)

  case("no backward hooks in no_grad", function()
    local m = make()
    m:register_full_backward_hook(function() check.fail "ran" end)
    mg.no_grad(function() check.equal(m(mg.ones(1, 2)).requires_grad, false) end)
  end)

  case("an error in a forward hook leaves modes and module usable", function()
    local m = make()
    local handle = m:register_forward_hook(function() error "stop" end)
    mentions(message_of(m, mg.ones(1, 2)), "stop")
    handle:remove()
    check.equal(m(mg.ones(1, 2)).requires_grad, true)
    check.equal(mg.is_grad_enabled(), true)
  end)

  case("an error in a backward hook surfaces, and the next pass works", function()
    local m = make()
    local x = mg.ones(1, 2, { requires_grad = true })
    local handle = m:register_full_backward_hook(function() error "stop" end)
    local y = m(x)
    mentions(message_of(y.backward, y), "stop")
    handle:remove()
    x.grad = nil
    m(x):backward()
    check.is_true(x.grad)
    check.equal(mg.is_grad_enabled(), true)
  end)

  case("double backward through backward hooks", function()
    local m, x = make(), mg.ones(1, 2, { requires_grad = true })
    m:register_full_backward_hook(function(_, inputs) return { inputs[1] * inputs[1] } end)
    local weight = weight_of(m)
    -- The gradient is w², and the gradient of its sum 2w.
    local g = mg.autograd.grad(m(x), { x }, { create_graph = true })
    check.close(g, weight:detach() ^ 2)
    check.close(mg.autograd.grad(g:sum(), { weight }), weight:detach() * 2)
  end)

  case("the results are still usable in place of the module's own", function()
    local m, x = make(), mg.ones(1, 2, { requires_grad = true })
    m:register_full_backward_hook(function() end)
    local y = m(x)
    check.equal(y.is_leaf, false)
    check.equal(y.grad_fn.name, "BackwardHookFunctionBackward")
    check.equal(x.requires_grad, true)
  end)

  case("hooks must be functions", function()
    local m = make()
    for _, name in ipairs {
      "register_forward_hook", "register_forward_pre_hook",
      "register_full_backward_hook", "register_full_backward_pre_hook",
    } do
      check.raises(name .. ": expected a function, got number", function() m[name](m, 3) end)
    end
  end)
end

check.case("a forward pre-hook of a module with several inputs", function()
  local Pair = nn.Module "Pair"
  function Pair:forward(a, options, b) return options and a * options.factor or b end
  local m, a, b = Pair(), mg.tensor{ 2.0 }, mg.tensor{ 3.0 }
  local seen
  local handle = m:register_forward_pre_hook(function(_, inputs)
    seen = { inputs.n, inputs[1] == a, inputs[2], inputs[3] == b }
    inputs[2] = { factor = 10 }
    return inputs
  end)
  check.elements(m(a, nil, b), { 20 })
  check.equal(seen, { 3, true, nil, true })
  handle:remove()
  -- A list keeps its holes by its length, and a table with named fields is an input, not a list.
  handle = m:register_forward_pre_hook(function() return { b, nil, a, n = 3 } end)
  check.elements(m(a, nil, b), { 2 })
  handle:remove()
  local Options = nn.Module "Options"
  function Options:forward(options) return options.factor end
  m = Options()
  m:register_forward_pre_hook(function() return { factor = 7 } end)
  check.equal(m(1, 2), 7)
end)

check.case("a module with several inputs and outputs", function()
  local Pair = nn.Module "Pair"
  function Pair:forward(a, k, b) return a * k, b * b end
  local m = Pair()
  local a, b = leaf{ 2.0 }, leaf{ 3.0 }
  local seen
  m:register_full_backward_hook(function(_, inputs, outputs)
    local first, second = outputs[1]:item(), outputs[2]:item()
    seen = { inputs.n, inputs[1]:item(), inputs[2] == nil, inputs[3]:item(), outputs.n, first, second }
    return { inputs[1] * 10, nil, inputs[3] * 100 }
  end)
  local p, q = m(a, 5, b);
  (p + q * 2):backward()
  check.equal(seen, { 3, 5.0, true, 12.0, 2, 1.0, 2.0 })
  check.elements(a.grad, { 50 })
  check.elements(b.grad, { 1200 })
end)

check.case("an output that no gradient reaches is nil for the hook", function()
  local Two = nn.Module "Two"
  function Two:forward(x) return x * 2, x * 3 end
  local m, x = Two(), leaf{ 1.0 }
  local seen
  m:register_full_backward_hook(function(_, _, outputs)
    seen = { outputs.n, outputs[1] == nil, outputs[2]:item() }
  end)
  local _, second = m(x)
  second:backward()
  check.equal(seen, { 2, true, 1.0 })
  check.elements(x.grad, { 3 })
end)

-- What hooks keep ------------------------------------------------------------------------------------------------

local function weak() return setmetatable({}, { __mode = "k" }) end

local function collect() for _ = 1, 3 do collectgarbage() end end

local function count(t)
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return n
end

check.case("hooks that refer to their own tensor go with it", function()
  local tensors, functions, fired = weak(), weak(), 0
  for i = 1, 3000 do
    local x = leaf{ 1.0, 2.0 }
    local y = i % 2 == 0 and x or x * 2
    local function hook(g) fired = fired + #y.shape end
    y:register_hook(hook)
    if y.is_leaf then y:register_post_accumulate_grad_hook(function() fired = fired + #y.shape end) end
    tensors[y], functions[hook] = true, true
    if i % 3 == 0 then (y * 3):sum():backward() end
  end
  collect()
  check.equal(fired, 1500)
  check.equal({ count(tensors), count(functions) }, { 0, 0 })
end)

check.case("a hook runs when only the graph holds its tensor", function()
  for _, own in ipairs { true, false } do
    for _, step in ipairs { function(x) return x end, function(x) return x * 2 end } do
      local seen
      local y
      do
        local x = step(leaf{ 1.0, 2.0 })
        x:register_hook(function(g) seen = { g:tolist(), own and x:tolist() } end)
        y = (x * 3):sum()
      end
      collect()
      y:backward{ retain_graph = true }
      check.equal(seen[1], { 3.0, 3.0 })
      seen = nil
      collect()
      y:backward()
      check.equal(seen[1], { 3.0, 3.0 })
    end
  end
end)

check.case("a hook stays with the history that it was registered on", function()
  local seen, y = 0, nil
  do
    local x = leaf{ 1.0, 2.0 } * 2
    x:register_hook(function() seen = seen + #x.shape end)
    y = (x + 1):sum()
    x:mul_(3)                    -- x is now another node's
    x:register_hook(function() check.fail(#x.shape) end)
  end
  collect()
  y:backward()
  check.equal(seen, 1)
end)

check.case("a hook of a parameter runs as long as the module is there", function()
  local net, fired = nn.Linear(2, 1), 0
  do
    local weight = net.weight
    weight:register_hook(function() fired = fired + weight.ndim end)
  end
  collect()
  net(mg.ones(1, 2)):sum():backward()
  check.equal(fired, 2)
end)

check.case("a hook that was removed lets go of its function", function()
  local functions, x = weak(), leaf{ 1.0 }
  local y
  do
    y = x * 2
    local function hook() return y end    -- keeps y, which keeps x
    functions[hook] = true
    x:register_hook(hook):remove()
  end
  collect()
  check.equal(count(functions), 0)
end)

check.case("a hook that refers to what keeps its tensor can do so weakly", function()
  local tensors, seen = weak(), nil
  do
    local x = leaf{ 1.0 }
    local y = x * 2
    local others = setmetatable({ y = y }, { __mode = "v" })
    x:register_hook(function() seen = others.y and others.y:item() end)
    y:sum():backward()
    tensors[x], tensors[y] = true, true
  end
  check.equal(seen, 2.0)
  collect()
  check.equal(count(tensors), 0)
end)

check.case("in finalizers and coroutines, and when collections come between", function()
  local fired = 0
  do
    local x = leaf{ 1.0 }
    x:register_hook(function() fired = fired + #x.shape end)
    setmetatable({ x }, { __gc = function(t) (t[1] * 2):sum():backward() end })
  end
  collect()
  check.equal(fired, 1)
  local run = coroutine.wrap(function()
    local y
    do
      local x = leaf{ 1.0 } * 2
      x:register_hook(function() collectgarbage() fired = fired + #x.shape end)
      y = (x * 2):sum()
    end
    coroutine.yield()
    y:backward()
    return fired
  end)
  run()
  collect()
  check.equal(run(), 2)
end)

return check.done()

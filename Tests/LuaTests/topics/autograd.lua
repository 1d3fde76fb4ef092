-- The founding tutorial's behaviours, row by row as PyTorch prints them, and what else the graph promises.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional

local fixtures = check.here .. "../../Fixtures/autograd/"

-- One case a row: its lines from "row N" on.
local function rows(lines)
  local found, current = {}, nil
  for _, line in ipairs(lines) do
    if line:find "^row %d+$" then
      current = {}
      found[#found + 1] = { name = line, lines = current }
    else
      current[#current + 1] = line
    end
  end
  return found
end

local printed, expected = rows(check.printed(fixtures .. "rows.lua")), rows(check.lines(fixtures .. "rows.txt"))
check.case("all rows are there", function()
  check.equal(#printed, #expected)
  check.equal(#expected, 20) -- row 9 is the founding experiment, see training.lua
end)
for i, row in ipairs(expected) do
  check.case(row.name, function()
    check.equal(printed[i] and printed[i].name, row.name)
    check.equal(table.concat(printed[i] and printed[i].lines or {}, "\n"), table.concat(row.lines, "\n"))
  end)
end

local function leaf(values) return mg.tensor(values, { requires_grad = true }) end

check.case("row 4 names both shapes and in_features", function()
  check.rejects("nn.Linear(3, 2)(mg.ones(1, 2))",
    "Linear: an input of shape [1, 2] does not fit the weight of shape [2, 3]: its last size must be in_features = 3")
end)

check.case("row 6: the flag of a result cannot be changed", function()
  local y = leaf{ 1.0, 2.0 } * 2
  check.raises("requires_grad: …", function() y.requires_grad = false end)
  local _, message = pcall(function() y.requires_grad = false end)
  check.is_true(message:find("leaf", 1, true) and message:find("detach()", 1, true))
end)

check.case("row 13: a result's gradient is nil, with one warning that names retain_grad()", function()
  local x = leaf{ 1.0, 2.0 }
  local y = x * 2
  y:sum():backward()
  local warnings, gradient = mg.catch_warnings(function() return y.grad end)
  check.equal(gradient, nil)
  for _, warning in ipairs(warnings) do check.is_true(warning:find("retain_grad()", 1, true)) end
end)

check.case("row 14: a second backward says what to do", function()
  local x = leaf{ 1.0, 2.0 }
  local y = (x * x):sum()
  y:backward()
  local ok, message = pcall(y.backward, y)
  check.equal(ok, false)
  check.is_true(tostring(message):find("retain_graph", 1, true))
end)

check.case("row 15: a gradient of the wrong shape names both shapes", function()
  local x = leaf{ 1.0, 2.0 }
  local _, message = pcall(function() (x * 2):backward(mg.ones(3)) end)
  check.is_true(tostring(message):find("[3]", 1, true) and tostring(message):find("[2]", 1, true))
end)

check.case("row 16: the tutorial's phrase", function()
  check.rejects("(mg.tensor(2.0) * mg.tensor(3.0)):backward()",
    "element 0 of tensors does not require grad and does not have a grad_fn")
end)

check.case("gradients add up, in the same tensor", function()
  local x = leaf{ 1.0, 2.0 };
  (x * 3):sum():backward()
  local first = x.grad;
  (x * 4):sum():backward()
  check.elements(x.grad, { 7, 7 })
  check.is_true(first == x.grad)
end)

check.case("grad touches no .grad and takes results as inputs", function()
  local a, b = leaf(2.0), leaf(3.0)
  local c = a * b
  local y = c * c
  local ga, gc = mg.autograd.grad(y, { a, c })
  check.close(ga, 36)
  check.close(gc, 12)
  check.equal(a.grad, nil)
end)

check.case("grad of an unused input", function()
  local a, b = leaf(2.0), leaf(3.0)
  local ok, message = pcall(mg.autograd.grad, a * a, { a, b })
  check.equal(ok, false)
  check.is_true(tostring(message):find("input 2", 1, true) and tostring(message):find("allow_unused", 1, true))
  local ga, gb = mg.autograd.grad(a * a, { a, b }, { allow_unused = true })
  check.close(ga, 4)
  check.equal(gb, nil)
  local _, zero = mg.autograd.grad(a * a, { a, b }, { materialize_grads = true })
  check.close(zero, 0)
end)

check.case("gradients of gradients", function()
  local x = leaf(2.0)
  local first = mg.autograd.grad(x ^ 3, { x }, { create_graph = true })
  check.close(first, 12)
  local second = mg.autograd.grad(first, { x }, { create_graph = true })
  check.close(second, 12)
  check.close(mg.autograd.grad(second, { x }), 6)
end)

check.case("several roots", function()
  local x = leaf{ 1.0, 2.0 }
  mg.autograd.backward({ (x * 2):sum(), x * 3 }, { mg.tensor(1.0), mg.tensor{ 10.0, 100.0 } })
  check.elements(x.grad, { 32, 302 })
end)

check.case("retain_grad is for results that require grad", function()
  check.equal(pcall(mg.ones(2).retain_grad, mg.ones(2)), false)
  local x = leaf{ 1.0 }
  local y = x * 2
  y:retain_grad()
  y:retain_grad()
  y:backward()
  check.elements(y.grad, { 1 })
end)

check.case("a retained gradient is that of the tensor as it is after writes", function()
  local x = leaf{ 1.0, 2.0 }
  local y = x * 3
  y:retain_grad()
  y:mul_(2);
  (y * 5):sum():backward()
  check.elements(y.grad, { 5, 5 })
  y = x * 3
  y:retain_grad()
  y[1] = 0;
  (y * 5):sum():backward()
  check.elements(y.grad, { 5, 5 })
  local base = x * 3
  local view = base:view(2, 1)
  view:retain_grad()
  base:mul_(2);
  (view * 5):sum():backward()
  check.elements(view.grad, { { 5 }, { 5 } })
end)

check.case("gradients with create_graph are the leaf's own, and later ones add up in them", function()
  local a, b = leaf{ 1.0 }, leaf{ 2.0 };
  (a + b):sum():backward(nil, { create_graph = true })
  check.is_true(a.grad ~= b.grad)
  mg.no_grad(function() a.grad:zero_() end)
  check.elements(b.grad:detach(), { 1 })
  a.grad = nil
  local given = mg.tensor{ 5.0 }
  a:view(1):backward(given, { create_graph = true })
  given:zero_()
  check.elements(a.grad:detach(), { 5 })
  local first = a.grad;
  (a * 2):sum():backward()
  check.is_true(a.grad == first)
  check.elements(first:detach(), { 7 })
end)

check.case("what copy_ overwrites gets zeros", function()
  local x, y = leaf{ 1.0, 2.0 }, leaf{ 3.0, 4.0 }
  local z = x * 2
  z:copy_(y)
  local gx, gy = mg.autograd.grad((z * 3):sum(), { x, y })
  check.elements(gx, { 0, 0 })
  check.elements(gy, { 3, 3 })
  z:zero_()
  check.equal(z.grad_fn.name, "ZeroBackward0")
  check.equal(z:fill_(2).grad_fn.name, "FillBackward2")
end)

check.case("a graph that saved nothing runs twice", function()
  local x = leaf{ 1.0, 2.0 }
  local y = (x * 2):sum()
  y:backward()
  y:backward()
  check.elements(x.grad, { 4, 4 })
end)

check.case("a stale value is noticed at backward", function()
  local x = leaf{ 1.0, 2.0 }
  local y = x * 1
  local z = (y * y):sum()
  y:add_(1)
  local ok, message = pcall(z.backward, z)
  check.equal(ok, false)
  check.is_true(tostring(message):find("version", 1, true))
end)

check.case("a leaf that requires grad is not written in place", function()
  local x = leaf{ 1.0, 2.0 }
  check.equal(pcall(x.add_, x, 1), false)
  check.equal(pcall(function() x[1] = 3 end), false)
  mg.no_grad(function() x:add_(1) end)
  check.elements(x, { 2, 3 })
  x.data:add_(1)
  check.elements(x, { 3, 4 })
end)

check.case("freezing the middle layer lets gradients through", function()
  mg.manual_seed(1)
  local net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1))
  for p in net[2]:parameters() do p.requires_grad = false end
  net(mg.ones(1, 2)):sum():backward()
  check.is_true(net[1].weight.grad and net[3].weight.grad)
  check.equal(net[2].weight.grad, nil)
  check.equal(net[2].bias.grad, nil)
end)

check.case("ties and edges", function()
  local x = leaf{ 0.0, -1.0, 2.0 }
  F.relu(x):sum():backward()
  check.elements(x.grad, { 0, 0, 1 })
  x = leaf{ 3.0, 3.0 }
  x:max():backward()
  check.elements(x.grad, { 0.5, 0.5 })
  x = leaf{ 0.0, 2.0 };
  (x ^ 0):sum():backward()
  check.elements(x.grad, { 0, 0 })
  x = leaf{ 0.0, 1.0, 0.5 }
  x:clamp(0, 1):sum():backward()
  check.elements(x.grad, { 0, 0, 1 })
end)

check.case("a deep graph is built, run backward and freed", function()
  local x = leaf(1.0)
  local y = x
  for _ = 1, 150000 do y = y * 1 end
  y:backward()
  check.close(x.grad, 1)
  y = nil
  collectgarbage()
end)

return check.done()

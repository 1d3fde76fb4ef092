-- Automatic differentiation from the ground up: flags, results that inherit them, scopes without a graph, detaching, and
-- the graph itself, box by box.
--
--     scripts/moongrad scripts/autograd.lua

local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional

local function section(title) print("\n— " .. title .. " —") end

section "1. The flag requires_grad"

-- A tensor takes no part in differentiation unless it is asked to.
local x = mg.tensor{ { 1.0, 2.0 }, { 3.0, 4.0 } }
local w = mg.tensor({ { 1.0, 2.0 }, { 3.0, 4.0 } }, { requires_grad = true })
print(x)
print(w)
print("x.requires_grad", x.requires_grad)
print("w.requires_grad", w.requires_grad)

section "2. It is inherited"

-- One input that requires grad is enough for the result to require grad, at any depth.
local y = x * w
local z = ((y + 1):exp():sum() / 2):log()
print("x + 1", (x + 1).requires_grad)
print("x * w", y.requires_grad)
print("deeper", z.requires_grad, z.grad_fn)

section "3. Parameters have it from the start"

mg.manual_seed(0)
local linear = nn.Linear(3, 2)
local input = mg.ones(1, 3)
print(linear)
print("input.requires_grad", input.requires_grad)
print("weight.requires_grad", linear.weight.requires_grad)
print(linear(input))

-- A wrong shape is an error that names both shapes.
local ok, message = pcall(linear, mg.ones(1, 2))
print(ok, message)

section "4. Freezing: the flag of a part of a net"

local Net = nn.Module "Net"
function Net:init(n_feature, n_hidden, n_output)
  self.hidden  = nn.Linear(n_feature, n_hidden)
  self.predict = nn.Linear(n_hidden, n_output)
end
function Net:forward(v) return self.predict(F.relu(self.hidden(v))) end

local net = Net(1, 10, 1)
for p in net.hidden:parameters() do p.requires_grad = false end
for name, p in net:named_parameters() do print(name, p.requires_grad) end

-- Only the part that is not frozen gets gradients.
net(mg.ones(1, 1)):sum():backward()
print("hidden.weight.grad", net.hidden.weight.grad)
print("predict.bias.grad", net.predict.bias.grad)

-- The flag is set by assigning it or by requires_grad_(), which returns its tensor …
local flagged = mg.ones(2):requires_grad_()
print(flagged)
-- … but a result has the flag of its inputs, and cannot be told otherwise.
print(pcall(function() local result = flagged * 2; result.requires_grad = false end))

section "5. no_grad: no graph for a while"

do
  local _ <close> = mg.no_grad()           -- until the end of the block
  print((flagged * 2).requires_grad)
end
print(mg.no_grad(function() return (flagged * 2).requires_grad end))
print("the leaf keeps its flag:", flagged.requires_grad)
print("and outside, the graph is back:", (flagged * 2).grad_fn)

section "6. detach: the same numbers, outside of the graph"

local a = mg.tensor({ 2.0, 3.0 }, { requires_grad = true })
local square = a * a
local constant = square:detach()
print(square)
print(constant, constant.is_leaf)
-- To the derivative, `constant` is a constant: (a² · c)' = 2a · c, and not 4a³.
;(square * constant):sum():backward()
print(a.grad)

section "7. Without any leaf there is nothing to differentiate"

a = mg.tensor(2.0)
local b = mg.tensor(3.0)
local c = a * b
print(c, c.grad_fn, c.is_leaf)
print(pcall(c.backward, c))

section "8. One leaf: a is differentiated, b is not"

a = mg.tensor(2.0, { requires_grad = true })
c = a * b
c:backward()
print("c", c)
print("dc/da = b", a.grad)
print("dc/db", b.grad)

section "9. The graph"

-- e = (a · b) · d. Each result knows the function that made it, and each function the ones before it.
a = mg.tensor(2.0, { requires_grad = true })
b = mg.tensor(3.0, { requires_grad = true })
local d = mg.tensor(4.0, { requires_grad = true })
c = a * b
local e = c * d

-- Only leaves receive a gradient; a result would have to be asked for it with retain_grad().
local function show(name, t)
  print(name, "data", t.data, "grad", t.is_leaf and t.grad or nil, "grad_fn", t.grad_fn, "is_leaf", t.is_leaf)
end

print("e.grad_fn", e.grad_fn)
for i, edge in ipairs(e.grad_fn.next_functions) do print("  input " .. i, edge[1]) end
print("the first is c's:", e.grad_fn.next_functions[1][1] == c.grad_fn)
print("the second leads to d:", e.grad_fn.next_functions[2][1].variable == d)

-- A function keeps what its derivative needs: to differentiate c · d by c one needs d, and the other way round.
print("saved", e.grad_fn.saved_self:item(), e.grad_fn.saved_other:item())
-- With one side constant, only the other's value is kept.
print("saved of a · 3", (a * mg.tensor(3.0)).grad_fn.saved_self, (a * mg.tensor(3.0)).grad_fn.saved_other)

-- All of it in one picture; { format = "svg" } draws it with graphviz.
print(mg.graph(e, { names = { a = a, b = b, d = d, e = e } }))

e:backward()
for _, box in ipairs{ { "a", a }, { "b", b }, { "c", c }, { "d", d }, { "e", e } } do show(table.unpack(box)) end
print(("de/da = b·d = %g, de/db = a·d = %g, de/dd = a·b = %g"):format(a.grad:item(), b.grad:item(), d.grad:item()))

section "10. Backward once"

-- The saved values are given back as backward passes, so that it can pass only once …
print(pcall(e.backward, e))
-- … unless it is told that there will be another time. Gradients add up.
e = a * b * d
a.grad = nil
e:backward{ retain_graph = true }
e:backward()
print("twice 12", a.grad)

-- The founding tutorial's behaviours, by the rows of the design's table (row 9 is training/freezing.lua).
-- Prints what rows.txt holds for PyTorch, written by scripts/fixtures/autograd_rows.py.
local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional
warn "@off"

local function raises(f) return not pcall(f) end

local Net = nn.Module "Net"
function Net:init(n_feature, n_hidden, n_output)
  self.hidden  = nn.Linear(n_feature, n_hidden)
  self.predict = nn.Linear(n_hidden, n_output)
end
function Net:forward(x) return self.predict(F.relu(self.hidden(x))) end

print "row 1"
local x = mg.tensor{ { 1.0, 2.0 }, { 3.0, 4.0 } }
local w = mg.tensor({ { 1.0, 2.0 }, { 3.0, 4.0 } }, { requires_grad = true })
print(x)
print(w)
print(x.requires_grad, w.requires_grad)

print "row 2"
print(x + 1)
print(x * w + 1)
print(((x * w + 1):exp():sum() / 2):log())
print((x + 1).requires_grad, (x * w).requires_grad, (x * w):exp().requires_grad)

print "row 3"
mg.manual_seed(0)
local linear = nn.Linear(3, 2)
x = mg.ones(1, 3)
print(linear)
print(linear(x))
print(linear.weight.requires_grad, linear.bias.requires_grad, x.requires_grad, linear(x).requires_grad)

print "row 4"
print(raises(function() return linear(mg.ones(1, 2)) end))

print "row 5"
local net = Net(1, 10, 1)
for p in net.hidden:parameters() do p.requires_grad = false end
for name, p in net:named_parameters() do print(name, p.requires_grad) end
print(net(mg.ones(1, 1)))

print "row 6"
x = mg.ones(2)
x.requires_grad = true
print(x.requires_grad)
x.requires_grad = false
print(x.requires_grad)
print(x:requires_grad_() == x, x.requires_grad)
print(x:requires_grad_(false) == x, x.requires_grad)
x:requires_grad_()
local y = x * 2
print(raises(function() y.requires_grad = false end), y.requires_grad)

print "row 7"
do
  local _ <close> = mg.no_grad()
  y = x * 2
end
print(y)
print(y.requires_grad, y.grad_fn, x.requires_grad, (x * 2).requires_grad)

print "row 8"
y = x:detach()
print(y)
print(y.requires_grad, y.is_leaf, y.grad_fn, x.requires_grad)
y[1] = 9
print(x);
(x * 2 + x:detach() * 5):sum():backward()
print(x.grad)

print "row 10"
mg.manual_seed(0)
net = Net(1, 3, 1)
print(net)
for p in net:parameters() do print(p) end
for p in net.hidden:parameters() do p.requires_grad = false end
for name, p in net:named_parameters() do
  print(name, table.unpack(p.shape))
  print(p)
end

print "row 11"
local v = mg.Variable(mg.tensor{ { 1.0, 2.0 }, { 3.0, 4.0 } }, { requires_grad = true })
local out = mg.mean(v * v)
out:backward()
print(v)
print(out)
print(v.grad)

print "row 12"
print(v.data)
print(v.data.requires_grad)
local list = v:tolist()
print(list[1][1], list[1][2], list[2][1], list[2][2])
print(out:item())

print "row 13"
x = mg.tensor({ 1.0, 2.0 }, { requires_grad = true })
y = x * 2
y:sum():backward()
print(x.grad, y.grad, x.is_leaf, y.is_leaf)
y = x * 2
y:retain_grad();
(y * y):sum():backward()
print(x.grad)
print(y.grad)

print "row 14"
x = mg.tensor({ 1.0, 2.0 }, { requires_grad = true })
y = (x * x):sum()
y:backward{ retain_graph = true }
print(x.grad)
y:backward()
print(x.grad)
print(raises(function() y:backward() end))
y = (x + x):sum()
y:backward()
print(raises(function() y:backward() end))

print "row 15"
x = mg.tensor({ 1.0, 2.0 }, { requires_grad = true })
print(raises(function() (x * 2):backward() end))
print(raises(function() (x * 2):backward(mg.ones(3)) end));
(x * 2):backward(mg.tensor{ 1.0, 10.0 })
print(x.grad)
print(F.mse_loss(x, mg.zeros(2)))
print(F.mse_loss(x, mg.zeros(2), { reduction = "sum" }))
print(F.mse_loss(x, mg.zeros(2), { reduction = "none" }))

print "row 16"
local a, b = mg.tensor(2.0), mg.tensor(3.0)
local c = a * b
print(c)
print(c.grad_fn, c.is_leaf, c.requires_grad)
local _, message = pcall(c.backward, c)
local phrase = "element 0 of tensors does not require grad and does not have a grad_fn"
print(tostring(message):find(phrase, 1, true) and phrase or message)

print "row 17"
a, b = mg.tensor(2.0, { requires_grad = true }), mg.tensor(3.0)
c = a * b
c:backward()
print(c)
print(a.grad, b.grad)

print "row 18"
a, b = mg.tensor(2.0, { requires_grad = true }), mg.tensor(3.0)
local d = mg.tensor(4.0, { requires_grad = true })
c = a * b
local e = c * d
e:backward()
for _, t in ipairs{ a, b, c, d, e } do print(t.data, t.grad, t.grad_fn == nil, t.is_leaf, t.requires_grad) end

print "row 19"
c = a * b
print(c.grad_fn.saved_self, c.grad_fn.saved_other)
c = b * a
print(c.grad_fn.saved_self, c.grad_fn.saved_other)
c = a * d
print(c.grad_fn.saved_self)
print(c.grad_fn.saved_other)

print "row 20"
c = a * b
local functions = c.grad_fn.next_functions
print(#functions, functions[1][1].variable == a, functions[1][2], functions[2][1], functions[2][2])

print "row 21"
a = mg.tensor(2.0, { requires_grad = true })
b = mg.tensor(3.0, { requires_grad = true })
d = mg.tensor(4.0, { requires_grad = true })
c = a * b
e = c * d
e:backward()
print(a.grad, b.grad, d.grad)
print(e.grad_fn == c.grad_fn, e.grad_fn.next_functions[1][1] == c.grad_fn, c.is_leaf,
  e.grad_fn.next_functions[2][1].variable == d)

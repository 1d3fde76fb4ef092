-- The graph: grad_fn, next_functions and lines; mg.graph's drawings as text, DOT and SVG.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn = mg.nn

local function leaf(value) return mg.tensor(value, { requires_grad = true }) end
local function here(offset) return ("graph.lua:%d"):format(debug.getinfo(2, "l").currentline + offset) end

local function count(text, part)
  local found, from = 0, 1
  while true do
    local at, to = text:find(part, from, true)
    if not at then return found end
    found, from = found + 1, to + 1
  end
end

local mentions = check.mentions

-- Nodes ----------------------------------------------------------------------------------------------------------

check.case("nodes: name, line, what they feed", function()
  local a, b = leaf(2.0), mg.tensor(3.0)
  local line = here(1)
  local c = a * b
  local node = c.grad_fn
  check.equal(node.name, "MulBackward0")
  check.equal(tostring(node), "<MulBackward0>")
  mentions(node.site, line)
  check.equal(#node.next_functions, 2)
  check.equal(node.next_functions[1][1].name, "AccumulateGrad")
  check.equal(node.next_functions[1][2], 1)
  check.equal(node.next_functions[2][1], nil)
  check.equal(node.next_functions[2][2], 1)
  check.is_true(node.next_functions[1][1].variable == a)
  check.is_true(node == c.grad_fn)
  check.equal(#node.next_functions[1][1].next_functions, 0)
end)

check.case("a node is a key of tables", function()
  local a, b = leaf(2.0), leaf(3.0)
  local c = a * b
  local e = c * c + a
  local seen = { [c.grad_fn] = "c", [e.grad_fn] = "e" }
  check.equal(seen[c.grad_fn], "c")
  check.equal(seen[e.grad_fn], "e")
  check.equal(seen[e.grad_fn.next_functions[1][1].next_functions[1][1]], "c")
  check.is_true(rawequal(c.grad_fn.next_functions[1][1], e.grad_fn.next_functions[2][1]))  -- a's AccumulateGrad

  -- A walk that visits each node once.
  local visited, order = {}, {}
  local function visit(node)
    if not node or visited[node] then return end
    visited[node] = true
    order[#order + 1] = node.name
    for _, edge in ipairs(node.next_functions) do visit(edge[1]) end
  end
  visit(e.grad_fn)
  check.equal(order, { "AddBackward0", "MulBackward0", "MulBackward0", "AccumulateGrad", "AccumulateGrad" })
  collectgarbage()
  collectgarbage()
  check.equal(seen[c.grad_fn], "c")
end)

check.case("nodes of graphs that come and go are told apart", function()
  local x, kept = leaf(1.0), {}
  for i = 1, 20000 do
    local node = (x * i).grad_fn
    if kept[node] then return check.fail("iteration " .. i .. " found the node of iteration " .. kept[node]) end
    kept[i % 50] = node
    kept[node] = i
    local old = kept[(i + 1) % 50]
    if old then
      check.equal(kept[old], i - 49)
      kept[old] = nil
    end
  end
end)

check.case("the line of an operation is its script's, also inside of modules and functions of the library", function()
  local layer = nn.Linear(2, 1)
  local line = here(1)
  local y = layer(mg.ones(1, 2))
  mentions(y.grad_fn.site, line)
  line = here(1)
  y = mg.no_grad(function() return mg.enable_grad(function() local z = leaf(1.0) * 2; return z end) end)
  mentions(y.grad_fn.site, line)
  line = here(1)
  y = leaf(1.0) + 1
  mentions(y.grad_fn.site, line)
  y = nn.Sequential(layer, nn.Tanh())
  line = here(1)
  y = y(mg.ones(1, 2))
  mentions(y.grad_fn.site, line)
end)

check.case("the line of an operation is its script's, also behind a C function that follows other calls", function()
  local x = leaf { 1.0, 2.0 }
  local function square(v)
    local w = v * v; return w
  end
  local squares = here(-2)
  local line = here(2)
  square(x)
  local y = table.unpack(x, 1, 2)
  mentions(y.grad_fn.site, line)
  y = square(x)
  mentions(y.grad_fn.site, squares)
  line = here(2)
  square(x)
  local _ = string.gsub("a", "a", function() y = x * 2 end)
  mentions(y.grad_fn.site, line)
end)

-- It once went through one more closure at each reading, until the stack overflowed.
check.case("the line of a node can be asked for as often as one likes", function()
  local node = (leaf(1.0) * 2).grad_fn
  local start = mg.clock()
  for _ = 1, 200000 do local _ = node.site end
  if mg.clock() - start > 20 then check.fail(("took %.1f s"):format(mg.clock() - start)) end
end)

check.case("outputs of one operation lead to different outputs of one node", function()
  local x = mg.arange(4.0):requires_grad_()
  local parts = x:unbind()
  check.is_true(parts[1].grad_fn == parts[3].grad_fn)
  check.equal((parts[3] * 2).grad_fn.next_functions[1][2], 3)
end)

check.case("mistakes in names", function()
  local node = (leaf(1.0) * 2).grad_fn
  check.equal(pcall(function() return node.next_function end), false)
  check.equal(pcall(function() return node[1] end), false)
  check.equal(pcall(function() node.name = "x" end), false)
end)

-- Text -----------------------------------------------------------------------------------------------------------

check.case("text: the tutorial's drawing", function()
  local a, b, d = leaf(2.0), leaf(3.0), leaf(4.0)
  local line = here(1)
  local e = (a * b) * d
  local function leaf_line(branch, name, value, gradient)
    return ("%sAccumulateGrad  %sdata = %s  grad = %s  grad_fn = nil  is_leaf = true, requires_grad = true")
      :format(branch, name, value, gradient)
  end
  check.equal(mg.graph(e, { names = { a = a, e = e } }), table.concat({
    "e  data = 24.0  grad = nil  grad_fn = MulBackward0  is_leaf = false, requires_grad = true",
    ("MulBackward0 (%s)  saved: self = 6.0, other = 4.0"):format(e.grad_fn.site),
    ("├─ MulBackward0 (%s)  saved: self = 2.0, other = 3.0"):format(e.grad_fn.site),
    leaf_line("│  ├─ ", "a  ", "2.0", "nil"),
    leaf_line("│  └─ ", "", "3.0", "nil"),
    leaf_line("└─ ", "", "4.0", "nil"),
  }, "\n"))
  mentions(e.grad_fn.site, line)
  e:backward()
  local after = mg.graph(e)
  check.equal(count(after, "saved:"), 0)             -- given back
  mentions(after, leaf_line("│  ├─ ", "", "2.0", "12.0"), leaf_line("└─ ", "", "4.0", "6.0"))
end)

check.case("text: leaves, constants, and nothing at all", function()
  mentions(mg.graph(mg.ones(2)), "float32 [2]", "requires_grad = false", "(no graph)")
  mentions(mg.graph(leaf(2.0)), "AccumulateGrad", "is_leaf = true")
  mentions(mg.graph(leaf(2.0) * mg.tensor(3.0)), "└─ constant")
  mentions(mg.graph(mg.no_grad(function() return leaf(2.0) * 2 end)), "(no graph)")
  mentions(mg.graph(leaf{ 2.5 } * 1), "[2.5] of shape [1]")
end)

check.case("text: what is used twice is drawn once", function()
  local a = leaf(2.0)
  local y = a * 1
  local text = mg.graph(y * y + y)
  check.equal(count(text, "AccumulateGrad"), 1)
  check.equal(count(text, "again"), 2)
  local mark = text:match "(#%d+) again"
  check.is_true(mark)
  check.equal(count(text, mark .. " again"), 2)
  check.equal(count(text, mark .. " MulBackward0"), 1)
  text = mg.graph(a * a)
  check.equal(count(text, "data = 2.0"), 1)
end)

check.case("text: 2ⁿ paths are no 2ⁿ lines", function()
  local y = leaf(1.0)
  for _ = 1, 60 do y = y + y end
  check.is_true(select(2, mg.graph(y):gsub("\n", "")) < 200)
end)

check.case("text: names of tensors and of modules' parameters", function()
  local net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
  local x = mg.ones(1, 2, { requires_grad = true })
  local text = mg.graph(net(x):sum(), { names = { net = net, x = x } })
  mentions(text, "net.0.weight", "net.0.bias", "net.1.weight", "net.1.bias", "  x  ")
  local y = leaf(1.0) * 2
  mentions(mg.graph(y, { names = { ["the loss"] = y } }), "the loss  data = 2.0")
  mg.graph(y, { names = {} })
end)

check.case("text: a limit is said, and what was cut off is not called constant", function()
  local y = leaf(1.0)
  for _ = 1, 20 do y = y * 1 end
  local text = mg.graph(y, { max_nodes = 5 })
  check.equal(count(text, "MulBackward0 ("), 5)
  mentions(text, "cut off at 5 operations")
  -- Each product has a constant, the number 1; the fifth's other input is no constant but what is not drawn.
  check.equal(count(text, "constant"), 5)
  check.equal(count(mg.graph(y, { max_nodes = 21 }), "cut off"), 0)
  check.equal(count(mg.graph(y, { max_nodes = 20 }), "cut off"), 1)
end)

check.case("text: a chain of 100,000 operations", function()
  local y = leaf(1.0)
  for _ = 1, 100000 do y = y + 1 end
  mentions(mg.graph(y), "cut off at 200 operations")
  local start = mg.clock()
  local dot = mg.graph(y, { format = "dot", max_nodes = 200000 })
  check.equal(count(dot, "AddBackward0"), 100000 + 1) -- and the root's grad_fn
  if mg.clock() - start > 120 then check.fail "took more than 120 s" end
  y = nil
  collectgarbage()
end)

-- DOT and SVG ----------------------------------------------------------------------------------------------------

check.case("DOT: boxes and arrows", function()
  local a, b = leaf(2.0), leaf(3.0)
  local dot = mg.graph((a * b) * 2, { format = "dot", names = { a = a } })
  check.equal(dot:match "^(.-) {", "digraph autograd")
  check.equal(dot:sub(-2), "}\n")
  mentions(dot, [[a\ndata = 2.0\ngrad = nil]], "root -> n0;", "n0 -> n1", "MulBackward0")
  check.equal(count(dot, "->"), 4)
  check.equal(count(dot, "label=\"1\""), 2)
end)

check.case("DOT: names that need escaping", function()
  local a = leaf(2.0)
  local dot = mg.graph(a * 1, { format = "dot", names = { ["say \"a\" \\ b\nc"] = a } })
  mentions(dot, [[say \"a\" \\ b\nc\ndata = 2.0]])
  check.equal(count(dot, "\"") % 2, 0)
end)

check.case("DOT: shared nodes once, a frozen leaf's arrow not at all", function()
  local a, frozen = leaf(2.0), mg.tensor(5.0)
  local y = a * frozen
  local dot = mg.graph(y * y, { format = "dot" })
  check.equal(count(dot, "shape=ellipse"), 2)
  check.equal(count(dot, "n0 -> n1"), 2)
  check.equal(count(dot, "data = 5.0"), 0)
  check.equal(count(mg.graph(mg.ones(1), { format = "dot" }), "->"), 0)
end)

local has_dot = os.execute "dot -V 2>/dev/null" == true

check.case("SVG through graphviz, or an error that says what is missing", function()
  local a = leaf(2.0)
  local ok, result = pcall(mg.graph, a * 3, { format = "svg", names = { a = a } })
  if has_dot then
    check.equal(ok, true)
    mentions(result, "<svg", "</svg>", "MulBackward0", "data = 2.0")
  else
    check.equal(ok, false)
    mentions(tostring(result), "graphviz", "format = \"dot\"")
  end
end)

check.case("files: the name tells the format", function()
  local a = leaf(2.0)
  local y = a * 3
  local base = os.tmpname()
  local endings = { [".dot"] = "digraph", [".txt"] = "MulBackward0 (", [".svg"] = has_dot and "<svg" or nil }
  for ending, expected in pairs(endings) do
    local path = base .. ending
    local text = mg.graph(y, { file = path })
    local file = assert(io.open(path))
    local written = file:read "a"
    file:close()
    os.remove(path)
    mentions(written, expected)
    mentions(text, expected)
    check.equal(written:sub(-1), "\n")
  end
  local path = base .. ".dot"
  mg.graph(y, { file = path, format = "text" })
  local file = assert(io.open(path))
  mentions(file:read "l", "data = 6.0")
  file:close()
  os.remove(path)
  os.remove(base)
  local _, message = pcall(mg.graph, y, { file = "/nowhere/at/all.dot" })
  mentions(tostring(message), "graph: cannot write", "/nowhere/at/all.dot")
end)

check.case("wrong arguments", function()
  local x = mg.ones(1)
  check.rejects("mg.graph(3)", "graph: argument 1: expected a tensor, got a number")
  check.rejects("mg.graph()", "graph: argument 1: expected a tensor, got nil")
  check.rejects("mg.graph(x, 3)", "graph: argument 2: expected options, got a number", x)
  check.rejects("mg.graph(x, { fromat = 'dot' })",
    "graph: unknown option 'fromat'; did you mean 'format'? (known: format, file, names, max_nodes)", x)
  check.rejects("mg.graph(x, { format = 'png' })",
    "graph: option 'format': expected \"text\", \"dot\" or \"svg\", got \"png\"", x)
  check.rejects("mg.graph(x, { format = 3 })", "graph: option 'format': expected a string, got a number", x)
  check.rejects("mg.graph(x, { max_nodes = 0 })", "graph: option 'max_nodes': expected a count, got 0", x)
  check.rejects("mg.graph(x, { max_nodes = 2.5 })", "graph: option 'max_nodes': expected a count, got 2.5", x)
  check.rejects("mg.graph(x, { names = { a = 3 } })",
    "graph: names: 'a' is neither a tensor nor a module but a number", x)
end)

check.case("drawing changes nothing", function()
  local a = leaf{ 1.0, 2.0 }
  local y = (a * a):sum()
  local node = y.grad_fn
  mg.graph(y)
  mg.graph(y, { format = "dot" })
  y:backward()
  check.elements(a.grad, { 2, 4 })
  check.is_true(y.grad_fn == node)
end)

check.case("numbers are drawn with the digits and the range of their dtype; names need not be strings", function()
  local x = mg.tensor(1e300, { dtype = "float64", requires_grad = true })
  check.is_true(mg.graph(x * 2):find("data = 2e+300", 1, true))
  check.is_true(mg.graph(x * 2, { names = { [true] = mg.nn.Linear(1, 1) } }):find("data = ", 1, true))
end)

return check.done()

-- x[i], x[{i, j}], x[{ {1, 3}, {} }], x[mask], x[tensor]: read and assigned, positions from 1, ranges with their ends.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"

-- 1 2 3 / 4 5 6 / 7 8 9
local function grid() return mg.arange(1, 10):view(3, 3):float() end

check.case("one number selects along the first dimension", function()
  local x = grid()
  check.elements(x[1], { 1, 2, 3 })
  check.elements(x[3], { 7, 8, 9 })
  check.elements(x[-1], { 7, 8, 9 })
  check.elements(x[-3], { 1, 2, 3 })
  check.elements(x[2][3], 6)
  check.elements(x[6 / 2], { 7, 8, 9 })              -- integral floats are integers
end)

check.case("a list indexes several dimensions", function()
  local x = grid()
  check.elements(x[{ 2, 3 }], 6)
  check.elements(x[{ -1, -1 }], 9)
  check.elements(x[{ 2 }], { 4, 5, 6 })
  check.equal(x[{ 1, 1 }].shape, {})
end)

check.case("ranges include their ends; {} is everything", function()
  local x = grid()
  check.elements(x[{ { 1, 2 } }], { { 1, 2, 3 }, { 4, 5, 6 } })
  check.elements(x[{ { 1, 2 }, {} }], { { 1, 2, 3 }, { 4, 5, 6 } })
  check.elements(x[{ {}, 2 }], { 2, 5, 8 })
  check.elements(x[{ {}, { 2, 3 } }], { { 2, 3 }, { 5, 6 }, { 8, 9 } })
  check.elements(x[{ { 2, 2 }, { 2, 2 } }], { { 5 } })
  check.elements(x[{ { 2, -1 } }], { { 4, 5, 6 }, { 7, 8, 9 } })
  check.elements(x[{ { -2, -1 }, 1 }], { 4, 7 })
  check.elements(x[{ { 1, -2 }, 1 }], { 1, 4 })
  check.elements(x[{ { 1, 3, 2 }, 1 }], { 1, 7 })
  check.elements(x[{ {}, {} }], { { 1, 2, 3 }, { 4, 5, 6 }, { 7, 8, 9 } })
  check.equal(x[{ { 3, 2 } }].shape, { 0, 3 })       -- an empty range
end)

check.case("'...' stands for the dimensions between", function()
  local x = mg.arange(8):view(2, 2, 2)
  check.elements(x[{ "...", 1 }], { { 0, 2 }, { 4, 6 } })
  check.elements(x[{ 2, "...", 2 }], { 5, 7 })
end)

check.case("masks", function()
  local x = grid()
  check.elements(x[x:gt(6)], { 7, 8, 9 })
  check.elements(x[mg.tensor{ true, false, true }], { { 1, 2, 3 }, { 7, 8, 9 } })
  check.equal(x[x:gt(100)].shape, { 0 })
end)

check.case("index tensors", function()
  local x = grid()
  check.elements(x[mg.tensor{ 3, 1 }], { { 7, 8, 9 }, { 1, 2, 3 } })
  check.elements(x[mg.tensor{ -1 }], { { 7, 8, 9 } })
  check.elements(x[{ mg.tensor{ 1, 2 }, mg.tensor{ 3, 1 } }], { 3, 4 })
  check.elements(x[{ {}, mg.tensor{ 3, 1 } }], { { 3, 1 }, { 6, 4 }, { 9, 7 } })
  check.elements(x[mg.tensor{ { 1, 2 } }], { { { 1, 2, 3 }, { 4, 5, 6 } } })
  local _, order = mg.tensor{ 2.0, 3.0, 1.0 }:sort()
  check.elements(x[order], { { 7, 8, 9 }, { 1, 2, 3 }, { 4, 5, 6 } })   -- positions that came out go in
end)

check.case("assignment takes the same forms", function()
  local x = grid()
  x[1] = 0
  check.elements(x[1], { 0, 0, 0 })
  x[{ 2, 3 }] = 60
  check.elements(x[2], { 4, 5, 60 })
  x[{ {}, 1 }] = mg.tensor{ 1.0, 2.0, 3.0 }
  check.elements(x[{ {}, 1 }], { 1, 2, 3 })
  x[x:gt(8)] = -1
  check.elements(x, { { 1, 0, 0 }, { 2, 5, -1 }, { 3, 8, -1 } })
  x[mg.tensor{ 3, 1 }] = 7
  check.elements(x, { { 7, 7, 7 }, { 2, 5, -1 }, { 7, 7, 7 } })
  x[2] = { 1, 2, 3 }
  check.elements(x[2], { 1, 2, 3 })
  x[{ { 1, 2 }, { 1, 2 } }] = mg.tensor{ { 1.0, 2.0 }, { 3.0, 4.0 } }
  check.elements(x, { { 1, 2, 7 }, { 3, 4, 3 }, { 7, 7, 7 } })
  x[{}] = 0
  check.equal(x:sum():item(), 0.0)
end)

check.case("basic indexing gives views", function()
  local x = grid()
  local row, part = x[2], x[{ {}, { 1, 2 } }]
  row:fill_(0)
  check.elements(x[2], { 0, 0, 0 })
  part[{ 1, 1 }] = 100
  check.elements(x[{ 1, 1 }], 100)
  local copy = x[mg.tensor{ 1 }]
  copy:fill_(5)
  check.elements(x[{ 1, 1 }], 100)                   -- an index tensor copies
end)

check.case("gradients go where the index says", function()
  local x = grid()
  x.requires_grad = true;
  (x[2] * 2):sum():backward()
  check.elements(x.grad, { { 0, 0, 0 }, { 2, 2, 2 }, { 0, 0, 0 } })
  x.grad = nil
  x[{ {}, { 2, 3 } }]:sum():backward()
  check.elements(x.grad, { { 0, 1, 1 }, { 0, 1, 1 }, { 0, 1, 1 } })
  x.grad = nil
  x[mg.tensor{ 1, 1, 3 }]:sum():backward()
  check.elements(x.grad, { { 2, 2, 2 }, { 0, 0, 0 }, { 1, 1, 1 } })
  x.grad = nil
  x[x:gt(8)]:sum():backward()
  check.elements(x.grad, { { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 1 } })
end)

check.case("gradients of assignments", function()
  local x = mg.tensor({ 1.0, 2.0 }, { requires_grad = true })
  local y = mg.zeros(3)
  y[{ { 2, 3 } }] = x * 2
  check.elements(y:detach(), { 0, 2, 4 })
  y:sum():backward()
  check.elements(x.grad, { 2, 2 })
end)

check.case("what an assignment may not write to", function()
  local x = mg.ones(3, { requires_grad = true })
  local leaf = "index assignment: a leaf tensor that requires grad cannot be written in place while gradients are recorded; "
    .. "use no_grad, or its detach()"
  local part = "index assignment: a view of a leaf tensor that requires grad cannot be written in place while gradients are "
    .. "recorded; use no_grad, or clone() the leaf first"
  check.rejects("x[1] = 5", part, x)
  check.rejects("x[{ { 1, 2 } }] = mg.ones(2)", part, x)
  check.rejects("x[{ {} }] = 5", leaf, x)
  check.rejects("x[x:gt(0)] = 0", leaf, x)
  check.rejects("x[mg.tensor{ 1, 2 }] = 0", leaf, x)
  check.rejects("x[mg.tensor{ 1, 2 }] = mg.ones(2)", leaf, x)
  check.rejects("x[{ '...' }] = 0", "index assignment: …", x)
  local rows = mg.ones(1, 2):expand(3, 2)
  check.rejects("x[{ {}, 1 }] = 5", "index assignment: cannot write into an expanded tensor…", rows)
  check.rejects("x[x:gt(0)] = 5", "index assignment: cannot write into an expanded tensor…", rows)
  local inference = mg.inference_mode(function() return mg.ones(2) end)
  check.rejects("x[1] = 5", "index assignment: a tensor that was made in inference_mode cannot be written in place…", inference)
  -- What is wrong with the index itself is said of the index.
  check.rejects("x[4] = 5", "index: …", x)
  check.elements(x:detach(), { 1, 1, 1 })
end)

check.case("positions in tensors are refused as they were given, and nothing is written", function()
  local zero = "index 0 is out of range: indices start at 1 (and -1 is the last)"
  local function try(text, x, ...)
    for _, bad in ipairs{ 0, 5, -5, math.maxinteger, math.mininteger } do
      for _, dtype in ipairs{ "int64", "int32" } do
        if dtype == "int64" or bad > -9 and bad < 9 then
          for _, place in ipairs{ 1, 20, 40 } do
            local index = mg.ones(40):to(dtype)
            index[place] = bad
            local said = bad == 0 and zero or ("index %d is out of range for dimension 1 of size 4"):format(bad)
            check.raises(text:match "^[%w_]+" .. ": " .. said, load("local mg, x, i, y = ... return " .. text:match ": (.*)"), mg, x, index, ...)
          end
        end
      end
    end
  end
  local x, y = mg.arange(1, 5):float(), mg.ones(40)
  try("index_select: x:index_select(1, i)", x)
  try("gather: x:gather(1, i)", x)
  try("scatter: x:scatter(1, i, y)", x, y)
  try("scatter_: x:scatter_(1, i, y)", x, y)
  try("scatter: x:scatter(1, i, 7)", x)
  try("scatter_add_: x:scatter_add_(1, i, y)", x, y)
  try("index_add_: x:index_add_(1, i, y)", x, y)
  try("index: x[i]", x)
  for _, bad in ipairs{ 0, 5, -5 } do
    check.rejects(("x[mg.tensor{ 1, 2, %d }] = 9"):format(bad), "index: index " .. bad .. "…", x)
    check.rejects(("return x[{ mg.tensor{ 1, %d } }]"):format(bad), "index: index " .. bad .. "…", x)
  end
  check.elements(x, { 1, 2, 3, 4 })
end)

check.case("positions from 1 and from the end, in every kind of tensor, and kept for gradients", function()
  local x = mg.arange(10, 50, 10):float():requires_grad_()
  for _, index in ipairs{ mg.tensor{ 1, -1, 4, -4, 2 }, mg.tensor{ 1, -1, 4, -4, 2 }:to "int32", mg.tensor{ 1, 0, -1, 0, 4, 0, -4, 0, 2 }[{ { 1, -1, 2 } }] } do
    check.elements(x:detach():gather(1, index), { 10, 40, 40, 10, 20 })
    check.elements(x:detach():index_select(1, index), { 10, 40, 40, 10, 20 })
    check.elements(x:detach()[index], { 10, 40, 40, 10, 20 })
    check.elements(mg.zeros(4):scatter_add(1, index, mg.ones(5)), { 2, 1, 0, 2 })
    check.elements(mg.zeros(4):index_add(1, index, mg.ones(5)), { 2, 1, 0, 2 })
    check.elements(mg.zeros(4):scatter(1, index, mg.tensor{ 1.0, 2.0, 3.0, 4.0, 5.0 }), { 4, 5, 0, 3 })
    for _, read in ipairs{ function() return x:gather(1, index) end, function() return x:index_select(1, index) end, function() return x[index] end } do
      x.grad = nil
      local y = (read() * mg.tensor{ 1.0, 2.0, 3.0, 4.0, 5.0 }):sum()
      y:backward()
      check.elements(x.grad, { 5, 5, 0, 5 })
    end
  end
  -- Tangents go where the elements go.
  for _, read in ipairs{ function(v, i) return v:gather(1, i) end, function(v, i) return v:index_select(1, i) end, function(v, i) return v[i] end } do
    local _, tangent = mg.func.jvp(function(v) return read(v, mg.tensor{ 4, 1, -2 }) end, { x:detach() }, { mg.tensor{ 1.0, 2.0, 3.0, 4.0 } })
    check.elements(tangent, { 4, 1, 3 })
  end
  -- What the tape kept is no part of the tensor that was given.
  local index = mg.tensor{ 2, 3 }
  x.grad = nil
  local y = x:gather(1, index):sum()
  index[1] = 1
  y:backward()
  check.elements(x.grad, { 0, 1, 1, 0 })
end)

-- Two ellipses leave open which dimensions are whose.
for _, last in ipairs { 1, mg.tensor { 1, 2 }, mg.ones(3):gt(0) } do
  check.raises('index: an index can only have a single ellipsis, "..."', function() return mg.ones(2, 3, 3)[{ "...", "...", last }] end)
  check.raises('index: an index can only have a single ellipsis, "..."', function() mg.ones(2, 3, 3)[{ "...", "...", last }] = 1 end)
end

return check.done()

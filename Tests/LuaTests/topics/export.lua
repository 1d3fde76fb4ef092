-- Values leave: save_npy writes what NumPy reads, and free() lets go of elements before the collector does.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"

-- The description and the elements of a .npy file, read by its published format: six bytes of magic, two of version, two of
-- length, that many of description, and the elements.
local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  check.equal(bytes:sub(1, 8), "\x93NUMPY\1\0")
  local length = string.unpack("<I2", bytes, 9)
  check.equal((10 + length) % 64, 0)
  local description = bytes:sub(11, 10 + length)
  check.equal(description:sub(-1), "\n")
  return description:match "^(.-) *\n$", bytes:sub(11 + length)
end

local path = os.tmpname()

check.case("every dtype, in row-major order", function()
  local cases = {
    { mg.tensor{ { 1.5, 2 }, { 3, 4 } }, "<f4", "(2, 2)", "<ffff", 1.5, 2.0, 3.0, 4.0 },
    { mg.tensor({ { 1, 2, 3 }, { 4, 5, 6 } }):t(), "<i8", "(3, 2)", "<i8i8i8i8i8i8", 1, 4, 2, 5, 3, 6 },
    { mg.tensor({ 0.1 }, { dtype = "float64" }), "<f8", "(1,)", "<d", 0.1 },
    { mg.tensor({ -7 }, { dtype = "int32" }), "<i4", "(1,)", "<i4", -7 },
    { mg.tensor({ 200, 7 }, { dtype = "uint8" }), "|u1", "(2,)", "<BB", 200, 7 },
    { mg.tensor{ true, false }, "|b1", "(2,)", "<BB", 1, 0 },
    { mg.tensor{ 1.5, -2.0 }:half(), "<f2", "(2,)", "<I2I2", 0x3e00, 0xc000 },
    { mg.tensor(2.5), "<f4", "()", "<f", 2.5 },
    { mg.zeros(0, 3), "<f4", "(0, 3)", "<" },
  }
  for _, case in ipairs(cases) do
    mg.save_npy(case[1], path)
    local description, elements = read(path)
    check.equal(description, ("{'descr': '%s', 'fortran_order': False, 'shape': %s, }"):format(case[2], case[3]))
    local values = { string.unpack(case[4], elements) }
    check.equal(table.remove(values), #elements + 1)
    check.equal(values, { table.unpack(case, 5) })
  end
  check.raises("save_npy: NumPy has no elements of bfloat16…", mg.save_npy, mg.ones(2):bfloat16(), path)
end)

check.case("a file keeps no history", function()
  check.raises("save_npy: a tensor of shape [2] that requires grad cannot be exported, since a file keeps no history; detach() it first",
    mg.save_npy, mg.ones(2, { requires_grad = true }), path)
  mg.save_npy(mg.ones(2, { requires_grad = true }):detach(), path)
end)

check.case("a failure leaves what was there", function()
  mg.save_npy(mg.ones(2), path)
  pcall(mg.save_npy, mg.ones(3, { requires_grad = true }), path)
  local description = read(path)
  check.is_true(description:find("(2,)", 1, true))
  check.rejects([[mg.save_npy(mg.ones(2), "/nowhere/x.npy")]], "save_npy: /nowhere/x.npy: cannot be written: no such file or directory")
  check.rejects([[mg.save_npy(mg.ones(2))]], "save_npy: argument 2: expected a path, got nil")
  check.rejects([[mg.save_npy({}, "x")]], "save_npy: argument 1: expected a tensor, got a table")
end)

check.case("links are followed, and what is no file is not replaced", function()
  local link = path .. ".link"
  if os.execute(("ln -s '%s' '%s' 2>/dev/null"):format(path, link)) then
    mg.save_npy(mg.ones(5), link)
    check.is_true(read(path):find("(5,)", 1, true))
    check.is_true(os.execute(("test -L '%s'"):format(link)))
    os.remove(link)
  end
  mg.save_npy(mg.ones(2), "/dev/null")
  check.is_true(os.execute "test -c /dev/null")
  check.rejects([[mg.save_npy(mg.ones(2), "a\0b")]], "save_npy: the path has a zero byte in it")
  check.rejects([[mg.save_npy(mg.ones(2), "/")]], "save_npy: /: cannot be written: …")
end)

os.remove(path)

check.case("a freed tensor is not used again", function()
  local t = mg.ones(1000, 1000)
  local before = mg.memory().live
  t:free()
  check.is_true(before - mg.memory().live >= 4000000)
  local gone = "the tensor's elements were released by free()"
  check.raises("sum: " .. gone, function() return (t:sum()) end)
  check.raises("free: " .. gone, function() t:free() end)
  check.raises("shape: " .. gone, function() return t.shape end)
  check.raises("tostring: " .. gone, tostring, t)
  check.raises("'+' needs a tensor or a number on either side, got a tensor whose elements were released by free() on the right",
    function() return 1 + t end)
  check.raises("cat: argument 1 (tensors): element 2 is not a tensor but a tensor whose elements were released by free()",
    mg.cat, { mg.ones(1), t })
end)

check.case("backward does not take a freed tensor for what it was", function()
  local x = mg.ones(2, { requires_grad = true })
  local e = x:exp()
  local y = (e * e):sum()
  e:free()
  check.raises("MulBackward0 at …", function() y:backward() end)
end)

return check.done()

-- Files of data in scripts: CSV, NumPy's arrays, IDX, lines and JSON Lines.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local data = mg.data

-- Files that pandas, NumPy and gzip wrote, see scripts/fixtures/readers.py.
local fixtures = check.here .. "../../FilesTests/Fixtures/readers/"
local path = os.tmpname()
local function write(text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end
local function contents()
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

check.case("a table of a CSV file", function()
  local t = data.read_csv(fixtures .. "table.csv")
  check.equal(tostring(t), "table of 4 rows: size, count, kind (text)")
  check.equal(#t, 4)
  check.equal(t.columns, { "size", "count", "kind" })
  check.equal(t.count, mg.tensor{ 1.0, 2.0, 3.0, 4.0 })
  check.equal(t[2], t.count)
  check.equal(t[-1], { "a, b", 'the "c"', "d\ne", "é" })
  check.equal(t:column("size", "float64"), mg.tensor({ 1.5, mg.nan, -3e-5, 12345678.90123 }, { dtype = "float64" }))
  check.equal(t:tensor("count", "size").shape, { 4, 2 })
  check.equal(t:tensor({ 2 }, { dtype = "float64" }), t:column("count", "float64"):unsqueeze(2))
  local labels, classes = t:labels "kind"
  check.equal(labels, mg.tensor{ 1, 3, 2, 4 })
  check.equal(classes, { "a, b", "d\ne", 'the "c"', "é" })
  -- A column is the script's own: what it writes to it stays out of the table.
  t.count:zero_()
  check.equal(t.count[4]:item(), 4.0)
  check.raises("column: the table has no column 'cuont'; did you mean 'count'?", function() return t.cuont end)
  check.raises("column: there is no column 0: the table has 3, which count from 1", function() return t[0] end)
  check.raises("tensor: " .. fixtures .. "table.csv: the column 'kind' has text: line 2, column 3: 'a, b' is no number", t.tensor, t)
  check.raises("labels: called on nil instead of a table; methods are called with ':', not '.'", t.labels)
  check.raises("tensor: the only option of a table's tensor is dtype, a string; got size", t.tensor, t, "count", { size = 1 })
end)

check.case("options of CSV files", function()
  check.equal(data.read_csv(fixtures .. "windows.csv", { delimiter = ";", columns = { "kind", 2 } }).columns, { "kind", "count" })
  check.equal(data.read_csv(fixtures .. "table.csv.gz").count, data.read_csv(fixtures .. "table.csv").count)
  check.equal(data.read_csv(write "# no\n1,x\n2,?\n", { header = false, comment = "#", missing = { "?" } })[2], { "x", "?" })
  check.equal(data.read_csv(write "a\n?\n2\n", { missing = { "?" } }).a, mg.tensor{ mg.nan, 2.0 })
  check.equal(data.read_csv(write "head\na\n01\n02\n", { skip = 1, types = { a = "text" }, rows = 1 }).a, { "01" })
  check.equal(data.read_csv(write "a\n'x,y'\n", { quote = "'" }).a, { "x,y" })
  check.equal(data.read_csv(write 'a\n"x\n', { quote = false }).a, { '"x' })
  for source, text in pairs {
    ["mg.data.read_csv()"] = "read_csv: argument 1: expected a path, got nil",
    ["mg.data.read_csv('/nowhere')"] = "read_csv: /nowhere: cannot be read: no such file or directory",
    ["mg.data.read_csv(x, { delimeter = ';' })"] = "read_csv: unknown option 'delimeter'; did you mean 'delimiter'?…",
    ["mg.data.read_csv(x, { delimiter = 'ab' })"] = "read_csv: option 'delimiter': expected one character of ASCII, got \"ab\"",
    ["mg.data.read_csv(x, { columns = 'a' })"] = "read_csv: option 'columns': expected a list of names or positions from 1, got \"a\"",
    ["mg.data.read_csv(x, { columns = { 0 } })"] = "read_csv: " .. path .. ": there is no column 0; there are 2",
    ["mg.data.read_csv(x, { types = { a = 'int' } })"] = "read_csv: option 'types': expected a table of \"number\" and \"text\" by name, got \"int\"",
    ["mg.data.read_csv(x, { rows = -1 })"] = "read_csv: option 'rows': expected a count, got -1",
    ["mg.data.read_csv(x)"] = "read_csv: " .. path .. ": line 3 has 1 cell, where the header has 2",
    ["for _ in mg.data.stream_csv(x, { batch_size = 0 }) do end"] = "stream_csv: option 'batch_size': expected a count, got 0",
  } do check.rejects(source, text, write "a,b\n1,2\n3\n") end
end)

check.case("CSV in batches", function()
  local x = mg.arange(2500):double()
  data.write_csv({ x = x, kind = (function() local k = {} for i = 1, 2500 do k[i] = "k" .. i % 3 end return k end)() }, path)
  local sizes, parts = {}, {}
  for batch in data.stream_csv(path) do
    sizes[#sizes + 1], parts[#parts + 1] = #batch, batch:column("x", "float64")
    check.equal(batch.kind[2], "k" .. ((#sizes - 1) * 1000 + 2) % 3)
  end
  check.equal(sizes, { 1000, 1000, 500 })
  check.equal(mg.cat(parts), x)
end)

check.case("CSV is written", function()
  data.write_csv({ x = mg.tensor{ 1.5, mg.nan }, n = { 1, 2 }, kind = { 'a "b"', "c,\n" } }, path, { columns = { "kind", "x", "n" } })
  check.equal(contents(), 'kind,x,n\n"a ""b""",1.5,1\n"c,\n",,2\n')
  data.write_csv(mg.tensor({ { 0.1, 2 }, { -3, 1e10 } }, { dtype = "float32" }), path, { header = false, delimiter = "\t" })
  check.equal(contents(), "0.1\t2.0\n-3.0\t1e+10\n")
  data.write_csv(data.read_csv(fixtures .. "table.csv"), path)
  check.equal(data.read_csv(path).kind, data.read_csv(fixtures .. "table.csv").kind)
  data.write_csv(mg.arange(3), path)
  check.equal(contents(), "1\n0\n1\n2\n")
  check.raises("write_csv: column 2 has 2 rows, and the columns before it have 1", data.write_csv, { a = { "x" }, b = { "x", "y" } }, path)
  check.raises("write_csv: row 2 of column 1 is not a string but true", data.write_csv, { a = { "x", true } }, path)
  check.raises("write_csv: there are no columns", data.write_csv, {}, path)
  check.raises("write_csv: 1 names were given for 2 columns", data.write_csv, mg.ones(2, 2), path, { columns = { "a" } })
  check.raises("write_csv: expected a tensor of one or two dimensions, got a tensor of shape [1, 1, 1]", data.write_csv, mg.ones(1, 1, 1), path)
  check.equal(contents(), "1\n0\n1\n2\n")                     -- the failures left what was there
end)

check.case("NumPy's arrays", function()
  for _, dtype in ipairs { "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool" } do
    local x = (mg.arange(6):view(2, 3) - 2):to(dtype)
    mg.save_npy(x:t(), path)
    check.equal(mg.load_npy(path), x:t():contiguous())
    local mapped = mg.load_npy(path, { mmap = true })
    check.equal(mapped, x:t():contiguous())
    mapped:fill_(1)                                            -- which the file does not see
    check.equal(mg.load_npy(path), x:t():contiguous())
    mg.save_npz({ x = x, ["a b"] = x[1] }, path, { compressed = dtype == "int8" })
    check.equal(mg.load_npz(path), { x = x, ["a b"] = x[1] })
  end
  check.equal(mg.load_npy(fixtures .. "big.npy"), mg.load_npy(fixtures .. "f4.npy"))
  check.raises("load_npy: " .. fixtures .. "refused_object.npy: the elements are '|O', Python objects…", mg.load_npy, fixtures .. "refused_object.npy")
  local archive = mg.load_npz(fixtures .. "packed.npz", { lazy = true })
  check.equal(archive.y:sum():item(), 499500)
  check.equal(archive.none, nil)
  local names = {}
  for name in pairs(archive) do names[#names + 1] = name end
  check.equal(#names, 3)
  mg.save_npz({ mg.ones(2), mg.zeros(1) }, path)
  check.equal(mg.load_npz(path), { arr_0 = mg.ones(2), arr_1 = mg.zeros(1) })
  check.raises("save_npz: 'x' is not a tensor but 3", mg.save_npz, { x = 3 }, path)
  check.raises("save_npz: a tensor of shape [1] that requires grad cannot be exported…", mg.save_npz, { x = mg.ones(1, { requires_grad = true }) }, path)
  check.raises("load_npz: " .. path .. ": is no zip archive…", mg.load_npz, write "PK")
end)

check.case("a mapped array lives as long as what shows it", function()
  mg.save_npy(mg.arange(1000), path)
  local view = mg.load_npy(path, { mmap = true })[{ { 990, 1000 } }]
  os.remove(path)
  collectgarbage()
  check.equal(view:sum():item(), 10934)
end)

check.case("IDX, lines, JSON Lines", function()
  check.equal(data.read_idx(fixtures .. "u1.idx.gz"), mg.load_npy(fixtures .. "u1.npy"))
  check.equal(data.read_idx(fixtures .. "f8.idx"), mg.load_npy(fixtures .. "f8.npy"))
  check.raises("read_idx: " .. path .. ": is no IDX file: its first two bytes are not 0", data.read_idx, write "text")
  check.equal(data.read_lines(write "a\r\n\nb"), { "a", "", "b" })
  local count = 0
  for line in data.stream_lines(path) do count = count + #line end
  check.equal(count, 2)
  local values = data.read_jsonl(fixtures .. "lines.jsonl", { null = "none" })
  check.equal(values, { { text = "é\n", label = 1, scores = { 0.5, "none", -1e3 } }, { label = true }, {} })
  check.equal(data.read_jsonl(fixtures .. "lines.jsonl")[1].scores, { 0.5, nil, -1e3 })
  check.raises("read_jsonl: " .. path .. ": line 2, column 4: …", data.read_jsonl, write "{}\n[1,]")
  for value in data.stream_jsonl(write '{"x": 1}\n{"x": 2}\n') do count = count + value.x end
  check.equal(count, 5)
end)

check.case("images", function()
  local image = data.read_image(fixtures .. "rgb.png")
  check.equal(image, mg.load_npy(fixtures .. "pixels_rgb.png.npy"))
  check.equal(data.read_image(fixtures .. "rgb.jpg", { mode = "gray" }).shape, { 1, 5, 7 })
  local name = path .. ".PNG"
  data.write_image(image[{ {}, { 1, 2 } }], name)
  check.equal(data.read_image(name), image[{ {}, { 1, 2 } }]:contiguous())
  check.raises("write_image: an image of uint8 is needed, from 0 to 255, got float32", data.write_image, mg.ones(1, 2, 2), name)
  os.remove(name)
  check.raises("read_image: option 'mode': expected one of \"unchanged\", \"gray\", \"rgb\", \"rgba\", got \"grey\"", data.read_image,
    fixtures .. "rgb.png", { mode = "grey" })
  check.raises("read_image: " .. path .. ": is neither PNG nor JPEG by its first bytes", data.read_image, write "x")
end)

os.remove(path)
return check.done()

-- Reading and writing files of data: mg.load_npy and the like, and what mg.data has for them.

local native, mg, nn, shared = ...
local raise, found, options = shared.raise, shared.found, shared.options
local data = mg.data

-- A function of the library that reads or writes files, which a session may have taken away from scripts. The first argument of a
-- reader is the path.
local function needs_files(what)
  if not lends_files() then raise("%s: this session lends scripts no files", what) end
end

local function path_of(what, path, position)
  needs_files(what)
  if type(path) ~= "string" then raise("%s: argument %d: expected a path, got %s", what, position or 1, found(path)) end
  return path
end

--[=[ mg.save_npy(t, path)

Writes a tensor of any shape and dtype to a file that numpy.load reads. A tensor that requires grad raises: detach() it first.
A failure leaves the file that was there.

Example:
  local path = os.tmpname()
  mg.save_npy(mg.arange(6):view(2, 3), path)
  os.remove(path)
]=]
function mg.save_npy(t, path)
  needs_files "save_npy"
  native.save_npy(t, path)
end

--[=[ mg.load_npy(path, { mmap = false })

The array in a file of NumPy's. Elements of the other byte order are turned around, and uint16 and uint32 become int32 and int64;
Python objects, structures, text, times, complex numbers and uint64 are refused. With mmap, elements are read when they are looked
at, and what is written to the tensor stays in memory: for arrays larger than memory. Nobody may shorten the file meanwhile.

Example:
  local path = os.tmpname()
  mg.save_npy(mg.arange(6):view(2, 3), path)
  print(mg.load_npy(path))
  os.remove(path)
]=]
function mg.load_npy(path, ...)
  path = path_of("load_npy", path)
  return native.load_npy(path, options("load_npy", { { "mmap", false } }, ...).mmap)
end

--[=[ mg.save_npz(tensors, path, { compressed = false })

Writes a table of tensors, by name or as a list, to a file that numpy.load reads. The tensors of a list are called arr_0, arr_1 …,
as by numpy.savez.

Example:
  local path = os.tmpname()
  mg.save_npz({ x = mg.ones(2, 3), y = mg.arange(3) }, path, { compressed = true })
  os.remove(path)
]=]
function mg.save_npz(tensors, path, ...)
  needs_files "save_npz"
  if type(tensors) ~= "table" then raise("save_npz: argument 1: expected a table of tensors, got %s", found(tensors)) end
  path_of("save_npz", path, 2)
  local names, list = {}, {}
  for name, tensor in next, tensors do
    if math.type(name) == "integer" then
      name = string.format("arr_%d", name - 1)
    elseif type(name) ~= "string" then
      raise("save_npz: the tensors' names are strings, or 1, 2, … for a list; one is %s", found(name))
    end
    if not mg.is_tensor(tensor) then raise("save_npz: '%s' is not a tensor but %s", name, found(tensor)) end
    if list[name] then raise("save_npz: there are two tensors called '%s'", name) end
    names[#names + 1], list[name] = name, tensor
  end
  -- The same tensors make the same file.
  table.sort(names)
  for i, name in ipairs(names) do list[i] = list[name] end
  native.save_npz(names, table.move(list, 1, #names, 1, {}), path, options("save_npz", { { "compressed", false } }, ...).compressed)
end

--[=[ mg.load_npz(path, { lazy = false })

The arrays in a file that numpy.savez or mg.save_npz wrote, by name, as by mg.load_npy. With lazy, each is read when it is first
asked for, and pairs() reads them all. What is damaged, overlaps or announces what it has not is refused.

Example:
  local path = os.tmpname()
  mg.save_npz({ x = mg.ones(2, 3), y = mg.arange(3) }, path)
  print(mg.load_npz(path).y)
  os.remove(path)
]=]
function mg.load_npz(path, ...)
  path = path_of("load_npz", path)
  local lazy = options("load_npz", { { "lazy", false } }, ...).lazy
  local names, read = native.load_npz(path)
  local known, arrays = {}, {}
  for _, name in ipairs(names) do known[name] = true end
  local function fill()
    for _, name in ipairs(names) do
      if rawget(arrays, name) == nil then arrays[name] = read(name) end
    end
  end
  if not lazy then
    fill()
    return arrays
  end
  return setmetatable(arrays, {
    __index = function(_, name)
      if not known[name] then return nil end
      arrays[name] = read(name)
      return arrays[name]
    end,
    __pairs = function()
      fill()
      return next, arrays, nil
    end,
  })
end

-- Options of CSV files, checked as far as their types go; a list of names or positions and the like are left to Swift.
local function csv_options(what, more, ...)
  local known = {
    { "header", true }, { "delimiter", "," }, { "quote" }, { "columns" }, { "missing" }, { "types" }, { "skip", 0 }, { "comment" }, { "rows" },
  }
  for _, option in ipairs(more) do known[#known + 1] = option end
  return options(what, known, ...)
end

--[=[ mg.data.read_csv(path, { header = true, delimiter = ",", … })

A table of the columns of a CSV file, gzipped or not. A column is numbers, or text where a cell is no number.

  t.columns       the names, as a list; without a header they are "1", "2", …
  #t              the number of rows
  t[name], t[i]   a column: a tensor (float32, or the default dtype) where it is numbers, with nan for what is missing, or a list of
                  strings; t:column(name) also for names that are methods, and t:column(name, "float64")
  t:tensor()      all columns as a matrix (rows, columns), float32; t:tensor("a", "b", { dtype = "float64" }) of some of them
  t:labels(name)  the classes of a column: a tensor of labels from 1, and the sorted list of the classes' names

Options:
  header      whether the first line has names
  delimiter   what stands between cells: "\t" for tabs
  quote       what stands around cells with delimiters or ends of lines in them, doubled within: '"' by default, false for nothing
  columns     the columns that are wanted, a list of names or positions, in that order
  missing     a list of what stands for a missing number; by default what pandas takes for it, such as "", "NA" and "nan"
  types       what columns are, "number" or "text", by name; a bad cell is an error then
  skip        lines to leave out before the header; comment: a character that begins lines to leave out; rows: the most rows

Errors name the line and column: a line with too few or too many cells, a quote that never ends.

Example:
  local path = os.tmpname()
  local file = io.open(path, "w")
  file:write "size,weight,kind\n1.5,2,cat\n3,NA,dog\n2.5,4,cat\n"
  file:close()
  local t = mg.data.read_csv(path)
  print(t, #t, t.size, t.kind[2])
  local x, y, classes = t:tensor("size", "weight"), t:labels "kind"
  print(x, y, classes)
  os.remove(path)
]=]
function data.read_csv(path, ...)
  path = path_of("read_csv", path)
  return native.read_csv(path, csv_options("read_csv", {}, ...))
end

--[=[ mg.data.stream_csv(path, { batch_size = 1000, header = true, … })

Goes over a CSV file in batches, for files that are larger than memory: each is a table as by mg.data.read_csv, whose options these
are. What the columns are is found out from the first 1000 rows at least; a cell further down that is no number, in a column of
numbers, is an error then, unless types = { name = "text" } says that it is none.

Example:
  local path = os.tmpname()
  mg.data.write_csv(mg.randn(10, 2), path, { columns = { "x", "y" } })
  local sum = 0
  for batch in mg.data.stream_csv(path, { batch_size = 4 }) do sum = sum + batch.x:sum() end
  print(sum)
  os.remove(path)
]=]
function data.stream_csv(path, ...)
  path = path_of("stream_csv", path)
  local set = csv_options("stream_csv", { { "batch_size", 1000 } }, ...)
  local size = math.tointeger(set.batch_size)
  if not size or size < 1 then raise("stream_csv: option 'batch_size': expected a count, got %s", found(set.batch_size)) end
  return native.stream_csv(path, set, size)
end

--[=[ mg.data.write_csv(t, path, { columns = …, delimiter = ",", header = true })

Writes a table of mg.data.read_csv, or of columns by name (tensors of one dimension and lists of strings or numbers), or a tensor,
whose rows become lines. columns are the names and their order; those of a tensor are "1", "2", … without. Numbers are written in
the fewest digits that read as the same, and nan as an empty cell. A failure leaves the file that was there.

Example:
  local path = os.tmpname()
  mg.data.write_csv({ x = mg.arange(3), kind = { "a", "b", "c, d" } }, path, { columns = { "kind", "x" } })
  for line in io.lines(path) do print(line) end
  os.remove(path)
]=]
function data.write_csv(t, path, ...)
  needs_files "write_csv"
  path_of("write_csv", path, 2)
  local set = options("write_csv", { { "columns" }, { "delimiter", "," }, { "header", true } }, ...)
  local names = set.columns
  if names ~= nil and type(names) ~= "table" then raise("write_csv: option 'columns': expected a list of names, got %s", found(names)) end
  for i, name in ipairs(names or {}) do
    if type(name) ~= "string" then raise("write_csv: option 'columns': element %d is not a name but %s", i, found(name)) end
  end
  local columns = {}
  if native.is_table(t) then
    names = names or t.columns
    for i, name in ipairs(names) do columns[i] = t:column(name, "float64") end
  elseif mg.is_tensor(t) then
    local matrix = t:detach()
    if matrix.ndim == 1 then matrix = matrix:unsqueeze(2) end
    if matrix.ndim ~= 2 then raise("write_csv: expected a tensor of one or two dimensions, got %s", found(t)) end
    local count = matrix:size(2)
    if not names then
      names = {}
      for i = 1, count do names[i] = string.format("%d", i) end
    end
    if #names ~= count then raise("write_csv: %d names were given for %d columns", #names, count) end
    for i = 1, count do columns[i] = matrix:select(2, i) end
  elseif type(t) == "table" then
    if not names then
      names = {}
      for name in next, t do
        if type(name) ~= "string" then raise("write_csv: the columns' names are strings, one is %s", found(name)) end
        names[#names + 1] = name
      end
      table.sort(names)
    end
    for i, name in ipairs(names) do
      local column = t[name]
      if type(column) == "table" and type(column[1]) == "number" then column = mg.tensor(column) end
      if mg.is_tensor(column) then
        if column.ndim ~= 1 then raise("write_csv: the column '%s' is %s, and not of one dimension", name, found(column)) end
        column = column:detach()
      elseif type(column) ~= "table" then
        raise("write_csv: the column '%s' is not a tensor or a list but %s", name, found(column))
      end
      columns[i] = column
    end
  else
    raise("write_csv: argument 1: expected a table of columns or a tensor, got %s", found(t))
  end
  if #names == 0 then raise "write_csv: there are no columns" end
  native.write_csv(columns, set.header and names or nil, path, set.delimiter)
end

--[=[ mg.data.read_idx(path)

The array in an IDX file, the format of MNIST's images and labels, gzipped or not: uint8, int8, int16, int32, float32 or float64.
Labels are as the file has them, from 0 in MNIST.

Example:
  local path = os.tmpname()
  local file = io.open(path, "wb")
  file:write(string.pack(">BBBB I4 I4 BBBBBB", 0, 0, 8, 2, 2, 3, 1, 2, 3, 4, 5, 6))
  file:close()
  print(mg.data.read_idx(path))                               -- tensor([[1, 2, 3], [4, 5, 6]], dtype=uint8)
  os.remove(path)
]=]
function data.read_idx(path) return native.read_idx(path_of("read_idx", path)) end

local function collected(next_value)
  local list, count = {}, 0
  for value in next_value do
    count = count + 1
    list[count] = value
  end
  return list
end

--[=[ mg.data.read_lines(path)

The lines of a text file, gzipped or not, as a list. Lines end in "\n" or "\r\n", which are no part of them; those longer than 64 MB
are refused.

Example:
  local path = os.tmpname()
  local file = io.open(path, "w")
  file:write "one\ntwo\n"
  file:close()
  print(#mg.data.read_lines(path))                             -- 2
  os.remove(path)
]=]
function data.read_lines(path) return collected(native.lines(path_of("read_lines", path), "read_lines")) end

--[=[ mg.data.stream_lines(path)

Goes over the lines of a text file, gzipped or not, which may be larger than memory; see mg.data.read_lines.

Example:
  local path = os.tmpname()
  local file = io.open(path, "w")
  file:write "one\ntwo\n"
  file:close()
  for line in mg.data.stream_lines(path) do print(line) end
  os.remove(path)
]=]
function data.stream_lines(path) return native.lines(path_of("stream_lines", path), "stream_lines") end

local function json_lines(what, path, ...)
  path = path_of(what, path)
  return native.json_lines(path, what, options(what, { { "null" } }, ...).null)
end

--[=[ mg.data.read_jsonl(path, { null = nil })

The values in a file of JSON Lines, gzipped or not, as a list: objects and arrays are tables. null is left out, or becomes what
the option says. Empty lines are passed over; errors name the line and column.

Example:
  local path = os.tmpname()
  local file = io.open(path, "w")
  file:write '{"text": "good", "label": 1}\n{"text": "bad", "label": 2}\n'
  file:close()
  print(mg.data.read_jsonl(path)[2].text)                      -- bad
  os.remove(path)
]=]
function data.read_jsonl(path, ...) return collected(json_lines("read_jsonl", path, ...)) end

--[=[ mg.data.stream_jsonl(path, { null = nil })

Goes over the values in a file of JSON Lines, which may be larger than memory; see mg.data.read_jsonl.

Example:
  local path = os.tmpname()
  local file = io.open(path, "w")
  file:write '{"x": 1}\n{"x": 2}\n'
  file:close()
  for value in mg.data.stream_jsonl(path) do print(value.x) end
  os.remove(path)
]=]
function data.stream_jsonl(path, ...) return json_lines("stream_jsonl", path, ...) end

--[=[ mg.data.read_image(path, { mode = "unchanged" })

A PNG or JPEG image as a uint8 tensor of shape (channels, height, width), from 0 to 255. mode is "gray", "rgb" or "rgba" for 1, 3 or
4 channels, or "unchanged" for those of the file: 1 for gray, 2 with opacity, 3 for colors, 4 with opacity. Numbers of 16 bits are
rounded to 8. Images of more than 200 million pixels, and those that are damaged or cut off, are refused.

Example:
  local path = os.tmpname() .. ".png"
  mg.data.write_image(mg.randint(0, 256, { 3, 4, 5 }):to "uint8", path)
  print(mg.data.read_image(path, { mode = "gray" }).shape)      -- {1, 4, 5}
  os.remove(path)
]=]
function data.read_image(path, ...)
  path = path_of("read_image", path)
  return native.read_image(path, options("read_image", { { "mode", "unchanged" } }, ...).mode)
end

--[=[ mg.data.write_image(image, path, { quality = 75 })

Writes a uint8 tensor of shape (channels, height, width), or (height, width) for gray, as PNG or JPEG by the path's ending: .png, .jpg
or .jpeg. PNG takes 1 to 4 channels (gray, gray and opacity, colors, colors and opacity), JPEG 1 or 3. quality is that of JPEG, from
1 to 100.

Example:
  local path = os.tmpname() .. ".png"
  mg.data.write_image(mg.zeros(1, 8, 8):to "uint8", path)
  os.remove(path)
]=]
function data.write_image(image, path, ...)
  needs_files "write_image"
  if not mg.is_tensor(image) then raise("write_image: argument 1: expected a tensor, got %s", found(image)) end
  path_of("write_image", path, 2)
  local quality = options("write_image", { { "quality", 75 } }, ...).quality
  if math.type(quality) ~= "integer" then raise("write_image: option 'quality': expected a whole number, got %s", found(quality)) end
  native.write_image(image, path, quality)
end

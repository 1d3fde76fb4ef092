-- Reading and writing files of data: mg.load_npy and the like, and what mg.data has for them.

local native, mg, nn, shared = ...
local raise, found, options = shared.raise, shared.found, shared.options
local data = mg.data

-- A function of the library that reads or writes files, which a session may have taken away from scripts. The first argument of a
-- reader is the path.
local function lends_files(what)
  if not lent "io" then raise("%s: this session lends scripts no files", what) end
end

local function path_of(what, path, position)
  lends_files(what)
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
  lends_files "save_npy"
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
  lends_files "save_npz"
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

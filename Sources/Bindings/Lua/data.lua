-- mg.data: data sets, samplers, and loaders that give batches to loops.
--
-- All of these are tables with a metatable. Where everything below a loader is tensors and samplers of Swift's, a pass is
-- Swift's too (DataLoading.swift), and a step of the loop one call. What scripts wrote (a data set, a sampler, a collate_fn) is
-- called from here, so that it may yield, and its errors keep their line. Positions count from 1. Loaders are in loader.lua.

local native, mg = ...
local data = mg.data
local format, concat, pack, unpack = string.format, table.concat, table.pack, table.unpack
local tointeger, raise, nearest, tensor_kind = math.tointeger, native.raise, native.nearest, native.kind_of

local kinds = setmetatable({}, { __mode = "k" })   -- metatable → "dataset", "sampler", "batch_sampler", "loader"
local function kind_of(value)
  local meta = type(value) == "table" and getmetatable(value)
  return meta and kinds[meta] or nil
end

local function shown(value)
  if type(value) == "string" then return format("%q", value) end
  if type(value) == "number" or type(value) == "boolean" or value == nil then return tostring(value) end
  local kind = tensor_kind(value)
  if kind then return "a " .. string.lower(kind) end
  return "a " .. type(value)
end

local function is_tensor(value)
  local kind = tensor_kind(value)
  return kind == "Tensor" or kind == "Parameter"
end

local function is_list(value) return type(value) == "table" and getmetatable(value) == nil and (#value > 0 or next(value) == nil) end

local function copied(list) return table.move(list, 1, #list, 1, {}) end

-- Arguments after the first ones: by position, and by name in a last table.
local function options(name, known, ...)
  local given, last = pack(...), select("#", ...) > 0 and select(-1, ...) or nil
  local result = {}
  if type(last) == "table" and getmetatable(last) == nil and #last == 0 then
    given.n = given.n - 1
    for option, value in pairs(last) do
      local is_known = false
      for _, other in ipairs(known) do is_known = is_known or other == option end
      if not is_known then
        local hint = nearest(tostring(option), known)
        raise(format("%s: unknown option '%s'%s (known: %s)", name, tostring(option), hint and format("; did you mean '%s'?", hint) or "",
          concat(known, ", ")))
      end
      result[option] = value
    end
  end
  if given.n > #known then raise(format("%s: too many arguments (its options: %s)", name, concat(known, ", "))) end
  for i = 1, given.n do
    if given[i] ~= nil then
      if result[known[i]] ~= nil then raise(format("%s: '%s' is given twice, by position and as an option", name, known[i])) end
      result[known[i]] = given[i]
    end
  end
  return result
end

local function flag(name, option, value)
  if value ~= nil and type(value) ~= "boolean" then
    raise(format("%s: option '%s': expected true or false, got %s", name, option, shown(value)))
  end
  return value or false
end

local function count(name, option, value, least)
  local whole = type(value) == "number" and tointeger(value)
  if not whole or whole < least then
    raise(format("%s: %s should be a %s whole number, but got %s = %s", name, option, least > 0 and "positive" or "non-negative", option,
      shown(value)))
  end
  return whole
end

local function generator(name, value)
  if value ~= nil and not native.is_generator(value) then
    raise(format("%s: option 'generator': expected a generator (mg.Generator()), got %s", name, shown(value)))
  end
  return value
end

-- Loops ----------------------------------------------------------------------------------------------------------

-- `for x in object do` calls the object with the last value of x, nil at first. Loops over one object may stand within each other,
-- or be left early: which of them goes on is told by that value, which is kept weakly, so that what was left is forgotten.
local loops = setmetatable({}, { __mode = "k" })

local function given(loop, first, ...)
  if first == nil then
    loop.is_over = true
  else
    loop.last[1] = first
  end
  return first, ...
end

-- `begin(object)` gives what a loop needs: a function, its state and its first control value.
local function looped(begin)
  return function(self, ...)
    if select("#", ...) == 0 then return begin(self) end
    local _, control = ...
    local open = loops[self]
    if not open then
      open = {}
      loops[self] = open
    end
    if control == nil then
      for i = #open, 1, -1 do if open[i].is_over or open[i].last[1] == nil or #open > 32 then table.remove(open, i) end end
      local step, state, first = begin(self)
      open[#open + 1] = { step = step, state = state, control = first, last = setmetatable({}, { __mode = "v" }) }
    else
      while #open > 0 and (open[#open].is_over or open[#open].last[1] ~= control) do open[#open] = nil end
    end
    local loop = open[#open]
    if not loop then raise("the loop's first variable was assigned, or its pass is no more; write  for … in loader:iter() do") end
    return given(loop, loop.step(loop.state, control == nil and loop.control or control))
  end
end

-- Data sets ------------------------------------------------------------------------------------------------------

-- Something that has the methods of a data set, whoever made it.
local function has_methods(value, first, second)
  if type(value) ~= "table" or getmetatable(value) == nil then return false end
  local ok, has = pcall(function() return type(value[first]) == "function" and type(value[second]) == "function" end)
  return ok and has
end

local function is_dataset(value)
  return kind_of(value) == "dataset" or is_tensor(value) or is_list(value) or has_methods(value, "get", "len")
end

local function expect_dataset(name, value)
  if is_tensor(value) and value.ndim == 0 then raise(name .. ": a tensor of rank 0 has no rows") end
  if not is_dataset(value) then
    raise(format("%s: argument 1: expected a data set (mg.data.TensorDataset, a class of mg.data.Dataset, a list or a tensor), got %s", name,
      shown(value)))
  end
  return value
end

local function name_of(dataset)
  local meta = type(dataset) == "table" and getmetatable(dataset)
  return meta and meta.__name or "the data set"
end

local function length_of(dataset)
  if type(dataset) == "number" then return dataset end
  if is_tensor(dataset) or is_list(dataset) then return #dataset end
  local length = dataset:len()
  local whole = type(length) == "number" and tointeger(length)
  if not whole or whole < 0 then raise(format("%s: len() must return a count, but returned %s", name_of(dataset), shown(length))) end
  return whole
end

local function values_at(dataset, position)
  if kind_of(dataset) == "dataset" then return dataset:get(position) end
  if is_tensor(dataset) or is_list(dataset) then return dataset[position] end
  return dataset:get(position)
end

-- What get returned: the value, or a list of several.
local function sample_of(dataset, position, first, ...)
  if first == nil then
    local length = length_of(dataset)
    raise(format("%s: get(%d) returned nil%s", name_of(dataset), position,
      position > length and format(" (the data set has %d sample%s now)", length, length == 1 and "" or "s") or ""))
  end
  if select("#", ...) == 0 then return first end
  local list = pack(first, ...)
  for i = 2, list.n do
    if list[i] == nil then raise(format("%s: value %d that get(%d) returned is nil", name_of(dataset), i, position)) end
  end
  list.n = nil
  return list
end

-- A position from 1, counted from the end where it is negative.
local function in_range(name, position, length)
  local whole = tointeger(position)
  if not whole then raise(format("%s: expected a position, a whole number, got %s", name, shown(position))) end
  if whole == 0 then raise(format("%s: index 0 is out of range: positions start at 1 (and -1 is the last)", name)) end
  if whole > length or -whole > length then
    raise(format("%s: position %d is out of range: there are %d samples", name, whole, length))
  end
  return whole > 0 and whole or length + 1 + whole
end

-- A class: a table of methods; its instances are plain tables with a metatable.
local function new_class(kind, name, base, metamethods)
  local class = { __name = name }
  local meta = {
    __name = name,
    __index = function(self, key)
      local value = class[key]
      if value == nil and metamethods.index and type(key) == "number" then return metamethods.index(self, key) end
      return value
    end,
    __len = function(self) return length_of(self) end,
    __tostring = function(self) return class.text and class.text(self) or name end,
    __call = metamethods.call,
    __pairs = metamethods.pairs,
    __add = metamethods.add,
  }
  kinds[meta] = kind
  return setmetatable(class, {
    __index = base,
    __tostring = function() return "class " .. name end,
    __call = function(_, ...)
      local instance = setmetatable({}, meta)
      if class.init then class.init(instance, ...) end
      return instance
    end,
  })
end

-- Whether samples are lists also where they have one value, as those of tensors side by side are; defined below.
local gives_lists

local dataset_metamethods = {
  index = function(self, position)
    local length = length_of(self)
    if position == length + 1 then return nil end       -- ends ipairs
    position = in_range(name_of(self), position, length)
    local sample = sample_of(self, position, values_at(self, position))
    return gives_lists(self) and not is_list(sample) and { sample } or sample
  end,
  add = function(a, b) return data.ConcatDataset { a, b } end,
}

local Dataset = {}
function Dataset:get() raise(format("%s: the class has no method get(i)", name_of(self))) end
function Dataset:len() raise(format("%s: the class has no method len()", name_of(self))) end

local function named(what, name)
  if type(name) ~= "string" then
    raise(format("%s: expected a name for the class, as in  local Mine = mg.data.%s \"Mine\"", what, what))
  end
  return name
end

--[=[ mg.data.Dataset(name)

A class of data sets. Its methods are init(…), which the class called with arguments runs; len(), how many samples there are; and
get(i), the values of one, i from 1. #ds is the length, ds[i] what get(i) returns (several values as a list), ds1 + ds2 one after
the other.

Example:
  local Squares = mg.data.Dataset "Squares"
  function Squares:init(n) self.n = n end
  function Squares:len() return self.n end
  function Squares:get(i) return mg.tensor(i), mg.tensor(i * i) end
  local ds = Squares(10)
  print(#ds, ds[3][2])
  for x, y in mg.data.DataLoader(ds, { batch_size = 5 }):iter() do print(x, y) end
]=]
function data.Dataset(name) return new_class("dataset", named("Dataset", name), Dataset, dataset_metamethods) end

--[=[ mg.data.TensorDataset(tensor, …)

Tensors side by side: a sample is a row of each. Batches are gathered in one operation per tensor.

Example:
  local ds = mg.data.TensorDataset(mg.arange(6):view(3, 2), mg.tensor { 1, 2, 1 })
  print(#ds, ds[2][1])
]=]
local TensorDataset = new_class("dataset", "TensorDataset", Dataset, dataset_metamethods)
function TensorDataset:init(...)
  local tensors = pack(...)
  if tensors.n == 1 and is_list(tensors[1]) then tensors = copied(tensors[1]) end
  tensors.n = nil
  for i = 1, math.max(select("#", ...), #tensors) do
    if not is_tensor(tensors[i]) then raise(format("TensorDataset: argument %d: expected a tensor, got %s", i, shown(tensors[i]))) end
  end
  self.tensors = tensors
  native.tensor_source(tensors)
end
function TensorDataset:len() return #self.tensors[1] end
function TensorDataset:get(i)
  i = in_range("TensorDataset", i, #self.tensors[1])
  local row = {}
  for k, tensor in ipairs(self.tensors) do row[k] = tensor[i] end
  return unpack(row)
end
function data.TensorDataset(...) return TensorDataset(...) end

-- Positions as a list of their own.
local function positions_of(name, value)
  if is_tensor(value) then
    if value.ndim ~= 1 then raise(format("%s: expected a vector of positions, got a tensor of %d dimensions", name, value.ndim)) end
    value = value:tolist()
  end
  if not is_list(value) then raise(format("%s: expected a list of positions, got %s", name, shown(value))) end
  local list = {}
  for i, position in ipairs(value) do
    local whole = type(position) == "number" and tointeger(position)
    if not whole then raise(format("%s: element %d of the positions is not a whole number but %s", name, i, shown(position))) end
    list[i] = whole
  end
  return list
end

--[=[ mg.data.Subset(dataset, positions)

The samples of a data set at some positions, a list or a tensor.

Example:
  local ds = mg.data.TensorDataset(mg.arange(10))
  print(#mg.data.Subset(ds, { 1, 2, 7 }))
]=]
local Subset = new_class("dataset", "Subset", Dataset, dataset_metamethods)
function Subset:init(dataset, positions)
  self.dataset = expect_dataset("Subset", dataset)
  self.indices = positions_of("Subset", positions)
  local length = length_of(dataset)
  for i, position in ipairs(self.indices) do self.indices[i] = in_range("Subset", position, length) end
end
function Subset:len() return #self.indices end
function Subset:get(i) return values_at(self.dataset, self.indices[in_range("Subset", i, #self.indices)]) end
function data.Subset(...) return Subset(...) end

--[=[ mg.data.ConcatDataset(datasets)

Data sets one after the other, as a list of them; a + b is the same of two.

Example:
  local a, b = mg.data.TensorDataset(mg.arange(3)), mg.data.TensorDataset(mg.arange(5))
  print(#mg.data.ConcatDataset { a, b }, #(a + b))
]=]
local ConcatDataset = new_class("dataset", "ConcatDataset", Dataset, dataset_metamethods)
function ConcatDataset:init(datasets)
  if not is_list(datasets) or #datasets == 0 then
    raise("ConcatDataset: expected a list of at least one data set, as in ConcatDataset{ a, b }, got "
      .. (is_list(datasets) and "an empty list" or shown(datasets)))
  end
  self.datasets, self.cumulative_sizes = copied(datasets), {}
  local size = 0
  for i, dataset in ipairs(datasets) do
    if not is_dataset(dataset) then raise(format("ConcatDataset: element %d is not a data set but %s", i, shown(dataset))) end
    size = size + length_of(dataset)
    self.cumulative_sizes[i] = size
  end
end
function ConcatDataset:len() return self.cumulative_sizes[#self.cumulative_sizes] end
function ConcatDataset:get(i)
  i = in_range("ConcatDataset", i, self:len())
  local k = 1
  while i > self.cumulative_sizes[k] do k = k + 1 end
  return values_at(self.datasets[k], i - (self.cumulative_sizes[k - 1] or 0))
end
function data.ConcatDataset(...) return ConcatDataset(...) end

--[=[ mg.data.random_split(dataset, lengths, { generator })

Splits a data set at random into subsets of such lengths: counts that sum to its length, or fractions that sum to 1, which are rounded
down, and what is left goes to the first subsets, one each.

Returns a list of subsets.

Example:
  local train, test = table.unpack(mg.data.random_split(mg.data.TensorDataset(mg.arange(10)), { 0.8, 0.2 }))
  print(#train, #test)
]=]
function data.random_split(dataset, lengths, ...)
  expect_dataset("random_split", dataset)
  if not is_list(lengths) then raise("random_split: argument 2: expected a list of counts or fractions, got " .. shown(lengths)) end
  local given = options("random_split", { "generator" }, ...)
  local counts = native.split_lengths(lengths, length_of(dataset))
  local order = native.permutation(length_of(dataset), generator("random_split", given.generator))
  local parts, start = {}, 0
  for i, length in ipairs(counts) do
    if length == 0 and lengths[i] > 0 then native.warn(format("random_split: part %d is empty", i)) end
    parts[i] = Subset(dataset, table.move(order, start + 1, start + length, 1, {}))
    start = start + length
  end
  return parts
end

function gives_lists(dataset)
  if kind_of(dataset) ~= "dataset" then return false end
  if dataset.get == TensorDataset.get then return true end
  if dataset.get == Subset.get then return gives_lists(dataset.dataset) end
  return dataset.get == ConcatDataset.get and gives_lists(dataset.datasets[1])
end

-- What Swift gathers batches of, where the data set is tensors all the way down; nil where a script's part has to be asked.
local function source_of(dataset)
  if is_tensor(dataset) then return native.tensor_source { dataset } end
  if kind_of(dataset) ~= "dataset" then return nil end
  if dataset.get == TensorDataset.get then return native.tensor_source(dataset.tensors) end
  if dataset.get == Subset.get then
    local source = source_of(dataset.dataset)
    return source and native.subset_source(source, dataset.indices)
  end
  if dataset.get == ConcatDataset.get then
    local sources = {}
    for i, part in ipairs(dataset.datasets) do
      sources[i] = source_of(part)
      if not sources[i] then return nil end
    end
    return native.concat_source(sources)
  end
end

-- Collating ------------------------------------------------------------------------------------------------------

local collate

local function columns_of(batch, width, name)
  local columns = {}
  for c = 1, width do
    local column = {}
    for i, sample in ipairs(batch) do
      if not is_list(sample) or #sample ~= width then
        raise(format("default_collate: %s has %s, but %s has %d", name(i), is_list(sample) and #sample .. " values" or shown(sample), name(1),
          width))
      end
      column[i] = sample[c]
    end
    columns[c] = collate(column, name)
  end
  return columns
end

-- One value of a batch from those of its samples; `name(i)` is what messages call the sample i.
function collate(batch, name)
  local first = batch[1]
  local kind = is_tensor(first) and "tensor" or type(first)
  local stacked, problem
  if kind == "tensor" then
    -- What does not fit is looked for when it is known that something does not.
    stacked, problem = pcall(mg.stack, batch)
    if stacked then return problem end
  end
  for i, value in ipairs(batch) do
    local other = is_tensor(value) and "tensor" or type(value)
    if other ~= kind then
      raise(format("default_collate: %s is %s where %s is %s; a batch needs values of one kind", name(i), shown(value), name(1), shown(first)))
    end
  end
  if kind == "tensor" then
    local shape = concat(first.shape, ", ")
    for i, tensor in ipairs(batch) do
      if concat(tensor.shape, ", ") ~= shape then
        raise(format("default_collate: %s has shape [%s], but %s has shape [%s]; a collate_fn can join what differs", name(i),
          concat(tensor.shape, ", "), name(1), shape))
      end
    end
    error(problem, 0)
  end
  if kind == "boolean" then return mg.tensor(batch) end
  if kind == "number" then
    for _, number in ipairs(batch) do
      if math.type(number) == "float" then return mg.tensor(batch, { dtype = "float64" }) end
    end
    return mg.tensor(batch)
  end
  if kind == "string" then return batch end
  if kind == "table" and is_list(first) then return columns_of(batch, #first, name) end
  if kind == "table" and getmetatable(first) == nil then
    local result = {}
    for key in pairs(first) do
      local column = {}
      for i, sample in ipairs(batch) do
        column[i] = sample[key]
        if column[i] == nil then raise(format("default_collate: %s has no field '%s', but %s has", name(i), tostring(key), name(1))) end
      end
      result[key] = collate(column, name)
    end
    return result
  end
  raise(format("default_collate: a batch must contain tensors, numbers, booleans, strings, or tables of these; %s is %s", name(1), shown(first)))
end

-- A batch's values: the columns of samples that are lists.
local function collated(batch, name)
  if #batch > 0 and is_list(batch[1]) and #batch[1] > 0 then return unpack(columns_of(batch, #batch[1], name)) end
  return collate(batch, name)
end

--[=[ mg.data.default_collate(samples)

A batch of a list of samples, as a loader makes it: tensors are stacked; whole numbers become an int64 tensor, others a float64 one,
booleans a bool one; strings a list; and tables are taken apart, each field collated. Of samples that are lists it returns the
columns, as several values.

Example:
  local x, y = mg.data.default_collate { { mg.ones(2), 1 }, { mg.zeros(2), 0 } }
  print(x, y)
]=]
function data.default_collate(samples)
  if not is_list(samples) or #samples == 0 then
    raise("default_collate: expected a list of at least one sample, got " .. (is_list(samples) and "an empty list" or shown(samples)))
  end
  return collated(samples, function(i) return "sample " .. i end)
end

-- Samplers -------------------------------------------------------------------------------------------------------

local Sampler = {}
function Sampler:iter() raise(format("%s: the class has no method iter()", name_of(self))) end
function Sampler:len() raise(format("%s: the class has no method len(), so nothing can tell its length", name_of(self))) end

-- What DataLoading.swift makes a sampler of; nil for those of scripts.
local function described(sampler)
  if is_tensor(sampler) or is_list(sampler) then return { kind = "ListSampler", positions = sampler } end
  if kind_of(sampler) == "sampler" and sampler.describe then return sampler:describe() end
end

-- A function that gives the next of what a sampler gives, one after the other.
local function stream_of(sampler)
  local step, state, control
  if type(sampler) == "function" then step, state, control = sampler() else step, state, control = sampler:iter() end
  if is_tensor(step) then step = step:tolist() end
  if is_list(step) then
    local list, i = step, 0
    return function()
      i = i + 1
      return list[i]
    end
  end
  local is_over = false
  return function()
    if is_over then return nil end
    control = step(state, control)
    is_over = control == nil
    return control
  end
end

-- Batches of positions.
local function batches_of(sampler, size, drop_last)
  local description = described(sampler)
  if description then
    local pass = native.begin_pass(description, size, drop_last)
    return function() return native.next_positions(pass) end, pass
  end
  local next_position = stream_of(sampler)
  return function()
    local batch = {}
    while #batch < size do
      local position = next_position()
      if position == nil then break end
      batch[#batch + 1] = position
    end
    if #batch == 0 or drop_last and #batch < size then return nil end
    return batch
  end
end

local sampler_metamethods = { call = looped(function(self) return self:iter() end) }

-- Native samplers go position by position through batches of one.
local function iterated(self)
  local next_batch = batches_of(self, 1, false)
  return function()
    local batch = next_batch()
    return batch and batch[1]
  end
end

local function native_sampler(name)
  local class = new_class("sampler", name, Sampler, sampler_metamethods)
  class.iter = iterated
  function class:len() return native.check_sampler(self:describe()) end
  data[name] = function(...) return class(...) end
  return class
end

local function data_source(name, value)
  if type(value) == "number" then return count(name, "the data source", value, 0) end
  return expect_dataset(name, value)
end

--[=[ mg.data.Sampler(name)

A class of samplers. Its methods are init(…); iter(), which gives a loop positions from 1, or batches of them for batch_sampler, or
returns a list; and len(), how many these are, which only #loader asks for.

Example:
  local EverySecond = mg.data.Sampler "EverySecond"
  function EverySecond:init(n) self.n = n end
  function EverySecond:len() return (self.n + 1) // 2 end
  function EverySecond:iter() return coroutine.wrap(function() for i = 1, self.n, 2 do coroutine.yield(i) end end) end
  for x in mg.data.DataLoader(mg.arange(10), { batch_size = 2, sampler = EverySecond(10) }):iter() do print(x) end
]=]
function data.Sampler(name) return new_class("sampler", named("Sampler", name), Sampler, sampler_metamethods) end

--[=[ mg.data.SequentialSampler(dataset)

The positions of a data set, or 1 to a count, in their natural order.

Example:
  for i in mg.data.SequentialSampler(3):iter() do print(i) end
]=]
local SequentialSampler = native_sampler "SequentialSampler"
function SequentialSampler:init(source) self.data_source = data_source("SequentialSampler", source) end
function SequentialSampler:describe() return { kind = "SequentialSampler", total = length_of(self.data_source) } end

--[=[ mg.data.RandomSampler(dataset, { replacement = false, num_samples, generator })

The positions of a data set, or 1 to a count, in random order; with replacement each is drawn anew, so that some come often. Of more
samples than there are it begins again. Without a generator each pass draws a seed from the session's.

Example:
  mg.manual_seed(0)
  for i in mg.data.RandomSampler(3):iter() do print(i) end
]=]
local RandomSampler = native_sampler "RandomSampler"
function RandomSampler:init(source, ...)
  local given = options("RandomSampler", { "replacement", "num_samples", "generator" }, ...)
  self.data_source = data_source("RandomSampler", source)
  self.replacement = flag("RandomSampler", "replacement", given.replacement)
  self.num_samples = given.num_samples and count("RandomSampler", "num_samples", given.num_samples, 1)
  self.generator = generator("RandomSampler", given.generator)
  native.check_sampler(self:describe())
end
function RandomSampler:describe()
  return { kind = "RandomSampler", total = length_of(self.data_source), replacement = self.replacement, num_samples = self.num_samples,
    generator = self.generator }
end

--[=[ mg.data.SubsetRandomSampler(positions, { generator })

Some positions, a list or a tensor, in random order.

Example:
  for i in mg.data.SubsetRandomSampler({ 2, 3, 5 }):iter() do print(i) end
]=]
local SubsetRandomSampler = native_sampler "SubsetRandomSampler"
function SubsetRandomSampler:init(positions, ...)
  local given = options("SubsetRandomSampler", { "generator" }, ...)
  self.indices = positions_of("SubsetRandomSampler", positions)
  self.generator = generator("SubsetRandomSampler", given.generator)
  native.check_sampler(self:describe())
end
function SubsetRandomSampler:describe() return { kind = "SubsetRandomSampler", positions = self.indices, generator = self.generator } end

--[=[ mg.data.WeightedRandomSampler(weights, num_samples, { replacement = true, generator })

Positions drawn with probabilities relative to one another, a list or a tensor of one for each sample; without replacement all different.

Example:
  for i in mg.data.WeightedRandomSampler({ 0.1, 0.9, 0.4 }, 5):iter() do print(i) end
]=]
local WeightedRandomSampler = native_sampler "WeightedRandomSampler"
function WeightedRandomSampler:init(weights, num_samples, ...)
  local given = options("WeightedRandomSampler", { "replacement", "generator" }, ...)
  if is_tensor(weights) then
    if weights.ndim ~= 1 then
      raise(format("WeightedRandomSampler: weights should be a vector, got shape [%s]", concat(weights.shape, ", ")))
    end
    weights = weights:detach():tolist()
  end
  if not is_list(weights) then raise("WeightedRandomSampler: argument 1: expected a list of weights, got " .. shown(weights)) end
  for i, weight in ipairs(weights) do
    if type(weight) ~= "number" then raise(format("WeightedRandomSampler: weight %d is not a number but %s", i, shown(weight))) end
  end
  self.weights = copied(weights)
  self.num_samples = count("WeightedRandomSampler", "num_samples", num_samples, 1)
  self.replacement = given.replacement == nil or flag("WeightedRandomSampler", "replacement", given.replacement)
  self.generator = generator("WeightedRandomSampler", given.generator)
  native.check_sampler(self:describe())
end
function WeightedRandomSampler:describe()
  return { kind = "WeightedRandomSampler", weights = self.weights, num_samples = self.num_samples, replacement = self.replacement,
    generator = self.generator }
end

local function is_sampler(value)
  return kind_of(value) == "sampler" or kind_of(value) == "batch_sampler" or is_tensor(value) or is_list(value) or type(value) == "function"
    or has_methods(value, "iter", "iter")
end

local function expect_sampler(name, option, value)
  if not is_sampler(value) then
    raise(format("%s: %s: expected a sampler, a list of positions, or a function that gives a loop, got %s", name, option, shown(value)))
  end
  return value
end

local function sampler_length(sampler, what)
  if is_list(sampler) or is_tensor(sampler) then return #sampler end
  local ok, length = pcall(function() return sampler:len() end)
  if not ok or type(length) ~= "number" then
    if ok or type(sampler) == "function" then raise(format("#loader: the %s has no length", what)) end
    error(length, 0)
  end
  return length
end

local function batch_count(samples, size, drop_last) return drop_last and samples // size or (samples + size - 1) // size end

--[=[ mg.data.BatchSampler(sampler, batch_size, drop_last)

The positions of a sampler in batches, as lists; with drop_last without a last one that is smaller.

Example:
  for batch in mg.data.BatchSampler(mg.data.SequentialSampler(10), 3, false):iter() do print(#batch) end
]=]
local BatchSampler = new_class("batch_sampler", "BatchSampler", Sampler, sampler_metamethods)
function BatchSampler:init(sampler, ...)
  local given = options("BatchSampler", { "batch_size", "drop_last" }, ...)
  self.sampler = expect_sampler("BatchSampler", "argument 1", sampler)
  self.batch_size = count("BatchSampler", "batch_size", given.batch_size, 1)
  self.drop_last = flag("BatchSampler", "drop_last", given.drop_last)
end
function BatchSampler:iter() return (batches_of(self.sampler, self.batch_size, self.drop_last)) end
function BatchSampler:len() return batch_count(sampler_length(self.sampler, "sampler"), self.batch_size, self.drop_last) end
function data.BatchSampler(...) return BatchSampler(...) end

return {
  kinds = kinds, kind_of = kind_of, shown = shown, is_list = is_list, is_tensor = is_tensor, options = options, flag = flag, count = count,
  generator = generator, looped = looped, expect_dataset = expect_dataset, length_of = length_of, values_at = values_at,
  sample_of = sample_of, name_of = name_of, in_range = in_range, source_of = source_of, gives_lists = gives_lists, columns_of = columns_of, collated = collated,
  described = described, stream_of = stream_of, batches_of = batches_of, expect_sampler = expect_sampler, sampler_length = sampler_length,
  batch_count = batch_count, SequentialSampler = SequentialSampler, RandomSampler = RandomSampler,
}

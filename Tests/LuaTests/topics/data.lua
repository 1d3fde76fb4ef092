-- Data sets, samplers and what loaders make of them: values, shapes, and what is said of mistakes. Orders are in loaders.lua.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local data = mg.data

-- A data set of a function.
local Made = data.Dataset "Made"
function Made:init(n, f) self.n, self.f = n, f end
function Made:len() return self.n end
function Made:get(i) return self.f(i) end

local function batches(ds, options)
  local list = {}
  for a, b, c in data.DataLoader(ds, options):iter() do list[#list + 1] = { a, b, c } end
  return list
end

check.case("data sets of tensors", function()
  local x, y = mg.arange(12):view(6, 2), mg.arange(6)
  local ds = data.TensorDataset(x, y)
  check.equal(#ds, 6)
  check.equal(ds[2], { mg.tensor { 2, 3 }, mg.tensor(1) })
  check.equal(ds[-1], ds[6])
  check.equal({ ds:get(3) }, ds[3])
  check.equal(#data.TensorDataset(x)[1], 1)              -- a list, of one too
  check.equal(tostring(ds), "TensorDataset")
  local count = 0
  for i, row in ipairs(ds) do count = count + (row[2]:item() == i - 1 and 1 or 100) end
  check.equal(count, 6)
  check.equal(batches(ds, { batch_size = 4 })[2], { x[{ { 5, 6 } }], y[{ { 5, 6 } }] })
  check.equal(#batches(ds, { batch_size = 4, drop_last = true }), 1)
  check.equal(#batches(data.TensorDataset(mg.zeros(0, 3)), { batch_size = 4 }), 0)
  check.equal(batches(data.TensorDataset(mg.zeros(3, 0)), { batch_size = 2 })[1][1].shape, { 2, 0 })
  check.equal(batches(mg.arange(3), { batch_size = 2 })[1][1], mg.arange(2))
  check.equal(batches({ "a", "b", "c" }, { batch_size = 2 }), { { { "a", "b" } }, { { "c" } } })
  check.rejects("mg.data.TensorDataset()", "TensorDataset: at least one tensor is needed")
  check.rejects("mg.data.TensorDataset(mg.ones(2), 3)", "TensorDataset: argument 2: expected a tensor, got 3")
  check.rejects("mg.data.TensorDataset(mg.ones(2), nil)", "TensorDataset: argument 2: expected a tensor, got nil")
  check.rejects("mg.data.TensorDataset(mg.ones(2), mg.ones(3))",
    "TensorDataset: the lengths differ: tensor 1 has 2 rows, tensor 2 has 3")
  check.rejects("mg.data.TensorDataset(mg.tensor(1))", "TensorDataset: tensor 1 has rank 0; the first dimension counts the samples")
  check.rejects("return x[0]", "TensorDataset: index 0 is out of range: positions start at 1 (and -1 is the last)", ds)
  check.rejects("return x[9]", "TensorDataset: position 9 is out of range: there are 6 samples", ds)
  check.rejects("return x[-7]", "TensorDataset: position -7 is out of range: there are 6 samples", ds)
  check.rejects("return x[1.5]", "TensorDataset: expected a position, a whole number, got 1.5", ds)
  check.rejects("return x:get(7)", "TensorDataset: position 7 is out of range: there are 6 samples", ds)
end)

check.case("parts and sums of data sets", function()
  local ds = data.TensorDataset(mg.arange(10), -mg.arange(10))
  local part = data.Subset(ds, { 10, 1, -2, 1 })
  check.equal(#part, 4)
  check.equal(part[3][2]:item(), -8)
  check.equal(part.indices, { 10, 1, 9, 1 })
  check.equal(batches(part, { batch_size = 4 })[1][1], mg.tensor { 9, 0, 8, 0 })
  check.equal(batches(data.Subset(part, mg.tensor { 3, 2 }), { batch_size = 4 })[1][1], mg.tensor { 8, 0 })
  local whole = data.ConcatDataset { part, ds, data.Subset(ds, { 5 }) }
  check.equal(#whole, 15)
  check.equal(whole[15][1]:item(), 4)
  check.equal(whole.cumulative_sizes, { 4, 14, 15 })
  check.equal(batches(whole, { batch_size = 15 })[1][1], mg.tensor { 9, 0, 8, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 4 })
  check.equal(batches(whole, { batch_size = 4, sampler = { 15, 1, 5, 3 } })[1][1], mg.tensor { 4, 9, 0, 8 })
  check.equal(#(ds + ds), 20)
  local mixed = data.ConcatDataset { Made(2, function(i) return mg.tensor(i), i end), ds }
  check.equal(batches(mixed, { batch_size = 2 })[1], { mg.tensor { 1, 2 }, mg.tensor { 1, 2 } })
  check.rejects("mg.data.Subset(x, { 1, 11 })", "Subset: position 11 is out of range: there are 10 samples", ds)
  check.rejects("mg.data.Subset(x, { 0 })", "Subset: index 0 is out of range…", ds)
  check.rejects("mg.data.Subset(x, { 'a' })", 'Subset: element 1 of the positions is not a whole number but "a"', ds)
  check.rejects("mg.data.Subset(x, 3)", "Subset: expected a list of positions, got 3", ds)
  check.rejects("mg.data.Subset(3, {})", "Subset: argument 1: expected a data set…")
  check.rejects("mg.data.ConcatDataset{}", "ConcatDataset: expected a list of at least one data set, as in ConcatDataset{ a, b }, got an empty list")
  check.rejects("mg.data.ConcatDataset{ x, 3 }", "ConcatDataset: element 2 is not a data set but 3", ds)
  check.raises("ConcatDataset: samples differ: some have shapes [], others [2] (part 2)", function()
    batches(data.TensorDataset(mg.arange(2)) + data.TensorDataset(mg.zeros(2, 2)), { batch_size = 4 })
  end)
end)

check.case("random_split: counts and fractions", function()
  local ds = data.TensorDataset(mg.arange(11))
  local function sizes(lengths)
    local list = {}
    local warnings, parts = mg.catch_warnings(data.random_split, ds, lengths)
    for i, part in ipairs(parts) do list[i] = #part end
    return list, #warnings
  end
  check.equal(sizes { 8, 3 }, { 8, 3 })
  check.equal(sizes { 0.8, 0.2 }, { 9, 2 })
  check.equal(sizes { 0.5, 0.5 }, { 6, 5 })
  check.equal(select(2, sizes { 0.98, 0.01, 0.01 }), 2)   -- warnings
  check.equal(sizes { 1 / 3, 1 / 3, 1 / 3 }, { 4, 4, 3 })
  local function refuse(lengths, text) check.raises("random_split: " .. text, data.random_split, ds, lengths) end
  refuse({ 0.5, 0.6 }, "fractions must sum to 1, and not to more, but these sum to 1.1")
  refuse({ 0.5, 0.4 }, "fractions must sum to 1, and not to more, but these sum to 0.9")
  refuse({ 5, 5 }, "the lengths sum to 10, but there are 11 samples")
  refuse({ 12, -1 }, "length 2 is -1.0; lengths are counts, or fractions from 0 to 1")
  refuse({ mg.nan, 1 }, "length 1 is nan; lengths are counts, or fractions from 0 to 1")
  refuse({ "a" }, 'length 1 is not a number but "a"')
  refuse({}, "at least one length is needed")
  refuse({ 1e300, 1 }, "fractions must sum to 1…")
  refuse({ math.maxinteger, math.maxinteger }, "…")
  refuse(3, "argument 2: expected a list of counts or fractions, got 3")
  check.rejects("mg.data.random_split(x, { 11 }, { generator = 3 })",
    "random_split: option 'generator': expected a generator (mg.Generator()), got 3", ds)
end)

check.case("classes of data sets", function()
  local Pairs = data.Dataset "Pairs"
  function Pairs:len() return 3 end
  function Pairs:get(i) return i, -i end
  local ds = Pairs()
  check.equal({ #ds, ds[2], ds[-1], tostring(ds), tostring(Pairs) }, { 3, { 2, -2 }, { 3, -3 }, "Pairs", "class Pairs" })
  check.equal(batches(ds, { batch_size = 3 })[1], { mg.tensor { 1, 2, 3 }, mg.tensor { -1, -2, -3 } })
  check.equal(batches(ds, { batch_size = false })[2], { 2, -2 })
  check.rejects("return x[4].y", "attempt to index a nil value…", ds)      -- as ipairs needs
  check.rejects("return x[5]", "Pairs: position 5 is out of range: there are 3 samples", ds)
  check.rejects("mg.data.Dataset()", 'Dataset: expected a name for the class, as in  local Mine = mg.data.Dataset "Mine"')
  local Empty = data.Dataset "Empty"
  check.raises("Empty: the class has no method len()", function() return #Empty() end)
  function Empty:len() return 1 end
  check.raises("Empty: the class has no method get(i)", function() return Empty()[1] end)
  function Empty:len() return -1 end
  check.raises("Empty: len() must return a count, but returned -1", function() return #Empty() end)
  function Empty:len() return "many" end
  check.raises('Empty: len() must return a count, but returned "many"', function() return data.DataLoader(Empty(), { shuffle = true }) end)
  -- Any object with the two methods.
  local object = setmetatable({}, { __index = { len = function() return 2 end, get = function(_, i) return i * 2 end } })
  check.equal(batches(object, { batch_size = 2 })[1][1], mg.tensor { 2, 4 })
end)

check.case("batches of samples", function()
  local ds = Made(3, function(i) return mg.ones(2) * i, { i, { 0.5 * i, i == 2 } }, { name = "n" .. i, x = mg.tensor(i) } end)
  local x, list, record = table.unpack(batches(ds, { batch_size = 2 })[1])
  check.equal(x, mg.tensor { { 1.0, 1.0 }, { 2.0, 2.0 } })
  check.equal(list, { mg.tensor { 1, 2 }, { mg.tensor({ 0.5, 1 }, { dtype = "float64" }), mg.tensor { false, true } } })
  check.equal(record, { name = { "n1", "n2" }, x = mg.tensor { 1, 2 } })
  check.equal(batches(Made(2, function(i) return { i, -i } end), { batch_size = 2 })[1], { mg.tensor { 1, 2 }, mg.tensor { -1, -2 } })
  check.equal(batches(Made(2, function(i) return i == 1 and 1 or 2.5 end), { batch_size = 2 })[1][1], mg.tensor({ 1, 2.5 }, { dtype = "float64" }))
  check.equal({ data.default_collate { { 1, "a" }, { 2, "b" } } }, { mg.tensor { 1, 2 }, { "a", "b" } })
  check.equal(data.default_collate { mg.ones(1), mg.zeros(1) }, mg.tensor { { 1.0 }, { 0.0 } })
  local function refuse(f, text) check.raises(text, batches, Made(3, f), { batch_size = 3 }) end
  refuse(function(i) return mg.ones(i) end, "default_collate: sample 2 has shape [2], but sample 1 has shape [1]; a collate_fn can join what differs")
  refuse(function(i) return i == 3 and "x" or i end, 'default_collate: sample 3 is "x" where sample 1 is 1; a batch needs values of one kind')
  refuse(function(i) if i == 2 then return i end return i, i end, "default_collate: sample 2 has 2, but sample 1 has 2")
  refuse(function(i) if i == 2 then return 1, 2, 3 end return i, i end, "default_collate: sample 2 has 3 values, but sample 1 has 2")
  refuse(function(i) return i == 2 and { a = 1 } or { a = 1, b = 2 } end, "default_collate: sample 2 has no field 'b', but sample 1 has")
  refuse(function(i) return print end,
    "default_collate: a batch must contain tensors, numbers, booleans, strings, or tables of these; sample 1 is a function")
  refuse(function(i) if i < 3 then return i end end, "Made: get(3) returned nil")
  refuse(function(i) return i, nil, i end, "Made: value 2 that get(1) returned is nil")
  check.raises("default_collate: expected a list of at least one sample, got an empty list", data.default_collate, {})
  check.raises("default_collate: expected a list of at least one sample, got nil", data.default_collate)
end)

check.case("collate_fn", function()
  local ds = data.TensorDataset(mg.arange(4), mg.arange(4) * 2)
  local seen
  local list = batches(ds, { batch_size = 3, collate_fn = function(samples) seen = samples return #samples, "b" end })
  check.equal(list, { { 3, "b" }, { 1, "b" } })
  check.equal(seen, { { mg.tensor(3), mg.tensor(6) } })
  check.equal(batches(ds, { batch_size = 2, collate_fn = data.default_collate }), batches(ds, { batch_size = 2 }))
  check.equal(batches(ds, { batch_size = false, collate_fn = function(s) return s[2] end })[4][1], mg.tensor(6))
  check.raises("DataLoader: the collate_fn returned nil, which would end the loop", batches, ds, { collate_fn = function() end })
  local message = check.message_of(batches, ds, { collate_fn = function() error "mine" end })
  check.mentions(message, "data.lua:", "mine")
end)

check.case("samplers", function()
  local function positions(sampler)
    local list = {}
    for i in sampler:iter() do list[#list + 1] = i end
    return list
  end
  check.equal(positions(data.SequentialSampler(3)), { 1, 2, 3 })
  check.equal(#data.RandomSampler(mg.arange(5)), 5)
  check.equal(#positions(data.RandomSampler(5, { num_samples = 13 })), 13)
  local sorted = positions(data.SubsetRandomSampler { 2, 4, 9 })
  table.sort(sorted)
  check.equal(sorted, { 2, 4, 9 })
  check.equal(positions(data.WeightedRandomSampler({ 0, 1, 0 }, 4)), { 2, 2, 2, 2 })
  check.equal(positions(data.BatchSampler(data.SequentialSampler(5), 2, false)), { { 1, 2 }, { 3, 4 }, { 5 } })
  check.equal(#data.BatchSampler(data.SequentialSampler(5), 2, true), 2)
  check.equal(positions(data.BatchSampler({ 5, 1, 2 }, 2)), { { 5, 1 }, { 2 } })
  local count = 0
  for a in data.SequentialSampler(3) do for b in data.SequentialSampler(2) do count = count + a * b end end
  check.equal(count, 18)
  local Odd = data.Sampler "Odd"
  function Odd:init(n) self.n = n end
  function Odd:iter()
    local i = -1
    return function()
      i = i + 2
      return i <= self.n and i or nil
    end
  end
  check.equal(batches(mg.arange(1, 8), { batch_size = 3, sampler = Odd(7) }), { { mg.tensor { 1, 3, 5 } }, { mg.tensor { 7 } } })
  check.equal(batches(mg.arange(1, 8), { batch_size = false, sampler = Odd(3) }), { { mg.tensor(1) }, { mg.tensor(3) } })
  check.equal(#batches(mg.arange(1, 8), { batch_sampler = data.BatchSampler(Odd(7), 3, true) }), 1)
  check.raises("Odd: the class has no method len(), so nothing can tell its length", function() return #data.DataLoader(mg.arange(8), { sampler = Odd(7) }) end)
  check.raises("#loader: the sampler has no length", function() return #data.DataLoader(mg.arange(8), { sampler = function() return ipairs { 1 } end }) end)
  check.equal(batches(mg.arange(8), { batch_size = 2, sampler = function() return ipairs { 7, 8 } end })[1][1], mg.tensor { 0, 1 })
  check.equal(batches(mg.arange(8), { batch_sampler = function() return coroutine.wrap(function()
    coroutine.yield { 1, 8 }
    coroutine.yield(mg.tensor { 3 })
  end) end }), { { mg.tensor { 0, 7 } }, { mg.tensor { 2 } } })
  local function refuse(source, text) check.rejects("mg.data." .. source, text) end
  refuse("RandomSampler(0)", "RandomSampler: num_samples should be a positive whole number, but got num_samples = 0")
  refuse("RandomSampler(3, { num_samples = 0 })", "RandomSampler: num_samples should be a positive whole number, but got num_samples = 0")
  refuse("RandomSampler(3, { replacement = 1 })", "RandomSampler: option 'replacement': expected true or false, got 1")
  refuse("RandomSampler(print)", "RandomSampler: argument 1: expected a data set…")
  refuse("SubsetRandomSampler({ 0 })", "SubsetRandomSampler: position 0 is out of range: positions start at 1")
  refuse("WeightedRandomSampler({}, 2)", "WeightedRandomSampler: there are no weights")
  refuse("WeightedRandomSampler({ 1, -1 }, 2)", "WeightedRandomSampler: weight 2 is -1.0; weights are finite and not negative")
  refuse("WeightedRandomSampler({ 1, mg.nan }, 2)", "WeightedRandomSampler: weight 2 is nan; weights are finite and not negative")
  refuse("WeightedRandomSampler({ mg.inf, 1 }, 2)", "WeightedRandomSampler: weight 1 is inf; weights are finite and not negative")
  refuse("WeightedRandomSampler({ 0, 0 }, 2)", "WeightedRandomSampler: all weights are 0")
  refuse("WeightedRandomSampler({ 1, 1 }, 3, { replacement = false })", "WeightedRandomSampler: 3 samples cannot be drawn from 2 without replacement")
  refuse("WeightedRandomSampler({ 1 }, 1.5)", "WeightedRandomSampler: num_samples should be a positive whole number, but got num_samples = 1.5")
  refuse("WeightedRandomSampler(mg.ones(2, 2), 1)", "WeightedRandomSampler: weights should be a vector, got shape [2, 2]")
  refuse("WeightedRandomSampler({ 'a' }, 1)", 'WeightedRandomSampler: weight 1 is not a number but "a"')
  refuse("BatchSampler(mg.data.SequentialSampler(3), 0)", "BatchSampler: batch_size should be a positive whole number, but got batch_size = 0")
  refuse("BatchSampler(3, 2)", "BatchSampler: argument 1: expected a sampler…")
end)

check.case("loaders that cannot be", function()
  local ds = data.TensorDataset(mg.arange(4))
  local function refuse(options, text) check.raises("DataLoader: " .. text, data.DataLoader, ds, options) end
  refuse({ sampler = { 1 }, shuffle = true }, "sampler option is mutually exclusive with shuffle")
  local exclusive = "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
  refuse({ batch_sampler = { { 1 } }, batch_size = 2 }, exclusive)
  refuse({ batch_sampler = { { 1 } }, shuffle = true }, exclusive)
  refuse({ batch_sampler = { { 1 } }, sampler = { 1 } }, exclusive)
  refuse({ batch_sampler = { { 1 } }, drop_last = true }, exclusive)
  refuse({ batch_size = false, drop_last = true }, "batch_size = false disables batches and is mutually exclusive with drop_last")
  refuse({ batch_size = -1 }, "batch_size should be a positive whole number, but got batch_size = -1")
  refuse({ batch_size = 2.5 }, "batch_size should be a positive whole number, but got batch_size = 2.5")
  refuse({ batch_size = "x" }, 'batch_size should be a positive whole number, but got batch_size = "x"')
  refuse({ shuffle = 1 }, "option 'shuffle': expected true or false, got 1")
  refuse({ collate_fn = 3 }, "option 'collate_fn': expected a function, got 3")
  refuse({ generator = 3 }, "option 'generator': expected a generator (mg.Generator()), got 3")
  refuse({ sampler = 3 }, "option 'sampler': expected a sampler, a list of positions, or a function that gives a loop, got 3")
  refuse({ num_workers = 2 }, "there are no worker processes; prefetch = n reads n batches ahead on another thread")
  refuse({ prefetch = -1 }, "prefetch should be a non-negative whole number, but got prefetch = -1")
  refuse({ prefetch = 1, collate_fn = print },
    "prefetch reads tensors on another thread, and a collate_fn runs on the script's; leave prefetch out")
  check.raises("DataLoader: prefetch reads tensors on another thread, and a data set that a script wrote runs on the script's; leave prefetch out",
    data.DataLoader, Made(2, print), { prefetch = 1 })
  refuse({ prefetch = 1, sampler = function() end },
    "prefetch reads tensors on another thread, and a sampler that a script wrote runs on the script's; leave prefetch out")
  refuse({ batchsize = 1 }, "unknown option 'batchsize'; did you mean 'batch_size'? (known: …")
  check.raises("DataLoader: argument 1: expected a data set…", data.DataLoader, 3)
  check.raises("DataLoader: a tensor of rank 0 has no rows", data.DataLoader, mg.tensor(1))
  check.raises("RandomSampler: num_samples should be a positive whole number, but got num_samples = 0", data.DataLoader,
    data.TensorDataset(mg.zeros(0)), { shuffle = true })
  check.equal(#batches(ds, { batch_size = 3, num_workers = 0, pin_memory = false }), 2)
  check.equal(#data.DataLoader(ds, 3), 2)                -- by position, in PyTorch's order
  check.raises("iter: expected a loader as self, got nil; methods are called with ':'", data.DataLoader(ds).iter)
  local Beyond = data.Sampler "Beyond"
  function Beyond:iter() return { 5 } end
  check.raises("DataLoader: position 5 is out of range: there are 4 samples", batches, ds, { sampler = Beyond() })
  check.raises("TensorDataset: position 5 is out of range: there are 4 samples", batches, ds, { sampler = { 1, 5 } })
  check.raises("DataLoader: a batch_sampler gives lists of positions, but it gave 3", batches, ds, { batch_sampler = { 3 } })
  check.raises("DataLoader: a batch_sampler gives lists of positions, but it gave an empty list", batches, ds, { batch_sampler = { {} } })
end)

check.case("more samples than there can be", function()
  local Endless = data.Dataset "Endless"
  function Endless:len() return math.maxinteger end
  function Endless:get(i) return i end
  local ds, wide = Endless(), mg.zeros(1 << 40, 0)
  check.is_true(not pcall(data.random_split, ds, { 0.5, 0.5 }))
  check.is_true(not pcall(data.random_split, wide, { 0.5, 0.5 }))
  check.is_true(not pcall(function() for _ in data.DataLoader(ds, { shuffle = true }):iter() do end end))
  check.is_true(not pcall(function() for _ in data.DataLoader(ds, { batch_size = math.maxinteger }):iter() do end end))
  check.is_true(not pcall(function() for _ in data.DataLoader(wide, { batch_size = 1 << 39, prefetch = 3 }):iter() do end end))
  check.is_true(not pcall(function() for _ in data.WeightedRandomSampler({ 1 }, 1 << 60):iter() do end end))
  for x in data.DataLoader(ds, { batch_size = 3 }):iter() do
    check.equal(x, mg.tensor { 1, 2, 3 })
    break
  end
  for x in data.DataLoader(ds, { batch_size = 2, sampler = data.RandomSampler(ds, { replacement = true }), drop_last = true }):iter() do
    check.equal(#x, 2)
    break
  end
  local batches = data.DataLoader(mg.arange(3))
  for _, pass in ipairs { { batches = math.maxinteger, pieces = math.maxinteger, first = 1, last = 3 }, { batches = 1, first = 1, last = math.maxinteger },
    { batches = 0, first = math.mininteger, last = 0 }, { batches = 0, rest = {} }, { batches = 0 } } do
    if pcall(batches.load_state_dict, batches, { samples = 3, pass = pass }) then pcall(function() for _ in batches:iter() do end end) end
  end
end)

check.case("samples of one tensor are lists, whatever of tensors they come from", function()
  local ds, seen = data.TensorDataset(mg.arange(3)), {}
  for _, other in ipairs { ds, data.Subset(ds, { 1, 2 }), ds + ds } do
    check.equal(#other[1], 1)
    for n in data.DataLoader(other, { collate_fn = function(samples) return #samples[1] end }):iter() do seen[n] = true end
  end
  check.equal(seen, { true })
  local Own = data.Dataset "Own"
  function Own:init(...) self.tensors = { ... } end
  function Own:len() return #self.tensors[1] end
  function Own:get(i) return self.tensors[1][i] end
  check.equal(Own(mg.arange(3))[2], mg.tensor(1))
end)

check.case("data sets whose length changes", function()
  local ds = Made(6, function(i) return i end)
  local loader = data.DataLoader(ds, { batch_size = 2, shuffle = true })
  ds.n = 8
  check.equal(#loader, 4)
  local count = 0
  for x in loader:iter() do count = count + #x end
  check.equal(count, 8)
  local list = { 1, 2, 3, 4, 5 }
  loader = data.DataLoader(list, { batch_size = 2 })
  check.raises("the data set: get(3) returned nil (the data set has 2 samples now)", function()
    for _ in loader:iter() do list[3], list[4], list[5] = nil, nil, nil end
  end)
end)

return check.done()

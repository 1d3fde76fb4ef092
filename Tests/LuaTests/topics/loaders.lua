-- The order in which loaders give samples, and what they leave in the random streams: PyTorch's, over seeds, sizes of batches and
-- of data sets, samplers and dropped last batches (Fixtures/training/loaders.txt; scripts/fixtures/loaders.py wrote it and tells
-- how to read it). Then passes: stopped and resumed, within each other, read ahead, in coroutines.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local data = mg.data

local function fields(line)
  local list = {}
  for field in (line .. "|"):gmatch "(.-)|" do list[#list + 1] = field:match "^%s*(.-)%s*$" end
  return list
end

local function sampler(kind, ds, generator)
  local n, weights, odd = #ds, {}, {}
  for i = 0, n - 1 do weights[i + 1] = i * 7 % 5 + 0.5 end
  for i = 1, n, 2 do odd[#odd + 1] = i end
  local options = { generator = generator }
  if kind == "replacement" then return data.RandomSampler(ds, { replacement = true, generator = generator }) end
  if kind == "replacement40" then return data.RandomSampler(ds, true, 40, options) end
  if kind == "fewer" then return data.RandomSampler(ds, { num_samples = (n + 1) // 2, generator = generator }) end
  if kind == "more" then return data.RandomSampler(ds, { num_samples = 2 * n + 1, generator = generator }) end
  if kind == "subset" then return data.SubsetRandomSampler(odd, options) end
  if kind == "weighted" then return data.WeightedRandomSampler(weights, n + 3, options) end
  if kind == "weighted_once" then
    return data.WeightedRandomSampler(mg.tensor(weights, { dtype = "float64" }), (n + 1) // 2, { replacement = false, generator = generator })
  end
end

local function loader(ds, kind, size, drop_last, generator, more)
  local options = { generator = generator }
  if kind == "batch_sampler" then
    options.batch_sampler = data.BatchSampler(data.RandomSampler(ds, { generator = generator }), size, drop_last)
  else
    options.batch_size, options.drop_last = size > 0 and size, drop_last
    if kind == "shuffle" then options.shuffle = true else options.sampler = sampler(kind, ds, generator) end
  end
  for key, value in pairs(more or {}) do options[key] = value end
  return data.DataLoader(ds, options)
end

-- The samples of a pass as the fixture has them.
local function given(batches)
  local list = {}
  for x in batches:iter() do
    list[#list + 1] = table.concat(type(x) == "number" and { x } or x:reshape(-1):tolist(), " ")
  end
  return table.concat(list, " / ")
end

-- A data set in Lua, whose samples come by get.
local Numbers = data.Dataset "Numbers"
function Numbers:init(n) self.n = n end
function Numbers:len() return self.n end
function Numbers:get(i) return i end

check.case("orders and streams are PyTorch's", function()
  local count = 0
  for _, line in ipairs(check.lines(check.here .. "../../Fixtures/training/loaders.txt")) do
    local kind, seed, n, size, drop, own, rest = line:match "^(%S+) (%d+) (%d+) (%d+) ([01]) ([01]) :(.*)$"
    if kind then
      count = count + 1
      local first, second, numbers = table.unpack(fields(rest))
      seed, n, size = tonumber(seed), tonumber(n), tonumber(size)
      local variants = { { mg.arange(1, n + 1) }, { mg.arange(1, n + 1), prefetch = 2 }, { data.Subset(data.TensorDataset(mg.arange(0, n + 2)), mg.arange(2, n + 2)) }, { Numbers(n) } }
      for i, variant in ipairs(variants) do
        mg.manual_seed(seed)
        local generator = own == "1" and mg.Generator():manual_seed(seed + 100) or nil
        local batches = loader(variant[1], kind, size, drop == "1", generator, { prefetch = variant.prefetch })
        local found = { given(batches), given(batches) }
        local drawn = mg.randint(1 << 27, { 2 }):tolist()
        if generator then table.move(mg.randint(1 << 27, { 2 }, { generator = generator }):tolist(), 1, 2, 3, drawn) end
        found = table.concat(found, "|") .. "|" .. table.concat(drawn, " ")
        if found ~= table.concat({ first, second, numbers }, "|") then check.fail(("%s (variant %d): %s"):format(line, i, found)) end
        local batch_count = select(2, first:gsub("/", "")) + (first == "" and 0 or 1)
        if #batches ~= batch_count then check.fail(("%s: #loader is %d"):format(line, #batches)) end
      end
    end
  end
  check.is_true(count > 500)
end)

check.case("random_split is PyTorch's", function()
  local count = 0
  for _, line in ipairs(check.lines(check.here .. "../../Fixtures/training/loaders.txt")) do
    local call, rest = line:match "^split (.-) :(.*)$"
    if call then
      count = count + 1
      local words, lengths = check.words(call), {}
      table.move(words, 3, #words, 1, lengths)
      mg.manual_seed(words[1])
      local _, parts = mg.catch_warnings(data.random_split, Numbers(words[2]), lengths)
      local texts = {}
      for i, part in ipairs(parts) do texts[i] = table.concat(part.indices, " ") end
      local expected = fields(rest)
      check.equal(table.concat(texts, " / "):gsub("^ ", ""):gsub(" $", ""), (expected[1]))
      check.equal(table.concat(mg.randint(1 << 27, { 2 }):tolist(), " "), expected[2])
    end
  end
  check.is_true(count > 20)
end)

local function orders(batches)
  local list = {}
  for x in batches:iter() do list[#list + 1] = type(x) == "number" and x or x:tolist() end
  return list
end

check.case("loops over one loader stand within each other", function()
  local batches = data.DataLoader(mg.arange(1, 5), { batch_size = 2 })
  local seen = {}
  for a in batches do
    for b in batches do
      seen[#seen + 1] = a[1]:item() .. b[1]:item()
      if b[1]:item() == 3 then break end
    end
    for b in batches:iter() do seen[#seen + 1] = b[1]:item() break end
  end
  check.equal(seen, { "11", "13", 1, "31", "33", 1 })
  -- Left early, many times: nothing piles up, and the next loop begins anew.
  for _ = 1, 100 do for _ in batches do break end end
  local count = 0
  for _ in batches do count = count + 1 end
  check.equal(count, 2)
  for _ in batches() do count = count + 1 end
  check.equal(count, 4)
  seen = {}
  for i, x in pairs(batches) do seen[i] = x[1]:item() end
  check.equal(seen, { 1, 3 })
end)

check.case("loops in coroutines, and data sets that yield", function()
  local Slow = data.Dataset "Slow"
  function Slow:len() return 4 end
  function Slow:get(i)
    coroutine.yield("reading " .. i)
    return i
  end
  for _, ds in ipairs { mg.arange(1, 5), Slow() } do
    local batches = data.DataLoader(ds, { batch_size = 2 })
    local seen = {}
    local routine = coroutine.wrap(function()
      for x in batches:iter() do coroutine.yield(x:tolist()) end
      for x in batches do coroutine.yield(x:tolist()) end
      return "done"
    end)
    repeat
      local value = routine()
      if type(value) == "table" then seen[#seen + 1] = value end
    until value == "done"
    check.equal(seen, { { 1, 2 }, { 3, 4 }, { 1, 2 }, { 3, 4 } })
  end
end)

-- A pass that stops after `before` batches, whose state is put away, and which another loader goes on with.
local function resumed(make, before)
  mg.manual_seed(3)
  local one = make()
  orders(one)
  local rest, count = {}, 0
  local state, rng
  for x in one:iter() do
    count = count + 1
    if count > before then rest[#rest + 1] = x:tolist() end
    if count == before then state, rng = one:state_dict(), mg.get_rng_state() end
  end
  local following, number = orders(one), mg.rand(1):item()
  -- In between, all is spoilt.
  mg.manual_seed(99)
  local other = make()
  for _ in other:iter() do break end
  other:load_state_dict(state)
  mg.set_rng_state(rng)
  check.equal(other:state_dict().pass.batches, before)
  check.equal(orders(other), rest)
  check.equal(orders(other), following)
  check.equal(mg.rand(1):item(), number)
end

check.case("a pass that was stopped goes on with the same batches", function()
  local Own = data.Sampler "Own"
  function Own:iter() return { 3, 1, 2, 5, 4, 7, 6 } end
  for _, ds in ipairs { mg.arange(1, 12), Numbers(11) } do
    for _, own in ipairs { false, true } do
      for _, kind in ipairs { "sequential", "shuffle", "replacement40", "more", "subset", "weighted", "batch_sampler" } do
        for _, ahead in ipairs { 0, 3 } do
          if ahead == 0 or mg.is_tensor(ds) then
            for _, before in ipairs { 1, 2 } do
              resumed(function()
                return loader(ds, kind, 2, false, own and mg.Generator():manual_seed(1) or nil, { prefetch = ahead })
              end, before)
            end
          end
        end
      end
    end
    resumed(function() return data.DataLoader(ds, { batch_size = 2, sampler = Own() }) end, 2)
    resumed(function() return data.DataLoader(ds, { batch_sampler = { { 1, 2 }, { 3 }, { 5, 4, 6 } } }) end, 1)
  end
end)

check.case("a state goes through a file", function()
  for _, options in ipairs { { shuffle = true }, { generator = mg.Generator(), shuffle = true }, {} } do
    local path = os.tmpname()
    options.batch_size = 3
    local batches, rest = data.DataLoader(mg.arange(10), options), {}
    for x in batches:iter() do
      if #rest == 0 then mg.save({ loader = batches:state_dict(), rng = mg.get_rng_state() }, path) end
      rest[#rest + 1] = x:tolist()
    end
    local following = orders(batches)
    mg.manual_seed(12)
    local saved, again = mg.load(path), data.DataLoader(mg.arange(10), options)
    again:load_state_dict(saved.loader)
    mg.set_rng_state(saved.rng)
    check.equal(orders(again), table.move(rest, 2, #rest, 1, {}))
    check.equal(orders(again), following)
    os.remove(path)
  end
end)

check.case("states between passes, and states that do not fit", function()
  local batches = data.DataLoader(mg.arange(6), { batch_size = 2, shuffle = true })
  check.equal(batches:state_dict().pass, nil)
  orders(batches)
  check.equal(batches:state_dict().pass, nil)
  for _ in batches:iter() do break end
  local state = batches:state_dict()
  check.equal(state.samples, 6)
  check.equal(state.pass.batches, 1)
  check.equal(#state.pass.rest, 4)
  local own = data.DataLoader(mg.arange(6), { generator = mg.Generator() })
  local function load(text, target, change)
    local copy = mg.deepcopy(state)
    if change then change(copy) end
    check.raises("DataLoader.load_state_dict: " .. text, function() target:load_state_dict(copy) end)
  end
  load("the state is of a data set of 6 samples, this one has 5", data.DataLoader(mg.arange(5)))
  load("the loader has a generator, the state has none", own)
  load("the state has no count of samples", batches, function(s) s.samples = nil end)
  load("the state has no count of batches", batches, function(s) s.pass.batches = -1 end)
  load("'pass' is no table but 3", batches, function(s) s.pass = 3 end)
  load("sample 7 is to come, but there are 6", batches, function(s) s.pass.rest = mg.tensor { 1, 7 } end)
  load("position 0 is out of range: positions start at 1", batches, function(s) s.pass.rest = mg.tensor { 0 } end)
  load("a state is a uint8 tensor of 5056 elements, as get_state gives it, got uint8 of shape [3]", batches,
    function(s) s.pass.own_generator = mg.zeros(3, { dtype = "uint8" }) end)
  load("the samples 5 to 9 are to come, but there are 6", batches, function(s) s.pass.first, s.pass.last = 5, 9 end)
  check.raises("DataLoader.load_state_dict: expected what state_dict() gives, got 3", function() batches:load_state_dict(3) end)
  batches:load_state_dict(state)
  check.equal(#orders(batches), 2)
end)

check.case("batches that are read ahead are those that are not", function()
  local x, y = mg.randn(50, 3, 2), mg.arange(50)
  local sliced = mg.randn(50, 8)[{ {}, { 2, 5 } }]
  local turned = mg.randn(4, 50):t()
  local parts = data.TensorDataset(x, y, sliced, turned, x:half(), mg.rand(50):gt(0.5))
  for _, ds in ipairs { parts, data.Subset(parts, { 4, 4, 50, 1, 2, 3, 9 }), parts + data.Subset(parts, { 7, 8 }) } do
    local function pass(ahead)
      mg.manual_seed(5)
      local list = {}
      for a, b, c, d, e, f in data.DataLoader(ds, { batch_size = 4, shuffle = true, prefetch = ahead }):iter() do
        list[#list + 1] = { a, b, c, d, e, f }
      end
      return list
    end
    local plain = pass(0)
    check.equal(plain[1][1]:equal(x:index_select(1, plain[1][2] + 1)), true)
    check.equal(plain[1][3]:equal(sliced:index_select(1, plain[1][2] + 1)), true)
    check.equal(plain[1][4]:equal(turned:index_select(1, plain[1][2] + 1)), true)
    for _, ahead in ipairs { 1, 7, 1000 } do check.equal(pass(ahead), plain) end
  end
end)

check.case("loops that read ahead can be left, and their tensors freed", function()
  local before
  for i = 1, 200 do
    local x = mg.randn(1000, 100)
    for batch in data.DataLoader(x, { batch_size = 100, prefetch = 5 }):iter() do
      if i % 2 == 0 then break end
      x:free()
      check.equal(batch.shape[1], 100)
      break
    end
    local step = data.DataLoader(mg.randn(1000, 100), { batch_size = 100, prefetch = 5 }):iter()
    if i % 3 == 0 then step = nil end
    if i == 100 then
      collectgarbage()
      before = mg.memory().live
    end
  end
  collectgarbage()
  check.is_true(mg.memory().live <= before + 2000000)
  local x = mg.randn(100, 10)
  check.raises("TensorDataset: position 6 is out of range: there are 0 samples", function()
    for _ in data.DataLoader(x, { batch_size = 5, prefetch = 0 }):iter() do x:free() end
  end)
end)

check.case("errors in a pass leave the loader usable", function()
  local fails = true
  local Broken = data.Dataset "Broken"
  function Broken:len() return 4 end
  function Broken:get(i)
    if i == 3 and fails then error("no sample " .. i) end
    return i
  end
  local batches = data.DataLoader(Broken(), { batch_size = 2 })
  local message = check.message_of(function() for _ in batches:iter() do end end)
  check.mentions(message, "loaders.lua:" , "no sample 3")
  fails = false
  check.equal(orders(batches), { { 1, 2 }, { 3, 4 } })
end)

check.case("gradients reach tensors that are loaded", function()
  local w = mg.ones(4, { requires_grad = true })
  for _, ahead in ipairs { 0, 2 } do
    local sum = 0
    for x in data.DataLoader(w, { batch_size = 3, prefetch = ahead }):iter() do sum = sum + (x * x):sum() end
    w.grad = nil
    sum:backward()
    check.elements(w.grad, { 2, 2, 2, 2 })
  end
end)

check.case("a model learns from a loader", function()
  mg.manual_seed(0)
  local x = mg.randn(200, 5)
  local y = x:matmul(mg.tensor { { 1.0 }, { -2.0 }, { 0.5 }, { 0.0 }, { 3.0 } })
  local train, test = table.unpack(data.random_split(data.TensorDataset(x, y), { 0.8, 0.2 }))
  local net = mg.nn.Linear(5, 1)
  local opt, loss_fn = mg.optim.SGD(net:parameters(), { lr = 0.1 }), mg.nn.MSELoss()
  for _ = 1, 20 do
    for inputs, targets in data.DataLoader(train, { batch_size = 16, shuffle = true }):iter() do
      opt:zero_grad()
      loss_fn(net(inputs), targets):backward()
      opt:step()
    end
  end
  for inputs, targets in data.DataLoader(test, { batch_size = 40 }):iter() do
    check.is_true(loss_fn(net(inputs), targets):item() < 1e-6)
  end
end)

return check.done()

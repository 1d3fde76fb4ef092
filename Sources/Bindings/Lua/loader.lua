-- mg.data.DataLoader: passes over a data set (see data.lua), and where they stand.

local native, mg, _, shared = ...
local data = mg.data
local format, unpack, pack, raise, tointeger = string.format, table.unpack, table.pack, native.raise, math.tointeger
local shown, is_list, kind_of, length_of, values_at = shared.shown, shared.is_list, shared.kind_of, shared.length_of, shared.values_at

-- Kept aside, so that copies of a loader begin with none: the last pass of each, and the state that its next pass goes on from.
local current, resumed = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "k" })

local Loader = {}
local meta
local known = { "batch_size", "shuffle", "sampler", "batch_sampler", "num_workers", "collate_fn", "pin_memory", "drop_last", "generator", "prefetch" }

--[=[ mg.data.DataLoader(dataset, { batch_size = 1, shuffle = false, sampler, batch_sampler, collate_fn, drop_last = false, generator, prefetch = 0 })

Batches of a data set for loops, each loop a pass. The order is PyTorch's for the same seed.

  batch_size: how many samples a batch has; false for single samples, as they are
  shuffle: whether each pass has another order
  sampler: the order: a sampler, a list or tensor of positions, or a function that gives a loop of them
  batch_sampler: the batches: a BatchSampler, a list of lists, or a function that gives a loop of lists
  collate_fn: makes a batch of a list of samples, each a value or a list of values; else default_collate does
  drop_last: whether a last batch that is smaller is left out
  generator: where random numbers come from, instead of the session's
  prefetch: how many batches are read ahead on another thread: of tensors only (TensorDataset, Subset, ConcatDataset) in an order of
    the samplers here, since what a script wrote runs on the script's thread, and prefetch raises there

A loop is  for x, y in loader:iter() do, or  for x, y in loader do;  for i, x, y in pairs(loader) do  counts. #loader is how many batches
there are.

Example:
  local ds = mg.data.TensorDataset(mg.randn(10, 3), mg.randint(1, 3, { 10 }))
  local loader = mg.data.DataLoader(ds, { batch_size = 4, shuffle = true })
  for x, y in loader:iter() do print(x.shape, y.shape) end
  print(#loader)
]=]
function data.DataLoader(dataset, ...)
  local name = "DataLoader"
  local given = shared.options(name, known, ...)
  local self = { dataset = shared.expect_dataset(name, dataset) }
  local shuffle = shared.flag(name, "shuffle", given.shuffle)
  self.drop_last = shared.flag(name, "drop_last", given.drop_last)
  self.generator = shared.generator(name, given.generator)
  self.collate_fn = given.collate_fn
  if given.collate_fn ~= nil and type(given.collate_fn) ~= "function" then
    raise("DataLoader: option 'collate_fn': expected a function, got " .. shown(given.collate_fn))
  end
  if given.num_workers ~= nil and shared.count(name, "num_workers", given.num_workers, 0) > 0 then
    raise "DataLoader: there are no worker processes; prefetch = n reads n batches ahead on another thread"
  end
  shared.flag(name, "pin_memory", given.pin_memory)
  if given.sampler ~= nil then
    if shuffle then raise "DataLoader: sampler option is mutually exclusive with shuffle" end
    self.sampler = shared.expect_sampler(name, "option 'sampler'", given.sampler)
  end
  if given.batch_sampler ~= nil then
    if (given.batch_size ~= nil and given.batch_size ~= 1) or shuffle or given.sampler ~= nil or self.drop_last then
      raise "DataLoader: batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
    end
    self.batch_sampler = shared.expect_sampler(name, "option 'batch_sampler'", given.batch_sampler)
  elseif given.batch_size == false then
    if self.drop_last then raise "DataLoader: batch_size = false disables batches and is mutually exclusive with drop_last" end
    self.batch_size = false
  else
    self.batch_size = given.batch_size == nil and 1 or shared.count(name, "batch_size", given.batch_size, 1)
  end
  if not self.sampler and not self.batch_sampler then
    self.sampler = shuffle and shared.RandomSampler(dataset, { generator = self.generator }) or shared.SequentialSampler(dataset)
  end
  self.prefetch = given.prefetch == nil and 0 or shared.count(name, "prefetch", given.prefetch, 0)
  setmetatable(self, meta)
  if self.prefetch > 0 then
    local what = self.collate_fn and "a collate_fn" or self:_order() == nil and "a sampler that a script wrote"
      or shared.source_of(dataset) == nil and "a data set that a script wrote"
    if what then
      raise(format("DataLoader: prefetch reads tensors on another thread, and %s runs on the script's; leave prefetch out", what))
    end
  end
  return self
end

-- How Swift goes through the positions: a sampler's description, the batch size (false for single ones) and whether the last is
-- dropped; nil where a script's sampler does.
function Loader:_order()
  local batches = self.batch_sampler
  if batches then
    if kind_of(batches) ~= "batch_sampler" then return nil end
    return shared.described(batches.sampler), batches.batch_size, batches.drop_last
  end
  return shared.described(self.sampler), self.batch_size, self.drop_last
end

-- Samples -------------------------------------------------------------------------------------------------------

-- With `as_list`, a single value is a list too.
local function sample(dataset, position, as_list)
  local value = shared.sample_of(dataset, position, values_at(dataset, position))
  return as_list and not is_list(value) and { value } or value
end

-- A batch must be something, since nil ends a loop.
local function checked(first, ...)
  if first == nil then raise "DataLoader: the collate_fn returned nil, which would end the loop" end
  return first, ...
end

-- What stands for the samples at some positions, a list, or at one.
local function fetched(self, source, positions)
  local dataset, collate_fn = self.dataset, self.collate_fn
  if type(positions) == "number" then
    if source and not collate_fn then return native.sample(source, positions) end
    local value = sample(dataset, positions, shared.gives_lists(dataset))
    if collate_fn then return checked(collate_fn(value)) end
    if is_list(value) and #value > 0 then return unpack(value) end
    return value
  end
  if source and not collate_fn then return native.gather(source, positions) end
  local batch, as_list = {}, shared.gives_lists(dataset)
  for i, position in ipairs(positions) do batch[i] = sample(dataset, position, as_list) end
  if collate_fn then return checked(collate_fn(batch)) end
  return shared.collated(batch, function(i) return "sample " .. positions[i] end)
end

-- Positions that a script's sampler gave: one, or a list or tensor of some.
local function checked_positions(self, given, is_batch)
  local length = length_of(self.dataset)
  if not is_batch then return shared.in_range("DataLoader", given, length) end
  if shared.is_tensor(given) then given = given:tolist() end
  if not is_list(given) or #given == 0 then
    raise("DataLoader: a batch_sampler gives lists of positions, but it gave " .. (is_list(given) and "an empty list" or shown(given)))
  end
  local list = {}
  for i, position in ipairs(given) do list[i] = shared.in_range("DataLoader", position, length) end
  return list
end

-- Passes --------------------------------------------------------------------------------------------------------

-- Begins a pass, or goes on with one. Gives a function, its state, no control value, and what is closed when the loop is left.
local function begin(self)
  local state = resumed[self]
  resumed[self] = nil
  -- PyTorch's loader draws a seed for workers, also where there are none; a pass that goes on has drawn it.
  if not state then native.draw_seed(self.generator) end
  local source = shared.source_of(self.dataset)
  local description, size, drop_last = self:_order()
  if description then
    local native_source = not self.collate_fn and source or nil
    local pass = native.begin_pass(description, size, drop_last, native_source, self.prefetch, state, length_of(self.dataset))
    current[self] = { pass = pass }
    if native_source then
      local guard = self.prefetch > 0 and setmetatable({}, { __close = function() native.close_pass(pass) end }) or nil
      return native.next_batch, pass, nil, guard
    end
    local is_single = size == false
    return function()
      local positions = native.next_positions(pass)
      if positions then return fetched(self, source, is_single and positions[1] or positions) end
    end
  end
  -- A script's sampler.
  local run = { batches = 0 }
  current[self] = run
  local is_batch = self.batch_size ~= false
  local next_positions
  if self.batch_sampler and is_list(self.batch_sampler) then
    local list, i = self.batch_sampler, 0
    next_positions = function()
      i = i + 1
      return list[i]
    end
  elseif self.batch_sampler then
    if kind_of(self.batch_sampler) == "batch_sampler" then next_positions = self.batch_sampler:iter()
    else next_positions = shared.stream_of(self.batch_sampler) end
  elseif is_batch then
    next_positions = shared.batches_of(self.sampler, self.batch_size, self.drop_last)
  else
    next_positions = shared.stream_of(self.sampler)
  end
  for _ = 1, state and state.batches or 0 do
    if next_positions() == nil then break end
    run.batches = run.batches + 1
  end
  return function()
    local given = next_positions()
    if given == nil then
      run.is_over = true
      return nil
    end
    run.batches = run.batches + 1
    return fetched(self, source, checked_positions(self, given, is_batch))
  end
end

local function expect_loader(self, name)
  if kind_of(self) ~= "loader" then
    raise(format("%s: expected a loader as self, got %s; methods are called with ':'", name, shown(self)))
  end
  return self
end

function Loader:iter() return begin(expect_loader(self, "iter")) end

local function length(self)
  local batches = self.batch_sampler
  if batches then return shared.sampler_length(batches, "batch_sampler") end
  local samples = shared.sampler_length(self.sampler, "sampler")
  return self.batch_size and shared.batch_count(samples, self.batch_size, self.drop_last) or samples
end

-- State ---------------------------------------------------------------------------------------------------------

-- The generators that a loader draws from, by the names that its state has for them.
local function generators(self)
  local sampler = self.batch_sampler or self.sampler
  if kind_of(sampler) == "batch_sampler" then sampler = sampler.sampler end
  local list = { generator = self.generator }
  if kind_of(sampler) == "sampler" then list.sampler_generator = rawget(sampler, "generator") end
  return list
end

function Loader:state_dict()
  expect_loader(self, "state_dict")
  local state = { samples = length_of(self.dataset) }
  local run = current[self]
  if resumed[self] then
    state.pass = {}
    for key, value in pairs(resumed[self]) do state.pass[key] = value end
  elseif run and run.pass then
    state.pass = native.pass_state(run.pass)
  elseif run and not run.is_over then
    state.pass = { batches = run.batches }
  end
  for name, generator in pairs(generators(self)) do state[name] = generator:get_state() end
  return state
end

function Loader:load_state_dict(state)
  expect_loader(self, "load_state_dict")
  local name = "DataLoader.load_state_dict"
  if type(state) ~= "table" then raise(format("%s: expected what state_dict() gives, got %s", name, shown(state))) end
  local samples, pass = tointeger(state.samples), state.pass
  if not samples then raise(format("%s: the state has no count of samples", name)) end
  if samples ~= length_of(self.dataset) then
    raise(format("%s: the state is of a data set of %d samples, this one has %d", name, samples, length_of(self.dataset)))
  end
  if pass ~= nil and type(pass) ~= "table" then raise(format("%s: 'pass' is no table but %s", name, shown(pass))) end
  if pass and not (math.type(pass.batches) == "integer" and pass.batches >= 0) then
    raise(format("%s: the state has no count of batches", name))
  end
  local own = generators(self)
  for _, which in ipairs { "generator", "sampler_generator" } do
    if (own[which] == nil) ~= (state[which] == nil) then
      raise(format("%s: %s has a %s, %s has none", name, own[which] and "the loader" or "the state", which, own[which] and "the state" or "the loader"))
    end
  end
  local copy
  if pass then
    copy = {}
    for key, value in pairs(pass) do copy[key] = value end
    -- What is wrong with it is said now.
    local description, size, drop_last = self:_order()
    if description then native.begin_pass(description, size, drop_last, nil, 0, copy, length_of(self.dataset)) end
  end
  for which, generator in pairs(own) do generator:set_state(state[which]) end
  resumed[self], current[self] = copy, nil
end

meta = {
  __name = "DataLoader",
  __index = Loader,
  __len = length,
  __call = shared.looped(begin),
  __pairs = function(self)
    local step, state, control, guard = begin(self)
    local function counted(i, first, ...)
      if first == nil then return nil end
      control = first
      return i, first, ...
    end
    return function(_, i) return counted((i or 0) + 1, step(state, control)) end, nil, nil, guard
  end,
  __tostring = function(self)
    return format("DataLoader(%d samples, %s)", length_of(self.dataset),
      self.batch_size and format("batch_size=%d", self.batch_size) or self.batch_sampler and "batches of a batch_sampler" or "single samples")
  end,
}
shared.kinds[meta] = "loader"

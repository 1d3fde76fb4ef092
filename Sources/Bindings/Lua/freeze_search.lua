-- mg.freeze_search: which blocks of a model can be frozen, found by training it.

local native, mg, nn, shared = ...
local format, concat, match = string.format, table.concat, string.match
local raise, found, options = shared.raise, shared.found, shared.options
local identity = native.identity

-- The model as it came --------------------------------------------------------------------------------------------

-- What training may change: elements, gradients, which parameters are frozen, modes. Gives a function that brings all of it back.
local function remembered(net)
  local tensors, modules = {}, {}
  for _, kind in ipairs { "parameter", "buffer" } do
    for _, entry in ipairs(native["named_" .. kind .. "s"](net)) do
      local tensor = entry[2]
      tensors[#tensors + 1] = { name = entry[1], reader = native["get_" .. kind], tensor = tensor, version = tensor._version,
        bits = tensor:detach():clone(), grad = tensor.grad }
    end
  end
  for _, entry in ipairs(native.named_modules(net)) do
    modules[#modules + 1] = { name = entry[1], module = entry[2], training = entry[2].training }
  end
  local frozen = mg.freeze_state(net)
  return function(gradients)
    for _, entry in ipairs(modules) do
      local ok, now = pcall(native.get_submodule, net, entry.name)
      if not ok or now ~= entry.module and identity(now) ~= identity(entry.module) then
        raise("freeze_search: training put something else in the place of the module '%s', and it cannot be brought back", entry.name)
      end
    end
    local _ <close> = mg.no_grad()
    for _, entry in ipairs(tensors) do
      local there, now = pcall(entry.reader, net, entry.name)
      local path, name = match(entry.name, "^(.-)%.?([^.]+)$")
      local owner = native.get_submodule(net, path)
      if not there or identity(now) ~= identity(entry.tensor) then native.replace(owner, name, entry.tensor) end
      local is_converted = entry.tensor.dtype ~= entry.bits.dtype
      if is_converted then native.to(owner, entry.bits.dtype) end
      -- What was not written to may be guarded.
      if is_converted or entry.tensor._version ~= entry.version then entry.tensor:copy_(entry.bits) end
      entry.version = entry.tensor._version
      if entry.tensor.is_leaf then entry.tensor.grad = gradients and entry.grad or nil end
    end
    mg.load_freeze_state(net, frozen)
    for _, entry in ipairs(modules) do entry.module.training = entry.training end
  end
end

-- How to bring back models whose search was interrupted: nothing runs then that could have done it.
local unfinished = setmetatable({}, { __mode = "k" })

-- Blocks ------------------------------------------------------------------------------------------------------------

-- What a list of blocks has, as patterns: names, modules by the paths that they have in the model, and lists of these.
local function named(net, block, place)
  if type(block) == "string" then return block end
  for _, entry in ipairs(native.named_modules(net)) do
    if entry[2] == block or native.kind_of(block) == "Module" and native.kind_of(entry[2]) == "Module" and identity(entry[2]) == identity(block) then
      return entry[1]
    end
  end
  if type(block) == "table" and getmetatable(block) == nil and #block > 0 then
    local parts = {}
    for i, part in ipairs(block) do parts[i] = named(net, part, place) end
    return parts
  end
  raise("freeze_search: block %d: expected a pattern of names, a module of the model, or a list of these, got %s", place, found(block))
end

local function blocks_of(net, given, level)
  local list = {}
  if given == nil then
    for _, entry in ipairs(native.named_children(net)) do
      if #native.named_parameters(entry[2]) > 0 then list[#list + 1] = { name = entry[1], what = entry[1] } end
    end
  else
    if type(given) ~= "table" or #given == 0 then raise("freeze_search: blocks must be a list of patterns or modules, got %s", found(given)) end
    for i, block in ipairs(given) do
      local what = named(net, block, i)
      list[i] = { name = type(what) == "table" and concat(what, " + ") or what == "" and "all" or what, what = what == "" and "*" or what }
    end
  end
  -- Blocks that are frozen already are none to be found.
  local free, state = {}, mg.freeze_state(net)
  for _, block in ipairs(list) do
    local before = mg.summary(net).trainable
    local total = mg.freeze(net, block.what, { level = level }).trainable
    mg.load_freeze_state(net, state)
    if total < before then
      block.count = before - total
      free[#free + 1] = block
    end
  end
  if #free < 2 then
    raise("freeze_search: there %s; name smaller ones, such as blocks = { \"layers.0\", \"layers.1\", \"head\" }",
      #free == 0 and "is no block that is trained" or format("is one block that is trained, %s", free[1].name))
  end
  return free
end

-- Results -----------------------------------------------------------------------------------------------------------

local Result = {}
Result.__index, Result.__name = Result, "FreezeSearch"

local function result(self, what)
  if getmetatable(self) ~= Result then raise("%s: expected what freeze_search gave as self, got %s; methods are called with ':'", what, found(self)) end
  return self
end

local function share(row) return format("%.1f %%", row.share * 100) end

function Result.__tostring(self)
  local rows = { { "frozen", "trained", "metric", "difference", "seconds", "" } }
  for _, row in ipairs(self.rows) do
    rows[#rows + 1] = {
      #row.frozen == 0 and "(nothing)" or concat(row.frozen, ", "), share(row), row.metric and shared.short(row.metric) or "-",
      row.difference and format("%+.4g", row.difference) or "-", format("%.2f", row.seconds),
      row == self.best and "best" or row.error and "failed" or row.kept and "kept" or #row.frozen > 0 and row.within and "within" or "",
    }
  end
  local text = shared.aligned(rows)
  local best = self.best
  text = text .. (#best.frozen == 0
    and format("\nnothing can be frozen within %s: all of it is trained", shared.short(self.tolerance))
    or format("\nfreeze %s: %s are trained, and the metric is %s, %+.4g", concat(best.frozen, ", "), share(best), shared.short(best.metric), best.difference))
  for _, row in ipairs(self.rows) do
    if row.error then text = text .. format("\nfailed: %s: %s", concat(row.frozen, ", "), row.error) end
  end
  return text
end

function Result.save_csv(self, path)
  result(self, "save_csv")
  local logger <close> = mg.loggers.CSVLogger(path, { columns = { "frozen", "trainable", "share", "metric", "difference", "seconds", "kept", "error" } })
  for _, row in ipairs(self.rows) do
    logger:log { frozen = concat(row.frozen, " "), trainable = row.trainable, share = row.share, metric = row.metric, difference = row.difference,
      seconds = row.seconds, kept = row.kept and 1 or 0, error = row.error }
  end
end

function Result.apply(self, net, ...)
  result(self, "apply")
  local set = options("apply", { { "level", self.level } }, ...)
  if #self.best.what == 0 then return nil end
  return mg.freeze(net == nil and self.net or net, self.best.what, { level = set.level })
end

-- Searching ---------------------------------------------------------------------------------------------------------

-- What one training with some blocks frozen gives.
local function trial(search, blocks)
  local set, net = search.set, search.net
  local row = { frozen = {}, what = {} }
  for i, block in ipairs(blocks) do
    row.frozen[i] = block.name
    for _, pattern in ipairs(type(block.what) == "table" and block.what or { block.what }) do row.what[#row.what + 1] = pattern end
  end
  local began = mg.clock()
  local sum = 0
  for _, seed in ipairs(search.seeds) do
    search.restore()
    if #row.what > 0 then mg.freeze(net, row.what, { level = set.level }) end
    local summary = mg.summary(net)
    row.trainable, row.share = summary.trainable, summary.total > 0 and summary.trainable / summary.total or 0
    mg.manual_seed(seed)
    local ok, value = pcall(function()
      set.train(net)
      return mg.no_grad(function() return (set.evaluate(net)) end)
    end)
    if ok and mg.is_tensor(value) and value:numel() == 1 then value = value:item() end
    if ok and type(value) ~= "number" then ok, value = false, format("evaluate must give a number, got %s", found(value)) end
    if not ok then
      row.error = shared.error_text(value)
      break
    end
    sum = sum + value
  end
  row.seconds = mg.clock() - began
  if not row.error then
    row.metric = sum / #search.seeds
    if search.base then row.difference = row.metric - search.base.metric end
    -- Not a number is within nothing.
    local loss = row.difference and (set.higher_is_better and -row.difference or row.difference) or 0
    row.within = loss <= set.tolerance
  end
  search.rows[#search.rows + 1] = row
  if search.bar then search.done = search.bar(nil, search.done) end
  return row
end

-- Whether a row is better than another, or as good and trains less.
local function is_better(search, row, other)
  if not other then return true end
  if row.metric ~= other.metric then return (row.metric > other.metric) == search.set.higher_is_better end
  return row.trainable < other.trainable
end

-- Freezes one more block at a time: of all that could be next, the one with which the metric is best.
local function greedy(search)
  local chosen, left = {}, { table.unpack(search.blocks) }
  while #left > 1 do
    local best, place
    for i, block in ipairs(left) do
      local blocks = { table.unpack(chosen) }
      blocks[#blocks + 1] = block
      local row = trial(search, blocks)
      if row.within and row.trainable > 0 and is_better(search, row, best) then best, place = row, i end
    end
    if not best then break end
    best.kept = true
    chosen[#chosen + 1] = table.remove(left, place)
  end
end

-- The norms of gradients relative to those of the weights, block by block, over batches.
local function gradients(search)
  local set, net, sums = search.set, search.net, {}
  local members, state = {}, mg.freeze_state(net)
  for i, block in ipairs(search.blocks) do
    members[i] = {}
    for _, name in ipairs(mg.freeze(net, block.what, { level = set.level }).names) do members[i][#members[i] + 1] = net:get_parameter(name) end
    mg.load_freeze_state(net, state)
    sums[i] = 0
  end
  search.restore()
  mg.manual_seed(search.seeds[1])
  for batch = 1, set.batches do
    net:zero_grad()
    local loss = set.loss(net, batch)
    if not mg.is_tensor(loss) or loss:numel() ~= 1 then raise("freeze_search: loss must give a loss, a tensor of one element, got %s", found(loss)) end
    loss:backward()
    local _ <close> = mg.no_grad()
    for i, list in ipairs(members) do
      local slope, size = 0, 0
      for _, p in ipairs(list) do
        if p.requires_grad then
          size = size + p:double():pow(2):sum():item()
          if p.grad then slope = slope + p.grad:double():pow(2):sum():item() end
        end
      end
      sums[i] = sums[i] + math.sqrt(slope) / math.max(math.sqrt(size), 1e-12) / set.batches
    end
  end
  -- What has no number is frozen last.
  for i, sum in ipairs(sums) do if sum ~= sum then sums[i] = math.huge end end
  return sums
end

-- Freezes blocks in the order of their gradients, from the smallest on.
local function by_gradient(search)
  local scores = gradients(search)
  local order = {}
  for i, block in ipairs(search.blocks) do
    block.score = scores[i]
    order[i] = i
  end
  table.sort(order, function(a, b)
    if scores[a] ~= scores[b] then return scores[a] < scores[b] end
    return a < b
  end)
  local chosen = {}
  for i = 1, #order - 1 do
    chosen[i] = search.blocks[order[i]]
    local row = trial(search, chosen)
    row.score = chosen[i].score
    if not row.within or row.trainable == 0 then break end
    row.kept = true
  end
end

--[=[ mg.freeze_search(net, { train, evaluate, blocks, tolerance = 0.01, mode = "greedy", … })

What of a model can be frozen? Trains it with more and more blocks frozen, each time from where it is now and with the same seeds, for as
long as the metric is within a tolerance of what it is with nothing more frozen. The model, its gradients, what is frozen in it and the random
stream are as before afterwards. (Ctrl-C leaves the model as the training had it; the next search of it begins by bringing it back.)

Options:
  train: a function of the model that trains it; it makes its optimizer itself
  evaluate: a function of the model that gives a number; it is called under no_grad
  higher_is_better = true: false where the number is a loss
  tolerance = 0.01: how much worse it may be, in its own unit
  blocks: a list of patterns or modules, or lists of these that are frozen together; the model's direct parts that have parameters unless given
  mode = "greedy": tries every block as the next to be frozen, and keeps the one with which the metric is best: up to n (n + 1) / 2
    trainings for n blocks. "gradient": in the order of the gradients' norms relative to the weights', from the smallest on: n trainings at most
  loss: for "gradient": a function of the model and a number that gives the loss of the batch of that number
  batches = 4: how many batches loss is called for
  seeds = 1: a list, or how many; with several, the mean of the metric counts
  level = "grad": or "full", as for mg.freeze
  progress = true: whether a bar shows how far it is

At least one block stays trained. A training that raises, or ends with a metric that is no number, is not chosen, and the table says so. The result
prints as a table, and has rows, base (with nothing frozen), best (of what is within the tolerance, that which trains least) and blocks; rows have
frozen, trainable, share, metric, difference, seconds, within, kept, error. apply([net]) freezes what is best, and save_csv(path) writes the rows.

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(1, 8), mg.nn.ReLU(), mg.nn.Linear(8, 8), mg.nn.ReLU(), mg.nn.Linear(8, 1))
  local x = mg.linspace(-1, 1, 20):view(-1, 1)
  local function loss(net) return mg.nn.functional.mse_loss(net(x), x:pow(2)) end
  local search = mg.freeze_search(net, {
    train = function(net)
      local opt = mg.optim.Adam(net:parameters(), { lr = 0.01 })
      for step = 1, 50 do
        opt:zero_grad()
        loss(net):backward()
        opt:step()
      end
    end,
    evaluate = loss, higher_is_better = false, tolerance = 0.02,
  })
  print(search)
  search:apply(net)
]=]
function mg.freeze_search(net, ...)
  local set = options("freeze_search", {
    { "train" }, { "evaluate" }, { "blocks" }, { "tolerance", 0.01 }, { "mode", "greedy" }, { "higher_is_better", true }, { "loss" },
    { "batches", 4 }, { "seeds" }, { "level", "grad" }, { "progress", true },
  }, ...)
  if native.kind_of(net) ~= "Module" and not (type(net) == "table" and pcall(native.named_modules, net)) then
    raise("freeze_search: argument 1: expected a module, got %s", found(net))
  end
  for _, name in ipairs { "train", "evaluate" } do
    if type(set[name]) ~= "function" then raise("freeze_search: %s must be a function of the model, got %s", name, found(set[name])) end
  end
  if not (set.tolerance >= 0) then raise("freeze_search: tolerance must be a number from 0 on, got %s", found(set.tolerance)) end
  local search_by = ({ greedy = greedy, gradient = by_gradient })[set.mode]
  if not search_by then raise("freeze_search: mode must be \"greedy\" or \"gradient\", got %s", found(set.mode)) end
  if set.mode == "gradient" and type(set.loss) ~= "function" then
    raise("freeze_search: mode \"gradient\" needs loss, a function of the model and a batch's number, got %s", found(set.loss))
  end
  if not math.tointeger(set.batches) or set.batches < 1 then raise("freeze_search: batches must be a count from 1 on, got %s", found(set.batches)) end
  if set.level ~= "grad" and set.level ~= "full" then raise("freeze_search: level must be \"grad\" or \"full\", got %s", found(set.level)) end
  if unfinished[net] then unfinished[net](true) end
  local search = setmetatable({
    net = net, set = set, seeds = shared.seeds("freeze_search", set.seeds == nil and 1 or set.seeds), rows = {}, tolerance = set.tolerance,
    level = set.level, restore = remembered(net),
  }, Result)
  local random = mg.get_rng_state()
  unfinished[net] = search.restore
  local _ <close> = setmetatable({}, { __close = function()
    unfinished[net] = nil
    search.restore(true)
    mg.set_rng_state(random)
    if search.bar then search.bar:close() end
    search.restore, search.bar, search.done, search.set = nil, nil, nil, nil
  end })
  search.blocks = blocks_of(net, set.blocks, set.level)
  local n = #search.blocks
  if set.progress then search.bar = mg.progress(set.mode == "greedy" and n * (n + 1) // 2 or n, { desc = "freeze_search" }) end
  if search.bar then search.done = search.bar(nil, nil) end
  local base = trial(search, {})
  if base.error then raise("freeze_search: training with nothing frozen failed: %s", base.error) end
  if base.metric ~= base.metric then raise "freeze_search: with nothing frozen, the metric is not a number" end
  base.difference = 0
  search.base, search.best = base, base
  search_by(search)
  -- Of all that is within the tolerance, what trains least.
  for _, row in ipairs(search.rows) do
    if row.within and row.trainable > 0 then
      local best = search.best
      if row.trainable < best.trainable or row.trainable == best.trainable and is_better(search, row, best) then search.best = row end
    end
  end
  return search
end

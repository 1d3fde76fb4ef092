-- Experiments: the same seeds for every variant, on all processors.

local native, mg, nn, shared, Result = ...
local format = string.format
local raise, found, options = shared.raise, shared.found, shared.options

-- What is asked for ---------------------------------------------------------------------------------------------------

-- A list of seeds, or how many, as a list.
function shared.seeds(what, given)
  local seeds = given
  if math.type(given) == "integer" and given > 0 then
    seeds = {}
    for i = 1, given do seeds[i] = i end
  end
  if type(seeds) ~= "table" or #seeds == 0 then raise("%s: seeds must be a list of whole numbers, or how many, got %s", what, found(given)) end
  local seen = {}
  for _, seed in ipairs(seeds) do
    if math.type(seed) ~= "integer" then raise("%s: seeds are whole numbers, got %s", what, found(seed)) end
    if seen[seed] then raise("%s: the seed %d comes a second time", what, seed) end
    seen[seed] = true
  end
  return { table.unpack(seeds) }
end

local function names_of(set)
  local names = {}
  for name, variant in pairs(set.variants) do
    if type(name) ~= "string" then raise("experiment: variants have names, got the key %s", found(name)) end
    if type(variant) ~= "table" then raise("experiment: the variant %s must be a table, got %s", name, found(variant)) end
    if variant.freeze ~= nil and not set.build then raise("experiment: freeze of %s is applied to what build makes: give a build", name) end
    names[#names + 1] = name
  end
  table.sort(names, function(a, b)
    if (a == "none") ~= (b == "none") then return a == "none" end
    return a < b
  end)
  if set.order == nil then return names end
  if type(set.order) ~= "table" or #set.order ~= #names then raise "experiment: order must name every variant once" end
  local once = {}
  for _, name in ipairs(set.order) do
    if set.variants[name] == nil or once[name] then raise("experiment: order must name every variant once, got %s", found(name)) end
    once[name] = true
  end
  return { table.unpack(set.order) }
end

local function count_of(set, name, default)
  local count = set[name]
  if count == nil then return default end
  if math.type(count) ~= "integer" or count < 1 or count > 256 then
    raise("experiment: %s must be a whole number from 1 to 256, got %s", name, found(count))
  end
  return count
end

-- One run --------------------------------------------------------------------------------------------------------------

-- What an error says.
local function text_of(problem)
  if type(problem) == "string" or type(problem) == "number" then return tostring(problem) end
  local meta = getmetatable(problem)
  if type(meta) == "table" and meta.__tostring then
    local ok, text = pcall(tostring, problem)
    if ok then return text end
  end
  return "an error that is no text but " .. found(problem)
end
shared.error_text = text_of

-- What a run gave as text, or nil and what is wrong with it.
local function packed(given)
  if type(given) == "number" or mg.is_tensor(given) then given = { value = given } end
  if type(given) ~= "table" then return nil, format("run must give a table of numbers by names, got %s", found(given)) end
  for name in next, given do
    if type(name) ~= "string" then return nil, format("run must give a table of numbers by names, got the key %s", found(name)) end
  end
  if next(given) == nil then return "{}" end
  local text, problem = native.pack(given)
  if text then return text end
  return nil, format("run must give numbers, texts, booleans, tensors, and tables of these: %s", problem)
end

-- The run of a variant with a seed as a line of text, which is all that is left of it: so it says the same whether it ran here, in another
-- process, or yesterday.
local function run_line(set, job)
  local function run()
    mg.manual_seed(job.seed)
    math.randomseed(job.seed)
    local variant = set.variants[job.name]
    if not set.build then return set.run(variant, job.seed) end
    local net = set.build(variant, job.seed)
    if variant.freeze ~= nil then mg.freeze(net, variant.freeze, { level = variant.level or "grad" }) end
    return set.run(net, variant, job.seed)
  end
  local began = mg.clock()
  local ok, given = pcall(run)
  local seconds = mg.clock() - began
  local text, problem
  if ok then text, problem = packed(given) else problem = text_of(given) end
  local outcome = text and '"metrics":' .. text or '"error":' .. native.pack(problem)
  return format('{"variant":%s,"settings":%s,"seed":%d,"threads":%d,"seconds":%s,%s}', native.pack(job.name), job.settings, job.seed, set.threads,
    native.pack(seconds), outcome)
end

-- A function that changes back what runs change for all that comes later, so that it does not depend on where they ran: random numbers,
-- threads, the default dtype, whether gradients are recorded.
local function restorer()
  local random, dtype, threads, records = mg.get_rng_state(), mg.get_default_dtype(), mg.get_num_threads(), mg.is_grad_enabled()
  local a, b = math.random(0), math.random(0)
  return function()
    mg.set_rng_state(random)
    math.randomseed(a, b)
    mg.set_default_dtype(dtype)
    mg.set_num_threads(threads)
    mg.set_grad_enabled(records)
  end
end

-- Files ----------------------------------------------------------------------------------------------------------------

local header = '{"moongrad":"experiment","version":1}'

-- Runs that a file has, by the text that says what they are runs of; and a function that adds a line.
local function saved_runs(path)
  if path == nil then return {}, function() end end
  if type(path) ~= "string" then raise("experiment: save must be a path, got %s", found(path)) end
  if not lends_files() then raise "experiment: this session lends scripts no files" end
  local runs, number = {}, 0
  if native.file_exists(path) then
    for line in native.lines(path, "experiment") do
      number = number + 1
      -- A line that a kill cut off is none; and nothing but such a line is what a kill at the very beginning leaves.
      if number == 1 and string.sub(header, 1, #line) ~= line then raise("experiment: %s is no file of runs, which save adds to", path) end
      local row = number > 1 and native.unpack(line)
      if type(row) == "table" and type(row.metrics) == "table" and type(row.seconds) == "number" then
        local settings = native.pack(row.settings, true)
        local key = format("%s\n%s\n%s\n%s", row.variant, row.seed, row.threads, settings)
        runs[key] = runs[key] or row
      end
    end
  end
  return runs, native.growing_file(path, header)
end

-- Running ------------------------------------------------------------------------------------------------------------

--[=[ mg.experiment({ variants, seeds, run, build, order, workers, threads = 1, save, progress = true })

Runs every variant with every seed, each after mg.manual_seed(seed) and math.randomseed(seed), on all processors, and compares what the
runs give.

Options:
  variants: tables by names, each given to run; freeze = "hidden.*" (and level = "full") in one is applied to what build makes
  seeds: a list, or how many: 1, 2, …
  run: gives a table of numbers by names, such as { loss = 0.1 }, or one number; a list of numbers under a name is a curve. Texts, booleans,
    tensors, which become lists, and tables of these are kept with the run
  build: a function of variant and seed that makes a model; run is then called with the model, variant and seed
  order: the names of the variants, the one that others are compared with first; "none" and then by alphabet unless given
  workers: how many runs go on at a time, each in a process of its own, which begins as a copy of the script where it stands: what a run
    assigns to variables outside of it is gone with it, and what it prints appears in the order of the runs. As many as there are
    processors unless given; with 1, in programs that have moongrad in them and have not allowed processes, and within a run, they go on
    one after the other in the script's own process
  threads: how many threads each run has. The numbers do not depend on how many workers there are, but may in their last digits on this
  save: the path of a file to which each run is added as it ends, a line of JSON. An experiment that finds runs of its variants and seeds
    there, with the same settings, takes them and runs only what is missing, or failed: so it can be killed and started again, and given
    more seeds. Delete the file after a change of run or build, of which it knows nothing
  progress: whether a bar shows how far it is

A run that raises, or whose process ends, is counted as failed, and the others go on. The result prints as a table of means ± standard
deviations and of paired differences to the first variant, with a bootstrap interval and the p of a permutation test of signs. It has
rows, variants, seeds, metrics, and these methods:

  values(variant, metric), mean(variant, metric), sd(variant, metric)
  compare(metric, a, b): a table with mean, sd, n, low, high and p of the differences
  summary(): a list of a table for each variant and metric with n, failed, mean, sd and, beside the first variant, base, pairs,
    difference, low, high, p
  save_csv(path, { summary = false }): a line for each run, or of the summary
  plot(path, name, { log = false, title, x, y, width = 800, height }): the curves of that name with their spread, or the means of that
    metric and its runs, as SVG or PNG by the path's ending; x and y name the axes. save_svg and save_png do so whatever the ending is

Example:
  print(mg.experiment {
    variants = { none = {}, hidden = { freeze = "0.*" } }, seeds = { 1, 2, 3 },
    build = function() return mg.nn.Sequential(mg.nn.Linear(1, 8), mg.nn.ReLU(), mg.nn.Linear(8, 1)) end,
    run = function(net)
      local x = mg.linspace(-1, 1, 20):view(-1, 1)
      local opt = mg.optim.SGD(net:parameters(), { lr = 0.1 })
      local loss
      for step = 1, 20 do
        opt:zero_grad()
        loss = mg.nn.functional.mse_loss(net(x), x:pow(2))
        loss:backward()
        opt:step()
      end
      return { loss = loss:item() }
    end,
  })
]=]
function mg.experiment(...)
  local set = options("experiment", {
    { "variants" }, { "seeds" }, { "run" }, { "build" }, { "order" }, { "workers" }, { "threads" }, { "save" }, { "progress", true },
  }, ...)
  if type(set.variants) ~= "table" or next(set.variants) == nil then raise("experiment: variants must be tables by names, got %s", found(set.variants)) end
  if type(set.run) ~= "function" then raise("experiment: run must be a function, got %s", found(set.run)) end
  if set.build ~= nil and type(set.build) ~= "function" then raise("experiment: build must be a function, got %s", found(set.build)) end
  local seeds, names = shared.seeds("experiment", set.seeds), names_of(set)
  local most, processors = native.most_workers()
  local workers = math.min(count_of(set, "workers", processors), most)
  set.threads = count_of(set, "threads", 1)

  local saved, add = saved_runs(set.save)

  local jobs, rows, missing = {}, {}, {}
  for _, name in ipairs(names) do
    local settings = native.pack(set.variants[name], true)
    for _, seed in ipairs(seeds) do
      local job = { name = name, seed = seed, settings = settings }
      jobs[#jobs + 1] = job
      rows[#jobs] = saved[format("%s\n%s\n%s\n%s", name, seed, set.threads, settings)]
      if not rows[#jobs] then missing[#missing + 1] = #jobs end
    end
  end

  local bar <close> = mg.progress(#jobs, { desc = "experiment" })
  local step = set.progress and bar or nil
  local done = step and step(nil, nil)
  for _ = 1, step and #jobs - #missing or 0 do done = step(nil, done) end
  local function work(i)
    mg.set_num_threads(set.threads)
    return run_line(set, jobs[missing[i]])
  end
  local function ended(i, line, problem)
    local job = jobs[missing[i]]
    local row = line and native.unpack(line)
    if not row or not row.variant then
      -- The end of the process, or what nothing catches.
      row = { variant = job.name, seed = job.seed, seconds = 0, error = row and row.error or "its process was ended " .. (problem or "") }
      line = native.pack(row)
    end
    rows[missing[i]] = row
    add(line)
    if step then done = step(nil, done) end
  end
  local restore = restorer()
  if workers > 1 then
    native.run_processes(#missing, workers, work, ended)
  else
    for i = 1, #missing do
      local line = work(i)
      restore()
      ended(i, line)
    end
  end
  restore()

  local self = setmetatable({ variants = names, seeds = seeds, rows = {}, metrics = {}, is_metric = {} }, Result)
  for i, row in ipairs(rows) do
    self.rows[i] = { variant = row.variant, seed = row.seed, seconds = row.seconds, metrics = row.metrics, error = row.error }
    for metric, value in next, row.metrics or {} do
      if type(value) == "number" and not self.is_metric[metric] then
        self.is_metric[metric] = true
        self.metrics[#self.metrics + 1] = metric
      end
    end
  end
  table.sort(self.metrics)
  return self
end

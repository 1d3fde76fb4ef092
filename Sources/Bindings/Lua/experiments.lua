-- Experiments: the same seeds for every variant.

local native, mg, nn, shared, Result = ...
local format = string.format
local raise, found, options = shared.raise, shared.found, shared.options

--[=[ mg.experiment({ variants = { name = {}, … }, seeds = { 1, 2, 3 }, run = function(variant, seed) … end, build, order, progress = true })

Runs every variant with every seed, each after mg.manual_seed(seed), and compares what the runs give.

Options:
  variants: tables by names, each given to run; freeze = "hidden.*" (and level = "full") in one is applied to what build makes
  seeds: a list, or how many: 1, 2, …
  run: gives a table of numbers by names, such as { loss = 0.1 }, or one number; a list of numbers under a name is a curve
  build: a function of variant and seed that makes a model; run is then called with the model, variant and seed
  order: the names of the variants, the one that others are compared with first; "none" and then by alphabet unless given
  progress: whether a bar shows how far it is

A run that raises is counted as failed, and the others go on. The result prints as a table of means ± standard deviations and of paired
differences to the first variant, with a bootstrap interval and the p of a permutation test of signs. It has rows, variants, seeds, metrics,
and these methods: values(variant, metric), mean(variant, metric), sd(variant, metric), compare(metric, a, b), save_csv(path), and
plot(path, name, { log = false, title, x, y, width = 800, height }), which draws the curves of all variants with their spread, or, of a
metric, the mean of each with its runs, as SVG or PNG by the path's ending. save_svg and save_png do so whatever the ending is; x and y
name the axes.

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
  local set = options("experiment", { { "variants" }, { "seeds" }, { "run" }, { "build" }, { "order" }, { "progress", true } }, ...)
  if type(set.variants) ~= "table" or next(set.variants) == nil then raise("experiment: variants must be tables by names, got %s", found(set.variants)) end
  if type(set.run) ~= "function" then raise("experiment: run must be a function, got %s", found(set.run)) end
  if set.build ~= nil and type(set.build) ~= "function" then raise("experiment: build must be a function, got %s", found(set.build)) end
  local seeds = set.seeds
  if math.type(seeds) == "integer" and seeds > 0 then
    local count = seeds
    seeds = {}
    for i = 1, count do seeds[i] = i end
  end
  if type(seeds) ~= "table" or #seeds == 0 then raise("experiment: seeds must be a list of whole numbers, or how many, got %s", found(set.seeds)) end
  local seen = {}
  for _, seed in ipairs(seeds) do
    if math.type(seed) ~= "integer" then raise("experiment: seeds are whole numbers, got %s", found(seed)) end
    if seen[seed] then raise("experiment: the seed %d comes a second time", seed) end
    seen[seed] = true
  end
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
  if set.order ~= nil then
    if type(set.order) ~= "table" or #set.order ~= #names then raise "experiment: order must name every variant once" end
    local once = {}
    for _, name in ipairs(set.order) do
      if set.variants[name] == nil or once[name] then raise("experiment: order must name every variant once, got %s", found(name)) end
      once[name] = true
    end
    names = { table.unpack(set.order) }
  end

  local self = setmetatable({ variants = names, seeds = { table.unpack(seeds) }, rows = {}, metrics = {}, is_metric = {} }, Result)
  local is_metric = self.is_metric
  local function run_one(variant, seed)
    mg.manual_seed(seed)
    if not set.build then return set.run(variant, seed) end
    local net = set.build(variant, seed)
    if variant.freeze ~= nil then mg.freeze(net, variant.freeze, { level = variant.level or "grad" }) end
    return set.run(net, variant, seed)
  end
  local bar = mg.progress(#names * #seeds, { desc = "experiment" })
  local step = set.progress and bar or nil
  local done = step and step(nil, nil)
  for _, name in ipairs(names) do
    for _, seed in ipairs(seeds) do
      local began = mg.clock()
      local ok, given = pcall(run_one, set.variants[name], seed)
      local row = { variant = name, seed = seed, seconds = mg.clock() - began }
      if ok and (type(given) == "number" or mg.is_tensor(given)) then given = { value = given } end
      if ok and type(given) ~= "table" then ok, given = false, format("run must give a table of numbers by names, got %s", found(given)) end
      if ok then
        row.metrics = {}
        for metric, value in pairs(given) do
          if mg.is_tensor(value) and value:numel() == 1 then value = value:item() end
          row.metrics[metric] = value
          if type(value) == "number" and not is_metric[metric] then
            is_metric[metric] = true
            self.metrics[#self.metrics + 1] = tostring(metric)
          end
        end
      else
        row.error = tostring(given)
      end
      self.rows[#self.rows + 1] = row
      if step then done = step(nil, done) end
    end
  end
  bar:close()
  table.sort(self.metrics)
  return self
end

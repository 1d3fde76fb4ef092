-- Experiments: the same seeds for every variant, and what the differences between variants are worth.

local native, mg, nn, shared = ...
local format = string.format
local raise, found, options = shared.raise, shared.found, shared.options

-- Numbers of its own for resampling, so that no stream of the script moves (splitmix64).
local function random_source()
  local state = 0x5DEECE66D
  return function(n)
    state = state + 0x9E3779B97F4A7C15
    local z = state
    z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ~ (z >> 27)) * 0x94D049BB133111EB
    return ((z ~ (z >> 31)) >> 11) % n + 1
  end
end

local function mean(values)
  local sum = 0
  for _, value in ipairs(values) do sum = sum + value end
  return sum / #values
end

-- Of a sample: with n - 1.
local function deviation(values)
  if #values < 2 then return 0 / 0 end
  local middle, sum = mean(values), 0
  for _, value in ipairs(values) do sum = sum + (value - middle) ^ 2 end
  return math.sqrt(sum / (#values - 1))
end

-- The interval that holds the mean of so many in a hundred samples drawn from these with replacement (percentiles of 10,000).
local function bootstrap(values, share)
  local draw, means = random_source(), {}
  for i = 1, 10000 do
    local sum = 0
    for _ = 1, #values do sum = sum + values[draw(#values)] end
    means[i] = sum / #values
  end
  table.sort(means)
  local tail = (1 - share) / 2
  return means[math.max(1, math.floor(tail * 10000 + 0.5))], means[math.min(10000, math.floor((1 - tail) * 10000 + 0.5))]
end

-- How often differences with signs drawn at random are in the mean as far from 0 as these: every choice of signs for up to 16 of
-- them, 10,000 beyond.
local function permutation(differences)
  local n, own = #differences, math.abs(mean(differences))
  local tolerance = own * 1e-12
  local function extreme(sign)
    local sum = 0
    for i = 1, n do sum = sum + (sign(i) and differences[i] or -differences[i]) end
    return math.abs(sum / n) >= own - tolerance
  end
  local count = 0
  if n <= 16 then
    for choice = 0, (1 << n) - 1 do
      if extreme(function(i) return choice >> (i - 1) & 1 == 1 end) then count = count + 1 end
    end
    return count / (1 << n)
  end
  local draw = random_source()
  for _ = 1, 10000 do if extreme(function() return draw(2) == 1 end) then count = count + 1 end end
  return (count + 1) / 10001
end

local function short(value)
  if value ~= value then return "-" end
  return format("%.4g", value)
end

-- Rows of cells as columns of one width; the first row is ruled off.
local function aligned(rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, utf8.len(cell) or #cell) end
  end
  local lines = {}
  local function add(row)
    local cells = {}
    for i, cell in ipairs(row) do cells[i] = cell .. string.rep(" ", widths[i] - (utf8.len(cell) or #cell)) end
    lines[#lines + 1] = (string.gsub(table.concat(cells, "  "), " +$", ""))
  end
  for i, row in ipairs(rows) do
    add(row)
    if i == 1 then
      local rule = {}
      for j, width in ipairs(widths) do rule[j] = string.rep("-", width) end
      add(rule)
    end
  end
  return table.concat(lines, "\n")
end

-- Results ------------------------------------------------------------------------------------------------------------

local Result = {}
Result.__index, Result.__name = Result, "ExperimentResult"

local function result(self, what)
  if getmetatable(self) ~= Result then raise("%s: expected what experiment gave as self, got %s; methods are called with ':'", what, found(self)) end
  return self
end

-- The values of a metric by seed, for one variant.
local function values_of(self, variant, metric)
  local by_seed = {}
  for _, row in ipairs(self.rows) do
    if row.variant == variant and row.metrics and type(row.metrics[metric]) == "number" then by_seed[row.seed] = row.metrics[metric] end
  end
  return by_seed
end

local function known(self, what, variant, metric)
  local function among(list, name, kind)
    for _, other in ipairs(list) do if other == name then return end end
    local hint = type(name) == "string" and native.nearest(name, list)
    raise("%s: there is no %s %s%s (there is %s)", what, kind, found(name), hint and format("; did you mean '%s'?", hint) or "", table.concat(list, ", "))
  end
  if variant ~= nil then among(self.variants, variant, "variant") end
  if metric ~= nil then among(self.metrics, metric, "metric") end
end

function Result.values(self, variant, metric)
  result(self, "values")
  known(self, "values", variant, metric)
  local list, by_seed = {}, values_of(self, variant, metric)
  for _, seed in ipairs(self.seeds) do if by_seed[seed] ~= nil then list[#list + 1] = by_seed[seed] end end
  return list
end

function Result.mean(self, variant, metric) return mean(result(self, "mean"):values(variant, metric)) end
function Result.sd(self, variant, metric) return deviation(result(self, "sd"):values(variant, metric)) end

function Result.compare(self, metric, a, b)
  result(self, "compare")
  known(self, "compare", a, metric)
  known(self, "compare", b)
  local left, right, differences = values_of(self, a, metric), values_of(self, b, metric), {}
  for _, seed in ipairs(self.seeds) do
    if left[seed] and right[seed] then differences[#differences + 1] = left[seed] - right[seed] end
  end
  if #differences == 0 then raise("compare: no seed has %s of both %s and %s", metric, a, b) end
  local low, high = bootstrap(differences, 0.95)
  return { mean = mean(differences), sd = deviation(differences), n = #differences, low = low, high = high, p = permutation(differences) }
end

function Result.__tostring(self)
  local rows = { { "variant", "runs" } }
  for _, metric in ipairs(self.metrics) do rows[1][#rows[1] + 1] = metric end
  rows[1][#rows[1] + 1] = "seconds"
  for _, variant in ipairs(self.variants) do
    local runs, failed, seconds = 0, 0, 0
    for _, row in ipairs(self.rows) do
      if row.variant == variant then
        if row.metrics then runs = runs + 1 else failed = failed + 1 end
        seconds = seconds + row.seconds
      end
    end
    local cells = { variant, failed > 0 and format("%d, %d failed", runs, failed) or tostring(runs) }
    for _, metric in ipairs(self.metrics) do
      local values = self:values(variant, metric)
      cells[#cells + 1] = #values == 0 and "-" or #values == 1 and short(values[1]) or format("%s ± %s", short(mean(values)), short(deviation(values)))
    end
    cells[#cells + 1] = format("%.2f", seconds / math.max(runs + failed, 1))
    rows[#rows + 1] = cells
  end
  local text = aligned(rows)
  local base = self.variants[1]
  if #self.variants > 1 and #self.seeds > 1 then
    local pairs_ = { { "difference to " .. base, "metric", "mean", "95 %", "p" } }
    for i = 2, #self.variants do
      for _, metric in ipairs(self.metrics) do
        local ok, c = pcall(self.compare, self, metric, self.variants[i], base)
        if ok and c.n > 1 then
          pairs_[#pairs_ + 1] = { self.variants[i], metric, short(c.mean), format("%s … %s", short(c.low), short(c.high)), format("%.3f", c.p) }
        end
      end
    end
    if #pairs_ > 1 then text = text .. "\n\n" .. aligned(pairs_) end
  end
  for _, row in ipairs(self.rows) do
    if row.error then text = text .. format("\nfailed: %s, seed %s: %s", row.variant, tostring(row.seed), row.error) end
  end
  return text
end

function Result.save_csv(self, path)
  result(self, "save_csv")
  local columns = { "variant", "seed" }
  for _, metric in ipairs(self.metrics) do columns[#columns + 1] = metric end
  columns[#columns + 1], columns[#columns + 2] = "seconds", "error"
  local logger <close> = mg.loggers.CSVLogger(path, { columns = columns })
  for _, row in ipairs(self.rows) do
    local cells = { variant = row.variant, seed = row.seed, seconds = row.seconds, error = row.error }
    for name, value in pairs(row.metrics or {}) do if type(value) == "number" then cells[name] = value end end
    logger:log(cells)
  end
end

-- Pictures -----------------------------------------------------------------------------------------------------------

local colours = { "#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0" }

-- Round steps for an axis from low to high: about five of 1, 2 or 5 times a power of ten.
local function ticks(low, high)
  local rough = (high - low) / 5
  if not (rough > 0) then return { low } end
  local power = 10 ^ math.floor(math.log(rough, 10))
  local step = power * (rough / power > 5 and 10 or rough / power > 2 and 5 or rough / power > 1 and 2 or 1)
  local list, at = {}, math.ceil(low / step - 1e-9) * step
  while at <= high + step * 1e-9 do
    list[#list + 1] = math.abs(at) < step * 1e-9 and 0 or at
    at = at + step
  end
  return list
end

local function escaped(text) return (string.gsub(text, "[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" })) end

-- The mean of a curve over the seeds of a variant, and its deviation, step by step.
local function curve_of(self, variant, name)
  local curves = {}
  for _, row in ipairs(self.rows) do
    local curve = row.variant == variant and row.metrics and row.metrics[name]
    if type(curve) == "table" then curves[#curves + 1] = curve end
  end
  local list = {}
  for step = 1, #curves > 0 and #curves[1] or 0 do
    local values = {}
    for _, curve in ipairs(curves) do values[#values + 1] = curve[step] end
    local spread = #values > 1 and deviation(values) or 0
    list[step] = { mean(values), spread }
  end
  return list
end

function Result.save_svg(self, path, name, ...)
  result(self, "save_svg")
  local set = options("save_svg", { { "log", false }, { "title", "" } }, ...)
  local io = lent "io"
  if not io then raise "save_svg: this session lends scripts no files" end
  if type(name) ~= "string" then raise("save_svg: argument 2: expected the name of a curve that run gave, got %s", found(name)) end
  local series, steps, low, high = {}, 0, math.huge, -math.huge
  local function height(value) return set.log and (value > 0 and math.log(value, 10) or nil) or value end
  for i, variant in ipairs(self.variants) do
    local curve = curve_of(self, variant, name)
    if #curve > 0 then series[#series + 1] = { name = variant, colour = colours[(i - 1) % #colours + 1], curve = curve } end
    steps = math.max(steps, #curve)
    for _, point in ipairs(curve) do
      for _, value in ipairs { point[1] - point[2], point[1], point[1] + point[2] } do
        local at = height(value)
        if at and at == at and math.abs(at) < math.huge then low, high = math.min(low, at), math.max(high, at) end
      end
    end
  end
  if #series == 0 then raise("save_svg: run gave no curve called %s: a list of numbers under that name in what it returns", found(name)) end
  if low == high then low, high = low - 1, high + 1 end
  local left, top, width, tall = 70, 40, 560, 320
  local function x(step) return left + (steps > 1 and (step - 1) / (steps - 1) or 0.5) * width end
  local function y(value) return top + (high - (height(value) or low)) / (high - low) * tall end
  local out = {}
  local function add(...) out[#out + 1] = format(...) end
  add('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 420" font-family="sans-serif" font-size="12">')
  add('<rect width="800" height="420" fill="white"/>')
  add('<text x="%d" y="22" font-size="15">%s</text>', left, escaped(set.title ~= "" and set.title or name))
  for _, at in ipairs(ticks(low, high)) do
    local place = top + (high - at) / (high - low) * tall
    add('<path d="M%d %.1fh%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>', left, place, width, left - 8, place + 4,
      short(set.log and 10 ^ at or at))
  end
  for _, at in ipairs(ticks(1, steps)) do
    if at == math.floor(at) then add('<text x="%.1f" y="%d" text-anchor="middle">%d</text>', x(at), top + tall + 18, math.floor(at)) end
  end
  for i, line in ipairs(series) do
    local upper, lower, middle = {}, {}, {}
    for step, point in ipairs(line.curve) do
      upper[step] = format("%.1f,%.1f", x(step), y(point[1] + point[2]))
      table.insert(lower, 1, format("%.1f,%.1f", x(step), y(point[1] - point[2])))
      middle[step] = format("%.1f,%.1f", x(step), y(point[1]))
    end
    add('<polygon points="%s %s" fill="%s" fill-opacity="0.18"/>', table.concat(upper, " "), table.concat(lower, " "), line.colour)
    add('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>', table.concat(middle, " "), line.colour)
    add('<path d="M%d %dh16" stroke="%s" stroke-width="3"/><text x="%d" y="%d">%s</text>', left + width + 12, top + 16 * i, line.colour,
      left + width + 34, top + 4 + 16 * i, escaped(line.name))
  end
  add "</svg>"
  local file, problem = io.open(path, "w")
  if not file then raise("save_svg: %s", problem) end
  local _ <close> = file
  file:write(table.concat(out, "\n"), "\n")
end

-- Running ------------------------------------------------------------------------------------------------------------

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
save_svg(path, curve, { log = false, title }) for the curves of all variants with their spread.

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

  local self = setmetatable({ variants = names, seeds = { table.unpack(seeds) }, rows = {}, metrics = {} }, Result)
  local is_metric = {}
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

-- What experiments give: runs by variant and seed, what the differences between variants are worth, tables and pictures.

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

-- Of a sample: with n - 1. From the first value on, so that equal values have none.
local function deviation(values)
  if #values < 2 then return 0 / 0 end
  local from, middle, sum = values[1], 0, 0
  for _, value in ipairs(values) do middle = middle + (value - from) / #values end
  for _, value in ipairs(values) do sum = sum + (value - from - middle) ^ 2 end
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
  if value ~= value then return "nan" end
  return format("%.4g", value)
end

-- "5 seeds", or "3 to 5 seeds".
local function seeds_text(least, most)
  if least == most then return most == 1 and "1 seed" or format("%d seeds", most) end
  return format("%d to %d seeds", least, most)
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
shared.short, shared.aligned = short, aligned

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
  local middle, low, high, p = mean(differences), 0 / 0, 0 / 0, 0 / 0
  -- Of what is not finite there is nothing to say.
  if math.abs(middle) < math.huge then
    low, high = bootstrap(differences, 0.95)
    p = permutation(differences)
  end
  return { mean = middle, sd = deviation(differences), n = #differences, low = low, high = high, p = p }
end

function Result.summary(self)
  result(self, "summary")
  local base, rows, failed = self.variants[1], {}, {}
  for _, row in ipairs(self.rows) do failed[row.variant] = (failed[row.variant] or 0) + (row.metrics and 0 or 1) end
  for _, variant in ipairs(self.variants) do
    for _, metric in ipairs(self.metrics) do
      local values = self:values(variant, metric)
      local row = { variant = variant, metric = metric, n = #values, failed = failed[variant] }
      if #values > 0 then row.mean = mean(values) end
      if #values > 1 then row.sd = deviation(values) end
      if variant ~= base then
        local ok, c = pcall(self.compare, self, metric, variant, base)
        if ok and c.n > 1 then row.base, row.pairs, row.difference, row.low, row.high, row.p = base, c.n, c.mean, c.low, c.high, c.p end
      end
      rows[#rows + 1] = row
    end
  end
  return rows
end

function Result.__tostring(self)
  local rows, of, base_sd = { { "variant", "runs" } }, {}, {}
  local differences = { { "difference to " .. self.variants[1], "metric", "mean", "95 %", "p" } }
  for _, metric in ipairs(self.metrics) do rows[1][#rows[1] + 1] = metric end
  rows[1][#rows[1] + 1] = "seconds"
  for _, row in ipairs(self:summary()) do
    local cells = of[row.variant] or {}
    of[row.variant] = cells
    cells[#cells + 1] = row.n == 0 and "-" or row.n == 1 and short(row.mean) or format("%s ± %s", short(row.mean), short(row.sd))
    if row.variant == self.variants[1] then base_sd[row.metric] = row.sd end
    -- What no seed changes, such as a count of parameters, is a fact and no estimate.
    if row.p and not (row.sd == 0 and base_sd[row.metric] == 0) then
      differences[#differences + 1] = {
        row.variant, row.metric, short(row.difference), format("%s … %s", short(row.low), short(row.high)), format("%.3f", row.p),
      }
    end
  end
  for _, variant in ipairs(self.variants) do
    local runs, failed, seconds = 0, 0, 0
    for _, row in ipairs(self.rows) do
      if row.variant == variant then
        if row.metrics then runs = runs + 1 else failed = failed + 1 end
        seconds = seconds + row.seconds
      end
    end
    local cells = { variant, failed > 0 and format("%d, %d failed", runs, failed) or tostring(runs) }
    for _, cell in ipairs(of[variant] or {}) do cells[#cells + 1] = cell end
    cells[#cells + 1] = format("%.2f", seconds / math.max(runs + failed, 1))
    rows[#rows + 1] = cells
  end
  local text = aligned(rows)
  if #self.seeds > 1 then text = text .. format("\nmean ± standard deviation over %s", seeds_text(#self.seeds, #self.seeds)) end
  if #differences > 1 then
    text = text .. "\n\n" .. aligned(differences) .. "\npaired by seed: 95 % by bootstrap, p by permutation of signs"
  end
  for _, row in ipairs(self.rows) do
    if row.error then text = text .. format("\nfailed: %s, seed %s: %s", row.variant, tostring(row.seed), row.error) end
  end
  return text
end

-- What each run gave, or, with summary, a line for each variant and metric.
function Result.save_csv(self, path, ...)
  result(self, "save_csv")
  local columns = { "variant", "metric", "n", "failed", "mean", "sd", "base", "pairs", "difference", "low", "high", "p" }
  local rows = {}
  if options("save_csv", { { "summary", false } }, ...).summary then
    rows = self:summary()
  else
    columns = { "variant", "seed", table.unpack(self.metrics) }
    columns[#columns + 1], columns[#columns + 2] = "seconds", "error"
    for i, row in ipairs(self.rows) do
      rows[i] = { variant = row.variant, seed = row.seed, seconds = row.seconds, error = row.error }
      for name, value in pairs(row.metrics or {}) do if type(value) == "number" then rows[i][name] = value end end
    end
  end
  local logger <close> = mg.loggers.CSVLogger(path, { columns = columns })
  for _, row in ipairs(rows) do logger:log(row) end
end

-- Pictures -----------------------------------------------------------------------------------------------------------

-- The mean of a curve over the seeds of a variant and its deviation, step by step, over those that go so far; and how many there are,
-- and whether some end earlier.
local function curve_of(self, variant, name)
  local curves, longest, uneven = {}, 0, false
  for _, row in ipairs(self.rows) do
    local curve = row.variant == variant and row.metrics and row.metrics[name]
    if type(curve) == "table" then
      uneven = uneven or #curves > 0 and #curve ~= longest
      curves[#curves + 1], longest = curve, math.max(longest, #curve)
    end
  end
  local line = { y = {}, spread = {} }
  for step = 1, longest do
    local values = {}
    for _, curve in ipairs(curves) do
      if step <= #curve then values[#values + 1] = type(curve[step]) == "number" and curve[step] or 0 / 0 end
    end
    line.y[step], line.spread[step] = mean(values), #values > 1 and deviation(values) or 0
  end
  return line, #curves, uneven
end

-- Curves of all variants, or, of a metric, the figure of each.
local function chart_of(self, what, name, set)
  local chart = { width = set.width, height = set.height }
  local items, counts, least, most, uneven = {}, {}, math.huge, 0, false
  local function add(item, count)
    items[#items + 1], counts[#items + 1] = item, count
    least, most = math.min(least, count), math.max(most, count)
  end
  for _, variant in ipairs(self.variants) do
    local line, count, ends_early = curve_of(self, variant, name)
    if count > 0 and #line.y > 0 then
      line.name, uneven = variant, uneven or ends_early
      add(line, count)
    end
  end
  if #items > 0 then
    chart.series, chart.x, chart.y, chart.log_y = items, set.x ~= "" and set.x or "step", set.y ~= "" and set.y or name, set.log
  else
    for _, variant in ipairs(self.variants) do
      local values = self.is_metric[name] and self:values(variant, name) or {}
      if #values > 0 then
        add({ name = variant, value = mean(values), spread = #values > 1 and deviation(values) or nil, points = #values > 1 and values or nil }, #values)
      end
    end
    if #items == 0 then
      raise("%s: run gave neither a curve, which is a list of numbers, nor a number called %s in what it returns", what, found(name))
    end
    chart.rows, chart.x, chart.log_x = items, set.x ~= "" and set.x or name, set.log
  end
  chart.title = set.title ~= "" and set.title or chart.series and chart.y or chart.x
  chart.subtitle = format(most > 1 and "mean ± sd over %s" or "%s", seeds_text(least, most))
  if uneven then chart.subtitle = chart.subtitle .. "; where some end earlier, over those that go on" end
  -- Those of which runs failed.
  if least < most then for i, item in ipairs(items) do item.name = format("%s (%s)", item.name, seeds_text(counts[i], counts[i])) end end
  return chart
end

local function plot(self, what, kind, path, name, ...)
  result(self, what)
  local set = options(what, { { "log", false }, { "title", "" }, { "x", "" }, { "y", "" }, { "width", 800 }, { "height" } }, ...)
  if not lends_files() then raise("%s: this session lends scripts no files", what) end
  if type(path) ~= "string" then raise("%s: argument 1: expected a path, got %s", what, found(path)) end
  if type(name) ~= "string" then raise("%s: argument 2: expected the name of a curve or of a metric that run gave, got %s", what, found(name)) end
  local ending = string.lower(string.match(path, "%.(%w+)$") or "")
  if not kind and ending ~= "svg" and ending ~= "png" then
    raise("%s: '%s' ends neither in .svg nor in .png, by which the format is chosen", what, path)
  end
  for _, side in ipairs { { "width", 160 }, { "height", 120 } } do
    local name, least = side[1], side[2]
    local points = set[name]
    if points ~= nil and not (math.type(points) == "integer" and points >= least and points <= 4000) then
      raise("%s: option '%s': expected a whole number from %d to 4000, got %s", what, name, least, found(points))
    end
  end
  native.write_chart(what, path, chart_of(self, what, name, set), kind)
end

function Result.plot(self, path, name, ...) plot(self, "plot", nil, path, name, ...) end
function Result.save_svg(self, path, name, ...) plot(self, "save_svg", "svg", path, name, ...) end
function Result.save_png(self, path, name, ...) plot(self, "save_png", "png", path, name, ...) end

return Result

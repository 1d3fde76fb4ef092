-- Experiments: the same seeds for every variant, statistics of paired differences, failures, files.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

check.case("every variant runs with every seed, after seeding", function()
  local drawn = {}
  local result = mg.experiment {
    variants = { b = { shift = 1 }, none = { shift = 0 } }, seeds = { 3, 7 }, progress = false, workers = 1,
    run = function(variant, seed)
      local value = mg.rand(1):item()
      drawn[#drawn + 1] = value
      return { loss = value + variant.shift, seed = mg.tensor(seed) }
    end,
  }
  check.equal(result.variants, { "none", "b" })
  check.equal({ drawn[1], drawn[2] }, { drawn[3], drawn[4] })
  mg.manual_seed(3)
  check.equal(drawn[1], mg.rand(1):item())
  check.equal(result:values("b", "seed"), { 3, 7 })
  check.equal(#result.rows, 4)
  check.equal(result.metrics, { "loss", "seed" })
  local c = result:compare("loss", "b", "none")
  check.equal({ c.n, math.abs(c.mean - 1) < 1e-6, math.abs(c.low - 1) < 1e-6, c.p }, { 2, true, true, 0.5 })
end)

check.case("means, deviations, intervals and p", function()
  local values = { a = { 1, 2, 4, 8, 16, 3 }, b = { 0, 0, 0, 0, 0, 0 }, c = { 1, -1, 2, -2, 3, -3 } }
  local result = mg.experiment {
    variants = { a = { 1 }, b = { 2 }, c = { 3 } }, seeds = 6, progress = false, order = { "b", "a", "c" },
    run = function(variant, seed) return values[({ "a", "b", "c" })[variant[1]]][seed] end,
  }
  check.equal(result:mean("a", "value"), 34 / 6)
  check.equal(math.abs(result:sd("a", "value") - 5.609515724) < 1e-8, true)   -- statistics.stdev
  local c = result:compare("value", "a", "b")
  check.equal(c.p, 2 / 64)                            -- all of one sign: two of the 64 choices
  -- scipy.stats.bootstrap gives 2.1667 … 10.1667 (percentiles of 200,000 means, which are multiples of a sixth).
  check.is_true(math.abs(c.low - 13 / 6) < 0.17 and math.abs(c.high - 61 / 6) < 0.34)
  check.equal(result:compare("value", "c", "b").p, 1.0)
  check.mentions(tostring(result), "variant", "5.667 ± 5.61", "over 6 seeds", "difference to b", "0.031")
  local moved = mg.rand(1):item()
  mg.manual_seed(5)
  local first = mg.rand(1):item()
  mg.manual_seed(5)
  result:compare("value", "a", "b")                   -- no stream of the script moves
  check.equal(mg.rand(1):item(), first)
end)

check.case("summaries as tables and as CSV", function()
  local result = mg.experiment {
    variants = { none = { 0 }, a = { 1 }, bad = { 2 } }, seeds = 4, progress = false,
    run = function(variant, seed)
      if variant[1] == 2 and seed > 1 then error "no" end
      return { loss = seed + variant[1], extra = variant[1] == 1 and 0 / 0 or 1 }
    end,
  }
  local rows = result:summary()
  check.equal(#rows, 6)
  check.equal(rows[1], { variant = "none", metric = "extra", n = 4, failed = 0, mean = 1.0, sd = 0.0 })
  check.equal(rows[2], { variant = "none", metric = "loss", n = 4, failed = 0, mean = 2.5, sd = result:sd("none", "loss") })
  local c = result:compare("loss", "a", "none")
  check.equal(rows[4], { variant = "a", metric = "loss", n = 4, failed = 0, mean = 3.5, sd = result:sd("a", "loss"), base = "none", pairs = 4,
    difference = 1.0, low = c.low, high = c.high, p = c.p })
  check.equal({ c.low, c.high, c.p }, { 1.0, 1.0, 2 / 16 })
  check.equal(rows[6], { variant = "bad", metric = "loss", n = 1, failed = 3, mean = 3.0 })  -- one pair is no comparison
  -- Nothing is said of differences that are not numbers.
  check.equal({ rows[3].mean ~= rows[3].mean, rows[3].p ~= rows[3].p, rows[3].low ~= rows[3].low }, { true, true, true })
  check.mentions(tostring(result), "nan ± nan", "1, 3 failed")
  local path = os.tmpname()
  result:save_csv(path, { summary = true })
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  os.remove(path)
  -- statistics.stdev([2, 3, 4, 5])
  check.equal({ #lines, lines[1], lines[5], lines[7] }, { 7, "variant,metric,n,failed,mean,sd,base,pairs,difference,low,high,p",
    "a,loss,4,0,3.5,1.2909944487358056,none,4,1.0,1.0,1.0,0.125", "bad,loss,1,3,3.0,,,,,,," })
end)

check.case("what a run gives is plain, and comes back as it was", function()
  local given = {
    whole = 1 << 62, float = 3.0, zero = -0.0, small = 5e-324, large = 1.7976931348623157e308, third = 1 / 3, nan = 0 / 0, inf = -1 / 0,
    text = 'a "b"\n\0é', bytes = "\xff\0", flag = false, list = { 1, 2.5, "x", { true } }, empty = {}, holes = { 1, nil, 3 },
    keys = { [true] = 1, [2.5] = "y", x = { bits = "7ff" }, [10] = 0 }, marked = { pairs = { 1 } },
    tensor = mg.tensor { { 1, 2.5 }, { 3, 4 } }, one = mg.tensor { { 7 } }, flags = mg.tensor { true, false }, none = mg.zeros(0),
  }
  local function run() return given end
  local metrics = mg.experiment({ variants = { a = {} }, seeds = 1, progress = false, run = run }).rows[1].metrics
  given.tensor, given.one, given.flags, given.none = { { 1.0, 2.5 }, { 3.0, 4.0 } }, 7, { true, false }, {}
  check.equal({ metrics.nan ~= metrics.nan, 1 / metrics.zero }, { true, -1 / 0 })
  metrics.nan, given.nan = nil, nil
  check.equal(metrics, given)
  for name, value in pairs(given) do check.equal(math.type(metrics[name]), math.type(value)) end
  local function refused(message, value)
    local row = mg.experiment({ variants = { a = {} }, seeds = 1, progress = false, run = function() return value end }).rows[1]
    check.equal({ row.metrics, row.error }, { nil, "run must give " .. message })
  end
  local plain = "numbers, texts, booleans, tensors, and tables of these: "
  refused(plain .. "x.y is a function", { x = { y = print } })
  refused(plain .. "net is a Module", { net = nn.Linear(1, 1) })
  refused(plain .. "x[3] is a thread", { x = { 1, 2, coroutine.create(print) } })
  local knot = {}
  knot.knot = knot
  refused(plain .. "knot is nested more than 50 deep, or holds itself", knot)
  refused(plain .. "x is a tensor of 1000001 elements, more than 1000000", { x = mg.zeros(1000001) })
  refused("a table of numbers by names, got the key 1", { 1, 2 })
  refused("a table of numbers by names, got nil", nil)
end)

check.case("nothing that runs change is left changed", function()
  mg.manual_seed(3)
  math.randomseed(3)
  local threads, drawn = mg.get_num_threads(), {}
  local result = mg.experiment {
    variants = { a = {}, b = {} }, seeds = 2, progress = false,
    run = function(_, seed)
      local found = { dtype = mg.get_default_dtype(), grad = mg.is_grad_enabled(), threads = mg.get_num_threads(), number = math.random(1 << 40) }
      mg.set_default_dtype "float64"
      mg.set_grad_enabled(false)
      mg.set_num_threads(3)
      return found
    end,
  }
  for i, row in ipairs(result.rows) do
    check.equal({ row.metrics.dtype, row.metrics.grad, row.metrics.threads }, { "float32", true, 1 })
    check.equal(row.metrics.number, result.rows[(i - 1) % 2 + 1].metrics.number)
  end
  check.equal({ mg.get_default_dtype(), mg.is_grad_enabled(), mg.get_num_threads() }, { "float32", true, threads })
  local number = mg.rand(1):item()
  mg.manual_seed(3)
  check.equal(mg.rand(1):item(), number)
end)

check.case("runs are saved, and an experiment goes on from them", function()
  local path = os.tmpname()
  os.remove(path)
  local ran = {}
  local function go(variants, seeds, more)
    ran = {}
    local set = { variants = variants, seeds = seeds, progress = false, save = path, workers = 1, run = function(variant, seed)
      ran[#ran + 1] = ("%s%d"):format(variant.name, seed)
      if variant.fails and seed == 2 then error "no" end
      return { value = mg.rand(1):item() + seed, curve = { 0 / 0, 1 / 3 } }
    end }
    for name, value in pairs(more or {}) do set[name] = value end
    return mg.experiment(set)
  end
  local a, b = { name = "a", f = print }, { name = "b", rates = { 0.1, x = 2 } }
  local whole = go({ a = a, b = b }, 3)
  check.equal(ran, { "a1", "a2", "a3", "b1", "b2", "b3" })
  local again = go({ a = a, b = b }, 3)
  check.equal(ran, {})
  check.equal(tostring(again), tostring(whole))
  check.equal(again:values("b", "value"), whole:values("b", "value"))
  check.equal(again.rows[2].metrics.curve[2], 1 / 3)
  go({ a = a, b = b, c = { name = "c", fails = true } }, { 5, 2, 1 })
  check.equal(ran, { "a5", "b5", "c5", "c2", "c1" })
  go({ c = { name = "c", fails = true } }, { 5, 2, 1 })
  check.equal(ran, { "c2" })                         -- it failed
  go({ a = a, b = { name = "b", rates = { 0.2, x = 2 } } }, 2)
  check.equal(ran, { "b1", "b2" })                   -- other settings
  go({ a = a }, 1, { threads = 2 })
  check.equal(ran, { "a1" })
  -- What a kill leaves: a line that ends early, whatever is in it, and whatever comes after.
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  local function write(text)
    local file <close> = assert(io.open(path, "wb"))
    file:write(text)
  end
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  for _, cut in ipairs { 1, 20, #lines[3] - 1 } do
    write(table.concat(lines, "\n", 1, 2) .. "\n" .. lines[3]:sub(1, cut))
    check.equal(tostring(go({ a = a, b = b }, 3)):gsub("%d+%.%d+\n", "\n"), tostring(whole):gsub("%d+%.%d+\n", "\n"))
    check.equal(ran, { "a2", "a3", "b1", "b2", "b3" })
    go({ a = a, b = b }, 3)
    check.equal(ran, {})
  end
  write(lines[1]:sub(1, 9))
  go({ a = a }, 1)
  check.equal(ran, { "a1" })
  write "variant,seed\n"
  check.raises(("experiment: %s is no file of runs, which save adds to"):format(path), go, { a = a }, 1)
  os.remove(path)
  check.raises("experiment: save must be a path, got 3", go, { a = a }, 1, { save = 3 })
end)

check.case("build and freeze", function()
  local result = mg.experiment {
    variants = { none = {}, first = { freeze = "0.*" }, bn = { freeze = { "1" }, level = "full" } }, seeds = 2, progress = false,
    build = function(variant, seed) return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)) end,
    run = function(net, variant, seed)
      local watch, opt = mg.watch(net), optim.SGD(net:parameters(), { lr = 0.1 })
      net(mg.randn(4, 2)):pow(2):mean():backward()
      opt:step()
      watch:assert_frozen()
      return { trained = mg.summary(net).trainable, training = net[2].training and 1 or 0 }
    end,
  }
  check.equal(result:values("none", "trained"), { 19, 19 })
  check.equal(result:values("first", "trained"), { 10, 10 })
  check.equal({ result:values("bn", "trained")[1], result:values("bn", "training")[1] }, { 13, 0 })
end)

check.case("a run that fails is told, and the others go on", function()
  local result = mg.experiment {
    variants = { a = {}, b = {} }, seeds = { 1, 2 }, progress = false,
    run = function(variant, seed)
      if seed == 2 then error("no luck") end
      return { loss = seed }
    end,
  }
  check.equal(result:values("a", "loss"), { 1 })
  check.mentions(tostring(result), "1, 1 failed", "failed: b, seed 2: ", "no luck")
  local none = mg.experiment { variants = { a = {} }, seeds = 1, progress = false, run = function() return "x" end }
  check.mentions(tostring(none), "run must give a table of numbers by names, got \"x\"")
end)

check.case("files", function()
  local result = mg.experiment {
    variants = { a = {}, ["b & c"] = {} }, seeds = 2, progress = false,
    run = function(_, seed) return { loss = seed / 2, curve = { 1, 0.5, seed / 4 } } end,
  }
  local path = os.tmpname()
  result:save_csv(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = (line:gsub(",[%d.e-]+,$", ",S,")) end
  check.equal(lines, { "variant,seed,loss,seconds,error", "a,1,0.5,S,", "a,2,1.0,S,", "b & c,1,0.5,S,", "b & c,2,1.0,S," })
  local function text_of(path)
    local file <close> = assert(io.open(path, "rb"))
    return file:read "a"
  end
  result:save_svg(path, "curve", { log = true, title = "x < y", x = "epoch" })
  local text = text_of(path)
  check.mentions(text, "<svg xmlns", ">a</text>", ">b &amp; c</text>", ">x &lt; y</text>", ">epoch</text>", ">curve</text>",
    ">mean ± sd over 2 seeds</text>", "</svg>")
  check.equal(select(2, text:gsub('<polyline points="[%d., ]+" fill="none" stroke="#%x+" stroke%-width="2"', "")), 2)
  check.is_true(not text:find "nan" and not text:find "inf")
  -- The picture of a metric has the runs of each variant.
  result:plot(path .. ".svg", "loss")
  check.mentions(text_of(path .. ".svg"), ">a</text>", ">0.75 ± 0.3536</text>", ">mean ± sd over 2 seeds</text>")
  check.equal(select(2, text_of(path .. ".svg"):gsub('r="3.5"', "")), 4)
  result:plot(path .. ".PNG", "curve", { width = 300, height = 200 })
  check.equal(mg.data.read_image(path .. ".PNG").shape, { 3, 400, 600 })
  result:save_png(path, "loss")
  check.equal(mg.data.read_image(path).shape, { 3, 396, 1600 })
  os.remove(path .. ".svg")
  os.remove(path .. ".PNG")
  check.raises("save_svg: run gave neither a curve, which is a list of numbers, nor a number called \"lss\" in what it returns",
    result.save_svg, result, path, "lss")
  check.raises("plot: 'a.gif' ends neither in .svg nor in .png, by which the format is chosen", result.plot, result, "a.gif", "loss")
  check.raises("plot: option 'width': expected a whole number from 160 to 4000, got 5", result.plot, result, "a.svg", "loss", { width = 5 })
  check.raises("plot: argument 2: expected the name of a curve or of a metric that run gave, got nil", result.plot, result, "a.svg")
  check.raises("save_png: expected what experiment gave as self, got nil; methods are called with ':'", result.save_png)
  os.remove(path)
end)

check.case("pictures of runs that failed, ended early, or gave no numbers", function()
  local path = os.tmpname()
  local function picture(name, run)
    local result = mg.experiment { variants = { a = { 1 }, b = { 2 } }, seeds = 3, progress = false, run = run }
    result:save_svg(path, name)
    local file <close> = assert(io.open(path))
    return file:read "a"
  end
  local text = picture("c", function(variant, seed)
    if variant[1] == 2 and seed == 3 then error "no" end
    return { c = { seed, 1, variant[1] == 1 and seed == 1 and 2 or nil } }
  end)
  check.mentions(text, ">mean ± sd over 2 to 3 seeds; where some end earlier, over those that go on</text>", ">a (3 seeds)</text>", ">b (2 seeds)</text>")
  check.mentions(picture("c", function() return { c = { 0 / 0, 1 / 0, 3, "x" } } end), ">6 values are not finite and not shown</text>")
  check.mentions(picture("l", function(_, seed) return { l = seed == 1 and 0 / 0 or 1 } end), ">a</text>", ">–</text>", ">4 values are not finite and not shown</text>")
  os.remove(path)
end)

check.case("what is asked for wrongly", function()
  local function run() return 1 end
  local function raises(message, set) check.raises("experiment: " .. message, mg.experiment, set) end
  raises("variants must be tables by names, got nil", { run = run, seeds = 1 })
  raises("variants have names, got the key 1", { variants = { {} }, run = run, seeds = 1 })
  raises("the variant a must be a table, got 3", { variants = { a = 3 }, run = run, seeds = 1 })
  raises("run must be a function, got nil", { variants = { a = {} }, seeds = 1 })
  raises("seeds must be a list of whole numbers, or how many, got nil", { variants = { a = {} }, run = run })
  raises("the seed 1 comes a second time", { variants = { a = {} }, run = run, seeds = { 1, 1 } })
  raises("seeds are whole numbers, got 1.5", { variants = { a = {} }, run = run, seeds = { 1.5 } })
  raises("freeze of a is applied to what build makes: give a build", { variants = { a = { freeze = "*" } }, run = run, seeds = 1 })
  raises("workers must be a whole number from 1 to 256, got 0", { variants = { a = {} }, run = run, seeds = 1, workers = 0 })
  raises("threads must be a whole number from 1 to 256, got 1.5", { variants = { a = {} }, run = run, seeds = 1, threads = 1.5 })
  raises("order must name every variant once", { variants = { a = {}, b = {} }, run = run, seeds = 1, order = { "a" } })
  local result = mg.experiment { variants = { a = {} }, seeds = 1, progress = false, run = run }
  check.raises("values: there is no variant \"b\"; did you mean 'a'? (there is a)", result.values, result, "b", "value")
  check.raises("mean: expected what experiment gave as self, got nil; methods are called with ':'", result.mean)
end)

return check.done()

-- Experiments: the same seeds for every variant, statistics of paired differences, failures, files.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

check.case("every variant runs with every seed, after seeding", function()
  local drawn = {}
  local result = mg.experiment {
    variants = { b = { shift = 1 }, none = { shift = 0 } }, seeds = { 3, 7 }, progress = false,
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
  check.mentions(tostring(result), "variant", "5.667 ± 5.61", "difference to b", "0.031")
  local moved = mg.rand(1):item()
  mg.manual_seed(5)
  local first = mg.rand(1):item()
  mg.manual_seed(5)
  result:compare("value", "a", "b")                   -- no stream of the script moves
  check.equal(mg.rand(1):item(), first)
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
  raises("order must name every variant once", { variants = { a = {}, b = {} }, run = run, seeds = 1, order = { "a" } })
  local result = mg.experiment { variants = { a = {} }, seeds = 1, progress = false, run = run }
  check.raises("values: there is no variant \"b\"; did you mean 'a'? (there is a)", result.values, result, "b", "value")
  check.raises("mean: expected what experiment gave as self, got nil; methods are called with ':'", result.mean)
end)

return check.done()

-- What stands around training: metrics, progress, an end in time, loggers.

local mg = require "moongrad"
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local nn, metrics = mg.nn, mg.metrics

check.case("metrics gather batches, with labels from 1", function()
  local scores, labels = mg.tensor { { 0.1, 0.9 }, { 0.8, 0.2 }, { 0.3, 0.7 } }, mg.tensor { 2, 2, 2 }
  local accuracy = metrics.Accuracy()
  check.equal(accuracy(scores[{ { 1, 2 } }], labels[{ { 1, 2 } }]), 0.5)      -- of this batch
  check.equal(accuracy(scores[{ { 3, 3 } }], labels[{ { 3, 3 } }]), 1.0)
  check.equal(accuracy:compute(), 2 / 3)                                      -- of all
  check.equal(accuracy.count, 3)
  check.equal(tostring(accuracy), "Accuracy: 0.6667 of 3 examples")
  check.raises("Accuracy: label 0 is none of the 2 classes, which count from 1", accuracy.update, accuracy, scores, mg.tensor { 0, 1, 2 })
  check.equal(accuracy.count, 3)
  accuracy:reset()
  check.equal(tostring(accuracy), "Accuracy: no value yet, of 0 examples")
  check.raises("Accuracy: nothing was added yet: call update with each batch first", accuracy.compute, accuracy)

  local matrix = metrics.ConfusionMatrix(3)
  matrix:update(mg.tensor { 1, 2, 3, 3 }, mg.tensor { 1, 2, 2, 3 })
  check.elements(matrix:compute(), { { 1, 0, 0 }, { 0, 1, 1 }, { 0, 0, 1 } })
  check.equal(matrix:compute().dtype, "int64")

  local mean = metrics.Mean()
  mean:update(0.5, 3)
  mean:update(mg.tensor(1.5))
  check.equal(mean:compute(), 0.75)

  local recall = metrics.Recall { num_classes = 3, average = "none" }
  recall:update(mg.tensor { 1, 2, 3, 3 }, mg.tensor { 1, 2, 2, 3 })
  check.elements(recall:compute(), { 1, 0.5, 1 })
  local area = metrics.AUROC()
  area:update(mg.tensor { 0.1, 0.4, 0.35, 0.8 }, mg.tensor { 0, 0, 1, 1 })
  check.equal(area:compute(), 0.75)
end)

check.case("a metric goes on from its state", function()
  local first, second = metrics.F1Score(2), metrics.F1Score(2)
  first:update(mg.tensor { 1, 2, 1 }, mg.tensor { 1, 1, 1 })
  second:load_state_dict(first:state_dict())
  check.equal(second:compute(), first:compute())
  check.raises("Accuracy: the state has no 'counts'", function() metrics.Accuracy():load_state_dict(first:state_dict()) end)
  check.raises("F1Score.load_state_dict: expected what state_dict() gives, got 3", first.load_state_dict, first, 3)
  check.raises("update: expected a metric as self, got nil; methods are called with ':'", first.update)
  check.rejects("return require 'moongrad'.metrics.Acuracy", "metrics has no 'Acuracy'; did you mean 'Accuracy'?")
end)

check.case("no number of a script's traps a metric", function()
  local huge, least = mg.tensor { math.maxinteger }, mg.tensor { math.mininteger }
  check.equal(metrics.Accuracy()(huge, huge), 1.0)
  check.equal(metrics.Accuracy()(huge, mg.tensor { math.maxinteger - 1 }), 0.0)
  for _, wrong in ipairs { huge, least } do
    check.is_true(not pcall(function() metrics.ConfusionMatrix(2):update(wrong, mg.tensor { 1 }) end))
    check.is_true(not pcall(function() metrics.F1Score():update(wrong, mg.tensor { 1 }) end))
    check.is_true(not pcall(function() metrics.AUROC(2):update(mg.ones(1, 2), wrong) end))
  end
  for _, bad in ipairs { 0 / 0, 1 / 0, -1, 0.5, 1e300 } do
    for name, state in pairs {
      Accuracy = { counts = mg.tensor({ bad, 1 }, { dtype = "float64" }) }, Mean = { sums = mg.tensor({ 1, 1, 1, bad }, { dtype = "float64" }) }, F1Score = { table = mg.full({ 2, 2 }, bad, { dtype = "float64" }) },
      AUROC = { actual = mg.tensor({ bad }, { dtype = "float64" }), scores = mg.tensor { 1.0 } }, R2Score = { sums = mg.zeros(3, 1), count = mg.tensor({ bad }, { dtype = "float64" }) },
    } do
      local ok, message = pcall(function() metrics[name]():load_state_dict(state) end)
      check.is_true(not ok)
      check.mentions(message, name .. ": '", "which is no count")
    end
  end
  check.raises("ConfusionMatrix: num_classes must be from 1 to 2,000, got 1000000", metrics.ConfusionMatrix, 1000000)
  check.raises("progress: total must be a count, got 2.5", mg.progress, 3, { total = 2.5 })
  check.raises("SummaryWriter: a path of 2000000 bytes is too long", mg.loggers.SummaryWriter, string.rep("a/", 1000000))
end)

check.case("metrics of a model that requires grad keep no graph", function()
  local net, accuracy = nn.Linear(3, 2), metrics.Accuracy()
  accuracy:update(net(mg.randn(4, 3)), mg.tensor { 1, 2, 1, 2 })
  check.equal(accuracy.count, 4)
  local mean = metrics.Mean()
  mean:update(net(mg.randn(4, 3)):mean(), 4)
  check.equal(type(mean:compute()), "number")
end)

-- What a bar writes, with its moves of the cursor as letters.
local function written(use)
  local pieces = {}
  use(function(text) pieces[#pieces + 1] = text end)
  local text = table.concat(pieces)
  return (text:gsub("\27%[K", "K"):gsub("\27%[A", "A"):gsub("\r", "R"):gsub("\n", "N"):gsub("%d%d:%d%d<[%d:?]+, [%d.?]+/s", "T"))
end

check.case("progress counts, and shows values", function()
  check.equal(written(function(write)
    local bar = mg.progress(2, { desc = "epochs", write = write, every = 0 })
    for epoch in bar do bar:set { loss = 0.123456, note = "a", n = mg.tensor(3) } end
  end), "Repochs:   0% [....................] 0/2 TKRepochs:  50% [##########..........] 1/2 T loss=0.1235 n=3 note=aKRK")
  -- A loop within a loop stands a line lower, and ends there.
  local text = written(function(write)
    for _ in mg.progress(1, { write = write, every = 0 }) do
      for _ in mg.progress(1, { write = write, every = 0 }) do end
    end
  end)
  check.equal(text, "R  0% [....................] 0/1 TKNR  0% [....................] 0/1 TKANRKARK")
  -- With leave the last state stays.
  text = written(function(write) for _ in mg.progress(1, { write = write, every = 100, leave = true }) do end end)
  check.equal(text, "R100% [####################] 1/1 TKN")
end)

check.case("progress goes through iterators, and ends where a loop is left", function()
  local seen = {}
  for word, rest in mg.progress(string.gmatch("a1 b2", "(%a)(%d)")) do seen[#seen + 1] = word .. rest end
  check.equal(seen, { "a1", "b2" })
  local loader, sum, sizes = mg.data.DataLoader(mg.data.TensorDataset(mg.arange(5), mg.arange(5)), { batch_size = 2 }), 0, {}
  for _ = 1, 2 do
    local bar = mg.progress(loader)
    check.equal(#bar, 3)
    for a, b in bar do
      sum = sum + (a + b):sum():item()
      sizes[#sizes + 1] = #a
    end
  end
  check.equal({ sum, table.concat(sizes, " ") }, { 40, "2 2 1 2 2 1" })
  local text = written(function(write)
    for i in mg.progress(5, { write = write, every = 0 }) do if i == 2 then break end end
    for _ in mg.progress(1, { write = write, every = 0 }) do end
    pcall(function() for _ in mg.progress(1, { write = write, every = 0 }) do error "x" end end)
    for _ in mg.progress(1, { write = write, every = 0 }) do end
  end)
  check.equal(select(2, text:gsub("N", "")), 0)      -- none of them stood within another
  -- One object, two loops.
  local bar, count = mg.progress(3), 0
  for _ in bar do count = count + 1 end
  for _ in bar do count = count + 1 end
  check.equal(count, 6)
  check.equal(#bar, 3)
  bar:close()
  check.raises("set: expected a table of values by their names, got 3", bar.set, bar, 3)
  check.raises("set: expected what progress gave as self, got nil; methods are called with ':'", bar.set)
end)

check.case("EarlyStopping", function()
  local function stops(options, values)
    local stopper = mg.EarlyStopping(options)
    for step, value in ipairs(values) do if stopper:step(value) then return step, stopper end end
    return nil, stopper
  end
  local step, stopper = stops({ patience = 2 }, { 3, 2, 2.5, 2, 2.1, 1 })
  check.equal(step, 5)
  check.equal({ stopper.best, stopper.best_step, stopper.bad_steps, stopper.improved }, { 2, 2, 3, false })
  check.equal(stops({ patience = 0, mode = "max" }, { 1, 2, 2 }), 3)
  check.equal(stops({ patience = 1, min_delta = 0.5 }, { 3, 2.6, 2.2, 2 }), nil)
  check.equal(stops({ patience = 1, min_delta = 0.5 }, { 3, 2.6, 2.6, 2 }), 3)
  check.equal(stops({ patience = 1 }, { 0 / 0, 0 / 0, 1 }), 2)
  local other = mg.EarlyStopping { patience = 2 }
  other:load_state_dict(stopper:state_dict())
  check.equal(other.best, 2)
  check.equal(other:step(mg.tensor(1.5)), false)
  check.raises("EarlyStopping: mode must be \"min\" or \"max\", got \"least\"", mg.EarlyStopping, { mode = "least" })
  check.raises("EarlyStopping: patience must be a whole number from 0 on, got -1", mg.EarlyStopping, { patience = -1 })
  check.raises("EarlyStopping: step: expected a number, got nil", other.step, other)
end)

local function contents(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

check.case("a CSV log", function()
  local path = os.tmpname()
  local logger = mg.loggers.CSVLogger(path)
  logger:log { loss = 0.5, epoch = 1, note = 'a "b", c' }
  check.equal(contents(path), 'epoch,loss,note\n1,0.5,"a ""b"", c"\n')       -- at once
  logger:log { epoch = 2, loss = mg.tensor(0.25) }
  check.raises(string.format("log: %s: there is no column 'acc' (there is epoch, loss, note): name all of them when it is opened", path),
    logger.log, logger, { acc = 1 })
  logger:close()
  check.raises(string.format("log: %s: was closed", path), logger.log, logger, { epoch = 3 })
  local more <close> = mg.loggers.CSVLogger(path, { append = true })
  more:log { epoch = 3, loss = 0 / 0 }
  check.equal(contents(path), 'epoch,loss,note\n1,0.5,"a ""b"", c"\n2,0.25,\n3,nan,\n')
  check.raises(string.format("CSVLogger: %s: has the columns epoch, loss, note, not a", path),
    mg.loggers.CSVLogger, path, { columns = { "a" }, append = true })
  check.raises("log: 'x': expected a number, a text, a boolean or a tensor of one element, got a table", more.log, more, { x = {} })
  os.remove(path)
end)

check.case("events for TensorBoard", function()
  local folder = os.tmpname() .. "-runs"
  local writer = mg.loggers.SummaryWriter(folder)
  writer:add_scalar("loss", 0.5, 1)
  writer:add_scalars("acc", { train = 0.5, test = mg.tensor(0.25) }, 1)
  writer:add_histogram("w", mg.randn(100), 1)
  writer:add_text("note", "**hi**")
  check.raises("SummaryWriter: w: an empty tensor has no histogram", function() writer:add_histogram("w", mg.zeros(0)) end)
  check.raises("add_scalar: one number is expected, got a tensor of shape [2]", writer.add_scalar, writer, "x", mg.ones(2))
  writer:close()
  check.is_true(string.find(tostring(pcall(writer.add_scalar, writer, "x", 1)), "false") ~= nil)
  local listing <close> = io.popen("ls " .. folder .. " | wc -l")
  check.equal(tonumber(listing:read "a"), 1)
  os.execute("rm -r " .. folder)
  check.raises("SummaryWriter: /dev/null: is no folder", mg.loggers.SummaryWriter, "/dev/null/x")
end)

return check.done()

-- Files of tensors and checkpoints: what is saved comes back, what PyTorch saved is read, and nothing is executed.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local fixtures = (arg[0]:match "^.*/" or "./") .. "../../FilesTests/Fixtures/checkpoints/"
local path = os.tmpname()

local function read(name)
  local file = assert(io.open(name, "rb"))
  local bytes = file:read "a"
  file:close()
  return bytes
end

local function write(name, bytes)
  local file = assert(io.open(name, "wb"))
  file:write(bytes)
  file:close()
end

-- The call raises a message that has each of the parts.
local function refuses(parts, f, ...) check.mentions(check.message_of(f, ...), table.unpack(parts)) end

local dtypes = { "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool" }

check.case("safetensors: the reference's bytes", function()
  local tensors = mg.load_safetensors(fixtures .. "reference.safetensors")
  for i, dtype in ipairs(dtypes) do check.equal(tensors["t" .. i - 1].dtype, dtype) end
  check.equal(tensors.empty.shape, { 0, 3 })
  check.equal(mg.save_safetensors(tensors, path, { metadata = { format = "pt" } }), path)
  check.is_true(read(path) == read(fixtures .. "reference.safetensors"))
end)

check.case("safetensors: one tensor at a time", function()
  local f = mg.open_safetensors(fixtures .. "reference.safetensors")
  check.equal(#f, 14)
  check.equal(#f:keys(), 14)
  check.equal(f:info "t3", { dtype = "bfloat16", shape = { 2, 3 } })
  check.equal(f:get("t4"):tolist(), { { 0, 1, 2 }, { 3, 4, 0 } })
  check.equal(f:metadata(), { format = "pt" })
  refuses({ "get: ", "reference.safetensors: there is no tensor \"x\"" }, f.get, f, "x")
  check.raises("get: argument 1: expected the name of a tensor, got 3", f.get, f, 3)
  check.raises("keys: expected an open file as self, got nil; methods are called with ':'", f.keys)
end)

check.case("safetensors: a file in memory", function()
  local w, odd = mg.randn(3, 5), mg.ones(3):byte()
  mg.save_safetensors({ w = w, odd = odd, empty = mg.zeros(0) }, path)
  local t = mg.load_safetensors(path, { mmap = true })
  check.is_true(t.w:equal(w) and t.odd:equal(odd) and t.empty:numel() == 0)
  t.w:zero_()                                                   -- stays in memory
  check.is_true(mg.open_safetensors(path, { mmap = true }):get("w"):equal(w))
  check.is_true((t.w + 1):sum():item() == 15)
  check.raises("load_safetensors: option 'mmap': expected true or false, got 1", mg.load_safetensors, path, { mmap = 1 })
end)

check.case("safetensors: several files", function()
  local name = path .. ".safetensors"
  local state = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 40)):state_dict()
  check.equal(mg.save_safetensors(state, name, { max_shard_size = "1GB" }), name)
  local index = mg.save_safetensors(state, name, { max_shard_size = "3KB" })
  check.equal(index, name .. ".index.json")
  local again = mg.load_safetensors(index)
  for key, value in pairs(state) do check.is_true(again[key]:equal(value)) end
  local files = 0
  for file in read(index):gmatch '"([^"/]*%-of%-[^"]*)"' do
    files = files + (os.remove((path:match "^.*/") .. file) and 1 or 0)
  end
  check.equal(files, 2)
  os.remove(index)
  os.remove(name)
  check.raises("save_safetensors: max_shard_size: expected a count of bytes, or one as in \"5GB\", got \"5 stones\"", mg.save_safetensors, state, name,
    { max_shard_size = "5 stones" })
end)

check.case("safetensors: what cannot be", function()
  check.raises("save_safetensors: expected tensors, got 3 under \"a\"; mg.save takes other things too", mg.save_safetensors, { a = 3 }, path)
  check.raises("save_safetensors: the name of a tensor must be a string, got 1", mg.save_safetensors, { mg.ones(1) }, path)
  check.raises("save_safetensors: the name of a tensor must be UTF-8", mg.save_safetensors, { ["\xff"] = mg.ones(1) }, path)
  check.raises("save_safetensors: metadata.a must be a string, got 3", mg.save_safetensors, {}, path, { metadata = { a = 3 } })
  check.raises("save_safetensors: unknown option 'metdata'; did you mean 'metadata'? (known: metadata, max_shard_size)", mg.save_safetensors, {}, path,
    { metdata = {} })
  check.raises("load_safetensors: argument 1: expected a path, got nil", mg.load_safetensors)
  write(path, "\xff\xff\xff\xff\xff\xff\xff\x7f{}")
  refuses({ "load_safetensors: ", ": byte 0: a header of 9223372036854775807 bytes is announced, and at most 2 are possible" },
    mg.load_safetensors, path)
end)

-- Saved and loaded.
local function again(value)
  mg.save(value, path)
  return mg.load(path)
end

check.case("values come back", function()
  local value = {
    1, 2.0, "three", nil, false, 0.1, [-3] = "minus", [1.5] = "one and a half", [true] = "yes", ["\xff\0"] = "\0\xfe", nested = { { {} } },
    max = math.maxinteger, min = math.mininteger, inf = mg.inf, ninf = -mg.inf, tiny = 5e-324, text = "é\n\"",
  }
  local t = again(value)
  check.equal(t, value)
  for key, v in pairs(value) do check.equal(math.type(t[key]), math.type(v)) end
  check.equal(t[4], nil)
  check.is_true(again{ 0 / 0 }[1] ~= again{ 0 / 0 }[1])
  check.equal(1 / again(-0.0), -mg.inf)
  for _, v in ipairs { 42, 2.5, "text", true } do check.equal(again(v), v) end
  check.equal(again(nil), nil)
  check.equal(again {}, {})
end)

check.case("tensors come back, and what is shared is shared", function()
  for _, dtype in ipairs(dtypes) do
    local x = mg.arange(24):remainder(3):reshape(2, 3, 4):to(dtype)
    local t = again{ x, x:transpose(1, 3), x:select(2, 2), mg.zeros({}, { dtype = dtype }), mg.zeros(0, 3, { dtype = dtype }), x:clone():transpose(1, 2) }
    for i, y in ipairs{ x, x:transpose(1, 3), x:select(2, 2), mg.zeros({}, { dtype = dtype }), mg.zeros(0, 3, { dtype = dtype }), x:transpose(1, 2) } do
      check.equal(t[i].dtype, dtype)
      check.equal(t[i].shape, y.shape)
      check.is_true(t[i]:equal(y))
    end
    check.equal(t[6]:stride(), x:transpose(1, 2):stride())
    t[1]:fill_(1)
    check.is_true(t[2]:float():eq(1):all():item() and t[3]:float():eq(1):all():item())
  end
  local w, frozen, list = nn.Parameter(mg.randn(2, 2)), nn.Parameter(mg.ones(1), { requires_grad = false }), { 1 }
  local t = again{ w = w, again = w, tied = w:detach(), frozen = frozen, leaf = mg.ones(2, { requires_grad = true }), a = list, b = { c = list } }
  check.is_true(t.w == t.again and t.a == t.b.c and t.w ~= t.tied)
  check.is_true(t.w.requires_grad and not t.frozen.requires_grad and t.leaf.requires_grad and not t.tied.requires_grad)
  check.is_true(tostring(t.frozen):find "Parameter" and not tostring(t.leaf):find "Parameter")
  t.tied:fill_(3)
  check.equal(t.w:tolist(), { { 3.0, 3.0 }, { 3.0, 3.0 } })
  local large = mg.ones(1000, 1000)
  again{ large[1], large[1000], mg.ones(1):expand(1000000) }
  check.is_true(#read(path) < 10000)
end)

check.case("what a file cannot hold", function()
  mg.save("old", path)
  local cycle = { a = {} }
  cycle.a[1] = cycle
  local Own = nn.Module "Own"
  local w = mg.ones(1, { requires_grad = true })
  local opt = optim.SGD({ w }, { lr = 1 })
  for _, case in ipairs {
    { { optimizer = { groups = { { closure = print } } } }, "optimizer.groups[1].closure is a function, which a file cannot hold" },
    { { a = { coroutine.create(print) } }, "a[1] is a coroutine, which a file cannot hold" },
    { { ["a b"] = io.stdout }, '["a b"] is a userdata, which a file cannot hold' },
    { { net = nn.Linear(1, 1) }, "net is a module; save what its :state_dict() gives" },
    { { net = { Own() } }, "net[1] is a module, Own; save what its :state_dict() gives" },
    { nn.Sequential(), "the value is a module, Sequential; save what its :state_dict() gives" },
    { { opt = opt }, "opt is an optimizer; save what its :state_dict() gives" },
    { { loader = mg.data.DataLoader(mg.ones(3)) }, "loader is a DataLoader; save what its :state_dict() gives, if it has one" },
    { { g = mg.Generator() }, "g is a generator; save what its :get_state() gives" },
    { { s = optim.lr_scheduler.StepLR(opt, 1) }, "s is a scheduler; save what its :state_dict() gives" },
    { cycle, "a[1] is the value itself, and a file holds no cycles" },
    { { t = { [{}] = 1 } }, "t has a table for a key, where numbers, strings, true and false can be" },
  } do check.raises("save: " .. case[2], mg.save, case[1], path) end
  local deep = {}
  for _ = 1, 250 do deep = { deep } end
  refuses({ "save: [1][1]", "is nested more than 200 tables deep" }, mg.save, deep, path)
  check.equal(mg.load(path), "old")
  check.rejects([[mg.save(1)]], "save: argument 2: expected a path, got nil")
  check.rejects([[mg.save(1, "/nowhere/x")]], "save: /nowhere/x: cannot be written: no such file or directory")
  check.rejects([[mg.load(3)]], "load: argument 1: expected a path, got 3")
  refuses({ "load: ", "plain.pt: is a zip archive, as torch.save writes it, and no checkpoint; load_torch reads those" }, mg.load, fixtures .. "plain.pt")
end)

-- All that goes on: layers, optimizers, schedulers.
local function training(name, options, epochs, from)
  mg.manual_seed(3)
  local net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))
  local x, y = mg.randn(16, 4), mg.randn(16, 2)
  local opt = optim[name](net:parameters(), options)
  local schedulers = {
    optim.lr_scheduler.CosineAnnealingLR(opt, { T_max = 7 }), optim.lr_scheduler.MultiStepLR(opt, { milestones = { 2, 5 }, gamma = 0.5 }),
    optim.lr_scheduler.ReduceLROnPlateau(opt, { patience = 1, factor = 0.7 }),
  }
  local first = 1
  if from then
    local saved = mg.load(from)
    net:load_state_dict(saved.model)
    opt:load_state_dict(saved.optimizer)
    for i, scheduler in ipairs(schedulers) do scheduler:load_state_dict(saved.schedulers[i]) end
    first = saved.epoch + 1
  end
  local function closure()
    opt:zero_grad()
    local loss = F.mse_loss(net(x), y)
    loss:backward()
    return loss
  end
  for epoch = first, epochs do
    local loss = opt:step(closure)
    schedulers[1]:step()
    schedulers[2]:step()
    schedulers[3]:step(loss:item())
    if epoch == 4 and not from then
      local states = {}
      for i, scheduler in ipairs(schedulers) do states[i] = scheduler:state_dict() end
      mg.save({ model = net:state_dict(), optimizer = opt:state_dict(), schedulers = states, epoch = epoch }, path)
    end
  end
  return net:state_dict()
end

check.case("optimizers and schedulers go on bit for bit", function()
  local tried = 0
  for name in pairs(optim) do
    if name:find "^%u" then
      local options = ({
        SGD = { lr = 0.1, momentum = 0.9, nesterov = true }, LBFGS = { lr = 0.5, history_size = 5 }, Adam = { lr = 0.01, amsgrad = true },
      })[name] or { lr = 0.01 }
      local ok, whole = pcall(training, name, options, 8)
      if ok then
        tried = tried + 1
        for key, value in pairs(training(name, options, 8, path)) do
          if not value:equal(whole[key]) then check.fail(name .. ": " .. key .. " is different after going on") end
        end
      elseif not tostring(whole):find "sparse" and not tostring(whole):find "2" then
        check.fail(name .. ": " .. tostring(whole))
      end
    end
  end
  check.is_true(tried > 10)
end)

check.case("PyTorch's values", function()
  local t = mg.load_torch(fixtures .. "plain.pt")
  check.equal(t.list, { 1, nil, "three", 4.5, true })
  check.equal(t.tuple, { 1, { 2, 3 } })
  check.equal(t.counter, { 2, 1 })
  check.equal({ t.dtype, t.device, t.text, t[3], t[2.5], t[true] }, { "float16", "cpu", "é", "three", "float", "flag" })
  check.is_true(t.shared == t["shared again"] and t.frozen == t.again and not t.frozen.requires_grad)
  t.base:fill_(7)
  check.equal(t.row:tolist(), { 7.0, 7.0, 7.0, 7.0 })
  check.equal(again(t).turned.shape, { 4, 3 })
end)

local Net = nn.Module "Net"
function Net:init()
  self.embedding = nn.Embedding(7, 4)
  self.lstm = nn.LSTM(4, 3, { batch_first = true, bidirectional = true })
  self.norm = nn.LayerNorm(6)
  self.attention = nn.MultiheadAttention(6, 2, { batch_first = true })
  self.conv = nn.Conv1d(6, 4, 3, { padding = 1 })
  self.bn = nn.BatchNorm1d(4)
  self.head = nn.Sequential(nn.Linear(4, 5), nn.PReLU(), nn.Linear(5, 2))
end
function Net:forward(x)
  x = self.norm((self.lstm(self.embedding(x))))
  x = self.attention(x, x, x, { need_weights = false })
  x = self.bn(self.conv(x:transpose(2, 3)))
  return self.head(x:mean(3))
end

check.case("a model that PyTorch saved gives PyTorch's outputs", function()
  for _, dtype in ipairs { "float32", "float16", "bfloat16", "float64" } do
    local saved = mg.load_torch(fixtures .. "net-" .. dtype .. ".pt")
    check.equal(saved.state["head.0.weight"].dtype, dtype)
    local net = Net():eval()
    net:load_state_dict(saved.state)
    -- Rows count from 1 here.
    local difference = (net(saved.input + 1) - saved.output):abs():max():item()
    if difference > 1e-6 then check.fail(("%s: outputs differ by %g"):format(dtype, difference)) end
  end
end)

check.case("a run that PyTorch began goes on as in PyTorch", function()
  local saved = mg.load_torch(fixtures .. "training.pt")
  local classes = { sgd = optim.SGD, adam = optim.Adam, adamw = optim.AdamW, rmsprop = optim.RMSprop, adagrad = optim.Adagrad }
  for name, class in pairs(classes) do
    local run = saved.runs[name]
    check.equal(run.epoch, 3)
    local net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    local opt = class(net:parameters(), { lr = 0.3 })
    local scheduler = optim.lr_scheduler.StepLR(opt, 7)
    net:load_state_dict(run.model)
    opt:load_state_dict(run.optimizer)
    scheduler:load_state_dict(run.scheduler)
    for _ = 1, 2 do
      opt:zero_grad()
      F.mse_loss(net(saved.inputs), saved.targets):backward()
      opt:step()
      scheduler:step()
    end
    for key, value in pairs(net:state_dict()) do
      local difference = (value - run.after[key]):abs():max():item()
      if difference > 1e-6 then check.fail(("%s: %s differs by %g"):format(name, key, difference)) end
    end
  end
end)

check.case("what PyTorch's files may not ask for", function()
  local executed = "nothing was executed"
  for name, parts in pairs {
    legacy = { "is of the format before PyTorch 1.6; load it in PyTorch and save it again" },
    module = { "data.pkl, byte ", "torch.nn.modules.linear.Linear makes what is no tensor and no plain container", executed },
    complex = { "data.pkl, byte ", "elements of torch.ComplexFloatStorage, which there are none of here" },
    evil = { "data.pkl, byte ", "posix.system makes what is no tensor and no plain container", executed },
    big = { "data.pkl, byte ", "a whole number of 9 bytes, where 8 can be" },
    ["big-endian"] = { "byteorder: elements are stored in the order \"big\", not \"little\"" },
  } do refuses({ "load_torch: ", name .. ".pt: ", table.unpack(parts) }, mg.load_torch, fixtures .. name .. ".pt") end
end)

check.case("the last and the best are kept", function()
  local folder = path .. "-runs/inner"
  local function file(step) return ("%s/checkpoint-%09d.safetensors"):format(folder, step) end
  local function there()
    local steps = {}
    for step = 0, 9 do
      local f = io.open(file(step))
      if f then steps[#steps + 1] = step f:close() end
    end
    return steps
  end
  local c = mg.Checkpointer(folder, { keep = 2, monitor = "loss" })
  check.equal({ c:latest(), c:best(), c:load_latest(), c:load_best() }, {})
  for step, loss in ipairs { 3, 1, 2, mg.nan, 5 } do
    check.equal(c:save(step, { step = step, w = mg.ones(2) * step }, { loss = loss, other = 1 }), file(step))
    check.equal(there(), ({ { 1 }, { 1, 2 }, { 2, 3 }, { 2, 3, 4 }, { 2, 3, 5 } })[step])
  end
  check.equal({ c:latest() }, { file(5), 5, { loss = 5.0, other = 1.0 } })
  check.equal({ c:best() }, { file(2), 2, { loss = 1.0, other = 1.0 } })
  local value, step, metrics = c:load_best()
  check.equal({ value.step, step, metrics.loss, value.w:tolist() }, { 2, 2, 1.0, { 2.0, 2.0 } })
  -- What a writer left that was killed is removed; and what is broken, or is something else, is passed over.
  write(file(6) .. ".part-999999999-abc", "half")
  write(file(5), read(file(5)):sub(1, -2))
  write(folder .. "/checkpoint-x.safetensors", "not one")
  c = mg.Checkpointer(folder, { keep = 2, monitor = "loss", mode = "max" })
  check.equal(io.open(file(6) .. ".part-999999999-abc"), nil)
  check.equal(select(2, c:load_latest()), 3)
  check.equal(select(2, c:best()), 3)
  c:save(7, 7, { loss = mg.tensor(9) })
  check.equal({ c:load_latest() }, { 7, 7, { loss = 9.0 } })
  check.raises("save: " .. folder .. ": the metric 'loss', by which checkpoints are judged, is not among the metrics of step 8", c.save, c, 8, 1)
  for _, step in ipairs { 2, 3, 7 } do os.remove(file(step)) end
  refuses({ "load_latest: ", "checkpoint-000000005.safetensors: " }, c.load_latest, c)     -- of which none can be read
  os.remove(file(5))
  os.remove(folder .. "/checkpoint-x.safetensors")
  c = mg.Checkpointer(folder, { keep = 2 })
  for step = 1, 4 do c:save(step, step) end
  check.equal(there(), { 3, 4 })
  check.equal({ c:load_best() }, { 4, 4, {} })
  for step = 3, 4 do os.remove(file(step)) end
  os.remove(folder)
  os.remove(path .. "-runs")
  for _, case in ipairs {
    { { 3 }, "argument 1: expected a folder's path, got 3" }, { { path, { keep = 0 } }, "option 'keep': expected a count from 1 on, got 0" },
    { { path, { mode = "best" } }, "option 'mode': expected \"min\" or \"max\", got \"best\"" },
    { { path, { keeps = 1 } }, "unknown option 'keeps'; did you mean 'keep'? (known: keep, monitor, mode)" },
    { { path, { monitor = 1 } }, "option 'monitor': expected the name of a metric, got 1" },
  } do check.raises("Checkpointer: " .. case[2], mg.Checkpointer, table.unpack(case[1])) end
  check.raises("save: argument 1: expected a step, a whole number from 0 on, got -1", c.save, c, -1, 1)
  check.raises("save: expected a Checkpointer as self, got 1; methods are called with ':'", c.save, 1, 2)
  check.raises("save: net is a module; save what its :state_dict() gives", c.save, c, 1, { net = nn.Linear(1, 1) })
end)

check.case("a session may lend no files", function()
  local kept = io
  io = nil
  local results = {}
  for _, call in ipairs {
    { "save", mg.save, 1, path }, { "load", mg.load, path }, { "save_safetensors", mg.save_safetensors, {}, path },
    { "load_safetensors", mg.load_safetensors, path }, { "open_safetensors", mg.open_safetensors, path }, { "load_torch", mg.load_torch, path },
    { "Checkpointer", mg.Checkpointer, path },
  } do results[#results + 1] = { call[1], select(2, pcall(table.unpack(call, 2))) } end
  io = kept
  for _, result in ipairs(results) do check.mentions(result[2], result[1] .. ": this session lends scripts no files") end
end)

os.remove(path)
check.case("the texts of a .safetensors file come after its tensors", function()
  local path, net = os.tmpname(), mg.nn.Linear(2, 1)
  mg.save_safetensors(net:state_dict(), path, { metadata = { format = "pt" } })
  local tensors, texts = mg.load_safetensors(path)
  check.equal(texts.format, "pt")
  check.is_true(tensors.weight:equal(net.weight))
  local other = mg.nn.Linear(2, 1)
  other:load_state_dict(mg.load_safetensors(path))
  check.is_true(other.weight:equal(net.weight))
  mg.save_safetensors({ weight = net.weight }, path)
  check.equal(next(select(2, mg.load_safetensors(path))), nil)
  check.equal(other:load_state_dict(mg.load_safetensors(path), { strict = false }).missing_keys, { "bias" })
  os.remove(path)
end)

return check.done()

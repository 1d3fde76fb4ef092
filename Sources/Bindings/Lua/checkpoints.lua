-- Files of tensors, and checkpoints: what a training run needs to go on another day.

local native, mg, nn, shared = ...
local format = string.format
local raise, found, options = shared.raise, shared.found, shared.options

local function need_files(name)
  if not lends_files() then raise("%s: this session lends scripts no files", name) end
end

--[=[ mg.load_safetensors(path, { mmap = false })

Reads a .safetensors file: a table of its tensors by name, and the table of the texts that are beside them. An index of several files,
such as model.safetensors.index.json, is read with all files that it names.

Options:
  mmap: whether the tensors show the file's own bytes, which are read when they are looked at; only for files that nobody changes meanwhile,
    since the system ends a process that looks at what is gone

Example:
  local path = os.tmpname()
  mg.save_safetensors({ weight = mg.ones(2, 3) }, path)
  print(mg.load_safetensors(path).weight)
  os.remove(path)
]=]
function mg.load_safetensors(path, ...)
  need_files "load_safetensors"
  local tensors, texts = native.load_safetensors(path, options("load_safetensors", { { "mmap", false } }, ...).mmap)
  return tensors, setmetatable(texts, native.file_metadata)
end

--[=[ mg.open_safetensors(path, { mmap = false })

Opens a .safetensors file, or an index of several, and reads what there is, but no tensor before it is asked for: f:keys() is the list
of names, f:get(name) reads a tensor, f:info(name) is a table of its dtype and shape, f:metadata() the table of texts, #f the count.
mmap is as for mg.load_safetensors.

Example:
  local path = os.tmpname()
  mg.save_safetensors({ weight = mg.ones(2, 3), bias = mg.zeros(2) }, path)
  local f = mg.open_safetensors(path)
  for _, name in ipairs(f:keys()) do print(name, f:info(name).dtype) end
  print(f:get "bias")
  os.remove(path)
]=]
function mg.open_safetensors(path, ...)
  need_files "open_safetensors"
  return native.open_safetensors(path, options("open_safetensors", { { "mmap", false } }, ...).mmap)
end

--[=[ mg.save_safetensors(tensors, path, [options])

Writes a table of tensors by name, such as a state_dict, to a .safetensors file, which PyTorch and others read. What was there is
replaced when the whole file is on the disk. Options: metadata, a table of texts; max_shard_size, in bytes or as in "5GB": what is larger
is written to several files with an index. Gives the path to be read.

Example:
  local path = os.tmpname()
  local net = mg.nn.Linear(3, 2)
  mg.save_safetensors(net:state_dict(), path, { metadata = { format = "pt" } })
  net:load_state_dict(mg.load_safetensors(path))
  os.remove(path)
]=]
function mg.save_safetensors(tensors, path, options)
  need_files "save_safetensors"
  return native.save_safetensors(tensors, path, options)
end

--[=[ mg.save(value, path)

Writes a value to a file that mg.load reads: tables, nested as you like, of tensors, numbers, strings, true and false, such as the state
dicts of modules, optimizers and schedulers. Elements that tensors share are written once and shared again; tensors that require grad, and
parameters, come back as such, without gradients and history; metatables are left behind. Functions, cycles and userdata
raise with the path to them. What was there is replaced when the whole file is on the disk, so that a crash leaves one or the other.
The file is a .safetensors file, whose tensors other programs read too.

Example:
  local net = mg.nn.Linear(3, 2)
  local opt = mg.optim.SGD(net:parameters(), { lr = 0.1, momentum = 0.9 })
  local path = os.tmpname()
  mg.save({ model = net:state_dict(), optimizer = opt:state_dict(), epoch = 3 }, path)
  local saved = mg.load(path)
  net:load_state_dict(saved.model)
  opt:load_state_dict(saved.optimizer)
  print(saved.epoch)                       -- 3
  os.remove(path)
]=]
function mg.save(value, path)
  need_files "save"
  native.save(value, path)
end

-- A value, or tables to be put together: each with what is no table in it, and which is where in which.
local function joined(value, tables, links)
  if not tables then return value end
  for i = 1, #links, 3 do rawset(tables[links[i]], links[i + 1], tables[links[i + 2]]) end
  return tables[#tables]
end

--[=[ mg.load(path)

Reads what mg.save wrote: the same value, in which what was shared is shared again. Nothing in the file is executed, so that files of
strangers may be read.

Example:
  local path = os.tmpname()
  local shared = { 1, 2.5, "three" }
  mg.save({ a = shared, b = shared, w = mg.nn.Parameter(mg.ones(2)) }, path)
  local t = mg.load(path)
  print(t.a == t.b, t.a[3], t.w)
  os.remove(path)
]=]
function mg.load(path)
  need_files "load"
  return joined(native.load(path))
end

--[=[ mg.load_torch(path)

Reads what torch.save wrote (since PyTorch 1.6): tensors, and tables of the dictionaries, lists, numbers and strings around them, such as
the state dicts of models and optimizers. Lists count from 1; the numbers of parameters in an optimizer's state stay as they were. Nothing
is executed: whole models, and all else that is made by functions of Python, raise with the function's name.

Example:
  -- In Python: torch.save(model.state_dict(), "model.pt")
  local net = mg.nn.Linear(3, 2)
  local file = io.open("model.pt")
  if file then
    file:close()
    net:load_state_dict(mg.load_torch "model.pt")
  end
]=]
function mg.load_torch(path)
  need_files "load_torch"
  return joined(native.load_torch(path))
end

--[=[ mg.Checkpointer(folder, { keep = 3, monitor, mode = "min" })

Keeps a run's checkpoints in a folder, of which it makes one where there is none: the last, and the best few. A checkpoint takes its place when
it is whole and on the disk, and only then others are removed: whenever the run is killed, there is one to go on from.

Options:
  keep: how many of the best are kept, or of the newest where nothing is monitored; the last is kept in any case
  monitor: the metric by which they are judged
  mode: "min" where it should fall, or "max"

checkpoints:save(step, value, metrics) writes what mg.save would, and gives the path. checkpoints:latest() and checkpoints:best() give the path, the
step and the metrics, or nil where there is none. checkpoints:load_latest() and checkpoints:load_best() give the value, the step and the metrics, or
nil; what cannot be read is passed over for the next.

Example:
  local folder = os.tmpname()
  os.remove(folder)
  local checkpoints = mg.Checkpointer(folder, { keep = 2, monitor = "loss" })
  local saved, step = checkpoints:load_latest()
  for epoch = (step or 0) + 1, 3 do checkpoints:save(epoch, { epoch = epoch }, { loss = 1 / epoch }) end
  print(checkpoints:load_latest().epoch)             -- 3
  for epoch = 1, 3 do os.remove(("%s/checkpoint-%09d.safetensors"):format(folder, epoch)) end
  os.remove(folder)
]=]

local Checkpointer = {}
Checkpointer.__index, Checkpointer.__name = Checkpointer, "Checkpointer"
-- What writes and reads, out of the reach of scripts.
local handles = setmetatable({}, { __mode = "k" })

function mg.Checkpointer(folder, ...)
  need_files "Checkpointer"
  if type(folder) ~= "string" then raise("Checkpointer: argument 1: expected a folder's path, got %s", found(folder)) end
  local set = options("Checkpointer", { { "keep", 3 }, { "monitor" }, { "mode", "min" } }, ...)
  local keep = math.tointeger(set.keep)
  if not keep or keep < 1 then raise("Checkpointer: option 'keep': expected a count from 1 on, got %s", found(set.keep)) end
  if set.monitor ~= nil and type(set.monitor) ~= "string" then
    raise("Checkpointer: option 'monitor': expected the name of a metric, got %s", found(set.monitor))
  end
  if set.mode ~= "min" and set.mode ~= "max" then
    raise("Checkpointer: option 'mode': expected \"min\" or \"max\", got %s", found(set.mode))
  end
  local self = setmetatable({ folder = folder, keep = keep, monitor = set.monitor, mode = set.mode }, Checkpointer)
  handles[self] = native.checkpointer(folder, keep, set.monitor, set.mode)
  return self
end

local function handle(self, name)
  return self ~= nil and handles[self] or raise("%s: expected a Checkpointer as self, got %s; methods are called with ':'", name, found(self))
end

function Checkpointer.save(self, step, value, metrics) return native.checkpointer_save(handle(self, "save"), step, value, metrics) end
function Checkpointer.latest(self) return native.checkpointer_find(handle(self, "latest"), false) end
function Checkpointer.best(self) return native.checkpointer_find(handle(self, "best"), true) end

local function loaded(step, metrics, ...)
  if step ~= nil then return joined(...), step, metrics end
end
function Checkpointer.load_latest(self) return loaded(native.checkpointer_load(handle(self, "load_latest"), false)) end
function Checkpointer.load_best(self) return loaded(native.checkpointer_load(handle(self, "load_best"), true)) end

function Checkpointer.__tostring(self)
  if getmetatable(self) ~= Checkpointer then return "Checkpointer" end
  return format("Checkpointer(%s, keep=%s, monitor=%s, mode=%s)", tostring(self.folder), tostring(self.keep), tostring(self.monitor), tostring(self.mode))
end

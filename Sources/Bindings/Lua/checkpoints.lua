-- Files of tensors, and checkpoints: what a training run needs to go on another day.

local native, mg = ...
local raise = native.raise

local function need_files(name)
  if not lent "io" then raise(name .. ": this session lends scripts no files") end
end

--[=[ mg.load_safetensors(path)

Reads a .safetensors file: a table of its tensors by name. An index of several files, such as model.safetensors.index.json, is read with
all files that it names. mg.open_safetensors has the texts beside the tensors.

Example:
  local path = os.tmpname()
  mg.save_safetensors({ weight = mg.ones(2, 3) }, path)
  print(mg.load_safetensors(path).weight)
  os.remove(path)
]=]
function mg.load_safetensors(path)
  need_files "load_safetensors"
  return native.load_safetensors(path)
end

--[=[ mg.open_safetensors(path)

Opens a .safetensors file, or an index of several, and reads what there is, but no tensor before it is asked for: f:keys() is the list
of names, f:get(name) reads a tensor, f:info(name) is a table of its dtype and shape, f:metadata() the table of texts, #f the count.

Example:
  local path = os.tmpname()
  mg.save_safetensors({ weight = mg.ones(2, 3), bias = mg.zeros(2) }, path)
  local f = mg.open_safetensors(path)
  for _, name in ipairs(f:keys()) do print(name, f:info(name).dtype) end
  print(f:get "bias")
  os.remove(path)
]=]
function mg.open_safetensors(path)
  need_files "open_safetensors"
  return native.open_safetensors(path)
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

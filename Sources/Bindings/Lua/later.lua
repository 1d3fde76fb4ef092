-- Parts of the library that most scripts do not need. What they define stands in its place from the beginning, as a function that reads
-- the part when it is called first: a session opens sooner, and holds half as much.
--
-- A part that is read so late would find the library as scripts have changed it since. So it has a view of the library: what it defines
-- goes into the view alone, where the function that stands for it finds it, and what it reads comes from the tables as they are; in a
-- sandbox, as they were before any script ran (see sandbox.lua, which says so by `untouched`).

local native, mg, nn, shared, classes, part = ...
local gmatch, match = string.gmatch, string.match

local groups = {
  {
    names = "data.Dataset data.TensorDataset data.Subset data.ConcatDataset data.random_split data.default_collate data.Sampler"
      .. " data.SequentialSampler data.RandomSampler data.SubsetRandomSampler data.WeightedRandomSampler data.BatchSampler data.DataLoader",
    read = function(view) part("loader", native, view, nn, part("data", native, view)) end,
  }, {
    names = "data.read_csv data.stream_csv data.write_csv data.read_idx data.read_lines data.stream_lines data.read_jsonl"
      .. " data.stream_jsonl data.read_image data.write_image save_npy load_npy save_npz load_npz",
    read = function(view) part("readers", native, view, nn, shared) end,
  }, {
    names = "load_safetensors open_safetensors save_safetensors save load load_torch Checkpointer",
    read = function(view) part("checkpoints", native, view, nn, shared) end,
  }, {
    names = "progress EarlyStopping loggers.SummaryWriter loggers.CSVLogger",
    read = function(view) part("loops", native, view, nn, shared) end,
  }, {
    names = "freeze unfreeze freeze_to param_groups unfreeze_schedule summary watch guard",
    read = function(view) part("freezing", native, view, nn, shared) end,
  }, {
    names = "lora lora_adapter lora_state load_lora freeze_state load_freeze_state",
    read = function(view) part("lora", native, view, nn, shared, classes) end,
  }, {
    names = "experiment freeze_search",
    read = function(view)
      part("experiments", native, view, nn, shared, part("results", native, view, nn, shared))
      part("freeze_search", native, view, nn, shared)
    end,
  }, {
    names = "autograd.gradcheck autograd.gradgradcheck",
    read = function(view) part("gradcheck", native, view, nn, shared) end,
  }, {
    names = "func.grad func.grad_and_value func.vjp func.functional_call func.jvp func.linearize func.vmap func.stack_module_state"
      .. " func.jacrev func.jacfwd func.hessian autograd.forward_ad.dual_level autograd.forward_ad.make_dual"
      .. " autograd.forward_ad.unpack_dual",
    read = function(view)
      local trees = part("func", native, view, nn, shared)
      for _, name in ipairs { "forward", "vmap", "jacobians" } do part(name, native, view, nn, shared, trees) end
    end,
  },
}

-- A table of the library as scripts have left it, or found it.
local function untouched_of(list) return untouched and untouched(list) or list end

-- The tables that hold these names, by their paths; those that only such names are in are made here.
local places = { [""] = mg }
local function place_of(path)
  if places[path] then return places[path] end
  local outer, last = match(path, "^(.-)%.?([^.]+)$")
  local list = place_of(outer)
  if rawget(list, last) == nil then rawset(list, last, {}) end
  places[path] = rawget(list, last)
  return places[path]
end

-- The view of a table, and those of the tables in it that hold names of the group.
local function view_of(path, group)
  local view = setmetatable({}, { __index = untouched_of(places[path]) })
  for name in gmatch(group.names, "%S+") do
    local word = match(name, path == "" and "^([^.]+)%." or "^" .. path .. "%.([^.]+)%.")
    if word and not rawget(view, word) then rawset(view, word, view_of(path == "" and word or path .. "." .. word, group)) end
  end
  return view
end

for _, group in ipairs(groups) do
  local defined = {}
  -- A part that failed, since memory or time were short, is read once more by the next call.
  local function read()
    local view, found = view_of("", group), {}
    group.read(view)
    for name in gmatch(group.names, "%S+") do
      local value = view
      for word in gmatch(name, "[^.]+") do value = value[word] end
      found[name] = value
    end
    defined = found
  end

  for name in gmatch(group.names, "%S+") do
    local path, last = match(name, "^(.-)%.?([^.]+)$")
    place_of(path)[last] = function(...)
      if not defined[name] then read() end
      return defined[name](...)
    end
  end
end

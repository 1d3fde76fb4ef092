-- Freezing experiments: freezing by patterns, what that did, watching and guarding what was frozen.

local native, mg, nn, shared = ...
local format = string.format
local raise, found, options = shared.raise, shared.found, shared.options

-- Writes rows of a report as a CSV file with these columns; lists are written as they print.
local function save_rows(what, path, rows, columns)
  if type(path) ~= "string" then raise("%s: expected a path, got %s", what, found(path)) end
  local function cell(value)
    if type(value) ~= "table" then return type(value) == "boolean" and tostring(value) or value end
    local parts = {}
    for i, part in ipairs(value) do parts[i] = tostring(cell(part)) end
    return "[" .. table.concat(parts, ", ") .. "]"
  end
  local logger <close> = mg.loggers.CSVLogger(path, { columns = columns })
  for _, row in ipairs(rows) do
    local cells = {}
    for _, column in ipairs(columns) do cells[column] = cell(row[column]) end
    logger:log(cells)
  end
end

-- A class of objects around handles: some of the handle's methods and fields, and whatever methods are added, which get the handle.
local function wrapping(name, phrase, taken, fields)
  local handles, methods, of_handle = setmetatable({}, { __mode = "k" }), {}, {}
  local function add(key, method)
    rawset(methods, key, function(self, ...)
      local handle = handles[self]
      if not handle then raise("%s: expected %s as self, got %s; methods are called with ':'", key, phrase, found(self)) end
      return method(handle, ...)
    end)
  end
  for _, key in ipairs(taken) do add(key, function(handle, ...) return handle[key](handle, ...) end) end
  for _, key in ipairs(fields) do of_handle[key] = true end
  local meta = { __name = name, __tostring = function(self) return tostring(handles[self]) end }
  function meta.__index(self, key)
    if of_handle[key] then return handles[self][key] end
    return methods[key]
  end
  return setmetatable({ methods = setmetatable({}, { __newindex = function(_, key, method) add(key, method) end }) }, {
    __call = function(_, handle)
      local self = setmetatable({}, meta)
      handles[self] = handle
      return self
    end,
  })
end

local report = { __tostring = function(self) return self.text end, __name = "FreezeReport" }
report.__index = report
function report.save_csv(self, path)
  if getmetatable(self) ~= report then raise("save_csv: expected a report as self, got %s; methods are called with ':'", found(self)) end
  save_rows("save_csv", path, self.rows, { "name", "count", "trainable", "is_new", "shared_with" })
end

--[=[ mg.freeze(net, [what], { level = "grad" })

Freezes parameters: they get no gradient, and no optimizer moves them by a bit, until they are unfrozen. Gives a report that prints as a
sentence and has names, modules, total and trainable, rows for tables, and save_csv(path).

Arguments:
  what: all where it is left out; a pattern of names, where * is any text, dots too, and ? one character ("hidden.*"; the name of a module
    alone stands for all that is in it), a module of net, a parameter, a list of these, or a function of name and parameter
  level = "grad": or "full", by which statistics of batch norm stay as they are too and dropout drops nothing, whatever train() says

A pattern that matches nothing raises.

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(1, 10), mg.nn.ReLU(), mg.nn.Linear(10, 1))
  print(mg.freeze(net, "0.*"))
]=]
function mg.freeze(net, what, ...)
  local set = options("freeze", { { "level", "grad" } }, ...)
  return setmetatable(native.freeze(net, what, set.level), report)
end

--[=[ mg.unfreeze(net, [what], { optimizer, policy = "keep" })

Lets parameters be trained again, and the modules that were frozen with all that they have follow train() again.

Arguments:
  what: as for mg.freeze

Options:
  optimizer: the one that holds them; where it does not, a warning says so
  policy = "keep": what becomes of the moments that it remembers of them: they stay; "reset": as under a new optimizer; "drop": the
    optimizer lets go of the parameters

Example:
  local net = mg.nn.Linear(2, 2)
  local opt = mg.optim.Adam(net:parameters())
  mg.freeze(net, "weight")
  print(mg.unfreeze(net, "weight", { optimizer = opt, policy = "reset" }))
]=]
function mg.unfreeze(net, what, ...)
  local set = options("unfreeze", { { "optimizer" }, { "policy", "keep" } }, ...)
  return setmetatable(native.unfreeze(net, what, set.optimizer, set.policy), report)
end

--[=[ mg.freeze_to(net, blocks, { level = "grad" })

Freezes all but the last blocks of a model, its direct parts that have parameters, in their order.

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(1, 10), mg.nn.ReLU(), mg.nn.Linear(10, 10), mg.nn.Linear(10, 1))
  print(mg.freeze_to(net, 1))
]=]
function mg.freeze_to(net, blocks, ...)
  local set = options("freeze_to", { { "level", "grad" } }, ...)
  return setmetatable(native.freeze_to(net, blocks, set.level), report)
end

--[=[ mg.param_groups(net, { [pattern] = options, … })

Groups of parameters for an optimizer, by patterns of their names, each with options of its own; a parameter belongs to the longest
pattern that matches. A pattern that matches nothing raises, and so does a parameter without one.

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(1, 10), mg.nn.ReLU(), mg.nn.Linear(10, 1))
  local opt = mg.optim.Adam(mg.param_groups(net, { ["0.*"] = { lr = 1e-4 }, ["*"] = { lr = 1e-3 } }))
  print(opt)
]=]
function mg.param_groups(net, patterns)
  if type(patterns) ~= "table" then raise("param_groups: expected options by patterns, got %s", found(patterns)) end
  for pattern, set in pairs(patterns) do
    if type(pattern) ~= "string" then raise("param_groups: expected patterns of names, got the key %s", found(pattern)) end
    if type(set) ~= "table" then raise("param_groups: '%s': expected options, got %s", pattern, found(set)) end
  end
  local groups = {}
  for i, group in ipairs(native.param_groups(net, patterns)) do
    local made = { params = group[2] }
    for name, value in pairs(patterns[group[1]]) do made[name] = value end
    groups[i] = made
  end
  return groups
end

--[=[ mg.unfreeze_schedule(net, plan, { optimizer, policy = "keep", every = 1, start = 1 })

Unfreezes by epochs: schedule:step(epoch) unfreezes what is due by then and was not yet, and gives the reports. schedule.pending is the
number of what is still to come.

Arguments:
  plan: what to unfreeze by epochs, { [1] = "predict.*", [10] = "hidden.*" }; or "top_down", block by block from the last to the first

Options:
  optimizer, policy: as for mg.unfreeze
  every = 1, start = 1: for "top_down": at which epoch the last block is unfrozen, and how many epochs later one more is

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(1, 10), mg.nn.ReLU(), mg.nn.Linear(10, 1))
  mg.freeze(net)
  local schedule = mg.unfreeze_schedule(net, { [1] = "2.*", [3] = "0.*" })
  for epoch = 1, 3 do
    for _, done in ipairs(schedule:step(epoch)) do print(epoch, done) end
  end
  mg.freeze(net)
  schedule = mg.unfreeze_schedule(net, "top_down", { every = 2 })
  for epoch = 1, 3 do schedule:step(epoch) end
]=]
local Schedule = wrapping("UnfreezeSchedule", "an unfreeze_schedule", {}, { "pending" })

function mg.unfreeze_schedule(net, plan, ...)
  local set = options("unfreeze_schedule", { { "optimizer" }, { "policy", "keep" }, { "every" }, { "start" } }, ...)
  return Schedule(native.unfreeze_schedule(net, plan, set.optimizer, set.policy, set.every, set.start))
end

function Schedule.methods.step(schedule, epoch)
  local done = schedule:step(epoch)
  for _, each in ipairs(done) do setmetatable(each, report) end
  return done
end

--[=[ mg.summary(net, { input, inputs })

The parameters of a model: names, shapes, how many numbers, which are trained, and the totals. Prints as a table; has rows, total,
trainable and bytes, and save_csv(path).

Options:
  input: what a call of net takes; then also layers: the shapes they give, multiply-adds of matrix products and convolutions in forward
    and backward, the bytes kept for backward, and what these would be if nothing were frozen, or more: in layers, a table for each, and
    the totals forward, backward, backward_unfrozen, kept, kept_unfrozen, nodes and nodes_unfrozen. Operations say what their gradients
    cost; none is computed. Parameters, buffers, gradients and random numbers stay as they were
  inputs: a list of all that a call takes, where that is more than one argument

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(1, 10), mg.nn.ReLU(), mg.nn.Linear(10, 1))
  mg.freeze(net, "0.*")
  print(mg.summary(net))
  print(mg.summary(net, { input = mg.ones(100, 1) }))
]=]
local summary = { __tostring = function(self) return self.text end, __name = "Summary" }
summary.__index = summary

-- All tensors among values and in tables of them, as a recurrent layer gives its states.
local function tensors_in(...)
  local list = {}
  local function add(depth, n, ...)
    for i = 1, n do
      local value = select(i, ...)
      if mg.is_tensor(value) then
        list[#list + 1] = value
      elseif type(value) == "table" and depth < 8 then
        for _, part in pairs(value) do add(depth + 1, 1, part) end
      end
    end
  end
  add(1, select("#", ...), ...)
  return table.unpack(list)
end

-- What a call of a model takes, of the options input and inputs; nil for neither.
local function inputs_of(what, set)
  if set.input ~= nil and set.inputs ~= nil then raise("%s: input and inputs cannot both be given", what) end
  if set.input ~= nil then return { set.input, n = 1 } end
  if set.inputs == nil then return nil end
  if type(set.inputs) ~= "table" then raise("%s: option 'inputs': expected a list of what a call takes, got %s", what, found(set.inputs)) end
  return table.pack(table.unpack(set.inputs))
end

-- Calls net, in a mode such as mg.no_grad, and tells the meter when its modules begin and end.
local function metered(net, inputs, mode)
  return function(meter)
    local hooks = {}
    local function remove() for _, hook in ipairs(hooks) do hook:remove() end end
    local outputs = table.pack(pcall(function()
      for _, module in net:named_modules() do
        hooks[#hooks + 1] = module:register_forward_pre_hook(function(called) native.call_began(meter, called) end)
        hooks[#hooks + 1] = module:register_forward_hook(function(called, _, ...) native.call_ended(meter, called, tensors_in(...)) end)
      end
      return mode(function() return net(table.unpack(inputs, 1, inputs.n)) end)
    end))
    remove()
    if not outputs[1] then error(outputs[2], 0) end
    return tensors_in(table.unpack(outputs, 2, outputs.n))
  end
end

function mg.summary(net, ...)
  local set = options("summary", { { "input" }, { "inputs" } }, ...)
  local inputs = inputs_of("summary", set)
  return setmetatable(native.module_summary(net, inputs and metered(net, inputs, mg.enable_grad)), summary)
end

function summary.save_csv(self, path)
  if getmetatable(self) ~= summary then raise("save_csv: expected a summary as self, got %s; methods are called with ':'", found(self)) end
  if self.layers then
    return save_rows("save_csv", path, self.layers, { "name", "module", "outputs", "calls", "parameters", "trainable", "forward", "backward",
      "backward_unfrozen", "kept", "kept_unfrozen", "backward_if_frozen_to_here" })
  end
  return save_rows("save_csv", path, self.rows, { "name", "module", "shape", "dtype", "count", "trainable", "shared_with" })
end

--[=[ mg.watch(net, { optimizer, every = 1, input, inputs })

Copies all parameters and buffers, to say later what became of them. With an optimizer its steps are counted, and one of every so many
is recorded: norms, the ratio of update to weight, dead units, the angle to the step before.

Options:
  optimizer: whose steps are watched; a warning says where it does not hold what is trained
  every = 1: of how many steps one is recorded
  input, inputs: what net is called with when the watch begins and for every record, in evaluation and without a trace: some tens or
    hundreds of rows; then also how much each layer's output still resembles what it was (linear CKA)

Methods and fields:
  report(): a table of every parameter and buffer: changed or not, the norm of the change, its largest element, gradients, steps, dead
    units; and the layers' resemblance
  rows(): the same as tables
  history(): what was recorded: tables of step, updates (name, norm, grad_norm, update, ratio, cosine, dead_units) and similarities
    (layer, value)
  similarities(): by layers, how much their outputs are what they were at first
  steps: how many steps there were
  assert_frozen([what]): raises unless what was frozen when the watch began, or what is meant, has every bit as it was
  plot(path, [quantity = "ratio"], { title }): a picture, .svg or .png, of one of "norm", "grad_norm", "update", "ratio", "cosine",
    "dead_units" over the steps, a curve for each parameter, or of "similarity", one for each layer
  save_csv(path): what was recorded, a row for each parameter and step

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(1, 4), mg.nn.ReLU(), mg.nn.Linear(4, 1))
  mg.freeze(net, "0.*")
  local opt = mg.optim.SGD(net:parameters(), { lr = 0.1 })
  local x = mg.linspace(-1, 1, 20):view(-1, 1)
  local watch = mg.watch(net, { optimizer = opt, every = 2, input = x })
  for step = 1, 4 do
    opt:zero_grad()
    net(x):pow(2):mean():backward()
    opt:step()
  end
  watch:assert_frozen()
  print(watch:report())
  print(watch:history()[2].updates[1].ratio)
]=]
local Watch = wrapping("Watch", "a watch", { "report", "rows", "history", "similarities", "assert_frozen" }, { "steps" })

function mg.watch(net, ...)
  local set = options("watch", { { "optimizer" }, { "every" }, { "input" }, { "inputs" } }, ...)
  local inputs = inputs_of("watch", set)
  return Watch(native.watch(net, set.optimizer, set.every, inputs and metered(net, inputs, mg.no_grad)))
end

local function needs_files(what, path)
  if not lends_files() then raise("%s: this session lends scripts no files", what) end
  if type(path) ~= "string" then raise("%s: argument 1: expected a path, got %s", what, found(path)) end
end

function Watch.methods.plot(watch, path, quantity, ...)
  local set = options("plot", { { "title" } }, ...)
  needs_files("plot", path)
  watch:plot(path, quantity, set.title)
end

function Watch.methods.save_csv(watch, path)
  needs_files("save_csv", path)
  local rows = {}
  for _, record in ipairs(watch:history()) do
    for _, update in ipairs(record.updates) do
      update.step = record.step
      rows[#rows + 1] = update
    end
    for _, each in ipairs(record.similarities) do
      rows[#rows + 1] = { step = record.step, name = each.layer == "" and "(itself)" or each.layer, similarity = each.value }
    end
  end
  save_rows("save_csv", path, rows, { "step", "name", "norm", "grad_norm", "update", "ratio", "cosine", "dead_units", "similarity" })
end

--[=[ mg.guard(net, [what])

Guards parameters: until the guard is closed, whatever would write to one of them raises before any bit moves, and names it: an
optimizer's step, load_state_dict, p.data = t, an operation in place.

Arguments:
  what: as for mg.freeze

Example:
  local net = mg.nn.Linear(2, 2)
  do
    local guard <close> = mg.guard(net, "weight")
    print(pcall(function() mg.no_grad(function() net.weight:add_(1) end) end))
  end
]=]
function mg.guard(net, what) return native.guard(net, what) end

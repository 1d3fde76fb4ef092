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

local report = { __tostring = function(self) return self.text end, __name = "FreezeReport" }

--[=[ mg.freeze(net, [what], { level = "grad" })

Freezes parameters: they get no gradient, and no optimizer moves them by a bit, until they are unfrozen. Gives a report that prints as a
sentence and has names, modules, total and trainable.

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

--[=[ mg.unfreeze_schedule(net, { [epoch] = what, … }, { optimizer, policy = "keep" })

Unfreezes by epochs: schedule:step(epoch) unfreezes what is due by then and was not yet, and gives the reports. schedule.pending is the
number of what is still to come.

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(1, 10), mg.nn.ReLU(), mg.nn.Linear(10, 1))
  mg.freeze(net)
  local schedule = mg.unfreeze_schedule(net, { [1] = "2.*", [3] = "0.*" })
  for epoch = 1, 3 do
    for _, done in ipairs(schedule:step(epoch)) do print(epoch, done) end
  end
]=]
local Schedule = {}
Schedule.__index, Schedule.__name = Schedule, "UnfreezeSchedule"

function mg.unfreeze_schedule(net, plan, ...)
  local set = options("unfreeze_schedule", { { "optimizer" }, { "policy", "keep" } }, ...)
  if type(plan) ~= "table" then raise("unfreeze_schedule: expected what to unfreeze by epochs, got %s", found(plan)) end
  local epochs = {}
  for epoch in pairs(plan) do
    if type(epoch) ~= "number" then raise("unfreeze_schedule: epochs are numbers, got %s", found(epoch)) end
    epochs[#epochs + 1] = epoch
  end
  table.sort(epochs)
  return setmetatable({ net = net, plan = plan, epochs = epochs, pending = #epochs, set = set }, Schedule)
end

function Schedule.step(self, epoch)
  if getmetatable(self) ~= Schedule then
    raise("step: expected an unfreeze_schedule as self, got %s; methods are called with ':'", found(self))
  end
  if type(epoch) ~= "number" then raise("unfreeze_schedule: step: expected an epoch, got %s", found(epoch)) end
  local done = {}
  while self.epochs[1] and self.epochs[1] <= epoch do
    local due = table.remove(self.epochs, 1)
    self.pending = #self.epochs
    done[#done + 1] = mg.unfreeze(self.net, self.plan[due], { optimizer = self.set.optimizer, policy = self.set.policy })
  end
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

-- Calls net with gradients recorded, and tells the meter when its modules begin and end.
local function metered(net, inputs)
  return function(meter)
    local hooks = {}
    local function remove() for _, hook in ipairs(hooks) do hook:remove() end end
    local outputs = table.pack(pcall(function()
      for _, module in net:named_modules() do
        hooks[#hooks + 1] = module:register_forward_pre_hook(function(called) native.call_began(meter, called) end)
        hooks[#hooks + 1] = module:register_forward_hook(function(called, _, ...) native.call_ended(meter, called, tensors_in(...)) end)
      end
      return mg.enable_grad(function() return net(table.unpack(inputs, 1, inputs.n)) end)
    end))
    remove()
    if not outputs[1] then error(outputs[2], 0) end
    return tensors_in(table.unpack(outputs, 2, outputs.n))
  end
end

function mg.summary(net, ...)
  local set = options("summary", { { "input" }, { "inputs" } }, ...)
  local inputs = set.input ~= nil and { set.input, n = 1 } or set.inputs
  if inputs == nil then return setmetatable(native.module_summary(net), summary) end
  if set.input ~= nil and set.inputs ~= nil then raise "summary: input and inputs cannot both be given" end
  if type(inputs) ~= "table" then raise("summary: option 'inputs': expected a list of what a call takes, got %s", found(inputs)) end
  inputs.n = inputs.n or #inputs
  return setmetatable(native.module_summary(net, metered(net, inputs)), summary)
end

function summary.save_csv(self, path)
  if getmetatable(self) ~= summary then raise("save_csv: expected a summary as self, got %s; methods are called with ':'", found(self)) end
  if self.layers then
    return save_rows("save_csv", path, self.layers, { "name", "module", "outputs", "calls", "parameters", "trainable", "forward", "backward",
      "backward_unfrozen", "kept", "kept_unfrozen", "backward_if_frozen_to_here" })
  end
  return save_rows("save_csv", path, self.rows, { "name", "module", "shape", "dtype", "count", "trainable", "shared_with" })
end

--[=[ mg.watch(net, { optimizer })

Copies all parameters and buffers, to say later what became of them. With an optimizer its steps are counted, and units that never had
a gradient are found.

Methods:
  report(): a table of every parameter and buffer: changed or not, the norm of the change, its largest element, gradients, steps, dead units
  rows(): the same as tables
  assert_frozen([what]): raises unless what was frozen when the watch began, or what is meant, has every bit as it was

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(1, 4), mg.nn.ReLU(), mg.nn.Linear(4, 1))
  mg.freeze(net, "0.*")
  local opt = mg.optim.SGD(net:parameters(), { lr = 0.1 })
  local watch = mg.watch(net, { optimizer = opt })
  net(mg.ones(3, 1)):pow(2):mean():backward()
  opt:step()
  watch:assert_frozen()
  print(watch:report())
]=]
function mg.watch(net, ...)
  local set = options("watch", { { "optimizer" } }, ...)
  return native.watch(net, set.optimizer)
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

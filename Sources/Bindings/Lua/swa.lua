-- mg.optim.swa_utils: means of a model's weights over training, and the schedule that goes with them.

local native, mg, nn, shared, modules = ...
local raise, found, options = shared.raise, shared.found, shared.options
local kind_of = native.kind_of
local swa = mg.optim.swa_utils

swa.SWALR = mg.optim.lr_scheduler.SWALR

local function decay_of(what, decay)
  if decay == nil then return 0.999 end
  if type(decay) ~= "number" or not (decay >= 0 and decay <= 1) then raise("%s: decay must lie between 0 and 1, got %s", what, found(decay)) end
  return decay
end

--[=[ mg.optim.swa_utils.get_ema_avg_fn(decay = 0.999)

A function for AveragedModel's avg_fn: the exponential moving average, decay · mean + (1 − decay) · weight.

Example:
  local ema = mg.optim.swa_utils.get_ema_avg_fn(0.5)
  print(ema(mg.tensor{ 1.0 }, mg.tensor{ 3.0 }))                -- tensor([2.])
]=]
function swa.get_ema_avg_fn(decay)
  decay = decay_of("get_ema_avg_fn", decay)
  return function(mean, weight) return decay * mean + (1 - decay) * weight end
end

--[=[ mg.optim.swa_utils.get_swa_avg_fn()

A function for AveragedModel's avg_fn: the mean of all weights so far, which counts them.

Example:
  print(mg.optim.swa_utils.get_swa_avg_fn()(mg.tensor{ 1.0 }, mg.tensor{ 4.0 }, 2))    -- tensor([2.])
]=]
function swa.get_swa_avg_fn()
  return function(mean, weight, count) return mean + (weight - mean) / (count + 1) end
end

-- The same for lists, in place; whole numbers, which cannot be moved by parts, are rounded towards 0.
local function each(move)
  return function(means, weights, count)
    for i, mean in ipairs(means) do move(mean, weights[i], count) end
  end
end

--[=[ mg.optim.swa_utils.get_ema_multi_avg_fn(decay = 0.999)

A function for AveragedModel's multi_avg_fn: the exponential moving averages of a list, in place.

Example:
  local mean = mg.tensor{ 1.0 }
  mg.optim.swa_utils.get_ema_multi_avg_fn(0.5)({ mean }, { mg.tensor{ 3.0 } }, 1)
  print(mean)                                                    -- tensor([2.])
]=]
function swa.get_ema_multi_avg_fn(decay)
  decay = decay_of("get_ema_multi_avg_fn", decay)
  return each(function(mean, weight)
    if mean:is_floating_point() then mean:copy_(mean:lerp(weight, 1 - decay)) else mean:copy_(mean * decay + weight * (1 - decay)) end
  end)
end

--[=[ mg.optim.swa_utils.get_swa_multi_avg_fn()

A function for AveragedModel's multi_avg_fn: the means of lists of weights so far, in place.

Example:
  local mean = mg.tensor{ 1.0 }
  mg.optim.swa_utils.get_swa_multi_avg_fn()({ mean }, { mg.tensor{ 4.0 } }, 2)
  print(mean)                                                    -- tensor([2.])
]=]
function swa.get_swa_multi_avg_fn()
  return each(function(mean, weight, count)
    count = mg.is_tensor(count) and count:item() or count
    if mean:is_floating_point() then mean:copy_(mean:lerp(weight, 1 / (count + 1))) else mean:copy_(mean + (weight - mean) / (count + 1)) end
  end)
end

local function is_module(value)
  if kind_of(value) == "Module" then return true end
  local ok, method = pcall(function() return value.named_parameters end)
  return type(value) == "table" and ok and method ~= nil
end

--[=[ mg.optim.swa_utils.AveragedModel(model, { avg_fn, multi_avg_fn, use_buffers = false })

A copy of a model whose weights are a mean of the model's over training; call it as the model.

Arguments:
  model: a module, which is copied
Options:
  avg_fn: a function of mean, weight and the number of those averaged so far, that gives the new mean; the mean of all unless given
  multi_avg_fn: the same for lists of all, in place
  use_buffers = false: average buffers too, rather than taking over the model's last ones

averaged:update_parameters(model) takes the model's weights in; the first time they are copied. averaged.n_averaged counts. The mean of
a frozen parameter that is equal to it keeps every bit; where it was trained before it was frozen, the mean goes on towards it.

Example:
  local net = mg.nn.Linear(2, 1)
  local averaged = mg.optim.swa_utils.AveragedModel(net, { avg_fn = mg.optim.swa_utils.get_ema_avg_fn(0.9) })
  for _ = 1, 3 do averaged:update_parameters(net) end
  print(averaged.n_averaged:item(), averaged(mg.ones(1, 2)):equal(net(mg.ones(1, 2))))
]=]
local AveragedModel = nn.Module "AveragedModel"
swa.AveragedModel = AveragedModel

function AveragedModel:init(model, ...)
  local set = options("AveragedModel", { { "avg_fn" }, { "multi_avg_fn" }, { "use_buffers", false } }, ...)
  if not is_module(model) then raise("AveragedModel: argument 1 (model): expected a module, got %s", found(model)) end
  if set.avg_fn and set.multi_avg_fn then raise("AveragedModel: avg_fn and multi_avg_fn are given; one of them is possible") end
  for _, name in ipairs { "avg_fn", "multi_avg_fn" } do
    if set[name] ~= nil and type(set[name]) ~= "function" then
      raise("AveragedModel: option '%s': expected a function, got %s", name, found(set[name]))
    end
  end
  self.module = mg.deepcopy(model)
  self:register_buffer("n_averaged", mg.tensor(0))
  self.avg_fn, self.multi_avg_fn, self.use_buffers = set.avg_fn, set.multi_avg_fn, set.use_buffers
end

function AveragedModel:forward(...) return self.module(...) end

-- The tensors that are averaged, detached.
local function tensors_of(module, with_buffers)
  local list = {}
  for _, p in ipairs(module:parameters()) do list[#list + 1] = p:detach() end
  if with_buffers then
    for _, b in ipairs(module:buffers()) do list[#list + 1] = b:detach() end
  end
  return list
end

-- The same but for frozen parameters whose mean is equal to them: a formula that rounds would let the mean drift.
local function without_settled(model, means, weights)
  local parameters, some_means, some_weights = model:parameters(), {}, {}
  for i, mean in ipairs(means) do
    local p = parameters[i]
    if not p or p.requires_grad or not mean:equal(weights[i]) then
      some_means[#some_means + 1], some_weights[#some_weights + 1] = mean, weights[i]
    end
  end
  return some_means, some_weights
end

function AveragedModel:update_parameters(model)
  if not is_module(model) then raise("update_parameters: expected a module, got %s", found(model)) end
  local _ <close> = mg.no_grad()
  local means, weights = tensors_of(self.module, self.use_buffers), tensors_of(model, self.use_buffers)
  if #means ~= #weights then raise("update_parameters: the model has %d tensors, the averaged one %d", #weights, #means) end
  for i, mean in ipairs(means) do
    if table.concat(mean.shape, ", ") ~= table.concat(weights[i].shape, ", ") then
      raise("update_parameters: tensor %d of the model has shape [%s], that of the averaged one [%s]", i, table.concat(weights[i].shape, ", "),
        table.concat(mean.shape, ", "))
    end
  end
  local count = self.n_averaged:item()
  if count > 0 then means, weights = without_settled(model, means, weights) end
  if count == 0 then
    for i, mean in ipairs(means) do mean:copy_(weights[i]) end
  elseif self.multi_avg_fn then
    self.multi_avg_fn(means, weights, self.n_averaged)
  else
    local average = self.avg_fn or swa.get_swa_avg_fn()
    for i, mean in ipairs(means) do mean:copy_(average(mean, weights[i], self.n_averaged)) end
  end
  if not self.use_buffers then
    local theirs = model:buffers()
    for i, buffer in ipairs(self.module:buffers()) do buffer:detach():copy_(theirs[i]:detach()) end
  end
  self.n_averaged:add_(1)
end

modules.guard(AveragedModel)

-- The batches of a loader: a list, a function that gives one after another, or an object with iter().
local function batches(loader)
  if type(loader) == "function" then return loader end
  if type(loader) ~= "table" and type(loader) ~= "userdata" then
    raise("update_bn: argument 1 (loader): expected batches, a list or a loader, got %s", found(loader))
  end
  local ok, iter = pcall(function() return loader.iter end)
  if ok and iter then return loader:iter() end
  local i = 0
  return function()
    i = i + 1
    return loader[i]
  end
end

--[=[ mg.optim.swa_utils.update_bn(loader, model)

Runs a model over the batches of a loader once, so that its normalisation layers have the statistics of its weights.

Arguments:
  loader: batches: a list of them, a loader, or a function that gives one after another; of a batch that is a list the first
    element counts
  model: a module

Example:
  mg.optim.swa_utils.update_bn({ mg.ones(4, 2), mg.zeros(4, 2) }, mg.nn.Linear(2, 2))
]=]
function swa.update_bn(loader, model)
  if not is_module(model) then raise("update_bn: argument 2 (model): expected a module, got %s", found(model)) end
  local next_batch = batches(loader)
  local layers = {}
  for _, module in ipairs(model:modules()) do
    local ok, reset = pcall(function() return module.reset_running_stats end)
    if ok and reset then layers[#layers + 1] = { module, module.momentum } end
  end
  if #layers == 0 then return end
  local was_training = model.training
  local _ <close> = mg.no_grad()
  model:train()
  -- Without a momentum the statistics are means of all batches.
  for _, layer in ipairs(layers) do
    layer[1]:reset_running_stats()
    layer[1].momentum = nil
  end
  local ok, problem = pcall(function()
    for batch in next_batch do model(mg.is_tensor(batch) and batch or batch[1]) end
  end)
  for _, layer in ipairs(layers) do layer[1].momentum = layer[2] end
  model:train(was_training)
  if not ok then error(problem, 0) end
end

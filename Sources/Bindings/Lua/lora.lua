-- Low-rank adapters of layers, and what of a model is frozen as something that can be saved.

local native, mg, nn, shared, class_shared = ...
local raise, found, options = shared.raise, shared.found, shared.options
local iterable, iterable_pairs = class_shared.iterable, class_shared.iterable_pairs

local function second(entry) return entry[2] end

-- An adapter is a model and the names of layers in it, whose adapters the layers have: a copy of both is a copy of the adapter.
local Adapter = {}
Adapter.__index, Adapter.__name = Adapter, "LowRankAdapter"

local function checked(self, what)
  if getmetatable(self) ~= Adapter then raise("%s: expected an adapter as self, got %s; methods are called with ':'", what, found(self)) end
  return self.net, self.names
end

local function does(what, action)
  return function(self)
    local net, names = checked(self, what)
    native.adapters_do(net, names, action)
    return self
  end
end
for _, action in ipairs { "merge", "unmerge", "enable", "disable" } do Adapter[action] = does(action, action) end

function Adapter.remove(self, ...)
  local net, names = checked(self, "remove")
  local set = options("remove", { { "merged", false } }, ...)
  native.adapters_do(net, names, set.merged and "remove_merged" or "remove")
  return net
end

function Adapter.named_parameters(self) return iterable_pairs(native.adapter_parameters(checked(self, "named_parameters"))) end
function Adapter.parameters(self)
  local list = native.adapter_parameters(checked(self, "parameters"))
  for i, entry in ipairs(list) do list[i] = second(entry) end
  return iterable(list)
end
function Adapter.layers(self) return native.adapter_layers(checked(self, "layers")) end
function Adapter.state_dict(self) return mg.lora_state(self) end
function Adapter.load_state_dict(self, state, ...)
  mg.load_lora(checked(self, "load_state_dict"), state, ...)
  return self
end
function Adapter.__tostring(self) return native.adapter_text(checked(self, "tostring")) end

local function adapter(net, names) return setmetatable({ net = net, names = names }, Adapter) end

--[=[ mg.lora(layer, { rank = 8, alpha, dropout = 0 })
mg.lora(net, [what], { rank = 8, alpha, dropout = 0 })

Gives layers low-rank adapters (LoRA; Hu et al., 2021): their own parameters are frozen, and beside each weight an update
alpha / rank · B·A trains, of rank · (in + out) numbers. B is 0 at first, so that nothing changes before training. (Of an embedding A
is 0 and B is drawn, as in PEFT, so that entries that never come keep their vectors.)

The layers stay as they are, under their names: A and B are `hidden.lora_A.weight` and `hidden.lora_B.weight`, patterns such as "hidden.*"
mean them, too, and checkpoints of the model without adapters load with strict = false. Parameters of other layers stay trained or frozen as they
were: mg.freeze(net) first leaves the updates alone to be trained. An optimizer that was made before does not hold A and B: make it afterwards.

Layers: Linear, Embedding (without max_norm), Conv1d, Conv2d and Conv3d (with groups, where the rank is divisible by them), and MultiheadAttention
with its out_proj. Others that what means beside them get none; where there are only others, it raises.

Arguments:
  what: as for mg.freeze; all where it is left out. The layers whose weights are meant
  rank: the inner size; more than in or out is allowed, and of no use
  alpha = rank: the update is multiplied by alpha / rank
  dropout: the probability with which elements of what A is applied to are dropped in training (not before embeddings)

The adapter prints what it is of, and has names and these methods:
  parameters(), named_parameters(): A and B of its layers, for an optimizer; layers(): tables of name, module, rank, alpha, …
  merge(): layers compute with one weight, W + alpha / rank · B·A, which is what layer.weight reads then, wherever no gradients of
    the update are wanted (under no_grad, or when A and B are frozen); W itself, state_dict() and training stay as they are
  unmerge(): W and the update apart again
  disable(), enable(): calls leave the update out, and add it again
  remove({ merged = false }): the layers are as they were before, their parameters trained or not as they were; with merged = true the
    weights have the update in them. Gives the model
  state_dict(), load_state_dict(state): as mg.lora_state and mg.load_lora

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(20, 30), mg.nn.ReLU(), mg.nn.Linear(30, 2))
  mg.freeze(net)
  local adapter = mg.lora(net, "0", { rank = 2, alpha = 4 })
  print(adapter)            -- … of rank 2, alpha 4: 0 (Linear); 100 of 792 numbers are trained (12.6 %)
  local opt = mg.optim.Adam(adapter:parameters())
  net(mg.randn(5, 20)):pow(2):mean():backward()
  opt:step()
]=]
function mg.lora(net, what, ...)
  local set = table.pack(...)
  -- Options may come second: a table that is neither a module nor a list.
  if set.n == 0 and type(what) == "table" and not class_shared.is_module(what) and #what == 0 then
    what, set = nil, table.pack(what)
  end
  set = options("lora", { { "rank", 8 }, { "alpha" }, { "dropout", 0 } }, table.unpack(set, 1, set.n))
  local rank = math.tointeger(set.rank)
  if not rank then raise("lora: option 'rank': expected a whole number, got %s", found(set.rank)) end
  if set.alpha ~= nil and type(set.alpha) ~= "number" then raise("lora: option 'alpha': expected a number, got %s", found(set.alpha)) end
  return adapter(net, native.lora(net, what, rank, set.alpha, set.dropout))
end

--[=[ mg.lora_adapter(net)

The adapter of all layers of a model that have one, as mg.lora gives it; nil where there are none.

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(4, 4), mg.nn.Linear(4, 4))
  mg.lora(net, "0", { rank = 1 })
  mg.lora(net, "1", { rank = 2 })
  print(mg.lora_adapter(net):merge())
]=]
function mg.lora_adapter(net)
  local names = native.adapted(net)
  return #names > 0 and adapter(net, names) or nil
end

--[=[ mg.lora_state(net)

The tensors of a model's low-rank adapters alone, by name, for mg.save or mg.save_safetensors: A and B, `hidden.lora_A.weight`, and
alpha, `hidden.lora_alpha`. An adapter can be given, too. mg.load_lora takes it back.

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(4, 4), mg.nn.Linear(4, 4))
  mg.lora(net, "1", { rank = 2 })
  local names = {}
  for name in pairs(mg.lora_state(net)) do names[#names + 1] = name end
  table.sort(names)
  print(table.concat(names, " "))       -- 1.lora_A.weight 1.lora_B.weight 1.lora_alpha
]=]
function mg.lora_state(net)
  local names
  if getmetatable(net) == Adapter then net, names = net.net, net.names else names = native.adapted(net) end
  if #names == 0 then raise "lora_state: no layer has an adapter; mg.lora gives it one" end
  local state = {}
  for _, entry in ipairs(native.adapter_state(net, names)) do state[entry[1]] = entry[2] end
  return state
end

--[=[ mg.load_lora(net, state, { strict = true })

Takes over the adapters that mg.lora_state gave. Layers that have none get one of the rank and alpha that were saved, without dropout, and are
frozen as by mg.lora. Names may begin with `base_model.model.`, as in files of PEFT, which have no alpha: give it to mg.lora then.

Options:
  strict: whether it raises where an adapter of the model is not in the state

Example:
  local net, other = mg.nn.Linear(4, 3), mg.nn.Linear(4, 3)
  mg.lora(net, { rank = 2 })
  other:load_state_dict(net:state_dict(), { strict = false })
  print(mg.load_lora(other, mg.lora_state(net)))
]=]
function mg.load_lora(net, state, ...)
  local set = options("load_lora", { { "strict", true } }, ...)
  return adapter(net, native.load_lora(net, state, set.strict))
end

--[=[ mg.freeze_state(net)

What of a model is frozen: a table of two lists of names, frozen, of parameters, and evaluation, of modules that stay in evaluation
(level = "full"). State dicts are of tensors and do not say it, as in PyTorch: load_state_dict leaves frozen what is frozen. Saved beside
them, it is part of the checkpoint, and mg.load_freeze_state takes it back.

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(2, 2), mg.nn.Linear(2, 1))
  mg.freeze(net, "0.*")
  local checkpoint = { model = net:state_dict(), frozen = mg.freeze_state(net) }
  local other = mg.nn.Sequential(mg.nn.Linear(2, 2), mg.nn.Linear(2, 1))
  other:load_state_dict(checkpoint.model)
  mg.load_freeze_state(other, checkpoint.frozen)
  print(other[1].weight.requires_grad, other[2].weight.requires_grad)     -- false true
]=]
function mg.freeze_state(net) return native.freeze_state(net) end

--[=[ mg.load_freeze_state(net, state)

Freezes what mg.freeze_state said was frozen, and lets all else be trained. A name that the model does not have raises, and nothing changes
then. Low-rank adapters have to be there before.

Example:
  local net = mg.nn.Linear(2, 2)
  mg.freeze(net, "bias")
  local state = mg.freeze_state(net)
  mg.unfreeze(net)
  mg.load_freeze_state(net, state)
  print(net.weight.requires_grad, net.bias.requires_grad)                 -- true false
]=]
function mg.load_freeze_state(net, state)
  if type(state) ~= "table" then raise("load_freeze_state: expected what freeze_state gave, got %s", found(state)) end
  native.load_freeze_state(net, state.frozen or {}, state.evaluation or {})
end

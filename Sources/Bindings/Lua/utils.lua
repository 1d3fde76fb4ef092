-- Losses and utilities of mg.nn that are better said in Lua: sequences of several lengths, and what takes functions or lists.

local _, mg, nn, shared = ...
local format = string.format
local raise, found, options = shared.raise, shared.found, shared.options
local is_tensor, F = mg.is_tensor, nn.functional

-- Losses ---------------------------------------------------------------------------------------------------------

--[=[ mg.nn.functional.triplet_margin_with_distance_loss(anchor, positive, negative, { distance_function, margin = 1, swap = false, reduction = "mean" })

The anchor's distance to the positive − that to the negative + margin, from 0 up, with a distance of your own.

Options:
  distance_function: a function of two tensors; the 2-norm of the difference of rows unless given
  margin = 1: above 0
  swap = false: take the positive's distance to the negative where that is less than the anchor's
  reduction = "mean": or "sum", "none"

Example:
  local a, p, n = mg.randn(4, 3), mg.randn(4, 3), mg.randn(4, 3)
  print(mg.nn.functional.triplet_margin_with_distance_loss(a, p, n, {
    distance_function = function(x, y) return 1 - mg.cosine_similarity(x, y) end }))
]=]
function F.triplet_margin_with_distance_loss(anchor, positive, negative, ...)
  local what = "triplet_margin_with_distance_loss"
  local set = options(what, { { "distance_function" }, { "margin", 1 }, { "swap", false }, { "reduction", "mean" } }, ...)
  local inputs = { anchor, positive, negative }
  for i = 1, 3 do
    local x = inputs[i]
    if not is_tensor(x) then raise("%s: argument %d: expected a tensor, got %s", what, i, found(x)) end
  end
  local distance = set.distance_function or mg.pairwise_distance
  if type(distance) ~= "function" and type(distance) ~= "table" then
    raise("%s: option 'distance_function': expected a function, got %s", what, found(distance))
  end
  if type(set.margin) ~= "number" or not (set.margin > 0) then raise("%s: margin must be above 0, got %s", what, found(set.margin)) end
  local near, far = distance(anchor, positive), distance(anchor, negative)
  if set.swap then far = mg.minimum(far, distance(positive, negative)) end
  local losses = (near - far + set.margin):clamp(0)
  if set.reduction == "none" then return losses end
  if set.reduction == "sum" then return losses:sum() end
  if set.reduction == "mean" then return losses:mean() end
  raise("%s: reduction must be \"mean\", \"sum\" or \"none\", got %s", what, found(set.reduction))
end

--[=[ mg.nn.functional.gumbel_softmax(logits, { tau = 1, hard = false, dim = -1 })

A draw of classes by their logits that has a gradient: softmax of (logits + Gumbel noise) / tau along a dimension (Jang et al., 2017).

Options:
  tau = 1: the smaller, the nearer to one class alone
  hard = false: one class alone (ones and zeros), with the gradient of the soft draw
  dim = -1

Example:
  print(mg.nn.functional.gumbel_softmax(mg.zeros(2, 3), { hard = true }):sum(2))      -- tensor([1., 1.])
]=]
function F.gumbel_softmax(logits, ...)
  local what = "gumbel_softmax"
  local set = options(what, { { "tau", 1 }, { "hard", false }, { "dim", -1 } }, ...)
  if not is_tensor(logits) then raise("%s: argument 1: expected a tensor, got %s", what, found(logits)) end
  if not logits:is_floating_point() then raise("%s: the logits must be of a float dtype, not %s", what, logits.dtype) end
  if not (set.tau > 0) then raise("%s: tau must be above 0, got %s", what, found(set.tau)) end
  local noise = -mg.empty_like(logits):detach():exponential_():log()
  local soft = F.softmax((logits + noise) / set.tau, set.dim)
  if not set.hard then return soft end
  local _, best = soft:max(set.dim, true)
  return mg.zeros_like(soft):detach():scatter(set.dim, best, 1) - soft:detach() + soft
end

-- A class of losses whose constructor's options go to a function.
local function loss_class(name, known, forward)
  local class = nn.Module(name)
  function class:init(...)
    local set = options(name, known, ...)
    for _, option in ipairs(known) do self[option[1]] = set[option[1]] end
  end
  class.forward = forward
  nn[name] = class
end

--[=[ mg.nn.TripletMarginWithDistanceLoss({ distance_function, margin = 1, swap = false, reduction = "mean" })

nn.functional.triplet_margin_with_distance_loss as a module, called with the anchor, the positive and the negative.

Example:
  local loss = mg.nn.TripletMarginWithDistanceLoss{ distance_function = function(x, y) return (x - y):abs():sum(2) end }
  print(loss(mg.randn(4, 3), mg.randn(4, 3), mg.randn(4, 3)))
]=]
loss_class("TripletMarginWithDistanceLoss", { { "distance_function" }, { "margin", 1 }, { "swap", false }, { "reduction", "mean" } },
  function(self, anchor, positive, negative)
    return F.triplet_margin_with_distance_loss(anchor, positive, negative,
      { distance_function = self.distance_function, margin = self.margin, swap = self.swap, reduction = self.reduction })
  end)

--[=[ mg.nn.CTCLoss({ blank = 1, reduction = "mean", zero_infinity = false })

nn.functional.ctc_loss as a module, called with log-probabilities (times, batch, classes), targets (batch, longest) or one after
another, and the lengths of both, lists with one for each row of the batch. Classes, the blank among them, count from 1.

Example:
  local logp = mg.nn.functional.log_softmax(mg.randn(6, 2, 4), 3)
  print(mg.nn.CTCLoss()(logp, mg.tensor{ { 2, 3 }, { 4, 2 } }, { 6, 5 }, { 2, 1 }))
]=]
loss_class("CTCLoss", { { "blank", 1 }, { "reduction", "mean" }, { "zero_infinity", false } },
  function(self, log_probs, targets, input_lengths, target_lengths)
    return F.ctc_loss(log_probs, targets, input_lengths, target_lengths,
      { blank = self.blank, reduction = self.reduction, zero_infinity = self.zero_infinity })
  end)

-- Masks ----------------------------------------------------------------------------------------------------------

--[=[ mg.nn.Transformer.generate_square_subsequent_mask(size, { dtype })

A mask (size, size) to be added to attention's scores: -inf above the diagonal, so that each place sees itself and what is before
it, and 0 elsewhere. The same by is_causal = true, without a mask.

Example:
  print(mg.nn.Transformer.generate_square_subsequent_mask(3))
]=]
local function generate_square_subsequent_mask(size, ...)
  local what = "generate_square_subsequent_mask"
  local set = options(what, { { "dtype", mg.get_default_dtype() } }, ...)
  if math.type(size) ~= "integer" or size < 0 then raise("%s: argument 1: expected a size, got %s", what, found(size)) end
  return mg.full({ size, size }, -math.huge, { dtype = set.dtype }):triu(1)
end

-- Classes with functions of their own ------------------------------------------------------------------------------

-- Makes a constructor a table that is called like it and has functions too.
local function with_functions(name, functions)
  local make = nn[name]
  nn[name] = setmetatable(functions, {
    __call = function(_, ...) return make(...) end,
    __tostring = function() return "class " .. name end,
  })
end

with_functions("Transformer", { generate_square_subsequent_mask = generate_square_subsequent_mask })

-- A table of vectors that holds the ones given, and does not train unless freeze = false.
local function from_pretrained(name, known)
  return function(embeddings, ...)
    local what = name .. ".from_pretrained"
    local set = options(what, known, ...)
    if not is_tensor(embeddings) or embeddings:dim() ~= 2 then
      raise("%s: argument 1: expected vectors, a tensor (entries, width), got %s", what, found(embeddings))
    end
    local layer_options = { dtype = embeddings.dtype }
    for _, option in ipairs(known) do
      if option[1] ~= "freeze" then layer_options[option[1]] = set[option[1]] end
    end
    local layer = nn[name](embeddings:size(1), embeddings:size(2), layer_options)
    layer.weight = nn.Parameter(embeddings, { requires_grad = not set.freeze })
    return layer
  end
end

--[=[ mg.nn.Embedding.from_pretrained(embeddings, { freeze = true, padding_idx, max_norm, norm_type = 2, scale_grad_by_freq = false })

An Embedding whose vectors are the rows of a tensor (entries, width), of which it makes no copy.

Options:
  freeze = true: whether the vectors stay as they are
  padding_idx, max_norm, norm_type, scale_grad_by_freq: as for mg.nn.Embedding; the row of padding_idx keeps its values

Example:
  local table = mg.nn.Embedding.from_pretrained(mg.tensor{ { 1, 2 }, { 3, 4 } })
  print(table(mg.tensor{ 2 }), table.weight.requires_grad)               -- tensor([[3., 4.]])  false
]=]
with_functions("Embedding", { from_pretrained = from_pretrained("Embedding",
  { { "freeze", true }, { "padding_idx" }, { "max_norm" }, { "norm_type", 2.0 }, { "scale_grad_by_freq", false } }) })

--[=[ mg.nn.EmbeddingBag.from_pretrained(embeddings, { freeze = true, max_norm, norm_type = 2, scale_grad_by_freq = false, mode = "mean", include_last_offset = false, padding_idx })

An EmbeddingBag whose vectors are the rows of a tensor (entries, width), of which it makes no copy.

Example:
  local bag = mg.nn.EmbeddingBag.from_pretrained(mg.tensor{ { 1, 2 }, { 3, 4 } }, { mode = "sum" })
  print(bag(mg.tensor{ { 1, 2 } }))                                      -- tensor([[4., 6.]])
]=]
with_functions("EmbeddingBag", { from_pretrained = from_pretrained("EmbeddingBag",
  { { "freeze", true }, { "max_norm" }, { "norm_type", 2.0 }, { "scale_grad_by_freq", false }, { "mode", "mean" },
    { "include_last_offset", false }, { "padding_idx" } }) })

-- Sequences ------------------------------------------------------------------------------------------------------

local rnn = nn.utils.rnn

local function lengths_of(what, lengths, count)
  local list = is_tensor(lengths) and lengths:tolist() or lengths
  if type(list) ~= "table" then raise("%s: expected lengths, a list or a tensor of them, got %s", what, found(lengths)) end
  if count and #list ~= count then raise("%s: %d lengths are needed, one for each sequence, got %d", what, count, #list) end
  for i, length in ipairs(list) do
    if math.type(length) ~= "integer" or length < 1 then raise("%s: length %d must be a whole number above 0, got %s", what, i, found(length)) end
  end
  return list
end

local function sequences_of(what, sequences)
  if type(sequences) ~= "table" or #sequences == 0 then raise("%s: expected a list of sequences, got %s", what, found(sequences)) end
  local rest
  for i, x in ipairs(sequences) do
    if not is_tensor(x) or x.ndim == 0 then raise("%s: sequence %d must be a tensor with at least 1 dimension, got %s", what, i, found(x)) end
    local sizes = table.concat(x.shape, ", ", 2)
    if rest and sizes ~= rest then
      raise("%s: sequences may differ in their first size only, but sequence %d has sizes (%s) after it, and the first (%s)", what, i, sizes, rest)
    end
    rest = sizes
  end
  return sequences
end

--[=[ mg.nn.utils.rnn.pad_sequence(sequences, { batch_first = false, padding_value = 0, padding_side = "right" })

Sequences of several lengths in one tensor, the shorter ones filled up.

Arguments:
  sequences: a list of tensors (length, …), alike but for their lengths
Options:
  batch_first = false: give (batch, longest, …) instead of (longest, batch, …)
  padding_value = 0: what they are filled up with
  padding_side = "right": or "left"

Example:
  print(mg.nn.utils.rnn.pad_sequence({ mg.ones(3), mg.ones(1) }, { batch_first = true }))
]=]
function rnn.pad_sequence(sequences, ...)
  local what = "pad_sequence"
  local set = options(what, { { "batch_first", false }, { "padding_value", 0 }, { "padding_side", "right" } }, ...)
  sequences_of(what, sequences)
  if set.padding_side ~= "right" and set.padding_side ~= "left" then
    raise("%s: padding_side must be \"right\" or \"left\", got %s", what, found(set.padding_side))
  end
  local longest, padded = 0, {}
  for _, x in ipairs(sequences) do longest = math.max(longest, x:size(1)) end
  for i, x in ipairs(sequences) do
    local missing = longest - x:size(1)
    if missing > 0 then
      local shape = table.move(x.shape, 2, #x.shape, 2, { missing })
      local filling = mg.full(shape, set.padding_value, { dtype = x.dtype })
      padded[i] = mg.cat(set.padding_side == "right" and { x, filling } or { filling, x }, 1)
    else
      padded[i] = x
    end
  end
  return mg.stack(padded, set.batch_first and 1 or 2)
end

--[=[ mg.nn.utils.rnn.unpad_sequence(padded, lengths, { batch_first = false })

The sequences that pad_sequence put together: a list of tensors.

Example:
  local padded = mg.nn.utils.rnn.pad_sequence({ mg.ones(3), mg.ones(1) })
  print(mg.nn.utils.rnn.unpad_sequence(padded, { 3, 1 })[2])
]=]
function rnn.unpad_sequence(padded, lengths, ...)
  local what = "unpad_sequence"
  local set = options(what, { { "batch_first", false } }, ...)
  if not is_tensor(padded) or padded.ndim < 2 then raise("%s: expected a padded batch, got %s", what, found(padded)) end
  local rows = set.batch_first and padded or padded:transpose(1, 2)
  local list, result = lengths_of(what, lengths, rows:size(1)), {}
  for i, length in ipairs(list) do
    if length > rows:size(2) then raise("%s: length %d is %d, but the sequences have %d elements", what, i, length, rows:size(2)) end
    result[i] = rows:select(1, i):narrow(1, 1, length)
  end
  return result
end

-- Which sequence comes at which place when the longest comes first, and the reverse.
local function by_length(what, lengths, enforce_sorted)
  local order, places = {}, {}
  for i = 1, #lengths do order[i] = i end
  if enforce_sorted then
    for i = 2, #lengths do
      if lengths[i] > lengths[i - 1] then
        raise("%s: lengths must fall, but number %d is longer than the one before; pass enforce_sorted = false to have them sorted", what, i)
      end
    end
    return order
  end
  table.sort(order, function(a, b) return lengths[a] > lengths[b] or lengths[a] == lengths[b] and a < b end)
  for place, i in ipairs(order) do places[i] = place end
  return order, places
end

local Packed = { __name = "PackedSequence" }
function Packed.__tostring(packed)
  return format("PackedSequence(data = %s, batch_sizes = %s)", packed.data, packed.batch_sizes)
end

--[=[ mg.nn.utils.rnn.pack_padded_sequence(input, lengths, { batch_first = false, enforce_sorted = true })

A padded batch without the padding: the first elements of all sequences, then the second ones of those that have one, and so on.

Arguments:
  input: a tensor (longest, batch, …), or with batch_first (batch, longest, …)
  lengths: of the sequences, a list or a tensor
Options:
  batch_first = false
  enforce_sorted = true: raise unless the longest come first; false sorts them

Returns a PackedSequence: a table with `data`, `batch_sizes` (int64), and, where they were sorted, `sorted_indices` and
`unsorted_indices`, which count from 1.

Example:
  local padded = mg.tensor{ { 1, 2 }, { 3, 0 } }
  print(mg.nn.utils.rnn.pack_padded_sequence(padded, { 2, 1 }).data)     -- tensor([1, 2, 3])
]=]
function rnn.pack_padded_sequence(input, lengths, ...)
  local what = "pack_padded_sequence"
  local set = options(what, { { "batch_first", false }, { "enforce_sorted", true } }, ...)
  if not is_tensor(input) or input.ndim < 2 then raise("%s: expected a padded batch, got %s", what, found(input)) end
  local rows = set.batch_first and input:transpose(1, 2) or input
  local list = lengths_of(what, lengths, rows:size(2))
  local order, places = by_length(what, list, set.enforce_sorted)
  local longest = list[order[1]]
  if longest > rows:size(1) then raise("%s: a length is %d, but the sequences have %d elements", what, longest, rows:size(1)) end
  local sorted = places and mg.tensor(order)
  if sorted then rows = rows:index_select(2, sorted) end
  local parts, sizes, count = {}, {}, #list
  for time = 1, longest do
    while list[order[count]] < time do count = count - 1 end
    parts[time], sizes[time] = rows:select(1, time):narrow(1, 1, count), count
  end
  return setmetatable({ data = mg.cat(parts, 1), batch_sizes = mg.tensor(sizes), sorted_indices = sorted or nil,
    unsorted_indices = places and mg.tensor(places) or nil }, Packed)
end

--[=[ mg.nn.utils.rnn.pad_packed_sequence(packed, { batch_first = false, padding_value = 0, total_length })

The padded batch that a PackedSequence came from, and the lengths of its sequences.

Options:
  batch_first = false
  padding_value = 0
  total_length: as many elements as that, if they are more than the longest sequence has

Example:
  local packed = mg.nn.utils.rnn.pack_sequence{ mg.ones(3), mg.ones(1) }
  local padded, lengths = mg.nn.utils.rnn.pad_packed_sequence(packed)
  print(lengths)                                                         -- tensor([3, 1])
]=]
function rnn.pad_packed_sequence(packed, ...)
  local what = "pad_packed_sequence"
  local set = options(what, { { "batch_first", false }, { "padding_value", 0 }, { "total_length" } }, ...)
  if type(packed) ~= "table" or not is_tensor(packed.data) or not is_tensor(packed.batch_sizes) then
    raise("%s: expected a PackedSequence, got %s", what, found(packed))
  end
  local data, sizes = packed.data, packed.batch_sizes:tolist()
  local batch, longest, total = sizes[1] or 0, #sizes, set.total_length
  if batch == 0 then raise("%s: the sequence is empty", what) end
  if total ~= nil and (math.type(total) ~= "integer" or total < longest) then
    raise("%s: total_length must be at least the longest sequence's %d, got %s", what, longest, found(total))
  end
  local rest, rows, lengths, start = data.shape, {}, {}, 1
  for i = 1, batch do lengths[i] = 0 end
  local function filling(count) return mg.full(table.move(rest, 2, #rest, 2, { count }), set.padding_value, { dtype = data.dtype }) end
  for time, count in ipairs(sizes) do
    if count > (sizes[time - 1] or count) or count < 1 or start + count - 1 > rest[1] then
      raise("%s: batch_sizes must fall and sum up to the %d elements of data", what, rest[1])
    end
    local present = data:narrow(1, start, count)
    rows[time] = count == batch and present or mg.cat({ present, filling(batch - count) }, 1)
    for i = 1, count do lengths[i] = time end
    start = start + count
  end
  for time = longest + 1, total or longest do rows[time] = filling(batch) end
  local padded, counts = mg.stack(rows, 1), mg.tensor(lengths)
  if packed.unsorted_indices then
    padded, counts = padded:index_select(2, packed.unsorted_indices), counts:index_select(1, packed.unsorted_indices)
  end
  return set.batch_first and padded:transpose(1, 2) or padded, counts
end

--[=[ mg.nn.utils.rnn.pack_sequence(sequences, { enforce_sorted = true })

Sequences of several lengths as a PackedSequence, see pack_padded_sequence.

Example:
  print(mg.nn.utils.rnn.pack_sequence({ mg.ones(1), mg.zeros(3) }, { enforce_sorted = false }).batch_sizes)   -- tensor([2, 1, 1])
]=]
function rnn.pack_sequence(sequences, ...)
  local set = options("pack_sequence", { { "enforce_sorted", true } }, ...)
  local lengths = {}
  for i, x in ipairs(sequences_of("pack_sequence", sequences)) do lengths[i] = x:size(1) end
  return rnn.pack_padded_sequence(rnn.pad_sequence(sequences), lengths, { enforce_sorted = set.enforce_sorted })
end

--[=[ mg.nn.utils.rnn.unpack_sequence(packed)

The sequences of a PackedSequence: a list of tensors.

Example:
  local packed = mg.nn.utils.rnn.pack_sequence{ mg.ones(3), mg.ones(1) }
  print(#mg.nn.utils.rnn.unpack_sequence(packed))                        -- 2
]=]
function rnn.unpack_sequence(packed)
  local padded, lengths = rnn.pad_packed_sequence(packed, { batch_first = true })
  return rnn.unpad_sequence(padded, lengths, { batch_first = true })
end

-- The same lengths and order with other data: what a recurrent layer makes of a packed sequence.
return function(packed, data)
  return setmetatable({ data = data, batch_sizes = packed.batch_sizes, sorted_indices = packed.sorted_indices,
    unsorted_indices = packed.unsorted_indices }, Packed)
end

-- mg.func.vmap: functions over batches. What tensors of a batch are stands in Batching.swift.

local native, mg, _, shared, trees_of = ...
local format = string.format
local raise, found, options, callable = shared.raise, shared.found, shared.options, shared.callable
local flatten, grown, is_tensor = trees_of.flatten, trees_of.grown, mg.is_tensor

-- The dimension that a batch has in each tensor of a tree: one number, false for none, or a tree of such.
local function batched(what, tree, dims, name, visit)
  if is_tensor(tree) then
    if type(dims) ~= "number" and dims ~= false then
      raise("%s: in_dims: expected a dimension, false or a table of them for %s, got %s", what, name, found(dims))
    end
    return visit(tree, dims, name)
  end
  if type(tree) ~= "table" or getmetatable(tree) ~= nil then return tree end
  local result = {}
  for key, value in pairs(tree) do
    local own = dims
    if type(dims) == "table" then own = dims[key] end
    result[key] = batched(what, value, own, format("%s[%s]", name, tostring(key)), visit)
  end
  return result
end

--[=[ mg.func.vmap(f, { in_dims = 1, out_dims = 1, randomness = "error" })

f over a batch: a function whose arguments have one dimension more, over which f is applied, and whose results have it too.
It may be nested, and composed with grad, jacrev, jvp and the like: vmap(grad(loss)) gives a gradient for each sample.

f is called once, with tensors that stand for those of every element of the batch: their shapes are those of one element, and
operations work on the whole batch at once. So f cannot look at values: x:item(), and branches that need it, raise. An
operation that has no rule for batches is called for each element, and a warning says so once.

Arguments:
  f: a function that returns a tensor, several, or a table of them
Options:
  in_dims = 1: the arguments' dimension of the batch: one for all, or a list with one for each argument; false or nil
    for an argument that all calls share, and a table for a table of tensors
  out_dims = 1: the results' dimension of the batch: one for all, or a list with one for each result
  randomness = "error": whether f may draw random numbers: "different" ones in each call, the "same" in all, or not
  chunk_size: how many elements to take at once, where all of them need too much memory; f is then called once for each chunk

Returns a function.

Example:
  local dot = mg.func.vmap(mg.dot)
  print(dot(mg.ones(3, 2), mg.ones(3, 2)))                               -- tensor([2., 2., 2.])
]=]
function mg.func.vmap(f, ...)
  local what = "vmap"
  callable(what, f)
  local set = options(what, { { "in_dims" }, { "out_dims" }, { "randomness", "error" }, { "chunk_size" } }, ...)
  local in_dims = set.in_dims == nil and 1 or set.in_dims
  local out_dims = set.out_dims == nil and 1 or set.out_dims
  if set.randomness ~= "error" and set.randomness ~= "different" and set.randomness ~= "same" then
    raise('%s: option \'randomness\': expected "error", "different" or "same", got %s', what, found(set.randomness))
  end
  return function(...)
    local arguments = table.pack(...)
    local size, first
    for n = 1, arguments.n do
      local dims = in_dims
      if type(in_dims) == "table" then dims = in_dims[n] end
      -- As in PyTorch's None, nil is what all calls share.
      if dims == nil then dims = false end
      batched(what, arguments[n], dims, format("argument %d", n), function(x, dim, name)
        if dim == false then return end
        if #x.shape == 0 then raise("%s: %s has no dimension to go over; say in_dims = false for it", what, name) end
        local length = x:size(dim)
        if size and length ~= size then
          raise("%s: %s has %d entries in dimension %d, %s has %d", what, name, length, dim, first, size)
        end
        size, first = size or length, first or name
      end)
    end
    if not size then raise("%s: no argument has a batch; at least one entry of in_dims must be a dimension", what) end
    if size == 0 then raise("%s: the batch is empty", what) end
    local chunk = set.chunk_size or size
    if math.type(chunk) ~= "integer" or chunk < 1 then
      raise("%s: option 'chunk_size': expected a count from 1 on, got %s", what, found(chunk))
    end

    -- f of the elements `from` to `from + count - 1`.
    local function applied(from, count)
      local _ <close> = native.open_batch(count, set.randomness)
      local given = { n = arguments.n }
      for n = 1, arguments.n do
        local dims = in_dims
        if type(in_dims) == "table" then dims = in_dims[n] or false end
        given[n] = batched(what, arguments[n], dims, "", function(x, dim)
          if dim == false then return x end
          return native.enter_batch(count < size and x:narrow(dim, from, count) or x, dim)
        end)
      end
      local values = table.pack(f(table.unpack(given, 1, given.n)))
      if values.n == 0 then raise("%s: the function must return a tensor or several, got nothing", what) end
      local forms, results = {}, {}
      for r = 1, values.n do
        local dim = type(out_dims) == "table" and out_dims[r] or out_dims
        if type(dim) ~= "number" then raise("%s: out_dims: expected a dimension for result %d, got %s", what, r, found(dim)) end
        results[r] = { dim = dim }
        forms[r] = flatten(what, values[r], format("result %d", r), results[r])
        for i, x in ipairs(results[r]) do results[r][i] = native.leave_batch(x, dim) end
      end
      return forms, results
    end

    local forms, results = applied(1, math.min(chunk, size))
    for from = chunk + 1, size, chunk do
      local _, more = applied(from, math.min(chunk, size - from + 1))
      for r, list in ipairs(results) do
        for i, x in ipairs(list) do list[i] = mg.cat({ x, more[r][i] }, list.dim) end
      end
    end
    local values = {}
    for r, list in ipairs(results) do values[r] = grown(forms[r], list) end
    return table.unpack(values, 1, #results)
  end
end

--[=[ mg.func.stack_module_state(models)

The parameters and buffers of several models of one architecture, each stacked along a new first dimension, for vmap over an
ensemble: the k-th entries are those of the k-th model.

Arguments:
  models: a list of modules

Returns a table of parameters, which require grad, and one of buffers, by name.

Example:
  local models = { mg.nn.Linear(2, 1), mg.nn.Linear(2, 1) }
  local parameters, buffers = mg.func.stack_module_state(models)
  local function run(p, b, x) return mg.func.functional_call(models[1], { p, b }, x) end
  print(mg.func.vmap(run, { in_dims = { 1, 1, false } })(parameters, buffers, mg.ones(3, 2)).shape)     -- {2, 3, 1}
]=]
function mg.func.stack_module_state(models)
  local what = "stack_module_state"
  if type(models) ~= "table" or #models == 0 then raise("%s: expected a list of modules, got %s", what, found(models)) end
  local results = {}
  for kind, list in ipairs { "named_parameters", "named_buffers" } do
    local columns, names = {}, 0
    for k, model in ipairs(models) do
      local count = 0
      for _, entry in ipairs(native[list](model)) do
        local name, tensor = entry[1], entry[2]
        count = count + 1
        columns[name] = columns[name] or {}
        if #columns[name] ~= k - 1 then raise("%s: model %d has '%s', which those before it have not", what, k, name) end
        columns[name][k] = tensor:detach()
      end
      if k == 1 then names = count end
      if count ~= names then raise("%s: model %d has %d tensors where the first has %d", what, k, count, names) end
    end
    local stacked = {}
    for name, column in pairs(columns) do
      stacked[name] = mg.stack(column)
      if kind == 1 then stacked[name]:requires_grad_() end
    end
    results[kind] = stacked
  end
  return results[1], results[2]
end

-- mg.func.jacrev, jacfwd and hessian: whole Jacobians. Rows or columns are computed many at once, as a batch of runs of the
-- function, see vmap.lua; a function that looks at values, which those of a batch cannot, is run for each of them.

local native, mg, _, shared, trees_of = ...
local raise, found, options, callable, gradients = shared.raise, shared.found, shared.options, shared.callable, shared.gradients
local flatten, grown, mapped, detach = trees_of.flatten, trees_of.grown, trees_of.mapped, trees_of.detach
local fresh, reaches_beyond, results_of = trees_of.fresh, trees_of.reaches_beyond, trees_of.results_of
local aux_values, chosen, positions_of = trees_of.aux_values, trees_of.chosen, trees_of.positions_of
local func = mg.func

-- So many rows or columns make a batch, unless chunk_size says otherwise; fewer than the least are run one by one.
local usual_chunk, least = 256, 4

-- Blocks, one for each output and input, as a tree of the output's form of trees of the arguments'.
local function arranged(form, trees, several, block)
  if type(form) == "table" then
    local result = {}
    for key, part in pairs(form) do result[key] = arranged(part, trees, several, block) end
    return result
  end
  local function of_input(positions)
    if type(positions) ~= "table" then return block(form, positions) end
    local result = {}
    for key, part in pairs(positions) do result[key] = of_input(part) end
    return result
  end
  local result = {}
  for i, tree in ipairs(trees) do result[i] = of_input(tree[2]) end
  return several and result or result[1]
end

local function joined_shape(first, second)
  local shape = table.move(first, 1, #first, 1, {})
  return table.move(second, 1, #second, #shape + 1, shape)
end

-- The k-th of the tensors that are like x and have a single 1.
local function unit(x, k)
  local result = mg.zeros(x:numel(), { dtype = x.dtype })
  result[k] = 1
  return result:reshape(x.shape)
end

-- `count` rows of x's size, of which those from `first` on are the units of x from the k-th on: (count, x's sizes).
local function units(x, count, first, k, length)
  local result = mg.zeros(count, x:numel(), { dtype = x.dtype })
  if length > 0 then result:narrow(1, first, length):narrow(2, k, length):diagonal():fill_(1) end
  return result:reshape(joined_shape({ count }, x.shape))
end

local function chunk_of(what, set)
  local chunk = set.chunk_size or usual_chunk
  if math.type(chunk) ~= "integer" or chunk < 1 then
    raise("%s: option 'chunk_size': expected a count from 1 on, got %s", what, found(chunk))
  end
  return chunk
end

-- What `at_once` returns, or `one_by_one` where the function does something that no batch can.
local function batched_or_not(at_once, one_by_one)
  local before = native.batch_refusals()
  local results = table.pack(pcall(at_once))
  if results[1] then return table.unpack(results, 2, results.n) end
  if native.batch_refusals() == before then error(results[2], 0) end
  return one_by_one()
end

-- Backwards ------------------------------------------------------------------------------------------------------

-- The rows from `from` to `from + count - 1` of all outputs', for each input: { (count, x's sizes), … }.
local function rows_at_once(what, f, has_aux, arguments, list, trees, sizes, from, count)
  local _ <close> = native.open_batch(count, "same")
  local xs, connected = fresh(what, list, mg.is_grad_enabled())
  local given = table.move(arguments, 1, arguments.n, 1, {})
  for _, tree in ipairs(trees) do given[tree[1]] = grown(tree[2], xs) end
  local outputs, seeds = {}, {}
  flatten(what, (results_of(what, has_aux, f(table.unpack(given, 1, arguments.n)))), "the function's output", outputs)
  connected = connected or reaches_beyond(outputs, xs)
  local start = 1
  for o, y in ipairs(outputs) do
    -- Row `from` of all may lie within this output's, or before them.
    local first, last = math.max(start, from), math.min(start + sizes[o], from + count) - 1
    seeds[o] = native.enter_batch(units(y, count, first - from + 1, first - start + 1, math.max(last - first + 1, 0)), 1)
    start = start + sizes[o]
  end
  local rows = gradients(outputs, #outputs, xs, seeds, connected, true)
  for i, x in ipairs(xs) do
    local row = native.leave_batch(rows[i] or mg.zeros_like(x), 1)
    rows[i] = connected and row or detach(row)
  end
  return rows
end

--[=[ mg.func.jacrev(f, { argnums = 1, has_aux = false, chunk_size = 256 })

The Jacobian of f as a function, by backward runs: a row for each element of f's output. Many rows are computed at once, for
which f is called a second time, as vmap would; an f that no batch can be put through is run backward for each row.

Arguments:
  f: a function that returns a tensor, several, or a table of them
Options:
  argnums = 1: by which argument to differentiate: a tensor, or a table of tensors. A list of positions gives a list
  has_aux = false: f returns other values after its output; they come after the Jacobian
  chunk_size = 256: how many rows to compute at once; 1 calls f only once

Returns a function. Its result is, for each tensor of the output and of the argument, a tensor of the output's sizes and
then the argument's; in the output's form, and in that the argument's.

Example:
  local J = mg.func.jacrev(function(x) return x ^ 2 end)
  print(J(mg.tensor{ 1.0, 2.0 }))        -- tensor([[2., 0.], [0., 4.]])
]=]
function func.jacrev(f, ...)
  local what = "jacrev"
  callable(what, f)
  local set = options(what, { { "argnums" }, { "has_aux", false }, { "chunk_size" } }, ...)
  local places, several = positions_of(what, set.argnums == nil and 1 or set.argnums)
  local chunk = chunk_of(what, set)
  return function(...)
    local outer = mg.is_grad_enabled()
    local _ <close> = mg.enable_grad()
    local arguments = table.pack(...)
    local list, trees = chosen(what, places, arguments)
    local xs, connected = fresh(what, list, outer)
    local given = table.move(arguments, 1, arguments.n, 1, {})
    for _, tree in ipairs(trees) do given[tree[1]] = grown(tree[2], xs) end
    local before = native.random_state()
    local output, aux = results_of(what, set.has_aux, f(table.unpack(given, 1, arguments.n)))
    local after = native.random_state()
    local outputs = {}
    local form = flatten(what, output, "the function's output", outputs)
    connected = connected or outer and reaches_beyond(outputs, xs)
    local sizes, total = {}, 0
    for o, y in ipairs(outputs) do
      sizes[o] = y:numel()
      total = total + sizes[o]
    end

    -- For each input, the rows of all outputs, one below the other.
    local function one_by_one()
      local rows = {}
      for i in ipairs(xs) do rows[i] = {} end
      for _, y in ipairs(outputs) do
        for k = 1, y:numel() do
          local row = y.requires_grad and gradients({ y }, 1, xs, { unit(y, k) }, connected, true) or {}
          for i, x in ipairs(xs) do table.insert(rows[i], row[i] or mg.zeros_like(x)) end
        end
      end
      for i in ipairs(xs) do rows[i] = total > 0 and mg.stack(rows[i], 1) end
      return rows
    end
    local function at_once()
      -- Under the caller's mode, in which what f depends on besides is recorded or not.
      local _ <close> = mg.set_grad_enabled(outer)
      local rows = {}
      for i in ipairs(xs) do rows[i] = {} end
      for from = 1, total, chunk do
        native.random_state(before)
        local part = rows_at_once(what, f, set.has_aux, arguments, list, trees, sizes, from, math.min(chunk, total - from + 1))
        for i in ipairs(xs) do table.insert(rows[i], part[i]) end
      end
      native.random_state(after)
      for i in ipairs(xs) do rows[i] = #rows[i] == 1 and rows[i][1] or mg.cat(rows[i], 1) end
      return rows
    end
    local rows
    if total < least or chunk == 1 then rows = one_by_one() else rows = batched_or_not(at_once, one_by_one) end

    local starts, start = {}, 1
    for o in ipairs(outputs) do
      starts[o] = start
      start = start + sizes[o]
    end
    local function block(o, i)
      local shape = joined_shape(outputs[o].shape, xs[i].shape)
      if sizes[o] == 0 then return mg.zeros(shape, { dtype = xs[i].dtype }) end
      local whole = (sizes[o] == total and rows[i] or rows[i]:narrow(1, starts[o], sizes[o])):reshape(shape)
      return connected and whole or detach(whole)
    end
    return arranged(form, trees, several, block), aux_values(aux, connected)
  end
end

-- Forwards -------------------------------------------------------------------------------------------------------

-- f at tangents: the form of its output, its tensors without tangents and their tangents, and what else it returned.
local function moved(what, f, has_aux, arguments, trees, duals)
  local given = table.move(arguments, 1, arguments.n, 1, {})
  for _, tree in ipairs(trees) do given[tree[1]] = grown(tree[2], duals) end
  local output, aux = results_of(what, has_aux, f(table.unpack(given, 1, arguments.n)))
  local outputs, tangents = {}, {}
  local form = flatten(what, output, "the function's output", outputs)
  for o, y in ipairs(outputs) do
    local value, tangent = native.unpack_dual(y)
    outputs[o], tangents[o] = value, tangent or mg.zeros_like(value)
  end
  for n = 1, aux.n do aux[n] = mapped(aux[n], function(part) return (native.unpack_dual(part)) end) end
  return form, outputs, tangents, aux
end

--[=[ mg.func.jacfwd(f, { argnums = 1, has_aux = false, chunk_size = 256 })

The same as mg.func.jacrev, by forward mode: a column for each element of the argument, which is better where the argument has
fewer elements than the output. Many columns are computed in one call of f, as vmap would; an f that no batch can be put
through is called for each column.

Arguments:
  f: a function that returns a tensor, several, or a table of them
Options:
  argnums = 1: by which argument to differentiate, or a list of positions
  has_aux = false: f returns other values after its output; they come after the Jacobian
  chunk_size = 256: how many columns to compute at once

Returns a function, whose result has the form that jacrev's has.

Example:
  print(mg.func.jacfwd(mg.sin)(mg.tensor{ 0.0 }))                        -- tensor([[1.]])
]=]
function func.jacfwd(f, ...)
  local what = "jacfwd"
  callable(what, f)
  local set = options(what, { { "argnums" }, { "has_aux", false }, { "chunk_size" } }, ...)
  local places, several = positions_of(what, set.argnums == nil and 1 or set.argnums)
  local chunk = chunk_of(what, set)
  return function(...)
    local arguments = table.pack(...)
    local list, trees = chosen(what, places, arguments)
    local form, outputs, aux
    local before = native.random_state()

    -- The tangents of all outputs along each element of list[i], as last dimensions.
    local function one_by_one(i)
      local x, columns = list[i], {}
      for k = 1, math.max(x:numel(), 1) do
        local _ <close> = native.open_level()
        local duals, tangents = table.move(list, 1, #list, 1, {}), nil
        if x:numel() > 0 then duals[i] = native.make_dual(x, unit(x, k)) end
        native.random_state(before)
        form, outputs, tangents, aux = moved(what, f, set.has_aux, arguments, trees, duals)
        for o, tangent in ipairs(tangents) do
          columns[o] = columns[o] or {}
          columns[o][k] = tangent
        end
      end
      for o, list_of in ipairs(columns) do columns[o] = mg.stack(list_of, -1) end
      return columns
    end
    local function at_once(i)
      local x, columns = list[i], {}
      local count = x:numel()
      for from = 1, count, chunk do
        local length = math.min(chunk, count - from + 1)
        local _ <close> = native.open_batch(length, "same")
        local _ <close> = native.open_level()
        local duals = table.move(list, 1, #list, 1, {})
        duals[i] = native.make_dual(x, native.enter_batch(units(x, length, 1, from, length), 1))
        native.random_state(before)
        local tangents
        form, outputs, tangents, aux = moved(what, f, set.has_aux, arguments, trees, duals)
        -- What every element of the batch has.
        local function single(y) return native.leave_batch(y, 1)[1] end
        for o, y in ipairs(outputs) do
          outputs[o] = single(y)
          columns[o] = columns[o] or {}
          table.insert(columns[o], native.leave_batch(tangents[o], -1))
        end
        for n = 1, aux.n do aux[n] = mapped(aux[n], single) end
      end
      for o, parts in ipairs(columns) do columns[o] = #parts == 1 and parts[1] or mg.cat(parts, -1) end
      return columns
    end

    local columns = {}
    for i, x in ipairs(list) do
      if x:numel() < least or chunk == 1 then
        columns[i] = one_by_one(i)
      else
        columns[i] = batched_or_not(function() return at_once(i) end, function() return one_by_one(i) end)
      end
    end
    local function block(o, i)
      local shape = joined_shape(outputs[o].shape, list[i].shape)
      if list[i]:numel() == 0 then return mg.zeros(shape, { dtype = outputs[o].dtype }) end
      return columns[i][o]:reshape(shape)
    end
    return arranged(form, trees, several, block), table.unpack(aux, 1, aux.n)
  end
end

--[=[ mg.func.hessian(f, { argnums = 1 })

The second derivatives of f as a function: jacfwd(jacrev(f)), forward mode over reverse.

Arguments:
  f: a function that returns a tensor
Options:
  argnums = 1: by which argument to differentiate, or a list of positions

Returns a function. Its result has the output's sizes and then twice the argument's.

Example:
  print(mg.func.hessian(function(x) return (x ^ 3):sum() end)(mg.tensor{ 1.0, 2.0 }))     -- tensor([[ 6., 0.], [ 0., 12.]])
]=]
function func.hessian(f, ...)
  callable("hessian", f)
  local set = options("hessian", { { "argnums" } }, ...)
  return func.jacfwd(func.jacrev(f, { argnums = set.argnums }), { argnums = set.argnums })
end

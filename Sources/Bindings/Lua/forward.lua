-- mg.func in forward mode, and whole Jacobians: jvp, linearize, jacrev, jacfwd, hessian; functions over batches, vmap; and
-- dual numbers, mg.autograd.forward_ad, which jvp and jacfwd are made of.

local native, mg, _, shared, trees_of = ...
-- Scripts may give these names other values.
local getmetatable, ipairs, math, next, pairs, table, tostring, type = getmetatable, ipairs, math, next, pairs, table, tostring, type
local raise, found, options, callable, gradients = shared.raise, shared.found, shared.options, shared.callable, shared.gradients
local flatten, grown, mapped, detach = trees_of.flatten, trees_of.grown, trees_of.mapped, trees_of.detach
local fresh, reaches_beyond, results_of = trees_of.fresh, trees_of.reaches_beyond, trees_of.results_of
local aux_values, chosen, positions_of = trees_of.aux_values, trees_of.chosen, trees_of.positions_of
local matching, all_detached = trees_of.matching, trees_of.all_detached
local is_tensor, func = mg.is_tensor, mg.func

-- Products -------------------------------------------------------------------------------------------------------

--[=[ mg.func.jvp(f, primals, tangents, { has_aux = false })

f's output at some arguments, and the product J · v of its Jacobian there: how the output moves when the arguments move
by the tangents. By forward mode: f runs once, and nothing is recorded for it.

Arguments:
  f: a function that returns a tensor, several, or a table of them
  primals: f's arguments: a tensor, or a list of them, each a tensor or a table of tensors
  tangents: the same form and shapes
Options:
  has_aux = false: f returns other values after its output; they come last

Returns f's output (a list if f returned several), and the product, of the output's form.

Example:
  local y, moved = mg.func.jvp(function(x) return x ^ 2 end, mg.tensor{ 1.0, 2.0 }, mg.tensor{ 1.0, 10.0 })
  print(moved)                           -- tensor([ 2., 40.])
]=]
function func.jvp(f, primals, tangents, ...)
  local what = "jvp"
  callable(what, f)
  local set = options(what, { { "has_aux", false } }, ...)
  if is_tensor(primals) then primals = { primals } end
  if is_tensor(tangents) then tangents = { tangents } end
  if type(primals) == "table" and primals[1] == nil and next(primals) ~= nil then
    raise("%s: argument 2 (primals): expected a list of the function's arguments; put a table that is one of them into a list, { t }", what)
  end
  local list = {}
  local trees = flatten(what, primals, "argument 2 (primals)", list)
  if #list == 0 then raise("%s: argument 2 (primals): the list is empty", what) end
  local v = matching(what, tangents, "argument 3 (tangents)", trees, list, "argument 2 (primals)")
  local _ <close> = native.open_level()
  local duals = {}
  for i, x in ipairs(list) do duals[i] = native.make_dual(x, v[i]) end
  local output, aux = results_of(what, set.has_aux, f(table.unpack(grown(trees, duals))))
  local outputs = {}
  local form = flatten(what, output, "the function's output", outputs)
  local values, moved = {}, {}
  for i, y in ipairs(outputs) do
    local tangent
    values[i], tangent = native.unpack_dual(y)
    moved[i] = tangent or mg.zeros_like(values[i])
  end
  for i = 1, aux.n do aux[i] = mapped(aux[i], function(x) return (native.unpack_dual(x)) end) end
  return grown(form, values), grown(form, moved), table.unpack(aux, 1, aux.n)
end

--[=[ mg.func.linearize(f, …)

f's output at some arguments, and a function for products J · v with its Jacobian there, which does not run f again.

Arguments:
  f: a function that returns a tensor, several, or a table of them
  …: f's arguments: tensors, or tables of tensors

Returns f's output, and a function that takes a tangent for each argument, of its form, and returns the product, of the
output's form.

Example:
  local y, moved = mg.func.linearize(function(x) return x:sin() end, mg.tensor{ 0.0, 1.0 })
  print(moved(mg.tensor{ 1.0, 0.0 }))    -- tensor([1., 0.])
]=]
function func.linearize(f, ...)
  local what = "linearize"
  callable(what, f)
  local arguments, list, trees = table.pack(...), {}, {}
  if arguments.n == 0 then raise("%s: at least one argument for the function is needed", what) end
  for i = 1, arguments.n do trees[i] = flatten(what, arguments[i], ("argument %d of the function"):format(i), list) end
  local _ <close> = mg.enable_grad()
  local xs = fresh(what, list, false)
  local output = results_of(what, false, f(table.unpack(grown(trees, xs), 1, arguments.n)))
  local outputs = {}
  local form = flatten(what, output, "the function's output", outputs)
  local function product(...)
    local v = matching(what, { ... }, "the tangents", trees, xs, "the function's arguments")
    local _ <close> = mg.enable_grad()
    local moved, filled = shared.forward_product(outputs, xs, v, false), {}
    for i, y in ipairs(outputs) do filled[i] = detach(moved[i] or mg.zeros_like(y)) end
    return grown(form, filled)
  end
  return grown(form, all_detached(outputs)), product
end

-- Jacobians ------------------------------------------------------------------------------------------------------

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

--[=[ mg.func.jacrev(f, { argnums = 1, has_aux = false })

The Jacobian of f as a function, by a backward run for each element of f's output.

Arguments:
  f: a function that returns a tensor, several, or a table of them
Options:
  argnums = 1: by which argument to differentiate: a tensor, or a table of tensors. A list of positions gives a list
  has_aux = false: f returns other values after its output; they come after the Jacobian

Returns a function. Its result is, for each tensor of the output and of the argument, a tensor of the output's sizes and
then the argument's; in the output's form, and in that the argument's.

Example:
  local J = mg.func.jacrev(function(x) return x ^ 2 end)
  print(J(mg.tensor{ 1.0, 2.0 }))        -- tensor([[2., 0.], [0., 4.]])
]=]
function func.jacrev(f, ...)
  local what = "jacrev"
  callable(what, f)
  local set = options(what, { { "argnums" }, { "has_aux", false } }, ...)
  local places, several = positions_of(what, set.argnums == nil and 1 or set.argnums)
  return function(...)
    local outer = mg.is_grad_enabled()
    local _ <close> = mg.enable_grad()
    local arguments = table.pack(...)
    local list, trees = chosen(what, places, arguments)
    local xs, connected = fresh(what, list, outer)
    for _, tree in ipairs(trees) do arguments[tree[1]] = grown(tree[2], xs) end
    local output, aux = results_of(what, set.has_aux, f(table.unpack(arguments, 1, arguments.n)))
    local outputs = {}
    local form = flatten(what, output, "the function's output", outputs)
    connected = connected or outer and reaches_beyond(outputs, xs)
    local rows = {}
    for o, y in ipairs(outputs) do
      rows[o] = {}
      for i in ipairs(xs) do rows[o][i] = {} end
      for k = 1, y:numel() do
        local row = y.requires_grad and gradients({ y }, 1, xs, { unit(y, k) }, connected, true) or {}
        for i, x in ipairs(xs) do rows[o][i][k] = row[i] or mg.zeros_like(x) end
      end
    end
    local function block(o, i)
      local shape = joined_shape(outputs[o].shape, xs[i].shape)
      local parts = rows[o][i]
      if #parts == 0 then return mg.zeros(shape, { dtype = xs[i].dtype }) end
      local whole = mg.stack(parts, 1):reshape(shape)
      return connected and whole or detach(whole)
    end
    return arranged(form, trees, several, block), aux_values(aux, connected)
  end
end

--[=[ mg.func.jacfwd(f, { argnums = 1, has_aux = false })

The same as mg.func.jacrev, by a run of f in forward mode for each element of the argument: better where the argument has
fewer elements than the output.

Arguments:
  f: a function that returns a tensor, several, or a table of them
Options:
  argnums = 1: by which argument to differentiate, or a list of positions
  has_aux = false: f returns other values after its output; they come after the Jacobian

Returns a function, whose result has the form that jacrev's has.

Example:
  print(mg.func.jacfwd(mg.sin)(mg.tensor{ 0.0 }))                        -- tensor([[1.]])
]=]
function func.jacfwd(f, ...)
  local what = "jacfwd"
  callable(what, f)
  local set = options(what, { { "argnums" }, { "has_aux", false } }, ...)
  local places, several = positions_of(what, set.argnums == nil and 1 or set.argnums)
  return function(...)
    local arguments = table.pack(...)
    local list, trees = chosen(what, places, arguments)
    local form, outputs, aux
    local columns = {}
    for i, x in ipairs(list) do
      columns[i] = {}
      for k = 1, math.max(x:numel(), 1) do
        local _ <close> = native.open_level()
        local duals = table.move(list, 1, #list, 1, {})
        if x:numel() > 0 then duals[i] = native.make_dual(x, unit(x, k)) end
        local given = table.move(arguments, 1, arguments.n, 1, {})
        for _, tree in ipairs(trees) do given[tree[1]] = grown(tree[2], duals) end
        local output
        output, aux = results_of(what, set.has_aux, f(table.unpack(given, 1, arguments.n)))
        outputs = {}
        form = flatten(what, output, "the function's output", outputs)
        for o, y in ipairs(outputs) do
          local value, tangent = native.unpack_dual(y)
          outputs[o] = value
          columns[i][o] = columns[i][o] or {}
          if x:numel() > 0 then columns[i][o][k] = (tangent or mg.zeros_like(value)):flatten() end
        end
        for n = 1, aux.n do aux[n] = mapped(aux[n], function(part) return (native.unpack_dual(part)) end) end
      end
    end
    local function block(o, i)
      local shape = joined_shape(outputs[o].shape, list[i].shape)
      if #columns[i][o] == 0 then return mg.zeros(shape, { dtype = outputs[o].dtype }) end
      return mg.stack(columns[i][o], 2):reshape(shape)
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

-- Batches --------------------------------------------------------------------------------------------------------

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
    result[key] = batched(what, value, own, ("%s[%s]"):format(name, tostring(key)), visit)
  end
  return result
end

--[=[ mg.func.vmap(f, { in_dims = 1, out_dims = 1, randomness = "error" })

f over a batch: a function whose arguments have one dimension more, over which f is applied, and whose results have it too.
It may be nested, and composed with grad, jacrev, jvp and the like: vmap(grad(loss)) gives a gradient for each sample.

f is called once for each element of the batch, so it may branch on values and use .item(); for the same reason it is not
faster than a loop.

Arguments:
  f: a function that returns a tensor, several, or a table of them
Options:
  in_dims = 1: the arguments' dimension of the batch: one for all, or a list with one for each argument; false for an
    argument that all calls share, and a table for a table of tensors
  out_dims = 1: the results' dimension of the batch: one for all, or a list with one for each result
  randomness = "error": whether f may draw random numbers: "different" ones in each call, the "same" in all, or not
  chunk_size: taken for the sake of PyTorch's scripts; it changes nothing

Returns a function.

Example:
  local dot = mg.func.vmap(mg.dot)
  print(dot(mg.ones(3, 2), mg.ones(3, 2)))                               -- tensor([2., 2., 2.])
]=]
function func.vmap(f, ...)
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
      if dims == nil then raise("%s: in_dims has no entry for argument %d", what, n) end
      batched(what, arguments[n], dims, ("argument %d"):format(n), function(x, dim, name)
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

    local before, forms, results = native.random_state(), {}, {}
    for k = 1, size do
      if set.randomness == "same" then native.random_state(before) end
      local given = table.pack()
      for n = 1, arguments.n do
        local dims = in_dims
        if type(in_dims) == "table" then dims = in_dims[n] end
        given[n] = batched(what, arguments[n], dims, "", function(x, dim) return dim == false and x or x:select(dim, k) end)
      end
      local values = table.pack(f(table.unpack(given, 1, arguments.n)))
      if values.n == 0 then raise("%s: the function must return a tensor or several, got nothing", what) end
      for r = 1, values.n do
        results[r] = results[r] or {}
        local list = {}
        forms[r] = flatten(what, values[r], ("result %d"):format(r), list)
        results[r][k] = list
      end
      if set.randomness == "error" and not native.same_random_state(before) then
        raise('%s: the function drew random numbers; say randomness = "different" or "same"', what)
      end
    end
    local values = {}
    for r, parts in ipairs(results) do
      local dim = type(out_dims) == "table" and out_dims[r] or out_dims
      if type(dim) ~= "number" then raise("%s: out_dims: expected a dimension for result %d, got %s", what, r, found(dim)) end
      local whole = {}
      for i in ipairs(parts[1]) do
        local column = {}
        for k = 1, size do column[k] = parts[k][i] end
        whole[i] = mg.stack(column, dim)
      end
      values[r] = grown(forms[r], whole)
    end
    return table.unpack(values, 1, #results)
  end
end

-- Dual numbers ---------------------------------------------------------------------------------------------------

local forward_ad = {}
mg.autograd.forward_ad = forward_ad

--[=[ mg.autograd.forward_ad.dual_level([f])

Opens a level of forward mode: until it is closed, tensors may have tangents (see make_dual), and what is computed from
them has tangents too. Levels nest.

Arguments:
  f: a function to run inside; without it the level is that of a guard:  local _ <close> = dual_level()

Returns what f returns, or the guard.

Example:
  local fwd = mg.autograd.forward_ad
  do
    local _ <close> = fwd.dual_level()
    local x = fwd.make_dual(mg.tensor(2.0), mg.tensor(1.0))
    print(fwd.unpack_dual(x ^ 3))                                        -- tensor(8.)  tensor(12.)
  end
]=]
function forward_ad.dual_level(f, ...)
  if f == nil then return native.open_level() end
  callable("dual_level", f)
  local _ <close> = native.open_level()
  return f(...)
end

--[=[ mg.autograd.forward_ad.make_dual(tensor, tangent)

A view of the tensor that has a tangent at the innermost level.

Arguments:
  tensor: of a float dtype
  tangent: of its shape and dtype

Returns the dual tensor.
]=]
function forward_ad.make_dual(tensor, tangent) return native.make_dual(tensor, tangent) end

--[=[ mg.autograd.forward_ad.unpack_dual(tensor)

What make_dual had put together, or a result of such tensors.

Arguments:
  tensor: any tensor

Returns the tensor without its tangent at the innermost level, and that, or nil where there is none.
]=]
function forward_ad.unpack_dual(tensor) return native.unpack_dual(tensor) end

-- mg.func: functions made of functions, as torch.func: the gradient of f is a function like f. And functional_call, which
-- runs a module with other tensors in the places of its parameters, so that a model's loss is such a function too.
--
-- What torch.func does with wrapped tensors is done here with backward: f is called with tensors of its own, and the
-- results keep a history only if f reached something that requires grad besides them, which is looked up in the graph.

local native, mg, nn, shared = ...
local format = string.format
local raise, found, shape_text, options, callable = shared.raise, shared.found, shared.shape_text, shared.options, shared.callable
local is_tensor, identity, kind_of = mg.is_tensor, native.identity, native.kind_of
local gradients = shared.gradients
local func = mg.func

-- Trees ----------------------------------------------------------------------------------------------------------

-- A tensor, or a table of such: appends the tensors to a list and returns the tree with their positions in it.
local function flatten(what, tree, name, list)
  if is_tensor(tree) then
    list[#list + 1] = tree
    return #list
  end
  if type(tree) ~= "table" then raise("%s: %s: expected a tensor or a table of them, got %s", what, name, found(tree)) end
  local positions = {}
  for key, value in pairs(tree) do
    positions[key] = flatten(what, value, format("%s[%s]", name, type(key) == "string" and format("'%s'", key) or tostring(key)), list)
  end
  return positions
end

-- The tree with the list's entries in their positions.
local function grown(positions, list)
  if type(positions) ~= "table" then return list[positions] end
  local tree = {}
  for key, position in pairs(positions) do tree[key] = grown(position, list) end
  return tree
end

local function mapped(tree, change)
  if is_tensor(tree) then return change(tree) end
  if type(tree) ~= "table" or getmetatable(tree) ~= nil then return tree end
  local result = {}
  for key, value in pairs(tree) do result[key] = mapped(value, change) end
  return result
end

-- Outside of the graph, but with tangents: an outer level of forward mode goes on.
local detach = native.without_history

-- Graphs ---------------------------------------------------------------------------------------------------------

-- Whether outputs depend on a leaf that requires grad and is not one of `own`.
local function reaches_beyond(outputs, own)
  local ours, seen, waiting = {}, {}, {}
  for _, x in ipairs(own) do ours[identity(x)] = true end
  local function visit(node)
    local id = identity(node)
    if not seen[id] then
      seen[id] = true
      waiting[#waiting + 1] = node
    end
  end
  for _, output in ipairs(outputs) do
    if output.grad_fn then
      visit(output.grad_fn)
    elseif output.requires_grad and not ours[identity(output)] then
      return true
    end
  end
  while #waiting > 0 do
    for _, edge in ipairs(table.remove(waiting).next_functions) do
      local node = edge[1]
      if node and node.name == "AccumulateGrad" then
        if not ours[identity(node.variable)] then return true end
      elseif node then
        visit(node)
      end
    end
  end
  return false
end

-- Tensors to call f with in the place of others; and whether one of them leads back to those, since they require grad
-- and are not to be cut off. `outer` is whether the caller records at all.
local function fresh(what, list, outer)
  local result, connected = {}, false
  for i, x in ipairs(list) do
    if not x:is_floating_point() then
      raise("%s: tensor %d of shape %s is %s; only tensors of floating dtypes have derivatives", what, i, shape_text(x), x.dtype)
    end
    -- Elements of a batch have gradients of their own.
    if native.is_batching() then x = native.spread(x) end
    if outer and x.requires_grad then
      result[i], connected = x:view_as(x), true
    else
      result[i] = detach(x):requires_grad_()
    end
  end
  return result, connected
end

-- A function's results: the tree of outputs, and with has_aux what else it returned.
local function results_of(what, has_aux, ...)
  local results = table.pack(...)
  if has_aux then
    if results.n < 2 then
      raise("%s: with has_aux the function must return an output and something else, got %d values", what, results.n)
    end
    return results[1], table.pack(table.unpack(results, 2, results.n))
  end
  if results.n == 1 then return results[1], { n = 0 } end
  if results.n == 0 then raise("%s: the function must return a tensor or several, got nothing", what) end
  return { table.unpack(results, 1, results.n) }, { n = 0 }
end

local function aux_values(aux, connected)
  if not connected then
    for i = 1, aux.n do aux[i] = mapped(aux[i], detach) end
  end
  return table.unpack(aux, 1, aux.n)
end

-- Gradients ------------------------------------------------------------------------------------------------------

-- Positions of arguments: a number, or a list of them.
local function positions_of(what, argnums)
  local list = type(argnums) == "table" and argnums or { argnums }
  if #list == 0 then raise("%s: option 'argnums': the list is empty", what) end
  for _, n in ipairs(list) do
    if math.type(n) ~= "integer" or n == 0 then
      raise("%s: option 'argnums': expected the position of an argument, from 1 on, or a list of them, got %s", what, found(n))
    end
  end
  return list, type(argnums) == "table"
end

-- The arguments of a function that are differentiated by: their tensors, and each one's tree.
local function chosen(what, places, arguments)
  local list, trees = {}, {}
  for i, place in ipairs(places) do
    local n = place < 0 and arguments.n + 1 + place or place
    if n < 1 or n > arguments.n then
      raise("%s: argnums names argument %d, but the function was called with %d", what, place, arguments.n)
    end
    trees[i] = { n, flatten(what, arguments[n], format("argument %d", n), list) }
  end
  return list, trees
end

local function differentiated(what, f, with_value, ...)
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
    if not is_tensor(output) or #output.shape > 0 then
      raise("%s: the function must return one tensor of shape [], got %s; see mg.func.vjp and mg.autograd.functional.jacobian for others",
        what, type(output) == "table" and "several" or found(output))
    end
    connected = connected or outer and reaches_beyond({ output }, xs)
    local found_gradients, filled = gradients({ output }, 1, xs, nil, connected), {}
    for i, x in ipairs(xs) do filled[i] = found_gradients[i] or mg.zeros_like(x) end
    local result = {}
    for i, tree in ipairs(trees) do result[i] = grown(tree[2], filled) end
    if not several then result = result[1] end
    if with_value then return result, connected and output or detach(output), aux_values(aux, connected) end
    return result, aux_values(aux, connected)
  end
end

--[=[ mg.func.grad(f, { argnums = 1, has_aux = false })

The gradient of f as a function, which takes what f takes. It can be differentiated again: mg.func.grad(mg.func.grad(f)).

Arguments:
  f: a function that returns a tensor of shape []
Options:
  argnums = 1: by which argument to differentiate: a tensor, or a table of tensors such as a model's parameters by name.
    A list of positions gives a list of gradients
  has_aux = false: f returns other values after the tensor; they come after the gradient

Returns a function. Its result has the form of the argument: a tensor for a tensor, a table for a table. It has a
history if f depends on something outside that requires grad, and grad mode is on.

Example:
  local slope = mg.func.grad(function(x) return x ^ 3 end)
  print(slope(mg.tensor(2.0)), mg.func.grad(slope)(mg.tensor(2.0)))      -- tensor(12.)  tensor(12.)
]=]
function func.grad(f, ...) return (differentiated("grad", f, false, ...)) end

--[=[ mg.func.grad_and_value(f, { argnums = 1, has_aux = false })

The same as mg.func.grad, but the function it makes returns f's value after the gradient.

Arguments:
  f: a function that returns a tensor of shape []
Options:
  argnums = 1: by which argument to differentiate, or a list of positions
  has_aux = false: f returns other values after the tensor; they come last

Returns a function.

Example:
  local g, y = mg.func.grad_and_value(function(x) return (x ^ 2):sum() end)(mg.tensor{ 1.0, 3.0 })
  print(g, y)                            -- tensor([2., 6.])  tensor(10.)
]=]
function func.grad_and_value(f, ...) return (differentiated("grad_and_value", f, true, ...)) end

-- Products -------------------------------------------------------------------------------------------------------

-- Two trees of one form.
local function same_form(a, b)
  if type(a) ~= type(b) then return false end
  if type(a) ~= "table" then return true end
  for key in pairs(b) do if a[key] == nil then return false end end
  for key, value in pairs(a) do if b[key] == nil or not same_form(value, b[key]) then return false end end
  return true
end

-- A tree's tensors in the order of another's positions, checked against that one's shapes.
local function matching(what, tree, name, positions, list, of)
  local given = {}
  local own = flatten(what, tree, name, given)
  if not same_form(own, positions) then
    raise("%s: %s must have the form of %s: a tensor for a tensor, a table for a table", what, name, of)
  end
  local result = {}
  local function place(a, b)
    if type(a) ~= "table" then
      result[b] = given[a]
    else
      for key, value in pairs(a) do place(value, b[key]) end
    end
  end
  place(own, positions)
  for i, x in ipairs(list) do
    if shape_text(result[i]) ~= shape_text(x) then
      raise("%s: %s: a tensor of shape %s was given where %s has shape %s", what, name, shape_text(result[i]), of, shape_text(x))
    end
  end
  return result
end

local function any_requires_grad(list)
  for _, x in ipairs(list) do if x.requires_grad then return true end end
  return false
end

local function all_detached(list)
  local result = {}
  for i, x in ipairs(list) do result[i] = detach(x) end
  return result
end

--[=[ mg.func.vjp(f, …, [{ has_aux = false }])

f's output at some arguments, and a function for products vᵀ · J with its Jacobian there.

Arguments:
  f: a function that returns a tensor, several, or a table of them
  …: f's arguments: tensors, or tables of tensors
Options:
  has_aux = false: f returns other values after its output; they come last

Returns f's output (a list if f returned several), and a function that takes a tensor like the output (a table for a
table) and returns one result for each argument, of its form. It can be called as often as one likes.

Example:
  local y, product = mg.func.vjp(function(a, b) return a * b end, mg.tensor{ 1.0, 2.0 }, mg.tensor{ 3.0, 4.0 })
  print(product(mg.tensor{ 1.0, 10.0 }))                                 -- tensor([ 3., 40.])  tensor([ 1., 20.])
]=]
function func.vjp(f, ...)
  local what = "vjp"
  callable(what, f)
  local arguments, has_aux = table.pack(...), false
  local last = arguments[arguments.n]
  if type(last) == "table" and type(last.has_aux) == "boolean" then
    has_aux = options(what, { { "has_aux", false } }, last).has_aux
    arguments.n = arguments.n - 1
  end
  if arguments.n == 0 then raise("%s: at least one argument for the function is needed", what) end
  local outer = mg.is_grad_enabled()
  local _ <close> = mg.enable_grad()
  local list, trees = {}, {}
  for i = 1, arguments.n do trees[i] = flatten(what, arguments[i], format("argument %d of the function", i), list) end
  local xs, connected = fresh(what, list, outer)
  local output, aux = results_of(what, has_aux, f(table.unpack(grown(trees, xs), 1, arguments.n)))
  local outputs = {}
  local form = flatten(what, output, "the function's output", outputs)
  connected = connected or outer and reaches_beyond(outputs, xs)

  local function product(v)
    local seeds = matching(what, v, "the vector", form, outputs, "the function's output")
    local create_graph = mg.is_grad_enabled() and (connected or any_requires_grad(seeds))
    if not create_graph then seeds = all_detached(seeds) end
    local found_gradients, filled = gradients(outputs, #outputs, xs, seeds, create_graph, true), {}
    for i, x in ipairs(xs) do filled[i] = found_gradients[i] or mg.zeros_like(x) end
    return table.unpack(grown(trees, filled), 1, arguments.n)
  end
  return grown(form, connected and outputs or all_detached(outputs)), product, aux_values(aux, connected)
end

-- Modules with other tensors -------------------------------------------------------------------------------------

-- Modules of scripts are instances of a class, which knows their metatable.
local function is_script_module(value)
  local meta = type(value) == "table" and getmetatable(value)
  if type(meta) ~= "table" or type(meta.__index) ~= "function" then return false end
  local ok, instances = pcall(meta.__index, value, "__instances")
  return ok and instances == meta
end

-- Every place of a tree of modules that holds a tensor, under its dotted name: { module, key, tensor, saved }, where
-- `saved` tells parameters and buffers from other tensors. A module that is in the tree twice has its places under both names.
local function places_of(module)
  local places, names = {}, {}
  local function add(prefix, name, owner, key, tensor, saved)
    name = prefix == "" and name or prefix .. "." .. name
    places[name] = { owner = owner, key = key, tensor = tensor, saved = saved }
    if saved then names[#names + 1] = name end
  end
  for _, entry in ipairs(native.named_modules(module, "", false)) do
    local prefix, part = entry[1], entry[2]
    if is_script_module(part) then
      local buffers = rawget(part, "__buffers") or {}
      for key, value in next, part do
        local kind = kind_of(value)
        if kind == "Tensor" or kind == "Parameter" then
          -- Numbered children count from 0 in names.
          local name = math.type(key) == "integer" and tostring(key - 1) or tostring(key)
          local saved = kind == "Parameter" or buffers[key] ~= nil
          add(prefix, name, part, saved and name or key, value, saved)
        end
      end
    else
      for _, list in ipairs { native.named_parameters(part, "", false, false), native.named_buffers(part, "", false, false) } do
        for _, own in ipairs(list) do add(prefix, own[1], part, own[1], own[2], true) end
      end
    end
  end
  table.sort(names)
  return places, names
end

-- Puts a tensor into a place and returns the one that was there. A field exists, so that a plain write does not change the order
-- of an instance's names.
local function put(place, tensor)
  if place.saved then return native.replace(place.owner, place.key, tensor) end
  local old = rawget(place.owner, place.key)
  rawset(place.owner, place.key, tensor)
  return old
end

-- The given tensors by name, from one table or a list of them; and the table that each came from.
local function given_tensors(what, given)
  if type(given) ~= "table" then
    raise("%s: argument 2 (parameters_and_buffers): expected a table from names to tensors, got %s", what, found(given))
  end
  local tensors, origins = {}, {}
  for _, part in ipairs(#given > 0 and given or { given }) do
    if type(part) ~= "table" then
      raise("%s: argument 2 (parameters_and_buffers): expected a table from names to tensors, got a list with %s", what, found(part))
    end
    for name, tensor in pairs(part) do
      if not is_tensor(tensor) then raise("%s: '%s' is not a tensor but %s", what, tostring(name), found(tensor)) end
      if tensors[name] then raise("%s: '%s' is given twice", what, tostring(name)) end
      tensors[name], origins[name] = tensor, part
    end
  end
  return tensors, origins
end

--[=[ mg.func.functional_call(module, parameters_and_buffers, [args], [kwargs], { tie_weights = true, strict = false })

Calls a module with other tensors in the places of its parameters and buffers; what is not named stays. Gradients reach
those tensors and what they were computed from, and the module is as before afterwards, after an error too.

Arguments:
  module: the module
  parameters_and_buffers: tensors by name, as in module:named_parameters() ("hidden.weight"), or a list of such tables.
    Any tensors will do, ones with a history too. Where the module puts another tensor into such a place while it runs,
    the table has that one afterwards
  args: the module's argument, or a list of its arguments
  kwargs: a table to pass after them, for modules that take options
Options:
  tie_weights = true: a parameter that the module has under several names is replaced under all of them
  strict = false: every parameter and buffer must be given

Returns what the module returns.

Example:
  local net = nn.Linear(2, 1)
  local params = {}
  for name, p in net:named_parameters() do params[name] = p:detach() end
  local function loss(params, x) return mg.func.functional_call(net, params, x):pow(2):mean() end
  print(mg.func.grad(loss)(params, mg.ones(3, 2)).weight.shape[2])       -- 2
]=]
function func.functional_call(module, parameters_and_buffers, args, kwargs, ...)
  local what = "functional_call"
  if kind_of(module) ~= "Module" and not is_script_module(module) then
    raise("%s: argument 1 (module): expected a module, got %s", what, found(module))
  end
  local set = options(what, { { "tie_weights", true }, { "strict", false } }, ...)
  if kwargs ~= nil and type(kwargs) ~= "table" then raise("%s: argument 4 (kwargs): expected a table, got %s", what, found(kwargs)) end
  local tensors, origins = given_tensors(what, parameters_and_buffers)
  local places, names = places_of(module)
  for name in pairs(tensors) do
    if not places[name] then
      local hint = native.nearest(tostring(name), names)
      raise("%s: the module has no parameter or buffer '%s'%s", what, tostring(name), hint and format("; did you mean '%s'?", hint) or "")
    end
  end

  -- One tensor for each place, whatever the names that lead to it.
  local tied = {}
  for name, place in pairs(places) do
    local id = identity(place.tensor)
    tied[id] = tied[id] or {}
    table.insert(tied[id], name)
  end
  local wanted = {}                                -- name → the given name whose tensor goes there
  for name in pairs(tensors) do
    for _, other in ipairs(set.tie_weights and tied[identity(places[name].tensor)] or { name }) do
      local rival = wanted[other]
      if rival and identity(tensors[rival]) ~= identity(tensors[name]) then
        local first, second = name, rival
        if second < first then first, second = second, first end
        raise("%s: '%s' and '%s' are one tensor in the module but two in the table; pass one of them, or tie_weights = false", what,
          first, second)
      end
      if not rival or other == name then wanted[other] = name end
    end
  end
  if set.strict then
    local missing = {}
    for _, name in ipairs(names) do if not wanted[name] then missing[#missing + 1] = name end end
    if #missing > 0 then raise("%s: strict: not given: %s", what, table.concat(missing, ", ")) end
  end

  local arguments = table.pack()
  if args ~= nil then
    arguments = type(args) == "table" and not is_script_module(args) and table.pack(table.unpack(args)) or table.pack(args)
  end
  if kwargs ~= nil then
    arguments.n = arguments.n + 1
    arguments[arguments.n] = kwargs
  end

  local replaced = {}
  -- Backwards, since two names may lead to one place.
  local restore <close> = setmetatable({}, { __close = function()
    for i = #replaced, 1, -1 do
      local entry = replaced[i]
      local now = put(places[entry.name], entry.old)
      if is_tensor(now) and identity(now) ~= identity(tensors[entry.from]) then origins[entry.from][entry.from] = now end
    end
  end })
  for name, from in pairs(wanted) do
    replaced[#replaced + 1] = { name = name, from = from, old = put(places[name], tensors[from]) }
  end
  local results = table.pack(module(table.unpack(arguments, 1, arguments.n)))
  return table.unpack(results, 1, results.n)
end

return {
  flatten = flatten, grown = grown, mapped = mapped, detach = detach, reaches_beyond = reaches_beyond, fresh = fresh,
  results_of = results_of, aux_values = aux_values, chosen = chosen, positions_of = positions_of, matching = matching, all_detached = all_detached,
}

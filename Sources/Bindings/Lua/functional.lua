-- mg.autograd.functional: derivatives of functions rather than of graphs, as PyTorch's torch.autograd.functional; and
-- mg.autograd.grad for a batch of gradients. All of it is backward runs, so that whatever can be differentiated works.
--
-- The texts in front of the functions, from `--[=[ mg.` on, are what mg.help and `moongrad doc` print.
-- The chunk returns what gradcheck.lua and func.lua share with it.

local native, mg = ...
local format = string.format
local is_tensor, nearest = mg.is_tensor, native.nearest

-- Arguments and errors -------------------------------------------------------------------------------------------

-- Raises at the line of the script that called into the library, however deep in it the mistake was noticed.
local function raise(message, ...)
  if select("#", ...) > 0 then message = format(message, ...) end
  native.raise(message)
end

local function shape_text(tensor) return format("[%s]", table.concat(tensor.shape, ", ")) end

-- What came instead of what was expected.
local function found(value)
  if is_tensor(value) then return "a tensor of shape " .. shape_text(value) end
  local kind = type(value)
  if kind == "string" then return #value <= 40 and format('"%s"', value) or format("a string of %d bytes", #value) end
  if kind == "nil" or kind == "number" or kind == "boolean" then return tostring(value) end
  return kind == "userdata" and "a " .. string.lower(native.kind_of(value) or kind) or "a " .. kind
end

local expected = { boolean = "true or false", number = "a number", table = "a list" }

-- Options by name in a last table, or by position in the order of `known`, a list of { name, default }.
-- A value must be of the default's type; one without a default is left to the caller.
local function options(what, known, ...)
  local values, names, places = {}, {}, {}
  for i, option in ipairs(known) do
    names[i], places[option[1]] = option[1], option
    values[option[1]] = option[2]
  end
  local function set(name, value)
    local option = places[name]
    if not option then
      local hint = nearest(tostring(name), names)
      raise("%s: unknown option '%s'%s (known: %s)", what, tostring(name), hint and format("; did you mean '%s'?", hint) or "",
        table.concat(names, ", "))
    end
    local wanted = expected[type(option[2])]
    if wanted and type(value) ~= type(option[2]) then raise("%s: option '%s': expected %s, got %s", what, name, wanted, found(value)) end
    values[name] = value
  end
  local given = table.pack(...)
  for i = 1, given.n do
    if type(given[i]) == "table" then
      if i < given.n then raise("%s: the table of options must be the last argument", what) end
      for name, value in pairs(given[i]) do set(name, value) end
    elseif given[i] ~= nil then
      if not names[i] then raise("%s: too many arguments; options are %s", what, table.concat(names, ", ")) end
      set(names[i], given[i])
    end
  end
  return values
end

local function callable(what, f)
  if type(f) == "function" or native.kind_of(f) == "Module" then return f end
  local meta = type(f) == "table" and getmetatable(f)
  if type(meta) == "table" and meta.__call then return f end
  raise("%s: argument 1 (f): expected a function, got %s", what, found(f))
end

-- A tensor or a list of them: the list, and whether it came as one.
local function tensors(what, value, place)
  if is_tensor(value) then return { value }, false end
  if type(value) ~= "table" then raise("%s: %s: expected a tensor or a list of tensors, got %s", what, place, found(value)) end
  local list = {}
  for i = 1, #value do
    if not is_tensor(value[i]) then raise("%s: %s: element %d is not a tensor but %s", what, place, i, found(value[i])) end
    list[i] = value[i]
  end
  if #list == 0 then raise("%s: %s: the list of tensors is empty", what, place) end
  return list, true
end

-- What a function returned: a tensor, several, or a list of them.
local function outputs_of(what, ...)
  local count, first = select("#", ...), ...
  if count == 1 and is_tensor(first) then return { first }, false end
  local list = { ... }
  if count == 1 and type(first) == "table" then
    list, count = first, #first
  end
  if count == 0 then raise("%s: the function must return a tensor or several, got nothing", what) end
  local result = {}
  for i = 1, count do
    if not is_tensor(list[i]) then raise("%s: output %d of the function is not a tensor but %s", what, i, found(list[i])) end
    result[i] = list[i]
  end
  return result, true
end

-- Derivatives ----------------------------------------------------------------------------------------------------

local native_grad = mg.autograd.grad

-- Gradients of those outputs that have any, nil where there is none: outputs may be absent or not require grad.
local function gradients(outputs, count, inputs, grad_outputs, create_graph, retain_graph)
  local roots, seeds = {}, grad_outputs and {}
  for i = 1, count do
    local output = outputs[i]
    if output and output.requires_grad then
      roots[#roots + 1] = output
      if seeds then seeds[#roots] = grad_outputs[i] end
    end
  end
  if #roots == 0 then return {} end
  return { native_grad(roots, inputs,
    { grad_outputs = seeds, create_graph = create_graph, retain_graph = retain_graph or create_graph, allow_unused = true }) }
end

-- Tensors to call the function with. They are others than the caller's, so that a tensor that the function also
-- reaches by itself is not taken for its input; with create_graph they lead back to the caller's.
local function fresh(inputs, create_graph)
  local result = {}
  for i, x in ipairs(inputs) do
    result[i] = create_graph and x.requires_grad and x:view_as(x) or x:detach():requires_grad_()
  end
  return result
end

local function floating(what, inputs)
  for i, x in ipairs(inputs) do
    if not x:is_floating_point() then
      raise("%s: input %d is %s; only tensors of floating dtypes have derivatives", what, i, x.dtype)
    end
  end
  return inputs
end

local function detached(list)
  local result = {}
  for i, x in ipairs(list) do result[i] = x:detach() end
  return result
end

-- Results as they go out: one for one, a list for a list.
local function given_back(list, several, create_graph)
  if not create_graph then list = detached(list) end
  if several then return list end
  return list[1]
end

-- What `strict` refuses to answer with zeros, by where it is found out.
local strictness = {
  output = "output %d of the function does not require grad: it was not computed from the inputs by differentiable operations",
  input = "the function does not depend on input %d",
  jacobian = "the Jacobian with respect to input %d does not depend on the inputs, so with create_graph it would have no history",
  gradient = "the gradient with respect to input %d does not depend on the inputs, as that of a function linear in it",
  hessian = "the Hessian with respect to input %d does not depend on the inputs, so with create_graph it would have no history",
  tangent = "output %d of the function does not depend on the inputs",
}

local function refuse(what, finding, position) raise("%s: strict: " .. strictness[finding], what, position) end

local function check_require_grad(what, list, count, finding, strict)
  if not strict then return end
  for i = 1, count do
    if list[i] == nil then refuse(what, finding == "gradient" and "input" or finding, i) end
    if not list[i].requires_grad then refuse(what, finding, i) end
  end
end

-- Zeros in the place of absent gradients; with `strict` those are errors, and so are results without a history where
-- one was asked for.
local function filled(what, list, like, strict, create_graph, absent, constant)
  local result = {}
  for i, x in ipairs(like) do
    if list[i] == nil and strict then refuse(what, absent, i) end
    if list[i] and strict and create_graph and not list[i].requires_grad then refuse(what, constant, i) end
    result[i] = list[i] or mg.zeros_like(x)
  end
  return result
end

-- The vector of a product: as many tensors as `like`, of their shapes. Without one, `like` must be a single number.
local function vector(what, v, like, several, create_graph, of)
  if v == nil then
    if #like ~= 1 or like[1]:numel() ~= 1 then
      raise("%s: v can be left out only if %s is one tensor of one element, but it is %s", what, of,
        #like == 1 and "a tensor of shape " .. shape_text(like[1]) or #like .. " tensors")
    end
    return { mg.ones_like(like[1]) }
  end
  local list = tensors(what, v, "v")
  if #list ~= #like then
    raise("%s: v has %d %s, but %s is %s", what, #list, #list == 1 and "tensor" or "tensors", of,
      several and format("a list of %d", #like) or "one tensor")
  end
  for i, x in ipairs(like) do
    if shape_text(list[i]) ~= shape_text(x) then
      raise("%s: v%s has shape %s, but %s has shape %s", what, several and format("[%d]", i) or "", shape_text(list[i]),
        several and format("entry %d of %s", i, of) or of, shape_text(x))
    end
  end
  return create_graph and list or detached(list)
end

-- v and the options of f, inputs, [v], options, where v may be among the options too.
local function product_arguments(what, f, v, ...)
  callable(what, f)
  local known = { { "create_graph", false }, { "strict", false } }
  if type(v) == "table" and #v == 0 and next(v) ~= nil and select("#", ...) == 0 then
    known[3] = { "v" }
    local set = options(what, known, v)
    return set.v, set
  end
  return v, options(what, known, ...)
end

-- A number with respect to inputs: the products with Hessians begin with its gradient.
local function scalar_of(what, ...)
  local outputs, several = outputs_of(what, ...)
  if several then raise("%s: the function must return one tensor, got %d", what, #outputs) end
  if outputs[1]:numel() ~= 1 then
    raise("%s: the function must return a tensor of one element, got shape %s", what, shape_text(outputs[1]))
  end
  return outputs[1]
end

-- jacobian's work, for lists: a list for each output with a Jacobian for each input; and whether there were several outputs.
local function jacobians(what, f, inputs, create_graph, strict)
  local _ <close> = mg.enable_grad()
  local xs = fresh(inputs, create_graph)
  local outputs, several = outputs_of(what, f(table.unpack(xs)))
  check_require_grad(what, outputs, #outputs, "output", strict)
  local result = {}
  for i, output in ipairs(outputs) do
    local rows, count = {}, output:numel()
    for j = 1, #xs do rows[j] = {} end
    for k = 1, count do
      local seed = mg.zeros(count, { dtype = output.dtype })
      seed[k] = 1
      local row = gradients({ output }, 1, xs, { seed:reshape(output.shape) }, create_graph, true)
      for j, x in ipairs(xs) do
        if strict and row[j] == nil then
          local output_text = what == "hessian" and "the gradient with respect to input %d" or "output %d of the function"
          raise("%s: strict: " .. output_text .. " does not depend on input %d", what, i, j)
        end
        if strict and create_graph and not row[j].requires_grad then refuse(what, what == "hessian" and what or "jacobian", j) end
        rows[j][k] = row[j] or mg.zeros_like(x)
      end
    end
    result[i] = {}
    for j, x in ipairs(xs) do
      local sizes = table.move(x.shape, 1, #x.shape, #output.shape + 1, table.move(output.shape, 1, #output.shape, 1, {}))
      result[i][j] = count > 0 and mg.stack(rows[j]):reshape(sizes) or mg.zeros(sizes, { dtype = x.dtype })
    end
    if not create_graph then result[i] = detached(result[i]) end
  end
  return result, several
end

-- Takes the lists off that stand for what was not a list.
local function unnested(result, outer, inner)
  if not inner then
    for i = 1, #result do result[i] = result[i][1] end
  end
  if outer then return result end
  return result[1]
end

local functional = mg.autograd.functional

--[=[ mg.autograd.functional.jacobian(f, inputs, { create_graph = false, strict = false })

All partial derivatives of f's outputs with respect to its inputs, at the point given by the inputs.

Arguments:
  f: a function of as many tensors as there are inputs; it returns a tensor, several, or a list of them
  inputs: a tensor or a list of tensors, float32 or float64
Options:
  create_graph = false: record the computation, so that the result can be differentiated
  strict = false: raise where an output does not depend on an input, instead of answering with zeros

Returns a tensor of shape (output's shape …, input's shape …). A list of inputs gives a list of those, in the inputs'
order; several outputs give a list for the outputs of what each would give alone: J[i][j] is output i by input j.

Example:
  local J = mg.autograd.functional.jacobian(function(x) return x ^ 2 end, mg.tensor{ 1.0, 2.0 })
  print(J)                               -- tensor([[2., 0.], [0., 4.]])
]=]
function functional.jacobian(f, inputs, ...)
  callable("jacobian", f)
  local set = options("jacobian", { { "create_graph", false }, { "strict", false } }, ...)
  local list, several = tensors("jacobian", inputs, "argument 2 (inputs)")
  local result, several_outputs = jacobians("jacobian", f, floating("jacobian", list), set.create_graph, set.strict)
  return unnested(result, several_outputs, several)
end

--[=[ mg.autograd.functional.hessian(f, inputs, { create_graph = false, strict = false })

All second derivatives of a function that returns one number.

Arguments:
  f: a function of as many tensors as there are inputs; it returns a tensor of one element
  inputs: a tensor or a list of tensors, float32 or float64
Options:
  create_graph = false: record the computation, so that the result can be differentiated
  strict = false: raise where the gradient does not depend on an input, instead of answering with zeros

Returns a tensor of shape (input's shape …, input's shape …); for a list of inputs, a list of lists: H[i][j] is the
derivative by input i, then by input j.

Example:
  local H = mg.autograd.functional.hessian(function(x) return (x ^ 3):sum() end, mg.tensor{ 1.0, 2.0 })
  print(H)                               -- tensor([[6., 0.], [0., 12.]])
]=]
function functional.hessian(f, inputs, ...)
  callable("hessian", f)
  local set = options("hessian", { { "create_graph", false }, { "strict", false } }, ...)
  local list, several = tensors("hessian", inputs, "argument 2 (inputs)")
  local function gradient(...)
    local rows = jacobians("hessian", function(...)
      local output = scalar_of("hessian", f(...))
      check_require_grad("hessian", { output }, 1, "output", set.strict)
      return output:reshape {}
    end, { ... }, true, false)[1]
    check_require_grad("hessian", rows, #rows, "gradient", set.strict)
    return rows
  end
  local result = jacobians("hessian", gradient, floating("hessian", list), set.create_graph, set.strict)
  return unnested(result, several, several)
end

--[=[ mg.autograd.functional.vjp(f, inputs, [v], { create_graph = false, strict = false })

The product vᵀ · J of a vector with f's Jacobian, by one backward run.

Arguments:
  f: a function of as many tensors as there are inputs; it returns a tensor, several, or a list of them
  inputs: a tensor or a list of tensors, float32 or float64
  v: a tensor of the output's shape, or a list for several outputs; optional if f returns one number, then 1
Options:
  create_graph = false: record the computation, so that both results can be differentiated
  strict = false: raise where f does not depend on an input, instead of answering with zeros

Returns f's output, and the product: of the input's shape, or a list for a list of inputs.

Example:
  local y, g = mg.autograd.functional.vjp(function(x) return x ^ 2 end, mg.tensor{ 1.0, 2.0 }, mg.tensor{ 1.0, 10.0 })
  print(g)                               -- tensor([ 2., 40.])
]=]
function functional.vjp(f, inputs, v, ...)
  local given, set = product_arguments("vjp", f, v, ...)
  local list, several = tensors("vjp", inputs, "argument 2 (inputs)")
  local _ <close> = mg.enable_grad()
  local xs = fresh(floating("vjp", list), set.create_graph)
  local outputs, several_outputs = outputs_of("vjp", f(table.unpack(xs)))
  check_require_grad("vjp", outputs, #outputs, "output", set.strict)
  local seeds = vector("vjp", given, outputs, several_outputs, set.create_graph, "the function's output")
  local found_gradients = gradients(outputs, #outputs, xs, seeds, set.create_graph)
  local product = filled("vjp", found_gradients, xs, set.strict, set.create_graph, "input", "jacobian")
  return given_back(outputs, several_outputs, set.create_graph), given_back(product, several, set.create_graph)
end

-- J · v by two backward runs: the first is linear in its seeds, whose values then do not matter, and differentiating it
-- with respect to them turns the product around.
local function forward_product(outputs, xs, v, create_graph, on_gradients)
  local seeds = {}
  -- A stand-in for outputs without a gradient, such as whole numbers.
  for i, output in ipairs(outputs) do
    seeds[i] = (output.requires_grad and mg.zeros_like(output) or mg.zeros {}):requires_grad_()
  end
  local first = gradients(outputs, #outputs, xs, seeds, true)
  if on_gradients then on_gradients(first) end
  return gradients(first, #xs, seeds, v, create_graph)
end

--[=[ mg.autograd.functional.jvp(f, inputs, [v], { create_graph = false, strict = false })

The product J · v of f's Jacobian with a vector: how the outputs move when the inputs move by v. It takes two backward
runs, the second through the first.

Arguments:
  f: a function of as many tensors as there are inputs; it returns a tensor, several, or a list of them
  inputs: a tensor or a list of tensors, float32 or float64
  v: a tensor of the input's shape, or a list for a list of inputs; optional if the input is one number, then 1
Options:
  create_graph = false: record the computation, so that both results can be differentiated
  strict = false: raise where an output does not depend on the inputs, instead of answering with zeros

Returns f's output, and the product: of the output's shape, or a list for several outputs.

Example:
  local y, t = mg.autograd.functional.jvp(function(x) return x ^ 2 end, mg.tensor{ 1.0, 2.0 }, mg.tensor{ 1.0, 10.0 })
  print(t)                               -- tensor([ 2., 40.])
]=]
function functional.jvp(f, inputs, v, ...)
  local given, set = product_arguments("jvp", f, v, ...)
  local list, several = tensors("jvp", inputs, "argument 2 (inputs)")
  local tangents = vector("jvp", given, floating("jvp", list), several, set.create_graph, "the input")
  local _ <close> = mg.enable_grad()
  local xs = fresh(list, set.create_graph)
  local outputs, several_outputs = outputs_of("jvp", f(table.unpack(xs)))
  check_require_grad("jvp", outputs, #outputs, "output", set.strict)
  local moved = forward_product(outputs, xs, tangents, set.create_graph, function(first)
    check_require_grad("jvp", first, #xs, "gradient", set.strict)
  end)
  local product = filled("jvp", moved, outputs, set.strict, set.create_graph, "tangent", "tangent")
  return given_back(outputs, several_outputs, set.create_graph), given_back(product, several_outputs, set.create_graph)
end

-- What hvp and vhp begin with: the inputs, the function's value and its gradient, which can be differentiated.
local function gradient_of_scalar(what, f, list, set)
  local xs = fresh(list, set.create_graph)
  local output = scalar_of(what, f(table.unpack(xs)))
  check_require_grad(what, { output }, 1, "output", set.strict)
  local gradient = gradients({ output }, 1, xs, nil, true)
  check_require_grad(what, gradient, #xs, "gradient", set.strict)
  return xs, output, gradient
end

--[=[ mg.autograd.functional.vhp(f, inputs, [v], { create_graph = false, strict = false })

The product vᵀ · H of a vector with the Hessian of a function that returns one number, without making H.

Arguments:
  f: a function of as many tensors as there are inputs; it returns a tensor of one element
  inputs: a tensor or a list of tensors, float32 or float64
  v: a tensor of the input's shape, or a list for a list of inputs; optional if the input is one number, then 1
Options:
  create_graph = false: record the computation, so that both results can be differentiated
  strict = false: raise where the gradient does not depend on an input, instead of answering with zeros

Returns f's output, and the product: of the input's shape, or a list for a list of inputs.

Example:
  local y, p = mg.autograd.functional.vhp(function(x) return (x ^ 3):sum() end, mg.tensor{ 1.0, 2.0 }, mg.ones(2))
  print(p)                               -- tensor([ 6., 12.])
]=]
function functional.vhp(f, inputs, v, ...)
  local given, set = product_arguments("vhp", f, v, ...)
  local list, several = tensors("vhp", inputs, "argument 2 (inputs)")
  local seeds = vector("vhp", given, floating("vhp", list), several, set.create_graph, "the input")
  local _ <close> = mg.enable_grad()
  local xs, output, gradient = gradient_of_scalar("vhp", f, list, set)
  local second = gradients(gradient, #xs, xs, seeds, set.create_graph)
  local product = filled("vhp", second, xs, set.strict, set.create_graph, "gradient", "hessian")
  return given_back({ output }, false, set.create_graph), given_back(product, several, set.create_graph)
end

--[=[ mg.autograd.functional.hvp(f, inputs, [v], { create_graph = false, strict = false })

The product H · v of the Hessian of a function that returns one number with a vector, without making H. It takes three
backward runs; vhp takes two, and is the same where second derivatives are continuous.

Arguments:
  f: a function of as many tensors as there are inputs; it returns a tensor of one element
  inputs: a tensor or a list of tensors, float32 or float64
  v: a tensor of the input's shape, or a list for a list of inputs; optional if the input is one number, then 1
Options:
  create_graph = false: record the computation, so that both results can be differentiated
  strict = false: raise where the gradient does not depend on an input, instead of answering with zeros

Returns f's output, and the product: of the input's shape, or a list for a list of inputs.

Example:
  local y, p = mg.autograd.functional.hvp(function(x) return (x ^ 3):sum() end, mg.tensor{ 1.0, 2.0 }, mg.ones(2))
  print(p)                               -- tensor([ 6., 12.])
]=]
function functional.hvp(f, inputs, v, ...)
  local given, set = product_arguments("hvp", f, v, ...)
  local list, several = tensors("hvp", inputs, "argument 2 (inputs)")
  local tangents = vector("hvp", given, floating("hvp", list), several, set.create_graph, "the input")
  local _ <close> = mg.enable_grad()
  local xs, output, gradient = gradient_of_scalar("hvp", f, list, set)
  -- jvp's two runs, with the gradient as the function; inputs without one have no part in it.
  local present, places = {}, {}
  for i = 1, #xs do
    if gradient[i] then
      present[#present + 1] = gradient[i]
      places[#present] = i
    end
  end
  local moved, product = forward_product(present, xs, tangents, set.create_graph), {}
  for k, i in ipairs(places) do product[i] = moved[k] end
  product = filled("hvp", product, xs, set.strict, set.create_graph, "gradient", "hessian")
  return given_back({ output }, false, set.create_graph), given_back(product, several, set.create_graph)
end

-- Batches of gradients -------------------------------------------------------------------------------------------

-- One run for each row; a single run for all of them would need every formula to know about batches.
local function batched_grad(outputs, inputs, grad_outputs, set)
  local roots, xs = tensors("grad", outputs, "argument 1 (outputs)"), tensors("grad", inputs, "argument 2 (inputs)")
  if grad_outputs == nil then raise("grad: is_grads_batched needs grad_outputs, whose first dimension counts the batch") end
  local seeds = tensors("grad", grad_outputs, "grad_outputs")
  if #seeds ~= #roots then raise("grad: %d outputs but %d gradients were given", #roots, #seeds) end
  local count
  for i, seed in ipairs(seeds) do
    local shape = seed.shape
    local rows = table.remove(shape, 1)
    count = count or rows
    if not rows or rows == 0 or format("[%s]", table.concat(shape, ", ")) ~= shape_text(roots[i]) then
      raise("grad: with is_grads_batched, grad_outputs[%d] must have a batch dimension and then the output's shape %s, got shape %s",
        i, shape_text(roots[i]), shape_text(seed))
    end
    if rows ~= count then raise("grad: grad_outputs[1] has %d rows and grad_outputs[%d] has %d; all must have as many", count, i, rows) end
  end
  local keeps = set.retain_graph
  if keeps == nil then keeps = set.create_graph end
  local columns = {}
  for j = 1, #xs do columns[j] = {} end
  for k = 1, count do
    local row, each = {}, {}
    for i, seed in ipairs(seeds) do row[i] = seed[k] end
    for name, value in pairs(set) do each[name] = value end
    each.grad_outputs, each.retain_graph = row, k < count or keeps
    local results = { native_grad(roots, xs, each) }
    for j = 1, #xs do columns[j][k] = results[j] end
  end
  local results = {}
  -- Which inputs are reached does not depend on the row.
  for j = 1, #xs do results[j] = columns[j][1] and mg.stack(columns[j]) end
  return table.unpack(results, 1, #xs)
end

--[=[ mg.autograd.grad(outputs, inputs, [grad_outputs], { retain_graph, create_graph = false, … })

The gradients of outputs with respect to inputs, returned rather than added to .grad.

Arguments:
  outputs: a tensor or a list of tensors that require grad
  inputs: a tensor or a list of tensors of their graph, leaves or not
  grad_outputs: a tensor or a list, of the outputs' shapes; optional for outputs of one element, then 1
Options:
  grad_outputs: the same, by name
  retain_graph = create_graph: keep saved values for another run
  create_graph = false: record the gradients' own computation, so that they can be differentiated
  allow_unused = false: nil for an input that the outputs do not depend on, instead of an error
  materialize_grads = false: zeros for such an input
  only_inputs = true: as it always is; known for the sake of scripts that say so
  is_grads_batched = false: each of grad_outputs has one more dimension in front; the results are those of its rows, stacked

Returns the gradients as several values, in the inputs' order.

Example:
  local x = mg.tensor({ 1.0, 2.0 }, { requires_grad = true })
  print(mg.autograd.grad((x ^ 2):sum(), x))                                                  -- tensor([2., 4.])
  print(mg.autograd.grad(x ^ 2, x, { grad_outputs = mg.eye(2), is_grads_batched = true }))   -- the Jacobian
]=]
function mg.autograd.grad(outputs, inputs, ...)
  local count = select("#", ...)
  local last = count > 0 and select(count, ...)
  if type(last) ~= "table" or last.is_grads_batched == nil then return native_grad(outputs, inputs, ...) end
  local given, set = table.pack(...), {}
  for name, value in pairs(last) do set[name] = value end
  local batched = set.is_grads_batched
  set.is_grads_batched = nil
  if type(batched) ~= "boolean" then raise("grad: option 'is_grads_batched': expected true or false, got %s", found(batched)) end
  if not batched then
    given[count] = set
    return native_grad(outputs, inputs, table.unpack(given, 1, count))
  end
  -- By position: grad_outputs, retain_graph, create_graph.
  for i, name in ipairs { "grad_outputs", "retain_graph", "create_graph" } do
    if i < count and given[i] ~= nil then set[name] = given[i] end
  end
  local grad_outputs = set.grad_outputs
  set.grad_outputs = nil
  return batched_grad(outputs, inputs, grad_outputs, set)
end

return {
  raise = raise, found = found, shape_text = shape_text, options = options, callable = callable, gradients = gradients,
  forward_product = forward_product, grad = native_grad,
}

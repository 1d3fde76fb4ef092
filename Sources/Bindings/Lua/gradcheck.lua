-- mg.autograd.gradcheck and gradgradcheck: whether what backward computes is the derivative, found out by moving each
-- element of the inputs a little. The checks and their tolerances are PyTorch's, with every index counted from 1.

local native, mg, _, shared = ...
local format = string.format
local raise, found, shape_text, options = shared.raise, shared.found, shared.shape_text, shared.options
local is_tensor = mg.is_tensor
local grad = shared.grad

local function is_floating(tensor) return tensor.dtype == "float32" or tensor.dtype == "float64" end

-- The dimensions' indices of the element at a position in row-major order.
local function place(shape, position)
  local indices, rest = {}, position - 1
  for d = #shape, 1, -1 do
    indices[d] = rest % shape[d] + 1
    rest = rest // shape[d]
  end
  return indices
end

local function place_text(shape, position)
  return #shape == 0 and "its only element" or format("element [%s]", table.concat(place(shape, position), ", "))
end

-- A tensor, or a list of arguments of which some may be other values: the list, and which of them require grad.
local function arguments(what, inputs)
  if is_tensor(inputs) then inputs = { inputs } end
  if type(inputs) ~= "table" then
    raise("%s: argument 2 (inputs): expected a tensor or a list of arguments, got %s", what, found(inputs))
  end
  local list, positions = table.move(inputs, 1, #inputs, 1, {}), {}
  for i, x in ipairs(list) do
    if is_tensor(x) and x.requires_grad then positions[#positions + 1] = i end
  end
  if #positions == 0 then raise("%s: no input requires grad, so there is nothing to check", what) end
  return list, positions
end

-- Whether the inputs can be moved element by element, and have the digits for it.
local function check_inputs(what, list, positions, names)
  for _, i in ipairs(positions) do
    local x = list[i]
    if x.dtype ~= "float64" then
      native.warn(format("%s: %s is %s; differences of so few digits will likely fail the check, which is meant for float64",
        what, names.input(i), x.dtype))
    end
    for d, size in ipairs(x.shape) do
      if size > 1 and x:stride(d) == 0 then
        raise("%s: %s repeats its elements along dimension %d, as expand makes them, so that moving one moves others; "
          .. "pass it through :contiguous() first", what, names.input(i), d)
      end
    end
  end
end

local function outputs_of(what, ...)
  local count, first = select("#", ...), ...
  local list = { ... }
  if count == 1 and type(first) == "table" then
    list, count = first, #first
  end
  local result = {}
  for i = 1, count do
    if not is_tensor(list[i]) then raise("%s: output %d of the function is not a tensor but %s", what, i, found(list[i])) end
    result[i] = list[i]
  end
  return result
end

-- Jacobians have a row for each element of the input and a column for each of the output, as PyTorch prints them.

-- By central differences: for each output of `wanted` one Jacobian. The input is moved in place, behind the back of the
-- version counters (the function may have saved it), and is as before whatever the function does.
local function numerical(what, name, run, input, outputs, wanted, eps)
  local elements, shape, kept = input.data, input.shape, input:detach():clone()
  local numbers = kept:reshape(-1):tolist()
  local restore <close> = setmetatable({}, { __close = function() elements:copy_(kept) end })
  local rows = {}
  for i = 1, #wanted do rows[i] = {} end
  local function moved(position, value)
    elements[place(shape, position)] = value
    local copies, results = {}, run()
    if #results ~= #outputs then
      raise("%s: the function returned %d outputs, but %d when %s of %s was moved by %g", what, #outputs, #results,
        place_text(shape, position), name, eps)
    end
    for i, o in ipairs(wanted) do
      local result = results[o]
      if shape_text(result) ~= shape_text(outputs[o]) or result.dtype ~= outputs[o].dtype then
        raise("%s: output %d of the function is %s of shape %s, but %s of shape %s when %s of %s was moved by %g", what, o,
          outputs[o].dtype, shape_text(outputs[o]), result.dtype, shape_text(result), place_text(shape, position), name, eps)
      end
      -- Copied, since an output may be the input itself or a view of it.
      copies[i] = result:detach():clone()
    end
    return copies
  end
  for position, value in ipairs(numbers) do
    local below, above = moved(position, value - eps), moved(position, value + eps)
    elements[place(shape, position)] = value
    for i = 1, #wanted do rows[i][position] = ((above[i] - below[i]) / (2 * eps)):reshape(-1) end
  end
  local jacobians = {}
  for i, o in ipairs(wanted) do
    jacobians[i] = #numbers > 0 and mg.stack(rows[i]) or mg.zeros(0, outputs[o]:numel(), { dtype = outputs[o].dtype })
  end
  return jacobians
end

-- By backward: for each input one Jacobian of an output, and what is wrong with the gradients, if anything is.
local function analytical(output, inputs, settings)
  local rows, count, problem = {}, output:numel(), nil
  for j = 1, #inputs do rows[j] = {} end
  for k = 1, count do
    local seed = mg.zeros(count, { dtype = output.dtype })
    seed[k] = 1
    local gradients = { grad({ output }, inputs,
      { grad_outputs = { seed:reshape(output.shape) }, retain_graph = true, allow_unused = true }) }
    for j, input in ipairs(inputs) do
      local gradient = gradients[j]
      if gradient and shape_text(gradient) ~= shape_text(input) then
        return nil, format("the gradient has shape %s, but %%s has shape %s", shape_text(gradient), shape_text(input)), j
      end
      if gradient and settings.check_grad_dtypes and gradient.dtype ~= input.dtype then
        return nil, format("the gradient is %s, but %%s is %s", gradient.dtype, input.dtype), j
      end
      rows[j][k] = gradient and gradient:detach():clone():reshape(-1) or mg.zeros(input:numel(), { dtype = input.dtype })
    end
  end
  local jacobians = {}
  for j, input in ipairs(inputs) do
    jacobians[j] = count > 0 and mg.stack(rows[j]):t() or mg.zeros(input:numel(), 0, { dtype = input.dtype })
  end
  return jacobians
end

-- What is said of Jacobians that differ, with the place where they exceed the tolerance most; what is not a number counts
-- for more than any.
local function mismatch(what, names, settings, input, output, i, o, by_hand, by_backward)
  local allowed = by_hand:abs() * settings.rtol + settings.atol
  local excess = ((by_backward - by_hand):abs() - allowed):masked_fill(by_backward:eq(by_hand), 0)
  local width = by_hand.shape[2]
  local position = excess:argmax():item() - 1
  local row, column = position // width + 1, position % width + 1
  return format("%s: the Jacobians of %s with respect to %s differ, most at %s of the first and %s of the second: numerically %.10g, "
    .. "analytically %.10g, where atol = %g and rtol = %g allow %g; they have a row for each element of %s\n"
    .. "numerical:\n%s\nanalytical:\n%s", what, names.output(o), names.input(i), place_text(output.shape, column),
    place_text(input.shape, row), by_hand[{ row, column }]:item(), by_backward[{ row, column }]:item(), settings.atol, settings.rtol,
    allowed[{ row, column }]:item(), names.input(i), by_hand, by_backward)
end

local function zeros_like_all(list)
  local zeros = {}
  for i, tensor in ipairs(list) do zeros[i] = mg.zeros_like(tensor) end
  return zeros
end

-- The check itself: nil if all is well, else what failed. What is wrong with the call, or raised by f, raises.
local function failure(what, run, list, positions, names, settings)
  local _ <close> = mg.enable_grad()
  local outputs, inputs = run(), {}
  for k, i in ipairs(positions) do inputs[k] = list[i] end

  -- Outputs of whole numbers have no derivative; those that do not require grad are compared with zero only if no
  -- output requires it, as in PyTorch.
  local wanted, differentiable = {}, {}
  for o, output in ipairs(outputs) do
    if output.requires_grad then differentiable[#differentiable + 1] = o end
  end
  for o, output in ipairs(outputs) do
    if is_floating(output) and (output.requires_grad or #differentiable == 0) then wanted[#wanted + 1] = o end
  end

  local by_hand = {}
  for k, input in ipairs(inputs) do
    by_hand[k] = numerical(what, names.input(positions[k]), run, input, outputs, wanted, settings.eps)
  end
  if #differentiable == 0 then
    for k, jacobians in ipairs(by_hand) do
      for i, o in ipairs(wanted) do
        if jacobians[i]:ne(0):any():item() then
          return format("%s: %s does not require grad, but it depends on %s; its numerical Jacobian is not zero: %s",
            what, names.output(o), names.input(positions[k]), jacobians[i])
        end
      end
    end
    return nil
  end

  for i, o in ipairs(wanted) do
    local output = outputs[o]
    local jacobians, problem, at = analytical(output, inputs, settings)
    if problem then return format("%s: %s: %s", what, names.output(o), format(problem, names.input(positions[at]))) end
    local again = analytical(output, inputs, settings)
    for k, input in ipairs(inputs) do
      if again and jacobians[k]:numel() > 0 then
        local off = (jacobians[k] - again[k]):abs():max():item()
        if off > settings.nondet_tol then
          return format("%s: backward is not reentrant: two runs with the same gradient of %s give gradients of %s that differ by %g "
            .. "(nondet_tol = %g)", what, names.output(o), names.input(positions[k]), off, settings.nondet_tol)
        end
      end
      local expected = by_hand[k][i]
      local by_backward = jacobians[k]:to(expected.dtype)
      if not by_backward:allclose(expected, { rtol = settings.rtol, atol = settings.atol }) then
        return mismatch(what, names, settings, input, output, positions[k], o, expected, by_backward)
      end
    end
  end

  local roots = {}
  for i, o in ipairs(wanted) do roots[i] = outputs[o] end
  local gradients = { grad(roots, inputs, { grad_outputs = zeros_like_all(roots), allow_unused = true }) }
  for k, input in ipairs(inputs) do
    if gradients[k] then
      if gradients[k]:ne(0):any():item() then
        return format("%s: backward does not multiply by the outputs' gradients: with zeros it gives %s a gradient that is not zero",
          what, names.input(positions[k]))
      end
      if gradients[k].dtype ~= input.dtype then
        return format("%s: the gradient of %s is %s, but the input is %s", what, names.input(positions[k]), gradients[k].dtype,
          input.dtype)
      end
    end
  end
  -- No gradient at all reaches an output that is left out: an operation with several outputs must bear that.
  if settings.check_undefined_grad and #wanted > 1 then
    for i, o in ipairs(wanted) do
      local results, rest = run(), {}
      for other, q in ipairs(wanted) do
        if other ~= i and results[q].requires_grad then rest[#rest + 1] = results[q] end
      end
      local returned = table.pack(pcall(grad, rest, inputs, { grad_outputs = zeros_like_all(rest), allow_unused = true }))
      if not returned[1] then
        return format("%s: backward fails when no gradient reaches %s: %s", what, names.output(o), tostring(returned[2]))
      end
      for k = 1, #inputs do
        local gradient = returned[k + 1]
        if gradient and gradient:ne(0):any():item() then
          return format("%s: when no gradient reaches %s and the others' are zero, the gradient of %s must be zero, and is not",
            what, names.output(o), names.input(positions[k]))
        end
      end
    end
  end
  return nil
end

local function conclude(message, settings)
  if message == nil then return true end
  if settings.raise_exception then raise("%s", message) end
  return false, message
end

local known = {
  { "eps", 1e-6 }, { "atol", 1e-5 }, { "rtol", 1e-3 }, { "raise_exception", true }, { "nondet_tol", 0.0 },
  { "check_undefined_grad", true }, { "check_grad_dtypes", false },
}

local function settings_of(what, names, given)
  if given ~= nil and type(given) ~= "table" then raise("%s: argument 3: expected a table of options, got %s", what, found(given)) end
  local settings = options(what, names, given)
  if not (settings.eps > 0) then raise("%s: option 'eps': expected a number above 0, got %s", what, found(settings.eps)) end
  return settings
end

--[=[ mg.autograd.gradcheck(f, inputs, { eps = 1e-6, atol = 1e-5, rtol = 1e-3, … })

Checks that the gradients of f are its derivatives: compares the Jacobians that backward gives with those of differences
(f(x + eps) - f(x - eps)) / (2 · eps), for every output and every input that requires grad. Backward must also give the
same when it runs twice, and bear outputs whose gradients are zero or absent. It takes two calls of f and two backward
runs for each element, so the inputs should be small.

Arguments:
  f: a function of as many arguments as there are inputs; it returns a tensor, several, or a list of them
  inputs: a tensor, or a list of arguments; the tensors that require grad should be float64. They are moved in place
    while the check runs, and have their values again when it ends, by an error too
Options:
  eps = 1e-6: by how much elements are moved
  atol = 1e-5, rtol = 1e-3: the Jacobians may differ by atol + rtol · |numerical|
  raise_exception = true: raise when the check fails; otherwise return false and the message
  nondet_tol = 0: by how much two backward runs may differ
  check_undefined_grad = true: leave out the gradient of each output in turn
  check_grad_dtypes = false: gradients must have their inputs' dtypes

Returns true. The error names output and input by their numbers, the elements where the Jacobians differ most, and
shows both.

Example:
  local x = mg.randn(3, { dtype = "float64", requires_grad = true })
  print(mg.autograd.gradcheck(function(x) return x:exp():sum() end, x))                           -- true
  local wrong = function(x) return x:detach() * x end                                              -- its gradient is x, not 2x
  print((mg.autograd.gradcheck(wrong, x, { raise_exception = false })))                           -- false
]=]
function mg.autograd.gradcheck(f, inputs, given)
  shared.callable("gradcheck", f)
  local settings = settings_of("gradcheck", known, given)
  local list, positions = arguments("gradcheck", inputs)
  local names = {
    input = function(i) return format("input %d", i) end,
    output = function(o) return format("output %d", o) end,
  }
  check_inputs("gradcheck", list, positions, names)
  local function run() return outputs_of("gradcheck", f(table.unpack(list))) end
  return conclude(failure("gradcheck", run, list, positions, names, settings), settings)
end

-- Gradients for outputs: numbers between -1 and 1 that are alike in every run and leave the generator alone.
local function spread(outputs)
  local list, step = {}, 0
  for i, output in ipairs(outputs) do
    local numbers = {}
    for k = 1, output:numel() do
      step = step + 1
      numbers[k] = step * 0.6180339887498949 % 1 * 2 - 1
    end
    list[i] = mg.tensor(numbers, { dtype = output.dtype }):reshape(output.shape):requires_grad_()
  end
  return list
end

--[=[ mg.autograd.gradgradcheck(f, inputs, { grad_outputs, eps = 1e-6, atol = 1e-5, rtol = 1e-3, … })

Checks that the gradients of f's gradients are right: gradcheck of the function that takes the inputs and the gradients
of f's outputs to the gradients of the inputs.

Arguments:
  f: a function of as many arguments as there are inputs; it returns a tensor, several, or a list of them
  inputs: a tensor, or a list of arguments; the tensors that require grad should be float64
Options:
  grad_outputs: a tensor, or a list of one for each output that requires grad; otherwise some numbers between -1 and 1
  eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, check_grad_dtypes: as for gradcheck

Returns true.

Example:
  local x = mg.tensor({ 0.5, -1.0 }, { dtype = "float64", requires_grad = true })
  print(mg.autograd.gradgradcheck(function(x) return x ^ 3 end, x))      -- true
]=]
function mg.autograd.gradgradcheck(f, inputs, given)
  local what = "gradgradcheck"
  shared.callable(what, f)
  local settings = settings_of(what, table.move(known, 1, #known, 2, { { "grad_outputs" } }), given)
  local list, positions = arguments(what, inputs)
  local count, differentiable = #list, {}
  for k, i in ipairs(positions) do differentiable[k] = list[i] end

  local function roots()
    local _ <close> = mg.enable_grad()
    local result = {}
    for _, output in ipairs(outputs_of(what, f(table.unpack(list, 1, count)))) do
      if output.requires_grad then result[#result + 1] = output end
    end
    return result
  end
  local outputs = roots()
  if #outputs == 0 then raise("%s: no output of the function requires grad, so it has no gradients to check", what) end
  local seeds = settings.grad_outputs
  if seeds == nil then seeds = spread(outputs) end
  if is_tensor(seeds) then seeds = { seeds } end
  if type(seeds) ~= "table" then
    raise("%s: option 'grad_outputs': expected a tensor or a list of tensors, got %s", what, found(seeds))
  end
  if #seeds ~= #outputs then
    raise("%s: grad_outputs must have one entry for each output that requires grad (%d), got %d", what, #outputs, #seeds)
  end
  for i, seed in ipairs(seeds) do
    if not is_tensor(seed) or shape_text(seed) ~= shape_text(outputs[i]) then
      raise("%s: grad_outputs[%d] must be a tensor of the output's shape %s, got %s", what, i, shape_text(outputs[i]), found(seed))
    end
  end

  local all, all_positions = arguments(what, table.move(seeds, 1, #seeds, count + 1, table.move(list, 1, count, 1, {})))
  local origins = {}                                -- which input each result is the gradient of
  local function run()
    local gradients = { grad(roots(), differentiable, { grad_outputs = seeds, create_graph = true, allow_unused = true }) }
    local results = {}
    for k, i in ipairs(positions) do
      if gradients[k] then
        results[#results + 1] = gradients[k]
        origins[#results] = i
      end
    end
    return results
  end
  local names = {
    input = function(i) return i <= count and format("input %d", i) or format("grad_outputs[%d]", i - count) end,
    output = function(o) return format("the gradient of input %d", origins[o]) end,
  }
  check_inputs(what, all, all_positions, names)
  return conclude(failure(what, run, all, all_positions, names, settings), settings)
end

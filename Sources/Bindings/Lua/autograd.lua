-- Autograd's part that is better said in Lua: custom functions, checkpointing, scopes as functions, drawings.

local native, mg = ...
local format, match, sub = string.format, string.match, string.sub
local autograd = mg.autograd
local no_grad = mg.no_grad
local kind_of, identity, record_function, nearest, raise =
  native.kind_of, native.identity, native.record_function, native.nearest, native.raise

local function is_tensor(value)
  local kind = kind_of(value)
  return kind == "Tensor" or kind == "Parameter"
end

-- Handles of modules hide their metatable, and are called like functions.
local function callable(f)
  return type(f) == "function" or kind_of(f) == "Module" or (type(getmetatable(f)) == "table" and getmetatable(f).__call ~= nil)
end

local function typed(value) return is_tensor(value) and "a tensor" or value == nil and "nil" or "a " .. type(value) end

-- What methods of tensors and modes that Swift implements say of themselves ----------------------------------------

--[=[ x:backward([gradient], { retain_graph = create_graph, create_graph = false, inputs })

Computes the gradients of x with respect to the leaves that it depends on and adds them to their .grad.

  gradient      of x's shape; may be absent when x has one element, then 1
  retain_graph  keep saved values, so that backward can run again
  create_graph  record the gradients' own computation, so that they can be differentiated
  inputs        only these get a gradient; those that are no leaves retain it

mg.autograd.backward({ y, z }, { gy, gz }) runs from several tensors at once. When it fails half-way, the error says which
leaves had been given their gradients.

Example:
  local x = mg.tensor({ 1.0, 2.0 }, { requires_grad = true })
  local y = (x * x):sum()
  y:backward()
  print(x.grad)   -- tensor([2., 4.])
]=]

--[=[ x:register_hook(f)

Calls f with the gradient of x whenever backward has computed it; what f returns, if anything, takes its place. Returns a handle:
handle:remove() takes the hook away. On leaves, x:register_post_accumulate_grad_hook(f) calls f with x once x.grad is complete.
Nodes have hooks too: x.grad_fn:register_hook(f) and register_prehook(f), with lists of gradients.

f may refer to x. But where f refers to something that keeps x itself, such as a tensor computed from x or the module that x is a
parameter of, neither is let go of before the hook is removed or the session ends: use what f is given, or keep the other in a
table with weak values. The same goes for hooks of nodes.

Example:
  local x = mg.tensor({ 1.0, 2.0 }, { requires_grad = true })
  local hook = x:register_hook(function(g) return g * 10 end)
  x:sum():backward()
  print(x.grad)   -- tensor([10., 10.])
  hook:remove()
]=]

--[=[ x:retain_grad()

Makes a tensor that is no leaf keep its gradient in x.grad. Nothing on leaves, which do so anyway; raises where x does not require
grad.

Example:
  local x = mg.tensor(2.0, { requires_grad = true })
  local y = x * 3
  y:retain_grad()
  local z = y * y
  z:backward()
  print(y.grad)   -- tensor(12.)
]=]

--[=[ x:detach()

The same elements outside of the graph: shares memory, does not require grad, is a leaf. x itself is unaffected.

Example:
  local x = mg.tensor(2.0, { requires_grad = true })
  print((x * 3):detach().requires_grad)   -- false
]=]

--[=[ x:requires_grad_(required = true)

Sets whether a leaf collects gradients, and returns it; `x.requires_grad = false` does the same. Clearing it freezes x and clears
x.grad. Only float32 and float64 tensors can; raises on tensors that were computed from others: detach() gives a leaf.

Example:
  local x = mg.ones(2):requires_grad_()
  print(x.requires_grad)   -- true
]=]

--[=[ x:why([loss])

Says in words why x.grad is nil, or zero: not a leaf, frozen, detached or computed under no_grad (with the script's line), not
reached by backward. With the loss, and its graph kept by retain_graph = true, also what on the way lets nothing pass.

Example:
  local x = mg.tensor({ -1.0 }, { requires_grad = true })
  local loss = x:relu():sum()
  loss:backward{ retain_graph = true }
  print(x:why(loss))   -- … (a dead ReLU)
]=]

--[=[ mg.nn.Module.register_forward_pre_hook(module, f)

Written net:register_forward_pre_hook(f): calls f(module, inputs) before each call of the module, with its arguments as a list.
What f returns, if anything, takes their place: a list, or a value that becomes the only argument. A table with named fields
is such a value, not a list. Returns a handle: handle:remove() takes the hook away.

Example:
  local layer = mg.nn.Identity()
  layer:register_forward_pre_hook(function(module, inputs) return { inputs[1] * 2 } end)
  print(layer(mg.ones(2)))   -- tensor([2., 2.])
]=]

--[=[ mg.nn.Module.register_forward_hook(module, f)

Written net:register_forward_hook(f): calls f(module, inputs, output) after each call of the module, with its arguments as a list
and its results, of which there may be several. What f returns, if anything, takes the results' place. Returns a handle:
handle:remove() takes the hook away.

A hook that refers to its own module, where that is one of the library's such as mg.nn.Linear, keeps both until handle:remove() or
the end of the session, as the other hooks of modules do; f gets the module as an argument, so it need not.

Example:
  local layer = mg.nn.Linear(2, 3)
  layer:register_forward_hook(function(module, inputs, output) print(inputs[1].shape, output.shape) end)
  layer(mg.ones(1, 2))   -- {1, 2}   {1, 3}
]=]

--[=[ x:size([dim])

The size of a dimension; without one, those of all dimensions as a list, which the field x.shape is too. The list prints as
{2, 3}, and x.shape == y.shape compares the numbers. It is the caller's own: writing to it does nothing to x.

Example:
  local x = mg.zeros(2, 3)
  print(x.shape, #x.shape, x.shape[2])   -- {2, 3}   2   3
  local y = mg.ones(x.shape)
]=]

--[=[ x:free()

Releases x's elements now rather than when the collector comes by. Using x afterwards raises, and so does a backward that needs it.

Example:
  local x = mg.zeros(1000, 1000)
  x:free()
]=]

--[=[ mg.no_grad([f, …])

Operations record nothing: results have no grad_fn and do not require grad. With f, runs f so and returns what it returns; without,
until the block of `local _ <close> = mg.no_grad()` ends. mg.enable_grad is the opposite, mg.set_grad_enabled(flag) either;
mg.inference_mode also makes tensors that can never take part in a graph. Modes belong to the coroutine.

Example:
  local x = mg.ones(2, { requires_grad = true })
  print(mg.no_grad(function() return x * 2 end).requires_grad)   -- false
]=]

-- Custom functions -----------------------------------------------------------------------------------------------

-- What forward and backward share. Tensors that backward needs go through save_for_backward, which checks that nobody
-- writes to them and frees them with the graph; a result kept as a plain field of ctx would keep its own graph alive.
local Context, methods = { __name = "Context" }, {}

local method_names = {
  "save_for_backward", "saved_tensors", "mark_dirty", "mark_non_differentiable", "set_materialize_grads", "needs_input_grad",
}

-- Fields of the script's own are plain ones and nil until they are assigned; a name that is nearly one of ours is a mistake.
function Context.__index(_, key)
  local method = methods[key]
  if method ~= nil or type(key) ~= "string" or sub(key, 1, 2) == "__" then return method end
  local hint = nearest(key, method_names)
  if hint then raise(format("ctx has no field or method '%s'; did you mean '%s'?", key, hint)) end
end

local function check_self(ctx, name)
  if getmetatable(ctx) ~= Context then
    raise(format("%s: called on %s instead of ctx; methods are called with ':', not '.': ctx:%s(…)", name, typed(ctx), name))
  end
end

local function tensors_only(what, ...)
  local list = table.pack(...)
  for i = 1, list.n do
    if not is_tensor(list[i]) then raise(format("%s: argument %d: expected a tensor, got %s", what, i, typed(list[i]))) end
  end
  return list
end

function methods.save_for_backward(ctx, ...)
  check_self(ctx, "save_for_backward")
  local list = table.pack(...)
  for i = 1, list.n do
    if list[i] ~= nil and not is_tensor(list[i]) then
      raise(format("save_for_backward: argument %d: expected a tensor or nil, got %s; keep other values as fields of ctx",
        i, typed(list[i])))
    end
  end
  ctx.__saving = list
end

function methods.saved_tensors(ctx)
  check_self(ctx, "saved_tensors")
  local saved = ctx.__saved
  if not saved then raise "saved_tensors: the saved tensors are there only while backward runs" end
  return table.unpack(saved, 1, saved.n)
end

function methods.mark_dirty(ctx, ...)
  check_self(ctx, "mark_dirty")
  ctx.__dirty = tensors_only("mark_dirty", ...)
end

function methods.mark_non_differentiable(ctx, ...)
  check_self(ctx, "mark_non_differentiable")
  ctx.__constant = tensors_only("mark_non_differentiable", ...)
end

function methods.set_materialize_grads(ctx, flag)
  check_self(ctx, "set_materialize_grads")
  if type(flag) ~= "boolean" then raise("set_materialize_grads: expected true or false, got " .. typed(flag)) end
  ctx.__materializes = flag
end

-- Which tensors a list has, by their identity, so that many are told apart as fast as few.
local function identities(list)
  local set = {}
  for i = 1, list and #list or 0 do set[identity(list[i])] = true end
  return set
end

-- The gradient as the tape calls it: with the saved tensors and the outputs' gradients, and for the tensors among
-- forward's arguments, whose numbers `positions` has.
local function gradient_of(name, definition, ctx, arity, positions, places)
  local is_tensor_argument = {}
  for _, position in ipairs(positions) do is_tensor_argument[position] = true end
  return function(saved, ...)
    if not definition.backward then raise(name .. " has no backward, so nothing that needs a gradient can go through it") end
    local unpacked = { n = places.n }
    for i = 1, places.n do unpacked[i] = saved[places[i]] end
    local outer = rawget(ctx, "__saved")  -- of a run through this node that this one is inside of
    rawset(ctx, "__saved", unpacked)
    local gradients = table.pack(pcall(definition.backward, ctx, ...))
    rawset(ctx, "__saved", outer)
    if not gradients[1] then error(gradients[2], 0) end
    local count = gradients.n - 1
    for i = count, arity + 1, -1 do
      if gradients[i + 1] ~= nil then
        raise(format("%s: backward returned %d gradients, but forward took %d arguments", name, i, arity))
      end
    end
    if count < arity then
      raise(format("%s: backward returned %d gradient%s, but forward took %d argument%s (return nil for one that needs none)",
        name, count, count == 1 and "" or "s", arity, arity == 1 and "" or "s"))
    end
    for i = 1, arity do
      local gradient = gradients[i + 1]
      if gradient ~= nil and not is_tensor(gradient) then
        raise(format("%s: backward returned %s as gradient %d, expected a tensor or nil", name, typed(gradient), i))
      end
      if gradient ~= nil and not is_tensor_argument[i] then
        raise(format("%s: backward returned a gradient for argument %d, which is not a tensor", name, i))
      end
    end
    local list = {}
    for i, position in ipairs(positions) do list[i] = gradients[position + 1] end
    return table.unpack(list, 1, #positions)
  end
end

local function apply(name, definition, ...)
  local arguments = table.pack(...)
  local ctx = setmetatable({ needs_input_grad = {} }, Context)
  local inputs, positions = {}, {}
  for i = 1, arguments.n do
    local value = arguments[i]
    local needs = is_tensor(value)
    if needs then
      inputs[#inputs + 1], positions[#positions + 1] = value, i
      needs = value.requires_grad
    end
    ctx.needs_input_grad[i] = needs
  end

  local results
  do
    local _ <close> = no_grad()
    results = table.pack(definition.forward(ctx, table.unpack(arguments, 1, arguments.n)))
  end

  local outputs, numbers, roles = {}, {}, {}
  local is_dirty, is_constant = identities(ctx.__dirty), identities(ctx.__constant)
  for i = 1, results.n do
    if is_tensor(results[i]) then
      local id = identity(results[i])
      outputs[#outputs + 1], numbers[#numbers + 1] = results[i], i
      roles[#roles + 1] = is_dirty[id] and "dirty" or is_constant[id] and "constant" or "differentiable"
    end
  end
  local dirty = ctx.__dirty or { n = 0 }
  local is_output = dirty.n > 0 and identities(outputs)
  for i = 1, dirty.n do
    if not is_output[identity(dirty[i])] then
      raise(format("%s: mark_dirty: tensor %d that was marked dirty is not among the results of forward", name, i))
    end
  end
  local saving = rawget(ctx, "__saving") or { n = 0 }
  local saved, places = {}, { n = saving.n }
  for i = 1, saving.n do
    if saving[i] ~= nil then
      saved[#saved + 1] = saving[i]
      places[i] = #saved
    end
  end
  ctx.__saving, ctx.__dirty, ctx.__constant = nil, nil, nil  -- ctx must not keep results: see above

  local backward = gradient_of(name, definition, ctx, arguments.n, positions, places)
  local recorded = record_function(name .. "Backward", inputs, outputs, roles, saved, backward, ctx.__materializes ~= false,
    definition.once_differentiable == true)
  for i, number in ipairs(numbers) do results[number] = recorded[i] end
  return table.unpack(results, 1, results.n)
end

local known = { forward = "function", backward = "function", once_differentiable = "boolean" }

--[=[ mg.autograd.Function(name, { forward, backward, once_differentiable = false })

A function whose gradient you write. Call what this returns: Square(x).

forward(ctx, …) gets the arguments, of any kind, and computes without recording; its tensors become the results, with
grad_fn <nameBackward>. backward(ctx, g1, …) gets a gradient for each tensor that forward returned and returns one for each
argument of forward, nil where there is none (for numbers, or what needs none).

  ctx:save_for_backward(…)         tensors for backward; ctx:saved_tensors() gives them back there
  ctx.needs_input_grad             which arguments want a gradient, as a list of booleans
  ctx:mark_dirty(…)                inputs that forward wrote to, and returns
  ctx:mark_non_differentiable(…)   results without a gradient
  ctx:set_materialize_grads(false) outputs that nothing came back to get nil rather than zeros
  ctx.anything = value             whatever else backward needs; tensors belong in save_for_backward, since a result that is
                                   kept in ctx keeps its graph, and with it ctx, until the session ends

backward may be differentiated itself if it is made of differentiable operations; once_differentiable = true forbids it.

Example:
  local Square = mg.autograd.Function("Square", {
    forward = function(ctx, x) ctx:save_for_backward(x) return x * x end,
    backward = function(ctx, g) local x = ctx:saved_tensors() return g * 2 * x end,
  })
  local x = mg.tensor(3.0, { requires_grad = true })
  Square(x):backward()
  print(x.grad)   -- tensor(6.)
]=]
function autograd.Function(name, definition)
  if type(name) ~= "string" then
    raise("Function: argument 1: expected a name, as in  autograd.Function(\"Square\", { forward = …, backward = … })")
  end
  if type(definition) ~= "table" then
    raise("Function: argument 2: expected a table with forward and backward, got " .. typed(definition))
  end
  for key, value in pairs(definition) do
    local expected = known[key]
    if not expected then
      local hint = nearest(tostring(key), { "forward", "backward", "once_differentiable" })
      raise(format("Function: unknown field '%s'%s (known: forward, backward, once_differentiable)",
        tostring(key), hint and format("; did you mean '%s'?", hint) or ""))
    end
    if type(value) ~= expected then raise(format("Function: field '%s': expected a %s, got %s", key, expected, typed(value))) end
  end
  if not definition.forward then raise("Function: " .. name .. " needs a field 'forward'") end
  -- Callable from Lua without a C function between, so that forward may yield.
  return setmetatable({ name = name }, {
    __call = function(_, ...) return apply(name, definition, ...) end,
    __tostring = function() return "autograd.Function " .. name end,
    __name = "Function",
  })
end

-- Scopes ---------------------------------------------------------------------------------------------------------

--[=[ mg.autograd.detect_anomaly([f, …])

Makes backward raise where a gradient becomes NaN or infinite, naming the operation and the script line of its forward call.

With f, runs f in this mode and returns what it returns; without, the mode lasts until the block of
`local _ <close> = mg.autograd.detect_anomaly()` ends. mg.autograd.set_detect_anomaly(true) switches it on to stay.
Slows backward down: every gradient is looked at.

Example:
  local x = mg.tensor({ -1.0 }, { requires_grad = true })
  print(pcall(mg.autograd.detect_anomaly, function() x:sqrt():sum():backward() end))
]=]
local detect_anomaly = autograd.detect_anomaly
function autograd.detect_anomaly(f, ...)
  if f == nil then return detect_anomaly() end
  if type(f) ~= "function" then raise("detect_anomaly: expected a function to run, or nothing, got " .. typed(f)) end
  local _ <close> = detect_anomaly()
  return f(...)
end

local set_detect_anomaly = autograd.set_detect_anomaly
function autograd.set_detect_anomaly(flag, f, ...)
  if type(flag) ~= "boolean" then raise("set_detect_anomaly: expected true or false, got " .. typed(flag)) end
  if type(f) ~= "function" then return set_detect_anomaly(flag) end
  local _ <close> = set_detect_anomaly(flag)
  return f(...)
end

--[=[ mg.autograd.saved_tensors_hooks(pack, unpack, [f, …])

Functions in the place of what operations save for backward: pack(x) sees each tensor that is saved and returns what to keep,
unpack(kept) gets that during backward and returns the tensor, of the same shape and dtype.

With f, they are in force while f runs; without, until the block of `local _ <close> = …` ends.

What pack returns, and what the two refer to, is kept until backward lets go of it. If that holds the result itself, as
function(t) return { t, y } end does, and no backward comes, it is kept until the session ends.

Example:
  local x = mg.tensor({ 1.0, 2.0 }, { requires_grad = true })
  local y = mg.autograd.saved_tensors_hooks(function(t) return t:tolist() end, mg.tensor, function() return (x * x):sum() end)
  y:backward()
  print(x.grad)   -- tensor([2., 4.])
]=]
local saved_tensors_hooks = autograd.saved_tensors_hooks
function autograd.saved_tensors_hooks(pack, unpack, f, ...)
  for i, hook in ipairs { pack or false, unpack or false } do
    if type(hook) ~= "function" then
      raise(format("saved_tensors_hooks: argument %d: expected a function, got %s", i, typed(hook or nil)))
    end
  end
  if f == nil then return saved_tensors_hooks(pack, unpack) end
  if not callable(f) then
    raise("saved_tensors_hooks: argument 3: expected a function to run, or nothing, got " .. typed(f))
  end
  local _ <close> = saved_tensors_hooks(pack, unpack)
  return f(...)
end

-- Checkpointing --------------------------------------------------------------------------------------------------

--[=[ mg.checkpoint(f, …)

f(…), a function or a module, without keeping the values in between for backward, which runs f again to get them: less memory
for more time. Random numbers are drawn again as they were. f must do the same each time it runs.

Example:
  local net = mg.nn.Sequential(mg.nn.Linear(4, 8), mg.nn.Tanh(), mg.nn.Linear(8, 1))
  mg.checkpoint(net, mg.randn(3, 4)):sum():backward()
]=]
-- The hooks put a number in the place of each value that f's operations save; the first one asked for computes them all.
function mg.checkpoint(f, ...)
  if not callable(f) then
    raise("checkpoint: argument 1: expected a function or a module, got " .. typed(f))
  end
  local arguments = table.pack(...)
  local random = native.random_state()
  local count, values, finished = 0, nil, false
  local versions = {}                  -- of the arguments when f returned: f may write to them, and nobody else

  local function again()
    for i, version in pairs(versions) do
      if arguments[i]._version ~= version then
        local line = native.written_at(arguments[i])
        raise(format("checkpoint: argument %d of shape [%s] was written to after the function's first run%s, so that backward cannot "
          .. "run it again; clone() it first", i, table.concat(arguments[i].shape, ", "), line and ", last at " .. line or ""))
      end
    end
    local before = native.random_state()
    native.random_state(random)
    local list = {}
    local ok, message = pcall(function()
      local _ <close> = mg.enable_grad()
      local _ <close> = saved_tensors_hooks(function(x)
        list[#list + 1] = x
        return x
      end, function(x) return x end)         -- for a backward inside of f
      f(table.unpack(arguments, 1, arguments.n))
    end)
    native.random_state(before)
    if not ok then error(message, 0) end
    -- A backward inside of f asks before f has saved all that it will.
    if finished and #list ~= count then
      raise(format("checkpoint: the function saved %d values the first time and %d when it was run again; it must do the same twice",
        count, #list))
    end
    return list
  end

  local _ <close> = saved_tensors_hooks(function()
    count = count + 1
    return count
  end, function(number)
    values = values or again()
    local value = values[number]
    values[number] = nil
    if value == nil then               -- asked for a second time: retain_graph, or a gradient of a gradient
      values = again()
      value = values[number]
    end
    if next(values) == nil then values = nil end
    return value
  end)
  local results = table.pack(f(table.unpack(arguments, 1, arguments.n)))
  finished = true
  for i = 1, arguments.n do
    if is_tensor(arguments[i]) then
      versions[i] = arguments[i]._version
      native.watch_writes(arguments[i])
    end
  end
  return table.unpack(results, 1, results.n)
end

-- Drawing --------------------------------------------------------------------------------------------------------

local graph_options = { format = "string", file = "string", names = "table", max_nodes = "number" }

-- Names that drawings call tensors by: those given, and those of a module's parameters.
local function named(names)
  local labels, tensors = {}, {}
  local function add(name, value)
    if is_tensor(value) then
      labels[#labels + 1], tensors[#tensors + 1] = tostring(name), value
    elseif value ~= nil then
      local ok, parameters = pcall(function() return value:named_parameters() end)
      if not ok then raise(format("graph: names: '%s' is neither a tensor nor a module but %s", tostring(name), typed(value))) end
      for parameter, tensor in parameters do add(tostring(name) .. "." .. parameter, tensor) end
    end
  end
  local keys = {}
  for key in pairs(names or {}) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do add(key, names[key]) end
  return labels, tensors
end

--[=[ mg.graph(root, { format = "text", file, names, max_nodes = 200 })

A drawing of the graph that computed a tensor, as a string: its operations with their script lines and saved values, down to
the leaves with data, grad, grad_fn, is_leaf and requires_grad.

  format     "text", a tree; "dot", for graphviz; "svg", drawn by graphviz' program dot, which must be installed
  file       where to write it too; a name that ends in .dot or .svg chooses the format
  names      what to call tensors, and modules whose parameters to name: { a = a, net = net }
  max_nodes  the most operations to draw

Example:
  local a, b = mg.tensor(2.0, { requires_grad = true }), mg.tensor(3.0)
  print(mg.graph(a * b, { names = { a = a, b = b } }))
]=]
function mg.graph(root, options)
  if not is_tensor(root) then raise("graph: argument 1: expected a tensor, got " .. typed(root)) end
  if options ~= nil and type(options) ~= "table" then raise("graph: argument 2: expected options, got " .. typed(options)) end
  options = options or {}
  for key, value in pairs(options) do
    if not graph_options[key] then
      local hint = nearest(tostring(key), { "format", "file", "names", "max_nodes" })
      raise(format("graph: unknown option '%s'%s (known: format, file, names, max_nodes)",
        tostring(key), hint and format("; did you mean '%s'?", hint) or ""))
    end
    if type(value) ~= graph_options[key] then
      raise(format("graph: option '%s': expected a %s, got %s", key, graph_options[key], typed(value)))
    end
  end
  -- A file's name tells the format where nothing else does.
  local form = options.format or options.file and (match(options.file, "%.(svg)$") or match(options.file, "%.(dot)$")) or "text"
  if form ~= "text" and form ~= "dot" and form ~= "svg" then
    raise(format("graph: option 'format': expected \"text\", \"dot\" or \"svg\", got %q", form))
  end
  local io, os = lent "io", lent "os"
  if form == "svg" and not (type(os) == "table" and os.execute) then
    raise("graph: this session lends scripts no programs, and drawing an SVG needs graphviz; the formats \"text\" and \"dot\" need none")
  end
  if options.file and not (type(io) == "table" and io.open) then
    raise("graph: this session lends scripts no files; without 'file', the formats \"text\" and \"dot\" need none")
  end
  local labels, tensors = named(options.names)
  local limit = math.tointeger(options.max_nodes or 200)
  if not limit or limit < 1 then raise("graph: option 'max_nodes': expected a count, got " .. tostring(options.max_nodes)) end
  local text = native.draw(root, labels, tensors, form == "text" and "text" or "dot", limit)
  if form == "svg" then text = native.draw_svg(text) end
  if options.file then
    local file, message = io.open(options.file, "w")
    if not file then raise("graph: cannot write " .. message) end
    file:write(text, sub(text, -1) == "\n" and "" or "\n")
    file:close()
  end
  return text
end

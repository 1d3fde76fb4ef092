-- mg.func in forward mode: jvp and linearize; and dual numbers, mg.autograd.forward_ad, which they are made of.

local native, mg, _, shared, trees_of = ...
local format = string.format
local raise, options, callable = shared.raise, shared.options, shared.callable
local flatten, grown, mapped, detach = trees_of.flatten, trees_of.grown, trees_of.mapped, trees_of.detach
local fresh, results_of, matching, all_detached = trees_of.fresh, trees_of.results_of, trees_of.matching, trees_of.all_detached
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
  for i = 1, arguments.n do trees[i] = flatten(what, arguments[i], format("argument %d of the function", i), list) end
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

Example:
  local fwd = mg.autograd.forward_ad
  fwd.dual_level(function() print(fwd.make_dual(mg.ones(2), mg.ones(2)) * 3) end)
]=]
function forward_ad.make_dual(tensor, tangent) return native.make_dual(tensor, tangent) end

--[=[ mg.autograd.forward_ad.unpack_dual(tensor)

What make_dual had put together, or a result of such tensors.

Arguments:
  tensor: any tensor

Returns the tensor without its tangent at the innermost level, and that, or nil where there is none.

Example:
  local fwd = mg.autograd.forward_ad
  fwd.dual_level(function() print(fwd.unpack_dual(fwd.make_dual(mg.ones(2), mg.ones(2)) * 3)) end)
]=]
function forward_ad.unpack_dual(tensor) return native.unpack_dual(tensor) end

-- Every function, class and method that scripts can reach, with arguments that make no sense: what is refused is refused in a
-- sentence at the script's line, never by an error of the library's own Lua code or of Lua itself.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local calls = 0
-- Those that were found already: one of a kind is enough to mend it.
local told = {}

-- A message that no user should see: at a line of ours, or Lua's own about what a function of ours did. What the script's lines
-- themselves do wrong, such as calling what is no function, is Lua's to tell.
local function is_raw(message)
  if type(message) ~= "string" then return "an error that is no message: " .. tostring(message) end
  local first = message:match "^[^\n]*"
  if first:find "^moongrad%.%w+:%d+:" or first:find "bad argument #" then return first end
  if not first:find "odd_arguments%.lua:%d+: " and first:find "attempt to " then return first end
end

-- Those that write files where the test is run, among others.
local unwanted = {
  free = true, set_num_threads = true, catch_warnings = true, save_npy = true, save = true, save_safetensors = true, Checkpointer = true,
  SummaryWriter = true, CSVLogger = true,
}
local function attempt(name, f, ...)
  calls = calls + 1
  local arguments = table.pack(...)
  -- Modes that are switched on belong to the coroutine.
  local ok, message = coroutine.wrap(function(...)
    local _, ok, message = mg.catch_warnings(pcall, f, ...)
    return ok, message
  end)(...)
  mg.autograd.set_detect_anomaly(false)
  local raw = not ok and is_raw(message)
  if not raw then return end
  local kind = name:match "[^.:]*$" .. raw:gsub("%d+", "")
  if told[kind] then return end
  told[kind] = true
  for i = 1, arguments.n do arguments[i] = type(arguments[i]) == "table" and "{}" or tostring(arguments[i]):match "^[^\n]*" end
  check.fail(("%s(%s): %s"):format(name, table.concat(arguments, ", "), raw))
end

local function odd()
  return { false, 0, -1, 2.5, "x", {}, { 1, "x" }, { x = 1 }, { {} }, print, mg.ones(2), mg.ones(2, 3), mg.zeros(2):long(), nn.Linear(2, 2),
    optim.SGD({ mg.ones(1, { requires_grad = true }) }, { lr = 1 }), coroutine.create(print), 0 / 0, 1 << 62, mg.tensor(1) }
end

-- Calls with none, one, two and three odd values. `first` are arguments that make sense and stand before them.
local function odd_calls(name, f, ...)
  local first = table.pack(...)
  local function with(...)
    local arguments, more = { table.unpack(first, 1, first.n) }, table.pack(...)
    for i = 1, more.n do arguments[first.n + i] = more[i] end
    attempt(name, f, table.unpack(arguments, 1, first.n + more.n))
  end
  with()
  with(nil)
  local count = #odd()
  for i = 1, count do
    local values = odd()
    with(values[i])
    with(values[i], values[i % count + 1])
    with(mg.ones(2, 3), values[i])
    with(values[i % 7 + 1], values[i], values[(i * 5) % count + 1])
  end
end

-- Guards that are dropped warn when they are collected.
local print_kept, warn_kept = print, warn
print, warn = function() end, function() end

local seen = {}
local function walk(name, library)
  check.case(name, function()
    local names = {}
    for key in pairs(library) do names[#names + 1] = key end
    table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
    for _, key in ipairs(names) do
      local value = library[key]
      if type(value) == "function" and not unwanted[key] and not seen[value] then
        seen[value] = true
        odd_calls(name .. "." .. key, value)
      elseif type(value) == "table" and not seen[value] and type(key) == "string" then
        seen[value] = true
        local meta = getmetatable(value)
        if meta and meta.__call then odd_calls(name .. "." .. key, value) else walk(name .. "." .. key, value) end
      end
    end
  end)
end
walk("mg", mg)

-- Methods of what is there: called with odd things as self, and with themselves and odd arguments.
local function methods(name, make, list)
  check.case("methods of " .. name, function()
    for _, method in ipairs(list) do
      local ok, f = pcall(function() return make()[method] end)
      if ok and type(f) == "function" and not unwanted[method] then
        odd_calls(name .. "." .. method, f)
        odd_calls(name .. ":" .. method, f, make())
      end
    end
  end)
end

-- Fields that are read and written with odd keys and values.
local function fields(name, make)
  check.case("fields of " .. name, function()
    for _, value in ipairs(odd()) do
      attempt(name .. "[…]", function() return make()[value] end)
      attempt(name .. "[…] = 1", function() make()[value] = 1 end)
      for _, key in ipairs { "weight", "training", "grad", "data", "requires_grad", "x", "lr", "params", "p" } do
        attempt(name .. "." .. key .. " = …", function() make()[key] = value end)
      end
      attempt(name .. "(…)", function() return make()(value) end)
      attempt(name .. " .. …", function() return make() .. value end)
      attempt("#" .. name, function() return #make() end)
      attempt("tostring(" .. name, tostring, make())
    end
  end)
end

local Own = nn.Module "Own"
function Own:init() self.layer = nn.Linear(2, 2) end
function Own:forward(x) return self.layer(x) end
local makes = {
  ["nn.Linear"] = function() return nn.Linear(2, 2) end, ["Own"] = function() return Own() end,
  ["nn.Sequential"] = function() return nn.Sequential(nn.Linear(2, 2), nn.ReLU()) end,
  ["nn.ModuleList"] = function() return nn.ModuleList { nn.ReLU() } end,
  ["nn.ModuleDict"] = function() return nn.ModuleDict { a = nn.ReLU() } end,
  ["nn.ParameterList"] = function() return nn.ParameterList { mg.ones(2) } end,
  ["nn.ParameterDict"] = function() return nn.ParameterDict { a = mg.ones(2) } end,
  ["AveragedModel"] = function() return optim.swa_utils.AveragedModel(nn.Linear(2, 2)) end,
}
local module_methods = {}
for method in pairs(nn.Module) do if type(method) == "string" then module_methods[#module_methods + 1] = method end end
for _, method in ipairs { "append", "extend", "insert", "pop", "keys", "values", "items", "update", "clear", "get", "update_parameters",
  "forward", "parameters", "named_parameters", "buffers", "named_buffers", "children", "named_children", "modules", "named_modules",
  "train", "eval", "zero_grad", "requires_grad_", "to", "float", "double", "half", "bfloat16", "cpu", "apply", "state_dict",
  "load_state_dict", "register_buffer", "register_parameter", "register_module", "add_module", "get_submodule", "get_parameter",
  "get_buffer", "set_submodule", "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
  "register_full_backward_pre_hook", "extra_repr", "type", "copy" } do module_methods[#module_methods + 1] = method end
for name, make in pairs(makes) do
  methods(name, make, module_methods)
  fields(name, make)
end

local function optimizer(kind) return function()
  local w = mg.ones(2, { requires_grad = true })
  w.grad = mg.ones(2)
  return optim[kind]({ w }, { lr = 0.1 })
end end
for kind in pairs(optim) do
  if type(optim[kind]) == "function" and kind ~= "Optimizer" then
    methods("optim." .. kind, optimizer(kind), { "step", "zero_grad", "add_param_group", "state_dict", "load_state_dict",
      "register_step_pre_hook", "register_step_post_hook" })
  end
end
fields("optim.SGD", optimizer "SGD")
fields("param_groups", function() return optimizer "SGD"().param_groups end)
fields("param_groups[1]", function() return optimizer "SGD"().param_groups[1] end)
fields("params", function() return optimizer "SGD"().param_groups[1].params end)
fields("state", function() return optimizer "SGD"().state end)

local function scheduler() return optim.lr_scheduler.StepLR(optimizer "SGD"(), { step_size = 2 }) end
methods("StepLR", scheduler, { "step", "get_last_lr", "get_lr", "state_dict", "load_state_dict" })
fields("StepLR", scheduler)

fields("tensor", function() return mg.ones(2, 3) end)
fields("grad_fn", function() return (mg.ones(2, { requires_grad = true }) * 2).grad_fn end)
methods("grad_fn", function() return (mg.ones(2, { requires_grad = true }) * 2).grad_fn end, { "register_hook", "register_prehook" })
fields("hook", function() return mg.ones(2, { requires_grad = true }):register_hook(print) end)
methods("hook", function() return mg.ones(2, { requires_grad = true }):register_hook(print) end, { "remove" })
fields("guard", function() return mg.no_grad() end)
fields("shape", function() return mg.ones(2).shape end)

local tensor_methods = {}
for name in pairs(mg) do tensor_methods[#tensor_methods + 1] = name end
for name in pairs(mg) do tensor_methods[#tensor_methods + 1] = name .. "_" end
for name in ("item tolist numel nelement new_tensor ndimension cpu dim size stride storage_offset is_contiguous element_size data_ptr "
  .. "is_floating_point detach detach_ requires_grad_ retain_grad backward register_hook register_post_accumulate_grad_hook equal "
  .. "allclose to type type_as why is_inference view_as expand_as reshape_as iter cuda new_zeros new_ones new_full new_empty"):gmatch "%S+" do
  tensor_methods[#tensor_methods + 1] = name
end
methods("tensor", function() return mg.ones(2, 3) end, tensor_methods)
methods("batched tensor", function()
  local kept
  mg.func.vmap(function(e) kept = e return e end)(mg.ones(2, 3))
  return kept
end, tensor_methods)

check.case("custom functions", function()
  for _, value in ipairs(odd()) do
    for _, field in ipairs { "forward", "backward", "jvp", "setup_context", "once_differentiable" } do
      attempt("Function." .. field, mg.autograd.Function, "F", { forward = function(_, y) return y end, [field] = value })
    end
    local f = mg.autograd.Function("F", { forward = function(ctx, y)
      for _, method in ipairs { "save_for_backward", "mark_dirty", "mark_non_differentiable", "set_materialize_grads" } do
        attempt("ctx:" .. method, function() ctx[method](ctx, value) end)
        attempt("ctx." .. method, function() ctx[method](value) end)
      end
      return value
    end, backward = function() return value end })
    attempt("a function that returns odd values", function() f(mg.ones(2, { requires_grad = true })):sum():backward() end)
    local g = mg.autograd.Function("G", { forward = function(_, y) return y * 2 end, backward = function() return value end })
    attempt("a backward that returns odd values", function() g(mg.ones(2, { requires_grad = true })):sum():backward() end)
    for what, wrong in pairs {
      vmap = function() return mg.func.vmap(function() return value end)(mg.ones(2, 3)) end,
      grad = function() return mg.func.grad(function() return value end)(mg.ones(2, 3)) end,
      jacrev = function() return mg.func.jacrev(function() return value end)(mg.ones(2, 3)) end,
      jacfwd = function() return mg.func.jacfwd(function() return value end)(mg.ones(2, 3)) end,
      jvp = function() return mg.func.jvp(function() return value end, { mg.ones(2) }, { mg.ones(2) }) end,
      vjp = function() return mg.func.vjp(function() return value end, mg.ones(2)) end,
      hessian = function() return mg.autograd.functional.hessian(function() return value end, mg.ones(2)) end,
      checkpoint = function() return mg.checkpoint(function() return value end, mg.ones(2, { requires_grad = true })) end,
      hook = function()
        local layer = nn.Linear(2, 2)
        layer:register_forward_hook(function() return value end)
        layer:register_full_backward_hook(function() return value end)
        local y = layer(mg.ones(1, 2))
        if mg.is_tensor(y) then y:sum():backward() end
      end,
      pre_hook = function()
        local layer = nn.Linear(2, 2)
        layer:register_forward_pre_hook(function() return value end)
        return layer(mg.ones(1, 2))
      end,
      tensor_hook = function()
        local w = mg.ones(2, { requires_grad = true })
        w:register_hook(function() return value end)
        w:sum():backward()
      end,
      scheduler = function()
        local s = optim.lr_scheduler.LambdaLR(optimizer "SGD"(), function() return value end)
        s:step()
      end,
      closure = function() optimizer "LBFGS"():step(function() return value end) end,
      saved = function()
        local w = mg.ones(2, { requires_grad = true })
        mg.autograd.saved_tensors_hooks(function() return value end, function() return value end, function() (w * w):sum():backward() end)
      end,
    } do attempt(what .. " of a function that returns odd values", wrong) end
  end
end)

print, warn = print_kept, warn_kept
check.is_true(calls > 20000)
return check.done()

-- Scripts may give Lua's global names other values: the library's own Lua code keeps what it was loaded with.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

-- Runs `body` while each global name but `warn`, which the library looks up on purpose, is a function that raises. `body` must
-- itself do without them. `print` keeps what it is given.
local shown = {}                                    -- by mg.help, which prints by the script's print where that does not raise
local function without_globals(body)
  local error, kept = error, {}
  for name, value in pairs(_G) do if name ~= "warn" and name ~= "_G" then kept[name] = value end end
  local globals, next, rawset = _G, next, rawset
  for name in next, kept do
    rawset(globals, name, function() error("the global '" .. name .. "' was called", 2) end)
  end
  rawset(globals, "print", function(text) shown[#shown + 1] = text end)
  local results = kept.table.pack(kept.pcall(body))
  for name, value in next, kept do rawset(globals, name, value) end
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

local function case(name, body) check.case(name, function() without_globals(body) end) end

local error, pcall, tostring = error, pcall, tostring

-- `f` raises, but not since it found one of those functions.
local function fails(f, ...)
  local _, ok, message = mg.catch_warnings(pcall, f, ...)
  if ok then error("no error was raised", 2) end
  if tostring(message):find "the global" then error(message, 0) end
end

local function leaf(values) return mg.tensor(values, { requires_grad = true, dtype = "float64" }) end

check.case("the names are other functions while such a case runs", function()
  check.mentions(select(2, pcall(without_globals, function() return type(1) end)), "the global 'type' was called")
  check.equal(type(1), "number")
end)

case("training steps", function()
  local Net = nn.Module "Net"
  function Net:init()
    self.body, self.list = nn.Sequential(nn.Linear(2, 3), nn.Tanh()), nn.ModuleList{ nn.Linear(3, 1) }
    self:register_buffer("scale", mg.ones(1))
  end
  function Net:forward(x) return self.list[1](self.body(x)) * self.scale end
  local net = Net()
  net.body[-1] = nn.Sigmoid()
  for i, kind in mg.progress(3) do
    local opt = optim.Adam(net:parameters(), { lr = 0.1 })
    local loss = nn.MSELoss()(net(mg.ones(4, 2)), mg.zeros(4, 1))
    opt:zero_grad()
    loss:backward()
    opt:step()
  end
  net:train():eval():requires_grad_(false):zero_grad{ set_to_none = false }
  net:load_state_dict(net:state_dict())
  net:apply(function() end)
  net:to "float32"
  for _ in net:named_parameters() do end
  for _ in net:buffers() do end
  for _ in net:modules() do end
  tostring(net)
  tostring(nn.ModuleDict{ a = nn.ReLU() })
  tostring(nn.ParameterList{ nn.Parameter(mg.ones(1)) })
  fails(function() return net.bdoy end)
  fails(function() return nn.Linaer end)
end)

case("hooks", function()
  local Own = nn.Module "Own"
  function Own:forward(x) return x * 2 end
  local own, handle = Own(), nn.Linear(1, 1)
  for i = 1, 2 do
    local module = i == 1 and own or handle
    local remove = module:register_forward_pre_hook(function(_, inputs) return { inputs[1] } end)
    module:register_forward_hook(function() end)
    module:register_full_backward_pre_hook(function(_, gradients) return gradients end)
    module:register_full_backward_hook(function(_, inputs) return { inputs[1] * 2 } end)
    module(mg.ones(1, 1, { requires_grad = true })):backward()
    remove:remove()
    module:register_full_backward_hook(function() return 3 end)
    fails(function() module(mg.ones(1, 1, { requires_grad = true })):backward() end)
  end
  local x = leaf(1.0)
  x:register_hook(function(g) return g end);
  (x * 2):backward()
end)

case("custom functions, checkpoints, saved values, modes", function()
  local Square = mg.autograd.Function("Square", {
    forward = function(ctx, x)
      ctx:save_for_backward(x)
      fails(function() ctx:mark_drity(x) end)
      return x * x
    end,
    backward = function(ctx, g) return g * 2 * ctx:saved_tensors() end,
  })
  local x = leaf{ 1.0, 2.0 }
  Square(x):sum():backward()
  tostring(Square)
  mg.checkpoint(function(t) return t:exp() * t end, x):sum():backward()
  mg.autograd.saved_tensors_hooks(function(t) return t end, function(t) return t end, function() return (x * x):sum() end):backward()
  mg.autograd.detect_anomaly(function() (x * x):sum():backward() end)
  mg.no_grad(function() mg.set_grad_enabled(true, function() end) end)
  do local _ <close> = mg.inference_mode(true) end
  mg.catch_warnings(function() end)
  mg.graph((x * x):sum(), { names = { x = x } })
  mg.as_tensor{ 1, 2 }
  mg.Variable(x, { requires_grad = true })
end)

case("functional derivatives and checks", function()
  local AF, func = mg.autograd.functional, mg.func
  local x = leaf{ 1.0, 2.0 }
  local function cube(t) return (t ^ 3):sum() end
  AF.jacobian(function(t) return t ^ 2 end, x, { create_graph = true })
  AF.hessian(cube, x)
  AF.vjp(cube, x)
  AF.jvp(cube, x, mg.ones_like(x))
  AF.hvp(cube, x, mg.ones_like(x))
  AF.vhp(cube, x, mg.ones_like(x))
  mg.autograd.grad(x ^ 2, x, { grad_outputs = mg.eye(2, { dtype = "float64" }), is_grads_batched = true })
  mg.autograd.gradcheck(cube, x)
  mg.autograd.gradgradcheck(cube, x)
  fails(mg.autograd.gradcheck, function(t) return t:detach() * t end, x)
  func.grad(func.grad(function(t) return t ^ 3 end))(mg.tensor(2.0))
  func.vjp(cube, x)
  func.jvp(cube, x, x)
  func.functional_call(nn.Linear(2, 1), { bias = mg.ones(1) }, mg.ones(1, 2))
  fails(AF.jacobian, cube, x, { creat_graph = true })
end)

case("shapes, help, printing", function()
  local x = mg.zeros(2, 3)
  local _ = x.shape == x:t().shape, x.shape .. "", tostring(x.shape), tostring(x)
  fails(mg.help, "smu")
  mg.help "retain_grad"
  mg.help(mg.checkpoint)
  mg.help()
end)

check.case("help goes where the script's own print leads", function()
  check.equal(#shown, 3)
  check.mentions(shown[1], "x:retain_grad()")
  check.mentions(shown[2], "mg.checkpoint(f, …)")
  check.mentions(shown[3], " relu ")
end)

return check.done()

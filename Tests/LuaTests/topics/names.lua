-- Each of Lua's own names, alone, taken away and then replaced by a function that raises: global names, those of every standard
-- table, and what strings find their methods through. A script that uses each part of the library does the same as before.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

-- What the script below itself calls.
local assert, error, next, pcall, tostring, concat = assert, error, next, pcall, tostring, table.concat
local step_of = ipairs {}

local function leaf(values) return mg.tensor(values, { requires_grad = true, dtype = "float64" }) end

-- The parts of the library by name, each a function of a list to which it adds what it found, as text.
local parts = {}

function parts.training(add)
  mg.manual_seed(1)
  local Net = nn.Module "Net"
  function Net:init(n)
    self.hidden = nn.Linear(4, n)
    self.out = nn.Sequential(nn.ReLU(), nn.Linear(n, 1))
    self.extra = nn.ModuleList { nn.Tanh() }
    self:register_buffer("calls", mg.zeros(1))
  end
  function Net:forward(x)
    self.calls:add_(1)
    return self.extra[1](self.out(self.hidden(x)))
  end
  local net = Net(3)
  net:register_forward_hook(function(_, _, output) return output * 2 end)
  net.hidden:register_full_backward_hook(function(_, inputs) return inputs end)
  local opt = optim.Adam({ { params = net.hidden:parameters(), lr = 0.1 }, { params = net.out:parameters() } }, { lr = 0.01 })
  local scheduler = optim.lr_scheduler.SequentialLR(opt,
    { optim.lr_scheduler.LambdaLR(opt, function(epoch) return 1 / (epoch + 1) end), optim.lr_scheduler.StepLR(opt, { step_size = 1 }) }, { 2 })
  local x, y = mg.randn(8, 4), mg.randn(8, 1)
  for epoch in mg.progress(3) do
    opt:zero_grad()
    local loss = F.mse_loss(net(x), y)
    loss:backward()
    nn.utils.clip_grad_norm_(net:parameters(), 1)
    opt:step()
    scheduler:step()
    add(epoch, loss, scheduler:get_last_lr()[1])
  end
  add(net, opt, net:state_dict(), #net:parameters(), opt.param_groups[1].params[1])
  local copy = Net(3)
  add(copy:load_state_dict(net:state_dict()), mg.deepcopy(net)(x):sum(), net:to "float64":train(false).training)
  for name, parameter in net:named_parameters() do add(name, parameter.shape) end
  for _, p in step_of, net:parameters(), 0 do add(p.requires_grad) end
  opt:load_state_dict(opt:state_dict())
  local averaged = optim.swa_utils.AveragedModel(copy)
  averaged:update_parameters(copy)
  add(averaged(x):sum(), nn.ParameterList { nn.Parameter(mg.ones(2)) }, nn.ModuleDict { b = nn.ReLU(), a = nn.Tanh() })
end

function parts.autograd(add)
  local Double = mg.autograd.Function("Double", {
    forward = function(ctx, x) ctx:save_for_backward(x) return x * 2 end,
    backward = function(_, g) return g * 2 end,
  })
  local x = leaf { 1, 2 }
  local y = Double(x):sum() + mg.checkpoint(function(z) return (z * z):sum() end, x)
  add(mg.graph(y, { names = { x = x } }), y:why(x))
  y:backward()
  add(x.grad, mg.autograd.gradcheck(function(z) return z:exp() end, leaf { 0.1, 0.2 }))
  add(mg.autograd.gradgradcheck(function(z) return z:exp() end, leaf { 0.1, 0.2 }))
  add(mg.autograd.functional.hessian(function(z) return (z ^ 3):sum() end, mg.tensor { 1.0, 2.0 }))
  add(mg.autograd.functional.jacobian(function(z) return z ^ 2 end, mg.tensor { 1.0, 2.0 }))
  mg.autograd.saved_tensors_hooks(function(t) return t end, function(t) return t end, function() (x * x):sum():backward() end)
  mg.no_grad(function() add((x * 2).requires_grad) end)
  mg.set_grad_enabled(false, function() add(mg.is_grad_enabled()) end)
  mg.autograd.detect_anomaly(function() (x * x):sum():backward() end)
end

function parts.transforms(add)
  local x = mg.tensor { 1.0, 2.0, 3.0 }
  add(mg.func.grad(function(z) return (z ^ 2):sum() end)(x), mg.func.vmap(function(z) return z * z end)(x))
  add(mg.func.vmap(function(a, b) return { a + b, product = a * b } end, { in_dims = { 1, { w = 1 } and 1 } })(x, x).product)
  add(mg.func.jacrev(function(z) return z ^ 2 end)(x), mg.func.jacfwd(function(z) return z ^ 2 end)(x))
  add(mg.func.hessian(function(z) return (z ^ 3):sum() end)(x))
  local y, pull = mg.func.vjp(function(z) return z ^ 2 end, x)
  add(y, pull(x), mg.func.jvp(function(z) return z ^ 2 end, { x }, { x }))
  local layer = nn.Linear(3, 2)
  local state = {}
  for name, p in layer:named_parameters() do state[name] = mg.ones_like(p) end
  add(mg.func.functional_call(layer, state, x))
  local packed = nn.utils.rnn.pack_sequence { mg.ones(2), mg.ones(1) }
  add(packed.data, nn.utils.rnn.pad_sequence({ mg.ones(2), mg.ones(1) }, true))
end

-- Errors, most of them with a hint, whose texts are the same.
function parts.mistakes(add)
  local layer = nn.Linear(2, 2)
  local Own = nn.Module "Own"
  function Own:init() self.hidden = layer end
  local own = Own()
  for _, mistake in next, {
    function() return mg.tensr end, function() return nn.Liner end, function() return F.rellu end, function() return own.hiden end,
    function() return layer.wieght end, function() return own(1) end, function() mg.help "lineer" end, function() mg.progress(2.5) end,
    function() mg.ones(2, { dtipe = 1 }) end, function() mg.ones(2):summ() end, function() nn.Sequential(1) end,
    function() optim.SGD(layer:parameters(), { lrr = 1 }) end, function() optim.lr_scheduler.StepLR() end,
    function() mg.func.vmap(1) end, function() mg.func.grad(function(z) return z end)(mg.ones(2)) end,
    function() mg.autograd.gradcheck(function(z) return z end, 3) end, function() mg.autograd.Function("F", { forwrd = 1 }) end,
    function() mg.graph(mg.ones(1), { formt = "dot" }) end, function() nn.ModuleList { 1 } end, function() nn.ParameterList { {} } end,
    function() own:load_state_dict {} end, function() own:register_buffer("a.b", mg.ones(1)) end, function() mg.checkpoint(1) end,
    function() mg.autograd.functional.jacobian(function(z) return z end, {}) end, function() nn.utils.rnn.pad_sequence { 1 } end,
    function() layer:to "cuda" end, function() mg.set_grad_enabled(1) end, function() mg.catch_warnings(1) end,
    function() optim.swa_utils.AveragedModel(1) end, function() mg.tensor { 1, {} } end,
  } do
    local ok, message = pcall(mistake)
    assert(not ok)
    add(message)
  end
end

function parts.printing(add)
  mg.help "sum"
  mg.help(nn.Linear)
  mg.help()
  add(mg.randn(2, 3).shape, nn.Conv2d(1, 2, 3).kernel_size, tostring(leaf { 1 }), mg.ones(2) .. "")
  add(#mg.catch_warnings(function()
    local Odd = nn.Module "Odd"
    function Odd:init() self.layers = { nn.ReLU() } end
    mg.nn.Sequential(Odd()):parameters()
  end))
end

-- Everything that the parts find, as one text.
local function work(quiet)
  local found = {}
  local function add(...)
    local list = { ... }
    for i = 1, #list do found[#found + 1] = tostring(list[i]) end
  end
  for _, name in next, { "training", "autograd", "transforms", "mistakes", "printing" } do
    mg.manual_seed(0)
    if name ~= "printing" or not quiet then parts[name](add) end
  end
  return concat(found, "\n")
end

local printed = print
print = function() end
local expected, quiet = work(), work(true)

-- Whether the work is the same while names have the values that `change(list, name)` gives them; and what differs. Nothing but
-- locals is used in between. Without `print`, what prints would print here.
local function unchanged(places, change)
  local rawset, kept, is_quiet = rawset, {}, false
  for _, place in ipairs(places) do
    kept[#kept + 1] = { place[1], place[2], place[1][place[2]] }
    is_quiet = is_quiet or place[2] == "print"
  end
  for i = 1, #kept do change(kept[i][1], kept[i][2]) end
  local ok, found = pcall(work, is_quiet)
  for i = 1, #kept do rawset(kept[i][1], kept[i][2], kept[i][3]) end
  if not ok then return false, tostring(found) end
  if found == (is_quiet and quiet or expected) then return true end
  local lines, n = {}, 0
  for line in (is_quiet and quiet or expected):gmatch "[^\n]*" do lines[#lines + 1] = line end
  for line in found:gmatch "[^\n]*" do
    n = n + 1
    if line ~= lines[n] then return false, ("%s\n    not %s"):format(line, lines[n]) end
  end
  return false, "less than before"
end

local rawset = rawset
local changes = {
  removed = function(list, name) rawset(list, name, nil) end,
  replaced = function(list, name) rawset(list, name, function() error("a script's own " .. name) end) end,
}

-- All at once; where that makes a difference, one by one, so as to tell which.
local function case(title, places)
  for how, change in pairs(changes) do
    check.case(title .. ", " .. how, function()
      local same, difference = unchanged(places, change)
      if same then return end
      local told = false
      for _, place in ipairs(places) do
        local alone, text = unchanged({ place }, change)
        if not alone then
          check.fail(place[2] .. ": " .. text)
          told = true
        end
      end
      if not told then check.fail("together: " .. difference) end
    end)
  end
end

local tables = { { "_G", _G } }
for name, value in pairs(_G) do
  if type(value) == "table" and value ~= _G and name ~= "package" then tables[#tables + 1] = { name, value } end
end
local all = { { getmetatable "", "__index" } }
for _, entry in ipairs(tables) do
  local places = {}
  for name in pairs(entry[2]) do
    places[#places + 1] = { entry[2], name }
    if entry[1] ~= "_G" or type(_G[name]) ~= "table" then all[#all + 1] = places[#places] end
  end
  case("the names of " .. entry[1], places)
end
case("the methods of strings", { { getmetatable "", "__index" } })
case("all of them", all)
check.is_true(#all > 140)

check.case("a name that is needed is found by this test", function()
  local same, text = unchanged({ { parts, "printing" } }, changes.removed)
  check.equal(same, false)
  check.mentions(text, "attempt to call a nil value")
end)

print = printed
return check.done()

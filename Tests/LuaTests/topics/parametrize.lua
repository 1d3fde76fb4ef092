-- Parameters that are computed from others, hooks on states, and layers that are fused. Numbers are PyTorch's for the same seed.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn = mg.nn
local P, PZ = nn.utils.parametrize, nn.utils.parametrizations

local function names(module)
  local list = {}
  for name in module:named_parameters() do list[#list + 1] = name end
  return list
end

check.case("weight norm", function()
  mg.manual_seed(0)
  local layer = PZ.weight_norm(nn.Linear(3, 2))
  check.equal(names(layer), { "bias", "parametrizations.weight.original0", "parametrizations.weight.original1" })
  check.close(layer.weight, mg.tensor { { -0.0043, 0.3097, -0.4752 }, { -0.4249, -0.2224, 0.1548 } }, 6e-5)
  local x = mg.randn(4, 3)
  layer(x):sum():backward()
  check.close(layer.parametrizations.weight.original0.grad, mg.tensor { { -1.0290 }, { 0.8843 } }, 6e-5)
  check.is_true(tostring(layer):find("^ParametrizedLinear%(\n  in_features=3, out_features=2, bias=True\n  %(parametrizations%): ModuleDict"))
  local copy = mg.deepcopy(layer)
  check.equal(copy(x), layer(x))
  copy.parametrizations.weight.original0.data:fill_(0)
  check.is_true(not copy(x):equal(layer(x)))
  local before = layer(x)
  P.remove_parametrizations(layer, "weight")
  check.equal(names(layer), { "weight", "bias" })
  check.close(layer(x), before)
  check.equal(tostring(layer), "Linear(in_features=3, out_features=2, bias=True)")
end)

check.case("spectral norm", function()
  mg.manual_seed(0)
  local layer = PZ.spectral_norm(nn.Linear(5, 4))
  check.close(layer.weight, mg.tensor {
    { -0.0040, 0.2886, -0.4428, -0.3959, -0.2072 }, { 0.1443, -0.0107, 0.4265, -0.0477, 0.1423 },
    { -0.1626, -0.1057, -0.5139, -0.3563, -0.2218 }, { 0.0199, 0.2127, 0.3228, -0.3647, -0.2343 } }, 6e-5)
  for _ = 1, 50 do layer(mg.randn(1, 5)) end
  check.close(mg.linalg.svdvals(layer:eval().weight)[1], 1, 1e-5)
  local conv = nn.utils.spectral_norm(nn.Conv2d(2, 3, 3))
  check.equal(conv(mg.randn(1, 2, 4, 4)).shape, { 1, 3, 2, 2 })
end)

local Symmetric = nn.Module "Symmetric"
function Symmetric:forward(x) return x:triu() + x:triu(1):t() end
local Double = nn.Module "Double"
function Double:forward(x) return x * 2 end

local Net = nn.Module "Net"
function Net:init() self.weight = nn.Parameter(mg.randn(3, 3)) end
function Net:forward(x) return x:mm(self.weight) end

for name, make in pairs { ["a script's class"] = Net, ["a layer"] = function() return nn.Linear(3, 3, false) end } do
  check.case("steps of one's own, for " .. name, function()
    local module = make()
    P.register_parametrization(module, "weight", Symmetric())
    check.is_true(P.is_parametrized(module) and P.is_parametrized(module, "weight") and not P.is_parametrized(module, "bias"))
    check.equal(module.weight, module.weight:t())
    local once = module.weight:detach():clone()
    P.register_parametrization(module, "weight", Double())
    check.close(module.weight, once * 2)
    check.equal(names(module), { "parametrizations.weight.original" })
    local original = module.parametrizations.weight.original
    local optimizer = mg.optim.SGD(module:parameters(), { lr = 0.1 })
    local start = original:detach():clone()
    module(mg.randn(2, 3)):sum():backward()
    check.equal(original.grad[{ 3, 1 }]:item(), 0.0)
    optimizer:step()
    check.is_true(not original:equal(start))
    check.is_true(module:state_dict()["parametrizations.weight.original"] ~= nil)
    local last = module.weight:detach():clone()
    P.remove_parametrizations(module, "weight")
    check.equal(module.weight:detach(), last)
    check.is_true(module.weight == original)
    check.equal(names(module), { "weight" })
  end)
end

check.case("mistakes", function()
  local layer = PZ.weight_norm(nn.Linear(3, 2))
  check.raises("Linear: 'weight' is computed by a parametrization; remove that first (nn.utils.parametrize.remove_parametrizations)",
    function() layer.weight = nn.Parameter(mg.zeros(2, 3)) end)
  check.raises("register_parametrization: Net has no parameter 'weigh'", P.register_parametrization, Net(), "weigh", Double())
  check.raises("register_parametrization: argument 3: expected a module that computes the parameter, got 5",
    P.register_parametrization, Net(), "weight", 5)
  check.raises("Linear: the parametrization of weight gives a tensor of float32 of shape [4], which is float32 of [2, 2]",
    P.register_parametrization, nn.Linear(2, 2), "weight", nn.Flatten(1))
  check.raises("remove_parametrizations: the parameter 'weight' of Linear is not parametrized", P.remove_parametrizations, nn.Linear(1, 1), "weight")
  check.raises("remove_parametrizations: weight is computed from 2 tensors…",
    function() P.remove_parametrizations(PZ.weight_norm(Net()), "weight", { leave_parametrized = false }) end)
end)

check.case("fused with a batch norm", function()
  for _, case in ipairs { { nn.Conv2d(1, 2, 3), 4 }, { nn.ConvTranspose2d(1, 2, 3), 4, true } } do
    local conv, norm = case[1], nn.BatchNorm2d(2)
    norm(mg.randn(4, 2, 3, 3) * 2 + 1)
    conv:eval()
    norm:eval()
    local x = mg.randn(1, 1, 5, 5)
    check.close(nn.utils.fuse_conv_bn_eval(conv, norm, { transpose = case[3] or false })(x), norm(conv(x)), 1e-5)
  end
  check.raises("fuse_conv_bn_eval: both modules must be in evaluation mode; call eval() first",
    nn.utils.fuse_conv_bn_eval, nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
end)

check.case("hooks on states rename and see", function()
  local net = nn.Sequential(nn.Linear(2, 2), Net())
  local saved = net:state_dict()
  local seen = {}
  local hook = net[2]:register_state_dict_post_hook(function(_, state, prefix)
    seen[#seen + 1] = prefix
    state[prefix .. "version"] = mg.tensor(2)
  end)
  check.equal(net:state_dict()["1.version"]:item(), 2)
  check.equal(seen, { "1." })
  hook.remove()
  check.equal(net:state_dict()["1.version"], nil)
  local old = {}
  for name, tensor in pairs(saved) do old[name == "0.weight" and "0.old" or name] = tensor end
  net[1]:register_load_state_dict_pre_hook(function(_, state, prefix)
    state[prefix .. "weight"], state[prefix .. "old"] = state[prefix .. "old"], nil
  end)
  local missing
  net:register_load_state_dict_post_hook(function(_, keys) missing = #keys.missing_keys end)
  net:load_state_dict(old)
  check.equal(missing, 0)
  check.is_true(old["0.old"] ~= nil)
end)

return check.done()

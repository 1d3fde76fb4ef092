-- nn.utils.parametrize: parameters that are computed from others, and the usual ways to compute them. Modules of Swift's keep what
-- computes their parameters themselves (Parametrization.swift); objects of scripts' classes have it in a field, and the field of the
-- parameter is empty, so that reading it computes.

local native, mg, nn, shared, class_shared = ...
local raise, found, options = shared.raise, shared.found, shared.options
local is_tensor, utils = mg.is_tensor, nn.utils
local kind_of, is_module, class_name = native.kind_of, class_shared.is_module, class_shared.class_name

local parametrize = {}
utils.parametrize = parametrize

local function unrecorded(f, ...)
  local _ <close> = mg.no_grad()
  return f(...)
end

local function is_instance(module) return type(module) == "table" end

-- What computes a parameter of a module, or nil.
local function list_of(module, name)
  if not is_instance(module) then return native.parametrization(module, name) end
  local all = rawget(module, "parametrizations")
  return all and rawget(all, name)
end

local function checked(what, module, name)
  if not is_module(module) then raise("%s: argument 1: expected a module, got %s", what, found(module)) end
  if type(name) ~= "string" then raise("%s: argument 2: expected a parameter's name, got %s", what, found(name)) end
end

-- The step's inverse of a value: what has to be trained so that the step gives the value.
local function originals_of(step, value)
  local inverse = class_shared.method(step, "right_inverse")
  if not inverse then return { value } end
  local originals = table.pack(inverse(step, value))
  for i = 1, originals.n do
    if not is_tensor(originals[i]) then raise("register_parametrization: right_inverse must return tensors, got %s", found(originals[i])) end
  end
  return originals
end

--[=[ mg.nn.utils.parametrize.register_parametrization(module, name, step)

Lets a parameter be computed: what trains is `module.parametrizations[name].original`, and each call of the module, and each reading
of the parameter, computes step(original). Further steps are computed of what the ones before them gave.

A step is a module. If its class has a method right_inverse(value), that gives the originals (one or several tensors) of the value
that the parameter has now.

Example:
  local Symmetric = mg.nn.Module "Symmetric"
  function Symmetric:forward(x) return x:triu() + x:triu(1):t() end
  local layer = mg.nn.Linear(3, 3)
  mg.nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
  print(layer.weight:equal(layer.weight:t()))                            -- true
]=]
function parametrize.register_parametrization(module, name, step, ...)
  local what = "register_parametrization"
  options(what, { { "unsafe", false } }, ...)
  checked(what, module, name)
  if not is_module(step) then raise("%s: argument 3: expected a module that computes the parameter, got %s", what, found(step)) end
  local list = list_of(module, name)
  if list then
    native.append_parametrization(list, step)
    return module
  end
  if not is_instance(module) then
    local value = module[name]
    if not is_tensor(value) then raise("%s: %s has no parameter '%s'", what, class_name(module), name) end
    native.parametrize(module, name, unrecorded(originals_of, step, value), step)
    return module
  end
  local value = rawget(module, name)
  if kind_of(value) ~= "Parameter" then raise("%s: %s has no parameter '%s'", what, class_name(module), name) end
  list = native.parametrizations(unrecorded(originals_of, step, value), step)
  local computed = unrecorded(list)
  if tostring(computed.shape) ~= tostring(value.shape) or computed.dtype ~= value.dtype then
    raise("%s: the parametrization of %s gives a tensor of %s of shape %s, which is %s of %s", what, name, computed.dtype,
      tostring(computed.shape), value.dtype, tostring(value.shape))
  end
  if not rawget(module, "parametrizations") then module.parametrizations = nn.ModuleDict() end
  module.parametrizations[name] = list
  rawset(module, name, nil)
  return module
end

--[=[ mg.nn.utils.parametrize.remove_parametrizations(module, name, { leave_parametrized = true })

Makes a parameter one by itself again, with the value that is computed now, or, with leave_parametrized = false, with the original's.

Example:
  local layer = mg.nn.utils.parametrizations.weight_norm(mg.nn.Linear(3, 2))
  mg.nn.utils.parametrize.remove_parametrizations(layer, "weight")
  print(layer)                                                           -- Linear(in_features=3, out_features=2, bias=True)
]=]
function parametrize.remove_parametrizations(module, name, ...)
  local what = "remove_parametrizations"
  local set = options(what, { { "leave_parametrized", true } }, ...)
  checked(what, module, name)
  local list = list_of(module, name)
  if not list then raise("%s: the parameter '%s' of %s is not parametrized", what, name, class_name(module)) end
  if not is_instance(module) then
    native.remove_parametrization(module, name, set.leave_parametrized)
    return module
  end
  local originals = list:parameters()
  if not set.leave_parametrized and #originals > 1 then
    raise("%s: %s is computed from %d tensors, none of which can take its place", what, name, #originals)
  end
  local value = set.leave_parametrized and unrecorded(list):detach():clone() or originals[1]:detach()
  module.parametrizations:pop(name)
  if #module.parametrizations == 0 then module.parametrizations = nil end
  if #originals == 1 then
    mg.no_grad(function() originals[1]:copy_(value) end)
    rawset(module, name, originals[1])
  else
    rawset(module, name, nn.Parameter(value))
  end
  return module
end

--[=[ mg.nn.utils.parametrize.is_parametrized(module, name)

Whether a parameter of a module, or, without a name, any, is computed.

Example:
  local layer = mg.nn.utils.parametrizations.weight_norm(mg.nn.Linear(3, 2))
  print(mg.nn.utils.parametrize.is_parametrized(layer), mg.nn.utils.parametrize.is_parametrized(layer, "bias"))   -- true  false
]=]
function parametrize.is_parametrized(module, name)
  checked("is_parametrized", module, name == nil and "" or name)
  if name ~= nil then return list_of(module, name) ~= nil end
  for _, child in ipairs(native.named_children(module)) do if child[1] == "parametrizations" then return true end end
  return false
end

-- The usual ones -------------------------------------------------------------------------------------------------

local parametrizations = {}
utils.parametrizations = parametrizations

-- The 2-norms of a tensor along all dimensions but one (nil for the norm of all).
local function norms(x, dim)
  if dim == nil then return x:norm() end
  local others = {}
  for i = 1, x.ndim do if i ~= dim then others[#others + 1] = i end end
  if #others == 0 then return x:abs() end
  return x:norm(2, others, true)
end

local WeightNorm = nn.Module "_WeightNorm"
function WeightNorm:init(dim) self.dim = dim end
function WeightNorm:forward(g, v) return v * (g / norms(v, self.dim)) end
function WeightNorm:right_inverse(weight) return norms(weight, self.dim), weight end

-- A dimension from 1, or from the end; nil for false.
local function dimension(what, dim, weight)
  if dim == false then return nil end
  if math.type(dim) ~= "integer" or dim == 0 or dim > weight.ndim or dim < -weight.ndim then
    raise("%s: option 'dim': expected a dimension from 1 to %d, or false for all, got %s", what, weight.ndim, found(dim))
  end
  return dim > 0 and dim or weight.ndim + 1 + dim
end

--[=[ mg.nn.utils.parametrizations.weight_norm(module, name = "weight", dim = 1)
mg.nn.utils.weight_norm(module, name = "weight", dim = 1)

Lets a parameter be a length times a direction, which train apart: original0, the norms along dimension `dim` (false for one of all),
and original1. Salimans and Kingma, 2016.

Example:
  local layer = mg.nn.utils.parametrizations.weight_norm(mg.nn.Linear(20, 40))
  print(layer.parametrizations.weight.original0.shape)                   -- {40, 1}
]=]
function parametrizations.weight_norm(module, ...)
  local set = options("weight_norm", { { "name", "weight" }, { "dim" } }, ...)
  if set.dim == nil then set.dim = 1 end
  checked("weight_norm", module, set.name)
  local weight = module[set.name]
  return parametrize.register_parametrization(module, set.name, WeightNorm(dimension("weight_norm", set.dim, weight)))
end

local SpectralNorm = nn.Module "_SpectralNorm"

function SpectralNorm:init(weight, iterations, dim, eps)
  self.dim, self.n_power_iterations, self.eps = dim, iterations, eps
  if weight.ndim > 1 then
    local matrix = self:matrix(weight)
    local u = mg.nn.functional.normalize(mg.empty(matrix:size(1), { dtype = weight.dtype }):normal_(), { dim = 1, eps = eps })
    local v = mg.nn.functional.normalize(mg.empty(matrix:size(2), { dtype = weight.dtype }):normal_(), { dim = 1, eps = eps })
    self:register_buffer("_u", u)
    self:register_buffer("_v", v)
    self:iterate(matrix, 15)
  end
end

function SpectralNorm:matrix(weight)
  if self.dim ~= 1 then weight = weight:transpose(1, self.dim) end
  return weight:flatten(2)
end

function SpectralNorm:iterate(matrix, count)
  mg.no_grad(function()
    for _ = 1, count do
      self._u:copy_(mg.nn.functional.normalize(matrix:mv(self._v), { dim = 1, eps = self.eps }))
      self._v:copy_(mg.nn.functional.normalize(matrix:t():mv(self._u), { dim = 1, eps = self.eps }))
    end
  end)
end

function SpectralNorm:forward(weight)
  if weight.ndim == 1 then return mg.nn.functional.normalize(weight, { dim = 1, eps = self.eps }) end
  local matrix = self:matrix(weight)
  if self.training then self:iterate(matrix:detach(), self.n_power_iterations) end
  -- Copies, since the next call writes into the vectors.
  local sigma = self._u:clone():dot(matrix:mv(self._v:clone()))
  return weight / sigma
end

--[=[ mg.nn.utils.parametrizations.spectral_norm(module, name = "weight", n_power_iterations = 1, eps = 1e-12, dim = 1)
mg.nn.utils.spectral_norm(module, name = "weight", n_power_iterations = 1, eps = 1e-12, dim = 1)

Lets a parameter be divided by its largest singular value, which each call while training approaches by power iterations. Miyato et
al., 2018.

Options:
  n_power_iterations = 1: of each call
  eps = 1e-12: for norms of 0
  dim = 1: the dimension that is the rows of the matrix

Example:
  local layer = mg.nn.utils.parametrizations.spectral_norm(mg.nn.Linear(20, 40))
  print(layer.weight:svd() ~= nil)
]=]
function parametrizations.spectral_norm(module, ...)
  local what = "spectral_norm"
  local set = options(what, { { "name", "weight" }, { "n_power_iterations", 1 }, { "eps", 1e-12 }, { "dim" } }, ...)
  checked(what, module, set.name)
  if math.type(set.n_power_iterations) ~= "integer" or set.n_power_iterations < 1 then
    raise("%s: n_power_iterations must be 1 or more, got %s", what, found(set.n_power_iterations))
  end
  local weight = module[set.name]
  local dim = set.dim
  if dim == nil then dim = nn.is(module, "ConvTranspose1d") or nn.is(module, "ConvTranspose2d") or nn.is(module, "ConvTranspose3d") end
  if dim == true then dim = 2 elseif not dim then dim = 1 end
  return parametrize.register_parametrization(module, set.name,
    SpectralNorm(weight:detach(), set.n_power_iterations, dimension(what, dim, weight), set.eps))
end

utils.weight_norm, utils.spectral_norm = parametrizations.weight_norm, parametrizations.spectral_norm

--[=[ mg.nn.utils.remove_weight_norm(module, name = "weight")
mg.nn.utils.remove_spectral_norm(module, name = "weight")

Makes a parameter one by itself again.

Example:
  print(mg.nn.utils.remove_weight_norm(mg.nn.utils.weight_norm(mg.nn.Linear(3, 2))))
]=]
function utils.remove_weight_norm(module, name) return parametrize.remove_parametrizations(module, name or "weight") end
function utils.remove_spectral_norm(module, name) return parametrize.remove_parametrizations(module, name or "weight") end

-- Fusing ---------------------------------------------------------------------------------------------------------

-- The weight and bias of a layer with a batch norm after it.
local function fused(what, layer, norm, transposed)
  if layer.training or norm.training then raise("%s: both modules must be in evaluation mode; call eval() first", what) end
  if not norm.running_mean then raise("%s: the batch norm keeps no statistics", what) end
  local weight = layer.weight
  local scale = (norm.weight or mg.ones_like(norm.running_mean)) * (norm.running_var + norm.eps):rsqrt()
  local shift = norm.bias or mg.zeros_like(norm.running_mean)
  local sizes = {}
  for i = 1, weight.ndim do sizes[i] = 1 end
  sizes[transposed and 2 or 1] = -1
  local bias = layer.bias or mg.zeros_like(norm.running_mean)
  return weight * scale:reshape(sizes), (bias - norm.running_mean) * scale + shift
end

local function fuse(what, layer, norm, transposed)
  for i = 1, 2 do
    local module = select(i, layer, norm)
    if not is_module(module) then raise("%s: argument %d: expected a module, got %s", what, i, found(module)) end
  end
  local weight, bias = unrecorded(fused, what, layer, norm, transposed)
  local copy = mg.deepcopy(layer)
  copy.weight = nn.Parameter(weight, { requires_grad = layer.weight.requires_grad })
  copy.bias = nn.Parameter(bias, { requires_grad = layer.weight.requires_grad })
  return copy
end

--[=[ mg.nn.utils.fuse_conv_bn_eval(conv, bn, { transpose = false })

A convolution that does what the two do one after the other, both in evaluation mode. They stay as they are.

Example:
  local conv, bn = mg.nn.Conv2d(1, 2, 3):eval(), mg.nn.BatchNorm2d(2):eval()
  local x = mg.randn(1, 1, 5, 5)
  print(mg.nn.utils.fuse_conv_bn_eval(conv, bn)(x):allclose(bn(conv(x)), { atol = 1e-5 }))     -- true
]=]
function utils.fuse_conv_bn_eval(conv, bn, ...)
  local set = options("fuse_conv_bn_eval", { { "transpose", false } }, ...)
  return fuse("fuse_conv_bn_eval", conv, bn, set.transpose)
end

--[=[ mg.nn.utils.fuse_linear_bn_eval(linear, bn)

A linear layer that does what the two do one after the other, both in evaluation mode. They stay as they are.

Example:
  local linear, bn = mg.nn.Linear(3, 2):eval(), mg.nn.BatchNorm1d(2):eval()
  print(mg.nn.utils.fuse_linear_bn_eval(linear, bn))
]=]
function utils.fuse_linear_bn_eval(linear, bn) return fuse("fuse_linear_bn_eval", linear, bn, false) end

-- What can be passed wrongly, and the sentence that comes of it: operation, argument, what was expected, what came.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"

-- { code, message }; `x` is a tensor of shape [2, 3]. A message may end with … for the rest.
local function mistakes(topic, list)
  check.case(topic, function()
    for _, entry in ipairs(list) do check.rejects(entry[1], entry[2], mg.ones(2, 3)) end
  end)
end

mistakes("shapes", {
  { "x:mm(mg.ones(4, 5))", "mm: inner sizes 3 and 4 differ for [2, 3] × [4, 5]" },
  { "x:matmul(mg.ones(4, 5))", "matmul: inner sizes 3 and 4 differ for [2, 3] × [4, 5]" },
  { "mg.tensor{ 1, 2 }:mm(mg.tensor{ 1, 2 })", "mm: two matrices are needed, got shapes [2] and [2]" },
  { "return x + mg.ones(4, 5)", "add: shapes [2, 3] and [4, 5] do not broadcast: sizes 3 and 5 meet in dimension 2" },
  { "x:view(4)", "view: shape [4] holds 4 elements, but [2, 3] has 6" },
  { "x:reshape(7, -1)", "reshape: no size for the -1 in [7, -1] holds the 6 elements of [2, 3]" },
  { "x:view(-1, -1)", "view: only one size can be -1 (inferred), got [-1, -1]" },
  { "mg.ones(2):expand(3)", "expand: shapes [2] and [3] do not broadcast: sizes 2 and 3 meet in dimension 1" },
  { "mg.cat({ x, mg.ones(2, 2) }, 1)", "cat: tensor 2 of shape [2, 2] does not fit [2, 3]: sizes may differ only in dimension 1" },
  { "mg.stack{ mg.ones(2), mg.ones(3) }", "stack: tensor 2 has shape [3], the first has [2]; all must be equal" },
  { "mg.cat{}", "cat: the list of tensors is empty" },
  { "nn.Linear(3, 2)(mg.ones(1, 2))",
    "Linear: an input of shape [1, 2] does not fit the weight of shape [2, 3]: its last size must be in_features = 3" },
  { "F.mse_loss(mg.ones(2), mg.ones(3))", "mse_loss: shapes [2] and [3] do not broadcast: sizes 2 and 3 meet in dimension 1" },
  { "F.mse_loss(x, x, { weight = mg.ones(3) })",
    "mse_loss: weight of shape [3] must have the input's shape [2, 3], one weight for each element" },
  { "F.huber_loss(x, x, { weight = mg.ones(3) })",
    "huber_loss: weight of shape [3] must have the input's shape [2, 3], one weight for each element" },
  { "F.cross_entropy(x, mg.tensor{ 1, 2, 3 })",
    "cross_entropy: a target of shape [3] does not fit logits of shape [2, 3]; labels need shape [2]" },
  { "x:item()", "item: a tensor of one element is needed, this one has shape [2, 3]" },
  { "x.grad = mg.ones(4)", "grad: a gradient of shape [4] was assigned to a tensor of shape [2, 3]" },
  { "x[1] = mg.ones(2)", "index assignment: shapes [3] and [2] do not broadcast: sizes 3 and 2 meet in dimension 1" },
  { "x:narrow(1, 1, 5)", "narrow: 5 positions from 1 do not fit dimension 1 of size 2" },
  { "x:permute(1)", "permute: 1 dimensions were given for a tensor of shape [2, 3]" },
  { "x:permute(1, 1)", "permute: a dimension is named twice" },
  { "x:topk(5)", "topk: k = 5 is not between 0 and the size 3 of dimension 2" },
  { "mg.ones(2, { requires_grad = true }):backward()", "backward: a gradient can be implied only for a tensor of one element, this one has shape [2]…" },
  { "mg.tensor{ { 1, 2 }, { 3 } }", "tensor: rows differ in length: [1] has 2 elements, but [2] has 1" },
  { "mg.tensor{ { 1 }, 2 }", "tensor: [2] is 2 where a list was expected, as before it at the same depth" },
  { "return #mg.tensor(3)", "#: a tensor of rank 0 has no length" },
})

mistakes("dtypes", {
  { "mg.tensor({ 300 }, { dtype = 'uint8' })", "tensor: 300 lies outside of the range of uint8" },
  { "mg.tensor({ { 1, -129 } }, { dtype = 'int8' })", "tensor: -129 lies outside of the range of int8" },
  { "mg.full({ 2 }, 2^40, { dtype = 'int32' })", "full: 1099511627776.0 lies outside of the range of int32" },
  { "mg.full({ 2 }, 1e300)", "full: 1e+300 lies outside of the range of float32" },
  { "mg.zeros(2, { dtype = 'uint8' }):fill_(256)", "fill_: 256 lies outside of the range of uint8" },
  { "mg.zeros(2):masked_fill(mg.ones(2):bool(), -1e39)", "masked_fill: -1e+39 lies outside of the range of float32" },
  { "mg.zeros(2, { dtype = 'int16' }):scatter(1, mg.tensor{ 1 }, 32768)", "scatter: 32768 lies outside of the range of int16" },
  { "mg.ones(2, { dtype = 'float8' })", "dtype: unknown dtype 'float8'; there are float32, float64, int64, int32, uint8, bool, float16, bfloat16, int16, int8" },
  { "x:to 'floaty'", "dtype: unknown dtype 'floaty'; there are float32, float64, int64, int32, uint8, bool, float16, bfloat16, int16, int8" },
  { "x:long():mm(mg.ones(3, 2))", "mm: the dtypes int64 and float32 differ; convert one of them" },
  { "mg.tensor{ 1, 2 }:mean()", "mean: a float tensor is needed, this one is int64; convert it, for instance with :float()" },
  { "mg.tensor({ 1, 2 }, { requires_grad = true })",
    "requires_grad: only tensors of float dtypes can require grad, this one is int64" },
  { "x:bool():square_()", "square_: the result is int64, which a tensor of bool cannot hold without loss" },
  { "x:bool():abs()", "abs: not defined for tensors of bool" },
  { "x:masked_fill(mg.ones(2, 3), 1)", "masked_fill: the mask must be bool, got a tensor of float32" },
  { "return x[mg.tensor{ 1.5 }]", "index: an index tensor must hold whole numbers or booleans, this one is float32" },
  { "mg.set_default_dtype 'int64'", "set_default_dtype: only float dtypes can be the default, not int64" },
})

mistakes("kinds of arguments", {
  { "mg.ones 'a'", "ones: argument 1 (size): expected sizes (whole numbers or a list of them), got \"a\"" },
  { "mg.ones(2.5)", "ones: argument 1 (size): expected sizes (whole numbers or a list of them), got 2.5" },
  { "mg.ones{ 2, 'x' }", "ones: argument 1 (size): expected sizes (whole numbers or a list of them), got \"x\"" },
  { "x:sum 'a'", "sum: argument 1 (dim): expected a dimension or a list of them, got \"a\"" },
  { "x:sum(1, 2)", "sum: argument 2 (keepdim): expected true or false, got 2" },
  { "return x + nil", "'+' needs a tensor or a number on either side, got nil on the right" },
  { "return {} * x", "'*' needs a tensor or a number on either side, got a table on the left" },
  { "return x ^ 'a'", "'^' needs a tensor or a number on either side, got \"a\" on the right" },
  { "return x .. {}", "'..' needs strings, numbers or tensors, got a table" },
  { "x:mm(3)", "mm: argument 1 (mat2): expected a tensor, got 3" },
  { "mg.where(1)", "where: argument 1 (condition): expected a tensor, got 1" },
  { "mg.stack{ x, 3 }", "stack: argument 1 (tensors): element 2 is not a tensor but 3" },
  { "x:fill_ 'a'", "fill_: argument 1 (value): expected a tensor or a number, got \"a\"" },
  { "mg.tensor 'a'", "tensor: expected numbers, or a nested list of them, got \"a\"" },
  { "mg.tensor{ 1, 'a' }", "tensor: elements must be numbers or booleans, [2] is \"a\"" },
  { "nn.Linear(1, 'a')", "Linear: argument 2 (out_features): expected a whole number, got \"a\"" },
  { "nn.Linear(3, 2)(nil)", "Linear: argument 1: expected a tensor, got nil" },
  { "nn.Linear(3, 2).weight = 3", "Linear: the parameter 'weight' can be set to a parameter (nn.Parameter(t)), got 3" },
  { "nn.MSELoss{ reduction = 'foo' }", "MSELoss: reduction must be \"mean\", \"sum\" or \"none\", got \"foo\"" },
  { "x:argmin(x)", "argmin: argument 2 (dim) is not a dimension" },
  { "mg.func.vmap(function(a) return a:argmax(x) end)(x)", "argmax: argument 2 (dim) is not a dimension" },
  { "nn.Sequential(1)", "Sequential: element 1 is not a module but a number" },
  { "nn.Module()", "nn.Module: expected a name for the class, as in  local Net = nn.Module \"Net\"" },
  { "nn.ModuleList(3)", "ModuleList: expected a list, got a number" },
  { "nn.ParameterList{ 3 }", "ParameterList: element 1 is not a parameter (nn.Parameter(t)) but a number" },
  { "nn.Linear(3, 2):load_state_dict{ weight = 3 }", "load_state_dict: Linear does not fit: missing bias; weight is no tensor but 3" },
  { "nn.Linear(3, 2):to 'int64'", "to: modules can be converted to float dtypes only, not to int64" },
  { "nn.Linear(3, 2):apply(3)", "apply: expected a function, got number" },
  { "nn.Linear(3, 2):train 'a'", 'train: expected true or false, got "a"' },
  { "nn.Linear(3, 2):register_buffer('b', x)", "register_buffer: Linear takes no more fields; define a class of your own with nn.Module" },
  { "optim.SGD({ x }, { lr = 1 }):zero_grad 'a'", "zero_grad: expected options such as { set_to_none = false }, got \"a\"" },
  { "optim.SGD({ x }, { lr = 1 }):step(3)", "step: expected nothing, or a function that computes the loss, got 3" },
  { "nn.Linear(3, 2):to {}", "to: expected a dtype such as \"float64\", or a tensor, got a table" },
  { "mg.as_tensor 'a'", "tensor: expected numbers, or a nested list of them, got \"a\"" },
  { "mg.save_npy(3, 'a')", "save_npy: argument 1: expected a tensor, got 3" },
  { "mg.Variable 'a'", "tensor: expected numbers, or a nested list of them, got \"a\"" },
  { "mg.catch_warnings()", "catch_warnings: expected a function to run, got nil" },
  { "mg.manual_seed 'a'", "manual_seed: expected a whole number, got \"a\"" },
  { "mg.set_grad_enabled()", "set_grad_enabled: expected true or false, got nil" },
  { "mg.no_grad(3)", "no_grad: expected a function to run, or nothing, got number" },
  { "mg.progress(-1)", "progress: expected a count, got -1" },
  { "x.requires_grad = 1", "requires_grad: expected true or false, got 1" },
  { "x.grad = 3", "grad: expected a tensor or nil, got 3" },
  { "x.data = 3", "data: expected a tensor, got 3" },
  { "x[1] = 'a'", "index assignment: expected a tensor, a number or a list of numbers, got \"a\"" },
})

mistakes("counts of arguments", {
  { "mg.ones()", "ones: argument 1 (size) is missing; expected sizes (whole numbers or a list of them): ones(size, [dtype], requires_grad = false)" },
  { "x:sum(1, true, 5)", "sum: 3 arguments given, but it takes at most 2: x:sum([dim], keepdim = false, [dtype])" },
  { "x:t(1)", "t: 1 argument given, but it takes at most 0: x:t()" },
  { "x:transpose(1)", "transpose: argument 2 (dim1) is missing; expected a dimension (a whole number): x:transpose(dim0, dim1)" },
  { "nn.Linear(1)", "Linear: argument 2 (out_features) is missing; expected a whole number…" },
  { "nn.Linear(3, 2)()", "Linear: takes 1 tensor, got 0" },
  { "nn.CrossEntropyLoss()(x)", "CrossEntropyLoss: takes 2 tensors, got 1" },
  { "mg.tensor(1, 2, 3)", "tensor: takes one value and options; write mg.tensor{1, 2, 3}" },
  { "x:tolist(1)", "tolist: 1 argument given, but it takes none" },
  { "x:size(1, 2)", "size: 2 arguments given, but it takes at most 1" },
  { "x:allclose()", "allclose: argument 1 (other) is missing; expected a tensor: x:allclose(other, rtol = 1e-05, atol = 1e-08)" },
  { "x:clamp()", "clamp: at least one of min and max is needed" },
})

mistakes("0 is no position, and what lies outside", {
  { "return x[0]", "index: index 0 is out of range: indices start at 1 (and -1 is the last)" },
  { "return x[{ 1, 0 }]", "index: index 0 is out of range: indices start at 1 (and -1 is the last)" },
  { "return x[{ { 0, 2 } }]", "index: index 0 is out of range: indices start at 1 (and -1 is the last)" },
  { "return x[mg.tensor{ 0 }]", "index: index 0 is out of range: indices start at 1 (and -1 is the last)" },
  { "x[0] = 1", "index: index 0 is out of range: indices start at 1 (and -1 is the last)" },
  { "x:sum(0)", "sum: index 0 is out of range: dimensions start at 1 (and -1 is the last)" },
  { "x:unsqueeze(0)", "unsqueeze: index 0 is out of range: dimensions start at 1 (and -1 is the last)" },
  { "x:select(1, 0)", "select: index 0 is out of range: indices start at 1 (and -1 is the last)" },
  { "x:gather(1, mg.tensor{ { 0 } })", "gather: index 0 is out of range: indices start at 1 (and -1 is the last)" },
  { "F.softmax(x, 0)", "softmax: index 0 is out of range: dimensions start at 1 (and -1 is the last)" },
  { "F.cross_entropy(x, mg.tensor{ 0, 1 })", "cross_entropy: index 0 is out of range: class labels start at 1" },
  { "nn.CrossEntropyLoss()(x, mg.tensor{ 0, 1 })", "CrossEntropyLoss: index 0 is out of range: class labels start at 1" },
  { "F.one_hot(mg.tensor{ 1, 4 }, 3)", "one_hot: label 4 is not one of the 3 classes" },
  { "F.one_hot(mg.tensor{ 1, -1 }, 3)", "one_hot: label -1 is not one of the 3 classes" },
  { "nn.Softmax(0)", "Softmax: index 0 is out of range: dimensions start at 1 (and -1 is the last)" },
  { "return x[3]", "select: index 3 is out of range for dimension 1 of size 2" },
  { "return x[-3]", "select: index -3 is out of range for dimension 1 of size 2" },
  { "return x[{ 1, 4 }]", "index: index 4 is out of range for dimension 1 of size 3" },
  { "return x[{ 1, 2, 3 }]", "index: 3 indices are too many for a tensor of shape [2, 3]" },
  { "return x[mg.tensor{ 5 }]", "index: index 5 is out of range for dimension 1 of size 2" },
  { "return x[mg.tensor{ true }]", "index: a mask of shape [1] does not fit dimension 1 of [2, 3]" },
  { "return x[2.5]", "index: 2.5 is not a whole number" },
  { "return x[true]", "index: expected a whole number, a range such as {1, 3}, {} or a tensor, got true" },
  { "return x[{ { 1, 2, 0 } }]", "slice: the step must be positive, got 0" },
  { "return x[{ { 1, 2, 3, 4 } }]", "index: a range is {first, last} or {first, last, step}, got a list of 4" },
  { "x:sum(3)", "sum: dimension 3 is out of range for shape [2, 3], which has 2 dimensions" },
  { "x:sum(-3)", "sum: dimension -3 is out of range for shape [2, 3], which has 2 dimensions" },
  { "x:transpose(1, 3)", "transpose: dimension 3 is out of range for shape [2, 3], which has 2 dimensions" },
  { "x:index_select(1, mg.tensor{ 3 })", "index_select: index 3 is out of range for dimension 1 of size 2" },
  { "F.cross_entropy(x, mg.tensor{ 1, 4 })", "cross_entropy: label 4 is not one of the 3 classes" },
})

mistakes("unknown options", {
  { "x:sum{ dimm = 1 }", "sum: unknown option 'dimm'; did you mean 'dim'? (known: dim, keepdim, dtype)" },
  { "mg.tensor({ 1 }, { dtyp = 'x' })", "tensor: unknown option 'dtyp'; did you mean 'dtype'? (known: dtype, requires_grad, device)" },
  { "nn.Linear(1, 2, { biass = false })", "Linear: unknown option 'biass'; did you mean 'bias'? (known: in_features, out_features, bias, dtype)" },
  { "x:allclose(x, { rto = 1 })", "allclose: unknown option 'rto'; did you mean 'rtol'? (known: other, rtol, atol)" },
  { "x:backward{ retain = true }", "backward: unknown option 'retain'…" },
  { "x:sum(1, { dim = 2 })", "sum: 'dim' is given twice, by position and as an option" },
  { "x:sum{ 2, keepdim = true }", "sum: argument 1 (dim): a list with named fields; options go into a table of their own, the last argument" },
  { "mg.tensor{ 1, 2, requires_grad = true }", "tensor: a list with named fields; options go into a table of their own, the last argument" },
  { "mg.zeros{ 2, dtype = 'int64' }", "zeros: argument 1 (size): a list with named fields; options go into a table of their own, the last argument" },
})

mistakes("misspelt names", {
  { "return x.shpae", "a tensor has no field or method 'shpae'; did you mean 'shape'?" },
  { "x:summ()", "a tensor has no field or method 'summ'; did you mean 'sum'?" },
  { "x.foo = 1", "the field 'foo' of a tensor cannot be assigned (assignable: data, grad, requires_grad)" },
  { "x.shape = 1", "the field 'shape' of a tensor cannot be assigned (assignable: data, grad, requires_grad)" },
  { "return mg.zeroes(2)", "moongrad has no 'zeroes'; did you mean 'zeros'?" },
  { "return nn.Liner(1, 2)", "nn has no 'Liner'; did you mean 'Linear'?" },
  { "return optim.Sgd", "optim has no 'Sgd'; did you mean 'SGD'?" },
  { "return F.rel", "nn.functional has no 'rel'; did you mean 'relu'?" },
  { "return mg.autograd.grd", "autograd has no 'grd'; did you mean 'grad'?" },
  { "return nn.Linear(1, 2).wieght", "field 'wieght' of Linear does not exist; did you mean 'weight'?" },
  { "return (x * 2).grad_fn.next", "attempt to index a nil value (field 'grad_fn')" },
})

mistakes("'.' for ':'", {
  { "x.sum()", "sum: called on nothing instead of a tensor; methods are called with ':', not '.': x:sum(…)" },
  { "x.add(3, x)", "add: called on 3 instead of a tensor; methods are called with ':', not '.': x:add(…)" },
  { "x.sum(io, 1)", "sum: called on a table instead of a tensor; methods are called with ':', not '.': x:sum(…)" },
  { "x.item()", "item: called on nil instead of a tensor; methods are called with ':', not '.': x:item(…)" },
  { "nn.Linear(3, 2).forward(x)", "forward: expected a module as self, got a tensor of shape [2, 3]; methods are called with ':'" },
})

mistakes("calls and comparisons that Lua reads differently", {
  { "x()", "a tensor was called like a function; index it with x[i] or x[{i, j}], or call one of its methods with x:name()" },
  { "return x{ 1 }", "a tensor was called with a table: x[[1]] is a call in Lua; write x[1], or x[{1, 2}] for several dimensions" },
  { "return x < x", "'<' on tensors cannot give a tensor in Lua; write x:lt(y) (or x:gt(y) for the other direction)" },
  { "return x <= 3", "'<=' on tensors cannot give a tensor in Lua; write x:le(y) (or x:ge(y) for the other direction)" },
})

mistakes("sizes that cannot be", {
  { "mg.zeros(-1)", "zeros: size -1 of dimension 1 is negative" },
  { "mg.zeros(1 << 40, 1 << 40)", "zeros: a tensor of sizes [1099511627776, 1099511627776] has more elements than can be addressed" },
  { "mg.zeros(1 << 62)", "zeros: a tensor of sizes [4611686018427387904] has more elements than can be addressed" },
  { "mg.zeros(1 << 40)", "memory: 4398046511104 bytes asked for…" },
  { "mg.zeros(1e300)", "zeros: argument 1 (size): expected sizes (whole numbers or a list of them), got 1e+300" },
  { "mg.ones(4):view(1 << 62, 4)", "view: a tensor of sizes [4611686018427387904, 4] has more elements than can be addressed" },
  { "mg.ones(3):expand(1 << 62)", "expand: a tensor of sizes [4611686018427387904] has more elements than can be addressed" },
  { "mg.eye(1 << 40)", "eye: a tensor of sizes [1099511627776, 1099511627776] has more elements than can be addressed" },
  { "mg.linspace(0, 1, -1)", "linspace: the number of values, -1, is negative" },
  { "mg.linspace(0, 1, 1 << 50)", "memory: 4503599627370496 bytes asked for…" },
  { "mg.arange(0, 1, 0)", "arange: the step is 0.0" },
  { "mg.arange(1, 0)", "arange: a step of 1.0 does not lead from 1.0 to 0.0" },
  { "mg.arange(0, 1e18)", "arange: 1e+18 elements are more than can be addressed" },
  { "mg.randperm(-1)", "randperm: the count -1 is negative" },
  { "mg.randint(5, 5, { 2 })", "randint: no whole number lies from 5 up to 5" },
  { "x:tile(-1)", "tile: counts must not be negative, got [-1]" },
  { "x:chunk(0)", "chunk: the number of parts must be positive, got 0" },
  { "x:split(-1)", "split: the size of a part must be positive, got -1" },
})

mistakes("in place where it cannot be", {
  { "mg.ones(2, { requires_grad = true }):add_(1)", "add_: …" },
  { "mg.ones(1):expand(3):add_(1)", "add_: cannot write into an expanded tensor of shape [3], whose elements share memory; clone() it first" },
  { "x:add_(mg.ones(5))", "add: shapes [2, 3] and [5] do not broadcast: sizes 3 and 5 meet in dimension 2" },
})

check.case("errors are caught, and the session goes on", function()
  for _ = 1, 100 do pcall(mg.ones, "a") end
  check.elements(mg.ones(2), { 1, 1 })
  local ok, message = pcall(mg.zeros, 1 << 40)
  check.equal(ok, false)
  check.is_true(message:find("bytes", 1, true))
end)

return check.done()

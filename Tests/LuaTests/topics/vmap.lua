-- Functions over batches: vmap, alone and with grad, jvp, jacrev and itself; models over batches of parameters.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, F, func = mg.nn, mg.nn.functional, mg.func
local vmap, grad = func.vmap, func.grad

local message_of, mentions = check.message_of, check.mentions

local function double(values) return mg.tensor(values, { dtype = "float64" }) end
local function near(a, b) check.is_true(mg.allclose(a, b, { atol = 1e-6 })) end

local function curve(x) return (x:exp() * x:sin()):sum() end

check.case("vmap is f over a batch", function()
  local a, b = mg.randn(4, 3, { dtype = "float64" }), mg.randn(4, 3, { dtype = "float64" })
  near(func.vmap(mg.dot)(a, b), (a * b):sum(2))
  near(func.vmap(mg.dot, { in_dims = 2 })(a, b), (a * b):sum(1))
  near(func.vmap(mg.dot, { in_dims = { 1, false } })(a, b[1]), a:mv(b[1]))
  near(func.vmap(func.vmap(mg.mul))(a, b), a * b)
  near(func.vmap(function(x) return x * 2 end, { out_dims = 2 })(a), (a * 2):t())
  local sum, product = func.vmap(function(x, y) return x + y, { p = x * y } end)(a, b)
  near(sum, a + b)
  near(product.p, a * b)
  near(func.vmap(function(t) return t.x:sum() end)({ x = a }), a:sum(2))
  -- Gradients of each sample, and Jacobians of a batch.
  near(func.vmap(func.grad(curve))(a), a:exp() * (a:sin() + a:cos()))
  near(func.vmap(func.jacfwd(mg.sin))(a), a:cos():diag_embed())
  near(func.jacrev(func.vmap(curve))(a):sum(2), a:exp() * (a:sin() + a:cos()))
  local w = double{ 1.0, 2.0, 3.0 }:requires_grad_()
  func.vmap(function(x) return x:dot(w) end)(a):sum():backward()
  near(w.grad, a:sum(1))
  mentions(message_of(func.vmap(mg.dot), a, b[{ { 1, 3 } }]), "3 entries", "4")
  mentions(message_of(func.vmap(mg.sin), mg.tensor(1.0)), "no dimension")
  mentions(message_of(func.vmap(mg.sin, { in_dims = false }), a), "batch")
  mentions(message_of(func.vmap(function() return mg.rand(1) end), a), "randomness")
  local same = func.vmap(function() return mg.rand(1) end, { randomness = "same" })(a)
  check.is_true(same[1]:item() == same[2]:item())
  local different = func.vmap(function() return mg.rand(1) end, { randomness = "different" })(a)
  check.is_true(different[1]:item() ~= different[2]:item())
end)


check.case("the function is called once, and sees one element's shapes", function()
  local calls = 0
  local x = mg.randn(5, 4)
  local y = vmap(function(a)
    calls = calls + 1
    check.equal(table.concat(a.shape, " "), "4")
    check.equal(a:size(1), 4)
    check.equal(a:dim(), 1)
    check.equal(a.ndim, 1)
    check.equal(#a, 4)
    check.equal(a:numel(), 4)
    check.equal(a.dtype, "float32")
    check.is_true(mg.is_tensor(a) and tostring(a):find "batch of 5" ~= nil)
    return a:view(2, 2).T:reshape_as(a) + 1
  end)(x)
  check.equal(calls, 1)
  near(y, x:view(5, 2, 2):transpose(2, 3):reshape(5, 4) + 1)
  near(vmap(function(a) return 2 - a / 4 + a ^ 2 % 3 - -a end)(x), 2 - x / 4 + x ^ 2 % 3 + x)
  near(vmap(function(a) return a:double():float():type_as(a) end)(x), x)
end)

check.case("indexing, reading and writing", function()
  local x = mg.randn(5, 4)
  local places = mg.tensor{ 1, 4, 2, 2, 3 }
  near(vmap(function(a) return a[2] end)(x), x[{ {}, 2 }])
  near(vmap(function(a) return a[{ { 2, 4 } }] end)(x), x[{ {}, { 2, 4 } }])
  near(vmap(function(a) return a[mg.tensor{ 3, 1 }] end)(x), x[{ {}, mg.tensor{ 3, 1 } }])
  near(vmap(function(a, i) return a[i] end)(x, places), x:gather(2, places:unsqueeze(2)):squeeze(2))
  near(vmap(function(a, i) return a[i:unsqueeze(1)] end)(x, places), x:gather(2, places:unsqueeze(2)))
  near(vmap(function(i) return x[i] end)(places), x[places])
  near(vmap(function(a) return a[a:gt(10)] end)(x):sum(), mg.tensor(0.0))
  near(vmap(function(a)
    local b = a:clone()
    b[1] = a[2]
    b[{ { 3, 4 } }] = 0
    b:mul_(2)
    return b
  end)(x), mg.stack({ x[{ {}, 2 }], x[{ {}, 2 }], mg.zeros(5), mg.zeros(5) }, 2) * 2)
  near(vmap(function(a, i)
    local b = mg.zeros_like(a)
    b[i] = 1
    return b
  end)(x, places), F.one_hot(places, 4):float())
  -- What all share cannot take each one's value.
  mentions(message_of(vmap(function(a) local b = mg.zeros(4) b[1] = a[1] return b end), x), "same for all", "zeros_like")
  mentions(message_of(vmap(function(a) return mg.zeros(4):add_(a) end), x), "same for all")
end)

check.case("what looks at values raises", function()
  local x = mg.randn(5, 4)
  for _, f in ipairs {
    function(a) if a:sum():item() > 0 then return a end return -a end,
    function(a) return a:tolist() end,
    function(a) return a:equal(a) and a end,
    function(a) return mg.full({ 2 }, a[1]) end,
    function(a) a:sum():backward() return a end,
    function(a) return a:unique() end,
    function(a) for _ in ipairs(a:nonzero()) do end return a:bincount() end,
  } do
    local message = message_of(vmap(f), x)
    check.is_true(message ~= nil and not message:find "internal" ~= nil, message)
  end
  mentions(message_of(vmap(function(a) return a:sum():item() end), x), "item", "mg.where")
  -- A tensor that outlives its batch is of no use.
  local kept
  vmap(function(a) kept = a return a end)(x)
  mentions(message_of(function() return kept + 1 end), "ended")
  mentions(message_of(function() return kept.shape end), "ended")
  mentions(message_of(mg.add, kept, 1), "ended")
  mentions(message_of(function() return x[kept] end), "ended")
  -- After an error no batch is open.
  near(x + 1, 1 + x)
end)

check.case("random numbers", function()
  local x = mg.ones(3, 6)
  for _, draw in ipairs {
    function() return mg.randn(2) end, function(a) return mg.rand_like(a) end, function(a) return a:bernoulli() end,
    function() return mg.randint(1, 100, { 4 }) end, function(a) return nn.Dropout(0.5)(a) end, function() return mg.randperm(9) end,
    function(a) return a:clone():uniform_() end,
    function(a) return F.dropout(a, 0.5) end, function(a) return F.rrelu(-a, { training = true }) end,
  } do
    mentions(message_of(vmap(draw), x / 2), "randomness")
    local same = vmap(draw, { randomness = "same" })(x / 2)
    check.is_true(same[1]:equal(same[2]) and same[2]:equal(same[3]))
    local different = vmap(draw, { randomness = "different" })(x / 2)
    check.is_true(not (different[1]:equal(different[2]) and different[2]:equal(different[3])))
  end
  near(vmap(function(a) return F.dropout(a, { p = 0.5, training = false }) end)(x), x)
  -- Those of a whole batch are drawn at once, as PyTorch's.
  mg.manual_seed(3)
  local batch = vmap(function() return mg.randn(20) end, { randomness = "different" })(x)
  mg.manual_seed(3)
  check.is_true(batch:equal(mg.randn(3, 20)))
end)

check.case("chunks of a batch give what the whole gives", function()
  local x = mg.randn(7, 3)
  local f = function(a) return a:cumsum(1), { a:sum() } end
  local whole, sums = vmap(f, { out_dims = { 2, 1 } })(x)
  for size = 1, 8 do
    local y, list = vmap(f, { out_dims = { 2, 1 }, chunk_size = size })(x)
    check.is_true(y:equal(whole) and list[1]:equal(sums[1]))
  end
  mentions(message_of(vmap(f, { chunk_size = 0 }), x), "chunk_size")
end)

check.case("gradients of each sample of a model, and ensembles", function()
  mg.manual_seed(1)
  local net = nn.Sequential(nn.Linear(4, 10), nn.Tanh(), nn.Linear(10, 3), nn.LogSoftmax())
  local x, y = mg.randn(5, 4), mg.tensor{ 1, 3, 2, 2, 1 }
  near(vmap(net)(x), net(x))
  local params = {}
  for name, p in net:named_parameters() do params[name] = p:detach() end
  local criterion = nn.NLLLoss()
  local function loss(p, a, b) return criterion(func.functional_call(net, p, a), b) end
  local g, value = vmap(func.grad_and_value(loss), { in_dims = { false, 1, 1 } })(params, x, y)
  for i = 1, 5 do
    local own, own_value = func.grad_and_value(loss)(params, x[i], y[i])
    near(value[i], own_value)
    for name, t in pairs(own) do near(g[name][i], t) end
  end
  local many = {}
  for name, t in pairs(params) do many[name] = mg.stack{ t, t * 2, t * 3 } end
  local outputs = vmap(function(p, a) return func.functional_call(net, p, a) end, { in_dims = { 1, false } })(many, x)
  for k = 1, 3 do
    local p = {}
    for name, t in pairs(params) do p[name] = t * k end
    near(outputs[k], func.functional_call(net, p, x))
  end
  -- The states of several models, stacked.
  local models = {}
  for k = 1, 3 do models[k] = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)):eval() end
  local stacked, buffers = func.stack_module_state(models)
  local ensemble = vmap(function(p, b, a) return func.functional_call(models[1], { p, b }, a) end, { in_dims = { 1, 1, nil } })
  local each_output = ensemble(stacked, buffers, x)
  for k = 1, 3 do near(each_output[k], models[k](x)) end
  check.is_true(stacked["0.weight"].requires_grad and stacked["0.weight"].is_leaf)
  mentions(message_of(func.stack_module_state, { nn.Linear(1, 1), nn.ReLU() }), "model 2")
  mentions(message_of(func.stack_module_state, {}), "list of modules")
  -- The model is as it was.
  for name, p in net:named_parameters() do check.is_true(p:detach():equal(params[name])) end
  -- Modules of scripts.
  local Net = nn.Module "Net"
  function Net:init() self.a = nn.Linear(4, 2) end
  function Net:forward(a) return self.a(a):relu():sum() end
  local m, ps = Net(), {}
  for name, p in m:named_parameters() do ps[name] = p:detach() end
  local each = vmap(grad(function(p, a) return func.functional_call(m, p, a) end), { in_dims = { false, 1 } })(ps, x)
  for i = 1, 5 do
    near(each["a.weight"][i], grad(function(p) return func.functional_call(m, p, x[i]) end)(ps)["a.weight"])
  end
end)

check.case("transforms compose in any order", function()
  local x = mg.randn(3, 4, { dtype = "float64" })
  local A = mg.randn(2, 4, { dtype = "float64" })
  local function f(a) return A:mv(a):tanh():prod() end
  local gradients, hessians = {}, {}
  for i = 1, 3 do
    gradients[i] = grad(f)(x[i])
    hessians[i] = func.jacrev(grad(f), { chunk_size = 1 })(x[i])
  end
  local g, h = mg.stack(gradients), mg.stack(hessians)
  near(vmap(grad(f))(x), g)
  near(grad(function(b) return vmap(f)(b):sum() end)(x), g)
  near(func.jacrev(vmap(f))(x):sum(2), g)
  near(vmap(func.hessian(f))(x), h)
  near(vmap(func.jacrev(func.jacfwd(f)))(x), h)
  near(vmap(func.jacfwd(func.jacrev(f)))(x), h)
  near(vmap(func.jacrev(func.jacrev(f)))(x), h)
  near(vmap(func.jacfwd(func.jacfwd(f)))(x), h)
  near(vmap(grad(function(a) return grad(f)(a):sum() end))(x), h:sum(2))
  near(select(2, func.jvp(vmap(f), x, mg.ones_like(x))), g:sum(2))
  near(vmap(function(a) return (select(2, func.jvp(f, a, mg.ones_like(a)))) end)(x), g:sum(2))
  near(vmap(function(a) local _, product = func.vjp(f, a) return product(mg.ones({}, { dtype = "float64" })) end)(x), g)
  local K = vmap(vmap(mg.dot, { in_dims = { false, 1 } }), { in_dims = { 1, false } })(x, x)
  near(K, x:matmul(x:t()))
  -- A gradient by what all elements share differs from element to element.
  near(vmap(grad(function(w, a) return (w * a):sum() end), { in_dims = { false, 1 } })(A[1], x), x)
  mentions(message_of(vmap(function(a) local w = mg.ones(4, { dtype = "float64" }):requires_grad_() return (mg.autograd.grad((w * a):sum(), w)) end), x), "same for all")
end)

check.case("Jacobians run the function for many rows at once, or one by one where it looks at values", function()
  local x = mg.randn(6, { dtype = "float64" })
  local calls = 0
  local function plain(a) calls = calls + 1 return a:cumsum(1):sin() end
  local function looking(a)
    calls = calls + 1
    return a:sum():item() > 100 and a or a:cumsum(1):sin()
  end
  local expected = func.jacrev(plain, { chunk_size = 1 })(x)
  for _, jacobian in ipairs { func.jacrev, func.jacfwd } do
    calls = 0
    near(jacobian(plain)(x), expected)
    check.is_true(calls <= 2)
    near(jacobian(looking)(x), expected)
    for _, chunk in ipairs { 2, 4, 5, 6, 7 } do near(jacobian(plain, { chunk_size = chunk })(x), expected) end
    mentions(message_of(jacobian(function(a) return a:matmul(mg.ones(3, 3, { dtype = "float64" })) end), x), "matmul")
    -- Several outputs and inputs, in tables, and more results.
    local function several(p, b) return { sum = p.w * b, twice = (p.w * 2):view(3, 2) }, b:sum() end
    local J, more = jacobian(several, { has_aux = true, argnums = { 1, 2 } })({ w = x }, x + 1)
    near(J.sum[1].w, (x + 1):diag())
    near(J.sum[2], x:diag())
    near(J.twice[1].w, (mg.eye(6, { dtype = "float64" }) * 2):view(3, 2, 6))
    near(J.twice[2], mg.zeros(3, 2, 6, { dtype = "float64" }))
    near(more, (x + 1):sum())
    -- A history where the function depends on what requires grad.
    local w = mg.ones(6, { dtype = "float64" }):requires_grad_()
    local K = jacobian(function(a) return a ^ 2 * w end)(x)
    K:sum():backward()
    near(w.grad, 2 * x)
    check.is_true(not jacobian(plain)(x).requires_grad)
  end
end)

return check.done()

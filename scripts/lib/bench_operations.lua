-- Operations beside PyTorch's, in turn and in one run: the ratios of their times. Called by scripts/bench --operations.
--
-- A row is a name and the same expression in both languages; what its variables are is said once for each language, below and in
-- bench_operations.py. With --run this is the part that times ours.

local here = arg[0]:match "^.*/" or "./"
local binary, python = os.getenv "MOONGRAD_BINARY", os.getenv "MOONGRAD_TORCH_PYTHON"
if python == "" then python = nil end

-- name, ours, theirs. x y z are vectors of n floats, d e doubles, k l int64, m a mask, i positions; r s are rows of 100 of n
-- elements, o images (-, 16, 25, 25) of about n elements, p3 those that require grad, f and f3 windows of 3 × 3 for them, lw weights
-- of rows; ri positions in rows, rr positions of rows, rm a mask; g h require grad (h is of rows); q is a square matrix of about
-- n elements; optimizer(name) has ten million parameters (PyTorch's is its fused one).
local rows = {
  { "add", "x + y", "x + y" }, { "mul", "x * y", "x * y" }, { "div", "x / y", "x / y" }, { "add a row", "r + r[1]", "r + r[0]" },
  { "exp", "x:exp()", "x.exp()" }, { "log", "z:log()", "z.log()" }, { "tanh", "x:tanh()", "x.tanh()" },
  { "sigmoid", "x:sigmoid()", "x.sigmoid()" }, { "relu", "x:relu()", "x.relu()" }, { "gelu", "F.gelu(x)", "F.gelu(x)" },
  { "sqrt", "z:sqrt()", "z.sqrt()" }, { "x^3", "x ^ 3", "x ** 3" }, { "abs", "x:abs()", "x.abs()" }, { "x > y", "x:gt(y)", "x > y" },
  { "where", "mg.where(m, x, y)", "torch.where(m, x, y)" }, { "clamp", "x:clamp(-1, 1)", "x.clamp(-1, 1)" },
  { "masked_fill", "x:masked_fill(m, 0)", "x.masked_fill(m, 0)" }, { "add_", "x:add_(y, { alpha = 1e-9 })", "x.add_(y, alpha=1e-9)" },
  { "add float64", "d + e", "d + e" }, { "mul float64", "d * e", "d * e" }, { "exp float64", "d:exp()", "d.exp()" },
  { "tanh float64", "d:tanh()", "d.tanh()" },
  { "add int64", "k + l", "k + l" }, { "mul int64", "k * l", "k * l" }, { "// int64", "k // l", "k // l" }, { "/ int64", "k / l", "k / l" },

  { "sum", "x:sum()", "x.sum()" }, { "sum of rows", "r:sum(2)", "r.sum(1)" }, { "sum of columns", "r:sum(1)", "r.sum(0)" },
  { "sum float64", "d:sum()", "d.sum()" }, { "sum int64", "k:sum()", "k.sum()" }, { "mean", "x:mean()", "x.mean()" },
  { "std of rows", "r:std(2)", "r.std(1)" }, { "max", "x:max()", "x.max()" }, { "argmax of rows", "r:argmax(2)", "r.argmax(1)" },
  { "amax of columns", "r:amax(1)", "r.amax(0)" }, { "amax of rows", "r:amax(2)", "r.amax(1)" }, { "prod of rows", "r:prod(2)", "r.prod(1)" },
  { "norm", "x:norm()", "x.norm()" }, { "any", "m:any()", "m.any()" },
  { "logsumexp of columns", "r:logsumexp(1)", "r.logsumexp(0)" }, { "logsumexp of rows", "r:logsumexp(2)", "r.logsumexp(1)" },
  { "softmax", "r:softmax(2)", "r.softmax(1)" }, { "log_softmax", "r:log_softmax(2)", "r.log_softmax(1)" },
  { "cumsum of rows", "r:cumsum(2)", "r.cumsum(1)" }, { "cumsum", "x:cumsum(1)", "x.cumsum(0)" },

  { "sort", "x:sort()", "x.sort()" }, { "sort rows", "r:sort(2)", "r.sort(1)" }, { "sort int64", "k:sort()", "k.sort()" },
  { "topk", "x:topk(10)", "x.topk(10)" }, { "topk of rows", "r:topk(5, 2)", "r.topk(5, 1)" },
  { "kthvalue", "x:kthvalue(100)", "x.kthvalue(100)" }, { "median", "x:median()", "x.median()" },
  { "unique int64", "k:unique()", "k.unique()" }, { "searchsorted", "mg.searchsorted(v, x)", "torch.searchsorted(v, x)" },

  { "gather", "x:gather(1, i)", "x.gather(0, i)" }, { "gather rows", "r:gather(2, ri)", "r.gather(1, ri)" },
  { "scatter_add", "x:scatter_add(1, i, y)", "x.scatter_add(0, i, y)" }, { "index_select", "x:index_select(1, i)", "x.index_select(0, i)" },
  { "index_select rows", "r:index_select(1, rr)", "r.index_select(0, rr)" }, { "x[i]", "x[i]", "x[i]" },
  { "index_add", "x:index_add(1, i, y)", "x.index_add(0, i, y)" }, { "index_add rows", "r:index_add(1, rr, s)", "r.index_add(0, rr, s)" },
  { "x[m]", "x[m]", "x[m]" }, { "nonzero", "m:nonzero()", "m.nonzero()" },

  { "cat", "mg.cat{ x, y }", "torch.cat((x, y))" }, { "stack", "mg.stack({ x, y }, 2)", "torch.stack((x, y), 1)" },
  { "roll", "x:roll(3)", "x.roll(3)" }, { "flip", "x:flip(1)", "x.flip(0)" }, { "flip rows", "r:flip(2)", "r.flip(1)" },
  { "transposed copy", "r:t():contiguous()", "r.t().contiguous()" }, { "every other", "x[{ { 1, -1, 2 } }]:clone()", "x[::2].clone()" },
  { "tril", "q:tril()", "q.tril()" }, { "repeat", "x:tile(3)", "x.tile(3)" }, { "to float64", "x:double()", "x.double()" },
  { "rand", "mg.rand(n)", "torch.rand(n)" }, { "randn", "mg.randn(n)", "torch.randn(n)" }, { "randperm", "mg.randperm(n)", "torch.randperm(n)" },

  { "relu, backward", "g:relu():sum():backward()", "g.relu().sum().backward()" },
  { "gelu, backward", "F.gelu(g):sum():backward()", "F.gelu(g).sum().backward()" },
  { "silu, backward", "F.silu(g):sum():backward()", "F.silu(g).sum().backward()" },
  { "tanh, backward", "g:tanh():sum():backward()", "g.tanh().sum().backward()" },
  { "x·y, backward", "(g * x):sum():backward()", "(g * x).sum().backward()" },
  { "softmax, backward", "(h:softmax(2) * r):sum():backward()", "(h.softmax(1) * r).sum().backward()" },
  { "mse_loss, backward", "F.mse_loss(g, x):backward()", "F.mse_loss(g, x).backward()" },
  { "gather, backward", "h:gather(2, ri):sum():backward()", "h.gather(1, ri).sum().backward()" },
  { "conv2d", "F.conv2d(o, f, nil, 1, 1)", "F.conv2d(o, f, None, 1, 1)" },
  { "conv2d, backward", "F.conv2d(p3, f3, nil, 1, 1):sum():backward()", "F.conv2d(p3, f3, None, 1, 1).sum().backward()" },
  { "max_pool2d", "F.max_pool2d(o, 2)", "F.max_pool2d(o, 2)" },
  { "max_pool2d, backward", "F.max_pool2d(p3, 2):sum():backward()", "F.max_pool2d(p3, 2).sum().backward()" },
  { "avg_pool2d", "F.avg_pool2d(o, 2)", "F.avg_pool2d(o, 2)" },
  { "avg_pool2d, backward", "F.avg_pool2d(p3, 2):sum():backward()", "F.avg_pool2d(p3, 2).sum().backward()" },
  { "batch_norm", "F.batch_norm(o, nil, nil, nil, nil, true)", "F.batch_norm(o, None, None, None, None, True)" },
  { "batch_norm, backward", "(F.batch_norm(p3, nil, nil, nil, nil, true) * o):sum():backward()",
    "(F.batch_norm(p3, None, None, None, None, True) * o).sum().backward()" },
  { "layer_norm", "F.layer_norm(r, 100, lw, lw)", "F.layer_norm(r, (100,), lw, lw)" },
  { "layer_norm, backward", "(F.layer_norm(h, 100, lw, lw) * r):sum():backward()", "(F.layer_norm(h, (100,), lw, lw) * r).sum().backward()" },
  { "interpolate bilinear", "F.interpolate(o, nil, 2, 'bilinear')", "F.interpolate(o, None, 2, 'bilinear')" },
  { "mean of rows, backward", "h:mean(2):sum():backward()", "h.mean(1).sum().backward()" },
}
-- The same without a size of their own.
local fixed = {
  { "mm 256", "a:mm(b)", "a.mm(b)" }, { "mm 256 float64", "ad:mm(bd)", "ad.mm(bd)" }, { "mm 128 int64", "ak:mm(bk)", "ak.mm(bk)" },
  { "bmm 64×32×32", "c:bmm(c)", "c.bmm(c)" }, { "mv 256", "a:mv(b[1])", "a.mv(b[0])" },
  { "einsum bij,bjk", "mg.einsum('bij,bjk->bik', c, c)", "torch.einsum('bij,bjk->bik', c, c)" },
  { "inv 64", "mg.linalg.inv(w)", "torch.linalg.inv(w)" }, { "solve 64", "mg.linalg.solve(w, w)", "torch.linalg.solve(w, w)" },
  { "cholesky 64", "mg.linalg.cholesky(p)", "torch.linalg.cholesky(p)" }, { "eigh 32", "mg.linalg.eigh(p2)", "torch.linalg.eigh(p2)" },
  { "svd 32", "mg.linalg.svd(p2)", "torch.linalg.svd(p2)" }, { "qr 64", "mg.linalg.qr(w)", "torch.linalg.qr(w)" },
  { "add of 10", "t + t", "t + t" }, { "add of 10, recorded", "u + u", "u + u" },
  { "SGD, 10⁷ parameters", "optimizer('SGD'):step()", "optimizer('SGD').step()" },
  { "Adam, 10⁷ parameters", "optimizer('Adam'):step()", "optimizer('Adam').step()" },
  { "AdamW, 10⁷ parameters", "optimizer('AdamW'):step()", "optimizer('AdamW').step()" },
}

local function variables(n)
  local mg = require "moongrad"
  mg.manual_seed(1)
  local count = n // 100
  local side = math.floor(n ^ 0.5)
  local v = { mg = mg, F = mg.nn.functional, n = n }
  v.x, v.y, v.z = mg.randn(n), mg.randn(n), mg.rand(n) + 0.5
  v.d, v.e = v.x:double(), v.y:double()
  v.k, v.l, v.m = mg.randint(0, 1000, { n }), mg.randint(1, 100, { n }), v.x:gt(0)
  v.i = mg.randint(1, n + 1, { n })
  v.v = mg.randn(1000):sort()
  v.r, v.s = v.x:view(count, 100), v.y:view(count, 100)
  v.ri, v.rr = mg.randint(1, 101, { count, 100 }), mg.randint(1, count + 1, { count })
  v.g, v.h = v.x:clone():requires_grad_(), v.r:clone():requires_grad_()
  v.q = mg.randn(side, side)
  v.o, v.f = mg.randn(math.max(n // 10000, 1), 16, 25, 25), mg.randn(16, 16, 3, 3)
  v.p3, v.f3 = v.o:clone():requires_grad_(), v.f:clone():requires_grad_()
  v.lw = mg.randn(100):requires_grad_()
  v.a, v.b, v.c = mg.randn(256, 256), mg.randn(256, 256), mg.randn(64, 32, 32)
  v.ad, v.bd = v.a:double(), v.b:double()
  v.ak, v.bk = mg.randint(0, 100, { 128, 128 }), mg.randint(0, 100, { 128, 128 })
  v.w = mg.randn(64, 64) + mg.eye(64) * 8
  v.p = v.w:mm(v.w:t())
  v.p2 = v.p[{ { 1, 32 }, { 1, 32 } }]:contiguous()
  v.t = mg.randn(10)
  v.u = v.t:clone():requires_grad_()
  local optimizers = {}
  function v.optimizer(name)
    if not optimizers[name] then
      local p = mg.randn(10000000):requires_grad_()
      p.grad = mg.randn(10000000)
      optimizers[name] = mg.optim[name]({ p }, { lr = 1e-9 })
    end
    return optimizers[name]
  end
  return v
end

-- The time of the best block, in seconds a call, each block about a tenth of `budget`.
local function timed(f, clock, budget)
  f()
  local count, best = 1, math.huge
  while true do
    local start = clock()
    for _ = 1, count do f() end
    local time = clock() - start
    if time > budget / 20 then break end
    count = count * 2
  end
  local stop = clock() + budget
  repeat
    local start = clock()
    for _ = 1, count do f() end
    best = math.min(best, (clock() - start) / count)
  until clock() > stop
  return best
end

if arg[1] == "--run" then
  local n, budget = tonumber(arg[2]), tonumber(arg[3])
  local v, wanted = variables(n), {}
  for name in io.lines(arg[5]) do wanted[name:match "^[^\t]*"] = true end
  for _, row in ipairs(arg[4] == "fixed" and fixed or rows) do
    if not wanted[row[1]] then goto next_row end
    local f = assert(load("local " .. "_ = " .. row[2], row[1], "t", v))
    if row[2]:find "backward" or row[2]:find "_%(" then f = assert(load(row[2], row[1], "t", v)) end
    io.write(("%s\t%.9g\n"):format(row[1], timed(f, v.mg.clock, budget)))
    for _, leaf in ipairs { v.g, v.h, v.p3, v.f3, v.lw } do leaf.grad = nil end
    ::next_row::
  end
  return
end

-- Both, in turn -------------------------------------------------------------------------------------------------------

local sizes, budget, rounds, only = { 10000, 1000000 }, 0.04, 3, nil
for i, word in ipairs(arg) do
  if arg[i - 1] == "--only" then
    only = {}
    for name in word:gmatch "[^;]+" do only[name] = true end
  elseif word == "--quick" then
    budget, rounds = 0.02, 1
  elseif word == "--all" then
    sizes = { 1000, 10000, 100000, 1000000, 10000000 }
  elseif word ~= "--operations" and (word ~= "--only" or not arg[i + 1]) then
    io.stderr:write "usage: scripts/bench --operations [--quick] [--all] [--only NAME;NAME;…]\n"
    os.exit(64)
  end
end

-- The rows of those names; nil for none.
local function chosen(of)
  local list = {}
  for _, row in ipairs(of) do
    if not only or only[row[1]] then list[#list + 1] = row end
  end
  return list[1] and list
end

local function quoted(text) return "'" .. text:gsub("'", [['\'']]) .. "'" end

local list = os.tmpname()
local function write_rows(of)
  local file = assert(io.open(list, "w"))
  for _, row in ipairs(of) do file:write(row[1], "\t", row[3], "\n") end
  file:close()
end

local function collect(times, ...)
  local words = { ... }
  for n, word in ipairs(words) do words[n] = quoted(tostring(word)) end
  local pipe = assert(io.popen(table.concat(words, " ")))
  for line in pipe:lines() do
    local name, time = line:match "^(.-)\t(.*)$"
    times[name] = math.min(times[name] or math.huge, tonumber(time))
  end
  if not pipe:close() then error(("failed: %s"):format(table.concat(words, " ")), 0) end
end

local function shown(seconds) return seconds < 1e-3 and ("%.1f µs"):format(seconds * 1e6) or ("%.2f ms"):format(seconds * 1e3) end

local sum, count, below = 0, 0, {}
local function compare(of, n, title, kind)
  of = chosen(of)
  if not of then return end
  write_rows(of)
  local us, them = {}, {}
  for _ = 1, rounds do
    collect(us, binary, arg[0], "--run", n, budget, kind, list)
    if python then collect(them, python, here .. "../bench_operations.py", list, n, budget) end
  end
  print(("\n%s%s%12s%12s%8s"):format(title, (" "):rep(28 - utf8.len(title)), "Moongrad", "PyTorch", "ratio"))
  for _, row in ipairs(of) do
    local a, b = us[row[1]], them[row[1]]
    local cells = shown(a)
    local line = row[1] .. (" "):rep(28 - utf8.len(row[1])) .. (" "):rep(12 - utf8.len(cells)) .. cells
    if b then
      local ratio = b / a
      sum, count = sum + math.log(ratio), count + 1
      if ratio < 1 then below[#below + 1] = ("%s, %s: %.2f"):format(row[1], title, ratio) end
      cells = shown(b)
      line = line .. (" "):rep(12 - utf8.len(cells)) .. cells .. ("%8.2f"):format(ratio)
    end
    print(line)
  end
end

for _, n in ipairs(sizes) do compare(rows, n, ("%d elements"):format(n), "rows") end
compare(fixed, 10000, "of one size", "fixed")
os.remove(list)
if count > 0 then
  print(("\n%d workloads, geometric mean of PyTorch's time / ours: %.2f; below 1: %d"):format(count, math.exp(sum / count), #below))
  for _, line in ipairs(below) do print("  " .. line) end
end

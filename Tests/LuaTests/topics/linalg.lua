-- Linear algebra: what decompositions are, what is refused, and derivatives where signs are free. Values are PyTorch 2.15's.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local L = mg.linalg
local gradcheck, gradgradcheck = mg.autograd.gradcheck, mg.autograd.gradgradcheck

local message_of, mentions = check.message_of, check.mentions

local function double(rows) return mg.tensor(rows, { dtype = "float64", requires_grad = true }) end
local function near(a, b) check.is_true(mg.allclose(a, b, { atol = 1e-6 })) end

local wide = { { 2.0, -1.0, 0.5 }, { 1.0, 3.0, 0.25 } }
local regular = { { 2.0, -1.0, 0.5 }, { 1.0, 3.0, -0.5 }, { 0.25, 1.0, -2.0 } }

check.case("decompositions multiply to what they are of", function()
  mg.manual_seed(1)
  for _, size in ipairs{ { 4, 4 }, { 5, 3 }, { 3, 5 }, { 2, 3, 4, 3 }, { 1, 1 }, { 0, 3 }, { 3, 0 } } do
    local a = mg.randn(size, { dtype = "float64" })
    local q, r = L.qr(a)
    near(q:matmul(r), a)
    local u, s, vh = L.svd(a, false)
    near((u * s:unsqueeze(-2)):matmul(vh), a)
    near(L.svdvals(a), s)
    local p, l, upper = L.lu(a)
    near(p:matmul(l):matmul(upper), a)
    near(a:matmul(L.pinv(a)):matmul(a), a)
    local full = L.svd(a)
    check.equal(full.shape[#full.shape], size[#size - 1])
    local square = L.qr(a, "complete")
    check.equal(square.shape[#square.shape], size[#size - 1])
  end
  local a = mg.randn(3, 5, 5, { dtype = "float64" })
  local s = a:matmul(a:transpose(-2, -1)) + mg.eye(5, { dtype = "float64" })
  local c = L.cholesky(s)
  near(c:matmul(c:transpose(-2, -1)), s)
  near(L.cholesky(s, { upper = true }), c:transpose(-2, -1))
  local values, vectors = L.eigh(s)
  near((vectors * values:unsqueeze(-2)):matmul(vectors:transpose(-2, -1)), s)
  near(L.eigvalsh(s), values)
  near(L.inv(s):matmul(s), mg.eye(5, { dtype = "float64" }):expand(3, 5, 5))
  near(L.det(s), values:prod(-1))
  near(mg.logdet(s), values:log():sum(-1))
  near(mg.cholesky_solve(mg.eye(5, { dtype = "float64" }):expand(3, 5, 5), c), s:inverse())
  near(L.matrix_exp(s * 0.1), (vectors * (values * 0.1):exp():unsqueeze(-2)):matmul(vectors:transpose(-2, -1)))
  near(s:matrix_power(-2), s:inverse():matmul(s:inverse()))
end)

check.case("a line through points, by least squares", function()
  local x = mg.tensor{ 0.0, 1.0, 2.0, 3.0 }
  local a = mg.stack({ x, mg.ones(4) }, 2)
  local solution, residuals, rank = L.lstsq(a, mg.tensor{ { 1.0 }, { 3.0 }, { 5.0 }, { 7.0 } })
  near(solution:flatten(), mg.tensor{ 2.0, 1.0 })
  check.equal({ residuals:numel(), rank:item() }, { 0, 2 })
  _, residuals = L.lstsq(a, mg.tensor{ { 1.0 }, { 3.0 }, { 5.0 }, { 8.0 } }, { driver = "gelsd" })
  near(residuals, mg.tensor{ 0.3 })
  -- Of many solutions the shortest.
  near(L.lstsq(mg.tensor{ { 1.0, 1.0 } }, mg.tensor{ { 2.0 } })[1], mg.tensor{ 1.0 })
  check.equal(L.matrix_rank(mg.tensor{ { 1.0, 2.0 }, { 2.0, 4.0 } }):item(), 1)
end)

check.case("norms", function()
  local a = mg.tensor{ { 1.0, -2.0 }, { 3.0, 4.0 } }
  check.close(L.norm(a):item(), 30 ^ 0.5, 1e-6)
  check.close(L.norm(a, 1):item(), 6, 1e-6)
  check.close(L.norm(a, mg.inf):item(), 7, 1e-6)
  check.close(L.norm(a, "nuc"):item(), L.svdvals(a):sum():item(), 1e-6)
  check.close(L.norm(a, 2):item(), L.svdvals(a)[1]:item(), 1e-6)
  check.close(L.norm(a, -2):item(), L.svdvals(a)[2]:item(), 1e-6)
  check.close(L.vector_norm(a, 3):item(), (1 + 8 + 27 + 64) ^ (1 / 3), 1e-6)
  check.elements(L.norm(a, nil, 1), { 10 ^ 0.5, 20 ^ 0.5 })
  check.equal(#L.matrix_norm(a, "fro", { 1, 2 }, true).shape, 2)
  check.close(L.cond(mg.tensor{ { 3.0, 0.0 }, { 0.0, 1.0 } }):item(), 3, 1e-6)
  check.close(L.cond(mg.tensor{ { 3.0, 0.0 }, { 0.0, 1.0 } }, 1):item(), 3, 1e-6)
end)

check.case("derivatives where signs are free, and by all columns", function()
  check.is_true(gradcheck(function(a)
    local u, s, vh = L.svd(a, false)
    return u:square(), s, vh:square()
  end, { double(wide) }))
  check.is_true(gradcheck(function(a)
    local u, s, vh = L.svd(a)
    return u:square(), s, vh[{ { 1, 2 } }]:square()
  end, { double(wide) }))
  check.is_true(gradgradcheck(function(a)
    local u, _, vh = L.svd(a, false)
    return u:square():sum() * vh[1]:square()
  end, { double(wide) }))
  check.is_true(gradcheck(L.cond, { double(regular), 1 }))
  check.is_true(gradcheck(L.cond, { double(regular), "fro" }))
  check.is_true(gradcheck(function(a) return L.matrix_exp(a * 3) end, { double(regular) }))
  check.is_true(gradgradcheck(L.det, { double(regular) }))
end)

check.case("the determinant of a singular matrix has a gradient", function()
  local a = double{ { 1.0, 2.0 }, { 2.0, 4.0 } }
  L.det(a):backward()
  near(a.grad, mg.tensor({ { 4.0, -2.0 }, { -2.0, 1.0 } }, { dtype = "float64" }))
  local zero = double{ { 0.0, 0.0 }, { 0.0, 0.0 } }
  L.det(zero):backward()
  check.elements(zero.grad:flatten(), { 0, 0, 0, 0 })
end)

check.case("what cannot be is refused in one sentence", function()
  local singular = mg.tensor{ { 1.0, 2.0 }, { 2.0, 4.0 } }
  mentions(message_of(L.inv, singular), "linalg.inv", "singular")
  mentions(message_of(L.solve, mg.stack({ mg.eye(2), singular }, 1), mg.ones(2)), "matrix 2 of the batch", "singular")
  mentions(message_of(L.cholesky, -mg.eye(2)), "linalg.cholesky", "positive-definite", "order 1")
  mentions(message_of(L.inv, mg.ones(2, 3)), "square", "[2, 3]")
  mentions(message_of(L.inv, mg.ones(3)), "[3]")
  mentions(message_of(L.inv, mg.eye(2, { dtype = "int64" })), "int64")
  mentions(message_of(L.inv, mg.eye(2, { dtype = "float16" })), "float16")
  mentions(message_of(L.solve, mg.eye(2), mg.ones(3)), "linalg.solve", "2 unknowns", "[3, 1]")
  mentions(message_of(L.solve_triangular, mg.eye(2), mg.ones(2, 1)), "upper")
  mentions(message_of(L.svd, mg.tensor{ { 0 / 0, 1.0 }, { 1.0, 1.0 } }), "linalg.svd", "NaN")
  mentions(message_of(L.qr, mg.eye(2), "all"), "mode", "all")
  mentions(message_of(L.norm, mg.ones(2), "fro"), "fro")
  check.is_true(L.eigvalsh(mg.full({ 2, 2 }, 0 / 0)):isnan():all():item())
  local x = L.solve_triangular(mg.tensor{ { 1.0, 2.0 }, { 0.0, 0.0 } }, mg.ones(2, 1), { upper = true })
  check.is_true(x[2]:item() == mg.inf)
  -- A result of a decomposition that is written to is missed by its gradient.
  local a = double(regular)
  local q, r = L.qr(a)
  q:add_(1)
  mentions(message_of(function() r:sum():backward() end), "LinalgQrBackward0", "in-place")
end)

check.case("spectra of matrices of every sort and size: their product is the matrix, and their vectors are orthonormal", function()
  local function orthonormal(q, tolerance) return (q.mT:matmul(q) - mg.eye(q.shape[2]):to(q.dtype)):abs():max():item() < tolerance end
  local function holds(value, what, ...) if not value then error(what:format(...), 0) end end
  local kinds = {
    random = function(m, n) return mg.randn(m, n, { dtype = "float64" }) end,
    zero = function(m, n) return mg.zeros(m, n, { dtype = "float64" }) end,
    identity = function(m, n) return mg.eye(m, n):double() end,
    ofRankOne = function(m, n) return mg.arange(1, m + 1):double():outer(mg.arange(1, n + 1):double()) end,
    graded = function(m, n) return mg.randn(m, n, { dtype = "float64" }) * mg.logspace(0, -12, n):double() end,
    repeated = function(m, n) return mg.eye(m, n):double() + 1e-9 * mg.randn(m, n, { dtype = "float64" }) end,
    tiny = function(m, n) return mg.randn(m, n, { dtype = "float64" }) * 1e-30 end,
    huge = function(m, n) return mg.randn(m, n, { dtype = "float64" }) * 1e30 end,
    nilpotent = function(m, n) return mg.randn(m, n, { dtype = "float64" }):triu(1) end,
  }
  for name, make in pairs(kinds) do
    for _, dtype in ipairs{ "float32", "float64" } do
      local epsilon = dtype == "float32" and 1.2e-7 or 2.3e-16
      -- Both sides of the size from which LAPACK does it.
      for _, size in ipairs{ { 1, 1 }, { 2, 2 }, { 3, 5 }, { 5, 3 }, { 17, 16 }, { 40, 40 }, { 20, 128 }, { 128, 128 }, { 129, 129 }, { 130, 7 } } do
        local m, n = size[1], size[2]
        local a = make(m, n):to(dtype)
        local scale, most = a:abs():max():item(), 60 * epsilon * math.sqrt(m * n)
        for _, full in ipairs{ false, true } do
          local u, s, vh = mg.linalg.svd(a, full)
          local k = math.min(m, n)
          local back = (u:narrow(2, 1, k) * s):matmul(vh:narrow(1, 1, k))
          holds((back - a):abs():max():item() <= most * scale, "svd of %s, %d × %d, %s", name, m, n, dtype)
          holds(orthonormal(u, most) and orthonormal(vh.mT, most), "vectors of %s, %d × %d, %s", name, m, n, dtype)
          check.is_true(s[-1]:item() >= 0 and (k == 1 or s:diff():max():item() <= 0))
        end
        if m == n then
          local b = a + a.mT
          local values, v = mg.linalg.eigh(b)
          holds(((v * values):matmul(v.mT) - b):abs():max():item() <= 2 * most * scale, "eigh of %s, %d, %s", name, n, dtype)
          check.is_true(orthonormal(v, most) and (n == 1 or values:diff():min():item() >= 0))
        end
      end
    end
  end
  -- Every matrix of a batch, of which one triangle is read.
  local batch = mg.randn(5, 9, 9)
  batch = batch + batch.mT
  local values, vectors = mg.linalg.eigh(batch:tril())
  for i = 1, 5 do
    local one = mg.linalg.eigh(batch[i])
    check.is_true((values[i] - one):abs():max():item() < 1e-5)
    check.is_true(((vectors[i] * values[i]):matmul(vectors[i].mT) - batch[i]):abs():max():item() < 1e-5)
  end
end)

return check.done()

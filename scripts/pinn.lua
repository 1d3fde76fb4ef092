-- A physics-informed net (Raissi, Perdikaris and Karniadakis, 2019): the heat equation, solved by training.
--
--     scripts/moongrad scripts/pinn.lua            -- 3,000 steps
--     scripts/moongrad scripts/pinn.lua --quick    -- 150
--
-- A rod from x = 0 to x = 1, whose ends are kept cold, begins as warm as sin(πx) and cools down:
--
--     ∂u/∂t = a ∂²u/∂x²,   u(x, 0) = sin(πx),   u(0, t) = u(1, t) = 0,   with a = 0.2
--
-- A net is to be u. No solution is ever shown to it: its loss is how far it is from obeying the equation, at points all over the
-- plane, and from the values at the borders. The derivatives of the net by its inputs come from autograd, which records how
-- it computes them (create_graph), so that the loss made of them can be differentiated by the weights in turn. The exact
-- solution, u = exp(-a π² t) sin(πx), is only used at the end, to see how good the net is.

local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

local steps = arg[1] == "--quick" and 150 or 3000
local a = 0.2

mg.manual_seed(0)
local net = nn.Sequential(
  nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
local function u(x, t) return net(mg.cat({ x, t }, 2)) end

-- How a result that has one value for each point changes with one of its inputs; a tensor that can be differentiated again.
local function derivative(of, by)
  return mg.autograd.grad(of, by, { grad_outputs = mg.ones_like(of), create_graph = true })
end

-- Points inside, at which the equation must hold, and points of the borders, where the values are known.
local x, t = mg.rand(500, 1, { requires_grad = true }), mg.rand(500, 1, { requires_grad = true })
local x_start, t_ends = mg.rand(100, 1), mg.rand(100, 1)

local function losses()
  local inside = u(x, t)
  local u_t, u_x = derivative(inside, t), derivative(inside, x)
  local u_xx = derivative(u_x, x)
  local equation = (u_t - a * u_xx):pow(2):mean()
  local start = (u(x_start, mg.zeros_like(x_start)) - mg.sin(math.pi * x_start)):pow(2):mean()
  local ends = (u(mg.zeros_like(t_ends), t_ends):pow(2) + u(mg.ones_like(t_ends), t_ends):pow(2)):mean()
  return equation, start, ends
end

print(net)
local opt = optim.Adam(net:parameters(), { lr = 5e-3 })
local schedule = optim.lr_scheduler.CosineAnnealingLR(opt, { T_max = steps })
local started = mg.clock()
print "\n step   equation   at t = 0   at the ends"
for step = 1, steps do
  local equation, start, ends = losses()
  opt:zero_grad(); (equation + 10 * (start + ends)):backward(); opt:step(); schedule:step()
  if step == 1 or step % (steps // 6) == 0 then
    print(("%5d   %.2e   %.2e      %.2e"):format(step, equation:item(), start:item(), ends:item()))
  end
end
io.stderr:write(("(%.1f s)\n"):format(mg.clock() - started))

-- The net beside the exact solution, along the rod, at four times.
local _ <close> = mg.no_grad()
local function exact(x, t) return mg.exp(-a * math.pi ^ 2 * t) * mg.sin(math.pi * x) end
local along = mg.linspace(0, 1, 6):unsqueeze(2)
print "\n              x = 0      0.2      0.4      0.6      0.8        1"
for _, time in ipairs { 0, 0.25, 0.5, 1 } do
  local now = mg.full_like(along, time)
  for _, row in ipairs { { "net", u(along, now) }, { "exact", exact(along, now) } } do
    local name, values = table.unpack(row)
    print(("t = %.2f  %-5s"):format(time, name) .. ("%9.4f"):rep(#values):format(table.unpack(values:flatten():tolist())))
  end
end

-- And everywhere, on a grid.
local axis = mg.linspace(0, 1, 101)
local gx, gt = table.unpack(mg.meshgrid({ axis, axis }, { indexing = "ij" }))
gx, gt = gx:reshape(-1, 1), gt:reshape(-1, 1)
local wanted = exact(gx, gt)
local off = u(gx, gt) - wanted
print(("\nrelative error in the plane: %.5f; largest error: %.5f"):format((off:norm() / wanted:norm()):item(), off:abs():max():item()))

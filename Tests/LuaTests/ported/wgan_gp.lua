-- A Wasserstein net that learns a ring of eight points, its critic's gradient held at 1 by a penalty: derivatives of derivatives.
local mg = require "moongrad"
local nn, optim, autograd = mg.nn, mg.optim, mg.autograd

local DIM, LATENT, LAMBDA, CRITIC_ITERS, BATCH_SIZE = 32, 2, 0.1, 3, 32

local Generator = nn.Module "Generator"
function Generator:init()
  self.main = nn.Sequential(nn.Linear(LATENT, DIM), nn.ReLU(true), nn.Linear(DIM, DIM), nn.ReLU(true), nn.Linear(DIM, 2))
end
function Generator:forward(noise) return self.main(noise) end

local Discriminator = nn.Module "Discriminator"
function Discriminator:init()
  self.main = nn.Sequential(nn.Linear(2, DIM), nn.ReLU(true), nn.Linear(DIM, DIM), nn.ReLU(true), nn.Linear(DIM, 1))
end
function Discriminator:forward(inputs) return self.main(inputs):view(-1) end

local function eight_gaussians()
  local angles = mg.randint(0, 8, { BATCH_SIZE }) * (2 * math.pi / 8)
  local centers = mg.stack({ mg.cos(angles), mg.sin(angles) }, { dim = 2 })
  return 2 * centers + 0.02 * mg.randn(BATCH_SIZE, 2)
end

local function calc_gradient_penalty(netD, real_data, fake_data)
  local alpha = mg.rand(BATCH_SIZE, 1)
  alpha = alpha:expand(real_data:size())
  local interpolates = alpha * real_data + (1 - alpha) * fake_data
  interpolates:requires_grad_(true)
  local disc_interpolates = netD(interpolates)
  local gradients = autograd.grad(disc_interpolates, interpolates,
    { grad_outputs = mg.ones(disc_interpolates:size()), create_graph = true, retain_graph = true, only_inputs = true })
  return ((gradients:norm(2, { dim = 2 }) - 1) ^ 2):mean() * LAMBDA
end

mg.manual_seed(1)
local netG, netD = Generator(), Discriminator()
local optimizerD = optim.Adam(netD:parameters(), { lr = 1e-3, betas = { 0.5, 0.9 } })
local optimizerG = optim.Adam(netG:parameters(), { lr = 1e-3, betas = { 0.5, 0.9 } })
for iteration = 1, 15 do
  for p in netD:parameters() do p.requires_grad = true end
  local D_cost, Wasserstein_D, gradient_penalty
  for _ = 1, CRITIC_ITERS do
    local real = eight_gaussians()
    netD:zero_grad()
    local D_real = netD(real):mean()
    local noise = mg.randn(BATCH_SIZE, LATENT)
    local fake = mg.no_grad(function() return netG(noise) end)
    local D_fake = netD(fake):mean()
    gradient_penalty = calc_gradient_penalty(netD, real, fake)
    D_cost = D_fake - D_real + gradient_penalty
    D_cost:backward()
    Wasserstein_D = D_real - D_fake
    optimizerD:step()
  end

  for p in netD:parameters() do p.requires_grad = false end            -- to avoid computation
  netG:zero_grad()
  local G = netD(netG(mg.randn(BATCH_SIZE, LATENT))):mean()
  local G_cost = -G
  G_cost:backward()
  optimizerG:step()
  print(("%d %.9g %.9g %.9g %.9g"):format(
    iteration, D_cost:item(), Wasserstein_D:item(), gradient_penalty:item(), G_cost:item()))
end

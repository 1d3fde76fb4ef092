-- A generative adversarial net of digits, as in PyTorch's example `dcgan`: transposed convolutions against strided ones.
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

local scripts = (arg[0]:match "^.*/" or "./") .. "../../../scripts/"
local nz, ngf, ndf, batch_size = 10, 8, 8, 16

local function weights_init(m)
  local classname = m._name
  if classname:find "Conv" then
    nn.init.normal_(m.weight, 0.0, 0.02)
  elseif classname:find "BatchNorm" then
    nn.init.normal_(m.weight, 1.0, 0.02)
    nn.init.zeros_(m.bias)
  end
end

local Generator = nn.Module "Generator"
function Generator:init()
  self.main = nn.Sequential(
    nn.ConvTranspose2d(nz, ngf * 2, 2, 1, 0, { bias = false }),        -- (ngf * 2) × 2 × 2
    nn.BatchNorm2d(ngf * 2),
    nn.ReLU(true),
    nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, { bias = false }),       -- ngf × 4 × 4
    nn.BatchNorm2d(ngf),
    nn.ReLU(true),
    nn.ConvTranspose2d(ngf, 1, 4, 2, 1, { bias = false }),             -- 1 × 8 × 8
    nn.Tanh()
  )
end
function Generator:forward(input) return self.main(input) end

local Discriminator = nn.Module "Discriminator"
function Discriminator:init()
  self.main = nn.Sequential(
    nn.Conv2d(1, ndf, 4, 2, 1, { bias = false }),                      -- ndf × 4 × 4
    nn.LeakyReLU(0.2, { inplace = true }),
    nn.Conv2d(ndf, ndf * 2, 4, 2, 1, { bias = false }),                -- (ndf * 2) × 2 × 2
    nn.BatchNorm2d(ndf * 2),
    nn.LeakyReLU(0.2, { inplace = true }),
    nn.Conv2d(ndf * 2, 1, 2, 1, 0, { bias = false }),
    nn.Sigmoid()
  )
end
function Discriminator:forward(input) return self.main(input):view(-1, 1):squeeze(2) end

local pixels = dofile(scripts .. "lib/digits.lua").read(scripts .. "data/digits.csv", batch_size * 20)
pixels = pixels:view(-1, 1, 8, 8) / 8 - 1

mg.manual_seed(999)
local netG = Generator()
netG:apply(weights_init)
local netD = Discriminator()
netD:apply(weights_init)
local criterion = nn.BCELoss()
local real_label, fake_label = 1.0, 0.0
local optimizerD = optim.Adam(netD:parameters(), { lr = 0.0002, betas = { 0.5, 0.999 } })
local optimizerG = optim.Adam(netG:parameters(), { lr = 0.0002, betas = { 0.5, 0.999 } })

for step, real in ipairs(pixels:split(batch_size)) do
  -- The discriminator: maximize log(D(x)) + log(1 - D(G(z))).
  netD:zero_grad()
  local label = mg.full({ batch_size }, real_label)
  local output = netD(real)
  local errD_real = criterion(output, label)
  errD_real:backward()
  local D_x = output:mean():item()

  local noise = mg.randn(batch_size, nz, 1, 1)
  local fake = netG(noise)
  label:fill_(fake_label)
  output = netD(fake:detach())
  local errD_fake = criterion(output, label)
  errD_fake:backward()
  local D_G_z1 = output:mean():item()
  local errD = errD_real + errD_fake
  optimizerD:step()

  -- The generator: maximize log(D(G(z))).
  netG:zero_grad()
  label:fill_(real_label)
  output = netD(fake)
  local errG = criterion(output, label)
  errG:backward()
  local D_G_z2 = output:mean():item()
  optimizerG:step()
  print(("%d %.9g %.9g %.9g %.9g %.9g"):format(step, errD:item(), errG:item(), D_x, D_G_z1, D_G_z2))
end

-- A variational autoencoder of digits, as in PyTorch's example `vae`: reconstruction and divergence summed, Adam.
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local scripts = (arg[0]:match "^.*/" or "./") .. "../../../scripts/"

local VAE = nn.Module "VAE"
function VAE:init()
  self.fc1 = nn.Linear(64, 40)
  self.fc21 = nn.Linear(40, 5)
  self.fc22 = nn.Linear(40, 5)
  self.fc3 = nn.Linear(5, 40)
  self.fc4 = nn.Linear(40, 64)
end
function VAE:encode(x)
  local h1 = F.relu(self.fc1(x))
  return self.fc21(h1), self.fc22(h1)
end
function VAE:reparameterize(mu, logvar)
  local std = mg.exp(0.5 * logvar)
  local eps = mg.randn_like(std)
  return mu + eps * std
end
function VAE:decode(z)
  local h3 = F.relu(self.fc3(z))
  return mg.sigmoid(self.fc4(h3))
end
function VAE:forward(x)
  local mu, logvar = self:encode(x:view(-1, 64))
  local z = self:reparameterize(mu, logvar)
  return self:decode(z), mu, logvar
end

local function loss_function(recon_x, x, mu, logvar)
  local BCE = F.binary_cross_entropy(recon_x, x:view(-1, 64), { reduction = "sum" })
  local KLD = -0.5 * mg.sum(1 + logvar - mu:pow(2) - logvar:exp())
  return BCE + KLD
end

local pixels = dofile(scripts .. "lib/digits.lua").read(scripts .. "data/digits.csv", 256) / 16

mg.manual_seed(1)
local model = VAE()
local optimizer = optim.Adam(model:parameters(), { lr = 1e-3 })
for epoch = 1, 3 do
  model:train()
  for step, rows in ipairs(mg.randperm(256):split(32)) do
    optimizer:zero_grad()
    local recon_batch, mu, logvar = model(pixels[rows])
    local loss = loss_function(recon_batch, pixels[rows], mu, logvar)
    loss:backward()
    optimizer:step()
    print(("train %d %d %.9g"):format(epoch, step, loss:item() / #rows))
  end
  local sample = mg.no_grad(function() return model:decode(mg.randn(8, 5)) end)
  print(("sample %d %.9g %.9g"):format(epoch, sample:mean():item(), sample:std():item()))
end

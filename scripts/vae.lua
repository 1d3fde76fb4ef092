-- A variational autoencoder (Kingma and Welling, 2013): eight numbers that say what a handwritten digit looks like.
--
--     scripts/moongrad scripts/vae.lua            -- 60 epochs
--     scripts/moongrad scripts/vae.lua --quick    -- 3
--
-- The encoder says where in a space of eight dimensions a picture lies, and how sure it is: a normal distribution. The decoder
-- makes a picture of a point. Both are trained to raise a lower bound of how likely the pictures are (the ELBO): how
-- well a picture is made again from a point drawn near it, less what the encoder's distributions tell beyond a standard
-- normal one, so that points drawn from that make pictures too.

local mg = require "moongrad"
local digits = require "lib.digits"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local here = arg[0]:match "^.*/" or "./"
local epochs, batch = arg[1] == "--quick" and 3 or 60, 64

local VAE = nn.Module "VAE"
function VAE:init(n_pixels, n_hidden, n_latent)
  self.encoder  = nn.Sequential(nn.Linear(n_pixels, n_hidden), nn.ReLU())
  self.mean     = nn.Linear(n_hidden, n_latent)
  self.log_var  = nn.Linear(n_hidden, n_latent)
  self.decoder  = nn.Sequential(nn.Linear(n_latent, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_pixels))
  self.n_latent = n_latent
end
function VAE:encode(x)
  local hidden = self.encoder(x)
  return self.mean(hidden), self.log_var(hidden)
end
-- Pixels as logits: their sigmoids are from 0 to 1.
function VAE:decode(z) return self.decoder(z) end
function VAE:forward(x)
  local mean, log_var = self:encode(x)
  -- A point of the distribution as a function of its parameters, so that gradients reach them.
  local z = mean + (log_var / 2):exp() * mg.randn_like(mean)
  return self:decode(z), mean, log_var
end

-- The two parts of the bound, in nats, summed over the pictures: the likelihood of the pixels, and the Kullback-Leibler
-- divergence of the normal distributions from the standard one.
local function bound(net, x)
  local logits, mean, log_var = net(x)
  local likelihood = -F.binary_cross_entropy_with_logits(logits, x, { reduction = "sum" })
  local divergence = -0.5 * (1 + log_var - mean ^ 2 - log_var:exp()):sum()
  return likelihood, divergence
end

mg.manual_seed(0)
local pixels, labels = digits.read(here .. "data/digits.csv")
local learn, test = digits.hold_out(pixels / 16, labels)
local count = #learn.pixels

local net = VAE(64, 256, 8)
local opt = optim.Adam(net:parameters(), { lr = 2e-3 })
print(net)

local started = mg.clock()
print "\nepoch   ELBO learned   held out  = likelihood - divergence    (nats for each picture)"
for epoch = 1, epochs do
  local total = 0
  for _, rows in ipairs(mg.randperm(count):split(batch)) do
    local likelihood, divergence = bound(net, learn.pixels[rows])
    local elbo = likelihood - divergence
    opt:zero_grad(); (-elbo / #rows):backward(); opt:step()
    total = total + elbo:item()
  end
  if epoch == 1 or epoch == epochs or epoch % 10 == 0 then
    local likelihood, divergence = mg.no_grad(bound, net, test.pixels)
    likelihood, divergence = likelihood:item() / #test.pixels, divergence:item() / #test.pixels
    print(("%5d   %12.2f   %8.2f    %10.2f   %10.2f"):format(epoch, total / count, likelihood - divergence, likelihood, divergence))
  end
end
io.stderr:write(("(%.1f s)\n"):format(mg.clock() - started))

-- What it makes of points.
local _ <close> = mg.no_grad()
local function pictures(z) return digits.picture(net:decode(z):sigmoid()) end

local some = test.pixels[{ { 1, 5 } }]
local places = net:encode(some)
print "\nheld-out digits:"
print(digits.picture(some))
print "\nthe same, made again from eight numbers each:"
print(pictures(places))
print "\nnew ones, from points drawn at random:"
print(pictures(mg.randn(5, net.n_latent)))

-- From one held-out digit to another, along a straight line.
local ones, zeros = test.pixels[test.labels:eq(2)], test.pixels[test.labels:eq(1)]
local from, to = net:encode(zeros[1]), net:encode(ones[1])
print "\nfrom a 0 to a 1:"
print(pictures(mg.lerp(from, to, mg.linspace(0, 1, 5):unsqueeze(2))))

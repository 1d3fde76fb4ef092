-- Reading handwritten digits with a convolutional net, which sees strokes wherever they are.
--
--     scripts/moongrad scripts/digits_cnn.lua            -- 30 epochs
--     scripts/moongrad scripts/digits_cnn.lua --quick    -- 3
--
-- scripts/digits.lua shows a net of two linear layers what a pixel is, one place at a time. Here three convolutions are trained
-- on pictures that are moved by up to a pixel, so that no place is special, and the held-out pictures that are
-- still misread are shown.

local mg = require "moongrad"
local digits = require "lib.digits"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local here = arg[0]:match "^.*/" or "./"
local epochs, batch = arg[1] == "--quick" and 3 or 30, 64

-- A convolution that keeps the size, normalised over the batch.
local function block(from, to)
  return nn.Conv2d(from, to, 3, { padding = 1, bias = false }), nn.BatchNorm2d(to), nn.ReLU()
end

local Net = nn.Module "Net"
function Net:init()
  self.fine    = nn.Sequential(block(1, 32))        -- 32 × 8 × 8
  self.coarse  = nn.Sequential(block(32, 64))       -- 64 × 4 × 4, after pooling
  self.whole   = nn.Sequential(block(64, 64))       -- 64 × 4 × 4
  self.drop    = nn.Dropout(0.3)
  self.predict = nn.Linear(64 * 2 * 2, 10)
end
function Net:forward(x)
  x = F.max_pool2d(self.fine(x), 2)
  x = F.max_pool2d(self.whole(self.coarse(x)), 2)
  return self.predict(self.drop(x:flatten(2)))
end

-- Pictures [n, 1, 8, 8], each moved by up to one pixel up or down and left or right; what comes in at an edge is empty. Rows and
-- columns to take from the padded pictures are index tensors, which broadcast to [n, 1, 8, 8].
local function moved(pictures)
  local n, eight = #pictures, mg.arange(0, 8)
  local which  = mg.arange(1, n + 1):view(n, 1, 1, 1)
  local row    = mg.randint(1, 4, { n, 1, 1, 1 }) + eight:view(8, 1)
  local column = mg.randint(1, 4, { n, 1, 1, 1 }) + eight
  return F.pad(pictures, { 1, 1, 1, 1 })[{ which, mg.ones(1, { dtype = "int64" }), row, column }]
end

-- What the net takes each picture for, outside of training.
local function read(net, pictures)
  net:eval()
  local labels = mg.no_grad(function() return net(pictures):argmax(2) end)
  net:train()
  return labels
end

mg.manual_seed(0)
local pixels, labels = digits.read(here .. "data/digits.csv")
local learn, test = digits.hold_out(pixels:view(-1, 1, 8, 8) / 16, labels)
local count = #learn.pixels
local steps = (count + batch - 1) // batch          -- in an epoch

local net = Net()
local opt = optim.AdamW(net:parameters(), { lr = 1e-2, weight_decay = 1e-2 })
local schedule = optim.lr_scheduler.OneCycleLR(opt, { max_lr = 1e-2, total_steps = epochs * steps })
print(net)

local started = mg.clock()
print "\nepoch     loss   held out"
for epoch = 1, epochs do
  local order, total = mg.randperm(count), 0
  for first = 1, count, batch do
    local rows = order[{ { first, math.min(first + batch - 1, count) } }]
    local loss = F.cross_entropy(net(moved(learn.pixels[rows])), learn.labels[rows])
    opt:zero_grad(); loss:backward(); opt:step()
    schedule:step()
    total = total + loss:item() * #rows
  end
  if epoch % 3 == 0 then
    local right = read(net, test.pixels):eq(test.labels):float():mean():item()
    print(("%5d  %7.4f   %6.2f %%"):format(epoch, total / count, 100 * right))
  end
end
io.stderr:write(("(%.1f s)\n"):format(mg.clock() - started))

-- The pictures that it misreads. A label is the digit and 1.
local found = read(net, test.pixels)
local wrong = found:ne(test.labels):nonzero():flatten()
print(("\n%d of %d held-out digits misread:"):format(#wrong, #found))
if #wrong > 0 then
  local shown, titles = wrong[{ { 1, math.min(5, #wrong) } }], {}
  for i, place in ipairs(shown:tolist()) do
    titles[i] = ("a %d, read as %d"):format(test.labels[place]:item() - 1, found[place]:item() - 1)
  end
  print(digits.picture(test.pixels[shown], titles))
end
print(("\nheld-out digits read right: %.2f %%"):format(100 * (1 - #wrong / #found)))

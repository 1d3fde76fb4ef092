-- A very small GPT: a transformer that learns to write by predicting the next character.
--
--     scripts/moongrad scripts/tiny_gpt.lua            -- 1,000 steps
--     scripts/moongrad scripts/tiny_gpt.lua --quick    -- 100
--
-- scripts/char_gru.lua hands what it has read from character to character in one state. Here every character looks back at all
-- before it (causal attention) and picks by itself what matters. All parts are there, made of linear layers: embeddings of
-- characters and places, heads of attention, layers between, a residual stream that each adds to, and logits at its end.

local mg = require "moongrad"
local characters = require "lib.characters"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local here = arg[0]:match "^.*/" or "./"
local steps = arg[1] == "--quick" and 100 or 1000
local batch, context = 16, 64
local width, heads, depth = 64, 4, 2

-- Attention. Each place asks a question (query) of all places up to itself, which offer an answer (value) under a heading (key):
-- it gets the mean of the answers, weighted by how well headings and question fit. Each head does so in its own part of the width.
local Attention = nn.Module "Attention"
function Attention:init()
  self.qkv = nn.Linear(width, 3 * width)
  self.out = nn.Linear(width, width)
end
function Attention:forward(x)
  local n, length = x:size(1), x:size(2)
  local function split(part) return part:view(n, length, heads, width // heads):transpose(2, 3) end  -- [n, heads, length, size]
  local q, k, v = table.unpack(self.qkv(x):chunk(3, 3))
  local y = F.scaled_dot_product_attention(split(q), split(k), split(v), { is_causal = true })
  return self.out(y:transpose(2, 3):reshape(n, length, width))
end

-- A block adds to the stream what attention finds elsewhere, and then what a net of two layers makes of each place.
local Block = nn.Module "Block"
function Block:init()
  self.norm1 = nn.LayerNorm(width)
  self.attention = Attention()
  self.norm2 = nn.LayerNorm(width)
  self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
end
function Block:forward(x)
  x = x + self.attention(self.norm1(x))
  return x + self.mlp(self.norm2(x))
end

local GPT = nn.Module "GPT"
function GPT:init(symbols)
  self.token  = nn.Embedding(symbols, width)
  self.place  = nn.Embedding(context, width)
  self.blocks = nn.Sequential()
  for _ = 1, depth do self.blocks:append(Block()) end
  self.norm   = nn.LayerNorm(width)
  self.head   = nn.Linear(width, symbols, { bias = false })
  self:apply(function(m)
    if nn.is(m, nn.Linear) or nn.is(m, nn.Embedding) then nn.init.normal_(m.weight, 0, 0.02) end
    if nn.is(m, nn.Linear) and m.bias then nn.init.zeros_(m.bias) end
  end)
  self.head.weight = self.token.weight              -- one matrix reads characters and writes them
end
-- Numbers of characters [n, length]; scores of the next one at every place [n, length, symbols].
function GPT:forward(ids)
  local places = mg.arange(1, ids:size(2) + 1)
  return self.head(self.norm(self.blocks(self.token(ids) + self.place(places))))
end

mg.manual_seed(0)
local text = characters.read(here .. "data/alice.txt")
local net = GPT(text.count)
local count = 0
for p in net:parameters() do count = count + p:numel() end
print(("%d parameters in %d blocks of %d heads; %d characters of text, %d of them different"):format(
  count, depth, heads, #text.ids, text.count))

-- Weights decay, but neither biases nor the scales of norms do: they have one dimension.
local decaying, others = {}, {}
for p in net:parameters() do table.insert(p.ndim > 1 and decaying or others, p) end
local opt = optim.AdamW({ { params = decaying, weight_decay = 0.1 }, { params = others, weight_decay = 0 } },
  { lr = 6e-3, betas = { 0.9, 0.99 } })
-- The rate rises for a fifth of the steps, and falls along a cosine.
local schedule = optim.lr_scheduler.LambdaLR(opt, function(step)
  local warm = steps / 5
  return step < warm and (step + 1) / warm or 0.05 + 0.475 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
end)

-- A character is worth log2(count) bits where nothing is known, and the fewer the better it is foreseen.
local started = mg.clock()
local sum, most = 0, math.log(text.count, 2)
print "\n  step  bits per character"
for step = 1, steps do
  local x, y = characters.sample(text.ids, batch, context)
  local loss = F.cross_entropy(net(x):flatten(1, 2), y:flatten())
  opt:zero_grad(); loss:backward()
  nn.utils.clip_grad_norm_(net:parameters(), 1)
  opt:step(); schedule:step()
  sum = sum + loss:item() / math.log(2)
  local every = steps // 20
  if step % every == 0 then
    print(("%6d  %5.2f %s"):format(step, sum / every, ("█"):rep(math.floor(60 * sum / every / most))))
    sum = 0
  end
end
io.stderr:write(("(%.1f s)\n"):format(mg.clock() - started))

-- Writing: one of the likelier characters is drawn, and read again with what came before it.
local function write(beginning, length, temperature)
  local _ <close> = mg.no_grad()
  local ids = text.encode(beginning)
  for _ = 1, length do
    local window = mg.tensor { table.move(ids, math.max(1, #ids - context + 1), #ids, 1, {}) }
    local scores = net(window)[{ 1, -1 }] / temperature
    local best, places = scores:topk(10)
    ids[#ids + 1] = places[mg.multinomial(best:softmax(1), 1)]:item()
  end
  return text.decode(ids)
end
for _, beginning in ipairs { "Alice ", "The rabbit", "Down, " } do
  print("\n" .. characters.wrapped(write(beginning, 200, 0.8), 100, "  "))
end

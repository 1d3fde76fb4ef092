-- Learning to write, one character after the other, with a gated recurrent net.
--
--     scripts/moongrad scripts/char_gru.lua            -- 600 steps
--     scripts/moongrad scripts/char_gru.lua --quick    -- 60
--
-- The net reads a character, keeps what it needs of it in its state, and says how likely each character is to be next. From time
-- to time it is asked to write: a character is drawn from what it says, and is what it reads next. First come letters as
-- frequent as in the text (the beginning of Alice's Adventures in Wonderland), then words, then sentences.

local mg = require "moongrad"
local characters = require "lib.characters"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

local here = arg[0]:match "^.*/" or "./"
local steps = arg[1] == "--quick" and 60 or 600
local batch, length = 16, 64

local Writer = nn.Module "Writer"
function Writer:init(symbols, size)
  self.embed   = nn.Embedding(symbols, 32)
  self.gru     = nn.GRU(32, size, { batch_first = true })
  self.predict = nn.Linear(size, symbols)
end
-- Numbers of characters [batch, length], and the state so far or nil; scores [batch, length, symbols] and the new state.
function Writer:forward(ids, state)
  local output, last = self.gru(self.embed(ids), state)
  return self.predict(output), last
end

mg.manual_seed(0)
local text = characters.read(here .. "data/alice.txt")
local net = Writer(text.count, 128)
local opt = optim.Adam(net:parameters(), { lr = 4e-3 })
local schedule = optim.lr_scheduler.CosineAnnealingLR(opt, { T_max = steps })
print(net)
print(("%d characters of text, %d of them different"):format(#text.ids, text.count))

-- Writes `count` characters after a beginning. Scores divided by a temperature below 1 make the likely likelier.
local function write(beginning, count, temperature)
  local _ <close> = mg.no_grad()
  local ids = text.encode(beginning)
  local scores, state = net(mg.tensor { ids })
  for _ = 1, count do
    local odds = F.softmax(scores[{ 1, -1 }] / temperature, { dim = 1 })
    local id = mg.multinomial(odds, 1)
    ids[#ids + 1] = id:item()
    scores, state = net(id:view(1, 1), state)
  end
  return text.decode(ids)
end

-- A character is worth log2(count) bits where nothing is known, and the fewer the better it is foreseen.
local started = mg.clock()
local average = math.log(text.count)
for step = 1, steps do
  local x, y = characters.sample(text.ids, batch, length)
  local loss = F.cross_entropy(net(x):flatten(1, 2), y:flatten())
  opt:zero_grad(); loss:backward()
  nn.utils.clip_grad_norm_(net:parameters(), 1)
  opt:step(); schedule:step()
  average = 0.95 * average + 0.05 * loss:item()
  if step % (steps // 6) == 0 then
    print(("\nstep %d: %.2f bits per character"):format(step, average / math.log(2)))
    print(characters.wrapped(write("Alice ", 140, 0.6), 100, "  "))
  end
end
io.stderr:write(("(%.1f s)\n"):format(mg.clock() - started))

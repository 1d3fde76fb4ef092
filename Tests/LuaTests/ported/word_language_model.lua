-- A language model of words, as in PyTorch's example `word_language_model`: two layers of LSTM through truncated time.
--
-- The text is the opening of Herman Melville's Moby-Dick (1851), which is in the public domain.
local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional

local TEXT = [[call me ishmael . some years ago never mind how long precisely having little or no money in my purse and nothing
particular to interest me on shore i thought i would sail about a little and see the watery part of the world . it is a way
i have of driving off the spleen and regulating the circulation . whenever i find myself growing grim about the mouth whenever
it is a damp drizzly november in my soul whenever i find myself involuntarily pausing before coffin warehouses and bringing up
the rear of every funeral i meet and especially whenever my hypos get such an upper hand of me that it requires a strong moral
principle to prevent me from deliberately stepping into the street and methodically knocking people's hats off then i account
it high time to get to sea as soon as i can . this is my substitute for pistol and ball . with a philosophical flourish cato
throws himself upon his sword i quietly take to the ship . there is nothing surprising in this . if they but knew it almost
all men in their degree some time or other cherish very nearly the same feelings towards the ocean with me .]]

-- Words count from 1.
local dictionary = { word2idx = {}, idx2word = {} }
function dictionary:add_word(word)
  if not self.word2idx[word] then
    table.insert(self.idx2word, word)
    self.word2idx[word] = #self.idx2word
  end
  return self.word2idx[word]
end

local RNNModel = nn.Module "RNNModel"
function RNNModel:init(ntoken, ninp, nhid, nlayers, dropout)
  self.ntoken, self.nhid, self.nlayers = ntoken, nhid, nlayers
  self.drop = nn.Dropout(dropout)
  self.encoder = nn.Embedding(ntoken, ninp)
  self.rnn = nn.LSTM(ninp, nhid, nlayers, { dropout = dropout })
  self.decoder = nn.Linear(nhid, ntoken)
  self.decoder.weight = self.encoder.weight                            -- the two are tied
  self:init_weights()
end
function RNNModel:init_weights()
  local initrange = 0.1
  nn.init.uniform_(self.encoder.weight, -initrange, initrange)
  nn.init.zeros_(self.decoder.bias)
  nn.init.uniform_(self.decoder.weight, -initrange, initrange)
end
function RNNModel:forward(input, h, c)
  local emb = self.drop(self.encoder(input))
  local output
  output, h, c = self.rnn(emb, h, c)
  output = self.drop(output)
  local decoded = self.decoder(output)
  decoded = decoded:view(-1, self.ntoken)
  return F.log_softmax(decoded, { dim = 2 }), h, c
end
function RNNModel:init_hidden(bsz)
  local weight = self:parameters()[1]
  return weight:new_zeros(self.nlayers, bsz, self.nhid), weight:new_zeros(self.nlayers, bsz, self.nhid)
end

local function batchify(data, bsz)
  local nbatch = data:size(1) // bsz
  data = data:narrow(1, 1, nbatch * bsz)
  return data:view(bsz, -1):t():contiguous()
end

-- Times from `i` on, and what comes one time later.
local function get_batch(source, i, bptt)
  local seq_len = math.min(bptt, #source - i)
  return source[{ { i, i + seq_len - 1 } }], source[{ { i + 1, i + seq_len } }]:view(-1)
end

local ids = {}
for word in TEXT:gmatch "%S+" do ids[#ids + 1] = dictionary:add_word(word) end
ids = mg.tensor(ids)
local ntokens, batch_size, bptt, clip, lr = #dictionary.idx2word, 4, 12, 0.25, 20.0

mg.manual_seed(1111)
local train_data = batchify(ids, batch_size)
local model = RNNModel(ntokens, 24, 24, 2, 0.2)
local criterion = nn.NLLLoss()
for epoch = 1, 6 do
  model:train()
  local h, c = model:init_hidden(batch_size)
  local batch = 0
  for i = 1, #train_data - 1, bptt do
    batch = batch + 1
    local data, targets = get_batch(train_data, i, bptt)
    model:zero_grad()
    h, c = h:detach(), c:detach()
    local output
    output, h, c = model(data, h, c)
    local loss = criterion(output, targets)
    loss:backward()
    local norm = nn.utils.clip_grad_norm_(model:parameters(), clip)
    for p in model:parameters() do p.data:add_(p.grad, { alpha = -lr }) end
    print(("%d %d %.9g %.9g"):format(epoch, batch, loss:item(), norm:item()))
  end
  lr = lr / 1.5
end

-- What it makes of the text: a word drawn from each distribution is the next input.
model:eval()
local h, c = model:init_hidden(1)
local input = mg.randint(ntokens, { 1, 1 }, { dtype = "int64" }) + 1
mg.no_grad(function()
  for position = 1, 8 do
    local output
    output, h, c = model(input, h, c)
    local word_weights = output:squeeze():div(1.0):exp()
    local word_idx = mg.multinomial(word_weights, 1)[1]
    input:fill_(word_idx)
    print(("word %d %s"):format(position, dictionary.idx2word[word_idx:item()]))
  end
end)

-- A language model of words by a transformer, as in PyTorch's example `word_language_model`: masked attention, places as waves.
--
-- The text is Abraham Lincoln's address at Gettysburg (1863), which is in the public domain.
local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional

local TEXT = [[four score and seven years ago our fathers brought forth on this continent a new nation conceived in liberty and dedicated
to the proposition that all men are created equal . now we are engaged in a great civil war testing whether that nation or any
nation so conceived and so dedicated can long endure . we are met on a great battle-field of that war . we have come to dedicate
a portion of that field as a final resting place for those who here gave their lives that that nation might live . it is
altogether fitting and proper that we should do this . but in a larger sense we can not dedicate we can not consecrate we can not
hallow this ground . the brave men living and dead who struggled here have consecrated it far above our poor power to add or
detract . the world will little note nor long remember what we say here but it can never forget what they did here . it is for us
the living rather to be dedicated here to the unfinished work which they who fought here have thus far so nobly advanced . it is
rather for us to be here dedicated to the great task remaining before us that from these honored dead we take increased devotion
to that cause for which they gave the last full measure of devotion that we here highly resolve that these dead shall not have
died in vain that this nation under god shall have a new birth of freedom and that government of the people by the people for
the people shall not perish from the earth .]]

local PositionalEncoding = nn.Module "PositionalEncoding"
function PositionalEncoding:init(d_model, dropout, max_len)
  max_len = max_len or 64
  self.dropout = nn.Dropout{ p = dropout }
  local pe = mg.zeros(max_len, d_model)
  local position = mg.arange(0, max_len, { dtype = "float32" }):unsqueeze(2)
  local div_term = mg.exp(mg.arange(0, d_model, 2):float() * (-math.log(10000.0) / d_model))
  pe[{ {}, { 1, -1, 2 } }] = mg.sin(position * div_term)
  pe[{ {}, { 2, -1, 2 } }] = mg.cos(position * div_term)
  pe = pe:unsqueeze(1):transpose(1, 2)
  self:register_buffer("pe", pe)
end
function PositionalEncoding:forward(x)
  x = x + self.pe[{ { 1, x:size(1) }, {} }]
  return self.dropout(x)
end

local TransformerModel = nn.Module "TransformerModel"
function TransformerModel:init(ntoken, ninp, nhead, nhid, nlayers, dropout)
  self.src_mask = nil
  self.ninp = ninp
  self.pos_encoder = PositionalEncoding(ninp, dropout)
  local encoder_layers = nn.TransformerEncoderLayer(ninp, nhead, nhid, dropout)
  self.transformer_encoder = nn.TransformerEncoder(encoder_layers, nlayers)
  self.input_emb = nn.Embedding(ntoken, ninp)
  self.decoder = nn.Linear(ninp, ntoken)
  self:init_weights()
end
function TransformerModel:_generate_square_subsequent_mask(sz) return mg.log(mg.tril(mg.ones(sz, sz))) end
function TransformerModel:init_weights()
  local initrange = 0.1
  nn.init.uniform_(self.input_emb.weight, -initrange, initrange)
  nn.init.zeros_(self.decoder.bias)
  nn.init.uniform_(self.decoder.weight, -initrange, initrange)
end
function TransformerModel:forward(src, has_mask)
  if has_mask ~= false then
    if self.src_mask == nil or self.src_mask:size(1) ~= #src then
      self.src_mask = self:_generate_square_subsequent_mask(#src)
    end
  else
    self.src_mask = nil
  end
  src = self.input_emb(src) * math.sqrt(self.ninp)
  src = self.pos_encoder(src)
  local output = self.transformer_encoder(src, { mask = self.src_mask })
  output = self.decoder(output)
  return F.log_softmax(output, { dim = -1 })
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

local word2idx, ntokens, ids = {}, 0, {}
for word in TEXT:gmatch "%S+" do
  if not word2idx[word] then
    ntokens = ntokens + 1
    word2idx[word] = ntokens
  end
  ids[#ids + 1] = word2idx[word]
end
ids = mg.tensor(ids)
local batch_size, bptt, clip, lr = 4, 14, 0.25, 5.0

mg.manual_seed(1111)
local train_data = batchify(ids, batch_size)
local model = TransformerModel(ntokens, 16, 2, 32, 2, 0.2)
local criterion = nn.NLLLoss()
for epoch = 1, 4 do
  model:train()
  local batch = 0
  for i = 1, #train_data - 1, bptt do
    batch = batch + 1
    local data, targets = get_batch(train_data, i, bptt)
    model:zero_grad()
    local output = model(data)
    output = output:view(-1, ntokens)
    local loss = criterion(output, targets)
    loss:backward()
    nn.utils.clip_grad_norm_(model:parameters(), clip)
    for p in model:parameters() do p.data:add_(p.grad, { alpha = -lr }) end
    print(("train %d %d %.9g"):format(epoch, batch, loss:item()))
  end
  model:eval()
  local total_loss = 0.0
  mg.no_grad(function()
    for i = 1, #train_data - 1, bptt do
      local data, targets = get_batch(train_data, i, bptt)
      local output = model(data):view(-1, ntokens)
      total_loss = total_loss + #data * criterion(output, targets):item()
    end
  end)
  print(("test %d %.9g"):format(epoch, total_loss / (#train_data - 1)))
end

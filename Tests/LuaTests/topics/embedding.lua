-- Tables of vectors: what lookups refuse, bags, and tables that are given.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional

local table_ = nn.Embedding(10, 3, { padding_idx = 1 })

check.case("entries count from 1", function()
  check.elements(table_(mg.tensor { 1 }), { { 0, 0, 0 } })
  check.raises("Embedding: entry 11 is not one of the 10 entries of the table", table_, mg.tensor { 11 })
  check.raises("Embedding: index 0 is out of range: entries start at 1", table_, mg.tensor { 0 })
  check.raises("Embedding: padding_idx 6 is not one of the 5 entries", nn.Embedding, 5, 3, { padding_idx = 6 })
  check.raises("Embedding: there are no sparse gradients; leave sparse out", nn.Embedding, 5, 3, { sparse = true })
end)

check.case("the function takes the table as an argument", function()
  local weight = mg.tensor { { 1., 2 }, { 3, 4 } }
  check.elements(F.embedding(mg.tensor { 2, 1 }, weight), { { 3, 4 }, { 1, 2 } })
  check.elements(F.embedding_bag(mg.tensor { 1, 2, 2 }, weight, mg.tensor { 1, 3 }, { mode = "sum" }), { { 4, 6 }, { 3, 4 } })
end)

check.case("bags begin where offsets say", function()
  local bag = nn.EmbeddingBag.from_pretrained(mg.tensor { { 1., 2 }, { 3, 4 } }, { mode = "sum" })
  check.elements(bag(mg.tensor { 1, 2, 2 }, mg.tensor { 1, 2, 4 }), { { 1, 2 }, { 6, 8 }, { 0, 0 } })
  check.elements(bag(mg.tensor { 1, 2 }, mg.tensor { 1 }, mg.tensor { 2., -1 }), { { -1, 0 } })
  check.raises("EmbeddingBag: a vector of entries needs offsets, the positions at which bags begin", bag, mg.tensor { 1, 2 })
  check.raises("EmbeddingBag: the first offset must be 1, got 2", bag, mg.tensor { 1, 2 }, mg.tensor { 2 })
  check.raises("EmbeddingBag: offset 5 lies behind the 2 entries", bag, mg.tensor { 1, 2 }, mg.tensor { 1, 5 })
end)

check.case("tables that are given stay as they are unless asked", function()
  local given = mg.tensor { { 1., 2 }, { 3, 4 } }
  local fixed = nn.Embedding.from_pretrained(given)
  check.equal(fixed.weight.requires_grad, false)
  check.is_true(nn.is(fixed, nn.Embedding))
  check.equal(tostring(fixed), "Embedding(2, 2)")
  check.is_true(nn.Embedding.from_pretrained(given, { freeze = false }).weight.requires_grad)
  given[1] = 7
  check.elements(fixed(mg.tensor { 1 }), { { 7, 7 } })
  check.raises("Embedding.from_pretrained: argument 1: expected vectors, a tensor (entries, width), got 5", nn.Embedding.from_pretrained, 5)
end)

check.case("rows that are looked up are scaled down to max_norm", function()
  local weight = mg.tensor { { 3., 4 }, { 0.3, 0.4 }, { 6, 8 } }
  F.embedding(mg.tensor { 1, 2 }, weight, { max_norm = 1 })
  check.close(weight, mg.tensor { { 0.6, 0.8 }, { 0.3, 0.4 }, { 6, 8 } }, 1e-6)
end)

check.case("tables of no width have gradients", function()
  local empty = nn.Embedding(5, 0)
  empty(mg.tensor { 1, 2 }):sum():backward()
  check.equal(empty.weight.grad.shape, { 5, 0 })
end)

check.case("tables of a batch, and batches of entries", function()
  local tables = mg.randn(3, 4, 2)
  local entries = mg.tensor { { 1, 4 }, { 2, 2 }, { 3, 1 } }
  local found = mg.func.vmap(function(weight, i) return F.embedding(i, weight) end)(tables, entries)
  for i = 1, 3 do check.equal(found[i], F.embedding(entries[i], tables[i])) end
end)

return check.done()

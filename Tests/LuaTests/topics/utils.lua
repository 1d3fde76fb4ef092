-- nn.utils and the losses that are written in Lua: what they compute, and what they refuse.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, F = mg.nn, mg.nn.functional
local utils, rnn = nn.utils, nn.utils.rnn

local function leaf(values, grad)
  local x = mg.tensor(values, { requires_grad = true })
  x.grad = grad and mg.tensor(grad)
  return x
end

check.case("what is frozen is not counted, nor limited", function()
  for _, limit in ipairs {
    function(list) check.close(utils.clip_grad_norm_(list, 1.0), 5) end,
    function(list) utils.clip_grads_with_norm_(list, 1, mg.tensor(5.0)) end,
    function(list) utils.clip_grad_value_(list, 1) end,
  } do
    local trained, frozen = leaf({ 1.0, 1.0 }, { 3.0, 4.0 }), leaf { 1.0, 1.0 }
    frozen.requires_grad = false
    frozen.grad = mg.tensor{ 1e6, -1e6 }
    limit{ frozen, trained }
    check.elements(frozen.grad, { 1e6, -1e6 })
    check.is_true(trained.grad:norm():item() < 1.5)
  end
end)

check.case("norms of gradients are limited", function()
  local a, b, c = leaf({ 1.0, 1.0 }, { 3.0, 0.0 }), leaf({ 1.0 }, { 4.0 }), leaf{ 1.0 }
  local total = utils.clip_grad_norm_({ a, b, c }, 1.0)
  check.close(total, 5)
  check.close(a.grad, mg.tensor{ 3 / 5.000001, 0.0 })
  check.close(b.grad, mg.tensor{ 4 / 5.000001 })
  check.close(utils.clip_grad_norm_({ a, b }, 10), mg.tensor(1.0), 1e-5)
  check.close(b.grad, mg.tensor{ 4 / 5.000001 })
  check.close(utils.get_total_norm({ mg.tensor{ 3.0 }, mg.tensor{ -5.0, 1.0 } }, mg.inf), 5)
  check.close(utils.get_total_norm({ mg.tensor{ 3.0 }, mg.tensor{ -5.0, 1.0 } }, { norm_type = 1 }), 9)
  b.grad = mg.tensor{ 8.0 }
  utils.clip_grads_with_norm_({ b }, 2, mg.tensor(4.0))
  check.close(b.grad, mg.tensor{ 4.0 }, 1e-5)
  utils.clip_grad_value_({ a, b, c }, 0.5)
  check.elements(b.grad, { 0.5 })
  b.grad = mg.tensor{ mg.inf }
  check.rejects("nn.utils.clip_grad_norm_({ x }, 1, { error_if_nonfinite = true })",
    "clip_grad_norm_: the norm of order 2.0 of the gradients is inf; pass error_if_nonfinite = false to go on", b)
  check.rejects("nn.utils.clip_grad_value_({ x }, -1)", "clip_grad_value_: clip_value must be a number that is not negative, got -1.0", b)
  check.rejects("nn.utils.clip_grad_norm_(x, 1)", "clip_grad_norm_: argument 1 (parameters): expected a list of tensors, got a tensor of shape [1]", b)
  check.rejects("local _ = nn.utils.clip_grad_norm", "nn.utils has no 'clip_grad_norm'; did you mean 'clip_grad_norm_'?")
  local net = nn.Linear(2, 2)
  net(mg.ones(1, 2)):sum():backward()
  check.close(utils.clip_grad_norm_(net:parameters(), 1), mg.tensor(6 ^ 0.5), 1e-5)
  check.equal(utils.get_total_norm({}):item(), 0.0)
end)

check.case("parameters as a vector", function()
  local net = nn.Linear(2, 3)
  local vector = utils.parameters_to_vector(net:parameters())
  check.equal(vector:size(1), 9)
  check.is_true(vector.requires_grad)
  utils.vector_to_parameters(mg.arange(9):float(), net:parameters())
  check.elements(net.weight, { { 0, 1 }, { 2, 3 }, { 4, 5 } })
  check.elements(net.bias, { 6, 7, 8 })
  check.rejects("nn.utils.vector_to_parameters(mg.ones(3), { x })", "vector_to_parameters: a vector of 1 elements is needed, got shape [3]", leaf{ 1.0 })
end)

check.case("sequences are filled up and cut again", function()
  local a, b = leaf{ { 1.0, 2.0 }, { 3.0, 4.0 } }, leaf{ { 5.0, 6.0 } }
  local padded = rnn.pad_sequence({ b, a }, { batch_first = true, padding_value = -1 })
  check.elements(padded, { { { 5, 6 }, { -1, -1 } }, { { 1, 2 }, { 3, 4 } } })
  check.elements(rnn.pad_sequence({ b, a }), { { { 5, 6 }, { 1, 2 } }, { { 0, 0 }, { 3, 4 } } })
  check.elements(rnn.pad_sequence({ b, a }, true, 0, "left"), { { { 0, 0 }, { 5, 6 } }, { { 1, 2 }, { 3, 4 } } })
  local cut = rnn.unpad_sequence(padded, { 1, 2 }, true)
  check.elements(cut[1], { { 5, 6 } })
  check.elements(cut[2], { { 1, 2 }, { 3, 4 } })
  padded:sum():backward()
  check.elements(b.grad, { { 1, 1 } })
  check.rejects("nn.utils.rnn.pad_sequence{}", "pad_sequence: expected a list of sequences, got a table")
  check.rejects("nn.utils.rnn.pad_sequence{ mg.ones(2, 3), mg.ones(2) }",
    "pad_sequence: sequences may differ in their first size only, but sequence 2 has sizes () after it, and the first (3)")
  check.rejects("nn.utils.rnn.unpad_sequence(mg.ones(2, 1), { 3 })", "unpad_sequence: length 1 is 3, but the sequences have 2 elements")
end)

check.case("packed sequences", function()
  -- As in PyTorch's documentation.
  local padded = leaf{ { 1.0, 2.0, 0.0 }, { 3.0, 0.0, 0.0 }, { 4.0, 5.0, 6.0 } }
  local packed = rnn.pack_padded_sequence(padded, { 2, 1, 3 }, { batch_first = true, enforce_sorted = false })
  check.elements(packed.data, { 4, 1, 3, 5, 2, 6 })
  check.elements(packed.batch_sizes, { 3, 2, 1 })
  check.elements(packed.sorted_indices, { 3, 1, 2 })
  check.elements(packed.unsorted_indices, { 2, 3, 1 })
  local again, lengths = rnn.pad_packed_sequence(packed, { batch_first = true })
  check.elements(again, { { 1, 2, 0 }, { 3, 0, 0 }, { 4, 5, 6 } })
  check.elements(lengths, { 2, 1, 3 })
  local wide = rnn.pad_packed_sequence(packed, { total_length = 4, padding_value = 9 })
  check.elements(wide, { { 1, 3, 4 }, { 2, 9, 5 }, { 9, 9, 6 }, { 9, 9, 9 } })
  packed.data:sum():backward()
  check.elements(padded.grad, { { 1, 1, 0 }, { 1, 0, 0 }, { 1, 1, 1 } })
  local sequences = { mg.tensor{ 4.0, 5.0, 6.0 }, mg.tensor{ 1.0, 2.0 }, mg.tensor{ 3.0 } }
  packed = rnn.pack_sequence(sequences)
  check.elements(packed.data, { 4, 1, 3, 5, 2, 6 })
  check.equal(packed.sorted_indices, nil)
  local back = rnn.unpack_sequence(packed)
  for i, x in ipairs(sequences) do check.is_true(back[i]:equal(x)) end
  check.rejects("nn.utils.rnn.pack_sequence{ mg.ones(1), mg.ones(2) }",
    "pack_padded_sequence: lengths must fall, but number 2 is longer than the one before; pass enforce_sorted = false to have them sorted")
  check.rejects("nn.utils.rnn.pad_packed_sequence(3)", "pad_packed_sequence: expected a PackedSequence, got 3")
  check.rejects("nn.utils.rnn.pad_packed_sequence(x, { total_length = 2 })",
    "pad_packed_sequence: total_length must be at least the longest sequence's 3, got 2", packed)
end)

check.case("a distance of one's own", function()
  local a, p, n = leaf{ { 1.0, 0.0 } }, mg.tensor{ { 0.0, 1.0 } }, mg.tensor{ { 1.0, 1.0 } }
  check.close(F.triplet_margin_with_distance_loss(a, p, n), F.triplet_margin_loss(a, p, n))
  local function taxi(x, y) return (x - y):abs():sum(2) end
  check.close(F.triplet_margin_with_distance_loss(a, p, n, { distance_function = taxi, margin = 0.5 }), 1.5)
  local loss = nn.TripletMarginWithDistanceLoss{ distance_function = taxi, margin = 0.5, swap = true, reduction = "sum" }
  check.close(loss(a, p, n), 1.5)
  check.rejects("F.triplet_margin_with_distance_loss(x, x, x, { margin = 0 })", "triplet_margin_with_distance_loss: margin must be above 0, got 0", a)
  check.rejects("F.triplet_margin_with_distance_loss(x, x)", "triplet_margin_with_distance_loss: argument 3: expected a tensor, got nil", a)
end)

check.case("labels that are not aligned", function()
  mg.manual_seed(0)
  local x = mg.randn(6, 2, 4, { requires_grad = true })
  local logp = F.log_softmax(x, 3)
  -- Blanks are class 1.
  local targets = mg.tensor{ { 2, 3 }, { 4, 4 } }
  local loss = nn.CTCLoss()(logp, targets, { 6, 5 }, { 2, 2 })
  check.close(loss, F.ctc_loss(logp, mg.tensor{ 2, 3, 4, 4 }, { 6, 5 }, { 2, 2 }))
  loss:backward()
  check.is_true(x.grad:sum(3):abs():max():item() < 1e-5)
  check.is_true(x.grad:abs():max():item() > 1e-2)
  -- Two labels that are the same need a blank between them.
  check.equal(F.ctc_loss(logp:narrow(1, 1, 2), targets, { 2, 2 }, { 2, 2 }, { reduction = "none" })[2]:item(), mg.inf)
  check.equal(nn.CTCLoss{ reduction = "none", zero_infinity = true }(logp:narrow(1, 1, 2), targets, { 2, 2 }, { 2, 2 })[2]:item(), 0.0)
  check.rejects("F.ctc_loss(x, mg.tensor{ { 2 }, { 1 } }, { 6, 6 }, { 1, 1 })", "ctc_loss: label 1 is the blank, which targets do not have", logp)
  check.rejects("F.ctc_loss(x, mg.tensor{ { 2 }, { 5 } }, { 6, 6 }, { 1, 1 })", "ctc_loss: label 5 is not one of the 4 classes", logp)
  check.rejects("F.ctc_loss(x, mg.tensor{ { 2 }, { 0 } }, { 6, 6 }, { 1, 1 })", "ctc_loss: index 0 is out of range: class labels start at 1", logp)
  check.rejects("F.ctc_loss(x, mg.tensor{ { 2 }, { 3 } }, { 7, 6 }, { 1, 1 })", "ctc_loss: input_lengths must lie between 0 and 6, got 7 for row 1", logp)
end)

check.case("losses as modules and functions, and labels that count from 1", function()
  mg.manual_seed(1)
  local x, y = mg.randn(3, 4), mg.randn(3, 4)
  check.close(nn.MultiMarginLoss{ p = 2 }(x, mg.tensor{ 1, 4, 2 }), F.multi_margin_loss(x, mg.tensor{ 1, 4, 2 }, 2))
  check.rejects("F.multi_margin_loss(x, mg.tensor{ 1, 5, 2 })", "multi_margin_loss: label 5 is not one of the 4 classes", x)
  check.rejects("nn.MultiMarginLoss()(x, mg.tensor{ 1, 0, 2 })", "MultiMarginLoss: index 0 is out of range: class labels start at 1…", x)
  check.close(F.multilabel_margin_loss(mg.tensor{ 0.1, 0.2, 0.4, 0.8 }, mg.tensor{ 4, 1, -1, 2 }), 0.85)
  check.close(nn.MultiLabelMarginLoss()(mg.tensor{ { 0.1, 0.2, 0.4, 0.8 } }, mg.tensor{ { 4, 1, -1, 2 } }), 0.85)
  check.close(nn.KLDivLoss{ reduction = "batchmean" }(F.log_softmax(x, 2), F.softmax(y, 2)),
    F.kl_div(F.log_softmax(x, 2), F.softmax(y, 2), { reduction = "sum" }) / 3)
  check.close(F.kl_div(mg.tensor{ 0.0, -1.0 }, mg.tensor{ 0.0, 1.0 }, { reduction = "none" }), mg.tensor{ 0.0, 1.0 })
  check.rejects("F.kl_div(x, x, { reduction = 'max' })", "kl_div: reduction must be \"mean\", \"batchmean\", \"sum\" or \"none\", got \"max\"", x)
  check.close(nn.CosineEmbeddingLoss{ margin = 0.1 }(x, x, mg.ones(3)), 0, 1e-6)
  check.close(nn.TripletMarginLoss()(x, x, y), F.triplet_margin_loss(x, x, y))
  check.close(nn.GaussianNLLLoss{ full = true }(x, y, mg.ones(3, 4)), F.gaussian_nll_loss(x, y, mg.ones(3, 4), { full = true }))
  -- A variance that is too low counts as eps, and its gradient passes.
  local v = leaf{ 0.0 }
  F.gaussian_nll_loss(mg.tensor{ 1.0 }, mg.tensor{ 1.0 }, v, { eps = 0.25 }):backward()
  check.elements(v.grad, { 2 })
  check.rejects("F.gaussian_nll_loss(x, x, -mg.ones(3, 4))", "gaussian_nll_loss: var has negative elements", x)
  check.is_true(F.soft_margin_loss(mg.tensor{ -1000.0 }, mg.tensor{ 1.0 }):item() == 1000)
  check.equal(tostring(nn.PoissonNLLLoss{ full = true }), "PoissonNLLLoss()")
end)

check.case("initial values", function()
  local init = nn.init
  local w = init.dirac_(mg.empty(3, 2, 3))
  check.elements(w[1], { { 0, 1, 0 }, { 0, 0, 0 } })
  check.equal((init.sparse_(mg.empty(10, 4), 0.3):eq(0)):sum():item(), 12)
  check.rejects("nn.init.sparse_(mg.ones(2), 0.5)", "sparse_: a matrix is needed, got shape [2]")
  check.rejects("nn.init.sparse_(mg.ones(2, 2), 1.5)", "sparse_: sparsity must lie between 0 and 1, got 1.5")
  check.rejects("nn.init.dirac_(mg.ones(3, 2, 3), 2)", "dirac_: the first size, 3, must be a multiple of groups, got 2")
end)

check.case("texts", function()
  for _, name in ipairs { "nn.utils.clip_grad_norm_", "nn.utils.rnn.pad_sequence", "nn.init.dirac_", "nn.CTCLoss", "ctc_loss", "kl_div", "nn.KLDivLoss" } do
    local text
    local plain = print
    print = function(line) text = line end
    local ok, problem = pcall(mg.help, name)
    print = plain
    assert(ok, problem)
    local example = text:match "Example:\n(.*)$"
    if example then assert(load("local mg = ...\nlocal print = function() end\n" .. example))(mg) end
  end
end)

check.case("draws of classes that have gradients", function()
  mg.manual_seed(3)
  local logits = mg.tensor({ { 2., 0, -1 }, { 0, 0, 5 } }, { requires_grad = true })
  local soft = nn.functional.gumbel_softmax(logits, { tau = 0.5 })
  check.close(soft:sum(2), mg.ones(2))
  local hard = nn.functional.gumbel_softmax(logits, { hard = true })
  check.close(hard:max(2), mg.ones(2))
  check.close(hard:detach():sum(2), mg.ones(2))
  ;(hard * mg.tensor { 1., 2, 3 }):sum():backward()
  check.is_true(logits.grad:abs():sum():item() > 0)
  local counts = mg.zeros(3)
  for _ = 1, 400 do counts = counts + nn.functional.gumbel_softmax(logits[1]:detach(), { hard = true }) end
  check.close(counts / 400, nn.functional.softmax(logits[1]:detach(), 1), 0.08)
  check.raises("gumbel_softmax: tau must be above 0, got 0", nn.functional.gumbel_softmax, logits, { tau = 0 })
end)

return check.done()

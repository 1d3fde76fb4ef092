-- Every public name has a text: a signature, what it does, and an example, which runs.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn, optim, F = mg.nn, mg.optim, mg.nn.functional

-- What mg.help prints; or nil and the error.
local function help(topic)
  local lines, print_before = {}, print
  print = function(text) lines[#lines + 1] = text end
  local ok, message = pcall(mg.help, topic)
  print = print_before
  if not ok then return nil, message end
  return table.concat(lines, "\n")
end

-- All names that scripts reach, by the way they are written.
local names = {}
local seen = {}
local function walk(path, library)
  seen[library] = true
  for key, value in pairs(library) do
    local name = path == "" and tostring(key) or path .. "." .. tostring(key)
    local meta = getmetatable(value)
    if type(value) == "table" and not (meta and meta.__call) then
      if not seen[value] then walk(name, value) end
    else
      names[#names + 1] = name
    end
  end
end
walk("", mg)

local w = mg.ones(2, { requires_grad = true })
local opt = optim.SGD({ w }, { lr = 1 })
for name, object in pairs {
  x = w, net = nn.Linear(1, 1), opt = opt, scheduler = optim.lr_scheduler.StepLR(opt, { step_size = 1 }), node = (w * 2).grad_fn,
  hook = w:register_hook(print),
} do
  -- What kinds keep in their metatables: methods, then properties.
  local meta = debug.getmetatable(object)
  for i = 1, 2 do
    for member in pairs(meta[i]) do names[#names + 1] = name .. ":" .. member end
  end
end
table.sort(names)

-- An example, run as it stands.
local function run(name, text)
  local code = text:match "\nExample:\n(.-)\n\n%S" or text:match "\nExample:\n(.+)$"
  if not code then return check.fail(name .. " has no example") end
  local chunk, message = load(code, "=" .. name, "t",
    setmetatable({ mg = mg, nn = nn, F = F, print = function(...) for _, v in ipairs { ... } do tostring(v) end end }, { __index = _G }))
  if not chunk then return check.fail(("the example of %s: %s\n%s"):format(name, message, code)) end
  local print_before = print
  print = function() end                              -- which mg.help looks up
  local _, ok, problem = mg.catch_warnings(pcall, chunk)
  print = print_before
  if not ok then check.fail(("the example of %s: %s\n%s"):format(name, tostring(problem):match "^[^\n]*", code)) end
end

check.case("every name has a signature, a text and an example that runs", function()
  check.is_true(#names > 1000)
  local ran = {}
  for _, name in ipairs(names) do
    local text, problem = help(name)
    if not text then
      check.fail(tostring(problem))
    elseif not ran[text] then
      ran[text] = true
      local signature, rest = text:match "^(.-)\n\n(.+)$"
      local bare = name:match "[^.:]+$"
      if not signature or not rest:find "^%S.*[%.;:%)]" then check.fail(name .. " has no signature or text: " .. text) end
      if signature and not text:find(bare:gsub("_$", ""), 1, true) then check.fail(name .. " is not in its text: " .. text) end
      run(name, text)
    end
  end
end)

check.case("names that help lists have texts, which their functions lead to", function()
  local listed = 0
  for place, list in (help() .. "\n\n"):gmatch "([%w_.]+): (.-)\n\n" do
    for bare in list:gmatch "%S+" do
      listed = listed + 1
      local name = place == "mg" and bare or place .. "." .. bare
      if not help(name) then check.fail(name .. " is listed and has no text") end
    end
  end
  check.is_true(listed > 1000)
  for topic, name in pairs {
    [w.item] = "x:item", [w.sum] = "x:sum", [mg.sum] = "sum", [w.abs_] = "x:abs_", [nn.Linear] = "nn.Linear", [mg.progress] = "mg.progress", [F.relu] = "F.relu",
    [nn.Sequential] = "nn.Sequential", [opt.step] = "opt:step", [nn.Linear(1, 1).parameters] = "net:parameters",
    [mg.func.vmap] = "func.vmap", [optim.Adam] = "optim.Adam", [nn.Module] = "nn.Module",
  } do check.equal(help(topic), help(name)) end
  check.equal(select(2, help "lineer"):match "help: .*", "help: nothing is known about 'lineer'; did you mean 'Linear'?")
end)

check.case("options show their values and defaults", function()
  check.mentions(help "F.cross_entropy", 'reduction: "none", "mean" or "sum", default "mean"', "label_smoothing: a number, default 0")
  check.mentions(help "F.gelu", 'approximate: "none" or "tanh", default "none"')
  check.mentions(help "nn.Conv2d", 'padding_mode: "zeros", "reflect", "replicate" or "circular"')
  check.mentions(help "optim.SGD", "momentum = 0")
end)

-- dir(torch.nn.functional) of PyTorch 2, without what ends in _ and its own helpers.
local pytorch = [[adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
  affine_grid alpha_dropout avg_pool1d avg_pool2d avg_pool3d batch_norm bilinear binary_cross_entropy binary_cross_entropy_with_logits celu
  channel_shuffle conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d cosine_embedding_loss cosine_similarity
  cross_entropy ctc_loss dropout dropout1d dropout2d dropout3d elu embedding embedding_bag feature_alpha_dropout fold
  fractional_max_pool2d fractional_max_pool3d gaussian_nll_loss gelu glu grid_sample group_norm gumbel_softmax hardshrink hardsigmoid
  hardswish hardtanh hinge_embedding_loss huber_loss instance_norm interpolate kl_div l1_loss layer_norm leaky_relu linear
  local_response_norm log_softmax logsigmoid lp_pool1d lp_pool2d lp_pool3d margin_ranking_loss max_pool1d max_pool2d max_pool3d
  max_unpool1d max_unpool2d max_unpool3d mish mse_loss multi_head_attention_forward multi_margin_loss multilabel_margin_loss
  multilabel_soft_margin_loss native_channel_shuffle nll_loss normalize one_hot pad pairwise_distance pdist pixel_shuffle pixel_unshuffle
  poisson_nll_loss prelu relu relu6 rms_norm rrelu scaled_dot_product_attention selu sigmoid silu smooth_l1_loss soft_margin_loss softmax
  softmin softplus softshrink softsign tanh tanhshrink threshold triplet_margin_loss triplet_margin_with_distance_loss unfold upsample
  upsample_bilinear upsample_nearest]]

check.case("nn.functional has what PyTorch's has, and no other operations", function()
  local known = {}
  for name in pytorch:gmatch "%S+" do known[name] = true end
  local count = 0
  for name in pairs(F) do
    count = count + 1
    if not known[name:gsub("_$", "")] then check.fail("nn.functional has '" .. name .. "', which PyTorch's has not") end
  end
  check.is_true(count > 90)
  check.raises("nn.functional has no 'add'…", function() return F.add end)
end)

return check.done()

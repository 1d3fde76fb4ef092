-- Views share elements with their base, know it, and count its versions; in-place writes through them keep gradients right.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"

check.case("views share, copies do not", function()
  local x = mg.zeros(2, 3)
  for _, view in ipairs {
    x:view(6), x:view(3, 2), x:reshape(6), x:flatten(), x:t(), x.T, x:transpose(1, 2), x:permute(2, 1), x:unsqueeze(1),
    x:squeeze(), x[1], x[{ {}, 1 }], x:narrow(2, 1, 2), x:select(1, 2), x:expand(4, 2, 3), x:detach(), x.data,
  } do
    x:zero_()
    mg.no_grad(function() x[{ 1, 1 }] = 1; x[{ 2, 1 }] = 1 end)
    check.is_true(view:sum():item() >= 1)
  end
  for _, copy in ipairs { x:clone(), x + 0, x:t():contiguous(), x:t():reshape(6), x[mg.tensor{ 1 }], x:tile(1, 1) } do
    local before = copy:sum():item()
    x:add_(1)
    check.equal(copy:sum():item(), before)
  end
end)

check.case("strides and offsets", function()
  local x = mg.zeros(2, 3)
  check.equal(x:stride(), { 3, 1 })
  check.equal(x:stride(1), 3)
  check.equal(x:t():stride(), { 1, 3 })
  check.equal(x:is_contiguous(), true)
  check.equal(x:t():is_contiguous(), false)
  check.equal(x:t():contiguous():is_contiguous(), true)
  check.equal(x[2]:storage_offset(), 3)              -- in elements, an offset, not a position
  check.equal(x:expand(4, 2, 3):stride(), { 0, 3, 1 })
  check.equal(x:data_ptr(), x:view(6):data_ptr())
end)

check.case("view says why not", function()
  check.equal(pcall(function() return mg.zeros(2, 3):t():view(6) end), false)
  check.equal(mg.zeros(2, 3):t():reshape(6).shape, { 6 })
  check.equal(mg.zeros(2, 6):view(-1, 3).shape, { 4, 3 })
end)

check.case("versions are counted together", function()
  local x = mg.zeros(2)
  check.equal(x._version, 0)
  x:add_(1)
  check.equal(x._version, 1)
  local view = x:view(2, 1)
  view:mul_(2)
  check.equal(x._version, 2)
  check.equal(view._version, 2)
  check.equal(x:detach()._version, 2)
  x.data:add_(1)
  check.equal(x._version, 2)                         -- .data bypasses
end)

check.case("a view knows its base", function()
  local x = mg.zeros(2)
  check.equal(x._base, nil)
  check.is_true(x:view(2, 1)._base == x)
  check.is_true(x:view(2, 1)[1]._base == x)
end)

check.case("writing a view gives its base the history", function()
  local x = mg.tensor({ 1.0, 2.0, 3.0 }, { requires_grad = true })
  local base = x * 1
  base[1]:mul_(10)
  check.elements(base:detach(), { 10, 2, 3 })
  base:sum():backward()
  check.elements(x.grad, { 10, 1, 1 })

  x.grad = nil
  base = x * 1
  local view = base:view(3, 1)
  view:mul_(2)
  base:sum():backward()
  check.elements(x.grad, { 2, 2, 2 })

  x.grad = nil
  base = x * 1
  view = base[{ { 1, 2 } }]
  base:mul_(3)                                       -- and a write to the base reaches the view
  view:sum():backward()
  check.elements(x.grad, { 3, 3, 0 })
end)

check.case("writing a tensor that does not require grad can make it require", function()
  local x = mg.tensor({ 2.0 }, { requires_grad = true })
  local y = mg.ones(1)
  y:mul_(x)
  check.equal(y.requires_grad, true)
  y:backward()
  check.elements(x.grad, { 1 })
end)

check.case("a view of a constant requires grad once its base, or another view of it, does", function()
  local x = mg.tensor({ 1.0, 2.0 }, { requires_grad = true })
  local base = mg.zeros(2)
  local view, other = base:view(2, 1), base[{ { 1, 1 } }]
  check.equal(view.requires_grad, false)
  other:copy_(x[{ { 2, 2 } }])
  check.equal(view.requires_grad, true)
  check.equal(view.is_leaf, false);
  (view * 3):sum():backward()
  check.elements(x.grad, { 0, 3 })
end)

check.case("an expanded view of a written base sums its gradients", function()
  local x = mg.tensor({ 1.0, 2.0, 3.0 }, { requires_grad = true })
  local base = x * 1
  local view = base:expand(2, 3)
  base:mul_(2)
  view:backward(mg.tensor{ { 1.0, 2.0, 3.0 }, { 10.0, 20.0, 30.0 } })
  check.elements(x.grad, { 22, 44, 66 })
end)

check.case("detach shares elements and stops gradients", function()
  local x = mg.tensor({ 2.0 }, { requires_grad = true })
  local y = x * 3
  local d = y:detach()
  check.equal(d.requires_grad, false)
  check.equal(d.is_leaf, true)
  check.equal(d.grad_fn, nil);
  (y * d):sum():backward()
  check.elements(x.grad, { 18 })
end)

check.case("views of a leaf that requires grad are not written", function()
  local x = mg.tensor({ 2.0, 3.0 }, { requires_grad = true })
  check.equal(pcall(function() x[1]:mul_(2) end), false)
  check.equal(pcall(function() x:view(2, 1):zero_() end), false)
end)

check.case("views made in no_grad and of several outputs are not written where grad is recorded", function()
  local x = mg.tensor({ 2.0, 3.0 }, { requires_grad = true })
  local y = x * 1
  local view = mg.no_grad(function() return y:view(2, 1) end)
  check.equal(pcall(view.mul_, view, 2), false)
  local parts = y:unbind()
  check.equal(pcall(parts[1].mul_, parts[1], 2), false)
end)

check.case("expanded tensors are not written", function()
  check.rejects("mg.ones(1):expand(3):add_(1)", "add_: cannot write into an expanded tensor of shape [3], whose elements share memory; clone() it first")
end)

check.case("a write to a view made without recording names the mode it was made in", function()
  local x = mg.ones(3, { requires_grad = true })
  for mode, words in pairs { no_grad = "under no_grad", inference_mode = "in inference_mode" } do
    local base = x * 1
    local v = mg[mode](function() return base[1] end)
    check.raises("mul_: a view that was made " .. words .. " cannot be written…", function() v:mul_(2) end)
    -- A view of it is no better.
    local part = v:view(1)
    check.raises("mul_: a view that was made " .. words .. " cannot be written…", function() part:mul_(2) end)
  end
end)

-- As in PyTorch, whose messages are "Output 0 of UnbindBackward0 is a view and its base or another view of its base has been
-- modified inplace" and "A view was created in no_grad mode and its base …".
check.case("views that cannot follow a write to their base raise when they are used after one", function()
  local x = mg.ones(2, { requires_grad = true })
  local several = "a view of shape [] that was returned together with others, as by split() or unbind(), is used after…"
  local constant = "a view of shape [2, 1] that was made under no_grad is used after…"
  local b = x * 1
  local v = b:unbind()[1]
  b:mul_(2)
  check.raises(several, function() return (v * 2) end)
  check.equal(mg.no_grad(function() return v * 2 end):item(), 4.0)
  check.equal(v:detach():item(), 2.0)
  check.equal(v:item(), 2.0)
  for _, base in ipairs { x * 1, mg.zeros(2) } do
    local w = mg.no_grad(function() return base:view(2, 1) end)
    base:copy_(x)
    check.raises(constant, function() return (w * 2) end)
  end
  local c = mg.zeros(2)
  local u = c:unbind()[2]
  c:copy_(x)
  check.raises(several, function() return (u + 1) end)
  -- A write that is not recorded changes the elements only.
  local d = x * 1
  local w = d:unbind()[1]
  mg.no_grad(function() d:mul_(3) end)
  check.equal((w * 2):item(), 6.0)
end)

return check.done()

-- x:why() and x:why(loss): each reason for a gradient that is nil or zero, in words, with the script's line.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn = mg.nn

local function leaf(...) return mg.tensor({ ... }, { requires_grad = true }) end
local function here(offset) return ("why.lua:%d"):format(debug.getinfo(2, "l").currentline + offset) end

local function says(text, ...)
  check.equal(text:sub(1, 5), "grad ")
  for _, part in ipairs { ... } do
    if not text:find(part, 1, true) then check.fail(("why() does not say %q: %s"):format(part, text)) end
  end
end

check.case("before any backward", function()
  says(leaf(1.0):why(), "grad is nil", "no backward has run yet")
end)

check.case("a leaf without the flag", function()
  says(mg.ones(1):why(), "grad is nil", "does not require grad", "requires_grad = true")
end)

check.case("a frozen parameter", function()
  local layer = nn.Linear(1, 1):requires_grad_(false)
  says(layer.weight:why(), "grad is nil", "frozen", "requires_grad")
end)

check.case("integers and booleans", function()
  says(mg.tensor{ 1 }:why(), "grad is nil", "int64", "float dtypes")
  says(mg.tensor{ true }:why(), "grad is nil", "bool")
  says((leaf(1.0) * 2):argmax():why(), "grad is nil", "int64")
end)

check.case("a detached tensor, with the line", function()
  local x = leaf(1.0)
  local line = here(1)
  local d = x:detach()
  says(d:why(), "grad is nil", "detached", line)
  line = here(1)
  d = (x * 2):detach()
  says(d:why(), "detached", line)
end)

check.case("what is computed from a detached tensor says so, by any operation", function()
  local x = mg.randn(2, 3, { requires_grad = true })
  local line = here(1)
  local d = x:detach()
  local layer = nn.Linear(3, 3):requires_grad_(false)
  local ways = {
    linear = layer(d), weight = mg.nn.functional.linear(mg.ones(2, 3), d), split = d:split(1)[2], unbind = d:unbind(2)[3],
    chunk = d:chunk(2)[1], sum = d:sum(), product = d:t():matmul(d), third = mg.ones(2, 3):addcmul(mg.ones(2, 3), d),
    middle = mg.cat{ mg.ones(1, 3), d, mg.ones(1, 3) },
  }
  local count = 0
  for name, made in pairs(ways) do
    count = count + 1
    local ok, text = pcall(made.why, made)
    if not ok or not (text:find("detached", 1, true) and text:find(line, 1, true)) then check.fail(name .. ": " .. tostring(text)) end
  end
  check.equal(count, 9)
end)

check.case("made in no_grad or inference_mode, with the line", function()
  local x, line = leaf(1.0), nil
  local y = mg.no_grad(function()
    line = here(1)
    local made = x * 2
    return made
  end)
  says(y:why(), "grad is nil", "not recorded", "no_grad", line)
  y = mg.inference_mode(function()
    line = here(1)
    local made = x * 2
    return made
  end)
  says(y:why(), "grad is nil", "inference_mode", line)
end)

check.case("made of something that was cut off earlier: the line of the cut, not advice to set a flag", function()
  local line = here(1)
  local d = leaf(1.0):detach()
  local y = (d * 2 + 1):sum()
  says(y:why(), "grad is nil", "detached", line)
end)

check.case("a result, with operation and line, until it retains its gradient", function()
  local x = leaf(1.0)
  local line = here(1)
  local y = x * 2
  y:backward()
  says(y:why(), "grad is nil", "not a leaf", "MulBackward0", line, "retain_grad()")
  local z = x * 2
  z:retain_grad()
  says(z:why(), "grad is nil", "retains its gradient")
  z:backward()
  says(z:why(), "grad is there")
end)

check.case("a view of a constant that was written to is a result", function()
  local base = mg.zeros(2)
  local view = base[{ { 1, 1 } }]
  base:copy_(leaf(1.0, 2.0))
  says(view:why(), "not a leaf", "retain_grad()")
end)

check.case("the last backward was of something else, with its line", function()
  local x, other = leaf(1.0), leaf(1.0)
  local line = here(1);
  (other * 2):backward()
  says(x:why(), "grad is nil", "no backward has reached it", line)
end)

check.case("grad() leaves .grad alone", function()
  local x = leaf(1.0)
  mg.autograd.grad(x * 2, { x })
  says(x:why(), "grad is nil", "grad()")
end)

check.case("cleared since", function()
  local x = leaf(1.0)
  local line = here(1);
  (x * 2):backward()
  x.grad = nil
  says(x:why(), "grad is nil", "cleared", line)
  local layer = nn.Linear(1, 1)
  layer(mg.ones(1, 1)):backward()
  mg.optim.SGD(layer:parameters(), { lr = 0.1 }):zero_grad()
  says(layer.weight:why(), "cleared")
end)

check.case("with the loss: it does not depend on the tensor", function()
  local x, w = leaf(1.0), leaf(2.0)
  local loss = w * 2
  says(x:why(loss), "grad is nil", "does not depend on it")
  says(w:why(loss), "grad is nil", "backward has not run from that root yet", "depends on this tensor")
end)

check.case("with the loss: cut off on the way", function()
  local x = leaf(1.0)
  local line = here(1)
  local loss = (x * 2):detach()
  says(x:why(loss), "grad is nil", "the root does not require grad", "detached", line)
  loss = mg.no_grad(function() return (x * 2):sum() end)
  says(x:why(loss), "the root does not require grad", "no_grad")
  says(x:why(mg.ones(1)), "the root does not require grad")
end)

check.case("with the loss: only the detached half depends", function()
  local x, w = leaf(1.0), leaf(2.0)
  local loss = (x * 3):detach() * w
  says(x:why(loss), "the root does not depend on it")
end)

check.case("a gradient that is there", function()
  local x = leaf(1.0);
  (x * 2):backward()
  check.equal(x:why(), "grad is there, and not zero everywhere")
end)

check.case("zeros: asks for the loss, and names what lets nothing pass", function()
  local x = leaf(1.0, 2.0)
  local line = here(1)
  local y = (x * -1):relu()
  local loss = y:sum()
  loss:backward(nil, { retain_graph = true })
  says(x:why(), "grad is zero everywhere", "retain_graph")
  says(x:why(loss), "grad is zero everywhere", "ReluBackward0", line, "dead ReLU", "2")
end)

check.case("zeros: operations whose derivative is 0", function()
  for _, name in ipairs { "floor", "ceil", "round", "trunc", "sign" } do
    local x = leaf(1.5)
    local doubled = x * 2
    local loss = doubled[name](doubled)
    loss:backward(nil, { retain_graph = true })
    local backward = name:sub(1, 1):upper() .. name:sub(2) .. "Backward0"
    says(x:why(loss), "grad is zero everywhere", "derivative is 0", backward)
  end
end)

check.case("zeros: only one of the ways is blocked", function()
  local x, w = leaf(-1.0), leaf(0.0)
  local loss = x:relu() + x * w                      -- the second way multiplies by 0
  loss:backward(nil, { retain_graph = true })
  says(x:why(loss), "grad is zero everywhere")
  says(w:why(loss), "grad is there")
end)

check.case("zeros: a factor of 0 is nothing that is known to stop it", function()
  local x = leaf(1.0)
  local loss = x * 0
  loss:backward(nil, { retain_graph = true })
  says(x:why(loss), "grad is zero everywhere")
end)

check.case("zeros: the loss given does not depend on the tensor", function()
  local x, w = leaf(1.0), leaf(1.0);
  (x * 0):backward()
  says(x:why(w * 2), "grad is zero everywhere", "does not depend on the tensor")
end)

check.case("a loss whose graph was used up", function()
  local x = leaf(-1.0)
  local loss = x:relu() * 1
  loss:backward()
  says(x:why(loss), "grad is zero everywhere")       -- and no error, though the values are gone
end)

check.case("after an error in a hook", function()
  local x, w = leaf(1.0), leaf(2.0)
  local y = x * 1
  y:register_hook(function() error "no" end)
  mg.catch_warnings(pcall, function() (y * w):backward() end)
  says(x:why(), "grad is nil")
  says(w:why(), "grad is there")
end)

check.case("a deep graph", function()
  local x, other = leaf(1.0), leaf(1.0)
  local y = x
  for _ = 1, 100000 do y = y * 1 end
  says(other:why(y), "does not depend")
  says(x:why(y), "depends on this tensor")
end)

check.case("wrong arguments", function()
  check.rejects("x:why(3)", "why: argument 1: expected a tensor, got 3", mg.ones(1))
  check.equal(pcall(mg.ones(1).why, mg.ones(1), mg.ones(1), 3), false)
end)

return check.done()

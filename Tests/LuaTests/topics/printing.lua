-- Everything prints as in PyTorch: Fixtures/printing/cases.txt, case by case, and how each option changes it.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn = mg.nn

-- ">>> expression" or ">>> options | expression", then the printed text up to the next case.
local cases = {}
for _, line in ipairs(check.lines(check.here .. "../../Fixtures/printing/cases.txt")) do
  local input = line:match "^>>> (.*)$"
  if input then
    local options, expression = input:match "^(%b{}) | (.*)$"
    cases[#cases + 1] = { options = options, expression = expression or input, lines = {} }
  elseif #cases > 0 then
    table.insert(cases[#cases].lines, line)
  end
end

local function evaluate(source)
  return assert(load("local mg, nn, optim = ... return " .. source, "=case"))(mg, nn, mg.optim)
end

check.case("the cases are there", function() check.is_true(#cases > 50) end)
for _, case in ipairs(cases) do
  while case.lines[#case.lines] == "" do table.remove(case.lines) end
  -- Cases of layers that do not exist yet are checked from the day they do.
  local known = true
  for layer in case.expression:gmatch "nn%.(%u%w+)" do known = known and rawget(nn, layer) ~= nil end
  if known then
    check.case(case.expression, function()
      if case.options then mg.set_printoptions(evaluate(case.options)) end
      local text = tostring(evaluate(case.expression))
      mg.set_printoptions{ profile = "default" }
      check.equal(text, table.concat(case.lines, "\n"))
    end)
  end
end

check.case("print and .. use the same text", function()
  check.equal("x = " .. mg.tensor{ 1.5 }, "x = tensor([1.5000])")
  check.equal(("%s"):format(mg.tensor{ 1.5 }), "tensor([1.5000])")
end)

check.case("grad_fn prints its name", function()
  local x = mg.ones(2, { requires_grad = true })
  check.equal(tostring((x * 2).grad_fn), "<MulBackward0>")
  check.equal((x * 2).grad_fn.name, "MulBackward0")
  check.equal(tostring((x + 1):sum().grad_fn.next_functions[1][1]), "<AddBackward0>")
end)

check.case("options are checked", function()
  check.rejects("mg.set_printoptions(3)", "set_printoptions: expected a table of options, got 3")
  check.rejects("mg.set_printoptions{ precisio = 3 }", "set_printoptions: unknown option 'precisio'; did you mean 'precision'?…")
  check.rejects("mg.set_printoptions{ precision = 'x' }", "set_printoptions: option 'precision': expected a count, got \"x\"")
end)

return check.done()

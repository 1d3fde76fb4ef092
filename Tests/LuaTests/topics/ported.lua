-- Programs ported line by line from PyTorch's (scripts/fixtures/ported has the originals) print what those print for the same
-- seed: random numbers, initial weights, dropout, losses, gradients and optimizers are PyTorch's all along the way.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")

-- By program: the lines that PyTorch printed, and how far it was off from itself until there (see scripts/fixtures/ported.py).
local names, expected, off = {}, {}, {}
for _, line in ipairs(check.lines(check.here .. "../../Fixtures/ported.txt")) do
  local name, difference, printed = line:match "^([%w_]+) (%S+) (.+)$"
  if name then
    if not expected[name] then
      names[#names + 1] = name
      expected[name], off[name] = {}, {}
    end
    table.insert(expected[name], printed)
    table.insert(off[name], tonumber(difference))
  end
end
check.is_true(#names >= 13)

-- Five digits agree. Rounding grows with training, and in one program beyond that: LBFGS divides by small changes of
-- gradients, so that PyTorch's own losses differ in the fifth digit when initial weights do in the last bit. Where PyTorch
-- does not stay within a tenth of the five digits, ten times its own difference is allowed.
for _, name in ipairs(names) do
  check.case(name, function()
    local printed = check.printed(check.here .. "../ported/" .. name .. ".lua")
    check.same_run(printed, expected[name], function(i) return math.max(1e-5, 10 * off[name][i]) end)
  end)
end

return check.done()

-- Scripts and their PyTorch originals print the same losses: the twins in Fixtures/training.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")

local fixtures = check.here .. "../../Fixtures/training/"

-- Words of a line, numbers as numbers.
local function words(line)
  local list = {}
  for word in line:gmatch "%S+" do list[#list + 1] = tonumber(word) or word end
  return list
end

for _, name in ipairs { "regression", "freezing", "digits", "averages" } do
  check.case(name, function()
    local expected = {}
    for _, line in ipairs(check.lines(fixtures .. name .. ".txt")) do
      if line:sub(1, 1) ~= "#" then expected[#expected + 1] = line end
    end
    local printed = check.printed(fixtures .. name .. ".lua")
    check.equal(#printed, #expected)
    local worst, where = 0, nil
    for i, line in ipairs(expected) do
      local theirs, ours = words(line), words(printed[i] or "")
      check.equal(#ours, #theirs)
      -- Losses agree to five digits. The parameters after a run agree to the four decimals that are printed of them:
      -- optimizers that divide by the gradients' size magnify the rounding of small ones.
      local unit = math.type(theirs[2]) == "integer" and 1e-5 or 1e-4
      for j, value in ipairs(theirs) do
        if math.type(value) == "float" then
          local size = unit == 1e-5 and math.abs(value) or math.max(math.abs(value), 1)
          local off = math.abs((tonumber(ours[j]) or math.huge) - value) / size / unit
          if not (off <= worst) then worst, where = off, line .. "\n    here: " .. tostring(printed[i]) end
        else
          check.equal(ours[j], value)
        end
      end
    end
    if not (worst <= 1) then check.equal(("off by %.3g of what is allowed at %s"):format(worst, where), "within it") end
  end)
end

check.case("dead units and the frozen layer keep their bits", function()
  local first, last = {}, {}
  for _, line in ipairs(check.lines(fixtures .. "freezing.txt")) do
    local name, values = line:match "^# start (%S+) (.+)$"
    if name then first[name] = words(values) end
  end
  for _, line in ipairs(check.printed(fixtures .. "freezing.lua")) do
    local name, values = line:match "^sgd (%a+%.%a+) (.+)$"
    if name then last[name] = words(values) end
  end
  -- Both went through float32.
  local function bits(number) return string.pack("f", number) end
  for _, name in ipairs { "hidden.weight", "hidden.bias" } do
    for i = 1, 10 do check.equal(bits(last[name][i]), bits(first[name][i])) end
  end
  for _, i in ipairs { 1, 2, 5, 10 } do
    check.equal(bits(last["predict.weight"][i]), bits(first["predict.weight"][i]))
  end
  check.is_true(last["predict.bias"][1] ~= first["predict.bias"][1])
end)

return check.done()

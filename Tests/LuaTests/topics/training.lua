-- Scripts and their PyTorch originals print the same losses: the twins in Fixtures/training.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")

local fixtures = check.here .. "../../Fixtures/training/"

for _, name in ipairs { "regression", "freezing", "digits", "averages", "lora" } do
  check.case(name, function()
    local expected = {}
    for _, line in ipairs(check.lines(fixtures .. name .. ".txt")) do
      if line:sub(1, 1) ~= "#" then expected[#expected + 1] = line end
    end
    -- Losses agree to five digits. The parameters after a run agree to the four decimals that are printed of them:
    -- optimizers that divide by the gradients' size magnify the rounding of small ones.
    check.same_run(check.printed(fixtures .. name .. ".lua"), expected, function(_, words)
      if math.type(words[2]) == "integer" then return 1e-5 end
      return 1e-4, 1
    end)
  end)
end

check.case("dead units and the frozen layer keep their bits", function()
  local first, last = {}, {}
  for _, line in ipairs(check.lines(fixtures .. "freezing.txt")) do
    local name, values = line:match "^# start (%S+) (.+)$"
    if name then first[name] = check.words(values) end
  end
  for _, line in ipairs(check.printed(fixtures .. "freezing.lua")) do
    local name, values = line:match "^sgd (%a+%.%a+) (.+)$"
    if name then last[name] = check.words(values) end
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

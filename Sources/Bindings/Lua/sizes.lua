-- What x.shape, x:size() and x:stride() give: plain lists of numbers, which print and compare as what they hold.

local concat = table.concat

local Sizes = {}

-- As Lua writes a list: what is printed can be given to mg.zeros.
function Sizes.__tostring(sizes)
  local texts = {}
  for i = 1, #sizes do texts[i] = tostring(sizes[i]) end
  return "{" .. concat(texts, ", ") .. "}"
end

function Sizes.__concat(a, b) return tostring(a) .. tostring(b) end

-- Either may be a list without this metatable.
function Sizes.__eq(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do if a[i] ~= b[i] then return false end end
  return true
end

return function(list) return setmetatable(list, Sizes) end

-- The first `count` handwritten digits: pixels from 0 to 16 [count, 64] and labels [count], where digit 0 has label 1.
local mg = require "moongrad"

return function(path, count)
  local pixels, labels = {}, {}
  for line in io.lines(path) do
    local row = {}
    for field in line:gmatch "[^,]+" do row[#row + 1] = tonumber(field) end
    labels[#labels + 1] = table.remove(row) + 1
    pixels[#pixels + 1] = row
    if #pixels == count then break end
  end
  return mg.tensor(pixels, { dtype = "float32" }), mg.tensor(labels)
end

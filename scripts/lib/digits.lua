-- The handwritten digits that several examples learn from: reading, holding out, and showing pictures as text.
--
--     local digits = require "lib.digits"           -- from a script in this folder's parent

local mg = require "moongrad"

local digits = {}

-- All pictures, or the first `count`: pixels from 0 to 16 [count, 64] and labels [count]. A line of the file has 64 pixels and
-- the digit. A class label is an index, so that digit 0 has label 1.
function digits.read(path, count)
  local all = mg.data.read_csv(path, { header = false, rows = count }):tensor()
  return all[{ {}, { 1, -2 } }]:contiguous(), all[{ {}, -1 }]:long() + 1
end

-- Shuffled, and parted in two: what to learn from, and a quarter to test with. The seed decides which quarter that is.
function digits.hold_out(pixels, labels)
  local order = mg.randperm(#pixels)
  pixels, labels = pixels[order], labels[order]
  local held_out = #pixels // 4
  return { pixels = pixels[{ { held_out + 1, -1 } }], labels = labels[{ { held_out + 1, -1 } }] },
    { pixels = pixels[{ { 1, held_out } }], labels = labels[{ { 1, held_out } }] }
end

local shades = { [0] = "  ", "░░", "▒▒", "▓▓", "██" }

-- Pictures of 8 × 8 pixels from 0 to 1 side by side, as lines of text; `titles` are written above, one for each.
function digits.picture(pixels, titles)
  local pictures = pixels:detach():reshape(-1, 8, 8):clamp(0, 1):mul(4):round():tolist()
  local lines = {}
  if titles then
    local heads = {}
    for i, title in ipairs(titles) do heads[i] = ("%-16s"):format(title) end
    lines[1] = table.concat(heads, "  ")
  end
  for y = 1, 8 do
    local parts = {}
    for i, picture in ipairs(pictures) do
      local row = {}
      for x = 1, 8 do row[x] = shades[math.tointeger(picture[y][x])] end
      parts[i] = table.concat(row)
    end
    lines[#lines + 1] = table.concat(parts, "  ")
  end
  for i, line in ipairs(lines) do lines[i] = line:gsub(" +$", "") end
  return table.concat(lines, "\n")
end

return digits

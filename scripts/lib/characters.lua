-- A text as numbers, for the examples that learn to write: each character that occurs has one, counting from 1.
--
--     local text = require("lib.characters").read(path)

local mg = require "moongrad"

local characters = {}

-- A table of `ids`, a tensor [length]; `count`, how many characters there are; and encode and decode between strings and lists of
-- numbers. Characters are bytes here.
function characters.read(path)
  local file <close> = assert(io.open(path))
  local source = file:read "a"
  local numbers, symbols = {}, {}
  for symbol in source:gmatch "." do numbers[symbol] = 0 end
  for symbol in pairs(numbers) do symbols[#symbols + 1] = symbol end
  table.sort(symbols)
  for number, symbol in ipairs(symbols) do numbers[symbol] = number end

  local text = { count = #symbols }
  function text.encode(string)
    local list = {}
    for i = 1, #string do
      list[i] = numbers[string:sub(i, i)] or error(("the text has no %q"):format(string:sub(i, i)), 2)
    end
    return list
  end
  function text.decode(list)
    local parts = {}
    for i, number in ipairs(list) do parts[i] = symbols[number] end
    return table.concat(parts)
  end
  text.ids = mg.tensor(text.encode(source))
  return text
end

-- `batch` pieces of `length` characters from random places, [batch, length], and what follows each of their characters.
function characters.sample(ids, batch, length)
  local starts = mg.randint(1, #ids - length + 1, { batch, 1 })
  local places = starts + mg.arange(0, length)
  return ids[places], ids[places + 1]
end

-- A text in lines of `width` characters at most, broken between words; `indent` stands before each.
function characters.wrapped(text, width, indent)
  local lines, line = {}, ""
  for word in text:gmatch "%S+" do
    if line ~= "" and #line + 1 + #word > width then
      lines[#lines + 1], line = indent .. line, word
    else
      line = line == "" and word or line .. " " .. word
    end
  end
  lines[#lines + 1] = indent .. line
  return table.concat(lines, "\n")
end

return characters

string.rep = nil string.format = error table.insert = nil

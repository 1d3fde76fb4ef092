table.unpack(setmetatable({}, {__index = function() return 1 end}), 1, 1e6 - 1)

table.insert(setmetatable({}, {__len = function() return 1 << 62 end, __index = function() return 1 end, __newindex = function() end}), 1, 1)

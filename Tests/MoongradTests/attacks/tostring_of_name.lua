print(setmetatable({}, {__tostring = function() return ('x'):rep(1e9) end}))

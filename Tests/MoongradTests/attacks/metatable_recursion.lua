local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end print(t.x)

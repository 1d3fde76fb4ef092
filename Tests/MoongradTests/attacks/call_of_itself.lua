local t = {}
setmetatable(t, { __call = t })
pcall(t)
t()

local m = {__gc = false} setmetatable({}, m) m.__gc = function() while true do end end collectgarbage()

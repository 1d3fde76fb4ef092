local t = {} while true do pcall(function() while true do t[#t + 1] = ('x'):rep(1e6) end end) end

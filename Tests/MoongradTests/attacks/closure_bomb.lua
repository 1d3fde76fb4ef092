local c = {} while true do local x = {} c[#c + 1] = function() return x end end

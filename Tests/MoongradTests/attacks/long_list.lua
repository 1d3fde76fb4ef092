local mg = require 'moongrad' local t = {} for i = 1, 1e6 do t[i] = i end while true do mg.tensor(t) end

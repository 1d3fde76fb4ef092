local mg = require 'moongrad' local a, c = mg.randn(1000, 1000), mg.zeros(1000, 1000) while true do c:addmm_(a, a) end

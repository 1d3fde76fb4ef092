local mg = require 'moongrad' local x = mg.rand(4000000) while true do x:cumsum(1) x:logcumsumexp(1) end

local mg = require 'moongrad' local x = mg.rand(1000000) while true do x:sort() end

local mg = require 'moongrad' local x = mg.zeros(10000000) while true do x:exp_() end

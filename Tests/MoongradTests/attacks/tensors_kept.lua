local mg = require 'moongrad' local k = {} while true do k[#k + 1] = mg.ones(1000, 1000) end

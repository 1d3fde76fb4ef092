local mg = require 'moongrad' local p = mg.rand(4000000) while true do p:bernoulli() end

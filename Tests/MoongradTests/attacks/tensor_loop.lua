local mg = require 'moongrad' while true do mg.ones(1000, 1000) end

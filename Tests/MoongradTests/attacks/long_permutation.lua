local mg = require 'moongrad' while true do mg.randperm(4000000) end

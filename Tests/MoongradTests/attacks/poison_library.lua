local mg = require 'moongrad' for k in pairs(mg) do mg[k] = nil end

local mg = require 'moongrad' mg.rand(60000):unbind() while true do mg.rand(60000):unbind() end

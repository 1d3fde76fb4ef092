local mg = require 'moongrad' mg.set_printoptions { threshold = math.huge } print(mg.zeros(1000, 1000))

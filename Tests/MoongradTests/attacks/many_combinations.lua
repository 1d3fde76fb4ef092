local mg = require 'moongrad' mg.combinations(mg.ones(1):expand(1 << 40), 1, true)

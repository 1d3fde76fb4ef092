local mg = require 'moongrad' mg.ones(1):expand(1 << 40):repeat_interleave(mg.zeros(1, { dtype = 'int64' }):expand(1 << 40))

local mg = require 'moongrad' local t = {} t[1] = t mg.tensor(t)

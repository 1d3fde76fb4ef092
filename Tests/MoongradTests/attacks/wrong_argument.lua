local mg = require 'moongrad' mg.ones(2).add(print, 1)

local mg = require 'moongrad' mg.rand(1000):multinomial(4000000, true)

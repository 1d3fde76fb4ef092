local mg = require 'moongrad' mg.zeros(3000, 1000):tolist()

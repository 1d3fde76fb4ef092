local mg = require 'moongrad' mg.manual_seed(math.mininteger) mg.manual_seed(0/0)

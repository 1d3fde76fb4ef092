local mg = require 'moongrad' mg.func.vmap(function(x) return x:outer(x) end)(mg.ones(1000, 1000))

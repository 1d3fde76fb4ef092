local mg = require 'moongrad' local m = getmetatable(mg.ones(1)) m.__gc(1)

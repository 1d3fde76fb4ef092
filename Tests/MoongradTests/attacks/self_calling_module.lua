local mg = require 'moongrad' local s = mg.nn.Sequential() s:append(s) s(mg.ones(1))

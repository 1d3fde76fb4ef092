local mg = require 'moongrad' local a, b = mg.nn.Sequential(), mg.nn.Sequential() a:append(b) b:append(a) while true do pcall(a, mg.ones(1)) end

local mg = require 'moongrad' local c, x = mg.nn.Conv2d(32, 32, 5), mg.randn(8, 32, 64, 64) while true do c(x) end

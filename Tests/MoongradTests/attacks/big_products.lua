local mg = require 'moongrad' local a = mg.randn(700, 700) while true do a:mm(a) end

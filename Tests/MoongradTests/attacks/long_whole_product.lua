local mg = require 'moongrad' local a = mg.ones(1000, 1000, { dtype = 'int64' }) while true do a:mm(a) end

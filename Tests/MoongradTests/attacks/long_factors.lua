local mg = require 'moongrad' local a = mg.randn(1200, 1200) while true do mg.linalg.qr(a) end

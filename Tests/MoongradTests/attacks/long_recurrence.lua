local mg = require 'moongrad' local r, x = mg.nn.LSTM(128, 128), mg.randn(200, 32, 128) while true do r(x) end

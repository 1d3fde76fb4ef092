local mg = require 'moongrad' local m = mg.nn.Sequential() m:append(m) print(m) m:state_dict()

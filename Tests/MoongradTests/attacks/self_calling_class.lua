local mg = require 'moongrad' local N = mg.nn.Module 'N' function N:forward(x) return self.me(x) end local n = N() n.me = n n(mg.ones(1))

local mg = require 'moongrad' local m = mg.nn.Linear(1, 1) for i = 1, 1e4 do m = mg.nn.Sequential(m) end mg.freeze(m)

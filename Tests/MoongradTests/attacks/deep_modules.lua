local mg = require 'moongrad' local m = mg.nn.Linear(1, 1) for i = 1, 1e5 do m = mg.nn.Sequential(m) end print(m)

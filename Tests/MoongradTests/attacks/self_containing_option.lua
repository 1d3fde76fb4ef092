local mg = require 'moongrad' local t = {} t[1] = t mg.optim.SGD(mg.nn.Linear(1, 1):parameters(), { lr = t })

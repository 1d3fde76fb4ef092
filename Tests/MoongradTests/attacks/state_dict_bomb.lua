local mg = require 'moongrad' local s = {} for i = 1, 1e6 do s['k' .. i] = 1 end mg.nn.Linear(1, 1):load_state_dict(s)

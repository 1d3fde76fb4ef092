local mg = require 'moongrad' mg.nn.Linear(2, 2):load_state_dict(setmetatable({}, {__pairs = function() while true do end end, __index = function() while true do end end}))

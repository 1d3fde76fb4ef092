local mg = require 'moongrad' mg.ones(2, setmetatable({}, {__index = function() while true do end end}))

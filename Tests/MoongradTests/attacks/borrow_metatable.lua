local mg = require 'moongrad' setmetatable({}, getmetatable(mg.ones(1)))

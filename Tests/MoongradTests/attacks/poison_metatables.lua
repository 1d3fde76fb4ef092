local mg = require 'moongrad' local m = getmetatable(mg.nn) if m then m.__index = nil end setmetatable(mg, {__index = error})

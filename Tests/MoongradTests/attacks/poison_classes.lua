local mg = require 'moongrad' for _, c in pairs(mg.nn) do if type(c) == 'table' then for k in pairs(c) do c[k] = nil end end end

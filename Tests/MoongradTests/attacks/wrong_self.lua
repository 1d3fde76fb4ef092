local mg = require 'moongrad' local t = mg.ones(2) t.add({})

local mg = require 'moongrad' while true do pcall(mg.linalg.svd, mg.randn(300, 300)) end

local mg = require 'moongrad' mg.linalg.svd(mg.randn(1200, 1200))

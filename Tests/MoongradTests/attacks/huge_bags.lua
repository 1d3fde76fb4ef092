local mg = require 'moongrad' mg.nn.functional.embedding_bag(mg.ones(1):expand(1 << 20, 1 << 20), mg.ones(3, 2))

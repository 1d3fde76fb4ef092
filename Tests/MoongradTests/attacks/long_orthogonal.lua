local mg = require 'moongrad' mg.nn.init.orthogonal_(mg.zeros(500, 500))

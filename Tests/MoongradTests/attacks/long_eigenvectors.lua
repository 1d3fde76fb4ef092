local mg = require 'moongrad' local a = mg.randn(1200, 1200) mg.linalg.eigh(a + a:t())

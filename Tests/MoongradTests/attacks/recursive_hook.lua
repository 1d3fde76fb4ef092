local mg = require 'moongrad' local x = mg.ones(1, {requires_grad = true}) x:register_hook(function() (x * 2):sum():backward() end) (x * 1):sum():backward()

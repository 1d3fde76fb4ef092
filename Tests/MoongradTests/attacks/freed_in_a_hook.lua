local mg = require 'moongrad' local x = mg.ones(3, {requires_grad = true}) local y = x * 2 y:register_hook(function(g) x:free() g:free() end) (y * y):sum():backward() x:sum()

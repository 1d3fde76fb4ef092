local mg = require 'moongrad' local x = mg.ones(1, {requires_grad = true}) local y = x for i = 1, 1e5 do y = y + x end while true do y:sum():backward { retain_graph = true } end

local mg = require 'moongrad' local x = mg.ones(1, {requires_grad = true}) local y = x while true do y = y * x end

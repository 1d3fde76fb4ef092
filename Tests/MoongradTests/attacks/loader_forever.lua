local mg = require 'moongrad' local d = mg.data.TensorDataset(mg.rand(100, 1)) while true do for x in mg.data.DataLoader(d, { shuffle = true }):iter() do end end

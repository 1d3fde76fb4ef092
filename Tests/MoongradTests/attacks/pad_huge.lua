local mg = require "moongrad"
local F = mg.nn.functional
F.pad(mg.ones(0, 1, 1 << 32), { 1, 0 }, "replicate")
F.pad(mg.ones(1, 1, 4), { 1 << 26, 0 }, "replicate")

require('moongrad').ones(3):expand(1 << 62)

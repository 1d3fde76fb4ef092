require('moongrad').ones(1):expand(1 << 40):clone()

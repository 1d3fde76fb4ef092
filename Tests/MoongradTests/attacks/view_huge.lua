require('moongrad').ones(4):view(1 << 62, 4)

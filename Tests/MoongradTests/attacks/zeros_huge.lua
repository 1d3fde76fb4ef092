require('moongrad').zeros(1 << 40, 1 << 40)

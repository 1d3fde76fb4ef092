require('moongrad').zeros(-1)

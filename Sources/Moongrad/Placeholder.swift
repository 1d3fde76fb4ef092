// Moongrad

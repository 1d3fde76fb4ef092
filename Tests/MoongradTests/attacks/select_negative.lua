select(-1 << 62, 1)

os.date('%Ez', 1 << 62)

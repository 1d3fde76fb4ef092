load(('x'):rep(3e7))

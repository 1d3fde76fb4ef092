load(('('):rep(1e6))

string.find(('('):rep(1e6), ('%b()'):rep(10))

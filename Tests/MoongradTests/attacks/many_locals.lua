load(('local x '):rep(1e6))

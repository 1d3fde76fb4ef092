load('return ' .. ('{'):rep(1e6))

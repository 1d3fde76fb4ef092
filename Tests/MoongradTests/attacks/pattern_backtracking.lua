string.find(('a'):rep(1e5), ('.-'):rep(4) .. 'b')

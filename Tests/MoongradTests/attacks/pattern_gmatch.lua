for _ in string.gmatch(('a'):rep(1e5), ('.-'):rep(4) .. 'b') do end

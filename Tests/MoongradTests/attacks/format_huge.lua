string.format(('%99d'):rep(1e5), table.unpack({}, 1, 10))

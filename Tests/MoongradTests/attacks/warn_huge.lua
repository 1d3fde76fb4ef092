local s = ('x'):rep(20000000) local all = {} for i = 1, 100 do all[i] = s end while true do warn(table.unpack(all)) end

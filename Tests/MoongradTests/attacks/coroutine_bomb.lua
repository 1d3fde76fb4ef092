local c = {} while true do c[#c + 1] = coroutine.create(print) end

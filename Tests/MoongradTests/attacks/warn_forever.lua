while true do warn('x') end

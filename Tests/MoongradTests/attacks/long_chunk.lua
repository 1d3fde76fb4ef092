local s = 'return "' .. ('a'):rep(1e7) .. '"' while true do load(s) end

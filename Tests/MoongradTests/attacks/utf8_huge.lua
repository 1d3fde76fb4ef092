local s = ('\u{10FFFF}'):rep(1e6) while true do utf8.len(s) end

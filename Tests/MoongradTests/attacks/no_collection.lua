collectgarbage('stop') while true do local _ = {} end

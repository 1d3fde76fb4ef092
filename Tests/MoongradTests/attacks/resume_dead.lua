local c = coroutine.create(function() end) while true do coroutine.resume(c) end

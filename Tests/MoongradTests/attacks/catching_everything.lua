local function f() while true do pcall(xpcall, f, f) xpcall(f, f) load(f) end end coroutine.wrap(function() pcall(f) end)() f()

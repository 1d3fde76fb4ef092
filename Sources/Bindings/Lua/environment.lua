-- The names that the library's own Lua sees: Lua's as they were before any script ran. A script that assigns to them or
-- removes them changes nothing here, in no file: each is loaded with this table for its globals.
--
-- What cannot be had apart is the metatable that all strings share, so that the functions of strings are called as functions,
-- format(text, …), and never as methods of a string.

local globals, rawget, rawset, select = _G, rawget, rawset, select

local own = {}
for name, value in next, globals do
  if type(value) == "function" then own[name] = value end
end
for _, name in ipairs { "string", "table", "math", "coroutine", "utf8" } do
  local copy = {}
  for key, value in next, globals[name] or {} do copy[key] = value end
  own[name] = copy
end

-- What scripts have under a name now, and another value for it: printing and warnings may lead elsewhere, and a session may have
-- taken files away.
function own.lent(name) return rawget(globals, name) end
-- Whether scripts may have files at all: they have `io`, or a sandbox lends them folders, which each path is looked for in.
function own.lends_files() return own.has_folders or rawget(globals, "io") ~= nil end
function own.lend(name, value) rawset(globals, name, value) end

-- Lua's load, for scripts with globals of their own: those, where the call names no others. (nil is a choice too.)
function own.load_in(environment, load, chunk, name, mode, ...)
  if select("#", ...) > 0 then environment = ... end
  return load(chunk, name, mode, environment)
end

return own

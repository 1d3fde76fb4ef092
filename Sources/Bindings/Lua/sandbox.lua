-- What scripts of a sandbox see: globals of their own for each script, with copies of Lua's tables in them, and the library as it was
-- before any script ran. Whatever a script does to the tables that it can reach, the next one finds all as it should be.

local native, mg, globals, lends_files = ...

-- The host's globals are what scripts see beside their own; Lua's own names go from there, but for what a host may replace.
local kept = { print = true, warn = true }
local base, libraries = {}, {}
for _, name in ipairs {
  "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "rawlen", "rawset", "select", "tonumber",
  "tostring", "type", "xpcall", "_VERSION",
} do base[name] = rawget(globals, name) end

local function copied(list)
  local copy = {}
  for key, value in next, list do copy[key] = value end
  return copy
end

for _, name in ipairs { "string", "table", "math", "coroutine", "utf8" } do libraries[name] = copied(rawget(globals, name) or {}) end
libraries.string.dump = nil
libraries.os = {}
for _, name in ipairs { "time", "clock", "date", "difftime" } do libraries.os[name] = (rawget(globals, "os") or {})[name] end

local load, setmetatable, getmetatable, collectgarbage = load, setmetatable, getmetatable, collectgarbage
local stock_require = rawget(globals, "require")
local package = rawget(globals, "package")
package.path, package.cpath = "", ""
package.searchers[3], package.searchers[4], package.searchers[2] = nil, nil, nil
for name in next, copied(globals) do
  if not kept[name] then rawset(globals, name, nil) end
end

-- Strings find their methods in a table that no script can reach.
local strings = getmetatable ""
strings.__index, strings.__metatable = copied(libraries.string), false

-- The library's tables, and those that they have for metatables.
local snapshot, known, fields_of = {}, {}, {}
local function take(list)
  if known[list] then return end
  known[list] = true
  local fields = {}
  for key, value in next, list do
    fields[key] = value
    if type(value) == "table" then take(value) end
  end
  local meta = getmetatable(list)
  if type(meta) ~= "table" then meta = nil end
  snapshot[#snapshot + 1] = { list, fields, meta }
  fields_of[list] = fields
  if meta then take(meta) end
end
take(mg)
-- For parts that are read later.
function untouched(list) return fields_of[list] end

local function restore()
  for _, entry in ipairs(snapshot) do
    local list, fields, meta = entry[1], entry[2], entry[3]
    for key, value in next, fields do
      if rawget(list, key) ~= value then rawset(list, key, value) end
    end
    -- To set to nil is all that a traversal allows.
    for key in next, list do
      if fields[key] == nil then rawset(list, key, nil) end
    end
    if meta and getmetatable(list) ~= meta then pcall(setmetatable, list, meta) end
  end
end

-- The globals of one script. `folders` are where its require looks.
return function(folders)
  restore()
  local own = copied(base)
  for name, list in next, libraries do own[name] = copied(list) end
  own._G = own

  function own.load(...) return load_in(own, load, ...) end

  function own.setmetatable(object, meta)
    if type(meta) == "table" and rawget(meta, "__gc") ~= nil then error("finalizers (__gc) are not there in a sandbox", 2) end
    return setmetatable(object, meta)
  end

  function own.collectgarbage(option, ...)
    if option ~= nil and option ~= "count" then error("collectgarbage does nothing but \"count\" in a sandbox", 2) end
    return collectgarbage "count"
  end

  local loaded = { _G = own }
  for name in next, libraries do loaded[name] = own[name] end
  own.package = { loaded = loaded, preload = {}, config = package.config, path = "" }

  function own.require(name)
    if type(name) ~= "string" then error(string.format("bad argument #1 to 'require' (string expected, got %s)", type(name)), 2) end
    local value = loaded[name]
    if value ~= nil then return value end
    local preload = rawget(own.package, "preload")
    local loader, from = type(preload) == "table" and preload[name], ":preload:"
    if not loader then
      for _, folder in ipairs(lends_files and folders or {}) do
        for _, ending in ipairs { ".lua", "/init.lua" } do
          local path = folder .. "/" .. string.gsub(name, "%.", "/") .. ending
          local text = native.read_module(path)
          if text then
            local problem
            loader, problem = load(text, "@" .. path, "t", own)
            from = path
            if not loader then error(string.format("error loading module '%s' from file '%s':\n\t%s", name, path, problem), 2) end
            break
          end
        end
        if loader then break end
      end
    end
    if loader then
      value = loader(name, from)
      if value ~= nil then loaded[name] = value elseif loaded[name] == nil then loaded[name] = true end
      return loaded[name], from
    end
    -- What the host and the library registered.
    local ok, found = pcall(stock_require, name)
    if not ok then error(found, 2) end
    return found
  end

  return setmetatable(own, { __index = globals, __metatable = false })
end

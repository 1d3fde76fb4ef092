// The line of the calling script, which is found by a short cut: it must be what Lua itself says, always.
import LuaRuntime
import Testing

@Suite struct SiteTests {
  /// A state whose `probe()` compares the line found by the short cut with Lua's own, and returns it.
  private func probed() throws -> State {
    let state = try State()
    let probe = NativeFunction("probe") { call in
      let found = State.line(of: State.site(call.caller))
      let position = call.position
      let isLibrary = position.hasPrefix(State.Configuration.internalPrefix.dropFirst())
      if let found, !isLibrary, position != found + ": " { throw LuaError("found \(found), but Lua says \(position)") }
      if let found { call.returns(found) } else { call.returnsNil() }
    }
    try state.setGlobal("probe", .native(probe))
    return state
  }

  @Test func linesAreLuas() throws {
    let state = try probed()
    let lines = try state.run(
      source: """
        local a = probe()
        local b = probe() local c = probe()

        local function f() return (probe()) end
        local t = setmetatable({}, { __index = function(_, k) return k .. probe() end, __add = probe })
        local list = { a, b, c, f(), t.x, t + 1 }
        for i = 1, 3 do list[#list + 1] = probe() end
        list[#list + 1] = coroutine.wrap(function()
          coroutine.yield(probe())
        end)()
        return table.concat(list, " ")
        """, chunkName: "@s.lua")
    guard case .string(let text)? = lines.first else { throw LuaError("no string") }
    #expect(text == "s.lua:1 s.lua:2 s.lua:2 s.lua:4 xs.lua:5 s.lua:6 s.lua:7 s.lua:7 s.lua:7 s.lua:9")
  }

  /// Code that was freed makes room for other code, whose places must not be taken for the old ones.
  @Test func codeThatTookTheOldsPlaceIsNotTakenForIt() throws {
    let state = try probed()
    try state.run(
      source: """
        for i = 1, 20000 do
          local lines = i % 7
          local name = "@c" .. i % 5
          local f = assert(load(("\\n"):rep(lines) .. "local x = probe() return x", name))
          local found = f()
          assert(found == ("c%d:%d"):format(i % 5, lines + 1), found)
          if i % 100 == 0 then collectgarbage() end
        end
        """, chunkName: "@sites.lua")
  }

  /// Calls that pass through C functions and through the library's own chunks are the script's.
  @Test func theScriptIsFoundBehindOthers() throws {
    let state = try probed()
    let wrap = try state.run(
      source: "return function() local r = probe() return r end", chunkName: State.Configuration.internalPrefix + "test")
    try state.setGlobal("wrapped", wrap[0])
    let found = try state.run(
      source: """
        local a = wrapped()
        local _, b = pcall(wrapped)
        return a .. " " .. b
        """, chunkName: "@s.lua")
    guard case .string(let text)? = found.first else { throw LuaError("no string") }
    #expect(text == "s.lua:1 s.lua:2")
  }

  /// A call's record is used again by the next call of that depth, and a C function leaves in it what a Lua function left
  /// there. So every way through a C function is taken after every other, and after Lua functions of several depths.
  @Test func cFunctionsHaveNoLineOfTheirOwn() throws {
    let state = try State()
    let line = NativeFunction("line") { call in call.returns(State.line(of: State.site(call.caller)) ?? "unknown") }
    try state.setGlobal("line", .native(line))
    try state.run(
      source: """
        local function within() local found = line() return found end
        local lazy = setmetatable({}, { __index = line, __tostring = line, __name = "lazy" })
        local ways = {
          function() return (table.unpack(lazy, 1, 2)) end,
          function() return (table.concat(lazy, "", 1, 1)) end,
          function() local t = table.move(lazy, 1, 2, 1, {}) return t[2] end,
          function() return (string.gsub("a", "a", line)) end,
          function() return (string.gsub("a", "a", lazy)) end,
          function() return (string.format("%s", lazy)) end,
          function() return tostring(lazy) end,
          function() local found; table.sort({ 1, 2 }, function(a, b) found = line(); return a < b end) return found end,
          function() return select(2, pcall(line)) end,
          function() return select(3, pcall(pcall, line)) end,
          function() return select(2, xpcall(error, line)) end,
          function() return (line()) end,
          function() return lazy.x end,
          function() return coroutine.wrap(function() local found = line() return found end)() end,
          function() return coroutine.wrap(function() return (table.unpack(lazy, 1, 2)) end)() end,
          function() return coroutine.wrap(line)() end,
          function() return select(2, pcall(within)) end,
        }
        local expected = {}
        for i, way in ipairs(ways) do expected[i] = "s.lua:" .. debug.getinfo(way, "S").linedefined end
        expected[16], expected[17] = "unknown", "s.lua:1"  -- the coroutine's only function is no script's

        local function deeper(n, f) if n == 0 then return f() end local a = deeper(n - 1, f) return a end
        for i, first in ipairs(ways) do
          for j, second in ipairs(ways) do
            for depth = 0, 4 do
              deeper(depth, within)
              local a = first()
              deeper(depth, within)
              local b = second()
              assert(a == expected[i] and b == expected[j],
                ("ways %d and %d after depth %d: %s and %s"):format(i, j, depth, a, b))
              assert(within() == "s.lua:1")
            end
          end
        end
        """, chunkName: "@s.lua")
  }

  @Test func noScriptNoSite() throws {
    let state = try probed()
    #expect(State.line(of: 0) == nil)
    #expect(State.line(of: .max) == nil)
    guard case .function(let probe) = try state.global("probe") else { throw LuaError("no probe") }
    guard case .nil? = try probe.call().first else { throw LuaError("a site without a script") }
  }
}

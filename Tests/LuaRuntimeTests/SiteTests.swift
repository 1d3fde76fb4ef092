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

  @Test func noScriptNoSite() throws {
    let state = try probed()
    #expect(State.line(of: 0) == nil)
    #expect(State.line(of: .max) == nil)
    guard case .function(let probe) = try state.global("probe") else { throw LuaError("no probe") }
    guard case .nil? = try probe.call().first else { throw LuaError("a site without a script") }
  }
}

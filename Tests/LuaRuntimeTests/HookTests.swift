// Hooks of scripts: as with Lua's own debug library, also while instructions are counted.
import CLuaShim
import Testing

@testable import LuaRuntime

@Suite struct HookTests {
  static let scripts: [(name: String, source: String)] = [
    (
      "lines",
      """
      local lines = {}
      debug.sethook(function(event, line) lines[#lines + 1] = event .. line end, "l")
      local x = 1
      x = 2
      debug.sethook()
      assert(table.concat(lines, " ") == "line3 line4 line5", table.concat(lines, " "))
      """
    ),
    (
      "the registry's table",
      """
      debug.sethook(function() end, "c")
      debug.sethook()
      assert(getmetatable(debug.getregistry()._HOOKKEY).__mode == "k")
      """
    ),
    (
      "calls and returns",
      """
      local events = {}
      local function f() return 1 end
      local function g() return f() end
      debug.sethook(function(event, line) assert(line == nil) events[#events + 1] = event end, "cr")
      g()
      debug.sethook()
      assert(table.concat(events, " ") == "return call tail call return call", table.concat(events, " "))
      """
    ),
    (
      "counts",
      """
      for _, step in ipairs { 1, 200, 1000, 2500 } do
        local count = 0
        debug.sethook(function(event, line) assert(event == "count" and line == nil) count = count + 1 end, "", step)
        for i = 1, 10000 do end
        debug.sethook()
        -- What the hook itself does counts too.
        assert(count >= 10000 // step and count <= 10000 / math.max(1, step - 20) + 20, step .. ": " .. count)
      end
      """
    ),
    (
      "lines and counts",
      """
      local lines, counts = 0, 0
      debug.sethook(function(event) if event == "line" then lines = lines + 1 else counts = counts + 1 end end, "l", 50)
      for i = 1, 1000 do
        local x = i
      end
      debug.sethook()
      assert(lines > 2000 and lines < 2010 and counts > 20, lines .. " " .. counts)
      """
    ),
    (
      "what is set is told",
      """
      assert(debug.gethook() == nil)
      local function f() end
      debug.sethook(f, "rcl", 12)
      local g, mask, count = debug.gethook()
      assert(g == f and mask == "crl" and count == 12)
      debug.sethook(f, "l")
      g, mask, count = debug.gethook()
      assert(g == f and mask == "l" and count == 0)
      debug.sethook(f, "")
      assert(debug.gethook() == nil)
      debug.sethook(nil, "l")
      assert(debug.gethook() == nil)
      for _, arguments in ipairs { { f }, { 1, "l" }, { f, {} }, { f, "l", {} } } do assert(not pcall(debug.sethook, table.unpack(arguments))) end
      """
    ),
    (
      "each coroutine has its own",
      """
      local n, m = 0, 0
      local co = coroutine.create(function() for i = 1, 3 do coroutine.yield(i) end end)
      debug.sethook(co, function() n = n + 1 end, "l")
      assert(debug.gethook(co) and debug.gethook() == nil)
      for i = 1, 3 do coroutine.resume(co) end
      assert(n > 0)
      local before = n
      for i = 1, 3 do local x = i end
      assert(n == before)
      debug.sethook(function() m = m + 1 end, "l")
      coroutine.wrap(function() assert(debug.gethook() == nil)
        local x = 1 end)()
      debug.sethook()
      assert(m > 0)
      """
    ),
    (
      "errors go through, and hooks can be changed within",
      """
      local ok, problem = pcall(function()
        debug.sethook(function() debug.sethook() error("from the hook", 0) end, "l")
        local x = 1
      end)
      assert(not ok and problem == "from the hook", problem)
      local n = 0
      debug.sethook(function() n = n + 1 if n == 3 then debug.sethook() end end, "", 1)
      for i = 1, 100 do end
      assert(n == 3 and debug.gethook() == nil)
      local info
      debug.sethook(function() info = info or debug.getinfo(2, "Sl") end, "l")
      local x = 1
      debug.sethook()
      assert(info.short_src == debug.getinfo(1, "S").short_src and info.currentline > 10)
      """
    ),
    (
      "forged registries",
      """
      debug.sethook(function() end, "l")
      for key, value in pairs(debug.getregistry()) do
        if type(value) == "table" and getmetatable(value) == value and rawget(value, "__mode") == "k" then
          for co in pairs(value) do if type(co) == "thread" then value[co] = { 1, "x", {}, -5 } end end
        end
      end
      local x = 1
      x = 2
      assert(select("#", debug.gethook()) == 3)
      debug.sethook()
      """
    ),
  ]

  @Test(arguments: scripts.map(\.name), [Int?.none, 10_000_000]) func areLuas(_ name: String, _ instructions: Int?) throws {
    let source = Self.scripts.first { $0.name == name }!.source
    let state = try State()
    for _ in 1...2 {
      _ = try state.limited(.init(instructions: instructions)) { try state.run(source: source, chunkName: "@hooks.lua") }
    }
  }

  /// A hook does not take the limit away, and a limit that is over leaves the hook.
  @Test func withLimits() throws {
    let state = try State()
    for mask in ["'l'", "'', 1", "'', 3000", "'crl', 7"] {
      let error = try #require(throws: LuaError.self) {
        try state.limited(.init(instructions: 50_000)) {
          try state.run(source: "debug.sethook(function() end, \(mask)) for i = 1, 1e9 do end")
        }
      }
      #expect(error.kind == .instructionLimit)
      #expect(try state.text("return tostring(debug.gethook())") == "nil")
    }
    let text = try state.text(
      """
      n = 0
      co = coroutine.wrap(function() while true do coroutine.yield() end end)
      debug.sethook(function() n = n + 1 end, "", 100)
      for i = 1, 1000 do end
      return "set"
      """)
    #expect(text == "set")
    _ = try state.limited(.init(instructions: 100_000)) {
      try state.run(source: "before = n for i = 1, 10000 do end assert(n >= before + 90)")
    }
    try state.run(source: "before = n for i = 1, 10000 do end assert(n >= before + 90) debug.sethook()")
  }
}

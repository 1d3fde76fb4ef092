// A coroutine's word: taken from whoever first resumes it, then its own.
import Testing

@testable import LuaRuntime

@Suite struct CoroutineTests {
  func makeState() throws -> State {
    let state = try State()
    try state.setGlobal("word", .native(NativeFunction { call in call.returns(Int(call.state.word)) }))
    try state.setGlobal(
      "set", .native(NativeFunction { call in call.state.word = UInt64(call.integer(1) ?? 0) }))
    return state
  }

  @Test(arguments: [
    // Taken at the first resume, not at creation.
    "set(1) local co = coroutine.create(function() return word() end) set(2) local _, w = coroutine.resume(co) assert(w == 2)",
    "set(1) local f = coroutine.wrap(word) set(2) assert(f() == 2)",
    // Its own from then on, both ways.
    """
    set(5) local f = coroutine.wrap(function() set(6) coroutine.yield() assert(word() == 6) set(7) coroutine.yield() assert(word() == 7) end)
    f() assert(word() == 5) set(8) f() assert(word() == 8) f() assert(word() == 8)
    """,
    // Through a chain of coroutines.
    """
    set(1)
    local outer = coroutine.wrap(function()
      set(2)
      local inner = coroutine.wrap(function() assert(word() == 2) set(3) coroutine.yield() assert(word() == 3) end)
      inner() assert(word() == 2) coroutine.yield(inner) assert(word() == 2)
    end)
    local inner = outer() assert(word() == 1) set(9) inner() assert(word() == 9) outer() assert(word() == 9)
    """,
    // Errors and closing leave the resumer's word alone.
    "set(4) local co = coroutine.create(function() set(5) error('x') end) assert(not coroutine.resume(co)) assert(word() == 4)",
    "set(4) local f = coroutine.wrap(function() set(5) error('x') end) assert(not pcall(f)) assert(word() == 4)",
    "set(4) local co = coroutine.create(function() set(5) coroutine.yield() end) coroutine.resume(co) coroutine.close(co) assert(word() == 4)",
    // Refused resumes adopt nothing.
    "set(4) assert(not coroutine.resume(coroutine.running())) assert(word() == 4)",
    "set(4) pcall(set, 6) assert(word() == 6)",
    "set((1 << 62) - 1) assert(word() == (1 << 62) - 1) assert(coroutine.wrap(word)() == (1 << 62) - 1)",
  ])
  func wordsAreInherited(_ source: String) throws {
    try makeState().run(source: source)
  }

  @Test func aScriptsWordIsTheHosts() throws {
    let state = try makeState()
    state.word = 3
    try state.run(source: "assert(word() == 3) set(4)")
    #expect(state.word == 4)
    #expect(throws: LuaError.self) { try state.run(source: "set(5) error('x')") }
    #expect(state.word == 5)
    try state.run(source: "assert(coroutine.wrap(word)() == 5)")
  }

  @Test(arguments: [
    "local co, main = coroutine.running() assert(main and type(co) == 'thread')",
    "assert(not coroutine.isyieldable())",
    "local ok, e = pcall(coroutine.yield) assert(not ok and e == 'attempt to yield from outside a coroutine')",
    "coroutine.wrap(function() local _, main = coroutine.running() assert(not main and coroutine.isyieldable()) end)()",
    "local f = coroutine.wrap(function(...) local a = table.pack(...) while true do a = table.pack(coroutine.yield(table.unpack(a, 1, a.n))) end end) assert(f(1, 2) == 1) assert(select('#', f(nil, nil, nil)) == 3)",
    "local co = coroutine.create(function() end) assert(coroutine.status(co) == 'suspended') coroutine.resume(co) assert(coroutine.status(co) == 'dead')",
    "local co co = coroutine.create(function() assert(coroutine.status(co) == 'running') end) assert(coroutine.resume(co))",
    "local main = coroutine.running() coroutine.wrap(function() assert(coroutine.status(main) == 'normal') assert(not coroutine.resume(main)) end)()",
    "local ok, e = coroutine.resume(coroutine.create(error), 'x') assert(not ok and e == 'x')",
    "local ok, e = pcall(coroutine.wrap(function() error('x') end)) assert(e:match('x$'))",
    "local f = coroutine.wrap(function() pcall(coroutine.yield, 1) return 2 end) assert(f() == 1 and f() == 2)",
    "local t = setmetatable({}, {__index = function(t, k) return coroutine.yield(k) end}) local f = coroutine.wrap(function() return t.x end) assert(f() == 'x' and f(5) == 5)",
    // A close that yields, on which stock 5.4.4 crashes.
    """
    local co = coroutine.create(function()
      local x <close> = setmetatable({}, {__close = function() coroutine.yield() end}) coroutine.yield() end)
    coroutine.resume(co) assert(not coroutine.close(co)) coroutine.resume(co) assert(coroutine.status(co) == 'dead')
    """,
    // Closings within closings end before the C stack does, where the stock library goes on.
    """
    local co, message
    for _ = 1, 10000 do
      local inner = co
      co = coroutine.create(function()
        local x <close> = setmetatable({}, {__close = function()
          if not inner then return end
          local ok, e = coroutine.close(inner)
          if not ok then message = e end
        end})
        coroutine.yield()
      end)
      coroutine.resume(co)
    end
    assert(coroutine.close(co)) assert(message:find 'C stack overflow')
    """,
    """
    local f, message
    for _ = 1, 10000 do
      local inner = f
      f = coroutine.wrap(function()
        local x <close> = setmetatable({}, {__close = function()
          if not inner then return end
          local ok, e = pcall(inner)
          if e:find 'overflow' then message = e end
        end})
        error 'x'
      end)
    end
    pcall(f) assert(message:find 'C stack overflow')
    """,
    // A few are fine.
    """
    local co, closed = nil, 0
    for _ = 1, 50 do
      local inner = co
      co = coroutine.create(function()
        local x <close> = setmetatable({}, {__close = function() closed = closed + 1 if inner then coroutine.close(inner) end end})
        coroutine.yield()
      end)
      coroutine.resume(co)
    end
    assert(coroutine.close(co) and closed == 50)
    """,
  ])
  func theLibraryBehavesAsUsual(_ source: String) throws {
    try makeState().run(source: source)
  }
}

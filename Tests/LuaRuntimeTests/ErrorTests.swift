// Errors cross both ways: with position, traceback and cause, and without leaking what they jump over.
import Testing

@testable import LuaRuntime

@Suite struct ErrorTests {
  let counter = Counter()

  /// However a script hands an error on, with positions or a traceback added, the host gets the Swift error back.
  @Test(arguments: [
    "raise(7)", "coroutine.wrap(function() raise(7) end)()", "coroutine.wrap(raise)(7)",
    "coroutine.wrap(function() coroutine.wrap(function() raise(7) end)() end)()",
    "local ok, e = pcall(raise, 7) error(e)", "local ok, e = pcall(raise, 7) error(e, 0)", "local ok, e = pcall(raise, 7) error(e, 2)",
    "local ok, e = pcall(coroutine.wrap(function() raise(7) end)) error(e)",
    "local ok, e = coroutine.resume(coroutine.create(function() raise(7) end)) error(e)",
    "local ok, e = coroutine.resume(coroutine.create(raise), 7) error(e, 0)",
    "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() raise(7) end}) coroutine.yield() end) coroutine.resume(co) error(select(2, coroutine.close(co)))",
    "local co = coroutine.create(raise) coroutine.resume(co, 7) local ok, e = coroutine.close(co) assert(not ok) error(e)",
    "local ok, e = xpcall(raise, debug.traceback, 7) error(e, 0)", "local ok, e = xpcall(raise, debug.traceback, 7) error(e)",
    "local ok, e = xpcall(raise, function(e) return e end, 7) error(e)",
    "string.gsub('a', 'a', function() coroutine.wrap(raise)(7) end)",
  ])
  func causesComeBack(_ source: String) throws {
    let state = try State()
    try state.setGlobal("raise", .native(NativeFunction { call in throw Failure(code: call.integer(1) ?? 7) }))
    let error = try state.failure(source)
    #expect(error.cause as? Failure == Failure(code: 7), "\(error)")
    #expect(try state.failure("pcall(raise, 7) error('another')").cause == nil)
    #expect(try state.failure("pcall(raise, 7) error('no failure 7')").cause == nil)
    #expect(try state.failure("pcall(raise, 7) error('more: failure 7', 0)").cause == nil)
  }

  @Test func tenThousandErrorsLeakNothing() throws {
    do {
      let state = try makeState(counter)
      let counter = counter
      try state.setGlobal(
        "throwing",
        .native(
          NativeFunction { call in
            let local = Counted(counter)  // alive while the error leaves
            call.returns(local, countedKind)  // a result that is given up
            call.returns("a string")
            call.returnsList(2)
            call.returns(local, countedKind)
            throw Failure(code: 7)
          }))
      try state.run(source: "for i = 1, 10000 do assert(not pcall(throwing)) end")
      #expect(counter.made == 10_000)
      #expect(counter.live == 0)
      #expect(state.handleCount < 50)  // functions only
    }
    #expect(counter.live == 0 && counter.released == counter.made)
  }

  @Test func messagesHaveLuasPositions() throws {
    let state = try makeState(counter)
    #expect(try state.failure("\n\nfail(1)").message == "test.lua:3: failure 1")
    #expect(try state.failure("local x = nil + 1").position?.line == 1)
    #expect(try state.failure("error('bare', 0)").message == "bare")
    #expect(try state.failure("error('bare', 0)").position == nil)
    #expect(
      try state.failure("local a = new(1)\nlocal _ = a + 2").message
        == "test.lua:2: add: expected two Counted")
    #expect(
      try state.failure("local a = new(1)\na.x = 1").message == "test.lua:2: cannot assign to field 'x'")
    let error = try state.failure("fail(1)")
    #expect(error.plainMessage == "failure 1")
  }

  @Test func positionsAreFoundInMessages() {
    #expect(LuaError("a.lua:12: b: c").position == LuaError.Position(chunk: "a.lua", line: 12))
    #expect(LuaError("dir:x/a.lua:1: b").position?.chunk == "dir:x/a.lua")
    #expect(LuaError("[string \"x\"]:3: y").position?.chunk == "[string \"x\"]")
    #expect(LuaError("no position: here").position == nil)
    #expect(LuaError(":1: x").position == nil)
    #expect(LuaError("").position == nil)
  }

  @Test func tracebacksNameTheLines() throws {
    let state = try makeState(counter)
    let error = try state.failure(
      "local function inner() fail(1) end\nlocal function outer() inner() end\nouter()")
    let traceback = try #require(error.traceback)
    #expect(traceback.hasPrefix("stack traceback:"))
    #expect(traceback.contains("test.lua:1: in upvalue 'inner'"))
    #expect(traceback.contains("test.lua:3: in main chunk"))
  }

  @Test func theSwiftErrorComesBack() throws {
    let state = try makeState(counter)
    #expect(try state.failure("fail(3)").cause as? Failure == Failure(code: 3))
    // Also when a script passed it on, from another one's pcall or with error().
    let passedOn = try state.failure("local _, a = pcall(fail, 4) local _, b = pcall(fail, 5) error(a, 0)")
    #expect(passedOn.cause as? Failure == Failure(code: 4))
    #expect(try state.failure("local _, a = pcall(fail, 4) error(a .. '!')").cause == nil)
    #expect(try state.failure("error('test.lua:1: failure 4')").cause == nil)  // nothing remembered between runs
  }

  /// An error that a script has caught is not the reason for a later one with the same words; taken for it, it would hand
  /// its traceback on, which would grow with every error.
  @Test func anErrorWithTheSameWordsIsAnother() throws {
    let state = try makeState(counter)
    var length: [Int] = []
    let call = NativeFunction("call") { call in
      guard case .function(let function) = try call.value(1) else { throw LuaError("call: expected a function") }
      do { try function.call() } catch let error as LuaError {
        length.append(error.traceback?.count ?? 0)
        throw error
      }
    }
    try state.setGlobal("call", .native(call))
    try state.run(source: "for i = 1, 50 do pcall(call, function() error('x', 0) end) end")
    #expect(length.count == 50)
    #expect(Set(length).count == 1)
  }

  @Test func errorValuesSurvive() throws {
    let state = try makeState(counter)
    let error = try state.failure("error({code = 5})")
    guard case .table(let table)? = error.value else {
      Issue.record("no table")
      return
    }
    #expect(try table.get("code").integerValue == 5)
    #expect(error.message == "(error object is a table value)")
    #expect(
      try state.failure("error(setmetatable({}, {__tostring = function() return 'mine' end}))").message
        == "mine")
    #expect(
      try state.failure("error(setmetatable({}, {__tostring = function() error('x') end}))").message
        == "(error object is a table value)")
    #expect(try state.failure("error()").message == "(error object is a nil value)")
    #expect(try state.failure("error(42)").message == "42")
    #expect(try state.failure("error(true)").message == "(error object is a boolean value)")
  }

  @Test func syntaxErrorsSayWhere() throws {
    let state = try makeState(counter)
    let error = try state.failure("local x =\n= 3")
    #expect(error.kind == .syntax)
    #expect(error.message == "test.lua:2: unexpected symbol near '='")
    #expect(try state.failure("x = 'abc").kind == .syntax)
    #expect(try state.failure("for").message.hasSuffix("<name> expected near <eof>"))
  }

  @Test func deepRecursionIsAnOrdinaryError() throws {
    let state = try makeState(counter)
    #expect(try state.failure("local function f() return 1 + f() end f()").message.contains("stack overflow"))
    #expect(
      try state.failure("local function f() return pcall(f) end error(select(2, f()) or 'none')").kind
        == .runtime)
    #expect(
      try state.text(
        "local function f() local ok, e = pcall(f) return ok, e end return tostring(select(2, f()))") != nil)
    try state.run(
      source: "local function f() coroutine.wrap(f)() end assert(not pcall(f))", chunkName: "@test.lua")
    try state.run(source: "assert(not load(('('):rep(1e6)))")
    #expect(try state.failure("return table.unpack({}, 1, 1e7)").message.contains("too many results"))
    #expect(
      try state.failure(
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k + 1] end print(t[1])"
      )
      .message.contains("stack overflow"))
    #expect(try state.text("return 'usable'") == "usable")
  }

  @Test func theHandlerOfXpcallMayFail() throws {
    let state = try makeState(counter)
    #expect(
      try state.text("return (select(2, xpcall(fail, function(m) return 'handled ' .. m end, 9)))")?
        .hasPrefix("handled ") == true)
    try state.run(source: "assert(not xpcall(fail, function(m) error(m) end, 9))")
  }

  @Test func warningsReachTheSink() throws {
    let box = WarningBox()
    var configuration = State.Configuration()
    configuration.warningSink = { box.append($0) }
    let state = try State(configuration)
    try state.run(
      source: """
        warn('a', 'b') warn('@off') warn('silent') warn('@on') warn('c')
        setmetatable({}, {__gc = function() error('in gc') end}) collectgarbage()
        """)
    #expect(box.all.prefix(2) == ["ab", "c"])
    #expect(box.all.last?.contains("in gc") == true)
  }
}

final class WarningBox: @unchecked Sendable {
  var all: [String] = []
  func append(_ text: String) { all.append(text) }
}

extension Value {
  var integerValue: Int? { if case .integer(let value) = self { value } else { nil } }
  var bytesValue: [UInt8]? { if case .bytes(let value) = self { value } else { nil } }
  var booleanValue: Bool? { if case .boolean(let value) = self { value } else { nil } }
  var stringValue: String? { if case .string(let value) = self { value } else { nil } }
}

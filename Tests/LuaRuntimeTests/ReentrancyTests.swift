// Lua calls Swift calls Lua calls Swift: values, errors and ownership hold at every level.
import Testing

@testable import LuaRuntime

@Suite struct ReentrancyTests {
  let counter = Counter()

  /// `through(f, …)` calls f from Swift and returns what it returns.
  func makeNestingState() throws -> State {
    let state = try makeState(counter)
    let counter = counter
    try state.setGlobal(
      "through",
      .native(
        NativeFunction("through") { call in
          let early = Counted(counter, 100)
          call.returns(early, countedKind)  // written before the nested call, and must survive it
          guard case .function(let function) = try call.value(1) else {
            throw LuaError("through: expected a function")
          }
          var arguments: [Value] = []
          if call.count > 1 { for index in 2...call.count { arguments.append(try call.value(index)) } }
          for value in try function.call(arguments) { call.returns(value) }
        }))
    return state
  }

  @Test func valuesPassThroughManyLevels() throws {
    let state = try makeNestingState()
    try state.run(
      source: """
        local function deep(n) if n == 0 then return new(7), 'bottom' end
          return select(2, through(deep, n - 1)) end
        local early, a, b = through(deep, 20)
        assert(early.value == 100 and a.value == 7 and b == 'bottom')
        """)
    state.collect()
    #expect(counter.live == 0)
  }

  @Test func errorsPassThroughManyLevels() throws {
    let state = try makeNestingState()
    let error = try state.failure(
      """
      local function deep(n)
        if n == 0 then fail(6) end
        return through(deep, n - 1)
      end
      deep(10)
      """)
    #expect(error.message == "test.lua:2: failure 6")
    #expect(error.cause as? Failure == Failure(code: 6))
    #expect(error.traceback?.contains("test.lua:2: in") == true)
    #expect(error.traceback?.contains("test.lua:5: in main chunk") == true)
    state.collect()
    #expect(counter.live == 0)
  }

  @Test func errorValuesKeepTheirIdentity() throws {
    let state = try makeNestingState()
    try state.run(
      source: """
        local value = {}
        local ok, e = pcall(through, function() through(function() error(value) end) end)
        assert(not ok and rawequal(e, value))
        for _, value in ipairs {42, true, 'text', '\\xff\\0'} do
          local ok, e = pcall(through, error, value, 0)
          assert(not ok and e == value and math.type(e) == math.type(value))
        end
        """)
  }

  @Test func swiftCanCatchAndGoOn() throws {
    let state = try makeState(counter)
    try state.setGlobal(
      "try",
      .native(
        NativeFunction { call in
          guard case .function(let function) = try call.value(1) else { return }
          do { try function.call() } catch let error as LuaError {
            call.returns("caught " + error.plainMessage)
          }
        }))
    #expect(try state.text("return try(function() fail(1) end)") == "caught failure 1")
    #expect(try state.text("return try(function() try(error) error('x') end)") == "caught x")
  }

  @Test func yieldsAcrossSwiftAreRefused() throws {
    let state = try makeNestingState()
    let error = try state.failure("coroutine.wrap(function() through(coroutine.yield) end)()")
    #expect(error.message.contains("attempt to yield across a C-call boundary"))
  }

  @Test func coroutinesInsideNestedCalls() throws {
    let state = try makeNestingState()
    try state.run(
      source: """
        local f = coroutine.wrap(function()
          local early, v = through(function()
            local g = coroutine.wrap(function() coroutine.yield(1) coroutine.yield(new(3)) end)
            g() return g()
          end)
          coroutine.yield(v.value)
          local _, w = through(function() return 9 end)
          return w
        end)
        assert(f() == 3 and f() == 9)
        """)
  }

  @Test func hostCallsFromNativeCallsUseTheRunningCoroutine() throws {
    let state = try makeState(counter)
    try state.setGlobal(
      "trace", .native(NativeFunction { call in call.returns(call.state.traceback("here")) }))
    try state.setGlobal(
      "run",
      .native(
        NativeFunction { call in
          for value in try call.state.run(source: call.string(1) ?? "", chunkName: "=inner") {
            call.returns(value)
          }
        }))
    #expect(
      try state.text("local function named() return (trace()) end return (named())")?
        .contains("test.lua:1: in local 'named'") == true)
    #expect(
      try state.text("return (coroutine.wrap(function() return run('return trace()') end)())")?
        .contains("inner:1: in") == true)
    #expect(try state.failure("run('error(\"x\")')").message == "inner:1: x")
    #expect(try state.failure("run('x = ')").kind == .syntax)
  }

  @Test func recursionThroughSwiftHasALimit() throws {
    let state = try makeNestingState()
    let error = try state.failure("local function deep() return through(deep) end deep()")
    #expect(error.message.contains("C stack overflow"))
    state.collect()
    #expect(counter.live == 0)
    try state.run(source: "assert(select(2, through(function() return 1 end)) == 1)")
  }

  @Test func aDeinitThatUsesLuaIsRefused() throws {
    final class Meddler {
      let state: Unmanaged<State>
      let report: WarningBox
      init(_ state: State, _ report: WarningBox) {
        self.state = .passUnretained(state)
        self.report = report
      }
      deinit {
        do { try state.takeUnretainedValue().run(source: "return 1") } catch { report.append("\(error)") }
      }
    }
    let kind = HandleKind<Meddler>("Meddler")
    let report = WarningBox()
    let state = try State()
    let box = Unmanaged.passUnretained(state)
    try state.setGlobal(
      "meddler",
      .native(NativeFunction { call in call.returns(Meddler(box.takeUnretainedValue(), report), kind) }))
    try state.run(source: "meddler() collectgarbage()")
    #expect(report.all.count == 1 && report.all[0].contains("deinit"))
  }

  @Test func objectsThatHoldReferencesAreCollectedSafely() throws {
    final class Holder {
      let value: Value
      init(_ value: Value) { self.value = value }
    }
    let kind = HandleKind<Holder>("Holder")
    let state = try State()
    try state.setGlobal(
      "hold", .native(NativeFunction { call in call.returns(Holder(try call.value(1)), kind) }))
    try state.run(source: "for i = 1, 20000 do hold({}) hold(function() return i end) end")
    state.collect()
    state.collect()
    try state.run(source: "")
    #expect(state.handleCount < 50)
    #expect(state.counts.references < 50)
  }
}

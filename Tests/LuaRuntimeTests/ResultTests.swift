// Results: every tag, alone and nested, becomes the Lua value it stands for.
import Testing

@testable import LuaRuntime

@Suite struct ResultTests {
  let counter = Counter()

  func state(returning body: @escaping NativeFunction.Body) throws -> State {
    let state = try makeState(counter)
    try state.setGlobal("f", .native(NativeFunction("f", body)))
    return state
  }

  @Test func everyTagAlone() throws {
    let counter = counter
    let state = try state { call in
      switch call.integer(1) {
      case 1: call.returnsNil()
      case 2: call.returns(true)
      case 3: call.returns(-7)
      case 4: call.returns(2.5)
      case 5: call.returns("text\0 with zero")
      case 6: call.returns(Counted(counter, 9), countedKind)
      case 7: call.returns(NativeFunction { inner in inner.returns(inner.integer(1)! * 2) })
      case 8: call.returnsArgument(2)
      case 9: call.returnsList(0)
      case 10: call.returnsRecord(0)
      case 11: call.returns(bytes: UnsafeRawBufferPointer(start: nil, count: 0))
      case 12: call.returnsArgument(99)
      case 13: call.returns(Value.bytes([0xff, 0, 0xfe]))
      default: break
      }
    }
    try state.run(
      source: """
        assert(select('#', f(0)) == 0 and select('#', f(1)) == 1 and f(1) == nil)
        assert(f(2) == true and f(3) == -7 and math.type(f(3)) == 'integer' and f(4) == 2.5)
        assert(f(5) == 'text\\0 with zero' and f(6):get() == 9 and f(7)(21) == 42)
        local t = {} assert(rawequal(f(8, t), t) and f(8, nil) == nil and f(8) == nil)
        assert(#f(9) == 0 and next(f(10)) == nil and f(11) == '' and f(12) == nil)
        assert(f(13) == '\\xff\\0\\xfe')
        """)
  }

  /// A result that the host let go of before it came back to Lua, with other native functions called in between.
  @Test func aReferenceLivesUntilItIsReturned() throws {
    let state = try state { call in
      guard case .table(let table) = try call.value(1), case .function(let other) = try call.value(2) else { return }
      call.returns(try table.get("own"))
      try other.call()
      try other.call()
    }
    try state.setGlobal("touch", .native(NativeFunction("touch") { call in _ = try call.value(1) }))
    try state.run(
      source: """
        local kept = {}
        local t = setmetatable({}, {__index = function() return {'own'} end})
        local found = f(t, function() for i = 1, 10 do kept[i] = {i} touch(kept[i]) collectgarbage() end end)
        assert(type(found) == 'table' and found[1] == 'own', tostring(found))
        """)
  }

  @Test func manyResultsInOrder() throws {
    let state = try state { call in
      for value in 1...(call.integer(1) ?? 0) { call.returns(value) }
    }
    try state.run(
      source: """
        for _, n in ipairs {1, 2, 19, 20, 21, 100, 5000} do
          local t = {f(n)}
          assert(#t == n) for i = 1, n do assert(t[i] == i) end
        end
        """)
    #expect(try state.failure("f(2000000)").message.contains("too many results"))
  }

  @Test func treesOfEverything() throws {
    let counter = counter
    let state = try state { call in
      call.returnsList(4)
      call.returns("first")
      call.returnsRecord(3)
      call.returns("handle")
      call.returns(Counted(counter, 1), countedKind)
      call.returns("list")
      call.returnsList(3)
      call.returnsArgument(2)
      call.returns(NativeFunction { $0.returns("called") })
      call.returnsNil()
      call.returns(5)
      call.returns(false)
      call.returnsArgument(1)
      call.returnsList(0)
      call.returns("second result")
    }
    try state.run(
      source: """
        local key = {}
        local t, second = f(key, 'argument two')
        assert(second == 'second result' and select('#', f()) == 2)
        assert(t[1] == 'first' and t[2].handle:get() == 1 and t[2].list[1] == 'argument two')
        assert(t[2].list[2]() == 'called' and t[2].list[3] == nil and t[2][5] == false)
        assert(rawequal(t[3], key) and #t[4] == 0)
        """)
  }

  @Test func hostValuesMakeTheRoundTrip() throws {
    let state = try State()
    let value = Value.record([
      "nested": .list([.integer(1), .number(0.5), .string("é"), .boolean(false), .list([])])
    ])
    try state.setGlobal("v", value)
    try state.run(
      source:
        "assert(v.nested[1] == 1 and v.nested[2] == 0.5 and v.nested[3] == 'é' and v.nested[4] == false)")
    #expect(try state.evaluate("'\\xff'").first?.bytesValue == [0xff])
    #expect(try state.evaluate("v.nested[3]").first?.stringValue == "é")
    #expect(try state.evaluate("").isEmpty)
    #expect(try state.evaluate("return 1, 2").count == 2)
    #expect(try state.evaluate("local x = 3 return x").first?.integerValue == 3)
  }

  @Test func unfinishedTablesAreErrors() throws {
    let counter = counter
    let state = try state { call in
      call.returnsList(3)
      call.returns(Counted(counter), countedKind)
    }
    #expect(try state.failure("f()").message.contains("unfinished"))
    state.collect()
    #expect(counter.live == 0 && counter.made == 1)
  }

  @Test func recordsWithBadKeysAreErrors() throws {
    let counter = counter
    let state = try state { call in
      call.returnsRecord(2)
      call.returnsNil()
      call.returns(Counted(counter), countedKind)
      call.returns("later")
      call.returns(Counted(counter), countedKind)
    }
    #expect(try state.failure("f()").message.contains("index is nil"))
    state.collect()
    #expect(counter.live == 0 && counter.made == 2)
  }

  @Test func depthHasALimit() throws {
    let state = try state { call in
      for _ in 0..<(call.integer(1) ?? 0) { call.returnsList(1) }
      call.returns(1)
    }
    try state.run(source: "local t = f(150) for i = 1, 150 do t = t[1] end assert(t == 1)")
    #expect(try state.failure("f(100000)").message.contains("too deeply"))
  }

  @Test func theContextOfAFunctionIsReleased() throws {
    let counter = counter
    let state = try state { call in
      let captured = Counted(counter)
      call.returns(NativeFunction { inner in inner.returns(captured.value) })
    }
    try state.run(source: "for i = 1, 1000 do assert(f()() == 0) end")
    state.collect()
    #expect(counter.live == 0 && counter.made == 1000)
  }

  @Test func aReferenceReturnsTheValueItself() throws {
    let state = try State()
    let table = try #require(try state.evaluate("{}").first)
    try state.setGlobal("get", .native(NativeFunction { call in call.returns(table) }))
    try state.run(source: "assert(get() == get())")
  }

  @Test func referencesAreGivenBack() throws {
    let state = try State()
    try state.run(
      source:
        "weak = setmetatable({}, {__mode = 'k'}) function make() local t = {} weak[t] = true return t end")
    for _ in 0..<1000 { _ = try state.evaluate("make()") }
    state.collect()
    #expect(try state.evaluate("next(weak) == nil").first?.booleanValue == true)
    #expect(state.counts.references <= 1)
    let kept = try state.evaluate("make()")
    state.collect()
    try state.run(source: "assert(next(weak) ~= nil)")
    withExtendedLifetime(kept) {}
  }

  @Test func referencesOutliveTheirState() throws {
    var state: State? = try State()
    let values = try #require(try state?.evaluate("{}, print"))
    state = nil
    guard case .table(let table) = values[0], case .function(let function) = values[1] else { return }
    #expect(throws: LuaError.self) { try table.get("x") }
    #expect(throws: LuaError.self) { try function.call() }
  }
}

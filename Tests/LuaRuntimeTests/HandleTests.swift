// Handles: released exactly once, equal by object, and made by nobody else.
import Testing

@testable import LuaRuntime

@Suite struct HandleTests {
  let counter = Counter()

  @Test func collectedHandlesReleaseOnce() throws {
    let state = try makeState(counter)
    try state.run(source: "for i = 1, 1000 do local x = new(i) + new(1) end")
    state.collect()
    #expect(counter.live == 0 && counter.made == 3000 && counter.released == 3000)
    try state.run(source: "kept = {} for i = 1, 100 do kept[i] = new(i) end")
    state.collect()
    #expect(counter.live == 100)
    try state.run(source: "kept = nil")
    state.collect()
    #expect(counter.live == 0 && counter.released == counter.made)
  }

  @Test func closingReleasesWhatIsLeft() throws {
    do {
      let state = try makeState(counter)
      try state.run(source: "kept = {} for i = 1, 50000 do kept[i] = new(i) end")
      #expect(counter.live == 50000)
    }
    #expect(counter.live == 0 && counter.released == 50000)
  }

  @Test func statesDoNotShareBlocks() throws {
    let first = try makeState(counter)
    try first.run(source: "kept = new(1)")
    do {
      let second = try makeState(counter)
      try second.run(source: "kept = {} for i = 1, 30000 do kept[i] = new(2) end")
    }
    let third = try makeState(counter)
    try third.run(source: "kept = new(3) for i = 1, 30000 do new(4) end")
    #expect(try first.evaluate("kept.value").first?.numberValue == 1)
    #expect(try third.evaluate("kept.value").first?.numberValue == 3)
  }

  @Test func equalityIsTheObjects() throws {
    let state = try makeState(counter)
    let object = Counted(counter, 5)
    try state.setGlobal("a", .object(object, countedKind))
    try state.setGlobal("b", .object(object, countedKind))
    try state.run(
      source: """
        assert(a == b and not rawequal(a, b))
        assert(a ~= new(5) and a ~= 5 and a ~= {} and a ~= io.stdout)
        assert(a:itself() == a and rawequal(a:itself(), a))
        """)
    #expect(try state.evaluate("a").first?.handle?.object(countedKind) === object)
  }

  /// Every way a script has to pass something off as a handle ends in an error.
  @Test(arguments: [
    "get({})", "get(io.stdout)", "get(1)", "get()", "get('x')", "get(coroutine.create(print))", "get(print)",
    "get(setmetatable({}, debug.getmetatable(new(1))))",
    "get(setmetatable({}, {__name = 'Counted', __index = new(1)}))",
    "debug.setmetatable(io.stdout, debug.getmetatable(new(1))) get(io.stdout)",
    "get(other())", "get(debug.upvalueid(function() return state end, 1))",
    "debug.setmetatable(1, debug.getmetatable(new(1))) get(1)",
    "local _, context = debug.getupvalue(new, 1) get(context)",
    "debug.setupvalue(new, 1, io.stdout) new(1)",
    "new(1).get()", "new(1).get({})", "setmetatable(new(1), {})", "getmetatable(new(1)).__index.get(1)",
  ])
  func handlesCannotBeForged(_ source: String) throws {
    let state = try makeState(counter)
    let counter = counter
    try state.setGlobal("other", .native(NativeFunction { call in call.returns(counter, otherKind) }))
    let error = try state.failure("get = new(1).get " + source)
    #expect(error.message.hasPrefix("test.lua:1: "), "\(error.message)")
    try state.run(source: "debug.setmetatable(1, nil) assert(new(2):get() == 2)")
  }

  @Test func metatablesAreOutOfReach() throws {
    let state = try makeState(counter)
    try state.run(
      source: """
        local a = new(1)
        assert(getmetatable(a) == false and tostring(a):match('^Counted: 0x'))
        assert(not pcall(rawset, a, 'x', 1) and not pcall(rawget, a, 'x') and not pcall(next, a))
        debug.setmetatable(a, {__gc = function() end})  -- trusted scripts may, and only hurt their own
        a = nil collectgarbage() collectgarbage()
        """)
    #expect(counter.live == 0)
  }

  @Test func kindsInherit() throws {
    let state = try makeState(counter)
    let child = HandleKind<Counted>("Child")
    var members = HandleMembers()
    members.methods["own"] = NativeFunction { call in call.returns("own") }
    members.methods["itself"] = NativeFunction { call in call.returns("overridden") }
    try state.define(child, inheriting: countedKind, members)
    try state.setGlobal("c", .object(Counted(counter, 4), child))
    try state.run(
      source: """
        assert(c:own() == 'own' and c:get() == 4 and c.value == 4 and c:itself() == 'overridden')
        c.value = 6
        assert(c.value == 6 and (c + new(1)).value == 7)
        assert(tostring(c):match('^Child: ') and select(2, pcall(function() return c.zzz end)):match("no field 'zzz'"))
        """)
    #expect(try state.evaluate("c").first?.handle?.object(countedKind) != nil)
    #expect(try state.evaluate("new(1)").first?.handle?.object(child) == nil)
  }

  @Test func kindsCanBeRedefined() throws {
    let state = try makeState(counter)
    try state.run(source: "old = new(1)")
    var members = HandleMembers()
    members.methods["fresh"] = NativeFunction { call in call.returns("fresh") }
    try state.define(countedKind, members)
    #expect(try state.text("return new(2):fresh() .. old:get()") == "fresh1.0")
  }

  @Test func undefinedKindsWork() throws {
    let state = try State()
    let kind = HandleKind<Counted>("Undefined")
    try state.setGlobal("x", .object(Counted(counter, 2), kind))
    #expect(try state.evaluate("x").first?.handle?.object(kind)?.value == 2)
    #expect(try state.failure("return x.field").message.contains("attempt to index a userdata value"))
  }

  @Test func finalizersSeeHandlesStillAlive() throws {
    let state = try makeState(counter)
    try state.run(
      source: """
        do local x = new(11)
          setmetatable({}, {__gc = function() seen = x.value + new(1).value end}) end
        collectgarbage() collectgarbage()
        assert(seen == 12)
        """)
    state.collect()
    #expect(counter.live == 0)
  }
}

extension Value {
  var numberValue: Double? { if case .number(let value) = self { value } else { nil } }
  var handle: HandleReference? { if case .handle(let handle) = self { handle } else { nil } }
}

// Functions that the object of a handle keeps: gone with the handle, and never before.
import Testing

@testable import LuaRuntime

/// What keeps functions of scripts: itself, or a part that others may share.
final class Keeper: PartOwner {
  final class Part {
    var functions: [AttachedFunction] = []
  }
  let counter: Counter
  var functions: [AttachedFunction] = []
  var part: Part?
  var others: [Keeper] = []

  init(_ counter: Counter) {
    self.counter = counter
    counter.live += 1
  }
  deinit { counter.live -= 1 }

  func isSoleOwner(ofPartAt address: UnsafeRawPointer) -> Bool {
    let isCurrent = part.map { Unmanaged.passUnretained($0).toOpaque() == address } ?? false
    return isCurrent && isKnownUniquelyReferenced(&part)
  }
}

@Suite struct AttachedTests {
  let counter = Counter()
  static let kind = HandleKind<Keeper>("Keeper")

  /// A state with `keeper()`, and of keepers `keep(f)`, `keep_in_part(f)`, `call(…)`, `hold(other)`, `share(other)`, `drop()`.
  static func populate(_ state: State, _ counter: Counter) throws {
    func method(_ name: String, _ body: @escaping (inout Call, Keeper) throws -> Void) -> NativeFunction {
      NativeFunction(name) { call in
        guard let keeper = call.object(1, kind) else { throw LuaError("\(name): expected a Keeper") }
        try body(&call, keeper)
      }
    }
    var members = HandleMembers()
    members.methods["keep"] = method("keep") { call, keeper in
      keeper.functions.append(try AttachedFunction(call, function: 2, to: 1))
    }
    members.methods["keep_in_part"] = method("keep_in_part") { call, keeper in
      let part = keeper.part ?? Keeper.Part()
      keeper.part = part
      part.functions.append(try AttachedFunction(call, function: 2, to: 1, part: part))
    }
    members.methods["call"] = method("call") { call, keeper in
      let functions = keeper.functions + (keeper.part?.functions ?? [])
      let argument = try call.value(2)
      for value in try functions.flatMap({ try $0.call([argument]) }) { call.returns(value) }
    }
    members.methods["hold"] = method("hold") { call, keeper in keeper.others.append(call.object(2, kind)!) }
    members.methods["share"] = method("share") { call, keeper in keeper.part = call.object(2, kind)!.part }
    members.methods["held"] = method("held") { call, keeper in call.returns(keeper.others[0], kind) }
    members.methods["drop"] = method("drop") { call, keeper in
      keeper.others = []
      keeper.functions = []
      keeper.part = nil
    }
    try state.define(kind, members)
    try state.setGlobal("keeper", .native(NativeFunction("keeper") { $0.returns(Keeper(counter), kind) }))
  }

  func makeState(_ configuration: State.Configuration = .init()) throws -> State {
    let state = try State(configuration)
    try Self.populate(state, counter)
    return state
  }

  @Test(arguments: ["keep", "keep_in_part"], ["incremental", "generational"])
  func aFunctionThatRefersToItsHandleGoesWithIt(_ keep: String, _ mode: String) throws {
    let state = try makeState()
    try state.setGlobal("mode", .string(mode))
    try state.run(
      source: """
        collectgarbage(mode)
        local functions = setmetatable({}, {__mode = 'k'})
        do
          local x = keeper()
          local function f(y) return x, y end
          functions[f] = true
          x:\(keep)(f)
          x:\(keep)(function(y) return {x}, y end)
          collectgarbage() collectgarbage()
          local a, b, c, d = x:call(5)
          assert(a == x and b == 5 and c[1] == x and d == 5 and functions[f])
        end
        collectgarbage() collectgarbage()
        assert(next(functions) == nil)
        """)
    #expect(counter.live == 0)
    #expect(state.counts.references == 0)
  }

  @Test(arguments: ["keep", "keep_in_part"])
  func oneThatTheHostStillNeedsStays(_ keep: String) throws {
    let state = try makeState()
    try state.run(
      source: """
        holder = keeper()
        do
          local x = keeper()
          x:\(keep)(function(y) return x, y end)
          holder:hold(x)
        end
        for i = 1, 3 do collectgarbage() end
        local a, b = holder:held():call(3)
        assert(a == holder:held() and b == 3)
        a = nil
        for i = 1, 3 do collectgarbage() end
        assert(holder:held():call(4) ~= nil)
        holder:drop()
        for i = 1, 3 do collectgarbage() end
        """)
    #expect(counter.live == 1)
  }

  @Test func aPartThatOthersShareKeepsItsFunctions() throws {
    let state = try makeState()
    try state.run(
      source: """
        other = keeper()
        do
          local x = keeper()
          x:keep_in_part(function(y) return x, y end)
          other:share(x)
          x:share(keeper())  -- another part is now its own
          x:keep_in_part(function() return x end)
        end
        for i = 1, 3 do collectgarbage() end
        assert(select(2, other:call(3)) == 3)
        other:drop()
        for i = 1, 3 do collectgarbage() end
        """)
    #expect(counter.live == 1)
  }

  @Test(arguments: ["incremental", "generational"])
  func memoryStaysFlat(_ mode: String) throws {
    let state = try makeState()
    try state.setGlobal("mode", .string(mode))
    let most = try state.run(
      source: """
        collectgarbage(mode)
        local most = 0
        for i = 1, 100000 do
          local x = keeper()
          x:keep(function() return x end)
          if i % 1000 == 0 then most = math.max(most, collectgarbage('count')) end
        end
        return most
        """)
    #expect(try #require(most.first?.numberValue) < 4000)
    #expect(counter.live < 4000)
    // Many that are in use, and some that come and go.
    let live = counter.live
    try state.run(
      source: """
        kept = {}
        for i = 1, 20000 do
          local x = keeper()
          x:keep(function(y) return x == kept[y] end)
          if i % 4 == 0 then kept[i // 4] = x end
        end
        for i = 1, 5000 do assert(kept[i]:call(i)) end
        """)
    #expect(counter.live < live + 15000)
  }

  /// What only a finalizer can reach is not lost to it, and nothing of a script runs while functions are let go of.
  @Test func nothingRunsInBetween() throws {
    let state = try makeState()
    try state.run(
      source: """
        local calls = 0
        for i = 1, 100 do
          local x = keeper()
          x:keep(function(y) return x, y end)
          setmetatable({x}, {__gc = function(t)
            local a, b = t[1]:call(i)
            assert(a == t[1] and b == i)
            calls = calls + 1
          end})
        end
        local y, hooks = keeper(), 0
        y:keep(function() return y end)
        debug.sethook(function() assert(y:call() == y) hooks = hooks + 1 end, 'c')
        for i = 1, 4 do collectgarbage() end
        debug.sethook()
        assert(calls == 100 and hooks >= 4)
        for i = 1, 2 do collectgarbage() end
        """)
    state.collect()
    state.collect()
    #expect(counter.live == 0)
  }

  @Test func aStoppedCollectorTakesNothing() throws {
    let state = try makeState()
    try state.run(
      source: """
        collectgarbage('stop')
        for i = 1, 3000 do local x = keeper() x:keep(function() return x end) end
        """)
    #expect(counter.live == 3000)
    try state.run(source: "collectgarbage('restart') collectgarbage()")
    #expect(counter.live == 0)
  }

  @Test func functionsThatAreLetGoOfByTheHost() throws {
    let state = try makeState()
    try state.run(
      source: """
        local x = keeper()
        for i = 1, 10000 do
          x:keep(function() return x end)
          if i % 10 == 0 then x:drop() end
        end
        collectgarbage() collectgarbage()
        assert(collectgarbage('count') < 1000)
        """)
    #expect(state.counts.references == 0)
  }

  @Test func objectsOutliveTheState() throws {
    var keeper: Keeper?
    do {
      let state = try makeState()
      keeper = try state.run(source: "local x = keeper() x:keep(function() return x end) return x").first?.handle?.object(Self.kind)
    }
    let function = try #require(keeper?.functions.first)
    #expect(throws: LuaError.self) { try function.call([]) }
    keeper = nil
    #expect(counter.live == 0)
  }

  @Test func whatIsNoFunctionOrHandle() throws {
    let state = try makeState()
    #expect(try state.failure("keeper():keep(5)").message.contains("a function and a handle were expected"))
    #expect(try state.failure("keeper():keep()").message.contains("a function and a handle were expected"))
  }

  /// Trusted scripts reach the registry, and only spoil their own tables.
  @Test func spoiledTablesDoNoHarm() throws {
    let state = try makeState()
    try state.run(
      source: """
        local function each(f)
          local count = 0
          for key, value in pairs(debug.getregistry()) do
            if type(key) == 'userdata' and type(value) == 'table' then
              count = count + 1
              f(key, value)
            end
          end
          assert(count > 0)
        end
        local spoilt = 0
        local x = keeper()
        x:keep(function() return x end)
        each(function(_, t)
          for _, boxes in pairs(t) do
            if type(boxes) == 'table' then
              boxes[{}] = print
              boxes[7] = print
              spoilt = spoilt + 1
            end
          end
        end)
        assert(spoilt > 0)
        collectgarbage()
        assert(x:call() == x)
        each(function(_, t) t[keeper()] = 5 t[io.stdout] = {} t[x] = true end)
        collectgarbage()
        x:keep(function() return x end)
        assert(x:call() == x)
        each(function(key) debug.getregistry()[key] = nil end)
        collectgarbage()
        x:keep(function() return x end)
        collectgarbage()
        assert(select('#', x:call()) == 3)
        """)
  }
}

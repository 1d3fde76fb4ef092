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

  /// Trusted scripts reach the registry and the tables that kinds are made of; objects and functions in use stay.
  @Test func whatTheRegistryLosesIsNotUsed() throws {
    let state = try makeState(counter)
    try state.run(
      source: """
        local metatable = debug.getmetatable(new(1))
        for key, value in pairs(debug.getregistry()) do
          if value == metatable then debug.getregistry()[key] = 42 end
        end
        assert(debug.getmetatable(new(2)) == nil)
        for key, value in pairs(debug.getregistry()) do
          if type(value) == 'thread' and key ~= 1 then debug.getregistry()[key] = nil end
        end
        local running = coroutine.running()
        assert(coroutine.wrap(function() for i = 1, 20 do collectgarbage() local t = {} for j = 1, 1000 do t[j] = {j} end end return 1 end)() == 1)
        """)
    state.collect()
    #expect(try state.text("return 'usable'") == "usable")
    let child = HandleKind<Counted>("Child")
    #expect(throws: LuaError.self) { try state.define(child, inheriting: countedKind, HandleMembers()) }
  }

  @Test func accessorsStayWhileTheyRun() throws {
    let state = try State()
    final class Probe {
      let counter: Counter
      init(_ counter: Counter) { self.counter = counter }
      deinit { counter.released += 1 }
    }
    var members = HandleMembers()
    do {
      let probe = Probe(counter)
      members.getters["x"] = NativeFunction { [unowned state] call in
        if case .function(let drop) = try state.global("drop") { try drop.call() }
        #expect(probe.counter.released == 0)
      }
    }
    try state.define(otherKind, members)
    members = HandleMembers()
    try state.setGlobal("a", .object(counter, otherKind))
    try state.run(
      source: """
        local _, members = debug.getupvalue(debug.getmetatable(a).__index, 1)
        local metatable = debug.getmetatable(a)
        function drop()
          members.x = nil
          for i = 1, 6 do metatable[i] = nil end
          collectgarbage() collectgarbage()
        end
        local _ = a.x
        """)
    state.collect()
    #expect(counter.released == 0)
  }

  /// What a native function was called with is its own: it relies on the stack to keep the objects.
  @Test func localsOfNativeFunctionsStay() throws {
    let state = try makeState(counter)
    let counter = counter
    var released: [Int] = []
    try state.setGlobal(
      "hold",
      .native(
        NativeFunction { call in
          guard case .function(let function) = try call.value(2) else { return }
          let results = try function.call()
          released.append(counter.released)
          if let first = results.first { call.returns(first) }
        }))
    try state.run(
      source: """
        local message = hold(new(1), function()
          local refusal
          for level = 1, 8 do
            local info = debug.getinfo(level, 'S')
            if info and info.what == 'C' then
              for i = 1, 3 do
                local ok, e = pcall(debug.setlocal, level + 1, i, nil)
                refusal = refusal or not ok and e
                pcall(debug.setlocal, coroutine.running(), level + 1, i, nil)
              end
            end
          end
          collectgarbage() collectgarbage()
          return refusal
        end)
        assert(message:find 'cannot change the locals of a native function', message)
        local x, y = 1, 2
        assert(debug.setlocal(1, 3, 5) == 'y' and y == 5 and debug.setlocal(1, 200, 5) == nil)
        local co = coroutine.create(function() local z = 1 coroutine.yield() return z end)
        coroutine.resume(co)
        assert(debug.setlocal(co, 1, 1, 7) == 'z' and select(2, coroutine.resume(co)) == 7)
        local ok, e = pcall(debug.setlocal, 100, 1, 1)
        assert(e:find "bad argument #1 to '.*setlocal' %(level out of range%)", e)
        """)
    #expect(released == [0])
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

  // MARK: One handle for each object

  @Test func uniqueHandlesAreKeysOfTables() throws {
    let state = try makeState(counter)
    let object = Counted(counter, 5)
    try state.setGlobal("host", .native(NativeFunction { $0.returns(object, uniqueKind) }))
    try state.setGlobal("given", .object(object, uniqueKind))
    try state.setGlobal(
      "three",
      .native(
        NativeFunction { call in
          call.returns(object, uniqueKind)
          call.returns(object, countedKind)
          call.returns(object, uniqueKind)
        }))
    try state.run(
      source: """
        local a, b = unique(1), unique(2)
        local seen = {[a] = 'a', [b] = 'b'}
        assert(seen[a:again()] == 'a' and seen[b:again()] == 'b' and rawequal(a, a:again()) and a ~= b)
        assert(rawequal(host(), given) and rawequal(host(), host()))
        -- Of several results; and a handle of another kind is another one.
        local x, y, z = three()
        assert(rawequal(x, given) and rawequal(z, given) and y == x and not rawequal(x, y))
        coroutine.wrap(function() assert(rawequal(host(), given)) end)()
        """)
    // A state of its own has handles of its own.
    let other = try makeState(counter)
    try other.setGlobal("given", .object(object, uniqueKind))
    #expect(try other.evaluate("given.value").first?.numberValue == 5)
    try state.run(source: "given = nil collectgarbage() collectgarbage() assert(host().value == 5 and host() == host())")
  }

  /// Addresses are used again: an entry that outlived its object would hand out another one's handle.
  @Test(arguments: ["incremental", "generational"])
  func uniqueHandlesOfTheDeadAreForgotten(_ mode: String) throws {
    let state = try makeState(counter)
    try state.setGlobal("mode", .string(mode))
    try state.run(
      source: """
        collectgarbage(mode)
        local kept, seen = {}, {}
        for i = 1, 200000 do
          local x = unique(i)
          assert(x.value == i and seen[x] == nil and rawequal(x, x:again()))
          local slot = i % 97
          if kept[slot] then seen[kept[slot]] = nil end
          if i % 3 == 0 then kept[slot] = x seen[x] = true end
          if i % 7 == 0 and kept[slot] then assert(rawequal(kept[slot], kept[slot]:again())) end
          if i % 5000 == 0 then collectgarbage() end
          if i % 50 == 0 then collectgarbage('step') end
        end
        kept, seen = nil
        """)
    state.collect()
    #expect(counter.live == 0 && counter.made == 200000)
    #expect(state.memory.bytes < 200_000)
  }

  @Test func uniqueHandlesGoWithTheirLastUse() throws {
    let state = try makeState(counter)
    try state.run(source: "kept = unique(1) for i = 1, 100 do kept:again() end")
    #expect(state.counts.handles < 100 && counter.live == 1)
    try state.run(source: "kept = nil")
    state.collect()
    #expect(counter.live == 0)
    // One that the host holds outlives its handles.
    let object = Counted(counter, 3)
    try state.setGlobal("host", .native(NativeFunction { $0.returns(object, uniqueKind) }))
    for _ in 1...3 {
      #expect(try state.evaluate("host().value").first?.numberValue == 3)
      state.collect()
    }
  }

  @Test func finalizersMayAskForUniqueHandles() throws {
    let state = try makeState(counter)
    let objects = (0..<1000).map { Counted(counter, Double($0)) }
    try state.setGlobal("host", .native(NativeFunction { $0.returns(objects[$0.integer(1) ?? 0], uniqueKind) }))
    try state.run(
      source: """
        -- Making a handle can collect, and a finalizer then make the very same.
        collectgarbage('incremental', 100, 1000)
        local current, late, met = 0, nil, 0
        local function arm() setmetatable({}, {__gc = function() if current then late = host(current) arm() end end}) end
        arm()
        for i = 1, 100000 do
          current, late = i % 1000, nil
          local x = host(current)
          if late then
            met = met + 1
            assert(rawequal(x, late))
          end
        end
        assert(met > 100)
        current = nil
        collectgarbage()
        -- One that only a finalizer can reach comes back to life, and what is made meanwhile is a handle as good.
        collectgarbage()
        do
          local x = unique(7)
          setmetatable({x}, {__gc = function(t) back = t[1] again = t[1]:again() end})
          x = nil
        end
        collectgarbage() collectgarbage()
        assert(back.value == 7 and again == back and again.value == 7 and rawequal(again, again:again()))
        back, again, late = nil
        -- What a finalizer raises is only warned of, so that it tells what it found.
        setmetatable({unique(8)}, {__gc = function(t) found = t[1]:again().value end})
        """)
    state.collect()
    state.collect()
    #expect(try state.run(source: "return found").first?.numberValue == 8)
    #expect(counter.live == 1000)
  }

  /// Trusted scripts reach the registry, and only spoil their own tables.
  @Test func uniqueHandlesCannotBeForged() throws {
    let state = try makeState(counter)
    let error = try state.failure(
      """
      local a, b, count = unique(1), unique(2), 0
      for key, handles in pairs(debug.getregistry()) do
        if type(key) == 'userdata' and type(handles) == 'table' then
          for address, handle in pairs(handles) do
            count = count + 1
            handles[address] = handle == a and b or io.stdout
          end
        end
      end
      assert(count == 2 and a:again() == a and b:again() == b and a:again().value == 1 and b:again().value == 2)
      for key, handles in pairs(debug.getregistry()) do
        if type(key) == 'userdata' and type(handles) == 'table' then debug.getregistry()[key] = nil end
      end
      assert(a:again() == a and not rawequal(a:again(), a:again()))
      error('end', 0)
      """)
    #expect(error.message == "end")
  }
}

extension Value {
  var numberValue: Double? { if case .number(let value) = self { value } else { nil } }
  var handle: HandleReference? { if case .handle(let handle) = self { handle } else { nil } }
}

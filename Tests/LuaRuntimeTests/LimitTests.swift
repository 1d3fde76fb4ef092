// Limits: a script that must stop does, whatever it catches, and the state works afterwards.
import CLuaShim
import Dispatch
import Testing

@testable import LuaRuntime

@Suite struct LimitTests {
  /// Each would run forever, and hold on to the error if it could.
  static let runaways = [
    "while true do end",
    "repeat local x = 1 until false",
    "for i = 1, math.huge do end",
    "while true do pcall(function() while true do end end) end",
    "while true do pcall(pcall, function() while true do end end) end",
    "xpcall(function() while true do end end, function() while true do end end)",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "coroutine.wrap(function() while true do end end)()",
    "while true do coroutine.wrap(function() while true do end end)() end",
    "while true do pcall(coroutine.wrap(function() pcall(function() while true do end end) end)) end",
    "coroutine.wrap(function() coroutine.wrap(function() pcall(function() while true do end end) end)() end)()",
    "local f = coroutine.wrap(function() while true do coroutine.yield() end end) while true do f() end",
    "coroutine.wrap(function() local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end end)()",
    "local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end",
    "local x <close> = setmetatable({}, {__close = function() while true do end end}) error('x')",
    "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() while true do end end}) coroutine.yield() end) coroutine.resume(co) coroutine.close(co)",
    "table.sort({1, 2, 3, 4}, function() while true do end end)",
    "table.sort({1, 2, 3, 4}, function() pcall(function() while true do end end) while true do end end)",
    "local x <close> = setmetatable({}, {__close = function() while true do end end}) table.sort({1, 2}, function() while true do end end)",
    "coroutine.wrap(function() local x <close> = setmetatable({}, {__close = function() while true do end end}) table.sort({1, 2}, function() while true do end end) end)()",
    "string.gsub('a', 'a', function() while true do end end)",
    "local t = setmetatable({}, {__index = function() while true do end end}) print(t.x)",
    "local t = setmetatable({}, {__add = function() while true do pcall(function() while true do end end) end end}) print(t + 1)",
    "local function f() return f() end f()",
    "local function f() return pcall(f) end while true do f() end",
    "while true do local function f() coroutine.wrap(f)() end pcall(f) end",
    "error(setmetatable({}, {__tostring = function() while true do end end}))",
    "while true do pcall(error) end",
    "while true do nested(function() while true do end end) end",
    "nested(function() pcall(nested, function() while true do pcall(function() while true do end end) end end) end)",
    "while true do pcall(nested, function() coroutine.wrap(function() while true do end end)() end) end",
    "while true do native() end",
    "load(function() while true do end end)",
    "while true do debug.sethook() end",
    "while true do pcall(debug.sethook, function() end, 'l') end",
    "coroutine.wrap(function() while true do debug.sethook() end end)()",
    "local outer = coroutine.running() while true do coroutine.wrap(function() for i = 1, 1e3 do debug.sethook(outer) end end)() end",
    "require_('looping')",
    "local t = {} setmetatable(t, {__call = t}) t()",
    "local t = {} setmetatable(t, {__call = t}) while true do pcall(t) end",
    "local t = {} setmetatable(t, {__call = t}) coroutine.wrap(function() pcall(t) while true do end end)()",
    "local t = setmetatable({}, {__index = function() end}) for i = 1, 2e5 do t = setmetatable({}, {__call = t}) end t(table.unpack({}, 1, 2e5))",
  ]

  /// The same in finalizers and hooks, which Lua runs with hooks off.
  static let hidden = [
    "setmetatable({}, {__gc = function() while true do end end}) collectgarbage()",
    "setmetatable({}, {__gc = function() while true do pcall(function() while true do end end) end end}) collectgarbage()",
    "setmetatable({}, {__gc = function() while true do xpcall(function() while true do end end, function() while true do end end) end end}) collectgarbage()",
    "setmetatable({}, {__gc = function() local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end end}) collectgarbage()",
    "setmetatable({}, {__gc = function() while true do load(function() while true do end end) end end}) collectgarbage()",
    "setmetatable({}, {__gc = function() while true do nested(function() while true do end end) end end}) collectgarbage()",
    "setmetatable({}, {__gc = function() coroutine.wrap(function() while true do pcall(function() while true do end end) end end)() end}) collectgarbage()",
    "setmetatable({}, {__gc = function() while true do debug.sethook() end end}) collectgarbage()",
    "setmetatable({}, {__gc = function() table.sort({1, 2, 3}, function() while true do end end) end}) collectgarbage()",
    "setmetatable({}, {__gc = function() string.rep('x', 1 << 30):find('.-.-.-y') end}) collectgarbage()",
    "for i = 1, 1000 do setmetatable({}, {__gc = function() while true do end end}) end collectgarbage()",
    "local mt = {} mt.__gc = function(o) setmetatable(o, mt) while true do end end setmetatable({}, mt) while true do collectgarbage() end",
    "coroutine.wrap(function() setmetatable({}, {__gc = function() while true do end end}) collectgarbage() end)()",
    "setmetatable({}, {__gc = function() while true do end end}) while true do local t = {{}, {}} end",
    "pcall(function() setmetatable({}, {__gc = function() while true do end end}) nested(collectgarbage) end) while true do end",
    "local t = {} setmetatable(t, {__call = t}) setmetatable({}, {__gc = function() t() end}) collectgarbage()",
    "debug.sethook(function() while true do end end, 'l') local x = 1\nx = 2\nx = 3",
    "debug.sethook(function() while true do pcall(function() while true do end end) end end, '', 1) local x = 1 x = 2 x = 3",
    "debug.sethook(function() debug.sethook() end, 'c') while true do local f = function() end f() end",
    "debug.sethook(function() end, 'crl', 1) while true do end",
    "local co = coroutine.create(function() while true do end end) debug.sethook(co, function() while true do end end, 'l') coroutine.resume(co)",
  ]

  func makeState() throws -> State {
    let state = try State()
    // Swallows the error of what it calls, as careless host code would.
    try state.setGlobal(
      "nested",
      .native(
        NativeFunction { call in
          guard case .function(let function) = try call.value(1) else { return }
          _ = try? function.call()
        }))
    try state.setGlobal("native", .native(NativeFunction { _ in }))
    try state.run(source: "package.preload.looping = function() while true do end end require_ = require")
    return state
  }

  /// Finalizers that are left run now, and would without end.
  private func close(_ state: State) { _ = try? state.limited(.init(time: .milliseconds(20))) { state.close() } }

  @Test(arguments: runaways + hidden)
  func interruptsStopEverything(_ source: String) throws {
    let state = try makeState()
    defer { close(state) }
    let interrupter = Interrupter(state)
    let done = DispatchSemaphore(value: 0)
    let thread = DispatchQueue(label: "interrupter")
    thread.async {
      // Again and again, since one that comes before the script has begun is rightly lost.
      while done.wait(timeout: .now() + .milliseconds(20)) == .timedOut { interrupter.interrupt() }
    }
    defer { done.signal() }
    for _ in 1...3 {  // what one leaves behind must not keep the next from stopping
      let error = try #require(throws: LuaError.self) {
        try state.run(source: source, chunkName: "@loop.lua")
      }
      #expect(error.kind == .interrupted)
      #expect(error.plainMessage == "interrupted!")
    }
    done.signal()
    thread.sync {}
    #expect(
      try state.text("local t = {} for i = 1, 1000 do t[i] = i end return 'usable ' .. #t") == "usable 1000")
    #expect(
      try state.text("return select(2, pcall(coroutine.wrap(function() error('caught', 0) end)))") == "caught"
    )
  }

  @Test(arguments: runaways + hidden)
  func timeEnds(_ source: String) throws {
    let state = try makeState()
    defer { close(state) }
    for _ in 1...2 {
      let began = ContinuousClock.now
      let error = try #require(throws: LuaError.self) {
        try state.limited(.init(time: .milliseconds(30))) { try state.run(source: source, chunkName: "@loop.lua") }
      }
      #expect(error.kind == .timeLimit && error.plainMessage == "time limit exceeded")
      #expect(.now - began < .seconds(3))  // beside other tests
    }
    #expect(try state.text("return 'usable'") == "usable")
  }

  /// Those of them in which the interpreter itself has work without end.
  @Test(
    arguments: (runaways + hidden).filter {
      !$0.contains("sethook()") && !$0.contains("native()") && !$0.contains("rep(") && !$0.contains("__call = t")
    })
  func instructionsEnd(_ source: String) throws {
    let state = try makeState()
    defer { close(state) }
    for _ in 1...2 {
      let error = try #require(throws: LuaError.self) {
        try state.limited(.init(instructions: 20_000)) { try state.run(source: source, chunkName: "@loop.lua") }
      }
      #expect(error.kind == .instructionLimit && error.plainMessage == "instruction limit exceeded")
    }
    #expect(try state.text("return 'usable'") == "usable")
  }

  @Test func limitsLetShortScriptsBe() throws {
    let state = try makeState()
    let limits = RunLimits(time: .seconds(60), instructions: 100_000)
    for _ in 1...20 {
      #expect(try state.limited(limits) { try state.text("local n = 0 for i = 1, 1000 do n = n + i end return tostring(n)") } == "500500")
    }
    // Limits are of one call: what it leaves behind runs free.
    _ = try state.limited(limits) { try state.run(source: "co = coroutine.wrap(function() while true do coroutine.yield(1) end end) co()") }
    #expect(try state.text("local n = 0 for i = 1, 1000000 do n = n + co() end return tostring(n)") == "1000000")
    // Short of the limit by little, and beyond it by little: counted to some thousands.
    let loop = "for i = 1, %d do end"
    _ = try state.limited(.init(instructions: 50_000)) { try state.run(source: loop.replacing("%d", with: "40000")) }
    #expect(throws: LuaError.self) {
      try state.limited(.init(instructions: 50_000)) { try state.run(source: loop.replacing("%d", with: "60000")) }
    }
    // Coroutines that were made before obey, too.
    try state.run(source: "looping = coroutine.create(function() while true do end end)")
    #expect(
      try #require(throws: LuaError.self) { try state.limited(limits) { try state.run(source: "coroutine.resume(looping)") } }.kind
        == .instructionLimit)
    #expect(throws: LuaError.self) { try state.limited(.init(instructions: 0)) { try state.run(source: "while true do end") } }
    #expect(throws: LuaError.self) { try state.limited(.init(time: .seconds(-1))) { try state.run(source: "while true do end") } }
  }

  @Test func limitsWithinLimits() throws {
    let state = try makeState()
    try state.setGlobal(
      "within",
      .native(
        NativeFunction { call in
          guard case .function(let function) = try call.value(1) else { return }
          try state.limited(.init(instructions: call.integer(2))) { _ = try function.call() }
        }))
    // What is counted within counts outside.
    let error = try #require(throws: LuaError.self) {
      try state.limited(.init(instructions: 100_000)) {
        try state.run(source: "for i = 1, 10 do within(function() for i = 1, 20000 do end end, 50000) end")
      }
    }
    #expect(error.kind == .instructionLimit)
    try state.run(source: "for i = 1, 10 do within(function() for i = 1, 20000 do end end, 50000) end")
    #expect(throws: LuaError.self) { try state.run(source: "within(function() while true do end end, 1000)") }
    #expect(try state.text("return 'usable'") == "usable")
  }

  /// Many states on many threads, each ended by its own deadline and by no other's.
  @Test func manyDeadlines() throws {
    let failures = Failures()
    DispatchQueue.concurrentPerform(iterations: 16) { number in
      do {
        let state = try State()
        for round in 0..<10 {
          let isLong = (number + round) % 2 == 0
          do {
            _ = try state.limited(.init(time: isLong ? .seconds(60) : .milliseconds(5 + number))) {
              try state.run(source: isLong ? "for i = 1, 200000 do end" : "while true do end")
            }
            if !isLong { failures.add("a loop ended") }
          } catch let error as LuaError {
            if isLong || error.kind != .timeLimit { failures.add("\(error)") }
          }
        }
      } catch { failures.add("\(error)") }
    }
    #expect(failures.list.isEmpty, "\(failures.list)")
  }

  /// What a state does when it is closed, and when the host collects or lets go.
  @Test(arguments: ["while true do end", "while true do pcall(function() while true do end end) end", "os.exit()"])
  func finalizersEndAtTheEndToo(_ loop: String) throws {
    let began = ContinuousClock.now
    do {
      let state = try makeState()
      let kept = "kept = {} for i = 1, 100 do kept[i] = setmetatable({}, {__gc = function() \(loop) end}) end"
      try state.run(source: kept)
      try state.limited(.init(time: .milliseconds(30))) {
        try state.setGlobal("kept", .nil)
        state.collect()
      }
      #expect(try state.text("return 'usable'") == "usable")
      try state.run(source: kept)
      try state.limited(.init(time: .milliseconds(30))) { state.close() }
      #expect(throws: LuaError.self) { try state.run(source: "return 1") }
    }
    #expect(.now - began < .seconds(5))
  }

  /// A signal handler, on the thread that runs the script.
  @Test func interruptsByASignalReachFinalizers() throws {
    let state = try makeState()
    let interrupter = Interrupter(state)
    try state.setGlobal("interrupt", .native(NativeFunction { _ in interrupter.interrupt() }))
    for source in [
      "setmetatable({}, {__gc = function() interrupt() while true do end end}) collectgarbage()",
      "setmetatable({}, {__gc = function() pcall(interrupt) while true do pcall(function() while true do end end) end end}) collectgarbage()",
      "local function f() while true do end end for i = 1, 50 do setmetatable({}, {__gc = f}) end setmetatable({}, {__gc = interrupt}) collectgarbage()",
    ] {
      #expect(try state.failure(source).kind == .interrupted)
      #expect(try state.text("return 'usable'") == "usable")
    }
  }

  @Test func theErrorSaysWhere() throws {
    let state = try makeState()
    let interrupter = Interrupter(state)
    try state.setGlobal("interrupt", .native(NativeFunction { _ in interrupter.interrupt() }))
    let error = try state.failure("local function spin()\n  while true do end\nend\ninterrupt()\nspin()")
    #expect(error.kind == .interrupted)
    #expect(error.position?.chunk == "test.lua")
    #expect(error.traceback?.contains("test.lua:") == true)
  }

  @Test func anInterruptFromANativeFunctionStopsItsScript() throws {
    let state = try makeState()
    let interrupter = Interrupter(state)
    try state.setGlobal("interrupt", .native(NativeFunction { _ in interrupter.interrupt() }))
    try state.run(source: "n = 0")
    for source in [
      "interrupt() n = n + 1", "pcall(interrupt) n = n + 1", "coroutine.wrap(interrupt)() n = n + 1",
      "nested(interrupt) n = n + 1",
    ] {
      #expect(try state.failure(source).kind == .interrupted)
    }
    #expect(try state.evaluate("n").first?.integerValue == 0)
  }

  @Test func nothingIsInterruptedWhenNothingRuns() throws {
    let state = try makeState()
    let interrupter = Interrupter(state)
    interrupter.interrupt()
    #expect(try state.text("return 'ran'") == "ran")
  }

  @Test func interruptedCoroutinesAreDead() throws {
    let state = try makeState()
    let interrupter = Interrupter(state)
    try state.setGlobal("interrupt", .native(NativeFunction { _ in interrupter.interrupt() }))
    #expect(
      try state.failure(
        "co = coroutine.create(function() interrupt() while true do end end) coroutine.resume(co)"
      )
      .kind == .interrupted)
    #expect(try state.text("return coroutine.status(co)") == "dead")
    #expect(try state.text("return select(2, coroutine.resume(co))") == "cannot resume dead coroutine")
  }

  @Test func handlesSurviveInterrupts() throws {
    let counter = Counter()
    let state = try LuaRuntimeTests.makeState(counter)
    let interrupter = Interrupter(state)
    let done = DispatchSemaphore(value: 0)
    let thread = DispatchQueue(label: "interrupter")
    thread.async {
      while done.wait(timeout: .now() + .milliseconds(3)) == .timedOut { interrupter.interrupt() }
    }
    for _ in 0..<50 {
      let error = try state.failure(
        "while true do local a = new(1) pcall(function() return a + 1 end) a = a + a end")
      #expect(error.kind == .interrupted)
    }
    done.signal()
    thread.sync {}
    state.collect()
    #expect(counter.live == 0 && counter.made == counter.released)
  }

  // MARK: Memory

  static let gluttons = [
    "local t = {} while true do t[#t + 1] = {} end",
    "local s = 'a' while true do s = s .. s end",
    "string.rep('a', 1e9)",
    "local c = {} while true do c[#c + 1] = coroutine.create(print) end",
    "local function f() return {f()} end f()",
    "collectgarbage('stop') while true do local _ = {} end",
    "local t = {} while true do t[#t + 1] = new(1) end",
    "local t = {} for i = 1, 1e9 do t[i] = i end",
    "local t = {} while true do t[#t + 1] = new(1):itself() t[#t + 1] = tostring(#t) end",
    "string.pack('c1000000000', '')",
    "list(100000000)",
    "local t = {} while true do t[#t + 1] = function() return t end end",
  ]

  @Test(arguments: gluttons)
  func memoryLimitsHold(_ source: String) throws {
    let counter = Counter()
    do {
      let state = try LuaRuntimeTests.makeState(counter, State.Configuration(memoryLimit: 8 << 20))
      try state.setGlobal(
        "list",
        .native(
          NativeFunction { call in
            let count = call.integer(1) ?? 0
            call.returnsList(count)
            for _ in 0..<min(count, 1 << 20) { call.returns(1) }
          }))
      // collectgarbage('stop') can still be outlived: Lua collects before it gives up.
      if !source.hasPrefix("collectgarbage") {
        let error = try state.failure(source)
        let isExpected = error.kind == .memory && error.message == "not enough memory"
        #expect(
          isExpected || error.message.contains("stack overflow") || error.message.contains("too large")
            || error.message.contains("unfinished"), "\(error)")
      }
      #expect(state.memory.peak <= 8 << 20)
      #expect(try state.text("collectgarbage('restart') return 'usable'") == "usable")
      #expect(
        try state.text(
          "return select(2, pcall(function() local t = {} while true do t[#t + 1] = {} end end))")
          == "not enough memory")
    }
    #expect(counter.live == 0 && counter.made == counter.released)
  }

  @Test func resultsOnTheirWayCountTowardTheLimit() throws {
    let state = try State(State.Configuration(memoryLimit: 8 << 20))
    let size = MemoryLayout<ml_value>.stride
    try state.setGlobal(
      "list",
      .native(
        NativeFunction { call in
          let count = call.integer(1) ?? 0
          call.returnsList(count)
          for _ in 0..<count { call.returns(1) }
        }))
    try state.setGlobal("text", .native(NativeFunction { call in call.returns(String(repeating: "x", count: call.integer(1) ?? 0)) }))
    for source in ["list(1000000)", "text(6 << 20)"] {
      #expect(try state.failure(source).kind == .memory)
      #expect(state.memory.peak <= 8 << 20)
      // What is large is given back.
      #expect(Int(state.pointer.pointee.out_capacity) * size <= 1 << 20)
      state.collect()
      #expect(state.memory.bytes < 1 << 20)
    }
    // What Lua does not use any more makes room, in the middle of a call too.
    try state.run(source: "for i = 1, 40 do assert(#list(100000) == 100000) assert(#text(2 << 20) == 2 << 20) end")
    #expect(Int(state.pointer.pointee.out_capacity) * size <= 1 << 20)
    #expect(state.memory.peak <= 8 << 20)
  }

  @Test func claimsCountTowardTheLimit() throws {
    let counter = Counter()
    let state = try LuaRuntimeTests.makeState(counter, State.Configuration(memoryLimit: 8 << 20))
    #expect(!state.wouldExceedLimit(bytes: 4 << 20))
    state.claim(bytes: 6 << 20)
    #expect(state.wouldExceedLimit(bytes: 4 << 20))
    #expect(try state.failure("local s = ('a'):rep(2 << 20)").kind == .memory)
    state.unclaim(bytes: 6 << 20)
    try state.run(source: "local s = ('a'):rep(2 << 20)")
  }
}

/// What went wrong on several threads.
private final class Failures: @unchecked Sendable {
  private let lock = DispatchQueue(label: "failures")
  private var texts: [String] = []
  func add(_ text: String) { lock.sync { texts.append(text) } }
  var list: [String] { lock.sync { texts } }
}

// Scripts that wait for asynchronous functions of Swift: where they can, what comes back, and what stops them.

import Foundation
import Moongrad
import Synchronization
import Testing

@Suite struct AsyncTests {
  /// Opens gates in the order in which a test likes.
  actor Gate {
    private var isOpen = false
    private var waiting: [CheckedContinuation<Void, Never>] = []
    func open() {
      isOpen = true
      for continuation in waiting { continuation.resume() }
      waiting = []
    }
    func pass() async {
      if isOpen { return }
      await withCheckedContinuation { waiting.append($0) }
    }
  }

  private func makeSession(_ configuration: Session.Configuration = .init()) throws -> Session {
    let session = try Session(configuration)
    session.asyncFunction("fetch") { (name: String) async throws -> (String, Int) in
      await Task.yield()
      if name == "bad" { throw Refusal(reason: name) }
      return (name + "!", name.count)
    }
    session.asyncFunction("pause") { () async throws in try await Task.sleep(for: .milliseconds(1)) }
    return session
  }

  private func error(_ session: Session, _ source: String) async -> String? {
    do {
      try await session.runAsync(source, name: "s")
      return nil
    } catch { return (error as? LuaError)?.message ?? "\(error)" }
  }

  @Test(arguments: [false, true]) func scriptsWaitAnywhere(sandboxed: Bool) async throws {
    let session = try makeSession(sandboxed ? .sandboxed(memory: .megabytes(64), time: .seconds(20)) : .init())
    try await session.runAsync(
      """
      local text, length = fetch "abc"
      assert(text == "abc!" and length == 3 and select("#", pause()) == 0)
      -- in loops, in functions, under pcall and xpcall, in metamethods, iterators and closings
      local all = {}
      for i = 1, 50 do all[i] = (fetch(("x"):rep(i))) end
      assert(#all == 50 and all[50]:len() == 51)
      local function inner(n) if n == 0 then return fetch "deep" end return (inner(n - 1)) end
      assert(inner(50) == "deep!")
      assert(select(2, pcall(fetch, "p")) == "p!" and select(2, xpcall(fetch, print, "p")) == "p!")
      local ok, problem = pcall(fetch, "bad")
      assert(not ok and problem:find "Refusal", problem)
      ok, problem = pcall(function() fetch "bad" end)
      assert(not ok and problem:find "^s:%d+: Refusal", problem)
      local lazy = setmetatable({}, {
        __index = function(_, name) return (fetch(name)) end, __add = function() return (fetch "sum") end,
        __call = fetch and function(_, x) return fetch(x) end, __lt = function() return fetch "lt" and true end,
        __concat = function() return (fetch "cat") end, __eq = function() return fetch "eq" and true end,
      })
      assert(lazy.field == "field!" and lazy + 1 == "sum!" and lazy "c" == "c!" and lazy < lazy and lazy .. 1 == "cat!")
      local count = 0
      for text in function() count = count + 1 if count < 5 then return (fetch "it") end end do assert(text == "it!") end
      do
        local _ <close> = setmetatable({}, { __close = function() all.closed = fetch "close" end })
      end
      assert(all.closed == "close!")
      done = true
      """, name: "s")
    #expect(session["done"] == true)
    #expect(try await session.evaluateAsync("(fetch 'e')") == "e!")
    #expect(try await session.evaluateAsync("local a = fetch 'e' return #a", as: Int.self) == 2)
    let f: LuaFunction = try session.evaluate("function(x) return (fetch(x)) end")
    #expect(try await f.callAsync("called") == "called!")
    let script = try session.load("local a = ... value = fetch(a)", name: "script")
    try await script.runAsync(arguments: ["arg"])
    #expect(script["value"] == "arg!")
    // What waits for nothing runs as well.
    try await session.runAsync("x = 1")
    #expect(try session.evaluate("x") == 1)
  }

  @Test func scriptsOwnCoroutinesWaitToo() async throws {
    let session = try makeSession()
    try await session.runAsync(
      """
      local function worker(name)
        local text = fetch(name)
        local more = coroutine.yield(text)
        return fetch(more)
      end
      local co = coroutine.create(worker)
      local ok, text = coroutine.resume(co, "a")
      assert(ok and text == "a!" and coroutine.status(co) == "suspended")
      ok, text = coroutine.resume(co, "bb")
      assert(ok and text == "bb!" and coroutine.status(co) == "dead")
      local wrapped = coroutine.wrap(worker)
      assert(wrapped "c" == "c!" and wrapped "dd" == "dd!")
      -- three deep, with errors that come through
      local nested = coroutine.wrap(function()
        return coroutine.wrap(function()
          pause()
          return coroutine.wrap(function(x) return (fetch(x)) end)("deep")
        end)()
      end)
      assert(nested() == "deep!")
      local failing = coroutine.create(function() fetch "bad" end)
      ok, text = coroutine.resume(failing)
      assert(not ok and text:find "^s:%d+: Refusal" and coroutine.status(failing) == "dead", text)
      ok, text = pcall(coroutine.wrap(function() fetch "bad" end))
      assert(not ok and text:find "Refusal", text)
      -- the script's own coroutine is the main one
      local co, isMain = coroutine.running()
      assert(isMain and not coroutine.isyieldable() and not pcall(coroutine.yield))
      assert(coroutine.wrap(function() return coroutine.isyieldable() end)())
      """, name: "s")
  }

  @Test func whereScriptsCannotWait() async throws {
    let session = try makeSession()
    session.function("call") { (f: LuaFunction) throws in try f() }
    let plain = "fetch is asynchronous: scripts that call it are run with runAsync or evaluateAsync"
    #expect(message { try session.run("fetch 'x'", name: "s") } == "s:1: " + plain)
    #expect(message { try session.evaluate("fetch 'x'", as: String.self) }?.hasSuffix(plain) == true)
    #expect(message { try session.run("coroutine.wrap(function() fetch 'x' end)()", name: "s") }?.hasSuffix(plain) == true)
    let here = "fetch is asynchronous: the script cannot wait here, in a function that native code calls"
    for source in [
      "table.sort({ 2, 1 }, function(a, b) fetch 'x' return a < b end)", "('a'):gsub('a', function() return (fetch 'x') end)",
      "call(function() fetch 'x' end)", "call(function() coroutine.wrap(function() fetch 'x' end)() end)",
      "package.preload.part = function() fetch 'x' end require 'part'",
      "local co = coroutine.create(function() local _ <close> = setmetatable({}, { __close = function() fetch 'x' end }) coroutine.yield() end)"
        + " coroutine.resume(co) assert(coroutine.close(co))",
      "tostring(setmetatable({}, { __tostring = function() return (fetch 'x') end }))",
    ] {
      let found = await error(session, source)
      #expect(found?.contains(here) == true, "\(source): \(found ?? "no error")")
    }
    #expect(await error(session, "fetch()") == "s:1: fetch: argument 1: expected string, got no value")
    #expect(await error(session, "fetch({})") == "s:1: fetch: argument 1: expected string, got table")
    #expect(await error(session, "setmetatable({}, { __gc = function() fetch 'x' end }) collectgarbage()") == nil)
    let thrown = await #expect(throws: LuaError.self) {
      try await session.runAsync("local function f()\n fetch 'bad'\nend\nf()", name: "s")
    }
    #expect(thrown?.cause as? Refusal == Refusal(reason: "bad"))
    #expect(thrown?.position?.line == 2)
    #expect(thrown?.traceback?.contains("s:4: in main chunk") == true)
  }

  /// Nobody resumes or closes what waits for the host.
  @Test func coroutinesThatWaitAreTheHosts() async throws {
    let lua = try SessionActor()
    let gate = Gate()
    try await lua.withSession { session in
      session.asyncFunction("wait") { () async -> Int in
        await gate.pass()
        return 7
      }
    }
    let waiting = Task {
      try await lua.run(
        """
        main = coroutine.running()
        inner = coroutine.create(function() return wait() end)
        local ok, result = coroutine.resume(inner)
        assert(ok and result == 7, result)
        finished = true
        """)
    }
    while try await lua.evaluate("inner and coroutine.status(inner) == 'normal'", as: Bool?.self) != true { await Task.yield() }
    try await lua.run(
      """
      for _, co in ipairs { main, inner } do
        assert(coroutine.status(co) == "normal")
        local ok, problem = coroutine.resume(co, true, 1)
        assert(not ok and problem == "cannot resume a coroutine that waits for the host")
        assert(not pcall(coroutine.close, co))
        assert(not pcall(coroutine.wrap(function() return coroutine.resume(co) end)) or true)
        debug.traceback(co)
      end
      collectgarbage() collectgarbage()
      """)
    #expect(try await lua.evaluate("finished", as: Bool?.self) == nil)
    await gate.open()
    try await waiting.value
    #expect(try await lua.evaluate("finished, coroutine.status(main)", as: Bool.self))
  }

  @Test func limitsHoldForWhatRuns() async throws {
    let session = try makeSession()
    session.asyncFunction("sleep") { (milliseconds: Int) async throws in try await Task.sleep(for: .milliseconds(milliseconds)) }
    // What it waits does not count; what it computes does, in all of its pieces together.
    try await session.runAsync("for i = 1, 3 do sleep(60) end", limits: .init(time: .milliseconds(100)))
    let time = await #expect(throws: LuaError.self) {
      try await session.runAsync(
        "while true do local stop = os.clock() + 0.02 while os.clock() < stop do end pcall(pause) end", name: "s",
        limits: .init(time: .milliseconds(100)))
    }
    #expect(time?.kind == .timeLimit)
    let count = await #expect(throws: LuaError.self) {
      try await session.runAsync("while true do for i = 1, 10000 do end pause() end", limits: .init(instructions: 100_000))
    }
    #expect(count?.kind == .instructionLimit)
    try await session.runAsync("for j = 1, 5 do for i = 1, 10000 do end pause() end", limits: .init(instructions: 100_000))
    #expect(try session.evaluate("1") == 1)
  }

  @Test func cancellation() async throws {
    let lua = try SessionActor { session in
      session.asyncFunction("sleep") { (seconds: Double) async throws in try await Task.sleep(for: .seconds(seconds)) }
    }
    // Of a script that waits, under whatever, and of one that runs.
    for source in ["while true do pcall(sleep, 100) end", "coroutine.wrap(function() pcall(sleep, 100) end)()", "while true do end"] {
      let task = Task { try await lua.run(source) }
      try await Task.sleep(for: .milliseconds(30))
      let began = ContinuousClock.now
      task.cancel()
      let error = await #expect(throws: LuaError.self) { try await task.value }
      #expect(error?.kind == .interrupted && error?.cause is CancellationError)
      // Well before the script's own sleep would end; tasks may wait for a thread while other tests have them all.
      #expect(ContinuousClock.now - began < .seconds(60))
    }
    // One that is cancelled takes no other with it.
    let other = Task { try await lua.evaluate("sleep(0.2) local x = 0 for i = 1, 1e6 do x = x + 1 end return x", as: Double.self) }
    let one = Task { try await lua.run("while true do pcall(sleep, 0.001) end") }
    try await Task.sleep(for: .milliseconds(50))
    one.cancel()
    #expect(await #expect(throws: LuaError.self) { try await one.value }?.kind == .interrupted)
    #expect(try await other.value == 1e6)
    // Before it has begun.
    let early = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      try await lua.run("ran = true while true do end")
    }
    #expect(await #expect(throws: LuaError.self) { try await early.value }?.kind == .interrupted)
    // All of them, once they have begun: what begins later goes on.
    try await lua.run("begun = 0")
    let all = (1...4).map { index in
      Task { try await lua.run("begun = begun + 1 " + (index == 1 ? "while true do sleep(0) end" : "sleep(100)")) }
    }
    while try await lua.value("begun", as: Int.self) < 4 { try await Task.sleep(for: .milliseconds(1)) }
    lua.interrupt()
    for task in all { #expect(await #expect(throws: LuaError.self) { try await task.value }?.kind == .interrupted) }
    #expect(try await lua.evaluate("1") == 1)
  }

  @Test func interruptionWhileNothingRuns() async throws {
    let session = try makeSession()
    let interrupter = session.interrupter
    session.asyncFunction("stop") { () async in interrupter.interrupt() }
    let error = await #expect(throws: LuaError.self) { try await session.runAsync("pcall(stop) survived = true") }
    #expect(error?.kind == .interrupted)
    #expect(session["survived"] == Bool?.none)
    try await session.runAsync("pause()")
  }

  /// However it falls between two pieces, an interruption ends what runs.
  @Test func interruptionAtAnyMoment() async throws {
    let session = try Session()
    let interrupter = session.interrupter
    let executor = OwnQueue()
    session.asyncFunction("turn") { () async in await Task.yield() }
    for delay in 0..<300 {
      let state = Mutex((hasEnded: false, isLost: false))
      // Called by the script, for what comes before a run is nothing to it. A thread, and for the run an executor,
      // since tasks wait while other tests have all of Swift's threads.
      let strike = { @Sendable in
        usleep(UInt32(delay * 3))
        interrupter.interrupt()
        // A lost one must not keep the tests from ending.
        for _ in 0..<1200 where !state.withLock({ $0.hasEnded }) { usleep(100_000) }
        state.withLock { $0.isLost = !$0.hasEnded }
        if state.withLock({ $0.isLost }) { interrupter.interrupt() }
      }
      session.function("begin") { Thread.detachNewThread(strike) }
      // What the run ended with is told where it ran, for the way back to this function waits for a thread of all.
      let (kind, isLost) = await withTaskExecutorPreference(executor) {
        var kind: LuaError.Kind?
        do { try await session.runAsync("begin() while true do pcall(turn) end") } catch { kind = (error as? LuaError)?.kind }
        return state.withLock {
          $0.hasEnded = true
          return (kind, $0.isLost)
        }
      }
      #expect(kind == .interrupted && !isLost)
      if isLost { break }
    }
  }

  @Test func runsInTurns() async throws {
    let lua = try SessionActor { session in
      session.asyncFunction("turn") { () async in await Task.yield() }
    }
    try await lua.run("count, most, running = 0, 0, 0")
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 1...20 {
        group.addTask {
          try await lua.run(
            """
            running = running + 1 if running > most then most = running end
            local mg = require "moongrad"
            mg.no_grad(function() for i = 1, 20 do assert(not mg.is_grad_enabled()) turn() count = count + 1 end end)
            assert(mg.is_grad_enabled())
            running = running - 1
            """)
        }
      }
      try await group.waitForAll()
    }
    #expect(try await lua.evaluate("count") == 400)
    #expect(try await lua.evaluate("most", as: Int.self) > 1)
    #expect(try await lua.evaluate("running") == 0)
  }

  @Test func theSessionOfAnActor() async throws {
    let lua = try SessionActor(.sandboxed()) { session in session["rate"] = 0.5 }
    await lua.set("names", ["a", "b"])
    try await lua.run("function twice(x) return 2 * x * rate end  function nothing() touched = #names end")
    #expect(try await lua.call("twice", 21) == 21)
    try await lua.call("nothing")
    #expect(try await lua.value("touched") == 2)
    let length = try await lua.withSession { session in try session.evaluate("#names", as: Int.self) }
    #expect(length == 2)
    let later = try await lua.withSession { session async throws -> Int in
      let script = try session.load("x = 3", name: "s")
      try await script.runAsync()
      return try script.value("x")
    }
    #expect(later == 3)
    #expect(await #expect(throws: LuaError.self) { try await lua.call("missing") }?.message == "missing: expected function, got nil")
    #expect(throws: Refusal.self) { try SessionActor { _ in throw Refusal(reason: "no") } }
    // A script that computes keeps no task of Swift's waiting.
    let busy = Task { try await lua.run("while true do end") }
    let others = try await withThrowingTaskGroup(of: Int.self) { group in
      for index in 1...50 { group.addTask { index } }
      return try await group.reduce(0, +)
    }
    #expect(others == 1275)
    busy.cancel()
    _ = await busy.result
  }

  /// Every piece of a script runs where the session is, also after a wait.
  @Test func piecesStayOnTheActor() async throws {
    let lua = try SessionActor { session in session.asyncFunction("pause") { () async in await Task.yield() } }
    try await lua.withSession { session in session.function("here") { lua.preconditionIsolated() } }
    try await lua.run("here() for i = 1, 20 do pause() here() end function f() pause() here() return 1 end")
    #expect(try await lua.evaluate("f()") == 1)
    #expect(try await lua.call("f") == 1)
    try await lua.withSession { session in _ = try await session.load("here() f() here()").runAsync() }
    try await onMain()
  }

  @MainActor private func onMain() async throws {
    let session = try makeSession()
    session.function("here") { MainActor.preconditionIsolated() }
    try await session.runAsync("here() for i = 1, 5 do pause() here() end")
  }

  /// Objects that wait on both sides are let go of.
  @Test func nothingLeaks() async throws {
    do {
      let session = try makeSession()
      try session.register(Probe.self) { $0.initializer { Probe() } }
      session.asyncFunction("keep") { (probe: Probe) async -> Probe in
        await Task.yield()
        return probe
      }
      try await session.runAsync(
        "for i = 1, 100 do local p = Probe() assert(keep(p) == p) pcall(keep, 1) end collectgarbage() collectgarbage()")
      #expect(Probe.live == 0)
      // Given up while it waits.
      let task = Task { [session = UnsafeTransfer(session)] in
        try await session.value.runAsync("local p = Probe() while true do keep(p) pause() end")
      }
      try await Task.sleep(for: .milliseconds(20))
      task.cancel()
      _ = await task.result
      try session.run("collectgarbage() collectgarbage()")
      #expect(Probe.live == 0)
    }
    #expect(Probe.live == 0)
  }
}

private final class Probe: HostObject, @unchecked Sendable {
  nonisolated(unsafe) static var live = 0
  init() { Probe.live += 1 }
  deinit { Probe.live -= 1 }
}

/// For a test that hands a session over and waits.
private struct UnsafeTransfer<Value>: @unchecked Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}

/// Runs tasks whatever others do.
private final class OwnQueue: TaskExecutor {
  private let queue = DispatchQueue(label: "tests.own")

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { [self] in job.runSynchronously(on: asUnownedTaskExecutor()) }
  }
}

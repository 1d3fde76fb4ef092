// Interrupts, limits, and that closing a session gives everything back.

import Dispatch
import Glibc
import Moongrad
import Testing

@Suite(.serialized) struct LifetimeTests {
  @Test func interruptFromAnotherThread() throws {
    let session = try Session()
    let interrupter = session.interrupter
    DispatchQueue.global().asyncAfter(deadline: .now() + 0.1) { interrupter.interrupt() }
    let error = try #require(throws: LuaError.self) {
      try session.run("while true do pcall(function() while true do end end) end", name: "loop")
    }
    #expect(error.kind == .interrupted)
    #expect(error.message.contains("interrupted!"))
    #expect(try session.evaluate("1 + 1") == 2)
  }

  @Test func interruptWithNothingRunningIsNothing() throws {
    let session = try Session()
    session.interrupt()
    #expect(try session.evaluate("1 + 1") == 2)
  }

  @Test func memoryLimitOfLuaAndOfTensors() throws {
    let session = try Session(.init(memoryLimit: 64 << 20))
    let strings = try #require(throws: LuaError.self) {
      try session.run("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end")
    }
    #expect(strings.kind == .memory)
    let tensors = try #require(throws: LuaError.self) {
      try session.run("local mg, t = require 'moongrad', {} for i = 1, 1e9 do t[i] = mg.ones(1000, 1000) end")
    }
    #expect(tensors.message.contains("bytes asked for"))
    #expect(try session.evaluate("1 + 1") == 2)
    _ = try Tensor.ones([32 << 20])  // the host has no such limit
  }

  @Test func memoryLimitOfListsOfElements() throws {
    let session = try Session(.init(memoryLimit: 64 << 20))
    // One element stands for all of them, but not in a list.
    let error = try #require(throws: LuaError.self) { try session.run("require 'moongrad'.zeros(1):expand(1 << 23):tolist()") }
    #expect(error.kind == .memory, "\(error)")
    #expect(try session.evaluate("#require 'moongrad'.zeros(1):expand(1 << 18):tolist()") == 1 << 18)
  }

  /// A thousand sessions, each with tensors, a graph, modules, callbacks and references that outlive it. Tensors may outlive
  /// sessions and their contexts too, so that the accounts are read: each session's own, and the host's.
  @Test func sessionsLeakNothing() throws {
    final class Probe {}
    weak var probe: Probe?
    weak var context: Context?
    var kept: [LuaFunction] = []
    var most = 0
    func once(_ index: Int) throws -> Context {
      let session = try Session()
      let own = Probe()
      probe = own
      context = session.context
      session.function("feed") { (x: Tensor) throws -> Tensor in
        _ = own
        return try x * 2
      }
      session["x"] = try Tensor([1.0, 2.0])
      try session.run(
        """
        local mg = require "moongrad"
        local net = mg.nn.Sequential(mg.nn.Linear(2, 3), mg.nn.ReLU())
        y = net(feed(x)):sum()
        y:backward()
        function f() return y end
        """)
      if index % 100 == 0 { kept.append(try session.value("f")) }
      most = session.context.memoryUse.live
      return session.context
    }
    let host = Context()
    try host.run {
      for index in 0..<1000 {
        let account = try once(index)
        let left = account.memoryUse.live
        #expect(most > 0 && left == 0 && host.memoryUse.live == 0, "\(left) of \(most) bytes stay of session \(index)")
      }
    }
    #expect(host.memoryUse.peak > 0)
    #expect(probe == nil && context == nil)
    #expect(kept.count == 10)
    #expect(throws: LuaError.self) { try kept[0]() }
  }

  @Test func aRunningSessionReleasesWhatScriptsDrop() throws {
    let session = try Session()
    try session.run("mg = require 'moongrad'")
    session.state.collect()
    let (handles, live) = (session.state.handleCount, session.context.memoryUse.live)
    // The host's tensors are on the account of a context of its own here, where no other test's are.
    let host = Context()
    try host.run {
      for _ in 0..<100 {
        session["t"] = try Tensor.ones([100])
        let t: Tensor = try session.value("t")
        let f: LuaFunction = try session.evaluate("function() u = t * 2 return t end")
        #expect(try f() as Tensor === t)
        #expect(host.memoryUse.live >= 400 && session.context.memoryUse.live >= live + 400)
        session.remove("t")
        session.remove("u")
      }
    }
    session.state.collect()
    session.state.collect()
    #expect(session.state.handleCount <= handles + 1)
    #expect(session.context.memoryUse.live == live && host.memoryUse.live == 0)
  }
}

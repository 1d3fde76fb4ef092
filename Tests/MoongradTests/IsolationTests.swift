// What is a session's own, on whatever thread it runs, and what happens when two threads have it at once.

import Foundation
import Moongrad
import Synchronization
import Testing

@Suite struct IsolationTests {
  private final class Carrier: @unchecked Sendable {
    var session: Session?
    var error: (any Error)?
  }

  private func onAnotherThread(_ body: @escaping @Sendable () -> Void) {
    let done = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      body()
      done.signal()
    }
    done.wait()
  }

  /// Everything that a script can set, as text.
  private static let surroundings = """
    return table.concat({ mg.get_default_dtype(), tostring(mg.is_grad_enabled()), tostring(mg.get_num_threads()),
      tostring(mg.tensor(0.25)), tostring(mg.initial_seed()) }, " ")
    """

  @Test func allMovesWithTheSession() throws {
    let (carrier, other) = (Carrier(), try Session())
    carrier.session = try Session()
    let before = (DType.defaultFloating, GradMode.isEnabled)
    for session in [carrier.session, other] { try session?.run("mg = require 'moongrad'") }
    let others = try other.evaluate(Self.surroundings, as: String.self)
    try carrier.session?.run(
      """
      mg.manual_seed(11); mg.set_default_dtype "float64"; mg.set_num_threads(1); mg.set_printoptions{ precision = 1 }
      mg.set_grad_enabled(false); first = mg.rand(3); big = mg.zeros(1000)
      """)
    let own = try carrier.session?.evaluate(Self.surroundings, as: String.self)
    carrier.session?.state.collect()
    let live = carrier.session?.context.memoryUse.live
    #expect(own == "float64 false 1 tensor(0.2) 11")
    onAnotherThread {
      do {
        let session = carrier.session
        #expect(session?.context.memoryUse.live == live)
        #expect(try session?.evaluate(Self.surroundings, as: String.self) == own)
        #expect(DType.defaultFloating == .float32 && GradMode.isEnabled)
        try session?.run("second = mg.rand(3); big = nil; collectgarbage()")
      } catch { carrier.error = error }
    }
    #expect(carrier.error == nil)
    try carrier.session?.run(
      """
      local third = mg.rand(2)
      mg.manual_seed(11)
      assert(mg.cat { first, second, third }:equal(mg.cat { mg.rand(3), mg.rand(3), mg.rand(2) }))
      """)
    #expect(try carrier.session?.evaluate(Self.surroundings, as: String.self) == own)
    #expect(try other.evaluate(Self.surroundings, as: String.self) == others)
    #expect(DType.defaultFloating == before.0 && GradMode.isEnabled == before.1)
    #expect(carrier.session?.context.memoryUse.live ?? 0 < (live ?? 0))
  }

  /// A session may be opened, used and closed with a host's tensors alive that are larger than its limit.
  @Test func aHostsTensorsAreItsOwn() throws {
    let mine = try Tensor.zeros([16 << 20])  // 64 MiB
    for limit in [4 << 20, 8 << 20] {
      let session = try Session(.init(memoryLimit: limit))
      #expect(session.context.memoryUse.live < 1 << 16)
      session["mine"] = mine
      try session.run("mg = require 'moongrad'; x = mg.zeros(100, 100); y = mine[{ { 1, 10 } }]:clone()")
      // What a function of the host's makes while a script runs is made for the script.
      session.function("make") { (count: Int) throws -> Tensor in try Tensor.zeros(Shape([count])) }
      #expect(message { try session.run("z = make(4 << 20)") }?.contains("bytes asked for") == true)
      try session.run("z = make(1000)")
    }
    let sandbox = try Session(.sandboxed(memory: .megabytes(8), time: nil))
    sandbox["mine"] = mine
    #expect(try sandbox.evaluate("mine:numel()") == 16 << 20)
    #expect(try mine.sum().item() == .real(0))
  }

  /// The modes of the host hold inside, and those of the script do not come out.
  /// What is said once is said once in each session, whatever others were told before.
  @Test func warningsGivenOnce() throws {
    for _ in 0..<2 {
      let session = try Session()
      var heard: [String] = []
      session.warnings = { heard.append($0) }
      try session.run(
        """
        local mg = require "moongrad"
        local x = mg.ones(1, { requires_grad = true })
        for _ = 1, 3 do local _, _ = (x * 2).grad, mg.tensor{ x } end
        """)
      #expect(heard.count == 2)
      #expect(heard.first?.contains("not a leaf") == true && heard.last?.contains("given as a number") == true)
    }
  }

  @Test func modes() throws {
    let session = try Session()
    try session.run("mg = require 'moongrad'; x = mg.ones(2, { requires_grad = true })")
    try withNoGrad {
      #expect(try session.evaluate("(x * 2).requires_grad") == false)
      try session.run("mg.set_grad_enabled(true)")
      #expect(!GradMode.isEnabled)
    }
    #expect(try session.evaluate("(x * 2).requires_grad") == true)
    try session.run("mg.set_grad_enabled(false)")
    #expect(GradMode.isEnabled)
    session.function("records") { GradMode.isEnabled }
    #expect(try session.evaluate("records()") == false)
  }

  /// While one thread is inside, another one's calls are errors that do nothing; afterwards it may have the session.
  @Test func twoThreadsAtOnce() throws {
    let carrier = Carrier()
    carrier.session = try Session()
    let session = try #require(carrier.session)
    try session.run("x, t, f = 1, { 5 }, function() return 7 end")
    let (table, function): (LuaTable, LuaFunction) = (try session.value("t"), try session.value("f"))
    nonisolated(unsafe) let handed = (table, function)
    let errors = Mutex<[String]>([])
    session.function("meanwhile") { [unowned session] in
      nonisolated(unsafe) let session = session
      onAnotherThread {
        func attempt(_ body: () throws -> Void) {
          do {
            try body()
            errors.withLock { $0.append("nothing was refused") }
          } catch let error as LuaError {
            errors.withLock { $0.append(error.kind == .unavailable ? error.message : "\(error)") }
          } catch { errors.withLock { $0.append("\(error)") } }
        }
        attempt { try session.run("x = 2") }
        attempt { _ = try session.evaluate("x", as: Int.self) }
        attempt { _ = try session.value("x", as: Int.self) }
        attempt { try session.set("x", 3) }
        attempt { _ = try handed.0.value(1, as: Int.self) }
        attempt { _ = try handed.1() as Int }
        #expect(session["x"] == Int?.none)
        session.interrupter.interrupt()
      }
    }
    #expect(message { try session.run("meanwhile(); while true do end") }?.hasSuffix("interrupted!") == true)
    let found = errors.withLock { $0 }
    #expect(found.count == 6 && found.allSatisfy { $0.contains("in use by another thread") }, "\(found)")
    #expect(try session.evaluate("x") == 1)
    onAnotherThread { do { try carrier.session?.run("x = 2") } catch { carrier.error = error } }
    #expect(try carrier.error == nil && session.evaluate("x") == 2)
  }

  /// Many threads at one session: each call works or is refused, and the session stays whole.
  @Test func manyThreadsAtOnce() throws {
    let carrier = Carrier()
    carrier.session = try Session()
    try carrier.session?.run("n = 0 function count() n = n + 1 for i = 1, 1000 do local _ = {} end end")
    let function: LuaFunction? = try carrier.session?.value("count")
    nonisolated(unsafe) let count = function
    let done = Atomic<Int>(0)
    let refused = Atomic<Int>(0)
    let finished = DispatchGroup()
    for _ in 0..<4 {
      finished.enter()
      Thread.detachNewThread {
        for _ in 0..<500 {
          do {
            try count?()
            done.wrappingAdd(1, ordering: .relaxed)
          } catch { refused.wrappingAdd(1, ordering: .relaxed) }
        }
        finished.leave()
      }
    }
    finished.wait()
    #expect(done.load(ordering: .relaxed) + refused.load(ordering: .relaxed) == 2000)
    #expect(try carrier.session?.evaluate("n") == done.load(ordering: .relaxed))
  }
}

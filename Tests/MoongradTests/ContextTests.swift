// Sessions side by side: what one does is nothing to another, nor to the host.

import Foundation
import Moongrad
import Testing

@Suite struct SessionContextTests {
  private func session(_ configuration: Session.Configuration = .init()) throws -> Session {
    let session = try Session(configuration)
    try session.run("mg = require 'moongrad'")
    return session
  }

  @Test func sessionsOfOneThreadShareNothing() throws {
    let (a, b) = (try session(), try session())
    try a.run(
      """
      mg.manual_seed(7); mg.set_default_dtype "float64"; mg.set_num_threads(1); mg.set_printoptions{ precision = 1 }
      mg.set_grad_enabled(false)
      x = mg.ones(2); y = mg.rand(1000, 1000)
      """)
    try b.run("mg.manual_seed(7); z = mg.rand(3)")
    #expect(try b.evaluate("mg.get_default_dtype()", as: String.self) == "float32")
    #expect(try b.evaluate("mg.is_grad_enabled()", as: Bool.self))
    #expect(try b.evaluate("tostring(mg.tensor(0.25))", as: String.self) == "tensor(0.2500)")
    #expect(try a.evaluate("tostring(mg.tensor(0.25))", as: String.self) == "tensor(0.2)")
    #expect(try a.evaluate("mg.get_num_threads()", as: Int.self) == 1)
    #expect(try a.evaluate("mg.memory().live", as: Int.self) > 8_000_000)
    #expect(try b.evaluate("mg.memory().live", as: Int.self) < 10_000)
    #expect(try b.evaluate("mg.rand(2):tolist()[1]", as: Double.self) != a.evaluate("mg.rand(2):tolist()[1]", as: Double.self))
    // A backward of one is no backward of the other.
    try a.run("mg.set_grad_enabled(true); w = mg.ones(1, { requires_grad = true }); (w * 2):backward()")
    try b.run("v = mg.ones(1, { requires_grad = true })")
    #expect(try b.evaluate("v:why()", as: String.self).contains("no backward has run yet"))
  }

  /// Tensors of the host's do not count against a session's limit; what scripts ask for too much is an error of that kind.
  @Test func limitsAreForWhatScriptsMake() throws {
    let mine = try Tensor.ones([32 << 20])
    let session = try session(.init(memoryLimit: 48 << 20))
    session["mine"] = mine
    #expect(try session.evaluate("mine:numel()", as: Int.self) == 32 << 20)
    #expect(try session.evaluate("mg.ones(1000, 1000):sum():item()", as: Double.self) == 1e6)
    do {
      try session.run("kept = mg.ones(4000, 4000)")
      Issue.record("nothing was refused")
    } catch let error as LuaError {
      #expect(error.kind == .memory)
      #expect((error.cause as? TensorError)?.kind == .memory)
      #expect(error.message.contains("64000000 bytes asked for"))
    }
    do {
      try session.run("error 'plain'")
    } catch let error as LuaError {
      #expect(error.kind == .runtime)
    }
    for list in ["unbind()", "split(1)", "tolist()"] {
      #expect(try session.evaluate("pcall(function() return mg.ones(1):expand(1 << 22):\(list) end)", as: Bool.self) == false, "\(list)")
    }
    #expect(try session.evaluate("mg.ones(1000, 1000):sum():item()", as: Double.self) == 1e6)
    #expect(mine.count == 32 << 20)
  }

  @Test func theHostIsApart() throws {
    let session = try session()
    manualSeed(5)
    let first = try Tensor.rand([2]).doubles
    manualSeed(5)
    try session.run("mg.manual_seed(99); mg.set_default_dtype 'float64'; mg.rand(10)")
    #expect(try Tensor.rand([2]).doubles == first)
    #expect(DType.defaultFloating == .float32)
  }

  @Test func hostTensorsDoNotCountAgainstTheLimit() throws {
    let mine = try Tensor.zeros([8 << 20])  // 32 MiB
    let session = try session(.init(memoryLimit: 16 << 20))
    session["mine"] = mine
    #expect(try session.evaluate("mine:numel()", as: Int.self) == 8 << 20)
    try session.run("t = mg.zeros(1 << 20)")  // 4 MiB
    #expect(throws: LuaError.self) { try session.run("u = mg.zeros(3 << 20)") }
    // What the session made and the host keeps counts until the host lets go.
    var kept: Tensor? = try session.value("t")
    session.remove("t")
    session.state.collect()
    #expect(session.context.memoryUse.live >= 4 << 20)
    #expect(throws: LuaError.self) { try session.run("u = mg.zeros((5 << 19) + (1 << 18))") }
    #expect(kept?.count == 1 << 20)
    kept = nil
    #expect(session.context.memoryUse.live < 4 << 20)
    try session.run("u = mg.zeros((5 << 19) + (1 << 18))")
  }

  @Test func aSessionMovesBetweenThreads() throws {
    final class Carrier: @unchecked Sendable {
      var session: Session?
      var error: (any Error)?
    }
    let carrier = Carrier()
    carrier.session = try session()
    let context = try #require(carrier.session?.context)
    carrier.session?.state.collect()
    let before = context.memoryUse.live
    try carrier.session?.run("mg.manual_seed(1); a = mg.rand(2); w = mg.ones(2, { requires_grad = true }); y = (w * a):sum()")
    let done = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      do {
        try carrier.session?.run("y:backward(); b = mg.rand(2); big = mg.zeros(1000); w = nil; y = nil; collectgarbage()")
      } catch { carrier.error = error }
      done.signal()
    }
    done.wait()
    #expect(carrier.error == nil)
    try carrier.session?.run("mg.manual_seed(1); local c = mg.rand(4); assert(c[{ { 3, 4 } }]:equal(b))")
    #expect(context.memoryUse.live >= before + 4000)
    // a and b are left, of 8 bytes each, in buffers of 64; what was made on one thread and freed on the other is not.
    carrier.session?.remove("big")
    carrier.session?.state.collect()
    #expect(context.memoryUse.live == before + 2 * 64)
    carrier.session = nil
    #expect(context.memoryUse.live == 0)
  }

  @Test func oneInsideTheOther() throws {
    let (outer, inner) = (try session(), try session())
    outer.function("ask") { () throws -> Double in
      try inner.run("mg.set_default_dtype 'float64'; x = mg.zeros(1000)")
      return try inner.evaluate("mg.tensor(1.5):item()")
    }
    try outer.run(
      """
      local x = mg.ones(2, { requires_grad = true })
      local y = mg.no_grad(function() ask() return x * 2 end)
      assert(not y.requires_grad)
      assert((x * 2).requires_grad and mg.ones(1).dtype == 'float32' and ask() == 1.5)
      """)
  }

  /// Runs of several contexts meet on one graph: they are told apart, whatever each context has run before.
  @Test func runsOfSeveralContexts() throws {
    let session = try session()
    try session.run(
      """
      x = mg.tensor({ { 1.0, 2.0 } }, { requires_grad = true })
      for i = 1, 100 do (x * x):sum():backward() end
      loss = mg.nn.functional.cross_entropy(x, mg.tensor{ 1 })
      seen = 0
      loss.grad_fn.next_functions[1][1]:register_hook(function() seen = seen + 1 end)
      """)
    let loss: Tensor = try session.value("loss")
    // The node that was looked at runs in the fused one's place, in a context without any run so far too.
    try Context().run { try loss.backward() }
    #expect(try session.evaluate("seen") == 1)
  }

  /// A hook may run backward through the same graph in another context: what waits there is put aside, and comes back.
  @Test func runsInsideOfEachOther() throws {
    let x = try Tensor([1.0, 2.0])
    try x.setRequiresGrad(true)
    let shared = try x * x
    let (a, b) = (try shared * 3, try shared * 5)
    var inner: [Double]?
    // b, the later one, has given its gradient to what both share by then.
    _ = try a.addHook(
      Hook { _ in
        guard inner == nil else { return nil }
        inner = []
        inner = try Context().run {
          try Tape.gradients(
            of: [shared], [Tensor([1.0, 1.0])], inputs: [x], options: BackwardOptions(retainGraph: true))[0]?.doubles
        }
        return nil
      })
    try Context().run { try (b + a).sum().backward() }
    #expect(inner == [2, 4])
    #expect(x.grad?.doubles == [16, 32])
  }

  /// What the host computes, outside of a session, of the session's tensors comes after them on the way back.
  @Test func theHostGoesOnWithASessionsGraph() throws {
    let session = try session()
    try session.run("x = mg.tensor({ 1.0, 2.0 }, { requires_grad = true }); for i = 1, 100 do t = x * x end")
    let (x, t): (Tensor, Tensor) = (try session.value("x"), try session.value("t"))
    // Nodes are numbered in turn by the context in which they are made, so a new context begins low.
    try Context().run { try ((t * t) * t).sum().backward(options: BackwardOptions(retainGraph: true)) }
    // 6x⁵
    #expect(x.grad?.doubles == [6, 192])
    // And back, to a session that counts lower than the host.
    let other = try self.session()
    other["t"] = t
    try other.run("u = (t * t):sum(); u:backward()")
    // 4x³ more
    #expect(x.grad?.doubles == [10, 224])
  }
}

// Memory may run out anywhere in the library: at every allocation of Lua's and at every buffer of a tensor, in turn. What fails says so,
// nothing is left behind, and the session works on.
//
// A run takes a few milliseconds, and there are thousands: by default each 61st, with MOONGRAD_SWEEP set all of them.

import Bindings
import Foundation
@testable import LuaRuntime
import Moongrad
import Tensors
import Testing

@Suite struct SweepTests {
  /// Some of everything: a net, its training with hooks, a class and a function of the script's, freezing, views, indices, functional
  /// transforms, batches, data and printing.
  static let program = """
    local mg = require 'moongrad'
    local nn = mg.nn
    local Net = nn.Module 'Net'
    function Net:init() self.hidden, self.predict = nn.Linear(2, 3), nn.Linear(3, 1) end
    function Net:forward(x) return self.predict(self.hidden(x):tanh()) end
    local net = Net()
    local x, y = mg.randn(4, 2), mg.ones(4, 1)
    mg.freeze(net, 'hidden.*')
    local opt, loss_fn = mg.optim.Adam(net:parameters(), { lr = 0.01 }), nn.MSELoss()
    local seen = 0
    local handle = net.predict.weight:register_hook(function(g) seen = seen + 1 return g * 2 end)
    for step = 1, 2 do
      local loss = loss_fn(net(x), y)
      opt:zero_grad()
      loss:backward()
      opt:step()
    end
    handle:remove()
    assert(seen == 2)
    local Twice = mg.autograd.Function('Twice', { forward = function(ctx, a) ctx:save_for_backward(a) return a * 2 end,
      backward = function(ctx, g) return g * 2 end })
    local leaf = mg.ones(3, { requires_grad = true })
    Twice(leaf):sum():backward()
    assert(leaf.grad[1]:item() == 2)
    local m = mg.arange(12):reshape(3, 4):float()
    m[{ {}, 2 }] = 0
    assert(m:t():sum(1):max():item() >= 0 and #m:tolist() == 3 and #tostring(m) > 10)
    local gradient = mg.func.grad(function(a) return (a * a):sum() end)(mg.ones(2))
    local rows = mg.func.vmap(function(a) return a:sum() end)(m)
    for batch in mg.data.DataLoader(mg.data.TensorDataset(m), { batch_size = 2 }) do rows = rows + batch[1]:sum() end
    local state = net:state_dict()
    net:load_state_dict(state)
    local ok, message = pcall(function() return mg.ones(2) + mg.ones(3) end)
    assert(not ok)
    local co = coroutine.wrap(function() for i = 1, 2 do coroutine.yield(mg.full({ 2 }, i)) end end)
    co() co()
    return gradient[1]:item()
    """

  private static func places(_ total: Int) -> [Int] {
    Array(stride(from: 1, through: total, by: ProcessInfo.processInfo.environment["MOONGRAD_SWEEP"] == nil ? 61 : 1))
  }

  private static func isForMemory(_ error: LuaError) -> Bool {
    error.kind == .memory || error.message.contains("not enough memory") || error.message.contains("bytes asked for")
  }

  /// Opens a state with the whole library in a context of its own, and runs the program in it, in memory that ends at an allocation.
  private static func run(failing: (index: Int, onwards: Bool)) throws -> (allocations: Int, succeeded: Bool) {
    let context = Context()
    var configuration = State.Configuration()
    configuration.failingAllocation = failing
    configuration.warningSink = { _ in }
    return try context.run {
      var (isOpen, succeeded) = (false, false)
      var allocations = 0
      do {
        let state = try State(configuration, surroundings: State.Surroundings(enter: context.enter, leave: context.leave))
        defer { state.close() }
        do {
          try Library.install(in: state)
          isOpen = true
          _ = try state.run(source: program, chunkName: "=sweep")
          succeeded = true
        } catch let error as LuaError {
          #expect(isForMemory(error), "\(failing): \(error)")
        }
        allocations = Int(state.counts.allocations)
        state.pointer.pointee.config.fail_at = .max
        // Memory is back: what was opened works again.
        if isOpen { _ = try state.run(source: program, chunkName: "=sweep") }
      } catch let error as LuaError {
        #expect(isForMemory(error), "\(failing): \(error)")
      }
      #expect(Context.memoryUse.live == 0, "\(failing)")
      return (allocations, succeeded)
    }
  }

  @Test(arguments: [false, true]) func everyAllocationOfLuas(_ onwards: Bool) throws {
    let whole = try Self.run(failing: (.max, false))
    #expect(whole.succeeded && whole.allocations > 5000)
    for index in Self.places(whole.allocations) {
      let run = try Self.run(failing: (index, onwards))
      if onwards { #expect(!run.succeeded || index > whole.allocations - 100, "at \(index)") }
    }
  }

  @Test func everyBuffer() throws {
    let session = try Session()
    try session.run(Self.program)
    session.context.lendsBeforeRefusal = .max
    try session.run(Self.program)
    let total = .max - session.context.lendsBeforeRefusal!
    #expect(total > 60)
    var failed = 0
    for index in 0..<total {
      session.context.lendsBeforeRefusal = index
      do { try session.run(Self.program) } catch let error as LuaError {
        failed += 1
        #expect(Self.isForMemory(error), "\(index): \(error)")
      }
    }
    // In the one call that expects an error, no memory is one, too.
    #expect(failed >= total - 2)
    session.context.lendsBeforeRefusal = nil
    try session.run(Self.program)
    try session.run("collectgarbage() collectgarbage()")
    #expect(session.context.memoryUse.live == 0)
  }

  /// Nothing is in force whose guard a script could not have, for want of memory.
  @Test(arguments: [
    "local _ <close> = mg.no_grad()", "local _ <close> = mg.inference_mode()", "local _ <close> = mg.autograd.forward_ad.dual_level()",
    "mg.func.vmap(function(x) return x end)(three)", "local _ <close> = mg.autograd.saved_tensors_hooks(same, same)",
  ]) func noGuardNoMode(_ text: String) throws {
    let context = Context()
    var configuration = State.Configuration()
    configuration.failingAllocation = (.max, false)
    configuration.warningSink = { _ in }
    try context.run {
      let state = try State(configuration, surroundings: State.Surroundings(enter: context.enter, leave: context.leave))
      defer { state.close() }
      try Library.install(in: state)
      let source = """
        mg, three = require 'moongrad', require 'moongrad'.ones(3)
        function same(x) return x end
        function try() \(text) end
        try()
        """
      _ = try state.run(source: source)
      var failed = 0
      for more in 1...60 {
        for onwards in [false, true] {
          state.pointer.pointee.config.fail_at = state.counts.allocations + UInt64(more)
          state.pointer.pointee.config.fail_onwards = onwards
          if (try? state.run(source: "try()")) == nil { failed += 1 }
          state.pointer.pointee.config.fail_at = .max
          let word = state.word
          let works = try state.evaluate(
            "mg.is_grad_enabled() and #mg.rand(2):tolist() == 2 and (mg.ones(1, { requires_grad = true }) * 2).requires_grad")
          guard case .boolean(true)? = works.first, word == 0 else {
            Issue.record("after \(more) more, \(onwards)")
            return
          }
        }
      }
      #expect(failed > 4)
    }
  }
}

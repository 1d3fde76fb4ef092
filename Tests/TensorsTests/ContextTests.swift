// What contexts keep apart, and what outlives them.

import Foundation
import Tensors
import Testing

@Suite struct ContextTests {
  private func megabyte() throws -> Tensor { try Tensor.zeros([1 << 18], dtype: .float32) }

  @Test func settingsAreApart() throws {
    let (a, b) = (Context(), Context())
    a.run {
      DType.defaultFloating = .float64
      GradMode.setEnabled(false)
      manualSeed(1)
      Threads.count = 1
      PrintOptions.current.precision = 2
    }
    b.run {
      #expect(DType.defaultFloating == .float32)
      #expect(GradMode.isEnabled)
      #expect(PrintOptions.current.precision == 4)
      manualSeed(1)
    }
    let first = try a.run { try Tensor.rand([3]).doubles }
    #expect(try b.run { try Tensor.rand([3], dtype: .float64).doubles } == first)
    a.run {
      #expect(DType.defaultFloating == .float64 && !GradMode.isEnabled && Threads.count == 1)
      // Within another, and back.
      b.run { #expect(DType.defaultFloating == .float32) }
      #expect(DType.defaultFloating == .float64 && Threads.count == 1)
    }
    #expect(DType.defaultFloating == .float32 && GradMode.isEnabled)
  }

  @Test func whatThrowsPutsBackTheOldOne() throws {
    struct Stop: Error {}
    let context = Context()
    #expect(throws: Stop.self) {
      try context.run {
        DType.defaultFloating = .float64
        throw Stop()
      }
    }
    #expect(DType.defaultFloating == .float32)
  }

  @Test func memoryIsAccountedToWhoMadeIt() throws {
    let (a, b) = (Context(), Context())
    var tensor: Tensor? = try a.run(megabyte)
    #expect(a.memoryUse.live == 1 << 20 && b.memoryUse.live == 0)
    b.run { tensor = nil }
    #expect(a.memoryUse.live == 0 && b.memoryUse.live == 0 && tensor == nil)
    // Given back elsewhere, the buffer went to the system, not to b.
    #expect(a.memoryUse.cached == 0 && b.memoryUse.cached == 0)
    _ = try a.run(megabyte)
    a.run {}
    #expect(a.memoryUse.live == 0)
  }

  /// The most there has been, whether it came from the system or from what was kept.
  @Test func theMostThereHasBeen() throws {
    let context = Context()
    try context.run {
      var held = try [megabyte(), megabyte()]
      held = []
      #expect(context.memoryUse.peak == 2 << 20 && held.isEmpty)
      held = try [megabyte(), megabyte(), megabyte()]
      #expect(context.memoryUse.peak == 3 << 20)
      held = []
      held = try [megabyte(), megabyte()]
      #expect(context.memoryUse.peak == 3 << 20 && context.memoryUse.live == 2 << 20 && held.count == 2)
    }
  }

  /// What another context frees, which is noted apart, is no longer there when more is handed out; nor is it forgotten.
  @Test func peakOfWhatOthersFree() throws {
    let context = Context()
    for _ in 0..<10 {
      var tensor: Tensor? = try context.run { try Tensor.zeros([1 << 18]) }
      #expect(tensor?.count == 1 << 18)
      tensor = nil
      #expect(context.memoryUse.live == 0 && context.memoryUse.peak == 1 << 20)
    }
    _ = try context.run { try Tensor.zeros([1]).count }
    #expect(context.memoryUse.live == 0 && context.memoryUse.peak == 1 << 20)
  }

  /// Tensors may die on other threads while their context goes on, or after it: nothing of the account is lost.
  @Test func tensorsDieOnOtherThreads() throws {
    final class Heap: @unchecked Sendable {
      var context: Context? = Context()
      var tensors: [[Tensor]] = []
    }
    let (heap, count) = (Heap(), 20_000)
    try heap.context?.run { heap.tensors = try (0..<2).map { _ in try (0..<count).map { _ in try Tensor.ones([1]) } } }
    func dropping(_ index: Int) -> DispatchSemaphore {
      let done = DispatchSemaphore(value: 0)
      let tensors = Carried(heap.tensors.remove(at: index))
      Thread.detachNewThread {
        tensors.value = []
        done.signal()
      }
      return done
    }
    let elsewhere = dropping(0)
    try heap.context?.run { for _ in 0..<count { _ = try Tensor.ones([1]) } }
    elsewhere.wait()
    #expect(heap.context?.memoryUse.live == count * 64)
    // A limit under which only what was given back elsewhere leaves room.
    heap.context?.memoryLimit = (count + 1) * 64
    try heap.context?.run { _ = try Tensor.ones([1]) }
    // The context goes while its last tensors do.
    let rest = dropping(0)
    heap.context = nil
    rest.wait()
  }

  private final class Carried: @unchecked Sendable {
    var value: [Tensor]
    init(_ value: [Tensor]) { self.value = value }
  }

  @Test func tensorsOutliveTheirContext() throws {
    weak var context: Context?
    var tensor: Tensor?
    try {
      let made = Context()
      context = made
      tensor = try made.run { try megabyte() + 1 }
    }()
    #expect(context == nil)
    #expect(tensor?.element(5) == .real(1))
    let sum = try #require(tensor).sum()
    #expect(try sum.item() == .real(Double(1 << 18)))
    tensor = nil
  }

  /// The limit holds for buffers that were kept from before as for new ones.
  @Test func theLimitHoldsForKeptBuffers() throws {
    let context = Context()
    try context.run {
      var kept = try (0..<3).map { _ in try megabyte() }
      kept = []
      #expect(context.memoryUse.cached >= 3 << 20 && kept.isEmpty)
      context.memoryLimit = 5 << 19
      kept = [try megabyte(), try megabyte()]
      do {
        kept.append(try megabyte())
        Issue.record("a third megabyte fitted into two and a half")
      } catch let error as TensorError {
        #expect(error.kind == .memory)
        #expect("\(error)".contains("1048576 bytes asked for, but 2097152 of at most 2621440 bytes are in use"))
      }
      #expect(context.memoryUse.live == 2 << 20)
      kept.removeLast()
      kept.append(try megabyte())
      #expect(kept.count == 2)
    }
  }

  /// A context goes from one thread to another with everything in it.
  @Test func aContextMoves() throws {
    final class Carrier: @unchecked Sendable {
      let context = Context()
      var tensor: Tensor?
      var numbers: [Double] = []
    }
    let carrier = Carrier()
    try carrier.context.run {
      manualSeed(3)
      DType.defaultFloating = .float64
      carrier.tensor = try megabyte()
      carrier.numbers = try Tensor.rand([2]).doubles
    }
    let done = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      carrier.context.run {
        carrier.tensor = nil
        carrier.numbers += (try? Tensor.rand([2]).doubles) ?? []
        GradMode.setEnabled(false)
      }
      carrier.numbers.append(DType.defaultFloating == .float32 ? 1 : 0)
      done.signal()
    }
    done.wait()
    #expect(carrier.context.memoryUse.live == 0)
    #expect(carrier.numbers.last == 1)
    let expected = try Context().run {
      manualSeed(3)
      return try Tensor.rand([4], dtype: .float64).doubles
    }
    #expect(Array(carrier.numbers.prefix(4)) == expected)
    carrier.context.run { #expect(!GradMode.isEnabled) }
  }
}

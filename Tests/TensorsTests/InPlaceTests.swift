// In-place writes in the graph: what they may write to, how saved values notice them, what views make of their base's
// history. All numbers are worked out by hand from w = (1, 10, 100, 1000), the weights of the last sum.

import Tensors
import Testing

@Suite struct InPlaceTests {
  private let w: Tensor
  init() throws { w = try vector(1, 10, 100, 1000, requiresGrad: false) }

  /// A leaf (1, 2, 3, 4).
  private func leaf() throws -> Tensor { try vector(1, 2, 3, 4) }

  /// The gradient of Σ w · y by `x`.
  private func gradient(of y: Tensor, by x: Tensor) throws -> [Double]? {
    try Tape.gradients(of: [(y * w).sum()], [nil], inputs: [x], options: BackwardOptions(retainGraph: true))[
      0]?.doubles
  }

  // MARK: Tensors

  @Test func leavesAreProtected() throws {
    let a = try leaf()
    for body in [
      { _ = try Unary.exp.inPlace(a) }, { _ = try Binary.mul.inPlace(a, .real(2)) },
      { _ = try a.fill(.integer(0)) },
      { _ = try Binary.add.inPlace(a.narrow(0, 0, 2), .real(1)) },
    ] as [() throws -> Void] {
      let text = message(body)
      #expect(text.contains("leaf") && text.contains("no_grad"), "\(text)")
    }
    #expect(a.doubles == [1, 2, 3, 4] && a.version == 0)
    try withNoGrad { _ = try Binary.mul.inPlace(a.narrow(0, 0, 2), .real(2)) }
    #expect(a.doubles == [2, 4, 3, 4] && a.version == 1 && a.isLeaf && a.requiresGrad)
    // Frozen, it may be written.
    try a.setRequiresGrad(false)
    try Unary.neg.inPlace(a)
    #expect(a.doubles == [-2, -4, -3, -4] && a.isLeaf)
  }

  @Test func aWriteIsPartOfTheGraph() throws {
    let a = try leaf()
    let b = try a * 1
    try Binary.mul.inPlace(b, .real(3))
    try Unary.square.inPlace(b)
    // (3a)²: 18a
    #expect(b.doubles == [9, 36, 81, 144])
    #expect(try gradient(of: b, by: a) == [18, 360, 5400, 72000])
  }

  /// A plain tensor that is given a history by the write.
  @Test func anOperandsHistoryComesAlong() throws {
    let a = try leaf()
    let b = try vector(5, 6, 7, 8, requiresGrad: false)
    try Binary.mul.inPlace(b, a)
    #expect(b.requiresGrad && !b.isLeaf)
    #expect(try gradient(of: b, by: a) == [5, 60, 700, 8000])
  }

  /// What is overwritten by constants passes zeros on, and still requires grad.
  @Test func overwritten() throws {
    let a = try leaf()
    let b = try a * a
    try b.fill(.real(7))
    #expect(b.requiresGrad && b.doubles == [7, 7, 7, 7])
    #expect(try gradient(of: b, by: a) == [0, 0, 0, 0])
    let c = try a * 2
    try c.copy(from: a * a)
    // The square's gradient only: 2a.
    #expect(try gradient(of: c, by: a) == [2, 40, 600, 8000])
  }

  @Test func expandedTensorsAreNotWritten() throws {
    let b = try number(1).expand([3])
    #expect(message { try Binary.add.inPlace(b, .real(1)) }.contains("expanded"))
    #expect(message { try withNoGrad { _ = try b.fill(.real(2)) } }.contains("expanded"))
  }

  // MARK: Saved values

  @Test func aSavedInputThatWasWrittenTo() throws {
    let a = try leaf()
    let b = try a * 1
    let c = try b * b
    try Binary.add.inPlace(b, .real(1))
    let text = message { try c.sum().backward() }
    for fact in ["MulBackward0", "[4]", "version 1", "version 0", "in-place"] {
      #expect(text.contains(fact), "\(text)")
    }
  }

  @Test func aSavedResultThatWasWrittenTo() throws {
    let a = try leaf()
    let b = try a.exp()
    try Binary.add.inPlace(b, .real(1))
    try Binary.add.inPlace(b, .real(1))
    let text = message { try b.sum().backward() }
    for fact in ["ExpBackward0", "[4]", "version 2", "version 0"] { #expect(text.contains(fact), "\(text)") }
    // exp_ keeps what it has written.
    let c = try Unary.exp.inPlace(a * 0)
    #expect(try gradient(of: c, by: a) == [0, 0, 0, 0])
    // What needs no saved value does not mind.
    let d = try a * 2
    try Binary.add.inPlace(d, .real(1))
    #expect(try gradient(of: d, by: a) == [2, 20, 200, 2000])
  }

  /// Views and detached tensors count their writes in the same storage; `.data` does not count.
  @Test func whoCounts() throws {
    for (write, counts) in [
      ({ try Binary.add.inPlace($0.narrow(0, 0, 1), .real(1)) }, true),
      ({ try Binary.add.inPlace($0.detach(), .real(1)) }, true),
      ({ try Binary.add.inPlace($0.uncountedData, .real(1)) }, false),
      ({ tensor in try withNoGrad { try Binary.add.inPlace(tensor, .real(1)) } }, true),
    ] as [((Tensor) throws -> Tensor, Bool)] {
      let a = try leaf()
      let b = try a * 1
      let c = try b * b
      _ = try write(b)
      if counts {
        #expect(message { try c.sum().backward() }.contains("version"))
      } else {
        try c.sum().backward()
        #expect(a.grad?.doubles[0] == 4)  // the new b, unnoticed
      }
    }
  }

  /// A failed write leaves elements, version and history alone.
  @Test func failedWrites() throws {
    let a = try leaf()
    let b = try a * 1
    let node = b.gradNode
    #expect(message { try Binary.add.inPlace(b, Tensor.ones([2, 4], dtype: .float64)) }.contains("[2, 4]"))
    #expect(message { try Binary.add.inPlace(Tensor([1, 2]), .real(0.5)) }.contains("int64"))
    #expect(b.doubles == [1, 2, 3, 4] && b.version == 0 && b.gradNode === node)
  }

  // MARK: Views

  @Test func aWriteToAViewIsOneToItsBase() throws {
    let a = try leaf()
    let b = try a * 1
    let v = try b.narrow(0, 0, 2)
    try Binary.mul.inPlace(v, .real(3))
    #expect(
      b.doubles == [3, 6, 3, 4] && b.gradNode?.name == "CopySlices"
        && v.gradNode?.name == "AsStridedBackward0")
    #expect(try gradient(of: b, by: a) == [3, 30, 100, 1000])
    let fromView = try Tape.gradients(of: [v.sum()], [nil], inputs: [a])[0]
    #expect(fromView?.doubles == [3, 3, 0, 0])
  }

  @Test func aViewFollowsItsBase() throws {
    let a = try leaf()
    let b = try a * 1
    let v = try b.narrow(0, 1, 2)
    #expect(v.gradNode?.name == "SliceBackward0")
    try Binary.mul.inPlace(b, .real(5))
    #expect(v.doubles == [10, 15])
    #expect(try Tape.gradients(of: [v.sum()], [nil], inputs: [a])[0]?.doubles == [0, 5, 5, 0])
    #expect(v.gradNode === v.gradNode)
  }

  @Test func overlappingViews() throws {
    let a = try leaf()
    let b = try a * 1
    let (front, back) = (try b.narrow(0, 0, 3), try b.narrow(0, 1, 3))
    try Binary.mul.inPlace(front, .real(2))
    try Binary.mul.inPlace(back, .real(3))
    #expect(b.doubles == [2, 12, 18, 12])
    #expect(try gradient(of: b, by: a) == [2, 60, 600, 3000])
    #expect(try Tape.gradients(of: [front.sum()], [nil], inputs: [a])[0]?.doubles == [2, 6, 6, 0])
  }

  /// Views of views lead to the one base; strides do not matter.
  @Test func viewsOfViews() throws {
    let a = try leaf()
    let b = try a * 1
    let column = try b.view([2, 2]).t().select(0, 1)  // elements 1 and 3
    try Unary.square.inPlace(column)
    #expect(b.doubles == [1, 4, 3, 16])
    #expect(try gradient(of: b, by: a) == [1, 40, 100, 8000])
    let scattered = try b.slice(0, 0, 4, 2).unsqueeze(1)  // elements 0 and 2
    try scattered.copy(from: (a.narrow(0, 0, 2) * 10).view([2, 1]))
    #expect(b.doubles == [10, 4, 20, 16])
    // b₀ = 10a₀, b₁ = a₁², b₂ = 10a₁, b₃ = a₃²
    #expect(try gradient(of: b, by: a) == [10, 40 + 1000, 0, 8000])
  }

  @Test func writingIntoAPlainBuffer() throws {
    let a = try leaf()
    let b = try Tensor.zeros([4], dtype: .float64)
    try b.narrow(0, 1, 2).copy(from: a.narrow(0, 0, 2))
    #expect(b.requiresGrad && !b.isLeaf && b.doubles == [0, 1, 2, 0])
    #expect(try gradient(of: b, by: a) == [10, 100, 0, 0])
    try b.setIndex([.position(3)], a.sum())
    #expect(try gradient(of: b, by: a) == [1010, 1100, 1000, 1000])
    try b.setIndex([.tensor(Tensor([0, 3]))], number(5))
    #expect(b.doubles == [5, 1, 2, 5])
    #expect(try gradient(of: b, by: a) == [10, 100, 0, 0])
  }

  @Test func constantsInAView() throws {
    let a = try leaf()
    let b = try a * a
    try b.narrow(0, 0, 2).fill(.integer(0))
    #expect(b.doubles == [0, 0, 9, 16])
    #expect(try gradient(of: b, by: a) == [0, 0, 600, 8000])
  }

  /// A view's saved values are stale when its base was written to.
  @Test func savedViews() throws {
    let a = try leaf()
    let b = try a * 1
    let v = try b.narrow(0, 0, 2)
    let u = try v * v
    try Binary.add.inPlace(b, .real(1))
    #expect(message { try u.sum().backward() }.contains("version"))
  }

  @Test func secondDerivativesThroughViews() throws {
    let a = try leaf()
    let b = try a * a
    try Unary.square.inPlace(b.narrow(0, 1, 2))
    // (a₀², a₁⁴, a₂⁴, a₃²): derivatives 2a, 4a³, then 2, 12a²
    let first = try #require(
      try Tape.gradients(of: [b.sum()], [nil], inputs: [a], options: BackwardOptions(createGraph: true))[0])
    #expect(first.doubles == [2, 32, 108, 8])
    #expect(try Tape.gradients(of: [first.sum()], [nil], inputs: [a])[0]?.doubles == [2, 48, 108, 2])
  }

  @Test func viewsMadeWithoutGradAreNotWritten() throws {
    let a = try leaf()
    let b = try a * 1
    let v = try withNoGrad { try b.narrow(0, 0, 2) }
    for view in [v, try v.view([2, 1])] {
      let text = message { try Binary.mul.inPlace(view, .real(2)) }
      #expect(text.contains("no_grad"), "\(text)")
    }
    let plain = try Tensor.ones([4], dtype: .float64)
    let part = try withNoGrad { try plain.narrow(0, 0, 2) }
    #expect(message { try Binary.mul.inPlace(part, a.narrow(0, 0, 2)) }.contains("no_grad"))
    // With nothing to record they may.
    try Binary.mul.inPlace(part, .real(2))
    #expect(plain.doubles == [2, 2, 1, 1])
    try withNoGrad { _ = try Binary.mul.inPlace(v, .real(2)) }
    #expect(b.doubles == [2, 4, 3, 4])
  }

  @Test func viewsOfSeveralOutputsAreNotWritten() throws {
    let a = try leaf()
    let b = try a * 1
    for parts in [try b.split([2, 2], 0), try b.chunk(2), try b.unbind()] {
      let text = message { try Binary.mul.inPlace(parts[0], .real(2)) }
      #expect(text.contains("together"), "\(text)")
      #expect(message { try Unary.neg.inPlace(parts[1].view([-1])) }.contains("together"))
    }
    #expect(b.doubles == [1, 2, 3, 4])
    let plain = try Tensor.ones([4], dtype: .float64)
    try Binary.mul.inPlace(plain.split([2, 2], 0)[1], .real(2))
    #expect(plain.doubles == [1, 1, 2, 2])
  }

  // MARK: Memory

  /// Writes whose history would hold the tensor written to.
  @Test func nothingIsKept() throws {
    try expectNothingKept {
      let b = try leaf() * 1
      try Binary.mul.inPlace(b, b)
    }
    try expectNothingKept {
      let b = try leaf() * 1
      let c = try b * b
      try Binary.mul.inPlace(b, c)
    }
    try expectNothingKept {
      let b = try leaf() * 1
      let c = try (b * b).exp()
      try b.copy(from: c)
      try Binary.add.inPlace(b, .real(1))
      #expect(message { try b.sum().backward() }.contains("version"))
    }
    try expectNothingKept {
      let x = try leaf()
      let b = try vector(1, 2, 3, 4, requiresGrad: false)
      let c = try b * x
      try b.copy(from: c)
    }
    try expectNothingKept {
      let b = try leaf() * 1
      try Unary.square.inPlace(b)
      try Unary.tanh.inPlace(b)
      try b.sum().backward()
    }
  }

  /// The same through views: one saved and its base written, the base saved and a view written, one view saved and
  /// another written.
  @Test func nothingIsKeptThroughViews() throws {
    try expectNothingKept {
      let b = try leaf() * 1
      let v = try b.narrow(0, 0, 2)
      try Binary.mul.inPlace(b, (v * v).sum())
    }
    try expectNothingKept {
      let b = try leaf() * 1
      let c = try b * b
      try Binary.mul.inPlace(b.narrow(0, 0, 2), c.narrow(0, 0, 2))
    }
    try expectNothingKept {
      let b = try leaf() * 1
      let (u, v) = (try b.narrow(0, 0, 2), try b.narrow(0, 2, 2))
      try Binary.mul.inPlace(u, v * v)
    }
    try expectNothingKept {
      let b = try leaf() * 1
      let v = try b.narrow(0, 0, 2)
      try Binary.mul.inPlace(v, v)
      try Binary.mul.inPlace(v, b.narrow(0, 2, 2))
      _ = try v.sum().gradNode
    }
    try expectNothingKept {
      let b = try leaf() * 1
      let v = try b.view([2, 2])
      for row in 0..<2 { try v.select(0, row).copy(from: (v.select(0, row) * v.select(1, row)).exp()) }
      _ = v.gradNode
      _ = try (v * v).sum()
    }
    try expectNothingKept {
      let b = try leaf() * 1
      let y = try (b * 2).view([2, 2])
      let mask = try y.gt(3)
      try y.copy(from: y.maskedFill(mask, .integer(0)) * y)
    }
  }
}

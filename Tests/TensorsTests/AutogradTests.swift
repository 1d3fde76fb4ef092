// The meaning of autograd: the founding tutorial's rows (numbered as in Tests/Fixtures/autograd), accumulation, several
// roots, gradients by any tensor, hooks, and graphs too deep for recursion. In-place writes: InPlaceTests.swift.

import Tensors
import Testing

/// A float64 vector.
func vector(_ elements: Double..., requiresGrad: Bool = true) throws -> Tensor {
  let result = try Tensor(elements, dtype: .float64)
  try result.setRequiresGrad(requiresGrad)
  return result
}

/// A float64 tensor of rank 0.
func number(_ value: Double, requiresGrad: Bool = false) throws -> Tensor {
  let result = try Tensor.full([], .real(value), dtype: .float64)
  try result.setRequiresGrad(requiresGrad)
  return result
}

/// The message of the error that `body` throws.
func message(
  sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) -> String {
  #expect(throws: TensorError.self, sourceLocation: sourceLocation) { try body() }?.description ?? ""
}

/// Runs `body` twice, expecting that the second time no tensor outlives it.
func expectNothingKept(sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void) rethrows {
  try body()
  let live = Context.memoryUse.live
  try body()
  #expect(Context.memoryUse.live == live, "bytes of tensors kept", sourceLocation: sourceLocation)
}

@Suite struct AutogradTests {
  // MARK: The tutorial's rows

  @Test func row1NewTensorsDoNotRequireGrad() throws {
    let x = try Tensor([[1, 2], [3, 4]])
    #expect(!x.requiresGrad && x.isLeaf && x.grad == nil)
    try x.setRequiresGrad(true)
    #expect(x.requiresGrad && x.isLeaf)
  }

  @Test func row2RequiringGradIsTransitive() throws {
    let x = try Tensor.ones([2, 3])
    let y = try Tensor.ones([2, 3])
    let sum = try x + y
    #expect(!sum.requiresGrad)
    try y.setRequiresGrad(true)
    let z = try (x + y).exp().sum().log()
    #expect(try (x + y).requiresGrad)
    #expect(z.requiresGrad && !z.isLeaf && !x.requiresGrad)
  }

  @Test func row4LinearNamesBothShapes() throws {
    let weight = try Tensor.ones([2, 3])
    let text = message { _ = try Tensor.ones([1, 2]).linear(weight, Tensor.ones([2])) }
    #expect(text.contains("[1, 2]") && text.contains("[2, 3]") && text.contains("in_features = 3"), "\(text)")
  }

  @Test func row6OnlyLeavesHaveASettableFlag() throws {
    let x = try vector(1, 2)
    let y = try x * 2
    let text = message { try y.setRequiresGrad(false) }
    #expect(text.contains("leaf") && text.contains("detach()"), "\(text)")
    #expect(y.requiresGrad)
    try y.setRequiresGrad(true)
    #expect(message { try Tensor([1, 2]).setRequiresGrad(true) }.contains("int64"))
  }

  @Test func row7NoGradRecordsNothing() throws {
    let x = try vector(1, 2)
    let y = try withNoGrad { try x * 2 }
    #expect(!y.requiresGrad && y.gradNode == nil && y.isLeaf && x.requiresGrad)
    struct Stop: Error {}
    #expect(throws: Stop.self) { try withNoGrad { throw Stop() } }
    #expect(GradMode.isEnabled)
    try withNoGrad {
      let recorded = try withGradMode(enabled: true) { try x * 2 }
      #expect(recorded.requiresGrad)
      #expect(!GradMode.isEnabled)
    }
  }

  @Test func row8DetachedTensorsShareElements() throws {
    let x = try vector(1, 1)
    let y = x.detach()
    #expect(!y.requiresGrad && y.isLeaf && y.gradNode == nil)
    y.setElement(0, .real(9))
    #expect(x.doubles == [9, 1])
    // The gradient stops at the detached one: d/dx (x + detached) = 1.
    try (x * 2 + x.detach() * 5).sum().backward()
    #expect(x.grad?.doubles == [2, 2])
  }

  @Test func row11MeanOfSquares() throws {
    let v = try Tensor([[1, 2], [3, 4]], dtype: .float64)
    try v.setRequiresGrad(true)
    let out = try (v * v).mean()
    #expect(out.doubles == [7.5])
    try out.backward()
    #expect(v.grad?.doubles == [0.5, 1, 1.5, 2] && v.grad?.shape == [2, 2])
  }

  @Test func row13OnlyLeavesReceiveGradients() throws {
    let x = try vector(1, 2)
    let y = try x * 2
    let kept = try y * y
    try kept.retainGrad()
    try kept.retainGrad()
    try (kept * 3).sum().backward()
    // d(3·(2x)²)/dx = 24x
    #expect(x.grad?.doubles == [24, 48])
    #expect(y.grad == nil && kept.grad?.doubles == [3, 3])
    #expect(message { try Tensor([1.0]).retainGrad() }.contains("does not require grad"))
  }

  @Test func row14SavedValuesAreFreed() throws {
    let x = try vector(1, 2)
    let y = try x * x
    try y.sum().backward(options: BackwardOptions(retainGraph: true))
    try y.sum().backward()
    #expect(x.grad?.doubles == [4, 8])
    let text = message { try y.sum().backward() }
    #expect(text.contains("freed") && text.contains("retain_graph"), "\(text)")
    // What saved nothing may run twice.
    let z = try (x * 2).sum()
    try z.backward()
    try z.backward()
    #expect(x.grad?.doubles == [8, 12])
  }

  @Test func row15ImpliedGradientsNeedOneElement() throws {
    let x = try vector(1, 2)
    let y = try x * x
    let text = message { try y.backward() }
    #expect(text.contains("[2]") && text.contains("gradient"), "\(text)")
    let wrong = message { try y.backward(vector(1, 2, 3, requiresGrad: false)) }
    #expect(wrong.contains("[3]") && wrong.contains("[2]"), "\(wrong)")
    try y.backward(vector(1, 5, requiresGrad: false))
    #expect(x.grad?.doubles == [2, 20])
  }

  @Test func row16NothingRequiresGrad() throws {
    let c = try number(2) * number(3)
    #expect(
      message { try c.backward() } == "element 0 of tensors does not require grad and does not have a grad_fn"
    )
    #expect(c.gradNode == nil && c.isLeaf && !c.requiresGrad)
  }

  @Test func rows17To20TheProduct() throws {
    let a = try number(2, requiresGrad: true)
    let b = try number(3)
    let c = try a * b
    let node = try #require(c.gradNode)
    #expect(node.name == "MulBackward0" && !c.isLeaf)
    // Only b is kept, for a's gradient.
    #expect(try node.keptValue(.input(0)) == nil)
    #expect(try node.keptValue(.input(1))?.doubles == [3])
    let next = try node.nextFunctions()
    #expect(next.count == 2)
    #expect(next[0].node?.name == "AccumulateGrad" && next[0].node?.variable === a)
    #expect(next[1].node == nil)
    try c.backward()
    #expect(a.grad?.doubles == [3] && b.grad == nil)
    // Freeing left the node, but not the value.
    #expect(message { _ = try node.keptValue(.input(1)) }.contains("freed"))
  }

  @Test func row21TwoProducts() throws {
    let a = try number(2, requiresGrad: true)
    let b = try number(3, requiresGrad: true)
    let d = try number(4, requiresGrad: true)
    let c = try a * b
    let e = try c * d
    #expect(try e.gradNode !== c.gradNode && e.gradNode?.nextFunctions()[0].node === c.gradNode)
    try e.backward()
    #expect(a.grad?.doubles == [12] && b.grad?.doubles == [8] && d.grad?.doubles == [6])
    #expect(c.grad == nil && !c.isLeaf)
  }

  // MARK: Accumulating

  @Test func gradientsAddUpInTheSameTensor() throws {
    let x = try vector(1, 2)
    try (x * 3).sum().backward()
    let first = try #require(x.grad)
    try (x * 4).sum().backward()
    #expect(x.grad === first && first.doubles == [7, 7] && first.version > 0)
    // With create_graph a new one, so that the old one's uses stay right.
    try (x * x).sum().backward(options: BackwardOptions(createGraph: true))
    #expect(x.grad !== first && x.grad?.doubles == [9, 11] && x.grad?.requiresGrad == true)
    try x.setGrad(nil)  // a gradient with a graph holds its leaf
  }

  /// A gradient never shares memory with what it was computed from.
  @Test func gradientsOwnTheirElements() throws {
    let x = try vector(1, 2)
    let y = try vector(3, 4)
    let seed = try vector(1, 5, requiresGrad: false)
    try (x + y).backward(seed)
    try withNoGrad { _ = try x.grad!.fill(.real(0)) }
    #expect(seed.doubles == [1, 5] && y.grad?.doubles == [1, 5])
    // Nor do expanded ones keep strides of 0.
    try x.sum().backward()
    #expect(x.grad?.isContiguous == true && x.grad?.doubles == [1, 1])
  }

  @Test func assignedGradientsAreChecked() throws {
    let x = try vector(1, 2)
    #expect(message { try x.setGrad(vector(1, 2, 3)) }.contains("[3]"))
    #expect(message { try x.setGrad(Tensor([1, 2], dtype: .float32)) }.contains("float32"))
    try x.setGrad(vector(5, 6, requiresGrad: false))
    try (x * 2).sum().backward()
    #expect(x.grad?.doubles == [7, 8])
  }

  @Test func aTensorUsedTwiceGetsTheSum() throws {
    let x = try vector(2, 3)
    let y = try x * x  // 2x
    let z = try y * x + y  // x³ + x²: 3x² + 2x
    try z.sum().backward()
    #expect(x.grad?.doubles == [16, 33])
  }

  @Test func freezingClearsTheGradient() throws {
    let x = try vector(1, 2)
    let y = try vector(3, 4)
    let z = try x * y
    try x.setRequiresGrad(false)
    try z.sum().backward()
    #expect(x.grad == nil && y.grad?.doubles == [1, 2])
  }

  // MARK: Roots and inputs

  @Test func severalRoots() throws {
    let x = try vector(1, 2)
    let y = try x * x
    let z = try x * 3
    try Tape.backward([y, z.sum()], [vector(1, 10, requiresGrad: false), nil])
    // 2x·(1, 10) + 3
    #expect(x.grad?.doubles == [5, 43])
    #expect(message { try Tape.backward([y, z], [nil]) }.contains("2 tensors but 1"))
  }

  /// A root may lie on the way to another, and be given twice.
  @Test func rootsWithinTheGraph() throws {
    let x = try vector(1, 2)
    let y = try x * 2
    let z = try (y * 5).sum()
    try Tape.backward([z, y.sum(), z], [nil, nil, nil])
    #expect(x.grad?.doubles == [22, 22])
  }

  @Test func backwardIntoChosenInputs() throws {
    let x = try vector(1, 2)
    let w = try vector(3, 4)
    let y = try x * w
    try Tape.backward([(y * y).sum()], [nil], inputs: [w])
    // 2·x·w · x
    #expect(w.grad?.doubles == [6, 32] && x.grad == nil)
    // Non-leaves accumulate as leaves do: 2y, twice.
    let z = try (y * 1).square().sum()
    for _ in 0..<2 { try Tape.backward([z], [nil], inputs: [y], options: BackwardOptions(retainGraph: true)) }
    #expect(y.grad?.doubles == [12, 32] && x.grad == nil)
  }

  @Test func gradientsByAnyTensor() throws {
    let x = try vector(1, 2)
    let y = try x * x
    let z = try y * y
    let found = try Tape.gradients(of: [z.sum()], [nil], inputs: [y, x, z, y])
    #expect(found[0]?.doubles == [2, 8] && found[1]?.doubles == [4, 32] && found[2]?.doubles == [1, 1])
    #expect(found[3]?.doubles == [2, 8])
    #expect(x.grad == nil && y.grad == nil)
    // The root itself, a leaf.
    #expect(
      try Tape.gradients(of: [x], [vector(3, 4, requiresGrad: false)], inputs: [x])[0]?.doubles == [3, 4])
  }

  @Test func unreachedInputsAndBranches() throws {
    let x = try vector(1, 2)
    let other = try vector(1, 2)
    let y = try x * 2
    var runs = 0
    let counting = CustomFunction.Gradient(materializes: false, isOnceDifferentiable: false) { _, gradients in
      runs += 1
      return gradients
    }
    let counted = try CustomFunction.record(
      "Count", inputs: [y], outputs: [(y.detach().clone(), .differentiable)], saved: [], counting)[0]
    let z = try (counted + y * 3).sum()
    #expect(try Tape.gradients(of: [z], [nil], inputs: [other])[0] == nil)
    #expect(runs == 0)
    // counted leads to y, so it runs; by counted itself, nothing below it does.
    #expect(try Tape.gradients(of: [z], [nil], inputs: [counted])[0]?.doubles == [1, 1])
    #expect(runs == 0)
    #expect(try Tape.gradients(of: [z], [nil], inputs: [y])[0]?.doubles == [4, 4])
    #expect(runs == 1)
    let text = message { _ = try Tape.gradients(of: [z], [nil], inputs: [x, x.detach()]) }
    #expect(text.contains("input 1"), "\(text)")
  }

  @Test func gradientsOfGradients() throws {
    // x⁴: 4x³, 12x², 24x, 24
    let x = try vector(2)
    var y = try x * x * x * x
    for expected in [32.0, 48, 48, 24] {
      y = try #require(
        try Tape.gradients(of: [y], [nil], inputs: [x], options: BackwardOptions(createGraph: true))[0])
      #expect(y.doubles == [expected])
    }
    #expect(!y.requiresGrad || y.doubles == [24])
  }

  // MARK: Hooks

  private func hook(_ tensor: Tensor, _ body: @escaping (Tensor) throws -> Tensor?) {
    let extras = tensor.extras ?? TensorExtras()
    tensor.extras = extras
    extras.hooks.append(Hook(body))
  }

  @Test func leafHooksSeeTheSumOnce() throws {
    let x = try vector(1, 2)
    var seen: [[Double]] = []
    hook(x) { gradient in
      seen.append(gradient.doubles)
      return try gradient * 10
    }
    try (x * 2 + x * x).sum().backward()
    #expect(seen == [[4, 6]] && x.grad?.doubles == [40, 60])
  }

  /// Hooks of a tensor whose gradient is asked for change what goes on, not what is given: but a leaf's is given last.
  @Test func hooksAndChosenInputs() throws {
    let x = try vector(1, 2)
    hook(x) { try $0 * 10 }
    #expect(try Tape.gradients(of: [(x * 3).sum()], [nil], inputs: [x])[0]?.doubles == [30, 30])
    let y = try x * 2
    let extras = NodeExtras()
    y.gradNode?.extras = extras
    extras.outputHooks.append((0, Hook { try $0 * 100 }))
    let found = try Tape.gradients(of: [(y * 3).sum()], [nil], inputs: [y, x])
    #expect(found[0]?.doubles == [3, 3] && found[1]?.doubles == [6000, 6000])
  }

  /// Of several outputs some may be unused, or used twice.
  @Test func someOutputsUnused() throws {
    let x = try vector(1, 2, 3, 4)
    let parts = try x.unbind()
    try (parts[3] * parts[3] + parts[1] * 5).backward()
    #expect(x.grad?.doubles == [0, 5, 0, 8])
    let (values, _) = try x.sort(0, descending: true)
    try values.narrow(0, 0, 1).sum().backward()
    #expect(x.grad?.doubles == [0, 5, 0, 9])
    let found = try Tape.gradients(of: [x.split([1, 3], 0)[1].sum()], [nil], inputs: [x])
    #expect(found[0]?.doubles == [0, 1, 1, 1])
  }

  /// Backward in a hook runs to its end before the outer run goes on, through the same graph as well.
  @Test func backwardInAHook() throws {
    let x = try vector(1, 2)
    let y = try x * x
    let w = try vector(3, 4)
    let z = try y * w
    let node = try #require(y.gradNode)
    let extras = node.extras ?? NodeExtras()
    node.extras = extras
    var depth = 0
    extras.outputHooks.append(
      (
        0,
        Hook { gradient in
          guard depth == 0 else { return nil }
          depth += 1
          defer { depth -= 1 }
          try y.backward(vector(100, 100, requiresGrad: false), options: BackwardOptions(retainGraph: true))
          // Hooks run with the run's grad mode: off, unless it creates a graph.
          try withGradMode(enabled: true) { try (w * 7).sum() }.backward()
          return nil
        }
      ))
    try z.sum().backward()
    // The inner runs add 2x·100 to x and 7 to w; the outer one 2x·w and x².
    #expect(x.grad?.doubles == [206, 416] && w.grad?.doubles == [8, 11])
  }

  /// An error in a hook surfaces, and leaves nothing behind in the graph.
  @Test func errorsInHooks() throws {
    struct Stop: Error {}
    let x = try vector(1, 2)
    let y = try x * 2
    var stops = true
    hook(x) { _ in if stops { throw Stop() } else { nil } }
    let z = try (y * 3 + y).sum()
    #expect(throws: Stop.self) { try z.backward(options: BackwardOptions(retainGraph: true)) }
    stops = false
    try z.backward()
    #expect(x.grad?.doubles == [8, 8])
    #expect(GradMode.isEnabled)
    hook(x) { _ in try Tensor.zeros([3], dtype: .float64) }
    let text = message { try (x * 2).sum().backward() }
    #expect(text.contains("[3]") && text.contains("[2]"), "\(text)")
  }

  // MARK: Depth and memory

  #if DEBUG
    private static let depth = 200_000
  #else
    private static let depth = 1_000_000
  #endif

  /// Graphs are walked and freed without recursion.
  @Test func deepGraphs() throws {
    let live = Context.memoryUse.live
    do {
      let x = try number(1, requiresGrad: true)
      let one = try number(1)
      var y = x
      for _ in 0..<Self.depth { y = try y * one }
      try y.backward()
      #expect(x.grad?.doubles == [1])
      // Built and dropped, not run.
      y = x
      for _ in 0..<Self.depth { y = try y.exp() * 0 }
    }
    #expect(Context.memoryUse.live == live)
  }

  /// The same for gradients with a graph of their own, and for saved values that are deep themselves.
  @Test func deepGraphsOfGraphs() throws {
    let live = Context.memoryUse.live
    do {
      let x = try number(1, requiresGrad: true)
      var y = x
      for _ in 0..<20_000 { y = try y.sin() }
      let slope = try Tape.gradients(
        of: [y], [nil], inputs: [x], options: BackwardOptions(createGraph: true))[0]
      #expect(slope?.requiresGrad == true)
      y = x
      for _ in 0..<20_000 { y = try y.view([1]).view([]) }
      #expect(try Tape.gradients(of: [y], [nil], inputs: [x])[0]?.doubles == [1])
    }
    #expect(Context.memoryUse.live == live)
  }

  /// No scenario keeps a tensor alive after its last reference is gone.
  @Test func nothingIsKept() throws {
    try expectNothingKept {
      let x = try vector(1, 2, 3)
      _ = try (x.exp() * x).sum()
    }
    try expectNothingKept {
      let x = try vector(1, 2, 3)
      try (x.exp() * x).sum().backward()
    }
    try expectNothingKept {
      let x = try vector(1, 2, 3)
      let y = try (x.exp() * x).sum()
      try y.backward(options: BackwardOptions(retainGraph: true))
    }
    try expectNothingKept {
      let x = try vector(1, 2, 3)
      let y = try (x.exp() * x).sum()
      let g = try Tape.gradients(of: [y], [nil], inputs: [x], options: BackwardOptions(createGraph: true))[0]!
      try g.sum().backward()
    }
    try expectNothingKept {
      let x = try vector(1, 2, 3)
      let y = try x.softmax(0)
      try y.retainGrad()
      let parts = try y.split([1, 2], 0)
      try (parts[0] * parts[1]).sum().backward()
    }
    try expectNothingKept {
      let x = try vector(1, 2, 3)
      hook(x) { try $0 * 2 }
      _ = x.accumulator
      let y = try x * x
      #expect(try y.gradNode?.nextFunctions().count == 2)
      try y.sum().backward()
    }
    try expectNothingKept {
      struct Stop: Error {}
      let x = try vector(1, 2, 3)
      hook(x) { _ in throw Stop() }
      let y = try (x * x + x).exp()
      #expect(throws: Stop.self) { try y.sum().backward() }
    }
  }
}

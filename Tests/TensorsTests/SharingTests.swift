// Gradients share memory where they can: an addition hands the same one to both its inputs, views hand on views. Whoever adds
// to one, or computes in its place, must know that nobody else needs it. A mistake shows in release alone, where
// references are let go of earlier: scripts/test runs these tests in both.

import Tensors
import Testing

@Suite struct SharingTests {
  /// How the gradient that arrives at an operation's result is shared with z.
  enum Way: CaseIterable {
    /// The same object, and another that shares its storage; z's node being older or younger.
    case object, view, objectOfYounger, viewOfYounger
  }

  /// Of s = y + z and 2y, where y is an operation's result: the gradients of both are right, and what was given to start with
  /// is as it was.
  @Test(arguments: Catalogue.operations) func shared(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let plain = try example.call()
      let outputs = try plain.outputs()
      let expected = try plain.gradients(of: outputs, by: plain.inputs)
      for way in Way.allCases {
        let path = "\(example.text), z as \(way)"
        let call = try example.call()
        func other(than y: Tensor) throws -> (leaf: Tensor, z: Tensor) {
          let leaf = try Tensor.ones(y.shape, dtype: .float64)
          try leaf.setRequiresGrad(true)
          return (leaf, try leaf * 1)
        }
        let older = try outputs.map { try other(than: $0) }
        let results = try call.outputs()
        var roots: [Tensor] = []
        var leaves: [Tensor] = []
        for (number, y) in results.enumerated() where y.requiresGrad {
          let twice = try y * 2
          let (leaf, z) = way == .object || way == .view ? older[number] : try other(than: y)
          let flat = way == .view || way == .viewOfYounger
          roots += [flat ? try y.reshape([-1]) + z.reshape([-1]) : try y + z, twice]
          leaves.append(leaf)
        }
        guard !roots.isEmpty else { continue }
        // Through a multiplication, so that nobody holds what arrives.
        let seeds = try roots.map { try $0.cosineWeights() }
        let before = seeds.map(\.doubles)
        try Tape.backward(zip(roots, 0...).map { $1 % 2 == 0 ? try $0 * 1 : $0 }, seeds)
        for (seed, elements) in zip(seeds, before) { #expect(seed.doubles == elements, "\(path), what was given") }
        for (leaf, seed) in zip(leaves, stride(from: 0, to: seeds.count, by: 2).map { seeds[$0] }) {
          #expect(leaf.grad?.doubles == seed.doubles, "\(path), gradient of z")
        }
        for (position, input) in call.inputs.enumerated() {
          // 1 and 2 times.
          expectEqual(
            input.grad, try expected[position].map { try $0 * 3 }, within: 1e-12, "\(path), gradient of input \(position)")
        }
      }
    }
  }

  // MARK: By hand

  /// A non-leaf whose gradient comes from `older` as well, which has its turn after what is made of it later.
  private func joint(_ x: Tensor) throws -> (y: Tensor, older: Tensor) {
    let y = try x * 1
    return (y, try y * 2)
  }

  /// What an addition hands to both its inputs is summed up at one of them, not at the other.
  @Test func bothInputs() throws {
    for flips in [false, true] {
      let (a, b) = (try vector(1, 2), try vector(3, 4))
      let z = try b * 1
      let (y, older) = try joint(a)
      let s = try flips ? z + y : y + z
      try Tape.backward([s.sum(), older.sum()], [nil, nil])
      #expect(a.grad?.doubles == [3, 3] && b.grad?.doubles == [1, 1])
      // Not from an expanded 1, whose elements cannot be written to anyhow.
      let again = try Tape.gradients(of: [(s * s).sum(), older.sum()], [nil, nil], inputs: [a, b])
      #expect(again[0]?.doubles == [10, 14] && again[1]?.doubles == [8, 12])
    }
  }

  /// Objects of their own for one storage, in either order.
  @Test func views() throws {
    for flips in [false, true] {
      let (a, b) = (try Tensor([[1, 2], [3, 4]], dtype: .float64), try vector(5, 6, 7, 8))
      try a.setRequiresGrad(true)
      let z = try b * 1
      let (y, older) = try joint(a)
      let s = try flips ? z.view([2, 2]) + y : y.view([4]) + z
      try Tape.backward([(s * s).sum(), older.sum()], [nil, nil])
      #expect(a.grad?.doubles == [14, 18, 22, 26] && b.grad?.doubles == [12, 16, 20, 24])
    }
  }

  /// Gradients that are given to start with stay the caller's, also when another object for their elements is given.
  @Test func givenGradients() throws {
    let x = try vector(1, 2)
    let y = try x * 1
    let seed = try vector(3, 4, requiresGrad: false)
    for given in [[seed, seed], [seed, seed.detach()], [seed.detach(), seed.detach()]] {
      try x.setGrad(nil)
      try Tape.backward([y, y], given, options: BackwardOptions(retainGraph: true))
      #expect(x.grad?.doubles == [6, 8] && seed.doubles == [3, 4])
    }
    let found = try Tape.gradients(of: [y, y], [seed.detach(), seed], inputs: [y, x])
    #expect(found[0]?.doubles == [6, 8] && found[1]?.doubles == [6, 8] && seed.doubles == [3, 4])
  }

  /// What somebody has been given on the way is not summed into later: an asked-for gradient, a retained one, a hook's.
  @Test func seenOnTheWay() throws {
    let x = try vector(1, 2)
    let (y, older) = try joint(x)
    let s = try y + Tensor.zeros([2], dtype: .float64)
    let root = try (s * s).sum()
    let found = try Tape.gradients(of: [root, older.sum()], [nil, nil], inputs: [s, y, x], options: BackwardOptions(retainGraph: true))
    #expect(found[0]?.doubles == [2, 4] && found[1]?.doubles == [4, 6] && found[2]?.doubles == [4, 6])

    try s.retainGrad()
    var seen: [Tensor] = []
    _ = try s.addHook(
      Hook { gradient in
        seen.append(gradient)
        return nil
      })
    try Tape.backward([root, older.sum()], [nil, nil])
    #expect(s.grad?.doubles == [2, 4] && seen.map(\.doubles) == [[2, 4]] && x.grad?.doubles == [4, 6])
  }

  /// Gradients that meet at a later output of an operation are added there, in the buffer of the first, run after run.
  @Test func laterOutputs() throws {
    let a = try Tensor([2, -1, 0.5, 1, 3, 0.25], shape: [2, 3], dtype: .float64)
    try a.setRequiresGrad(true)
    let ones = try Tensor.ones([2, 3], dtype: .float64)
    var first: [[Double]]?
    for _ in 0..<40 {
      let u = try a.singularValueDecomposition(full: false).u
      let seed = try Tensor([1, 2, 3, -4], shape: [2, 2], dtype: .float64)
      try seed.setRequiresGrad(true)
      let gradient = try #require(
        try Tape.gradients(of: [u], [seed], inputs: [a], options: BackwardOptions(createGraph: true))[0])
      for _ in 0..<2 {
        let found = try Tape.gradients(of: [gradient], [ones], inputs: [a, seed], options: BackwardOptions(retainGraph: true))
        let values = found.map { $0?.doubles ?? [] }
        #expect(values == first ?? values)
        first = values
      }
    }
  }
}

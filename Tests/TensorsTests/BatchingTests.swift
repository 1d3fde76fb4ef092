// Functions over batches: every operation applied to a batch gives what it gives for each element, whichever of its tensors
// have the batch, and so do its gradients.

import Glibc
import Tensors
import Testing

@Suite struct BatchingTests {
  /// Runs `body` with levels open, of those sizes.
  private func levels<R>(_ sizes: Int..., body: ([BatchLevel]) throws -> R) rethrows -> R {
    let bits = GradMode.bits
    let levels = sizes.map { Batching.open(size: $0, randomness: .error) }
    GradMode.bits = bits | GradMode.batching
    defer {
      GradMode.bits = bits
      levels.reversed().forEach(Batching.close)
    }
    return try body(levels)
  }

  /// A tensor's values once for each element of a batch, changed a little each time; in a level, or in two.
  private func batch(_ tensor: Tensor, _ levels: [BatchLevel]) throws -> Tensor {
    let count = levels.reduce(1) { $0 * $1.size }
    let parts = try (0..<count).map { number in
      if tensor.dtype.isFloating { return try tensor.detach() * (1 - 0.0625 * Double(number)) }
      return try tensor.flatten().roll([number], nil).reshape(tensor.shape.array)
    }
    let whole = try stack(parts)
    return try whole.reshape(levels.map(\.size) + tensor.shape.array).inBatch(levels.map(\.number))
  }

  private func stack(_ parts: [Tensor]) throws -> Tensor {
    try #require(Catalogue.operations.first { $0.name == "stack" }).run(Arguments("stack", [.tensors(parts)])).tensors[0]
  }

  private func equal(_ a: Tensor, _ b: Tensor) -> String? {
    guard a.shape == b.shape else { return "shapes \(a.shape) and \(b.shape)" }
    guard a.dtype == b.dtype else { return "dtypes \(a.dtype) and \(b.dtype)" }
    guard a.batch == b.batch else { return "batches \(a.batch) and \(b.batch)" }
    for (x, y) in zip(a.doubles, b.doubles) where !(x == y || (x.isNaN && y.isNaN) || Swift.abs(x - y) <= 1e-9 * Swift.max(1, Swift.abs(y)))
    {
      return "values \(x) and \(y)"
    }
    return nil
  }

  /// The choices of tensors that have the batch: all, each alone, all but one.
  private func choices(_ count: Int) -> [Set<Int>] {
    let all = Set(0..<count)
    return count < 2 ? [all] : [all] + (0..<count).map { [$0] } + (count > 2 ? (0..<count).map { all.subtracting([$0]) } : [])
  }

  /// By the rule as by the loop; and whether the rule did it.
  private func compare(_ example: Example, _ chosen: Set<Int>, _ levels: [BatchLevel], outer: Set<Int> = []) throws -> Bool {
    var number = -1
    var leaves: [Tensor] = []
    let call = try example.call(requiringGrad: { _ in false }).mapped { tensor in
      number += 1
      let own = chosen.contains(number) ? (outer.contains(number) ? levels : [levels.last!]) : outer.contains(number) ? [levels[0]] : []
      let result = own.isEmpty ? tensor : try batch(tensor, own)
      if result.dtype.isFloating {
        try result.setRequiresGrad(true)
        leaves.append(result)
      }
      return result
    }
    let used = levels.filter { level in call.arguments.tensors.contains { $0.batch.contains(level.number) } }
    let expected: Output
    do {
      expected = try Batching.loop(example.operation, call.arguments, used)
    } catch {
      // What differs in form over the batch.
      #expect(throws: (any Error).self) { try Batching.run(example.operation, call.arguments) }
      return true
    }
    let found = try Batching.ruled(example.operation, call.arguments, used)
    if let found {
      #expect(found.tensors.count == expected.tensors.count)
      for (position, (a, b)) in zip(found.tensors, expected.tensors).enumerated() {
        if let difference = equal(a, b) {
          Issue.record("\(example.text), batched \(chosen) \(outer), output \(position): \(difference) by the rule and the loop")
          return true
        }
        guard a.requiresGrad || b.requiresGrad, !example.isAtChosenValues else { continue }
        let seed = try Tensor((0..<a.count).map { cos(1 + 0.7 * Double($0)) }, shape: a.shape, dtype: a.dtype)
        let options = BackwardOptions(retainGraph: true)
        let one = try Tape.gradients(of: [a], [seed], inputs: leaves, options: options)
        let other = try Tape.gradients(of: [b], [seed], inputs: leaves, options: options)
        for (leaf, (x, y)) in zip(one, other).enumerated() {
          let difference =
            switch (x, y) {
            case (nil, nil): String?.none
            case (let x?, let y?): equal(x, y)
            case (let some?, nil), (nil, let some?): some.doubles.allSatisfy { $0 == 0 } ? nil : "only one"
            }
          if let difference {
            Issue.record("\(example.text), batched \(chosen) \(outer), gradient \(leaf) of output \(position): \(difference)")
            return true
          }
        }
      }
    }
    return found != nil
  }

  /// Operations of which some call is made for each element, for want of a rule: those without any, those whose results have
  /// sizes that depend on values, and seldom used forms of others.
  private static let looped: Set = [
    "addbmm", "alpha_dropout", "atleast_1d", "atleast_2d", "atleast_3d", "batch_norm", "bilinear", "bincount", "block_diag",
    "broadcast_tensors", "bucketize", "cartesian_prod", "chain_matmul", "column_stack", "combinations", "corrcoef",
    "cosine_embedding_loss", "cosine_similarity", "cov", "cross_entropy", "ctc_loss", "cumulative_trapezoid", "diag_embed",
    "diagflat", "dist", "dropout", "dropout1d", "dropout2d", "dropout3d", "dsplit", "dstack", "embedding", "embedding_bag",
    "feature_alpha_dropout", "fliplr",
    "flipud", "fold", "gaussian_nll_loss", "gradient", "group_norm", "histc", "hsplit", "hstack", "index_add", "index_copy",
    "index_fill", "index_put", "index_reduce", "inner", "instance_norm", "isin", "kl_div", "kron", "layer_norm", "linalg.lstsq",
    "linalg.solve", "linalg.solve_triangular", "masked_scatter", "masked_select", "matmul", "max_unpool1d", "max_unpool2d",
    "max_unpool3d", "median", "meshgrid", "mm", "msort", "multi_margin_loss", "multilabel_margin_loss", "nanmedian", "nll_loss",
    "nonzero", "one_hot", "pad", "pdist", "prelu", "put", "quantile", "renorm", "rms_norm", "rrelu",
    "scaled_dot_product_attention", "searchsorted", "take_along_dim", "tensordot", "trapezoid", "unfold", "unique",
    "unique_consecutive", "unravel_index", "vander", "vecdot", "vsplit", "vstack",
  ]

  /// The rule gives what the loop gives, with every choice of the tensors that have the batch, in one level and in two.
  @Test(arguments: Catalogue.operations) func batches(_ operation: TensorOperation) throws {
    var loops: [String] = []
    for example in operation.examples {
      let count = try example.call().arguments.tensors.count
      if count == 0 { continue }
      for chosen in choices(count) {
        let isRuled = try levels(3) { try compare(example, chosen, $0) }
        if !isRuled { loops.append("\(example.text) with the batch in \(chosen.sorted())") }
        _ = try levels(2, 3) { try compare(example, chosen, $0, outer: [0]) }
      }
    }
    if Self.looped.contains(operation.name) {
      #expect(!loops.isEmpty, "\(operation.name) has a rule for all of its samples now")
    } else {
      #expect(loops.isEmpty, "no rule for \(loops)")
    }
  }

  /// Through batches, results have tangents as without: of every element its own.
  @Test(arguments: Catalogue.operations.filter { $0.name != "median" && $0.name != "nanmedian" }) func tangents(
    _ operation: TensorOperation
  ) throws {
    guard let example = operation.examples.first, try !example.call().inputs.isEmpty else { return }
    try levels(2) { levels in
      let bits = GradMode.bits
      let level = ForwardMode.open()
      GradMode.bits = bits | GradMode.forward
      defer {
        GradMode.bits = bits
        ForwardMode.close(level)
      }
      let call = try example.call(requiringGrad: { _ in false }).mapped { tensor in
        let x = try batch(tensor, levels)
        guard x.dtype.isFloating else { return x }
        return try ForwardMode.dual(x, x.cosineWeights(), at: level).inBatch(x.batch)
      }
      let expected: Output
      do { expected = try Batching.loop(operation, call.arguments, levels) } catch { return }
      let found = try Batching.run(operation, call.arguments)
      for (a, b) in zip(found.tensors, expected.tensors) where a.dtype.isFloating {
        let (x, y) = (try a.tangent(at: level), try b.tangent(at: level))
        let wrong = zip(x?.doubles ?? a.doubles.map { _ in 0 }, y?.doubles ?? b.doubles.map { _ in 0 }).first {
          !($0 == $1 || ($0.isNaN && $1.isNaN) || Swift.abs($0 - $1) <= 1e-9 * Swift.max(1, Swift.abs($1)))
        }
        #expect(wrong == nil, "\(example.text): the tangents are \(wrong!)")
      }
    }
  }

  /// What a level gave is of no use after it.
  @Test func ended() throws {
    let x = try Tensor.ones([2, 3], dtype: .float64)
    let kept = try levels(2) { try Batching.enter(x, 0, $0[0]) }
    let add = try #require(TensorOperation.named("add"))
    #expect(throws: TensorError.self) { try Batching.run(add, Arguments("add", [.tensor(kept), .tensor(x)])) }
  }

  /// In place, an element's own tensor takes its result, and one that all share takes none.
  @Test func inPlace() throws {
    let add = try #require(TensorOperation.named("add"))
    let (whole, row) = (try Tensor.zeros([2, 3], dtype: .float64), try Tensor([1, 2, 3], dtype: .float64))
    try levels(2) { levels in
      let x = try Batching.enter(whole, 0, levels[0])
      try Batching.runInPlace(add, Arguments("add", [.tensor(x), .tensor(row)]))
      #expect(whole.doubles == [1, 2, 3, 1, 2, 3])
      #expect(throws: TensorError.self) { try Batching.runInPlace(add, Arguments("add", [.tensor(row), .tensor(x)])) }
    }
  }
}

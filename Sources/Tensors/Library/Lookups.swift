// Tables of vectors that are looked up by whole numbers, one by one or a bag at a time.

/// What lookups may do beside looking up.
private struct LookupOptions {
  /// The entry that gets no gradient, from 0.
  let padding: Int?
  /// Rows that are looked up are scaled down to that norm first, in place.
  let maxNorm: Double?
  let normType: Double
  /// Whether an entry's gradient is divided by how often it was looked up.
  let dividesByCount: Bool

  init(_ name: String, entries: Int, padding: Int?, maxNorm: Scalar?, normType: Double, dividesByCount: Bool, isSparse: Bool) throws {
    guard !isSparse else {
      throw TensorError(.argument, name, "there are no sparse gradients; leave sparse out, the gradient is a tensor of the weight's shape")
    }
    if let padding, padding < -entries || padding >= entries {
      throw TensorError(.index, name, "padding_idx \(index: padding) is not one of the \(entries) entries")
    }
    self.padding = padding.map { $0 < 0 ? $0 + entries : $0 }
    self.maxNorm = maxNorm?.real
    self.normType = normType
    self.dividesByCount = dividesByCount
  }
}

/// Rows of a table.
private struct Lookup: Operation {
  let entries: Int
  let paddingIdx: Int?
  let scaleGradByFreq: Bool
  let size: Shape
  /// As PyTorch's nodes tell it.
  private let sparse = false

  init(entries: Int, paddingIdx: Int?, scaleGradByFreq: Bool, size: Shape) {
    (self.entries, self.paddingIdx, self.scaleGradByFreq, self.size) = (entries, paddingIdx, scaleGradByFreq, size)
  }

  var nodeName: String { "EmbeddingBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["indices": .input(1)] }
  func uses(_ number: Int) -> Uses { .b }

  func gradient(_ c: inout Backward) throws {
    let width = size[size.rank - 1]
    let places = try c.b
    let indices = try places.reshape([places.count])
    var gradient = try c.g.reshape([indices.count, width])
    if let paddingIdx { gradient = try gradient.maskedFill(indices.eq(Double(paddingIdx)).unsqueeze(1), .integer(0)) }
    if scaleGradByFreq {
      let ones = try Tensor.ones(indices.shape, dtype: gradient.dtype)
      let counts = try Tensor.zeros([entries], dtype: gradient.dtype).indexAdd(0, indices, ones)
      gradient = try gradient / counts.indexSelect(0, indices).unsqueeze(1)
    }
    c[0] = try Tensor.zeros([entries, width], dtype: gradient.dtype).indexAdd(0, indices, gradient)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    let found = try withNoGrad { try inputs[0].indexSelect(0, inputs[1].reshape([inputs[1].count])).reshape(size) }
    return [try found.recorded(self, inputs[0], other: inputs[1])]
  }
}

extension Tensor {
  /// Row `index` of this table `(entries, width)` for each whole number of `indices`.
  fileprivate func lookedUp(_ indices: Tensor, _ options: LookupOptions, _ name: String) throws -> Tensor {
    let places = try checkedEntries(indices, name)
    let flat = try places.reshape([places.count])
    if let maxNorm = options.maxNorm { try renormalize(flat, maxNorm, options.normType, name) }
    let (count, width) = (shape[0], shape[1])
    let found = try withNoGrad { try indexSelect(0, flat).reshape(Shape(indices.shape.array + [width], operation: name)) }
    return try found.recorded(
      Lookup(entries: count, paddingIdx: options.padding, scaleGradByFreq: options.dividesByCount, size: found.shape), self, other: places)
  }

  /// The numbers as int64, all of them entries of this table.
  private func checkedEntries(_ indices: Tensor, _ name: String) throws -> Tensor {
    guard !indices.dtype.isFloating, indices.dtype != .bool else {
      throw TensorError(.dtype, name, "the entries to look up must be whole numbers (int64 or int32), got a tensor of \(indices.dtype)")
    }
    guard rank == 2 else { throw TensorError(.shape, name, "the weight must be a matrix (entries, width), got shape \(shape)") }
    let places = try indices.to(.int64).packed()
    guard try places.liesWithin(shape[0]) else {
      let entry = (0..<places.count).lazy.map { Int(places.element($0).integer) }.first { $0 < 0 || $0 >= self.shape[0] } ?? 0
      throw TensorError(.index, name, "entry \(index: entry) is not one of the \(shape[0]) entries of the table")
    }
    return places
  }

  /// Scales rows whose norm is larger down to it, in place and unrecorded. As PyTorch does, by norm / (its norm + 1e-7).
  private func renormalize(_ rows: Tensor, _ maxNorm: Double, _ p: Double, _ name: String) throws {
    try requireFloating(name)
    guard p > 0 else { throw TensorError(.argument, name, "norm_type must be above 0, got \(p)") }
    try withNoGrad {
      let table = detach()
      let found = try table.indexSelect(0, rows)
      let norms = try found.norm(p, [1], keepdim: true)
      let isLong = try norms.gt(maxNorm)
      guard try isLong.any().item() == .boolean(true) else { return }
      let scaled = try isLong.choosing(found * (maxNorm / (norms + 1e-7)), else: found)
      _ = try TensorOperation.call("index_copy_", .tensor(table), .integer(0), .tensor(rows), .tensor(scaled))
    }
  }

  @discardableResult
  /// The sums, means or maxima of the rows of each bag: a row of `indices`, or what lies between two offsets in a vector of them.
  fileprivate func bags(
    _ indices: Tensor, offsets: Tensor?, mode: String, weights: Tensor?, hasLastOffset: Bool, _ options: LookupOptions
  ) throws -> Tensor {
    let name = "embedding_bag"
    try requireFloating(name)
    guard ["sum", "mean", "max"].contains(mode) else {
      throw TensorError(.argument, name, "mode must be \"sum\", \"mean\" or \"max\", got \"\(mode)\"")
    }
    if let weights {
      guard mode == "sum" else { throw TensorError(.argument, name, "per_sample_weights are for mode \"sum\", not for \"\(mode)\"") }
      guard weights.dtype == dtype else {
        throw TensorError(.dtype, name, "per_sample_weights must be of the weight's dtype \(dtype), got \(weights.dtype)")
      }
      guard weights.shape == indices.shape else {
        throw TensorError(.shape, name, "per_sample_weights must have the input's shape \(indices.shape), got \(weights.shape)")
      }
    }
    guard indices.rank == 1 || indices.rank == 2 else {
      throw TensorError(.shape, name, "the input must be (bags, entries of each), or a vector with offsets, got shape \(indices.shape)")
    }
    guard (indices.rank == 1) == (offsets != nil) else {
      throw TensorError(
        .argument, name,
        offsets == nil ? "a vector of entries needs offsets, the positions at which bags begin" : "a matrix of entries has no offsets")
    }
    let (count, width) = (indices.count, shape.rank == 2 ? shape[1] : 0)
    try Context.checkRoom(for: "the bags of \(count) entries need", name, count: count, bytesOfEach: 4 * MemoryLayout<Int>.stride)
    let bagOf: [Int], bags: Int
    if let offsets {
      (bagOf, bags) = try Tensor.bagNumbers(offsets, of: count, hasLastOffset: hasLastOffset)
    } else {
      bags = indices.shape[0]
      bagOf = (0..<count).map { $0 / Swift.max(indices.shape[1], 1) }
    }
    var rows = try lookedUp(indices.reshape([count]), options, name)
    if let weights { rows = try rows * weights.reshape([count, 1]) }
    // What is padding counts for nothing in its bag.
    let numbers = try indices.to(.int64).reshape([count])
    let isPresent = (0..<count).map { options.padding == nil || Int(numbers.element($0).integer) != options.padding }
    let kept = (0..<count).filter { isPresent[$0] }
    if kept.count < count { rows = try rows.indexSelect(0, Tensor(kept)) }
    let places = kept.map { bagOf[$0] }
    var sizes = [Int](repeating: 0, count: bags)
    for place in places { sizes[place] += 1 }
    if mode == "max" { return try rows.largest(of: places, sizes, width) }
    let sums = try Tensor.zeros(Shape([bags, width], operation: name), dtype: rows.dtype).indexAdd(0, Tensor(places), rows)
    guard mode == "mean" else { return sums }
    return try sums / Tensor(sizes.map { Double(Swift.max($0, 1)) }, shape: [bags, 1], dtype: rows.dtype)
  }

  /// The bag of each of so many entries, and how many bags there are.
  private static func bagNumbers(_ offsets: Tensor, of count: Int, hasLastOffset: Bool) throws -> ([Int], Int) {
    func wrong(_ facts: TensorError.Facts) -> TensorError { TensorError(.argument, "embedding_bag", facts) }
    guard !offsets.dtype.isFloating, offsets.dtype != .bool, offsets.rank == 1 else {
      throw wrong("offsets must be a vector of whole numbers, got a tensor of \(offsets.dtype) of shape \(offsets.shape)")
    }
    try Context.checkRoom(
      for: "\(offsets.count) offsets need", "embedding_bag", count: offsets.count, bytesOfEach: 2 * MemoryLayout<Int>.stride)
    let starts = (0..<offsets.count).map { Int(offsets.element($0).integer) }
    let bags = starts.count - (hasLastOffset ? 1 : 0)
    guard bags > 0 || starts.isEmpty || hasLastOffset, bags >= 0 else { throw wrong("include_last_offset needs an offset at least") }
    guard starts.first.map({ $0 == 0 }) ?? true else { throw wrong("the first offset must be \(index: 0), got \(index: starts[0])") }
    for (a, b) in zip(starts, starts.dropFirst()) where b < a { throw wrong("offsets must not fall, got \(index: b) after \(index: a)") }
    guard (starts.last ?? 0) <= count else { throw wrong("offset \(index: starts[starts.count - 1]) lies behind the \(count) entries") }
    var result = [Int](repeating: 0, count: count)
    for bag in 0..<bags {
      let end = bag + 1 < starts.count ? starts[bag + 1] : count
      for place in starts[bag]..<end { result[place] = bag }
    }
    let end = hasLastOffset ? starts.last ?? 0 : count
    guard bags > 0 || count == 0 else { throw wrong("there is no bag for the \(count) entries") }
    guard end == count else { throw wrong("offsets cover \(end) of the \(count) entries") }
    return (result, bags)
  }

  /// The largest element of each column among the rows of each bag; 0 for empty ones. Bags stand one after another.
  private func largest(of bags: [Int], _ sizes: [Int], _ width: Int) throws -> Tensor {
    guard let longest = sizes.max(), longest > 0 else { return try Tensor.zeros([sizes.count, width], dtype: dtype) * sum() }
    // A row that is missing stands for one that is there, which changes no maximum.
    let (all, _) = sizes.count.multipliedReportingOverflow(by: longest)
    try Context.checkRoom(
      for: "\(sizes.count) bags of up to \(longest) entries need", "embedding_bag", count: all, bytesOfEach: 2 * MemoryLayout<Int>.stride)
    var (places, start) = ([Int](), 0)
    for size in sizes {
      places += (0..<longest).map { size == 0 ? 0 : start + Swift.min($0, size - 1) }
      start += size
    }
    let spread = try indexSelect(0, Tensor(places)).reshape([sizes.count, longest, width])
    let (values, _) = try spread.max(1)
    return try values.maskedFill(Tensor(sizes.map { $0 == 0 ? 1.0 : 0 }, shape: [sizes.count, 1]).to(.bool), .integer(0))
  }
}

/// Declarations.
package enum Lookups {
  private static let normType = Take.number("norm_type", default: 2)
  private static func flag(_ name: String) -> Taken<Bool> { Take.flag(name, default: false) }

  /// The table's batch in front of its rows, and entries moved to the rows of theirs.
  private static let rows = BatchingRule.rewritten { call in
    guard try call.isBatched(1) else { return try call.run([.tensor(call.tensor(0))] + call.arguments.values.dropFirst()) }
    let own = try call.sizes(1)
    guard own.count == 2, (2..<6).allSatisfy({ call.arguments.isAbsent($0) }), try call.tensor(0).liesWithin(own[0]) else {
      throw BatchedCall.Unruly()
    }
    let count = call.sizes.reduce(1, *)
    let table = try call.full(1).reshape([count * own[0], own[1]])
    let entries = try call.full(0).to(.int64)
    let first = try Tensor((0..<count).map { $0 * own[0] }).reshape(call.sizes + [Int](repeating: 1, count: entries.rank - call.depth))
    return try call.run([.tensor(entries + first), .tensor(table)])
  }

  static let list: [TensorOperation] = [
    TensorOperation(
      "embedding",
      "Row i of weight (entries, width) for each whole number i: from any shape to that shape and width. The entry padding_idx gets no gradient; rows above max_norm are scaled down to it first, in the weight itself.",
      Take.indices("input"), Take.tensor("weight"), Take.optionalIndex("padding_idx"), Take.optionalScalar("max_norm"), normType,
      flag("scale_grad_by_freq"), flag("sparse"), forms: .functional,
      samples: [
        // What padding_idx and scale_grad_by_freq do to gradients is no derivative: the module's samples show it.
        [.positions([2, 3], 0...3), .float(4, 2)], [.positions([], 0...3), .float(4, 3), .integer(-1)],
      ],
      rejects: [
        [.positions([2], 4...4), .float(4, 2)], [.float(2), .float(4, 2)], [.positions([2], 0...3), .float(4)],
        [.positions([2], 0...3), .float(4, 2), .integer(4)],
      ], batching: rows
    ) { indices, weight, padding, maxNorm, normType, dividesByCount, isSparse in
      let options = try LookupOptions(
        "embedding", entries: weight.rank > 0 ? weight.shape[0] : 0, padding: padding, maxNorm: maxNorm, normType: normType,
        dividesByCount: dividesByCount, isSparse: isSparse)
      return .tensor(try weight.lookedUp(indices, options, "embedding"))
    },
    TensorOperation(
      "embedding_bag",
      "The mean, sum or max of the rows of weight (entries, width) that each bag names: input is (bags, entries of each), or a vector with the positions at which bags begin as offsets; to (bags, width). include_last_offset gives the end too.",
      Take.indices("input"), Take.tensor("weight"), Take.optionalIndices("offsets"), Take.optionalScalar("max_norm"), normType,
      flag("scale_grad_by_freq"), Take.text("mode", default: "mean").oneOf("sum", "mean", "max"), flag("sparse"),
      Take.optionalTensor("per_sample_weights"),
      flag("include_last_offset"), Take.optionalIndex("padding_idx"), forms: .functional,
      samples: [
        [.positions([2, 3], 0...3), .float(4, 2)],
        [.positions([5], 0...3), .float(4, 3), .positions([1], 0...0)],
        [
          .positions([2, 3], 0...3), .float(4, 2), .absent, .absent, .number(2), .flag(false), .text("sum"), .flag(false), .float(2, 3),
        ],
        [.positions([2, 3], 0...3), .float(4, 2), .absent, .absent, .number(2), .flag(false), .text("max")],
        [
          .positions([2, 3], 0...3), .float(4, 2), .absent, .absent, .number(2), .flag(false), .text("mean"), .flag(false), .absent,
          .flag(false), .integer(1),
        ],
      ],
      rejects: [
        [.positions([2, 3], 4...4), .float(4, 2)], [.positions([3], 0...3), .float(4, 2)],
        [.positions([2, 3], 0...3), .float(4, 2), .positions([1], 0...0)],
        [.positions([3], 0...3), .float(4, 2), .positions([1], 1...1)],
        [.positions([2, 3], 0...3), .float(4, 2), .absent, .absent, .number(2), .flag(false), .text("median")],
      ], composed: true
    ) { indices, weight, offsets, maxNorm, normType, dividesByCount, mode, isSparse, weights, hasLast, padding in
      let options = try LookupOptions(
        "embedding_bag", entries: weight.rank > 0 ? weight.shape[0] : 0, padding: padding, maxNorm: maxNorm, normType: normType,
        dividesByCount: dividesByCount, isSparse: isSparse)
      return .tensor(try weight.bags(indices, offsets: offsets, mode: mode, weights: weights, hasLastOffset: hasLast, options))
    },
  ]
}

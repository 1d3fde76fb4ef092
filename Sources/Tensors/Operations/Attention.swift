// Attention, and products with two inputs: formulas of other operations.

extension Tensor {
  /// softmax(query · keyᵀ · scale + mask) · value over the last two dimensions.
  func attention(
    _ key: Tensor, _ value: Tensor, mask: Tensor?, dropout: Double, isCausal: Bool, scale: Double?, grouped: Bool
  ) throws -> Tensor {
    let name = "scaled_dot_product_attention"
    guard rank >= 2, key.rank >= 2, value.rank >= 2 else {
      throw TensorError(
        .shape, name, "query, key and value need at least 2 dimensions, got shapes \(shape), \(key.shape) and \(value.shape)")
    }
    guard dtype.isFloating, key.dtype == dtype, value.dtype == dtype else {
      throw TensorError(.dtype, name, "query, key and value must have one float dtype, got \(dtype), \(key.dtype) and \(value.dtype)")
    }
    let (length, width, keys) = (shape[rank - 2], shape[rank - 1], key.shape[key.rank - 2])
    guard key.shape[key.rank - 1] == width, value.shape[value.rank - 2] == keys else {
      throw TensorError(
        .shape, name,
        "query and key must be equally wide, and there must be as many values as keys, got shapes \(shape), \(key.shape) and \(value.shape)"
      )
    }
    guard mask == nil || !isCausal else { throw TensorError(.argument, name, "attn_mask must not be given where is_causal is true") }
    if let mask {
      guard mask.rank > 0, mask.dtype == .bool || mask.dtype == dtype else {
        throw TensorError(.dtype, name, "attn_mask must be bool or \(dtype), got \(mask.dtype) of shape \(mask.shape)")
      }
      _ = try Shape.broadcast(mask.shape, Shape([length, keys]), name)
    }
    if grouped {
      guard rank >= 3, key.rank == rank, value.rank == rank, key.shape[rank - 3] > 0, value.shape[rank - 3] > 0,
        shape[rank - 3] % key.shape[rank - 3] == 0, shape[rank - 3] % value.shape[rank - 3] == 0
      else {
        throw TensorError(
          .shape, name, "the heads of key and value must divide the query's, got shapes \(shape), \(key.shape) and \(value.shape)")
      }
    }
    let plan = AttentionPlan(
      scale: scale ?? 1 / Double(Swift.max(width, 1)).squareRoot(), isCausal: isCausal, isGrouped: grouped,
      hasMask: mask != nil, masksByBool: mask?.dtype == .bool, dropout: dropout)
    let inputs = [self, key, value] + (mask.map { [$0] } ?? [])
    // What is dropped cannot be computed again; else nothing is kept but the inputs.
    if dropout > 0 { return try plan.value(inputs) }
    return try Formula.of(
      inputs, "ScaledDotProductFlashAttentionForCpuBackward0",
      ["query": .input(0), "key": .input(1), "value": .input(2), "attn_mask": .input(3)]
    ) { try plan.value($0) }
  }

  /// Σ x[i] · weight[o, i, j] · other[j] + bias[o] over the last dimensions.
  func bilinear(_ other: Tensor, _ weight: Tensor, _ bias: Tensor?) throws -> Tensor {
    guard weight.rank == 3, rank > 0, other.rank == rank, shape.array.dropLast() == other.shape.array.dropLast(),
      shape[rank - 1] == weight.shape[1], other.shape[rank - 1] == weight.shape[2]
    else {
      throw TensorError(
        .shape, "bilinear",
        "inputs (…, in1) and (…, in2) and a weight (out, in1, in2) are needed, got shapes \(shape), \(other.shape) and \(weight.shape)")
    }
    if let bias, bias.shape != Shape(size: weight.shape[0]) {
      throw TensorError(.shape, "bilinear", "the bias must have shape [\(weight.shape[0])], got \(bias.shape)")
    }
    guard dtype == other.dtype, dtype == weight.dtype else {
      throw TensorError(.dtype, "bilinear", "the dtypes \(dtype), \(other.dtype) and \(weight.dtype) differ; convert them")
    }
    let (n, a, b) = (weight.shape[0], weight.shape[1], weight.shape[2])
    let rows = shape.count(0..<rank - 1)
    let half = try reshape([rows, a]).mm(weight.permute([1, 0, 2]).reshape([a, n * b])).reshape([rows, n, b])
    let y = try (half * other.reshape([rows, 1, b])).sum([2], dtype: dtype).reshape(Array(shape.array.dropLast()) + [n])
    return try bias.map { try y + $0 } ?? y
  }
}

/// Attention's formula, of query, key, value and maybe a mask.
private struct AttentionPlan: Sendable {
  let scale: Double
  let isCausal, isGrouped, hasMask, masksByBool: Bool
  let dropout: Double

  func value(_ inputs: [Tensor]) throws -> Tensor {
    let query = inputs[0], rank = query.rank
    var (key, value) = (inputs[1], inputs[2])
    if isGrouped {
      func spread(_ x: Tensor) throws -> Tensor {
        let (heads, each) = (x.shape[rank - 3], query.shape[rank - 3] / x.shape[rank - 3])
        return try x.indexSelect(rank - 3, Tensor((0..<heads * each).map { $0 / each }))
      }
      (key, value) = (try spread(key), try spread(value))
    }
    let (length, keys) = (query.shape[rank - 2], key.shape[key.rank - 2])
    guard keys > 0 else { return try (query * scale).matmul(key.transpose(-2, -1)).matmul(value) }
    var scores = try (query * scale).matmul(key.transpose(-2, -1))
    // A row that sees nothing gives zeros: it is let through softmax as if it saw everything.
    var blind: Tensor?
    if isCausal {
      let rows = try Tensor(Array(0..<length)).reshape([length, 1]), columns = try Tensor(Array(0..<keys)).reshape([1, keys])
      scores = try scores.maskedFill(Comparison.gt(columns, rows), .real(-.infinity))
    } else if hasMask, masksByBool {
      // Formulas of halves are given it in their own dtype.
      let mask = try inputs[3].to(.bool)
      let seesNothing = try mask.any([-1], keepdim: true).logicalNot()
      scores = try scores.maskedFill(Comparison.or(mask, seesNothing).logicalNot(), .real(-.infinity))
      blind = seesNothing
    } else if hasMask {
      let mask = inputs[3]
      let seesNothing = try mask.detach().eq(-.infinity).all([-1], keepdim: true)
      scores = try scores + mask.maskedFill(seesNothing, .integer(0))
      blind = seesNothing
    }
    var weights = try scores.softmax(-1)
    if let blind { weights = try weights.maskedFill(blind, .integer(0)) }
    if dropout > 0 { weights = try weights.dropped(dropout, "scaled_dot_product_attention") }
    return try weights.matmul(value)
  }
}

// MARK: Dropping elements

extension Tensor {
  private func tosses(_ shape: Shape, _ p: Double) throws -> Tensor {
    let kept = try Tensor(uninitialized: shape, .bool)
    let buffer = UnsafeMutableBufferPointer(start: kept.data.assumingMemoryBound(to: Bool.self), count: kept.count)
    Generator.current.bernoulli(probability: 1 - p, into: buffer)
    try Context.checkStop()
    return try kept.to(dtype)
  }

  private func checkDrop(_ p: Double, _ operation: String) throws {
    guard p >= 0, p <= 1 else {
      throw TensorError(.argument, operation, "p must be a probability between 0 and 1, got \(p)")
    }
    // Of all or nothing the factors are whole.
    if p > 0, p < 1 { try requireFloating(operation) }
  }

  /// Elements, or what `sizes` broadcasts over, set to 0 with probability p; the others multiplied by 1/(1 − p).
  func dropped(_ p: Double, _ operation: String, of sizes: Shape? = nil) throws -> Tensor {
    try checkDrop(p, operation)
    if p == 0 || count == 0 { return self }
    if p == 1 { return try self * Tensor.zeros([], dtype: dtype) }
    return try self * (tosses(sizes ?? shape, p) / (1 - p))
  }

  /// The same with what SELU tends to in the place of 0, so that mean and variance stay.
  func alphaDropped(_ p: Double, _ operation: String, of sizes: Shape? = nil) throws -> Tensor {
    try checkDrop(p, operation)
    if p == 0 || count == 0 { return self }
    if p == 1 { return try self * Tensor.zeros([], dtype: dtype) }
    let alpha = 1.7580993408473766
    let a = 1 / ((alpha * alpha * p + 1) * (1 - p)).squareRoot()
    let kept = try tosses(sizes ?? shape, p)
    return try self * (kept * a) + ((kept - 1.0) * (alpha * a) + alpha * a * p)
  }

  /// The shape of one toss for each channel.
  fileprivate func channelTosses(_ operation: String) throws -> Shape {
    guard rank >= 2 else { throw TensorError(.shape, operation, "the input must be (batch, channels, …), got shape \(shape)") }
    return try Shape([shape[0], shape[1]] + [Int](repeating: 1, count: rank - 2))
  }

  /// Whole channels dropped, of `(batch, channels, …)` with so many dimensions after them, or without the batch.
  fileprivate func channelsDropped(_ p: Double, spatial: Int, _ operation: String) throws -> Tensor {
    guard rank == spatial + 1 || rank == spatial + 2 else {
      throw TensorError(
        .shape, operation,
        "the input must be (batch, channels, \(Tensor.dimensionNames(spatial))), with or without the batch, got shape \(shape)")
    }
    // As PyTorch has it, over two dimensions what has no batch counts as one of (batch, channels, length).
    guard rank == spatial + 1, spatial != 2 else { return try dropped(p, operation, of: channelTosses(operation)) }
    let x = try unsqueeze(0)
    return try x.dropped(p, operation, of: x.channelTosses(operation)).squeeze([0])
  }

  /// x where positive; else x times a number between two, drawn for each, or their mean while not training.
  fileprivate func rrelu(_ lower: Double, _ upper: Double, training: Bool) throws -> Tensor {
    try requireFloating("rrelu")
    guard lower <= upper, lower.isFinite, upper.isFinite else {
      throw TensorError(.argument, "rrelu", "lower must not exceed upper, got \(lower) and \(upper)")
    }
    guard training else { return try leakyRelu((lower + upper) / 2) }
    let factors = try Tensor.ones(shape, dtype: dtype)
    for place in 0..<count where element(place).real <= 0 {
      factors.setElement(place, .real(lower + (upper - lower) * Generator.current.nextUnit()))
    }
    return try self * factors
  }
}

enum Attention {
  private static let p = Take.number("p", default: 0.5)
  private static let training = Take.flag("training", default: true)

  /// What is random is tested where it is not: with probability 0 or 1, or while not training.
  private static func dropping(
    _ name: String, _ summary: String, forms: TensorOperation.Forms = .functional, trains: Bool = true, _ samples: [Sample.Value],
    rejects: [Sample] = [], _ body: @escaping @Sendable (Tensor, Double) throws -> Tensor
  ) -> TensorOperation {
    TensorOperation(
      name, summary, Take.input, p, Take.flag("training", default: trains), forms: forms,
      samples: samples.flatMap { [[$0, .number(0), .flag(true)], [$0, .number(1), .flag(true)], [$0, .number(0.25), .flag(false)]] },
      rejects: [[samples[0], .number(1.5)], [samples[0], .number(-0.5)]] + rejects, composed: true
    ) { x, p, training in
      guard p >= 0, p <= 1 else { throw TensorError(.argument, name, "p must be a probability between 0 and 1, got \(p)") }
      return .tensor(training ? try body(x, p) : x)
    }
  }

  static let list: [TensorOperation] = [
    TensorOperation(
      "scaled_dot_product_attention",
      "softmax(query · keyᵀ · scale + mask) · value, of (…, length, width). A bool mask says what is seen; scale is 1/√width; enable_gqa repeats heads of key and value.",
      Take.tensor("query"), Take.tensor("key"), Take.tensor("value"), Take.optionalTensor("attn_mask"),
      Take.number("dropout_p", default: 0),
      Take.flag("is_causal", default: false), Take.optionalScalar("scale"), Take.flag("enable_gqa", default: false), forms: .functional,
      samples: [
        [.float(2, 3, 4), .float(2, 5, 4), .float(2, 5, 2)],
        [.float(1, 2, 3, 4), .float(1, 2, 3, 4), .float(1, 2, 3, 4), .absent, .number(0), .flag(true)],
        [.float(2, 3, 4), .float(2, 5, 4), .float(2, 5, 2), .float(3, 5), .number(0), .flag(false), .number(0.75)],
        [.float(2, 3, 4), .float(2, 5, 4), .float(2, 5, 2), .booleans([2, 3, 5])],
        [.float(1, 4, 2, 3), .float(1, 2, 3, 3), .float(1, 2, 3, 3), .absent, .number(0), .flag(false), .absent, .flag(true)],
      ],
      rejects: [
        [.float(2, 3, 4), .float(2, 5, 3), .float(2, 5, 2)], [.float(2, 3, 4), .float(2, 5, 4), .float(2, 4, 2)],
        [.float(4), .float(5, 4), .float(5, 2)],
        [.float(2, 3, 4), .float(2, 5, 4), .float(2, 5, 2), .booleans([3, 5]), .number(0), .flag(true)],
        [.float(2, 3, 4), .float(2, 5, 4), .float(2, 5, 2), .absent, .number(2)],
      ], composed: true
    ) { query, key, value, mask, dropout, isCausal, scale, grouped in
      guard dropout >= 0, dropout <= 1 else {
        throw TensorError(.argument, "scaled_dot_product_attention", "dropout_p must be a probability between 0 and 1, got \(dropout)")
      }
      return .tensor(
        try query.attention(key, value, mask: mask, dropout: dropout, isCausal: isCausal, scale: scale?.real, grouped: grouped))
    },
    TensorOperation(
      "bilinear", "Σ input1[i] · weight[o, i, j] · input2[j] + bias[o] over the last dimensions.", Take.tensor("input1"),
      Take.tensor("input2"),
      Take.tensor("weight"), Take.optionalTensor("bias"), forms: [.function, .functional],
      samples: [[.float(3, 2), .float(3, 4), .float(2, 2, 4), .float(2)], [.float(2, 3, 2), .float(2, 3, 2), .float(3, 2, 2)]],
      rejects: [
        [.float(3, 2), .float(3, 4), .float(2, 4, 2)], [.float(3, 2), .float(2, 4), .float(2, 2, 4)],
        [.float(3, 2), .float(3, 4), .float(2, 2, 4), .float(3)],
      ],
      composed: true
    ) { a, b, weight, bias in .tensor(try a.bilinear(b, weight, bias)) },
    dropping(
      "dropout", "While training, elements set to 0 with probability p, and the others multiplied by 1/(1 − p).",
      forms: [.function, .functional],
      [.float(2, 3)]
    ) { try $0.dropped($1, "dropout") },
    dropping(
      "dropout1d", "While training, whole channels of (batch, channels, length) set to 0 with probability p.",
      [.float(2, 3, 2), .float(3, 2)]
    ) {
      try $0.channelsDropped($1, spatial: 1, "dropout1d")
    },
    dropping(
      "dropout2d", "While training, whole channels of (batch, channels, height, width) set to 0 with probability p.", [.float(2, 3, 2, 1)]
    ) {
      try $0.channelsDropped($1, spatial: 2, "dropout2d")
    },
    dropping(
      "dropout3d", "While training, whole channels of (batch, channels, depth, height, width) set to 0 with probability p.",
      [.float(2, 3, 2, 1, 1), .float(2, 2, 1, 2)]
    ) { try $0.channelsDropped($1, spatial: 3, "dropout3d") },
    dropping(
      "alpha_dropout", "While training, elements set to what SELU tends to with probability p, and mean and variance kept.",
      forms: [.function, .functional],
      trains: false, [.float(2, 3)]
    ) { try $0.alphaDropped($1, "alpha_dropout") },
    dropping(
      "feature_alpha_dropout", "The same of whole channels.", forms: [.function, .functional], trains: false, [.float(2, 3, 2)]
    ) { try $0.alphaDropped($1, "feature_alpha_dropout", of: $0.channelTosses("feature_alpha_dropout")) },
    TensorOperation(
      "rrelu",
      "x where positive, else x times a number between lower and upper: while training drawn for each element, else the mean of the two.",
      Take.input, Take.number("lower", default: 0.125), Take.number("upper", default: 1.0 / 3), Take.flag("training", default: false),
      forms: [.function, .functional], samples: [[.float(2, 3)], [.float(2, 3), .number(0.25), .number(0.5)]],
      rejects: [[.float(2), .number(0.5), .number(0.25)]], composed: true
    ) { x, lower, upper, training in .tensor(try x.rrelu(lower, upper, training: training)) },
  ]
}

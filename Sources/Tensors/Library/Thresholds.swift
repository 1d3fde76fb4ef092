// Activations and distances that are formulas of others, and single elements that are looked at or cut off.

extension Tensor {
  private func one(_ node: String, _ formula: @escaping @Sendable (Tensor) throws -> Tensor) throws -> Tensor {
    try Formula.of([self], node, ["self": .input(0)]) { try formula($0[0]) }
  }

  /// 0, and π of what is below.
  fileprivate func angle() throws -> Tensor {
    try asFloats().one("AngleBackward0") { x in
      try Predicate.isnan(x).choosing(x.detach(), else: x.lt(0).to(x.dtype) * Double.pi)
    }
  }

  /// The element where it exceeds the threshold, else the value.
  fileprivate func threshold(_ threshold: Scalar, _ value: Scalar) throws -> Tensor {
    guard dtype != .bool else { throw TensorError(.dtype, "threshold", "not defined for tensors of bool") }
    return try one("ThresholdBackward0") { x in try x.maskedFill(Comparison.le(x, threshold), value) }
  }

  /// 0 between −lambda and lambda.
  fileprivate func hardshrink(_ lambda: Double) throws -> Tensor {
    try requireFloating("hardshrink")
    return try one("HardshrinkBackward0") { x in
      try x.maskedFill(Comparison.and(x.ge(-lambda), x.le(lambda)), .integer(0))
    }
  }

  /// Nearer to 0 by lambda, and 0 between −lambda and lambda.
  fileprivate func softshrink(_ lambda: Double) throws -> Tensor {
    try requireFloating("softshrink")
    guard lambda >= 0, lambda.isFinite else {
      throw TensorError(.argument, "softshrink", "lambd must be a finite number that is not negative, got \(lambda)")
    }
    return try one("SoftshrinkBackward0") { x in
      let shift = try (x.lt(-lambda).to(x.dtype) - x.gt(lambda).to(x.dtype)) * lambda
      return try (x + shift).maskedFill(Comparison.and(x.ge(-lambda), x.le(lambda)), .integer(0))
    }
  }

  /// factor · x where positive, else factor · alpha · (e^(x / width) − 1).
  fileprivate func exponentialUnit(_ name: String, alpha: Double, width: Double, factor: Double) throws -> Tensor {
    try requireFloating(name)
    guard width != 0 else { throw TensorError(.argument, name, "alpha must not be 0") }
    return try one("EluBackward0") { x in
      let isLow = try x.le(0)
      let low = try x.maskedFill(isLow.logicalNot(), .integer(0))
      return try isLow.choosing((low / width).expm1() * (alpha * factor), else: x.scaled(factor))
    }
  }

  /// x where positive, else weight · x; one weight, or one for each position along the second dimension.
  fileprivate func prelu(_ weight: Tensor) throws -> Tensor {
    try requireFloating("prelu")
    guard weight.dtype == dtype else { throw TensorError(.dtype, "prelu", "the dtypes \(dtype) and \(weight.dtype) differ") }
    guard weight.rank <= 1 else { throw TensorError(.shape, "prelu", "the weight must be a vector, got shape \(weight.shape)") }
    let channels = rank < 2 ? 1 : shape[1]
    guard weight.count == 1 || weight.count == channels, rank > 0 || weight.count == 1 else {
      throw TensorError(.shape, "prelu", "\(weight.count) weights do not fit an input of shape \(shape)")
    }
    var sizes = [Int](repeating: 1, count: rank)
    if rank > 1 { sizes[1] = weight.count }
    return try Formula.of([self, weight], "PreluKernelBackward0", ["self": .input(0), "weight": .input(1)]) { [sizes] x in
      try x[0].gt(0).choosing(x[0], else: x[0] * x[1].reshape(sizes))
    }
  }

  /// The first half along a dimension times the sigmoid of the second.
  fileprivate func glu(_ dimension: Int) throws -> Tensor {
    try requireFloating("glu")
    let axis = try shape.axis(dimension, "glu")
    guard rank > 0, shape[axis] % 2 == 0 else {
      throw TensorError(.shape, "glu", "dimension \(index: axis) of shape \(shape) cannot be halved")
    }
    let half = shape[axis] / 2
    return try one("GluBackward0") { x in try x.narrow(axis, 0, half) * x.narrow(axis, half, half).sigmoid() }
  }

  /// Divided by the p-norm along dimensions, or by eps where that is larger.
  fileprivate func normalized(_ p: Double, _ dimensions: [Int], _ eps: Double) throws -> Tensor {
    try requireFloating("normalize")
    return try self / norm(p, dimensions, keepdim: true).clamp(.real(eps), nil)
  }

  /// The p-norms of the differences along the last dimension, to which eps is added.
  fileprivate func pairwiseDistance(_ other: Tensor, _ p: Double, _ eps: Double, keepdim: Bool) throws -> Tensor {
    let difference = try self - other + eps
    return try difference.norm(p, [-1], keepdim: keepdim)
  }

  /// The cosine of the angle between vectors along a dimension; norms below eps count as eps, and have no gradient then. (PyTorch's
  /// have that of what is not the result.)
  fileprivate func cosineSimilarity(_ other: Tensor, _ dimension: Int, _ eps: Double) throws -> Tensor {
    let dtype = Binary.promotedType(self, other)
    guard dtype.isFloating else {
      throw TensorError(.dtype, "cosine_similarity", "a float tensor is needed, got \(self.dtype) and \(other.dtype)")
    }
    let shape = try Shape.broadcast(shape, other.shape, "cosine_similarity")
    let axis = try shape.axis(dimension, "cosine_similarity")
    func unit(_ x: Tensor) throws -> Tensor {
      let x = try x.to(dtype).expand(shape)
      return try x / x.norm(2, [axis], keepdim: true).clamp(.real(eps), nil)
    }
    let cosines = try unit(self) * unit(other)
    return try rank == 0 && other.rank == 0 ? cosines : cosines.sum([axis])
  }

  /// The p-norms of the differences of each row and those after it, in order.
  fileprivate func pdist(_ p: Double) throws -> Tensor {
    guard dtype == .float32 || dtype == .float64 else {
      throw TensorError(.dtype, "pdist", "a tensor of float32 or float64 is needed, this one is \(dtype)")
    }
    guard rank == 2 else { throw TensorError(.shape, "pdist", "a matrix is needed, the shape is \(shape)") }
    guard p >= 0 else { throw TensorError(.argument, "pdist", "p must not be negative, got \(p)") }
    let n = shape[0]
    guard n <= 1 << 24 else { throw TensorError(.memory, "pdist", "the pairs of \(n) rows are more than there can be") }
    let pairs = try Shape([n * (n - 1) / 2])
    let (firsts, seconds) = (try Tensor(uninitialized: pairs, .int64), try Tensor(uninitialized: pairs, .int64))
    let (a, b) = (firsts.data.assumingMemoryBound(to: Int64.self), seconds.data.assumingMemoryBound(to: Int64.self))
    var place = 0
    for first in 0..<n {
      for second in (first + 1)..<Swift.max(n, first + 1) {
        (a[place], b[place]) = (Int64(first), Int64(second))
        place += 1
      }
    }
    let differences = try indexSelect(0, firsts) - indexSelect(0, seconds)
    return shape[1] == 0 ? try differences.sum([1]) : try differences.norm(p, [1])
  }

  /// Parts along a dimension whose p-norm exceeds the largest, scaled down to that.
  fileprivate func renorm(_ p: Double, _ dimension: Int, _ largest: Double) throws -> Tensor {
    try requireFloating("renorm")
    guard rank >= 2 else { throw TensorError(.shape, "renorm", "at least 2 dimensions are needed, the shape is \(shape)") }
    let axis = try shape.axis(dimension, "renorm")
    guard p > 0 else { throw TensorError(.argument, "renorm", "p must be positive, got \(p)") }
    guard largest >= 0 else { throw TensorError(.argument, "renorm", "maxnorm must not be negative, got \(largest)") }
    let rest = (0..<rank).filter { $0 != axis }
    return try one("RenormBackward0") { x in
      let norms = try x.norm(p, rest, keepdim: true)
      let factors = try norms.gt(largest).choosing(((norms + 1e-7).reciprocal() * largest), else: Tensor.ones([], dtype: x.dtype))
      return try x * factors
    }
  }
}

enum Thresholds {
  private static let eps8 = Take.number("eps", default: 1e-8)

  private static func plain(
    _ name: String, _ summary: String, forms: TensorOperation.Forms, samples: [Sample] = [[.float(2, 3)], [.float(0, 2)]],
    differentiable: Bool = true, _ body: @escaping @Sendable (Tensor) throws -> Tensor
  ) -> TensorOperation {
    TensorOperation(
      name, summary, Take.input, forms: forms, samples: samples, differentiable: differentiable, composed: true, batching: .broadcast
    ) { x in
      .tensor(try body(x))
    }
  }

  private static let signs: [Sample] = [[.values([5], [0, -1.5, .infinity, -.infinity, .nan])], [.integers([3], -1...1)]]

  static let list: [TensorOperation] = [
    plain("isposinf", "Where the element is infinite and positive.", forms: .both, samples: signs, differentiable: false) {
      try $0.eq(.infinity)
    },
    plain("isneginf", "Where the element is infinite and negative.", forms: .both, samples: signs, differentiable: false) {
      try $0.eq(-.infinity)
    },
    plain("angle", "0, and π of what is negative.", forms: .both) { try $0.angle() },
    TensorOperation(
      "float_power", "Each element to the power of the exponent, in float64.", Take.operand("input"), Take.operand("exponent"),
      forms: .all,
      samples: [
        [.positive(2, 3), .float(3)], [.float(2, 3), .number(2)], [.number(2), .float(3)], [.integers([3], 1...4), .integers([3], -2...2)],
      ], rejects: [[.positive(2, 3), .float(2)]], composed: true, batching: .broadcast
    ) { x, exponent in
      switch (x, exponent) {
      case (.tensor(let x), .tensor(let exponent)): .tensor(try Power.tensorPower(x.to(.float64), exponent.to(.float64)))
      case (.tensor(let x), .number(let exponent)): .tensor(try Power.power(x.to(.float64), .real(exponent.real)))
      case (.number(let base), .tensor(let exponent)): .tensor(try Power.power(.real(base.real), exponent.to(.float64)))
      case (.number, .number): throw TensorError(.argument, "float_power", "a tensor is needed, got two numbers")
      }
    },
    TensorOperation(
      "threshold", "The element where it exceeds the threshold, else the value.", Take.input, Take.scalar("threshold"),
      Take.scalar("value"), forms: [.function, .functional, .inPlace],
      samples: [[.float(2, 3), .number(0.25), .number(3)], [.values([3], [0, -1, 2]), .number(0), .number(0)]], composed: true,
      batching: .broadcast
    ) { x, threshold, value in .tensor(try x.threshold(threshold, value)) },
    TensorOperation(
      "hardshrink", "The element, 0 between -lambd and lambd.", Take.input, Take.number("lambd", default: 0.5),
      forms: [.function, .method, .functional], samples: [[.float(2, 3)], [.float(2, 3), .number(1.25)]],
      rejects: [[.integers([2], 0...2)]], composed: true, batching: .broadcast
    ) { x, lambda in .tensor(try x.hardshrink(lambda)) },
    TensorOperation(
      "softshrink", "The element brought nearer to 0 by lambd, and 0 between -lambd and lambd.", Take.input,
      Take.number("lambd", default: 0.5), forms: .functional,
      samples: [[.float(2, 3)], [.float(2, 3), .number(1.25)], [.values([4], [0.5, 0, 2, -3])]],
      rejects: [[.float(2), .number(-1)], [.integers([2], 0...2)]], composed: true, batching: .broadcast
    ) { x, lambda in .tensor(try x.softshrink(lambda)) },
    plain("tanhshrink", "x − tanh(x).", forms: .functional) { x in
      try Formula.of([x.asFloats()], "SubBackward0", ["self": .input(0)]) { try $0[0] - $0[0].tanh() }
    },
    TensorOperation(
      "celu", "x where positive, else alpha · (e^(x / alpha) − 1).", Take.input, Take.number("alpha", default: 1),
      forms: [.function, .functional, .inPlace],
      samples: [[.float(2, 3)], [.float(2, 3), .number(0.5)], [.float(0, 2)]],
      rejects: [[.float(2), .number(0)], [.integers([2], 0...2)]], composed: true, batching: .broadcast
    ) { x, alpha in .tensor(try x.exponentialUnit("celu", alpha: alpha, width: alpha, factor: 1)) },
    plain(
      "selu", "1.0507 · x where positive, else 1.7581 · (e^x − 1), which keeps mean 0 and variance 1.",
      forms: [.function, .functional, .inPlace]
    ) { x in try x.exponentialUnit("selu", alpha: 1.6732632423543773, width: 1, factor: 1.0507009873554805) },
    TensorOperation(
      "prelu", "x where positive, else weight · x; one weight, or one for each position along the second dimension.", Take.input,
      Take.tensor("weight"), forms: [.function, .method, .functional],
      samples: [[.float(2, 3), .float(3)], [.float(2, 3, 2), .float(3)], [.float(4), .float(1)]],
      rejects: [[.float(2, 3), .float(2)], [.float(2, 3), .float(3, 1)], [.float(3), .float(3)]], composed: true
    ) { x, weight in .tensor(try x.prelu(weight)) },
    TensorOperation(
      "softmin", "e^−x / Σ e^−x along a dimension.", Take.input, Take.dim, Take.dtype, forms: .functional,
      samples: [[.float(2, 3), .integer(1)], [.float(2, 3), .integer(0)]], rejects: [[.float(2), .integer(1)]], composed: true
    ) { x, dim, dtype in .tensor(try (-x.asked(dtype).asFloats()).softmax(dim)) },
    TensorOperation(
      "glu", "The first half along a dimension times the sigmoid of the second.", Take.input, Take.dimension("dim", default: -1),
      forms: .functional, samples: [[.float(2, 4)], [.float(4, 2), .integer(0)]], rejects: [[.float(3)], [.float()]], composed: true
    ) { x, dim in .tensor(try x.glu(dim)) },
    TensorOperation(
      "normalize", "Divided by the p-norm along a dimension, or by eps where that is larger.", Take.input, Take.number("p", default: 2),
      Take.optionalDimensions("dim"), Take.number("eps", default: 1e-12), forms: .functional,
      samples: [[.float(2, 3)], [.float(2, 3), .number(1), .integer(0)], [.float(2, 3), .number(2), .integer(0), .number(2.5)]],
      rejects: [[.float(3), .number(2), .integer(1)], [.integers([2, 2], 0...3)]], composed: true, batching: .dimensions(2, or: [1])
    ) { x, p, dim, eps in .tensor(try x.normalized(p, dim ?? [1], eps)) },
    TensorOperation(
      "pairwise_distance", "The p-norms along the last dimension of the differences, to which eps is added.", Take.tensor("x1"),
      Take.tensor("x2"), Take.number("p", default: 2), Take.number("eps", default: 1e-6), Take.keepdim, forms: [.function, .functional],
      samples: [[.float(2, 3), .float(2, 3)], [.float(2, 3), .float(3), .number(1), .number(0.01), .flag(true)]],
      rejects: [[.float(2, 3), .float(2)]], composed: true, batching: .broadcast
    ) { a, b, p, eps, keepdim in .tensor(try a.pairwiseDistance(b, p, eps, keepdim: keepdim)) },
    TensorOperation(
      "cosine_similarity", "The cosine of the angle between vectors along a dimension; norms below eps count as eps.", Take.tensor("x1"),
      Take.tensor("x2"), Take.dimension("dim", default: 1), eps8, forms: [.function, .functional],
      samples: [
        [.float(2, 3), .float(2, 3)], [.float(2, 3), .float(3), .integer(0)], [.float(2, 3, 2), .float(2, 3, 2), .integer(1)],
      ], rejects: [[.float(2, 3), .float(2)], [.float(3), .float(3)]], composed: true
    ) { a, b, dim, eps in .tensor(try a.cosineSimilarity(b, dim, eps)) },
    TensorOperation(
      "pdist", "The p-norms of the differences of each row and those after it, in order.", Take.input, Take.number("p", default: 2),
      forms: [.function, .functional], samples: [[.float(4, 2)], [.float(3, 2), .number(1)], [.float(1, 2)]],
      rejects: [[.float(3)], [.float(3, 2), .number(-1)], [.integers([2, 2], 0...3)]], composed: true
    ) { x, p in .tensor(try x.pdist(p)) },
    TensorOperation(
      "renorm", "Parts along a dimension whose p-norm exceeds maxnorm are scaled down to it.", Take.input, Take.number("p"), Take.dim,
      Take.number("maxnorm"), forms: .all,
      samples: [[.float(2, 3), .number(2), .integer(0), .number(1.75)], [.float(2, 3, 2), .number(1), .integer(1), .number(0.5)]],
      rejects: [[.float(3), .number(2), .integer(0), .number(1)], [.float(2, 2), .number(0), .integer(0), .number(1)]], composed: true,
      batching: .loop
    ) { x, p, dim, largest in .tensor(try x.renorm(p, dim, largest)) },
  ]
}

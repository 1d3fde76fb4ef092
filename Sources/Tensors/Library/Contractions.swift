// Products of several factors and over several dimensions, by products of matrices.

extension Tensor {
  /// The Kronecker product.
  func kron(_ other: Tensor) throws -> Tensor {
    let dimensions = Swift.max(rank, other.rank)
    guard 2 * dimensions <= Shape.maximumRank else {
      throw TensorError(.shape, "kron", "at most \(Shape.maximumRank / 2) dimensions are possible, got \(dimensions)")
    }
    func sizes(_ x: Tensor) -> [Int] { [Int](repeating: 1, count: dimensions - x.rank) + x.shape.array }
    let (a, b) = (sizes(self), sizes(other))
    let left = try reshape(a.flatMap { [$0, 1] }), right = try other.reshape(b.flatMap { [1, $0] })
    return try (left * right).reshape(zip(a, b).map(*))
  }

  /// The vector product along a dimension of size 3.
  func cross(_ other: Tensor, _ dimension: Int) throws -> Tensor {
    guard dtype == other.dtype else { throw TensorError(.dtype, "cross", "the dtypes \(dtype) and \(other.dtype) differ") }
    let common = try Shape.broadcast(shape, other.shape, "cross")
    let (a, b) = (try expand(common), try other.expand(common))
    let axis = try common.axis(dimension, "cross")
    guard common.rank > 0, common[axis] == 3 else {
      throw TensorError(.shape, "cross", "dimension \(index: axis) of shape \(common) must have size 3")
    }
    return try a.roll([-1], [axis]) * b.roll([1], [axis]) - a.roll([1], [axis]) * b.roll([-1], [axis])
  }

  /// The products summed over the last `count` dimensions of this and the first of the other.
  func tensordot(_ other: Tensor, _ count: Int) throws -> Tensor {
    guard count >= 0, count <= rank, count <= other.rank else {
      throw TensorError(.argument, "tensordot", "\(count) dimensions are not there in both shapes \(shape) and \(other.shape)")
    }
    let (kept, summed) = (Array(shape.array.dropLast(count)), Array(shape.array.suffix(count)))
    guard summed == Array(other.shape.array.prefix(count)) else {
      throw TensorError(.shape, "tensordot", "the last \(count) sizes of \(shape) are not the first of \(other.shape)")
    }
    let rest = Array(other.shape.array.dropFirst(count))
    let inner = summed.reduce(1, *)
    return try reshape([kept.reduce(1, *), inner]).mm(other.reshape([inner, rest.reduce(1, *)])).reshape(kept + rest)
  }

  /// The p-norms of the differences of all rows of one and all of the other.
  func cdist(_ other: Tensor, _ p: Double) throws -> Tensor {
    guard dtype == other.dtype, dtype == .float32 || dtype == .float64 else {
      throw TensorError(.dtype, "cdist", "two tensors of float32 or of float64 are needed, got \(dtype) and \(other.dtype)")
    }
    guard rank >= 2, other.rank >= 2, shape[rank - 1] == other.shape[other.rank - 1] else {
      throw TensorError(.shape, "cdist", "rows of one width are needed, got shapes \(shape) and \(other.shape)")
    }
    guard p >= 0 else { throw TensorError(.argument, "cdist", "p must not be negative, got \(p)") }
    return try (unsqueeze(-2) - other.unsqueeze(-3)).norm(p, [-1])
  }

  /// A product of matrices in the order of the fewest multiplications.
  static func chain(_ factors: [Tensor], _ name: String) throws -> Tensor {
    guard let first = factors.first else { throw TensorError(.argument, name, "the list of tensors is empty") }
    for (a, b) in zip(factors, factors.dropFirst()) where a.rank != 2 || b.rank != 2 || a.shape[1] != b.shape[0] {
      throw TensorError(.shape, name, "matrices that fit one another are needed, got shapes \(a.shape) and \(b.shape)")
    }
    guard first.rank == 2 else { throw TensorError(.shape, name, "a matrix is needed, got shape \(first.shape)") }
    let sizes = [Double(first.shape[0])] + factors.map { Double($0.shape[1]) }
    let n = factors.count
    var cost = [[Double]](repeating: [Double](repeating: 0, count: n), count: n)
    var cut = [[Int]](repeating: [Int](repeating: 0, count: n), count: n)
    for length in 1..<Swift.max(n, 1) {
      for start in 0..<(n - length) {
        let end = start + length
        cost[start][end] = .infinity
        for middle in start..<end {
          let total = cost[start][middle] + cost[middle + 1][end] + sizes[start] * sizes[middle + 1] * sizes[end + 1]
          if total < cost[start][end] { (cost[start][end], cut[start][end]) = (total, middle) }
        }
      }
    }
    func product(_ start: Int, _ end: Int) throws -> Tensor {
      start == end ? factors[start] : try product(start, cut[start][end]).mm(product(cut[start][end] + 1, end))
    }
    return try product(0, n - 1)
  }

  /// A square matrix multiplied n times with itself, or its inverse where n is negative.
  func matrixPower(_ n: Int) throws -> Tensor {
    guard rank >= 2, shape[rank - 1] == shape[rank - 2] else {
      throw TensorError(.shape, "matrix_power", "square matrices are needed, got shape \(shape)")
    }
    if n < 0 { return try inverse().matrixPower(n == .min ? .max : -n) }
    if n == 0 { return try Tensor.eye(shape[rank - 1], shape[rank - 1], dtype: dtype).expand(shape).clone() }
    var (result, square, rest) = (nil as Tensor?, self, n)
    while true {
      if rest & 1 == 1 { result = try result?.matmul(square) ?? square }
      rest >>= 1
      if rest == 0 { break }
      square = try square.matmul(square)
    }
    return try n == 1 ? clone() : result ?? clone()
  }

  /// beta · input + alpha · product; input broadcasts.
  fileprivate static func added(_ input: Tensor, _ product: Tensor, _ beta: Double, _ alpha: Double, _ name: String) throws -> Tensor {
    guard try Shape.broadcast(input.shape, product.shape, name) == product.shape else {
      throw TensorError(.shape, name, "the input of shape \(input.shape) does not fit a product of shape \(product.shape)")
    }
    // Infinities and NaN of an input that counts for nothing do not count.
    let scaled = try product.scaled(alpha)
    return try beta == 0 ? scaled : input.scaled(beta) + scaled
  }
}

enum Contractions {
  private static let beta = Take.number("beta", default: 1)
  private static let alpha = Take.number("alpha", default: 1)

  static let list: [TensorOperation] = [
    TensorOperation(
      "addmv", "beta · input + alpha · mat · vec.", Take.input, Take.tensor("mat"), Take.tensor("vec"), beta, alpha, forms: .all,
      samples: [[.float(2), .float(2, 3), .float(3)], [.float(2), .float(2, 3), .float(3), .number(0.5), .number(2)]],
      rejects: [[.float(3), .float(2, 3), .float(3)]], composed: true, batching: .sumWithProduct(2, 1)
    ) { x, a, b, beta, alpha in .tensor(try Tensor.added(x, a.mv(b), beta, alpha, "addmv")) },
    TensorOperation(
      "addr", "beta · input + alpha · the outer product of vec1 and vec2.", Take.input, Take.tensor("vec1"), Take.tensor("vec2"), beta,
      alpha,
      forms: .all, samples: [[.float(2, 3), .float(2), .float(3)], [.float(2, 3), .float(2), .float(3), .number(0.5), .number(2)]],
      rejects: [[.float(3, 3), .float(2), .float(3)]], composed: true, batching: .sumWithProduct(1, 1, isOuter: true)
    ) { x, a, b, beta, alpha in .tensor(try Tensor.added(x, a.outer(b), beta, alpha, "addr")) },
    TensorOperation(
      "baddbmm", "beta · input + alpha · batch1 · batch2, of batches of matrices.", Take.input, Take.tensor("batch1"),
      Take.tensor("batch2"),
      beta, alpha, forms: .all,
      samples: [
        [.float(2, 2, 3), .float(2, 2, 4), .float(2, 4, 3)], [.float(1, 3), .float(2, 2, 4), .float(2, 4, 3), .number(0.5), .number(2)],
      ],
      rejects: [[.float(3, 2, 3), .float(2, 2, 4), .float(2, 4, 3)]], composed: true, batching: .sumWithProduct(3, 3)
    ) { x, a, b, beta, alpha in .tensor(try Tensor.added(x, a.bmm(b), beta, alpha, "baddbmm")) },
    TensorOperation(
      "addbmm", "beta · input + alpha · the sum of the products of batch1 and batch2.", Take.input, Take.tensor("batch1"),
      Take.tensor("batch2"), beta, alpha, forms: .all,
      samples: [
        [.float(2, 3), .float(2, 2, 4), .float(2, 4, 3)], [.float(2, 3), .float(2, 2, 4), .float(2, 4, 3), .number(0.5), .number(2)],
      ],
      rejects: [[.float(3, 3), .float(2, 2, 4), .float(2, 4, 3)]], composed: true
    ) { x, a, b, beta, alpha in
      let names: KeyValuePairs<String, KeptSlot> = ["self": .input(0), "batch1": .input(1), "batch2": .input(2)]
      return .tensor(
        try Formula.of([x, a, b], "AddbmmBackward0", names) { inputs in
          let products = try inputs[1].bmm(inputs[2])
          return try Tensor.added(inputs[0], products.sum([0], dtype: products.dtype), beta, alpha, "addbmm")
        })
    },
    TensorOperation(
      "kron", "The Kronecker product.", Take.input, Take.tensor("other"),
      samples: [[.float(2, 2), .float(1, 3)], [.float(2), .float(2, 2)]],
      composed: true
    ) { a, b in .tensor(try a.kron(b)) },
    TensorOperation(
      "cross", "The vector product along a dimension of size 3.", Take.input, Take.tensor("other"), Take.dimension("dim", default: -1),
      aliases: ["linalg.cross"],
      samples: [[.float(3), .float(3)], [.float(2, 3), .float(2, 3)], [.float(3, 2), .float(3, 2), .integer(0)]],
      rejects: [[.float(2), .float(2)]], composed: true
    ) { a, b, dim in .tensor(try a.cross(b, dim)) },
    TensorOperation(
      "vdot", "The inner product of two vectors.", Take.input, Take.tensor("other"), samples: [[.float(3), .float(3)]],
      rejects: [[.float(3), .float(2)]], composed: true, batching: .product(1, 1)
    ) { a, b in .tensor(try a.dot(b)) },
    TensorOperation(
      "vecdot", "The sums of products along a dimension.", Take.input, Take.tensor("other"), Take.dimension("dim", default: -1),
      aliases: ["linalg.vecdot"], forms: .function,
      samples: [[.float(2, 3), .float(2, 3)], [.float(2, 3), .float(3)], [.float(3, 2), .float(3, 2), .integer(0)]],
      rejects: [[.float(3), .float(2)]], composed: true
    ) { a, b, dim in
      try a.requireFloating("vecdot")
      guard a.dtype == b.dtype else { throw TensorError(.dtype, "vecdot", "the dtypes \(a.dtype) and \(b.dtype) differ") }
      return .tensor(try (a * b).sum([dim]))
    },
    TensorOperation(
      "inner", "The products summed over the last dimensions of both.", Take.input, Take.tensor("other"),
      samples: [[.float(3), .float(3)], [.float(2, 3), .float(4, 3)], [.float(2, 3), .float()]], rejects: [[.float(3), .float(2)]],
      composed: true, batching: .product(1, 1)
    ) { a, b in
      guard a.rank > 0, b.rank > 0 else { return .tensor(try a * b) }
      return .tensor(try a.tensordot(b.movedim([-1], [0]).contiguous(), 1))
    },
    TensorOperation(
      "tensordot", "The products summed over the last dims dimensions of one and the first of the other.", Take.tensor("a"),
      Take.tensor("b"),
      Take.integer("dims", default: 2), forms: .function,
      samples: [[.float(2, 3, 4), .float(3, 4, 2)], [.float(2, 3), .float(3, 4), .integer(1)], [.float(2), .float(3), .integer(0)]],
      rejects: [[.float(2, 3), .float(2, 3), .integer(1)]], composed: true
    ) { a, b, dims in .tensor(try a.tensordot(b, dims)) },
    TensorOperation(
      "cdist", "The p-norms of the differences of all rows of one and all of the other.", Take.tensor("x1"), Take.tensor("x2"),
      Take.number("p", default: 2), forms: .function,
      samples: [[.float(3, 2), .float(4, 2)], [.float(2, 3, 2), .float(2, 2, 2), .number(1)]],
      rejects: [[.float(3, 2), .float(4, 3)]], composed: true, batching: .trailing
    ) { a, b, p in .tensor(try a.cdist(b, p)) },
    TensorOperation(
      "chain_matmul", "A product of matrices in the order of the fewest multiplications.", Take.tensors("matrices"),
      aliases: ["linalg.multi_dot"], forms: .function, samples: [[.tensors([.float(2, 3), .float(3, 4), .float(4, 1)])]],
      rejects: [[.tensors([.float(2, 3), .float(2, 3)])]], composed: true
    ) { matrices in .tensor(try Tensor.chain(matrices, "chain_matmul")) },
    TensorOperation(
      "matrix_power", "A square matrix multiplied n times with itself; its inverse where n is negative.", Take.input, Take.integer("n"),
      aliases: ["linalg.matrix_power"],
      samples: [[.positive(3, 3), .integer(3)], [.float(2, 2, 2), .integer(2)]], rejects: [[.float(2, 3), .integer(2)]],
      composed: true, batching: .trailing
    ) { x, n in .tensor(try x.matrixPower(n)) },
  ]
}

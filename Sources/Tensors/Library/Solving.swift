// Systems of linear equations, inverses and determinants. Derivatives: Giles, "Collected matrix derivative results for forward
// and reverse mode algorithmic differentiation" (2008); Golub and Pereyra (1973) for the pseudoinverse.

extension Tensor {
  /// The matrices transposed.
  var mT: Tensor { get throws { try transpose(rank - 2, rank - 1) } }

  /// The identity matrix, to be broadcast.
  static func identity(_ n: Int, like x: Tensor) throws -> Tensor { try eye(n, n, dtype: x.dtype) }

  /// The inverses of square matrices; throws where one is singular.
  public func inverse() throws -> Tensor {
    let m = try Matrices(self, "linalg.inv", square: true)
    let y = try withNoGrad { try Lapack.solve(self, Tensor.identity(m.rows, like: self).expand(shape), "linalg.inv") }
    return try y.recorded(Inverse(), self)
  }

  /// X of self · X = b: `b` is a batch of matrices, or of vectors where it has the shape of a batch of such; batches broadcast.
  /// With `left` false, of X · self = b. Throws where a matrix is singular.
  public func solve(_ b: Tensor, left: Bool = true) throws -> Tensor {
    let name = "linalg.solve"
    _ = try Matrices(self, name, square: true)
    let isVector = b.rank == 1 || (b.rank == rank - 1 && b.shape.array == Array(shape.array.dropLast()))
    guard left || !isVector else { throw TensorError(.argument, name, "vectors can be solved for from the left only") }
    let x = try withNoGrad {
      try systems(isVector ? b.unsqueeze(-1) : b, left: left, name) { try Lapack.solve($0, $1, name) }
    }
    let y = try withNoGrad { try isVector ? x.squeeze([-1]).packed() : x }
    return try Tensor(storage: y.storage, layout: y.layout, dtype: y.dtype).recorded(
      Solution(left: left, isVector: isVector, shapes: [shape, b.shape]), self, b)
  }

  /// Solves systems with the batches of both, packed; those from the right by the transposed ones.
  private func systems(
    _ b: Tensor, left: Bool, _ name: String, _ solve: (Tensor, Tensor) throws -> Tensor
  ) throws -> Tensor {
    let (a, b) = left ? (self, b) : (try mT, try b.mT)
    let (m, right) = (try Matrices(a, name, square: true), try Matrices(b, name))
    guard dtype == b.dtype else { throw TensorError(.dtype, name, "the dtypes \(dtype) and \(b.dtype) differ") }
    guard m.rows == right.rows else {
      throw TensorError(.shape, name, "\(m.rows) unknowns do not fit right sides of shape \(left ? b.shape : try b.mT.shape)")
    }
    let batch = try Shape.broadcast(m.batch, right.batch, name)
    let x = try solve(
      a.expand(Shape(batch.array + [m.rows, m.columns], operation: name)),
      b.expand(Shape(batch.array + [right.rows, right.columns], operation: name)))
    return left ? x : try x.mT.packed()
  }

  /// The same with triangular matrices: their other halves are not read, nor the diagonal where it is to be all ones.
  public func solveTriangular(_ b: Tensor, upper: Bool, left: Bool = true, unitriangular: Bool = false) throws -> Tensor {
    let name = "linalg.solve_triangular"
    guard b.rank >= 2 else { throw TensorError(.shape, name, "a matrix of right sides is needed, got shape \(b.shape)") }
    let x = try withNoGrad {
      try systems(b, left: left, name) { try Lapack.solve($0, $1, upper: upper == left, unit: unitriangular, name) }
    }
    return try x.recorded(
      TriangularSolution(upper: upper, left: left, unitriangular: unitriangular, shapes: [shape, b.shape]), self, b)
  }

  /// X of A · X = self, self being right sides and `factor` the Cholesky factor of A: lower, or upper.
  func choleskySolve(_ factor: Tensor, upper: Bool) throws -> Tensor {
    let lower = try upper ? factor.mT : factor
    return try lower.mT.solveTriangular(lower.solveTriangular(self, upper: false), upper: true)
  }

  /// The determinants of square matrices.
  public func determinant() throws -> Tensor {
    _ = try Matrices(self, "linalg.det", square: true)
    let y = try withNoGrad {
      let (factors, _, sign) = try Lapack.decompose(self, "linalg.det")
      return try factors.diagonal(0, -2, -1).prod(-1) * sign
    }
    return try y.recorded(Determinant(), self)
  }

  /// The signs of the determinants and the logarithms of their absolute values.
  public func signedLogDeterminant() throws -> (sign: Tensor, logabsdet: Tensor) {
    _ = try Matrices(self, "linalg.slogdet", square: true)
    let (sign, value) = try withNoGrad {
      let (factors, _, sign) = try Lapack.decompose(self, "linalg.slogdet")
      let diagonal = try factors.diagonal(0, -2, -1)
      return (try Unary.sign(diagonal).prod(-1) * sign, try Unary.log(Unary.abs(diagonal)).sum([-1]))
    }
    try Tensor.record(SignedLogDeterminant(), [self], outputs: [sign, value])
    return (sign, value)
  }

  /// The pseudoinverses: singular values of at most max(atol, rtol · the largest) count as zero.
  public func pseudoinverse(atol: Double? = nil, rtol: Double? = nil) throws -> Tensor {
    let name = "linalg.pinv"
    let m = try Matrices(self, name)
    let y = try withNoGrad {
      guard m.smaller > 0 else { return try Tensor.zeros(m.shape(m.columns, m.rows), dtype: dtype) }
      let (u, s, vh) = try Lapack.svd(self, full: false, name)
      let counts = try s.areLarge(m, atol: atol, rtol: rtol)
      let inverses = try counts.choosing(Unary.reciprocal(s), else: Tensor.zeros([], dtype: dtype))
      return try (vh.mT * inverses.unsqueeze(-2)).matmul(u.mT)
    }
    return try y.recorded(Pseudoinverse(atol: atol, rtol: rtol), self)
  }

  /// Which singular values count.
  fileprivate func areLarge(_ m: Matrices, atol: Double?, rtol: Double?) throws -> Tensor {
    let epsilon = dtype == .float32 ? Double(Float.ulpOfOne) : Double.ulpOfOne
    let relative = rtol ?? (atol ?? 0 > 0 ? 0 : epsilon * Double(Swift.max(m.rows, m.columns)))
    let bound = try extreme(.amax, [-1], keepdim: true) * relative
    return try Comparison.gt(self, Binary.maximum(bound, Tensor.filled([], .real(atol ?? 0), dtype: dtype)))
  }

  /// How many singular values count.
  func matrixRank(atol: Double?, rtol: Double?, hermitian: Bool) throws -> Tensor {
    let name = "linalg.matrix_rank"
    let m = try Matrices(self, name)
    return try withNoGrad {
      guard m.smaller > 0 else { return try Tensor.zeros(m.batch, dtype: .int64) }
      let s = try hermitian ? Unary.abs(Lapack.eigen(self, upper: false, name).values) : Lapack.svd(self, full: false, name).s
      return try s.areLarge(m, atol: atol, rtol: rtol).sum([-1])
    }
  }

  /// X with the least ‖self · X − b‖, and of those the one with the least ‖X‖; and the rank.
  func leastSquares(_ b: Tensor, rcond: Double?) throws -> (solution: Tensor, rank: Tensor) {
    let name = "linalg.lstsq"
    let m = try Matrices(self, name)
    let isVector = b.rank == 1 || (b.rank == rank - 1 && b.shape.array == Array(shape.array.dropLast()))
    let right = isVector ? try b.unsqueeze(-1) : b
    guard right.rank >= 2, right.shape[right.rank - 2] == m.rows else {
      throw TensorError(.shape, name, "matrices of shape \(shape) do not fit right sides of shape \(b.shape)")
    }
    guard dtype == b.dtype else { throw TensorError(.dtype, name, "the dtypes \(dtype) and \(b.dtype) differ") }
    let x = try Formula.of([self, right], "LinalgLstsqBackward0") { try $0[0].pseudoinverse(rtol: rcond).matmul($0[1]) }
    return (isVector ? try x.squeeze([-1]) : x, try matrixRank(atol: nil, rtol: rcond, hermitian: false))
  }

  /// What is left over of each column of b, where all matrices have full rank and more rows than columns; else nothing.
  func residuals(_ solution: Tensor, _ b: Tensor, rank ranks: Tensor) throws -> Tensor {
    let (rows, columns) = (shape[rank - 2], shape[rank - 1])
    return try withNoGrad {
      guard rows > columns, try ranks.eq(Double(columns)).all().element(0) == .boolean(true) else {
        return try Tensor.zeros([0], dtype: dtype)
      }
      return try Unary.square(matmul(solution) - b).sum([solution.rank == b.rank && b.rank > 1 ? -2 : -1])
    }
  }
}

// MARK: On the tape

private struct Inverse: Operation {
  var nodeName: String { "LinalgInvExBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["inverse": .output] }
  func uses(_ number: Int) -> Uses { .output }
  func gradient(_ c: inout Backward) throws {
    let y = try c.y.mT
    c[0] = try Unary.neg(y.matmul(c.g).matmul(y))
  }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].inverse()] }
}

private struct Solution: Operation {
  let left, isVector: Bool
  /// Of both inputs, before their batches were broadcast.
  let shapes: [Shape]

  var nodeName: String { "LinalgSolveExBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["A": .input(0), "result": .output] }
  func uses(_ number: Int) -> Uses { number == 0 ? [.a, .output] : .a }

  func gradient(_ c: inout Backward) throws {
    let g = isVector ? try c.g.unsqueeze(-1) : c.g
    let right = try c.a.mT.solve(g, left: left)
    if c.needs(0) {
      let x = isVector ? try c.y.unsqueeze(-1) : try c.y
      c[0] = try Unary.neg(left ? right.matmul(x.mT) : x.mT.matmul(right)).summed(to: shapes[0])
    }
    if c.needs(1) { c[1] = try (isVector ? right.squeeze([-1]) : right).summed(to: shapes[1]) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].solve(inputs[1], left: left)] }
}

private struct TriangularSolution: Operation {
  let upper, left, unitriangular: Bool
  let shapes: [Shape]

  var nodeName: String { "LinalgSolveTriangularBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["self": .input(0), "result": .output] }
  func uses(_ number: Int) -> Uses { number == 0 ? [.a, .output] : .a }

  func gradient(_ c: inout Backward) throws {
    let right = try c.a.mT.solveTriangular(c.g, upper: !upper, left: left, unitriangular: unitriangular)
    if c.needs(0) {
      let beside = unitriangular ? 1 : 0
      let whole = try Unary.neg(left ? right.matmul(c.y.mT) : c.y.mT.matmul(right))
      c[0] = try whole.triangle(upper ? beside : -beside, lower: !upper).summed(to: shapes[0])
    }
    if c.needs(1) { c[1] = try right.summed(to: shapes[1]) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try inputs[0].solveTriangular(inputs[1], upper: upper, left: left, unitriangular: unitriangular)]
  }
}

private struct Determinant: Operation {
  var nodeName: String { "LinalgDetBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["A": .input(0), "result": .output] }
  func uses(_ number: Int) -> Uses { [.a, .output] }

  /// g · the cofactors: det · A⁻ᵀ, or by way of the singular values where there is no inverse.
  func gradient(_ c: inout Backward) throws {
    let (a, det) = (try c.a, try c.y)
    let g = try c.g.unsqueeze(-1).unsqueeze(-1)
    let n = a.shape[a.rank - 1]
    if try withNoGrad({ try det.eq(0).any().element(0) == .boolean(false) }) {
      c[0] = try g * det.unsqueeze(-1).unsqueeze(-1) * a.inverse().mT
    } else {
      let (u, s, vh) = try a.singularValueDecomposition(full: false)
      let others = try s.unsqueeze(-2).maskedFill(Tensor.eye(n, n, dtype: .bool), .integer(1))
      let signs = try (u.determinant() * vh.determinant()).unsqueeze(-1).unsqueeze(-1)
      c[0] = try g * signs * (u * others.prod(-1).unsqueeze(-2)).matmul(vh)
    }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].determinant()] }
}

private struct SignedLogDeterminant: Operation {
  var nodeName: String { "LinalgSlogdetBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["A": .input(0)] }
  func uses(_ number: Int) -> Uses { .a }
  func gradient(_ c: inout Backward) throws {
    // The sign has derivative 0.
    guard let g = c.gradients[1] else {
      c[0] = try Tensor.zeros(like: c.a)
      return
    }
    c[0] = try g.unsqueeze(-1).unsqueeze(-1) * c.a.inverse().mT
  }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    let (sign, value) = try inputs[0].signedLogDeterminant()
    return [sign, value]
  }
}

private struct Pseudoinverse: Operation {
  let atol, rtol: Double?

  var nodeName: String { "LinalgPinvBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["self": .input(0), "result": .output] }
  func uses(_ number: Int) -> Uses { [.a, .output] }

  func gradient(_ c: inout Backward) throws {
    let (a, p, g) = (try c.a, try c.y, c.g)
    let (gt, pt) = (try g.mT, try p.mT)
    let left = try gt - a.matmul(p).matmul(gt)
    let right = try gt - gt.matmul(p).matmul(a)
    c[0] = try left.matmul(p).matmul(pt) + pt.matmul(p).matmul(right) - pt.matmul(g).matmul(pt)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].pseudoinverse(atol: atol, rtol: rtol)] }
}

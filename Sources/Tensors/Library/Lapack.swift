// What linear algebra asks of LAPACK: batches of packed matrices, checked, and errors in sentences.

import CKernels

/// A batch of matrices: the sizes before the last two, and the last two.
struct Matrices {
  let batch: Shape
  let rows, columns: Int
  /// How many.
  var count: Int { batch.count }
  var smaller: Int { min(rows, columns) }

  /// Those of a tensor; throws where there are none, or of a dtype that LAPACK does not have.
  init(_ x: Tensor, _ operation: String, square: Bool = false) throws {
    guard x.rank >= 2 else { throw TensorError(.shape, operation, "a matrix or a batch of them is needed, got shape \(x.shape)") }
    guard x.dtype == .float32 || x.dtype == .float64 else {
      throw TensorError(.dtype, operation, "defined for float32 and float64, got a tensor of \(x.dtype)")
    }
    rows = x.shape[x.rank - 2]
    columns = x.shape[x.rank - 1]
    guard !square || rows == columns else {
      throw TensorError(.shape, operation, "square matrices are needed, got shape \(x.shape)")
    }
    batch = try Shape(Array(x.shape.array.dropLast(2)))
    // LAPACK counts its work space, of up to four such matrices, in 32 bits.
    guard max(rows, columns) <= 20_000 else {
      throw TensorError(.shape, operation, "matrices of at most 20,000 rows and columns can be decomposed, got shape \(x.shape)")
    }
  }

  /// The shape of a batch of others.
  func shape(_ sizes: Int...) throws -> Shape { try Shape(batch.array + sizes) }
}

/// The routines, each over a batch. What they write to is packed, and nobody else's.
enum Lapack {
  private static let lu = NamedKernel("factors_lu")
  private static let solve = NamedKernel("factors_solve")
  private static let triangular = NamedKernel("factors_triangular")
  private static let cholesky = NamedKernel("factors_cholesky")
  private static let eigen = NamedKernel("lapack_eigen")
  private static let qr = NamedKernel("factors_qr")
  private static let svd = NamedKernel("lapack_svd")

  /// What a routine said of a matrix: its number in the batch, and LAPACK's `info`.
  private struct Complaint {
    let info, matrix: Int
    let count: Int

    init(_ result: (Double, Double), _ count: Int, _ operation: String) throws {
      (info, matrix, self.count) = (Int(result.0), Int(result.1), count)
      switch info {
      case -100_000:
        throw TensorError(.argument, operation, "the library LAPACK is not there; install the package liblapacke")
      case -100_001: throw TensorError(.memory, operation, "there is no memory left for its work")
      case ..<0: throw TensorError(.domain, operation, "\(place)the computation failed (argument \(-info) of LAPACK's routine)")
      default: break
      }
    }

    /// `in matrix 2 of the batch, `, or nothing.
    var place: String { count > 1 ? "in matrix \(matrix + 1) of the batch, " : "" }
  }

  private static func bytes(_ x: Tensor, write: Bool = true) -> Launch.Operand {
    write ? .write(x.data, x.dtype, x.count) : .read(x.data, x.dtype, x.count)
  }

  /// Both factors in one, the rows' order, and its sign.
  static func decompose(_ x: Tensor, _ operation: String) throws -> (factors: Tensor, order: Tensor, sign: Tensor) {
    let m = try Matrices(x, operation)
    let factors = try x.copied()
    let order = try Tensor(uninitialized: m.shape(m.rows), .int64)
    let sign = try Tensor.filled(m.batch, .integer(1), dtype: x.dtype)
    if m.rows == 0 || m.columns == 0 {
      try order.assign(Tensor.arange(.integer(0), .integer(Int64(m.rows)), .integer(1)))
    } else {
      _ = try Complaint(
        lu(x.dtype, bytes(factors), bytes(order), bytes(sign), sizes: (m.rows, m.columns, m.count, 0)), m.count, operation)
    }
    return (factors, order, sign)
  }

  /// X of a·X = b, both batches of one shape.
  static func solve(_ a: Tensor, _ b: Tensor, _ operation: String) throws -> Tensor {
    let m = try Matrices(a, operation, square: true)
    let (spoilt, x) = (try a.copied(), try b.copied())
    guard x.count > 0 else { return x }
    let said = try Complaint(
      solve(a.dtype, bytes(spoilt), bytes(x), sizes: (m.rows, x.shape[x.rank - 1], m.count, 0)), m.count, operation)
    guard said.info == 0 else {
      throw TensorError(.domain, operation, "\(said.place)the matrix is singular: pivot \(said.info) is zero")
    }
    return x
  }

  /// The same with a triangular matrix, of which the other half is not read.
  static func solve(_ a: Tensor, _ b: Tensor, upper: Bool, unit: Bool, _ operation: String) throws -> Tensor {
    let m = try Matrices(a, operation, square: true)
    let (packed, x) = (try a.packed(), try b.copied())
    guard x.count > 0 else { return x }
    _ = try Complaint(
      triangular(
        a.dtype, bytes(packed, write: false), bytes(x), sizes: (m.rows, x.shape[x.rank - 1], m.count, 0),
        numbers: (upper ? 1 : 0, unit ? 1 : 0, 0, 0)), m.count, operation)
    return x
  }

  /// L of a = L·Lᵀ; reads the lower triangle.
  static func cholesky(_ a: Tensor, _ operation: String) throws -> Tensor {
    let m = try Matrices(a, operation, square: true)
    let factor = try a.copied()
    guard factor.count > 0 else { return factor }
    let said = try Complaint(cholesky(a.dtype, bytes(factor), sizes: (m.rows, m.count, 0, 0)), m.count, operation)
    guard said.info == 0 else {
      throw TensorError(
        .domain, operation,
        "\(said.place)the matrix is not positive-definite: its leading minor of order \(said.info) is not positive")
    }
    return factor
  }

  /// λ and V of a = V·diag(λ)·Vᵀ; reads one triangle.
  static func eigen(_ a: Tensor, upper: Bool, _ operation: String) throws -> (values: Tensor, vectors: Tensor) {
    let m = try Matrices(a, operation, square: true)
    let vectors = try a.copied()
    let values = try Tensor(uninitialized: m.shape(m.rows), a.dtype)
    guard vectors.count > 0 else { return (values, vectors) }
    guard try isFinite(a) else {
      // As PyTorch has it: there is nothing to decompose.
      for x in [values, vectors] { try x.assign(Tensor.filled([], .real(.nan), dtype: x.dtype)) }
      return (values, vectors)
    }
    let said = try Complaint(
      eigen(a.dtype, bytes(vectors), bytes(values), sizes: (m.rows, m.count, 0, 0), numbers: (upper ? 1 : 0, 0, 0, 0)), m.count,
      operation)
    guard said.info == 0 else { throw TensorError(.domain, operation, "\(said.place)the algorithm did not converge") }
    return (values, vectors)
  }

  /// Q, with `columns` of its columns, and R as LAPACK leaves it, with other things below the diagonal.
  static func qr(_ a: Tensor, columns: Int, _ operation: String) throws -> (q: Tensor, r: Tensor) {
    let m = try Matrices(a, operation)
    let r = try a.copied()
    guard m.rows > 0, m.columns > 0 else {
      return (try Tensor.eye(m.rows, columns, dtype: a.dtype).expand(m.shape(m.rows, columns)).copied(), r)
    }
    let q = try Tensor(uninitialized: m.shape(m.rows, columns), a.dtype)
    _ = try Complaint(qr(a.dtype, bytes(r), bytes(q), sizes: (m.rows, m.columns, columns, m.count)), m.count, operation)
    return (q, r)
  }

  static func svd(_ a: Tensor, full: Bool, _ operation: String) throws -> (u: Tensor, s: Tensor, vh: Tensor) {
    let m = try Matrices(a, operation)
    let (left, right) = full ? (m.rows, m.columns) : (m.smaller, m.smaller)
    let s = try Tensor(uninitialized: m.shape(m.smaller), a.dtype)
    guard m.smaller > 0 else {
      return (
        try Tensor.eye(m.rows, left, dtype: a.dtype).expand(m.shape(m.rows, left)).copied(), s,
        try Tensor.eye(right, m.columns, dtype: a.dtype).expand(m.shape(right, m.columns)).copied()
      )
    }
    guard try isFinite(a) else {
      throw TensorError(.domain, operation, "the matrix contains infinities or NaN, so that the algorithm does not converge")
    }
    let spoilt = try a.copied()
    let u = try Tensor(uninitialized: m.shape(m.rows, left), a.dtype)
    let vh = try Tensor(uninitialized: m.shape(right, m.columns), a.dtype)
    let said = try Complaint(
      svd(a.dtype, bytes(spoilt), bytes(s), bytes(u), bytes(vh), sizes: (m.rows, m.columns, full ? 1 : 0, m.count)), m.count,
      operation)
    guard said.info == 0 else { throw TensorError(.domain, operation, "\(said.place)the algorithm did not converge") }
    return (u, s, vh)
  }

  private static func isFinite(_ x: Tensor) throws -> Bool {
    try withNoGrad { try Predicate.isfinite(x).all().element(0) == .boolean(true) }
  }
}

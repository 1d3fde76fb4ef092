// Decompositions of matrices. Derivatives: Giles (2008) for Cholesky and the eigenvalues; Seeger et al., "Auto-differentiating
// linear algebra" (2017) for QR; Wan and Zhang, "Automatic differentiation for complex valued SVD" (2019); Murray,
// "Differentiation of the Cholesky decomposition" (2016).

extension Tensor {
  /// L of self = L·Lᵀ, or with `upper` U of self = Uᵀ·U, of symmetric positive-definite matrices; throws where one is not
  /// positive-definite.
  public func cholesky(upper: Bool = false) throws -> Tensor {
    let name = "linalg.cholesky"
    _ = try Matrices(self, name, square: true)
    let y = try withNoGrad { try upper ? Lapack.cholesky(mT, name).mT.packed() : Lapack.cholesky(self, name) }
    return try y.recorded(Cholesky(upper: upper), self)
  }

  /// λ in rising order and V of self = V·diag(λ)·Vᵀ, of symmetric matrices of which one triangle is read.
  public func symmetricEigen(upper: Bool = false) throws -> (values: Tensor, vectors: Tensor) {
    let (values, vectors) = try withNoGrad { try Lapack.eigen(self, upper: upper, "linalg.eigh") }
    try Tensor.record(SymmetricEigen(upper: upper), [self], outputs: [values, vectors])
    return (values, vectors)
  }

  /// U, the singular values in falling order and Vᵀ, of self = U·diag(s)·Vᵀ; with `full` all columns of U and V.
  public func singularValueDecomposition(full: Bool) throws -> (u: Tensor, s: Tensor, vh: Tensor) {
    let (u, s, vh) = try withNoGrad { try Lapack.svd(self, full: full, "linalg.svd") }
    try Tensor.record(SingularValues(fullMatrices: full), [self], outputs: [u, s, vh])
    return (u, s, vh)
  }

  /// Q with orthonormal columns and the upper triangular R of self = Q·R: as many columns as fit, or with `complete` a square Q.
  public func qr(complete: Bool = false) throws -> (q: Tensor, r: Tensor) {
    let name = "linalg.qr"
    let m = try Matrices(self, name)
    let columns = complete ? m.rows : m.smaller
    let (q, r) = try withNoGrad {
      let (q, r) = try Lapack.qr(self, columns: columns, name)
      return (q, try r.narrow(-2, 0, columns).triangle(0, lower: false))
    }
    try Tensor.record(OrthogonalTriangular(mode: complete ? "complete" : "reduced"), [self], outputs: [q, r])
    return (q, r)
  }

  /// The permutation P, L with ones on its diagonal and U of self = P·L·U.
  public func lu() throws -> (p: Tensor, l: Tensor, u: Tensor) {
    let name = "linalg.lu"
    let m = try Matrices(self, name)
    let (p, l, u) = try withNoGrad {
      let (factors, order, _) = try Lapack.decompose(self, name)
      let p = try Tensor.zeros(m.shape(m.rows, m.rows), dtype: dtype).scatter(-2, order.unsqueeze(-2), .integer(1))
      let l = try factors.narrow(-1, 0, m.smaller).triangle(-1, lower: true) + Tensor.eye(m.rows, m.smaller, dtype: dtype)
      return (p, l, try factors.narrow(-2, 0, m.smaller).triangle(0, lower: false))
    }
    try Tensor.record(LowerUpper(), [self], outputs: [l, u], own: [p])
    return (p, l, u)
  }

  /// e to the power of square matrices: scaled until it is small, by Padé's approximation of order 13, and squared as often
  /// (Higham, 2005).
  public func matrixExponential() throws -> Tensor {
    let m = try Matrices(self, "linalg.matrix_exp", square: true)
    guard count > 0 else { return try clone() }
    let size = try withNoGrad { try Unary.abs(self).sum([-2]).extreme(.amax, nil, keepdim: false).element(0).real }
    guard size.isFinite else { return try self * Double.nan }
    let squarings = Swift.max(0, Int(size == 0 ? 0 : (size / 5.37).binade.exponent) + 2)
    return try Formula.of([self], "LinalgMatrixExpBackward0") {
      let c: [Double] = [
        64_764_752_532_480_000, 32_382_376_266_240_000, 7_771_770_303_897_600, 1_187_353_796_428_800, 129_060_195_264_000,
        10_559_470_521_600, 670_442_572_800, 33_522_128_640, 1_323_241_920, 40_840_800, 960_960, 16_380, 182, 1,
      ]
      let a = try $0[0] * Double(sign: .plus, exponent: -squarings, significand: 1)
      let one = try Tensor.identity(m.rows, like: a)
      let a2 = try a.matmul(a), a4 = try a2.matmul(a2), a6 = try a4.matmul(a2)
      func sum(_ k: Int) throws -> Tensor { try a6 * c[k + 6] + a4 * c[k + 4] + a2 * c[k + 2] + one * c[k] }
      let u = try a.matmul(a6.matmul(a6 * c[13] + a4 * c[11] + a2 * c[9]) + sum(1))
      let v = try a6.matmul(a6 * c[12] + a4 * c[10] + a2 * c[8]) + sum(0)
      var y = try (v - u).solve(u + v)
      for _ in 0..<squarings { y = try y.matmul(y) }
      return y
    }
  }
}

// MARK: On the tape

extension Tensor {
  /// The matrices with their diagonals multiplied by a number.
  fileprivate func diagonalScaled(_ factor: Double) throws -> Tensor {
    try self + diagonal(0, -2, -1).diagEmbed(0, -2, -1) * (factor - 1)
  }

  /// Differences b_j − a_i of a vector's elements, with ones on the diagonal.
  fileprivate func differences() throws -> Tensor {
    let n = shape[rank - 1]
    return try (unsqueeze(-2) - unsqueeze(-1)) + Tensor.identity(n, like: self)
  }

  fileprivate func skew() throws -> Tensor { try self - mT }
}

private struct Cholesky: Operation {
  let upper: Bool

  var nodeName: String { "LinalgCholeskyExBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["L": .output] }
  func uses(_ number: Int) -> Uses { .output }

  func gradient(_ c: inout Backward) throws {
    let l = try upper ? c.y.mT : c.y
    let phi = try l.mT.matmul(upper ? c.g.mT : c.g).triangle(0, lower: true).diagonalScaled(0.5)
    let symmetric = try (phi + phi.mT) * 0.5
    // L⁻ᵀ from the left, and L⁻¹ from the right.
    let half = try l.mT.solveTriangular(symmetric, upper: true)
    c[0] = try l.mT.solveTriangular(half.mT, upper: true).mT
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].cholesky(upper: upper)] }
}

private struct SymmetricEigen: Operation {
  let upper: Bool

  var nodeName: String { "LinalgEighBackward0" }
  static var keepsOutputs: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["eigenvalues": .own(0), "eigenvectors": .own(1)] }
  func uses(_ number: Int) -> Uses { [.own, .own1] }

  func gradient(_ c: inout Backward) throws {
    let (values, v) = (try c.own, try c.own1)
    let byValues = try c.gradients[0]?.diagEmbed(0, -2, -1)
    var inner = byValues
    if let gv = c.gradients[1] {
      // Halves of the antisymmetric part, so that the whole is symmetric as the matrix is.
      let part = try v.mT.matmul(gv).skew() * 0.5 / values.differences()
      inner = try inner.map { try $0 + part } ?? part
    }
    c[0] = try inner.map { try v.matmul($0).matmul(v.mT) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    let (values, vectors) = try inputs[0].symmetricEigen(upper: upper)
    return [values, vectors]
  }
}

private struct SingularValues: Operation {
  let fullMatrices: Bool

  var nodeName: String { "LinalgSvdBackward0" }
  static var keepsOutputs: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["U": .own(0), "S": .own(1), "Vh": .own(2)] }
  func uses(_ number: Int) -> Uses { [.own, .own1, .own2] }

  func gradient(_ c: inout Backward) throws {
    let s = try c.own1
    let k = s.shape[s.rank - 1]
    // Of all columns only the first ones are determined by the matrix.
    let u = try c.own.narrow(-1, 0, k), vh = try c.own2.narrow(-2, 0, k)
    let (gu, gs) = (try c.gradients[0]?.narrow(-1, 0, k), c.gradients[1])
    let gvh = try c.gradients[2]?.narrow(-2, 0, k)
    let (m, n) = (u.shape[u.rank - 2], vh.shape[vh.rank - 1])
    var inner = try gs?.diagEmbed(0, -2, -1)
    var rest: Tensor?
    if gu != nil || gvh != nil {
      let gaps = try Unary.square(s).differences()
      if let gu {
        let turned = try u.mT.matmul(gu)
        let part = try turned.skew() / gaps * s.unsqueeze(-2)
        inner = try inner.map { try $0 + part } ?? part
        if m > k { rest = try ((gu - u.matmul(turned)) / s.unsqueeze(-2)).matmul(vh) }
      }
      if let gvh {
        let turned = try vh.matmul(gvh.mT)
        let part = try s.unsqueeze(-1) * (turned.skew() / gaps)
        inner = try inner.map { try $0 + part } ?? part
        if n > k {
          let beyond = try u.matmul((gvh - gvh.matmul(vh.mT).matmul(vh)) / s.unsqueeze(-1))
          rest = try rest.map { try $0 + beyond } ?? beyond
        }
      }
    }
    guard let inner else { return }
    let within = try u.matmul(inner).matmul(vh)
    c[0] = try rest.map { try within + $0 } ?? within
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    let (u, s, vh) = try inputs[0].singularValueDecomposition(full: fullMatrices)
    return [u, s, vh]
  }
}

private struct OrthogonalTriangular: Operation {
  let mode: String

  private var complete: Bool { mode == "complete" }
  var nodeName: String { "LinalgQrBackward0" }
  static var keepsOutputs: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["Q": .own(0), "R": .own(1)] }
  func uses(_ number: Int) -> Uses { [.own, .own1] }

  func gradient(_ c: inout Backward) throws {
    let (q, r) = (try c.own, try c.own1)
    let (m, n) = (q.shape[q.rank - 2], r.shape[r.rank - 1])
    guard !complete || m <= n else {
      throw TensorError(
        .autograd, "linalg.qr", "with mode = \"complete\" there is a derivative only of matrices with at least as many columns as rows")
    }
    var gq = c.gradients[0], gr = c.gradients[1]
    var beyond: Tensor?
    if m < n {
      // The columns beyond a square are R's alone, which is Qᵀ times them.
      if let all = gr {
        let right = try all.narrow(-1, m, n - m)
        beyond = try q.matmul(right)
        let more = try q.matmul(r.narrow(-1, m, n - m)).matmul(right.mT)
        gq = try gq.map { try $0 + more } ?? more
        gr = try all.narrow(-1, 0, m)
      } else {
        beyond = try Tensor.zeros(q.shape.replacing(q.rank - 1, with: n - m), dtype: q.dtype)
      }
    }
    let square = m < n ? try r.narrow(-1, 0, m) : r
    var inner = try gr.map { try $0.matmul(square.mT) }
    if let gq {
      let part = try q.mT.matmul(gq)
      inner = try inner.map { try $0 - part } ?? Unary.neg(part)
    }
    guard let inner else { return }
    let upper = try inner.triangle(0, lower: false)
    var left = try q.matmul((upper + upper.mT).diagonalScaled(0.5))
    if let gq { left = try left + gq }
    let first = try square.solveTriangular(left.mT, upper: true).mT
    c[0] = try beyond.map { try Joining.cat([first, $0], -1) } ?? first
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    let (q, r) = try inputs[0].qr(complete: complete)
    return [q, r]
  }
}

private struct LowerUpper: Operation {
  var nodeName: String { "LinalgLuBackward0" }
  static var keepsOutputs: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["L": .own(0), "U": .own(1), "P": .own(2)] }
  func uses(_ number: Int) -> Uses { [.own, .own1, .own2] }

  func gradient(_ c: inout Backward) throws {
    let (l, u, p) = (try c.own, try c.own1, try c.own2)
    let (m, n) = (l.shape[l.rank - 2], u.shape[u.rank - 1])
    let k = Swift.min(m, n)
    let gl = try c.gradients[0] ?? Tensor.zeros(like: l), gu = try c.gradients[1] ?? Tensor.zeros(like: u)
    let square = (l: try l.narrow(-2, 0, k), u: try u.narrow(-1, 0, k))
    var top = (l: try gl.narrow(-2, 0, k), u: try gu.narrow(-1, 0, k))
    func overU(_ x: Tensor) throws -> Tensor { try square.u.solveTriangular(x.mT, upper: true).mT }
    func overL(_ x: Tensor) throws -> Tensor { try square.l.mT.solveTriangular(x, upper: true, unitriangular: true) }
    // What is beyond a square: L₂ = A₂·U⁻¹, or U₂ = L⁻¹·A₂.
    var below: Tensor?, beside: Tensor?
    if m > k {
      let part = try overU(gl.narrow(-2, k, m - k))
      below = part
      top.u = try top.u - l.narrow(-2, k, m - k).mT.matmul(part)
    } else if n > k {
      let part = try overL(gu.narrow(-1, k, n - k))
      beside = part
      top.l = try top.l - part.matmul(u.narrow(-1, k, n - k).mT)
    }
    let inner = try square.l.mT.matmul(top.l).triangle(-1, lower: true) + top.u.matmul(square.u.mT).triangle(0, lower: false)
    var whole = try overU(overL(inner))
    if let below { whole = try Joining.cat([whole, below], -2) }
    if let beside { whole = try Joining.cat([whole, beside], -1) }
    c[0] = try p.matmul(whole)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    let (_, l, u) = try inputs[0].lu()
    return [l, u]
  }
}

// Linear algebra as scripts see it: `mg.linalg`, and the names that PyTorch also has elsewhere.

/// The order of a norm.
enum NormOrder: Sendable {
  case number(Double)
  /// Of matrices: of the elements as a vector, and the sum of the singular values.
  case frobenius, nuclear

  static func parameter(_ name: String, default text: String = "") -> Taken<NormOrder?> {
    Taken(parameter: Parameter(name, .order, optional: true, default: text)) { argument, operation, position in
      switch argument {
      case .absent: return text.isEmpty ? nil : text == "2" ? .number(2) : .frobenius
      case .string("fro"): return .frobenius
      case .string("nuc"): return .nuclear
      case .number(let number): return .number(number.real)
      case .integer(let integer): return .number(Double(integer))
      default: throw TensorError(.argument, operation, "argument \(position + 1) (\(name)) is no number, \"fro\" or \"nuc\"")
      }
    }
  }
}

extension Tensor {
  /// The norm of a vector, of all elements or over dimensions.
  func vectorNorm(_ p: Double, _ dimensions: [Int]?, keepdim: Bool) throws -> Tensor {
    guard dtype.isFloating else { throw TensorError(.dtype, "linalg.vector_norm", "defined for float dtypes, got a tensor of \(dtype)") }
    return try norm(p, dimensions, keepdim: keepdim)
  }

  /// The norm of matrices, which lie in two dimensions.
  func matrixNorm(_ order: NormOrder, _ dimensions: [Int], keepdim: Bool) throws -> Tensor {
    let name = "linalg.matrix_norm"
    guard rank >= 2 else { throw TensorError(.shape, name, "a matrix or a batch of them is needed, got shape \(shape)") }
    guard dimensions.count == 2 else {
      throw TensorError(.argument, name, "a matrix lies in two dimensions, got \(dimensions.count)")
    }
    let (rows, columns) = (try shape.axis(dimensions[0], name), try shape.axis(dimensions[1], name))
    guard rows != columns else { throw TensorError(.argument, name, "a matrix lies in two different dimensions") }
    guard dtype.isFloating else { throw TensorError(.dtype, name, "defined for float dtypes, got a tensor of \(dtype)") }
    func kept(_ y: Tensor) throws -> Tensor { keepdim ? y : try y.squeeze([rows, columns]) }
    func spectral(_ of: (Tensor) throws -> Tensor) throws -> Tensor {
      let rest = (0..<rank).filter { $0 != rows && $0 != columns }
      let s = try permute(rest + [rows, columns]).singularValueDecomposition(full: false).s
      var y = try of(s)
      if keepdim { for axis in [rows, columns].sorted() { y = try y.unsqueeze(axis) } }
      return y
    }
    switch order {
    case .frobenius: return try norm(2, [rows, columns], keepdim: keepdim)
    case .nuclear: return try spectral { try $0.sum([-1]) }
    case .number(let number):
      switch number {
      case 2: return try spectral { try $0.extreme(.amax, [-1], keepdim: false) }
      case -2: return try spectral { try $0.extreme(.amin, [-1], keepdim: false) }
      case 1, -1: return try kept(norm(1, [rows], keepdim: true).extreme(number > 0 ? .amax : .amin, [columns], keepdim: true))
      case .infinity, -.infinity:
        return try kept(norm(1, [columns], keepdim: true).extreme(number > 0 ? .amax : .amin, [rows], keepdim: true))
      default:
        throw TensorError(.argument, name, "the order of a matrix's norm is ±1, ±2, ±infinity, \"fro\" or \"nuc\", got \(number)")
      }
    }
  }

  /// Of the elements as a vector where nothing is said; of matrices where the order is a word or two dimensions are named.
  func linalgNorm(_ order: NormOrder?, _ dimensions: [Int]?, keepdim: Bool) throws -> Tensor {
    guard let order else { return try vectorNorm(2, dimensions, keepdim: keepdim) }
    if dimensions?.count == 2 || (dimensions == nil && rank == 2) {
      return try matrixNorm(order, dimensions ?? [-2, -1], keepdim: keepdim)
    }
    guard case .number(let p) = order else {
      throw TensorError(.argument, "linalg.norm", "the orders \"fro\" and \"nuc\" are of matrices, the shape is \(shape)")
    }
    guard dimensions != nil || rank == 1 else {
      throw TensorError(.argument, "linalg.norm", "with an order and without dim a vector or a matrix is needed, got shape \(shape)")
    }
    return try vectorNorm(p, dimensions, keepdim: keepdim)
  }

  /// ‖self‖ · ‖self⁻¹‖, for the order 2 without the inverse.
  func conditionNumber(_ order: NormOrder?) throws -> Tensor {
    let name = "linalg.cond"
    let isSpectral: Bool
    switch order {
    case nil, .number(2), .number(-2): isSpectral = true
    default: isSpectral = false
    }
    guard isSpectral, let m = try? Matrices(self, name), m.smaller > 0 else {
      _ = try Matrices(self, name, square: true)
      let order = order ?? .number(2)
      return try matrixNorm(order, [-2, -1], keepdim: false) * inverse().matrixNorm(order, [-2, -1], keepdim: false)
    }
    let s = try singularValueDecomposition(full: false).s
    let largest = try s.narrow(-1, 0, 1), least = try s.narrow(-1, m.smaller - 1, 1)
    if case .number(-2) = order { return try (least / largest).squeeze([-1]) }
    return try (largest / least).squeeze([-1])
  }
}

enum Linalg {
  private static let matrix = Take.tensor("A")
  private static let square: [Sample] = [[.positive(2, 3)], [.float(3)]]
  private static let wholes: [Sample] = [[.integers([2, 2], 1...4)]]
  /// Well away from singular ones.
  private static let regular = Sample.Value.values([3, 3], [2, -1, 0.5, 1, 3, -0.5, 0.25, 1, -2])
  private static let several = Sample.Value.values([2, 2, 2], [2, 1, -1, 3, -1, 0.5, 2, 4])
  private static let empty = Sample.Value.float([0, 0], -2...2)
  private static let definite = Sample.Value.values([3, 3], [4, 1, -0.5, 1, 3, 0.75, -0.5, 0.75, 2])
  private static let definites = Sample.Value.values([2, 2, 2], [2, 0.5, 0.5, 1, 3, -1, -1, 2])
  private static let tall = Sample.Value.values([3, 2], [2, -1, 0.5, 1, 3, 0.25])
  private static let wide = Sample.Value.values([2, 3], [2, -1, 0.5, 1, 3, 0.25])
  private static let lower = Sample.Value.values([3, 3], [2, 0, 0, 1, 3, 0, -1, 0.5, 1.5])
  private static let tolerances = (atol: Take.optionalScalar("atol"), rtol: Take.optionalScalar("rtol"))

  private static func isUpper(_ text: String, _ operation: String) throws -> Bool {
    switch text {
    case "L", "l": false
    case "U", "u": true
    default: throw TensorError(.argument, operation, "UPLO must be \"L\" or \"U\", got \"\(text)\"")
    }
  }

  private static func symmetric(_ pseudo: Bool, _ x: Tensor) throws -> Tensor {
    // The pseudoinverse of a symmetric matrix is the same by either way.
    pseudo ? try (x.triangle(0, lower: true) + x.triangle(-1, lower: true).mT) : x
  }

  static let list: [TensorOperation] = [
    // MARK: Solving
    TensorOperation(
      "linalg.inv", "The inverse of a square matrix, or of each of a batch.", matrix, aliases: ["inverse"],
      samples: [[regular], [several], [empty]], rejects: square + wholes + [[.values([2, 2], [1, 2, 2, 4])]], batching: .trailing
    ) { .tensor(try $0.inverse()) },
    TensorOperation(
      "linalg.solve", "X of A · X = B, of matrices or vectors B; with left = false of X · A = B.", matrix, Take.tensor("B"),
      Take.flag("left", default: true, namedOnly: true), forms: .function,
      samples: [
        [regular, .float(3, 2)], [regular, .float(3)], [several, .float(2, 2)], [several, .float(2, 2, 3)],
        [regular, .float(2, 3), .flag(false)], [.values([2, 2], [2, 1, -1, 3]), .float(3, 2, 1)],
      ],
      rejects: [[regular, .float(2)], [.float(2, 3), .float(2)], [.values([2, 2], [1, 2, 2, 4]), .float(2)]], batching: .solution
    ) { a, b, left in .tensor(try a.solve(b, left: left)) },
    TensorOperation(
      "linalg.solve_triangular", "X of A · X = B, where A is triangular; its other half is not read.", matrix, Take.tensor("B"),
      Take.requiredFlag("upper"), Take.flag("left", default: true, namedOnly: true),
      Take.flag("unitriangular", default: false, namedOnly: true), forms: .function,
      samples: [
        [lower, .float(3, 2), .flag(false)], [regular, .float(3, 2), .flag(true)], [regular, .float(2, 3), .flag(true), .flag(false)],
        [regular, .float(3, 1), .flag(false), .flag(true), .flag(true)], [several, .float(2, 3), .flag(true)],
      ], rejects: [[lower, .float(3), .flag(true)], [.float(2, 3), .float(2, 1), .flag(true)]], batching: .trailing
    ) { a, b, upper, left, unit in .tensor(try a.solveTriangular(b, upper: upper, left: left, unitriangular: unit)) },
    TensorOperation(
      "cholesky_solve", "X of A · X = input, where L is the Cholesky factor of A.", Take.input, Take.tensor("L"),
      Take.flag("upper", default: false), samples: [[.float(3, 2), lower], [.float(3, 2), lower, .flag(true)]],
      rejects: [[.float(2, 2), lower]], composed: true, batching: .trailing
    ) { x, l, upper in .tensor(try x.choleskySolve(l, upper: upper)) },
    TensorOperation(
      "linalg.lstsq",
      "X with the least ‖A · X − B‖ and of those the least ‖X‖; with driver \"gels\", \"gelsd\" or \"gelss\" what is left over of each column; the rank; with the last two the singular values.",
      matrix, Take.tensor("B"), Take.optionalScalar("rcond"),
      Take.text("driver", default: "gelsy", namedOnly: true).oneOf("gelsy", "gels", "gelsd", "gelss"), forms: .function,
      samples: [[tall, .float(3, 2)], [wide, .float(2, 1)]], rejects: [[tall, .float(2, 1)]], composed: true, batching: .loop
    ) { a, b, rcond, driver in
      let drivers = ["gelsy", "gels", "gelsd", "gelss"]
      guard let number = drivers.firstIndex(of: driver) else {
        throw TensorError(.argument, "linalg.lstsq", "driver must be one of \(drivers.joined(separator: ", ")), got \"\(driver)\"")
      }
      let (x, rank) = try a.leastSquares(b, rcond: rcond?.real)
      let nothing = try Tensor.zeros([0], dtype: a.dtype)
      return .several([
        .tensor(x), .tensor(number > 0 ? try a.residuals(x, b, rank: rank) : nothing), .tensor(rank),
        .tensor(number > 1 ? try withNoGrad { try a.singularValueDecomposition(full: false).s } : nothing),
      ])
    },
    TensorOperation(
      "linalg.pinv", "The pseudoinverse: singular values of at most max(atol, rtol · the largest) count as zero.", matrix,
      tolerances.atol, tolerances.rtol, Take.flag("hermitian", default: false, namedOnly: true), forms: .function,
      samples: [[tall], [wide], [several]], rejects: wholes, batching: .trailing
    ) { a, atol, rtol, hermitian in .tensor(try symmetric(hermitian, a).pseudoinverse(atol: atol?.real, rtol: rtol?.real)) },
    TensorOperation(
      "pinverse", "The pseudoinverse: singular values of at most rcond · the largest count as zero.", Take.input,
      Take.number("rcond", default: 1e-15), samples: [[tall]], rejects: wholes, batching: .trailing
    ) { a, rcond in .tensor(try a.pseudoinverse(rtol: rcond)) },
    TensorOperation(
      "linalg.matrix_rank", "How many singular values are larger than max(atol, rtol · the largest).", matrix, tolerances.atol,
      tolerances.rtol, Take.flag("hermitian", default: false, namedOnly: true), forms: .function,
      samples: [[tall], [.values([2, 2], [1, 2, 2, 4])], [several]], rejects: wholes, differentiable: false, batching: .trailing
    ) { a, atol, rtol, hermitian in .tensor(try a.matrixRank(atol: atol?.real, rtol: rtol?.real, hermitian: hermitian)) },

    // MARK: Determinants
    TensorOperation(
      "linalg.det", "The determinant of a square matrix, or of each of a batch.", matrix, aliases: ["det"],
      samples: [[regular], [several], [empty]], rejects: square + wholes, batching: .trailing
    ) { .tensor(try $0.determinant()) },
    TensorOperation(
      "linalg.slogdet", "The sign of the determinant, and the logarithm of its absolute value.", matrix, aliases: ["slogdet"],
      samples: [[regular], [several]], rejects: square + wholes, batching: .trailing
    ) { a in
      let (sign, value) = try a.signedLogDeterminant()
      return .several([.tensor(sign), .tensor(value)])
    },
    TensorOperation(
      "logdet", "The logarithm of the determinant; NaN where that is negative.", Take.input, samples: [[definite], [definites]],
      rejects: square + wholes, composed: true, batching: .trailing
    ) { a in
      let (sign, value) = try a.signedLogDeterminant()
      return .tensor(try sign.detach().lt(0).choosing(Tensor.filled([], .real(.nan), dtype: a.dtype), else: value))
    },

    // MARK: Decompositions
    TensorOperation(
      "linalg.cholesky", "L of A = L · Lᵀ, A symmetric and positive-definite; with upper, U of A = Uᵀ · U.", matrix,
      Take.flag("upper", default: false, namedOnly: true), aliases: ["cholesky"],
      samples: [[definite], [definites], [definite, .flag(true)]], rejects: square + wholes + [[.values([2, 2], [1, 2, 2, 1])]],
      batching: .trailing
    ) { a, upper in .tensor(try a.cholesky(upper: upper)) },
    TensorOperation(
      "linalg.qr", "Q with orthonormal columns and the upper triangular R of A = Q · R; mode \"complete\" has a square Q, \"r\" none.",
      matrix, Take.text("mode", default: "reduced").oneOf("reduced", "complete", "r"), forms: .function,
      samples: [[regular], [tall], [wide], [several], [wide, .text("complete")]], rejects: wholes + [[.float(3)], [regular, .text("x")]],
      batching: .trailing
    ) { a, mode in
      guard ["reduced", "complete", "r"].contains(mode) else {
        throw TensorError(.argument, "linalg.qr", "mode must be \"reduced\", \"complete\" or \"r\", got \"\(mode)\"")
      }
      let (q, r) = try a.qr(complete: mode == "complete")
      return .several([.tensor(mode == "r" ? try Tensor.zeros([0], dtype: a.dtype) : q), .tensor(r)])
    },
    TensorOperation(
      "linalg.svd", "U, the singular values in falling order and Vᵀ, of A = U · diag(S) · Vᵀ.", matrix,
      Take.flag("full_matrices", default: true), Take.optionalText("driver", namedOnly: true), forms: .function,
      samples: [[regular, .flag(false)], [tall, .flag(false)]], rejects: wholes + [[.float(3)]], batching: .trailing
    ) { a, full, _ in
      let (u, s, vh) = try a.singularValueDecomposition(full: full)
      return .several([.tensor(u), .tensor(s), .tensor(vh)])
    },
    TensorOperation(
      "svd", "U, the singular values in falling order and V, of input = U · diag(S) · Vᵀ; with some = false all columns.", Take.input,
      Take.flag("some", default: true), Take.flag("compute_uv", default: true), samples: [[regular], [tall]], rejects: wholes,
      composed: true, batching: .trailing
    ) { a, some, vectors in
      let (u, s, vh) = try a.singularValueDecomposition(full: !some)
      if vectors { return .several([.tensor(u), .tensor(s), .tensor(try vh.mT)]) }
      return .several([.tensor(try Tensor.zeros(like: u)), .tensor(s), .tensor(try Tensor.zeros(like: vh.mT))])
    },
    TensorOperation(
      "linalg.svdvals", "The singular values in falling order.", matrix, Take.optionalText("driver", namedOnly: true), forms: .function,
      samples: [[regular], [tall], [wide], [several]], rejects: wholes, batching: .trailing
    ) { a, _ in .tensor(try a.singularValueDecomposition(full: false).s) },
    TensorOperation(
      "linalg.eigh", "The eigenvalues in rising order and the eigenvectors, as columns, of a symmetric matrix; one triangle is read.",
      matrix, Take.text("UPLO", default: "L").oneOf("L", "U"), forms: .function,
      samples: [[definite], [definites], [definite, .text("U")]], rejects: square + wholes + [[definite, .text("x")]], batching: .trailing
    ) { a, half in
      let (values, vectors) = try a.symmetricEigen(upper: isUpper(half, "linalg.eigh"))
      return .several([.tensor(values), .tensor(vectors)])
    },
    TensorOperation(
      "linalg.eigvalsh", "The eigenvalues of a symmetric matrix in rising order.", matrix, Take.text("UPLO", default: "L").oneOf("L", "U"),
      forms: .function, samples: [[definite], [definites]], rejects: square + wholes, batching: .trailing
    ) { a, half in .tensor(try a.symmetricEigen(upper: isUpper(half, "linalg.eigvalsh")).values) },
    TensorOperation(
      "linalg.lu", "The permutation P, L with ones on its diagonal and U of A = P · L · U.", matrix, forms: .function,
      samples: [[regular], [tall], [wide], [several]], rejects: wholes + [[.float(3)]], batching: .trailing
    ) { a in
      let (p, l, u) = try a.lu()
      return .several([.tensor(p), .tensor(l), .tensor(u)])
    },
    TensorOperation(
      "linalg.matrix_exp", "e to the power of a square matrix, or of each of a batch.", matrix, aliases: ["matrix_exp"],
      samples: [[regular], [several], [.float([2, 2], -0.1...0.1)]], rejects: square + wholes, batching: .trailing
    ) { .tensor(try $0.matrixExponential()) },

    // MARK: Norms
    TensorOperation(
      "linalg.vector_norm", "The norm of all elements as a vector, or over dimensions.", Take.tensor("x"), Take.number("ord", default: 2),
      Take.dims, Take.keepdim, Take.dtype, forms: .function,
      samples: [[.float(2, 3)], [.float(2, 3), .number(3)], [.float(2, 3), .number(1), .integer(1), .flag(true)]], rejects: wholes,
      composed: true
    ) { x, p, dims, keepdim, dtype in .tensor(try x.asked(dtype).vectorNorm(p, dims, keepdim: keepdim)) },
    TensorOperation(
      "linalg.matrix_norm", "The norm of matrices: ±1, ±2, ±infinity, \"fro\" or \"nuc\".", matrix,
      NormOrder.parameter("ord", default: "fro"),
      Take.optionalDimensions("dim"), Take.keepdim, Take.dtype, forms: .function,
      samples: [
        [tall], [tall, .number(1)], [tall, .number(-1)], [wide, .number(.infinity)], [wide, .number(2)], [regular, .number(-2)],
        [regular, .text("nuc")], [several, .text("fro")], [several, .number(2), .list([0, 2]), .flag(true)],
      ], rejects: [[.float(3)], [tall, .number(3)]] + wholes, composed: true, batching: .trailing(unless: 2)
    ) { a, order, dims, keepdim, dtype in
      .tensor(try a.asked(dtype).matrixNorm(order ?? .frobenius, dims ?? [-2, -1], keepdim: keepdim))
    },
    TensorOperation(
      "linalg.norm", "The norm of a vector, or of matrices where ord is a word or two dimensions are named.", matrix,
      NormOrder.parameter("ord"), Take.dims, Take.keepdim, Take.dtype, forms: .function,
      samples: [[tall], [tall, .text("nuc")], [tall, .number(1)], [.float(3), .number(3)], [several, .number(1), .integer(0)]],
      rejects: [[.float(3), .text("fro")]] + wholes, composed: true
    ) { a, order, dims, keepdim, dtype in .tensor(try a.asked(dtype).linalgNorm(order, dims, keepdim: keepdim)) },
    TensorOperation(
      "linalg.cond", "‖A‖ · ‖A⁻¹‖: how much a relative error grows in solving.", matrix, NormOrder.parameter("p"), forms: .function,
      samples: [[regular], [tall], [regular, .number(-2)]],
      rejects: [[tall, .number(1)]] + wholes, composed: true, batching: .trailing
    ) { a, order in .tensor(try a.conditionNumber(order)) },
  ]
}

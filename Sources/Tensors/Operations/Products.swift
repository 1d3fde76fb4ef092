// Matrix products, and `linear`, the product that models are made of.

import CKernels

/// The last two dimensions of a tensor as a product sees them.
private struct Factor {
  /// The first matrix.
  let matrix: Kernels.Matrix
  /// Keeps packed copies alive.
  private let owner: Tensor
  private let batchStride: Int

  /// The last two dimensions of `x`, packed first when neither is contiguous. `flipped` asks for the transpose.
  init(_ x: Tensor, flipped: Bool = false) throws {
    let r = x.rank
    let rows = x.shape[r - 2], columns = x.shape[r - 1]
    let rowStride = x.layout.strides[r - 2], columnStride = x.layout.strides[r - 1]
    let leading: Int
    let transposed: Bool
    if columnStride == 1 || columns == 1, rowStride >= Swift.max(columns, 1) || rows == 1 {
      (owner, leading, transposed) = (x, rows == 1 ? Swift.max(columns, 1) : rowStride, flipped)
    } else if rowStride == 1 || rows == 1, columnStride >= Swift.max(rows, 1) || columns == 1 {
      (owner, leading, transposed) = (x, columns == 1 ? Swift.max(rows, 1) : columnStride, !flipped)
    } else {
      (owner, leading, transposed) = (try x.packed(), Swift.max(columns, 1), flipped)
    }
    matrix = Kernels.Matrix(pointer: owner.data, leading: leading, transposed: transposed)
    batchStride = r > 2 ? owner.layout.strides[r - 3] : 0
  }

  /// As many matrices as there are.
  var batch: Kernels.Batch { Kernels.Batch(first: matrix, stride: batchStride, size: owner.dtype.size) }
}

extension Tensor {
  /// A contiguous tensor as a matrix with rows of `columns`.
  @inline(__always)
  fileprivate func matrix(_ columns: Int, transposed: Bool = false) -> Kernels.Matrix {
    Kernels.Matrix(pointer: data, leading: Swift.max(columns, 1), transposed: transposed)
  }
}

extension Tensor {
  private func checkProduct(_ other: Tensor, _ operation: String) throws {
    guard dtype == other.dtype else {
      throw TensorError(.dtype, operation, "the dtypes \(dtype) and \(other.dtype) differ; convert one of them")
    }
    guard dtype != .bool else { throw TensorError(.dtype, operation, "not defined for tensors of bool") }
  }

  private func checkMatrices(_ other: Tensor, _ operation: String) throws {
    try checkProduct(other, operation)
    guard rank == 2, other.rank == 2 else {
      throw TensorError(.shape, operation, "two matrices are needed, got shapes \(shape) and \(other.shape)")
    }
    guard shape[1] == other.shape[0] else {
      throw TensorError(
        .shape, operation, "inner sizes \(shape[1]) and \(other.shape[0]) differ for \(shape) × \(other.shape)")
    }
  }

  /// The matrix product of `(n, k)` and `(k, m)`.
  public func mm(_ other: Tensor) throws -> Tensor {
    try checkMatrices(other, "mm")
    let (m, n, k) = (shape[0], other.shape[1], shape[1])
    let y = try Tensor(uninitialized: Shape(rows: m, columns: n), dtype)
    let (a, b) = (try Factor(self), try Factor(other))
    try Kernels.product(dtype, m, n, k, a.matrix, b.matrix, into: y.data)
    return try y.recorded(Product(.mm, m, n, k), self, other)
  }

  /// The matrix product of each pair in two batches, `(b, n, k)` and `(b, k, m)`.
  public func bmm(_ other: Tensor) throws -> Tensor {
    try checkProduct(other, "bmm")
    guard rank == 3, other.rank == 3, shape[0] == other.shape[0] else {
      throw TensorError(
        .shape, "bmm", "two batches of as many matrices are needed, got shapes \(shape) and \(other.shape)")
    }
    guard shape[2] == other.shape[1] else {
      throw TensorError(.shape, "bmm", "inner sizes \(shape[2]) and \(other.shape[1]) differ for \(shape) × \(other.shape)")
    }
    let (batches, m, n, k) = (shape[0], shape[1], other.shape[2], shape[2])
    let y = try Tensor(uninitialized: [batches, m, n], dtype)
    let (a, b) = (try Factor(self), try Factor(other))
    try Kernels.products(dtype, batches, m, n, k, a.batch, b.batch, into: y.data)
    return try y.recorded(Product(.bmm, batches * m, n, k), self, other)
  }

  /// The product of a matrix `(n, k)` and a vector `(k)`.
  public func mv(_ vector: Tensor) throws -> Tensor {
    try checkProduct(vector, "mv")
    guard rank == 2, vector.rank == 1, shape[1] == vector.shape[0] else {
      throw TensorError(.shape, "mv", "a matrix (n, k) and a vector (k) are needed, got shapes \(shape) and \(vector.shape)")
    }
    let y = try Tensor(uninitialized: Shape(size: shape[0]), dtype)
    let packed = try vector.packed()
    let column = Tensor(
      storage: packed.storage, layout: Layout([shape[1], 1]).moved(by: packed.layout.offset), dtype: dtype)
    let (a, b) = (try Factor(self), try Factor(column))
    try Kernels.product(dtype, shape[0], 1, shape[1], a.matrix, b.matrix, into: y.data)
    return try y.recorded(Product(.mv, shape[0], 1, shape[1]), self, vector)
  }

  /// The inner product of two vectors.
  public func dot(_ other: Tensor) throws -> Tensor {
    try checkProduct(other, "dot")
    guard rank == 1, other.rank == 1, shape == other.shape else {
      throw TensorError(.shape, "dot", "two vectors of one length are needed, got shapes \(shape) and \(other.shape)")
    }
    let y = try withNoGrad { try (self * other).sum().to(dtype) }
    return try y.recorded(Product(.dot, 1, 1, count), self, other)
  }

  /// The outer product of two vectors, `(n)` and `(m)` to `(n, m)`.
  public func outer(_ other: Tensor) throws -> Tensor {
    guard rank == 1, other.rank == 1 else {
      throw TensorError(.shape, "outer", "two vectors are needed, got shapes \(shape) and \(other.shape)")
    }
    return try reshape(Shape(rows: shape[0], columns: 1)) * other
  }

  /// The product of the last two dimensions; the others broadcast; vectors count as a row on the left and a column on
  /// the right, and disappear again.
  public func matmul(_ other: Tensor) throws -> Tensor {
    guard rank > 0, other.rank > 0 else {
      throw TensorError(.shape, "matmul", "both tensors need at least 1 dimension, got shapes \(shape) and \(other.shape)")
    }
    let inner = other.rank == 1 ? other.shape[0] : other.shape[other.rank - 2]
    guard shape[rank - 1] == inner else {
      throw TensorError(.shape, "matmul", "inner sizes \(shape[rank - 1]) and \(inner) differ for \(shape) × \(other.shape)")
    }
    switch (rank, other.rank) {
    case (1, 1): return try dot(other)
    case (2, 1): return try mv(other)
    case (2, 2): return try mm(other)
    case (1, 2):
      let product = try unsqueeze(0).mm(other)
      return try product.shaped([other.shape[1]], name: "SqueezeBackward4")
    default: break
    }
    if other.rank <= 2, rank > 2 {
      // One matrix for all batches: a single tall product.
      let tall = try reshape([-1, inner])
      let product = try other.rank == 1 ? tall.mv(other) : tall.mm(other)
      return try product.shaped(Shape(shape.array.dropLast() + (other.rank == 1 ? [] : [other.shape[1]]), operation: "matmul"))
    }
    let a = rank == 1 ? try unsqueeze(0) : self
    let b = other.rank == 1 ? try other.unsqueeze(1) : other
    let (m, k, n) = (a.shape[a.rank - 2], inner, b.shape[b.rank - 1])
    let batches = try Shape.broadcast(
      Shape(Array(a.shape.array.dropLast(2))), Shape(Array(b.shape.array.dropLast(2))), "matmul")
    let left = try a.expand(Shape(batches.array + [m, k])).reshape([batches.count, m, k] as Shape)
    let right = try b.expand(Shape(batches.array + [k, n])).reshape([batches.count, k, n] as Shape)
    let product = try left.bmm(right)
    return try product.shaped(
      Shape(batches.array + (rank == 1 ? [] : [m]) + (other.rank == 1 ? [] : [n]), operation: "matmul"))
  }

  /// beta · input + alpha · a · b, of matrices; input broadcasts.
  public func addmm(_ a: Tensor, _ b: Tensor, beta: Double = 1, alpha: Double = 1) throws -> Tensor {
    try a.checkMatrices(b, "addmm")
    guard try Shape.broadcast(shape, [a.shape[0], b.shape[1]], "addmm") == [a.shape[0], b.shape[1]] else {
      throw TensorError(.shape, "addmm", "the input of shape \(shape) does not fit a product of shape [\(a.shape[0]), \(b.shape[1])]")
    }
    let y = try withNoGrad { try scaled(beta) + a.mm(b).scaled(alpha) }
    let sizes = (a.shape[0], b.shape[1], a.shape[1])
    return try y.recorded(AddMatrixProduct(beta: beta, alpha: alpha, sizes: sizes), [self, a, b])
  }

  /// x · weightᵀ + bias: `x` is `(…, in)`, `weight` `(out, in)`, `bias` `(out)` or absent; the result `(…, out)`.
  /// A vector `(in)` as the weight gives one number for each row, `(…)`, to which a bias of rank 0 is added.
  public func linear(_ weight: Tensor, _ bias: Tensor? = nil) throws -> Tensor {
    let x = self
    if weight.rank == 1, bias?.rank ?? 0 == 0 {
      let y = try x.matmul(weight)
      return try bias.map { try y + $0 } ?? y
    }
    guard weight.rank == 2, x.rank > 0, x.shape[x.rank - 1] == weight.shape[1] else {
      throw TensorError(
        .shape, "linear",
        weight.rank == 2
          ? "input of shape \(x.shape) does not fit: its last size must be in_features = \(weight.shape[1]), for a weight of shape \(weight.shape)"
          : "the weight must be a matrix (out_features, in_features), got shape \(weight.shape)")
    }
    try x.checkProduct(weight, "linear")
    if let bias {
      guard bias.rank == 1, bias.shape[0] == weight.shape[0] else {
        throw TensorError(.shape, "linear", "the bias must have shape [\(weight.shape[0])], got \(bias.shape)")
      }
      guard bias.dtype == weight.dtype else {
        throw TensorError(.dtype, "linear", "the dtypes \(weight.dtype) of the weight and \(bias.dtype) of the bias differ")
      }
    }
    // Tangents pass a product and a sum, as these have rules of their own.
    if TangentLevels.areInForce {
      let y = try x.matmul(weight.t())
      return try bias.map { try y + $0 } ?? y
    }
    let (n, k) = (weight.shape[0], weight.shape[1])
    let shape = x.shape.replacing(x.rank - 1, with: n)
    let rows = k == 0 ? shape.replacing(shape.rank - 1, with: 1).count : x.count / k
    let y = try Tensor(uninitialized: shape, x.dtype)
    let packed = try x.packed()
    let packedBias = try bias?.packed()
    if weight.isContiguous {
      try Kernels.product(
        x.dtype, rows, n, k, packed.matrix(k), weight.matrix(k, transposed: true), bias: packedBias?.data, into: y.data)
    } else {
      let w = try Factor(weight, flipped: true)
      try Kernels.product(x.dtype, rows, n, k, packed.matrix(k), w.matrix, bias: packedBias?.data, into: y.data)
    }
    // The whole numbers' product adds no bias of its own.
    if let packedBias, !x.dtype.isFloating { try Binary.add.inPlace(y, packedBias) }
    return try y.recordedLinear(x, weight, bias)
  }

  @inline(__always)
  private func recordedLinear(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) throws -> Tensor {
    guard GradMode.isEnabled, dtype.isFloating else {
      return unrecorded(x.requiresGrad || weight.requiresGrad || bias?.requiresGrad ?? false, x, weight, bias)
    }
    let wantsX = try x.feeds()
    let wantsWeight = try weight.feeds()
    let wantsBias = try bias?.feeds() ?? false
    guard wantsX || wantsWeight || wantsBias else { return unrecorded(false, x, weight, bias) }
    let node = OperationNode(
      Linear(hasBias: bias != nil, from: x.shape, outFeatures: weight.shape[0]),
      edges: bias.map { Edges(x.edge, weight.edge, $0.edge) } ?? Edges(x.edge, weight.edge))
    if wantsWeight { try node.keep(x, .input(0)) }
    if wantsX { try node.keep(weight, .input(1)) }
    if GradMode.keepsConstants { try node.keepConstants([x, weight] + (bias.map { [$0] } ?? [])) }
    self.node = node
    return self
  }
}

// MARK: On the tape

/// Products of two matrices or vectors, as rows of a table.
final class MatrixProduct: Row {
  let nodeName: String
  let rule0, rule1: Rule?
  let uses0, uses1: Uses
  private let product: @Sendable (Tensor, Tensor) throws -> Tensor
  private let second: String

  init(
    _ nodeName: String, _ product: @escaping @Sendable (Tensor, Tensor) throws -> Tensor, second: String, a: Rule, b: Rule
  ) {
    self.nodeName = nodeName
    self.product = product
    self.second = second
    (rule0, rule1) = (a, b)
    (uses0, uses1) = (a.uses, b.uses)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try product(inputs[0], inputs[1])] }

  var slotNames: KeyValuePairs<String, KeptSlot> { ["self": .input(0), second: .input(1)] }
  var tangentRule: TangentRule { .multilinear }

  /// Whether an input's gradient is a product with sums; an outer one has none, nor has a vector times a number.
  func isProduct(_ number: Int) -> Bool { self === Self.mm || self === Self.bmm || self === Self.mv && number == 1 }

  static let mm = MatrixProduct(
    "MmBackward0", { try $0.mm($1) }, second: "mat2",
    a: .uses(.b) { c in try c.g.mm(c.b.transpose(0, 1)) }, b: .uses(.a) { c in try c.a.transpose(0, 1).mm(c.g) })
  static let bmm = MatrixProduct(
    "BmmBackward0", { try $0.bmm($1) }, second: "mat2",
    a: .uses(.b) { c in try c.g.bmm(c.b.transpose(1, 2)) }, b: .uses(.a) { c in try c.a.transpose(1, 2).bmm(c.g) })
  static let mv = MatrixProduct(
    "MvBackward0", { try $0.mv($1) }, second: "vec",
    a: .uses(.b) { c in try c.g.outer(c.b) }, b: .uses(.a) { c in try c.a.transpose(0, 1).mv(c.g) })
  static let dot = MatrixProduct(
    "DotBackward0", { try $0.dot($1) }, second: "tensor",
    a: .uses(.b) { c in try c.g * c.b }, b: .uses(.a) { c in try c.g * c.a })
}

/// A product of two matrices or vectors: which, and how much it multiplies.
private struct Product: Operation {
  private let constant: Unmanaged<MatrixProduct>
  private let work: Int

  /// The sizes of an m × k by k × n product, those of a batch below one another.
  @inline(__always)
  init(_ kind: MatrixProduct, _ m: Int, _ n: Int, _ k: Int) {
    constant = .passUnretained(kind)
    work = m &* n &* k
  }

  private var kind: MatrixProduct { constant.takeUnretainedValue() }
  var nodeName: String { kind.nodeName }
  var slotNames: KeyValuePairs<String, KeptSlot> { kind.slotNames }
  var tangentRule: TangentRule { .multilinear }
  func uses(_ number: Int) -> Uses { constant._withUnsafeGuaranteedRef { number == 0 ? $0.uses0 : $0.uses1 } }
  func gradient(_ pass: inout Backward) throws { try constant._withUnsafeGuaranteedRef { try $0.gradient(&pass) } }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { try kind.apply(inputs) }
  func attribute(_ name: String) -> Any? { nil }
  func gradientWork(_ node: Node, _ wants: (Int) -> Bool) -> Int {
    (0..<2).reduce(0) { $0 + (wants($1) && kind.isProduct($1) ? work : 0) }
  }
}

struct AddMatrixProduct: Operation {
  let beta, alpha: Double
  /// Rows, columns, and the size between.
  let sizes: (Int, Int, Int)

  var nodeName: String { "AddmmBackward0" }
  static var broadcasts: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["mat1": .input(1), "mat2": .input(2)] }
  func uses(_ number: Int) -> Uses { [.nothing, .c, .b][number] }

  func gradient(_ c: inout Backward) throws {
    if c.needs(0) { c[0] = try c.g.scaled(beta) }
    if c.needs(1) { c[1] = try c.g.mm(c.c.transpose(0, 1)).scaled(alpha) }
    if c.needs(2) { c[2] = try c.b.transpose(0, 1).mm(c.g).scaled(alpha) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].addmm(inputs[1], inputs[2], beta: beta, alpha: alpha)] }

  func gradientWork(_ node: Node, _ wants: (Int) -> Bool) -> Int {
    (1...2).reduce(0) { $0 + (wants($1) ? sizes.0 * sizes.1 * sizes.2 : 0) }
  }
}

extension Tensor {
  /// The elements under another shape, outside the graph: a view where the layout allows it.
  fileprivate func rawView(_ target: Shape) throws -> Tensor {
    guard let layout = layout.viewed(as: target) else {
      return Tensor(storage: try copied().storage, layout: Layout(target), dtype: dtype)
    }
    return Tensor(storage: storage, layout: layout, dtype: dtype)
  }
}

/// dx = g · W, dW = gᵀ · x, db = Σ g: kernels in the usual case, operations when they are differentiated in turn.
struct Linear: Operation {
  let hasBias: Bool
  /// The input's shape.
  let from: Shape
  let outFeatures: Int

  private var productName: String { hasBias ? "AddmmBackward0" : "MmBackward0" }
  var nodeName: String {
    from.rank == 2 ? productName : from.rank == 1 && !hasBias ? "SqueezeBackward4" : "UnsafeViewBackward0"
  }

  /// The product of the input's rows with the transposed weight, and views around it where the input is no matrix.
  func expanded(_ node: Node) throws -> Node? {
    let inFeatures = from[from.rank - 1]
    let rows = Shape(rows: from.count(0..<from.rank - 1), columns: inFeatures)
    var x = node.edges[0]
    if from.rank != 2, !x.isNone {
      let name = from.rank == 1 && !hasBias ? "UnsqueezeBackward0" : "ViewBackward0"
      x = .node(OperationNode(Reshaping(nodeName: name, from: from, size: rows), replacing: node, edges: Edges(x)), 0)
    }
    var weight = node.edges[1]
    if !weight.isNone {
      let transposition = Transposition(nodeName: "TBackward0", dim0: 0, dim1: 1)
      weight = .node(OperationNode(transposition, replacing: node, edges: Edges(weight)), 0)
    }
    let product: Node
    if hasBias {
      product = OperationNode(
        AddMatrixProduct(beta: 1, alpha: 1, sizes: (rows[0], outFeatures, inFeatures)), replacing: node,
        edges: Edges(node.edges[2], x, weight))
      product.forms = InputForms(
        shapes: [Shape(size: outFeatures), rows, Shape(rows: inFeatures, columns: outFeatures)])
    } else {
      product = OperationNode(Product(.mm, rows[0], outFeatures, inFeatures), replacing: node, edges: Edges(x, weight))
    }
    let first = hasBias ? 1 : 0
    try node.share(.input(0), with: product, in: .input(first)) { try $0.rawView(rows) }
    try node.share(.input(1), with: product, in: .input(first + 1)) {
      Tensor(storage: $0.storage, layout: $0.layout.permuted([1, 0]), dtype: $0.dtype)
    }
    guard from.rank != 2 else { return product }
    let reshaping = Reshaping(
      nodeName: nodeName, from: rows.replacing(1, with: outFeatures), size: from.replacing(from.rank - 1, with: outFeatures),
      isView: false)
    return OperationNode(reshaping, replacing: node, edges: Edges(.node(product, 0)))
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].linear(inputs[1], hasBias ? inputs[2] : nil)] }

  func uses(_ number: Int) -> Uses { number == 0 ? .b : number == 1 ? .a : .nothing }

  func gradientWork(_ node: Node, _ wants: (Int) -> Bool) -> Int {
    (0..<2).reduce(0) { $0 + (wants($1) ? from.count * outFeatures : 0) }
  }

  func gradient(_ pass: inout Backward) throws {
    let g = pass.g
    let n = g.shape[g.rank - 1]
    if pass.createsGraph {
      if pass.needs(0) { pass[0] = try g.linear(pass.b.transpose(0, 1)) }
      if pass.needs(1) {
        let x = try pass.a
        pass[1] = try g.reshape([-1, n]).transpose(0, 1).mm(x.reshape([-1, x.shape[x.rank - 1]]))
      }
      if hasBias, pass.needs(2) { pass[2] = try g.rank == 1 ? g : g.reshape([-1, n]).sum([0]) }
      return
    }
    let packed = try g.packed()
    let rows = n == 0 ? 0 : g.count / n
    let dtype = g.dtype
    if pass.needs(0) {
      let weight = try pass.b
      let k = weight.shape[1]
      let dx = try Tensor(uninitialized: g.shape.replacing(g.rank - 1, with: k), dtype)
      let w = try Factor(weight)
      try Kernels.product(dtype, rows, k, n, packed.matrix(n), w.matrix, into: dx.data)
      pass[0] = dx
    }
    if pass.needs(1) {
      let x = try pass.a.packed()
      let k = x.shape[x.rank - 1]
      let dw = try Tensor(uninitialized: Shape(rows: n, columns: k), dtype)
      try Kernels.product(dtype, n, k, rows, packed.matrix(n, transposed: true), x.matrix(k), into: dw.data)
      pass[1] = dw
    }
    if hasBias, pass.needs(2) {
      let db = try Tensor(uninitialized: Shape(size: n), dtype)
      try Kernels.reduce(MG_SUM, dtype, Extent(1, rows, n), packed.data, into: db.data)
      pass[2] = db
    }
  }
}

enum Products {
  private static let matrices: [Sample] = [
    [.float(2, 3), .float(3, 4)], [.float(1, 3), .float(3, 1)], [.float(0, 3), .float(3, 2)], [.float(2, 0), .float(0, 3)],
  ]

  static let list: [TensorOperation] = [
    TensorOperation(
      "mm", "The product of two matrices.", Take.input, Take.tensor("mat2"),
      samples: matrices, rejects: [[.float(2, 3), .float(4, 5)], [.float(2, 3), .float(3)]], batching: .product(2, 2)
    ) { x, mat2 in try .tensor(x.mm(mat2)) },
    TensorOperation(
      "bmm", "The products of two batches of matrices.", Take.input, Take.tensor("mat2"),
      samples: [[.float(2, 3, 4), .float(2, 4, 2)]], rejects: [[.float(2, 3, 4), .float(3, 4, 2)]], batching: .product(3, 3)
    ) { x, mat2 in try .tensor(x.bmm(mat2)) },
    TensorOperation(
      "mv", "The product of a matrix and a vector.", Take.input, Take.tensor("vec"),
      samples: [[.float(2, 3), .float(3)]], rejects: [[.float(2, 3), .float(2)]], batching: .product(2, 1)
    ) { x, vec in try .tensor(x.mv(vec)) },
    TensorOperation(
      "dot", "The inner product of two vectors.", Take.input, Take.tensor("tensor"),
      samples: [[.float(4), .float(4)]], rejects: [[.float(4), .float(3)]], batching: .product(1, 1)
    ) { x, tensor in try .tensor(x.dot(tensor)) },
    TensorOperation(
      "outer", "The outer product of two vectors.", Take.input, Take.tensor("vec2"),
      aliases: ["ger"], samples: [[.float(2), .float(3)]], rejects: [[.float(2, 2), .float(3)]], batching: .outer
    ) { x, vec2 in try .tensor(x.outer(vec2)) },
    TensorOperation(
      "matmul", "The product of the last two dimensions; the others broadcast, vectors count as row or column.", Take.input,
      Take.tensor("other"),
      samples: matrices + [
        [.float(3), .float(3)], [.float(2, 3), .float(3)], [.float(3), .float(3, 2)], [.float(2, 2, 3), .float(3, 4)],
        [.float(2, 2, 3), .float(2, 3, 4)], [.float(2, 1, 2, 3), .float(3, 3, 2)], [.float(3), .float(2, 3, 2)],
        [.float(2, 2, 3), .float(3)],
      ], rejects: [[.float(2, 3), .float(4, 5)], [.float(), .float(2)]], batching: .product()
    ) { x, other in try .tensor(x.matmul(other)) },
    TensorOperation(
      "addmm", "beta · input + alpha · mat1 · mat2.", Take.input, Take.tensor("mat1"), Take.tensor("mat2"), Take.number("beta", default: 1),
      Take.number("alpha", default: 1), forms: .all,
      samples: [[.float(2, 4), .float(2, 3), .float(3, 4)], [.float(4), .float(2, 3), .float(3, 4), .number(0.5), .number(2)]],
      rejects: [[.float(2, 4), .float(2, 3), .float(2, 4)]], batching: .sumWithProduct(2, 2)
    ) { x, mat1, mat2, beta, alpha in
      try .tensor(
        x.addmm(mat1, mat2, beta: beta, alpha: alpha))
    },
    TensorOperation(
      "linear", "input · weightᵀ + bias; input (…, in), weight (out, in), bias (out).", Take.input, Take.tensor("weight"),
      Take.optionalTensor("bias"),
      forms: .functional,
      samples: [
        [.float(5, 3), .float(2, 3), .float(2)], [.float(5, 3), .float(2, 3)], [.float(3), .float(2, 3), .float(2)],
        [.float(2, 4, 3), .float(2, 3), .float(2)], [.float(0, 3), .float(2, 3), .float(2)],
      ], rejects: [[.float(5, 2), .float(2, 3)], [.float(5, 3), .float(2, 3), .float(3)]], batching: .linear
    ) { x, weight, bias in try .tensor(x.linear(weight, bias)) },
  ]
}

// Activations with options, softmax among them. Those without are rows of the table in Unary.swift.

import CKernels

extension Tensor {
  /// x where positive, else slope · x.
  public func leakyRelu(_ slope: Double = 0.01) throws -> Tensor { try activated(LeakyRelu(negativeSlope: slope)) }

  /// x where positive, else alpha · (e^x − 1).
  public func elu(_ alpha: Double = 1) throws -> Tensor { try activated(Elu(alpha: alpha)) }

  /// ln(1 + e^(beta·x)) / beta, and x itself where beta · x exceeds the threshold.
  public func softplus(_ beta: Double = 1, _ threshold: Double = 20) throws -> Tensor {
    try activated(Softplus(beta: beta, threshold: threshold))
  }

  /// Elements limited to low…high.
  public func hardtanh(_ low: Double = -1, _ high: Double = 1) throws -> Tensor { try activated(Hardtanh(minVal: low, maxVal: high)) }

  /// The result of a kernel with up to two numbers.
  fileprivate func activated<A: Activation>(_ activation: A) throws -> Tensor {
    try requireFloating(A.name)
    let y = try Tensor(uninitialized: shape, dtype)
    let (p, q) = activation.numbers
    try Kernels.unary(A.kernel, p, q, dtype, over: mg_loop(shape, y.layout, layout), data, into: y.data)
    return try y.recorded(activation, self)
  }

  /// x · Φ(x), by the error function or by its tanh approximation.
  public func gelu(approximate: String = "none") throws -> Tensor {
    try requireFloating("gelu")
    guard approximate == "none" || approximate == "tanh" else {
      throw TensorError(.argument, "gelu", "approximate must be \"none\" or \"tanh\", got \"\(approximate)\"")
    }
    return try Elementwise.unary(approximate == "none" ? MG_GELU : MG_GELU_TANH, self).recorded(Gelu(approximate: approximate), self)
  }

  /// Runs a kernel over rows along `axis`, which is brought to the end and back.
  private func alongRows(_ axis: Int, _ body: (Tensor, Tensor, Int, Int) throws -> Void) throws -> Tensor {
    guard rank > 0 else {
      let y = try Tensor(uninitialized: shape, dtype)
      try body(self, y, 1, 1)
      return y
    }
    var order = Array(0..<rank)
    order.append(order.remove(at: axis))
    var inverse = order
    for (position, dimension) in order.enumerated() { inverse[dimension] = position }
    let source = try Tensor(storage: storage, layout: layout.permuted(order), dtype: dtype).packed()
    let y = try Tensor(uninitialized: source.shape, dtype)
    let n = shape[axis]
    try body(source, y, n == 0 ? 0 : count / n, n)
    return try axis == rank - 1 ? y : Tensor(storage: y.storage, layout: y.layout.permuted(inverse), dtype: dtype).packed()
  }

  private func normalized(_ axis: Int, log: Bool) throws -> Tensor {
    try alongRows(axis) { try Kernels.softmax(log: log, dtype, rows: $2, $3, $0.data, into: $1.data) }
  }

  /// e^x / Σ e^x along a dimension.
  public func softmax(_ dimension: Int) throws -> Tensor {
    let axis = try shape.axis(dimension, "softmax")
    let x = dtype.isFloating ? self : try to(DType.defaultFloating)
    return try x.normalized(axis, log: false).recorded(Softmax(dim: axis), x)
  }

  /// x − ln Σ e^x along a dimension.
  public func logSoftmax(_ dimension: Int) throws -> Tensor {
    let axis = try shape.axis(dimension, "log_softmax")
    let x = dtype.isFloating ? self : try to(DType.defaultFloating)
    return try x.normalized(axis, log: true).recorded(Softmax(dim: axis, log: true), x)
  }

  /// This gradient through softmax or its logarithm along the last dimension, by a kernel.
  fileprivate func throughSoftmax(log: Bool, _ y: Tensor) throws -> Tensor {
    let (g, y) = (try packed(), try y.packed())
    let n = shape[rank - 1]
    let dx = try Tensor(uninitialized: shape, dtype)
    try Kernels.softmaxGradient(log: log, dtype, rows: n == 0 ? 0 : count / n, n, g.data, y.data, into: dx.data)
    return dx
  }
}

// MARK: On the tape

/// An elementwise function with up to two numbers, by a kernel of its own.
private protocol Activation: Operation {
  static var name: String { get }
  static var kernel: mg_unary2_op { get }
  var numbers: (Double, Double) { get }
  func slope(_ x: Tensor) throws -> Tensor
}

extension Activation {
  fileprivate var tangentRule: TangentRule { .elementwise }
  fileprivate func uses(_ number: Int) -> Uses { .a }
  fileprivate func gradient(_ c: inout Backward) throws { c[0] = try c.g * slope(c.a) }
  fileprivate func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].activated(self)] }
}

private struct LeakyRelu: Activation {
  let negativeSlope: Double

  static var name: String { "leaky_relu" }
  static var kernel: mg_unary2_op { MG_LEAKY_RELU }
  var numbers: (Double, Double) { (negativeSlope, 0) }
  var nodeName: String { "LeakyReluBackward0" }
  func slope(_ x: Tensor) throws -> Tensor { try x.gt(0).to(x.dtype) * (1 - negativeSlope) + negativeSlope }
}

private struct Elu: Activation {
  let alpha: Double

  static var name: String { "elu" }
  static var kernel: mg_unary2_op { MG_ELU }
  var numbers: (Double, Double) { (alpha, 0) }
  var nodeName: String { "EluBackward0" }
  func slope(_ x: Tensor) throws -> Tensor {
    try (x.minimum(Tensor.zeros([], dtype: x.dtype)).exp() * alpha).maskedFill(x.le(0).logicalNot(), .real(1))
  }
}

private struct Softplus: Activation {
  let beta, threshold: Double

  static var name: String { "softplus" }
  static var kernel: mg_unary2_op { MG_SOFTPLUS2 }
  var numbers: (Double, Double) { (beta, threshold) }
  var nodeName: String { "SoftplusBackward0" }
  func slope(_ x: Tensor) throws -> Tensor {
    let scaled = try x * beta
    return try scaled.sigmoid().maskedFill(scaled.gt(threshold), .real(1))
  }
}

private struct Hardtanh: Activation {
  let minVal, maxVal: Double

  static var name: String { "hardtanh" }
  static var kernel: mg_unary2_op { MG_CLAMP }
  var numbers: (Double, Double) { (minVal, maxVal) }
  var nodeName: String { "HardtanhBackward0" }
  func slope(_ x: Tensor) throws -> Tensor { try Comparison.and(x.gt(minVal), x.lt(maxVal)).to(x.dtype) }
}

private struct Gelu: Operation {
  let approximate: String

  var tangentRule: TangentRule { .elementwise }
  var nodeName: String { "GeluBackward0" }
  func uses(_ number: Int) -> Uses { .a }

  func gradient(_ c: inout Backward) throws {
    let x = try c.a
    if !c.createsGraph {
      c[0] = try Elementwise.binary(approximate == "none" ? MG_GELU_GRAD : MG_GELU_TANH_GRAD, c.g, x, c.g.dtype, "gelu")
    } else if approximate == "none" {
      let distribution = try (x * 0.70710678118654752440).erf() * 0.5 + 0.5
      let density = try (x * x * -0.5).exp() * 0.39894228040143267794
      c[0] = try c.g * (distribution + x * density)
    } else {
      let k = 0.79788456080286535588
      let t = try ((x + x * x * x * 0.044715) * k).tanh()
      let inner = try (x * x * (3 * 0.044715) + 1.0) * k
      c[0] = try c.g * ((t + 1.0) * 0.5 + x * 0.5 * (1.0 - t * t) * inner)
    }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].gelu(approximate: approximate)] }
}

/// The softmax along a dimension, or its logarithm.
struct Softmax: Operation {
  let dim: Int
  var log = false

  var nodeName: String { log ? "LogSoftmaxBackward0" : "SoftmaxBackward0" }
  func uses(_ number: Int) -> Uses { .output }

  func gradient(_ c: inout Backward) throws {
    let y = try c.y
    if !c.createsGraph, y.rank > 0, dim == y.rank - 1 {
      c[0] = try c.g.throughSoftmax(log: log, y)
    } else if log {
      c[0] = try c.g - y.exp() * (y.rank == 0 ? c.g : c.g.sum([dim], keepdim: true))
    } else {
      let gy = try c.g * y
      c[0] = try gy - y * (y.rank == 0 ? gy : gy.sum([dim], keepdim: true))
    }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try log ? inputs[0].logSoftmax(dim) : inputs[0].softmax(dim)] }
}

enum Activations {
  static let list: [TensorOperation] = [
    TensorOperation(
      "softmax", "e^x / Σ e^x along a dimension.", Take.input, Take.dim, Take.dtype,
      forms: [.function, .method, .functional],
      samples: [
        [.float(2, 3), .integer(1)], [.float(2, 3), .integer(0)], [.float(2, 3, 4), .integer(1)], [.float(), .integer(0)],
        [.values([3], [1000, 0, -1000]), .integer(0)],
      ], rejects: [[.float(2, 3), .integer(2)]]
    ) { x, dim, dtype in try .tensor(x.asked(dtype).softmax(dim)) },
    TensorOperation(
      "log_softmax", "x − ln Σ e^x along a dimension.", Take.input, Take.dim, Take.dtype,
      forms: [.function, .method, .functional],
      samples: [
        [.float(2, 3), .integer(1)], [.float(2, 3), .integer(0)], [.float(2, 3, 4), .integer(1)],
        [.values([3], [1000, 0, -1000]), .integer(0)],
      ], rejects: [[.float(2, 3), .integer(2)]]
    ) { x, dim, dtype in try .tensor(x.asked(dtype).logSoftmax(dim)) },
    TensorOperation(
      "leaky_relu", "x where positive, else negative_slope · x.", Take.input, Take.number("negative_slope", default: 0.01),
      forms: [.functional, .method], samples: [[.float(2, 3)], [.float(2, 3), .number(0.2)]], batching: .broadcast
    ) { x, negativeSlope in try .tensor(x.leakyRelu(negativeSlope)) },
    TensorOperation(
      "elu", "x where positive, else alpha · (e^x − 1).", Take.input, Take.number("alpha", default: 1),
      forms: [.functional, .method], samples: [[.float(2, 3)], [.float(2, 3), .number(0.5)]], batching: .broadcast
    ) { x, alpha in try .tensor(x.elu(alpha)) },
    TensorOperation(
      "softplus", "ln(1 + e^(beta·x)) / beta.", Take.input, Take.number("beta", default: 1), Take.number("threshold", default: 20),
      forms: [.functional, .method], samples: [[.float(2, 3)], [.float(2, 3), .number(2)], [.values([3], [-30, 5, 30])]],
      batching: .broadcast
    ) { x, beta, threshold in try .tensor(x.softplus(beta, threshold)) },
    TensorOperation(
      "hardtanh", "Elements limited to min_val…max_val.", Take.input, Take.number("min_val", default: -1),
      Take.number("max_val", default: 1),
      forms: [.functional, .method], samples: [[.float(2, 3)], [.float(2, 3), .number(-0.5), .number(0.7)]], batching: .broadcast
    ) { x, minVal, maxVal in try .tensor(x.hardtanh(minVal, maxVal)) },
    TensorOperation(
      "gelu", "x · Φ(x); approximate = \"tanh\" is faster and a little off.", Take.input,
      Take.text("approximate", default: "none").oneOf("none", "tanh"),
      forms: [.functional, .method], samples: [[.float(2, 3)], [.float(2, 3), .text("tanh")]], rejects: [[.float(2), .text("fast")]],
      batching: .broadcast
    ) { x, approximate in try .tensor(x.gelu(approximate: approximate)) },
  ]
}

// Activations with options, softmax among them. Those without are rows of the table in Unary.swift.

import CKernels

extension Tensor {
  /// x where positive, else slope · x.
  public func leakyRelu(_ slope: Double = 0.01) throws -> Tensor {
    try activated(MG_LEAKY_RELU, slope, 0, "leaky_relu", "LeakyReluBackward0") { x in
      let positive = try x.gt(0).to(x.dtype)
      return try positive * (1 - slope) + slope
    }
  }

  /// x where positive, else alpha · (e^x − 1).
  public func elu(_ alpha: Double = 1) throws -> Tensor {
    try activated(MG_ELU, alpha, 0, "elu", "EluBackward0") { x in
      let negative = try x.le(0)
      return try (x.minimum(Tensor.zeros([], dtype: x.dtype)).exp() * alpha).maskedFill(negative.logicalNot(), .real(1))
    }
  }

  /// ln(1 + e^(beta·x)) / beta, and x itself where beta · x exceeds the threshold.
  public func softplus(_ beta: Double = 1, _ threshold: Double = 20) throws -> Tensor {
    try activated(MG_SOFTPLUS2, beta, threshold, "softplus", "SoftplusBackward0") { x in
      let scaled = try x * beta
      return try scaled.sigmoid().maskedFill(scaled.gt(threshold), .real(1))
    }
  }

  /// Elements limited to low…high.
  public func hardtanh(_ low: Double = -1, _ high: Double = 1) throws -> Tensor {
    try activated(MG_CLAMP, low, high, "hardtanh", "HardtanhBackward0") { x in
      try Comparison.and(x.gt(low), x.lt(high)).to(x.dtype)
    }
  }

  /// A two-parameter kernel with the derivative that `slope` computes from the input.
  private func activated(
    _ op: mg_unary2_op, _ p: Double, _ q: Double, _ operation: String, _ grad: String, slope: @escaping (Tensor) throws -> Tensor
  ) throws -> Tensor {
    try requireFloating(operation)
    let y = try Tensor(uninitialized: shape, dtype)
    var loop = mg_loop(shape, y.layout, layout)
    mg_unary2_nd(op, dtype.kernel, &loop, data, p, q, y.data)
    return y.recorded(grad, self, uses: .a) { c in c[0] = try c.g * slope(c.a) }
  }

  /// x · Φ(x), by the error function or by its tanh approximation.
  public func gelu(approximate: String = "none") throws -> Tensor {
    try requireFloating("gelu")
    guard approximate == "none" || approximate == "tanh" else {
      throw TensorError(.argument, "gelu", "approximate must be \"none\" or \"tanh\", got \"\(approximate)\"")
    }
    let exact = approximate == "none"
    return try Elementwise.unary(exact ? MG_GELU : MG_GELU_TANH, self).recorded("GeluBackward0", self, uses: .a) { c in
      let x = try c.a
      if exact {
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
  }

  private typealias RowKernel = (mg_dtype, Int64, Int64, UnsafeRawPointer?, UnsafeMutableRawPointer?) -> Void

  /// Runs a kernel over rows along `axis`, which is brought to the end and back.
  private func alongRows(_ axis: Int, _ body: (Tensor, Tensor, Int, Int) -> Void) throws -> Tensor {
    guard rank > 0 else {
      let y = try Tensor(uninitialized: shape, dtype)
      body(self, y, 1, 1)
      return y
    }
    var order = Array(0..<rank)
    order.append(order.remove(at: axis))
    var inverse = order
    for (position, dimension) in order.enumerated() { inverse[dimension] = position }
    let source = try Tensor(storage: storage, layout: layout.permuted(order), dtype: dtype).packed()
    let y = try Tensor(uninitialized: source.shape, dtype)
    let n = shape[axis]
    body(source, y, n == 0 ? 0 : count / n, n)
    return try axis == rank - 1 ? y : Tensor(storage: y.storage, layout: y.layout.permuted(inverse), dtype: dtype).packed()
  }

  private func normalized(_ dimension: Int, _ operation: String, _ kernel: RowKernel) throws -> (Tensor, Int) {
    let axis = try shape.axis(dimension, operation)
    let y = try alongRows(axis) { kernel(dtype.kernel, Int64($2), Int64($3), $0.data, $1.data) }
    return (y, axis)
  }

  /// e^x / Σ e^x along a dimension.
  public func softmax(_ dimension: Int) throws -> Tensor {
    let x = dtype.isFloating ? self : try to(DType.defaultFloating)
    let (y, axis) = try x.normalized(dimension, "softmax", mg_softmax)
    return y.recorded("SoftmaxBackward0", x, uses: .output) { c in
      let y = try c.y
      if !c.createsGraph, y.rank > 0, axis == y.rank - 1 {
        c[0] = try c.g.fusedRows(y, mg_softmax_grad)
      } else {
        let gy = try c.g * y
        c[0] = try gy - y * (y.rank == 0 ? gy : gy.sum([axis], keepdim: true))
      }
    }
  }

  /// x − ln Σ e^x along a dimension.
  public func logSoftmax(_ dimension: Int) throws -> Tensor {
    let x = dtype.isFloating ? self : try to(DType.defaultFloating)
    let (y, axis) = try x.normalized(dimension, "log_softmax", mg_log_softmax)
    return y.recorded("LogSoftmaxBackward0", x, uses: .output) { c in
      let y = try c.y
      if !c.createsGraph, y.rank > 0, axis == y.rank - 1 {
        c[0] = try c.g.fusedRows(y, mg_log_softmax_grad)
      } else {
        c[0] = try c.g - y.exp() * (y.rank == 0 ? c.g : c.g.sum([axis], keepdim: true))
      }
    }
  }

  private func fusedRows(
    _ y: Tensor,
    _ kernel: (mg_dtype, Int64, Int64, UnsafeRawPointer?, UnsafeRawPointer?, UnsafeMutableRawPointer?) -> Void
  ) throws -> Tensor {
    let (g, y) = (try packed(), try y.packed())
    let n = shape[rank - 1]
    let dx = try Tensor(uninitialized: shape, dtype)
    kernel(dtype.kernel, Int64(n == 0 ? 0 : count / n), Int64(n), g.data, y.data, dx.data)
    return dx
  }
}

enum Activations {
  static let list: [TensorOperation] = [
    TensorOperation(
      "softmax", "e^x / Σ e^x along a dimension.", [.input, .dim], forms: [.function, .method, .functional],
      samples: [
        [.float(2, 3), .integer(1)], [.float(2, 3), .integer(0)], [.float(2, 3, 4), .integer(1)], [.float(), .integer(0)],
        [.values([3], [1000, 0, -1000]), .integer(0)],
      ],
      rejects: [[.float(2, 3), .integer(2)]]
    ) { .tensor(try $0.tensor(0).softmax(try $0.integer(1))) },
    TensorOperation(
      "log_softmax", "x − ln Σ e^x along a dimension.", [.input, .dim], forms: [.function, .method, .functional],
      samples: [
        [.float(2, 3), .integer(1)], [.float(2, 3), .integer(0)], [.float(2, 3, 4), .integer(1)],
        [.values([3], [1000, 0, -1000]), .integer(0)],
      ],
      rejects: [[.float(2, 3), .integer(2)]]
    ) { .tensor(try $0.tensor(0).logSoftmax(try $0.integer(1))) },
    TensorOperation(
      "leaky_relu", "x where positive, else negative_slope · x.", [.input, .init("negative_slope", .number, default: "0.01")],
      forms: [.functional, .method], samples: [[.float(2, 3)], [.float(2, 3), .number(0.2)]]
    ) { .tensor(try $0.tensor(0).leakyRelu(try $0.number(1, default: 0.01))) },
    TensorOperation(
      "elu", "x where positive, else alpha · (e^x − 1).", [.input, .init("alpha", .number, default: "1")], forms: [.functional, .method],
      samples: [[.float(2, 3)], [.float(2, 3), .number(0.5)]]
    ) { .tensor(try $0.tensor(0).elu(try $0.number(1, default: 1))) },
    TensorOperation(
      "softplus", "ln(1 + e^(beta·x)) / beta.", [.input, .init("beta", .number, default: "1"), .init("threshold", .number, default: "20")],
      forms: [.functional, .method], samples: [[.float(2, 3)], [.float(2, 3), .number(2)], [.values([3], [-30, 5, 30])]]
    ) { .tensor(try $0.tensor(0).softplus(try $0.number(1, default: 1), try $0.number(2, default: 20))) },
    TensorOperation(
      "hardtanh", "Elements limited to min_val…max_val.",
      [.input, .init("min_val", .number, default: "-1"), .init("max_val", .number, default: "1")], forms: [.functional, .method],
      samples: [[.float(2, 3)], [.float(2, 3), .number(-0.5), .number(0.7)]]
    ) { .tensor(try $0.tensor(0).hardtanh(try $0.number(1, default: -1), try $0.number(2, default: 1))) },
    TensorOperation(
      "gelu", "x · Φ(x); approximate = \"tanh\" is faster and a little off.", [.input, .init("approximate", .string, default: "\"none\"")],
      forms: [.functional, .method], samples: [[.float(2, 3)], [.float(2, 3), .text("tanh")]], rejects: [[.float(2), .text("fast")]]
    ) { .tensor(try $0.tensor(0).gelu(approximate: try $0.string(1, default: "none"))) },
  ]
}

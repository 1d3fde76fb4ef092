// Elementwise functions of one tensor: a table. Each row is a kernel, a name, a sentence and the derivative.

import CKernels

/// An elementwise function of one tensor, differentiable by its formula.
public final class Unary: Row {
  /// `exp`.
  public let name: String
  let summary: String
  let kernel: mg_unary_op
  let sampled: ClosedRange<Double>
  /// Whether integers are computed in the default float dtype.
  let floats: Bool
  /// The fused backward for the usual case, from the gradient and what the formula uses, x or y; the formula serves when the
  /// gradient is itself differentiated.
  let fused: mg_binary_op?
  let forms: TensorOperation.Forms
  let aliases: [String]
  package let nodeName: String
  package let rule0: Rule?
  package let uses0: Uses

  init(
    _ name: String, _ kernel: mg_unary_op, _ summary: String, grad: String? = nil, in sampled: ClosedRange<Double> = -2...2,
    floats: Bool = true, fused: mg_binary_op? = nil, forms: TensorOperation.Forms = .all, aliases: [String] = [],
    _ rule: Rule?
  ) {
    self.name = name
    self.summary = summary
    self.kernel = kernel
    self.sampled = sampled
    self.floats = floats
    self.fused = fused
    self.forms = forms
    self.aliases = aliases
    let words = name.split(separator: "_").map { $0.prefix(1).uppercased() + $0.dropFirst() }
    nodeName = (grad ?? words.joined()) + "Backward0"
    rule0 = rule
    uses0 = rule?.uses ?? .nothing
  }

  package var rule1: Rule? { nil }
  package var uses1: Uses { .nothing }

  package var passage: Passage {
    switch kernel {
    case MG_SIGN, MG_FLOOR, MG_CEIL, MG_ROUND, MG_TRUNC: .nothing
    case MG_RELU: .wherePositive
    default: .everywhere
    }
  }

  /// The function of each element, in x's shape and dtype; whole numbers are computed in the default float dtype where the
  /// result is not whole. Throws for a dtype that the function is not defined for.
  @inline(__always)
  public func callAsFunction(_ x: Tensor) throws -> Tensor {
    try Elementwise.unary(kernel, try argument(x)).recorded(RowOperation(self), x)
  }

  package func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try self(inputs[0])] }

  /// The input in the dtype that the kernel computes in.
  @inline(__always)
  private func argument(_ x: Tensor) throws -> Tensor {
    if x.dtype.isFloating { return x }
    if floats { return try x.converted(to: DType.defaultFloating) }
    // Numbers already: true² is 1, as true to the power of 2 is.
    if x.dtype == .bool, kernel == MG_SQUARE { return try x.converted(to: .int64) }
    guard mg_unary_has(kernel, x.dtype.computing.code) else {
      throw TensorError(.dtype, name, "not defined for tensors of \(x.dtype)")
    }
    return x
  }

  /// Writes the result into x.
  @discardableResult
  public func inPlace(_ x: Tensor) throws -> Tensor {
    if x.dtype.isFloating || !floats, x.isContiguous, try x.writesDirectly(name), case let source = try argument(x),
      source.dtype == x.dtype
    {
      try Elementwise.unary(kernel, source, into: x)
      x.bumpVersion()
      return x
    }
    return try x.writing(name, uses: rule0?.uses ?? .nothing) { try self($0) }
  }

  package func gradient(_ pass: inout Backward) throws {
    if let fused, !pass.createsGraph, pass.needs(0) {
      let y = try uses0.contains(.output) ? pass.y : pass.a
      if let g = pass.reusable(), y.isContiguous, y.dtype == g.dtype {
        try Elementwise.binary(fused, g, y, into: g)
        pass[0] = g
      } else {
        pass[0] = try Elementwise.binary(fused, pass.g, y, pass.g.dtype, name)
      }
    } else {
      try runRules(&pass)
    }
  }

  var operation: TensorOperation {
    var samples: [Sample] = [[.float([2, 3], sampled)], [.float([], sampled)], [.float([0, 3], sampled)], [.float([4, 1, 3], sampled)]]
    if !floats { samples.append([.integers([2, 3], -3...3)]) }
    if !floats, [MG_SIGN, MG_SQUARE].contains(kernel) { samples.append([.booleans([2, 3])]) }
    return TensorOperation(
      name, summary, Take.input, aliases: aliases, forms: forms, samples: samples, differentiable: rule0 != nil, unary: self
    ) { .tensor(try self($0)) }
  }
}

extension Unary {
  private static let zero = Rule.uses(.nothing) { c in try Tensor.zeros(like: c.g) }

  package static let neg = Unary("neg", MG_NEG, "The negative.", floats: false, aliases: ["negative"], .uses(.nothing) { c in try -c.g })
  package static let abs = Unary(
    "abs", MG_ABS, "The absolute value.", floats: false, aliases: ["absolute"], .uses(.a) { c in try c.g * c.a.sign() })
  package static let sign = Unary("sign", MG_SIGN, "−1, 0 or 1 by the sign.", floats: false, aliases: ["sgn"], zero)
  package static let square = Unary(
    "square", MG_SQUARE, "The square.", grad: "Pow", floats: false, .uses(.a) { c in try c.g * (c.a * 2.0) })
  package static let sqrt = Unary("sqrt", MG_SQRT, "The square root.", in: 0.2...3, .uses(.output) { c in try c.g / (c.y * 2.0) })
  package static let rsqrt = Unary(
    "rsqrt", MG_RSQRT, "The reciprocal of the square root.", in: 0.2...3, .uses(.output) { c in try c.g * (c.y.power(3) * -0.5) })
  package static let reciprocal = Unary(
    "reciprocal", MG_RECIPROCAL, "1 divided by each element.", in: 0.2...3, .uses(.output) { c in try -c.g * (c.y * c.y) })
  package static let exp = Unary("exp", MG_EXP, "e to the power of each element.", .uses(.output) { c in try c.g * c.y })
  package static let exp2 = Unary("exp2", MG_EXP2, "2 to the power of each element.", .uses(.output) { c in try c.g * (c.y * ln2) })
  package static let expm1 = Unary(
    "expm1", MG_EXPM1, "e to the power of each element, minus 1, exact near 0.", .uses(.output) { c in try c.g * (c.y + 1.0) })
  package static let log = Unary("log", MG_LOG, "The natural logarithm.", in: 0.2...3, .uses(.a) { c in try c.g / c.a })
  package static let log2 = Unary("log2", MG_LOG2, "The logarithm to base 2.", in: 0.2...3, .uses(.a) { c in try c.g / (c.a * ln2) })
  package static let log10 = Unary("log10", MG_LOG10, "The logarithm to base 10.", in: 0.2...3, .uses(.a) { c in try c.g / (c.a * ln10) })
  package static let log1p = Unary(
    "log1p", MG_LOG1P, "The natural logarithm of 1 plus each element, exact near 0.", grad: "Log1P", in: -0.8...3,
    .uses(.a) { c in try c.g / (c.a + 1.0) })
  package static let sin = Unary("sin", MG_SIN, "The sine.", .uses(.a) { c in try c.g * c.a.cos() })
  package static let cos = Unary("cos", MG_COS, "The cosine.", .uses(.a) { c in try c.g * -c.a.sin() })
  package static let tan = Unary("tan", MG_TAN, "The tangent.", in: -1.2...1.2, .uses(.output) { c in try c.g * (c.y * c.y + 1.0) })
  package static let asin = Unary(
    "asin", MG_ASIN, "The inverse sine.", in: -0.9...0.9, aliases: ["arcsin"], .uses(.a) { c in try c.g * (1.0 - c.a * c.a).rsqrt() })
  package static let acos = Unary(
    "acos", MG_ACOS, "The inverse cosine.", in: -0.9...0.9, aliases: ["arccos"], .uses(.a) { c in try -c.g * (1.0 - c.a * c.a).rsqrt() })
  package static let atan = Unary(
    "atan", MG_ATAN, "The inverse tangent.", aliases: ["arctan"], .uses(.a) { c in try c.g / (c.a * c.a + 1.0) })
  package static let sinh = Unary("sinh", MG_SINH, "The hyperbolic sine.", .uses(.a) { c in try c.g * c.a.cosh() })
  package static let cosh = Unary("cosh", MG_COSH, "The hyperbolic cosine.", .uses(.a) { c in try c.g * c.a.sinh() })
  package static let tanh = Unary(
    "tanh", MG_TANH, "The hyperbolic tangent.", fused: MG_TANH_GRAD, forms: [.function, .method, .inPlace, .functional],
    .uses(.output) { c in try c.g * (1.0 - c.y * c.y) })
  package static let asinh = Unary(
    "asinh", MG_ASINH, "The inverse hyperbolic sine.", aliases: ["arcsinh"], .uses(.a) { c in try c.g * (c.a * c.a + 1.0).rsqrt() })
  package static let acosh = Unary(
    "acosh", MG_ACOSH, "The inverse hyperbolic cosine.", in: 1.2...3, aliases: ["arccosh"],
    .uses(.a) { c in try c.g * (c.a * c.a - 1.0).rsqrt() })
  package static let atanh = Unary(
    "atanh", MG_ATANH, "The inverse hyperbolic tangent.", in: -0.9...0.9, aliases: ["arctanh"],
    .uses(.a) { c in try c.g / (1.0 - c.a * c.a) })
  package static let erf = Unary("erf", MG_ERF, "The error function.", .uses(.a) { c in try c.g * (gauss(c.a) * twoOverRootPi) })
  package static let erfc = Unary(
    "erfc", MG_ERFC, "1 minus the error function, exact in the tail.", .uses(.a) { c in try c.g * (gauss(c.a) * -twoOverRootPi) })
  package static let lgamma = Unary(
    "lgamma", MG_LGAMMA, "The logarithm of the absolute gamma function.", in: 0.3...4, .uses(.a) { c in try c.g * c.a.digamma() })
  package static let digamma = Unary(
    "digamma", MG_DIGAMMA, "The derivative of lgamma.", in: 0.3...4, .uses(.a) { c in try c.g * trigamma(c.a) })
  package static let floor = Unary("floor", MG_FLOOR, "The largest whole number that is not larger.", floats: false, zero)
  package static let ceil = Unary("ceil", MG_CEIL, "The smallest whole number that is not smaller.", floats: false, zero)
  package static let round = Unary("round", MG_ROUND, "The nearest whole number; halves go to the even one.", floats: false, zero)
  package static let trunc = Unary("trunc", MG_TRUNC, "The whole part.", floats: false, aliases: ["fix"], zero)
  package static let frac = Unary("frac", MG_FRAC, "The part behind the point, with the sign.", .uses(.nothing) { c in c.g })

  package static let relu = Unary(
    "relu", MG_RELU, "The element where it is positive, else 0.", floats: false, fused: MG_RELU_GRAD,
    forms: [.function, .method, .inPlace, .functional],
    .uses(.output) { c in
      // Where y is NaN the gradient passes on, as PyTorch's does; and 0 stays 0 beside an infinite gradient.
      try c.g.maskedFill(c.y.le(0), .integer(0)).flat(in: c.y)
    })
  package static let sigmoid = Unary(
    "sigmoid", MG_SIGMOID, "1 / (1 + e^−x).", fused: MG_SIGMOID_GRAD, forms: [.function, .method, .inPlace, .functional],
    .uses(.output) { c in try c.g * (c.y * (1.0 - c.y)) })
  package static let logsigmoid = Unary(
    "logsigmoid", MG_LOGSIGMOID, "The logarithm of the sigmoid, exact in the tail.", grad: "LogSigmoid", forms: [.functional, .method],
    .uses(.a) { c in try c.g * (-c.a).sigmoid() })
  package static let silu = Unary(
    "silu", MG_SILU, "x · sigmoid(x).", fused: MG_SILU_GRAD, forms: [.functional, .method],
    .uses(.a) { c in
      let s = try c.a.sigmoid()
      return try c.g * (s * (c.a * (1.0 - s) + 1.0))
    })
  package static let softsign = Unary(
    "softsign", MG_SOFTSIGN, "x / (1 + |x|).", grad: "Div", forms: [.functional], .uses(.a) { c in try c.g / (c.a.abs() + 1.0).square() })
  package static let mish = Unary(
    "mish", MG_MISH, "x · tanh(softplus(x)).", forms: [.functional, .method],
    .uses(.a) { c in
      let t = try c.a.softplus().tanh()
      return try c.g * (t + c.a * c.a.sigmoid() * (1.0 - t * t))
    })
  package static let hardsigmoid = Unary(
    "hardsigmoid", MG_HARDSIGMOID, "clamp(x / 6 + 1/2, 0, 1).", forms: [.functional, .method],
    .uses(.a) { c in try c.g * (c.a.abs().lt(3).to(c.g.dtype) * (1.0 / 6)) })
  package static let hardswish = Unary(
    "hardswish", MG_HARDSWISH, "x · hardsigmoid(x).", forms: [.functional, .method],
    .uses(.a) { c in
      // Chosen, not multiplied by 0 and 1, for the sake of infinities.
      try c.g * c.a.abs().lt(3).choosing(c.a * (1.0 / 3) + 0.5, else: c.a.ge(3).to(c.g.dtype))
    })
  package static let relu6 = Unary(
    "relu6", MG_RELU6, "clamp(x, 0, 6).", grad: "Hardtanh", forms: [.functional],
    .uses(.a) { c in try c.g * (c.a.gt(0).to(c.g.dtype) * c.a.lt(6).to(c.g.dtype)) })

  /// Those without options of their own; `round` has one (see Special).
  package static let list: [Unary] = [
    neg, abs, sign, square, sqrt, rsqrt, reciprocal, exp, exp2, expm1, log, log2, log10, log1p, sin, cos, tan, asin, acos,
    atan, sinh, cosh, tanh, asinh, acosh, atanh, erf, erfc, lgamma, digamma, floor, ceil, trunc, frac, relu, sigmoid,
    logsigmoid, silu, softsign, mish, hardsigmoid, hardswish, relu6,
  ]

  private static let ln2 = 0.693147180559945309417
  private static let ln10 = 2.30258509299404568402
  private static let twoOverRootPi = 1.12837916709551257390

  /// e^(−x²)
  private static func gauss(_ x: Tensor) throws -> Tensor { try (-(x * x)).exp() }

  /// The derivative of digamma, for x > 0: the recurrence up to x + 10, then the asymptotic series
  /// (Abramowitz & Stegun 6.4.6, 6.4.12). Made of operations, so it can be differentiated on.
  private static func trigamma(_ x: Tensor) throws -> Tensor {
    var sum = try Tensor.zeros(like: x)
    var x = x
    for _ in 0..<10 {
      sum = try sum + (x * x).reciprocal()
      x = try x + 1.0
    }
    let r = try (x * x).reciprocal()
    let series = try r * (1.0 / 6 - r * (1.0 / 30 - r * (1.0 / 42 - r * (1.0 / 30 - r * (5.0 / 66)))))
    return try sum + x.reciprocal() * (1.0 + series) + r * 0.5
  }
}

// The functions of the table as methods. Shapes are kept; integers become the default float dtype where the result
// is not whole.
extension Tensor {
  /// The absolute value.
  public func abs() throws -> Tensor { try Unary.abs(self) }
  /// −1, 0 or 1 by the sign.
  public func sign() throws -> Tensor { try Unary.sign(self) }
  /// The square.
  public func square() throws -> Tensor { try Unary.square(self) }
  /// The square root; NaN of negative elements.
  public func sqrt() throws -> Tensor { try Unary.sqrt(self) }
  /// 1 divided by the square root.
  public func rsqrt() throws -> Tensor { try Unary.rsqrt(self) }
  /// 1 divided by each element.
  public func reciprocal() throws -> Tensor { try Unary.reciprocal(self) }
  /// e to the power of each element.
  public func exp() throws -> Tensor { try Unary.exp(self) }
  /// e to the power of each element, minus 1, exact near 0.
  public func expm1() throws -> Tensor { try Unary.expm1(self) }
  /// The natural logarithm; NaN of negative elements.
  public func log() throws -> Tensor { try Unary.log(self) }
  /// The natural logarithm of 1 plus each element, exact near 0.
  public func log1p() throws -> Tensor { try Unary.log1p(self) }
  /// The sine, cosine and tangent of angles in radians.
  public func sin() throws -> Tensor { try Unary.sin(self) }
  /// The cosine of angles in radians.
  public func cos() throws -> Tensor { try Unary.cos(self) }
  /// The tangent of angles in radians.
  public func tan() throws -> Tensor { try Unary.tan(self) }
  /// The hyperbolic sine, cosine and tangent.
  public func sinh() throws -> Tensor { try Unary.sinh(self) }
  /// The hyperbolic cosine.
  public func cosh() throws -> Tensor { try Unary.cosh(self) }
  /// The hyperbolic tangent.
  public func tanh() throws -> Tensor { try Unary.tanh(self) }
  /// The error function.
  public func erf() throws -> Tensor { try Unary.erf(self) }
  /// The derivative of the logarithm of the gamma function.
  public func digamma() throws -> Tensor { try Unary.digamma(self) }
  /// The largest whole number that is not larger, in the same dtype.
  public func floor() throws -> Tensor { try Unary.floor(self) }
  /// The element where it is positive, else 0; NaN stays.
  public func relu() throws -> Tensor { try Unary.relu(self) }
  /// 1 / (1 + e^−x).
  public func sigmoid() throws -> Tensor { try Unary.sigmoid(self) }
  /// The negative. Throws for bool.
  public static prefix func - (x: Tensor) throws -> Tensor { try Unary.neg(x) }
}

// Functions of single elements that are formulas of others, and those with kernels of their own.

import CKernels

extension Tensor {
  private func isNaN() throws -> Tensor { try Predicate.isnan(self) }

  /// Floats as they are, whole numbers converted.
  func asFloats() throws -> Tensor { dtype.isFloating ? self : try to(DType.defaultFloating) }

  /// ln(eᵃ + eᵇ) without overflow.
  static func logAddExp(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let (a, b) = try Tensor.floats(a, b)
    return try Formula.of([a, b], "LogaddexpBackward0") { x in
      // Beside two equal infinities the distance is 0, not NaN.
      let distance = try (x[0] - x[1]).abs().maskedFill(x[0].eq(x[1]), .integer(0))
      return try Binary.maximum(x[0], x[1]) + (-distance).exp().log1p()
    }
  }

  /// log₂(2ᵃ + 2ᵇ) without overflow.
  static func logAddExp2(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let (a, b) = try Tensor.floats(a, b)
    return try Formula.of([a, b], "Logaddexp2Backward0") { x in
      let distance = try (x[0] - x[1]).abs().maskedFill(x[0].eq(x[1]), .integer(0))
      return try Binary.maximum(x[0], x[1]) + Unary.exp2(-distance).log1p() * 1.4426950408889634
    }
  }

  /// The larger (or smaller) of two elements; NaN only where both are.
  static func extremeIgnoringNaN(_ a: Tensor, _ b: Tensor, largest: Bool) throws -> Tensor {
    try Formula.of([a, b], largest ? "FmaxBackward0" : "FminBackward0") { x in
      let wins = largest ? try x[0].ge(x[1]) : try x[0].le(x[1])
      return try Comparison.or(wins, x[1].isNaN()).choosing(x[0], else: x[1])
    }
  }

  /// NaN and infinities replaced: by 0 and the ends of the dtype's range, where no numbers are given.
  func nanToNum(_ nan: Double, _ positive: Double?, _ negative: Double?) throws -> Tensor {
    guard dtype.isFloating else { return try clone() }
    let largest: Double =
      switch dtype {
      case .float64: .greatestFiniteMagnitude
      case .float16: 65504
      case .bfloat16: 3.3895313892515355e38
      default: Double(Float.greatestFiniteMagnitude)
      }
    return try Formula.of([self], "NanToNumBackward0", ["self": .input(0)]) { x in
      let y = try x[0].maskedFill(x[0].isNaN(), .real(nan)).maskedFill(x[0].eq(.infinity), .real(positive ?? largest))
      return try y.maskedFill(x[0].eq(-.infinity), .real(negative ?? -largest))
    }
  }

  /// ln(x / (1 − x)); with `eps`, of x brought between eps and 1 − eps.
  func logit(_ eps: Double?) throws -> Tensor {
    try Formula.of([asFloats()], "LogitBackward0", ["self": .input(0)]) { x in
      let p = try eps.map { try x[0].clamp(.real($0), .real(1 - $0)) } ?? x[0]
      return try (p / (1.0 - p)).log()
    }
  }

  /// sin(πx) / (πx), 1 at 0.
  func sinc() throws -> Tensor {
    try Formula.of([asFloats()], "SincBackward0", ["self": .input(0)]) { x in
      let isZero = try x[0].eq(0)
      let angle = try x[0].maskedFill(isZero, .integer(1)) * Double.pi
      return try (angle.sin() / angle).maskedFill(isZero, .integer(1))
    }
  }

  /// Every bit the other way round; of truth values the opposite.
  func bitwiseNot() throws -> Tensor {
    if dtype == .bool { return try logicalNot() }
    guard !dtype.isFloating else {
      throw TensorError(.dtype, "bitwise_not", "whole numbers or truth values are needed, this tensor is \(dtype)")
    }
    return try Binary.sub(Unary.neg(self), .integer(1))
  }

  /// Rounded to a number of decimal places, negative ones left of the point; halves to even.
  func round(decimals: Int) throws -> Tensor {
    if decimals == 0 { return try Unary.round(self) }
    try requireFloating("round")
    guard (-300...300).contains(decimals) else {
      throw TensorError(.argument, "round", "decimals must lie between -300 and 300, got \(decimals)")
    }
    var factor = 1.0
    for _ in 0..<decimals.magnitude { factor *= 10 }
    return decimals > 0 ? try Unary.round(self * factor) / factor : try Unary.round(self / factor) * factor
  }

  /// The greatest common divisor, or the least common multiple.
  static func common(_ name: String, _ a: Tensor, _ b: Tensor) throws -> Tensor {
    let dtype = Binary.promotedType(a, b)
    guard dtype.category == .integer else {
      throw TensorError(.dtype, name, "whole numbers are needed, got \(a.dtype) and \(b.dtype)")
    }
    let shape = try Shape.broadcast(a.shape, b.shape, name)
    let (x, y) = (try a.to(.int64).expand(shape).packed(), try b.to(.int64).expand(shape).packed())
    let result = try Tensor(uninitialized: shape, .int64)
    let n = shape.count
    try (name == "gcd" ? gcdKernel : lcmKernel)(
      .int64, .read(x.data, .int64, n), .read(y.data, .int64, n), .write(result.data, .int64, n))
    return try result.to(dtype)
  }

  private static let gcdKernel = NamedKernel("gcd")
  private static let lcmKernel = NamedKernel("lcm")

  /// The inverse of erf: the y with erf(y) = x.
  public func erfinv() throws -> Tensor {
    let x = try asFloats().packed()
    let y = try Tensor(uninitialized: shape, x.dtype)
    try ErfInv.kernel(x.dtype, .read(x.data, x.dtype, count), .write(y.data, x.dtype, count))
    return try y.recorded(ErfInv(), dtype.isFloating ? self : x)
  }
}

private struct ErfInv: Operation {
  var tangentRule: TangentRule { .elementwise }
  static let kernel = NamedKernel("erfinv")

  var nodeName: String { "ErfinvBackward0" }
  func uses(_ number: Int) -> Uses { .output }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g * (c.y.square().exp() * 0.886226925452758) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].erfinv()] }
}

package enum Special {
  private static func pair(
    _ name: String, _ summary: String, samples: [Sample] = [[.float(2, 3), .float(2, 3)], [.float(2, 3), .float(3)]],
    forms: TensorOperation.Forms = .both, differentiable: Bool = true, composed: Bool = false,
    _ body: @escaping @Sendable (Tensor, Tensor) throws -> Tensor
  ) -> TensorOperation {
    TensorOperation(
      name, summary, Take.input, Take.tensor("other"), forms: forms, samples: samples, rejects: [[.float(2, 3), .float(2)]],
      differentiable: differentiable, composed: composed, batching: .broadcast
    ) { a, b in .tensor(try body(a, b)) }
  }

  private static func single(
    _ name: String, _ summary: String, aliases: [String] = [], _ samples: [Sample] = [[.float(2, 3)], [.float(0, 2)]],
    forms: TensorOperation.Forms = .all, differentiable: Bool = true, _ body: @escaping @Sendable (Tensor) throws -> Tensor
  ) -> TensorOperation {
    TensorOperation(
      name, summary, Take.input, aliases: aliases, forms: forms, samples: samples, differentiable: differentiable, composed: true,
      batching: .broadcast
    ) { x in .tensor(try body(x)) }
  }

  private static let wholes: [Sample] = [
    [.integers([2, 3], -12...12), .integers([2, 3], -12...12)], [.integers([4], 0...30), .integers([1], 12...12)],
  ]

  /// What `mg.special` calls operations that have other names, or the same.
  package static let names: [String: String] = [
    "digamma": "digamma", "psi": "digamma", "erf": "erf", "erfc": "erfc", "erfinv": "erfinv", "exp2": "exp2", "expit": "sigmoid",
    "expm1": "expm1", "gammaln": "lgamma", "log1p": "log1p", "log_softmax": "log_softmax", "logit": "logit", "logsumexp": "logsumexp",
    "round": "round", "sinc": "sinc", "softmax": "softmax", "xlogy": "xlogy",
  ]

  static let list: [TensorOperation] = [
    TensorOperation(
      "special.entr", "−x · ln x: 0 at 0, and −∞ below.", Take.input, forms: .function,
      samples: [[.positive(2, 3)], [.values([4], [0.5, 1, 2, 0.25])]], composed: true, batching: .broadcast
    ) { x in
      let y = try Unary.neg(Binary.xlogy(x, x))
      return .tensor(try x.lt(0).choosing(Tensor.filled([], .real(-.infinity), dtype: y.dtype), else: y))
    },
    TensorOperation(
      "special.ndtr", "The normal distribution's share below x.", Take.input, forms: .function, samples: [[.float(2, 3)]], composed: true,
      batching: .broadcast
    ) { x in .tensor(try Unary.erfc(x * -0.5.squareRoot()) * 0.5) },
    TensorOperation(
      "special.xlog1py", "x · ln(1 + y), and 0 where x is 0.", Take.input, Take.tensor("other"), forms: .function,
      samples: [[.float(2, 3), .positive(2, 3)], [.float(2, 3), .positive(3)]], rejects: [[.float(2, 3), .float(2)]], batching: .broadcast
    ) { x, y in
      .tensor(
        try Formula.of([x, y], "SpecialXlog1PyBackward0") {
          let product = try $0[0] * Unary.log1p($0[1].to(DType.promoted($0[0].dtype, $0[1].dtype)))
          return try $0[0].eq(0).choosing(Tensor.zeros([], dtype: product.dtype), else: product)
        })
    },
    pair("logaddexp", "ln(eᵃ + eᵇ) without overflow.") { try Tensor.logAddExp($0, $1) },
    pair("logaddexp2", "log₂(2ᵃ + 2ᵇ) without overflow.") { try Tensor.logAddExp2($0, $1) },
    pair("fmax", "The larger element; NaN only where both are.") { try Tensor.extremeIgnoringNaN($0, $1, largest: true) },
    pair("fmin", "The smaller element; NaN only where both are.") { try Tensor.extremeIgnoringNaN($0, $1, largest: false) },
    pair("heaviside", "0 below 0, 1 above, and `other` at 0.", forms: .all, differentiable: false, composed: true) { x, other in
      guard x.dtype == other.dtype else {
        throw TensorError(.dtype, "heaviside", "the dtypes \(x.dtype) and \(other.dtype) differ")
      }
      return try withNoGrad { try x.eq(0).choosing(other, else: x.gt(0).to(x.dtype)) }
    },
    pair("gcd", "The greatest common divisor of whole numbers.", samples: wholes, forms: .all, differentiable: false) {
      try Tensor.common("gcd", $0, $1)
    },
    pair("lcm", "The least common multiple of whole numbers.", samples: wholes, forms: .all, differentiable: false) {
      try Tensor.common("lcm", $0, $1)
    },
    TensorOperation(
      "ldexp", "input · 2^other.", Take.input, Take.tensor("other"), forms: .all,
      samples: [[.float(2, 3), .integers([2, 3], -3...3)], [.float(2, 3), .float(3)]], rejects: [[.float(2, 3), .float(2)]], composed: true,
      batching: .broadcast
    ) { x, other in .tensor(try x * Unary.exp2(x.dtype.isFloating && !other.dtype.isFloating ? other.to(x.dtype) : other)) },
    TensorOperation(
      "rsub", "other − alpha · input.", Take.input, Take.operand("other"), Take.number("alpha", default: 1),
      samples: [[.float(2, 3), .float(3)], [.float(2, 3), .number(1.5)], [.float(2, 3), .number(1.5), .number(2)]],
      rejects: [[.float(2, 3), .float(2)]], composed: true, batching: .broadcast
    ) { x, other, alpha in
      let x = try x.scaled(alpha)
      return switch other {
      case .number(let number): .tensor(try x.subtracted(from: number))
      case .tensor(let other): .tensor(try other - x)
      }
    },
    TensorOperation(
      "nan_to_num", "NaN and infinities replaced, by 0 and the ends of the dtype's range where no numbers are given.", Take.input,
      Take.number("nan", default: 0), Take.optionalScalar("posinf"), Take.optionalScalar("neginf"), forms: .all,
      samples: [[.float(2, 3)], [.float(2, 3), .number(1), .number(2), .number(3)]], batching: .broadcast
    ) { x, nan, positive, negative in .tensor(try x.nanToNum(nan, positive?.real, negative?.real)) },
    TensorOperation(
      "logit", "ln(x / (1 − x)); with eps, of x brought between eps and 1 − eps.", Take.input, Take.optionalScalar("eps"), forms: .all,
      samples: [[.float([2, 3], 0.1...0.9)], [.float([2, 3], 0...1), .number(0.2)]], composed: true, batching: .broadcast
    ) { x, eps in .tensor(try x.logit(eps?.real)) },
    single("sinc", "sin(πx) / (πx), 1 at 0.", [[.float([2, 3], 0.6...1.9)], [.float(0, 2)]]) { try $0.sinc() },
    single("deg2rad", "Degrees as radians.") { try $0.asFloats() * (Double.pi / 180) },
    single("rad2deg", "Radians as degrees.") { try $0.asFloats() * (180 / Double.pi) },
    single(
      "bitwise_not", "Every bit the other way round.", [[.integers([2, 3], -9...9)], [.booleans([4])]], differentiable: false
    ) { try $0.bitwiseNot() },
    TensorOperation(
      "round", "The nearest whole number, halves to even; or rounded to a number of decimal places.", Take.input,
      Take.integer("decimals", default: 0), forms: .all,
      samples: [
        [.float(2, 3)], [.values([4], [0.5, 1.5, -0.5, 2.25])], [.float(2, 3), .integer(1)], [.float([2, 3], -900...900), .integer(-2)],
      ],
      rejects: [[.float(2), .integer(400)]], composed: true, unary: .round
    ) { x, decimals in .tensor(try x.round(decimals: decimals)) },
    single("positive", "The tensor itself.", forms: .both) { x in
      guard x.dtype != .bool else { throw TensorError(.dtype, "positive", "not defined for tensors of bool") }
      return x
    },
    TensorOperation(
      "erfinv", "The inverse of erf.", Take.input, forms: .all, samples: [[.float([2, 3], -0.9...0.9)], [.float(0, 2)]],
      batching: .broadcast
    ) { x in .tensor(try x.erfinv()) },
    TensorOperation(
      "clamp_min", "No element below the bound.", Take.input, Take.operand("min"), forms: .all,
      samples: [[.float(2, 3), .number(0.25)], [.float(2, 3), .float(3)]], composed: true, batching: .broadcast
    ) { x, low in
      switch low {
      case .number(let number): .tensor(try x.clamp(number, nil))
      case .tensor(let low): .tensor(try x.clamp(low, nil))
      }
    },
    TensorOperation(
      "clamp_max", "No element above the bound.", Take.input, Take.operand("max"), forms: .all,
      samples: [[.float(2, 3), .number(0.25)], [.float(2, 3), .float(3)]], composed: true, batching: .broadcast
    ) { x, high in
      switch high {
      case .number(let number): .tensor(try x.clamp(nil, number))
      case .tensor(let high): .tensor(try x.clamp(nil, high))
      }
    },
  ]
}

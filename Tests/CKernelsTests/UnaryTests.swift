// Functions of one operand against libm in double precision: every operation on every value worth trying, with the
// error it may have, in ulp.
import CKernels
import Foundation
import Testing

struct UnaryCase: Sendable, CustomStringConvertible {
  let name: String
  let op: mg_unary_op
  let ulps: (float: Double, double: Double)
  let truth: @Sendable (Double) -> Double

  init(
    _ name: String, _ op: mg_unary_op, _ float: Double, _ double: Double, _ truth: @escaping @Sendable (Double) -> Double
  ) {
    self.name = name
    self.op = op
    self.ulps = (float, double)
    self.truth = truth
  }
  var description: String { name }
}

private func sigmoid(_ x: Double) -> Double {
  let e = exp(-abs(x))
  return (x < 0 ? e : 1) / (1 + e)
}
private func softplus(_ x: Double) -> Double { x.isNaN ? x : max(x, 0) + log1p(exp(-abs(x))) }
private func relu6(_ x: Double) -> Double { x.isNaN ? x : min(max(x, 0), 6) }
private func atMinusInfinity(_ x: Double, _ y: Double) -> Double { x == -.infinity ? 0 : y }

/// Half a unit is the best there is; the bounds of SLEEF's functions are its own, the others were found by sweeping
/// all exponents.
private let cases: [UnaryCase] = [
  UnaryCase("neg", MG_NEG, 0, 0) { -$0 },
  UnaryCase("abs", MG_ABS, 0, 0) { abs($0) },
  UnaryCase("sign", MG_SIGN, 0, 0) { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 },
  UnaryCase("square", MG_SQUARE, 0.5, 0.5) { $0 * $0 },
  UnaryCase("relu", MG_RELU, 0, 0) { $0 < 0 ? 0 : $0 },
  UnaryCase("sqrt", MG_SQRT, 0.51, 0.51) { sqrt($0) },
  UnaryCase("rsqrt", MG_RSQRT, 1.5, 1.5) { 1 / sqrt($0) },
  UnaryCase("reciprocal", MG_RECIPROCAL, 0.51, 0.51) { 1 / $0 },
  UnaryCase("exp", MG_EXP, 0.9, 1.5) { exp($0) },
  UnaryCase("exp2", MG_EXP2, 1.1, 1.5) { exp2($0) },
  UnaryCase("expm1", MG_EXPM1, 1.6, 1.5) { expm1($0) },
  UnaryCase("log", MG_LOG, 0.8, 1.5) { log($0) },
  UnaryCase("log2", MG_LOG2, 1.1, 1.5) { log2($0) },
  UnaryCase("log10", MG_LOG10, 1.1, 1.5) { log10($0) },
  UnaryCase("log1p", MG_LOG1P, 1.4, 1.5) { log1p($0) },
  UnaryCase("sin", MG_SIN, 1.1, 1.5) { sin($0) },
  UnaryCase("cos", MG_COS, 1.1, 1.5) { cos($0) },
  UnaryCase("tan", MG_TAN, 1.1, 1.5) { tan($0) },
  UnaryCase("asin", MG_ASIN, 1.1, 1.5) { asin($0) },
  UnaryCase("acos", MG_ACOS, 1.1, 1.5) { acos($0) },
  UnaryCase("atan", MG_ATAN, 1.1, 1.5) { atan($0) },
  UnaryCase("sinh", MG_SINH, 1.1, 2.5) { sinh($0) },
  UnaryCase("cosh", MG_COSH, 1.1, 2.5) { cosh($0) },
  UnaryCase("tanh", MG_TANH, 2.4, 3) { tanh($0) },
  UnaryCase("asinh", MG_ASINH, 1.1, 2.5) { asinh($0) },
  UnaryCase("acosh", MG_ACOSH, 1.1, 2.5) { acosh($0) },
  UnaryCase("atanh", MG_ATANH, 1.1, 2.5) { atanh($0) },
  UnaryCase("erf", MG_ERF, 1.1, 2) { erf($0) },
  UnaryCase("erfc", MG_ERFC, 1.6, 4) { erfc($0) },
  UnaryCase("lgamma", MG_LGAMMA, 1.1, 5) { lgamma($0) },
  UnaryCase("floor", MG_FLOOR, 0, 0) { $0.rounded(.down) },
  UnaryCase("ceil", MG_CEIL, 0, 0) { $0.rounded(.up) },
  UnaryCase("round", MG_ROUND, 0, 0) { $0.rounded(.toNearestOrEven) },
  UnaryCase("trunc", MG_TRUNC, 0, 0) { $0.rounded(.towardZero) },
  UnaryCase("frac", MG_FRAC, 0, 0) { $0 - $0.rounded(.towardZero) },
  UnaryCase("sigmoid", MG_SIGMOID, 1.7, 3) { sigmoid($0) },
  UnaryCase("logsigmoid", MG_LOGSIGMOID, 2, 3) { $0.isNaN ? $0 : min($0, 0) - log1p(exp(-abs($0))) },
  UnaryCase("softplus", MG_SOFTPLUS, 2, 3) { softplus($0) },
  UnaryCase("silu", MG_SILU, 2.4, 5) { atMinusInfinity($0, $0 * sigmoid($0)) },
  // The far tails, down to the last denormal: relative errors of 7 · 2⁻²⁴, and in float64 of 2⁻⁴⁸ and 2⁻⁴².
  UnaryCase("gelu", MG_GELU, 12, 3000) { atMinusInfinity($0, 0.5 * $0 * erfc(-$0 / 2.0.squareRoot())) },
  UnaryCase("gelu_tanh", MG_GELU_TANH, 2.5, 3000) {
    atMinusInfinity($0, $0 * sigmoid($0 * (1.5957691216057308 + 0.07135481627159136 * $0 * $0)))
  },
  UnaryCase("softsign", MG_SOFTSIGN, 1.5, 1.5) { $0 / (1 + abs($0)) },
  UnaryCase("mish", MG_MISH, 4.5, 7) {
    let e = exp(min($0, 40)), w = e * (e + 2)
    return $0.isNaN ? $0 : atMinusInfinity($0, $0 * (w / (w + 2)))
  },
  UnaryCase("hardtanh", MG_HARDTANH, 0, 0) { $0.isNaN ? $0 : min(max($0, -1), 1) },
  UnaryCase("relu6", MG_RELU6, 0, 0) { relu6($0) },
  UnaryCase("hardsigmoid", MG_HARDSIGMOID, 1.5, 1.5) { relu6($0 + 3) / 6 },
  UnaryCase("hardswish", MG_HARDSWISH, 3, 3) { $0 > 3 ? $0 : $0 * relu6($0 + 3) / 6 },
]

private func apply<T: Element>(_ op: mg_unary_op, _ x: [T]) -> [T] {
  filled(x.count) { mg_unary(op, T.dtype, Int64(x.count), x, 1, $0) }
}

/// The element worst off, when it is off by more than allowed.
private func worst<T: FloatElement>(_ x: [T], _ y: [T], _ ulps: Double, _ truth: (Double) -> Double) -> String? {
  var worst = 0.0, text: String?
  for (x, y) in zip(x, y) {
    let expected = truth(Double(x)), d = distance(y, expected)
    if d > max(worst, ulps) { (worst, text) = (d, "f(\(x)) = \(y), not \(expected): \(d) ulp, more than \(ulps)") }
  }
  return text
}

@Suite struct UnaryTests {
  @Test(arguments: cases)
  func isAccurate(_ unary: UnaryCase) {
    #expect(mg_unary_has(unary.op, MG_F32) && mg_unary_has(unary.op, MG_F64))
    let floats = Float.samples(2000)
    #expect(worst(floats, apply(unary.op, floats), unary.ulps.float, unary.truth) == nil)
    // A denormal argument or result says little about a relative error that libm shares.
    let doubles = Double.samples(2000).filter { unary.ulps.double < 1000 || abs($0) < 10 || !$0.isFinite }
    let tails: Set = [MG_SILU.rawValue, MG_MISH.rawValue]
    let usual = doubles.filter { !tails.contains(unary.op.rawValue) || !(-745 ... -700 ~= $0) }
    #expect(worst(usual, apply(unary.op, usual), unary.ulps.double, unary.truth) == nil)
  }

  /// Every exponent and many mantissas, of both signs.
  @Test(
    arguments: cases.filter {
      ["exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "silu", "gelu", "erf"].contains($0.name)
    })
  func isAccurateEverywhere(_ unary: UnaryCase) {
    var x = [Float]()
    var bits: UInt32 = 0
    while bits < UInt32.max - 65_537 {
      x.append(Float(bitPattern: bits))
      bits += 65_537
    }
    #expect(worst(x, apply(unary.op, x), unary.ulps.float, unary.truth) == nil)
  }

  /// Whether an element is computed in a block or in the rest of one, or stands in x or y itself, must not show.
  @Test(arguments: cases)
  func doesNotDependOnPosition(_ unary: UnaryCase) {
    let x = (0..<70).map { Float($0) * 0.37 - 9 }
    let whole = apply(unary.op, x)
    for n in [0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 65] {
      let part = apply(unary.op, Array(x.prefix(n)))
      #expect(areSame(part, whole), "\(n) elements")
      var inPlace = Array(x.prefix(n)) + [0]
      inPlace.withUnsafeMutableBufferPointer { mg_unary(unary.op, MG_F32, Int64(n), $0.baseAddress!, 1, $0.baseAddress!) }
      #expect(areSame(inPlace.prefix(n), whole), "\(n) elements in place")
    }
    let everyOther: [Float] = filled(35) { mg_unary(unary.op, MG_F32, 35, x, 2, $0) }
    #expect(everyOther.indices.allSatisfy { isSame(everyOther[$0], whole[2 * $0]) })
    let repeated: [Float] = filled(20) { mg_unary(unary.op, MG_F32, 20, [x[3]], 0, $0) }
    #expect(repeated.allSatisfy { isSame($0, whole[3]) })
  }

  /// ψ(1) = −γ, ψ(½) = −γ − 2 ln 2, ψ(x + 1) = ψ(x) + 1/x, ψ(1 − x) = ψ(x) + π/tan(πx).
  @Test func digammaKeepsItsLaws() {
    let gamma = 0.5772156649015329
    let known = apply(MG_DIGAMMA, [1, 0.5, 2, .infinity] as [Double])
    #expect(abs(known[0] + gamma) < 1e-14 && abs(known[1] + gamma + 2 * log(2)) < 1e-14)
    #expect(abs(known[2] - (1 - gamma)) < 1e-14 && known[3] == .infinity)
    #expect(apply(MG_DIGAMMA, [-1, -7, -.infinity, .nan] as [Double]).allSatisfy { $0.isNaN })
    #expect(apply(MG_DIGAMMA, [0.0, -0.0] as [Float]) == [-.infinity, .infinity])
    let x = (1...200).map { Double($0) * 0.173 }
    let here = apply(MG_DIGAMMA, x), next = apply(MG_DIGAMMA, x.map { $0 + 1 }), mirrored = apply(MG_DIGAMMA, x.map { 1 - $0 })
    for i in x.indices {
      #expect(abs(next[i] - here[i] - 1 / x[i]) < 1e-12 * max(1, abs(here[i])))
      if x[i] < 20 { #expect(abs(mirrored[i] - here[i] - .pi / tan(.pi * x[i])) < 1e-9) }
    }
    let floats = apply(MG_DIGAMMA, x.map(Float.init))
    #expect(zip(floats, apply(MG_DIGAMMA, x.map { Double(Float($0)) })).allSatisfy { $0 == Float($1) })
  }

  @Test func integersWrap() {
    func check<T: Element & FixedWidthInteger>(_: T.Type) {
      let x = T.edges
      #expect(apply(MG_NEG, x) == x.map { 0 &- $0 })
      #expect(apply(MG_ABS, x) == x.map { $0 < 0 ? 0 &- $0 : $0 })
      #expect(apply(MG_SIGN, x) == x.map { T(truncatingIfNeeded: $0.signum()) })
      #expect(apply(MG_SQUARE, x) == x.map { $0 &* $0 })
      #expect(apply(MG_RELU, x) == x.map { max($0, 0) })
      for op in [MG_FLOOR, MG_CEIL, MG_ROUND, MG_TRUNC] { #expect(apply(op, x) == x) }
      #expect(!mg_unary_has(MG_EXP, T.dtype) && mg_unary_has(MG_FLOOR, T.dtype) && !mg_unary_has(MG_FRAC, T.dtype))
    }
    check(Int64.self)
    check(Int32.self)
    check(UInt8.self)
    #expect(!mg_unary_has(MG_NEG, MG_BOOL))
  }
}

// MARK: predicates and parameters

@Suite struct PredicateTests {
  private func ask<T: Element>(_ op: mg_predicate_op, _ x: [T]) -> [Bool] {
    var nest = flat(x.count)
    let answers: [UInt8] = filled(x.count) { mg_predicate_nd(op, T.dtype, &nest, x, $0) }
    #expect(answers.allSatisfy { $0 <= 1 })
    return answers.map { $0 == 1 }
  }

  @Test func ofFloats() {
    func check<T: FloatElement>(_: T.Type) {
      let x = T.samples(100)
      #expect(ask(MG_ISNAN, x) == x.map(\.isNaN))
      #expect(ask(MG_ISINF, x) == x.map(\.isInfinite))
      #expect(ask(MG_ISFINITE, x) == x.map(\.isFinite))
      #expect(ask(MG_LOGICAL_NOT, x) == x.map { $0 == 0 })
      #expect(ask(MG_NONZERO, x) == x.map { $0 != 0 })
      #expect(ask(MG_SIGNBIT, x) == x.map { $0.sign == .minus })
    }
    check(Float.self)
    check(Double.self)
  }

  @Test func ofIntegers() {
    func check<T: Element & FixedWidthInteger>(_: T.Type) {
      let x = T.edges
      #expect(ask(MG_ISNAN, x) == x.map { _ in false } && ask(MG_ISINF, x) == x.map { _ in false })
      #expect(ask(MG_ISFINITE, x) == x.map { _ in true })
      #expect(ask(MG_LOGICAL_NOT, x) == x.map { $0 == 0 } && ask(MG_NONZERO, x) == x.map { $0 != 0 })
      #expect(ask(MG_SIGNBIT, x) == x.map { $0 < 0 })
    }
    check(Int64.self)
    check(Int32.self)
    check(UInt8.self)
  }
}

@Suite struct ParameterTests {
  private func apply<T: Element>(_ op: mg_unary2_op, _ x: [T], _ p: Double, _ q: Double = 0) -> [T] {
    var nest = flat(x.count)
    return filled(x.count) { mg_unary2_nd(op, T.dtype, &nest, x, p, q, $0) }
  }

  @Test func clampTakesNoBoundFromNaN() {
    let x = Float.edges
    func clamped(_ v: Float, _ low: Float, _ high: Float) -> Float {
      let raised = v < low ? low : v
      return high < raised ? high : raised
    }
    for (low, high) in [(-1, 2), (.nan, 2), (-1, .nan), (.nan, .nan), (3, -3), (-Double.infinity, .infinity)] as [(Double, Double)] {
      let result = apply(MG_CLAMP, x, low, high)
      #expect(zip(result, x).allSatisfy { isSame($0, clamped($1, Float(low), Float(high))) }, "\(low) \(high)")
    }
    #expect(apply(MG_CLAMP, Int32.edges, -5, 7) == Int32.edges.map { min(max($0, -5), 7) })
    #expect(apply(MG_CLAMP, Int64.edges, .nan, 1e300) == Int64.edges)
    #expect(apply(MG_CLAMP, UInt8.edges, -4, 100) == UInt8.edges.map { min($0, 100) })
    #expect(apply(MG_CLAMP, UInt8.edges, 9, .nan) == UInt8.edges.map { max($0, 9) })
  }

  @Test func activations() {
    let x = Float.samples(300)
    func check(_ name: String, _ y: [Float], _ ulps: Double = 0, _ truth: (Double) -> Double) {
      #expect(worst(x, y, ulps, truth) == nil, "\(name)")
    }
    check("leaky_relu", apply(MG_LEAKY_RELU, x, 0.25), 0.5) { $0 > 0 ? $0 : 0.25 * $0 }
    check("threshold", apply(MG_THRESHOLD, x, 1, 20)) { $0 <= 1 ? 20 : $0 }
    check("hardshrink", apply(MG_HARDSHRINK, x, 0.5)) { abs($0) <= 0.5 ? 0 : $0 }
    check("softshrink", apply(MG_SOFTSHRINK, x, 0.5), 0.5) {
      $0 > 0.5 ? $0 - 0.5 : $0 < -0.5 ? $0 + 0.5 : $0.isNaN ? $0 : 0
    }
    check("elu", apply(MG_ELU, x, 1.5), 3) { $0 > 0 ? $0 : 1.5 * expm1($0) }
    check("celu", apply(MG_CELU, x, 2), 3) { $0 > 0 ? $0 : 2 * expm1($0 / 2) }
    check("softplus", apply(MG_SOFTPLUS2, x, 2, 20), 3) { $0 * 2 > 20 ? $0 : log1p(exp(2 * $0)) / 2 }
  }

  @Test func addcmulAndAddcdiv() {
    let x: [Double] = [1, 2, 3, 4, 5], a: [Double] = [2, 3, 5, 7, 11], b: [Double] = [0.5, 4, 8, 2, 0.25]
    var nest = flat(5)
    let product: [Double] = filled(5) { mg_addcmul_nd(MG_F64, &nest, x, a, b, 0.5, $0) }
    #expect(product == x.indices.map { x[$0] + 0.5 * a[$0] * b[$0] })
    let quotient: [Double] = filled(5) { mg_addcdiv_nd(MG_F64, &nest, x, a, b, 0.5, $0) }
    #expect(quotient == x.indices.map { x[$0] + 0.5 * a[$0] / b[$0] })
    var y = x
    mg_axpy(MG_F64, 5, 2, a, &y)
    #expect(y == x.indices.map { x[$0] + 2 * a[$0] })
    var rows: [Float] = [1, 2, 3, 4, 5, 6]
    mg_add_row(MG_F32, 2, 3, [10, 20, 30] as [Float], &rows)
    #expect(rows == [11, 22, 33, 14, 25, 36])
  }
}

// Functions of two operands: every operation on all pairs of values worth trying, against Swift's operators or libm.
import CKernels
import Foundation
import Testing

/// All pairs of the values, as two arrays.
private func pairs<T>(_ values: [T]) -> (a: [T], b: [T]) {
  (values.flatMap { a in values.map { _ in a } }, values.flatMap { _ in values })
}

private func apply<T: Element>(_ op: mg_binary_op, _ a: [T], _ b: [T]) -> [T] {
  filled(a.count) { mg_binary(op, T.dtype, Int64(a.count), a, 1, b, 1, $0) }
}

@Suite struct FloatBinaryTests {
  private func check<T: FloatElement>(
    _ name: String, _ op: mg_binary_op, _: T.Type, ulps: Double? = nil, more: Int = 300, _ truth: (T, T) -> T
  ) {
    #expect(mg_binary_has(op, T.dtype))
    var (a, b) = pairs(T.edges)
    a += T.samples(more, seed: 2)
    b += T.samples(more, seed: 3)
    let y = apply(op, a, b)
    var wrong: String?
    for i in a.indices where wrong == nil {
      let expected = truth(a[i], b[i])
      let fine = ulps.map { distance(y[i], Double(expected)) <= $0 } ?? isSame(y[i], expected)
      if !fine { wrong = "\(name)(\(a[i]), \(b[i])) = \(y[i]), not \(expected)" }
    }
    #expect(wrong == nil)
  }

  private func checkArithmetic<T: FloatElement>(_: T.Type) {
    check("add", MG_ADD, T.self) { $0 + $1 }
    check("sub", MG_SUB, T.self) { $0 - $1 }
    check("mul", MG_MUL, T.self) { $0 * $1 }
    check("div", MG_DIV, T.self) { $0 / $1 }
    check("maximum", MG_MAXIMUM, T.self, ulps: 0) { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }
    check("minimum", MG_MINIMUM, T.self, ulps: 0) { $0.isNaN || $1.isNaN ? .nan : min($0, $1) }
    check("fmod", MG_FMOD, T.self) { $0.truncatingRemainder(dividingBy: $1) }
    check("remainder", MG_REMAINDER, T.self) { a, b in
      let r = a.truncatingRemainder(dividingBy: b)
      return r != 0 && (r < 0) != (b < 0) ? r + b : r
    }
    check("floor_divide", MG_FLOOR_DIVIDE, T.self) { a, b in
      if b == 0 { return a / b }
      let r = a.truncatingRemainder(dividingBy: b)
      var quotient = (a - r) / b
      if r != 0 && (r < 0) != (b < 0) { quotient -= 1 }
      if quotient == 0 { return T(signOf: a / b, magnitudeOf: 0) }
      let whole = quotient.rounded(.down)
      return quotient - whole > 0.5 ? whole + 1 : whole
    }
    check("copysign", MG_COPYSIGN, T.self) { $0.isNaN ? .nan : T(signOf: $1, magnitudeOf: $0) }
    check("relu_grad", MG_RELU_GRAD, T.self) { $1 <= 0 ? 0 : $0 }
    check("sigmoid_grad", MG_SIGMOID_GRAD, T.self) { $0 * (1 - $1) * $1 }
    check("tanh_grad", MG_TANH_GRAD, T.self) { $0 * (1 - $1 * $1) }
    for op in [MG_BIT_AND, MG_SHIFT_LEFT] { #expect(!mg_binary_has(op, T.dtype)) }
  }

  @Test func arithmetic() {
    checkArithmetic(Float.self)
    checkArithmetic(Double.self)
  }

  /// Gradients of activations, whose terms may cancel: within a few steps of the larger one.
  @Test(arguments: [0, 1, 255, 256, 257, 40_000])
  func activationGradients(_ n: Int) {
    var numbers = Numbers(8)
    let x = (0..<n).map { _ in numbers.uniform(-12, 12) }, g = (0..<n).map { _ in numbers.uniform(-2, 2) }
    func check<T: FloatElement>(_ op: mg_binary_op, _ x: [T], _ g: [T], _ slope: (Double) -> Double) {
      for (gStride, xStride) in [(1, 1), (0, 1), (1, 0)] where n > 0 {
        let nest = loop([n], [1], [gStride], [xStride])
        let (one, two): ([T], [T]) = onOneAndTwoThreads {
          filled(n) { y in withUnsafePointer(to: nest) { mg_binary_nd(op, T.dtype, $0, g, x, y) } }
        }
        #expect(one == two)
        for i in 0..<n {
          let (gradient, at) = (Double(g[i * gStride]), Double(x[i * xStride]))
          let tolerance = 8 * Double(T.ulpOfOne) * abs(gradient) * (1 + abs(at))
          if abs(Double(one[i]) - gradient * slope(at)) > tolerance { Issue.record("\(op) at \(at): \(one[i])") }
        }
        guard gStride == 1 else { continue }
        let inPlace: [T] = filled(n) { y in
          y.update(from: g, count: n)
          withUnsafePointer(to: nest) { mg_binary_nd(op, T.dtype, $0, y, x, y) }
        }
        #expect(inPlace == one)
      }
    }
    func both(_ op: mg_binary_op, _ slope: (Double) -> Double) {
      check(op, x, g, slope)
      check(op, x.map(Float.init), g.map(Float.init), slope)
    }
    both(MG_SILU_GRAD) { x in
      let s = 1 / (1 + exp(-x))
      return s * (1 + x * (1 - s))
    }
    both(MG_GELU_GRAD) { x in erfc(-x / 2.0.squareRoot()) / 2 + x * exp(-x * x / 2) / (2 * Double.pi).squareRoot() }
    both(MG_GELU_TANH_GRAD) { x in
      let k = (2 / Double.pi).squareRoot()
      let t = tanh(k * (x + 0.044715 * x * x * x))
      return (1 + t) / 2 + x / 2 * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x)
    }
  }

  @Test func transcendental() {
    func float(_ name: String, _ op: mg_binary_op, _ truth: @escaping (Double, Double) -> Double) {
      check(name, op, Float.self, ulps: 1.6) { Float(truth(Double($0), Double($1))) }
      check(name, op, Double.self, ulps: 2.5) { truth($0, $1) }
    }
    float("pow", MG_POW) { pow($0, $1) }
    float("atan2", MG_ATAN2) { atan2($0, $1) }
    float("hypot", MG_HYPOT) { hypot($0, $1) }
    float("xlogy", MG_XLOGY) { $1.isNaN ? $1 : $0 == 0 ? 0 : $0 * log($1) }
  }

  /// Exponents with formulas of their own.
  @Test(arguments: [2, 3, -1, 0.5, 1, 0, -2, 1.5] as [Double])
  func powerOfNumber(_ exponent: Double) {
    let x = Float.samples(200)
    let y: [Float] = filled(x.count) { mg_binary(MG_POW, MG_F32, Int64(x.count), x, 1, [Float(exponent)], 0, $0) }
    for (x, y) in zip(x, y) { #expect(distance(y, pow(Double(x), exponent)) <= 1.6, "\(x) ^ \(exponent) = \(y)") }
  }
}

@Suite struct IntegerBinaryTests {
  private func check<T: Element & FixedWidthInteger>(_ name: String, _ op: mg_binary_op, _: T.Type, _ truth: (T, T) -> T) {
    #expect(mg_binary_has(op, T.dtype))
    let (a, b) = pairs(T.edges), y = apply(op, a, b)
    let wrong = a.indices.first { y[$0] != truth(a[$0], b[$0]) }
    #expect(wrong == nil, "\(T.self) \(name) \(wrong.map { "\(a[$0]) \(b[$0]): \(y[$0])" } ?? "")")
  }

  private func checkAll<T: Element & FixedWidthInteger>(_: T.Type) {
    check("add", MG_ADD, T.self) { $0 &+ $1 }
    check("sub", MG_SUB, T.self) { $0 &- $1 }
    check("mul", MG_MUL, T.self) { $0 &* $1 }
    check("maximum", MG_MAXIMUM, T.self) { max($0, $1) }
    check("minimum", MG_MINIMUM, T.self) { min($0, $1) }
    check("fmod", MG_FMOD, T.self) { $1 == 0 ? 0 : $0.remainderReportingOverflow(dividingBy: $1).partialValue }
    check("remainder", MG_REMAINDER, T.self) { a, b in
      if b == 0 { return 0 }
      let r = a.remainderReportingOverflow(dividingBy: b).partialValue
      return r != 0 && (r < 0) != (b < 0) ? r + b : r
    }
    check("floor_divide", MG_FLOOR_DIVIDE, T.self) { a, b in
      if b == 0 { return 0 }
      let (quotient, overflow) = a.dividedReportingOverflow(by: b)
      if overflow { return quotient }
      return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient
    }
    check("pow", MG_POW, T.self) { base, exponent in
      if exponent < 0 { return base == 1 ? 1 : base == 0 &- 1 ? (exponent & 1 == 0 ? 1 : base) : 0 }
      var result: T = 1, square = base, rest = exponent
      while rest != 0 {
        if rest & 1 == 1 { result = result &* square }
        square = square &* square
        rest >>= 1
      }
      return result
    }
    check("bit_and", MG_BIT_AND, T.self) { $0 & $1 }
    check("bit_or", MG_BIT_OR, T.self) { $0 | $1 }
    check("bit_xor", MG_BIT_XOR, T.self) { $0 ^ $1 }
    check("shift_left", MG_SHIFT_LEFT, T.self) { $1 < 0 || $1 >= T.bitWidth ? 0 : $0 << $1 }
    check("shift_right", MG_SHIFT_RIGHT, T.self) { a, b in
      b < 0 || b >= T.bitWidth ? (a < 0 ? 0 &- 1 : 0) : a >> b
    }
    check("relu_grad", MG_RELU_GRAD, T.self) { $1 <= 0 ? 0 : $0 }
    #expect(!mg_binary_has(MG_DIV, T.dtype) && !mg_binary_has(MG_TANH_GRAD, T.dtype))
  }

  @Test func ofEveryWidth() {
    checkAll(Int64.self)
    checkAll(Int32.self)
    checkAll(UInt8.self)
  }

  /// int32 divides in float64.
  @Test func int32DividesExactly() {
    var numbers = Numbers(4)
    let a = (0..<5000).map { _ in Int32(truncatingIfNeeded: numbers.next()) }
    let b = (0..<5000).map { _ in Int32(truncatingIfNeeded: numbers.next()) >> Int32(numbers.below(31)) }.map { $0 == 0 ? 3 : $0 }
    let quotient = apply(MG_FLOOR_DIVIDE, a, b), rest = apply(MG_REMAINDER, a, b)
    for i in a.indices { #expect(Int64(quotient[i]) * Int64(b[i]) + Int64(rest[i]) == Int64(a[i])) }
  }

  /// Blocks of numbers that are exact in double, up to the largest such ones, and blocks with one that is not.
  @Test(arguments: [1, 127, 128, 129, 1000, 70_000])
  func wholeQuotients(_ n: Int) {
    var numbers = Numbers(12)
    let edge: Int64 = 1 << 51
    let near: [Int64] = [edge - 1, -edge + 1, -edge, edge / 3, 1, -1, 2, 3, -3, 7, 0, 1_000_003]
    for wide in [[], [edge, -edge - 1, .max, .min]] {
      func any(_ i: Int) -> Int64 {
        if !wide.isEmpty, i % 300 == 5 { return wide[numbers.below(wide.count)] }
        return numbers.below(2) == 0 ? near[numbers.below(near.count)] : Int64(bitPattern: numbers.next()) >> Int64(13 + numbers.below(50))
      }
      let a = (0..<n).map(any), b = (0..<n).map(any)
      for (aStride, bStride) in [(1, 1), (0, 1), (1, 0)] {
        func found(_ op: mg_binary_op) -> [Int64] {
          filled(n) { mg_binary(op, MG_I64, Int64(n), a, Int64(aStride), b, Int64(bStride), $0) }
        }
        let (quotients, remainders, rests) = (found(MG_FLOOR_DIVIDE), found(MG_REMAINDER), found(MG_FMOD))
        for i in 0..<n {
          let (x, y) = (a[i * aStride], b[i * bStride])
          let expected: (Int64, Int64, Int64)
          if y == 0 {
            expected = (0, 0, 0)
          } else {
            let (quotient, rest) = (
              x.dividedReportingOverflow(by: y).partialValue, x.remainderReportingOverflow(dividingBy: y).partialValue
            )
            let isBelow = rest != 0 && (rest < 0) != (y < 0)
            expected = (isBelow ? quotient - 1 : quotient, isBelow ? rest + y : rest, rest)
          }
          if (quotients[i], remainders[i], rests[i]) != expected {
            Issue.record("\(x) by \(y): \(quotients[i]), \(remainders[i]), \(rests[i])")
          }
        }
      }
    }
  }

  @Test func ofBool() {
    let a: [UInt8] = [0, 0, 1, 1], b: [UInt8] = [0, 1, 0, 1]
    func truth(_ op: mg_binary_op) -> [UInt8] { filled(4) { mg_binary(op, MG_BOOL, 4, a, 1, b, 1, $0) } }
    for op in [MG_ADD, MG_MAXIMUM, MG_BIT_OR] { #expect(truth(op) == [0, 1, 1, 1]) }
    for op in [MG_MUL, MG_MINIMUM, MG_BIT_AND] { #expect(truth(op) == [0, 0, 0, 1]) }
    #expect(truth(MG_BIT_XOR) == [0, 1, 1, 0])
    for op in [MG_SUB, MG_POW, MG_SHIFT_LEFT] { #expect(!mg_binary_has(op, MG_BOOL)) }
  }
}

@Suite struct CompareTests {
  private func check<T: Element>(_ values: [T]) {
    let (a, b) = pairs(values)
    var nest = flat(a.count)
    func answers(_ op: mg_compare_op) -> [UInt8] { filled(a.count) { mg_compare_nd(op, T.dtype, &nest, a, b, $0) } }
    func truth(_ f: (T, T) -> Bool) -> [UInt8] { zip(a, b).map { f($0, $1) ? 1 : 0 } }
    #expect(answers(MG_EQ) == truth(==))
    #expect(answers(MG_NE) == truth(!=))
    #expect(answers(MG_LT) == truth(<))
    #expect(answers(MG_LE) == truth(<=))
    #expect(answers(MG_GT) == truth(>))
    #expect(answers(MG_GE) == truth(>=))
    #expect(answers(MG_LOGICAL_AND) == truth { $0 != 0 && $1 != 0 })
    #expect(answers(MG_LOGICAL_OR) == truth { $0 != 0 || $1 != 0 })
    #expect(answers(MG_LOGICAL_XOR) == truth { ($0 != 0) != ($1 != 0) })
  }

  @Test func everyType() {
    check(Float.edges)
    check(Double.edges)
    check(Int64.edges)
    check(Int32.edges)
    check(UInt8.edges)
  }

  @Test func whereChooses() {
    let c: [UInt8] = [1, 0, 1, 0, 0], a: [Float] = [1, 2, 3, 4, .infinity], b: [Float] = [10, 20, 30, 40, 50]
    let shapes: [([Int], [Int], [Int])] = [([1], [1], [1]), ([1], [0], [1]), ([1], [1], [0]), ([1], [0], [0]), ([0], [1], [1])]
    for (cs, sa, sb) in shapes {
      var nest = loop([5], [1], cs, sa, sb)
      let y: [Float] = filled(5) { mg_where_nd(MG_F32, &nest, c, a, b, $0) }
      #expect(y == (0..<5).map { c[$0 * cs[0]] == 1 ? a[$0 * sa[0]] : b[$0 * sb[0]] })
    }
  }
}

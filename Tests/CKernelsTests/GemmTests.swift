// Matrix products against the definition. The entries are small integers, so that every sum is exact and a result is
// right or wrong to the last bit, whatever order a kernel adds in.
import CKernels
import Foundation
import Testing

private let sizes = [0, 1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 64, 100]
private let booleans = [false, true]

/// A matrix in memory: row-major with `gap` unused elements after each row, the rows of its transpose if `transposed`.
private struct Stored<Element: Numeric> {
  let values: UnsafeMutablePointer<Element>
  let stride: Int
  let count: Int

  init(
    rows: Int, columns: Int, transposed: Bool = false, gap: Int = 0, outside: Element,
    _ entry: (Int, Int) -> Element
  ) {
    let (outer, inner) = transposed ? (columns, rows) : (rows, columns)
    stride = inner + gap
    count = outer * stride
    values = .allocate(capacity: max(count, 1))
    values.initialize(repeating: outside, count: count)
    var i = 0
    while i < outer {
      var j = 0
      while j < inner {
        values[i * stride + j] = transposed ? entry(j, i) : entry(i, j)
        j += 1
      }
      i += 1
    }
  }

  func copy() -> UnsafeMutablePointer<Element> {
    let copy = UnsafeMutablePointer<Element>.allocate(capacity: max(count, 1))
    copy.initialize(from: values, count: count)
    return copy
  }
}

// Periods without a common divisor, so that no two rows or columns agree.
private func entryA(_ i: Int, _ p: Int) -> Int { (i * 7 + p * 5) % 11 - 5 }
private func entryB(_ p: Int, _ j: Int) -> Int { (p * 3 + j * 5) % 13 - 6 }
private func entryC(_ i: Int, _ j: Int) -> Int { (i * 3 + j * 2) % 17 - 8 }
private func entryBias(_ j: Int) -> Int { j % 19 - 9 }

/// A·B by the definition, row-major.
private func product(_ m: Int, _ n: Int, _ k: Int) -> [Int] {
  let a = Stored<Int>(rows: m, columns: k, outside: 0, entryA)
  let b = Stored<Int>(rows: k, columns: n, outside: 0, entryB)
  defer {
    a.values.deallocate()
    b.values.deallocate()
  }
  var result = [Int](repeating: 0, count: m * n)
  result.withUnsafeMutableBufferPointer { result in
    var i = 0
    while i < m {
      var p = 0
      while p < k {
        let factor = a.values[i * k + p]
        let row = b.values + p * n
        var j = 0
        while j < n {
          result[i * n + j] &+= factor &* row[j]
          j &+= 1
        }
        p += 1
      }
      i += 1
    }
  }
  return result
}

private typealias Gemm<Element> = (
  Bool, Bool, Int64, Int64, Int64, UnsafePointer<Element>?, Int64, UnsafePointer<Element>?, Int64, Bool,
  UnsafePointer<Element>?, UnsafeMutablePointer<Element>?, Int64
) -> Void

/// Every transposition, accumulation and bias for one shape. Gaps after rows, in every other shape, must be left alone.
private func check<Element: BinaryFloatingPoint>(_ m: Int, _ n: Int, _ k: Int, _ gemm: Gemm<Element>) {
  let gap = (m + n + k) % 2 * 3
  let ab = product(m, n, k)
  let bias = Stored<Element>(rows: 1, columns: n, outside: 0) { Element(entryBias($1)) }
  let before = Stored<Element>(rows: m, columns: n, gap: gap, outside: 777) { Element(entryC($0, $1)) }
  defer {
    bias.values.deallocate()
    before.values.deallocate()
  }
  var expected: [Stored<Element>] = []  // by accumulate, then bias
  for accumulates in booleans {
    for biased in booleans {
      expected.append(
        Stored<Element>(rows: m, columns: n, gap: gap, outside: 777) { i, j in
          Element(ab[i * n + j] + (accumulates ? entryC(i, j) : 0) + (biased ? entryBias(j) : 0))
        })
    }
  }
  defer { for one in expected { one.values.deallocate() } }
  for transposesA in booleans {
    let a = Stored<Element>(rows: m, columns: k, transposed: transposesA, gap: gap, outside: .nan) {
      Element(entryA($0, $1))
    }
    defer { a.values.deallocate() }
    for transposesB in booleans {
      let b = Stored<Element>(rows: k, columns: n, transposed: transposesB, gap: gap, outside: .nan) {
        Element(entryB($0, $1))
      }
      defer { b.values.deallocate() }
      for (kind, expected) in expected.enumerated() {
        let accumulates = kind >= 2
        let biased = kind % 2 == 1
        let c = before.copy()
        defer { c.deallocate() }
        gemm(
          transposesA, transposesB, Int64(m), Int64(n), Int64(k), a.values, Int64(a.stride), b.values,
          Int64(b.stride),
          accumulates, biased ? bias.values : nil, c, Int64(before.stride))
        var wrong = 0
        while wrong < before.count, c[wrong] == expected.values[wrong] { wrong += 1 }
        if wrong < before.count {
          Issue.record(
            """
            (\(m)×\(k)\(transposesA ? ", transposed" : "")) · (\(k)×\(n)\(transposesB ? ", transposed" : ""))\
            \(accumulates ? " + C" : "")\(biased ? " + bias" : ""), \(gap) elements after each row: \
            at row \(wrong / before.stride), column \(wrong % before.stride) \
            \(c[wrong]) instead of \(expected.values[wrong])
            """)
          return
        }
      }
    }
  }
}

/// The same for integers whose products overflow.
private func check<Element: FixedWidthInteger>(
  _ dtype: mg_dtype, _: Element.Type, _ m: Int, _ n: Int, _ k: Int
) {
  func big(_ x: Int) -> Element { Element(truncatingIfNeeded: x &* 0x5851_f42d_4c95_7f2d) }
  let expected = Stored<Element>(rows: m, columns: n, outside: 0) { i, j in
    (0..<k).reduce(0) { $0 &+ big(entryA(i, $1)) &* big(entryB($1, j)) }
  }
  defer { expected.values.deallocate() }
  for transposesA in booleans {
    for transposesB in booleans {
      let a = Stored<Element>(rows: m, columns: k, transposed: transposesA, gap: 2, outside: 1) {
        big(entryA($0, $1))
      }
      let b = Stored<Element>(rows: k, columns: n, transposed: transposesB, gap: 1, outside: 1) {
        big(entryB($0, $1))
      }
      let c = Stored<Element>(rows: m, columns: n, outside: 0) { _, _ in 99 }
      defer {
        a.values.deallocate()
        b.values.deallocate()
        c.values.deallocate()
      }
      mg_gemm_int(
        dtype, transposesA, transposesB, Int64(m), Int64(n), Int64(k), a.values, Int64(a.stride), b.values,
        Int64(b.stride), c.values, Int64(c.stride))
      #expect(
        (0..<m * n).allSatisfy { c.values[$0] == expected.values[$0] },
        "\(Element.self), \(m)×\(k) · \(k)×\(n)")
    }
  }
}

@Suite struct GemmTests {
  /// Integers around the sizes of blocks and panels, and split over threads.
  @Test(arguments: [(5, 33, 257), (4, 32, 256), (3, 65, 255), (41, 130, 300), (200, 64, 64), (1, 129, 1), (6, 5, 0)])
  func integerBlocks(_ m: Int, _ n: Int, _ k: Int) {
    check(MG_I64, Int64.self, m, n, k)
    check(MG_I32, Int32.self, m, n, k)
    check(MG_U8, UInt8.self, m, n, k)
  }

  @Test(arguments: sizes) func smallFloat32(m: Int) {
    for n in sizes { for k in sizes { check(m, n, k, mg_gemm_small_f32) } }
  }

  @Test(arguments: [1, 5, 16, 33]) func float32(m: Int) {
    for n in sizes { for k in sizes { check(m, n, k, mg_gemm_f32) } }
  }

  @Test(arguments: sizes) func float64(m: Int) {
    for n in sizes { for k in sizes { check(m, n, k, mg_gemm_f64) } }
  }

  /// Several blocks in every direction, and every kind of remainder.
  @Test(arguments: [
    (67, 1030, 260), (131, 300, 20), (300, 9, 517), (1, 1100, 600), (1100, 2, 600), (70, 70, 1025),
  ])
  func blocked(m: Int, n: Int, k: Int) {
    check(m, n, k, mg_gemm_f64)
    check(m, n, k, mg_gemm_f32)
    check(m, n, k, mg_gemm_small_f32)
  }

  /// An empty sum reads no operand.
  @Test func emptySum() {
    let bias: [Float] = [1, 2, 3]
    var c: [Float] = [4, 5, 6, 7, 8, 9]
    mg_gemm_small_f32(false, true, 2, 3, 0, nil, 0, nil, 0, true, bias, &c, 3)
    #expect(c == [5, 7, 9, 8, 10, 12])
    mg_gemm_small_f32(false, false, 2, 3, 0, nil, 0, nil, 3, false, nil, &c, 3)
    #expect(c == [0, 0, 0, 0, 0, 0])
  }

  /// Fractions: float32 and float64 kernels agree as far as float32 reaches.
  @Test(arguments: [(4, 4, 4), (100, 10, 1), (64, 10, 128), (64, 64, 784)])
  func rounding(m: Int, n: Int, k: Int) {
    let a = (0..<m * k).map { Float(sin(Double($0))) }
    let b = (0..<n * k).map { Float(cos(Double($0) * 3)) }
    var c = [Float](repeating: 0, count: m * n)
    var exact = [Double](repeating: 0, count: m * n)
    mg_gemm_small_f32(
      false, true, Int64(m), Int64(n), Int64(k), a, Int64(k), b, Int64(k), false, nil, &c, Int64(n))
    mg_gemm_f64(
      false, true, Int64(m), Int64(n), Int64(k), a.map(Double.init), Int64(k), b.map(Double.init), Int64(k),
      false, nil,
      &exact, Int64(n))
    let worst = zip(c, exact).map { abs(Double($0) - $1) }.max()!
    #expect(worst <= Double(k) * 0x1p-24, "the largest error is \(worst)")
  }

  @Test func threadsDoNotChangeResults() {
    let n = 300
    let threads = mg_threads()
    defer { mg_set_threads(threads) }
    let a = (0..<n * n).map { sin(Double($0)) }
    let results = [Int32(1), 2, 3].map { threads in
      var c = [Double](repeating: 0, count: n * n)
      mg_set_threads(threads)
      mg_gemm_f64(
        true, false, Int64(n), Int64(n), Int64(n), a, Int64(n), a, Int64(n), false, nil, &c, Int64(n))
      return c
    }
    #expect(results[0] == results[1] && results[0] == results[2])
  }

  @Test func integers() {
    for (m, n, k) in [(0, 2, 3), (2, 3, 0), (1, 1, 1), (3, 5, 7), (16, 17, 33), (1, 40, 9), (40, 1, 9)] {
      check(MG_I64, Int64.self, m, n, k)
      check(MG_I32, Int32.self, m, n, k)
      check(MG_U8, UInt8.self, m, n, k)
    }
  }
}

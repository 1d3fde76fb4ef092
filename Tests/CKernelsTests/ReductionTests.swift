// Reductions over [outer, n, inner] against plain sums in double precision.
import CKernels
import Foundation
import Testing

/// Shapes that reach every way a reduction is cut: short and long rows, few and many columns, tiles and segments.
private let shapes: [[Int]] = [
  [1, 1, 1], [1, 10, 1], [1, 15, 1], [1, 16, 1], [1, 100, 1], [1, 4097, 1], [3, 129, 1], [1, 100, 10], [3, 7, 5],
  [2, 3, 70], [1, 64, 128], [1, 50, 17], [1, 50, 16], [1, 50, 15], [1, 300, 3], [2, 1, 4], [1, 0, 4], [2, 0, 1], [1, 90_000, 1],
  [20, 4500, 1], [1, 400, 300], [1, 20_000, 7],
]

/// The columns of x, each as [Double].
private func columns<T: BinaryFloatingPoint>(_ x: [T], _ shape: [Int]) -> [[Double]] {
  let (outer, n, inner) = (shape[0], shape[1], shape[2])
  return (0..<outer).flatMap { o in
    (0..<inner).map { i in (0..<n).map { j in Double(x[(o * n + j) * inner + i]) } }
  }
}

/// A sum that keeps what rounding loses (Neumaier).
private func exactSum(_ x: [Double]) -> Double {
  var sum = 0.0, lost = 0.0
  for v in x {
    let next = sum + v
    lost += abs(sum) >= abs(v) ? (sum - next) + v : (v - next) + sum
    sum = next
  }
  return sum + lost
}

private func values<T: FloatElement>(_ shape: [Int], around center: Double = 0.3) -> [T] {
  var numbers = Numbers(UInt64(shape.reduce(7) { $0 * 31 + $1 }))
  return (0..<shape.reduce(1, *)).map { _ in T(center + numbers.uniform(-1, 1)) }
}

private func reduce<T: Element>(_ op: mg_reduce_op, _ x: [T], _ shape: [Int]) -> [T] {
  filled(shape[0] * shape[2]) { mg_reduce(op, T.dtype, Int64(shape[0]), Int64(shape[1]), Int64(shape[2]), x, $0) }
}

@Suite struct ReductionTests {
  private func check<T: FloatElement>(_ shape: [Int], _: T.Type) {
    let x: [T] = values(shape), all = columns(x, shape), epsilon = Double(T.ulpOfOne)
    let (sums, again) = onOneAndTwoThreads { reduce(MG_SUM, x, shape) }
    #expect(sums == again)
    for (sum, column) in zip(sums, all) {
      #expect(abs(Double(sum) - exactSum(column)) <= 2 * epsilon * column.reduce(0) { $0 + abs($1) })
    }
    for (product, column) in zip(reduce(MG_PROD, x, shape), all) where column.count <= 129 {
      let truth = column.reduce(1, *)
      #expect(abs(Double(product) - truth) <= abs(truth) * epsilon * 130 + Double(T.leastNormalMagnitude))
    }
    guard shape[1] > 0 else { return }
    #expect(reduce(MG_MAX, x, shape).map { Double($0) } == all.map { $0.max()! })
    #expect(reduce(MG_MIN, x, shape).map { Double($0) } == all.map { $0.min()! })
  }

  @Test(arguments: shapes)
  func floats(_ shape: [Int]) {
    check(shape, Float.self)
    check(shape, Double.self)
  }

  @Test(arguments: shapes)
  func integers(_ shape: [Int]) {
    var numbers = Numbers(11)
    let x = (0..<shape.reduce(1, *)).map { _ in Int32(truncatingIfNeeded: numbers.next()) }
    let (outer, n, inner) = (shape[0], shape[1], shape[2])
    let all = (0..<outer).flatMap { o in (0..<inner).map { i in (0..<n).map { x[(o * n + $0) * inner + i] } } }
    #expect(reduce(MG_SUM, x, shape) == all.map { $0.reduce(0, &+) })
    #expect(reduce(MG_PROD, x, shape) == all.map { $0.reduce(1, &*) })
    if n > 0 {
      #expect(reduce(MG_MAX, x, shape) == all.map { $0.max()! })
      #expect(reduce(MG_MIN, x, shape) == all.map { $0.min()! })
    }
  }

  /// The error of a float32 sum does not grow with its length: a plain loop is off by a percent here.
  /// One long row is cut for the threads.
  @Test(arguments: [65_535, 65_536, 70_000, 600_001])
  func longRowsOfIntegers(_ n: Int) {
    func check<T: Element & FixedWidthInteger>(_: T.Type) {
      let x = (0..<n).map { T(truncatingIfNeeded: ($0 &* 0x5851_f42d_4c95_7f2d) >> 20 | 1) }
      let (one, two): ([T], [T]) = onOneAndTwoThreads {
        [MG_SUM, MG_PROD, MG_MAX, MG_MIN].flatMap { reduce($0, x, [1, n, 1]) }
      }
      #expect(one == two)
      #expect(one == [x.reduce(0, &+), x.reduce(1, &*), x.max()!, x.min()!])
    }
    check(Int64.self)
    check(Int32.self)
    check(UInt8.self)
  }

  /// The extreme, or a NaN, anywhere in rows of every remainder.
  @Test func extremesOfRows() {
    func check<T: FloatElement>(_: T.Type) {
      for n in [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 100] {
        for place in 0..<n {
          for value in [T(100), -100, .infinity, -.infinity, .nan] {
            var x = (0..<n).map { T($0 % 7) }
            x[place] = value
            let (least, most) = (reduce(MG_MIN, x, [1, n, 1])[0], reduce(MG_MAX, x, [1, n, 1])[0])
            #expect(value.isNaN ? least.isNaN && most.isNaN : least == x.min()! && most == x.max()!)
          }
        }
        let nothing = [T](repeating: -.infinity, count: n)
        #expect(reduce(MG_MAX, nothing, [1, n, 1])[0] == -.infinity && reduce(MG_MIN, nothing.map { -$0 }, [1, n, 1])[0] == .infinity)
      }
    }
    check(Float.self)
    check(Double.self)
  }

  /// One hit anywhere in a long row is found by whichever thread comes to it.
  @Test func anyAndAllOfLongRows() {
    let n = 200_000
    for place in [nil, 0, 70_000, n - 1] {
      var x = [Int64](repeating: 0, count: n), answers: [UInt8] = [9, 9]
      if let place { x[place] = 5 }
      mg_any(MG_I64, 1, Int64(n), 1, x, &answers)
      #expect(answers[0] == (place == nil ? 0 : 1))
      x = x.map { 5 - $0 }
      mg_all(MG_I64, 1, Int64(n), 1, x, &answers)
      #expect(answers[0] == (place == nil ? 1 : 0))
    }
  }

  @Test func longSumsStayExact() {
    let n = 1 << 20
    let x = [Float](repeating: 0.1, count: n)
    let truth = Double(0.1 as Float) * Double(n)
    #expect(abs(Double(reduce(MG_SUM, x, [1, n, 1])[0]) - truth) <= truth * 2.5e-7)
    #expect(abs(Double(reduce(MG_SUM, x, [1, n / 4, 4])[2]) - truth / 4) <= truth * 2.5e-7)
  }

  @Test func nanAndInfinityPass() {
    for n in [3, 20, 70, 5000] {
      for place in [0, n / 2, n - 1] {
        var x = [Float](repeating: 1, count: n)
        x[place] = .nan
        for op in [MG_SUM, MG_PROD, MG_MAX, MG_MIN] { #expect(reduce(op, x, [1, n, 1])[0].isNaN) }
        #expect(reduce(MG_MAX, x + x, [1, n, 2])[place % 2].isNaN)
        x[place] = -.infinity
        #expect(reduce(MG_SUM, x, [1, n, 1]) == [-.infinity] && reduce(MG_MIN, x, [1, n, 1]) == [-.infinity])
        #expect(reduce(MG_MAX, x, [1, n, 1]) == [1])
      }
    }
    #expect(reduce(MG_SUM, [Float](), [1, 0, 2]) == [0, 0] && reduce(MG_PROD, [Float](), [1, 0, 2]) == [1, 1])
  }

  @Test(arguments: shapes)
  func anyAndAll(_ shape: [Int]) {
    var numbers = Numbers(5)
    let x = (0..<shape.reduce(1, *)).map { _ in Float(numbers.below(max(shape[1], 1)) == 0 ? 0 : 1) }
    let all = columns(x, shape), zeros = x.map { 1 - $0 }
    func ask(_ f: (mg_dtype, Int64, Int64, Int64, UnsafeRawPointer?, UnsafeMutableRawPointer?) -> Void, _ x: [Float]) -> [UInt8] {
      filled(shape[0] * shape[2]) { f(MG_F32, Int64(shape[0]), Int64(shape[1]), Int64(shape[2]), x, $0) }
    }
    #expect(ask(mg_all, x) == all.map { $0.allSatisfy { $0 != 0 } ? 1 : 0 })
    #expect(ask(mg_any, zeros) == all.map { $0.contains(0) ? 1 : 0 })
  }

  @Test(arguments: shapes.filter { $0[1] > 0 })
  func argmaxAndArgmin(_ shape: [Int]) {
    var numbers = Numbers(6)
    for withNaN in [false, true] {
      let count = shape.reduce(1, *)
      var x = (0..<count).map { _ in Float(numbers.below(40)) }
      if withNaN { x[numbers.below(count)] = .nan }
      let all = columns(x, shape)
      func find(_ least: Bool) -> ([Float], [Int64]) {
        var indices = [Int64](repeating: -1, count: shape[0] * shape[2])
        let values: [Float] = filled(shape[0] * shape[2]) { y in
          (least ? mg_argmin : mg_argmax)(MG_F32, Int64(shape[0]), Int64(shape[1]), Int64(shape[2]), x, y, &indices)
        }
        return (values, indices)
      }
      for least in [false, true] {
        let (found, indices) = find(least)
        for (c, column) in all.enumerated() {
          let extreme = column.first(where: \.isNaN) ?? (least ? column.min()! : column.max()!)
          #expect(Int(indices[c]) == column.firstIndex { $0 == extreme || ($0.isNaN && extreme.isNaN) })
          #expect(isSame(Double(found[c]), extreme))
        }
      }
    }
  }

  private func checkMoments<T: FloatElement>(_ shape: [Int], center: Double, _: T.Type, _ tolerance: Double) {
    let x: [T] = values(shape, around: center)
    let counts = (Int64(shape[0]), Int64(shape[1]), Int64(shape[2]))
    let (one, two): ([[T]], [[T]]) = onOneAndTwoThreads {
      var mean = [T](repeating: 0, count: shape[0] * shape[2])
      let squares: [T] = filled(mean.count) { mg_moments(T.dtype, counts.0, counts.1, counts.2, x, &mean, $0) }
      return [mean, squares]
    }
    #expect(one == two)
    for (c, column) in columns(x, shape).enumerated() {
      let mean = exactSum(column) / Double(column.count)
      let squares = exactSum(column.map { ($0 - mean) * ($0 - mean) })
      #expect(abs(Double(one[0][c]) - mean) <= 2 * Double(T.ulpOfOne) * (abs(mean) + abs(center)))
      #expect(abs(Double(one[1][c]) - squares) <= tolerance * squares + 1e-12)
    }
  }

  /// The sum of squares survives a mean that is a thousand times the deviation.
  @Test(arguments: shapes.filter { $0[1] > 0 })
  func moments(_ shape: [Int]) {
    checkMoments(shape, center: 0.3, Float.self, 4e-6)
    checkMoments(shape, center: 1000, Float.self, 4e-4)
    checkMoments(shape, center: 1000, Double.self, 1e-9)
  }

  private func norm<T: Element>(_ x: [T], _ shape: [Int], _ p: Double) -> [T] {
    filled(shape[0] * shape[2]) { mg_norm(T.dtype, Int64(shape[0]), Int64(shape[1]), Int64(shape[2]), x, p, $0) }
  }

  @Test(arguments: [[1, 10, 1], [3, 129, 1], [1, 64, 70], [2, 5, 3], [1, 70_000, 1]], [0, 1, 2, 3, 0.5, -1, .infinity, -.infinity])
  func norms(_ shape: [Int], _ p: Double) {
    let x: [Float] = values(shape)
    let (one, two) = onOneAndTwoThreads { norm(x, shape, p) }
    #expect(one == two)
    for (y, column) in zip(one, columns(x, shape).map { $0.map(abs) }) {
      let truth =
        p == 0
        ? Double(column.filter { $0 != 0 }.count)
        : p == .infinity ? column.max()! : p == -.infinity ? column.min()! : pow(column.reduce(0) { $0 + pow($1, p) }, 1 / p)
      #expect(abs(Double(y) - truth) <= 1e-6 * truth)
    }
  }

  @Test func normsDoNotOverflow() {
    #expect(norm([3e30, 4e30] as [Float], [1, 2, 1], 2) == [5e30])
    #expect(norm([3e-30, 4e-30] as [Float], [1, 2, 1], 2) == [5e-30])
    #expect(abs(norm([3e200, 4e200], [1, 2, 1], 2)[0] - 5e200) < 1e185)
    #expect(abs(norm([3e-200, 4e-200], [1, 2, 1], 2)[0] - 5e-200) < 1e-215)
    #expect(norm([Double](), [1, 0, 1], 2) == [0])
  }

  @Test(arguments: [[1, 10, 1], [3, 129, 1], [2, 50, 5], [1, 30, 100], [4, 9000, 1]])
  func scans(_ shape: [Int]) {
    let (outer, n, inner) = (shape[0], shape[1], shape[2])
    let x: [Float] = values(shape)
    let counts = (Int64(outer), Int64(n), Int64(inner))
    for reverse in [false, true] {
      let (one, two): ([Float], [Float]) = onOneAndTwoThreads {
        filled(x.count) { mg_cumsum(MG_F32, counts.0, counts.1, counts.2, reverse, x, $0) }
      }
      #expect(one == two)
      for (column, result) in zip(columns(x, shape), columns(one, shape)) {
        var sum = 0.0
        for j in reverse ? Array((0..<n).reversed()) : Array(0..<n) {
          sum += column[j]
          #expect(Float(sum) == Float(result[j]))
        }
      }
    }
    let products: [Float] = filled(x.count) { mg_cumprod(MG_F32, counts.0, counts.1, counts.2, x, $0) }
    for (column, result) in zip(columns(x, shape), columns(products, shape)) {
      var product = 1.0
      for j in 0..<n {
        product *= column[j]
        #expect(Float(product) == Float(result[j]))
      }
    }
  }
}

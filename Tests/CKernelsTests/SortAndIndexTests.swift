// Sorting, gathering and scattering.
import CKernels
import Testing

@Suite struct SortTests {
  private static let counts = [0, 1, 2, 3, 12, 13, 47, 48, 49, 100, 249, 250, 700, 3000]

  /// Whether a comes before b: NaN is largest, −0 and +0 are equal.
  private func precedes<T: FloatElement>(_ a: T, _ b: T) -> Bool { a < b || (!a.isNaN && b.isNaN) }

  private func check<T: Element>(_ x: [T], rows: Int, _ precedes: (T, T) -> Bool) {
    let n = x.count / rows
    for descending in [false, true] {
      var indices = [Int64](repeating: -1, count: x.count), scratch = [Int64](repeating: 0, count: 2 * n + 1)
      let sorted: [T] = filled(x.count) { mg_sort(T.dtype, Int64(rows), Int64(n), descending, x, $0, &indices, &scratch) }
      for r in 0..<rows {
        let all = r * n..<(r + 1) * n
        #expect(Set(indices[all]).count == n)
        for i in all { #expect(sorted[i] == x[r * n + Int(indices[i])] || sorted[i] != sorted[i]) }
        for i in all.dropFirst() {
          let (a, b) = descending ? (sorted[i], sorted[i - 1]) : (sorted[i - 1], sorted[i])
          #expect(!precedes(b, a))
          if !precedes(a, b) { #expect(indices[i - 1] < indices[i], "equal elements keep their order") }
        }
      }
    }
  }

  @Test(arguments: counts)
  func everyType(_ n: Int) {
    var numbers = Numbers(3)
    let special: [Double] = [.nan, .infinity, -.infinity, 0, -0.0]
    let doubles = (0..<2 * n).map { _ in
      numbers.below(5) == 0 ? special[numbers.below(5)] : numbers.below(2) == 0 ? Double(numbers.below(20) - 10) : numbers.uniform(-1, 1)
    }
    check(doubles, rows: 2, precedes)
    check(doubles.map(Float.init), rows: 2, precedes)
    let integers = (0..<2 * n).map { _ in Int64(bitPattern: numbers.next()) >> Int64(numbers.below(60)) }
    check(integers, rows: 2, <)
    check(integers.map { Int32(truncatingIfNeeded: $0) }, rows: 2, <)
    check(integers.map { UInt8(truncatingIfNeeded: $0) }, rows: 2, <)
  }

  @Test func withoutIndices() {
    var scratch = [Int64](repeating: 0, count: 6)
    let sorted: [Int32] = filled(3) { mg_sort(MG_I32, 1, 3, false, [3, 1, 2] as [Int32], $0, nil, &scratch) }
    #expect(sorted == [1, 2, 3])
    var indices = [Int64](repeating: 0, count: 3)
    mg_sort(MG_F64, 1, 3, true, [3, 1, 2] as [Double], nil, &indices, &scratch)
    #expect(indices == [0, 2, 1])
  }
}

@Suite struct IndexTests {
  @Test func selectAndAdd() {
    let x: [Float] = (0..<24).map(Float.init)  // [2, 4, 3]
    let index: [Int64] = [3, 0, 3]
    let y: [Float] = filled(18) { mg_index_select(4, 2, 4, 3, 3, index, x, $0) }
    #expect(y == [9, 10, 11, 0, 1, 2, 9, 10, 11, 21, 22, 23, 12, 13, 14, 21, 22, 23])
    var sum = [Float](repeating: 1, count: 24)
    mg_index_add(MG_F32, 2, 4, 3, 3, index, y, &sum)
    #expect(sum == [1, 2, 3, 1, 1, 1, 1, 1, 1, 19, 21, 23, 13, 14, 15, 1, 1, 1, 1, 1, 1, 43, 45, 47])
    var wrapping: [UInt8] = [250, 1]
    mg_index_add(MG_U8, 1, 2, 1, 2, [0, 0], [5, 3] as [UInt8], &wrapping)
    #expect(wrapping == [2, 1])
  }

  /// Rows of one, of few and of many elements, split over threads.
  @Test(arguments: [1, 3, 40])
  func selectLarge(_ inner: Int) {
    let (outer, n, count) = (2, 50, 60_000 / inner)
    let x = (0..<outer * n * inner).map(Int64.init), index = (0..<count).map { Int64($0 * 7 % n) }
    let (one, two): ([Int64], [Int64]) = onOneAndTwoThreads {
      filled(outer * count * inner) { mg_index_select(8, Int64(outer), Int64(n), Int64(inner), Int64(count), index, x, $0) }
    }
    #expect(one == two)
    for place in one.indices {
      let (i, j, o) = (place % inner, place / inner % count, place / inner / count)
      if one[place] != Int64((o * n + Int(index[j])) * inner + i) { Issue.record("element \(place)") }
    }
  }

  @Test func takeAndPut() {
    func check<T: Element>(_: T.Type, _ size: Int) {
      let x: [T] = [10, 20, 30, 40], at: [Int64] = [2, 0, 2]
      #expect(filled(3) { mg_take(size, 3, at, x, $0) } == [30, 10, 30] as [T])
      var y = x
      mg_put(size, 2, [3, 1], [7, 8] as [T], 1, &y)
      #expect(y == [10, 8, 30, 7])
      mg_put(size, 2, [0, 2], [5] as [T], 0, &y)
      #expect(y == [5, 8, 5, 7])
      mg_put_add(T.dtype, 3, at, [1, 2, 3] as [T], &y)
      #expect(y == [7, 8, 9, 7])
    }
    check(Float.self, 4)
    check(Double.self, 8)
    check(Int64.self, 8)
    check(Int32.self, 4)
    check(UInt8.self, 1)
  }
}

// Sorting, gathering and scattering.
import CKernels
import Testing

@Suite struct SortTests {
  private static let counts = [0, 1, 2, 3, 12, 13, 47, 48, 49, 63, 64, 65, 100, 250, 700, 3999, 4000, 4001, 10_000]

  /// Whether a comes before b: NaN is largest, −0 and +0 are equal.
  private func precedes<T: FloatElement>(_ a: T, _ b: T) -> Bool { a < b || (!a.isNaN && b.isNaN) }

  private func check<T: Element>(_ x: [T], rows: Int, _ precedes: (T, T) -> Bool) {
    let n = x.count / rows
    for descending in [false, true] {
      var indices = [Int64](repeating: -1, count: x.count), scratch = [Int64](repeating: 0, count: 4 * n + 1)
      let sorted: [T] = filled(x.count) { mg_sort(T.dtype, Int64(rows), Int64(n), descending, x, $0, &indices, &scratch, 2) }
      for r in 0..<rows {
        let all = r * n..<(r + 1) * n
        #expect(Set(indices[all]).count == n)
        for i in all { #expect(sorted[i] == x[r * n + Int(indices[i])] || sorted[i] != sorted[i]) }
        for i in all.dropFirst() {
          let (a, b) = descending ? (sorted[i], sorted[i - 1]) : (sorted[i - 1], sorted[i])
          #expect(!precedes(b, a))
          if !precedes(a, b) { #expect(indices[i - 1] < indices[i], "equal elements keep their order") }
        }
        let row = r * n..<(r + 1) * n
        checkSelection(Array(x[row]), descending, Array(indices[row]))
      }
    }
  }

  /// The first few, and single ones, are those of the whole order.
  private func checkSelection<T: Element>(_ x: [T], _ descending: Bool, _ order: [Int64]) {
    let n = x.count
    let scratch = Room([Int64](repeating: 0, count: 2 * n))
    for k in Set([1, 2, 10, 64, 65, n / 5, n / 2, n]) where k >= 1 && k <= n {
      let indices = Room([Int64](repeating: -1, count: k)), index = Room([-1 as Int64])
      let values: [T] = filled(k) {
        run("topk", T.dtype, [x, $0, indices, scratch], counts: [n, k, k, 2 * n], sizes: [n, k, 1, descending ? 1 : 0])
      }
      #expect(indices.elements == Array(order.prefix(k)), "the first \(k) of \(n)")
      for (value, index) in zip(values, indices.elements) { #expect(value == x[Int(index)] || value != value) }
      if descending { continue }
      let kth: [T] = filled(1) {
        run("kth", T.dtype, [x, $0, index, scratch], counts: [n, 1, 1, 2 * n], sizes: [n, k - 1, 1, 0])
      }
      #expect(index.elements[0] == order[k - 1], "number \(k) of \(n)")
      #expect(kth[0] == x[Int(index.elements[0])] || kth[0] != kth[0])
    }
  }

  /// Wide keys that differ in their lowest bits only, or in all, many of them equal; and rows in either order.
  @Test(arguments: [50, 1000, 5000])
  func wideKeys(_ n: Int) {
    var numbers = Numbers(4)
    let low = (0..<2 * n).map { _ in Int64(numbers.below(n)) }
    check(low, rows: 2, <)
    check(low.map { $0 << 40 }, rows: 2, <)
    check(low.map { $0 % 2 == 0 ? $0 : .max - $0 }, rows: 2, <)
    check(low.map { [.min, .max, 0, -1, $0][Int($0 % 5)] }, rows: 2, <)
    check(low.map { 1 + Double($0) * .ulpOfOne }, rows: 2, precedes)
    check(low.map { Double($0 % 3) - 1 + Double($0) * 1e-300 }, rows: 2, precedes)
    check([Double](repeating: .nan, count: 2 * n), rows: 2, precedes)
    check((0..<2 * n).map { Float($0) }, rows: 2, precedes)
    check((0..<2 * n).map { Int64(-$0) }, rows: 2, <)
  }

  @Test func firstNaN() {
    let scratch = Room([Int64](repeating: 0, count: 400)), indices = Room([-1, -1] as [Int64])
    var x = (0..<200).map { Float($0 % 7) }
    x[150] = .nan
    x[170] = .nan
    let medians: [Float] = filled(2) {
      run("kth", MG_F32, [x, $0, indices, scratch], counts: [200, 2, 2, 400], sizes: [100, 49, 2, 1])
    }
    #expect(medians[0] == 3 && medians[1].isNaN && indices.elements[1] == 50)
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
    let sorted: [Int32] = filled(3) { mg_sort(MG_I32, 1, 3, false, [3, 1, 2] as [Int32], $0, nil, &scratch, 1) }
    #expect(sorted == [1, 2, 3])
    var indices = [Int64](repeating: 0, count: 3)
    mg_sort(MG_F64, 1, 3, true, [3, 1, 2] as [Double], nil, &indices, &scratch, 1)
    #expect(indices == [0, 2, 1])
  }
}

@Suite struct IndexTests {
  @Test func selectAndAdd() {
    let x: [Float] = (0..<24).map(Float.init)  // [2, 4, 3]
    let index: [Int64] = [3, 0, 3]
    let y: [Float] = filled(18) { #expect(mg_index_select(4, 2, 4, 0, 3, 3, index, nil, x, $0)) }
    #expect(y == [9, 10, 11, 0, 1, 2, 9, 10, 11, 21, 22, 23, 12, 13, 14, 21, 22, 23])
    // Lists of their own: what #expect captures of a literal does not live until the call.
    let (fromEither, fromEnd, fromOneOn): ([Int64], [Int64], [Int64]) = ([4, 1, -1], [-1, -4, 3], [-1, 1, 4])
    let fromOneToo: [Float] = filled(18) { #expect(mg_index_select(4, 2, 4, 1, 3, 3, fromEither, nil, x, $0)) }
    #expect(fromOneToo == y)
    var sum = [Float](repeating: 1, count: 24), at = [Int64](repeating: 9, count: 3)
    #expect(mg_index_add(MG_F32, 2, 4, 0, 3, 3, fromEnd, &at, y, &sum))
    #expect(sum == [1, 2, 3, 1, 1, 1, 1, 1, 1, 19, 21, 23, 13, 14, 15, 1, 1, 1, 1, 1, 1, 43, 45, 47])
    #expect(at == index)
    var fromOne = [Float](repeating: 1, count: 24)
    #expect(mg_index_add(MG_F32, 2, 4, 1, 3, 3, fromOneOn, &at, y, &fromOne))
    #expect(fromOne == sum && at == index)
    let (twice, added): ([Int64], [UInt8]) = ([0, 0], [5, 3])
    var wrapping: [UInt8] = [250, 1]
    #expect(mg_index_add(MG_U8, 1, 2, 0, 1, 2, twice, nil, added, &wrapping))
    #expect(wrapping == [2, 1])
  }

  /// Rows of one, of few and of many elements, split over threads.
  @Test(arguments: [1, 3, 40])
  func selectLarge(_ inner: Int) {
    let (outer, n, count) = (2, 50, 60_000 / inner)
    let x = (0..<outer * n * inner).map(Int64.init), index = (0..<count).map { Int64($0 * 7 % n) }
    let (one, two): ([Int64], [Int64]) = onOneAndTwoThreads {
      filled(outer * count * inner) { _ = mg_index_select(8, Int64(outer), Int64(n), 0, Int64(inner), Int64(count), index, nil, x, $0) }
    }
    #expect(one == two)
    for place in one.indices {
      let (i, j, o) = (place % inner, place / inner % count, place / inner / count)
      if one[place] != Int64((o * n + Int(index[j])) * inner + i) { Issue.record("element \(place)") }
    }
  }

  /// Rows of one, of few and of many elements, added by threads in blocks and in stripes.
  @Test(arguments: [(1, 1, 100_000), (2, 3, 30_000), (1, 64, 3_000), (40, 50, 70), (1, 5, 0)])
  func addLarge(_ outer: Int, _ inner: Int, _ count: Int) {
    let n = 50
    let x = (0..<outer * count * inner).map { Float($0 % 1000) / 7 }, index = (0..<count).map { Int64($0 * 7 % n - n) }
    var at = [Int64](repeating: 0, count: count)
    let (one, two): ([Float], [Float]) = onOneAndTwoThreads {
      filled(outer * n * inner) {
        _ = mg_index_add(MG_F32, Int64(outer), Int64(n), 0, Int64(inner), Int64(count), index, &at, x, $0)
      }
    }
    var sums = [Float](repeating: 0, count: outer * n * inner)
    for place in x.indices {
      let (i, j, o) = (place % inner, place / inner % count, place / inner / count)
      sums[(o * n + Int(index[j]) + n) * inner + i] += x[place]
    }
    #expect(one == two)
    #expect(one == sums)
    #expect(at == index.map { $0 + Int64(n) })
  }

  /// A table of shape `sizes`, positions of shape `places` along `axis`: the nest, and the offset of every position's fibre.
  private func nest(_ sizes: [Int], _ places: [Int], _ axis: Int) -> (mg_loop, fibres: [Int], step: Int) {
    var strides = contiguous(sizes)
    let step = strides[axis]
    strides[axis] = 0
    return (loop(places, contiguous(places), strides, contiguous(places)), offsets(places, strides), step)
  }

  @Test(arguments: [
    ([7], [5], 0), ([7], [0], 0), ([9, 5], [3, 4], 0), ([9, 5], [3, 8], 1), ([3, 4, 5], [2, 6, 4], 1), ([300, 100], [300, 100], 1),
    ([90, 300], [150, 300], 0), ([40, 50, 20], [40, 30, 20], 1), ([50_000], [40_000], 0),
  ])
  func byElement(_ sizes: [Int], _ places: [Int], _ axis: Int) {
    func check<T: Element>(_: T.Type, _ size: Int, from first: Int64 = 0) {
      var numbers = Numbers(5)
      let (loop, fibres, step) = nest(sizes, places, axis), n = sizes[axis], count = fibres.count
      let table = (0..<sizes.reduce(1, *)).map { T(exactly: $0 % 100)! }, x = (0..<count).map { T(exactly: $0 % 90 + 100)! }
      let fromZero = (0..<count).map { _ in Int64(numbers.below(2 * n) - n) }
      let positions = fromZero.map { ($0 + Int64(n)) % Int64(n) }, index = fromZero.map { $0 < 0 ? $0 : $0 + first }
      var at = [Int64](repeating: -1, count: count), (gathered, written, sums) = (x, table, table)
      for i in 0..<count {
        let place = fibres[i] + Int(positions[i]) * step
        gathered[i] = table[place]
        written[place] = x[i]
        sums[place] = adding(sums[place], x[i])
      }
      withUnsafePointer(to: loop) { loop in
        let (one, two): ([T], [T]) = onOneAndTwoThreads {
          filled(count) { #expect(mg_gather(size, loop, Int64(n), first, Int64(step), index, &at, table, $0)) }
        }
        #expect(one == gathered && two == gathered && at == positions)
        let (once, twice): ([T], [T]) = onOneAndTwoThreads {
          var y = table
          #expect(mg_scatter(size, loop, Int64(n), first, Int64(step), index, &at, x, &y))
          return y
        }
        #expect(once == written && twice == written && at == positions)
        let (sum, sumOfTwo): ([T], [T]) = onOneAndTwoThreads {
          var y = table
          #expect(mg_scatter_add(T.dtype, loop, Int64(n), first, Int64(step), index, nil, x, &y))
          return y
        }
        #expect(sum == sums && sumOfTwo == sums)
      }
    }
    func adding<T: Element>(_ a: T, _ b: T) -> T {
      if let a = a as? UInt8, let b = b as? UInt8 { return (a &+ b) as! T }
      return a + b
    }
    check(Float.self, 4)
    check(Double.self, 8)
    check(Int64.self, 8)
    check(Int32.self, 4)
    check(UInt8.self, 1)
    check(Float.self, 4, from: 1)
    check(Int64.self, 8, from: 1)
  }

  @Test(arguments: [[0], [1], [7, 0], [16_383], [16_384], [16_385], [9_999, 7], [3, 5, 4_500], [2, 16_384, 1]])
  func nonzero(_ sizes: [Int]) {
    let count = sizes.reduce(1, *)
    var numbers = Numbers(9)
    for among in [1, 2, 1000] {
      let flags = (0..<count).map { _ in UInt8(numbers.below(among) == 0 ? numbers.below(3) : 0) }
      var expected: [Int64] = []
      for i in 0..<count where flags[i] != 0 {
        var rest = i
        expected += sizes.reversed().map { size in
          defer { rest /= size }
          return Int64(rest % size)
        }.reversed()
      }
      let (one, two): ([Int64], [Int64]) = onOneAndTwoThreads {
        let ends = Room([Int64](repeating: 0, count: (count + 16_383) / 16_384))
        let found = run("nonzero_count", MG_BOOL, [flags, ends], counts: [count, ends.count]).0
        return filled(Int(found) * sizes.count) {
          run(
            "nonzero_fill", MG_BOOL, [flags, ends, sizes.map(Int64.init), $0],
            counts: [count, ends.count, sizes.count, Int(found) * sizes.count])
        }
      }
      #expect(one == expected && two == expected)
    }
  }

  @Test(arguments: [4, 100_000], [0, 1] as [Int64])
  func outOfRange(_ count: Int, _ first: Int64) {
    let n = 3
    let x = [Float](repeating: 1, count: count)
    for wrong in [Int64(n) + first, Int64(-n - 1), .max, .min] + (0..<first) {
      for place in [0, count / 2, count - 1] {
        var index = [Int64](repeating: 1, count: count)
        index[place] = wrong
        var table: [Float] = [1, 2, 3], y = x, at = index
        let flat = loop([count], [1], [0], [1])
        withUnsafePointer(to: flat) { flat in
          #expect(!mg_gather(4, flat, Int64(n), first, 1, index, &at, table, &y))
          #expect(!mg_scatter(4, flat, Int64(n), first, 1, index, nil, x, &table))
          #expect(!mg_scatter_add(MG_F32, flat, Int64(n), first, 1, index, nil, x, &table))
        }
        #expect(!mg_index_select(4, 1, Int64(n), first, 1, Int64(count), index, nil, table, &y))
        #expect(!mg_index_add(MG_F32, 1, Int64(n), first, 1, Int64(count), index, nil, x, &table))
        #expect(!mg_index_select(4, 0, Int64(n), first, 1, Int64(count), index, nil, table, &y))
        #expect(!mg_positions(Int64(count), Int64(n), first, true, index, &at))
        #expect(!mg_positions(Int64(count), Int64(n), first, true, index, nil))
      }
    }
    var index = [Int64](repeating: -3, count: count), at = index
    #expect(mg_positions(Int64(count), 3, 0, true, index, &at) && at.allSatisfy { $0 == 0 })
    #expect(!mg_positions(Int64(count), 3, 0, false, index, nil))
    index = [Int64](repeating: 2, count: count)
    #expect(mg_positions(Int64(count), 3, 0, false, index, nil))
    index[count - 1] = -1
    let moved = Room(at)
    run("positions_from_one", MG_I64, [index, moved], count)
    #expect(moved.elements == [Int64](repeating: 1, count: count - 1) + [-1])
    index[count / 2] = 0
    #expect(run("positions_from_one", MG_I64, [index, moved], count).0 == 1)
  }
}

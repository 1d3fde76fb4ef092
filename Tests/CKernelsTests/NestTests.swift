// Loop nests: whatever the strides (permuted, broadcast, with gaps, reversed), a kernel must give what it gives for
// the elements one by one.
import CKernels
import Testing

/// An operand of a nest: a random layout of the nest's sizes, over values that differ from each other.
private struct Operand<T: Element> {
  var strides: [Int]
  var origin = 0
  var values: [T]
  var elements: [T]  // in the nest's order

  init(_ sizes: [Int], _ numbers: inout Numbers, _ value: (Int) -> T) {
    strides = sizes.map { _ in 0 }
    var order = Array(sizes.indices)
    if numbers.below(2) == 0 {
      for i in order.indices.reversed() where i > 0 { order.swapAt(i, numbers.below(i + 1)) }
    }
    var stride = numbers.below(4) == 0 ? 2 : 1, extent = 0
    for d in order.reversed() where numbers.below(5) != 0 {
      strides[d] = stride
      extent += stride * (sizes[d] - 1)
      stride *= sizes[d] + (numbers.below(6) == 0 ? 1 : 0)
    }
    if !sizes.isEmpty && numbers.below(6) == 0 {
      let d = numbers.below(sizes.count)
      origin = strides[d] * (sizes[d] - 1)
      strides[d] = -strides[d]
    }
    values = (0...extent).map(value)
    let origin = origin, values = values
    elements = offsets(sizes, strides).map { values[origin + $0] }
  }

  func with<R>(_ body: (UnsafePointer<T>) -> R) -> R {
    values.withUnsafeBufferPointer { body($0.baseAddress! + origin) }
  }
}

@Suite struct NestTests {
  private static let extents = [1, 2, 3, 5, 7, 16, 17, 33, 66, 70]

  private func sizes(_ numbers: inout Numbers) -> [Int] {
    let rank = numbers.below(5)
    return (0..<rank).map { _ in Self.extents[numbers.below(rank > 3 ? 5 : rank > 2 ? 7 : 10)] }
  }

  @Test(arguments: 0..<60)
  func stridedEqualsContiguous(_ seed: Int) {
    var numbers = Numbers(UInt64(seed))
    let sizes = sizes(&numbers), count = sizes.reduce(1, *)
    let a = Operand<Float>(sizes, &numbers) { Float($0 % 101 - 50) * 0.5 }
    let b = Operand<Float>(sizes, &numbers) { Float($0 % 89 - 44) * 0.25 }
    let c = Operand<UInt8>(sizes, &numbers) { UInt8($0 % 3 == 0 ? 1 : 0) }
    var two = loop(sizes, contiguous(sizes), a.strides, b.strides)
    let sum: [Float] = filled(count) { y in a.with { a in b.with { b in mg_binary_nd(MG_ADD, MG_F32, &two, a, b, y) } } }
    #expect(sum == zip(a.elements, b.elements).map(+), "\(sizes) \(a.strides) \(b.strides)")
    let less: [UInt8] = filled(count) { y in a.with { a in b.with { b in mg_compare_nd(MG_LT, MG_F32, &two, a, b, y) } } }
    #expect(less == zip(a.elements, b.elements).map { $0 < $1 ? 1 : 0 })
    let negated: [Float] = filled(count) { y in a.with { mg_unary_nd(MG_NEG, MG_F32, &two, $0, y) } }
    #expect(negated == a.elements.map(-))
    var three = loop(sizes, contiguous(sizes), c.strides, a.strides, b.strides)
    let chosen: [Float] = filled(count) { y in
      a.with { a in b.with { b in c.with { mg_where_nd(MG_F32, &three, $0, a, b, y) } } }
    }
    #expect(chosen == c.elements.indices.map { c.elements[$0] == 1 ? a.elements[$0] : b.elements[$0] })
  }

  @Test(arguments: 0..<40)
  func otherWidths(_ seed: Int) {
    var numbers = Numbers(UInt64(seed) + 1000)
    let sizes = sizes(&numbers), count = sizes.reduce(1, *)
    let a = Operand<Int64>(sizes, &numbers) { Int64($0) * 1_000_000_007 }, b = Operand<Int64>(sizes, &numbers) { Int64($0) }
    var nest = loop(sizes, contiguous(sizes), a.strides, b.strides)
    let wide: [Int64] = filled(count) { y in a.with { a in b.with { mg_binary_nd(MG_SUB, MG_I64, &nest, a, $0, y) } } }
    #expect(wide == zip(a.elements, b.elements).map(&-))
    let c = Operand<UInt8>(sizes, &numbers) { UInt8(truncatingIfNeeded: $0) }
    let d = Operand<UInt8>(sizes, &numbers) { UInt8(truncatingIfNeeded: $0 * 7) }
    nest = loop(sizes, contiguous(sizes), c.strides, d.strides)
    let narrow: [UInt8] = filled(count) { y in c.with { c in d.with { mg_binary_nd(MG_ADD, MG_U8, &nest, c, $0, y) } } }
    #expect(narrow == zip(c.elements, d.elements).map(&+))
  }

  /// Both sides strided, equal types (a copy) and different ones.
  @Test(arguments: 0..<60)
  func movingAndConverting(_ seed: Int) {
    var numbers = Numbers(UInt64(seed) + 2000)
    let sizes = sizes(&numbers), count = sizes.reduce(1, *)
    let x = Operand<Float>(sizes, &numbers) { Float($0 % 1000) - 300 }
    var order = Array(sizes.indices)
    for i in order.indices.reversed() where i > 0 { order.swapAt(i, numbers.below(i + 1)) }
    var strides = sizes, next = 1
    for d in order {
      strides[d] = next
      next *= sizes[d]
    }
    var nest = loop(sizes, strides, x.strides)
    let places = offsets(sizes, strides)
    let copy: [Float] = filled(count) { y in x.with { mg_convert_nd(MG_F32, MG_F32, &nest, $0, y) } }
    #expect(places.indices.allSatisfy { copy[places[$0]] == x.elements[$0] }, "\(sizes) \(strides) \(x.strides)")
    let integers: [Int64] = filled(count) { y in x.with { mg_convert_nd(MG_F32, MG_I64, &nest, $0, y) } }
    #expect(places.indices.allSatisfy { integers[places[$0]] == Int64(x.elements[$0]) })
  }

  @Test func largeNestsSplit() {
    let sizes = [300, 500], count = 150_000
    let a = (0..<count).map { Float($0 % 1009) }, b = (0..<count).map { Float($0 % 773) }
    for (sa, sb) in [([500, 1], [1, 300]), ([500, 1], [0, 1]), ([1, 300], [1, 0]), ([0, 0], [500, 1]), ([1, 300], [1, 300])] {
      var nest = loop(sizes, [500, 1], sa, sb)
      let (one, two): ([Float], [Float]) = onOneAndTwoThreads {
        filled(count) { mg_binary_nd(MG_SUB, MG_F32, &nest, a, b, $0) }
      }
      #expect(one == two)
      let oa = offsets(sizes, sa), ob = offsets(sizes, sb)
      #expect(one.indices.allSatisfy { one[$0] == a[oa[$0]] - b[ob[$0]] }, "\(sa) \(sb)")
    }
    var nest = loop(sizes, [500, 1], [1, 300])
    let (one, two): ([Float], [Float]) = onOneAndTwoThreads { filled(count) { mg_convert_nd(MG_F32, MG_F32, &nest, a, $0) } }
    let places = offsets(sizes, [1, 300])
    #expect(one == two && one.indices.allSatisfy { one[$0] == a[places[$0]] })
  }

  @Test func nothingAndOne() {
    var empty = loop([3, 0, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0])
    var y: [Float] = [7]
    mg_binary_nd(MG_ADD, MG_F32, &empty, [1] as [Float], [2] as [Float], &y)
    mg_convert_nd(MG_F32, MG_F32, &empty, [1] as [Float], &y)
    #expect(y == [7])
    var scalar = loop([])
    mg_binary_nd(MG_ADD, MG_F32, &scalar, [1] as [Float], [2] as [Float], &y)
    #expect(y == [3])
    mg_convert_nd(MG_F32, MG_F32, &scalar, [5] as [Float], &y)
    #expect(y == [5])
  }
}

@Suite struct ConvertTests {
  private func convert<A: Element, B: Element>(_ x: [A], to: B.Type) -> [B] {
    var nest = flat(x.count)
    return filled(x.count) { mg_convert_nd(A.dtype, B.dtype, &nest, x, $0) }
  }

  /// Truncates toward zero, saturates, NaN is 0.
  private func truncated<F: FloatElement, I: FixedWidthInteger>(_ x: F, _: I.Type) -> I {
    x.isNaN ? 0 : I(exactly: x.rounded(.towardZero)) ?? (x < 0 ? I.min : I.max)
  }

  private func checkFloat<F: FloatElement>(_: F.Type) {
    var x = F.edges + [2_147_483_647, -2_147_483_648, 9_223_372_036_854_775_807, -9_223_372_036_854_775_808, 255, 256, -0.5, 255.5]
    x += [4_294_967_296, -2_147_483_649, 2_147_483_648, 1e19, -1e19]
    #expect(convert(x, to: Int64.self) == x.map { truncated($0, Int64.self) })
    #expect(convert(x, to: Int32.self) == x.map { truncated($0, Int32.self) })
    #expect(convert(x, to: UInt8.self) == x.map { truncated($0, UInt8.self) })
    #expect(zip(convert(x, to: Float.self), x).allSatisfy { isSame($0, Float($1)) })
    #expect(zip(convert(x, to: Double.self), x).allSatisfy { isSame($0, Double($1)) })
    var nest = flat(x.count)
    let bools: [UInt8] = filled(x.count) { mg_convert_nd(F.dtype, MG_BOOL, &nest, x, $0) }
    #expect(bools == x.map { $0 != 0 ? 1 : 0 })
  }

  private func checkInteger<I: Element & FixedWidthInteger>(_: I.Type) {
    let x = I.edges
    #expect(convert(x, to: Int64.self) == x.map { Int64(truncatingIfNeeded: $0) })
    #expect(convert(x, to: Int32.self) == x.map { Int32(truncatingIfNeeded: $0) })
    #expect(convert(x, to: UInt8.self) == x.map { UInt8(truncatingIfNeeded: $0) })
    #expect(convert(x, to: Float.self) == x.map { Float($0) })
    #expect(convert(x, to: Double.self) == x.map { Double($0) })
    var nest = flat(x.count)
    let bools: [UInt8] = filled(x.count) { mg_convert_nd(I.dtype, MG_BOOL, &nest, x, $0) }
    #expect(bools == x.map { $0 != 0 ? 1 : 0 })
  }

  @Test func everyPair() {
    checkFloat(Float.self)
    checkFloat(Double.self)
    checkInteger(Int64.self)
    checkInteger(Int32.self)
    checkInteger(UInt8.self)
    var nest = flat(2)
    #expect(filled(2) { mg_convert_nd(MG_BOOL, MG_F32, &nest, [0, 1] as [UInt8], $0) } == [0, 1] as [Float])
    #expect(filled(2) { mg_convert_nd(MG_BOOL, MG_I64, &nest, [0, 1] as [UInt8], $0) } == [0, 1] as [Int64])
  }

  /// Backwards and by every second element, in one row and in many, of every size of elements.
  @Test(arguments: [1, 2, 15, 16, 17, 100, 140_000])
  func shuffledRows(_ n: Int) {
    func check<T: Element>(_: T.Type) {
      let x = (0..<2 * n).map { T(exactly: $0 % 251)! }
      for rows in [1, 3] {
        let columns = n / rows
        guard columns > 0 else { continue }
        for stride in [-1, 2] {
          let first = stride < 0 ? columns - 1 : 0
          var nest = loop([rows, columns], [columns, 1], [columns, stride])
          let y: [T] = filled(rows * columns) { y in
            x.withUnsafeBufferPointer { mg_convert_nd(T.dtype, T.dtype, &nest, $0.baseAddress! + first, y) }
          }
          #expect(y == (0..<rows).flatMap { row in (0..<columns).map { x[row * columns + first + $0 * stride] } })
        }
      }
    }
    check(UInt8.self)
    check(Int32.self)
    check(Double.self)
  }

  @Test(arguments: [(1, 1, 1), (2, 3, 5), (2, 5, 3), (1, 400, 300), (3, 0, 4)])
  func triangles(_ count: Int, _ rows: Int, _ columns: Int) {
    let x = (0..<count * rows * columns).map { Int32($0 + 1) }
    for diagonal in [-rows - 1, -rows, -1, 0, 1, columns - 1, columns] {
      for lower in [true, false] {
        let y: [Int32] = filled(x.count) {
          run("triangle", MG_U8, [x, $0], 4 * x.count, sizes: [rows, columns, diagonal, 8 + (lower ? 1 : 0)])
        }
        for place in x.indices {
          let distance = place % columns - place / columns % rows
          let stays = lower ? distance <= diagonal : distance >= diagonal
          if y[place] != (stays ? x[place] : 0) { Issue.record("element \(place) by diagonal \(diagonal)") }
        }
      }
    }
  }

  @Test func filling() {
    for n in [0, 1, 17, 200_000] {
      #expect(filled(n) { mg_fill(MG_F64, Int64(n), [1.5], $0) } == [Double](repeating: 1.5, count: n))
      #expect(filled(n) { mg_fill(MG_I32, Int64(n), [7 as Int32], $0) } == [Int32](repeating: 7, count: n))
      #expect(filled(n) { mg_fill(MG_U8, Int64(n), [9 as UInt8], $0) } == [UInt8](repeating: 9, count: n))
    }
  }
}

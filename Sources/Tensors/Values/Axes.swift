// Lists of dimensions, inline: what reductions and permutations are given.

/// At most 8 dimensions, from 0, in order.
package struct Axes: Sendable, Equatable, RandomAccessCollection, ExpressibleByArrayLiteral, CustomStringConvertible {
  private var bytes: UInt64 = 0
  package private(set) var count = 0

  @inline(__always)
  package init() {}

  /// The dimensions 0 to `rank` − 1.
  package init(rank: Int) { for axis in 0..<rank { append(axis) } }

  package init(_ list: some Sequence<Int>) { for axis in list { append(axis) } }

  package init(arrayLiteral elements: Int...) { self.init(elements) }

  package mutating func append(_ axis: Int) {
    bytes |= UInt64(truncatingIfNeeded: axis) << UInt64(8 * count)
    count += 1
  }

  package var startIndex: Int { 0 }
  package var endIndex: Int { count }

  @inline(__always)
  package subscript(position: Int) -> Int {
    get { Int(bytes >> UInt64(8 * position) & 0xff) }
    set { bytes = bytes & ~(0xff << UInt64(8 * position)) | UInt64(truncatingIfNeeded: newValue) << UInt64(8 * position) }
  }

  /// Where each dimension stands in this order.
  package var inverse: Axes {
    var result = Axes(rank: count)
    for position in 0..<count { result[self[position]] = position }
    return result
  }

  package var description: String { "\(Array(self))" }
}

// Sizes by dimension, inline, so that making a tensor allocates nothing for them.

/// The sizes of a tensor's dimensions: at most 8, outermost first. Rank 0 is a single element.
public struct Shape: Sendable, Equatable, CustomStringConvertible, ExpressibleByArrayLiteral {
  /// The most dimensions that a tensor can have.
  public static var maximumRank: Int { 8 }

  package var sizes: InlineArray<8, Int>
  /// Number of dimensions.
  public internal(set) var rank: Int

  @inline(__always)
  package init() {
    sizes = InlineArray(repeating: 0)
    rank = 0
  }

  /// The shape of those sizes. Throws for more than 8 dimensions, a negative size, or more elements than fit in memory.
  public init(_ sizes: [Int], operation: String = "shape") throws {
    guard sizes.count <= Shape.maximumRank else {
      throw TensorError(.shape, operation, "\(sizes.count) dimensions asked for; at most \(Shape.maximumRank) are possible")
    }
    self.init()
    for (dimension, size) in sizes.enumerated() {
      guard size >= 0 else {
        throw TensorError(.shape, operation, "size \(size) of dimension \(index: dimension) is negative")
      }
      append(size)
    }
    try checkAddressable(operation)
  }

  /// Zero elsewhere does not excuse sizes whose product could not be addressed: products of some of the sizes are made
  /// everywhere, and must not overflow.
  private func checkAddressable(_ operation: String) throws {
    var count = 1
    var overflow = false
    for dimension in 0..<rank {
      let (product, over) = count.multipliedReportingOverflow(by: max(sizes[dimension], 1))
      count = product
      overflow = overflow || over
    }
    guard !overflow, count <= Shape.unaddressable else {
      throw TensorError(.memory, operation, "a tensor of sizes \(self) has more elements than can be addressed")
    }
  }

  /// For literals in Swift programs; sizes there are the programmer's own.
  public init(arrayLiteral elements: Int...) {
    precondition(elements.count <= Shape.maximumRank && elements.allSatisfy { $0 >= 0 }, "not a shape: \(elements)")
    self.init()
    for size in elements { append(size) }
  }

  /// One size, and two, of a tensor that exists: a literal would make an array first, which every step pays for.
  @inline(__always)
  package init(size: Int) {
    self.init()
    append(size)
  }

  @inline(__always)
  package init(rows: Int, columns: Int) {
    self.init()
    append(rows)
    append(columns)
  }

  @inline(__always)
  package mutating func append(_ size: Int) {
    sizes[rank] = size
    rank += 1
  }

  /// The size of a dimension from 0 to rank − 1.
  @inline(__always)
  public package(set) subscript(dimension: Int) -> Int {
    get { sizes[dimension] }
    set { sizes[dimension] = newValue }
  }

  /// More elements than any memory has. Counts stop here, so that byte counts made of them cannot overflow and the
  /// allocation is what fails.
  package static var unaddressable: Int { 1 << 56 }

  /// Number of elements: the product of the sizes, 1 for rank 0.
  @inline(__always)
  public var count: Int {
    var product = 1
    var overflows = false
    for dimension in 0..<rank {
      let (value, overflow) = product.multipliedReportingOverflow(by: sizes[dimension])
      product = value
      overflows = overflows || overflow
    }
    return overflows || product > Shape.unaddressable ? saturatedCount : product
  }

  @inline(never)
  private var saturatedCount: Int {
    (0..<rank).contains { sizes[$0] == 0 } ? 0 : Shape.unaddressable
  }

  /// The sizes as a list.
  public var array: [Int] { (0..<rank).map { sizes[$0] } }

  /// The sizes in brackets: `[2, 3]`.
  public var description: String { "[\(array.map(String.init).joined(separator: ", "))]" }

  /// Whether ranks and sizes are the same.
  @inline(__always)
  public static func == (a: Shape, b: Shape) -> Bool {
    guard a.rank == b.rank else { return false }
    for dimension in 0..<a.rank where a.sizes[dimension] != b.sizes[dimension] { return false }
    return true
  }

  /// `dimension` counted from the front; negative ones count from the end. A rank-0 tensor accepts 0 and −1, as PyTorch.
  package func axis(_ dimension: Int, _ operation: String) throws -> Int {
    let limit = max(rank, 1)
    guard dimension >= -limit, dimension < limit else {
      throw TensorError(
        .index, operation,
        "dimension \(index: dimension) is out of range for shape \(self), which has \(rank) dimension\(rank == 1 ? "" : "s")")
    }
    return dimension < 0 ? dimension + limit : dimension
  }

  /// Several distinct dimensions in ascending order; an empty or absent list means all of them.
  package func axes(_ dimensions: [Int]?, _ operation: String) throws -> Axes {
    guard let dimensions, !dimensions.isEmpty else { return Axes(rank: rank) }
    var seen: UInt8 = 0
    for dimension in dimensions {
      let axis = try axis(dimension, operation)
      guard seen >> UInt8(axis) & 1 == 0 else {
        throw TensorError(.argument, operation, "dimension \(index: axis) is named twice")
      }
      seen |= 1 << UInt8(axis)
    }
    return rank == 0 ? Axes() : Axes((0..<rank).lazy.filter { seen >> UInt8($0) & 1 == 1 })
  }

  package func removing(_ axes: Axes, keeping keeps: Bool) -> Shape {
    var result = Shape()
    for dimension in 0..<rank {
      if axes.contains(dimension) {
        if keeps { result.append(1) }
      } else {
        result.append(sizes[dimension])
      }
    }
    return result
  }

  package func replacing(_ dimension: Int, with size: Int) -> Shape {
    var result = self
    result.sizes[dimension] = size
    return result
  }

  /// The shape both broadcast to: trailing dimensions align, and a 1 stretches.
  package static func broadcast(_ a: Shape, _ b: Shape, _ operation: String) throws -> Shape {
    if a == b { return a }
    var result = Shape()
    result.rank = max(a.rank, b.rank)
    for back in 1...max(result.rank, 1) where back <= result.rank {
      let left = back <= a.rank ? a.sizes[a.rank - back] : 1
      let right = back <= b.rank ? b.sizes[b.rank - back] : 1
      guard left == right || left == 1 || right == 1 else {
        throw TensorError(
          .shape, operation,
          "shapes \(a) and \(b) do not broadcast: sizes \(left) and \(right) meet in dimension \(index: result.rank - back)")
      }
      result.sizes[result.rank - back] = left == 1 ? right : left
    }
    try result.checkAddressable(operation)
    return result
  }

  /// Sizes with one −1 worked out so that `count` elements fill them.
  package static func inferring(_ sizes: [Int], count: Int, of source: Shape, _ operation: String) throws -> Shape {
    guard let open = sizes.firstIndex(of: -1) else {
      let shape = try Shape(sizes, operation: operation)
      guard shape.count == count else {
        throw TensorError(.shape, operation, "shape \(shape) holds \(shape.count) elements, but \(source) has \(count)")
      }
      return shape
    }
    guard sizes.lastIndex(of: -1) == open else {
      throw TensorError(.argument, operation, "only one size can be -1 (inferred), got \(sizes)")
    }
    var filled = sizes
    filled[open] = 1
    let known = try Shape(filled, operation: operation).count
    guard known > 0, count % known == 0 else {
      throw TensorError(.shape, operation, "no size for the -1 in \(sizes) holds the \(count) elements of \(source)")
    }
    filled[open] = count / known
    return try Shape(filled, operation: operation)
  }
}

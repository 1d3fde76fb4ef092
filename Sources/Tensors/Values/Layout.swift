// Where a tensor's elements lie in its storage.

/// Shape, strides and offset, all in elements.
public struct Layout: Sendable {
  /// The sizes of the dimensions, outermost first.
  public internal(set) var shape: Shape
  package var strides: InlineArray<8, Int>
  /// Place of the first element in the storage.
  public internal(set) var offset: Int
  /// Number of elements.
  public let count: Int
  /// Whether the elements lie one after another in row-major order, starting at `offset`.
  public let isContiguous: Bool

  /// Row-major from the start of a storage.
  @inline(__always)
  package init(_ shape: Shape) {
    self.shape = shape
    strides = InlineArray(repeating: 0)
    offset = 0
    var step = 1
    var dimension = shape.rank - 1
    while dimension >= 0 {
      strides[dimension] = step
      step &*= max(shape.sizes[dimension], 1)
      dimension -= 1
    }
    count = shape.count
    isContiguous = true
  }

  package init(_ shape: Shape, strides: InlineArray<8, Int>, offset: Int) {
    self.shape = shape
    self.strides = strides
    self.offset = offset
    count = shape.count
    var expected = 1
    var contiguous = true
    var dimension = shape.rank - 1
    while dimension >= 0, contiguous {
      let size = shape.sizes[dimension]
      contiguous = size == 1 || strides[dimension] == expected
      expected &*= max(size, 1)
      dimension -= 1
    }
    isContiguous = contiguous || count == 0
  }

  package var strideArray: [Int] { (0..<shape.rank).map { strides[$0] } }

  /// The same elements stretched to `target`, which broadcasting has already accepted: stretched strides are 0.
  package func stretched(to target: Shape) -> Layout {
    if shape == target { return self }
    var result = InlineArray<8, Int>(repeating: 0)
    let shift = target.rank - shape.rank
    for dimension in 0..<shape.rank {
      let stretches = shape.sizes[dimension] == 1 && target.sizes[dimension + shift] != 1
      result[dimension + shift] = stretches ? 0 : strides[dimension]
    }
    return Layout(target, strides: result, offset: offset)
  }

  package func permuted(_ order: some Collection<Int>) -> Layout {
    var shape = Shape()
    var result = InlineArray<8, Int>(repeating: 0)
    for (position, dimension) in order.enumerated() {
      shape.append(self.shape.sizes[dimension])
      result[position] = strides[dimension]
    }
    return Layout(shape, strides: result, offset: offset)
  }

  /// Whether two different positions share an element (an expanded tensor).
  package var overlaps: Bool {
    (0..<shape.rank).contains { shape.sizes[$0] > 1 && strides[$0] == 0 }
  }

  /// Strides under which the same elements, in the same order, have `target`'s shape; nil when that needs a copy.
  package func viewed(as target: Shape) -> Layout? {
    if isContiguous {
      var result = Layout(target)
      result.offset = offset
      return result
    }
    // Cut the new sizes, from the back, out of the old dimensions' contiguous runs (PyTorch's computeStride).
    var result = InlineArray<8, Int>(repeating: 0)
    guard shape.rank > 0 else { return Layout(target, strides: result, offset: offset) }
    var new = target.rank - 1
    var base = strides[shape.rank - 1]
    var run = 1
    var filled = 1
    var old = shape.rank - 1
    while old >= 0 {
      run *= shape.sizes[old]
      let ends = old == 0 || (shape.sizes[old - 1] != 1 && strides[old - 1] != run * base)
      if ends {
        while new >= 0, filled < run || target.sizes[new] == 1 {
          result[new] = filled * base
          filled *= target.sizes[new]
          new -= 1
        }
        guard filled == run else { return nil }
        if old > 0 {
          base = strides[old - 1]
          run = 1
          filled = 1
        }
      }
      old -= 1
    }
    return new == -1 ? Layout(target, strides: result, offset: offset) : nil
  }
}

// Views: other layouts of the same storage. None copies, but `reshape` where the layout cannot express the shape.

extension Tensor {
  /// A view under `layout`, part of the graph by `operation` and of this tensor's (or its base's) family of views.
  @inline(__always)
  private func view(_ layout: Layout, _ operation: some Operation) throws -> Tensor {
    let result = Tensor(storage: storage, layout: layout, dtype: dtype)
    result.base = base ?? self
    result.flags = flags.intersection([.uncounted, .viewWithoutGrad, .viewInInference, .multiView])
    result.historySeen = storage.history
    if !GradMode.isEnabled { result.flags.formUnion(.viewUnrecorded) }
    return try result.recorded(operation, self)
  }

  /// The same elements in another shape, without copying; one size may be −1.
  public func view(_ sizes: [Int]) throws -> Tensor {
    let target = try Shape.inferring(sizes, count: count, of: shape, "view")
    guard let layout = layout.viewed(as: target) else {
      throw TensorError(
        .shape, "view",
        "a tensor of shape \(shape) with strides \(layout.strideArray) cannot be viewed as \(target) without copying; use reshape()")
    }
    return try view(layout, Reshaping(nodeName: "ViewBackward0", from: shape, size: target))
  }

  /// The same elements in another shape, as a view where possible; one size may be −1.
  public func reshape(_ sizes: [Int]) throws -> Tensor {
    try reshape(Shape.inferring(sizes, count: count, of: shape, "reshape"))
  }

  package func reshape(_ target: Shape) throws -> Tensor {
    if let layout = layout.viewed(as: target) {
      let name = isContiguous ? "ViewBackward0" : "ReshapeAliasBackward0"
      return try view(layout, Reshaping(nodeName: name, from: shape, size: target))
    }
    return try clone().shaped(target)
  }

  /// This new tensor, which nobody else sees, in another shape; no view of it.
  func shaped(_ target: Shape, name: String = "UnsafeViewBackward0") throws -> Tensor {
    try Tensor(storage: storage, layout: Layout(target), dtype: dtype)
      .recorded(Reshaping(nodeName: name, from: shape, size: target, isView: false), self)
  }

  /// Dimensions `from` to `through` merged into one.
  public func flatten(_ from: Int = 0, _ through: Int = -1) throws -> Tensor {
    let first = try shape.axis(from, "flatten")
    let last = try shape.axis(through, "flatten")
    guard first <= last else {
      throw TensorError(.argument, "flatten", "dimension \(index: first) comes after dimension \(index: last)")
    }
    if rank == 0 { return try reshape([1] as Shape) }
    if first == last { return self }
    var target = Shape()
    for dimension in 0..<first { target.append(shape[dimension]) }
    target.append((first...last).reduce(1) { $0 * shape[$1] })
    for dimension in (last + 1)..<Swift.max(rank, last + 1) { target.append(shape[dimension]) }
    return try reshape(target)
  }

  /// Dimensions in another order.
  public func permute(_ order: [Int]) throws -> Tensor {
    guard order.count == rank else {
      throw TensorError(.argument, "permute", "\(order.count) dimensions were given for a tensor of shape \(shape)")
    }
    let axes = Axes(try order.map { try shape.axis($0, "permute") })
    guard Set(axes).count == rank else { throw TensorError(.argument, "permute", "a dimension is named twice") }
    return try permute(axes)
  }

  func permute(_ order: Axes) throws -> Tensor { try view(layout.permuted(order), Permutation(dims: order)) }

  /// Two dimensions exchanged.
  public func transpose(_ a: Int, _ b: Int) throws -> Tensor {
    let (a, b) = (try shape.axis(a, "transpose"), try shape.axis(b, "transpose"))
    return try view(transposed(a, b), Transposition(nodeName: "TransposeBackward0", dim0: a, dim1: b))
  }

  private func transposed(_ a: Int, _ b: Int) -> Layout {
    guard rank > 0 else { return layout }
    var order = Axes(rank: rank)
    (order[a], order[b]) = (b, a)
    return layout.permuted(order)
  }

  /// The transposed matrix; vectors and single numbers stay as they are.
  public func t() throws -> Tensor {
    guard rank <= 2 else {
      throw TensorError(.shape, "t", "a matrix is needed, this tensor has shape \(shape); use transpose or permute")
    }
    let last = Swift.max(rank - 1, 0)
    return try view(transposed(0, last), Transposition(nodeName: "TBackward0", dim0: 0, dim1: last))
  }

  /// Size-1 dimensions removed: all of them, or those named.
  public func squeeze(_ dimensions: [Int]? = nil) throws -> Tensor {
    guard let dimensions else { return try squeeze(Axes(rank: rank), "SqueezeBackward0") }
    return try squeeze(Axes(dimensions.map { try shape.axis($0, "squeeze") }), "SqueezeBackward1")
  }

  func squeeze(_ axes: Axes, _ name: String = "SqueezeBackward1") throws -> Tensor {
    let kept = Axes((0..<rank).filter { shape[$0] != 1 || !axes.contains($0) })
    return try view(layout.permuted(kept), Squeezing(nodeName: name, dim: axes, from: shape))
  }

  /// A size-1 dimension inserted before dimension `dimension` (negative: counted from the new shape's end).
  public func unsqueeze(_ dimension: Int) throws -> Tensor {
    guard rank < Shape.maximumRank else {
      throw TensorError(.shape, "unsqueeze", "shape \(shape) has \(rank) dimensions already, the most there can be")
    }
    guard dimension >= -rank - 1, dimension <= rank else {
      throw TensorError(
        .index, "unsqueeze", "dimension \(index: dimension) is out of range for inserting into shape \(shape)")
    }
    let axis = dimension < 0 ? dimension + rank + 1 : dimension
    var target = Shape()
    var strides = InlineArray<8, Int>(repeating: 0)
    for position in 0...rank {
      let source = position < axis ? position : position - 1
      strides[position] = position == axis ? (axis < rank ? layout.strides[axis] * shape[axis] : 1) : layout.strides[source]
      target.append(position == axis ? 1 : shape[source])
    }
    return try view(Layout(target, strides: strides, offset: layout.offset), Unsqueezing(dim: axis))
  }

  /// Size-1 dimensions stretched, and new ones put in front, without copying; −1 keeps a size.
  public func expand(_ sizes: [Int]) throws -> Tensor { try expand(sizes, name: "expand") }

  func expand(_ sizes: [Int], name: String) throws -> Tensor {
    guard sizes.count >= rank else {
      throw TensorError(.shape, name, "\(sizes.count) sizes are too few for a tensor of shape \(shape)")
    }
    var filled = sizes
    for (position, size) in sizes.enumerated() where size == -1 {
      guard position >= sizes.count - rank else {
        throw TensorError(.argument, name, "-1 keeps a size, but dimension \(index: position) is new")
      }
      filled[position] = shape[position - (sizes.count - rank)]
    }
    return try expand(Shape(filled, operation: name), name: name)
  }

  package func expand(_ target: Shape, name: String = "expand") throws -> Tensor {
    guard try Shape.broadcast(shape, target, name) == target else {
      throw TensorError(.shape, name, "shape \(shape) cannot be stretched to \(target): only sizes of 1 stretch")
    }
    return try view(layout.stretched(to: target), Expansion(size: target, from: shape))
  }

  /// The sum over whatever broadcasting stretched: from this shape back to `target`.
  package func summed(to target: Shape) throws -> Tensor {
    if shape == target { return self }
    let lead = rank - target.rank
    var axes = Axes(rank: lead)
    for dimension in 0..<target.rank where target[dimension] == 1 && shape[dimension + lead] != 1 { axes.append(dimension + lead) }
    let total = axes.isEmpty ? self : try sum(axes, keepdim: true)
    return try total.reshape(target)
  }

  /// Position `index` along `dimension`, which disappears.
  public func select(_ dimension: Int, _ index: Int) throws -> Tensor {
    guard rank > 0 else { throw TensorError(.index, "select", "a tensor of rank 0 has no dimension to index") }
    let axis = try shape.axis(dimension, "select")
    let position = try position(index, axis, "select")
    var strides = InlineArray<8, Int>(repeating: 0)
    var target = Shape()
    for other in 0..<rank where other != axis {
      strides[target.rank] = layout.strides[other]
      target.append(shape[other])
    }
    let layout = Layout(target, strides: strides, offset: layout.offset + position * layout.strides[axis])
    return try view(layout, Selecting(dim: axis, index: position, size: shape[axis]))
  }

  /// A position along an axis, counted from the front; negative ones count from the end.
  package func position(_ index: Int, _ axis: Int, _ operation: String) throws -> Int {
    let size = shape[axis]
    guard index >= -size, index < size else {
      throw TensorError(
        .index, operation, "index \(index: index) is out of range for dimension \(index: axis) of size \(size)")
    }
    return index < 0 ? index + size : index
  }

  /// Positions start, start + step, … below end along `dimension`; both are clipped to the size.
  public func slice(_ dimension: Int, _ start: Int, _ end: Int, _ step: Int = 1) throws -> Tensor {
    let axis = try shape.axis(dimension, "slice")
    guard step > 0 else { throw TensorError(.argument, "slice", "the step must be positive, got \(step)") }
    let step = Swift.min(step, Swift.max(rank == 0 ? 1 : shape[axis], 1))
    guard rank > 0 else { throw TensorError(.index, "slice", "a tensor of rank 0 has no dimension to slice") }
    let size = shape[axis]
    let first = Swift.min(Swift.max(start < 0 ? start + size : start, 0), size)
    let last = Swift.min(Swift.max(end < 0 ? end + size : end, first), size)
    let length = (last - first + step - 1) / step
    var strides = layout.strides
    strides[axis] *= step
    let layout = Layout(
      shape.replacing(axis, with: length), strides: strides, offset: layout.offset + first * layout.strides[axis])
    return try view(layout, Slicing(dim: axis, start: first, end: last, step: step, size: size))
  }

  /// `length` positions from `start` along `dimension`.
  public func narrow(_ dimension: Int, _ start: Int, _ length: Int) throws -> Tensor {
    let axis = try shape.axis(dimension, "narrow")
    let size = rank == 0 ? 1 : shape[axis]
    let first = start < 0 ? start + size : start
    guard length >= 0, first >= 0, first <= size - length else {
      throw TensorError(
        .index, "narrow",
        "\(length) positions from \(index: start) do not fit dimension \(index: axis) of size \(size)")
    }
    return try slice(axis, first, first + length)
  }

  /// Zeros of `size` along `axis` with this tensor at start, start + step, …; the adjoint of slicing.
  func padded(_ axis: Int, _ start: Int, _ step: Int, _ size: Int) throws -> Tensor {
    let result = try Tensor.zeros(shape.replacing(axis, with: size), dtype: dtype)
    var strides = result.layout.strides
    let offset = start * strides[axis]
    strides[axis] *= step
    let place = Tensor(storage: result.storage, layout: Layout(shape, strides: strides, offset: offset), dtype: dtype)
    try place.assign(self)
    result.storage.version = 0
    return try result.recorded(Padding(dim: axis, start: start, step: step, size: size, length: shape[axis]), self)
  }

  /// The diagonal of a matrix, `offset` above (or below) the main one.
  public func diagonal(_ offset: Int = 0, _ a: Int = 0, _ b: Int = 1) throws -> Tensor {
    guard rank >= 2 else { throw TensorError(.shape, "diagonal", "at least 2 dimensions are needed, the shape is \(shape)") }
    let a = try shape.axis(a, "diagonal")
    let b = try shape.axis(b, "diagonal")
    guard a != b else { throw TensorError(.argument, "diagonal", "dimension \(index: a) is named twice") }
    let offset = Swift.min(Swift.max(offset, -shape[a]), shape[b])
    let length = Swift.max(offset >= 0 ? Swift.min(shape[a], shape[b] - offset) : Swift.min(shape[a] + offset, shape[b]), 0)
    var target = Shape()
    var strides = InlineArray<8, Int>(repeating: 0)
    for other in 0..<rank where other != a && other != b {
      strides[target.rank] = layout.strides[other]
      target.append(shape[other])
    }
    strides[target.rank] = layout.strides[a] + layout.strides[b]
    target.append(length)
    let shift = length == 0 ? 0 : offset >= 0 ? offset * layout.strides[b] : -offset * layout.strides[a]
    return try view(
      Layout(target, strides: strides, offset: layout.offset + shift), Diagonal(offset: offset, dim1: a, dim2: b, from: shape))
  }

  func diagonalScattered(_ whole: Shape, _ offset: Int, _ a: Int, _ b: Int) throws -> Tensor {
    let result = try Tensor.zeros(whole, dtype: dtype)
    try withNoGrad { try result.diagonal(offset, a, b).assign(self) }
    result.storage.version = 0
    return try result.recorded(DiagonalScatter(offset: offset, dim1: a, dim2: b, size: whole), self)
  }

  /// Windows of `size` positions along `dimension`, each `step` after the one before; their positions are a new last dimension.
  public func unfold(_ dimension: Int, _ size: Int, _ step: Int) throws -> Tensor {
    let axis = try shape.axis(dimension, "unfold")
    let whole = rank == 0 ? 1 : shape[axis]
    guard rank < Shape.maximumRank else {
      throw TensorError(.shape, "unfold", "shape \(shape) has \(rank) dimensions already, the most there can be")
    }
    guard size >= 0, size <= whole else {
      throw TensorError(.argument, "unfold", "a window of \(size) positions does not fit dimension \(index: axis) of shape \(shape)")
    }
    guard step > 0 else { throw TensorError(.argument, "unfold", "the step must be positive, got \(step)") }
    return try view(layout.unfolded(axis, size, step), Unfolding(dimension: axis, size: size, step: step, from: shape))
  }

  /// Elements of the storage by any strides and offset; those of this tensor where no offset is given. As the storage is what it
  /// looks at, the result depends on more than this tensor's elements; gradients go to those of them that it shows.
  public func asStrided(_ sizes: [Int], _ strides: [Int], _ offset: Int? = nil) throws -> Tensor {
    let target = try Shape(sizes, operation: "as_strided")
    guard strides.count == sizes.count else {
      throw TensorError(.argument, "as_strided", "\(strides.count) strides were given for \(sizes.count) sizes")
    }
    let start = offset ?? layout.offset
    guard strides.allSatisfy({ $0 >= 0 }), start >= 0 else {
      throw TensorError(.argument, "as_strided", "strides and the offset must not be negative, got \(strides) and \(start)")
    }
    let places = storage.byteCount / dtype.size
    var list = InlineArray<8, Int>(repeating: 0)
    var last = start
    for (dimension, stride) in strides.enumerated() {
      list[dimension] = stride
      let (reach, overflows) = stride.multipliedReportingOverflow(by: Swift.max(target[dimension] - 1, 0))
      last = overflows || reach > places ? .max : last > .max - reach ? .max : last + reach
    }
    guard target.count == 0 || last < places else {
      throw TensorError(
        .index, "as_strided",
        "sizes \(target) with strides \(strides) from \(start) on do not fit the \(places) elements of the storage")
    }
    let layout = Layout(target, strides: list, offset: start)
    return try view(layout, Strided(map: RegionMap(base: self.layout, region: layout)))
  }

  /// Views of each position along `dimension`.
  public func unbind(_ dimension: Int = 0) throws -> [Tensor] {
    guard rank > 0 else { throw TensorError(.index, "unbind", "a tensor of rank 0 has no dimension to take apart") }
    let axis = try shape.axis(dimension, "unbind")
    return try parts("UnbindBackward0", axis, nil)
  }

  /// Views of consecutive parts along `dimension`, of those sizes.
  public func split(_ sizes: [Int], _ dimension: Int = 0) throws -> [Tensor] {
    try split(sizes, dimension, name: "SplitWithSizesBackward0")
  }

  private func split(_ sizes: [Int], _ dimension: Int, name: String) throws -> [Tensor] {
    try checkParts(sizes.count, "split")
    guard rank > 0 else { throw TensorError(.index, "split", "a tensor of rank 0 has no dimension to split") }
    let axis = try shape.axis(dimension, "split")
    guard sizes.allSatisfy({ $0 >= 0 }),
      sizes.reduce(0, { Swift.min($0, shape[axis] + 1) &+ Swift.min($1, shape[axis] + 1) }) == shape[axis]
    else {
      throw TensorError(
        .shape, "split", "sizes \(sizes) do not add up to the size \(shape[axis]) of dimension \(index: axis)")
    }
    return try parts(name, axis, sizes)
  }

  /// Several views by one node.
  fileprivate func parts(_ name: String, _ axis: Int, _ sizes: [Int]?) throws -> [Tensor] {
    if sizes == nil { try checkParts(shape[axis], "unbind") }
    let views = try withNoGrad {
      var start = 0
      func goOn(_ number: Int) throws { if number & 0xfff == 0xfff { try Context.checkStop() } }
      guard let sizes else {
        return try (0..<shape[axis]).map {
          try goOn($0)
          return try select(axis, $0)
        }
      }
      return try sizes.enumerated().map { number, size in
        try goOn(number)
        defer { start += size }
        return try narrow(axis, start, size)
      }
    }
    for view in views {
      view.flags = flags.intersection([.uncounted, .viewWithoutGrad, .viewInInference]).union(.multiView)
      if !GradMode.isEnabled { view.flags.formUnion(.viewUnrecorded) }
    }
    try Tensor.record(Parting(nodeName: name, dim: axis, splitSizes: sizes, from: shape), [self], outputs: views)
    return views
  }

  /// Parts are objects, and those of an expanded tensor may be more than memory has room for.
  func checkParts(_ count: Int, _ operation: String) throws {
    // A tensor's record, its place in lists, and what a script holds it by.
    try Context.checkRoom(for: "\(count) parts of a tensor of shape \(shape) need", operation, count: count, bytesOfEach: 512)
  }

  /// Views of parts of `size` along `dimension`, the last one smaller where it does not divide.
  public func split(size: Int, _ dimension: Int = 0) throws -> [Tensor] {
    guard size > 0 else { throw TensorError(.argument, "split", "the size of a part must be positive, got \(size)") }
    guard rank > 0 else { throw TensorError(.index, "split", "a tensor of rank 0 has no dimension to split") }
    let axis = try shape.axis(dimension, "split")
    let total = shape[axis]
    try checkParts(total / size, "split")
    let sizes = total == 0 ? [0] : stride(from: 0, to: total, by: size).map { Swift.min(size, total - $0) }
    return try split(sizes, axis, name: "SplitBackward0")
  }

  /// At most `count` parts of equal size along `dimension`.
  public func chunk(_ count: Int, _ dimension: Int = 0) throws -> [Tensor] {
    guard count > 0 else { throw TensorError(.argument, "chunk", "the number of parts must be positive, got \(count)") }
    guard rank > 0 else { throw TensorError(.index, "chunk", "a tensor of rank 0 has no dimension to split") }
    let axis = try shape.axis(dimension, "chunk")
    // Of nothing there are as many parts as were asked for.
    if shape[axis] == 0 {
      try checkParts(count, "chunk")
      return try split([Int](repeating: 0, count: count), axis, name: "SplitWithSizesBackward0")
    }
    return try split(size: Swift.max((shape[axis] - 1) / count + 1, 1), axis)
  }
}

// MARK: On the tape

/// Another shape for the same elements.
struct Reshaping: Operation {
  let nodeName: String
  let from: Shape
  let size: Shape

  var tangentRule: TangentRule { .linear }
  var isView = true

  func gradient(_ c: inout Backward) throws { c[0] = try c.g.reshape(from) }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try isView ? inputs[0].reshape(size) : inputs[0].shaped(size, name: nodeName)]
  }
}

private struct Permutation: Operation {
  let dims: Axes

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "PermuteBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.permute(dims.inverse) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].permute(dims)] }
}

struct Transposition: Operation {
  let nodeName: String
  let dim0, dim1: Int

  var tangentRule: TangentRule { .linear }
  func gradient(_ c: inout Backward) throws { c[0] = dim0 == dim1 ? c.g : try c.g.transpose(dim0, dim1) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].transpose(dim0, dim1)] }
}

private struct Squeezing: Operation {
  let nodeName: String
  let dim: Axes
  let from: Shape

  var tangentRule: TangentRule { .linear }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.reshape(from) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].squeeze(dim, nodeName)] }
}

private struct Unsqueezing: Operation {
  let dim: Int

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "UnsqueezeBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.squeeze([dim] as Axes) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].unsqueeze(dim)] }
}

private struct Expansion: Operation {
  let size: Shape
  let from: Shape

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "ExpandBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.summed(to: from) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].expand(size)] }
}

private struct Selecting: Operation {
  let dim, index, size: Int

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "SelectBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.unsqueeze(dim).padded(dim, index, 1, size) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].select(dim, index)] }
}

private struct Slicing: Operation {
  let dim, start, end, step, size: Int

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "SliceBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.padded(dim, start, step, size) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].slice(dim, start, end, step)] }
}

private struct Padding: Operation {
  let dim, start, step, size, length: Int

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "SliceScatterBackward0" }

  func gradient(_ c: inout Backward) throws {
    c[0] = try c.g.slice(dim, start, start + Swift.max((length - 1) * step + 1, 0), step)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].padded(dim, start, step, size)] }
}

private struct Diagonal: Operation {
  let offset, dim1, dim2: Int
  let from: Shape

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "DiagonalBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.diagonalScattered(from, offset, dim1, dim2) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].diagonal(offset, dim1, dim2)] }
}

private struct DiagonalScatter: Operation {
  let offset, dim1, dim2: Int
  let size: Shape

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "DiagonalScatterBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.diagonal(offset, dim1, dim2) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].diagonalScattered(size, offset, dim1, dim2)] }
}

private struct Unfolding: Operation {
  let dimension, size, step: Int
  let from: Shape
  var nodeName: String { "UnfoldBackward0" }
  var tangentRule: TangentRule { .linear }

  func gradient(_ c: inout Backward) throws {
    let whole = Layout(from)
    c[0] = try RegionMap(base: whole, region: whole.unfolded(dimension, size, step)).spread(c.g)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].unfold(dimension, size, step)] }
}

extension Layout {
  fileprivate func unfolded(_ axis: Int, _ size: Int, _ step: Int) -> Layout {
    guard shape.rank > 0 else { return Layout([size], strides: InlineArray(repeating: 1), offset: offset) }
    var (target, strides) = (shape.replacing(axis, with: (shape[axis] - size) / step + 1), strides)
    strides[shape.rank] = strides[axis]
    if target[axis] > 1 { strides[axis] *= step }
    target.append(size)
    return Layout(target, strides: strides, offset: offset)
  }
}

/// Elements of the storage by any strides. Applied to others, it takes those that lie where the first ones did.
private struct Strided: Operation {
  let map: RegionMap
  var nodeName: String { "AsStridedBackward0" }
  var tangentRule: TangentRule { .linear }

  func gradient(_ c: inout Backward) throws {
    let g = try map.spread(c.g)
    // Elements that are one in the storage share what comes to it.
    c[0] = try map.base.overlaps || map.base.mayShare ? g / map.shares(c.g.dtype) : g
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try map.extract(inputs[0]).recorded(self, inputs[0])] }
}

/// Several views side by side, by one node: gradients of parts nobody used count as zeros.
private struct Parting: Operation {
  let nodeName: String
  let dim: Int
  /// nil for parts of size 1 without their dimension.
  let splitSizes: [Int]?
  let from: Shape

  var tangentRule: TangentRule { .linear }
  func gradient(_ c: inout Backward) throws {
    let found = c.gradients
    guard let first = found.first(where: { $0 != nil }) ?? nil else { return }
    // Put together at once: each padded to the whole and added would take the square of their number.
    var parts: [Tensor] = []
    var missing = 0
    func fill() throws {
      guard missing > 0 else { return }
      parts.append(try Tensor.zeros(from.replacing(dim, with: missing), dtype: first.dtype))
      missing = 0
    }
    for (number, gradient) in found.enumerated() {
      guard let gradient else {
        missing += splitSizes?[number] ?? 1
        continue
      }
      try fill()
      parts.append(splitSizes == nil ? try gradient.unsqueeze(dim) : gradient)
    }
    try fill()
    c[0] = parts.count == 1 ? parts[0] : try Joining.cat(parts, dim)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { try inputs[0].parts(nodeName, dim, splitSizes) }
}

enum Views {
  static let list: [TensorOperation] = [
    TensorOperation(
      "view", "The same elements in another shape, without copying; one size may be -1.", Take.input, Take.shape("shape"),
      forms: .method, samples: [[.float(2, 6), .list([3, 4])], [.float(2, 6), .list([3, -1])], [.float(0, 3), .list([3, 0])]],
      rejects: [[.float(2, 3), .list([4])], [.float(2, 3), .list([-1, -1])]], batching: .sizes
    ) { x, shape in try .tensor(x.view(shape)) },
    TensorOperation(
      "reshape", "The same elements in another shape, as a view where possible; one size may be -1.", Take.input, Take.shape("shape"),
      samples: [[.float(2, 6), .list([3, 4])], [.float(4), .list([2, -1])], [.float(1), .list([])]],
      rejects: [[.float(2, 3), .list([4])], [.float(2, 3), .list([4, -1])]], batching: .sizes
    ) { x, shape in try .tensor(x.reshape(shape)) },
    TensorOperation(
      "flatten", "The dimensions from start_dim through end_dim merged into one.", Take.input, Take.dimension("start_dim", default: 0),
      Take.dimension("end_dim", default: -1),
      samples: [[.float(2, 3, 4)], [.float(2, 3, 4), .integer(1)], [.float(2, 3, 4), .integer(0), .integer(1)], [.float()]],
      batching: .merging
    ) { x, startDim, endDim in try .tensor(x.flatten(startDim, endDim)) },
    TensorOperation(
      "permute", "The dimensions in another order.", Take.input, Take.dimensions("dims"),
      samples: [[.float(2, 3, 4), .list([2, 0, 1])]], rejects: [[.float(2, 3), .list([0])], [.float(2, 3), .list([0, 0])]],
      batching: .permutation
    ) { x, dims in try .tensor(x.permute(dims)) },
    TensorOperation(
      "transpose", "Two dimensions exchanged.", Take.input, Take.dimension("dim0"), Take.dimension("dim1"),
      aliases: ["swapaxes", "swapdims"], forms: [.both, .inPlaceView], samples: [[.float(2, 3, 4), .integer(0), .integer(2)]],
      rejects: [[.float(2, 3), .integer(0), .integer(2)]]
    ) { x, dim0, dim1 in try .tensor(x.transpose(dim0, dim1)) },
    TensorOperation(
      "t", "The transposed matrix.", Take.input, forms: [.both, .inPlaceView],
      samples: [[.float(2, 3)], [.float(3)]], rejects: [[.float(2, 3, 4)]], batching: .transposition
    ) { x in try .tensor(x.t()) },
    TensorOperation(
      "squeeze", "Size-1 dimensions removed: all of them, or those named.", Take.input, Take.optionalDimensions("dim"),
      forms: [.both, .inPlaceView], samples: [[.float(2, 1, 3, 1)], [.float(2, 1, 3, 1), .integer(1)], [.float(2, 3), .integer(0)]]
    ) { x, dim in try .tensor(x.squeeze(dim)) },
    TensorOperation(
      "unsqueeze", "A size-1 dimension inserted at dim.", Take.input, Take.dim, forms: [.both, .inPlaceView],
      samples: [[.float(2, 3), .integer(0)], [.float(2, 3), .integer(-1)], [.float(), .integer(0)]],
      rejects: [[.float(2, 3), .integer(3)]], batching: .newDimension
    ) { x, dim in try .tensor(x.unsqueeze(dim)) },
    TensorOperation(
      "expand", "Size-1 dimensions stretched without copying; -1 keeps a size.", Take.input, Take.shape("size"),
      forms: .method, samples: [[.float(2, 1), .list([2, 3])], [.float(3), .list([2, -1])]], rejects: [[.float(2, 3), .list([3, 3])]],
      batching: .expansion
    ) { x, size in try .tensor(x.expand(size)) },
    TensorOperation(
      "select", "One position along a dimension, which disappears.", Take.input, Take.dim, Take.index("index"),
      samples: [[.float(2, 3), .integer(1), .integer(2)], [.float(2, 3), .integer(0), .integer(-1)]],
      rejects: [[.float(2, 3), .integer(1), .integer(3)]]
    ) { x, dim, index in try .tensor(x.select(dim, index)) },
    TensorOperation(
      "narrow", "Some positions along a dimension, from start.", Take.input, Take.dim, Take.index("start"), Take.integer("length"),
      samples: [[.float(4, 3), .integer(0), .integer(1), .integer(2)]], rejects: [[.float(4, 3), .integer(0), .integer(1), .integer(4)]]
    ) { x, dim, start, length in try .tensor(x.narrow(dim, start, length)) },
    TensorOperation(
      "diagonal", "The diagonal, offset above (or below) the main one.", Take.input, Take.integer("offset", default: 0),
      Take.dimension("dim1", default: 0), Take.dimension("dim2", default: 1),
      samples: [
        [.float(3, 4)], [.float(3, 4), .integer(1)], [.float(3, 4), .integer(-1)],
        [.float(2, 3, 4), .integer(0), .integer(0), .integer(2)],
      ]
    ) { x, offset, dim1, dim2 in try .tensor(x.diagonal(offset, dim1, dim2)) },
    TensorOperation(
      "unfold", "Windows of size positions along a dimension, each step after the one before, as a view with a new last dimension.",
      Take.input, Take.dimension("dimension"), Take.integer("size"), Take.integer("step"), forms: .method,
      samples: [
        [.float(5), .integer(0), .integer(2), .integer(1)], [.float(2, 5), .integer(1), .integer(3), .integer(2)],
        [.float(4, 2), .integer(0), .integer(2), .integer(2)], [.float(), .integer(0), .integer(1), .integer(3)],
        [.float(3), .integer(0), .integer(0), .integer(1)],
      ],
      rejects: [
        [.float(3), .integer(0), .integer(4), .integer(1)], [.float(3), .integer(0), .integer(2), .integer(0)],
        [.float(3), .integer(0), .integer(-1), .integer(1)],
      ], batching: .ofOne
    ) { x, dim, size, step in try .tensor(x.unfold(dim, size, step)) },
    // Of memory, so that it cannot hold of it what holds of functions of elements.
    TensorOperation(
      "as_strided", "A view of the storage by sizes, strides and an offset, that of the tensor if none is given.", Take.input,
      Take.shape("size"), Take.shape("stride"), Take.optionalInteger("storage_offset"), forms: [.both, .inPlaceView],
      rejects: [
        [.float(6), .list([7]), .list([1])], [.float(6), .list([2]), .list([-1])], [.float(6), .list([2]), .list([1, 1])],
        [.float(6), .list([2]), .list([1]), .integer(5)], [.float(6), .list([2, 2]), .list([1, .max])],
      ]
    ) { x, size, stride, offset in try .tensor(x.asStrided(size, stride, offset)) },
    TensorOperation(
      "unbind", "The list of positions along a dimension.", Take.input, Take.dimension("dim", default: 0),
      samples: [[.float(2, 3)], [.float(2, 3), .integer(1)]]
    ) { x, dim in try .list(x.unbind(dim)) },
    TensorOperation(
      "split", "The list of consecutive parts along a dimension, of one size or of a list of sizes.", Take.input,
      Take.sizeOrSizes("split_size"), Take.dimension("dim", default: 0), aliases: ["split_with_sizes"],
      samples: [[.float(5, 2), .integer(2)], [.float(5, 2), .list([1, 4])], [.float(2, 4), .integer(2), .integer(1)]],
      rejects: [[.float(5, 2), .list([1, 3])], [.float(5, 2), .integer(0)]]
    ) { x, parts, dim in
      switch parts {
      case .sizes(let sizes): .list(try x.split(sizes, dim))
      case .size(let size): .list(try x.split(size: size, dim))
      }
    },
    TensorOperation(
      "chunk", "The list of at most so many parts of equal size along a dimension.", Take.input, Take.integer("chunks"),
      Take.dimension("dim", default: 0),
      samples: [[.float(5, 2), .integer(2)], [.float(5, 2), .integer(7)]], rejects: [[.float(5, 2), .integer(0)]]
    ) { x, chunks, dim in try .list(x.chunk(chunks, dim)) },
  ]
}

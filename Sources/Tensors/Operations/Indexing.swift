// Reading and writing by position: index tensors, masks, and the mixed form x[{i, {a, b}, t}].

import CKernels

/// One place of an index expression. Everything counts from 0; ends are exclusive.
public enum IndexItem {
  /// One position, whose dimension goes away; negative ones count from the end.
  case position(Int)
  /// start, end and step; nil where open.
  case range(Int?, Int?, Int)
  /// A new dimension of size 1.
  case newAxis
  /// As many whole dimensions as the other items leave.
  case ellipsis
  /// int64 positions, or a bool mask that covers as many dimensions as it has.
  case tensor(Tensor)

  /// The whole dimension.
  public static var all: IndexItem { .range(nil, nil, 1) }
}

extension Shape {
  /// The dimensions `axis`..<`axis` + `span` as one, between those before and after.
  fileprivate func around(_ axis: Int, _ span: Int) -> Extent {
    // Without checks: beside a size of 0 others may be anything.
    func product(_ axes: Range<Int>) -> Int { axes.reduce(1) { $0 &* self[$1] } }
    return Extent(product(0..<axis), product(axis..<axis + span), product(axis + span..<rank))
  }
}

extension Tensor {
  /// Positions `index` (a vector) along a dimension.
  public func indexSelect(_ dimension: Int, _ index: Tensor) throws -> Tensor { try indexSelect(dimension, Positions(index)) }

  func indexSelect(_ dimension: Int, _ index: Positions) throws -> Tensor {
    let axis = try shape.axis(dimension, "index_select")
    guard index.rank <= 1 else {
      throw TensorError(.shape, "index_select", "the index must be a vector, got shape \(index.shape)")
    }
    guard rank > 0 else {
      guard index.count == 1 else {
        throw TensorError(
          .shape, "index_select", "a tensor of rank 0 has one element to select, but the index has shape \(index.shape)")
      }
      return try reshape([1] as Shape).indexSelect(0, index.mapped { try $0.reshape([1] as Shape) }).reshape([] as Shape)
    }
    let index = try index.readable("index_select")
    let extent = shape.around(axis, 1)
    let source = try packed()
    let y = try Tensor(uninitialized: shape.replacing(axis, with: index.count), dtype)
    let at = try index.checked(extent.length, axis, "index_select", keeps: keepsPositions()) { places in
      try Kernels.indexSelect(dtype, extent, index.asPlaces, source.data, into: y.data, places: places?.asPlaces)
    }
    return try y.recorded(IndexSelect(dim: axis, from: shape), self, other: at)
  }

  /// A copy with `source` added at positions `index` (a vector) along a dimension.
  public func indexAdd(_ dimension: Int, _ index: Tensor, _ source: Tensor, alpha: Scalar = .integer(1)) throws -> Tensor {
    try indexAdd(dimension, Positions(index), source, alpha: alpha)
  }

  func indexAdd(_ dimension: Int, _ index: Positions, _ source: Tensor, alpha: Scalar) throws -> Tensor {
    let axis = try shape.axis(dimension, "index_add")
    let index = try index.readable("index_add")
    let extent = shape.around(axis, Swift.min(rank, 1))
    guard index.rank <= 1, source.rank == rank, rank == 0 ? index.count == 1 : source.shape == shape.replacing(axis, with: index.count)
    else {
      throw TensorError(
        .shape, "index_add",
        "a source of shape \(source.shape) with an index of shape \(index.shape) does not fit dimension \(index: axis) of \(shape)")
    }
    guard dtype == source.dtype, dtype != .bool else {
      throw TensorError(.dtype, "index_add", "the dtypes \(dtype) and \(source.dtype) must be equal and not bool")
    }
    let y = try copied()
    guard alpha.category <= dtype.category else {
      throw TensorError(.dtype, "index_add", "the factor alpha = \(alpha) does not fit tensors of \(dtype)")
    }
    let scaled = try alpha == .integer(1) ? source : withNoGrad { try Binary.mul(source, alpha) }
    let packed = try scaled.packed()
    let at = try index.checked(extent.length, axis, "index_add", keeps: keepsPositions(source)) { places in
      try Kernels.indexAdd(dtype, extent, index.asPlaces, packed.data, into: y.data, places: places?.asPlaces)
    }
    return try y.recorded(IndexAdd(dim: axis, alpha: alpha), [self, source], [at])
  }

  /// Flat positions in a row-major tensor of `whole` for index values `at`, which replace coordinate `axis` of their own.
  static func flat(_ at: Tensor, _ axis: Int, in whole: Shape) throws -> Tensor {
    let result = try Tensor(uninitialized: at.shape, .int64)
    let out = result.data.assumingMemoryBound(to: Int64.self)
    let source = Positions(at).pointer
    let strides = Layout(whole).strides
    let shape = at.shape
    var coordinates = InlineArray<8, Int>(repeating: 0)
    for position in 0..<at.count {
      var offset = Int(source[position]) * strides[axis]
      for dimension in 0..<shape.rank where dimension != axis { offset += coordinates[dimension] * strides[dimension] }
      out[position] = Int64(offset)
      var dimension = shape.rank - 1
      while dimension >= 0 {
        coordinates[dimension] += 1
        if coordinates[dimension] < shape[dimension] { break }
        coordinates[dimension] = 0
        dimension -= 1
      }
    }
    return result
  }

  /// How an index tensor points into this tensor, all of whose elements lie one after another, along `axis`. Elements that
  /// are written there lie as `source` says.
  private func pointing(_ index: Positions, _ axis: Int, _ source: Layout? = nil) -> Kernels.Pointing {
    var strides = Layout(shape).strides
    let step = rank == 0 ? 1 : strides[axis]
    strides[axis] = 0
    let table = Layout(index.shape, strides: strides, offset: 0)
    return Kernels.Pointing(
      nest: mg_loop(index.shape, index.layout, table, source ?? index.layout), length: rank == 0 ? 1 : shape[axis], step: step, total: count
    )
  }

  func checkGather(_ index: Shape, _ axis: Int, _ operation: String, limit: Shape) throws {
    guard index.count == 0 || index.rank == rank || (rank <= 1 && index.rank <= 1) else {
      throw TensorError(.shape, operation, "the index of shape \(index) must have as many dimensions as \(shape)")
    }
    guard index.count > 0 else { return }
    for dimension in 0..<Swift.min(index.rank, limit.rank) where dimension != axis && index[dimension] > limit[dimension] {
      throw TensorError(
        .shape, operation, "the index of shape \(index) exceeds \(limit) in dimension \(index: dimension)")
    }
  }

  /// y[i][j] = x[index[i][j]][j] for dimension 0, and so on.
  public func gather(_ dimension: Int, _ index: Tensor) throws -> Tensor { try gather(dimension, Positions(index)) }

  func gather(_ dimension: Int, _ index: Positions) throws -> Tensor {
    let axis = try shape.axis(dimension, "gather")
    try checkGather(index.shape, axis, "gather", limit: shape)
    let index = try index.readable("gather")
    let y = try Tensor(uninitialized: index.shape, dtype)
    let source = try packed()
    let pointing = pointing(index, axis)
    let at = try index.checked(pointing.length, axis, "gather", keeps: keepsPositions()) { places in
      try Kernels.gather(dtype, pointing, index.asPlaces, source.data, into: y.data, places: places?.asPlaces)
    }
    return try y.recorded(Gather(dim: axis, from: shape), self, other: at)
  }

  /// A copy with y[index[i][j]][j] = source[i][j] for dimension 0, and so on.
  public func scatter(_ dimension: Int, _ index: Tensor, _ source: Tensor) throws -> Tensor {
    try scatter(dimension, Positions(index), source)
  }

  func scatter(_ dimension: Int, _ index: Positions, _ source: Tensor) throws -> Tensor {
    // A single number goes to every place.
    if source.rank == 0, index.rank > 0 { return try scatter(dimension, index, source.expand(index.shape)) }
    let axis = try shape.axis(dimension, "scatter")
    let (y, at) = try scattered(axis, index, source, "scatter")
    return try y.recorded(Scatter(dim: axis, source: source.shape), [self, source], [at])
  }

  /// The same with a number.
  public func scatter(_ dimension: Int, _ index: Tensor, _ value: Scalar) throws -> Tensor {
    try scatter(dimension, Positions(index), value)
  }

  func scatter(_ dimension: Int, _ index: Positions, _ value: Scalar) throws -> Tensor {
    let axis = try shape.axis(dimension, "scatter")
    let number = try Tensor.filled([], value.fitting(dtype, "scatter"), dtype: dtype).expand(index.shape)
    let (y, at) = try scattered(axis, index, number, "scatter")
    return try y.recorded(ScatterNumber(dim: axis, value: value), self, other: at)
  }

  /// A copy with source[i][j] added to y[index[i][j]][j] for dimension 0, and so on.
  public func scatterAdd(_ dimension: Int, _ index: Tensor, _ source: Tensor) throws -> Tensor {
    try scatterAdd(dimension, Positions(index), source)
  }

  func scatterAdd(_ dimension: Int, _ index: Positions, _ source: Tensor) throws -> Tensor {
    let axis = try shape.axis(dimension, "scatter_add")
    let (y, at) = try scattered(axis, index, source, "scatter_add", adding: true)
    return try y.recorded(ScatterAdd(dim: axis, source: source.shape), [self, source], [at])
  }

  private func scattered(
    _ axis: Int, _ index: Positions, _ source: Tensor, _ operation: String, adding: Bool = false
  ) throws -> (Tensor, at: Tensor) {
    try checkGather(index.shape, axis, operation, limit: shape)
    try source.checkGather(index.shape, -1, operation, limit: source.shape)
    guard source.dtype == dtype, !adding || dtype != .bool else {
      throw TensorError(
        .dtype, operation,
        adding
          ? "the dtypes \(dtype) and \(source.dtype) must be equal and not bool" : "the dtypes \(dtype) and \(source.dtype) differ")
    }
    let index = try index.readable(operation)
    let y = try copied()
    let part = Layout(index.shape, strides: source.layout.strides, offset: source.layout.offset)
    let pointing = pointing(index, axis, part)
    let at = try index.checked(pointing.length, axis, operation, keeps: keepsPositions(source)) { places in
      try Kernels.scatter(adding: adding, dtype, pointing, index.asPlaces, source.data, into: y.data, places: places?.asPlaces)
    }
    return (y, at)
  }

  /// The leading corner of that shape.
  func corner(_ part: Shape) throws -> Tensor {
    if part == shape { return self }
    return Tensor(storage: storage, layout: Layout(part, strides: layout.strides, offset: layout.offset), dtype: dtype)
  }

  /// Zeros of that shape with this tensor in the leading corner.
  func cornerPadded(_ whole: Shape) throws -> Tensor {
    var result = self
    for axis in 0..<whole.rank where shape[axis] != whole[axis] { result = try result.padded(axis, 0, 1, whole[axis]) }
    return result
  }

  /// The elements where the mask holds, as a vector.
  public func maskedSelect(_ mask: Tensor) throws -> Tensor {
    guard mask.dtype == .bool else { throw TensorError(.dtype, "masked_select", "the mask must be bool, got \(mask.dtype)") }
    let target = try Shape.broadcast(shape, mask.shape, "masked_select")
    return try maskedSelect(mask.expand(target).flatNonzero(), in: target)
  }

  /// The elements at row-major places of this tensor stretched to `target`.
  fileprivate func maskedSelect(_ places: Tensor, in target: Shape) throws -> Tensor {
    let y = try withNoGrad { try expand(target).reshape([target.count]).indexSelect(0, places) }
    return try y.recorded(MaskedSelect(target: target), self, other: places)
  }

  /// Row-major positions of nonzero elements.
  func flatNonzero() throws -> Tensor { try coordinates(of: [count]).reshape([-1]) }

  /// Coordinates of nonzero elements, `(n, rank)`.
  public func nonzero() throws -> Tensor {
    rank == 0 ? try Tensor(uninitialized: [flatNonzero().count, 0], .int64) : try coordinates(of: shape.array)
  }

  private static let (countKernel, fillKernel) = (NamedKernel("nonzero_count"), NamedKernel("nonzero_fill"))

  /// Coordinates of nonzero elements where the dimensions have those sizes.
  private func coordinates(of sizes: [Int]) throws -> Tensor {
    let truth = try converted(to: .bool).packed()
    let flags = Launch.Operand.read(truth.data, .bool, count)
    let ends = try Tensor(uninitialized: [(count + 16_383) / 16_384], .int64)
    let (found, _) = try Tensor.countKernel(.bool, flags, .write(ends.data, .int64, ends.count))
    let result = try Tensor(uninitialized: [Int(found), sizes.count], .int64)
    let size = try Tensor(sizes)
    try Tensor.fillKernel(
      .bool, flags, .read(ends.data, .int64, ends.count), .read(size.data, .int64, size.count), .write(result.data, .int64, result.count))
    return result
  }

  // MARK: Index expressions

  /// What an index expression comes to: a view, and index tensors along some of its dimensions.
  private struct Resolved {
    var view: Tensor
    /// By dimension of `view`.
    var tensors: [Int: Tensor] = [:]
    /// The only index tensor, where it is asked for apart: positions that are not checked yet, along `span` dimensions from
    /// `axis` on that count as one.
    var sole: (axis: Int, span: Int, index: Positions)?
  }

  /// `first` is what the positions in index tensors count from.
  private func resolve(_ items: [IndexItem], soleApart: Bool, from first: Int) throws -> Resolved {
    var (consumed, tensors, ellipses) = (0, 0, 0)
    for item in items {
      switch item {
      case .position, .range: consumed += 1
      case .tensor(let tensor):
        consumed += tensor.dtype == .bool ? tensor.rank : 1
        tensors += 1
      case .ellipsis: ellipses += 1
      case .newAxis: break
      }
    }
    guard ellipses <= 1 else { throw TensorError(.index, "index", "an index can only have a single ellipsis, \"...\"") }
    guard consumed <= rank else {
      throw TensorError(.index, "index", "\(consumed) indices are too many for a tensor of shape \(shape)")
    }
    var resolved = Resolved(view: self)
    var axis = 0
    for item in items {
      switch item {
      case .position(let index): resolved.view = try resolved.view.select(axis, try resolved.view.position(index, axis, "index"))
      case .range(let start, let end, let step):
        if start != nil || end != nil || step != 1 {
          resolved.view = try resolved.view.slice(axis, start ?? 0, end ?? resolved.view.shape[axis], step)
        }
        axis += 1
      case .newAxis:
        resolved.view = try resolved.view.unsqueeze(axis)
        axis += 1
      case .ellipsis: axis += rank - consumed
      case .tensor(let tensor) where tensor.dtype == .bool:
        for dimension in 0..<tensor.rank where tensor.shape[dimension] != resolved.view.shape[axis + dimension] {
          throw TensorError(
            .shape, "index", "a mask of shape \(tensor.shape) does not fit dimension \(index: axis + dimension) of \(resolved.view.shape)")
        }
        if tensor.rank == 0 { throw TensorError(.shape, "index", "a mask of rank 0 covers no dimension") }
        if soleApart, tensors == 1 {
          resolved.sole = (axis, tensor.rank, Positions(try tensor.flatNonzero()))
        } else {
          let coordinates = try tensor.nonzero()
          for dimension in 0..<tensor.rank { resolved.tensors[axis + dimension] = try coordinates.select(1, dimension).copied() }
        }
        axis += tensor.rank
      case .tensor(let tensor):
        if soleApart, tensors == 1 {
          resolved.sole = (axis, 1, try Positions(tensor, from: first).readable("index"))
        } else {
          resolved.tensors[axis] = try Positions(tensor, from: first).checked(resolved.view.shape[axis], axis, "index")
        }
        axis += 1
      }
    }
    return resolved
  }

  /// The elements an index expression names: a view where only positions and ranges take part, else a copy.
  public func index(_ items: [IndexItem]) throws -> Tensor { try index(items, from: 0) }

  /// The same, where the positions in index tensors count from `first`, 0 or 1.
  package func index(_ items: [IndexItem], from first: Int) throws -> Tensor {
    let resolved = try resolve(items, soleApart: true, from: first)
    if let (axis, span, index) = resolved.sole { return try resolved.view.selected(axis, span, index) }
    if resolved.tensors.isEmpty { return resolved.view === self ? try alias(of: self) : resolved.view }
    return try resolved.view.taken(Gathering(resolved.view, resolved.tensors).places, from: resolved.view.shape)
  }

  /// Elements at positions along `span` dimensions from `axis` on, which count as one.
  fileprivate func selected(_ axis: Int, _ span: Int, _ index: Positions) throws -> Tensor {
    let extent = shape.around(axis, span)
    let sizes = shape.array
    let y = try Tensor(
      uninitialized: Shape(sizes[..<axis] + index.shape.array + sizes[(axis + span)...], operation: "index"), dtype)
    let source = try packed()
    let at = try index.checked(extent.length, axis, "index", keeps: keepsPositions()) { places in
      try Kernels.indexSelect(dtype, extent, index.asPlaces, source.data, into: y.data, places: places?.asPlaces)
    }
    return try y.recorded(IndexAlong(dim: axis, span: span, from: shape), self, other: at)
  }

  /// Elements by their row-major places.
  fileprivate func taken(_ places: Tensor, from: Shape) throws -> Tensor {
    let y = try Tensor(uninitialized: places.shape, dtype)
    let source = try packed()
    try Kernels.take(dtype, places.asPlaces, source.data, of: source.count, into: y.data)
    return try y.recorded(IndexRead(from: from), self, other: places)
  }

  private func alias(of tensor: Tensor) throws -> Tensor { try tensor.reshape(tensor.shape) }

  /// Writes `source`, broadcast, where an index expression points.
  public func setIndex(_ items: [IndexItem], _ source: Tensor) throws { try setIndex(items, source, from: 0) }

  /// The same, where the positions in index tensors count from `first`, 0 or 1.
  package func setIndex(_ items: [IndexItem], _ source: Tensor, from first: Int) throws {
    try setIndex(items, source, isNumber: false, from: first)
  }

  /// Writes a number where an index expression points.
  public func setIndex(_ items: [IndexItem], _ value: Scalar) throws { try setIndex(items, value, from: 0) }

  package func setIndex(_ items: [IndexItem], _ value: Scalar, from first: Int) throws {
    try setIndex(items, Tensor.filled([], value.fitting(dtype, "index assignment"), dtype: dtype), isNumber: true, from: first)
  }

  private func setIndex(_ items: [IndexItem], _ source: Tensor, isNumber: Bool, from first: Int) throws {
    let resolved = try resolve(items, soleApart: false, from: first)
    if resolved.tensors.isEmpty {
      if resolved.view === self { try copy(from: source) } else { try resolved.view.copy(from: source) }
      return
    }
    let gathering = try Gathering(resolved.view, resolved.tensors)
    guard try Shape.broadcast(gathering.shape, source.shape, "index assignment") == gathering.shape else {
      throw TensorError(
        .shape, "index assignment", "a value of shape \(source.shape) does not fit the indexed part of shape \(gathering.shape)")
    }
    // PyTorch's names, by what is written where.
    let isMask = items.contains { if case .tensor(let tensor) = $0 { tensor.dtype == .bool } else { false } }
    let name =
      !isNumber
      ? "IndexPutBackward0" : isMask ? "MaskedFillBackward0" : resolved.tensors.count == 1 ? "IndexFillBackward0" : "IndexPutBackward0"
    try resolved.view.writing("index_put", uses: .nothing) { view in
      try view.put(gathering.places, source, name, isNumber: isNumber)
    }
  }

  /// A copy with `values`, broadcast, where index tensors for the first dimensions point, or added there. A mask stands for as
  /// many dimensions as it has.
  public func indexPut(_ indices: [Tensor], _ values: Tensor, accumulate: Bool = false) throws -> Tensor {
    guard !indices.isEmpty else { throw TensorError(.argument, "index_put", "the list of indices is empty") }
    guard values.dtype == dtype else {
      throw TensorError(.dtype, "index_put", "the dtypes \(dtype) and \(values.dtype) differ")
    }
    let resolved = try resolve(indices.map { .tensor($0) }, soleApart: false, from: 0)
    let gathering = try Gathering(resolved.view, resolved.tensors)
    guard try Shape.broadcast(gathering.shape, values.shape, "index_put") == gathering.shape else {
      throw TensorError(
        .shape, "index_put", "values of shape \(values.shape) do not fit the indexed part of shape \(gathering.shape)")
    }
    return try put(gathering.places, values, "IndexPutBackward0", isNumber: false, accumulate: accumulate)
  }

  /// A copy with `source`, broadcast, at row-major places, or added there.
  fileprivate func put(_ places: Tensor, _ source: Tensor, _ name: String, isNumber: Bool, accumulate: Bool = false) throws -> Tensor {
    var y = try copied()
    var value = try withNoGrad { try source.converted(to: dtype).expand(places.shape).packed() }
    if accumulate {
      // Of truth values, whether any is true.
      if dtype == .bool { (y, value) = (try y.convertedCopy(to: .int32), try value.convertedCopy(to: .int32)) }
      try Kernels.putAdd(y.dtype, places.asPlaces, value.data, into: y.data, of: y.count)
      y = try y.converted(to: dtype)
    } else {
      try Kernels.put(dtype, places.asPlaces, value.data, into: y.data, of: y.count)
    }
    let write = IndexWrite(
      nodeName: name, from: shape, value: source.shape, dtype: source.dtype, isNumber: isNumber, accumulate: accumulate)
    return try isNumber ? y.recorded(write, [self], [places, source]) : y.recorded(write, [self, source], [places])
  }

  /// Flat positions in a view for index tensors along some dimensions, which broadcast together and stand where the
  /// first of them stood (at the front when others lie between), as in NumPy.
  private struct Gathering {
    let shape: Shape
    let places: Tensor

    init(_ view: Tensor, _ tensors: [Int: Tensor]) throws {
      let axes = tensors.keys.sorted()
      var common = Shape()
      for axis in axes { common = try Shape.broadcast(common, tensors[axis]!.shape, "index") }
      let adjacent = axes.last! - axes.first! == axes.count - 1
      let before = adjacent ? axes.first! : 0
      let rest = (0..<view.rank).filter { tensors[$0] == nil }
      let sizes = rest.prefix(before).map { view.shape[$0] } + common.array + rest.dropFirst(before).map { view.shape[$0] }
      shape = try Shape(sizes, operation: "index")
      let strides = Layout(view.shape).strides
      places = try Tensor.zeros(shape, dtype: .int64)
      // Each dimension adds its coordinate times its stride, broadcast to its place.
      for axis in 0..<(places.count == 0 ? 0 : view.rank) {
        let offsets: Tensor
        let position: Int
        if let tensor = tensors[axis] {
          offsets = try tensor.expand(common)
          position = before
        } else {
          offsets = try Tensor(Array(0..<view.shape[axis]))
          let order = rest.firstIndex(of: axis)!
          position = order < before ? order : order + common.rank
        }
        var place = Shape()
        for dimension in 0..<shape.rank {
          let inside = dimension >= position && dimension < position + offsets.rank
          place.append(inside ? offsets.shape[dimension - position] : 1)
        }
        let shaped = try offsets.reshape(place)
        try Binary.add.inPlace(places, Binary.mul(shaped, .integer(Int64(strides[axis]))))
      }
    }
  }
}

// MARK: On the tape
//
// Positions are checked copies of the user's, so that a later change of the index tensor is no change of what was done.

private struct IndexSelect: Operation {
  let dim: Int
  let from: Shape

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "IndexSelectBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["index": .input(1)] }
  func uses(_ number: Int) -> Uses { .b }
  func gradient(_ c: inout Backward) throws { c[0] = try Tensor.zeros(from, dtype: c.g.dtype).indexAdd(dim, c.b, c.g) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].indexSelect(dim, inputs[1])] }
}

private struct IndexAdd: Operation {
  let dim: Int
  let alpha: Scalar

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "IndexAddBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["index": .input(2)] }
  func uses(_ number: Int) -> Uses { number == 1 ? .c : .nothing }

  func gradient(_ c: inout Backward) throws {
    if c.needs(0) { c[0] = c.g }
    if c.needs(1) { c[1] = try c.g.indexSelect(dim, c.c).scaled(alpha.real) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].indexAdd(dim, inputs[2], inputs[1], alpha: alpha)] }
}

private struct Gather: Operation {
  let dim: Int
  let from: Shape

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "GatherBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["index": .input(1)] }
  func uses(_ number: Int) -> Uses { .b }
  func gradient(_ c: inout Backward) throws { c[0] = try Tensor.zeros(from, dtype: c.g.dtype).scatterAdd(dim, c.b, c.g) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].gather(dim, inputs[1])] }
}

/// x[t] = v with index tensors; the positions are flat ones in x.
private struct IndexWrite: Operation {
  let nodeName: String
  let from: Shape
  let value: Shape
  let dtype: DType
  let isNumber: Bool
  var accumulate = false

  var tangentRule: TangentRule { .linear }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["indices": .input(isNumber ? 1 : 2)] }
  func uses(_ number: Int) -> Uses { isNumber ? .b : .c }

  func gradient(_ c: inout Backward) throws {
    let places = try isNumber ? c.b : c.c
    if accumulate {
      if c.needs(0) { c[0] = c.g }
    } else if c.needs(0) {
      c[0] = try c.g.reshape([-1]).scatter(0, places.reshape([-1]), Scalar.integer(0)).reshape(from)
    }
    if !isNumber, c.needs(1) { c[1] = try c.g.taken(places, from: from).summed(to: value).to(dtype) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try inputs[0].put(inputs[isNumber ? 1 : 2], inputs[isNumber ? 2 : 1], nodeName, isNumber: isNumber, accumulate: accumulate)]
  }
}

private struct Scatter: Operation {
  let dim: Int
  let source: Shape

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "ScatterBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["index": .input(2)] }
  func uses(_ number: Int) -> Uses { .c }

  func gradient(_ c: inout Backward) throws {
    let at = try c.c
    if c.needs(0) { c[0] = try c.g.scatter(dim, at, Scalar.integer(0)) }
    if c.needs(1) { c[1] = try c.g.gather(dim, at).cornerPadded(source) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].scatter(dim, inputs[2], inputs[1])] }
}

private struct ScatterNumber: Operation {
  let dim: Int
  let value: Scalar

  var nodeName: String { "ScatterBackward1" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["index": .input(1)] }
  func uses(_ number: Int) -> Uses { .b }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.scatter(dim, c.b, Scalar.integer(0)) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].scatter(dim, inputs[1], value)] }
}

private struct ScatterAdd: Operation {
  let dim: Int
  let source: Shape

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "ScatterAddBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["index": .input(2)] }
  func uses(_ number: Int) -> Uses { number == 1 ? .c : .nothing }

  func gradient(_ c: inout Backward) throws {
    if c.needs(0) { c[0] = c.g }
    if c.needs(1) { c[1] = try c.g.gather(dim, c.c).cornerPadded(source) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].scatterAdd(dim, inputs[2], inputs[1])] }
}

private struct MaskedSelect: Operation {
  let target: Shape

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "MaskedSelectBackward0" }
  static var broadcasts: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { [:] }
  func uses(_ number: Int) -> Uses { .b }

  func gradient(_ c: inout Backward) throws {
    c[0] = try Tensor.zeros([target.count], dtype: c.g.dtype).indexAdd(0, c.b, c.g).reshape(target)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].maskedSelect(inputs[1], in: target)] }
}

/// x[t] with one index tensor or mask, along dimensions that count as one.
private struct IndexAlong: Operation {
  let dim, span: Int
  let from: Shape

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "IndexBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["indices": .input(1)] }
  func uses(_ number: Int) -> Uses { .b }

  func gradient(_ c: inout Backward) throws {
    let extent = from.around(dim, span)
    let at = try c.b.reshape([-1])
    let g = try c.g.reshape([extent.outer, at.count, extent.inner])
    let zeros = try Tensor.zeros([extent.outer, extent.length, extent.inner], dtype: c.g.dtype)
    c[0] = try zeros.indexAdd(1, at, g).reshape(from)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].selected(dim, span, Positions(inputs[1]))] }
}

/// x[t] with index tensors; the positions are flat ones in x.
private struct IndexRead: Operation {
  let from: Shape

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "IndexBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["indices": .input(1)] }
  func uses(_ number: Int) -> Uses { .b }

  func gradient(_ c: inout Backward) throws {
    let flat = try Tensor.zeros([from.count], dtype: c.g.dtype).scatterAdd(0, c.b.reshape([-1]), c.g.reshape([-1]))
    c[0] = try flat.reshape(from)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].taken(inputs[1], from: from)] }
}

enum Indexing {
  private static let index = Take.positions("index")

  static let list: [TensorOperation] = [
    TensorOperation(
      "index_select", "Positions along a dimension, by a vector of them.", Take.input, Take.dim, index,
      samples: [[.float(4, 3), .integer(0), .positions([5], 0...3)], [.float(2, 3), .integer(1), .positions([2], 0...2)]],
      rejects: [[.float(4, 3), .integer(0), .positions([1], 4...4)], [.float(4, 3), .integer(0), .float(1)]], batching: .selection
    ) { x, dim, index in try .tensor(x.indexSelect(dim, index)) },
    TensorOperation(
      "index_add", "A copy with alpha · source added at positions along a dimension.", Take.input, Take.dim, index, Take.tensor("source"),
      Take.scalar("alpha", default: 1),
      forms: .all,
      samples: [
        [.float(4, 3), .integer(0), .positions([5], 0...3), .float(5, 3)],
        [.float(4, 3), .integer(0), .positions([2], 0...3), .float(2, 3), .integer(-2)],
        [.float(), .integer(0), .positions([1], 0...0), .float()],
      ], rejects: [[.float(4, 3), .integer(0), .positions([5], 0...3), .float(4, 3)]], batching: .atSharedPositions
    ) { x, dim, index, source, alpha in try .tensor(x.indexAdd(dim, index, source, alpha: alpha)) },
    TensorOperation(
      "gather", "Elements by an index tensor along a dimension: y[i][j] = x[index[i][j]][j] for the first.", Take.input, Take.dim, index,
      samples: [[.float(3, 4), .integer(0), .positions([2, 4], 0...2)], [.float(3, 4), .integer(1), .positions([3, 2], 0...3)]],
      rejects: [[.float(3, 4), .integer(0), .positions([2, 5], 0...2)], [.float(3, 4), .integer(0), .positions([2], 0...2)]]
    ) { x, dim, index in try .tensor(x.gather(dim, index)) },
    TensorOperation(
      "scatter",
      "A copy with elements of src (or a number) written by an index tensor along a dimension, or with reduce added or multiplied.",
      Take.input, Take.dim, index,
      Take.operand("src"), Take.optionalText("reduce", namedOnly: true).oneOf("add", "multiply"),
      forms: .all,
      samples: [
        [.float(4), .integer(0), .positions([3], 0...3), .float(3)], [.float(2, 3), .integer(0), .positions([1, 3], 0...1), .number(1.5)],
      ], rejects: [[.float(3, 4), .integer(0), .positions([4, 4], 0...2), .float(2, 4)]]
    ) { x, dim, index, source, reduce in
      if let reduce {
        guard reduce == "add" || reduce == "multiply" else {
          throw TensorError(.argument, "scatter", "reduce must be \"add\" or \"multiply\", got \"\(reduce)\"")
        }
        let values =
          switch source {
          case .tensor(let tensor): tensor
          case .number(let number): try Tensor.filled(index.shape, number.fitting(x.dtype, "scatter"), dtype: x.dtype)
          }
        return .tensor(try x.scatterReduce(dim, index.fromZero("scatter"), values, reduce == "add" ? .sum : .prod))
      }
      return switch source {
      case .number(let value): .tensor(try x.scatter(dim, index, value))
      case .tensor(let source): .tensor(try x.scatter(dim, index, source))
      }
    },
    TensorOperation(
      "scatter_add", "A copy with elements of src added by an index tensor along a dimension.", Take.input, Take.dim, index,
      Take.tensor("src"),
      forms: .all,
      samples: [
        [.float(3, 4), .integer(0), .positions([2, 4], 0...2), .float(2, 4)],
        [.float(3, 4), .integer(1), .positions([3, 2], 0...3), .float(3, 4)],
      ], rejects: [[.float(3, 4), .integer(0), .positions([2, 4], 0...2), .float(1, 4)]]
    ) { x, dim, index, src in try .tensor(x.scatterAdd(dim, index, src)) },
    TensorOperation(
      "index_put", "A copy with values where index tensors for the first dimensions point, or with accumulate added there.", Take.input,
      Take.indexTensors("indices"), Take.tensor("values"), Take.flag("accumulate", default: false), forms: .all,
      samples: [
        [.float(4), .tensors([.positions([2], 0...3)]), .float(2)],
        [.float(3, 4), .tensors([.positions([3], 0...2), .positions([3], 0...3)]), .float(3), .flag(true)],
        [.float(3, 2), .tensors([.positions([4], 0...2)]), .float(2), .flag(true)],
        [.float(2, 3), .tensors([.booleans([2, 3])]), .float(1)],
      ],
      rejects: [
        [.float(4), .tensors([.positions([2], 4...4)]), .float(2)], [.float(4), .tensors([.positions([2], 0...3)]), .float(3)],
        [.float(4), .tensors([]), .float(2)], [.float(4), .tensors([.positions([2], 0...3)]), .integers([2], 0...1)],
      ], composed: true
    ) { x, indices, values, accumulate in .tensor(try x.indexPut(indices, values, accumulate: accumulate)) },
    TensorOperation(
      "masked_select", "The elements where the mask holds, as a vector.", Take.input, Take.tensor("mask"),
      samples: [[.float(2, 3), .booleans([2, 3])], [.float(2, 3), .booleans([3])]],
      rejects: [[.float(2, 3), .float(2, 3)], [.float(2, 3), .booleans([2])]]
    ) { x, mask in try .tensor(x.maskedSelect(mask)) },
    TensorOperation(
      "nonzero", "The positions of nonzero elements, a row each.", Take.input,
      aliases: ["argwhere"], samples: [[.integers([2, 3], -1...1)], [.booleans([4])]], differentiable: false
    ) { x in try .indices(x.nonzero()) },
  ]
}

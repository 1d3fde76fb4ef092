// Elements put elsewhere: taken, written along dimensions, turned, split and joined, by what views, gathers and joins there are.

extension Tensor {
  /// Elements by their places in row-major order.
  func take(_ index: Tensor) throws -> Tensor {
    try reshape([-1]).indexSelect(0, index.reshape([-1])).reshape(index.shape)
  }

  /// Elements by an index tensor along a dimension, where the other dimensions broadcast; without one of the flattened tensor.
  func takeAlong(_ index: Tensor, _ dimension: Int?) throws -> Tensor {
    guard let dimension else { return try reshape([-1]).gather(0, index.reshape([-1])) }
    let axis = try shape.axis(dimension, "take_along_dim")
    guard index.rank == rank, rank > 0 else {
      throw TensorError(.shape, "take_along_dim", "the index of shape \(index.shape) must have as many dimensions as \(shape)")
    }
    let common = try Shape.broadcast(shape.replacing(axis, with: 1), index.shape.replacing(axis, with: 1), "take_along_dim")
    return try expand(common.replacing(axis, with: shape[axis])).gather(axis, index.expand(common.replacing(axis, with: index.shape[axis])))
  }

  /// A copy with `value` at positions along a dimension.
  func indexFill(_ dimension: Int, _ index: Tensor, _ value: Operand) throws -> Tensor {
    let axis = try shape.axis(dimension, "index_fill")
    guard index.rank <= 1 else {
      throw TensorError(.shape, "index_fill", "the index must be a vector, got shape \(index.shape)")
    }
    let size = rank == 0 ? 1 : shape[axis]
    let hits = try Tensor.zeros([size], dtype: .int64)
      .scatter(0, index.reshape([-1]), Tensor.filled([index.count], .integer(1), dtype: .int64)).to(.bool)
    var sizes = [Int](repeating: 1, count: rank)
    if rank > 0 { sizes[axis] = size }
    let mask = try hits.reshape(sizes)
    return switch value {
    case .number(let number): try maskedFill(mask, number)
    case .tensor(let tensor): try maskedFill(mask, tensor)
    }
  }

  /// A copy with the slices of `source` at positions along a dimension.
  func indexCopy(_ dimension: Int, _ index: Tensor, _ source: Tensor, _ name: String = "index_copy") throws -> Tensor {
    let axis = try shape.axis(dimension, name)
    guard rank > 0, index.rank <= 1, source.shape == shape.replacing(axis, with: index.count) else {
      throw TensorError(
        .shape, name,
        "a source of shape \(source.shape) with an index of shape \(index.shape) does not fit dimension \(index: axis) of \(shape)")
    }
    var sizes = [Int](repeating: 1, count: rank)
    sizes[axis] = index.count
    return try scatter(axis, index.reshape(sizes).expand(source.shape), source)
  }

  /// A copy with the elements of `source` in turn where the mask holds.
  func maskedScatter(_ mask: Tensor, _ source: Tensor) throws -> Tensor {
    guard mask.dtype == .bool else { throw TensorError(.dtype, "masked_scatter", "the mask must be bool, got a tensor of \(mask.dtype)") }
    guard source.dtype == dtype else {
      throw TensorError(.dtype, "masked_scatter", "the dtypes \(dtype) and \(source.dtype) differ")
    }
    let common = try Shape.broadcast(shape, mask.shape, "masked_scatter")
    let wide = try mask.expand(common)
    let place = try Binary.sub(wide.reshape([-1]).to(.int64).cumsum(0), .integer(1)).clamp(.integer(0), nil)
    let wanted = try Int(wide.sum().item().integer)
    guard wanted <= source.count else {
      throw TensorError(.shape, "masked_scatter", "\(wanted) places are to be filled, but the source has \(source.count) elements")
    }
    guard wanted > 0 else { return try expand(common).clone() }
    let picked = try source.reshape([-1]).indexSelect(0, place).reshape(common)
    return try wide.choosing(picked, else: expand(common))
  }

  /// A copy with one position along a dimension replaced.
  func selectScatter(_ source: Tensor, _ dimension: Int, _ index: Int) throws -> Tensor {
    let axis = try shape.axis(dimension, "select_scatter")
    let place = try position(index, axis, "select_scatter")
    return try indexCopy(axis, Tensor([place]), source.unsqueeze(axis), "select_scatter")
  }

  /// A copy with a slice along a dimension replaced.
  func sliceScatter(_ source: Tensor, _ dimension: Int, _ start: Int?, _ end: Int?, _ step: Int) throws -> Tensor {
    let axis = try shape.axis(dimension, "slice_scatter")
    guard rank > 0, step > 0 else { throw TensorError(.argument, "slice_scatter", "the step must be positive, got \(step)") }
    let size = shape[axis]
    func bound(_ place: Int) -> Int { Swift.min(Swift.max(place < 0 ? place + size : place, 0), size) }
    let (first, last) = (bound(start ?? 0), bound(end ?? size))
    // Before there is a list of the positions: of nothing there may be any number.
    let length = first < last ? (last - first - 1) / step + 1 : 0
    guard source.shape == shape.replacing(axis, with: length) else {
      throw TensorError(
        .shape, "slice_scatter", "a source of shape \(source.shape) does not fit a slice of \(length) positions of shape \(shape)")
    }
    if source.count == 0 { return try clone() }
    let places = try Tensor.arange(.integer(Int64(first)), .integer(Int64(last)), .integer(Int64(step)))
    return try indexCopy(axis, places, source, "slice_scatter")
  }

  /// A copy with a diagonal replaced.
  func diagonalScatter(_ source: Tensor, _ offset: Int, _ a: Int, _ b: Int) throws -> Tensor {
    let wanted = try detach().diagonal(offset, a, b).shape
    guard source.shape == wanted else {
      throw TensorError(.shape, "diagonal_scatter", "a source of shape \(source.shape) does not fit a diagonal of shape \(wanted)")
    }
    guard source.dtype == dtype else {
      throw TensorError(.dtype, "diagonal_scatter", "the dtypes \(dtype) and \(source.dtype) differ")
    }
    let mask = try Tensor.filled(wanted, .boolean(true), dtype: .bool).diagonalScattered(shape, offset, a, b)
    return try mask.choosing(source.diagonalScattered(shape, offset, a, b), else: self)
  }

  /// The last dimension as diagonals of matrices, whose dimensions stand at `a` and `b` of the result.
  func diagEmbed(_ offset: Int, _ a: Int, _ b: Int) throws -> Tensor {
    guard rank > 0, rank < Shape.maximumRank else {
      throw TensorError(.shape, "diag_embed", "shape \(shape) has no last dimension to embed")
    }
    let result = rank + 1
    func axis(_ dimension: Int) throws -> Int {
      guard dimension >= -result, dimension < result else {
        throw TensorError(.index, "diag_embed", "dimension \(index: dimension) is out of range for a result of \(result) dimensions")
      }
      return dimension < 0 ? dimension + result : dimension
    }
    let (a, b) = (try axis(a), try axis(b))
    guard a != b else { throw TensorError(.argument, "diag_embed", "the two dimensions are one") }
    guard offset.magnitude < 1 << 40 else { throw TensorError(.argument, "diag_embed", "the offset \(offset) is too large") }
    let size = shape[rank - 1] + Int(offset.magnitude)
    var sizes = Array(shape.array.dropLast())
    for place in [a, b].sorted() { sizes.insert(size, at: place) }
    return try diagonalScattered(Shape(sizes, operation: "diag_embed"), offset, a, b)
  }

  /// Turned by k quarters from the first dimension towards the second.
  func rot90(_ k: Int, _ dimensions: [Int]) throws -> Tensor {
    guard dimensions.count == 2 else { throw TensorError(.argument, "rot90", "two dimensions are needed, got \(dimensions.count)") }
    let (a, b) = (try shape.axis(dimensions[0], "rot90"), try shape.axis(dimensions[1], "rot90"))
    guard a != b, rank >= 2 else { throw TensorError(.argument, "rot90", "two different dimensions are needed") }
    return switch ((k % 4) + 4) % 4 {
    case 1: try flip([b]).transpose(a, b)
    case 2: try flip([a, b])
    case 3: try flip([a]).transpose(a, b)
    default: try clone()
    }
  }

  /// Views of parts: as many as are asked for, as equal as can be; or cut before given places.
  func tensorSplit(_ parts: SizeOrSizes, _ dimension: Int) throws -> [Tensor] {
    guard rank > 0 else { throw TensorError(.shape, "tensor_split", "a tensor of rank 0 has no dimension to split") }
    let axis = try shape.axis(dimension, "tensor_split")
    let size = shape[axis]
    var cuts: [Int]
    switch parts {
    case .size(let count):
      guard count > 0 else { throw TensorError(.argument, "tensor_split", "the number of parts must be positive, got \(count)") }
      try checkParts(count, "tensor_split")
      cuts = (1..<count).map { $0 * (size / count) + Swift.min($0, size % count) }
    case .sizes(let places): cuts = places.map { Swift.min(Swift.max($0 < 0 ? $0 + size : $0, 0), size) }
    }
    cuts = [0] + cuts + [size]
    return try zip(cuts, cuts.dropFirst()).map { try narrow(axis, Swift.min($0, size), Swift.max($1 - $0, 0)) }
  }

  /// Views of parts along a dimension, which must be there: so many equal ones, or cut before given places.
  fileprivate func parts(_ name: String, _ parts: SizeOrSizes, _ dimension: Int, atLeast least: Int) throws -> [Tensor] {
    guard rank >= least else {
      throw TensorError(.shape, name, "at least \(least) dimension\(least == 1 ? " is" : "s are") needed, the shape is \(shape)")
    }
    if case .size(let count) = parts {
      guard count > 0, shape[dimension] % count == 0 else {
        throw TensorError(
          .argument, name, "dimension \(index: dimension) of size \(shape[dimension]) cannot be cut into \(count) equal parts")
      }
    }
    return try tensorSplit(parts, dimension)
  }

  /// The rows and columns of the triangle of a matrix.
  fileprivate static func triangleIndices(_ name: String, _ rows: Int, _ columns: Int, _ offset: Int, lower: Bool) throws -> Tensor {
    _ = try Shape([rows, columns], operation: name)
    // Where row 0 is cut, row 1 one column further on, and so forth: before 0 and beyond the last column there is nothing to cut.
    let cut = Swift.min(Swift.max(offset, -rows), columns) + (lower ? 1 : 0)
    func span(_ row: Int) -> Range<Int> {
      let place = Swift.min(Swift.max(cut + row, 0), columns)
      return lower ? 0..<place : place..<columns
    }
    // They are counted before they are looked for, since there may be more rows than anybody has time for.
    let first = Swift.min(Swift.max(1 - cut, 0), rows)
    let full = Swift.max(Swift.min(Swift.max(columns - cut, 0), rows), first)
    let below = (full - first) * cut + (full - first) * (first + full - 1) / 2 + (rows - full) * columns
    let count = lower ? below : rows * columns - below
    let some = columns == 0 ? 0..<0 : lower ? first..<rows : 0..<full
    let result = try Tensor(uninitialized: [2, count], .int64)
    let places = result.data.assumingMemoryBound(to: Int64.self)
    var place = 0
    for row in some {
      for column in span(row) {
        (places[place], places[count + place]) = (Int64(row), Int64(column))
        place += 1
      }
    }
    return result
  }

  /// Row-major places in a shape as coordinates, a tensor for each dimension.
  fileprivate func unraveled(_ sizes: [Int]) throws -> [Tensor] {
    let whole = try Shape(sizes, operation: "unravel_index")
    let at = try checkedPositions(whole.count, 0, "unravel_index")
    let coordinates = try whole.array.map { _ in try Tensor(uninitialized: shape, .int64) }
    let places = at.data.assumingMemoryBound(to: Int64.self)
    for position in 0..<at.count {
      var rest = places[position]
      for dimension in (0..<whole.rank).reversed() {
        coordinates[dimension].data.assumingMemoryBound(to: Int64.self)[position] = rest % Int64(whole[dimension])
        rest /= Int64(whole[dimension])
      }
    }
    return coordinates
  }

  /// At least that many dimensions.
  func atLeast(_ dimensions: Int) throws -> Tensor {
    switch (rank, dimensions) {
    case (0, 1): try reshape([1])
    case (0, 2): try reshape([1, 1])
    case (1, 2): try unsqueeze(0)
    case (0, 3): try reshape([1, 1, 1])
    case (1, 3): try unsqueeze(0).unsqueeze(-1)
    case (2, 3): try unsqueeze(-1)
    default: self
    }
  }

  /// Matrices along the diagonal of one.
  static func blockDiag(_ tensors: [Tensor]) throws -> Tensor {
    let blocks = try tensors.map { block in
      guard block.rank <= 2 else {
        throw TensorError(.shape, "block_diag", "at most 2 dimensions are possible, got shape \(block.shape)")
      }
      return try block.atLeast(2)
    }
    let dtype = blocks.reduce(blocks[0].dtype) { DType.promoted($0, $1.dtype) }
    let width = blocks.reduce(0) { $0 + $1.shape[1] }
    var start = 0
    let rows = try blocks.map { block in
      defer { start += block.shape[1] }
      func zeros(_ columns: Int) throws -> Tensor { try Tensor.zeros([block.shape[0], columns], dtype: dtype) }
      return try Joining.cat([zeros(start), block.to(dtype), zeros(width - start - block.shape[1])], 1)
    }
    return try Joining.cat(rows, 0)
  }

  /// Vectors as the coordinates of a grid.
  static func meshgrid(_ tensors: [Tensor], _ indexing: String) throws -> [Tensor] {
    guard indexing == "ij" || indexing == "xy" else {
      throw TensorError(.argument, "meshgrid", "indexing must be \"ij\" or \"xy\", got \"\(indexing)\"")
    }
    guard let first = tensors.first else { throw TensorError(.argument, "meshgrid", "the list of tensors is empty") }
    let vectors = try tensors.map { vector in
      guard vector.dtype == first.dtype else {
        throw TensorError(.dtype, "meshgrid", "the dtypes \(first.dtype) and \(vector.dtype) differ")
      }
      guard vector.rank <= 1 else { throw TensorError(.shape, "meshgrid", "vectors are needed, got shape \(vector.shape)") }
      return try vector.reshape([-1])
    }
    let swaps = indexing == "xy" && vectors.count > 1
    let ordered = swaps ? [vectors[1], vectors[0]] + vectors.dropFirst(2) : vectors
    let sizes = ordered.map(\.count)
    var grids = try ordered.enumerated().map { position, vector in
      var kept = [Int](repeating: 1, count: sizes.count)
      kept[position] = vector.count
      return try vector.reshape(kept).expand(sizes)
    }
    if swaps { grids.swapAt(0, 1) }
    return grids
  }

  /// Each choice of `r` elements of a vector as a row, in order.
  func combinations(_ r: Int, withReplacement: Bool) throws -> Tensor {
    guard rank == 1 else { throw TensorError(.shape, "combinations", "a vector is needed, got shape \(shape)") }
    guard r >= 0 else { throw TensorError(.argument, "combinations", "r must not be negative, got \(r)") }
    guard r > 0 else { return try Tensor.zeros([0], dtype: dtype) }
    guard r <= 64 else { throw TensorError(.memory, "combinations", "rows of \(r) elements are more than there can be") }
    var places: [Int] = []
    var row = withReplacement ? [Int](repeating: 0, count: r) : Array(0..<r)
    if withReplacement ? count > 0 : count >= r {
      search: while true {
        places += row
        guard places.count <= 1 << 28 else {
          throw TensorError(.memory, "combinations", "there are too many choices of \(r) from \(count)")
        }
        if places.count & 0xffff < r {
          try Context.checkStop()
          // Twice: the list, which grows by doubling, and the tensor of it.
          try Context.checkRoom(
            for: "the choices of \(r) from \(count) need", "combinations", count: places.count, bytesOfEach: 3 * MemoryLayout<Int>.stride)
        }
        var position = r - 1
        while row[position] == (withReplacement ? count - 1 : count - r + position) {
          if position == 0 { break search }
          position -= 1
        }
        row[position] += 1
        for later in (position + 1)..<Swift.max(r, position + 1) { row[later] = withReplacement ? row[position] : row[later - 1] + 1 }
      }
    }
    return try indexSelect(0, Tensor(places)).reshape([places.count / r, r])
  }
}

enum Rearranging {
  private static let index = Take.indices("index")
  private static func plain(
    _ name: String, _ summary: String, aliases: [String] = [], _ samples: [Sample], rejects: [Sample] = [],
    batching: BatchingRule = .loop, _ body: @escaping @Sendable (Tensor) throws -> Tensor
  ) -> TensorOperation {
    TensorOperation(
      name, summary, Take.input, aliases: aliases, samples: samples, rejects: rejects, composed: true, batching: batching
    ) { x in
      .tensor(try body(x))
    }
  }

  private static func split(
    _ name: String, _ place: String, atLeast least: Int, _ samples: [Sample], _ dimension: @escaping @Sendable (Tensor) -> Int
  ) -> TensorOperation {
    TensorOperation(
      name, "Views of parts along \(place): so many equal ones, or cut after as many positions as a list says.", Take.input,
      Take.sizeOrSizes("indices_or_sections"), samples: samples,
      rejects: [[samples[0].values[0], .integer(3)], [least == 3 ? .float(2, 2) : least == 2 ? .float(2) : .float(), .integer(1)]],
      composed: true
    ) { x, parts in .list(try x.parts(name, parts, x.rank < least ? 0 : dimension(x), atLeast: least)) }
  }

  private static func triangle(_ name: String, _ where: String, lower: Bool) -> TensorOperation {
    TensorOperation(
      name, "The rows and the columns of what lies \(`where`) a diagonal of a matrix.", Take.integer("row"), Take.integer("col"),
      Take.integer("offset", default: 0), forms: .function,
      samples: [
        [.integer(3), .integer(3)], [.integer(3), .integer(4), .integer(-1)], [.integer(2), .integer(3), .integer(2)],
        [.integer(0), .integer(3)],
      ],
      rejects: [[.integer(-1), .integer(2)]], differentiable: false
    ) { rows, columns, offset in .indices(try Tensor.triangleIndices(name, rows, columns, offset, lower: lower)) }
  }

  static let list: [TensorOperation] = [
    TensorOperation(
      "take", "Elements by their places in row-major order.", Take.input, index,
      samples: [[.float(2, 3), .positions([2, 2], 0...5)]], rejects: [[.float(2), .positions([1], 2...2)]], composed: true,
      batching: .takenPlaces
    ) { x, index in .tensor(try x.take(index)) },
    TensorOperation(
      "take_along_dim", "Elements by an index tensor along a dimension, where the others broadcast.", Take.input, Take.indices("indices"),
      Take.optionalDimension("dim"),
      samples: [[.float(2, 3), .positions([2, 1], 0...2), .integer(1)], [.float(2, 3), .positions([4], 0...5)]],
      rejects: [[.float(2, 3), .positions([2], 0...1), .integer(1)]], composed: true
    ) { x, indices, dim in .tensor(try x.takeAlong(indices, dim)) },
    TensorOperation(
      "index_fill", "A copy with a value at positions along a dimension.", Take.input, Take.dim, index, Take.operand("value"), forms: .all,
      samples: [
        [.float(2, 4), .integer(1), .positions([2], 0...3), .number(0.5)], [.float(3), .integer(0), .positions([1], 0...2), .float()],
      ],
      rejects: [[.float(2, 3), .integer(2), .positions([1], 0...1), .number(0)]], composed: true, batching: .atSharedPositions
    ) { x, dim, index, value in .tensor(try x.indexFill(dim, index, value)) },
    TensorOperation(
      "index_copy", "A copy with slices of source at positions along a dimension.", Take.input, Take.dim, index, Take.tensor("source"),
      forms: .all, samples: [[.float(4, 3), .integer(0), .positions([2], 0...3), .float(2, 3)]],
      rejects: [[.float(4, 3), .integer(0), .positions([2], 0...3), .float(3, 3)]], composed: true, batching: .atSharedPositions
    ) { x, dim, index, source in .tensor(try x.indexCopy(dim, index, source)) },
    TensorOperation(
      "masked_scatter", "A copy with the elements of source in turn where the mask holds.", Take.input, Take.tensor("mask"),
      Take.tensor("source"), forms: .all, samples: [[.float(2, 3), .booleans([2, 3]), .float(6)]],
      rejects: [[.float(2, 3), .booleans([2, 3]), .float(0)], [.float(2), .float(2), .float(2)]], composed: true
    ) { x, mask, source in .tensor(try x.maskedScatter(mask, source)) },
    TensorOperation(
      "select_scatter", "A copy with one position along a dimension replaced.", Take.input, Take.tensor("src"), Take.dim,
      Take.index("index"), samples: [[.float(2, 3), .float(2), .integer(1), .integer(2)]],
      rejects: [[.float(2, 3), .float(3), .integer(1), .integer(2)]], composed: true
    ) { x, source, dim, index in .tensor(try x.selectScatter(source, dim, index)) },
    TensorOperation(
      "slice_scatter", "A copy with a slice along a dimension replaced, from `start` up to before `end`.", Take.input, Take.tensor("src"),
      Take.dimension("dim", default: 0), Take.optionalInteger("start"), Take.optionalInteger("end"), Take.integer("step", default: 1),
      samples: [
        [.float(4, 3), .float(2, 3), .integer(0), .integer(1), .integer(3)],
        [.float(2, 5), .float(2, 2), .integer(1), .integer(0), .integer(4), .integer(2)],
      ], rejects: [[.float(4, 3), .float(1, 3), .integer(0), .integer(1), .integer(3)]], composed: true
    ) { x, source, dim, start, end, step in .tensor(try x.sliceScatter(source, dim, start, end, step)) },
    TensorOperation(
      "diagonal_scatter", "A copy with a diagonal replaced.", Take.input, Take.tensor("src"), Take.integer("offset", default: 0),
      Take.dimension("dim1", default: 0), Take.dimension("dim2", default: 1),
      samples: [[.float(3, 3), .float(3)], [.float(2, 3), .float(2), .integer(1)]], rejects: [[.float(3, 3), .float(2)]], composed: true
    ) { x, source, offset, a, b in .tensor(try x.diagonalScatter(source, offset, a, b)) },
    TensorOperation(
      "diag_embed", "The last dimension as diagonals of matrices.", Take.input, Take.integer("offset", default: 0),
      Take.dimension("dim1", default: -2), Take.dimension("dim2", default: -1),
      samples: [[.float(3)], [.float(2, 3), .integer(1)], [.float(2, 3), .integer(0), .integer(0), .integer(2)]],
      rejects: [[.float(2), .integer(0), .integer(1), .integer(1)]], composed: true, batching: .loop
    ) { x, offset, a, b in .tensor(try x.diagEmbed(offset, a, b)) },
    TensorOperation(
      "diagflat", "The flattened elements on the diagonal of a matrix.", Take.input, Take.integer("offset", default: 0),
      samples: [[.float(2, 2)], [.float(3), .integer(-1)]], composed: true
    ) { x, offset in .tensor(try x.reshape([-1]).diag(offset)) },
    TensorOperation(
      "rot90", "Turned by k quarters from the first dimension towards the second.", Take.input, Take.integer("k", default: 1),
      Take.optionalDimensions("dims"),
      samples: [[.float(2, 3)], [.float(2, 3), .integer(2)], [.float(2, 3, 2), .integer(-1), .list([1, 2])]],
      rejects: [[.float(2, 3), .integer(1), .list([0, 0])]], composed: true
    ) { x, k, dims in .tensor(try x.rot90(k, dims ?? [0, 1])) },
    plain("fliplr", "The order along the second dimension reversed.", [[.float(2, 3)]], rejects: [[.float(3)]]) { try $0.flip([1]) },
    plain("flipud", "The order along the first dimension reversed.", [[.float(2, 3)]], rejects: [[.float()]]) { x in
      guard x.rank > 0 else { throw TensorError(.shape, "flipud", "at least 1 dimension is needed") }
      return try x.flip([0])
    },
    plain("ravel", "All elements as a vector.", [[.float(2, 3)], [.float()]], batching: .flattening) { try $0.reshape([-1]) },
    plain("adjoint", "The last two dimensions exchanged.", [[.float(2, 3)]], rejects: [[.float(3)]], batching: .trailing) { x in
      guard x.rank >= 2 else { throw TensorError(.shape, "adjoint", "at least 2 dimensions are needed, the shape is \(x.shape)") }
      return try x.transpose(-2, -1)
    },
    TensorOperation(
      "tensor_split", "Views of parts: as many as are asked for, as equal as can be; or cut after as many positions as a list says.",
      Take.input, Take.sizeOrSizes("indices_or_sections"), Take.dimension("dim", default: 0),
      samples: [[.float(7), .integer(3)], [.float(2, 5), .list([1, 3]), .integer(1)]], rejects: [[.float(3), .integer(0)]], composed: true
    ) { x, parts, dim in .list(try x.tensorSplit(parts, dim)) },
    split("hsplit", "the second dimension, or the only one", atLeast: 1, [[.float(2, 4), .integer(2)], [.float(5), .list([1, 3])]]) {
      $0.rank == 1 ? 0 : 1
    },
    split("vsplit", "the first dimension", atLeast: 2, [[.float(4, 2), .integer(2)], [.float(4, 2), .list([1])]]) { _ in 0 },
    split("dsplit", "the third dimension", atLeast: 3, [[.float(2, 1, 4), .integer(2)], [.float(2, 1, 4), .list([1])]]) { _ in 2 },
    triangle("tril_indices", "on and below", lower: true),
    triangle("triu_indices", "on and above", lower: false),
    TensorOperation(
      "unravel_index", "Row-major places in a shape as coordinates, a tensor for each dimension.", Take.indices("indices"),
      Take.shape("shape"), forms: .function,
      samples: [
        [.positions([3], 0...5), .list([2, 3])], [.positions([2, 2], -4 ... -1), .list([4])], [.positions([0], 0...1), .list([2, 0])],
      ],
      rejects: [[.positions([2], 6...6), .list([2, 3])], [.float(2), .list([2])]], differentiable: false
    ) { indices, shape in .several(try indices.unraveled(shape).map { .indices($0) }) },
    TensorOperation(
      "dstack", "Tensors behind each other, along the third dimension.", Take.tensors("tensors"), forms: .function,
      samples: [[.tensors([.float(2, 3), .float(2, 3)])], [.tensors([.float(2), .float(2)])]], rejects: [[.tensors([])]], composed: true
    ) { tensors in
      guard !tensors.isEmpty else { throw TensorError(.argument, "dstack", "the list of tensors is empty") }
      return .tensor(try Joining.cat(tensors.map { try $0.atLeast(3) }, 2))
    },
    plain("atleast_1d", "At least 1 dimension.", [[.float()], [.float(2)]]) { try $0.atLeast(1) },
    plain("atleast_2d", "At least 2 dimensions.", [[.float()], [.float(2)], [.float(2, 2)]]) { try $0.atLeast(2) },
    plain("atleast_3d", "At least 3 dimensions.", [[.float()], [.float(2)], [.float(2, 3)]]) { try $0.atLeast(3) },
    TensorOperation(
      "column_stack", "Vectors as the columns of a matrix, and matrices beside them.", Take.tensors("tensors"), forms: .function,
      samples: [[.tensors([.float(3), .float(3)])], [.tensors([.float(3), .float(3, 2)])]], composed: true
    ) { tensors in .tensor(try Joining.cat(tensors.map { try $0.rank <= 1 ? $0.reshape([$0.count, 1]) : $0 }, 1)) },
    TensorOperation(
      "block_diag", "Matrices along the diagonal of one.", Take.tensors("tensors"), forms: .function,
      samples: [[.tensors([.float(2, 2), .float(1, 3), .float(2)])]], composed: true
    ) { tensors in
      guard !tensors.isEmpty else { throw TensorError(.argument, "block_diag", "the list of tensors is empty") }
      return .tensor(try Tensor.blockDiag(tensors))
    },
    TensorOperation(
      "broadcast_tensors", "Views that have one shape.", Take.tensors("tensors"), forms: .function,
      samples: [[.tensors([.float(2, 1), .float(3)])]], composed: true
    ) { tensors in
      let shape = try tensors.reduce(Shape()) { try Shape.broadcast($0, $1.shape, "broadcast_tensors") }
      return .list(try tensors.map { try $0.expand(shape) })
    },
    TensorOperation(
      "meshgrid", "Vectors as the coordinates of a grid; with indexing = \"xy\" the first two dimensions are exchanged.",
      Take.tensors("tensors"), Take.text("indexing", default: "ij", namedOnly: true).oneOf("ij", "xy"), forms: .function,
      samples: [[.tensors([.float(2), .float(3)])], [.tensors([.float(2), .float(3)]), .text("xy")]], composed: true
    ) { tensors, indexing in .list(try Tensor.meshgrid(tensors, indexing)) },
    TensorOperation(
      "cartesian_prod", "Each choice of one element of each vector, as a row.", Take.tensors("tensors"), forms: .function,
      samples: [[.tensors([.float(2), .float(3)])]], composed: true
    ) { tensors in
      if tensors.count == 1 { return .tensor(tensors[0]) }
      return .tensor(try Joining.stack(Tensor.meshgrid(tensors, "ij").map { try $0.reshape([-1]) }, 1))
    },
    TensorOperation(
      "combinations", "Each choice of r elements of a vector, as a row.", Take.input, Take.integer("r", default: 2),
      Take.flag("with_replacement", default: false), forms: .function,
      samples: [[.float(4)], [.float(3), .integer(2), .flag(true)], [.float(4), .integer(3)]], rejects: [[.float(2, 2)]], composed: true
    ) { x, r, replacement in .tensor(try x.combinations(r, withReplacement: replacement)) },
  ]
}

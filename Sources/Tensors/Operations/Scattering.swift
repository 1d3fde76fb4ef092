// What is written by position and meets what others wrote there: sums, products, means and extremes.

import CKernels

/// How elements that are written to one place become one.
enum Meeting: String, Sendable {
  case sum, prod, mean, amax, amin

  init(named name: String, _ operation: String, except unwanted: Meeting? = nil) throws {
    let all: [Meeting] = [.sum, .prod, .mean, .amax, .amin].filter { $0 != unwanted }
    guard let found = all.first(where: { $0.rawValue == name }) else {
      throw TensorError(
        .argument, operation, "reduce must be one of \(all.map(\.rawValue).joined(separator: ", ")), got \"\(name)\"")
    }
    self = found
  }
}

extension Tensor {
  /// A copy in which elements of `source` meet those at y[index[i][j]][j] for dimension 0, and so on; or, without the own ones,
  /// each other.
  func scatterReduce(_ dimension: Int, _ index: Tensor, _ source: Tensor, _ meeting: Meeting, includeSelf: Bool = true) throws -> Tensor {
    let axis = try shape.axis(dimension, "scatter_reduce")
    try checkGather(index.shape, axis, "scatter_reduce", limit: shape)
    try source.checkGather(index.shape, -1, "scatter_reduce", limit: source.shape)
    guard source.dtype == dtype, dtype != .bool || meeting != .mean else {
      throw TensorError(.dtype, "scatter_reduce", "the dtypes \(dtype) and \(source.dtype) must be equal, and numbers for a mean")
    }
    let at = try index.checkedPositions(rank == 0 ? 1 : shape[axis], axis, "scatter_reduce")
    let y = try withNoGrad {
      // Of truth values the sum is whether any is true.
      let kind = dtype == .bool ? (meeting == .sum ? DType.int32 : .uint8) : dtype.computing
      return try converted(to: kind).met(axis, at, source.corner(at.shape).converted(to: kind), meeting, includeSelf).converted(to: dtype)
    }
    return try y.recorded(
      ScatterReduce(dim: axis, reduce: meeting, includeSelf: includeSelf, source: source.shape), [self, source], [at])
  }

  private func met(_ axis: Int, _ at: Tensor, _ source: Tensor, _ meeting: Meeting, _ includeSelf: Bool) throws -> Tensor {
    let places = rank == 0 ? at : try Tensor.flat(at, axis, in: shape)
    let part = try source.packed()
    var y = try copied()
    if !includeSelf {
      // What does not count: for extremes one of those that do.
      let start =
        meeting == .amax || meeting == .amin ? part : try Tensor.filled(part.shape, .integer(meeting == .prod ? 1 : 0), dtype: dtype)
      try Kernels.put(dtype, places.asPlaces, start.data, into: y.data, of: y.count)
    }
    if meeting == .sum || meeting == .mean {
      try Kernels.putAdd(dtype, places.asPlaces, part.data, into: y.data, of: y.count)
    } else {
      try ScatterReduce.kernel(
        dtype, .read(places.data, .int64, at.count), .read(part.data, dtype, at.count), .update(y.data, dtype, y.count),
        sizes: (meeting == .prod ? 0 : meeting == .amax ? 1 : 2, 0, 0, 0))
    }
    if meeting == .mean {
      let counts = try counted(axis, at, includeSelf, dtype)
      y = try dtype.isFloating ? y / counts : Binary.floorDivide(y, counts)
    }
    return y
  }

  /// How many meet at each place of this shape, 1 where none is written.
  fileprivate func counted(_ axis: Int, _ at: Tensor, _ includeSelf: Bool, _ dtype: DType) throws -> Tensor {
    let own = try Tensor.filled(shape, .integer(includeSelf ? 1 : 0), dtype: dtype)
    let counts = try own.scatterAdd(axis, at, Tensor.ones(at.shape, dtype: dtype))
    return try includeSelf ? counts : counts.maskedFill(counts.eq(0), .integer(1))
  }

  /// The leading corner of that shape, as a view.
  fileprivate func leading(_ part: Shape) throws -> Tensor {
    var result = self
    for axis in 0..<part.rank where part[axis] != shape[axis] { result = try result.narrow(axis, 0, part[axis]) }
    return result
  }

  /// A copy in which slices of `source` meet those at positions along a dimension.
  fileprivate func indexReduce(
    _ dimension: Int, _ index: Tensor, _ source: Tensor, _ meeting: Meeting, includeSelf: Bool
  ) throws -> Tensor {
    let axis = try shape.axis(dimension, "index_reduce")
    guard index.rank <= 1, source.rank == rank, rank == 0 ? index.count == 1 : source.shape == shape.replacing(axis, with: index.count)
    else {
      throw TensorError(
        .shape, "index_reduce",
        "a source of shape \(source.shape) with an index of shape \(index.shape) does not fit dimension \(index: axis) of \(shape)")
    }
    var sizes = [Int](repeating: 1, count: rank)
    if rank > 0 { sizes[axis] = index.count }
    return try scatterReduce(axis, index.reshape(sizes).expand(source.shape), source, meeting, includeSelf: includeSelf)
  }

  /// A copy with `source` at row-major places, or added there.
  fileprivate func put(_ index: Tensor, _ source: Tensor, accumulate: Bool) throws -> Tensor {
    guard index.count == source.count else {
      throw TensorError(.shape, "put", "an index of shape \(index.shape) and a source of shape \(source.shape) differ in their elements")
    }
    guard index.dtype.category == .integer else {
      throw TensorError(.dtype, "put", "indices must be whole numbers (int64), got a tensor of \(index.dtype)")
    }
    return try reshape([-1]).indexPut([index.reshape([-1])], source.reshape([-1]), accumulate: accumulate).reshape(shape)
  }

  /// Writes a number on the main diagonal, which goes on below in a matrix with more rows than columns if it wraps.
  @discardableResult
  func fillDiagonal(_ value: Scalar, wrap: Bool) throws -> Tensor {
    guard rank >= 2 else { throw TensorError(.shape, "fill_diagonal_", "at least 2 dimensions are needed, the shape is \(shape)") }
    guard rank == 2 || Set(shape.array).count == 1 else {
      throw TensorError(.shape, "fill_diagonal_", "of more than 2 dimensions all must be equal, the shape is \(shape)")
    }
    let layout = Layout(shape)
    let step = (0..<rank).reduce(0) { $0 + layout.strides[$1] }
    let end = wrap || rank > 2 ? count : Swift.min(shape[0], shape[1]) * shape[1]
    return try writing("fill_diagonal", uses: .nothing) { x in
      let mask = try Tensor.zeros(shape, dtype: .bool)
      for place in stride(from: 0, to: end, by: step) { mask.setElement(place, .boolean(true)) }
      return try x.maskedFill(mask, value)
    }
  }
}

private struct ScatterReduce: Operation {
  static let kernel = NamedKernel("put_reduce")

  let dim: Int
  let reduce: Meeting
  let includeSelf: Bool
  let source: Shape

  var nodeName: String { "ScatterReduceBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["self": .input(0), "src": .input(1), "index": .input(2), "result": .output] }

  func uses(_ number: Int) -> Uses {
    switch reduce {
    case .sum, .mean: .c
    case .prod: [.a, .b, .c]
    case .amax, .amin: [.a, .b, .c, .output]
    }
  }

  func gradient(_ c: inout Backward) throws {
    let (at, g, dtype) = (try c.c, c.g, c.g.dtype)
    var own: Tensor
    let part: Tensor
    switch reduce {
    case .sum: (own, part) = (g, try g.gather(dim, at))
    case .mean:
      own = try g / g.counted(dim, at, includeSelf, dtype)
      part = try own.gather(dim, at)
    case .prod:
      let (x, source) = (try c.a, try c.b.leading(at.shape))
      own = try g * Tensor.ones(x.shape, dtype: dtype).scatterReduce(dim, at, source, .prod)
      // What all others make, by dividing; where one alone is 0, by leaving it out.
      let isZero = try source.eq(0)
      let zeros = try Tensor.zeros(x.shape, dtype: dtype).scatterAdd(dim, at, isZero.to(dtype)).gather(dim, at)
      let rest = try source.maskedFill(Comparison.and(isZero, zeros.eq(1)), .integer(1))
      let product = try x.scatterReduce(dim, at, rest, .prod, includeSelf: includeSelf)
      part = try (g * product).gather(dim, at) / source.maskedFill(isZero, .integer(1))
    case .amax, .amin:
      let (x, source, y) = (try c.a.detach(), try c.b.detach().leading(at.shape), try c.y.detach())
      var ownHits = try x.eq(y).to(dtype)
      if !includeSelf { ownHits = try ownHits.scatter(dim, at, Scalar.integer(0)) }
      let hits = try source.eq(y.gather(dim, at)).to(dtype)
      let share = try g / ownHits.scatterAdd(dim, at, hits)
      own = try ownHits * share
      part = try hits * share.gather(dim, at)
    }
    if !includeSelf { own = try own.scatter(dim, at, Scalar.integer(0)) }
    if c.needs(0) { c[0] = own }
    if c.needs(1) { c[1] = try part.cornerPadded(source) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try inputs[0].scatterReduce(dim, inputs[2], inputs[1], reduce, includeSelf: includeSelf)]
  }
}

enum Scattering {
  private static let index = Take.indices("index")
  private static let includeSelf = Take.flag("include_self", default: true)

  private static let reductions: [Sample] = ["sum", "prod", "mean", "amax", "amin"].flatMap { name -> [Sample] in
    [
      [.float(3, 4), .integer(0), .positions([2, 4], 0...2), .float(2, 4), .text(name)],
      [.float(2, 3), .integer(1), .positions([2, 5], 0...2), .float(2, 5), .text(name), .flag(false)],
    ]
  }

  static let list: [TensorOperation] = [
    TensorOperation(
      "scatter_reduce",
      "A copy in which elements of src meet those an index tensor along a dimension points to: by sum, prod, mean, amax or amin.",
      Take.input, Take.dim, index, Take.tensor("src"), Take.text("reduce").oneOf("sum", "prod", "mean", "amax", "amin"), includeSelf,
      forms: .all,
      samples: reductions + [
        [.values([3], [0, 2, -1]), .integer(0), .positions([4], 0...2), .values([4], [0, 3, 0, 0.5]), .text("prod")]
      ],
      rejects: [
        [.float(3), .integer(0), .positions([2], 3...3), .float(2), .text("sum")],
        [.float(3), .integer(0), .positions([2], 0...2), .float(2), .text("max")],
        [.float(3), .integer(0), .positions([2], 0...2), .float(1), .text("sum")],
      ], composed: true
    ) { x, dim, index, source, reduce, includeSelf in
      .tensor(try x.scatterReduce(dim, index, source, Meeting(named: reduce, "scatter_reduce"), includeSelf: includeSelf))
    },
    TensorOperation(
      "index_reduce", "A copy in which slices of source meet those at positions along a dimension: by prod, mean, amax or amin.",
      Take.input, Take.dim, index, Take.tensor("source"), Take.text("reduce").oneOf("prod", "mean", "amax", "amin"), includeSelf,
      forms: .all,
      samples: ["prod", "mean", "amax", "amin"].flatMap { name -> [Sample] in
        [
          [.float(4, 3), .integer(0), .positions([5], 0...3), .float(5, 3), .text(name)],
          [.float(2, 3), .integer(1), .positions([2], 0...2), .float(2, 2), .text(name), .flag(false)],
        ]
      },
      rejects: [
        [.float(3), .integer(0), .positions([2], 0...2), .float(2), .text("sum")],
        [.float(3, 3), .integer(0), .positions([2], 0...2), .float(3, 3), .text("prod")],
      ], composed: true, batching: .atSharedPositions
    ) { x, dim, index, source, reduce, includeSelf in
      .tensor(try x.indexReduce(dim, index, source, Meeting(named: reduce, "index_reduce", except: .sum), includeSelf: includeSelf))
    },
    TensorOperation(
      "put", "A copy with source at row-major places, or with accumulate added there.", Take.input, index, Take.tensor("source"),
      Take.flag("accumulate", default: false), forms: [.method, .inPlace],
      samples: [
        [.float(2, 3), .positions([1, 2], 0...5), .float(2, 1)], [.float(2, 3), .positions([8], 0...5), .float(8), .flag(true)],
      ],
      rejects: [
        [.float(2), .positions([1], 2...2), .float(1)], [.float(2), .positions([1], 0...1), .float(2)], [.float(2), .float(1), .float(1)],
      ], composed: true
    ) { x, index, source, accumulate in .tensor(try x.put(index, source, accumulate: accumulate)) },
    TensorOperation(
      "fill_diagonal_", "Writes a number on the main diagonal, which goes on below in a tall matrix if it wraps.", Take.input,
      Take.scalar("fill_value"), Take.flag("wrap", default: false), forms: .method, rejects: [[.float(3), .number(1)]]
    ) { x, value, wrap in .tensor(try x.fillDiagonal(value, wrap: wrap)) },
  ]
}

// Windows reduced to their largest element, their mean or a norm, over one to three dimensions. Indices are places in a channel's
// elements, row by row.

import CKernels

/// What the functions are told of their windows.
struct PoolingOptions {
  var kernel: [Int]
  var stride: [Int]?
  var padding: [Int] = [0]
  var dilation: [Int] = [1]
  var ceilMode = false

  /// The windows over the last `rank` dimensions of `shape`.
  func windows(_ shape: Shape, _ rank: Int, _ operation: String) throws -> Windows {
    let kernel = try kernel.spread(rank, "kernel_size", operation, least: 1)
    let stride = try self.stride.map { try $0.isEmpty ? kernel : $0.spread(rank, "stride", operation, least: 1) } ?? kernel
    let padding = try padding.spread(rank, "padding", operation, least: 0)
    let dilation = try dilation.spread(rank, "dilation", operation, least: 1)
    var windows = Windows(
      input: Array(shape.array.suffix(rank)), kernel: kernel, output: [], stride: stride, padding: padding, dilation: dilation)
    for dimension in 0..<rank {
      let (size, reach) = (windows.input[dimension], dilation[dimension] * (kernel[dimension] - 1) + 1)
      guard padding[dimension] <= reach / 2 else {
        throw TensorError(
          .argument, operation, "padding must be at most half of the windows' size, got \(padding) for windows of \(kernel)")
      }
      let room = size + 2 * padding[dimension] - reach
      var places = room < 0 ? 0 : (room + (ceilMode ? stride[dimension] - 1 : 0)) / stride[dimension] + 1
      // Even where sizes are rounded up, a window begins within the elements or the room before them.
      if ceilMode, room < 0, room + stride[dimension] > 0 { places = 1 }
      if ceilMode, places > 0, (places - 1) * stride[dimension] >= size + padding[dimension] { places -= 1 }
      guard places > 0 else {
        throw TensorError(
          .shape, operation, "windows of \(kernel) do not fit into an input of shape \(shape) with padding \(padding)")
      }
      windows.output.append(places)
    }
    return windows
  }
}

/// Windows along one dimension: where each begins, and how many elements it has.
private struct Spans: Sendable {
  var first: [Int64] = []
  var count: [Int64] = []

  mutating func append(_ first: Int, _ count: Int) {
    self.first.append(Int64(first))
    self.count.append(Int64(count))
  }
}

/// The windows of a maximum. Where those of the last dimension lie regularly, by which stride, after how much room, and of how many
/// elements; else a stride of 0.
private struct Covering: Sendable {
  let places: [Int]
  let spans: [Spans]
  let steps: [Int]
  var regular = (stride: 0, padding: 0, taps: 0)

  var rank: Int { places.count }
}

extension Windows {
  /// Windows cut to the elements.
  fileprivate func spans(_ dimension: Int) throws -> Spans {
    var spans = Spans()
    Context.inPieces(output[dimension]) { place in
      let step = dilation[dimension]
      var start = place * stride[dimension] - padding[dimension]
      let end = Swift.min(start + step * (kernel[dimension] - 1) + 1, input[dimension])
      if start < 0 { start += (-start + step - 1) / step * step }
      spans.append(start, Swift.max((end - start + step - 1) / step, 0))
    }
    try Context.checkStop()
    return spans
  }
}

extension Tensor {
  /// Whether the shape has channels in front of `rank` dimensions, and maybe a batch.
  fileprivate func checkChannels(_ rank: Int, _ operation: String) throws {
    guard self.rank == rank + 1 || self.rank == rank + 2 else {
      throw TensorError(
        .shape, operation,
        "the input must be (channels, \(Tensor.dimensionNames(rank))) or (batch, channels, \(Tensor.dimensionNames(rank))), got shape \(shape)"
      )
    }
    for dimension in 1..<self.rank where shape[dimension] == 0 && (self.rank == rank + 1 || dimension > 0) {
      throw TensorError(.shape, operation, "only the batch may be empty, got shape \(shape)")
    }
  }

  // MARK: The largest

  /// The largest element of each window, and where it lies.
  func maxPool(_ options: PoolingOptions, rank: Int, _ operation: String) throws -> (values: Tensor, indices: Tensor) {
    try checkChannels(rank, operation)
    guard dtype != .bool else { throw TensorError(.dtype, operation, "not defined for tensors of bool") }
    let windows = try options.windows(shape, rank, operation)
    for dimension in 0..<rank { try AxisWeights.check(from: windows.input[dimension], to: windows.output[dimension], taps: 1, operation) }
    return try largest(
      Covering(
        places: windows.output, spans: (0..<rank).map { try windows.spans($0) }, steps: windows.dilation,
        regular: (windows.stride[rank - 1], windows.padding[rank - 1], windows.kernel[rank - 1])), operation)
  }

  /// The largest element of each of so many windows that cover the input.
  func adaptiveMaxPool(_ sizes: [Int], rank: Int, _ operation: String) throws -> (values: Tensor, indices: Tensor) {
    try checkChannels(rank, operation)
    try requireFloating(operation)
    let sizes = try sizes.spread(rank, "output_size", operation, least: 0)
    for dimension in 0..<rank {
      try AxisWeights.check(from: shape[self.rank - rank + dimension], to: sizes[dimension], taps: 1, operation)
    }
    let spans = try (0..<rank).map { dimension in
      let size = shape[self.rank - rank + dimension]
      var spans = Spans()
      Context.inPieces(sizes[dimension]) { place in
        let (start, end) = Tensor.adaptive(place, size, sizes[dimension])
        spans.append(start, end - start)
      }
      try Context.checkStop()
      return spans
    }
    return try largest(Covering(places: sizes, spans: spans, steps: [Int](repeating: 1, count: rank)), operation)
  }

  /// From where to where the windows go that cover `size` elements by `places`.
  fileprivate static func adaptive(_ place: Int, _ size: Int, _ places: Int) -> (start: Int, end: Int) {
    (place * size / places, ((place + 1) * size + places - 1) / places)
  }

  fileprivate func largest(_ covering: Covering, _ operation: String) throws -> (values: Tensor, indices: Tensor) {
    let (places, rank, regular) = (covering.places, covering.rank, covering.regular)
    let sizes = Array(shape.array.suffix(rank))
    let inside = sizes.reduce(1, *)
    guard inside < 1 << 31 else { throw TensorError(.memory, operation, "channels of \(inside) elements are larger than can be pooled") }
    let target = try Shape(Array(shape.array.dropLast(rank)) + places, operation: operation)
    let y = try Tensor(uninitialized: target, dtype)
    let at = try Tensor(uninitialized: target, .int64)
    let (x, planes) = (try packed(), shape.count(0..<self.rank - rank))
    func row(_ list: [Int], _ empty: Int) -> [Int64] { [Int64](repeating: Int64(empty), count: 3 - rank) + list.map(Int64.init) }
    var words = row(sizes, 1) + row(places, 1) + row(covering.steps, 1)
    words += [Int64(regular.stride), Int64(regular.padding), Int64(regular.taps)]
    for _ in rank..<3 { words += [0, 1] }
    for span in covering.spans { words += span.first + span.count }
    try words.withUnsafeBytes { words in
      _ = try MaxPooling.kernel(
        dtype, .read(x.data, dtype, x.count), .write(y.data, dtype, y.count), .write(at.data, .int64, at.count),
        .read(words.baseAddress, .int64, words.count / 8), sizes: (planes, 0, 0, 0))
    }
    let pooling = MaxPooling(covering: covering, from: shape)
    return (try y.recorded(pooling, [self], [at]), at)
  }

  /// These elements put where they came from, in channels of that shape, and added up there.
  fileprivate func unpooled(_ at: Tensor, _ rank: Int, _ target: Shape) throws -> Tensor {
    guard target.count > 0 else { return try Tensor.zeros(target, dtype: dtype) }
    let front = Array(target.array.dropLast(rank))
    let flat = try Shape(front + [target.count(target.rank - rank..<target.rank)])
    return try Tensor.zeros(flat, dtype: dtype).scatterAdd(front.count, at.reshape(front + [-1]), reshape(front + [-1])).reshape(target)
  }

  /// Elements written to the places that `maxPool` found them in; zeros elsewhere.
  func maxUnpool(_ at: Tensor, _ options: PoolingOptions, _ size: [Int]?, rank: Int, _ operation: String) throws -> Tensor {
    try checkChannels(rank, operation)
    guard at.shape == shape else {
      throw TensorError(.shape, operation, "indices of shape \(at.shape) do not fit an input of shape \(shape)")
    }
    let kernel = try options.kernel.spread(rank, "kernel_size", operation, least: 1)
    let stride = try options.stride.map { try $0.spread(rank, "stride", operation, least: 1) } ?? kernel
    let padding = try options.padding.spread(rank, "padding", operation, least: 0)
    let usual = (0..<rank).map { (shape[self.rank - rank + $0] - 1) * stride[$0] - 2 * padding[$0] + kernel[$0] }
    let sizes = size.map { Array($0.suffix(rank)) } ?? usual
    guard size == nil || size?.count == rank || size?.count == self.rank,
      zip(sizes, zip(usual, stride)).allSatisfy({ $0 > 0 && ($0 - $1.0).magnitude < $1.1 || $0 == $1.0 && $0 > 0 })
    else {
      throw TensorError(
        .argument, operation, "output_size must be about \(usual), less than a stride \(stride) away, got \(sizes)")
    }
    let front = Array(shape.array.dropLast(rank))
    let target = try Shape(front + sizes, operation: operation)
    let flat = try Tensor.zeros(Shape(front + [sizes.reduce(1, *)], operation: operation), dtype: dtype)
    let places = try at.checkedPositions(sizes.reduce(1, *), self.rank - 1, operation)
    return try flat.scatter(front.count, places.reshape(front + [-1]), reshape(front + [-1])).reshape(target)
  }

  // MARK: Means

  /// The mean of each window: of its elements, or of the room around them too, or its sum divided by a number.
  func meanPool(
    _ options: PoolingOptions, countsPadding: Bool, divisor: Int?, rank: Int, _ operation: String
  ) throws -> Tensor {
    try checkChannels(rank, operation)
    try requireFloating(operation)
    if let divisor, divisor == 0 { throw TensorError(.argument, operation, "divisor_override must not be 0") }
    let windows = try options.windows(shape, rank, operation)
    for dimension in 0..<rank {
      try AxisWeights.check(
        from: windows.input[dimension], to: windows.output[dimension],
        taps: Swift.min(windows.kernel[dimension], windows.input[dimension]), operation)
    }
    let maps = try (0..<rank).map { dimension in
      let size = windows.input[dimension]
      return try AxisWeights(self.rank - rank + dimension, from: size, to: windows.output[dimension]) { place in
        let start = place * windows.stride[dimension] - windows.padding[dimension]
        let end = Swift.min(start + windows.kernel[dimension], size + windows.padding[dimension])
        let inside = Swift.max(start, 0)..<Swift.max(Swift.min(end, size), Swift.max(start, 0))
        let weight =
          divisor.map { dimension == 0 ? 1 / Double($0) : 1 } ?? 1 / Double(countsPadding ? end - start : inside.count)
        return inside.map { ($0, weight) }
      }
    }
    // The last dimension last: by then there is less to do for what lies side by side.
    return try resampled(maps, rank == 3 ? "AvgPool3DBackward0" : "AvgPool2DBackward0")
  }

  /// The means of so many windows that cover the input.
  func adaptiveMeanPool(_ sizes: [Int], rank: Int, _ operation: String) throws -> Tensor {
    try checkChannels(rank, operation)
    try requireFloating(operation)
    let sizes = try sizes.spread(rank, "output_size", operation, least: 0)
    for dimension in 0..<rank {
      let size = shape[self.rank - rank + dimension]
      try AxisWeights.check(from: size, to: sizes[dimension], taps: size / Swift.max(sizes[dimension], 1) + 1, operation)
    }
    let maps = try (0..<rank).map { dimension in
      let axis = self.rank - rank + dimension
      return try AxisWeights(axis, from: shape[axis], to: sizes[dimension]) { [size = shape[axis]] place in
        let (start, end) = Tensor.adaptive(place, size, sizes[dimension])
        return (start..<end).map { ($0, 1 / Double(end - start)) }
      }
    }
    return try resampled(maps, rank == 3 ? "AdaptiveAvgPool3DBackward0" : "AdaptiveAvgPool2DBackward0")
  }

  /// The p-norm of each window.
  func normPool(_ p: Double, _ options: PoolingOptions, rank: Int, _ operation: String) throws -> Tensor {
    try requireFloating(operation)
    let kernel = try options.kernel.spread(rank, "kernel_size", operation, least: 1)
    let sum = try power(p).meanPool(options, countsPadding: true, divisor: 1, rank: rank, operation)
    // A window that is cut off at the end counts as a whole one.
    let cut = try Tensor.ones(Shape([1] + shape.array.suffix(rank)), dtype: dtype)
      .meanPool(options, countsPadding: true, divisor: 1, rank: rank, operation)
    let size = Double(kernel.reduce(1, *))
    let means = options.ceilMode ? try sum * (size / cut) : sum
    return try (means.sign() * means.abs().relu()).power(1 / p)
  }
}

// MARK: On the tape

private struct MaxPooling: Operation {
  static let kernel = NamedKernel("window_maxima")

  let covering: Covering
  let from: Shape

  private var name: String { covering.regular.stride == 0 ? "AdaptiveMaxPool\(covering.rank)D" : "MaxPool\(covering.rank)DWithIndices" }
  var nodeName: String { name + "Backward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["result1": .input(1)] }
  func uses(_ number: Int) -> Uses { .b }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.unpooled(c.b, covering.rank, from) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].largest(covering, name).values] }
}

// MARK: The list

enum Poolings {
  private static let stride = Take.optionalSizes("stride")
  private static let padding = Take.sizes("padding", default: 0)
  private static let ceilMode = Take.flag("ceil_mode", default: false)
  private static let returnsIndices = Take.flag("return_indices", default: false)

  private static func found(_ pair: (values: Tensor, indices: Tensor), _ returnsIndices: Bool) throws -> Output {
    // A copy: what is kept for the gradient is nobody else's.
    returnsIndices ? .several([.tensor(pair.values), .indices(try pair.indices.copied())]) : .tensor(pair.values)
  }

  private static func maximum(_ rank: Int, samples: [Sample], rejects: [Sample]) -> TensorOperation {
    let name = "max_pool\(rank)d"
    return TensorOperation(
      name,
      "The largest element of each window over (\(Tensor.dimensionNames(rank))); windows are a kernel_size apart, unless stride says otherwise. With return_indices, also where in its channel each was.",
      Take.input, Take.sizes("kernel_size"), stride, padding, Take.sizes("dilation", default: 1), ceilMode, returnsIndices,
      forms: [.function, .functional], samples: samples, rejects: rejects, composed: true, batching: .samples(rank)
    ) { x, kernel, stride, padding, dilation, ceilMode, returnsIndices in
      let options = PoolingOptions(kernel: kernel, stride: stride, padding: padding, dilation: dilation, ceilMode: ceilMode)
      return try found(x.maxPool(options, rank: rank, name), returnsIndices)
    }
  }

  private static func adaptiveMaximum(_ rank: Int, samples: [Sample], rejects: [Sample]) -> TensorOperation {
    let name = "adaptive_max_pool\(rank)d"
    return TensorOperation(
      name, "The largest elements of output_size windows that cover (\(Tensor.dimensionNames(rank))).", Take.input,
      Take.sizes("output_size"), returnsIndices, forms: .functional, samples: samples, rejects: rejects, composed: true,
      batching: .samples(rank)
    ) { x, sizes, returnsIndices in try found(x.adaptiveMaxPool(sizes, rank: rank, name), returnsIndices) }
  }

  private static func mean(_ rank: Int, samples: [Sample], rejects: [Sample]) -> TensorOperation {
    let name = "avg_pool\(rank)d"
    let summary =
      "The mean of each window over (\(Tensor.dimensionNames(rank))), with the zeros of its padding unless count_include_pad is false."
    let counts = Take.flag("count_include_pad", default: true)
    if rank == 1 {
      return TensorOperation(
        name, summary, Take.input, Take.sizes("kernel_size"), stride, padding, ceilMode, counts, forms: [.function, .functional],
        samples: samples,
        rejects: rejects, composed: true, batching: .samples(rank)
      ) { x, kernel, stride, padding, ceilMode, counts in
        let options = PoolingOptions(kernel: kernel, stride: stride, padding: padding, ceilMode: ceilMode)
        return .tensor(try x.meanPool(options, countsPadding: counts, divisor: nil, rank: 1, name))
      }
    }
    return TensorOperation(
      name, summary, Take.input, Take.sizes("kernel_size"), stride, padding, ceilMode, counts, Take.optionalInteger("divisor_override"),
      forms: .functional, samples: samples, rejects: rejects, composed: true, batching: .samples(rank)
    ) { x, kernel, stride, padding, ceilMode, counts, divisor in
      let options = PoolingOptions(kernel: kernel, stride: stride, padding: padding, ceilMode: ceilMode)
      return .tensor(try x.meanPool(options, countsPadding: counts, divisor: divisor, rank: rank, name))
    }
  }

  private static func adaptiveMean(_ rank: Int, samples: [Sample], rejects: [Sample]) -> TensorOperation {
    let name = "adaptive_avg_pool\(rank)d"
    return TensorOperation(
      name, "The means of output_size windows that cover (\(Tensor.dimensionNames(rank))).", Take.input, Take.sizes("output_size"),
      forms: .functional, samples: samples, rejects: rejects, composed: true, batching: .samples(rank)
    ) { x, sizes in .tensor(try x.adaptiveMeanPool(sizes, rank: rank, name)) }
  }

  private static func norm(_ rank: Int, samples: [Sample], rejects: [Sample]) -> TensorOperation {
    let name = "lp_pool\(rank)d"
    return TensorOperation(
      name, "The norm_type-th root of the sum of the powers of each window's elements.", Take.input, Take.number("norm_type"),
      Take.sizes("kernel_size"), stride, ceilMode, forms: .functional, samples: samples, rejects: rejects, composed: true,
      batching: .samples(rank)
    ) { x, p, kernel, stride, ceilMode in
      .tensor(try x.normPool(p, PoolingOptions(kernel: kernel, stride: stride, ceilMode: ceilMode), rank: rank, name))
    }
  }

  private static func unpooling(_ rank: Int, samples: [Sample], rejects: [Sample]) -> TensorOperation {
    let name = "max_unpool\(rank)d"
    return TensorOperation(
      name, "Elements put where max_pool\(rank)d found them, and zeros elsewhere.", Take.input, Take.indices("indices"),
      Take.sizes("kernel_size"), stride, padding, Take.optionalShape("output_size"), forms: .functional, samples: samples,
      rejects: rejects, composed: true
    ) { x, at, kernel, stride, padding, size in
      .tensor(try x.maxUnpool(at, PoolingOptions(kernel: kernel, stride: stride, padding: padding), size, rank: rank, name))
    }
  }

  static let list: [TensorOperation] = [
    maximum(
      1,
      samples: [
        [.float(2, 3, 7), .integer(3)], [.float(3, 8), .integer(2), .integer(1), .integer(1), .integer(2)],
        [.float(1, 2, 7), .list([3]), .list([2]), .list([1]), .integer(1), .flag(true), .flag(true)], [.float(0, 2, 5), .integer(2)],
      ],
      rejects: [
        [.float(2, 3, 2), .integer(3)], [.float(7), .integer(3)], [.float(2, 3, 7), .integer(2), .integer(1), .integer(2)],
        [.float(2, 3, 7), .integer(0)],
      ]),
    maximum(
      2,
      samples: [
        [.float(2, 2, 4, 5), .integer(2)], [.float(2, 5, 6), .list([3, 2]), .list([2, 1]), .list([1, 0])],
        [.float(1, 2, 5, 5), .integer(2), .integer(3), .integer(1), .integer(1), .flag(true), .flag(true)],
        [.float(1, 2, 6, 5), .integer(2), .integer(1), .integer(1), .list([2, 3])], [.float(0, 2, 4, 4), .integer(2)],
        [.values([1, 3, 3], [1, 2, 5, 4, 0, -1, 3, 3, -2]), .integer(2), .integer(1)],
      ],
      rejects: [
        [.float(2, 2, 4, 5), .integer(6)], [.float(4, 5), .integer(2)], [.float(2, 2, 4, 5), .list([1, 2, 3])],
        [.float(2, 2, 4, 5), .integer(2), .integer(0)], [.float(2, 2, 4, 5), .integer(2), .integer(2), .integer(2)],
        [.float(2, 2, 4, 5), .integer(2), .integer(2), .integer(-1)],
      ]),
    maximum(
      3,
      samples: [
        [.float(1, 2, 3, 4, 3), .integer(2)],
        [.float(2, 3, 4, 4), .list([2, 3, 2]), .list([1, 2, 2]), .list([1, 1, 0]), .integer(1), .flag(true), .flag(true)],
      ], rejects: [[.float(1, 2, 3, 4, 3), .integer(5)], [.float(3, 4, 3), .integer(2)]]),
    adaptiveMaximum(
      1, samples: [[.float(2, 2, 7), .integer(3)], [.float(3, 5), .list([2]), .flag(true)]], rejects: [[.float(5), .integer(2)]]),
    adaptiveMaximum(
      2,
      samples: [[.float(1, 2, 5, 7), .list([2, 3])], [.float(2, 4, 3), .integer(2), .flag(true)], [.float(1, 2, 3, 2), .integer(4)]],
      rejects: [[.float(2, 3), .integer(2)], [.float(1, 2, 5, 7), .integer(-2)], [.integers([1, 2, 3, 3], 0...5), .integer(2)]]),
    adaptiveMaximum(
      3, samples: [[.float(1, 2, 3, 4, 3), .list([2, 3, 1])], [.float(2, 3, 4, 3), .integer(2), .flag(true)]],
      rejects: [[.float(2, 3, 4), .integer(2)]]),
    mean(
      1,
      samples: [
        [.float(2, 3, 7), .integer(3)], [.float(3, 8), .integer(3), .integer(2), .integer(1), .flag(true), .flag(false)],
        [.float(1, 2, 6), .integer(4), .integer(3), .integer(2), .flag(true)], [.float(0, 2, 5), .integer(2)],
      ], rejects: [[.float(2, 3, 2), .integer(3)], [.float(2, 3, 7), .integer(2), .integer(1), .integer(2)]]),
    mean(
      2,
      samples: [
        [.float(2, 2, 4, 5), .integer(2)], [.float(2, 5, 6), .list([3, 2]), .list([2, 1]), .list([1, 0])],
        [.float(1, 2, 5, 5), .integer(3), .integer(2), .integer(1), .flag(true), .flag(false)],
        [.float(1, 2, 5, 6), .list([2, 3]), .integer(3), .integer(1), .flag(true), .flag(true), .integer(5)],
        [.float(0, 2, 4, 4), .integer(2)],
      ],
      rejects: [
        [.float(2, 2, 4, 5), .integer(6)], [.float(4, 5), .integer(2)],
        [.float(2, 2, 4, 5), .integer(2), .integer(2), .integer(0), .flag(false), .flag(true), .integer(0)],
        [.float(2, 2, 4, 5), .integer(2), .integer(2), .integer(2)],
      ]),
    mean(
      3,
      samples: [
        [.float(1, 2, 3, 4, 3), .integer(2)],
        [.float(2, 3, 4, 4), .list([2, 3, 2]), .list([1, 2, 2]), .list([1, 1, 0]), .flag(true), .flag(false)],
        [.float(1, 1, 4, 3, 4), .integer(2), .integer(2), .integer(1), .flag(false), .flag(true), .integer(3)],
      ], rejects: [[.float(1, 2, 3, 4, 3), .integer(5)]]),
    adaptiveMean(1, samples: [[.float(2, 2, 7), .integer(3)], [.float(3, 5), .list([2])]], rejects: [[.float(5), .integer(2)]]),
    adaptiveMean(
      2, samples: [[.float(1, 2, 5, 7), .list([2, 3])], [.float(2, 4, 3), .integer(1)], [.float(1, 2, 3, 2), .integer(4)]],
      rejects: [[.float(2, 3), .integer(2)], [.float(1, 2, 5, 7), .list([1, 2, 3])], [.integers([1, 2, 3, 3], 0...5), .integer(2)]]),
    adaptiveMean(
      3, samples: [[.float(1, 2, 3, 4, 3), .list([2, 3, 1])], [.float(2, 3, 4, 3), .integer(2)]], rejects: [[.float(2, 3, 4), .integer(2)]]),
    norm(
      1,
      samples: [
        [.positive(2, 2, 7), .integer(2), .integer(3)], [.positive(1, 3, 7), .integer(3), .integer(2), .integer(2), .flag(true)],
      ],
      rejects: [[.float(2, 2, 2), .integer(2), .integer(3)]]),
    norm(
      2,
      samples: [
        [.positive(2, 2, 4, 5), .integer(2), .integer(2)], [.positive(1, 2, 5, 5), .integer(3), .list([2, 3]), .integer(2), .flag(true)],
      ], rejects: [[.float(2, 2, 2, 3), .integer(2), .integer(3)]]),
    norm(
      3, samples: [[.positive(1, 2, 3, 4, 3), .integer(2), .integer(2)]], rejects: [[.float(1, 2, 2, 2, 3), .integer(2), .integer(3)]]),
    unpooling(
      1,
      samples: [
        [.float(1, 2, 3), .positions([1, 2, 3], 0...5), .integer(2)],
        [.float(1, 2), .positions([1, 2], 1...4), .integer(2), .integer(2), .integer(0), .list([5])],
      ],
      rejects: [
        [.float(1, 2, 3), .positions([1, 2, 2], 0...5), .integer(2)], [.float(1, 1, 3), .positions([1, 1, 3], 6...6), .integer(2)],
      ]),
    unpooling(
      2,
      samples: [
        [.float(1, 2, 2, 2), .positions([1, 2, 2, 2], 0...15), .integer(2)],
        [.float(1, 2, 2), .positions([1, 2, 2], 0...19), .integer(2), .integer(2), .integer(0), .list([4, 5])],
      ],
      rejects: [
        [.float(1, 2, 2, 2), .positions([1, 2, 2, 2], 0...15), .integer(2), .integer(2), .integer(0), .list([9, 9])],
        [.float(1, 1, 2, 2), .positions([1, 1, 2, 2], 16...16), .integer(2)],
      ]),
    unpooling(
      3, samples: [[.float(1, 1, 2, 2, 1), .positions([1, 1, 2, 2, 1], 0...31), .integer(2)]],
      rejects: [[.float(1, 2, 2, 2), .positions([1, 2, 2, 1], 0...5), .integer(2)]]),
  ]
}

// Windows of images as columns and back (F.unfold, F.fold), and channels exchanged with places.

extension Tensor {
  private func windows(_ sizes: [Int], _ options: WindowOptions, _ operation: String) throws -> Windows {
    let kernel = try options.kernel.spread(2, "kernel_size", operation, least: 1)
    var windows = Windows(
      input: sizes, kernel: kernel, output: [], stride: try options.stride.spread(2, "stride", operation, least: 1),
      padding: try options.padding.spread(2, "padding", operation, least: 0),
      dilation: try options.dilation.spread(2, "dilation", operation, least: 1))
    windows.output = try (0..<2).map { dimension in
      guard sizes[dimension] < 1 << 40,
        let places = Windows.places(
          sizes[dimension], kernel: kernel[dimension], stride: windows.stride[dimension], padding: windows.padding[dimension],
          dilation: windows.dilation[dimension])
      else { throw TensorError(.shape, operation, "windows of \(kernel) do not fit into images of \(sizes)") }
      return places
    }
    return windows
  }

  /// Each window of images `(batch, channels, height, width)`, with or without the batch, as a column: `(batch, channels · taps,
  /// places)`.
  func columns(_ options: WindowOptions, _ operation: String) throws -> Tensor {
    try batched(2, operation) { x in
      guard x.dtype != .bool else { throw TensorError(.dtype, operation, "not defined for tensors of bool") }
      return try x.columns(x.windows(Array(x.shape.array[2...]), options, operation))
    }
  }

  fileprivate func columns(_ windows: Windows) throws -> Tensor {
    let target = try Shape([shape[0], shape[1] * windows.taps, windows.places], operation: "unfold")
    let y = try Tensor(uninitialized: target, dtype)
    let source = try packed()
    try Kernels.columns(dtype, windows, channels: shape[0] * shape[1], source.data, into: y.data)
    return try y.recorded(Columns(windows: windows, adds: false), self)
  }

  /// Columns added up where they lie in images of so many places.
  func images(_ sizes: [Int], _ options: WindowOptions) throws -> Tensor {
    let sizes = try sizes.spread(2, "output_size", "fold", least: 1)
    guard rank == 2 || rank == 3 else {
      throw TensorError(.shape, "fold", "the input must be (channels · taps, places), with or without a batch, got shape \(shape)")
    }
    guard dtype != .bool else { throw TensorError(.dtype, "fold", "not defined for tensors of bool") }
    let x = rank == 2 ? try unsqueeze(0) : self
    let windows = try windows(sizes, options, "fold")
    guard x.shape[1] % windows.taps == 0, x.shape[2] == windows.places else {
      throw TensorError(
        .shape, "fold",
        "an input of shape \(shape) does not fit: windows of \(windows.kernel) in images of \(sizes) have \(windows.taps) elements and \(windows.places) places"
      )
    }
    let y = try x.images(windows)
    return try rank == 2 ? y.squeeze([0]) : y
  }

  fileprivate func images(_ windows: Windows) throws -> Tensor {
    let channels = shape[1] / windows.taps
    let y = try Tensor(uninitialized: Shape([shape[0], channels] + windows.input, operation: "fold"), dtype)
    let source = try packed()
    try Kernels.addColumns(dtype, windows, channels: shape[0] * channels, source.data, into: y.data)
    return try y.recorded(Columns(windows: windows, adds: true), self)
  }

  /// `factor`² channels as a square of places each: `(…, channels · factor², h, w)` to `(…, channels, h · factor, w · factor)`.
  fileprivate func pixelShuffle(_ factor: Int) throws -> Tensor {
    guard rank >= 3, factor > 0, factor < 1 << 20, shape[rank - 3] % (factor * factor) == 0 else {
      throw TensorError(
        .shape, "pixel_shuffle", "the input must be (…, channels, height, width) with channels a multiple of \(factor)², got shape \(shape)"
      )
    }
    let front = Array(shape.array.dropLast(3)), n = front.count
    let (c, h, w) = (shape[rank - 3] / (factor * factor), shape[rank - 2], shape[rank - 1])
    guard n + 5 <= Shape.maximumRank else { return try merged(front) { try $0.pixelShuffle(factor) } }
    let parts = try reshape(front + [c, factor, factor, h, w])
    return try parts.permute(Array(0..<n) + [n, n + 3, n + 1, n + 4, n + 2]).reshape(front + [c, h * factor, w * factor])
  }

  fileprivate func pixelUnshuffle(_ factor: Int) throws -> Tensor {
    guard rank >= 3, factor > 0, factor < 1 << 20, shape[rank - 2] % factor == 0, shape[rank - 1] % factor == 0 else {
      throw TensorError(
        .shape, "pixel_unshuffle",
        "the input must be (…, channels, height, width) with sizes that are multiples of \(factor), got shape \(shape)")
    }
    let front = Array(shape.array.dropLast(3)), n = front.count
    let (c, h, w) = (shape[rank - 3], shape[rank - 2] / factor, shape[rank - 1] / factor)
    guard n + 5 <= Shape.maximumRank else { return try merged(front) { try $0.pixelUnshuffle(factor) } }
    let parts = try reshape(front + [c, h, factor, w, factor])
    return try parts.permute(Array(0..<n) + [n, n + 2, n + 4, n + 1, n + 3]).reshape(front + [c * factor * factor, h, w])
  }

  /// With the leading dimensions as one.
  private func merged(_ front: [Int], _ body: (Tensor) throws -> Tensor) throws -> Tensor {
    let y = try body(reshape([front.reduce(1, *)] + shape.array.suffix(3)))
    return try y.reshape(front + y.shape.array.suffix(3))
  }

  /// Channels dealt out to groups in turn.
  fileprivate func channelShuffle(_ groups: Int) throws -> Tensor {
    guard rank >= 3, groups > 0, shape[1] % groups == 0 else {
      throw TensorError(
        .shape, "channel_shuffle", "groups must divide the channels of an input (batch, channels, …), got \(groups) for shape \(shape)")
    }
    let rest = shape.count(2..<rank)
    return try reshape([shape[0], groups, shape[1] / groups, rest]).transpose(1, 2).reshape(shape.array)
  }
}

/// What fold and unfold are told of their windows.
struct WindowOptions {
  let kernel, dilation, padding, stride: [Int]
}

/// Images as columns, or columns added up to images: each is the other's gradient.
private struct Columns: Operation {
  let windows: Windows
  let adds: Bool

  var tangentRule: TangentRule { .linear }
  var nodeName: String { adds ? "Col2ImBackward0" : "Im2ColBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = adds ? try c.g.columns(windows) : try c.g.images(windows) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [adds ? try inputs[0].images(windows) : try inputs[0].columns(windows)] }
}

enum ColumnOperations {
  private static let kernel = Take.sizes("kernel_size")
  private static let dilation = Take.sizes("dilation", default: 1)
  private static let padding = Take.sizes("padding", default: 0)
  private static let stride = Take.sizes("stride", default: 1)

  static let list: [TensorOperation] = [
    TensorOperation(
      "functional.unfold",
      "Each window of images (batch, channels, height, width), with or without the batch, as a column: (batch, channels · taps, places).",
      Take.input, kernel, dilation, padding, stride, forms: .function,
      samples: [
        [.float(2, 2, 3, 4), .integer(2)], [.float(2, 5, 4), .list([3, 2]), .list([1, 2]), .list([1, 0]), .list([2, 1])],
        [.float(0, 2, 3, 3), .integer(2)],
      ], rejects: [[.float(3, 4), .integer(2)], [.float(2, 2, 3, 4), .integer(5)], [.float(2, 2, 3, 4), .integer(0)]], composed: true,
      batching: .samples(2)
    ) { x, kernel, dilation, padding, stride in
      let options = WindowOptions(kernel: kernel, dilation: dilation, padding: padding, stride: stride)
      return .tensor(try x.columns(options, "unfold"))
    },
    TensorOperation(
      "fold",
      "Columns (batch, channels · taps, places), with or without the batch, added up where unfold took them from images of output_size.",
      Take.input, Take.sizes("output_size"), kernel, dilation, padding, stride, forms: .functional,
      samples: [
        [.float(2, 8, 6), .list([3, 4]), .integer(2)],
        [.float(12, 9), .list([5, 4]), .list([3, 2]), .list([1, 1]), .list([1, 0]), .list([2, 1])],
      ],
      rejects: [
        [.float(2, 8, 5), .list([3, 4]), .integer(2)], [.float(2, 7, 6), .list([3, 4]), .integer(2)],
        [.float(8), .integer(3), .integer(2)],
      ],
      composed: true
    ) { x, size, kernel, dilation, padding, stride in
      let options = WindowOptions(kernel: kernel, dilation: dilation, padding: padding, stride: stride)
      return .tensor(try x.images(size, options))
    },
    TensorOperation(
      "pixel_shuffle", "upscale_factor² channels as a square of places each: (…, channels, h, w) becomes larger by the factor.", Take.input,
      Take.integer("upscale_factor"), forms: [.function, .functional],
      samples: [[.float(2, 8, 2, 3), .integer(2)], [.float(9, 1, 2), .integer(3)]],
      rejects: [[.float(2, 6, 2, 3), .integer(2)], [.float(4, 2), .integer(2)], [.float(4, 2, 2), .integer(0)]], composed: true,
      batching: .leading
    ) { x, factor in .tensor(try x.pixelShuffle(factor)) },
    TensorOperation(
      "pixel_unshuffle", "Squares of downscale_factor² places as channels.", Take.input, Take.integer("downscale_factor"),
      forms: [.function, .functional],
      samples: [[.float(2, 1, 4, 6), .integer(2)], [.float(2, 3, 3), .integer(3)]],
      rejects: [[.float(1, 3, 4), .integer(2)], [.float(4, 2), .integer(2)]], composed: true, batching: .leading
    ) { x, factor in .tensor(try x.pixelUnshuffle(factor)) },
    TensorOperation(
      "channel_shuffle", "Channels of (batch, channels, …) dealt out to groups in turn.", Take.input, Take.integer("groups"),
      forms: [.function, .functional], samples: [[.float(2, 6, 3), .integer(2)], [.float(1, 4, 2, 2), .integer(4)]],
      rejects: [[.float(2, 6, 3), .integer(4)], [.float(2, 6), .integer(2)]], composed: true, batching: .moreSamples
    ) { x, groups in .tensor(try x.channelShuffle(groups)) },
  ]
}

// Windows over images: where those of convolutions, poolings and columns lie.

/// Windows over the last one to three dimensions: sizes by dimension.
struct Windows: Hashable, Sendable {
  var input, kernel, output: [Int]
  var stride, padding, dilation: [Int]

  var rank: Int { kernel.count }
  /// Elements of one channel, of one window, and windows.
  var inside: Int { input.reduce(1, *) }
  var taps: Int { kernel.reduce(1, *) }
  var places: Int { output.reduce(1, *) }

  /// What kernels are given: six rows of three sizes, with ones (and no padding) for dimensions that are not there.
  var plain: [Int64] {
    var result: [Int64] = []
    result.reserveCapacity(18)
    for (row, empty) in [(input, 1), (kernel, 1), (output, 1), (stride, 1), (padding, 0), (dilation, 1)] {
      for _ in rank..<3 { result.append(Int64(empty)) }
      for size in row { result.append(Int64(size)) }
    }
    return result
  }

  /// How many places windows of that reach have, or nil where not even one fits.
  static func places(_ input: Int, kernel: Int, stride: Int, padding: Int, dilation: Int) -> Int? {
    let reach = dilation * (kernel - 1) + 1
    let room = input + 2 * padding - reach
    return room < 0 ? nil : room / stride + 1
  }
}

extension Kernels {
  private static let spread = NamedKernel("window_columns")
  private static let collect = NamedKernel("add_window_columns")

  /// Elements of `channels` images as columns (channel, tap, place), 0 where a window reaches beyond.
  static func columns(_ dtype: DType, _ windows: Windows, channels: Int, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer) throws {
    _ = try windows.plain.withUnsafeBytes { plain in
      try spread(
        dtype, .read(x, dtype, channels * windows.inside), .write(y, dtype, channels * windows.taps * windows.places),
        .read(plain.baseAddress, .int64, 18), sizes: (channels, 0, 0, 0))
    }
  }

  /// Columns added up where they lie in images.
  static func addColumns(_ dtype: DType, _ windows: Windows, channels: Int, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer) throws {
    _ = try windows.plain.withUnsafeBytes { plain in
      try collect(
        dtype, .read(x, dtype, channels * windows.taps * windows.places), .write(y, dtype, channels * windows.inside),
        .read(plain.baseAddress, .int64, 18), sizes: (channels, 0, 0, 0))
    }
  }
}

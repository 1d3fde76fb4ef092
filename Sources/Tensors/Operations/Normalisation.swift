// Normalisation: elements brought to mean 0 and variance 1 over a batch, over groups of channels or over the last dimensions, then
// scaled and moved. Kernels compute values and first gradients; where a gradient is differentiated in turn, so is the formula.

import CKernels

extension Tensor {
  // MARK: Rows

  /// Normalised over the last dimensions, of those sizes; by the root of the mean square alone where it is not centred.
  func rowNorm(_ sizes: [Int], _ weight: Tensor?, _ bias: Tensor?, eps: Double, isCentred: Bool, _ operation: String) throws -> Tensor {
    try requireFloating(operation)
    guard !sizes.isEmpty, sizes.count <= rank, Array(shape.array.suffix(sizes.count)) == sizes else {
      throw TensorError(
        .shape, operation, "normalized_shape must be the last sizes of the input, got \(sizes) for an input of shape \(shape)")
    }
    for (name, tensor) in [("weight", weight), ("bias", bias)] {
      guard let tensor else { continue }
      guard tensor.shape.array == sizes else {
        throw TensorError(.shape, operation, "\(name) must have shape \(sizes), got \(tensor.shape)")
      }
      guard tensor.dtype == dtype || !isCentred else {
        throw TensorError(.dtype, operation, "\(name) must have the input's dtype \(dtype), got \(tensor.dtype)")
      }
    }
    let norm = RowNorm(normalizedShape: sizes, hasWeight: weight != nil, hasBias: bias != nil, eps: eps, isCentred: isCentred)
    return try norm.applied([self] + [weight, bias].compactMap { try $0?.to(dtype) })
  }

  // MARK: Channels

  /// The view of channels `(channels)` that broadcasts against this tensor.
  fileprivate func alongChannels(_ rank: Int) throws -> Tensor { try reshape([1, -1] + [Int](repeating: 1, count: rank - 2)) }

  fileprivate func checkChannelVector(_ name: String, _ tensor: Tensor?, _ operation: String) throws {
    guard let tensor else { return }
    guard tensor.shape == Shape(size: shape[1]) else {
      throw TensorError(.shape, operation, "\(name) must have one element for each of the \(shape[1]) channels, got shape \(tensor.shape)")
    }
    guard tensor.dtype == dtype else {
      throw TensorError(.dtype, operation, "\(name) must have the input's dtype \(dtype), got \(tensor.dtype)")
    }
  }

  /// Sums over everything but channels; what lies side by side first.
  fileprivate func summedToChannels() throws -> Tensor {
    try rank == 2 ? sum([0]) : flatten(2).sum([2]).sum([0])
  }

  /// Each channel normalised over the batch and what follows, by its own mean and variance, which `running` ones then move towards; or,
  /// while not training, by those.
  func batchNorm(
    mean: Tensor?, variance: Tensor?, _ weight: Tensor?, _ bias: Tensor?, training: Bool, momentum: Double, eps: Double,
    _ operation: String = "batch_norm"
  ) throws -> Tensor {
    try requireFloating(operation)
    guard rank >= 2 else {
      throw TensorError(.shape, operation, "the input must have channels behind a batch, (batch, channels, …), got shape \(shape)")
    }
    for (name, tensor) in [("running_mean", mean), ("running_var", variance), ("weight", weight), ("bias", bias)] {
      try checkChannelVector(name, tensor, operation)
    }
    guard training else {
      guard let mean, let variance else {
        throw TensorError(.argument, operation, "running_mean and running_var are needed where training is false")
      }
      if dtype.isOnlyStored {
        // Rounded once, at the end.
        let wide = dtype.computing
        return try to(wide).batchNorm(
          mean: mean.to(wide), variance: variance.to(wide), weight?.to(wide), bias?.to(wide), training: false, momentum: momentum, eps: eps,
          operation
        ).to(dtype)
      }
      let rate = try (variance + eps).rsqrt()
      return try ScaledChannels().applied([
        self, mean, weight.map { try $0 * rate } ?? rate, bias ?? Tensor.zeros([shape[1]], dtype: dtype),
      ])
    }
    let each = shape[1] == 0 ? 0 : count / shape[1]
    guard each > 1 || count == 0 && shape[0] != 0 else {
      throw TensorError(.shape, operation, "more than one value for each channel is needed while training, got shape \(shape)")
    }
    let norm = ChannelNorm(groups: nil, hasWeight: weight != nil, hasBias: bias != nil, eps: eps)
    let (y, found) = try norm.normalized([self] + [weight, bias].compactMap { $0 })
    // Statistics are written to, and no part of the graph.
    try withNoGrad {
      if let mean { try mean.move(towards: found.mean, by: momentum) }
      let unbiased = Double(each) / Double(Swift.max(each - 1, 1))
      if let variance { try variance.move(towards: found.variance * unbiased, by: momentum) }
    }
    return y
  }

  private func move(towards target: Tensor, by momentum: Double) throws {
    guard !requiresGrad else {
      throw TensorError(.autograd, "batch_norm", "running statistics are written to, and must not require grad")
    }
    try assign(converted(to: .float64) * (1 - momentum) + target * momentum)
  }

  /// Each of so many groups of channels normalised, image by image.
  func groupNorm(_ groups: Int, _ weight: Tensor?, _ bias: Tensor?, eps: Double, _ operation: String) throws -> Tensor {
    try requireFloating(operation)
    guard rank >= 2 else {
      throw TensorError(.shape, operation, "the input must be (batch, channels, …), got shape \(shape)")
    }
    guard groups > 0, shape[1] % groups == 0 else {
      throw TensorError(.argument, operation, "num_groups must divide the \(shape[1]) channels of the input, got \(groups)")
    }
    try checkChannelVector("weight", weight, operation)
    try checkChannelVector("bias", bias, operation)
    return try ChannelNorm(groups: groups, hasWeight: weight != nil, hasBias: bias != nil, eps: eps)
      .normalized([self] + [weight, bias].compactMap { $0 }).y
  }

  /// Each channel of each image normalised by its own statistics, of which `running` ones keep the mean over the batch; or by those.
  func instanceNorm(
    mean: Tensor?, variance: Tensor?, _ weight: Tensor?, _ bias: Tensor?, usesInput: Bool, momentum: Double, eps: Double
  ) throws -> Tensor {
    let operation = "instance_norm"
    try requireFloating(operation)
    guard rank >= 2 else { throw TensorError(.shape, operation, "the input must be (batch, channels, …), got shape \(shape)") }
    guard usesInput else {
      return try batchNorm(mean: mean, variance: variance, weight, bias, training: false, momentum: momentum, eps: eps, operation)
    }
    for (name, tensor) in [("running_mean", mean), ("running_var", variance), ("weight", weight), ("bias", bias)] {
      try checkChannelVector(name, tensor, operation)
    }
    let places = shape.count(2..<rank)
    guard places > 1 || count == 0 else {
      throw TensorError(.shape, operation, "more than one value for each channel of an image is needed, got shape \(shape)")
    }
    let norm = ChannelNorm(groups: shape[1], hasWeight: weight != nil, hasBias: bias != nil, eps: eps)
    let (y, found) = try norm.normalized([self] + [weight, bias].compactMap { $0 })
    try withNoGrad {
      let sizes = [shape[0], shape[1]]
      if let mean { try mean.move(towards: found.mean.reshape(sizes).mean([0]), by: momentum) }
      let unbiased = Double(places) / Double(Swift.max(places - 1, 1))
      if let variance { try variance.move(towards: found.variance.reshape(sizes).mean([0]) * unbiased, by: momentum) }
    }
    return y
  }

  /// Divided by a power of the mean square of `size` channels around each.
  func localResponseNorm(_ size: Int, alpha: Double, beta: Double, k: Double) throws -> Tensor {
    try requireFloating("local_response_norm")
    guard rank >= 3 else {
      throw TensorError(
        .shape, "local_response_norm", "the input must have at least 3 dimensions, (batch, channels, …), got shape \(shape)")
    }
    guard size > 0, size <= 1 << 20 else {
      throw TensorError(.argument, "local_response_norm", "size must be positive, got \(size)")
    }
    let channels = shape[1]
    try AxisWeights.check(from: channels, to: channels, taps: Swift.min(size, channels), "local_response_norm")
    let window = try AxisWeights(1, from: channels, to: channels) { channel in
      let first = Swift.max(channel - size / 2, 0), last = Swift.min(channel + (size - 1) / 2, channels - 1)
      return (first..<Swift.max(last + 1, first)).map { ($0, 1 / Double(size)) }
    }
    let means = try square().resampled([window], "AvgPool3DBackward0")
    return try self / (means * alpha + k).power(beta)
  }
}

// MARK: On the tape

/// Normalisation over the last dimensions.
private struct RowNorm: Operation {
  private static let kernel = NamedKernel("normalised_rows")
  private static let slopes = NamedKernel("normalised_rows_slopes")
  private static let sums = NamedKernel("normalised_rows_sums")

  let normalizedShape: [Int]
  let hasWeight, hasBias: Bool
  let eps: Double
  let isCentred: Bool

  var nodeName: String { isCentred ? "NativeLayerNormBackward0" : "FusedRmsNormBackward0" }
  private var inputs: Int { 1 + (hasWeight ? 1 : 0) + (hasBias ? 1 : 0) }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["input": .input(0), "weight": .input(1)] }
  func uses(_ number: Int) -> Uses { hasBias && number == inputs - 1 ? .nothing : hasWeight ? [.a, .b, .own] : [.a, .own] }

  private var length: Int { normalizedShape.reduce(1, *) }

  func applied(_ given: [Tensor]) throws -> Tensor {
    let (x, wide) = (given[0], given[0].dtype.computing)
    let packed = try given.map { try $0.converted(to: wide).packed() }
    let weight = hasWeight ? packed[1] : nil
    let bias = hasBias ? packed[inputs - 1] : nil
    let y = try Tensor(uninitialized: x.shape, wide)
    let n = length
    let rows = n == 0 ? 0 : x.count / n
    let stats = try Tensor(uninitialized: [2, rows], wide)
    try RowNorm.kernel(
      wide, .read(packed[0].data, wide, x.count), .write(y.data, wide, x.count), .write(stats.data, wide, 2 * rows),
      weight.map { .read($0.data, wide, n) }, bias.map { .read($0.data, wide, n) }, sizes: (rows, n, 0, 0),
      numbers: (eps, isCentred ? 1 : 0, 0, 0))
    withExtendedLifetime(packed) {}
    return try y.converted(to: x.dtype).recorded(self, given, own: [stats])
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try applied(inputs)] }

  private func formula(_ x: [Tensor]) throws -> Tensor {
    let dims = (x[0].rank - normalizedShape.count..<x[0].rank).map { $0 }
    let y: Tensor
    if isCentred {
      let mean = try x[0].mean(dims, keepdim: true)
      y = try (x[0] - mean) * (x[0].variance(dims, correction: 0, keepdim: true) + eps).rsqrt()
    } else {
      y = try x[0] * (x[0].square().mean(dims, keepdim: true) + eps).rsqrt()
    }
    return try hasWeight ? y * x[1] : y
  }

  func gradient(_ c: inout Backward) throws {
    if c.createsGraph {
      if hasBias, c.needs(inputs - 1) { c[inputs - 1] = try c.g.summed(to: Shape(normalizedShape)) }
      if c.needs(0) || hasWeight && c.needs(1) { try Formula.gradient(&c, hasWeight ? 2 : 1, formula) }
      return
    }
    let dtype = c.g.dtype, wide = dtype.computing
    // The bias alone needs nothing of the elements.
    guard c.needs(0) || hasWeight && c.needs(1) else {
      c[inputs - 1] = try c.g.summed(to: Shape(normalizedShape))
      return
    }
    let (g, x) = (try c.g.converted(to: wide).packed(), try c.a.converted(to: wide).packed())
    let (stats, n) = (try c.own, length)
    let rows = n == 0 ? 0 : x.count / n
    if c.needs(0) {
      let weight = hasWeight ? try c.b.converted(to: wide).packed() : nil
      let dx = try Tensor(uninitialized: x.shape, wide)
      try RowNorm.slopes(
        wide, .read(g.data, wide, x.count), .read(x.data, wide, x.count), .read(stats.data, wide, 2 * rows),
        weight.map { .read($0.data, wide, n) }, .write(dx.data, wide, x.count), sizes: (rows, n, 0, 0),
        numbers: (eps, isCentred ? 1 : 0, 0, 0))
      c[0] = try dx.converted(to: dtype)
    }
    guard hasWeight && c.needs(1) || hasBias && c.needs(inputs - 1) else { return }
    let found = try Tensor(uninitialized: [2, n], wide)
    // So many parts whatever the number of threads, of a few rows each.
    let pieces = Swift.max(Swift.min(rows * n / 65536, rows / 4, 16), 1)
    let room = try Tensor(uninitialized: [pieces, 2, n], .float64)
    try RowNorm.sums(
      wide, .read(g.data, wide, x.count), .read(x.data, wide, x.count), .read(stats.data, wide, 2 * rows), .write(found.data, wide, 2 * n),
      .write(room.data, .float64, room.count), sizes: (rows, n, pieces, 0))
    if hasWeight, c.needs(1) { c[1] = try found.select(0, 0).reshape(normalizedShape).converted(to: dtype) }
    if hasBias, c.needs(inputs - 1) { c[inputs - 1] = try found.select(0, 1).reshape(normalizedShape).converted(to: dtype) }
  }
}

/// (x − mean) · scale + shift, of one number of each for a channel.
private struct ScaledChannels: Operation {
  static let kernel = NamedKernel("segments_scaled")

  var nodeName: String { "NativeBatchNormBackward0" }
  func uses(_ number: Int) -> Uses { [.c, .c, [.a, .b], .nothing][number] }

  func applied(_ given: [Tensor]) throws -> Tensor {
    let (x, wide) = (given[0], given[0].dtype.computing)
    let packed = try given.map { try $0.converted(to: wide).packed() }
    let y = try Tensor(uninitialized: x.shape, wide)
    let channels = x.shape[1], length = x.shape.count(2..<x.rank)
    try ScaledChannels.kernel(
      wide, .read(packed[0].data, wide, x.count), .write(y.data, wide, x.count), .read(packed[1].data, wide, channels),
      .read(packed[2].data, wide, channels), .read(packed[3].data, wide, channels), sizes: (x.shape[0] * channels, length, channels, 0))
    withExtendedLifetime(packed) {}
    return try y.converted(to: x.dtype).recorded(self, given)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try applied(inputs)] }

  func gradient(_ c: inout Backward) throws {
    let rank = c.g.rank
    if c.needs(0) || c.needs(1) {
      let slope = try c.g * c.c.alongChannels(rank)
      if c.needs(0) { c[0] = slope }
      if c.needs(1) { c[1] = try -slope.summedToChannels() }
    }
    if c.needs(2) { c[2] = try (c.g * (c.a - c.b.alongChannels(rank))).summedToChannels() }
    if c.needs(3) { c[3] = try c.g.summedToChannels() }
  }
}

/// Channels normalised by statistics of the elements: of each over the batch, or of groups of channels image by image.
private struct ChannelNorm: Operation {
  private static let squares = NamedKernel("segments_squared")
  private static let sums = NamedKernel("segments_summed")
  private static let combination = NamedKernel("segments_combined")

  /// nil for statistics over the batch.
  let groups: Int?
  let hasWeight, hasBias: Bool
  let eps: Double

  var nodeName: String { groups == nil ? "NativeBatchNormBackward0" : "NativeGroupNormBackward0" }
  private var inputs: Int { 1 + (hasWeight ? 1 : 0) + (hasBias ? 1 : 0) }
  var slotNames: KeyValuePairs<String, KeptSlot> {
    ["input": .input(0), "weight": .input(1), "result1": .own(0), "result2": .own(1)]
  }
  func uses(_ number: Int) -> Uses {
    hasBias && number == inputs - 1 ? .nothing : hasWeight ? [.a, .b, .own, .own1] : [.a, .own, .own1]
  }

  /// How channels of images, which are segments, belong to statistics.
  private struct Division {
    let images, channels, length: Int
    let groups: Int?

    init(_ shape: Shape, _ groups: Int?) {
      (images, channels, length, self.groups) = (shape[0], shape[1], shape.count(2..<shape.rank), groups)
    }

    var segments: Int { images * channels }
    var statistics: Int { groups.map { images * $0 } ?? channels }
    /// Elements of each.
    var each: Int { groups.map { channels / $0 * length } ?? images * length }
    /// After how many segments the factors are the same again.
    var period: Int { groups == nil ? channels : segments }

    /// Which statistics segment `s` belongs to.
    func statistic(_ s: Int) -> Int { groups.map { s / channels * $0 + s % channels / (channels / $0) } ?? s % channels }
  }

  func normalized(_ given: [Tensor]) throws -> (y: Tensor, statistics: (mean: Tensor, variance: Tensor)) {
    let (x, wide) = (given[0], given[0].dtype.computing)
    let packed = try given.map { try $0.converted(to: wide).packed() }
    let source = packed[0]
    let division = Division(x.shape, groups)
    let (mean, variance) = try statistics(source, division)
    let rate = try (variance + eps).rsqrt()
    // By segments: (x − mean) · rate · weight + bias.
    let weights = hasWeight ? try packed[1].converted(to: .float64) : nil
    let biases = hasBias ? try packed[inputs - 1].converted(to: .float64) : nil
    let factors = try Tensor(uninitialized: [3, division.period], .float64)
    let (m, r, f) = (mean.doublesInPlace, rate.doublesInPlace, factors.doublesInPlace)
    for segment in 0..<division.period {
      let (statistic, channel) = (division.statistic(segment), segment % division.channels)
      f[segment] = m[statistic]
      f[division.period + segment] = r[statistic] * (weights?.doublesInPlace[channel] ?? 1)
      f[2 * division.period + segment] = biases?.doublesInPlace[channel] ?? 0
    }
    let rounded = try factors.converted(to: wide)
    let y = try Tensor(uninitialized: x.shape, wide)
    func row(_ number: Int) -> Launch.Operand {
      .read(rounded.data + number * division.period * wide.size, wide, division.period)
    }
    try ScaledChannels.kernel(
      wide, .read(source.data, wide, x.count), .write(y.data, wide, x.count), row(0), row(1), row(2),
      sizes: (division.segments, division.length, division.period, 0))
    withExtendedLifetime((packed, mean, rate, factors, rounded, weights, biases)) {}
    return (try y.converted(to: x.dtype).recorded(self, given, own: [mean, rate]), (mean, variance))
  }

  /// Means and variances, in float64: the squares are of differences from the means.
  private func statistics(_ x: Tensor, _ division: Division) throws -> (mean: Tensor, variance: Tensor) {
    let dtype = x.dtype
    let mean = try Tensor.zeros([division.statistics], dtype: .float64)
    let variance = try Tensor.zeros([division.statistics], dtype: .float64)
    guard x.count > 0 else { return (mean, variance) }
    // What one kernel can reduce at a time.
    let extent =
      groups != nil
      ? Extent(division.statistics, division.each, 1)
      : division.length == 1 ? Extent(1, division.images, division.channels) : Extent(division.segments, division.length, 1)
    let sums = try Tensor(uninitialized: [extent.reduced], dtype)
    func gather(_ parts: Tensor, into total: Tensor) throws {
      let parts = try parts.converted(to: .float64)
      let (p, t) = (parts.doublesInPlace, total.doublesInPlace)
      for part in 0..<parts.count { t[part % division.statistics] += p[part] }
      for statistic in 0..<division.statistics { t[statistic] /= Double(division.each) }
      withExtendedLifetime(parts) {}
    }
    try Kernels.reduce(MG_SUM, dtype, extent, x.data, into: sums.data)
    try gather(sums, into: mean)
    if groups == nil, division.length > 1 {
      let rounded = try mean.converted(to: dtype)
      let parts = try Tensor(uninitialized: [division.segments], .float64)
      try ChannelNorm.squares(
        dtype, .read(x.data, dtype, x.count), .read(rounded.data, dtype, division.period), .write(parts.data, .float64, parts.count),
        sizes: (division.segments, division.length, division.period, 0))
      try gather(parts, into: variance)
    } else {
      try Kernels.squaredDeviations(dtype, extent, x.data, into: sums.data)
      try gather(sums, into: variance)
    }
    return (mean, variance)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try normalized(inputs).y] }

  private func formula(_ given: [Tensor]) throws -> Tensor {
    let x = given[0]
    let division = Division(x.shape, groups)
    let (sizes, dims) =
      groups.map { ([division.images, $0, division.channels / $0, division.length], [2, 3]) }
      ?? ([division.images, division.channels, 1, division.length], [0, 3])
    let parts = try x.reshape(sizes)
    let mean = try parts.mean(dims, keepdim: true)
    let y = try ((parts - mean) * (parts.variance(dims, correction: 0, keepdim: true) + eps).rsqrt()).reshape(x.shape.array)
    return try hasWeight ? y * given[1].alongChannels(x.rank) : y
  }

  func gradient(_ c: inout Backward) throws {
    let needsElements = c.needs(0) || hasWeight && c.needs(1)
    if c.createsGraph || !needsElements {
      if hasBias, c.needs(inputs - 1) { c[inputs - 1] = try c.g.summedToChannels() }
      if needsElements { try Formula.gradient(&c, hasWeight ? 2 : 1, formula) }
      return
    }
    let dtype = c.g.dtype, wide = dtype.computing
    let (g, x) = (try c.g.converted(to: wide).packed(), try c.a.converted(to: wide).packed())
    let division = Division(x.shape, groups)
    let period = division.period
    let (mean, rate) = (try c.own, try c.own1)
    let weight = hasWeight ? try c.b.converted(to: .float64).packed() : nil
    let (m, r) = (mean.doublesInPlace, rate.doublesInPlace)
    let centres = try Tensor(uninitialized: [period], .float64)
    for segment in 0..<period { centres.doublesInPlace[segment] = m[division.statistic(segment)] }
    let rounded = try centres.converted(to: wide)

    // Σ g and Σ g · (x − mean), of segments, or of channels where those have one element; then of channels and of statistics.
    let parts = division.length == 1 ? period : division.segments
    let sums = try Tensor(uninitialized: [2, parts], .float64)
    try ChannelNorm.sums(
      wide, .read(g.data, wide, g.count), .read(x.data, wide, x.count), .read(rounded.data, wide, period),
      .write(sums.data, .float64, sums.count), sizes: (division.segments, division.length, period, 0))
    let slopes = try Tensor.zeros([2, division.channels], dtype: .float64)
    let totals = try Tensor.zeros([2, division.statistics], dtype: .float64)
    let (s, d, t) = (sums.doublesInPlace, slopes.doublesInPlace, totals.doublesInPlace)
    for part in 0..<(division.segments == 0 ? 0 : parts) {
      let (channel, statistic) = (part % division.channels, division.statistic(part))
      let factor = weight?.doublesInPlace[channel] ?? 1
      d[channel] += s[parts + part] * r[statistic]
      d[division.channels + channel] += s[part]
      t[statistic] += factor * s[part]
      t[division.statistics + statistic] += factor * s[parts + part]
    }
    if hasWeight, c.needs(1) { c[1] = try slopes.select(0, 0).converted(to: dtype).packed() }
    if hasBias, c.needs(inputs - 1) { c[inputs - 1] = try slopes.select(0, 1).converted(to: dtype).packed() }
    guard c.needs(0) else { return }
    // rate · (weight · g − mean of that − (x − mean) · rate² · mean of the products).
    let factors = try Tensor(uninitialized: [3, period], .float64)
    let f = factors.doublesInPlace
    for segment in 0..<period {
      let statistic = division.statistic(segment)
      let (one, each) = (r[statistic], Double(division.each))
      f[segment] = one * (weight?.doublesInPlace[segment % division.channels] ?? 1)
      f[period + segment] = -one * one * one * t[division.statistics + statistic] / each
      f[2 * period + segment] = -one * t[statistic] / each
    }
    let narrow = try factors.converted(to: wide)
    let dx = try Tensor(uninitialized: x.shape, wide)
    try ChannelNorm.combination(
      wide, .read(g.data, wide, g.count), .read(x.data, wide, x.count), .read(rounded.data, wide, period),
      .read(narrow.data, wide, 3 * period), .write(dx.data, wide, dx.count), sizes: (division.segments, division.length, period, 0))
    c[0] = try dx.converted(to: dtype)
    withExtendedLifetime((mean, rate, weight, centres, sums, slopes, totals, factors)) {}
  }
}

// MARK: The list

enum Normalisations {
  private static let weight = Take.optionalTensor("weight")
  private static let bias = Take.optionalTensor("bias")
  private static let eps = Take.number("eps", default: 1e-5)
  private static let runningMean = Take.optionalTensor("running_mean")
  private static let runningVariance = Take.optionalTensor("running_var")
  private static let momentum = Take.number("momentum", default: 0.1)

  static let list: [TensorOperation] = [
    TensorOperation(
      "batch_norm",
      "Each channel of (batch, channels, …) brought to mean 0 and variance 1, times weight plus bias: by its own statistics while training, which running_mean and running_var move towards in place, else by those.",
      Take.input, runningMean, runningVariance, weight, bias, Take.flag("training", default: false), momentum, eps, forms: .functional,
      samples: [
        [.float(3, 2, 4), .absent, .absent, .float(2), .float(2), .flag(true)],
        [.float(5, 3), .absent, .absent, .absent, .absent, .flag(true)],
        [.float(2, 3, 2, 2), .absent, .absent, .float(3), .absent, .flag(true), .number(0.1), .number(0.01)],
        [.float(2, 3, 2), .float(3), .positive(3), .float(3), .float(3)], [.float(2, 3, 2), .float(3), .positive(3)],
        [.float(0, 3, 2), .float(3), .positive(3), .float(3)],
      ],
      rejects: [
        [.float(3), .float(3), .positive(3)], [.float(2, 3), .absent, .absent], [.float(2, 3), .float(2), .positive(3)],
        [.float(1, 3), .absent, .absent, .absent, .absent, .flag(true)], [.float(2, 3), .float(3), .positive(3), .float(2)],
        [.integers([2, 3], 0...3), .float(3), .positive(3)],
      ], composed: true
    ) { x, mean, variance, weight, bias, training, momentum, eps in
      .tensor(try x.batchNorm(mean: mean, variance: variance, weight, bias, training: training, momentum: momentum, eps: eps))
    },
    TensorOperation(
      "instance_norm",
      "Each channel of each image of (batch, channels, …) brought to mean 0 and variance 1, times weight plus bias; or by running_mean and running_var where use_input_stats is false.",
      Take.input, runningMean, runningVariance, weight, bias, Take.flag("use_input_stats", default: true), momentum, eps,
      forms: .functional,
      samples: [
        [.float(2, 2, 5), .absent, .absent, .float(2), .float(2)], [.float(2, 3, 2, 2)],
        [.float(2, 3, 2), .float(3), .positive(3), .float(3), .float(3), .flag(false)],
      ], rejects: [[.float(3)], [.float(2, 3, 1)], [.float(2, 3, 4), .absent, .absent, .float(2)]], composed: true
    ) { x, mean, variance, weight, bias, usesInput, momentum, eps in
      .tensor(try x.instanceNorm(mean: mean, variance: variance, weight, bias, usesInput: usesInput, momentum: momentum, eps: eps))
    },
    TensorOperation(
      "group_norm",
      "Each of num_groups groups of channels of each image brought to mean 0 and variance 1; times weight plus bias, of channels.",
      Take.input, Take.integer("num_groups"), weight, bias, eps, forms: [.function, .functional],
      samples: [
        [.float(2, 4, 3), .integer(2), .float(4), .float(4)], [.float(2, 4), .integer(2)], [.float(2, 4, 2, 2), .integer(1), .float(4)],
        [.float(0, 4, 3), .integer(2), .float(4), .float(4)], [.float(2, 3, 2), .integer(3), .float(3), .float(3), .number(0.1)],
      ],
      rejects: [
        [.float(2, 4, 3), .integer(3)], [.float(4), .integer(2)], [.float(2, 4, 3), .integer(2), .float(2)], [.float(2, 4), .integer(0)],
      ],
      composed: true, batching: .moreSamples
    ) { x, groups, weight, bias, eps in .tensor(try x.groupNorm(groups, weight, bias, eps: eps, "group_norm")) },
    TensorOperation(
      "layer_norm",
      "The last dimensions, of the sizes normalized_shape, brought to mean 0 and variance 1; times weight plus bias of those sizes.",
      Take.input, Take.shape("normalized_shape"), weight, bias, eps, forms: [.function, .functional],
      samples: [
        [.float(3, 5), .list([5]), .float(5), .float(5)], [.float(2, 3, 4), .list([3, 4]), .float(3, 4)],
        [.float(2, 3, 4), .list([4]), .absent, .float(4)], [.float(5), .list([5])], [.float(0, 5), .list([5]), .float(5), .float(5)],
        [.float(2, 19), .list([19]), .float(19), .float(19), .number(0.01)],
      ],
      rejects: [
        [.float(3, 5), .list([3])], [.float(3, 5), .list([5]), .float(3)], [.integers([3, 5], 0...9), .list([5])], [.float(3), .list([])],
      ],
      composed: true, batching: .leading
    ) { x, sizes, weight, bias, eps in
      .tensor(try x.rowNorm(sizes, weight, bias, eps: eps, isCentred: true, "layer_norm"))
    },
    TensorOperation(
      "rms_norm", "The last dimensions, of the sizes normalized_shape, divided by the root of their mean square; times weight.",
      Take.input, Take.shape("normalized_shape"), weight, Take.optionalScalar("eps"), forms: [.function, .functional],
      samples: [
        [.float(3, 5), .list([5]), .float(5)], [.float(2, 3, 4), .list([3, 4])], [.float(2, 4), .list([4]), .float(4), .number(0.1)],
      ], rejects: [[.float(3, 5), .list([3])], [.float(3, 5), .list([5]), .float(3)]], composed: true, batching: .leading
    ) { x, sizes, weight, eps in
      .tensor(try x.rowNorm(sizes, weight, nil, eps: eps?.real ?? x.dtype.distanceFromOne, isCentred: false, "rms_norm"))
    },
    TensorOperation(
      "local_response_norm", "x / (k + alpha · the mean square of size channels around)^beta, of (batch, channels, …).", Take.input,
      Take.integer("size"), Take.number("alpha", default: 1e-4), Take.number("beta", default: 0.75), Take.number("k", default: 1),
      forms: .functional,
      samples: [[.float(2, 5, 3), .integer(3)], [.float(1, 4, 2, 2), .integer(2), .number(0.5), .number(0.5), .number(2)]],
      rejects: [[.float(2, 5), .integer(3)], [.float(2, 5, 3), .integer(0)]], composed: true, batching: .moreSamples
    ) { x, size, alpha, beta, k in .tensor(try x.localResponseNorm(size, alpha: alpha, beta: beta, k: k)) },
  ]
}

extension DType {
  /// From 1 to the next number.
  fileprivate var distanceFromOne: Double {
    switch self {
    case .float64: Double.ulpOfOne
    case .float16: 0x1p-10
    case .bfloat16: 0x1p-7
    default: Double(Float.ulpOfOne)
    }
  }
}

extension Tensor {
  /// The elements of a contiguous float64 tensor.
  fileprivate var doublesInPlace: UnsafeMutablePointer<Double> { data.assumingMemoryBound(to: Double.self) }
}

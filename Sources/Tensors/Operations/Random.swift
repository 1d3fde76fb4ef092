// Random tensors, drawn from the context's generator in PyTorch's order.

import CKernels

extension Generator {
  /// The generator of the context in force; seeded by the system until `manualSeed`.
  package static var current: Generator {
    if let made = Context.current.pointee.generator { return made }
    let made = unpredictable()
    Context.current.pointee.generator = made
    return made
  }

  /// Runs `body`, in which this generator is drawn from where no other is given.
  public func drawing<R>(_ body: () throws -> R) rethrows -> R {
    let outer = Context.current.pointee.generator
    Context.current.pointee.generator = self
    defer { Context.current.pointee.generator = outer }
    return try body()
  }
}

/// Starts the random stream of the context in force over: the same seed gives the same numbers, and those of PyTorch on CPU.
public func manualSeed(_ seed: Int) { Generator.current.manualSeed(seed) }

extension Tensor {
  private var floats: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: data.assumingMemoryBound(to: Float.self), count: count)
  }
  private var doublesInPlace: UnsafeMutableBufferPointer<Double> {
    UnsafeMutableBufferPointer(start: data.assumingMemoryBound(to: Double.self), count: count)
  }
  private var integersInPlace: UnsafeMutableBufferPointer<Int64> {
    UnsafeMutableBufferPointer(start: data.assumingMemoryBound(to: Int64.self), count: count)
  }

  private func filled(
    _ operation: String, _ float: (UnsafeMutableBufferPointer<Float>) -> Void,
    _ double: (UnsafeMutableBufferPointer<Double>) -> Void
  ) throws -> Tensor {
    switch dtype {
    case .float32: float(floats)
    case .float64: double(doublesInPlace)
    default:
      guard dtype.isFloating else {
        throw TensorError(.dtype, operation, "only tensors of float dtypes can hold such numbers, not \(dtype)")
      }
      // Rounded from float32.
      let wide = try Tensor(uninitialized: shape, .float32)
      float(wide.floats)
      try Kernels.convert(.float32, dtype, over: mg_loop(shape, layout, wide.layout), wide.data, into: data)
    }
    return self
  }

  /// Fills a float tensor uniformly from [from, to). Inside the graph this counts as a write.
  @discardableResult
  public func uniform(from: Double = 0, to: Double = 1) throws -> Tensor {
    guard from <= to else { throw TensorError(.argument, "uniform_", "from = \(from) exceeds to = \(to)") }
    return try randomized("uniform") {
      try $0.filled(
        "uniform_", { Generator.current.uniform(into: $0, from: from, to: to) }, { Generator.current.uniform(into: $0, from: from, to: to) }
      )
    }
  }

  /// Fills a float tensor with normally distributed numbers.
  @discardableResult
  public func normal(mean: Double = 0, std: Double = 1) throws -> Tensor {
    guard std >= 0 else { throw TensorError(.argument, "normal_", "the standard deviation \(std) is negative") }
    return try randomized("normal") {
      try $0.filled(
        "normal_", { Generator.current.normal(into: $0, mean: mean, std: std) },
        { Generator.current.normal(into: $0, mean: mean, std: std) })
    }
  }

  private func randomized(_ operation: String, ofAnyDType: Bool = false, _ body: (Tensor) throws -> Tensor) throws -> Tensor {
    guard dtype.isFloating || ofAnyDType else {
      throw TensorError(.dtype, operation + "_", "a float tensor is needed, this one is \(dtype)")
    }
    // What is drawn in place may be half drawn when it is stopped.
    func drawn(_ target: Tensor) throws -> Tensor {
      let result = try body(target)
      try Context.checkStop()
      return result
    }
    if isContiguous, try writesDirectly(operation) {
      _ = try drawn(self)
      bumpVersion()
      return self
    }
    return try writing(operation, uses: .nothing) { source in
      try drawn(Tensor(uninitialized: source.shape, source.dtype))
    }
  }

  /// Writes what this new tensor holds into `target`, in its dtype.
  private func written(into target: Tensor) throws -> Tensor {
    try Kernels.convert(dtype, target.dtype, over: mg_loop(target.shape, target.layout, layout), data, into: target.data)
    return target
  }

  /// Fills the tensor with what `next` draws in double precision, element after element.
  private func drawing(_ operation: String, ofAnyDType: Bool = false, _ next: (Generator) -> Double) throws -> Tensor {
    try randomized(operation, ofAnyDType: ofAnyDType) { target in
      let wide = try Tensor(uninitialized: target.shape, .float64)
      let (numbers, generator) = (wide.doublesInPlace, Generator.current)
      Context.inPieces(numbers.count) { numbers[$0] = next(generator) }
      return try wide.written(into: target)
    }
  }

  /// Fills a float tensor with exponentially distributed numbers of the given rate.
  @discardableResult
  public func exponential(_ rate: Double = 1) throws -> Tensor {
    guard rate > 0 else { throw TensorError(.argument, "exponential_", "the rate must be positive, got \(rate)") }
    return try randomized("exponential") {
      try $0.filled(
        "exponential_", { Generator.current.exponential(into: $0, rate: rate) }, { Generator.current.exponential(into: $0, rate: rate) })
    }
  }

  /// Fills a float tensor with numbers of Cauchy's distribution.
  @discardableResult
  public func cauchy(median: Double = 0, sigma: Double = 1) throws -> Tensor {
    guard sigma > 0 else { throw TensorError(.argument, "cauchy_", "sigma must be positive, got \(sigma)") }
    return try drawing("cauchy") { $0.nextCauchy(median: median, sigma: sigma) }
  }

  /// Fills a float tensor with powers of e whose exponents are normally distributed.
  @discardableResult
  public func logNormal(mean: Double = 1, std: Double = 2) throws -> Tensor {
    guard std > 0 else { throw TensorError(.argument, "log_normal_", "std must be positive, got \(std)") }
    return try drawing("log_normal") { $0.nextLogNormal(mean: mean, std: std) }
  }

  /// Fills the tensor with the counts of tosses until a coin of that probability shows its head.
  @discardableResult
  public func geometric(_ probability: Double) throws -> Tensor {
    guard probability > 0, probability < 1 else {
      throw TensorError(.argument, "geometric_", "the probability must lie between 0 and 1, got \(probability)")
    }
    guard dtype != .bool else { throw TensorError(.dtype, "geometric_", "not defined for tensors of bool") }
    return try drawing("geometric", ofAnyDType: true) { $0.nextGeometric(probability) }
  }

  /// Fills the tensor with whole numbers from low up to, not including, high.
  @discardableResult
  public func drawIntegers(_ low: Int, _ high: Int, _ operation: String = "random_") throws -> Tensor {
    guard low < high else { throw TensorError(.argument, operation, "no whole number lies from \(low) up to \(high)") }
    for bound in [low, high - 1] {
      let element = Scalar.integer(Int64(bound)).element(dtype).scalar(dtype)
      guard dtype == .bool ? bound == 0 || bound == 1 : dtype.isFloating ? element.real.isFinite : element == .integer(Int64(bound)) else {
        throw TensorError(.domain, operation, "\(bound) lies outside of the range of \(dtype)")
      }
    }
    let (from, to) = (narrowed(low, isEnd: false), narrowed(high, isEnd: true))
    return try randomized("random", ofAnyDType: true) { target in
      let wide = try Tensor(uninitialized: target.shape, .int64)
      Generator.current.randint(low: Int64(from), high: Int64(Swift.max(to, from + 1)), into: wide.integersInPlace)
      return try wide.written(into: target)
    }
  }

  /// A bound of whole numbers that are then rounded to a dtype of floats, moved inwards where rounding would pass it, as PyTorch
  /// does.
  private func narrowed(_ bound: Int, isEnd: Bool) -> Int {
    let inner = isEnd ? bound - 1 : bound + 1
    guard dtype.isFloating else { return bound }
    let digits = dtype == .float64 ? 53 : dtype == .float32 ? 24 : dtype == .float16 ? 11 : 8
    let rounded = Scalar.integer(Int64(inner)).element(dtype).scalar(dtype).real
    // Beyond int64 there is nothing to compare with.
    guard rounded < 0x1p63, isEnd ? Int(rounded) >= bound : Int(rounded) < bound else { return bound }
    let step = 1 << Swift.max(Int.bitWidth - 1 - inner.magnitude.leadingZeroBitCount - digits + 1, 0)
    return isEnd ? bound - step : Int(rounded) + step
  }

  /// Fills the tensor with whole numbers from 0 up to the largest of a dtype of whole numbers, or as far as one of floats has
  /// all of them.
  @discardableResult
  public func drawIntegers() throws -> Tensor {
    let count: UInt64 =
      switch dtype {
      case .float32: 1 << 24 + 1
      case .float64: 1 << 53 + 1
      case .float16: 1 << 11 + 1
      case .bfloat16: 1 << 8 + 1
      case .bool: 2
      case .uint8: 1 << 8
      case .int8: 1 << 7
      case .int16: 1 << 15
      case .int32: 1 << 31
      case .int64: 1 << 63
      }
    let isWide = dtype == .float64 || dtype == .int64
    return try randomized("random", ofAnyDType: true) { target in
      let wide = try Tensor(uninitialized: target.shape, .int64)
      let (numbers, generator) = (wide.integersInPlace, Generator.current)
      Context.inPieces(numbers.count) { numbers[$0] = Int64(generator.nextBelow(count, wide: isWide)) }
      return try wide.written(into: target)
    }
  }

  /// Fills the tensor with ones and zeros, ones with that probability.
  @discardableResult
  public func bernoulli(_ probability: Double) throws -> Tensor {
    guard (0...1).contains(probability) else {
      throw TensorError(.domain, "bernoulli_", "probabilities lie between 0 and 1, got \(probability)")
    }
    return try randomized("bernoulli", ofAnyDType: true) { target in
      let tosses = try Tensor(uninitialized: target.shape, .bool)
      Generator.current.bernoulli(
        probability: probability,
        into: UnsafeMutableBufferPointer(start: tosses.data.assumingMemoryBound(to: Bool.self), count: tosses.count))
      return try tosses.written(into: target)
    }
  }

  /// The same with a probability for each element; they broadcast.
  @discardableResult
  public func bernoulli(_ probabilities: Tensor) throws -> Tensor {
    try probabilities.requireFloating("bernoulli_")
    guard try Shape.broadcast(shape, probabilities.shape, "bernoulli_") == shape else {
      throw TensorError(
        .shape, "bernoulli_", "probabilities of shape \(probabilities.shape) do not fit a tensor of shape \(shape)")
    }
    return try randomized("bernoulli", ofAnyDType: true) { target in
      try withNoGrad { try probabilities.detach().expand(shape).bernoulli() }.written(into: target)
    }
  }

  /// Counts of Poisson's distribution, each at its own rate; without a derivative.
  public func poisson() throws -> Tensor {
    try requireFloating("poisson")
    let y = try withNoGrad {
      let rates = try detach().convertedCopy(to: .float64)
      let (numbers, generator) = (rates.doublesInPlace, Generator.current)
      try Context.inPieces(numbers.count) { position in
        guard numbers[position] >= 0, numbers[position].isFinite else {
          throw TensorError(.domain, "poisson", "rates are finite and not negative, got \(numbers[position])")
        }
        numbers[position] = generator.nextPoisson(numbers[position])
      }
      try Context.checkStop()
      return try rates.to(dtype)
    }
    return try y.recorded(Poisson(), self)
  }

  private struct Poisson: Operation {
    var nodeName: String { "PoissonBackward0" }
    var passage: Passage { .nothing }
    func gradient(_ c: inout Backward) throws { c[0] = try Tensor.zeros(like: c.g) }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].poisson()] }
  }

  /// Positions drawn with the probabilities that a vector, or each row, has relative to one another; without replacement all
  /// different.
  public func multinomial(_ samples: Int, replacement: Bool = false) throws -> Tensor {
    try requireFloating("multinomial")
    guard rank == 1 || rank == 2 else {
      throw TensorError(.shape, "multinomial", "a vector or a matrix is needed, the shape is \(shape)")
    }
    let n = shape[rank - 1]
    guard samples > 0, replacement ? n > 0 : samples <= n else {
      throw TensorError(
        .argument, "multinomial", "\(samples) positions cannot be drawn from \(n)\(replacement ? "" : " without replacement")")
    }
    return try withNoGrad {
      let p = try detach().packed()
      if let wrong = try p.checkedDoubles("multinomial").first(where: { !($0 >= 0 && $0.isFinite) }) {
        throw TensorError(.domain, "multinomial", "probabilities are finite and not negative, got \(wrong.isNaN ? .nan : wrong)")
      }
      guard try p.sum([-1]).gt(0).all().item() == .boolean(true) else {
        throw TensorError(.domain, "multinomial", "the probabilities of a row are all 0")
      }
      if !replacement || samples == 1 {
        // The least of exponentially distributed times, each at its own rate.
        let order = try p / Tensor(uninitialized: shape, dtype).exponential()
        return samples == 1 ? try order.argmax(-1, keepdim: true) : try order.topk(samples, -1).indices
      }
      return try p.drawnByRows(samples)
    }
  }

  private func drawnByRows(_ samples: Int) throws -> Tensor {
    let n = shape[rank - 1]
    let result = try Tensor(uninitialized: shape.replacing(rank - 1, with: samples), .int64)
    let (places, generator) = (result.integersInPlace, Generator.current)
    // In the arithmetic of the dtype, where the bounds lie.
    let wide = dtype.computing
    func rounded(_ x: Double) -> Double { wide == .float64 ? x : Double(Float(x)) }
    let probabilities = doubles
    for row in 0..<(n == 0 ? 0 : count / n) {
      var bounds: [Double] = []
      var sum = 0.0
      Context.inPieces(n) { position in
        sum = rounded(sum + probabilities[row * n + position])
        bounds.append(sum)
      }
      try Context.checkStop()
      for position in 0..<n { bounds[position] = rounded(bounds[position] / sum) }
      bounds[n - 1] = 1
      Context.inPieces(samples) { sample in
        let unit = generator.nextUnit()
        var (left, right) = (0, n)
        while left < right {
          let middle = left + (right - left) / 2
          if bounds[middle] < unit { left = middle + 1 } else { right = middle }
        }
        places[row * samples + sample] = Int64(left)
      }
      try Context.checkStop()
    }
    return result
  }

  /// Uniform on [0, 1).
  public static func rand(_ shape: Shape, dtype: DType = .defaultFloating) throws -> Tensor {
    try Tensor(uninitialized: shape, dtype).uniform()
  }

  /// Standard normal.
  public static func randn(_ shape: Shape, dtype: DType = .defaultFloating) throws -> Tensor {
    try Tensor(uninitialized: shape, dtype).normal()
  }

  /// Whole numbers from low up to, not including, high.
  public static func randint(_ low: Int, _ high: Int, _ shape: Shape) throws -> Tensor {
    guard low < high else { throw TensorError(.argument, "randint", "no whole number lies from \(low) up to \(high)") }
    let result = try Tensor(uninitialized: shape, .int64)
    Generator.current.randint(low: Int64(low), high: Int64(high), into: result.integersInPlace)
    try Context.checkStop()
    return result
  }

  /// The numbers 0 to n − 1 in random order.
  public static func randperm(_ n: Int) throws -> Tensor {
    guard n >= 0 else { throw TensorError(.argument, "randperm", "the count \(n) is negative") }
    let result = try Tensor(uninitialized: Shape([n]), .int64)
    Generator.current.permutation(into: result.integersInPlace)
    try Context.checkStop()
    return result
  }

  /// 0 or 1, being 1 with each element's probability.
  public func bernoulli() throws -> Tensor {
    try requireFloating("bernoulli")
    if let wrong = try noProbability { throw TensorError(.domain, "bernoulli", "probabilities lie between 0 and 1, got \(wrong)") }
    let p = try converted(to: dtype.computing).packed()
    let tosses = try Tensor(uninitialized: shape, .bool)
    let out = UnsafeMutableBufferPointer(start: tosses.data.assumingMemoryBound(to: Bool.self), count: count)
    if p.dtype == .float32 {
      Generator.current.bernoulli(probabilities: UnsafeBufferPointer(p.floats), into: out)
    } else {
      Generator.current.bernoulli(probabilities: UnsafeBufferPointer(p.doublesInPlace), into: out)
    }
    try Context.checkStop()
    return try tosses.convertedCopy(to: dtype).recorded(Bernoulli(), self)
  }

  private struct Bernoulli: Operation {
    var nodeName: String { "BernoulliBackward0" }
    var passage: Passage { .nothing }
    func gradient(_ c: inout Backward) throws { c[0] = try Tensor.zeros(like: c.g) }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].bernoulli()] }
  }
}

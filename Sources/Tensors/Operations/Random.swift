// Random tensors, drawn from the context's generator in PyTorch's order.

import CKernels

extension Generator {
  /// The generator of the context in force; seeded by the system until `manualSeed`.
  package static var current: Generator {
    if let made = Context.current.pointee.random { return made }
    let made = Generator()
    Context.current.pointee.random = made
    return made
  }
}

/// Starts the random stream of the context in force over: the same seed gives the same numbers, and those of PyTorch on CPU.
public func manualSeed(_ seed: Int) { Generator.current.manualSeed(Int64(seed)) }

extension Tensor {
  private var floats: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: data.assumingMemoryBound(to: Float.self), count: count)
  }
  private var doublesInPlace: UnsafeMutableBufferPointer<Double> {
    UnsafeMutableBufferPointer(start: data.assumingMemoryBound(to: Double.self), count: count)
  }
  private var integers: UnsafeMutableBufferPointer<Int64> {
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

  private func randomized(_ operation: String, _ body: (Tensor) throws -> Tensor) throws -> Tensor {
    guard dtype.isFloating else {
      throw TensorError(.dtype, operation + "_", "a float tensor is needed, this one is \(dtype)")
    }
    if isContiguous, try writesDirectly(operation) {
      _ = try body(self)
      bumpVersion()
      return self
    }
    return try writing(operation, uses: .nothing) { source in
      try body(Tensor(uninitialized: source.shape, source.dtype))
    }
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
    Generator.current.randint(low: Int64(low), high: Int64(high), into: result.integers)
    return result
  }

  /// The numbers 0 to n − 1 in random order.
  public static func randperm(_ n: Int) throws -> Tensor {
    guard n >= 0 else { throw TensorError(.argument, "randperm", "the count \(n) is negative") }
    let result = try Tensor(uninitialized: Shape([n]), .int64)
    Generator.current.permutation(into: result.integers)
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
    return try tosses.convertedCopy(to: dtype).recorded(Bernoulli(), self)
  }

  private struct Bernoulli: Operation {
    var nodeName: String { "BernoulliBackward0" }
    var passage: Passage { .nothing }
    func gradient(_ c: inout Backward) throws { c[0] = try Tensor.zeros(like: c.g) }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].bernoulli()] }
  }
}

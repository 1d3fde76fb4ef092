// Initial values of parameters, as torch.nn.init draws them: the same seed gives the same values.

import Tensors

/// Fills tensors with initial values, outside the graph. Every function returns the tensor it filled.
///
/// For a weight `(out, in, …)` the number of inputs of a unit, fan-in, is `in` times what follows, and fan-out is `out` times that.
public enum Initializer {
  /// Which number of connections keeps its variance: forwards or backwards.
  public enum Fan: String, Sendable {
    /// Those that lead in: forwards.
    case input = "fan_in"
    /// Those that lead out: backwards.
    case output = "fan_out"

    /// The one that PyTorch calls so. Throws for any other name.
    public init(named name: String, _ operation: String) throws {
      guard let fan = Fan(rawValue: name) else {
        throw TensorError(.argument, operation, "mode must be \"fan_in\" or \"fan_out\", got \"\(name)\"")
      }
      self = fan
    }
  }

  /// Uniform from [from, to). Throws for a dtype that is not floating, and for from > to.
  @discardableResult
  public static func uniform(_ tensor: Tensor, from: Double = 0, to: Double = 1) throws -> Tensor {
    try withNoGrad { try tensor.uniform(from: from, to: to) }
  }

  /// Normal. Throws for a dtype that is not floating, and for a negative deviation.
  @discardableResult
  public static func normal(_ tensor: Tensor, mean: Double = 0, std: Double = 1) throws -> Tensor {
    try withNoGrad { try tensor.normal(mean: mean, std: std) }
  }

  /// The same value everywhere.
  @discardableResult
  public static func constant(_ tensor: Tensor, _ value: Double) throws -> Tensor {
    try withNoGrad { try tensor.fill(.real(value)) }
  }

  /// 1 on the diagonal of a matrix, else 0.
  @discardableResult
  public static func eye(_ tensor: Tensor) throws -> Tensor {
    guard tensor.rank == 2 else {
      throw TensorError(.shape, "eye_", "a matrix is needed, got shape \(tensor.shape)")
    }
    return try withNoGrad { try tensor.copy(from: Tensor.eye(tensor.shape[0], tensor.shape[1], dtype: tensor.dtype)) }
  }

  /// Normal, with values outside low…high drawn again until none is left, as PyTorch does it: all values are drawn at
  /// each turn, and those that are needed kept.
  ///
  /// Throws when so little of the distribution lies between the bounds that this would take for ever.
  @discardableResult
  public static func truncatedNormal(
    _ tensor: Tensor, mean: Double = 0, std: Double = 1, low: Double = -2, high: Double = 2
  ) throws -> Tensor {
    func below(_ x: Double) throws -> Double {
      try (1 + Tensor([(x - mean) / std / 2.0.squareRoot()], dtype: .float64).erf().item().real) / 2
    }
    let mass = try std > 0 ? below(high) - below(low) : 0
    guard mass > 0.3 else {
      throw TensorError(
        .argument, "trunc_normal_",
        "only \(pythonNumber(mass)) of the normal distribution with mean \(pythonNumber(mean)) and std \(pythonNumber(std)) lies between \(pythonNumber(low)) and \(pythonNumber(high)); at least 0.3 is needed"
      )
    }
    return try withNoGrad {
      try tensor.normal(mean: mean, std: std)
      while true {
        let outside = try tensor.clamp(.real(low), .real(high)).eq(tensor).logicalNot()
        guard try outside.any().item() == .boolean(true) else { return tensor }
        let again = try Tensor.zeros(tensor.shape, dtype: tensor.dtype).normal(mean: mean, std: std)
        try tensor.copy(from: outside.choosing(again, else: tensor))
      }
    }
  }

  /// Rows, or columns where there are fewer of them, of length `gain` that are orthogonal to each other, drawn uniformly
  /// (Saxe et al., 2013). Dimensions after the first count as one.
  @discardableResult
  public static func orthogonal(_ tensor: Tensor, gain: Double = 1) throws -> Tensor {
    guard tensor.rank >= 2 else {
      throw TensorError(.shape, "orthogonal_", "at least 2 dimensions are needed, got shape \(tensor.shape)")
    }
    guard tensor.count > 0 else { return tensor }
    let (rows, columns) = (tensor.shape[0], tensor.count / tensor.shape[0])
    let drawn = try Tensor.randn([rows, columns], dtype: tensor.dtype)
    // Q of the decomposition whose R has a positive diagonal is unique, so Gram and Schmidt's is PyTorch's.
    let tall = try rows < columns ? drawn.t() : drawn
    var vectors = try tall.t().unbind().map(\.doubles)
    for index in vectors.indices {
      // Twice, which is as good as Householder's reflections.
      for _ in 0..<2 {
        for earlier in 0..<index {
          try Context.checkStop()
          let overlap = zip(vectors[index], vectors[earlier]).reduce(0) { $0 + $1.0 * $1.1 }
          for element in vectors[index].indices { vectors[index][element] -= overlap * vectors[earlier][element] }
        }
      }
      let length = vectors[index].reduce(0) { $0 + $1 * $1 }.squareRoot()
      for element in vectors[index].indices { vectors[index][element] /= length }
    }
    let q = try Tensor(vectors, dtype: tensor.dtype)
    return try withNoGrad {
      try tensor.copy(from: (rows < columns ? q : q.t()).reshape(tensor.shape.array))
      return gain == 1 ? tensor : try tensor.copy(from: tensor * gain)
    }
  }

  /// Uniform between ±gain · √(6 / (fan-in + fan-out)) (Glorot and Bengio, 2010).
  @discardableResult
  public static func xavierUniform(_ tensor: Tensor, gain: Double = 1) throws -> Tensor {
    let fans = try fans(of: tensor, "xavier_uniform_")
    let deviation = gain * (2 / Double(fans.input + fans.output)).squareRoot()
    let bound = 3.0.squareRoot() * deviation
    return try uniform(tensor, from: -bound, to: bound)
  }

  /// Normal with deviation gain · √(2 / (fan-in + fan-out)) (Glorot and Bengio, 2010).
  @discardableResult
  public static func xavierNormal(_ tensor: Tensor, gain: Double = 1) throws -> Tensor {
    let fans = try fans(of: tensor, "xavier_normal_")
    return try normal(tensor, std: gain * (2 / Double(fans.input + fans.output)).squareRoot())
  }

  /// Uniform between ±gain · √(3 / fan), with the nonlinearity's gain (He et al., 2015).
  @discardableResult
  public static func kaimingUniform(
    _ tensor: Tensor, negativeSlope: Double = 0, fan: Fan = .input, nonlinearity: String = "leaky_relu"
  ) throws -> Tensor {
    guard tensor.count > 0 else { return tensor }
    let bound = try 3.0.squareRoot() * kaimingDeviation(tensor, negativeSlope, fan, nonlinearity, "kaiming_uniform_")
    return try uniform(tensor, from: -bound, to: bound)
  }

  /// Normal with deviation gain / √fan, with the nonlinearity's gain (He et al., 2015).
  @discardableResult
  public static func kaimingNormal(
    _ tensor: Tensor, negativeSlope: Double = 0, fan: Fan = .input, nonlinearity: String = "leaky_relu"
  ) throws -> Tensor {
    guard tensor.count > 0 else { return tensor }
    return try normal(tensor, std: kaimingDeviation(tensor, negativeSlope, fan, nonlinearity, "kaiming_normal_"))
  }

  /// The identity as the weight (out, in, …) of a convolution, as far as there are channels: 1 in the middle of each filter of
  /// its own channel, else 0. Each group has one of its own.
  @discardableResult
  public static func dirac(_ tensor: Tensor, groups: Int = 1) throws -> Tensor {
    let sizes = tensor.shape.array
    guard (3...5).contains(tensor.rank) else {
      throw TensorError(.shape, "dirac_", "3, 4 or 5 dimensions are needed, got shape \(tensor.shape)")
    }
    guard groups > 0, sizes[0] % groups == 0 else {
      throw TensorError(.argument, "dirac_", "the first size, \(sizes[0]), must be a multiple of groups, got \(groups)")
    }
    guard tensor.count > 0 else { return tensor }
    let (each, field) = (sizes[0] / groups, sizes.dropFirst(2))
    let middle = field.reduce(0) { $0 * $1 + $1 / 2 }
    let filter = field.reduce(1, *)
    try checkRoom(for: tensor, "dirac_")
    var elements = [Double](repeating: 0, count: tensor.count)
    for group in 0..<groups {
      for channel in 0..<min(each, sizes[1]) { elements[((group * each + channel) * sizes[1] + channel) * filter + middle] = 1 }
    }
    return try withNoGrad { try tensor.copy(from: Tensor(elements, shape: tensor.shape, dtype: tensor.dtype)) }
  }

  /// Normal, with a part of each column of a matrix 0; which elements are, is drawn (Martens, 2010).
  @discardableResult
  public static func sparse(_ tensor: Tensor, sparsity: Double, std: Double = 0.01) throws -> Tensor {
    guard tensor.rank == 2 else { throw TensorError(.shape, "sparse_", "a matrix is needed, got shape \(tensor.shape)") }
    guard sparsity >= 0, sparsity <= 1 else {
      throw TensorError(.argument, "sparse_", "sparsity must lie between 0 and 1, got \(pythonNumber(sparsity))")
    }
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    let zeros = Int((sparsity * Double(rows)).rounded(.up))
    try checkRoom(for: tensor, "sparse_")
    try normal(tensor, std: std)
    var kept = [Double](repeating: 1, count: rows * columns)
    for column in 0..<columns {
      for row in try Tensor.randperm(rows).doubles.prefix(zeros) { kept[Int(row) * columns + column] = 0 }
    }
    return try withNoGrad { try tensor.copy(from: tensor * Tensor(kept, shape: tensor.shape, dtype: tensor.dtype)) }
  }

  private static func checkRoom(for tensor: Tensor, _ operation: String) throws {
    try Context.checkRoom(
      for: "a list of \(tensor.count) elements needs", operation, count: tensor.count, bytesOfEach: MemoryLayout<Double>.stride)
  }

  private static func kaimingDeviation(
    _ tensor: Tensor, _ slope: Double, _ fan: Fan, _ nonlinearity: String, _ operation: String
  ) throws -> Double {
    let fans = try fans(of: tensor, operation)
    return try gain(nonlinearity, slope) / Double(fan == .input ? fans.input : fans.output).squareRoot()
  }

  /// The factor by which weights before a nonlinearity are larger, so that the variance stays.
  public static func gain(_ nonlinearity: String, _ parameter: Double? = nil) throws -> Double {
    switch nonlinearity {
    case "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid": return 1
    case "tanh": return 5.0 / 3
    case "relu": return 2.0.squareRoot()
    case "leaky_relu":
      let slope = parameter ?? 0.01
      return (2 / (1 + slope * slope)).squareRoot()
    case "selu": return 0.75
    default:
      throw TensorError(
        .argument, "calculate_gain",
        "unknown nonlinearity '\(nonlinearity)'; there are linear, conv1d to conv3d, sigmoid, tanh, relu, leaky_relu, selu")
    }
  }

  static func fans(of tensor: Tensor, _ operation: String) throws -> (input: Int, output: Int) {
    guard tensor.rank >= 2 else {
      throw TensorError(.shape, operation, "at least 2 dimensions are needed to count connections, got shape \(tensor.shape)")
    }
    let field = tensor.shape.array.dropFirst(2).reduce(1, *)
    return (tensor.shape[1] * field, tensor.shape[0] * field)
  }
}

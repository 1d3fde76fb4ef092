// Means of a model's weights over training (stochastic weight averaging: Izmailov et al., 2018; exponential moving averages).

import Tensors

/// A copy of a model whose weights are a mean of the model's over training. Its parameters are named `module.…`.
public final class AveragedModel: Module {
  /// How a weight joins the mean of `count` weights before it.
  public typealias Average = (_ mean: Tensor, _ weight: Tensor, _ count: Int) throws -> Tensor

  /// The copy.
  public let module: Module
  /// How many weights each mean is of.
  public var count: Int { Int((try? counter.item().real) ?? 0) }
  private let counter: Tensor
  private let average: Average
  private let averagesBuffers: Bool

  /// Copies a model. Throws for one whose class is not the library's, see ``Module/copied()``.
  public init(_ model: Module, averagingBuffers: Bool = false, by average: @escaping Average = AveragedModel.mean) throws {
    module = try model.copied()
    counter = try Tensor.zeros([], dtype: .int64)
    self.average = average
    averagesBuffers = averagingBuffers
    super.init(kind: "AveragedModel", inputs: model.inputs)
  }

  /// The mean of all weights.
  public static let mean: @Sendable (Tensor, Tensor, Int) throws -> Tensor = { mean, weight, count in
    try mean + (weight - mean) / Double(count + 1)
  }

  /// The exponential moving average: what is kept of the mean at each update.
  public static func exponential(_ decay: Double = 0.999) -> Average {
    { mean, weight, _ in try mean * decay + weight * (1 - decay) }
  }

  public override var buffers: [(name: String, tensor: Tensor?)] { [("n_averaged", counter)] }
  public override var children: [(name: String, module: Module)] { [("module", module)] }
  public override func forward(_ inputs: [Tensor]) throws -> [Tensor] { try module(inputs) }
  public override func forward(_ x: Tensor) throws -> Tensor { try module(x) }
  public override func forward(_ a: Tensor, _ b: Tensor) throws -> Tensor { try module(a, b) }

  /// Takes a model's weights into the means; the first ones are copied. Throws where shapes differ.
  ///
  /// The mean of a frozen weight that is equal to it keeps every bit: a formula that rounds, as mean · decay + weight · (1 − decay) does,
  /// would let it drift. Where the weight was trained before, the mean goes on towards it.
  public func update(from model: Module) throws {
    try withNoGrad {
      let (means, weights) = (tensors(of: module, averagesBuffers), tensors(of: model, averagesBuffers))
      guard means.map(\.shape) == weights.map(\.shape) else {
        throw TensorError(.shape, "AveragedModel", "the model has other tensors than the one that was copied")
      }
      let count = count
      let moved = try zip(means, weights).map { mean, weight -> Tensor? in
        if count == 0 { return weight.detach() }
        if weight.isParameter, !weight.requiresGrad, try mean.detach().eq(weight.detach()).all().item().real != 0 { return nil }
        return try average(mean.detach(), weight.detach(), count)
      }
      for case (let mean, let value?) in zip(means, moved) { try mean.assign(value) }
      if !averagesBuffers {
        for (own, theirs) in zip(module.namedBuffers(), model.namedBuffers()) { try own.tensor.assign(theirs.tensor.detach()) }
      }
      try counter.assign(Tensor.filled([], .integer(Int64(count + 1)), dtype: .int64))
    }
  }

  private func tensors(of module: Module, _ withBuffers: Bool) -> [Tensor] {
    module.namedParameters().map(\.tensor) + (withBuffers ? module.namedBuffers().map(\.tensor) : [])
  }
}

// What a watch writes down while a model is trained: every so many steps, how large weights and updates are, whether updates turn, which
// units are dead, and how far the layers still do what they did.

import Tensors

/// What was seen of a model at one step of its optimizer.
public struct WatchRecord: Sendable {
  /// Of one parameter that was moved.
  public struct Update: Sendable {
    /// Its name when the watch began.
    public let name: String
    /// Its norm after the step, that of its gradient, and that of the step itself.
    public let norm: Double
    /// The norm of its gradient.
    public let gradientNorm: Double
    /// The norm of the step.
    public let update: Double
    /// The step's norm by that of the parameter after it; about 10⁻³ is usual.
    public var ratio: Double { norm > 0 ? update / norm : 0 }
    /// The cosine of the angle to the step before: 1 where both point the same way, −1 where it went back; nil where there is none.
    public let cosine: Double?
    /// Rows of a matrix of weights, units of a layer, without a gradient in this step; nil for vectors.
    public let deadUnits: Int?
  }
  /// Steps since the watch began.
  public let step: Int
  /// The parameters that were moved.
  public let updates: [Update]
  /// By layers, how much what they give resembles what they gave when the watch began: linear CKA, 1 for the same up to a rotation and a
  /// scale, near 0 for something else. Empty where the watch was given no input.
  public let similarities: [(layer: String, value: Double)]
}

/// What layers give for one input, to be compared with what they give later.
///
/// Linear centred kernel alignment: S. Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019.
struct LayerProbe {
  /// Products of all pairs of rows, centred, by the layers' names.
  private let grams: [(layer: String, gram: Tensor)]

  /// Takes the first tensor that each layer gave; those that have no rows, or other numbers of them than the input, are left out.
  init(_ outputs: [(layer: String, tensor: Tensor)]) throws {
    let rows = outputs.first?.tensor.shape.array.first
    grams = try withNoGrad {
      try outputs.compactMap { layer, tensor in
        guard tensor.rank > 1, tensor.shape[0] == rows, tensor.shape[0] > 1, tensor.count > 0, tensor.dtype.isFloating else { return nil }
        let x = try tensor.detach().to(.float64).reshape([tensor.shape[0], -1])
        let centred = try x - x.mean([0], keepdim: true)
        return (layer, try centred.mm(centred.transpose(0, 1)))
      }
    }
  }

  /// The alignment with what layers gave before, for those that are in both; nan where one of them gives the same for every row.
  func similarities(to before: LayerProbe) throws -> [(layer: String, value: Double)] {
    try withNoGrad {
      try grams.compactMap { layer, gram in
        guard let other = before.grams.first(where: { $0.layer == layer })?.gram, other.shape == gram.shape else { return nil }
        func product(_ a: Tensor, _ b: Tensor) throws -> Double { try (a * b).sum().item().real }
        let sizes = try product(gram, gram).squareRoot() * product(other, other).squareRoot()
        return (layer, try sizes > 0 ? min(1, product(gram, other) / sizes) : .nan)
      }
    }
  }
}

// Initial values of parameters, as torch.nn.init draws them. All write into the tensor, outside the graph.

import Tensors

/// Fills tensors with initial values.
public enum Initializer {
  /// Uniform between ±√3 · gain / √fan, for layers followed by a (leaky) ReLU (He et al., 2015).
  @discardableResult
  public static func kaimingUniform(_ tensor: Tensor, negativeSlope: Double = 0) throws -> Tensor {
    guard tensor.count > 0 else { return tensor }
    let gain = (2 / (1 + negativeSlope * negativeSlope)).squareRoot()
    let deviation = gain / Double(tensor.shape[1]).squareRoot()
    let bound = 3.0.squareRoot() * deviation
    return try withNoGrad { try tensor.uniform(from: -bound, to: bound) }
  }
}

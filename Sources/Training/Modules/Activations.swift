// Activations as modules: functions of one tensor, without parameters.

import Tensors

/// A function of one tensor with fixed options.
public final class Activation: Module {
  private let function: (Tensor) throws -> Tensor

  init(_ kind: String, _ function: @escaping (Tensor) throws -> Tensor) {
    self.function = function
    super.init(kind: kind)
  }

  public override func forward(_ x: Tensor) throws -> Tensor { try function(x) }

  public static func relu() -> Activation { Activation("ReLU") { try $0.relu() } }
}

extension Activation {
  static let kinds = [
    ModuleKind("ReLU", "The element where it is positive, else 0.", samples: [ModuleSample([], [.float(2, 3)])]) { _ in Activation.relu() }
  ]
}

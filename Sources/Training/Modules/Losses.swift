// Losses as modules of a prediction and a target.

import Tensors

/// A function of a prediction and a target with fixed options.
public final class Loss: Module {
  private let function: (Tensor, Tensor) throws -> Tensor

  init(_ kind: String, _ function: @escaping (Tensor, Tensor) throws -> Tensor) {
    self.function = function
    super.init(kind: kind)
  }

  public override var inputCount: Int { 2 }
  public override func forward(_ a: Tensor, _ b: Tensor) throws -> Tensor { try function(a, b) }

  public static func mse(reduction: Reduction = .mean) -> Loss {
    Loss("MSELoss") { try $0.mseLoss($1, reduction: reduction) }
  }
}

extension Loss {
  static let kinds = [
    ModuleKind(
      "MSELoss", "(input − target)², reduced.", [.init("reduction", .string, default: "\"mean\"")],
      samples: [ModuleSample([], [.float(2, 3), .float(2, 3)])]
    ) { Loss.mse(reduction: try reduction($0, 0)) }
  ]

  static func reduction(_ arguments: Arguments, _ position: Int) throws -> Reduction {
    let name = try arguments.string(position, default: "mean")
    guard let reduction = Reduction(rawValue: name) else {
      throw TensorError(.argument, arguments.operation, "reduction must be \"mean\", \"sum\" or \"none\", got \"\(name)\"")
    }
    return reduction
  }
}

// Calls of a model that only look: what they change on the way is put back.

import Tensors

extension Module {
  /// Runs `body`, and puts back flags, gradients, buffers, modes and the random stream. In it every parameter is trained where `trainsAll`
  /// says so, and where `evaluates` does, no module is in training.
  func undisturbed<R>(trainsAll: Bool = false, evaluates: Bool = false, _ body: () throws -> R) throws -> R {
    let parameters = namedParameters().map { (tensor: $0.tensor, wasTrained: $0.tensor.requiresGrad, gradient: $0.tensor.grad) }
    let buffers = try namedBuffers().map { (tensor: $0.tensor, copy: try $0.tensor.detach().copied()) }
    let modes = namedModules().map { (module: $0.module, isTraining: $0.module.isTraining) }
    let generator = Generator.current
    let random = generator.currentState
    if trainsAll {
      for parameter in parameters where parameter.tensor.dtype.isFloating { try parameter.tensor.setRequiresGrad(true) }
    }
    if evaluates { for (module, _) in modes { module.isTraining = false } }
    defer {
      for (tensor, wasTrained, gradient) in parameters where trainsAll {
        // Neither can fail: the flag was so before, and the gradient is the tensor's own.
        try? tensor.setRequiresGrad(wasTrained)
        try? tensor.setGrad(gradient)
      }
      for (tensor, copy) in buffers where tensor.shape == copy.shape { try? withNoGrad { _ = try tensor.copy(from: copy) } }
      for (module, isTraining) in modes where evaluates { module.isTraining = isTraining }
      generator.currentState = random
    }
    return try body()
  }
}

// Stochastic gradient descent, with momentum and Nesterov's variant.

import Tensors

/// p −= lr · g, where g may include weight decay and a running mean of past gradients.
struct SGDMethod: Method {
  let rate, decay, momentum, dampening: Double
  let nesterov, maximize: Bool

  init(_ options: Options) throws {
    (rate, decay, maximize) = try (options.rate, options.decay, options.maximize)
    (momentum, dampening) = try (options.number("momentum"), options.anyNumber("dampening"))
    nesterov = try options.boolean("nesterov")
    guard !nesterov || (momentum > 0 && dampening == 0) else {
      throw TensorError(
        .argument, options.method,
        "nesterov needs a momentum above 0 and no dampening, got momentum = \(pythonNumber(momentum)) and dampening = \(pythonNumber(dampening))"
      )
    }
  }

  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {
    let first = slot.moments[0] == nil
    let buffer = momentum == 0 ? nil : try group.moment(&slot, 0)
    try target.sgd(
      buffer, rate: rate, momentum: momentum, dampening: dampening, decay: decay, nesterov: nesterov, maximize: maximize, first: first)
  }

  static let kinds = [
    OptimizerKind(
      "SGD", "Stochastic gradient descent, with momentum and Nesterov's variant.", by: SGDMethod.self,
      [
        .rate(1e-3), .decay(0), .maximize, .fused, Option("momentum", .integer(0), "how much of the past gradients' mean is kept"),
        Option("dampening", .integer(0), "how much of the new gradient is left out of the mean"),
        Option("nesterov", .boolean(false), "look ahead along the mean (Nesterov)"),
      ], state: ["momentum_buffer"], countsSteps: false)
  ]
}

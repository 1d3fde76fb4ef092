// Stochastic gradient descent, with momentum and Nesterov's variant.

import CKernels
import Tensors

/// p −= lr · g, where g may include weight decay and a running mean of past gradients.
public final class SGD: Optimizer {
  private struct Settings {
    var rate, momentum, dampening, decay: Double
    var nesterov, maximize: Bool
  }

  @exclusivity(unchecked) private var settings: [Settings] = []

  override func configure(_ options: Options, group: Int) throws {
    let new = Settings(
      rate: try options.number("lr"), momentum: try options.number("momentum"), dampening: try options.anyNumber("dampening"),
      decay: try options.number("weight_decay"), nesterov: try options.boolean("nesterov"), maximize: try options.boolean("maximize"))
    guard !new.nesterov || (new.momentum > 0 && new.dampening == 0) else {
      throw TensorError(
        .argument, kind.name,
        "nesterov needs a momentum above 0 and no dampening, got momentum = \(pythonNumber(new.momentum)) and dampening = \(pythonNumber(new.dampening))"
      )
    }
    settings.put(new, at: group)
  }

  override func update(_ target: Target, _ slot: inout Slot, group: Int) throws {
    let set = settings[group]
    let first = slot.first == nil
    let buffer = set.momentum == 0 ? nil : try moment(&slot.first, slot.parameter)
    mg_sgd(
      target.dtype, target.count, target.parameter, target.gradient, buffer, set.rate, set.momentum, set.dampening, set.decay,
      set.nesterov, set.maximize, first)
  }

  static let kinds = [
    OptimizerKind(
      "SGD", "Stochastic gradient descent, with momentum and Nesterov's variant.",
      [
        .rate(1e-3), .decay(0), .maximize, .fused, Option("momentum", .number(0), "how much of the past gradients' mean is kept"),
        Option("dampening", .number(0), "how much of the new gradient is left out of the mean"),
        Option("nesterov", .boolean(false), "look ahead along the mean (Nesterov)"),
      ], state: ["momentum_buffer"], countsSteps: false
    ) { try SGD($0, $1) }
  ]
}

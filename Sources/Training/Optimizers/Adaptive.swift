// The methods that scale steps by the gradients' sizes without a mean of the gradients themselves: RMSprop, Adagrad
// and Adadelta.

import Tensors

/// p −= lr · g / (√v + eps) with a running mean v of the squared gradient, or of its variance when centered.
struct RMSpropMethod: Method {
  let rate, epsilon, decay, alpha, momentum: Double
  let centered, maximize: Bool

  init(_ options: Options) throws {
    (rate, epsilon, decay, maximize) = try (options.rate, options.epsilon, options.decay, options.maximize)
    (alpha, momentum, centered) = try (options.number("alpha"), options.number("momentum"), options.boolean("centered"))
  }

  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {
    let v = try group.moment(&slot, 0)
    let buffer = momentum > 0 ? try group.moment(&slot, 1) : nil
    let mean = centered ? try group.moment(&slot, 2) : nil
    try target.rmsprop(
      v, mean: mean, buffer, rate: rate, alpha: alpha, epsilon: epsilon, decay: decay, momentum: momentum, maximize: maximize)
  }

  static let kinds = [
    OptimizerKind(
      "RMSprop", "Steps divided by the root of a running mean of the squared gradient.", by: RMSpropMethod.self,
      [
        .rate(1e-2), .epsilon(1e-8), .decay(0), .maximize, .capturable,
        Option("alpha", .number(0.99), "how much of the mean of squares is kept at each step"),
        Option("momentum", .integer(0), "how much of the past steps is kept"),
        Option("centered", .boolean(false), "divide by the root of the variance instead"),
      ], state: ["square_avg", "momentum_buffer", "grad_avg"])
  ]
}

/// p −= lr · g / (√s + eps) with the sum s of all squared gradients so far (Duchi et al., 2011).
struct AdagradMethod: Method {
  let rate, epsilon, decay, rateDecay, start: Double
  let maximize: Bool

  init(_ options: Options) throws {
    (rate, epsilon, decay, maximize) = try (options.rate, options.epsilon, options.decay, options.maximize)
    (rateDecay, start) = try (options.number("lr_decay"), options.number("initial_accumulator_value"))
  }

  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {
    let sum = try group.moment(&slot, 0, filledWith: start)
    try target.adagrad(
      sum, rate: rate / (1 + Double(slot.steps - 1) * rateDecay), epsilon: epsilon, decay: decay, maximize: maximize)
  }

  static let kinds = [
    OptimizerKind(
      "Adagrad", "Steps divided by the root of the sum of all squared gradients so far.", by: AdagradMethod.self,
      [
        .rate(1e-2), .epsilon(1e-10), .decay(0), .maximize, .fused,
        Option("lr_decay", .integer(0), "the learning rate is divided by 1 + lr_decay · steps"),
        Option("initial_accumulator_value", .integer(0), "what the sum of squares starts with"),
      ], state: ["sum"])
  ]
}

/// Steps as long as recent steps were, relative to recent gradients, so that the learning rate is near 1 (Zeiler, 2012).
struct AdadeltaMethod: Method {
  let rate, epsilon, decay, rho: Double
  let maximize: Bool

  init(_ options: Options) throws {
    (rate, epsilon, decay, maximize) = try (options.rate, options.epsilon, options.decay, options.maximize)
    rho = try options.number("rho", atMost: 1)
  }

  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {
    let v = try group.moment(&slot, 0)
    let deltas = try group.moment(&slot, 1)
    try target.adadelta(v, deltas, rate: rate, rho: rho, epsilon: epsilon, decay: decay, maximize: maximize)
  }

  static let kinds = [
    OptimizerKind(
      "Adadelta", "Steps as long as recent steps were, relative to recent gradients.", by: AdadeltaMethod.self,
      [
        .rate(1), .epsilon(1e-6), .decay(0), .maximize, .capturable,
        Option("rho", .number(0.9), "how much of the means of squares is kept at each step"),
      ], state: ["square_avg", "acc_delta"])
  ]
}

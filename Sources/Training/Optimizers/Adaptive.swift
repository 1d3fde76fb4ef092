// The methods that scale steps by the gradients' sizes without a mean of the gradients themselves: RMSprop, Adagrad
// and Adadelta.

import CKernels
import Tensors

/// p −= lr · g / (√v + eps) with a running mean v of the squared gradient, or of its variance when centered.
public final class RMSprop: Optimizer {
  private struct Settings {
    var rate, alpha, epsilon, decay, momentum: Double
    var centered, maximize: Bool
  }

  @exclusivity(unchecked) private var settings: [Settings] = []

  override func configure(_ options: Options, group: Int) throws {
    settings.put(
      Settings(
        rate: try options.number("lr"), alpha: try options.number("alpha"), epsilon: try options.number("eps"),
        decay: try options.number("weight_decay"), momentum: try options.number("momentum"),
        centered: try options.boolean("centered"), maximize: try options.boolean("maximize")), at: group)
  }

  override func update(_ target: Target, _ slot: inout Slot, group: Int) throws {
    let set = settings[group]
    let v = try moment(&slot.first, slot.parameter)
    let buffer = set.momentum > 0 ? try moment(&slot.second, slot.parameter) : nil
    let mean = set.centered ? try moment(&slot.third, slot.parameter) : nil
    mg_rmsprop(
      target.dtype, target.count, target.parameter, target.gradient, v, mean, buffer, set.rate, set.alpha, set.epsilon, set.decay,
      set.momentum, set.maximize)
  }

  static let kinds = [
    OptimizerKind(
      "RMSprop", "Steps divided by the root of a running mean of the squared gradient.",
      [
        .rate(1e-2), .epsilon(1e-8), .decay(0), .maximize, .capturable,
        Option("alpha", .number(0.99), "how much of the mean of squares is kept at each step"),
        Option("momentum", .number(0), "how much of the past steps is kept"),
        Option("centered", .boolean(false), "divide by the root of the variance instead"),
      ], state: ["square_avg", "momentum_buffer", "grad_avg"]
    ) { try RMSprop($0, $1) }
  ]
}

/// p −= lr · g / (√s + eps) with the sum s of all squared gradients so far (Duchi et al., 2011).
public final class Adagrad: Optimizer {
  private struct Settings {
    var rate, rateDecay, epsilon, decay, start: Double
    var maximize: Bool
  }

  @exclusivity(unchecked) private var settings: [Settings] = []

  override func configure(_ options: Options, group: Int) throws {
    settings.put(
      Settings(
        rate: try options.number("lr"), rateDecay: try options.number("lr_decay"), epsilon: try options.number("eps"),
        decay: try options.number("weight_decay"), start: try options.number("initial_accumulator_value"),
        maximize: try options.boolean("maximize")), at: group)
  }

  override func update(_ target: Target, _ slot: inout Slot, group: Int) throws {
    let set = settings[group]
    let sum = try moment(&slot.first, slot.parameter, filledWith: set.start)
    mg_adagrad(
      target.dtype, target.count, target.parameter, target.gradient, sum, set.rate / (1 + Double(slot.steps - 1) * set.rateDecay),
      set.epsilon, set.decay, set.maximize)
  }

  static let kinds = [
    OptimizerKind(
      "Adagrad", "Steps divided by the root of the sum of all squared gradients so far.",
      [
        .rate(1e-2), .epsilon(1e-10), .decay(0), .maximize, .fused,
        Option("lr_decay", .number(0), "the learning rate is divided by 1 + lr_decay · steps"),
        Option("initial_accumulator_value", .number(0), "what the sum of squares starts with"),
      ], state: ["sum"]
    ) { try Adagrad($0, $1) }
  ]
}

/// Steps as long as recent steps were, relative to recent gradients, so that the learning rate is near 1 (Zeiler, 2012).
public final class Adadelta: Optimizer {
  private struct Settings {
    var rate, rho, epsilon, decay: Double
    var maximize: Bool
  }

  @exclusivity(unchecked) private var settings: [Settings] = []

  override func configure(_ options: Options, group: Int) throws {
    settings.put(
      Settings(
        rate: try options.number("lr"), rho: try options.number("rho", atMost: 1), epsilon: try options.number("eps"),
        decay: try options.number("weight_decay"), maximize: try options.boolean("maximize")), at: group)
  }

  override func update(_ target: Target, _ slot: inout Slot, group: Int) throws {
    let set = settings[group]
    let v = try moment(&slot.first, slot.parameter)
    let deltas = try moment(&slot.second, slot.parameter)
    mg_adadelta(
      target.dtype, target.count, target.parameter, target.gradient, v, deltas, set.rate, set.rho, set.epsilon, set.decay, set.maximize)
  }

  static let kinds = [
    OptimizerKind(
      "Adadelta", "Steps as long as recent steps were, relative to recent gradients.",
      [
        .rate(1), .epsilon(1e-6), .decay(0), .maximize, .capturable,
        Option("rho", .number(0.9), "how much of the means of squares is kept at each step"),
      ], state: ["square_avg", "acc_delta"]
    ) { try Adadelta($0, $1) }
  ]
}

// Optimizers as types of Swift's: `SGD(net, lr: 0.1)`. What an option is says the kind; here are their names in Swift. Those
// that only choose among PyTorch's implementations go by name, through `options`.

import Tensors

/// What has parameters to train: a module with all that is in it, or a list of tensors.
public protocol Trainable {
  /// In order, each once.
  var trainedParameters: [Tensor] { get }
}

extension Module: Trainable {
  /// All parameters of the module and of those within it, frozen ones too.
  public final var trainedParameters: [Tensor] { namedParameters().map(\.tensor) }
}

extension [Tensor]: Trainable {
  /// The tensors themselves.
  public var trainedParameters: [Tensor] { self }
}

extension Optimizer {
  /// The kind of that name, with the options that are given and those that go by name over them.
  fileprivate convenience init(
    _ name: String, _ parameters: any Trainable, _ given: [String: OptionValue], _ options: [String: OptionValue]
  ) throws {
    guard let kind = OptimizerCatalogue.kind(named: name) else { preconditionFailure("there is no optimizer \(name)") }
    // A whole number stays one where it says the same, as it prints so.
    let own = given.filter { option in
      let standard = kind.options.first { $0.name == option.key }?.default
      return option.value.numbers.contains(nil) || option.value.numbers != standard?.numbers
    }
    try self.init(kind, own.merging(options) { $1 })
    try addGroup(parameters.trainedParameters)
  }
}

extension OptionValue {
  /// Its numbers, nil for what is none.
  fileprivate var numbers: [Double?] { parts?.map(\.number) ?? [number] }
}

/// Stochastic gradient descent, with momentum and Nesterov's variant.
public final class SGD: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-3, momentum: Double = 0, dampening: Double = 0, weightDecay: Double = 0,
    nesterov: Bool = false, maximize: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "SGD", parameters,
      [
        "lr": .number(lr), "momentum": .number(momentum), "dampening": .number(dampening), "weight_decay": .number(weightDecay),
        "nesterov": .boolean(nesterov), "maximize": .boolean(maximize),
      ], options)
  }
}

/// Running means of the gradient and of its square, corrected for their start at 0 (Kingma and Ba, 2015).
public final class Adam: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999), eps: Double = 1e-8, weightDecay: Double = 0,
    amsgrad: Bool = false, maximize: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "Adam", parameters,
      [
        "lr": .number(lr), "betas": .pair(betas.0, betas.1), "eps": .number(eps), "weight_decay": .number(weightDecay),
        "amsgrad": .boolean(amsgrad), "maximize": .boolean(maximize),
      ], options)
  }
}

/// Adam whose weight decay is apart from the gradient (Loshchilov and Hutter, 2019).
public final class AdamW: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999), eps: Double = 1e-8, weightDecay: Double = 0.01,
    amsgrad: Bool = false, maximize: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "AdamW", parameters,
      [
        "lr": .number(lr), "betas": .pair(betas.0, betas.1), "eps": .number(eps), "weight_decay": .number(weightDecay),
        "amsgrad": .boolean(amsgrad), "maximize": .boolean(maximize),
      ], options)
  }
}

/// Adam on Nesterov's terms: the step looks ahead along the mean (Dozat, 2016).
public final class NAdam: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 2e-3, betas: (Double, Double) = (0.9, 0.999), eps: Double = 1e-8, weightDecay: Double = 0,
    momentumDecay: Double = 4e-3, decoupledWeightDecay: Bool = false, maximize: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "NAdam", parameters,
      [
        "lr": .number(lr), "betas": .pair(betas.0, betas.1), "eps": .number(eps), "weight_decay": .number(weightDecay),
        "momentum_decay": .number(momentumDecay), "decoupled_weight_decay": .boolean(decoupledWeightDecay), "maximize": .boolean(maximize),
      ], options)
  }
}

/// Adam that steps by the mean alone until its divisor can be trusted (Liu et al., 2020).
public final class RAdam: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999), eps: Double = 1e-8, weightDecay: Double = 0,
    decoupledWeightDecay: Bool = false, maximize: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "RAdam", parameters,
      [
        "lr": .number(lr), "betas": .pair(betas.0, betas.1), "eps": .number(eps), "weight_decay": .number(weightDecay),
        "decoupled_weight_decay": .boolean(decoupledWeightDecay), "maximize": .boolean(maximize),
      ], options)
  }
}

/// Adam with the largest recent gradient in place of the mean of squares (Kingma and Ba, 2015).
public final class Adamax: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 2e-3, betas: (Double, Double) = (0.9, 0.999), eps: Double = 1e-8, weightDecay: Double = 0,
    maximize: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "Adamax", parameters,
      [
        "lr": .number(lr), "betas": .pair(betas.0, betas.1), "eps": .number(eps), "weight_decay": .number(weightDecay),
        "maximize": .boolean(maximize),
      ], options)
  }
}

/// Steps divided by the root of a running mean of the squared gradient.
public final class RMSprop: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-2, alpha: Double = 0.99, eps: Double = 1e-8, weightDecay: Double = 0, momentum: Double = 0,
    centered: Bool = false, maximize: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "RMSprop", parameters,
      [
        "lr": .number(lr), "alpha": .number(alpha), "eps": .number(eps), "weight_decay": .number(weightDecay),
        "momentum": .number(momentum), "centered": .boolean(centered), "maximize": .boolean(maximize),
      ], options)
  }
}

/// Steps divided by the root of the sum of all squared gradients so far (Duchi et al., 2011).
public final class Adagrad: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-2, lrDecay: Double = 0, weightDecay: Double = 0, initialAccumulatorValue: Double = 0,
    eps: Double = 1e-10, maximize: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "Adagrad", parameters,
      [
        "lr": .number(lr), "lr_decay": .number(lrDecay), "weight_decay": .number(weightDecay),
        "initial_accumulator_value": .number(initialAccumulatorValue), "eps": .number(eps), "maximize": .boolean(maximize),
      ], options)
  }
}

/// Steps as long as recent steps were, relative to recent gradients, so that the rate is near 1 (Zeiler, 2012).
public final class Adadelta: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1, rho: Double = 0.9, eps: Double = 1e-6, weightDecay: Double = 0, maximize: Bool = false,
    options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "Adadelta", parameters,
      ["lr": .number(lr), "rho": .number(rho), "eps": .number(eps), "weight_decay": .number(weightDecay), "maximize": .boolean(maximize)],
      options)
  }
}

/// Stochastic gradient descent that keeps the mean of the parameters in its state, as `ax` (Polyak and Juditsky, 1992).
public final class ASGD: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-2, lambd: Double = 1e-4, alpha: Double = 0.75, t0: Double = 1e6, weightDecay: Double = 0,
    maximize: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "ASGD", parameters,
      [
        "lr": .number(lr), "lambd": .number(lambd), "alpha": .number(alpha), "t0": .number(t0), "weight_decay": .number(weightDecay),
        "maximize": .boolean(maximize),
      ], options)
  }
}

/// Steps by the gradient's sign alone: longer while it stays, shorter when it turns; for whole batches (Riedmiller and Braun, 1993).
public final class Rprop: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-2, etas: (Double, Double) = (0.5, 1.2), stepSizes: (Double, Double) = (1e-6, 50),
    maximize: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "Rprop", parameters,
      ["lr": .number(lr), "etas": .pair(etas.0, etas.1), "step_sizes": .pair(stepSizes.0, stepSizes.1), "maximize": .boolean(maximize)],
      options)
  }
}

/// Adam's divisor from mean squares of rows and columns alone; for parameters that are large (Shazeer and Stern, 2018).
public final class Adafactor: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-2, beta2Decay: Double = -0.8, eps: (Double?, Double) = (nil, 1e-3), d: Double = 1,
    weightDecay: Double = 0, maximize: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "Adafactor", parameters,
      [
        "lr": .number(lr), "beta2_decay": .number(beta2Decay), "eps": .tuple([eps.0.map { .number($0) } ?? .none, .number(eps.1)]),
        "d": .number(d), "weight_decay": .number(weightDecay), "maximize": .boolean(maximize),
      ], options)
  }
}

/// Momentum made orthogonal before each step; for the weight matrices of hidden layers (Jordan, 2024).
public final class Muon: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-3, weightDecay: Double = 0.1, momentum: Double = 0.95, nesterov: Bool = true,
    nsCoefficients: (Double, Double, Double) = (3.4445, -4.775, 2.0315), eps: Double = 1e-7, nsSteps: Int = 5, adjustLR: String? = nil,
    options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "Muon", parameters,
      [
        "lr": .number(lr), "weight_decay": .number(weightDecay), "momentum": .number(momentum), "nesterov": .boolean(nesterov),
        "ns_coefficients": .tuple([.number(nsCoefficients.0), .number(nsCoefficients.1), .number(nsCoefficients.2)]), "eps": .number(eps),
        "ns_steps": .integer(nsSteps), "adjust_lr_fn": adjustLR.map { .text($0) } ?? .none,
      ], options)
  }
}

/// Steps by the curvature that past steps have seen. ``Optimizer/step(_:)`` takes a closure that computes the loss, and runs it several times.
public final class LBFGS: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1, maxIterations: Int = 20, maxEvaluations: Int? = nil, toleranceGrad: Double = 1e-7,
    toleranceChange: Double = 1e-9, historySize: Int = 100, lineSearch: String? = nil, maximize: Bool = false,
    options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "LBFGS", parameters,
      [
        "lr": .number(lr), "max_iter": .integer(maxIterations), "max_eval": maxEvaluations.map { .integer($0) } ?? .none,
        "tolerance_grad": .number(toleranceGrad), "tolerance_change": .number(toleranceChange), "history_size": .integer(historySize),
        "line_search_fn": lineSearch.map { .text($0) } ?? .none, "maximize": .boolean(maximize),
      ], options)
  }
}

// Optimizers as types of Swift's: `SGD(net, lr: 0.1)`. What an option is says the kind; here are the names of those that are changed most,
// and only what differs from the default reaches it. Others go by name, through `options`.

import Tensors

/// What has parameters to train: a module with all that is in it, or a list of tensors.
public protocol Trainable {
  /// In order, each once.
  var trainedParameters: [Tensor] { get }
}

extension Module: Trainable {
  public final var trainedParameters: [Tensor] { namedParameters().map(\.tensor) }
}

extension [Tensor]: Trainable {
  public var trainedParameters: [Tensor] { self }
}

extension Optimizer {
  /// The kind of that name, with the options that are given and those that go by name over them.
  fileprivate convenience init(
    _ name: String, _ parameters: any Trainable, _ given: [String: OptionValue?], _ options: [String: OptionValue]
  ) throws {
    guard let kind = OptimizerCatalogue.kind(named: name) else { preconditionFailure("there is no optimizer \(name)") }
    try self.init(kind, given.compactMapValues { $0 }.merging(options) { $1 })
    try addGroup(parameters.trainedParameters)
  }
}

/// Stochastic gradient descent, with momentum and Nesterov's variant.
public final class SGD: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-3, momentum: Double = 0, weightDecay: Double = 0, nesterov: Bool = false,
    options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "SGD", parameters,
      [
        "lr": .number(lr), "momentum": momentum == 0 ? nil : .number(momentum),
        "weight_decay": weightDecay == 0 ? nil : .number(weightDecay),
        "nesterov": .boolean(nesterov),
      ], options)
  }
}

/// Running means of the gradient and of its square, corrected for their start at 0 (Kingma and Ba, 2015).
public final class Adam: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999), eps: Double = 1e-8, weightDecay: Double = 0,
    amsgrad: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "Adam", parameters,
      [
        "lr": .number(lr), "betas": .pair(betas.0, betas.1), "eps": .number(eps),
        "weight_decay": weightDecay == 0 ? nil : .number(weightDecay),
        "amsgrad": .boolean(amsgrad),
      ], options)
  }
}

/// Adam whose weight decay is apart from the gradient (Loshchilov and Hutter, 2019).
public final class AdamW: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999), eps: Double = 1e-8, weightDecay: Double = 0.01,
    amsgrad: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "AdamW", parameters,
      [
        "lr": .number(lr), "betas": .pair(betas.0, betas.1), "eps": .number(eps), "weight_decay": .number(weightDecay),
        "amsgrad": .boolean(amsgrad),
      ], options)
  }
}

/// Steps divided by the root of a running mean of the squared gradient.
public final class RMSprop: Optimizer {
  /// Throws for impossible options, and for no parameters.
  public convenience init(
    _ parameters: any Trainable, lr: Double = 1e-2, alpha: Double = 0.99, eps: Double = 1e-8, weightDecay: Double = 0, momentum: Double = 0,
    centered: Bool = false, options: [String: OptionValue] = [:]
  ) throws {
    try self.init(
      "RMSprop", parameters,
      [
        "lr": .number(lr), "alpha": .number(alpha), "eps": .number(eps), "weight_decay": weightDecay == 0 ? nil : .number(weightDecay),
        "momentum": momentum == 0 ? nil : .number(momentum), "centered": .boolean(centered),
      ], options)
  }
}

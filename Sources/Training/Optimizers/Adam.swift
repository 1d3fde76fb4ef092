// Adam and its kin: AdamW, NAdam, RAdam and Adamax.

import Glibc
import Tensors

/// p −= lr · m̂ / (√v̂ + eps), with running means m of the gradient and v of its square, corrected for their start at 0
/// (Kingma and Ba, 2015). Decoupled weight decay shrinks the parameter itself (AdamW: Loshchilov and Hutter, 2019).
struct AdamMethod: Method {
  let rate, beta1, beta2, epsilon, decay: Double
  let amsgrad, decoupled, maximize: Bool

  init(_ options: Options) throws {
    (rate, epsilon, decay, maximize) = try (options.rate, options.epsilon, options.decay, options.maximize)
    (beta1, beta2) = try options.betas
    (amsgrad, decoupled) = try (options.boolean("amsgrad"), options.isDecoupled)
  }

  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {
    let m = try group.moment(&slot, 0)
    let v = try group.moment(&slot, 1)
    let largest = amsgrad ? try group.moment(&slot, 2) : nil
    try target.adam(
      m, v, largest, step: slot.steps, rate: rate, betas: (beta1, beta2), epsilon: epsilon, decay: decay, decoupled: decoupled,
      maximize: maximize)
  }

  private static func kind(_ name: String, _ summary: String, decay: Double, decoupled: Bool) -> OptimizerKind {
    OptimizerKind(
      name, summary, by: AdamMethod.self,
      [
        .rate(1e-3), .betas, .epsilon(1e-8), .decay(decay), .decoupled(decoupled), .maximize, .capturable, .fused,
        Option("amsgrad", .boolean(false), "divide by the largest mean of squares so far (AMSGrad)"),
      ], state: ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"])
  }

  static let kinds = [
    kind("Adam", "Steps scaled by running means of the gradient and of its square.", decay: 0, decoupled: false),
    kind("AdamW", "Adam with weight decay that shrinks the parameter itself.", decay: 0.01, decoupled: true),
  ]
}

/// Adam on Nesterov's terms: the step looks ahead along the mean (Dozat, 2016).
struct NAdamMethod: Method {
  let rate, beta1, beta2, epsilon, decay, momentumDecay: Double
  let decoupled, maximize: Bool

  init(_ options: Options) throws {
    (rate, epsilon, decay, maximize) = try (options.rate, options.epsilon, options.decay, options.maximize)
    (beta1, beta2) = try options.betas
    (momentumDecay, decoupled) = try (options.number("momentum_decay"), options.isDecoupled)
  }

  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {
    let m = try group.moment(&slot, 0)
    let v = try group.moment(&slot, 1)
    let step = Double(slot.steps)
    // The momentum rises towards beta1; `number` is the product of those so far, kept in float32 as PyTorch keeps it.
    let momentum = beta1 * (1 - 0.5 * pow(0.96, step * momentumDecay))
    let next = beta1 * (1 - 0.5 * pow(0.96, (step + 1) * momentumDecay))
    let product = Double(Float(slot.numbers[0]) * Float(momentum))
    try target.nadam(
      m, v, step: slot.steps, gradientRate: rate * (1 - momentum) / (1 - product),
      meanRate: rate * next / (1 - product * next), betas: (beta1, beta2), epsilon: epsilon, decay: decoupled ? 0 : decay,
      shrink: decoupled ? 1 - rate * decay : 1, maximize: maximize)
    slot.numbers[0] = product
  }

  static let kinds = [
    OptimizerKind(
      "NAdam", "Adam whose step looks ahead along the mean, as Nesterov's momentum does.", by: NAdamMethod.self,
      [
        .rate(2e-3), .betas, .epsilon(1e-8), .decay(0), .decoupled(false), .maximize, .capturable,
        Option("momentum_decay", .number(4e-3), "how fast the momentum rises to its full value"),
      ], state: ["exp_avg", "exp_avg_sq"], numbers: [("mu_product", 1)])
  ]
}

/// Adam that steps by the mean alone until its divisor can be trusted (rectified Adam: Liu et al., 2020).
struct RAdamMethod: Method {
  let rate, beta1, beta2, epsilon, decay: Double
  let decoupled, maximize: Bool

  init(_ options: Options) throws {
    (rate, epsilon, decay, maximize) = try (options.rate, options.epsilon, options.decay, options.maximize)
    (beta1, beta2) = try options.betas
    decoupled = try options.isDecoupled
  }

  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {
    let m = try group.moment(&slot, 0)
    let v = try group.moment(&slot, 1)
    let step = Double(slot.steps)
    let correction = 1 - pow(beta2, step)
    let most = 2 / (1 - beta2) - 1
    let terms = most - 2 * step * pow(beta2, step) / correction
    // What the divisor is worth; nil while it is not to be trusted.
    let trust = terms > 5 ? sqrt((terms - 4) * (terms - 2) * most / ((most - 4) * (most - 2) * terms)) : nil
    try target.radam(
      m, v, rate: rate, correction: 1 - pow(beta1, step), root: sqrt(correction), trust: trust, betas: (beta1, beta2), epsilon: epsilon,
      decay: decoupled ? 0 : decay, shrink: decoupled ? 1 - rate * decay : 1, maximize: maximize)
  }

  static let kinds = [
    OptimizerKind(
      "RAdam", "Adam that steps by the mean alone until its divisor can be trusted.", by: RAdamMethod.self,
      [.rate(1e-3), .betas, .epsilon(1e-8), .decay(0), .decoupled(false), .maximize, .capturable], state: ["exp_avg", "exp_avg_sq"])
  ]
}

/// Adam with the largest recent gradient in place of the mean of squares (Kingma and Ba, 2015).
struct AdamaxMethod: Method {
  let rate, beta1, beta2, epsilon, decay: Double
  let maximize: Bool

  init(_ options: Options) throws {
    (rate, epsilon, decay, maximize) = try (options.rate, options.epsilon, options.decay, options.maximize)
    (beta1, beta2) = try options.betas
  }

  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {
    let m = try group.moment(&slot, 0)
    let norm = try group.moment(&slot, 1)
    try target.adamax(
      m, norm, step: slot.steps, rate: rate, betas: (beta1, beta2), epsilon: epsilon, decay: decay, maximize: maximize)
  }

  static let kinds = [
    OptimizerKind(
      "Adamax", "Adam with the largest recent gradient in place of the mean of squares.", by: AdamaxMethod.self,
      [.rate(2e-3), .betas, .epsilon(1e-8), .decay(0), .maximize, .capturable], state: ["exp_avg", "exp_inf"])
  ]
}

// Adam and AdamW.

import CKernels
import Glibc
import Tensors

/// p −= lr · m̂ / (√v̂ + eps), with running means m of the gradient and v of its square, corrected for their start at 0
/// (Kingma and Ba, 2015). Decoupled weight decay shrinks the parameter itself (AdamW: Loshchilov and Hutter, 2019).
public final class Adam: Optimizer {
  private struct Settings {
    var rate, beta1, beta2, epsilon, decay: Double
    var amsgrad, decoupled, maximize: Bool
  }

  @exclusivity(unchecked) private var settings: [Settings] = []

  override func configure(_ options: Options, group: Int) throws {
    let (beta1, beta2) = try options.fractions("betas")
    settings.put(
      Settings(
        rate: try options.number("lr"), beta1: beta1, beta2: beta2, epsilon: try options.number("eps"),
        decay: try options.number("weight_decay"), amsgrad: try options.boolean("amsgrad"),
        decoupled: try options.boolean("decoupled_weight_decay"), maximize: try options.boolean("maximize")), at: group)
  }

  override func update(_ target: Target, _ slot: inout Slot, group: Int) throws {
    let set = settings[group]
    let m = try moment(&slot.first, slot.parameter)
    let v = try moment(&slot.second, slot.parameter)
    let largest = set.amsgrad ? try moment(&slot.third, slot.parameter) : nil
    mg_adam(
      target.dtype, target.count, target.parameter, target.gradient, m, v, largest, Int64(slot.steps), set.rate, set.beta1, set.beta2,
      set.epsilon, set.decay, set.decoupled, set.maximize)
  }

  private static func declaration(_ name: String, _ summary: String, decay: Double, decoupled: Bool) -> OptimizerKind {
    OptimizerKind(
      name, summary,
      [
        .rate(1e-3), .betas, .epsilon(1e-8), .decay(decay), .maximize, .capturable, .fused,
        Option("amsgrad", .boolean(false), "divide by the largest mean of squares so far (AMSGrad)"),
        Option("decoupled_weight_decay", .boolean(decoupled), "let weight decay shrink the parameter instead of joining its gradient"),
      ], state: ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]
    ) { try Adam($0, $1) }
  }

  static let kinds = [
    declaration("Adam", "Steps scaled by running means of the gradient and of its square.", decay: 0, decoupled: false),
    declaration("AdamW", "Adam with weight decay that shrinks the parameter itself.", decay: 0.01, decoupled: true),
  ]
}

/// Adam on Nesterov's terms: the step looks ahead along the mean (Dozat, 2016).
public final class NAdam: Optimizer {
  private struct Settings {
    var rate, beta1, beta2, epsilon, decay, momentumDecay: Double
    var decoupled, maximize: Bool
  }

  @exclusivity(unchecked) private var settings: [Settings] = []

  override func configure(_ options: Options, group: Int) throws {
    let (beta1, beta2) = try options.fractions("betas")
    settings.put(
      Settings(
        rate: try options.number("lr"), beta1: beta1, beta2: beta2, epsilon: try options.number("eps"),
        decay: try options.number("weight_decay"), momentumDecay: try options.number("momentum_decay"),
        decoupled: try options.boolean("decoupled_weight_decay"), maximize: try options.boolean("maximize")), at: group)
  }

  override func update(_ target: Target, _ slot: inout Slot, group: Int) throws {
    let set = settings[group]
    let m = try moment(&slot.first, slot.parameter)
    let v = try moment(&slot.second, slot.parameter)
    let step = Double(slot.steps)
    // The momentum rises towards beta1; `number` is the product of those so far, kept in float32 as PyTorch keeps it.
    let momentum = set.beta1 * (1 - 0.5 * pow(0.96, step * set.momentumDecay))
    let next = set.beta1 * (1 - 0.5 * pow(0.96, (step + 1) * set.momentumDecay))
    slot.number = Double(Float(slot.number) * Float(momentum))
    mg_nadam(
      target.dtype, target.count, target.parameter, target.gradient, m, v, Int64(slot.steps),
      set.rate * (1 - momentum) / (1 - slot.number), set.rate * next / (1 - slot.number * next), set.beta1, set.beta2, set.epsilon,
      set.decoupled ? 0 : set.decay, set.decoupled ? 1 - set.rate * set.decay : 1, set.maximize)
  }

  static let kinds = [
    OptimizerKind(
      "NAdam", "Adam whose step looks ahead along the mean, as Nesterov's momentum does.",
      [
        .rate(2e-3), .betas, .epsilon(1e-8), .decay(0), .maximize, .capturable,
        Option("momentum_decay", .number(4e-3), "how fast the momentum rises to its full value"),
        Option("decoupled_weight_decay", .boolean(false), "let weight decay shrink the parameter instead of joining its gradient"),
      ], state: ["exp_avg", "exp_avg_sq"], number: "mu_product"
    ) { try NAdam($0, $1) }
  ]
}

/// Adam with the largest recent gradient in place of the mean of squares (Kingma and Ba, 2015).
public final class Adamax: Optimizer {
  private struct Settings {
    var rate, beta1, beta2, epsilon, decay: Double
    var maximize: Bool
  }

  @exclusivity(unchecked) private var settings: [Settings] = []

  override func configure(_ options: Options, group: Int) throws {
    let (beta1, beta2) = try options.fractions("betas")
    settings.put(
      Settings(
        rate: try options.number("lr"), beta1: beta1, beta2: beta2, epsilon: try options.number("eps"),
        decay: try options.number("weight_decay"), maximize: try options.boolean("maximize")), at: group)
  }

  override func update(_ target: Target, _ slot: inout Slot, group: Int) throws {
    let set = settings[group]
    let m = try moment(&slot.first, slot.parameter)
    let norm = try moment(&slot.second, slot.parameter)
    mg_adamax(
      target.dtype, target.count, target.parameter, target.gradient, m, norm, Int64(slot.steps), set.rate, set.beta1, set.beta2,
      set.epsilon, set.decay, set.maximize)
  }

  static let kinds = [
    OptimizerKind(
      "Adamax", "Adam with the largest recent gradient in place of the mean of squares.",
      [.rate(2e-3), .betas, .epsilon(1e-8), .decay(0), .maximize, .capturable], state: ["exp_avg", "exp_inf"]
    ) { try Adamax($0, $1) }
  ]
}

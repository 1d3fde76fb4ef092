// The methods that keep no running mean for a divisor: ASGD, which averages the parameters, and Rprop, which goes by signs.

import Glibc
import Tensors

/// Stochastic gradient descent with a rate that falls, and the mean of all parameters so far (Polyak and Juditsky, 1992).
struct ASGDMethod: Method {
  let rate, decay, lambda, alpha, start: Double
  let maximize: Bool

  init(_ options: Options) throws {
    (rate, decay, maximize) = try (options.rate, options.decay, options.maximize)
    (lambda, alpha, start) = try (options.number("lambd"), options.number("alpha"), options.anyNumber("t0"))
  }

  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {
    let mean = try group.moment(&slot, 0)
    // eta and mu are kept in float32, as PyTorch keeps them.
    let eta = slot.steps == 1 ? Double(Float(rate)) : slot.numbers[0]
    try target.asgd(mean, rate: eta, decay: decay, shrink: 1 - lambda * eta, weight: slot.numbers[1], maximize: maximize)
    let step = Double(slot.steps)
    slot.numbers[0] = Double(Float(rate / pow(1 + lambda * rate * step, alpha)))
    slot.numbers[1] = Double(Float(1 / max(1, step - start)))
  }

  static let kinds = [
    OptimizerKind(
      "ASGD", "Stochastic gradient descent that keeps the mean of the parameters in its state, as `ax`.", by: ASGDMethod.self,
      [
        .rate(1e-2), .decay(0), .maximize, .capturable,
        Option("lambd", .number(1e-4), "how fast the rate falls, and the parameters shrink"),
        Option("alpha", .number(0.75), "the power by which the rate falls"),
        Option("t0", .number(1e6), "the step after which the mean is taken"),
      ], state: ["ax"], numbers: [("eta", 0), ("mu", 1)])
  ]
}

/// Steps by the gradient's sign alone: longer while it stays, shorter when it turns (Riedmiller and Braun, 1993).
struct RpropMethod: Method {
  let rate, shorter, longer, least, most: Double
  let maximize: Bool

  init(_ options: Options) throws {
    (rate, maximize) = try (options.rate, options.maximize)
    let factors = try options.numbers("etas", "two numbers, one between 0 and 1 and one above 1") {
      $0.count == 2 && ($0[0].map { $0 > 0 && $0 < 1 } ?? false) && ($0[1].map { $0 > 1 } ?? false)
    }
    let sizes = try options.numbers("step_sizes", "the shortest and the longest step, two numbers that are not negative") {
      $0.count == 2 && $0.allSatisfy { $0.map { $0 >= 0 } ?? false } && $0[0]! <= $0[1]!
    }
    (shorter, longer, least, most) = (factors[0] ?? 0, factors[1] ?? 0, sizes[0] ?? 0, sizes[1] ?? 0)
  }

  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {
    let previous = try group.moment(&slot, 0)
    let sizes = try group.moment(&slot, 1, filledWith: rate)
    try target.rprop(previous, sizes, factors: (shorter, longer), sizes: (least, most), maximize: maximize)
  }

  static let kinds = [
    OptimizerKind(
      "Rprop", "Steps by the gradient's sign: longer while it stays, shorter when it turns. For whole batches.", by: RpropMethod.self,
      [
        .rate(1e-2), .maximize, .capturable,
        Option("etas", .pair(0.5, 1.2), "the factors of a step's length when the sign turns, and when it stays"),
        Option("step_sizes", .tuple([.number(1e-6), .integer(50)]), "the shortest and the longest step"),
      ], state: ["prev", "step_size"])
  ]
}

// The methods that see a parameter as a matrix: Adafactor, which remembers rows and columns, and Muon, which straightens steps.

import Glibc
import Tensors

/// Adam's divisor from the mean squares of rows and columns alone, and steps in proportion to the parameter (Shazeer and
/// Stern, 2018).
struct AdafactorMethod: TensorMethod {
  let rate, power, limit, decay, least: Double
  /// The smallest mean square; that of the dtype when nil.
  let floor: Double?
  let maximize: Bool

  init(_ options: Options) throws {
    (rate, decay, maximize) = try (options.rate, options.decay, options.maximize)
    power = try options.notPositive("beta2_decay")
    limit = try options.number("d", atLeast: 1)
    let floors = try options.numbers("eps", "two numbers that are not negative; the first may be nil") {
      $0.count == 2 && $0[1] != nil && $0.allSatisfy { $0.map { $0 >= 0 } ?? true }
    }
    (floor, least) = (floors[0], floors[1] ?? 0)
  }

  func update(_ parameter: Tensor, _ gradient: Tensor, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {
    let g = maximize ? try gradient.detach() * -1.0 : gradient.detach()
    var p = parameter.detach()
    let step = Double(slot.steps + 1)
    let weight = pow(step, power)
    let size = Double(max(parameter.count, 1)).squareRoot()
    let floor = floor ?? parameter.dtype.epsilon
    let scale = try max(least, p.norm().item().real / size) * min(rate, 1 / step.squareRoot())
    if decay != 0 { p = try p * (1 - rate * decay) }
    var moments = slot.moments
    func mean(_ place: Int, _ new: Tensor) throws -> Tensor {
      let old = try moments[place] ?? Tensor.zeros(new.shape, dtype: new.dtype)
      guard old.shape == new.shape else {
        throw TensorError(
          .shape, "Adafactor.step",
          "a parameter of shape \(parameter.shape) had another shape when its moments, of shape \(old.shape), were made")
      }
      let next = try old.lerp(new, weight)
      moments[place] = next
      return next
    }
    var variance: Tensor
    if g.rank > 1 {
      func squares(_ dimension: Int) throws -> Tensor {
        try g.norm(2, [dimension], keepdim: true).square() / Double(g.shape[g.rank + dimension])
      }
      let (rows, columns) = (try mean(0, squares(-1)), try mean(1, squares(-2)))
      variance = try rows.matmul(columns) / rows.mean([-2], keepdim: true).clamp(.real(floor), nil)
    } else {
      variance = try mean(2, g.square())
    }
    let update = try variance.clamp(.real(floor * floor), nil).rsqrt() * g
    let excess = try max(1, update.norm().item().real / (size * limit))
    try parameter.assign(p + update * (-scale / excess))
    slot.moments = moments
    slot.steps += 1
  }

  static let kinds = [
    OptimizerKind(
      "Adafactor", "Adam's divisor from mean squares of rows and columns alone; for parameters that are large.", by: AdafactorMethod.self,
      [
        .rate(1e-2), Option("weight_decay", .number(0), "how much the parameter shrinks, times lr"), .maximize,
        Option("beta2_decay", .number(-0.8), "the power of the step that is left out of the means"),
        Option(
          "eps", .tuple([.none, .number(1e-3)]), "the smallest mean square, nil for the dtype's epsilon; and the smallest scale of steps"),
        Option("d", .number(1), "the largest root mean square of a step"),
      ], shared: [.foreach], state: ["row_var", "col_var", "variance"],
      stateShape: { name, shape in
        switch name {
        case "row_var" where shape.rank > 1: shape.replacing(shape.rank - 1, with: 1)
        case "col_var" where shape.rank > 1: shape.replacing(shape.rank - 2, with: 1)
        default: shape
        }
      })
  ]
}

/// A momentum that is made orthogonal before each step, so that all its directions weigh the same (Jordan et al., 2024).
struct MuonMethod: TensorMethod {
  let rate, decay, momentum, epsilon: Double
  let nesterov: Bool
  let coefficients: [Double]
  let iterations: Int
  let adjustment: String?

  init(_ options: Options) throws {
    (rate, decay, epsilon) = try (options.rate, options.decay, options.epsilon)
    (momentum, nesterov) = try (options.number("momentum"), options.boolean("nesterov"))
    coefficients = try options.numbers("ns_coefficients", "three numbers") { $0.count == 3 && !$0.contains(nil) }.map { $0 ?? 0 }
    iterations = try options.count("ns_steps", from: 0, through: 99)
    adjustment = try options.choice("adjust_lr_fn", ["original", "match_rms_adamw", "spectral_unclamped"])
  }

  func update(_ parameter: Tensor, _ gradient: Tensor, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {
    let g = gradient.detach()
    let old = try slot.moments[0] ?? Tensor.zeros(g.shape, dtype: parameter.dtype)
    guard g.rank == 2, old.shape == g.shape else {
      throw TensorError(
        .shape, "Muon.step", "a parameter of shape \(parameter.shape) had shape \(old.shape) when its moments were made")
    }
    let mean = try old.lerp(g, 1 - momentum)
    let update = try orthogonal(nesterov ? g.lerp(mean, momentum) : mean).to(parameter.dtype)
    let (rows, columns) = (Double(g.shape[0]), Double(g.shape[1]))
    let ratio =
      switch adjustment {
      case "match_rms_adamw": 0.2 * max(rows, columns).squareRoot()
      case "spectral_unclamped": (rows / columns).squareRoot()
      default: max(1, rows / columns).squareRoot()
      }
    try parameter.assign(parameter.detach() * (1 - rate * decay) + update * (-rate * ratio))
    slot.moments[0] = mean
    slot.steps += 1
  }

  /// U·Vᵀ of a matrix U·S·Vᵀ, nearly: by Newton and Schulz's iteration, in bfloat16 as in PyTorch.
  private func orthogonal(_ matrix: Tensor) throws -> Tensor {
    let isTall = matrix.shape[0] > matrix.shape[1]
    var x = try matrix.to(.bfloat16)
    if isTall { x = try x.transpose(0, 1) }
    x = try x / x.norm().clamp(.real(epsilon), nil)
    let (a, b, c) = (coefficients[0], coefficients[1], coefficients[2])
    for _ in 0..<iterations {
      let gram = try x.mm(x.transpose(0, 1))
      x = try x.addmm(gram.addmm(gram, gram, beta: b, alpha: c), x, beta: a)
    }
    return isTall ? try x.transpose(0, 1) : x
  }

  static let kinds = [
    OptimizerKind(
      "Muon", "Momentum made orthogonal before each step; for the weight matrices of hidden layers.", by: MuonMethod.self,
      [
        .rate(1e-3), .decay(0.1), Option("momentum", .number(0.95), "how much of the past gradients' mean is kept"),
        Option("nesterov", .boolean(true), "look ahead along the mean (Nesterov)"), .epsilon(1e-7),
        Option("ns_coefficients", .tuple([.number(3.4445), .number(-4.775), .number(2.0315)]), "the polynomial that is iterated"),
        Option("ns_steps", .integer(5), "how often it is iterated"),
        Option(
          "adjust_lr_fn", .none,
          "how the rate follows a matrix's sizes: \"original\" (nil is the same), \"match_rms_adamw\" or \"spectral_unclamped\""),
      ], shared: [], state: ["momentum_buffer"], countsSteps: false,
      checksParameters: { parameters in
        for (position, parameter) in parameters.enumerated() where parameter.rank != 2 {
          throw TensorError(
            .shape, "Muon",
            "parameter \(index: position) has shape \(parameter.shape); only matrices are possible, give the others to another optimizer")
        }
      })
  ]
}

extension DType {
  /// The distance from 1 to the next number.
  fileprivate var epsilon: Double {
    switch self {
    case .float64: 0x1p-52
    case .bfloat16: 0x1p-7
    case .float16: 0x1p-10
    default: 0x1p-23
    }
  }
}

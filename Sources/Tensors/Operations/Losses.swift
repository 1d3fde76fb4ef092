// Losses of each element and its target as single operations, with fused kernels in the usual case; where the gradient is
// differentiated in turn, they are composed. Those of classes stand in Losses+Classes.swift.

/// How a loss over many elements becomes one.
public enum Reduction: String, Sendable {
  /// Their mean.
  case mean
  /// Their sum.
  case sum
  /// They stay as they are.
  case none

  init(named name: String, _ operation: String) throws {
    guard let found = Reduction(rawValue: name) else {
      throw TensorError(.argument, operation, "reduction must be \"mean\", \"sum\" or \"none\", got \"\(name)\"")
    }
    self = found
  }
}

extension Tensor {
  func reduced(_ reduction: Reduction) throws -> Tensor {
    switch reduction {
    case .mean: try mean()
    case .sum: try sum()
    case .none: self
    }
  }

  /// Losses of single elements, each times its weight, reduced. As in PyTorch, weights have the input's shape, and are broadcast
  /// against nothing.
  private func weighted(by weight: Tensor, of input: Tensor, _ operation: String) throws -> Tensor {
    guard weight.shape == input.shape else {
      throw TensorError(
        .shape, operation, "weight of shape \(weight.shape) must have the input's shape \(input.shape), one weight for each element")
    }
    return try self * weight
  }

  /// The same where a mean is that of the weights: the weighted sum by the sum of the weights.
  private func reduced(_ reduction: Reduction, weightedBy weight: Tensor, of input: Tensor, _ operation: String) throws -> Tensor {
    let losses = try weighted(by: weight, of: input, operation)
    return try reduction == .mean ? losses.sum() / weight.sum() : losses.reduced(reduction)
  }

  /// (x − target)², reduced; times weights of x's shape, by whose sum the mean is then taken.
  public func mseLoss(_ target: Tensor, weight: Tensor? = nil, reduction: Reduction = .mean) throws -> Tensor {
    if weight == nil, !target.dtype.isFloating { try requireFloating("mse_loss") }
    guard shape == target.shape else {
      _ = try Shape.broadcast(shape, target.shape, "mse_loss")
      throw TensorError(
        .shape, "mse_loss",
        "input of shape \(shape) and target of shape \(target.shape) differ; broadcasting them is most likely a mistake, so reshape one")
    }
    if let weight { return try (self - target).square().reduced(reduction, weightedBy: weight, of: self, "mse_loss") }
    guard dtype == target.dtype else {
      let common = DType.promoted(dtype, target.dtype)
      return try to(common).mseLoss(target.to(common), reduction: reduction)
    }
    if reduction == .none {
      return try withNoGrad { try (self - target).square() }.recorded(SquaredError(reduction: reduction), self, target)
    }
    let (x, t) = (try packed(), try target.packed())
    let total = try SquaredError.kernel(dtype, .read(x.data, dtype, count), .read(t.data, dtype, count)).0
    let divisor = reduction == .mean ? Double(count) : 1
    let y = try Tensor.filled([], .real(total / divisor), dtype: dtype)
    return try y.recorded(SquaredError(reduction: reduction), self, target)
  }

  /// |x − target|, reduced; times weights of x's shape, by whose sum the mean is then taken.
  public func l1Loss(_ target: Tensor, weight: Tensor? = nil, reduction: Reduction = .mean) throws -> Tensor {
    let losses = try (self - target).abs()
    guard let weight else { return try losses.reduced(reduction) }
    return try losses.reduced(reduction, weightedBy: weight, of: self, "l1_loss")
  }

  /// A loss element by element and its reduction as one node.
  private func elementwiseLoss<L: ElementwiseLoss>(
    _ inputs: [Tensor], _ reduction: Reduction, _ operation: (Int) -> L, value: () throws -> Tensor
  ) throws -> Tensor {
    let losses = try withNoGrad(value)
    let y = try reduction == .none ? losses : withNoGrad { try losses.reduced(reduction) }
    return try y.recorded(operation(losses.count), inputs)
  }

  /// −(t·ln x + (1−t)·ln(1−x)) for probabilities x; logarithms are limited to −100, as in PyTorch.
  public func binaryCrossEntropy(_ target: Tensor, weight: Tensor? = nil, reduction: Reduction = .mean) throws -> Tensor {
    try requireFloating("binary_cross_entropy")
    guard shape == target.shape else {
      throw TensorError(.shape, "binary_cross_entropy", "input of shape \(shape) and target of shape \(target.shape) differ")
    }
    if let wrong = try noProbability {
      throw TensorError(
        .domain, "binary_cross_entropy", "inputs must be probabilities between 0 and 1, got \(wrong); see the variant with logits")
    }
    return try elementwiseLoss(
      [self, target] + (weight.map { [$0] } ?? []), reduction,
      { BinaryCrossEntropy(isWeighted: weight != nil, reduction: reduction, count: $0) }
    ) {
      let losses = try BinaryCrossEntropy.losses(self, target)
      return try weight.map { try losses * $0 } ?? losses
    }
  }

  /// Binary cross-entropy of sigmoid(x), computed without overflow.
  public func binaryCrossEntropyWithLogits(
    _ target: Tensor, weight: Tensor? = nil, positiveWeight: Tensor? = nil, reduction: Reduction = .mean
  ) throws -> Tensor {
    try requireFloating("binary_cross_entropy_with_logits")
    guard shape == target.shape else {
      throw TensorError(
        .shape, "binary_cross_entropy_with_logits", "input of shape \(shape) and target of shape \(target.shape) differ")
    }
    return try elementwiseLoss(
      [self, target] + [weight, positiveWeight].compactMap { $0 }, reduction,
      {
        BinaryCrossEntropyWithLogits(
          isWeighted: weight != nil, hasPosWeight: positiveWeight != nil, reduction: reduction, count: $0)
      }
    ) {
      let losses = try BinaryCrossEntropyWithLogits.losses(self, target, positiveWeight)
      return try weight.map { try losses * $0 } ?? losses
    }
  }

  /// ½d²/beta near 0, |d| − ½beta beyond beta, with d = x − target.
  public func smoothL1Loss(_ target: Tensor, beta: Double = 1, reduction: Reduction = .mean) throws -> Tensor {
    guard beta >= 0 else { throw TensorError(.argument, "smooth_l1_loss", "beta must not be negative, got \(beta)") }
    let (x, target) = try Tensor.floats(self, target)
    if beta == 0 { return try x.l1Loss(target, reduction: reduction) }
    return try elementwiseLoss([x, target], reduction, { SmoothL1(beta: beta, reduction: reduction, count: $0) }) {
      let distance = try (x - target).abs()
      return try distance.lt(beta).choosing(distance.square() * (0.5 / beta), else: distance - 0.5 * beta)
    }
  }

  /// ½d² near 0, delta·(|d| − ½delta) beyond delta; times weights of x's shape. Unlike its sisters', the mean is then that of
  /// the weighted losses, as in PyTorch.
  public func huberLoss(_ target: Tensor, delta: Double = 1, weight: Tensor? = nil, reduction: Reduction = .mean) throws -> Tensor {
    guard delta > 0 else { throw TensorError(.argument, "huber_loss", "delta must be positive, got \(delta)") }
    if let weight {
      return try huberLoss(target, delta: delta, reduction: .none).weighted(by: weight, of: self, "huber_loss").reduced(reduction)
    }
    let (x, target) = try Tensor.floats(self, target)
    return try elementwiseLoss([x, target], reduction, { Huber(delta: delta, reduction: reduction, count: $0) }) {
      let distance = try (x - target).abs()
      return try distance.le(delta).choosing(distance.square() * 0.5, else: (distance - 0.5 * delta) * delta)
    }
  }
}

// MARK: On the tape

/// Squared error: a kernel in the usual case, operations where its gradient is differentiated in turn.
private struct SquaredError: Operation {
  static let kernel = NamedKernel("squared_error")
  private static let slope = NamedKernel("scaled_difference")

  let reduction: Reduction

  var nodeName: String { "MseLossBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["self": .input(0), "target": .input(1)] }
  func uses(_ number: Int) -> Uses { [.a, .b] }

  func gradient(_ pass: inout Backward) throws {
    let (x, t) = (try pass.a, try pass.b)
    let scale = 2 / (reduction == .mean ? Double(x.count) : 1)
    if pass.createsGraph || reduction == .none {
      let slope = try (x - t) * scale * pass.g
      if pass.needs(0) { pass[0] = slope }
      if pass.needs(1) { pass[1] = try -slope }
      return
    }
    let (px, pt) = (try x.packed(), try t.packed())
    let factor = pass.g.element(0).real * scale
    for input in 0..<2 where pass.needs(input) {
      let dx = try Tensor(uninitialized: x.shape, x.dtype)
      try SquaredError.slope(
        x.dtype, .read(px.data, x.dtype, x.count), .read(pt.data, x.dtype, x.count), .write(dx.data, x.dtype, x.count),
        numbers: (input == 0 ? factor : -factor, 0, 0, 0))
      pass[input] = dx
    }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].mseLoss(inputs[1], reduction: reduction)] }
}

/// A loss of each element, reduced or not: only the slope by each input is its own.
private protocol ElementwiseLoss: Operation {
  var reduction: Reduction { get }
  /// The losses that the reduction is made of.
  var count: Int { get }
  var inputCount: Int { get }
  /// The derivative of the losses by input `number`.
  func slope(_ number: Int, _ c: borrowing Backward) throws -> Tensor
}

extension ElementwiseLoss {
  fileprivate static var broadcasts: Bool { true }
  fileprivate var slotNames: KeyValuePairs<String, KeptSlot> { ["self": .input(0), "target": .input(1)] }
  fileprivate var inputCount: Int { 2 }
  fileprivate func uses(_ number: Int) -> Uses { [.a, .b] }

  fileprivate func gradient(_ c: inout Backward) throws {
    let g = try reduction == .mean && count != 1 ? c.g / Double(count) : c.g
    for number in 0..<inputCount where c.needs(number) { c[number] = try g * slope(number, c) }
  }
}

private struct BinaryCrossEntropy: ElementwiseLoss {
  let isWeighted: Bool
  let reduction: Reduction
  let count: Int

  var nodeName: String { "BinaryCrossEntropyBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["self": .input(0), "target": .input(1), "weight": .input(2)] }
  var inputCount: Int { isWeighted ? 3 : 2 }
  func uses(_ number: Int) -> Uses { [[.a, .b, .c], [.a, .c], [.a, .b]][number] }

  private static func limitedLog(_ x: Tensor) throws -> Tensor { try x.log().clamp(.real(-100), nil) }

  static func losses(_ x: Tensor, _ t: Tensor) throws -> Tensor { try -(t * limitedLog(x) + (1.0 - t) * limitedLog(1.0 - x)) }

  func slope(_ number: Int, _ c: borrowing Backward) throws -> Tensor {
    if number == 2 { return try Self.losses(c.a, c.b) }
    let slope =
      try number == 0
      ? (c.a - c.b) / ((1.0 - c.a) * c.a).clamp(.real(1e-12), nil) : Self.limitedLog(1.0 - c.a) - Self.limitedLog(c.a)
    return try isWeighted ? slope * c.c : slope
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try inputs[0].binaryCrossEntropy(inputs[1], weight: isWeighted ? inputs[2] : nil, reduction: reduction)]
  }
}

/// L = w·((1 − t)·x − (1 + (p − 1)·t)·ln σ(x)), where w and p may be absent, which is 1.
private struct BinaryCrossEntropyWithLogits: ElementwiseLoss {
  let isWeighted, hasPosWeight: Bool
  let reduction: Reduction
  let count: Int

  var nodeName: String { "BinaryCrossEntropyWithLogitsBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> {
    ["self": .input(0), "target": .input(1), "weight": .input(2), "pos_weight": .input(isWeighted ? 3 : 2)]
  }
  var inputCount: Int { 2 + (isWeighted ? 1 : 0) + (hasPosWeight ? 1 : 0) }
  private var positivePlace: Int? { hasPosWeight ? inputCount - 1 : nil }

  func uses(_ number: Int) -> Uses {
    let all = Uses(rawValue: 1 << UInt16(inputCount) - 1)
    return switch number {
    case 1: all.subtracting(.b)
    case 2 where isWeighted: all.subtracting(.c)
    default: all
    }
  }

  static func losses(_ x: Tensor, _ t: Tensor, _ p: Tensor?) throws -> Tensor {
    let logSigmoid = try Unary.logsigmoid(x)
    return try (1.0 - t) * x - (p.map { try (($0 - 1.0) * t + 1.0) * logSigmoid } ?? logSigmoid)
  }

  func slope(_ number: Int, _ c: borrowing Backward) throws -> Tensor {
    let p = try positivePlace.map { try c.read(.input($0)) }
    var slope: Tensor
    switch number {
    case 0: slope = try p.map { try (1.0 - c.b) - (($0 - 1.0) * c.b + 1.0) * (-c.a).sigmoid() } ?? c.a.sigmoid() - c.b
    case 1: slope = try p.map { try -c.a - ($0 - 1.0) * Unary.logsigmoid(c.a) } ?? -c.a
    case 2 where isWeighted: return try Self.losses(c.a, c.b, p)
    default: slope = try -c.b * Unary.logsigmoid(c.a)
    }
    if isWeighted { slope = try slope * c.c }
    return slope
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [
      try inputs[0].binaryCrossEntropyWithLogits(
        inputs[1], weight: isWeighted ? inputs[2] : nil, positiveWeight: positivePlace.map { inputs[$0] }, reduction: reduction)
    ]
  }
}

private struct SmoothL1: ElementwiseLoss {
  let beta: Double
  let reduction: Reduction
  let count: Int

  var nodeName: String { "SmoothL1LossBackward0" }
  func slope(_ number: Int, _ c: borrowing Backward) throws -> Tensor {
    try ((number == 0 ? c.a - c.b : c.b - c.a) * (1 / beta)).clamp(.real(-1), .real(1))
  }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].smoothL1Loss(inputs[1], beta: beta, reduction: reduction)] }
}

private struct Huber: ElementwiseLoss {
  let delta: Double
  let reduction: Reduction
  let count: Int

  var nodeName: String { "HuberLossBackward0" }
  func slope(_ number: Int, _ c: borrowing Backward) throws -> Tensor {
    try (number == 0 ? c.a - c.b : c.b - c.a).clamp(.real(-delta), .real(delta))
  }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].huberLoss(inputs[1], delta: delta, reduction: reduction)] }
}

enum Losses {
  private static let target = Take.tensor("target")
  private static let weight = Take.optionalTensor("weight")
  private static func elementwise(_ a: Sample.Value, _ b: Sample.Value) -> [Sample] {
    [[a, b], [a, b, .text("sum")], [a, b, .text("none")]]
  }
  /// Those with a weight for each element, after the rest of the arguments.
  private static func weighted(_ a: Sample.Value, _ b: Sample.Value, _ weight: Sample.Value, after rest: [Sample.Value] = []) -> [Sample] {
    ["mean", "sum", "none"].map { Sample([a, b, .text($0)] + rest + [weight]) }
  }

  static let list: [TensorOperation] = [
    TensorOperation(
      "mse_loss", "(input − target)², reduced; a mean with weights is by their sum.", Take.input, target, Take.reduction, weight,
      forms: .functional,
      samples: elementwise(.float(2, 3), .float(2, 3)) + weighted(.float(2, 3), .float(2, 3), .positive(2, 3)),
      rejects: [
        [.float(2, 1), .float(2)], [.float(2), .float(2), .text("max")], [.float(2, 3), .float(2, 3), .text("sum"), .positive(3)],
      ], batching: .weightedLoss
    ) { x, target, reduction, weight in try .tensor(x.mseLoss(target, weight: weight, reduction: reduction)) },
    TensorOperation(
      "l1_loss", "|input − target|, reduced; a mean with weights is by their sum.", Take.input, target, Take.reduction, weight,
      forms: .functional,
      samples: elementwise(.float(2, 3), .float(2, 3)) + weighted(.float(2, 3), .float(2, 3), .positive(2, 3)),
      rejects: [[.float(2, 3), .float(2, 3), .text("sum"), .positive(3)]], batching: .weightedLoss
    ) { x, target, reduction, weight in try .tensor(x.l1Loss(target, weight: weight, reduction: reduction)) },
    TensorOperation(
      "binary_cross_entropy", "−(t·ln x + (1−t)·ln(1−x)) of probabilities.", Take.input, target, Take.optionalTensor("weight"),
      Take.reduction,
      forms: .functional,
      samples: [
        [.float([2, 3], 0.1...0.9), .float([2, 3], 0...1)], [.float([3], 0.1...0.9), .float([3], 0...1), .positive(3), .text("sum")],
      ], rejects: [[.float([2], 1.5...2), .float([2], 0...1)]], batching: .loss
    ) { x, target, weight, reduction in
      try .tensor(
        x.binaryCrossEntropy(
          target, weight: weight,
          reduction: reduction))
    },
    TensorOperation(
      "binary_cross_entropy_with_logits", "Binary cross-entropy of sigmoid(input), without overflow.", Take.input, target,
      Take.optionalTensor("weight"), Take.reduction, Take.optionalTensor("pos_weight"),
      forms: .functional,
      samples: [
        [.float(2, 3), .float([2, 3], 0...1)], [.float(2, 3), .float([2, 3], 0...1), .positive(3), .text("sum")],
        [.float(2, 3), .float([2, 3], 0...1), .absent, .text("mean"), .positive(3)],
      ], rejects: [[.float(2), .float(3)]], batching: .loss
    ) { x, target, weight, reduction, posWeight in
      try .tensor(
        x.binaryCrossEntropyWithLogits(
          target, weight: weight, positiveWeight: posWeight,
          reduction: reduction))
    },
    TensorOperation(
      "smooth_l1_loss", "½d²/beta near 0, |d| − ½beta beyond.", Take.input, target, Take.reduction, Take.number("beta", default: 1),
      forms: .functional, samples: [[.float(2, 3), .float([2, 3], 0...3)], [.float(2, 3), .float(2, 3), .text("sum"), .number(0.5)]],
      batching: .loss
    ) { x, target, reduction, beta in
      try .tensor(
        x.smoothL1Loss(
          target, beta: beta,
          reduction: reduction))
    },
    TensorOperation(
      "huber_loss", "½d² near 0, delta·(|d| − ½delta) beyond.", Take.input, target, Take.reduction, Take.number("delta", default: 1),
      weight,
      forms: .functional,
      samples: [[.float(2, 3), .float([2, 3], 0...3)], [.float(2, 3), .float(2, 3), .text("sum"), .number(0.5)]]
        + weighted(.float(2, 3), .float([2, 3], 0...3), .positive(2, 3), after: [.number(0.5)]),
      rejects: [[.float(2, 3), .float(2, 3), .text("sum"), .number(1), .positive(3)]], batching: .loss
    ) { x, target, reduction, delta, weight in
      try .tensor(x.huberLoss(target, delta: delta, weight: weight, reduction: reduction))
    },
  ]
}

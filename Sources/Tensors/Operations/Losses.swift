// Losses as single operations with fused kernels; where the gradient is differentiated in turn, they are composed.

import CKernels

/// How a loss over many elements becomes one.
public enum Reduction: String, Sendable {
  case mean, sum, none

  init(named name: String, _ operation: String) throws {
    guard let found = Reduction(rawValue: name) else {
      throw TensorError(.argument, operation, "reduction must be \"mean\", \"sum\" or \"none\", got \"\(name)\"")
    }
    self = found
  }
}

extension Tensor {
  private func reduced(_ reduction: Reduction) throws -> Tensor {
    switch reduction {
    case .mean: try mean()
    case .sum: try sum()
    case .none: self
    }
  }

  /// (x − target)², reduced.
  public func mseLoss(_ target: Tensor, reduction: Reduction = .mean) throws -> Tensor {
    if !target.dtype.isFloating { try requireFloating("mse_loss") }
    guard shape == target.shape else {
      _ = try Shape.broadcast(shape, target.shape, "mse_loss")
      throw TensorError(
        .shape, "mse_loss",
        "input of shape \(shape) and target of shape \(target.shape) differ; broadcasting them is most likely a mistake, so reshape one")
    }
    guard dtype == target.dtype else {
      let common = DType.promoted(dtype, target.dtype)
      return try to(common).mseLoss(target.to(common), reduction: reduction)
    }
    if reduction == .none {
      return try withNoGrad { try (self - target).square() }.recorded(Loss.squares, self, target)
    }
    let (x, t) = (try packed(), try target.packed())
    let total = mg_squared_error(dtype.kernel, Int64(count), x.data, t.data)
    let divisor = reduction == .mean ? Double(count) : 1
    let y = try Tensor.full([], .real(total / divisor), dtype: dtype)
    return y.recorded(reduction == .mean ? Loss.meanSquares : Loss.sumSquares, self, target)
  }

  /// |x − target|, reduced.
  public func l1Loss(_ target: Tensor, reduction: Reduction = .mean) throws -> Tensor {
    try (self - target).abs().reduced(reduction)
  }

  /// −log-probability of the target class. Logits are `(classes)`, `(batch, classes)` or `(batch, classes, …)`; the
  /// target holds class numbers (int64) of the shape without classes, or probabilities of the logits' shape.
  public func crossEntropy(
    _ target: Tensor, weight: Tensor? = nil, ignoring ignored: Int = -100, reduction: Reduction = .mean, smoothing: Double = 0
  ) throws -> Tensor {
    try requireFloating("cross_entropy")
    guard rank > 0 else { throw TensorError(.shape, "cross_entropy", "logits need at least 1 dimension, got shape \(shape)") }
    guard smoothing >= 0, smoothing <= 1 else {
      throw TensorError(.argument, "cross_entropy", "label_smoothing must lie between 0 and 1, got \(smoothing)")
    }
    let axis = rank == 1 ? 0 : 1
    let classes = shape[axis]
    if target.dtype.isFloating {
      guard target.shape == shape else {
        throw TensorError(
          .shape, "cross_entropy", "target probabilities of shape \(target.shape) must have the logits' shape \(shape)")
      }
      let smooth = try smoothing == 0 ? target : target * (1 - smoothing) + smoothing / Double(classes)
      var logp = try logSoftmax(axis)
      if let weight { logp = try logp * weight.alongClasses(rank, axis) }
      let losses = try -(smooth * logp).sum([axis])
      return try reduction == .mean ? losses.sum() / Double(rank == 1 ? 1 : count / Swift.max(classes, 1)) : losses.reduced(reduction)
    }
    if rank <= 2, smoothing == 0, reduction != .none, weight == nil || !weight!.requiresGrad {
      return try fusedCrossEntropy(target, weight, ignored, mean: reduction == .mean)
    }
    let logp = try logSoftmax(axis)
    let nll = try logp.nllLoss(target, weight: weight, ignoring: ignored, reduction: reduction)
    guard smoothing > 0 else { return nll }
    let counts = try target.countedMask(ignored, classes, "cross_entropy").to(dtype)
    let spread = try weight.map { try logp * $0.alongClasses(rank, axis) } ?? logp
    let smooth = try -spread.sum([axis]) * counts
    let total: Tensor
    switch reduction {
    case .none: total = smooth
    case .sum: total = try smooth.sum()
    case .mean:
      let divisor =
        try weight.map { try $0.indexSelect(0, target.safeLabels(ignored).reshape([-1])).reshape(target.shape) * counts } ?? counts
      total = try smooth.sum() / divisor.sum()
    }
    return try nll * (1 - smoothing) + total * (smoothing / Double(classes))
  }

  private func alongClasses(_ rank: Int, _ axis: Int) throws -> Tensor {
    try reshape((0..<rank).map { $0 == axis ? count : 1 })
  }

  /// Checked labels, `ignored` ones too.
  private func checkLabels(_ classes: Int, _ ignored: Int, _ operation: String) throws {
    guard !dtype.isFloating, dtype != .bool else {
      throw TensorError(.dtype, operation, "class labels must be whole numbers (int64), got a tensor of \(dtype)")
    }
    for position in 0..<count {
      let label = Int(element(position).integer)
      guard label == ignored || (label >= 0 && label < classes) else {
        throw TensorError(.index, operation, "label \(index: label) is not one of the \(classes) classes")
      }
    }
  }

  private func countedMask(_ ignored: Int, _ classes: Int, _ operation: String) throws -> Tensor {
    try Comparison.ne(self, .integer(Int64(ignored)))
  }

  /// Labels with ignored ones replaced by class 0.
  private func safeLabels(_ ignored: Int) throws -> Tensor {
    try maskedFill(Comparison.eq(self, .integer(Int64(ignored))), .integer(0))
  }

  private func fusedCrossEntropy(_ target: Tensor, _ weight: Tensor?, _ ignored: Int, mean: Bool) throws -> Tensor {
    let classes = shape[rank - 1]
    let rows = rank == 1 ? 1 : shape[0]
    guard target.count == rows, target.rank == rank - 1 else {
      throw TensorError(
        .shape, "cross_entropy",
        "a target of shape \(target.shape) does not fit logits of shape \(shape); labels need shape \(shape.removing([rank - 1], keeping: false))"
      )
    }
    try target.checkLabels(classes, ignored, "cross_entropy")
    try weight?.checkClassWeight(classes, dtype, "cross_entropy")
    let (x, t, w) = (try packed(), try target.converted(to: .int64).packed(), try weight?.packed())
    let logp = try Tensor(uninitialized: shape, dtype)
    var totalWeight = 0.0
    let total = mg_cross_entropy(
      dtype.kernel, Int64(rows), Int64(classes), x.data, t.data.assumingMemoryBound(to: Int64.self), Int64(ignored), w?.data, logp.data,
      &totalWeight)
    let divisor = mean ? totalWeight : 1
    let y = try Tensor.full([], .real(total / divisor), dtype: dtype)
    let result = y.recorded("NllLossBackward0", self, uses: .a, holdsTensors: true) { c in
      if !c.createsGraph {
        let dx = try Tensor(uninitialized: logp.shape, logp.dtype)
        mg_cross_entropy_grad(
          logp.dtype.kernel, Int64(rows), Int64(classes), logp.data, t.data.assumingMemoryBound(to: Int64.self), Int64(ignored), w?.data,
          c.g.element(0).real / divisor, dx.data)
        c[0] = dx
        return
      }
      let x = try c.a
      let onehot = try Tensor.zeros(x.shape, dtype: x.dtype).scatter(
        x.rank - 1, t.safeLabels(ignored).unsqueeze(-1), Tensor.ones(t.shape.rank == 0 ? [1] : [rows, 1], dtype: x.dtype))
      var rowWeight = try t.countedMask(ignored, classes, "cross_entropy").to(x.dtype)
      if let w { rowWeight = try rowWeight * w.indexSelect(0, t.safeLabels(ignored).reshape([-1])).reshape(t.shape) }
      c[0] = try (x.softmax(-1) - onehot) * rowWeight.unsqueeze(-1) * (c.g / divisor)
    }
    result.node?.setFused()
    return result
  }

  private func checkClassWeight(_ classes: Int, _ dtype: DType, _ operation: String) throws {
    guard rank == 1, count == classes, self.dtype == dtype else {
      throw TensorError(
        .shape, operation, "weight must hold one \(dtype) for each of the \(classes) classes, got shape \(shape) of \(self.dtype)")
    }
  }

  /// −input at the target class, for log-probabilities laid out as cross-entropy's logits.
  public func nllLoss(
    _ target: Tensor, weight: Tensor? = nil, ignoring ignored: Int = -100, reduction: Reduction = .mean
  ) throws -> Tensor {
    try requireFloating("nll_loss")
    guard rank > 0 else { throw TensorError(.shape, "nll_loss", "the input needs at least 1 dimension, got shape \(shape)") }
    let axis = rank == 1 ? 0 : 1
    let classes = shape[axis]
    guard target.shape == shape.removing([axis], keeping: false) else {
      throw TensorError(
        .shape, "nll_loss",
        "a target of shape \(target.shape) does not fit an input of shape \(shape); labels need shape \(shape.removing([axis], keeping: false))"
      )
    }
    try target.checkLabels(classes, ignored, "nll_loss")
    try weight?.checkClassWeight(classes, dtype, "nll_loss")
    let labels = try target.safeLabels(ignored)
    var factor = try target.countedMask(ignored, classes, "nll_loss").to(dtype)
    if let weight { factor = try factor * weight.indexSelect(0, labels.reshape([-1])).reshape(labels.shape) }
    let places = try labels.unsqueeze(axis)
    func loss() throws -> Tensor {
      let losses = try -(gather(axis, places).squeeze([axis]) * factor)
      return try reduction == .mean ? losses.sum() / factor.sum() : losses.reduced(reduction)
    }
    // PyTorch has no gradient for class weights; here the composed form gives it.
    if factor.requiresGrad { return try loss() }
    let whole = shape
    let name = rank > 2 ? "NllLoss2DBackward0" : "NllLossBackward0"
    return try withNoGrad(loss).recorded(name, self, holdsTensors: true) { c in
      let share = try reduction == .mean ? factor / factor.sum() : factor
      c[0] = try Tensor.zeros(whole, dtype: c.g.dtype).scatterAdd(axis, places, (-c.g * share).unsqueeze(axis))
    }
  }

  /// A loss element by element and its reduction as one node. The rules give each input's gradient per element, from
  /// the inputs by number; broadcasting and reduction are undone here.
  private func elementwiseLoss(
    _ name: String, _ inputs: [Tensor], _ reduction: Reduction, uses: [Uses], _ rules: [(borrowing Backward) throws -> Tensor],
    value: () throws -> Tensor
  ) throws -> Tensor {
    let losses = try withNoGrad(value)
    let y = try reduction == .none ? losses : withNoGrad { try losses.reduced(reduction) }
    let divisor = reduction == .mean ? Double(losses.count) : 1
    let forms = InputForms(inputs)
    return y.recorded(name, inputs, uses: uses) { c in
      let g = try divisor == 1 ? c.g : c.g / divisor
      for index in 0..<rules.count where c.needs(index) {
        c[index] = try (g * rules[index](c)).summed(to: forms.forms[index].shape).to(forms.forms[index].dtype)
      }
    }
  }

  /// −(t·ln x + (1−t)·ln(1−x)) for probabilities x; logarithms are limited to −100, as in PyTorch.
  public func binaryCrossEntropy(_ target: Tensor, weight: Tensor? = nil, reduction: Reduction = .mean) throws -> Tensor {
    try requireFloating("binary_cross_entropy")
    guard shape == target.shape else {
      throw TensorError(.shape, "binary_cross_entropy", "input of shape \(shape) and target of shape \(target.shape) differ")
    }
    for position in 0..<count where !(0...1).contains(element(position).real) {
      throw TensorError(
        .domain, "binary_cross_entropy",
        "inputs must be probabilities between 0 and 1, got \(element(position).real); see the variant with logits")
    }
    func limitedLog(_ x: Tensor) throws -> Tensor { try x.log().clamp(.real(-100), nil) }
    func losses(_ x: Tensor, _ t: Tensor) throws -> Tensor { try -(t * limitedLog(x) + (1.0 - t) * limitedLog(1.0 - x)) }
    func weighted(_ losses: Tensor, _ weight: Tensor?) throws -> Tensor { try weight.map { try losses * $0 } ?? losses }
    let isWeighted = weight != nil
    return try elementwiseLoss(
      "BinaryCrossEntropyBackward0", [self, target] + (weight.map { [$0] } ?? []), reduction, uses: [[.a, .b, .c], [.a, .c], [.a, .b]],
      [
        { c in try weighted((c.a - c.b) / ((1.0 - c.a) * c.a).clamp(.real(1e-12), nil), isWeighted ? c.c : nil) },
        { c in try weighted(limitedLog(1.0 - c.a) - limitedLog(c.a), isWeighted ? c.c : nil) },
        { c in try losses(c.a, c.b) },
      ].dropLast(isWeighted ? 0 : 1)
    ) { try weighted(losses(self, target), weight) }
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
    // L = w·((1 − t)·x − (1 + (p − 1)·t)·ln σ(x)), where w and p may be absent, which is 1.
    let inputs = [self, target] + [weight, positiveWeight].compactMap { $0 }
    let place: UInt8? = weight == nil ? nil : 2
    let positivePlace: UInt8? = positiveWeight == nil ? nil : UInt8(inputs.count - 1)
    func losses(_ x: Tensor, _ t: Tensor, _ p: Tensor?) throws -> Tensor {
      let logSigmoid = try Unary.logsigmoid(x)
      return try (1.0 - t) * x - (p.map { try (($0 - 1.0) * t + 1.0) * logSigmoid } ?? logSigmoid)
    }
    func weighted(_ losses: Tensor, _ weight: Tensor?) throws -> Tensor { try weight.map { try losses * $0 } ?? losses }
    var rules: [(borrowing Backward) throws -> Tensor] = [
      { c in
        let slope: Tensor
        if let positivePlace {
          slope = try (1.0 - c.b) - ((c.input(positivePlace) - 1.0) * c.b + 1.0) * (-c.a).sigmoid()
        } else {
          slope = try c.a.sigmoid() - c.b
        }
        return try weighted(slope, place.map { try c.input($0) })
      },
      { c in
        let slope = try positivePlace.map { try -c.a - (c.input($0) - 1.0) * Unary.logsigmoid(c.a) } ?? -c.a
        return try weighted(slope, place.map { try c.input($0) })
      },
    ]
    if place != nil { rules.append { c in try losses(c.a, c.b, positivePlace.map { try c.input($0) }) } }
    if positivePlace != nil {
      rules.append { c in try weighted(-c.b * Unary.logsigmoid(c.a), place.map { try c.input($0) }) }
    }
    let all = Uses(rawValue: UInt8((1 << inputs.count) - 1))
    return try elementwiseLoss(
      "BinaryCrossEntropyWithLogitsBackward0", inputs, reduction,
      uses: [all, all.subtracting(.b), all.subtracting(.c), all], rules
    ) { try weighted(losses(self, target, positiveWeight), weight) }
  }

  /// ½d²/beta near 0, |d| − ½beta beyond beta, with d = x − target.
  public func smoothL1Loss(_ target: Tensor, beta: Double = 1, reduction: Reduction = .mean) throws -> Tensor {
    guard beta >= 0 else { throw TensorError(.argument, "smooth_l1_loss", "beta must not be negative, got \(beta)") }
    if beta == 0 { return try l1Loss(target, reduction: reduction) }
    return try elementwiseLoss(
      "SmoothL1LossBackward0", [self, target], reduction, uses: [[.a, .b], [.a, .b]],
      [
        { c in try ((c.a - c.b) * (1 / beta)).clamp(.real(-1), .real(1)) },
        { c in try ((c.b - c.a) * (1 / beta)).clamp(.real(-1), .real(1)) },
      ]
    ) {
      let distance = try (self - target).abs()
      return try distance.lt(beta).choosing(distance.square() * (0.5 / beta), else: distance - 0.5 * beta)
    }
  }

  /// ½d² near 0, delta·(|d| − ½delta) beyond delta.
  public func huberLoss(_ target: Tensor, delta: Double = 1, reduction: Reduction = .mean) throws -> Tensor {
    guard delta > 0 else { throw TensorError(.argument, "huber_loss", "delta must be positive, got \(delta)") }
    return try elementwiseLoss(
      "HuberLossBackward0", [self, target], reduction, uses: [[.a, .b], [.a, .b]],
      [
        { c in try (c.a - c.b).clamp(.real(-delta), .real(delta)) },
        { c in try (c.b - c.a).clamp(.real(-delta), .real(delta)) },
      ]
    ) {
      let distance = try (self - target).abs()
      return try distance.le(delta).choosing(distance.square() * 0.5, else: (distance - 0.5 * delta) * delta)
    }
  }
}

/// Squared error's gradients.
enum Loss {
  static let meanSquares = Squares(mean: true)
  static let sumSquares = Squares(mean: false)
  /// Squares one by one, not reduced.
  static let squares = Squares(mean: false, reduced: false)

  final class Squares: Formulas, @unchecked Sendable {
    let mean, reduced: Bool

    init(mean: Bool, reduced: Bool = true) {
      self.mean = mean
      self.reduced = reduced
      super.init("MseLossBackward0", [.uses([.a, .b]) { c in c.g }, .uses([.a, .b]) { c in c.g }])
    }

    override func run(_ pass: inout Backward) throws {
      let (x, t) = (try pass.a, try pass.b)
      let scale = 2 / (mean ? Double(x.count) : 1)
      if pass.createsGraph || !reduced {
        let slope = try (x - t) * scale * pass.g
        if pass.needs(0) { pass[0] = slope }
        if pass.needs(1) { pass[1] = try -slope }
        return
      }
      let (px, pt) = (try x.packed(), try t.packed())
      let factor = pass.g.element(0).real * scale
      for input in 0..<2 where pass.needs(input) {
        let dx = try Tensor(uninitialized: x.shape, x.dtype)
        mg_scaled_difference(x.dtype.kernel, Int64(x.count), input == 0 ? factor : -factor, px.data, pt.data, dx.data)
        pass[input] = dx
      }
    }
  }

  private static let target = Parameter("target", .tensor)
  private static let reduction = Parameter("reduction", .string, default: "\"mean\"")
  private static func elementwise(_ a: Sample.Value, _ b: Sample.Value) -> [Sample] {
    [[a, b], [a, b, .text("sum")], [a, b, .text("none")]]
  }

  static let list: [TensorOperation] = [
    TensorOperation(
      "mse_loss", "(input − target)², reduced.", [.input, target, reduction], forms: .functional,
      samples: elementwise(.float(2, 3), .float(2, 3)), rejects: [[.float(2, 1), .float(2)], [.float(2), .float(2), .text("max")]]
    ) { .tensor(try $0.tensor(0).mseLoss(try $0.tensor(1), reduction: Reduction(named: try $0.string(2, default: "mean"), "mse_loss"))) },
    TensorOperation(
      "l1_loss", "|input − target|, reduced.", [.input, target, reduction], forms: .functional,
      samples: elementwise(.float(2, 3), .float(2, 3))
    ) { .tensor(try $0.tensor(0).l1Loss(try $0.tensor(1), reduction: Reduction(named: try $0.string(2, default: "mean"), "l1_loss"))) },
    TensorOperation(
      "cross_entropy", "−log-probability of the target class, from logits (batch, classes).",
      [
        .input, .init("target", .labels), .init("weight", .tensor, optional: true), .init("ignore_index", .index, default: "-100"),
        reduction,
        .init("label_smoothing", .number, default: "0"),
      ], forms: .functional,
      samples: [
        [.float(4, 3), .positions([4], 0...2)], [.float(3), .positions([], 0...2)], [.float(4, 3), .positions([4], 0...2), .positive(3)],
        [.float(4, 3), .positions([4], 0...2), .absent, .integer(1)],
        [.float(4, 3), .positions([4], 0...2), .absent, .integer(-100), .text("sum")],
        [.float(4, 3), .positions([4], 0...2), .absent, .integer(-100), .text("none")], [.float(2, 3, 4), .positions([2, 4], 0...2)],
        [.float(4, 3), .positions([4], 0...2), .absent, .integer(-100), .text("mean"), .number(0.1)], [.float(4, 3), .positive(4, 3)],
      ],
      rejects: [[.float(4, 3), .positions([4], 3...3)], [.float(4, 3), .positions([3], 0...2)]]
    ) {
      .tensor(
        try $0.tensor(0).crossEntropy(
          try $0.tensor(1), weight: try $0.optionalTensor(2), ignoring: try $0.integer(3, default: -100),
          reduction: Reduction(named: try $0.string(4, default: "mean"), "cross_entropy"), smoothing: try $0.number(5, default: 0)))
    },
    TensorOperation(
      "nll_loss", "−input at the target class, for log-probabilities.",
      [
        .input, .init("target", .labels), .init("weight", .tensor, optional: true), .init("ignore_index", .index, default: "-100"),
        reduction,
      ],
      forms: .functional,
      samples: [
        [.float(4, 3), .positions([4], 0...2)], [.float(4, 3), .positions([4], 0...2), .positive(3)],
        [.float(4, 3), .positions([4], 0...2), .absent, .integer(1), .text("sum")], [.float(2, 3, 4), .positions([2, 4], 0...2)],
      ],
      rejects: [[.float(4, 3), .positions([4], 3...3)]]
    ) {
      .tensor(
        try $0.tensor(0).nllLoss(
          try $0.tensor(1), weight: try $0.optionalTensor(2), ignoring: try $0.integer(3, default: -100),
          reduction: Reduction(named: try $0.string(4, default: "mean"), "nll_loss")))
    },
    TensorOperation(
      "binary_cross_entropy", "−(t·ln x + (1−t)·ln(1−x)) of probabilities.",
      [.input, target, .init("weight", .tensor, optional: true), reduction],
      forms: .functional,
      samples: [
        [.float([2, 3], 0.1...0.9), .float([2, 3], 0...1)], [.float([3], 0.1...0.9), .float([3], 0...1), .positive(3), .text("sum")],
      ],
      rejects: [[.float([2], 1.5...2), .float([2], 0...1)]]
    ) {
      .tensor(
        try $0.tensor(0).binaryCrossEntropy(
          try $0.tensor(1), weight: try $0.optionalTensor(2),
          reduction: Reduction(named: try $0.string(3, default: "mean"), "binary_cross_entropy")))
    },
    TensorOperation(
      "binary_cross_entropy_with_logits", "Binary cross-entropy of sigmoid(input), without overflow.",
      [.input, target, .init("weight", .tensor, optional: true), reduction, .init("pos_weight", .tensor, optional: true)],
      forms: .functional,
      samples: [
        [.float(2, 3), .float([2, 3], 0...1)], [.float(2, 3), .float([2, 3], 0...1), .positive(3), .text("sum")],
        [.float(2, 3), .float([2, 3], 0...1), .absent, .text("mean"), .positive(3)],
      ],
      rejects: [[.float(2), .float(3)]]
    ) {
      .tensor(
        try $0.tensor(0).binaryCrossEntropyWithLogits(
          try $0.tensor(1), weight: try $0.optionalTensor(2), positiveWeight: try $0.optionalTensor(4),
          reduction: Reduction(named: try $0.string(3, default: "mean"), "binary_cross_entropy_with_logits")))
    },
    TensorOperation(
      "smooth_l1_loss", "½d²/beta near 0, |d| − ½beta beyond.", [.input, target, reduction, .init("beta", .number, default: "1")],
      forms: .functional,
      samples: [[.float(2, 3), .float([2, 3], 0...3)], [.float(2, 3), .float(2, 3), .text("sum"), .number(0.5)]]
    ) {
      .tensor(
        try $0.tensor(0).smoothL1Loss(
          try $0.tensor(1), beta: try $0.number(3, default: 1),
          reduction: Reduction(named: try $0.string(2, default: "mean"), "smooth_l1_loss")))
    },
    TensorOperation(
      "huber_loss", "½d² near 0, delta·(|d| − ½delta) beyond.", [.input, target, reduction, .init("delta", .number, default: "1")],
      forms: .functional,
      samples: [[.float(2, 3), .float([2, 3], 0...3)], [.float(2, 3), .float(2, 3), .text("sum"), .number(0.5)]]
    ) {
      .tensor(
        try $0.tensor(0).huberLoss(
          try $0.tensor(1), delta: try $0.number(3, default: 1),
          reduction: Reduction(named: try $0.string(2, default: "mean"), "huber_loss")))
    },
  ]
}

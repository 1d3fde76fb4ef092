// Losses that are formulas of other operations: divergences, margins, likelihoods.

import Glibc

extension Tensor {
  /// The tensors, as floats where none of them is one.
  private static func floating(_ tensors: [Tensor]) throws -> [Tensor] {
    if tensors.contains(where: { $0.dtype.isFloating }) { return tensors }
    return try tensors.map { try $0.to(DType.defaultFloating) }
  }

  /// For losses of labels, which PyTorch has no halves for.
  func requireFullFloating(_ operation: String) throws {
    guard dtype == .float32 || dtype == .float64 else {
      throw TensorError(.dtype, operation, "a tensor of float32 or float64 is needed, this one is \(dtype)")
    }
  }

  /// t·(ln t − x) for log-probabilities x, or with the target as logarithms too.
  public func klDiv(_ target: Tensor, reduction: String = "mean", logTarget: Bool = false) throws -> Tensor {
    let (x, target) = try Tensor.floats(self, target)
    let each = try logTarget ? target.exp() * (target - x) : Binary.xlogy(target, target) - target * x
    if reduction == "batchmean" {
      guard rank > 0 else { throw TensorError(.shape, "kl_div", "\"batchmean\" needs a batch, the shape is \(shape)") }
      return try each.sum() / Double(shape[0])
    }
    guard let known = Reduction(rawValue: reduction) else {
      throw TensorError(
        .argument, "kl_div", "reduction must be \"mean\", \"batchmean\", \"sum\" or \"none\", got \"\(reduction)\"")
    }
    return try each.reduced(known)
  }

  /// 1 − cos for pairs that belong together (target 1), cos − margin where positive for those that do not (−1).
  public static func cosineEmbeddingLoss(
    _ a: Tensor, _ b: Tensor, _ target: Tensor, margin: Double = 0, reduction: Reduction = .mean
  ) throws -> Tensor {
    let name = "cosine_embedding_loss"
    let (a, b) = try floats(a, b)
    let shape = try Shape.broadcast(a.shape, b.shape, name)
    guard shape.rank == target.rank + 1, shape.rank <= 2, shape.rank == 1 || shape[0] == target.count else {
      throw TensorError(
        .shape, name,
        "inputs of shapes \(a.shape) and \(b.shape) need a target of shape \(shape.removing([shape.rank - 1], keeping: false)), got \(target.shape)"
      )
    }
    return try Formula.of([a, b, target.detach()], "MeanBackward0", ["self": .input(0)]) { inputs in
      let (a, b) = (inputs[0], inputs[1])
      let lengths = try ((a.square().sum([-1]) + 1e-12) * (b.square().sum([-1]) + 1e-12)).sqrt()
      let cosines = try (a * b).sum([-1]) / lengths
      return try sides(inputs[2], near: 1 - cosines, far: (cosines - margin).clamp(.real(0), nil)).reduced(reduction)
    }
  }

  /// `near` where the target is 1 and `far` where it is −1; 0 elsewhere.
  private static func sides(_ target: Tensor, near: Tensor, far: Tensor) throws -> Tensor {
    let nothing = try Tensor.zeros(like: near)
    return try Comparison.eq(target, .integer(1)).choosing(near, else: nothing)
      + Comparison.eq(target, .integer(-1)).choosing(far, else: Tensor.zeros(like: far))
  }

  /// x where the target is 1, margin − x where that is positive and the target −1.
  public func hingeEmbeddingLoss(_ target: Tensor, margin: Double = 1, reduction: Reduction = .mean) throws -> Tensor {
    let x = try dtype.isFloating ? self : to(DType.defaultFloating)
    _ = try Shape.broadcast(shape, target.shape, "hinge_embedding_loss")
    return try Formula.of([x, target.detach()], "MeanBackward0", ["self": .input(0)]) { inputs in
      let (x, target) = (inputs[0], inputs[1])
      let far = try (margin - x).clamp(.real(0), nil)
      // A target that is neither counts as both, as in PyTorch.
      return try
        (Comparison.ne(target, .integer(1)).choosing(far, else: Tensor.zeros(like: far))
        + Comparison.ne(target, .integer(-1)).choosing(x, else: Tensor.zeros(like: x))).reduced(reduction)
    }
  }

  /// margin − t·(x1 − x2) where that is positive: x1 should be the larger where the target is 1.
  public static func marginRankingLoss(
    _ a: Tensor, _ b: Tensor, _ target: Tensor, margin: Double = 0, reduction: Reduction = .mean
  ) throws -> Tensor {
    guard a.rank == b.rank, a.rank == target.rank else {
      throw TensorError(
        .shape, "margin_ranking_loss",
        "inputs and target must have as many dimensions, got shapes \(a.shape), \(b.shape) and \(target.shape)")
    }
    let (a, b) = try floats(a, b)
    return try (Unary.neg(target.dtype == .bool ? target.to(a.dtype) : target) * (a - b) + margin).clamp(.real(0), nil).reduced(reduction)
  }

  /// ln(1 + exp(−t·x)), without overflow.
  public func softMarginLoss(_ target: Tensor, reduction: Reduction = .mean) throws -> Tensor {
    guard shape == target.shape else {
      throw TensorError(.shape, "soft_margin_loss", "input of shape \(shape) and target of shape \(target.shape) differ")
    }
    let (x, target) = try Tensor.floats(self, target)
    return try Unary.neg(Unary.logsigmoid(target * x)).reduced(reduction)
  }

  /// The mean over the wrong classes of (margin − x at the label + x there) where that is positive, to the power of p.
  public func multiMarginLoss(
    _ target: Tensor, p: Double = 1, margin: Double = 1, weight: Tensor? = nil, reduction: Reduction = .mean
  ) throws -> Tensor {
    let name = "multi_margin_loss"
    try requireFullFloating(name)
    guard p == 1 || p == 2 else { throw TensorError(.argument, name, "p must be 1 or 2, got \(p)") }
    guard rank == 1 || rank == 2, shape[rank - 1] > 0 else {
      throw TensorError(.shape, name, "inputs have shape (classes) or (batch, classes), got \(shape)")
    }
    let (classes, rows) = (shape[rank - 1], rank == 1 ? 1 : shape[0])
    guard target.count == rows, target.rank <= rank - 1 || (rank == 1 && target.rank == 1) else {
      throw TensorError(.shape, name, "a target of shape \(target.shape) does not fit an input of shape \(shape)")
    }
    try target.checkLabels(classes, 0, name)
    try weight?.checkClassWeight(classes, dtype, name)
    return try Formula.of([self, target] + (weight.map { [$0] } ?? []), "MultiMarginLossBackward0", ["self": .input(0)]) { inputs in
      // They are looked at again, since they may have been written to.
      try inputs[1].checkLabels(classes, 0, name)
      let (x, labels) = (try inputs[0].reshape([rows, classes]), try inputs[1].to(.int64).reshape([rows, 1]))
      var each = try (margin - x.gather(1, labels) + x).clamp(.real(0), nil)
      if p == 2 { each = try each.square() }
      if inputs.count > 2 { each = try each * inputs[2].indexSelect(0, labels.reshape([-1])).unsqueeze(1) }
      let others = try Tensor.ones([rows, classes], dtype: x.dtype).scatter(1, labels, .integer(0))
      let losses = try (each * others).sum([1]) / Double(classes)
      return try reduction == .none ? losses.reshape(inputs[1].shape.array) : losses.reduced(reduction)
    }
  }

  /// Σ over the labels of a row and the classes that are none of (1 − x at the label + x there) where that is positive, by the
  /// number of classes. A row's labels end at −1.
  public func multilabelMarginLoss(_ target: Tensor, reduction: Reduction = .mean) throws -> Tensor {
    let name = "multilabel_margin_loss"
    try requireFullFloating(name)
    guard rank == 1 || rank == 2, shape[rank - 1] > 0, target.shape == shape else {
      throw TensorError(
        .shape, name, "input and target have one shape, (classes) or (batch, classes); got \(shape) and \(target.shape)")
    }
    try target.checkLabels(shape[rank - 1], -1, name)
    let (classes, rows) = (shape[rank - 1], rank == 1 ? 1 : shape[0])
    return try Formula.of([self, target], "MultilabelMarginLossBackward0", ["self": .input(0)]) { inputs in
      try inputs[1].checkLabels(classes, -1, name)
      let x = try inputs[0].reshape([rows, classes])
      let labels = try inputs[1].to(.int64).reshape([rows, classes])
      // 1 for the labels before the first −1.
      let present = try Comparison.eq(Comparison.lt(labels, .integer(0)).to(.int64).cumsum(1), .integer(0)).to(x.dtype)
      let most = rows == 0 ? 0 : Int(try present.sum([1]).max().item().real)
      let counts = try present.narrow(1, 0, most)
      let places = try labels.clamp(.integer(0), nil).narrow(1, 0, most)
      let isLabel = try Tensor.zeros([rows, classes], dtype: x.dtype).scatterAdd(1, places, counts).clamp(nil, .real(1))
      // For each label of a row, all classes.
      let each = try (1 - x.gather(1, places).unsqueeze(2) + x.unsqueeze(1)).clamp(.real(0), nil)
      let losses = try (each * counts.unsqueeze(2) * (1 - isLabel).unsqueeze(1)).sum([1, 2]) / Double(classes)
      return try reduction == .none ? losses.reshape(inputs[0].rank == 1 ? [] : [rows]) : losses.reduced(reduction)
    }
  }

  /// The mean over classes of binary cross-entropy with logits.
  public func multilabelSoftMarginLoss(_ target: Tensor, weight: Tensor? = nil, reduction: Reduction = .mean) throws -> Tensor {
    let name = "multilabel_soft_margin_loss"
    guard rank > 0 else { throw TensorError(.shape, name, "a dimension of classes is needed, the shape is \(shape)") }
    guard shape == target.shape else {
      throw TensorError(.shape, name, "input of shape \(shape) and target of shape \(target.shape) differ")
    }
    let (floats, target) = try Tensor.floats(self, target)
    let x = try floats.dtype.isFloating ? floats : floats.to(target.dtype)
    var each = try Unary.neg(target * Unary.logsigmoid(x) + (1 - target) * Unary.logsigmoid(Unary.neg(x)))
    if let weight { each = try each * weight }
    return try (each.sum([-1]) / Double(Swift.max(shape[rank - 1], 1))).reduced(reduction)
  }

  /// The p-norm of the anchor's distance to the positive − that to the negative + margin, where that is positive.
  public static func tripletMarginLoss(
    _ anchor: Tensor, _ positive: Tensor, _ negative: Tensor, margin: Double = 1, p: Double = 2, eps: Double = 1e-6, swap: Bool = false,
    reduction: Reduction = .mean
  ) throws -> Tensor {
    guard anchor.rank == positive.rank, anchor.rank == negative.rank else {
      throw TensorError(
        .shape, "triplet_margin_loss",
        "the three must have as many dimensions, got shapes \(anchor.shape), \(positive.shape) and \(negative.shape)")
    }
    guard margin > 0 else { throw TensorError(.argument, "triplet_margin_loss", "margin must be above 0, got \(margin)") }
    func distance(_ a: Tensor, _ b: Tensor) throws -> Tensor { try (a - b + eps).norm(p, [-1]) }
    let near = try distance(anchor, positive)
    var far = try distance(anchor, negative)
    if swap { far = try far.minimum(distance(positive, negative)) }
    return try (near - far + margin).clamp(.real(0), nil).reduced(reduction)
  }

  /// exp(x) − t·x for logarithms x of rates, or x − t·ln(x + eps); `full` adds Stirling's terms for targets above 1.
  public func poissonNLLLoss(
    _ target: Tensor, logInput: Bool = true, full: Bool = false, eps: Double = 1e-8, reduction: Reduction = .mean
  ) throws -> Tensor {
    let (x, target) = try Tensor.floats(self, target)
    _ = try Shape.broadcast(shape, target.shape, "poisson_nll_loss")
    return try Formula.of([x, target], "MeanBackward0", ["self": .input(0)]) { inputs in
      let (x, t) = (inputs[0], inputs[1])
      var each = try logInput ? x.exp() - t * x : x - t * (x + eps).log()
      if full {
        let stirling = try t * t.log() - t + (t * (2 * .pi)).log() * 0.5
        each = try each + Comparison.le(t, .integer(1)).choosing(Tensor.zeros(like: stirling), else: stirling)
      }
      return try each.reduced(reduction)
    }
  }

  /// ½·(ln v + (x − t)²/v) for variances v, which count as eps where they are lower; `full` adds ½·ln 2π.
  public func gaussianNLLLoss(
    _ target: Tensor, _ variance: Tensor, full: Bool = false, eps: Double = 1e-6, reduction: Reduction = .mean
  ) throws -> Tensor {
    let name = "gaussian_nll_loss"
    let list = try Tensor.floating([self, target, variance])
    guard eps > 0 else { throw TensorError(.argument, name, "eps must be above 0, got \(eps)") }
    let isOneLess = rank > 0 && variance.shape == shape.removing([rank - 1], keeping: false)
    guard
      variance.shape == shape || isOneLess || (variance.rank == rank && rank > 0 && variance.shape == shape.replacing(rank - 1, with: 1))
    else {
      throw TensorError(
        .shape, name, "var must have the input's shape \(shape), or that without its last dimension; got \(variance.shape)")
    }
    if try variance.lt(0).any().item() == .boolean(true) { throw TensorError(.domain, name, "var has negative elements") }
    return try Formula.of(list, "MeanBackward0", ["self": .input(0)]) { inputs in
      let (x, t, given) = (inputs[0], inputs[1], isOneLess && inputs[2].rank < inputs[0].rank ? try inputs[2].unsqueeze(-1) : inputs[2])
      // Gradients pass as if no variance were too low.
      let v = try given + (withNoGrad { try given.clamp(.real(eps), nil) - given }).detach()
      let each = try (v.log() + (x - t).square() / v) * 0.5
      return try (full ? each + 0.5 * Glibc.log(2 * Double.pi) : each).reduced(reduction)
    }
  }
}

enum LossFormulas {
  private static let target = Take.tensor("target")
  private static let signs: Sample.Value = .values([4], [1, -1, 1, -1])
  private static let none: Sample.Value = .text("none")

  static let list: [TensorOperation] = [
    TensorOperation(
      "kl_div", "target · (ln target − input) for log-probabilities: the divergence of one distribution from another.", Take.input, target,
      Take.text("reduction", default: "mean").oneOf("none", "mean", "sum", "batchmean"), Take.flag("log_target", default: false),
      forms: .functional,
      samples: [
        [.float(2, 3), .positive(2, 3)], [.float(2, 3), .positive(2, 3), .text("batchmean")],
        [.float(2, 3), .float(2, 3), .text("sum"), .flag(true)], [.float(2, 3), .positive(2, 3), none],
      ], rejects: [[.float(2), .positive(3)]], composed: true
    ) { x, target, reduction, isLog in .tensor(try x.klDiv(target, reduction: reduction, logTarget: isLog)) },
    TensorOperation(
      "cosine_embedding_loss", "1 − cos of pairs that belong together (target 1), cos − margin of those that do not (−1), from 0 up.",
      Take.tensor("input1"), Take.tensor("input2"), target, Take.number("margin", default: 0), Take.reduction, forms: .functional,
      samples: [
        [.float(4, 3), .float([4, 3], -1...3), signs], [.float(4, 3), .float([4, 3], -1...3), signs, .number(0.25), none],
        [.float(4, 3), .float([4, 3], 0...3), signs, .number(-0.5), .text("sum")],
      ], rejects: [[.float(4, 3), .float(4, 3), .float(3)], [.float(4, 3), .float(4, 2), signs]], composed: true
    ) { a, b, target, margin, reduction in
      .tensor(try Tensor.cosineEmbeddingLoss(a, b, target, margin: margin, reduction: reduction))
    },
    TensorOperation(
      "hinge_embedding_loss", "input where the target is 1, margin − input from 0 up where it is −1.", Take.input, target,
      Take.number("margin", default: 1), Take.reduction, forms: .functional,
      samples: [
        [.float(4), signs], [.float(4), signs, .number(2), .text("sum")],
        [.float(2, 4), .values([2, 4], [1, -1, 1, 1, -1, -1, 1, -1]), .absent, none],
      ],
      rejects: [[.float(3), signs]], composed: true, batching: .loss
    ) { x, target, margin, reduction in .tensor(try x.hingeEmbeddingLoss(target, margin: margin, reduction: reduction)) },
    TensorOperation(
      "margin_ranking_loss", "margin − target · (input1 − input2) from 0 up.", Take.tensor("input1"), Take.tensor("input2"), target,
      Take.number("margin", default: 0), Take.reduction, forms: .functional,
      samples: [[.float(4), .float([4], -1...1), signs], [.float(4), .float([4], -1...1), signs, .number(0.5), none]],
      rejects: [[.float(4), .float(4), .float(2, 4)], [.float(4), .float(3), signs]], composed: true, batching: .loss
    ) { a, b, target, margin, reduction in .tensor(try Tensor.marginRankingLoss(a, b, target, margin: margin, reduction: reduction)) },
    TensorOperation(
      "soft_margin_loss", "ln(1 + exp(−target · input)).", Take.input, target, Take.reduction, forms: .functional,
      samples: [[.float(4), signs], [.float(4), signs, .text("sum")], [.float(4), signs, none]], rejects: [[.float(3), signs]],
      composed: true,
      batching: .loss
    ) { x, target, reduction in .tensor(try x.softMarginLoss(target, reduction: reduction)) },
    TensorOperation(
      "multi_margin_loss", "The mean over wrong classes of (margin − input at the label + input there) from 0 up, to the power of p.",
      Take.input, Take.labels("target"), Take.number("p", default: 1), Take.number("margin", default: 1), Take.optionalTensor("weight"),
      Take.reduction, forms: .functional,
      samples: [
        [.float(4, 3), .positions([4], 0...2)], [.float(4, 3), .positions([4], 0...2), .number(2), .number(0.5)],
        [.float(4, 3), .positions([4], 0...2), .number(1), .number(1.5), .positive(3), none], [.float(3), .positions([1], 1...1)],
      ],
      rejects: [
        [.float(4, 3), .positions([4], 3...3)], [.float(4, 3), .positions([3], 0...2)], [.float(4, 3), .positions([4], 0...2), .number(3)],
      ], composed: true
    ) { x, target, p, margin, weight, reduction in
      .tensor(try x.multiMarginLoss(target, p: p, margin: margin, weight: weight, reduction: reduction))
    },
    TensorOperation(
      "multilabel_margin_loss",
      "The margins between the labels of a row, which end at −1, and the classes that are none, from 0 up, by the number of classes.",
      Take.input, Take.labels("target"), Take.reduction, forms: .functional,
      samples: [
        [.float(2, 4), .positions([2, 4], -1...3)], [.float(3), .positions([3], -1...1), .text("sum")],
        [.float(2, 4), .positions([2, 4], 0...3), none],
      ], rejects: [[.float(2, 3), .positions([2, 3], 3...3)], [.float(2, 3), .positions([3], 0...2)]], composed: true
    ) { x, target, reduction in .tensor(try x.multilabelMarginLoss(target, reduction: reduction)) },
    TensorOperation(
      "multilabel_soft_margin_loss", "The mean over classes of binary cross-entropy with logits.", Take.input, target,
      Take.optionalTensor("weight"), Take.reduction, forms: .functional,
      samples: [
        [.float(2, 3), .float([2, 3], 0...1)], [.float(2, 3), .float([2, 3], 0...1), .positive(3), .text("sum")],
        [.float(2, 3), .float([2, 3], 0...1), .absent, none],
      ], rejects: [[.float(2), .float(3)]], composed: true, batching: .loss
    ) { x, target, weight, reduction in .tensor(try x.multilabelSoftMarginLoss(target, weight: weight, reduction: reduction)) },
    TensorOperation(
      "triplet_margin_loss", "The anchor's distance to the positive − that to the negative + margin, from 0 up.", Take.tensor("anchor"),
      Take.tensor("positive"), Take.tensor("negative"), Take.number("margin", default: 1), Take.number("p", default: 2),
      Take.number("eps", default: 1e-6), Take.flag("swap", default: false), Take.reduction, forms: .functional,
      samples: [
        [.float(4, 3), .float([4, 3], -1...3), .float([4, 3], 0...2)],
        [.float(4, 3), .float([4, 3], -1...3), .float([4, 3], 0...2), .number(2.5), .number(1), .number(0.01), .flag(true), none],
        [.float(3), .float([3], -1...3), .float([3], 0...2), .absent, .absent, .absent, .absent, .text("sum")],
      ], rejects: [[.float(4, 3), .float(3), .float(4, 3)], [.float(2, 2), .float(2, 2), .float(2, 2), .number(-1)]], composed: true,
      batching: .loss
    ) { anchor, positive, negative, margin, p, eps, swap, reduction in
      .tensor(try Tensor.tripletMarginLoss(anchor, positive, negative, margin: margin, p: p, eps: eps, swap: swap, reduction: reduction))
    },
    TensorOperation(
      "poisson_nll_loss", "exp(input) − target · input, or of rates input − target · ln(input + eps).", Take.input, target,
      Take.flag("log_input", default: true), Take.flag("full", default: false), Take.number("eps", default: 1e-8), Take.reduction,
      forms: .functional,
      samples: [
        [.float(2, 3), .positive(2, 3)], [.positive(2, 3), .positive(2, 3), .flag(false), .flag(true), .number(0.1), none],
        [.float(2, 3), .float([2, 3], 1.5...6), .flag(true), .flag(true), .absent, .text("sum")],
      ], rejects: [[.float(2), .positive(3)]], composed: true, batching: .loss
    ) { x, target, isLog, full, eps, reduction in
      .tensor(try x.poissonNLLLoss(target, logInput: isLog, full: full, eps: eps, reduction: reduction))
    },
    TensorOperation(
      "gaussian_nll_loss", "½ · (ln var + (input − target)²/var), where var counts as eps if it is lower.", Take.input, target,
      Take.tensor("var"), Take.flag("full", default: false), Take.number("eps", default: 1e-6), Take.reduction, forms: .functional,
      samples: [
        [.float(2, 3), .float([2, 3], -1...1), .positive(2, 3)],
        [.float(2, 3), .float([2, 3], -1...1), .positive(2), .flag(true), .number(0.1), none],
        [.float(2, 3), .float([2, 3], -1...1), .positive(2, 1), .flag(false), .absent, .text("sum")],
      ], rejects: [[.float(2, 3), .float(2, 3), .float(3)], [.float(2), .float(2), .values([2], [-1, 1])]], composed: true
    ) { x, target, variance, full, eps, reduction in
      .tensor(try x.gaussianNLLLoss(target, variance, full: full, eps: eps, reduction: reduction))
    },
  ]
}

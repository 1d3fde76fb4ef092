// Losses of class labels as single operations, with a fused kernel in the usual case.

extension Tensor {
  /// −log-probability of the target class. Logits are `(classes)`, `(batch, classes)` or `(batch, classes, …)`; the
  /// target holds class numbers (int64) of the shape without classes, or probabilities of the logits' shape.
  ///
  /// Classes count from 0 here, and from 1 in scripts. A tensor of labels that a host and a script share has the numbers of one of them:
  /// the other adds or subtracts 1.
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
    // Tangents pass the operations that the kernel stands for.
    if rank <= 2, smoothing == 0, reduction != .none, weight == nil || !weight!.requiresGrad, !TangentLevels.areInForce {
      return try fusedCrossEntropy(target, weight, ignored, mean: reduction == .mean)
    }
    let logp = try logSoftmax(axis)
    let nll = try logp.nllLoss(target, weight: weight, ignoring: ignored, reduction: reduction)
    guard smoothing > 0 else { return nll }
    let spread = try weight.map { try logp * $0.alongClasses(rank, axis) } ?? logp
    let smooth = try -spread.sum([axis]) * target.shares(ignored, nil, dtype)
    let total: Tensor
    switch reduction {
    case .none: total = smooth
    case .sum: total = try smooth.sum()
    case .mean: total = try smooth.sum() / target.shares(ignored, weight, dtype).sum()
    }
    return try nll * (1 - smoothing) + total * (smoothing / Double(classes))
  }

  private func alongClasses(_ rank: Int, _ axis: Int) throws -> Tensor {
    try reshape((0..<rank).map { $0 == axis ? count : 1 })
  }

  /// Checked labels, `ignored` ones too.
  func checkLabels(_ classes: Int, _ ignored: Int, _ operation: String) throws {
    guard !dtype.isFloating, dtype != .bool else {
      throw TensorError(.dtype, operation, "class labels must be whole numbers (int64), got a tensor of \(dtype)")
    }
    let labels = try converted(to: .int64).packed()
    let first = labels.data.assumingMemoryBound(to: Int64.self)
    defer { withExtendedLifetime(labels) {} }
    for position in 0..<count {
      let label = Int(first[position])
      guard label == ignored || (label >= 0 && label < classes) else {
        throw TensorError(.index, operation, "label \(index: label) is not one of the \(classes) classes")
      }
    }
  }

  /// Labels with ignored ones replaced by class 0.
  fileprivate func safeLabels(_ ignored: Int) throws -> Tensor {
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
    let (total, totalWeight) = try CrossEntropy.kernel(
      dtype, .read(x.data, dtype, count), .read(t.data, .int64, rows), w.map { .read($0.data, dtype, classes) },
      .write(logp.data, dtype, count), sizes: (rows, classes, ignored, 0))
    let divisor = mean ? totalWeight : 1
    let y = try Tensor.filled([], .real(total / divisor), dtype: dtype)
    let operation = CrossEntropy(ignoreIndex: ignored, isWeighted: w != nil, reduction: mean ? .mean : .sum, divisor: divisor, from: shape)
    return try y.recorded(operation, [self], [t] + (w.map { [$0] } ?? []), own: [logp])
  }

  func checkClassWeight(_ classes: Int, _ dtype: DType, _ operation: String) throws {
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
    let places = try target.places(ignored, axis)
    let factor = try target.shares(ignored, weight, dtype)
    func loss() throws -> Tensor {
      let losses = try -(gather(axis, places).squeeze([axis] as Axes) * factor)
      return try reduction == .mean ? losses.sum() / factor.sum() : losses.reduced(reduction)
    }
    // PyTorch has no gradient for class weights; here the composed form gives it.
    if try factor.feeds() || !factor.tangents.isEmpty { return try loss() }
    let operation = NegativeLogLikelihood(ignoreIndex: ignored, isWeighted: weight != nil, reduction: reduction, from: shape)
    return try withNoGrad(loss).recorded(operation, [self], [target] + (weight.map { [$0] } ?? []))
  }

  /// Where the labels lie along `axis`; ignored ones are put in place 0.
  fileprivate func places(_ ignored: Int, _ axis: Int) throws -> Tensor { try safeLabels(ignored).unsqueeze(axis) }

  /// What each label counts: its class' weight, or 1; 0 where it is ignored.
  fileprivate func shares(_ ignored: Int, _ weight: Tensor?, _ dtype: DType) throws -> Tensor {
    let counted = try Comparison.ne(self, .integer(Int64(ignored))).to(dtype)
    guard let weight else { return counted }
    return try counted * weight.indexSelect(0, safeLabels(ignored).reshape([-1])).reshape(shape)
  }
}

extension Tensor {
  /// This gradient through a chain of nodes with one input each, as far as those were made to stand for one node.
  fileprivate func passed(back node: Node) throws -> Tensor? {
    var pass = Backward(node, self, [], createsGraph: true, wanted: ~0)
    try node.run(&pass)
    guard case .node(let next, _) = node.edges[0], next.sequence == node.sequence else { return pass[0] }
    return try pass[0]?.passed(back: next)
  }
}

// MARK: On the tape

/// Log-softmax and the negative log-likelihood of labels in one kernel: of logits, then labels and perhaps class weights.
/// It keeps the log-probabilities.
private struct CrossEntropy: Operation {
  static let kernel = NamedKernel("cross_entropy")
  private static let slope = NamedKernel("cross_entropy_gradient")

  let ignoreIndex: Int
  let isWeighted: Bool
  let reduction: Reduction
  /// What the labels count together, where the loss is their mean.
  let divisor: Double
  let from: Shape

  var nodeName: String { "NllLossBackward0" }
  func uses(_ number: Int) -> Uses { isWeighted ? [.b, .c, .own] : [.b, .own] }

  func gradient(_ c: inout Backward) throws {
    // Its own gradient is that of the operations that it stands for.
    if c.createsGraph { return c[0] = try c.g.passed(back: c.node.unfused()) }
    let (logp, t) = (try c.own, try c.b)
    // Once more: writes by way of `.data` are not counted, and the kernel trusts its labels.
    try t.checkLabels(logp.shape[logp.rank - 1], ignoreIndex, "cross_entropy")
    let w = try isWeighted ? c.c : nil
    let dx = try Tensor(uninitialized: logp.shape, logp.dtype)
    let classes = logp.shape[logp.rank - 1]
    try CrossEntropy.slope(
      logp.dtype, .read(logp.data, logp.dtype, logp.count), .read(t.data, .int64, t.count),
      w.map { .read($0.data, logp.dtype, classes) }, .write(dx.data, logp.dtype, logp.count),
      sizes: (t.count, classes, ignoreIndex, 0), numbers: (c.g.element(0).real / divisor, 0, 0, 0))
    c[0] = dx
  }

  func expanded(_ node: Node) throws -> Node? {
    let softmax = OperationNode(Softmax(dim: from.rank - 1, log: true), replacing: node, edges: Edges(node.edges[0]))
    try node.share(.own(0), with: softmax, in: .output)
    let likelihood = NegativeLogLikelihood(ignoreIndex: ignoreIndex, isWeighted: isWeighted, reduction: reduction, from: from)
    let head = OperationNode(likelihood, replacing: node, edges: Edges(.node(softmax, 0)))
    for slot in [KeptSlot.input(1), .input(2)] { try node.share(slot, with: head, in: slot) }
    return head
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try inputs[0].crossEntropy(inputs[1], weight: isWeighted ? inputs[2] : nil, ignoring: ignoreIndex, reduction: reduction)]
  }
}

/// −input at the labels; of log-probabilities, then labels and perhaps class weights.
private struct NegativeLogLikelihood: Operation {
  let ignoreIndex: Int
  let isWeighted: Bool
  let reduction: Reduction
  let from: Shape

  var nodeName: String { from.rank > 2 ? "NllLoss2DBackward0" : "NllLossBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["target": .input(1), "weight": .input(2)] }
  func uses(_ number: Int) -> Uses { isWeighted ? [.b, .c] : .b }

  func gradient(_ c: inout Backward) throws {
    let (target, axis) = (try c.b, from.rank == 1 ? 0 : 1)
    let factor = try target.shares(ignoreIndex, isWeighted ? c.c : nil, c.g.dtype)
    let share = try reduction == .mean ? factor / factor.sum() : factor
    c[0] = try Tensor.zeros(from, dtype: c.g.dtype).scatterAdd(axis, target.places(ignoreIndex, axis), (-c.g * share).unsqueeze(axis))
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try inputs[0].nllLoss(inputs[1], weight: isWeighted ? inputs[2] : nil, ignoring: ignoreIndex, reduction: reduction)]
  }
}

extension Losses {
  static let classes: [TensorOperation] = [
    TensorOperation(
      "cross_entropy", "−log-probability of the target class, from logits (batch, classes).", Take.input, Take.labels("target"),
      Take.optionalTensor("weight"), Take.index("ignore_index", default: -100), Take.reduction, Take.number("label_smoothing", default: 0),
      forms: .functional,
      samples: [
        [.float(4, 3), .positions([4], 0...2)], [.float(3), .positions([], 0...2)], [.float(4, 3), .positions([4], 0...2), .positive(3)],
        [.float(4, 3), .positions([4], 0...2), .absent, .integer(1)],
        [.float(4, 3), .positions([4], 0...2), .absent, .integer(-100), .text("sum")],
        [.float(4, 3), .positions([4], 0...2), .absent, .integer(-100), .text("none")], [.float(2, 3, 4), .positions([2, 4], 0...2)],
        [.float(4, 3), .positions([4], 0...2), .absent, .integer(-100), .text("mean"), .number(0.1)], [.float(4, 3), .positive(4, 3)],
      ], rejects: [[.float(4, 3), .positions([4], 3...3)], [.float(4, 3), .positions([3], 0...2)]], batching: .classLoss
    ) { x, target, weight, ignoreIndex, reduction, smoothing in
      try .tensor(
        x.crossEntropy(
          target, weight: weight, ignoring: ignoreIndex,
          reduction: reduction, smoothing: smoothing))
    },
    TensorOperation(
      "nll_loss", "−input at the target class, for log-probabilities.", Take.input, Take.labels("target"), Take.optionalTensor("weight"),
      Take.index("ignore_index", default: -100), Take.reduction,
      forms: .functional,
      samples: [
        [.float(4, 3), .positions([4], 0...2)], [.float(4, 3), .positions([4], 0...2), .positive(3)],
        [.float(4, 3), .positions([4], 0...2), .absent, .integer(1), .text("sum")], [.float(2, 3, 4), .positions([2, 4], 0...2)],
      ], rejects: [[.float(4, 3), .positions([4], 3...3)]], batching: .classLoss
    ) { x, target, weight, ignoreIndex, reduction in
      try .tensor(
        x.nllLoss(
          target, weight: weight, ignoring: ignoreIndex,
          reduction: reduction))
    },
  ]
}

// The loss of sequences of labels that are not aligned with the input (connectionist temporal classification: Graves et al., 2006).

/// The lengths and the labels of a batch, and what follows from them; nothing here is differentiated.
private struct Alignment {
  let times, rows, classes, longest: Int
  let inputLengths, targetLengths: [Int]
  let blank: Int

  /// The labels of each row with blanks before, between and after them: (rows, 2 · longest + 1).
  let extended: Tensor
  /// 0 where a label may follow the one before the blank, a large negative number where both are one.
  let skips: [Double]

  init(_ logp: Shape, _ targets: Tensor, _ inputLengths: [Int], _ targetLengths: [Int], _ blank: Int) throws {
    func wrong(_ facts: TensorError.Facts) -> TensorError { TensorError(.shape, "ctc_loss", facts) }
    guard logp.rank == 2 || logp.rank == 3, logp[0] > 0 else {
      throw wrong("log_probs has shape (times, batch, classes) or (times, classes), got \(logp)")
    }
    (times, rows, classes) = (logp[0], logp.rank == 3 ? logp[1] : 1, logp[logp.rank - 1])
    guard inputLengths.count == rows, targetLengths.count == rows else {
      throw wrong("a batch of \(rows) needs as many lengths, got \(inputLengths.count) of inputs and \(targetLengths.count) of targets")
    }
    for (row, length) in inputLengths.enumerated() where length < 0 || length > times {
      throw wrong("input_lengths must lie between 0 and \(times), got \(length) for row \(index: row)")
    }
    guard blank >= 0, blank < classes else {
      throw TensorError(.index, "ctc_loss", "blank \(index: blank) is not one of the \(classes) classes")
    }
    guard !targets.dtype.isFloating, targets.dtype != .bool else {
      throw TensorError(.dtype, "ctc_loss", "targets must be whole numbers (int64), got a tensor of \(targets.dtype)")
    }
    let isPadded = targets.rank == 2
    let width = isPadded ? targets.shape[1] : 0
    let most = isPadded ? width : targets.count
    for (row, length) in targetLengths.enumerated() where length < 0 || length > most {
      throw wrong("target_lengths must lie between 0 and \(most), got \(length) for row \(index: row)")
    }
    guard isPadded ? targets.shape[0] == rows : targets.rank == 1 && targets.count == targetLengths.reduce(0, &+) else {
      throw wrong(
        "targets of shape \(targets.shape) do not fit: they have shape (batch, longest), or are \(targetLengths.reduce(0, &+)) labels one after another"
      )
    }
    (self.inputLengths, self.targetLengths, self.blank) = (inputLengths, targetLengths, blank)
    longest = targetLengths.max() ?? 0
    let all = try targets.converted(to: .int64).packed()
    let first = all.data.assumingMemoryBound(to: Int64.self)
    let length = 2 * longest + 1
    var (places, skips) = ([Int64](repeating: Int64(blank), count: rows * length), [Double](repeating: impossible, count: rows * length))
    var start = 0
    for row in 0..<rows {
      if isPadded { start = row * width }
      for position in 0..<targetLengths[row] {
        let label = Int(first[start + position])
        guard label >= 0, label < classes else {
          throw TensorError(.index, "ctc_loss", "label \(index: label) is not one of the \(classes) classes")
        }
        guard label != blank else { throw TensorError(.index, "ctc_loss", "label \(index: label) is the blank, which targets do not have") }
        places[row * length + 2 * position + 1] = Int64(label)
        if position > 0, first[start + position - 1] != first[start + position] { skips[row * length + 2 * position + 1] = 0 }
      }
      start += targetLengths[row]
    }
    withExtendedLifetime(all) {}
    extended = try Tensor(places.map(Int.init), shape: [rows, length])
    self.skips = skips
  }
}

/// The logarithm of a probability of nothing. Finite, so that sums of such have gradients.
private let impossible = -1e30

extension Tensor {
  /// −ln of the probability of the targets under all alignments. Log-probabilities are (times, batch, classes) or (times, classes).
  ///
  /// The gradient is that of this. PyTorch's adds exp(log_probs), which the log-softmax before it takes away again.
  public func ctcLoss(
    _ targets: Tensor, _ inputLengths: [Int], _ targetLengths: [Int], blank: Int = 0, reduction: Reduction = .mean,
    zeroInfinity: Bool = false
  ) throws -> Tensor {
    try requireFullFloating("ctc_loss")
    let alignment = try Alignment(shape, targets, inputLengths, targetLengths, blank)
    let facts = UncheckedBox(alignment)
    let isBatch = rank == 3
    return try Formula.of([self], "CtcLossBackward0", ["log_probs": .input(0)]) { inputs in
      try facts.value.loss(inputs[0], reduction, zeroInfinity, isBatch: isBatch)
    }
  }
}

/// An alignment's tensor is never written.
private struct UncheckedBox: @unchecked Sendable {
  let value: Alignment
  init(_ value: Alignment) { self.value = value }
}

extension Alignment {
  fileprivate func loss(_ logp: Tensor, _ reduction: Reduction, _ zeroInfinity: Bool, isBatch: Bool) throws -> Tensor {
    let dtype = logp.dtype
    let length = 2 * longest + 1
    let places = try extended.unsqueeze(0).expand([times, rows, length])
    let emitted = try logp.reshape([times, rows, classes]).gather(2, places)
    let skip = try Tensor(skips, shape: [rows, length], dtype: dtype)
    func nothing(_ columns: Int) throws -> Tensor { try Tensor.filled([rows, columns], .real(impossible), dtype: dtype) }
    /// The columns moved to the right, with nothing before them.
    func moved(_ a: Tensor, by count: Int) throws -> Tensor {
      if count >= length { return try nothing(length) }
      return try Joining.cat([nothing(count), a.narrow(1, 0, length - count)], 1)
    }
    // The logarithms of the probabilities of having emitted the labels up to each place.
    var start = [Double](repeating: impossible, count: length)
    start[0] = 0
    if length > 1 { start[1] = 0 }
    var a = try emitted.narrow(0, 0, 1).squeeze([0] as Axes) + Tensor(start, shape: [1, length], dtype: dtype)
    for time in 1..<max(inputLengths.max() ?? 0, 1) {
      let ways = try Joining.stack([a, moved(a, by: 1), moved(a, by: 2) + skip], 0)
      let next = try ways.logsumexp([0]) + emitted.narrow(0, time, 1).squeeze([0] as Axes)
      let goesOn = inputLengths.map { $0 > time }
      if goesOn.allSatisfy({ $0 }) {
        a = next
      } else {
        let mask = try Tensor(goesOn.map { $0 ? 1 : 0 }, shape: [rows, 1]).to(.bool)
        a = try mask.choosing(next, else: a)
      }
    }
    // A row ends with its last label, or the blank after it.
    let ends = try Tensor(targetLengths.flatMap { [2 * $0, max(2 * $0 - 1, 0)] }, shape: [rows, 2])
    let single = try Tensor(targetLengths.flatMap { [0, $0 == 0 ? impossible : 0] }, shape: [rows, 2], dtype: dtype)
    var losses = try Unary.neg((a.gather(1, ends) + single).logsumexp([1]))
    let isEmpty = inputLengths.map { $0 == 0 }
    if isEmpty.contains(true) {
      // No input: nothing was emitted, which is right for no labels alone.
      let values = zip(inputLengths, targetLengths).map { $0 == 0 ? ($1 == 0 ? 0 : -impossible) : 0 }
      let mask = try Tensor(isEmpty.map { $0 ? 1 : 0 }, shape: [rows]).to(.bool)
      losses = try mask.choosing(Tensor(values, shape: [rows], dtype: dtype), else: losses)
    }
    let isImpossible = try Comparison.gt(losses, .real(-impossible / 2))
    let instead = try Tensor.filled([rows], .real(zeroInfinity ? 0 : .infinity), dtype: dtype)
    losses = try isImpossible.choosing(instead, else: losses)
    switch reduction {
    case .none: return isBatch ? losses : try losses.reshape([])
    case .sum: return try losses.sum()
    case .mean: return try (losses / Tensor(targetLengths.map { Double(max($0, 1)) }, shape: [rows], dtype: dtype)).mean()
    }
  }
}

enum CtcLoss {
  static let list: [TensorOperation] = [
    TensorOperation(
      "ctc_loss", "−ln of the probability of a sequence of labels under all alignments with the input, whose blanks are `blank`.",
      Take.tensor("log_probs"), Take.labels("targets"), Take.integers("input_lengths"), Take.integers("target_lengths"),
      Take.index("blank", default: 0), Take.reduction, Take.flag("zero_infinity", default: false), forms: .functional,
      samples: [
        [.float([5, 2, 4], -4...0), .positions([2, 3], 1...3), .list([5, 4]), .list([3, 2])],
        [.float([5, 2, 4], -4...0), .positions([5], 1...3), .list([5, 5]), .list([3, 2]), .absent, .text("none")],
        [.float([5, 3], -4...0), .positions([2], 1...2), .list([5]), .list([2]), .absent, .text("sum")],
        [.float([4, 2, 4], -4...0), .positions([2, 2], 0...2), .list([4, 1]), .list([2, 2]), .integer(3), .text("sum"), .flag(true)],
        [.float([4, 2, 4], -4...0), .positions([2, 2], 1...1), .list([4, 3]), .list([0, 2])],
      ],
      rejects: [
        [.float([5, 2, 4], -4...0), .positions([2, 3], 4...4), .list([5, 4]), .list([3, 2])],
        [.float([5, 2, 4], -4...0), .positions([2, 3], 1...3), .list([6, 4]), .list([3, 2])],
        [.float([5, 2, 4], -4...0), .positions([2, 3], 1...3), .list([5]), .list([3])],
      ], composed: true
    ) { logp, targets, inputs, labels, blank, reduction, zeroInfinity in
      .tensor(try logp.ctcLoss(targets, inputs, labels, blank: blank, reduction: reduction, zeroInfinity: zeroInfinity))
    }
  ]
}

// Losses as modules: functions of a prediction and a target with options, a row of the table each.

import Tensors

/// A measure of how far a prediction is from its target, as a module without parameters. Class weights are buffers.
public final class Loss: FunctionModule {
  /// The loss of that name, with its default options but for the reduction.
  public convenience init(named name: String, reduction: Reduction = .mean) throws {
    let row = try (Loss.table + Loss.operations).row(named: name, "Loss")
    try self.init(row, Arguments(name, row.parameters.map { $0.name == "reduction" ? .string(reduction.rawValue) : .absent }))
  }

  // These cannot throw, since the names and the options are the table's own.
  /// A loss with its default options but for the reduction.
  public static func mse(reduction: Reduction = .mean) -> Loss { try! Loss(named: "MSELoss", reduction: reduction) }
  /// The cross entropy of logits `(batch, classes, …)` against labels, which count from 0, or probabilities.
  public static func crossEntropy(reduction: Reduction = .mean) -> Loss {
    try! Loss(named: "CrossEntropyLoss", reduction: reduction)
  }
  /// The absolute difference.
  public static func l1(reduction: Reduction = .mean) -> Loss { try! Loss(named: "L1Loss", reduction: reduction) }
  /// The squared difference near 0, the absolute one beyond.
  public static func smoothL1(reduction: Reduction = .mean) -> Loss { try! Loss(named: "SmoothL1Loss", reduction: reduction) }
  /// Half the squared difference where it is below 1, and linear beyond; with default options the same as ``smoothL1(reduction:)``.
  public static func huber(reduction: Reduction = .mean) -> Loss { try! Loss(named: "HuberLoss", reduction: reduction) }
  /// The negative of the log probability of each label, from 0: for what `logSoftmax` gives.
  public static func negativeLogLikelihood(reduction: Reduction = .mean) -> Loss { try! Loss(named: "NLLLoss", reduction: reduction) }
  /// The cross entropy of probabilities from 0 to 1 against targets of the same shape.
  public static func binaryCrossEntropy(reduction: Reduction = .mean) -> Loss { try! Loss(named: "BCELoss", reduction: reduction) }
  /// The same of logits, which is more exact than of their sigmoid.
  public static func binaryCrossEntropyWithLogits(reduction: Reduction = .mean) -> Loss {
    try! Loss(named: "BCEWithLogitsLoss", reduction: reduction)
  }
}

extension Loss {
  /// One loss.
  private static func row(
    _ name: String, _ summary: String, as operation: String? = nil, _ parameters: [Parameter], target: Parameter.Kind = .tensor,
    samples: [ModuleSample],
    _ function: @escaping (Settings) throws -> (Tensor, Tensor) throws -> Tensor
  ) -> FunctionRow {
    FunctionRow(
      name: name, summary: summary, function: operation, parameters: parameters, inputs: [.input, Parameter("target", target)],
      samples: samples
    ) { .two(try function($0)) }
  }

  private static let weight = Parameter("weight", .tensor, optional: true)
  private static let ignoreIndex = Parameter("ignore_index", .index, default: "-100")
  private static let reduction = Parameter("reduction", .string, default: "\"mean\"").oneOf("none", "mean", "sum")

  /// Samples for each reduction, with the other options absent.
  private static func reductions(_ before: Int, _ inputs: Sample) -> [ModuleSample] {
    let absent = [Sample.Value](repeating: .absent, count: before)
    return ["mean", "sum", "none"].map { ModuleSample(Sample(absent + [.text($0)]), inputs) }
  }

  private static let pair: Sample = [.float(2, 3), .float(2, 3)]
  private static let labelled: Sample = [.float(4, 3), .positions([4], 0...2)]
  private static let probable: Sample = [.float([2, 3], 0.1...0.9), .float([2, 3], 0...1)]

  private static let table: [FunctionRow] = [
    row("MSELoss", "(input − target)², reduced.", [reduction], samples: reductions(0, pair)) { settings in
      let reduction = try settings.reduction(0)
      return { try $0.mseLoss($1, reduction: reduction) }
    },
    row("L1Loss", "|input − target|, reduced.", [reduction], samples: reductions(0, pair)) { settings in
      let reduction = try settings.reduction(0)
      return { try $0.l1Loss($1, reduction: reduction) }
    },
    row(
      "CrossEntropyLoss", "−log-probability of the target class, from logits (batch, classes).", as: "cross_entropy",
      [weight, ignoreIndex, reduction, .init("label_smoothing", .number, default: "0")], target: .labels,
      samples: reductions(2, labelled) + [
        ModuleSample([.positive(3)], labelled), ModuleSample([.absent, .integer(1)], labelled),
        ModuleSample([.absent, .absent, .absent, .number(0.1)], labelled), ModuleSample([], [.float(4, 3), .positive(4, 3)]),
      ]
    ) { settings in
      let (weight, ignored, smoothing) = (settings.tensor(0), settings.index(1) ?? -100, settings.number(3))
      let reduction = try settings.reduction(2)
      guard smoothing >= 0, smoothing <= 1 else {
        throw TensorError(
          .argument, "CrossEntropyLoss", "label_smoothing must lie between 0 and 1, got \(pythonNumber(smoothing))")
      }
      return { try $0.crossEntropy($1, weight: weight, ignoring: ignored, reduction: reduction, smoothing: smoothing) }
    },
    row(
      "NLLLoss", "−input at the target class, for log-probabilities.", [weight, ignoreIndex, reduction], target: .labels,
      samples: reductions(2, labelled) + [
        ModuleSample([.positive(3)], labelled), ModuleSample([.absent, .integer(1)], labelled),
      ]
    ) { settings in
      let (weight, ignored, reduction) = (settings.tensor(0), settings.index(1) ?? -100, try settings.reduction(2))
      return { try $0.nllLoss($1, weight: weight, ignoring: ignored, reduction: reduction) }
    },
    row(
      "BCELoss", "−(t·ln x + (1−t)·ln(1−x)) of probabilities.", as: "binary_cross_entropy", [weight, reduction],
      samples: reductions(1, probable) + [ModuleSample([.positive(3)], probable)]
    ) { settings in
      let (weight, reduction) = (settings.tensor(0), try settings.reduction(1))
      return { try $0.binaryCrossEntropy($1, weight: weight, reduction: reduction) }
    },
    row(
      "BCEWithLogitsLoss", "Binary cross-entropy of sigmoid(input), without overflow.", as: "binary_cross_entropy_with_logits",
      [weight, reduction, .init("pos_weight", .tensor, optional: true)],
      samples: reductions(1, [.float(2, 3), .float([2, 3], 0...1)]) + [
        ModuleSample([.positive(3)], [.float(2, 3), .float([2, 3], 0...1)]),
        ModuleSample([.absent, .absent, .positive(3)], [.float(2, 3), .float([2, 3], 0...1)]),
      ]
    ) { settings in
      let (weight, reduction, positive) = (settings.tensor(0), try settings.reduction(1), settings.tensor(2))
      return { try $0.binaryCrossEntropyWithLogits($1, weight: weight, positiveWeight: positive, reduction: reduction) }
    },
    row(
      "SmoothL1Loss", "½d²/beta near 0, |d| − ½beta beyond.", [reduction, .init("beta", .number, default: "1")],
      samples: reductions(0, pair) + [ModuleSample([.absent, .number(0.5)], pair), ModuleSample([.absent, .number(0)], pair)]
    ) { settings in
      let (reduction, beta) = (try settings.reduction(0), settings.number(1))
      guard beta >= 0 else { throw TensorError(.argument, "SmoothL1Loss", "beta must not be negative, got \(pythonNumber(beta))") }
      return { try $0.smoothL1Loss($1, beta: beta, reduction: reduction) }
    },
    row(
      "HuberLoss", "½d² near 0, delta·(|d| − ½delta) beyond.", [reduction, .init("delta", .number, default: "1")],
      samples: reductions(0, pair) + [ModuleSample([.absent, .number(0.5)], pair)]
    ) { settings in
      let (reduction, delta) = (try settings.reduction(0), settings.number(1))
      guard delta > 0 else { throw TensorError(.argument, "HuberLoss", "delta must be positive, got \(pythonNumber(delta))") }
      return { try $0.huberLoss($1, delta: delta, reduction: reduction) }
    },
  ]

  /// Losses that are an operation word for word: options, text and samples are the operation's.
  private static func row(_ name: String, of operation: String, inputs count: Int = 2) -> FunctionRow {
    let operation = TensorOperation.named(operation)!
    let options = Array(operation.parameters.dropFirst(count))
    return FunctionRow(
      name: name, summary: operation.summary, function: operation.name, parameters: options,
      inputs: Array(operation.parameters.prefix(count)),
      samples: operation.samples.map { ModuleSample(Sample(Array($0.values.dropFirst(count))), Sample(Array($0.values.prefix(count)))) }
    ) { settings in
      if name != "KLDivLoss" { _ = try settings.reduction(options.firstIndex { $0.name == "reduction" }!) }
      let arguments = try options.map { try settings.value($0.name).asArgument }
      func loss(_ inputs: [Tensor]) throws -> Tensor {
        try operation.run(Arguments(name, inputs.map(Argument.tensor) + arguments)).tensors[0]
      }
      return count == 2 ? .two { try loss([$0, $1]) } : .several(loss)
    }
  }

  private static let operations: [FunctionRow] = [
    row("KLDivLoss", of: "kl_div"), row("CosineEmbeddingLoss", of: "cosine_embedding_loss", inputs: 3),
    row("HingeEmbeddingLoss", of: "hinge_embedding_loss"), row("MarginRankingLoss", of: "margin_ranking_loss", inputs: 3),
    row("SoftMarginLoss", of: "soft_margin_loss"), row("MultiMarginLoss", of: "multi_margin_loss"),
    row("MultiLabelMarginLoss", of: "multilabel_margin_loss"), row("MultiLabelSoftMarginLoss", of: "multilabel_soft_margin_loss"),
    row("TripletMarginLoss", of: "triplet_margin_loss", inputs: 3), row("PoissonNLLLoss", of: "poisson_nll_loss"),
    row("GaussianNLLLoss", of: "gaussian_nll_loss", inputs: 3),
  ]

  static let kinds = (table + operations).map { $0.kind(Loss.self) }
}

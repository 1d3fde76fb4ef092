// Losses as modules: functions of a prediction and a target with options, a row of the table each.

import Tensors

/// A measure of how far a prediction is from its target, as a module without parameters. Class weights are buffers.
public final class Loss: Module {
  typealias Function = (Tensor, Tensor) throws -> Tensor

  private let row: Row
  private(set) var settings: Settings
  /// The function with the options filled in.
  @exclusivity(unchecked) private var function: Function

  fileprivate init(_ row: Row, _ arguments: Arguments) throws {
    self.row = row
    settings = try Settings(arguments, row.parameters)
    function = try row.function(settings)
    super.init(kind: row.name, inputs: [.input, row.target])
  }

  public override func forward(_ a: Tensor, _ b: Tensor) throws -> Tensor { try function(a, b) }

  public override var buffers: [(name: String, tensor: Tensor?)] {
    zip(settings.parameters, settings.values).compactMap { parameter, value in
      if case .tensor(let tensor) = value { (parameter.name, tensor) } else { nil }
    }
  }

  private func set(_ name: String, _ value: ModuleField) throws {
    var changed = settings
    try changed.set(name, value)
    function = try row.function(changed)
    settings = changed
  }

  /// The loss of that name, with its default options but for the reduction.
  public convenience init(named name: String, reduction: Reduction = .mean) throws {
    guard let row = Loss.table.first(where: { $0.name == name }) else {
      throw TensorError(.argument, "Loss", "there is no loss \(name); there is \(Loss.table.map(\.name).joined(separator: ", "))")
    }
    try self.init(
      row, Arguments(name, row.parameters.map { $0.name == "reduction" ? .string(reduction.rawValue) : .absent }))
  }

  public static func mse(reduction: Reduction = .mean) -> Loss { try! Loss(named: "MSELoss", reduction: reduction) }
  public static func crossEntropy(reduction: Reduction = .mean) -> Loss {
    try! Loss(named: "CrossEntropyLoss", reduction: reduction)
  }
}

extension Loss {
  /// One loss: its name and options, and the function they make.
  fileprivate struct Row: @unchecked Sendable {
    let name: String
    let summary: String
    let parameters: [Parameter]
    let target: Parameter
    let samples: [ModuleSample]
    let function: (Settings) throws -> Function

    init(
      _ name: String, _ summary: String, _ parameters: [Parameter], target: Parameter.Kind = .tensor,
      samples: [ModuleSample], _ function: @escaping (Settings) throws -> Function
    ) {
      self.name = name
      self.summary = summary
      self.parameters = parameters
      self.target = Parameter("target", target)
      self.samples = samples
      self.function = function
    }

    var kind: ModuleKind {
      var writers: [String: (Module, ModuleField) throws -> Void] = [:]
      for parameter in parameters {
        writers[parameter.name] = { try ($0 as! Loss).set(parameter.name, $1) }
      }
      return ModuleKind(
        name, summary, parameters,
        fields: parameters.map { parameter in (parameter.name, { ($0 as! Loss).settings[parameter.name]! }) },
        writers: writers, samples: samples
      ) { try Loss(self, $0) }
    }
  }

  private static let weight = Parameter("weight", .tensor, optional: true)
  private static let ignoreIndex = Parameter("ignore_index", .index, default: "-100")
  private static let reduction = Parameter("reduction", .string, default: "\"mean\"")

  /// Samples for each reduction, with the other options absent.
  private static func reductions(_ before: Int, _ inputs: Sample) -> [ModuleSample] {
    let absent = [Sample.Value](repeating: .absent, count: before)
    return ["mean", "sum", "none"].map { ModuleSample(Sample(absent + [.text($0)]), inputs) }
  }

  private static let pair: Sample = [.float(2, 3), .float(2, 3)]
  private static let labelled: Sample = [.float(4, 3), .positions([4], 0...2)]
  private static let probable: Sample = [.float([2, 3], 0.1...0.9), .float([2, 3], 0...1)]

  fileprivate static let table: [Row] = [
    Row("MSELoss", "(input − target)², reduced.", [reduction], samples: reductions(0, pair)) { settings in
      let reduction = try settings.reduction(0)
      return { try $0.mseLoss($1, reduction: reduction) }
    },
    Row("L1Loss", "|input − target|, reduced.", [reduction], samples: reductions(0, pair)) { settings in
      let reduction = try settings.reduction(0)
      return { try $0.l1Loss($1, reduction: reduction) }
    },
    Row(
      "CrossEntropyLoss", "−log-probability of the target class, from logits (batch, classes).",
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
    Row(
      "NLLLoss", "−input at the target class, for log-probabilities.", [weight, ignoreIndex, reduction], target: .labels,
      samples: reductions(2, labelled) + [
        ModuleSample([.positive(3)], labelled), ModuleSample([.absent, .integer(1)], labelled),
      ]
    ) { settings in
      let (weight, ignored, reduction) = (settings.tensor(0), settings.index(1) ?? -100, try settings.reduction(2))
      return { try $0.nllLoss($1, weight: weight, ignoring: ignored, reduction: reduction) }
    },
    Row(
      "BCELoss", "−(t·ln x + (1−t)·ln(1−x)) of probabilities.", [weight, reduction],
      samples: reductions(1, probable) + [ModuleSample([.positive(3)], probable)]
    ) { settings in
      let (weight, reduction) = (settings.tensor(0), try settings.reduction(1))
      return { try $0.binaryCrossEntropy($1, weight: weight, reduction: reduction) }
    },
    Row(
      "BCEWithLogitsLoss", "Binary cross-entropy of sigmoid(input), without overflow.",
      [weight, reduction, .init("pos_weight", .tensor, optional: true)],
      samples: reductions(1, [.float(2, 3), .float([2, 3], 0...1)]) + [
        ModuleSample([.positive(3)], [.float(2, 3), .float([2, 3], 0...1)]),
        ModuleSample([.absent, .absent, .positive(3)], [.float(2, 3), .float([2, 3], 0...1)]),
      ]
    ) { settings in
      let (weight, reduction, positive) = (settings.tensor(0), try settings.reduction(1), settings.tensor(2))
      return { try $0.binaryCrossEntropyWithLogits($1, weight: weight, positiveWeight: positive, reduction: reduction) }
    },
    Row(
      "SmoothL1Loss", "½d²/beta near 0, |d| − ½beta beyond.", [reduction, .init("beta", .number, default: "1")],
      samples: reductions(0, pair) + [ModuleSample([.absent, .number(0.5)], pair), ModuleSample([.absent, .number(0)], pair)]
    ) { settings in
      let (reduction, beta) = (try settings.reduction(0), settings.number(1))
      guard beta >= 0 else { throw TensorError(.argument, "SmoothL1Loss", "beta must not be negative, got \(pythonNumber(beta))") }
      return { try $0.smoothL1Loss($1, beta: beta, reduction: reduction) }
    },
    Row(
      "HuberLoss", "½d² near 0, delta·(|d| − ½delta) beyond.", [reduction, .init("delta", .number, default: "1")],
      samples: reductions(0, pair) + [ModuleSample([.absent, .number(0.5)], pair)]
    ) { settings in
      let (reduction, delta) = (try settings.reduction(0), settings.number(1))
      guard delta > 0 else { throw TensorError(.argument, "HuberLoss", "delta must be positive, got \(pythonNumber(delta))") }
      return { try $0.huberLoss($1, delta: delta, reduction: reduction) }
    },
  ]

  static let kinds = table.map(\.kind)
}

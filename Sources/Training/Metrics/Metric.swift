// Measures of a model over many batches: each takes batch by batch what it needs of them, and says what it is of all together.

import Tensors

/// A measure of predictions that are seen batch by batch: `update` with each, then `compute`.
///
/// What it gathers is exact, in float64 and in whole numbers, so that the result does not depend on how the examples were divided into
/// batches, but for rounding where it sums.
open class Metric: CustomStringConvertible {
  /// Its row in the catalogue.
  public let kind: MetricKind
  /// Class labels count from here: 0, or 1 where a script's are.
  public var labelBase = 0
  /// What it was made with, in the order of its kind's parameters.
  public internal(set) var options: [Argument] = []
  /// How many examples were seen.
  public internal(set) var count = 0

  init(_ kind: MetricKind) { self.kind = kind }

  /// Adds a batch: a prediction and what it should have been, or a value and its weight, see ``MetricKind/inputs``.
  ///
  /// Throws for shapes that do not fit each other, and for labels that are none of the classes; nothing is added then.
  open func update(_ prediction: Tensor, _ target: Tensor?) throws { throw failure("takes no batches") }

  /// The measure of all that was added, in float64: one number, or one for each class. Throws while there is too little.
  open func compute() throws -> Tensor { throw failure("has no value") }

  /// Forgets what was added.
  open func reset() { count = 0 }

  /// What was gathered, to go on from later.
  open func stateDict() throws -> [(name: String, value: Tensor)] { [] }

  /// Goes on from a state. Throws for one of another metric, or of other options; nothing changes then.
  open func load(_ state: [String: Tensor]) throws {}

  /// The value and how many examples it is of: `Accuracy: 0.93 of 128 examples`.
  public var description: String {
    guard count > 0, let value = try? compute() else { return "\(kind.name): no value yet, of \(count) examples" }
    let text =
      value.count == 1
      ? short(value.doubles[0]) : "[\(value.doubles.prefix(10).map(short).joined(separator: ", "))\(value.count > 10 ? ", …" : "")]"
    return "\(kind.name): \(text) of \(count) example\(count == 1 ? "" : "s")"
  }

  private func short(_ value: Double) -> String {
    let scaled = (value * 10_000).rounded() / 10_000
    return scaled == scaled.rounded() && abs(scaled) < 1e15 ? String(Int(scaled)) : "\(scaled)"
  }

  // MARK: For the kinds

  func failure(_ facts: TensorError.Facts) -> TensorError { TensorError(.argument, kind.name, facts) }

  func requireExamples() throws {
    guard count > 0 else { throw failure("nothing was added yet: call update with each batch first") }
  }

  /// The second tensor of a batch, which must be there.
  func required(_ target: Tensor?) throws -> Tensor {
    guard let target else { throw failure("update takes predictions and targets") }
    return target
  }

  /// Numbers of a state that are counts. Throws for what is none, since a state may come from anywhere.
  func counts(_ numbers: some Sequence<Double>, _ name: String) throws -> [Int] {
    try numbers.map { number in
      // So few that no sum of them overflows.
      guard let count = Int(exactly: number), 0...(1 << 36) ~= count else {
        throw failure("'\(name)' of the state holds \(pythonNumber(number)), which is no count")
      }
      return count
    }
  }

  /// A tensor of a state, with its shape.
  func stored(_ state: [String: Tensor], _ name: String, _ fits: (Tensor) -> Bool) throws -> Tensor {
    guard let tensor = state[name] else { throw failure("the state has no '\(name)'") }
    guard fits(tensor) else { throw failure("'\(name)' of the state, of shape \(tensor.shape), is of other options") }
    return tensor
  }
}

/// What a kind of metric declares about itself, as one row.
public struct MetricKind: Sendable {
  /// `Accuracy`.
  public let name: String
  /// One sentence, or two.
  public let summary: String
  /// The options that it is made with.
  public let parameters: [Parameter]
  /// What `update` takes: one or two tensors.
  public let inputs: [Parameter]
  /// A call of `update` for help, in Lua, and the options before it.
  public let example: (options: String, update: String)
  private let made: @Sendable (Arguments) throws -> Metric

  init(
    _ name: String, _ summary: String, _ parameters: [Parameter] = [], inputs: [Parameter] = MetricKind.predictions,
    example: (options: String, update: String), make: @escaping @Sendable (Arguments) throws -> Metric
  ) {
    self.name = name
    self.summary = summary
    self.parameters = parameters
    self.inputs = inputs
    self.example = example
    made = make
  }

  /// Makes one from decoded options. Throws for options that are impossible.
  public func make(_ options: Arguments) throws -> Metric {
    let metric = try made(options)
    metric.options = options.values
    return metric
  }

  static let predictions: [Parameter] = [.init("prediction", .tensor), .init("target", .tensor)]
}

/// All kinds of metrics.
public enum MetricCatalogue {
  /// In alphabetical order.
  public static let kinds: [MetricKind] = (Mean.kinds + ClassCounts.kinds + RankMetric.kinds + ErrorMetric.kinds).sorted {
    $0.name < $1.name
  }

  /// The kind of that name; nil where there is none.
  public static func kind(named name: String) -> MetricKind? { kinds.first { $0.name == name } }

  /// A metric with its usual options: `try MetricCatalogue.metric("Accuracy")`. Throws for a name that there is none of.
  public static func metric(_ name: String, _ arguments: Argument...) throws -> Metric {
    guard let kind = kind(named: name) else {
      throw TensorError(.argument, "metric", "there is no \(name); there is \(kinds.map(\.name).joined(separator: ", "))")
    }
    return try kind.make(Arguments(name, arguments))
  }
}

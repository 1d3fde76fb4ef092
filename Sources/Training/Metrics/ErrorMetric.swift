// Measures of regressions: how far numbers are from what they should be.

import Tensors

/// R², the mean squared and the mean absolute error.
public final class ErrorMetric: Metric {
  /// Of each output: the sum of errors by the kind, and the mean of the targets with the sum of their squared distances from it.
  private var errors: [Double] = [], means: [Double] = [], spreads: [Double] = []

  static let kinds: [MetricKind] = [
    row("R2Score", "The share of the targets' variance that predictions [examples] or [examples, outputs] explain; the mean over outputs."),
    row("MeanSquaredError", "The mean of the squared differences."),
    row("MeanAbsoluteError", "The mean of the differences' sizes."),
  ]

  private static func row(_ name: String, _ summary: String) -> MetricKind {
    MetricKind(
      name, summary, example: ("", "mg.tensor { 1.0, 2.0, 3.0 }, mg.tensor { 1.1, 1.9, 3.2 }"), make: { _ in try ErrorMetric(name) })
  }

  /// By the name of its kind: `R2Score`, `MeanSquaredError` or `MeanAbsoluteError`.
  public init(_ name: String) throws {
    guard let kind = ErrorMetric.kinds.first(where: { $0.name == name }) else {
      throw TensorError(.argument, name, "there is no such metric")
    }
    super.init(kind)
  }

  public override func update(_ prediction: Tensor, _ target: Tensor?) throws {
    let target = try required(target)
    guard prediction.shape == target.shape, target.rank == 1 || target.rank == 2 else {
      throw failure(
        "predictions and targets must both be [examples] or [examples, outputs], got shapes \(prediction.shape) and \(target.shape)")
    }
    let outputs = target.rank == 2 ? target.shape[1] : 1
    if errors.isEmpty, outputs > 0 {
      (errors, means, spreads) = (zeros(outputs), zeros(outputs), zeros(outputs))
    }
    guard outputs == errors.count else { throw failure("\(outputs) outputs after batches of \(errors.count)") }
    let (predicted, actual) = (try prediction.checkedDoubles(kind.name), try target.checkedDoubles(kind.name))
    for row in 0..<(outputs == 0 ? 0 : actual.count / outputs) {
      count += 1
      for output in 0..<outputs {
        let place = row * outputs + output
        let difference = predicted[place] - actual[place]
        errors[output] += kind.name == "MeanAbsoluteError" ? abs(difference) : difference * difference
        // Welford's way: no sum of squares, of which a large mean would leave few digits.
        let distance = actual[place] - means[output]
        means[output] += distance / Double(count)
        spreads[output] += distance * (actual[place] - means[output])
      }
    }
  }

  private func zeros(_ count: Int) -> [Double] { Array(repeating: 0, count: count) }

  public override func compute() throws -> Tensor {
    try requireExamples()
    let values: [Double]
    if kind.name == "R2Score" {
      guard count > 1 else { throw failure("two examples are needed at least, for a variance") }
      // Targets that are all the same: explained wholly, or not at all, as in scikit-learn.
      values = zip(errors, spreads).map { $1 > 0 ? 1 - $0 / $1 : $0 == 0 ? 1 : 0 }
    } else {
      values = errors.map { $0 / Double(count) }
    }
    return try .filled([], .real(values.reduce(0, +) / Double(values.count)), dtype: .float64)
  }

  public override func reset() {
    super.reset()
    (errors, means, spreads) = ([], [], [])
  }

  public override func stateDict() throws -> [(name: String, value: Tensor)] {
    [
      ("sums", try Tensor(errors + means + spreads, shape: [3, errors.count], dtype: .float64)), ("count", try Tensor([count])),
    ]
  }

  public override func load(_ state: [String: Tensor]) throws {
    let sums = try stored(state, "sums") { $0.rank == 2 && $0.shape[0] == 3 }
    count = try counts(stored(state, "count") { $0.count == 1 }.doubles, "count")[0]
    let (all, width) = (sums.doubles, sums.shape[1])
    (errors, means, spreads) = (Array(all[..<width]), Array(all[width..<2 * width]), Array(all[(2 * width)...]))
  }
}

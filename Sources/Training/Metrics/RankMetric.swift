// Measures of scores by their order alone.

import Tensors

/// The area under the ROC curve: how probable it is that of two examples, one of the class and one not, the first has the larger score.
public final class RankMetric: Metric {
  private let classes: Int?
  private var scores: [Double] = []
  private var actual: [Int] = []

  static let kinds = [
    MetricKind(
      "AUROC",
      "The area under the ROC curve, exactly, with ties for a half: scores [examples] against truth values, or scores [examples, num_classes] against labels, the mean over the classes, each against the rest. It keeps all scores.",
      [.init("num_classes", .integer, default: "nil")], example: ("", "mg.rand(8), mg.tensor { 0, 1, 0, 1, 0, 1, 0, 1 }"),
      make: { try RankMetric(classes: $0.optionalInteger(0)) })
  ]

  /// With a number of classes, of 2 or more, or nil for truth values. Throws for fewer.
  public init(classes: Int? = nil) throws {
    self.classes = classes
    super.init(RankMetric.kinds[0])
    if let classes, classes < 2 { throw failure("num_classes must be 2 or more, got \(classes)") }
  }

  public override func update(_ prediction: Tensor, _ target: Tensor?) throws {
    let target = try required(target)
    let fits = target.rank == 1 && prediction.shape.array == (classes.map { [target.count, $0] } ?? [target.count])
    guard fits else {
      throw failure(
        "predictions of shape \(prediction.shape) do not fit targets of shape \(target.shape): scores [examples\(classes.map { ", \($0)" } ?? "")] and targets [examples] are expected"
      )
    }
    let values = try prediction.checkedDoubles(kind.name)
    guard !values.contains(where: \.isNaN) else { throw failure("a score is nan, which has no place in an order") }
    let truths = try classes.map { try labels(target, below: $0) } ?? truths(target)
    scores += values
    actual += truths
    count += truths.count
  }

  public override func compute() throws -> Tensor {
    try requireExamples()
    let width = classes ?? 1
    let areas = try (0..<width).map { column in
      try area(stride(from: column, to: scores.count, by: width).map { scores[$0] }, actual.map { $0 == (classes == nil ? 1 : column) })
    }
    return try .filled([], .real(areas.reduce(0, +) / Double(width)), dtype: .float64)
  }

  /// By the sum of the ranks of the members (Mann and Whitney); equal scores share the mean of their ranks.
  private func area(_ scores: [Double], _ isMember: [Bool]) throws -> Double {
    let members = isMember.count { $0 }
    guard members > 0, members < scores.count else {
      throw failure("both kinds of examples are needed: \(members) of \(scores.count) are \(classes == nil ? "true" : "of one class")")
    }
    let order = scores.indices.sorted { scores[$0] < scores[$1] }
    var ranks = 0.0
    var first = 0
    while first < order.count {
      var next = first
      var tied = 0
      while next < order.count, scores[order[next]] == scores[order[first]] {
        tied += isMember[order[next]] ? 1 : 0
        next += 1
      }
      ranks += Double(tied) * Double(first + next + 1) / 2
      first = next
    }
    let all = Double(members)
    return (ranks - all * (all + 1) / 2) / (all * Double(scores.count - members))
  }

  public override func reset() {
    super.reset()
    scores = []
    actual = []
  }

  public override func stateDict() throws -> [(name: String, value: Tensor)] {
    [("scores", try Tensor(scores, dtype: .float64)), ("actual", try Tensor(actual))]
  }

  public override func load(_ state: [String: Tensor]) throws {
    let actual = try counts(stored(state, "actual") { $0.rank == 1 }.doubles, "actual")
    scores = try stored(state, "scores") { $0.count == actual.count * (classes ?? 1) }.doubles
    self.actual = actual
    count = actual.count
  }
}

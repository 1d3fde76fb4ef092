// Measures of classifications that follow from counts: how often which class was taken for which.

import Tensors

/// Predicted and true classes of a batch, from what scripts have of them.
struct Decisions {
  /// Classes from 0; nil of `scores` where no table of scores was given.
  let predicted: [Int], actual: [Int]
  let scores: (values: [Double], classes: Int)?
}

extension Metric {
  /// What a batch says for `classes` classes, nil for a decision between two.
  ///
  /// Of classes, predictions are a table of scores [examples, classes], of which the largest decides, or labels; targets are labels.
  /// Of two, predictions are numbers of which those above `threshold` mean yes, or truth values; targets are truth values, 0 or 1.
  func decisions(_ prediction: Tensor, _ target: Tensor, classes: Int?, threshold: Double) throws -> Decisions {
    if prediction.rank == 2, target.rank == 1, prediction.shape[0] == target.count, prediction.dtype.isFloating {
      let width = prediction.shape[1]
      if let classes, width != classes { throw failure("scores of shape \(prediction.shape) are of \(width) classes, not \(classes)") }
      guard width > 0 || target.count == 0 else { throw failure("scores of shape \(prediction.shape) have no classes") }
      let values = try prediction.checkedDoubles(kind.name)
      let predicted = (0..<target.count).map { row in largest(values[row * width..<(row + 1) * width]) }
      return Decisions(predicted: predicted, actual: try labels(target, below: width), scores: (values, width))
    }
    guard prediction.shape == target.shape else {
      throw failure(
        "predictions of shape \(prediction.shape) do not fit targets of shape \(target.shape): they must be scores [examples, classes] with labels [examples], or of one shape"
      )
    }
    if let classes {
      return Decisions(predicted: try labels(prediction, below: classes), actual: try labels(target, below: classes), scores: nil)
    }
    // Labels of classes that are nowhere counted are told apart all the same.
    if !prediction.dtype.isFloating, prediction.dtype != .bool, !target.dtype.isFloating, target.dtype != .bool {
      // By their own values: float64 does not tell large ones apart.
      func integers(_ tensor: Tensor) throws -> [Int] {
        try tensor.array()
      }
      return Decisions(predicted: try integers(prediction), actual: try integers(target), scores: nil)
    }
    let predicted = try prediction.checkedDoubles(kind.name).map { $0 > threshold ? 1 : 0 }
    return Decisions(predicted: predicted, actual: try truths(target), scores: nil)
  }

  /// The position of the largest; a NaN is larger than any number, as in `argmax`.
  private func largest(_ row: ArraySlice<Double>) -> Int {
    var best = row.startIndex
    for position in row.indices {
      if row[position].isNaN { return position - row.startIndex }
      if row[position] > row[best] { best = position }
    }
    return best - row.startIndex
  }

  /// Labels as classes from 0. Throws for one that is none of them.
  func labels(_ tensor: Tensor, below classes: Int) throws -> [Int] {
    guard !tensor.dtype.isFloating, tensor.dtype != .bool else {
      throw failure("labels are whole numbers, got a tensor of \(tensor.dtype)")
    }
    return try tensor.checkedDoubles(kind.name).map { number in
      guard let label = Int(exactly: number), label >= labelBase, label - labelBase < classes else {
        let shown = Int(exactly: number).map { "\($0)" } ?? "\(number)"
        throw failure("label \(shown) is none of the \(classes) classes, which count from \(labelBase)")
      }
      return label - labelBase
    }
  }

  /// Truth values as 0 and 1. Throws for other numbers.
  func truths(_ tensor: Tensor) throws -> [Int] {
    try tensor.checkedDoubles(kind.name).map { number in
      guard number == 0 || number == 1 else {
        throw failure("targets of a decision between two are true and false, or 1 and 0, got \(pythonNumber(number))")
      }
      return Int(number)
    }
  }
}

/// How often the prediction was right.
public final class Accuracy: Metric {
  private let classesToTry: Int
  private let threshold: Double
  private var right = 0

  /// With `top` above 1, a prediction is right where the true class is among the `top` of the largest scores.
  public init(top: Int = 1, threshold: Double = 0.5) throws {
    classesToTry = top
    self.threshold = threshold
    super.init(ClassCounts.kinds[0])
    guard top >= 1 else { throw failure("top_k must be 1 or more, got \(top)") }
  }

  public override func update(_ prediction: Tensor, _ target: Tensor?) throws {
    let batch = try decisions(prediction, required(target), classes: nil, threshold: threshold)
    if classesToTry == 1 {
      right += zip(batch.predicted, batch.actual).count { $0 == $1 }
    } else {
      guard let scores = batch.scores else { throw failure("top_k = \(classesToTry) needs scores [examples, classes]") }
      // Among those of equal score the first count as larger, as of the largest alone.
      right += batch.actual.enumerated().count { row, actual in
        let row = scores.values[row * scores.classes..<(row + 1) * scores.classes]
        let own = row[row.startIndex + actual]
        guard !own.isNaN else { return false }
        let better = row.enumerated().count { $1.isNaN || $1 > own || $1 == own && $0 < actual }
        return better < classesToTry
      }
    }
    count += batch.actual.count
  }

  public override func compute() throws -> Tensor {
    try requireExamples()
    return try .filled([], .real(Double(right) / Double(count)), dtype: .float64)
  }

  public override func reset() {
    super.reset()
    right = 0
  }

  public override func stateDict() throws -> [(name: String, value: Tensor)] { [("counts", try Tensor([right, count]))] }

  public override func load(_ state: [String: Tensor]) throws {
    let numbers = try counts(stored(state, "counts") { $0.count == 2 }.doubles, "counts")
    (right, count) = (numbers[0], numbers[1])
  }
}

/// A measure that follows from a table of how often which class was taken for which.
public class ClassCounts: Metric {
  /// How many classes there are; 2 for a decision between two, where `isBinary`.
  public let classes: Int
  let isBinary: Bool
  private let threshold: Double
  /// By the true class, then by the predicted one.
  private(set) var table: [Int]

  init(_ kind: MetricKind, classes: Int?, threshold: Double) throws {
    isBinary = classes == nil
    self.classes = classes ?? 2
    self.threshold = threshold
    table = []
    super.init(kind)
    guard self.classes >= 1, self.classes <= 2000 else { throw failure("num_classes must be from 1 to 2,000, got \(self.classes)") }
    table = Array(repeating: 0, count: self.classes * self.classes)
  }

  public override func update(_ prediction: Tensor, _ target: Tensor?) throws {
    let batch = try decisions(prediction, required(target), classes: isBinary ? nil : classes, threshold: threshold)
    if isBinary, let strange = (batch.predicted + batch.actual).first(where: { $0 != 0 && $0 != 1 }) {
      throw failure("without num_classes the decision is between 0 and 1, got \(strange)")
    }
    for (predicted, actual) in zip(batch.predicted, batch.actual) { table[actual * classes + predicted] += 1 }
    count += batch.actual.count
  }

  public override func reset() {
    super.reset()
    table = Array(repeating: 0, count: table.count)
  }

  public override func stateDict() throws -> [(name: String, value: Tensor)] {
    [("table", try Tensor(table, shape: [classes, classes]))]
  }

  public override func load(_ state: [String: Tensor]) throws {
    table = try counts(stored(state, "table") { $0.count == table.count }.doubles, "table")
    count = table.reduce(0, +)
  }

  /// Of a class: how often it was rightly said, how often said in all, and how often it was true.
  func counts(_ of: Int) -> (right: Int, said: Int, actual: Int) {
    let said = (0..<classes).reduce(0) { $0 + table[$1 * classes + of] }
    let actual = (0..<classes).reduce(0) { $0 + table[of * classes + $1] }
    return (table[of * classes + of], said, actual)
  }

  // MARK: Kinds

  private static let numberOfClasses = Parameter("num_classes", .integer, default: "nil")
  private static let threshold = Parameter("threshold", .number, default: "0.5")
  private static let average = Parameter("average", .string, default: "\"macro\"").oneOf("macro", "micro", "weighted", "none")

  private static func shares(_ name: String, _ summary: String) -> MetricKind {
    MetricKind(
      name, summary + " Of num_classes classes the mean, by average; without it, of yes among yes and no.",
      [numberOfClasses, average, threshold], example: ("{ num_classes = 3 }", "mg.randn(8, 3), mg.randint(1, 4, { 8 })"),
      make: { try ClassShare($0) })
  }

  static let kinds: [MetricKind] = [
    MetricKind(
      "Accuracy",
      "How often predictions are right: scores [examples, classes] against labels, labels against labels, or numbers above a threshold against truth values. With top_k, how often the true class is among the largest scores.",
      [.init("top_k", .integer, default: "1"), threshold], example: ("", "mg.randn(8, 3), mg.randint(1, 4, { 8 })"),
      make: { try Accuracy(top: $0.integer(0, default: 1), threshold: $0.number(1, default: 0.5)) }),
    MetricKind(
      "ConfusionMatrix",
      "How often each class, by row, was taken for each, by column; as shares of each row (\"true\"), of each column (\"pred\") or of all, where normalize says so.",
      [numberOfClasses, Parameter("normalize", .string, default: "\"none\"").oneOf("none", "true", "pred", "all"), threshold],
      example: ("{ num_classes = 3 }", "mg.randn(8, 3), mg.randint(1, 4, { 8 })"),
      make: {
        try ConfusionMatrix(
          classes: $0.optionalInteger(0), normalize: $0.string(1, default: "none"), threshold: $0.number(2, default: 0.5))
      }),
    shares("Precision", "Of what was said to be a class, the share that is of it."),
    shares("Recall", "Of what is of a class, the share that was said to be."),
    shares("F1Score", "The harmonic mean of precision and recall."),
  ]
}

/// How often each class was taken for each.
public final class ConfusionMatrix: ClassCounts {
  private let normalize: String

  /// `normalize` is "none", "true", "pred" or "all".
  public init(classes: Int?, normalize: String = "none", threshold: Double = 0.5) throws {
    self.normalize = normalize
    try super.init(ClassCounts.kinds[1], classes: classes, threshold: threshold)
    guard ["none", "true", "pred", "all"].contains(normalize) else {
      throw failure("normalize must be \"none\", \"true\", \"pred\" or \"all\", got \"\(normalize)\"")
    }
  }

  public override func compute() throws -> Tensor {
    if normalize == "none" { return try Tensor(table, shape: [classes, classes]) }
    let totals = (0..<classes).map { counts($0) }
    let shares = table.enumerated().map { place, number in
      let whole =
        switch normalize {
        case "true": totals[place / classes].actual
        case "pred": totals[place % classes].said
        default: count
        }
      return whole == 0 ? 0 : Double(number) / Double(whole)
    }
    return try Tensor(shares, shape: [classes, classes], dtype: .float64)
  }
}

/// Precision, recall and F1.
final class ClassShare: ClassCounts {
  private let average: String

  init(_ arguments: Arguments) throws {
    average = try arguments.string(1, default: "macro")
    guard let kind = ClassCounts.kinds.first(where: { $0.name == arguments.operation }) else {
      throw TensorError(.argument, arguments.operation, "there is no such metric")
    }
    try super.init(kind, classes: arguments.optionalInteger(0), threshold: arguments.number(2, default: 0.5))
    guard ["macro", "micro", "weighted", "none"].contains(average) else {
      throw failure("average must be \"macro\", \"micro\", \"weighted\" or \"none\", got \"\(average)\"")
    }
  }

  private func share(_ right: Int, _ said: Int, _ actual: Int) -> Double {
    let (part, whole) =
      switch kind.name {
      case "Precision": (right, said)
      case "Recall": (right, actual)
      default: (2 * right, said + actual)
      }
    return whole == 0 ? 0 : Double(part) / Double(whole)
  }

  override func compute() throws -> Tensor {
    try requireExamples()
    let all = (0..<classes).map { counts($0) }
    if isBinary { return try .filled([], .real(share(all[1].right, all[1].said, all[1].actual)), dtype: .float64) }
    let shares = all.map { share($0.right, $0.said, $0.actual) }
    let value: Double
    switch average {
    case "none": return try Tensor(shares, dtype: .float64)
    case "micro":
      value = share(all.reduce(0) { $0 + $1.right }, all.reduce(0) { $0 + $1.said }, all.reduce(0) { $0 + $1.actual })
    case "weighted": value = zip(shares, all).reduce(0) { $0 + $1.0 * Double($1.1.actual) } / Double(count)
    default:
      // Classes that were neither said nor true say nothing, as in scikit-learn.
      let present = zip(shares, all).filter { $0.1.said + $0.1.actual > 0 }
      value = present.reduce(0) { $0 + $1.0 } / Double(present.count)
    }
    return try .filled([], .real(value), dtype: .float64)
  }
}

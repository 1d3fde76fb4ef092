// The mean of what a loop computes for each batch: losses, above all.

import Tensors

/// The mean of values, each weighted: `update(loss, batchSize)`.
public final class Mean: Metric {
  private var total = 0.0, lost = 0.0, weight = 0.0

  static let kinds = [
    MetricKind(
      "Mean", "The mean of values, such as the losses of batches, each with a weight, such as the size of its batch.",
      inputs: [.init("value", .operand), .init("weight", .operand, default: "1")], example: ("", "0.5, 32"), make: { _ in Mean() })
  ]

  /// The mean of nothing yet.
  public init() { super.init(Mean.kinds[0]) }

  /// Adds a value with a weight.
  public func update(_ value: Double, weight: Double = 1) throws {
    guard weight >= 0, weight.isFinite else { throw failure("a weight must be 0 or more, got \(pythonNumber(weight))") }
    add(value * weight)
    self.weight += weight
    count += 1
  }

  /// Adds all elements of a tensor, with one weight, or one for each.
  public override func update(_ values: Tensor, _ weights: Tensor?) throws {
    let values = try values.checkedDoubles(kind.name)
    let weights = try weights?.checkedDoubles(kind.name) ?? [1]
    guard weights.count == 1 || weights.count == values.count else {
      throw failure("\(values.count) values with \(weights.count) weights")
    }
    guard weights.allSatisfy({ $0 >= 0 && $0.isFinite }) else { throw failure("weights must be 0 or more") }
    for (index, value) in values.enumerated() { try update(value, weight: weights[weights.count == 1 ? 0 : index]) }
  }

  // What rounding loses is kept aside and added at the end (Neumaier), so that a long run does not drift.
  private func add(_ term: Double) {
    let sum = total + term
    lost += abs(total) >= abs(term) ? (total - sum) + term : (term - sum) + total
    total = sum
  }

  public override func compute() throws -> Tensor {
    try requireExamples()
    guard weight > 0 else { throw failure("all weights were 0") }
    return try .filled([], .real((lost.isFinite ? total + lost : total) / weight), dtype: .float64)
  }

  public override func reset() {
    super.reset()
    (total, lost, weight) = (0, 0, 0)
  }

  public override func stateDict() throws -> [(name: String, value: Tensor)] {
    [("sums", try Tensor([total, lost, weight, Double(count)], dtype: .float64))]
  }

  public override func load(_ state: [String: Tensor]) throws {
    let sums = try stored(state, "sums") { $0.count == 4 }.doubles
    let seen = try counts([sums[3]], "sums")[0]
    (total, lost, weight, count) = (sums[0], sums[1], sums[2], seen)
  }
}

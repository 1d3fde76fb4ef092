// Metrics: scikit-learn's numbers, however the examples come in batches; what is refused; and going on from a state.

import Foundation
import Tensors
import Testing
import Training

/// A line of Fixtures/metrics.jsonl.
struct MetricCase: CustomTestStringConvertible, Sendable {
  let line: String
  let testDescription: String

  static func all(_ kind: String) -> [MetricCase] {
    ((try? lines(of: "TrainingTests/Fixtures/metrics.jsonl")) ?? []).filter { $0.contains("{\"kind\": \"\(kind)\"") }
      .enumerated().map { MetricCase(line: $0.element, testDescription: "\(kind) \($0.offset)") }
  }

  func fields() throws -> [String: Any] { try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]) }
}

@Suite struct MetricTests {
  /// Adds the examples in batches of one size, all at once, and half of them after a state was taken over: the values must be the same.
  private func value(_ make: () throws -> Metric, _ prediction: Tensor, _ target: Tensor) throws -> [Double] {
    let count = target.shape[0]
    func part(_ x: Tensor, _ from: Int, _ to: Int) throws -> Tensor { try x.narrow(0, from, to - from) }
    let whole = try make()
    try whole.update(prediction, target)
    let values = try whole.compute().doubles
    let (batches, first) = (try make(), try make())
    for from in stride(from: 0, to: count, by: 3) {
      try batches.update(part(prediction, from, min(from + 3, count)), part(target, from, min(from + 3, count)))
      if from < count / 2 { try first.update(part(prediction, from, min(from + 3, count)), part(target, from, min(from + 3, count))) }
    }
    let second = try make()
    try second.load(Dictionary(uniqueKeysWithValues: first.stateDict().map { ($0.name, $0.value) }))
    #expect(second.count == first.count)
    try second.update(part(prediction, second.count, count), part(target, second.count, count))
    for other in [batches, second] { #expect(close(try other.compute().doubles, values, 1e-12)) }
    whole.reset()
    #expect(whole.count == 0)
    try whole.update(prediction, target)
    #expect(close(try whole.compute().doubles, values, 1e-12))
    return values
  }

  private func close(_ a: [Double], _ b: [Double], _ tolerance: Double = 1e-9) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= tolerance * max(1, abs($1)) }
  }

  @Test(arguments: MetricCase.all("classes")) func classes(_ entry: MetricCase) throws {
    let fields = try entry.fields()
    let k = try #require(fields["classes"] as? Int)
    let scores = try Tensor(#require(fields["scores"] as? [[Double]]), dtype: .float32)
    let labels = try Tensor(#require(fields["labels"] as? [Int]))
    func number(_ name: String) throws -> Double { try #require(fields[name] as? Double) }
    #expect(close(try value({ try Accuracy() }, scores, labels), [try number("Accuracy")]))
    #expect(close(try value({ try Accuracy(top: 2) }, scores, labels), [try number("top2")]))
    let matrix = try #require(fields["matrix"] as? [[Double]]).flatMap { $0 }
    #expect(close(try value({ try ConfusionMatrix(classes: k) }, scores, labels), matrix))
    for (how, shares) in try #require(fields["normalized"] as? [String: [[Double]]]) {
      #expect(close(try value({ try ConfusionMatrix(classes: k, normalize: how) }, scores, labels), shares.flatMap { $0 }))
    }
    for name in ["Precision", "Recall", "F1Score"] {
      let expected = try #require(fields[name] as? [String: Any])
      for average in ["macro", "micro", "weighted", "none"] {
        let values = try #require((expected[average] as? [Double]) ?? (expected[average] as? Double).map { [$0] })
        let found = try value({ try MetricCatalogue.metric(name, .integer(k), .string(average)) }, scores, labels)
        #expect(close(found, values), "\(name) \(average)")
      }
    }
    if let area = fields["AUROC"] as? Double { #expect(close(try value({ try RankMetric(classes: k) }, scores, labels), [area])) }
  }

  @Test(arguments: MetricCase.all("binary")) func decisions(_ entry: MetricCase) throws {
    let fields = try entry.fields()
    let scores = try Tensor(#require(fields["scores"] as? [Double]))
    let truth = try Tensor(#require(fields["truth"] as? [Int]))
    for name in ["Accuracy", "AUROC", "Precision", "Recall", "F1Score"] {
      let found = try value({ try MetricCatalogue.metric(name) }, scores, truth)
      #expect(close(found, [try #require(fields[name] as? Double)]), "\(name)")
      #expect(close(try value({ try MetricCatalogue.metric(name) }, scores, truth.to(.bool)), found))
    }
  }

  @Test(arguments: MetricCase.all("regression")) func regressions(_ entry: MetricCase) throws {
    let fields = try entry.fields()
    let said = try Tensor(#require(fields["said"] as? [[Double]]), dtype: .float64)
    let target = try Tensor(#require(fields["target"] as? [[Double]]), dtype: .float64)
    for name in ["R2Score", "MeanSquaredError", "MeanAbsoluteError"] {
      #expect(close(try value({ try ErrorMetric(name) }, said, target), [try #require(fields[name] as? Double)]), "\(name)")
    }
  }

  @Test func means() throws {
    let mean = Mean()
    try mean.update(0.5, weight: 3)
    try mean.update(Tensor([2, 4]), Tensor([1]))
    #expect(try mean.compute().doubles == [1.5])
    // 0.1 a million times is 0.1, which a plain sum misses.
    let many = Mean()
    for _ in 0..<1_000_000 { try many.update(0.1) }
    #expect(try many.compute().doubles == [0.1])
    let other = Mean()
    try other.load(Dictionary(uniqueKeysWithValues: many.stateDict().map { ($0.name, $0.value) }))
    #expect(try other.compute().doubles == [0.1] && other.count == 1_000_000)
    let infinite = Mean()
    try infinite.update(.infinity)
    try infinite.update(1)
    #expect(try infinite.compute().doubles == [.infinity])
  }

  @Test func refused() throws {
    let scores = try Tensor([[1, 2], [3, 4]] as [[Double]]), labels = try Tensor([0, 1])
    #expect(message { _ = try Accuracy().compute() } == "Accuracy: nothing was added yet: call update with each batch first")
    #expect(message { try Accuracy().update(scores, Tensor([0, 2])) } == "Accuracy: label 2 is none of the 2 classes, which count from 0")
    #expect(
      message { try Accuracy().update(scores, Tensor([0, -1])) } == "Accuracy: label -1 is none of the 2 classes, which count from 0")
    #expect(
      message { try Accuracy().update(scores, Tensor([0, 1, 1])) }.hasPrefix(
        "Accuracy: predictions of shape [2, 2] do not fit targets of shape [3]"))
    #expect(message { try Accuracy().update(scores, nil) } == "Accuracy: update takes predictions and targets")
    #expect(message { try Accuracy(top: 2).update(labels, labels) } == "Accuracy: top_k = 2 needs scores [examples, classes]")
    #expect(message { _ = try Accuracy(top: 0) } == "Accuracy: top_k must be 1 or more, got 0")
    #expect(message { _ = try MetricCatalogue.metric("F1Score", .integer(0)) } == "F1Score: num_classes must be from 1 to 2,000, got 0")
    #expect(
      message { _ = try MetricCatalogue.metric("F1Score", .integer(2), .string("mean")) }
        == "F1Score: average must be \"macro\", \"micro\", \"weighted\" or \"none\", got \"mean\"")
    #expect(message { _ = try ConfusionMatrix(classes: 2, normalize: "x") }.hasPrefix("ConfusionMatrix: normalize must be"))
    #expect(message { try RankMetric().update(Tensor([.nan, 1]), labels) } == "AUROC: a score is nan, which has no place in an order")
    #expect(message { try RankMetric().update(Tensor([0, 1]), Tensor([0, 2])) }.hasSuffix("true and false, or 1 and 0, got 2.0"))
    let area = try RankMetric()
    try area.update(Tensor([0.5, 1]), Tensor([1, 1]))
    #expect(message { _ = try area.compute() } == "AUROC: both kinds of examples are needed: 2 of 2 are true")
    #expect(message { _ = try MetricCatalogue.metric("Acuracy") }.hasPrefix("metric: there is no Acuracy; there is AUROC, Accuracy"))
    let matrix = try ConfusionMatrix(classes: 2)
    #expect(
      message { try matrix.load(["table": Tensor([1, 2, 3])]) }
        == "ConfusionMatrix: 'table' of the state, of shape [3], is of other options")
    #expect(message { try matrix.load([:]) } == "ConfusionMatrix: the state has no 'table'")
    // A batch that is refused adds nothing.
    try matrix.update(labels, labels)
    _ = message { try matrix.update(Tensor([0, 1, 5]), Tensor([0, 1, 1])) }
    #expect(try matrix.compute().doubles == [1, 0, 0, 1] && matrix.count == 2)
    let error = try ErrorMetric("R2Score")
    try error.update(Tensor([1.0]), Tensor([2.0]))
    #expect(message { _ = try error.compute() } == "R2Score: two examples are needed at least, for a variance")
    #expect(message { try error.update(scores, scores) } == "R2Score: 2 outputs after batches of 1")
    #expect(message { try Mean().update(1, weight: -1) } == "Mean: a weight must be 0 or more, got -1.0")
  }
}

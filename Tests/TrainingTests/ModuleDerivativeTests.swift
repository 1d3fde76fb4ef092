// The law of derivatives of all modules: in float64, first and second ones are those of central differences, in both modes.

import Foundation
import Tensors
import Testing
import Training

@Suite struct ModuleDerivativeTests {
  /// Where the first gradient is by design not the derivative of what is computed. The second ones are those of the first.
  private static let notDerivatives = [
    "Embedding(5, 3, 1) on positions [2, 3] in 0...4": "the entry padding_idx gets no gradient",
    "Embedding(5, 3, absent, 0.75, 1.0, true) on positions [2, 3] in 0...4":
      "rows are scaled down to max_norm before, and their gradients divided by how often they are looked up",
    "EmbeddingBag(5, 2, 0.5, 2.0, false, max, false, false, 2) on positions [3, 4] in 0...4": "rows are scaled down to max_norm before",
  ]

  @Test(arguments: ModuleExample.all) func differences(_ example: ModuleExample) throws {
    let name = example.testDescription
    let isSame = try #require(ExpectedModule.all[name]).isSameInEvaluation
    for isTraining in isSame ? [true] : [true, false] {
      manualSeed(0)
      let (module, call) = try example.sample.instance(of: example.kind, dtype: .float64)
      try module.to(.float64).train(isTraining)
      // Also targets of losses, which PyTorch has no derivatives by.
      let leaves = call.tensors.filter(\.dtype.isFloating)
      for leaf in leaves { try leaf.setRequiresGrad(true) }
      let what = isTraining ? name : "\(name) in eval mode"
      if leaves.isEmpty, module.namedParameters().isEmpty { continue }
      try expectDerivatives(module, call, leaves, what)
    }
  }

  private func expectDerivatives(_ module: Module, _ call: Arguments, _ leaves: [Tensor], _ name: String) throws {
    // Masks are those of the first call in all others.
    func outputs() throws -> [Tensor] {
      manualSeed(1)
      return try module(call)
    }
    func value() throws -> Double {
      try outputs().filter(\.requiresGrad).reduce(0) { sum, y in zip(y.doubles, try cosines(y).doubles).reduce(sum) { $0 + $1.0 * $1.1 } }
    }
    /// Σ weights·gradient, which the second derivatives are those of.
    func slope() throws -> Double {
      try module.gradients(of: outputs(), by: leaves).enumerated().reduce(0) { sum, gradient in
        zip(gradient.element?.doubles ?? [], weights(gradient.offset, gradient.element?.count ?? 0)).reduce(sum) { $0 + $1.0 * $1.1 }
      }
    }
    let inputs = leaves + module.namedParameters().map(\.tensor)
    let first = try module.gradients(of: outputs(), by: leaves, options: BackwardOptions(createGraph: true))
    let other = try disagreement(of: value, by: inputs, first)
    if let reason = Self.notDerivatives[name] {
      #expect(other != nil, "\(name) is listed as not differentiated (\(reason)), but is")
    } else if let other {
      Issue.record("first derivative of \(name) by \(other)")
    }
    var (roots, seeds): ([Tensor], [Tensor]) = ([], [])
    for (position, gradient) in first.enumerated() {
      guard let gradient, gradient.requiresGrad else { continue }
      roots.append(gradient)
      seeds.append(try Tensor(weights(position, gradient.count), shape: gradient.shape, dtype: .float64))
    }
    let second = roots.isEmpty ? inputs.map { _ in nil } : try Tape.gradients(of: roots, seeds, inputs: inputs)
    if let other = try disagreement(of: slope, by: inputs, second) { Issue.record("second derivative of \(name) by \(other)") }
  }

  /// Where `gradients` (nil: zeros) are not the derivatives of `value` by each of `inputs`, along directions in which every
  /// element moves by an amount of its own: an error of one element is one of them all.
  private func disagreement(of value: () throws -> Double, by inputs: [Tensor], _ gradients: [Tensor?]) throws -> String? {
    let step = 1e-5
    for (position, input) in inputs.enumerated() {
      let start = input.doubles
      for direction in 0..<2 {
        let moves = weights(17 + 5 * direction + position, input.count)
        func moved(_ by: Double) throws -> Double {
          for (element, x) in start.enumerated() { input.setElement(element, .real(x + by * moves[element])) }
          defer { for (element, x) in start.enumerated() { input.setElement(element, .real(x)) } }
          return try value()
        }
        let difference = try (moved(step) - moved(-step)) / (2 * step)
        let found = zip(gradients[position]?.doubles ?? [], moves).reduce(0) { $0 + $1.0 * $1.1 }
        guard (found - difference).magnitude <= 2e-8 * max(1, difference.magnitude) else {
          return "tensor \(position), direction \(direction): \(found), differences give \(difference)"
        }
      }
    }
    return nil
  }

  private func weights(_ input: Int, _ count: Int) -> [Double] {
    (0..<count).map { sin(1 + 0.7 * Double($0) + 1.3 * Double(input)) }
  }
}

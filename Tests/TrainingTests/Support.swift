// What the tests of this library share.

import Foundation
import Tensors
import Testing
import Training

/// The lines of a file in Tests/, without comments.
func lines(of path: String) throws -> [String] {
  let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  return try String(contentsOf: tests.appending(path: path), encoding: .utf8).split(separator: "\n")
    .map(String.init).filter { !$0.hasPrefix("#") }
}

/// Tests that `found` is within `tolerance` of `expected`, relative to its size and absolutely near 0.
func expectClose(
  _ found: [Double], _ expected: [Double], _ tolerance: Double, ofLargest share: Double = 0, _ what: String,
  location: SourceLocation = #_sourceLocation
) {
  #expect(found.count == expected.count, "\(what)", sourceLocation: location)
  let least = max(1e-3, share * (expected.filter(\.isFinite).map(\.magnitude).max() ?? 0))
  for (index, (a, b)) in zip(found, expected).enumerated() {
    let same = a == b || (a.isNaN && b.isNaN) || b.isFinite && (a - b).magnitude <= tolerance * max(b.magnitude, least)
    if !same {
      Issue.record("\(what), element \(index): \(a), expected \(b)", sourceLocation: location)
      return
    }
  }
}

/// The message of the error that `body` must throw.
func message(
  location: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) -> String {
  do {
    try body()
    Issue.record("no error was thrown", sourceLocation: location)
    return ""
  } catch {
    return "\(error)"
  }
}

/// The elements' bits, for comparisons that must be exact.
func bits(_ tensor: Tensor) -> [UInt64] { tensor.doubles.map(\.bitPattern) }

/// A float32 parameter of those elements.
func parameter(_ elements: [Double], dtype: DType = .float32) throws -> Tensor {
  try Tensor(elements, dtype: dtype).markParameter()
}

/// An optimizer of one group.
func optimizer(_ name: String, _ parameters: [Tensor], _ options: [String: OptionValue] = [:]) throws -> Optimizer {
  let kind = try #require(OptimizerCatalogue.kind(named: name))
  return try kind.make([(parameters, [:])], options)
}

/// A module made with arguments.
func module(_ name: String, _ arguments: Argument...) throws -> Module {
  let kind = try #require(ModuleCatalogue.kind(named: name))
  return try kind.make(Arguments(name, arguments))
}

/// The fixtures' network: Linear(1, n), relu, Linear(n, 1), with the names of the founding tutorial.
final class Net: Module {
  let hidden: Linear
  let predict: Linear

  init(_ inputs: Int = 1, _ units: Int = 10, _ outputs: Int = 1) throws {
    hidden = try Linear(inputs, units)
    predict = try Linear(units, outputs)
    super.init(kind: "Net")
  }

  override var children: [(name: String, module: Module)] { [("hidden", hidden), ("predict", predict)] }
  override func forward(_ x: Tensor) throws -> Tensor { try predict(hidden(x).relu()) }
}

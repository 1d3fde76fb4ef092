// The law of all modules: every class × every sample prints, starts, computes and differentiates as PyTorch's.

import Foundation
import Tensors
import Testing
import Training

/// One sample of one class.
struct ModuleExample: CustomTestStringConvertible, Sendable {
  let kind: ModuleKind
  let sample: ModuleSample
  /// Its key in the fixture.
  var testDescription: String { "\(kind.name)(\(sample.arguments.text)) on \(sample.inputs.text)" }

  static let all = ModuleCatalogue.kinds.flatMap { kind in kind.samples.map { ModuleExample(kind: kind, sample: $0) } }
}

/// What PyTorch makes of one sample.
struct ExpectedModule {
  let text: String
  let parameters: [[Double]]
  let outputs: [(values: [Double], node: String?)]
  let gradients: [[Double]?]

  static let all: [String: ExpectedModule] = {
    var found: [String: ExpectedModule] = [:]
    for line in (try? lines(of: "TrainingTests/Fixtures/modules.jsonl")) ?? [] {
      guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] else { continue }
      func tensors(_ name: String) -> [[String: Any]?] { (object[name] as? [Any] ?? []).map { $0 as? [String: Any] } }
      func values(_ tensor: [String: Any]) -> [Double] {
        (tensor["data"] as? [Any] ?? []).map { ($0 as? NSNumber)?.doubleValue ?? Double($0 as? String ?? "") ?? .nan }
      }
      found[object["key"] as! String] = ExpectedModule(
        text: object["text"] as! String, parameters: tensors("parameters").map { values($0!) },
        outputs: tensors("outputs").map { (values($0!), $0!["grad_fn"] as? String) },
        gradients: tensors("gradients").map { $0.map(values) })
    }
    return found
  }()
}

/// Where PyTorch computes by several operations what is one here.
private let nodesDiffer: Set = [
  "Linear(3, 2, false) on [3] in -2.0...2.0", "Linear(3, 2) on [2, 4, 3] in -2.0...2.0",
  "CrossEntropyLoss() on [4, 3] in -2.0...2.0, [4, 3] in 0.2...3.0",
]

@Suite struct ModuleSampleTests {
  @Test(arguments: ModuleExample.all) func matchesPyTorch(_ example: ModuleExample) throws {
    let name = example.testDescription
    let expected = try #require(ExpectedModule.all[name], "no fixture for \(name): see scripts/fixtures/modules.py")
    manualSeed(0)
    let (module, call) = try example.sample.instance(of: example.kind)
    #expect(module.kind == example.kind.name)
    #expect(module.description == expected.text)
    let parameters = module.namedParameters().map(\.tensor)
    #expect(parameters.count == expected.parameters.count)
    for (parameter, values) in zip(parameters, expected.parameters) {
      expectClose(parameter.doubles, values, 1e-6, "parameter of \(name)")
    }

    // Sums over windows and batches have the rounding of their terms, also where those nearly cancel.
    let isLayer = module is Layer
    let floats = call.tensors.filter(\.dtype.isFloating)
    let leaves = module is Loss ? Array(floats.prefix(1)) : floats
    for leaf in leaves { try leaf.setRequiresGrad(true) }
    let outputs = try module(call)
    var roots: [Tensor] = []
    for (output, expected) in zip(outputs, expected.outputs) {
      expectClose(output.doubles, expected.values, 2e-6, ofLargest: isLayer ? 0.5 : 0, "output of \(name)")
      let isComposed = try isLayer || module.asOperation(call.tensors)?.0.isComposed ?? false
      if !nodesDiffer.contains(name), !isComposed { #expect(output.gradNode?.name == expected.node, "\(name)") }
      if output.requiresGrad { roots.append(output) }
    }
    let seeds = try roots.map { root in
      try Tensor((0..<root.count).map { cos(Double($0)) }, shape: root.shape)
    }
    let gradients = try Tape.gradients(of: roots, seeds, inputs: leaves + parameters)
    #expect(gradients.count == expected.gradients.count)
    for (gradient, expected) in zip(gradients, expected.gradients) {
      #expect((gradient == nil) == (expected == nil), "\(name)")
      if let gradient, let expected { expectClose(gradient.doubles, expected, 4e-6, ofLargest: isLayer ? 0.5 : 0, "gradient of \(name)") }
    }
  }

  /// All fields that a class declares can be read, and assigned their own values where they can be assigned.
  @Test(arguments: ModuleExample.all) func fields(_ example: ModuleExample) throws {
    let (module, _) = try example.sample.instance(of: example.kind)
    for field in example.kind.fields {
      let value = try field.read(module)
      if case .none = value { continue }
      try example.kind.writers[field.name]?(module, value)
    }
    for (name, write) in example.kind.writers {
      #expect(throws: TensorError.self, "\(example.kind.name).\(name)") { try write(module, .shape([1])) }
    }
  }

  /// Wrong numbers of inputs are refused by the class's name.
  @Test(arguments: ModuleCatalogue.kinds.map { ModuleExample(kind: $0, sample: $0.samples[0]) })
  func inputCount(_ example: ModuleExample) throws {
    let (module, call) = try example.sample.instance(of: example.kind)
    if module.takesOptions { return }
    let inputs = call.tensors
    #expect(message { _ = try module([]) }.hasPrefix("\(module.kind): takes "))
    #expect(message { _ = try module(inputs + inputs + inputs + inputs) }.hasPrefix("\(module.kind): takes "))
    if module.inputs.contains(where: \.isOptional) { return }
    if inputs.count == 1 {
      #expect(message { _ = try module(inputs[0], inputs[0]) } == "\(module.kind): takes 1 tensor, got 2")
    } else {
      #expect(message { _ = try module(inputs[0]) } == "\(module.kind): takes \(inputs.count) tensors, got 1")
    }
  }
}

/// Not a test: with MOONGRAD_WRITE_MODULES=path it writes all samples there (see scripts/fixtures/modules.py).
@Suite struct ModuleSamples {
  private static let path = ProcessInfo.processInfo.environment["MOONGRAD_WRITE_MODULES"]

  @Test(.enabled(if: path != nil)) func write() throws {
    let lines = try ModuleExample.all.map(line)
    try lines.joined(separator: "\n").write(toFile: Self.path!, atomically: true, encoding: .utf8)
  }

  private func line(_ example: ModuleExample) throws -> String {
    let (arguments, inputs) = try example.sample.decoded(for: example.kind)
    func text(_ tensor: Tensor) -> String {
      let data = tensor.scalars.map { scalar in
        switch scalar {
        case .real(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .boolean(let value): "\(value)"
        }
      }
      let flag = tensor.dtype.isFloating ? "" : ",\"requires_grad\":false"
      return "{\"tensor\":{\"shape\":\(tensor.shape),\"dtype\":\"\(tensor.dtype)\",\"data\":[\(data.joined(separator: ","))]\(flag)}}"
    }
    func value(_ argument: Argument) -> String {
      switch argument {
      case .tensor(let tensor): text(tensor).replacing("]}}", with: "],\"requires_grad\":false}}")
      case .number(.integer(let whole)): "\(whole)"
      case .number(let number): "{\"number\":\(number.real)}"
      case .integer(let integer): "\(integer)"
      case .integers(let list): "\(list)"
      case .boolean(let flag): "\(flag)"
      case .string(let string): "\"\(string)\""
      default: "null"
      }
    }
    let values = zip(example.sample.arguments.values, arguments).map { sample, argument -> String in
      guard case .made(let name, let own) = sample else { return value(argument) }
      let inner = try? own.isEmpty ? [] : ModuleSample(Sample(own), []).decoded(for: ModuleCatalogue.kind(named: name)!).0
      let names = ModuleCatalogue.kind(named: name)!.parameters.map { "\"\($0.name)\"" }.joined(separator: ",")
      return "{\"made\":\"\(name)\",\"names\":[\(names)],\"args\":[\((inner ?? []).map(value).joined(separator: ","))]}"
    }
    let names = example.kind.parameters.map { "\"\($0.name)\"" }.joined(separator: ",")
    return """
      {"module":"\(example.kind.name)","key":"\(example.testDescription)","names":[\(names)],\
      "args":[\(values.joined(separator: ","))],"inputs":[\(inputs.map { if case .tensor(let tensor) = $0 { text(tensor) } else { value($0) } }.joined(separator: ","))]}
      """
  }
}

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
  struct Values {
    let shape: [Int]
    let dtype: String
    let data: [Double]
    let node: String?
  }
  /// What a call gives, and the gradients of Σ cos(i)·output by float inputs and parameters.
  struct Results {
    let outputs: [Values]
    let gradients: [Values?]
  }
  let text: String
  let parameters: [Values]
  let training: Results
  let evaluation: Results
  /// Whether both modes give the same.
  let isSameInEvaluation: Bool
  /// The losses of 20 steps, and what parameters and buffers are after them; or Σ cos(i)·element of each input.
  let losses: [Double]?
  let trained: [Values]
  let buffers: [Values]

  static let all: [String: ExpectedModule] = {
    var found: [String: ExpectedModule] = [:]
    for line in (try? lines(of: "TrainingTests/Fixtures/modules.jsonl")) ?? [] {
      guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] else { continue }
      found[object["key"] as! String] = ExpectedModule(object)
    }
    return found
  }()

  private init(_ object: [String: Any]) {
    text = object["text"] as! String
    parameters = Self.values(object, "parameters").map { $0! }
    training = Self.results(object)
    let other = object["eval"] as? [String: Any]
    evaluation = other.map(Self.results) ?? training
    isSameInEvaluation = other == nil
    losses = (object["losses"] as? [Any]).map { $0.map(Self.number) }
    trained = Self.values(object, "trained").map { $0! }
    buffers = Self.values(object, "buffers").map { $0! }
  }

  private static func results(_ object: [String: Any]) -> Results {
    Results(outputs: values(object, "outputs").map { $0! }, gradients: values(object, "gradients"))
  }

  private static func values(_ object: [String: Any], _ name: String) -> [Values?] {
    (object[name] as? [Any] ?? []).map { entry in
      guard let entry = entry as? [String: Any] else { return nil }
      return Values(
        shape: entry["shape"] as! [Int], dtype: entry["dtype"] as? String ?? "float32", data: (entry["data"] as! [Any]).map(number),
        node: entry["grad_fn"] as? String)
    }
  }

  private static func number(_ value: Any) -> Double { (value as? NSNumber)?.doubleValue ?? Double(value as? String ?? "") ?? .nan }
}

/// Where PyTorch computes by several operations what is one here.
private let nodesDiffer: Set = [
  "Linear(3, 2, false) on [3] in -2.0...2.0", "Linear(3, 2) on [2, 4, 3] in -2.0...2.0",
  "CrossEntropyLoss() on [4, 3] in -2.0...2.0, [4, 3] in 0.2...3.0",
]

@Suite struct ModuleSampleTests {
  /// Text, initial parameters, and in both modes outputs and first gradients; then 20 steps of training.
  @Test(arguments: ModuleExample.all) func matchesPyTorch(_ example: ModuleExample) throws {
    let name = example.testDescription
    let expected = try #require(ExpectedModule.all[name], "no fixture for \(name): see scripts/fixtures/modules.py")
    manualSeed(0)
    let (module, call) = try example.sample.instance(of: example.kind)
    #expect(module.kind == example.kind.name)
    #expect(module.description == expected.text)
    expectTensors(module.namedParameters().map(\.tensor), expected.parameters, 1e-6, "parameter of \(name)")
    let leaves = module.floatInputs(of: call)
    for leaf in leaves { try leaf.setRequiresGrad(true) }
    try expectResults(module, call, leaves, expected.training, example, "")
    try expectResults(module.eval(), call, leaves, expected.evaluation, example, " in eval mode")
    try expectTraining(module.train(), call, leaves, expected, name)
  }

  private func expectResults(
    _ module: Module, _ call: Arguments, _ leaves: [Tensor], _ expected: ExpectedModule.Results, _ example: ModuleExample, _ mode: String
  ) throws {
    let name = example.testDescription + mode
    // Sums over windows and batches have the rounding of their terms, also where those nearly cancel.
    let isLayer = module is Layer
    let share = isLayer ? 0.5 : 0
    // Those of layers made of layers have passed through some twenty operations.
    let tolerance = module.children.isEmpty ? 4e-6 : 1e-5
    let outputs = try module(call)
    expectTensors(outputs, expected.outputs, 2e-6, ofLargest: share, "output of \(name)")
    let isComposed = try isLayer || module.asOperation(call.tensors)?.0.isComposed ?? false
    if !nodesDiffer.contains(example.testDescription), !isComposed {
      for (output, expected) in zip(outputs, expected.outputs) { #expect(output.gradNode?.name == expected.node, "\(name)") }
    }
    let gradients = try module.gradients(of: outputs, by: leaves)
    #expect(gradients.count == expected.gradients.count)
    for (gradient, expected) in zip(gradients, expected.gradients) {
      #expect((gradient == nil) == (expected == nil), "\(name)")
      if let gradient, let expected { expectTensors([gradient], [expected], tolerance, ofLargest: share, "gradient of \(name)") }
    }
  }

  /// Where there are no parameters, the inputs are trained: those of the samples of losses, of activations and so on.
  private func expectTraining(_ module: Module, _ call: Arguments, _ leaves: [Tensor], _ expected: ExpectedModule, _ name: String) throws {
    let parameters = module.namedParameters().map(\.tensor)
    let trained = parameters.isEmpty ? leaves : parameters
    #expect(trained.isEmpty == (expected.losses == nil), "\(name)")
    guard !trained.isEmpty, let losses = expected.losses else { return }
    for leaf in leaves { try leaf.setRequiresGrad(parameters.isEmpty) }
    let optimizer = try SGD(trained, lr: parameters.isEmpty ? 0.003 : 0.05, momentum: 0.9)
    var found: [Double] = []
    for _ in losses {
      try optimizer.zeroGrad()
      let loss = try loss(module, module(call).filter(\.requiresGrad))
      try loss.backward()
      try optimizer.step()
      found.append(try loss.item().real)
    }
    // Relative to the largest, since errors of rounding go into all later steps.
    expectClose(found, losses, 1e-5, ofLargest: 1, "loss of a step of \(name)")
    let ends = parameters.isEmpty ? try withNoGrad { try leaves.map { try ($0 * cosines($0)).sum() } } : parameters
    expectTensors(ends, expected.trained, 1e-5, ofLargest: 1, "what is trained of \(name)")
    expectTensors(module.namedBuffers().map(\.tensor), expected.buffers, 1e-5, ofLargest: 1, "buffer after training of \(name)")
  }

  /// As in scripts/fixtures/modules.py.
  private func loss(_ module: Module, _ outputs: [Tensor]) throws -> Tensor {
    if module is Loss { return try outputs[0].mean() }
    let terms = try outputs.map { y in try (y * (y / 2 + cosines(y))).mean() }
    return try terms.dropFirst().reduce(terms[0]) { try $0 + $1 }
  }

  private func expectTensors(
    _ found: [Tensor], _ expected: [ExpectedModule.Values], _ tolerance: Double, ofLargest share: Double = 0, _ what: String
  ) {
    #expect(found.count == expected.count, "\(what)")
    for (tensor, expected) in zip(found, expected) {
      #expect(tensor.shape.array == expected.shape, "\(what)")
      #expect("\(tensor.dtype)" == expected.dtype, "\(what)")
      expectClose(tensor.doubles, expected.data, tolerance, ofLargest: share, what)
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

extension Module {
  /// What a sample's call is differentiated by besides the parameters; targets of losses are not, as in PyTorch.
  func floatInputs(of call: Arguments) -> [Tensor] {
    let floats = call.tensors.filter(\.dtype.isFloating)
    return self is Loss ? Array(floats.prefix(1)) : floats
  }

  /// The gradients of Σ cos(i)·output by `leaves` and the parameters.
  func gradients(of outputs: [Tensor], by leaves: [Tensor], options: BackwardOptions = BackwardOptions()) throws -> [Tensor?] {
    let roots = outputs.filter(\.requiresGrad)
    return try Tape.gradients(of: roots, roots.map(cosines), inputs: leaves + namedParameters().map(\.tensor), options: options)
  }
}

/// cos(i), for each element of a tensor.
func cosines(_ tensor: Tensor) throws -> Tensor {
  try Tensor((0..<tensor.count).map { cos(Double($0)) }, shape: tensor.shape, dtype: tensor.dtype)
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

// Optimizers: PyTorch's trajectories, printed forms, options and what is refused.

import Foundation
import Tensors
import Testing
import Training

/// One run of Tests/Fixtures/training/regression.txt.
struct Run: CustomTestStringConvertible, Sendable {
  let name: String
  let optimizer: String
  let options: [String: OptionValue]
  var testDescription: String { name }

  static let all = [
    Run(name: "sgd", optimizer: "SGD", options: ["lr": .number(0.2)]),
    Run(name: "sgd_momentum", optimizer: "SGD", options: ["lr": .number(0.05), "momentum": .number(0.9)]),
    Run(
      name: "sgd_nesterov", optimizer: "SGD",
      options: ["lr": .number(0.02), "momentum": .number(0.9), "nesterov": .boolean(true), "weight_decay": .number(1e-3)]),
    Run(name: "adam", optimizer: "Adam", options: ["lr": .number(1e-2)]),
    Run(
      name: "adam_amsgrad", optimizer: "Adam",
      options: ["lr": .number(1e-2), "weight_decay": .number(1e-3), "amsgrad": .boolean(true)]),
    Run(name: "adamw", optimizer: "AdamW", options: ["lr": .number(1e-2), "weight_decay": .number(0.1)]),
    Run(
      name: "rmsprop", optimizer: "RMSprop",
      options: ["lr": .number(1e-3), "momentum": .number(0.9), "centered": .boolean(true)]),
    Run(name: "adagrad", optimizer: "Adagrad", options: ["lr": .number(0.05)]),
    Run(name: "adadelta", optimizer: "Adadelta", options: ["lr": .number(1)]),
    Run(name: "adamax", optimizer: "Adamax", options: ["lr": .number(1e-2)]),
    Run(name: "nadam", optimizer: "NAdam", options: ["lr": .number(1e-2)]),
  ]

  /// `run key value …` lines of the file, by run.
  static let fixture: [String: [(key: String, values: [Double])]] = {
    var found: [String: [(key: String, values: [Double])]] = [:]
    for line in (try? lines(of: "Fixtures/training/regression.txt")) ?? [] {
      let words = line.split(separator: " ")
      found[String(words[0]), default: []].append((String(words[1]), words.dropFirst(2).compactMap { Double($0) }))
    }
    return found
  }()

  /// The start that all runs share.
  static func start() throws -> (x: Tensor, y: Tensor, net: Net) {
    manualSeed(0)
    let x = try Tensor.linspace(-1, 1, 100).unsqueeze(1)
    let y = try x.square() + Tensor.rand([100, 1]) * 0.2
    return (x, y, try Net())
  }
}

@Suite struct TrajectoryTests {
  /// 100 losses to 5 digits and the parameters at the end, for every optimizer.
  @Test(arguments: Run.all) func regression(_ run: Run) throws {
    let expected = try #require(Run.fixture[run.name])
    let (x, y, net) = try Run.start()
    let parameters = net.namedParameters()
    let optimizer = try optimizer(run.optimizer, parameters.map(\.tensor), run.options)
    let loss = Loss.mse()
    for step in 0..<100 {
      let value = try loss(net(x), y)
      try optimizer.zeroGrad()
      try value.backward()
      try optimizer.step()
      expectClose(value.doubles, expected[step].values, 5e-6, "\(run.name), loss \(step + 1)")
    }
    for (parameter, expected) in zip(parameters, expected[100...]) {
      #expect(parameter.name == expected.key)
      for (found, value) in zip(parameter.tensor.doubles, expected.values) {
        #expect((found - value).magnitude < 2e-5, "\(run.name), \(parameter.name)")
      }
    }
  }

  /// Each option on its own in float64, on a float64 quadratic and with groups, against PyTorch's float64 to 12 digits.
  @Test func options() throws {
    let found = try lines(of: "TrainingTests/Fixtures/optimizers.txt")
    #expect(found.count > 40)
    for line in found {
      let parts = line.components(separatedBy: " | ")
      let words = parts[0].split(separator: " ")
      var options: [String: OptionValue] = [:]
      for word in words.dropFirst() {
        let pair = word.split(separator: "=")
        switch pair[1] {
        case "True": options[String(pair[0])] = .boolean(true)
        case "False": options[String(pair[0])] = .boolean(false)
        default:
          let numbers = pair[1].split(separator: ",").map { Double($0)! }
          options[String(pair[0])] = numbers.count == 2 ? .pair(numbers[0], numbers[1]) : .number(numbers[0])
        }
      }
      let p = try parameter([1.5, -0.75, 0.25, 2.0], dtype: .float64)
      let optimizer = try optimizer(String(words[0]), [p], options)
      for step in 0..<5 {
        try optimizer.zeroGrad()
        try ((p - Double(step)).square() * Tensor([1.0, 0.5, 2, 0.1], dtype: .float64)).sum().backward()
        try optimizer.step()
      }
      expectClose(p.doubles, parts[1].split(separator: " ").map { Double($0)! }, 1e-12, parts[0])
    }
  }
}

/// Steps that fail for want of memory: half precision is widened for an update, which takes some.
@Suite struct FailingStepTests {
  @Test(arguments: Run.all) func aFailedStepWasNone(_ run: Run) throws {
    let context = Context()
    try context.run {
      func quadratic() throws -> (p: Tensor, Optimizer) {
        let p = try Tensor.linspace(-1, 1, 4096).to(.bfloat16).markParameter()
        return (p, try optimizer(run.optimizer, [p], run.options))
      }
      func gradient(_ p: Tensor) throws {
        try p.setGrad(nil)
        try (p - 0.5).square().sum().backward()
      }
      let (plain, steady) = try quadratic()
      let (p, tried) = try quadratic()
      var failures = 0
      for _ in 0..<3 {
        try gradient(plain)
        try steady.step()
        try gradient(p)
        // Each limit leaves room for one more allocation than the one before.
        var room = 0
        while true {
          context.memoryLimit = context.memoryUse.live + room
          defer { context.memoryLimit = nil }
          do {
            try tried.step()
            break
          } catch let error as TensorError {
            #expect(error.kind == .memory)
            failures += 1
            room += 4096
          }
        }
        let isSame = p.doubles == plain.doubles
        #expect(isSame)
      }
      #expect(failures > 3)
    }
  }
}

/// A line of Fixtures/optimizer-runs.jsonl.
struct TrainingRun: CustomTestStringConvertible, Sendable {
  let line: String
  let testDescription: String

  static let all: [TrainingRun] = {
    let found = (try? lines(of: "TrainingTests/Fixtures/optimizer-runs.jsonl")) ?? []
    return found.enumerated().map { TrainingRun(line: $0.element, testDescription: "\($0.offset): \($0.element.prefix(60))") }
  }()

  static func value(_ text: Substring) -> OptionValue {
    if text.contains(",") {
      let parts = text.split(separator: ",").map(value)
      if parts.count == 2, let a = parts[0].number, let b = parts[1].number { return .pair(a, b) }
      return .tuple(parts)
    }
    switch text {
    case "True": return .boolean(true)
    case "False": return .boolean(false)
    case "None": return .none
    default: return Int(text).map(OptionValue.integer) ?? Double(text).map(OptionValue.number) ?? .text(String(text))
    }
  }
}

@Suite struct TrainingRunTests {
  /// A net in float64 and an optimizer of a line.
  private struct Trained {
    let x: Tensor, w: Tensor, v: Tensor, b: Tensor
    let optimizer: Optimizer

    init(_ name: String, _ text: String) throws {
      manualSeed(0)
      x = try Tensor.randn([12, 3], dtype: .float64)
      w = try Tensor.randn([5, 3], dtype: .float64).markParameter()
      v = try Tensor.randn([5], dtype: .float64).markParameter()
      b = try Tensor.randn([1], dtype: .float64).markParameter()
      var options: [String: OptionValue] = [:]
      for word in text.split(separator: " ") {
        let pair = word.split(separator: "=")
        options[String(pair[0])] = TrainingRun.value(pair[1])
      }
      optimizer = try OptimizerCatalogue.kind(named: name)!.make([(name == "Muon" ? [w] : [w, v, b], [:])], options)
    }

    func step() throws -> Double {
      try optimizer.step {
        try optimizer.zeroGrad()
        let y = try x.matmul(w.transpose(0, 1)).tanh().matmul(v) + b
        let loss = try (y - x.sum([1]).sin()).square().mean()
        try loss.backward()
        return loss
      }.item().real
    }
  }

  @Test(arguments: TrainingRun.all) func twentySteps(_ run: TrainingRun) throws {
    let fields = try #require(try JSONSerialization.jsonObject(with: Data(run.line.utf8)) as? [String: Any])
    let name = try #require(fields["name"] as? String), options = try #require(fields["options"] as? String)
    let losses = try #require(fields["losses"] as? [Double]), ends = try #require(fields["parameters"] as? [[Double]])
    // Muon's iteration is in bfloat16; what searches decide amplifies rounding.
    let tolerance = name == "Muon" ? 2e-2 : name == "LBFGS" ? 1e-7 : name == "ASGD" || name == "NAdam" ? 1e-9 : 1e-11
    let trained = try Trained(name, options)
    for position in 0..<10 { expectClose([try trained.step()], [losses[position]], tolerance, "loss \(position)") }
    // The second half by another optimizer, from the first one's state.
    let second = try Trained(name, options)
    for (own, other) in zip([second.w, second.v, second.b], [trained.w, trained.v, trained.b]) { try own.setData(other.detach().clone()) }
    try second.optimizer.loadStateDict(trained.optimizer.stateDict())
    for position in 10..<20 { expectClose([try second.step()], [losses[position]], tolerance, "loss \(position)") }
    if name == "Muon" {
      for (found, end) in zip(second.w.doubles, ends[0]) { #expect((found - end).magnitude < 0.01) }
      return #expect(second.optimizer.state(of: second.w).map(\.name) == ["momentum_buffer"])
    }
    for (found, end) in zip([second.w, second.v, second.b], ends) { expectClose(found.doubles, end, tolerance, "parameter") }
    // PyTorch's names of what is remembered, and the numbers and moments beneath them.
    let state = try #require(fields["state"] as? [[String: Any]])
    let parameters = second.optimizer.groups[0].parameters
    for (parameter, wanted) in zip(parameters, state) {
      let found = second.optimizer.state(of: parameter)
      #expect(Set(found.map(\.name)) == Set(wanted.keys))
      for (name, value) in found where name != "al" {
        switch value {
        case .number(let number): expectClose([number], [(wanted[name] as? NSNumber)?.doubleValue ?? .nan], tolerance, name)
        case .tensor(let tensor): expectClose(tensor.doubles, wanted[name] as? [Double] ?? [], tolerance, name)
        case .tensors(let list): #expect(list.count == wanted[name] as? Int, "\(name)")
        case .none: break
        }
      }
    }
  }

  @Test func hooks() throws {
    let p = try parameter([1])
    let optimizer = try optimizer("SGD", [p], ["lr": .number(0.5)])
    try p.setGrad(Tensor([1.0]))
    var seen: [[Double]] = []
    let removeFirst = optimizer.addPreHook { _ in seen.append(p.doubles) }
    let removeSecond = optimizer.addPostHook { _ in seen.append(p.doubles) }
    try optimizer.step()
    #expect(seen == [[1], [0.5]])
    removeFirst()
    removeSecond()
    try optimizer.step()
    #expect(seen.count == 2 && p.doubles == [0])
  }

  @Test func released() throws {
    let p = try parameter([1]), q = try parameter([2])
    let optimizer = try optimizer("SGD", [p, q], ["lr": .number(0.5)])
    try q.setGrad(Tensor([1.0]))
    q.free()
    #expect(
      message { try optimizer.step() }
        == "SGD.step: parameter 1 has no elements any more (they were released by free()); make an optimizer without it")
  }

  @Test func refused() throws {
    let p = try parameter([1])
    #expect(
      message { _ = try optimizer("Muon", [p]) }
        == "Muon: parameter 0 has shape [1]; only matrices are possible, give the others to another optimizer")
    #expect(
      message { try optimizer("LBFGS", [p]).step() }
        == "LBFGS.step: a function that computes the loss is needed, since a step looks at it several times")
    #expect(
      message { try optimizer("LBFGS", [p]).addGroup([parameter([2])]) }
        == "LBFGS: there is one group of parameters, since a step moves all of them together")
    #expect(
      message { _ = try optimizer("LBFGS", [p], ["max_iter": .number(0)]) }
        == "LBFGS: max_iter must be a whole number of at least 1, got 0.0")
    #expect(
      message { _ = try optimizer("LBFGS", [p], ["line_search_fn": .text("armijo")]) }
        == "LBFGS: line_search_fn must be one of \"strong_wolfe\", or nil, got \"armijo\"")
    #expect(
      message { _ = try optimizer("Rprop", [p], ["etas": .pair(1.5, 2)]) }
        == "Rprop: etas must be two numbers, one between 0 and 1 and one above 1, got (1.5, 2.0)")
    #expect(
      message { _ = try optimizer("Adafactor", [p], ["d": .number(0.5)]) } == "Adafactor: d must be a number of at least 1.0, got 0.5")
    #expect(message { _ = try optimizer("Adafactor", [p], ["beta2_decay": .number(1)]) }.contains("must be a number that is not above 0"))
  }
}

@Suite struct OptimizerPrintingTests {
  @Test func defaults() throws {
    let p = try parameter([1, 1])
    #expect(
      try optimizer("SGD", [p], ["lr": .number(0.2)]).description == """
        SGD (
        Parameter Group 0
            dampening: 0
            differentiable: False
            foreach: None
            fused: None
            lr: 0.2
            maximize: False
            momentum: 0
            nesterov: False
            weight_decay: 0
        )
        """)
    #expect(
      try optimizer("Adam", [p]).description == """
        Adam (
        Parameter Group 0
            amsgrad: False
            betas: (0.9, 0.999)
            capturable: False
            decoupled_weight_decay: False
            differentiable: False
            eps: 1e-08
            foreach: None
            fused: None
            lr: 0.001
            maximize: False
            weight_decay: 0
        )
        """)
  }

  /// Every kind's defaults, from PyTorch's own printed forms.
  @Test func allKinds() throws {
    let expected = try String(
      contentsOf: URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/optimizers-printed.txt"),
      encoding: .utf8)
    let p = try Tensor.ones([2, 2]).markParameter()
    let texts = try OptimizerCatalogue.kinds.map { try optimizer($0.name, [p]).description + "\n" }
    #expect(texts.joined() == expected)
  }

  @Test func groups() throws {
    let kind = OptimizerCatalogue.kind(named: "SGD")!
    let optimizer = try kind.make(
      [([parameter([1])], [:]), ([parameter([2])], ["lr": .number(1), "momentum": .number(0.9)])], ["lr": .number(1e-4)])
    #expect(
      optimizer.description == """
        SGD (
        Parameter Group 0
            dampening: 0
            differentiable: False
            foreach: None
            fused: None
            lr: 0.0001
            maximize: False
            momentum: 0
            nesterov: False
            weight_decay: 0

        Parameter Group 1
            dampening: 0
            differentiable: False
            foreach: None
            fused: None
            lr: 1.0
            maximize: False
            momentum: 0.9
            nesterov: False
            weight_decay: 0
        )
        """)
  }
}

@Suite struct OptimizerOptionTests {
  @Test func reading() throws {
    let group = try optimizer("Adam", [parameter([1])]).groups[0]
    #expect(group["lr"] == .number(1e-3) && group["betas"] == .pair(0.9, 0.999) && group["foreach"] == OptionValue.none)
    #expect(group["rate"] == nil)
    #expect(group.optionNames == group.optionNames.sorted() && group.optionNames.count == 11)
    #expect(group.parameters.count == 1)
  }

  /// A new rate counts from the next step, in its own group only.
  @Test func changing() throws {
    let p = try parameter([1]), q = try parameter([1])
    let optimizer = try OptimizerCatalogue.kind(named: "SGD")!.make([([p], [:]), ([q], [:])], ["lr": .number(0.5)])
    for tensor in [p, q] { try tensor.setGrad(Tensor([1.0])) }
    optimizer.groups[1]["lr"] = .number(0.25)
    try optimizer.step()
    #expect(p.doubles == [0.5] && q.doubles == [0.75])
    try optimizer.groups[0].set("lr", .number(0))
    try optimizer.step()
    #expect(p.doubles == [0.5] && q.doubles == [0.5])
  }

  /// What cannot be is refused at once by `set`, and by the next step after an assignment; the value stays as it was.
  @Test func impossible() throws {
    let p = try parameter([1])
    let optimizer = try optimizer("SGD", [p], ["lr": .number(0.5)])
    try p.setGrad(Tensor([1.0]))
    let group = optimizer.groups[0]
    #expect(message { try group.set("lr", .number(-1)) } == "SGD: lr must be a number that is not negative, got -1.0")
    group["lr"] = .number(.nan)
    #expect(message { try optimizer.step() } == "SGD: lr must be a number that is not negative, got nan")
    #expect(p.doubles == [1] && group["lr"] == .number(0.5))
    group["rate"] = .number(1)
    #expect(
      message { try optimizer.step() }
        == "SGD: unknown option 'rate'; there are dampening, differentiable, foreach, fused, lr, maximize, momentum, nesterov, weight_decay"
    )
    group["lr"] = .number(0.25)
    try optimizer.step()
    #expect(p.doubles == [0.75])
  }

  @Test func refused() throws {
    func refusal(_ name: String, _ options: [String: OptionValue]) -> String {
      message { _ = try optimizer(name, [parameter([1])], options) }
    }
    let negative = "must be a number that is not negative"
    #expect(refusal("SGD", ["lr": .number(-0.1)]) == "SGD: lr \(negative), got -0.1")
    #expect(refusal("Adam", ["lr": .number(.nan)]) == "Adam: lr \(negative), got nan")
    #expect(refusal("AdamW", ["eps": .number(-1)]) == "AdamW: eps \(negative), got -1.0")
    #expect(refusal("SGD", ["momentum": .number(-0.5)]) == "SGD: momentum \(negative), got -0.5")
    #expect(refusal("SGD", ["lr": .boolean(true)]) == "SGD: lr must be a number, got True")
    #expect(refusal("SGD", ["nesterov": .number(1)]) == "SGD: nesterov must be true or false, got 1.0")
    #expect(
      refusal("SGD", ["nesterov": .boolean(true)])
        == "SGD: nesterov needs a momentum above 0 and no dampening, got momentum = 0 and dampening = 0")
    #expect(
      refusal("Adam", ["betas": .pair(0.9, 1)]) == "Adam: betas must be two numbers from 0 up to, not including, 1, got (0.9, 1.0)")
    #expect(refusal("Adadelta", ["rho": .number(1.5)]) == "Adadelta: rho must be a number between 0 and 1.0, got 1.5")
    #expect(
      refusal("SGD", ["differentiable": .boolean(true)])
        == "SGD: differentiable = True is not possible, since steps are not recorded")
    #expect(refusal("RMSprop", ["beta": .number(1)]).hasPrefix("RMSprop: unknown option 'beta'; there are alpha, capturable, "))
    // Each kind refuses a negative value of every number it has, but for SGD's dampening.
    for kind in OptimizerCatalogue.kinds {
      if kind.name == "Muon" { continue }
      for (name, value, _) in kind.options where value.number != nil && !["dampening", "beta2_decay", "t0"].contains(name) {
        #expect(refusal(kind.name, [name: .number(-1)]).contains("\(name) must be"), "\(kind.name).\(name)")
        #expect(refusal(kind.name, [name: .number(.nan)]).contains("\(name) must be"), "\(kind.name).\(name)")
      }
    }
  }

  @Test func parameters() throws {
    let p = try parameter([1])
    let optimizer = try optimizer("SGD", [p])
    #expect(message { try optimizer.addGroup([p]) } == "SGD: parameter 0, of shape [1], is there already")
    #expect(message { try optimizer.addGroup([]) } == "SGD: the list of parameters is empty")
    #expect(
      message { try optimizer.addGroup([p * 2.0]) }
        == "SGD: parameter 0, of shape [1], was computed by an operation; only leaves can be optimized")
    #expect(
      message { try optimizer.addGroup([Tensor([1, 2])]) } == "SGD: parameter 0 is a tensor of int64; one of a float dtype is needed")
    #expect(message { try optimizer.addGroup([parameter([2]), p]) } == "SGD: parameter 1, of shape [1], is there already")
    #expect(message { _ = try OptimizerCatalogue.kinds[0].make([], [:]) } == "SGD: the list of parameters is empty")
    #expect(optimizer.groups.count == 1)
    try optimizer.addGroup([parameter([2])], ["lr": .number(1)])
    #expect(optimizer.groups.map { $0["lr"] } == [.number(1e-3), .number(1)])
  }
}

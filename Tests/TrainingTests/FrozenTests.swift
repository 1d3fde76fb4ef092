// What an optimizer leaves alone, and how it writes: frozen parameters, layouts, versions, the graph, its own state.

import Tensors
import Testing
import Training

@Suite struct FrozenTests {
  /// The methods that step without a closure, and move parameters of any shape.
  static let usual = OptimizerCatalogue.kinds.filter { !$0.wantsClosure && $0.name != "Muon" }
  static let settings: [(String, [String: OptionValue])] =
    usual.map { ($0.name, $0.options.contains { $0.name == "weight_decay" } ? ["weight_decay": .number(0.1)] : [:]) }
    + [
      ("SGD", ["momentum": .number(0.9), "weight_decay": .number(0.1)]),
      ("SGD", ["momentum": .number(0.9), "nesterov": .boolean(true)]),
      ("RMSprop", ["momentum": .number(0.9), "centered": .boolean(true)]), ("Adam", ["amsgrad": .boolean(true)]),
    ]

  /// A parameter frozen in mid-training keeps its bits: with moments, decay, a stale gradient, a zeroed gradient.
  @Test(arguments: settings) func bitsStay(_ name: String, _ options: [String: OptionValue]) throws {
    let frozen = try parameter([1.5, -2, 0.25]), trained = try parameter([1.5, -2, 0.25])
    let optimizer = try optimizer(name, [frozen, trained], options)
    func train() throws {
      try (frozen * trained).square().sum().backward()
      try optimizer.step()
    }
    for _ in 0..<3 {
      try optimizer.zeroGrad()
      try train()
    }
    let before = bits(frozen)
    let version = frozen.version
    #expect(before == bits(trained))  // equal starts and symmetric gradients

    try frozen.setRequiresGrad(false)
    #expect(frozen.grad == nil)
    for _ in 0..<3 { try train() }
    try frozen.setGrad(Tensor([9.0, 9, 9]))  // stale
    for _ in 0..<3 { try train() }
    try optimizer.zeroGrad(setToNone: false)
    for _ in 0..<3 { try train() }
    #expect(bits(frozen) == before && frozen.version == version)
    #expect(bits(trained) != before)

    try frozen.setRequiresGrad(true)
    try optimizer.zeroGrad()
    try train()
    #expect(bits(frozen) != before)
  }

  /// Without a gradient nothing moves, not even by weight decay, and nothing is remembered.
  @Test(arguments: settings) func withoutGradient(_ name: String, _ options: [String: OptionValue]) throws {
    let p = try parameter([1.5])
    let optimizer = try optimizer(name, [p], options)
    try optimizer.step()
    #expect(p.doubles == [1.5] && p.version == 0 && optimizer.state(of: p).isEmpty)
  }
}

/// The same for the methods that are unlike the others.
@Suite struct FrozenMatricesTests {
  private func train(_ optimizer: Optimizer, _ a: Tensor, _ b: Tensor) throws {
    try optimizer.step {
      try optimizer.zeroGrad()
      let loss = try ((a * b).sum() - 3.0).square()
      try loss.backward()
      return loss
    }
  }

  @Test(arguments: ["Muon", "LBFGS"]) func bitsStay(_ name: String) throws {
    func matrix() throws -> Tensor { try Tensor([1.5, -2, 0.25, 1], shape: [2, 2]).markParameter() }
    let (frozen, trained) = (try matrix(), try matrix())
    let optimizer = try optimizer(name, [frozen, trained], ["lr": .number(0.01)])
    try train(optimizer, frozen, trained)
    try frozen.setRequiresGrad(false)
    let (before, other, version) = (bits(frozen), bits(trained), frozen.version)
    for _ in 0..<3 { try train(optimizer, frozen, trained) }
    #expect(bits(frozen) == before && frozen.version == version && bits(trained) != other)
    try frozen.setRequiresGrad(true)
    for _ in 0..<3 { try train(optimizer, frozen, trained) }
    #expect(bits(frozen) != before)
  }

  /// A closure that fails leaves the parameters where they were.
  @Test func aFailedSearch() throws {
    struct Broken: Error {}
    let p = try parameter([3, 4])
    let optimizer = try optimizer("LBFGS", [p], ["line_search_fn": .text("strong_wolfe")])
    var calls = 0
    #expect(throws: Broken.self) {
      try optimizer.step {
        calls += 1
        if calls == 2 { throw Broken() }
        try optimizer.zeroGrad()
        let loss = try p.square().sum()
        try loss.backward()
        return loss
      }
    }
    #expect(calls == 2 && p.doubles == [3, 4])
  }
}

@Suite struct StepTests {
  @Test(arguments: FrozenTests.usual.map(\.name)) func writes(_ name: String) throws {
    let p = try parameter([1.5, -2])
    let optimizer = try optimizer(name, [p])
    let saved = try p * p  // keeps p for backward
    try p.setGrad(Tensor([1.0, 1]))
    try optimizer.step()
    #expect(p.version == 1 && p.isLeaf && p.requiresGrad && p.doubles != [1.5, -2])
    #expect(throws: TensorError.self) { try saved.sum().backward() }
  }

  /// Parameters and gradients whose elements lie apart give the same as packed ones.
  @Test(arguments: FrozenTests.usual.map(\.name)) func layouts(_ name: String) throws {
    let values = [1.5, -2, 0.25, 3, -1, 0.5]
    let gradient = [0.1, 0.2, -0.3, 0.4, -0.5, 0.6]
    let transposed = [0, 3, 1, 4, 2, 5]
    let packed = try Tensor(values, shape: [2, 3]).markParameter()
    let wholeStorage = try Tensor(transposed.map { values[$0] }, shape: [3, 2])
    let apart = try wholeStorage.t().detach().markParameter()
    let narrow = try Tensor(values.flatMap { [$0, 7] }, shape: [2, 3, 2]).select(2, 0).detach().markParameter()
    let optimizer = try optimizer(name, [packed, apart, narrow])
    for round in 0..<3 {
      try packed.setGrad(Tensor(gradient, shape: [2, 3]))
      try apart.setGrad(Tensor(gradient, shape: [2, 3]))
      try narrow.setGrad(Tensor(transposed.map { gradient[$0] }, shape: [3, 2]).t())
      try optimizer.step()
      #expect(bits(packed) == bits(apart) && bits(packed) == bits(narrow), "\(name), step \(round + 1)")
    }
    #expect(!apart.isContiguous && !narrow.isContiguous && apart.version == 3)
    #expect(bits(wholeStorage) == transposed.map { bits(packed)[$0] })  // the storage itself was written
  }

  @Test func aliases() throws {
    // A gradient in the parameter's own memory.
    let p = try parameter([1, 2, 4])
    try p.setGrad(p.detach())
    try optimizer("SGD", [p], ["lr": .number(0.5)]).step()
    #expect(p.doubles == [0.5, 1, 2])
    // One that overlaps it, an element behind: every element moves by the gradient as it was before the step.
    let buffer = try Tensor([1.0, 2, 4, 8])
    let late = try buffer.slice(0, 1, 4).detach().markParameter()
    try late.setGrad(buffer.slice(0, 0, 3).detach())
    try optimizer("SGD", [late], ["lr": .number(1)]).step()
    #expect(late.doubles == [1, 2, 4])
    // An expanded parameter cannot be written.
    let expanded = try Tensor([1.0]).expand([3]).detach().markParameter()
    try expanded.setGrad(Tensor([1.0, 1, 1]))
    let optimizer = try optimizer("SGD", [expanded])
    #expect(
      message { try optimizer.step() }
        == "SGD.step: a parameter of shape [3] has elements that share memory (it was expanded); clone() it first")
  }

  /// `x.data = t` may change a shape behind the optimizer's back.
  @Test func changedShapes() throws {
    let p = try parameter([1, 2, 3])
    let optimizer = try optimizer("Adam", [p])
    try p.setGrad(Tensor([1.0, 1, 1]))
    try optimizer.step()
    try p.setData(Tensor([1.0, 2]))
    #expect(message { try optimizer.step() } == "Adam.step: a parameter of shape [2] has a gradient of shape [3]")
    try p.setGrad(Tensor([1.0, 1]))
    #expect(message { try optimizer.step() }.contains("a parameter of shape [2] had shape [3] when its moments were made"))
    optimizer.forget(p)
    try optimizer.step()
    #expect(p.doubles.count == 2 && p.doubles != [1, 2])
  }

  @Test func empty() throws {
    for kind in FrozenTests.usual {
      let p = try parameter([])
      let optimizer = try optimizer(kind.name, [p])
      try p.setGrad(Tensor([] as [Double]))
      try optimizer.step()
      #expect(p.count == 0)
    }
  }

  @Test func gradientsWithHistory() throws {
    let p = try parameter([3])
    try (p * p).sum().backward(options: BackwardOptions(createGraph: true))
    let optimizer = try optimizer("SGD", [p], ["lr": .number(0.5)])
    try optimizer.step()
    #expect(p.doubles == [0] && p.isLeaf)
    try optimizer.zeroGrad(setToNone: false)
    #expect(p.grad!.doubles == [0] && !p.grad!.requiresGrad)
  }
}

@Suite struct OptimizerStateTests {
  private func train(_ optimizer: Optimizer, _ parameters: [Tensor], _ steps: Int) throws {
    for _ in 0..<steps {
      try optimizer.zeroGrad()
      for parameter in parameters { try (parameter.square() * parameter).sum().backward() }
      try optimizer.step()
    }
  }

  /// Training that stops, is saved and goes on elsewhere gives the same bits as training that does not stop.
  @Test(arguments: FrozenTests.settings) func resumes(_ name: String, _ options: [String: OptionValue]) throws {
    let a = [try parameter([1.5, -2]), try parameter([0.5])]
    let first = try optimizer(name, a, options)
    try train(first, a, 3)
    first.groups[0]["lr"] = .number(0.125)
    let state = try first.stateDict()
    let b = [try parameter(a[0].doubles), try parameter(a[1].doubles)]
    let second = try optimizer(name, b)
    try second.loadStateDict(state)
    #expect(second.groups[0]["lr"] == .number(0.125))
    try train(first, a, 3)
    try train(second, b, 3)
    #expect(zip(a, b).allSatisfy { bits($0) == bits($1) })
    #expect(second.description == first.description)
  }

  @Test func names() throws {
    func names(_ kind: String, _ options: [String: OptionValue] = [:]) throws -> [String] {
      let p = try parameter([1])
      let optimizer = try optimizer(kind, [p], options)
      try train(optimizer, [p], 1)
      return optimizer.state(of: p).map(\.name)
    }
    #expect(try names("SGD") == [])
    #expect(try names("SGD", ["momentum": .number(0.9)]) == ["momentum_buffer"])
    #expect(try names("Adam") == ["step", "exp_avg", "exp_avg_sq"])
    #expect(try names("AdamW", ["amsgrad": .boolean(true)]) == ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"])
    #expect(try names("NAdam") == ["step", "mu_product", "exp_avg", "exp_avg_sq"])
    #expect(try names("RMSprop", ["centered": .boolean(true)]) == ["step", "square_avg", "grad_avg"])
    #expect(try names("Adagrad") == ["step", "sum"])
    #expect(try names("Adadelta") == ["step", "square_avg", "acc_delta"])
    #expect(try names("Adamax") == ["step", "exp_avg", "exp_inf"])
  }

  @Test func misfits() throws {
    let p = try parameter([1, 2])
    let optimizer = try optimizer("Adam", [p])
    try train(optimizer, [p], 1)
    let before = try optimizer.stateDict()
    var state = before
    state.groups.append(([], [1]))
    #expect(
      message { try optimizer.loadStateDict(state) }
        == "Adam.load_state_dict: the state has groups of [1, 1] parameters, the optimizer of [1]")
    state = before
    state.parameters[0].values = [("exp_avg", .tensor(try Tensor([1.0])))]
    #expect(
      message { try optimizer.loadStateDict(state) } == "Adam.load_state_dict: exp_avg has shape [1], its parameter [2]")
    state.parameters[0].values = [("sum", .tensor(try Tensor([1.0, 2])))]
    #expect(
      message { try optimizer.loadStateDict(state) }
        == "Adam.load_state_dict: sum is not remembered; there is exp_avg, exp_avg_sq, max_exp_avg_sq")
    state.parameters[0].values = [("step", .number(.infinity))]
    #expect(message { try optimizer.loadStateDict(state) } == "Adam.load_state_dict: step = inf is no count")
  }

  @Test func forgettingAndDropping() throws {
    let p = try parameter([1]), fresh = try parameter([1])
    let first = try optimizer("Adam", [p]), second = try optimizer("Adam", [fresh])
    try train(first, [p], 3)
    first.forget(p)
    try p.setData(Tensor([1.0]))
    try train(first, [p], 2)
    try train(second, [fresh], 2)
    #expect(bits(p) == bits(fresh))
    first.drop(p)
    let before = bits(p)
    try train(first, [p], 1)
    #expect(bits(p) == before)
  }
}

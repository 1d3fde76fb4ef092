// Freezing from Swift: what is meant, what is said of it, how it ends, and the tools around it. That no optimizer moves what is frozen is
// tested in FrozenTrapsTests.swift.

import Tensors
import Testing
import Training

/// `hidden` is Linear(2, 3), BatchNorm1d(3) and dropout by their positions, `predict` is Linear(3, 2).
private func model() throws -> Sequential {
  manualSeed(0)
  return Sequential(named: [
    ("hidden", Sequential(try Linear(2, 3), try BatchNorm1d(3), try Dropout(p: 0.5))), ("predict", try Linear(3, 2)),
  ])
}

private func frozenNames(_ module: Module) -> [String] {
  module.namedParameters().filter { !$0.tensor.requiresGrad }.map(\.name)
}

private let all = ["hidden.0.weight", "hidden.0.bias", "hidden.1.weight", "hidden.1.bias", "predict.weight", "predict.bias"]

@Suite struct ParameterSelectionTests {
  @Test func eachKind() throws {
    let net = try model()
    let hidden = net.children[0].module, predict = net.children[1].module
    let weight = try #require(predict.parameters[0].tensor)
    let cases: [(ParameterSelection, [String])] = [
      (.all, all), ("*", all), ("hidden", Array(all[..<4])), ("hidden.*", Array(all[..<4])), ("*.bias", [all[1], all[3], all[5]]),
      ("hidden.?.weight", [all[0], all[2]]), ("predict.weight", [all[4]]), (["predict.b*", "hidden.0"], [all[5], all[0], all[1]]),
      (["*", "predict.bias"], all), (.patterns([]), []), (.modules([predict]), [all[4], all[5]]),
      (.modules([hidden.children[1].module, predict]), Array(all[2...])), (.modules([net]), all), (.tensors([weight]), [all[4]]),
      (.tensors([weight, weight]), [all[4]]), (.matching { _, parameter in parameter.rank == 2 }, [all[0], all[4]]),
      (.matching { name, _ in name.hasSuffix("1.bias") }, [all[3]]),
    ]
    for (selection, expected) in cases {
      try net.unfreeze()
      let report = try net.freeze(selection)
      #expect(report.freezes && report.entries.map(\.name) == expected, "\(selection)")
      #expect(Set(frozenNames(net)) == Set(expected), "\(selection)")
      try net.freeze()
      let back = try net.unfreeze(selection)
      #expect(
        !back.freezes && back.entries.map(\.name) == expected && Set(frozenNames(net)) == Set(all).subtracting(expected), "\(selection)")
    }
  }

  /// What is none of the model's raises, and nothing is frozen then.
  @Test func misfits() throws {
    let net = try model()
    let there = " (there is hidden.0.weight, hidden.0.bias, hidden.1.weight, hidden.1.bias, predict.weight, predict.bias)"
    #expect(message { try net.freeze("hiden.*") } == "freeze: no parameter matches 'hiden.*'; did you mean 'hidden.*'?" + there)
    #expect(message { try net.freeze(["predict", "*.wieght"]) }.hasPrefix("freeze: no parameter matches '*.wieght'"))
    #expect(message { try net.freeze("") }.hasPrefix("freeze: no parameter matches ''"))
    #expect(
      message { try net.freeze("hidden.2") } == "freeze: no parameter matches 'hidden.2': hidden.2 is a Dropout, which has none" + there)
    #expect(message { try net.freeze(.modules([try Linear(2, 2)])) } == "freeze: the Linear is not in the Sequential")
    #expect(message { try net.freeze(.tensors([try Tensor([1.0])])) } == "freeze: a tensor of shape [1] is no parameter of the Sequential")
    #expect(message { try net.freeze(.matching { _, _ in false }) } == "freeze: the function chose none of the 6 parameters")
    #expect(message { try Dropout().freeze() } == "freeze: Dropout has no parameters")
    struct Odd: Error {}
    #expect(throws: Odd.self) { try net.freeze(.matching { name, _ in if name == all[2] { throw Odd() } else { true } }) }
    #expect(frozenNames(net).isEmpty)
  }

  @Test func patterns() {
    for (pattern, yes, no) in [
      ("*", ["", "a", "a.b"], [String]()), ("a*", ["a", "ab", "a.b"], ["", "ba"]), ("*a", ["a", "ba", "b.a", "aa"], ["ab"]),
      ("a?c", ["abc", "a.c"], ["ac", "abbc"]), ("a*b*c", ["abc", "axbxc", "abbcc"], ["acb", "ab"]), ("**", ["", "x"], []),
      ("*.*.w", ["a.b.w", "a.b.c.w"], ["a.w"]), ("?", ["é"], ["", "ab"]), ("a.b", ["a.b"], ["axb", "a"]), ("", [""], ["a"]),
      ("*aab", ["aaab", "aabaab"], ["aaba"]),
    ] {
      for name in yes { #expect(NamePattern(pattern).matches(name), "\(pattern), \(name)") }
      for name in no { #expect(!NamePattern(pattern).matches(name), "\(pattern), \(name)") }
    }
  }
}

@Suite struct FreezeTests {
  @Test func reports() throws {
    let net = try model()
    let first = try net.freeze("hidden.0.bias")
    #expect(first.entries.map(\.count) == [3] && first.entries.map(\.isNew) == [true] && first.total == 23 && first.trainable == 20)
    #expect(first.description == "froze 1 parameter: hidden.0.bias; 20 of 23 numbers are trained (87.0 %)")
    #expect(
      try net.freeze("hidden.0").description
        == "froze 2 parameters: hidden.0.weight, hidden.0.bias (was so before); 14 of 23 numbers are trained (60.9 %)")
    #expect(
      try net.unfreeze("*.bias").description
        == "unfroze 3 parameters: hidden.0.bias, hidden.1.bias (was so before), predict.bias (was so before); 17 of 23 numbers are trained (73.9 %)"
    )
    let deep = Sequential()
    for _ in 0..<6 { deep.append(try Linear(1, 1)) }
    #expect(try deep.freeze().description.hasSuffix("3.bias, … (4 more); 0 of 12 numbers are trained (0.0 %)"))
  }

  /// A gradient that there is goes, and none comes: neither by backward nor for what only it would need.
  @Test func gradients() throws {
    let net = try model()
    net.train(false)
    let x = try Tensor.randn([4, 2])
    func gradients() -> [String] { net.namedParameters().filter { $0.tensor.grad != nil }.map(\.name) }
    try net(x).square().sum().backward()
    #expect(gradients() == all)
    try net.freeze("hidden.*")
    #expect(gradients() == Array(all[4...]))
    try net(x).square().sum().backward()
    #expect(gradients() == Array(all[4...]))
    // Frozen after the forward pass: that of the tape does not bring one either.
    let loss = try net(x).square().sum()
    try net.freeze("predict.bias")
    try loss.backward()
    #expect(gradients() == [all[4]])
    try net.freeze()
    #expect(try !net(x).requiresGrad && gradients().isEmpty)
    // Through a frozen layer in the middle.
    try net.unfreeze("hidden.0")
    try net(x).square().sum().backward()
    #expect(gradients() == Array(all[..<2]))
  }

  @Test func sharedParameters() throws {
    let (a, b) = (try Linear(2, 2), try Linear(2, 2))
    try b.set(parameter: "weight", a.weight)
    let net = Sequential(a, b)
    let report = try net.freeze("1.weight")
    #expect(report.entries.map(\.sharedWith) == [["0.weight"]] && report.total == 8 && report.trainable == 4)
    #expect(report.description == "froze 1 parameter: 1.weight (also 0.weight); 4 of 8 numbers are trained (50.0 %)")
    #expect(!a.weight.requiresGrad)
    #expect(try net.unfreeze("0.weight").entries.map(\.sharedWith) == [["1.weight"]])
    #expect(b.weight.requiresGrad)
  }

  @Test func allButTheLastBlocks() throws {
    let net = Sequential(try Linear(1, 2), try module("ReLU"), try Linear(2, 2), try Linear(2, 1))
    #expect(try net.freeze(allButLast: 1).entries.map(\.name) == ["0.weight", "0.bias", "2.weight", "2.bias"])
    try net.unfreeze()
    #expect(try net.freeze(allButLast: 3).entries.isEmpty && frozenNames(net).isEmpty)
    #expect(try net.freeze(allButLast: 0).entries.count == 6)
    for count in [-1, 4] {
      #expect(
        message { try net.freeze(allButLast: count) }
          == "freeze_to: the Sequential has 3 blocks with parameters, of which 0 to 3 can stay trained, got \(count)")
    }
  }

  /// With the level full, statistics and dropout stand still whatever mode the model is put in; with the usual level they go on.
  @Test func levels() throws {
    let net = try model(), x = try Tensor.randn([6, 2])
    let mean = { bits(net.namedBuffers().first { $0.name == "hidden.1.running_mean" }!.tensor) }
    let modes = { net.namedModules().filter { !$0.module.isTraining }.map(\.name) }
    try net.freeze("hidden.*")
    var before = mean()
    _ = try net(x)
    #expect(mean() != before && modes().isEmpty)

    let report = try net.freeze("hidden.*", level: .full)
    #expect(report.modules == ["hidden.0", "hidden.1", "hidden.2"])
    #expect(report.description.contains("; hidden.0, hidden.1, hidden.2 stay in evaluation; 8 of 23 numbers are trained"))
    before = mean()
    for isTraining in [true, false, true] {
      net.train(isTraining)
      #expect(net.isTraining == isTraining && modes().filter { $0.hasPrefix("hidden.") } == ["hidden.0", "hidden.1", "hidden.2"])
      #expect(try bits(net(x)) == bits(net(x)), "nothing is dropped")
    }
    #expect(mean() == before)
    // A copy is frozen as it is.
    let copy = try net.copied()
    copy.train()
    #expect(frozenNames(copy) == Array(all[..<4]) && copy.namedModules().filter { !$0.module.isTraining }.map(\.name) == modes())
    // A part of it is let go.
    #expect(try net.unfreeze("hidden.1").modules == ["hidden.1"])
    net.train()
    _ = try net(x)
    #expect(mean() != before && modes().contains("hidden.0") && modes().contains("hidden.2") && !modes().contains("hidden.1"))
    try net.unfreeze()
    #expect(modes().isEmpty)
  }

  @Test func warnings() throws {
    func told(_ body: () throws -> Void) throws -> [String] {
      _ = Notice.take()
      try body()
      return Notice.take()
    }
    // Once for a context, and other tests may have said it of modules of the same names.
    let net = Sequential(named: [("told", Sequential(try Linear(2, 3), try BatchNorm1d(3))), ("more", try Linear(3, 1))])
    let warned = try told { try net.freeze("told") }
    #expect(
      warned == [
        "freeze: the running statistics of told.1 (BatchNorm1d) still follow the batches while it trains; { level = \"full\" } keeps them"
      ]
    )
    #expect(try told { try net.freeze("told") }.isEmpty)
    let optimizer = try optimizer("SGD", [net.children[1].module.parameters[0].tensor!])
    #expect(
      try told { try net.unfreeze("told.0.weight", optimizer: optimizer) }
        == ["unfreeze: told.0.weight is trained again, but the SGD does not hold it: no step moves it"])
    #expect(try told { try net.unfreeze("more.weight", optimizer: optimizer) }.isEmpty)
  }

  /// What an optimizer remembers of a parameter that is trained again.
  @Test(arguments: [UnfreezePolicy.keep, .reset, .drop]) func policies(_ policy: UnfreezePolicy) throws {
    func train(_ net: Linear, _ optimizer: Optimizer, _ steps: Int) throws {
      for _ in 0..<steps {
        try optimizer.zeroGrad()
        try net(Tensor([1.0], shape: [1, 1])).square().sum().backward()
        try optimizer.step()
      }
    }
    let net = try Linear(1, 1)
    let held = net.namedParameters().map(\.tensor)
    let optimizer = try optimizer("Adam", held, ["lr": .number(0.1)])
    try train(net, optimizer, 3)
    func remembered() -> [[UInt64]] {
      optimizer.state(of: net.weight).map { state in
        if case .tensor(let tensor) = state.value { bits(tensor) } else { [] }
      }
    }
    try net.freeze("weight")
    let (moments, weight) = (remembered(), bits(net.weight))
    try train(net, optimizer, 2)
    #expect(remembered() == moments && bits(net.weight) == weight)
    try net.unfreeze("weight", optimizer: optimizer, policy: policy)
    switch policy {
    case .keep: #expect(remembered() == moments && !moments.isEmpty)
    case .reset: #expect(optimizer.state(of: net.weight).isEmpty && optimizer.holds(net.weight))
    case .drop: #expect(!optimizer.holds(net.weight) && optimizer.holds(net.bias!))
    }
    try train(net, optimizer, 1)
    #expect((bits(net.weight) == weight) == (policy == .drop))
  }
}

@Suite struct ParameterGroupsTests {
  @Test func longestPatternWins() throws {
    let net = try model()
    let groups = try net.parameterGroups([("hidden.*", 1), ("*", 2), ("hidden.1.bias", 3), ("*.bias", 4)])
    #expect(groups.map(\.pattern) == ["hidden.*", "hidden.1.bias", "*", "*.bias"] && groups.map(\.options) == [1, 3, 2, 4])
    let names = Dictionary(uniqueKeysWithValues: net.namedParameters().map { (ObjectIdentifier($0.tensor), $0.name) })
    #expect(
      groups.map { $0.parameters.map { names[ObjectIdentifier($0)]! } } == [[all[0], all[1], all[2]], [all[3]], [all[4]], [all[5]]])
    #expect(try net.parameterGroups([("*", 0)]).map(\.parameters.count) == [6])
    #expect(
      message { _ = try net.parameterGroups([("hidden", 0)]) }
        == "param_groups: no pattern matches predict.weight; a group \"*\" takes what others leave")
    #expect(message { _ = try net.parameterGroups([("x.*", 0), ("*", 1)]) }.hasPrefix("param_groups: no parameter matches 'x.*'"))
  }

  /// A shared parameter is in one group, by whichever of its names.
  @Test func shared() throws {
    let (a, b) = (try Linear(2, 2, bias: false), try Linear(2, 2, bias: false))
    try b.set(parameter: "weight", a.weight)
    let groups = try Sequential(a, b).parameterGroups([("*", 0), ("1.weight", 1)])
    #expect(groups.map(\.options) == [1] && groups[0].parameters.map(ObjectIdentifier.init) == [ObjectIdentifier(a.weight)])
  }
}

@Suite struct ParameterGuardTests {
  /// No optimizer writes to a guarded parameter, and none of the others moves then.
  @Test(arguments: OptimizerCatalogue.kinds.map(\.name)) func refuses(_ name: String) throws {
    let net = Sequential(try Linear(2, 2, bias: false), try Linear(2, 2, bias: false))
    let parameters = net.namedParameters().map(\.tensor)
    let optimizer = try optimizer(name, parameters, OptimizerCatalogue.kind(named: name)!.smallSteps)
    let x = try Tensor([1.0, 2], shape: [1, 2])
    func step() throws {
      func compute() throws -> Tensor {
        try optimizer.zeroGrad()
        let loss = try net(x).square().sum() + net(x).sum()
        try loss.backward()
        return loss
      }
      if optimizer.kind.wantsClosure {
        try optimizer.step(compute)
      } else {
        _ = try compute()
        try optimizer.step()
      }
    }
    try step()
    let before = parameters.map(bits)
    let guarded = try ParameterGuard(net, "1.weight")
    #expect(guarded.names == ["1.weight"])
    #expect(message { try step() }.contains("1.weight is guarded"))
    #expect(parameters.map(bits) == before)
    // Frozen and guarded, the others go on.
    try net.freeze("1.weight")
    try step()
    #expect(bits(parameters[0]) != before[0] && bits(parameters[1]) == before[1])
    try net.unfreeze()
    guarded.end()
    guarded.end()
    try step()
    #expect(bits(parameters[1]) != before[1])
  }

  @Test func nested() throws {
    let net = try Linear(1, 1)
    var outer: ParameterGuard? = try ParameterGuard(net)
    let inner = try ParameterGuard(net, "bias")
    #expect(outer?.names == ["weight", "bias"])
    func write(_ tensor: Tensor) throws { try withNoGrad { _ = try tensor.fill(.real(1)) } }
    outer = nil
    try write(net.weight)
    #expect(message { try write(net.bias!) }.contains("bias is guarded"))
    inner.end()
    try write(net.bias!)
    #expect(message { _ = try ParameterGuard(net, "x") }.hasPrefix("guard: no parameter matches 'x'"))
  }
}

@Suite struct WatchTests {
  @Test func rows() throws {
    let net = try model(), x = try Tensor.randn([6, 2])
    let optimizer = try optimizer("SGD", net.namedParameters().map(\.tensor), ["lr": .number(0.5)])
    try net.freeze("hidden.0")
    let watch = try Watch(net, optimizer: optimizer)
    let before = net.namedParameters().map(\.tensor.doubles)
    for _ in 0..<3 {
      try optimizer.zeroGrad()
      try net(x).square().sum().backward()
      try optimizer.step()
    }
    let rows = try watch.rows()
    #expect(rows.map(\.name) == all + ["hidden.1.running_mean", "hidden.1.running_var", "hidden.1.num_batches_tracked"])
    #expect(rows.map(\.isParameter) == [true, true, true, true, true, true, false, false, false])
    for (row, (old, (name, tensor))) in zip(rows, zip(before, net.namedParameters())) {
      let change = zip(tensor.doubles, old).map { $0 - $1 }
      let isFrozen = name.hasPrefix("hidden.0")
      #expect(row.hasChanged == !isFrozen && row.isTrainable == !isFrozen && row.steps == (isFrozen ? 0 : 3))
      expectClose([row.change], [change.reduce(0) { $0 + $1 * $1 }.squareRoot()], 1e-6, name)
      expectClose([row.largestChange], [change.map(\.magnitude).max()!], 1e-6, name)
      #expect(row.firstDifference == change.firstIndex { $0 != 0 } && (row.gradientNorm == nil) == isFrozen)
    }
    try watch.assertFrozen()
    #expect(
      message { try watch.assertFrozen("predict.*") }.hasPrefix("assert_frozen: predict.weight was to stay as it was, and differs at "))
    _ = try withNoGrad { try net.namedParameters()[1].tensor.narrow(0, 2, 1).fill(.real(7)) }
    #expect(message { try watch.assertFrozen() }.hasPrefix("assert_frozen: hidden.0.bias was to stay as it was, and differs at [2]"))
  }
}

@Suite struct ModuleSummaryTests {
  @Test func totals() throws {
    let net = try model()
    try net.freeze("hidden.*", level: .full)
    let summary = ModuleSummary(net)
    #expect(summary.kind == "Sequential" && summary.rows.map(\.name) == all)
    #expect(summary.rows.map(\.kind) == ["Linear", "Linear", "BatchNorm1d", "BatchNorm1d", "Linear", "Linear"])
    #expect(summary.rows.map(\.shape) == [[3, 2], [3], [3], [3], [2, 3], [2]] && summary.rows.map(\.count) == [6, 3, 3, 3, 6, 2])
    #expect(summary.rows.map(\.isTrainable) == [false, false, false, false, true, true])
    #expect(summary.total == 23 && summary.trainable == 8 && summary.buffered == 7 && summary.bytes == 23 * 4 + 6 * 4 + 8)
    #expect(summary.held == ["hidden.0", "hidden.1", "hidden.2"])
    #expect(summary.description.contains("23 parameters, 8 trained (34.8 %), 15 frozen, 7 in buffers; 124 bytes"))
  }
}

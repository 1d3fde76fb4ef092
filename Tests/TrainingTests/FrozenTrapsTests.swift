// What moves a frozen parameter elsewhere: every optimizer, with each of its options, against every moment of freezing and everything
// that training does besides. frozen.json says which of these move it in PyTorch.

import Foundation
import Tensors
import Testing
import Training

/// When the parameter is frozen.
enum FreezingMoment: String, CaseIterable {
  case beforeFirstStep, betweenSteps, beforeBackward, beforeStep
}

/// What goes on while it is frozen: how gradients are cleared, and what else is done.
enum FreezingTrap: String, CaseIterable {
  /// Gradients are cleared; left as they are; zeroed; zeroed and then given by hand.
  case cleared, kept, zeroed, stale
  /// A step is given the function that computes the loss; a scheduler changes the rate; weights are averaged.
  case closure, scheduler, average
  /// Gradients are clipped, of which the frozen one has a large one given by hand.
  case clippedNorm, clippedValue
}

/// An optimizer with one of its options, of a small net whose first layer will be frozen.
struct FrozenSetting: CustomTestStringConvertible, Sendable {
  let kind: OptimizerKind
  /// The option that is not as usual; empty for none.
  let name: String
  let options: [String: OptionValue]
  var testDescription: String { name.isEmpty ? kind.name : "\(kind.name) \(name)" }

  /// Each method as it is, with each of its flags, with decay and with momentum, as far as it has them.
  static let all: [FrozenSetting] = OptimizerCatalogue.kinds.flatMap { kind in
    let ofImplementation: Set = ["capturable", "differentiable", "foreach", "fused"]
    let values: [String: OptionValue] = [
      "weight_decay": .number(0.1), "momentum": .number(0.9), "line_search_fn": .text("strong_wolfe"),
    ]
    return [FrozenSetting(kind: kind, name: "", options: [:])]
      + kind.options.compactMap { option in
        guard !ofImplementation.contains(option.name) else { return nil }
        var options: [String: OptionValue] = [:]
        options[option.name] = option.default == .boolean(false) ? .boolean(true) : values[option.name]
        guard !options.isEmpty else { return nil }
        if option.name == "nesterov" { options["momentum"] = values["momentum"] }
        return FrozenSetting(kind: kind, name: option.name, options: options)
      }
  }
}

extension OptimizerKind {
  /// Options for methods that are done after one step else, with nothing left to move.
  var smallSteps: [String: OptionValue] { wantsClosure ? ["lr": .number(0.001), "max_iter": .integer(2)] : [:] }
}

/// Training of a net, during which its first layer is frozen.
private final class FrozenTraining {
  struct Outcome {
    var frozenStays = true, othersMove = true, averageStays = true, isNotClipped = true
    var isRight: Bool { frozenStays && othersMove && averageStays && isNotClipped }
  }

  let (setting, moment, trap): (FrozenSetting, FreezingMoment, FreezingTrap)
  let net: Sequential
  let optimizer: Optimizer
  let held: [Tensor]
  let scheduler: Scheduler
  var average: AveragedModel
  let x: Tensor
  private var before: [(tensor: Tensor, bits: [UInt64], version: Int, isFrozen: Bool)] = []
  var outcome = Outcome()

  init(_ setting: FrozenSetting, _ moment: FreezingMoment, _ trap: FreezingTrap) throws {
    (self.setting, self.moment, self.trap) = (setting, moment, trap)
    manualSeed(3)
    net = Sequential(try Linear(2, 3), try module("Tanh"), try Linear(3, 2))
    x = try Tensor.randn([4, 2])
    let parameters = net.namedParameters().map(\.tensor)
    let (make, matrices) = (setting.kind.make, parameters.filter { $0.rank == 2 })
    let options = setting.options.merging(setting.kind.smallSteps) { given, _ in given }
    // Some methods are of matrices only.
    do { optimizer = try make([(parameters, [:])], options) } catch { optimizer = try make([(matrices, [:])], options) }
    held = optimizer.groups.flatMap { $0.slots.map(\.parameter) }
    scheduler = try SchedulerCatalogue.kind(named: "ExponentialLR")!.make(optimizer, ["gamma": .number(0.9)])
    average = try AveragedModel(net, by: AveragedModel.exponential(0.9))
  }

  /// Two rounds with all trained, unless it is frozen before the first step, then four.
  func run() throws -> Outcome {
    if moment != .beforeFirstStep { for _ in 0..<2 { try round(nil) } }
    if moment == .beforeFirstStep || moment == .betweenSteps { try freeze() }
    for _ in 0..<4 { try round(moment) }
    for (tensor, bits, version, isFrozen) in before {
      if isFrozen {
        if TrainingTests.bits(tensor) != bits || tensor.version != version { outcome.frozenStays = false }
      } else if held.contains(where: { $0 === tensor }), TrainingTests.bits(tensor) == bits {
        outcome.othersMove = false
      }
    }
    return outcome
  }

  private func freeze() throws {
    guard before.isEmpty else { return }
    try net.freeze("0.*")
    before = net.namedParameters().map { ($0.tensor, bits($0.tensor), $0.tensor.version, !$0.tensor.requiresGrad) }
    // The mean of what does not change from here on is what it is.
    average = try AveragedModel(net, by: AveragedModel.exponential(0.9))
  }

  private func round(_ moment: FreezingMoment?) throws {
    let compute = { [self] in
      switch trap {
      case .kept: break
      case .zeroed, .closure, .scheduler, .average, .stale: try optimizer.zeroGrad(setToNone: false)
      case .cleared, .clippedNorm, .clippedValue: try optimizer.zeroGrad()
      }
      let loss = try net(x).square().sum() + net(x).sum()
      if moment == .beforeBackward { try freeze() }
      try loss.backward()
      if moment == .beforeStep { try freeze() }
      if !before.isEmpty { try prepareGradients() }
      return loss
    }
    if trap == .closure || setting.kind.wantsClosure {
      try optimizer.step(compute)
    } else {
      _ = try compute()
      try optimizer.step()
    }
    if trap == .scheduler { try scheduler.step() }
    if trap == .average, !before.isEmpty {
      try average.update(from: net)
      for (mean, entry) in zip(average.module.namedParameters(), before) where entry.isFrozen {
        if bits(mean.tensor) != entry.bits { outcome.averageStays = false }
      }
    }
  }

  /// What is done between backward and the step.
  private func prepareGradients() throws {
    let frozen = held.filter { !$0.requiresGrad }, others = held.filter(\.requiresGrad)
    guard trap == .stale || trap == .clippedNorm || trap == .clippedValue else { return }
    for parameter in frozen { try parameter.setGrad(Tensor.filled(parameter.shape, .real(9), dtype: parameter.dtype)) }
    guard trap != .stale else { return }
    if trap == .clippedNorm {
      let expected = try GradientUtilities.totalNorm(others.compactMap(\.grad)).doubles
      if try GradientUtilities.clipGradientNorm(held, to: 0.5).doubles != expected { outcome.isNotClipped = false }
      if try GradientUtilities.totalNorm(others.compactMap(\.grad)).doubles[0] > 0.5000001 { outcome.isNotClipped = false }
    } else {
      try GradientUtilities.clipGradientValue(held, to: 0.5)
      if others.contains(where: { $0.grad!.doubles.contains { $0.magnitude > 0.5000001 } }) { outcome.isNotClipped = false }
    }
    if frozen.contains(where: { $0.grad!.doubles.contains { $0 != 9 } }) { outcome.isNotClipped = false }
  }
}

@Suite struct FrozenTrapsTests {
  @Test(arguments: FrozenSetting.all) func everyTrap(_ setting: FrozenSetting) throws {
    for moment in FreezingMoment.allCases {
      for trap in FreezingTrap.allCases {
        let outcome = try FrozenTraining(setting, moment, trap).run()
        #expect(outcome.isRight, "\(setting.testDescription), frozen \(moment), \(trap): \(outcome)")
      }
    }
  }

  /// Each scheduler, with the first of its samples.
  @Test(arguments: SchedulerCatalogue.kinds.filter { !$0.isOfSchedulers && !$0.samples.isEmpty }.map(\.name)) func schedulers(
    _ name: String
  ) throws {
    let kind = SchedulerCatalogue.kind(named: name)!
    let (frozen, trained) = (try parameter([1.5, -2]), try parameter([1.5, -2]))
    let optimizer = try OptimizerCatalogue.kind(named: "SGD")!.make(
      [([frozen], [:]), ([trained], [:])], ["momentum": .number(0.9), "weight_decay": .number(0.1)])
    let scheduler = try kind.make(optimizer, kind.samples[0])
    for round in 0..<6 {
      if round == 3 { try frozen.setRequiresGrad(false) }
      let before = (bits(frozen), bits(trained))
      try optimizer.zeroGrad(setToNone: false)
      try (frozen * trained).square().sum().backward()
      if round > 3 { try frozen.setGrad(Tensor([9.0, 9])) }
      try optimizer.step()
      if kind.takesMetric { try scheduler.step(metric: 1) } else { try scheduler.step() }
      #expect((bits(frozen) == before.0) == (round >= 3) && (bits(trained) != before.1 || optimizer.groups[1]["lr"] == .number(0)))
    }
  }

  /// Of the traps of this suite, those that move a frozen parameter in PyTorch: there are many, none is left out above, and all
  /// optimizers are tried there that are here.
  @Test func whatPyTorchMoves() throws {
    let text = try lines(of: "TrainingTests/Fixtures/frozen.json").joined(separator: "\n")
    let fixture = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: [String: [String]]])
    let settings = Set(FrozenSetting.all.map(\.testDescription))
    let moments = Set(FreezingMoment.allCases.map(\.rawValue)), traps = Set(FreezingTrap.allCases.map(\.rawValue))
    #expect(settings.subtracting(fixture.keys).isEmpty, "PyTorch was not asked about these; see scripts/fixtures/frozen.py")
    let known = fixture.filter { settings.contains($0.key) }
    var moved = 0
    for (setting, byMoment) in known {
      #expect(Set(byMoment.keys).isSubset(of: moments), "\(setting)")
      for (_, list) in byMoment {
        #expect(Set(list).isSubset(of: traps), "\(setting)")
        moved += list.count
      }
    }
    let all = settings.count * moments.count * traps.count
    #expect(moved > all / 2, "PyTorch moves a frozen parameter in \(moved) of \(all)")
    #expect(known.values.allSatisfy { !$0.isEmpty }, "there is no optimizer of PyTorch's that never does")
  }
}

// Schedulers: PyTorch's rates to the last bit, its state's names, going on from a state, and what is refused.

import Foundation
import Tensors
import Testing
import Training

/// A line of Fixtures/schedulers.jsonl.
struct ScheduleRun: CustomTestStringConvertible, Sendable {
  let line: String
  let testDescription: String

  static let all: [ScheduleRun] = {
    let found = (try? lines(of: "TrainingTests/Fixtures/schedulers.jsonl")) ?? []
    return found.enumerated().map { ScheduleRun(line: $0.element, testDescription: "\($0.offset): \($0.element.prefix(80))") }
  }()

  func fields() throws -> [String: Any] { try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]) }

  /// The scheduler of the line, with an optimizer of its own.
  func make() throws -> Scheduler {
    let fields = try fields()
    let kind = fields["optimizer"] as? String ?? "SGD"
    let base: [String: OptionValue] = kind == "SGD" ? ["lr": .number(0.1), "momentum": .number(0.9)] : ["lr": .number(0.1)]
    let optimizer = try OptimizerCatalogue.kind(named: kind)!.make(
      [([parameter([1])], [:]), ([parameter([1])], ["lr": .number(0.05)])], base)
    var options = ScheduleRun.options(fields["options"])
    if let parts = fields["parts"] as? [[Any]] {
      options["schedulers"] = .list(
        try parts.map { part in
          .scheduler(
            try SchedulerCatalogue.kind(named: part[0] as? String ?? "")!.make(optimizer, ScheduleRun.options(part[1])))
        })
    }
    return try #require(SchedulerCatalogue.kind(named: fields["name"] as? String ?? "")).make(optimizer, options)
  }

  /// The same functions as in scripts/fixtures/schedulers.py.
  static var functions: [String: SchedulerValue.Function] {
    [
      "fall": { pow(0.95, Double($0)) }, "wave": { 1 + 0.25 * Double($0 % 3) }, "zigzag": { $0 % 2 == 0 ? 0.9 : 1.02 },
      "scale": { 1 / (1 + 0.25 * Double($0)) },
    ]
  }

  static func options(_ json: Any?) -> [String: SchedulerValue] { (json as? [String: Any] ?? [:]).mapValues(value) }

  static func value(_ json: Any) -> SchedulerValue {
    if let text = json as? String {
      return functions[text].map(SchedulerValue.function) ?? (Double(text).map(SchedulerValue.number) ?? .text(text))
    }
    if let list = json as? [Any] { return .list(list.map(value)) }
    if let number = json as? NSNumber {
      if String(cString: number.objCType) == "c" { return .boolean(number.boolValue) }
      return Int(exactly: number.doubleValue).map(SchedulerValue.integer) ?? .number(number.doubleValue)
    }
    return .none
  }
}

@Suite struct SchedulerTests {
  private static func numbers(_ text: Any?) -> [Double] { (text as? String ?? "").split(separator: " ").compactMap { Double($0) } }

  private func step(_ scheduler: Scheduler, _ fields: [String: Any], _ position: Int) throws {
    if fields["loss"] != nil {
      let losses = Self.numbers(fields["loss"])
      return try scheduler.step(metric: losses[position])
    }
    try scheduler.step((fields["epochs"] as? [Double])?[position])
  }

  private func momentum(_ scheduler: Scheduler) -> Double? {
    let group = scheduler.optimizer.groups[0]
    return group["betas"]?.parts?.first?.number ?? group["momentum"]?.number
  }

  /// Rates and momenta after each of 50 steps, to the last bit.
  @Test(arguments: ScheduleRun.all) func rates(_ run: ScheduleRun) throws {
    let fields = try run.fields()
    let rates = try #require(fields["rates"] as? [String]).map(Self.numbers), momenta = Self.numbers(fields["momenta"])
    let scheduler = try run.make()
    for position in rates.indices {
      if position > 0 {
        try scheduler.optimizer.step()
        try step(scheduler, fields, position - 1)
      }
      try #require(scheduler.optimizer.groups.map { $0["lr"]?.number } == rates[position], "step \(position)")
      try #require(momentum(scheduler) == momenta[position], "momentum at step \(position)")
      #expect(scheduler.lastRates == rates[position])
    }
    // PyTorch's names, and the numbers beneath them.
    let state = try #require(fields["state"] as? [String: Any])
    let found = scheduler.stateDict()
    #expect(Set(found.keys) == Set(state.keys))
    for (name, value) in found {
      if let number = value.number { expectClose([number], [ScheduleRun.value(state[name]!).number ?? .nan], 1e-14, name) }
      if let numbers = value.numbers { expectClose(numbers, (state[name] as? [Double]) ?? [], 1e-14, name) }
      if let text = value.text { #expect(state[name] as? String == text, "\(name)") }
    }
  }

  /// A new scheduler and optimizer that are given the states of others go on as those would have.
  @Test(arguments: ScheduleRun.all) func goingOn(_ run: ScheduleRun) throws {
    let fields = try run.fields()
    let rates = try #require(fields["rates"] as? [String]).map(Self.numbers), momenta = Self.numbers(fields["momenta"])
    let half = rates.count / 2
    let first = try run.make()
    for position in 1...half { try step(first, fields, position - 1) }
    let second = try run.make()
    try second.optimizer.loadStateDict(first.optimizer.stateDict())
    try second.loadStateDict(first.stateDict())
    for position in half + 1..<rates.count {
      try step(second, fields, position - 1)
      try #require(second.optimizer.groups.map { $0["lr"]?.number } == rates[position], "step \(position)")
      try #require(momentum(second) == momenta[position], "momentum at step \(position)")
    }
  }

  @Test func lastEpoch() throws {
    let optimizer = try OptimizerCatalogue.kind(named: "SGD")!.make(
      [([parameter([1])], ["initial_lr": .number(0.5)])], ["lr": .number(0.25)])
    let kind = SchedulerCatalogue.kind(named: "StepLR")!
    let scheduler = try kind.make(optimizer, ["step_size": 2, "gamma": 0.5, "last_epoch": 1])
    // Epoch 2 is a multiple of the step size.
    #expect(scheduler.lastEpoch == 2 && scheduler.lastRates == [0.125] && scheduler.baseRates == [0.5])
    let other = try Self.sgd()
    #expect(
      message { _ = try kind.make(other, ["step_size": 2, "last_epoch": 1]) }
        == "StepLR: parameter group 0 has no number 'initial_lr'; it is needed to go on from an epoch")
  }

  private static func sgd() throws -> Optimizer { try optimizer("SGD", [parameter([1])], ["lr": .number(0.1)]) }

  /// A step that fails was none.
  @Test func aFailedStepWasNone() throws {
    struct Broken: Error {}
    let optimizer = try Self.sgd()
    let scheduler = try SchedulerCatalogue.kind(named: "LambdaLR")!.make(
      optimizer, ["lr_lambda": .function { if $0 == 2 { throw Broken() } else { 0.5 } }])
    try scheduler.step()
    #expect(throws: Broken.self) { try scheduler.step() }
    #expect(scheduler.lastEpoch == 1 && optimizer.groups[0]["lr"] == .number(0.05))
    #expect(throws: Broken.self) { try scheduler.step() }
  }

  @Test func refused() throws {
    func refusal(_ name: String, _ options: [String: SchedulerValue]) throws -> String {
      let optimizer = try Self.sgd()
      return message { _ = try SchedulerCatalogue.kind(named: name)!.make(optimizer, options) }
    }
    #expect(try refusal("StepLR", [:]) == "StepLR: step_size is missing; it must be a whole number of at least 1")
    #expect(try refusal("StepLR", ["step_size": 0]) == "StepLR: step_size must be a whole number of at least 1, got 0")
    #expect(try refusal("StepLR", ["step_size": 2.5]) == "StepLR: step_size must be a whole number of at least 1, got 2.5")
    #expect(try refusal("StepLR", ["size": 2]) == "StepLR: unknown option 'size'; there are step_size, gamma, last_epoch")
    #expect(try refusal("LinearLR", ["start_factor": 2]) == "LinearLR: start_factor must be a number above 0 and at most 1, got 2")
    #expect(try refusal("OneCycleLR", ["max_lr": 1]) == "OneCycleLR: total_steps is missing, or epochs and steps_per_epoch in its place")
    #expect(
      try refusal("OneCycleLR", ["max_lr": [1, 2, 3], "total_steps": 3])
        == "OneCycleLR: max_lr has 3 values, but the optimizer has 1 parameter groups")
    #expect(try refusal("CyclicLR", ["base_lr": 0.1, "max_lr": 1, "mode": "square"]).contains("mode must be \"triangular\" or"))
    #expect(
      try refusal("ReduceLROnPlateau", ["factor": 1]) == "ReduceLROnPlateau: factor must be a number from 0 up to, not including, 1, got 1")
    #expect(try refusal("SequentialLR", ["schedulers": [], "milestones": []]).contains("schedulers must be a list of schedulers, got { "))
    let rprop = try optimizer("Rprop", [parameter([1])])
    #expect(
      message { _ = try SchedulerCatalogue.kind(named: "OneCycleLR")!.make(rprop, ["max_lr": 1, "total_steps": 3]) }
        == "OneCycleLR: Rprop has neither momentum nor betas; pass cycle_momentum = false")
    let one = try SchedulerCatalogue.kind(named: "OneCycleLR")!.make(Self.sgd(), ["max_lr": 1, "total_steps": 2])
    try one.step()
    try one.step()
    #expect(message { try one.step() } == "OneCycleLR: step 3 is beyond the end of the cycle, which has total_steps = 2")
    #expect(message { try one.step(-1) } == "OneCycleLR: step: an epoch must be a whole number that is not negative, got -1.0")
    #expect(message { try one.loadStateDict(["speed": 2]) }.hasPrefix("OneCycleLR: load_state_dict: there is no 'speed'; there are "))
    let steps = try SchedulerCatalogue.kind(named: "StepLR")!.make(Self.sgd(), ["step_size": 2])
    #expect(message { try steps.loadStateDict(["step_size": 0]) }.contains("step_size must be a whole number of at least 1, got 0"))
    #expect(message { try steps.set("gamma", "much") } == "StepLR: gamma must be like 0.1, got \"much\"")
  }
}

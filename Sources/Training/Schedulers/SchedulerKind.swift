// What a kind of scheduler declares about itself, as one row: its options, its formulas and samples for tests.

import Tensors

/// A kind of scheduler: its name, its options, and how to make one.
public struct SchedulerKind: @unchecked Sendable {
  /// `StepLR`.
  public let name: String
  /// One sentence.
  public let summary: String
  /// The options that may also go by position come in PyTorch's order.
  public let parameters: [SchedulerParameter]
  /// Options that run on an optimizer with two groups and momentum, as tests do with each.
  public let samples: [[String: SchedulerValue]]
  /// Whether a step needs the number that is watched.
  public let takesMetric: Bool
  /// Whether options come first, and the optimizer is that of the schedulers among them.
  public var isOfSchedulers: Bool { form == .chained }

  /// The arguments of an example in Lua, where `opt` is an optimizer.
  public var example: String {
    let schedulers = "{ mg.optim.lr_scheduler.ConstantLR(opt), mg.optim.lr_scheduler.ExponentialLR(opt, 0.9) }"
    switch form {
    case .chained: return schedulers
    case .sequential: return "opt, \(schedulers), { 2 }"
    default:
      let options = (samples.first ?? [:]).sorted { $0.key < $1.key }.map { option in
        if case .function = option.value { return "\(option.key) = function(epoch) return 0.95 ^ epoch end" }
        return "\(option.key) = \(option.value.found)"
      }
      return options.isEmpty ? "opt" : "opt, { \(options.joined(separator: ", ")) }"
    }
  }

  /// How it starts and what its state holds: the usual way keeps base rates, the last epoch and a count of steps.
  enum Form { case usual, plateau, sequential, chained }
  let form: Form

  typealias Rates = (Scheduler) throws -> [Double]
  /// Turns options into what the state holds; before the first rates.
  let prepare: (Scheduler) throws -> Void
  /// The next rates from those of the epoch before.
  let rates: Rates
  /// The rates of an epoch from the base rates alone; nil where `rates` does for any epoch.
  let closedRates: Rates?
  /// Replaces the usual step. Given is the epoch, or the metric.
  let advance: ((Scheduler, Double?) throws -> Void)?

  init(
    _ name: String, _ summary: String, _ parameters: [SchedulerParameter], form: Form = .usual, samples: [[String: SchedulerValue]],
    prepare: @escaping (Scheduler) throws -> Void = { _ in }, rates: @escaping Rates = { try $0.rates }, closed: Rates? = nil,
    advance: ((Scheduler, Double?) throws -> Void)? = nil
  ) {
    self.name = name
    self.summary = summary
    self.parameters = parameters + (form == .usual || form == .sequential ? [.lastEpoch] : [])
    self.form = form
    self.samples = samples
    takesMetric = form == .plateau
    self.prepare = prepare
    self.rates = rates
    closedRates = closed
    self.advance = advance
  }

  /// Makes a scheduler of an optimizer, and sets the rates of its first epoch.
  ///
  /// Throws for options that are unknown, missing or impossible.
  public func make(_ optimizer: Optimizer, _ options: [String: SchedulerValue] = [:]) throws -> Scheduler {
    let scheduler = try prepared(optimizer, options)
    try scheduler.begin()
    return scheduler
  }

  /// The same before any rate is set, which `begin` does.
  package func prepared(_ optimizer: Optimizer, _ options: [String: SchedulerValue]) throws -> Scheduler {
    try Scheduler(self, optimizer, checked(options))
  }

  /// The values of all options. Throws when one is unknown, missing or impossible.
  public func checked(_ options: [String: SchedulerValue]) throws -> [String: SchedulerValue] {
    for option in options.keys.sorted() where !parameters.contains(where: { $0.name == option }) {
      throw TensorError(
        .argument, name, "unknown option '\(option)'; there are \(parameters.map(\.name).joined(separator: ", "))")
    }
    var values: [String: SchedulerValue] = [:]
    for parameter in parameters {
      guard let given = options[parameter.name] ?? parameter.standard else {
        throw TensorError(.argument, name, "\(parameter.name) is missing; it must be \(parameter.expectation)")
      }
      values[parameter.name] = try checked(parameter, given)
    }
    return values
  }

  func checked(_ parameter: SchedulerParameter, _ value: SchedulerValue) throws -> SchedulerValue {
    guard let accepted = parameter.accepts(value) else {
      throw TensorError(.argument, name, "\(parameter.name) must be \(parameter.expectation), got \(value.found)")
    }
    return accepted
  }
}

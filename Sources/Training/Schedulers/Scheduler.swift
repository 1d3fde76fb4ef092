// Learning-rate schedulers: what they share. Each kind's formulas stand in its row, see Decays.swift and its neighbours.

import Tensors

/// Sets the learning rates of an optimizer's groups as training goes on.
///
/// Made by its kind, which sets the rates of epoch 0; `step` goes to the next. The arithmetic is PyTorch's, step by step,
/// so that rates are equal to the last bit.
public class Scheduler {
  /// What it is, with its options and their defaults.
  public final let kind: SchedulerKind
  /// The optimizer whose rates it sets.
  public final let optimizer: Optimizer
  /// What was given, until the state holds it.
  var options: [String: SchedulerValue]
  /// Everything that decides the next rates, under PyTorch's names. Without functions and schedulers.
  var state: [String: SchedulerValue] = [:]
  /// Factors by group, or the one of a cycle.
  var functions: [SchedulerValue.Function] = []
  /// The parts of one that is made of others.
  public internal(set) var schedulers: [Scheduler] = []
  /// While the first rates are computed.
  var isInitial = false
  /// What is still to be done when they are.
  var afterFirst: ((Scheduler) -> Void)?

  init(_ kind: SchedulerKind, _ optimizer: Optimizer, _ options: [String: SchedulerValue]) {
    self.kind = kind
    self.optimizer = optimizer
    self.options = options
  }

  // MARK: Reading

  func error(_ facts: TensorError.Facts) -> TensorError { TensorError(.argument, kind.name, facts) }

  private func value<T>(_ name: String, _ path: (SchedulerValue) -> T?, _ what: String) throws -> T {
    guard let value = state[name] ?? options[name], let found = path(value) else {
      throw error("\(name) must be \(what), got \((state[name] ?? options[name] ?? .none).found)")
    }
    return found
  }

  func number(_ name: String) throws -> Double { try value(name, \.number, "a number") }
  func integer(_ name: String) throws -> Int { try value(name, \.integer, "a whole number") }
  func boolean(_ name: String) throws -> Bool { try value(name, \.boolean, "true or false") }
  func text(_ name: String) throws -> String { try value(name, \.text, "a string") }
  func integers(_ name: String) throws -> [Int] { try value(name, \.integers, "a list of whole numbers") }

  /// A number for each group: those of a list, or one for all.
  func perGroup(_ name: String) throws -> [Double] {
    if let number = (state[name] ?? options[name])?.number { return optimizer.groups.map { _ in number } }
    let numbers = try value(name, \.numbers, "a number, or a list with one for each parameter group")
    guard numbers.count == optimizer.groups.count else {
      throw error("\(name) has \(numbers.count) values, but the optimizer has \(optimizer.groups.count) parameter groups")
    }
    return numbers
  }

  /// The groups' present learning rates.
  var rates: [Double] { get throws { try group("lr") } }

  /// What every group holds under a name.
  func group(_ name: String) throws -> [Double] {
    try optimizer.groups.enumerated().map { position, group in
      guard let number = group[name]?.number else {
        throw error("parameter group \(index: position) has no number '\(name)'; it is needed to go on from an epoch")
      }
      return number
    }
  }

  /// The last epoch that rates were set for. It counts from 0.
  public internal(set) var lastEpoch: Int {
    get { state["last_epoch"]?.integer ?? 0 }
    set { state["last_epoch"] = .integer(newValue) }
  }

  /// The rates that the schedule starts from, by group.
  public var baseRates: [Double] { state["base_lrs"]?.numbers ?? [] }

  /// The rates set last, by group.
  public var lastRates: [Double] { state["_last_lr"]?.numbers ?? [] }

  /// The base rates, for formulas that go by them: one for each group.
  var bases: [Double] {
    get throws {
      let bases = baseRates
      guard bases.count == optimizer.groups.count else {
        throw error("the optimizer has \(optimizer.groups.count) parameter groups, but had \(bases.count) when the scheduler was made")
      }
      return bases
    }
  }

  // MARK: Steps

  /// The rates of the first epoch. Functions given here take the places of those among the options, in order.
  package func begin(_ replacing: [SchedulerValue.Function] = []) throws {
    if !replacing.isEmpty {
      for (name, value) in options {
        if case .function = value { options[name] = .function(replacing[0]) }
        if case .list(let list) = value, case .function? = list.first, list.count == replacing.count {
          options[name] = .list(replacing.map(SchedulerValue.function))
        }
      }
    }
    try kind.prepare(self)
    guard kind.form == .usual else { return }
    for parameter in kind.parameters where state[parameter.name] == nil && parameter.keepsItsName {
      if let value = options[parameter.name] { state[parameter.name] = value }
    }
    let last = try integer("last_epoch")
    if last == -1 {
      for group in optimizer.groups where group["initial_lr"] == nil { group.setScheduled("initial_lr", group["lr"]!) }
    }
    state["base_lrs"] = .numbers(try group("initial_lr"))
    lastEpoch = last
    try initialStep()
    afterFirst?(self)
    afterFirst = nil
  }

  func initialStep() throws {
    state["_step_count"] = .integer(0)
    isInitial = true
    defer { isInitial = false }
    try advance(nil)
  }

  /// Goes to the next epoch, or to one that is named. Throws what a function throws and where a schedule has ended; then nothing
  /// has changed.
  public func step(_ epoch: Double? = nil) throws {
    if let epoch {
      let isWhole = epoch == epoch.rounded(.down)
      guard epoch >= 0, epoch <= 0x1p53, isWhole || kind.name == "CosineAnnealingWarmRestarts" else {
        throw error("step: an epoch must be a whole number that is not negative, got \(epoch)")
      }
    }
    if state["_step_count"]?.integer == 1, !optimizer.hasStepped {
      Notice.post(
        "\(kind.name): step() was called before the optimizer's step(), so that the first learning rate was never used; call opt:step() first"
      )
    }
    try advance(epoch)
  }

  /// The same for a kind that watches a number: a loss, which should fall.
  public func step(metric: Double, epoch: Int? = nil) throws {
    guard let advance = kind.advance, kind.takesMetric else { throw error("step takes no metric") }
    if let epoch {
      guard epoch >= 0, epoch <= 1 << 53 else { throw error("step: an epoch must be a whole number that is not negative, got \(epoch)") }
      lastEpoch = epoch - 1
    }
    try advance(self, metric)
  }

  func advance(_ epoch: Double?) throws {
    let before = (state, schedulers.map(\.state))
    do {
      if let advance = kind.advance { return try advance(self, epoch) }
      state["_step_count"] = .integer(try integer("_step_count") + 1)
      try update(to: epoch)
    } catch {
      state = before.0
      for (scheduler, state) in zip(schedulers, before.1) { scheduler.state = state }
      throw error
    }
  }

  /// Sets the rates of the next epoch, or of one that is named.
  func update(to epoch: Double? = nil) throws {
    lastEpoch = epoch.map { Int($0) } ?? lastEpoch + 1
    try setRates(epoch == nil ? kind.rates(self) : (kind.closedRates ?? kind.rates)(self))
  }

  func setRates(_ rates: [Double]) throws {
    guard rates.count == optimizer.groups.count else {
      throw error("the optimizer has \(optimizer.groups.count) parameter groups, but had \(rates.count) when the scheduler was made")
    }
    for (position, rate) in rates.enumerated() where rate.isNaN {
      throw error("the learning rate of parameter group \(index: position) would be nan")
    }
    for (group, rate) in zip(optimizer.groups, rates) { group.setScheduled("lr", .number(rate)) }
    state["_last_lr"] = .numbers(rates)
  }

  /// Moves the optimizers' momentum, or its first beta.
  func setMomenta(_ momenta: [Double]) {
    for (group, momentum) in zip(optimizer.groups, momenta) {
      if case .pair(_, let second)? = group["betas"] {
        group.setScheduled("betas", .pair(momentum, second))
      } else {
        group.setScheduled("momentum", .number(momentum))
      }
    }
  }
}

extension SchedulerParameter {
  /// Whether the state keeps it under the name that it was given under. Kinds whose state has other names set them themselves.
  var keepsItsName: Bool { !["last_epoch", "lr_lambda", "scale_fn", "schedulers"].contains(name) }
}

// Schedulers as types of Swift's: `StepLR(optimizer, stepSize: 10)`. What an option does, and what is possible, says the kind.

import Tensors

/// A number for all groups of parameters, `0.1`, or one for each, `[0.1, 0.01]`.
public struct GroupRates: ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral {
  let value: SchedulerValue
  /// One for all.
  public init(_ rate: Double) { value = .number(rate) }
  /// One for each.
  public init(_ rates: [Double]) { value = .numbers(rates) }
  /// One for all.
  public init(floatLiteral rate: Double) { self.init(rate) }
  /// One for all.
  public init(integerLiteral rate: Int) { self.init(Double(rate)) }
  /// One for each.
  public init(arrayLiteral rates: Double...) { self.init(rates) }
}

extension Scheduler {
  /// The form of the way from one rate to another.
  public enum AnnealStrategy: String, Sendable {
    /// Half a wave of a cosine.
    case cos
    /// A straight line.
    case linear
  }
  /// Whether each cycle is as high as the one before, half as high, or falls by gamma.
  public enum CycleMode: String, Sendable {
    /// As high as the one before.
    case triangular
    /// Half as high.
    case triangular2
    /// Lower by the factor gamma for each step.
    case expRange = "exp_range"
  }
  /// What the function of a cycle goes by.
  public enum CycleScale: String, Sendable {
    /// The number of the cycle.
    case cycle
    /// The number of the step.
    case iterations
  }
  /// Whether the number that is watched should fall or rise.
  public enum PlateauMode: String, Sendable {
    /// Fall: a loss.
    case min
    /// Rise: an accuracy.
    case max
  }
  /// Whether a threshold is a part of the best number, or a distance from it.
  public enum ThresholdMode: String, Sendable {
    /// A part of it.
    case rel
    /// A distance.
    case abs
  }

  /// The kind of that name, begun.
  fileprivate convenience init(_ name: String, _ optimizer: Optimizer, _ options: [String: SchedulerValue]) throws {
    guard let kind = SchedulerCatalogue.kind(named: name) else { preconditionFailure("there is no scheduler \(name)") }
    self.init(kind, optimizer, try kind.checked(options))
    try begin()
  }
}

/// The base rates times a function of the epoch, which counts from 0.
public final class LambdaLR: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(_ optimizer: Optimizer, _ factor: @escaping SchedulerValue.Function, lastEpoch: Int = -1) throws {
    try self.init("LambdaLR", optimizer, ["lr_lambda": .function(factor), "last_epoch": .integer(lastEpoch)])
  }
}

/// The rates of the epoch before times a function of the epoch, first called with 1.
public final class MultiplicativeLR: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(_ optimizer: Optimizer, _ factor: @escaping SchedulerValue.Function, lastEpoch: Int = -1) throws {
    try self.init("MultiplicativeLR", optimizer, ["lr_lambda": .function(factor), "last_epoch": .integer(lastEpoch)])
  }
}

/// The rates times gamma every `stepSize` epochs.
public final class StepLR: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(_ optimizer: Optimizer, stepSize: Int, gamma: Double = 0.1, lastEpoch: Int = -1) throws {
    try self.init("StepLR", optimizer, ["step_size": .integer(stepSize), "gamma": .number(gamma), "last_epoch": .integer(lastEpoch)])
  }
}

/// The rates times gamma at each of some epochs.
public final class MultiStepLR: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(_ optimizer: Optimizer, milestones: [Int], gamma: Double = 0.1, lastEpoch: Int = -1) throws {
    try self.init(
      "MultiStepLR", optimizer,
      ["milestones": .list(milestones.map { .integer($0) }), "gamma": .number(gamma), "last_epoch": .integer(lastEpoch)])
  }
}

/// The rates times a factor for some epochs, then without it.
public final class ConstantLR: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(_ optimizer: Optimizer, factor: Double = 1.0 / 3, totalIterations: Int = 5, lastEpoch: Int = -1) throws {
    try self.init(
      "ConstantLR", optimizer, ["factor": .number(factor), "total_iters": .integer(totalIterations), "last_epoch": .integer(lastEpoch)])
  }
}

/// The rates times a factor that goes in a line from one number to another.
public final class LinearLR: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(
    _ optimizer: Optimizer, startFactor: Double = 1.0 / 3, endFactor: Double = 1, totalIterations: Int = 5, lastEpoch: Int = -1
  ) throws {
    try self.init(
      "LinearLR", optimizer,
      [
        "start_factor": .number(startFactor), "end_factor": .number(endFactor), "total_iters": .integer(totalIterations),
        "last_epoch": .integer(lastEpoch),
      ])
  }
}

/// The rates times gamma every epoch.
public final class ExponentialLR: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(_ optimizer: Optimizer, gamma: Double, lastEpoch: Int = -1) throws {
    try self.init("ExponentialLR", optimizer, ["gamma": .number(gamma), "last_epoch": .integer(lastEpoch)])
  }
}

/// The base rates times a power of the part of the epochs that is left.
public final class PolynomialLR: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(_ optimizer: Optimizer, totalIterations: Int = 5, power: Double = 1, lastEpoch: Int = -1) throws {
    try self.init(
      "PolynomialLR", optimizer, ["total_iters": .integer(totalIterations), "power": .number(power), "last_epoch": .integer(lastEpoch)])
  }
}

/// From the base rates to `etaMin` along half a cosine of `tMax` epochs, and back in as many.
public final class CosineAnnealingLR: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(_ optimizer: Optimizer, tMax: Int, etaMin: Double = 0, lastEpoch: Int = -1) throws {
    try self.init("CosineAnnealingLR", optimizer, ["T_max": .integer(tMax), "eta_min": .number(etaMin), "last_epoch": .integer(lastEpoch)])
  }
}

/// From the base rates to `etaMin` along half a cosine of `t0` epochs, again and again, each `tMult` times as long.
public final class CosineAnnealingWarmRestarts: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(_ optimizer: Optimizer, t0: Int, tMult: Int = 1, etaMin: Double = 0, lastEpoch: Int = -1) throws {
    try self.init(
      "CosineAnnealingWarmRestarts", optimizer,
      ["T_0": .integer(t0), "T_mult": .integer(tMult), "eta_min": .number(etaMin), "last_epoch": .integer(lastEpoch)])
  }
}

/// Up to `maxLR` and down to nearly nothing in a given number of steps; to be stepped after every batch.
public final class OneCycleLR: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(
    _ optimizer: Optimizer, maxLR: GroupRates, totalSteps: Int? = nil, epochs: Int? = nil, stepsPerEpoch: Int? = nil,
    pctStart: Double = 0.3, annealStrategy: AnnealStrategy = .cos, cycleMomentum: Bool = true, baseMomentum: GroupRates = 0.85,
    maxMomentum: GroupRates = 0.95, divFactor: Double = 25, finalDivFactor: Double = 1e4, threePhase: Bool = false, lastEpoch: Int = -1
  ) throws {
    try self.init(
      "OneCycleLR", optimizer,
      [
        "max_lr": maxLR.value, "total_steps": totalSteps.map { .integer($0) } ?? .none, "epochs": epochs.map { .integer($0) } ?? .none,
        "steps_per_epoch": stepsPerEpoch.map { .integer($0) } ?? .none, "pct_start": .number(pctStart),
        "anneal_strategy": .text(annealStrategy.rawValue), "cycle_momentum": .boolean(cycleMomentum), "base_momentum": baseMomentum.value,
        "max_momentum": maxMomentum.value, "div_factor": .number(divFactor), "final_div_factor": .number(finalDivFactor),
        "three_phase": .boolean(threePhase), "last_epoch": .integer(lastEpoch),
      ])
  }
}

/// Up and down between two rates, again and again; to be stepped after every batch.
public final class CyclicLR: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(
    _ optimizer: Optimizer, baseLR: GroupRates, maxLR: GroupRates, stepSizeUp: Int = 2000, stepSizeDown: Int? = nil,
    mode: CycleMode = .triangular, gamma: Double = 1, scale: SchedulerValue.Function? = nil, scaleMode: CycleScale = .cycle,
    cycleMomentum: Bool = true, baseMomentum: GroupRates = 0.8, maxMomentum: GroupRates = 0.9, lastEpoch: Int = -1
  ) throws {
    try self.init(
      "CyclicLR", optimizer,
      [
        "base_lr": baseLR.value, "max_lr": maxLR.value, "step_size_up": .integer(stepSizeUp),
        "step_size_down": stepSizeDown.map { .integer($0) } ?? .none, "mode": .text(mode.rawValue), "gamma": .number(gamma),
        "scale_fn": scale.map { .function($0) } ?? .none, "scale_mode": .text(scaleMode.rawValue),
        "cycle_momentum": .boolean(cycleMomentum), "base_momentum": baseMomentum.value, "max_momentum": maxMomentum.value,
        "last_epoch": .integer(lastEpoch),
      ])
  }
}

/// To a fixed rate in some epochs; for the averaging of weights.
public final class SWALR: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(
    _ optimizer: Optimizer, swaLR: GroupRates, annealEpochs: Int = 10, annealStrategy: AnnealStrategy = .cos, lastEpoch: Int = -1
  ) throws {
    try self.init(
      "SWALR", optimizer,
      [
        "swa_lr": swaLR.value, "anneal_epochs": .integer(annealEpochs), "anneal_strategy": .text(annealStrategy.rawValue),
        "last_epoch": .integer(lastEpoch),
      ])
  }
}

/// The rates times a factor when a number, given to ``Scheduler/step(metric:epoch:)``, has stopped getting better.
public final class ReduceLROnPlateau: Scheduler {
  /// Sets the rates of the first epoch. Throws for impossible options.
  public convenience init(
    _ optimizer: Optimizer, mode: PlateauMode = .min, factor: Double = 0.1, patience: Int = 10, threshold: Double = 1e-4,
    thresholdMode: ThresholdMode = .rel, cooldown: Int = 0, minLR: GroupRates = 0, eps: Double = 1e-8
  ) throws {
    try self.init(
      "ReduceLROnPlateau", optimizer,
      [
        "mode": .text(mode.rawValue), "factor": .number(factor), "patience": .integer(patience), "threshold": .number(threshold),
        "threshold_mode": .text(thresholdMode.rawValue), "cooldown": .integer(cooldown), "min_lr": minLR.value, "eps": .number(eps),
      ])
  }
}

/// Schedulers one after the other: the next begins at each of the milestones, of which there is one fewer than there are schedulers.
public final class SequentialLR: Scheduler {
  /// Throws for schedulers of other optimizers, those that watch a number, and milestones that do not rise.
  public convenience init(_ optimizer: Optimizer, _ schedulers: [Scheduler], milestones: [Int], lastEpoch: Int = -1) throws {
    try self.init(
      "SequentialLR", optimizer,
      [
        "schedulers": .list(schedulers.map { .scheduler($0) }), "milestones": .list(milestones.map { .integer($0) }),
        "last_epoch": .integer(lastEpoch),
      ])
  }
}

/// Schedulers that all step at once, each from the rates that the one before it leaves.
public final class ChainedScheduler: Scheduler {
  /// Throws for no schedulers, those of several optimizers, and those that watch a number.
  public convenience init(_ schedulers: [Scheduler]) throws {
    guard let optimizer = schedulers.first?.optimizer else {
      throw TensorError(.argument, "ChainedScheduler", "the list of schedulers is empty")
    }
    try self.init("ChainedScheduler", optimizer, ["schedulers": .list(schedulers.map { .scheduler($0) })])
  }
}

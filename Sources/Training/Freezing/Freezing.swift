// Freezing parameters and letting them go, with a report of what that did, and warnings of what it did not.

import Tensors

/// What it is that stands still.
public enum FreezeLevel: String, Sendable {
  /// The parameters: they get no gradients, and no step moves them.
  case gradients = "grad"
  /// Beside them whatever else training moves or draws: statistics of batch norm stay, dropout drops nothing, whatever mode the model is put in.
  case full
}

/// What becomes of what an optimizer remembers of a parameter that is trained again.
public enum UnfreezePolicy: String, Sendable {
  /// Its moments and steps stay as they were when it was frozen.
  case keep
  /// As with an optimizer that is new to it.
  case reset
  /// The optimizer no longer holds it.
  case drop
}

/// What freezing, or unfreezing, did.
public struct FreezeReport: CustomStringConvertible, Sendable {
  /// A parameter that was meant.
  public struct Entry: Sendable {
    /// Its name in the model.
    public let name: String
    /// Its elements.
    public let count: Int
    /// Whether it was otherwise before.
    public let isNew: Bool
    /// The other names of the same parameter.
    public let sharedWith: [String]
  }
  /// Whether it froze them.
  public let freezes: Bool
  /// The parameters that were meant.
  public let entries: [Entry]
  /// The modules that stay in evaluation from now on, or no longer, where the level is full.
  public let modules: [String]
  /// Of the whole model, afterwards: how many elements its parameters have, and how many of them are trained.
  public let total: Int
  /// The elements of those that are trained, of the whole model, afterwards.
  public let trainable: Int

  /// A sentence: what was frozen, and how much is trained.
  public var description: String {
    let verb = freezes ? "froze" : "unfroze"
    let shown = entries.prefix(8).map { entry in
      entry.name + (entry.sharedWith.isEmpty ? "" : " (also \(entry.sharedWith.joined(separator: ", ")))")
        + (entry.isNew ? "" : " (was so before)")
    }
    let list = shown.joined(separator: ", ") + (entries.count > 8 ? ", … (\(entries.count - 8) more)" : "")
    let held = modules.isEmpty ? "" : "; \(modules.joined(separator: ", ")) \(freezes ? "stay in evaluation" : "follow train() again")"
    let share = total == 0 ? 0 : Double(trainable) / Double(total) * 100
    return
      "\(verb) \(entries.count) parameter\(entries.count == 1 ? "" : "s"): \(list)\(held); \(trainable) of \(total) numbers are trained (\((share * 10).rounded() / 10) %)"
  }
}

extension Module {
  /// Freezes parameters: they keep every bit, whatever optimizer holds them, until they are unfrozen; gradients that they have are cleared.
  ///
  /// Throws where a pattern matches nothing. Warns, once, where statistics of batch norm would still move.
  @discardableResult
  public final func freeze(_ selection: ParameterSelection = .all, level: FreezeLevel = .gradients) throws -> FreezeReport {
    let chosen = try selected(selection, "freeze", modulesDo: level == .full)
    let entries = report(chosen) { $0.requiresGrad }
    for parameter in chosen {
      try parameter.tensor.setRequiresGrad(false)
      let extras = parameter.tensor.extras ?? TensorExtras()
      extras.name = parameter.name
      parameter.tensor.extras = extras
    }
    var held: [String] = []
    for (path, module) in covered(by: chosen, selection) {
      if level == .full {
        module.staysInEvaluation = true
        module.isTraining = false
        if module.ownChildren.isEmpty { held.append(path.isEmpty ? module.kind : path) }
      } else if let moving = module.movingStatistics, !module.staysInEvaluation {
        Notice.postOnce(
          "freeze: \(moving) of \(path.isEmpty ? module.kind : "\(path) (\(module.kind))") still follow the batches while it trains; { level = \"full\" } keeps them"
        )
      }
    }
    return summed(true, entries, held)
  }

  /// Freezes all but the last blocks: the direct children that have parameters, in order.
  @discardableResult
  public final func freeze(allButLast blocks: Int, level: FreezeLevel = .gradients) throws -> FreezeReport {
    let children = ownChildren.filter { !$0.module.namedParameters().isEmpty }
    guard blocks >= 0, blocks <= children.count else {
      throw TensorError(
        .argument, "freeze_to",
        "the \(kind) has \(children.count) blocks with parameters, of which 0 to \(children.count) can stay trained, got \(blocks)")
    }
    guard blocks < children.count else { return summed(true, [], []) }
    return try freeze(.modules(children.dropLast(blocks).map(\.module)), level: level)
  }

  /// Lets parameters be trained again, and their modules follow `train()`.
  ///
  /// `policy` is for what `optimizer` remembers of them. Throws where a pattern matches nothing.
  @discardableResult
  public final func unfreeze(
    _ selection: ParameterSelection = .all, optimizer: Optimizer? = nil, policy: UnfreezePolicy = .keep
  ) throws -> FreezeReport {
    let chosen = try selected(selection, "unfreeze", modulesDo: true)
    let entries = report(chosen) { !$0.requiresGrad }
    for parameter in chosen { try parameter.tensor.setRequiresGrad(true) }
    var freed: [String] = []
    for (path, module) in covered(by: chosen, selection) where module.staysInEvaluation {
      module.staysInEvaluation = false
      module.isTraining = isTraining
      if module.ownChildren.isEmpty { freed.append(path.isEmpty ? module.kind : path) }
    }
    if let optimizer {
      switch policy {
      case .keep: break
      case .reset: for parameter in chosen { optimizer.forget(parameter.tensor) }
      case .drop: for parameter in chosen { optimizer.drop(parameter.tensor) }
      }
      for parameter in chosen where policy != .drop && !optimizer.holds(parameter.tensor) {
        Notice.postOnce("unfreeze: \(parameter.name) is trained again, but the \(optimizer.kind.name) does not hold it: no step moves it")
      }
    }
    // Where the model is being trained already, whatever no optimizer was given stays as it is.
    if optimizer == nil, namedParameters().contains(where: { $0.tensor.isOptimized }) {
      let missing = chosen.filter { !$0.tensor.isOptimized }.map(\.name)
      if !missing.isEmpty {
        Notice.postOnce(
          "unfreeze: \(listed(missing)) \(missing.count == 1 ? "is" : "are") trained again, but no optimizer holds \(missing.count == 1 ? "it" : "them"): add_param_group takes \(missing.count == 1 ? "it" : "them") in"
        )
      }
    }
    return summed(false, entries, freed)
  }

  /// Names, sizes, and what each is called besides; before anything changes.
  private func report(_ chosen: [NamedParameter], changes: (Tensor) -> Bool) -> [FreezeReport.Entry] {
    let all = parametersByAllNames()
    return chosen.map { parameter in
      FreezeReport.Entry(
        name: parameter.name, count: parameter.tensor.count, isNew: changes(parameter.tensor),
        sharedWith: all.filter { $0.tensor === parameter.tensor && $0.name != parameter.name }.map(\.name))
    }
  }

  private func summed(_ freezes: Bool, _ entries: [FreezeReport.Entry], _ modules: [String]) -> FreezeReport {
    let all = namedParameters()
    return FreezeReport(
      freezes: freezes, entries: entries, modules: modules, total: all.reduce(0) { $0 + $1.tensor.count },
      trainable: all.reduce(0) { $0 + ($1.tensor.requiresGrad ? $1.tensor.count : 0) })
  }

  /// The modules all of which is meant: those whose parameters were all chosen, and those without any whose own names were meant, as
  /// a dropout's may be by `features.*`.
  private func covered(by chosen: [NamedParameter], _ selection: ParameterSelection) -> [(name: String, module: Module)] {
    let ids = Set(chosen.map { ObjectIdentifier($0.tensor) })
    let modules = namedModules()
    func isMeant(_ path: String, _ module: Module) -> Bool {
      switch selection {
      case .all: true
      case .patterns(let patterns): patterns.contains { NamePattern.names(path, by: $0) }
      case .modules(let whole): whole.contains { one in one.namedModules().contains { $0.module.identity == module.identity } }
      case .tensors, .matching: false
      }
    }
    return modules.filter { path, module in
      let parameters = module.namedParameters()
      return parameters.isEmpty ? isMeant(path, module) : parameters.allSatisfy { ids.contains(ObjectIdentifier($0.tensor)) }
    }
  }

  /// What training changes in this module beside its parameters, in words; nil for nothing.
  private var movingStatistics: String? {
    buffers.contains { $0.name == "running_mean" && $0.tensor != nil } ? "the running statistics" : nil
  }
}

extension Optimizer {
  /// Whether it holds the parameter.
  public final func holds(_ parameter: Tensor) -> Bool { groups.contains { $0.slots.contains { $0.parameter === parameter } } }
}

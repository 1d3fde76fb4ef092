// What of a model is frozen, as names that a checkpoint can hold: state dicts are of tensors, which do not say.

import Tensors

/// Which parameters are frozen, and which modules stay in evaluation.
public struct FreezeState: Sendable, Equatable {
  /// The names of frozen parameters, each under its first.
  public let frozen: [String]
  /// The names of modules that stay in evaluation whatever `train()` says; empty for the model itself.
  public let evaluation: [String]

  /// Of names, as a checkpoint has them; ``Module/load(_:)`` checks them.
  public init(frozen: [String], evaluation: [String]) {
    self.frozen = frozen
    self.evaluation = evaluation
  }
}

extension Module {
  /// What of the model is frozen now.
  public final var freezeState: FreezeState {
    FreezeState(
      frozen: namedParameters().filter { !$0.tensor.requiresGrad }.map(\.name),
      evaluation: namedModules().filter { $0.module.staysInEvaluation }.map(\.name))
  }

  /// Freezes what the state says, and lets all else be trained. Throws, and changes nothing, where there is no parameter or module of a name.
  public final func load(_ state: FreezeState) throws {
    let (all, modules) = (parametersByAllNames(), namedModules(removesDuplicates: false))
    func check(_ names: [String], _ known: [String], _ what: String) throws {
      for name in names where !known.contains(name) {
        let hint = nearest(name, known.filter { !$0.isEmpty }).map { "; did you mean '\($0)'?" } ?? ""
        throw TensorError(.argument, "load_freeze_state", TensorError.Facts("\(kind) has no \(what) '\(name)'\(hint)"))
      }
    }
    try check(state.frozen, all.map(\.name), "parameter")
    try check(state.evaluation, modules.map(\.name), "module")
    let names = Set(state.frozen)
    let frozen = Set(all.filter { names.contains($0.name) }.map { ObjectIdentifier($0.tensor) })
    for parameter in all where parameter.tensor.requiresGrad == frozen.contains(ObjectIdentifier(parameter.tensor)) {
      try parameter.tensor.setRequiresGrad(!parameter.tensor.requiresGrad)
    }
    let held = Set(modules.filter { state.evaluation.contains($0.name) }.map(\.module.identity))
    for (_, module) in namedModules() where module.staysInEvaluation != held.contains(module.identity) {
      module.staysInEvaluation.toggle()
      module.isTraining = module.staysInEvaluation ? false : isTraining
    }
  }
}

// A module's state as names and tensors: what checkpoints hold.

import Tensors

extension Module {
  /// All parameters and buffers under PyTorch's names, `hidden.weight`. The tensors share the module's elements and
  /// stand outside the graph; a tensor under two names is listed under both.
  ///
  /// With `keepsVariables` they are the parameters and buffers themselves. Buffers that are not to be saved are left out.
  public final func stateDict(prefix: String = "", keepsVariables: Bool = false) -> [(name: String, tensor: Tensor)] {
    let own = stateTensors(prefix)
    return keepsVariables ? own : own.map { ($0.name, $0.tensor.detach()) }
  }

  private func stateTensors(_ prefix: String) -> [(name: String, tensor: Tensor)] {
    namedModules(prefix: prefix, removesDuplicates: false).flatMap { path, module in
      let passing = module.passingBuffers
      let saved = module.ownParameters + module.buffers.filter { !passing.contains($0.name) }
      return saved.compactMap { entry in entry.tensor.map { (dotted(path, entry.name), $0) } }
    }
  }

  /// Copies elements into the parameters and buffers of the same names, converted to their dtypes.
  ///
  /// Nothing is copied when a shape differs or, if `strict`, when names are missing or left over; the error then
  /// lists them all. Without `strict` the names are returned. With `assigns`, the saved tensors take the places of the module's
  /// own, dtypes and all, so that optimizers have to be made anew.
  @discardableResult
  public final func loadStateDict(
    _ saved: [(name: String, tensor: Tensor)], strict: Bool = true, assigns: Bool = false
  ) throws -> (missing: [String], unexpected: [String]) {
    try loadStateDict(saved, others: [], strict: strict, assigns: assigns)
  }

  /// The same of a state in which there are other things than tensors under some names, with what they are.
  package final func loadStateDict(
    _ saved: [(name: String, tensor: Tensor)], others: [(name: String, found: String)], strict: Bool, assigns: Bool
  ) throws -> (missing: [String], unexpected: [String]) {
    let own = stateTensors("")
    let given = Dictionary(saved.map { ($0.name, $0.tensor) }, uniquingKeysWith: { $1 })
    let ownNames = Set(own.map(\.name))
    let wrong = Set(others.map(\.name))
    let missing = own.map(\.name).filter { given[$0] == nil && !wrong.contains($0) }
    let unexpected = saved.map(\.name).filter { !ownNames.contains($0) }
    var problems: [String] = []
    if strict {
      if !missing.isEmpty { problems.append("missing \(missing.joined(separator: ", "))") }
      if !unexpected.isEmpty { problems.append("unexpected \(unexpected.joined(separator: ", "))") }
    }
    problems += others.map { "\($0.name) is no tensor but \($0.found)" }
    for (name, tensor) in own {
      if let source = given[name], source.shape != tensor.shape {
        problems.append("\(name) has shape \(tensor.shape) here and \(source.shape) in the state")
      }
    }
    guard problems.isEmpty else {
      throw TensorError(.argument, "load_state_dict", TensorError.Facts("\(kind) does not fit: \(problems.joined(separator: "; "))"))
    }
    // Before any is copied, so that a refusal leaves all as they were.
    if WriteGuard.areThere {
      for (name, tensor) in own where given[name] != nil { try tensor.checkGuard(by: "load_state_dict") }
    }
    if assigns {
      for (name, tensor) in own { if let source = given[name] { try assign(name, source, inPlaceOf: tensor) } }
      return (missing, unexpected)
    }
    try withNoGrad {
      for (name, tensor) in own {
        if let source = given[name] { try tensor.copy(from: source) }
      }
    }
    return (missing, unexpected)
  }

  /// Puts a tensor into the place of one, as a parameter where that was one.
  private func assign(_ path: String, _ source: Tensor, inPlaceOf old: Tensor) throws {
    let end = path.lastIndex(of: ".")
    let module = try submodule(end.map { String(path[..<$0]) } ?? "")
    let name = end.map { String(path[path.index(after: $0)...]) } ?? path
    guard old.isParameter else { return try module.set(buffer: name, source.detach()) }
    try module.set(parameter: name, source.isParameter ? source : source.detach().markParameter(requiresGrad: old.requiresGrad))
  }
}

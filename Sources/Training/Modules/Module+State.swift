// A module's state as names and tensors: what checkpoints hold.

import Tensors

extension Module {
  /// All parameters and buffers under PyTorch's names, `hidden.weight`. The tensors share the module's elements and
  /// stand outside the graph; a tensor under two names is listed under both.
  public final func stateDict(prefix: String = "") -> [(name: String, tensor: Tensor)] {
    stateTensors(prefix).map { ($0.name, $0.tensor.detach()) }
  }

  private func stateTensors(_ prefix: String) -> [(name: String, tensor: Tensor)] {
    let own = (parameters + buffers).compactMap { entry in entry.tensor.map { (dotted(prefix, entry.name), $0) } }
    return own + children.flatMap { $0.module.stateTensors(dotted(prefix, $0.name)) }
  }

  /// Copies elements into the parameters and buffers of the same names, converted to their dtypes.
  ///
  /// Nothing is copied when a shape differs or, if `strict`, when names are missing or left over; the error then
  /// lists them all. Without `strict` the names are returned.
  @discardableResult
  public final func loadStateDict(
    _ saved: [(name: String, tensor: Tensor)], strict: Bool = true
  ) throws -> (missing: [String], unexpected: [String]) {
    let own = stateTensors("")
    let given = Dictionary(saved.map { ($0.name, $0.tensor) }, uniquingKeysWith: { $1 })
    let ownNames = Set(own.map(\.name))
    let missing = own.map(\.name).filter { given[$0] == nil }
    let unexpected = saved.map(\.name).filter { !ownNames.contains($0) }
    var problems: [String] = []
    if strict {
      if !missing.isEmpty { problems.append("missing \(missing.joined(separator: ", "))") }
      if !unexpected.isEmpty { problems.append("unexpected \(unexpected.joined(separator: ", "))") }
    }
    for (name, tensor) in own {
      if let source = given[name], source.shape != tensor.shape {
        problems.append("\(name) has shape \(tensor.shape) here and \(source.shape) in the state")
      }
    }
    guard problems.isEmpty else {
      throw TensorError(.argument, "load_state_dict", TensorError.Facts("\(kind) does not fit: \(problems.joined(separator: "; "))"))
    }
    try withNoGrad {
      for (name, tensor) in own {
        if let source = given[name] { try tensor.copy(from: source) }
      }
    }
    return (missing, unexpected)
  }
}

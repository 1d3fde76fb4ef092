// Everything in a tree of modules, by name, and what is done to all of it.

import Tensors

extension Module {
  /// This module and all below it, parents first, under dotted names; each object once, under its first name.
  public final func namedModules(prefix: String = "") -> [(name: String, module: Module)] {
    var result: [(name: String, module: Module)] = []
    var seen = Set<ObjectIdentifier>()
    collect(prefix, &result) { seen.insert(ObjectIdentifier($0)).inserted }
    return result
  }

  private func collect(
    _ name: String, _ result: inout [(name: String, module: Module)], where isWanted: (Module) -> Bool
  ) {
    guard isWanted(self) else { return }
    result.append((name, self))
    for child in children { child.module.collect(dotted(name, child.name), &result, where: isWanted) }
  }

  /// All parameters, in order; a tensor that has two names is listed once, under the first.
  public final func namedParameters(prefix: String = "") -> [(name: String, tensor: Tensor)] {
    distinct(\.parameters, prefix)
  }

  /// All buffers, in order, each object once.
  public final func namedBuffers(prefix: String = "") -> [(name: String, tensor: Tensor)] {
    distinct(\.buffers, prefix)
  }

  private func distinct(
    _ contents: KeyPath<Module, [(name: String, tensor: Tensor?)]>, _ prefix: String
  ) -> [(name: String, tensor: Tensor)] {
    var seen = Set<ObjectIdentifier>()
    var result: [(name: String, tensor: Tensor)] = []
    for (path, module) in namedModules(prefix: prefix) {
      for (name, tensor) in module[keyPath: contents] {
        guard let tensor, seen.insert(ObjectIdentifier(tensor)).inserted else { continue }
        result.append((dotted(path, name), tensor))
      }
    }
    return result
  }

  /// Switches this module and all below it between training and evaluation.
  @discardableResult
  public final func train(_ mode: Bool = true) -> Self {
    for (_, module) in namedModules() { module.isTraining = mode }
    return self
  }

  /// Clears the gradients of all parameters, or fills them with zeros.
  public final func zeroGrad(setToNone: Bool = true) throws {
    for (_, parameter) in namedParameters() { try parameter.clearGrad(setToNone: setToNone) }
  }

  /// Freezes or unfreezes all parameters.
  @discardableResult
  public final func requiresGrad(_ required: Bool = true) throws -> Self {
    for (_, parameter) in namedParameters() { try parameter.setRequiresGrad(required) }
    return self
  }

  /// Calls `body` with every module below this one, children before parents, and with this one last.
  @discardableResult
  public final func apply(_ body: (Module) throws -> Void) rethrows -> Self {
    for child in children { try child.module.apply(body) }
    try body(self)
    return self
  }
}

/// `prefix.name`, or the name alone.
func dotted(_ prefix: String, _ name: String) -> String { prefix.isEmpty ? name : "\(prefix).\(name)" }

extension Tensor {
  /// Drops the gradient, or fills it with zeros.
  package func clearGrad(setToNone: Bool) throws {
    if setToNone {
      try setGrad(nil)
    } else if let gradient = grad {
      // One with a history of its own is replaced, so that the history is not written to.
      if gradient.requiresGrad { try setGrad(Tensor.zeros(shape, dtype: dtype)) } else { try gradient.fill(.integer(0)) }
    }
  }
}

// Copies of modules: another one of the same class and options, with tensors of its own.

import Tensors

extension Module {
  /// A module of the same class, made with the options that its fields tell, with copies of the tensors. Hooks stay behind.
  ///
  /// Throws for classes that are not the library's, and where the copy would hold other tensors.
  public final func copied() throws -> Module { try nested { try copy() } }

  private func copy() throws -> Module {
    if let copy = try ownCopy() { return copy }
    if let list = self as? Sequential {
      let copy = Sequential(named: try list.children.map { ($0.name, try $0.module.copied()) })
      copy.isTraining = isTraining
      copy.staysInEvaluation = staysInEvaluation
      return copy
    }
    if let list = self as? ModuleList {
      let copy = ModuleList(try list.children.map { try $0.module.copied() })
      copy.isTraining = isTraining
      copy.staysInEvaluation = staysInEvaluation
      return copy
    }
    guard let kind = ModuleCatalogue.kind(of: self) else {
      throw TensorError(.argument, "deepcopy", "a module of the class \(kind), which is the host's own, cannot be copied")
    }
    let arguments = try kind.parameters.map { parameter -> Argument in
      if parameter.kind == .dtype {
        return parameters.compactMap(\.tensor).first.map { .dtype($0.dtype) } ?? .absent
      }
      if let layer = self as? Layer { return try layer.option(parameter) }
      if parameter.kind == .boolean, let own = parameters.first(where: { $0.name == parameter.name }) {
        return .boolean(own.tensor != nil)
      }
      guard let field = try kind.fields.first(where: { $0.name == parameter.name })?.read(self) else { return .absent }
      return field.asArgument
    }
    let copy = try withoutDrawing { try kind.make(Arguments(kind.name, arguments)) }
    guard copy.parameters.map(\.name) == parameters.map(\.name), copy.buffers.map(\.name) == buffers.map(\.name) else {
      throw TensorError(.argument, "deepcopy", "\(kind.name) does not tell all of the options that it was made with")
    }
    if let table = parametrizations {
      for (name, list) in table.lists {
        guard let own = try list.copied() as? ParametrizationList else { continue }
        try copy.parametrize(name, by: own)
      }
    }
    for (name, child) in children { try copy.set(child: name, child.copied()) }
    copy.adapter = try adapter?.copied()
    for (name, tensor) in parameters {
      guard let tensor else {
        try copy.set(parameter: name, nil)
        continue
      }
      let own = try tensor.detach().copied().markParameter(requiresGrad: tensor.requiresGrad)
      if let gradient = tensor.grad { try own.setGrad(gradient.detach().copied()) }
      try copy.set(parameter: name, own)
    }
    for ((name, own), (_, tensor)) in zip(copy.buffers, buffers) {
      guard let own, let tensor, own.shape == tensor.shape else {
        if own == nil, tensor == nil { continue }
        throw TensorError(
          .argument, "deepcopy", "\(kind.name) cannot be copied: its buffer \(name) has another shape than when it was made")
      }
      if own !== tensor { try own.detach().assign(tensor.detach()) }
    }
    copy.isTraining = isTraining
    copy.staysInEvaluation = staysInEvaluation
    return copy
  }

  /// Runs `body`, which may draw random numbers, and puts the stream back to where it was.
  final func withoutDrawing<R>(_ body: () throws -> R) rethrows -> R {
    let generator = Generator.current
    let state = generator.currentState
    defer { generator.currentState = state }
    return try body()
  }
}

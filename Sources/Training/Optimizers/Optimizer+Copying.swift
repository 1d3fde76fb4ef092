// Copies of optimizers and schedulers, for those who copy a whole training state.

import Tensors

extension Optimizer {
  /// An optimizer of other parameters, in the order of its own, with its options and copies of what it remembers. Hooks stay behind.
  ///
  /// Throws where a parameter is not like the one whose place it takes.
  public final func copy(of parameters: [Tensor]) throws -> Optimizer {
    let own = groups.flatMap(\.parameters)
    guard parameters.map(\.shape) == own.map(\.shape) else {
      throw TensorError(.shape, kind.name, "a copy needs parameters of the same shapes in the same order")
    }
    let copy = try Optimizer(kind, Dictionary(defaultOptions.map { ($0.name, $0.value) }) { $1 })
    var start = 0
    for group in groups {
      let count = group.parameters.count
      copy.groups.append(
        try Group(kind, Array(parameters[start..<start + count]), copy.defaults, [:]))
      start += count
    }
    try copy.loadStateDict(stateDict())
    copy.hasStepped = hasStepped
    return copy
  }
}

extension Scheduler {
  /// A scheduler of another optimizer, which stands where this one does. Those that it is made of are copied too. Functions are shared.
  public func copy(of optimizer: Optimizer) -> Scheduler {
    let copy = Scheduler(
      kind, optimizer, options.filter { if case .list(let list) = $0.value, case .scheduler? = list.first { false } else { true } })
    copy.state = state
    copy.functions = functions
    copy.schedulers = schedulers.map { $0.copy(of: optimizer) }
    return copy
  }

  /// Whether it, or one that it is made of, calls a function.
  package var hasFunctions: Bool { !functions.isEmpty || schedulers.contains(where: \.hasFunctions) }
}

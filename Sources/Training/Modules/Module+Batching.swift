// Modules applied to batches: inputs, or parameters that somebody put in the places of a module's own, whose first dimensions
// are a batch's. A module that is one operation goes by its rule; containers pass the batch on; others are called for each element.

import Tensors

extension Module {
  /// The module's outputs for tensors of batches, in a level that is open (see Batching). `warn` is told the class of a module
  /// that is called for each element.
  package final func callAsFunction(batch inputs: [Tensor], warn: (String) -> Void) throws -> [Tensor] {
    try self(batch: Arguments(kind, inputs.map { .tensor($0) }), warn: warn)
  }

  /// The same for arguments that need not all be tensors.
  package final func callAsFunction(batch arguments: Arguments, warn: (String) -> Void) throws -> [Tensor] {
    let inputs = arguments.tensors
    if let container = self as? Sequential { return try container.forward(batch: inputs, warn: warn) }
    return try withComputedParameters { try adapted(batch: inputs, warn) { try forward(batch: arguments, inputs, warn) } }
  }

  private func forward(batch arguments: Arguments, _ inputs: [Tensor], _ warn: (String) -> Void) throws -> [Tensor] {
    if let (operation, filled) = try asOperation(inputs) { return try Batching.run(operation, filled, warn: warn).tensors }
    let numbers = Set(
      (inputs + namedModules().flatMap { ($0.module.parameters + $0.module.buffers).compactMap(\.tensor) }).flatMap(\.batch))
    let levels = BatchLevels.open.filter { numbers.contains($0.number) }
    let randomness = levels.last?.randomness ?? BatchLevels.open.last?.randomness ?? .error
    if levels.isEmpty { return try drawing(as: randomness, from: nil) { try forward(arguments) } }
    warn(kind)
    let before = Generator.current.currentState
    return try Batching.loop(levels, kind) { positions in
      try replacingTensors {
        try Batching.element(of: $0, positions)
      } in: {
        let outputs = try drawing(as: randomness, from: before) {
          try forward(arguments.mapped { try Batching.element(of: $0, positions) })
        }
        return .several(outputs.map { .tensor($0) })
      }
    }.tensors
  }

  /// Runs `body` with parameters and buffers of batches replaced, in the modules within too.
  private func replacingTensors<R>(_ replacement: (Tensor) throws -> Tensor, in body: () throws -> R) throws -> R {
    var restoring: [() -> Void] = []
    defer { for restore in restoring { restore() } }
    for (_, module) in namedModules() {
      for (name, tensor) in module.parameters {
        guard let tensor, !tensor.batch.isEmpty else { continue }
        try module.set(parameter: name, replacement(tensor))
        restoring.append { try? module.set(parameter: name, tensor) }
      }
      for (name, tensor) in module.buffers {
        guard let tensor, !tensor.batch.isEmpty else { continue }
        try module.set(buffer: name, replacement(tensor))
        restoring.append { try? module.set(buffer: name, tensor) }
      }
    }
    return try body()
  }

  /// Refuses random numbers, or lets every call draw the same, as the batch asks for.
  private func drawing<R>(as randomness: BatchLevel.Randomness, from start: Generator.State?, _ body: () throws -> R) throws -> R {
    if randomness == .same, let start { Generator.current.currentState = start }
    let before = Generator.current.currentState
    let result = try body()
    guard randomness != .error || Generator.current.currentState == before else {
      throw TensorError(
        .argument, kind,
        "a function over a batch draws random numbers; say vmap(f, { randomness = \"different\" }) for other ones in each call, or \"same\""
      )
    }
    return result
  }
}

extension Sequential {
  fileprivate func forward(batch inputs: [Tensor], warn: (String) -> Void) throws -> [Tensor] {
    var values = inputs
    for (_, module) in children { values = try module(batch: values, warn: warn) }
    return values
  }
}

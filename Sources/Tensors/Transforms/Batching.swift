// Functions over batches, as torch.vmap: a function runs once, on tensors that have the batch in front and do not show it.
// Each operation is applied to the whole batch by its rule; what has none is called for each element, and says so.

/// Levels of batches, and operations in them.
package enum Batching {
  /// Opens a level within those that are open. Whoever opens it puts `GradMode.batching` into force, and closes it.
  package static func open(size: Int, randomness: BatchLevel.Randomness) -> BatchLevel {
    let level = BatchLevel(number: RunNumber.fresh(), size: size, randomness: randomness)
    BatchLevels.open.append(level)
    return level
  }

  package static func close(_ level: BatchLevel) { BatchLevels.open.removeAll { $0.number >= level.number } }

  /// A tensor's elements along a dimension as a level's batch. The dimension is one of those that the function sees.
  package static func enter(_ x: Tensor, _ dimension: Int, _ level: BatchLevel) throws -> Tensor {
    let depth = x.batch.count
    let axis = try Shape(x.ownSizes, operation: "vmap").axis(dimension, "vmap")
    var order = Array(0..<x.rank)
    order.remove(at: depth + axis)
    order.insert(depth + axis, at: depth)
    return try x.permute(order).inBatch(x.batch + [level.number])
  }

  /// A result with the level's batch as a dimension, among those that are left.
  package static func leave(_ x: Tensor, _ dimension: Int, _ level: BatchLevel) throws -> Tensor {
    let (batch, own) = (x.batch, x.ownSizes)
    let outer = batch.filter { $0 != level.number }
    let rank = own.count + 1
    guard dimension >= -rank, dimension < rank else {
      throw TensorError(.index, "vmap", "out_dims: dimension \(index: dimension) is out of range for a result of \(own.count) dimensions")
    }
    let axis = outer.count + (dimension < 0 ? dimension + rank : dimension)
    guard let place = batch.firstIndex(of: level.number) else {
      // The same for every element.
      var sizes = Array(x.shape.array)
      sizes.insert(level.size, at: axis)
      return try x.unsqueeze(axis).expand(sizes).inBatch(outer)
    }
    var order = Array(0..<x.rank)
    order.remove(at: place)
    order.insert(place, at: axis)
    // A new object in every case, since x keeps its mark.
    return try x.permute(order).inBatch(outer)
  }

  /// A tensor as every element of the open batches has it: a view of its own elements, but with each batch in front.
  package static func spread(_ x: Tensor) throws -> Tensor {
    let open = BatchLevels.open
    guard x.batch.count < open.count else { return x }
    return try x.spread(over: open).expand(open.map(\.size) + x.ownSizes).inBatch(open.map(\.number))
  }

  // MARK: Operations

  private static func levels(of arguments: Arguments) throws -> [BatchLevel] {
    let numbers = Set(arguments.tensors.flatMap(\.batch))
    let open = BatchLevels.open.filter { numbers.contains($0.number) }
    guard open.count == numbers.count else {
      throw TensorError(
        .argument, arguments.operation,
        "a tensor of a batch is used after its vmap has ended; a function gives its results to vmap by returning them")
    }
    return open
  }

  /// Runs an operation on tensors of batches. `warn` is told the name of an operation that has no rule.
  package static func run(_ operation: TensorOperation, _ arguments: Arguments, warn: (String) -> Void = { _ in }) throws -> Output {
    let levels = try levels(of: arguments)
    if case .random(let elementwise) = operation.batching {
      guard let generator = operation.generator(of: arguments) else {
        return try random(operation, elementwise: elementwise, arguments, levels)
      }
      return try generator.drawing { try random(operation, elementwise: elementwise, arguments, levels) }
    }
    if levels.isEmpty { return try operation.run(arguments) }
    if case .shared = operation.batching { return try operation.run(element(of: arguments, [:])) }
    if let output = try ruled(operation, arguments, levels) { return output }
    if case .loop = operation.batching { warn(operation.name) }
    return try loopDrawing(operation, arguments, levels)
  }

  /// By the operation's rule; nil where it has none for the call.
  package static func ruled(_ operation: TensorOperation, _ arguments: Arguments, _ levels: [BatchLevel]) throws -> Output? {
    do {
      let output = try BatchedCall(operation, arguments, levels).run(by: operation.batching)
      // What has not the batch in front is none of it.
      let sizes = levels.map(\.size)
      guard output.tensors.allSatisfy({ $0.shape.array.starts(with: sizes) }) else { return nil }
      return try marked(output, levels, arguments)
    } catch is BatchedCall.Unruly {
      return nil
    } catch let error as TensorError where [.shape, .index, .argument, .dtype].contains(error.kind) {
      // Sizes in its message would be those with the batch.
      return nil
    }
  }

  /// `x:name_(…)`: what all elements of the batch share cannot take each one's result.
  package static func runInPlace(
    _ operation: TensorOperation, _ arguments: Arguments, warn: (String) -> Void = { _ in }
  ) throws {
    let x = try arguments.tensor(0)
    let missing = try levels(of: arguments).filter { !x.batch.contains($0.number) }
    guard missing.isEmpty else {
      throw TensorError(
        .argument, operation.name + "_",
        "the result differs over the batch, but the tensor that it would be written to is the same for all of it; use \(operation.name)")
    }
    let batch = x.batch
    func result(_ source: Tensor) throws -> Tensor {
      let source = source === x ? x : source.inBatch(batch)
      let values = [.tensor(source)] + arguments.values.dropFirst()
      guard case .tensor(let result) = try run(operation, Arguments(operation.name, values), warn: warn) else {
        throw TensorError(.argument, operation.name + "_", "there is no single result to write back")
      }
      return result
    }
    if operation.forms.contains(.inPlaceView) { try x.viewing(operation.name, result) } else { try x.writing(operation.name, result) }
    x.inBatch(batch)
  }

  /// Marks results; what a rule gave back as it was given is another object first.
  private static func marked(_ output: Output, _ levels: [BatchLevel], _ arguments: Arguments) throws -> Output {
    let numbers = levels.map(\.number)
    let given = arguments.tensors
    return try output.mapTensors { tensor in
      if tensor.batch == numbers { return tensor }
      return (given.contains { $0 === tensor } ? try tensor.view(tensor.shape.array) : tensor).inBatch(numbers)
    }
  }

  // MARK: One by one

  /// The arguments of one element of the batch, by a position for each level.
  private static func element(of arguments: Arguments, _ positions: [UInt32: Int]) throws -> Arguments {
    try arguments.mapped { try element(of: $0, positions) }
  }

  /// What one element of the batch has of a tensor: a view.
  package static func element(of tensor: Tensor, _ positions: [UInt32: Int]) throws -> Tensor {
    var part = tensor
    for number in tensor.batch { part = try part.select(0, positions[number] ?? 0) }
    return part
  }

  /// A call for each element of the batch, and the results stacked.
  package static func loop(_ operation: TensorOperation, _ arguments: Arguments, _ levels: [BatchLevel]) throws -> Output {
    try loop(levels, operation.name) { try operation.run(element(of: arguments, $0)) }
  }

  /// `body` for each element of the batch, by a position for each level.
  package static func loop(_ levels: [BatchLevel], _ name: String, _ body: ([UInt32: Int]) throws -> Output) throws -> Output {
    let count = levels.reduce(1) { $0 * $1.size }
    var outputs: [Output] = []
    outputs.reserveCapacity(count)
    for place in 0..<count {
      var positions: [UInt32: Int] = [:]
      var rest = place
      for level in levels.reversed() {
        positions[level.number] = rest % level.size
        rest /= level.size
      }
      outputs.append(try body(positions))
    }
    return try stacked(outputs, levels, name)
  }

  private static func stacked(_ outputs: [Output], _ levels: [BatchLevel], _ name: String) throws -> Output {
    func differing(_ what: String) -> TensorError {
      BatchLevels.noteRefusal()
      return TensorError(
        .argument, name, "\(what) differ\(what.hasSuffix("s") ? "" : "s") over the batch of a vmap, which gives all of it one form")
    }
    func stack(_ tensors: [Tensor]) throws -> Tensor {
      guard tensors.allSatisfy({ $0.shape == tensors[0].shape }) else { throw differing("the result's shape") }
      let whole = try Joining.stack(tensors, 0)
      return try whole.reshape(levels.map(\.size) + tensors[0].shape.array).inBatch(levels.map(\.number))
    }
    switch outputs[0] {
    case .tensor: return .tensor(try stack(outputs.flatMap(\.tensors)))
    case .indices: return .indices(try stack(outputs.flatMap(\.tensors)))
    case .several(let parts):
      return .several(
        try parts.indices.map { index in
          try stacked(
            outputs.map { if case .several(let parts) = $0 { parts[index] } else { $0 } }, levels, name)
        })
    case .list(let first):
      guard outputs.allSatisfy({ $0.tensors.count == first.count }) else { throw differing("the number of results") }
      return .list(try first.indices.map { index in try stack(outputs.map { $0.tensors[index] }) })
    case .boolean, .number, .dtype:
      BatchLevels.noteRefusal()
      throw TensorError(
        .argument, name,
        "its result is a plain value, which differs over the batch of a vmap; a function over a batch gives tensors and cannot branch on values"
      )
    }
  }

  // MARK: Random numbers

  private static func random(
    _ operation: TensorOperation, elementwise: Bool, _ arguments: Arguments, _ own: [BatchLevel]
  ) throws -> Output {
    let open = BatchLevels.open
    guard !open.contains(where: { $0.randomness == .error }) else { throw drawing(operation) }
    let isSame = open.contains { $0.randomness == .same }
    let levels = open.filter { level in level.randomness == .different || own.contains { $0.number == level.number } }
    if levels.isEmpty { return try operation.run(arguments) }
    // Those that fill their tensor return it.
    if operation.name.hasSuffix("_"), case .tensor(let x) = arguments.value(0) {
      guard x.batch.count == levels.count else {
        throw TensorError(
          .argument, operation.name, "other numbers for each element of a batch do not fit into a tensor that is the same for all of it")
      }
      if isSame || !elementwise || own.count > x.batch.count {
        _ = try eachDrawing(operation, arguments, levels, isSame)
      } else {
        _ = try operation.run(arguments)
      }
      return .tensor(x)
    }
    // Numbers for the whole batch are drawn in one call where a tensor or the sizes say how many.
    if !isSame {
      let call = BatchedCall(operation, arguments, levels)
      if let position = operation.parameters.firstIndex(where: { $0.name == "size" }), case .integers(let sizes) = arguments.value(position)
      {
        var values = arguments.values
        values[position] = .integers(call.sizes + sizes)
        return try marked(call.run(values), levels, arguments)
      }
      if elementwise, case .tensor = arguments.value(0) {
        return try marked(call.run([.tensor(call.full(0))] + arguments.values.dropFirst()), levels, arguments)
      }
    }
    return try eachDrawing(operation, arguments, levels, isSame)
  }

  private static func drawing(_ operation: TensorOperation) -> TensorError {
    TensorError(
      .argument, operation.name,
      "a function over a batch draws random numbers; say vmap(f, { randomness = \"different\" }) for other ones in each call, or \"same\"")
  }

  /// A loop of an operation that may draw random numbers with some of its arguments, as dropping elements does while training.
  private static func loopDrawing(_ operation: TensorOperation, _ arguments: Arguments, _ levels: [BatchLevel]) throws -> Output {
    let open = BatchLevels.open
    let before = Generator.current.currentState
    let output = try eachDrawing(operation, arguments, levels, open.contains { $0.randomness == .same })
    guard Generator.current.currentState == before || !open.contains(where: { $0.randomness == .error }) else { throw drawing(operation) }
    return output
  }

  private static func eachDrawing(
    _ operation: TensorOperation, _ arguments: Arguments, _ levels: [BatchLevel], _ isSame: Bool
  ) throws -> Output {
    let before = Generator.current.currentState
    return try loop(levels, operation.name) { positions in
      if isSame { Generator.current.currentState = before }
      return try operation.run(element(of: arguments, positions))
    }
  }
}

// How operations apply to batches: tensors whose first dimensions are levels' (see BatchLevels) and not the operation's own
// business. Most need no rule of their own: it follows from their parameters. All are checked against the loop.

/// How an operation is applied to every element of a batch at once.
package enum BatchingRule: Sendable {
  /// One call for each, the results stacked: always right, and slow.
  case loop
  /// Tensors broadcast, so the batch's dimensions stand before the longest's own.
  case broadcast
  /// Dimensions are named, and named ones move back.
  case dimensions
  /// The last dimensions are what it works on, in any number of others that all tensors have.
  case trailing
  /// Its result is no tensor, or one that depends on no element: that of any element of the batch.
  case shared
  /// It draws random numbers, as the level says: one for each element of its first tensor, or as many as its sizes say.
  case random(elementwise: Bool)
  /// Another call, of tensors with the batch in front.
  case rewritten(@Sendable (BatchedCall) throws -> Output)

  /// What follows from parameters.
  static func inferred(_ parameters: [Parameter], elementwise: Bool) -> BatchingRule {
    if elementwise { return .broadcast }
    let namesDimensions = parameters.contains { $0.kind == .dimension || $0.kind == .dimensions }
    return namesDimensions ? .dimensions : .loop
  }
}

extension TensorOperation {
  /// The same operation with another rule.
  func batched(_ rule: BatchingRule) -> TensorOperation { TensorOperation(self, batching: rule) }
}

extension [TensorOperation] {
  /// A family that has one rule.
  func batched(_ rule: BatchingRule) -> [TensorOperation] { map { $0.batched(rule) } }
}

extension Tensor {
  /// The levels, by number, whose batches its first dimensions are; empty for what all elements of a batch share.
  package var batch: [UInt32] { extras?.batch ?? [] }

  /// This tensor, whose first dimensions are those levels'. To be called on results only, which nobody else holds.
  @discardableResult
  package func inBatch(_ levels: [UInt32]) -> Tensor {
    if levels.isEmpty, extras == nil { return self }
    if extras == nil { extras = TensorExtras() }
    extras?.batch = levels
    return self
  }

  /// This tensor with a dimension for each level, of size 1 where it has no such batch, and then at least `rank` of its own.
  package func spread(over levels: [BatchLevel], rank: Int? = nil) throws -> Tensor {
    let (own, batch) = (ownSizes, batch)
    let padding = Swift.max((rank ?? own.count) - own.count, 0)
    if padding == 0, batch.count == levels.count { return self }
    let front = levels.map { batch.contains($0.number) ? $0.size : 1 }
    return try reshape(front + Array(repeating: 1, count: padding) + own)
  }

  /// The sizes that a function which is applied to the batch sees.
  package var ownSizes: [Int] { Array(shape.array.dropFirst(batch.count)) }
}

/// A call of an operation on tensors of a batch.
package struct BatchedCall {
  package let operation: TensorOperation
  package let arguments: Arguments
  /// Those that any of its tensors has.
  let levels: [BatchLevel]

  init(_ operation: TensorOperation, _ arguments: Arguments, _ levels: [BatchLevel]) {
    self.operation = operation
    self.arguments = arguments
    self.levels = levels
  }

  /// How many dimensions the batch has.
  package var depth: Int { levels.count }
  package var sizes: [Int] { levels.map(\.size) }

  // MARK: Reading

  package func tensor(_ position: Int) throws -> Tensor { try arguments.tensor(position) }
  /// The sizes of a tensor without those of the batch.
  package func sizes(_ position: Int) throws -> [Int] { try tensor(position).ownSizes }
  package func rank(_ position: Int) throws -> Int { try sizes(position).count }
  package func isBatched(_ position: Int) throws -> Bool { try !tensor(position).batch.isEmpty }

  // MARK: Laying out

  /// A tensor with a dimension for each level, of size 1 where it has no such batch, and then at least `rank` of its own.
  package func spread(_ tensor: Tensor, rank: Int? = nil) throws -> Tensor {
    try tensor.spread(over: levels, rank: rank)
  }

  /// The same with the batch's sizes throughout.
  package func full(_ tensor: Tensor, rank: Int? = nil) throws -> Tensor {
    let spread = try spread(tensor, rank: rank)
    let sizes = sizes + spread.shape.array.dropFirst(depth)
    return sizes == spread.shape.array ? spread : try spread.expand(sizes)
  }

  package func spread(_ position: Int, rank: Int? = nil) throws -> Tensor { try spread(tensor(position), rank: rank) }
  package func full(_ position: Int, rank: Int? = nil) throws -> Tensor { try full(tensor(position), rank: rank) }

  /// A dimension of a function's own, of `rank`, in the tensor with the batch in front.
  package func moved(_ dimension: Int, rank: Int) throws -> Int {
    guard dimension >= -rank, dimension < rank else { throw Unruly() }
    return dimension < 0 ? dimension + rank + depth : dimension + depth
  }

  /// To be thrown by a rule for a call that it cannot do; it is then done in a loop, which also says what is wrong with it.
  package struct Unruly: Error { package init() {} }

  // MARK: Running

  package func run(_ arguments: [Argument]) throws -> Output { try operation.run(Arguments(operation.name, arguments)) }

  /// By a rule, without the marks of the result.
  func run(by rule: BatchingRule) throws -> Output {
    switch rule {
    case .broadcast: try broadcast()
    case .dimensions: try alongDimensions(sharing: nil)
    case .trailing: try operation.run(arguments.mapped { try full($0) })
    case .rewritten(let rewrite): try rewrite(self)
    case .loop, .shared, .random: throw Unruly()
    }
  }

  private func broadcast() throws -> Output {
    let tensors = arguments.tensors
    let rank = tensors.map(\.ownSizes.count).max() ?? 0
    // A tensor of rank 0 takes part in promotion by its kind only, which it would not do with the batch's dimensions.
    let wide = tensors.first { $0.ownSizes.count > 0 && $0.dtype.isFloating }?.dtype
    let whole = tensors.first { $0.ownSizes.count > 0 && !$0.dtype.isFloating && $0.dtype != .bool }?.dtype
    return try operation.run(
      arguments.mapped { tensor in
        guard !tensor.batch.isEmpty else { return tensor }
        let spread = try spread(tensor, rank: rank)
        guard tensor.ownSizes.isEmpty, tensor.dtype != .bool, let dtype = tensor.dtype.isFloating ? wide : whole else { return spread }
        return dtype == tensor.dtype ? spread : try spread.to(dtype)
      })
  }

  /// `shared` is an argument that all elements of the batch have, and that has no dimensions for it.
  func alongDimensions(sharing shared: Int?) throws -> Output {
    let tensors = arguments.tensors
    guard let first = tensors.first else { throw Unruly() }
    let rank = first.ownSizes.count
    // A single number has one dimension in what follows, which its results lose again.
    let isSingle = rank == 0
    var values = try arguments.mapped { tensor in
      let full = try full(tensor)
      return tensor.ownSizes.isEmpty && isSingle ? try full.unsqueeze(-1) : full
    }.values
    if let shared { values[shared] = arguments.value(shared) }
    let own = isSingle ? 1 : rank
    while values.count < operation.parameters.count { values.append(.absent) }
    for (position, parameter) in operation.parameters.enumerated() {
      switch (parameter.kind, values[position]) {
      case (.dimension, .tensor): return try broadcast()
      case (.dimension, .integer(let dimension)): values[position] = .integer(try moved(dimension, rank: own))
      case (.dimensions, .integer(let dimension)): values[position] = .integers([try moved(dimension, rank: own)])
      case (.dimensions, .integers(let list)) where !list.isEmpty:
        values[position] = .integers(try list.map { try moved($0, rank: own) })
      case (.dimensions, .absent), (.dimensions, .integers):
        guard parameter.isOptional else { throw Unruly() }
        if let shown = Int(parameter.defaultText) {
          values[position] = .integers([try moved(shown > 0 ? shown - 1 : shown, rank: own)])
        } else {
          values[position] = .integers(Array(depth..<depth + own))
        }
      case (.dimension, .absent):
        if let shown = Int(parameter.defaultText) {
          values[position] = .integer(try moved(shown > 0 ? shown - 1 : shown, rank: own))
        } else {
          // All elements, as one dimension.
          if let keepdim = operation.parameters.firstIndex(where: { $0.name == "keepdim" }), case .boolean(true) = values[keepdim] {
            throw Unruly()
          }
          guard tensors.count == 1, case .tensor(let whole) = values[0] else { throw Unruly() }
          values[0] = .tensor(try whole.flatten(depth, -1))
          values[position] = .integer(depth)
        }
      default: break
      }
    }
    let output = try run(values)
    return isSingle ? try output.mapTensors { $0.rank == depth + 1 ? try $0.squeeze([depth]) : $0 } : output
  }
}

extension Output {
  package func mapTensors(_ change: (Tensor) throws -> Tensor) rethrows -> Output {
    switch self {
    case .tensor(let tensor): .tensor(try change(tensor))
    case .indices(let tensor): .indices(try change(tensor))
    case .several(let outputs): .several(try outputs.map { try $0.mapTensors(change) })
    case .list(let list): .list(try list.map(change))
    case .boolean, .number, .dtype: self
    }
  }
}

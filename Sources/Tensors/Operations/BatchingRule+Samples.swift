// Rules of operations that know batches of their own: samples, of so many dimensions after the one that counts them.

extension BatchingRule {
  /// The batch's elements are more samples, each of channels and `spatial` dimensions, where only the first tensor has them.
  static func samples(_ spatial: Int) -> BatchingRule { .rewritten { try merged($0, spatial) } }

  private static func merged(_ call: BatchedCall, _ spatial: Int) throws -> Output {
    let x = try call.full(0)
    let own = try call.rank(0)
    guard own == spatial + 1 || own == spatial + 2, try call.isBatched(0),
      call.arguments.tensors.dropFirst().allSatisfy({ $0.batch.isEmpty })
    else { throw BatchedCall.Unruly() }
    let lead = Array(x.shape.array.dropLast(spatial + 1))
    let flat = try x.reshape([lead.reduce(1, *)] + x.shape.array.suffix(spatial + 1))
    let output = try call.run([.tensor(flat)] + call.arguments.values.dropFirst())
    return try output.mapTensors { try $0.reshape(lead + $0.shape.array.dropFirst()) }
  }

  /// The first tensor alone has the batch, and may have any number of leading dimensions.
  static let leading = BatchingRule.rewritten { call in
    try checkFirst(call)
    return try call.run([.tensor(call.full(0))] + call.arguments.values.dropFirst())
  }

  /// The first tensor alone has the batch, and its own first dimension counts samples, of which there are more then.
  static let moreSamples = BatchingRule.rewritten { call in
    try checkFirst(call)
    let x = try call.full(0)
    guard x.rank > call.depth else { throw BatchedCall.Unruly() }
    let lead = Array(x.shape.array.prefix(call.depth + 1))
    let flat = try x.reshape([lead.reduce(1, *)] + x.shape.array.dropFirst(call.depth + 1))
    let output = try call.run([.tensor(flat)] + call.arguments.values.dropFirst())
    return try output.mapTensors { try $0.reshape(lead + $0.shape.array.dropFirst()) }
  }

  private static func checkFirst(_ call: BatchedCall) throws {
    guard try call.isBatched(0), call.arguments.tensors.dropFirst().allSatisfy({ $0.batch.isEmpty }) else {
      throw BatchedCall.Unruly()
    }
  }

  /// Convolutions: where weights differ over the batch, its elements are groups of channels.
  static func convolution(_ spatial: Int) -> BatchingRule {
    .rewritten { call in
      let bias = try call.arguments.optionalTensor(2)
      if try !call.isBatched(1), bias?.batch.isEmpty ?? true { return try merged(call, spatial) }
      let groups = call.operation.parameters.firstIndex { $0.name == "groups" }
      let own = try call.rank(0)
      guard let groups, own == spatial + 1 || own == spatial + 2, try call.rank(1) == spatial + 2, bias?.ownSizes.count ?? 1 == 1,
        !call.sizes.contains(0)
      else { throw BatchedCall.Unruly() }
      let count = call.sizes.reduce(1, *)
      // (batch, samples, channels, …) → (samples, batch · channels, …)
      var x = try call.full(0).reshape([count] + call.sizes(0))
      if own == spatial + 1 { x = try x.unsqueeze(1) }
      x = try x.transpose(0, 1).flatten(1, 2)
      var values = call.arguments.values
      while values.count <= groups { values.append(.absent) }
      values[0] = .tensor(x)
      values[1] = .tensor(try call.full(1).reshape([count] + call.sizes(1)).flatten(0, 1))
      if let bias { values[2] = .tensor(try call.full(bias).reshape([-1])) }
      values[groups] = .integer(count * (try call.arguments.integer(groups, default: 1)))
      return try call.run(values).mapTensors { y in
        let channels = try y.reshape([y.shape[0], count, y.shape[1] / count] + y.shape.array.dropFirst(2)).transpose(0, 1)
        let samples = own == spatial + 1 ? try channels.select(1, 0) : channels
        return try samples.reshape(call.sizes + samples.shape.array.dropFirst())
      }
    }
  }
}

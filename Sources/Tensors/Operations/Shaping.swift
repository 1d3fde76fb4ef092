// Shape operations made of others: dimensions moved, merged and taken apart, tensors put side by side.

extension Tensor {
  /// Dimensions `from` moved to the places `to`; the others keep their order.
  public func movedim(_ from: [Int], _ to: [Int]) throws -> Tensor {
    guard from.count == to.count else {
      throw TensorError(.argument, "movedim", "\(from.count) dimensions cannot be moved to \(to.count) places")
    }
    let sources = try from.map { try shape.axis($0, "movedim") }
    let places = try to.map { try shape.axis($0, "movedim") }
    guard Set(sources).count == sources.count, Set(places).count == places.count else {
      throw TensorError(.argument, "movedim", "a dimension is named twice")
    }
    guard rank > 0 else { return try permute([]) }
    var order = [Int?](repeating: nil, count: rank)
    for (source, place) in zip(sources, places) { order[place] = source }
    var rest = (0..<rank).filter { !sources.contains($0) }[...]
    return try permute(order.map { $0 ?? rest.removeFirst() })
  }

  /// One dimension taken apart into several; one size may be −1.
  public func unflatten(_ dimension: Int, _ sizes: [Int]) throws -> Tensor {
    let axis = try shape.axis(dimension, "unflatten")
    guard rank > 0 else { throw TensorError(.index, "unflatten", "a tensor of rank 0 has no dimension to take apart") }
    let inner = try Shape.inferring(sizes, count: shape[axis], of: [shape[axis]], "unflatten")
    return try reshape(Array(shape.array[..<axis]) + inner.array + Array(shape.array[(axis + 1)...]))
  }

  /// The sum of a matrix' diagonal.
  public func trace() throws -> Tensor {
    guard rank == 2 else { throw TensorError(.shape, "trace", "a matrix is needed, the shape is \(shape)") }
    return try withNoGrad { try diagonal().sum() }.recorded(Trace(from: shape), self)
  }

  private struct Trace: Operation {
    let from: Shape
    var nodeName: String { "TraceBackward0" }
    func gradient(_ c: inout Backward) throws {
      c[0] = try c.g.expand([Swift.min(from[0], from[1])]).diagonalScattered(from, 0, 0, 1)
    }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].trace()] }
  }

  /// 1 at each label's place along a new last dimension of `classes` places (one more than the largest label if absent).
  ///
  /// Throws for a label that is negative or not below `classes`, and where there are neither labels nor `classes`.
  public func oneHot(_ classes: Int?) throws -> Tensor {
    guard !dtype.isFloating, dtype != .bool else {
      throw TensorError(.dtype, "one_hot", "labels must be whole numbers (int64), got a tensor of \(dtype)")
    }
    guard count > 0 || classes != nil else {
      throw TensorError(.argument, "one_hot", "there are no labels to count the classes by; give num_classes")
    }
    let (smallest, largest) = count == 0 ? (0, -1) : (Int(try min().item().integer), Int(try max().item().integer))
    let classes = classes ?? Swift.max(largest, 0) + 1
    guard smallest >= 0, largest < classes else {
      throw TensorError(
        .index, "one_hot", "label \(index: smallest < 0 ? smallest : largest) is not one of the \(classes) classes")
    }
    let zeros = try Tensor.zeros(Shape(shape.array + [classes], operation: "one_hot"), dtype: .int64)
    return try zeros.scatter(rank, unsqueeze(-1), Scalar.integer(1))
  }
}

enum Shaping {
  private static func someTensors(_ arguments: Arguments) throws -> [Tensor] {
    let list = try arguments.tensors(0)
    guard !list.isEmpty else { throw TensorError(.argument, arguments.operation, "the list of tensors is empty") }
    return list
  }

  static let list: [TensorOperation] = [
    TensorOperation(
      "movedim", "Dimensions moved to other places.", [.input, .init("source", .dimensions), .init("destination", .dimensions)],
      aliases: ["moveaxis"], samples: [[.float(2, 3, 4), .list([0]), .list([2])], [.float(2, 3, 4), .list([0, 1]), .list([1, 2])]],
      rejects: [[.float(2, 3), .list([0]), .list([2])]]
    ) { .tensor(try $0.tensor(0).movedim(try $0.integers(1), try $0.integers(2))) },
    TensorOperation(
      "unflatten", "One dimension taken apart into several; one size may be -1.", [.input, .dim, .init("sizes", .shape)],
      samples: [[.float(2, 6), .integer(1), .list([2, 3])], [.float(6), .integer(0), .list([-1, 2])]],
      rejects: [[.float(2, 6), .integer(1), .list([4, 2])]]
    ) { .tensor(try $0.tensor(0).unflatten(try $0.integer(1), try $0.integers(2))) },
    TensorOperation(
      "trace", "The sum of a matrix' diagonal.", [.input], samples: [[.float(3, 3)], [.float(2, 3)]], rejects: [[.float(3)]]
    ) { .tensor(try $0.tensor(0).trace()) },
    TensorOperation(
      "hstack", "Tensors side by side: along the second dimension, vectors along the first.", [.init("tensors", .tensors)],
      forms: .function,
      samples: [[.tensors([.float(2, 3), .float(2, 1)])], [.tensors([.float(2), .float(3)])]], rejects: [[.tensors([])]]
    ) {
      let parts = try someTensors($0).map { $0.rank == 0 ? try $0.reshape([1]) : $0 }
      return .tensor(try Joining.cat(parts, parts.first?.rank == 1 ? 0 : 1))
    },
    TensorOperation(
      "vstack", "Tensors below each other, vectors as rows.", [.init("tensors", .tensors)], forms: .function,
      samples: [[.tensors([.float(2, 3), .float(1, 3)])], [.tensors([.float(3), .float(3)])]], rejects: [[.tensors([])]]
    ) {
      let parts = try someTensors($0).map { $0.rank == 0 ? try $0.reshape([1, 1]) : $0.rank == 1 ? try $0.unsqueeze(0) : $0 }
      return .tensor(try Joining.cat(parts, 0))
    },
    TensorOperation(
      "broadcast_to", "The tensor stretched to a shape without copying.", [.input, .init("size", .shape)],
      samples: [[.float(3), .list([2, 3])]], rejects: [[.float(3), .list([2, 2])]]
    ) { .tensor(try $0.tensor(0).expand(try $0.integers(1), name: "broadcast_to")) },
    TensorOperation(
      "one_hot", "1 at each label's place along a new last dimension.",
      [.init("tensor", .labels), .init("num_classes", .integer, default: "-1")],
      forms: .functional, samples: [[.positions([4], 0...2)], [.positions([2, 2], 0...2), .integer(5)]],
      rejects: [[.positions([2], 3...3), .integer(2)], [.positions([2], -1 ... -1), .integer(2)], [.positions([0], 0...0)]],
      differentiable: false
    ) {
      let classes = try $0.integer(1, default: -1)
      return .tensor(try $0.tensor(0).oneHot(classes < 0 ? nil : classes))
    },
    TensorOperation(
      "count_nonzero", "How many elements are nonzero, over dimensions.", [.input, .init("dim", .dimensions, optional: true)],
      samples: [[.integers([2, 3], -1...1)], [.integers([2, 3], -1...1), .integer(1)]], differentiable: false
    ) { .tensor(try $0.tensor(0).converted(to: .bool).sum(try $0.optionalIntegers(1))) },
    TensorOperation(
      "isclose", "Where |input − other| ≤ atol + rtol · |other|.",
      [.input, .init("other", .tensor), .init("rtol", .number, default: "1e-05"), .init("atol", .number, default: "1e-08")],
      samples: [[.float(2, 3), .float(2, 3)], [.values([3], [1, 2, 3]), .values([3], [1.000001, 2.1, 3])]], differentiable: false
    ) { arguments in
      let (a, b) = (try arguments.tensor(0), try arguments.tensor(1))
      let (rtol, atol) = (try arguments.number(2, default: 1e-5), try arguments.number(3, default: 1e-8))
      return .tensor(try withNoGrad { try Comparison.or(Comparison.le((a - b).abs(), b.abs() * rtol + atol), a.eq(b)) })
    },
  ]
}

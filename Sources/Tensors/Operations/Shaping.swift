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

    var tangentRule: TangentRule { .linear }
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
  private static func someTensors(_ list: [Tensor], _ operation: String) throws -> [Tensor] {
    guard !list.isEmpty else { throw TensorError(.argument, operation, "the list of tensors is empty") }
    return list
  }

  static let list: [TensorOperation] = [
    TensorOperation(
      "movedim", "Dimensions moved to other places.", Take.input, Take.dimensions("source"), Take.dimensions("destination"),
      aliases: ["moveaxis"], samples: [[.float(2, 3, 4), .list([0]), .list([2])], [.float(2, 3, 4), .list([0, 1]), .list([1, 2])]],
      rejects: [[.float(2, 3), .list([0]), .list([2])]]
    ) { x, source, destination in try .tensor(x.movedim(source, destination)) },
    TensorOperation(
      "unflatten", "One dimension taken apart into several; one size may be -1.", Take.input, Take.dim, Take.shape("sizes"),
      samples: [[.float(2, 6), .integer(1), .list([2, 3])], [.float(6), .integer(0), .list([-1, 2])]],
      rejects: [[.float(2, 6), .integer(1), .list([4, 2])]]
    ) { x, dim, sizes in try .tensor(x.unflatten(dim, sizes)) },
    TensorOperation(
      "trace", "The sum of a matrix' diagonal.", Take.input,
      samples: [[.float(3, 3)], [.float(2, 3)]], rejects: [[.float(3)]], batching: .trace
    ) { x in try .tensor(x.trace()) },
    TensorOperation(
      "hstack", "Tensors side by side: along the second dimension, vectors along the first.", Take.tensors("tensors"),
      forms: .function, samples: [[.tensors([.float(2, 3), .float(2, 1)])], [.tensors([.float(2), .float(3)])]], rejects: [[.tensors([])]]
    ) { tensors in
      let parts = try someTensors(tensors, "hstack").map { $0.rank == 0 ? try $0.reshape([1]) : $0 }
      return .tensor(try Joining.cat(parts, parts.first?.rank == 1 ? 0 : 1))
    },
    TensorOperation(
      "vstack", "Tensors below each other, vectors as rows.", Take.tensors("tensors"), aliases: ["row_stack"],
      forms: .function, samples: [[.tensors([.float(2, 3), .float(1, 3)])], [.tensors([.float(3), .float(3)])]], rejects: [[.tensors([])]]
    ) { tensors in
      let parts = try someTensors(tensors, "vstack").map {
        $0.rank == 0 ? try $0.reshape([1, 1]) : $0.rank == 1 ? try $0.unsqueeze(0) : $0
      }
      return .tensor(try Joining.cat(parts, 0))
    },
    TensorOperation(
      "broadcast_to", "The tensor stretched to a shape without copying.", Take.input, Take.shape("size"),
      samples: [[.float(3), .list([2, 3])]], rejects: [[.float(3), .list([2, 2])]], batching: .expansion
    ) { x, size in try .tensor(x.expand(size, name: "broadcast_to")) },
    TensorOperation(
      "one_hot", "1 at each label's place along a new last dimension.", Take.labels("tensor"), Take.integer("num_classes", default: -1),
      forms: .functional, samples: [[.positions([4], 0...2)], [.positions([2, 2], 0...2), .integer(5)]],
      rejects: [[.positions([2], 3...3), .integer(2)], [.positions([2], -1 ... -1), .integer(2)], [.positions([0], 0...0)]],
      differentiable: false, batching: .trailing(with: 1)
    ) { tensor, numClasses in
      try .tensor(tensor.oneHot(numClasses < 0 ? nil : numClasses))
    },
    TensorOperation(
      "count_nonzero", "How many elements are nonzero, over dimensions.", Take.input, Take.optionalDimensions("dim"),
      samples: [[.integers([2, 3], -1...1)], [.integers([2, 3], -1...1), .integer(1)]], differentiable: false
    ) { x, dim in try .tensor(x.converted(to: .bool).sum(dim)) },
    TensorOperation(
      "isclose", "Where |input − other| ≤ atol + rtol · |other|.", Take.input, Take.tensor("other"), Take.number("rtol", default: 1e-5),
      Take.number("atol", default: 1e-8), Take.flag("equal_nan", default: false),
      samples: [[.float(2, 3), .float(2, 3)], [.values([3], [1, 2, 3]), .values([3], [1.000001, 2.1, 3])]], differentiable: false,
      batching: .broadcast
    ) { a, b, rtol, atol, equalNaN in
      .tensor(
        try withNoGrad {
          if a.dtype == .bool, b.dtype == .bool { return try a.eq(b) }
          let near = try Comparison.or(Comparison.le((a - b).abs(), b.abs() * rtol + atol), a.eq(b))
          return try equalNaN ? Comparison.or(near, Comparison.and(Predicate.isnan(a), Predicate.isnan(b))) : near
        })
    },
  ]
}

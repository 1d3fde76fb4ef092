// Putting tensors together and rearranging them: results are copies.

import CKernels

extension Tensor {
  /// Tensors one after another along a dimension, from 0, or −1 for the last; other sizes must agree. Throws for an empty list.
  public static func cat(_ tensors: [Tensor], _ dimension: Int = 0) throws -> Tensor {
    try TensorOperation.call("cat", .tensors(tensors), .integer(dimension))
  }

  /// Tensors of one shape, side by side along a new dimension. Throws for an empty list.
  public static func stack(_ tensors: [Tensor], _ dimension: Int = 0) throws -> Tensor {
    try TensorOperation.call("stack", .tensors(tensors), .integer(dimension))
  }
}

enum Joining {
  /// Tensors one after another along `dimension`; other sizes must agree. Empty vectors are skipped, as in PyTorch.
  static func cat(_ tensors: [Tensor], _ dimension: Int) throws -> Tensor {
    guard let first = tensors.first else { throw TensorError(.argument, "cat", "the list of tensors is empty") }
    let parts = tensors.contains(where: isEmptyVector) ? tensors.filter { !isEmptyVector($0) } : tensors
    guard let model = parts.first else { return try tensors.count == 1 ? first.clone() : joined(tensors, [], first.shape, 0) }
    guard model.rank > 0 else { throw TensorError(.shape, "cat", "tensors of rank 0 cannot be joined; use stack") }
    let axis = try model.shape.axis(dimension, "cat")
    var length = 0
    for (position, part) in parts.enumerated() {
      guard part.rank == model.rank, (0..<model.rank).allSatisfy({ $0 == axis || part.shape[$0] == model.shape[$0] }) else {
        throw TensorError(
          .shape, "cat",
          "tensor \(index: position) of shape \(part.shape) does not fit \(model.shape): sizes may differ only in dimension \(index: axis)")
      }
      // Expanded parts may be of any size; where the sum cannot be, the allocation fails.
      length = Swift.min(length + Swift.min(part.shape[axis], Shape.unaddressable), Shape.unaddressable)
    }
    return try joined(tensors, parts, Shape(model.shape.replacing(axis, with: length).array, operation: "cat"), axis)
  }

  private static func isEmptyVector(_ tensor: Tensor) -> Bool { tensor.rank == 1 && tensor.count == 0 }

  /// `parts` are those of the tensors that have a place in the result, along `axis`.
  private static func joined(_ tensors: [Tensor], _ parts: [Tensor], _ shape: Shape, _ axis: Int) throws -> Tensor {
    let dtype = tensors.dropFirst().reduce(tensors[0].dtype) { DType.promoted($0, $1.dtype) }
    let y = try Tensor(uninitialized: shape, dtype)
    var start = 0
    for part in parts {
      try put(part, into: y, axis, at: start)
      start += part.shape[axis]
    }
    // Empty vectors get gradients of their shape, whatever the others are.
    let sizes = tensors.map { isEmptyVector($0) ? -1 : $0.shape[axis] }
    return try y.recorded(Concatenation(dim: axis, sizes: sizes), tensors).withForms(tensors)
  }

  /// Writes `part` into a tensor of no views, from `start` along `axis` on.
  fileprivate static func put(_ part: Tensor, into y: Tensor, _ axis: Int, at start: Int) throws {
    let place = Layout(part.shape, strides: y.layout.strides, offset: start * y.layout.strides[axis])
    try Kernels.convert(
      part.dtype, y.dtype, over: mg_loop(part.shape, place, part.layout), part.data, into: y.data + place.offset * y.dtype.size)
  }

  private struct Concatenation: Operation {
    let dim: Int
    /// −1 of empty vectors.
    let sizes: [Int]

    var tangentRule: TangentRule { .linear }
    var nodeName: String { "CatBackward0" }

    func gradient(_ c: inout Backward) throws {
      var start = 0
      for (index, size) in sizes.enumerated() {
        if c.needs(index) { c[index] = try size < 0 ? Tensor.zeros([0], dtype: c.g.dtype) : c.g.narrow(dim, start, size) }
        start += max(size, 0)
      }
    }

    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try cat(inputs, dim)] }
  }

  /// Tensors of one shape along a new dimension.
  static func stack(_ tensors: [Tensor], _ dimension: Int) throws -> Tensor {
    guard let first = tensors.first else { throw TensorError(.argument, "stack", "the list of tensors is empty") }
    for (position, tensor) in tensors.enumerated() where tensor.shape != first.shape {
      throw TensorError(
        .shape, "stack", "tensor \(index: position) has shape \(tensor.shape), the first has \(first.shape); all must be equal")
    }
    guard dimension >= -first.rank - 1, dimension <= first.rank else {
      throw TensorError(.index, "stack", "dimension \(index: dimension) is out of range for stacking shape \(first.shape)")
    }
    let axis = dimension < 0 ? dimension + first.rank + 1 : dimension
    let y = try withNoGrad { try cat(tensors.map { try $0.unsqueeze(axis) }, axis) }
    return try y.recorded(Stack(dim: axis, count: tensors.count), tensors).withForms(tensors)
  }

  private struct Stack: Operation {
    let dim, count: Int

    var tangentRule: TangentRule { .linear }
    var nodeName: String { "StackBackward0" }

    func gradient(_ c: inout Backward) throws {
      for index in 0..<count where c.needs(index) { c[index] = try c.g.select(dim, index) }
    }

    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try stack(inputs, dim)] }
  }

  static let list: [TensorOperation] = [
    TensorOperation(
      "cat", "Tensors one after another along a dimension.", Take.tensors("tensors"), Take.dimension("dim", default: 0),
      aliases: ["concat", "concatenate"], forms: .function,
      samples: [[.tensors([.float(2, 3), .float(1, 3)])], [.tensors([.float(2, 3), .float(2, 1), .float(2, 2)]), .integer(1)]],
      rejects: [[.tensors([.float(2, 3), .float(2, 2)])], [.tensors([])]]
    ) { tensors, dim in try .tensor(cat(tensors, dim)) },
    TensorOperation(
      "stack", "Tensors of one shape along a new dimension.", Take.tensors("tensors"), Take.dimension("dim", default: 0),
      forms: .function, samples: [[.tensors([.float(2, 3), .float(2, 3)])], [.tensors([.float(3), .float(3)]), .integer(-1)]],
      rejects: [[.tensors([.float(2), .float(3)])], [.tensors([])]], batching: .newDimension
    ) { tensors, dim in try .tensor(stack(tensors, dim)) },
    TensorOperation(
      "tile", "The tensor repeated so many times along each dimension.", Take.input, Take.integers("sizes"),
      aliases: ["repeat"], samples: [[.float(2, 3), .list([2, 1])], [.float(3), .list([2, 2])]], rejects: [[.float(2), .list([-1])]],
      batching: .repeats
    ) { x, sizes in try .tensor(x.tile(sizes)) },
    TensorOperation(
      "repeat_interleave", "Each position along a dimension repeated, all alike or each as often as a tensor says.", Take.input,
      Take.operand("repeats"), Take.optionalDimension("dim"),
      samples: [[.float(2, 3), .integer(2)], [.float(2, 3), .integer(2), .integer(1)]], rejects: [[.float(2), .integer(-1)]]
    ) { x, repeats, dim in
      switch repeats {
      case .number(let number):
        guard number.real == Double(number.integer) else {
          throw TensorError(.argument, "repeat_interleave", "the count must be a whole number, got \(number)")
        }
        return try .tensor(x.repeatInterleave(Int(number.integer), dim))
      case .tensor(let counts): return try .tensor(x.repeatInterleave(counts, dim))
      }
    },
    TensorOperation(
      "flip", "The order reversed along dimensions.", Take.input, Take.dimensions("dims"),
      samples: [[.float(2, 3), .list([0])], [.float(2, 3), .list([0, 1])]], rejects: [[.float(2), .list([1])]]
    ) { x, dims in try .tensor(x.flip(dims)) },
    TensorOperation(
      "roll", "Elements moved along dimensions, from the end back to the start; without dims the flattened tensor.", Take.input,
      Take.integers("shifts"), Take.optionalDimensions("dims"),
      samples: [[.float(4), .integer(1)], [.float(2, 3), .integer(-1), .integer(1)], [.float(2, 3), .list([1, 1]), .list([0, 1])]]
    ) { x, shifts, dims in try .tensor(x.roll(shifts, dims)) },
    triangle("tril", "The lower triangle, zeros above the diagonal.") { try $0.triangle($1, lower: true) },
    triangle("triu", "The upper triangle, zeros below the diagonal.") { try $0.triangle($1, lower: false) },
    TensorOperation(
      "diag", "A vector's square matrix with it on the diagonal, or a matrix' diagonal.", Take.input, Take.integer("diagonal", default: 0),
      samples: [[.float(3)], [.float(3, 3)], [.float(2), .integer(1)], [.float(3, 4), .integer(-1)]], rejects: [[.float(2, 2, 2)]],
      batching: .diagonal
    ) { x, diagonal in try .tensor(x.diag(diagonal)) },
  ]

  private static func triangle(_ name: String, _ summary: String, _ body: @escaping @Sendable (Tensor, Int) throws -> Tensor)
    -> TensorOperation
  {
    TensorOperation(
      name, summary, Take.input, Take.integer("diagonal", default: 0), forms: .all,
      samples: [[.float(3, 4)], [.float(3, 3), .integer(1)], [.float(2, 3, 3), .integer(-1)]], rejects: [[.float(3)]],
      batching: .trailing
    ) { x, diagonal in .tensor(try body(x, diagonal)) }
  }
}

extension Tensor {
  /// Notes the inputs' shapes and dtypes where a dtype differs from the result's, so that gradients are converted back.
  fileprivate func withForms(_ inputs: [Tensor]) -> Tensor {
    if let node, inputs.contains(where: { $0.dtype != dtype }) { node.forms = InputForms(inputs) }
    return self
  }

  /// The tensor repeated so many times along each dimension; missing counts in front are 1.
  public func tile(_ counts: [Int]) throws -> Tensor {
    guard counts.allSatisfy({ $0 >= 0 }) else { throw TensorError(.argument, "tile", "counts must not be negative, got \(counts)") }
    let counts = Array(repeating: 1, count: Swift.max(rank - counts.count, 0)) + counts
    let old = Array(repeating: 1, count: counts.count - rank) + shape.array
    let target = try Shape(
      zip(counts, old).map { $0.multipliedReportingOverflow(by: $1).overflow ? Int.max : $0 * $1 }, operation: "tile")
    let y: Tensor
    if target.count > 0 {
      // One dimension at a time, from the last: the repeats stand in the middle of three dimensions.
      var part = try packed()
      for axis in counts.indices.reversed() where counts[axis] != 1 {
        let outer = old[..<axis].reduce(1, *)
        part = try withNoGrad { try part.reshape([outer, 1, -1]).expand([outer, counts[axis], -1]).copied() }
      }
      if part.storage === storage { part = try part.copied() }
      y = Tensor(storage: part.storage, layout: Layout(target), dtype: dtype)
    } else {
      y = try Tensor(uninitialized: target, dtype)
    }
    return try y.recorded(Tiling(repeats: counts, padded: old, from: shape), self)
  }

  private struct Tiling: Operation {
    let repeats: [Int]
    /// The input's sizes, with ones in front.
    let padded: [Int]
    let from: Shape

    var tangentRule: TangentRule { .linear }
    var nodeName: String { "RepeatBackward0" }

    func gradient(_ c: inout Backward) throws {
      if c.g.count == 0 {
        c[0] = try Tensor.zeros(from, dtype: c.g.dtype)
        return
      }
      var g = c.g
      for axis in repeats.indices where repeats[axis] != 1 {
        g = try g.reshape([padded[..<axis].reduce(1, *), repeats[axis], -1]).sum([1])
      }
      c[0] = try g.reshape(from)
    }

    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].tile(repeats)] }
  }

  /// Each position along a dimension (or of the flattened tensor) repeated.
  public func repeatInterleave(_ count: Int, _ dimension: Int?) throws -> Tensor {
    guard count >= 0 else { throw TensorError(.argument, "repeat_interleave", "the count must not be negative, got \(count)") }
    guard let dimension else { return try reshape([-1]).repeatInterleave(count, 0) }
    let axis = try shape.axis(dimension, "repeat_interleave")
    guard rank > 0 else { return try repeatInterleave(count, nil) }
    var stretched = shape.array
    stretched.insert(count, at: axis + 1)
    let repeated = try unsqueeze(axis + 1).expand(stretched).clone()
    var result = shape.array
    result[axis] *= count
    return try repeated.reshape(result)
  }

  /// Position i along a dimension (or of the flattened tensor) `counts[i]` times; one count goes for all.
  public func repeatInterleave(_ counts: Tensor, _ dimension: Int?) throws -> Tensor {
    guard counts.dtype.category == .integer, counts.rank <= 1 else {
      throw TensorError(
        .dtype, "repeat_interleave", "the counts must be whole numbers in a vector, got shape \(counts.shape) of \(counts.dtype)")
    }
    if counts.count == 1 { return try repeatInterleave(Int(counts.element(0).integer), dimension) }
    guard let dimension else { return try reshape([-1]).repeatInterleave(counts, 0) }
    let axis = try shape.axis(dimension, "repeat_interleave")
    guard rank > 0, counts.count == shape[axis] else {
      throw TensorError(.shape, "repeat_interleave", "\(counts.count) counts were given for shape \(shape) along dimension \(index: axis)")
    }
    var places: [Int] = []
    for position in 0..<counts.count {
      if position & 0xffff == 0xffff { try Context.checkStop() }
      let times = Int(counts.element(position).integer)
      guard times >= 0 else { throw TensorError(.argument, "repeat_interleave", "the count must not be negative, got \(times)") }
      guard times <= 1 << 32 - places.count else { throw TensorError(.memory, "repeat_interleave", "too many repeats: \(times)") }
      if times > 0 {
        try Context.checkRoom(
          for: "\(places.count + times) repeats need", "repeat_interleave", count: places.count + times,
          bytesOfEach: 3 * MemoryLayout<Int>.stride)
      }
      places += repeatElement(position, count: times)
    }
    return try indexSelect(axis, Tensor(places))
  }

  /// The order reversed along dimensions.
  public func flip(_ dimensions: [Int]) throws -> Tensor {
    var strides = layout.strides
    var offset = layout.offset
    for axis in try dimensions.isEmpty ? [] : shape.axes(dimensions, "flip") where shape[axis] > 0 {
      offset += (shape[axis] - 1) * strides[axis]
      strides[axis].negate()
    }
    let flipped = Tensor(storage: storage, layout: Layout(shape, strides: strides, offset: offset), dtype: dtype)
    return try flipped.copied().recorded(Flip(dims: dimensions), self)
  }

  private struct Flip: Operation {
    let dims: [Int]

    var tangentRule: TangentRule { .linear }
    var nodeName: String { "FlipBackward0" }
    func gradient(_ c: inout Backward) throws { c[0] = try c.g.flip(dims) }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].flip(dims)] }
  }

  /// Elements moved along dimensions, from the end back to the start.
  public func roll(_ shifts: [Int], _ dimensions: [Int]?) throws -> Tensor {
    if let dimensions {
      guard shifts.count == dimensions.count else {
        throw TensorError(.argument, "roll", "\(shifts.count) shifts were given for \(dimensions.count) dimensions")
      }
    } else {
      guard shifts.count == 1 else { throw TensorError(.argument, "roll", "one shift is needed without dims, got \(shifts.count)") }
    }
    let y = try withNoGrad {
      var result = dimensions == nil ? try reshape([count]) : self
      for (shift, dimension) in zip(shifts, dimensions ?? [0]) where rank > 0 || dimensions == nil {
        let axis = try result.shape.axis(dimension, "roll")
        let size = result.shape[axis]
        guard size > 0 else { continue }
        let moved = (shift % size + size) % size
        let rolled = try Tensor(uninitialized: result.shape, dtype)
        try Joining.put(result.slice(axis, size - moved, size), into: rolled, axis, at: 0)
        try Joining.put(result.slice(axis, 0, size - moved), into: rolled, axis, at: moved)
        result = rolled
      }
      if result.storage === storage { return try copied() }
      return result.shape == shape ? result : try result.reshape(shape).alias()
    }
    return try y.recorded(Roll(shifts: shifts, dims: dimensions, cycle: Swift.max(count, 1)), self)
  }

  private struct Roll: Operation {
    let shifts: [Int]
    let dims: [Int]?
    /// Every size divides it, and the least number there is has no negative.
    let cycle: Int

    var tangentRule: TangentRule { .linear }
    var nodeName: String { "RollBackward0" }
    func gradient(_ c: inout Backward) throws { c[0] = try c.g.roll(shifts.map { -($0 % cycle) }, dims) }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].roll(shifts, dims)] }
  }

  func triangle(_ diagonal: Int, lower: Bool) throws -> Tensor {
    let name = lower ? "tril" : "triu"
    guard rank >= 2 else { throw TensorError(.shape, name, "at least 2 dimensions are needed, the shape is \(shape)") }
    let (rows, columns) = (shape[rank - 2], shape[rank - 1])
    let x = try packed()
    let y = try Tensor(uninitialized: shape, dtype)
    // Diagonals beyond the corners are all one, and the bytes of elements are moved, whatever they mean.
    let edge = Swift.max(-rows - 1, Swift.min(diagonal, columns))
    try Tensor.triangleKernel(
      .uint8, .read(x.data, .uint8, count * dtype.size), .write(y.data, .uint8, count * dtype.size),
      sizes: (rows, columns, edge, 2 * dtype.size + (lower ? 1 : 0)))
    return try y.recorded(Triangle(diagonal: diagonal, lower: lower), self)
  }

  private static let triangleKernel = NamedKernel("triangle")

  private struct Triangle: Operation {
    let diagonal: Int
    let lower: Bool

    var tangentRule: TangentRule { .linear }
    var nodeName: String { lower ? "TrilBackward0" : "TriuBackward0" }
    func gradient(_ c: inout Backward) throws { c[0] = try c.g.triangle(diagonal, lower: lower) }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].triangle(diagonal, lower: lower)] }
  }

  /// A vector's diagonal matrix, or a matrix' diagonal.
  public func diag(_ diagonal: Int = 0) throws -> Tensor {
    if rank == 2 {
      return try withNoGrad { try self.diagonal(diagonal).copied() }.recorded(DiagonalCopy(offset: diagonal, from: shape), self)
    }
    guard rank == 1 else { throw TensorError(.shape, "diag", "a vector or a matrix is needed, the shape is \(shape)") }
    let (size, overflows) = shape[0].addingReportingOverflow(diagonal == .min ? .max : Swift.abs(diagonal))
    let result = try Tensor.zeros(Shape(overflows ? [.max, .max] : [size, size], operation: "diag"), dtype: dtype)
    try withNoGrad { try result.diagonal(diagonal).assign(self) }
    result.storage.version = 0
    return try result.recorded(DiagonalMatrix(offset: diagonal), self)
  }

  private struct DiagonalCopy: Operation {
    let offset: Int
    let from: Shape

    var tangentRule: TangentRule { .linear }
    var nodeName: String { "DiagonalBackward0_copy" }
    func gradient(_ c: inout Backward) throws { c[0] = try c.g.diagonalScattered(from, offset, 0, 1) }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].diag(offset)] }
  }

  private struct DiagonalMatrix: Operation {
    let offset: Int

    var tangentRule: TangentRule { .linear }
    var nodeName: String { "DiagEmbedBackward0" }
    func gradient(_ c: inout Backward) throws { c[0] = try c.g.diagonal(offset) }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].diag(offset)] }
  }
}

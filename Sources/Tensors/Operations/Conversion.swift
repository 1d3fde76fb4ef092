// Copies and dtypes.

extension Tensor {
  /// The elements in another dtype; this tensor itself when it has that dtype. Floats become integers by truncation.
  public func to(_ dtype: DType) throws -> Tensor {
    if dtype == self.dtype { return self }
    return try convertedCopy(to: dtype).recorded(Converting(from: self.dtype, dtype: dtype), self)
  }

  private struct Converting: Operation {
    let from, dtype: DType

    var tangentRule: TangentRule { .linear }
    var nodeName: String { "ToCopyBackward0" }
    func gradient(_ c: inout Backward) throws { c[0] = try c.g.to(from) }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].to(dtype)] }
  }

  /// A contiguous copy with the same history.
  public func clone() throws -> Tensor {
    try copied().recorded(Cloning(), self)
  }

  private struct Cloning: Operation {
    var tangentRule: TangentRule { .linear }
    var nodeName: String { "CloneBackward0" }
    func gradient(_ c: inout Backward) throws { c[0] = c.g }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].clone()] }
  }

  /// This tensor itself when its elements lie in row-major order, else a copy that does.
  public func contiguous() throws -> Tensor { isContiguous ? self : try clone() }

  /// Overwrites the elements with those of `source`, broadcast to this shape and converted to this dtype.
  @discardableResult
  public func copy(from source: Tensor) throws -> Tensor { try copy(from: source, "copy") }

  private func copy(from source: Tensor, _ operation: String) throws -> Tensor {
    guard try Shape.broadcast(shape, source.shape, "copy_") == shape else {
      throw TensorError(.shape, "copy_", "a source of shape \(source.shape) does not fit a tensor of shape \(shape)")
    }
    if try writesDirectly(operation), !source.requiresGrad || !GradMode.isEnabled {
      try assign(source)
      return self
    }
    return try writing(operation, uses: .nothing) { destination in
      let result = try source.converted(to: dtype).expand(shape).copied()
      guard try TangentLevels.areInForce || (GradMode.isEnabled && source.feeds()) else { return result }
      return try result.recorded(Copying(size: shape, dtype: dtype, source: source.shape, sourceDType: source.dtype), destination, source)
    }
  }

  /// What was overwritten gets zeros, as in PyTorch, and not nothing.
  private struct Copying: Operation {
    let size: Shape
    let dtype: DType
    let source: Shape
    let sourceDType: DType

    var nodeName: String { "CopyBackwards" }

    func gradient(_ c: inout Backward) throws {
      if c.needs(0) { c[0] = try Tensor.zeros(like: c.g) }
      if c.needs(1) { c[1] = try c.g.summed(to: source).to(sourceDType) }
    }

    func apply(_ inputs: [Tensor]) throws -> [Tensor] {
      [try inputs[1].converted(to: dtype).expand(size).copied().recorded(self, inputs[0], inputs[1])]
    }
  }

  /// In the dtype that was asked for, if one was.
  func asked(_ dtype: DType?) throws -> Tensor { try dtype.map { try to($0) } ?? self }

  /// Overwrites every element with `value`.
  @discardableResult
  public func fill(_ value: Scalar) throws -> Tensor {
    try copy(from: Tensor.filled([], value.fitting(dtype, "fill_"), dtype: dtype), "fill")
  }

  /// The same with the value of a tensor of rank 0, which gets the gradient of all elements.
  @discardableResult
  public func fill(_ value: Tensor) throws -> Tensor {
    guard value.rank == 0 else {
      throw TensorError(.shape, "fill_", "the value must be a number or a tensor of rank 0, got shape \(value.shape)")
    }
    guard GradMode.isEnabled, try value.feeds() else { return try copy(from: value, "fill") }
    return try writing("fill", uses: .nothing) { destination in
      try value.converted(to: dtype).expand(shape).copied().recorded(
        Filling(dtype: value.dtype, size: shape, by: dtype), destination, value)
    }
  }

  private struct Filling: Operation {
    /// The value's dtype, and the filled tensor's shape and dtype.
    let dtype: DType
    let size: Shape
    let by: DType

    var nodeName: String { "FillBackward3" }

    func gradient(_ c: inout Backward) throws {
      if c.needs(0) { c[0] = try Tensor.zeros(like: c.g) }
      if c.needs(1) { c[1] = try c.g.sum().to(dtype) }
    }

    func apply(_ inputs: [Tensor]) throws -> [Tensor] {
      [try inputs[1].converted(to: by).expand(size).copied().recorded(self, inputs[0], inputs[1])]
    }
  }

  /// Overwrites every element with 0.
  @discardableResult
  public func zero() throws -> Tensor { try copy(from: Tensor.zeros([], dtype: dtype), "zero") }
}

enum Conversion {
  static let list: [TensorOperation] = [
    TensorOperation(
      "clone", "A copy with the same history.", Take.input,
      samples: [[.float(2, 3)], [.float()], [.float(0, 2)]], batching: .broadcast
    ) { x in try .tensor(x.clone()) },
    TensorOperation(
      "contiguous", "The tensor itself when its elements lie in row-major order, else a copy that does.", Take.input,
      forms: .method, samples: [[.float(2, 3)]], batching: .broadcast
    ) { x in try .tensor(x.contiguous()) },
    TensorOperation(
      "copy_", "Overwrites the elements with those of another tensor, broadcast and converted.", Take.input, Take.tensor("source"),
      forms: .method, rejects: [[.float(2, 3), .float(2)]]
    ) { x, source in try .tensor(x.copy(from: source)) },
    TensorOperation(
      "fill_", "Overwrites every element with a number, or with that of a tensor of rank 0.", Take.input, Take.operand("value"),
      forms: .method
    ) { x, value in
      switch value {
      case .number(let number): .tensor(try x.fill(number))
      case .tensor(let value): .tensor(try x.fill(value))
      }
    },
    TensorOperation(
      "zero_", "Overwrites every element with 0.", Take.input,
      forms: .method
    ) { x in
      try .tensor(x.zero())
    },
  ]
}

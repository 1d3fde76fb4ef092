// Making tensors from nothing: filled, counted, from Swift values.

import CKernels

extension Tensor {
  /// A tensor of that shape with every element `value`. Throws for a value outside of the dtype's range.
  public static func full(_ shape: Shape, _ value: Scalar, dtype: DType) throws -> Tensor {
    try filled(shape, value.fitting(dtype, "full"), dtype: dtype)
  }

  /// The same of any value, which whole numbers wrap around for, and floats are infinite.
  package static func filled(_ shape: Shape, _ value: Scalar, dtype: DType) throws -> Tensor {
    let result = try Tensor(uninitialized: shape, dtype)
    var element = value.element(dtype)
    try Kernels.fill(dtype, result.count, &element, into: result.data)
    return result
  }

  /// A tensor of that shape with every element 0.
  public static func zeros(_ shape: Shape, dtype: DType = .defaultFloating) throws -> Tensor {
    try filled(shape, .integer(0), dtype: dtype)
  }

  /// A tensor of that shape with every element 1.
  public static func ones(_ shape: Shape, dtype: DType = .defaultFloating) throws -> Tensor {
    try filled(shape, .integer(1), dtype: dtype)
  }

  package static func zeros(like other: Tensor) throws -> Tensor { try filled(other.shape, .integer(0), dtype: other.dtype) }

  /// A float tensor of those elements in row-major order.
  public convenience init(_ elements: [Double], shape: Shape, dtype: DType = .defaultFloating) throws {
    guard elements.count == shape.count else {
      throw TensorError(.shape, "tensor", "\(elements.count) elements were given for shape \(shape)")
    }
    try self.init(uninitialized: shape, dtype)
    // Numbers that become whole ones are cut off and stay in range; the kernels leave that open.
    if dtype.isFloating {
      try elements.withUnsafeBytes { elements in
        guard let first = elements.baseAddress else { return }
        try Kernels.convert(.float64, dtype, over: mg_loop(shape, layout, layout), UnsafeMutableRawPointer(mutating: first), into: data)
      }
    } else {
      for (position, element) in elements.enumerated() { setElement(position, .real(element)) }
    }
  }

  /// An int64 tensor of those elements.
  public convenience init(_ elements: [Int], shape: Shape? = nil) throws {
    try self.init(uninitialized: shape ?? Shape([elements.count]), .int64)
    guard count == elements.count else {
      throw TensorError(.shape, "tensor", "\(elements.count) elements were given for shape \(self.shape)")
    }
    elements.withUnsafeBytes { if let first = $0.baseAddress { data.copyMemory(from: first, byteCount: $0.count) } }
  }

  /// A vector, `(n)`.
  public convenience init(_ elements: [Double], dtype: DType = .defaultFloating) throws {
    try self.init(elements, shape: Shape([elements.count]), dtype: dtype)
  }

  /// A matrix of those rows, `(rows, columns)`; all rows must be as long as the first.
  public convenience init(_ rows: [[Double]], dtype: DType = .defaultFloating) throws {
    let width = rows.first?.count ?? 0
    for (number, row) in rows.enumerated() where row.count != width {
      throw TensorError(.shape, "tensor", "row \(index: number) has \(row.count) elements, the first has \(width)")
    }
    try self.init(rows.flatMap { $0 }, shape: Shape([rows.count, width]), dtype: dtype)
  }

  /// Writes one element by its row-major position. No bookkeeping: for tensors under construction.
  package func setElement(_ position: Int, _ value: Scalar) {
    var element = value.element(dtype)
    (data + elementOffset(position) * dtype.size).copyMemory(from: &element, byteCount: dtype.size)
  }

  /// One element by its row-major position.
  package func element(_ position: Int) -> Scalar { dtype.element.scalar(at: data + elementOffset(position) * dtype.size) }

  private func elementOffset(_ position: Int) -> Int {
    if isContiguous { return position }
    var rest = position
    var offset = 0
    var dimension = rank - 1
    while dimension >= 0 {
      offset += rest % shape[dimension] * layout.strides[dimension]
      rest /= shape[dimension]
      dimension -= 1
    }
    return offset
  }

  /// The only element.
  public func item() throws -> Scalar {
    guard count == 1 else {
      throw TensorError(.shape, "item", "a tensor of one element is needed, this one has shape \(shape)")
    }
    return element(0)
  }

  /// The only element as a double: `let loss: Double = try loss.item()`, `try x.sum().item() == 10`.
  @_disfavoredOverload
  public func item() throws -> Double {
    let element: Scalar = try item()
    return element.real
  }

  /// All elements in row-major order.
  public var scalars: [Scalar] { (0..<count).map(element) }
  /// All elements in row-major order as doubles.
  public var doubles: [Double] { (try? array(of: Double.self)) ?? (0..<count).map { element($0).real } }

  /// The same where scripts say how many there are, which an expanded tensor has without the memory for them.
  package func checkedDoubles(_ operation: String) throws -> [Double] {
    try Context.checkRoom(for: "a list of \(count) elements needs", operation, count: count, bytesOfEach: MemoryLayout<Double>.stride)
    return doubles
  }

  /// start, start + step, … below end (beyond it for a negative step).
  public static func arange(_ start: Scalar, _ end: Scalar, _ step: Scalar, dtype: DType? = nil) throws -> Tensor {
    guard step.real != 0, !step.real.isNaN else { throw TensorError(.argument, "arange", "the step is \(step.real)") }
    guard start.real.isFinite, end.real.isFinite, step.real.isFinite else {
      throw TensorError(.argument, "arange", "the range \(start.real) to \(end.real) is not finite")
    }
    guard (end.real - start.real) / step.real >= 0 else {
      throw TensorError(
        .argument, "arange", "a step of \(step.real) does not lead from \(start.real) to \(end.real)")
    }
    let whole = [start, end, step].allSatisfy { $0.category == .integer }
    let steps = ((end.real - start.real) / step.real).rounded(.up)
    guard steps < 1e15 else { throw TensorError(.memory, "arange", "\(steps) elements are more than can be addressed") }
    let dtype = dtype ?? (whole ? .int64 : DType.defaultFloating)
    let result = try Tensor(uninitialized: Shape([Int(steps)]), dtype)
    Context.inPieces(result.count) { position in
      result.setElement(
        position,
        whole ? .integer(start.integer &+ Int64(position) &* step.integer) : .real(start.real + Double(position) * step.real))
    }
    try Context.checkStop()
    return result
  }

  /// `count` values evenly spaced from start to end, both included.
  public static func linspace(_ start: Double, _ end: Double, _ count: Int, dtype: DType = .defaultFloating) throws -> Tensor {
    guard count >= 0 else { throw TensorError(.argument, "linspace", "the number of values, \(count), is negative") }
    let result = try Tensor(uninitialized: Shape([count], operation: "linspace"), dtype)
    let end = count == 1 ? start : end
    if dtype == .float32 {
      // PyTorch's arithmetic, in single precision and from both ends.
      let start = Float(start), end = Float(end)
      let step = count > 1 ? (end - start) / Float(count - 1) : 0
      Context.inPieces(count) { position in
        let value =
          position < count / 2
          ? start.addingProduct(step, Float(position)) : end.addingProduct(-step, Float(count - 1 - position))
        result.setElement(position, .real(Double(value)))
      }
      try Context.checkStop()
      return result
    }
    let step = count > 1 ? (end - start) / Double(count - 1) : 0
    Context.inPieces(count) { position in
      let value = position < count / 2 ? start + step * Double(position) : end - step * Double(count - 1 - position)
      result.setElement(position, .real(value))
    }
    try Context.checkStop()
    return result
  }

  /// 1 on the diagonal, else 0; `(rows, columns)`.
  public static func eye(_ rows: Int, _ columns: Int, dtype: DType = .defaultFloating) throws -> Tensor {
    let result = try zeros(Shape([rows, columns], operation: "eye"), dtype: dtype)
    for position in 0..<Swift.min(rows, columns) { result.setElement(position * columns + position, .integer(1)) }
    return result
  }
}

// MARK: Copies outside the graph

extension Tensor {
  /// The elements in `dtype`, outside the graph; this tensor itself when it has it already.
  @inline(__always)
  package func converted(to dtype: DType) throws -> Tensor {
    dtype == self.dtype ? self : try convertedCopy(to: dtype)
  }

  @inline(never)
  package func convertedCopy(to dtype: DType) throws -> Tensor {
    let y = try Tensor(uninitialized: shape, dtype)
    try Kernels.convert(self.dtype, dtype, over: mg_loop(shape, y.layout, layout), data, into: y.data)
    return y
  }

  /// A contiguous copy of the elements, outside the graph.
  package func copied() throws -> Tensor { try convertedCopy(to: dtype) }

  /// This packed int64 tensor as kernels take positions; whoever calls them keeps it.
  var asPlaces: Kernels.Positions { Kernels.Positions(pointer: data, layout: layout) }

  /// The elements one after another in row-major order, outside the graph; this tensor itself when they are.
  @inline(__always)
  package func packed() throws -> Tensor { isContiguous ? self : try convertedCopy(to: dtype) }

  /// Overwrites the elements with `source`'s, broadcast and converted, counting the write. No history.
  package func assign(_ source: Tensor) throws {
    if !storage.restrictions.isEmpty { try checkGuard(by: "copy_") }
    let stretched = source.layout.stretched(to: shape)
    // Overlapping memory is read in full before it is written.
    let source = source.storage === storage && source !== self ? try source.copied() : source
    let layout = source.storage === storage ? stretched : source.layout.stretched(to: shape)
    try Kernels.convert(source.dtype, dtype, over: mg_loop(shape, self.layout, layout), source.data, into: data)
    bumpVersion()
  }
}

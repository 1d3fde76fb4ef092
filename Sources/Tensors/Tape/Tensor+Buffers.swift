// A host's memory and a tensor's: copied in one go each way, looked at in place, or lent.

import CKernels

// MARK: Into tensors

extension Tensor {
  /// A tensor of those elements in row-major order, a vector unless a shape is given. The dtype is that of their type: float32 for
  /// `Float`, int64 for `Int`.
  ///
  /// Throws where the shape has another number of elements, and when memory is short.
  public convenience init<Element: TensorElement>(_ elements: [Element], shape: Shape? = nil) throws {
    try self.init(uninitialized: shape ?? Shape([elements.count]), Element.dtype)
    try elements.withUnsafeBytes { try fill(with: $0) }
  }

  /// The same of a buffer.
  public convenience init<Element: TensorElement>(_ elements: UnsafeBufferPointer<Element>, shape: Shape? = nil) throws {
    try self.init(uninitialized: shape ?? Shape([elements.count]), Element.dtype)
    try fill(with: UnsafeRawBufferPointer(elements))
  }

  /// The same of a span.
  public convenience init<Element: TensorElement>(copying elements: Span<Element>, shape: Shape? = nil) throws {
    try self.init(uninitialized: shape ?? Shape([elements.count]), Element.dtype)
    try elements.withUnsafeBytes { try fill(with: $0) }
  }

  /// A bool tensor of those elements.
  public convenience init(_ elements: [Bool], shape: Shape? = nil) throws {
    try self.init(uninitialized: shape ?? Shape([elements.count]), .bool)
    // A Bool of Swift's is a byte that is 0 or 1.
    try elements.withUnsafeBytes { try fill(with: $0) }
  }

  /// A tensor of elements as they lie in memory, in row-major order and the machine's byte order: what a file, or Foundation's `Data`,
  /// holds. Of bool elements, all bytes but 0 are true.
  ///
  /// ```swift
  /// let pixels = try Tensor(bytes: data, shape: [28, 28], dtype: .uint8)
  /// ```
  ///
  /// Throws where there are more or fewer bytes than the shape needs, and when memory is short.
  public convenience init(bytes: some Collection<UInt8>, shape: Shape, dtype: DType) throws {
    try self.init(uninitialized: shape, dtype)
    let copied: Void? = try bytes.withContiguousStorageIfAvailable { try fill(with: UnsafeRawBufferPointer($0)) }
    if copied == nil { try Array(bytes).withUnsafeBytes { try fill(with: $0) } }
    guard dtype == .bool else { return }
    let truths = UnsafeMutableBufferPointer(start: data.assumingMemoryBound(to: UInt8.self), count: count)
    for place in truths.indices where truths[place] > 1 { truths[place] = 1 }
  }

  /// For tensors under construction.
  private func fill(with bytes: UnsafeRawBufferPointer) throws {
    guard bytes.count == count * dtype.size else {
      throw TensorError(
        .shape, "tensor",
        "\(bytes.count) bytes were given for shape \(shape) of \(dtype), which has \(count) elements of \(dtype.size) bytes")
    }
    if let first = bytes.baseAddress { data.copyMemory(from: first, byteCount: bytes.count) }
  }

  /// A tensor whose elements are memory of the host's, in row-major order, without a copy: writes of either side are seen by the
  /// other, those of the host unnoticed by saved values. It does not count against any limit.
  ///
  /// `deallocator` runs once, when nothing of the library's has the memory any more, on whatever thread lets go last; it must not use
  /// tensors. Where this initialiser throws, for another number of bytes than the shape needs, or a place where no element may lie, it
  /// does not run.
  public convenience init(
    borrowing memory: UnsafeMutableRawBufferPointer, shape: Shape, dtype: DType, deallocator: @escaping () -> Void
  ) throws {
    guard memory.count == shape.count * dtype.size else {
      throw TensorError(
        .shape, "tensor",
        "\(memory.count) bytes were lent for shape \(shape) of \(dtype), which has \(shape.count) elements of \(dtype.size) bytes")
    }
    guard let first = memory.baseAddress, Int(bitPattern: first) % dtype.size == 0 else {
      throw TensorError(.argument, "tensor", "no element of \(dtype) may lie at the address that was lent")
    }
    self.init(borrowing: first, shape, dtype, of: Lender(deallocator))
  }

  private final class Lender {
    private let end: () -> Void
    init(_ end: @escaping () -> Void) { self.end = end }
    deinit { end() }
  }
}

// MARK: Out of tensors

extension Tensor {
  /// All elements in row-major order, in one copy. Whole numbers may be read as a type that has them all, and every number as a float,
  /// rounded; others are an error, which names the conversion.
  public func array<Element: TensorElement>(of type: Element.Type = Element.self) throws -> [Element] {
    guard dtype.isReadable(as: Element.dtype) else { throw unreadable(as: Element.dtype, "array") }
    try Context.checkRoom(
      for: "an array of \(count) elements needs", "array", count: count, bytesOfEach: MemoryLayout<Element>.stride)
    return try [Element](unsafeUninitializedCapacity: count) { room, filled in
      if let first = room.baseAddress, count > 0 {
        try Kernels.convert(dtype, Element.dtype, over: mg_loop(shape, Layout(shape), layout), data, into: UnsafeMutableRawPointer(first))
      }
      filled = count
    }
  }

  /// All elements of a bool tensor in row-major order; of others, whether they are not 0.
  public var booleans: [Bool] { (0..<count).map { element($0).real != 0 } }

  /// All elements in row-major order as whole numbers: labels, positions, what `argmax` gives. Of floats the fractions are cut off, NaN
  /// is 0, and what an `Int` cannot hold is its largest or smallest; `array(of: Int.self)` refuses them instead.
  ///
  /// Labels and positions count from 0, as everywhere in Swift. A script sees the same tensor, whose numbers nothing converts.
  public var integers: [Int] { (try? array(of: Int.self)) ?? (0..<count).map { Int(element($0).integer) } }

  private func unreadable(as other: DType, _ operation: String) -> TensorError {
    TensorError(.dtype, operation, "elements of \(dtype) cannot be read as \(other); convert them with to(.\(other)) first")
  }

  /// Calls `body` with the elements' bytes in row-major order: in place where they lie so, else in a copy.
  public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
    let packed = try packed()
    return try withExtendedLifetime(packed.storage) {
      try body(UnsafeRawBufferPointer(start: packed.data, count: packed.count * dtype.size))
    }
  }

  /// Calls `body` with the elements in row-major order: in place where they lie so, else in a copy. Throws unless the dtype is the type's.
  ///
  /// ```swift
  /// let largest = try weights.withSpan(of: Float.self) { span in span.indices.map { span[$0] }.max() }
  /// ```
  public func withSpan<Element: TensorElement, Result>(
    of type: Element.Type, _ body: (Span<Element>) throws -> Result
  ) throws -> Result {
    guard dtype == Element.dtype else { throw unreadable(as: Element.dtype, "withSpan") }
    return try withUnsafeBytes { try body(Span(_unsafeElements: $0.assumingMemoryBound(to: Element.self))) }
  }

  /// Calls `body` with the elements' bytes in row-major order, to be written to: in place where they lie so, else in a copy that is written
  /// back.
  ///
  /// It is a write in place like any other: it counts, whether `body` throws or not, so that a backward that needs the old elements
  /// raises, and it is refused for what a guard holds. What gradients flow to cannot be written to so while they are recorded: use
  /// ``withNoGrad(_:)``.
  public func withUnsafeMutableBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) throws -> Result) throws -> Result {
    try checkWritable(by: "withUnsafeMutableBytes")
    guard try !(GradMode.isEnabled && requiresGrad || TangentLevels.areInForce && !tangents.isEmpty) else {
      throw TensorError(
        .autograd, "withUnsafeMutableBytes",
        "what gradients flow to cannot be written to byte by byte while they are recorded; use withNoGrad, or its detach()")
    }
    guard !isContiguous else {
      defer { bumpVersion() }
      return try withExtendedLifetime(storage) { try body(UnsafeMutableRawBufferPointer(start: data, count: count * dtype.size)) }
    }
    let copy = try copied()
    let result = try body(UnsafeMutableRawBufferPointer(start: copy.data, count: copy.count * dtype.size))
    try assign(copy)
    return result
  }

  /// The same with the elements, as a span. Throws unless the dtype is the type's.
  public func withMutableSpan<Element: TensorElement, Result>(
    of type: Element.Type, _ body: (inout MutableSpan<Element>) throws -> Result
  ) throws -> Result {
    guard dtype == Element.dtype else { throw unreadable(as: Element.dtype, "withMutableSpan") }
    return try withUnsafeMutableBytes { bytes in
      var span = MutableSpan(_unsafeElements: bytes.assumingMemoryBound(to: Element.self))
      return try body(&span)
    }
  }
}

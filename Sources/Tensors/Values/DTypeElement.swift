// The Swift types of elements: how one is read and written, and how those that are only stored are widened.

/// An element as it lies in memory.
package protocol DTypeElement: BitwiseCopyable {
  var scalar: Scalar { get }
  init(_ scalar: Scalar)
}

extension DTypeElement {
  package static func scalar(at address: UnsafeRawPointer) -> Scalar { address.load(as: Self.self).scalar }
  package static func store(_ scalar: Scalar, in element: inout Element) { element.store(Self(scalar)) }
}

extension Float: DTypeElement {
  package var scalar: Scalar { .real(Double(self)) }
  package init(_ scalar: Scalar) { self = Float(scalar.real) }
}

extension Double: DTypeElement {
  package var scalar: Scalar { .real(self) }
  package init(_ scalar: Scalar) { self = scalar.real }
}

extension Int64: DTypeElement {
  package var scalar: Scalar { .integer(self) }
  package init(_ scalar: Scalar) { self = scalar.integer }
}

extension Int32: DTypeElement {
  package var scalar: Scalar { .integer(Int64(self)) }
  package init(_ scalar: Scalar) { self.init(truncatingIfNeeded: scalar.integer) }
}

extension UInt8: DTypeElement {
  package var scalar: Scalar { .integer(Int64(self)) }
  package init(_ scalar: Scalar) { self.init(truncatingIfNeeded: scalar.integer) }
}

/// A byte that is 0 or 1.
package struct Truth: DTypeElement {
  private let byte: UInt8
  package var scalar: Scalar { .boolean(byte != 0) }
  package init(_ scalar: Scalar) { byte = scalar.real != 0 ? 1 : 0 }
}

// MARK: Stored only

/// An element that is computed with in float32.
protocol StoredElement: DTypeElement {
  /// Rounds to the nearest, to even in the middle.
  init(rounding value: Float)
  var widened: Float { get }
}

extension StoredElement {
  package var scalar: Scalar { .real(Double(widened)) }
  // By way of float32, as PyTorch converts a double too.
  package init(_ scalar: Scalar) { self.init(rounding: Float(scalar.real)) }

  static func widen(_ count: Int, _ source: UnsafeRawPointer, into target: UnsafeMutablePointer<Float>) {
    let source = source.assumingMemoryBound(to: Self.self)
    for position in 0..<count { target[position] = source[position].widened }
  }

  static func narrow(_ count: Int, _ source: UnsafePointer<Float>, into target: UnsafeMutableRawPointer) {
    let target = target.assumingMemoryBound(to: Self.self)
    for position in 0..<count { target[position] = Self(rounding: source[position]) }
  }
}

extension Float16: StoredElement {
  init(rounding value: Float) { self.init(value) }
  var widened: Float { Float(self) }
}

/// The upper half of a float32.
package struct BrainFloat16: StoredElement {
  private let bits: UInt16

  init(rounding value: Float) {
    let word = value.bitPattern
    bits = value.isNaN ? 0x7fc0 : UInt16(truncatingIfNeeded: (word &+ 0x7fff &+ (word >> 16 & 1)) >> 16)
  }

  var widened: Float { Float(bitPattern: UInt32(bits) << 16) }
}

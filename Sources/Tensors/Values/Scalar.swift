// Plain numbers beside tensors, and elements one by one.

/// A plain number next to a tensor: it takes part in promotion by its kind only, never by its width.
public enum Scalar: Sendable, Equatable, CustomStringConvertible {
  /// A whole number.
  case integer(Int64)
  /// Any other number.
  case real(Double)
  /// A truth value.
  case boolean(Bool)

  /// The number as Swift prints it.
  public var description: String {
    switch self {
    case .integer(let value): "\(value)"
    case .real(let value): "\(value)"
    case .boolean(let value): "\(value)"
    }
  }

  /// The number as a float; 1 and 0 for true and false.
  public var real: Double {
    switch self {
    case .integer(let value): Double(value)
    case .real(let value): value
    case .boolean(let value): value ? 1 : 0
    }
  }

  package var category: DType.Category {
    switch self {
    case .integer: .integer
    case .real: .floating
    case .boolean: .boolean
    }
  }

  /// The number as one element of `dtype`: floats become integers by truncation, saturating.
  @inline(__always)
  package func element(_ dtype: DType) -> Element {
    var element = Element()
    switch dtype {
    case .float32: element.store(Float(real))
    case .float64: element.store(real)
    default: dtype.element.store(self, in: &element)
    }
    return element
  }

  /// The number, if `dtype` has it, fractions aside; throws where it is outside of the dtype's range, as PyTorch does. (It
  /// lets numbers below zero wrap around in uint8, and those too large for float16 be infinite.)
  package func fitting(_ dtype: DType, _ operation: String) throws -> Scalar {
    if fits(dtype) { return self }
    throw TensorError(.domain, operation, "\(self) lies outside of the range of \(dtype)")
  }

  private func fits(_ dtype: DType) -> Bool {
    switch dtype.category {
    case .boolean: return true
    case .floating: return dtype != .float32 || !real.isFinite || real.magnitude <= Double(Float.greatestFiniteMagnitude)
    case .integer:
      func isExact(_ value: Scalar) -> Bool { value.element(dtype).scalar(dtype).real == value.real.rounded(.towardZero) }
      return isExact(self) || dtype == .uint8 && integer < 0 && integer > .min && isExact(.integer(-integer))
    }
  }

  package var integer: Int64 {
    switch self {
    case .integer(let value): return value
    case .boolean(let value): return value ? 1 : 0
    case .real(let value):
      if value.isNaN { return 0 }
      return value >= 9.2233720368547758e18 ? .max : value <= -9.2233720368547758e18 ? .min : Int64(value)
    }
  }
}

/// Room for one element of any dtype.
package struct Element {
  private var bits: UInt64 = 0
  package init() {}

  package mutating func store<T: BitwiseCopyable>(_ value: T) {
    withUnsafeMutableBytes(of: &bits) { $0.storeBytes(of: value, as: T.self) }
  }

  package func load<T: BitwiseCopyable>(_ type: T.Type) -> T {
    withUnsafeBytes(of: bits) { $0.loadUnaligned(as: T.self) }
  }

  package func scalar(_ dtype: DType) -> Scalar { withUnsafeBytes(of: bits) { dtype.element.scalar(at: $0.baseAddress!) } }
}

// Element types and PyTorch's rules for combining them.

import CKernels

/// The type of a tensor's elements.
public enum DType: UInt8, CaseIterable, Sendable, CustomStringConvertible {
  case float32 = 0
  case float64, int64, int32, uint8, bool

  /// Bytes per element.
  @inline(__always)
  public var size: Int {
    switch self {
    case .float32, .int32: 4
    case .float64, .int64: 8
    case .uint8, .bool: 1
    }
  }

  @inline(__always)
  public var isFloating: Bool { rawValue <= 1 }

  public var description: String {
    switch self {
    case .float32: "float32"
    case .float64: "float64"
    case .int64: "int64"
    case .int32: "int32"
    case .uint8: "uint8"
    case .bool: "bool"
    }
  }

  /// The type of that name, or an error that lists the names there are.
  public init(named name: String) throws {
    guard let found = DType.allCases.first(where: { $0.description == name }) else {
      throw TensorError(
        .dtype, "dtype", "unknown dtype '\(name)'; there are \(DType.allCases.map(\.description).joined(separator: ", "))")
    }
    self = found
  }

  @inline(__always)
  package var kernel: mg_dtype { mg_dtype(rawValue: UInt32(rawValue)) }

  /// Order of kinds in promotion: a kind beats every lower one whatever the widths.
  package enum Category: Int, Comparable {
    case boolean, integer, floating
    package static func < (a: Category, b: Category) -> Bool { a.rawValue < b.rawValue }
  }

  package var category: Category {
    isFloating ? .floating : self == .bool ? .boolean : .integer
  }

  /// The type that holds values of both, as `torch.promote_types`.
  public static func promoted(_ a: DType, _ b: DType) -> DType {
    if a == b { return a }
    if a.category != b.category { return a.category > b.category ? a : b }
    switch a.category {
    case .floating: return .float64
    case .integer: return a == .int64 || b == .int64 ? .int64 : .int32
    case .boolean: return .bool
    }
  }
}

/// A plain number next to a tensor: it takes part in promotion by its kind only, never by its width.
public enum Scalar: Sendable, Equatable {
  case integer(Int64)
  case real(Double)
  case boolean(Bool)

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
  package func element(_ dtype: DType) -> Element {
    var element = Element()
    switch dtype {
    case .float32: element.store(Float(real))
    case .float64: element.store(real)
    case .int64: element.store(integer)
    case .int32: element.store(Int32(truncatingIfNeeded: integer))
    case .uint8: element.store(UInt8(truncatingIfNeeded: integer))
    case .bool: element.store(UInt8(real != 0 ? 1 : 0))
    }
    return element
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

  package func scalar(_ dtype: DType) -> Scalar {
    switch dtype {
    case .float32: .real(Double(load(Float.self)))
    case .float64: .real(load(Double.self))
    case .int64: .integer(load(Int64.self))
    case .int32: .integer(Int64(load(Int32.self)))
    case .uint8: .integer(Int64(load(UInt8.self)))
    case .bool: .boolean(load(UInt8.self) != 0)
    }
  }
}

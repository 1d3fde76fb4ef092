// Element types: a row of facts for each, PyTorch's rules for combining them, and the Swift types of elements: how one is
// read and written, and how those that are only stored are widened.

import CKernels

/// The type of a tensor's elements.
public enum DType: UInt8, CaseIterable, Sendable, CustomStringConvertible {
  /// IEEE 754 binary32.
  case float32 = 0
  /// IEEE 754 binary64.
  case float64
  /// Whole numbers from −2⁶³ to 2⁶³ − 1.
  case int64
  /// Whole numbers from −2³¹ to 2³¹ − 1.
  case int32
  /// Whole numbers from 0 to 255.
  case uint8
  /// True or false, a byte each.
  case bool
  /// IEEE 754 binary16, computed in float32.
  case float16
  /// The upper half of a float32, computed in float32.
  case bfloat16
  /// Whole numbers from −32,768 to 32,767.
  case int16
  /// Whole numbers from −128 to 127.
  case int8

  /// What there is to know of each dtype. To add one is to add a case above, its row here, and the type of its elements.
  @inline(__always)
  private var row: Row {
    switch self {
    case .float32: Row("float32", "float", Float.self, .floating, width: 2, MG_F32, numPy: "<f4")
    case .float64: Row("float64", "double", Double.self, .floating, width: 3, MG_F64, numPy: "<f8")
    case .int64: Row("int64", "long", Int64.self, .integer, width: 4, MG_I64, numPy: "<i8")
    case .int32: Row("int32", "int", Int32.self, .integer, width: 3, MG_I32, numPy: "<i4")
    case .uint8: Row("uint8", "byte", UInt8.self, .integer, width: 1, MG_U8, numPy: "|u1")
    case .bool: Row("bool", "bool", Truth.self, .boolean, width: 1, MG_BOOL, numPy: "|b1")
    case .float16: Row("float16", "half", Float16.self, .floating, width: 1, MG_WORD, computing: .float32, numPy: "<f2")
    case .bfloat16: Row("bfloat16", "bfloat16", BrainFloat16.self, .floating, width: 1, MG_WORD, computing: .float32)
    case .int16: Row("int16", "short", Int16.self, .integer, width: 2, MG_WORD, computing: .int32, numPy: "<i2")
    case .int8: Row("int8", "char", Int8.self, .integer, width: 1, MG_U8, computing: .int32, numPy: "|i1")
    }
  }

  private struct Row {
    // Static: a row is made wherever one fact of it is wanted, which must cost nothing.
    let name: StaticString
    /// PyTorch's name for the method that converts to it.
    let short: StaticString
    let element: any DTypeElement.Type
    let size: Int
    let category: Category
    /// The order within the category; of two with one width, neither holds the other's values.
    let width: Int
    /// The kernels' name for it. For a dtype that only stores elements, one that moves such elements.
    let code: mg_dtype
    /// What the elements are computed in; nil for themselves.
    let computing: DType?
    /// NumPy's name for it, if it has one.
    let numPy: StaticString?

    @inline(__always)
    init<Element: DTypeElement>(
      _ name: StaticString, _ short: StaticString, _ element: Element.Type, _ category: Category, width: Int, _ code: mg_dtype,
      computing: DType? = nil, numPy: StaticString? = nil
    ) {
      (self.name, self.short, self.category, self.width, self.code) = (name, short, category, width, code)
      (self.computing, self.numPy) = (computing, numPy)
      self.element = element
      size = MemoryLayout<Element>.size
    }
  }

  /// Bytes per element.
  @inline(__always)
  public var size: Int { row.size }

  /// Whether it is a float dtype, the only ones that have gradients.
  @inline(__always)
  public var isFloating: Bool { row.category == .floating }

  /// Its name: `float32`.
  public var description: String { "\(row.name)" }

  /// What the method is called that converts to it: `float`, `long`.
  package var shortName: String { "\(row.short)" }

  @inline(__always)
  package var code: mg_dtype { row.code }

  /// The dtype in which kernels compute: its own, or a wider one where this dtype only stores elements.
  @inline(__always)
  package var computing: DType { row.computing ?? self }

  /// Whether kernels are given its elements in a wider dtype, and their results are rounded to it.
  @inline(__always)
  package var isOnlyStored: Bool { row.computing != nil }

  /// What NumPy's files call it; nil where NumPy has no such elements.
  package var numPyName: String? { row.numPy.map { "\($0)" } }

  /// The elements' Swift type.
  package var element: any DTypeElement.Type { row.element }

  /// The type of that name, or an error that lists the names there are.
  public init(named name: String) throws {
    guard let found = DType.allCases.first(where: { $0.description == name }) else {
      guard !name.hasPrefix("complex") else {
        throw TensorError(.dtype, "dtype", "\(name): there are no complex numbers; keep real and imaginary parts in a dimension of size 2")
      }
      throw TensorError(
        .dtype, "dtype", "unknown dtype '\(name)'; there are \(DType.allCases.map(\.description).joined(separator: ", "))")
    }
    self = found
  }

  /// Order of kinds in promotion: a kind beats every lower one whatever the widths.
  package enum Category: Int, Comparable {
    case boolean
    case integer
    case floating
    package static func < (a: Category, b: Category) -> Bool { a.rawValue < b.rawValue }
  }

  @inline(__always)
  package var category: Category { row.category }

  /// The type that holds values of both, as `torch.promote_types`.
  public static func promoted(_ a: DType, _ b: DType) -> DType {
    if a == b { return a }
    if a.category != b.category { return a.category > b.category ? a : b }
    if a.row.width != b.row.width { return a.row.width > b.row.width ? a : b }
    // float16 has the digits and bfloat16 the range.
    return allCases.first { $0.category == a.category && $0.row.width == a.row.width + 1 } ?? a
  }
}

// MARK: Elements

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

/// An element that is computed with in a wider type, which holds all its values.
protocol StoredElement: DTypeElement {
  /// The elements of the row's `computing`.
  associatedtype Wide: DTypeElement
  /// The element for a result: floats are rounded to the nearest, to even in the middle, and whole numbers wrap around.
  init(narrowing value: Wide)
  var widened: Wide { get }
}

extension StoredElement {
  package var scalar: Scalar { widened.scalar }
  // By way of the wider one, as PyTorch converts a double too.
  package init(_ scalar: Scalar) { self.init(narrowing: Wide(scalar)) }

  static func widen(_ count: Int, _ source: UnsafeRawPointer, into target: UnsafeMutableRawPointer) {
    let (source, target) = (source.assumingMemoryBound(to: Self.self), target.assumingMemoryBound(to: Wide.self))
    for position in 0..<count { target[position] = source[position].widened }
  }

  static func narrow(_ count: Int, _ source: UnsafeRawPointer, into target: UnsafeMutableRawPointer) {
    let (source, target) = (source.assumingMemoryBound(to: Wide.self), target.assumingMemoryBound(to: Self.self))
    for position in 0..<count { target[position] = Self(narrowing: source[position]) }
  }
}

extension Int8: StoredElement {
  init(narrowing value: Int32) { self.init(truncatingIfNeeded: value) }
  var widened: Int32 { Int32(self) }
}

extension Int16: StoredElement {
  init(narrowing value: Int32) { self.init(truncatingIfNeeded: value) }
  var widened: Int32 { Int32(self) }
}

extension Float16: StoredElement {
  init(narrowing value: Float) { self.init(value) }
  var widened: Float { Float(self) }
}

/// The upper half of a float32.
package struct BrainFloat16: StoredElement {
  private let bits: UInt16

  init(narrowing value: Float) {
    let word = value.bitPattern
    bits = value.isNaN ? 0x7fc0 : UInt16(truncatingIfNeeded: (word &+ 0x7fff &+ (word >> 16 & 1)) >> 16)
  }

  var widened: Float { Float(bitPattern: UInt32(bits) << 16) }
}

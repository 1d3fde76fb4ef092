// Element types: a row of facts for each, and PyTorch's rules for combining them.

import CKernels

/// The type of a tensor's elements.
public enum DType: UInt8, CaseIterable, Sendable, CustomStringConvertible {
  case float32 = 0
  case float64, int64, int32, uint8, bool, float16, bfloat16

  /// What there is to know of each dtype. To add one is to add a case above, its row here, and the type of its elements.
  @inline(__always)
  private var row: Row {
    switch self {
    case .float32: Row("float32", Float.self, .floating, width: 2, MG_F32, numPy: "<f4")
    case .float64: Row("float64", Double.self, .floating, width: 3, MG_F64, numPy: "<f8")
    case .int64: Row("int64", Int64.self, .integer, width: 3, MG_I64, numPy: "<i8")
    case .int32: Row("int32", Int32.self, .integer, width: 2, MG_I32, numPy: "<i4")
    case .uint8: Row("uint8", UInt8.self, .integer, width: 1, MG_U8, numPy: "|u1")
    case .bool: Row("bool", Truth.self, .boolean, width: 1, MG_BOOL, numPy: "|b1")
    case .float16: Row("float16", Float16.self, .floating, width: 1, MG_WORD, computing: .float32, numPy: "<f2")
    case .bfloat16: Row("bfloat16", BrainFloat16.self, .floating, width: 1, MG_WORD, computing: .float32)
    }
  }

  private struct Row {
    // Static: a row is made wherever one fact of it is wanted, which must cost nothing.
    let name: StaticString
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
      _ name: StaticString, _ element: Element.Type, _ category: Category, width: Int, _ code: mg_dtype, computing: DType? = nil,
      numPy: StaticString? = nil
    ) {
      (self.name, self.category, self.width, self.code, self.computing, self.numPy) = (name, category, width, code, computing, numPy)
      self.element = element
      size = MemoryLayout<Element>.size
    }
  }

  /// Bytes per element.
  @inline(__always)
  public var size: Int { row.size }

  @inline(__always)
  public var isFloating: Bool { row.category == .floating }

  public var description: String { "\(row.name)" }

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

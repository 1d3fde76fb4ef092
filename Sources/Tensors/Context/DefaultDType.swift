// The dtype of plain numbers.

extension DType {
  /// The type of numbers without a dtype of their own, in the context in force; floats made from Lua numbers start here.
  public static var defaultFloating: DType {
    get { Context.current.pointee.defaultFloating }
    set { Context.current.pointee.defaultFloating = newValue }
  }
}

extension Scalar {
  /// The dtype of the number alone, and of its combination with a tensor of `other`.
  package var ownDType: DType {
    switch self {
    case .integer: .int64
    case .real: DType.defaultFloating
    case .boolean: .bool
    }
  }

  @inline(__always)
  package func promoted(with other: DType) -> DType {
    category <= other.category ? other : ownDType
  }
}

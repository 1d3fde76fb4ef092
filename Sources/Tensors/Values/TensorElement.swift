// The Swift types that hosts give elements in and take them out as.

/// A number as it lies in a tensor's memory: `Float` is float32, `Int` is int64, and so on.
///
/// `Bool` is none, since not every byte is one; see ``Tensor/init(_:shape:)-(Bool,_)`` and ``Tensor/booleans``.
public protocol TensorElement: BitwiseCopyable {
  /// The dtype of tensors with such elements.
  static var dtype: DType { get }
}

extension Float: TensorElement { public static var dtype: DType { .float32 } }
extension Double: TensorElement { public static var dtype: DType { .float64 } }
extension Int: TensorElement { public static var dtype: DType { .int64 } }
extension Int64: TensorElement { public static var dtype: DType { .int64 } }
extension Int32: TensorElement { public static var dtype: DType { .int32 } }
extension Int16: TensorElement { public static var dtype: DType { .int16 } }
extension Int8: TensorElement { public static var dtype: DType { .int8 } }
extension UInt8: TensorElement { public static var dtype: DType { .uint8 } }
extension Float16: TensorElement { public static var dtype: DType { .float16 } }

extension DType {
  /// Whether values of this dtype can be read as another's: every number as a float, rounded; whole numbers as a type that has them all.
  func isReadable(as other: DType) -> Bool { other.isFloating || DType.promoted(self, other) == other }
}

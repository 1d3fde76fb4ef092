// Tensors in Codable values.

import Tensors

/// A tensor is coded into Lua's values, as itself: a `Codable` type may have tensors among its properties, and both sides share them.
///
/// Other encoders and decoders, such as JSON's, have no form for it, and throw; `Checkpoint` saves tensors to files.
extension Tensor: Codable, TensorReplacing {
  /// The tensor that a script has. Throws in all decoders but ``LuaDecoder``.
  public convenience init(from decoder: any Decoder) throws {
    guard let decoder = decoder as? TableDecoder else {
      throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: Tensor.refusal))
    }
    self.init(replacedBy: try decoder.singleValueContainer().decode(Tensor.self))
  }

  /// The tensor itself. Throws in all encoders but ``LuaEncoder``.
  public func encode(to encoder: any Encoder) throws {
    guard let encoder = encoder as? TableEncoder else {
      throw EncodingError.invalidValue(self, .init(codingPath: encoder.codingPath, debugDescription: Tensor.refusal))
    }
    encoder.content = .value(luaValue)
  }

  private static var refusal: String { "tensors are coded into Lua's values only; Checkpoint saves them to files" }
}

/// An initializer of a class cannot give an object that is there already, but one of a protocol can.
private protocol TensorReplacing {}

extension TensorReplacing {
  fileprivate init(replacedBy other: Self) { self = other }
}

// Where in a value coding stands, and how the errors of Codable become this library's.

import LuaRuntime

/// A list's position, or what a class keeps for its superclass.
struct PlaceKey: CodingKey {
  let stringValue: String
  let intValue: Int?
  /// Counted from 0, as everywhere in Swift.
  init(index: Int) { (stringValue, intValue) = ("\(index)", index) }
  init?(intValue: Int) { self.init(index: intValue) }
  init(stringValue: String) { (self.stringValue, intValue) = (stringValue, nil) }
  static let `super` = PlaceKey(stringValue: "super")
}

extension CodingKey {
  /// The key in Lua: its name; but the values of an enumeration's case that have no label, `_0`, `_1` …, count from 1.
  var luaKey: LuaValue {
    if let position { return .integer(position) }
    return .string(stringValue)
  }

  private var position: Int? {
    var text = stringValue.utf8[...]
    guard text.count <= 4, text.popFirst() == UInt8(ascii: "_"), text.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return nil }
    return Int(stringValue.dropFirst()).map { $0 + 1 }
  }

  fileprivate var step: ConversionFailure.Step {
    if let place = self as? PlaceKey, let index = place.intValue { return .index(index + 1) }
    return position.map { .index($0) } ?? .field(stringValue)
  }
}

extension ConversionFailure {
  /// What Codable's errors say, in this library's words. Others go through as they are.
  static func translating<Result>(_ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as DecodingError {
      switch error {
      case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
        throw failure(context.codingPath, context.debugDescription, context.underlyingError)
      case .keyNotFound(let key, let context):
        throw failure(context.codingPath + [key], context.debugDescription, context.underlyingError)
      @unknown default: throw ConversionFailure(reason: "\(error)")
      }
    } catch let error as EncodingError {
      guard case .invalidValue(_, let context) = error else { throw ConversionFailure(reason: "\(error)") }
      throw failure(context.codingPath, context.debugDescription, context.underlyingError)
    }
  }

  private static func failure(_ path: [any CodingKey], _ text: String, _ inner: (any Error)?) -> ConversionFailure {
    let steps = path.reversed().map(\.step)
    guard var inner = inner as? ConversionFailure else { return ConversionFailure(reason: text, path: steps) }
    inner.path += steps
    return inner
  }
}

// Values that cross between Swift and scripts.

import LuaRuntime

/// A type whose values cross between Swift and Lua.
///
/// The package conforms numbers, strings, booleans, optionals, arrays, dictionaries, tensors, modules, functions and
/// tables; `import MoongradFoundation` does Foundation's `Data`, `Date` and `URL`. A `Codable` type crosses by saying so, see
/// ``LuaCodable``. Any other is made of those:
///
/// ```swift
/// extension Config: LuaConvertible {
///   static func decode(_ source: LuaSource) throws -> Config {
///     Config(rate: try source.field("rate"), layers: try source.field("layers"))
///   }
///   var luaValue: LuaValue { get throws { .record(["rate": try rate.luaValue, "layers": try layers.luaValue]) } }
/// }
/// ```
public protocol LuaConvertible {
  /// What messages call the type: `integer`.
  static var luaName: String { get }
  /// Reads a Lua value; throws `source.mismatch(…)` when it is of another type.
  static func decode(_ source: LuaSource) throws -> Self
  /// The Lua value. Tables and functions made from Swift values are new ones at every use.
  var luaValue: LuaValue { get throws }
}

/// Any Lua value in the host's hands.
public typealias LuaValue = LuaRuntime.Value
/// Numbers that cross all together.
public typealias NumberList = LuaRuntime.NumberList

extension LuaConvertible {
  /// The Swift type's name.
  public static var luaName: String { String(describing: Self.self) }
}

/// A Lua value on its way to a Swift type. Valid during the conversion only.
public struct LuaSource {
  package let slot: Slot
  let session: Session

  init(_ slot: Slot, _ session: Session) {
    self.slot = slot
    self.session = session
  }

  /// The type that the value has in Lua.
  public var type: LuaType { slot.type }

  /// The value as another type.
  public func convert<T: LuaConvertible>(to type: T.Type = T.self) throws -> T { try T.decode(self) }

  /// The field of a table, read without metamethods.
  public func field<T: LuaConvertible>(_ name: String, as type: T.Type = T.self) throws -> T {
    guard slot.type == .table else { throw mismatch("table") }
    return try session.deeper {
      try slot.withField(name) { field in
        try ConversionFailure.at(.field(name)) { try T.decode(LuaSource(field, session)) }
      }
    }
  }

  /// The error for a value that is not what was expected, in a word: `integer`.
  public func mismatch(_ expected: String) -> any Error { ConversionFailure(expected: expected, found: found) }

  /// The same where the type of what came says too little.
  package func mismatch(_ expected: String, found: String) -> any Error { ConversionFailure(expected: expected, found: found) }

  /// What came, in a word; numbers as they are.
  var found: String {
    if let number = slot.number { return slot.isInteger ? String(slot.integer ?? 0) : "\(number)" }
    return slot.typeName
  }
}

/// The types of Lua values.
public typealias LuaType = LuaRuntime.LuaType

extension String {
  /// Whether Lua would take it for a name.
  var isIdentifier: Bool {
    guard let first = utf8.first, first == UInt8(ascii: "_") || first.isLetter else { return false }
    return utf8.allSatisfy { $0 == UInt8(ascii: "_") || $0.isLetter || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }
}

extension UInt8 {
  fileprivate var isLetter: Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20)
  }
}

// Numbers, booleans, strings, optionals, dictionaries.

import LuaRuntime

extension LuaConvertible where Self: FixedWidthInteger {
  /// `integer`.
  public static var luaName: String { "integer" }

  /// Floats with a whole value are integers too, as everywhere in Lua; strings are not.
  public static func decode(_ source: LuaSource) throws -> Self {
    guard let integer = source.slot.integer else { throw source.mismatch("integer") }
    guard let value = Self(exactly: integer) else { throw source.mismatch("integer from \(min) to \(max)") }
    return value
  }

  /// An integer. Throws for one that does not fit Lua's 64 bits.
  public var luaValue: LuaValue {
    get throws {
      guard let integer = Int(exactly: self) else { throw ConversionFailure(reason: "\(self) is too large for an integer of Lua") }
      return .integer(integer)
    }
  }
}

extension Int: LuaConvertible {}
extension Int8: LuaConvertible {}
extension Int16: LuaConvertible {}
extension Int32: LuaConvertible {}
extension Int64: LuaConvertible {}
extension UInt: LuaConvertible {}
extension UInt8: LuaConvertible {}
extension UInt16: LuaConvertible {}
extension UInt32: LuaConvertible {}
extension UInt64: LuaConvertible {}

extension LuaConvertible where Self: BinaryFloatingPoint {
  /// `number`.
  public static var luaName: String { "number" }

  /// Integers are numbers too; strings are not. Rounds to the type's precision.
  public static func decode(_ source: LuaSource) throws -> Self {
    guard let number = source.slot.number else { throw source.mismatch("number") }
    return Self(number)
  }

  /// A float, also where the value is whole.
  public var luaValue: LuaValue { get throws { .number(Double(self)) } }
}

extension Double: LuaConvertible {}
extension Float: LuaConvertible {}

extension Bool: LuaConvertible {
  /// `boolean`.
  public static var luaName: String { "boolean" }

  /// true or false; nil and other values are neither.
  public static func decode(_ source: LuaSource) throws -> Bool {
    guard let flag = source.slot.boolean else { throw source.mismatch("boolean") }
    return flag
  }

  /// true or false.
  public var luaValue: LuaValue { .boolean(self) }
}

extension String: LuaConvertible {
  /// `string`.
  public static var luaName: String { "string" }

  /// Text in UTF-8; other bytes are read as `[UInt8]`.
  public static func decode(_ source: LuaSource) throws -> String {
    guard source.slot.type == .string else { throw source.mismatch("string") }
    guard let text = source.slot.withBytes({ String(validating: $0, as: UTF8.self) }) ?? nil else {
      throw ConversionFailure(expected: "text in UTF-8", found: "other bytes")
    }
    return text
  }

  /// A string of its bytes in UTF-8.
  public var luaValue: LuaValue { .string(self) }
}

/// nil is Lua's nil; an optional argument may also be left out.
extension Optional: LuaConvertible where Wrapped: LuaConvertible {
  /// `number or nil`.
  public static var luaName: String { "\(Wrapped.luaName) or nil" }

  /// nil for Lua's nil and for a missing value; anything else must be a `Wrapped`.
  public static func decode(_ source: LuaSource) throws -> Wrapped? {
    if source.slot.isNil { return nil }
    do {
      return try Wrapped.decode(source)
    } catch let failure as ConversionFailure where failure.path.isEmpty {
      throw failure.expecting { "\($0) or nil" }
    }
  }

  /// The value's, or nil.
  public var luaValue: LuaValue { get throws { try self?.luaValue ?? .nil } }
}

/// A table, read without metamethods.
extension Dictionary: LuaConvertible where Key: LuaConvertible, Value: LuaConvertible {
  /// `table`.
  public static var luaName: String { "table" }

  /// All fields. Throws when a key or a value is of another type, naming the field.
  public static func decode(_ source: LuaSource) throws -> [Key: Value] {
    guard source.slot.type == .table else { throw source.mismatch("table") }
    var result: [Key: Value] = [:]
    try source.slot.forEachPair { key, value in
      let name = LuaSource(key, source.session)
      let step: ConversionFailure.Step =
        key.isInteger ? .index(key.integer ?? 0) : .field(key.string ?? name.found)
      let decoded = try ConversionFailure.at(step) {
        do {
          return try Key.decode(name)
        } catch let failure as ConversionFailure {
          throw failure.expecting { "\($0) as key" }
        }
      }
      result[decoded] = try ConversionFailure.at(step) { try Value.decode(LuaSource(value, source.session)) }
    }
    return result
  }

  /// A new table.
  public var luaValue: LuaValue {
    get throws { .record(try map { (key: try $0.key.luaValue, value: try $0.value.luaValue) }) }
  }
}

extension LuaRuntime.Value: LuaConvertible {
  /// `any value`.
  public static var luaName: String { "any value" }
  /// The value as it is; tables, functions and handles as references that keep them alive.
  public static func decode(_ source: LuaSource) throws -> LuaValue { try source.slot.value() }
  /// Itself.
  public var luaValue: LuaValue { self }
}

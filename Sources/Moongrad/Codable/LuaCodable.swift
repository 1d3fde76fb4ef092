// Codable types cross by saying so: `struct Config: LuaCodable`.

import LuaRuntime

/// A `Codable` type whose values cross between Swift and Lua as tables.
///
/// ```swift
/// struct Config: LuaCodable {
///   var rate = 0.1
///   var layers: [Int] = []
///   var name: String?
/// }
/// session["config"] = Config()
/// let config: Config = try session.value("config")
/// session.function("train") { (config: Config) in config.rate * Double(config.layers.count) }
/// ```
///
/// Properties are fields, in scripts under the names of the coding keys. What is nil has no field; fields that the type does not know are
/// ignored. An enumeration with raw values is its raw value; one with associated values is a table with one field, the case:
/// `{ circle = { radius = 2 } }`, where values without a label count from 1, `{ move = { 3, 4 } }`, and a case without any may also be
/// read from its name alone, `"idle"`. Dictionaries are tables under their keys, lists of bytes are strings. Of Foundation's types `Data`
/// is a string, `Date` the seconds since 1970 and `URL` a string (by the product's module MoongradFoundation). A `Tensor` is the tensor itself, as everywhere.
///
/// What does not fit throws with its place: `config.layers[3]: expected integer, got string`.
///
/// Whatever crosses by itself does so inside as well, as numbers, strings and lists of them do. Types that are not one's own can be
/// converted without a conformance, by ``Session/set(_:encoding:)``, ``Session/value(_:decoding:)``, ``LuaEncoder`` and ``LuaDecoder``.
public protocol LuaCodable: Codable, LuaConvertible {}

extension LuaCodable {
  /// What messages call it; a type may say something better.
  public static var luaName: String { "table" }

  /// What its `init(from:)` makes of the value.
  public static func decode(_ source: LuaSource) throws -> Self { try LuaDecoder().decode(Self.self, from: source) }

  /// What its `encode(to:)` says.
  public var luaValue: LuaValue { get throws { try LuaEncoder().value(of: self) } }
}

extension Session {
  /// Sets a global to an encodable value that need not be ``LuaConvertible``.
  public func set(_ name: String, encoding value: some Encodable) throws {
    try entering { try state.setGlobal(name, try converting(name) { try LuaEncoder().value(of: value) }) }
  }

  /// A global, or the field of one, as a decodable type that need not be ``LuaConvertible``.
  public func value<T: Decodable>(_ name: String, decoding type: T.Type) throws -> T {
    try value(name, as: Decoded<T>.self).value
  }
}

extension LuaTable {
  /// All of it as a decodable type that need not be ``LuaConvertible``.
  public func convert<T: Decodable>(decoding type: T.Type) throws -> T { try convert(to: Decoded<T>.self).value }
}

/// Any decodable type on its way in.
private struct Decoded<T: Decodable>: LuaConvertible {
  let value: T
  static var luaName: String { (T.self as? any LuaConvertible.Type)?.luaName ?? "table" }
  static func decode(_ source: LuaSource) throws -> Decoded { Decoded(value: try LuaDecoder().decode(T.self, from: source)) }
  var luaValue: LuaValue { .nil }
}

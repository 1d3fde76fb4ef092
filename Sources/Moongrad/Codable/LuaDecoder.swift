// From Lua's values to Decodable types.

import LuaRuntime

/// Makes decodable Swift values of Lua's, see ``LuaCodable`` for what becomes what.
///
/// Tables are read without metamethods, and only where the type asks. One that contains itself is an error, where the type would follow
/// it for ever.
public struct LuaDecoder {
  /// A decoder, which can be used any number of times.
  public init() {}

  /// A table of a script as a type.
  public func decode<T: Decodable>(_ type: T.Type, from table: LuaTable) throws -> T {
    guard let session = table.session else { throw LuaError(.unavailable, "the session of this table is closed") }
    return try decode(type, from: .table(table.reference), in: session)
  }

  /// A value of that session as a type.
  public func decode<T: Decodable>(_ type: T.Type, from value: LuaValue, in session: Session) throws -> T {
    try session.converting("value") { try session.state.withSlot(of: value) { try decode(type, from: LuaSource($0, session)) } }
  }

  /// A value under conversion, for types that are partly decodable: within `decode(_:)` of a ``LuaConvertible`` type.
  public func decode<T: Decodable>(_ type: T.Type, from source: LuaSource) throws -> T {
    try ConversionFailure.translating {
      if let known = type as? any LuaConvertible.Type, !(type is any LuaCodable.Type) { return try known.decode(source) as! T }
      return try TableDecoder(try source.slot.value(), source.session).decode(type)
    }
  }
}

/// A value and its place. Tables are kept by reference, so that a decoder, or a container, may be kept for longer than it is used.
final class TableDecoder: Decoder {
  let value: LuaValue
  let session: Session
  var userInfo: [CodingUserInfoKey: Any] { [:] }
  private let key: (any CodingKey)?
  private let parent: TableDecoder?

  init(_ value: LuaValue, _ session: Session) {
    (self.value, self.session) = (value, session)
    (key, parent) = (nil, nil)
  }

  init(_ value: LuaValue, _ key: any CodingKey, in parent: TableDecoder) {
    (self.value, session) = (value, parent.session)
    (self.key, self.parent) = (key, parent)
  }

  var codingPath: [any CodingKey] {
    guard let parent, let key else { return [] }
    return parent.codingPath + [key]
  }

  // MARK: One value

  /// The value as a type that asks for containers.
  func decode<T: Decodable>(_ type: T.Type) throws -> T {
    try session.deeper {
      if let kind = type as? any DecodableTable.Type { return try kind.decode(in: self) as! T }
      return try T(from: self)
    }
  }

  /// What is at a key of this table: in place, where the type crosses by itself.
  func decode<T: Decodable>(_ type: T.Type, at key: any CodingKey, _ luaKey: LuaValue) throws -> T {
    if let known = type as? any LuaConvertible.Type {
      return try failing(at: key) { try table().read { try $0.withRawValue(luaKey) { try known.decode(LuaSource($0, session)) } } } as! T
    }
    return try TableDecoder(try child(luaKey), key, in: self).decode(type)
  }

  /// Gives what a type that crosses by itself says its place.
  func failing<Result>(at key: (any CodingKey)? = nil, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let failure as ConversionFailure {
      let path = codingPath + (key.map { [$0] } ?? [])
      throw DecodingError.dataCorrupted(.init(codingPath: path, debugDescription: failure.reason, underlyingError: failure))
    }
  }

  /// The value under a key of this table.
  func child(_ key: LuaValue) throws -> LuaValue { try table().read { try $0.withRawValue(key) { try $0.value() } } }

  /// Whether this table has something under a key.
  func has(_ key: LuaValue) -> Bool { (try? table().read { try $0.withRawValue(key) { !$0.isNil } }) ?? false }

  func table() throws -> TableReference {
    guard case .table(let table) = value else { throw mismatch("table") }
    return table
  }

  func mismatch(_ expected: String) -> any Error {
    let found = (try? session.state.withSlot(of: value) { LuaSource($0, session).found }) ?? "a value of a closed session"
    let failure = ConversionFailure(expected: expected, found: found)
    return DecodingError.typeMismatch(
      LuaValue.self, .init(codingPath: codingPath, debugDescription: failure.reason, underlyingError: failure))
  }

  // MARK: Containers

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    // A case without values: its name.
    if case .string(let name) = value, Key(stringValue: name) != nil {
      let table = try session.state.withSlot(of: .record([name: .record([:] as [String: LuaValue])])) { try $0.value() }
      return KeyedDecodingContainer(FieldDecoder(try within(table)))
    }
    _ = try table()
    return KeyedDecodingContainer(FieldDecoder(self))
  }

  /// The same place with another value.
  private func within(_ value: LuaValue) throws -> TableDecoder {
    guard let parent, let key else { return TableDecoder(value, session) }
    return TableDecoder(value, key, in: parent)
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer { try ElementDecoder(self) }
  func singleValueContainer() throws -> any SingleValueDecodingContainer { ScalarDecoder(decoder: self) }
}

/// Dictionaries of types that do not cross by themselves: tables under the dictionary's own keys, where Codable has lists or names.
private protocol DecodableTable {
  static func decode(in decoder: TableDecoder) throws -> Self
}

extension Dictionary: DecodableTable where Key: LuaConvertible & Decodable, Value: Decodable {
  fileprivate static func decode(in decoder: TableDecoder) throws -> [Key: Value] {
    var found: [(key: Key, name: PlaceKey, luaKey: LuaValue)] = []
    try decoder.table().read { table in
      try table.forEachPair { key, _ in
        let source = LuaSource(key, decoder.session)
        let name = key.isInteger ? PlaceKey(index: (key.integer ?? 0) &- 1) : PlaceKey(stringValue: key.string ?? source.found)
        let decoded = try decoder.failing(at: name) {
          do {
            return try Key.decode(source)
          } catch let failure as ConversionFailure {
            throw failure.expecting { "\($0) as key" }
          }
        }
        found.append((decoded, name, try key.value()))
      }
    }
    var result: [Key: Value] = [:]
    for entry in found { result[entry.key] = try decoder.decode(Value.self, at: entry.name, entry.luaKey) }
    return result
  }
}

// What an encodable type is handed: fields by key, elements in turn, a single value.

import LuaRuntime

/// The fields of a table. What is nil has none.
struct FieldEncoder<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let encoder: TableEncoder

  var codingPath: [any CodingKey] { encoder.codingPath }

  mutating func encodeNil(forKey key: Key) throws {}

  mutating func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
    encoder.add(try encoder.child(value, at: key), under: key.luaKey)
  }

  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested> {
    nested(key, key.luaKey).container(keyedBy: type)
  }
  mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { nested(key, key.luaKey).unkeyedContainer() }
  mutating func superEncoder() -> any Encoder { nested(PlaceKey.super, .string("super")) }
  mutating func superEncoder(forKey key: Key) -> any Encoder { nested(key, key.luaKey) }

  private func nested(_ key: any CodingKey, _ luaKey: LuaValue) -> TableEncoder {
    let child = TableEncoder(key, encoder)
    encoder.add(child, under: luaKey)
    return child
  }
}

/// The elements of a list. What is nil leaves a hole.
struct ElementEncoder: UnkeyedEncodingContainer {
  let encoder: TableEncoder

  var codingPath: [any CodingKey] { encoder.codingPath }
  var count: Int { encoder.count }

  mutating func encodeNil() throws { encoder.add(TableEncoder(LuaValue.nil)) }

  mutating func encode<T: Encodable>(_ value: T) throws {
    if let byte = value as? UInt8 { return encoder.add(byte) }
    encoder.add(try encoder.child(value, at: PlaceKey(index: count)))
  }

  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
    nested().container(keyedBy: type)
  }
  mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { nested().unkeyedContainer() }
  mutating func superEncoder() -> any Encoder { nested() }

  private func nested() -> TableEncoder {
    let child = TableEncoder(PlaceKey(index: count), encoder)
    encoder.add(child)
    return child
  }
}

/// The value itself.
struct ScalarEncoder: SingleValueEncodingContainer {
  let encoder: TableEncoder

  var codingPath: [any CodingKey] { encoder.codingPath }

  mutating func encodeNil() throws { encoder.content = .value(.nil) }

  mutating func encode<T: Encodable>(_ value: T) throws {
    if !(value is any LuaCodable), let known = value as? any LuaConvertible {
      encoder.content = .value(try known.luaValue)
    } else {
      encoder.content = .value(try encoder.encoded(value))
    }
  }
}

// What a decodable type is handed: fields by key, elements in turn, a single value.

import LuaRuntime

/// The fields of a table.
struct FieldDecoder<Key: CodingKey>: KeyedDecodingContainerProtocol {
  private let decoder: TableDecoder
  init(_ decoder: TableDecoder) { self.decoder = decoder }

  var codingPath: [any CodingKey] { decoder.codingPath }

  var allKeys: [Key] {
    var keys: [Key] = []
    try? decoder.table().read { table in
      try table.forEachPair { key, _ in
        if key.isInteger, let position = key.integer {
          if let key = Key(intValue: position) ?? Key(stringValue: "_\(position &- 1)") { keys.append(key) }
        } else if let name = key.string, let key = Key(stringValue: name) {
          keys.append(key)
        }
      }
    }
    return keys
  }

  func contains(_ key: Key) -> Bool { decoder.has(place(key)) }
  func decodeNil(forKey key: Key) throws -> Bool { !contains(key) }

  func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try decoder.decode(type, at: key, place(key)) }

  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) throws -> KeyedDecodingContainer<Nested> {
    try nested(key).container(keyedBy: type)
  }
  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { try nested(key).unkeyedContainer() }
  func superDecoder() throws -> any Decoder { try TableDecoder(decoder.child(.string("super")), PlaceKey.super, in: decoder) }
  func superDecoder(forKey key: Key) throws -> any Decoder { try nested(key) }

  private func nested(_ key: Key) throws -> TableDecoder { TableDecoder(try decoder.child(place(key)), key, in: decoder) }

  /// The key in the table. A script may have called a value without a label by its name, and what has a number for a name by that.
  private func place(_ key: Key) -> LuaValue {
    let usual = key.luaKey
    let other: LuaValue
    if case .integer = usual {
      other = .string(key.stringValue)
    } else if let number = key.intValue {
      other = .integer(number)
    } else {
      return usual
    }
    return !decoder.has(usual) && decoder.has(other) ? other : usual
  }
}

/// The elements of a list, or the bytes of a string.
struct ElementDecoder: UnkeyedDecodingContainer {
  private let decoder: TableDecoder
  private let bytes: [UInt8]?
  private let end: Int
  private var holes = 0
  /// nil where it cannot be so many: types reserve memory for them, and a script can say any length for a table with holes.
  let count: Int?
  private(set) var currentIndex = 0

  init(_ decoder: TableDecoder) throws {
    self.decoder = decoder
    switch decoder.value {
    case .string(let text): bytes = Array(text.utf8)
    case .bytes(let found): bytes = found
    default: bytes = nil
    }
    if let bytes {
      end = bytes.count
      count = end
    } else if case .table(let table) = decoder.value {
      end = try table.read { $0.rawLength }
      // Each element takes sixteen bytes of Lua's.
      count = end <= decoder.session.state.memory.bytes / 16 ? end : nil
    } else {
      throw decoder.mismatch("list")
    }
  }

  var codingPath: [any CodingKey] { decoder.codingPath }
  var isAtEnd: Bool { currentIndex >= end }

  /// Throws where nothing is left, and in tables full of holes, which optional elements would follow to their end.
  private mutating func checkNext(_ type: Any.Type) throws -> PlaceKey {
    let key = PlaceKey(index: currentIndex)
    guard !isAtEnd else {
      throw DecodingError.valueNotFound(
        type, .init(codingPath: codingPath, debugDescription: "the list has \(end) elements, and one more was expected"))
    }
    if bytes == nil, !decoder.has(.integer(currentIndex + 1)) {
      holes += 1
      guard holes <= Swift.max(4096, currentIndex / 2) else { throw decoder.mismatch("list without so many holes") }
    }
    return key
  }

  private mutating func next() throws -> TableDecoder {
    let key = try checkNext(LuaValue.self)
    let value = try bytes.map { .integer(Int($0[currentIndex])) } ?? decoder.child(.integer(currentIndex + 1))
    currentIndex += 1
    return TableDecoder(value, key, in: decoder)
  }

  mutating func decodeNil() throws -> Bool {
    guard !isAtEnd, bytes == nil, !decoder.has(.integer(currentIndex + 1)) else { return false }
    _ = try checkNext(LuaValue.self)
    currentIndex += 1
    return true
  }

  mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
    let key = try checkNext(type)
    let value: T
    if let bytes {
      guard let byte = bytes[currentIndex] as? T else { throw decoder.mismatch("list") }
      value = byte
    } else {
      value = try decoder.decode(type, at: key, .integer(currentIndex + 1))
    }
    currentIndex += 1
    return value
  }

  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested> {
    try next().container(keyedBy: type)
  }
  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try next().unkeyedContainer() }
  mutating func superDecoder() throws -> any Decoder { try next() }
}

/// The value itself.
struct ScalarDecoder: SingleValueDecodingContainer {
  let decoder: TableDecoder

  var codingPath: [any CodingKey] { decoder.codingPath }

  func decodeNil() -> Bool {
    if case .nil = decoder.value { return true }
    return false
  }

  func decode<T: Decodable>(_ type: T.Type) throws -> T {
    guard let known = type as? any LuaConvertible.Type else { return try decoder.decode(type) }
    return try decoder.failing {
      try decoder.session.state.withSlot(of: decoder.value) { try known.decode(LuaSource($0, decoder.session)) }
    } as! T
  }
}

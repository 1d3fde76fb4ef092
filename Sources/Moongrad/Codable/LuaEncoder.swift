// From Encodable types to Lua's values.

import LuaRuntime

/// Makes Lua's values of encodable Swift values, see ``LuaCodable`` for what becomes what.
public struct LuaEncoder {
  /// An encoder, which can be used any number of times.
  public init() {}

  /// The value in Lua: a new table for most types. Throws for integers beyond Lua's 64 bits, for values nested deeper than 150 levels,
  /// as objects are that contain themselves, and what `encode(to:)` throws.
  public func encode(_ value: some Encodable) throws -> LuaValue {
    do {
      return try self.value(of: value)
    } catch let failure as ConversionFailure {
      throw LuaError(.conversion, failure.luaMessage)
    }
  }

  /// The same with this library's failures as they are, for whoever knows the place.
  func value(of value: some Encodable) throws -> LuaValue {
    if !(value is any LuaCodable), let known = value as? any LuaConvertible { return try known.luaValue }
    return try ConversionFailure.translating { try TableEncoder(nil, nil).encoded(value) }
  }
}

/// What is being encoded, as deep as it has come: nothing yet, a value, a list, or fields.
final class TableEncoder: Encoder {
  enum Content {
    case nothing
    case value(LuaValue)
    case list([TableEncoder])
    /// A list of bytes, which becomes a string.
    case bytes([UInt8])
    case fields([(key: LuaValue, value: TableEncoder)])
  }

  var content = Content.nothing
  private let key: (any CodingKey)?
  private let parent: TableEncoder?

  init(_ key: (any CodingKey)?, _ parent: TableEncoder?) { (self.key, self.parent) = (key, parent) }
  /// What needs no more to be said.
  init(_ value: LuaValue) {
    content = .value(value)
    (key, parent) = (nil, nil)
  }

  var codingPath: [any CodingKey] {
    guard let key else { return [] }
    return (parent?.codingPath ?? []) + [key]
  }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  /// How deep encoding may be nested, across all types that start it anew on the way.
  @TaskLocal private static var depth = 0

  /// What a value says about itself.
  func encoded(_ value: some Encodable) throws -> LuaValue {
    try deeper {
      if let table = value as? any EncodableTable { try table.encode(in: self) } else { try value.encode(to: self) }
      return finished
    }
  }

  private func deeper<Result>(_ body: () throws -> Result) throws -> Result {
    guard TableEncoder.depth < Session.deepestConversion else {
      throw ConversionFailure(reason: "values are nested more than \(Session.deepestConversion) deep, or contain themselves")
    }
    return try TableEncoder.$depth.withValue(TableEncoder.depth + 1, operation: body)
  }

  /// What a value inside becomes: itself, where it crosses by itself.
  func child(_ value: some Encodable, at key: any CodingKey) throws -> TableEncoder {
    do {
      if !(value is any LuaCodable), let known = value as? any LuaConvertible { return TableEncoder(try known.luaValue) }
      let child = TableEncoder(key, self)
      child.content = .value(try child.encoded(value))
      return child
    } catch let failure as ConversionFailure {
      throw EncodingError.invalidValue(
        value, .init(codingPath: codingPath + [key], debugDescription: failure.reason, underlyingError: failure))
    }
  }

  /// What has been said, as a value.
  var finished: LuaValue {
    switch content {
    case .nothing: .record([:] as [String: LuaValue])
    case .value(let value): value
    case .bytes(let bytes): .bytes(bytes)
    case .list(let elements): .list(elements.map(\.finished))
    case .fields(let fields): .record(fields.map { (key: $0.key, value: $0.value.finished) })
    }
  }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    if case .fields = content {} else { content = .fields([]) }
    return KeyedEncodingContainer(FieldEncoder(encoder: self))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    switch content {
    case .list, .bytes: break
    default: content = .list([])
    }
    return ElementEncoder(encoder: self)
  }

  func singleValueContainer() -> any SingleValueEncodingContainer { ScalarEncoder(encoder: self) }

  // The content is taken out while it is changed, so that no array is copied.

  func add(_ byte: UInt8) {
    switch content {
    case .bytes(var bytes):
      content = .nothing
      bytes.append(byte)
      content = .bytes(bytes)
    case .list(let elements) where elements.isEmpty: content = .bytes([byte])
    default: add(TableEncoder(.integer(Int(byte))))
    }
  }

  func add(_ element: TableEncoder) {
    if case .bytes(let bytes) = content { content = .list(bytes.map { TableEncoder(.integer(Int($0))) }) }
    guard case .list(var elements) = content else { return }
    content = .nothing
    elements.append(element)
    content = .list(elements)
  }

  /// How many elements there are.
  var count: Int {
    switch content {
    case .list(let elements): elements.count
    case .bytes(let bytes): bytes.count
    default: 0
    }
  }

  func add(_ value: TableEncoder, under key: LuaValue) {
    guard case .fields(var fields) = content else { return }
    content = .nothing
    fields.append((key, value))
    content = .fields(fields)
  }
}

/// Dictionaries of types that do not cross by themselves, see `DecodableTable`.
private protocol EncodableTable {
  func encode(in encoder: TableEncoder) throws
}

extension Dictionary: EncodableTable where Key: LuaConvertible & Encodable, Value: Encodable {
  fileprivate func encode(in encoder: TableEncoder) throws {
    encoder.content = .fields(
      try map { key, value in
        let luaKey = try key.luaValue
        return (luaKey, try encoder.child(value, at: PlaceKey(stringValue: "\(key)")))
      })
  }
}

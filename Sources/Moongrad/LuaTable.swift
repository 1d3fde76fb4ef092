// Tables of scripts, read and written in place.

import LuaRuntime

/// A Lua table, itself rather than a copy. Reading and writing respect metamethods.
public struct LuaTable {
  let reference: TableReference
  weak var session: Session?

  /// The length of the list part, without metamethods.
  public var count: Int { (try? reference.rawLength()) ?? 0 }

  /// The value under a key; throws when it is of another type.
  public func value<T: LuaConvertible>(_ key: some LuaConvertible, as type: T.Type = T.self) throws -> T {
    let session = try living()
    let key = try session.converting("key") { try key.luaValue }
    return try session.entering { try session.decode(try reference.get(key), root: LuaTable.text(key)) }
  }

  /// Stores a value under a key; nil removes it. Throws for the keys nil and NaN, and when the session is closed.
  public func set(_ key: some LuaConvertible, _ value: some LuaConvertible) throws {
    let session = try living()
    let key = try session.converting("key") { try key.luaValue }
    let value = try session.converting(LuaTable.text(key)) { try value.luaValue }
    try session.entering { try reference.set(key, value) }
  }

  /// The keys, in no order.
  public func keys<Key: LuaConvertible>(as type: Key.Type = Key.self) throws -> [Key] {
    let session = try living()
    var keys: [Key] = []
    try session.converting("key") {
      try reference.read { try $0.forEachPair { key, _ in keys.append(try Key.decode(LuaSource(key, session))) } }
    }
    return keys
  }

  /// All of it as a Swift type, read without metamethods.
  public func convert<T: LuaConvertible>(to type: T.Type = T.self) throws -> T {
    try living().decode(.table(reference), root: "table")
  }

  private static func text(_ key: LuaValue) -> String {
    switch key {
    case .string(let name): name
    case .integer(let position): "[\(position)]"
    default: "value"
    }
  }

  private func living() throws -> Session {
    guard let session else { throw LuaError(.unavailable, "the session of this table is closed") }
    return session
  }
}

extension LuaTable: LuaConvertible {
  /// `table`.
  public static var luaName: String { "table" }

  /// The table itself, not a copy.
  public static func decode(_ source: LuaSource) throws -> LuaTable {
    guard case .table(let reference) = try source.slot.value() else { throw source.mismatch("table") }
    return LuaTable(reference: reference, session: source.session)
  }

  /// The table itself.
  public var luaValue: LuaValue { .table(reference) }
}

// Reading Lua values in place.
import CLuaShim

/// The types of Lua values.
public enum LuaType: Int32, Sendable, CustomStringConvertible {
  /// No value at all: an argument that was not given.
  case none = -1
  /// `nil`.
  case `nil` = 0
  /// `true` or `false`.
  case boolean
  /// An address.
  case lightUserdata
  /// A number, whole or not.
  case number
  /// A string of bytes.
  case string
  /// A table.
  case table
  /// A function of Lua's, C's or Swift's.
  case function
  /// An object of C's or Swift's.
  case userdata
  /// A coroutine.
  case thread

  /// The name that Lua's `type` gives, and "no value" for a missing argument.
  public var description: String {
    switch self {
    case .none: "no value"
    case .nil: "nil"
    case .boolean: "boolean"
    case .lightUserdata, .userdata: "userdata"
    case .number: "number"
    case .string: "string"
    case .table: "table"
    case .function: "function"
    case .thread: "thread"
    }
  }
}

/// A position of a coroutine's stack, read with calls that never raise and never run Lua code.
///
/// A slot is valid during the native call, or the closure, that received it.
public struct Slot {
  @usableFromInline let lua: OpaquePointer
  @usableFromInline let index: Int32

  @inlinable init(_ lua: OpaquePointer, _ index: Int32) {
    self.lua = lua
    self.index = index
  }

  /// The type of the value; `none` where there is no value.
  @inlinable public var type: LuaType { LuaType(rawValue: lua_type(lua, index)) ?? .none }

  /// Whether it is nil or missing.
  @inlinable public var isNil: Bool { lua_type(lua, index) <= 0 }

  /// Whether it is a number of Lua's integer subtype.
  @inlinable public var isInteger: Bool { lua_isinteger(lua, index) != 0 }

  /// The value of an integer, or of a float with an integral value; strings are not converted.
  @inlinable public var integer: Int? {
    guard lua_type(lua, index) == LUA_TNUMBER else { return nil }
    var isInteger: Int32 = 0
    let value = lua_tointegerx(lua, index, &isInteger)
    return isInteger != 0 ? Int(value) : nil
  }

  /// The value of a number; strings are not converted.
  @inlinable public var number: Double? {
    lua_type(lua, index) == LUA_TNUMBER ? lua_tonumberx(lua, index, nil) : nil
  }

  /// The value of a boolean. Other values are neither true nor false here; see ``isTruthy``.
  @inlinable public var boolean: Bool? {
    lua_type(lua, index) == LUA_TBOOLEAN ? lua_toboolean(lua, index) != 0 : nil
  }

  /// Whether Lua's `if` takes it for true.
  @inlinable public var isTruthy: Bool { lua_toboolean(lua, index) != 0 }

  /// The text of a string, with U+FFFD for bytes that are not UTF-8; numbers are not converted.
  public var string: String? { withBytes { String(decoding: $0, as: UTF8.self) } }

  /// The bytes of a string.
  public var bytes: [UInt8]? { withBytes { [UInt8]($0) } }

  /// Calls `body` with a string's bytes in place; `nil` when it is not a string.
  @inlinable
  public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result? {
    guard lua_type(lua, index) == LUA_TSTRING else { return nil }
    var length = 0
    let start = lua_tolstring(lua, index, &length)
    return try body(UnsafeRawBufferPointer(start: start, count: length))
  }

  /// Whether it is a string with exactly these characters.
  public func equals(_ text: StaticString) -> Bool {
    withBytes {
      $0.elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    } ?? false
  }

  /// The object of a handle of this kind or of one that inherits from it.
  @inlinable public func object<Object>(_ kind: HandleKind<Object>) -> Object? {
    unmanaged(kind)?.takeUnretainedValue()
  }

  /// As ``object(_:)`` without touching the reference count: the stack keeps the object alive meanwhile.
  @inlinable @inline(__always)
  public func unmanaged<Object>(_ kind: HandleKind<Object>) -> Unmanaged<Object>? {
    guard let payload = ml_to_handle(lua, index),
      payload.pointee.kind == kind.id || ml_is_kind(payload.pointee.state, payload.pointee.kind, kind.id),
      let object = payload.pointee.object
    else { return nil }
    return Unmanaged.fromOpaque(object)
  }

  /// Makes a handle one of another kind, which has no members: what was let go of must not be taken for what it was.
  public func retire<Object>(as kind: HandleKind<Object>) {
    ml_to_handle(lua, index)?.pointee.kind = kind.id
  }

  /// The identifier of a handle's kind, see ``HandleKind/id``; 0 for other values.
  @inlinable public var kindIdentifier: UInt32 { ml_to_handle(lua, index)?.pointee.kind ?? 0 }

  /// The address that identifies a table, function, thread or userdata.
  public var address: UnsafeRawPointer? {
    switch type {
    case .table, .function, .thread, .userdata: lua_topointer(lua, index).map { UnsafeRawPointer($0) }
    default: nil
    }
  }

  /// The name for error messages: a handle's kind, or the type.
  public var typeName: String {
    let kind = kindIdentifier
    return kind > ML_KIND_FUNCTION ? (kindName(kind) ?? "userdata") : type.description
  }
}

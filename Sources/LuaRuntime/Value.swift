// Lua values in the host's hands.
import CLuaShim

/// A Lua value outside Lua. The last cases are for the way in only: they become new Lua values.
public enum Value {
  /// `nil`.
  case `nil`
  /// `true` or `false`.
  case boolean(Bool)
  /// A whole number.
  case integer(Int)
  /// Any other number.
  case number(Double)
  /// A string that is valid UTF-8.
  case string(String)
  /// Any other string.
  case bytes([UInt8])
  /// A table, itself.
  case table(TableReference)
  /// A function, itself.
  case function(FunctionReference)
  /// A handle, itself; its object is `handle.object(kind)`.
  case handle(HandleReference)
  /// A coroutine, a foreign userdata, a light userdata.
  case other(Reference)

  /// A new table with these elements.
  case list([Value])
  /// A new table with these numbers.
  case numbers(NumberList)
  /// A new table with these fields.
  case record([(key: Value, value: Value)])
  /// A new function.
  case native(NativeFunction)
  /// A handle of an object, see ``HandleKind/isUnique``.
  case object(NewHandle)
}

/// An object on its way to a handle.
public struct NewHandle {
  let object: AnyObject
  let kind: Kind

  enum Kind {
    case known(UInt32, isUnique: Bool)
    /// What ``State/kindOfType`` of the state says that it comes to.
    case ofType(Any.Type)
  }

  /// A handle of that kind; the object is kept until Lua has it.
  public init<Object>(_ object: Object, _ kind: HandleKind<Object>) {
    self.object = object
    self.kind = .known(kind.id, isUnique: kind.isUnique)
  }

  /// A handle of the kind that values of a type have in the state that it comes to; where they have none, an error is raised there.
  public init(_ object: AnyObject, ofType type: Any.Type) {
    self.object = object
    kind = .ofType(type)
  }

  func write(to record: UnsafeMutablePointer<ml_state>) {
    switch kind {
    case .known(let id, let isUnique): ml_out_handle(record, Unmanaged.passRetained(object).toOpaque(), id, isUnique)
    case .ofType(let type):
      let state = Unmanaged<State>.fromOpaque(record.pointee.config.host).takeUnretainedValue()
      if let kind = state.kindOfType?(type) {
        ml_out_handle(record, Unmanaged.passRetained(object).toOpaque(), kind.id, kind.isUnique)
      } else {
        var text = "the type \(type) is not registered with this session"
        text.withUTF8 { bytes in
          bytes.withMemoryRebound(to: CChar.self) { ml_out_failure(record, $0.baseAddress, $0.count) }
        }
      }
    }
  }
}

extension Value {
  /// A handle of an object.
  public static func object<Object>(_ object: Object, _ kind: HandleKind<Object>) -> Value {
    .object(NewHandle(object, kind))
  }
  /// A new table with these fields.
  public static func record(_ fields: [String: Value]) -> Value {
    .record(fields.map { (key: .string($0.key), value: $0.value) })
  }

  /// What keeps the Lua value alive, when it has an identity.
  var reference: Reference? {
    switch self {
    case .table(let table): table.reference
    case .function(let function): function.reference
    case .handle(let handle): handle.reference
    case .other(let reference): reference
    default: nil
    }
  }
}

/// Writes a string into the buffer of values on their way into Lua.
func write(_ text: String, to record: UnsafeMutablePointer<ml_state>) {
  var text = text
  text.withUTF8 { bytes in
    bytes.withMemoryRebound(to: CChar.self) { ml_out_string(record, $0.baseAddress, $0.count) }
  }
}

/// Writes a value's tree.
func write(_ value: Value, to record: UnsafeMutablePointer<ml_state>) {
  switch value {
  case .nil: ml_out_nil(record)
  case .boolean(let value): ml_out_boolean(record, value)
  case .integer(let value): ml_out_integer(record, Int64(value))
  case .number(let value): ml_out_number(record, value)
  case .string(let text): write(text, to: record)
  case .bytes(let bytes):
    bytes.withUnsafeBytes {
      ml_out_string(record, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
    }
  case .table(let table): ml_out_reference(record, table.reference.identifier)
  case .function(let function): ml_out_reference(record, function.reference.identifier)
  case .handle(let handle): ml_out_reference(record, handle.reference.identifier)
  case .other(let reference): ml_out_reference(record, reference.identifier)
  case .list(let elements):
    ml_out_list(record, Int64(elements.count))
    for element in elements { write(element, to: record) }
  case .numbers(let list):
    ml_out_numbers(record, Unmanaged.passRetained(list).toOpaque(), Int64(list.count), list.areIntegers)
  case .record(let fields):
    ml_out_record(record, Int64(fields.count))
    for (key, value) in fields {
      write(key, to: record)
      write(value, to: record)
    }
  case .native(let function): ml_out_function(record, Unmanaged.passRetained(function).toOpaque(), nil)
  case .object(let new): new.write(to: record)
  }
}

extension State {
  /// The value at a stack index; the stack stays as it is.
  func value(at index: Int32, _ lua: OpaquePointer) throws -> Value {
    let slot = Slot(lua, index)
    switch slot.type {
    case .none, .nil: return .nil
    case .boolean: return .boolean(slot.isTruthy)
    case .number:
      if slot.isInteger { return .integer(slot.integer ?? 0) }
      return .number(slot.number ?? 0)
    case .string:
      return slot.withBytes { bytes in
        if let text = String(validating: bytes, as: UTF8.self) { return .string(text) }
        return .bytes([UInt8](bytes))
      } ?? .nil
    case .table: return .table(TableReference(reference: try reference(at: index, lua)))
    case .function: return .function(FunctionReference(reference: try reference(at: index, lua)))
    case .userdata where slot.kindIdentifier > ML_KIND_FUNCTION:
      return .handle(HandleReference(reference: try reference(at: index, lua)))
    case .userdata, .lightUserdata, .thread: return .other(try reference(at: index, lua))
    }
  }

  /// The values from a stack index to the top.
  func values(from first: Int32, _ lua: OpaquePointer) throws -> [Value] {
    let top = lua_gettop(lua)
    guard first <= top else { return [] }
    return try (first...top).map { try value(at: $0, lua) }
  }
}

extension Value {
  /// A Lua string of those bytes.
  package init(_ bytes: [UInt8]) {
    self = String(validating: bytes, as: UTF8.self).map { .string($0) } ?? .bytes(bytes)
  }
}

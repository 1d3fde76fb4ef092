// Lua values that the host keeps.
import CLuaShim

/// Keeps a Lua value alive. Letting go is queued until Lua can be called, so a `deinit` may do it anywhere
/// on the state's thread, also while the collector runs.
public final class Reference {
  let record: UnsafeMutablePointer<ml_state>
  let identifier: Int32
  /// What identifies the value, when it is a table, function, thread or userdata.
  let address: UnsafeRawPointer?

  init(_ record: UnsafeMutablePointer<ml_state>, _ identifier: Int32, _ address: UnsafeRawPointer?) {
    self.record = record
    self.identifier = identifier
    self.address = address
    ml_retain(record)
  }

  deinit {
    ml_unref(record, identifier)
    ml_release(record)
  }

  /// Runs `body` with the value on top of the stack.
  func withValue<Result>(_ body: (State, OpaquePointer) throws -> Result) throws -> Result {
    let state = try State.owning(record)
    return try state.withLua { L in
      ml_push_reference(L, identifier)
      return try body(state, L)
    }
  }
}

/// A Lua function.
public struct FunctionReference {
  public let reference: Reference

  /// Calls it. Errors come with the traceback and, when a native function threw, the Swift error.
  @discardableResult
  public func call(_ arguments: Value...) throws -> [Value] { try call(arguments) }

  @discardableResult
  public func call(_ arguments: [Value]) throws -> [Value] {
    try reference.withValue { state, L in
      try state.call(arguments, L)
    }
  }
}

/// A Lua table. Reading and writing respect metamethods.
public struct TableReference {
  public let reference: Reference

  public func get(_ key: Value) throws -> Value {
    try reference.withValue { state, L in
      let table = lua_gettop(L)
      try state.push([key], L)
      try state.check(ml_get(state.pointer, L, table), L)
      return try state.value(at: lua_gettop(L), L)
    }
  }
  public func get(_ key: String) throws -> Value { try get(.string(key)) }

  public func set(_ key: Value, _ value: Value) throws {
    try reference.withValue { state, L in
      let table = lua_gettop(L)
      try state.push([key, value], L)
      try state.check(ml_set(state.pointer, L, table), L)
    }
  }
  public func set(_ key: String, _ value: Value) throws { try set(.string(key), value) }

  /// The length without metamethods: the number of elements of a list.
  public func rawLength() throws -> Int {
    try reference.withValue { _, L in Int(lua_rawlen(L, -1)) }
  }

  /// Reads the table in place, without metamethods.
  public func read<Result>(_ body: (Slot) throws -> Result) throws -> Result {
    try reference.withValue { _, L in try body(Slot(L, lua_gettop(L))) }
  }
}

/// A handle, as opposed to its object: passing it back to Lua keeps its identity.
public struct HandleReference {
  public let reference: Reference

  /// The object, when the handle is of this kind.
  public func object<Object>(_ kind: HandleKind<Object>) -> Object? {
    try? reference.withValue { _, L in Slot(L, lua_gettop(L)).object(kind) }
  }
}

extension State {
  /// Keeps the value at a stack index.
  func reference(at index: Int32, _ L: OpaquePointer) throws -> Reference {
    var identifier: Int32 = 0
    let address = Slot(L, index).address
    guard lua_checkstack(L, 2) != 0 else { throw LuaError(.memory, "stack overflow") }
    lua_pushvalue(L, index)
    let status = ml_ref(pointer, L, &identifier)
    guard status == LUA_OK else {
      defer { lua_settop(L, -2) }
      throw captureError(status, L)
    }
    return Reference(pointer, identifier, address)
  }

  /// Pushes values.
  func push(_ values: [Value], _ L: OpaquePointer) throws {
    let mark = pointer.pointee.out_top
    for value in values { write(value, to: pointer) }
    try check(ml_push(pointer, L, Int32(values.count), mark), L)
  }

  /// Calls the function on top of the stack.
  func call(_ arguments: [Value], _ L: OpaquePointer) throws -> [Value] {
    let first = lua_gettop(L)
    if !arguments.isEmpty { try push(arguments, L) }
    try check(ml_call(pointer, L, Int32(arguments.count), LUA_MULTRET), L)
    return try values(from: first, L)
  }
}

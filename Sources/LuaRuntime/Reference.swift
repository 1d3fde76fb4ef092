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
    return try state.withLua { lua in
      ml_push_reference(lua, identifier)
      return try body(state, lua)
    }
  }
}

/// A Lua function.
public struct FunctionReference {
  /// What keeps the function alive.
  public let reference: Reference

  /// Calls it. Errors come with the traceback and, when a native function threw, the Swift error.
  @discardableResult
  public func call(_ arguments: Value...) throws -> [Value] { try call(arguments) }

  /// The same with a list of arguments.
  @discardableResult
  public func call(_ arguments: [Value]) throws -> [Value] {
    try reference.withValue { state, lua in
      try state.call(arguments, lua)
    }
  }

  /// Gives the main function of a chunk, just compiled, other globals.
  public func setEnvironment(_ environment: TableReference) throws {
    try reference.withValue { state, lua in
      guard lua_checkstack(lua, 2) != 0 else { throw LuaError(.memory, "stack overflow") }
      ml_push_reference(lua, environment.reference.identifier)
      lua_setupvalue(lua, -2, 1)
    }
  }
}

/// A Lua function that the object of a handle keeps, or a part that the object owns.
///
/// A ``FunctionReference`` there would be kept for ever if the function refers to the handle. This one goes with the handle
/// when nothing but the handle owns the object, and nothing but the object the part.
public struct AttachedFunction {
  private let box: Reference

  /// Attaches the function that is an argument of a call to the handle that is another. The part is known by its address
  /// only; its object conforms to ``PartOwner``.
  public init(_ call: borrowing Call, function: Int, to handle: Int, part: AnyObject? = nil) throws {
    guard call[function].type == .function, call[handle].kindIdentifier > ML_KIND_FUNCTION else {
      throw LuaError("a function and a handle were expected")
    }
    let (state, lua) = (call.state, call.lua)
    guard lua_checkstack(lua, 2) != 0 else { throw LuaError(.memory, "stack overflow") }
    let top = lua_gettop(lua)
    defer { lua_settop(lua, top) }
    lua_pushvalue(lua, Int32(function))
    let address = part.map { Unmanaged.passUnretained($0).toOpaque() }
    try state.check(ml_attach(state.pointer, lua, Int32(handle), address), lua)
    box = try state.reference(at: top + 1, lua)
  }

  /// Calls it, as a ``FunctionReference`` does.
  @discardableResult
  public func call(_ arguments: [Value]) throws -> [Value] {
    try box.withValue { state, lua in
      // Scripts that reach the registry may have put anything there.
      guard lua_type(lua, -1) == LUA_TTABLE else { throw LuaError("an attached function is lost") }
      lua_rawgeti(lua, -1, lua_Integer(ML_BOX_FUNCTION))
      return try state.call(arguments, lua)
    }
  }
}

/// An object whose parts keep functions, see ``AttachedFunction``.
public protocol PartOwner: AnyObject {
  /// Whether the part at an address is still this object's, and nobody else's.
  func isSoleOwner(ofPartAt address: UnsafeRawPointer) -> Bool
}

/// See `ml_config`.
let isSoleOwner: @convention(c) (UnsafeMutablePointer<UnsafeMutableRawPointer?>?, UnsafeMutableRawPointer?) -> Bool = { slot, part in
  guard let slot, let object = slot.pointee else { return false }
  // Any class will do; but of `AnyObject` the answer is always false in code that is not optimized.
  let isSole = slot.withMemoryRebound(to: NativeFunction.self, capacity: 1) { isKnownUniquelyReferenced(&$0.pointee) }
  guard isSole, let part else { return isSole }
  let owner = Unmanaged<AnyObject>.fromOpaque(object).takeUnretainedValue() as? any PartOwner
  return owner?.isSoleOwner(ofPartAt: part) ?? false
}

/// A Lua table. Reading and writing respect metamethods.
public struct TableReference {
  /// What keeps the table alive.
  public let reference: Reference

  /// The value under a key; nil where there is none. Throws what a metamethod raises.
  public func get(_ key: Value) throws -> Value {
    try reference.withValue { state, lua in
      let table = lua_gettop(lua)
      try state.push([key], lua)
      try state.check(ml_get(state.pointer, lua, table), lua)
      return try state.value(at: lua_gettop(lua), lua)
    }
  }
  /// The same under a name.
  public func get(_ key: String) throws -> Value { try get(.string(key)) }

  /// Stores a value under a key; nil removes it. Throws for the keys nil and NaN, and what a metamethod raises.
  public func set(_ key: Value, _ value: Value) throws {
    try reference.withValue { state, lua in
      let table = lua_gettop(lua)
      try state.push([key, value], lua)
      try state.check(ml_set(state.pointer, lua, table), lua)
    }
  }
  /// The same under a name.
  public func set(_ key: String, _ value: Value) throws { try set(.string(key), value) }

  /// The length without metamethods: the number of elements of a list.
  public func rawLength() throws -> Int {
    try reference.withValue { _, lua in Int(lua_rawlen(lua, -1)) }
  }

  /// Calls the table, which must have `__call`.
  @discardableResult
  public func call(_ arguments: [Value]) throws -> [Value] {
    try FunctionReference(reference: reference).call(arguments)
  }

  /// Reads the table in place, without metamethods.
  public func read<Result>(_ body: (Slot) throws -> Result) throws -> Result {
    try reference.withValue { _, lua in try body(Slot(lua, lua_gettop(lua))) }
  }
}

/// A handle, as opposed to its object: passing it back to Lua keeps its identity.
public struct HandleReference {
  /// What keeps the handle alive.
  public let reference: Reference

  /// The object, when the handle is of this kind.
  public func object<Object>(_ kind: HandleKind<Object>) -> Object? {
    try? reference.withValue { _, lua in Slot(lua, lua_gettop(lua)).object(kind) }
  }
}

extension State {
  /// Keeps the value at a stack index.
  func reference(at index: Int32, _ lua: OpaquePointer) throws -> Reference {
    var identifier: Int32 = 0
    let address = Slot(lua, index).address
    guard lua_checkstack(lua, 2) != 0 else { throw LuaError(.memory, "stack overflow") }
    lua_pushvalue(lua, index)
    let status = ml_ref(pointer, lua, &identifier)
    guard status == LUA_OK else {
      defer { lua_settop(lua, -2) }
      throw captureError(status, lua)
    }
    return Reference(pointer, identifier, address)
  }

  /// Pushes values.
  func push(_ values: [Value], _ lua: OpaquePointer) throws {
    let mark = pointer.pointee.out_top
    for value in values { LuaRuntime.write(value, to: pointer) }
    try check(ml_push(pointer, lua, Int32(values.count), mark), lua)
  }

  /// Calls the function on top of the stack.
  func call(_ arguments: [Value], _ lua: OpaquePointer) throws -> [Value] {
    let first = lua_gettop(lua)
    if !arguments.isEmpty { try push(arguments, lua) }
    try check(ml_call(pointer, lua, Int32(arguments.count), LUA_MULTRET), lua)
    return try values(from: first, lua)
  }
}

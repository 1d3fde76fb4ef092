// A native call: its arguments and its results.
import CLuaShim

/// One call of a ``NativeFunction``: arguments count from 1, as in Lua, and results are added in order.
///
/// Reading never raises and never runs Lua code. Tables are read without metamethods.
public struct Call: ~Copyable {
  @usableFromInline let lua: OpaquePointer
  @usableFromInline let record: UnsafeMutablePointer<ml_state>
  @usableFromInline let mark: UInt32
  @usableFromInline var results: Int32 = 0
  /// Values that open lists and records still miss.
  @usableFromInline var owed = 0

  @inlinable init(_ lua: OpaquePointer, _ record: UnsafeMutablePointer<ml_state>) {
    self.lua = lua
    self.record = record
    mark = record.pointee.out_top
  }

  /// The state that makes the call.
  public var state: State {
    Unmanaged<State>.fromOpaque(record.pointee.config.host).takeUnretainedValue()
  }

  /// The word of the calling coroutine, see ``State/word``.
  @inlinable public var word: UInt64 {
    get { ml_word(lua) }
    nonmutating set { ml_set_word(lua, newValue) }
  }

  /// Tells the collector that the results hold that much native memory. Unlike ``State/claim(bytes:)`` this only
  /// paces and need not be taken back: the memory in use is read from the account of
  /// ``State/readLiveBytes(from:)``, without which full collections come at fixed intervals.
  @inlinable public func pace(bytes: Int) {
    ml_pace(record, bytes)
  }

  /// Makes sure of memory for the one handle that this call returns: for what must not happen unless the script hears of it. To be
  /// called when nothing can fail any more.
  public func reserveHandle() throws {
    if ml_reserve_handle(record) { return }
    state.collect()
    guard ml_reserve_handle(record) else { throw LuaError(.memory, "not enough memory") }
  }

  /// For ``State/site(of:)``, while the call lasts.
  @inlinable public var caller: UnsafeMutableRawPointer { UnsafeMutableRawPointer(record) }

  /// "chunk:line: " of the function that called, or an empty string.
  public var position: String { luaPosition(lua, level: 1) }

  /// Whether a step of Lua's own `ipairs` made it: what answers for an index that is none ends the loop with nil then.
  public var isStepOfIpairs: Bool { ml_is_step(lua) }

  /// The first argument, or local variable, of each function that is being called, this call's own first; of those around the
  /// innermost `most` alone, for each costs a walk over those before it. A method's is the object that it was called on.
  public func forEachCallee(most: Int = 1000, _ body: (Slot) throws -> Void) rethrows {
    var ended = false
    for level in 0..<Int32(most) where !ended && ml_push_first_local(lua, level, &ended) {
      defer { ml_pop(lua, 1) }
      try body(Slot(lua, lua_gettop(lua)))
    }
  }

  // MARK: Arguments

  /// The number of arguments.
  @inlinable public var count: Int { Int(lua_gettop(lua)) }

  /// The argument at a position from 1; reading one beyond the last (up to 20) gives no value.
  @inlinable public subscript(_ index: Int) -> Slot { Slot(lua, Int32(truncatingIfNeeded: index)) }

  /// See ``Slot/type``.
  @inlinable public func type(_ index: Int) -> LuaType { self[index].type }
  /// Whether the argument is nil or missing.
  @inlinable public func isNil(_ index: Int) -> Bool { self[index].isNil }
  /// See ``Slot/integer``.
  @inlinable public func integer(_ index: Int) -> Int? { self[index].integer }
  /// See ``Slot/number``.
  @inlinable public func number(_ index: Int) -> Double? { self[index].number }
  /// See ``Slot/boolean``.
  @inlinable public func boolean(_ index: Int) -> Bool? { self[index].boolean }
  /// See ``Slot/string``.
  public func string(_ index: Int) -> String? { self[index].string }
  /// See ``Slot/object(_:)``.
  @inlinable public func object<Object>(_ index: Int, _ kind: HandleKind<Object>) -> Object? {
    self[index].object(kind)
  }
  /// See ``Slot/unmanaged(_:)``.
  @inlinable @inline(__always)
  public func unmanaged<Object>(_ index: Int, _ kind: HandleKind<Object>) -> Unmanaged<Object>? {
    self[index].unmanaged(kind)
  }
  /// The argument as a host value; tables and functions become references. Throws when memory is short.
  public func value(_ index: Int) throws -> Value { try state.value(at: Int32(index), lua) }

  // MARK: Results

  @inlinable mutating func note() {
    if owed == 0 { results += 1 } else { owed -= 1 }
  }

  /// The next result, or the next element of a list or record under way.
  @inlinable public mutating func returnsNil() {
    note()
    ml_out_nil(record)
  }
  /// A boolean, as the next result or element.
  @inlinable public mutating func returns(_ value: Bool) {
    note()
    ml_out_boolean(record, value)
  }
  /// An integer, as the next result or element.
  @inlinable public mutating func returns(_ value: Int) {
    note()
    ml_out_integer(record, Int64(value))
  }
  /// A float, as the next result or element.
  @inlinable public mutating func returns(_ value: Double) {
    note()
    ml_out_number(record, value)
  }
  /// A string, as the next result or element.
  public mutating func returns(_ value: String) {
    note()
    write(value, to: record)
  }
  /// A string of any bytes, which are copied.
  public mutating func returns(bytes: UnsafeRawBufferPointer) {
    note()
    ml_out_string(record, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
  }
  /// A handle of an object: a new one, unless the kind is one of unique handles.
  @inlinable public mutating func returns<Object>(_ object: Object, _ kind: HandleKind<Object>) {
    note()
    ml_out_handle(record, Unmanaged.passRetained(object).toOpaque(), kind.id, kind.isUnique)
  }
  /// One of the call's own arguments, itself: `self` of a method that can be chained.
  @inlinable public mutating func returnsArgument(_ index: Int) {
    note()
    ml_out_argument(record, Int32(truncatingIfNeeded: index))
  }
  /// A new function.
  public mutating func returns(_ function: NativeFunction) {
    note()
    ml_out_function(record, Unmanaged.passRetained(function).toOpaque(), nil)
  }
  /// A Lua value that the host kept.
  public mutating func returns(_ reference: Reference) {
    note()
    ml_out_reference(record, reference.identifier)
  }
  /// Any host value.
  public mutating func returns(_ value: Value) {
    note()
    write(value, to: record)
  }
  /// A table `{v1, …, vn}`: the next `count` values written become its elements.
  @inlinable public mutating func returnsList(_ count: Int) {
    note()
    owed += max(0, count)
    ml_out_list(record, Int64(max(0, count)))
  }
  /// A table `{[k1] = v1, …}`: the next `2 * count` values written are its keys and values in turn.
  @inlinable public mutating func returnsRecord(_ count: Int) {
    note()
    owed += 2 * max(0, count)
    ml_out_record(record, Int64(max(0, count)))
  }

  // MARK: The end

  /// Replaces the results by an error.
  func fail(_ error: any Error) -> Int32 {
    ml_forget(record, mark)
    state.write(error, at: position)
    return ML_RAISE
  }
}

/// "chunk:line: " of a function on the stack of lua.
func luaPosition(_ lua: OpaquePointer, level: Int32) -> String {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
    let length = ml_where(lua, level, buffer.baseAddress, buffer.count)
    return String(decoding: UnsafeRawBufferPointer(start: buffer.baseAddress, count: length), as: UTF8.self)
  }
}

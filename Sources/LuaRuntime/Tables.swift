// Reading tables in place: options, lists, nested lists.
import CLuaShim

/// All of these read without metamethods, so no Lua code runs, and leave the stack as they found it. A
/// closure's slots are valid inside it only.
///
/// A list that scripts cannot assign to is an empty table, whose metatable answers for another one and has that under the key
/// `false`: the other one is read here.
extension Slot {
  /// The length of a table without metamethods (of a string, in bytes): the number of elements of a list. Of a table with
  /// holes it can be any number that an element stands before: reserve no memory for so many.
  @inlinable public var rawLength: Int {
    let length = Int(lua_rawlen(lua, index))
    if length > 0 || lua_type(lua, index) != LUA_TTABLE { return length }
    return (try? withTable { Int(lua_rawlen(lua, $0)) }) ?? 0
  }

  /// Calls `body` with `t[position]`, counting from 1.
  @inlinable
  public func withElement<Result>(_ position: Int, _ body: (Slot) throws -> Result) throws -> Result {
    try withTable { table in
      lua_rawgeti(lua, table, lua_Integer(position))
      return try body(Slot(lua, lua_gettop(lua)))
    }
  }

  /// Calls `body` with `t[name]`. A key that Lua has not seen yet may need memory, hence the general `throws`.
  public func withField<Result>(_ name: String, _ body: (Slot) throws -> Result) throws -> Result {
    try withTable { table in
      let record = ml_of(lua)!
      var name = name
      let status = name.withUTF8 { bytes in
        bytes.withMemoryRebound(to: CChar.self) {
          ml_raw_field(record, lua, table, $0.baseAddress, $0.count)
        }
      }
      if status != LUA_OK { throw try State.owning(record).captureError(status, lua) }
      return try body(Slot(lua, lua_gettop(lua)))
    }
  }

  /// Calls `body` with each element of a list in order, `t[1]` to `t[#t]` without metamethods, or the first few. Whoever
  /// goes to the end throws at a nil: of a table with holes, the length can be huge.
  @inlinable
  public func forEachElement(atMost limit: Int = .max, _ body: (_ position: Int, _ element: Slot) throws -> Void) throws {
    try withTable { table in
      let count = min(Int(lua_rawlen(lua, table)), limit)
      guard count > 0 else { return }
      for position in 1...count {
        lua_rawgeti(lua, table, lua_Integer(position))
        try body(position, Slot(lua, lua_gettop(lua)))
        lua_settop(lua, table)
      }
    }
  }

  /// Calls `body` with each key and value, in Lua's order. Where that runs a script which assigns to the table, some are
  /// passed over or come twice, and it throws when the present key is gone. Asking costs 30 ns for each; `runsScripts: false`
  /// says that nothing of the kind can happen.
  @inlinable
  public func forEachPair(runsScripts: Bool = true, _ body: (_ key: Slot, _ value: Slot) throws -> Void) throws {
    try withTable { table in
      lua_pushnil(lua)
      while runsScripts ? ml_next_if_there(lua, table) : ml_next(lua, table) {
        try body(Slot(lua, table + 1), Slot(lua, table + 2))
        lua_settop(lua, table + 1)
      }
      if lua_gettop(lua) != table { throw changed }
    }
  }

  /// The number of keys of a table, and whether one of them is a string.
  public var keys: (count: Int, haveNames: Bool) {
    let found: (Int, Bool)? = try? withTable { table in
      var (count, haveNames) = (0, false)
      lua_pushnil(lua)
      while ml_next(lua, table) {
        count += 1
        lua_settop(lua, -2)
        if lua_type(lua, -1) == LUA_TSTRING { haveNames = true }
      }
      return (count, haveNames)
    }
    return found ?? (0, false)
  }

  /// Whether the table has no keys.
  public var isEmptyTable: Bool {
    let isEmpty: Bool? = try? withTable { table in
      lua_pushnil(lua)
      return !ml_next(lua, table)
    }
    return isEmpty ?? false
  }

  /// Copies elements of a list of numbers, from `first` on, until the buffer is full or an element is not a number;
  /// returns how many were copied and whether all of them were of the integer subtype.
  public func copyNumbers(
    from first: Int = 1, into buffer: UnsafeMutableBufferPointer<Double>
  ) -> (count: Int, allIntegers: Bool) {
    guard type == .table, lua_checkstack(lua, 1) != 0 else { return (0, false) }
    var allIntegers = true
    for offset in 0..<buffer.count {
      let type = lua_rawgeti(lua, index, lua_Integer(first + offset))
      defer { lua_settop(lua, -2) }
      guard type == LUA_TNUMBER else { return (offset, allIntegers) }
      if lua_isinteger(lua, -1) == 0 { allIntegers = false }
      buffer[offset] = lua_tonumberx(lua, -1, nil)
    }
    return (buffer.count, allIntegers)
  }

  /// Walks nested lists depth first: `leaf` receives every element that is not a table, with its depth
  /// (1 for elements of this list); `list` every table, this one first, with its depth (0 for this one) and length.
  /// Throws when the nesting exceeds `maximumDepth`, as it does for a table that contains itself.
  public func walkLists(
    maximumDepth: Int, list: (_ depth: Int, _ length: Int) throws -> Void,
    leaf: (_ depth: Int, _ element: Slot) throws -> Void
  ) throws {
    func walk(_ slot: Slot, _ depth: Int) throws {
      guard depth <= maximumDepth else {
        throw LuaError("lists are nested more than \(maximumDepth) deep, or contain themselves")
      }
      try list(depth, slot.rawLength)
      try slot.forEachElement { _, element in
        if element.type == .table { try walk(element, depth + 1) } else { try leaf(depth + 1, element) }
      }
    }
    try walk(self, 0)
  }

  /// Copies the table to the top, gives `body` its index, and restores the stack.
  @inlinable
  func withTable<Result>(_ body: (Int32) throws -> Result) throws -> Result {
    guard lua_type(lua, index) == LUA_TTABLE else { throw notATable }
    guard lua_checkstack(lua, 6) != 0 else { throw tooDeep }
    let top = lua_gettop(lua)
    defer { lua_settop(lua, top) }
    lua_pushvalue(lua, index)
    if lua_getmetatable(lua, top + 1) != 0 {
      lua_pushboolean(lua, 0)
      lua_rawget(lua, -2)
      if lua_type(lua, -1) == LUA_TTABLE { lua_copy(lua, -1, top + 1) }
      lua_settop(lua, top + 1)
    }
    return try body(top + 1)
  }

  @usableFromInline var notATable: LuaError { LuaError("expected a table, got \(typeName)") }
  @usableFromInline var changed: LuaError { LuaError("the table changed while it was read") }
  @usableFromInline var tooDeep: LuaError { LuaError(.memory, "stack overflow") }
}

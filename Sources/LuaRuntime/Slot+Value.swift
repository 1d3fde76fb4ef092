// Between values in place and values in the host's hands.
import CLuaShim

extension Slot {
  /// The value for keeping: tables, functions and handles become references. Throws when memory is short.
  public func value() throws -> Value { try State.owning(ml_of(lua)!).value(at: index, lua) }
}

extension State {
  /// Calls `body` with a value in place. A list, record, function or object becomes a new Lua value first.
  public func withSlot<Result>(of value: Value, _ body: (Slot) throws -> Result) throws -> Result {
    try withLua { lua in
      try push([value], lua)
      return try body(Slot(lua, lua_gettop(lua)))
    }
  }

  /// What `tostring` gives for a value. Throws what its metamethod raises.
  public func text(of value: Value) throws -> String {
    try withLua { lua in
      try push([value], lua)
      try check(ml_tostring(pointer, lua, lua_gettop(lua)), lua)
      return Slot(lua, lua_gettop(lua)).string ?? ""
    }
  }
}

// Looking behind values without running Lua code: what printing and completion are made of.
import CLuaShim

extension Slot {
  /// Calls `body` with the metatable; nil when there is none.
  public func withMetatable<Result>(_ body: (Slot) throws -> Result) throws -> Result? {
    guard lua_checkstack(lua, 4) != 0 else { throw tooDeep }
    let top = lua_gettop(lua)
    defer { lua_settop(lua, top) }
    guard lua_getmetatable(lua, index) != 0 else { return nil }
    return try body(Slot(lua, top + 1))
  }

  /// `__name` of the metatable, when it is a string.
  public var metatableName: String? {
    let name: String?? = try? withMetatable { try $0.withField("__name") { $0.string } }
    return name ?? nil
  }

  /// Calls `body` with `t[key]`, read without metamethods.
  public func withRawValue<Result>(_ key: Value, _ body: (Slot) throws -> Result) throws -> Result {
    try withTable { table in
      try State.owning(ml_of(lua)!).push([key], lua)
      lua_rawget(lua, table)
      return try body(Slot(lua, lua_gettop(lua)))
    }
  }

  /// The methods and properties of a handle, and of the kinds it inherits from.
  public var memberNames: (methods: [String], properties: [String]) {
    var lists: [[String]] = [[], []]
    guard kindIdentifier > ML_KIND_FUNCTION else { return ([], []) }
    _ = try? withMetatable { metatable in
      // kinds.c keeps them in the metatable, methods under 1 and getters under 2.
      for position in 1...2 {
        try metatable.withElement(position) { members in
          try members.forEachPair { key, _ in if let name = key.string { lists[position - 1].append(name) } }
        }
      }
    }
    return (lists[0], lists[1])
  }
}

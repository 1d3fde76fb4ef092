// How a Swift error reads in Lua.

/// An error with a text of its own for scripts, for instance with positions that count from 1.
///
/// The Swift error itself stays the `cause` of the ``LuaError`` that reaches the host.
public protocol LuaErrorConvertible: Error {
  /// One sentence, without a position.
  var luaMessage: String { get }
  /// What sort of ``LuaError`` it becomes: `runtime` unless it says otherwise.
  var luaKind: LuaError.Kind { get }
}

extension LuaErrorConvertible {
  /// `runtime`.
  public var luaKind: LuaError.Kind { .runtime }
}

// The host API: a Lua state with the library in it, and values that cross between Swift and scripts.

@_exported import Tensors
@_exported import Training
import Bindings
import LuaRuntime

public typealias LuaError = LuaRuntime.LuaError

/// A Lua interpreter with `moongrad` in it, for running scripts and exchanging values with them.
///
/// A session belongs to one thread at a time.
public final class Session {
  /// Moongrad's version.
  public static let version = Library.version

  package let state: State

  public init() throws {
    state = try State()
    try Library.install(in: state)
  }

  /// Runs a script file. `arguments` become `...` and `arg` in it.
  public func run(file path: String, arguments: [String] = []) throws {
    try state.run(file: path, arguments: arguments)
  }

  /// Runs source text.
  public func run(_ source: String, name: String? = nil) throws {
    try state.run(source: source, chunkName: name)
  }
}

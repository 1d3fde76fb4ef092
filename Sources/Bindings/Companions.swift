// What the library keeps with each state: the names that its own Lua sees, and what makes lists of sizes.

import LuaRuntime
import Tensors

/// Lua values of one state that Swift calls.
final class Companions {
  /// The globals of the library's chunks, see Lua/environment.lua.
  let environment: TableReference
  /// Gives a list of numbers the metatable of sizes, see Lua/sizes.lua.
  let sizes: FunctionReference
  /// `warn` as it was before any script ran.
  let warn: Value
  /// Who knows the modules that scripts define.
  let modules = ModuleLibrary()
  /// Whether scripts may start copies of this process.
  let allowsProcesses: Bool

  init(_ state: State, allowsProcesses: Bool) throws {
    self.allowsProcesses = allowsProcesses
    guard case .table(let environment)? = try state.run(library: "environment", PackageResources.environment_lua, in: nil).first,
      case .function(let sizes)? = try state.run(library: "sizes", PackageResources.sizes_lua, in: environment).first
    else { throw LuaError("the library's environment could not be made") }
    self.environment = environment
    self.sizes = sizes
    warn = try environment.get("warn")
  }

  private var hasBatches = false

  /// Says what tensors of a batch are, at first: they have as many methods as tensors, and few sessions need them.
  func defineBatches(_ state: State) throws {
    if hasBatches { return }
    try CommonFunctions.all.batches(state)
    hasBatches = true
  }
}

extension State {
  /// Made when the library was installed.
  var companions: Companions {
    get throws {
      guard let companions = companion as? Companions else { throw LuaError("this state has no moongrad") }
      return companions
    }
  }

  /// Runs a chunk of the library: its bytecode, where that is this Lua's, else its source.
  func run(library name: String, _ resource: [UInt8], _ arguments: [Value] = [], in environment: TableReference?) throws -> [Value] {
    if State.luaRelease == CompiledLua.release, let code = CompiledLua.part(name) {
      return try run(bytecode: code, arguments: arguments, environment: environment)
    }
    return try run(
      source: Help.text(of: resource), chunkName: State.Configuration.internalPrefix + name, arguments: arguments,
      environment: environment)
  }

  /// A warning through what scripts call `warn` now, so that they can switch it off, or by Lua's own where that is gone or fails.
  func warn(_ text: String) {
    if case .function(let warn)? = try? global("warn"), (try? warn.call([.string(text)])) != nil { return }
    if case .function(let warn)? = (try? companions)?.warn { _ = try? warn.call([.string(text)]) }
  }

  /// The same, once for the session.
  func warnOnce(_ text: String) { if Notice.isNews(text) { warn(text) } }
}

extension Call {
  /// Who knows the modules of this state.
  var library: ModuleLibrary { get throws { try state.companions.modules } }

  /// Returns sizes as a list that says what it holds.
  mutating func returns(sizes: [Int]) throws {
    for list in try state.companions.sizes.call(.list(sizes.map(Value.integer))) { returns(list) }
  }
}

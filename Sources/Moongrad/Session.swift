// The host API: a Lua state with the library in it, and values that cross between Swift and scripts.

@_exported import Tensors
@_exported import Training
import Bindings
import LuaRuntime

/// What everything of a session throws, and what stops its scripts.
public typealias LuaError = LuaRuntime.LuaError
public typealias Interrupter = LuaRuntime.Interrupter

/// A Lua interpreter with `moongrad` in it, for running scripts and exchanging values with them.
///
/// ```swift
/// let session = try Session()
/// session["learning_rate"] = 0.1
/// session.function("next_batch") { (index: Int) throws -> (Tensor, Tensor) in try source.batch(index) }
/// try session.run(file: "train.lua", arguments: ["--fast"])
/// let loss = try session.evaluate("loss:item()", as: Double.self)
/// let net: Module = try session.value("net")
/// ```
///
/// A session belongs to one thread at a time, and so does everything it hands out except its ``interrupter``.
/// Everything that fails throws a ``LuaError`` with message, position and traceback.
public final class Session {
  /// Moongrad's version.
  public static let version = Library.version

  /// What a new session is like.
  public struct Configuration: Sendable {
    /// The most bytes that Lua's values and the session's tensors may take together; nil for no limit. Tensors that the host
    /// made outside of the session do not count.
    public var memoryLimit: Int?

    /// Whether scripts may start copies of this process to use all processors, as `mg.experiment` does. Only for a process whose other
    /// threads hold no locks that a script could need, since a copy has the calling thread alone: the command allows it.
    public var allowsProcesses: Bool

    /// That limit in bytes, nil for none, and whether scripts may start processes.
    public init(memoryLimit: Int? = nil, allowsProcesses: Bool = false) {
      self.memoryLimit = memoryLimit
      self.allowsProcesses = allowsProcesses
    }
  }

  /// What the session was made with.
  public let configuration: Configuration
  /// The modes, random numbers, memory and other surroundings of the session's operations, which it shares with nothing.
  public let context: Context
  /// Stops a running script from any thread or from a signal handler.
  public let interrupter: Interrupter
  package let state: State
  /// Receives each warning: `warn(…)` and errors in finalizers. nil prints to standard error.
  public var warnings: ((String) -> Void)? {
    get { warningSink.handler }
    set { warningSink.handler = newValue }
  }
  private let warningSink: WarningSink
  /// How modules of scripts are read.
  let instances: Instances
  var scriptModules: [UnsafeRawPointer: WeakModule] = [:]
  /// A failure where nothing could be thrown; thrown by the next call that can.
  private var pendingError: (any Error)?

  /// Opens a Lua state with the library in it. Throws when memory is short.
  public init(_ configuration: Configuration = Configuration()) throws {
    self.configuration = configuration
    warningSink = WarningSink()
    var settings = State.Configuration(memoryLimit: configuration.memoryLimit)
    settings.warningSink = { [warningSink] in warningSink.receive($0) }
    context = Context()
    // A little less for tensors, so that it is one of them that is refused, with an error that says how large it was.
    context.memoryLimit = configuration.memoryLimit.map { $0 - min($0 / 16, 8 << 20) }
    state = try State(settings, surroundings: State.Surroundings(enter: context.enter, leave: context.leave))
    interrupter = Interrupter(state)
    instances = try context.run { [state] in try Library.install(in: state, allowsProcesses: configuration.allowsProcesses) }
  }

  /// Asks a running script to stop; it ends with an error that `pcall` does not catch. From other threads, use the
  /// ``interrupter``.
  public func interrupt() { interrupter.interrupt() }

  // MARK: Running

  /// Runs a script file. `arguments` become `...` and `arg` in it, and `require` finds modules beside it.
  public func run(file path: String, arguments: [String] = []) throws {
    try addSearchPaths(beside: Array(path.utf8))
    _ = try entering { try state.run(file: path, arguments: arguments) }
  }

  /// Runs source text, which messages call `name`.
  public func run(_ source: String, name: String? = nil) throws {
    _ = try entering { try state.run(source: source, chunkName: name.map { "=" + $0 }) }
  }

  /// The value of an expression, or the first one that a chunk returns.
  public func evaluate<T: LuaConvertible>(_ source: String, as type: T.Type = T.self) throws -> T {
    try entering { try decode(try state.evaluate(source), root: "result") }
  }

  /// The values of an expression list, or those that a chunk returns.
  public func evaluate<First: LuaConvertible, Second: LuaConvertible, each Other: LuaConvertible>(
    _ source: String, as type: (First, Second, repeat each Other).Type = (First, Second, repeat each Other).self
  ) throws -> (First, Second, repeat each Other) {
    try entering { try decodeSeveral(try state.evaluate(source)) }
  }

  // MARK: Globals

  /// A global, or the field of one: `value("config.rate")`. Throws when there is none, or one of another type.
  public func value<T: LuaConvertible>(_ name: String, as type: T.Type = T.self) throws -> T {
    try entering {
      var value = LuaValue.nil
      var path = ""
      for part in name.split(separator: ".", omittingEmptySubsequences: false) {
        if path.isEmpty {
          value = try state.global(String(part))
        } else if case .table(let table) = value {
          value = try table.get(String(part))
        } else {
          return try decodeTable(value, root: path)
        }
        path += path.isEmpty ? part : "." + part
      }
      return try decode(value, root: path)
    }
  }

  /// A global. Reading gives nil when there is none, or one of another type; ``value(_:as:)`` says which.
  public subscript<T: LuaConvertible>(_ name: String) -> T? {
    get { try? value(name) }
    set { assign(name, newValue) }
  }

  /// Removes a global.
  public func remove(_ name: String) { assign(name, LuaValue.nil) }

  /// Sets a global. A failure, which can only be that memory is short or that a script forbids new globals, is
  /// thrown by the next run.
  func assign(_ name: String, _ value: some LuaConvertible) {
    do {
      try state.setGlobal(name, try value.luaValue)
    } catch {
      pendingError = pendingError ?? error
    }
  }

  // MARK: Into Lua and back

  /// Runs `body`, which calls into Lua.
  ///
  /// The host's modes hold inside: under `withNoGrad` a script records nothing either. What the script sets stays the
  /// session's own, and does not leak into the host.
  func entering<Result>(_ body: () throws -> Result) throws -> Result {
    if let error = pendingError {
      pendingError = nil
      throw error
    }
    // Modes proper: hooks on saved values are another context's own.
    let modes = GradMode.bits & GradMode.mask
    return try context.run {
      let word = state.word
      let joined = word | UInt64(modes)
      if joined != word { state.word = joined }
      defer { if joined != word { state.word = word } }
      return try body()
    }
  }

  /// Runs `body`, and gives a conversion's failure its place.
  func converting<Result>(_ root: String, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let failure as ConversionFailure {
      throw failure.error(root: root)
    }
  }

  func decode<T: LuaConvertible>(_ value: LuaValue, root: String) throws -> T {
    try converting(root) { try state.withSlot(of: value) { try T.decode(LuaSource($0, self)) } }
  }

  func decode<T: LuaConvertible>(_ values: [LuaValue], root: String) throws -> T {
    try decode(values.first ?? .nil, root: root)
  }

  func decodeSeveral<First: LuaConvertible, Second: LuaConvertible, each Other: LuaConvertible>(
    _ values: [LuaValue]
  ) throws -> (First, Second, repeat each Other) {
    var position = 0
    return (
      try result(First.self, values, &position), try result(Second.self, values, &position),
      repeat try result((each Other).self, values, &position)
    )
  }

  private func result<T: LuaConvertible>(_ type: T.Type, _ values: [LuaValue], _ position: inout Int) throws -> T {
    position += 1
    return try decode(position <= values.count ? values[position - 1] : .nil, root: "result \(position)")
  }

  /// Fails: what is not a table has no fields.
  private func decodeTable<T>(_ value: LuaValue, root: String) throws -> T {
    let table: LuaTable = try decode(value, root: root)
    throw LuaError(.conversion, "\(root): expected table, got \(table)")
  }
}

/// Where warnings go. Called on the session's thread only.
private final class WarningSink: @unchecked Sendable {
  var handler: ((String) -> Void)?

  func receive(_ message: String) {
    if let handler { handler(message) } else { printWarning(message) }
  }
}

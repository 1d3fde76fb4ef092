// The host API: a Lua state with the library in it, and values that cross between Swift and scripts.

@_exported import Tensors
@_exported import Training
import Bindings
import LuaRuntime

/// What everything of a session throws, and what stops its scripts.
public typealias LuaError = LuaRuntime.LuaError
/// An error of the host's own with a text, and a kind, for scripts.
public typealias LuaErrorConvertible = LuaRuntime.LuaErrorConvertible
/// Stops a running script from any thread or from a signal handler.
public typealias Interrupter = LuaRuntime.Interrupter
/// How long scripts may take.
public typealias RunLimits = LuaRuntime.RunLimits

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
/// A session belongs to one thread at a time, and so does everything it hands out except its ``interrupter``. It may move to another
/// thread between two calls, with all that is its own: random numbers, dtype, modes, memory. What a thread calls while another one is
/// inside of the session is an error of kind `.unavailable`, and does nothing.
/// Everything that fails throws a ``LuaError`` with message, position and traceback.
public final class Session {
  /// Moongrad's version.
  public static let version = Library.version

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
  /// Receives what scripts print, by `print`, by `io.write` and by functions of the library; nil leaves it to standard output. A line
  /// of `print` comes whole, with its end; bytes that are not UTF-8 come as U+FFFD.
  ///
  /// ```swift
  /// session.output = { text in console.append(text) }
  /// ```
  ///
  /// The session keeps the closure: one that uses the session should capture it `unowned`.
  public var output: ((String) -> Void)? {
    didSet {
      guard let output else { return state.output = nil }
      state.output = { output(String(decoding: $0, as: UTF8.self)) }
    }
  }
  /// How modules of scripts are read.
  let instances: Instances
  var scriptModules: [UnsafeRawPointer: WeakModule] = [:]
  let hostTypes = HostTypes()
  /// Whether scripts run under the configuration's limits.
  private var isLimited = false
  /// See `deeper`.
  var conversionDepth = 0
  /// Those of the last run that had any.
  private var lastLimits = RunLimits()
  /// A failure where nothing could be thrown; thrown by the next call that can.
  private var pendingError: (any Error)?

  /// Makes the globals of a script that has its own; and in a sandbox, where each has, those of the last.
  private var newEnvironment: FunctionReference?
  private var environment: TableReference?

  /// Opens a Lua state with the library in it. Throws when memory is short.
  public init(_ configuration: Configuration = Configuration()) throws {
    self.configuration = configuration
    warningSink = WarningSink()
    let memoryLimit = [configuration.memoryLimit, ProcessMemory.scriptLimit].compactMap { $0 }.min()
    var settings = State.Configuration(memoryLimit: memoryLimit)
    settings.libraries = configuration.libraries
    settings.exitsProcess = configuration.exitsProcess
    settings.allowsBinaryChunks = configuration.allowsBinaryChunks && !configuration.isSandboxed
    settings.warningSink = { [warningSink] in warningSink.receive($0) }
    context = Context()
    // A little less for tensors, so that it is one of them that is refused, with an error that says how large it was.
    context.memoryLimit = memoryLimit.map { $0 - min($0 / 16, 8 << 20) }
    state = try State(settings, surroundings: State.Surroundings(enter: context.enter, leave: context.leave))
    interrupter = Interrupter(state)
    context.heed(state.stopFlag)
    state.kindOfType = { [hostTypes] in hostTypes.kind(of: $0) }
    let allowsProcesses = configuration.allowsProcesses && !configuration.isSandboxed
    instances = try context.run { [state] in try Library.install(in: state, allowsProcesses: allowsProcesses) }
    state.owner = self
    guard configuration.isSandboxed else { return }
    let policy = FilePolicy(reading: configuration.readableFolders, writing: configuration.writableFolders)
    context.files = policy
    newEnvironment = try context.run { [state] in try Library.sandbox(state, lendsFiles: policy.lendsAnything) }
  }

  deinit {
    // Finalizers run, under limits that the scripts had which they are from.
    context.run { [state, lastLimits] in _ = try? state.limited(lastLimits) { state.close() } }
    context.heed(nil)
  }

  /// Asks a running script to stop; it ends with an error that `pcall` does not catch. From other threads, use the
  /// ``interrupter``.
  public func interrupt() { interrupter.interrupt() }

  // MARK: Running

  /// Runs a script file. `arguments` become `...` and `arg` in it, and `require` finds modules beside it, or in a sandbox in the folders
  /// that it lends for reading.
  ///
  /// `limits` hold for this run; those of the configuration hold for every one.
  public func run(file path: String, arguments: [String] = [], limits: RunLimits = RunLimits()) throws {
    if !configuration.isSandboxed { try addSearchPaths(beside: Array(path.utf8)) }
    _ = try entering(limits) { try state.run(file: path, arguments: arguments, environment: try freshEnvironment()) }
  }

  /// Runs source text, which messages call `name`.
  public func run(_ source: String, name: String? = nil, limits: RunLimits = RunLimits()) throws {
    _ = try entering(limits) { try state.run(source: source, chunkName: name.map { "=" + $0 }, environment: try freshEnvironment()) }
  }

  /// The value of an expression, or the first one that a chunk returns. In a sandbox it sees what the last script left.
  public func evaluate<T: LuaConvertible>(_ source: String, as type: T.Type = T.self, limits: RunLimits = RunLimits()) throws -> T {
    try entering(limits) { try decode(try evaluated(source), root: "result") }
  }

  /// The values of an expression list, or those that a chunk returns.
  public func evaluate<First: LuaConvertible, Second: LuaConvertible, each Other: LuaConvertible>(
    _ source: String, as type: (First, Second, repeat each Other).Type = (First, Second, repeat each Other).self,
    limits: RunLimits = RunLimits()
  ) throws -> (First, Second, repeat each Other) {
    try entering(limits) { try decodeSeveral(try evaluated(source)) }
  }

  private func evaluated(_ source: String) throws -> [LuaValue] { try loadExpression(source).call() }

  func loadExpression(_ source: String) throws -> FunctionReference {
    try state.load(evaluating: source, environment: try environment ?? freshEnvironment())
  }

  /// The globals of a script that begins; nil where all scripts share them.
  package func freshEnvironment() throws -> TableReference? {
    guard configuration.isSandboxed else { return nil }
    environment = try makeEnvironment()
    return environment
  }

  /// New globals, under which those of the session are found.
  func makeEnvironment() throws -> TableReference {
    let make = try newEnvironment ?? Library.environments(of: state)
    newEnvironment = make
    let folders = (configuration.readableFolders + configuration.writableFolders).map {
      LuaValue.string($0.hasSuffix("/") ? String($0.dropLast()) : $0)
    }
    guard case .table(let made)? = try make.call([.list(folders)]).first else { throw LuaError("no globals could be made") }
    return made
  }

  // MARK: Globals

  /// A global, or the field of one: `value("config.rate")`. Throws when there is none, or one of another type.
  public func value<T: LuaConvertible>(_ name: String, as type: T.Type = T.self) throws -> T { try value(name, in: environment) }

  /// The same among the globals of a script, if it has its own.
  func value<T: LuaConvertible>(_ name: String, in environment: TableReference?) throws -> T {
    try entering { try lookUp(name, in: environment) }
  }

  /// The same for whoever has entered: entering again would take the modes of Lua's last call for the host's.
  func lookUp<T: LuaConvertible>(_ name: String, in environment: TableReference?) throws -> T {
    var value = LuaValue.nil
    var path = ""
    for part in name.split(separator: ".", omittingEmptySubsequences: false) {
      if path.isEmpty {
        value = try environment?.get(String(part)) ?? state.global(String(part))
      } else if case .table(let table) = value {
        value = try table.get(String(part))
      } else {
        return try decodeTable(value, root: path)
      }
      path += path.isEmpty ? part : "." + part
    }
    return try decode(value, root: path)
  }

  /// A global. Reading gives nil when there is none, or one of another type; ``value(_:as:)`` says which.
  public subscript<T: LuaConvertible>(_ name: String) -> T? {
    get { try? value(name) }
    set { assign(name, newValue) }
  }

  /// Sets a global, and throws what ``subscript(_:)`` leaves for the next run: that memory is short, that the value has no counterpart in
  /// Lua, or that a script forbids new globals.
  public func set(_ name: String, _ value: some LuaConvertible) throws {
    try entering { try state.setGlobal(name, try converting(name) { try value.luaValue }) }
  }

  /// Removes a global.
  public func remove(_ name: String) { assign(name, LuaValue.nil) }

  /// Sets a global. A failure, which can only be that memory is short or that a script forbids new globals, is
  /// thrown by the next run.
  func assign(_ name: String, _ value: some LuaConvertible, in environment: TableReference? = nil) {
    do {
      let value = try converting(name) { try value.luaValue }
      if let environment { try environment.set(name, value) } else { try state.setGlobal(name, value) }
    } catch {
      pendingError = pendingError ?? error
    }
  }

  // MARK: Into Lua and back

  /// Runs `body`, which calls into Lua.
  ///
  /// The host's modes hold inside: under `withNoGrad` a script records nothing either. What the script sets stays the
  /// session's own, and does not leak into the host.
  package func entering<Result>(_ limits: RunLimits = RunLimits(), _ body: () throws -> Result) throws -> Result {
    try state.checkThread()
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
      do {
        return try limited(limits, body)
      } catch let error as LuaError where error.kind == .memory || (error.cause as? TensorError)?.kind == .memory {
        // What filled the memory is garbage now: the next script has all of it.
        _ = try? limited(limits) { state.collect() }
        throw error
      }
    }
  }

  /// The same for a piece of a run, of what the limits leave for all of it.
  func entering<Result>(spending rest: inout RunLimits, _ body: () throws -> Result) throws -> Result {
    if rest.isEmpty { return try entering(RunLimits(), body) }
    let wasLimited = isLimited
    isLimited = true
    defer { isLimited = wasLimited }
    return try entering { try state.limited(spending: &rest, body) }
  }

  /// Runs `body` under these limits and the configuration's. What is called within a script is under those that hold for it.
  private func limited<Result>(_ limits: RunLimits, _ body: () throws -> Result) throws -> Result {
    let all = configuration.limits.stricter(of: limits)
    if all.isEmpty || isLimited && limits.isEmpty { return try body() }
    lastLimits = all
    let wasLimited = isLimited
    isLimited = true
    defer { isLimited = wasLimited }
    return try state.limited(all, body)
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

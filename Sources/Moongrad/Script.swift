// Scripts as objects: compiled once, run as often as one likes, with globals of their own, and read again when their file changes.

import Glibc
import LuaRuntime

/// A script with globals of its own, under which it finds those of the session.
///
/// ```swift
/// let script = try session.load(file: "enemy.lua")
/// script["speed"] = 2.5
/// try script.run()                                   // defines its functions
/// let move: Double = try script.call("move", 0.1)
/// try script.runIfChanged()                          // while the game goes on
/// ```
///
/// What it assigns to global names, and what it loads with `load` and `dofile`, stays in its globals; modules that it requires are
/// the session's. It works on the session's thread, and under the session's limits.
///
/// It works as long as its session, which it does not keep: whoever has the script has the session too, or `try Session().load(…)`
/// gives a script whose session is gone. (If it did, an object of the host's that scripts hold and that has a script, as an enemy has its
/// own, would keep the session for ever: the session its objects, the object its script, the script the session.)
public final class Script {
  /// What messages call it; of a file its path, unless it was given another.
  public let name: String
  /// The file that it is read from, if it is.
  public let path: String?
  /// Its globals as a table.
  public var globals: LuaTable { LuaTable(reference: environment, session: session) }

  private weak var session: Session?
  private(set) var chunk: FunctionReference
  private var environment: TableReference
  private var stamp: FileStamp?
  /// Whether what was read last has been run, if only in part.
  private var hasRun = false

  fileprivate init(
    _ name: String, path: String?, _ chunk: FunctionReference, _ environment: TableReference, _ stamp: FileStamp?, _ session: Session
  ) {
    (self.name, self.path, self.chunk, self.environment) = (name, path, chunk, environment)
    (self.stamp, self.session) = (stamp, session)
  }

  // MARK: Running

  /// Runs it from the beginning, with arguments that it finds in `...`, and in `arg` where it is a file; what it returns.
  @discardableResult
  public func run(arguments: [any LuaConvertible] = [], limits: RunLimits = RunLimits()) throws -> LuaValues {
    let session = try living()
    let results = try session.entering(limits) {
      let (chunk, values) = try begin(arguments)
      return try chunk.call(values)
    }
    return LuaValues(results, after: 0, session)
  }

  /// Runs it for the first value that it returns.
  public func run<T: LuaConvertible>(
    arguments: [any LuaConvertible] = [], as type: T.Type, limits: RunLimits = RunLimits()
  ) throws -> T {
    let results = try run(arguments: arguments, limits: limits)
    return try living().decode(results.first ?? .nil, root: "result")
  }

  /// The value of an expression, or the first one that a chunk returns, among the script's globals.
  public func evaluate<T: LuaConvertible>(_ source: String, as type: T.Type = T.self, limits: RunLimits = RunLimits()) throws -> T {
    let session = try living()
    return try session.entering(limits) {
      try session.decode(try session.state.evaluate(source, environment: environment), root: "result")
    }
  }

  /// The chunk and its arguments, for a run that begins.
  func begin(_ arguments: [any LuaConvertible]) throws -> (FunctionReference, [LuaValue]) {
    let values = try values(of: arguments)
    hasRun = true
    return (chunk, values)
  }

  private func values(of arguments: [any LuaConvertible]) throws -> [LuaValue] {
    let values = try arguments.map { try $0.luaValue }
    if let path {
      let fields = values.enumerated().map { (key: LuaValue.integer($0.offset + 1), value: $0.element) }
      try environment.set("arg", .record([(key: .integer(0), value: .string(path))] + fields))
    }
    return values
  }

  // MARK: Globals

  /// One of its globals or of the session's, or the field of one: `value("config.rate")`. Throws when there is none, or one of
  /// another type.
  public func value<T: LuaConvertible>(_ name: String, as type: T.Type = T.self) throws -> T {
    try living().value(name, in: environment)
  }

  /// A global of the script. Reading gives nil when there is none, or one of another type; ``value(_:as:)`` says which.
  public subscript<T: LuaConvertible>(_ name: String) -> T? {
    get { try? value(name) }
    set { session?.assign(name, newValue, in: environment) }
  }

  /// Calls one of its functions for what it does.
  ///
  /// `limits` hold for this call, the look-up of the name included; those of the session's configuration hold for every one.
  public func call<each Argument: LuaConvertible>(
    _ name: String, _ arguments: repeat each Argument, limits: RunLimits = RunLimits()
  ) throws {
    _ = try results(of: name, repeat each arguments, limits: limits)
  }

  /// Calls one of its functions for the first result.
  public func call<each Argument: LuaConvertible, Result: LuaConvertible>(
    _ name: String, _ arguments: repeat each Argument, limits: RunLimits = RunLimits()
  ) throws -> Result {
    try living().decode(try results(of: name, repeat each arguments, limits: limits), root: "result")
  }

  private func results<each Argument: LuaConvertible>(
    of name: String, _ arguments: repeat each Argument, limits: RunLimits
  ) throws -> [LuaValue] {
    let session = try living()
    let values = try session.values(of: repeat each arguments)
    return try session.entering(limits) {
      let function: LuaFunction = try session.lookUp(name, in: environment)
      return try function.reference.call(values)
    }
  }

  // MARK: Reading it again

  /// Reads and compiles the file again; the next run is the new script's. Its globals stay unless they are to go: then it has new
  /// ones, and functions that somebody holds keep the old.
  ///
  /// Throws when the file cannot be read or compiled; the script is then what it was.
  public func reload(keepingGlobals: Bool = true) throws {
    let session = try living()
    guard let path else { throw LuaError(.file, "the script \(name) is of no file that it could be read from again") }
    // Noted also when it fails, so that a mistake is reported once for each change of the file.
    stamp = FileStamp(path)
    let new = try session.entering {
      (
        try session.state.load(bytes: scriptText(try readFile(path)), chunkName: chunkName(path, name)),
        keepingGlobals ? environment : try session.makeEnvironment()
      )
    }
    try new.0.setEnvironment(new.1)
    (chunk, environment) = new
    hasRun = false
  }

  /// The same if the file has changed since it was read; whether it has.
  public func reloadIfChanged(keepingGlobals: Bool = true) throws -> Bool {
    guard let path, let now = FileStamp(path), now != stamp else { return false }
    try reload(keepingGlobals: keepingGlobals)
    return true
  }

  /// Reads the file again if it has changed, and runs what it says unless that has been run: the first time, and then once for each
  /// change. Whether it ran. For a loop that asks at each turn.
  ///
  /// A text that does not compile is reported once, and so is a run that fails: the next call does nothing until the file changes again.
  @discardableResult
  public func runIfChanged(
    arguments: [any LuaConvertible] = [], keepingGlobals: Bool = true, limits: RunLimits = RunLimits()
  ) throws -> Bool {
    _ = try reloadIfChanged(keepingGlobals: keepingGlobals)
    if hasRun { return false }
    try run(arguments: arguments, limits: limits)
    return true
  }

  func living() throws -> Session {
    guard let session else {
      throw LuaError(.unavailable, "the session of the script \(name) is closed: a script does not keep it, whoever uses the script must")
    }
    return session
  }
}

extension Session {
  /// Reads and compiles a script file, which ``Script/run(arguments:limits:)`` runs. `require` finds modules beside it, or in a sandbox
  /// in the folders that it lends for reading. Messages call it `name`, or by its path. Throws when it cannot be read or compiled. The
  /// script does not keep the session: the host does.
  ///
  /// ```swift
  /// let script = try session.load(file: bundle + "/scripts/enemy.lua", name: "enemy.lua")   // enemy.lua:3: no such move
  /// ```
  public func load(file path: String, name: String? = nil) throws -> Script {
    if !configuration.isSandboxed { try addSearchPaths(beside: Array(path.utf8)) }
    let (name, stamp) = (name ?? path, FileStamp(path))
    return try script(name, path: path, stamp) {
      try state.load(bytes: scriptText(try readFile(path)), chunkName: chunkName(path, name))
    }
  }

  /// Compiles source text, which messages call `name`.
  public func load(_ source: String, name: String = "script") throws -> Script {
    try script(name, path: nil, nil) { try state.load(source, chunkName: "=" + name) }
  }

  private func script(_ name: String, path: String?, _ stamp: FileStamp?, _ load: () throws -> FunctionReference) throws -> Script {
    try entering {
      let (chunk, environment) = (try load(), try makeEnvironment())
      try chunk.setEnvironment(environment)
      return Script(name, path: path, chunk, environment, stamp, self)
    }
  }
}

/// What Lua calls a file's chunk: by `@` a file that can be looked at, by `=` a name.
private func chunkName(_ path: String, _ name: String) -> String { name == path ? "@" + path : "=" + name }

/// What tells one state of a file from another.
private struct FileStamp: Equatable {
  let seconds, nanoseconds, size, number: Int

  init?(_ path: String) {
    var info = stat()
    guard stat(path, &info) == 0 else { return nil }
    (seconds, nanoseconds) = (info.st_mtim.tv_sec, info.st_mtim.tv_nsec)
    (size, number) = (Int(info.st_size), Int(info.st_ino))
  }
}

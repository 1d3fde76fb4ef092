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
/// if try script.reloadIfChanged() { try script.run() }   // while the game goes on
/// ```
///
/// What it assigns to global names, and what it loads with `load` and `dofile`, stays in its globals; modules that it requires are
/// the session's. It works as long as its session, on the same thread, and under the session's limits.
public final class Script {
  /// What messages call it; of a file its path.
  public let name: String
  /// The file that it is read from, if it is.
  public let path: String?
  /// Its globals as a table.
  public var globals: LuaTable { LuaTable(reference: environment, session: session) }

  private weak var session: Session?
  private(set) var chunk: FunctionReference
  private var environment: TableReference
  private var stamp: FileStamp?

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
    return LuaValues(try session.entering(limits) { try chunk.call(try values(of: arguments)) }, after: 0, session)
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

  func values(of arguments: [any LuaConvertible]) throws -> [LuaValue] {
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
  public func call<each Argument: LuaConvertible>(_ name: String, _ arguments: repeat each Argument) throws {
    try value(name, as: LuaFunction.self)(repeat each arguments)
  }

  /// Calls one of its functions for the first result.
  public func call<each Argument: LuaConvertible, Result: LuaConvertible>(
    _ name: String, _ arguments: repeat each Argument
  ) throws -> Result {
    try value(name, as: LuaFunction.self)(repeat each arguments)
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
        try session.state.load(bytes: scriptText(try readFile(path)), chunkName: "@" + path),
        keepingGlobals ? environment : try session.makeEnvironment()
      )
    }
    try new.0.setEnvironment(new.1)
    (chunk, environment) = new
  }

  /// The same if the file has changed since it was read; whether it has.
  public func reloadIfChanged(keepingGlobals: Bool = true) throws -> Bool {
    guard let path, let now = FileStamp(path), now != stamp else { return false }
    try reload(keepingGlobals: keepingGlobals)
    return true
  }

  func living() throws -> Session {
    guard let session else { throw LuaError(.unavailable, "the session of the script \(name) is closed") }
    return session
  }
}

extension Session {
  /// Reads and compiles a script file, which ``Script/run(arguments:limits:)`` runs. `require` finds modules beside it, or in a sandbox
  /// in the folders that it lends for reading. Throws when it cannot be read or compiled. The script does not keep the session: the host
  /// does.
  public func load(file path: String) throws -> Script {
    if !configuration.isSandboxed { try addSearchPaths(beside: Array(path.utf8)) }
    let stamp = FileStamp(path)
    return try script(path, path: path, stamp) { try state.load(bytes: scriptText(try readFile(path)), chunkName: "@" + path) }
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

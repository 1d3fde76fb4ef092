// A session for hosts that are made of tasks.

import Dispatch
import LuaRuntime
import Synchronization

/// A session that any task can use: an actor around it, which runs one piece of one script at a time.
///
/// ```swift
/// let lua = try SessionActor(.sandboxed()) { session in
///   session.asyncFunction("fetch") { (url: String) async throws -> String in try await client.get(url) }
/// }
/// try await lua.run("page = fetch('https://swift.org')")
/// let length: Int = try await lua.evaluate("#page")
/// ```
///
/// Every run can call asynchronous functions; while one waits, others go on, and see the same globals. What goes in and comes out is
/// `Sendable`; for all else, ``withSession(_:)`` lends the session itself. A task that is cancelled ends its script, and no other, with
/// an error of the kind `interrupted`; ``interrupt()`` ends all of them.
///
/// Scripts run on a thread of their own and not on Swift's, so that one which computes for long keeps no task of the host waiting.
public actor SessionActor {
  private let session: Session
  private let executor = QueueExecutor()
  private let tasks = RunningTasks()
  private nonisolated let interrupter: Interrupter

  /// The actor's own queue, on which its scripts run.
  public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  /// Opens a session, which `prepare` is given first, for functions and types. Throws what that throws, and when memory is short.
  public init(
    _ configuration: Session.Configuration = Session.Configuration(), _ prepare: @Sendable (Session) throws -> Void = { _ in }
  ) throws {
    let session = try Session(configuration)
    try prepare(session)
    interrupter = session.interrupter
    self.session = session
  }

  // MARK: Running

  /// Runs source text, which messages call `name`; see ``Session/runAsync(_:name:limits:)``.
  public func run(_ source: String, name: String? = nil, limits: RunLimits = RunLimits()) async throws {
    try await perform { try await $0.runAsync(source, name: name, limits: limits) }
  }

  /// Runs a script file.
  public func run(file path: String, arguments: [String] = [], limits: RunLimits = RunLimits()) async throws {
    try await perform { try await $0.runAsync(file: path, arguments: arguments, limits: limits) }
  }

  /// The value of an expression, or the first one that a chunk returns.
  public func evaluate<T: LuaConvertible & Sendable>(
    _ source: String, as type: T.Type = T.self, limits: RunLimits = RunLimits()
  ) async throws -> T {
    try await perform { try await $0.evaluateAsync(source, limits: limits) }
  }

  /// Calls a global function of scripts, or one in a table, for its first result.
  public func call<each Argument: LuaConvertible & Sendable, Result: LuaConvertible & Sendable>(
    _ name: String, _ arguments: repeat each Argument, limits: RunLimits = RunLimits()
  ) async throws -> Result {
    try await perform { try await $0.value(name, as: LuaFunction.self).callAsync(repeat each arguments, limits: limits) }
  }

  /// The same for what it does.
  public func call<each Argument: LuaConvertible & Sendable>(
    _ name: String, _ arguments: repeat each Argument, limits: RunLimits = RunLimits()
  ) async throws {
    try await perform { try await $0.value(name, as: LuaFunction.self).callAsync(repeat each arguments, limits: limits) }
  }

  // MARK: Values

  /// A global, or the field of one. Throws when there is none, or one of another type.
  public func value<T: LuaConvertible & Sendable>(_ name: String, as type: T.Type = T.self) throws -> T { try session.value(name) }

  /// Sets a global.
  public func set<T: LuaConvertible & Sendable>(_ name: String, _ value: T) { session[name] = value }

  /// Lends the session, on the actor. What leaves is `Sendable`: the session stays here, and so do tensors, functions and tables.
  public func withSession<Result: Sendable>(
    _ body: nonisolated(nonsending) @Sendable @escaping (Session) async throws -> Result
  ) async throws -> Result {
    try await perform(body)
  }

  // MARK: Stopping

  /// Asks all scripts to stop, those that wait too, from any thread; each ends with an error of the kind `interrupted`.
  public nonisolated func interrupt() {
    tasks.cancel()
    interrupter.interrupt()
  }

  /// Runs `body` in a task that can be cancelled from outside.
  private func perform<Result: Sendable>(
    _ body: nonisolated(nonsending) @Sendable @escaping (Session) async throws -> Result
  ) async throws -> Result {
    let task = Task { try await body(session) }
    let number = tasks.add { task.cancel() }
    defer { tasks.remove(number) }
    return try await withTaskCancellationHandler {
      try await task.value
    } onCancel: {
      task.cancel()
    }
  }
}

/// The tasks of an actor's runs, by how to cancel them.
private final class RunningTasks: Sendable {
  private let contents = Mutex<(last: Int, cancel: [Int: @Sendable () -> Void])>((0, [:]))

  func add(_ cancel: @escaping @Sendable () -> Void) -> Int {
    contents.withLock {
      $0.last += 1
      $0.cancel[$0.last] = cancel
      return $0.last
    }
  }

  func remove(_ number: Int) { contents.withLock { _ = $0.cancel.removeValue(forKey: number) } }

  func cancel() {
    // Outside of the lock, since handlers of cancellations run here.
    for cancel in contents.withLock({ Array($0.cancel.values) }) { cancel() }
  }
}

/// Runs an actor's jobs on a dispatch queue, whose threads may be kept for long.
private final class QueueExecutor: SerialExecutor {
  private let queue = DispatchQueue(label: "moongrad.session")

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { [self] in job.runSynchronously(on: asUnownedSerialExecutor()) }
  }
}

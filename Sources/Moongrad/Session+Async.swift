// Scripts that wait without keeping a thread: asynchronous functions of Swift, and the runs in which scripts call them.

import LuaRuntime

extension Session {
  /// Makes an asynchronous Swift function a global of scripts.
  ///
  /// For a script it is a function like others: the call gives its results, or raises what it throws. While it is under way the script
  /// stands still, whatever it was in the middle of — loops, `pcall`, coroutines of its own —, and no thread waits for it.
  ///
  /// That takes a run that can be left, one by ``runAsync(_:name:limits:)`` and the like, and a place that can: Lua functions all the
  /// way. Elsewhere the call is an error: under `table.sort`, `string.gsub` or `require`, in a function that Swift calls back, or when
  /// the host calls `run`.
  ///
  /// The function runs as other asynchronous functions of Swift do, outside of Lua and of the session's actor, while other scripts of
  /// the session may run: so what it captures, takes and gives is `Sendable`. (Tensors are not; let a script compute on them.) What it
  /// takes in time and memory is not the script's.
  ///
  /// ```swift
  /// session.asyncFunction("fetch") { (url: String) async throws -> String in try await client.get(url) }
  /// try await session.runAsync("print(fetch('https://swift.org'))")
  /// ```
  public func asyncFunction<each Argument: LuaConvertible & Sendable, each Result: LuaConvertible & Sendable>(
    _ name: String, _ body: @escaping @Sendable (repeat each Argument) async throws -> (repeat each Result)
  ) {
    let function = HostFunction(name) { call, place in
      guard call.isInRoutine else {
        throw LuaError("\(name) is asynchronous: scripts that call it are run with runAsync or evaluateAsync")
      }
      guard call.canWait else {
        throw LuaError("\(name) is asynchronous: the script cannot wait here, in a function that native code calls")
      }
      let arguments = (repeat try call.next((each Argument).self, &place))
      call.wait {
        let results = try await body(repeat each arguments)
        var values: [LuaValue] = []
        repeat values.append(try (each results).luaValue)
        return values
      }
    }
    assign(name, function)
  }

  // MARK: Running

  /// Runs a script file as ``run(file:arguments:limits:)`` does; it can call asynchronous functions.
  ///
  /// Limits hold for what the script does: the time in which it waits does not count. When the task is cancelled, the script ends with
  /// an error of the kind `interrupted` whose cause is a `CancellationError`, at once or when what it waits for has ended; other runs of
  /// the session go on. ``interrupt()`` ends all of them.
  ///
  /// Several runs may be under way in a session, each while the others wait. They share its globals.
  nonisolated(nonsending) public func runAsync(
    file path: String, arguments: [String] = [], limits: RunLimits = RunLimits()
  ) async throws {
    let (function, values) = try entering {
      if !configuration.isSandboxed { try addSearchPaths(beside: Array(path.utf8)) }
      return try state.load(file: path, arguments: arguments, environment: try freshEnvironment())
    }
    _ = try await perform(function, values, limits)
  }

  /// Runs source text, which messages call `name`; it can call asynchronous functions.
  nonisolated(nonsending) public func runAsync(_ source: String, name: String? = nil, limits: RunLimits = RunLimits()) async throws {
    let function = try entering {
      let function = try state.load(source, chunkName: name.map { "=" + $0 })
      if let environment = try freshEnvironment() { try function.setEnvironment(environment) }
      return function
    }
    _ = try await perform(function, [], limits)
  }

  /// The value of an expression, or the first one that a chunk returns, which can call asynchronous functions.
  nonisolated(nonsending) public func evaluateAsync<T: LuaConvertible>(
    _ source: String, as type: T.Type = T.self, limits: RunLimits = RunLimits()
  ) async throws -> T {
    let function = try entering { try loadExpression(source) }
    return try decode(try await perform(function, [], limits), root: "result")
  }

  /// Calls a function piece by piece.
  nonisolated(nonsending) func perform(
    _ function: FunctionReference, _ arguments: [LuaValue], _ limits: RunLimits
  ) async throws -> [LuaValue] {
    let routine = try entering { try Routine(function) }
    return try await perform(routine, .arguments(arguments), configuration.limits.stricter(of: limits), isolation: #isolation)
  }

  /// (The actor is a parameter, since a closure in a `nonisolated(nonsending)` function leaves the caller's actor, Swift 6.3; one that
  /// mentions the parameter stays on it.)
  private func perform(
    _ routine: Routine, _ beginning: Routine.Input, _ limits: RunLimits, isolation: isolated (any Actor)?
  ) async throws -> [LuaValue] {
    let stopper = routine.stopper
    return try await withTaskCancellationHandler {
      _ = isolation
      var (input, rest) = (beginning, limits)
      do {
        while true {
          switch try entering(spending: &rest, { try routine.resume(input) }) {
          case .done(let values): return values
          case .waits(let operation):
            do {
              input = .results(try await operation())
            } catch {
              input = .failure(error)
            }
          }
        }
      } catch var error as LuaError where error.kind == .interrupted && Task.isCancelled {
        error.cause = CancellationError()
        throw error
      }
    } onCancel: {
      stopper.stop()
    }
  }
}

extension LuaFunction {
  /// Calls it for what it does; it can call asynchronous functions.
  nonisolated(nonsending) public func callAsync<each Argument: LuaConvertible>(
    _ arguments: repeat each Argument, limits: RunLimits = RunLimits()
  ) async throws {
    var values: [LuaValue] = []
    repeat values.append(try (each arguments).luaValue)
    _ = try await living().perform(reference, values, limits)
  }

  /// Calls it for its first result; it can call asynchronous functions.
  nonisolated(nonsending) public func callAsync<each Argument: LuaConvertible, Result: LuaConvertible>(
    _ arguments: repeat each Argument, limits: RunLimits = RunLimits()
  ) async throws -> Result {
    var values: [LuaValue] = []
    repeat values.append(try (each arguments).luaValue)
    let session = try living()
    return try session.decode(try await session.perform(reference, values, limits), root: "result")
  }
}

extension Script {
  /// Runs it as ``run(arguments:limits:)`` does; it can call asynchronous functions.
  @discardableResult
  nonisolated(nonsending) public func runAsync(
    arguments: [any LuaConvertible] = [], limits: RunLimits = RunLimits()
  ) async throws -> LuaValues {
    let session = try living()
    let (chunk, values) = try session.entering { try begin(arguments) }
    return LuaValues(try await session.perform(chunk, values, limits), after: 0, session)
  }
}

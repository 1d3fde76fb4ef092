// Runs that can wait for the host: what `async` functions of Swift are made of.
import CLuaShim
import Synchronization

/// A run of a Lua function that goes on in pieces. A native function ends a piece with ``Call/wait(for:)``; the host does what that
/// asks for, without Lua and as it likes, and resumes with what came of it.
///
/// It belongs to the state's thread, except its ``stopper``. Other runs may take place between two pieces.
public final class Routine {
  /// What a script waits for. Done by the host between two pieces; what it throws is raised where the script waits.
  public typealias Operation = nonisolated(nonsending) () async throws -> [Value]

  /// How a piece ends.
  public enum Step {
    /// With what the function returns.
    case done([Value])
    /// With something that the script waits for.
    case waits(Operation)
  }

  /// What a piece begins with.
  public enum Input {
    /// The first one: with the arguments of the function.
    case arguments([Value])
    /// With what came of what was waited for.
    case results([Value])
    /// With an error, which is raised where the script waits.
    case failure(any Error)
  }

  /// Stops the run from any thread.
  public let stopper: Stopper
  private let coroutine: Reference
  /// The script's position where it waits.
  private var position = ""
  private var interrupts: UInt32

  /// A run of that function, not begun.
  public init(_ function: FunctionReference) throws {
    coroutine = try function.reference.withValue { state, lua in
      try state.check(ml_make_task(state.pointer, lua), lua)
      return try state.reference(at: lua_gettop(lua), lua)
    }
    stopper = Stopper(coroutine.record)
    interrupts = ml_interrupts(coroutine.record)
  }

  /// Runs the next piece. Throws what the function raises; the run is over then.
  public func resume(_ input: Input) throws -> Step {
    try coroutine.withValue { state, lua in
      let task = lua_gettop(lua)
      let count = try push(input, state, lua)
      stopper.begin()
      defer { stopper.end() }
      // Asked for while the script waited.
      let asked = ml_interrupts(state.pointer)
      if asked != interrupts { ml_stop(state.pointer, ML_KILL_INTERRUPT) }
      // Not after the piece: one that came as it ended is for the next.
      interrupts = asked
      let status = ml_run_task(state.pointer, lua, task, count)
      if status == LUA_YIELD, let (operation, position) = state.awaited {
        state.awaited = nil
        self.position = position
        return .waits(operation)
      }
      try state.check(status, lua)
      return .done(try state.values(from: task + 1, lua))
    }
  }

  private func push(_ input: Input, _ state: State, _ lua: OpaquePointer) throws -> Int32 {
    let mark = state.pointer.pointee.out_top
    var count: Int32 = 1
    switch input {
    case .arguments(let values):
      count = Int32(values.count)
      for value in values { write(value, to: state.pointer) }
    case .results(let values):
      count += Int32(values.count)
      ml_out_boolean(state.pointer, true)
      for value in values { write(value, to: state.pointer) }
    case .failure(let error):
      count += 1
      ml_out_boolean(state.pointer, false)
      state.write(error, at: position)
    }
    try state.check(ml_push(state.pointer, lua, count, mark), lua)
    return count
  }

  /// Stops one run, and no other of the state: at once while it runs, and otherwise when it would go on.
  public final class Stopper: @unchecked Sendable {
    private let pointer: UnsafeMutablePointer<ml_state>
    private let state = Mutex((isStopped: false, isRunning: false))

    fileprivate init(_ pointer: UnsafeMutablePointer<ml_state>) {
      self.pointer = pointer
      ml_retain(pointer)
    }
    deinit { ml_release(pointer) }

    /// The run ends as one that was interrupted.
    public func stop() {
      state.withLock {
        $0.isStopped = true
        // Held meanwhile, so that what runs is this run.
        if $0.isRunning { ml_stop(pointer, ML_KILL_INTERRUPT) }
      }
    }

    fileprivate func begin() {
      state.withLock {
        $0.isRunning = true
        if $0.isStopped { ml_stop(pointer, ML_KILL_INTERRUPT) }
      }
    }

    fileprivate func end() { state.withLock { $0.isRunning = false } }
  }
}

extension Call {
  /// Whether the script can wait here: it runs as a ``Routine``, and neither Lua's own functions nor the host's stand between.
  public var canWait: Bool { ml_may_wait(lua) }

  /// Whether the script runs as a ``Routine`` at all.
  public var isInRoutine: Bool { ml_is_task(record) }

  /// Ends the piece; the call's results will be those of the operation. To be the last thing that a native function does, where it
  /// ``canWait``.
  public mutating func wait(for operation: @escaping Routine.Operation) {
    state.awaited = (operation, position)
    results = ML_WAIT
  }
}

// What operations consult beside their arguments: modes, random numbers, memory, the script's line. A session has a context
// of its own, a plain Swift program one for each thread; entering a session puts its own into force.

import CContext
import Glibc

/// The surroundings of operations: whether they are recorded, where random numbers come from, what memory they may take.
///
/// Nothing in it is shared with another context. A context is one thread's at a time, as tensors are, but may move. What the
/// process has besides is numbers that must differ between contexts (runs, hooks on saved tensors), whether leaves have hooks
/// at all, and who reads a script's lines.
public final class Context {
  /// What a context holds, at an address of its own: every operation reads some of it, and a class would be counted.
  package struct State {
    // The executing coroutine's modes, bit by bit (see GradMode); 0 is the default.
    var modes: UInt32 = 0
    var defaultFloating = DType.float32
    /// How deep freeing a graph has recursed, and what it has still to let go of (see Node).
    var releaseDepth: UInt32 = 0
    /// Of the tape's own type, which this folder does not know.
    var graveyard: AnyObject?
    /// How deep modules have called each other (see Module.nested).
    package var moduleDepth: UInt32 = 0
    /// The next node's number.
    var sequence: UInt64 = 0
    /// The last backward run, 0 for none, and the script's line that started it.
    var lastRun: UInt32 = 0
    var lastBackward: UInt32 = 0
    /// Answers which line of a script is being run; asked only while `caller`, its argument, is there.
    var locate: (@convention(c) (UnsafeMutableRawPointer) -> UInt32)?
    var caller: UnsafeMutableRawPointer?
    var memory = MemoryAccount()
    var generator: Generator?
    var printing = PrintOptions()
    /// Sees every launch of a kernel (see LaunchListener); and whether there is one, which is asked for every launch, and in
    /// a class reference would be counted.
    var listener: AnyObject? { didSet { isHeard = listener != nil } }
    private(set) var isHeard = false
    /// Raised by whoever stops what runs; see ``Context/isStopping``.
    var stop: UnsafePointer<Int32>?
    /// nil for any (see FilePolicy).
    var files: FilePolicy?
    /// 0 for the machine's.
    var threads: Int32 = 0
    var notices: [String] = [] { didSet { hasNotices = !notices.isEmpty } }
    private(set) var hasNotices = false
    /// Open levels of forward mode, and what gives results their tangents (see TangentLevels).
    var tangentLevels: [UInt32] = []
    var tangentCarrier: AnyObject?
    /// Batches that functions are being applied to (see BatchLevels).
    var batchLevels: [BatchLevel] = []
    var batchRefusals = 0
    /// Operations that were applied to one for want of a rule.
    var loopedOperations: Set<String> = []
    /// How many guards forbid writes, and to what; of the tape's own type (see WriteGuard).
    var guards: UInt32 = 0
    var guardedElements: AnyObject?
    /// Warnings that were given once and are not given again (see Notice.postOnce).
    var said: Set<String> = []
    /// See GrowingHistory.
    var additions: [UInt32: Int] = [:]
  }

  package let state: UnsafeMutablePointer<State>

  /// A context with every setting at its default.
  public init() {
    state = .allocate(capacity: 1)
    state.initialize(to: State())
  }

  deinit {
    state.pointee.memory.release()
    state.pointee.generator = nil
    if state.pointee.memory.returned.close(leaving: state.pointee.memory.buffers) { Context.discard(state) }
  }

  /// Runs `body` with this context in force, and puts back what was.
  public func run<R>(_ body: () throws -> R) rethrows -> R {
    let outer = enter()
    defer { leave(outer) }
    return try body()
  }

  /// Puts this context into force; what was is for ``leave(_:)``.
  package func enter() -> UnsafeMutableRawPointer? {
    let outer = mg_context()
    if outer != UnsafeMutableRawPointer(state) {
      mg_set_context(state)
      Threads.apply(state.pointee.threads)
    }
    return outer
  }

  package func leave(_ outer: UnsafeMutableRawPointer?) {
    guard outer != UnsafeMutableRawPointer(state) else { return }
    mg_set_context(outer)
    Threads.apply(Context.current.pointee.threads)
  }

  /// The most bytes that tensors of this context may take; nil for the machine's memory.
  public var memoryLimit: Int? {
    get { state.pointee.memory.limit == 0 ? nil : Int(state.pointee.memory.limit) }
    set { state.pointee.memory.limit = Int64(newValue ?? 0) }
  }

  /// Tests only, see there.
  package var lendsBeforeRefusal: Int? {
    get { state.pointee.memory.lendsBeforeRefusal }
    set { state.pointee.memory.lendsBeforeRefusal = newValue }
  }

  /// The bytes of its tensors.
  public var memoryUse: MemoryFigures { state.pointee.memory.figures }

  /// The bytes of the tensors of the context in force.
  package static var liveBytes: Int64 { current.pointee.memory.live }

  /// The memory of the context in force.
  public static var memoryUse: MemoryFigures { current.pointee.memory.figures }

  /// The context in force on this thread.
  @inline(__always)
  package static var current: UnsafeMutablePointer<State> {
    if let inForce = mg_context() { return inForce.assumingMemoryBound(to: State.self) }
    return ThreadContext.make()
  }

  /// Frees the state of a context that is gone, with the last of its buffers.
  static func discard(_ state: UnsafeMutablePointer<State>) {
    state.deinitialize(count: 1)
    state.deallocate()
  }
}

/// The context of a thread that entered no other one, which goes with the thread.
private enum ThreadContext {
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key) { own in
      mg_set_context(nil)
      if let own { Unmanaged<Context>.fromOpaque(own).release() }
    }
    return key
  }()

  @inline(never)
  static func make() -> UnsafeMutablePointer<Context.State> {
    if let own = pthread_getspecific(key) {
      let context = Unmanaged<Context>.fromOpaque(own).takeUnretainedValue()
      mg_set_context(context.state)
      return context.state
    }
    let context = Context()
    pthread_setspecific(key, Unmanaged.passRetained(context).toOpaque())
    mg_set_context(context.state)
    return context.state
  }
}

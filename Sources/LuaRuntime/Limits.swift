// Limits of time and instructions: who watches the clock, and for how long.

import CLuaShim
import Glibc
import Synchronization

/// What a run of scripts may take.
///
/// Kernels over many elements look at the clock too, and are left early. What a script writes in place may be half written then, if it
/// has more than 2²³ elements. Copies of the process that an experiment starts count instructions for themselves: each begins with what
/// was left; they end when the time of the script that waits for them is over.
///
/// Some steps of Lua's own cannot be left: the collector's look through all that a script has, the copying of a text, `..`, `==` of long
/// texts, `string.format` and `string.pack` of them. They take a second for some gigabyte; a memory limit bounds them.
public struct RunLimits: Sendable, Equatable {
  /// Time on the clock; nil for any.
  public var time: Duration?
  /// Instructions of Lua's interpreter; nil for any. Counting them makes loops of Lua up to twice as slow.
  public var instructions: Int?

  /// Limits of each kind; nil for none.
  public init(time: Duration? = nil, instructions: Int? = nil) {
    self.time = time
    self.instructions = instructions
  }

  /// Of each kind the smaller one.
  public func stricter(of other: RunLimits) -> RunLimits {
    func least<T: Comparable>(_ a: T?, _ b: T?) -> T? {
      guard let a, let b else { return a ?? b }
      return min(a, b)
    }
    return RunLimits(time: least(time, other.time), instructions: least(instructions, other.instructions))
  }

  /// Whether anything is limited.
  public var isEmpty: Bool { time == nil && instructions == nil }
}

extension State {
  /// What is not 0 while scripts are being stopped, for native loops that look at it. Valid as long as the state.
  public var stopFlag: UnsafePointer<Int32> { UnsafePointer(ml_stop_flag(pointer)) }

  /// Runs `body`, whose scripts end with an error of the kind `timeLimit` or `instructionLimit` when they have taken what they may.
  /// `pcall` does not catch it, and the state works afterwards.
  ///
  /// Within a script that runs already, the outermost run ends with it, and what is counted within counts for the limits around it.
  public func limited<Result>(_ limits: RunLimits, _ body: () throws -> Result) throws -> Result {
    var watch: Watchdog.Watch?
    if let time = limits.time { watch = Watchdog.shared.begin(pointer, after: time) }
    defer { if let watch { Watchdog.shared.end(watch) } }
    guard let instructions = limits.instructions else { return try body() }
    let before = ml_count_instructions(pointer, -1)
    let most = Int64(max(0, instructions))
    let given = before < 0 ? most : min(most, before)
    _ = ml_count_instructions(pointer, given)
    let reminder = Watchdog.shared.remind(pointer)
    defer {
      Watchdog.shared.end(reminder)
      let left = ml_count_instructions(pointer, -1)
      if before >= 0 { _ = ml_count_instructions(pointer, max(0, before - (given - left))) }
    }
    return try body()
  }
}

extension State {
  /// The same for a piece of a run, of what is left for all of it: `rest`, from which what it takes is subtracted.
  public func limited<Result>(spending rest: inout RunLimits, _ body: () throws -> Result) throws -> Result {
    let began = ContinuousClock.now
    var left: Int64 = -1
    defer {
      if let time = rest.time { rest.time = max(.zero, time - (ContinuousClock.now - began)) }
      if rest.instructions != nil { rest.instructions = Int(max(0, left)) }
    }
    return try limited(rest) {
      defer { left = ml_instructions_left(pointer) }
      return try body()
    }
  }
}

/// A thread that stops scripts when their time is over, and reminds those that run finalizers of their limits (see `ml_remind`). It
/// sleeps until the next deadline.
final class Watchdog: Sendable {
  static let shared = Watchdog()

  /// What is watched, by its number.
  struct Watch {
    fileprivate let number: UInt64
  }

  private struct Entry {
    let number: UInt64
    let state: UnsafeMutablePointer<ml_state>
    /// When it is to be stopped, or reminded again; nil where it is looked at only when somebody has stopped it.
    var deadline: ContinuousClock.Instant?
    var isReminder = false
  }

  private struct Contents: @unchecked Sendable {
    var entries: [Entry] = []
    var last: UInt64 = 0
    /// The process whose thread runs: another one after a fork, which no thread survives but the one that forked.
    var process: pid_t = 0
    /// A pipe that wakes the thread.
    var wake: Int32 = -1
  }

  private let contents = Mutex(Contents())

  /// Stops the state's scripts when that time is over.
  func begin(_ state: UnsafeMutablePointer<ml_state>, after time: Duration) -> Watch {
    // Beyond a thousand years there is no instant.
    let watch = add { number in
      Entry(number: number, state: state, deadline: .now.advanced(by: min(max(time, .zero), .seconds(31_536_000_000))))
    }
    wake()
    return watch
  }

  /// Reminds the state every few milliseconds.
  func remind(_ state: UnsafeMutablePointer<ml_state>) -> Watch {
    let watch = add { Entry(number: $0, state: state, deadline: .now.advanced(by: .milliseconds(5)), isReminder: true) }
    wake()
    return watch
  }

  /// Reminds the state while it is being stopped by somebody.
  func attend(_ state: UnsafeMutablePointer<ml_state>) -> Watch { add { Entry(number: $0, state: state) } }

  private func wake() {
    var byte: UInt8 = 0
    _ = write(contents.withLock { $0.wake }, &byte, 1)
  }

  private func add(_ entry: (UInt64) -> Entry) -> Watch {
    contents.withLock { contents in
      contents.last += 1
      contents.entries.append(entry(contents.last))
      start(&contents)
      return Watch(number: contents.last)
    }
  }

  /// When this has returned, the watch touches the state no more.
  func end(_ watch: Watch) {
    contents.withLock { $0.entries.removeAll { $0.number == watch.number } }
  }

  private func start(_ contents: inout Contents) {
    guard contents.process != getpid() else { return }
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    let reading = ends[0]
    contents.wake = ends[1]
    contents.process = getpid()
    ml_wake_through(ends[1])
    // Signals are for the threads that scripts run on.
    var (all, before) = (sigset_t(), sigset_t())
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    var thread = pthread_t()
    // Little, where the address space has a limit: a stack is reserved whole, and a thread that allocates gets a heap of its own.
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, 256 << 10)
    defer { pthread_attr_destroy(&attributes) }
    let argument = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
    argument.pointee = reading
    if pthread_create(
      &thread, &attributes,
      { argument in
        let end = argument!.assumingMemoryBound(to: Int32.self)
        Watchdog.shared.watch(waking: end.pointee)
      }, argument) == 0
    {
      pthread_detach(thread)
    } else {
      contents.process = 0
    }
    pthread_sigmask(SIG_SETMASK, &before, nil)
  }

  private func watch(waking: Int32) -> Never {
    while true {
      let pause = contents.withLock { look(&$0) }
      if pause == 0 {
        sched_yield()
        continue
      }
      var entry = pollfd(fd: waking, events: Int16(POLLIN), revents: 0)
      var bytes: (UInt64, UInt64) = (0, 0)
      if poll(&entry, 1, pause) > 0 { _ = read(waking, &bytes, 16) }
    }
  }

  /// Does what is due, with the lock held, so that the states are there; the milliseconds until the next time, −1 for none.
  private func look(_ contents: inout Contents) -> Int32 {
    let now = ContinuousClock.now
    var pause = Int32.max
    for index in contents.entries.indices {
      let (state, deadline) = (contents.entries[index].state, contents.entries[index].deadline)
      if let deadline {
        if deadline <= now {
          // It may be between two calls, or be stopped by somebody else: again then.
          if !contents.entries[index].isReminder { ml_stop(state, ML_KILL_TIME) }
          contents.entries[index].deadline = now.advanced(by: .milliseconds(contents.entries[index].isReminder ? 5 : 2))
        }
        let rest = now.duration(to: contents.entries[index].deadline!).components
        pause = min(pause, Int32(clamping: max(0, rest.seconds * 1000 + rest.attoseconds / 1_000_000_000_000_000) + 1))
      }
      // One that was in a finalizer may have the next behind it.
      if ml_remind(state) { pause = 0 }
      if ml_killed(state) != ML_KILL_NONE { pause = min(pause, 1) }
    }
    return pause == .max ? -1 : pause
  }
}

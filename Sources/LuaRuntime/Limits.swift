// Limits of time and instructions: who watches the clock, and for how long.

import CLuaShim
import Glibc
import Synchronization

/// What a run of scripts may take.
public struct RunLimits: Sendable, Equatable {
  /// Time on the clock; nil for any.
  public var time: Duration?
  /// Instructions of Lua's interpreter; nil for any. Counting them makes loops of Lua up to twice as slow.
  public var instructions: Int?

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
    defer {
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

/// A thread that stops scripts when their time is over. It sleeps until the next deadline.
private final class Watchdog: Sendable {
  static let shared = Watchdog()

  /// A deadline, by its number.
  struct Watch {
    fileprivate let number: UInt64
  }

  private struct Entry {
    let number: UInt64
    var deadline: ContinuousClock.Instant
    let state: UnsafeMutablePointer<ml_state>
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

  func begin(_ state: UnsafeMutablePointer<ml_state>, after time: Duration) -> Watch {
    let (watch, wake) = contents.withLock { contents in
      contents.last += 1
      // Beyond a thousand years there is no instant.
      contents.entries.append(
        Entry(number: contents.last, deadline: .now.advanced(by: min(max(time, .zero), .seconds(31_536_000_000))), state: state))
      start(&contents)
      return (Watch(number: contents.last), contents.wake)
    }
    var byte: UInt8 = 0
    _ = write(wake, &byte, 1)
    return watch
  }

  /// When this has returned, the watch stops nothing any more.
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
    // Signals are for the threads that scripts run on.
    var (all, before) = (sigset_t(), sigset_t())
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    var thread = pthread_t()
    let argument = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
    argument.pointee = reading
    if pthread_create(
      &thread, nil,
      { argument in
        let end = argument!.assumingMemoryBound(to: Int32.self)
        Watchdog.shared.watch(waking: end.pointee)
        return nil
      }, argument) == 0
    {
      pthread_detach(thread)
    } else {
      contents.process = 0
    }
    pthread_sigmask(SIG_SETMASK, &before, nil)
  }

  private func watch(waking: Int32) -> Never {
    var bytes = [UInt8](repeating: 0, count: 64)
    while true {
      let pause = contents.withLock { contents -> Int32 in
        let now = ContinuousClock.now
        for index in contents.entries.indices where contents.entries[index].deadline <= now {
          // Held meanwhile, so that the state is there. It may be between two calls, or be stopped by somebody else: again then.
          ml_stop(contents.entries[index].state, ML_KILL_TIME)
          contents.entries[index].deadline = now.advanced(by: .milliseconds(2))
        }
        guard let next = contents.entries.map(\.deadline).min() else { return -1 }
        let rest = now.duration(to: next)
        let milliseconds = rest.components.seconds * 1000 + rest.components.attoseconds / 1_000_000_000_000_000
        return Int32(clamping: max(0, milliseconds) + 1)
      }
      var entry = pollfd(fd: waking, events: Int16(POLLIN), revents: 0)
      if poll(&entry, 1, pause) > 0 { _ = read(waking, &bytes, bytes.count) }
    }
  }
}

// Ctrl-C.

import Glibc
import LuaRuntime
import Synchronization

/// The way of SIGINT to the running script.
///
/// The first one stops the script at its next instruction. A second one, for a script that is inside a long native
/// operation, ends the process, and so does the first while no script runs; the console stays alive in both cases.
enum Interrupts {
  private nonisolated(unsafe) static var interrupter: Interrupter?
  private nonisolated(unsafe) static var target: UnsafeMutableRawPointer?
  private static let running = Atomic<Bool>(false)
  private static let pending = Atomic<Bool>(false)
  /// Whether the process outlives Ctrl-C, as the console does.
  nonisolated(unsafe) static var stayAlive = false

  static func install(for state: State) {
    let new = Interrupter(state)
    interrupter = new
    target = new.opaque
    var action = sigaction()
    // Without SA_RESTART: a script that waits for input is woken, and then stopped.
    action.__sigaction_handler.sa_handler = { _ in Interrupts.arrive() }
    sigemptyset(&action.sa_mask)
    sigaction(SIGINT, &action, nil)
    // A parent that blocks signals in its threads, as libdispatch does, hands the mask down.
    var interrupt = sigset_t()
    sigemptyset(&interrupt)
    sigaddset(&interrupt, SIGINT)
    pthread_sigmask(SIG_UNBLOCK, &interrupt, nil)
  }

  /// In the signal handler: nothing here allocates or takes a lock.
  private static func arrive() {
    if running.load(ordering: .relaxed), let target {
      let isSecond = pending.exchange(true, ordering: .relaxed)
      if isSecond, !stayAlive { _exit(130) }
      return Interrupter.interrupt(opaque: target)
    }
    if !stayAlive { _exit(130) }
    pending.store(true, ordering: .relaxed)
  }

  /// Runs `body` with SIGINT going to the script.
  static func during<Result>(_ body: () throws -> Result) rethrows -> Result {
    pending.store(false, ordering: .relaxed)
    running.store(true, ordering: .relaxed)
    defer {
      running.store(false, ordering: .relaxed)
      pending.store(false, ordering: .relaxed)
    }
    return try body()
  }

  /// Whether Ctrl-C came since the last look, while no script ran.
  static func takePending() -> Bool { pending.exchange(false, ordering: .relaxed) }
}

// Ctrl-C.

import Glibc
import LuaRuntime
import Synchronization

/// The way of SIGINT to the running script.
///
/// The first one stops the script at its next instruction; a second one, for a script that is inside a long native
/// operation, ends the process. While no script runs, the first ends the process.
enum Interrupts {
  private nonisolated(unsafe) static var target: UnsafeMutableRawPointer?
  private static let running = Atomic<Bool>(false)
  private nonisolated(unsafe) static var interrupter: Interrupter?
  /// Whether a second SIGINT ends the process.
  nonisolated(unsafe) static var secondEnds = true

  static func install(for state: State) {
    let new = Interrupter(state)
    interrupter = new
    target = new.opaque
    // Without SA_RESTART: a script that waits for input is woken, and then stopped.
    set { _ in
      guard Interrupts.running.load(ordering: .relaxed), let target = Interrupts.target else { _exit(130) }
      Interrupter.interrupt(opaque: target)
      if Interrupts.secondEnds { signal(SIGINT) { _ in _exit(130) } }
    }
  }

  /// Runs `body` with SIGINT going to the script.
  static func during<Result>(_ body: () throws -> Result) rethrows -> Result {
    running.store(true, ordering: .relaxed)
    defer { running.store(false, ordering: .relaxed) }
    return try body()
  }

  private static func set(_ handler: @escaping @convention(c) (Int32) -> Void) {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = handler
    sigemptyset(&action.sa_mask)
    sigaction(SIGINT, &action, nil)
  }
}

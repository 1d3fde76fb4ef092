// Lines of scripts, by which errors and drawings name what a script did. Whoever runs scripts says which line is being
// executed and how such a number reads; programs in Swift have none.

import Synchronization

/// A line of a script.
package enum Site {
  /// In a struct, since a bare closure is wrapped once more each time it is read out of a generic container.
  private struct Reader: Sendable {
    let read: @Sendable (UInt32) -> String?
  }
  private static let reader = Mutex<Reader?>(nil)

  /// Sets what turns a site into `train.lua:12`.
  package static func describe(by read: @escaping @Sendable (UInt32) -> String?) {
    reader.withLock { $0 = Reader(read: read) }
  }

  /// Sets what answers, for a caller, which line is being executed, in the context in force.
  package static func locate(by locate: @escaping @convention(c) (UnsafeMutableRawPointer) -> UInt32) {
    Context.current.pointee.locate = locate
  }

  /// On whose behalf operations are called; nil when no script is running.
  @inline(__always)
  package static var caller: UnsafeMutableRawPointer? {
    get { Context.current.pointee.caller }
    set { Context.current.pointee.caller = newValue }
  }

  /// Enters a call by a script, in one step since every operation is one: on whose behalf, and in which modes. Gives the caller
  /// that was, for ``leaveCall(_:)``, and whether warnings wait.
  package static func enterCall(_ caller: UnsafeMutableRawPointer?, modes: UInt32) -> (outer: UnsafeMutableRawPointer?, hasNotices: Bool) {
    let context = Context.current
    let outer = context.pointee.caller
    context.pointee.caller = caller
    context.pointee.modes = modes
    return (outer, context.pointee.hasNotices)
  }

  package static func leaveCall(_ outer: UnsafeMutableRawPointer?) { Context.current.pointee.caller = outer }

  /// The line being executed; 0 when unknown.
  @inline(__always)
  package static var current: UInt32 {
    let context = Context.current
    guard let caller = context.pointee.caller, let locate = context.pointee.locate else { return 0 }
    return locate(caller)
  }

  /// `train.lua:12`; nil for 0.
  package static func text(_ site: UInt32) -> String? {
    site == 0 ? nil : reader.withLock { $0 }?.read(site)
  }

  /// ` at train.lua:12`, or nothing.
  static func phrase(_ site: UInt32, _ preposition: String = "at") -> String {
    text(site).map { " \(preposition) \($0)" } ?? ""
  }
}

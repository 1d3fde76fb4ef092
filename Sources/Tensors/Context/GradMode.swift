// The modes of the context in force. The Lua side swaps the executing coroutine's word in before every call, so that a mode
// never leaks from one coroutine to another.

/// Whether operations record what backward needs.
public enum GradMode {
  // One bit each, chosen so that 0 is the default of a fresh context.
  package static let noGrad: UInt32 = 1
  package static let inference: UInt32 = 2
  package static let anomaly: UInt32 = 4
  /// Nodes keep the inputs that have no gradient too (see Replay).
  package static let constants: UInt32 = 8
  /// Results get tangents from their inputs' (see TangentLevels).
  package static let forward: UInt32 = 16
  /// Functions are being applied to batches (see BatchLevels).
  package static let batching: UInt32 = 32
  /// The bits above the modes proper number the hooks on saved values that are in force (see SavedTensorHooks).
  package static let width: UInt32 = 8
  package static let mask: UInt32 = 0xff

  @inline(__always)
  static var hasSavedTensorHooks: Bool { bits > mask }
  @inline(__always)
  static var keepsConstants: Bool { bits & constants != 0 }

  /// The modes in force, as a word that can be kept and put back.
  @inline(__always)
  package static var bits: UInt32 {
    get { Context.current.pointee.modes }
    set { Context.current.pointee.modes = newValue }
  }

  /// False inside `no_grad` and `inference_mode`.
  @inline(__always)
  public static var isEnabled: Bool { bits & (noGrad | inference) == 0 }

  /// Switches recording on or off, until something else does; `withGradMode` switches it back.
  public static func setEnabled(_ enabled: Bool) {
    bits = enabled ? bits & ~noGrad : bits | noGrad
  }
}

/// Runs `body` without recording: results do not require grad.
public func withNoGrad<R>(_ body: () throws -> R) rethrows -> R {
  try withGradMode(enabled: false, body)
}

/// Runs `body` with recording switched on or off, and restores the mode also when it throws.
public func withGradMode<R>(enabled: Bool, _ body: () throws -> R) rethrows -> R {
  let saved = GradMode.bits
  defer { GradMode.bits = saved }
  GradMode.setEnabled(enabled)
  return try body()
}

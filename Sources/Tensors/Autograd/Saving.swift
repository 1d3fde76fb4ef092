// Values kept for backward: what is stored, how it is checked when it is wanted again, and the hooks that can take its
// place (to offload it, or to compute it anew).

import CKernels
import Synchronization

/// A value kept for backward, and the storage's version when it was kept.
struct SavedTensor {
  let tensor: Tensor
  let version: UInt32
  /// The slot, and above it how often the object's elements had been replaced (`x.data = y`, `free()`), which its storage's
  /// version does not tell.
  private let tag: UInt32

  @inline(__always)
  init(_ tensor: Tensor, version: UInt32, slot: UInt8) {
    self.tensor = tensor
    self.version = version
    tag = UInt32(slot) | tensor.replacements << 8
  }

  /// The input's number, or 7 for the output.
  @inline(__always)
  var slot: UInt8 { UInt8(truncatingIfNeeded: tag) }

  /// Whether this is `slot`, and neither was written to nor replaced since it was kept.
  @inline(__always)
  func isIntact(_ slot: UInt8) -> Bool {
    tag == UInt32(slot) | tensor.replacements << 8 && tensor.storage.version == version
  }

  /// Whether the object has other elements than it had.
  var isReplaced: Bool { tag >> 8 != tensor.replacements & 0xff_ffff }
}

/// A value in whose place hooks keep something else.
struct PackedTensor {
  let slot: UInt8
  /// Gives the value back; throws what the hook throws.
  let unpack: () throws -> Tensor
}

/// What a custom function keeps: any number of inputs, outputs and values in between.
struct KeptTensor {
  enum Origin {
    case input(Int)
    case output(Int)
    case between
  }
  let origin: Origin
  /// The elements, as an object without history of its own, so that no cycle arises.
  let tensor: Tensor
  let version: UInt32
  let unpack: (() throws -> Tensor)?

  init(_ tensor: Tensor, _ origin: Origin) throws {
    self.origin = origin
    self.tensor = tensor.detach()
    tensor.storage.isSaved = true
    version = tensor.storage.version
    unpack = try SavedTensorHooks.current?.pack(self.tensor)
  }
}

/// Functions that see each value which is saved for backward while they are in force, and keep it in their own way.
///
/// Which are in force is part of the executing coroutine's modes, by a number: they come and go with `no_grad` and the
/// like, and do not reach from one coroutine into another. They must be kept alive by whoever put them into force.
public final class SavedTensorHooks {
  /// Is given the value, without history; returns what gives it back.
  package let pack: (Tensor) throws -> (() throws -> Tensor)
  /// From 1, in the bits above the modes proper.
  private let number: UInt32

  package init(_ pack: @escaping (Tensor) throws -> (() throws -> Tensor)) {
    self.pack = pack
    number = Registry.take()
    Registry.hooks.withLock { $0[number] = Registry.Entry(hooks: self) }
  }

  deinit {
    Registry.hooks.withLock { $0[number] = nil }
  }

  /// The modes with these hooks in force.
  package func inForce(_ modes: UInt32) -> UInt32 { modes & GradMode.mask | number << GradMode.width }

  /// The hooks in force.
  static var current: SavedTensorHooks? {
    let number = GradMode.bits >> GradMode.width
    return number == 0 ? nil : Registry.hooks.withLock { $0[number]?.hooks }
  }

  private enum Registry {
    struct Entry: @unchecked Sendable {
      weak var hooks: SavedTensorHooks?
    }
    static let hooks = Mutex<[UInt32: Entry]>([:])
    private static let last = Atomic<UInt32>(0)

    /// A number that no hooks have.
    static func take() -> UInt32 {
      while true {
        let number = last.wrappingAdd(1, ordering: .relaxed).newValue & (.max >> GradMode.width)
        if number != 0, hooks.withLock({ $0[number] == nil }) { return number }
      }
    }
  }
}

/// The first error on this thread of code that cannot throw. Recording an operation does not fail half-way; what goes
/// wrong in it is noted here and thrown by the layer above when the operation is over.
package enum Failure {
  private final class Box {
    let error: any Error
    init(_ error: any Error) { self.error = error }
  }

  static func note(_ error: any Error) {
    guard mg_thread().pointee.failure == nil else { return }
    mg_thread().pointee.failure = Unmanaged.passRetained(Box(error)).toOpaque()
  }

  /// Throws what was noted, and forgets it.
  @inline(__always)
  package static func check() throws {
    if mg_thread().pointee.failure != nil { try rethrow() }
  }

  /// Takes what was noted away while other code runs; to be given back by `restore`.
  package static func setAside() -> UnsafeMutableRawPointer? {
    defer { mg_thread().pointee.failure = nil }
    return mg_thread().pointee.failure
  }

  package static func restore(_ noted: UnsafeMutableRawPointer?) {
    guard let noted else { return }
    try? check()
    mg_thread().pointee.failure = noted
  }

  private static func rethrow() throws {
    guard let noted = mg_thread().pointee.failure else { return }
    mg_thread().pointee.failure = nil
    throw Unmanaged<Box>.fromOpaque(noted).takeRetainedValue().error
  }
}

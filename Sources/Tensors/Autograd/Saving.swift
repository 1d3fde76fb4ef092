// Values kept for backward: what is stored, how it is checked when it is wanted again, and the hooks that can take its
// place (to offload it, or to compute it anew).

import CKernels

/// A value kept for backward, and the storage's version when it was kept.
struct SavedTensor {
  let tensor: Tensor
  let version: UInt32
  /// The input's number, or 7 for the output.
  let slot: UInt8
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
public final class SavedTensorHooks {
  /// Is given the value, without history; returns what gives it back.
  package let pack: (Tensor) throws -> (() throws -> Tensor)
  private let outer: SavedTensorHooks?

  /// Puts hooks into force on this thread until `end`.
  package static func begin(_ pack: @escaping (Tensor) throws -> (() throws -> Tensor)) -> SavedTensorHooks {
    let hooks = SavedTensorHooks(pack, outer: current)
    mg_thread().pointee.saving = Unmanaged.passRetained(hooks).toOpaque()
    return hooks
  }

  private init(_ pack: @escaping (Tensor) throws -> (() throws -> Tensor), outer: SavedTensorHooks?) {
    self.pack = pack
    self.outer = outer
  }

  /// Takes these hooks, and any begun after them, out of force. Does nothing the second time.
  package func end() {
    var hooks = SavedTensorHooks.current
    while let inner = hooks, inner !== self { hooks = inner.outer }
    guard hooks != nil else { return }
    while let inner = SavedTensorHooks.current {
      mg_thread().pointee.saving = inner.outer.map { Unmanaged.passUnretained($0).toOpaque() }
      let isLast = inner === self
      Unmanaged.passUnretained(inner).release()
      if isLast { break }
    }
  }

  /// The hooks in force on this thread.
  static var current: SavedTensorHooks? {
    mg_thread().pointee.saving.map { Unmanaged<SavedTensorHooks>.fromOpaque($0).takeUnretainedValue() }
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

  private static func rethrow() throws {
    guard let noted = mg_thread().pointee.failure else { return }
    mg_thread().pointee.failure = nil
    throw Unmanaged<Box>.fromOpaque(noted).takeRetainedValue().error
  }
}

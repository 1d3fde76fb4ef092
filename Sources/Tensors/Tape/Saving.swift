// Values kept for backward: what is stored, how it is checked when it is wanted again, and the hooks that can take its
// place (to offload it, or to compute it anew).

import Synchronization

/// A value kept for backward, and the storage's version when it was kept.
struct SavedTensor {
  let tensor: Tensor
  let version: UInt32
  /// The slot, and above it how often the object's elements had been replaced (`x.data = y`, `free()`), which its storage's
  /// version does not tell.
  private let tag: UInt32

  @inline(__always)
  init(_ tensor: Tensor, _ slot: KeptSlot) {
    self.init(tensor, version: tensor.storage.version, slot)
  }

  @inline(__always)
  private init(_ tensor: Tensor, version: UInt32, _ slot: KeptSlot) {
    self.tensor = tensor
    self.version = version
    tag = UInt32(slot.rawValue) | tensor.replacements << 8
  }

  @inline(__always)
  var slot: KeptSlot { KeptSlot(rawValue: UInt8(truncatingIfNeeded: tag)) }

  /// Whether this is `slot`, and neither was written to nor replaced since it was kept.
  @inline(__always)
  func isIntact(_ slot: KeptSlot) -> Bool {
    tag == UInt32(slot.rawValue) | tensor.replacements << 8 && tensor.storage.version == version
  }

  /// Whether the object has other elements than it had.
  var isReplaced: Bool { tag >> 8 != tensor.replacements & 0xff_ffff || version == .max }

  /// The same held by an object that shares the elements, in this slot or another. What was written to or replaced since it
  /// was kept stays recognisable as that: no storage's version is that high.
  func moved(to object: Tensor, _ slot: KeptSlot? = nil) -> SavedTensor {
    SavedTensor(object, version: isReplaced ? .max : version, slot ?? self.slot)
  }

  /// The same for another formula, which sees it as `look` shows it: as a view, or as a copy.
  func shown(in slot: KeptSlot, _ look: (Tensor) throws -> Tensor) throws -> SavedTensor {
    // A copy of other elements than those that were kept would pass for them.
    guard isIntact(self.slot) else { return moved(to: tensor, slot) }
    return SavedTensor(try look(tensor), slot)
  }
}

/// A value in whose place hooks keep something else.
struct PackedTensor {
  let slot: KeptSlot
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
    unpack = try SavedTensorHooks.current?.packing(self.tensor)
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

  /// What gives a value back that the hooks have seen. They may keep it, but not write to it, which would be a write to the
  /// user's own tensor. What comes back is checked: formulas trust its shape, its dtype, and that it is contiguous if it was.
  func packing(_ tensor: Tensor) throws -> () throws -> Tensor {
    let storage = tensor.storage
    let restrictions = storage.restrictions
    storage.restrictions.insert(.packing)
    defer { storage.restrictions = restrictions }
    let unpack = try pack(tensor.detach())
    let (shape, dtype, isContiguous) = (tensor.shape, tensor.dtype, tensor.isContiguous)
    return {
      let found = try unpack()
      guard found.shape == shape, found.dtype == dtype else {
        throw TensorError(
          .argument, "saved_tensors_hooks",
          "a tensor of shape \(found.shape) and \(found.dtype) was unpacked where one of shape \(shape) and \(dtype) had been packed")
      }
      return isContiguous ? try found.packed() : found
    }
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

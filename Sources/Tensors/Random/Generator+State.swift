// The state of a generator as a tensor: the bytes that PyTorch gives, so that each takes over the other's.

/// Where things stand in PyTorch's 5056 bytes, and what it keeps beside the twister.
private enum StateBytes {
  static let count = 5056
  static let seed = 0
  /// How many words of the block are left, plus one.
  static let left = 8
  static let isSeeded = 12
  /// How many of them are drawn.
  static let next = 16
  /// The words, of 8 bytes each.
  static let words = 24
  /// The second of a pair of normal numbers, and whether there is one; what stands around is not used.
  static let pendingNormal = words + 8 * Generator.size + 8
  static let hasPendingNormal = words + 8 * Generator.size + 24
}

extension Generator {
  /// Everything that decides what it draws next, as a uint8 tensor of the 5056 bytes that PyTorch's `get_state` gives.
  public func stateTensor() throws -> Tensor {
    let tensor = try Tensor.zeros([StateBytes.count], dtype: .uint8)
    let state = currentState
    let bytes = UnsafeMutableRawPointer(tensor.data)
    // Before the first draw PyTorch has not made a block yet, and counts none of its words.
    let isFresh = state.position == Generator.size && state.words[0] == UInt32(truncatingIfNeeded: state.seed)
    bytes.storeBytes(of: state.seed, toByteOffset: StateBytes.seed, as: UInt64.self)
    bytes.storeBytes(of: Int32(Generator.size + 1 - state.position), toByteOffset: StateBytes.left, as: Int32.self)
    bytes.storeBytes(of: 1, toByteOffset: StateBytes.isSeeded, as: Int32.self)
    bytes.storeBytes(of: isFresh ? 0 : UInt64(state.position), toByteOffset: StateBytes.next, as: UInt64.self)
    for (position, word) in state.words.enumerated() {
      bytes.storeBytes(of: UInt64(word), toByteOffset: StateBytes.words + 8 * position, as: UInt64.self)
    }
    if let pending = state.pendingNormal {
      bytes.storeBytes(of: pending, toByteOffset: StateBytes.pendingNormal, as: Double.self)
      bytes.storeBytes(of: 1, toByteOffset: StateBytes.hasPendingNormal, as: Int32.self)
    }
    return tensor
  }

  /// Goes on from a state that ``stateTensor()``, or PyTorch's `get_state`, gave.
  public func setState(_ tensor: Tensor, _ operation: String = "set_state") throws {
    guard tensor.dtype == .uint8, tensor.rank == 1, tensor.count == StateBytes.count else {
      throw TensorError(
        .argument, operation,
        "a state is a uint8 tensor of \(StateBytes.count) elements, as get_state gives it, got \(tensor.dtype) of shape \(tensor.shape)")
    }
    let packed = try tensor.detach().packed()
    let bytes = UnsafeRawPointer(packed.data)
    let left = bytes.loadUnaligned(fromByteOffset: StateBytes.left, as: Int32.self)
    let next = bytes.loadUnaligned(fromByteOffset: StateBytes.next, as: UInt64.self)
    let isFresh = left == 1 && next == 0
    guard bytes.loadUnaligned(fromByteOffset: StateBytes.isSeeded, as: Int32.self) == 1,
      isFresh || left >= 1 && next <= UInt64(Generator.size) && Int(left) + Int(next) == Generator.size + 1
    else { throw TensorError(.argument, operation, "these bytes are no state of a generator") }
    let isPending = bytes.loadUnaligned(fromByteOffset: StateBytes.hasPendingNormal, as: Int32.self) != 0
    currentState = State(
      seed: bytes.loadUnaligned(fromByteOffset: StateBytes.seed, as: UInt64.self),
      words: (0..<Generator.size).map {
        UInt32(truncatingIfNeeded: bytes.loadUnaligned(fromByteOffset: StateBytes.words + 8 * $0, as: UInt64.self))
      },
      position: isFresh ? Generator.size : Int(next),
      pendingNormal: isPending ? bytes.loadUnaligned(fromByteOffset: StateBytes.pendingNormal, as: Double.self) : nil)
    withExtendedLifetime(packed) {}
  }
}

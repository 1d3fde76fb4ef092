// The bytes behind tensors. Views share one storage under different layouts.

/// A buffer of elements and the count of writes to it.
package final class Storage {
  package let firstByte: UnsafeMutableRawPointer
  package let byteCount: Int
  /// Whose memory it is; lives as long as any of its buffers.
  private let owner: UnsafeMutablePointer<Context.State>
  /// In-place writes so far. Saved values compare it at backward (see SavedTensor).
  @exclusivity(unchecked) package var version: UInt32 = 0
  /// Writes that changed the history of some tensor here; views compare it with what they saw (see `gradNode`).
  @exclusivity(unchecked) package var history: UInt32 = 0
  /// Whether some node has kept a tensor with these elements (see `Node.save`).
  @exclusivity(unchecked) var isSaved = false
  /// What must not be done with it.
  @exclusivity(unchecked) var restrictions: Restrictions = []
  /// The script's line of the last write since it was saved (see Site).
  @exclusivity(unchecked) var writtenAt: UInt32 = 0
  /// Whose memory the bytes are, where they are not the context's: kept as long as this lives.
  private let lender: Unmanaged<AnyObject>?

  /// Room for that many bytes, not cleared.
  @inline(__always)
  package init(byteCount: Int) throws {
    self.byteCount = byteCount
    if GradMode.bits & GradMode.inference != 0 { restrictions = .inference }
    owner = Context.current
    lender = nil
    firstByte = try owner.pointee.memory.lend(byteCount)
  }

  /// Bytes that belong to someone else, such as a mapped file, and may be read and written as long as that object lives. The
  /// context's account knows nothing of them.
  package init(borrowing firstByte: UnsafeMutableRawPointer, byteCount: Int, of lender: AnyObject) {
    self.byteCount = byteCount
    if GradMode.bits & GradMode.inference != 0 { restrictions = .inference }
    owner = Context.current
    self.lender = Unmanaged.passRetained(lender)
    self.firstByte = firstByte
  }

  struct Restrictions: OptionSet {
    let rawValue: UInt8
    /// Made in inference mode: such elements take no part in recorded computation.
    static let inference = Restrictions(rawValue: 1)
    /// Being packed by a hook, which must not write to it.
    static let packing = Restrictions(rawValue: 2)
    /// Some guard forbids every write (see WriteGuard).
    static let guarded = Restrictions(rawValue: 4)
  }

  /// Whether it was made in inference mode.
  @inline(__always)
  package var isInference: Bool { restrictions.contains(.inference) }

  deinit {
    if let lender { return lender.release() }
    if owner == Context.current { owner.pointee.memory.free(firstByte, byteCount) } else { freeFromElsewhere() }
  }

  @inline(never)
  private func freeFromElsewhere() {
    if MemoryAccount.free(firstByte, byteCount, to: owner.pointee.memory.returned) { Context.discard(owner) }
  }
}

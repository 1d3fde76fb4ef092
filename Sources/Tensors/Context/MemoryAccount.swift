// Tensor memory: an account of what is in use, and size classes of freed buffers, so that a training step allocates nothing
// after its first round. Large buffers that go back to the system cost page faults when they are asked for again.

import Glibc
import Synchronization

/// The memory of a context's tensors, in bytes.
public struct MemoryFigures: Sendable {
  /// Handed out to tensors now, and the most there has been.
  public let live, peak: Int
  /// Freed but kept for reuse.
  public let cached: Int
  /// What `live` may not pass.
  public let limit: Int
}

/// Buffers of one account that were given back while its context was not in force, maybe on another thread. An object of its
/// own, so that no access to it overlaps those to the account.
final class ReturnedBuffers: Sendable {
  private let bytes = Atomic<Int64>(0)
  /// How many; once the context is gone, less those that it left behind, so that the last one makes it 0.
  private let count = Atomic<Int>(0)

  /// Notes a buffer; true where it was the last of a context that is gone.
  func add(_ size: Int64) -> Bool {
    bytes.wrappingAdd(size, ordering: .relaxed)
    return count.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == 0
  }

  var total: Int64 { bytes.load(ordering: .relaxed) }

  /// Notes that the context is gone, with that many buffers not given back to itself; true where none of them is left.
  func close(leaving buffers: Int) -> Bool { count.wrappingSubtract(buffers, ordering: .acquiringAndReleasing).newValue == 0 }
}

/// What a context's tensors take, and the buffers that it keeps for them.
package struct MemoryAccount {
  /// Bytes handed out and not given back, so far as is known here; and the most there have been.
  private var lent: Int64 = 0
  private var peak: Int64 = 0
  /// Of the bytes that were given back elsewhere, those which `lent` is without.
  private var known: Int64 = 0
  /// 0 for the machine's memory.
  var limit: Int64 = 0 {
    didSet { setCeiling() }
  }
  /// Bytes that may be live.
  private var ceiling = MemoryAccount.physicalMemory
  /// Bytes above which it is looked closer: the ceiling, or none.
  private var attention = MemoryAccount.physicalMemory
  /// Tests only: how many buffers are lent before one is refused, and how many were lent since when it is below 0.
  var lendsBeforeRefusal: Int? {
    didSet { setCeiling() }
  }
  /// Buffers handed out and not given back here.
  private(set) var buffers = 0
  let returned = ReturnedBuffers()

  /// Bytes that were asked of the system, since it was looked whether it has more.
  private var freshBytes = 0
  private static let lookInterval = 2 << 20

  private var cached = 0
  /// Freed buffers by size class, chained through their first word.
  private var heads: InlineArray<160, UnsafeMutableRawPointer?> = InlineArray(repeating: nil)

  /// Size classes: 64 · 2^k bytes, and three steps between two powers.
  private static let classCount = 160
  /// More than this is never kept, of one buffer and of all together.
  private static let largestKept = 256 << 20
  private static let keptTotal = 1 << 30

  init() {}

  private mutating func setCeiling() {
    ceiling = limit > 0 ? limit : MemoryAccount.physicalMemory
    attention = lendsBeforeRefusal == nil ? ceiling : -1
  }

  /// The class of a byte count and the bytes a buffer of that class has.
  @inline(__always)
  private static func sizeClass(_ bytes: Int) -> (index: Int, bytes: Int) {
    if bytes <= 64 { return (0, 64) }
    let units = UInt64(bytes &- 1)
    let power = 63 &- units.leadingZeroBitCount  // 2^power <= bytes - 1
    let step = Int(units >> UInt64(power &- 2)) & 3  // which quarter above it
    let size = (1 << power) &+ (step &+ 1) &* (1 << (power &- 2))
    return ((power &- 6) &* 4 &+ step &+ 1, size)
  }

  /// A 64-byte aligned buffer for at least that many bytes, not cleared. Throws what was asked, the limit and what is
  /// live when that is too much.
  @inline(__always)
  mutating func lend(_ bytes: Int) throws -> UnsafeMutableRawPointer {
    let (index, size) = MemoryAccount.sizeClass(bytes)
    // Memory that was kept counts against the limit like any other.
    if lent &+ Int64(size) > attention { try checkRoom(size, asked: bytes) }
    let buffer: UnsafeMutableRawPointer
    if index < MemoryAccount.classCount, let head = heads[index] {
      heads[index] = head.load(as: UnsafeMutableRawPointer?.self)
      cached &-= size
      buffer = head
    } else {
      buffer = try lendFresh(size, asked: bytes)
    }
    lent &+= Int64(size)
    buffers &+= 1
    if lent > peak { notePeak() }
    return buffer
  }

  @inline(never)
  private mutating func notePeak() {
    let total = returned.total
    lent &-= total &- known
    known = total
    peak = Swift.max(peak, lent)
  }

  @inline(never)
  private mutating func lendFresh(_ size: Int, asked bytes: Int) throws -> UnsafeMutableRawPointer {
    // Beside each small buffer there are a tensor, a node and a handle, which nobody counts.
    freshBytes &+= size &+ 1024
    if freshBytes > MemoryAccount.lookInterval { try lookAround(size, asked: bytes) }
    var made: UnsafeMutableRawPointer?
    // Not aligned_alloc, whose sizes must be multiples of the alignment.
    if posix_memalign(&made, 64, size) != 0 {
      release()
      if posix_memalign(&made, 64, size) != 0 { throw refusal(bytes) }
    }
    guard let made else { throw refusal(bytes) }
    return made
  }

  /// Throws where the process has no room for so many bytes: Linux promises memory that it does not have, and kills whoever uses it.
  @inline(never)
  private mutating func lookAround(_ size: Int, asked bytes: Int) throws {
    if ProcessMemory.shortage(for: size) != nil {
      release()
      if let shortage = ProcessMemory.shortage(for: size) {
        throw TensorError(.memory, "memory", "\(bytes) bytes asked for, but \(shortage), \(live) of them tensors")
      }
    }
    freshBytes = 0
  }

  @inline(never)
  private mutating func checkRoom(_ size: Int, asked bytes: Int) throws {
    if let left = lendsBeforeRefusal {
      lendsBeforeRefusal = left - 1
      if left == 0 { throw refusal(bytes) }
    }
    guard live &+ Int64(size) <= ceiling else { throw refusal(bytes) }
  }

  /// Throws where there is no room for so many bytes that are about to be asked for outside of this account: `what` takes them, a
  /// sentence's beginning.
  func checkRoom(_ bytes: Int, _ what: () -> String, _ operation: String) throws {
    guard Int64(bytes) > ceiling || live > ceiling - Int64(bytes) else { return }
    throw TensorError(
      .memory, operation, "\(what()) \(bytes) bytes, but \(live) of at most \(ceiling) bytes are in use")
  }

  @inline(never)
  private func refusal(_ bytes: Int) -> TensorError {
    TensorError(.memory, "memory", "\(bytes) bytes asked for, but \(live) of at most \(ceiling) bytes are in use")
  }

  /// Takes a buffer back, and keeps it for the next.
  @inline(__always)
  mutating func free(_ pointer: UnsafeMutableRawPointer, _ bytes: Int) {
    let (index, size) = MemoryAccount.sizeClass(bytes)
    lent &-= Int64(size)
    buffers &-= 1
    if index < MemoryAccount.classCount, size <= MemoryAccount.largestKept, cached &+ size <= MemoryAccount.keptTotal {
      pointer.storeBytes(of: heads[index], as: UnsafeMutableRawPointer?.self)
      heads[index] = pointer
      cached &+= size
    } else {
      Glibc.free(pointer)
    }
  }

  /// Takes a buffer back while another context is in force, maybe on another thread: the system gets it. True where it was the
  /// last of a context that is gone.
  static func free(_ pointer: UnsafeMutableRawPointer, _ bytes: Int, to returned: ReturnedBuffers) -> Bool {
    Glibc.free(pointer)
    return returned.add(Int64(sizeClass(bytes).bytes))
  }

  /// Gives all kept buffers back to the system.
  mutating func release() {
    for index in 0..<MemoryAccount.classCount {
      while let head = heads[index] {
        heads[index] = head.load(as: UnsafeMutableRawPointer?.self)
        Glibc.free(head)
      }
    }
    cached = 0
  }

  /// Bytes handed out and not given back.
  package var live: Int64 { lent &- (returned.total &- known) }

  /// Linux promises memory that it does not have, and kills whoever uses it; so what cannot exist is refused here.
  private static let physicalMemory = Int64(ProcessMemory.mostResident)

  package var figures: MemoryFigures {
    MemoryFigures(live: Int(live), peak: Int(peak), cached: cached, limit: Int(ceiling))
  }
}

extension Context {
  /// Throws where the context in force has no room for `count` things that are about to be made outside of its account; `what` is
  /// the sentence's beginning, as in "1000 parts need".
  package static func checkRoom(
    for what: @autoclosure () -> String, _ operation: String, count: Int, bytesOfEach: Int
  ) throws {
    let (bytes, overflows) = count.multipliedReportingOverflow(by: bytesOfEach)
    try current.pointee.memory.checkRoom(overflows ? .max : bytes, what, operation)
  }
}

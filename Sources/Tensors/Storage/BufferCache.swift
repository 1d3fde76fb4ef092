// Tensor memory: size classes of freed buffers, kept by thread, so that a training step allocates nothing after
// its first round. Large buffers that go back to the system cost page faults when they are asked for again.

import CKernels
import Glibc

/// The memory of tensors on this thread, in bytes.
public struct MemoryFigures: Sendable {
  /// Handed out to tensors now, and the most there has been.
  public let live, peak: Int
  /// Freed but kept for reuse.
  public let cached: Int
  /// What `live` may not pass.
  public let limit: Int
}

package enum BufferCache {
  /// A size class: buffers of 64 · 2^k bytes and three steps between two powers.
  private static let classCount = 160
  /// More than this is never kept, of one buffer and of all together.
  private static let largestKept = 256 << 20
  private static let keptTotal = 1 << 30

  /// Freed buffers are chained through their first word.
  private struct State {
    var cached = 0
    var heads: InlineArray<160, UnsafeMutableRawPointer?> = InlineArray(repeating: nil)
  }

  @inline(__always)
  private static var state: UnsafeMutablePointer<State> {
    if let made = mg_thread().pointee.buffers { return made.assumingMemoryBound(to: State.self) }
    return makeState()
  }

  @inline(never)
  private static func makeState() -> UnsafeMutablePointer<State> {
    let made = UnsafeMutablePointer<State>.allocate(capacity: 1)
    made.initialize(to: State())
    mg_thread().pointee.buffers = UnsafeMutableRawPointer(made)
    ThreadExit.register()
    return made
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
  static func allocate(_ bytes: Int) throws -> UnsafeMutableRawPointer {
    let (index, size) = sizeClass(bytes)
    let thread = mg_thread()
    thread.pointee.live_bytes &+= Int64(size)
    let state = state
    if index < classCount, let head = state.pointee.heads[index] {
      state.pointee.heads[index] = head.load(as: UnsafeMutableRawPointer?.self)
      state.pointee.cached &-= size
      // Memory from the cache counts against the limit like any other.
      if thread.pointee.live_bytes <= limit { return head }
      state.pointee.heads[index] = head
      state.pointee.cached &+= size
    }
    return try allocateFresh(size, asked: bytes)
  }

  @inline(never)
  private static func allocateFresh(_ size: Int, asked bytes: Int) throws -> UnsafeMutableRawPointer {
    let thread = mg_thread()
    var made: UnsafeMutableRawPointer?
    if thread.pointee.live_bytes <= limit {
      // Not aligned_alloc, whose sizes must be multiples of the alignment.
      if posix_memalign(&made, 64, size) != 0 {
        release()
        if posix_memalign(&made, 64, size) != 0 { made = nil }
      }
    }
    guard let made else {
      thread.pointee.live_bytes &-= Int64(size)
      throw TensorError(
        .memory, "memory", "\(bytes) bytes asked for, but \(thread.pointee.live_bytes) of at most \(limit) bytes are in use")
    }
    thread.pointee.peak_bytes = max(thread.pointee.peak_bytes, thread.pointee.live_bytes)
    return made
  }

  @inline(__always)
  static func free(_ pointer: UnsafeMutableRawPointer, _ bytes: Int) {
    let (index, size) = sizeClass(bytes)
    mg_thread().pointee.live_bytes &-= Int64(size)
    let state = state
    if index < classCount, size <= largestKept, state.pointee.cached &+ size <= keptTotal {
      pointer.storeBytes(of: state.pointee.heads[index], as: UnsafeMutableRawPointer?.self)
      state.pointee.heads[index] = pointer
      state.pointee.cached &+= size
    } else {
      Glibc.free(pointer)
    }
  }

  /// Gives all cached buffers of this thread back to the system.
  package static func release() {
    let state = state
    for index in 0..<classCount {
      while let head = state.pointee.heads[index] {
        state.pointee.heads[index] = head.load(as: UnsafeMutableRawPointer?.self)
        Glibc.free(head)
      }
    }
    state.pointee.cached = 0
  }

  /// Bytes that may be live on this thread.
  @inline(__always)
  private static var limit: Int64 {
    let set = mg_thread().pointee.limit_bytes
    return set > 0 ? set : physicalMemory
  }

  /// Linux promises memory that it does not have, and kills whoever uses it; so what cannot exist is refused here.
  private static let physicalMemory: Int64 = Int64(sysconf(Int32(_SC_PHYS_PAGES))) * Int64(sysconf(Int32(_SC_PAGESIZE))) / 10 * 9

  package static var figures: MemoryFigures {
    let thread = mg_thread()
    return MemoryFigures(
      live: Int(thread.pointee.live_bytes), peak: Int(thread.pointee.peak_bytes), cached: state.pointee.cached, limit: Int(limit))
  }

  /// A thread that ends gives its cache back.
  private enum ThreadExit {
    private static let key: pthread_key_t = {
      var key = pthread_key_t()
      pthread_key_create(&key) { _ in
        guard let buffers = mg_thread().pointee.buffers else { return }
        BufferCache.release()
        mg_thread().pointee.buffers = nil
        buffers.assumingMemoryBound(to: State.self).deallocate()
      }
      return key
    }()

    static func register() {
      pthread_setspecific(key, UnsafeRawPointer(bitPattern: 1))
    }
  }
}

// How many threads long operations use.

import CKernels

/// Runs `body` for each number from 0 to `count` − 1, on the threads that operations have. It must not throw, nor touch tensors or what
/// a context holds: the threads are in none.
package func inParallel(_ count: Int, _ body: (Int) -> Void) {
  withoutActuallyEscaping(body) { body in
    var body = body
    withUnsafeMutablePointer(to: &body) { context in
      mg_parallel(
        Int64(count), 1,
        { context, begin, end in
          let body = context!.assumingMemoryBound(to: ((Int) -> Void).self).pointee
          for number in begin..<end { body(Int(number)) }
        }, context)
    }
  }
}

/// The threads that long operations are split over.
public enum Threads {
  /// Threads of long loops and large products in the context in force, the caller's included; 1 runs everything on the
  /// caller.
  public static var count: Int {
    get { Int(mg_threads()) }
    set {
      Context.current.pointee.threads = Int32(clamping: max(newValue, 1))
      apply(Context.current.pointee.threads)
    }
  }

  /// What this thread's loops use from now on; 0 for the machine's.
  static func apply(_ count: Int32) { mg_set_threads(count) }
}

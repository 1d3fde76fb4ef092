// How many threads long operations use.

import CKernels

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

// How many threads long operations use.

import CKernels

public enum Threads {
  /// Threads of long loops and large products, the caller's included; 1 runs everything on the caller.
  public static var count: Int {
    get { Int(mg_threads()) }
    set { mg_set_threads(Int32(clamping: max(newValue, 1))) }
  }
}

// How long operations are stopped: by a flag that somebody raises, which long loops look at.

import CKernels

extension Context {
  /// What is raised, from any thread, when what runs in this context is to end; it must live as long as the context heeds it. What runs
  /// ends with an error as soon as it can. A tensor of more than 2²³ elements that is written in place, or drawn, may be half written then.
  package func heed(_ flag: UnsafePointer<Int32>?) { state.pointee.stop = flag }

  /// Whether what runs in the context in force is to end. Loops that take long ask every now and then.
  package static var isStopping: Bool {
    guard let stop = current.pointee.stop else { return false }
    return stop.pointee != 0
  }

  /// Throws where it is.
  package static func checkStop() throws {
    if isStopping { throw TensorError(.interrupted, "", "the operation was stopped") }
  }

  /// Goes through 0 ..< count, and is left early where what runs is to end, when there was much of it: ``checkStop()`` tells.
  @inline(__always)
  package static func inPieces(_ count: Int, _ body: (Int) throws -> Void) rethrows {
    var begin = 0
    while begin < count {
      let end = min(count, begin + 1 << 16)
      for index in begin..<end { try body(index) }
      begin = end
      if begin < count, isStopping { return }
    }
  }

  /// Runs loops of kernels, which are left early where what runs is to end: ``checkStop()`` tells.
  @inline(__always)
  package static func heeding<Result>(_ body: () throws -> Result) rethrows -> Result {
    let outer = mg_heed(current.pointee.stop)
    defer { mg_heed(outer) }
    return try body()
  }
}

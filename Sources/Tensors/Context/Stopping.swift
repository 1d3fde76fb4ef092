// How long operations are stopped: by a flag that somebody raises, which long loops look at.

extension Context {
  /// What is raised, from any thread, when what runs in this context is to end; it must live as long as the context heeds it. What runs
  /// ends with an error as soon as it can without leaving a tensor half written.
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
}

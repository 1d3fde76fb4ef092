// Where backward runs begin: `backward`, which adds to `.grad`, and `gradients`, which returns.

/// What a backward run may do.
public struct BackwardOptions {
  /// Keep saved values for another run.
  public var retainGraph: Bool
  /// Record the gradients' own computation.
  public var createGraph: Bool

  /// Saved values are kept by default if the gradients' own computation is recorded.
  public init(retainGraph: Bool? = nil, createGraph: Bool = false) {
    self.retainGraph = retainGraph ?? createGraph
    self.createGraph = createGraph
  }
}

extension Tensor {
  /// Computes the gradients of this tensor with respect to the leaves that it depends on and adds them to their `grad`.
  ///
  /// - Parameter gradient: the gradient of this tensor, of its shape; may be absent when it has one element (then 1).
  public func backward(_ gradient: Tensor? = nil, options: BackwardOptions = BackwardOptions()) throws {
    var run = Run(options)
    try run.execute(self, gradient)
  }
}

/// Backward runs over the tape.
public enum Tape {
  /// Adds the gradients of `roots` to the `grad` of the leaves they depend on, or only of `inputs`; inputs that are no
  /// leaves retain their gradient from then on.
  ///
  /// When a run fails half-way, its error says which leaves have received their gradients: a ``TensorError`` in its
  /// sentence, and any other error (a hook's) inside a ``PartialBackward``.
  public static func backward(
    _ roots: [Tensor], _ gradients: [Tensor?], inputs: [Tensor]? = nil, options: BackwardOptions = BackwardOptions()
  ) throws {
    var run = Run(options)
    if let inputs { try run.restrict(to: inputs, roots: roots, accumulating: true) }
    try run.execute(roots, gradients, "backward")
  }

  /// The gradients of `roots` with respect to `inputs`, which may be any tensors of the graph; touches no `grad`.
  /// nil where a root does not depend on the input.
  public static func gradients(
    of roots: [Tensor], _ gradients: [Tensor?], inputs: [Tensor], options: BackwardOptions = BackwardOptions()
  ) throws -> [Tensor?] {
    var run = Run(options)
    try run.restrict(to: inputs, roots: roots, accumulating: false)
    try run.execute(roots, gradients, "grad")
    return run.captured
  }

  /// The last backward run of the context in force: its number, 0 for none, and the script's line that started it.
  /// The number of the operation that is recorded next.
  package static var nextSequence: UInt64 { Context.current.pointee.sequence }

  static var last: (number: UInt32, site: UInt32) { (Context.current.pointee.lastRun, Context.current.pointee.lastBackward) }
}

/// An error other than a ``TensorError`` that stopped a backward run after some leaves had received their gradients.
public struct PartialBackward: Error {
  /// What stopped the run.
  public let cause: any Error
  /// Which leaves, as a sentence.
  public let note: String
}

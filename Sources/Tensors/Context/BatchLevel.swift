// The batches that functions are being applied to: what tensors and operations know of them. How an operation is applied to a
// batch is its own (see BatchingRule), and who opens levels and runs operations in them is above (Transforms/Batching.swift).

/// One batch over which a function is applied, within the batches that were opened before it.
package struct BatchLevel: Sendable {
  /// What a function's random numbers are: refused, other ones for each element of the batch, or the same for all.
  package enum Randomness: String, Sendable { case error, different, same }

  package let number: UInt32
  package let size: Int
  package let randomness: Randomness
}

/// Levels in the context in force, the outermost first.
package enum BatchLevels {
  package internal(set) static var open: [BatchLevel] {
    get { Context.current.pointee.batchLevels }
    set { Context.current.pointee.batchLevels = newValue }
  }

  /// Notes that an operation is called for each element, for want of a rule; false where that was noted before.
  package static func noteLoop(_ name: String) -> Bool { Context.current.pointee.loopedOperations.insert(name).inserted }

  /// How often something could not be done with tensors of a batch.
  package static var refusals: Int { Context.current.pointee.batchRefusals }
  package static func noteRefusal() { Context.current.pointee.batchRefusals += 1 }

  /// Whether operations may meet tensors of a batch.
  @inline(__always)
  package static var areInForce: Bool { GradMode.bits & GradMode.batching != 0 }
}

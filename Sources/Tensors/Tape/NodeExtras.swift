// What few nodes have beside their formula: hooks, and tensors that retain their gradient.

/// What few nodes have.
package final class NodeExtras {
  package init() {}
  /// What a fused node stands for, once somebody has looked: it then runs in the fused node's place.
  var expansion: Node?
  /// The newest backward run by then: one that is under way goes on as it began.
  var expandedAt: UInt32 = 0
  /// Hooks on output `index`'s gradient, in the order of registration.
  package var outputHooks: [(index: Int32, hook: Hook)] = []
  /// Tensors that retain their gradient.
  var retaining: [(index: Int32, tensor: WeakTensor)] = []
  var hooks = NodeHooks()
}

/// Functions that run when backward reaches a node, in the order of registration.
package struct NodeHooks {
  /// See the gradients of the outputs before the formula runs, and may replace them.
  var before: [NodeHook] = []
  /// See the gradients of the inputs, then those of the outputs, after it ran, and may replace the former.
  var after: [NodeHook] = []

  var isEmpty: Bool { before.isEmpty && after.isEmpty }
}

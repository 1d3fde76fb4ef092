// Computing a graph again: the proof that what nodes keep is all there is to an operation.

/// A recorded computation, to be run again with other values of its leaves.
///
/// Nodes keep the inputs that lead nowhere only while ``Replay/recording(_:)`` runs.
package struct Replay {
  /// The leaves that the computation starts from, in the order in which they are met.
  package let leaves: [Tensor]
  private let roots: [Edge]
  /// Every node, those that come first in front.
  private let nodes: [Node]

  /// Runs `body`, whose graph can then be computed again.
  package static func recording<R>(_ body: () throws -> R) rethrows -> R {
    let saved = GradMode.bits
    defer { GradMode.bits = saved }
    GradMode.bits |= GradMode.constants
    return try body()
  }

  package init(_ roots: [Tensor]) throws {
    self.roots = try roots.map { root in
      _ = try root.feeds()
      return root.edge
    }
    var nodes: [Node] = []
    var leaves: [Tensor] = []
    var seen = Set<ObjectIdentifier>()
    var stack = self.roots
    while let edge = stack.popLast() {
      switch edge {
      case .none: break
      case .leaf(let leaf): if seen.insert(ObjectIdentifier(leaf)).inserted { leaves.append(leaf) }
      case .node(let node, _):
        guard seen.insert(ObjectIdentifier(node)).inserted else { continue }
        nodes.append(node)
        for index in 0..<node.edges.count { stack.append(node.edges[index]) }
      }
    }
    self.leaves = leaves
    self.nodes = nodes.sorted { $0.sequence < $1.sequence }
  }

  /// The roots computed from other values of the leaves, in their order. Recorded as the first computation was, so that
  /// backward can run from them.
  package func run(_ values: [Tensor]) throws -> [Tensor] {
    guard values.count == leaves.count else {
      throw TensorError(.argument, "replay", "\(values.count) values were given for \(leaves.count) leaves")
    }
    var known: [ObjectIdentifier: Tensor] = [:]
    for (leaf, value) in zip(leaves, values) {
      guard leaf.shape == value.shape, leaf.dtype == value.dtype else {
        throw TensorError(
          .shape, "replay", "a value of shape \(value.shape) and \(value.dtype) was given for a leaf of \(leaf.shape) and \(leaf.dtype)")
      }
      known[ObjectIdentifier(leaf)] = value
    }
    var results: [ObjectIdentifier: [Tensor]] = [:]
    func value(_ edge: Edge) -> Tensor? {
      switch edge {
      case .none: nil
      case .leaf(let leaf): known[ObjectIdentifier(leaf)]
      case .node(let node, let index): results[ObjectIdentifier(node)].map { $0[Int(index)] }
      }
    }
    for node in nodes {
      guard let operation = node.data else {
        throw TensorError(.autograd, "replay", "\(node.name)\(node.place) is a function of a script, which cannot be computed again")
      }
      let constants = node.overflow?.constants ?? []
      let inputs = try (0..<max(node.edges.count, constants.count)).compactMap { number -> Tensor? in
        if number < node.edges.count, let found = value(node.edges[number]) { return found }
        if number < constants.count, let constant = constants[number] { return constant }
        // A plain number's place.
        if operation.hasEmptyEdge, number > 0 { return nil }
        throw TensorError(
          .autograd, "replay",
          "input \(index: number) of \(node.name)\(node.place) is not known: the graph was recorded without its constants")
      }
      results[ObjectIdentifier(node)] = try operation.apply(inputs)
    }
    return try roots.map { root in
      guard let found = value(root) else { throw TensorError(.autograd, "replay", "a root has no graph") }
      return found
    }
  }
}

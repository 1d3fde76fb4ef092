// The nodes that a backward run has still to visit.

/// Nodes by falling number. The graph holds them: the run keeps its roots, and edges never change. Most graphs keep one or
/// two waiting.
struct PendingNodes {
  private var nodes: [Unmanaged<Node>] = []

  private func sequence(_ position: Int) -> UInt64 { nodes[position]._withUnsafeGuaranteedRef { $0.sequence } }

  mutating func push(_ node: Node) {
    nodes.append(Unmanaged.passUnretained(node))
    var child = nodes.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard sequence(parent) < sequence(child) else { return }
      nodes.swapAt(parent, child)
      child = parent
    }
  }

  mutating func pop() -> Node? {
    guard nodes.count > 1 else { return nodes.popLast()?.takeUnretainedValue() }
    nodes.swapAt(0, nodes.count - 1)
    let top = nodes.removeLast()
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < nodes.count else { break }
      if child + 1 < nodes.count, sequence(child + 1) > sequence(child) { child += 1 }
      guard sequence(child) > sequence(parent) else { break }
      nodes.swapAt(parent, child)
      parent = child
    }
    return top.takeUnretainedValue()
  }
}

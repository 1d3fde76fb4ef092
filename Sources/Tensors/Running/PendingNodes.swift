// The nodes that a backward run has still to visit.

/// Nodes by falling number. The graph holds them: the run keeps its roots, and edges never change. Most graphs keep one or
/// two waiting. Those that stand for one node share its number; of them the one that leads to the other comes first, since a
/// gradient of gradients can reach the second of them before the first has run.
struct PendingNodes {
  private var nodes: [Unmanaged<Node>] = []

  private func sequence(_ position: Int) -> UInt64 { nodes[position]._withUnsafeGuaranteedRef { $0.sequence } }

  @inline(__always)
  private func precedes(_ a: Int, _ b: Int) -> Bool {
    let (first, second) = (sequence(a), sequence(b))
    return first > second || (first == second && leads(a, to: b))
  }

  @inline(never)
  private func leads(_ a: Int, to b: Int) -> Bool {
    nodes[a]._withUnsafeGuaranteedRef { first in nodes[b]._withUnsafeGuaranteedRef { first.leads(toPeer: $0) } }
  }

  mutating func push(_ node: Node) {
    nodes.append(Unmanaged.passUnretained(node))
    var child = nodes.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard precedes(child, parent) else { return }
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
      if child + 1 < nodes.count, precedes(child + 1, child) { child += 1 }
      guard precedes(child, parent) else { break }
      nodes.swapAt(parent, child)
      parent = child
    }
    return top.takeUnretainedValue()
  }
}

extension Node {
  /// Whether edges, its own or those of what it stands for, lead from here to another node of the same number.
  fileprivate final func leads(toPeer other: Node) -> Bool {
    let edges = (extras?.expansion ?? self).edges
    for index in 0..<edges.count {
      if case .node(let next, _) = edges[index], next.sequence == sequence, next === other || next.leads(toPeer: other) { return true }
    }
    return false
  }
}

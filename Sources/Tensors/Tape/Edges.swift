// Where gradients go from a node: its edges, in the order of the operation's inputs.

/// Where a node sends a gradient.
package enum Edge {
  /// Nowhere: that input is frozen or not differentiable.
  case none
  /// To output `index` of a node.
  case node(Node, Int32)
  /// Into a leaf's `.grad`.
  case leaf(Tensor)

  @inline(__always)
  var isNone: Bool {
    if case .none = self { true } else { false }
  }

  /// The least number of a node with this edge.
  @inline(__always)
  fileprivate var successor: UInt64 {
    if case .node(let node, _) = self { node.sequence &+ 1 } else { 0 }
  }
}

/// A node's edges: three inline, more in an array.
package struct Edges {
  package private(set) var count = 0
  private var e0 = Edge.none
  private var e1 = Edge.none
  private var e2 = Edge.none
  /// Absent rather than empty: nodes come and go by the million, and an empty array is released like any other.
  private var more: EdgeList?

  @inline(__always)
  init() {}

  @inline(__always)
  init(_ a: Edge) {
    e0 = a
    count = 1
  }

  @inline(__always)
  init(_ a: Edge, _ b: Edge) {
    e0 = a
    e1 = b
    count = 2
  }

  @inline(__always)
  init(_ a: Edge, _ b: Edge, _ c: Edge) {
    e0 = a
    e1 = b
    e2 = c
    count = 3
  }

  init(_ list: [Edge]) {
    count = list.count
    if count > 0 { e0 = list[0] }
    if count > 1 { e1 = list[1] }
    if count > 2 { e2 = list[2] }
    if count > 3 { more = EdgeList(list[3...]) }
  }

  @inline(__always)
  package subscript(index: Int) -> Edge {
    switch index {
    case 0: e0
    case 1: e1
    case 2: e2
    default: more.unsafelyUnwrapped.edges[index - 3]
    }
  }

  /// The least number above `number` for a node with these edges: above those of all nodes that they lead to, which another
  /// context may have numbered, from a higher count.
  @inline(__always)
  func raised(_ number: UInt64) -> UInt64 {
    var number = max(number, e0.successor, e1.successor)
    if count > 2 {
      number = max(number, e2.successor)
      if count > 3 { for edge in more.unsafelyUnwrapped.edges { number = max(number, edge.successor) } }
    }
    return number
  }
}

private final class EdgeList {
  let edges: [Edge]
  init(_ edges: ArraySlice<Edge>) { self.edges = Array(edges) }
}

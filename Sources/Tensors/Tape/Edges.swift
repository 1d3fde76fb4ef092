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

/// An edge that counts no reference: edges never change, so what they lead to lives as long as their node.
enum EdgeTarget {
  case none
  case node(Unmanaged<Node>, Int32)
  case leaf(Unmanaged<Tensor>)

  @inline(__always)
  init(_ edge: borrowing Edge) {
    switch edge {
    case .none: self = .none
    case .node(let node, let index): self = .node(.passUnretained(node), index)
    case .leaf(let leaf): self = .leaf(.passUnretained(leaf))
    }
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
    if count > 3 { more = EdgeList(Array(list[3...])) }
  }

  /// Those of an operation on these tensors.
  init(_ inputs: [Tensor]) {
    count = inputs.count
    if count > 0 { e0 = inputs[0].edge }
    if count > 1 { e1 = inputs[1].edge }
    if count > 2 { e2 = inputs[2].edge }
    if count > 3 { more = EdgeList(inputs[3...].map(\.edge)) }
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

  /// Where edge `index` leads, for whoever keeps the node meanwhile.
  @inline(__always)
  func target(_ index: Int) -> EdgeTarget {
    switch index {
    case 0: EdgeTarget(e0)
    case 1: EdgeTarget(e1)
    case 2: EdgeTarget(e2)
    default: EdgeTarget(more.unsafelyUnwrapped.edges[index - 3])
    }
  }

  /// Whether edge `index` leads anywhere: asked for without counting a reference.
  @inline(__always)
  func leads(_ index: Int) -> Bool {
    switch index {
    case 0: !e0.isNone
    case 1: !e1.isNone
    case 2: !e2.isNone
    default: !more.unsafelyUnwrapped.edges[index - 3].isNone
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
  init(_ edges: [Edge]) { self.edges = edges }
}

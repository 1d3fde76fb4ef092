// What a graph costs: the multiplications that backward makes for whichever leaves are trained, and the bytes that are kept for it.

/// Counts the multiplications of matrix products and convolutions that are launched, each of which is added to a sum.
package final class MultiplyAdds: LaunchListener {
  /// So far.
  package private(set) var count = 0

  package func answers(_ launch: Launch) -> Bool {
    let (a, b, c, _) = launch.numbers
    switch launch.kernel {
    case .product: count += Int(a) * Int(b) * Int(c)
    case .convolution:
      guard let plain = launch.e?.pointer?.assumingMemoryBound(to: Int64.self) else { break }
      let (batch, groups, inputs, outputs) = launch.sizes
      // The second and third of its rows of three: a window's sizes, and how many windows there are.
      count += (3..<9).reduce(batch * outputs * (inputs / groups)) { $0 * Int(plain[$1]) }
    default: break
    }
    return false
  }

  /// Runs `body` with this one counting; whoever listened before does not hear that.
  package func during<R>(_ body: () throws -> R) rethrows -> R {
    let context = Context.current
    let outer = context.pointee.listener
    context.pointee.listener = self
    defer { context.pointee.listener = outer }
    return try body()
  }

  package init() {}
}

/// A recorded graph, to ask what its backward run would cost if other leaves were trained than were when it was recorded.
///
/// It can tell for leaves that had gradients then: of what led to none of them nothing was recorded.
package struct GraphWork {
  /// What becomes of one node.
  package struct Share {
    /// Where its operation stands in the order in which all were recorded.
    package let sequence: UInt64
    /// PyTorch's name of the node.
    package let name: String
    package var multiplyAdds: Int
    /// Of values kept that no earlier node keeps, and that are there anyway: no leaf's, and none of a model.
    package var keptBytes: Int
  }

  /// Those that come first in front.
  private let nodes: [Node]
  /// The elements that are there anyway.
  private let present: Set<ObjectIdentifier>

  /// `model` are tensors whose elements do not count as kept for backward, as those of leaves do not.
  package init(_ roots: [Tensor], of model: [Tensor] = []) throws {
    var nodes: [Node] = []
    var seen = Set<ObjectIdentifier>()
    var present = Set(model.map { ObjectIdentifier($0.storage) })
    var stack = try roots.map { root in
      _ = try root.feeds()
      return root.edge
    }
    while let edge = stack.popLast() {
      switch edge {
      case .none: break
      case .leaf(let leaf): present.insert(ObjectIdentifier(leaf.storage))
      case .node(let node, _):
        guard seen.insert(ObjectIdentifier(node)).inserted else { continue }
        nodes.append(node)
        for index in 0..<node.edges.count { stack.append(node.edges[index]) }
      }
    }
    self.nodes = nodes.sorted { $0.sequence < $1.sequence }
    self.present = present
  }

  /// The nodes that were recorded, and the bytes of all that they keep beside the elements that are there anyway.
  package var recorded: (nodes: Int, keptBytes: Int) {
    var counted = present
    let bytes = nodes.flatMap(\.keptTensors).reduce(0) { sum, kept in
      counted.insert(ObjectIdentifier(kept.tensor.storage)).inserted ? sum + kept.tensor.storage.byteCount : sum
    }
    return (nodes.count, bytes)
  }

  /// What backward from all roots would cost: the nodes that it would pass, if the leaves that are named were trained and no others.
  package func shares(ifTrained isTrained: (Tensor) -> Bool) throws -> [Share] {
    var reaches = Set<ObjectIdentifier>()
    var counted = present
    var result: [Share] = []
    for node in nodes {
      func leads(_ number: Int) -> Bool {
        guard number < node.edges.count else { return false }
        switch node.edges[number] {
        case .none: return false
        case .leaf(let leaf): return isTrained(leaf)
        case .node(let next, _): return reaches.contains(ObjectIdentifier(next))
        }
      }
      let wanted = (0..<node.edges.count).filter(leads)
      guard !wanted.isEmpty else { continue }
      reaches.insert(ObjectIdentifier(node))
      var share = Share(sequence: node.sequence, name: node.name, multiplyAdds: 0, keptBytes: 0)
      // Functions of scripts say nothing of what they do: all that they keep counts.
      var uses = Uses(rawValue: .max)
      if let operation = node.data {
        share.multiplyAdds = try operation.gradientWork(node, leads)
        uses = wanted.reduce(into: .nothing) { $0.formUnion(operation.uses($1)) }
      }
      for kept in node.keptTensors where uses.contains(kept.slot) {
        guard counted.insert(ObjectIdentifier(kept.tensor.storage)).inserted else { continue }
        share.keptBytes += kept.tensor.storage.byteCount
      }
      result.append(share)
    }
    return result
  }
}

extension Node {
  /// The values that it keeps, as objects; not those that hooks keep in their own way.
  fileprivate var keptTensors: [(slot: KeptSlot, tensor: Tensor)] {
    let own = [saved0, saved1].compactMap { $0 } + (overflow?.saved ?? [])
    return own.map { ($0.slot, $0.tensor) } + (overflow?.kept ?? []).map { (.own(0), $0.tensor) }
  }
}

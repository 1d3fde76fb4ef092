// Sums that keep every step's graph alive: `total = total + loss` in a training loop, where a number was meant.

enum GrowingHistory {
  /// Additions of one line, to be warned of at these counts: of graphs that a backward run has used up, which cannot
  /// serve any more, and of whatever else, which may be meant.
  private static let usedUp = 100
  private static let any = 10_000

  /// Looks at an addition of numbers that was just recorded.
  @inline(__always)
  static func look(at node: Node, _ a: Tensor, _ b: Tensor) {
    guard node.site != 0 else { return }
    if let sum = a.node, sum.site == node.site, sum.name == node.name {
      count(node.site, isUsedUp: isUsedUp(b.node))
    } else if let sum = b.node, sum.site == node.site, sum.name == node.name {
      count(node.site, isUsedUp: isUsedUp(a.node))
    }
  }

  /// Whether a backward run has been there, by the first of the last few nodes that had something to free.
  private static func isUsedUp(_ node: Node?) -> Bool {
    var node = node
    for _ in 0..<4 {
      guard let visited = node else { return false }
      if visited.isReleased { return true }
      guard visited.edges.count > 0, case .node(let next, _) = visited.edges[0] else { return false }
      node = next
    }
    return false
  }

  private static func count(_ site: UInt32, isUsedUp: Bool) {
    let weight = isUsedUp ? any / usedUp : 1
    let sum = Context.current.pointee.additions[site, default: 0] + weight
    Context.current.pointee.additions[site] = sum
    // Once: at the step that passes the mark.
    guard sum >= any, sum - weight < any, let place = Site.text(site) else { return }
    Notice.post(
      "\(place): this sum keeps the history of \(isUsedUp ? usedUp : any) steps in memory, and more with every step; add x:item() or x:detach() if only the value is wanted"
    )
  }
}

// Drawing the graph behind a tensor: as text for the console, and in graphviz' language.

/// The graph that computed a tensor, ready to be drawn: operations with their script lines and saved values, down to the
/// leaves with their values and gradients. Walks without recursion, so any depth will do.
public struct GraphDrawing {
  private struct Item {
    let node: Node
    var next: [Target] = []
  }

  /// Where an operation's edge leads.
  private enum Target {
    case item(Int)
    /// To nothing: that input is constant or frozen.
    case constant
    /// To what was left out.
    case beyond

    var number: Int? {
      if case .item(let number) = self { number } else { nil }
    }
  }

  private let root: Tensor
  private let names: [ObjectIdentifier: String]
  private var items: [Item] = []
  /// Whether the graph has more nodes than were asked for.
  private var isCut = false

  /// - Parameters:
  ///   - names: what to call leaves (and the root), such as the names of parameters.
  ///   - limit: the most operations to draw.
  public init(_ root: Tensor, names: [(name: String, tensor: Tensor)] = [], limit: Int = 200) {
    self.root = root
    self.names = Dictionary(names.map { (ObjectIdentifier($0.tensor), $0.name) }) { first, _ in first }
    guard let first = root.gradNode ?? (root.requiresGrad ? root.accumulator : nil) else { return }
    var numbers: [ObjectIdentifier: Int] = [:]
    var stack: [(node: Node, from: Int, position: Int)] = []
    func visit(_ node: Node) -> Int {
      if let known = numbers[ObjectIdentifier(node)] { return known }
      let number = items.count
      numbers[ObjectIdentifier(node)] = number
      let next = (try? node.nextFunctions()) ?? []
      items.append(Item(node: node, next: next.map { $0.node == nil ? .constant : .beyond }))
      for (position, target) in next.enumerated().reversed() {
        if let target = target.node { stack.append((target, number, position)) }
      }
      return number
    }
    _ = visit(first)
    while let (node, from, position) = stack.popLast() {
      guard items.count < limit || numbers[ObjectIdentifier(node)] != nil else {
        isCut = true
        continue
      }
      items[from].next[position] = .item(visit(node))
    }
  }

  // MARK: Facts about the boxes

  private func headline(_ node: Node) -> String {
    var line = node.name
    if let place = Site.text(node.site) { line += " (\(place))" }
    let saved = node.savedSummary
    if !saved.isEmpty { line += "  saved: " + saved.joined(separator: ", ") }
    return line
  }

  private func facts(_ tensor: Tensor, separator: String) -> String {
    var facts: [String] = []
    if let name = names[ObjectIdentifier(tensor)] { facts.append(name) }
    facts.append("data = \(tensor.brief)")
    facts.append("grad = \(tensor.grad?.brief ?? "nil")")
    facts.append("grad_fn = \(tensor.gradNode?.name ?? "nil")")
    facts.append("is_leaf = \(tensor.isLeaf), requires_grad = \(tensor.requiresGrad)")
    return facts.joined(separator: separator)
  }

  // MARK: Text

  /// A tree, in which what is used several times is drawn once and referred to by its number.
  public var text: String {
    var lines = [facts(root, separator: "  ")]
    guard !items.isEmpty else { return lines[0] + "\n(no graph)" }
    var drawn = Set<Int>()
    let shared = sharedItems
    var stack: [(target: Target, prefix: String, isLast: Bool)] = [(.item(0), "", true)]
    while let (target, prefix, isLast) = stack.popLast() {
      let isRoot = lines.count == 1
      let branch = isRoot ? "" : isLast ? "└─ " : "├─ "
      guard let number = target.number else {
        if case .constant = target { lines.append(prefix + branch + "constant") } else { lines.append(prefix + branch + "…") }
        continue
      }
      let mark = shared.contains(number) ? "#\(number + 1) " : ""
      let item = items[number]
      if !drawn.insert(number).inserted {
        lines.append(prefix + branch + "\(mark)again")
        continue
      }
      let leaf = item.node.variable.map { "  " + facts($0, separator: "  ") } ?? ""
      lines.append(prefix + branch + mark + headline(item.node) + leaf)
      // A long chain is not drawn to the right for ever.
      let deeper = isRoot ? "" : prefix.count > 120 ? prefix : prefix + (isLast ? "   " : "│  ")
      for (position, next) in item.next.enumerated().reversed() {
        stack.append((next, deeper, position == item.next.count - 1))
      }
    }
    if isCut { lines.append("… and more: the drawing was cut off at \(items.count) operations") }
    return lines.joined(separator: "\n")
  }

  private var sharedItems: Set<Int> {
    var counts = [Int](repeating: 0, count: items.count)
    for item in items { for target in item.next { if let next = target.number { counts[next] += 1 } } }
    return Set(counts.indices.filter { counts[$0] > 1 })
  }

  // MARK: DOT

  /// The graph for graphviz: `dot -Tsvg`.
  public var dot: String {
    var lines = [
      "digraph autograd {", "  node [fontname=\"monospace\", fontsize=10, shape=box];",
      "  root [label=\"\(escaped(facts(root, separator: "\n")))\", style=filled, fillcolor=\"#d5e8d4\"];",
    ]
    for (number, item) in items.enumerated() {
      if let leaf = item.node.variable {
        let color = leaf.requiresGrad ? "#dae8fc" : "#eeeeee"
        lines.append("  n\(number) [label=\"\(escaped(facts(leaf, separator: "\n")))\", style=filled, fillcolor=\"\(color)\"];")
        continue
      }
      var label = item.node.name
      if let place = Site.text(item.node.site) { label += "\n" + place }
      for saved in item.node.savedSummary { label += "\nsaved " + saved }
      lines.append("  n\(number) [label=\"\(escaped(label))\", shape=ellipse];")
    }
    if !items.isEmpty { lines.append("  root -> n0;") }
    for (number, item) in items.enumerated() {
      for (position, next) in item.next.enumerated() {
        let label = item.next.count > 1 ? " [label=\"\(position + 1)\"]" : ""
        switch next {
        case .item(let next): lines.append("  n\(number) -> n\(next)\(label);")
        case .beyond: lines.append("  n\(number) -> more\(label);")
        case .constant: break
        }
      }
    }
    if isCut { lines.append("  more [label=\"… and more\", shape=plaintext];") }
    lines.append("}")
    return lines.joined(separator: "\n") + "\n"
  }

  private func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      default: result.append(character)
      }
    }
    return result
  }
}

extension Tensor {
  /// The value of a number, and the shape of anything else.
  fileprivate var brief: String {
    if count == 1, let value = try? detach().item() {
      let number =
        switch value {
        case .real(let real): dtype == .float64 ? "\(real)" : "\(Float(real))"
        case .integer(let integer): "\(integer)"
        case .boolean(let flag): "\(flag)"
        }
      return rank == 0 ? number : "[\(number)] of shape \(shape)"
    }
    return "\(dtype) \(shape)"
  }
}

extension Node {
  /// The kept values that are still there, as `self = 2.0`.
  fileprivate var savedSummary: [String] {
    guard !isReleased, let shown = try? unfused(), let names = shown.data?.slotNames else { return [] }
    return names.compactMap { name, slot in
      if let value = (try? shown.keptValue(slot)) ?? nil { return "\(name) = \(value.brief)" }
      return (shown.data?.attribute(name) as? Scalar).map { "\(name) = \($0)" }
    }
  }
}

// The printed form of modules: PyTorch's tree.

extension Module: CustomStringConvertible {
  /// The module and those within it, a line each, with positions from 0.
  public var description: String { description(indexBase: 0) }

  /// The tree for readers who count dimensions from `base`. The keys of children stay names, as in checkpoints.
  public final func description(indexBase base: Int) -> String {
    var above = Set<ModuleIdentity>()
    return description(base, &above)
  }

  private func description(_ base: Int, _ above: inout Set<ModuleIdentity>) -> String {
    // Of modules within themselves, and deeper than anybody reads or a stack reaches, the names alone.
    guard above.count < 100, above.insert(identity).inserted else { return "\(kind)(…)" }
    defer { above.remove(identity) }
    var children: [(key: String, text: String)] = []
    for (name, module) in ownChildren { children.append((name, module.description(base, &above))) }
    if mergesEqualChildren { children = merged(children) }
    let extra = [extraDescription(indexBase: base), adapter?.text ?? ""].filter { !$0.isEmpty }.joined(separator: ", ")
    return Module.tree(shownKind, extra, children)
  }

  /// Runs of children that print alike share a line, `(0-2): 3 x ReLU()`.
  private func merged(_ children: [(key: String, text: String)]) -> [(key: String, text: String)] {
    var result: [(key: String, text: String)] = []
    var start = 0
    while start < children.count {
      var end = start + 1
      while end < children.count, children[end].text == children[start].text { end += 1 }
      if end - start == 1 {
        result.append(children[start])
      } else {
        result.append(("\(children[start].key)-\(children[end - 1].key)", "\(end - start) x \(children[start].text)"))
      }
      start = end
    }
    return result
  }

  /// The printed form of a container: its kind, its options, and its children's own printed forms, indented.
  public static func tree(_ kind: String, _ extra: String, _ children: [(key: String, text: String)]) -> String {
    guard !children.isEmpty else { return "\(kind)(\(extra))" }
    var lines = extra.isEmpty ? [] : [extra]
    for (key, text) in children {
      let indented = text.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\n  ")
      lines.append("(\(key)): \(indented)")
    }
    return "\(kind)(\n  " + lines.joined(separator: "\n  ") + "\n)"
  }
}

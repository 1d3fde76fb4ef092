// The printed form of optimizers, PyTorch's.

extension Optimizer: CustomStringConvertible {
  /// The options of every group, one a line.
  public var description: String {
    var lines = ["\(kind.name) ("]
    for (index, group) in groups.enumerated() {
      if index > 0 { lines.append("") }
      lines.append("Parameter Group \(index)")
      for name in group.optionNames { lines.append("    \(name): \(group[name]?.text ?? "None")") }
    }
    return lines.joined(separator: "\n") + "\n)"
  }
}

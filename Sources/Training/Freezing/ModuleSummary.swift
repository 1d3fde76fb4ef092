// What a model is made of: its parameters with their sizes, and which of them are trained.

import Glibc
import Tensors

/// The parameters of a model, a row each, and their totals.
public struct ModuleSummary: CustomStringConvertible, Sendable {
  /// A parameter.
  public struct Row: Sendable {
    /// Its name in the model.
    public let name: String
    /// The class of the module that it belongs to.
    public let kind: String
    /// Its sizes.
    public let shape: [Int]
    /// Its dtype.
    public let dtype: DType
    /// Its elements.
    public let count: Int
    /// Whether it is trained.
    public let isTrainable: Bool
    /// The name under which it came before, where it is the same parameter.
    public let sharedWith: String?
  }
  /// The class of the model.
  public let kind: String
  /// The parameters, a row each.
  public let rows: [Row]
  /// Elements of all parameters, each counted once, and of those that are trained.
  public let total: Int
  /// Elements of all parameters that are trained.
  public let trainable: Int
  /// Elements of buffers.
  public let buffered: Int
  /// Bytes of parameters and buffers.
  public let bytes: Int
  /// Modules that stay in evaluation.
  public let held: [String]
  /// What a call of it costs, where it was given inputs.
  public let cost: ModuleCost?

  /// The parameters alone.
  public init(_ module: Module) { self.init(module, cost: nil) }

  /// The parameters, and what a call with these inputs costs and freezing saves. The call leaves everything as it was.
  public init(_ module: Module, inputs: [Tensor]) throws { self.init(module, cost: try ModuleCost(of: module, inputs: inputs)) }

  package init(_ module: Module, cost: ModuleCost?) {
    self.cost = cost
    kind = module.kind
    let modules = Dictionary(
      module.namedModules(removesDuplicates: false).map { ($0.name, $0.module) }, uniquingKeysWith: { first, _ in first })
    var names: [ObjectIdentifier: String] = [:]
    rows = module.parametersByAllNames().map { parameter in
      let owner = parameter.name.lastIndex(of: ".").map { String(parameter.name[..<$0]) } ?? ""
      let known = names[ObjectIdentifier(parameter.tensor)]
      if known == nil { names[ObjectIdentifier(parameter.tensor)] = parameter.name }
      return Row(
        name: parameter.name, kind: modules[owner]?.kind ?? module.kind, shape: parameter.tensor.shape.array, dtype: parameter.tensor.dtype,
        count: parameter.tensor.count, isTrainable: parameter.tensor.requiresGrad, sharedWith: known)
    }
    let own = rows.filter { $0.sharedWith == nil }
    total = own.reduce(0) { $0 + $1.count }
    trainable = own.reduce(0) { $0 + ($1.isTrainable ? $1.count : 0) }
    let buffers = module.namedBuffers().map(\.tensor)
    buffered = buffers.reduce(0) { $0 + $1.count }
    bytes = own.reduce(0) { $0 + $1.count * $1.dtype.size } + buffers.reduce(0) { $0 + $1.count * $1.dtype.size }
    held = module.namedModules().filter { $0.module.staysInEvaluation && $0.module.ownChildren.isEmpty }.map(\.name)
  }

  /// The table and the totals as text, in several lines.
  public var description: String {
    let table =
      [["name", "module", "shape", "count", "trained"]]
      + rows.map { row in
        [
          row.name, row.kind, "[\(row.shape.map(String.init).joined(separator: ", "))]",
          row.sharedWith.map { "(\($0))" } ?? String(row.count), row.isTrainable ? "yes" : "frozen",
        ]
      }
    let share = total == 0 ? 0 : (Double(trainable) / Double(total) * 1000).rounded() / 10
    var text = aligned(table, right: [3])
    text += "\n\(kind): \(total) parameter\(total == 1 ? "" : "s"), \(trainable) trained (\(share) %), \(total - trainable) frozen"
    if buffered > 0 { text += ", \(buffered) in buffers" }
    text += "; \(bytes) bytes"
    if !held.isEmpty { text += "\nin evaluation whatever train() says: \(held.joined(separator: ", "))" }
    if let cost { text += "\n\n\(cost)" }
    return text
  }
}

extension ModuleCost: CustomStringConvertible {
  /// The layers and the totals as text, in several lines.
  public var description: String {
    /// Three digits and a prefix: 12.8 M.
    func short(_ count: Int, _ unit: String = "") -> String {
      let steps = [("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)]
      guard let (prefix, size) = steps.first(where: { Double(count) >= $0.1 }) else { return "\(count)\(unit.isEmpty ? "" : " " + unit)" }
      let value = Double(count) / size
      let scale = value >= 100 ? 1.0 : value >= 10 ? 10 : 100
      let digits = (value * scale).rounded() / scale
      return "\(digits == digits.rounded() ? "\(Int(digits))" : "\(digits)") \(prefix)\(unit)"
    }
    func share(_ part: Int, _ whole: Int) -> String {
      whole == 0 ? "" : " (\((Double(whole - part) / Double(whole) * 1000).rounded() / 10) % saved)"
    }
    var table = [["layer", "module", "output", "forward", "backward", "if unfrozen", "kept", "if unfrozen", "backward if frozen to here"]]
    for layer in layers {
      table.append([
        layer.name.isEmpty ? "(itself)" : layer.name, layer.kind + (layer.calls > 1 ? " ×\(layer.calls)" : ""),
        layer.outputs.map { "[\($0.map(String.init).joined(separator: ", "))]" }.joined(separator: " "), short(layer.forward),
        short(layer.backward), short(layer.backwardUnfrozen), short(layer.kept, "B"), short(layer.keptUnfrozen, "B"),
        short(layer.backwardIfFrozenUpToHere),
      ])
    }
    return aligned(table, right: [3, 4, 5, 6, 7, 8])
      + "\nmultiply-adds: forward \(short(forward)); backward \(short(backward)) of \(short(backwardUnfrozen))\(share(backward, backwardUnfrozen))"
      + "\nkept for backward: \(short(kept, "B")) of \(short(keptUnfrozen, "B"))\(share(kept, keptUnfrozen)), in \(nodes) of \(nodesUnfrozen) nodes"
  }
}

/// Rows of cells as columns of one width, the first row ruled off; columns named by `right` end together.
func aligned(_ rows: [[String]], right: Set<Int> = []) -> String {
  guard let count = rows.map(\.count).max() else { return "" }
  let widths = (0..<count).map { column in rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
  func line(_ cells: [String]) -> String {
    var text = ""
    for (column, cell) in cells.enumerated() {
      let space = String(repeating: " ", count: widths[column] - cell.count)
      text += (column > 0 ? "  " : "") + (right.contains(column) ? space + cell : cell + space)
    }
    while text.last == " " { text.removeLast() }
    return text
  }
  let rule = widths.map { String(repeating: "-", count: $0) }
  return ([rows[0], rule] + rows.dropFirst()).map(line).joined(separator: "\n")
}

extension Watch {
  /// Every row as a table: what changed, how far, and what nothing reached.
  public func report() throws -> String {
    /// Four digits, with a power of ten where the number is very small or large.
    func number(_ value: Double) -> String {
      guard value > 0, value.isFinite else { return "\(value == 0 ? "0" : "\(value)")" }
      let power = floor(log10(value))
      let scale = pow(10, -3...3 ~= power ? 3 - power : 3)
      let digits = ((-3...3 ~= power ? value : value / pow(10, power)) * scale).rounded() / scale
      return -3...3 ~= power ? "\(digits)" : "\(digits)e\(Int(power))"
    }
    var table = [["name", "state", "changed", "‖Δ‖", "max|Δ|", "‖Δ‖/‖w‖", "‖grad‖", "steps", "dead units", "last write"]]
    for row in try rows() {
      let state =
        !row.isParameter
        ? "buffer" : row.isTrainable ? (row.wasTrainable ? "trained" : "unfrozen") : row.wasTrainable ? "frozen since" : "frozen"
      let dead = row.deadUnits.map { $0.isEmpty ? "none" : "\($0.count) of them" } ?? ""
      table.append([
        row.name, state, row.hasChanged ? "yes" : "no", number(row.change), number(row.largestChange),
        row.norm > 0 ? number(row.change / row.norm) : "", row.gradientNorm.map(number) ?? "", row.isParameter ? String(row.steps) : "",
        dead, row.lastWrite ?? "",
      ])
    }
    var text = aligned(table, right: [3, 4, 5, 6, 7])
    let similarities = try similarities()
    if !similarities.isEmpty {
      let rows = similarities.map { [$0.layer.isEmpty ? "(itself)" : $0.layer, $0.value.isNaN ? "constant" : number($0.value)] }
      text += "\n\n" + aligned([["layer", "like at first (linear CKA)"]] + rows, right: [1])
    }
    return text
  }
}

/// Names for a sentence: the first eight.
func listed(_ names: [String]) -> String {
  names.prefix(8).joined(separator: ", ") + (names.count > 8 ? " and \(names.count - 8) more" : "")
}

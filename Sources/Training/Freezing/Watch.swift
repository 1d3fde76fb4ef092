// What became of a model's parameters and buffers since a moment: which changed, how far, and whether what was frozen kept its bits.

import Tensors

/// A copy of every parameter and buffer of a module, to compare with later.
public final class Watch {
  /// What became of one parameter or buffer.
  public struct Row: Sendable {
    /// Its name when the watch began.
    public let name: String
    public let isParameter: Bool
    /// Whether it is trained now, and whether it was when the watch began.
    public let isTrainable: Bool
    public let wasTrainable: Bool
    /// Whether any bit differs; its shape or dtype, too.
    public let hasChanged: Bool
    /// The first element that differs, in row-major order; nil where none does.
    public let firstDifference: Int?
    /// The norm of the change, its largest element, and the norm of what was before.
    public let change: Double
    public let largestChange: Double
    public let norm: Double
    /// Of the gradient that there is; nil for none.
    public let gradientNorm: Double?
    /// How many steps of the watched optimizer found a gradient of it.
    public let steps: Int
    /// Rows of a matrix of weights, units of a layer, whose gradient was 0 wherever the watch looked; nil where it never did.
    public let deadUnits: [Int]?
  }

  private struct Entry {
    let name: String
    let tensor: Tensor
    let copy: Tensor
    let isParameter: Bool
    let wasTrainable: Bool
    var steps = 0
    /// By row: whether some gradient of it was other than 0. nil until a gradient was seen.
    var hasMoved: [Bool]?
  }

  private let module: Module
  private var entries: [Entry] = []
  private var removeHook: (() -> Void)?

  /// Begins to watch: copies all that the module holds. With an optimizer, each of its steps is counted, and the gradients are looked
  /// at for units that have none.
  public init(_ module: Module, optimizer: Optimizer? = nil) throws {
    self.module = module
    for (name, tensor) in module.namedParameters() {
      entries.append(
        Entry(name: name, tensor: tensor, copy: try tensor.detach().copied(), isParameter: true, wasTrainable: tensor.requiresGrad))
    }
    for (name, tensor) in module.namedBuffers() {
      entries.append(Entry(name: name, tensor: tensor, copy: try tensor.detach().copied(), isParameter: false, wasTrainable: false))
    }
    removeHook = optimizer?.addPreHook { [weak self] optimizer in self?.look(at: optimizer) }
  }

  deinit { removeHook?() }

  private func look(at optimizer: Optimizer) {
    for index in entries.indices {
      let tensor = entries[index].tensor
      guard tensor.requiresGrad, let gradient = tensor.grad, optimizer.holds(tensor) else { continue }
      entries[index].steps += 1
      note(gradient, in: &entries[index])
    }
  }

  private func note(_ gradient: Tensor, in entry: inout Entry) {
    guard gradient.rank >= 2, gradient.shape[0] > 0 else { return }
    let values = gradient.doubles
    let width = values.count / gradient.shape[0]
    var moved = entry.hasMoved ?? Array(repeating: false, count: gradient.shape[0])
    guard moved.count == gradient.shape[0] else { return }
    for row in moved.indices where !moved[row] { moved[row] = values[row * width..<(row + 1) * width].contains { $0 != 0 } }
    entry.hasMoved = moved
  }

  /// Every parameter and buffer, in the order of the model.
  public func rows() throws -> [Row] {
    let current = Dictionary(module.namedBuffers().map { ($0.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
    return try entries.map { entry in
      // A buffer may have been replaced by another tensor; a parameter is its object.
      let now = entry.isParameter ? entry.tensor : current[entry.name] ?? entry.tensor
      let isComparable = now.shape == entry.copy.shape && now.dtype == entry.copy.dtype
      let first = isComparable ? try Watch.firstDifference(now, entry.copy) : 0
      let (before, after) = (entry.copy.doubles, isComparable ? now.doubles : entry.copy.doubles)
      let differences = zip(after, before).map { $0 - $1 }
      var seen = entry
      if let gradient = now.grad, entry.steps == 0 { note(gradient, in: &seen) }
      return Row(
        name: entry.name, isParameter: entry.isParameter, isTrainable: now.requiresGrad, wasTrainable: entry.wasTrainable,
        hasChanged: first != nil, firstDifference: first, change: Watch.norm(differences),
        largestChange: differences.reduce(0) { max($0, abs($1)) }, norm: Watch.norm(before),
        gradientNorm: now.grad.map { Watch.norm($0.doubles) }, steps: entry.steps,
        deadUnits: seen.hasMoved.map { moved in moved.indices.filter { !moved[$0] } })
    }
  }

  private static func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }

  /// Bit by bit, so that −0 is not 0, and nan is nan.
  private static func firstDifference(_ a: Tensor, _ b: Tensor) throws -> Int? {
    let (a, b) = (try a.detach().packed(), try b.packed())
    return withExtendedLifetime((a, b)) {
      let size = a.dtype.size
      let (x, y) = (
        UnsafeRawBufferPointer(start: a.data, count: a.count * size), UnsafeRawBufferPointer(start: b.data, count: b.count * size)
      )
      return zip(x, y).enumerated().first { $0.element.0 != $0.element.1 }.map { $0.offset / size }
    }
  }

  /// Throws unless everything that was frozen when the watch began, or that the selection means, has every bit as it was; also the
  /// buffers of modules that are frozen with all that they have. Names the first that differs, and where.
  public func assertFrozen(_ selection: ParameterSelection? = nil) throws {
    let meant = try selection.map { Set(try module.selected($0, "assert_frozen").map { ObjectIdentifier($0.tensor) }) }
    let held = module.namedModules().filter { $0.module.staysInEvaluation && $0.module.ownChildren.isEmpty }.map(\.name)
    for (row, entry) in zip(try rows(), entries) where row.hasChanged {
      let isMeant =
        if entry.isParameter { meant?.contains(ObjectIdentifier(entry.tensor)) ?? !entry.wasTrainable } else {
          held.contains { entry.name.hasPrefix($0.isEmpty ? "" : $0 + ".") }
        }
      guard isMeant else { continue }
      throw TensorError(
        .autograd, "assert_frozen",
        "\(row.name) was to stay as it was, and differs\(at: Watch.indices(of: row.firstDifference ?? 0, entry.copy.shape.array)): the largest change is \(pythonNumber(row.largestChange))"
      )
    }
  }

  /// The indices of an element by its place in row-major order.
  private static func indices(of place: Int, _ sizes: [Int]) -> [Int] {
    var (rest, indices) = (place, [Int]())
    for size in sizes.reversed() {
      indices.insert(rest % max(size, 1), at: 0)
      rest /= max(size, 1)
    }
    return indices
  }
}

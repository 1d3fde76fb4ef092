// What became of a model's parameters and buffers since a moment: which changed, how far, and whether what was frozen kept its bits.

import Tensors

/// A copy of every parameter and buffer of a module, to compare with later; with an optimizer also a record of its steps.
public final class Watch {
  /// What became of one parameter or buffer.
  public struct Row: Sendable {
    /// Its name when the watch began.
    public let name: String
    /// Whether it is a parameter; else it is a buffer.
    public let isParameter: Bool
    /// Whether it is trained now, and whether it was when the watch began.
    public let isTrainable: Bool
    /// Whether it was trained when the watch began.
    public let wasTrainable: Bool
    /// Whether any bit differs; its shape or dtype, too.
    public let hasChanged: Bool
    /// The first element that differs, in row-major order; nil where none does.
    public let firstDifference: Int?
    /// The norm of the change, its largest element, and the norm of what was before.
    public let change: Double
    /// The largest absolute value of the change.
    public let largestChange: Double
    /// The norm of what was before.
    public let norm: Double
    /// Of the gradient that there is; nil for none.
    public let gradientNorm: Double?
    /// How many steps of the watched optimizer found a gradient of it.
    public let steps: Int
    /// Rows of a matrix of weights, units of a layer, whose gradient was 0 wherever the watch looked; nil where it never did.
    public let deadUnits: [Int]?
    /// The script's line that wrote to it last, as `train.lua:12`; nil where it has not changed, or no script wrote.
    public let lastWrite: String?
  }

  private struct Entry {
    let name: String
    let tensor: Tensor
    let copy: Tensor
    let isParameter: Bool
    let wasTrainable: Bool
    let replacements: UInt32
    var steps = 0
    /// By row: whether some gradient of it was other than 0. nil until a gradient was seen.
    var hasMoved: [Bool]?
  }

  let module: Module
  private var entries: [Entry] = []
  private var removeHooks: [() -> Void] = []
  /// How many steps lie between two records.
  public let interval: Int
  /// What was recorded so far, in order.
  public private(set) var records: [WatchRecord] = []
  /// Steps of the optimizer since the watch began.
  public private(set) var steps = 0
  /// What layers give for the input that the watch was given, and what they gave when it began.
  private let look: (() throws -> LayerProbe)?
  private let first: LayerProbe?
  /// Before a step that is recorded: what is moved, by its place among the entries.
  private var before: [(place: Int, copy: Tensor)] = []
  /// The step before, where it is needed for an angle.
  private var lastUpdate: [Int: Tensor] = [:]

  /// Begins to watch: copies all that the module holds.
  ///
  /// With an optimizer its steps are counted, and one of every `interval` is recorded. With inputs, of some tens or hundreds of rows, the
  /// module is also called with them when it begins and for every record, in evaluation and without a trace, to see how far each layer
  /// still gives what it gave.
  ///
  /// Warns where the optimizer holds nothing that is trained, or does not hold what is.
  public convenience init(_ module: Module, optimizer: Optimizer? = nil, every interval: Int = 1, inputs: [Tensor] = []) throws {
    try self.init(
      module, optimizer: optimizer, every: interval, call: inputs.isEmpty ? nil : { meter in _ = try meter.hooked { try module(inputs) } })
  }

  /// The same with a call of the module, which tells the meter when its modules begin and end.
  package init(_ module: Module, optimizer: Optimizer?, every interval: Int, call: ((CallMeter) throws -> Void)?) throws {
    guard interval > 0 else { throw TensorError(.argument, "watch", "every must be a positive number of steps, got \(interval)") }
    self.module = module
    self.interval = interval
    look = call.map { call in
      {
        let meter = CallMeter(module, keepsOutputs: true)
        try module.undisturbed(evaluates: true) { try withNoGrad { try call(meter) } }
        return try LayerProbe(meter.order.compactMap { place in meter.layers[place].output.map { (meter.layers[place].name, $0) } })
      }
    }
    first = try look?()
    func take(_ name: String, _ tensor: Tensor, isParameter: Bool) throws {
      tensor.watchWrites()
      entries.append(
        Entry(
          name: name, tensor: tensor, copy: try tensor.detach().copied(), isParameter: isParameter,
          wasTrainable: isParameter && tensor.requiresGrad, replacements: tensor.replacements))
    }
    for (name, tensor) in module.namedParameters() { try take(name, tensor, isParameter: true) }
    for (name, tensor) in module.namedBuffers() { try take(name, tensor, isParameter: false) }
    guard let optimizer else { return }
    let missing = entries.filter { $0.isParameter && $0.wasTrainable && !optimizer.holds($0.tensor) }.map(\.name)
    if !missing.isEmpty {
      Notice.postOnce(
        "watch: the \(optimizer.kind.name) does not hold \(listed(missing)), though trained: no step moves \(missing.count == 1 ? "it" : "them")"
      )
    }
    removeHooks = [
      optimizer.addPreHook { [weak self] optimizer in try self?.begin(optimizer) },
      optimizer.addPostHook { [weak self] optimizer in try self?.end(optimizer) },
    ]
  }

  deinit { for remove in removeHooks { remove() } }

  // MARK: Steps

  /// Whether the step to come is recorded, or is the one before, which it is compared with.
  private func isRecorded(_ step: Int) -> Bool { step % interval == 0 }

  private func begin(_ optimizer: Optimizer) throws {
    let isNeeded = isRecorded(steps + 1) || isRecorded(steps + 2)
    before = []
    guard isNeeded else { return }
    for (place, entry) in entries.enumerated() where entry.tensor.requiresGrad && optimizer.holds(entry.tensor) {
      before.append((place, try entry.tensor.detach().copied()))
    }
  }

  private func end(_ optimizer: Optimizer) throws {
    steps += 1
    for place in entries.indices {
      let tensor = entries[place].tensor
      guard tensor.requiresGrad, let gradient = tensor.grad, optimizer.holds(tensor) else { continue }
      entries[place].steps += 1
      if isRecorded(steps) { try note(gradient, in: &entries[place]) }
    }
    guard !before.isEmpty else { return }
    defer { before = [] }
    var (updates, moves) = ([WatchRecord.Update](), [Int: Tensor]())
    try withNoGrad {
      for (place, copy) in before {
        let entry = entries[place]
        guard let gradient = entry.tensor.grad, gradient.shape == copy.shape, entry.tensor.shape == copy.shape else { continue }
        let move = try entry.tensor.detach().to(.float64) - copy.to(.float64)
        moves[place] = move
        guard isRecorded(steps) else { continue }
        let size = try Watch.norm(move)
        var cosine: Double?
        if let last = lastUpdate[place], last.shape == move.shape {
          let sizes = try size * Watch.norm(last)
          if sizes > 0 { cosine = try (move * last).sum().item().real / sizes }
        }
        updates.append(
          WatchRecord.Update(
            name: entry.name, norm: try Watch.norm(entry.tensor), gradientNorm: try Watch.norm(gradient), update: size, cosine: cosine,
            deadUnits: try Watch.movedRows(gradient).map { $0.count { !$0 } }))
      }
    }
    lastUpdate = interval == 1 || isRecorded(steps + 1) ? moves : [:]
    guard isRecorded(steps) else { return }
    let similarities = try first.map { try look?().similarities(to: $0) ?? [] } ?? []
    records.append(WatchRecord(step: steps, updates: updates, similarities: similarities))
  }

  /// Of each row of a matrix, or of what has more dimensions, whether it has an element other than 0; nil for what has no rows.
  private static func movedRows(_ gradient: Tensor) throws -> [Bool]? {
    guard gradient.rank >= 2, gradient.shape[0] > 0 else { return nil }
    guard gradient.count > 0 else { return Array(repeating: false, count: gradient.shape[0]) }
    return try withNoGrad {
      try gradient.detach().reshape([gradient.shape[0], -1]).abs().amax([1]).doubles.map { $0 != 0 }
    }
  }

  private func note(_ gradient: Tensor, in entry: inout Entry) throws {
    guard let rows = try Watch.movedRows(gradient) else { return }
    let known = entry.hasMoved ?? Array(repeating: false, count: rows.count)
    if known.count == rows.count { entry.hasMoved = zip(known, rows).map { $0 || $1 } }
  }

  /// Every parameter and buffer, in the order of the model.
  public func rows() throws -> [Row] {
    let current = Dictionary(module.namedBuffers().map { ($0.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
    return try entries.map { entry in
      // A buffer may have been replaced by another tensor; a parameter is its object.
      let now = entry.isParameter ? entry.tensor : current[entry.name] ?? entry.tensor
      let isComparable = now.shape == entry.copy.shape && now.dtype == entry.copy.dtype
      let first = isComparable ? try Watch.firstDifference(now, entry.copy) : 0
      let difference = try withNoGrad {
        try isComparable ? now.detach().to(.float64) - entry.copy.to(.float64) : Tensor.zeros(entry.copy.shape, dtype: .float64)
      }
      var seen = entry
      if let gradient = now.grad, entry.hasMoved == nil { try note(gradient, in: &seen) }
      return Row(
        name: entry.name, isParameter: entry.isParameter, isTrainable: now.requiresGrad, wasTrainable: entry.wasTrainable,
        hasChanged: first != nil, firstDifference: first, change: try Watch.norm(difference),
        largestChange: difference.count == 0 ? 0 : try withNoGrad { try difference.abs().amax().item().real },
        norm: try Watch.norm(entry.copy),
        gradientNorm: try now.grad.map(Watch.norm), steps: entry.steps,
        deadUnits: seen.hasMoved.map { moved in moved.indices.filter { !moved[$0] } },
        lastWrite: first == nil || now !== entry.tensor ? nil : now.lineOfLastWrite(since: entry.replacements))
    }
  }

  private static func norm(_ tensor: Tensor) throws -> Double {
    try withNoGrad {
      let wide = try tensor.detach().to(.float64)
      return try (wide * wide).sum().item().real.squareRoot()
    }
  }

  /// How much each layer's output resembles what it was when the watch began, for the inputs that it was given; empty for none.
  public func similarities() throws -> [(layer: String, value: Double)] {
    try first.map { try look?().similarities(to: $0) ?? [] } ?? []
  }

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
        "\(row.name) was to stay as it was, and differs\(at: Watch.indices(of: row.firstDifference ?? 0, entry.copy.shape.array)): the largest change is \(pythonNumber(row.largestChange))\(row.lastWrite.map { ", and it was last written to at \($0)" } ?? "")"
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

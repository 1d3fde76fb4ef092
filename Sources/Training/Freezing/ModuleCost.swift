// What a training step of a model costs by layers, what freezing saves of it, and what freezing more would save: one forward run, whose
// operations say what their gradients would cost.

import Tensors

/// Multiplications that are added up, of matrix products and convolutions, and bytes that are kept for backward, for one call of a model.
///
/// The counts of backward are those for gradients of the model's outputs, of which nothing is computed here: each operation says what
/// the gradients cost that are wanted. Optimizers, losses and operations on single elements are not in them.
public struct ModuleCost: Sendable {
  /// One layer: a module without others in it, or what another one computes beside its parts.
  public struct Layer: Sendable {
    /// Its name in the model; empty for the model itself.
    public let name: String
    /// Its class.
    public let kind: String
    /// Shapes of what the last call of it gave.
    public let outputs: [[Int]]
    /// How often it was called.
    public let calls: Int
    /// Elements of its own parameters, and of those of them that are trained.
    public let parameters: Int
    /// Elements of its own parameters that are trained.
    public let trainable: Int
    /// Multiplications of all calls of it.
    public let forward: Int
    /// Multiplications of backward as the model is frozen now.
    public let backward: Int
    /// Multiplications of backward if nothing were frozen.
    public let backwardUnfrozen: Int
    /// Bytes of values that are kept for backward, and were it all trained.
    public let kept: Int
    /// Bytes that would be kept for backward if nothing were frozen.
    public let keptUnfrozen: Int
    /// Multiplications of the whole model's backward if this layer and all that were called before it were frozen as well.
    public let backwardIfFrozenUpToHere: Int
  }

  /// The layers in the order in which they first compute something.
  public let layers: [Layer]
  /// Multiplications of forward.
  public let forward: Int
  /// Of backward as the model is frozen now, and if nothing were.
  public let backward: Int
  /// Multiplications of backward if nothing were frozen.
  public let backwardUnfrozen: Int
  /// Bytes that are kept for backward.
  public let kept: Int
  /// Bytes that would be kept if nothing were frozen.
  public let keptUnfrozen: Int
  /// Nodes of the graph that is recorded, and of the one if nothing were frozen.
  public let nodes: Int
  /// Nodes of the graph if nothing were frozen.
  public let nodesUnfrozen: Int

  /// Calls the module with inputs, with gradients recorded whatever is frozen, and leaves parameters, buffers, gradients and random
  /// numbers as they were.
  public init(of module: Module, inputs: [Tensor]) throws {
    try self.init(of: module) { meter in try meter.hooked { try module(inputs) } }
  }

  /// The same for arguments that are not all tensors.
  public init(of module: Module, arguments: Arguments) throws {
    try self.init(of: module) { meter in try meter.hooked { try module(arguments) } }
  }

  /// The same for a call that `body` makes. It tells the meter when modules begin and end, and gives what the model gave.
  package init(of module: Module, _ body: (CallMeter) throws -> [Tensor]) throws {
    let parameters = module.namedParameters()
    let trained = Set(parameters.filter { $0.tensor.requiresGrad }.map { ObjectIdentifier($0.tensor) })
    let ofModel = Set(parameters.map { ObjectIdentifier($0.tensor) })
    let meter = CallMeter(module)
    let outputs = try module.undisturbed(trainsAll: true) {
      try meter.counter.during { try withGradMode(enabled: true) { try body(meter) } }
    }
    let graph = try GraphWork(
      outputs.filter { $0.dtype.isFloating && $0.requiresGrad }, of: parameters.map(\.tensor) + module.namedBuffers().map(\.tensor))
    /// As things are: parameters by their flags, and leaves that are no parameters.
    func isTrained(_ leaf: Tensor) -> Bool { !ofModel.contains(ObjectIdentifier(leaf)) || trained.contains(ObjectIdentifier(leaf)) }
    let now = try graph.shares(ifTrained: isTrained)
    let whole = try graph.shares { _ in true }

    // Layers in the order in which they first compute something, with what belongs to each by when it was recorded.
    let owners = meter.layers
    var sums = [[Int]](repeating: [0, 0, 0, 0], count: owners.count)
    for (shares, place) in [(now, 0), (whole, 1)] {
      for share in shares {
        guard let owner = meter.owner(of: share.sequence) else { continue }
        sums[owner][place] += share.multiplyAdds
        sums[owner][place + 2] += share.keptBytes
      }
    }
    var frozen = Set<ObjectIdentifier>()
    layers = try meter.order.compactMap { index in
      let layer = owners[index]
      let own = layer.module.ownParameters.compactMap(\.tensor)
      // A container computes nothing itself.
      let isBare = own.isEmpty && !layer.module.ownChildren.isEmpty && layer.forward == 0 && sums[index].allSatisfy { $0 == 0 }
      frozen.formUnion(own.map(ObjectIdentifier.init))
      guard !isBare else { return nil }
      let rest = try graph.shares { isTrained($0) && !frozen.contains(ObjectIdentifier($0)) }
      return Layer(
        name: layer.name, kind: layer.module.kind, outputs: layer.outputs, calls: layer.calls, parameters: own.reduce(0) { $0 + $1.count },
        trainable: own.reduce(0) { $0 + (trained.contains(ObjectIdentifier($1)) ? $1.count : 0) }, forward: layer.forward,
        backward: sums[index][0], backwardUnfrozen: sums[index][1], kept: sums[index][2], keptUnfrozen: sums[index][3],
        backwardIfFrozenUpToHere: rest.reduce(0) { $0 + $1.multiplyAdds })
    }
    forward = meter.counter.count
    backward = now.reduce(0) { $0 + $1.multiplyAdds }
    backwardUnfrozen = whole.reduce(0) { $0 + $1.multiplyAdds }
    kept = now.reduce(0) { $0 + $1.keptBytes }
    keptUnfrozen = whole.reduce(0) { $0 + $1.keptBytes }
    nodes = now.count
    nodesUnfrozen = whole.count
  }
}

/// When each module of a model is called, in the order of what is recorded.
package final class CallMeter {
  struct Called {
    let name: String
    let module: Module
    /// Of the last call.
    var outputs: [[Int]] = []
    /// The first tensor of these, where they are kept.
    var output: Tensor?
    var calls = 0
    /// Multiplications while it and none of its parts ran.
    var forward = 0
  }
  private(set) var layers: [Called] = []
  let counter = MultiplyAdds()
  private let names: [ModuleIdentity: (name: String, module: Module)]
  private var places: [ModuleIdentity: Int] = [:]
  /// Modules that run, outermost first.
  private var open: [Int] = []
  /// From which operation on, in the order of all, which module ran.
  private var spans: [(from: UInt64, layer: Int?)] = []
  private var counted = 0

  private let keepsOutputs: Bool

  init(_ module: Module, keepsOutputs: Bool = false) {
    self.keepsOutputs = keepsOutputs
    names = Dictionary(
      module.namedModules().map { ($0.module.identity, (name: $0.name, module: $0.module)) }, uniquingKeysWith: { first, _ in first })
  }

  /// Runs `body` with hooks of all modules that tell this one.
  func hooked<R>(_ body: () throws -> R) rethrows -> R {
    let hooks = names.values.map { _, module in
      let before = module.addForwardPreHook { [weak self] module, _ in
        self?.begin(module)
        return nil
      }
      let after = module.addForwardHook { [weak self] module, _, outputs in
        self?.end(module, outputs)
        return nil
      }
      return (module, before, after)
    }
    defer {
      for (module, before, after) in hooks {
        module.removeForwardPreHook(before)
        module.removeForwardHook(after)
      }
    }
    return try body()
  }

  /// Which module recorded the operation with that number.
  func owner(of sequence: UInt64) -> Int? {
    var (low, high) = (0, spans.count)
    while low < high {
      let middle = (low + high) / 2
      if spans[middle].from <= sequence { low = middle + 1 } else { high = middle }
    }
    return low == 0 ? nil : spans[low - 1].layer
  }

  /// The layers' numbers in the order in which they first recorded something themselves, or were called where they never did.
  var order: [Int] {
    var first: [Int: Int] = [:]
    for (number, span) in spans.enumerated() {
      guard let layer = span.layer else { continue }
      let isEmpty = number + 1 < spans.count && spans[number + 1].from == span.from
      if !isEmpty, first[layer] == nil { first[layer] = number }
    }
    for (number, span) in spans.enumerated() {
      if let layer = span.layer, first[layer] == nil { first[layer] = number }
    }
    return layers.indices.sorted { (first[$0] ?? 0, $0) < (first[$1] ?? 0, $1) }
  }

  /// What was multiplied since the last look belongs to the module that ran.
  private func settle() {
    if let running = open.last { layers[running].forward += counter.count - counted }
    counted = counter.count
  }

  /// A module of the model begins to run.
  package func begin(_ module: Module) {
    guard let known = names[module.identity] else { return }
    settle()
    let place = places[module.identity] ?? layers.count
    if place == layers.count {
      places[module.identity] = place
      layers.append(Called(name: known.name, module: known.module))
    }
    layers[place].calls += 1
    open.append(place)
    spans.append((Tape.nextSequence, place))
  }

  /// It has run, and gives these.
  package func end(_ module: Module, _ outputs: [Tensor]) {
    guard let place = places[module.identity], open.contains(place) else { return }
    settle()
    // A call within that an error ended, and a script caught, ends with it.
    while let last = open.popLast(), last != place {}
    layers[place].outputs = outputs.map(\.shape.array)
    if keepsOutputs { layers[place].output = outputs.first }
    spans.append((Tape.nextSequence, open.last))
  }
}

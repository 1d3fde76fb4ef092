// Parameters that are computed from others: what trains is the others, and each call of the module computes the parameter anew.

import Tensors

/// What computes one parameter of a module: tensors that train, and modules of which the first takes all of those and each other one what
/// the one before it gave.
public final class ParametrizationList: Module {
  private var originals: [(name: String, tensor: Tensor?)]
  private var steps: [Module]

  /// The tensors are named `original`, or `original0`, `original1`, … where there are several. They become parameters.
  public init(_ originals: [Tensor], by steps: [Module]) throws {
    self.originals = try originals.enumerated().map {
      (
        "original" + (originals.count > 1 ? "\($0.offset)" : ""),
        try $0.element.isParameter ? $0.element : $0.element.detach().markParameter()
      )
    }
    self.steps = steps
    super.init(kind: "ParametrizationList", inputs: [])
  }

  /// Adds a step after the others.
  public func append(_ step: Module) { steps.append(step) }

  public override var parameters: [(name: String, tensor: Tensor?)] { originals }
  public override var children: [(name: String, module: Module)] { steps.enumerated().map { (String($0.offset), $0.element) } }

  public override func set(parameter name: String, _ tensor: Tensor?) throws {
    guard let place = originals.firstIndex(where: { $0.name == name }) else { return try super.set(parameter: name, tensor) }
    originals[place].tensor = try checked(required: name, tensor)
  }

  public override func set(child name: String, _ module: Module) throws {
    guard let place = Int(name), steps.indices.contains(place) else { return try super.set(child: name, module) }
    steps[place] = module
  }

  /// The parameter.
  public func computed() throws -> Tensor { try nested { try compute() } }

  private func compute() throws -> Tensor {
    var values = originals.compactMap(\.tensor)
    for step in steps {
      values = try step(values)
      guard values.count == 1 else {
        throw TensorError(.argument, kind, "a parametrization must give one tensor, \(step.kind) gave \(values.count)")
      }
    }
    return values[0]
  }

  public override func forward(_ inputs: [Tensor]) throws -> [Tensor] {
    guard inputs.isEmpty else { return try super.forward(inputs) }
    return [try computed()]
  }

  public override func ownCopy() throws -> Module? {
    let copies = try originals.compactMap { entry -> Tensor? in
      guard let tensor = entry.tensor else { return nil }
      let copy = try tensor.detach().copied().markParameter(requiresGrad: tensor.requiresGrad)
      if let gradient = tensor.grad { try copy.setGrad(gradient.detach().copied()) }
      return copy
    }
    let copy = try ParametrizationList(copies, by: steps.map { try $0.copied() })
    copy.isTraining = isTraining
    return copy
  }
}

/// The parametrizations of a module, by the names of the parameters.
final class ParametrizationTable: Module {
  fileprivate(set) var lists: [(name: String, list: ParametrizationList)] = []

  init() { super.init(kind: "ModuleDict", inputs: []) }
  override var children: [(name: String, module: Module)] { lists.map { ($0.name, $0.list) } }
  subscript(name: String) -> ParametrizationList? { lists.first { $0.name == name }?.list }
}

extension Module {
  /// What computes the parameter of that name; nil where it is one by itself.
  public final func parametrization(of name: String) -> ParametrizationList? { parametrizations?[name] }

  /// Lets a parameter be computed from now on. Throws where there is none of that name, or where what is computed has another shape or
  /// dtype; nothing has changed then.
  public final func parametrize(_ name: String, by list: ParametrizationList) throws {
    guard let own = parameters.first(where: { $0.name == name })?.tensor else {
      let known = parameters.filter { $0.tensor != nil }.map(\.name).joined(separator: ", ")
      throw TensorError(.argument, kind, "there is no parameter \(name) to parametrize\(known.isEmpty ? "" : "; there is \(known)")")
    }
    guard parametrizations?[name] == nil else {
      throw TensorError(.argument, kind, "the parameter \(name) is parametrized already; append to its list")
    }
    let computed = try withNoGrad { try list.computed() }
    guard computed.shape == own.shape, computed.dtype == own.dtype else {
      throw TensorError(
        .shape, kind,
        "the parametrization of \(name) gives a tensor of \(computed.dtype) of shape \(computed.shape), which is \(own.dtype) of \(own.shape)"
      )
    }
    let table = parametrizations ?? ParametrizationTable()
    table.lists.append((name, list))
    parametrizations = table
  }

  /// Makes a parameter one by itself again, with the value that was computed last or, unless `leavesComputed`, the only original's.
  public final func removeParametrization(of name: String, leavesComputed: Bool = true) throws {
    guard let table = parametrizations, let list = table[name] else {
      throw TensorError(.argument, kind, "the parameter \(name) is not parametrized")
    }
    let originals = list.parameters.compactMap(\.tensor)
    guard leavesComputed || originals.count == 1 else {
      throw TensorError(.argument, kind, "\(name) is computed from \(originals.count) tensors, none of which can take its place")
    }
    let value = try leavesComputed ? withNoGrad { try list.computed().detach().copied() } : originals[0].detach()
    // The original's own object where it can be, since optimizers hold it.
    if originals.count == 1 {
      try withNoGrad { _ = try originals[0].copy(from: value) }
      try set(parameter: name, originals[0])
    } else {
      try set(parameter: name, value.markParameter(requiresGrad: originals.contains(where: \.requiresGrad)))
    }
    table.lists.removeAll { $0.name == name }
    if table.lists.isEmpty { parametrizations = nil }
  }

  /// Runs `body` with what is computed in the places of the parameters.
  final func withComputedParameters<R>(_ body: () throws -> R) throws -> R {
    guard let table = parametrizations else { return try body() }
    let own = Dictionary(parameters.map { ($0.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
    let computed = try table.lists.map { ($0.name, try $0.list.computed()) }
    for (name, tensor) in computed { try set(parameter: name, tensor) }
    defer { for (name, _) in computed { try? set(parameter: name, own[name] ?? nil) } }
    return try body()
  }

  // MARK: What walks see

  /// Its own parameters, without those that are computed.
  package final var ownParameters: [(name: String, tensor: Tensor?)] {
    guard let table = parametrizations else { return parameters }
    return parameters.filter { table[$0.name] == nil }
  }

  /// Its children, what computes its parameters, and the maps of its adapter.
  package final var ownChildren: [(name: String, module: Module)] {
    guard parametrizations != nil || adapter != nil else { return children }
    return children + (parametrizations.map { [("parametrizations", $0)] } ?? []) + (adapter?.children ?? [])
  }

  /// The class's name in texts.
  final var shownKind: String { parametrizations == nil ? kind : "Parametrized\(kind)" }
}

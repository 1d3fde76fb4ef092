// Putting operations on the tape: a node is made where an input has a gradient, and keeps what its formulas need.

extension Tensor {
  /// Whether operations on this tensor are recorded: it has a history or is a leaf that collects gradients. Throws for views
  /// that lost their place in the graph.
  @inline(__always)
  package func feeds() throws -> Bool {
    base == nil ? node != nil || flags.contains(.requiresGrad) : try viewFeeds()
  }

  private func viewFeeds() throws -> Bool {
    let node = gradNode
    if historySeen != storage.history, isFixedView, GradMode.isEnabled, base?.requiresGrad ?? false { throw staleViewError }
    return node != nil || flags.contains(.requiresGrad)
  }

  /// This tensor without history. Where an input had one, it remembers why; where an input remembers that, so does it.
  @inline(__always)
  package func unrecorded(_ hadHistory: Bool, _ a: Tensor, _ b: Tensor? = nil, _ c: Tensor? = nil) -> Tensor {
    if hadHistory {
      noteCut(GradMode.isEnabled ? .madeInteger : .madeWithoutGrad)
    } else if !a.flags.isDisjoint(with: .cut) {
      takeCut(of: a)
    } else if let b, !b.flags.isDisjoint(with: .cut) {
      takeCut(of: b)
    } else if let c, !c.flags.isDisjoint(with: .cut) {
      takeCut(of: c)
    }
    return self
  }

  /// The same of any number of inputs.
  private func unrecorded(_ inputs: [Tensor]) -> Tensor {
    let source = inputs.first { !$0.flags.isDisjoint(with: .cut) }
    return unrecorded(inputs.contains(where: \.requiresGrad), source ?? inputs[0])
  }

  private func takeCut(of input: Tensor) {
    flags.formUnion(input.flags.intersection(.cut))
    cutAt = input.cutAt
  }

  @inline(__always)
  private var isRecordable: Bool { GradMode.isEnabled && dtype.isFloating }

  /// Records this as the result of an operation on one tensor, and on another that has no edge; `own` is what the operation
  /// keeps of its own.
  @inline(__always)
  package func recorded<Recorded: Operation>(
    _ operation: Recorded, _ x: Tensor, other: Tensor? = nil, own: Tensor? = nil
  ) throws -> Tensor {
    if TangentLevels.areInForce { return try recorded(operation, [x], other.map { [$0] } ?? [], own: own.map { [$0] } ?? []) }
    guard isRecordable else { return unrecorded(x.requiresGrad, x) }
    guard try x.feeds() else { return unrecorded(false, x) }
    let node = OperationNode(operation, edges: operation.hasEmptyEdge ? Edges(x.edge, .none) : Edges(x.edge))
    let uses = operation.uses(0)
    if uses != .nothing {
      if uses.contains(.a) { try node.keep(x, .input(0)) }
      if let other, uses.contains(.b) { try node.keep(other, .input(1)) }
      if uses.contains(.output) { try node.keepOutput(self) }
      if let own, uses.contains(.own) { try node.keep(own, .own(0)) }
    }
    if Recorded.broadcasts, x.dtype != dtype || x.shape != shape { node.forms = InputForms([x]) }
    if GradMode.keepsConstants { try node.keepConstants(other.map { [x, $0] } ?? [x]) }
    self.node = node
    return self
  }

  /// The same of two tensors.
  @inline(__always)
  package func recorded<Recorded: Operation>(_ operation: Recorded, _ a: Tensor, _ b: Tensor) throws -> Tensor {
    if TangentLevels.areInForce { return try recorded(operation, [a, b]) }
    guard isRecordable else { return unrecorded(a.requiresGrad || b.requiresGrad, a, b) }
    let wantsA = try a.feeds()
    let wantsB = try b.feeds()
    guard wantsA || wantsB else { return unrecorded(false, a, b) }
    let node = OperationNode(operation, edges: Edges(a.edge, b.edge))
    var uses = Uses.nothing
    if wantsA { uses.formUnion(operation.uses(0)) }
    if wantsB { uses.formUnion(operation.uses(1)) }
    if uses.contains(.a) { try node.keep(a, .input(0)) }
    if uses.contains(.b) { try node.keep(b, .input(1)) }
    if uses.contains(.output) { try node.keepOutput(self) }
    if Recorded.broadcasts, a.shape != shape || b.shape != shape || a.dtype != dtype || b.dtype != dtype {
      node.forms = InputForms([a, b])
    }
    if GradMode.keepsConstants { try node.keepConstants([a, b]) }
    self.node = node
    return self
  }

  /// The same of several tensors: those with gradients, and then others (masks, positions) that have no edge.
  package func recorded<Recorded: Operation>(
    _ operation: Recorded, _ inputs: [Tensor], _ others: [Tensor] = [], own: [Tensor] = []
  ) throws -> Tensor {
    if TangentLevels.areInForce { return try carrying(operation, inputs, others, own: own) }
    guard isRecordable, try inputs.contains(where: { try $0.feeds() }) else {
      return unrecorded(inputs)
    }
    node = try Tensor.node(operation, inputs, others, own: own, output: self)
    if Recorded.broadcasts, inputs.contains(where: { $0.shape != shape || $0.dtype != dtype }) {
      node?.forms = InputForms(inputs)
    }
    return self
  }

  /// Records several results of one operation; the pass has a gradient for each. Where the operation keeps its outputs, they
  /// come first of what it keeps of its own.
  package static func record<Recorded: Operation>(
    _ operation: Recorded, _ inputs: [Tensor], outputs: [Tensor], own: [Tensor] = []
  ) throws {
    if TangentLevels.areInForce { return try carry(operation, inputs, outputs: outputs, own: own) }
    guard GradMode.isEnabled, try inputs.contains(where: { try $0.feeds() }) else {
      for output in outputs { _ = output.unrecorded(inputs) }
      return
    }
    let node = try node(operation, inputs, [], own: (Recorded.keepsOutputs ? outputs.map { $0.alias() } : []) + own, output: nil)
    node.setOutputs(outputs.count)
    for (index, output) in outputs.enumerated() where output.dtype.isFloating {
      output.node = node
      output.outputIndex = Int32(index)
    }
  }

  /// The same while a level of forward mode is open: first the history, as if none were, then the tangents.
  @inline(never)
  private func carrying(
    _ operation: some Operation, _ inputs: [Tensor], _ others: [Tensor], own: [Tensor]
  ) throws -> Tensor {
    try Tensor.withoutTangents { _ = try recorded(operation, inputs, others, own: own) }
    guard let carrier = TangentLevels.carrier, try inputs.contains(where: { try !$0.tangents.isEmpty }) else { return self }
    try carrier.carry(operation, inputs, others, own: own, to: [self])
    node?.shareTangents(of: [self])
    return self
  }

  private static func carry(_ operation: some Operation, _ inputs: [Tensor], outputs: [Tensor], own: [Tensor]) throws {
    try withoutTangents { try record(operation, inputs, outputs: outputs, own: own) }
    guard let carrier = TangentLevels.carrier, try inputs.contains(where: { try !$0.tangents.isEmpty }) else { return }
    try carrier.carry(operation, inputs, [], own: own, to: outputs)
    outputs.lazy.compactMap(\.node).first?.shareTangents(of: outputs)
  }

  private static func withoutTangents(_ body: () throws -> Void) rethrows {
    let bits = GradMode.bits
    GradMode.bits = bits & ~GradMode.forward
    defer { GradMode.bits = bits }
    try body()
  }

  /// A node that is in no graph, to run an operation's formula on tangents: `wants` says by which inputs.
  static func tangentNode<Recorded: Operation>(
    _ operation: Recorded, _ inputs: [Tensor], _ others: [Tensor], own: [Tensor], outputs: [Tensor], _ wants: [Bool]
  ) throws -> Node {
    let node = OperationNode(operation, edges: Edges(zip(inputs, wants).map { $1 ? .leaf($0) : .none }))
    node.flags.insert(.forTangents)
    if outputs.count > 1 { node.setOutputs(outputs.count) }
    var uses = Uses.nothing
    for number in 0..<Swift.min(inputs.count, 8) where wants[number] { uses.formUnion(operation.uses(number)) }
    for (number, input) in (inputs + others).prefix(8).enumerated() where uses.contains(.input(number)) {
      node.store(SavedTensor(input, .input(number)))
    }
    if uses.contains(.output) { node.store(SavedTensor(outputs[0], .output)) }
    for (number, value) in ((Recorded.keepsOutputs ? outputs : []) + own).enumerated() where uses.contains(.own(number)) {
      node.store(SavedTensor(value, .own(number)))
    }
    return node
  }

  private static func node(
    _ operation: some Operation, _ inputs: [Tensor], _ others: [Tensor], own: [Tensor], output: Tensor?
  ) throws -> Node {
    let node = OperationNode(operation, edges: operation.hasEmptyEdge ? Edges(inputs.map(\.edge) + [.none]) : Edges(inputs))
    var uses = Uses.nothing
    for number in 0..<Swift.min(inputs.count, 8) where node.edges.leads(number) { uses.formUnion(operation.uses(number)) }
    if uses != .nothing {
      for number in 0..<Swift.min(inputs.count + others.count, 8) where uses.contains(.input(number)) {
        try node.keep(number < inputs.count ? inputs[number] : others[number - inputs.count], .input(number))
      }
      if let output, uses.contains(.output) { try node.keepOutput(output) }
      for (number, value) in own.enumerated() where uses.contains(.own(number)) { try node.keep(value, .own(number)) }
    }
    if GradMode.keepsConstants { try node.keepConstants(inputs + others) }
    return node
  }
}

// Operations whose derivative is that of the formula that computes them: most that are seldom used.

/// A formula of other operations as one node, with PyTorch's name. Backward computes the formula again and differentiates it,
/// also where the gradient is differentiated in turn; so it keeps the inputs and nothing else, and masks that it makes of them
/// are made of other values when it is applied to others.
struct Formula: Operation {
  let nodeName: String
  let slotNames: KeyValuePairs<String, KeptSlot>
  private let count: Int
  private let formula: @Sendable ([Tensor]) throws -> Tensor

  /// The formula's value, recorded as one operation of `inputs`, at most 4, in the order of `names`.
  static func of(
    _ inputs: [Tensor], _ nodeName: String, _ names: KeyValuePairs<String, KeptSlot> = ["self": .input(0), "other": .input(1)],
    _ formula: @escaping @Sendable ([Tensor]) throws -> Tensor
  ) throws -> Tensor {
    // Dtypes that are only stored are rounded once, at the end.
    var formula = formula
    let common = inputs.dropFirst().reduce(inputs[0].dtype) { DType.promoted($0, $1.dtype) }
    if common.isOnlyStored, common.isFloating {
      formula = { [formula] in try formula($0.map { try $0.to(common.computing) }).to(common) }
    }
    var y = try withNoGrad { try formula(inputs) }
    // A result of its own, which can have the node.
    if y.base != nil || inputs.contains(where: { $0 === y }) { y = try withNoGrad { try y.copied() } }
    let operation = Formula(nodeName: nodeName, slotNames: names, count: inputs.count, formula: formula)
    return try y.recorded(operation, inputs)
  }

  func uses(_ number: Int) -> Uses { Uses(rawValue: 1 << UInt16(count) - 1) }

  func gradient(_ c: inout Backward) throws { try Formula.gradient(&c, count, formula) }

  /// Puts into the pass the gradients of the first `count` inputs of a node, which it has kept: those of a formula that computes what
  /// the node did. For operations too that have a kernel for the usual case.
  static func gradient(_ c: inout Backward, _ count: Int, _ formula: ([Tensor]) throws -> Tensor) throws {
    var inputs: [Tensor] = []
    var places: [Int] = []
    for number in 0..<count {
      var input = try c.read(.input(number))
      if c.needs(number) {
        places.append(number)
        // A graph of its own where nobody asks for the gradients' history; else a copy, by which the run within ends: one
        // input may be computed from another, or be the same, and what passes between them is the outer run's part.
        input = try c.createsGraph ? withGradMode(enabled: true) { try input.clone() } : input.detach()
        if !input.requiresGrad { try input.setRequiresGrad(true) }
      } else {
        input = input.detach()
      }
      inputs.append(input)
    }
    // The run within is none that scripts started.
    let context = Context.current
    let (run, line) = (context.pointee.lastRun, context.pointee.lastBackward)
    defer { (context.pointee.lastRun, context.pointee.lastBackward) = (run, line) }
    let wanted = places.map { inputs[$0] }
    // A graph that nobody sees: hooks on saved tensors are for those that users make.
    let modes = GradMode.bits
    if !c.createsGraph { GradMode.bits = 0 }
    defer { GradMode.bits = modes }
    let y = try withGradMode(enabled: true) { try formula(inputs) }
    let options = BackwardOptions(createGraph: c.createsGraph)
    let gradients = try y.requiresGrad ? Tape.gradients(of: [y], [c.g], inputs: wanted, options: options) : []
    for (place, number) in places.enumerated() {
      c[number] = try (place < gradients.count ? gradients[place] : nil) ?? Tensor.zeros(like: inputs[number])
    }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try Formula.of(inputs, nodeName, slotNames, formula)] }

  func attribute(_ name: String) -> Any? { nil }

  /// Found by doing it: the formula once more, and then what its own graph would cost.
  func gradientWork(_ node: Node, _ wants: (Int) -> Bool) throws -> Int {
    var inputs: [Tensor] = []
    for number in 0..<count {
      let input = try node.read(.input(number), graph: false).detach()
      if wants(number) { try input.setRequiresGrad(true) }
      inputs.append(input)
    }
    let counter = MultiplyAdds()
    let y = try counter.during { try withGradMode(enabled: true) { try formula(inputs) } }
    return counter.count + (try GraphWork([y]).shares { $0.requiresGrad }.reduce(0) { $0 + $1.multiplyAdds })
  }
}

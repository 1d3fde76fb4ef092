// Looking at the graph, and cutting it: grad_fn and what it leads to, retained gradients, detaching in place.

extension Tensor {
  /// Whether a non-leaf keeps its gradient.
  public var retainsGrad: Bool { flags.contains(.retainsGrad) }

  /// Makes a non-leaf keep its gradient in `grad`; leaves do so anyway.
  public func retainGrad() throws {
    guard requiresGrad else {
      throw TensorError(.autograd, "retain_grad", "the tensor does not require grad, so it will have no gradient to keep")
    }
    guard let node = gradNode, !retainsGrad else { return }
    flags.insert(.retainsGrad)
    node.extending.retaining.append((outputIndex, WeakTensor(tensor: self)))
  }

  /// Makes this tensor a leaf without history. Views cannot be cut off from their base this way.
  public func detachInPlace() throws {
    guard base == nil else {
      throw TensorError(.autograd, "detach_", "a view cannot be detached in place, since its history is its base's; use detach()")
    }
    node = nil
    outputIndex = 0
    flags.remove(.requiresGrad)
    flags.remove(.retainsGrad)
  }

  /// The extras, made if there are none yet.
  fileprivate var extending: TensorExtras {
    if let extras { return extras }
    let made = TensorExtras()
    extras = made
    return made
  }

  /// Adds a hook on this tensor's gradient; returns what removes it.
  package func addHook(_ hook: Hook) throws -> () -> Void {
    guard requiresGrad else {
      throw TensorError(.autograd, "register_hook", "the tensor does not require grad, so no gradient will reach it")
    }
    if let node = gradNode {
      let extras = node.extending
      extras.outputHooks.append((outputIndex, hook))
      return { [weak extras] in extras?.outputHooks.removeAll { $0.hook === hook } }
    }
    let extras = self.extending
    extras.hooks.append(hook)
    LeafHooks.note()
    return { [weak extras] in extras?.hooks.removeAll { $0 === hook } }
  }

  /// Adds a hook that runs after a leaf's gradient was accumulated and is given the leaf; returns what removes it.
  package func addPostAccumulateHook(_ hook: Hook) throws -> () -> Void {
    guard requiresGrad, gradNode == nil else {
      throw TensorError(.autograd, "register_post_accumulate_grad_hook", "only leaves that require grad accumulate gradients")
    }
    let extras = self.extending
    extras.postAccumulateHooks.append(hook)
    LeafHooks.note()
    return { [weak extras] in extras?.postAccumulateHooks.removeAll { $0 === hook } }
  }

  /// The node that stands for a leaf in drawings of the graph: made on demand, the same one while anybody holds it.
  package var accumulator: Node {
    let extras = self.extending
    if let made = extras.accumulator { return made }
    let made = Node(leaf: self)
    extras.accumulator = made
    return made
  }
}

extension Node {
  /// The nodes that this one feeds, with the number of their output, from 0; nil where an input is frozen or constant.
  /// Leaves appear as `AccumulateGrad`. Fused operations show the nodes that PyTorch has in their place.
  public var nextFunctions: [(node: Node?, index: Int)] {
    var list = (0..<edges.count).map { Node.target(edges[$0]) }
    switch name {
    case "AddmmBackward0" where isFused: list = [list[2], list[0], wrapped(list[1], "TBackward0")]
    case "MmBackward0" where isFused: list[1] = wrapped(list[1], "TBackward0")
    case "NllLossBackward0" where isFused: list = [wrapped(list[0], "LogSoftmaxBackward0")]
    case "MulBackward0", "AddBackward0", "SubBackward0", "DivBackward0": break
    default: if number != nil { list.removeLast() }
    }
    return list
  }

  private static func target(_ edge: Edge) -> (node: Node?, index: Int) {
    switch edge {
    case .none: (nil, 0)
    case .node(let node, let index): (node, Int(index))
    case .leaf(let leaf): (leaf.accumulator, 0)
    }
  }

  /// Adds a hook that runs when backward reaches this node, before or after its formula; returns what removes it.
  package func addHook(_ hook: NodeHook, beforeFormula: Bool) -> () -> Void {
    let list: WritableKeyPath<NodeHooks, [NodeHook]> = beforeFormula ? \.before : \.after
    if let leaf = variable {
      let extras = leaf.extending
      extras.nodeHooks[keyPath: list].append(hook)
      LeafHooks.note()
      return { [weak extras] in extras?.nodeHooks[keyPath: list].removeAll { $0 === hook } }
    }
    let extras = self.extending
    extras.hooks[keyPath: list].append(hook)
    return { [weak extras] in extras?.hooks[keyPath: list].removeAll { $0 === hook } }
  }

  private func wrapped(_ inner: (node: Node?, index: Int), _ name: String) -> (node: Node?, index: Int) {
    guard let node = inner.node else { return inner }
    return (Node(name, edges: Edges(.node(node, Int32(inner.index)))) { _ in }, 0)
  }

  /// The leaf behind an `AccumulateGrad`.
  public var variable: Tensor? { extras?.variable }

  /// A saved value by its name: self, other, result, or an input's own name.
  public func saved(named name: String) throws -> Tensor? {
    let slots: [String: UInt8] = [
      "self": 0, "input": 0, "mat1": 0, "exponent": 1, "other": 1, "weight": 1, "mat2": 1, "target": 1, "vec2": 1, "result": 7, "output": 7,
    ]
    guard let slot = slots[name] else {
      throw TensorError(
        .argument, "grad_fn",
        "no saved value is called saved_\(name); there are \(slots.keys.sorted().map { "saved_" + $0 }.joined(separator: ", "))")
    }
    if slot == 1, let number { return try Tensor.full([], number, dtype: number.ownDType) }
    return try savedValue(slot)
  }
}

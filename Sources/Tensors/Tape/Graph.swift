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
    let made = AccumulateNode(self)
    extras.accumulator = made
    return made
  }
}

extension Node {
  /// The nodes that this one feeds, with the number of their output, from 0; nil where an input is frozen or constant.
  /// Leaves appear as `AccumulateGrad`. A fused node shows those that it stands for, and runs as they do from then on.
  public func nextFunctions() throws -> [(node: Node?, index: Int)] {
    let shown = try unfused()
    return (0..<shown.edges.count).map { number in
      switch shown.edges[number] {
      case .none: (nil, 0)
      case .node(let node, let index): (node, Int(index))
      case .leaf(let leaf): (leaf.accumulator, 0)
      }
    }
  }

  /// The node that runs in this one's place: itself, or what a fused one stands for, made when first asked for.
  package func unfused() throws -> Node {
    if let made = extras?.expansion { return made }
    guard let made = try data?.expanded(self) else { return self }
    extending.expansion = made
    extending.expandedAt = RunNumber.last
    return made
  }

  /// Adds a hook that runs when backward reaches this node, before or after its formula; returns what removes it.
  package func addHook(_ hook: NodeHook, beforeFormula: Bool) throws -> () -> Void {
    let list: WritableKeyPath<NodeHooks, [NodeHook]> = beforeFormula ? \.before : \.after
    if let leaf = variable {
      let extras = leaf.extending
      extras.nodeHooks[keyPath: list].append(hook)
      LeafHooks.note()
      return { [weak extras] in extras?.nodeHooks[keyPath: list].removeAll { $0 === hook } }
    }
    // Hooks are given the gradients of the inputs that are shown.
    _ = try unfused()
    let extras = self.extending
    extras.hooks[keyPath: list].append(hook)
    return { [weak extras] in extras?.hooks[keyPath: list].removeAll { $0 === hook } }
  }

  /// What `saved_…` can be asked for, by name: kept values, and attributes.
  package enum Saved {
    case tensor(Tensor)
    case attribute(Any)
    /// Of that name, but nothing is kept there.
    case nothing
  }

  /// A kept value or an attribute by its name: self, other, result, or an input's or an option's own.
  package func saved(named name: String) throws -> Saved {
    let shown = try unfused()
    guard let data = shown.data else { throw noSaved(name, []) }
    if let slot = data.slotNames.first(where: { $0.key == name })?.value {
      if let kept = try shown.keptValue(slot) { return .tensor(kept) }
      if let number = data.attribute(name) { return .attribute(number) }
      return .nothing
    }
    if let found = data.attribute(name) { return .attribute(found) }
    throw noSaved(name, data.slotNames.map(\.key))
  }

  private func noSaved(_ name: String, _ known: [String]) -> TensorError {
    TensorError(
      .argument, "grad_fn",
      "\(self.name) has no saved value called saved_\(name)\(known.isEmpty ? "" : "; there are \(known.map { "saved_" + $0 }.joined(separator: ", "))")"
    )
  }
}

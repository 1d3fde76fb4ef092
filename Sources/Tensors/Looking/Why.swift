// In words: why a tensor has no gradient, or a gradient of zeros.

extension Tensor {
  /// Explains why `grad` is nil or zero, or that it is neither.
  ///
  /// - Parameter root: the loss, if its graph is still there: then also whether it depends on this tensor, and what on the
  ///   way lets nothing pass.
  public func why(_ root: Tensor? = nil) -> String {
    if let gradient { return whyZero(gradient, root) }
    guard dtype.isFloating else {
      return "grad is nil: the tensor is \(dtype), and only tensors of float dtypes can have gradients"
    }
    if !requiresGrad { return "grad is nil: " + whyNoHistory }
    if let node = gradNode, !retainsGrad {
      return
        "grad is nil: the tensor is not a leaf, it was computed by \(node.name)\(node.place), and only leaves keep their gradient; call retain_grad() before backward()"
    }
    if storage.isInference { return "grad is nil: the tensor was made in inference_mode" }
    let role = gradNode == nil ? "a trainable leaf" : "no leaf but retains its gradient"
    return "grad is nil: the tensor is \(role), but " + whyNotReached(root)
  }

  private var whyNoHistory: String {
    if flags.contains(.detached) { return "the tensor was detached\(Site.phrase(cutAt)), so no gradient flows through it" }
    if flags.contains(.madeWithoutGrad) {
      return "the tensor was computed\(Site.phrase(cutAt)) while gradients were not recorded (no_grad or inference_mode), so it is constant"
    }
    if isParameter { return "the parameter is frozen: its requires_grad is false" }
    return "the tensor is a leaf that does not require grad; set requires_grad = true before the forward pass"
  }

  private func whyNotReached(_ root: Tensor?) -> String {
    if let root {
      guard root.requiresGrad else {
        return "the root does not require grad: " + root.whyNoHistory
      }
      guard root.depends(on: self) else { return "the root does not depend on it" }
      return "backward has not run from that root yet; it depends on this tensor"
    }
    let last = Tape.last
    guard last.number > 0 else { return "no backward has run yet" }
    let place = Site.phrase(last.site)
    return reachedBy == 0
      ? "no backward has reached it: the last one\(place) was of something that does not depend on it, or its gradient was asked for by grad(), which leaves .grad alone"
      : "its gradient was cleared since a backward last reached it (the last backward was\(place.isEmpty ? " elsewhere" : place))"
  }

  private func whyZero(_ gradient: Tensor, _ root: Tensor?) -> String {
    let isZero = (try? withNoGrad { try gradient.detach().eq(0).all().item() }) == .boolean(true)
    guard isZero else { return "grad is there, and not zero everywhere" }
    var sentence = "grad is zero everywhere"
    guard let root else {
      return sentence
        + ": what came back was 0; pass the loss, x:why(loss), with its graph kept by retain_graph = true, to see what lets nothing pass"
    }
    guard root.depends(on: self) else { return sentence + ": the root does not depend on the tensor" }
    let stops = root.blocks(before: self, most: 4)
    sentence += stops.isEmpty ? ": no operation on the way is known to stop it all" : ": " + stops.joined(separator: "; ")
    return sentence
  }

  // MARK: Walking

  /// Whether this tensor was computed from `other`, which may be a leaf or not.
  private func depends(on other: Tensor) -> Bool {
    let target = other.edge
    var found = false
    walk { edge in
      switch (edge, target) {
      case (.leaf(let a), .leaf(let b)): found = found || a === b
      case (.node(let a, let i), .node(let b, let j)): found = found || (a === b && i == j)
      default: break
      }
      return !found
    }
    return found
  }

  /// Operations between this root and `other` whose derivative is 0 everywhere, in words; the first few, since each one is a
  /// walk of its own.
  private func blocks(before other: Tensor, most: Int) -> [String] {
    var list: [String] = []
    walk { edge in
      guard case .node(let node, _) = edge else { return true }
      if let reason = node.blocksAll {
        let probe = Tensor(storage: storage, layout: layout, dtype: dtype)
        probe.node = node
        if probe.depends(on: other) { list.append("\(node.name)\(node.place) \(reason)") }
      }
      return list.count < most
    }
    return list
  }

  /// Visits every edge of the graph once, without recursion, until `visit` says to stop.
  private func walk(_ visit: (Edge) -> Bool) {
    var seen = Set<ObjectIdentifier>()
    var stack = [edge]
    while let edge = stack.popLast() {
      guard visit(edge) else { return }
      guard case .node(let node, _) = edge, seen.insert(ObjectIdentifier(node)).inserted else { continue }
      for index in 0..<node.edges.count where !node.edges[index].isNone { stack.append(node.edges[index]) }
    }
  }
}

extension Node {
  /// Why no gradient can pass this node, if that is so.
  fileprivate var blocksAll: String? {
    switch data?.passage {
    case .nothing: return "lets nothing pass: its derivative is 0"
    case .wherePositive:
      guard let y = try? keptValue(.output), let some = try? withNoGrad({ try y.detach().gt(0).any().item() }) else { return nil }
      return some == .boolean(false) ? "lets nothing pass: all \(y.count) of its outputs are 0 (a dead ReLU)" : nil
    case .everywhere, nil: return nil
    }
  }
}

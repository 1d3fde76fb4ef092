// What nodes keep for their formulas: kept when an operation is recorded, checked when a formula reads it, dropped when
// backward is through. Every tensor that a formula reads comes this way.

extension Node {
  // MARK: Keeping

  /// Keeps an input, or a value of the operation's own. The object itself is held, no copy: see `Tensor.rebase` for how that
  /// stays free of cycles.
  @inline(__always)
  final func keep(_ tensor: Tensor, _ slot: KeptSlot) throws {
    if GradMode.hasSavedTensorHooks || tensor.storage.isInference { return try keepSpecially(tensor, slot) }
    tensor.storage.isSaved = true
    store(SavedTensor(tensor, slot))
  }

  /// Keeps the output, under another object since a node must not hold its own output.
  @inline(__always)
  final func keepOutput(_ tensor: Tensor) throws {
    if GradMode.hasSavedTensorHooks { return try keepSpecially(tensor, .output) }
    tensor.storage.isSaved = true
    store(SavedTensor(tensor.alias(), .output))
  }

  /// By hooks, or not at all.
  private final func keepSpecially(_ tensor: Tensor, _ slot: KeptSlot) throws {
    // The results of an operation on elements that were made in inference mode are no such elements, but what it keeps is.
    if tensor.storage.isInference {
      throw TensorError(
        .autograd, name,
        "a tensor of shape \(tensor.shape) that was made in inference_mode cannot be saved for backward; clone() it outside of that mode first"
      )
    }
    guard let hooks = SavedTensorHooks.current else {
      // Their guard was dropped, and collected, while their number stays in force.
      tensor.storage.isSaved = true
      return store(SavedTensor(slot == .output ? tensor.alias() : tensor, slot))
    }
    overflowing.packed.append(PackedTensor(slot: slot, unpack: try hooks.packing(tensor)))
  }

  @inline(__always)
  final func store(_ value: SavedTensor) {
    if saved0 == nil {
      saved0 = value
    } else if saved1 == nil {
      saved1 = value
    } else {
      overflowing.saved.append(value)
    }
  }

  /// Notes the inputs that lead nowhere, so that the graph alone can be computed again.
  final func keepConstants(_ inputs: [Tensor]) throws {
    overflowing.constants = try inputs.enumerated().map { number, input in
      number < edges.count && !edges[number].isNone ? nil : try input.copied()
    }
  }

  // MARK: Changing what is kept

  private final func find(_ slot: KeptSlot) -> SavedTensor? {
    if let saved0, saved0.slot == slot { return saved0 }
    if let saved1, saved1.slot == slot { return saved1 }
    return overflow?.saved.first { $0.slot == slot }
  }

  private final func replaceAll(_ replaced: (SavedTensor) -> SavedTensor) {
    saved0 = saved0.map(replaced)
    saved1 = saved1.map(replaced)
    if let overflow { overflow.saved = overflow.saved.map(replaced) }
  }

  /// Moves a kept output onto `tensor`'s storage: an in-place operation's result is the tensor it wrote to.
  final func moveKeptOutput(to tensor: Tensor) {
    replaceAll { $0.slot == .output ? SavedTensor(tensor.alias(), .output) : $0 }
  }

  /// Replaces a kept object that is about to get a history of its own, or a view of it, by an equal one with none.
  final func replaceKept(_ object: Tensor) {
    replaceAll { value in
      guard value.tensor === object || value.tensor.base === object else { return value }
      return value.moved(to: value.tensor.alias())
    }
  }

  /// Gives another node, of what this one stands for, a kept value, as `look` shows it.
  final func share(_ slot: KeptSlot, with other: Node, in place: KeptSlot, _ look: @escaping (Tensor) throws -> Tensor = { $0 }) throws {
    if flags.contains(.released) {
      other.flags.insert(.released)
      other.freedAt = freedAt
    } else if let value = find(slot) {
      other.store(try value.shown(in: place, look))
    } else if let packed = overflow?.packed.first(where: { $0.slot == slot }) {
      other.overflowing.packed.append(PackedTensor(slot: place) { try look(packed.unpack()) })
    }
  }

  // MARK: Reading

  /// The value in a slot, checked: not released, and not written to since. For formulas whose own computation is recorded
  /// (`graph`) it comes with the history that this node recorded.
  @inline(__always)
  final func read(_ slot: KeptSlot, graph: Bool) throws -> Tensor {
    // The two inline places are looked at in place; a copy of the record would be counted for nothing.
    if !graph {
      if let value = saved0, value.isIntact(slot) { return value.tensor }
      if let value = saved1, value.isIntact(slot) { return value.tensor }
    }
    return try readChecked(slot, graph: graph)
  }

  private final func readChecked(_ slot: KeptSlot, graph: Bool) throws -> Tensor {
    guard let value = find(slot) else {
      if flags.contains(.released) { throw releasedError }
      if let packed = overflow?.packed.first(where: { $0.slot == slot }) {
        return graph ? connected(try packed.unpack().detach(), slot) : try packed.unpack()
      }
      throw TensorError(.autograd, name, "the formula asks for a value that was not kept (\(slot.phrase))")
    }
    let tensor = value.tensor
    guard !value.isReplaced else {
      throw TensorError(
        .autograd, name + place,
        "the elements of a value needed for its gradient, \(slot.phrase), were replaced since the forward pass (by x.data = … or free()\(Site.phrase(tensor.replacedAt))); it has shape \(tensor.shape) now"
      )
    }
    guard tensor.storage.version == value.version else {
      throw staleError(slot.phrase, tensor, kept: value.version)
    }
    return graph ? connected(tensor, slot) : tensor
  }

  /// A value with the history that this node recorded: the object may have been detached or rebased since.
  private final func connected(_ tensor: Tensor, _ slot: KeptSlot) -> Tensor {
    if flags.contains(.forTangents) { return tensor }
    let own = Int(slot.rawValue) - Int(KeptSlot.own(0).rawValue)
    let isOwnOutput = own >= 0 && own < outputCount && data.map { type(of: $0).keepsOutputs } ?? false
    if slot == .output || isOwnOutput {
      let output = tensor.alias()
      output.node = self
      if isOwnOutput { output.outputIndex = Int32(own) }
      output.copyTangents(of: tensor)
      return output
    }
    guard slot.rawValue < 8, slot.rawValue < edges.count else { return tensor.requiresGrad ? tensor.detach() : tensor }
    return connected(tensor, to: edges[Int(slot.rawValue)])
  }

  private final func connected(_ tensor: Tensor, to edge: Edge) -> Tensor {
    switch edge {
    case .node(let node, let index):
      if tensor.node === node, tensor.outputIndex == index { return tensor }
      let input = tensor.alias()
      input.node = node
      input.outputIndex = index
      input.copyTangents(of: tensor)
      return input
    case .leaf(let leaf):
      return leaf
    case .none:
      return tensor.requiresGrad ? tensor.detach() : tensor
    }
  }

  private final func staleError(_ what: String, _ tensor: Tensor, kept version: UInt32) -> TensorError {
    let writer = Site.text(tensor.storage.writtenAt).map { ", last at \($0)" } ?? ""
    return TensorError(
      .autograd, name + place,
      "a value needed for its gradient, \(what) of shape \(tensor.shape), was modified by an in-place operation\(writer): it is at version \(tensor.storage.version), version \(version) is needed; use the out-of-place form or clone() first"
    )
  }

  // MARK: What functions of scripts keep

  /// Keeps values of a custom function, which asks for all of them at once.
  final func keep(_ values: [(tensor: Tensor, origin: KeptTensor.Origin)]) throws {
    if !values.isEmpty { overflowing.kept = try values.map { try KeptTensor($0.tensor, $0.origin) } }
  }

  /// Those values, checked, with their history if the gradients will be differentiated.
  final func keptValues(graph: Bool) throws -> [Tensor] {
    if flags.contains(.released) { throw releasedError }
    return try (overflow?.kept ?? []).map { kept in
      if kept.unpack == nil, kept.tensor.storage.version != kept.version {
        throw staleError("a saved value", kept.tensor, kept: kept.version)
      }
      let tensor = try kept.unpack?().detach() ?? kept.tensor
      switch kept.origin {
      case .input(let index) where graph: return connected(tensor, to: edges[index])
      case .output(let index) where graph:
        let output = tensor.alias()
        output.node = self
        output.outputIndex = Int32(index)
        return output
      default: return tensor.alias()
      }
    }
  }

  /// Gives kept outputs the tangents that the outputs have got meanwhile.
  final func shareTangents(of outputs: [Tensor]) {
    replaceAll { value in
      let own = Int(value.slot.rawValue) - Int(KeptSlot.own(0).rawValue)
      if value.slot == .output {
        value.tensor.copyTangents(of: outputs[0])
      } else if own >= 0, own < outputs.count, outputs[own].storage === value.tensor.storage {
        value.tensor.copyTangents(of: outputs[own])
      }
      return value
    }
  }

  // MARK: Looking, and letting go

  /// The slots in which something is kept.
  package final var keptSlots: [KeptSlot] {
    ([saved0, saved1].compactMap { $0 } + (overflow?.saved ?? [])).map(\.slot) + (overflow?.packed ?? []).map(\.slot)
  }

  /// For `grad_fn.saved_…`: the value, or nil where none was kept.
  package final func keptValue(_ slot: KeptSlot) throws -> Tensor? {
    if flags.contains(.released) { throw releasedError }
    return keptSlots.contains(slot) ? try read(slot, graph: true) : nil
  }

  /// Whether a backward run has freed the kept values.
  package final var isReleased: Bool { flags.contains(.released) }

  final var releasedError: TensorError {
    TensorError(
      .autograd, "backward",
      "the saved values of \(name)\(place.isEmpty ? "" : " (recorded\(place))") were freed by an earlier backward\(Site.phrase(freedAt)); pass retain_graph = true to the first one to run through the graph again"
    )
  }

  /// Drops what backward needed; a node that kept nothing stays usable.
  @inline(__always)
  final func releaseKept(at site: UInt32) {
    guard saved0 != nil || overflow?.keepsAnything ?? false else { return }
    flags.insert(.released)
    freedAt = site
    saved0 = nil
    saved1 = nil
    overflow?.release()
  }
}

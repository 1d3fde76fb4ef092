// The tape: a node for every recorded operation. Tensors hold their node, nodes hold what they feed (edges) and
// what their formulas need (saved values), never their own output, so there are no cycles.

import CKernels

/// What a formula needs of the forward pass: inputs by number, or the output.
package struct Uses: OptionSet, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }
  package static let nothing: Uses = []
  package static let a = Uses(rawValue: 1)
  package static let b = Uses(rawValue: 2)
  package static let c = Uses(rawValue: 4)
  package static let output = Uses(rawValue: 128)
}

/// A recorded operation: its formula, its edges and its saved values.
///
/// Seen by users as `grad_fn`.
public final class Node {
  /// PyTorch's name for it, `MulBackward0`.
  public let name: String
  /// Later operations have larger numbers, so walking in falling order is a topological order.
  package let sequence: UInt64
  /// The script's line of the forward call (see Site).
  package let site: UInt32
  /// That of the backward run which freed the saved values.
  @exclusivity(unchecked) private var freedAt: UInt32 = 0  // unchecked here and below as in Tensor
  /// Where the inputs' gradients go, in the order of the inputs.
  @exclusivity(unchecked) package private(set) var edges: Edges

  /// The formula: a closure, or for table-driven operations the table, which lives forever and needs no counting.
  @exclusivity(unchecked) private var gradient: Gradient?
  private unowned(unsafe) let formulas: Formulas?
  @exclusivity(unchecked) private var saved0: SavedTensor?
  @exclusivity(unchecked) private var saved1: SavedTensor?
  @exclusivity(unchecked) private var overflow: NodeOverflow?
  /// A number that took an input's place (`x * 2`).
  @exclusivity(unchecked) package internal(set) var number: Scalar?
  /// Shapes and dtypes of the inputs, kept only where they differ from the output's.
  @exclusivity(unchecked) var forms: InputForms?
  @exclusivity(unchecked) private(set) var flags: Flags = []

  @exclusivity(unchecked) package var extras: NodeExtras?

  // State of the backward run that is under way (see Run.swift).
  @exclusivity(unchecked) var pending: Tensor?
  @exclusivity(unchecked) var run: UInt32 = 0

  /// The line of the forward call, for sentences: ` at train.lua:12`, or nothing.
  var place: String { Site.phrase(site) }

  /// Gradients that wait at outputs 1, 2, ….
  var pendingMore: [Tensor?] {
    get { overflow?.pending ?? [] }
    set {
      if newValue.isEmpty, overflow == nil { return }
      overflowing.pending = newValue
    }
  }

  /// Exchanges the gradient that waits at an output from 1 on. In place: to write to an element of `pendingMore` copies all
  /// of them, which for the parts of `unbind` is the square of their number.
  func exchangePending(_ output: Int, _ gradient: inout Tensor?) {
    let overflow = overflowing
    while overflow.pending.count < output { overflow.pending.append(nil) }
    swap(&overflow.pending[output - 1], &gradient)
  }

  /// The extras, made if there are none yet.
  var extending: NodeExtras {
    if let extras { return extras }
    let made = NodeExtras()
    extras = made
    return made
  }

  private var overflowing: NodeOverflow {
    if let overflow { return overflow }
    let made = NodeOverflow()
    overflow = made
    return made
  }

  struct Flags: OptionSet {
    let rawValue: UInt8
    /// The formula itself holds tensors, so releasing saved values drops it too.
    static let holdsTensors = Flags(rawValue: 1)
    static let released = Flags(rawValue: 2)
    static let multipleOutputs = Flags(rawValue: 4)
    /// One kernel does what several nodes do in PyTorch.
    static let fused = Flags(rawValue: 8)
  }

  /// Computes the gradients of the inputs that need one.
  package typealias Gradient = (inout Backward) throws -> Void

  @inline(__always)
  init(_ name: String, edges: consuming Edges, holdsTensors: Bool = false, _ gradient: @escaping Gradient) {
    self.name = name
    self.gradient = gradient
    self.edges = edges
    formulas = nil
    let thread = mg_thread()
    sequence = thread.pointee.sequence
    thread.pointee.sequence = sequence &+ 1
    site = mg_site()
    if holdsTensors { flags.insert(.holdsTensors) }
  }

  @inline(__always)
  init(_ formulas: Formulas, edges: consuming Edges) {
    name = formulas.gradName
    self.edges = edges
    self.formulas = formulas
    let thread = mg_thread()
    sequence = thread.pointee.sequence
    thread.pointee.sequence = sequence &+ 1
    site = mg_site()
  }

  /// The `AccumulateGrad` of a leaf, for those who look at the graph; backward runs go to the leaf directly.
  init(leaf: Tensor) {
    name = "AccumulateGrad"
    edges = Edges()
    formulas = nil
    sequence = .max
    site = 0
    extending.variable = leaf
  }

  /// Whether one kernel does what several nodes do in PyTorch.
  var isFused: Bool { formulas is Product.Linear || flags.contains(.fused) }

  /// Computes the inputs' gradients.
  @inline(__always)
  func run(_ pass: inout Backward) throws {
    if let formulas { try formulas.run(&pass) } else { try gradient?(&pass) }
  }

  // MARK: Saved values

  /// Keeps an input. The object itself is held, no copy: see `Tensor.rebase` for how that stays free of cycles.
  @inline(__always)
  func save(_ tensor: Tensor, slot: UInt8) {
    if GradMode.hasSavedTensorHooks || tensor.storage.isInference { return saveSpecially(tensor, slot) }
    tensor.storage.isSaved = true
    store(SavedTensor(tensor, version: tensor.storage.version, slot: slot))
  }

  /// Keeps the output, under another object since a node must not hold its own output.
  @inline(__always)
  func saveOutput(_ tensor: Tensor) {
    if GradMode.hasSavedTensorHooks { return saveSpecially(tensor, 7) }
    tensor.storage.isSaved = true
    store(SavedTensor(tensor.alias(), version: tensor.storage.version, slot: 7))
  }

  /// By hooks, or not at all. Recording cannot throw; what goes wrong is thrown by whoever asks for the value, and by
  /// the layer above right after the operation (see Failure).
  private func saveSpecially(_ tensor: Tensor, _ slot: UInt8) {
    if tensor.storage.isInference {
      let error = TensorError(
        .autograd, name,
        "a tensor of shape \(tensor.shape) that was made in inference_mode cannot be saved for backward; clone() it outside of that mode first"
      )
      Failure.note(error)
      overflowing.packed.append(PackedTensor(slot: slot) { throw error })
      return
    }
    guard let hooks = SavedTensorHooks.current else {
      // Their guard was dropped, and collected, while their number stays in force.
      tensor.storage.isSaved = true
      return store(SavedTensor(slot == 7 ? tensor.alias() : tensor, version: tensor.storage.version, slot: slot))
    }
    do {
      overflowing.packed.append(PackedTensor(slot: slot, unpack: try hooks.pack(tensor.detach())))
    } catch {
      Failure.note(error)
      overflowing.packed.append(PackedTensor(slot: slot) { throw error })
    }
  }

  @inline(__always)
  private func store(_ value: SavedTensor) {
    if saved0 == nil {
      saved0 = value
    } else if saved1 == nil {
      saved1 = value
    } else {
      overflowing.saved.append(value)
    }
  }

  private func find(_ slot: UInt8) -> SavedTensor? {
    if let saved0, saved0.slot == slot { return saved0 }
    if let saved1, saved1.slot == slot { return saved1 }
    return overflow?.saved.first { $0.slot == slot }
  }

  /// Moves a saved output onto `tensor`'s storage: an in-place operation's result is the tensor it wrote to.
  func moveSavedOutput(to tensor: Tensor) {
    guard let old = find(7) else { return }
    let new = SavedTensor(tensor.alias(), version: tensor.storage.version, slot: old.slot)
    if saved0?.slot == 7 {
      saved0 = new
    } else if saved1?.slot == 7 {
      saved1 = new
    } else {
      overflow?.saved = overflow!.saved.map { $0.slot == 7 ? new : $0 }
    }
  }

  /// Replaces a saved object that is about to get a history of its own, or a view of it, by an equal one with none.
  func replaceSaved(_ object: Tensor) {
    func replaced(_ value: SavedTensor?) -> SavedTensor? {
      guard let value, value.tensor === object || value.tensor.base === object else { return value }
      // One whose elements were replaced must stay recognisable: no version is that high.
      return SavedTensor(value.tensor.alias(), version: value.isReplaced ? .max : value.version, slot: value.slot)
    }
    saved0 = replaced(saved0)
    saved1 = replaced(saved1)
    if let overflow { overflow.saved = overflow.saved.map { replaced($0)! } }
  }

  /// Saved value `slot`, checked: not released, and not written to since.
  func unpack(_ slot: UInt8, graph: Bool) throws -> Tensor {
    // The two inline places are looked at in place; a copy of the record would be counted for nothing.
    if !graph {
      if let value = saved0, value.isIntact(slot) { return value.tensor }
      if let value = saved1, value.isIntact(slot) { return value.tensor }
    }
    return try unpackChecked(slot, graph: graph)
  }

  private func unpackChecked(_ slot: UInt8, graph: Bool) throws -> Tensor {
    guard let value = find(slot) else {
      if flags.contains(.released) { throw releasedError }
      if let packed = overflow?.packed.first(where: { $0.slot == slot }) {
        return graph ? connected(try packed.unpack().detach(), slot) : try packed.unpack()
      }
      throw TensorError(.autograd, name, "the formula asks for a value that was not saved (slot \(slot))")
    }
    let tensor = value.tensor
    guard !value.isReplaced else {
      throw TensorError(
        .autograd, name + place,
        "the elements of a value needed for its gradient, input \(slot + 1), were replaced since the forward pass (by x.data = … or free()); it has shape \(tensor.shape) now"
      )
    }
    guard tensor.storage.version == value.version else {
      throw staleError(slot == 7 ? "its result" : "input \(slot + 1)", tensor, kept: value.version)
    }
    return graph ? connected(tensor, slot) : tensor
  }

  /// A value with the history that this node recorded: the object may have been detached or rebased since.
  private func connected(_ tensor: Tensor, _ slot: UInt8) -> Tensor {
    if slot == 7 {
      let output = tensor.alias()
      output.node = self
      return output
    }
    return connected(tensor, to: edges[Int(slot)])
  }

  private func connected(_ tensor: Tensor, to edge: Edge) -> Tensor {
    switch edge {
    case .node(let node, let index):
      if tensor.node === node, tensor.outputIndex == index { return tensor }
      let input = tensor.alias()
      input.node = node
      input.outputIndex = index
      return input
    case .leaf(let leaf):
      return leaf
    case .none:
      return tensor.requiresGrad ? tensor.detach() : tensor
    }
  }

  private func staleError(_ what: String, _ tensor: Tensor, kept version: UInt32) -> TensorError {
    let writer = Site.text(tensor.storage.writtenAt).map { ", last at \($0)" } ?? ""
    return TensorError(
      .autograd, name + place,
      "a value needed for its gradient, \(what) of shape \(tensor.shape), was modified by an in-place operation\(writer): it is at version \(tensor.storage.version), version \(version) is needed; use the out-of-place form or clone() first"
    )
  }

  // MARK: What custom functions save

  /// Keeps values of a custom function, which asks for all of them at once.
  func keep(_ values: [(tensor: Tensor, origin: KeptTensor.Origin)]) throws {
    if !values.isEmpty { overflowing.kept = try values.map { try KeptTensor($0.tensor, $0.origin) } }
  }

  /// Those values, checked, with their history if the gradients will be differentiated.
  func keptValues(graph: Bool) throws -> [Tensor] {
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

  /// For `grad_fn.saved_…`: the value, or nil where none was kept.
  package func savedValue(_ slot: UInt8) throws -> Tensor? {
    if flags.contains(.released) { throw releasedError }
    let isKept = find(slot) != nil || overflow?.packed.contains { $0.slot == slot } ?? false
    return isKept ? try unpack(slot, graph: true) : nil
  }

  /// Whether a backward run has freed the saved values.
  package var isReleased: Bool { flags.contains(.released) }

  var releasedError: TensorError {
    TensorError(
      .autograd, "backward",
      "the saved values of \(name)\(place.isEmpty ? "" : " (recorded\(place))") were freed by an earlier backward\(Site.phrase(freedAt)); pass retain_graph = true to the first one to run through the graph again"
    )
  }

  /// Drops what backward needed; a node that kept nothing stays usable.
  func releaseSaved(at site: UInt32) {
    guard saved0 != nil || flags.contains(.holdsTensors) || overflow?.keepsAnything ?? false else { return }
    flags.insert(.released)
    freedAt = site
    saved0 = nil
    saved1 = nil
    overflow?.release()
    if flags.contains(.holdsTensors) { gradient = Node.released }
  }

  nonisolated(unsafe) private static let released: Gradient = { pass in throw pass.node.releasedError }

  func setFused() { flags.insert(.fused) }

  /// Says that there are several outputs.
  func setOutputs(_ count: Int) {
    flags.insert(.multipleOutputs)
    overflowing.outputCount = count
  }

  var outputCount: Int { overflow?.outputCount ?? 1 }

  // MARK: Freeing

  /// Frees upstream nodes without recursing: past a small depth they are queued, and the outermost one drains.
  deinit {
    let thread = mg_thread()
    let depth = thread.pointee.release_depth
    if depth < 64 {
      thread.pointee.release_depth = depth &+ 1
      edges = Edges()
      saved0 = nil
      saved1 = nil
      overflow = nil
      gradient = nil
      pending = nil
      if depth == 0, Graveyard.hasWork { Graveyard.drain() }
      thread.pointee.release_depth = depth
    } else {
      Graveyard.bury(edges, saved0, saved1, overflow, gradient)
    }
  }
}

/// What freeing a deep graph has still to let go of, on this thread.
private enum Graveyard {
  struct Remains {
    let edges: Edges
    let saved0, saved1: SavedTensor?
    let more: NodeOverflow?
    let gradient: Node.Gradient?
  }

  static var hasWork: Bool { mg_thread().pointee.graveyard != nil }

  final class Box { var remains: [Remains] = [] }

  static func bury(
    _ edges: Edges, _ saved0: SavedTensor?, _ saved1: SavedTensor?, _ more: NodeOverflow?, _ gradient: Node.Gradient?
  ) {
    let box: Box
    if let made = mg_thread().pointee.graveyard {
      box = Unmanaged<Box>.fromOpaque(made).takeUnretainedValue()
    } else {
      box = Box()
      mg_thread().pointee.graveyard = Unmanaged.passRetained(box).toOpaque()
    }
    box.remains.append(Remains(edges: edges, saved0: saved0, saved1: saved1, more: more, gradient: gradient))
  }

  static func drain() {
    guard let made = mg_thread().pointee.graveyard else { return }
    let box = Unmanaged<Box>.fromOpaque(made).takeUnretainedValue()
    while let remains = box.remains.popLast() { _ = remains }
    mg_thread().pointee.graveyard = nil
    Unmanaged<Box>.fromOpaque(made).release()
  }
}

/// What few nodes have of saved values and of gradients that wait: more than fit inline.
private final class NodeOverflow {
  var saved: [SavedTensor] = []
  var packed: [PackedTensor] = []
  var kept: [KeptTensor] = []
  var pending: [Tensor?] = []
  var outputCount = 1

  var keepsAnything: Bool { !saved.isEmpty || !packed.isEmpty || !kept.isEmpty }

  func release() {
    saved = []
    packed = []
    kept = []
  }
}

/// Shapes and dtypes of a node's inputs.
final class InputForms {
  let forms: [(shape: Shape, dtype: DType)]
  init(_ inputs: [Tensor]) { forms = inputs.map { ($0.shape, $0.dtype) } }
}

// The tape: a node for every recorded operation. Tensors hold their node, nodes hold what they feed (edges) and
// what their formulas need (kept values), never their own output, so there are no cycles.

/// A recorded operation: which, with its attributes (in the subclass), its edges, and the values it keeps.
///
/// Seen by users as `grad_fn`.
public class Node {
  /// Later operations have larger numbers, so walking in falling order is a topological order.
  package final let sequence: UInt64
  /// The script's line of the forward call (see Site).
  package final let site: UInt32
  /// That of the backward run which freed the kept values.
  @exclusivity(unchecked) final var freedAt: UInt32 = 0  // unchecked here and below as in Tensor
  /// Where the inputs' gradients go, in the order of the inputs.
  package final let edges: Edges

  @exclusivity(unchecked) final var saved0: SavedTensor?
  @exclusivity(unchecked) final var saved1: SavedTensor?
  final var overflow: NodeOverflow? {
    @inline(__always) get { itsOverflow.value }
    @inline(__always) set { itsOverflow.value = newValue }
  }
  /// Shapes and dtypes of the inputs, noted only where they were broadcast or promoted.
  final var forms: InputForms? {
    @inline(__always) get { itsForms.value }
    @inline(__always) set { itsForms.value = newValue }
  }
  package final var extras: NodeExtras? {
    @inline(__always) get { itsExtras.value }
    @inline(__always) set { itsExtras.value = newValue }
  }
  @exclusivity(unchecked) private final var itsOverflow = Seldom<NodeOverflow>()
  @exclusivity(unchecked) private final var itsForms = Seldom<InputForms>()
  @exclusivity(unchecked) private final var itsExtras = Seldom<NodeExtras>()
  @exclusivity(unchecked) final var flags: Flags = []

  // State of the backward run that is under way (see Run.swift).
  @exclusivity(unchecked) final var run: UInt32 = 0
  /// The gradient that waits at output 0.
  @exclusivity(unchecked) final var pending = Seldom<Tensor>()

  /// The last of the stored properties: it is let go of after all others.
  private let releasing = Releasing()

  struct Flags: OptionSet {
    let rawValue: UInt8
    static let released = Flags(rawValue: 1)
    static let multipleOutputs = Flags(rawValue: 2)
    /// Made to compute tangents: what it keeps is what it was given.
    static let forTangents = Flags(rawValue: 4)
  }

  @inline(__always)
  init(edges: consuming Edges) {
    let context = Context.current
    sequence = edges.raised(context.pointee.sequence)
    self.edges = edges
    context.pointee.sequence = sequence &+ 1
    site = Site.current
  }

  /// A node that takes another's place in the order and in messages. Nodes that stand for one share its number: which of two comes
  /// first is told by their edges.
  init(replacing node: Node, edges: Edges) {
    self.edges = edges
    sequence = node.sequence
    site = node.site
  }

  /// For those who look at the graph; backward runs go to the leaf directly.
  fileprivate init(standingFor leaf: Tensor) {
    edges = Edges()
    sequence = .max
    site = 0
  }

  /// PyTorch's name for it, `MulBackward0`.
  public var name: String { preconditionFailure("a node without an operation") }

  /// The operation with its attributes; nil for leaves and functions of scripts.
  package var data: (any Operation)? { nil }

  /// The leaf behind an `AccumulateGrad`.
  public var variable: Tensor? { nil }

  /// Computes the inputs' gradients.
  func run(_ pass: inout Backward) throws { preconditionFailure("a node without an operation") }

  /// The line of the forward call, for sentences: ` at train.lua:12`, or nothing.
  final var place: String { Site.phrase(site) }

  // MARK: What few nodes have

  /// The extras, made if there are none yet.
  final var extending: NodeExtras {
    if let extras { return extras }
    let made = NodeExtras()
    extras = made
    return made
  }

  final var overflowing: NodeOverflow {
    if let overflow { return overflow }
    let made = NodeOverflow()
    overflow = made
    return made
  }

  /// Gradients that wait at outputs 1, 2, ….
  final var pendingMore: [Tensor?] {
    get { overflow?.pending ?? [] }
    set {
      if newValue.isEmpty, overflow == nil { return }
      overflowing.pending = newValue
    }
  }

  /// Exchanges the gradient that waits at an output from 1 on. In place: to write to an element of `pendingMore` copies all
  /// of them, which for the parts of `unbind` is the square of their number.
  final func exchangePending(_ output: Int, _ gradient: inout Tensor?) {
    let overflow = overflowing
    while overflow.pending.count < output { overflow.pending.append(nil) }
    swap(&overflow.pending[output - 1], &gradient)
  }

  /// Says that there are several outputs.
  final func setOutputs(_ count: Int) {
    flags.insert(.multipleOutputs)
    overflowing.outputCount = count
  }

  final var outputCount: Int { overflow?.outputCount ?? 1 }

  // MARK: Freeing

  /// Frees upstream nodes without recursing: past a small depth they are queued, and the outermost one drains.
  deinit {
    let context = Context.current
    context.pointee.releaseDepth &+= 1
    if context.pointee.releaseDepth > 64 { Graveyard.bury(edges, saved0, saved1, overflow) }
  }

  /// What is left to do when a node's properties have been let go of, which happens in their order.
  private struct Releasing: ~Copyable {
    @inline(__always)
    deinit {
      let context = Context.current
      if context.pointee.releaseDepth == 1, Graveyard.hasWork { Graveyard.drain() }
      context.pointee.releaseDepth &-= 1
    }
  }
}

/// The node that stands for a leaf: made on demand, the same one while anybody holds it.
final class AccumulateNode: Node {
  private let leaf: Tensor

  init(_ leaf: Tensor) {
    self.leaf = leaf
    super.init(standingFor: leaf)
  }

  override var name: String { "AccumulateGrad" }
  override var variable: Tensor? { leaf }
}

/// What few nodes have of kept values and of gradients that wait: more than fit inline.
final class NodeOverflow {
  var saved: [SavedTensor] = []
  var packed: [PackedTensor] = []
  /// What a function of a script's keeps.
  var kept: [KeptTensor] = []
  /// The inputs that have no edge, where recording is asked to keep them too (see Replay).
  var constants: [Tensor?] = []
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
  /// No dtype where it was the result's.
  let forms: [(shape: Shape, dtype: DType?)]
  init(_ inputs: [Tensor]) { forms = inputs.map { ($0.shape, $0.dtype) } }
  init(shapes: [Shape]) { forms = shapes.map { ($0, nil) } }
}

/// What freeing a deep graph has still to let go of, in the context in force.
private enum Graveyard {
  struct Remains {
    let edges: Edges
    let saved0, saved1: SavedTensor?
    let more: NodeOverflow?
  }

  final class Box { var remains: [Remains] = [] }

  static var hasWork: Bool { Context.current.pointee.graveyard != nil }

  static func bury(_ edges: Edges, _ saved0: SavedTensor?, _ saved1: SavedTensor?, _ more: NodeOverflow?) {
    let box = Context.current.pointee.graveyard as? Box ?? Box()
    Context.current.pointee.graveyard = box
    box.remains.append(Remains(edges: edges, saved0: saved0, saved1: saved1, more: more))
  }

  static func drain() {
    guard let box = Context.current.pointee.graveyard as? Box else { return }
    while let remains = box.remains.popLast() { _ = remains }
    Context.current.pointee.graveyard = nil
  }
}

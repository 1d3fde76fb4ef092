// The tensor: elements under a layout, and its place in the graph.

import Synchronization

/// An n-dimensional array of one dtype that remembers how it was computed.
///
/// A reference type, as in PyTorch: assigning shares, `clone()` copies. Views share the storage under another layout.
/// Not `Sendable`: a tensor and its graph belong to one thread at a time.
public final class Tensor {
  package struct Flags: OptionSet {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }
    /// A leaf that collects gradients.
    static let requiresGrad = Flags(rawValue: 1)
    /// Made by a module (or `Parameter`), so it prints and registers as one.
    static let parameter = Flags(rawValue: 2)
    /// Made by `.data`: its writes do not count against saved values.
    static let uncounted = Flags(rawValue: 8)
    /// A non-leaf that keeps its gradient.
    static let retainsGrad = Flags(rawValue: 16)
    /// A view made while grad mode was off, or one of several views made by one operation.
    static let viewWithoutGrad = Flags(rawValue: 32)
    static let multiView = Flags(rawValue: 64)
    /// Which mode that was, for messages: inference mode rather than no_grad.
    static let viewInInference = Flags(rawValue: 2048)
    /// The marks of a view that is made while grad mode is off.
    static var viewUnrecorded: Flags {
      GradMode.bits & GradMode.inference != 0 ? [.viewWithoutGrad, .viewInInference] : .viewWithoutGrad
    }
    /// Why this has no history although it came of tensors that require grad (see `why`): made while grad mode was off,
    /// by detach(), or of a dtype that cannot have gradients.
    static let madeWithoutGrad = Flags(rawValue: 128)
    static let detached = Flags(rawValue: 256)
    static let madeInteger = Flags(rawValue: 512)
    /// A custom function's result that is one of its inputs, or a view of one.
    static let sharesInput = Flags(rawValue: 1024)
    /// A parameter that some optimizer was given.
    static let optimized = Flags(rawValue: 4096)
    /// Those of the flags that say why there is no history.
    static let cut: Flags = [.madeWithoutGrad, .detached, .madeInteger]
  }

  // Unchecked: these are read by every operation, and no access of theirs ever spans a call that could overlap it.
  @exclusivity(unchecked) package internal(set) var storage: Storage
  /// Where the elements lie in the storage.
  @exclusivity(unchecked) public internal(set) var layout: Layout
  /// The type of the elements. Only ``convert(to:)`` changes it.
  @exclusivity(unchecked) public private(set) var dtype: DType
  @exclusivity(unchecked) package var flags: Flags = []
  /// Which of the node's outputs this is.
  @exclusivity(unchecked) package var outputIndex: Int32 = 0
  /// The storage's history when `node` was last right (views only).
  @exclusivity(unchecked) var historySeen: UInt32 = 0
  /// The last backward run that added to `gradient`, by its number.
  @exclusivity(unchecked) var reachedBy: UInt32 = 0
  /// How often other elements took the place of this object's (see SavedTensor).
  @exclusivity(unchecked) package private(set) var replacements: UInt32 = 0
  /// The script's line where that happened last.
  @exclusivity(unchecked) private(set) var replacedAt: UInt32 = 0
  /// The script's line where the history was cut off (see the flags).
  @exclusivity(unchecked) var cutAt: UInt32 = 0
  /// What computed this; nil for leaves. Read it through `gradNode`, which brings views up to date.
  package var node: Node? {
    @inline(__always) get { itsNode.value }
    @inline(__always) set { itsNode.value = newValue }
  }
  /// What this is a view of: never itself a view.
  package internal(set) var base: Tensor? {
    @inline(__always) get { itsBase.value }
    @inline(__always) set { itsBase.value = newValue }
  }
  var gradient: Tensor? {
    @inline(__always) get { itsGradient.value }
    @inline(__always) set { itsGradient.value = newValue }
  }
  package var extras: TensorExtras? {
    @inline(__always) get { itsExtras.value }
    @inline(__always) set { itsExtras.value = newValue }
  }
  /// Whether this is all that holds its node.
  package var isSoleOwnerOfNode: Bool { itsNode.isSole() }
  @exclusivity(unchecked) private var itsNode = Seldom<Node>()
  @exclusivity(unchecked) private var itsBase = Seldom<Tensor>()
  @exclusivity(unchecked) private var itsGradient = Seldom<Tensor>()
  @exclusivity(unchecked) private var itsExtras = Seldom<TensorExtras>()

  @inline(__always)
  package init(storage: Storage, layout: Layout, dtype: DType) {
    self.storage = storage
    self.layout = layout
    self.dtype = dtype
  }

  /// Elements are whatever the buffer held.
  @inline(__always)
  package convenience init(uninitialized shape: Shape, _ dtype: DType) throws {
    let layout = Layout(shape)
    self.init(storage: try Storage(byteCount: layout.count &* dtype.size), layout: layout, dtype: dtype)
  }

  /// Elements in row-major order that belong to someone else (see `Storage`), where an element of that dtype may lie.
  package convenience init(borrowing first: UnsafeMutableRawPointer, _ shape: Shape, _ dtype: DType, of lender: AnyObject) {
    let layout = Layout(shape)
    let storage = Storage(borrowing: first, byteCount: layout.count &* dtype.size, of: lender)
    self.init(storage: storage, layout: layout, dtype: dtype)
  }

  // MARK: Facts

  /// The sizes of the dimensions, outermost first.
  @inline(__always) public var shape: Shape { layout.shape }
  /// Number of dimensions.
  @inline(__always) public var rank: Int { layout.shape.rank }
  /// Number of elements.
  @inline(__always) public var count: Int { layout.count }
  /// Whether the elements lie one after another in row-major order.
  @inline(__always) public var isContiguous: Bool { layout.isContiguous }
  /// Whether an optimizer was given it, which may have let go of it since.
  package var isOptimized: Bool {
    get { flags.contains(.optimized) }
    set { if newValue { flags.insert(.optimized) } else { flags.remove(.optimized) } }
  }
  /// Whether this is a module's parameter.
  public var isParameter: Bool { flags.contains(.parameter) }
  /// In-place writes to the storage so far.
  public var version: Int { Int(storage.version) }

  /// The first element.
  @inline(__always)
  package var data: UnsafeMutableRawPointer { storage.firstByte + layout.offset &* dtype.size }

  // MARK: The graph

  /// Whether gradients flow to this tensor: a leaf with the flag, or computed from one. A view that had no history has one
  /// since its base was given one by a write.
  @inline(__always)
  public var requiresGrad: Bool { node != nil || flags.contains(.requiresGrad) || (base != nil && gradNode != nil) }

  /// Whether no recorded operation computed this.
  public var isLeaf: Bool { gradNode == nil }

  /// What an operation on this tensor has to feed at backward.
  @inline(__always)
  package var edge: Edge {
    if base == nil {
      if let node { return .node(node, outputIndex) }
    } else if let node = gradNode {
      return .node(node, outputIndex)
    }
    return flags.contains(.requiresGrad) ? .leaf(self) : .none
  }

  /// Sets or clears the flag of a leaf. Clearing it also drops the gradient: frozen parameters have none.
  public func setRequiresGrad(_ required: Bool) throws {
    if gradNode != nil {
      if required { return }
      throw TensorError(
        .autograd, "requires_grad",
        "the flag of a non-leaf tensor cannot be cleared, since it was computed by \(gradNode!.name); use detach() for a leaf that shares its values"
      )
    }
    guard !required || dtype.isFloating else {
      throw TensorError(.dtype, "requires_grad", "only tensors of float dtypes can require grad, this one is \(dtype)")
    }
    guard !required || !storage.isInference || GradMode.bits & GradMode.inference != 0 else {
      throw TensorError(
        .autograd, "requires_grad",
        "a tensor that was made in inference_mode cannot be made to require grad outside of it; clone() it first")
    }
    if required {
      flags.insert(.requiresGrad)
    } else {
      flags.remove(.requiresGrad)
      gradient = nil
    }
  }

  /// The accumulated gradient of a leaf (or of a tensor that retains it).
  public var grad: Tensor? { gradient }

  /// Replaces the gradient; nil clears it. Throws when shape or dtype differ.
  public func setGrad(_ new: Tensor?) throws {
    if let new {
      guard new.shape == shape else {
        throw TensorError(.shape, "grad", "a gradient of shape \(new.shape) was assigned to a tensor of shape \(shape)")
      }
      guard new.dtype == dtype else {
        throw TensorError(.dtype, "grad", "a gradient of \(new.dtype) was assigned to a tensor of \(dtype)")
      }
      guard new !== self else {
        throw TensorError(.autograd, "grad", "a tensor cannot be its own gradient")
      }
    }
    gradient = new
  }

  /// The same elements outside the graph: shares storage, does not require grad.
  public func detach() -> Tensor {
    let result = alias()
    result.flags = flags.intersection([.uncounted])
    if requiresGrad { result.noteCut(.detached) }
    return result
  }

  /// Remembers why and where this tensor lost the history of what it was made of.
  func noteCut(_ reason: Flags) {
    flags.insert(reason)
    cutAt = Site.current
  }

  /// Like `detach()`, but writes to it are not counted: saved values do not notice them.
  public var uncountedData: Tensor {
    let result = alias()
    result.flags = [.uncounted]
    return result
  }

  /// Another object for the same elements, with no history.
  package func alias() -> Tensor { Tensor(storage: storage, layout: layout, dtype: dtype) }

  /// Marks a leaf as a parameter.
  @discardableResult
  public func markParameter(requiresGrad: Bool = true) throws -> Tensor {
    flags.insert(.parameter)
    try setRequiresGrad(requiresGrad)
    return self
  }

  /// Makes this object show `other`'s elements (`x.data = t`): same dtype; any shape, as in PyTorch. A backward that needs
  /// the old ones raises, where PyTorch takes the new ones for them.
  public func setData(_ other: Tensor) throws {
    guard other.dtype == dtype else {
      throw TensorError(.dtype, "data", "elements of \(other.dtype) were assigned to a tensor of \(dtype)")
    }
    try checkGuard(by: "data")
    noteReplacement()
    storage = other.storage
    layout = other.layout
    base = nil
  }

  /// Gives this leaf, and its gradient, elements of another float dtype; whoever holds the object, as optimizers do, has them
  /// too. A backward that needs the old ones raises. Throws for what is no leaf, and for dtypes that have no gradients.
  public func convert(to dtype: DType) throws {
    guard dtype != self.dtype else { return }
    guard gradNode == nil, base == nil else {
      throw TensorError(.autograd, "to", "only leaves can be converted in place, and no views")
    }
    guard dtype.isFloating else { throw TensorError(.dtype, "to", "parameters must be of float dtypes, not \(dtype)") }
    try checkGuard(by: "to")
    let converted = try withNoGrad { try detach().to(dtype) }
    noteReplacement()
    (storage, layout, self.dtype) = (converted.storage, converted.layout, dtype)
    if let gradient { self.gradient = try withNoGrad { try gradient.detach().to(dtype) } }
  }

  /// Releases the elements now rather than when the last reference goes; the tensor is empty afterwards, shape [0]; a
  /// backward that needs them raises.
  public func free() {
    guard let nothing = try? Storage(byteCount: 0) else { return }
    // No node that has kept this tensor takes it for what it was.
    nothing.version = storage.version &+ 1
    storage = nothing
    noteReplacement()
    layout = Layout([0])
    node = nil
    base = nil
    gradient = nil
  }

  private func noteReplacement() {
    replacements &+= 1
    replacedAt = Site.current
  }

  /// Counts a write to the storage.
  @inline(__always)
  package func bumpVersion() {
    if storage.isSaved { storage.writtenAt = Site.current }
    if flags.contains(.uncounted) { return }
    storage.version &+= 1
  }
}

/// What few tensors have.
package final class TensorExtras {
  /// The `AccumulateGrad` node shown to those who ask, made on demand; it holds the tensor, not the reverse.
  weak var accumulator: Node?
  package init() {}
  package var hooks: [Hook] = []
  package var postAccumulateHooks: [Hook] = []
  /// Hooks on the leaf's `AccumulateGrad`.
  var nodeHooks = NodeHooks()
  /// Tangents, of open levels and of closed ones; and how often a write changed them, or that of the base when they were made.
  var tangents: [Tangent] = []
  var tangentWrites: UInt32 = 0
  /// What it is called in the model in which it was frozen, for warnings.
  package var name: String?
  /// The levels, by number, whose batches are the first dimensions, the outermost first.
  var batch: [UInt32] = []

  var hasHooks: Bool { !hooks.isEmpty || !postAccumulateHooks.isEmpty || !nodeHooks.isEmpty }
}

/// Whether any leaf of the process has ever had a hook: of the process, since leaves may be shared between contexts. Without
/// one, no run has to look for leaves with hooks.
enum LeafHooks {
  private static let registered = Atomic<Bool>(false)

  static var areInUse: Bool { registered.load(ordering: .relaxed) }

  static func note() { registered.store(true, ordering: .relaxed) }
}

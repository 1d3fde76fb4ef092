// Running the tape: gradients flow from the roots down to the leaves, iteratively, in falling order of the nodes'
// numbers. A heap of pending nodes replaces dependency counts, since consumers always have larger numbers.

import CKernels

/// One node's turn: the gradient that arrived, and where the formula puts the inputs' gradients.
package struct Backward {
  package let node: Node
  /// The gradient of output 0.
  package let g: Tensor
  /// Whether the gradients themselves will be differentiated, so that formulas must be made of operations.
  package let createsGraph: Bool
  private let wanted: UInt64
  private var r0: Tensor?
  private var r1: Tensor?
  private var r2: Tensor?
  /// Gradients of several outputs, and of more than three inputs; most nodes have neither.
  private var overflow: Overflow?

  private final class Overflow {
    var gradients: [Tensor?] = []
    var more: [Tensor?] = []
  }

  @inline(__always)
  init(_ node: Node, _ g: Tensor, createsGraph: Bool) {
    self.node = node
    self.g = g
    self.createsGraph = createsGraph
    wanted = ~0
  }

  init(_ node: Node, _ g: Tensor, _ gradients: [Tensor?], createsGraph: Bool, wanted: UInt64) {
    self.node = node
    self.g = g
    self.createsGraph = createsGraph
    self.wanted = wanted
    if !gradients.isEmpty {
      let overflow = Overflow()
      overflow.gradients = gradients
      self.overflow = overflow
    }
  }

  /// Gradients of all outputs, of a node with several; nil where none arrived.
  package var gradients: [Tensor?] { overflow?.gradients ?? [] }

  /// Whether input `index` wants a gradient.
  @inline(__always)
  package func needs(_ index: Int) -> Bool { !node.edges[index].isNone && (index > 63 || wanted >> UInt64(index) & 1 == 1) }

  // The saved values by their names in formulas. Throws when they were freed or written to.
  package var a: Tensor { get throws { try input(0) } }
  package var b: Tensor { get throws { try input(1) } }
  package var c: Tensor { get throws { try input(2) } }
  package var y: Tensor { get throws { try node.unpack(7, graph: createsGraph) } }

  package func input(_ index: UInt8) throws -> Tensor {
    if index == 1, let number = node.number {
      return try Tensor.full([], number, dtype: number.category == .floating ? g.dtype : number.promoted(with: g.dtype))
    }
    return try node.unpack(index, graph: createsGraph)
  }

  /// The gradient of input `index`.
  @inline(__always)
  package subscript(index: Int) -> Tensor? {
    get {
      switch index {
      case 0: r0
      case 1: r1
      case 2: r2
      default: overflow.flatMap { index - 3 < $0.more.count ? $0.more[index - 3] : nil }
      }
    }
    set {
      switch index {
      case 0: r0 = newValue
      case 1: r1 = newValue
      case 2: r2 = newValue
      default:
        let overflow = overflow ?? Overflow()
        self.overflow = overflow
        while overflow.more.count <= index - 3 { overflow.more.append(nil) }
        overflow.more[index - 3] = newValue
      }
    }
  }

  /// Takes input `index`'s gradient out, so that a buffer nobody else holds can be reused.
  @inline(__always)
  mutating func take(_ index: Int) -> Tensor? {
    switch index {
    case 0:
      let result = r0
      r0 = nil
      return result
    case 1:
      let result = r1
      r1 = nil
      return result
    case 2:
      let result = r2
      r2 = nil
      return result
    default:
      guard let overflow, index - 3 < overflow.more.count else { return nil }
      let result = overflow.more[index - 3]
      overflow.more[index - 3] = nil
      return result
    }
  }
}

/// What a backward run may do.
public struct BackwardOptions {
  /// Keep saved values for another run.
  public var retainGraph: Bool
  /// Record the gradients' own computation.
  public var createGraph: Bool

  public init(retainGraph: Bool? = nil, createGraph: Bool = false) {
    self.retainGraph = retainGraph ?? createGraph
    self.createGraph = createGraph
  }
}

extension Tensor {
  /// Computes the gradients of this tensor with respect to the leaves that it depends on and adds them to their `grad`.
  ///
  /// - Parameter gradient: the gradient of this tensor, of its shape; may be absent when it has one element (then 1).
  public func backward(_ gradient: Tensor? = nil, options: BackwardOptions = BackwardOptions()) throws {
    try Tape.backward([self], [gradient], options: options)
  }
}

/// Backward runs over the tape.
public enum Tape {
  /// Adds the gradients of `roots` to the `grad` of the leaves they depend on, or only of `inputs`.
  public static func backward(
    _ roots: [Tensor], _ gradients: [Tensor?], inputs: [Tensor]? = nil, options: BackwardOptions = BackwardOptions()
  ) throws {
    var run = Run(options)
    if let inputs { try run.restrict(to: inputs, roots: roots, accumulating: true) }
    try run.execute(roots, gradients, "backward")
  }

  /// The gradients of `roots` with respect to `inputs`, which may be any tensors of the graph; touches no `grad`.
  /// nil where a root does not depend on the input.
  public static func gradients(
    of roots: [Tensor], _ gradients: [Tensor?], inputs: [Tensor], options: BackwardOptions = BackwardOptions()
  ) throws -> [Tensor?] {
    var run = Run(options)
    try run.restrict(to: inputs, roots: roots, accumulating: false)
    try run.execute(roots, gradients, "grad")
    return run.captured
  }
}

/// One backward run.
private struct Run {
  let options: BackwardOptions
  let number: UInt32
  var heap = Heap()
  /// What keeps the graph alive while it is walked, whatever hooks do to the roots.
  var roots: [Edge] = []
  /// With given inputs: which nodes lead to one, which outputs and leaves are captured, and what was.
  var relevant: Set<ObjectIdentifier>?
  var captureNodes: [CaptureKey: [Int]] = [:]
  var captureLeaves: [ObjectIdentifier: [Int]] = [:]
  var accumulating = true
  var captureTargets: [Tensor] = []
  var captured: [Tensor?] = []
  /// Leaves whose hooks wait for the sum of what arrives.
  var hooked: [(leaf: Tensor, gradient: Tensor)] = []
  /// An outer run's pending gradients on nodes that this (reentrant) run visits.
  var displaced: [(node: Node, run: UInt32, pending: Tensor?, more: [Tensor?])] = []

  struct CaptureKey: Hashable {
    let node: ObjectIdentifier
    let index: Int32
  }

  init(_ options: BackwardOptions) {
    self.options = options
    let thread = mg_thread()
    thread.pointee.runs &+= 1
    number = thread.pointee.runs
  }

  // MARK: Starting

  private mutating func seed(_ roots: [Tensor], _ gradients: [Tensor?], _ operation: String) throws {
    guard gradients.count == roots.count else {
      throw TensorError(.argument, operation, "\(roots.count) tensors but \(gradients.count) gradients were given")
    }
    for (position, root) in roots.enumerated() {
      guard root.requiresGrad else {
        throw TensorError(
          .autograd, "", "element \(position) of tensors does not require grad and does not have a grad_fn")
      }
      var gradient: Tensor
      if let given = gradients[position] {
        guard given.shape == root.shape else {
          throw TensorError(
            .shape, operation, "the gradient has shape \(given.shape), but the tensor has shape \(root.shape)")
        }
        gradient = given.dtype == root.dtype ? given : try given.to(root.dtype)
      } else {
        guard root.count == 1 else {
          throw TensorError(
            .shape, operation,
            "a gradient can be implied only for a tensor of one element, this one has shape \(root.shape); pass a gradient of that shape, or reduce it by sum() or mean() first"
          )
        }
        gradient = try Tensor.full(root.shape, .real(1), dtype: root.dtype)
      }
      let edge = root.edge
      self.roots.append(edge)
      try deliver(&gradient, to: edge)
    }
  }

  /// Confines the run to what leads from the roots to `inputs`.
  mutating func restrict(to inputs: [Tensor], roots: [Tensor], accumulating: Bool) throws {
    self.accumulating = accumulating
    captureTargets = inputs
    captured = Array(repeating: nil, count: inputs.count)
    for (position, input) in inputs.enumerated() {
      switch input.edge {
      case .none:
        throw TensorError(
          .autograd, accumulating ? "backward" : "grad",
          "input \(index: position) does not require grad, so nothing has a gradient with respect to it")
      case .leaf(let leaf): captureLeaves[ObjectIdentifier(leaf), default: []].append(position)
      case .node(let node, let index):
        captureNodes[CaptureKey(node: ObjectIdentifier(node), index: index), default: []].append(position)
      }
    }
    // Depth first without recursion; a node is relevant when it or something below it is captured.
    let capturedNodes = Set(captureNodes.keys.map(\.node))
    var relevant = Set<ObjectIdentifier>()
    var done = Set<ObjectIdentifier>()
    var stack: [(node: Node, next: Int)] = []
    func visit(_ edge: Edge) {
      if case .node(let node, _) = edge, done.insert(ObjectIdentifier(node)).inserted { stack.append((node, 0)) }
    }
    for root in roots {
      visit(root.edge)
      while let top = stack.last {
        let node = top.node
        if top.next < node.edges.count {
          stack[stack.count - 1].next += 1
          visit(node.edges[top.next])
        } else {
          stack.removeLast()
          var leads = capturedNodes.contains(ObjectIdentifier(node))
          for index in 0..<node.edges.count where !leads { leads = isWanted(node.edges[index], relevant) }
          if leads { relevant.insert(ObjectIdentifier(node)) }
        }
      }
    }
    self.relevant = relevant
  }

  private func isWanted(_ edge: Edge, _ relevant: Set<ObjectIdentifier>) -> Bool {
    switch edge {
    case .none: false
    case .leaf(let leaf): captureLeaves[ObjectIdentifier(leaf)] != nil
    case .node(let node, _): relevant.contains(ObjectIdentifier(node))
    }
  }

  // MARK: Walking

  mutating func execute(_ roots: [Tensor], _ gradients: [Tensor?], _ operation: String) throws {
    let saved = GradMode.bits
    defer {
      GradMode.bits = saved
      restoreDisplaced()
    }
    try seed(roots, gradients, operation)
    GradMode.setEnabled(options.createGraph)
    while let node = heap.pop() {
      try turn(node)
    }
    for (leaf, gradient) in hooked { try finish(leaf, gradient) }
  }

  private mutating func turn(_ node: Node) throws {
    if relevant == nil, node.extras == nil, !node.flags.contains(.multipleOutputs) {
      // The usual case: one output, no hooks, every input wanted.
      guard let g = node.pending else { return }
      node.pending = nil
      var pass = Backward(node, g, createsGraph: options.createGraph)
      try node.run(&pass)
      return try self.pass(on: &pass, from: node)
    }
    return try fullTurn(node)
  }

  /// Passes the inputs' gradients on.
  @inline(__always)
  private mutating func pass(on pass: inout Backward, from node: Node) throws {
    if !options.retainGraph { node.releaseSaved() }
    for index in 0..<node.edges.count {
      guard var gradient = pass.take(index), pass.needs(index) else { continue }
      if let forms = node.forms {
        let form = forms.forms[index]
        if gradient.shape != form.shape { gradient = try gradient.summed(to: form.shape) }
        if gradient.dtype != form.dtype { gradient = try gradient.to(form.dtype) }
      }
      try deliver(&gradient, to: node.edges[index])
    }
  }

  private mutating func fullTurn(_ node: Node) throws {
    var outputs: [Tensor?] = []
    if node.flags.contains(.multipleOutputs) {
      outputs = [node.pending] + node.pendingMore
      node.pendingMore = []
    }
    var arriving = node.pending
    node.pending = nil
    // As in PyTorch, asked-for gradients are those before the hooks.
    if !captureNodes.isEmpty { try capture(node, arriving, outputs) }
    if let extras = node.extras { try runHooks(node, extras, &arriving, &outputs) }
    guard let g = arriving ?? outputs.first(where: { $0 != nil }) ?? nil else { return }

    var wanted: UInt64 = ~0
    if let relevant {
      guard relevant.contains(ObjectIdentifier(node)) else { return }
      wanted = 0
      for index in 0..<min(node.edges.count, 64) where isWanted(node.edges[index], relevant) { wanted |= 1 << UInt64(index) }
      if wanted == 0, node.edges.count <= 64 { return }
    }
    arriving = nil
    var pass = Backward(node, g, outputs, createsGraph: options.createGraph, wanted: wanted)
    try node.run(&pass)
    try self.pass(on: &pass, from: node)
  }

  /// Adds a gradient to what waits at the other end of `edge`.
  @inline(__always)
  private mutating func deliver(_ gradient: inout Tensor, to edge: Edge) throws {
    switch edge {
    case .none: return
    case .leaf(let leaf): try arrive(&gradient, at: leaf)
    case .node(let node, let index):
      if node.run != number {
        if node.pending != nil || !node.pendingMore.isEmpty {
          displaced.append((node, node.run, node.pending, node.pendingMore))
          node.pending = nil
          node.pendingMore = []
        }
        node.run = number
        heap.push(node)
      } else if node.pending == nil, node.pendingMore.isEmpty {
        heap.push(node)
      }
      if index == 0 {
        node.pending = try sum(&node.pending, &gradient)
      } else {
        while node.pendingMore.count < Int(index) { node.pendingMore.append(nil) }
        node.pendingMore[Int(index) - 1] = try sum(&node.pendingMore[Int(index) - 1], &gradient)
      }
    }
  }

  /// a + b, into a's buffer where nobody else holds it.
  @inline(__always)
  private func sum(_ a: inout Tensor?, _ b: inout Tensor) throws -> Tensor {
    guard let old = a else { return b }
    if !options.createGraph, old.dtype == b.dtype, old.isContiguous, b.isContiguous {
      a = nil
      var owned = old
      if isKnownUniquelyReferenced(&owned), isKnownUniquelyReferenced(&owned.storage) {
        mg_binary(MG_ADD, owned.dtype.kernel, Int64(owned.count), owned.data, 1, b.data, 1, owned.data)
        return owned
      }
      return try owned + b
    }
    return try old + b
  }

  @inline(__always)
  private mutating func arrive(_ gradient: inout Tensor, at leaf: Tensor) throws {
    if relevant != nil, captureLeaves[ObjectIdentifier(leaf)] == nil { return }
    if relevant == nil || accumulating, leaf.extras == nil {
      try accumulate(&gradient, into: leaf)
      return
    }
    // Hooks see the sum of everything that arrives, and so do captured inputs.
    if let position = hooked.firstIndex(where: { $0.leaf === leaf }) {
      hooked[position].gradient = try hooked[position].gradient + gradient
    } else {
      hooked.append((leaf, gradient))
    }
  }

  private mutating func finish(_ leaf: Tensor, _ gradient: Tensor) throws {
    var gradient = gradient
    if let extras = leaf.extras {
      for hook in extras.hooks {
        if let replaced = try hook.body(gradient) { gradient = try checked(replaced, like: gradient) }
      }
    }
    if relevant != nil, !accumulating {
      for position in captureLeaves[ObjectIdentifier(leaf)] ?? [] { captured[position] = gradient }
      return
    }
    try accumulate(&gradient, into: leaf)
    if let extras = leaf.extras {
      for hook in extras.postAccumulateHooks { _ = try hook.body(leaf) }
    }
  }

  /// Adds to `.grad`: in place, so that it stays the same tensor, unless the gradient is itself to be differentiated.
  @inline(__always)
  private func accumulate(_ gradient: inout Tensor, into leaf: Tensor) throws {
    // A leaf frozen since the forward pass gets nothing.
    guard leaf.flags.contains(.requiresGrad) || leaf.node != nil else { return }
    guard let old = leaf.gradient else {
      if options.createGraph {
        // A copy, since the same tensor may arrive at other leaves, or be the caller's.
        leaf.gradient = try gradient.clone()
      } else if gradient.isContiguous, gradient.node == nil, isKnownUniquelyReferenced(&gradient),
        isKnownUniquelyReferenced(&gradient.storage)
      {
        leaf.gradient = gradient
      } else {
        leaf.gradient = try gradient.copied()
      }
      return
    }
    if options.createGraph {
      leaf.gradient = try old + gradient
    } else if old.isContiguous, gradient.isContiguous, old.dtype == gradient.dtype {
      mg_binary(MG_ADD, old.dtype.kernel, Int64(old.count), old.data, 1, gradient.data, 1, old.data)
      old.bumpVersion()
    } else {
      try old.assign(try old + gradient)
    }
  }

  private func checked(_ replaced: Tensor, like gradient: Tensor) throws -> Tensor {
    guard replaced.shape == gradient.shape else {
      throw TensorError(
        .shape, "hook", "a hook returned a gradient of shape \(replaced.shape) for one of shape \(gradient.shape)")
    }
    return replaced
  }

  private func runHooks(_ node: Node, _ extras: NodeExtras, _ arriving: inout Tensor?, _ outputs: inout [Tensor?]) throws {
    for (index, hook) in extras.outputHooks {
      guard let gradient = index == 0 ? arriving : Int(index) < outputs.count ? outputs[Int(index)] : nil else { continue }
      guard let replaced = try hook.body(gradient) else { continue }
      let valid = try checked(replaced, like: gradient)
      if index == 0 { arriving = valid }
      if Int(index) < outputs.count { outputs[Int(index)] = valid }
    }
    for (index, weak) in extras.retaining {
      guard let tensor = weak.tensor,
        let gradient = index == 0 ? arriving : Int(index) < outputs.count ? outputs[Int(index)] : nil
      else { continue }
      tensor.gradient = try tensor.gradient.map { try $0 + gradient } ?? (options.createGraph ? gradient : gradient.copied())
    }
  }

  private mutating func capture(_ node: Node, _ arriving: Tensor?, _ outputs: [Tensor?]) throws {
    for index in 0..<max(outputs.count, 1) {
      guard let positions = captureNodes[CaptureKey(node: ObjectIdentifier(node), index: Int32(index))],
        let gradient = outputs.isEmpty ? arriving : index == 0 ? arriving : outputs[index]
      else { continue }
      for position in positions {
        captured[position] = gradient
        if accumulating {
          let target = captureTargets[position]
          target.gradient = try target.gradient.map { try $0 + gradient } ?? (options.createGraph ? gradient : gradient.copied())
        }
      }
    }
  }

  /// After an error, too: pending gradients of this run are dropped and the outer run's put back.
  private mutating func restoreDisplaced() {
    while let node = heap.pop() {
      node.pending = nil
      node.pendingMore = []
    }
    for (node, run, pending, more) in displaced {
      node.run = run
      node.pending = pending
      node.pendingMore = more
    }
  }
}

/// Nodes by falling number. The graph holds them: the run keeps its roots, and edges never change. Most graphs keep one or
/// two waiting.
private struct Heap {
  private var nodes: [Unmanaged<Node>] = []

  private func sequence(_ position: Int) -> UInt64 { nodes[position]._withUnsafeGuaranteedRef { $0.sequence } }

  mutating func push(_ node: Node) {
    nodes.append(Unmanaged.passUnretained(node))
    var child = nodes.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard sequence(parent) < sequence(child) else { return }
      nodes.swapAt(parent, child)
      child = parent
    }
  }

  mutating func pop() -> Node? {
    guard nodes.count > 1 else { return nodes.popLast()?.takeUnretainedValue() }
    nodes.swapAt(0, nodes.count - 1)
    let top = nodes.removeLast()
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < nodes.count else { break }
      if child + 1 < nodes.count, sequence(child + 1) > sequence(child) { child += 1 }
      guard sequence(child) > sequence(parent) else { break }
      nodes.swapAt(parent, child)
      parent = child
    }
    return top.takeUnretainedValue()
  }
}

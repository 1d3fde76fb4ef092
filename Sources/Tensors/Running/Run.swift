// Running the tape: gradients flow from the roots down to the leaves, iteratively, in falling order of the nodes'
// numbers. A heap of pending nodes replaces dependency counts, since consumers always have larger numbers.

import CKernels

/// One backward run.
struct Run {
  let options: BackwardOptions
  /// Whether formulas are made of operations: the gradients' own computation is recorded, or gets tangents.
  private let isDifferentiable: Bool
  let number: UInt32
  /// The script's line that started it.
  private let site: UInt32
  private var pending = PendingNodes()
  /// What keeps the graph alive while it is walked, whatever hooks do to the roots.
  private var root = Edge.none
  private var moreRoots: [Edge] = []
  /// With given inputs: which nodes lead to one, which outputs and leaves are captured, and what was.
  private var relevant: Set<ObjectIdentifier>?
  private var captureNodes: [CaptureKey: [Int]] = [:]
  private var captureLeaves: [ObjectIdentifier: [Int]] = [:]
  private var accumulating = true
  private(set) var captured: [Tensor?] = []
  /// Leaves whose hooks wait for the sum of what arrives, or that are captured.
  private var hooked: [(leaf: Tensor, gradient: Tensor)] = []
  /// How many gradients hooked leaves may still get: their hooks run when the last one has come.
  private var expected: [ObjectIdentifier: Int] = [:]
  /// An outer run's pending gradients on nodes that this (reentrant) run visits.
  private var displaced: [(node: Node, run: UInt32, pending: Tensor?, more: [Tensor?])] = []
  private var detectsAnomaly = false

  private struct CaptureKey: Hashable {
    let node: ObjectIdentifier
    let index: Int32
  }

  init(_ options: BackwardOptions) {
    self.options = options
    isDifferentiable = options.createGraph || TangentLevels.areInForce
    number = RunNumber.fresh()
    site = Site.current
    let context = Context.current
    context.pointee.lastRun = number
    context.pointee.lastBackward = site
  }

  // MARK: Starting

  /// Gives a root its gradient, 1 where none is given.
  private mutating func seed(_ root: Tensor, _ given: Tensor?, at position: Int = 0, _ operation: String) throws {
    guard try root.feeds() else {
      throw TensorError(.autograd, "", "element \(position) of tensors does not require grad and does not have a grad_fn")
    }
    var gradient: Tensor
    if let given {
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
      gradient = try Tensor.filled(root.shape, .real(1), dtype: root.dtype)
    }
    let edge = root.edge
    if position == 0 { self.root = edge } else { moreRoots.append(edge) }
    try deliver(&gradient, to: EdgeTarget(edge))
  }

  /// Confines the run to what leads from the roots to `inputs`.
  mutating func restrict(to inputs: [Tensor], roots: [Tensor], accumulating: Bool) throws {
    guard !inputs.isEmpty else {
      throw TensorError(.argument, accumulating ? "backward" : "grad", "the list of inputs is empty")
    }
    self.accumulating = accumulating
    captured = Array(repeating: nil, count: inputs.count)
    for (position, input) in inputs.enumerated() {
      _ = try input.feeds()
      switch input.edge {
      case .none:
        throw TensorError(
          .autograd, accumulating ? "backward" : "grad",
          "input \(index: position) does not require grad, so nothing has a gradient with respect to it")
      case .leaf(let leaf): captureLeaves[ObjectIdentifier(leaf), default: []].append(position)
      case .node(let node, let index):
        if accumulating { try input.retainGrad() }
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
        let edges = edges(of: node)
        if top.next < edges.count {
          stack[stack.count - 1].next += 1
          visit(edges[top.next])
        } else {
          stack.removeLast()
          var leads = capturedNodes.contains(ObjectIdentifier(node))
          for index in 0..<edges.count where !leads { leads = isWanted(edges[index], relevant) }
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

  /// The node that computes in `node`'s turn: what a fused one stands for, if somebody had looked before the run began.
  @inline(__always)
  private func runner(of node: Node) -> Node {
    guard let extras = node.extras, let expansion = extras.expansion, extras.expandedAt < number else { return node }
    return expansion
  }

  private func edges(of node: Node) -> Edges { runner(of: node).edges }

  /// Runs backward from several roots.
  mutating func execute(_ roots: [Tensor], _ gradients: [Tensor?], _ operation: String) throws {
    guard gradients.count == roots.count else {
      throw TensorError(.argument, operation, "\(roots.count) tensors but \(gradients.count) gradients were given")
    }
    try execute { run in
      for (position, root) in roots.enumerated() { try run.seed(root, gradients[position], at: position, operation) }
    }
  }

  /// The same from one, as every training step does.
  @inline(__always)
  mutating func execute(_ root: Tensor, _ gradient: Tensor?) throws {
    try execute { try $0.seed(root, gradient, "backward") }
  }

  @inline(__always)
  private mutating func execute(seeding seed: (inout Run) throws -> Void) throws {
    let saved = GradMode.bits
    let caller = Site.caller
    defer {
      GradMode.bits = saved
      Site.caller = caller
      restoreDisplaced()
    }
    try seed(&self)
    if LeafHooks.areInUse { expectArrivals() }
    detectsAnomaly = saved & GradMode.anomaly != 0
    GradMode.setEnabled(options.createGraph)
    // What formulas compute is nobody's line, and need not look for one, unless it is recorded.
    if !options.createGraph { Site.caller = nil }
    do {
      if !expected.isEmpty { for root in [root] + moreRoots { try countArrival(root) } }
      while let node = pending.pop() { try turn(node) }
      // Those that expected more than came.
      for (leaf, gradient) in hooked { try finish(leaf, gradient) }
    } catch {
      throw explained(error)
    }
  }

  private mutating func turn(_ node: Node) throws {
    if relevant == nil, node.extras == nil, !detectsAnomaly, !node.flags.contains(.multipleOutputs) {
      // The usual case: one output, no hooks, every input wanted.
      guard node.pending.isThere else { return }
      var pass = Backward(taking: node, createsGraph: isDifferentiable)
      try node.run(&pass)
      return try self.pass(on: &pass, from: node)
    }
    return try fullTurn(node)
  }

  /// Passes the inputs' gradients on.
  @inline(__always)
  private mutating func pass(on pass: inout Backward, from node: Node) throws {
    pass.finish()
    if !options.retainGraph { node.releaseKept(at: site) }
    for index in 0..<node.edges.count where pass.needs(index) {
      guard var gradient = pass.take(index) else { continue }
      if let forms = node.forms { gradient = try fitted(gradient, to: forms.forms[index]) }
      try deliver(&gradient, to: node.edges.target(index))
    }
    if !expected.isEmpty { try countArrivals(from: node) }
  }

  /// Undoes broadcasting and promotion.
  private func fitted(_ gradient: Tensor, to form: (shape: Shape, dtype: DType?)) throws -> Tensor {
    let summed = gradient.shape == form.shape ? gradient : try gradient.summed(to: form.shape)
    guard let dtype = form.dtype, dtype != summed.dtype else { return summed }
    return try summed.to(dtype)
  }

  private mutating func fullTurn(_ node: Node) throws {
    var gradients = [node.pending.take()] + node.pendingMore
    node.pendingMore = []
    while gradients.count < node.outputCount { gradients.append(nil) }
    let wanted = wantedInputs(of: node)
    // As in PyTorch, asked-for gradients are those before the hooks where the run goes on from the node, and those after
    // them where it ends there.
    if wanted != 0 { capture(node, gradients) }
    if let extras = node.extras { try runHooks(extras, &gradients) }
    guard wanted != 0 else { return capture(node, gradients) }
    if let hooks = node.extras?.hooks.before {
      for hook in hooks {
        gradients = try hook.seen([], gradients, replacing: gradients, "prehook of \(node.name)")
      }
    }
    guard let g = gradients.first(where: { $0 != nil }) ?? nil else { return }

    let isSeveral = node.flags.contains(.multipleOutputs)
    let runner = runner(of: node)
    var pass = Backward(
      runner, gradients[0] ?? g, isSeveral ? gradients : [], createsGraph: isDifferentiable, wanted: wanted)
    try runner.run(&pass)
    if detectsAnomaly { try pass.checkNumbers(startedAt: site) }
    if let hooks = node.extras?.hooks.after, !hooks.isEmpty { try run(hooks, on: &pass, node, gradients) }
    if !options.retainGraph {
      node.releaseKept(at: site)
      node.extras?.expansion?.releaseKept(at: site)
    }
    try self.pass(on: &pass, from: runner)
  }

  /// The inputs whose gradients the run wants, by bits; those beyond 63 always.
  private func wantedInputs(of node: Node) -> UInt64 {
    guard let relevant else { return ~0 }
    guard relevant.contains(ObjectIdentifier(node)) else { return 0 }
    var wanted: UInt64 = 0
    let edges = edges(of: node)
    for index in 0..<edges.count where isWanted(edges[index], relevant) { wanted |= 1 << UInt64(min(index, 63)) }
    return wanted
  }

  /// Adds a gradient to what waits at the other end of an edge. Inout, since whoever takes it may use its buffer if the caller's
  /// is the only reference.
  @inline(__always)
  private mutating func deliver(_ gradient: inout Tensor, to edge: EdgeTarget) throws {
    switch edge {
    case .none: return
    case .leaf(let leaf): try leaf._withUnsafeGuaranteedRef { try arrive(&gradient, at: $0) }
    case .node(let node, let index): try node._withUnsafeGuaranteedRef { try deliver(&gradient, to: $0, index) }
    }
  }

  @inline(__always)
  private mutating func deliver(_ gradient: inout Tensor, to node: Node, _ index: Int32) throws {
    if node.run != number {
      if node.pending.isThere || !node.pendingMore.isEmpty {
        displaced.append((node, node.run, node.pending.take(), node.pendingMore))
        node.pendingMore = []
      }
      node.run = number
      pending.push(node)
    } else if !node.pending.isThere, node.pendingMore.isEmpty {
      pending.push(node)
    }
    if index == 0 {
      var waiting = node.pending.take()
      node.pending.value = try sum(&waiting, gradient)
    } else {
      var waiting: Tensor?
      node.exchangePending(Int(index), &waiting)
      waiting = try sum(&waiting, gradient)
      node.exchangePending(Int(index), &waiting)
    }
  }

  /// a + b, into a's buffer where nobody else holds it.
  @inline(__always)
  private func sum(_ a: inout Tensor?, _ b: Tensor) throws -> Tensor {
    let isOurs = isKnownUniquelyReferenced(&a)
    guard let old = a else { return b }
    guard old.shape == b.shape else {
      throw TensorError(
        .shape, "backward", "gradients of shapes \(old.shape) and \(b.shape) of one tensor met: something replaced the elements of one")
    }
    if isOurs, !isDifferentiable, old.dtype == b.dtype, old.isContiguous, b.isContiguous, isKnownUniquelyReferenced(&old.storage) {
      try Kernels.binary(MG_ADD, old.dtype, old.count, old.data, b.data, into: old.data)
      return old
    }
    return try old + b
  }

  // MARK: Leaves

  @inline(__always)
  private mutating func arrive(_ gradient: inout Tensor, at leaf: Tensor) throws {
    if relevant != nil, captureLeaves[ObjectIdentifier(leaf)] == nil { return }
    if relevant == nil || accumulating, leaf.extras == nil {
      return try accumulate(&gradient, into: leaf)
    }
    // Hooks see the sum of everything that arrives, and so do captured inputs.
    if let position = hooked.firstIndex(where: { $0.leaf === leaf }) {
      hooked[position].gradient = try hooked[position].gradient + gradient
    } else {
      hooked.append((leaf, gradient))
    }
  }

  /// Counts the edges that lead into leaves with hooks. Done only where some leaf has ever had a hook, since it walks the
  /// whole graph.
  private mutating func expectArrivals() {
    for leaf in edgesToLeaves(through: { relevant?.contains(ObjectIdentifier($0)) ?? true }) where leaf.extras?.hasHooks ?? false {
      expected[ObjectIdentifier(leaf), default: 0] += 1
    }
  }

  /// Leaves that the roots lead to by way of nodes that `enters` admits, each as often as an edge leads to it.
  private func edgesToLeaves(through enters: (Node) -> Bool = { _ in true }) -> [Tensor] {
    var leaves: [Tensor] = []
    var seen = Set<ObjectIdentifier>()
    var stack = [root] + moreRoots
    while let edge = stack.popLast() {
      switch edge {
      case .none: break
      case .leaf(let leaf): leaves.append(leaf)
      case .node(let node, _):
        guard seen.insert(ObjectIdentifier(node)).inserted, enters(node) else { continue }
        let edges = edges(of: node)
        for index in 0..<edges.count { stack.append(edges[index]) }
      }
    }
    return leaves
  }

  private mutating func countArrivals(from node: Node) throws {
    for index in 0..<node.edges.count { try countArrival(node.edges[index]) }
  }

  /// Notes that an edge has given what it had to give, if only nothing.
  private mutating func countArrival(_ edge: Edge) throws {
    guard case .leaf(let leaf) = edge, let count = expected[ObjectIdentifier(leaf)] else { return }
    expected[ObjectIdentifier(leaf)] = count == 1 ? nil : count - 1
    guard count == 1, let position = hooked.firstIndex(where: { $0.leaf === leaf }) else { return }
    let gradient = hooked.remove(at: position).gradient
    try finish(leaf, gradient)
  }

  private mutating func finish(_ leaf: Tensor, _ gradient: Tensor) throws {
    var gradient = gradient
    let extras = leaf.extras
    for hook in extras?.hooks ?? [] { gradient = try hook.seen(gradient) }
    if relevant != nil, !accumulating {
      for position in captureLeaves[ObjectIdentifier(leaf)] ?? [] { captured[position] = gradient }
      return
    }
    for hook in extras?.nodeHooks.before ?? [] {
      guard let only = try hook.seen([], [gradient], replacing: [gradient], "prehook of AccumulateGrad")[0] else { return }
      gradient = only
    }
    var given = gradient
    try accumulate(&given, into: leaf)
    for hook in extras?.postAccumulateHooks ?? [] { _ = try hook.body(leaf) }
    for hook in extras?.nodeHooks.after ?? [] { _ = try hook.body([], [gradient]) }
  }

  /// Adds to `.grad`: in place, so that it stays the same tensor, unless the gradient is itself to be differentiated.
  @inline(__always)
  private func accumulate(_ gradient: inout Tensor, into leaf: Tensor) throws {
    guard leaf.node == nil else {
      throw TensorError(
        .autograd, "backward",
        "a leaf of shape \(leaf.shape) has since been written to with something that has a history, so that it is no leaf any more")
    }
    // A leaf frozen since the forward pass gets nothing.
    guard leaf.flags.contains(.requiresGrad) else { return }
    guard gradient.shape == leaf.shape else {
      throw TensorError(
        .shape, "backward",
        "a gradient of shape \(gradient.shape) came to a leaf of shape \(leaf.shape): its elements were replaced since the forward pass")
    }
    leaf.reachedBy = number
    guard let old = leaf.gradient else {
      if isDifferentiable {
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
    guard old.shape == gradient.shape, !old.layout.overlaps else {
      throw TensorError(
        .shape, "backward",
        "a gradient of shape \(gradient.shape) cannot be added to the .grad of a leaf of shape \(leaf.shape), which has shape \(old.shape)\(old.layout.overlaps ? " and elements that share memory" : "")"
      )
    }
    if isDifferentiable {
      leaf.gradient = try old + gradient
    } else if old.isContiguous, gradient.isContiguous, old.dtype == gradient.dtype {
      try Kernels.binary(MG_ADD, old.dtype, old.count, old.data, gradient.data, into: old.data)
      old.bumpVersion()
    } else {
      try old.assign(try old + gradient)
    }
  }

  private mutating func capture(_ node: Node, _ gradients: [Tensor?]) {
    guard !captureNodes.isEmpty, !accumulating else { return }
    for (index, gradient) in gradients.enumerated() {
      for position in captureNodes[CaptureKey(node: ObjectIdentifier(node), index: Int32(index))] ?? [] {
        captured[position] = gradient
      }
    }
  }

  // MARK: Hooks

  /// Those of the outputs' tensors, then what retains their gradients.
  private func runHooks(_ extras: NodeExtras, _ gradients: inout [Tensor?]) throws {
    for (index, hook) in extras.outputHooks where Int(index) < gradients.count {
      guard let gradient = gradients[Int(index)] else { continue }
      gradients[Int(index)] = try hook.seen(gradient)
    }
    for (index, weak) in extras.retaining where Int(index) < gradients.count {
      guard let tensor = weak.tensor, let gradient = gradients[Int(index)] else { continue }
      tensor.reachedBy = number
      tensor.gradient = try tensor.gradient.map { try $0 + gradient } ?? (options.createGraph ? gradient : gradient.copied())
    }
  }

  /// Those that follow a node's formula.
  private func run(_ hooks: [NodeHook], on pass: inout Backward, _ node: Node, _ gradients: [Tensor?]) throws {
    let runner = pass.node
    var inputs: [Tensor?] = []
    for index in 0..<runner.edges.count {
      let gradient = pass.take(index)
      inputs.append(try runner.forms.flatMap { forms in try gradient.map { try fitted($0, to: forms.forms[index]) } } ?? gradient)
    }
    for hook in hooks {
      inputs = try hook.seen(inputs, gradients, replacing: inputs, "hook of \(node.name)")
    }
    for (index, gradient) in inputs.enumerated() { pass[index] = gradient }
  }

  // MARK: What goes wrong

  /// The error, with what had been accumulated before it.
  private func explained(_ error: any Error) -> any Error {
    let leaves = reachedLeaves()
    guard !leaves.isEmpty else { return error }
    let shapes = leaves.prefix(4).map { "\($0.shape)" }.joined(separator: ", ") + (leaves.count > 4 ? ", …" : "")
    let note =
      "before that, this backward had added to the .grad of \(leaves.count) lea\(leaves.count == 1 ? "f" : "ves") (of shape \(shapes)); clear them before you run it again"
    if let error = error as? TensorError {
      return TensorError(error.kind, error.operation, error.facts.followed(by: "; " + note))
    }
    return PartialBackward(cause: error, note: note)
  }

  /// The leaves that this run gave a gradient to: not noted as it goes, which would cost every run, but found afterwards.
  private func reachedLeaves() -> [Tensor] {
    var seen = Set<ObjectIdentifier>()
    return edgesToLeaves().filter { $0.reachedBy == number && seen.insert(ObjectIdentifier($0)).inserted }
  }

  /// After an error, too: pending gradients of this run are dropped and the outer run's put back.
  private mutating func restoreDisplaced() {
    while let node = pending.pop() {
      node.pending.value = nil
      node.pendingMore = []
    }
    for (node, run, pending, more) in displaced {
      node.run = run
      node.pending.value = pending
      node.pendingMore = more
    }
  }
}

// The base of the optimizers: groups of parameters with options, the walk over them, and what it leaves alone.

import Tensors

/// Moves parameters along their gradients.
///
/// A step touches only parameters that require grad and have a gradient: a frozen one keeps its bits, whatever its
/// gradient, moments or weight decay. How it moves the others is its method's part, see Method.swift; it is
/// made by its kind.
public class Optimizer {
  /// The method that it follows.
  public final let kind: OptimizerKind
  // Unchecked here and in the groups: a step reads these for every parameter, and runs no code but its own.
  /// In the order in which they were added.
  @exclusivity(unchecked) public internal(set) final var groups: [Group] = []
  final let defaults: [OptionValue]
  /// What a method remembers of all parameters together, where it remembers such a thing.
  final var memory: (any OptimizerMemory)?
  /// Whether a step was taken since it was made; schedulers ask.
  @exclusivity(unchecked) final var hasStepped = false
  @exclusivity(unchecked) final var preHooks: [(key: Int, run: StepHook)] = []
  @exclusivity(unchecked) final var postHooks: [(key: Int, run: StepHook)] = []
  final var hooksSoFar = 0
  /// Whether it was said that all is frozen, and that frozen parameters have gradients.
  private final var (hasToldIdle, hasToldStale) = (false, false)

  /// What runs before or after each step.
  public typealias StepHook = (Optimizer) throws -> Void

  /// The options of groups that are given none.
  public final var defaultOptions: [(name: String, value: OptionValue)] { zip(kind.options, defaults).map { ($0.name, $1) } }

  /// An optimizer without parameters yet. Throws when an option is unknown.
  init(_ kind: OptimizerKind, _ options: [String: OptionValue]) throws {
    self.kind = kind
    defaults = try kind.values(options, over: kind.options.map(\.default))
  }

  /// Adds parameters, with the options given here in place of the optimizer's own.
  ///
  /// Throws for no parameters, one that is there already or was computed by an operation, and options that are unknown
  /// or impossible.
  public final func addGroup(_ parameters: [Tensor], _ options: [String: OptionValue] = [:]) throws {
    let extras = options.filter { Group.scheduledNames.contains($0.key) && kind.position(of: $0.key) == nil }
    let values = try kind.values(options.filter { extras[$0.key] == nil }, over: defaults)
    guard !parameters.isEmpty else { throw TensorError(.argument, kind.name, "the list of parameters is empty") }
    var held = Set(groups.flatMap(\.parameters).map(ObjectIdentifier.init))
    for (position, parameter) in parameters.enumerated() {
      guard held.insert(ObjectIdentifier(parameter)).inserted else {
        throw TensorError(.argument, kind.name, "parameter \(index: position), of shape \(parameter.shape), is there already")
      }
      guard parameter.isLeaf else {
        throw TensorError(
          .autograd, kind.name,
          "parameter \(index: position), of shape \(parameter.shape), was computed by an operation; only leaves can be optimized")
      }
      guard parameter.dtype.isFloating else {
        throw TensorError(
          .dtype, kind.name, "parameter \(index: position) is a tensor of \(parameter.dtype); one of a float dtype is needed")
      }
    }
    if let checked = kind.checksParameters { try checked(parameters) }
    if kind.wholeMethod != nil, !groups.isEmpty {
      throw TensorError(.argument, kind.name, "there is one group of parameters, since a step moves all of them together")
    }
    groups.append(try Group(kind, parameters, values, extras))
    for parameter in parameters { parameter.isOptimized = true }
  }

  // MARK: Steps

  /// Moves every parameter that requires grad and has a gradient. Outside the graph; counts as a write to each.
  public final func step() throws {
    guard kind.wholeMethod == nil else {
      throw TensorError(
        .argument, "\(kind.name).step", "a function that computes the loss is needed, since a step looks at it several times")
    }
    try hooked { try move() }
  }

  /// The same after running a closure that clears the gradients, computes a loss and its gradients, and returns the loss.
  /// Some methods run it several times. Returns the first loss.
  public final func step<Loss>(_ closure: () throws -> Loss, value: (Loss) throws -> Double) throws -> Loss {
    try hooked {
      guard let method = kind.wholeMethod else {
        let loss = try closure()
        try move()
        return loss
      }
      for group in groups { if let problem = group.problem { throw problem } }
      var first: Loss?
      try method.step(self) {
        let loss = try closure()
        if first == nil { first = loss }
        return try value(loss)
      }
      let slots = groups.flatMap(\.slots)
      let isIdle = slots.allSatisfy { !$0.parameter.requiresGrad }
      if isIdle || slots.contains(where: { !$0.parameter.requiresGrad && $0.parameter.grad != nil }) { tell(isIdle: isIdle) }
      return try first ?? closure()
    }
  }

  /// The same for a closure that gives a tensor of one element.
  @discardableResult
  public final func step(_ closure: () throws -> Tensor) throws -> Tensor { try step(closure) { try $0.item().real } }

  @inline(__always)
  private final func hooked<Result>(_ body: () throws -> Result) throws -> Result {
    for hook in preHooks { try hook.run(self) }
    hasStepped = true
    let result = try body()
    for hook in postHooks { try hook.run(self) }
    return result
  }

  /// Adds what runs before each step. The result takes it away again.
  public final func addPreHook(_ hook: @escaping StepHook) -> () -> Void { add(hook, to: \.preHooks) }

  /// Adds what runs after each step. The result takes it away again.
  public final func addPostHook(_ hook: @escaping StepHook) -> () -> Void { add(hook, to: \.postHooks) }

  private final func add(
    _ hook: @escaping StepHook, to list: ReferenceWritableKeyPath<Optimizer, [(key: Int, run: StepHook)]>
  ) -> () -> Void {
    hooksSoFar += 1
    let key = hooksSoFar
    self[keyPath: list].append((key, hook))
    return { [weak self] in self?[keyPath: list].removeAll { $0.key == key } }
  }

  /// Throws before anything moves where a parameter would that is guarded.
  private final func checkGuards() throws {
    for group in groups {
      for slot in group.slots where slot.parameter.requiresGrad && slot.parameter.grad != nil {
        try slot.parameter.checkGuard(by: "\(kind.name).step")
      }
    }
  }

  private final func move() throws {
    if WriteGuard.areThere { try checkGuards() }
    var (isIdle, meetsStale) = (true, false)
    /// One that is not moved: it has no gradient, or is frozen.
    func pass(over parameter: Tensor, _ slot: Slot) throws {
      if parameter.requiresGrad { isIdle = false } else if parameter.grad != nil { meetsStale = true }
      try checkElements(slot)
    }
    for index in groups.indices {
      let group = groups[index]
      if let problem = group.problem { throw problem }
      if kind.usesTensors, let method = group.method as? any TensorMethod {
        try group.forEachSlot { parameter, slot in
          guard parameter.requiresGrad, let gradient = parameter.grad else { return try pass(over: parameter, slot) }
          isIdle = false
          try check(parameter, gradient)
          try withNoGrad { try method.update(parameter, gradient, &slot, of: group) }
        }
        continue
      }
      let method = group.method
      try group.forEachSlot { parameter, slot in
        guard parameter.requiresGrad, let gradient = parameter.grad else { return try pass(over: parameter, slot) }
        isIdle = false
        if let target = UpdateTarget(parameter, gradient) {
          try Optimizer.update(target, &slot, method, group)
          parameter.bumpVersion()
        } else {
          try updateApart(parameter, gradient, &slot, group)
        }
      }
    }
    if isIdle || meetsStale { tell(isIdle: isIdle) }
  }

  /// Says, once for each, that a step moved nothing since all is frozen, and which frozen parameters have gradients nonetheless.
  private final func tell(isIdle: Bool) {
    let slots = groups.flatMap(\.slots)
    func name(_ position: Int) -> String {
      let parameter = slots[position].parameter
      return parameter.extras?.name ?? "parameter \(position + 1), of shape \(parameter.shape)"
    }
    if isIdle, !slots.isEmpty, !hasToldIdle {
      hasToldIdle = true
      let names = slots.indices.prefix(8).map(name).joined(separator: ", ") + (slots.count > 8 ? ", …" : "")
      Notice.post("\(kind.name).step: nothing is moved, since all that the optimizer holds is frozen (\(names))")
    }
    let stale = slots.indices.filter { !slots[$0].parameter.requiresGrad && slots[$0].parameter.grad != nil }
    if !stale.isEmpty, !hasToldStale {
      hasToldStale = true
      let names = stale.prefix(8).map(name).joined(separator: ", ") + (stale.count > 8 ? ", …" : "")
      Notice.post(
        "\(kind.name).step: \(names) \(stale.count == 1 ? "is" : "are") frozen, and \(stale.count == 1 ? "has a gradient" : "have gradients") that came later: no step moves \(stale.count == 1 ? "it" : "them"), and zero_grad() clears \(stale.count == 1 ? "it" : "them")"
      )
    }
  }

  /// One parameter's update. One that fails (for want of memory) was none: the next is counted as it would have been.
  @inline(__always)
  private static func update(_ target: UpdateTarget, _ slot: inout Slot, _ method: any Method, _ group: Group) throws {
    let isFirst = slot.moments.first.map { $0 == nil } ?? false
    slot.steps += 1
    do {
      try method.update(target, &slot, of: group)
    } catch {
      slot.steps -= 1
      if isFirst { slot.moments = ContiguousArray(repeating: nil, count: slot.moments.count) }
      throw error
    }
  }

  /// The same for tensors whose elements lie apart: packed copies are updated, and the result copied back.
  private final func updateApart(_ parameter: Tensor, _ gradient: Tensor, _ slot: inout Slot, _ group: Group) throws {
    try check(parameter, gradient)
    guard !parameter.layout.overlaps else {
      throw TensorError(
        .autograd, "\(kind.name).step",
        "a parameter of shape \(parameter.shape) has elements that share memory (it was expanded); clone() it first")
    }
    let (packed, copy) = (try parameter.packed(), try gradient.copied())
    try withExtendedLifetime((packed, copy)) { try Optimizer.update(UpdateTarget(packed, copy)!, &slot, group.method, group) }
    if packed === parameter { parameter.bumpVersion() } else { try parameter.assign(packed) }
  }

  private final func check(_ parameter: Tensor, _ gradient: Tensor) throws {
    guard gradient.shape == parameter.shape else {
      throw TensorError(
        .shape, "\(kind.name).step", "a parameter of shape \(parameter.shape) has a gradient of shape \(gradient.shape)")
    }
  }

  /// A parameter that was released has no gradient; to pass over it would hide that.
  @inline(__always)
  private final func checkElements(_ slot: Slot) throws {
    guard slot.hadElements, slot.parameter.count == 0 else { return }
    let parameters = groups.flatMap(\.slots)
    let position = parameters.firstIndex { $0.parameter === slot.parameter } ?? 0
    throw TensorError(
      .argument, "\(kind.name).step",
      "parameter \(index: position) has no elements any more (they were released by free()); make an optimizer without it")
  }

  /// Clears the gradients of all parameters, or fills them with zeros.
  public final func zeroGrad(setToNone: Bool = true) throws {
    for index in groups.indices {
      try groups[index].forEachSlot { parameter, _ in try parameter.clearGrad(setToNone: setToNone) }
    }
  }
}

extension Optimizer {
  /// Parameters that share options.
  public final class Group {
    /// The optimizer's method.
    public let kind: OptimizerKind
    /// The parameters, with what is remembered of each.
    @exclusivity(unchecked) public internal(set) var slots: [Slot]
    private var values: [OptionValue]
    /// What schedulers keep beside the options: rates to start from, limits of rates and momenta. By name.
    private var extras: [String: OptionValue] = [:]
    /// Whether the learning rate is a scheduler's, which may be below 0 by rounding: it is not checked again.
    private var isRateScheduled = false
    /// Made from the values.
    @exclusivity(unchecked) private(set) var method: any Method
    /// What was wrong with an option that was assigned; the next step throws it.
    @exclusivity(unchecked) fileprivate var problem: TensorError?

    init(_ kind: OptimizerKind, _ parameters: [Tensor], _ values: [OptionValue], _ extras: [String: OptionValue]) throws {
      self.kind = kind
      method = try kind.method(values)
      slots = parameters.map { Slot($0, kind) }
      self.values = values
      self.extras = extras
    }

    /// The parameters in the order in which they were given.
    public var parameters: [Tensor] { slots.map(\.parameter) }

    /// In alphabetical order, in which they print; with what schedulers keep.
    public var optionNames: [String] { (kind.options.map(\.name) + extras.keys).sorted() }

    /// An option's value; nil when there is none of that name. Assigning a value that is not possible makes the next
    /// step throw; `set(_:_:)` throws at once.
    public subscript(option: String) -> OptionValue? {
      get { kind.position(of: option).map { values[$0] } ?? extras[option] }
      set {
        do { try set(option, newValue ?? .none) } catch { problem = error as? TensorError }
      }
    }

    /// Changes an option from the next step on. Throws for an unknown name and an impossible value.
    public func set(_ option: String, _ value: OptionValue) throws {
      if kind.position(of: option) == nil, Group.scheduledNames.contains(option) {
        guard value.number != nil else { throw TensorError(.argument, kind.name, "\(option) must be a number, got \(value.text)") }
        extras[option] = value
        return
      }
      var changed = values
      changed[try kind.checkedPosition(of: option)] = value
      try replace(changed, trustingRate: isRateScheduled && option != "lr")
      if option == "lr" { isRateScheduled = false }
    }

    /// The names that schedulers keep numbers under.
    public static let scheduledNames: Set = ["initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr"]

    /// What a scheduler sets. A rate is taken as it is.
    func setScheduled(_ option: String, _ value: OptionValue) {
      guard let position = kind.position(of: option) else {
        extras[option] = value
        return
      }
      if option == "lr" { isRateScheduled = true }
      var changed = values
      changed[position] = value
      do { try replace(changed, trustingRate: isRateScheduled) } catch { problem = error as? TensorError }
    }

    /// Calls `body` with every parameter and its slot. The slots keep the parameters alive, so this does not count
    /// references, which would take longer than the rest of the walk.
    @inline(__always)
    fileprivate func forEachSlot(_ body: (Tensor, inout Slot) throws -> Void) rethrows {
      try slots.withUnsafeMutableBufferPointer { slots in
        for position in slots.indices {
          try Unmanaged.passUnretained(slots[position].parameter)._withUnsafeGuaranteedRef { try body($0, &slots[position]) }
        }
      }
    }

    func replace(_ changed: [OptionValue], trustingRate: Bool = false) throws {
      method = try kind.method(changed, trustingRate: trustingRate)
      values = changed
      problem = nil
    }

    func replace(extras: [String: OptionValue]) { self.extras = extras }

    /// The buffer of a parameter's moment, by its place among the kind's: the one at hand, or a new one filled with `value`.
    /// Throws when the parameter has changed its size since that was made.
    @inline(__always)
    func moment(_ slot: inout Slot, _ place: Int, filledWith value: Double = 0) throws -> UnsafeMutableRawPointer {
      if let buffer = slot.moments[place], buffer.count == slot.parameter.count { return buffer.data }
      return try freshMoment(&slot.moments[place], slot.parameter, value)
    }

    private func freshMoment(_ buffer: inout Tensor?, _ parameter: Tensor, _ value: Double) throws -> UnsafeMutableRawPointer {
      if let buffer {
        throw TensorError(
          .shape, "\(kind.name).step", "a parameter of shape \(parameter.shape) had shape \(buffer.shape) when its moments were made")
      }
      let made = try Tensor.filled(parameter.shape, .real(value), dtype: parameter.dtype)
      buffer = made
      return made.data
    }
  }

  /// A parameter and what the optimizer remembers of it.
  public struct Slot {
    /// The tensor that steps move.
    public let parameter: Tensor
    /// Updates so far, the one under way included.
    public internal(set) var steps = 0
    /// The moments, by the kind's `stateNames`; nil until the first update that needs them.
    public internal(set) var moments: ContiguousArray<Tensor?>
    /// Running numbers, by the kind's `numberNames`.
    public internal(set) var numbers: [Double]

    /// Whether it had elements when it was taken in.
    let hadElements: Bool

    init(_ parameter: Tensor, _ kind: OptimizerKind) {
      self.parameter = parameter
      hadElements = parameter.count > 0
      moments = ContiguousArray(repeating: nil, count: kind.stateNames.count)
      numbers = kind.numbers.map(\.start)
    }
  }
}

extension UpdateTarget {
  /// nil when parameter and gradient are not contiguous, of one shape, and apart in memory. They must outlive the target.
  @inline(__always)
  init?(_ parameter: Tensor, _ gradient: Tensor) {
    guard parameter.isContiguous, gradient.isContiguous, parameter.shape == gradient.shape else { return nil }
    // A gradient in the parameter's own memory may only be the parameter itself.
    let distance = (gradient.data - parameter.data).magnitude
    guard distance == 0 || distance >= parameter.count * parameter.dtype.size else { return nil }
    self.init(parameter.dtype, parameter.count, parameter: parameter.data, gradient: gradient.data)
  }
}

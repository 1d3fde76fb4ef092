// The base of the optimizers: groups of parameters with options, the walk over them, and what it leaves alone.

import Tensors

/// Moves parameters along their gradients.
///
/// A step touches only parameters that require grad and have a gradient: a frozen one keeps its bits, whatever its
/// gradient, moments or weight decay. How it moves the others is its method's part, see Method.swift; it is
/// made by its kind.
public final class Optimizer {
  /// The method that it follows.
  public let kind: OptimizerKind
  // Unchecked here and in the groups: a step reads these for every parameter, and runs no code but its own.
  /// In the order in which they were added.
  @exclusivity(unchecked) public internal(set) var groups: [Group] = []
  let defaults: [OptionValue]

  /// An optimizer without parameters yet. Throws when an option is unknown.
  init(_ kind: OptimizerKind, _ options: [String: OptionValue]) throws {
    self.kind = kind
    defaults = try kind.values(options, over: kind.options.map(\.default))
  }

  /// Adds parameters, with the options given here in place of the optimizer's own.
  ///
  /// Throws for no parameters, one that is there already or was computed by an operation, and options that are unknown
  /// or impossible.
  public func addGroup(_ parameters: [Tensor], _ options: [String: OptionValue] = [:]) throws {
    let values = try kind.values(options, over: defaults)
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
    groups.append(try Group(kind, parameters, values))
  }

  // MARK: Steps

  /// Moves every parameter that requires grad and has a gradient. Outside the graph; counts as a write to each.
  public func step() throws {
    for index in groups.indices {
      let group = groups[index]
      if let problem = group.problem { throw problem }
      let method = group.method
      try group.forEachSlot { parameter, slot in
        guard parameter.requiresGrad, let gradient = parameter.grad else { return }
        if let target = UpdateTarget(parameter, gradient) {
          try Optimizer.update(target, &slot, method, group)
          parameter.bumpVersion()
        } else {
          try updateApart(parameter, gradient, &slot, group)
        }
      }
    }
  }

  /// One parameter's update. One that fails (for want of memory) was none: the next is counted as it would have been.
  @inline(__always)
  private static func update(_ target: UpdateTarget, _ slot: inout Slot, _ method: any Method, _ group: Group) throws {
    let isFirst = slot.first == nil
    slot.steps += 1
    do {
      try method.update(target, &slot, of: group)
    } catch {
      slot.steps -= 1
      if isFirst { (slot.first, slot.second, slot.third) = (nil, nil, nil) }
      throw error
    }
  }

  /// The same for tensors whose elements lie apart: packed copies are updated, and the result copied back.
  private func updateApart(_ parameter: Tensor, _ gradient: Tensor, _ slot: inout Slot, _ group: Group) throws {
    guard gradient.shape == parameter.shape else {
      throw TensorError(
        .shape, "\(kind.name).step", "a parameter of shape \(parameter.shape) has a gradient of shape \(gradient.shape)")
    }
    guard !parameter.layout.overlaps else {
      throw TensorError(
        .autograd, "\(kind.name).step",
        "a parameter of shape \(parameter.shape) has elements that share memory (it was expanded); clone() it first")
    }
    let (packed, copy) = (try parameter.packed(), try gradient.copied())
    try withExtendedLifetime((packed, copy)) { try Optimizer.update(UpdateTarget(packed, copy)!, &slot, group.method, group) }
    if packed === parameter { parameter.bumpVersion() } else { try parameter.assign(packed) }
  }

  /// Clears the gradients of all parameters, or fills them with zeros.
  public func zeroGrad(setToNone: Bool = true) throws {
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
    /// Made from the values.
    @exclusivity(unchecked) fileprivate var method: any Method
    /// What was wrong with an option that was assigned; the next step throws it.
    @exclusivity(unchecked) fileprivate var problem: TensorError?

    init(_ kind: OptimizerKind, _ parameters: [Tensor], _ values: [OptionValue]) throws {
      self.kind = kind
      method = try kind.method(values)
      slots = parameters.map { Slot($0) }
      self.values = values
    }

    /// The parameters in the order in which they were given.
    public var parameters: [Tensor] { slots.map(\.parameter) }

    /// In alphabetical order, in which they print.
    public var optionNames: [String] { kind.options.map(\.name) }

    /// An option's value; nil when there is none of that name. Assigning a value that is not possible makes the next
    /// step throw; `set(_:_:)` throws at once.
    public subscript(option: String) -> OptionValue? {
      get { kind.position(of: option).map { values[$0] } }
      set {
        do { try set(option, newValue ?? .none) } catch { problem = error as? TensorError }
      }
    }

    /// Changes an option from the next step on. Throws for an unknown name and an impossible value.
    public func set(_ option: String, _ value: OptionValue) throws {
      var changed = values
      changed[try kind.checkedPosition(of: option)] = value
      try replace(changed)
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

    func replace(_ changed: [OptionValue]) throws {
      method = try kind.method(changed)
      values = changed
      problem = nil
    }

    /// The buffer of a parameter's moment: the one at hand, or a new one filled with `value`. Throws when the parameter
    /// has changed its size since that was made.
    @inline(__always)
    func moment(_ buffer: inout Tensor?, _ parameter: Tensor, filledWith value: Double = 0) throws -> UnsafeMutableRawPointer {
      if let buffer, buffer.count == parameter.count { return buffer.data }
      return try freshMoment(&buffer, parameter, value)
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
    public internal(set) var first: Tensor?
    public internal(set) var second: Tensor?
    public internal(set) var third: Tensor?
    /// A running number, where the method has one.
    public internal(set) var number = 1.0

    init(_ parameter: Tensor) { self.parameter = parameter }
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

// What an optimizer remembers, by PyTorch's names: what checkpoints hold.

import Tensors

extension Optimizer {
  /// One thing remembered of a parameter.
  public enum StateValue {
    /// A number: a count of steps.
    case number(Double)
    /// A tensor: a moment.
    case tensor(Tensor)
    /// Several: those of past steps.
    case tensors([Tensor])
    /// A place that holds nothing yet.
    case none
  }

  /// Everything that decides the next steps: the groups' options, and what is remembered of each parameter by its
  /// position among all of them.
  public struct State {
    /// The options of each group, and its parameters' positions.
    public var groups: [(options: [(name: String, value: OptionValue)], positions: [Int])]
    /// What is remembered of each parameter that was updated, by PyTorch's names.
    public var parameters: [(position: Int, values: [(name: String, value: StateValue)])]

    /// Nothing is checked before the state is loaded.
    public init(
      groups: [(options: [(name: String, value: OptionValue)], positions: [Int])],
      parameters: [(position: Int, values: [(name: String, value: StateValue)])]
    ) {
      self.groups = groups
      self.parameters = parameters
    }
  }

  /// What is remembered of a parameter: `step`, then the moments. Empty before its first update. The tensors are the
  /// optimizer's own.
  public func state(of parameter: Tensor) -> [(name: String, value: StateValue)] {
    for group in groups {
      if let slot = group.slots.first(where: { $0.parameter === parameter }) { return values(of: slot) }
    }
    return []
  }

  private func values(of slot: Slot) -> [(name: String, value: StateValue)] {
    if let memory, slot.parameter === groups.first?.slots.first?.parameter { return memory.values }
    guard slot.steps > 0 else { return [] }
    var values: [(name: String, value: StateValue)] = kind.countsSteps ? [("step", .number(Double(slot.steps)))] : []
    for (entry, number) in zip(kind.numbers, slot.numbers) { values.append((entry.name, .number(number))) }
    for (name, moment) in zip(kind.stateNames, slot.moments) {
      if let moment { values.append((name, .tensor(moment))) }
    }
    return values
  }

  /// All of the state. Its tensors are copies, which later steps leave alone.
  public func stateDict() throws -> State {
    var state = State(groups: [], parameters: [])
    var position = 0
    for group in groups {
      for (offset, slot) in group.slots.enumerated() {
        let values = try values(of: slot).map { entry in
          switch entry.value {
          case .tensor(let tensor): (entry.name, StateValue.tensor(try tensor.copied()))
          case .tensors(let list): (entry.name, StateValue.tensors(try list.map { try $0.copied() }))
          default: entry
          }
        }
        if !values.isEmpty { state.parameters.append((position + offset, values)) }
      }
      state.groups.append(
        (group.optionNames.map { ($0, group[$0]!) }, Array(position..<position + group.slots.count)))
      position += group.slots.count
    }
    return state
  }

  /// Continues from a state: options, step counts and moments. Throws when the groups or
  /// shapes differ, a name is unknown or an option impossible.
  public func loadStateDict(_ state: State) throws {
    func misfit(_ facts: TensorError.Facts) -> TensorError { TensorError(.argument, "\(kind.name).load_state_dict", facts) }
    let sizes = groups.map(\.slots.count)
    guard state.groups.map(\.positions.count) == sizes else {
      throw misfit("the state has groups of \(state.groups.map(\.positions.count)) parameters, the optimizer of \(sizes)")
    }
    var slots = groups.map { $0.slots.map { Slot($0.parameter, kind) } }
    var memory: (any OptimizerMemory)?
    let places = zip(state.groups.indices, state.groups).flatMap { index, group in
      group.positions.enumerated().map { (key: $0.element, value: (index, $0.offset)) }
    }
    let place = Dictionary(places.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    for (position, values) in state.parameters {
      guard let (group, offset) = place[position] else { throw misfit("no group holds parameter \(index: position) of the state") }
      if let method = kind.wholeMethod {
        memory = try method.restored(values, self)
        continue
      }
      for (name, value) in values { try restore(name, value, in: &slots[group][offset], misfit) }
      slots[group][offset].steps = max(slots[group][offset].steps, 1)
    }
    var prepared: [(values: [OptionValue], extras: [String: OptionValue])] = []
    for group in state.groups {
      let given = Dictionary(group.options.map { ($0.name, $0.value) }) { $1 }
      let extras = given.filter { Group.scheduledNames.contains($0.key) && kind.position(of: $0.key) == nil }
      let values = try kind.values(given.filter { extras[$0.key] == nil }, over: defaults)
      _ = try kind.method(values, trustingRate: true)
      prepared.append((values, extras))
    }
    for (index, group) in groups.enumerated() {
      try group.replace(prepared[index].values, trustingRate: true)
      group.replace(extras: prepared[index].extras)
      group.slots = slots[index]
    }
    self.memory = memory
  }

  private func restore(
    _ name: String, _ value: StateValue, in slot: inout Slot, _ misfit: (TensorError.Facts) -> TensorError
  ) throws {
    // Numbers may come as tensors of one element, as PyTorch keeps them.
    var value = value
    if case .tensor(let tensor) = value, tensor.count == 1, name == "step" || kind.numbers.contains(where: { $0.name == name }) {
      value = .number(try tensor.item().real)
    }
    switch value {
    case .number(let number) where name == "step":
      guard let steps = Int(exactly: number), steps >= 0 else { throw misfit("step = \(number) is no count") }
      slot.steps = steps
    case .number(let number):
      guard let place = kind.numbers.firstIndex(where: { $0.name == name }) else { throw misfit("\(name) is not remembered as a number") }
      slot.numbers[place] = number
    case .tensor(let tensor):
      guard let place = kind.stateNames.firstIndex(of: name) else {
        throw misfit("\(name) is not remembered; there is \(kind.stateNames.joined(separator: ", "))")
      }
      let shape = kind.stateShape(name, slot.parameter.shape)
      guard tensor.shape == shape else {
        let fit = shape == slot.parameter.shape ? "its parameter \(shape)" : "\(shape) fits its parameter of shape \(slot.parameter.shape)"
        throw misfit("\(name) has shape \(tensor.shape), \(fit)")
      }
      slot.moments[place] = try tensor.detach().to(slot.parameter.dtype).copied()
    case .none: return
    case .tensors: throw misfit("\(name) is not remembered as a list")
    }
  }

  /// Forgets what is remembered of a parameter, so that it continues as under a new optimizer.
  public func forget(_ parameter: Tensor) {
    for group in groups {
      for index in group.slots.indices where group.slots[index].parameter === parameter { group.slots[index] = Slot(parameter, kind) }
    }
  }

  /// Lets go of a parameter: it is not moved any more. A group may become empty.
  public func drop(_ parameter: Tensor) {
    for group in groups { group.slots.removeAll { $0.parameter === parameter } }
    parameter.isOptimized = false
  }
}

// What an optimizer remembers, by PyTorch's names: what checkpoints hold.

import Tensors

extension Optimizer {
  /// One thing remembered of a parameter.
  public enum StateValue {
    case number(Double)
    case tensor(Tensor)
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
    guard slot.steps > 0 else { return [] }
    var values: [(name: String, value: StateValue)] = kind.countsSteps ? [("step", .number(Double(slot.steps)))] : []
    if let name = kind.numberName { values.append((name, .number(slot.number))) }
    for (name, moment) in zip(kind.stateNames, [slot.first, slot.second, slot.third]) {
      if let moment { values.append((name, .tensor(moment))) }
    }
    return values
  }

  /// All of the state. Its tensors are copies, which later steps leave alone.
  public func stateDict() throws -> State {
    var state = State(groups: [], parameters: [])
    var position = 0
    for group in groups {
      for (offset, slot) in group.slots.enumerated() where slot.steps > 0 {
        let values = try values(of: slot).map { entry in
          if case .tensor(let tensor) = entry.value { (entry.name, StateValue.tensor(try tensor.copied())) } else { entry }
        }
        state.parameters.append((position + offset, values))
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
    var slots = groups.map { $0.slots.map { Slot($0.parameter) } }
    let places = zip(state.groups.indices, state.groups).flatMap { index, group in
      group.positions.enumerated().map { (key: $0.element, value: (index, $0.offset)) }
    }
    let place = Dictionary(places.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    for (position, values) in state.parameters {
      guard let (group, offset) = place[position] else { throw misfit("no group holds parameter \(index: position) of the state") }
      for (name, value) in values { try restore(name, value, in: &slots[group][offset], misfit) }
      slots[group][offset].steps = max(slots[group][offset].steps, 1)
    }
    let options = try state.groups.map { try kind.values(Dictionary($0.options.map { ($0.name, $0.value) }) { $1 }, over: defaults) }
    for (index, group) in groups.enumerated() {
      try group.replace(options[index])
      group.slots = slots[index]
    }
  }

  private func restore(
    _ name: String, _ value: StateValue, in slot: inout Slot, _ misfit: (TensorError.Facts) -> TensorError
  ) throws {
    switch value {
    case .number(let number) where name == "step":
      guard let steps = Int(exactly: number), steps >= 0 else { throw misfit("step = \(number) is no count") }
      slot.steps = steps
    case .number(let number) where name == kind.numberName: slot.number = number
    case .tensor(let tensor):
      guard tensor.shape == slot.parameter.shape else {
        throw misfit("\(name) has shape \(tensor.shape), its parameter \(slot.parameter.shape)")
      }
      let copy = try tensor.detach().to(slot.parameter.dtype).copied()
      switch kind.stateNames.firstIndex(of: name) {
      case 0: slot.first = copy
      case 1: slot.second = copy
      case 2: slot.third = copy
      default: throw misfit("\(name) is not remembered; there is \(kind.stateNames.joined(separator: ", "))")
      }
    default: throw misfit("\(name) is not remembered as a number")
    }
  }

  /// Forgets what is remembered of a parameter, so that it continues as under a new optimizer.
  public func forget(_ parameter: Tensor) {
    for group in groups {
      for index in group.slots.indices where group.slots[index].parameter === parameter { group.slots[index] = Slot(parameter) }
    }
  }

  /// Lets go of a parameter: it is not moved any more. A group may become empty.
  public func drop(_ parameter: Tensor) {
    for group in groups { group.slots.removeAll { $0.parameter === parameter } }
  }
}

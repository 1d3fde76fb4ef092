// What opt:state_dict() gives and opt:load_state_dict() takes: tables under PyTorch's names, in which parameters are numbered.

import LuaRuntime
import Tensors
import Training

enum OptimizerStates {
  // MARK: Out

  static func value(_ state: Optimizer.State) -> Value {
    let parameters = state.parameters.map { entry in
      (key: Value.integer(entry.position + 1), value: remembered(entry.values))
    }
    let groups = state.groups.map { group in
      let options = group.options.map { (key: Value.string($0.name), value: Optimizers.value($0.value)) }
      return Value.record(options + [(key: .string("params"), value: .list(group.positions.map { .integer($0 + 1) }))])
    }
    return .record(["state": .record(parameters), "param_groups": .list(groups)])
  }

  /// What is remembered of one parameter.
  static func remembered(_ values: [(name: String, value: Optimizer.StateValue)]) -> Value {
    .record(values.map { (key: .string($0.name), value: value($0.value)) })
  }

  private static func value(_ value: Optimizer.StateValue) -> Value {
    switch value {
    case .number(let number): Int(exactly: number).map(Value.integer) ?? .number(number)
    case .tensor(let tensor): .tensor(tensor)
    case .tensors(let list): .list(list.map { .tensor($0) })
    case .none: .nil
    }
  }

  // MARK: In

  static func state(_ slot: Slot, _ name: String) throws -> Optimizer.State {
    guard slot.type == .table else {
      throw ArgumentError("\(name): expected what state_dict() gives, got \(Decoder.found(slot))")
    }
    var state = Optimizer.State(groups: [], parameters: [])
    try slot.withField("param_groups") { groups in
      guard groups.type == .table else { throw ArgumentError("\(name): the state has no list 'param_groups'") }
      try groups.forEachElement { index, group in
        guard group.type == .table else {
          throw ArgumentError("\(name): element \(index) of param_groups is not a table but \(Decoder.found(group))")
        }
        state.groups.append(try self.group(group, "\(name): param_groups[\(index)]"))
      }
    }
    try slot.withField("state") { parameters in
      guard parameters.type == .table else { throw ArgumentError("\(name): the state has no table 'state'") }
      try parameters.forEachPair { key, values in
        guard let position = key.integer, values.type == .table, position > Int.min else {
          throw ArgumentError("\(name): 'state' must hold tables by number, but has the key \(Decoder.found(key))")
        }
        var entries: [(name: String, value: Optimizer.StateValue)] = []
        try values.forEachPair { key, value in
          guard let entry = key.string else { throw ArgumentError("\(name): what is remembered has names, got \(Decoder.found(key))") }
          entries.append((entry, try remembered(value, "\(name): state[\(position)].\(entry)")))
        }
        state.parameters.append((position - 1, entries.sorted { $0.name < $1.name }))
      }
    }
    state.parameters.sort { $0.position < $1.position }
    return state
  }

  private static func group(
    _ slot: Slot, _ place: String
  ) throws -> (options: [(name: String, value: OptionValue)], positions: [Int]) {
    var options: [(name: String, value: OptionValue)] = []
    var positions: [Int] = []
    try slot.forEachPair { key, value in
      guard let option = key.string else { throw ArgumentError("\(place): options are named, but one has the key \(Decoder.found(key))") }
      guard option == "params" else {
        options.append((option, try Optimizers.optionValue(value, "\(place): option '\(option)'")))
        return
      }
      guard value.type == .table else { throw ArgumentError("\(place): params is not a list of numbers but \(Decoder.found(value))") }
      try value.forEachElement { _, element in
        guard let number = element.integer, number > Int.min else {
          throw ArgumentError("\(place): params must be numbers, got \(Decoder.found(element))")
        }
        positions.append(number - 1)
      }
    }
    return (options, positions)
  }

  private static func remembered(_ slot: Slot, _ place: String) throws -> Optimizer.StateValue {
    if let tensor = slot.object(tensorKind) { return .tensor(tensor) }
    if let number = slot.number { return .number(number) }
    if slot.isNil { return .none }
    guard slot.type == .table else { throw ArgumentError("\(place): expected a tensor or a number, got \(Decoder.found(slot))") }
    var list: [Tensor] = []
    try slot.forEachElement { index, element in
      guard let tensor = element.object(tensorKind) else {
        throw ArgumentError("\(place): element \(index) is not a tensor but \(Decoder.found(element))")
      }
      list.append(tensor)
    }
    return .tensors(list)
  }
}

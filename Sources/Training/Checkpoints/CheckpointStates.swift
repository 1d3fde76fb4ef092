// States of modules, optimizers and schedulers as values of checkpoints, in the form in which scripts save them: what a script saved, a
// Swift program loads, and the other way round. Parameters are numbered from 1 there.

// Part of every training loop, so that whoever imports Training has it.
@_exported import enum Files.Checkpoint
import Files
import Tensors

extension Module {
  /// Parameters and buffers by name, for a checkpoint. They share the module's elements.
  public final func checkpoint() -> Checkpoint.Value {
    let table = Checkpoint.Table()
    for (name, tensor) in stateDict() { table[name] = .tensor(tensor) }
    return .table(table)
  }

  /// Copies the elements of a checkpoint's part into parameters and buffers; see ``loadStateDict(_:strict:assigns:)``.
  @discardableResult
  public final func load(_ value: Checkpoint.Value, strict: Bool = true) throws -> (missing: [String], unexpected: [String]) {
    guard let table = value.table else { throw misfit("load", "a table of tensors was expected, not \(value.found)") }
    var tensors: [(name: String, tensor: Tensor)] = []
    var others: [(name: String, found: String)] = []
    for (key, value) in table.entries {
      let name = if case .text(let text) = key { text } else { key.path(in: "") }
      if let tensor = value.tensor { tensors.append((name, tensor)) } else { others.append((name, value.found)) }
    }
    return try loadStateDict(tensors, others: others, strict: strict, assigns: false)
  }
}

extension Optimizer {
  /// Everything that decides the next steps, for a checkpoint.
  public func checkpoint() throws -> Checkpoint.Value {
    let state = try stateDict()
    let remembered = Checkpoint.Table()
    for (position, values) in state.parameters {
      let table = Checkpoint.Table()
      for (name, value) in values {
        switch value {
        case .number(let number): table[name] = Int(exactly: number).map(Checkpoint.Value.integer) ?? .number(number)
        case .tensor(let tensor): table[name] = .tensor(tensor)
        case .tensors(let list): table[name] = .table(Checkpoint.Table(list: list.map(Checkpoint.Value.tensor)))
        case .none: break
        }
      }
      remembered[.integer(position + 1)] = .table(table)
    }
    let groups = state.groups.map { group in
      let table = Checkpoint.Table()
      for (name, value) in group.options { table[name] = Checkpoint.Value(value) }
      table["params"] = .table(Checkpoint.Table(list: group.positions.map { .integer($0 + 1) }))
      return Checkpoint.Value.table(table)
    }
    return ["state": .table(remembered), "param_groups": .table(Checkpoint.Table(list: groups))]
  }

  /// Goes on from a checkpoint's part; see ``loadStateDict(_:)``.
  public func load(_ value: Checkpoint.Value) throws {
    guard let groups = value["param_groups"].list, let remembered = value["state"].table else {
      throw misfit("\(kind.name).load", "a table with 'state' and 'param_groups' was expected, not \(value.found)")
    }
    var state = State(groups: [], parameters: [])
    for group in groups {
      var (options, positions): ([(name: String, value: OptionValue)], [Int]) = ([], [])
      for (key, value) in group.table?.entries ?? [] {
        guard case .text(let name) = key else { throw misfit("\(kind.name).load", "an option has the key \(key.path(in: ""))") }
        if name == "params" {
          positions = try (value.list ?? []).map { position in
            guard let number = position.integer, number > .min else { throw misfit("\(kind.name).load", "params must be numbers") }
            return number - 1
          }
        } else {
          guard let option = OptionValue(value) else { throw misfit("\(kind.name).load", "option '\(name)' is \(value.found)") }
          options.append((name, option))
        }
      }
      state.groups.append((options, positions))
    }
    for (key, values) in remembered.entries {
      guard case .integer(let number) = key, number > .min, let table = values.table else {
        throw misfit("\(kind.name).load", "'state' must hold tables by number")
      }
      state.parameters.append((number - 1, try table.entries.map { try remembering($0.key, $0.value) }.sorted { $0.name < $1.name }))
    }
    state.parameters.sort { $0.position < $1.position }
    try loadStateDict(state)
  }

  private func remembering(_ key: Checkpoint.Key, _ value: Checkpoint.Value) throws -> (name: String, value: StateValue) {
    guard case .text(let name) = key else { throw misfit("\(kind.name).load", "what is remembered has names, not \(key.path(in: ""))") }
    if let tensor = value.tensor { return (name, .tensor(tensor)) }
    if let number = value.number { return (name, .number(number)) }
    let list = value.list?.compactMap(\.tensor)
    guard let list, list.count == value.table?.entries.count else { throw misfit("\(kind.name).load", "\(name) is \(value.found)") }
    return (name, .tensors(list))
  }
}

extension Scheduler {
  /// Everything that decides the next rates, for a checkpoint. Functions are not part of it.
  public func checkpoint() -> Checkpoint.Value { Checkpoint.Value(SchedulerValue.record(stateDict().named)) }

  /// Goes on from a checkpoint's part; see ``loadStateDict(_:)``.
  public func load(_ value: Checkpoint.Value) throws {
    guard case .record(let fields)? = SchedulerValue(value) else {
      throw misfit("\(kind.name).load", "a table was expected, not \(value.found)")
    }
    try loadStateDict(fields.texts)
  }
}

private func misfit(_ operation: String, _ facts: String) -> TensorError {
  TensorError(.argument, operation, TensorError.Facts(facts))
}

extension Checkpoint.Value {
  fileprivate init(_ option: OptionValue) {
    switch option {
    case .number(let number): self = .number(number)
    case .integer(let integer): self = .integer(integer)
    case .boolean(let flag): self = .boolean(flag)
    case .text(let text): self = .text(text)
    case .pair(let a, let b): self = [.number(a), .number(b)]
    case .tuple(let values): self = .table(Checkpoint.Table(list: values.map(Checkpoint.Value.init)))
    case .none: self = .none
    }
  }

  fileprivate init(_ value: SchedulerValue) {
    switch value {
    case .none, .function, .scheduler: self = .none
    case .boolean(let flag): self = .boolean(flag)
    case .integer(let integer): self = .integer(integer)
    case .number(let number): self = .number(number)
    case .text(let text): self = .text(text)
    case .list(let list): self = .table(Checkpoint.Table(list: list.map(Checkpoint.Value.init)))
    case .record(let fields):
      let table = Checkpoint.Table()
      for (key, value) in fields {
        switch key {
        case .name(let name): table[name] = Checkpoint.Value(value)
        case .integer(let number): table[.integer(number)] = Checkpoint.Value(value)
        }
      }
      self = .table(table)
    }
  }
}

extension OptionValue {
  /// Nil for what is no option's value.
  fileprivate init?(_ value: Checkpoint.Value) {
    switch value {
    case .none: self = .none
    case .boolean(let flag): self = .boolean(flag)
    case .integer(let integer): self = .integer(integer)
    case .number(let number): self = .number(number)
    case .text(let text): self = .text(text)
    case .tensor(let tensor):
      guard tensor.count == 1, let number = try? tensor.item().real else { return nil }
      self = .number(number)
    case .table(let table):
      // Several values, of which some may be missing.
      var last = 0
      for (key, _) in table.entries {
        guard case .integer(let position) = key, 1...8 ~= position else { return nil }
        last = max(last, position)
      }
      let list = (1..<last + 1).compactMap { OptionValue(table[.integer($0)]) }
      guard last > 0, list.count == last else { return nil }
      if list.count == 2, let a = list[0].number, let b = list[1].number { self = .pair(a, b) } else { self = .tuple(list) }
    case .bytes: return nil
    }
  }
}

extension SchedulerValue {
  /// Lists are tables whose keys are 1, 2, …, others records; nil for what is in no state.
  fileprivate init?(_ value: Checkpoint.Value) {
    switch value {
    case .none: self = .none
    case .boolean(let flag): self = .boolean(flag)
    case .integer(let integer): self = .integer(integer)
    case .number(let number): self = .number(number)
    case .text(let text): self = .text(text)
    case .table(let table):
      let elements = table.list
      if elements.count == table.entries.count {
        let list = elements.compactMap { SchedulerValue($0) }
        guard list.count == elements.count else { return nil }
        self = .list(list)
        return
      }
      var fields: [SchedulerKey: SchedulerValue] = [:]
      for (key, value) in table.entries {
        guard let value = SchedulerValue(value) else { return nil }
        switch key {
        case .text(let name): fields[.name(name)] = value
        case .integer(let number): fields[.integer(number)] = value
        default: return nil
        }
      }
      self = .record(fields)
    case .tensor(let tensor):
      guard tensor.count == 1, let number = try? tensor.item().real else { return nil }
      self = .number(number)
    case .bytes: return nil
    }
  }
}

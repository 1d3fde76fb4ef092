// A scheduler's state, under PyTorch's names: what checkpoints hold, and what scripts read and assign.

import Tensors

extension Scheduler {
  /// Everything that decides the next rates. Functions are not part of it.
  public func stateDict() -> [String: SchedulerValue] {
    var values = state
    if kind.form == .usual {
      values["_is_initial"] = false
      values["_get_lr_called_within_step"] = false
    }
    if !schedulers.isEmpty { values["_schedulers"] = .list(schedulers.map { .record($0.stateDict().named) }) }
    return values
  }

  /// Goes on from a state. Throws for names that this kind does not have and values that are not possible; then nothing has
  /// changed.
  public func loadStateDict(_ values: [String: SchedulerValue]) throws {
    let before = state
    do {
      for (name, value) in values.sorted(by: { $0.key < $1.key }) { try load(name, value) }
    } catch {
      state = before
      throw error
    }
  }

  private func load(_ name: String, _ value: SchedulerValue) throws {
    switch name {
    case "_is_initial", "_get_lr_called_within_step": return
    case "_schedulers":
      guard let list = value.list, list.count == schedulers.count else {
        throw error("load_state_dict: _schedulers must be a list of \(schedulers.count) states, got \(value.found)")
      }
      for (scheduler, part) in zip(schedulers, list) {
        guard case .record(let fields) = part else { throw error("load_state_dict: _schedulers must hold states, got \(part.found)") }
        try scheduler.loadStateDict(fields.texts)
      }
    default: try assign(name, value, "load_state_dict: ")
    }
  }

  /// Changes a part of the state. Throws for a name that there is not and a value that is not possible.
  public func set(_ name: String, _ value: SchedulerValue) throws { try assign(name, value, "") }

  private func assign(_ name: String, _ value: SchedulerValue, _ place: String) throws {
    guard let old = state[name] else {
      throw error("\(place)there is no '\(name)'; there are \(state.keys.sorted().joined(separator: ", "))")
    }
    guard value.isAlike(old) else { throw error("\(place)\(name) must be like \(old.found), got \(value.found)") }
    var value = value
    if name == "milestones" {
      // Counts by epoch; those of epochs 1, 2, … in a row may come as a list.
      var counts: [SchedulerKey: SchedulerValue] = [:]
      switch value {
      case .record(let fields): counts = fields
      case .list(let list): for (position, count) in list.enumerated() { counts[.integer(position + 1)] = count }
      default: break
      }
      for (key, count) in counts {
        guard case .integer = key, let number = count.integer, number >= 0 else {
          throw error("\(place)milestones must be counts by epoch, as in { [30] = 1 }")
        }
      }
      value = .record(counts)
    } else if let parameter = kind.parameters.first(where: { $0.name == name }) {
      guard let accepted = parameter.accepts(value) else {
        throw error("\(place)\(name) must be \(parameter.expectation), got \(value.found)")
      }
      value = accepted
    } else if case .integer = old, name != "T_cur", name != "T_i" {
      guard let integer = value.integer else { throw error("\(place)\(name) must be a whole number, got \(value.found)") }
      value = .integer(integer)
    }
    state[name] = value
  }
}

extension [String: SchedulerValue] {
  package var named: [SchedulerKey: SchedulerValue] {
    Dictionary<SchedulerKey, SchedulerValue>(uniqueKeysWithValues: map { (.name($0.key), $0.value) })
  }
}

extension [SchedulerKey: SchedulerValue] {
  package var texts: [String: SchedulerValue] {
    var found: [String: SchedulerValue] = [:]
    for case (.name(let name), let value) in self { found[name] = value }
    return found
  }
}

extension Scheduler: CustomStringConvertible {
  /// The numbers and texts of its state, as an optimizer shows its options.
  public var description: String {
    let shown = state.sorted { $0.key < $1.key }.filter { entry in
      if entry.key.hasPrefix("_") { return false }
      switch entry.value {
      case .number, .integer, .text, .boolean: return true
      default: return false
      }
    }
    let fields = shown.map { "\($0.key)=\($0.value.found)" } + schedulers.map(\.description)
    return "\(kind.name)(\(fields.joined(separator: ", ")))"
  }
}

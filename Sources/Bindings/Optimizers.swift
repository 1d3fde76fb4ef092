// Optimizers and their parameter groups as handles: `optim.SGD(net:parameters(), { lr = 0.2 })`.

import LuaRuntime
import Tensors
import Training

enum Optimizers {
  static var constructors: [String: NativeFunction] {
    Dictionary(
      uniqueKeysWithValues: OptimizerCatalogue.kinds.map { kind in
        (
          kind.name,
          native(kind.name) { call in
            let groups = try groups(call[1], kind.name)
            guard call.count <= 2 else {
              throw ArgumentError(
                "\(kind.name): takes parameters and one table of options, as in optim.\(kind.name)(net:parameters(), { lr = 0.1 })")
            }
            let options = call.isNil(2) ? [:] : try options(call[2], kind.name, skipping: [])
            call.returns(try kind.make(groups, options), optimizerKind)
          }
        )
      })
  }

  /// A list of tensors is one group; a list of tables `{ params = …, lr = … }` is one group each.
  private static func groups(_ slot: Slot, _ name: String) throws -> [(parameters: [Tensor], options: [String: OptionValue])] {
    if slot.object(tensorKind) != nil {
      throw ArgumentError("\(name): argument 1 (params): expected a list of parameters, got one tensor; write { p }")
    }
    guard slot.type == .table else {
      throw ArgumentError(
        "\(name): argument 1 (params): expected a list of parameters, such as net:parameters(), got \(Decoder.found(slot))")
    }
    var plain: [Tensor] = []
    var groups: [([Tensor], [String: OptionValue])] = []
    try slot.forEachElement { index, element in
      if let tensor = element.object(tensorKind) {
        plain.append(tensor)
      } else if element.type == .table {
        groups.append(try group(element, name))
      } else {
        throw ArgumentError("\(name): element \(index) of the parameters is not a tensor but \(Decoder.found(element))")
      }
    }
    guard plain.isEmpty || groups.isEmpty else {
      throw ArgumentError("\(name): the parameters mix tensors and groups { params = … }; use one or the other")
    }
    return groups.isEmpty ? [(plain, [:])] : groups
  }

  private static func group(_ slot: Slot, _ name: String) throws -> ([Tensor], [String: OptionValue]) {
    let parameters = try slot.withField("params") { list in
      guard !list.isNil else {
        throw ArgumentError("\(name): a parameter group needs a list of parameters in the field 'params'")
      }
      return try Autograd.tensors(list, "\(name): params")
    }
    return (parameters, try options(slot, name, skipping: ["params"]))
  }

  private static func options(_ slot: Slot, _ name: String, skipping: Set<String>) throws -> [String: OptionValue] {
    guard slot.type == .table else {
      throw ArgumentError("\(name): expected a table of options such as { lr = 0.1 }, got \(Decoder.found(slot))")
    }
    var options: [String: OptionValue] = [:]
    try slot.forEachPair { key, value in
      guard let option = key.string else {
        throw ArgumentError("\(name): options are named, but one has the key \(Decoder.found(key))")
      }
      if !skipping.contains(option) { options[option] = try optionValue(value, "\(name): option '\(option)'") }
    }
    return options
  }

  /// `depth` is in how many lists: of those that contain themselves there is no end.
  static func optionValue(_ slot: Slot, _ place: String, depth: Int = 0) throws -> OptionValue {
    if let flag = slot.boolean { return .boolean(flag) }
    if slot.isInteger, let integer = slot.integer { return .integer(integer) }
    if let number = slot.number { return .number(number) }
    if slot.type == .string, let text = slot.string { return .text(text) }
    if let tensor = slot.object(tensorKind), tensor.count == 1 { return .number(try tensor.item().real) }
    if slot.type == .table, depth < 3 {
      // Several values, of which some may be nil.
      var values: [Int: OptionValue] = [:]
      try slot.forEachPair { key, value in
        guard let position = key.integer, position >= 1, position <= 8 else {
          throw ArgumentError("\(place): expected a value or a list of a few, got a table with the key \(Decoder.found(key))")
        }
        values[position] = try optionValue(value, place, depth: depth + 1)
      }
      if let last = values.keys.max() {
        let list = (1...last).map { values[$0] ?? .none }
        if list.count == 2, let a = list[0].number, let b = list[1].number { return .pair(a, b) }
        return .tuple(list)
      }
    }
    if slot.isNil { return .none }
    throw ArgumentError("\(place): expected a number, true or false, a name, or a few numbers, got \(Decoder.found(slot))")
  }

  /// What a script sees of an option.
  static func value(_ option: OptionValue) -> Value {
    switch option {
    case .number(let number): .number(number)
    case .integer(let integer): .integer(integer)
    case .boolean(let flag): .boolean(flag)
    case .text(let text): .string(text)
    case .pair(let a, let b): .list([.number(a), .number(b)])
    case .tuple(let values): .record(values.enumerated().map { (key: .integer($0.offset + 1), value: value($0.element)) })
    case .none: .nil
    }
  }

  /// `lists` are made by Lua/optim.lua: they raise where an element is added, which would be lost.
  static func members(groupLists: FunctionReference) -> HandleMembers {
    var members = HandleMembers()
    // What writes to tensors is `native`, so that errors about a value that was written to name the script's line.
    members.methods["step"] = native("step") { call in
      // Retained, since the closure and hooks of the step run scripts meanwhile.
      guard let optimizer = call.object(1, optimizerKind) else { throw wrongSelf("step", call) }
      if call.type(2) == .function {
        // A closure that recomputes the loss.
        guard case .function(let closure) = try call.value(2) else { return }
        let results = try optimizer.step {
          try recording(call) { try closure.call() }
        } value: { results in
          guard let loss = results.first else { throw ArgumentError("step: the function returned no loss") }
          if let tensor = loss.tensor { return try tensor.item().real }
          guard case .number(let number) = loss else {
            throw ArgumentError("step: the function must return the loss, got \(Decoder.found(loss))")
          }
          return number
        }
        if let first = results.first { call.returns(first) }
        return
      }
      guard call.isNil(2) else {
        throw ArgumentError("step: expected nothing, or a function that computes the loss, got \(Decoder.found(call[2]))")
      }
      try optimizer.step()
    }
    members.methods["zero_grad"] = native("zero_grad") { call in
      guard let optimizer = call.unmanaged(1, optimizerKind) else { throw wrongSelf("zero_grad", call) }
      var setToNone = true
      if call.type(2) == .table {
        setToNone = try call[2].withField("set_to_none") { $0.boolean ?? true }
      } else if let flag = call.boolean(2) {
        setToNone = flag
      } else if !call.isNil(2) {
        throw ArgumentError("zero_grad: expected options such as { set_to_none = false }, got \(Decoder.found(call[2]))")
      }
      try optimizer._withUnsafeGuaranteedRef { try $0.zeroGrad(setToNone: setToNone) }
    }
    members.methods["add_param_group"] = NativeFunction("add_param_group") { call in
      guard let optimizer = call.object(1, optimizerKind) else { throw wrongSelf("add_param_group", call) }
      guard call.type(2) == .table else {
        throw ArgumentError("add_param_group: expected a table { params = …, lr = … }, got \(Decoder.found(call[2]))")
      }
      let (parameters, options) = try group(call[2], "add_param_group")
      try optimizer.addGroup(parameters, options)
    }
    members.methods["register_step_pre_hook"] = hook("register_step_pre_hook") { $0.addPreHook($1) }
    members.methods["register_step_post_hook"] = hook("register_step_post_hook") { $0.addPostHook($1) }
    members.methods["state_dict"] = NativeFunction("state_dict") { call in
      guard let optimizer = call.object(1, optimizerKind) else { throw wrongSelf("state_dict", call) }
      call.returns(OptimizerStates.value(try optimizer.stateDict()))
    }
    members.methods["load_state_dict"] = native("load_state_dict") { call in
      guard let optimizer = call.object(1, optimizerKind) else { throw wrongSelf("load_state_dict", call) }
      try optimizer.loadStateDict(try OptimizerStates.state(call[2], "\(optimizer.kind.name).load_state_dict"))
    }
    members.getters["param_groups"] = NativeFunction("param_groups") { call in
      guard let optimizer = call.object(1, optimizerKind) else { throw wrongSelf("param_groups", call) }
      let groups = Value.list(optimizer.groups.map { .object($0, groupKind) })
      for list in try groupLists.call([.string("groups"), groups]) { call.returns(list) }
    }
    members.getters["state"] = NativeFunction("state") { call in
      guard let optimizer = call.object(1, optimizerKind) else { throw wrongSelf("state", call) }
      let lookup = NativeFunction("state") { call in
        guard let parameter = call.object(1, tensorKind) else {
          throw ArgumentError("opt.state is indexed by parameters, got \(Decoder.found(call[1]))")
        }
        call.returns(OptimizerStates.remembered(optimizer.state(of: parameter)))
      }
      for table in try groupLists.call([.string("state"), .native(lookup)]) { call.returns(table) }
    }
    members.getters["defaults"] = NativeFunction("defaults") { call in
      guard let optimizer = call.object(1, optimizerKind) else { throw wrongSelf("defaults", call) }
      call.returns(Value.record(optimizer.defaultOptions.map { (key: .string($0.name), value: value($0.value)) }))
    }
    members.metamethods["__tostring"] = NativeFunction("tostring") { call in
      guard let optimizer = call.object(1, optimizerKind) else { throw wrongSelf("tostring", call) }
      call.returns(optimizer.description)
    }
    let names = Array(members.methods.keys) + ["param_groups", "defaults", "state"]
    members.reading = NativeFunction("field") { call in
      let name = call.string(2) ?? Decoder.found(call[2])
      let hint = nearest(name, names).map { "; did you mean '\($0)'?" } ?? ""
      throw ArgumentError("an optimizer has no field '\(name)'\(hint); options are those of its groups, as in opt.param_groups[1].lr")
    }
    return members
  }

  /// A method that adds what runs around each step: it gets the optimizer.
  private static func hook(
    _ name: String, _ add: @escaping (Optimizer, @escaping Optimizer.StepHook) -> () -> Void
  ) -> NativeFunction {
    NativeFunction(name) { call in
      guard let optimizer = call.object(1, optimizerKind) else { throw wrongSelf(name, call) }
      let function = try ScriptFunction(keptBy: 1, name, call, 2)
      call.returns(
        HookHandle(add(optimizer) { optimizer in _ = try function.call([.object(optimizer, optimizerKind)]) }), hookKind)
    }
  }

  /// Runs `body`, which calls a script, with recording switched on: a step may be taken under no_grad, its loss may not.
  private static func recording<R>(_ call: borrowing Call, _ body: () throws -> R) rethrows -> R {
    let word = call.word
    defer {
      call.word = word
      GradMode.bits = UInt32(truncatingIfNeeded: word)
    }
    call.word = word & ~UInt64(GradMode.noGrad)
    return try body()
  }

  private static func wrongSelf(_ name: String, _ call: borrowing Call) -> ArgumentError {
    ArgumentError("\(name): expected an optimizer as self, got \(Decoder.found(call[1])); write opt:\(name)(…)")
  }

  static func groupMembers(groupLists: FunctionReference) -> HandleMembers {
    var members = HandleMembers()
    members.reading = NativeFunction("option") { call in
      guard let group = call.object(1, groupKind), let name = call.string(2) else {
        throw ArgumentError("a parameter group is indexed by option names")
      }
      if name == "params" {
        let list = Value.list(group.parameters.map { .object($0, tensorKind) })
        for list in try groupLists.call([.string("params"), list]) { call.returns(list) }
        return
      }
      guard let found = group[name] else { throw unknown(name, group) }
      call.returns(value(found))
    }
    members.writing = NativeFunction("option") { call in
      guard let group = call.object(1, groupKind), let name = call.string(2) else {
        throw ArgumentError("a parameter group is indexed by option names")
      }
      if name == "params" {
        throw ArgumentError("a group's params cannot be assigned; opt:add_param_group{ params = … } adds parameters")
      }
      guard group[name] != nil || Optimizer.Group.scheduledNames.contains(name) else { throw unknown(name, group) }
      try group.set(name, optionValue(call[3], "option '\(name)'"))
    }
    return members
  }

  private static func unknown(_ name: String, _ group: Optimizer.Group) -> ArgumentError {
    let hint = nearest(name, group.optionNames).map { "; did you mean '\($0)'?" } ?? ""
    return ArgumentError(
      "a parameter group has no option '\(name)'\(hint) (there are \(group.optionNames.joined(separator: ", ")), params)")
  }
}

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

  private static func optionValue(_ slot: Slot, _ place: String) throws -> OptionValue {
    if let flag = slot.boolean { return .boolean(flag) }
    if let number = slot.number { return .number(number) }
    if let tensor = slot.object(tensorKind), tensor.count == 1 { return .number(try tensor.item().real) }
    if slot.type == .table, slot.rawLength == 2 {
      var numbers: [Double] = []
      try slot.forEachElement { _, element in if let number = element.number { numbers.append(number) } }
      if numbers.count == 2 { return .pair(numbers[0], numbers[1]) }
    }
    if slot.isNil { return .none }
    throw ArgumentError("\(place): expected a number, true or false, or a pair of numbers, got \(Decoder.found(slot))")
  }

  static var members: HandleMembers {
    var members = HandleMembers()
    // What writes to tensors is `native`, so that errors about a value that was written to name the script's line.
    members.methods["step"] = native("step") { call in
      // Retained, since the closure and hooks of the step run scripts meanwhile.
      guard let optimizer = call.object(1, optimizerKind) else { throw wrongSelf("step", call) }
      if call.type(2) == .function {
        // A closure that recomputes the loss.
        guard case .function(let closure) = try call.value(2) else { return }
        let results = try recording(call) { try closure.call() }
        try optimizer.step()
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
    members.getters["param_groups"] = NativeFunction("param_groups") { call in
      guard let optimizer = call.object(1, optimizerKind) else { throw wrongSelf("param_groups", call) }
      call.returnsList(optimizer.groups.count)
      for group in optimizer.groups { call.returns(group, groupKind) }
    }
    members.metamethods["__tostring"] = NativeFunction("tostring") { call in
      guard let optimizer = call.object(1, optimizerKind) else { throw wrongSelf("tostring", call) }
      call.returns(optimizer.description)
    }
    let names = Array(members.methods.keys) + ["param_groups"]
    members.reading = NativeFunction("field") { call in
      let name = call.string(2) ?? Decoder.found(call[2])
      let hint = nearest(name, names).map { "; did you mean '\($0)'?" } ?? ""
      throw ArgumentError("an optimizer has no field '\(name)'\(hint); options are those of its groups, as in opt.param_groups[1].lr")
    }
    return members
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

  static var groupMembers: HandleMembers {
    var members = HandleMembers()
    members.reading = NativeFunction("option") { call in
      guard let group = call.object(1, groupKind), let name = call.string(2) else {
        throw ArgumentError("a parameter group is indexed by option names")
      }
      if name == "params" {
        call.returnsList(group.parameters.count)
        for parameter in group.parameters { call.returns(tensor: parameter) }
        return
      }
      guard let value = group[name] else { throw unknown(name, group) }
      switch value {
      case .number(let number): call.returns(number)
      case .boolean(let flag): call.returns(flag)
      case .pair(let a, let b):
        call.returnsList(2)
        call.returns(a)
        call.returns(b)
      case .none: call.returnsNil()
      }
    }
    members.writing = NativeFunction("option") { call in
      guard let group = call.object(1, groupKind), let name = call.string(2) else {
        throw ArgumentError("a parameter group is indexed by option names")
      }
      guard group[name] != nil else { throw unknown(name, group) }
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

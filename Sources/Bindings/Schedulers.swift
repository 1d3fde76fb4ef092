// Schedulers as handles: `optim.lr_scheduler.StepLR(opt, { step_size = 10 })`. Lua/optim.lua makes the constructors.

import LuaRuntime
import Tensors
import Training

enum Schedulers {
  /// What the constructors are made of, in two steps, since functions of scripts are kept by the handle (see
  /// `AttachedFunction`), which the first step makes.
  static var primitives: [String: NativeFunction] {
    [
      "scheduler_names": NativeFunction("scheduler_names") { call in
        call.returnsList(SchedulerCatalogue.kinds.count)
        for kind in SchedulerCatalogue.kinds { call.returns(kind.name) }
      },
      // prepare_scheduler(name, …): the arguments of a constructor. Gives a handle and the functions among the arguments.
      "prepare_scheduler": native("prepare_scheduler") { call in
        guard let kind = SchedulerCatalogue.kind(named: call.string(1) ?? "") else { throw ArgumentError("there is no such scheduler") }
        var functions: [Value] = []
        let (optimizer, options) = try arguments(call, kind, &functions)
        call.returns(try kind.prepared(optimizer, options), schedulerKind)
        call.returns(Value.list(functions))
      },
      // begin_scheduler(scheduler, functions …)
      "begin_scheduler": native("begin_scheduler") { call in
        guard let scheduler = call.object(1, schedulerKind) else { throw ArgumentError("expected a scheduler") }
        let functions = try stride(from: 2, through: call.count, by: 1).map { try function(call, $0, scheduler.kind.name) }
        try scheduler.begin(functions)
        call.returnsArgument(1)
      },
    ]
  }

  private static func function(_ call: borrowing Call, _ position: Int, _ name: String) throws -> SchedulerValue.Function {
    let function = try ScriptFunction(keptBy: 1, name, call, position)
    return { epoch in
      let result = try function.call([.integer(epoch)]).first ?? .nil
      switch result {
      case .number(let number): return number
      case .integer(let integer): return Double(integer)
      default:
        if let tensor = result.tensor, tensor.count == 1 { return try tensor.item().real }
        throw ArgumentError("\(name): the function must return a number, got \(Decoder.found(result)) for \(epoch)")
      }
    }
  }

  // MARK: Arguments

  private static func arguments(
    _ call: borrowing Call, _ kind: SchedulerKind, _ functions: inout [Value]
  ) throws -> (Optimizer, [String: SchedulerValue]) {
    let name = kind.name
    var options: [String: SchedulerValue] = [:]
    var (first, last) = (kind.isOfSchedulers ? 2 : 3, call.count)
    var optimizer: Optimizer?
    if !kind.isOfSchedulers {
      guard let given = call.object(2, optimizerKind) else {
        throw ArgumentError("\(name): argument 1 (optimizer): expected an optimizer, got \(Decoder.found(call[2]))")
      }
      optimizer = given
    }
    // A last table with names holds options.
    if last >= first, call.type(last) == .table, call[last].rawLength == 0, call[last].keys.haveNames {
      try call[last].forEachPair { key, slot in
        guard let option = key.string else { throw ArgumentError("\(name): options are named, but one has the key \(Decoder.found(key))") }
        options[option] = try value(slot, "\(name): option '\(option)'", call, &functions)
      }
      last -= 1
    }
    for parameter in kind.parameters where first <= last {
      defer { first += 1 }
      if call.isNil(first) { continue }
      guard options[parameter.name] == nil else {
        throw ArgumentError("\(name): '\(parameter.name)' is given twice, by position and as an option")
      }
      options[parameter.name] = try value(call[first], "\(name): argument \(first - 1) (\(parameter.name))", call, &functions)
    }
    if kind.isOfSchedulers, first <= last, let given = call.object(first, optimizerKind) {
      optimizer = given
      first += 1
    }
    guard first > last else {
      throw ArgumentError("\(name): \(last - 1) arguments given, but it takes at most \(kind.parameters.count + 1): \(signature(kind))")
    }
    if optimizer == nil, case .list(let list)? = options["schedulers"], case .scheduler(let scheduler)? = list.first {
      optimizer = scheduler.optimizer
    }
    guard let optimizer else {
      throw ArgumentError("\(name): argument 1 (schedulers): expected a list of schedulers, got \(Decoder.found(call[2]))")
    }
    return (optimizer, options)
  }

  /// As help and errors show it.
  static func signature(_ kind: SchedulerKind) -> String {
    let list = kind.parameters.map { $0.defaultText.isEmpty ? $0.name : "\($0.name) = \($0.defaultText)" }
    return "\(kind.name)(\(((kind.isOfSchedulers ? [] : ["optimizer"]) + list).joined(separator: ", ")))"
  }

  private static func value(
    _ slot: Slot, _ place: String, _ call: borrowing Call, _ functions: inout [Value], depth: Int = 0
  ) throws -> SchedulerValue {
    if slot.type == .function {
      functions.append(try slot.value())
      return .function { _ in 1 }
    }
    if let scheduler = slot.object(schedulerKind) { return .scheduler(scheduler) }
    return try plain(slot, place, depth) { element, place, depth in
      try value(element, place, call, &functions, depth: depth)
    }
  }

  /// Numbers, texts, lists and tables with names.
  private static func plain(
    _ slot: Slot, _ place: String, _ depth: Int = 0, _ inner: (Slot, String, Int) throws -> SchedulerValue
  ) throws -> SchedulerValue {
    if slot.isNil { return .none }
    if let flag = slot.boolean { return .boolean(flag) }
    if slot.isInteger, let integer = slot.integer { return .integer(integer) }
    if let number = slot.number { return .number(number) }
    if slot.type == .string, let text = slot.string { return .text(text) }
    if let tensor = slot.object(tensorKind), tensor.count == 1 { return .number(try tensor.item().real) }
    guard slot.type == .table, depth < 8 else { throw ArgumentError("\(place): a value like \(Decoder.found(slot)) is not possible") }
    if slot.keys.count == slot.rawLength {
      var list: [SchedulerValue] = []
      try slot.forEachElement { _, element in list.append(try inner(element, place, depth + 1)) }
      return .list(list)
    }
    var fields: [SchedulerKey: SchedulerValue] = [:]
    try slot.forEachPair { key, value in
      if let name = key.string, key.type == .string {
        fields[.name(name)] = try inner(value, place, depth + 1)
      } else if let number = key.integer {
        fields[.integer(number)] = try inner(value, place, depth + 1)
      } else {
        throw ArgumentError("\(place): a key like \(Decoder.found(key)) is not possible")
      }
    }
    return .record(fields)
  }

  private static func plain(_ slot: Slot, _ place: String, _ depth: Int = 0) throws -> SchedulerValue {
    try plain(slot, place, depth) { try plain($0, $1, $2) }
  }

  private static func value(_ value: SchedulerValue) -> Value {
    switch value {
    case .none, .function: .nil
    case .boolean(let flag): .boolean(flag)
    case .integer(let integer): .integer(integer)
    case .number(let number): .number(number)
    case .text(let text): .string(text)
    case .list(let list): .list(list.map { self.value($0) })
    case .scheduler(let scheduler): .object(scheduler, schedulerKind)
    case .record(let fields):
      .record(
        fields.map { entry in
          let key: Value =
            switch entry.key {
            case .name(let name): .string(name)
            case .integer(let number): .integer(number)
            }
          return (key: key, value: self.value(entry.value))
        })
    }
  }

  // MARK: Members

  static var members: HandleMembers {
    var members = HandleMembers()
    members.methods["step"] = native("step") { call in
      guard let scheduler = call.object(1, schedulerKind) else { throw wrongSelf("step", call) }
      if scheduler.kind.takesMetric {
        guard let metric = try number(call[2]) else {
          throw ArgumentError(
            "\(scheduler.kind.name): step needs the number that is watched, such as a loss, got \(Decoder.found(call[2]))")
        }
        return try scheduler.step(metric: metric, epoch: call.integer(3))
      }
      guard call.isNil(2) || call.number(2) != nil else {
        throw ArgumentError("\(scheduler.kind.name): step: expected an epoch or nothing, got \(Decoder.found(call[2]))")
      }
      try scheduler.step(call.number(2))
    }
    members.methods["get_last_lr"] = NativeFunction("get_last_lr") { call in
      guard let scheduler = call.object(1, schedulerKind) else { throw wrongSelf("get_last_lr", call) }
      call.returns(Value.list(scheduler.lastRates.map(Value.number)))
    }
    members.methods["state_dict"] = NativeFunction("state_dict") { call in
      guard let scheduler = call.object(1, schedulerKind) else { throw wrongSelf("state_dict", call) }
      call.returns(value(.record(scheduler.stateDict().named)))
    }
    members.methods["load_state_dict"] = NativeFunction("load_state_dict") { call in
      guard let scheduler = call.object(1, schedulerKind) else { throw wrongSelf("load_state_dict", call) }
      guard call.type(2) == .table, case .record(let fields) = try plain(call[2], "\(scheduler.kind.name).load_state_dict") else {
        throw ArgumentError("\(scheduler.kind.name).load_state_dict: expected what state_dict() gives, got \(Decoder.found(call[2]))")
      }
      try scheduler.loadStateDict(fields.texts)
    }
    members.metamethods["__tostring"] = NativeFunction("tostring") { call in
      guard let scheduler = call.object(1, schedulerKind) else { throw wrongSelf("tostring", call) }
      call.returns(scheduler.description)
    }
    let methods = Array(members.methods.keys)
    members.reading = NativeFunction("field") { call in
      guard let scheduler = call.object(1, schedulerKind), let name = call.string(2) else {
        throw ArgumentError("a scheduler is indexed by names")
      }
      if name == "optimizer" { return call.returns(scheduler.optimizer, optimizerKind) }
      let state = scheduler.stateDict()
      guard let found = state[name] else { throw unknown(name, scheduler, methods + state.keys) }
      call.returns(value(found))
    }
    members.writing = NativeFunction("field") { call in
      guard let scheduler = call.object(1, schedulerKind), let name = call.string(2) else {
        throw ArgumentError("a scheduler is indexed by names")
      }
      let state = scheduler.stateDict()
      guard state[name] != nil else { throw unknown(name, scheduler, methods + state.keys) }
      try scheduler.set(name, plain(call[3], "\(scheduler.kind.name): '\(name)'"))
    }
    return members
  }

  private static func number(_ slot: Slot) throws -> Double? {
    if let tensor = slot.object(tensorKind), tensor.count == 1 { return try tensor.item().real }
    return slot.number
  }

  private static func unknown(_ name: String, _ scheduler: Scheduler, _ known: [String]) -> ArgumentError {
    let hint = nearest(name, known).map { "; did you mean '\($0)'?" } ?? ""
    return ArgumentError("\(scheduler.kind.name) has no field '\(name)'\(hint)")
  }

  private static func wrongSelf(_ name: String, _ call: borrowing Call) -> ArgumentError {
    ArgumentError("\(name): expected a scheduler as self, got \(Decoder.found(call[1])); write scheduler:\(name)(…)")
  }
}

// Freezing for scripts: what Lua/freezing.lua is made of, and the handles of watches and guards.

import LuaRuntime
import Tensors
import Training

extension ModuleLibrary {
  /// Which parameters a script means: nothing for all, patterns, modules, parameters, lists of these, or a function of name and parameter.
  func selection(_ slot: Slot, _ name: String) throws -> ParameterSelection {
    if slot.isNil { return .all }
    if slot.type == .string, let pattern = slot.string { return .patterns([pattern]) }
    if let tensor = slot.object(tensorKind) { return .tensors([tensor]) }
    if let module = try instances?.module(slot) { return .modules([module]) }
    if slot.type == .function, case .function(let function) = try slot.value() {
      return .matching { parameter, tensor in
        let answer = try function.call([.string(parameter), .object(tensor, tensorKind)]).first ?? .nil
        switch answer {
        case .nil, .boolean(false): return false
        default: return true
        }
      }
    }
    guard slot.type == .table, slot.rawLength > 0 else {
      throw ArgumentError(
        "\(name): expected a pattern such as \"hidden.*\", a module, a parameter, a list of these, or a function, got \(Decoder.found(slot))"
      )
    }
    var (patterns, tensors, modules): ([String], [Tensor], [Module]) = ([], [], [])
    try slot.forEachElement { position, element in
      if element.type == .string, let pattern = element.string {
        patterns.append(pattern)
      } else if let tensor = element.object(tensorKind) {
        tensors.append(tensor)
      } else if let module = try instances?.module(element) {
        modules.append(module)
      } else {
        throw ArgumentError("\(name): element \(position): expected a pattern, a module or a parameter, got \(Decoder.found(element))")
      }
    }
    guard [patterns.isEmpty, tensors.isEmpty, modules.isEmpty].count(where: { !$0 }) == 1 else {
      throw ArgumentError("\(name): a list is of patterns, of modules or of parameters, not of several of these")
    }
    return !patterns.isEmpty ? .patterns(patterns) : !tensors.isEmpty ? .tensors(tensors) : .modules(modules)
  }

  func model(_ call: borrowing Call, _ name: String) throws -> Module {
    guard let module = try instances?.module(call[1]) else {
      throw ArgumentError("\(name): argument 1: expected a module, got \(Decoder.found(call[1]))")
    }
    return module
  }

  private static func level(_ call: borrowing Call, _ name: String) throws -> FreezeLevel {
    guard let level = FreezeLevel(rawValue: call.string(3) ?? "grad") else {
      throw ArgumentError("\(name): level must be \"grad\" or \"full\", got \(Decoder.found(call[3]))")
    }
    return level
  }

  /// The optimizer and the policy for what it remembers, arguments 3 and 4.
  private static func policy(_ call: borrowing Call, _ name: String) throws -> (Optimizer?, UnfreezePolicy) {
    let optimizer = call.object(3, optimizerKind)
    guard optimizer != nil || call.isNil(3) else {
      throw ArgumentError("\(name): option 'optimizer': expected an optimizer, got \(Decoder.found(call[3]))")
    }
    guard let policy = UnfreezePolicy(rawValue: call.string(4) ?? "keep") else {
      throw ArgumentError("\(name): policy must be \"keep\", \"reset\" or \"drop\", got \(Decoder.found(call[4]))")
    }
    guard policy == .keep || optimizer != nil else {
      throw ArgumentError("\(name): policy \"\(policy.rawValue)\" is for what an optimizer remembers: give it as { optimizer = opt }")
    }
    return (optimizer, policy)
  }

  /// A report as a table: its sentence, the names, and the numbers of the whole model.
  private static func value(_ report: FreezeReport) -> Value {
    .record([
      (key: .string("text"), value: .string(report.description)),
      (key: .string("names"), value: .list(report.entries.map { .string($0.name) })),
      (
        key: .string("rows"),
        value: .list(
          report.entries.map { entry in
            .record([
              (key: .string("name"), value: .string(entry.name)), (key: .string("count"), value: .integer(entry.count)),
              (key: .string("trainable"), value: .boolean(!report.freezes)), (key: .string("is_new"), value: .boolean(entry.isNew)),
              (key: .string("shared_with"), value: .list(entry.sharedWith.map { .string($0) })),
            ])
          })
      ),
      (key: .string("modules"), value: .list(report.modules.map { .string($0) })),
      (key: .string("total"), value: .integer(report.total)), (key: .string("trainable"), value: .integer(report.trainable)),
    ])
  }

  static var freezingPrimitives: [String: NativeFunction] {
    [
      // freeze(net, what, level), freeze_to(net, blocks, level), unfreeze(net, what, optimizer, policy): tables of what was done.
      "freeze": native("freeze") { call in
        let (net, level) = (try call.library.model(call, "freeze"), try ModuleLibrary.level(call, "freeze"))
        call.returns(ModuleLibrary.value(try net.freeze(call.library.selection(call[2], "freeze"), level: level)))
        call.state.giveNotice()
      },
      "freeze_to": native("freeze_to") { call in
        let (net, level) = (try call.library.model(call, "freeze_to"), try ModuleLibrary.level(call, "freeze_to"))
        guard let blocks = call.integer(2) else {
          throw ArgumentError("freeze_to: argument 2: expected how many blocks stay trained, got \(Decoder.found(call[2]))")
        }
        call.returns(ModuleLibrary.value(try net.freeze(allButLast: blocks, level: level)))
        call.state.giveNotice()
      },
      "unfreeze": native("unfreeze") { call in
        let net = try call.library.model(call, "unfreeze")
        let (optimizer, policy) = try ModuleLibrary.policy(call, "unfreeze")
        call.returns(
          ModuleLibrary.value(try net.unfreeze(call.library.selection(call[2], "unfreeze"), optimizer: optimizer, policy: policy)))
        call.state.giveNotice()
      },
      // unfreeze_schedule(net, plan, optimizer, policy, every, start): a handle. The plan is a table of what to unfreeze by epochs, or
      // "top_down".
      "unfreeze_schedule": native("unfreeze_schedule") { call in
        let net = try call.library.model(call, "unfreeze_schedule")
        let (optimizer, policy) = try ModuleLibrary.policy(call, "unfreeze_schedule")
        if call[2].type == .string {
          guard call.string(2) == "top_down" else {
            throw ArgumentError(
              "unfreeze_schedule: argument 2: expected what to unfreeze by epochs, or \"top_down\", got \(Decoder.found(call[2]))")
          }
          guard let every = call.isNil(5) ? 1 : call.number(5), let start = call.isNil(6) ? 1 : call.number(6) else {
            throw ArgumentError("unfreeze_schedule: every and start must be numbers of epochs")
          }
          call.returns(
            try UnfreezeSchedule(net, topDownEvery: every, from: start, optimizer: optimizer, policy: policy), unfreezeScheduleKind)
        } else {
          guard call[2].type == .table else {
            throw ArgumentError(
              "unfreeze_schedule: argument 2: expected what to unfreeze by epochs, or \"top_down\", got \(Decoder.found(call[2]))")
          }
          guard call.isNil(5), call.isNil(6) else {
            throw ArgumentError("unfreeze_schedule: every and start are for \"top_down\"; a table says what to unfreeze by epochs")
          }
          var plan: [(epoch: Double, selection: ParameterSelection)] = []
          try call[2].forEachPair { key, what in
            guard key.type == .number, let epoch = key.number, !epoch.isNaN else {
              throw ArgumentError("unfreeze_schedule: epochs are numbers, got \(Decoder.found(key))")
            }
            plan.append((epoch, try call.library.selection(what, "unfreeze_schedule")))
          }
          call.returns(try UnfreezeSchedule(net, plan, optimizer: optimizer, policy: policy), unfreezeScheduleKind)
        }
      },
      // param_groups(net, patterns): a list of { pattern, { parameters } }.
      "param_groups": native("param_groups") { call in
        let net = try call.library.model(call, "param_groups")
        var patterns: [(pattern: String, options: Void)] = []
        try call[2].forEachPair { key, _ in if let pattern = key.string { patterns.append((pattern, ())) } }
        patterns.sort { $0.pattern < $1.pattern }
        let groups = try net.parameterGroups(patterns)
        call.returns(
          .list(groups.map { .list([.string($0.pattern), .list($0.parameters.map { .object($0, tensorKind) })]) }))
      },
      // module_summary(net, run): a table of rows and totals, with the text; with what run(meter) costs, which calls net, tells the meter
      // of modules' calls, and gives the tensors that came out.
      "module_summary": native("summary") { call in
        let net = try call.library.model(call, "summary")
        var cost: ModuleCost?
        if case .function(let run) = try call[2].value() {
          cost = try ModuleCost(of: net) { meter in
            try run.call([.object(meter, callMeterKind)]).compactMap {
              if case .handle(let handle) = $0 { handle.object(tensorKind) } else { nil }
            }
          }
        }
        let summary = ModuleSummary(net, cost: cost)
        guard !net.nestsTooDeep else { throw ArgumentError("summary: modules are nested more than \(Module.deepest) deep") }
        let rows: [Value] = summary.rows.map { row in
          var fields: [(key: Value, value: Value)] = [
            (.string("name"), .string(row.name)), (.string("module"), .string(row.kind)),
            (.string("shape"), .list(row.shape.map(Value.integer))), (.string("dtype"), .string("\(row.dtype)")),
            (.string("count"), .integer(row.count)), (.string("trainable"), .boolean(row.isTrainable)),
          ]
          if let shared = row.sharedWith { fields.append((.string("shared_with"), .string(shared))) }
          return .record(fields)
        }
        var fields: [(key: Value, value: Value)] = [
          (key: .string("text"), value: .string(summary.description)), (key: .string("rows"), value: .list(rows)),
          (key: .string("total"), value: .integer(summary.total)), (key: .string("trainable"), value: .integer(summary.trainable)),
          (key: .string("bytes"), value: .integer(summary.bytes)),
        ]
        if let cost = summary.cost { fields += ModuleLibrary.fields(of: cost) }
        call.returns(.record(fields))
      },
      // call_began(meter, module), call_ended(meter, module, output): what the hooks of module_summary's run tell.
      "call_began": native("summary") { call in
        if let meter = call.object(1, callMeterKind), let module = try call.library.instances?.module(call[2]) { meter.begin(module) }
      },
      "call_ended": native("summary") { call in
        guard let meter = call.object(1, callMeterKind), let module = try call.library.instances?.module(call[2]) else { return }
        meter.end(module, (3..<max(3, call.count + 1)).compactMap { call.object($0, tensorKind) })
      },
      // watch(net, optimizer, every, run), guard(net, what): handles. run is as for module_summary.
      "watch": native("watch") { call in
        let net = try call.library.model(call, "watch")
        let optimizer = call.object(2, optimizerKind)
        guard optimizer != nil || call.isNil(2) else {
          throw ArgumentError("watch: option 'optimizer': expected an optimizer, got \(Decoder.found(call[2]))")
        }
        guard let every = call.isNil(3) ? 1 : call.integer(3) else {
          throw ArgumentError("watch: option 'every': expected a whole number of steps, got \(Decoder.found(call[3]))")
        }
        var look: ((CallMeter) throws -> Void)?
        if case .function(let run) = try call[4].value() { look = { meter in _ = try run.call([.object(meter, callMeterKind)]) } }
        call.returns(try Watch(net, optimizer: optimizer, every: every, call: look), watchKind)
        call.state.giveNotice()
      },
      "guard": native("guard") { call in
        call.returns(try ParameterGuard(call.library.model(call, "guard"), call.library.selection(call[2], "guard")), guardKind)
      },
    ]
  }

  private static func fields(of cost: ModuleCost) -> [(key: Value, value: Value)] {
    func counts(_ pairs: KeyValuePairs<String, Int>) -> [(key: Value, value: Value)] {
      pairs.map { (key: .string($0.key), value: .integer($0.value)) }
    }
    let layers = cost.layers.map { layer -> Value in
      .record(
        [
          (key: .string("name"), value: .string(layer.name)), (key: .string("module"), value: .string(layer.kind)),
          (key: .string("outputs"), value: .list(layer.outputs.map { .list($0.map(Value.integer)) })),
        ]
          + counts([
            "calls": layer.calls, "parameters": layer.parameters, "trainable": layer.trainable, "forward": layer.forward,
            "backward": layer.backward, "backward_unfrozen": layer.backwardUnfrozen, "kept": layer.kept,
            "kept_unfrozen": layer.keptUnfrozen, "backward_if_frozen_to_here": layer.backwardIfFrozenUpToHere,
          ]))
    }
    return [(key: .string("layers"), value: .list(layers))]
      + counts([
        "forward": cost.forward, "backward": cost.backward, "backward_unfrozen": cost.backwardUnfrozen, "kept": cost.kept,
        "kept_unfrozen": cost.keptUnfrozen, "nodes": cost.nodes, "nodes_unfrozen": cost.nodesUnfrozen,
      ])
  }

  // MARK: Handles

  private static func subject<T>(_ call: borrowing Call, _ kind: HandleKind<T>, _ method: String, _ what: String) throws -> T {
    guard let object = call.object(1, kind) else {
      throw ArgumentError("\(method): expected a \(what) as self, got \(Decoder.found(call[1])); methods are called with ':'")
    }
    return object
  }

  static var watchMembers: HandleMembers {
    var members = HandleMembers()
    members.methods["report"] = native("report") { call in
      call.returns(try ModuleLibrary.subject(call, watchKind, "report", "watch").report())
    }
    members.methods["assert_frozen"] = native("assert_frozen") { call in
      let watch = try ModuleLibrary.subject(call, watchKind, "assert_frozen", "watch")
      try watch.assertFrozen(call.isNil(2) ? nil : call.library.selection(call[2], "assert_frozen"))
    }
    members.methods["rows"] = native("rows") { call in
      let rows = try ModuleLibrary.subject(call, watchKind, "rows", "watch").rows()
      call.returns(
        .list(
          rows.map { row in
            var fields: [(key: Value, value: Value)] = [
              (.string("name"), .string(row.name)), (.string("is_parameter"), .boolean(row.isParameter)),
              (.string("trainable"), .boolean(row.isTrainable)), (.string("was_trainable"), .boolean(row.wasTrainable)),
              (.string("changed"), .boolean(row.hasChanged)), (.string("change"), .number(row.change)),
              (.string("largest_change"), .number(row.largestChange)), (.string("norm"), .number(row.norm)),
              (.string("steps"), .integer(row.steps)),
            ]
            if let norm = row.gradientNorm { fields.append((.string("grad_norm"), .number(norm))) }
            if let first = row.firstDifference { fields.append((.string("first_difference"), .integer(first + 1))) }
            if let line = row.lastWrite { fields.append((.string("last_write"), .string(line))) }
            if let units = row.deadUnits { fields.append((.string("dead_units"), .list(units.map { .integer($0 + 1) }))) }
            return .record(fields)
          }))
    }
    members.methods["history"] = native("history") { call in
      let watch = try ModuleLibrary.subject(call, watchKind, "history", "watch")
      call.returns(.list(watch.records.map(ModuleLibrary.value)))
    }
    // plot(path, quantity, title): writes a picture; Lua/freezing.lua asks whether the session lends files.
    members.methods["plot"] = native("plot") { call in
      let watch = try ModuleLibrary.subject(call, watchKind, "plot", "watch")
      let quantity = try ModuleLibrary.quantity(call[3], "plot")
      guard let title = call.isNil(4) ? "" : call.string(4) else {
        throw ArgumentError("plot: option 'title': expected text, got \(Decoder.found(call[4]))")
      }
      try named("plot") { try watch.chart(of: quantity, title: title).write(to: call.string(2) ?? "") }
    }
    members.methods["similarities"] = native("similarities") { call in
      let found = try ModuleLibrary.subject(call, watchKind, "similarities", "watch").similarities()
      call.returns(.record(found.map { (key: .string($0.layer), value: .number($0.value)) }))
    }
    members.getters["steps"] = native("steps") { call in
      call.returns(try ModuleLibrary.subject(call, watchKind, "steps", "watch").steps)
    }
    members.metamethods["__tostring"] = native("tostring") { call in
      call.returns(try ModuleLibrary.subject(call, watchKind, "tostring", "watch").report())
    }
    return members
  }

  private static func quantity(_ slot: Slot, _ name: String) throws -> Watch.Quantity {
    guard let quantity = Watch.Quantity(rawValue: slot.isNil ? "ratio" : slot.string ?? "") else {
      let known = Watch.Quantity.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
      throw ArgumentError("\(name): argument 2: expected one of \(known), got \(Decoder.found(slot))")
    }
    return quantity
  }

  /// One record of a watch: `{ step, updates = { … }, similarities = { … } }`.
  private static func value(_ record: WatchRecord) -> Value {
    let updates = record.updates.map { update -> Value in
      var fields: [(key: Value, value: Value)] = [
        (.string("name"), .string(update.name)), (.string("norm"), .number(update.norm)),
        (.string("grad_norm"), .number(update.gradientNorm)), (.string("update"), .number(update.update)),
        (.string("ratio"), .number(update.ratio)),
      ]
      if let cosine = update.cosine { fields.append((.string("cosine"), .number(cosine))) }
      if let dead = update.deadUnits { fields.append((.string("dead_units"), .integer(dead))) }
      return .record(fields)
    }
    return .record([
      (key: .string("step"), value: .integer(record.step)), (key: .string("updates"), value: .list(updates)),
      (
        key: .string("similarities"),
        value: .list(
          record.similarities.map {
            .record([(key: .string("layer"), value: .string($0.layer)), (key: .string("value"), value: .number($0.value))])
          })
      ),
    ])
  }

  static var unfreezeScheduleMembers: HandleMembers {
    var members = HandleMembers()
    members.methods["step"] = native("step") { call in
      let schedule = try ModuleLibrary.subject(call, unfreezeScheduleKind, "step", "schedule")
      guard call[2].type == .number, let epoch = call.number(2) else {
        throw ArgumentError("unfreeze_schedule: step: expected an epoch, got \(Decoder.found(call[2]))")
      }
      call.returns(.list(try schedule.step(epoch: epoch).map(ModuleLibrary.value)))
      call.state.giveNotice()
    }
    members.getters["pending"] = native("pending") { call in
      call.returns(try ModuleLibrary.subject(call, unfreezeScheduleKind, "pending", "schedule").pending)
    }
    members.metamethods["__tostring"] = native("tostring") { call in
      call.returns("UnfreezeSchedule: \(try ModuleLibrary.subject(call, unfreezeScheduleKind, "tostring", "schedule").pending) to come")
    }
    return members
  }

  static var guardMembers: HandleMembers {
    var members = HandleMembers()
    members.methods["close"] = native("close") { call in try subject(call, guardKind, "close", "guard").end() }
    members.metamethods["__close"] = native("close") { call in call.object(1, guardKind)?.end() }
    members.getters["names"] = native("names") { call in
      call.returns(.list(try subject(call, guardKind, "names", "guard").names.map { .string($0) }))
    }
    members.metamethods["__tostring"] = native("tostring") { call in
      call.returns("guard of \(try subject(call, guardKind, "tostring", "guard").names.joined(separator: ", "))")
    }
    return members
  }
}

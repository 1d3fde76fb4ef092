// Low-rank adapters and what is frozen, for scripts: what Lua/lora.lua is made of.

import LuaRuntime
import Tensors
import Training

extension ModuleLibrary {
  /// The adapters that a script means by a model and names of layers.
  private func adapters(_ call: borrowing Call) throws -> LowRankAdapters {
    try LowRankAdapters(model(call, "lora"), names: ModuleLibrary.names(call[2], "lora"))
  }

  private static func names(_ slot: Slot, _ what: String) throws -> [String] {
    guard slot.type == .table else { throw ArgumentError("\(what): expected a list of names, got \(Decoder.found(slot))") }
    var names: [String] = []
    try slot.forEachElement { position, element in
      guard element.type == .string, let name = element.string else {
        throw ArgumentError("\(what): element \(position): expected a name, got \(Decoder.found(element))")
      }
      names.append(name)
    }
    return names
  }

  private static func names(_ adapters: LowRankAdapters) -> Value { .list(adapters.layers.map { .string($0.name) }) }

  private static func list(_ tensors: [(name: String, tensor: Tensor)]) -> Value {
    .list(tensors.map { .list([.string($0.name), .object($0.tensor, tensorKind)]) })
  }

  static var adapterPrimitives: [String: NativeFunction] {
    [
      // lora(net, what, rank, alpha, dropout): the names of the layers that have adapters now.
      "lora": native("lora") { call in
        let net = try call.library.model(call, "lora")
        guard let rank = call.integer(3) else { throw ArgumentError("lora: option 'rank': expected a whole number") }
        let made = try net.adapt(call.library.selection(call[2], "lora"), rank: rank, alpha: call.number(4), dropout: call.number(5) ?? 0)
        call.returns(ModuleLibrary.names(made))
        call.state.giveNotice()
      },
      // adapted(net): the names of all layers that have one.
      "adapted": native("lora_adapter") { call in call.returns(ModuleLibrary.names(try call.library.model(call, "lora_adapter").adapters))
      },
      // adapters_do(net, names, action)
      "adapters_do": native("lora") { call in
        let adapters = try call.library.adapters(call)
        switch call.string(3) {
        case "merge": try adapters.merge()
        case "unmerge": adapters.unmerge()
        case "enable": adapters.setEnabled(true)
        case "disable": adapters.setEnabled(false)
        case "remove": try adapters.remove()
        default: try adapters.remove(merged: true)
        }
      },
      // adapter_text(net, names), adapter_parameters(net, names), adapter_state(net, names)
      "adapter_text": native("lora") { call in call.returns(try call.library.adapters(call).description) },
      "adapter_parameters": native("lora") { call in call.returns(ModuleLibrary.list(try call.library.adapters(call).namedParameters)) },
      "adapter_state": native("lora_state") { call in call.returns(ModuleLibrary.list(try call.library.adapters(call).state)) },
      // adapter_layers(net, names): a table for each.
      "adapter_layers": native("lora") { call in
        let rows = try call.library.adapters(call).layers.compactMap { name, layer -> Value? in
          guard let adapter = layer.lowRankAdapter else { return nil }
          return .record([
            "name": .string(name), "module": .string(layer.kind), "rank": .integer(adapter.rank), "alpha": .number(adapter.alpha),
            "scale": .number(adapter.scale), "dropout": .number(adapter.dropout), "merged": .boolean(adapter.isMerged),
            "enabled": .boolean(adapter.isEnabled),
          ])
        }
        call.returns(.list(rows))
      },
      // load_lora(net, state, strict): the names of the layers that it was of.
      "load_lora": native("load_lora") { call in
        let net = try call.library.model(call, "load_lora")
        guard call.type(2) == .table else { throw ArgumentError("load_lora: expected a table of tensors, got \(Decoder.found(call[2]))") }
        var state: [(name: String, tensor: Tensor)] = []
        try call[2].forEachPair(runsScripts: false) { key, value in
          guard key.type == .string, let name = key.string, let tensor = value.object(tensorKind) else {
            throw ArgumentError("load_lora: expected tensors by names, got \(Decoder.found(value)) under \(Decoder.found(key))")
          }
          state.append((name, tensor))
        }
        state.sort { $0.name < $1.name }
        call.returns(ModuleLibrary.names(try net.loadAdapters(state, strict: call[3].isTruthy)))
      },
      // freeze_state(net): lists of names; load_freeze_state(net, frozen, evaluation).
      "freeze_state": native("freeze_state") { call in
        let state = try call.library.model(call, "freeze_state").freezeState
        call.returns(.record(["frozen": .list(state.frozen.map(Value.string)), "evaluation": .list(state.evaluation.map(Value.string))]))
      },
      "load_freeze_state": native("load_freeze_state") { call in
        let net = try call.library.model(call, "load_freeze_state")
        let name = "load_freeze_state"
        try net.load(
          FreezeState(
            frozen: ModuleLibrary.names(call[2], name + ": frozen"), evaluation: ModuleLibrary.names(call[3], name + ": evaluation")))
      },
    ]
  }
}

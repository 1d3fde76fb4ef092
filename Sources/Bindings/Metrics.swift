// Metrics as handles: `mg.metrics.Accuracy()`, `m:update(scores, y)`, `m:compute()`. A walk over the catalogue.

import LuaRuntime
import Tensors
import Training

enum Metrics {
  /// `mg.metrics.X` for every kind.
  static var constructors: [(key: Value, value: Value)] {
    MetricCatalogue.kinds.map { kind in
      let decoder = Decoder(kind.name, kind.parameters, isMethod: false)
      return (
        .string(kind.name),
        .native(
          native(kind.name) { call in
            let metric = try kind.make(decoder.decode(call))
            metric.labelBase = 1
            call.returns(metric, metricKind)
          })
      )
    }
  }

  private static func metric(_ call: borrowing Call, _ method: String) throws -> Metric {
    guard let metric = call.object(1, metricKind) else {
      throw ArgumentError("\(method): expected a metric as self, got \(Decoder.found(call[1])); methods are called with ':'")
    }
    return metric
  }

  /// One number, or a tensor of several.
  private static func returns(_ value: Tensor, _ call: inout Call) {
    if value.count == 1, value.rank == 0 { call.returns(value.doubles[0]) } else { call.returns(tensor: value) }
  }

  static var members: HandleMembers {
    var members = HandleMembers()
    let decoders = Dictionary(
      uniqueKeysWithValues: MetricCatalogue.kinds.map { ($0.name, Decoder("\($0.name):update", $0.inputs, isMethod: false, skips: 1)) })
    func update(_ metric: Metric, _ call: borrowing Call) throws {
      guard let decoder = decoders[metric.kind.name] else { throw ArgumentError("\(metric.kind.name) cannot be updated by a script") }
      let arguments = try decoder.decode(call)
      func tensor(_ position: Int) throws -> Tensor? {
        if arguments.isAbsent(position) { return nil }
        if case .number(let number) = arguments.values[position] { return try Tensor([number.real], dtype: .float64) }
        return try arguments.tensor(position)
      }
      guard let first = try tensor(0) else { throw ArgumentError("\(metric.kind.name):update: nothing was given") }
      try metric.update(first, tensor(1))
    }
    members.methods["update"] = native("update") { call in try update(metric(call, "update"), call) }
    members.methods["compute"] = native("compute") { call in returns(try metric(call, "compute").compute(), &call) }
    members.methods["reset"] = native("reset") { call in try metric(call, "reset").reset() }
    members.methods["state_dict"] = native("state_dict") { call in
      let state = try metric(call, "state_dict").stateDict()
      call.returns(.record(state.map { (key: .string($0.name), value: .object($0.value, tensorKind)) }))
    }
    members.methods["load_state_dict"] = native("load_state_dict") { call in
      let metric = try metric(call, "load_state_dict")
      guard call.type(2) == .table else {
        throw ArgumentError("\(metric.kind.name).load_state_dict: expected what state_dict() gives, got \(Decoder.found(call[2]))")
      }
      var state: [String: Tensor] = [:]
      try call[2].forEachPair { key, value in if let name = key.string, let tensor = value.object(tensorKind) { state[name] = tensor } }
      try metric.load(state)
    }
    // The value of this batch alone, which is added to the others: what a loop shows as it goes.
    members.metamethods["__call"] = native("call") { call in
      let metric = try metric(call, "call")
      let alone = try metric.kind.make(Arguments(metric.kind.name, metric.options))
      alone.labelBase = metric.labelBase
      try update(alone, call)
      try update(metric, call)
      returns(try alone.compute(), &call)
    }
    members.metamethods["__tostring"] = NativeFunction("tostring") { call in call.returns(try metric(call, "tostring").description) }
    members.getters["count"] = NativeFunction("count") { call in call.returns(try metric(call, "count").count) }
    return members
  }
}

// Recurrent layers and their cells. All steps' inputs are multiplied by the weights at once, the states step by step.

import Tensors

/// RNN, LSTM or GRU over sequences, or one step of them.
public final class Recurrent: Layer {}

extension Recurrent {
  private enum Kind {
    case plain, lstm, gru

    /// How many rows of the hidden size the weights have.
    var gates: Int {
      switch self {
      case .plain: 1
      case .lstm: 4
      case .gru: 3
      }
    }
    var hasCell: Bool { self == .lstm }
  }

  /// The tensors of one layer in one direction.
  private struct Weights {
    let input, hidden: Tensor
    let inputBias, hiddenBias: Tensor?
    let projection: Tensor?
  }

  // MARK: One step

  /// The next state from the last one, and from what the input was multiplied to.
  private static func step(
    _ kind: Kind, _ gx: Tensor, _ h: Tensor, _ c: Tensor?, _ weights: Weights, _ activation: (Tensor) throws -> Tensor
  ) throws -> (h: Tensor, c: Tensor?) {
    let gh = try h.linear(weights.hidden, weights.hiddenBias)
    let size = weights.hidden.shape[0] / kind.gates
    func gate(_ g: Tensor, _ number: Int) throws -> Tensor { try g.narrow(-1, number * size, size) }
    switch kind {
    case .plain: return (try activation(gx + gh), nil)
    case .lstm:
      let g = try gx + gh
      let (i, f, o) = (try gate(g, 0).sigmoid(), try gate(g, 1).sigmoid(), try gate(g, 3).sigmoid())
      guard let c else { preconditionFailure("an LSTM has a cell") }
      let next = try f * c + i * gate(g, 2).tanh()
      let output = try o * next.tanh()
      return (try weights.projection.map { try output.linear($0, nil) } ?? output, next)
    case .gru:
      let (r, z) = (try (gate(gx, 0) + gate(gh, 0)).sigmoid(), try (gate(gx, 1) + gate(gh, 1)).sigmoid())
      let n = try (gate(gx, 2) + r * gate(gh, 2)).tanh()
      return (try n + z * (h - n), nil)
    }
  }

  // MARK: Sequences

  private static func sequences(_ layer: Layer, _ inputs: [Tensor], _ kind: Kind) throws -> [Tensor] {
    let settings = layer.settings
    let isAlone = inputs[0].rank == 2
    guard isAlone || inputs[0].rank == 3 else {
      throw TensorError(
        .shape, layer.kind,
        "an input (length, batch, input_size), or (length, input_size) without a batch, is expected, got shape \(inputs[0].shape)")
    }
    let features = try settings.integer("input_size")
    guard inputs[0].shape[inputs[0].rank - 1] == features else {
      throw TensorError(
        .shape, layer.kind, "an input of shape \(inputs[0].shape) does not fit: its last size must be input_size = \(features)")
    }
    let batchFirst = try settings.flag("batch_first") && !isAlone
    var x = isAlone ? try inputs[0].unsqueeze(1) : batchFirst ? try inputs[0].transpose(0, 1) : inputs[0]
    let (length, batch) = (x.shape[0], x.shape[1])
    guard length > 0 else { throw TensorError(.shape, layer.kind, "the sequence is empty: an input of shape \(inputs[0].shape)") }
    let layers = try settings.integer("num_layers")
    let directions = try settings.flag("bidirectional") ? 2 : 1
    let hidden = try settings.integer("hidden_size")
    let projected = kind.hasCell ? try settings.integer("proj_size") : 0
    let sizes = [projected > 0 ? projected : hidden, hidden]
    func initial(_ number: Int) throws -> Tensor {
      let shape = [layers * directions, batch, sizes[number]]
      guard inputs.count > number + 1 else { return try Tensor.zeros(Shape(shape, operation: layer.kind), dtype: x.dtype) }
      let given = isAlone && inputs[number + 1].rank == 2 ? try inputs[number + 1].unsqueeze(1) : inputs[number + 1]
      guard given.shape.array == shape else {
        let expected = isAlone ? [shape[0], shape[2]] : shape
        throw TensorError(
          .shape, layer.kind,
          "an initial \(number == 0 ? "hidden state" : "cell") of shape \(expected) is expected, got \(inputs[number + 1].shape)")
      }
      return given
    }
    guard inputs.count == 1 || inputs.count == (kind.hasCell ? 3 : 2) else {
      throw TensorError(.argument, layer.kind, "a hidden state and a cell are given together, or neither")
    }
    let h0 = try initial(0)
    let c0 = try kind.hasCell ? initial(1) : nil
    let activation = try activation(settings, kind)
    let dropout = try settings.real("dropout") ?? 0
    var (lastH, lastC): ([Tensor], [Tensor]) = ([], [])
    for number in 0..<layers {
      var outputs: [Tensor] = []
      for direction in 0..<directions {
        let weights = try weights(layer, suffix: "_l\(number)\(direction == 1 ? "_reverse" : "")")
        let gx = try x.linear(weights.input, weights.inputBias)
        let place = number * directions + direction
        var (h, c) = (try h0.select(0, place), try c0?.select(0, place))
        var steps = [Tensor?](repeating: nil, count: length)
        for t in direction == 0 ? Array(0..<length) : (0..<length).reversed() {
          (h, c) = try step(kind, gx.select(0, t), h, c, weights, activation)
          steps[t] = h
        }
        outputs.append(try stack(steps.map { $0! }))
        lastH.append(h)
        if let c { lastC.append(c) }
      }
      x = outputs.count == 1 ? outputs[0] : try join(outputs)
      if dropout > 0, layer.isTraining, number < layers - 1, let drop = TensorOperation.named("dropout") {
        x = try drop.run(Arguments(layer.kind, [.tensor(x), .number(.real(dropout)), .boolean(true)])).tensors[0]
      }
    }
    var results = [isAlone ? try x.squeeze([1]) : batchFirst ? try x.transpose(0, 1) : x]
    results.append(try stack(lastH))
    if kind.hasCell { results.append(try stack(lastC)) }
    return isAlone ? [results[0]] + (try results.dropFirst().map { try $0.squeeze([1]) }) : results
  }

  private static func call(_ name: String, _ arguments: [Argument]) throws -> Tensor {
    guard let operation = TensorOperation.named(name) else { preconditionFailure("there is no \(name)") }
    return try operation.run(Arguments(name, arguments)).tensors[0]
  }
  private static func stack(_ list: [Tensor]) throws -> Tensor { try call("stack", [.tensors(list)]) }
  private static func join(_ list: [Tensor]) throws -> Tensor { try call("cat", [.tensors(list), .integer(-1)]) }

  private static func activation(_ settings: Settings, _ kind: Kind) throws -> (Tensor) throws -> Tensor {
    guard kind == .plain else { return { $0 } }
    return try settings.text("nonlinearity") == "relu" ? { try $0.relu() } : { try $0.tanh() }
  }

  private static func weights(_ layer: Layer, suffix: String) throws -> Weights {
    func needed(_ name: String) throws -> Tensor {
      guard let tensor = layer.tensor(name + suffix) else {
        throw TensorError(.argument, layer.kind, "the parameter \(name)\(suffix) is absent")
      }
      return tensor
    }
    return Weights(
      input: try needed("weight_ih"), hidden: try needed("weight_hh"), inputBias: layer.tensor("bias_ih" + suffix),
      hiddenBias: layer.tensor("bias_hh" + suffix), projection: layer.tensor("weight_hr" + suffix))
  }

  /// Uniform between ±1/√hidden, all of them.
  private static func tensors(
    _ settings: Settings, _ dtype: DType?, _ kind: Kind, suffix: String, input: Int, projected: Int = 0
  ) throws -> [Layer.Slot] {
    let hidden = try settings.integer("hidden_size", atLeast: 1)
    let bound = 1 / Double(hidden).squareRoot()
    func slot(_ name: String, _ sizes: [Int]) throws -> Layer.Slot {
      let tensor = try Tensor.zeros(Shape(sizes, operation: settings.kind), dtype: dtype ?? DType.defaultFloating)
      return try .parameter(name + suffix, tensor.uniform(from: -bound, to: bound))
    }
    let rows = kind.gates * hidden
    var slots = [try slot("weight_ih", [rows, input]), try slot("weight_hh", [rows, projected > 0 ? projected : hidden])]
    if try settings.flag("bias") { slots += [try slot("bias_ih", [rows]), try slot("bias_hh", [rows])] }
    if projected > 0 { slots.append(try slot("weight_hr", [projected, hidden])) }
    return slots
  }

  // MARK: Rows

  private static let sizes = [Parameter("input_size", .integer), Parameter("hidden_size", .integer)]
  private static func flag(_ name: String, _ text: String) -> Parameter { Parameter(name, .boolean, default: text) }
  private static let nonlinearity = Parameter("nonlinearity", .string, default: "\"tanh\"")
  private static func states(_ kind: Kind) -> [Parameter] {
    [.input, Parameter("h_0", .tensor, optional: true)] + (kind.hasCell ? [Parameter("c_0", .tensor, optional: true)] : [])
  }

  private static func checkActivation(_ settings: Settings) throws {
    guard settings.parameters.contains(where: { $0.name == "nonlinearity" }) else { return }
    let name = try settings.text("nonlinearity")
    guard name == "tanh" || name == "relu" else {
      throw TensorError(.argument, settings.kind, "nonlinearity must be \"tanh\" or \"relu\", got \"\(name)\"")
    }
  }

  private static func row(_ name: String, _ kind: Kind, _ summary: String, _ samples: [ModuleSample]) -> LayerRow {
    LayerRow(
      name,
      summary
        + " From (length, batch, input_size) to outputs (length, batch, hidden_size) and the last states (layers, batch, hidden_size); batch_first puts the batch first, bidirectional runs both ways.",
      sizes + [Parameter("num_layers", .integer, default: "1")] + (kind == .plain ? [nonlinearity] : [])
        + [
          flag("bias", "true"), flag("batch_first", "false"), Parameter("dropout", .number, default: "0.0"), flag("bidirectional", "false"),
        ] + (kind.hasCell ? [Parameter("proj_size", .integer, default: "0")] : []) + [.dtype],
      inputs: states(kind), required: [], hasSeveralOutputs: true,
      prints: [.value("input_size"), .value("hidden_size")] + (kind.hasCell ? [.unless("proj_size", "0")] : [])
        + [
          .unless("num_layers", "1"), .unless("bias", "True"), .unless("batch_first", "False"), .unless("dropout", "0.0"),
          .unless("bidirectional", "False"),
        ], samples: samples,
      complete: { settings in
        guard try settings.integer("num_layers", atLeast: 1) <= 10_000 else {
          throw TensorError(.argument, settings.kind, "num_layers can be 10000 at most")
        }
        try checkActivation(settings)
        guard let p = try settings.real("dropout"), p >= 0, p <= 1 else {
          throw TensorError(.argument, settings.kind, "dropout must be a probability between 0 and 1")
        }
      },
      compute: { layer, inputs in try sequences(layer, inputs, kind) },
      state: { settings, dtype in
        let directions = try settings.flag("bidirectional") ? 2 : 1
        let hidden = try settings.integer("hidden_size", atLeast: 1)
        let projected = kind.hasCell ? try settings.integer("proj_size", atLeast: 0) : 0
        guard projected < hidden else {
          throw TensorError(.argument, settings.kind, "proj_size = \(projected) must be smaller than hidden_size = \(hidden)")
        }
        let output = projected > 0 ? projected : hidden
        return try (0..<settings.integer("num_layers")).flatMap { number in
          try (0..<directions).flatMap { direction in
            try tensors(
              settings, dtype, kind, suffix: "_l\(number)\(direction == 1 ? "_reverse" : "")",
              input: number == 0 ? settings.integer("input_size", atLeast: 1) : output * directions, projected: projected)
          }
        }
      })
  }

  private static func cell(_ name: String, _ kind: Kind, _ summary: String) -> LayerRow {
    LayerRow(
      name, summary + " From (batch, input_size) and states (batch, hidden_size), with or without the batch.",
      sizes + [flag("bias", "true")] + (kind == .plain ? [nonlinearity] : []) + [.dtype], inputs: states(kind), by: "linear",
      required: [], hasSeveralOutputs: kind.hasCell,
      prints: [.value("input_size"), .value("hidden_size"), .unless("bias", "True")]
        + (kind == .plain ? [.unless("nonlinearity", "tanh")] : []),
      samples: [
        ModuleSample([.integer(3), .integer(2)], [.float(4, 3)]), ModuleSample([.integer(3), .integer(2), .flag(false)], [.float(3)]),
      ],
      complete: { try checkActivation($0) },
      compute: { layer, inputs in
        let x = inputs[0]
        let hidden = try layer.settings.integer("hidden_size")
        let shape = try Shape(x.shape.array.dropLast() + [hidden], operation: layer.kind)
        func state(_ number: Int) throws -> Tensor {
          inputs.count > number ? inputs[number] : try Tensor.zeros(shape, dtype: x.dtype)
        }
        guard inputs.count == 1 || inputs.count == (kind.hasCell ? 3 : 2) else {
          throw TensorError(.argument, layer.kind, "a hidden state and a cell are given together, or neither")
        }
        let weights = try weights(layer, suffix: "")
        let gx = try x.linear(weights.input, weights.inputBias)
        let (h, c) = try step(
          kind, gx, state(1), kind.hasCell ? state(2) : nil, weights, activation(layer.settings, kind))
        return [h] + (c.map { [$0] } ?? [])
      },
      state: { settings, dtype in
        try tensors(settings, dtype, kind, suffix: "", input: settings.integer("input_size", atLeast: 1))
      })
  }

  private static func samples(_ extra: [ModuleSample]) -> [ModuleSample] {
    [
      ModuleSample([.integer(3), .integer(2)], [.float(4, 2, 3)]), ModuleSample([.integer(3), .integer(2)], [.float(4, 3)]),
      ModuleSample([.integer(3), .integer(2), .integer(2)], [.float(3, 2, 3)]),
    ] + extra
  }
  private static let several: Sample = [
    .integer(3), .integer(2), .integer(2), .flag(false), .flag(true), .number(0), .flag(true),
  ]

  private static let table: [LayerRow] = [
    row(
      "RNN", .plain, "h ← tanh(W · x + U · h), or relu.",
      samples([
        ModuleSample(
          [.integer(3), .integer(2), .integer(1), .text("relu"), .flag(true), .flag(true), .number(0), .flag(true)], [.float(2, 4, 3)])
      ])),
    row(
      "LSTM", .lstm, "Long short-term memory, with cells beside the hidden states: out, h, c = lstm(x, h_0, c_0).",
      samples([
        ModuleSample(several, [.float(2, 4, 3)]),
        ModuleSample(
          [.integer(3), .integer(4), .integer(2), .flag(true), .flag(false), .number(0), .flag(true), .integer(2)], [.float(3, 2, 3)]),
      ])),
    row("GRU", .gru, "Gated recurrent units: out, h = gru(x, h_0).", samples([ModuleSample(several, [.float(2, 4, 3)])])),
    cell("RNNCell", .plain, "One step of an RNN."),
    cell("LSTMCell", .lstm, "One step of an LSTM: h, c = cell(x, h, c)."),
    cell("GRUCell", .gru, "One step of a GRU."),
  ]

  static let kinds = table.map { $0.kind(Recurrent.self) }
}

// Recurrent layers and their cells. All steps' inputs are multiplied by the weights at once, the states step by step.

import Tensors

/// RNN, LSTM or GRU over sequences, or one step of them.
public class Recurrent: Layer {}

/// Sequences of several lengths without padding: the first elements of all, then the second ones of those that have one, and so on.
/// The longest come first.
public final class PackedSequence {
  /// `(elements of all, …)`.
  public let data: Tensor
  /// How many sequences reach each step, which never rises.
  public let sizes: [Int]
  /// Where each sequence of the sorted batch stood, and where each stands now; nil where they were in order.
  public let sorted, unsorted: Tensor?

  /// Throws where the sizes rise, or do not add up to the elements.
  public init(data: Tensor, sizes: [Int], sorted: Tensor? = nil, unsorted: Tensor? = nil) throws {
    func wrong(_ facts: TensorError.Facts) -> TensorError { TensorError(.shape, "PackedSequence", facts) }
    guard let batch = sizes.first, sizes.allSatisfy({ $0 > 0 }), zip(sizes, sizes.dropFirst()).allSatisfy(>=) else {
      throw wrong("batch_sizes must be positive and must not rise")
    }
    guard data.rank > 0, data.shape[0] == sizes.reduce(0, &+) else {
      throw wrong("batch_sizes add up to \(sizes.reduce(0, &+)), but data has shape \(data.shape)")
    }
    for order in [sorted, unsorted] {
      guard order.map({ $0.rank == 1 && $0.count == batch }) ?? true else { throw wrong("indices must be \(batch) positions") }
    }
    (self.data, self.sizes, self.sorted, self.unsorted) = (data, sizes, sorted, unsorted)
  }
}

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
    // By one node: each gate's own would fill all gates' gradient with zeros.
    func gates(_ g: Tensor) throws -> [Tensor] { try g.chunk(kind.gates, -1) }
    switch kind {
    case .plain: return (try activation(gx + gh), nil)
    case .lstm:
      guard let c else { preconditionFailure("an LSTM has a cell") }
      let next = try Tensor.lstmStep(gates: gx + gh, cells: c)
      return (try weights.projection.map { try next.state.linear($0, nil) } ?? next.state, next.cells)
    case .gru:
      let (x, y) = (try gates(gx), try gates(gh))
      let (r, z) = (try (x[0] + y[0]).sigmoid(), try (x[1] + y[1]).sigmoid())
      let n = try (x[2] + r * y[2]).tanh()
      return (try n + z * (h - n), nil)
    }
  }

  // MARK: Sequences

  /// How sequences lie in a tensor: all equally long, `(length, batch, …)`; or, packed, the first elements of all of them, then the
  /// second ones of those that have one, and so on.
  private struct Sequences {
    let batch: Int
    /// How many sequences reach each step; nil where all do.
    let sizes: [Int]?

    func apart(_ x: Tensor) throws -> [Tensor] { try sizes.map { try x.split($0, 0) } ?? x.unbind(0) }
    func together(_ steps: [Tensor]) throws -> Tensor { sizes == nil ? try Tensor.stack(steps) : try Tensor.cat(steps, 0) }
    func count(_ step: Int) -> Int { sizes?[step] ?? batch }
  }

  /// The state of all sequences while some end, or, backwards, while some begin.
  private struct State {
    private var rows: Tensor
    private let first: Tensor
    private var ended: [Tensor] = []

    /// `first` are the states before all steps, of which so many sequences are there at the first.
    init(_ first: Tensor, count: Int) throws {
      self.first = first
      rows = count == first.shape[0] ? first : try first.narrow(0, 0, count)
    }

    /// The state of the first `count` sequences, before a step that so many reach.
    mutating func reaching(_ count: Int) throws -> Tensor {
      let present = rows.shape[0]
      if count < present {
        ended.append(try rows.narrow(0, count, present - count))
        rows = try rows.narrow(0, 0, count)
      } else if count > present {
        rows = try Tensor.cat([rows, first.narrow(0, present, count - present)], 0)
      }
      return rows
    }

    mutating func become(_ next: Tensor) { rows = next }

    /// That of all sequences after their last steps.
    var last: Tensor { get throws { ended.isEmpty ? rows : try Tensor.cat([rows] + ended.reversed(), 0) } }
  }

  /// One layer in one direction, over all steps: the outputs of each, and the states at the end.
  private static func run(
    _ kind: Kind, _ x: Tensor, _ sequences: Sequences, _ h0: Tensor, _ c0: Tensor?, _ weights: Weights, isReverse: Bool,
    _ activation: (Tensor) throws -> Tensor
  ) throws -> (outputs: Tensor, h: Tensor, c: Tensor?) {
    if kind == .lstm, sequences.sizes == nil, weights.projection == nil, let c0 {
      // Both biases are added to the same sums.
      let bias = try weights.inputBias.map { first in try weights.hiddenBias.map { try first + $0 } ?? first } ?? weights.hiddenBias
      let gx = try x.linear(weights.input, bias)
      if let done = try (isReverse ? gx.flip([0]) : gx).lstmSteps(h0, c0, weights: weights.hidden) {
        let last = try done.states.select(0, done.states.shape[0] - 1)
        return (isReverse ? try done.states.flip([0]) : done.states, last, done.cells)
      }
    }
    let gx = try sequences.apart(x.linear(weights.input, weights.inputBias))
    let order = isReverse ? Array((0..<gx.count).reversed()) : Array(0..<gx.count)
    var h = try State(h0, count: sequences.count(order[0]))
    var c = try c0.map { try State($0, count: sequences.count(order[0])) }
    var outputs = [Tensor?](repeating: nil, count: gx.count)
    for t in order {
      let count = sequences.count(t)
      let next = try step(kind, gx[t], h.reaching(count), c?.reaching(count), weights, activation)
      h.become(next.h)
      if let cell = next.c { c?.become(cell) }
      outputs[t] = next.h
    }
    return (try sequences.together(outputs.map { $0! }), try h.last, try c?.last)
  }

  private static func sequences(_ layer: Layer, _ arguments: Arguments, _ kind: Kind) throws -> [Tensor] {
    let settings = layer.settings
    let packed = arguments.object(0) as? PackedSequence
    let input = try packed?.data ?? arguments.tensor(0)
    let isAlone = packed == nil && input.rank == 2
    guard packed != nil ? input.rank == 2 : isAlone || input.rank == 3 else {
      throw TensorError(
        .shape, layer.kind,
        packed != nil
          ? "packed sequences have data (elements, input_size), got shape \(input.shape)"
          : "an input (length, batch, input_size), or (length, input_size) without a batch, is expected, got shape \(input.shape)")
    }
    let features = try settings.integer("input_size")
    guard input.shape[input.rank - 1] == features else {
      throw TensorError(
        .shape, layer.kind, "an input of shape \(input.shape) does not fit: its last size must be input_size = \(features)")
    }
    let batchFirst = try settings.flag("batch_first") && !isAlone && packed == nil
    var x = isAlone ? try input.unsqueeze(1) : batchFirst ? try input.transpose(0, 1) : input
    let sequences = packed.map { Sequences(batch: $0.sizes[0], sizes: $0.sizes) } ?? Sequences(batch: x.shape[1], sizes: nil)
    guard x.shape[0] > 0 else { throw TensorError(.shape, layer.kind, "the sequence is empty: an input of shape \(input.shape)") }
    let layers = try settings.integer("num_layers")
    let directions = try settings.flag("bidirectional") ? 2 : 1
    let hidden = try settings.integer("hidden_size")
    let projected = kind.hasCell ? try settings.integer("proj_size") : 0
    let sizes = [projected > 0 ? projected : hidden, hidden]
    let given = [try arguments.optionalTensor(1), kind.hasCell ? try arguments.optionalTensor(2) : nil]
    guard !kind.hasCell || (given[0] == nil) == (given[1] == nil) else {
      throw TensorError(.argument, layer.kind, "a hidden state and a cell are given together, or neither")
    }
    func initial(_ number: Int) throws -> Tensor {
      let shape = [layers * directions, sequences.batch, sizes[number]]
      guard let state = given[number] else { return try Tensor.zeros(Shape(shape, operation: layer.kind), dtype: x.dtype) }
      let spread = isAlone && state.rank == 2 ? try state.unsqueeze(1) : state
      guard spread.shape.array == shape else {
        let expected = isAlone ? [shape[0], shape[2]] : shape
        throw TensorError(
          .shape, layer.kind, "an initial \(number == 0 ? "hidden state" : "cell") of shape \(expected) is expected, got \(state.shape)")
      }
      return try packed?.sorted.map { try spread.indexSelect(1, $0) } ?? spread
    }
    let h0 = try initial(0).unbind(0)
    let c0 = try kind.hasCell ? initial(1).unbind(0) : nil
    let activation = try activation(settings, kind)
    let dropout = try settings.real("dropout") ?? 0
    var (lastH, lastC): ([Tensor], [Tensor]) = ([], [])
    for number in 0..<layers {
      var outputs: [Tensor] = []
      for direction in 0..<directions {
        let weights = try weights(layer, suffix: "_l\(number)\(direction == 1 ? "_reverse" : "")")
        let place = number * directions + direction
        let done = try run(kind, x, sequences, h0[place], c0?[place], weights, isReverse: direction == 1, activation)
        outputs.append(done.outputs)
        lastH.append(done.h)
        if let c = done.c { lastC.append(c) }
      }
      x = outputs.count == 1 ? outputs[0] : try Tensor.cat(outputs, -1)
      if dropout > 0, layer.isTraining, number < layers - 1 {
        x = try TensorOperation.call("dropout", .tensor(x), .number(.real(dropout)), .boolean(true))
      }
    }
    func final(_ states: [Tensor]) throws -> Tensor {
      let all = try Tensor.stack(states)
      return isAlone ? try all.squeeze([1]) : try packed?.unsorted.map { try all.indexSelect(1, $0) } ?? all
    }
    return [isAlone ? try x.squeeze([1]) : batchFirst ? try x.transpose(0, 1) : x, try final(lastH)]
      + (kind.hasCell ? [try final(lastC)] : [])
  }

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
  private static let nonlinearity = Parameter("nonlinearity", .string, default: "\"tanh\"").oneOf("tanh", "relu")
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
      inputs: [Parameter("input", .sequence)] + states(kind).dropFirst(), required: [], hasSeveralOutputs: true,
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
      call: { layer, arguments in try sequences(layer, arguments, kind) },
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
      sizes + [flag("bias", "true")] + (kind == .plain ? [nonlinearity] : []) + [.dtype], inputs: states(kind),
      required: [], hasSeveralOutputs: kind.hasCell,
      prints: [.value("input_size"), .value("hidden_size"), .unless("bias", "True")]
        + (kind == .plain ? [.unless("nonlinearity", "tanh")] : []),
      samples: [
        ModuleSample([.integer(3), .integer(2)], [.float(4, 3)]), ModuleSample([.integer(3), .integer(2), .flag(false)], [.float(3)]),
        ModuleSample([.integer(3), .integer(2)], Sample([.float(4, 3), .float(4, 2)] + (kind.hasCell ? [.float(4, 2)] : []))),
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
          [.integer(3), .integer(2), .integer(1), .text("relu"), .flag(true), .flag(true), .number(0), .flag(true)], [.float(2, 4, 3)]),
        ModuleSample([.integer(3), .integer(2), .integer(2), .text("tanh"), .flag(true), .flag(false), .number(0.5)], [.float(4, 2, 3)]),
      ])),
    row(
      "LSTM", .lstm, "Long short-term memory, with cells beside the hidden states: out, h, c = lstm(x, h_0, c_0).",
      samples([
        ModuleSample(several, [.float(2, 4, 3)]),
        ModuleSample(
          [.integer(3), .integer(4), .integer(2), .flag(true), .flag(false), .number(0), .flag(true), .integer(2)], [.float(3, 2, 3)]),
        ModuleSample([.integer(2), .integer(3), .integer(1)], [.float(3, 2, 2), .float(1, 2, 3), .float(1, 2, 3)]),
        ModuleSample([.integer(2), .integer(2), .integer(2), .flag(true), .flag(false), .number(0.25), .flag(true)], [.float(3, 2, 2)]),
      ])),
    row(
      "GRU", .gru, "Gated recurrent units: out, h = gru(x, h_0).",
      samples([
        ModuleSample(several, [.float(2, 4, 3)]),
        ModuleSample([.integer(2), .integer(3)], [.float(3, 2, 2), .float(1, 2, 3)]),
      ])),
    cell("RNNCell", .plain, "One step of an RNN."),
    cell("LSTMCell", .lstm, "One step of an LSTM: h, c = cell(x, h, c)."),
    cell("GRUCell", .gru, "One step of a GRU."),
  ]

  static let kinds = table.map { $0.kind(Recurrent.self) }
}

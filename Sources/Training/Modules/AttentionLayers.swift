// Attention between sequences with projections of its own, and what is made of it: the layers of transformers.

import Tensors

/// Multi-head attention, and encoders and decoders made of it.
///
/// Masks that are bool say what is not seen, as PyTorch's layers have it (and unlike `scaled_dot_product_attention`); those of
/// floats are added to the scores. `is_causal` alone means that nothing later is seen.
public class AttentionLayer: Layer {}

extension AttentionLayer {
  // MARK: Masks

  /// What is added to the scores `(batch, heads, length, keys)`; nil for nothing.
  private struct Masks {
    var attention: Tensor?
    var padding: Tensor?

    /// `mask`: (length, keys), or (batch · heads, length, keys); `padding`: (batch, keys).
    init(
      _ layer: Layer, mask: Tensor?, padding: Tensor?, isCausal: Bool, _ batch: Int, _ heads: Int, _ length: Int, _ keys: Int,
      _ dtype: DType
    )
      throws
    {
      func expect(_ name: String, _ mask: Tensor, _ shapes: [[Int]]) throws {
        guard shapes.contains(mask.shape.array) else {
          throw TensorError(
            .shape, layer.kind,
            "\(name) of shape \(shapes.map { "\($0)" }.joined(separator: " or ")) is expected, got \(mask.shape)")
        }
        guard mask.dtype == .bool || mask.dtype.isFloating else {
          throw TensorError(.dtype, layer.kind, "\(name) must be bool or of a float dtype, got \(mask.dtype)")
        }
      }
      if var mask {
        try expect("attn_mask", mask, [[length, keys], [batch * heads, length, keys]])
        mask = try Masks.added(mask, dtype)
        attention = mask.rank == 3 ? try mask.reshape([batch, heads, length, keys]) : mask
      } else if isCausal {
        attention = try Masks.later(length, keys, dtype)
      }
      if let padding {
        try expect("key_padding_mask", padding, [[batch, keys]])
        self.padding = try Masks.added(padding, dtype).reshape([batch, 1, 1, keys])
      }
    }

    /// -inf where a bool mask says that nothing is seen.
    private static func added(_ mask: Tensor, _ dtype: DType) throws -> Tensor {
      guard mask.dtype == .bool else { return try mask.to(dtype) }
      return try Tensor.zeros(mask.shape, dtype: dtype).maskedFill(mask, .real(-.infinity))
    }

    /// -inf for keys that come later.
    static func later(_ length: Int, _ keys: Int, _ dtype: DType) throws -> Tensor {
      let full = try Tensor.filled(Shape([length, keys]), .real(-.infinity), dtype: dtype)
      return try TensorOperation.call("triu", .tensor(full), .integer(1))
    }

    /// One more key, which all see.
    mutating func append() throws {
      func longer(_ mask: Tensor) throws -> Tensor { try TensorOperation.call("pad", .tensor(mask), .integers([0, 1])) }
      attention = try attention.map(longer)
      padding = try padding.map(longer)
    }

    var sum: Tensor? {
      get throws {
        guard let attention else { return padding }
        return try padding.map { try attention + $0 } ?? attention
      }
    }
  }

  // MARK: Attention

  private static func attend(_ layer: Layer, _ arguments: Arguments) throws -> [Tensor] {
    let settings = layer.settings
    let (query, key, value) = (try arguments.tensor(0), try arguments.tensor(1), try arguments.tensor(2))
    let isAlone = query.rank == 2
    guard query.rank == 3 || isAlone, key.rank == query.rank, value.rank == query.rank else {
      throw TensorError(
        .shape, layer.kind,
        "query, key and value need 3 dimensions, or 2 without a batch, got shapes \(query.shape), \(key.shape) and \(value.shape)")
    }
    let batchFirst = try !isAlone && settings.flag("batch_first")
    func batched(_ x: Tensor) throws -> Tensor { isAlone ? try x.unsqueeze(1) : x }
    let isSelf = query === key && key === value
    let q = try batched(query)
    let k = isSelf ? q : try batched(key)
    let v = isSelf ? q : key === value ? k : try batched(value)
    let (embed, heads) = (try settings.integer("embed_dim"), try settings.integer("num_heads"))
    let (batchAt, lengthAt) = batchFirst ? (0, 1) : (1, 0)
    let (batch, length) = (q.shape[batchAt], q.shape[lengthAt])
    for (name, x, width) in [("query", q, embed), ("key", k, try settings.width("kdim")), ("value", v, try settings.width("vdim"))] {
      guard x.shape[2] == width else {
        throw TensorError(.shape, layer.kind, "\(name) must be \(width) wide, got shape \(x.shape)")
      }
    }
    guard k.shape[batchAt] == batch, v.shape[batchAt] == batch, k.shape[lengthAt] == v.shape[lengthAt] else {
      throw TensorError(
        .shape, layer.kind,
        "query, key and value need one batch, and keys as many values, got shapes \(query.shape), \(key.shape) and \(value.shape)")
    }
    func mask(_ position: Int) throws -> Tensor? {
      guard let mask = try arguments.optionalTensor(position) else { return nil }
      return isAlone && position == 3 && mask.rank == 1 ? try mask.unsqueeze(0) : mask
    }
    var masks = try Masks(
      layer, mask: mask(5), padding: mask(3), isCausal: arguments.boolean(7), batch, heads, length, k.shape[lengthAt], q.dtype)

    var (qs, ks, vs) = try projected(layer, q, k, v, embed)
    if let bias = layer.tensor("bias_k"), let other = layer.tensor("bias_v") {
      func append(_ x: Tensor, _ bias: Tensor) throws -> Tensor {
        let row = try bias.expand(batchFirst ? [batch, 1, embed] : [1, batch, embed])
        return try Tensor.cat([x, row], lengthAt)
      }
      (ks, vs) = (try append(ks, bias), try append(vs, other))
      try masks.append()
    }
    let width = embed / heads
    func split(_ x: Tensor) throws -> Tensor {
      try x.reshape([x.shape[0], x.shape[1], heads, width]).permute(batchFirst ? [0, 2, 1, 3] : [1, 2, 0, 3])
    }
    let qh = try split(qs)
    var (kh, vh) = (try split(ks), try split(vs))
    if try settings.flag("add_zero_attn") {
      let zero = try Tensor.zeros(Shape([batch, heads, 1, width]), dtype: kh.dtype)
      kh = try Tensor.cat([kh, zero], 2)
      vh = try Tensor.cat([vh, zero], 2)
      try masks.append()
    }
    let dropout = layer.isTraining ? try settings.real("dropout") ?? 0 : 0
    let needsWeights = try arguments.boolean(4, default: true)
    let (seen, weights) = try looked(qh, kh, vh, masks, isCausal: arguments.boolean(7), dropout: dropout, needsWeights: needsWeights)
    let joined = try seen.permute(batchFirst ? [0, 2, 1, 3] : [2, 0, 1, 3]).reshape(q.shape.array)
    let output = try layer.member("out_proj")(joined)
    let result = isAlone ? try output.squeeze([1]) : output
    guard var weights else { return [result] }
    if try arguments.boolean(6, default: true) { weights = try weights.mean([1]) }
    return [result, isAlone ? try weights.squeeze([0]) : weights]
  }

  /// The values seen by each head, `(batch, heads, length, width)`, and with what weights, where those are asked for.
  private static func looked(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ masks: Masks, isCausal: Bool, dropout: Double, needsWeights: Bool
  ) throws -> (Tensor, Tensor?) {
    guard needsWeights else {
      // What a mask says beside being causal has been merged into it.
      let mask = try isCausal && masks.padding == nil ? nil : masks.sum
      return (
        try TensorOperation.call(
          "scaled_dot_product_attention", .tensor(q), .tensor(k), .tensor(v), mask.map { .tensor($0) } ?? .absent, .number(.real(dropout)),
          .boolean(isCausal && mask == nil)), nil
      )
    }
    var scores = try (q * (1 / Double(q.shape[3]).squareRoot())).matmul(k.transpose(-2, -1))
    if let mask = try masks.sum { scores = try scores + mask }
    var weights = try scores.softmax(-1)
    if dropout > 0 { weights = try TensorOperation.call("dropout", .tensor(weights), .number(.real(dropout)), .boolean(true)) }
    return (try weights.matmul(v), weights)
  }

  /// Query, key and value times the weights, in one product where they are one.
  private static func projected(_ layer: Layer, _ q: Tensor, _ k: Tensor, _ v: Tensor, _ embed: Int) throws -> (Tensor, Tensor, Tensor) {
    let bias = layer.tensor("in_proj_bias")
    func adapted(_ y: Tensor, _ x: Tensor, _ name: String, _ first: Int, _ count: Int) throws -> Tensor {
      try layer.adapter?.projected(x, name, rows: (first * embed, count * embed)).map { try y + $0 } ?? y
    }
    guard let weight = layer.tensor("in_proj_weight") else {
      func one(_ x: Tensor, _ name: String, _ number: Int) throws -> Tensor {
        guard let weight = layer.tensor(name) else { throw TensorError(.argument, layer.kind, "the parameter \(name) is absent") }
        return try adapted(x.linear(weight, bias.map { try $0.narrow(0, number * embed, embed) }), x, name, 0, 1)
      }
      return (try one(q, "q_proj_weight", 0), try one(k, "k_proj_weight", 1), try one(v, "v_proj_weight", 2))
    }
    func part(_ x: Tensor, _ first: Int, _ count: Int) throws -> Tensor {
      let y = try x.linear(weight.narrow(0, first * embed, count * embed), bias.map { try $0.narrow(0, first * embed, count * embed) })
      return try adapted(y, x, "in_proj_weight", first, count)
    }
    if q === k, k === v {
      let all = try parts(adapted(q.linear(weight, bias), q, "in_proj_weight", 0, 3), embed)
      return (all[0], all[1], all[2])
    }
    let query = try part(q, 0, 1)
    guard k === v else { return (query, try part(k, 1, 1), try part(v, 2, 1)) }
    let both = try parts(part(k, 1, 2), embed)
    return (query, both[0], both[1])
  }

  /// The parts of that width of the last dimension.
  private static func parts(_ x: Tensor, _ width: Int) throws -> [Tensor] {
    try (0..<x.shape[x.rank - 1] / width).map { try x.narrow(-1, $0 * width, width) }
  }

  // MARK: What they are made of

  private static func filled(_ sizes: [Int], _ dtype: DType?, _ kind: String, _ fill: (Tensor) throws -> Tensor = { $0 }) throws -> Tensor {
    try fill(Tensor.zeros(Shape(sizes, operation: kind), dtype: dtype ?? DType.defaultFloating))
  }

  private static func attentionTensors(_ settings: Settings, _ dtype: DType?) throws -> [Layer.Slot] {
    let embed = try settings.integer("embed_dim", atLeast: 1)
    let (keys, values) = (try settings.width("kdim"), try settings.width("vdim"))
    func uniform(_ name: String, _ rows: Int, _ columns: Int) throws -> Layer.Slot {
      try .parameter(name, filled([rows, columns], dtype, settings.kind) { try Initializer.xavierUniform($0) })
    }
    var slots: [Layer.Slot] = []
    if keys == embed, values == embed {
      slots.append(try uniform("in_proj_weight", 3 * embed, embed))
    } else {
      slots += [
        try uniform("q_proj_weight", embed, embed), try uniform("k_proj_weight", embed, keys), try uniform("v_proj_weight", embed, values),
      ]
    }
    if try settings.flag("bias") { slots.append(try .parameter("in_proj_bias", filled([3 * embed], dtype, settings.kind))) }
    if try settings.flag("add_bias_kv") {
      for name in ["bias_k", "bias_v"] {
        slots.append(try .parameter(name, filled([1, 1, embed], dtype, settings.kind) { try Initializer.xavierNormal($0) }))
      }
    }
    return slots
  }

  private static func attentionMembers(_ settings: Settings, _ dtype: DType?) throws -> [(name: String, module: Module)] {
    let (embed, heads) = (try settings.integer("embed_dim", atLeast: 1), try settings.integer("num_heads", atLeast: 1))
    guard embed % heads == 0 else {
      throw TensorError(.argument, settings.kind, "embed_dim = \(embed) must be divisible by num_heads = \(heads)")
    }
    try checkDropout(settings)
    let output = try Linear(embed, embed, bias: settings.flag("bias"), dtype: dtype, kind: Linear.projection)
    if let bias = output.bias { try bias.detach().fill(.integer(0)) }
    return [("out_proj", output)]
  }

  static func checkDropout(_ settings: Settings) throws {
    guard let p = try settings.real("dropout"), p >= 0, p <= 1 else {
      throw TensorError(
        .argument, settings.kind, "dropout must be a probability between 0 and 1, got \(try settings.value("dropout").text(indexBase: 0))")
    }
  }

  // MARK: Rows

  private static func flag(_ name: String, _ text: String) -> Parameter { Parameter(name, .boolean, default: text) }
  private static func optional(_ name: String, _ kind: Parameter.Kind = .tensor) -> Parameter { Parameter(name, kind, optional: true) }
  private static let layerOptions = [
    Parameter("dim_feedforward", .integer, default: "2048"), Parameter("dropout", .number, default: "0.1"),
    Parameter("activation", .module, default: "\"relu\""), Parameter("layer_norm_eps", .number, default: "1e-05"),
    flag("batch_first", "false"), flag("norm_first", "false"), flag("bias", "true"), .dtype,
  ]

  private static func layerSamples(_ inputs: [Sample]) -> [ModuleSample] {
    func options(_ rest: [Sample.Value]) -> Sample { Sample([.integer(4), .integer(2), .integer(6), .number(0)] + rest) }
    return [
      ModuleSample(options([]), inputs[0]),
      ModuleSample(options([.text("gelu"), .number(0.01), .flag(true), .flag(true)]), inputs[1]),
      ModuleSample(options([.text("relu"), .number(1e-5), .flag(false), .flag(true), .flag(false)]), inputs[0]),
      ModuleSample([.integer(4), .integer(1), .integer(3), .number(0.25)], inputs[0]),
    ]
  }

  private static let table: [LayerRow] = [
    LayerRow(
      "MultiheadAttention",
      "Attention of num_heads heads: from query (length, batch, embed_dim), key (keys, batch, kdim) and value (keys, batch, vdim) to (length, batch, embed_dim) and the weights (batch, length, keys), by heads unless average_attn_weights; batch_first puts the batch first. A bool mask says what is not seen, one of floats is added; key_padding_mask is (batch, keys), attn_mask (length, keys) or (batch · num_heads, length, keys).",
      [
        Parameter("embed_dim", .integer), Parameter("num_heads", .integer), Parameter("dropout", .number, default: "0.0"),
        flag("bias", "true"),
        flag("add_bias_kv", "false"), flag("add_zero_attn", "false"), optional("kdim", .integer), optional("vdim", .integer),
        flag("batch_first", "false"), .dtype,
      ],
      inputs: [
        Parameter("query", .tensor), Parameter("key", .tensor), Parameter("value", .tensor), optional("key_padding_mask"),
        flag("need_weights", "true"), optional("attn_mask"), flag("average_attn_weights", "true"), flag("is_causal", "false"),
      ],
      hasSeveralOutputs: true, prints: [],
      samples: [
        ModuleSample([.integer(4), .integer(2)], [.float(3, 2, 4), .float(5, 2, 4), .float(5, 2, 4)]),
        ModuleSample(
          [.integer(4), .integer(1), .number(0), .flag(true), .flag(true), .flag(true), .absent, .absent, .flag(true)],
          [.float(2, 3, 4), .float(2, 5, 4), .float(2, 5, 4), .booleans([2, 5]), .flag(true), .float(3, 5), .flag(false)]),
        ModuleSample(
          [.integer(4), .integer(2), .number(0), .flag(false), .flag(false), .flag(false), .integer(3), .integer(5)],
          [.float(3, 4), .float(2, 3), .float(2, 5)]),
        ModuleSample([.integer(4), .integer(2), .number(0.25)], [.float(3, 2, 4), .float(5, 2, 4), .float(5, 2, 4)]),
        ModuleSample(
          [.integer(4), .integer(2)],
          [.float(3, 2, 4), .float(3, 2, 4), .float(3, 2, 4), .absent, .flag(false), .float(4, 3, 3)]),
      ], call: attend, members: attentionMembers, state: attentionTensors
    ),
    LayerRow(
      "TransformerEncoderLayer",
      "Self-attention and two linear layers with an activation between, each with a residual and a norm: from (length, batch, d_model) to the same.",
      [Parameter("d_model", .integer), Parameter("nhead", .integer)] + layerOptions,
      inputs: [Parameter("src", .tensor), optional("src_mask"), optional("src_key_padding_mask"), flag("is_causal", "false")],
      prints: [],
      samples: layerSamples([[.float(3, 2, 4)], [.float(2, 3, 4), .float(3, 3)]]), call: encode
    ) { try layerMembers($0, $1, isDecoder: false) },
    LayerRow(
      "TransformerDecoderLayer",
      "Self-attention, attention to the memory that an encoder made, and two linear layers, each with a residual and a norm: from (length, batch, d_model) to the same.",
      [Parameter("d_model", .integer), Parameter("nhead", .integer)] + layerOptions,
      inputs: [
        Parameter("tgt", .tensor), Parameter("memory", .tensor), optional("tgt_mask"), optional("memory_mask"),
        optional("tgt_key_padding_mask"), optional("memory_key_padding_mask"), flag("tgt_is_causal", "false"),
        flag("memory_is_causal", "false"),
      ], prints: [],
      samples: layerSamples([[.float(3, 2, 4), .float(2, 2, 4)], [.float(2, 3, 4), .float(2, 5, 4), .float(3, 3), .float(3, 5)]]),
      call: decode
    ) { try layerMembers($0, $1, isDecoder: true) },
    LayerRow(
      "TransformerEncoder", "num_layers copies of a layer, one after another, and a norm after them.",
      [
        Parameter("encoder_layer", .module), Parameter("num_layers", .integer), optional("norm", .module),
        // About speed alone in PyTorch, and of no effect here.
        flag("enable_nested_tensor", "true"), flag("mask_check", "true"),
      ],
      inputs: [Parameter("src", .tensor), optional("mask"), optional("src_key_padding_mask"), flag("is_causal", "false")], prints: [],
      samples: [
        ModuleSample(
          [.made("TransformerEncoderLayer", [.integer(4), .integer(2), .integer(3), .number(0)]), .integer(2)], [.float(3, 2, 4)]),
        ModuleSample(
          [
            .made("TransformerEncoderLayer", [.integer(4), .integer(1), .integer(3), .number(0)]), .integer(1),
            .made("LayerNorm", [.integer(4)]),
          ],
          [.float(3, 2, 4), .float(3, 3)]),
      ], call: stacked
    ) { settings, _ in try stackMembers(settings, "encoder_layer") },
    LayerRow(
      "TransformerDecoder", "num_layers copies of a layer, one after another, each given the memory; and a norm after them.",
      [Parameter("decoder_layer", .module), Parameter("num_layers", .integer), optional("norm", .module)],
      inputs: [
        Parameter("tgt", .tensor), Parameter("memory", .tensor), optional("tgt_mask"), optional("memory_mask"),
        optional("tgt_key_padding_mask"), optional("memory_key_padding_mask"), flag("tgt_is_causal", "false"),
        flag("memory_is_causal", "false"),
      ], prints: [],
      samples: [
        ModuleSample(
          [.made("TransformerDecoderLayer", [.integer(4), .integer(2), .integer(3), .number(0)]), .integer(2)],
          [.float(3, 2, 4), .float(2, 2, 4)])
      ], call: stacked
    ) { settings, _ in try stackMembers(settings, "decoder_layer") },
    LayerRow(
      "Transformer",
      "An encoder of src (source, batch, d_model) and a decoder of tgt (target, batch, d_model) that sees what the encoder made: to (target, batch, d_model).",
      [
        Parameter("d_model", .integer, default: "512"), Parameter("nhead", .integer, default: "8"),
        Parameter("num_encoder_layers", .integer, default: "6"), Parameter("num_decoder_layers", .integer, default: "6"),
        Parameter("dim_feedforward", .integer, default: "2048"), Parameter("dropout", .number, default: "0.1"),
        Parameter("activation", .module, default: "\"relu\""), optional("custom_encoder", .module), optional("custom_decoder", .module),
        Parameter("layer_norm_eps", .number, default: "1e-05"), flag("batch_first", "false"), flag("norm_first", "false"),
        flag("bias", "true"),
        .dtype,
      ],
      inputs: [
        Parameter("src", .tensor), Parameter("tgt", .tensor), optional("src_mask"), optional("tgt_mask"), optional("memory_mask"),
        optional("src_key_padding_mask"), optional("tgt_key_padding_mask"), optional("memory_key_padding_mask"),
        flag("src_is_causal", "false"),
        flag("tgt_is_causal", "false"), flag("memory_is_causal", "false"),
      ], prints: [],
      samples: [
        ModuleSample(
          [.integer(4), .integer(2), .integer(1), .integer(1), .integer(5), .number(0)], [.float(3, 2, 4), .float(2, 2, 4)]),
        ModuleSample(
          [
            .integer(4), .integer(2), .integer(1), .integer(2), .integer(3), .number(0), .text("gelu"), .absent, .absent, .number(1e-5),
            .flag(true),
          ],
          [.float(2, 3, 4), .float(2, 2, 4), .absent, .float(2, 2)]),
      ], call: transform, members: transformerMembers
    ),
  ]

  static let kinds = table.map { $0.kind(AttentionLayer.self) }
}

extension Settings {
  /// The width of keys or values, that of queries unless given.
  fileprivate func width(_ name: String) throws -> Int {
    if case .none = try value(name) { return try integer("embed_dim") }
    return try integer(name, atLeast: 1)
  }
}

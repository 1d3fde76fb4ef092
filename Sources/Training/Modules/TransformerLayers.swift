// Encoders and decoders of transformers: how they compute, and the layers that they are made of. Their rows stand with attention's.

import Tensors

extension AttentionLayer {
  // MARK: Layers of transformers

  private static func activated(_ layer: Layer, _ x: Tensor) throws -> Tensor {
    if layer.hasMember("activation") { return try layer.member("activation")(x) }
    return try layer.settings.text("activation") == "gelu" ? TensorOperation.call("gelu", .tensor(x)) : x.relu()
  }

  private static func fed(_ layer: Layer, _ x: Tensor, dropout: String) throws -> Tensor {
    let hidden = try layer.member("dropout")(activated(layer, layer.member("linear1")(x)))
    return try layer.member(dropout)(layer.member("linear2")(hidden))
  }

  private static func seen(
    _ layer: Layer, _ attention: String, _ x: Tensor, _ memory: Tensor, mask: Argument, padding: Argument, isCausal: Bool, dropout: String
  ) throws -> Tensor {
    let arguments: [Argument] = [
      .tensor(x), .tensor(memory), .tensor(memory), padding, .boolean(false), mask, .absent, .boolean(isCausal),
    ]
    return try layer.member(dropout)(layer.member(attention)(Arguments(layer.kind, arguments))[0])
  }

  static func encode(_ layer: Layer, _ arguments: Arguments) throws -> [Tensor] {
    let x = try arguments.tensor(0)
    func attended(_ x: Tensor) throws -> Tensor {
      try seen(
        layer, "self_attn", x, x, mask: arguments.value(1), padding: arguments.value(2), isCausal: arguments.boolean(3), dropout: "dropout1"
      )
    }
    let (norm1, norm2) = (try layer.member("norm1"), try layer.member("norm2"))
    if try layer.settings.flag("norm_first") {
      let y = try x + attended(norm1(x))
      return [try y + fed(layer, norm2(y), dropout: "dropout2")]
    }
    let y = try norm1(x + attended(x))
    return [try norm2(y + fed(layer, y, dropout: "dropout2"))]
  }

  static func decode(_ layer: Layer, _ arguments: Arguments) throws -> [Tensor] {
    let (x, memory) = (try arguments.tensor(0), try arguments.tensor(1))
    func own(_ x: Tensor) throws -> Tensor {
      try seen(
        layer, "self_attn", x, x, mask: arguments.value(2), padding: arguments.value(4), isCausal: arguments.boolean(6), dropout: "dropout1"
      )
    }
    func other(_ x: Tensor) throws -> Tensor {
      try seen(
        layer, "multihead_attn", x, memory, mask: arguments.value(3), padding: arguments.value(5), isCausal: arguments.boolean(7),
        dropout: "dropout2")
    }
    let (norm1, norm2, norm3) = (try layer.member("norm1"), try layer.member("norm2"), try layer.member("norm3"))
    if try layer.settings.flag("norm_first") {
      let y = try x + own(norm1(x))
      let z = try y + other(norm2(y))
      return [try z + fed(layer, norm3(z), dropout: "dropout3")]
    }
    let y = try norm1(x + own(x))
    let z = try norm2(y + other(y))
    return [try norm3(z + fed(layer, z, dropout: "dropout3"))]
  }

  /// The layers of a stack one after another, each with the arguments after the first `replaced`; then its norm.
  static func stacked(_ layer: Layer, _ arguments: Arguments) throws -> [Tensor] {
    var x = try arguments.tensor(0)
    for (_, inner) in try layer.member("layers").children {
      x = try inner(Arguments(layer.kind, [.tensor(x)] + arguments.values.dropFirst()))[0]
    }
    return [layer.hasMember("norm") ? try layer.member("norm")(x) : x]
  }

  static func transform(_ layer: Layer, _ arguments: Arguments) throws -> [Tensor] {
    let (source, target) = (try arguments.tensor(0), try arguments.tensor(1))
    let width = try layer.settings.integer("d_model")
    for (name, x) in [("src", source), ("tgt", target)] {
      guard x.rank == 2 || x.rank == 3, x.shape[x.rank - 1] == width else {
        throw TensorError(
          .shape, layer.kind, "\(name) of 3 dimensions, or 2 without a batch, and d_model = \(width) wide is expected, got \(x.shape)")
      }
    }
    func value(_ position: Int) -> Argument { arguments.value(position) }
    let memory = try layer.member("encoder")(Arguments(layer.kind, [.tensor(source), value(2), value(5), value(8)]))[0]
    return try layer.member("decoder")(
      Arguments(layer.kind, [.tensor(target), .tensor(memory), value(3), value(4), value(6), value(7), value(9), value(10)]))
  }

  // MARK: What they are made of

  static func layerMembers(_ settings: Settings, _ dtype: DType?, isDecoder: Bool) throws -> [(name: String, module: Module)] {
    let (width, hidden) = (try settings.integer("d_model", atLeast: 1), try settings.integer("dim_feedforward", atLeast: 1))
    let (p, bias) = (try settings.real("dropout") ?? 0, try settings.flag("bias"))
    try checkDropout(settings)
    if try settings.module("activation") == nil, try !["relu", "gelu"].contains(settings.text("activation")) {
      throw TensorError(
        .argument, settings.kind,
        "activation must be \"relu\", \"gelu\" or a module such as nn.SiLU(), got \"\(try settings.text("activation"))\"")
    }
    func attention() throws -> Module {
      try ModuleCatalogue.made(
        "MultiheadAttention",
        [
          .integer(width), .integer(settings.integer("nhead")), .number(.real(p)), .boolean(bias), .boolean(false), .boolean(false),
          .absent,
          .absent, .boolean(settings.flag("batch_first")), dtype.map { .dtype($0) } ?? .absent,
        ], for: settings.kind)
    }
    func norm() throws -> Module {
      try ModuleCatalogue.made(
        "LayerNorm",
        [
          .integers([width]), .number(.real(settings.real("layer_norm_eps") ?? 1e-5)), .boolean(true), .boolean(bias),
          dtype.map { .dtype($0) } ?? .absent,
        ])
    }
    var members: [(name: String, module: Module)] = [("self_attn", try attention())]
    if isDecoder { members.append(("multihead_attn", try attention())) }
    members += [
      ("linear1", try Linear(width, hidden, bias: bias, dtype: dtype)), ("dropout", try Dropout(p: p)),
      ("linear2", try Linear(hidden, width, bias: bias, dtype: dtype)),
    ]
    for number in 1...(isDecoder ? 3 : 2) { members.append(("norm\(number)", try norm())) }
    for number in 1...(isDecoder ? 3 : 2) { members.append(("dropout\(number)", try Dropout(p: p))) }
    if let activation = try settings.module("activation") { members.append(("activation", activation)) }
    return members
  }

  /// Copies of a layer, and a norm after them.
  static func stackMembers(_ settings: Settings, _ layer: String) throws -> [(name: String, module: Module)] {
    guard let one = try settings.module(layer) else { throw TensorError(.argument, settings.kind, "\(layer) must be a module") }
    let count = try settings.integer("num_layers", atLeast: 1)
    guard count <= 10_000 else { throw TensorError(.argument, settings.kind, "num_layers must be at most 10,000, got \(count)") }
    var members: [(name: String, module: Module)] = [("layers", ModuleList(try (0..<count).map { _ in try one.copied() }))]
    if let norm = try settings.module("norm") { members.append(("norm", norm)) }
    return members
  }

  static func transformerMembers(_ settings: Settings, _ dtype: DType?) throws -> [(name: String, module: Module)] {
    func named(_ name: String) throws -> Argument { try settings.value(name).asArgument }
    func stack(_ kind: String, _ own: String, _ count: String) throws -> Module {
      if let module = try settings.module(own) { return module }
      let layer = try ModuleCatalogue.made(
        "\(kind)Layer",
        [
          named("d_model"), named("nhead"), named("dim_feedforward"), named("dropout"), named("activation"), named("layer_norm_eps"),
          named("batch_first"), named("norm_first"), named("bias"), dtype.map { .dtype($0) } ?? .absent,
        ], for: settings.kind)
      let norm = try ModuleCatalogue.made(
        "LayerNorm",
        [
          .integers([settings.integer("d_model")]), named("layer_norm_eps"), .boolean(true), named("bias"),
          dtype.map { .dtype($0) } ?? .absent,
        ])
      return try ModuleCatalogue.made(kind, [.object(layer), named(count), .object(norm)], for: settings.kind)
    }
    let members: [(name: String, module: Module)] = [
      ("encoder", try stack("TransformerEncoder", "custom_encoder", "num_encoder_layers")),
      ("decoder", try stack("TransformerDecoder", "custom_decoder", "num_decoder_layers")),
    ]
    // All matrices get their values once more, as PyTorch has it.
    for (_, module) in members {
      for (_, parameter) in module.namedParameters() where parameter.rank > 1 { _ = try Initializer.xavierUniform(parameter.detach()) }
    }
    return members
  }
}

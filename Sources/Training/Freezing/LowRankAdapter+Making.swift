// Which layers can have a low-rank adapter, and the maps that theirs are made of.

import Tensors

extension LowRankAdapter {
  /// The classes of layers that can be adapted.
  public static let kinds = ["Linear", "Embedding", "Conv1d", "Conv2d", "Conv3d", "MultiheadAttention"]

  /// The names of the weights that are updated; nil for layers that cannot be adapted. (The output of attention is a Linear within it.)
  static func targets(of layer: Module) -> [String]? {
    switch layer {
    case is Linear,
      is Convolution where !layer.kind.hasPrefix("ConvTranspose"), is Embedding where layer.kind == "Embedding":
      ["weight"]
    case is AttentionLayer where layer.kind == "MultiheadAttention":
      ["in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"].filter { layer.weight($0) != nil }
    default: nil
    }
  }

  /// An adapter for a layer, by which nothing changes yet: B is 0, and A is drawn as a Linear's weight is. For embeddings, as in PEFT, A
  /// is 0 and B normal, so that entries that are never looked up stay as they are.
  convenience init(_ layer: Module, _ path: String, rank: Int, alpha: Double?, dropout: Double) throws {
    func refusal(_ facts: String) -> TensorError { TensorError(.argument, "lora", TensorError.Facts(facts)) }
    let name = path.isEmpty ? layer.kind : path
    guard rank >= 1 else { throw refusal("rank must be 1 or more, got \(rank)") }
    let alpha = alpha ?? Double(rank)
    guard alpha > 0, alpha.isFinite else { throw refusal("alpha must be a finite number above 0, got \(pythonNumber(alpha))") }
    guard dropout >= 0, dropout <= 1 else { throw refusal("dropout must be a probability between 0 and 1, got \(pythonNumber(dropout))") }
    if let adapter = layer.lowRankAdapter {
      throw refusal("\(name) has an adapter of rank \(adapter.rank) already; remove() that first")
    }
    guard let targets = LowRankAdapter.targets(of: layer) else { throw refusal("\(name) is a \(layer.kind), which cannot be adapted") }
    for target in targets where layer.parametrization(of: target) != nil {
      throw refusal("\(dotted(path, target)) is computed by a parametrization; remove that first")
    }
    if layer is Embedding, let layer = layer as? Layer, case .none = try layer.settings.value("max_norm") {
    } else if layer is Embedding {
      throw refusal("\(name) has max_norm, which scales its rows at each call: they cannot stay as they are beside an update")
    }
    let parts = try targets.map { target -> Part in
      guard let weight = layer.weight(target) else { throw refusal("\(name) has no \(target)") }
      // Sizes are multiplied by the rank: what fits in no memory is refused before it is drawn.
      guard rank <= Int.max / 8 / max(1, weight.count) else { throw refusal("rank \(rank) is too large for \(name)") }
      let (down, up) = try LowRankAdapter.maps(layer, name, weight, rank)
      for map in [down, up] { map.isTraining = layer.isTraining }
      return Part(target: target, suffix: targets.count > 1 ? "_\(target.prefix(1))" : "", down: down, up: up)
    }
    try self.init(rank: rank, alpha: alpha, dropout: dropout, parts)
    dropper?.isTraining = layer.isTraining || layer.staysInEvaluation
  }

  private static func maps(_ layer: Module, _ name: String, _ weight: Tensor, _ rank: Int) throws -> (down: Module, up: Module) {
    let dtype = weight.dtype
    func zero(_ module: Module) throws -> Module {
      if let weight = module.weight("weight") { try weight.detach().fill(.integer(0)) }
      return module
    }
    /// A layer of the class of this one, with other options in the places of some.
    func like(_ changed: [String: Argument]) throws -> Module {
      guard let layer = layer as? Layer, let kind = ModuleCatalogue.kind(named: layer.kind) else {
        throw TensorError(.argument, "lora", "\(name) is a \(layer.kind) of the host's own, which cannot be adapted")
      }
      let arguments = try kind.parameters.map { parameter in
        try changed[parameter.name]
          ?? (parameter.kind == .dtype ? .dtype(dtype) : parameter.name == "bias" ? .boolean(false) : layer.option(parameter))
      }
      return try kind.make(Arguments(kind.name, arguments))
    }
    switch layer {
    case is Embedding:
      let down = try zero(layer.withoutDrawing { try like(["embedding_dim": .integer(rank)]) })
      let up = try layer.withoutDrawing { try Linear(rank, weight.shape[1], bias: false, dtype: dtype) }
      try up.weight.detach().normal()
      return (down, up)
    case let convolution as Convolution:
      let groups = try convolution.settings.integer("groups")
      guard rank % groups == 0 else {
        throw TensorError(
          .argument, "lora",
          "\(name) is a convolution of \(groups) groups, each of which gets its share of the rank: \(rank) is not divisible by \(groups)")
      }
      let ones = Argument.integers(Array(repeating: 1, count: weight.rank - 2))
      let down = try like(["out_channels": .integer(rank)])
      let up = try layer.withoutDrawing {
        try like([
          "in_channels": .integer(rank), "kernel_size": ones, "stride": ones, "dilation": ones, "padding": .integer(0),
          "padding_mode": .string("zeros"),
        ])
      }
      return (down, try zero(up))
    default:
      let down = try Linear(weight.shape[1], rank, bias: false, dtype: dtype)
      return (down, try zero(layer.withoutDrawing { try Linear(rank, weight.shape[0], bias: false, dtype: dtype) }))
    }
  }
}

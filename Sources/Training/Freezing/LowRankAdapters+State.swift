// Low-rank adapters alone, as names and tensors: a few numbers beside a model that others have.

import Tensors

extension LowRankAdapters {
  /// A and B of every layer, `hidden.lora_A.weight`, and alpha, a number of float64, `hidden.lora_alpha`. The tensors share the adapters'
  /// elements and stand outside the graph.
  public var state: [(name: String, tensor: Tensor)] {
    get throws {
      try layers.flatMap { name, layer -> [(name: String, tensor: Tensor)] in
        guard let adapter = layer.adapter else { return [] }
        let maps = adapter.children.flatMap { child in child.module.namedParameters(prefix: dotted(name, child.name)) }
        return maps.map { ($0.name, $0.tensor.detach()) } + [
          (dotted(name, "lora_alpha"), try Tensor.filled([], .real(adapter.alpha), dtype: .float64))
        ]
      }
    }
  }
}

extension Module {
  /// Takes over what ``LowRankAdapters/state`` gave. Layers that have no adapter yet get one of the rank that is saved, and are frozen as
  /// by ``adapt(_:rank:alpha:dropout:)``. Where no alpha is saved, adapters keep theirs, and new ones have their rank for it.
  ///
  /// Names may begin with `base_model.model.`, as in files of PEFT. Throws, and changes nothing, where a name or a shape does not fit, or, if
  /// `strict`, where an adapter of this model is not among what is saved.
  @discardableResult
  public final func loadAdapters(_ saved: [(name: String, tensor: Tensor)], strict: Bool = true) throws -> LowRankAdapters {
    func refusal(_ facts: String) -> TensorError { TensorError(.argument, "load_lora", TensorError.Facts(facts)) }
    let foreign = "base_model.model."
    let entries = saved.map { (name: $0.name.hasPrefix(foreign) ? String($0.name.dropFirst(foreign.count)) : $0.name, tensor: $0.tensor) }
    let given = Dictionary(entries, uniquingKeysWith: { $1 })
    // Layers in the order of the model.
    var paths: [String: [String]] = [:]
    for (name, _) in entries {
      let parts = name.split(separator: ".", omittingEmptySubsequences: false)
      guard let place = parts.lastIndex(where: { $0.hasPrefix("lora_") }) else {
        throw refusal("\(name) is nothing of an adapter's: names are such as hidden.lora_A.weight")
      }
      paths[parts[..<place].joined(separator: "."), default: []].append(name)
    }
    guard !paths.isEmpty else { throw refusal("there is nothing in what was saved") }
    let modules = namedModules(removesDuplicates: false)
    let own = modules.filter { paths[$0.name] != nil }
    if let unknown = paths.keys.sorted().first(where: { path in !own.contains { $0.name == path } }) {
      let hint = nearest(unknown, modules.map(\.name).filter { !$0.isEmpty }).map { "; did you mean '\($0)'?" } ?? ""
      throw refusal("there is no layer '\(unknown)' for \(paths[unknown]![0])\(hint)")
    }
    if strict, let left = adapters.layers.first(where: { layer in !own.contains { $0.module.identity == layer.layer.identity } }) {
      throw refusal("the adapter of \(left.name.isEmpty ? kind : left.name) is not among what was saved")
    }
    var made: [(layer: Module, adapter: LowRankAdapter)] = []
    var alphas: [(adapter: LowRankAdapter, alpha: Double)] = []
    var copies: [(name: String, tensor: Tensor, source: Tensor)] = []
    for (path, layer) in own {
      let alpha = try given[dotted(path, "lora_alpha")].map { tensor -> Double in
        guard tensor.count == 1, case let value = try tensor.detach().item().real, value > 0, value.isFinite else {
          throw refusal("\(dotted(path, "lora_alpha")) must be one number above 0, got a tensor of shape \(tensor.shape)")
        }
        return value
      }
      var adapter = layer.adapter
      if adapter == nil {
        adapter = try layer.withoutDrawing {
          try LowRankAdapter(layer, path, rank: savedRank(path, layer, given), alpha: alpha, dropout: 0)
        }
        made.append((layer, adapter!))
      }
      guard let adapter else { continue }
      if let alpha { alphas.append((adapter, alpha)) }
      let maps = adapter.parts.flatMap { part in
        [("lora_A\(part.suffix).weight", part.a), ("lora_B\(part.suffix).weight", part.b)]
      }
      for (name, tensor) in maps {
        let name = dotted(path, name)
        guard let source = given[name] else { throw refusal("\(name) is missing") }
        guard source.shape == tensor.shape else {
          throw refusal("\(name) has shape \(tensor.shape) here and \(source.shape) in what was saved")
        }
        try tensor.checkGuard(by: "load_lora")
        copies.append((name, tensor, source))
      }
      let known = Set(maps.map { dotted(path, $0.0) } + [dotted(path, "lora_alpha")])
      if let other = paths[path]!.first(where: { !known.contains($0) }) {
        throw refusal("\(other) is nothing of the adapter of a \(layer.kind)")
      }
    }
    try attach(made)
    for (adapter, alpha) in alphas { adapter.alpha = alpha }
    try withNoGrad { for copy in copies { try copy.tensor.copy(from: copy.source) } }
    return LowRankAdapters(self, own.map { ($0.name, $0.module) })
  }

  /// The inner size of B, which has as many columns, or as many for each group of a convolution.
  private func savedRank(_ path: String, _ layer: Module, _ given: [String: Tensor]) throws -> Int {
    let name = dotted(path, LowRankAdapter.targets(of: layer)?.count == 3 ? "lora_B_q.weight" : "lora_B.weight")
    guard let b = given[name], b.rank >= 2 else {
      throw TensorError(
        .argument, "load_lora",
        TensorError.Facts(
          given[name] == nil
            ? "\(path.isEmpty ? layer.kind : path) has no adapter, and \(name), which would tell its rank, is missing"
            : "\(name) is no matrix"))
    }
    guard let convolution = layer as? Convolution else { return b.shape[1] }
    return try b.shape[1] * convolution.settings.integer("groups")
  }
}

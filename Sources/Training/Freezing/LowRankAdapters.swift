// Low-rank adapters of a model: which layers get them, and what is done with all of them.

import Tensors

/// The low-rank adapters of layers of a model.
public struct LowRankAdapters: CustomStringConvertible {
  /// The model.
  public let module: Module
  /// The layers, by their names in the model.
  public let layers: [(name: String, layer: Module)]

  init(_ module: Module, _ layers: [(name: String, layer: Module)]) {
    self.module = module
    self.layers = layers
  }

  /// The adapters of layers of those names. Throws where there is no such layer, or where it has no adapter.
  public init(_ module: Module, names: [String]) throws {
    self.module = module
    layers = try names.map { name in
      let layer = try module.submodule(name)
      guard layer.adapter != nil else {
        throw TensorError(.argument, "lora", TensorError.Facts("\(name.isEmpty ? layer.kind : name) has no adapter any more"))
      }
      return (name, layer)
    }
  }

  /// The adapters of those layers that have one still.
  public var adapters: [LowRankAdapter] { layers.compactMap(\.layer.adapter) }

  /// A and B of every layer, by their names in the model.
  public var namedParameters: [(name: String, tensor: Tensor)] {
    layers.flatMap { name, layer in
      (layer.adapter?.children ?? []).flatMap { child in child.module.namedParameters(prefix: dotted(name, child.name)) }
    }
  }

  /// Computes with one weight W + scale · B·A wherever no gradients of the update are wanted. W keeps its bits.
  public func merge() throws { for (_, layer) in layers { try layer.adapter?.merge(layer) } }

  /// Computes weight and update apart again.
  public func unmerge() { for adapter in adapters { adapter.unmerge() } }

  /// Lets calls add the updates, or leave them out.
  public func setEnabled(_ enabled: Bool) { for adapter in adapters { adapter.isEnabled = enabled } }

  /// Removes the adapters: the layers are as they were before, and their parameters trained or not as they were. Where `merged`, the
  /// weights have the updates in them; one that another layer of the model shares, which has no such update, becomes one of its own.
  public func remove(merged: Bool = false) throws {
    if merged {
      let all = module.parametersByAllNames()
      var sums: [(layer: Module, target: String, weight: Tensor, sum: Tensor, isShared: Bool)] = []
      for (_, layer) in layers {
        guard let adapter = layer.adapter else { continue }
        for part in adapter.parts {
          guard let weight = layer.weight(part.target), let sum = try adapter.sum(of: part.target, in: layer) else { continue }
          let owners = module.namedModules().filter { $0.module.parameters.contains { $0.tensor === weight } }
          sums.append((layer, part.target, weight, sum, owners.count > 1 || all.count { $0.tensor === weight } > 1 && owners.count != 1))
        }
      }
      if WriteGuard.areThere { for sum in sums where !sum.isShared { try sum.weight.checkGuard(by: "lora") } }
      for sum in sums {
        if sum.isShared {
          try sum.layer.set(parameter: sum.target, sum.sum.detach().copied().markParameter(requiresGrad: sum.weight.requiresGrad))
        } else {
          try withNoGrad { _ = try sum.weight.copy(from: sum.sum) }
        }
      }
    }
    for (_, layer) in layers {
      guard let adapter = layer.adapter else { continue }
      layer.adapter = nil
      for (name, wasTrained) in adapter.flags { try layer.weight(name)?.setRequiresGrad(wasTrained) }
    }
  }

  /// A text: which layers have adapters, and of which rank.
  public var description: String {
    let groups = Dictionary(grouping: layers) { entry in
      entry.layer.adapter.map { adapter in
        "rank \(adapter.rank), alpha \(adapter.alphaText)"
          + (adapter.dropout > 0 ? ", dropout \(pythonNumber(adapter.dropout))" : "") + (adapter.isMerged ? ", merged" : "")
          + (adapter.isEnabled ? "" : ", disabled")
      } ?? "removed"
    }
    let texts = groups.sorted { $0.key < $1.key }.map { state, layers in
      let names = layers.prefix(8).map { $0.name.isEmpty ? $0.layer.kind : "\($0.name) (\($0.layer.kind))" }.joined(separator: ", ")
      return "\(state): \(names)" + (layers.count > 8 ? ", … (\(layers.count - 8) more)" : "")
    }
    let all = module.namedParameters()
    let (total, trained) = (all.reduce(0) { $0 + $1.tensor.count }, all.reduce(0) { $0 + ($1.tensor.requiresGrad ? $1.tensor.count : 0) })
    let share = total == 0 ? 0 : (Double(trained) / Double(total) * 1000).rounded() / 10
    return "low-rank adapters of \(texts.joined(separator: "; ")); \(trained) of \(total) numbers are trained (\(share) %)"
  }
}

extension Module {
  /// Gives layers low-rank adapters, and freezes the parameters of these layers: what trains is the updates. Other parameters stay as they are.
  ///
  /// `selection` means layers by their weights: a pattern of names such as `"encoder.*"`, modules, all. Of what it means, layers that can
  /// be adapted get an adapter (see ``LowRankAdapter/kinds``), and there must be one. `alpha` is `rank` unless given; the update is
  /// multiplied by alpha / rank. Optimizers have to be given the parameters of the adapters. Throws, and changes nothing, where a layer
  /// has an adapter already.
  @discardableResult
  public final func adapt(
    _ selection: ParameterSelection = .all, rank: Int, alpha: Double? = nil, dropout: Double = 0
  ) throws -> LowRankAdapters {
    let layers = try adaptable(selection)
    var made: [(layer: Module, adapter: LowRankAdapter)] = []
    for (name, layer) in layers {
      made.append((layer, try LowRankAdapter(layer, name, rank: rank, alpha: alpha, dropout: dropout)))
      if layer.ownParameters.contains(where: { $0.tensor?.grad != nil }) {
        Notice.postOnce(
          "lora: \(name.isEmpty ? layer.kind : name) was trained before: an optimizer that was made then does not hold the adapter's parameters; make another of them"
        )
      }
    }
    try attach(made)
    return LowRankAdapters(self, layers)
  }

  /// The adapters that layers of this model have; none, where there are none.
  public final var adapters: LowRankAdapters { LowRankAdapters(self, namedModules().filter { $0.module.adapter != nil }.map { ($0, $1) }) }

  /// Puts adapters into force.
  final func attach(_ made: [(layer: Module, adapter: LowRankAdapter)]) throws {
    // Before any is frozen: a weight may belong to several.
    for (layer, adapter) in made {
      adapter.flags = layer.ownParameters.compactMap { entry in entry.tensor.map { (entry.name, $0.requiresGrad) } }
    }
    for (layer, adapter) in made {
      for (name, _) in adapter.flags { try layer.weight(name)?.setRequiresGrad(false) }
      layer.adapter = adapter
    }
  }

  /// The layers whose weights are meant, under their first names.
  private func adaptable(_ selection: ParameterSelection) throws -> [(name: String, layer: Module)] {
    let all = parametersByAllNames()
    var groups: [(what: String, names: Set<String>)]
    switch selection {
    case .patterns(let patterns):
      groups = try patterns.map { pattern in
        _ = try selected(.patterns([pattern]), "lora")
        return ("'\(pattern)'", Set(all.map(\.name).filter { NamePattern.names($0, by: pattern) }))
      }
    case .modules(let modules):
      groups = try modules.map { module in
        _ = try selected(.modules([module]), "lora")
        let path = namedModules(removesDuplicates: false).first { $0.module.identity == module.identity }?.name ?? ""
        return (path.isEmpty ? kind : path, Set(all.map(\.name).filter { path.isEmpty || $0.hasPrefix(path + ".") }))
      }
    case .all, .tensors, .matching:
      let chosen = Set(try selected(selection, "lora").map { ObjectIdentifier($0.tensor) })
      groups = [("this", Set(all.filter { chosen.contains(ObjectIdentifier($0.tensor)) }.map(\.name)))]
    }
    let modules = namedModules(removesDuplicates: false)
    let inner = Set(modules.flatMap { $0.module.adapter?.children.map(\.module.identity) ?? [] })
    let layers = modules.filter { !inner.contains($0.module.identity) }.compactMap { path, module in
      LowRankAdapter.targets(of: module).map { (name: path, layer: module, weights: $0.map { dotted(path, $0) }) }
    }
    var result: [(name: String, layer: Module)] = []
    var seen = Set<ModuleIdentity>()
    for (what, names) in groups {
      let found = layers.filter { !names.isDisjoint(with: $0.weights) }
      guard !found.isEmpty else { throw unadaptable(what, names, modules) }
      for layer in found where seen.insert(layer.layer.identity).inserted { result.append((layer.name, layer.layer)) }
    }
    return result
  }

  private func unadaptable(_ what: String, _ names: Set<String>, _ modules: [(name: String, module: Module)]) -> TensorError {
    let owners = modules.filter { path, module in module.ownParameters.contains { names.contains(dotted(path, $0.name)) } }
    let inner = Set(modules.flatMap { $0.module.adapter?.children.map(\.module.identity) ?? [] })
    var text = owners.prefix(3).map { path, module in
      let name = path.isEmpty ? "it" : path
      if inner.contains(module.identity) { return "\(name) is part of an adapter" }
      if LowRankAdapter.targets(of: module) == nil { return "\(name) is a \(module.kind)" }
      return module.ownParameters.map { dotted(path, $0.name) }.filter(names.contains).joined(separator: ", ") + " has no update"
    }.joined(separator: ", ")
    if owners.count > 3 { text += ", … (\(owners.count - 3) more)" }
    return TensorError(
      .argument, "lora",
      TensorError.Facts(
        "\(what) means no layer that can be adapted: \(text) (weights of \(LowRankAdapter.kinds.joined(separator: ", ")) can)"))
  }
}

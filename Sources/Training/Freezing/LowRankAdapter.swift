// Low-rank adapters (LoRA; Hu et al., 2021): a layer's weight W stays as it is, and what trains is an update B·A of low rank beside it.
//
// The layer stays the object that it is, under its name: the adapter is what the layer's call adds to its result. So checkpoints of the
// model without adapters still fit, and patterns such as `hidden.*` still mean the layer. A and B are modules within the layer, under
// the names that PEFT gives them: `hidden.lora_A.weight`, `hidden.lora_B.weight`.

import Tensors

/// The update of one layer's weight: `scale · B·A`, where A maps to `rank` numbers and B back.
///
/// It is computed as scale · B(A(x)), never as a matrix of the weight's size, so that training needs no gradient of such a size. Where
/// it is merged, calls that want no gradients of it use the sum W + scale · B·A, which is made anew whenever one of the three changed;
/// W itself is never written to.
public final class LowRankAdapter {
  /// A weight that is updated, and the two maps.
  struct Part {
    /// The weight's name in the layer.
    let target: String
    /// What tells the maps of several weights apart: empty, or `_q`, `_k`, `_v`.
    let suffix: String
    let down: Module
    let up: Module

    var a: Tensor { down.parameters[0].tensor! }
    var b: Tensor { up.parameters[0].tensor! }
  }

  /// Inner size of the update.
  public let rank: Int
  /// The update is multiplied by alpha / rank.
  public internal(set) var alpha: Double
  /// Whether calls add the update.
  public var isEnabled = true
  /// Whether calls that want no gradients of the update use one weight for both.
  public private(set) var isMerged = false
  let parts: [Part]
  /// Drops elements of what the update is computed of; absent where nothing is dropped.
  let dropper: Dropout?
  /// Which of the layer's own parameters were trained before, by name.
  var flags: [(name: String, wasTrained: Bool)] = []
  private var sums: [Sum?]

  /// What the update is multiplied by.
  public var scale: Double { alpha / Double(rank) }
  /// The probability of the dropout before A.
  public var dropout: Double { dropper?.p ?? 0 }
  /// A and B, of each weight that is updated.
  public var parameters: [Tensor] { parts.flatMap { [$0.a, $0.b] } }

  init(rank: Int, alpha: Double, dropout: Double, _ parts: [Part]) throws {
    (self.rank, self.alpha, self.parts) = (rank, alpha, parts)
    dropper = dropout > 0 ? try Dropout(p: dropout) : nil
    sums = Array(repeating: nil, count: parts.count)
  }

  /// The modules in the layer.
  var children: [(name: String, module: Module)] {
    parts.flatMap { [("lora_A\($0.suffix)", $0.down), ("lora_B\($0.suffix)", $0.up)] } + (dropper.map { [("lora_dropout", $0)] } ?? [])
  }

  var alphaText: String { Int(exactly: alpha).map(String.init) ?? pythonNumber(alpha) }

  /// What is printed beside the layer's options.
  var text: String {
    "lora=(rank=\(rank), alpha=\(alphaText)" + (isMerged ? ", merged" : "") + (isEnabled ? ")" : ", disabled)")
  }

  func copied() throws -> LowRankAdapter {
    let copies = try parts.map { Part(target: $0.target, suffix: $0.suffix, down: try $0.down.copied(), up: try $0.up.copied()) }
    let copy = try LowRankAdapter(rank: rank, alpha: alpha, dropout: dropout, copies)
    (copy.isEnabled, copy.isMerged, copy.flags) = (isEnabled, isMerged, flags)
    if let dropper, let other = copy.dropper {
      (other.isTraining, other.staysInEvaluation) = (dropper.isTraining, dropper.staysInEvaluation)
    }
    return copy
  }

  // MARK: Computing

  /// What is added to the result for `x`; of the rows of B that are named, where the weight is of several maps.
  private func update(_ x: Tensor, _ part: Part, rows: (first: Int, count: Int)? = nil) throws -> Tensor {
    let kept = try x.dtype.isFloating ? dropper?(x) ?? x : x
    let inner = try part.down(kept)
    let scaled = scale == 1 ? inner : try inner * scale
    guard let rows, rows.count < part.b.shape[0] else { return try part.up(scaled) }
    return try scaled.linear(part.b.narrow(0, rows.first, rows.count), nil)
  }

  /// A layer's own outputs with the update added.
  func run(_ layer: Module, _ inputs: [Tensor], _ own: () throws -> [Tensor]) throws -> [Tensor] {
    try summed(layer) { isApart in
      var outputs = try own()
      if isApart, !(layer is AttentionLayer) { outputs[0] = try outputs[0] + update(inputs[0], parts[0]) }
      return outputs
    }
  }

  /// The same for inputs, or maps, of batches.
  func run(batch layer: Module, _ inputs: [Tensor], _ warn: (String) -> Void, _ own: () throws -> [Tensor]) throws -> [Tensor] {
    try summed(layer) { isApart in
      var outputs = try own()
      guard isApart, !(layer is AttentionLayer), let add = TensorOperation.named("add"), let multiply = TensorOperation.named("mul") else {
        return outputs
      }
      var x = inputs[0]
      if let dropper, x.dtype.isFloating { x = try dropper(batch: [x], warn: warn)[0] }
      x = try parts[0].down(batch: [x], warn: warn)[0]
      if scale != 1 { x = try Batching.run(multiply, Arguments("mul", [.tensor(x), .number(.real(scale))]), warn: warn).tensors[0] }
      x = try parts[0].up(batch: [x], warn: warn)[0]
      outputs[0] = try Batching.run(add, Arguments("add", [.tensor(outputs[0]), .tensor(x)]), warn: warn).tensors[0]
      return outputs
    }
  }

  /// The update of a projection within attention; nil where there is none, or where it is in the weight.
  func projected(_ x: Tensor, _ target: String, rows: (first: Int, count: Int)) throws -> Tensor? {
    guard isEnabled, !isInSum, let part = parts.first(where: { $0.target == target }) else { return nil }
    return try update(x, part, rows: rows)
  }

  // MARK: Merging

  /// A weight with its update, and what it was made of.
  private struct Sum {
    let weight: Tensor
    /// Kept, so that no other object takes one's place.
    let sources: [(tensor: Tensor, storage: Storage, version: Int)]
    let scale: Double

    func isOf(_ tensors: [Tensor], _ scale: Double) -> Bool {
      self.scale == scale
        && zip(sources, tensors).allSatisfy { $0.tensor === $1 && $0.storage === $1.storage && $0.version == $1.version }
    }
  }
  /// Whether the layer computes with sums just now.
  private var isInSum = false

  /// Runs `body` with sums in the places of the weights, where that is how to compute; `body` is told whether it is not.
  private func summed<R>(_ layer: Module, _ body: (_ isApart: Bool) throws -> R) throws -> R {
    guard isEnabled else { return try body(false) }
    guard isMerged, let weights = sources(layer) else { return try body(true) }
    for (place, weight) in weights.enumerated() { try layer.set(parameter: parts[place].target, sum(place, weight)) }
    isInSum = true
    defer {
      isInSum = false
      for (place, weight) in weights.enumerated() { try? layer.set(parameter: parts[place].target, weight) }
    }
    return try body(false)
  }

  /// The weights, where sums will do: no gradient of weights or maps is wanted, and none is another's for the time of a call.
  private func sources(_ layer: Module) -> [Tensor]? {
    let weights = parts.compactMap { layer.weight($0.target) }
    let all = weights + parameters
    guard weights.count == parts.count, all.allSatisfy({ $0.isParameter && $0.batch.isEmpty }) else { return nil }
    return GradMode.isEnabled && all.contains(where: \.requiresGrad) ? nil : weights
  }

  private func sum(_ place: Int, _ weight: Tensor) throws -> Tensor {
    let part = parts[place]
    let tensors = [weight, part.a, part.b]
    if let sum = sums[place], sum.isOf(tensors, scale) { return sum.weight }
    let made = try withNoGrad { try LowRankAdapter.sum(weight, part, scale) }
    sums[place] = Sum(weight: made, sources: tensors.map { ($0, $0.storage, $0.version) }, scale: scale)
    return made
  }

  /// W + scale · B·A, rounded once where the dtype is a half.
  private static func sum(_ weight: Tensor, _ part: Part, _ scale: Double) throws -> Tensor {
    let dtype = weight.dtype.size < 4 ? DType.float32 : weight.dtype
    let (w, a, b) = (try weight.detach().to(dtype), try part.a.detach().to(dtype), try part.b.detach().to(dtype))
    var update: Tensor
    switch part.down {
    case is Embedding: update = try a.matmul(b.transpose(0, 1))
    case let convolution as Convolution:
      let groups = try convolution.settings.integer("groups")
      let (inner, outer) = (a.shape[0] / groups, b.shape[0] / groups)
      update = try b.reshape([groups, outer, inner]).matmul(a.reshape([groups, inner, a.count / (groups * inner)])).reshape(w.shape.array)
    default: update = try b.matmul(a)
    }
    if scale != 1 { update = try update * scale }
    return try (w + update).to(weight.dtype)
  }

  /// From now on, calls that want no gradients of the update compute with one weight.
  func merge(_ layer: Module) throws {
    for (place, part) in parts.enumerated() { if let weight = layer.weight(part.target) { _ = try sum(place, weight) } }
    isMerged = true
  }

  /// Computes weight and update apart again.
  public func unmerge() {
    isMerged = false
    sums = Array(repeating: nil, count: parts.count)
  }

  /// The weight with the update; nil for a parameter that is not updated.
  func sum(of target: String, in layer: Module) throws -> Tensor? {
    guard let place = parts.firstIndex(where: { $0.target == target }), let weight = layer.weight(target) else { return nil }
    return try sum(place, weight)
  }
}

extension Module {
  /// A parameter of its own by name.
  final func weight(_ name: String) -> Tensor? { parameters.first { $0.name == name }?.tensor }

  /// The low-rank update that its calls add; nil where there is none.
  public final var lowRankAdapter: LowRankAdapter? { adapter }

  /// What a script reads under a parameter's name while it is merged: the weight with the update.
  package final func mergedWeight(_ name: String) throws -> Tensor? {
    guard let adapter, adapter.isMerged, adapter.isEnabled else { return nil }
    return try adapter.sum(of: name, in: self)
  }

  /// Runs `own`, which is what the module computes itself, and adds what its adapter does.
  final func adapted(_ inputs: [Tensor], _ own: () throws -> [Tensor]) throws -> [Tensor] {
    try adapter.map { try $0.run(self, inputs, own) } ?? own()
  }

  /// The same for batches.
  final func adapted(batch inputs: [Tensor], _ warn: (String) -> Void, _ own: () throws -> [Tensor]) throws -> [Tensor] {
    try adapter.map { try $0.run(batch: self, inputs, warn, own) } ?? own()
  }
}

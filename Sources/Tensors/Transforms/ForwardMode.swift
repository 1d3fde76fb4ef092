// Forward mode: how results get tangents from their inputs'. Elementwise formulas serve both ways, linear operations are applied
// to the tangents, and for the rest the gradient's formula, which is linear in the gradient, is differentiated by it: what that
// gives is the transpose of the transpose. So no operation is without.

/// Dual numbers by levels, as `torch.autograd.forward_ad` has them.
package enum ForwardMode {

  /// Opens a level, by a number that the process has once since tensors may pass between contexts, within those that are open. Whoever opens it puts `GradMode.forward` into force, and closes it.
  package static func open() -> UInt32 {
    let level = RunNumber.fresh()
    TangentLevels.open.append(level)
    if Context.current.pointee.tangentCarrier == nil { Context.current.pointee.tangentCarrier = Carrier() }
    return level
  }

  /// Closes a level, and those within it: their tangents are none any more.
  package static func close(_ level: UInt32) { TangentLevels.open.removeAll { $0 >= level } }

  /// The innermost level; nil where none is open, or its scope is not the one that is executed.
  package static var innermost: UInt32? { TangentLevels.areInForce ? TangentLevels.open.last : nil }

  /// A view of a tensor with a tangent at a level, of its shape and dtype.
  package static func dual(_ primal: Tensor, _ tangent: Tensor, at level: UInt32) throws -> Tensor {
    guard primal.dtype.isFloating else {
      throw TensorError(.dtype, "make_dual", "only tensors of float dtypes have tangents, this one is \(primal.dtype)")
    }
    guard tangent.shape == primal.shape, tangent.dtype == primal.dtype else {
      throw TensorError(
        .shape, "make_dual",
        "the tangent of shape \(tangent.shape) and \(tangent.dtype) does not fit a tensor of shape \(primal.shape) and \(primal.dtype)")
    }
    let dual = try primal.view(primal.shape.array)
    let others = try dual.tangents
    guard !others.contains(where: { $0.level == level }) else {
      throw TensorError(.autograd, "make_dual", "the tensor has a tangent at this level already; unpack it first")
    }
    dual.setTangents((others + [Tangent(level: level, tensor: tangent)]).sorted { $0.level < $1.level })
    return dual
  }

  /// The tensor without the level's tangent, and that; nil where there is none.
  package static func unpack(_ dual: Tensor, at level: UInt32) throws -> (primal: Tensor, tangent: Tensor?) {
    guard let tangent = try dual.tangent(at: level) else { return (dual, nil) }
    return (try dual.bare(below: level, history: true), tangent)
  }

  private final class Carrier: TangentCarrier {
    func carry(
      _ operation: some Operation, _ inputs: [Tensor], _ others: [Tensor], own: [Tensor], to outputs: [Tensor]
    ) throws {
      let carried = try inputs.map { try $0.tangents }
      let levels = Set(carried.joined().map(\.level)).sorted()
      for output in outputs where output.dtype.isFloating { output.setTangents([]) }
      let outermost = TangentLevels.open.first
      for level in levels {
        let directions = carried.map { $0.first { $0.level == level }?.tensor }
        // Below the outermost level there are no tangents to look for.
        let bits = GradMode.bits
        let history = GradMode.isEnabled
        let pass = try Direction(
          operation, inputs.map { try $0.bare(below: level, history: history) },
          others.map { try $0.bare(below: level, history: history) }, own: own.map { try $0.bare(below: level, history: history) },
          outputs: outputs.map { try $0.bare(below: level, history: history) }, directions)
        GradMode.bits = bits & GradMode.mask & ~(level == outermost ? GradMode.forward : 0)
        defer { GradMode.bits = bits }
        let results = try pass.tangents()
        GradMode.bits = bits
        for (output, tangent) in zip(outputs, results) where output.dtype.isFloating {
          guard let tangent else { continue }
          var list = output.extras?.tangents ?? []
          list.append(Tangent(level: level, tensor: tangent))
          output.setTangents(list)
        }
      }
    }
  }

  /// One operation at one level.
  private struct Direction<Recorded: Operation> {
    let operation: Recorded
    let inputs, others, own, outputs: [Tensor]
    let directions: [Tensor?]

    init(
      _ operation: Recorded, _ inputs: [Tensor], _ others: [Tensor], own: [Tensor], outputs: [Tensor], _ directions: [Tensor?]
    ) throws {
      self.operation = operation
      self.inputs = inputs
      self.others = others
      self.own = own
      self.outputs = outputs
      self.directions = directions
    }

    func tangents() throws -> [Tensor?] {
      switch operation.tangentRule {
      case .linear:
        return try operation.apply(zip(inputs, directions).map { try $1 ?? Tensor.zeros(like: $0) } + others).map { $0 }
      case .multilinear:
        var sum: Tensor?
        for (number, direction) in directions.enumerated() {
          guard let direction else { continue }
          var given = inputs
          given[number] = direction
          let part = try operation.apply(given + others)[0]
          sum = try sum.map { try $0 + part } ?? part
        }
        return [sum]
      case .elementwise:
        let node = try Tensor.tangentNode(operation, inputs, others, own: own, outputs: outputs, directions.map { $0 != nil })
        var sum: Tensor?
        for (number, direction) in directions.enumerated() {
          guard let direction else { continue }
          let whole = try direction.to(outputs[0].dtype).expand(outputs[0].shape)
          var pass = Backward(node, whole, [], createsGraph: true, wanted: 1 << UInt64(number))
          try node.run(&pass)
          guard let part = pass[number] else { continue }
          sum = try sum.map { try $0 + part } ?? part
        }
        return [sum]
      case .transposed: return try transposed()
      }
    }

    private func transposed() throws -> [Tensor?] {
      let recorded = GradMode.isEnabled
      let node = try Tensor.tangentNode(operation, inputs, others, own: own, outputs: outputs, directions.map { $0 != nil })
      return try withGradMode(enabled: true) {
        var seeds: [Tensor?] = []
        for output in outputs {
          let seed = output.dtype.isFloating ? try Tensor.zeros(output.shape, dtype: output.dtype) : nil
          try seed?.setRequiresGrad(true)
          seeds.append(seed)
        }
        guard let first = seeds.compactMap({ $0 }).first else { return outputs.map { _ in nil } }
        var wanted: UInt64 = 0
        for (number, direction) in directions.enumerated() where direction != nil { wanted |= 1 << UInt64(min(number, 63)) }
        var pass = Backward(node, seeds[0] ?? first, outputs.count > 1 ? seeds : [], createsGraph: true, wanted: wanted)
        try node.run(&pass)
        var roots: [Tensor] = []
        var along: [Tensor?] = []
        for (number, direction) in directions.enumerated() {
          guard let direction, let gradient = pass[number], gradient.requiresGrad else { continue }
          // Of the shape that broadcasting and promotion had made of the input's.
          along.append(try direction.to(gradient.dtype).expand(gradient.shape))
          roots.append(gradient)
        }
        guard !roots.isEmpty else { return outputs.map { _ in nil } }
        let places = seeds.enumerated().filter { $0.element != nil }.map(\.offset)
        let found = try Tape.gradients(
          of: roots, along, inputs: places.map { seeds[$0]! }, options: BackwardOptions(createGraph: recorded))
        var results = [Tensor?](repeating: nil, count: outputs.count)
        for (place, tangent) in zip(places, found) { results[place] = tangent }
        return results
      }
    }
  }
}

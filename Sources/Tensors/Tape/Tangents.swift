// Forward mode, as tensors see it: while a level is open, they carry tangents, which are derivatives along a direction. Results
// get theirs when an operation is recorded; how is decided above (Transforms/ForwardMode.swift), where gradients are differentiated.

/// A derivative along the direction of a level, of the tensor's own shape and dtype.
package struct Tangent {
  package let level: UInt32
  package let tensor: Tensor
}

/// How an operation's results get tangents from its inputs'.
package enum TangentRule: Sendable {
  /// By differentiating the gradient's formula by the gradient: always right.
  case transposed
  /// By the gradient's formula itself, given tangents for gradients: each element depends on those in its own place.
  case elementwise
  /// By the operation itself: it is linear in all inputs together.
  case linear
  /// The same, in each input while the others stay.
  case multilinear
}

/// What gives results their tangents.
package protocol TangentCarrier: AnyObject {
  func carry(
    _ operation: some Operation, _ inputs: [Tensor], _ others: [Tensor], own: [Tensor], to outputs: [Tensor]
  ) throws
}

/// Levels of forward mode in the context in force, each opened within another.
package enum TangentLevels {
  static var open: [UInt32] {
    get { Context.current.pointee.tangentLevels }
    set { Context.current.pointee.tangentLevels = newValue }
  }

  static var carrier: (any TangentCarrier)? { Context.current.pointee.tangentCarrier as? any TangentCarrier }

  /// Whether results get tangents: a level is open, and so is the scope that opened it.
  @inline(__always)
  static var areInForce: Bool { GradMode.bits & GradMode.forward != 0 }
}

extension Tensor {
  /// Its tangents at open levels, the outermost first. Those of a view of something that was written to are the part that it
  /// shows of the new ones.
  package var tangents: [Tangent] {
    get throws {
      guard TangentLevels.areInForce else { return [] }
      if let base, !isFixedView, let written = base.extras?.tangentWrites, written != extras?.tangentWrites ?? 0 {
        let map = RegionMap(base: base.layout, region: layout)
        setTangents(
          try base.tangents.map { Tangent(level: $0.level, tensor: try Extract(map: map).apply([$0.tensor])[0]) }, writes: written)
      }
      guard let carried = extras?.tangents, !carried.isEmpty else { return [] }
      let open = TangentLevels.open
      return carried.filter { open.contains($0.level) }
    }
  }

  package func tangent(at level: UInt32) throws -> Tensor? { try tangents.first { $0.level == level }?.tensor }

  /// Puts tangents in the place of those that there are.
  package func setTangents(_ tangents: [Tangent], writes: UInt32? = nil) {
    if extras == nil {
      if tangents.isEmpty, base == nil { return }
      extras = TensorExtras()
    }
    extras?.tangents = tangents
    if let writes = writes ?? base?.extras?.tangentWrites { extras?.tangentWrites = writes }
  }

  /// The same elements outside the graph, with their tangents.
  package func detachedWithTangents() throws -> Tensor {
    let result = detach()
    let carried = try tangents
    if !carried.isEmpty { result.setTangents(carried) }
    return result
  }

  /// Those of another object for the same elements.
  @inline(__always)
  func copyTangents(of other: Tensor) {
    if let tangents = other.extras?.tangents, !tangents.isEmpty { setTangents(tangents) }
  }

  /// After a write to this tensor: its tangents are those of what was written, and what it is a view of has them in this region.
  func takeTangents(_ new: [Tangent]) throws {
    guard let base else {
      if new.isEmpty, extras?.tangents.isEmpty ?? true { return }
      setTangents(new)
      extras?.tangentWrites &+= 1
      return
    }
    let old = try base.tangents
    if new.isEmpty, old.isEmpty { return }
    let map = RegionMap(base: base.layout, region: layout)
    let levels = Set((old + new).map(\.level)).sorted()
    let changed = try levels.map { level in
      let whole = try old.first { $0.level == level }?.tensor ?? Tensor.zeros(base.shape, dtype: dtype)
      let part = try new.first { $0.level == level }?.tensor ?? Tensor.zeros(shape, dtype: dtype)
      return Tangent(level: level, tensor: try CopySlices(map: map, hasPart: true).apply([whole, part])[0])
    }
    base.setTangents(changed)
    base.extras?.tangentWrites &+= 1
    setTangents(new)
  }

  /// This tensor with the tangents of levels below one: what operations of that level see. With its history, or without.
  func bare(below level: UInt32, history: Bool) throws -> Tensor {
    let carried = try tangents
    if carried.isEmpty, history || !requiresGrad { return self }
    let result = alias()
    if history {
      if let node = gradNode {
        result.node = node
        result.outputIndex = outputIndex
      } else if flags.contains(.requiresGrad) {
        result.node = OperationNode(Bare(), edges: Edges(edge))
      }
    }
    result.setTangents(carried.filter { $0.level < level })
    return result
  }

  /// A leaf as forward mode sees it.
  private struct Bare: Operation {
    var nodeName: String { "AliasBackward0" }
    func gradient(_ c: inout Backward) throws { c[0] = c.g }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].alias().recorded(self, inputs[0])] }
  }
}

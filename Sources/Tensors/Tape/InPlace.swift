// Writing into tensors that have a history: the version counts, the rules of leaves and views, and how a write
// becomes part of the graph.

import CKernels

extension Tensor {
  /// Whether a write to this tensor needs no bookkeeping but the version: throws where PyTorch forbids the write.
  @inline(__always)
  func writesDirectly(_ operation: String) throws -> Bool {
    if !storage.restrictions.isEmpty { try checkWritable(operation) }
    if TangentLevels.areInForce {
      try checkWritable(operation)
      return false
    }
    if !GradMode.isEnabled { return !layout.overlaps }
    guard !requiresGrad, base == nil else {
      try checkWritable(operation)
      return false
    }
    return !layout.overlaps
  }

  func checkWritable(_ operation: String) throws { try checkWritable(by: operation + "_") }

  /// Throws where PyTorch forbids a write; `name` is what messages call it.
  func checkWritable(by name: @autoclosure () -> String, writesElements: Bool = true) throws {
    guard !writesElements || !layout.overlaps else {
      throw TensorError(
        .autograd, name(),
        "cannot write into an expanded tensor of shape \(shape), whose elements share memory; clone() it first")
    }
    guard !storage.isInference || GradMode.bits & GradMode.inference != 0 else {
      throw TensorError(
        .autograd, name(),
        "a tensor that was made in inference_mode cannot be written in place outside of it; clone() it first")
    }
    guard !storage.restrictions.contains(.packing) else {
      throw TensorError(
        .autograd, name(), "a hook that packs saved tensors cannot write to the tensor it was given; clone() it first")
    }
    try checkGuard(by: name())
    guard GradMode.isEnabled else { return }
    guard !flags.contains(.sharesInput) else {
      throw TensorError(
        .autograd, name(),
        "a custom function's result that shares its input's elements cannot be written in place; clone() it in forward, or mark it dirty")
    }
    if let base, requiresGrad || base.requiresGrad { try checkRecordedWrite(name()) }
    if node == nil, flags.contains(.requiresGrad) {
      throw TensorError(
        .autograd, name(),
        "a leaf tensor that requires grad cannot be written in place while gradients are recorded; use no_grad, or its detach()")
    }
    if let base, base.node == nil, base.flags.contains(.requiresGrad) {
      throw TensorError(
        .autograd, name(),
        "a view of a leaf tensor that requires grad cannot be written in place while gradients are recorded; use no_grad, or clone() the leaf first"
      )
    }
  }

  /// Refuses views for which it would be unclear what a recorded write to them means.
  private func checkRecordedWrite(_ name: @autoclosure () -> String) throws {
    if flags.contains(.multiView) {
      throw TensorError(
        .autograd, name(),
        "a view that was returned together with others, as by split() or unbind(), cannot be written in place while gradients are recorded; use narrow() or select() for a view of its own, or clone() it first"
      )
    }
    if flags.contains(.viewWithoutGrad) {
      throw TensorError(
        .autograd, name(),
        "a view that was made \(modeOfView) cannot be written in place while gradients are recorded; make the view and write to it both inside or both outside of such a block"
      )
    }
  }

  /// Runs an out-of-place operation on this tensor and makes its result this tensor's elements and history.
  /// `uses` tells whether the operation keeps its first input, which must then survive the write.
  @discardableResult
  package func writing(_ operation: String, uses: Uses = [.a], _ compute: (Tensor) throws -> Tensor) throws -> Tensor {
    try checkWritable(operation)
    var source = self
    let carries = TangentLevels.areInForce
    if carries || (uses.contains(.a) && GradMode.isEnabled) {
      source = try copied()
      source.node = gradNode
      source.outputIndex = outputIndex
      if carries { source.setTangents(try tangents) }
    }
    let result = try compute(source)
    guard result.shape == shape else {
      throw TensorError(
        .shape, operation + "_", "the result has shape \(result.shape), which does not fit the tensor of shape \(shape)")
    }
    guard result.dtype.category <= dtype.category else {
      throw TensorError(
        .dtype, operation + "_", "the result is \(result.dtype), which a tensor of \(dtype) cannot hold without loss")
    }
    let converted = result.dtype == dtype ? result : try result.to(dtype)
    if converted.node != nil { try checkRecordedWrite(operation + "_") }
    let written = converted.storage === storage ? try converted.copied() : converted
    try Kernels.convert(dtype, dtype, over: mg_loop(shape, layout, written.layout), written.data, into: data)
    bumpVersion()
    if let node = converted.node {
      if converted === result { node.moveKeptOutput(to: self) }
      try rebase(onto: node, index: converted.outputIndex)
    } else if gradNode != nil, GradMode.isEnabled {
      // Overwritten by something without history: the old one gets zeros.
      let overwritten = Overwritten(
        nodeName: operation == "fill" ? "FillBackward2" : operation == "zero" ? "ZeroBackward0" : "CopyBackwards", shape: shape,
        dtype: dtype)
      let node = OperationNode(overwritten, edges: Edges(edge))
      if GradMode.keepsConstants { try node.keepConstants([self, self]) }
      try rebase(onto: base == nil ? node : nil, index: 0)
    }
    if carries { try takeTangents(converted.tangents) }
    return self
  }

  /// Runs a view operation and makes its result what this object shows, with its history: `x.t_()`. The elements stay where they
  /// are, but a formula that keeps this object would take others for those it was given, so it counts as a write.
  @discardableResult
  package func viewing(_ operation: String, _ look: (Tensor) throws -> Tensor) throws -> Tensor {
    try checkWritable(by: operation + "_", writesElements: false)
    let source = alias()
    source.node = gradNode
    source.outputIndex = outputIndex
    source.flags = flags.intersection(.cut)
    source.cutAt = cutAt
    if TangentLevels.areInForce { source.setTangents(try tangents) }
    let result = try look(source)
    if TangentLevels.areInForce { setTangents(try result.tangents, writes: base?.extras?.tangentWrites) }
    layout = result.layout
    bumpVersion()
    guard let new = result.node else { return self }
    if base == nil {
      try rebase(onto: new, index: result.outputIndex)
    } else {
      // A view of its base as before, under another layout; a write to that makes its history anew from this.
      moveRetained(to: new, index: result.outputIndex)
      node = new
      outputIndex = result.outputIndex
    }
    return self
  }

  /// From now on, writes to the elements remember the script's line, as they do where a node has kept them.
  package func watchWrites() { storage.isSaved = true }

  /// That line of the last write, as `train.lua:12`; nil when no script wrote.
  package var lineOfLastWrite: String? { Site.text(storage.writtenAt) }

  /// The same, or the line by which it was given other elements, where it was since there were so many replacements.
  package func lineOfLastWrite(since known: UInt32) -> String? { Site.text(replacements == known ? storage.writtenAt : replacedAt) }

  /// Gives the tensor a new history after a write: `node` computed all its elements now.
  func rebase(onto new: Node?, index: Int32) throws {
    storage.writtenAt = Site.current
    if let base {
      try base.rebaseRegion(layout, onto: new, index: index)
      return
    }
    if let new, storage.isSaved { new.releaseObject(self) }
    moveRetained(to: new, index: index)
    node = new
    outputIndex = index
    storage.history &+= 1
  }

  /// A retained gradient is that of the elements as they are now, so a new history takes it over from the old one. To be
  /// called before `node` changes.
  private func moveRetained(to new: Node?, index: Int32) {
    guard flags.contains(.retainsGrad), let new, let node, node !== new else { return }
    node.extras?.retaining.removeAll { $0.tensor.tensor === self }
    new.extending.retaining.append((index, WeakTensor(tensor: self)))
  }

  /// A write to a view is a write to part of its base: the base's new history passes gradients of the region to the
  /// write and those of the rest to the old history.
  private func rebaseRegion(_ region: Layout, onto new: Node?, index: Int32) throws {
    let old = edge
    guard !(old.isNone && new == nil) else { return }
    let map = RegionMap(base: layout, region: region)
    let node = OperationNode(
      CopySlices(map: map, hasPart: new != nil), edges: Edges(new.map { [old, .node($0, index)] } ?? [old]))
    if GradMode.keepsConstants {
      try node.keepConstants([self, Tensor(storage: storage, layout: region, dtype: dtype)])
    }
    if storage.isSaved { node.releaseObject(self) }
    moveRetained(to: node, index: 0)
    self.node = node
    outputIndex = 0
    // The view's own history is made anew from the base when asked for.
    storage.history &+= 1
  }

  /// `grad_fn`: what computed this. A view whose base was written to since gets a new history: a view of the base as it is now.
  package var gradNode: Node? {
    guard let base else { return node }
    if isFixedView { return node }
    if historySeen != storage.history {
      historySeen = storage.history
      outputIndex = 0
      let source = base.edge
      if source.isNone {
        node = nil
      } else {
        let map = RegionMap(base: base.layout, region: layout)
        let new = OperationNode(Extract(map: map), edges: Edges(source))
        moveRetained(to: new, index: 0)
        node = new
      }
    }
    return node
  }
}

extension Tensor {
  /// Whether this is a view that could not be written to, and so does not follow its base.
  var isFixedView: Bool { !flags.isDisjoint(with: [.viewWithoutGrad, .multiView]) }

  private var modeOfView: String { flags.contains(.viewInInference) ? "in inference_mode" : "under no_grad" }

  /// Views that could not be written to do not follow a write to their base either: using one after that is an error,
  /// since its history would be that of elements which are gone.
  var staleViewError: TensorError {
    TensorError(
      .autograd, "",
      flags.contains(.viewWithoutGrad)
        ? "a view of shape \(shape) that was made \(modeOfView) is used after its base was written to while gradients were recorded\(Site.phrase(storage.writtenAt, "last at")); make the view again"
        : "a view of shape \(shape) that was returned together with others, as by split() or unbind(), is used after its base or another view of it was written to\(Site.phrase(storage.writtenAt, "last at")); make the views again"
    )
  }
}

/// A region of a base tensor, both given by their layouts in one storage: reading it, its adjoint, and clearing it.
/// All three work on tensors of the base's or the region's shape, whatever memory those have, and differentiate into
/// each other.
struct RegionMap: Sendable {
  let base: Layout
  let region: Layout

  /// A buffer with the extent of both, and the base and the region in it. What of the region lies outside of the base, as an
  /// arbitrary view may, is 0.
  private func image(_ dtype: DType) throws -> (base: Tensor, region: Tensor) {
    let start = region.count == 0 ? base.offset : Swift.min(base.offset, region.offset)
    let end = Swift.max(base.end, region.end)
    let buffer = try Tensor.zeros(Shape([Swift.max(end - start, 1)]), dtype: dtype)
    return (
      Tensor(storage: buffer.storage, layout: base.moved(by: -start), dtype: dtype),
      Tensor(storage: buffer.storage, layout: region.count == 0 ? Layout(region.shape) : region.moved(by: -start), dtype: dtype)
    )
  }

  /// The region's elements of a tensor of the base's shape.
  func extract(_ whole: Tensor) throws -> Tensor {
    let image = try image(whole.dtype)
    try image.base.assign(whole)
    return try image.region.copied().recorded(Extract(map: self), whole)
  }

  /// Zeros of the base's shape with `part` in the region. Elements that share a place, as those of an expanded view do,
  /// add up there.
  func spread(_ part: Tensor) throws -> Tensor {
    let image = try image(part.dtype)
    if image.region.layout.mayShare {
      let (places, source) = (try image.region.layout.places(), try part.packed())
      let total = Tensor(storage: image.base.storage, layout: Layout([image.base.storage.byteCount / part.dtype.size]), dtype: part.dtype)
      try Kernels.putAdd(part.dtype, places.asPlaces, source.data, into: total.data, of: total.count)
      return try image.base.copied().recorded(Spread(map: self), part)
    }
    let isShared = (0..<region.shape.rank).map { region.strides[$0] == 0 && region.shape[$0] > 1 }
    let own = Axes((0..<region.shape.rank).lazy.filter { !isShared[$0] })
    let shared = Axes((0..<region.shape.rank).lazy.filter { isShared[$0] })
    let arranged = try Tensor(storage: part.storage, layout: part.layout.permuted(Array(own) + Array(shared)), dtype: part.dtype).packed()
    let place = Tensor(storage: image.region.storage, layout: image.region.layout.permuted(own), dtype: part.dtype)
    let total = try Tensor(uninitialized: place.shape, part.dtype)
    let shares = shared.reduce(1) { $0 * region.shape[$1] }
    try Kernels.reduce(MG_SUM, part.dtype, Extent(total.count, shares, 1), arranged.data, into: total.data)
    try place.assign(total)
    return try image.base.copied().recorded(Spread(map: self), part)
  }

  /// How many elements of the base have each element's place.
  func shares(_ dtype: DType) throws -> Tensor {
    let image = try image(dtype)
    let places = try image.base.layout.places()
    let ones = try Tensor.ones(places.shape, dtype: dtype)
    try Kernels.putAdd(
      dtype, places.asPlaces, ones.data, into: image.base.storage.firstByte, of: image.base.storage.byteCount / dtype.size)
    return try image.base.copied()
  }

  /// A tensor of the base's shape with zeros in the region.
  func erase(_ whole: Tensor) throws -> Tensor {
    let image = try image(whole.dtype)
    try image.base.assign(whole)
    try image.region.assign(Tensor.zeros([], dtype: whole.dtype))
    return try image.base.copied().recorded(Erase(map: self), whole)
  }

  /// A tensor of the base's shape with `part`, or zeros, in the region.
  func replace(_ whole: Tensor, _ part: Tensor?) throws -> Tensor {
    let image = try image(whole.dtype)
    try image.base.assign(whole)
    try image.region.assign(part ?? Tensor.zeros([], dtype: whole.dtype))
    return try image.base.copied()
  }
}

/// A view of the base as it is now.
struct Extract: Operation {
  let map: RegionMap

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "AsStridedBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = try map.spread(c.g) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try map.extract(inputs[0])] }
}

private struct Spread: Operation {
  let map: RegionMap

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "AsStridedScatterBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = try map.extract(c.g) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try map.spread(inputs[0])] }
}

private struct Erase: Operation {
  let map: RegionMap

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "AsStridedScatterBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = try map.erase(c.g) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try map.erase(inputs[0])] }
}

/// A base after a write to a view of it: of what it was, and of what was written if that has a history.
struct CopySlices: Operation {
  let map: RegionMap
  let hasPart: Bool

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "CopySlices" }

  func gradient(_ c: inout Backward) throws {
    if c.needs(0) { c[0] = try map.erase(c.g) }
    if hasPart, c.needs(1) { c[1] = try map.extract(c.g) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    // What was written is known, if as a constant.
    let (whole, part) = (inputs[0], inputs.count > 1 ? inputs[1] : nil)
    let y = try map.replace(whole, part)
    return [try hasPart ? y.recorded(self, inputs) : y.recorded(self, [whole], part.map { [$0] } ?? [])]
  }
}

/// A tensor that was overwritten by something without history: its old one gets zeros.
struct Overwritten: Operation {
  let nodeName: String
  let shape: Shape
  let dtype: DType

  func gradient(_ c: inout Backward) throws { c[0] = try Tensor.zeros(shape, dtype: dtype) }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    guard inputs.count > 1 else {
      throw TensorError(.autograd, "replay", "what overwrote a tensor of shape \(shape) had no history and is not known")
    }
    return [try inputs[1].copied().recorded(self, [inputs[0]], [inputs[1]])]
  }
}

extension Layout {
  func moved(by shift: Int) -> Layout { Layout(shape, strides: strides, offset: offset + shift) }

  /// The place behind the last element; no stride is negative.
  var end: Int {
    count == 0 ? offset : (0..<shape.rank).reduce(offset + 1) { $0 + strides[$1] * (shape[$1] - 1) }
  }

  /// Whether two positions may have one place by strides other than 0, as windows that overlap have.
  var mayShare: Bool {
    var reach = 0
    for dimension in (0..<shape.rank).sorted(by: { strides[$0] < strides[$1] }) where shape[dimension] > 1 && strides[dimension] > 0 {
      if strides[dimension] <= reach { return true }
      reach += strides[dimension] * (shape[dimension] - 1)
    }
    return false
  }

  /// The place of each element, in row-major order.
  func places() throws -> Tensor {
    let result = try Tensor(uninitialized: shape, .int64)
    var places = [Int64(offset)]
    for dimension in 0..<shape.rank {
      places = places.flatMap { place in (0..<shape[dimension]).map { place + Int64($0 * strides[dimension]) } }
    }
    places.withUnsafeBytes { if let first = $0.baseAddress { result.data.copyMemory(from: first, byteCount: $0.count) } }
    return result
  }
}

extension Node {
  /// Breaks the cycle that would arise where `object`, about to get this node as its history, or a view of it is saved
  /// upstream. Such a saved value is stale in any case, since the write changed its version.
  func releaseObject(_ object: Tensor) {
    var seen = Set<ObjectIdentifier>()
    var stack = [self]
    while let node = stack.popLast() {
      guard seen.insert(ObjectIdentifier(node)).inserted else { continue }
      node.replaceKept(object)
      for index in 0..<node.edges.count {
        if case .node(let next, _) = node.edges[index] { stack.append(next) }
      }
    }
  }
}

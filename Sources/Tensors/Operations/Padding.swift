// Room around tensors, filled with one value; or, where sizes are negative, what is cut off.

extension Tensor {
  /// A copy with `sizes[0]` elements before and `sizes[1]` after those of the last dimension, `sizes[2]` and `sizes[3]` for the one
  /// before it, and so on; negative sizes cut off.
  func padded(_ sizes: [Int], _ value: Scalar, _ operation: String = "pad") throws -> Tensor {
    guard sizes.count % 2 == 0, sizes.count <= 2 * rank else {
      throw TensorError(
        .argument, operation,
        "padding must be pairs of sizes, from the last dimension on, at most \(2 * rank) for shape \(shape), got \(sizes.count)")
    }
    var target = shape
    for dimension in 0..<sizes.count / 2 {
      let (before, after, axis) = (sizes[2 * dimension], sizes[2 * dimension + 1], rank - 1 - dimension)
      guard before.magnitude < 1 << 50, after.magnitude < 1 << 50 else {
        throw TensorError(.memory, operation, "padding of \(sizes) elements is more than there can be")
      }
      target[axis] += before + after
      guard target[axis] >= 0 else {
        throw TensorError(
          .argument, operation, "dimension \(index: axis) of size \(shape[axis]) cannot be padded by \(before) and \(after)")
      }
    }
    target = try Shape(target.array, operation: operation)
    let y = try Tensor.filled(target, value, dtype: dtype)
    var (source, place) = (self.detach(), y)
    for dimension in 0..<sizes.count / 2 {
      let (before, after, axis) = (sizes[2 * dimension], sizes[2 * dimension + 1], rank - 1 - dimension)
      let first = Swift.max(-before, 0)
      let length = Swift.max(shape[axis] - first - Swift.max(-after, 0), 0)
      guard length > 0 else { return try y.recorded(ConstantPadding(pad: sizes, value: value), self) }
      (source, place) = try withNoGrad { (try source.narrow(axis, first, length), try place.narrow(axis, Swift.max(before, 0), length)) }
    }
    try Tensor(storage: place.storage, layout: place.layout, dtype: dtype).assign(source)
    y.storage.version = 0
    return try y.recorded(ConstantPadding(pad: sizes, value: value), self)
  }

  /// Room filled by the elements themselves: mirrored at the ends, the last ones repeated, or those from the other end.
  func padded(_ sizes: [Int], mode: String) throws -> Tensor {
    guard ["reflect", "replicate", "circular"].contains(mode) else {
      throw TensorError(.argument, "pad", "mode must be \"constant\", \"reflect\", \"replicate\" or \"circular\", got \"\(mode)\"")
    }
    let count = sizes.count / 2
    guard sizes.count % 2 == 0, (1...3).contains(count), rank == count + 1 || rank == count + 2 else {
      throw TensorError(
        .argument, "pad",
        "padding of mode \"\(mode)\" must be 2, 4 or 6 sizes for the last dimensions of an input with channels, and maybe a batch, in front; got \(sizes.count) for shape \(shape)"
      )
    }
    var target = shape.array
    for dimension in 0..<count {
      let (before, after, axis) = (sizes[2 * dimension], sizes[2 * dimension + 1], rank - 1 - dimension)
      let size = shape[axis]
      let most = mode == "reflect" ? size - 1 : mode == "circular" ? size : size == 0 ? 0 : 1 << 27
      guard before <= most, after <= most, before >= -size, after >= -size, size + before + after >= (mode == "circular" ? 0 : 1) else {
        throw TensorError(
          .argument, "pad", "dimension \(index: axis) of size \(size) cannot be padded by \(before) and \(after) in mode \"\(mode)\"")
      }
      target[axis] = size + before + after
    }
    // Of nothing it does not matter which elements come again.
    guard try Shape(target, operation: "pad").count > 0 else { return try padded(sizes, .integer(0)) }
    var x = self
    for dimension in 0..<count {
      let (before, axis) = (sizes[2 * dimension], rank - 1 - dimension)
      let size = shape[axis]
      if before == 0, target[axis] == size { continue }
      let positions = try Tensor(uninitialized: [target[axis]], .int64)
      let places = positions.data.assumingMemoryBound(to: Int64.self)
      Context.inPieces(target[axis]) { number in
        let place = number - before
        let position =
          switch mode {
          case "reflect": place < 0 ? -place : place >= size ? 2 * (size - 1) - place : place
          case "replicate": Swift.min(Swift.max(place, 0), size - 1)
          default: (place + size) % size
          }
        places[number] = Int64(position)
      }
      try Context.checkStop()
      x = try x.indexSelect(axis, positions)
    }
    return x === self ? try clone() : x
  }
}

/// Room filled with one value.
private struct ConstantPadding: Operation {
  let pad: [Int]
  let value: Scalar

  var tangentRule: TangentRule { value == .integer(0) || value == .real(0) ? .linear : .transposed }
  var nodeName: String { "ConstantPadNdBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.padded(pad.map { -$0 }, .integer(0)) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].padded(pad, value)] }
}

enum Paddings {
  static let list: [TensorOperation] = [
    TensorOperation(
      "pad",
      "Room around the last dimensions: before and after those of the last, then of the one before it …, filled with value; or, by mode, with elements \"reflect\"ed, \"replicate\"d or taken from the other end (\"circular\"). Negative sizes cut off.",
      Take.input, Take.shape("pad"), Take.text("mode", default: "constant").oneOf("constant", "reflect", "replicate", "circular"),
      Take.optionalScalar("value"), forms: .functional,
      samples: [
        [.float(2, 3), .list([1, 2])], [.float(2, 3), .list([1, -1, 0, 2]), .text("constant"), .number(0.5)],
        [.float(3), .list([-2, 0])], [.float(2, 3, 4), .list([2, 3]), .text("reflect")],
        [.float(2, 3, 4), .list([1, 2, 2, 1]), .text("reflect")], [.float(1, 2, 3, 2), .list([3, 1, 0, 2]), .text("replicate")],
        [.float(1, 2, 3, 2), .list([1, 2, 3, 1]), .text("circular")], [.float(1, 2, 3, 2), .list([1, 1, 1, 0, 0, 1]), .text("replicate")],
      ],
      rejects: [
        [.float(2, 3), .list([1])], [.float(2, 3), .list([1, 1, 1, 1, 1, 1])], [.float(2, 3), .list([-2, -2])],
        [.float(2, 3, 4), .list([4, 0]), .text("reflect")], [.float(2, 3, 4), .list([5, 0]), .text("circular")],
        [.float(2, 3, 4), .list([1, 1]), .text("mirror")], [.float(3), .list([1, 1]), .text("reflect")],
      ], composed: true
    ) { x, sizes, mode, value in
      if mode == "constant" { return .tensor(try x.padded(sizes, value ?? .integer(0))) }
      if value != nil { throw TensorError(.argument, "pad", "a value is for mode \"constant\", not \"\(mode)\"") }
      return .tensor(try x.padded(sizes, mode: mode))
    }
  ]
}

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

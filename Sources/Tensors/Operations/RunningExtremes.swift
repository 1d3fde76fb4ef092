// The largest and the smallest element so far, along a dimension.

import CKernels

extension Tensor {
  /// The largest (or smallest) element so far along a dimension and its position; of equal ones the last, and NaN from the
  /// first one on.
  public func cummax(_ dimension: Int) throws -> (values: Tensor, indices: Tensor) { try runningExtreme(dimension, "cummax") }
  /// The smallest element so far; see ``cummax(_:)``.
  public func cummin(_ dimension: Int) throws -> (values: Tensor, indices: Tensor) { try runningExtreme(dimension, "cummin") }

  private func runningExtreme(_ dimension: Int, _ name: String) throws -> (values: Tensor, indices: Tensor) {
    let axis = try shape.axis(dimension, name)
    let extent = rank == 0 ? (1, 1, 1) : (shape.count(0..<axis), shape[axis], shape.count(axis + 1..<rank))
    let (x, values) = (try packed(), try Tensor(uninitialized: shape, dtype))
    let indices = try Tensor(uninitialized: shape, .int64)
    // Of rows without elements there may be any number.
    if count > 0 {
      try (name == "cummax" ? Tensor.cummaxKernel : Tensor.cumminKernel)(
        dtype, .read(x.data, dtype, count), .write(values.data, dtype, count), .write(indices.data, .int64, count),
        sizes: (extent.0, extent.1, extent.2, 0))
    }
    return (try values.recorded(RunningExtreme(isLargest: name == "cummax", dim: axis, from: shape), self, own: indices), indices)
  }

  private static let cummaxKernel = NamedKernel("cummax")
  private static let cumminKernel = NamedKernel("cummin")
}

/// Running extremes, and the positions that they came from, by which gradients go back.
private struct RunningExtreme: Operation {
  let isLargest: Bool
  let dim: Int
  let from: Shape

  var nodeName: String { isLargest ? "CummaxBackward0" : "CumminBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["indices": .own(0)] }
  func uses(_ number: Int) -> Uses { from.rank == 0 ? .nothing : .own }

  func gradient(_ c: inout Backward) throws {
    c[0] = try from.rank == 0 ? c.g : Tensor.zeros(like: c.g).scatterAdd(dim, c.own, c.g)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try isLargest ? inputs[0].cummax(dim).values : inputs[0].cummin(dim).values] }
}

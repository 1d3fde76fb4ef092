// Anomaly mode: the formula that gave NaN or infinity, by name and by the script's line of its forward call.

extension Backward {
  /// Throws when a formula gave an input a gradient that is not finite.
  func checkNumbers(startedAt site: UInt32) throws {
    for index in 0..<node.edges.count {
      guard let gradient = self[index], let found = try gradient.firstAnomaly() else { continue }
      throw TensorError(
        .autograd, node.name + node.place,
        "anomaly: the gradient of input \(index: index), of shape \(gradient.shape), has \(found.what) at \(found.place)\(Site.phrase(site, "in the backward started at"))"
      )
    }
  }
}

extension Tensor {
  /// The first element that is NaN or infinite, and where it is, counted from 1 as scripts do; nil if all are finite.
  fileprivate func firstAnomaly() throws -> (what: String, place: String)? {
    guard count > 0 else { return nil }
    let values = try detach().to(.float64).packed()
    let elements = UnsafeBufferPointer(start: values.data.assumingMemoryBound(to: Double.self), count: count)
    guard let position = elements.firstIndex(where: { !$0.isFinite }) else { return nil }
    var indices: [Int] = []
    var rest = position
    for size in shape.array.reversed() {
      indices.append(rest % size + 1)
      rest /= size
    }
    let what = elements[position].isNaN ? "NaN" : elements[position] < 0 ? "-inf" : "inf"
    return (what, rank == 0 ? "its only element" : "[\(indices.reversed().map(String.init).joined(separator: ", "))]")
  }
}

// Rows of a tensor, picked by position: what batches of a data set are made of.

import CKernels

extension Tensor {
  /// The shape of one row.
  package var rowShape: Shape {
    var result = Shape()
    for dimension in 1..<Swift.max(rank, 1) { result.append(shape[dimension]) }
    return result
  }

  /// Whether a copy of elements is all there is to take over: no history, tangents or batch.
  package var isOnlyElements: Bool {
    !(requiresGrad && GradMode.isEnabled) && (extras.map { $0.tangents.isEmpty && $0.batch.isEmpty } ?? true)
  }

  /// How far apart rows are, in bytes, where each row is without gaps and a copy of its bytes is all there is to take over; nil
  /// otherwise.
  package var rowStride: Int? {
    guard rank > 0, isOnlyElements else { return nil }
    var expected = 1
    for dimension in stride(from: rank - 1, to: 0, by: -1) {
      guard shape[dimension] == 1 || layout.strides[dimension] == expected else { return nil }
      expected *= Swift.max(shape[dimension], 1)
    }
    return layout.strides[0] * dtype.size
  }

  /// The rows at some positions, as `index_select` gives them. Of a tensor with gaps, a slice of columns say, only these rows are
  /// read, where `index_select` would copy the whole first.
  package func pickedRows(_ positions: [Int]) throws -> Tensor {
    guard !isContiguous, isOnlyElements, rank > 0 else { return try indexSelect(0, Tensor(positions)) }
    let result = try Tensor(uninitialized: shape.replacing(0, with: positions.count), dtype)
    guard result.count > 0 else { return result }
    for (place, position) in positions.enumerated() {
      guard position >= 0, position < shape[0] else {
        throw TensorError(.index, "index_select", "position \(index: position) is out of range for \(shape[0]) rows")
      }
      let (from, to) = (try detach().select(0, position), try result.select(0, place))
      try Kernels.convert(dtype, dtype, over: mg_loop(from.shape, to.layout, from.layout), from.data, into: to.data)
    }
    return result
  }
}

extension Generator {
  /// The numbers 0 to n − 1 in random order.
  package func permutation(_ n: Int) -> [Int] {
    // Int and Int64 are the same there.
    [Int](unsafeUninitializedCapacity: n) { buffer, count in
      buffer.withMemoryRebound(to: Int64.self) { permutation(into: UnsafeMutableBufferPointer(rebasing: $0[..<n])) }
      if Context.isStopping { for index in 0..<n { buffer[index] = index } }  // positions in any case: it was left early
      count = n
    }
  }

  /// `count` whole numbers below `limit`, as `randint` draws them.
  package func integers(below limit: Int, count: Int) -> [Int] {
    guard count > 0, limit > 0 else { return [] }
    return [Int](unsafeUninitializedCapacity: count) { buffer, used in
      buffer.withMemoryRebound(to: Int64.self) {
        randint(low: 0, high: Int64(limit), into: UnsafeMutableBufferPointer(rebasing: $0[..<count]))
      }
      used = count
    }
  }

  /// A number of 63 bits, as `random_()` draws one into an int64 tensor.
  package func nextSeed() -> Int { Int(nextBelow(1 << 63, wide: true)) }
}

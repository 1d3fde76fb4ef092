// Dimensions resampled: each place of the result is a weighted sum of a few elements along each of some dimensions. Mean pooling and
// interpolation are such, one dimension after the other; the gradient is the same by the transposed weights.

import CKernels

/// What places of a result take along one dimension.
struct AxisWeights: Sendable {
  let axis: Int
  /// The dimension's sizes before and after.
  let from, to: Int
  /// Place j takes weights[t] · element positions[t] for t from starts[j] to starts[j + 1].
  private(set) var starts: [Int64] = [0]
  private(set) var positions: [Int64] = []
  private(set) var weights: [Double] = []

  /// `taps` gives for each place the elements and their weights; `check` has found room for them.
  init(_ axis: Int, from: Int, to: Int, _ taps: (Int) -> [(position: Int, weight: Double)]) throws {
    (self.axis, self.from, self.to) = (axis, from, to)
    starts.reserveCapacity(to + 1)
    Context.inPieces(to) { place in
      for tap in taps(place) {
        positions.append(Int64(tap.position))
        weights.append(tap.weight)
      }
      starts.append(Int64(positions.count))
    }
    try Context.checkStop()
  }

  /// Refuses what would need lists of more places, or of more elements for them, than are worth making or than there is room for.
  static func check(from: Int, to: Int, taps: Int, _ operation: String) throws {
    let most = 1 << 27
    guard from <= most, to <= most, Double(to) * Double(taps) <= 2 * Double(most) else {
      throw TensorError(
        .memory, operation, "a dimension of \(from) elements and \(to) places of \(taps) each is larger than can be computed with")
    }
    try Context.checkRoom(
      for: "a dimension of \(from) elements and \(to) places of \(taps) each needs", operation, count: to,
      bytesOfEach: MemoryLayout<Int64>.size + taps * (MemoryLayout<Int64>.size + MemoryLayout<Double>.size))
  }

  private init(axis: Int, from: Int, to: Int) { (self.axis, self.from, self.to) = (axis, from, to) }

  /// What elements give to places, as places that take.
  func transposed() throws -> AxisWeights {
    var result = AxisWeights(axis: axis, from: to, to: from)
    var counts = [Int64](repeating: 0, count: from + 1)
    Context.inPieces(positions.count) { counts[Int(positions[$0]) + 1] += 1 }
    Context.inPieces(from) { counts[$0 + 1] += counts[$0] }
    try Context.checkStop()
    result.starts = counts
    result.positions = [Int64](repeating: 0, count: positions.count)
    result.weights = [Double](repeating: 0, count: positions.count)
    Context.inPieces(to) { place in
      for tap in Int(starts[place])..<Int(starts[place + 1]) {
        let element = Int(positions[tap])
        result.positions[Int(counts[element])] = Int64(place)
        result.weights[Int(counts[element])] = weights[tap]
        counts[element] += 1
      }
    }
    try Context.checkStop()
    return result
  }
}

extension Tensor {
  /// Resampled along some dimensions, one after the other, as one node.
  func resampled(_ maps: [AxisWeights], _ nodeName: String) throws -> Tensor {
    let wide = dtype.computing
    var x = try converted(to: wide)
    for map in maps {
      let source = try x.packed()
      let target = try Shape(x.shape.replacing(map.axis, with: map.to).array, operation: "resampling")
      let y = try Tensor(uninitialized: target, wide)
      let (outer, inner) = (target.count(0..<map.axis), target.count(map.axis + 1..<target.rank))
      try map.starts.withUnsafeBytes { starts in
        try map.positions.withUnsafeBytes { positions in
          try map.weights.withUnsafeBytes { weights in
            _ = try Resampling.kernel(
              wide, .read(source.data, wide, source.count), .write(y.data, wide, y.count),
              .read(starts.baseAddress, .int64, map.starts.count), .read(positions.baseAddress, .int64, map.positions.count),
              .read(weights.baseAddress, .float64, map.weights.count), sizes: (outer, map.from, map.to, inner))
          }
        }
      }
      x = y
    }
    if x === self { x = try copied() }
    return try x.converted(to: dtype).recorded(Resampling(nodeName: nodeName, maps: maps), self)
  }
}

private struct Resampling: Operation {
  static let kernel = NamedKernel("weighted_sums")

  let nodeName: String
  let maps: [AxisWeights]

  var tangentRule: TangentRule { .linear }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.resampled(maps.reversed().map { try $0.transposed() }, nodeName) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].resampled(maps, nodeName)] }
}

// Launches of fused losses and their gradients.

import CKernels

extension Kernels {
  /// Σ (x − y)².
  static func squaredError(_ dtype: DType, _ count: Int, _ x: UnsafeRawPointer, _ y: UnsafeRawPointer) throws -> Double {
    var total = 0.0
    try launch(Launch(.squaredError, dtype, .read(x, dtype, count), .read(y, dtype, count))) {
      total = mg_squared_error($0.code, Int64(count), $0.a?.pointer, $0.b?.pointer)
    }
    return total
  }

  /// scale · (x − y).
  static func scaledDifference(
    _ scale: Double, _ dtype: DType, _ count: Int, _ x: UnsafeRawPointer, _ y: UnsafeRawPointer, into z: UnsafeMutableRawPointer
  ) throws {
    var call = Launch(.scaledDifference, dtype, .read(x, dtype, count), .read(y, dtype, count), .write(z, dtype, count))
    call.numbers.0 = scale
    try launch(call) { mg_scaled_difference($0.code, Int64(count), scale, $0.a?.pointer, $0.b?.pointer, $0.c?.pointer) }
  }

  /// Σ −w[t] · log-probability of t, which are written too, and Σ w[t].
  static func crossEntropy(
    _ dtype: DType, rows: Int, classes: Int, _ x: UnsafeRawPointer, _ target: UnsafeRawPointer, ignoring ignored: Int,
    weight: UnsafeRawPointer?, into logp: UnsafeMutableRawPointer
  ) throws -> (total: Double, weight: Double) {
    var (total, totalWeight) = (0.0, 0.0)
    var call = Launch(
      .crossEntropy, dtype, .read(x, dtype, rows * classes), .read(target, .int64, rows),
      weight.map { .read($0, dtype, classes) }, .write(logp, dtype, rows * classes))
    call.numbers.0 = Double(ignored)
    try launch(call) {
      total = mg_cross_entropy(
        $0.code, Int64(rows), Int64(classes), $0.a?.pointer, $0.b?.pointer?.assumingMemoryBound(to: Int64.self), Int64(ignored),
        $0.c?.pointer, $0.d?.pointer, &totalWeight)
    }
    return (total, totalWeight)
  }

  static func crossEntropyGradient(
    _ scale: Double, _ dtype: DType, rows: Int, classes: Int, _ logp: UnsafeRawPointer, _ target: UnsafeRawPointer,
    ignoring ignored: Int, weight: UnsafeRawPointer?, into dx: UnsafeMutableRawPointer
  ) throws {
    var call = Launch(
      .crossEntropyGradient, dtype, .read(logp, dtype, rows * classes), .read(target, .int64, rows),
      weight.map { .read($0, dtype, classes) }, .write(dx, dtype, rows * classes))
    call.numbers = (Double(ignored), scale, 0, 0)
    try launch(call) {
      mg_cross_entropy_grad(
        $0.code, Int64(rows), Int64(classes), $0.a?.pointer, $0.b?.pointer?.assumingMemoryBound(to: Int64.self), Int64(ignored),
        $0.c?.pointer, scale, $0.d?.pointer)
    }
  }
}

// Launches of optimizers' updates: a parameter, its gradient and what the method remembers, each contiguous.

import CKernels

/// A parameter and its gradient: contiguous, of one dtype and count, apart in memory.
package struct UpdateTarget {
  package let dtype: DType
  package let count: Int
  package let parameter, gradient: UnsafeMutableRawPointer

  @inline(__always)
  package init(_ dtype: DType, _ count: Int, parameter: UnsafeMutableRawPointer, gradient: UnsafeMutableRawPointer) {
    (self.dtype, self.count, self.parameter, self.gradient) = (dtype, count, parameter, gradient)
  }

  /// The launch with up to three buffers of what is remembered.
  @inline(__always)
  fileprivate func launch(
    _ row: UInt32, _ m: UnsafeMutableRawPointer?, _ v: UnsafeMutableRawPointer? = nil, _ w: UnsafeMutableRawPointer? = nil,
    rate: Double, _ body: (borrowing Launch) -> Void
  ) throws {
    var call = Launch(
      .update, row: row, dtype, .read(gradient, dtype, count), m.map { .update($0, dtype, count) }, v.map { .update($0, dtype, count) },
      w.map { .update($0, dtype, count) }, .update(parameter, dtype, count))
    call.numbers.0 = rate
    try Kernels.launch(call, body)
  }

  package func sgd(
    _ buffer: UnsafeMutableRawPointer?, rate: Double, momentum: Double, dampening: Double, decay: Double, nesterov: Bool, maximize: Bool,
    first: Bool
  ) throws {
    try launch(0, buffer, rate: rate) {
      mg_sgd(
        $0.code, Int64(count), $0.e?.pointer, $0.a?.pointer, $0.b?.pointer, rate, momentum, dampening, decay, nesterov, maximize, first)
    }
  }

  package func adam(
    _ m: UnsafeMutableRawPointer, _ v: UnsafeMutableRawPointer, _ largest: UnsafeMutableRawPointer?, step: Int, rate: Double,
    betas: (Double, Double), epsilon: Double, decay: Double, decoupled: Bool, maximize: Bool
  ) throws {
    try launch(1, m, v, largest, rate: rate) {
      mg_adam(
        $0.code, Int64(count), $0.e?.pointer, $0.a?.pointer, $0.b?.pointer, $0.c?.pointer, $0.d?.pointer, Int64(step), rate, betas.0,
        betas.1, epsilon, decay, decoupled, maximize)
    }
  }

  package func nadam(
    _ m: UnsafeMutableRawPointer, _ v: UnsafeMutableRawPointer, step: Int, gradientRate: Double, meanRate: Double,
    betas: (Double, Double), epsilon: Double, decay: Double, shrink: Double, maximize: Bool
  ) throws {
    try launch(2, m, v, rate: gradientRate) {
      mg_nadam(
        $0.code, Int64(count), $0.e?.pointer, $0.a?.pointer, $0.b?.pointer, $0.c?.pointer, Int64(step), gradientRate, meanRate, betas.0,
        betas.1, epsilon, decay, shrink, maximize)
    }
  }

  package func adamax(
    _ m: UnsafeMutableRawPointer, _ norm: UnsafeMutableRawPointer, step: Int, rate: Double, betas: (Double, Double), epsilon: Double,
    decay: Double, maximize: Bool
  ) throws {
    try launch(3, m, norm, rate: rate) {
      mg_adamax(
        $0.code, Int64(count), $0.e?.pointer, $0.a?.pointer, $0.b?.pointer, $0.c?.pointer, Int64(step), rate, betas.0, betas.1, epsilon,
        decay, maximize)
    }
  }

  package func rmsprop(
    _ v: UnsafeMutableRawPointer, mean: UnsafeMutableRawPointer?, _ buffer: UnsafeMutableRawPointer?, rate: Double, alpha: Double,
    epsilon: Double, decay: Double, momentum: Double, maximize: Bool
  ) throws {
    try launch(4, v, mean, buffer, rate: rate) {
      mg_rmsprop(
        $0.code, Int64(count), $0.e?.pointer, $0.a?.pointer, $0.b?.pointer, $0.c?.pointer, $0.d?.pointer, rate, alpha, epsilon, decay,
        momentum, maximize)
    }
  }

  package func adagrad(
    _ sum: UnsafeMutableRawPointer, rate: Double, epsilon: Double, decay: Double, maximize: Bool
  ) throws {
    try launch(5, sum, rate: rate) {
      mg_adagrad($0.code, Int64(count), $0.e?.pointer, $0.a?.pointer, $0.b?.pointer, rate, epsilon, decay, maximize)
    }
  }

  package func adadelta(
    _ v: UnsafeMutableRawPointer, _ deltas: UnsafeMutableRawPointer, rate: Double, rho: Double, epsilon: Double, decay: Double,
    maximize: Bool
  ) throws {
    try launch(6, v, deltas, rate: rate) {
      mg_adadelta(
        $0.code, Int64(count), $0.e?.pointer, $0.a?.pointer, $0.b?.pointer, $0.c?.pointer, rate, rho, epsilon, decay, maximize)
    }
  }

  /// `trust` is nil while steps go by the mean alone.
  package func radam(
    _ m: UnsafeMutableRawPointer, _ v: UnsafeMutableRawPointer, rate: Double, correction: Double, root: Double, trust: Double?,
    betas: (Double, Double), epsilon: Double, decay: Double, shrink: Double, maximize: Bool
  ) throws {
    try launch(7, m, v, rate: rate) {
      mg_radam(
        $0.code, Int64(count), $0.e?.pointer, $0.a?.pointer, $0.b?.pointer, $0.c?.pointer, rate, correction, root, trust ?? -1, betas.0,
        betas.1, epsilon, decay, shrink, maximize)
    }
  }

  package func asgd(
    _ mean: UnsafeMutableRawPointer, rate: Double, decay: Double, shrink: Double, weight: Double, maximize: Bool
  ) throws {
    try launch(8, mean, rate: rate) {
      mg_asgd($0.code, Int64(count), $0.e?.pointer, $0.a?.pointer, $0.b?.pointer, rate, decay, shrink, weight, maximize)
    }
  }

  package func rprop(
    _ previous: UnsafeMutableRawPointer, _ sizes: UnsafeMutableRawPointer, factors: (Double, Double), sizes limits: (Double, Double),
    maximize: Bool
  ) throws {
    try launch(9, previous, sizes, rate: factors.0) {
      mg_rprop(
        $0.code, Int64(count), $0.e?.pointer, $0.a?.pointer, $0.b?.pointer, $0.c?.pointer, factors.0, factors.1, limits.0, limits.1,
        maximize)
    }
  }
}

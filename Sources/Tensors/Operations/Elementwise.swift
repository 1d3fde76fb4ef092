// The walk that all elementwise operations share: promotion, broadcasting, one result buffer, one kernel call.

import CKernels

/// Below this many elements a kernel is called directly; longer loops may be split over threads.
private let splitThreshold = 1 << 15

enum Elementwise {
  /// y = op(x) in x's dtype.
  @inline(__always)
  static func unary(_ op: mg_unary_op, _ x: Tensor) throws -> Tensor {
    let y = try Tensor(uninitialized: x.shape, x.dtype)
    try unary(op, x, into: y)
    return y
  }

  /// The same into a contiguous tensor of x's shape and dtype, which may be x.
  @inline(__always)
  static func unary(_ op: mg_unary_op, _ x: Tensor, into y: Tensor) throws {
    if x.isContiguous, x.count < splitThreshold {
      try Kernels.unary(op, x.dtype, x.count, x.data, into: y.data)
    } else {
      try Kernels.unary(op, x.dtype, over: mg_loop(y.shape, y.layout, x.layout), x.data, into: y.data)
    }
  }

  /// y = op(a, b), both brought to `dtype` and broadcast.
  @inline(__always)
  static func binary(_ op: mg_binary_op, _ a: Tensor, _ b: Tensor, _ dtype: DType, _ name: String) throws -> Tensor {
    if a.dtype == dtype, b.dtype == dtype, a.isContiguous, b.isContiguous, a.count < splitThreshold, a.shape == b.shape {
      let y = try Tensor(uninitialized: a.shape, dtype)
      try Kernels.binary(op, dtype, a.count, a.data, b.data, into: y.data)
      return y
    }
    return try broadcastBinary(op, a, b, dtype, name)
  }

  /// The same into a contiguous tensor of a's shape and dtype, which may be a or b; b is contiguous, of that shape or one
  /// element.
  @inline(__always)
  static func binary(_ op: mg_binary_op, _ a: Tensor, _ b: Tensor, into y: Tensor) throws {
    try Kernels.binary(op, a.dtype, a.count, a.data, b.data, bStep: b.count == 1 ? 0 : 1, into: y.data)
  }

  @inline(never)
  private static func broadcastBinary(
    _ op: mg_binary_op, _ a: Tensor, _ b: Tensor, _ dtype: DType, _ name: String
  ) throws -> Tensor {
    let shape = try Shape.broadcast(a.shape, b.shape, name)
    let a = try a.converted(to: dtype)
    let b = try b.converted(to: dtype)
    let y = try Tensor(uninitialized: shape, dtype)
    // A single number beside a contiguous tensor needs no loop nest.
    if y.count < splitThreshold {
      if b.count == 1, a.isContiguous, a.count == y.count {
        try Kernels.binary(op, dtype, y.count, a.data, b.data, bStep: 0, into: y.data)
        return y
      }
      if a.count == 1, b.isContiguous, b.count == y.count {
        try Kernels.binary(op, dtype, y.count, a.data, aStep: 0, b.data, into: y.data)
        return y
      }
    }
    let nest = mg_loop(shape, y.layout, a.layout.stretched(to: shape), b.layout.stretched(to: shape))
    try Kernels.binary(op, dtype, over: nest, a.data, dtype, b.data, dtype, into: y.data)
    return y
  }

  /// y = op(a, number).
  @inline(__always)
  static func binary(_ op: mg_binary_op, _ a: Tensor, _ number: Scalar, _ dtype: DType) throws -> Tensor {
    let a = try a.converted(to: dtype)
    let y = try Tensor(uninitialized: a.shape, dtype)
    try binary(op, a, number, into: y)
    return y
  }

  /// The same into a contiguous tensor of a's shape and dtype, which may be a.
  @inline(__always)
  static func binary(_ op: mg_binary_op, _ a: Tensor, _ number: Scalar, into y: Tensor) throws {
    let (dtype, wide) = (a.dtype, a.dtype.computing)
    var element = number.element(wide)
    if a.isContiguous, a.count < splitThreshold {
      try Kernels.binary(op, dtype, a.count, a.data, &element, bStep: 0, number: true, into: y.data)
    } else {
      let nest = mg_loop(y.shape, y.layout, a.layout, Layout(Shape()).stretched(to: y.shape))
      try Kernels.binary(op, dtype, over: nest, a.data, dtype, &element, wide, into: y.data)
    }
  }

  /// y = op(number, b), in `dtype`, which is b's or what b is brought to.
  static func binary(_ op: mg_binary_op, _ number: Scalar, _ b: Tensor, _ dtype: DType) throws -> Tensor {
    let b = try b.converted(to: dtype)
    let y = try Tensor(uninitialized: b.shape, dtype)
    var element = number.element(dtype.computing)
    let nest = mg_loop(y.shape, y.layout, Layout(Shape()).stretched(to: y.shape), b.layout)
    try Kernels.binary(op, dtype, over: nest, &element, dtype.computing, b.data, dtype, into: y.data)
    return y
  }

  /// y = a op b as bool, both brought to their common dtype and broadcast.
  static func compare(_ op: mg_compare_op, _ a: Tensor, _ b: Tensor, _ name: String) throws -> Tensor {
    let dtype = DType.promoted(a.dtype, b.dtype)
    let shape = try Shape.broadcast(a.shape, b.shape, name)
    let a = try a.converted(to: dtype)
    let b = try b.converted(to: dtype)
    let y = try Tensor(uninitialized: shape, .bool)
    let nest = mg_loop(shape, y.layout, a.layout.stretched(to: shape), b.layout.stretched(to: shape))
    try Kernels.compare(op, dtype, over: nest, a.data, b.data, into: y.data)
    return y
  }
}

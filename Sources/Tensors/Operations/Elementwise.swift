// The walk that all elementwise operations share: promotion, broadcasting, one result buffer, one kernel call.

import CKernels

/// Below this many elements a kernel is called directly; longer loops may be split over threads.
private let splitThreshold = 1 << 15

enum Elementwise {
  /// y = op(x) in x's dtype.
  @inline(__always)
  static func unary(_ op: mg_unary_op, _ x: Tensor) throws -> Tensor {
    let y = try Tensor(uninitialized: x.shape, x.dtype)
    unary(op, x, into: y)
    return y
  }

  /// The same into a contiguous tensor of x's shape and dtype, which may be x.
  @inline(__always)
  static func unary(_ op: mg_unary_op, _ x: Tensor, into y: Tensor) {
    if x.isContiguous, x.count < splitThreshold {
      mg_unary(op, x.dtype.kernel, Int64(x.count), x.data, 1, y.data)
    } else {
      var loop = mg_loop(y.shape, y.layout, x.layout)
      mg_unary_nd(op, x.dtype.kernel, &loop, x.data, y.data)
    }
  }

  /// y = op(a, b), both brought to `dtype` and broadcast.
  @inline(__always)
  static func binary(_ op: mg_binary_op, _ a: Tensor, _ b: Tensor, _ dtype: DType, _ name: String) throws -> Tensor {
    if a.dtype == dtype, b.dtype == dtype, a.isContiguous, b.isContiguous, a.count < splitThreshold, a.shape == b.shape {
      let y = try Tensor(uninitialized: a.shape, dtype)
      mg_binary(op, dtype.kernel, Int64(a.count), a.data, 1, b.data, 1, y.data)
      return y
    }
    return try broadcastBinary(op, a, b, dtype, name)
  }

  /// The same into a contiguous tensor of a's shape and dtype, which may be a or b; b is contiguous, of that shape or one
  /// element.
  @inline(__always)
  static func binary(_ op: mg_binary_op, _ a: Tensor, _ b: Tensor, into y: Tensor) {
    mg_binary(op, a.dtype.kernel, Int64(a.count), a.data, 1, b.data, b.count == 1 ? 0 : 1, y.data)
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
        mg_binary(op, dtype.kernel, Int64(y.count), a.data, 1, b.data, 0, y.data)
        return y
      }
      if a.count == 1, b.isContiguous, b.count == y.count {
        mg_binary(op, dtype.kernel, Int64(y.count), a.data, 0, b.data, 1, y.data)
        return y
      }
    }
    var loop = mg_loop(shape, y.layout, a.layout.stretched(to: shape), b.layout.stretched(to: shape))
    mg_binary_nd(op, dtype.kernel, &loop, a.data, b.data, y.data)
    return y
  }

  /// y = op(a, number).
  @inline(__always)
  static func binary(_ op: mg_binary_op, _ a: Tensor, _ number: Scalar, _ dtype: DType) throws -> Tensor {
    let a = try a.converted(to: dtype)
    let y = try Tensor(uninitialized: a.shape, dtype)
    binary(op, a, number, into: y)
    return y
  }

  /// The same into a contiguous tensor of a's shape and dtype, which may be a.
  @inline(__always)
  static func binary(_ op: mg_binary_op, _ a: Tensor, _ number: Scalar, into y: Tensor) {
    var element = number.element(a.dtype)
    if a.isContiguous, a.count < splitThreshold {
      mg_binary(op, a.dtype.kernel, Int64(a.count), a.data, 1, &element, 0, y.data)
    } else {
      var loop = mg_loop(y.shape, y.layout, a.layout, Layout(Shape()).stretched(to: y.shape))
      mg_binary_nd(op, a.dtype.kernel, &loop, a.data, &element, y.data)
    }
  }

  /// y = a op b as bool, both brought to their common dtype and broadcast.
  static func compare(_ op: mg_compare_op, _ a: Tensor, _ b: Tensor, _ name: String) throws -> Tensor {
    let dtype = DType.promoted(a.dtype, b.dtype)
    let shape = try Shape.broadcast(a.shape, b.shape, name)
    let a = try a.converted(to: dtype)
    let b = try b.converted(to: dtype)
    let y = try Tensor(uninitialized: shape, .bool)
    var loop = mg_loop(shape, y.layout, a.layout.stretched(to: shape), b.layout.stretched(to: shape))
    mg_compare_nd(op, dtype.kernel, &loop, a.data, b.data, y.data)
    return y
  }
}

extension Tensor {
  /// The elements in `dtype`, outside the graph; this tensor itself when it has it already.
  @inline(__always)
  package func converted(to dtype: DType) throws -> Tensor {
    dtype == self.dtype ? self : try convertedCopy(to: dtype)
  }

  @inline(never)
  package func convertedCopy(to dtype: DType) throws -> Tensor {
    let y = try Tensor(uninitialized: shape, dtype)
    var loop = mg_loop(shape, y.layout, layout)
    mg_convert_nd(self.dtype.kernel, dtype.kernel, &loop, data, y.data)
    return y
  }

  /// A contiguous copy of the elements, outside the graph.
  package func copied() throws -> Tensor { try convertedCopy(to: dtype) }

  /// The elements one after another in row-major order, outside the graph; this tensor itself when they are.
  @inline(__always)
  package func packed() throws -> Tensor { isContiguous ? self : try convertedCopy(to: dtype) }

  /// Overwrites the elements with `source`'s, broadcast and converted, counting the write. No history.
  package func assign(_ source: Tensor) throws {
    let stretched = source.layout.stretched(to: shape)
    // Overlapping memory is read in full before it is written.
    let source = source.storage === storage && source !== self ? try source.copied() : source
    let layout = source.storage === storage ? stretched : source.layout.stretched(to: shape)
    var loop = mg_loop(shape, self.layout, layout)
    mg_convert_nd(source.dtype.kernel, dtype.kernel, &loop, source.data, data)
    bumpVersion()
  }
}

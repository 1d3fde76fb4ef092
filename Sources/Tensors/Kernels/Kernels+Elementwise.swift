// Launches of elementwise kernels: one after another where elements lie so, or over a nest.

import CKernels

extension Kernels {
  @inline(__always)
  static func unary(_ op: mg_unary_op, _ dtype: DType, _ count: Int, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer) throws {
    try launch(Launch(.unary, row: op.rawValue, dtype, .read(x, dtype, count), .write(y, dtype, count))) {
      mg_unary(op, $0.code, Int64(count), $0.a?.pointer, 1, $0.b?.pointer)
    }
  }

  static func unary(_ op: mg_unary_op, _ dtype: DType, over nest: mg_loop, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer) throws {
    try withUnsafePointer(to: nest) { nest in
      let count = nest.pointee.count
      try launch(Launch(.unary, row: op.rawValue, dtype, .read(x, dtype, count, strides: 1), .write(y, dtype, count), nest: nest)) {
        mg_unary_nd(op, $0.code, $0.nest, $0.a?.pointer, $0.b?.pointer)
      }
    }
  }

  /// With up to two numbers (see `mg_unary2_op`).
  static func unary(
    _ op: mg_unary2_op, _ p: Double, _ q: Double, _ dtype: DType, over nest: mg_loop, _ x: UnsafeRawPointer,
    into y: UnsafeMutableRawPointer
  ) throws {
    try withUnsafePointer(to: nest) { nest in
      let count = nest.pointee.count
      var call = Launch(
        .unaryWithNumbers, row: op.rawValue, dtype, .read(x, dtype, count, strides: 1), .write(y, dtype, count), nest: nest)
      call.numbers = (p, q, 0, 0)
      try launch(call) { mg_unary2_nd(op, $0.code, $0.nest, $0.a?.pointer, p, q, $0.b?.pointer) }
    }
  }

  /// Bools.
  static func predicate(
    _ op: mg_predicate_op, _ dtype: DType, over nest: mg_loop, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer
  ) throws {
    try withUnsafePointer(to: nest) { nest in
      let count = nest.pointee.count
      try launch(
        Launch(.predicate, row: op.rawValue, dtype, .read(x, dtype, count, strides: 1), .write(y, .bool, count), nest: nest)
      ) { mg_predicate_nd(op, $0.code, $0.nest, $0.a?.pointer, $0.b?.pointer) }
    }
  }

  /// An operand of a step of 0 is one element; a plain number has the dtype that is computed in.
  @inline(__always)
  static func binary(
    _ op: mg_binary_op, _ dtype: DType, _ count: Int, _ a: UnsafeRawPointer, aStep: Int = 1, _ b: UnsafeRawPointer,
    bStep: Int = 1, number: Bool = false, into y: UnsafeMutableRawPointer
  ) throws {
    try launch(
      Launch(
        .binary, row: op.rawValue, dtype, .read(a, dtype, aStep == 0 ? 1 : count),
        .read(b, number ? dtype.computing : dtype, bStep == 0 ? 1 : count), .write(y, dtype, count))
    ) { mg_binary(op, $0.code, Int64(count), $0.a?.pointer, Int64(aStep), $0.b?.pointer, Int64(bStep), $0.c?.pointer) }
  }

  /// `aDType` and `bDType` are what the operands lie in memory as: `dtype`, or what it is computed in.
  static func binary(
    _ op: mg_binary_op, _ dtype: DType, over nest: mg_loop, _ a: UnsafeRawPointer, _ aDType: DType, _ b: UnsafeRawPointer,
    _ bDType: DType, into y: UnsafeMutableRawPointer
  ) throws {
    try withUnsafePointer(to: nest) { nest in
      let count = nest.pointee.count
      try launch(
        Launch(
          .binary, row: op.rawValue, dtype, .read(a, aDType, count, strides: 1), .read(b, bDType, count, strides: 2),
          .write(y, dtype, count), nest: nest)
      ) { mg_binary_nd(op, $0.code, $0.nest, $0.a?.pointer, $0.b?.pointer, $0.c?.pointer) }
    }
  }

  /// Bools.
  static func compare(
    _ op: mg_compare_op, _ dtype: DType, over nest: mg_loop, _ a: UnsafeRawPointer, _ b: UnsafeRawPointer,
    into y: UnsafeMutableRawPointer
  ) throws {
    try withUnsafePointer(to: nest) { nest in
      let count = nest.pointee.count
      try launch(
        Launch(
          .compare, row: op.rawValue, dtype, .read(a, dtype, count, strides: 1), .read(b, dtype, count, strides: 2),
          .write(y, .bool, count), nest: nest)
      ) { mg_compare_nd(op, $0.code, $0.nest, $0.a?.pointer, $0.b?.pointer, $0.c?.pointer) }
    }
  }

  /// a where the condition holds, else b.
  static func choose(
    _ dtype: DType, over nest: mg_loop, _ condition: UnsafeRawPointer, _ a: UnsafeRawPointer, _ b: UnsafeRawPointer,
    into y: UnsafeMutableRawPointer
  ) throws {
    try withUnsafePointer(to: nest) { nest in
      let count = nest.pointee.count
      try move(
        Launch(
          .choose, dtype, .read(condition, .bool, count, strides: 1), .read(a, dtype, count, strides: 2),
          .read(b, dtype, count, strides: 3), .write(y, dtype, count), nest: nest)
      ) { mg_where_nd($0.code, $0.nest, $0.a?.pointer, $0.b?.pointer, $0.c?.pointer, $0.d?.pointer) }
    }
  }

  /// Elements from one dtype to another, both sides strided.
  static func convert(
    _ from: DType, _ to: DType, over nest: mg_loop, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer
  ) throws {
    if from != to, from.isOnlyStored || to.isOnlyStored { return try convertStored(from, to, over: nest, x, into: y) }
    try withUnsafePointer(to: nest) { nest in
      let count = nest.pointee.count
      try move(
        Launch(.convert, row: UInt32(to.rawValue), from, .read(x, from, count, strides: 1), .write(y, to, count), nest: nest)
      ) { mg_convert_nd(from.code, to.code, $0.nest, $0.a?.pointer, $0.b?.pointer) }
    }
  }

  /// The same from or to a dtype that only stores elements, by way of what that is computed in.
  @inline(never)
  private static func convertStored(
    _ from: DType, _ to: DType, over nest: mg_loop, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer
  ) throws {
    let account = Context.current
    let count = nest.count
    let between = from.isOnlyStored ? from.computing : to.computing
    let bytes = Swift.max(count, 1) * between.size
    let wide = try account.pointee.memory.lend(bytes)
    defer { account.pointee.memory.free(wide, bytes) }
    let packed = try account.pointee.memory.lend(bytes)
    defer { account.pointee.memory.free(packed, bytes) }
    if let source = from.element as? any StoredElement.Type {
      try convert(from, from, over: nest.packing(0), x, into: packed)
      source.widen(count, packed, into: wide)
      return try convert(between, to, over: nest.packing(1), wide, into: y)
    }
    guard let target = to.element as? any StoredElement.Type else { return }
    try convert(from, between, over: nest.packing(0), x, into: wide)
    target.narrow(count, wide, into: packed)
    try convert(to, to, over: nest.packing(1), packed, into: y)
  }

  /// One value, `count` times.
  @inline(__always)
  static func fill(_ dtype: DType, _ count: Int, _ value: UnsafeRawPointer, into y: UnsafeMutableRawPointer) throws {
    try move(Launch(.fill, dtype, .read(value, dtype, 1), .write(y, dtype, count))) {
      mg_fill($0.code, Int64(count), $0.a?.pointer, $0.b?.pointer)
    }
  }
}

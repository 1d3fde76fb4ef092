// Launches of kernels over elements seen as [outer, length, inner]: reductions, running sums, softmax, order.

import CKernels

/// Elements one after another as a reduction sees them.
package struct Extent: Sendable {
  let outer, length, inner: Int

  @inline(__always)
  init(_ outer: Int, _ length: Int, _ inner: Int) { (self.outer, self.length, self.inner) = (outer, length, inner) }

  var count: Int { outer * length * inner }
  var reduced: Int { outer * inner }
}

extension Kernels {
  @inline(__always)
  static func reduce(
    _ op: mg_reduce_op, _ dtype: DType, _ extent: Extent, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer
  ) throws {
    try launch(Launch(.reduce, row: op.rawValue, dtype, .read(x, dtype, extent.count), .write(y, dtype, extent.reduced))) {
      mg_reduce(op, $0.code, Int64(extent.outer), Int64(extent.length), Int64(extent.inner), $0.a?.pointer, $0.b?.pointer)
    }
  }

  /// Whether any, or all, are nonzero.
  static func anyOrAll(
    all: Bool, _ dtype: DType, _ extent: Extent, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer
  ) throws {
    if extent.reduced == 0 { return }
    let kernel = all ? mg_all : mg_any
    try launch(Launch(.anyOrAll, row: all ? 1 : 0, dtype, .read(x, dtype, extent.count), .write(y, .bool, extent.reduced))) {
      kernel($0.code, Int64(extent.outer), Int64(extent.length), Int64(extent.inner), $0.a?.pointer, $0.b?.pointer)
    }
  }

  /// The first largest, or smallest, elements and where they stand.
  static func extremes(
    largest: Bool, _ dtype: DType, _ extent: Extent, _ x: UnsafeRawPointer, into values: UnsafeMutableRawPointer,
    _ indices: UnsafeMutableRawPointer
  ) throws {
    let kernel = largest ? mg_argmax : mg_argmin
    try launch(
      Launch(
        .extremes, row: largest ? 0 : 1, dtype, .read(x, dtype, extent.count), .write(values, dtype, extent.reduced),
        .write(indices, .int64, extent.reduced))
    ) {
      kernel(
        $0.code, Int64(extent.outer), Int64(extent.length), Int64(extent.inner), $0.a?.pointer, $0.b?.pointer,
        $0.c?.pointer?.assumingMemoryBound(to: Int64.self))
    }
  }

  /// The sums of squared deviations from the means.
  static func squaredDeviations(_ dtype: DType, _ extent: Extent, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer) throws {
    try launch(Launch(.moments, dtype, .read(x, dtype, extent.count), .write(y, dtype, extent.reduced))) {
      mg_moments($0.code, Int64(extent.outer), Int64(extent.length), Int64(extent.inner), $0.a?.pointer, nil, $0.b?.pointer)
    }
  }

  static func logSumExp(_ dtype: DType, _ extent: Extent, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer) throws {
    try launch(Launch(.logSumExp, dtype, .read(x, dtype, extent.count), .write(y, dtype, extent.reduced))) {
      mg_logsumexp($0.code, Int64(extent.outer), Int64(extent.length), Int64(extent.inner), $0.a?.pointer, $0.b?.pointer)
    }
  }

  static func norm(
    _ p: Double, _ dtype: DType, _ extent: Extent, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer
  ) throws {
    var call = Launch(.norm, dtype, .read(x, dtype, extent.count), .write(y, dtype, extent.reduced))
    call.numbers.0 = p
    try launch(call) {
      mg_norm($0.code, Int64(extent.outer), Int64(extent.length), Int64(extent.inner), $0.a?.pointer, p, $0.b?.pointer)
    }
  }

  static func runningSum(
    reverse: Bool, _ dtype: DType, _ extent: Extent, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer
  ) throws {
    try launch(
      Launch(.runningSum, row: reverse ? 1 : 0, dtype, .read(x, dtype, extent.count), .write(y, dtype, extent.count))
    ) { mg_cumsum($0.code, Int64(extent.outer), Int64(extent.length), Int64(extent.inner), reverse, $0.a?.pointer, $0.b?.pointer) }
  }

  static func runningProduct(_ dtype: DType, _ extent: Extent, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer) throws {
    try launch(Launch(.runningProduct, dtype, .read(x, dtype, extent.count), .write(y, dtype, extent.count))) {
      mg_cumprod($0.code, Int64(extent.outer), Int64(extent.length), Int64(extent.inner), $0.a?.pointer, $0.b?.pointer)
    }
  }

  /// Along rows.
  static func softmax(
    log: Bool, _ dtype: DType, rows: Int, _ length: Int, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer
  ) throws {
    let kernel = log ? mg_log_softmax : mg_softmax
    try launch(
      Launch(.softmax, row: log ? 1 : 0, dtype, .read(x, dtype, rows * length), .write(y, dtype, rows * length))
    ) { kernel($0.code, Int64(rows), Int64(length), $0.a?.pointer, $0.b?.pointer) }
  }

  /// Its gradient, from that of the result and the result.
  static func softmaxGradient(
    log: Bool, _ dtype: DType, rows: Int, _ length: Int, _ g: UnsafeRawPointer, _ y: UnsafeRawPointer,
    into dx: UnsafeMutableRawPointer
  ) throws {
    let kernel = log ? mg_log_softmax_grad : mg_softmax_grad
    let count = rows * length
    try launch(
      Launch(.softmaxGradient, row: log ? 1 : 0, dtype, .read(g, dtype, count), .read(y, dtype, count), .write(dx, dtype, count))
    ) { kernel($0.code, Int64(rows), Int64(length), $0.a?.pointer, $0.b?.pointer, $0.c?.pointer) }
  }

  /// Rows in order, stable; `lanes` has scratch for them.
  static func sort(
    descending: Bool, _ dtype: DType, rows: Int, _ length: Int, _ x: UnsafeRawPointer, into values: UnsafeMutableRawPointer,
    _ indices: UnsafeMutableRawPointer, _ lanes: Lanes
  ) throws {
    let count = rows * length
    try launch(
      Launch(
        .sort, row: descending ? 1 : 0, dtype, .read(x, dtype, count), .write(values, dtype, count), .write(indices, .int64, count),
        lanes.operand)
    ) {
      mg_sort(
        $0.code, Int64(rows), Int64(length), descending, $0.a?.pointer, $0.b?.pointer,
        $0.c?.pointer?.assumingMemoryBound(to: Int64.self), $0.d?.pointer?.assumingMemoryBound(to: Int64.self), Int64(lanes.count))
    }
  }

  /// Scratch for threads that sort rows, or select from them, side by side.
  struct Lanes {
    let count: Int
    /// Two words for each element of a row of each thread's.
    let scratch: UnsafeMutableRawPointer
    let words: Int

    /// How many threads, for so many rows of that length.
    static func count(rows: Int, _ length: Int) -> Int {
      // A thread is worth waking for some ten microseconds of sorting.
      rows * length < 4096 ? 1 : Swift.max(1, Swift.min(rows, Int(mg_threads())))
    }

    var operand: Launch.Operand { .write(scratch, .int64, words) }
  }
}

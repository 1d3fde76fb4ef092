// Launches of kernels that gather and scatter by positions, which have been checked.

import CKernels

extension Kernels {
  private static func positions(_ given: Launch.Operand?) -> UnsafePointer<Int64>? {
    given?.pointer.map { UnsafePointer($0.assumingMemoryBound(to: Int64.self)) }
  }

  static func indexSelect(
    _ dtype: DType, _ extent: Extent, count: Int, _ index: UnsafeRawPointer, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer
  ) throws {
    try move(
      Launch(
        .indexSelect, dtype, .read(index, .int64, count), .read(x, dtype, extent.count), .write(y, dtype, extent.reduced * count))
    ) {
      mg_index_select(
        dtype.size, Int64(extent.outer), Int64(extent.length), Int64(extent.inner), Int64(count), positions($0.a), $0.b?.pointer,
        $0.c?.pointer)
    }
  }

  static func indexAdd(
    _ dtype: DType, _ extent: Extent, count: Int, _ index: UnsafeRawPointer, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer
  ) throws {
    try launch(
      Launch(
        .indexAdd, dtype, .read(index, .int64, count), .read(x, dtype, extent.reduced * count), .update(y, dtype, extent.count))
    ) {
      mg_index_add(
        $0.code, Int64(extent.outer), Int64(extent.length), Int64(extent.inner), Int64(count), positions($0.a), $0.b?.pointer,
        $0.c?.pointer)
    }
  }

  /// Elements by their places among `total`.
  static func take(
    _ dtype: DType, count: Int, _ at: UnsafeRawPointer, _ x: UnsafeRawPointer, of total: Int, into y: UnsafeMutableRawPointer
  ) throws {
    try move(Launch(.take, dtype, .read(at, .int64, count), .read(x, dtype, total), .write(y, dtype, count))) {
      mg_take(dtype.size, Int64(count), positions($0.a), $0.b?.pointer, $0.c?.pointer)
    }
  }

  static func put(
    _ dtype: DType, count: Int, _ at: UnsafeRawPointer, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, of total: Int
  ) throws {
    try move(Launch(.put, dtype, .read(at, .int64, count), .read(x, dtype, count), .update(y, dtype, total))) {
      mg_put(dtype.size, Int64(count), positions($0.a), $0.b?.pointer, 1, $0.c?.pointer)
    }
  }

  static func putAdd(
    _ dtype: DType, count: Int, _ at: UnsafeRawPointer, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, of total: Int
  ) throws {
    try launch(Launch(.putAdd, dtype, .read(at, .int64, count), .read(x, dtype, count), .update(y, dtype, total))) {
      mg_put_add($0.code, Int64(count), positions($0.a), $0.b?.pointer, $0.c?.pointer)
    }
  }
}

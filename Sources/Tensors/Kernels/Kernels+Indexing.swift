// Launches of kernels that gather and scatter by positions, which check them on the way: false comes back where one is out of
// range, and the result is of no use then. Where `places` is given, it is left the positions counted from 0.

import CKernels

extension Kernels {
  /// A packed tensor of positions, or room for one.
  struct Positions {
    let pointer: UnsafeMutableRawPointer
    let layout: Layout
    /// What they count from, 0 or 1.
    var first = 0
    var count: Int { layout.count }
  }

  private static func positions(_ given: Launch.Operand?) -> UnsafeMutablePointer<Int64>? {
    given?.pointer?.assumingMemoryBound(to: Int64.self)
  }

  static func indexSelect(
    _ dtype: DType, _ extent: Extent, _ index: Positions, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, places: Positions?
  ) throws -> Bool {
    let count = index.count
    var fits = true
    try move(
      Launch(
        .indexSelect, dtype, .read(index.pointer, .int64, count), .read(x, dtype, extent.count), .write(y, dtype, extent.reduced * count),
        places.map { .write($0.pointer, .int64, count) })
    ) {
      fits = mg_index_select(
        dtype.size, Int64(extent.outer), Int64(extent.length), Int64(index.first), Int64(extent.inner), Int64(count), positions($0.a),
        positions($0.d),
        $0.b?.pointer, $0.c?.pointer)
    }
    return fits
  }

  static func indexAdd(
    _ dtype: DType, _ extent: Extent, _ index: Positions, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, places: Positions?
  ) throws -> Bool {
    let count = index.count
    var fits = true
    try launch(
      Launch(
        .indexAdd, dtype, .read(index.pointer, .int64, count), .read(x, dtype, extent.reduced * count), .update(y, dtype, extent.count),
        places.map { .write($0.pointer, .int64, count) })
    ) {
      fits = mg_index_add(
        $0.code, Int64(extent.outer), Int64(extent.length), Int64(index.first), Int64(extent.inner), Int64(count), positions($0.a),
        positions($0.d),
        $0.b?.pointer, $0.c?.pointer)
    }
    return fits
  }

  /// How positions point into a table of elements: one for each place of a nest.
  struct Pointing {
    /// Operand 0 walks the positions, 1 the table, 2 what is written to it.
    let nest: mg_loop
    /// The size of the dimension that positions count along, and how far apart its elements are.
    let length, step: Int
    /// The elements of the table.
    let total: Int
  }

  /// Only the check that all are in range, from the end too where that is asked for.
  static func positions(length: Int, fromEnd: Bool, _ index: Positions, into places: Positions?) throws -> Bool {
    let count = index.count
    var fits = true
    try launch(Launch(.positions, .int64, .read(index.pointer, .int64, count), places.map { .write($0.pointer, .int64, count) })) {
      fits = mg_positions(Int64(count), Int64(length), Int64(index.first), fromEnd, positions($0.a), positions($0.b))
    }
    return fits
  }

  static func gather(
    _ dtype: DType, _ pointing: Pointing, _ index: Positions, _ table: UnsafeRawPointer, into y: UnsafeMutableRawPointer, places: Positions?
  ) throws -> Bool {
    let count = index.count
    var fits = true
    try withUnsafePointer(to: pointing.nest) { nest in
      try move(
        Launch(
          .gather, dtype, .read(index.pointer, .int64, count), .read(table, dtype, pointing.total), .write(y, dtype, count),
          places.map { .write($0.pointer, .int64, count) }, nest: nest)
      ) {
        fits = mg_gather(
          dtype.size, $0.nest, Int64(pointing.length), Int64(index.first), Int64(pointing.step), positions($0.a), positions($0.d),
          $0.b?.pointer,
          $0.c?.pointer)
      }
    }
    return fits
  }

  static func scatter(
    adding: Bool, _ dtype: DType, _ pointing: Pointing, _ index: Positions, _ x: UnsafeRawPointer, into table: UnsafeMutableRawPointer,
    places: Positions?
  ) throws -> Bool {
    let count = index.count
    var fits = true
    try withUnsafePointer(to: pointing.nest) { nest in
      func call() -> Launch {
        Launch(
          adding ? .scatterSum : .scatter, dtype, .read(index.pointer, .int64, count), .read(x, dtype, count, strides: 2),
          .update(table, dtype, pointing.total), places.map { .write($0.pointer, .int64, count) }, nest: nest)
      }
      if adding {
        try launch(call()) {
          fits = mg_scatter_add(
            $0.code, $0.nest, Int64(pointing.length), Int64(index.first), Int64(pointing.step), positions($0.a), positions($0.d),
            $0.b?.pointer,
            $0.c?.pointer)
        }
      } else {
        try move(call()) {
          fits = mg_scatter(
            dtype.size, $0.nest, Int64(pointing.length), Int64(index.first), Int64(pointing.step), positions($0.a), positions($0.d),
            $0.b?.pointer,
            $0.c?.pointer)
        }
      }
    }
    return fits
  }
}

// By row-major places in a table of `total` elements, which have been checked.
extension Kernels {
  private static func flat(_ places: Positions, _ total: Int) -> Pointing {
    let table = Layout(places.layout.shape, strides: InlineArray(repeating: 0), offset: 0)
    return Pointing(nest: mg_loop(places.layout.shape, places.layout, table, places.layout), length: total, step: 1, total: total)
  }

  static func take(_ dtype: DType, _ at: Positions, _ x: UnsafeRawPointer, of total: Int, into y: UnsafeMutableRawPointer) throws {
    let fits = try gather(dtype, flat(at, total), at, x, into: y, places: nil)
    assert(fits)
  }

  static func put(_ dtype: DType, _ at: Positions, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, of total: Int) throws {
    let fits = try scatter(adding: false, dtype, flat(at, total), at, x, into: y, places: nil)
    assert(fits)
  }

  static func putAdd(_ dtype: DType, _ at: Positions, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, of total: Int) throws {
    let fits = try scatter(adding: true, dtype, flat(at, total), at, x, into: y, places: nil)
    assert(fits)
  }
}

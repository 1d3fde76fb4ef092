// Lists of numbers between Swift and tables, a few hundred at a time instead of one value each.
import CLuaShim

/// Numbers on their way into a new table.
///
/// A ``Value`` for each of a million numbers takes ten times as long as the table itself. This one is asked for them while the table is
/// filled.
public final class NumberList {
  let count: Int
  private let source: Source

  private enum Source {
    case floats((_ from: Int, UnsafeMutableBufferPointer<Double>) -> Void)
    case integers((_ from: Int, UnsafeMutableBufferPointer<Int64>) -> Void)
  }

  /// `count` floats; `copy` fills the buffer with those from a position on, counted from 0. It must not call Lua.
  public init(floats count: Int, copy: @escaping (_ from: Int, UnsafeMutableBufferPointer<Double>) -> Void) {
    self.count = count
    source = .floats(copy)
  }

  /// The same of integers.
  public init(integers count: Int, copy: @escaping (_ from: Int, UnsafeMutableBufferPointer<Int64>) -> Void) {
    self.count = count
    source = .integers(copy)
  }

  var areIntegers: Bool {
    if case .integers = source { true } else { false }
  }

  fileprivate func copy(_ from: Int, _ count: Int, _ room: UnsafeMutableRawPointer) {
    switch source {
    case .floats(let copy): copy(from, UnsafeMutableBufferPointer(start: room.assumingMemoryBound(to: Double.self), count: count))
    case .integers(let copy): copy(from, UnsafeMutableBufferPointer(start: room.assumingMemoryBound(to: Int64.self), count: count))
    }
  }
}

/// See `ml_config`.
let copyNumbers: @convention(c) (UnsafeMutableRawPointer?, Int, Int, UnsafeMutablePointer<ml_numbers>?) -> Void = {
  list, from, count, room in
  guard let list, let room else { return }
  Unmanaged<NumberList>.fromOpaque(list)._withUnsafeGuaranteedRef { $0.copy(from, count, UnsafeMutableRawPointer(room)) }
}

extension Slot {
  /// Calls `body` with the elements of a list of numbers in order, a few hundred at a time, as floats. Ends at the first element that
  /// is no number, and returns its position, from 1; nil after the last. Throws for what is no table.
  public func forEachFloat(_ body: (UnsafeBufferPointer<Double>) throws -> Void) throws -> Int? {
    try forEachChunk(of: Double.self, ml_copy_floats, body)
  }

  /// The same of integers, and of floats with a whole value.
  public func forEachInteger(_ body: (UnsafeBufferPointer<Int64>) throws -> Void) throws -> Int? {
    try forEachChunk(of: Int64.self, ml_copy_integers, body)
  }

  private func forEachChunk<Number>(
    of type: Number.Type, _ copy: (OpaquePointer, Int32, Int64, Int, UnsafeMutablePointer<Number>) -> Int,
    _ body: (UnsafeBufferPointer<Number>) throws -> Void
  ) throws -> Int? {
    try withTable { table in
      let count = Int(lua_rawlen(lua, table))
      return try withUnsafeTemporaryAllocation(of: Number.self, capacity: Int(ML_NUMBERS_AT_ONCE)) { room in
        guard let start = room.baseAddress else { return nil }
        var done = 0
        while done < count {
          let wanted = min(count - done, room.count)
          let found = copy(lua, table, Int64(done + 1), wanted, start)
          if found > 0 { try body(UnsafeBufferPointer(start: start, count: found)) }
          done += found
          if found < wanted { return done + 1 }
        }
        return nil
      }
    }
  }
}

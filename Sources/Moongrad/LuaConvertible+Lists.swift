// Lists: of anything, element by element; of numbers, all together; of bytes, as strings.

import LuaRuntime

/// A list `{a, b, c}`. Bytes are a string, in any encoding; a list of numbers will do for them.
///
/// Numbers cross at the speed of memory, both ways: a million of them take a few milliseconds.
extension Array: LuaConvertible where Element: LuaConvertible {
  /// `list of integer`.
  public static var luaName: String { "list of \(Element.luaName)" }

  /// `t[1]` to `t[#t]`, read without metamethods. Throws when an element is of another type, naming its position.
  public static func decode(_ source: LuaSource) throws -> [Element] {
    // By way of Any, for a cast between arrays would look at every element.
    if let number = Element.self as? any LuaNumber.Type { return try number.all(in: source) as! [Element] }
    guard source.slot.type == .table else { throw source.mismatch(luaName) }
    var list: [Element] = []
    list.reserveCapacity(Swift.min(source.slot.rawLength, 4096))
    var holes = 0
    try source.slot.forEachElement { position, element in
      if element.isNil {
        holes += 1
        // Optional elements would go on to the end, which a script can put anywhere.
        guard holes <= Swift.max(4096, position / 2) else { throw ConversionFailure(expected: luaName, found: "a table full of holes") }
      }
      try ConversionFailure.at(.index(position)) { list.append(try Element.decode(LuaSource(element, source.session))) }
    }
    return list
  }

  /// A new table; of bytes a string.
  public var luaValue: LuaValue {
    get throws {
      if let number = Element.self as? any LuaNumber.Type { return try number.luaValue(ofAll: self) }
      var values: [LuaValue] = []
      values.reserveCapacity(count)
      for element in self { values.append(try ConversionFailure.at(.index(values.count + 1)) { try element.luaValue }) }
      return .list(values)
    }
  }
}

// MARK: Numbers

/// A number, whose lists cross all together.
private protocol LuaNumber: LuaConvertible {
  /// The numbers of a list, an array of this type.
  static func all(in source: LuaSource) throws -> Any
  /// An array of this type in Lua.
  static func luaValue(ofAll list: Any) throws -> LuaValue
}

extension Double: LuaNumber {}
extension Float: LuaNumber {}
extension Int: LuaNumber {}
extension Int8: LuaNumber {}
extension Int16: LuaNumber {}
extension Int32: LuaNumber {}
extension Int64: LuaNumber {}
extension UInt: LuaNumber {}
extension UInt8: LuaNumber {}
extension UInt16: LuaNumber {}
extension UInt32: LuaNumber {}
extension UInt64: LuaNumber {}

extension LuaNumber {
  /// Throws what the element at a position says for itself, when a list cannot be read all together.
  fileprivate static func refuse(_ position: Int, _ source: LuaSource) throws -> Never {
    try source.slot.withElement(position) { element in
      try ConversionFailure.at(.index(position)) {
        _ = try decode(LuaSource(element, source.session))
        throw ConversionFailure(expected: luaName, found: LuaSource(element, source.session).found)
      }
    }
  }
}

extension LuaNumber where Self: BinaryFloatingPoint {
  fileprivate static func all(in source: LuaSource) throws -> Any {
    guard source.slot.type == .table else { throw source.mismatch([Self].luaName) }
    let length = source.slot.rawLength
    var list: [Self] = []
    let end = try source.slot.forEachFloat { numbers in
      list.makeRoom(for: numbers.count, of: length)
      list.append(contentsOf: numbers.lazy.map { Self($0) })
    }
    if let end { try refuse(end, source) }
    return list
  }

  fileprivate static func luaValue(ofAll list: Any) throws -> LuaValue {
    let list = list as! [Self]
    return .numbers(
      NumberList(floats: list.count) { from, room in
        for place in room.indices { room[place] = Double(list[from &+ place]) }
      })
  }
}

extension LuaNumber where Self: FixedWidthInteger {
  fileprivate static func all(in source: LuaSource) throws -> Any {
    if self == UInt8.self, let bytes = source.slot.bytes { return bytes }
    guard source.slot.type == .table else { throw source.mismatch([Self].luaName) }
    let length = source.slot.rawLength
    var list: [Self] = []
    let end = try source.slot.forEachInteger { numbers in
      list.makeRoom(for: numbers.count, of: length)
      for number in numbers {
        guard let value = Self(exactly: number) else { try refuse(list.count + 1, source) }
        list.append(value)
      }
    }
    if let end { try refuse(end, source) }
    return list
  }

  fileprivate static func luaValue(ofAll list: Any) throws -> LuaValue {
    if self == UInt8.self { return .bytes(list as! [UInt8]) }
    let list = list as! [Self]
    if max > Int64.max, let large = list.firstIndex(where: { $0 > Int64.max }) {
      throw ConversionFailure(reason: "\(list[large]) is too large for an integer of Lua", path: [.index(large + 1)])
    }
    return .numbers(
      NumberList(integers: list.count) { from, room in
        for place in room.indices { room[place] = Int64(truncatingIfNeeded: list[from &+ place]) }
      })
  }
}

extension Array {
  /// Reserves for the rest of a list of `total` elements, of which `count` come now, but for no more than eight times what has come: a
  /// script can say any length for a table with holes.
  fileprivate mutating func makeRoom(for count: Int, of total: Int) {
    let needed = self.count + count
    if needed > capacity { reserveCapacity(Swift.min(total, Swift.max(4096, 8 * needed))) }
  }
}

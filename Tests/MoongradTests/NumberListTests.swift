// Lists of numbers cross all together, and are otherwise like every list.

import Moongrad
import Testing

@Suite struct NumberListTests {
  let session: Session
  init() throws { session = try Session() }

  private func roundTrip<Number: LuaConvertible & Equatable>(_ numbers: [Number]) throws {
    session["given"] = numbers
    #expect(try session.evaluate("given", as: [Number].self) == numbers)
    #expect(try session.evaluate("#given", as: Int.self) == numbers.count)
  }

  @Test func everyTypeOfNumbersComesBack() throws {
    for count in [0, 1, 255, 256, 257, 1000] {
      try roundTrip((0..<count).map { Double($0) * 0.1 })
      try roundTrip((0..<count).map { Float($0) * 0.1 })
      try roundTrip((0..<count).map { $0 - 100 })
      try roundTrip((0..<count).map { Int64($0) })
      try roundTrip((0..<count).map { Int32(-$0) })
      try roundTrip((0..<count).map { Int16($0) })
      try roundTrip((0..<count).map { Int8(truncatingIfNeeded: $0) })
      try roundTrip((0..<count).map { UInt64($0) })
      try roundTrip((0..<count).map { UInt32($0) })
      try roundTrip((0..<count).map { UInt16($0) })
    }
    try roundTrip([Int.min, .max])
    try roundTrip([Double.infinity, -0.0, .leastNonzeroMagnitude])
    session["nan"] = [Double.nan]
    #expect(try session.evaluate("nan[1] ~= nan[1]", as: Bool.self))
    #expect(try session.evaluate("nan", as: [Double].self)[0].isNaN)
  }

  @Test func luaSeesWholeNumbersAndFloats() throws {
    session["whole"] = [1, 2]
    session["floats"] = [1.0, 2.0]
    session["lists"] = [[1, 2], [], [3]]
    session["named"] = ["a": [1.5]]
    #expect(try session.evaluate("math.type(whole[2]), math.type(floats[2])") == ("integer", "float"))
    #expect(try session.evaluate("#lists, #lists[2], lists[3][1], named.a[1]") == (3, 0, 3, 1.5))
    #expect(try session.evaluate("{1.0, 2, 3}", as: [Int].self) == [1, 2, 3])
    #expect(try session.evaluate("{1.0, 2, 3}", as: [Float].self) == [1, 2, 3])
  }

  @Test func failuresNameTheElement() throws {
    try session.run("xs, huge = {}, {} for i = 1, 600 do xs[i], huge[i] = i, i end xs[300] = 'three hundred' huge[512] = 1 << 40")
    #expect(message { try session.value("xs", as: [Double].self) } == "xs[300]: expected number, got string")
    #expect(message { try session.value("xs", as: [Int].self) } == "xs[300]: expected integer, got string")
    #expect(message { try session.value("huge", as: [Int32].self) }?.hasPrefix("huge[512]: expected integer from -2147483648 to") == true)
    #expect(message { try session.evaluate("{{1}, {1, 2.5}}", as: [[Int]].self) } == "result[2][2]: expected integer, got 2.5")
    // Strings of digits are no numbers.
    #expect(message { try session.evaluate("{1, '2'}", as: [Double].self) } == "result[2]: expected number, got string")
    #expect(message { try session.evaluate("{'2'}", as: [Int].self) } == "result[1]: expected integer, got string")
    #expect(message { try session.evaluate("7", as: [Double].self) } == "result: expected list of number, got 7")
    #expect(message { try session.set("xs", [1, UInt64.max]) } == "xs[2]: 18446744073709551615 is too large for an integer of Lua")
  }

  @Test func functionsTakeAndGiveThem() throws {
    session.function("doubled") { (numbers: [Double]) -> [Double] in numbers.map { $0 * 2 } }
    #expect(try session.evaluate("doubled({1, 2, 3})[3]", as: Double.self) == 6)
    #expect(
      message { try session.evaluate("doubled({1, {}})", as: [Double].self) }?
        .contains("doubled: argument 1, at [2]: expected number, got table") == true)
    try session.run("function total(list) local sum = 0 for _, x in ipairs(list) do sum = sum + x end return sum end")
    let total: LuaFunction = try session.value("total")
    #expect(try total((1...1000).map { $0 }) == 500_500)
  }

  /// No metamethod runs, and lengths that a script made up reserve nothing.
  @Test func tablesOfScriptsAreOnlyRead() throws {
    try session.run(
      """
      t = setmetatable({1, 2}, { __index = function() error "was asked" end, __len = function() return 1 << 40 end })
      huge = {} for k = 0, 62 do huge[1 << k] = 1 end huge[5] = 1 huge[9] = 1 huge[math.maxinteger] = 1
      assert(#huge > 1 << 60)
      """)
    #expect(try session.value("t", as: [Int].self) == [1, 2])
    #expect(message { try session.value("huge", as: [Double].self) }?.hasPrefix("huge[3]: expected number, got nil") == true)
  }

  @Test func theMemoryLimitHolds() throws {
    let session = try Session(.init(memoryLimit: 8 << 20))
    do {
      try session.set("xs", [Double](repeating: 1, count: 1 << 20))
      Issue.record("16 MiB fitted into 8")
    } catch let error as LuaError { #expect(error.kind == .memory) }
    // Also where nothing can be thrown: by the next run.
    session["xs"] = [Int](repeating: 1, count: 1 << 20)
    #expect(throws: LuaError.self) { try session.run("return 1") }
    try session.set("xs", [Double](repeating: 1, count: 1 << 17))
    #expect(try session.evaluate("#xs", as: Int.self) == 1 << 17)
  }

  /// What was being copied is let go of, whether it arrived or not.
  @Test func nothingIsKept() throws {
    final class Counted: LuaConvertible {
      nonisolated(unsafe) static var alive = 0
      init() { Counted.alive += 1 }
      deinit { Counted.alive -= 1 }
      static func decode(_ source: LuaSource) throws -> Self { throw source.mismatch("nothing") }
      var luaValue: LuaValue {
        .numbers(NumberList(floats: 1000) { [self] _, room in for place in room.indices { room[place] = Double(Counted.alive + place) } })
      }
    }
    try session.set("xs", Counted())
    #expect(Counted.alive == 0)
    let small = try Session(.init(memoryLimit: 4 << 20))
    #expect(throws: LuaError.self) { try small.set("xs", Array(repeating: [Counted()], count: 1000)) }
    #expect(Counted.alive == 0)
  }
}

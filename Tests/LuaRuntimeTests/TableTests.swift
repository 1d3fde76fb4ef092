// Reading tables inside native calls: raw, in place, to any depth.
import Testing

@testable import LuaRuntime

@Suite struct TableTests {
  func check(_ source: String, _ body: @escaping NativeFunction.Body) throws {
    let state = try State()
    try state.setGlobal(
      "check",
      .native(
        NativeFunction { call in
          let top = call.count
          try body(&call)
          #expect(call.count == top, "the stack must be left as it was")
        }))
    try state.run(source: "check(\(source))", chunkName: "@test.lua")
  }

  @Test func fieldsAndElements() throws {
    try check("{10, 'two', dtype = 'float64', nested = {x = {true}}}") { call in
      let table = call[1]
      #expect(table.rawLength == 2)
      #expect(try table.withElement(1) { $0.integer } == 10)
      #expect(try table.withElement(2) { $0.string } == "two")
      #expect(try table.withElement(3) { $0.isNil })
      #expect(try table.withField("dtype") { $0.equals("float64") })
      #expect(try table.withField("missing") { $0.isNil })
      #expect(
        try table.withField("nested") { try $0.withField("x") { try $0.withElement(1) { $0.boolean } } }
          == true)
      var keys: Set<String> = []
      try table.forEachPair { key, value in keys.insert(key.string ?? "\(key.integer ?? 0)") }
      #expect(keys == ["1", "2", "dtype", "nested"])
      #expect(table.keys == (4, true))
      #expect(try table.withField("nested") { try $0.withField("x") { $0.keys } } == (1, false))
      #expect(!table.isEmptyTable)
    }
    try check("{}") { call in #expect(call[1].isEmptyTable && call[1].rawLength == 0) }
  }

  @Test func metamethodsAreNotCalled() throws {
    try check("setmetatable({1}, {__index = error, __len = error, __pairs = error})") { call in
      #expect(call[1].rawLength == 1)
      #expect(try call[1].withField("x") { $0.isNil })
      try call[1].forEachPair { _, _ in }
    }
  }

  @Test func numbersInBulk() throws {
    try check("{1, 2.5, 3}, {1, 2.0, 3}, {1, 'x', 3}") { call in
      var doubles = [Double](repeating: 0, count: 3)
      let copied = doubles.withUnsafeMutableBufferPointer { call[1].copyNumbers(into: $0) }
      #expect(copied.count == 3 && !copied.allIntegers && doubles == [1, 2.5, 3])
      let whole = doubles.withUnsafeMutableBufferPointer { call[2].copyNumbers(into: $0) }
      #expect(whole.count == 3 && !whole.allIntegers)
      let mixed = doubles.withUnsafeMutableBufferPointer { call[3].copyNumbers(into: $0) }
      #expect(mixed.count == 1 && mixed.allIntegers)
      doubles = [1, 2.5, 3]
      let from = doubles.withUnsafeMutableBufferPointer { call[1].copyNumbers(from: 2, into: $0) }
      #expect(from.count == 2 && doubles[0] == 2.5)
    }
  }

  /// A script can run inside the body and move the table's keys about, or drop them.
  @Test func tablesMayChangeWhileTheyAreRead() throws {
    let state = try State()
    var outcomes: [String] = []
    try state.setGlobal(
      "check",
      .native(
        NativeFunction { call in
          guard case .function(let change) = try call.value(2) else { return }
          var keys = 0
          do {
            try call[1].forEachPair { _, _ in
              keys += 1
              if keys == 2 { try change.call() }
            }
            outcomes.append("read")
          } catch let error as LuaError { outcomes.append(error.plainMessage) }
        }))
    try state.run(
      source: """
        local function fresh() local t = {} for i = 1, 8 do t['a' .. i] = i end return t end
        local t = fresh() check(t, function() for i = 1, 5000 do t['b' .. i] = true end end)
        t = fresh() check(t, function() for k in pairs(t) do t[k] = nil end end)
        t = fresh()
        check(t, function()
          for k in pairs(t) do t[k] = nil end
          for i = 1, 5000 do t['b' .. i] = true end
          for i = 1, 5000 do t['b' .. i] = nil end
          collectgarbage() for i = 1, 100 do t[i] = i end
        end)
        """)
    #expect(outcomes == ["read", "the table changed while it was read", "the table changed while it was read"])
  }

  /// The length of a table with holes is any place before one.
  @Test func theFirstElementsOfATableWithAHugeLength() throws {
    let huge = """
      (function() local t = {} for k = 0, 62 do t[1 << k] = 1 end
      t[5] = 1 t[9] = 1 t[math.maxinteger] = 1 return t end)()
      """
    try check(huge) { call in
      #expect(call[1].rawLength > 1 << 60)
      var count = 0
      try call[1].forEachElement(atMost: 5) { _, _ in count += 1 }
      #expect(count == 5)
    }
  }

  @Test func nestedLists() throws {
    try check("{{1, 2, 3}, {4, 5, 6}}") { call in
      var shape: [Int] = []
      var leaves: [Int] = []
      try call[1].walkLists(maximumDepth: 8) { depth, length in
        if shape.count == depth { shape.append(length) }
      } leaf: { depth, element in
        #expect(depth == 2)
        leaves.append(element.integer ?? 0)
      }
      #expect(shape == [2, 3] && leaves == [1, 2, 3, 4, 5, 6])
    }
  }

  @Test func selfContainingTablesEnd() throws {
    let error = try #require(throws: LuaError.self) {
      try check("(function() local t = {} t[1] = t return t end)()") { call in
        try call[1].walkLists(maximumDepth: 64) { _, _ in
        } leaf: { _, _ in
        }
      }
    }
    #expect(error.plainMessage == "lists are nested more than 64 deep, or contain themselves")
    // Deeper than Lua's guaranteed stack, still fine.
    try check("(function() local t = {1} for i = 1, 1000 do t = {t} end return t end)()") { call in
      var deepest = 0
      try call[1].walkLists(maximumDepth: 2000) { depth, _ in
        deepest = depth
      } leaf: { _, _ in
      }
      #expect(deepest == 1000)
    }
  }

  @Test func everyWrongTypeIsSaid() throws {
    let error = try #require(throws: LuaError.self) {
      try check("5") { call in try call[1].forEachElement { _, _ in } }
    }
    #expect(error.plainMessage == "expected a table, got number")
  }

  @Test func argumentsAreTypedStrictly() throws {
    try check("1, 2.0, 2.5, '3', true, nil, {}, print, 1 << 62, 2^70") { call in
      #expect(
        call.integer(1) == 1 && call.integer(2) == 2 && call.integer(3) == nil && call.integer(4) == nil)
      #expect(call.number(1) == 1 && call.number(3) == 2.5 && call.number(4) == nil)
      #expect(call.string(4) == "3" && call.string(1) == nil)
      #expect(call.boolean(5) == true && call.boolean(6) == nil && call.isNil(6) && call.isNil(15))
      #expect(
        call.type(6) == .nil && call.type(15) == .none && call.type(7) == .table && call.type(8) == .function)
      #expect(call.integer(9) == 1 << 62 && call.integer(10) == nil)
      #expect(call[1].isInteger && !call[2].isInteger)
      #expect(call.count == 10)
    }
  }

  @Test func bytesAndText() throws {
    try check("'a\\0b', '\\xff', ''") { call in
      #expect(call[1].bytes == [97, 0, 98] && call.string(1) == "a\0b")
      #expect(call[2].bytes == [0xff] && call.string(2) == "\u{FFFD}")
      #expect(call.string(3) == "" && call[3].equals(""))
    }
  }
}

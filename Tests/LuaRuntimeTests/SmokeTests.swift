import Testing

@testable import LuaRuntime

@Suite struct Smoke {
  @Test func handlesGoInAndOut() throws {
    let counter = Counter()
    do {
      let state = try makeState(counter)
      #expect(
        try state.text(
          """
          local a, b = new(1), new(2)
          local c = a + b
          assert(c:get() == 3 and c.value == 3)
          c.value = 7
          assert(c.value == 7 and c:itself() == c and rawequal(c:itself(), c))
          assert(a ~= b and getmetatable(a) == false)
          assert(not pcall(function() a.nothing = 1 end))
          return select(2, pcall(function() return a.nothing end))
          """) == "test.lua:8: no field 'nothing'")
      #expect(counter.live == 3)
    }
    #expect(counter.live == 0 && counter.released == 3)
  }

  @Test func errorsComeBack() throws {
    let state = try makeState(Counter())
    let error = try state.failure("\nlocal function f() fail(42) end\nf()")
    #expect(error.message == "test.lua:2: failure 42")
    #expect(error.cause as? Failure == Failure(code: 42))
    #expect(error.position == LuaError.Position(chunk: "test.lua", line: 2))
    #expect(error.traceback?.contains("test.lua:3: in main chunk") == true)
  }

  @Test func valuesComeOut() throws {
    let state = try makeState(Counter())
    let values = try state.evaluate("1, 2.5, 'x', nil, true, {1, 2}")
    #expect(values.count == 6)
    guard case .integer(1) = values[0], case .number(2.5) = values[1], case .string("x") = values[2],
      case .nil = values[3], case .boolean(true) = values[4], case .table(let table) = values[5]
    else { Issue.record("values: \(values)"); return }
    #expect(try table.rawLength() == 2)
  }
}

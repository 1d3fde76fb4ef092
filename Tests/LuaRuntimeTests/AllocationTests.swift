// Memory may run out at any allocation: nothing leaks, nothing crashes, and the state works afterwards.
import Testing

@testable import LuaRuntime

@Suite struct AllocationTests {
  /// Touches every path between Swift and Lua.
  static let script = """
    local a, b = new(1), new(2)
    local c = a + b
    c.value = c.value + 1
    assert(c:get() == 4 and c:itself() == c)
    local t = tree(a)
    assert(t.list[1] == a and t.list[3]() == 'called' and #t.text == 500)
    local seen = {}
    for i = 1, 6 do seen[i] = unique(i) seen[seen[i]] = i end
    for i = 1, 6 do assert(seen[seen[i]:again()] == i and seen[seen[i]:several()[2]] == i) end
    local kept = {}
    for i = 1, 3 do
      local x, y = keeper(), keeper()
      x:keep(function(y) return x, y end)
      y:keep_in_part(function() return y end)
      kept[i] = x
    end
    collectgarbage()
    for i = 1, 3 do local a, b = kept[i]:call(i) assert(a == kept[i] and b == i) end
    local ok, e = pcall(fail, 3)
    assert(not ok)
    local co = coroutine.wrap(function(x) local y = coroutine.yield(x + new(1)) return tostring(y) end)
    co(a) co('end')
    assert(select('#', through(function(...) return new(9), ... end, 1, {}, 'x')) == 5)
    pcall(through, error, {})
    pcall(through, fail, 1)
    local words = {}
    for word in ('some words and more'):gmatch('%a+') do words[#words + 1] = word .. #words end
    assert(load('return ...', '=chunk'))(1)
    return table.concat(words), c
    """

  func run(failing: (index: Int, onwards: Bool)?, _ counter: Counter) throws -> (
    allocations: Int, succeeded: Bool
  ) {
    var configuration = State.Configuration()
    configuration.failingAllocation = failing
    let state = try State(configuration)
    let record = state.pointer
    var succeeded = true
    do {
      try populate(state, counter)
      try AttachedTests.populate(state, counter)
      try addTrees(state, counter)
      let values = try state.run(source: Self.script, chunkName: "@script.lua")
      #expect(values.first?.stringValue == "some0words1and2more3")
      #expect(values.last?.handle?.object(countedKind)?.value == 4)
    } catch let error as LuaError {
      succeeded = false
      #expect(error.kind == .memory || error.message.contains("not enough memory"), "\(error)")
    }
    let allocations = Int(state.counts.allocations)
    // Memory is back: everything works again.
    record.pointee.config.fail_at = UInt64.max
    try populate(state, counter)
    try AttachedTests.populate(state, counter)
    try addTrees(state, counter)
    _ = try state.run(source: Self.script, chunkName: "@script.lua")
    state.collect()
    state.collect()
    #expect(counter.live == 0)
    return (allocations, succeeded)
  }

  private func addTrees(_ state: State, _ counter: Counter) throws {
    try state.setGlobal(
      "tree",
      .native(
        NativeFunction { call in
          call.returnsRecord(2)
          call.returns("list")
          call.returnsList(3)
          call.returnsArgument(1)
          call.returns(Counted(counter), countedKind)
          call.returns(NativeFunction { $0.returns("called") })
          call.returns("text")
          call.returns(String(repeating: "x", count: 500))
        }))
    try state.setGlobal(
      "through",
      .native(
        NativeFunction { call in
          call.returns(Counted(counter), countedKind)
          guard case .function(let function) = try call.value(1) else {
            throw LuaError("expected a function")
          }
          var arguments: [Value] = []
          if call.count > 1 { for index in 2...call.count { arguments.append(try call.value(index)) } }
          for value in try function.call(arguments) { call.returns(value) }
        }))
  }

  @Test(arguments: [false, true])
  func everyAllocationMayFail(_ onwards: Bool) throws {
    let counter = Counter()
    // How many there are, with none failing.
    let total = try run(failing: (Int.max, false), counter).allocations
    #expect(total > 400)
    var failed = 0
    for index in 1...total + 5 {
      do {
        if try !run(failing: (index, onwards), counter).succeeded { failed += 1 }
      } catch let error as LuaError {
        failed += 1
        #expect(error.kind == .memory || error.message.contains("not enough memory"), "at \(index): \(error)")
      }
      #expect(counter.live == 0 && counter.made == counter.released, "at allocation \(index)")
    }
    // Single failures are mostly cured by an emergency collection; lasting ones never are.
    if onwards { #expect(failed >= total - 5) }
  }
}

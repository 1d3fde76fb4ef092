// Swift functions of every form: any number of arguments, named options, functions that return functions, and callbacks.

import Moongrad
import Testing

@Suite struct FunctionFormTests {
  let session: Session
  init() throws { session = try Session() }

  private func error(_ source: String) -> String? { message { try session.run(source, name: "s") } }

  @Test func anyNumberOfArguments() throws {
    nonisolated(unsafe) var lines: [String] = []
    session.function("log") { (values: LuaValues) throws in lines.append(try values.text(separator: " ")) }
    session.function("sum") { (scale: Double, values: LuaValues) throws -> Double in
      try values.values(as: Double.self).reduce(0, +) * scale
    }
    session.function("same") { (values: LuaValues) in values }
    session.function("apply") { (f: LuaFunction, values: LuaValues) throws in try f.call(values) }
    session.function("three") { () throws -> (String, LuaValues) in ("a", try LuaValues([1, 2.5])) }
    try session.run(
      """
      log() log(1, nil, "x", true, 2.5, setmetatable({}, { __tostring = function() return "T" end }))
      assert(sum(2, 1, 2, 3) == 12 and sum(2) == 0)
      assert(select("#", same()) == 0 and select("#", same(nil, nil)) == 2)
      local a, b, c = same(1, {}, "z")
      assert(a == 1 and type(b) == "table" and c == "z")
      local t = {}
      assert(select(2, same(1, t)) == t)
      assert(apply(math.max, 3, 9, 4) == 9)
      local x, y, z, rest = three()
      assert(x == "a" and y == 1 and z == 2.5 and rest == nil)
      assert(#{ same(table.unpack({}, 1, 200)) } == 0 and select("#", same(table.unpack({}, 1, 200))) == 200)
      """)
    #expect(lines == ["", "1 nil x true 2.5 T"])
    #expect(error("sum(2, 1, 'x')") == "s:1: argument 3: expected number, got string")
    #expect(error("sum()") == "s:1: sum: argument 1: expected number, got no value")
    #expect(error("log(setmetatable({}, { __tostring = function() error 'no' end }))")?.hasSuffix("no") == true)
    #expect(error("apply(function(...) error((...)) end, 'inner')")?.contains("inner") == true)
  }

  @Test func namedOptions() throws {
    session.function("train", options: ["rate", "steps", "names"]) { (x: Double, options: LuaOptions) throws in
      let names: [String]? = try options["names"]
      return (try options["rate", default: 0.1] * x, try options["steps", default: 10], names?.count, options.names.count)
    }
    try session.run(
      """
      local rate, steps, names, given = train(2)
      assert(rate == 0.2 and steps == 10 and names == nil and given == 0)
      rate, steps, names, given = train(2, { rate = 1, names = { "a", "b" } })
      assert(rate == 2 and steps == 10 and names == 2 and given == 2)
      assert(train(1, nil) == 0.1 and train(1, {}) == 0.1)
      """)
    #expect(
      error("train(1, { rat = 1 })") == "s:1: train: unknown option 'rat'; did you mean 'rate'? (known: rate, steps, names)")
    #expect(error("train(1, { 0.1 })") == "s:1: train: unknown option '1' (known: rate, steps, names)")
    #expect(error("train(1, 0.1)") == "s:1: train: argument 2: expected table of options, got 0.1")
    #expect(error("train(1, { rate = 'x' })") == "s:1: train: option 'rate': expected number or nil, got string")
    #expect(error("train(1, { names = { 1 } })")?.contains("train: option 'names'[1]: expected string, got 1") == true)
    // A metatable answers for nothing.
    #expect(try session.evaluate("train(1, setmetatable({}, { __index = function() error 'asked' end }))", as: Double.self) == 0.1)
    final class Net: HostObject {}
    try session.register(Net.self) {
      $0.initializer(options: ["width"]) { (options: LuaOptions) throws in
        #expect(try options["width", default: 1] == 4)
        return Net()
      }
      $0.method("fit", options: ["rate"]) { (_: Net, options: LuaOptions) throws -> Double in try options["rate", default: 0.5] }
    }
    try session.run("assert(Net { width = 4 }:fit { rate = 2 } == 2 and Net.new({ width = 4 }):fit() == 0.5)")
    #expect(error("Net { widht = 4 }") == "s:1: Net: unknown option 'widht'; did you mean 'width'? (known: width)")
    #expect(error("Net { width = 4 }:fit { r = 4 }") == "s:1: Net:fit: unknown option 'r' (known: rate)")
  }

  @Test func functionsThatReturnFunctions() throws {
    session.function("adder") { (n: Int) in HostFunction("add \(n)") { (x: Int) in x + n } }
    session.function("counter") { () -> HostFunction in
      nonisolated(unsafe) var count = 0
      return HostFunction { () -> Int in
        count += 1
        return count
      }
    }
    session.function("both") { (f: LuaFunction, g: LuaFunction) in
      HostFunction("both") { (x: LuaValues) throws -> LuaValues in try g.call(try f.call(x)) }
    }
    session["table"] = ["twice": HostFunction("twice") { (x: Double) in 2 * x }]
    try session.run(
      """
      assert(adder(2)(3) == 5)
      local a, b = counter(), counter()
      assert(a() == 1 and a() == 2 and b() == 1)
      assert(both(adder(1), adder(2))(10) == 13 and table.twice(4) == 8)
      """)
    #expect(error("adder(2)('x')") == "s:1: add 2: argument 1: expected integer, got string")
    let add: LuaFunction = try session.evaluate("adder(5)")
    #expect(try add(1) == 6)
  }

  /// What a script does to a function that calls it back.
  @Test func callbacks() throws {
    session.function("each") { (list: [Int], f: LuaFunction) throws -> [LuaValue] in try list.map { try f($0) } }
    nonisolated(unsafe) var kept: LuaFunction?
    session.function("keep") { (f: LuaFunction) in kept = f }
    try session.run(
      """
      local r = each({ 1, 2, 3 }, function(x) return x * x end)
      assert(#r == 3 and r[3] == 9)
      -- Within each other, and with errors in between.
      local ok, problem = pcall(each, { 1, 2 }, function(x)
        return each({ x }, function(y) if y == 2 then error({ code = 7 }) end return y end)[1]
      end)
      assert(not ok and problem.code == 7)
      -- Nothing can yield across Swift.
      local co = coroutine.wrap(function() each({ 1 }, coroutine.yield) end)
      local done, message = pcall(co)
      assert(not done and message:find "attempt to yield across a C%-call boundary", message)
      -- As deep as Lua allows, and no deeper.
      local depth = 0
      local function down() depth = depth + 1 each({ 1 }, down) end
      done, message = pcall(down)
      assert(not done and message:find "stack overflow" and depth > 50, message)
      keep(function(x) return x + 1 end)
      collectgarbage()
      """)
    #expect(try kept!(1) == 2)
    let stopped = try #require(throws: LuaError.self) {
      try session.run("each({ 1 }, function() while true do end end)", limits: .init(time: .milliseconds(30)))
    }
    #expect(stopped.kind == .timeLimit)
    let closed: LuaFunction = try {
      let other = try Session()
      return try other.evaluate("print")
    }()
    #expect(message { try closed() } == "the session of this function is closed")
  }
}

@Suite struct OutputTests {
  @Test func whatScriptsPrint() throws {
    let session = try Session()
    nonisolated(unsafe) var pieces: [String] = []
    session.output = { pieces.append($0) }
    try session.run(
      """
      print("a", 1, nil, 2.5, true)
      print()
      print(setmetatable({}, { __tostring = function() print "inner" return "T" end }))
      assert(io.write("x", 1, 1.5, 2^53) == io.stdout)
      assert(io.stdout:write("y", 2) == io.stdout)
      print(("long "):rep(10000))
      print "\\xff"
      require("moongrad").help("sum")
      """)
    #expect(pieces.prefix(9) == ["a\t1\tnil\t2.5\ttrue\n", "\n", "inner\n", "T\n", "x", "1", "1.5", "9.007199254741e+15", "y"])
    #expect(pieces[10].count == 50001 && pieces[11] == "\u{FFFD}\n" && pieces[12].contains("sum"))
    // Other files are files.
    try session.run(
      """
      local name = os.tmpname()
      io.output(name) io.write("in the file") io.output():write("!") io.close()
      assert(not pcall(io.write, "closed"))
      io.output(io.stdout)
      local f = io.open(name) assert(f:read "a" == "in the file!") f:close() os.remove(name)
      io.write "end"
      """)
    #expect(pieces.last == "end")
    func error(_ source: String) -> String? { message { try session.run(source, name: "s") } }
    #expect(error("io.write({})")?.hasSuffix("bad argument #1 to 'write' (string expected, got table)") == true)
    #expect(error("io.stdout:write('a', {})")?.hasSuffix("bad argument #2 to 'write' (string expected, got table)") == true)
    #expect(error("io.stdout.write({})")?.contains("FILE* expected, got table") == true)
    #expect(
      error("print(setmetatable({}, { __tostring = function() return {} end }))")?.contains("'__tostring' must return a string") == true)
    session.output = nil
    #expect(error("io.write({})")?.hasSuffix("bad argument #1 to 'write' (string expected, got table)") == true)
    #expect(error("io.stdout:write({})")?.hasSuffix("bad argument #1 to 'write' (string expected, got table)") == true)
  }

  @Test func printingWithinPrinting() throws {
    let session = try Session()
    nonisolated(unsafe) var text = ""
    session.output = { [unowned session] piece in
      text += piece
      if piece == "run\n" { try? session.run("print 'from within' x = 1") }
      if piece == "off\n" { session.output = nil }
    }
    try session.run("print 'run' assert(x == 1) io.write 'done'")
    #expect(text == "run\nfrom within\ndone")
    // Without an end: Lua's limit of calls within calls holds, and all go on.
    nonisolated(unsafe) var count = 0
    session.output = { [unowned session] _ in
      count += 1
      try? session.run("print 'again'")
    }
    try session.run("print 'again'")
    #expect(count > 10)
    session.output = { [unowned session] _ in session.output = nil }
    try session.run("print 'switches off'")
    #expect(session.output == nil)
  }

  @Test func sandboxesPrintThereToo() throws {
    let session = try Session(.sandboxed(memory: .megabytes(32), time: .seconds(5)))
    nonisolated(unsafe) var text = ""
    session.output = { text += $0 }
    try session.run("print(1) print = nil")
    try session.run("print(2) coroutine.wrap(print)(3)")
    #expect(text == "1\n2\n3\n")
    let failure = try #require(throws: LuaError.self) {
      try session.run("local s = ('x'):rep(1 << 20) while true do print(s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s) end")
    }
    #expect(failure.kind == .timeLimit || failure.kind == .memory)
    // A script that prints for ever is stopped, whatever the host does with it.
    session.output = { _ in }
    let stopped = try #require(throws: LuaError.self) {
      try session.run("while true do pcall(print, 1) end", limits: .init(time: .milliseconds(50)))
    }
    #expect(stopped.kind == .timeLimit)
    #expect(try session.evaluate("1") == 1)
  }
}

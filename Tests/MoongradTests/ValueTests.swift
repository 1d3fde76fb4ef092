// Values cross between Swift and scripts, and come back as they went.

import Moongrad
import Testing

@Suite struct ValueTests {
  let session: Session
  init() throws { session = try Session() }

  /// Sets a global, lets the script copy it, and reads the copy.
  private func roundTrip<T: LuaConvertible>(_ value: T) throws -> T {
    session["given"] = value
    try session.run("taken = given")
    return try session.value("taken")
  }

  @Test func plainValuesComeBack() throws {
    #expect(try roundTrip(42) == 42)
    #expect(try roundTrip(Int.min) == .min)
    #expect(try roundTrip(UInt8(200)) == 200)
    #expect(try roundTrip(2.5) == 2.5)
    #expect(try roundTrip(Float(0.1)) == 0.1)
    #expect(try roundTrip(true))
    #expect(try roundTrip("täxt\0end") == "täxt\0end")
    #expect(try roundTrip([UInt8](0...255)) == [UInt8](0...255))
    #expect(try roundTrip([1, 2, 3]) == [1, 2, 3])
    #expect(try roundTrip([[1.5], [], [2.5, 3]]) == [[1.5], [], [2.5, 3]])
    #expect(try roundTrip(["a": 1, "b c": 2]) == ["a": 1, "b c": 2])
    #expect(try roundTrip([10: ["x"], 20: []]) == [10: ["x"], 20: []])
    #expect(try roundTrip(Optional(7)) == 7)
    #expect(try roundTrip(Int?.none) == nil)
  }

  @Test func bytesAreStringsOfLua() throws {
    session["bytes"] = [UInt8]([0xff, 0x00])
    #expect(try session.evaluate("type(bytes), #bytes") == ("string", 2))
    #expect(try session.evaluate("{1, 2}") == [UInt8]([1, 2]))
  }

  /// A script decides where the length of a table with holes lies.
  @Test func hugeLengthsAreRefused() throws {
    session.function("numbers") { (list: [Double]) in _ = list }
    session.function("optionals") { (list: [Double?]) -> Int in list.count }
    try session.run(
      """
      huge = {} for k = 0, 62 do huge[1 << k] = 1 end
      huge[5] = 1 huge[9] = 1 huge[math.maxinteger] = 1 assert(#huge > 1 << 60)
      """)
    #expect(message { try session.run("numbers(huge)") }?.contains("[3]: expected number, got nil") == true)
    #expect(message { try session.run("optionals(huge)") }?.contains("a table full of holes") == true)
    #expect(try session.evaluate("optionals { 1, nil, 3 }") == 3)
  }

  /// A host's own conversion may run the script, which may assign to the table being read.
  @Test func tablesMayChangeWhileTheyAreRead() throws {
    struct Prying: LuaConvertible {
      nonisolated(unsafe) static var change: (() throws -> Void)?
      static var luaName: String { "Prying" }
      static func decode(_ source: LuaSource) throws -> Prying {
        try change?()
        return Prying()
      }
      var luaValue: LuaValue { .nil }
    }
    Prying.change = { [session] in try session.run("change()") }
    defer { Prying.change = nil }
    session.function("pry") { (values: [String: Prying]) in _ = values }
    try session.run(
      """
      local given = {}
      function change()
        for key in pairs(given) do given[key] = nil end
        for i = 1, 5000 do given["b" .. i] = true end
        for i = 1, 5000 do given["b" .. i] = nil end
        collectgarbage()
        for i = 1, 100 do given[i] = i end
      end
      for i = 1, 8 do given["a" .. i] = true end
      local _, message = pcall(pry, given)
      assert(message:find "the table changed while it was read", message)
      """)
  }

  /// What only looks like a module is none, and no function of its metatable runs to find out.
  @Test func modulesAreNoOthersTables() throws {
    session.function("modules") { (modules: [String: Module]) in _ = modules }
    try session.run(
      """
      local pretender = setmetatable({}, { __index = function() error "was asked" end })
      local _, message = pcall(modules, { a = pretender })
      assert(message:find "at %.a: expected Module, got table", message)
      """)
  }

  @Test func tensorsCrossAsThemselves() throws {
    let tensor = try Tensor([[1, 2], [3, 4]])
    session["x"] = tensor
    #expect(try session.value("x") as Tensor === tensor)
    try session.run("x:mul_(2)")
    #expect(try tensor.sum().item() == .real(20))
    #expect(try session.evaluate("x:sum():item()") == 20.0)
  }

  @Test func modulesOfSwiftCrossAsThemselves() throws {
    let linear = try Linear(3, 2)
    session["layer"] = linear
    #expect(try session.value("layer") as Linear === linear)
    #expect(try session.value("layer") as Module === linear)
    #expect(try session.evaluate("layer.weight") as Tensor === linear.weight)
    #expect(message { try session.value("layer", as: Flatten.self) } == "layer: expected Flatten, got Module")
  }

  @Test func functionsOfScriptsAreCallable() throws {
    try session.run("function add(a, b) return a + b, a - b end  function hello(name) greeting = 'hello ' .. name end")
    let add: LuaFunction = try session.value("add")
    #expect(try add(1, 2) == 3)
    let (sum, difference): (Int, Double) = try add(5, 3)
    #expect((sum, difference) == (8, 2))
    let hello: LuaFunction = try session.value("hello")
    try hello("world")
    #expect(session["greeting"] == "hello world")
    #expect(try add.call([1, 2.5]).count == 2)
    session["again"] = add
    #expect(try session.evaluate("again == add"))
  }

  @Test func functionsAsArgumentsAreCallable() throws {
    session.function("twice") { (f: LuaFunction, x: Double) throws -> Double in try f(try f(x) as Double) }
    #expect(try session.evaluate("twice(function(x) return x * 3 end, 2)") == 18.0)
  }

  @Test func tablesAreSharedNotCopied() throws {
    try session.run("config = {rate = 0.1, layers = {3, 5}}")
    let config: LuaTable = try session.value("config")
    #expect(try config.value("rate") == 0.1)
    try config.set("rate", 0.2)
    #expect(try session.evaluate("config.rate") == 0.2)
    #expect(try session.value("config.rate") == 0.2)
    #expect(try session.value("config.layers") == [3, 5])
    #expect(try config.keys(as: String.self).sorted() == ["layers", "rate"])
    let layers: LuaTable = try config.value("layers")
    #expect(layers.count == 2)
    #expect(try layers.value(2) == 5)
    #expect(try layers.convert() == [3, 5])
  }

  struct Configuration: LuaConvertible, Equatable {
    var rate: Double
    var layers: [Int]
    var name: String?

    static func decode(_ source: LuaSource) throws -> Self {
      Self(rate: try source.field("rate"), layers: try source.field("layers"), name: try source.field("name"))
    }
    var luaValue: LuaValue {
      get throws { .record(["rate": try rate.luaValue, "layers": try layers.luaValue, "name": try name.luaValue]) }
    }
  }

  @Test func typesOfOnesOwn() throws {
    #expect(try roundTrip(Configuration(rate: 0.5, layers: [1, 2], name: "x")).layers == [1, 2])
    #expect(try roundTrip(Configuration(rate: 0.5, layers: [], name: nil)).name == nil)
    try session.run("config = {rate = 1, layers = {1, 2, 'three'}}")
    #expect(message { try session.value("config", as: Configuration.self) } == "config.layers[3]: expected integer, got string")
    try session.run("config = {layers = {}}")
    #expect(message { try session.value("config", as: Configuration.self) } == "config.rate: expected number, got nil")
  }

  @Test func failuresNameTheirPlace() throws {
    try session.run("a, b, s = 1.5, {x = {1, 2.5}, ['y z'] = 3}, 'text'")
    #expect(message { try session.value("a", as: Int.self) } == "a: expected integer, got 1.5")
    #expect(message { try session.value("s", as: Int.self) } == "s: expected integer, got string")
    #expect(message { try session.value("s", as: Double?.self) } == "s: expected number or nil, got string")
    #expect(message { try session.value("missing", as: Tensor.self) } == "missing: expected Tensor, got nil")
    #expect(message { try session.value("a", as: [Int].self) } == "a: expected list of integer, got 1.5")
    #expect(message { try session.value("b", as: [String: [Int]].self) }?.hasPrefix("b") == true)
    #expect(message { try session.value("b.x", as: [Int].self) } == "b.x[2]: expected integer, got 2.5")
    #expect(message { try session.value("a.x", as: Int.self) } == "a: expected table, got 1.5")
    #expect(message { try session.evaluate("300", as: UInt8.self) } == "result: expected integer from 0 to 255, got 300")
    #expect(message { try session.evaluate("nothing", as: Bool.self) } == "result: expected boolean, got nil")
    #expect(message { try session.evaluate("1, 'x'", as: (Int, Int).self) } == "result 2: expected integer, got string")
    #expect(session["s"] == Int?.none)
    #expect(session["s"] == "text")
  }
}

/// The message of the error that `body` throws; nil when it throws none.
func message<Result>(_ body: () throws -> Result) -> String? {
  do {
    _ = try body()
    return nil
  } catch let error as LuaError {
    return error.message
  } catch {
    return "\(error)"
  }
}

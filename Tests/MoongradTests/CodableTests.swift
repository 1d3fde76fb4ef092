// Codable types cross as tables, and say where they do not.

import Moongrad
import Testing

private struct Layer: LuaCodable, Equatable {
  var size: Int
  var activation: Activation = .relu
  enum Activation: String, Codable { case relu, tanh }
}

private struct Config: LuaCodable, Equatable {
  var name: String?
  var rate = 0.1
  var layers: [Layer] = []
  var seeds: [Int] = []
  var shape = Shape.point
  var notes: [String: Note] = [:]
  var byNumber: [Int: Note] = [:]
  var tag: [UInt8] = []
  var window: ClosedRange<Double>?

  enum Shape: Codable, Equatable {
    case point
    case circle(radius: Double)
    case move(Int, Int)
    case label(String, size: Int)
  }
  /// Codable alone.
  struct Note: Codable, Equatable { var text: String, weight: Float? = nil }
}

/// Codable alone, with containers of its own.
private class Base: Codable {
  var id = 0
}
private final class Derived: Base {
  var points: [(Double, Double)] = []
  private enum Keys: String, CodingKey { case points, extent, more }

  override init() { super.init() }
  required init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Keys.self)
    var list = try fields.nestedUnkeyedContainer(forKey: .points)
    while !list.isAtEnd {
      var pair = try list.nestedUnkeyedContainer()
      points.append((try pair.decode(Double.self), try pair.decode(Double.self)))
    }
    let more = try fields.nestedContainer(keyedBy: Keys.self, forKey: .more)
    _ = try more.decode(Bool.self, forKey: .extent)
    try super.init(from: try fields.superDecoder())
  }
  override func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: Keys.self)
    var list = fields.nestedUnkeyedContainer(forKey: .points)
    for (x, y) in points {
      var pair = list.nestedUnkeyedContainer()
      try pair.encode(x)
      try pair.encode(y)
    }
    var more = fields.nestedContainer(keyedBy: Keys.self, forKey: .more)
    try more.encode(true, forKey: .extent)
    try super.encode(to: fields.superEncoder())
  }
}

@Suite struct CodableTests {
  let session: Session
  init() throws { session = try Session() }

  private func roundTrip<T: LuaConvertible>(_ value: T) throws -> T {
    session["given"] = value
    return try session.evaluate("given")
  }

  @Test func structsCrossAsTables() throws {
    var config = Config(name: "a", rate: 0.5, layers: [Layer(size: 3), Layer(size: 5, activation: .tanh)], seeds: [1, 2])
    config.notes = ["first one": .init(text: "x", weight: 0.5), "2": .init(text: "y")]
    config.byNumber = [7: .init(text: "seven")]
    config.tag = [0xff, 0]
    config.window = 0.5...2
    for shape in [Config.Shape.point, .circle(radius: 2), .move(3, 4), .label("here", size: 9)] {
      config.shape = shape
      #expect(try roundTrip(config) == config)
    }
    #expect(try roundTrip(Config()) == Config())
    #expect(try roundTrip([Config?.some(config), nil, config]) == [config, nil, config])
    #expect(try roundTrip(["a": [config]]) == ["a": [config]])
    session["config"] = config
    try session.run(
      """
      assert(config.name == "a" and config.layers[2].activation == "tanh" and #config.seeds == 2)
      assert(config.notes["2"].text == "y" and config.notes["2"].weight == nil and config.byNumber[7].text == "seven")
      assert(config.tag == "\\xff\\0" and config.shape.label[1] == "here" and config.shape.label.size == 9)
      assert(config.window[1] == 0.5 and config.window[2] == 2)
      """)
  }

  @Test func scriptsWriteThem() throws {
    try session.run(
      """
      config = {
        rate = 1, layers = { { size = 3.0, activation = "tanh", unknown = print } }, seeds = {}, shape = "point", notes = {},
        byNumber = {}, tag = "", ignored = { 1 },
      }
      config.itself = config
      """)
    var config: Config = try session.value("config")
    #expect(config == Config(rate: 1, layers: [Layer(size: 3, activation: .tanh)]))
    for (text, shape) in [
      ("{ circle = { radius = 2 } }", Config.Shape.circle(radius: 2)), ("{ move = { 3, 4 } }", .move(3, 4)),
      ("{ move = { _0 = 3, _1 = 4 } }", .move(3, 4)), ("{ point = {} }", .point), ("'point'", .point),
      ("{ label = { 'x', size = 1 } }", .label("x", size: 1)),
    ] {
      try session.run("config.shape = \(text)")
      config = try session.value("config")
      #expect(config.shape == shape, "\(text)")
    }
    session.function("total") { (layers: [Layer], config: Config?) -> Layer in
      Layer(size: layers.reduce(config == nil ? 0 : 100) { $0 + $1.size }, activation: .tanh)
    }
    #expect(try session.evaluate("total({{size = 1, activation = 'relu'}, {size = 2, activation = 'relu'}}).size") == 3)
    #expect(try session.evaluate("total({}, config).activation") == "tanh")
  }

  @Test func failuresNameTheirPlace() throws {
    func failure(_ change: String) throws -> String? {
      try session.run(
        """
        config = {
          rate = 1, layers = {}, seeds = {}, shape = "point", notes = {}, byNumber = {}, tag = "",
        }
        for i = 1, 3 do config.layers[i] = { size = i, activation = "relu" } end
        \(change)
        """)
      return message { try session.value("config", as: Config.self) }
    }
    #expect(try failure("") == nil)
    #expect(try failure("config.layers[3].size = 'x'") == "config.layers[3].size: expected integer, got string")
    #expect(try failure("config.layers[3].size = nil") == "config.layers[3].size: expected integer, got nil")
    #expect(try failure("config.layers[2] = 5") == "config.layers[2]: expected table, got 5")
    #expect(try failure("config.layers = nil") == "config.layers: expected list of table, got nil")
    #expect(
      try failure("config.layers[1].activation = 'fast'")
        == "config.layers[1].activation: Cannot initialize Activation from invalid String value fast")
    #expect(try failure("config.seeds[2] = 1.5; config.seeds[1] = 1") == "config.seeds[2]: expected integer, got 1.5")
    #expect(try failure("config.notes['a b'] = { text = {} }") == "config.notes[\"a b\"].text: expected string, got table")
    #expect(try failure("config.notes[3] = { text = 'x' }") == "config.notes[3]: expected string as key, got 3")
    #expect(try failure("config.byNumber[3] = {}") == "config.byNumber[3].text: expected string, got nil")
    #expect(try failure("config.shape = { move = { 3 } }") == "config.shape.move[2]: expected integer, got nil")
    #expect(try failure("config.shape = 'square'") == "config.shape: expected table, got string")
    #expect(try failure("config.shape = { square = {} }")?.hasPrefix("config.shape: Invalid number of keys found") == true)
    #expect(try failure("config.window = { 2, 1 }")?.hasPrefix("config.window: Cannot initialize ClosedRange") == true)
    #expect(try failure("config = 5") == "config: expected table, got 5")
    session.function("take") { (config: Config) in _ = config }
    #expect(
      message { try session.run("take { rate = 'fast' }") }?.contains("take: argument 1, at .rate: expected number, got string") == true)
  }

  @Test func typesThatAreCodableAlone() throws {
    try session.set("note", encoding: Config.Note(text: "x", weight: 1))
    #expect(try session.evaluate("note.text") == "x")
    #expect(try session.value("note", decoding: Config.Note.self) == Config.Note(text: "x", weight: 1))
    try session.set("notes", encoding: [Config.Note(text: "x"), Config.Note(text: "y")])
    #expect(try session.value("notes", decoding: [Config.Note].self).map(\.text) == ["x", "y"])
    #expect(
      message { try session.value("note", decoding: [Int: Layer].self) } == "note.text: expected integer as key, got string"
        || message { try session.value("note", decoding: [Int: Layer].self) } == "note.weight: expected integer as key, got string")
    let table: LuaTable = try session.value("note")
    #expect(try table.convert(decoding: Config.Note.self).text == "x")
    #expect(try LuaDecoder().decode(Config.Note.self, from: table).weight == 1)
    #expect(try LuaDecoder().decode(Int.self, from: LuaEncoder().encode(7), in: session) == 7)
    #expect(try LuaDecoder().decode(Config.Note.self, from: LuaEncoder().encode(Config.Note(text: "z")), in: session).text == "z")
  }

  @Test func containersWithinContainers() throws {
    let derived = Derived()
    derived.id = 9
    derived.points = [(1, 2), (3, 4)]
    try session.set("d", encoding: derived)
    #expect(try session.evaluate("d.super.id, d.points[2][1], d.more.extent") == (9, 3.0, true))
    let back = try session.value("d", decoding: Derived.self)
    #expect(back.id == 9 && back.points.map(\.1) == [2, 4])
    #expect(
      message {
        try session.run("d.points[2][2] = nil"); _ = try session.value("d", decoding: Derived.self)
      }
        == "d.points[2]: the list has 1 elements, and one more was expected")
    #expect(
      message {
        try session.run("d.points[2][2] = 1; d.super = {}"); _ = try session.value("d", decoding: Derived.self)
      }
        == "d.super.id: expected integer, got nil")
  }

  private final class Link: LuaCodable {
    var next: Link?
    var others: [Link]?
  }
  private indirect enum Chain: Codable {
    case end
    case link(Chain)
  }

  @Test func whatContainsItselfIsAnError() throws {
    try session.run(
      """
      a = {} a.next = a
      b = {} b.others = { b }
      c = {} c.link = { c }
      long = {} for _ = 1, 1000000 do long = { next = long } end
      short = {} for _ = 1, 60 do short = { next = short } end
      """)
    for name in ["a", "b", "long"] {
      #expect(message { try session.value(name, as: Link.self) }?.contains("nested more than 150 deep, or contain themselves") == true)
      #expect(message { try session.value(name, decoding: Link.self) }?.contains("nested more than 150 deep") == true)
    }
    #expect(message { try session.value("c", decoding: Chain.self) }?.contains("nested more than 150 deep") == true)
    #expect(try session.value("short", as: Link.self).next?.next != nil)
    let link = Link()
    link.next = link
    #expect(message { try session.set("l", link) }?.contains("values are nested more than 150 deep, or contain themselves") == true)
    link.next = nil
    link.others = [link]
    #expect(message { try LuaEncoder().encode(link) }?.contains("nested more than 150 deep") == true)
    link.others = nil
    // And the session goes on.
    #expect(try roundTrip(Config()) == Config())
  }

  private struct Large: LuaCodable {
    var inner: [Inner]
    struct Inner: Codable { var number: UInt64 }
  }

  @Test func whatLuaCannotHold() throws {
    #expect(
      message { try session.set("big", Large(inner: [.init(number: 1), .init(number: .max)])) }
        == "big.inner[2].number: 18446744073709551615 is too large for an integer of Lua")
    session["big"] = Large(inner: [.init(number: .max)])
    #expect(message { try session.run("return 1") } == "big.inner[1].number: 18446744073709551615 is too large for an integer of Lua")
    #expect(try session.evaluate("big == nil"))
  }

  /// A script says any length for a table with holes.
  @Test func lengthsThatScriptsMakeUp() throws {
    try session.run(
      """
      huge = {} local note = { text = 'x' } for k = 0, 62 do huge[1 << k] = note end
      huge[5] = note huge[9] = note huge[math.maxinteger] = note assert(#huge > 1 << 60)
      """)
    #expect(message { try session.value("huge", decoding: [Config.Note].self) } == "huge[3]: expected table, got nil")
    #expect(message { try session.value("huge", decoding: [Config.Note?].self) }?.contains("without so many holes") == true)
  }

  /// Some types reserve memory for as many elements as they are told that there are.
  private struct Told: Decodable {
    let count: Int?
    init(from decoder: any Decoder) throws { count = try decoder.unkeyedContainer().count }
  }

  @Test func lengthsAreToldWhereTheyCanBe() throws {
    try session.run(
      "list = { 1, 2, 3 } huge = {} for k = 0, 62 do huge[1 << k] = k end huge[5] = 1 huge[9] = 1 huge[math.maxinteger] = 1 assert(#huge > 1 << 60)"
    )
    #expect(try session.value("list", decoding: Told.self).count == 3)
    #expect(try session.value("huge", decoding: Told.self).count == nil)
  }

  /// Reading runs no script, and what is read is kept as long as the decoder needs it.
  @Test func metamethodsAreNotAsked() throws {
    try session.run("note = setmetatable({ text = 'x' }, { __index = function() error 'was asked' end })")
    #expect(try session.value("note", decoding: Config.Note.self).weight == nil)
  }

  private final class Keeping: Decodable {
    nonisolated(unsafe) static var kept: (any Decoder)?
    init(from decoder: any Decoder) throws { Keeping.kept = decoder }
  }

  @Test func decodersOutliveTheirSessions() throws {
    defer { Keeping.kept = nil }
    do {
      let session = try Session()
      try session.run("t = { { text = 'x' } }")
      _ = try session.value("t", decoding: Keeping.self)
      try session.run("t = nil; collectgarbage()")
      var list = try #require(try Keeping.kept?.unkeyedContainer())
      #expect(try list.decode(Config.Note.self).text == "x")
    }
  }
}

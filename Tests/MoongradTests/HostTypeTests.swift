// Swift types in scripts: members, identity, boxes, errors, lifetimes.

import Moongrad
import Testing

final class Counter: HostObject {
  nonisolated(unsafe) static var live = 0
  var count: Int
  let name: String
  var callback: LuaFunction?

  init(_ count: Int = 0, name: String = "c") {
    (self.count, self.name) = (count, name)
    Counter.live += 1
  }
  deinit { Counter.live -= 1 }

  func add(_ n: Int) { count += n }
  func sum(_ a: Int, _ b: Int) throws -> (Int, String) {
    guard a >= 0 else { throw Refusal(reason: "negative") }
    return (count + a + b, name)
  }

  static func register(in session: Session) throws {
    try session.register(Counter.self) {
      $0.initializer { (count: Int?) in Counter(count ?? 0) }
      $0.method("add", Counter.add)
      $0.method("sum", Counter.sum)
      $0.method("chain") { (counter: Counter, n: Int) -> Counter in
        counter.count += n
        return counter
      }
      $0.method("with") { (counter: Counter, f: LuaFunction) throws -> Int in try f(counter) }
      $0.method("on") { (counter: Counter, f: LuaFunction?) in counter.callback = f }
      $0.writableProperty("count", \.count)
      $0.property("name", \.name)
      $0.property("double", get: { $0.count * 2 }, set: { $0.count = $1 / 2 })
      $0.metamethod(.call) { (counter: Counter, n: Int) -> Int in counter.count * n }
      $0.metamethod(.len) { (counter: Counter) in counter.count }
      $0.metamethod(.lt) { (a: Counter, b: Counter) in a.count < b.count }
      $0.metamethod(.le) { (a: Counter, b: Counter) in a.count <= b.count }
      $0.metamethod(.tostring) { (counter: Counter) in "counter at \(counter.count)" }
      $0.metamethod(.concat) { (a: String, b: Counter) in a + b.name }
      $0.metamethod(.concat) { (a: Counter, b: String) in a.name + b }
      $0.function("most") { (list: [Counter]) in list.max { $0.count < $1.count } }
      $0.constant("limit", 100)
    }
  }
}

struct Point: HostObject, Equatable, CustomStringConvertible {
  var x, y: Double
  var trail: [Double] = []
  var description: String { "(\(x), \(y))" }

  static func register(in session: Session) throws {
    try session.register(Point.self) {
      $0.initializer { (x: Double, y: Double) in Point(x: x, y: y) }
      $0.writableProperty("x", \.x)
      // Swift could set it, scripts cannot.
      $0.property("y", \.y)
      $0.mutatingMethod("move") { (point: inout Point, dx: Double) in point.x += dx }
      $0.mutatingMethod("moveWith") { (point: inout Point, f: LuaFunction) throws in
        point.x += 1
        point.x = try f(point.x)
      }
      $0.method("length") { (point: Point) in (point.x * point.x + point.y * point.y).squareRoot() }
      $0.metamethod(.add) { (a: Point, b: Point) in Point(x: a.x + b.x, y: a.y + b.y) }
      $0.metamethod(.mul) { (a: Point, k: Double) in Point(x: a.x * k, y: a.y * k) }
      $0.metamethod(.mul) { (k: Double, a: Point) in Point(x: a.x * k, y: a.y * k) }
      $0.metamethod(.unm) { (a: Point) in Point(x: -a.x, y: -a.y) }
      $0.metamethod(.index) { (a: Point, i: Int) -> Double? in i == 1 ? a.x : i == 2 ? a.y : nil }
      $0.mutatingMetamethod(.newindex) { (a: inout Point, i: Int, value: Double) in if i == 1 { a.x = value } else { a.y = value } }
    }
  }
}

enum Color: String, HostObject, Equatable {
  case red, green
}

class Animal: HostObject {
  var age = 1
  func noise() -> String { "…" }
}
class Dog: Animal {
  override func noise() -> String { "wuff" }
  func fetch() -> String { "stick" }
}
final class Puppy: Dog {}

@Suite(.serialized) struct HostTypeTests {
  let session: Session
  init() throws {
    session = try Session()
    try Counter.register(in: session)
    try Point.register(in: session)
  }

  private func error(_ source: String) -> String? { message { try session.run(source, name: "s") } }

  @Test func objectsAreThemselves() throws {
    let counter = Counter(3)
    session["c"] = counter
    try session.run("c:add(4) c.count = c.count + 1 c.double = c.double + 2")
    #expect(counter.count == 9)
    #expect(try session.value("c") as Counter === counter)
    #expect(try session.evaluate("c", as: Counter.self) === counter)
    session["again"] = counter
    session.function("same") { (c: Counter) in c }
    session.function("all") { (c: [Counter], named: [String: Counter], none: Counter?) -> Bool in
      c.allSatisfy { $0 === counter } && named["a"] === counter && none == nil
    }
    try session.run(
      """
      assert(rawequal(c, again) and c == again and rawequal(same(c), c) and rawequal(c:chain(0), c))
      local t = { [c] = 1 }
      assert(t[again] == 1 and c ~= Counter(9) and c ~= 1 and type(c) == "userdata")
      assert(all({ c, again }, { a = c }))
      assert(select("#", c:add(0)) == 0)
      local total, name = c:sum(1, 2)
      assert(total == 12 and name == "c")
      assert(c(2) == 18 and #c == 9 and tostring(c) == "counter at 9")
      assert("x" .. c == "xc" and c .. "y" == "cy")
      assert(c < Counter(10) and c <= again and not (c < again) and c >= c)
      assert(c:with(function(x) return x.count end) == 9)
      """)
    #expect(try (session.value("again") as Counter) === counter)
  }

  @Test func theTypeItself() throws {
    try session.run(
      """
      assert(Counter.new(3).count == 3 and Counter(4).count == 4 and Counter:new(5).count == 5 and Counter().count == 0)
      assert(Counter.limit == 100 and tostring(Counter) == "type Counter")
      assert(Counter.most { Counter(1), Counter(7), Counter(2) }.count == 7 and Counter.most {} == nil)
      assert(getmetatable(Counter) == false and getmetatable(Counter()) == false)
      """)
    #expect(error("Counter.nwe()") == "s:1: the type Counter has no field 'nwe'; did you mean 'new'?")
    #expect(error("Counter.new = 1") == "s:1: the type Counter cannot be assigned to")
    #expect(error("Counter.limit = 1") == "s:1: the type Counter cannot be assigned to")
    #expect(error("Counter('x')") == "s:1: Counter: argument 1: expected integer or nil, got string")
    #expect(error("Counter.new({})") == "s:1: Counter.new: argument 1: expected integer or nil, got table")
    #expect(error("Counter.most({1})") == "s:1: Counter.most: argument 1, at [1]: expected Counter, got 1")
  }

  @Test func structsAreBoxes() throws {
    var point = Point(x: 1, y: 2)
    session["p"] = point
    point.x = 50
    try session.run(
      """
      q = p
      p:move(2)
      assert(q.x == 3 and rawequal(p, q) and p.y == 2)
      p.x = 6 p[2] = 8
      assert(p[1] == 6 and p[2] == 8 and p[3] == nil and p:length() == 10)
      assert(p == Point(6, 8) and p ~= Point(6, 9) and p ~= Counter() and not rawequal(p, Point(6, 8)))
      assert(p + p == Point(12, 16) and p * 2 == 2 * p and -p == Point(-6, -8) and tostring(p) == "(6.0, 8.0)")
      p:moveWith(function(x) return x * 10 end)
      assert(p.x == 70)
      """)
    #expect(try session.value("p") as Point == Point(x: 70, y: 8))
    #expect(try session.evaluate("{p, Point(1, 1)}", as: [Point].self).count == 2)
  }

  /// What a method changes cannot be had meanwhile, and is there again after it failed.
  @Test func boxesInUse() throws {
    let busy = "this Point is being changed by a method that has not returned yet"
    #expect(error("local p = Point(1, 1) p:moveWith(function() return p.x end)")?.contains(busy) == true)
    #expect(error("local p = Point(1, 1) p:moveWith(function() p:move(1) return 1 end)")?.contains(busy) == true)
    try session.run(
      """
      local p = Point(1, 1)
      assert(not pcall(p.moveWith, p, function() error "no" end))
      assert(p.x == 2)
      p:moveWith(function() assert(not pcall(function() return p + p end)) return 5 end)
      assert(p.x == 5)
      """)
  }

  @Test func mistakes() throws {
    session["c"] = Counter(1)
    #expect(error("c.add(3)") == "s:1: Counter:add: expected Counter as self, got 3; methods are called with ':'")
    #expect(error("c.add()") == "s:1: Counter:add: expected Counter as self, got no value; methods are called with ':'")
    #expect(error("c.add(Point(1, 2), 3)") == "s:1: Counter:add: expected Counter as self, got Point; methods are called with ':'")
    #expect(error("Point(1, 2).move(c, 3)") == "s:1: Point:move: expected Point as self, got Counter; methods are called with ':'")
    #expect(error("c:add('x')") == "s:1: Counter:add: argument 1: expected integer, got string")
    #expect(error("c:add()") == "s:1: Counter:add: argument 1: expected integer, got no value")
    #expect(error("c:ad(1)") == "s:1: Counter has no field or method 'ad'; did you mean 'add'?")
    #expect(error("return c.cuont") == "s:1: Counter has no field or method 'cuont'; did you mean 'count'?")
    #expect(error("return c[1]") == "s:1: Counter has no field [1]")
    #expect(error("return c[c]") == "s:1: Counter has no field [Counter]")
    #expect(error("c.cuont = 1") == "s:1: Counter has no field 'cuont'; did you mean 'count'?")
    #expect(error("c.name = 'x'") == "s:1: Counter.name is read-only")
    #expect(error("Point(1, 2).y = 1") == "s:1: Point.y is read-only")
    #expect(error("c.add = print") == "s:1: Counter:add is a method, which cannot be assigned to")
    #expect(error("c[1] = 2") == "s:1: Counter: cannot assign to [1]")
    #expect(error("c.count = 'x'") == "s:1: Counter.count: expected integer, got string")
    #expect(error("c.count = nil") == "s:1: Counter.count: expected integer, got nil")
    #expect(error("return Point(1, 1).z") == "s:1: Point has no field or method 'z'; did you mean 'x'?")
    #expect(error("Point(1, 1).z = 1") == "s:1: Point has no field 'z'; did you mean 'x'?")
    #expect(error("return Point(1, 1) * 'x'") == "s:1: Point.__mul: argument 2: expected number, got string")
    #expect(error("return c + 1")?.contains("attempt to perform arithmetic on a Counter value") == true)
    #expect(error("return c < 1") == "s:1: Counter.__lt: argument 2: expected Counter, got 1")
    #expect(error("c:sum(-1, 0)")?.contains("Refusal(reason: \"negative\")") == true)
    let thrown = try #require(throws: LuaError.self) { try session.run("c:sum(-1, 0)") }
    #expect(thrown.cause as? Refusal == Refusal(reason: "negative"))
    #expect(message { try session.value("c", as: Point.self) } == "c: expected Point, got Counter")
    #expect(error("setmetatable(c, {})") != nil && error("rawset(c, 1, 1)") != nil)
    #expect(error("debug.setmetatable(io.stdout, debug.getmetatable(c)) io.stdout:add(1)")?.contains("expected Counter as self") == true)
    try session.run("assert(c.count == 1)")
  }

  @Test func mistakesOfTheHost() throws {
    #expect(message { try Counter.register(in: session) } == "the type Counter is registered already")
    session["color"] = Color.red
    #expect(error("return") == "the type Color is not registered with this session")
    #expect(message { try session.evaluate("1", as: Color.self) } == "the type Color is not registered with this session")
    session.function("red") { Color.red }
    #expect(error("red()") == "s:1: the type Color is not registered with this session")
    session.function("reds") { [Color.red] }
    #expect(error("\nreds()") == "s:2: the type Color is not registered with this session")
    #expect(
      message {
        try session.register(Color.self) {
          $0.property("name", \.rawValue)
          $0.method("name") { (color: Color) in color.rawValue }
        }
      } == "the type Color: 'name' is given twice")
    try session.register(Color.self) {
      $0.property("name", \.rawValue)
      $0.constant("red", Color.red)
      $0.constant("green", Color.green)
    }
    try session.run("assert(Color.red == red() and Color.red ~= Color.green and reds()[1].name == 'red')")
    // Another session knows nothing of it.
    let other = try Session()
    other["color"] = Color.red
    #expect(message { try other.run("") } == "the type Color is not registered with this session")
  }

  @Test func subclasses() throws {
    try session.register(Animal.self) {
      $0.method("noise") { (animal: Animal) in animal.noise() }
      $0.writableProperty("age", \.age)
      $0.metamethod(.len) { (animal: Animal) in animal.age }
      $0.metamethod(.index) { (animal: Animal, i: Int) in i }
    }
    // By its superclass at first; what comes back is itself.
    session["puppy"] = Puppy()
    #expect(try session.evaluate("puppy:noise(), puppy.age") == ("wuff", 1))
    #expect(try session.value("puppy", as: Dog.self) is Puppy)
    try session.register(Dog.self) { $0.method("fetch") { (dog: Dog) in dog.fetch() } }
    let dog = Dog()
    session["dog"] = dog
    session.function("age") { (animal: Animal) in animal.age }
    session.function("anyone") { () -> Animal in dog }
    try session.run(
      """
      assert(dog:noise() == "wuff" and dog:fetch() == "stick" and dog.age == 1 and #dog == 1 and dog[7] == 7 and age(dog) == 1)
      assert(anyone() == dog)
      dog.age = 5
      """)
    #expect(dog.age == 5)
    #expect(error("dog:fetsh()") == "s:1: Dog has no field or method 'fetsh'; did you mean 'fetch'?")
    #expect(error("dog:nois()") == "s:1: Dog has no field or method 'nois'; did you mean 'noise'?")
    session["animal"] = Animal()
    #expect(error("animal:fetch()") == "s:1: Animal has no field or method 'fetch'")
    #expect(error("dog.fetch(animal)") == "s:1: Dog:fetch: expected Dog as self, got Animal; methods are called with ':'")
    #expect(message { try session.value("animal", as: Dog.self) } == "animal: expected Dog, got Animal")
    let other = try Session()
    try other.register(Dog.self) { _ in }
    #expect(message { try other.register(Animal.self) { _ in } } == "the type Animal must be registered before its subclass Dog")
  }

  @Test func sandboxesKnowThemInEachScript() throws {
    let session = try Session(.sandboxed(memory: .megabytes(64), time: .seconds(5)))
    try Counter.register(in: session)
    let counter = Counter(1)
    session["c"] = counter
    for count in 2...4 {
      try session.run(
        """
        c:add(1)
        assert(Counter(3).count == 3 and Counter.limit == 100)
        assert(not pcall(function() Counter.new = nil end))
        Counter, c = nil, nil
        """)
      #expect(counter.count == count)
    }
    let failure = try #require(throws: LuaError.self) {
      try session.run("while true do Counter(1):add(1) end", limits: .init(time: .milliseconds(50)))
    }
    #expect(failure.kind == .timeLimit)
    #expect(try session.evaluate("Counter(2).count") == 2)
  }

  @Test func nothingLeaks() throws {
    let before = Counter.live
    do {
      let session = try Session()
      try Counter.register(in: session)
      try session.run(
        """
        kept = {}
        for i = 1, 10000 do
          local c = Counter(i)
          c:add(1)
          pcall(c.add, c, "x")
          if i % 100 == 0 then kept[i] = c end
        end
        """)
      try session.run("collectgarbage()")
      #expect(Counter.live - before == 100)
      // One that Swift keeps survives the session; one that Lua keeps does not.
      let mine: Counter = try session.value("kept", as: [Int: Counter].self)[500]!
      #expect(mine.count == 501)
      try session.run("kept = nil collectgarbage()")
      #expect(Counter.live - before == 1)
      // The same object again is another Lua value, since nothing there knew of the first.
      session["mine"] = mine
      #expect(try session.evaluate("mine.count") == 501)
      // A ring through Swift stays until the session closes.
      try session.run("do local c = Counter(1) c:on(function() return c end) end collectgarbage()")
      #expect(Counter.live - before == 2)
      _ = message { try session.run("error(Counter(5))") }
    }
    #expect(Counter.live == before)
  }

  @Test func callbacksOfMembersCanUseTheSession() throws {
    final class Host: HostObject {}
    try session.register(Host.self) { [unowned session] in
      $0.method("run") { (_: Host, source: String) throws in try session.run(source) }
      $0.method("collect") { (_: Host) throws in try session.run("collectgarbage()") }
    }
    session["host"] = Host()
    try session.run("host:run('x = 5') assert(x == 5) host:collect()")
    #expect(error("host:run('error \"inner\"')")?.hasSuffix("inner") == true)
  }
}

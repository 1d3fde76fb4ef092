// The samples of HostTypes.md, and of Memory.md, which is about the same objects.

import Moongrad
import Testing

@Suite struct HostTypesArticle {
  struct Point: HostObject {
    var x, y: Double
    var length: Double { (x * x + y * y).squareRoot() }
  }

  @Test func ofAClass() throws {
    let session = try Session()
    session.output = { #expect($0 == "3\n") }
    final class Counter: HostObject {
      var count = 0
      func add(_ n: Int) { count += n }
    }

    try session.register(Counter.self) {
      $0.initializer { Counter() }
      $0.method("add", Counter.add)
      $0.writableProperty("count", \.count)
    }
    try session.run("counter = Counter()  counter:add(3)  print(counter.count)")
    let counter: Counter = try session.value("counter")
    #expect(counter.count == 3)
  }

  @Test func ofAStruct() throws {
    let session = try Session()
    try session.register(Point.self) {
      $0.initializer { (x: Double, y: Double) in Point(x: x, y: y) }
      $0.writableProperty("x", \.x)
      $0.property("length") { $0.length }
      $0.mutatingMethod("move") { (point: inout Point, dx: Double) in point.x += dx }
      $0.metamethod(.add) { (a: Point, b: Point) in Point(x: a.x + b.x, y: a.y + b.y) }
      $0.metamethod(.mul) { (a: Point, k: Double) in Point(x: a.x * k, y: a.y * k) }
      $0.metamethod(.mul) { (k: Double, a: Point) in Point(x: a.x * k, y: a.y * k) }
    }
    try session.run("local p = Point(3, 4) p:move(1) p.x = p.x - 1 assert(p.length == 5 and (2 * p + p * 2).length == 20)")
    #expect(message { try session.run("Point(1, 2).length = 3", name: "s") } == "s:1: Point.length is read-only")
  }

  @Test func memory() throws {
    let session = try Session(.init(memoryLimit: 64 << 20))  // bytes
    let sandbox = try Session(.sandboxed(memory: .megabytes(64)))
    session.function("meanwhile") { [unowned session] in try session.run("x = 2") }
    try session.run("meanwhile() assert(x == 2)")
    #expect(sandbox.configuration.memoryLimit == session.configuration.memoryLimit)

    try Counter.register(in: session)
    try session.run("do local c = Counter(1) c:on(function() return c end) end collectgarbage()")  // stays: the object keeps the function
  }
}

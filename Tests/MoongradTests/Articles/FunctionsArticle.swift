// The samples of FunctionsAndAsync.md.

import Moongrad
import Testing

private struct Client: Sendable { func get(_ url: String) async throws -> String { "page of " + url } }
private struct Source { func batch(_ index: Int) throws -> (Tensor, Tensor) { (try Tensor([Double(index)]), try Tensor([0.0])) } }

@Suite struct FunctionsArticle {
  @Test func ofSwift() throws {
    let session = try Session()
    let source = Source()
    var lines: [String] = []
    session.function("next_batch") { (index: Int) throws -> (Tensor, Tensor) in try source.batch(index) }
    session.function("log") { (values: LuaValues) throws in lines.append(try values.text(separator: " ")) }
    session.function("apply") { (f: LuaFunction, values: LuaValues) throws in try f.call(values) }
    session.function("train", options: ["rate", "steps"]) { (x: Double, options: LuaOptions) throws in
      try options["rate", default: 0.1] * x
    }
    session.function("adder") { (n: Int) in HostFunction { (x: Int) in x + n } }  // adder(2)(3) is 5
    try session.run("log(1, nil, 'x') assert(apply(math.max, 1, 3) == 3 and train(2, { rate = 1 }) == 2 and adder(2)(3) == 5)")
    try session.run("assert(next_batch(7):item() == 7)")
    #expect(lines == ["1 nil x"])
    #expect(
      message { try session.run("train(1, { rat = 1 })", name: "s") }
        == "s:1: train: unknown option 'rat'; did you mean 'rate'? (known: rate, steps)")
  }

  @Test func ofScripts() throws {
    let session = try Session()
    try session.run("function add(a, b) return a + b, a - b end")
    let add: LuaFunction = try session.value("add")
    let sum: Double = try add(1, 2)
    let (total, difference): (Int, Double) = try add(5, 3)
    #expect(sum == 3 && total == 8 && difference == 2)
  }

  @Test func thatWait() async throws {
    let session = try Session()
    let client = Client()
    var printed = ""
    session.output = { printed += $0 }
    session.asyncFunction("fetch") { (url: String) async throws -> String in try await client.get(url) }
    try await session.runAsync("print(fetch('https://swift.org'))")
    #expect(printed == "page of https://swift.org\n")
  }

  @Test func ofAnActor() async throws {
    let lua = try SessionActor(.sandboxed()) { session in session["rate"] = 0.5 }
    await lua.set("names", ["a", "b"])
    try await lua.run("function twice(x) return 2 * x * rate end")
    let answer: Double = try await lua.call("twice", 21)
    let length = try await lua.withSession { session in try session.evaluate("#names", as: Int.self) }
    #expect(answer == 21 && length == 2)
  }
}

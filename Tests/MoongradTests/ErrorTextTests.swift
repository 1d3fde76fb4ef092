// What errors say to people, to programs and to scripts; and that a host which imports Moongrad alone can give its own a text.

import Foundation
import Moongrad
import Testing

/// A host's own error: what Swift calls it, and what scripts read.
private struct Blocked: LuaErrorConvertible, Equatable {
  let column: Int
  var luaMessage: String { "column \(column + 1) is blocked" }
}

private struct Overdrawn: LuaErrorConvertible {
  var luaMessage: String { "no gold is left" }
  var luaKind: LuaError.Kind { .conversion }
}

@Suite struct ErrorTextTests {
  let session: Session
  init() throws { session = try Session() }

  @Test func oneLineForPeople() throws {
    try session.run("function f() error 'no' end function g() f() end", name: "s")
    let error = try #require(throws: LuaError.self) { try session.run("g()", name: "main") }
    #expect("\(error)" == "s:1: no" && error.description == error.message)
    let any: any Error = error
    #expect("\(any)" == "s:1: no" && any.localizedDescription == "s:1: no" && (any as? any LocalizedError)?.errorDescription == "s:1: no")
    #expect((any as NSError).localizedDescription == "s:1: no")
    // The long form, which Swift shows of an error that nothing catches.
    let traceback = try #require(error.traceback)
    #expect(traceback.hasPrefix("stack traceback:\n") && traceback.contains("main:1:"))
    #expect(String(reflecting: any) == "s:1: no\n" + traceback && error.debugDescription == String(reflecting: error))
    // One without a traceback, and one that has it in its message.
    #expect(String(reflecting: LuaError("alone")) == "alone" && "\(LuaError("alone"))" == "alone")
    let traced = try #require(throws: LuaError.self) { try session.run("error(select(2, xpcall(g, debug.traceback)), 0)") }
    #expect("\(traced)" == "s:1: no" && traced.message.contains("stack traceback:"))
    let several = try #require(throws: LuaError.self) { try session.run("error('one\\ntwo', 0)") }
    #expect("\(several)" == "one\ntwo")
  }

  @Test func othersOfTheLibrary() throws {
    let shape: any Error = try #require(throws: TensorError.self) { try Tensor([1, 2]) + Tensor([1, 2, 3]) }
    #expect(shape.localizedDescription == "\(shape)" && "\(shape)".contains("add"))
    let file: any Error = try #require(throws: (any Error).self) { try Checkpoint.load("/nowhere/at/all.safetensors") }
    #expect(file.localizedDescription == "\(file)" && "\(file)".contains("/nowhere"))
  }

  @Test func hostsGiveTheirErrorsAText() throws {
    session.function("step") { (column: Int) throws in throw Blocked(column: column - 1) }
    session.function("pay") { () throws in throw Overdrawn() }
    #expect(try session.evaluate("select(2, pcall(step, 3))") == "column 3 is blocked")
    let blocked = try #require(throws: LuaError.self) { try session.run("\nstep(3)", name: "s") }
    #expect("\(blocked)" == "s:2: column 3 is blocked" && blocked.kind == .runtime)
    #expect(blocked.cause as? Blocked == Blocked(column: 2))
    let overdrawn = try #require(throws: LuaError.self) { try session.run("pay()", name: "s") }
    #expect("\(overdrawn)" == "s:1: no gold is left" && overdrawn.kind == .conversion && overdrawn.cause is Overdrawn)
  }
}

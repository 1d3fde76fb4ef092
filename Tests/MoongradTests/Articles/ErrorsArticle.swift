// The samples of Errors.md.

import Moongrad
import Testing

private struct SourceError: Error {}

@Suite struct ErrorsArticle {
  @Test func catching() throws {
    let session = try Session(.sandboxed())
    func recover(from error: SourceError) {}
    do {
      try session.run(file: "train.lua")
    } catch let error as LuaError {
      print(error)  // train.lua:12: next_batch: argument 1: expected integer, got string
      print(error.position?.line ?? 0, error.traceback ?? "")
      if let mine = error.cause as? SourceError { recover(from: mine) }
    }
  }

  @Test func bothWays() throws {
    let session = try Session()
    session.function("refuse") { (reason: String) throws in throw Refusal(reason: reason) }
    let (done, text): (Bool, String) = try session.evaluate("pcall(refuse, 'no')")
    // text ends in: Refusal(reason: "no")
    #expect(!done && text.hasSuffix("Refusal(reason: \"no\")"))
    let error = try #require(throws: LuaError.self) { try session.run("refuse('no')") }
    let mine = error.cause as? Refusal  // Refusal(reason: "no")
    #expect(mine?.reason == "no")
  }

  @Test func ofTheHost() throws {
    struct Blocked: LuaErrorConvertible {
      let column: Int
      var luaMessage: String { "column \(column + 1) is blocked" }  // scripts count from 1
    }
    let session = try Session()
    session.function("step") { () throws in throw Blocked(column: 2) }
    #expect(try session.evaluate("select(2, pcall(step))") == "column 3 is blocked")
  }
}

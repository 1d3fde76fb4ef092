// The command line, parsed.

import Testing
@testable import MoongradCLI

@Suite struct InvocationTests {
  private func parsed(_ arguments: String...) throws -> Invocation { try Invocation(["moongrad"] + arguments) }

  @Test func orderIsKept() throws {
    let call = try parsed("-e", "x = 1", "-lfoo", "-l", "g=bar", "-ey()", "script.lua")
    #expect(
      call.steps == [
        .execute("x = 1"), .require(variable: "foo", module: "foo"), .require(variable: "g", module: "bar"), .execute("y()"),
      ])
    #expect(call.script == .file("script.lua"))
    #expect(call.scriptIndex == 7)
  }

  @Test func optionsEndAtTheScript() throws {
    let call = try parsed("--seed", "7", "--threads=2", "--deterministic", "a.lua", "--seed", "-i", "--")
    #expect((call.seed, call.threads, call.isDeterministic) == (7, 2, true))
    #expect(call.script == .file("a.lua"))
    #expect(!call.isInteractive)
    #expect(try parsed("--", "-e").script == .file("-e"))
    #expect(try parsed("-").script == .standardInput)
    #expect(try parsed("--", "-").script == .file("-"))
    #expect(try parsed("-i").script == nil)
    #expect(try parsed("doc", "mm").action == .document(["mm"]))
    #expect(try parsed("--", "doc").script == .file("doc"))
    #expect(try parsed("./doc").script == .file("./doc"))
  }

  @Test(arguments: [
    (["--sed", "1"], "unknown option '--sed'"), (["-x"], "unknown option '-x'"), (["-iv"], "unknown option '-iv'"),
    (["-e"], "'-e' needs code to run"), (["-l"], "'-l' needs the name of a module"),
    (["--seed", "x"], "'--seed' needs a whole number, got 'x'"), (["--seed"], "'--seed' needs a whole number"),
    (["--threads", "0"], "'--threads' needs a count from 1 to 1024, got '0'"), (["--help=1"], "'--help' takes no value"),
  ])
  func wrongUsage(_ arguments: [String], _ message: String) {
    #expect(throws: UsageError(message: message)) { try Invocation(["moongrad"] + arguments) }
  }
}

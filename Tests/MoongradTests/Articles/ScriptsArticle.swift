// The samples of Scripts.md, LimitsAndSandboxes.md and Threads.md: what runs, and what ends it.

import Foundation
import Moongrad
import Testing

private final class Game {
  private var turns = 3
  var goesOn: Bool {
    turns -= 1
    return turns >= 0
  }
}

private final class Console {
  var lines: [String] = []
  func append(_ text: String) { lines.append(text) }
  func warning(_ text: String) { lines.append("warning: " + text) }
}

@Suite struct ScriptsArticle {
  /// A folder with the script in it.
  private func folder(_ name: String, _ text: String) throws -> String {
    let folder = FileManager.default.temporaryDirectory.appending(path: "article-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try text.write(to: folder.appending(path: name), atomically: true, encoding: .utf8)
    return folder.path
  }

  /// Compiled alone, since it reads a file of the folder that the process is in.
  private func whole(_ session: Session) throws -> Double {
    let script = try session.load(file: "enemy.lua")
    script["speed"] = 2.5
    try script.run()  // defines its functions
    let move: Double = try script.call("move", 0.1)
    try script.runIfChanged()  // while the game goes on
    return move
  }

  @Test func globals() throws {
    let session = try Session()
    session["shared"] = 1
    let script = try session.load("x = (x or 0) + shared", name: "a")
    try script.run()
    let own: Int? = script["x"]  // 1
    let shared: Int? = session["x"]  // nil: the session knows nothing of it
    #expect(own == 1 && shared == nil)
  }

  @Test func arguments() throws {
    let session = try Session()
    let script = try session.load("function move(x) return 2 * x end  return select('#', ...)")
    try script.run(arguments: ["--fast", 3])  // ... in the script, and arg where it is a file
    let count = try script.run(as: Int.self)  // the first value that it returns
    #expect(count == 0)
    let move: Double = try script.call("move", 0.1, limits: RunLimits(time: .seconds(1)))
    #expect(move == 0.2)
  }

  @Test func filesThatChange() throws {
    let (session, game) = (try Session(), Game())
    let folder = try folder("policy.lua", "ticks = ticks or 0 function tick() ticks = ticks + 1 end")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let policy = try session.load(file: folder + "/policy.lua", name: "policy.lua")  // as messages call it
    while game.goesOn {
      do { try policy.runIfChanged() } catch { print(error) }  // policy.lua:7: unexpected symbol near '='
      try policy.call("tick")
    }
    #expect(policy["ticks"] == 3)
  }

  @Test func whatTheyWrite() throws {
    let (session, console) = (try Session(), Console())
    let log = console
    session.output = { text in console.append(text) }  // print, io.write, io.stdout:write, help texts
    session.warnings = { message in log.warning(message) }  // warn(…), and errors in finalizers
    try session.run("print(1) warn('two')")
    #expect(console.lines == ["1\n", "warning: two"])
  }

  @Test func limits() throws {
    let source = "x = 1"
    do {
      let session = try Session()
      try session.run(source, limits: RunLimits(time: .seconds(1)))
    }
    let session = try Session(.sandboxed(memory: .megabytes(64), time: .seconds(2), reading: ["data"]))
    try session.run(source)
  }

  /// Compiled alone: it runs for as long as the other thread takes to begin, and throws.
  private func stopping(_ session: Session) throws {
    let interrupter = session.interrupter
    DispatchQueue.global().asyncAfter(deadline: .now() + 0.1) { interrupter.interrupt() }
    try session.run("while true do end")  // throws a LuaError of the kind interrupted
  }

  @Test func interrupts() throws {
    let session = try Session()
    #expect(try #require(throws: LuaError.self) { try stopping(session) }.kind == .interrupted)
  }
}

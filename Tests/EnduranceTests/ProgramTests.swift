// Random programs over all that scripts can call, in sandboxed sessions: whatever they do, the process lives and the next script runs.
//
// programs.lua writes them, each from a number. MOONGRAD_PROGRAMS=100000 asks for so many, from MOONGRAD_FIRST_PROGRAM on, with their text
// printed before they run if MOONGRAD_SHOW_PROGRAMS is set (see scripts/fuzz_programs). The file that MOONGRAD_PROGRAM_AT names always holds
// the number of the program that runs, for who finds the process dead.

import Foundation
import Moongrad
import Synchronization
import Testing

@Suite struct ProgramTests {
  /// Programs that run one after the other in one session; the same ones for each number, so that a failure comes again.
  private static let inOneSession = 20

  private static let environment = ProcessInfo.processInfo.environment

  /// In a process of its own: beside other tests the bound of seconds, which ends the process, says nothing.
  @Test(.enabled(if: environment["MOONGRAD_PROGRAMS"] != nil, "scripts/fuzz_programs runs it")) func noProgramBreaksItsHost() throws {
    let environment = Self.environment
    let first = environment["MOONGRAD_FIRST_PROGRAM"].flatMap(Int.init) ?? 0
    let count = environment["MOONGRAD_PROGRAMS"].flatMap(Int.init) ?? 1000
    let shows = environment["MOONGRAD_SHOW_PROGRAMS"] != nil
    let place = environment["MOONGRAD_PROGRAM_AT"].map { open($0, O_WRONLY | O_CREAT | O_TRUNC, 0o644) }
    let writer = try ProgramWriter()
    let watch = Watch()
    var ends: [String: Int] = [:]
    var slow = 0
    let start = first - first % Self.inOneSession
    for begin in stride(from: start, to: first + count, by: Self.inOneSession) {
      weak var context: Context?
      try autoreleased {
        let session = try Session(.sandboxed(memory: .megabytes(64), time: .milliseconds(300), instructions: 2_000_000))
        context = session.context
        session.output = { _ in }
        session.warnings = { _ in }
        for seed in begin..<begin + Self.inOneSession {
          let source = try writer.source(seed)
          if shows { print("-- program \(seed)\n\(source)") }
          if let place {
            let line = "\(seed)\n"
            _ = pwrite(place, line, line.utf8.count, 0)
          }
          let began = ContinuousClock.now
          watch.began(seed)
          do {
            try session.run(source, name: "program \(seed)")
            ends["whole", default: 0] += 1
          } catch let error as LuaError {
            ends["\(error.kind)", default: 0] += 1
          }
          watch.ended()
          if ContinuousClock.now - began > .milliseconds(600) { slow += 1 }
          try session.run("one = 1", name: "after program \(seed)")
          let one: Int? = session["one"]
          #expect(one == 1, "the session is broken after program \(seed)")
        }
      }
      #expect(context == nil, "the programs from \(begin) on leave their session's context")
    }
    print("programs: \(first + count - start) executions, \(slow) over 0.6 s, \(ends.sorted { $0.value > $1.value })")
  }

  private func autoreleased(_ body: () throws -> Void) rethrows { try body() }
}

/// programs.lua, in a session of its own.
private final class ProgramWriter {
  private let session: Session
  private let write: LuaFunction

  init() throws {
    session = try Session()
    var text = ""
    session.output = { text += $0 }
    try session.run("mg = require 'moongrad' mg.help()")
    session["index"] = text
    text = ""
    try session.run(
      """
      for place, names in index:gmatch "([%w_.]+): ([^\\n]+)" do
        for name in names:gmatch "%S+" do
          local full = (place == "mg" and "" or place .. ".") .. name
          print("\\1" .. full)
          mg.help(full)
        end
      end
      """)
    session["texts"] = text
    let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "programs.lua").path
    session["path"] = path
    write = try session.evaluate("assert(loadfile(path))(texts)")
  }

  func source(_ seed: Int) throws -> String { try write(seed) }
}

/// Ends the process when a program runs for 2 s longer than it may.
private final class Watch: Sendable {
  private let running = Mutex<(seed: Int, since: ContinuousClock.Instant)?>(nil)

  init() {
    Thread.detachNewThread { [weak self] in
      while let self {
        Thread.sleep(forTimeInterval: 0.1)
        let late: Int? = self.running.withLock { running in
          guard let running, ContinuousClock.now - running.since > .seconds(2.3) else { return nil }
          return running.seed
        }
        if let late { fatalError("program \(late) does not end") }
      }
    }
  }

  func began(_ seed: Int) { running.withLock { $0 = (seed, .now) } }
  func ended() { running.withLock { $0 = nil } }
}

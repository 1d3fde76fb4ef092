// Sessions opened, used and closed by the thousand leave nothing in the process: no memory, no open file, no thread.
//
// MOONGRAD_SESSIONS=10000 asks for so many, in a process that does nothing else, and compares (see scripts/many_sessions). Among other
// tests, which come and go at the same time, a few only are opened.

import Foundation
import Moongrad
import Testing

@Suite struct SessionTests {
  @Test func manySessions() throws {
    let wanted = ProcessInfo.processInfo.environment["MOONGRAD_SESSIONS"].flatMap(Int.init)
    let count = wanted ?? 50
    let warm = max(1, count / 10)
    let began = ContinuousClock.now
    var before = Resources.now
    for index in 1...count {
      try use(index)
      if wanted != nil, index % warm == 0 { print("\(index) sessions: \(Resources.now)") }
      if index == warm { before = Resources.now }
    }
    guard wanted != nil else { return }
    let after = Resources.now
    print("\(count) sessions in \(ContinuousClock.now - began); after \(warm) of them: \(before); at the end: \(after)")
    #expect(after.resident - before.resident < 2 << 20)
    #expect(after.files == before.files && after.threads <= before.threads)
  }

  /// A training step, a function of the host's, an error of each sort, in every other session within a sandbox's limits.
  private func use(_ index: Int) throws {
    struct Refused: Error {}
    let session = try index % 2 == 0 ? Session() : Session(.sandboxed(memory: .megabytes(64), time: .seconds(20)))
    session.output = { _ in }
    session.function("batch") { (size: Int) throws -> (Tensor, Tensor) in (try Tensor.ones([size, 2]), try Tensor.zeros([size, 1])) }
    session.function("refuse") { () throws -> Int in throw Refused() }
    try session.run(
      """
      local mg = require "moongrad"
      net = mg.nn.Sequential(mg.nn.Linear(2, 8), mg.nn.ReLU(), mg.nn.Linear(8, 1))
      local opt = mg.optim.Adam(net:parameters(), { lr = 0.1 })
      local x, y = batch(4)
      local loss = mg.nn.functional.mse_loss(net(x), y)
      loss:backward()
      opt:step()
      print(loss)
      kept = coroutine.wrap(function() coroutine.yield(loss) end)
      kept()
      """)
    let net: Module = try session.value("net")
    #expect(try net(Tensor.ones([3, 2])).shape == [3, 1])
    #expect(throws: Refused.self) {
      do { try session.run("refuse()") } catch let error as LuaError { throw error.cause ?? error }
    }
    #expect(throws: LuaError.self) { try session.run("net(1)") }
    let limit = try #require(throws: LuaError.self) { try session.run("while true do end", limits: RunLimits(instructions: 10_000)) }
    #expect(limit.kind == .instructionLimit)
  }
}

/// What the process holds.
private struct Resources: CustomStringConvertible {
  let resident: Int
  let files: Int
  let threads: Int

  static var now: Resources {
    func count(_ folder: String) -> Int { (try? FileManager.default.contentsOfDirectory(atPath: folder).count) ?? 0 }
    let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .ascii))?.split(separator: " ").dropFirst().first.flatMap {
      Int($0)
    }
    return Resources(resident: (pages ?? 0) * Int(getpagesize()), files: count("/proc/self/fd"), threads: count("/proc/self/task"))
  }

  var description: String { "\(resident / 1024) KiB resident, \(files) files, \(threads) threads" }
}

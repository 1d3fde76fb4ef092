// What a sandbox promises: every attack ends soon and with an error that a host can read, and the session works afterwards.

import Foundation
import Moongrad
import Testing

@Suite struct SandboxTests {
  /// The attacks, one file each.
  static let attacks: [String] = {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "attacks")
    return ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).filter { $0.hasSuffix(".lua") }.sorted()
  }()

  @Test func thereAreManyAttacks() { #expect(Self.attacks.count >= 100) }

  /// What the next script must find, whatever the one before it did.
  private static let check = """
    assert(("x"):rep(3) == "xxx" and string.format("%d", 3) == "3" and tostring(1) == "1" and #table.pack(1, 2) == 2)
    local mg = require "moongrad"
    local net = mg.nn.Sequential(mg.nn.Linear(2, 3), mg.nn.ReLU(), mg.nn.Linear(3, 1))
    local opt = mg.optim.SGD(net:parameters(), { lr = 0.1 })
    net(mg.ones(4, 2)):pow(2):mean():backward()
    opt:step()
    local Net = mg.nn.Module "Net"
    function Net:init() self.a = mg.nn.Linear(1, 1) end
    function Net:forward(x) return self.a(x) end
    assert(Net()(mg.ones(1, 1)):numel() == 1 and left == nil)
    left = 1
    """

  @Test(arguments: attacks) func endsSoonAndLeavesNothing(_ name: String) throws {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "attacks")
    let source = try String(contentsOf: folder.appending(path: name), encoding: .utf8)
    let session = try Session(.sandboxed(memory: .megabytes(64), time: .milliseconds(300)))
    var (printed, warned) = (0, 0)
    session.function("print") { (_: LuaValue) in printed += 1 }
    session.warnings = { _ in warned += 1 }
    for _ in 1...2 {
      let began = ContinuousClock.now
      do {
        try session.run(source, name: name)
      } catch let error as LuaError {
        #expect(!error.message.isEmpty)
      }
      let took = ContinuousClock.now - began
      #expect(took < .seconds(1.5), "it took \(took)")
      #expect(try session.evaluate("1 + 1", as: Int.self) == 2)
    }
    // More time, since a debug build of the library is slow.
    try session.run(Self.check, name: "check", limits: RunLimits())
  }

  @Test func limitsPerCall() throws {
    let session = try Session()
    #expect(
      try #require(throws: LuaError.self) { try session.run("while true do end", limits: .init(time: .milliseconds(20))) }.kind
        == .timeLimit)
    let error = try #require(throws: LuaError.self) {
      try session.evaluate("(function() while true do end end)()", as: Int.self, limits: .init(instructions: 10_000))
    }
    #expect(error.kind == .instructionLimit)
    try session.run("for i = 1, 1e6 do end")
    // The stricter of two.
    let limited = try Session(.sandboxed(time: .milliseconds(20)))
    #expect(
      try #require(throws: LuaError.self) { try limited.run("while true do end", limits: .init(time: .seconds(60))) }.kind == .timeLimit)
    // Functions that the host calls are under the configuration's limits.
    try limited.run("function loop() while true do end end")
    let loop: LuaFunction = try limited.value("loop")
    #expect(try #require(throws: LuaError.self) { try loop() }.kind == .timeLimit)
    #expect(try limited.evaluate("1", as: Int.self) == 1)
  }

  @Test func globalsOfEachScript() throws {
    let session = try Session(.sandboxed())
    session["rate"] = 0.5
    session.function("double") { (x: Double) in 2 * x }
    try session.run("x = double(rate) y = 1")
    #expect(try session.value("x", as: Double.self) == 1)
    #expect(try session.evaluate("x + y", as: Double.self) == 2)
    try session.run("assert(x == nil and y == nil) rate = 7 z = rate")
    #expect(try session.value("z", as: Int.self) == 7)
    #expect(throws: LuaError.self) { try session.value("x", as: Double.self) }
    try session.run("assert(rate == 0.5)")
    // Modules of the host are there for all.
    try session.module("host", ["answer": 42])
    try session.run("assert(require('host').answer == 42)")
  }

  @Test func files() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sandbox-\(UUID())")
    for part in ["in", "out", "other"] {
      try FileManager.default.createDirectory(at: folder.appending(path: part), withIntermediateDirectories: true)
    }
    defer { try? FileManager.default.removeItem(at: folder) }
    try "return { name = ... }".write(to: folder.appending(path: "in/part.lua"), atomically: true, encoding: .utf8)
    try "a\n1\n".write(to: folder.appending(path: "in/x.csv"), atomically: true, encoding: .utf8)
    try "a\n1\n".write(to: folder.appending(path: "other/x.csv"), atomically: true, encoding: .utf8)
    try FileManager.default.createSymbolicLink(
      at: folder.appending(path: "in/link.csv"), withDestinationURL: folder.appending(path: "other/x.csv"))
    try FileManager.default.createSymbolicLink(
      at: folder.appending(path: "out/link.mg"), withDestinationURL: folder.appending(path: "other/new.mg"))
    let session = try Session(.sandboxed(reading: [folder.appending(path: "in").path], writing: [folder.appending(path: "out").path + "/"]))
    session["folder"] = folder.path
    try session.run(
      """
      local mg = require "moongrad"
      assert(require("part").name == "part")
      assert(mg.data.read_csv(folder .. "/in/x.csv").a:item() == 1)
      mg.save({ a = 1 }, folder .. "/out/a.mg")
      assert(mg.load(folder .. "/out/a.mg").a == 1)
      local function refused(f, ...)
        local ok, problem = pcall(f, ...)
        assert(not ok and problem:find("this session does not lend it", 1, true), problem)
      end
      for _, path in ipairs { "/other/x.csv", "/in/../other/x.csv", "/in/link.csv", "/in", "x/../../other/x.csv" } do
        if path ~= "/in" then refused(mg.data.read_csv, folder .. path) end
      end
      refused(mg.data.read_csv, "/etc/passwd")
      refused(mg.load, "/proc/self/environ")
      for _, path in ipairs { "/in/b.mg", "/other/b.mg", "/out/../b.mg", "/out/link.mg", "/b.mg", "/outside.mg" } do refused(mg.save, {}, folder .. path) end
      refused(mg.loggers.CSVLogger, folder .. "/other/log.csv", { columns = { "a" } })
      refused(mg.loggers.SummaryWriter, folder .. "/other/runs")
      """)
    #expect(FileManager.default.fileExists(atPath: folder.appending(path: "other/new.mg").path) == false)
    let none = try Session(.sandboxed())
    #expect(throws: LuaError.self) { try none.run("require('moongrad').save({}, '/tmp/never.mg')") }
  }

  /// Lists of places that operations make beside their tensors are asked for too.
  @Test(arguments: [
    "F.interpolate(mg.ones(0, 1, 1), { size = 1 << 26, mode = 'linear' })", "F.interpolate(mg.ones(1, 1, 1):int(), { size = 1 << 26 })",
    "F.interpolate(mg.ones(1, 1, 1, 1):expand(1, 1, 1, 1 << 26), { size = { 1, 2 }, mode = 'bilinear', antialias = true })",
    "F.adaptive_avg_pool1d(mg.ones(0, 1, 1 << 26), 4)", "F.adaptive_avg_pool1d(mg.ones(1, 1, 4), 1 << 26)",
    "F.adaptive_max_pool1d(mg.ones(1, 1, 4), 1 << 26)", "F.avg_pool1d(mg.ones(0, 1, 1 << 26), 1)",
    "F.pad(mg.ones(1, 1, 4), { 1 << 26, 0 }, 'replicate')", "mg.slice_scatter(mg.zeros(1):expand(1 << 26), mg.zeros(1):expand(1 << 26))",
    "mg.nn.init.dirac_(mg.zeros(1, 1, 1):expand(1, 1, 1 << 26))", "mg.mode(mg.zeros(1):expand(1 << 26))",
  ]) func listsBesideTensorsCount(_ script: String) throws {
    let session = try Session(.sandboxed(memory: .megabytes(64), time: nil))
    let error = try #require(throws: LuaError.self) {
      try session.run("local mg = require 'moongrad' local F = mg.nn.functional " + script)
    }
    #expect(error.kind == .memory, "\(error)")
  }

  /// As README shows it.
  @Test func readme() throws {
    let untrusted = "answer = 10 * rate"
    let session = try Session(.sandboxed(memory: .megabytes(64), time: .seconds(2), reading: ["data"]))
    session["rate"] = 0.1
    try session.run(untrusted, limits: RunLimits(time: .milliseconds(100)))  // throws a LuaError of kind .timeLimit
    let answer = try session.value("answer", as: Double.self)
    #expect(answer == 1)
    #expect(throws: LuaError.self) { try session.run("while true do end", limits: RunLimits(time: .milliseconds(100))) }
  }

  @Test func librariesByChoice() throws {
    var configuration = Session.Configuration()
    configuration.libraries = [.string, .table, .package]
    let session = try Session(configuration)
    try session.run("assert(io == nil and os == nil and debug == nil and math == nil and string.rep)")
    #expect(throws: LuaError.self) { try session.run("require('moongrad').save({}, '/tmp/never.mg')") }
  }
}

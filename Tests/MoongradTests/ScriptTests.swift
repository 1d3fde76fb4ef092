// Scripts as objects: their globals, repeated runs, and files that change.

import Foundation
import Moongrad
import Testing

@Suite struct ScriptTests {
  let session: Session
  init() throws { session = try Session() }

  @Test func globalsOfTheirOwn() throws {
    session["shared"] = 1
    let (a, b) = (try session.load("x = (x or 0) + shared  y = ... ", name: "a"), try session.load("x = 'b' shared = 5", name: "b"))
    try a.run(arguments: ["first"])
    try a.run(arguments: [2, "ignored"])
    try b.run()
    #expect(try a.value("x") == 2 && b.value("x") == "b" && a["y"] == 2)
    #expect(a["shared"] == 1 && b["shared"] == 5 && session["shared"] == 1)
    #expect(session["x"] == Int?.none && a["missing"] == Int?.none)
    a["x"] = 10
    session["shared"] = 100
    try a.run()
    #expect(try a.value("x") == 110)
    #expect(try a.evaluate("x + shared") == 210)
    #expect(try a.globals.value("x") == 110)
    #expect(a.name == "a" && a.path == nil)
    #expect(message { try a.value("x.y", as: Int.self) } == "x: expected table, got 110")
    a["x"] = Int?.none
    #expect(a["x"] == Int?.none)
  }

  @Test func resultsAndFunctions() throws {
    let script = try session.load(
      """
      local calls = 0
      function move(dx, dy) calls = calls + 1 return dx + dy, calls end
      function fail() error "no" end
      config = { rate = 0.5 }
      return 7, "x"
      """, name: "enemy")
    let results = try script.run()
    #expect(results.count == 2)
    #expect(try results.value(0) == 7)
    #expect(try results.value(1) == "x")
    #expect(try script.run(as: Int.self) == 7)
    #expect(try script.call("move", 1, 2.5) == 3.5)
    #expect(try script.value("config.rate") == 0.5)
    let move: LuaFunction = try script.value("move")
    #expect(try move(1, 1) == (2, 2))
    #expect(message { try script.call("fail") } == "enemy:3: no")
    #expect(message { try script.call("jump") } == "jump: expected function, got nil")
    #expect(message { try script.run(as: [Int].self) } == "result: expected list of integer, got 7")
  }

  @Test func whatTheyLoadIsTheirs() throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "part-\(UUID()).lua")
    try "loaded = (loaded or 0) + 1".write(to: file, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(at: file) }
    let script = try session.load(
      """
      local path = ...
      load("made = 1")()
      _G.named = 2
      dofile(path) assert(loadfile(path))()
      assert(_G.made == 1 and named == 2 and _ENV == _G and loaded == 2)
      assert(load("return x", "c", "t", { x = 3 })() == 3 and load("return x", "c", "t", nil))
      assert(not pcall(dofile, "/nowhere") and not loadfile "/nowhere")
      """)
    try script.run(arguments: [file.path])
    #expect(session["made"] == Int?.none && session["named"] == Int?.none && session["loaded"] == Int?.none)
    #expect(script["made"] == 1)
  }

  @Test func mistakes() throws {
    let syntax = try #require(throws: LuaError.self) { try session.load("x = = 1", name: "bad") }
    #expect(syntax.kind == .syntax && syntax.message.hasPrefix("bad:1:"))
    #expect(try #require(throws: LuaError.self) { try session.load(file: "/nowhere.lua") }.kind == .file)
    let script = try session.load("while true do end", name: "loop")
    let stopped = try #require(throws: LuaError.self) { try script.run(limits: .init(time: .milliseconds(20))) }
    #expect(stopped.kind == .timeLimit)
    #expect(message { try script.reload() } == "the script loop is of no file that it could be read from again")
    #expect(try script.reloadIfChanged() == false)
    let orphan = try Session().load("return 1", name: "orphan")
    #expect(
      message { try orphan.run() } == "the session of the script orphan is closed: a script does not keep it, whoever uses the script must")
    #expect(orphan["x"] == Int?.none)
    orphan["x"] = 1
    // Assigned in a script that forbids it: thrown by the next call.
    let strict = try session.load("getmetatable(_G).__newindex = function(_, name) error('no ' .. name, 0) end", name: "strict")
    try strict.run()
    strict["y"] = 1
    #expect(message { try session.run("") } == "no y")
    try session.run("")
  }

  @Test func filesThatChange() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "scripts-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appending(path: "enemy.lua")
    func write(_ text: String) throws { try text.write(to: file, atomically: true, encoding: .utf8) }
    try "return { step = 3 }".write(to: folder.appending(path: "part.lua"), atomically: true, encoding: .utf8)
    try write(
      "#!/usr/bin/env moongrad\ncount = (count or 0) + 1 function version() return 1, count end given = arg[1] step = require('part').step")
    for session in [try Session(), try Session(.sandboxed(reading: [folder.path]))] {
      try write(
        "#!/usr/bin/env moongrad\ncount = (count or 0) + 1 function version() return 1, count end given = arg[1] step = require('part').step"
      )
      let script = try session.load(file: file.path)
      try script.run(arguments: ["--fast"])
      #expect(script["given"] == "--fast" && script["step"] == 3)
      let old: LuaFunction = try script.value("version")
      #expect(try script.reloadIfChanged() == false)
      try write("count = (count or 0) + 1 function version() return 2, count end")
      #expect(try script.reloadIfChanged())
      #expect(try script.call("version") == 1)
      try script.run()
      #expect(try script.value("version", as: LuaFunction.self)() == (2, 2))
      // A mistake is reported once, and the script is what it was.
      try write("count = = 1")
      #expect(throws: LuaError.self) { try script.reloadIfChanged() }
      #expect(try script.reloadIfChanged() == false)
      try script.run()
      #expect(script["count"] == 3)
      // New globals; who holds a function of the old ones keeps them.
      try write("count = (count or 0) + 10 function version() return 3, count end")
      try script.reload(keepingGlobals: false)
      try script.run()
      #expect(try script.value("version", as: LuaFunction.self)() == (3, 10))
      #expect(try old() == (1, 3))
      #expect(script["given"] == String?.none)
      try FileManager.default.removeItem(at: file)
      #expect(try script.reloadIfChanged() == false)
      #expect(throws: LuaError.self) { try script.reload() }
      try script.run()
    }
  }

  @Test func runIfChanged() throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "changing-\(UUID()).lua")
    defer { try? FileManager.default.removeItem(at: file) }
    func write(_ text: String) throws { try text.write(to: file, atomically: true, encoding: .utf8) }
    try write("runs = (runs or 0) + 1  first = ...")
    let script = try session.load(file: file.path)
    #expect(try script.runIfChanged(arguments: ["a"]) && script["first"] == "a")
    #expect(try !script.runIfChanged() && script["runs"] == 1)
    try write("runs = (runs or 0) + 10")
    #expect(try script.runIfChanged() && script["runs"] == 11)
    // What reloadIfChanged has read is still to be run.
    try write("runs = (runs or 0) + 100")
    #expect(try script.reloadIfChanged() && script.runIfChanged() && !script.runIfChanged() && script["runs"] == 111)
    try write("runs = (runs or 0) + 1000")
    #expect(try script.runIfChanged(keepingGlobals: false) && script["runs"] == 1000)
    // A mistake is told once, whether the text does not compile or the run fails or takes too long.
    for (text, kind) in [("x = = 1", LuaError.Kind.syntax), ("error 'no'", .runtime), ("while true do end", .timeLimit)] {
      try write(text)
      #expect(try #require(throws: LuaError.self) { try script.runIfChanged(limits: .init(time: .milliseconds(20))) }.kind == kind)
      #expect(try !script.runIfChanged() && script["runs"] == 1000)
    }
    let text = try session.load("x = (x or 0) + 1", name: "text")
    #expect(try text.runIfChanged() && !text.runIfChanged() && text["x"] == 1)
  }

  @Test func names() throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "named-\(UUID()).lua")
    try "function fail() error 'no' end\nreturn ..., arg[0]".write(to: file, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(at: file) }
    let script = try session.load(file: file.path, name: "enemy.lua")
    #expect(script.name == "enemy.lua" && script.path == file.path)
    #expect(try script.run(arguments: [1]).value(1) == file.path)
    #expect(message { try script.call("fail") } == "enemy.lua:1: no")
    try "\n\nx = = 1".write(to: file, atomically: true, encoding: .utf8)
    #expect(message { try script.reload() }?.hasPrefix("enemy.lua:3: ") == true)
    #expect(message { try session.load(file: file.path, name: "a b") }?.hasPrefix("a b:3: ") == true)
    #expect(message { try session.load(file: file.path) }?.hasPrefix(file.path + ":3: ") == true)
  }

  @Test func limitsOfACall() throws {
    let limits = RunLimits(time: .milliseconds(30))
    let script = try session.load("function loop() pcall(loop) while true do end end function add(a, b) return a + b, a end", name: "a")
    try script.run()
    let loop: LuaFunction = try script.value("loop")
    let add: LuaFunction = try script.value("add")
    for run in [
      { try script.call("loop", limits: limits) }, { let _: Int = try script.call("loop", 1, limits: limits) },
      { try loop(limits: limits) }, { let _: Int = try loop(1, "x", limits: limits) },
      { let _: (Int, Int) = try loop(limits: limits) }, { try loop.call([1], limits: limits) },
      { try script.call("loop", limits: RunLimits(instructions: 1000)) },
    ] as [() throws -> Void] {
      let error = try #require(throws: LuaError.self) { try run() }
      #expect(error.kind == .timeLimit || error.kind == .instructionLimit)
    }
    #expect(try script.call("add", 1, 2, limits: limits) == 3)
    #expect(try add(1, 2, limits: limits) == (3, 1))
    // A function that records nothing leaves the next call its own modes.
    let modes = try session.load(
      """
      local mg = require "moongrad"
      local w = mg.ones(1, { requires_grad = true })
      function quiet() return (mg.no_grad(function() return (w * 2).requires_grad end)) end
      function loud() return (w * 2).requires_grad end
      """)
    try modes.run()
    for _ in 1...2 { #expect(try modes.call("quiet") == false && modes.call("loud", limits: limits) == true) }
    #expect(try withNoGrad { try modes.call("loud") } == false)
    // The look-up of the name is script code, too.
    let trap = try session.load("setmetatable(_G, { __index = function() while true do end end })", name: "trap")
    try trap.run()
    #expect(try #require(throws: LuaError.self) { try trap.call("f", limits: limits) }.kind == .timeLimit)
    // The session's own are the stricter ones where they are.
    let strict = try Session(.sandboxed(time: .milliseconds(30)))
    let other = try strict.load("function loop() while true do end end", name: "b")
    try other.run()
    let start = ContinuousClock.now
    #expect(throws: LuaError.self) { try other.call("loop", limits: RunLimits(time: .seconds(60))) }
    #expect(start.duration(to: .now) < .seconds(20))
  }

  @Test func sandboxes() throws {
    let session = try Session(.sandboxed(memory: .megabytes(32), time: .milliseconds(100)))
    session["rate"] = 0.5
    let (a, b) = (
      try session.load("x = rate  string.rep = nil  function f() return string.rep end  function loop() while true do end end", name: "a"),
      try session.load("assert(not x and string.rep) x = 2", name: "b")
    )
    try a.run()
    try b.run()
    try session.run("assert(not x and string.rep)")
    #expect(a["x"] == 0.5 && b["x"] == 2)
    #expect(try a.call("f") == Int?.none)
    #expect(try #require(throws: LuaError.self) { try a.call("loop") }.kind == .timeLimit)
    #expect(try a.evaluate("x") == 0.5)
    // The script before is what evaluate sees, not one that is an object.
    #expect(try session.evaluate("x") == Int?.none)
    let hungry = try session.load("local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end")
    for _ in 1...3 {
      let failure = try #require(throws: LuaError.self) { try hungry.run(limits: .init(time: .seconds(20))) }
      #expect(failure.kind == .memory || failure.kind == .timeLimit)
    }
    try a.run()
  }
}

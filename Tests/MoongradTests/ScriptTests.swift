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
    #expect(message { try orphan.run() } == "the session of the script orphan is closed")
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

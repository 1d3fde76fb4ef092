// Swift functions in scripts: arguments, results, errors in both directions.

import Moongrad
import Testing

struct Refusal: Error, Equatable {
  let reason: String
}

@Suite struct FunctionTests {
  let session: Session
  init() throws { session = try Session() }

  @Test func severalArgumentsAndResults() throws {
    session.function("split") { (text: String, at: Int) -> (String, String) in
      (String(text.prefix(at)), String(text.dropFirst(at)))
    }
    session.function("nothing") {}
    session.function("answer") { 42 }
    session.function("total") { (numbers: [Double], scale: Double?) -> Double in numbers.reduce(0, +) * (scale ?? 1) }
    #expect(try session.evaluate("split('abcdef', 2)") == ("ab", "cdef"))
    #expect(try session.evaluate("select('#', nothing())") == 0)
    #expect(try session.evaluate("answer('ignored', 'too')") == 42)
    #expect(try session.evaluate("total{1, 2, 3}, total({1, 2}, 10)") == (6.0, 30.0))
  }

  @Test func wrongArgumentsNameEverything() throws {
    session.function("next_batch") { (index: Int, x: Tensor, names: [String]) in }
    func error(_ call: String) -> String? { message { try session.run(call, name: "call") } }
    #expect(error("next_batch('x')") == "call:1: next_batch: argument 1: expected integer, got string")
    #expect(error("next_batch(1)") == "call:1: next_batch: argument 2: expected Tensor, got no value")
    #expect(
      error("local mg = require 'moongrad' next_batch(1, mg.ones(1), {'a', 2})")
        == "call:1: next_batch: argument 3, at [2]: expected string, got 2")
  }

  @Test func errorsOfSwiftAreCaughtByScripts() throws {
    session.function("refuse") { (reason: String) throws in throw Refusal(reason: reason) }
    let (done, text): (Bool, String) = try session.evaluate("pcall(refuse, 'no')")
    #expect(!done)
    #expect(text.contains("Refusal(reason: \"no\")"))
  }

  @Test func errorsOfSwiftComeBackAsThemselves() throws {
    session.function("refuse") { (reason: String) throws in throw Refusal(reason: reason) }
    try session.run(
      """
      function careless() refuse("first") end
      function careful()
        local done, message = pcall(refuse, "second")
        error(message, 0)
      end
      """, name: "callers")
    for (name, reason) in [("careless", "first"), ("careful", "second")] {
      let error = try #require(throws: LuaError.self) { try session.run("\(name)()") }
      #expect(error.cause as? Refusal == Refusal(reason: reason))
    }
    let function: LuaFunction = try session.value("careless")
    let error = try #require(throws: LuaError.self) { try function() }
    #expect(error.cause as? Refusal == Refusal(reason: "first"))
  }

  @Test func errorsOfScriptsPassThroughSwift() throws {
    session.function("apply") { (f: LuaFunction) throws in try f() }
    let error = try #require(throws: LuaError.self) {
      try session.run("apply(function()\n error('inside')\nend)", name: "script")
    }
    #expect(error.message == "script:2: inside")
    #expect(error.position == .some(error.position!) && error.position?.line == 2)
    #expect(error.cause == nil)
  }

  @Test func tracebacksHaveTheLine() throws {
    session.function("fail") { () throws in throw Refusal(reason: "x") }
    let error = try #require(throws: LuaError.self) {
      try session.run("local function inner()\n  fail()\nend\nlocal function outer()\n  inner()\nend\nouter()", name: "script")
    }
    #expect(error.message.hasPrefix("script:2: "))
    #expect(error.position?.chunk == "script" && error.position?.line == 2)
    let traceback = try #require(error.traceback)
    for place in ["script:2: in", "script:5: in", "script:7: in main chunk"] {
      #expect(traceback.contains(place))
    }
  }

  @Test func syntaxErrorsHaveTheLineAndNoTraceback() throws {
    _ = message { try session.run("error('earlier')") }
    let error = try #require(throws: LuaError.self) { try session.run("x = 1\ny = = 2", name: "script") }
    #expect(error.kind == .syntax)
    #expect(error.position?.line == 2)
    #expect(error.traceback == nil)
  }

  @Test func modulesOfTheHost() throws {
    try session.module("host", ["double": session.makeFunction("double") { (x: Int) in x * 2 }, "name": "test"])
    #expect(try session.evaluate("require('host').double(21), require('host').name") == (42, "test"))
  }

  @Test func warningsReachTheHost() throws {
    nonisolated(unsafe) var heard: [String] = []
    session.warnings = { heard.append($0) }
    try session.run("warn('careful, ', 'please')  setmetatable({}, {__gc = function() error('late', 0) end})  collectgarbage()")
    #expect(heard.first == "careful, please")
    #expect(heard.count == 2 && heard[1].contains("late"))
  }

  @Test func modesOfTheHostHoldInScriptsAndOnlyThere() throws {
    try session.run("mg = require 'moongrad'  x = mg.ones(1, {requires_grad = true})")
    #expect(try session.evaluate("(x * 2).requires_grad"))
    #expect(try withNoGrad { try session.evaluate("(x * 2).requires_grad") } == false)
    #expect(try session.evaluate("(x * 2).requires_grad"))
    try session.run("mg.set_grad_enabled(false)")
    #expect(GradMode.isEnabled)
    #expect(try session.evaluate("(x * 2).requires_grad") == false)
    try session.run("mg.set_grad_enabled(true)")
    session.function("records") { GradMode.isEnabled }
    #expect(try session.evaluate("records(), mg.no_grad(records)") == (true, false))
    #expect(GradMode.isEnabled)
  }
}

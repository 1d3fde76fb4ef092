// os.exit in a host: the script ends, whatever it catches, and the host goes on.
import CLuaShim
import Testing

@testable import LuaRuntime

@Suite struct ExitTests {
  static let scripts = [
    "os.exit(3)", "pcall(os.exit, 3) ran = true", "xpcall(os.exit, function() ran = true end, 3) ran = true",
    "coroutine.wrap(function() os.exit(3) ran = true end)() ran = true",
    "coroutine.resume(coroutine.create(function() pcall(os.exit, 3) ran = true end)) ran = true",
    "local x <close> = setmetatable({}, {__close = function() os.exit(3) ran = true end})",
    "do local x <close> = setmetatable({}, {__close = function() pcall(os.exit, 3) ran = true end}) end ran = true",
    "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() os.exit(3) ran = true end}) coroutine.yield() end) coroutine.resume(co) coroutine.close(co) ran = true",
    "setmetatable({}, {__gc = function() os.exit(3) ran = true end}) collectgarbage() ran = true",
    "setmetatable({}, {__gc = function() pcall(os.exit, 3) ran = true end}) pcall(collectgarbage) ran = true",
    "setmetatable({}, {__gc = function() coroutine.wrap(os.exit)(3) ran = true end}) collectgarbage() ran = true",
    "table.sort({1, 2, 3}, function() os.exit(3) end) ran = true", "string.gsub('a', 'a', function() os.exit(3) end) ran = true",
    "nested(os.exit, 3) ran = true",
    "pcall(nested, function() coroutine.wrap(function() pcall(os.exit, 3) end)() ran = true end) ran = true",
    "debug.sethook(function() os.exit(3) end, 'l')\nran = true", "load(function() os.exit(3) end) ran = true",
    "error(setmetatable({}, {__tostring = function() os.exit(3) end}))",
    "local t = setmetatable({}, {__index = function() os.exit(3) end}) t.x() ran = true",
    "os.exit(3, true)", "package.preload.leaving = function() os.exit(3) end require 'leaving' ran = true",
  ]

  private func makeState() throws -> State {
    let state = try State()
    // Swallows the error of what it calls, as careless host code would.
    try state.setGlobal(
      "nested",
      .native(
        NativeFunction { call in
          guard case .function(let function) = try call.value(1) else { return }
          let error = #expect(throws: LuaError.self) { try function.call(call.count > 1 ? [try call.value(2)] : []) }
          #expect(error?.kind == .exit && error?.exitStatus == 3)
        }))
    return state
  }

  @Test(arguments: scripts) func endsTheScript(_ source: String) throws {
    let state = try makeState()
    for _ in 1...2 {
      let error = try state.failure(source)
      #expect(error.kind == .exit && error.exitStatus == 3, "\(error)")
      #expect(error.plainMessage == "the script ended itself with status 3")
      #expect(try state.text("return tostring(ran)") == "nil")
    }
  }

  @Test func statuses() throws {
    let state = try State()
    for (argument, status) in [("", 0), ("true", 0), ("false", 1), ("7", 7), ("0", 0), ("nil", 0), ("2.0", 2)] {
      #expect(try state.failure("os.exit(\(argument))").exitStatus == status)
    }
    #expect(try state.failure("os.exit('x')").kind == .runtime)
    #expect(try state.failure("pcall(os.exit, {}) os.exit(4)").exitStatus == 4)
    // A function that the host calls, and what it collects.
    guard case .function(let leave)? = try state.evaluate("function() os.exit(5) end").first else { return #expect(Bool(false)) }
    let error = try #require(throws: LuaError.self) { try leave.call() }
    #expect(error.kind == .exit && error.exitStatus == 5)
    try state.run(source: "setmetatable({}, {__gc = function() os.exit(6) end})")
    state.collect()
    #expect(try state.text("return 'usable'") == "usable")
  }
}

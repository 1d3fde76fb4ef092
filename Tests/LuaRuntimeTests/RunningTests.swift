// Running scripts: files, arguments, modules, and what is refused.
import Foundation
import Testing

@testable import LuaRuntime

@Suite struct RunningTests {
  /// A directory that goes away with its test.
  final class Folder {
    let path = NSTemporaryDirectory() + "luaruntime-" + UUID().uuidString
    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    func write(_ name: String, _ text: String) throws -> String {
      let file = path + "/" + name
      try Data(text.utf8).write(to: URL(fileURLWithPath: file))
      return file
    }
  }

  @Test func filesRunWithTheirArguments() throws {
    let folder = try Folder()
    let file = try folder.write(
      "a.lua",
      "#!/usr/bin/env moongrad\nlocal a, b = ...\nreturn a, b, arg[0], arg[1], #arg, select('#', ...)")
    let values = try State().run(file: file, arguments: ["x", "y z"])
    #expect(values.map { $0.stringValue ?? "\($0.integerValue ?? 0)" } == ["x", "y z", file, "x", "2", "2"])
  }

  @Test func errorsInFilesNameTheLine() throws {
    let folder = try Folder()
    let file = try folder.write("b.lua", "#! first\n\nerror('x')")
    let error = try #require(throws: LuaError.self) { try State().run(file: file) }
    #expect(error.position?.line == 3 && error.message.hasSuffix("b.lua:3: x"))
  }

  @Test func filesThatCannotRunSayWhy() throws {
    let folder = try Folder()
    let state = try State()
    func message(_ path: String) throws -> String {
      try #require(throws: LuaError.self) { try state.run(file: path) }.message
    }
    #expect(try message("/no/such.lua") == "cannot open /no/such.lua: no such file or directory")
    #expect(try message(folder.path) == "cannot run \(folder.path): it is a directory")
    let binary = try folder.write("c.lua", "\u{1B}Lua")
    #expect(try message(binary).contains("attempt to load a binary chunk"))
  }

  @Test(arguments: [
    "assert(load(string.dump(function() end)))",
    "assert(load(string.dump(function() end), 'x', 'b'))",
    "assert(load(string.dump(function() end), 'x', 'bt'))",
    "local s = string.dump(function() end) assert(load(function() local r = s s = nil return r end))",
    "assert(loadfile(binary))", "assert(loadfile(binary, 'b'))", "dofile(binary)", "require('binary')",
    "assert(loadfile(binary, 'bt', {}))",
  ])
  func binaryChunksAreRefused(_ source: String) throws {
    let folder = try Folder()
    let state = try State()
    try state.setGlobal("binary", .string(folder.path + "/binary.lua"))
    try state.run(
      source:
        "local f = io.open(binary, 'wb') f:write(string.dump(function() end)) f:close() package.path = '\(folder.path)/?.lua'"
    )
    let error = try #require(throws: LuaError.self) { try state.run(source: source) }
    #expect(error.message.contains("attempt to load a "), "\(error)")
  }

  @Test func textLoadsAsUsual() throws {
    let folder = try Folder()
    let file = try folder.write("module.lua", "local name, path = ... return {name, path}")
    let state = try State()
    try state.setGlobal("file", .string(file))
    try state.run(
      source: """
        package.path = '\(folder.path)/?.lua'
        local m = require 'module' assert(m[1] == 'module' and m[2] == file and require('module') == m)
        assert(load('return ...')(5) == 5 and load('x = 1', 'n', 't', {}) and not load('x = ', 'n'))
        local env = {} load('x = 1', 'n', nil, env)() assert(env.x == 1 and x == nil)
        assert(loadfile(file)('a', 'b')[2] == 'b' and dofile(file)[1] == nil)
        local parts = {'return ', '7'} assert(load(function() return table.remove(parts, 1) end)() == 7)
        assert(not pcall(load) and not pcall(load, {}) and select('#', load('')) == 1)
        assert(not pcall(require, 'absent') and select(2, pcall(require, 'absent')):find('no file', 1, true))
        """)
    var configuration = State.Configuration()
    configuration.allowsBinaryChunks = true
    try State(configuration).run(
      source: "assert(load(string.dump(function() return 3 end), 'x', 'b')() == 3)")
  }

  @Test func librariesAreChosen() throws {
    var configuration = State.Configuration()
    configuration.libraries = []
    let bare = try State(configuration)
    try bare.run(source: "assert(print and pcall and load and not string and not io and not package and not debug)")
    try bare.run(source: "assert(not load('\\27Lua') and load('return 1')() == 1)")
    configuration.libraries = [.string, .math]
    try State(configuration).run(source: "assert(('x'):rep(2) == 'xx' and math.pi and not os and not require)")
    try State().run(source: "assert(os and io and debug and require and utf8 and coroutine and package.loaded._G == _G)")
  }

  @Test func modulesAreFound() throws {
    let state = try State()
    try state.register(module: "ready", .record(["x": .integer(1)]))
    try state.register(
      module: "lazy",
      loader: NativeFunction { call in call.returns(Value.record(["name": .string(call.string(1) ?? "")])) })
    try state.run(
      source:
        "assert(require('ready').x == 1 and require('lazy').name == 'lazy' and require('lazy') == package.loaded.lazy)"
    )
  }

  @Test func globalsGoBothWays() throws {
    let state = try State()
    try state.setGlobal("x", .integer(5))
    #expect(try state.global("x").integerValue == 5)
    try state.run(source: "x = x + 1")
    #expect(try state.global("x").integerValue == 6)
    #expect(try state.global("nothing").integerValue == nil)
    try state.run(source: "setmetatable(_G, {__index = function(_, k) error('no global ' .. k) end})")
    #expect(throws: LuaError.self) { try state.global("nothing") }
  }

  @Test func functionsAreCalled() throws {
    let state = try State()
    let function = try state.load("local a, b = ... return a + b, a", chunkName: "=f")
    let values = try function.call(.integer(2), .number(0.5))
    #expect(values.first?.numberValue == 2.5 && values.last?.integerValue == 2)
    #expect(
      try #require(throws: LuaError.self) { try function.call(.string("x"), .nil) }.message.hasPrefix("f:1: ")
    )
  }

  @Test func aScriptMayCloseWhatItOpened() throws {
    let state = try State()
    try state.run(
      source: "closed = 0 local x <close> = setmetatable({}, {__close = function() closed = closed + 1 end})")
    _ = try? state.run(
      source: "local x <close> = setmetatable({}, {__close = function() closed = closed + 1 end}) error('x')")
    #expect(try state.global("closed").integerValue == 2)
  }
}

// The command as scripts and shells meet it.

import Glibc
import Testing

@Suite struct CommandTests {
  let folder = Folder()
  static let isSanitized = getenv("ASAN_OPTIONS") != nil || getenv("TSAN_OPTIONS") != nil

  @Test func argumentsReachTheScript() throws {
    let script = folder.write("a.lua", "print(arg[0], arg[1], arg[-1], select('#', ...), ...)")
    let result = try moongrad("--seed", "1", script, "x y", "--seed", "")
    #expect(result == Finished(status: 0, output: "\(script)\tx y\t1\t3\tx y\t--seed\t\n", errors: ""))
  }

  @Test func scriptsComeFromPipesAndFromTheCommandLine() throws {
    #expect(try moongrad(input: "print('piped', ...)").output == "piped\n")
    #expect(try moongrad("-", "a", input: "print('piped', ...)").output == "piped\ta\n")
    #expect(try moongrad("-e", "x = 2", "-l", "mg=moongrad", "-e", "print(x, mg.ones(2))").output == "2\ttensor([1., 1.])\n")
    #expect(try moongrad("-e", "print(1)", input: "print('not read')").output == "1\n")
  }

  @Test func errorsShowTheLineAndTheCalls() throws {
    let script = folder.write(
      "deep.lua", "#!/usr/bin/env moongrad\nlocal function inner(t)\n\treturn t.missing.field\nend\n\nprint('before')\ninner({})\n")
    let result = try moongrad(script)
    #expect(result.status == 1)
    #expect(result.output == "before\n")
    #expect(
      result.errors == """
        moongrad: \(script):3: attempt to index a nil value (field 'missing')
          3 |  return t.missing.field
            |           ^^^^^^^
        stack traceback:
          \(script):3: in local 'inner'
          \(script):7: in main chunk

        """)
  }

  @Test(arguments: [
    ("error('plain', 0)", "moongrad: plain\n"), ("error(nil)", "moongrad: (error object is a nil value)\n"),
    ("error({})", "moongrad: (error object is a table value)\n"), ("error(42)", "moongrad: 42\n"),
    ("error{code = 2}", "moongrad: {code = 2}\n"), ("local t = {1} t.t = t error(t)", "moongrad: {1, t = {…} (itself, 1 up)}\n"),
    ("error('a\\27[31mb\\0001\\7 \\u{9b}\\n\\tc', 0)", "moongrad: a\\27[31mb\\0001\\7 \\u{9b}\n\tc\n"),
    ("warn('\\27[31m')", "moongrad: warning: \\27[31m\n"),
    ("error(setmetatable({}, {__tostring = function() return 'custom' end}))", "moongrad: custom\n"),
    ("x = = 1", "moongrad: (command line):1: unexpected symbol near '='\n"),
    ("require 'nowhere'", "moongrad: (command line):1: module 'nowhere' not found:"),
    ("require('moongrad').ones(2, 3):mm(require('moongrad').ones(2))", "moongrad: (command line):1: mm: "),
  ])
  func everyErrorIsASentence(_ code: String, _ message: String) throws {
    let result = try moongrad("-e", code)
    #expect(result.status == (code.hasPrefix("warn") ? 0 : 1))
    #expect(result.errors.hasPrefix(message), "\(result.errors)")
  }

  /// A message may name any file; lines are shown of those that were loaded.
  @Test func linesOfOtherFilesAreNotShown() throws {
    let other = folder.write("other.txt", "secret\n")
    let module = folder.write("loaded.lua", "local text = 'shown'\n")
    let raise = "error('\(other):1: x', 0)"
    #expect(!(try moongrad("-e", raise).errors.contains("secret")))
    #expect(!(try moongrad(folder.write("s.lua", raise)).errors.contains("secret")))
    #expect(!(try moongrad("-e", "load('error([[x]])', '@\(other)')()").errors.contains("secret")))
    #expect(!(try moongrad("-e", "error('\(module):1: x', 0)").errors.contains("shown")))
    for load in ["require 'loaded'", "dofile '\(module)'", "loadfile '\(module)'"] {
      let code = "package.path = '\(folder.path)/?.lua' \(load) error('\(module):1: x', 0)"
      #expect(try moongrad("-e", code).errors.contains("shown"), "\(load)")
    }
  }

  @Test func namesAndCodeInAnyEncoding() throws {
    // The shell makes the bytes that are no text.
    let script = #"""
      cd "$1"; n=$(printf 'b\377'); mkdir "$n"; echo 'print "found"' > "$n/near.lua"
      echo 'require "near" print(arg[0]:byte(2), ("%s"):format(arg[1]):byte(1, -1))' > "$n/s.lua"
      "$2" "$n/s.lua" "$(printf '\376\200a')"; "$2" -e "$(printf 'print(("\377\376"):byte(1, -1))')"
      "$2" "$(printf '\377.lua')" || true
      """#
    let result = try run(["/bin/sh", "-c", script, "sh", folder.path, command])
    #expect(result.output == "found\n255\t254\t128\t97\n255\t254\n")
    #expect(result.errors == "moongrad: cannot open \u{fffd}.lua: no such file or directory\n")
  }

  @Test func scriptsBehindLinksFindTheirModules() throws {
    for name in ["link", "target"] { try run(["/bin/mkdir", folder.path + "/" + name]) }
    _ = folder.write("target/s.lua", "local far = require 'far' local near = require 'near' print(far, near)")
    _ = folder.write("target/far.lua", "return 'far'")
    _ = folder.write("target/near.lua", "return 'beside the target'")
    _ = folder.write("link/near.lua", "return 'beside the link'")
    try run(["/bin/ln", "-s", "../target/s.lua", folder.path + "/link/s.lua"])
    #expect(try moongrad(folder.path + "/link/s.lua").output == "far\tbeside the link\n")
  }

  @Test func aHomeThatIsNotThereStaysAway() throws {
    let home = folder.path + "/nobody"
    let terminal = try TerminalSession(environment: ["HOME": home])
    terminal.expect("> ")
    terminal.awaitEditing()
    #expect(terminal.enter("1 + 1") == "2")
    #expect(access(home, F_OK) != 0)
  }

  /// Where the process has no more memory, an error says so: whether tensors, the graph beside them, or Lua's own values take it.
  @Test(
    .disabled(if: CommandTests.isSanitized, "sanitizers need address space"),
    arguments: [
      "while true do t[#t + 1] = mg.ones(1000, 1000) end", "while true do t[#t + 1] = mg.ones(10) end",
      "while true do t[#t + 1] = {} end", "local y = mg.ones(1, { requires_grad = true }) while true do y = y * y end",
      "local s = 'x' while true do s = s .. s end",
    ])
  func memoryThatTheSystemDoesNotGive(_ body: String) throws {
    let code = """
      local mg = require 'moongrad' local t = {} local ok, message = pcall(function() \(body) end)
      t = nil collectgarbage() print(ok, message:find 'memory' ~= nil, mg.ones(100, 100):sum():item())
      """
    // Handles reserve up to an eighth of it, the program and its libraries 100 MB or more; the heap grows by 32 at a time.
    let result = try run(["/bin/sh", "-c", "ulimit -v 700000; exec \"$@\"", "sh", command, "-e", code])
    #expect(result == Finished(status: 0, output: "false\ttrue\t10000.0\n", errors: ""))
  }

  /// Graphviz is started without a shell; a program of that name stands in for it.
  @Test func drawingsByGraphviz() throws {
    let code = """
      local mg = require 'moongrad' local x = mg.ones(1, { requires_grad = true })
      print(pcall(mg.graph, x * 2, { format = 'svg' }))
      """
    func draw(_ program: String?, interruptedAfter delay: Double? = nil) throws -> Finished {
      var environment = ["PATH": folder.path]
      if let program {
        try run(["/bin/chmod", "+x", folder.write("dot", "#!/bin/sh\n" + program)])
        environment["PATH"]! += ":/bin:/usr/bin"
      }
      return try moongrad("-e", code, environment: environment, interruptedAfter: delay)
    }
    #expect(try draw(nil).output.contains("graph: drawing an SVG needs graphviz: its program 'dot' is not installed"))
    #expect(try draw("echo \"<svg $*>\"; cat").output.hasPrefix("true\t<svg -Tsvg>\ndigraph"))
    #expect(try draw("echo 'no good' >&2; exit 3").output.contains("its program 'dot' said: no good"))
    #expect(try draw("exit 3").output.contains("its program 'dot' failed"))
    let stopped = try draw("exec sleep 100", interruptedAfter: 1.5)
    #expect(stopped.status == 130)
  }

  @Test func deepTracebacksSayHowDeep() throws {
    let deep = "local function f(n) if n > 0 then return 1 + f(n - 1) end error('bottom') end f(1000)"
    #expect(try moongrad("-e", deep).errors.contains("skipping"))
    let shown = try moongrad("-i", input: deep + "\n").errors
    #expect(shown.contains("... (99"), "\(shown)")
  }

  @Test func filesThatCannotBeRun() throws {
    #expect(try moongrad("nowhere.lua").errors == "moongrad: cannot open nowhere.lua: no such file or directory\n")
    #expect(
      try moongrad(folder.path) == Finished(status: 1, output: "", errors: "moongrad: cannot run \(folder.path): it is a directory\n"))
  }

  @Test func wrongUsageIs64() throws {
    let result = try moongrad("--sed", "1")
    #expect(result.status == 64)
    #expect(result.errors.hasPrefix("moongrad: unknown option '--sed'\nusage: "))
  }

  @Test func exitInsideAScriptFlushes() throws {
    #expect(try moongrad("-e", "io.write('partial') os.exit(3)") == Finished(status: 3, output: "partial", errors: ""))
    #expect(try moongrad("-e", "io.write('closed') os.exit(true, true)") == Finished(status: 0, output: "closed", errors: ""))
  }

  @Test func scriptsReadTheirInput() throws {
    let script = folder.write("read.lua", "print(io.read('l'), io.read('n'), io.read('a'))")
    #expect(try moongrad(script, input: "first\n42 rest").output == "first\t42\t rest\n")
  }

  @Test func requireLooksBesideTheScript() throws {
    _ = folder.write("helper.lua", "return {name = 'beside'}")
    let script = folder.write("main.lua", "print(require('helper').name)")
    #expect(try moongrad(script).output == "beside\n")
    #expect(try moongrad("-e", "print(require('helper').name)", environment: ["LUA_PATH": folder.path + "/?.lua"]).output == "beside\n")
  }

  @Test func interruptStopsAScript() throws {
    let result = try moongrad("-e", "while true do pcall(function() while true do end end) end", interruptedAfter: 0.5)
    #expect(result.status == 130)
    #expect(result.errors.hasPrefix("moongrad: (command line):1: interrupted!\n"))
  }

  @Test func aReaderThatLeavesIsNoError() throws {
    let result = try run(["/bin/sh", "-c", "'\(command)' -e 'for i = 1, 1e6 do io.write(\"line\\n\") end' | head -n 1"])
    #expect(result == Finished(status: 0, output: "line\n", errors: ""))
  }

  @Test func aFullDiskIsAnError() throws {
    let result = try run(["/bin/sh", "-c", "'\(command)' -e 'print(1)' > /dev/full"])
    #expect(result == Finished(status: 1, output: "", errors: "moongrad: not everything could be written to standard output\n"))
  }

  @Test func settingsHoldFromTheStart() throws {
    #expect(try moongrad("--seed", "0", "-l", "mg=moongrad", "-e", "print(mg.rand(2))").output == "tensor([0.4963, 0.7682])\n")
    #expect(
      try moongrad("--deterministic", "-l", "mg=moongrad", "-e", "print(mg.rand(2), mg.get_num_threads())").output
        == "tensor([0.4963, 0.7682])\t1\n")
    #expect(try moongrad("--threads", "2", "-l", "mg=moongrad", "-e", "print(mg.get_num_threads())").output == "2\n")
  }

  @Test func referenceAndVersion() throws {
    #expect(try moongrad("--version").output.hasPrefix("Moongrad "))
    #expect(try moongrad("--help").output.hasPrefix("usage: moongrad"))
    #expect(try moongrad("doc", "nn.Linear").output.hasPrefix("nn.Linear(in_features, out_features"))
    #expect(try moongrad("doc", "x:sum", "mg.mm").output.contains("The product of two matrices."))
    #expect(
      try moongrad("doc", "nn.Linaer")
        == Finished(
          status: 1, output: "", errors: "moongrad: there is no documentation of 'nn.Linaer'; did you mean 'nn.Linear'?\n"))
  }

  @Test func theConsoleReadsPipesToo() throws {
    let result = try moongrad("-i", "-e", "y = 2", input: "y + 1\nlocal x = 3\nfor i = 1, 2 do\nprint(i + x)\nend\nnil + 1\n'after'\n")
    #expect(result.output == "3\n4\n5\nafter\n")
    #expect(result.errors == "error: [4]:1: attempt to perform arithmetic on a nil value\n")
    #expect(result.status == 1)
    #expect(try moongrad("-i", input: "1\n").status == 0)
  }
}

// The console, as a person uses it.

import Glibc
import Testing
@testable import MoongradCLI

@Suite struct LocalsTests {
  @Test(arguments: [
    ("local x = 1", " x = 1", ["x"]), ("local x", " x = nil", ["x"]), ("local x, y = f()", " x, y = f()", ["x", "y"]),
    ("local x <const>, y = 1, 2", " x , y = 1, 2", ["x", "y"]), ("local x <const>", " x  = nil", ["x"]),
    ("local function f() local y = 1 return y end", " function f() local y = 1 return y end", ["f"]),
    ("local x <close> = f()", "local x <close> = f()", []), ("local _ENV = {}", "local _ENV = {}", []),
    ("do local x = 1 end local z = 2", "do local x = 1 end  z = 2", ["z"]),
    ("for i = 1, 2 do local x = i end", "for i = 1, 2 do local x = i end", []),
    ("repeat local x = 1 until x local y", "repeat local x = 1 until x  y = nil", ["y"]),
    ("if a then local b = 1 elseif c then local d = 2 end", "if a then local b = 1 elseif c then local d = 2 end", []),
    ("f(function() local x = 1 end) local y = 'local z = 1'", "f(function() local x = 1 end)  y = 'local z = 1'", ["y"]),
    ("-- local x = 1\nlocal y = [[local\nz]]", "-- local x = 1\n y = [[local\nz]]", ["y"]),
    ("--[==[ ]] local x ]==] local y = \"\\\" local q\"", "--[==[ ]] local x ]==]  y = \"\\\" local q\"", ["y"]),
    ("locals = 1 my.local_ = 2", "locals = 1 my.local_ = 2", []), ("local", "local", []),
  ])
  func topLevelDeclarationsStay(_ source: String, _ rewritten: String, _ names: [String]) {
    let locals = Locals(source)
    #expect(locals.source == rewritten)
    #expect(locals.names == names)
  }
}

@Suite struct ConsoleTests {
  let folder = Folder()
  var state: [String: String] { ["XDG_STATE_HOME": folder.path, "XDG_CONFIG_HOME": folder.path] }

  private func open(_ arguments: String...) throws -> TerminalSession {
    let terminal = try TerminalSession(environment: state)
    terminal.expect("> ")
    terminal.awaitEditing()
    return terminal
  }

  @Test func valuesArePrinted() throws {
    let console = try open()
    #expect(console.enter("1 + 1") == "2")
    #expect(console.enter("_ * 10") == "20")
    #expect(console.enter("_, __") == "20\t2")
    #expect(console.enter("= 'text'") == "text")
    #expect(console.enter("7;") == "")
    #expect(console.enter("_") == "7")
    #expect(console.enter("x = 5") == "")
    #expect(console.enter("print(x)") == "5")
    #expect(console.enter("nil") == "nil")
    #expect(console.enter("mg.ones(2)") == "tensor([1., 1.])")
    #expect(console.enter("nn.Linear(2, 3)") == "Linear(in_features=2, out_features=3, bias=True)")
    #expect(console.enter("F.relu(mg.tensor{-1, 1}), optim ~= nil") == "tensor([0, 1])\ttrue")
  }

  @Test func tablesAreReadable() throws {
    let console = try open()
    #expect(console.enter("{3, 2, b = 1, a = 'x', [true] = {}}") == "{3, 2, a = \"x\", b = 1, [true] = {}}")
    #expect(console.enter("t = {} t.t = t") == "")
    #expect(console.enter("t") == "{t = {…} (itself, 1 up)}")
    #expect(console.enter("{mg.ones(2, 3), nn.ReLU()}") == "{Tensor float32 [2, 3], ReLU()}")
    #expect(console.enter("{{{{{{{1}}}}}}}") == "{{{{{{…}}}}}}")
    console.enter("l = {} for i = 1, 200 do l[i] = i end")
    let lines = console.enter("l").split(separator: "\n")
    #expect(lines.first == "{" && lines.last == "}")
    #expect(lines.allSatisfy { $0.count <= 100 })
    #expect(lines.joined().contains("… (100 more)"))
  }

  @Test func inputContinues() throws {
    let console = try open()
    console.enter("function double(x)", prompt: ">> ")
    console.enter("return 2 * x", prompt: ">> ")
    console.enter("end")
    #expect(console.enter("double(21)") == "42")
    console.enter("1 +", prompt: ">> ")
    #expect(console.enter("2") == "3")
    console.enter("s = [[a", prompt: ">> ")
    console.enter("b]]")
    #expect(console.enter("#s") == "3")
  }

  @Test func localsStay() throws {
    let console = try open()
    console.enter("local x, y <const> = 1, 2")
    console.enter("local function add(a) x = x + a return x end")
    #expect(console.enter("add(y)") == "3")
    #expect(console.enter("x") == "3")
    #expect(console.enter("_G.x") == "nil")
    console.enter("z = 1 local z = 2")
    #expect(console.enter("load('return z')()") == "nil")
  }

  @Test func errorsEndNothing() throws {
    let console = try open()
    console.enter("kept = 1")
    #expect(console.enter("x = = 3") == "error: [2]:1: unexpected symbol near '='")
    #expect(
      console.enter("mg.pi.field.more") == """
        error: [3]:1: attempt to index a number value (field 'pi')
          1 | mg.pi.field.more
            |    ^^
        """)
    console.enter("function f() error('inside') end")
    #expect(console.enter("f()").contains("stack traceback:\n  [C]: in function 'error'\n  [4]:1: in function 'f'\n  [5]:1: in main chunk"))
    #expect(console.enter("error{code = 3}") == "error: {code = 3}")
    #expect(console.enter("error(nil)") == "error: (error object is a nil value)")
    #expect(console.enter("mg.ones(2):mm(3)").hasPrefix("error: [8]:1: mm: "))
    #expect(console.enter("kept") == "1")
  }

  @Test func interruptKeepsVariables() throws {
    let console = try open()
    console.enter("kept = 'still here'")
    for loop in [
      "while true do end", "while true do pcall(function() while true do end end) end",
      "coroutine.wrap(function() while true do end end)()",
    ] {
      console.awaitEditing()
      console.type(loop + "\n")
      console.expect("\n")
      usleep(200_000)
      console.type("\u{3}")
      #expect(console.expect("\n> ").contains("interrupted!"))
    }
    console.awaitEditing()
    console.type("half a line\u{3}")
    console.expect("\n> ")
    #expect(console.enter("kept") == "still here")
    console.enter("for i = 1, 3 do", prompt: ">> ")
    console.awaitEditing()
    console.type("\u{3}")
    console.expect("\n> ")
    #expect(console.enter("kept") == "still here")
  }

  /// However often it is pressed, and wherever it strikes.
  @Test func manyInterruptsKeepTheSession() throws {
    let console = try open()
    console.enter("kept = 'still here'")
    for work in [
      "setmetatable({}, {__gc = function() while true do end end}) collectgarbage()",
      "for i = 1, 100 do setmetatable({}, {__gc = function() while true do pcall(function() while true do end end) end end}) end collectgarbage()",
      "while true do debug.sethook() end", "mg.linalg.svd(mg.randn(1500, 1500))", "while true do mg.randn(1000000):sort() end",
    ] {
      console.awaitEditing()
      console.type(work + "\n")
      console.expect("\n")
      usleep(200_000)
      for _ in 1...5 {
        console.type("\u{3}")
        usleep(1000)
      }
      console.expect("interrupted!")
      // Those that came after the end were for an empty line.
      usleep(200_000)
      console.awaitEditing()
      console.type("print(kept .. '!')\n")
      console.expect("still here!\n")
      console.expect("> ")
    }
  }

  @Test func leaving() throws {
    let first = try open()
    first.type("\u{4}")
    #expect(first.finish() == 0)
    let second = try open()
    second.type(":quit\n")
    #expect(second.finish() == 0)
    let third = try open()
    third.type("os.exit(7)\n")
    #expect(third.finish() == 7)
  }

  @Test func historyIsKeptAndRecalled() throws {
    let first = try open()
    first.enter("remembered = 1")
    first.enter("remembered + 41")
    first.awaitEditing()
    first.type("\u{4}")
    #expect(first.finish() == 0)
    #expect(folder.read("moongrad/history").contains("remembered"))
    let second = try open()
    second.enter("remembered = 2")
    second.awaitEditing()
    second.type("\u{1b}[A\u{1b}[A\n")  // up, up
    #expect(second.expect("\n> ").contains("43"))
    second.awaitEditing()
    second.type("\u{12}")  // Ctrl-R
    second.type("+ 4")
    second.type("\n")
    second.expect("\n43\n> ")
  }

  @Test func completion() throws {
    let console = try open()
    console.enter("value = {field_one = 42, __index = error}")
    console.awaitEditing()
    console.type("val\t.fi\t\n")
    #expect(console.expect("\n> ").contains("\n42\n"))
    console.enter("tensor_of_mine = mg.ones(2)")
    console.awaitEditing()
    console.type("tensor_of\t:numel\t()\n")
    #expect(console.expect("\n> ").contains("\n2\n"))
    console.awaitEditing()
    console.type("string.for\t('%d', 7)\n")
    #expect(console.expect("\n> ").contains("\n7\n"))
    console.enter("trap = setmetatable({}, {__index = function() print('ran') end})")
    console.awaitEditing()
    console.type("trap.x\t\t")
    usleep(100_000)
    console.type("\u{3}")
    #expect(!console.expect("\n> ").contains("ran"))
  }

  @Test func commands() throws {
    let console = try open()
    #expect(console.enter(":who") == "no variables yet")
    console.enter("x, name = mg.ones(2, 3), 'n'")
    console.enter("local net = nn.Linear(1, 1)")
    #expect(
      console.enter(":who") == """
        name  string  "n"
        net   Linear  Linear(in_features=1, out_features=1, bias=True)
        x     Tensor  float32 [2, 3], 24 bytes
        """)
    #expect(console.enter("?x") == "x: Tensor, float32 [2, 3], 24 bytes")
    #expect(console.enter("?net.weight") == "net.weight: Parameter, float32 [1, 1], 4 bytes")
    #expect(console.enter("?mg.nn").hasPrefix("mg.nn: table, "))
    #expect(console.enter("?mm").hasPrefix("mg.mm(input, mat2)"))
    #expect(console.enter("nn.Linear?").hasPrefix("nn.Linear(in_features"))
    #expect(console.enter("?mn").hasPrefix("error: there is no variable and no documentation 'mn'; did you mean"))
    let timed = console.enter(":time 1 + 1").split(separator: "\n")
    #expect(timed.first == "2" && timed.last?.hasSuffix("s") == true)
    #expect(console.enter(":timeit 1 + 1").contains(" at best, "))
    #expect(console.enter(":tiem 1") == "error: there is no command :tiem; did you mean :time?")
    let file = folder.write("loaded.lua", "local secret = 42\nshown = secret + 1")
    #expect(console.enter(":load \(file)") == "")
    #expect(console.enter("secret, shown") == "42\t43")
    #expect(console.enter(":load nowhere.lua") == "error: cannot open nowhere.lua: no such file or directory")
    #expect(console.enter(":help").contains(":who"))
  }

  @Test func scriptsReadFromTheTerminal() throws {
    let console = try open()
    console.type("io.read()\n")
    console.expect("\n")
    usleep(1_500_000)  // for the terminal to be the script's, on a busy machine too
    console.type("typed\n")
    #expect(console.expect("\n> ").contains("typed\ntyped\n"))
  }

  @Test func initialisationRunsFirst() throws {
    _ = try run(["/bin/mkdir", folder.path + "/moongrad"])
    _ = folder.write("moongrad/init.lua", "favourite = 7")
    let console = try open()
    #expect(console.enter("favourite") == "7")
    _ = folder.write("moongrad/init.lua", "favourite = = 7")
    let broken = try TerminalSession(environment: state)
    #expect(broken.expect("\n> ").contains("init.lua:1: unexpected symbol"))
    #expect(broken.enter("1") == "1")
  }

  @Test func scriptsThenConsole() throws {
    let file = folder.write("script.lua", "made = 'by the script'")
    let console = try TerminalSession("-i", file, environment: state)
    console.expect("> ")
    #expect(console.enter("made") == "by the script")
  }
}

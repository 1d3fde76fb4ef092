// Experiments by processes: the numbers of any number of workers, whatever becomes of a run, of the command, or of both.

import Glibc
import Moongrad
import Testing

@Suite struct ExperimentTests {
  /// A net with convolutions, after its parent used them on several threads; prints every number of every run.
  private static let training = """
    local mg = require "moongrad"
    local nn, F = mg.nn, mg.nn.functional
    mg.set_num_threads(3)
    mg.manual_seed(1)
    nn.Conv2d(8, 16, 3)(mg.randn(32, 8, 24, 24)):pow(2):mean():backward()
    local big = mg.randn(300, 300)
    big:mm(big)
    local loader = mg.data.DataLoader(mg.data.TensorDataset(mg.randn(200, 1, 6, 6), mg.randint(1, 4, { 200 })), { batch_size = 20, shuffle = true })
    for x in loader:iter() do break end
    mg.manual_seed(5)
    local result = mg.experiment {
      variants = { none = {}, frozen = { freeze = "0.*" }, slow = { lr = 0.01 } }, seeds = 4, workers = tonumber(arg[1]), save = arg[2],
      build = function() return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)) end,
      run = function(net, variant, seed)
        if arg[3] then io.stderr:write("run\\n") end
        print("begin", seed, math.random(1000))
        local opt, curve = mg.optim.Adam(net:parameters(), { lr = variant.lr or 0.05 }), {}
        for epoch = 1, 3 do
          for x, y in loader:iter() do
            local loss = F.cross_entropy(net(x), y)
            opt:zero_grad()
            loss:backward()
            opt:step()
            curve[#curve + 1] = loss:item()
          end
        end
        print("end", seed)
        return { loss = curve[#curve], curve = curve, weight = net[4].weight }
      end,
    }
    local function show(value)
      if type(value) == "number" then return ("%a"):format(value) end
      local parts = {}
      for _, part in ipairs(value) do parts[#parts + 1] = show(part) end
      return table.concat(parts, " ")
    end
    for _, row in ipairs(result.rows) do
      print(row.variant, row.seed, row.error)
      if row.metrics then print(show(row.metrics.loss), show(row.metrics.curve), show(row.metrics.weight)) end
    end
    print(mg.rand(1):item(), math.random(1 << 30), mg.get_num_threads())
    """

  @Test func numbersAreThoseOfAnyNumberOfWorkers() throws {
    let folder = Folder()
    let program = folder.write("train.lua", ExperimentTests.training.replacing("math.random(1 << 30)", with: "1"))
    let one = try run([command, program, "1"])
    #expect(one.status == 0 && one.errors == "", "\(one.errors)")
    #expect(one.output.split(separator: "\n").count == 24 + 24 + 1)
    for workers in [2, 5] {
      let several = try run([command, program, "\(workers)"])
      #expect(several == one, "\(workers) workers")
    }
  }

  /// Runs that were saved before a kill are not run again, and the end is as if there had been none.
  @Test func goesOnAfterKills() throws {
    let folder = Folder()
    let program = folder.write("train.lua", ExperimentTests.training.replacing("math.random(1 << 30)", with: "1"))
    let begin = ContinuousClock.now
    let whole = try run([command, program, "2", folder.path + "/whole", "tell"])
    let duration = begin.duration(to: .now) / .microseconds(1)
    #expect(whole.status == 0 && whole.errors.split(separator: "\n").count == 12, "\(whole.errors)")
    func numbers(_ finished: Finished) -> [Substring] {
      finished.output.split(separator: "\n").filter { !$0.hasPrefix("begin") && !$0.hasPrefix("end") }
    }
    var (kills, saved) = (0, 0)
    var random = SystemRandomNumberGenerator()
    let file = folder.path + "/runs"
    while kills < 6 {
      let child = try Spawned([command, program, "2", file]) { files in
        for number in 0...2 { posix_spawn_file_actions_addopen(&files, Int32(number), "/dev/null", O_RDWR, 0) }
      }
      usleep(UInt32.random(in: 0...UInt32(duration * 0.7), using: &random))
      kill(child.identifier, SIGKILL)
      kills += 1
      if child.wait() == 0 { break }
      let lines = folder.read("runs").split(separator: "\n").count
      #expect(lines >= saved, "what was saved is kept")
      saved = lines
    }
    let done = Set(folder.read("runs").split(separator: "\n").filter { $0.contains("\"metrics\"") && $0.hasSuffix("}}") }).count
    let last = try run([command, program, "2", file, "tell"])
    #expect(last.status == 0 && numbers(last) == numbers(whole))
    #expect(last.errors.split(separator: "\n").count == 12 - done, "\(done) were saved: \(last.errors)")
  }

  private func experiment(_ run: String, workers: Int = 3, seeds: Int = 3, after: String = "print(result)", input: String = "") throws
    -> Finished
  {
    try moongrad(
      "-e",
      """
      local mg = require "moongrad"
      result = mg.experiment { variants = { a = {} }, seeds = \(seeds), workers = \(workers), run = function(variant, seed)
        \(run)
      end }
      \(after)
      """, input: input)
  }

  @Test(arguments: [
    ("os.exit(3)", "its process was ended by itself, with status 3"),
    ("os.exit(true, true)", "its process was ended by itself, with status 0"),
    ("os.execute('kill -9 $PPID')", "its process was ended by signal 9 (killed)"),
    ("os.execute('kill -USR1 $PPID')", "its process was ended by signal 10"),
    ("error {}", "an error that is no text but a table"), ("error(nil)", "an error that is no text but nil"),
    ("error(setmetatable({}, { __tostring = function() error 'x' end }))", "an error that is no text but a table"),
    ("return { net = mg.nn.Linear(1, 1) }", "net is a Module"), ("coroutine.yield(1)", "attempt to yield"),
  ]) func aRunThatFails(_ body: String, _ problem: String) throws {
    let finished = try experiment("if seed == 2 then \(body) end return seed")
    #expect(finished.status == 0 && finished.output.contains("a        2, 1 failed  2 ± 1.414"), "\(finished)")
    #expect(finished.output.contains("failed: a, seed 2: ") && finished.output.contains(problem), "\(finished.output)")
  }

  /// What runs print stands in the order of the runs, whole, and once, as if they had gone one after the other.
  @Test func whatIsPrinted() throws {
    let folder = Folder()
    // The first run ends after the last one has printed all.
    let finished = try moongrad(
      "-e",
      """
      local mg = require "moongrad"
      local path = "\(folder.path)/"
      local file = io.open(path .. "parent", "w")
      file:write "of the parent\\n"
      io.write "before "
      mg.experiment { variants = { a = {} }, seeds = 3, workers = 3, run = function(_, seed)
        io.write(("begin %d "):format(seed))
        for i = 1, 2000 do io.write(("line %d of %d\\n"):format(i, seed)) end
        io.stderr:write(("error of %d\\n"):format(seed))
        io.open(path .. "runs", "a"):write(seed, "\\n")
        if seed == 3 then
          io.stdout:flush()
          io.open(path .. "go", "w"):close()
        end
        while seed == 1 and not io.open(path .. "go") do end
        io.write "unflushed "
        if seed == 3 then os.exit(0) end
        return seed
      end }
      file:close()
      print "after"
      """)
    let printed = (1...3).map { seed in "begin \(seed) " + (1...2000).map { "line \($0) of \(seed)\n" }.joined() + "unflushed " }
    #expect(finished.output == "before " + printed.joined() + "after\n")
    #expect(finished.errors == "error of 1\nerror of 2\nerror of 3\n")
    #expect(folder.read("parent") == "of the parent\n")
    #expect(folder.read("runs").split(separator: "\n").sorted() == ["1", "2", "3"])
  }

  /// More than a pipe holds, both of output and of answers, from many at once.
  @Test func muchAtOnce() throws {
    let finished = try experiment(
      "for i = 1, 30 do print(('x'):rep(10000)) end local t = {} for i = 1, 100000 do t[i] = i + seed / 3 end return { seed = seed, t = t }",
      workers: 8, seeds: 20, after: "for i, row in ipairs(result.rows) do assert(row.metrics.t[100000] == 100000 + i / 3) end print 'whole'"
    )
    #expect(finished.status == 0 && finished.output.hasSuffix("x\nwhole\n") && finished.output.utf8.count == 20 * 30 * 10001 + 6)
  }

  /// Within a run an experiment runs on its own; what a run starts and leaves behind is not waited for; nothing is read from the terminal.
  @Test func withinARun() throws {
    let nested = try experiment(
      """
      local inner = mg.experiment { variants = { x = {}, y = {} }, seeds = 2, workers = 4, run = function(_, s) return mg.rand(1):item() * seed + s end }
      return inner:mean("x", "value")
      """, after: "print(result:values('a', 'value')[3])")
    let alone = try experiment(
      """
      local inner = mg.experiment { variants = { x = {}, y = {} }, seeds = 2, workers = 4, run = function(_, s) return mg.rand(1):item() * seed + s end }
      return inner:mean("x", "value")
      """, workers: 1, after: "print(result:values('a', 'value')[3])")
    #expect(nested.status == 0 && nested.output == alone.output, "\(nested) \(alone)")
    let begin = ContinuousClock.now
    let behind = try experiment(
      "os.execute('sleep 20 >/dev/null 2>&1 &') os.execute('sleep 20 &') return seed", after: "print(#result.rows)")
    #expect(behind.output == "3\n" && begin.duration(to: .now) < .seconds(15), "\(behind)")
    let input = try experiment(
      "return { input = tostring(io.read 'a') }",
      after: "for _, row in ipairs(result.rows) do io.write(row.metrics.input, '|') end print(#io.read 'a')", input: "text")
    #expect(input.output == "|||4\n")
  }

  @Test func manySeeds() throws {
    let finished = try experiment("return mg.rand(1):item()", workers: 4, seeds: 1000, after: "print(#result.rows, result.rows[1000].seed)")
    #expect(finished.output == "1000\t1000\n", "\(finished)")
  }

  /// The processes that have an environment variable's text in their command line, apart from those that are over.
  private func living(_ mark: String) throws -> Int {
    let list = try run(["/bin/sh", "-c", "ps -eo stat,args | grep -v '^Z' | grep -v grep | grep -c -e \(mark) || true"])
    return Int(list.output.split(separator: "\n").first ?? "") ?? -1
  }

  /// Ctrl-C, a signal that ends the command, and one that nothing sees: no child is left.
  @Test(arguments: [SIGINT, SIGTERM, SIGKILL]) func noChildIsLeft(_ signal: Int32) throws {
    let folder = Folder()
    let program = folder.write(
      "endless.lua",
      """
      local mg = require "moongrad"
      mg.experiment { variants = { a = {} }, seeds = 5, workers = 3, run = function(_, seed)
        io.open("\(folder.path)/begun-" .. seed, "w"):close()
        while true do pcall(function() while true do end end) end
      end }
      """)
    let child = try Spawned([command, program]) { files in
      for number in 0...2 { posix_spawn_file_actions_addopen(&files, Int32(number), "/dev/null", O_RDWR, 0) }
    }
    for _ in 0..<500 where access(folder.path + "/begun-3", F_OK) != 0 { usleep(20_000) }
    #expect(try living(program) == 4)
    kill(child.identifier, signal)
    #expect(child.wait() == (signal == SIGINT ? 130 : 128 + signal))
    for _ in 0..<100 where try living(program) > 0 { usleep(20_000) }
    #expect(try living(program) == 0)
    #expect(access(folder.path + "/begun-4", F_OK) != 0)
  }

  /// At a terminal Ctrl-C reaches the children too, and the console goes on.
  @Test func theConsoleGoesOn() throws {
    let terminal = try TerminalSession()
    terminal.expect("> ")
    terminal.enter("mg = require 'moongrad'")
    terminal.awaitEditing()
    let folder = Folder()
    let begin = "local f = io.open('/proc/self/stat') local out = io.open('\(folder.path)/' .. s, 'w') out:write(f:read 'n') out:close()"
    terminal.type(
      "mg.experiment { variants = { a = {} }, seeds = 4, workers = 2, run = function(_, s) \(begin) while true do end end }\n")
    for _ in 0..<500 where folder.read("2").isEmpty || folder.read("1").isEmpty { usleep(20_000) }
    let children = [folder.read("1"), folder.read("2")].compactMap { pid_t($0) }
    #expect(children.count == 2 && children.allSatisfy { kill($0, 0) == 0 })
    terminal.type("\u{3}")
    terminal.expect("interrupted!")
    terminal.expect("> ")
    #expect(children.allSatisfy { kill($0, 0) != 0 })
    #expect(terminal.enter("1 + 1").contains("2"))
    #expect(
      terminal.enter(
        "mg.experiment({ variants = { a = {} }, seeds = 3, workers = 2, run = function(_, s) return s end }):mean('a', 'value')"
      ).contains("2.0"))
    terminal.awaitEditing()
    terminal.type("\u{4}")
    #expect(terminal.finish() == 0)
  }

  // MARK: Hosts

  private static let identifiers = """
    local mg = require "moongrad"
    local function id() local file <close> = io.open "/proc/self/stat" return math.tointeger(file:read "n") end
    local own = id()
    local result = mg.experiment { variants = { a = {} }, seeds = 3, workers = 3, progress = false, run = function(_, seed)
      if seed == 3 then error "no" end
      return { same = id() == own and 1 or 0, memory = #("x"):rep(10) }
    end }
    return #result:values("a", "same"), result:mean("a", "same"), result.rows[3].error
    """

  @Test func hostsAreNotForkedUnlessTheyAllowIt() throws {
    let closed: (Int, Double, String) = try Session().evaluate(ExperimentTests.identifiers)
    #expect(closed.0 == 2 && closed.1 == 1 && closed.2.hasSuffix("no"))
  }

  /// The limits of a session hold in a child, which ends with its run. By a process of its own, since this one has many threads.
  @Test func memoryLimits() throws {
    let session = try Session(.init(memoryLimit: 64 << 20, allowsProcesses: false))
    let problem: String = try session.evaluate(
      """
      require("moongrad").experiment({ variants = { a = {} }, seeds = 1, progress = false, run = function()
        local t = {}
        for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end
      end }).rows[1].error
      """)
    #expect(problem.contains("not enough memory"))
  }
}

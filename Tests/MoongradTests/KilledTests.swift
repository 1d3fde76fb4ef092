// A training run that is killed at any moment and goes on from its last checkpoint ends as one that was never killed, bit for bit.
//
// MOONGRAD_KILLS=100 asks for so many kills.

import Glibc
import Testing

@Suite struct KilledTests {
  /// Momentum, Adam and LBFGS with dropout, shuffling, batch statistics, clipping and schedulers; a checkpoint each few steps, most of them
  /// within a pass over the data. Prints what it came to.
  static let program = """
    local mg = require "moongrad"
    local nn, optim, F = mg.nn, mg.optim, mg.nn.functional
    local checkpoints = mg.Checkpointer(arg[1], { keep = 2, monitor = "loss" })
    local steps = tonumber(arg[2])

    mg.manual_seed(1)
    local x = mg.randn(64, 10)
    local y = x:select(2, 1):mul(2):sin():unsqueeze(2)
    local function make(options)
      local net = nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))
      local opt = options[1](net:parameters(), options[2])
      return { net = net, opt = opt, scheduler = options[3](opt) }
    end
    local schedulers = optim.lr_scheduler
    local runs = {
      momentum = make { optim.SGD, { lr = 0.05, momentum = 0.9, nesterov = true }, function(o) return schedulers.OneCycleLR(o, { max_lr = 0.1, total_steps = steps + 1 }) end },
      adam = make { optim.Adam, { lr = 0.01, amsgrad = true }, function(o) return schedulers.CosineAnnealingLR(o, { T_max = 9 }) end },
      lbfgs = make { optim.LBFGS, { lr = 0.3, max_iter = 3, history_size = 4 }, function(o) return schedulers.ReduceLROnPlateau(o, { patience = 2 }) end },
    }

    local loader = mg.data.DataLoader(mg.data.TensorDataset(x, y), { batch_size = 12, shuffle = true })
    local saved, step = checkpoints:load_latest()
    if saved then
      for name, run in pairs(runs) do
        for part, object in pairs(run) do object:load_state_dict(saved.runs[name][part]) end
      end
      loader:load_state_dict(saved.loader)
      mg.set_rng_state(saved.random)
    end
    step = step or 0
    while step < steps do
      for x, y in loader:iter() do
        step = step + 1
        local loss = {}
        for _, name in ipairs { "momentum", "adam", "lbfgs" } do
          local run = runs[name]
          local function closure()
            run.opt:zero_grad()
            local loss = F.mse_loss(run.net(x), y)
            loss:backward()
            nn.utils.clip_grad_norm_(run.net:parameters(), 5)
            return loss
          end
          loss[name] = run.opt:step(closure):item()
          run.scheduler:step(name == "lbfgs" and loss[name] or nil)
        end
        if step % 4 == 0 then
          local states = { runs = {}, loader = loader:state_dict(), random = mg.get_rng_state() }
          for name, run in pairs(runs) do
            states.runs[name] = {}
            for part, object in pairs(run) do states.runs[name][part] = object:state_dict() end
          end
          checkpoints:save(step, states, { loss = loss.adam })
        end
        if step >= steps then break end
      end
    end
    for _, name in ipairs { "momentum", "adam", "lbfgs" } do
      local run = runs[name]
      for key, value in pairs(run.net:state_dict()) do
        for _, number in ipairs(value:flatten():tolist()) do print(name, key, ("%a"):format(number)) end
      end
      print(name, run.opt.param_groups[1].lr)
    end
    """

  /// Reads every checkpoint in a folder.
  static let reading = """
    local mg = require "moongrad"
    local count = 0
    for name in io.popen("ls " .. arg[1]):lines() do
      if name:find "%.safetensors$" then
        mg.load(arg[1] .. "/" .. name)
        count = count + 1
      end
    end
    print(count)
    """

  @Test func endsAsIfItHadNotBeenKilled() throws {
    let folder = Folder()
    let program = folder.write("train.lua", KilledTests.program)
    let reading = folder.write("read.lua", KilledTests.reading)
    let wanted = getenv("MOONGRAD_KILLS").flatMap { Int(String(cString: $0)) } ?? 8
    // The release binary where there is one.
    let command = getenv("MOONGRAD_BINARY").map { String(cString: $0) } ?? command
    let steps = "60"
    let begin = ContinuousClock.now
    let whole = try run([command, program, folder.path + "/whole", steps])
    let duration = begin.duration(to: .now) / .microseconds(1)
    try #require(whole.status == 0, "\(whole.errors)")
    try #require(whole.output.split(separator: "\n").count > 700)

    var (kills, ends, checkpoints) = (0, 0, 0)
    var random = SystemRandomNumberGenerator()
    var runs = folder.path + "/runs-0"
    while kills < wanted {
      let output = folder.path + "/output"
      let child = try Spawned([command, program, runs, steps]) { files in
        posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&files, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        posix_spawn_file_actions_addopen(&files, 2, folder.path + "/errors", O_WRONLY | O_CREAT | O_TRUNC, 0o644)
      }
      // At any moment from its start to after the end of what a run takes that began at the beginning.
      usleep(UInt32.random(in: 0...UInt32(duration / 2), using: &random))
      kill(child.identifier, SIGKILL)
      let status = child.wait()
      if status == 128 + SIGKILL {
        kills += 1
        let read = try run([command, reading, runs])
        #expect(read.status == 0 || access(runs, F_OK) != 0, "a checkpoint that cannot be read: \(read.errors)")
        checkpoints += Int(read.output.split(separator: "\n").first ?? "") ?? 0
      } else {
        #expect(status == 0, "\(folder.read("errors"))")
        #expect(folder.read("output") == whole.output, "a run that was killed ended differently")
        ends += 1
        runs = "\(folder.path)/runs-\(ends)"  // the next one
      }
    }
    let last = try run([command, program, runs, steps])
    #expect(last.output == whole.output && last.status == 0, "\(last.errors)")
    // What killed writers left is gone since the last began.
    #expect(try run(["/bin/ls", runs]).output.contains(".part-") == false)
    print("\(kills) kills, \(ends + 1) runs to their end, \(checkpoints) checkpoints read in between")
  }
}

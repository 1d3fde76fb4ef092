// A game whose hare thinks in Lua: what a program does with Moongrad that has a loop of its own.
//
//     swift run --package-path scripts/host
//
// Swift keeps the world and the loop. A script has the policy, a net that learns from what Swift knows, and is changed while the game
// runs. Another script, of a player's, steers the fox in a sandbox, and does not come back from it one day. The numbers that the story
// tells are checked: the program ends with status 1 where one is not as it should be.

import Foundation
import Moongrad

@main struct Game {
  let world = World()
  let policy: Script
  /// Steers the fox; nil when it is out of the game.
  var mod: Script?

  /// The hare asks the policy at each tick, the fox the mod at every third one.
  mutating func play(ticks: Int) throws -> (eaten: Int, caught: Int) {
    let before = (eaten: world.eaten, caught: world.caught)
    for _ in 0..<ticks {
      if try policy.runIfChanged() {
        print("  tick \(world.ticks): the policy has changed, and is read again")
      }
      let move: Move = try policy.call("choose", world)
      world.tick(hare: move, fox: world.ticks.isMultiple(of: 3) ? steer() : nil)
    }
    return (world.eaten - before.eaten, world.caught - before.caught)
  }

  /// Whatever the mod does, the game goes on.
  private mutating func steer() -> Move? {
    do {
      return try mod?.call("steer", world)
    } catch {
      print("  tick \(world.ticks): the mod is out of the game: \((error as? LuaError)?.plainMessage ?? "\(error)")")
      mod = nil
      world.foxLeaves()
      return nil
    }
  }

  static func main() throws {
    // A copy of the scripts, one of which is changed below.
    let folder = FileManager.default.temporaryDirectory.appending(path: "moongrad-host-\(UUID())")
    try FileManager.default.copyItem(at: Bundle.module.bundleURL.appending(path: "Scripts"), to: folder)
    defer { try? FileManager.default.removeItem(at: folder) }
    let policyFile = folder.appending(path: "policy.lua")

    let session = try Session()
    try World.register(in: session) {
      $0.method("view", World.view)
      $0.method("isSafe", World.isSafe)
    }
    session.function("report") { (epoch: Int, loss: Double) in
      if epoch.isMultiple(of: 10) { print("  epoch \(epoch): loss \(String(format: "%.4f", loss))") }
    }
    let policy = try session.load(file: policyFile.path)
    try policy.run()
    var game = Game(policy: policy)

    print("1. A hare that has learnt nothing, alone for 100 ticks\n\(game.world.description)")
    let untrained = try game.play(ticks: 100)
    check("it eats next to nothing: \(untrained.eaten) carrots", untrained.eaten < 5)

    print("2. Swift knows every shortest way, and the script learns them")
    let lessons = try Lessons()
    let net: Module = try policy.value("net")
    let before = try lessons.score(net)
    try policy.call("train", lessons.views, lessons.moves, 30)
    let after = try lessons.score(net)
    check("best steps in \(Int(before)) % of \(lessons.best.count) situations before, in \(Int(after)) % now", before < 50 && after > 97)
    let trained = try game.play(ticks: 100)
    check("\(trained.eaten) carrots in 100 ticks", trained.eaten > 10)

    print("3. A fox joins, steered by a player's script that runs in a sandbox")
    let sandbox = try Session(.sandboxed(memory: .megabytes(16), time: .milliseconds(100)))
    try World.register(in: sandbox)
    game.mod = try sandbox.load(file: folder.appending(path: "fox.lua").path)
    try game.mod?.run()
    game.world.foxComes()
    let hunted = try game.play(ticks: 150)
    check("\(hunted.eaten) carrots in 150 ticks, and the hare is caught \(hunted.caught) times", hunted.caught > 0)

    print("4. Somebody edits the policy meanwhile: careful = true")
    let text = try String(contentsOf: policyFile, encoding: .utf8)
    try text.replacing("careful = false", with: "careful = true").write(to: policyFile, atomically: true, encoding: .utf8)
    let careful = try game.play(ticks: 150)
    check("\(careful.eaten) carrots in 150 ticks, caught \(careful.caught) times", careful.caught == 0 && careful.eaten > 5)

    print("5. The mod loops for ever, and catches the error that is to stop it")
    let start = ContinuousClock.now
    let free = try game.play(ticks: 100)
    check(
      "the game goes on: \(free.eaten) carrots in 100 ticks, which took \(ContinuousClock.now - start)",
      game.mod == nil && free.eaten > 5)

    print("6. What the net knows is saved, and another session goes on with it")
    let file = folder.appending(path: "hare.safetensors").path
    try Checkpoint.save(["net": net.checkpoint()], to: file)
    let later = try Session()
    let script = try later.load(file: policyFile.path)
    try script.run()
    let other: Module = try script.value("net")
    try other.load(Checkpoint.load(file)["net"])
    check("its net says the same, bit by bit", try net(lessons.views).equal(other(lessons.views)))
  }
}

/// One of the story's claims.
func check(_ claim: String, _ holds: Bool) {
  print("  \(holds ? "✓" : "✗") \(claim)")
  if !holds { exit(1) }
}

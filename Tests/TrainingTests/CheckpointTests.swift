// Checkpoints without Lua: states of modules, optimizers and schedulers go on, and the last and the best of a run are kept.

import Files
import Foundation
import Tensors
import Testing
import Training

@Suite struct CheckpointTests {
  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("moongrad-checkpoints-\(UUID())").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  /// A run of eight steps; one that begins with a checkpoint goes on from it.
  private func run(_ name: String, _ options: [String: OptionValue], at checkpoints: Checkpointer, resumes: Bool) throws -> [String] {
    manualSeed(4)
    let net = Sequential(try module("Linear", .integer(3), .integer(5)), try module("Tanh"), try module("Linear", .integer(5), .integer(1)))
    let (x, y) = (try Tensor.randn([12, 3]), try Tensor.randn([12, 1]))
    let kind = try #require(OptimizerCatalogue.kind(named: name))
    let optimizer = try kind.make([(net.namedParameters().map(\.tensor), [:])], options)
    let scheduler = try #require(SchedulerCatalogue.kind(named: "CosineAnnealingLR")).make(optimizer, ["T_max": 5])
    var first = 1
    if resumes {
      let (saved, entry) = try #require(try checkpoints.loadLatest())
      try net.load(saved["model"])
      try optimizer.load(saved["optimizer"])
      try scheduler.load(saved["scheduler"])
      first = entry.step + 1
    }
    for step in first...8 {
      let loss = try optimizer.step {
        try optimizer.zeroGrad()
        let difference: Tensor = try net(x) - y
        let loss = try (difference * difference).sum()
        try loss.backward()
        return loss
      }
      try scheduler.step()
      if step == 4, !resumes {
        try checkpoints.save(
          step: step, ["model": net.checkpoint(), "optimizer": try optimizer.checkpoint(), "scheduler": scheduler.checkpoint()],
          metrics: ["loss": try loss.item().real])
      }
    }
    return net.stateDict().map { "\($0.name) \(bits($0.tensor))" } + optimizer.groups.map { "\($0["lr"]!)" }
  }

  @Test(arguments: ["SGD", "Adam", "RMSprop", "LBFGS"]) func goesOn(_ name: String) throws {
    let options: [String: OptionValue] =
      name == "SGD"
      ? ["lr": .number(0.01), "momentum": .number(0.9)]
      : name == "Adam" ? ["lr": .number(0.01), "betas": .pair(0.8, 0.9)] : ["lr": .number(0.1)]
    try withFolder { folder in
      let checkpoints = try Checkpointer(folder)
      let whole = try run(name, options, at: checkpoints, resumes: false)
      #expect(try run(name, options, at: checkpoints, resumes: true) == whole)
    }
  }

  @Test func theLastAndTheBest() throws {
    try withFolder { folder in
      let checkpoints = try Checkpointer(folder, keep: 2, monitor: "accuracy", mode: .max)
      #expect(try checkpoints.latest() == nil && checkpoints.loadBest() == nil)
      for (step, accuracy) in [0.5, 0.9, 0.7, 0.6, 0.1].enumerated() {
        try checkpoints.save(step: step, .integer(step), metrics: ["accuracy": accuracy])
      }
      #expect(try checkpoints.entries().map(\.step) == [1, 2, 4])
      #expect(try checkpoints.latest()?.step == 4 && checkpoints.best()?.metrics == ["accuracy": 0.9])
      #expect(try checkpoints.loadBest()?.value.integer == 1)
      #expect(message { try checkpoints.save(step: 9, 1) }.contains("the metric 'accuracy'"))
      #expect(message { _ = try Checkpointer(folder, keep: 0) }.contains("at least one checkpoint must be kept"))
    }
  }

  @Test func whatDoesNotFit() throws {
    let net = try module("Linear", .integer(2), .integer(1))
    #expect(message { try net.load(3) } == "load: a table of tensors was expected, not 3")
    #expect(message { try net.load(["weight": 1, "bias": .tensor(try Tensor.ones([1]))]) }.contains("weight is no tensor but 1"))
    let optimizer = try optimizer("SGD", [try parameter([1])], ["lr": .integer(1)])
    #expect(message { try optimizer.load(["state": [:]]) }.hasPrefix("SGD.load: a table with 'state' and 'param_groups'"))
    #expect(message { try optimizer.load(["state": [:], "param_groups": [["params": ["x"]]]]) } == "SGD.load: params must be numbers")
  }
}

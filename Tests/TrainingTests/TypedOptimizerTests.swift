// Every optimizer and every scheduler is a type of Swift's too, which is what its kind is.

import Tensors
import Testing
import Training

@Suite struct TypedOptimizerTests {
  private static func optimizers(_ net: Module) throws -> [Optimizer] {
    [
      try SGD(net), try Adam(net), try AdamW(net), try NAdam(net), try RAdam(net), try Adamax(net), try RMSprop(net), try Adagrad(net),
      try Adadelta(net), try ASGD(net), try Rprop(net), try Adafactor(net), try Muon([net.namedParameters()[0].tensor]), try LBFGS(net),
    ]
  }

  @Test func everyKindHasAType() throws {
    let net = try Linear(2, 1)
    let typed = try Self.optimizers(net)
    #expect(Set(typed.map { "\(type(of: $0))" }) == Set(OptimizerCatalogue.kinds.map(\.name)))
    for optimizer in typed {
      let plain = try optimizer.kind.make([(optimizer.groups[0].parameters, [:])], [:])
      #expect("\(type(of: optimizer))" == optimizer.kind.name && optimizer.description == plain.description)
      for ((name, a), (_, b)) in zip(optimizer.defaultOptions, plain.defaultOptions) { #expect(a == b, "\(optimizer.kind.name): \(name)") }
    }
  }

  @Test func optionsReachTheKind() throws {
    let net = try Linear(2, 1)
    let optimizers: [(Optimizer, [String: OptionValue])] = [
      (
        try SGD(net, lr: 0.5, momentum: 0.9, dampening: 0.1, weightDecay: 0.2, maximize: true),
        [
          "lr": .number(0.5), "momentum": .number(0.9), "dampening": .number(0.1), "weight_decay": .number(0.2),
          "maximize": .boolean(true),
        ]
      ),
      (try Rprop(net, etas: (0.4, 1.3), stepSizes: (1e-3, 2)), ["etas": .pair(0.4, 1.3), "step_sizes": .pair(1e-3, 2)]),
      (try Adafactor(net, eps: (1e-20, 0.01)), ["eps": .tuple([.number(1e-20), .number(0.01)])]),
      (
        try LBFGS(net, maxIterations: 4, lineSearch: "strong_wolfe"),
        ["max_iter": .integer(4), "max_eval": .integer(5), "line_search_fn": .text("strong_wolfe")]
      ),
      (try Adagrad(net, lrDecay: 0.1, options: ["foreach": .boolean(true)]), ["lr_decay": .number(0.1), "foreach": .boolean(true)]),
      (
        try NAdam(net, momentumDecay: 0.1, decoupledWeightDecay: true),
        ["momentum_decay": .number(0.1), "decoupled_weight_decay": .boolean(true)]
      ),
    ]
    for (optimizer, options) in optimizers {
      for (name, value) in options { #expect(optimizer.groups[0][name] == value, "\(optimizer.kind.name): \(name)") }
    }
    #expect(throws: TensorError.self) { try SGD(net, lr: -1) }
    #expect(throws: TensorError.self) { try Adam(net, betas: (1, 1)) }
    #expect(throws: TensorError.self) { try Adam([Tensor]()) }
    #expect(throws: TensorError.self) { try Adam(net, options: ["no_such": .boolean(true)]) }
  }

  /// A closure computes the loss as often as the method asks.
  @Test func closures() throws {
    let w = try Tensor([3, -2] as [Float])
    try w.setRequiresGrad(true)
    let optimizer = try LBFGS([w], lineSearch: "strong_wolfe")
    for _ in 0..<3 {
      try optimizer.step {
        try optimizer.zeroGrad()
        let loss = try (w - 1).square().sum()
        try loss.backward()
        return loss
      }
    }
    #expect(try w.allClose(Tensor.ones([2]), atol: 1e-4))
  }

  private typealias Making = (name: String, make: (Optimizer) throws -> Scheduler, options: [String: SchedulerValue])
  nonisolated(unsafe) private static let schedulers: [Making] = [
    ("LambdaLR", { try LambdaLR($0) { 1 / Double($0 + 1) } }, ["lr_lambda": .function { 1 / Double($0 + 1) }]),
    ("MultiplicativeLR", { try MultiplicativeLR($0) { _ in 0.9 } }, ["lr_lambda": .function { _ in 0.9 }]),
    ("StepLR", { try StepLR($0, stepSize: 2, gamma: 0.5) }, ["step_size": 2, "gamma": 0.5]),
    ("MultiStepLR", { try MultiStepLR($0, milestones: [1, 4]) }, ["milestones": [1, 4]]),
    ("ConstantLR", { try ConstantLR($0, totalIterations: 3) }, ["total_iters": 3]),
    ("LinearLR", { try LinearLR($0, startFactor: 0.5) }, ["start_factor": 0.5]),
    ("ExponentialLR", { try ExponentialLR($0, gamma: 0.9) }, ["gamma": 0.9]),
    ("PolynomialLR", { try PolynomialLR($0, power: 2) }, ["power": 2]),
    ("CosineAnnealingLR", { try CosineAnnealingLR($0, tMax: 5, etaMin: 0.01) }, ["T_max": 5, "eta_min": 0.01]),
    ("CosineAnnealingWarmRestarts", { try CosineAnnealingWarmRestarts($0, t0: 2, tMult: 2) }, ["T_0": 2, "T_mult": 2]),
    (
      "OneCycleLR", { try OneCycleLR($0, maxLR: [0.4], totalSteps: 9, annealStrategy: .linear) },
      ["max_lr": [0.4], "total_steps": 9, "anneal_strategy": "linear"]
    ),
    (
      "CyclicLR", { try CyclicLR($0, baseLR: 0.1, maxLR: 1, stepSizeUp: 2, mode: .expRange, gamma: 0.9) },
      ["base_lr": 0.1, "max_lr": 1, "step_size_up": 2, "mode": "exp_range", "gamma": 0.9]
    ),
    ("SWALR", { try SWALR($0, swaLR: 0.05, annealEpochs: 3) }, ["swa_lr": 0.05, "anneal_epochs": 3]),
  ]

  @Test func everySchedulerHasAType() throws {
    for (name, make, options) in Self.schedulers {
      let (a, b) = (try SGD(Linear(2, 1), lr: 0.2, momentum: 0.9), try SGD(Linear(2, 1), lr: 0.2, momentum: 0.9))
      let typed = try make(a)
      let plain = try #require(SchedulerCatalogue.kind(named: name)).make(b, options)
      #expect("\(type(of: typed))" == name && typed.kind.name == name)
      for epoch in 0..<8 {
        #expect(a.groups[0]["lr"] == b.groups[0]["lr"] && a.groups[0]["momentum"] == b.groups[0]["momentum"], "\(name), epoch \(epoch)")
        try a.step()
        try b.step()
        try typed.step()
        try plain.step()
      }
    }
    let tested = Self.schedulers.map(\.name) + ["ReduceLROnPlateau", "SequentialLR", "ChainedScheduler"]
    #expect(Set(tested) == Set(SchedulerCatalogue.kinds.map(\.name)))
  }

  @Test func schedulersOfSchedulersAndOfNumbers() throws {
    let optimizer = try SGD(Linear(2, 1), lr: 1)
    func rate() -> Double { optimizer.groups[0]["lr"]?.number ?? .nan }
    let warming = try LinearLR(optimizer, startFactor: 0.5, totalIterations: 2)
    let falling = try ExponentialLR(optimizer, gamma: 0.5)
    let both = try SequentialLR(optimizer, [warming, falling], milestones: [2])
    var rates = [rate()]
    for _ in 0..<4 {
      try optimizer.step()
      try both.step()
      rates.append(rate())
    }
    #expect(rates == [0.5, 0.75, 1, 0.5, 0.25])
    let chained = try ChainedScheduler([ExponentialLR(optimizer, gamma: 0.5), ExponentialLR(optimizer, gamma: 0.5)])
    let before = rate()
    try chained.step()
    #expect(rate() == before / 4)
    let plateau = try ReduceLROnPlateau(optimizer, factor: 0.5, patience: 0, minLR: 1e-3)
    let start = rate()
    for loss in [1.0, 1.0] { try plateau.step(metric: loss) }
    #expect(rate() == start / 2)
    #expect(throws: TensorError.self) { try ChainedScheduler([]) }
    #expect(throws: TensorError.self) { try StepLR(optimizer, stepSize: 0) }
    #expect(throws: TensorError.self) { try SequentialLR(optimizer, [warming], milestones: [1, 2]) }
  }
}

// Low-rank adapters for hosts: which layers, what is computed against the formula, merging, copies, state, and a run that goes on.

import Files
import Foundation
import Tensors
import Testing
import Training

@Suite struct LowRankTests {
  private func net() throws -> Sequential {
    try Sequential(named: [("encoder", Sequential(Linear(3, 4), Activation.tanh(), Linear(4, 4))), ("head", Linear(4, 2))])
  }

  private func trained(_ module: Module) -> [String] { module.namedParameters().filter { $0.tensor.requiresGrad }.map(\.name) }

  private func draw(_ adapters: LowRankAdapters) throws {
    for (_, tensor) in adapters.namedParameters { try tensor.detach().normal() }
  }

  private func input() throws -> Tensor { try Tensor((0..<15).map { Double($0 * 7 % 5) - 2 }, shape: [5, 3]) }

  @Test func formula() throws {
    let layer = try Linear(3, 4)
    let x = try input()
    let before = try layer(x)
    let adapters = try layer.adapt(rank: 2, alpha: 6)
    #expect(bits(try layer(x)) == bits(before))
    #expect(trained(layer) == ["lora_A.weight", "lora_B.weight"])
    let adapter = try #require(layer.lowRankAdapter)
    #expect(adapter.rank == 2 && adapter.alpha == 6 && adapter.scale == 3 && adapter.dropout == 0)
    // A is uniform between ±1/√in, as a Linear's weight is; B is 0.
    let (a, b) = (adapter.parameters[0], adapter.parameters[1])
    #expect(a.shape.array == [2, 3] && b.shape.array == [4, 2])
    #expect(a.doubles.allSatisfy { abs($0) <= 1 / 3.0.squareRoot() } && Set(a.doubles).count == 6)
    #expect(b.doubles.allSatisfy { $0 == 0 })
    try draw(adapters)
    let update = try x.matmul(a.transpose(0, 1)).matmul(b.transpose(0, 1)) * 3
    expectClose(try layer(x).doubles, try (before + update).doubles, 1e-5, ofLargest: 1, "the update")
    try adapters.merge()
    expectClose(try withNoGrad { try layer(x) }.doubles, try (before + update).doubles, 1e-5, ofLargest: 1, "merged")
    #expect(adapter.isMerged)
    #expect(layer.description.hasPrefix("Linear(\n  in_features=3, out_features=4, bias=True, lora=(rank=2, alpha=6, merged)\n  (lora_A)"))
    adapters.unmerge()
    try adapters.remove()
    #expect(bits(try layer(x)) == bits(before) && layer.lowRankAdapter == nil)
    #expect(trained(layer) == ["weight", "bias"])
  }

  @Test func patterns() throws {
    let model = try net()
    #expect(try model.adapt("encoder.*", rank: 4, alpha: 8).layers.map(\.name) == ["encoder.0", "encoder.2"])
    #expect(trained(model).count == 6)
    #expect(
      "\(model.adapters)"
        == "low-rank adapters of rank 4, alpha 8: encoder.0 (Linear), encoder.2 (Linear); 70 of 106 numbers are trained (66.0 %)")
    #expect(message { try model.adapt(rank: 1) }.contains("encoder.0 has an adapter of rank 4 already"))
    #expect(model.adapters.layers.count == 2)
    #expect(message { try model.adapt("tail", rank: 1) }.contains("no parameter matches 'tail'"))
    #expect(message { try model.adapt(.modules([Activation.relu()]), rank: 1) }.contains("the ReLU is not in the Sequential"))
    let norm = try Sequential(named: [("norm", module("LayerNorm", .integers([3])))])
    #expect(message { try norm.adapt(rank: 1) }.contains("norm is a LayerNorm (weights of Linear, Embedding, Conv1d"))
    #expect(message { _ = try LowRankAdapters(norm, names: ["norm"]) }.contains("norm has no adapter any more"))
  }

  /// A weight of two layers takes both updates into copies of its own; one of a single layer stays the object that optimizers hold.
  @Test func foldingIn() throws {
    let (first, second) = (try Linear(3, 3), try Linear(3, 3))
    try second.set(parameter: "weight", first.weight)
    let tied = Sequential(first, second)
    let x = try input()
    let adapters = try tied.adapt(rank: 1)
    try draw(adapters)
    let expected = try tied(x).doubles
    try adapters.remove(merged: true)
    expectClose(try tied(x).doubles, expected, 1e-5, ofLargest: 1, "tied")
    #expect(first.weight !== second.weight && first.weight.requiresGrad && second.weight.requiresGrad)
    let (alone, weight) = (first, first.weight)
    let other = try alone.adapt(rank: 1)
    try draw(other)
    let last = try alone(x).doubles
    try other.remove(merged: true)
    expectClose(try alone(x).doubles, last, 1e-5, ofLargest: 1, "alone")
    #expect(alone.weight === weight)
  }

  @Test func copies() throws {
    let model = try net()
    let adapters = try model.adapt("encoder.0", rank: 2, dropout: 0.5)
    try draw(adapters)
    adapters.setEnabled(false)
    try adapters.merge()
    model.eval()
    let copy = try model.copied()
    #expect(copy.description == model.description && trained(copy) == trained(model))
    let x = try input()
    #expect(bits(try copy(x)) == bits(try model(x)))
    copy.adapters.setEnabled(true)
    #expect(bits(try copy(x)) != bits(try model(x)))
    adapters.setEnabled(true)
    #expect(bits(try copy(x)) == bits(try model(x)))
    try draw(copy.adapters)
    #expect(bits(try copy(x)) != bits(try model(x)))
    try copy.adapters.remove()
    #expect(trained(copy).count == 6 && model.adapters.layers.count == 1)
  }

  /// What is merged is what the tensors are now: after a step, another dtype, elements put in.
  @Test func mergedIsNeverStale() throws {
    let layer = try Linear(3, 4)
    let adapters = try layer.adapt(rank: 2)
    let adapter = try #require(layer.lowRankAdapter)
    try draw(adapters)
    try adapters.merge()
    let x = try input()
    func agrees(_ what: String) throws {
      let input = try x.to(layer.weight.dtype)
      let merged = try withNoGrad { try layer(input) }
      adapters.unmerge()
      let apart = try withNoGrad { try layer(input) }
      try adapters.merge()
      #expect(merged.dtype == layer.weight.dtype)
      expectClose(merged.doubles, apart.doubles, 1e-4, ofLargest: 1, what)
    }
    try agrees("at first")
    _ = try withNoGrad { try layer(x) }
    try adapter.parameters[1].detach().fill(.integer(1))
    try agrees("B")
    try layer.weight.detach().fill(.real(0.5))
    try agrees("the weight")
    try layer.to(.float64)
    try agrees("dtype")
    try layer.set(parameter: "weight", Tensor.zeros([4, 3], dtype: .float64).markParameter())
    try agrees("another weight")
    let step = try optimizer("SGD", adapter.parameters, ["lr": .number(0.5)])
    try layer(x.to(.float64)).square().sum().backward()
    try step.step()
    try agrees("a step")
  }

  @Test func state() throws {
    let (model, other) = (try net(), try net())
    try model.adapt("encoder.*", rank: 2, alpha: 3)
    try draw(model.adapters)
    try other.loadStateDict(model.stateDict(), strict: false)
    let state = try model.adapters.state
    #expect(
      state.map(\.name)
        == ["0", "2"].flatMap { place in ["lora_A.weight", "lora_B.weight", "lora_alpha"].map { "encoder.\(place).\($0)" } })
    #expect(try other.loadAdapters(state).layers.map(\.name) == ["encoder.0", "encoder.2"])
    let x = try input()
    #expect(bits(try other(x)) == bits(try model(x)) && trained(other) == trained(model))
    #expect(message { try other.loadAdapters(Array(state.dropFirst())) }.contains("encoder.0.lora_A.weight is missing"))
    #expect(message { try other.loadAdapters(Array(state.prefix(3))) }.contains("the adapter of encoder.2 is not among what was saved"))
  }

  /// A run with Adam that is stopped, saved to a file and begun anew ends with the bits of one that was not.
  @Test func resumed() throws {
    func start() throws -> (Module, Optimizer) {
      let model = try net()
      try model.freeze()
      let adapters = try model.adapt("*", rank: 2, dropout: 0.2)
      return (model, try optimizer("Adam", adapters.adapters.flatMap(\.parameters), ["lr": .number(0.05)]))
    }
    func train(_ model: Module, _ optimizer: Optimizer, _ steps: Int) throws {
      for _ in 0..<steps {
        try optimizer.zeroGrad()
        try model(input()).square().mean().backward()
        try optimizer.step()
      }
    }
    func seed(_ number: Int) { Generator.current.manualSeed(number) }
    seed(3)
    let (whole, first) = try start()
    try train(whole, first, 7)
    seed(3)
    let path = FileManager.default.temporaryDirectory.appending(path: "lora-\(UUID().uuidString).safetensors").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    var random = Generator.current.currentState
    do {
      let (model, optimizer) = try start()
      try train(model, optimizer, 3)
      random = Generator.current.currentState
      try Checkpoint.save(["model": model.checkpoint(), "optimizer": optimizer.checkpoint()], to: path)
    }
    try Context().run {
      seed(99)
      let (model, optimizer) = try start()
      let saved = try Checkpoint.load(path)
      try model.load(saved["model"])
      try optimizer.load(saved["optimizer"])
      Generator.current.currentState = random
      try train(model, optimizer, 4)
      #expect(trained(model) == trained(whole))
      for (a, b) in zip(model.stateDict(), whole.stateDict()) { #expect(a.name == b.name && bits(a.tensor) == bits(b.tensor)) }
    }
  }

  @Test func freezeStates() throws {
    let model = try net()
    try model.freeze("encoder.*", level: .full)
    let state = model.freezeState
    #expect(state.frozen.count == 4 && state.evaluation == ["encoder", "encoder.0", "encoder.1", "encoder.2"])
    let other = try net()
    try other.freeze("head.bias")
    try other.load(state)
    #expect(other.freezeState == state)
    other.train()
    #expect(try !other.submodule("encoder.0").isTraining && other.submodule("head").isTraining)
    #expect(message { try other.load(FreezeState(frozen: ["head.bais"], evaluation: [])) }.contains("did you mean 'head.bias'?"))
    #expect(other.freezeState == state)
  }
}

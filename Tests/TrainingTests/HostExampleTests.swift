// Training in plain Swift: what a program writes that imports Tensors and Training, and no Lua.

import Foundation
import Tensors
import Testing
import Training

/// A module of the program's own: what it holds are its children and parameters.
final class Residual: Model {
  let first, second: Linear
  let scale: Tensor

  init(_ width: Int) throws {
    first = try Linear(width, width)
    second = try Linear(width, width)
    scale = try Tensor.ones([1]).markParameter()
    super.init()
  }

  override func forward(_ x: Tensor) throws -> Tensor { try x + scale * second(first(x).relu()) }
}

@Suite struct HostExampleTests {
  /// The experiment that the project began with: the first layer frozen, the second learns.
  @Test func freezing() throws {
    manualSeed(0)
    let x = try Tensor.linspace(-1, 1, 100).unsqueeze(1)
    let y = try x.square() + 0.2 * Tensor.rand([100, 1])
    let net = Sequential(try Linear(1, 10), ReLU(), try Linear(10, 1))
    print(try net.freeze("0.*"))
    let before = try net.stateDict().map { try $0.tensor.clone() }

    let optimizer = try SGD(net, lr: 0.2)
    let loss = Loss.mse()
    var losses: [Double] = []
    for _ in 0..<100 {
      let value = try loss(net(x), y)
      try optimizer.zeroGrad()
      try value.backward()
      try optimizer.step()
      losses.append(try Double(value))
    }
    #expect(losses[99] < 0.5 * losses[0])
    let after = net.stateDict().map(\.tensor)
    #expect(try after[0].equal(before[0]) && after[1].equal(before[1]) && !after[2].equal(before[2]))
  }

  /// A classifier in batches, with a schedule, a metric, and a checkpoint from which another program goes on.
  @Test func classifier() throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "moongrad-\(UUID()).safetensors").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    manualSeed(1)
    // Three clouds in the plane.
    let centres: Tensor = [[0.0, 2], [2, -1], [-2, -1]]
    let labels = try Tensor((0..<300).map { $0 % 3 })
    let points = try centres.indexSelect(0, labels) + 0.5 * Tensor.randn([300, 2])
    let parts = try randomSplit(TensorDataset(points, labels), [0.8, 0.2])

    func makeNet() throws -> Sequential { Sequential(try Linear(2, 16), Tanh(), try Residual(16), try Linear(16, 3)) }
    let net = try makeNet()
    let optimizer = try AdamW(net, lr: 0.01)
    let scheduler = try CosineAnnealingLR(optimizer, tMax: 10)
    let loss = Loss.crossEntropy()
    for _ in 0..<10 {
      for batch in try DataLoader(parts[0], batchSize: 32, shuffle: true) {
        let value = try loss(net(batch[0]), batch[1])
        try optimizer.zeroGrad()
        try value.backward()
        try optimizer.step()
      }
      try scheduler.step()
    }

    func accuracy(_ net: Module) throws -> Double {
      let accuracy = try Accuracy()
      try withNoGrad {
        for batch in try DataLoader(parts[1], batchSize: 64) { try accuracy.update(net.eval()(batch[0]), batch[1]) }
      }
      return try Double(accuracy.compute())
    }
    #expect(try accuracy(net) > 0.95)

    try Checkpoint.save(
      ["net": net.checkpoint(), "optimizer": try optimizer.checkpoint(), "scheduler": scheduler.checkpoint()], to: path)
    let saved = try Checkpoint.load(path)
    let other = try makeNet()
    try other.load(saved["net"])
    #expect(try accuracy(other) == accuracy(net))
    let (laterOptimizer, x) = (try AdamW(other, lr: 0.01), try Tensor.randn([4, 2]))
    let laterScheduler = try CosineAnnealingLR(laterOptimizer, tMax: 10)
    try laterOptimizer.load(saved["optimizer"])
    try laterScheduler.load(saved["scheduler"])
    for (net, optimizer) in [(net, optimizer), (other, laterOptimizer)] {
      try optimizer.step {
        try optimizer.zeroGrad()
        let value = try loss(net(x), Tensor([0, 1, 2, 0]))
        try value.backward()
        return value
      }
    }
    #expect(try net(x).equal(other(x)))
  }

  @Test func modulesOfOnesOwn() throws {
    final class Tagged: Model {
      let inner: Residual
      var absent: Linear?
      let mean: Tensor
      let width = 4
      lazy var later = Identity()
      init() throws {
        inner = try Residual(4)
        mean = try Tensor.zeros([4])
        super.init()
      }
      override func forward(_ x: Tensor) throws -> Tensor { try inner(x - mean) }
    }
    let net = try Tagged()
    let names = ["inner.scale", "inner.first.weight", "inner.first.bias", "inner.second.weight", "inner.second.bias"]
    #expect(net.namedParameters().map(\.name) == names)
    #expect(net.stateDict().map(\.name).contains("mean") && net.kind == "Tagged" && net.inner.kind == "Residual")
    #expect(net.description.contains("(inner): Residual(") && net.description.contains("(first): Linear(in_features=4"))
    net.absent = try Linear(4, 4)
    _ = net.later
    #expect(net.children.map(\.name) == ["inner", "absent", "later"])
    #expect(try net(Tensor.ones([2, 4])).shape == [2, 4])
    #expect(try net.freeze("inner.first").entries.count == 2)
    net.train(false)
    #expect(!net.inner.second.isTraining)
  }

  @Test func numbersOfTensors() throws {
    let x: Tensor = [2.5]
    #expect(try Double(x) == 2.5 && Float(x) == 2.5 && Bool(x) && Int(Tensor([7])) == 7 && Int(Tensor([true])) == 1)
    #expect(throws: TensorError.self) { try Int(x) }
    #expect(throws: TensorError.self) { try Double(Tensor([1, 2])) }
  }
}

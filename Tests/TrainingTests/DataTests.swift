// Data sets and loaders from Swift. That orders are PyTorch's is tested through Lua (LuaTests/topics/loaders.lua).
import Tensors
import Testing
import Training

/// Squares, one by one.
private final class Squares: Dataset {
  let count = 5
  var failsAt: Int?

  func sample(_ position: Int) throws -> [Tensor] {
    if position == failsAt { throw TensorError(.argument, "Squares", "sample \(position) is gone") }
    return [try Tensor([Double(position), Double(position * position)])]
  }
}

@Suite struct DataTests {
  private func column(_ batches: DataLoader, _ number: Int = 0) throws -> [[Double]] { try batches.map { try $0[number].doubles } }

  @Test func aModelLearnsFromBatches() throws {
    try Context().run {
      manualSeed(0)
      let inputs = try Tensor.randn([128, 4])
      let labels = try inputs.select(1, 0).gt(0).to(.int64)
      let dataset = try TensorDataset(inputs, labels)
      let parts = try randomSplit(dataset, [0.75, 0.25])
      let net = Sequential(try Linear(4, 16), ReLU(), try Linear(16, 2))
      let optimizer = try Adam(net, lr: 0.01)
      let loss = Loss.crossEntropy()

      for _ in 0..<20 {
        for batch in try DataLoader(parts[0], batchSize: 16, shuffle: true) {
          try optimizer.zeroGrad()
          try loss(net(batch[0]), batch[1]).backward()
          try optimizer.step()
        }
      }

      for batch in try DataLoader(parts[1], batchSize: 32) {
        let right = try net(batch[0]).argmax(-1).eq(batch[1]).to(.float32).mean()
        #expect(try right.item().real > 0.8)
      }
    }
  }

  @Test func batchesOfSamples() throws {
    let loader = try DataLoader(Squares(), batchSize: 2)
    #expect(try loader.count == 3)
    #expect(try column(loader) == [[0, 0, 1, 1], [2, 4, 3, 9], [4, 16]])
    #expect(try column(DataLoader(Squares(), batchSize: nil)).count == 5)
    #expect(try column(DataLoader(Squares(), batchSize: 2, dropLast: true)).count == 2)
    let whole = try ConcatDataset([Subset(Squares(), [4, 1]), Squares()])
    #expect(try column(DataLoader(whole, batchSize: 3))[0] == [4, 16, 1, 1, 0, 0])
  }

  @Test func errorsAreThrownWhereTheBatchIsUsed() throws {
    let squares = Squares()
    squares.failsAt = 2
    let loader = try DataLoader(squares, batchSize: 2)
    var good = 0
    #expect(throws: TensorError.self) {
      for batch in loader {
        _ = try batch[0]
        good += 1
      }
    }
    #expect(good == 1)
    let pass = try loader.makePass()
    _ = try pass.next()
    #expect(throws: TensorError.self) { try pass.next() }
    #expect(throws: TensorError.self) { try Array(DataLoader(Squares()))[0][1] }
  }

  @Test func aPassGoesOnFromItsState() throws {
    let tensor = try Tensor.arange(.integer(0), .integer(20), .integer(1))
    for prefetch in [0, 3] {
      let generator = Generator()
      let loader = try DataLoader(TensorDataset(tensor), batchSize: 3, shuffle: true, generator: generator, prefetch: prefetch)
      let pass = try loader.makePass()
      for _ in 0..<2 { _ = try pass.next() }
      let state = try #require(try loader.state())
      var rest: [[Double]] = []
      while let batch = try pass.next() { rest.append(batch[0].doubles) }
      #expect(state.batches == 2)
      #expect(rest.count == 5)
      let other = try DataLoader(TensorDataset(tensor), batchSize: 3, shuffle: true, generator: Generator())
      other.load(state)
      #expect(try column(other) == rest)
      #expect(try column(other).count == 7)
    }
  }

  @Test func generatorsKeepTheirStreamsApart() throws {
    try Context().run {
      manualSeed(1)
      let expected = try Tensor.rand([3]).doubles
      manualSeed(2)
      let other = try Tensor.rand([3]).doubles
      manualSeed(2)
      let generator = Generator()
      generator.manualSeed(1)
      let own = try generator.drawing { try Tensor.rand([3]).doubles }
      #expect(own == expected)
      #expect(try Tensor.rand([3]).doubles == other)
      let state = try generator.stateTensor()
      let next = try generator.drawing { try Tensor.randn([3]).doubles }
      let copy = Generator()
      try copy.setState(state)
      let again = try copy.drawing { try Tensor.randn([3]).doubles }
      #expect(again == next)
      #expect(throws: TensorError.self) { try copy.setState(Tensor.zeros([5056])) }
    }
  }

  @Test func loadersThatCannotBe() throws {
    let dataset = try TensorDataset(Tensor.zeros([4, 2]), Tensor.zeros([4]))
    #expect(throws: TensorError.self) { try DataLoader(dataset, batchSize: 0) }
    #expect(throws: TensorError.self) { try DataLoader(dataset, batchSize: nil, dropLast: true) }
    #expect(throws: TensorError.self) { try DataLoader(dataset, shuffle: true, sampler: SequentialSampler(4)) }
    #expect(throws: TensorError.self) { try DataLoader(TensorDataset(Tensor.zeros([0, 2])), shuffle: true) }
    #expect(throws: TensorError.self) { try TensorDataset(Tensor.zeros([4]), Tensor.zeros([3])) }
    #expect(throws: TensorError.self) { try TensorDataset([]) }
    #expect(throws: TensorError.self) { try Subset(dataset, [4]) }
    #expect(throws: TensorError.self) { try WeightedRandomSampler([1, .nan], 1) }
    #expect(throws: TensorError.self) { try randomSplit(dataset, [0.5, 0.4]) }
    #expect(throws: TensorError.self) { try Array(DataLoader(dataset, sampler: ListSampler([9])))[0].tensors }
    #expect(try DataLoader(dataset, batchSampler: BatchSampler(RandomSampler(4), batchSize: 3)).map { try $0[0].shape[0] } == [3, 1])
  }

  /// The rows of batches that are read ahead outlive their tensors, and nothing of it stays.
  @Test func whatIsReadAheadIsGivenBack() throws {
    try Context().run {
      let before = Context.memoryUse.live
      for _ in 0..<50 {
        let tensor = try Tensor.randn([512, 64])
        let pass = try DataLoader(TensorDataset(tensor), batchSize: 64, prefetch: 4).makePass()
        let expected = try tensor.narrow(0, 0, 64).doubles
        tensor.free()
        #expect(throws: TensorError.self) { try pass.next() }
        let other = try Tensor.randn([512, 64])
        let second = try DataLoader(TensorDataset(other), batchSize: 64, prefetch: 4).makePass()
        let first = try second.next()![0].doubles
        other.free()
        #expect(first.count == expected.count)
      }
      #expect(Context.memoryUse.live == before)
    }
  }
}

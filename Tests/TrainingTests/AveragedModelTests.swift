// Copies of modules, and means of their weights.

import Tensors
import Testing
import Training

@Suite struct AveragedModelTests {
  /// Each class of the library has copies of its own tensors that compute the same.
  @Test(arguments: ModuleExample.all) func copies(_ example: ModuleExample) throws {
    manualSeed(0)
    let (module, call) = try example.sample.instance(of: example.kind)
    module.train(false)
    let next = try Tensor.rand([1]).doubles
    manualSeed(0)
    _ = try example.sample.instance(of: example.kind)
    let copy = try module.copied()
    #expect(try Tensor.rand([1]).doubles == next, "copying draws nothing")
    #expect(copy.description == module.description && copy.kind == module.kind && !copy.isTraining)
    for (own, theirs) in zip(copy.namedParameters(), module.namedParameters()) {
      #expect(own.name == theirs.name && own.tensor !== theirs.tensor && bits(own.tensor) == bits(theirs.tensor))
      #expect(own.tensor.isParameter && own.tensor.requiresGrad == theirs.tensor.requiresGrad)
    }
    let (found, expected) = (try copy(call), try module(call))
    #expect(zip(found, expected).allSatisfy { bits($0) == bits($1) })
  }

  @Test func means() throws {
    let net = Sequential(try Linear(1, 1, bias: false))
    let (mean, moving) = (try AveragedModel(net), try AveragedModel(net, by: AveragedModel.exponential(0.5)))
    for value in [1.0, 2, 6] {
      _ = try withNoGrad { try net.namedParameters()[0].tensor.fill(.real(value)) }
      try mean.update(from: net)
      try moving.update(from: net)
    }
    #expect(mean.count == 3 && mean.namedParameters().map(\.name) == ["module.0.weight"])
    #expect(mean.namedParameters()[0].tensor.doubles == [3] && moving.namedParameters()[0].tensor.doubles == [3.75])
    #expect(try mean(Tensor([2.0], shape: [1, 1])).doubles == [6])
    #expect(
      message { try mean.update(from: Linear(2, 1, bias: false)) }
        == "AveragedModel: the model has other tensors than the one that was copied")
  }
}

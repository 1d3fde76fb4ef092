// The law of costs: what a summary predicts of a step under any choice of frozen parameters is what is counted when it runs.

import Tensors
import Testing
import Training

@Suite struct ModuleCostTests {
  /// What is counted: multiplications of forward and backward, nodes of the graph, and bytes that they keep.
  private struct Counted: Equatable, CustomStringConvertible {
    var forward, backward, nodes, kept: Int
    var description: String { "forward \(forward), backward \(backward), nodes \(nodes), kept \(kept)" }
  }

  private func counted(_ module: Module, _ call: () throws -> [Tensor]) throws -> Counted {
    let (forward, backward) = (MultiplyAdds(), MultiplyAdds())
    let outputs = try forward.during(call).filter { $0.requiresGrad }
    let graph = try GraphWork(outputs, of: (module.namedParameters() + module.namedBuffers()).map(\.tensor)).recorded
    let seeds = try outputs.map { try Tensor.ones($0.shape, dtype: $0.dtype) }
    if !outputs.isEmpty { try backward.during { try Tape.backward(outputs, seeds) } }
    return Counted(forward: forward.count, backward: backward.count, nodes: graph.nodes, kept: graph.keptBytes)
  }

  private func predicted(_ cost: ModuleCost) -> Counted {
    Counted(forward: cost.forward, backward: cost.backward, nodes: cost.nodes, kept: cost.kept)
  }

  /// Modules whose graph is another one when some of it is frozen, so that what is not frozen does not tell.
  private static let otherGraphs: [String: String] = [:]

  @Test(arguments: ModuleExample.all) func predictsWhatIsCounted(_ example: ModuleExample) throws {
    manualSeed(0)
    let (module, call) = try example.sample.instance(of: example.kind, dtype: .float32)
    let parameters = module.namedParameters()
    // Every choice of up to 4 parameters; of more, each alone, each other, and halves.
    var choices: [[Bool]]
    if parameters.count <= 4 {
      choices = (0..<1 << parameters.count).map { choice in parameters.indices.map { choice >> $0 & 1 == 1 } }
    } else {
      choices = parameters.indices.map { one in parameters.indices.map { $0 == one } }
      choices += choices.map { $0.map(!) }
      choices += [parameters.map { _ in true }, parameters.map { _ in false }]
      choices += [1, 2].map { step in parameters.indices.map { $0 / step % 2 == 0 } }
    }
    for choice in choices {
      for (parameter, isTrained) in zip(parameters, choice) { try parameter.tensor.setRequiresGrad(isTrained) }
      manualSeed(1)
      let before = module.namedBuffers().map { bits($0.tensor) }
      let cost = try ModuleCost(of: module, arguments: call)
      #expect(module.namedBuffers().map { bits($0.tensor) } == before, "buffers moved")
      #expect(parameters.map(\.tensor.requiresGrad) == choice, "flags moved")
      // The same random numbers: nothing was drawn that stays drawn.
      let real = try counted(module) { try module(call) }
      let frozen = zip(parameters, choice).filter { !$0.1 }.map(\.0.name)
      #expect(predicted(cost) == real, "\(example) with \(frozen) frozen")
      if choice.allSatisfy({ $0 }) {
        #expect(cost.backwardUnfrozen == real.backward && cost.nodesUnfrozen == real.nodes && cost.keptUnfrozen == real.kept)
      }
      for (name, parameter) in parameters {
        #expect(parameter.requiresGrad || parameter.grad == nil, "\(name) is frozen and has a gradient")
      }
    }
  }

  /// A network of several layers, each of them named, with a shared one.
  @Test func layersAddUp() throws {
    manualSeed(0)
    let shared = try Linear(12, 12)
    let net = try Sequential(Linear(7, 12), shared, module("ReLU"), shared, Linear(12, 3))
    let x = try Tensor.randn([5, 7])
    try net.freeze("0.*")
    let cost = try ModuleCost(of: net, inputs: [x])
    #expect(cost.layers.map(\.name) == ["0", "1", "2", "4"])
    #expect(cost.layers.map(\.calls) == [1, 2, 1, 1])
    #expect(cost.layers.map(\.forward) == [5 * 7 * 12, 2 * 5 * 12 * 12, 0, 5 * 12 * 3])
    // The first use of the shared layer needs no gradient of its input.
    #expect(cost.layers.map(\.backward) == [0, 3 * 5 * 12 * 12, 0, 2 * 5 * 12 * 3])
    #expect(cost.layers.map(\.backwardUnfrozen) == [5 * 7 * 12, 4 * 5 * 12 * 12, 0, 2 * 5 * 12 * 3])
    #expect(cost.layers.map(\.backwardIfFrozenUpToHere) == [cost.backward, 5 * 12 * 3, 5 * 12 * 3, 0])
    #expect(cost.layers.map(\.outputs) == [[[5, 12]], [[5, 12]], [[5, 12]], [[5, 3]]])
    #expect(cost.layers.reduce(0) { $0 + $1.kept } == cost.kept && cost.layers.reduce(0) { $0 + $1.keptUnfrozen } == cost.keptUnfrozen)
    // In what follows everything is counted again, with more frozen: the prediction for it came true.
    for (layer, end) in zip(cost.layers, ["0.*", "1.*", "1.*", "4.*"]) {
      try net.freeze(.patterns([end]))
      let real = try counted(net) { [try net(x)] }
      #expect(real.backward == layer.backwardIfFrozenUpToHere)
    }
  }

  /// A frozen parameter's stale gradient, as one left by hand, is there afterwards.
  @Test func leavesGradients() throws {
    let net = try Linear(2, 2)
    try net.weight.setRequiresGrad(false)
    try net.weight.setGrad(Tensor.ones([2, 2]))
    _ = try ModuleCost(of: net, inputs: [Tensor.ones([1, 2])])
    #expect(net.weight.grad?.doubles == [1, 1, 1, 1])
    #expect(!net.weight.requiresGrad)
  }

  /// Errors of the model come through, and leave everything as it was.
  @Test func errors() throws {
    let net = try Sequential(Linear(2, 2), Linear(3, 3))
    try net.freeze("0.*")
    #expect(throws: TensorError.self) { try ModuleCost(of: net, inputs: [Tensor.ones([1, 2])]) }
    #expect(net.namedParameters().map(\.tensor.requiresGrad) == [false, false, true, true])
    #expect(net.forwardHooks.isEmpty && net.namedModules().allSatisfy { $0.module.forwardPreHooks.isEmpty })
  }
}

// Modules: printing, initial values, names, hooks, state, and what is refused.

import Tensors
import Testing
import Training

@Suite struct ModulePrintingTests {
  @Test func trees() throws {
    #expect(try Linear(3, 2).description == "Linear(in_features=3, out_features=2, bias=True)")
    let net = try Sequential(Linear(1, 10), Activation.relu(), Linear(10, 1))
    #expect(
      net.description == """
        Sequential(
          (0): Linear(in_features=1, out_features=10, bias=True)
          (1): ReLU()
          (2): Linear(in_features=10, out_features=1, bias=True)
        )
        """)
    #expect(
      try Sequential(named: [("a", Linear(1, 2)), ("b", Sequential(Linear(2, 2), Sequential(Activation.tanh())))]).description == """
        Sequential(
          (a): Linear(in_features=1, out_features=2, bias=True)
          (b): Sequential(
            (0): Linear(in_features=2, out_features=2, bias=True)
            (1): Sequential(
              (0): Tanh()
            )
          )
        )
        """)
    #expect(
      try ModuleList([Linear(1, 1), Linear(1, 1), Activation.relu()]).description == """
        ModuleList(
          (0-1): 2 x Linear(in_features=1, out_features=1, bias=True)
          (2): ReLU()
        )
        """)
    #expect(ModuleList().description == "ModuleList()")
  }

  /// Dimensions and entries print from the reader's base; counts and negative ones do not change.
  @Test func indexBase() throws {
    #expect(Flatten().description(indexBase: 1) == "Flatten(start_dim=2, end_dim=-1)")
    #expect(Sequential(Flatten()).description(indexBase: 1) == "Sequential(\n  (0): Flatten(start_dim=2, end_dim=-1)\n)")
    #expect(try module("Softmax", .integer(1)).description(indexBase: 1) == "Softmax(dim=2)")
    #expect(try module("LogSoftmax", .integer(-1)).description(indexBase: 1) == "LogSoftmax(dim=-1)")
    #expect(try module("Softmax").description(indexBase: 1) == "Softmax(dim=None)")
    #expect(try Embedding(10, 3, padding: -1).description(indexBase: 1) == "Embedding(10, 3, padding_idx=10)")
  }

  @Test func options() throws {
    #expect(try module("ReLU", .boolean(true)).description == "ReLU(inplace=True)")
    #expect(try module("ELU", .number(.real(1.5)), .boolean(true)).description == "ELU(alpha=1.5, inplace=True)")
    #expect(try module("Softplus", .number(.integer(2)), .number(.integer(10))).description == "Softplus(beta=2, threshold=10)")
    #expect(try module("Hardtanh", .number(.real(-2.5)), .number(.integer(2))).description == "Hardtanh(min_val=-2.5, max_val=2)")
    #expect(try module("GELU", .string("tanh")).description == "GELU(approximate='tanh')")
    #expect(try module("Dropout", .number(.real(0.25)), .boolean(true)).description == "Dropout(p=0.25, inplace=True)")
    #expect(try module("Identity").description == "Identity()")
    // Losses print no options, as PyTorch's do not.
    #expect(try module("SmoothL1Loss", .string("sum"), .number(.real(0.5))).description == "SmoothL1Loss()")
  }
}

@Suite struct InitialValueTests {
  /// From PyTorch, to the last bit of their 9 digits.
  @Test func linear() throws {
    manualSeed(0)
    let linear = try Linear(3, 2)
    let weight = [-0.00432251766, 0.309715837, -0.475185335, -0.424894601, -0.222368971, 0.154820725]
    #expect(linear.weight.doubles.map { Float($0) } == weight.map { Float($0) })
    #expect(linear.bias!.doubles.map { Float($0) } == [-0.0114391446, 0.457774937].map { Float($0) })
    #expect(linear.weight.isParameter && linear.bias!.isParameter)
    #expect(linear.weight.requiresGrad && linear.bias!.requiresGrad)
  }

  @Test func sequence() throws {
    manualSeed(0)
    let first = try Linear(2, 3), second = try Linear(3, 1)
    func floats(_ tensor: Tensor?) -> [Float] { tensor!.doubles.map { Float($0) } }
    #expect(floats(first.weight) == [-0.00529398117, 0.379322886, -0.581980765, -0.520387471, -0.272345245, 0.18961589])
    #expect(floats(first.bias) == [-0.0140100336, 0.560657501, -0.0627515167])
    #expect(floats(second.weight) == [0.152774125, -0.174482793, -0.11348708])
    #expect(floats(second.bias) == [-0.551570714])
  }

  @Test func embedding() throws {
    manualSeed(0)
    let values = [
      1.54099607, -0.293428898, -2.17878938, 0.568431258, -1.08452237, -1.39859545, 0.403346837, 0.838026345, -0.719257593,
      -0.403343529, -0.596635342, 0.182036489,
    ]
    expectClose(try Embedding(4, 3).weight.doubles, values, 1e-6, "embedding")
    manualSeed(0)
    let padded = try Embedding(4, 3, padding: -3).weight.doubles
    expectClose(padded, Array(values[..<3]) + [0, 0, 0] + values[6...], 1e-6, "padded embedding")
  }

  @Test func double() throws {
    let linear = try Linear(3, 2, dtype: .float64)
    #expect(linear.weight.dtype == .float64 && linear.bias!.dtype == .float64)
    #expect(linear.weight.doubles.allSatisfy { $0.magnitude <= 1 / 3.0.squareRoot() })
  }

  @Test func emptyAndImpossible() throws {
    #expect(try Linear(0, 2).bias!.doubles == [0, 0])
    #expect(try Linear(2, 0)(Tensor.zeros([5, 2])).shape == [5, 0])
    #expect(message { _ = try Linear(-1, 2) } == "Linear: size -1 of dimension 1 is negative")
    #expect(message { _ = try Embedding(2, 3, padding: 2) } == "Embedding: padding_idx 2 is not one of the 2 entries")
  }
}

@Suite struct ModuleContentsTests {
  @Test func names() throws {
    let net = try Net()
    #expect(net.namedParameters().map(\.name) == ["hidden.weight", "hidden.bias", "predict.weight", "predict.bias"])
    #expect(net.namedParameters().map(\.tensor.shape) == [[10, 1], [10], [1, 10], [1]])
    #expect(net.namedParameters(prefix: "net").first!.name == "net.hidden.weight")
    #expect(net.namedModules().map(\.name) == ["", "hidden", "predict"])
    #expect(try Linear(2, 2, bias: false).namedParameters().map(\.name) == ["weight"])
    let deep = try Sequential(Net(), Sequential(Linear(1, 1)))
    #expect(deep.namedModules().map(\.name) == ["", "0", "0.hidden", "0.predict", "1", "1.0"])
    #expect(deep.namedParameters().last!.name == "1.0.bias")
  }

  /// A tensor or module under two names is one parameter, but two entries of a state.
  @Test func shared() throws {
    let a = try Linear(2, 2), b = try Linear(2, 2)
    try b.set(parameter: "weight", a.weight)
    let tied = Sequential(a, b)
    #expect(tied.namedParameters().map(\.name) == ["0.weight", "0.bias", "1.bias"])
    #expect(tied.stateDict().map(\.name) == ["0.weight", "0.bias", "1.weight", "1.bias"])
    let twice = Sequential(a, a)
    #expect(twice.namedParameters().map(\.name) == ["0.weight", "0.bias"])
    #expect(twice.namedModules().map(\.name) == ["", "0"])
    #expect(twice.stateDict().map(\.name) == ["0.weight", "0.bias", "1.weight", "1.bias"])
  }

  @Test func replacing() throws {
    let linear = try Linear(3, 2)
    try linear.set(parameter: "bias", nil)
    #expect(linear.description == "Linear(in_features=3, out_features=2, bias=False)")
    try linear.set(parameter: "weight", parameter([1, 2, 3, 4]))  // shapes are not checked, as in PyTorch
    #expect(
      message { _ = try linear(Tensor.zeros([5, 3])) }
        == "Linear: an input of shape [5, 3] does not fit the weight of shape [4]: its last size must be in_features = 3")
    #expect(message { try linear.set(parameter: "weight", nil) } == "Linear: the parameter weight cannot be absent")
    #expect(message { try linear.set(parameter: "wieght", nil) } == "Linear: there is no parameter wieght; there is weight, bias")
    #expect(
      message { try linear.set(parameter: "bias", Tensor([1, 2] as [Int])) }
        == "Linear: the parameter bias must be float32 or float64, got a tensor of int64")
    #expect(message { try Identity().set(parameter: "weight", nil) } == "Identity: there is no parameter weight")
  }

  @Test func modes() throws {
    let net = try Sequential(Linear(2, 2), Sequential(Dropout()))
    net.train(false)
    #expect(net.namedModules().allSatisfy { !$0.module.isTraining })
    net.train()
    #expect(net.namedModules().allSatisfy { $0.module.isTraining })
    var order: [String] = []
    net.apply { order.append($0.kind) }
    #expect(order == ["Linear", "Dropout", "Sequential", "Sequential"])
    try net.requiresGrad(false)
    #expect(net.namedParameters().allSatisfy { !$0.tensor.requiresGrad })
    #expect(try !net(Tensor.ones([1, 2])).requiresGrad)
  }

  @Test func gradients() throws {
    let net = try Net()
    try net(Tensor.ones([3, 1])).sum().backward()
    #expect(net.namedParameters().allSatisfy { $0.tensor.grad != nil })
    try net.zeroGrad(setToNone: false)
    #expect(net.namedParameters().allSatisfy { $0.tensor.grad!.doubles.allSatisfy { $0 == 0 } })
    try net.zeroGrad()
    #expect(net.namedParameters().allSatisfy { $0.tensor.grad == nil })
    // A gradient with a history is replaced rather than written to.
    let p = try parameter([3])
    try (p * p).sum().backward(options: BackwardOptions(createGraph: true))
    let gradient = p.grad!
    try Sequential().zeroGrad()
    let one = try Linear(1, 1)
    try one.set(parameter: "weight", p)
    try one.zeroGrad(setToNone: false)
    #expect(gradient.doubles == [6] && p.grad!.doubles == [0])
  }
}

@Suite struct HookTests {
  @Test func seeAndReplace() throws {
    let linear = try Linear(1, 1)
    var log: [String] = []
    let plain = try linear(Tensor([1.0]))
    linear.addForwardPreHook { _, inputs in
      log.append("before \(inputs.count)")
      return [try inputs[0] * 0.0]
    }
    let last = linear.addForwardHook { module, inputs, outputs in
      log.append("after \(module.kind) \(inputs[0].doubles)")
      return [try outputs[0] + 10.0]
    }
    #expect(try linear(Tensor([1.0])).doubles == [linear.bias!.doubles[0] + 10].map { Double(Float($0)) })
    #expect(log == ["before 1", "after Linear [0.0]"])
    linear.removeForwardHook(last)
    linear.removeForwardHook(last)
    #expect(try linear([Tensor([1.0])])[0].doubles == linear.bias!.doubles)
    linear.removeForwardPreHook(linear.forwardPreHooks[0].id)
    #expect(try linear(Tensor([1.0])).doubles == plain.doubles)
  }

  /// Ids are not used again, so that removing a hook twice removes no other.
  @Test func ids() throws {
    let module = Identity()
    let first = module.addForwardHook { _, _, _ in nil }
    let second = module.addForwardHook { _, _, _ in nil }
    module.removeForwardHook(first)
    let third = module.addForwardHook { _, _, _ in nil }
    #expect(Set([first, second, third]).count == 3)
    #expect(module.forwardHooks.map(\.id) == [second, third])
    module.removeForwardHook(third)
    #expect(module.addForwardHook { _, _, _ in nil } != third)
  }

  @Test func losses() throws {
    let loss = Loss.mse()
    loss.addForwardHook { _, inputs, _ in [inputs[1]] }
    #expect(try loss(Tensor([1.0]), Tensor([5.0])).doubles == [5])
    loss.addForwardHook { _, _, _ in [] }
    #expect(
      message { _ = try loss(Tensor([1.0]), Tensor([5.0])) } == "MSELoss: one output was expected, a hook made it 0")
  }
}

@Suite struct ModuleStateTests {
  @Test func roundTrip() throws {
    let source = try Net(), target = try Net()
    let result = try target.loadStateDict(source.stateDict())
    #expect(result.missing.isEmpty && result.unexpected.isEmpty)
    for (a, b) in zip(source.namedParameters(), target.namedParameters()) {
      #expect(bits(a.tensor) == bits(b.tensor) && a.tensor !== b.tensor && b.tensor.requiresGrad && b.tensor.isLeaf)
    }
    // The state shares the elements, so a copy must be made of it before more training; and it is outside the graph.
    #expect(source.stateDict().allSatisfy { !$0.tensor.requiresGrad })
    _ = try withNoGrad { try source.hidden.bias!.fill(.integer(7)) }
    #expect(source.stateDict()[1].tensor.doubles == Array(repeating: 7, count: 10))
  }

  @Test func misfits() throws {
    let net = try Net()
    let before = net.namedParameters().map { bits($0.tensor) }
    var state = try Net(1, 5).stateDict()
    state.removeLast()
    state.append(("predict.scale", try Tensor([1.0])))
    #expect(
      message { try net.loadStateDict(state) } == """
        load_state_dict: Net does not fit: missing predict.bias; unexpected predict.scale; hidden.weight has shape [10, 1] here \
        and [5, 1] in the state; hidden.bias has shape [10] here and [5] in the state; predict.weight has shape [1, 10] here and \
        [1, 5] in the state
        """)
    #expect(net.namedParameters().map { bits($0.tensor) } == before)
    let loose = try net.loadStateDict([("hidden.bias", Tensor.zeros([10])), ("more", Tensor([1.0]))], strict: false)
    #expect(loose.missing == ["hidden.weight", "predict.weight", "predict.bias"] && loose.unexpected == ["more"])
    #expect(net.hidden.bias!.doubles == Array(repeating: 0, count: 10))
  }

  @Test func dtypes() throws {
    let net = try Linear(1, 1)
    try net.loadStateDict([("weight", Tensor([[1.5]], dtype: .float64)), ("bias", Tensor([2.5], dtype: .float64))])
    #expect(net.weight.dtype == .float32 && net.weight.doubles == [1.5])
  }

  @Test func lossWeights() throws {
    let loss = try module("CrossEntropyLoss", .tensor(Tensor([1.0, 2, 3])))
    #expect(loss.namedBuffers().map(\.name) == ["weight"] && loss.namedParameters().isEmpty)
    #expect(loss.stateDict().map(\.name) == ["weight"])
  }
}

@Suite struct ModuleFieldTests {
  /// An assigned field is what the next call computes with; an impossible one leaves everything as it was.
  @Test func assigning() throws {
    func set(_ module: Module, _ name: String, _ value: ModuleField) throws {
      let write = try #require(ModuleCatalogue.kind(of: module)?.writers[name])
      try write(module, value)
    }
    let leaky = try module("LeakyReLU")
    try set(leaky, "negative_slope", .number(0.5))
    #expect(try leaky(Tensor([-2.0])).doubles == [-1] && leaky.description == "LeakyReLU(negative_slope=0.5)")
    let gelu = try module("GELU")
    #expect(message { try set(gelu, "approximate", .string("fast")) }.hasPrefix("GELU: approximate must be"))
    #expect(message { try set(gelu, "approximate", .number(1)) } == "GELU: 1.0 is no value for approximate")
    #expect(gelu.description == "GELU(approximate='none')")
    let softmax = try module("Softmax", .integer(0))
    try set(softmax, "dim", .none)
    #expect(softmax.description == "Softmax(dim=None)")
    try set(softmax, "dim", .index(1))
    #expect(softmax.description == "Softmax(dim=1)")
    let loss = try module("NLLLoss", .tensor(Tensor([1.0, 0])))
    try set(loss, "weight", .none)
    #expect(loss.namedBuffers().isEmpty)
    let dropout = try Dropout()
    #expect(message { try set(dropout, "p", .number(-1)) }.hasPrefix("Dropout: p must be a probability"))
    try set(dropout, "p", .integer(0))
    #expect(dropout.p == 0)
  }

  /// Fields are those of a class, not of a name: others are refused, not mistaken.
  @Test func classesOfTheHost() throws {
    final class Mine: Module {
      init() { super.init(kind: "Dropout") }
    }
    let kind = try #require(ModuleCatalogue.kind(named: "Dropout"))
    #expect(try ModuleCatalogue.kind(of: Dropout())?.name == "Dropout" && ModuleCatalogue.kind(of: Mine()) == nil)
    #expect(message { _ = try kind.fields[0].read(Mine()) } == "Dropout: a Mine named Dropout has not the fields of Dropout")
    #expect(message { try kind.writers["p"]?(Mine(), .number(0)) } == "Dropout: a Mine named Dropout has not the fields of Dropout")
    let softmax = try #require(ModuleCatalogue.kind(named: "Softmax"))
    #expect(message { _ = try softmax.fields[0].read(Activation.relu()) } == "ReLU: there is no option dim")
    #expect(message { _ = try softmax.fields[0].read(Linear(1, 1)) } == "Softmax: a Linear named Linear has not the fields of Softmax")
  }
}

@Suite struct ModuleInputTests {
  /// What holds labels or positions says so, since scripts count them from 1.
  @Test func kinds() throws {
    #expect(try Linear(1, 1).inputs.map(\.name) == ["input"] && Linear(1, 1).positionInput == -1)
    #expect(Loss.mse().inputs.map(\.name) == ["input", "target"] && Loss.mse().positionInput == -1)
    #expect(Loss.crossEntropy().positionInput == 1)
    #expect(try module("NLLLoss").positionInput == 1 && Embedding(2, 2).positionInput == 0)
  }
}

@Suite struct ModuleErrorTests {
  @Test func arguments() throws {
    #expect(
      message { _ = try Linear(3, 2)(Tensor.zeros([5, 2])) }
        == "Linear: an input of shape [5, 2] does not fit the weight of shape [2, 3]: its last size must be in_features = 3")
    // Within another module, an error has the layer's name there.
    let nested = Sequential(Activation.relu(), Sequential(try Linear(3, 2)))
    #expect(message { _ = try nested(Tensor.zeros([5, 2])) }.hasPrefix("Linear (1.0): an input of shape [5, 2] does not fit"))
    #expect(message { _ = try Dropout(p: 1.5) } == "Dropout: p must be a probability between 0 and 1, got 1.5")
    #expect(message { _ = try Dropout(p: .nan) } == "Dropout: p must be a probability between 0 and 1, got nan")
    #expect(
      message { _ = try module("MSELoss", .string("max")) }
        == "MSELoss: reduction must be \"mean\", \"sum\" or \"none\", got \"max\"")
    #expect(message { _ = try module("GELU", .string("fast")) } == "GELU: approximate must be \"none\" or \"tanh\", got \"fast\"")
    #expect(
      message { _ = try module("Hardtanh", .number(.integer(1)), .number(.integer(1))) }
        == "Hardtanh: max_val = 1.0 must exceed min_val = 1.0")
    #expect(message { _ = try module("HuberLoss", .absent, .number(.integer(0))) } == "HuberLoss: delta must be positive, got 0")
    #expect(message { _ = try module("Linear", .integer(3)) } == "Linear: argument 2 is not a whole number")
    #expect(
      message { _ = try Embedding(3, 2)(Tensor([0, 3])) } == "Embedding: entry 3 is not one of the 3 entries of the table")
    #expect(
      message { _ = try Embedding(3, 2)(Tensor([0.5])) }
        == "Embedding: the entries to look up must be whole numbers (int64 or int32), got a tensor of float32")
    #expect(message { _ = try ModuleList()(Tensor([0.5])) } == "ModuleList: computes nothing itself; call the modules in it")
  }
}

@Suite struct DropoutTests {
  /// Which elements PyTorch drops after manual_seed(0), as the fixture for the samples tests it too.
  @Test func modes() throws {
    let dropout = try Dropout(p: 0.5)
    let x = try Tensor.ones([4, 100])
    let y = try dropout(x).doubles
    #expect(Set(y) == [0, 2] && (100...300).contains(y.filter { $0 == 0 }.count))
    dropout.train(false)
    #expect(try dropout(x) === x)
    dropout.train()
    #expect(try Dropout(p: 0)(x) === x)
    #expect(try Dropout(p: 1)(x).doubles.allSatisfy { $0 == 0 })
    let written = try Tensor.ones([100])
    #expect(try Dropout(p: 0.5, inPlace: true)(written) === written && written.doubles.contains(0))
  }

  @Test func gradient() throws {
    let x = try Tensor.ones([50], dtype: .float64).markParameter()
    let y = try Dropout(p: 0.2)(x)
    try y.sum().backward()
    #expect(x.grad!.doubles == y.doubles)
  }
}

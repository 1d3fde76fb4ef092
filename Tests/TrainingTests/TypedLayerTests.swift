// Layers and optimizers as types of Swift's: what they leave to the row is what the row says, and a training loop reads as it should.

import Tensors
import Testing
import Training

@Suite struct TypedLayerTests {
  /// Typed layers and the same by name and options, from one seed.
  private static func pairs() throws -> [(name: String, options: [Argument], make: () throws -> Module)] {
    [
      ("Conv1d", [.integer(2), .integer(4), .integer(3)], { try Conv1d(2, 4, kernel: 3) }),
      ("Conv2d", [.integer(1), .integer(32), .integer(3)], { try Conv2d(1, 32, kernel: 3) }),
      (
        "Conv2d",
        [
          .integer(2), .integer(4), .integers([3, 5]), .integer(1), .string("same"), .integers([1, 2]), .integer(2), .boolean(false),
          .string("reflect"),
        ],
        {
          try Conv2d(
            2, 4, kernel: [3, 5], stride: 1, padding: .same, dilation: [1, 2], groups: 2, bias: false, paddingMode: .reflect)
        }
      ),
      ("Conv3d", [.integer(1), .integer(2), .integer(2)], { try Conv3d(1, 2, kernel: 2) }),
      ("ConvTranspose1d", [.integer(1), .integer(2), .integer(2)], { try ConvTranspose1d(1, 2, kernel: 2) }),
      (
        "ConvTranspose2d", [.integer(1), .integer(2), .integer(2), .integer(2), .integer(0), .integer(1)],
        { try ConvTranspose2d(1, 2, kernel: 2, stride: 2, padding: 0, outputPadding: 1) }
      ),
      ("ConvTranspose3d", [.integer(1), .integer(2), .integer(2)], { try ConvTranspose3d(1, 2, kernel: 2) }),
      ("MaxPool1d", [.integer(2)], { try MaxPool1d(2) }),
      ("MaxPool2d", [.integer(3), .integer(2), .integer(1)], { try MaxPool2d(3, stride: 2, padding: 1) }),
      ("MaxPool3d", [.integer(2)], { try MaxPool3d(2) }), ("AvgPool1d", [.integer(2)], { try AvgPool1d(2) }),
      ("AvgPool2d", [.integers([2, 3])], { try AvgPool2d([2, 3]) }), ("AvgPool3d", [.integer(2)], { try AvgPool3d(2) }),
      ("AdaptiveAvgPool1d", [.integer(2)], { try AdaptiveAvgPool1d(2) }),
      ("AdaptiveAvgPool2d", [.integer(1)], { try AdaptiveAvgPool2d(1) }),
      ("AdaptiveAvgPool3d", [.integer(2)], { try AdaptiveAvgPool3d(2) }),
      ("BatchNorm1d", [.integer(4)], { try BatchNorm1d(4) }), ("BatchNorm2d", [.integer(4)], { try BatchNorm2d(4) }),
      ("BatchNorm2d", [.integer(4), .number(.real(1e-5)), .boolean(false)], { try BatchNorm2d(4, momentum: nil) }),
      ("BatchNorm3d", [.integer(4), .number(.real(0.5))], { try BatchNorm3d(4, eps: 0.5) }),
      ("LayerNorm", [.integers([4])], { try LayerNorm(4) }), ("RMSNorm", [.integers([4])], { try RMSNorm(4) }),
      ("LayerNorm", [.integers([2, 4])], { try LayerNorm([2, 4]) }),
      ("GroupNorm", [.integer(2), .integer(4)], { try GroupNorm(2, 4) }),
      ("RNN", [.integer(3), .integer(4)], { try RNN(3, 4) }),
      ("LSTM", [.integer(3), .integer(4), .integer(2)], { try LSTM(3, 4, layers: 2) }),
      ("GRU", [.integer(3), .integer(4)], { try GRU(3, 4) }),
      ("MultiheadAttention", [.integer(4), .integer(2)], { try MultiheadAttention(4, heads: 2) }),
      ("TransformerEncoderLayer", [.integer(4), .integer(2), .integer(8)], { try TransformerEncoderLayer(4, heads: 2, hidden: 8) }),
      ("TransformerDecoderLayer", [.integer(4), .integer(2)], { try TransformerDecoderLayer(4, heads: 2) }),
      (
        "TransformerEncoder", [.object(try TransformerEncoderLayer(4, heads: 2)), .integer(2)],
        { try TransformerEncoder(TransformerEncoderLayer(4, heads: 2), layers: 2) }
      ),
      (
        "TransformerDecoder", [.object(try TransformerDecoderLayer(4, heads: 2)), .integer(1)],
        { try TransformerDecoder(TransformerDecoderLayer(4, heads: 2), layers: 1) }
      ),
      ("ReLU", [], { ReLU() }), ("Tanh", [], { Tanh() }), ("Sigmoid", [], { Sigmoid() }), ("SiLU", [], { SiLU() }),
      ("Mish", [], { Mish() }), ("GELU", [], { GELU() }), ("GELU", [.string("tanh")], { GELU(approximate: .tanh) }),
      ("LeakyReLU", [], { LeakyReLU() }), ("LeakyReLU", [.number(.real(0.2))], { LeakyReLU(negativeSlope: 0.2) }),
      ("ELU", [.number(.real(0.5))], { ELU(alpha: 0.5) }),
      ("Softplus", [.number(.real(2)), .number(.real(1))], { Softplus(beta: 2, threshold: 1) }),
      ("Softmax", [.integer(1)], { Softmax(dim: 1) }), ("LogSoftmax", [.integer(-1)], { LogSoftmax(dim: -1) }),
    ]
  }

  @Test func typesAreTheirRows() throws {
    for (name, options, make) in try Self.pairs() {
      let kind = try #require(ModuleCatalogue.kind(named: name))
      manualSeed(1)
      let byName = try kind.make(Arguments(name, options))
      manualSeed(1)
      let typed = try make()
      #expect(typed.kind == name && type(of: typed) == type(of: byName) && ModuleCatalogue.kind(of: typed)?.name == name)
      #expect(typed.description == byName.description)
      if typed is Activation {
        let x = try Tensor([[-2, -0.5, 0, 0.5, 2], [3, 1, -1, -3, 0.1]])
        #expect(try bits(typed(x)) == bits(byName(x)), "\(name)")
      }
      let isStack = name.hasSuffix("coder")
      for (a, b) in zip(typed.namedParameters(), byName.namedParameters()) {
        #expect(a.name == b.name && a.tensor.shape == b.tensor.shape)
        if !isStack { #expect(bits(a.tensor) == bits(b.tensor), "\(name).\(a.name)") }
      }
    }
    let tested = Set(try Self.pairs().map(\.name))
    let typed = ModuleCatalogue.kinds.map(\.name).filter { name in
      ModuleCatalogue.kinds.first { $0.name == name }.map { "\($0.typeName)" == name } ?? false
    }
    #expect(Set(typed).subtracting(["Linear", "Embedding", "Flatten", "Identity", "Dropout"]).subtracting(tested).isEmpty)
  }

  @Test func mistakesNameTheClass() {
    #expect(message { _ = try Conv2d(3, 4, kernel: 3, groups: 2) }.hasPrefix("Conv2d: "))
    #expect(message { _ = try MultiheadAttention(7, heads: 2) } == "MultiheadAttention: embed_dim = 7 must be divisible by num_heads = 2")
  }

  @Test func trainingLoop() throws {
    let images = try Tensor.randn([6, 1, 8, 8])
    let labels = try Tensor([0, 1, 2, 0, 1, 2])
    var losses: [Double] = []
    manualSeed(0)
    let net = Sequential(
      try Conv2d(1, 4, kernel: 3, padding: 1), ReLU(), try MaxPool2d(2), Flatten(), try Linear(4 * 4 * 4, 3))
    let optimizer = try SGD(net, lr: 0.1, momentum: 0.9)
    let loss = Loss.crossEntropy()
    for _ in 0..<30 {
      try optimizer.zeroGrad()
      let value = try loss(net(images), labels)
      try value.backward()
      try optimizer.step()
      losses.append(try value.item().real)
    }
    #expect(losses[29] < 0.1 * losses[0])
  }

  @Test func optimizers() throws {
    let layer = try Linear(2, 2)
    let made: [(Optimizer, [String: OptionValue])] = [
      (try SGD(layer, lr: 0.1), ["lr": .number(0.1)]), (try Adam(layer, lr: 0.1), ["lr": .number(0.1)]),
      (try Adam(layer, betas: (0.8, 0.9)), ["betas": .pair(0.8, 0.9)]),
      (try AdamW(layer, weightDecay: 0.1), ["weight_decay": .number(0.1)]),
      (try RMSprop(layer.namedParameters().map(\.tensor), lr: 0.2, alpha: 0.5), ["lr": .number(0.2), "alpha": .number(0.5)]),
    ]
    for (optimizer, given) in made {
      let byName = try optimizer.kind.make([(layer.namedParameters().map(\.tensor), [:])], given)
      #expect(optimizer.kind.name == "\(type(of: optimizer))")
      for option in optimizer.groups[0].optionNames { #expect(optimizer.groups[0][option] == byName.groups[0][option]) }
      #expect(optimizer.groups[0].parameters.count == 2)
    }
    #expect(message { _ = try SGD(layer, lr: -1) }.hasPrefix("SGD: "))
    #expect(message { _ = try Adam([]) } == "Adam: the list of parameters is empty")
  }
}

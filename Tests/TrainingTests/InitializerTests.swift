// Initializers: torch.nn.init's values, shapes that are refused, and that the graph does not notice.

import Tensors
import Testing
import Training

@Suite struct InitializerTests {
  /// Every sample of every initializer gives PyTorch's values after manual_seed(0).
  @Test func values() throws {
    let expected = try lines(of: "TrainingTests/Fixtures/initializers.txt")
    let samples = Initializer.operations.flatMap { operation in operation.samples.map { (operation, $0) } }
    #expect(samples.count == expected.count)
    for ((operation, sample), line) in zip(samples, expected) {
      let parts = line.components(separatedBy: " | ")
      let arguments = try sample.arguments(for: operation)
      let tensor = try arguments.tensor(0)
      let others = sample.values.dropFirst().map { value in
        switch value {
        case .number(let number): ", \(number)"
        case .text(let text): ", \(text)"
        case .integer(let integer): ", \(integer)"
        default: ""
        }
      }
      #expect(parts[0] == "\(operation.name), \(tensor.shape)" + others.joined())
      try tensor.markParameter()
      manualSeed(0)
      let output = try operation.run(arguments)
      #expect(output.tensors.count == 1 && output.tensors[0] === tensor && tensor.isLeaf && tensor.version > 0)
      let tolerance = operation.name == "orthogonal_" ? 3e-6 : 1e-6
      expectClose(tensor.doubles, parts[1].split(separator: " ").map { Double($0)! }, tolerance, parts[0])
    }
  }

  @Test func refused() throws {
    for operation in Initializer.operations {
      for sample in operation.rejects {
        #expect(throws: TensorError.self, "\(operation.name)(\(sample.text))") {
          _ = try operation.run(sample.arguments(for: operation))
        }
      }
    }
    #expect(
      message { try Initializer.xavierUniform(Tensor.zeros([3])) }
        == "xavier_uniform_: at least 2 dimensions are needed to count connections, got shape [3]")
    #expect(
      message { _ = try Initializer.Fan(named: "fan", "kaiming_normal_") }
        == "kaiming_normal_: mode must be \"fan_in\" or \"fan_out\", got \"fan\"")
    #expect(
      message { try Initializer.truncatedNormal(Tensor.zeros([3]), low: 2, high: 3) }
        .hasPrefix("trunc_normal_: only 0.02"))
    #expect(
      message { try Initializer.normal(Tensor([1, 2])) } == "normal_: a float tensor is needed, this one is int64")
  }

  @Test func gains() throws {
    let expected: [(String, Double?, Double)] = [
      ("linear", nil, 1), ("sigmoid", nil, 1), ("tanh", nil, 5.0 / 3), ("relu", nil, 2.0.squareRoot()),
      ("leaky_relu", nil, 1.4141428569978354), ("leaky_relu", 0.2, 1.3867504905630728), ("selu", nil, 0.75),
    ]
    for (name, parameter, gain) in expected { #expect(try Initializer.gain(name, parameter) == gain, "\(name)") }
    #expect(message { _ = try Initializer.gain("sine") }.hasPrefix("calculate_gain: unknown nonlinearity 'sine'; there are "))
  }

  @Test func layoutsAndEmptyTensors() throws {
    manualSeed(0)
    let plain = try Initializer.kaimingUniform(Tensor.zeros([2, 3]))
    manualSeed(0)
    let storage = try Tensor.zeros([3, 2])
    try Initializer.kaimingUniform(storage.t())
    #expect(try bits(storage.t().copied()) == bits(plain))
    #expect(try Initializer.kaimingNormal(Tensor.zeros([0, 3])).count == 0)
    #expect(try Initializer.orthogonal(Tensor.zeros([0, 3])).count == 0)
    let square = try Initializer.orthogonal(Tensor.zeros([5, 5], dtype: .float64))
    let product = try square.mm(square.t()).doubles
    expectClose(product, (0..<25).map { $0 % 6 == 0 ? 1 : 0 }, 1e-12, "orthogonality")
  }
}

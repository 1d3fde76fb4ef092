// Convolutions that are large enough to be cut into tasks: float32, which oneDNN computes, beside float64, which products of columns
// do; and the same bits whatever the number of threads.

import Tensors
import Testing

@Suite struct ConvolutionTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let input, weight: [Int]
    var stride = 1, padding = 0, dilation = 1, groups = 1
    var testDescription: String { "\(input) \(weight)" }
  }

  static let cases = [
    // Images enough, and one image of many channels.
    Case(input: [9, 3, 32, 32], weight: [20, 3, 5, 5]), Case(input: [2, 64, 28, 28], weight: [96, 64, 3, 3], padding: 1),
    Case(input: [1, 96, 30, 31], weight: [100, 96, 3, 3], stride: 2, padding: 1),
    Case(input: [3, 16, 33, 35], weight: [16, 16, 3, 3], padding: 2, dilation: 2),
    // Each channel alone, groups, 1 × 1, one dimension and three.
    Case(input: [5, 32, 24, 24], weight: [32, 1, 3, 3], padding: 1, groups: 32),
    Case(input: [5, 32, 24, 24], weight: [64, 16, 3, 3], stride: 2, padding: 1, groups: 2),
    Case(input: [7, 64, 14, 14], weight: [128, 64, 1, 1]), Case(input: [6, 32, 500], weight: [48, 32, 7], stride: 3, padding: 2),
    Case(input: [3, 8, 12, 20, 18], weight: [16, 8, 3, 3, 3], padding: 1),
    Case(input: [33, 1, 9, 9], weight: [4, 1, 3, 3]),
    // Images large enough for bands: steps, holes, steps beyond the window, padding beyond it, wide ones, one dimension, three, groups.
    Case(input: [1, 3, 200, 190], weight: [8, 3, 3, 3], padding: 1),
    Case(input: [1, 4, 301, 290], weight: [16, 4, 5, 5], stride: 2, padding: 2),
    Case(input: [2, 4, 220, 210], weight: [12, 4, 3, 3], padding: 5, dilation: 4),
    Case(input: [1, 4, 611, 600], weight: [20, 4, 2, 2], stride: 3), Case(input: [1, 3, 180, 170], weight: [12, 3, 3, 3], padding: 4),
    Case(input: [1, 8, 3, 40_000], weight: [4, 8, 3, 5], stride: 2, padding: 2),
    Case(input: [1, 8, 60_001], weight: [24, 8, 9], stride: 2, padding: 3), Case(input: [5, 2, 70_000], weight: [3, 2, 5], padding: 2),
    Case(input: [1, 4, 12, 50, 48], weight: [8, 4, 3, 3, 3], stride: 1, padding: 1),
    Case(input: [1, 32, 200, 200], weight: [32, 1, 5, 5], padding: 2, groups: 32),
    Case(input: [1, 8, 260, 250], weight: [16, 4, 3, 3], stride: 2, padding: 1, groups: 2),
  ]

  private func run(_ example: Case, transposed: Bool, _ x: Tensor, _ weight: Tensor, _ bias: Tensor) throws -> [Tensor] {
    for tensor in [x, weight, bias] { try tensor.setRequiresGrad(true) }
    let rank = example.input.count - 2
    let operation = try #require(Catalogue.operations.first { $0.name == (transposed ? "conv_transpose\(rank)d" : "conv\(rank)d") })
    let (stride, padding, dilation, groups) = (
      Argument.integer(example.stride), Argument.integer(example.padding), Argument.integer(example.dilation),
      Argument.integer(example.groups)
    )
    let options = transposed ? [stride, padding, .integer(0), groups, dilation] : [stride, padding, dilation, groups]
    let y = try operation.run(Arguments(operation.name, [.tensor(x), .tensor(weight), .tensor(bias)] + options)).tensors[0]
    return try [y] + Tape.gradients(of: [y], [y.detach()], inputs: [x, weight, bias]).map { try #require($0) }
  }

  @Test(arguments: cases, [false, true]) func largeOnes(_ example: Case, transposed: Bool) throws {
    manualSeed(3)
    let weight = try Tensor.randn(Shape(example.weight)) * 0.1
    var input = example.input
    if transposed { input[1] = example.weight[0] }
    let x = try Tensor.randn(Shape(input))
    let bias = try Tensor.randn([transposed ? example.weight[1] * example.groups : example.weight[0]])
    func results(_ dtype: DType) throws -> [Tensor] {
      try run(example, transposed: transposed, x.detach().to(dtype), weight.detach().to(dtype), bias.detach().to(dtype))
    }
    let exact = try results(.float64)
    let threads = Threads.count
    defer { Threads.count = threads }
    var first: [Tensor]?
    for count in [1, 2, 5] {
      Threads.count = count
      let found = try results(.float32)
      for (position, (a, b)) in zip(found, exact).enumerated() {
        let scale = try b.abs().max().item().real
        let worst = try (a.to(.float64) - b).abs().max().item().real
        // Weights and bias are sums over all places of all images.
        let terms = Double(exact[0].count / exact[3].count)
        let tolerance = position < 2 ? 2e-6 : 2e-6 * max(1, 2 * (terms / 20_000).squareRoot())
        #expect(
          worst <= tolerance * scale, "\(example.testDescription), result \(position) with \(count) threads: off by \(worst) of \(scale)")
      }
      if let first {
        for (a, b) in zip(found, first) {
          #expect(try a.eq(b).all().item() == .boolean(true), "\(example.testDescription): \(count) threads")
        }
      }
      first = found
    }
  }

  /// So many large images that weights are a sum of several rounds of parts. All terms are ones, so that the sum is known.
  @Test func weightsOfManyLargeImages() throws {
    let x = try Tensor.ones([9, 128, 64, 64])
    let weight = try Tensor.ones([256, 128, 3, 3])
    try weight.setRequiresGrad(true)
    let operation = try #require(Catalogue.operations.first { $0.name == "conv2d" })
    let y = try operation.run(Arguments("conv2d", [.tensor(x), .tensor(weight)])).tensors[0]
    let gradient = try #require(try Tape.gradients(of: [y], [Tensor.ones(y.shape)], inputs: [weight])[0])
    #expect(try gradient.eq(Double(9 * 62 * 62)).all().item() == .boolean(true))
  }
}

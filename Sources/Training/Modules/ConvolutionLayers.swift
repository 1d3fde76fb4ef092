// Convolutions as layers.

import Tensors

/// A convolution, over one to three dimensions, or its transpose.
public class Convolution: Layer {}

extension Convolution {
  private static let bias = Parameter("bias", .boolean, default: "true")
  private static let mode = Parameter("padding_mode", .string, default: "\"zeros\"").oneOf(
    "zeros", "reflect", "replicate", "circular")
  private static let groups = Parameter("groups", .integer, default: "1")
  private static func sizes(_ name: String, _ text: String) -> Parameter { Parameter(name, .integers, default: text) }
  private static let channels = [
    Parameter("in_channels", .integer), Parameter("out_channels", .integer), Parameter("kernel_size", .integers),
  ]

  private static func checked(_ settings: Settings) throws -> (input: Int, output: Int, groups: Int, kernel: [Int]) {
    let (input, output) = (try settings.integer("in_channels", atLeast: 1), try settings.integer("out_channels", atLeast: 1))
    let groups = try settings.integer("groups", atLeast: 1)
    guard input % groups == 0, output % groups == 0 else {
      throw TensorError(
        .argument, settings.kind, "in_channels = \(input) and out_channels = \(output) must be divisible by groups = \(groups)")
    }
    return (input, output, groups, try settings.sizes("kernel_size"))
  }

  /// The weight and the bias, drawn as PyTorch draws them: uniform between ±1/√fan_in both.
  private static func tensors(_ settings: Settings, _ dtype: DType?, _ shape: [Int], _ outputs: Int) throws -> [Layer.Slot] {
    let dtype = dtype ?? DType.defaultFloating
    let weight = try Tensor.zeros(Shape(shape, operation: settings.kind), dtype: dtype)
    try Initializer.kaimingUniform(weight, negativeSlope: 5.0.squareRoot())
    let fan = shape.dropFirst().reduce(1, *)
    var bias: Tensor?
    if try settings.flag("bias") {
      let bound = fan > 0 ? 1 / Double(fan).squareRoot() : 0
      bias = try Tensor.zeros([outputs], dtype: dtype).uniform(from: -bound, to: bound)
    }
    return [try .parameter("weight", weight), try .parameter("bias", bias)]
  }

  private static let prints: [LayerRow.Printed] = [
    .value("in_channels"), .value("out_channels"), .named("kernel_size"), .named("stride"), .unlessDefault("padding"),
    .unlessDefault("dilation"),
  ]
  private static let printsEnd: [LayerRow.Printed] = [.unless("groups", "1"), .unless("bias", "True"), .unless("padding_mode", "zeros")]

  private static func row(_ rank: Int, _ samples: [ModuleSample]) -> LayerRow {
    LayerRow(
      "Conv\(rank)d",
      "A convolution over \(rank) dimension\(rank == 1 ? "" : "s"): from (batch, in_channels, …) to (batch, out_channels, …), with or without the batch. padding may be \"same\" or \"valid\", and padding_mode \"zeros\", \"reflect\", \"replicate\" or \"circular\".",
      channels + [
        sizes("stride", "1"), Parameter("padding", .sizesOrName, default: "0"), sizes("dilation", "1"), groups, bias, mode, .dtype,
      ],
      by: "conv\(rank)d", rank: rank, prints: prints + printsEnd, samples: samples,
      complete: { settings in
        let mode = try settings.text("padding_mode")
        guard ["zeros", "reflect", "replicate", "circular"].contains(mode) else {
          throw TensorError(
            .argument, settings.kind, "padding_mode must be \"zeros\", \"reflect\", \"replicate\" or \"circular\", got \"\(mode)\"")
        }
        if case .string(let name) = try settings.value("padding"), name != "same", name != "valid" {
          throw TensorError(.argument, settings.kind, "padding must be a number, \(rank) numbers, \"same\" or \"valid\", got \"\(name)\"")
        }
        if case .string("same") = try settings.value("padding"), try settings.sizes("stride").contains(where: { $0 != 1 }) {
          throw TensorError(.argument, settings.kind, "padding = \"same\" is for strides of 1 only")
        }
      },
      isPlain: { (try? $0.value("padding_mode").text(indexBase: 0)) == "'zeros'" },
      compute: { layer, inputs in
        let padded = try padded(inputs[0], layer.settings, rank)
        return try layer.run(layer.arguments([padded], replacing: ["padding": .integers(Array(repeating: 0, count: rank))])).tensors
      },
      state: { settings, dtype in
        let (input, output, groups, kernel) = try checked(settings)
        return try tensors(settings, dtype, [output, input / groups] + kernel, output)
      }
    )
  }

  /// The input with the margins that a mode other than zeros fills.
  private static func padded(_ x: Tensor, _ settings: Settings, _ rank: Int) throws -> Tensor {
    let (kernel, dilation) = (try settings.sizes("kernel_size"), try settings.sizes("dilation"))
    var margins: [Int] = []
    for dimension in (0..<rank).reversed() {
      if case .string(let name) = try settings.value("padding") {
        let whole = name == "same" ? dilation[dimension] * (kernel[dimension] - 1) : 0
        margins += [whole / 2, whole - whole / 2]
      } else {
        let size = try settings.sizes("padding")[dimension]
        margins += [size, size]
      }
    }
    guard let pad = TensorOperation.named("pad") else { throw TensorError(.argument, settings.kind, "there is no padding here") }
    let mode = try settings.value("padding_mode").asArgument
    return try pad.run(Arguments(settings.kind, [.tensor(x), .integers(margins), mode])).tensors[0]
  }

  private static func transposed(_ rank: Int, _ samples: [ModuleSample]) -> LayerRow {
    LayerRow(
      "ConvTranspose\(rank)d",
      "The transpose of a convolution over \(rank) dimension\(rank == 1 ? "" : "s"): what Conv\(rank)d does to gradients, from (batch, in_channels, …) to (batch, out_channels, …).",
      channels + [
        sizes("stride", "1"), sizes("padding", "0"), sizes("output_padding", "0"), groups, bias, sizes("dilation", "1"), mode, .dtype,
      ],
      by: "conv_transpose\(rank)d", rank: rank, prints: prints + [.unlessDefault("output_padding")] + printsEnd, samples: samples,
      complete: { settings in
        guard try settings.value("padding_mode").text(indexBase: 0) == "'zeros'" else {
          throw TensorError(.argument, settings.kind, "padding_mode must be \"zeros\"")
        }
      },
      state: { settings, dtype in
        let (input, output, groups, kernel) = try checked(settings)
        return try tensors(settings, dtype, [input, output / groups] + kernel, output)
      }
    )
  }

  private static let table: [LayerRow] = [
    row(
      1,
      [
        ModuleSample([.integer(2), .integer(3), .integer(3)], [.float(2, 2, 7)]),
        ModuleSample(
          [.integer(4), .integer(2), .integer(2), .integer(2), .integer(1), .integer(2), .integer(2), .flag(false)], [.float(4, 9)]),
        ModuleSample([.integer(2), .integer(2), .integer(4), .integer(1), .text("same")], [.float(1, 2, 6)]),
        ModuleSample(
          [.integer(2), .integer(2), .integer(3), .integer(1), .integer(1), .integer(1), .integer(1), .flag(true), .text("circular")],
          [.float(1, 2, 6)]),
        ModuleSample([.integer(3), .integer(6), .integer(3), .integer(2), .integer(2), .integer(3), .integer(3)], [.float(2, 3, 11)]),
        ModuleSample([.integer(2), .integer(3), .integer(1), .integer(3)], [.float(1, 2, 7)]),
      ]),
    row(
      2,
      [
        ModuleSample([.integer(1), .integer(2), .integer(3)], [.float(2, 1, 5, 6)]),
        ModuleSample(
          [.integer(2), .integer(4), .list([3, 2]), .list([2, 1]), .list([1, 0]), .integer(1), .integer(2)], [.float(1, 2, 6, 5)]),
        ModuleSample([.integer(2), .integer(3), .list([3, 5]), .integer(1), .text("same"), .list([1, 2])], [.float(2, 5, 6)]),
        ModuleSample(
          [.integer(1), .integer(2), .integer(3), .integer(1), .text("same"), .integer(1), .integer(1), .flag(false), .text("reflect")],
          [.float(1, 1, 5, 4)]),
        ModuleSample(
          [.integer(3), .integer(3), .list([2, 3]), .list([2, 3]), .list([1, 2]), .list([2, 1]), .integer(3)], [.float(2, 3, 7, 8)]),
        ModuleSample([.integer(2), .integer(3), .integer(1), .integer(2)], [.float(1, 2, 5, 5)]),
        ModuleSample(
          [
            .integer(2), .integer(2), .integer(3), .list([2, 1]), .list([1, 2]), .integer(1), .integer(2), .flag(true), .text("replicate"),
          ], [.float(1, 2, 5, 4)]),
      ]),
    row(
      3,
      [
        ModuleSample([.integer(1), .integer(2), .integer(2)], [.float(1, 1, 3, 4, 3)]),
        ModuleSample(
          [.integer(2), .integer(2), .list([1, 2, 3]), .list([2, 1, 1]), .list([0, 1, 1]), .integer(1), .integer(2)],
          [.float(1, 2, 3, 3, 4)]),
        ModuleSample(
          [.integer(1), .integer(1), .integer(2), .integer(1), .text("same"), .list([1, 2, 1]), .integer(1), .flag(false)],
          [.float(1, 3, 4, 3)]),
      ]),
    transposed(
      1,
      [
        ModuleSample([.integer(2), .integer(3), .integer(3)], [.float(2, 2, 5)]),
        ModuleSample(
          [.integer(4), .integer(2), .integer(3), .integer(2), .integer(1), .integer(1), .integer(2), .flag(false), .integer(2)],
          [.float(1, 4, 5)]),
        ModuleSample([.integer(2), .integer(2), .integer(4), .integer(3), .integer(2), .integer(1)], [.float(2, 3)]),
      ]),
    transposed(
      2,
      [
        ModuleSample([.integer(2), .integer(3), .integer(2)], [.float(1, 2, 3, 3)]),
        ModuleSample([.integer(2), .integer(1), .list([2, 3]), .list([2, 1]), .list([0, 1]), .list([1, 0])], [.float(2, 3, 4)]),
        ModuleSample(
          [
            .integer(4), .integer(2), .list([2, 3]), .list([2, 3]), .list([1, 0]), .list([1, 2]), .integer(2), .flag(true), .list([2, 1]),
          ], [.float(1, 4, 3, 2)]),
      ]),
    transposed(
      3,
      [
        ModuleSample([.integer(1), .integer(2), .integer(2)], [.float(1, 1, 2, 2, 2)]),
        ModuleSample(
          [.integer(2), .integer(2), .list([1, 2, 2]), .list([1, 2, 1]), .list([0, 1, 0]), .integer(0), .integer(2), .flag(false)],
          [.float(1, 2, 2, 2, 2)]),
        ModuleSample(
          [
            .integer(1), .integer(2), .integer(2), .list([2, 1, 2]), .integer(0), .list([1, 0, 0]), .integer(1), .flag(true),
            .list([1, 2, 1]),
          ], [.float(1, 2, 2, 2)]),
      ]),
  ]

  static let kinds = table.map { $0.kind(Convolution.self) }
}

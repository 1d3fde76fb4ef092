// More activations, dropout of channels, and functions of two tensors, as layers.

import Tensors

/// A layer that an elementwise operation, or one of two tensors, computes.
public final class ElementLayer: Layer {}

extension ElementLayer {
  private static func number(_ name: String, _ text: String) -> Parameter { Parameter(name, .number, default: text) }
  private static let inPlace = Parameter("inplace", .boolean, default: "false")
  private static let matrix: Sample = [.float(2, 3)]

  private static func dropout(_ name: String, _ summary: String, by operation: String, _ input: Sample) -> LayerRow {
    LayerRow(
      name, summary, [number("p", "0.5"), inPlace], by: operation, prints: [.named("p"), .named("inplace")],
      samples: [ModuleSample([], input), ModuleSample([.number(0)], input)],
      complete: { settings in
        guard let p = try settings.real("p"), p >= 0, p <= 1 else {
          throw TensorError(.argument, settings.kind, "p must be a probability between 0 and 1")
        }
      })
  }

  private static let table: [LayerRow] = [
    LayerRow(
      "CELU", "x where positive, else alpha · (e^(x / alpha) − 1).", [number("alpha", "1.0"), inPlace], by: "celu",
      prints: [.named("alpha"), .unless("inplace", "False")], samples: [ModuleSample([], matrix), ModuleSample([.number(0.5)], matrix)]),
    LayerRow(
      "SELU", "1.0507 · x where positive, else 1.7581 · (e^x − 1).", [inPlace], by: "selu", prints: [.unless("inplace", "False")],
      samples: [ModuleSample([], matrix)]),
    LayerRow(
      "GLU", "The first half along a dimension times the sigmoid of the second.", [Parameter("dim", .dimension, default: "-1")],
      by: "glu", prints: [.named("dim")], samples: [ModuleSample([], [.float(2, 4)]), ModuleSample([.integer(0)], [.float(4, 2)])]),
    LayerRow(
      "Hardshrink", "x where |x| exceeds lambd, else 0.", [number("lambd", "0.5")], by: "hardshrink", prints: [.value("lambd")],
      samples: [ModuleSample([], matrix), ModuleSample([.number(1)], matrix)]),
    LayerRow(
      "Softshrink", "x moved towards 0 by lambd.", [number("lambd", "0.5")], by: "softshrink", prints: [.value("lambd")],
      samples: [ModuleSample([], matrix), ModuleSample([.number(1)], matrix)]),
    LayerRow("Tanhshrink", "x − tanh(x).", by: "tanhshrink", prints: [], samples: [ModuleSample([], matrix)]),
    LayerRow(
      "Threshold", "x where it exceeds threshold, else value.", [Parameter("threshold", .number), Parameter("value", .number), inPlace],
      by: "threshold", prints: [.named("threshold"), .named("value"), .unless("inplace", "False")],
      samples: [ModuleSample([.number(0.25), .number(3)], matrix)]),
    LayerRow(
      "Softmax2d", "e^x / Σ e^x over the channels of (batch, channels, height, width).", by: "softmax", constants: ["dim": .integer(-3)],
      prints: [], samples: [ModuleSample([], [.float(2, 3, 2, 2)])]),
    LayerRow(
      "Softmin", "e^−x / Σ e^−x along a dimension.", [Parameter("dim", .dimension, optional: true)], by: "softmin",
      prints: [.named("dim")], samples: [ModuleSample([.integer(1)], matrix)]),
    LayerRow(
      "RReLU", "x where positive, else x times a number between lower and upper, drawn for each element while training.",
      [number("lower", "0.125"), number("upper", "0.3333333333333333"), inPlace], by: "rrelu",
      prints: [.named("lower"), .named("upper"), .unless("inplace", "False")], samples: [ModuleSample([], matrix)]),
    LayerRow(
      "PReLU", "x where positive, else weight · x; one weight, or one for each channel.",
      [Parameter("num_parameters", .integer, default: "1"), number("init", "0.25"), .dtype], by: "prelu",
      prints: [.named("num_parameters")],
      samples: [ModuleSample([], matrix), ModuleSample([.integer(3), .number(0.1)], matrix)],
      state: { settings, dtype in
        let count = try settings.integer("num_parameters", atLeast: 1)
        let weight = try Tensor.full([count], .real(settings.real("init") ?? 0.25), dtype: dtype ?? DType.defaultFloating)
        return [try .parameter("weight", weight)]
      }),
    dropout(
      "Dropout1d", "While training, sets channels of (batch, channels, length) to 0 with probability p.", by: "dropout1d", [.float(2, 3, 4)]
    ),
    dropout(
      "Dropout2d", "While training, sets channels of (batch, channels, height, width) to 0 with probability p.", by: "dropout2d",
      [.float(2, 3, 2, 2)]),
    dropout(
      "Dropout3d", "While training, sets channels of (batch, channels, depth, height, width) to 0 with probability p.", by: "dropout3d",
      [.float(1, 3, 2, 2, 2)]),
    dropout("AlphaDropout", "Dropout that keeps the mean and the variance of SELU's outputs.", by: "alpha_dropout", matrix),
    dropout("FeatureAlphaDropout", "The same of whole channels.", by: "feature_alpha_dropout", [.float(2, 3, 2, 2)]),
    LayerRow(
      "CosineSimilarity", "x1 · x2 / (|x1| · |x2|) along a dimension.",
      [Parameter("dim", .dimension, default: "1"), number("eps", "1e-08")],
      inputs: [Parameter("x1", .tensor), Parameter("x2", .tensor)], by: "cosine_similarity", prints: [],
      samples: [ModuleSample([], [.float(2, 3), .float(2, 3)]), ModuleSample([.integer(0)], [.float(2, 3), .float(2, 3)])]),
    LayerRow(
      "PairwiseDistance", "The p-norms along the last dimension of the differences, to which eps is added.",
      [number("p", "2.0"), number("eps", "1e-06"), Parameter("keepdim", .boolean, default: "false")],
      inputs: [Parameter("x1", .tensor), Parameter("x2", .tensor)], by: "pairwise_distance", prints: [],
      samples: [
        ModuleSample([], [.float(2, 3), .float(2, 3)]),
        ModuleSample([.number(1), .number(0.01), .flag(true)], [.float(2, 3), .float(2, 3)]),
      ]),
    LayerRow(
      "Bilinear", "Σ input1[i] · weight[o, i, j] · input2[j] + bias[o] over the last dimensions.",
      [
        Parameter("in1_features", .integer), Parameter("in2_features", .integer), Parameter("out_features", .integer),
        Parameter("bias", .boolean, default: "true"), .dtype,
      ],
      inputs: [Parameter("input1", .tensor), Parameter("input2", .tensor)], by: "bilinear",
      prints: [.named("in1_features"), .named("in2_features"), .named("out_features"), .named("bias")],
      samples: [
        ModuleSample([.integer(3), .integer(2), .integer(4)], [.float(5, 3), .float(5, 2)]),
        ModuleSample([.integer(2), .integer(2), .integer(1), .flag(false)], [.float(2, 2), .float(2, 2)]),
      ],
      state: { settings, dtype in
        let sizes = try ["out_features", "in1_features", "in2_features"].map { try settings.integer($0, atLeast: 1) }
        let (bound, dtype) = (1 / Double(sizes[1]).squareRoot(), dtype ?? DType.defaultFloating)
        let weight = try Tensor.zeros(Shape(sizes, operation: "Bilinear"), dtype: dtype).uniform(from: -bound, to: bound)
        let bias = try settings.flag("bias") ? Tensor.zeros([sizes[0]], dtype: dtype).uniform(from: -bound, to: bound) : nil
        return [try .parameter("weight", weight), try .parameter("bias", bias)]
      }),
  ]

  static let kinds = table.map { $0.kind(ElementLayer.self) }
}

// Normalisation as layers.

import Tensors

/// What brings elements to mean 0 and variance 1, by the statistics of a batch, of an image, of groups of channels or of rows.
public class Normalisation: Layer {}

extension Normalisation {
  private static func eps(_ text: String) -> Parameter { Parameter("eps", .number, default: text) }
  private static func flag(_ name: String, _ text: String) -> Parameter { Parameter(name, .boolean, default: text) }

  private static let bias = Parameter("bias", .boolean, default: "true", namedOnly: true)

  /// Without weights there is no bias either.
  private static func biasFollows(_ name: String) -> (inout Settings) throws -> Void {
    { settings in if try !settings.flag(name) { try settings.replace("bias", .boolean(false)) } }
  }

  /// The same, of a shape that may be given as one size.
  private static func rows(_ settings: inout Settings) throws {
    if case .integer(let size) = try settings.value("normalized_shape") { try settings.replace("normalized_shape", .shape([size])) }
    if settings.parameters.contains(where: { $0.name == "bias" }) { try biasFollows("elementwise_affine")(&settings) }
  }

  private static func affine(_ settings: Settings, _ name: String, _ shape: [Int], _ dtype: DType?, hasBias: Bool = true) throws
    -> [Layer.Slot]
  {
    let isThere = try settings.flag(name)
    let shape = try Shape(shape, operation: settings.kind)
    return [
      try .parameter("weight", isThere ? Tensor.ones(shape, dtype: dtype ?? DType.defaultFloating) : nil),
      try .parameter("bias", isThere && hasBias ? Tensor.zeros(shape, dtype: dtype ?? DType.defaultFloating) : nil),
    ]
  }

  /// By the statistics of channels: of the batch or of each image.
  private static func channels(
    _ name: String, _ summary: String, by operation: String, ranks: ClosedRange<Int>, affine isAffine: Bool, tracks: Bool,
    _ samples: [ModuleSample]
  ) -> LayerRow {
    LayerRow(
      name, summary,
      [
        Parameter("num_features", .integer), eps("1e-05"), Parameter("momentum", .number, default: "0.1"),
        flag("affine", isAffine ? "true" : "false"), flag("track_running_stats", tracks ? "true" : "false"), .dtype, bias,
      ],
      by: operation, required: [],
      prints: [.value("num_features"), .named("eps"), .named("momentum"), .named("affine"), .named("bias"), .named("track_running_stats")],
      samples: samples, complete: biasFollows("affine"), compute: { layer, inputs in try [normalised(layer, inputs[0], ranks, operation)] },
      state: { settings, dtype in
        let count = try settings.integer("num_features", atLeast: 1)
        var slots = try affine(settings, "affine", [count], dtype, hasBias: settings.flag("bias"))
        let tracks = try settings.flag("track_running_stats")
        let dtype = dtype ?? DType.defaultFloating
        slots += [
          .buffer("running_mean", tracks ? try Tensor.zeros([count], dtype: dtype) : nil),
          .buffer("running_var", tracks ? try Tensor.ones([count], dtype: dtype) : nil),
          .buffer("num_batches_tracked", tracks ? try Tensor.zeros([], dtype: .int64) : nil),
        ]
        return slots
      }
    )
  }

  private static func normalised(_ layer: Layer, _ x: Tensor, _ ranks: ClosedRange<Int>, _ operation: String) throws -> Tensor {
    guard ranks.contains(x.rank) else {
      let expected = ranks.count == 1 ? "\(ranks.lowerBound)" : "\(ranks.lowerBound) or \(ranks.upperBound)"
      throw TensorError(.shape, layer.kind, "an input of \(expected) dimensions is expected, got shape \(x.shape)")
    }
    // An image without a batch is a batch of one.
    let isAlone = operation == "instance_norm" && x.rank == ranks.lowerBound
    let features = try layer.settings.integer("num_features")
    let channel = isAlone ? 0 : 1
    guard x.shape[channel] == features else {
      throw TensorError(
        .shape, layer.kind,
        "an input of shape \(x.shape) has \(x.shape[channel]) channels in dimension \(index: channel), but num_features = \(features)")
    }
    let isTracked = layer.tensor("running_mean") != nil
    let tracks = try layer.settings.flag("track_running_stats")
    var momentum = try layer.settings.real("momentum") ?? 0
    if layer.isTraining, tracks, let batches = layer.tensor("num_batches_tracked"), operation == "batch_norm" {
      let count = batches.element(0).integer + 1
      _ = try withNoGrad { try batches.fill(.integer(count)) }
      // Without a momentum, the mean of all batches.
      if try layer.settings.real("momentum") == nil { momentum = 1 / Double(count) }
    }
    var replaced: [String: Argument] = ["momentum": .number(.real(momentum))]
    let usesInput = layer.isTraining || !isTracked
    replaced[operation == "batch_norm" ? "training" : "use_input_stats"] = .boolean(usesInput)
    if layer.isTraining, !tracks { (replaced["running_mean"], replaced["running_var"]) = (.absent, .absent) }
    let y = try layer.run(layer.arguments([isAlone ? x.unsqueeze(0) : x], replacing: replaced)).tensors[0]
    return isAlone ? try y.squeeze([0]) : y
  }

  private static func batch(_ rank: Int, _ ranks: ClosedRange<Int>, _ samples: [ModuleSample]) -> LayerRow {
    channels(
      "BatchNorm\(rank)d",
      "Each channel brought to mean 0 and variance 1 by the batch's statistics while training, by running ones after that, times weight plus bias. momentum = false averages over all batches.",
      by: "batch_norm", ranks: ranks, affine: true, tracks: true, samples)
  }

  private static func instance(_ rank: Int, _ samples: [ModuleSample]) -> LayerRow {
    channels(
      "InstanceNorm\(rank)d", "Each channel of each image brought to mean 0 and variance 1.", by: "instance_norm",
      ranks: rank + 1...rank + 2, affine: false, tracks: false, samples)
  }

  private static let table: [LayerRow] = [
    batch(
      1, 2...3,
      [
        ModuleSample([.integer(3)], [.float(4, 3)]), ModuleSample([.integer(3)], [.float(2, 3, 4)]),
        ModuleSample([.integer(3), .number(0.01), .number(0.5), .flag(false), .flag(false)], [.float(4, 3)]),
      ]),
    batch(
      2, 4...4,
      [
        ModuleSample([.integer(2)], [.float(2, 2, 3, 3)]), ModuleSample([.integer(2), .number(1e-3), .number(0.3)], [.float(2, 2, 3, 3)]),
        ModuleSample([.integer(3), .number(1e-05), .number(0.2), .flag(false)], [.float(2, 3, 2, 3)]),
      ]),
    batch(
      3, 5...5,
      [
        ModuleSample([.integer(2)], [.float(2, 2, 2, 3, 2)]),
        ModuleSample([.integer(2), .number(0.01), .number(0.4), .flag(true), .flag(false)], [.float(2, 2, 2, 1, 3)]),
      ]),
    instance(
      1,
      [
        ModuleSample([.integer(2)], [.float(2, 2, 5)]),
        ModuleSample([.integer(2), .number(1e-4), .number(0.2), .flag(true), .flag(true)], [.float(2, 2, 5)]),
        ModuleSample([.integer(2)], [.float(2, 5)]),
      ]),
    instance(
      2,
      [
        ModuleSample([.integer(2), .number(1e-5), .number(0.1), .flag(true)], [.float(1, 2, 3, 4)]),
        ModuleSample([.integer(3), .number(0.001), .number(0.3), .flag(false), .flag(true)], [.float(2, 3, 2, 3)]),
      ]),
    instance(
      3,
      [
        ModuleSample([.integer(2)], [.float(1, 2, 2, 3, 2)]),
        ModuleSample([.integer(2), .number(1e-05), .number(0.1), .flag(true), .flag(true)], [.float(2, 2, 1, 3, 2)]),
      ]),
    LayerRow(
      "LayerNorm", "The last dimensions, of the sizes normalized_shape, brought to mean 0 and variance 1; times weight plus bias.",
      [Parameter("normalized_shape", .shape), eps("1e-05"), flag("elementwise_affine", "true"), flag("bias", "true"), .dtype],
      by: "layer_norm", required: [],
      prints: [.value("normalized_shape"), .named("eps"), .named("elementwise_affine"), .named("bias")],
      samples: [
        ModuleSample([.integer(5)], [.float(3, 5)]), ModuleSample([.list([3, 4]), .number(0.01)], [.float(2, 3, 4)]),
        ModuleSample([.integer(4), .number(1e-5), .flag(false)], [.float(2, 4)]),
        ModuleSample([.integer(4), .number(1e-5), .flag(true), .flag(false)], [.float(2, 4)]),
      ], complete: rows,
      state: { settings, dtype in
        try affine(settings, "elementwise_affine", settings.sizes("normalized_shape"), dtype, hasBias: settings.flag("bias"))
      }
    ),
    LayerRow(
      "RMSNorm", "The last dimensions, of the sizes normalized_shape, divided by the root of their mean square; times weight.",
      [Parameter("normalized_shape", .shape), Parameter("eps", .number, optional: true), flag("elementwise_affine", "true"), .dtype],
      by: "rms_norm", required: [], prints: [.value("normalized_shape"), .named("eps"), .named("elementwise_affine")],
      samples: [
        ModuleSample([.integer(5)], [.float(3, 5)]), ModuleSample([.list([3, 4]), .number(0.01), .flag(false)], [.float(2, 3, 4)]),
      ], complete: rows,
      state: { settings, dtype in
        Array(try affine(settings, "elementwise_affine", settings.sizes("normalized_shape"), dtype, hasBias: false).prefix(1))
      }
    ),
    LayerRow(
      "GroupNorm", "Each of num_groups groups of channels of each image brought to mean 0 and variance 1; times weight plus bias.",
      [Parameter("num_groups", .integer), Parameter("num_channels", .integer), eps("1e-05"), flag("affine", "true"), .dtype, bias],
      by: "group_norm", required: [],
      prints: [.value("num_groups"), .value("num_channels"), .named("eps"), .named("affine"), .named("bias")],
      samples: [
        ModuleSample([.integer(2), .integer(4)], [.float(2, 4, 3)]),
        ModuleSample([.integer(3), .integer(3), .number(0.1), .flag(false)], [.float(2, 3, 2, 2)]),
      ], complete: biasFollows("affine"),
      state: { settings, dtype in
        let (groups, count) = (try settings.integer("num_groups", atLeast: 1), try settings.integer("num_channels", atLeast: 1))
        guard count % groups == 0 else {
          throw TensorError(.argument, "GroupNorm", "num_channels = \(count) must be divisible by num_groups = \(groups)")
        }
        return try affine(settings, "affine", [count], dtype, hasBias: settings.flag("bias"))
      }
    ),
    LayerRow(
      "LocalResponseNorm", "x / (k + alpha · the mean square of size channels around)^beta.",
      [
        Parameter("size", .integer), Parameter("alpha", .number, default: "0.0001"), Parameter("beta", .number, default: "0.75"),
        Parameter("k", .number, default: "1.0"),
      ], by: "local_response_norm", prints: [.value("size"), .named("alpha"), .named("beta"), .named("k")],
      samples: [
        ModuleSample([.integer(3)], [.float(2, 5, 3)]),
        ModuleSample([.integer(2), .number(0.5), .number(0.5), .number(2)], [.float(1, 4, 2, 2)]),
      ]),
  ]

  static let kinds = table.map { $0.kind(Normalisation.self) }
}

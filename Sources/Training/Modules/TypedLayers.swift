// Layers as types of Swift's, for hosts that build models themselves: `Conv2d(1, 32, kernel: 3)`. What a layer is says its row; here are
// the names of its options in Swift, and only those that are given reach the row, which knows the rest.

import Tensors

/// A size for each dimension, or one for all: `3`, `[3, 5]`.
public struct Sizes: ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral, Sendable {
  let list: [Int]
  /// One size for all dimensions.
  public init(integerLiteral value: Int) { list = [value] }
  /// One for each.
  public init(arrayLiteral sizes: Int...) { list = sizes }
  /// One for each, or a single one for all.
  public init(_ sizes: [Int]) { list = sizes }
}

/// The margin around an image: `1`, `[1, 2]`, `.same`, `.valid`.
public enum Margin: ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral, Sendable {
  /// So much on both sides.
  case sizes(Sizes)
  /// As much as keeps the sizes, for strides of 1.
  case same
  /// None.
  case valid
  /// The same for all dimensions.
  public init(integerLiteral value: Int) { self = .sizes(Sizes([value])) }
  /// One for each dimension.
  public init(arrayLiteral sizes: Int...) { self = .sizes(Sizes(sizes)) }
}

/// What lies in the margin.
public enum MarginMode: String, Sendable {
  /// Zeros.
  case zeros
  /// The image mirrored at its outermost elements, which come once.
  case reflect
  /// Its outermost elements, again and again.
  case replicate
  /// What lies at the other end.
  case circular
}

extension Sizes {
  fileprivate var listed: Argument { list.count == 1 ? .integer(list[0]) : .integers(list) }
}

extension Layer {
  /// The options of the row by name, those that are nil left to it.
  fileprivate static func options(_ name: String, _ given: KeyValuePairs<String, Argument?>) -> (LayerRow, Arguments) {
    guard let row = ModuleCatalogue.kind(named: name)?.row else { preconditionFailure("there is no layer \(name)") }
    for (option, _) in given where !row.parameters.contains(where: { $0.name == option }) {
      preconditionFailure("\(name) has no option \(option)")
    }
    let values = row.parameters.map { parameter in given.first { $0.key == parameter.name }?.value ?? .absent }
    return (row, Arguments(name, values))
  }
}

extension Margin {
  fileprivate var argument: Argument {
    switch self {
    case .sizes(let sizes): sizes.listed
    case .same: .string("same")
    case .valid: .string("valid")
    }
  }
}

extension LayerRow {
  /// The types of layers that have one of their own; the others have that of their family.
  static let types: [String: Layer.Type] = [
    "Conv1d": Conv1d.self,
    "Conv2d": Conv2d.self,
    "Conv3d": Conv3d.self,
    "ConvTranspose1d": ConvTranspose1d.self,
    "ConvTranspose2d": ConvTranspose2d.self,
    "ConvTranspose3d": ConvTranspose3d.self,
    "MaxPool1d": MaxPool1d.self,
    "AvgPool1d": AvgPool1d.self,
    "AdaptiveAvgPool1d": AdaptiveAvgPool1d.self,
    "MaxPool2d": MaxPool2d.self,
    "AvgPool2d": AvgPool2d.self,
    "AdaptiveAvgPool2d": AdaptiveAvgPool2d.self,
    "MaxPool3d": MaxPool3d.self,
    "AvgPool3d": AvgPool3d.self,
    "AdaptiveAvgPool3d": AdaptiveAvgPool3d.self,
    "BatchNorm1d": BatchNorm1d.self,
    "BatchNorm2d": BatchNorm2d.self,
    "BatchNorm3d": BatchNorm3d.self,
    "LayerNorm": LayerNorm.self,
    "RMSNorm": RMSNorm.self,
    "GroupNorm": GroupNorm.self,
    "RNN": RNN.self,
    "LSTM": LSTM.self,
    "GRU": GRU.self,
    "MultiheadAttention": MultiheadAttention.self,
    "TransformerEncoderLayer": TransformerEncoderLayer.self,
    "TransformerDecoderLayer": TransformerDecoderLayer.self,
    "TransformerEncoder": TransformerEncoder.self,
    "TransformerDecoder": TransformerDecoder.self,
  ]
}

// MARK: Convolution

/// Convolution of `(batch, inChannels, length)`, with or without the batch, to `(batch, outChannels, …)`.
public final class Conv1d: Convolution {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ inChannels: Int, _ outChannels: Int, kernel: Sizes, stride: Sizes? = nil, padding: Margin? = nil, dilation: Sizes? = nil,
    groups: Int = 1, bias: Bool = true, paddingMode: MarginMode = .zeros, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "Conv1d",
      [
        "in_channels": .integer(inChannels), "out_channels": .integer(outChannels), "kernel_size": kernel.listed, "stride": stride?.listed,
        "padding": padding?.argument, "dilation": dilation?.listed, "groups": .integer(groups), "bias": .boolean(bias),
        "padding_mode": .string(paddingMode.rawValue), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// Convolution of `(batch, inChannels, height, width)`, with or without the batch, to `(batch, outChannels, …)`.
public final class Conv2d: Convolution {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ inChannels: Int, _ outChannels: Int, kernel: Sizes, stride: Sizes? = nil, padding: Margin? = nil, dilation: Sizes? = nil,
    groups: Int = 1, bias: Bool = true, paddingMode: MarginMode = .zeros, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "Conv2d",
      [
        "in_channels": .integer(inChannels), "out_channels": .integer(outChannels), "kernel_size": kernel.listed, "stride": stride?.listed,
        "padding": padding?.argument, "dilation": dilation?.listed, "groups": .integer(groups), "bias": .boolean(bias),
        "padding_mode": .string(paddingMode.rawValue), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// Convolution of `(batch, inChannels, depth, height, width)`, with or without the batch, to `(batch, outChannels, …)`.
public final class Conv3d: Convolution {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ inChannels: Int, _ outChannels: Int, kernel: Sizes, stride: Sizes? = nil, padding: Margin? = nil, dilation: Sizes? = nil,
    groups: Int = 1, bias: Bool = true, paddingMode: MarginMode = .zeros, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "Conv3d",
      [
        "in_channels": .integer(inChannels), "out_channels": .integer(outChannels), "kernel_size": kernel.listed, "stride": stride?.listed,
        "padding": padding?.argument, "dilation": dilation?.listed, "groups": .integer(groups), "bias": .boolean(bias),
        "padding_mode": .string(paddingMode.rawValue), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// The transpose of a convolution: from `(batch, inChannels, length)` to `(batch, outChannels, …)`.
public final class ConvTranspose1d: Convolution {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ inChannels: Int, _ outChannels: Int, kernel: Sizes, stride: Sizes? = nil, padding: Sizes? = nil, outputPadding: Sizes? = nil,
    dilation: Sizes? = nil, groups: Int = 1, bias: Bool = true, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "ConvTranspose1d",
      [
        "in_channels": .integer(inChannels), "out_channels": .integer(outChannels), "kernel_size": kernel.listed, "stride": stride?.listed,
        "padding": padding?.listed, "output_padding": outputPadding?.listed, "dilation": dilation?.listed, "groups": .integer(groups),
        "bias": .boolean(bias), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// The transpose of a convolution: from `(batch, inChannels, height, width)` to `(batch, outChannels, …)`.
public final class ConvTranspose2d: Convolution {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ inChannels: Int, _ outChannels: Int, kernel: Sizes, stride: Sizes? = nil, padding: Sizes? = nil, outputPadding: Sizes? = nil,
    dilation: Sizes? = nil, groups: Int = 1, bias: Bool = true, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "ConvTranspose2d",
      [
        "in_channels": .integer(inChannels), "out_channels": .integer(outChannels), "kernel_size": kernel.listed, "stride": stride?.listed,
        "padding": padding?.listed, "output_padding": outputPadding?.listed, "dilation": dilation?.listed, "groups": .integer(groups),
        "bias": .boolean(bias), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// The transpose of a convolution: from `(batch, inChannels, depth, height, width)` to `(batch, outChannels, …)`.
public final class ConvTranspose3d: Convolution {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ inChannels: Int, _ outChannels: Int, kernel: Sizes, stride: Sizes? = nil, padding: Sizes? = nil, outputPadding: Sizes? = nil,
    dilation: Sizes? = nil, groups: Int = 1, bias: Bool = true, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "ConvTranspose3d",
      [
        "in_channels": .integer(inChannels), "out_channels": .integer(outChannels), "kernel_size": kernel.listed, "stride": stride?.listed,
        "padding": padding?.listed, "output_padding": outputPadding?.listed, "dilation": dilation?.listed, "groups": .integer(groups),
        "bias": .boolean(bias), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

// MARK: Pooling

/// The largest element of each window of `(batch, channels, length)`. The stride is the window's size unless given.
public final class MaxPool1d: Pooling {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ kernel: Sizes, stride: Sizes? = nil, padding: Sizes? = nil, dilation: Sizes? = nil, ceilMode: Bool = false)
    throws
  {
    let (row, arguments) = Layer.options(
      "MaxPool1d",
      [
        "kernel_size": kernel.listed, "stride": stride?.listed, "padding": padding?.listed, "dilation": dilation?.listed,
        "ceil_mode": .boolean(ceilMode),
      ])
    try self.init(row, arguments)
  }
}

/// The mean of each window of `(batch, channels, length)`. The stride is the window's size unless given.
public final class AvgPool1d: Pooling {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ kernel: Sizes, stride: Sizes? = nil, padding: Sizes? = nil, ceilMode: Bool = false, countsPadding: Bool = true)
    throws
  {
    let (row, arguments) = Layer.options(
      "AvgPool1d",
      [
        "kernel_size": kernel.listed, "stride": stride?.listed, "padding": padding?.listed, "ceil_mode": .boolean(ceilMode),
        "count_include_pad": .boolean(countsPadding),
      ])
    try self.init(row, arguments)
  }
}

/// The means of windows that cover `(batch, channels, length)`, as many as the output has places.
public final class AdaptiveAvgPool1d: Pooling {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ output: Sizes) throws {
    let (row, arguments) = Layer.options("AdaptiveAvgPool1d", ["output_size": output.listed])
    try self.init(row, arguments)
  }
}

/// The largest element of each window of `(batch, channels, height, width)`. The stride is the window's size unless given.
public final class MaxPool2d: Pooling {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ kernel: Sizes, stride: Sizes? = nil, padding: Sizes? = nil, dilation: Sizes? = nil, ceilMode: Bool = false)
    throws
  {
    let (row, arguments) = Layer.options(
      "MaxPool2d",
      [
        "kernel_size": kernel.listed, "stride": stride?.listed, "padding": padding?.listed, "dilation": dilation?.listed,
        "ceil_mode": .boolean(ceilMode),
      ])
    try self.init(row, arguments)
  }
}

/// The mean of each window of `(batch, channels, height, width)`. The stride is the window's size unless given.
public final class AvgPool2d: Pooling {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ kernel: Sizes, stride: Sizes? = nil, padding: Sizes? = nil, ceilMode: Bool = false, countsPadding: Bool = true)
    throws
  {
    let (row, arguments) = Layer.options(
      "AvgPool2d",
      [
        "kernel_size": kernel.listed, "stride": stride?.listed, "padding": padding?.listed, "ceil_mode": .boolean(ceilMode),
        "count_include_pad": .boolean(countsPadding),
      ])
    try self.init(row, arguments)
  }
}

/// The means of windows that cover `(batch, channels, height, width)`, as many as the output has places.
public final class AdaptiveAvgPool2d: Pooling {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ output: Sizes) throws {
    let (row, arguments) = Layer.options("AdaptiveAvgPool2d", ["output_size": output.listed])
    try self.init(row, arguments)
  }
}

/// The largest element of each window of `(batch, channels, depth, height, width)`. The stride is the window's size unless given.
public final class MaxPool3d: Pooling {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ kernel: Sizes, stride: Sizes? = nil, padding: Sizes? = nil, dilation: Sizes? = nil, ceilMode: Bool = false)
    throws
  {
    let (row, arguments) = Layer.options(
      "MaxPool3d",
      [
        "kernel_size": kernel.listed, "stride": stride?.listed, "padding": padding?.listed, "dilation": dilation?.listed,
        "ceil_mode": .boolean(ceilMode),
      ])
    try self.init(row, arguments)
  }
}

/// The mean of each window of `(batch, channels, depth, height, width)`. The stride is the window's size unless given.
public final class AvgPool3d: Pooling {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ kernel: Sizes, stride: Sizes? = nil, padding: Sizes? = nil, ceilMode: Bool = false, countsPadding: Bool = true)
    throws
  {
    let (row, arguments) = Layer.options(
      "AvgPool3d",
      [
        "kernel_size": kernel.listed, "stride": stride?.listed, "padding": padding?.listed, "ceil_mode": .boolean(ceilMode),
        "count_include_pad": .boolean(countsPadding),
      ])
    try self.init(row, arguments)
  }
}

/// The means of windows that cover `(batch, channels, depth, height, width)`, as many as the output has places.
public final class AdaptiveAvgPool3d: Pooling {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ output: Sizes) throws {
    let (row, arguments) = Layer.options("AdaptiveAvgPool3d", ["output_size": output.listed])
    try self.init(row, arguments)
  }
}

// MARK: Normalisation

/// Each channel brought to mean 0 and variance 1 by the batch's statistics while training, by running ones after that.
public final class BatchNorm1d: Normalisation {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ features: Int, eps: Double = 1e-5, momentum: Double? = 0.1, affine: Bool = true, tracksStatistics: Bool = true, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "BatchNorm1d",
      [
        "num_features": .integer(features), "eps": .number(.real(eps)), "momentum": momentum.map { .number(.real($0)) } ?? .boolean(false),
        "affine": .boolean(affine), "track_running_stats": .boolean(tracksStatistics), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// Each channel brought to mean 0 and variance 1 by the batch's statistics while training, by running ones after that.
public final class BatchNorm2d: Normalisation {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ features: Int, eps: Double = 1e-5, momentum: Double? = 0.1, affine: Bool = true, tracksStatistics: Bool = true, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "BatchNorm2d",
      [
        "num_features": .integer(features), "eps": .number(.real(eps)), "momentum": momentum.map { .number(.real($0)) } ?? .boolean(false),
        "affine": .boolean(affine), "track_running_stats": .boolean(tracksStatistics), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// Each channel brought to mean 0 and variance 1 by the batch's statistics while training, by running ones after that.
public final class BatchNorm3d: Normalisation {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ features: Int, eps: Double = 1e-5, momentum: Double? = 0.1, affine: Bool = true, tracksStatistics: Bool = true, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "BatchNorm3d",
      [
        "num_features": .integer(features), "eps": .number(.real(eps)), "momentum": momentum.map { .number(.real($0)) } ?? .boolean(false),
        "affine": .boolean(affine), "track_running_stats": .boolean(tracksStatistics), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// The last dimensions, of the sizes `shape`, brought to mean 0 and variance 1; times weight plus bias.
public final class LayerNorm: Normalisation {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ shape: Sizes, eps: Double = 1e-5, affine: Bool = true, bias: Bool = true, dtype: DType? = nil) throws {
    let (row, arguments) = Layer.options(
      "LayerNorm",
      [
        "normalized_shape": .integers(shape.list), "eps": .number(.real(eps)), "elementwise_affine": .boolean(affine),
        "bias": .boolean(bias), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// The last dimensions, of the sizes `shape`, divided by the root of their mean square; times weight.
public final class RMSNorm: Normalisation {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ shape: Sizes, eps: Double? = nil, affine: Bool = true, dtype: DType? = nil) throws {
    let (row, arguments) = Layer.options(
      "RMSNorm",
      [
        "normalized_shape": .integers(shape.list), "eps": eps.map { .number(.real($0)) }, "elementwise_affine": .boolean(affine),
        "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// Each group of channels of each image brought to mean 0 and variance 1; times weight plus bias.
public final class GroupNorm: Normalisation {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ groups: Int, _ channels: Int, eps: Double = 1e-5, affine: Bool = true, dtype: DType? = nil) throws {
    let (row, arguments) = Layer.options(
      "GroupNorm",
      [
        "num_groups": .integer(groups), "num_channels": .integer(channels), "eps": .number(.real(eps)), "affine": .boolean(affine),
        "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

// MARK: Recurrent

/// Elman's network: from `(length, batch, inputSize)` to the outputs `(length, batch, hiddenSize)` and the last states.
public final class RNN: Recurrent {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ inputSize: Int, _ hiddenSize: Int, layers: Int = 1, bias: Bool = true, batchFirst: Bool = false, dropout: Double = 0,
    bidirectional: Bool = false, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "RNN",
      [
        "input_size": .integer(inputSize), "hidden_size": .integer(hiddenSize), "num_layers": .integer(layers), "bias": .boolean(bias),
        "batch_first": .boolean(batchFirst), "dropout": .number(.real(dropout)), "bidirectional": .boolean(bidirectional),
        "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// Long short-term memory: from `(length, batch, inputSize)` to the outputs `(length, batch, hiddenSize)` and the last states.
public final class LSTM: Recurrent {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ inputSize: Int, _ hiddenSize: Int, layers: Int = 1, bias: Bool = true, batchFirst: Bool = false, dropout: Double = 0,
    bidirectional: Bool = false, projection: Int = 0, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "LSTM",
      [
        "input_size": .integer(inputSize), "hidden_size": .integer(hiddenSize), "num_layers": .integer(layers), "bias": .boolean(bias),
        "batch_first": .boolean(batchFirst), "dropout": .number(.real(dropout)), "bidirectional": .boolean(bidirectional),
        "proj_size": .integer(projection), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// Gated recurrent units: from `(length, batch, inputSize)` to the outputs `(length, batch, hiddenSize)` and the last states.
public final class GRU: Recurrent {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ inputSize: Int, _ hiddenSize: Int, layers: Int = 1, bias: Bool = true, batchFirst: Bool = false, dropout: Double = 0,
    bidirectional: Bool = false, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "GRU",
      [
        "input_size": .integer(inputSize), "hidden_size": .integer(hiddenSize), "num_layers": .integer(layers), "bias": .boolean(bias),
        "batch_first": .boolean(batchFirst), "dropout": .number(.real(dropout)), "bidirectional": .boolean(bidirectional),
        "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

// MARK: AttentionLayer

/// Attention of several heads: `forward` takes query, key and value, `(length, batch, embed)` each, and gives `(length, batch, embed)` and the weights.
public final class MultiheadAttention: AttentionLayer {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ embed: Int, heads: Int, dropout: Double = 0, bias: Bool = true, keyWidth: Int? = nil, valueWidth: Int? = nil,
    batchFirst: Bool = false, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "MultiheadAttention",
      [
        "embed_dim": .integer(embed), "num_heads": .integer(heads), "dropout": .number(.real(dropout)), "bias": .boolean(bias),
        "kdim": keyWidth.map { .integer($0) }, "vdim": valueWidth.map { .integer($0) }, "batch_first": .boolean(batchFirst),
        "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// Self-attention and two linear layers, each with a residual and a norm: from `(length, batch, width)` to the same.
public final class TransformerEncoderLayer: AttentionLayer {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ width: Int, heads: Int, hidden: Int = 2048, dropout: Double = 0.1, activation: Module? = nil, eps: Double = 1e-5,
    batchFirst: Bool = false, normFirst: Bool = false, bias: Bool = true, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "TransformerEncoderLayer",
      [
        "d_model": .integer(width), "nhead": .integer(heads), "dim_feedforward": .integer(hidden), "dropout": .number(.real(dropout)),
        "activation": activation.map { .object($0) }, "layer_norm_eps": .number(.real(eps)), "batch_first": .boolean(batchFirst),
        "norm_first": .boolean(normFirst), "bias": .boolean(bias), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// Self-attention, attention to a memory, and two linear layers, each with a residual and a norm: from `(length, batch, width)` to the same.
public final class TransformerDecoderLayer: AttentionLayer {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(
    _ width: Int, heads: Int, hidden: Int = 2048, dropout: Double = 0.1, activation: Module? = nil, eps: Double = 1e-5,
    batchFirst: Bool = false, normFirst: Bool = false, bias: Bool = true, dtype: DType? = nil
  ) throws {
    let (row, arguments) = Layer.options(
      "TransformerDecoderLayer",
      [
        "d_model": .integer(width), "nhead": .integer(heads), "dim_feedforward": .integer(hidden), "dropout": .number(.real(dropout)),
        "activation": activation.map { .object($0) }, "layer_norm_eps": .number(.real(eps)), "batch_first": .boolean(batchFirst),
        "norm_first": .boolean(normFirst), "bias": .boolean(bias), "dtype": dtype.map { .dtype($0) },
      ])
    try self.init(row, arguments)
  }
}

/// Copies of a layer one after another, and a norm after them.
public final class TransformerEncoder: AttentionLayer {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ layer: Module, layers: Int, norm: Module? = nil) throws {
    let (row, arguments) = Layer.options(
      "TransformerEncoder", ["encoder_layer": .object(layer), "num_layers": .integer(layers), "norm": norm.map { .object($0) }])
    try self.init(row, arguments)
  }
}

/// Copies of a layer one after another, each given the memory, and a norm after them.
public final class TransformerDecoder: AttentionLayer {
  /// Throws for impossible sizes. Initial values are PyTorch's for the same seed.
  public convenience init(_ layer: Module, layers: Int, norm: Module? = nil) throws {
    let (row, arguments) = Layer.options(
      "TransformerDecoder", ["decoder_layer": .object(layer), "num_layers": .integer(layers), "norm": norm.map { .object($0) }])
    try self.init(row, arguments)
  }
}

// The list of all initializers under PyTorch's names: what Lua binds as nn.init and help explains.

import Tensors

extension Initializer {
  private static let tensor = Take.tensor("tensor")
  private static let gain = Take.number("gain", default: 1)
  private static let std = Take.number("std", default: 1)
  private static let mode = Take.text("mode", default: "fan_in").oneOf("fan_in", "fan_out")
  private static let nonlinearity = Take.text("nonlinearity", default: "leaky_relu").oneOf(
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid", "tanh", "relu",
    "leaky_relu", "selu")

  /// Each element of a batch has numbers of its own, or the same, as vmap is told.
  private static let draws = BatchingRule.random(elementwise: false)

  /// Functions of a tensor that fill it and return it, and the factor that some of them use.
  package static let operations: [TensorOperation] = [
    TensorOperation(
      "uniform_", "Uniform between a and b.", tensor, Take.number("a", default: 0), Take.number("b", default: 1),
      forms: .function, samples: [[.float(2, 3)], [.float(2, 3), .number(-2), .number(3)]], batching: draws
    ) { .tensor(try uniform($0, from: $1, to: $2)) },
    TensorOperation(
      "normal_", "Normal.", tensor, Take.number("mean", default: 0), std,
      forms: .function, samples: [[.float(2, 3)], [.float(4, 5), .number(1), .number(2)]], batching: draws
    ) { .tensor(try normal($0, mean: $1, std: $2)) },
    TensorOperation(
      "trunc_normal_", "Normal, with values outside a…b drawn again.",
      tensor, Take.number("mean", default: 0), std, Take.number("a", default: -2), Take.number("b", default: 2),
      forms: .function, samples: [[.float(5)], [.float(40), .number(0.5), .number(1), .number(-0.5), .number(1)]], batching: draws
    ) { .tensor(try truncatedNormal($0, mean: $1, std: $2, low: $3, high: $4)) },
    TensorOperation(
      "constant_", "One value everywhere.", tensor, Take.number("val"), forms: .function,
      samples: [[.float(2, 3), .number(0.3)]]
    ) { .tensor(try constant($0, $1)) },
    TensorOperation("zeros_", "0 everywhere.", tensor, forms: .function, samples: [[.float(2, 3)]]) {
      .tensor(try constant($0, 0))
    },
    TensorOperation("ones_", "1 everywhere.", tensor, forms: .function, samples: [[.float(2, 3)]]) {
      .tensor(try constant($0, 1))
    },
    TensorOperation(
      "eye_", "1 on the diagonal of a matrix, else 0.", tensor, forms: .function,
      samples: [[.float(2, 3)]], rejects: [[.float(2)]]
    ) { .tensor(try eye($0)) },
    TensorOperation(
      "xavier_uniform_", "Uniform between ±gain · √(6 / (fan-in + fan-out)).", tensor, gain,
      forms: .function, samples: [[.float(2, 3)], [.float(2, 3, 2), .number(2)]], rejects: [[.float(2)]], batching: draws
    ) { .tensor(try xavierUniform($0, gain: $1)) },
    TensorOperation(
      "xavier_normal_", "Normal with deviation gain · √(2 / (fan-in + fan-out)).", tensor, gain,
      forms: .function, samples: [[.float(2, 3)], [.float(2, 3, 2), .number(2)]], rejects: [[.float(2)]], batching: draws
    ) { .tensor(try xavierNormal($0, gain: $1)) },
    TensorOperation(
      "kaiming_uniform_", "Uniform between ±gain · √(3 / fan), with the nonlinearity's gain.", tensor, Take.number("a", default: 0), mode,
      nonlinearity,
      forms: .function,
      samples: [
        [.float(2, 3)], [.float(2, 3, 2), .number(0), .text("fan_out"), .text("relu")],
        [.float(2, 3), .number(0.2), .text("fan_in"), .text("tanh")],
      ], rejects: [[.float(2)], [.float(2, 3), .number(0), .text("fan")]], batching: draws
    ) { .tensor(try kaimingUniform($0, negativeSlope: $1, fan: Fan(named: $2, "kaiming_uniform_"), nonlinearity: $3)) },
    TensorOperation(
      "kaiming_normal_", "Normal with deviation gain / √fan, with the nonlinearity's gain.", tensor, Take.number("a", default: 0), mode,
      nonlinearity, forms: .function,
      samples: [[.float(2, 3)], [.float(4, 3, 2), .number(0), .text("fan_out"), .text("relu")]],
      rejects: [[.float(2)], [.float(2, 3), .number(0), .text("fan_in"), .text("sine")]], batching: draws
    ) { .tensor(try kaimingNormal($0, negativeSlope: $1, fan: Fan(named: $2, "kaiming_normal_"), nonlinearity: $3)) },
    TensorOperation(
      "orthogonal_", "Orthogonal rows or columns of length gain.", tensor, gain, forms: .function,
      samples: [[.float(3, 3)], [.float(2, 5), .number(2)], [.float(5, 2)], [.float(4, 2, 3)]], rejects: [[.float(2)]], batching: draws
    ) { .tensor(try orthogonal($0, gain: $1)) },
    TensorOperation(
      "dirac_", "The identity as a convolution's weight: 1 in the middle of each filter of its own channel, else 0.", tensor,
      Take.integer("groups", default: 1), forms: .function,
      samples: [[.float(3, 2, 3)], [.float(4, 2, 2, 3), .integer(2)], [.float(2, 3, 1, 2, 3)]],
      rejects: [[.float(2, 3)], [.float(3, 2, 3), .integer(2)]]
    ) { .tensor(try dirac($0, groups: $1)) },
    TensorOperation(
      "sparse_", "Normal, with a part of each column 0, which are drawn.", tensor, Take.number("sparsity"),
      Take.number("std", default: 0.01), forms: .function,
      samples: [[.float(6, 4), .number(0.5)], [.float(5, 3), .number(0.1), .number(2)]],
      rejects: [[.float(3), .number(0.5)], [.float(3, 3), .number(2)]], batching: draws
    ) { .tensor(try sparse($0, sparsity: $1, std: $2)) },
    TensorOperation(
      "calculate_gain", "The factor by which weights before a nonlinearity are larger, so that the variance stays.",
      Take.text("nonlinearity").oneOf(
        "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid", "tanh", "relu",
        "leaky_relu", "selu"), Take.optionalScalar("param"), forms: .function
    ) { .number(.real(try gain($0, $1?.real))) },
  ]
}

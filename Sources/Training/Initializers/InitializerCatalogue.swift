// The list of all initializers under PyTorch's names: what Lua binds as nn.init and help explains.

import Tensors

extension Initializer {
  private static let gain = Parameter("gain", .number, default: "1")
  private static let std = Parameter("std", .number, default: "1")
  private static func number(_ name: String, _ text: String) -> Parameter { Parameter(name, .number, default: text) }

  private static let kaiming: [Parameter] = [
    .init("tensor", .tensor), number("a", "0"), .init("mode", .string, default: "\"fan_in\""),
    .init("nonlinearity", .string, default: "\"leaky_relu\""),
  ]

  /// Functions of a tensor that fill it and return it, and the factor that some of them use.
  package static let operations: [TensorOperation] = [
    TensorOperation(
      "uniform_", "Uniform between a and b.", [.init("tensor", .tensor), number("a", "0"), number("b", "1")],
      forms: .function, samples: [[.float(2, 3)], [.float(2, 3), .number(-2), .number(3)]]
    ) { .tensor(try uniform($0.tensor(0), from: $0.number(1, default: 0), to: $0.number(2, default: 1))) },
    TensorOperation(
      "normal_", "Normal.", [.init("tensor", .tensor), number("mean", "0"), std],
      forms: .function, samples: [[.float(2, 3)], [.float(4, 5), .number(1), .number(2)]]
    ) { .tensor(try normal($0.tensor(0), mean: $0.number(1, default: 0), std: $0.number(2, default: 1))) },
    TensorOperation(
      "trunc_normal_", "Normal, with values outside a…b drawn again.",
      [.init("tensor", .tensor), number("mean", "0"), std, number("a", "-2"), number("b", "2")],
      forms: .function, samples: [[.float(5)], [.float(40), .number(0.5), .number(1), .number(-0.5), .number(1)]]
    ) {
      .tensor(
        try truncatedNormal(
          $0.tensor(0), mean: $0.number(1, default: 0), std: $0.number(2, default: 1), low: $0.number(3, default: -2),
          high: $0.number(4, default: 2)))
    },
    TensorOperation(
      "constant_", "One value everywhere.", [.init("tensor", .tensor), .init("val", .number)], forms: .function,
      samples: [[.float(2, 3), .number(0.3)]]
    ) { .tensor(try constant($0.tensor(0), $0.number(1).real)) },
    TensorOperation("zeros_", "0 everywhere.", [.init("tensor", .tensor)], forms: .function, samples: [[.float(2, 3)]]) {
      .tensor(try constant($0.tensor(0), 0))
    },
    TensorOperation("ones_", "1 everywhere.", [.init("tensor", .tensor)], forms: .function, samples: [[.float(2, 3)]]) {
      .tensor(try constant($0.tensor(0), 1))
    },
    TensorOperation(
      "eye_", "1 on the diagonal of a matrix, else 0.", [.init("tensor", .tensor)], forms: .function,
      samples: [[.float(2, 3)]], rejects: [[.float(2)]]
    ) { .tensor(try eye($0.tensor(0))) },
    TensorOperation(
      "xavier_uniform_", "Uniform between ±gain · √(6 / (fan-in + fan-out)).", [.init("tensor", .tensor), gain],
      forms: .function, samples: [[.float(2, 3)], [.float(2, 3, 2), .number(2)]], rejects: [[.float(2)]]
    ) { .tensor(try xavierUniform($0.tensor(0), gain: $0.number(1, default: 1))) },
    TensorOperation(
      "xavier_normal_", "Normal with deviation gain · √(2 / (fan-in + fan-out)).", [.init("tensor", .tensor), gain],
      forms: .function, samples: [[.float(2, 3)], [.float(2, 3, 2), .number(2)]], rejects: [[.float(2)]]
    ) { .tensor(try xavierNormal($0.tensor(0), gain: $0.number(1, default: 1))) },
    TensorOperation(
      "kaiming_uniform_", "Uniform between ±gain · √(3 / fan), with the nonlinearity's gain.", kaiming,
      forms: .function,
      samples: [
        [.float(2, 3)], [.float(2, 3, 2), .number(0), .text("fan_out"), .text("relu")],
        [.float(2, 3), .number(0.2), .text("fan_in"), .text("tanh")],
      ], rejects: [[.float(2)], [.float(2, 3), .number(0), .text("fan")]]
    ) {
      .tensor(
        try kaimingUniform(
          $0.tensor(0), negativeSlope: $0.number(1, default: 0), fan: fan($0), nonlinearity: $0.string(3, default: "leaky_relu")))
    },
    TensorOperation(
      "kaiming_normal_", "Normal with deviation gain / √fan, with the nonlinearity's gain.", kaiming, forms: .function,
      samples: [[.float(2, 3)], [.float(4, 3, 2), .number(0), .text("fan_out"), .text("relu")]],
      rejects: [[.float(2)], [.float(2, 3), .number(0), .text("fan_in"), .text("sine")]]
    ) {
      .tensor(
        try kaimingNormal(
          $0.tensor(0), negativeSlope: $0.number(1, default: 0), fan: fan($0), nonlinearity: $0.string(3, default: "leaky_relu")))
    },
    TensorOperation(
      "orthogonal_", "Orthogonal rows or columns of length gain.", [.init("tensor", .tensor), gain], forms: .function,
      samples: [[.float(3, 3)], [.float(2, 5), .number(2)], [.float(5, 2)], [.float(4, 2, 3)]], rejects: [[.float(2)]]
    ) { .tensor(try orthogonal($0.tensor(0), gain: $0.number(1, default: 1))) },
    TensorOperation(
      "calculate_gain", "The factor by which weights before a nonlinearity are larger, so that the variance stays.",
      [.init("nonlinearity", .string), .init("param", .number, optional: true)], forms: .function
    ) { .number(.real(try gain($0.string(0, default: ""), $0.optionalNumber(1)?.real))) },
  ]

  private static func fan(_ given: Arguments) throws -> Fan {
    try Fan(named: given.string(2, default: "fan_in"), given.operation)
  }
}

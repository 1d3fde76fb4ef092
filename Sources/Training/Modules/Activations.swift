// Activations as modules: functions of one tensor with options, a row of the table each.

import Tensors

/// An elementwise function, or a softmax, as a module without parameters.
public class Activation: FunctionModule {
  /// The activation of that name, with its default options.
  public convenience init(named name: String) throws {
    try self.init(Activation.table.row(named: name, "Activation"), Arguments(name, []))
  }

  /// One of the table's own names and options, which cannot fail.
  fileprivate convenience init(_ name: String, known options: [Argument] = []) {
    try! self.init(Activation.table.row(named: name, "Activation"), Arguments(name, options))
  }

  public override final func extraDescription(indexBase base: Int) -> String { settings.description(indexBase: base) }

  override final func arguments(of operation: TensorOperation, _ inputs: [Tensor]) throws -> [Argument] {
    var arguments = try super.arguments(of: operation, inputs)
    // The dimension that is taken where none was given, of what an element of a batch has.
    for (position, parameter) in operation.parameters.enumerated() where parameter.kind == .dimension {
      if case .absent = arguments[position] { arguments[position] = .integer(Activation.usualDimension(inputs[0].ownSizes.count)) }
    }
    return arguments
  }

  /// max(x, 0).
  public static func relu() -> Activation { ReLU() }
  /// The hyperbolic tangent.
  public static func tanh() -> Activation { Tanh() }
  /// 1 / (1 + e^−x).
  public static func sigmoid() -> Activation { Sigmoid() }
}

extension Activation {
  /// One activation. Where it can work in place, that is its last option.
  private static func row(
    _ name: String, _ summary: String, _ parameters: [Parameter] = [], samples: [Sample] = [], inPlace: Bool = false,
    _ function: @escaping (Settings) throws -> (Tensor) throws -> Tensor
  ) -> FunctionRow {
    FunctionRow(
      name: name, summary: summary, parameters: parameters + (inPlace ? [.init("inplace", .boolean, default: "false")] : []),
      inputs: [.input], samples: ([[]] + samples).map { ModuleSample($0, [.float(2, 3)]) }
    ) { settings in
      let plain = try function(settings)
      guard inPlace, settings.boolean(parameters.count) else { return .one(plain) }
      return .one { x in try x.writing(name.lowercased()) { try plain($0) } }
    }
  }

  private static func number(_ name: String, _ text: String) -> Parameter { Parameter(name, .number, default: text) }
  private static let dim = Parameter("dim", .dimension, optional: true)

  /// PyTorch's choice where no dimension is given: the first for 0, 1 and 3 dimensions, else the second.
  fileprivate static func usualDimension(_ rank: Int) -> Int { rank == 0 || rank == 1 || rank == 3 ? 0 : 1 }

  private static func dimension(_ settings: Settings, _ x: Tensor) -> Int { settings.index(0) ?? usualDimension(x.rank) }

  private static let table: [FunctionRow] = [
    // By their methods, as a call of an operation from another library takes 10 ns more.
    row("ReLU", "The element where it is positive, else 0.", inPlace: true) { _ in { try $0.relu() } },
    row("Tanh", "The hyperbolic tangent.") { _ in { try $0.tanh() } },
    row("Sigmoid", "1 / (1 + e^−x).") { _ in { try $0.sigmoid() } },
    row("Softmax", "e^x / Σ e^x along a dimension.", [dim], samples: [[.integer(0)], [.integer(-1)]]) { settings in
      { try $0.softmax(dimension(settings, $0)) }
    },
    row("LogSoftmax", "x − ln Σ e^x along a dimension.", [dim], samples: [[.integer(0)], [.integer(-1)]]) { settings in
      { try $0.logSoftmax(dimension(settings, $0)) }
    },
    row(
      "LeakyReLU", "x where positive, else negative_slope · x.", [number("negative_slope", "0.01")], samples: [[.number(0.2)]],
      inPlace: true
    ) { settings in
      let slope = settings.number(0)
      return { try $0.leakyRelu(slope) }
    },
    row("ELU", "x where positive, else alpha · (e^x − 1).", [number("alpha", "1")], samples: [[.number(0.5)]], inPlace: true) { settings in
      let alpha = settings.number(0)
      return { try $0.elu(alpha) }
    },
    row(
      "GELU", "x · Φ(x); approximate = \"tanh\" is faster and a little off.",
      [
        Parameter("approximate", .string, default: "\"none\"").oneOf("none", "tanh")
      ],
      samples: [[.text("tanh")]]
    ) { settings in
      let approximate = settings.string(0)
      guard approximate == "none" || approximate == "tanh" else {
        throw TensorError(.argument, "GELU", "approximate must be \"none\" or \"tanh\", got \"\(approximate)\"")
      }
      return { try $0.gelu(approximate: approximate) }
    },
    row("SiLU", "x · sigmoid(x).", inPlace: true) { _ in { try Unary.silu($0) } },
    row(
      "Softplus", "ln(1 + e^(beta·x)) / beta, and x itself where beta · x exceeds the threshold.",
      [number("beta", "1"), number("threshold", "20")], samples: [[.number(2), .number(1)]]
    ) { settings in
      let (beta, threshold) = (settings.number(0), settings.number(1))
      return { try $0.softplus(beta, threshold) }
    },
    row("Softsign", "x / (1 + |x|).") { _ in { try Unary.softsign($0) } },
    row(
      "Hardtanh", "Elements limited to min_val…max_val.", [number("min_val", "-1"), number("max_val", "1")],
      samples: [[.number(-0.5), .number(0.75)]], inPlace: true
    ) { settings in
      let (low, high) = (settings.number(0), settings.number(1))
      guard low < high else {
        throw TensorError(.argument, "Hardtanh", "max_val = \(pythonNumber(high)) must exceed min_val = \(pythonNumber(low))")
      }
      return { try $0.hardtanh(low, high) }
    },
    row("ReLU6", "Elements limited to 0…6.", inPlace: true) { _ in { try Unary.relu6($0) } },
    row("Hardsigmoid", "clamp(x / 6 + 1/2, 0, 1).", inPlace: true) { _ in { try Unary.hardsigmoid($0) } },
    row("Hardswish", "x · hardsigmoid(x).", inPlace: true) { _ in { try Unary.hardswish($0) } },
    row("Mish", "x · tanh(softplus(x)).", inPlace: true) { _ in { try Unary.mish($0) } },
    row("LogSigmoid", "The logarithm of the sigmoid, exact in the tail.") { _ in { try Unary.logsigmoid($0) } },
  ]

  /// Those that have a type of their own.
  private static let types: [String: Activation.Type] = [
    "ReLU": ReLU.self, "Tanh": Tanh.self, "Sigmoid": Sigmoid.self, "SiLU": SiLU.self, "Mish": Mish.self, "GELU": GELU.self,
    "LeakyReLU": LeakyReLU.self, "ELU": ELU.self, "Softplus": Softplus.self, "Softmax": Softmax.self, "LogSoftmax": LogSoftmax.self,
  ]

  static let kinds = table.map { $0.kind(types[$0.name] ?? Activation.self) }
}

// MARK: By their types

/// x where positive, else 0.
public final class ReLU: Activation {
  /// It has no options.
  public convenience init() { self.init("ReLU", known: []) }
}

/// The hyperbolic tangent.
public final class Tanh: Activation {
  /// It has no options.
  public convenience init() { self.init("Tanh", known: []) }
}

/// 1 / (1 + e^−x).
public final class Sigmoid: Activation {
  /// It has no options.
  public convenience init() { self.init("Sigmoid", known: []) }
}

/// x · sigmoid(x).
public final class SiLU: Activation {
  /// It has no options.
  public convenience init() { self.init("SiLU", known: []) }
}

/// x · tanh(ln(1 + e^x)).
public final class Mish: Activation {
  /// It has no options.
  public convenience init() { self.init("Mish", known: []) }
}

/// x · Φ(x), Φ being the distribution function of normal numbers.
public final class GELU: Activation {
  /// How Φ is computed: by the error function, or by tanh, which is faster and a little off.
  public enum Approximation: String, Sendable {
    /// By the error function.
    case none
    /// By tanh.
    case tanh
  }

  /// Exact unless told otherwise.
  public convenience init(approximate: Approximation = .none) { self.init("GELU", known: [.string(approximate.rawValue)]) }
}

/// x where positive, else slope · x.
public final class LeakyReLU: Activation {
  /// The slope for negative elements.
  public convenience init(negativeSlope: Double = 0.01) { self.init("LeakyReLU", known: [.number(.real(negativeSlope))]) }
}

/// x where positive, else alpha · (e^x − 1).
public final class ELU: Activation {
  /// What negative elements tend to, but for its sign.
  public convenience init(alpha: Double = 1) { self.init("ELU", known: [.number(.real(alpha))]) }
}

/// ln(1 + e^(beta·x)) / beta, and x itself where beta · x exceeds the threshold.
public final class Softplus: Activation {
  /// PyTorch's values unless told otherwise.
  public convenience init(beta: Double = 1, threshold: Double = 20) {
    self.init("Softplus", known: [.number(.real(beta)), .number(.real(threshold))])
  }
}

/// e^x / Σ e^x along a dimension.
public final class Softmax: Activation {
  /// The dimension counts from 0, from the end where it is negative.
  public convenience init(dim: Int) { self.init("Softmax", known: [.integer(dim)]) }
}

/// x − ln Σ e^x along a dimension.
public final class LogSoftmax: Activation {
  /// The dimension counts from 0, from the end where it is negative.
  public convenience init(dim: Int) { self.init("LogSoftmax", known: [.integer(dim)]) }
}

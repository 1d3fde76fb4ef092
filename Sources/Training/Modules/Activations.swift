// Activations as modules: functions of one tensor with options, a row of the table each.

import Tensors

/// An elementwise function, or a softmax, as a module without parameters.
public final class Activation: Module {
  typealias Function = (Tensor) throws -> Tensor

  private let row: Row
  private(set) var settings: Settings
  /// The function with the options filled in.
  @exclusivity(unchecked) private var function: Function

  fileprivate init(_ row: Row, _ arguments: Arguments) throws {
    self.row = row
    settings = try Settings(arguments, row.parameters)
    function = try row.function(settings)
    super.init(kind: row.name)
  }

  public override func forward(_ x: Tensor) throws -> Tensor { try function(x) }

  public override func extraDescription(indexBase base: Int) -> String { settings.description(indexBase: base) }

  private func set(_ name: String, _ value: ModuleField) throws {
    var changed = settings
    try changed.set(name, value)
    function = try row.function(changed)
    settings = changed
  }

  /// The activation of that name, with its default options.
  public convenience init(named name: String) throws {
    guard let row = Activation.table.first(where: { $0.name == name }) else {
      throw TensorError(
        .argument, "Activation", "there is no activation \(name); there is \(Activation.table.map(\.name).joined(separator: ", "))")
    }
    try self.init(row, Arguments(name, []))
  }

  public static func relu() -> Activation { try! Activation(named: "ReLU") }
  public static func tanh() -> Activation { try! Activation(named: "Tanh") }
  public static func sigmoid() -> Activation { try! Activation(named: "Sigmoid") }
}

extension Activation {
  /// One activation: its name and options, and the function they make.
  fileprivate struct Row: @unchecked Sendable {
    let name: String
    let summary: String
    let parameters: [Parameter]
    let samples: [Sample]
    let function: (Settings) throws -> Function

    init(
      _ name: String, _ summary: String, _ parameters: [Parameter] = [], samples: [Sample] = [], inPlace: Bool = false,
      by function: @escaping (Settings) throws -> Function
    ) {
      self.name = name
      self.summary = summary
      self.samples = [[]] + samples
      self.parameters = parameters + (inPlace ? [.init("inplace", .boolean, default: "false")] : [])
      self.function =
        !inPlace
        ? function
        : { settings in
          let plain = try function(settings)
          guard settings.boolean(parameters.count) else { return plain }
          return { x in try x.writing(name.lowercased()) { try plain($0) } }
        }
    }

    var kind: ModuleKind {
      var writers: [String: (Module, ModuleField) throws -> Void] = [:]
      for parameter in parameters {
        writers[parameter.name] = { try ($0 as! Activation).set(parameter.name, $1) }
      }
      return ModuleKind(
        name, summary, parameters,
        fields: parameters.map { parameter in (parameter.name, { ($0 as! Activation).settings[parameter.name]! }) },
        writers: writers, samples: samples.map { ModuleSample($0, [.float(2, 3)]) }
      ) { try Activation(self, $0) }
    }
  }

  /// An operation without options, by its name in the list of operations.
  private static func operation(_ name: String) -> (Settings) throws -> Function {
    let unary = Catalogue.operations.first { $0.name == name }!.unary!
    return { _ in { try unary($0) } }
  }

  private static func number(_ name: String, _ text: String) -> Parameter { Parameter(name, .number, default: text) }
  private static let dim = Parameter("dim", .dimension, optional: true)

  /// PyTorch's choice where no dimension is given: the first for 0, 1 and 3 dimensions, else the second.
  private static func dimension(_ settings: Settings, _ x: Tensor) -> Int {
    settings.index(0) ?? (x.rank == 0 || x.rank == 1 || x.rank == 3 ? 0 : 1)
  }

  fileprivate static let table: [Row] = [
    Row("ReLU", "The element where it is positive, else 0.", inPlace: true) { _ in { try $0.relu() } },
    Row("Tanh", "The hyperbolic tangent.") { _ in { try $0.tanh() } },
    Row("Sigmoid", "1 / (1 + e^−x).") { _ in { try $0.sigmoid() } },
    Row("Softmax", "e^x / Σ e^x along a dimension.", [dim], samples: [[.integer(0)], [.integer(-1)]]) { settings in
      { try $0.softmax(dimension(settings, $0)) }
    },
    Row("LogSoftmax", "x − ln Σ e^x along a dimension.", [dim], samples: [[.integer(0)], [.integer(-1)]]) { settings in
      { try $0.logSoftmax(dimension(settings, $0)) }
    },
    Row(
      "LeakyReLU", "x where positive, else negative_slope · x.", [number("negative_slope", "0.01")], samples: [[.number(0.2)]],
      inPlace: true
    ) { settings in
      let slope = settings.number(0)
      return { try $0.leakyRelu(slope) }
    },
    Row("ELU", "x where positive, else alpha · (e^x − 1).", [number("alpha", "1")], samples: [[.number(0.5)]], inPlace: true) { settings in
      let alpha = settings.number(0)
      return { try $0.elu(alpha) }
    },
    Row(
      "GELU", "x · Φ(x); approximate = \"tanh\" is faster and a little off.", [.init("approximate", .string, default: "\"none\"")],
      samples: [[.text("tanh")]]
    ) { settings in
      let approximate = settings.string(0)
      guard approximate == "none" || approximate == "tanh" else {
        throw TensorError(.argument, "GELU", "approximate must be \"none\" or \"tanh\", got \"\(approximate)\"")
      }
      return { try $0.gelu(approximate: approximate) }
    },
    Row("SiLU", "x · sigmoid(x).", inPlace: true, by: operation("silu")),
    Row(
      "Softplus", "ln(1 + e^(beta·x)) / beta, and x itself where beta · x exceeds the threshold.",
      [number("beta", "1"), number("threshold", "20")], samples: [[.number(2), .number(1)]]
    ) { settings in
      let (beta, threshold) = (settings.number(0), settings.number(1))
      return { try $0.softplus(beta, threshold) }
    },
    Row("Softsign", "x / (1 + |x|).", by: operation("softsign")),
    Row(
      "Hardtanh", "Elements limited to min_val…max_val.", [number("min_val", "-1"), number("max_val", "1")],
      samples: [[.number(-0.5), .number(0.75)]], inPlace: true
    ) { settings in
      let (low, high) = (settings.number(0), settings.number(1))
      guard low < high else {
        throw TensorError(.argument, "Hardtanh", "max_val = \(pythonNumber(high)) must exceed min_val = \(pythonNumber(low))")
      }
      return { try $0.hardtanh(low, high) }
    },
    Row("ReLU6", "Elements limited to 0…6.", inPlace: true, by: operation("relu6")),
    Row("Hardsigmoid", "clamp(x / 6 + 1/2, 0, 1).", inPlace: true, by: operation("hardsigmoid")),
    Row("Hardswish", "x · hardsigmoid(x).", inPlace: true, by: operation("hardswish")),
    Row("Mish", "x · tanh(softplus(x)).", inPlace: true, by: operation("mish")),
    Row("LogSigmoid", "The logarithm of the sigmoid, exact in the tail.", by: operation("logsigmoid")),
  ]

  static let kinds = table.map(\.kind)
}

// What a method of optimization declares about itself, and its options.

import Tensors

/// The value of an optimizer's option.
public enum OptionValue: Equatable, Sendable {
  case number(Double)
  case boolean(Bool)
  case pair(Double, Double)
  case none
}

extension Optimizer {
  public typealias OptionValue = Training.OptionValue
}

/// A method of optimization: its name, options and how to make one.
public struct OptimizerKind: @unchecked Sendable {
  /// `SGD`.
  public let name: String
  /// One sentence.
  public let summary: String
  /// In alphabetical order, in which they print. The text says what the option does.
  public let options: [(name: String, default: OptionValue, text: String)]
  /// PyTorch's names of the moments kept for each parameter, in the order of a slot's fields.
  public let stateNames: [String]
  private let build: (OptimizerKind, [String: OptionValue]) throws -> Optimizer

  init(
    _ name: String, _ summary: String, _ options: [(name: String, default: OptionValue, text: String)], state: [String],
    _ build: @escaping (OptimizerKind, [String: OptionValue]) throws -> Optimizer
  ) {
    self.name = name
    self.summary = summary
    self.options = (options + OptimizerKind.implementation).sorted { $0.name < $1.name }
    stateNames = state
    self.build = build
  }

  /// Makes an optimizer of groups of parameters with options of their own, and options for all of them.
  public func make(
    _ groups: [([Tensor], [String: OptionValue])], _ options: [String: OptionValue]
  ) throws -> Optimizer {
    let optimizer = try build(self, options)
    guard !groups.isEmpty else { throw TensorError(.argument, name, "the list of parameters is empty") }
    for (parameters, options) in groups { try optimizer.addGroup(parameters, options) }
    return optimizer
  }

  /// Options of PyTorch's that choose among its implementations. They print; here there is one implementation.
  private static let implementation: [(name: String, default: OptionValue, text: String)] = [
    ("differentiable", .boolean(false), "accepted for PyTorch's sake; only false is possible"),
    ("foreach", .none, "accepted for PyTorch's sake; changes nothing"),
  ]

  func position(of option: String) -> Int? { options.firstIndex { $0.name == option } }

  func checkedPosition(of option: String) throws -> Int {
    guard let position = position(of: option) else {
      throw TensorError(
        .argument, name, "unknown option '\(option)'; there are \(options.map(\.name).joined(separator: ", "))")
    }
    return position
  }

  /// The values of all options: those given, and `base` for the rest.
  func values(_ given: [String: OptionValue], over base: [OptionValue]) throws -> [OptionValue] {
    var values = base
    for (option, value) in given.sorted(by: { $0.key < $1.key }) { values[try checkedPosition(of: option)] = value }
    return values
  }
}

/// The options of one group while an optimizer decodes them.
struct Options {
  private let kind: OptimizerKind
  private let values: [OptionValue]

  init(_ kind: OptimizerKind, _ values: [OptionValue]) throws {
    self.kind = kind
    self.values = values
    if try boolean("differentiable") {
      throw TensorError(.argument, kind.name, "differentiable = true is not possible: steps are not recorded")
    }
  }

  private func value(_ name: String) throws -> OptionValue { values[try kind.checkedPosition(of: name)] }

  private func wrong(_ name: String, _ expected: String) throws -> TensorError {
    TensorError(.argument, kind.name, "\(name) must be \(expected), got \(try value(name).text)")
  }

  /// A number that is not negative, and below `limit` where one is given; NaN is refused.
  func number(_ name: String, below limit: Double = .infinity, limitIncluded: Bool = true) throws -> Double {
    guard case .number(let number) = try value(name) else { throw try wrong(name, "a number") }
    guard number >= 0, limitIncluded ? number <= limit : number < limit else {
      throw try wrong(name, limit.isFinite ? "at least 0 and below \(pythonNumber(limit))" : "at least 0")
    }
    return number
  }

  /// Any number.
  func anyNumber(_ name: String) throws -> Double {
    guard case .number(let number) = try value(name) else { throw try wrong(name, "a number") }
    return number
  }

  func boolean(_ name: String) throws -> Bool {
    guard case .boolean(let flag) = try value(name) else { throw try wrong(name, "true or false") }
    return flag
  }

  /// Two numbers from 0 up to, not including, 1.
  func fractions(_ name: String) throws -> (Double, Double) {
    guard case .pair(let a, let b) = try value(name) else { throw try wrong(name, "two numbers") }
    guard a >= 0, a < 1, b >= 0, b < 1 else { throw try wrong(name, "two numbers from 0 up to, not including, 1") }
    return (a, b)
  }
}

extension OptionValue {
  /// As Python prints it.
  var text: String {
    switch self {
    case .number(let number): pythonNumber(number)
    case .boolean(let flag): python(flag)
    case .pair(let a, let b): "(\(pythonNumber(a)), \(pythonNumber(b)))"
    case .none: "None"
    }
  }
}

// How a method reads and checks the options of its optimizer.

import Tensors

extension Optimizer {
  /// The value of an option.
  public typealias OptionValue = Training.OptionValue
}

/// The options of one group while a method decodes them. Everything throws for values of the wrong kind.
struct Options {
  private let kind: OptimizerKind
  private let values: [OptionValue]

  init(_ kind: OptimizerKind, _ values: [OptionValue]) throws {
    self.kind = kind
    self.values = values
    if try boolean("differentiable") {
      throw TensorError(.argument, kind.name, "differentiable = True is not possible, since steps are not recorded")
    }
  }

  /// The name of the method, for errors.
  var method: String { kind.name }

  // Those that several methods share; OptimizerKind.swift declares them.
  var rate: Double { get throws { try number("lr") } }
  var epsilon: Double { get throws { try number("eps") } }
  var decay: Double { get throws { try number("weight_decay") } }
  var betas: (Double, Double) { get throws { try fractions("betas") } }
  var isDecoupled: Bool { get throws { try boolean("decoupled_weight_decay") } }
  var maximize: Bool { get throws { try boolean("maximize") } }

  private func value(_ name: String) -> OptionValue { values[kind.position(of: name)!] }

  private func wrong(_ name: String, _ expected: String) -> TensorError {
    TensorError(.argument, kind.name, "\(name) must be \(expected), got \(value(name).text)")
  }

  /// A number from 0 through `limit`; NaN is refused.
  func number(_ name: String, atMost limit: Double = .infinity) throws -> Double {
    guard case .number(let number) = value(name) else { throw wrong(name, "a number") }
    guard number >= 0, number <= limit else {
      throw wrong(name, limit.isFinite ? "a number between 0 and \(pythonNumber(limit))" : "a number that is not negative")
    }
    return number
  }

  /// Any number but NaN.
  func anyNumber(_ name: String) throws -> Double {
    guard case .number(let number) = value(name), !number.isNaN else { throw wrong(name, "a number") }
    return number
  }

  func boolean(_ name: String) throws -> Bool {
    guard case .boolean(let flag) = value(name) else { throw wrong(name, "true or false") }
    return flag
  }

  /// Two numbers from 0 up to, not including, 1.
  func fractions(_ name: String) throws -> (Double, Double) {
    guard case .pair(let a, let b) = value(name), a >= 0, a < 1, b >= 0, b < 1 else {
      throw wrong(name, "two numbers from 0 up to, not including, 1")
    }
    return (a, b)
  }
}

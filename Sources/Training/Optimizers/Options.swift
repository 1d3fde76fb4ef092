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
  /// A scheduler's rate is not checked.
  private let trustsRate: Bool

  init(_ kind: OptimizerKind, _ values: [OptionValue], trustingRate: Bool) throws {
    self.kind = kind
    self.values = values
    trustsRate = trustingRate
    if kind.position(of: "differentiable") != nil, try boolean("differentiable") {
      throw TensorError(.argument, kind.name, "differentiable = True is not possible, since steps are not recorded")
    }
  }

  /// The name of the method, for errors.
  var method: String { kind.name }

  // Those that several methods share; OptimizerKind.swift declares them.
  var rate: Double { get throws { try trustsRate ? anyNumber("lr") : number("lr") } }
  var epsilon: Double { get throws { try number("eps") } }
  var decay: Double { get throws { try number("weight_decay") } }
  var betas: (Double, Double) { get throws { try fractions("betas") } }
  var isDecoupled: Bool { get throws { try boolean("decoupled_weight_decay") } }
  var maximize: Bool { get throws { try boolean("maximize") } }

  private func value(_ name: String) -> OptionValue { values[kind.position(of: name)!] }

  private func wrong(_ name: String, _ expected: String) -> TensorError {
    let found = if case .text(let text) = value(name) { "\"\(text.prefix(40))\"" } else { value(name).text }
    return TensorError(.argument, kind.name, "\(name) must be \(expected), got \(found)")
  }

  /// A number from 0 through `limit`; NaN is refused.
  func number(_ name: String, atMost limit: Double = .infinity) throws -> Double {
    guard let number = value(name).number else { throw wrong(name, "a number") }
    guard number >= 0, number <= limit else {
      throw wrong(name, limit.isFinite ? "a number between 0 and \(pythonNumber(limit))" : "a number that is not negative")
    }
    return number
  }

  /// A number of at least `least`.
  func number(_ name: String, atLeast least: Double) throws -> Double {
    guard let number = value(name).number, number >= least else { throw wrong(name, "a number of at least \(pythonNumber(least))") }
    return number
  }

  func notPositive(_ name: String) throws -> Double {
    guard let number = value(name).number, number <= 0 else { throw wrong(name, "a number that is not above 0") }
    return number
  }

  /// Any number but NaN.
  func anyNumber(_ name: String) throws -> Double {
    guard let number = value(name).number, !number.isNaN else { throw wrong(name, "a number") }
    return number
  }

  /// A whole number from `least` through `limit`.
  func count(_ name: String, from least: Int, through limit: Int = 1 << 31) throws -> Int {
    guard let number = value(name).number, let count = Int(exactly: number), count >= least, count <= limit else {
      throw wrong(name, limit == 1 << 31 ? "a whole number of at least \(least)" : "a whole number from \(least) to \(limit)")
    }
    return count
  }

  func boolean(_ name: String) throws -> Bool {
    guard case .boolean(let flag) = value(name) else { throw wrong(name, "true or false") }
    return flag
  }

  /// One of some texts, or nil.
  func choice(_ name: String, _ choices: [String]) throws -> String? {
    switch value(name) {
    case .none: return nil
    case .text(let text) where choices.contains(text): return text
    default: throw wrong(name, "one of \(choices.map { "\"\($0)\"" }.joined(separator: ", ")), or nil")
    }
  }

  /// Several numbers, of which `accepts` says whether they are possible; nil stands for none.
  func numbers(_ name: String, _ expected: String, _ accepts: ([Double?]) -> Bool) throws -> [Double?] {
    guard let parts = value(name).parts, parts.allSatisfy({ $0.number != nil || $0 == OptionValue.none }) else {
      throw wrong(name, expected)
    }
    let numbers = parts.map(\.number)
    guard !numbers.contains(where: { $0?.isNaN ?? false }), accepts(numbers) else { throw wrong(name, expected) }
    return numbers
  }

  /// Two numbers from 0 up to, not including, 1.
  func fractions(_ name: String) throws -> (Double, Double) {
    let found = try numbers(name, "two numbers from 0 up to, not including, 1") {
      $0.count == 2 && $0.allSatisfy { $0.map { $0 >= 0 && $0 < 1 } ?? false }
    }
    return (found[0] ?? 0, found[1] ?? 0)
  }
}

// What a kind of scheduler declares about each of its options: name, default, what it accepts, and what it is for.

import Tensors

/// An option of a kind of scheduler.
public struct SchedulerParameter: @unchecked Sendable {
  /// PyTorch's.
  public let name: String
  /// Nil where it must be given.
  public let standard: SchedulerValue?
  /// What it does.
  public let text: String
  /// What it accepts, `a number above 0`.
  public let expectation: String
  /// The value as the formulas read it; nil when it is not possible.
  let accepts: (SchedulerValue) -> SchedulerValue?

  /// Which numbers are possible.
  enum Range {
    case any, notNegative, positive, fraction, positiveFraction, below1

    var text: String {
      switch self {
      case .any: "a number"
      case .notNegative: "a number that is not negative"
      case .positive: "a number above 0"
      case .fraction: "a number from 0 to 1"
      case .positiveFraction: "a number above 0 and at most 1"
      case .below1: "a number from 0 up to, not including, 1"
      }
    }

    func contains(_ number: Double) -> Bool {
      switch self {
      case .any: number.isFinite
      case .notNegative: number >= 0 && number.isFinite
      case .positive: number > 0 && number.isFinite
      case .fraction: number >= 0 && number <= 1
      case .positiveFraction: number > 0 && number <= 1
      case .below1: number >= 0 && number < 1
      }
    }
  }

  static func number(_ name: String, _ standard: Double?, in range: Range = .any, _ text: String) -> SchedulerParameter {
    SchedulerParameter(name: name, standard: standard.map(SchedulerValue.number), text: text, expectation: range.text) {
      $0.number.flatMap { range.contains($0) ? .number($0) : nil }
    }
  }

  /// A number for all groups, or one for each.
  static func perGroup(_ name: String, _ standard: Double?, in range: Range = .notNegative, _ text: String) -> SchedulerParameter {
    SchedulerParameter(
      name: name, standard: standard.map(SchedulerValue.number), text: text,
      expectation: "\(range.text), or a list with one for each parameter group"
    ) { value in
      if let number = value.number { return range.contains(number) ? .number(number) : nil }
      return value.numbers.flatMap { $0.allSatisfy(range.contains) ? .numbers($0) : nil }
    }
  }

  static func count(_ name: String, _ standard: Int?, from least: Int, optional: Bool = false, _ text: String) -> SchedulerParameter {
    SchedulerParameter(
      name: name, standard: optional ? SchedulerValue.none : standard.map(SchedulerValue.integer), text: text,
      expectation: least == 0 ? "a whole number that is not negative" : "a whole number of at least \(least)"
    ) { value in
      if optional, value.isNone { return value }
      return value.integer.flatMap { $0 >= least ? .integer($0) : nil }
    }
  }

  static func counts(_ name: String, _ text: String) -> SchedulerParameter {
    SchedulerParameter(name: name, standard: nil, text: text, expectation: "a list of whole numbers that are not negative") {
      $0.integers.flatMap { $0.allSatisfy { $0 >= 0 } ? .list($0.map(SchedulerValue.integer)) : nil }
    }
  }

  static func flag(_ name: String, _ standard: Bool, _ text: String) -> SchedulerParameter {
    SchedulerParameter(name: name, standard: .boolean(standard), text: text, expectation: "true or false") {
      $0.boolean.map(SchedulerValue.boolean)
    }
  }

  static func choice(_ name: String, _ choices: [String], _ text: String) -> SchedulerParameter {
    SchedulerParameter(
      name: name, standard: .text(choices[0]), text: text, expectation: choices.map { "\"\($0)\"" }.joined(separator: " or ")
    ) { value in value.text.flatMap { choices.contains($0) ? value : nil } }
  }

  static func functions(_ name: String, _ text: String) -> SchedulerParameter {
    SchedulerParameter(
      name: name, standard: nil, text: text, expectation: "a function, or a list with one for each parameter group"
    ) { value in
      switch value {
      case .function: value
      case .list(let list): list.allSatisfy { if case .function = $0 { true } else { false } } && !list.isEmpty ? value : nil
      default: nil
      }
    }
  }

  static func optionalFunction(_ name: String, _ text: String) -> SchedulerParameter {
    SchedulerParameter(name: name, standard: SchedulerValue.none, text: text, expectation: "a function") { value in
      if case .function = value { return value }
      return value.isNone ? value : nil
    }
  }

  static func schedulers(_ text: String) -> SchedulerParameter {
    SchedulerParameter(name: "schedulers", standard: nil, text: text, expectation: "a list of schedulers") { value in
      value.list.flatMap { list in
        list.allSatisfy { if case .scheduler = $0 { true } else { false } } && !list.isEmpty ? value : nil
      }
    }
  }

  static let lastEpoch = SchedulerParameter(
    name: "last_epoch", standard: .integer(-1),
    text: "the epoch that was the last; -1 starts anew, others need `initial_lr` in every parameter group",
    expectation: "a whole number of at least -1"
  ) { value in value.integer.flatMap { $0 >= -1 ? .integer($0) : nil } }

  /// The default as Lua writes it; empty where there is none.
  public var defaultText: String {
    switch standard {
    case .number(let number)? where number == number.rounded() && number.magnitude < 1e15: String(Int(number))
    case .number(let number)? where number == 1.0 / 3: "1/3"
    case let value?: value.found
    case nil: ""
    }
  }
}

// What schedulers are told and remember: plain values under PyTorch's names, so that a scheduler's state is its state dict.

/// The value of a scheduler's option, or a part of its state.
public enum SchedulerValue {
  /// Nothing.
  case none
  /// A truth value.
  case boolean(Bool)
  /// A whole number: an epoch.
  case integer(Int)
  /// A number: a rate, a factor.
  case number(Double)
  /// A text: a mode.
  case text(String)
  /// Values in a row: milestones, rates of groups.
  case list([SchedulerValue])
  /// Values by name, or counts by whole number.
  case record([SchedulerKey: SchedulerValue])
  /// A factor by epoch, or by cycle.
  case function(Function)
  /// A scheduler that is part of one.
  case scheduler(Scheduler)

  /// A factor by epoch, which counts from 0, or by cycle, which counts from 1.
  public typealias Function = (Int) throws -> Double
}

/// A key of a record.
public enum SchedulerKey: Hashable, Sendable {
  /// A name.
  case name(String)
  /// A whole number: a milestone.
  case integer(Int)
}

extension SchedulerValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByStringLiteral, ExpressibleByArrayLiteral
{
  /// `.integer`.
  public init(integerLiteral value: Int) { self = .integer(value) }
  /// `.number`.
  public init(floatLiteral value: Double) { self = .number(value) }
  /// `.boolean`.
  public init(booleanLiteral value: Bool) { self = .boolean(value) }
  /// `.text`.
  public init(stringLiteral value: String) { self = .text(value) }
  /// `.list`.
  public init(arrayLiteral elements: SchedulerValue...) { self = .list(elements) }

  static func numbers(_ values: [Double]) -> SchedulerValue { .list(values.map(SchedulerValue.number)) }
}

extension SchedulerValue {
  // Nil where it is nothing of that sort.

  /// Whole numbers are numbers too; NaN is none.
  public var number: Double? {
    switch self {
    case .number(let number): number.isNaN ? nil : number
    case .integer(let integer): Double(integer)
    default: nil
    }
  }

  /// Within what a Double counts exactly, so that no sum of two overflows.
  public var integer: Int? {
    switch self {
    case .integer(let integer): integer.magnitude <= 1 << 53 ? integer : nil
    case .number(let number): number.magnitude <= 0x1p53 ? Int(exactly: number) : nil
    default: nil
    }
  }

  /// The truth value.
  public var boolean: Bool? { if case .boolean(let flag) = self { flag } else { nil } }
  /// The text.
  public var text: String? { if case .text(let text) = self { text } else { nil } }
  /// The elements of a list.
  public var list: [SchedulerValue]? { if case .list(let list) = self { list } else { nil } }
  /// Whether it is none.
  public var isNone: Bool { if case .none = self { true } else { false } }

  /// A list's elements as numbers; nil where one of them is none.
  public var numbers: [Double]? {
    guard let list else { return nil }
    let numbers = list.compactMap(\.number)
    return numbers.count == list.count ? numbers : nil
  }

  /// A list's elements as whole numbers; nil where one of them is none.
  public var integers: [Int]? {
    guard let list else { return nil }
    let integers = list.compactMap(\.integer)
    return integers.count == list.count ? integers : nil
  }

  /// What it is, for messages.
  var found: String {
    switch self {
    case .none: "nil"
    case .boolean(let flag): "\(flag)"
    case .integer(let integer): "\(integer)"
    case .number(let number): "\(number)"
    case .text(let text): "\"\(text.prefix(40))\""
    case .list(let list): list.count <= 8 ? "{ \(list.map(\.found).joined(separator: ", ")) }" : "a list of \(list.count)"
    case .record: "a table with names"
    case .function: "a function"
    case .scheduler(let scheduler): "a \(scheduler.kind.name)"
    }
  }

  /// Whether a state may replace the other by this: of one sort, or one of them none.
  func isAlike(_ other: SchedulerValue) -> Bool {
    switch (self, other) {
    case (.none, _), (_, .none), (.boolean, .boolean), (.text, .text), (.record, .record), (.record, .list), (.list, .record): true
    case (.integer, .integer), (.integer, .number), (.number, .integer), (.number, .number): true
    case (.list(let a), .list(let b)): zip(a, b).allSatisfy { $0.isAlike($1) }
    default: false
    }
  }
}

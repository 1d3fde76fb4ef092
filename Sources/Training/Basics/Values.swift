// The values of what modules and optimizers are told: a module's fields, an optimizer's options.

import Tensors

/// The value of a module's field.
public enum ModuleField {
  /// A number.
  case number(Double)
  /// A whole number: a size, a count.
  case integer(Int)
  /// A position, dimension or class label, counted from 0.
  case index(Int)
  /// A truth value.
  case boolean(Bool)
  /// A text: a mode, a reduction.
  case string(String)
  /// A tensor, or the place of one.
  case tensor(Tensor?)
  /// Sizes.
  case shape([Int])
  /// A module.
  case module(Module)
  /// Nothing.
  case none
}

extension ModuleField {
  /// As an argument of an operation.
  var asArgument: Argument {
    switch self {
    case .number(let number): .number(.real(number))
    case .integer(let integer), .index(let integer): .integer(integer)
    case .boolean(let flag): .boolean(flag)
    case .string(let text): .string(text)
    case .tensor(let tensor?): .tensor(tensor)
    case .shape(let sizes): .integers(sizes)
    case .module(let module): .object(module)
    case .tensor(nil), .none: .absent
    }
  }

  /// As Python prints it, for readers who count from `base`.
  /// `isBare` leaves out the quotes of strings.
  func text(indexBase base: Int, isBare: Bool = false) -> String {
    switch self {
    case .number(let number): pythonFloat(number)
    case .integer(let integer): String(integer)
    case .index(let index): String(shifted(index, base))
    case .boolean(let flag): python(flag)
    case .string(let text): isBare ? text : "'\(text)'"
    case .tensor(let tensor): tensor.map { "a tensor of shape \($0.shape)" } ?? "None"
    case .shape(let sizes): "(\(sizes.map(String.init).joined(separator: ", "))\(sizes.count == 1 ? "," : ""))"
    case .module(let module): module.description(indexBase: base)
    case .none: "None"
    }
  }
}

/// The value of an optimizer's option.
public enum OptionValue: Equatable, Sendable {
  /// A number.
  case number(Double)
  /// A number that was given as a whole one.
  case integer(Int)
  /// A truth value.
  case boolean(Bool)
  /// A text.
  case text(String)
  /// Two numbers, as of `betas`.
  case pair(Double, Double)
  /// Several values, some of them none.
  case tuple([OptionValue])
  /// Nothing.
  case none

  /// As Python prints it.
  var text: String {
    switch self {
    case .number(let number): pythonFloat(number)
    case .integer(let integer): String(integer)
    case .boolean(let flag): python(flag)
    case .text(let text): text
    case .pair(let a, let b): "(\(pythonFloat(a)), \(pythonFloat(b)))"
    case .tuple(let values): "(\(values.map(\.text).joined(separator: ", ")))"
    case .none: "None"
    }
  }

  /// Nil where it is none.
  public var number: Double? {
    switch self {
    case .number(let number): number
    case .integer(let integer): Double(integer)
    default: nil
    }
  }

  /// The parts of a pair or tuple.
  public var parts: [OptionValue]? {
    switch self {
    case .pair(let a, let b): [.number(a), .number(b)]
    case .tuple(let values): values
    default: nil
    }
  }
}

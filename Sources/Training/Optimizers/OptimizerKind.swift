// What a method of optimization declares about itself.

import Tensors

/// A method of optimization: its name, options and how to make one.
public struct OptimizerKind: @unchecked Sendable {
  /// `SGD`.
  public let name: String
  /// One sentence.
  public let summary: String
  /// In alphabetical order, in which they print. The text says what the option does.
  public let options: [(name: String, default: OptionValue, text: String)]
  /// PyTorch's names of the moments kept for each parameter, in the order of a slot's.
  public let stateNames: [String]
  /// Whether the number of a parameter's updates is part of its state.
  let countsSteps: Bool
  /// PyTorch's names of the running numbers kept for each parameter, and what they start with.
  let numbers: [(name: String, start: Double)]
  /// The shape of a moment for a parameter's; mostly the same.
  let stateShape: @Sendable (_ name: String, _ parameter: Shape) -> Shape
  /// An option that follows another one where it is not given.
  let derived: Derived?
  /// What a method demands of its parameters beyond what all do; nil where that is nothing.
  let checksParameters: (@Sendable ([Tensor]) throws -> Void)?
  private let method: any Method.Type
  /// The method, where a step moves all parameters together and computes the loss several times.
  let wholeMethod: (any WholeMethod.Type)?
  /// Whether the method updates by operations on tensors (see TensorMethod). Both are asked at every step, where a cast would be slow.
  let usesTensors: Bool

  /// Whether a step needs a closure, which it runs several times.
  public var wantsClosure: Bool { wholeMethod != nil }

  init(
    _ name: String, _ summary: String, by method: any Method.Type, _ options: [Option],
    shared: [Option] = [.differentiable, .foreach], state: [String], numbers: [(name: String, start: Double)] = [],
    countsSteps: Bool = true, stateShape: @escaping @Sendable (String, Shape) -> Shape = { $1 },
    derived: Derived? = nil, checksParameters: (@Sendable ([Tensor]) throws -> Void)? = nil
  ) {
    self.derived = derived
    self.name = name
    self.summary = summary
    self.options = (options + shared).sorted { $0.name < $1.name }.map { ($0.name, $0.standard, $0.text) }
    stateNames = state
    self.numbers = numbers
    self.countsSteps = countsSteps
    self.stateShape = stateShape
    self.checksParameters = checksParameters
    self.method = method
    wholeMethod = method as? any WholeMethod.Type
    usesTensors = method is any TensorMethod.Type
  }

  /// PyTorch's names of the running numbers kept for each parameter.
  public var numberNames: [String] { numbers.map(\.name) }

  /// Makes an optimizer of groups of parameters with options of their own, and options for all of them.
  ///
  /// Throws for options that are unknown or impossible and for what `Optimizer.addGroup` refuses.
  public func make(_ groups: [([Tensor], [String: OptionValue])], _ options: [String: OptionValue]) throws -> Optimizer {
    let optimizer = try Optimizer(self, options)
    guard !groups.isEmpty else { throw TensorError(.argument, name, "the list of parameters is empty") }
    for (parameters, own) in groups { try optimizer.addGroup(parameters, own) }
    return optimizer
  }

  /// The method with the options of a group. Throws when one is impossible.
  func method(_ values: [OptionValue], trustingRate: Bool = false) throws -> any Method {
    try method.init(Options(self, values, trustingRate: trustingRate))
  }

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
    if let derived, let place = position(of: derived.option), let source = position(of: derived.source), values[place] == .none {
      values[place] = derived.value(values[source])
    }
    return values
  }
}

/// An option that follows another one where it is not given.
struct Derived: Sendable {
  let option, source: String
  let value: @Sendable (OptionValue) -> OptionValue
}

/// An option that a method declares.
struct Option {
  let name: String
  let standard: OptionValue
  let text: String

  init(_ name: String, _ standard: OptionValue, _ text: String) {
    self.name = name
    self.standard = standard
    self.text = text
  }

  // Those that several methods share.
  static func rate(_ value: Double) -> Option { Option("lr", .number(value), "the learning rate") }
  static func epsilon(_ value: Double) -> Option {
    Option("eps", .number(value), "added to divisors, so that none is 0")
  }
  static func decay(_ value: Double) -> Option {
    Option("weight_decay", value == 0 ? .integer(0) : .number(value), "times the parameter, added to its gradient")
  }
  static func decoupled(_ flag: Bool) -> Option {
    Option("decoupled_weight_decay", .boolean(flag), "let weight decay shrink the parameter instead of joining its gradient")
  }
  static let betas = Option(
    "betas", .pair(0.9, 0.999), "how much is kept at each step of the mean gradient and of the mean square")
  static let maximize = Option("maximize", .boolean(false), "climb instead of descending")

  // PyTorch's choices among its implementations. They print; here there is one implementation.
  static let fused = Option("fused", .none, "accepted for PyTorch's sake; changes nothing")
  static let foreach = Option("foreach", .none, "accepted for PyTorch's sake; changes nothing")
  static let capturable = Option("capturable", .boolean(false), "accepted for PyTorch's sake; changes nothing")
  static let differentiable = Option("differentiable", .boolean(false), "accepted for PyTorch's sake; only false is possible")
}
